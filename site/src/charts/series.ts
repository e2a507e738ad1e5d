// What a chart is drawn from, and how its series are told apart.

import type { Tone } from "../ui/index.ts";

export type ChartKind = "area" | "bar";

export interface Series<Key extends string> {
  key: Key;
  label: string;
  tone: Tone;
}

/** A moment with its numbers, in the order of the series. */
export interface Row {
  at: string;
  values: number[];
}

export const COLOURS: Record<Tone, string> = {
  accent: "var(--accent)",
  good: "var(--good)",
  warning: "var(--warning)",
  bad: "var(--bad)",
  info: "var(--info)",
  neutral: "var(--text-muted)",
};

// Colour alone says nothing to whoever cannot tell them apart: lines differ in their dashes too,
// and bars in their hatching.
const DASHES = ["none", "7 4", "2 3", "10 3 2 3", "4 2", "1 5"];

export function dashOf(index: number): string {
  return DASHES[index % DASHES.length] ?? "none";
}

/** The strokes of a tile of 6 by 6 that are drawn over the colour; the first series has none. */
const HATCHES = ["", "M0 6 6 0", "M0 3H6", "M3 0V6", "M0 0 6 6M0 6 6 0", "M0 0 6 6"];

export function hatchOf(index: number): string {
  return HATCHES[index % HATCHES.length] ?? "";
}
