// How the panel calls what the server has words for.

import type { Role, User, UserOrder, UserState } from "../api/types.ts";
import type { Option, Tone } from "../ui/index.ts";

/** What a user is called: the best that is known of them. */
export function nameOf(user: User): string {
  return user.name ?? user.email ?? user.username ?? user.clerkId ?? user.id;
}

/** Whether Clerk does not have their role, and could: somebody without an account there waits for one. */
export function isOwedToClerk(user: User): boolean {
  return user.clerkId !== null && user.clerkSync !== "synced";
}

export const ROLE_MEANS: Record<Role, string> = {
  STUDENT: "A regular user. Everybody begins like this.",
  INSTRUCTOR: "Teaches or mentors.",
  ADMIN: "Full access: this panel, everybody's role and profile.",
};

export const ROLE_TONES: Record<Role, Tone> = {
  STUDENT: "neutral",
  INSTRUCTOR: "info",
  ADMIN: "accent",
};

export const STATE_MEANS: Record<UserState, string> = {
  active: "They may sign in.",
  locked: "They cannot sign in for a while: there were too many wrong passwords.",
  banned: "They cannot sign in: an admin banned them in Clerk.",
  deprovisioned: "They cannot sign in: their organization's directory took them away.",
  deleted:
    "They are deleted in Clerk. The row is kept so that a late event cannot bring them back.",
};

export const STATE_TONES: Record<UserState, Tone> = {
  active: "neutral",
  locked: "warning",
  banned: "bad",
  deprovisioned: "bad",
  deleted: "bad",
};

export const DEFAULT_ORDER: UserOrder = "-createdAt";

export const ORDERS: readonly Option<UserOrder>[] = [
  { value: "-createdAt", label: "Newest first" },
  { value: "createdAt", label: "Oldest first" },
  { value: "name", label: "Name, A to Z" },
  { value: "-name", label: "Name, Z to A" },
  { value: "email", label: "E-mail, A to Z" },
  { value: "-email", label: "E-mail, Z to A" },
  { value: "-lastSignInAt", label: "Last sign-in first" },
];
