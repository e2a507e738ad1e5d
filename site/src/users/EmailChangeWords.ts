// What a change of address has come to, in words.

import type { EmailChange, EmailChangeState } from "../api/types.ts";
import type { Tone } from "../ui/index.ts";

interface Words {
  label: string;
  tone: Tone;
  sentence: string;
}

export const STATE_WORDS: Record<EmailChangeState, Words> = {
  requested: {
    label: "Requested",
    tone: "info",
    sentence: "Clerk is being asked for the invitation, or gave no answer yet.",
  },
  invited: {
    label: "Invited",
    tone: "info",
    sentence:
      "The invitation is sent. When somebody follows it, the user moves to this address; until then nothing changes.",
  },
  moved: {
    label: "Moving",
    tone: "warning",
    sentence:
      "The invitation was followed, and the user is on the new account. The new one gets what it lacks, and the old one is removed.",
  },
  done: {
    label: "Done",
    tone: "good",
    sentence: "The user has this address. The old account is removed.",
  },
  revoked: {
    label: "Taken back",
    tone: "neutral",
    sentence: "The invitation was taken back, here or in Clerk.",
  },
  expired: {
    label: "Expired",
    tone: "neutral",
    sentence: "Nobody followed the invitation in time.",
  },
  failed: { label: "Failed", tone: "bad", sentence: "It came to nothing." },
};

const REASONS: Record<string, string> = {
  email_taken: "Another user has the address.",
  has_address: "The user got the address by another way.",
  user_out: "The user was deleted or disabled meanwhile.",
  not_invited: "Clerk did not send the invitation.",
  invitation_not_found: "Clerk does not know the invitation any more.",
  account_not_found: "The account that followed the invitation is not in Clerk any more.",
};

/** Why it came to nothing. */
export function reasonWords(reason: string): string {
  return REASONS[reason] ?? `The reason is called ${reason}.`;
}

const ERRORS: Record<string, string> = {
  clerk_unavailable: "Clerk could not be reached.",
  clerk_timed_out: "Clerk gave no answer in time.",
  internal_clerk_error: "Clerk had an error of its own.",
  too_many_requests: "Clerk was asked too often, and wants a pause.",
  resource_not_found: "Clerk does not know the account.",
  invitation_not_found: "Clerk does not show the invitation.",
  account_not_found: "Clerk does not show the account that followed the invitation.",
};

/** What keeps it; it is tried again by itself. */
export function errorWords(code: string): string {
  return ERRORS[code] ?? `Clerk's error is called ${code}.`;
}

/** Whether something is still to come of it. */
export function isOpen({ state }: EmailChange): boolean {
  return state === "requested" || state === "invited" || state === "moved";
}

const SOON_MS = 2_000;
const LATER_MS = 10_000;

/** When to look again; never where nothing can come any more. */
export function lookAgainMs(change: EmailChange | undefined): number | false {
  if (!change || !isOpen(change)) return false;
  // Somebody has to follow an invitation; all else is a matter of seconds.
  return change.state === "invited" ? LATER_MS : SOON_MS;
}
