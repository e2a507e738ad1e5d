import { Link } from "@tanstack/react-router";
import { useState } from "react";
import type { Run } from "../api/types.ts";
import { Button, ConfirmDialog, Page, Panel } from "../ui/index.ts";
import { BeginRepairDialog, TAKES_THE_PLACE } from "./BeginRepairDialog.tsx";
import { CancelButton } from "./CancelButton.tsx";
import styles from "./ComparisonsPage.module.css";
import { MayBeOld } from "./MayBeOld.tsx";
import { RunProgress } from "./RunProgress.tsx";
import { RunsTable } from "./RunsTable.tsx";
import { isOpen, isRepairable } from "./runs.ts";
import { useBegin, useRuns } from "./useRun.ts";

export default function ComparisonsPage() {
  const { data, error, isPending, refetch } = useRuns();
  const begin = useBegin();
  const [isAsking, setIsAsking] = useState(false);
  const [isAskingToCompare, setIsAskingToCompare] = useState(false);
  const runs = data?.runs ?? [];
  const underWay = runs.find(isOpen);
  const isWaiting = runs.some((run) => run.state === "waiting" && isRepairable(run, runs));

  return (
    <Page
      title="Comparisons"
      description="A comparison reads all that Clerk has, and holds it against all that is here: so it finds what no webhook told. A report only says what differs; a repair mends it, too."
      actions={
        <>
          <Button onClick={() => setIsAsking(true)}>Compare and repair</Button>
          <Button
            variant="primary"
            isBusy={begin.isPending}
            onClick={() => (isWaiting ? setIsAskingToCompare(true) : begin.mutate("report"))}
          >
            Compare now
          </Button>
        </>
      }
    >
      {data && <MayBeOld error={error} />}
      {underWay && <UnderWay run={underWay} />}
      <Panel title="The last comparisons" isFlush>
        <RunsTable runs={runs} isLoading={isPending} error={error} onRetry={() => void refetch()} />
      </Panel>
      <ConfirmDialog
        isOpen={isAskingToCompare}
        isBusy={begin.isPending}
        onClose={() => setIsAskingToCompare(false)}
        title="Compare now"
        description={`All that Clerk has is compared with all that is here. ${TAKES_THE_PLACE}`}
        confirmLabel="Compare"
        onConfirm={() => begin.mutate("report", { onSettled: () => setIsAskingToCompare(false) })}
      />
      <BeginRepairDialog
        isOpen={isAsking}
        isBusy={begin.isPending}
        usual={runs[0]?.approval}
        onClose={() => setIsAsking(false)}
        onBegin={() => begin.mutate("repair", { onSettled: () => setIsAsking(false) })}
      />
    </Page>
  );
}

function UnderWay({ run }: { run: Run }) {
  return (
    <section className={styles.underWay} aria-label="Under way">
      <RunProgress run={run} />
      <div className={styles.buttons}>
        <Link to="/admin/sync/comparisons/$runId" params={{ runId: run.id }}>
          All about this comparison
        </Link>
        <CancelButton run={run} />
      </div>
    </section>
  );
}
