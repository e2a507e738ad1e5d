// What the address says of the overview.

import { PERIODS, type Period } from "../api/types.ts";
import { oneOf } from "../shell/search.ts";

export interface OverviewSearch {
  /** Of the chart; without it, a day. */
  period?: Period | undefined;
}

export function readOverviewSearch(search: Record<string, unknown>): OverviewSearch {
  return { period: oneOf(PERIODS, search.period) };
}
