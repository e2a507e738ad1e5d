import { useInfiniteQuery } from "@tanstack/react-query";
import { getRouteApi, useNavigate } from "@tanstack/react-router";
import { useEffect, useRef } from "react";
import { type DriftFilter, driftQuery } from "../api/queries.ts";
import type { Drift, Run } from "../api/types.ts";
import { useApi } from "../auth/session.ts";
import { Button, EmptyState, ErrorState, Panel, Skeleton } from "../ui/index.ts";
import { LoadMore } from "../ui/LoadMore.tsx";
import { DifferenceCard } from "./DifferenceCard.tsx";
import { DriftFilters } from "./DriftFilters.tsx";
import styles from "./DriftSection.module.css";
import { MayBeOld } from "./MayBeOld.tsx";
import { errorBehind, moreOf } from "./pages.ts";
import { isOpen, nOfRun } from "./runs.ts";

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
      <MayBeOld error={errorBehind(drift)} />
      {found ? (
        <Differences found={found} onClear={() => onFilter(NO_FILTER)} />
      ) : drift.error ? (
        <ErrorState error={drift.error} onRetry={() => void drift.refetch()} />
      ) : (
        <Skeleton nLines={3} height={150} />
      )}
      {found && found.length > 0 && <LoadMore {...moreOf(drift)} nShown={found.length} />}
    </Panel>
  );
}

/** While it is mended, what is shown of it follows the counts. */
function useFresh(run: Run, refetch: (options: { cancelRefetch: boolean }) => unknown) {
  const counted = isOpen(run) ? `${run.progress.repaired.done} ${nOfRun(run)}` : run.state;
  const before = useRef(counted);
  useEffect(() => {
    if (before.current === counted) return;
    before.current = counted;
    // One that is on its way is not begun anew, so that it can come to its end.
    void refetch({ cancelRefetch: false });
  }, [counted, refetch]);
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
    <ul className={styles.list} aria-label="Differences">
      {found.map((difference) => (
        <li key={difference.id}>
          <DifferenceCard difference={difference} />
        </li>
      ))}
    </ul>
  );
}
