// Questions about a comparison that several views ask.

import {
  DRIFT_CLASSES,
  DRIFT_STATES,
  type DriftClass,
  type DriftState,
  type Run,
  type RunState,
} from "../api/types.ts";
import { canBeMended, sum } from "./words.ts";

const OPEN_STATES: readonly RunState[] = ["listing", "asking", "comparing", "repairing"];

/** Whether somebody has to work on it. */
export function isOpen(run: { state: RunState }): boolean {
  return OPEN_STATES.includes(run.state);
}

/** How many differences of a class became one of these. */
export function nOfClass(
  run: Run,
  driftClass: DriftClass,
  states: readonly DriftState[] = DRIFT_STATES,
): number {
  return sum(states.map((state) => run.drift[driftClass]?.[state]));
}

/** The same, of all classes. */
export function nOfRun(run: Run, states: readonly DriftState[] = DRIFT_STATES): number {
  return sum(DRIFT_CLASSES.map((it) => nOfClass(run, it, states)));
}

/** What a repair could still do something about. */
export const UNMENDED = ["found", "withheld"] as const;

/** The classes of which a repair could mend something. */
export function mendableClasses(run: Run): DriftClass[] {
  return DRIFT_CLASSES.filter((it) => canBeMended(it) && nOfClass(run, it, UNMENDED) > 0);
}

/** Whether it can be repaired at all: it has a result, and no newer one has taken its place. */
export function isRepairable(run: Run, runs: Run[]): boolean {
  const hasResult = run.state === "waiting" || run.state === "done";
  return hasResult && !hasNewer(run, runs);
}

/** A run that asked Clerk has put its own lists in the place of the older ones, cancelled or not. */
export function hasNewer(run: Run, runs: Run[]): boolean {
  const countsAtAll = (it: Run) => it.state !== "cancelled" || it.progress.nCalls > 0;
  return runs.some((it) => it.createdAt > run.createdAt && countsAtAll(it));
}

/** How long it took, or takes so far, in seconds. */
export function secondsOf(run: Run, now: number): number {
  const end = run.finishedAt ? Date.parse(run.finishedAt) : now;
  return Math.max(0, (end - Date.parse(run.createdAt)) / 1000);
}
