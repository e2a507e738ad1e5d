// How an edit is shown before it is done.

import { type QueryClient, useMutation, useQueryClient } from "@tanstack/react-query";
import { usersChanged } from "../api/queries.ts";
import type { ProfileUpdate, ProfileUpdated, User } from "../api/types.ts";
import { useApi } from "../auth/session.ts";
import { holdLists, patchUsers, restChanged } from "./cachedUsers.ts";
import { shownAfter, shownBefore } from "./EditUserValues.ts";

interface Edit {
  user: User;
  update: ProfileUpdate;
  /** Whether the new values are shown before the server has them. */
  isOptimistic: boolean;
}

interface Handlers {
  onDone: (done: ProfileUpdated) => void;
  onFailed: (error: Error) => void;
}

/** Edits a profile. Lists and pages show the new values at once, and the old ones if it fails. */
export function useEditUser({ onDone, onFailed }: Handlers) {
  const api = useApi();
  const client = useQueryClient();
  return useMutation({
    // What was sent may be a password: it is forgotten with the form.
    gcTime: 0,
    mutationFn: ({ user, update }: Edit) =>
      api.patch<ProfileUpdated>(`/api/users/${user.id}`, update),
    onMutate: async ({ user, update, isOptimistic }) => {
      if (!isOptimistic) return;
      // An answer that is on its way would show the old values again.
      await holdLists(client);
      show(client, user.id, shownAfter(user, update));
    },
    onSuccess: async (done, { user }) => {
      await holdLists(client);
      show(client, user.id, done.user);
      void restChanged(client);
      onDone(done);
    },
    onError: (error, { user, isOptimistic }) => {
      if (isOptimistic) show(client, user.id, shownBefore(user));
      // It may have been done all the same.
      void usersChanged(client);
      onFailed(error);
    },
  });
}

function show(client: QueryClient, userId: string, values: Partial<User>): void {
  patchUsers(client, new Set([userId]), (user) => ({ ...user, ...values }));
}
