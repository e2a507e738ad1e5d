// What a row says of a user in a word.

import type { User } from "../api/types.ts";
import { Badge } from "../ui/index.ts";
import styles from "./UserBadges.module.css";
import { ROLE_TONES, STATE_MEANS, STATE_TONES } from "./words.ts";

export function RoleBadge({ user }: { user: User }) {
  return <Badge tone={ROLE_TONES[user.role]}>{user.role}</Badge>;
}

/** Loud only for who may not sign in. */
export function StateBadge({ user: { state } }: { user: User }) {
  if (state === "active") return <span className={styles.quiet}>active</span>;
  return (
    <Badge tone={STATE_TONES[state]} title={STATE_MEANS[state]}>
      {state}
    </Badge>
  );
}

/** Whether Clerk has the role. */
export function ClerkBadge({ user, isSyncing }: { user: User; isSyncing: boolean }) {
  if (isSyncing) {
    return (
      <Badge tone="info" title="Clerk is being asked about this user.">
        syncing…
      </Badge>
    );
  }
  if (user.clerkId === null) {
    return (
      <span className={styles.quiet} title="The role goes to Clerk once this user has an account.">
        no account
      </span>
    );
  }
  if (user.clerkSync === "pending") {
    return (
      <Badge tone="warning" title="The role is set here. Clerk has not confirmed it yet.">
        pending
      </Badge>
    );
  }
  if (user.clerkSync === "dead") {
    return (
      <Badge
        tone="bad"
        title="The role is set here. Clerk refused it, or gave no answer for a day."
      >
        dead
      </Badge>
    );
  }
  return <span className={styles.quiet}>synced</span>;
}
