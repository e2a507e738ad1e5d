// The words for what the tables hold as codes: the same that the command uses.

import type { Drift, DriftClass, DriftState, Outcome, RunMode, RunState } from "../api/types.ts";
import { countOf, duration, type Tone } from "../ui/index.ts";

/** From here on the server counts no further. */
const MOST_COUNTED = 100_000;

/** A count of deliveries; the largest stands for so many or more. */
export function count(n: number): string {
  return n >= MOST_COUNTED ? "100,000+" : number(n);
}

export function number(n: number): string {
  return n.toLocaleString("en");
}

export function sum(counts: Iterable<number | undefined>): number {
  let total = 0;
  for (const n of counts) total += n ?? 0;
  return total;
}

/** A text as the beginning of a sentence. */
export function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** How long something took: `412 ms`, `1.6 s`. */
export function milliseconds(ms: number | null): string {
  if (ms === null) return "–";
  return ms < 1000
    ? `${ms} ms`
    : `${(ms / 1000).toLocaleString("en", { maximumFractionDigits: 1 })} s`;
}

/** How long a comparison took. */
export function took(seconds: number): string {
  return seconds < 1 ? "under 1 s" : duration(seconds);
}

interface OutcomeWords {
  label: string;
  tone: Tone;
  meaning: string;
}

export const OUTCOME_WORDS: Record<Outcome, OutcomeWords> = {
  applied: { label: "Applied", tone: "good", meaning: "Its effects are in the tables." },
  stale: { label: "Stale", tone: "info", meaning: "Something newer was there before it." },
  ignored: { label: "Ignored", tone: "neutral", meaning: "It was not for us." },
  parked: { label: "Parked", tone: "warning", meaning: "It waits until Clerk is asked." },
  dead: { label: "Dead", tone: "bad", meaning: "It could not be taken in; a person has to look." },
};

export const EVENT_TYPES = [
  "user.created",
  "user.updated",
  "user.deleted",
  "organization.created",
  "organization.updated",
  "organization.deleted",
  "organizationMembership.created",
  "organizationMembership.updated",
  "organizationMembership.deleted",
] as const;

/** What the rules that decide about deliveries are about. */
const RULES: Record<string, string> = {
  R1: "Identity: everything is kept by its Clerk id.",
  R2: "Version: what is newer is applied, what is older is stale.",
  R3: "Tombstone: what is deleted stays deleted.",
  R5: "Adoption: a row without an account gets the one with its verified address.",
  R6: "Generations: of the memberships of a user in an organization, the last one lives.",
  R7: "Once: a delivery and its effects are one; what cannot be read is kept as dead.",
  R12: "Change of address: the row moves to whoever follows the invitation.",
  R14: "Reconcile: what Clerk shows when it is asked counts.",
  R17: "Fallback: what was made while Clerk could not be asked is replaced by what Clerk says.",
  R18: "Instance: events of another Clerk instance are not taken in.",
  unhandled: "Nothing here depends on events of this type.",
};

export function ruleMeaning(rule: string): string | undefined {
  return RULES[rule];
}

/** Why an event waits, by the rule that parked it. */
const PARKED_BY: Record<string, string> = {
  R2: "It contradicts the row, and nobody can tell which of them is newer.",
  R6: "It was made in the same moment as another membership of the same pair.",
  R14: "It speaks of something that Clerk did not know any more when it was asked.",
};

export function whyParked(rule: string | null): string {
  return PARKED_BY[rule ?? ""] ?? "It waits until Clerk is asked.";
}

interface ClassWords {
  /** What it is, in a few words. */
  label: string;
  meaning: string;
  repair: string;
}

export const CLASS_WORDS: Record<DriftClass, ClassWords> = {
  stale_high: {
    label: "May do more here than in Clerk",
    meaning:
      "Somebody may do more here than Clerk grants: a higher role, no ban, a membership that allows more or is in another organization.",
    repair: "Mends it, before all else.",
  },
  orphaned: {
    label: "Here and not in Clerk",
    meaning: "It lives here, and Clerk, asked about it alone, does not know it.",
    repair: "Ends it. If Clerk shows it again, it lives again.",
  },
  missing: {
    label: "In Clerk and not here",
    meaning: "Clerk has it, and it does not live here.",
    repair: "Makes it; a row without account that has the verified address is linked.",
  },
  stale: {
    label: "Not as Clerk has it",
    meaning: "It is not as Clerk has it.",
    repair: "Takes over what Clerk has.",
  },
  unknown_role: {
    label: "Has a role in Clerk that is none of ours",
    meaning: "Clerk's role is none of the three; here it is STUDENT.",
    repair: "Nothing: mend it in Clerk.",
  },
  duplicate_email: {
    label: "Has the same address as another row",
    meaning: "Two rows have one address.",
    repair: "Nothing: somebody has to say which one stays.",
  },
};

