import { useMutation, useQueryClient } from "@tanstack/react-query";
import { userQuery } from "../api/queries.ts";
import type { Role, RoleSet, User } from "../api/types.ts";
import { useApi } from "../auth/session.ts";
import { holdLists, patchUsers, restChanged, showUser } from "./cachedUsers.ts";

interface Wish {
  /** As they were when somebody decided. */
  user: User;
  role: Role;
}

/**
 * Sets the role of one user: it shows at once, and is taken back if the server refuses. `onFound` is
 * told how the user is then.
 */
export function useSetRole(onFound?: (user: User) => void) {
  const api = useApi();
  const client = useQueryClient();
  return useMutation({
    mutationFn: ({ user, role }: Wish) =>
      api.patch<RoleSet>(`/api/admin/users/${encodeURIComponent(user.id)}`, {
        role,
        expectedRole: user.role,
      }),
    onMutate: async ({ user, role }) => {
      await holdLists(client);
      patchUsers(client, new Set([user.id]), (it) => ({ ...it, role }));
    },
    onSuccess: ({ user }) => showUser(client, user),
    onError: async (_error, { user }) => {
      patchUsers(client, new Set([user.id]), (it) => ({ ...it, role: user.role }));
      // What was shown may be why it was refused.
      const found = await client
        .fetchQuery({ ...userQuery(api, user.id), staleTime: 0, retry: false })
        .catch(() => undefined);
      if (!found) return;
      await showUser(client, found.user);
      onFound?.(found.user);
    },
    onSettled: () => restChanged(client),
  });
}
