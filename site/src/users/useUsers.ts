import { useInfiniteQuery } from "@tanstack/react-query";
import { useMemo } from "react";
import { usersQuery } from "../api/queries.ts";
import type { User, UserFilter, UserPage } from "../api/types.ts";
import { useApi } from "../auth/session.ts";
import { isOwedToClerk } from "./words.ts";

/** A role that changed in Clerk shows within seconds; and sooner what Clerk has yet to confirm. */
const CALM_MS = 10_000;
const PENDING_MS = 3_000;

const NONE: User[] = [];

/** The users that match, page by page. */
export function useUsers(filter: UserFilter) {
  const api = useApi();
  const query = useInfiniteQuery({
    ...usersQuery(api, filter),
    // All pages are asked for again, so the more there are, the longer it takes.
    refetchInterval: ({ state: { data } }) =>
      lookAgainMs(data ? usersOf(data.pages) : NONE) * Math.max(data?.pages.length ?? 0, 1),
  });
  const pages = query.data?.pages;
  const users = useMemo(() => (pages ? usersOf(pages) : NONE), [pages]);
  return { ...query, users, total: pages?.at(-1)?.total };
}

/** Each once: while somebody signs up, the last of one page may be the first of the next. */
function usersOf(pages: UserPage[]): User[] {
  return [...new Map(pages.flatMap(({ users }) => users).map((user) => [user.id, user])).values()];
}

/** When these users are asked for again. */
export function lookAgainMs(users: User[]): number {
  const isUnderWay = (user: User) => user.clerkSync === "pending" && isOwedToClerk(user);
  return users.some(isUnderWay) ? PENDING_MS : CALM_MS;
}
