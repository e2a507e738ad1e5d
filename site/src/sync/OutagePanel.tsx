import type { Overview } from "../api/types.ts";
import { absolute, ButtonLink, duration, Facts, Panel, Time } from "../ui/index.ts";
import styles from "./OutagePanel.module.css";
import { useNow } from "./useNow.ts";

/** For how long Svix tries to deliver a message: 27 h 35 min. */
const MESSAGE_PATIENCE_MS = (27 * 60 + 35) * 60_000;

/** For how long yet what is lost may come by itself, and what to do meanwhile. */
export function OutagePanel({ outage }: { outage: Overview["outage"] }) {
  if (!outage.isSilent && outage.oldestMissedAt === null) return null;
  return (
    <Panel
      title="The outage clock"
      description="Svix, which delivers Clerk's webhooks, tries each message for 27 h 35 min, and disables an endpoint after five days without success."
    >
      <div className={styles.clocks}>
        <Clock label="The oldest message is given up in" until={givenUpAt(outage)} />
        <Clock label="The endpoint is disabled in" until={outage.endpointDisabledAt} />
      </div>
      <Facts
        facts={[
          ["Silent since", <Time key="silent" at={outage.silentSince} fallback="it is not" />],
          ["Last delivery", <Time key="last" at={outage.lastEventAt} />],
          [
            "Last change in Clerk",
            <Time key="change" at={outage.lastClerkChangeAt} fallback="not asked for yet" />,
          ],
          [
            "Oldest missed change",
            <Time key="missed" at={outage.oldestMissedAt} fallback="none is known yet" />,
          ],
        ]}
      />
      <h3>What to do</h3>
      <ol className={styles.steps}>
        <li>
          In Clerk's dashboard, under Webhooks, open the endpoint. Its attempts say what was
          answered; if it is disabled, enable it.
        </li>
        <li>
          When deliveries arrive again, have the dashboard replay the failed messages, or wait: Svix
          repeats them by itself as long as the clock above runs.
        </li>
        <li>Begin a comparison: it finds what was missed, whatever becomes of the messages.</li>
      </ol>
      <div>
        <ButtonLink to="/admin/sync/comparisons">Compare all</ButtonLink>
      </div>
    </Panel>
  );
}

/**
 * When the oldest message is given up: that of what a comparison found, or, of a silent endpoint, of
 * the first change that nothing came after.
 */
function givenUpAt({ messageGivenUpAt, silentSince }: Overview["outage"]): string | null {
  const ends = [
    messageGivenUpAt === null ? Number.POSITIVE_INFINITY : Date.parse(messageGivenUpAt),
    silentSince === null ? Number.POSITIVE_INFINITY : Date.parse(silentSince) + MESSAGE_PATIENCE_MS,
  ];
  const first = Math.min(...ends);
  return Number.isFinite(first) ? new Date(first).toISOString() : null;
}

function Clock({ label, until }: { label: string; until: string | null }) {
  const now = useNow();
  if (until === null) return null;
  const seconds = (Date.parse(until) - now) / 1000;
  return (
    <div className={styles.clock}>
      <p className={styles.label}>{label}</p>
      <p className={styles.left}>{timeLeft(seconds)}</p>
      <p className={styles.until}>{absolute(until)}</p>
    </div>
  );
}

const HOUR = 3600;
const TWO_DAYS = 48 * HOUR;

/** Somebody who looks at it works by the hour: `26 h 34 min` says more than `1 d 2 h`. */
function timeLeft(seconds: number): string {
  if (seconds <= 0) return "it is over";
  if (seconds < HOUR || seconds >= TWO_DAYS) return duration(seconds);
  return `${Math.floor(seconds / HOUR)} h ${Math.floor((seconds % HOUR) / 60)} min`;
}
