// One comparison, followed while it is under way.

import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { useEffect, useRef } from "react";
import type { Api } from "../api/client.ts";
import { ApiError } from "../api/client.ts";
import { everythingChanged, runQuery, runsQuery } from "../api/queries.ts";
import type { Run, RunMode } from "../api/types.ts";
import { useApi } from "../auth/session.ts";
import { tell, tellError } from "../ui/index.ts";
import { isOpen } from "./runs.ts";

const EVERY_SECOND_MS = 1000;
/** How often is looked at what moves rarely, or could not be loaded just now. */
const CALM_MS = 15_000;

/** What ended may be repaired or cancelled elsewhere, unless nothing can come after it. */
function paceOf(run: Run): number | false {
  if (isOpen(run)) return EVERY_SECOND_MS;
  return run.state === "waiting" || run.state === "done" ? CALM_MS : false;
}

/** A run; asked for each second while somebody works on it. */
export function useRun(runId: string) {
  const run = useQuery({
    ...runQuery(useApi(), runId),
    refetchInterval: ({ state }) => {
      if (!state.data) return false;
      return state.error ? CALM_MS : paceOf(state.data);
    },
  });
  useEnd(run.data && isOpen(run.data));
  return run;
}

/** The last runs; the one that is under way moves. */
export function useRuns() {
  const runs = useQuery({
    ...runsQuery(useApi()),
    refetchInterval: ({ state }) =>
      state.data?.runs.some(isOpen) && !state.error ? EVERY_SECOND_MS : CALM_MS,
  });
  useEnd(runs.data?.runs.some(isOpen));
  return runs;
}

/** When a run ends, all that is shown may be old. */
function useEnd(isUnderWay: boolean | undefined) {
  const client = useQueryClient();
  const wasUnderWay = useRef(isUnderWay);
  useEffect(() => {
    if (wasUnderWay.current && isUnderWay === false) void everythingChanged(client);
    if (isUnderWay !== undefined) wasUnderWay.current = isUnderWay;
  }, [isUnderWay, client]);
}

/** Begins a comparison, and goes to it; if one is under way, to that one. */
export function useBegin() {
  const api = useApi();
  const client = useQueryClient();
  const navigate = useNavigate();
  const show = (runId: string) =>
    navigate({ to: "/admin/sync/comparisons/$runId", params: { runId } });

  return useMutation({
    mutationFn: (mode: RunMode) => api.post<Run>("/api/admin/sync/reconcile", { mode }),
    onSuccess: async (run) => {
      client.setQueryData(runQuery(api, run.id).queryKey, run);
      await show(run.id);
    },
    onError: async (error) => {
      const underWay = isUnderWay(error) ? await findUnderWay(api) : undefined;
      if (!underWay) return tellError("The comparison did not begin", error);
      tell("A comparison is under way already", "Here it is. Begin another one when it is over.");
      await show(underWay.id);
    },
    onSettled: () => everythingChanged(client),
  });
}

function isUnderWay(error: unknown): boolean {
  return error instanceof ApiError && error.code === "run_under_way";
}

async function findUnderWay(api: Api): Promise<Run | undefined> {
  const answer = await api.get<{ runs: Run[] }>("/api/admin/sync/reconcile").catch(() => undefined);
  return answer?.runs.find(isOpen);
}

/** Ends a run that is under way, or waits. */
export function useCancel(runId: string) {
  const api = useApi();
  const client = useQueryClient();
  return useMutation({
    mutationFn: () => api.delete<Run>(`/api/admin/sync/reconcile/${runId}`),
    onSuccess: (run) => {
      client.setQueryData(runQuery(api, runId).queryKey, run);
      if (run.state === "cancelled") {
        tell("The comparison is cancelled", "What was mended before stays mended.");
      } else {
        tell("It was over already", "Nothing was cancelled; its result is shown.");
      }
    },
    onError: (error) => tellError("The comparison was not cancelled", error),
    onSettled: () => everythingChanged(client),
  });
}
