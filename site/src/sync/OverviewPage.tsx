import { useQuery } from "@tanstack/react-query";
import { overviewQuery } from "../api/queries.ts";
import { useApi } from "../auth/session.ts";
import { ErrorState, Notice, Page, sentenceOf } from "../ui/index.ts";
import { ActivityPanel } from "./ActivityPanel.tsx";
import { OutagePanel } from "./OutagePanel.tsx";
import { OverviewFigures } from "./OverviewFigures.tsx";
import { OverviewSkeleton } from "./OverviewSkeleton.tsx";
import { StandingPanel } from "./StandingPanel.tsx";

export default function OverviewPage() {
  const { data, error, refetch } = useQuery(overviewQuery(useApi()));

  return (
    <Page
      title="Overview"
      description="Whether Clerk and the database agree, what is on its way between them, and what needs a person."
    >
      {data && error && (
        <Notice tone="warning">
          What you see may be old: {sentenceOf(error)} It is tried again by itself.
        </Notice>
      )}
      {data ? (
        <>
          <StandingPanel overview={data} />
          <OutagePanel outage={data.outage} />
          <OverviewFigures overview={data} />
          <ActivityPanel counts={data.deliveries.countsUpTo100000} />
        </>
      ) : error ? (
        <ErrorState error={error} onRetry={() => void refetch()} />
      ) : (
        <OverviewSkeleton />
      )}
    </Page>
  );
}
