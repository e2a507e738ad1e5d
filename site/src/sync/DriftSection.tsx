import { useInfiniteQuery } from "@tanstack/react-query";
import { getRouteApi, useNavigate } from "@tanstack/react-router";
import { useEffect } from "react";
import { type DriftFilter, driftQuery } from "../api/queries.ts";
import type { Drift, Run } from "../api/types.ts";
import { useApi } from "../auth/session.ts";
import { Button, EmptyState, ErrorState, Panel, Skeleton } from "../ui/index.ts";
import { DifferenceCard } from "./DifferenceCard.tsx";
import { DriftFilters } from "./DriftFilters.tsx";
import styles from "./DriftSection.module.css";
import { isOpen, nOfRun } from "./runs.ts";
import { number } from "./words.ts";

const route = getRouteApi("/admin/sync/comparisons/$runId");
const NO_FILTER = { class: undefined, state: undefined, object: undefined };

/** The differences one by one, the most urgent first. */
export function DriftSection({ run }: { run: Run }) {
  const filter = route.useSearch();
  const navigate = useNavigate();
  const drift = useInfiniteQuery(driftQuery(useApi(), run.id, filter));
  useFresh(run, drift.refetch);
  const onFilter = (change: DriftFilter) =>
    void navigate({
      to: "/admin/sync/comparisons/$runId",
      params: { runId: run.id },
      search: { ...filter, ...change },
      replace: true,
      resetScroll: false,
    });
  const found = drift.data?.pages.flatMap((page) => page.drift);

  return (
    <Panel title="The differences" description="The most urgent first.">
      <DriftFilters filter={filter} onFilter={onFilter} />
      {found ? (
        <Differences found={found} onClear={() => onFilter(NO_FILTER)} />
      ) : drift.error ? (
        <ErrorState error={drift.error} onRetry={() => void drift.refetch()} />
      ) : (
        <Skeleton nLines={3} height={150} />
      )}
      {drift.hasNextPage && (
        <footer className={styles.more}>
          <Button isBusy={drift.isFetchingNextPage} onClick={() => void drift.fetchNextPage()}>
            Show more
          </Button>
        </footer>
      )}
    </Panel>
  );
}

/** While it is mended, what is shown of it follows the counts. */
function useFresh(run: Run, refetch: () => unknown) {
  const counted = isOpen(run) ? `${run.progress.repaired.done} ${nOfRun(run)}` : run.state;
  // biome-ignore lint/correctness/useExhaustiveDependencies: whenever the counts change.
  useEffect(() => void refetch(), [counted, refetch]);
}

function Differences({ found, onClear }: { found: Drift[]; onClear: () => void }) {
  if (found.length === 0) {
    return (
      <EmptyState
        title="No difference is like this"
        action={<Button onClick={onClear}>Show all differences</Button>}
      >
        Nothing that this comparison found fits these filters.
      </EmptyState>
    );
  }
  return (
    <>
      <ul className={styles.list} aria-label="Differences">
        {found.map((difference) => (
          <li key={difference.id}>
            <DifferenceCard difference={difference} />
          </li>
        ))}
      </ul>
      <p className={styles.shown}>{number(found.length)} shown.</p>
    </>
  );
}
