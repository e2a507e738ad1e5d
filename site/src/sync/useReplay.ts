// Replays deliveries, as many calls long as it takes.

import { useQueryClient } from "@tanstack/react-query";
import { useEffect, useRef, useState } from "react";
import { ApiError } from "../api/client.ts";
import { everythingChanged } from "../api/queries.ts";
import type { Outcome, Replayed, ReplayTarget } from "../api/types.ts";
import { useApi } from "../auth/session.ts";
import { sum } from "./words.ts";

export interface ReplayState {
  isRunning: boolean;
  /** Somebody stopped it before its end. */
  isStopped: boolean;
  /** What went wrong; what was done before stays done. */
  error: unknown;
  nTotal: number;
  events: { svixId: string; outcome: Outcome }[];
}

export function useReplay(target: ReplayTarget) {
  const api = useApi();
  const client = useQueryClient();
  const [state, setState] = useState<ReplayState>();
  const isStopped = useRef(false);
  // Nobody watches any more.
  useEffect(
    () => () => {
      isStopped.current = true;
    },
    [],
  );

  const start = async () => {
    isStopped.current = false;
    let state: ReplayState = {
      isRunning: true,
      isStopped: false,
      error: undefined,
      nTotal: 0,
      events: [],
    };
    let cursor: string | null = null;
    setState(state);
    try {
      do {
        const body = { ...target, ...(cursor !== null && { cursor }) };
        const replayed: Replayed = await api.post<Replayed>("/api/admin/sync/replay", body);
        state = add(state, replayed);
        setState(state);
        cursor = nextOf(replayed, cursor);
      } while (cursor !== null && !isStopped.current);
      setState({ ...state, isRunning: false, isStopped: cursor !== null });
    } catch (error) {
      setState({ ...state, isRunning: false, error });
    }
    await everythingChanged(client);
  };

  const stop = () => {
    isStopped.current = true;
    setState((state) => state && { ...state, isStopped: true });
  };
  const reset = () => setState(undefined);
  return { state, start, stop, reset };
}

/** Where it goes on; null at the end. */
function nextOf({ nRemaining, nextCursor }: Replayed, cursor: string | null): string | null {
  if (nRemaining === 0) return null;
  if (nextCursor !== null && nextCursor !== cursor) return nextCursor;
  throw new ApiError(0, {
    code: "no_progress",
    error: "More events wait, and the replay did not get any further.",
  });
}

function add(state: ReplayState, replayed: Replayed): ReplayState {
  const events = [...state.events, ...replayed.events];
  return { ...state, events, nTotal: sum([events.length, replayed.nRemaining]) };
}
