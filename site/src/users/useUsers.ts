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
    refetchInterval: ({ state }) => intervalOf(state.data?.pages),
  });
  const pages = query.data?.pages;
  const users = useMemo(() => pages?.flatMap((page) => page.users) ?? NONE, [pages]);
  return { ...query, users, total: pages?.at(-1)?.total };
}

/** All pages are asked for again, so the more there are, the longer it takes. */
function intervalOf(pages: UserPage[] | undefined): number {
  const isUnderWay = (user: User) => user.clerkSync === "pending" && isOwedToClerk(user);
  const isPending = pages?.some((page) => page.users.some(isUnderWay));
  return (isPending ? PENDING_MS : CALM_MS) * Math.max(pages?.length ?? 0, 1);
}
