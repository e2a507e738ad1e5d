// What the address of a user's page says of their history.

import { oneOf } from "../shell/search.ts";

export interface HistorySearch {
  /** Without it, everything is shown. */
  history?: "roles" | undefined;
}

export function readHistorySearch(search: Record<string, unknown>): HistorySearch {
  return { history: oneOf(["roles"], search.history) };
}
