// What the address says of the statistics.

export const DAYS = [30, 90, 365] as const;
export type Days = (typeof DAYS)[number];

export interface StatisticsSearch {
  /** How many days the chart goes back; without it, 90. */
  days?: Days | undefined;
}

export function readStatisticsSearch(search: Record<string, unknown>): StatisticsSearch {
  return { days: DAYS.find((days) => days === search.days) };
}
