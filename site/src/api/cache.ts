// What was asked is kept for as long as one person is signed in, and for nobody after them.

import { MutationCache, QueryCache, QueryClient } from "@tanstack/react-query";
import { ApiError } from "./client.ts";

/** Whether the caller is an admin is asked anew when the server refuses them something. */
export function newQueryClient(userId: string): QueryClient {
  const me = ["users", "one", userId];
  const onError = (error: unknown) => {
    if (!(error instanceof ApiError && [401, 403].includes(error.status))) return;
    // If it is that very question that failed, its answer is known.
    if (client.getQueryState(me)?.status === "success") {
      void client.invalidateQueries({ queryKey: me });
    }
  };
  const client = new QueryClient({
    queryCache: new QueryCache({ onError }),
    mutationCache: new MutationCache({ onError }),
    defaultOptions: { queries: { retry: mayRetry, staleTime: 5_000 }, mutations: { retry: false } },
  });
  return client;
}

/** A refusal stands; whoever could not be reached, or failed, is asked again. */
function mayRetry(nFailures: number, error: unknown): boolean {
  const isRefusal = error instanceof ApiError && error.status >= 400 && error.status < 500;
  return !isRefusal && nFailures < 2;
}
