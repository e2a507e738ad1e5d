// Comparisons without a page, for tests that need both sides to be equal, or to be compared.

import assert from "node:assert/strict";
import { api, clerk, until } from "./world.ts";

export const RUNS = "/api/admin/sync/reconcile";

/** Both sides are equal, whatever was damaged before. */
export async function mendEverything(): Promise<void> {
  await clerk.calm();
  await clerk.delivered();
  await endWhatIsUnderWay();
  await through({ mode: "repair", maxDeletions: 1000, maxDemotions: 1000 });
}

/** A comparison that is through. */
export function report(): Promise<string> {
  return through({ mode: "report" });
}

async function through(wish: Record<string, unknown>): Promise<string> {
  const { status, body } = await api("POST", RUNS, wish);
  assert.equal(status, 202, JSON.stringify(body));
  await ended(body.id, "done");
  return body.id;
}

async function endWhatIsUnderWay(): Promise<void> {
  const { runs } = (await api("GET", RUNS)).body;
  const isOpen = (run: { finishedAt: string | null }) => run.finishedAt === null;
  for (const { id } of runs.filter(isOpen)) await api("DELETE", `${RUNS}/${id}`);
}

export async function ended(runId: string, state: string): Promise<void> {
  const found = async () => (await api("GET", `${RUNS}/${runId}`)).body.state;
  await until(`the run ${runId} ends`, found, state);
}
