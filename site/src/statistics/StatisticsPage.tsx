// How many users there are of each role, how that changed, and who changed it.

import { useQuery } from "@tanstack/react-query";
import { statisticsQuery } from "../api/queries.ts";
import type { Statistics } from "../api/types.ts";
import { useApi } from "../auth/session.ts";
import { ErrorState, Figure, Page, Panel, Tiles } from "../ui/index.ts";
import { ChangesPanel } from "./ChangesPanel.tsx";
import { HistoryChart } from "./HistoryChart.tsx";
import styles from "./StatisticsPage.module.css";

/** Roles change in Clerk, too, of which nobody tells the page. */
const LOOK_AGAIN_MS = 15_000;

export default function StatisticsPage() {
  const { data, error, refetch } = useQuery({
    ...statisticsQuery(useApi()),
    refetchInterval: LOOK_AGAIN_MS,
  });
  return (
    <Page
      title="Statistics"
      description="These counts are updated when roles change in either direction."
    >
      {error && !data ? (
        <Panel>
          <ErrorState error={error} onRetry={refetch} />
        </Panel>
      ) : (
        <Figures statistics={data} />
      )}
      <HistoryChart />
      <ChangesPanel />
    </Page>
  );
}

const FIGURES: [name: keyof Statistics, label: string, note: string][] = [
  ["totalUsers", "Total users", "Everybody who is not deleted"],
  ["adminCount", "Admins", "Full access, this panel included"],
  ["instructorCount", "Instructors", "Teach or mentor"],
  ["studentCount", "Students", "Everybody else"],
];

function Figures({ statistics }: { statistics: Statistics | undefined }) {
  return (
    <Tiles>
      {FIGURES.map(([name, label, note]) => (
        <Figure
          key={name}
          label={label}
          note={note}
          value={
            statistics ? (
              statistics[name].toLocaleString("en")
            ) : (
              <span className={styles.waiting}>…</span>
            )
          }
        />
      ))}
    </Tiles>
  );
}
