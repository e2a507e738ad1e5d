import { Link } from "@tanstack/react-router";
import { DRIFT_CLASSES, type Overview, type RunSummary } from "../api/types.ts";
import { countOf, duration, Figure, Tiles, Time } from "../ui/index.ts";
import styles from "./OverviewFigures.module.css";
import { nFlagged } from "./standing.ts";
import { count, milliseconds, number, RUN_STATE_WORDS } from "./words.ts";

export function OverviewFigures({ overview }: { overview: Overview }) {
  const { dead, drift, flagged, lagOfLast24Hours: lag, lastRun, outage, outbox, parked } = overview;
  return (
    <Tiles>
      <Figure
        label="Lag of half of the events"
        value={milliseconds(lag.p50Ms)}
        note={
          lag.nEvents === 0
            ? "No event came in the last 24 h"
            : `p95 ${milliseconds(lag.p95Ms)} · p99 ${milliseconds(lag.p99Ms)}`
        }
      />
      <Figure
        label="Owed to Clerk"
        value={number(outbox.depth)}
        note={oldest(outbox.oldestAgeSeconds) ?? "No role is on its way"}
      />
      <Figure
        label="Dead letters"
        value={
          <Link to="/admin/sync/dead-letters" className={styles.value}>
            {count(dead.events)}
          </Link>
        }
        note={countOf(dead.rolePushes, "undelivered role")}
        {...(dead.events > 0 && { tone: "warning" })}
      />
      <Figure
        label="Parked"
        value={
          <Link
            to="/admin/sync/dead-letters"
            search={{ outcome: "parked" }}
            className={styles.value}
          >
            {count(parked.events)}
          </Link>
        }
        note={oldest(parked.oldestAgeSeconds) ?? "No event waits"}
      />
      <Figure
        label="To ask Clerk about"
        value={number(nFlagged(overview))}
        note={flaggedWords(flagged)}
      />
      <Figure
        label="Open differences"
        value={<OpenDifferences drift={drift} />}
        note={byClass(drift)}
        {...(drift && drift.open > 0 && { tone: "warning" })}
      />
      <Figure
        label="Last comparison"
        value={<LastRun run={lastRun} />}
        note={lastRun ? <Time at={lastRun.finishedAt} /> : "None has ended yet"}
      />
      <Figure
        label="Last delivery"
        value={<Time at={outage.lastEventAt} />}
        note="From Clerk, by webhook"
      />
    </Tiles>
  );
}

function flaggedWords(flagged: Overview["flagged"]): string {
  const { users, organizations, memberships } = flagged;
  const nLists = flagged.walksOfUsers + flagged.walksOfOrganizations;
  const words = [
    users > 0 && countOf(users, "user"),
    organizations > 0 && countOf(organizations, "organization"),
    memberships > 0 && countOf(memberships, "membership"),
    nLists > 0 && countOf(nLists, "membership list"),
  ];
  return words.filter(Boolean).join(" · ") || "Nothing is in doubt";
}

function oldest(seconds: number | null): string | undefined {
  return seconds === null ? undefined : `The oldest for ${duration(seconds)}`;
}

function OpenDifferences({ drift }: { drift: Overview["drift"] }) {
  if (!drift) return "–";
  return (
    <Link
      to="/admin/sync/comparisons/$runId"
      params={{ runId: drift.runId }}
      className={styles.value}
    >
      {number(drift.open)}
    </Link>
  );
}

function byClass(drift: Overview["drift"]): string {
  if (!drift) return "Nothing was compared yet";
  const found = DRIFT_CLASSES.filter((it) => drift.byClass[it] > 0);
  if (found.length === 0) return "Nothing differs";
  return found.map((it) => `${number(drift.byClass[it])} ${it}`).join(" · ");
}

function LastRun({ run }: { run: RunSummary | null }) {
  if (!run) return "–";
  return (
    <Link to="/admin/sync/comparisons/$runId" params={{ runId: run.id }} className={styles.value}>
      {RUN_STATE_WORDS[run.state].label}
    </Link>
  );
}
