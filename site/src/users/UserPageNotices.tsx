import type { ReactNode } from "react";
import type { User, UserState } from "../api/types.ts";
import { Notice } from "../ui/index.ts";

const STATES: Partial<Record<UserState, ReactNode>> = {
  deleted:
    "This user was deleted in Clerk. The row is kept so that a late event cannot bring them back; nothing of it can be changed.",
  banned:
    "This user cannot sign in: an admin banned them in Clerk. The ban is lifted in Clerk's dashboard, too.",
  locked:
    "This user cannot sign in for a while, since there were too many wrong passwords. Clerk lets them in again by itself.",
  deprovisioned:
    "This user cannot sign in: their organization's directory took them away. They come back when the directory brings them.",
};

/** What has to be known before anything else. */
export function UserPageNotices({ user }: { user: User }) {
  const state = STATES[user.state];
  return (
    <>
      {state && <Notice tone="warning">{state}</Notice>}
      {user.isPlaceholder && (
        <Notice tone="info">
          A membership or a session spoke of this user before Clerk told who they are. Name and
          address follow by themselves; <em>Sync now</em> asks for them at once.
        </Notice>
      )}
      {user.clerkId === null && user.state !== "deleted" && (
        <Notice tone="info">
          This user has no Clerk account: they are kept here only, and cannot sign in. When somebody
          signs up with this address and verifies it, the row becomes theirs.
        </Notice>
      )}
      {user.clerkSync === "dead" && (
        <Notice tone="warning">
          Clerk does not have the role {user.role}: it refused it, or gave no answer for a day. Set
          the role again to try once more.
        </Notice>
      )}
    </>
  );
}
