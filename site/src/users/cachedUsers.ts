// Changes users where they are kept, in lists and alone, before or without asking for them again.

import type { InfiniteData, QueryClient } from "@tanstack/react-query";
import type { User, UserDetail, UserPage } from "../api/types.ts";

const LISTS = ["users", "list"];
const EACH = ["users", "one"];

/** What is under way must not overwrite what is changed now. */
export async function holdLists(client: QueryClient): Promise<void> {
  await Promise.all([
    client.cancelQueries({ queryKey: LISTS }),
    client.cancelQueries({ queryKey: EACH }),
  ]);
}

/** Changes these users wherever they are. */
export function patchUsers(
  client: QueryClient,
  userIds: ReadonlySet<string>,
  change: (user: User) => User,
): void {
  const patchPage = (page: UserPage): UserPage => {
    if (!page.users.some((user) => userIds.has(user.id))) return page;
    return {
      ...page,
      users: page.users.map((user) => (userIds.has(user.id) ? change(user) : user)),
    };
  };
  client.setQueriesData<InfiniteData<UserPage>>(
    { queryKey: LISTS },
    (lists) => lists && { ...lists, pages: lists.pages.map(patchPage) },
  );
  client.setQueriesData<UserDetail>({ queryKey: EACH }, (one) =>
    one && userIds.has(one.user.id) ? { ...one, user: change(one.user) } : one,
  );
}

/** Shows this user as the server just had them. */
export async function showUser(client: QueryClient, user: User): Promise<void> {
  await holdLists(client);
  patchUsers(client, new Set([user.id]), () => user);
}

/** What else is shown of these users, and what is counted, is old; the lists are right already. */
export function restChanged(client: QueryClient): Promise<unknown> {
  return Promise.all([
    client.invalidateQueries({ queryKey: LISTS, refetchType: "none" }),
    // Whoever was held the first time they were asked for has nothing to show.
    client.refetchQueries({
      queryKey: LISTS,
      type: "active",
      predicate: ({ state }) => state.data === undefined,
    }),
    client.invalidateQueries({
      queryKey: ["users"],
      predicate: ({ queryKey }) => queryKey[1] !== "list",
    }),
    client.invalidateQueries({ queryKey: ["statistics"] }),
  ]);
}
