import { useQuery } from "@tanstack/react-query";
import { getRouteApi, Link, useNavigate } from "@tanstack/react-router";
import { activityQuery } from "../api/queries.ts";
import { type Activity, OUTCOMES, type Overview, PERIODS, type Period } from "../api/types.ts";
import { useApi } from "../auth/session.ts";
import { TimeChart } from "../charts/TimeChart.tsx";
import { EmptyState, ErrorState, Panel, Skeleton } from "../ui/index.ts";
import styles from "./ActivityPanel.module.css";
import { OutcomeBadge } from "./badges.tsx";
import { Tabs } from "./Tabs.tsx";
import { count, OUTCOME_WORDS, sum } from "./words.ts";

const route = getRouteApi("/admin/sync");

const CHART_HEIGHT = 260;
const TITLES: Record<Period, string> = { "24h": "24 hours", "7d": "7 days", "30d": "30 days" };
const SERIES = OUTCOMES.map((key) => ({
  key,
  label: OUTCOME_WORDS[key].label,
  tone: OUTCOME_WORDS[key].tone,
}));

type Counts = Overview["deliveries"]["countsUpTo100000"];

/** What was delivered, by what became of it. */
export function ActivityPanel({ counts }: { counts: Counts }) {
  const { period = "24h" } = route.useSearch();
  const navigate = useNavigate();
  return (
    <Panel
      title="Deliveries"
      actions={
        <Tabs
          label="Period"
          value={period}
          tabs={PERIODS.map((value) => ({ value, label: TITLES[value] }))}
          onChange={(period) =>
            void navigate({
              to: "/admin/sync",
              search: { period },
              replace: true,
              resetScroll: false,
            })
          }
        />
      }
    >
      <div className={styles.chart}>
        <Chart period={period} />
      </div>
      <CountsTable counts={counts} />
    </Panel>
  );
}

function Chart({ period }: { period: Period }) {
  const { data, error, refetch } = useQuery(activityQuery(useApi(), period));
  if (!data && error) return <ErrorState error={error} onRetry={() => void refetch()} />;
  if (!data) return <Skeleton nLines={1} height={CHART_HEIGHT + 40} />;
  if (nEvents(data) === 0) {
    return (
      <EmptyState title="No webhook has arrived in this time">
        When something changes in Clerk, its webhook is counted here.
      </EmptyState>
    );
  }
  return (
    <TimeChart
      caption={`Events by outcome, last ${TITLES[data.period]}`}
      kind="bar"
      isStacked
      series={SERIES}
      points={data.buckets}
      formatAt={formatFor(data.period)}
      height={CHART_HEIGHT}
    />
  );
}

function nEvents({ buckets }: Activity): number {
  return sum(buckets.flatMap((bucket) => OUTCOMES.map((outcome) => bucket[outcome])));
}

const HOUR = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const DAY = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });
const DAY_AND_HOUR = new Intl.DateTimeFormat(undefined, {
  day: "numeric",
  month: "short",
  hour: "2-digit",
  minute: "2-digit",
});
const FORMATS: Record<Period, Intl.DateTimeFormat> = {
  "24h": HOUR,
  "7d": DAY_AND_HOUR,
  "30d": DAY,
};

function formatFor(period: Period): (at: string) => string {
  return (at) => FORMATS[period].format(new Date(at));
}

function CountsTable({ counts }: { counts: Counts }) {
  return (
    <table className={styles.counts}>
      <caption className="visually-hidden">Events by outcome</caption>
      <thead>
        <tr>
          <th scope="col">Outcome</th>
          <th scope="col" className={styles.meaning}>
            What it means
          </th>
          <th scope="col" className={styles.number}>
            Last 24 h
          </th>
          <th scope="col" className={styles.number}>
            All time
          </th>
        </tr>
      </thead>
      <tbody>
        {OUTCOMES.map((outcome) => (
          <tr key={outcome}>
            <th scope="row">
              <Link to="/admin/sync/events" search={{ outcome }} className={styles.outcome}>
                <OutcomeBadge outcome={outcome} />
              </Link>
            </th>
            <td className={styles.meaning}>{OUTCOME_WORDS[outcome].meaning}</td>
            <td className={styles.number}>{count(counts.last24Hours[outcome])}</td>
            <td className={styles.number}>{count(counts.allTime[outcome])}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
