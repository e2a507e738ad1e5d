// What the address says of the differences that a comparison found.

import type { DriftFilter } from "../api/queries.ts";
import { DRIFT_CLASSES, DRIFT_STATES } from "../api/types.ts";
import { oneOf, textOf } from "../shell/search.ts";

export function readRunSearch(search: Record<string, unknown>): DriftFilter {
  return {
    class: oneOf(DRIFT_CLASSES, search.class),
    state: oneOf(DRIFT_STATES, search.state),
    object: textOf(search.object),
  };
}
