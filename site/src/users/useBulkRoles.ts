import { useQueryClient } from "@tanstack/react-query";
import { useEffect, useRef, useState } from "react";
import { type Api, ApiError } from "../api/client.ts";
import { usersChanged } from "../api/queries.ts";
import type { BulkResult, Role } from "../api/types.ts";
import { useApi } from "../auth/session.ts";
import { sentenceOf } from "../ui/index.ts";
import { holdLists, patchUsers } from "./cachedUsers.ts";

/** So many are sent at once: few enough that the bar moves, and that somebody can stop. */
const BATCH = 50;

export interface BulkRun {
  role: Role;
  /** Everybody whose role shall be set. */
  userIds: string[];
  /** What became of those who were sent. */
  results: ReadonlyMap<string, BulkResult>;
  isRunning: boolean;
  /** It ends after the batch that is on its way. */
  isStopping: boolean;
}

/** Sets the role of many users, batch by batch. */
export function useBulkRoles() {
  const api = useApi();
  const client = useQueryClient();
  const [run, setRun] = useState<BulkRun>();
  const shallStop = useRef(false);
  const stop = () => {
    shallStop.current = true;
    setRun((run) => run && { ...run, isStopping: true });
  };
  // Whoever leaves the page stops it, too.
  useEffect(
    () => () => {
      shallStop.current = true;
    },
    [],
  );

  const send = async (before: BulkRun, wanted: string[]) => {
    shallStop.current = false;
    const isWanted = new Set(wanted);
    const results = new Map([...before.results].filter(([id]) => !isWanted.has(id)));
    const { role } = before;
    setRun({ ...before, results: new Map(results), isRunning: true, isStopping: false });
    for (const batch of batchesOf(wanted)) {
      if (shallStop.current) break;
      const { answers, error } = await sendBatch(api, batch, role);
      for (const answer of answers) results.set(answer.userId, answer);
      await showRoles(answers, role);
      setRun((run) => run && { ...run, results: new Map(results) });
      // Who may not do this any more, or sends what nobody takes, need not be told so for each batch.
      if (error instanceof ApiError && [401, 403, 422].includes(error.status)) break;
    }
    setRun((run) => run && { ...run, isRunning: false, isStopping: false });
    await usersChanged(client);
  };

  const showRoles = async (answers: BulkResult[], role: Role) => {
    await holdLists(client);
    const done = new Map(answers.filter(({ ok }) => ok).map((it) => [it.userId, it]));
    patchUsers(client, new Set(done.keys()), (user) => ({
      ...user,
      role,
      clerkSync: done.get(user.id)?.clerkSync ?? user.clerkSync,
    }));
  };

  const start = (userIds: string[], role: Role) =>
    send({ role, userIds, results: new Map(), isRunning: true, isStopping: false }, userIds);
  const forget = () => setRun(undefined);
  return { run, start, send, stop, forget };
}

export function failedOf(run: BulkRun): string[] {
  return run.userIds.filter((id) => run.results.get(id)?.ok === false);
}

/** By the server, with a reason; else its batch got no answer. */
export function wasRefused(result: BulkResult): boolean {
  return !result.ok && result.code !== undefined;
}

/** Who was not sent, since somebody stopped it. */
export function unsentOf(run: BulkRun): string[] {
  return run.userIds.filter((id) => !run.results.has(id));
}

function batchesOf(userIds: string[]): string[][] {
  const nBatches = Math.ceil(userIds.length / BATCH);
  return Array.from({ length: nBatches }, (_, n) => userIds.slice(n * BATCH, (n + 1) * BATCH));
}

/** A batch without an answer failed as a whole; whoever is in it can be tried again. */
async function sendBatch(api: Api, userIds: string[], role: Role) {
  try {
    const body = { userIds, role };
    const { results } = await api.patch<{ results: BulkResult[] }>("/api/admin/users", body);
    return { answers: results, error: undefined };
  } catch (error) {
    const reason = sentenceOf(error);
    const code = refusalOf(error);
    const answers = userIds.map(
      (userId): BulkResult => ({ userId, ok: false, error: reason, ...(code && { code }) }),
    );
    return { answers, error };
  }
}

/** The code of a refusal that stands; none if the batch may go through the next time. */
function refusalOf(error: unknown): string | undefined {
  if (!(error instanceof ApiError) || error.code === "unreadable") return undefined;
  const stands = error.status >= 400 && error.status < 500 && error.status !== 429;
  return stands ? error.code : undefined;
}
