// How the two sides stand, as sentences: what needs somebody, the most urgent first.

import { DRIFT_CLASSES, type Overview } from "../api/types.ts";
import { countOf } from "../ui/index.ts";
import { isOpen } from "./runs.ts";
import { CLASS_WORDS, number, sum } from "./words.ts";

export type StandingTone = "bad" | "warning" | "info" | "good";

/** Where something can be mended. */
export type Place =
  | { to: "/admin/sync/comparisons" | "/admin/sync/dead-letters" }
  | { to: "/admin/sync/dead-letters"; search: { outcome: "parked" } }
  | { to: "/admin/sync/comparisons/$runId"; params: { runId: string } };

export interface Standing {
  tone: StandingTone;
  sentence: string;
  detail?: string;
  action?: { label: string; place: Place };
}

const COMPARISONS: Place = { to: "/admin/sync/comparisons" };
const DEAD: Place = { to: "/admin/sync/dead-letters" };
const PARKED: Place = { to: "/admin/sync/dead-letters", search: { outcome: "parked" } };
const run = (runId: string): Place => ({ to: "/admin/sync/comparisons/$runId", params: { runId } });

/** All that can be said, the most urgent first; there is always something. */
export function standings(overview: Overview): [Standing, ...Standing[]] {
  const lost = missed(overview);
  const needed = [
    silence(overview),
    lastFailure(overview),
    lastCancelled(overview),
    differences(overview),
    deadLetters(overview),
    deadRoles(overview),
    parked(overview),
    owed(overview),
    underWay(overview),
    neverCompared(overview),
  ].filter((it) => it !== undefined);
  const [first, ...others] = needed.sort((a, b) => URGENCY[a.tone] - URGENCY[b.tone]);
  const last = lost ? [lost] : [];
  return first ? [first, ...others, ...last] : [AGREEMENT, ...last];
}

const URGENCY: Record<StandingTone, number> = { bad: 0, warning: 1, info: 2, good: 3 };

const AGREEMENT: Standing = {
  tone: "good",
  sentence: "Clerk and the database are in agreement",
  detail: "Deliveries arrive, nothing waits, and the last comparison left nothing open.",
};

function silence({ outage }: Overview): Standing | undefined {
  if (!outage.isSilent) return undefined;
  return {
    tone: "bad",
    sentence: "Deliveries have stopped",
    detail:
      "Clerk was changed, and no webhook has come since. Below is for how long Svix still tries.",
    action: { label: "Compare all", place: COMPARISONS },
  };
}

function lastFailure({ lastRun, currentRun }: Overview): Standing | undefined {
  if (lastRun?.state !== "failed" || currentRun) return undefined;
  return {
    tone: "bad",
    sentence: "The last comparison failed",
    detail: "Nobody knows whether the two sides are equal until one comes to its end.",
    action: { label: "See why", place: run(lastRun.id) },
  };
}

function lastCancelled({ lastRun, currentRun }: Overview): Standing | undefined {
  if (lastRun?.state !== "cancelled" || currentRun) return undefined;
  return {
    tone: "warning",
    sentence: "The last comparison was cancelled",
    detail: "What it found and did not mend is not counted here.",
    action: { label: "Compare all", place: COMPARISONS },
  };
}

function differences({ drift, currentRun }: Overview): Standing | undefined {
  if (!drift || drift.open === 0) return undefined;
  // It is being mended, or found anew.
  if (currentRun?.id === drift.runId) return undefined;
  const kinds = DRIFT_CLASSES.filter((it) => drift.byClass[it] > 0);
  return {
    tone: drift.byClass.stale_high > 0 ? "bad" : "warning",
    sentence: `${countOf(drift.open, "difference")} ${drift.open === 1 ? "waits" : "wait"} for a person`,
    detail: kinds.map((it) => `${CLASS_WORDS[it].label}: ${number(drift.byClass[it])}`).join(" · "),
    action: { label: "Look at them", place: run(drift.runId) },
  };
}

function deadLetters({ dead }: Overview): Standing | undefined {
  if (dead.events === 0) return undefined;
  return {
    tone: "warning",
    sentence: countOf(dead.events, "dead letter"),
    detail: "Clerk delivered them, and they could not be taken in.",
    action: { label: "See why, and replay", place: DEAD },
  };
}

function deadRoles({ dead }: Overview): Standing | undefined {
  if (dead.rolePushes === 0) return undefined;
  return {
    tone: "warning",
    sentence: `${countOf(dead.rolePushes, "role")} never reached Clerk`,
    detail: "They were set here, and Clerk refused them or gave no answer for a day.",
    action: { label: "See what to do", place: DEAD },
  };
}

function missed({ outage }: Overview): Standing | undefined {
  if (outage.isSilent || outage.oldestMissedAt === null) return undefined;
  return {
    tone: "info",
    sentence: "A webhook did not come",
    detail: "A comparison found what it would have told. Svix may still be trying to deliver it.",
  };
}

function parked({ parked }: Overview): Standing | undefined {
  if (parked.events === 0) return undefined;
  return {
    tone: "info",
    sentence: `${countOf(parked.events, "event")} ${parked.events === 1 ? "is" : "are"} parked`,
    detail: "Clerk has to be asked first; that happens by itself.",
    action: { label: "Look at them", place: PARKED },
  };
}

function owed({ outbox }: Overview): Standing | undefined {
  if (outbox.depth === 0) return undefined;
  return {
    tone: "info",
    sentence: `${countOf(outbox.depth, "role")} ${outbox.depth === 1 ? "is" : "are"} on the way to Clerk`,
    detail: "They are delivered by themselves, with growing waits.",
  };
}

function underWay({ currentRun }: Overview): Standing | undefined {
  if (!currentRun || !isOpen(currentRun)) return undefined;
  return {
    tone: "info",
    sentence: "A comparison is under way",
    action: { label: "Watch it", place: run(currentRun.id) },
  };
}

function neverCompared({ drift, currentRun }: Overview): Standing | undefined {
  if (drift || currentRun) return undefined;
  return {
    tone: "info",
    sentence: "Nothing was compared yet",
    detail: "Only a comparison finds what no webhook told.",
    action: { label: "Compare all", place: COMPARISONS },
  };
}

/** How many objects, and lists of memberships, Clerk has to be asked about. */
export function nFlagged({ flagged }: Overview): number {
  return sum(Object.values(flagged));
}
