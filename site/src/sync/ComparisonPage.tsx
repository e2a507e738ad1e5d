import { getRouteApi } from "@tanstack/react-router";
import { useState } from "react";
import type { Run } from "../api/types.ts";
import { Button, ErrorState, Page, Skeleton, Time } from "../ui/index.ts";
import { RunStateBadge } from "./badges.tsx";
import { CancelButton } from "./CancelButton.tsx";
import styles from "./ComparisonPage.module.css";
import { DriftSection } from "./DriftSection.tsx";
import { FoundPanel } from "./FoundPanel.tsx";
import { Actor, Back } from "./links.tsx";
import { MayBeOld } from "./MayBeOld.tsx";
import { RepairDialog } from "./RepairDialog.tsx";
import { RunNotices } from "./RunNotices.tsx";
import { RunProgress } from "./RunProgress.tsx";
import { hasNewer, isOpen, isRepairable, mendableClasses, nOfRun, secondsOf } from "./runs.ts";
import { useRun, useRuns } from "./useRun.ts";
import { MODE_WORDS, took } from "./words.ts";

const route = getRouteApi("/admin/sync/comparisons/$runId");

export default function ComparisonPage() {
  const { runId } = route.useParams();
  const { data: run, error, refetch } = useRun(runId);
  const others = useRuns();
  const runs = others.data?.runs;
  // Whether it is the last one decides what is said above all else.
  const isLoading = others.isPending || (!run && !error);
  const [isRepairing, setIsRepairing] = useState(false);
  const canRepair = run && runs && isRepairable(run, runs) && mendableClasses(run).length > 0;

  return (
    <Page
      title="Comparison"
      back={<Back to="/admin/sync/comparisons">All comparisons</Back>}
      description={<div className={styles.head}>{run && <Head run={run} />}</div>}
      actions={
        run && (
          <>
            {(isOpen(run) || run.state === "waiting") && <CancelButton run={run} />}
            {canRepair && (
              <Button variant="primary" onClick={() => setIsRepairing(true)}>
                {run.state === "waiting" ? "Review and approve" : "Repair"}
              </Button>
            )}
          </>
        )
      }
    >
      {isLoading && <Skeleton nLines={3} height={160} />}
      {run && <MayBeOld error={error} />}
      {!isLoading && run && <Course run={run} isLast={runs && !hasNewer(run, runs)} />}
      {!isLoading && !run && <ErrorState error={error} onRetry={() => void refetch()} />}
      {run && <RepairDialog run={run} isOpen={isRepairing} onClose={() => setIsRepairing(false)} />}
    </Page>
  );
}

function Head({ run }: { run: Run }) {
  return (
    <>
      <RunStateBadge state={run.state} />
      <span>
        {MODE_WORDS[run.mode]}, begun <Time at={run.createdAt} />
        {run.finishedAt && `, over after ${took(secondsOf(run, Date.now()))}`}, by{" "}
        <Actor actor={run.actor} />
      </span>
    </>
  );
}

function Course({ run, isLast }: { run: Run; isLast: boolean | undefined }) {
  // Before that, nobody knows what differs.
  const hasFound = run.comparedAt !== null || nOfRun(run) > 0;
  return (
    <>
      <RunNotices run={run} isLast={isLast} />
      {isOpen(run) && <RunProgress run={run} />}
      {hasFound && <FoundPanel run={run} />}
      {nOfRun(run) > 0 && <DriftSection run={run} />}
    </>
  );
}
