import { useQueryClient } from "@tanstack/react-query";
import { useCallback, useState } from "react";
import type { Synced, User } from "../api/types.ts";
import { useApi } from "../auth/session.ts";
import { tell, tellError } from "../ui/index.ts";
import { restChanged, showUser } from "./cachedUsers.ts";
import { nameOf } from "./words.ts";

/** Pulls users from Clerk now; `syncing` are those that it is being asked about. */
export function useSyncUser() {
  const api = useApi();
  const client = useQueryClient();
  const [syncing, setSyncing] = useState<ReadonlySet<string>>(new Set());

  const sync = useCallback(
    async (user: User) => {
      setSyncing((ids) => new Set(ids).add(user.id));
      try {
        const path = `/api/sync/user/${encodeURIComponent(user.clerkId ?? "")}`;
        const synced = await api.post<Synced>(path);
        await showUser(client, synced.user);
        tell(...outcomeOf(synced));
      } catch (error) {
        tellError(`${nameOf(user)} was not synced`, error);
      } finally {
        setSyncing((ids) => new Set([...ids].filter((id) => id !== user.id)));
        void restChanged(client);
      }
    },
    [api, client],
  );
  return { sync, syncing };
}

function outcomeOf({ user, source, isComplete }: Synced): [title: string, description: string] {
  const name = nameOf(user);
  if (source !== "clerk") {
    return [
      `${name} was not synced`,
      "Clerk could not be reached; this is what the database has. It is asked again by itself.",
    ];
  }
  if (!isComplete) {
    return [
      `${name} is synced in part`,
      "Not all of their organizations could be read. The rest follows by itself.",
    ];
  }
  return [`${name} is synced`, "The database has what Clerk has."];
}