/** Of these no repair can mend anything. */
const FOR_A_PERSON: readonly DriftClass[] = ["unknown_role", "duplicate_email"];

export function canBeMended(driftClass: DriftClass): boolean {
  return !FOR_A_PERSON.includes(driftClass);
}

export const DRIFT_STATE_WORDS: Record<DriftState, { label: string; tone: Tone }> = {
  found: { label: "Open", tone: "warning" },
  withheld: { label: "Held back", tone: "warning" },
  repaired: { label: "Mended", tone: "good" },
  gone: { label: "Gone", tone: "neutral" },
  failed: { label: "Failed", tone: "bad" },
};

const CAUSES: Record<string, string> = {
  lost_event: "its event never arrived",
  dead_event: "its event could not be taken in, and is dead",
  parked_event: "its event is parked until Clerk is asked",
  not_yet_received: "it changed just now, and its event may yet come",
  before_first_event: "it is older than the first event that was received",
  deleted_in_database: "somebody deleted the row in the database",
  ended_in_database: "somebody marked the row as deleted in the database",
  ended_too_early: "Clerk did not know it when it was asked, and shows it now",
  edited_in_database: "somebody edited the row in the database",
  moved_in_database: "somebody gave the row another user or organization in the database",
  added_in_database: "somebody added the row in the database",
  never_in_clerk: "it was spoken of once, and Clerk does not have it",
  not_linked: "a row with this address is here, and does not belong to the account yet",
  version_too_high: "somebody edited the version of the row, or Clerk was set back",
  in_doubt: "it is in doubt, and Clerk is yet to be asked about it",
  push_refused: "Clerk refused the role that was set here",
  unknown_role: "the role in Clerk is none of ours",
  row_without_account: "this row has no account in Clerk, and another row the same address",
  row_with_account: "another row has the same address",
};

/** As it is, if it is one that this version does not know. */
export function causeWords(cause: string): string {
  return CAUSES[cause] ?? cause;
}

export const RUN_STATE_WORDS: Record<RunState, { label: string; tone: Tone }> = {
  listing: { label: "Reading Clerk's lists", tone: "info" },
  asking: { label: "Asking Clerk about what its lists did not show", tone: "info" },
  comparing: { label: "Comparing both sides", tone: "info" },
  repairing: { label: "Mending what differs", tone: "info" },
  waiting: { label: "Waiting for an approval", tone: "warning" },
  done: { label: "Done", tone: "good" },
  failed: { label: "Failed", tone: "bad" },
  cancelled: { label: "Cancelled", tone: "neutral" },
};

export const MODE_WORDS: Record<RunMode, string> = { report: "Report", repair: "Repair" };

const SEVERITY_TONES: Record<string, Tone> = { high: "bad", medium: "warning", low: "neutral" };

export function severityTone(severity: string): Tone {
  return SEVERITY_TONES[severity] ?? "neutral";
}

const FIELD_WORDS: Record<string, string> = {
  banned: "Banned",
  clerkOrgId: "Organization",
  clerkRole: "Role in Clerk's metadata",
  clerkUserId: "User",
  clerkVersion: "Version",
  createdBy: "Made by",
  deprovisioned: "Deprovisioned",
  email: "Address",
  emailVerified: "Address verified",
  externalId: "External id",
  firstName: "First name",
  imageUrl: "Picture",
  isPlaceholder: "Placeholder",
  lastName: "Last name",
  locked: "Locked",
  maxAllowedMemberships: "Members at most",
  name: "Name",
  permissions: "Permissions",
  publicMetadata: "Public metadata",
  role: "Role",
  slug: "Slug",
  username: "Username",
};

export function fieldWords(name: string): string {
  return FIELD_WORDS[name] ?? name;
}

const ACTION_WORDS: Record<Drift["action"], string> = {
  create: "add",
  update: "bring up to date",
  demote: "demote",
  end: "end",
  none: "leave",
};

/** Numbers by action and kind, such as `{"end user": 1}`, as words: `End 1 user`. */
export function planWords(numbers: Record<string, number>): string[] {
  return Object.entries(numbers).map(([key, n]) => {
    const [action = "", object = ""] = key.split(" ");
    const words = action in ACTION_WORDS ? ACTION_WORDS[action as Drift["action"]] : action;
    return capital(`${words} ${countOf(n, object)}`);
  });
}
