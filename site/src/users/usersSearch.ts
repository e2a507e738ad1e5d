// What the address says of the list of users, so that a link shows the same list.

import { CLERK_SYNCS, ROLES, USER_ORDERS, USER_STATES, type UserFilter } from "../api/types.ts";
import { oneOf, textOf } from "../shell/search.ts";

export function readUsersSearch(search: Record<string, unknown>): UserFilter {
  return {
    search: textOf(search.search),
    role: oneOf(ROLES, search.role),
    organization: textOf(search.organization),
    state: oneOf(USER_STATES, search.state),
    clerkSync: oneOf(CLERK_SYNCS, search.clerkSync),
    sort: oneOf(USER_ORDERS, search.sort),
  };
}
