import { useQuery } from "@tanstack/react-query";
import { getRouteApi } from "@tanstack/react-router";
import { useMemo } from "react";
import { statisticsHistoryQuery } from "../api/queries.ts";
import type { StatisticsDay } from "../api/types.ts";
import { useApi } from "../auth/session.ts";
import { TimeChart } from "../charts/TimeChart.tsx";
import { EmptyState, ErrorState, Panel, Select, Skeleton } from "../ui/index.ts";
import styles from "./StatisticsPage.module.css";
import { DAYS } from "./statisticsSearch.ts";

const route = getRouteApi("/admin/statistics");
const OPTIONS = DAYS.map((days) => ({ value: String(days), label: `Last ${days} days` }));

const SERIES = [
  { key: "studentCount", label: "Students", tone: "info" },
  { key: "instructorCount", label: "Instructors", tone: "warning" },
  { key: "adminCount", label: "Admins", tone: "accent" },
] as const;

/** How many users of each role there were at the end of each day. */
export function HistoryChart() {
  const { days = 90 } = route.useSearch();
  const navigate = route.useNavigate();
  const { data, error, refetch } = useQuery(statisticsHistoryQuery(useApi(), days));
  return (
    <Panel
      title="Over time"
      actions={
        <Select
          label="How far back"
          isLabelHidden
          value={String(days)}
          options={OPTIONS}
          onChange={(chosen) => {
            const days = DAYS.find((it) => String(it) === chosen);
            void navigate({ search: { days }, replace: true });
          }}
        />
      }
    >
      <div className={styles.chart}>
        {data ? (
          <Chart days={data.days} />
        ) : error ? (
          <ErrorState error={error} onRetry={refetch} />
        ) : (
          <Skeleton nLines={1} height={322} />
        )}
      </div>
    </Panel>
  );
}

function Chart({ days }: { days: StatisticsDay[] }) {
  const points = useMemo(() => days.map((day) => ({ ...day, at: day.date })), [days]);
  if (points.length === 0) return <EmptyState title="Nothing was counted yet" />;
  return (
    <TimeChart
      caption="Users of each role at the end of each day, in UTC; of today as they are now."
      kind="area"
      isStacked
      series={SERIES}
      points={points}
      formatAt={dayInWords}
    />
  );
}

const DAY = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", timeZone: "UTC" });

function dayInWords(date: string): string {
  return DAY.format(new Date(`${date}T00:00:00Z`));
}
