// What the address says of the list of events.

import type { EventFilter } from "../api/queries.ts";
import { OUTCOMES } from "../api/types.ts";
import { oneOf, textOf } from "../shell/search.ts";

export function readEventsSearch(search: Record<string, unknown>): EventFilter {
  return {
    outcome: oneOf(OUTCOMES, search.outcome),
    type: textOf(search.type),
    object: textOf(search.object),
  };
}
