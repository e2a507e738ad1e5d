// What the address says of the events that wait.

import { oneOf, textOf } from "../shell/search.ts";

/** What waits, and can be replayed. */
export const WAITING = ["dead", "parked"] as const;
export type Waiting = (typeof WAITING)[number];

export interface DeadLettersSearch {
  /** Without it, those that are dead. */
  outcome?: Waiting | undefined;
  type?: string | undefined;
  object?: string | undefined;
}

export function readDeadLettersSearch(search: Record<string, unknown>): DeadLettersSearch {
  return {
    outcome: oneOf(WAITING, search.outcome),
    type: textOf(search.type),
    object: textOf(search.object),
  };
}
