import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { OUTCOMES, type Replayed, type ReplayTarget } from "../api/types.ts";
import { useApi } from "../auth/session.ts";
import {
  Button,
  countOf,
  Dialog,
  ErrorState,
  Facts,
  Notice,
  Progress,
  Skeleton,
  sentenceOf,
} from "../ui/index.ts";
import { OutcomeBadge } from "./badges.tsx";
import styles from "./ReplayDialog.module.css";
import { type ReplayState, useReplay } from "./useReplay.ts";
import { number, OUTCOME_WORDS } from "./words.ts";

interface ReplayProps {
  target: ReplayTarget;
  isOpen: boolean;
  onClose: () => void;
  /** Called when it is gone from the screen, and something was replayed. */
  onReplayed?: () => void;
}

/** First counts what would be replayed, then replays it, and shows what became of each. */
export function ReplayDialog({ target, isOpen, onClose, onReplayed }: ReplayProps) {
  const api = useApi();
  const { state, start, stop, reset } = useReplay(target);
  // While it runs it stops first, and stays to say what was done.
  const close = state?.isRunning ? stop : onClose;
  const onClosed = () => {
    if (state && state.events.length > 0) onReplayed?.();
    reset();
  };
  const counted = useQuery({
    queryKey: ["replay", target],
    queryFn: ({ signal }) =>
      api.post<Replayed>("/api/admin/sync/replay", { ...target, dryRun: true }, signal),
    enabled: isOpen && state === undefined,
    gcTime: 0,
    staleTime: 0,
  });
  const n = counted.data?.nWaiting ?? 0;

  return (
    <Dialog
      isOpen={isOpen}
      onClose={close}
      onClosed={onClosed}
      title={state ? "Replay" : "Replay events"}
      description="What is replayed is taken in again as if it came now, by all rules: what was overtaken meanwhile becomes stale, and what still cannot be read stays as it is."
      footer={
        state ? (
          <Ending state={state} onStop={stop} onClose={onClose} />
        ) : (
          <>
            <Button onClick={onClose}>Cancel</Button>
            <Button variant="primary" disabled={n === 0} onClick={() => void start()}>
              {n === 0 ? "Replay" : `Replay ${countOf(n, "event")}`}
            </Button>
          </>
        )
      }
    >
      <WhatIsMeant target={target} />
      {state ? (
        <Course state={state} />
      ) : (
        <Counted
          counted={counted.data}
          error={counted.error}
          onRetry={() => void counted.refetch()}
        />
      )}
    </Dialog>
  );
}

/** What a filter takes, in words: it may be more than the list shows. */
function WhatIsMeant({ target }: { target: ReplayTarget }) {
  if (!("filter" in target)) return null;
  const { outcome, type, object } = target.filter;
  return (
    <p>
      All {outcome ?? "dead and parked"} events
      {type && (
        <>
          {" "}
          of type <code>{type}</code>
        </>
      )}
      {object && (
        <>
          {" "}
          about <code>{object}</code>
        </>
      )}
      .
    </p>
  );
}

function Counted(props: { counted: Replayed | undefined; error: unknown; onRetry: () => void }) {
  const { counted } = props;
  if (!counted && props.error) return <ErrorState error={props.error} onRetry={props.onRetry} />;
  if (!counted) return <Skeleton nLines={4} height={20} />;
  const nLeftOut = counted.nNotReplayable + counted.nUnknown;
  return (
    <>
      <Facts
        facts={[
          ["Dead", number(counted.byOutcome.dead ?? 0)],
          ["Parked", number(counted.byOutcome.parked ?? 0)],
          ["Not replayable", number(nLeftOut)],
        ]}
      />
      {counted.nWaiting > 0 && (
        <section>
          <h3>By type</h3>
          <ul className={styles.types}>
            {Object.entries(counted.byType).map(([type, n]) => (
              <li key={type}>
                <code>{type}</code>
                <span>{number(n)}</span>
              </li>
            ))}
          </ul>
        </section>
      )}
      {nLeftOut > 0 && (
        <Notice tone="info">
          {countOf(nLeftOut, "event")} cannot be replayed: neither dead nor parked any more, or
          nothing is kept of what was delivered.
        </Notice>
      )}
      {counted.nWaiting === 0 && <p>There is nothing to replay.</p>}
    </>
  );
}

/** How far it is, and what has become of what was replayed. */
function Course({ state }: { state: ReplayState }) {
  return (
    <>
      <Progress label="Replayed" done={state.events.length} total={state.nTotal} />
      {state.error !== undefined && (
        <Notice tone="bad">
          {sentenceOf(state.error)} What was replayed before stays done. Some of the rest may have
          been replayed, too; look at the list.
        </Notice>
      )}
      {state.isStopped && state.error === undefined && (
        <Notice tone="info">
          {state.isRunning
            ? "It stops after what is under way."
            : "It was stopped. The rest is as it was, and can be replayed later."}
        </Notice>
      )}
      <Outcomes state={state} />
    </>
  );
}

/** More of them would only be scrolled over. */
const MOST_SHOWN = 200;

function Outcomes({ state }: { state: ReplayState }) {
  const { events } = state;
  if (events.length === 0) {
    const hasNothingToSay = state.isRunning || state.error !== undefined;
    return hasNothingToSay ? null : <p>There was nothing to replay any more.</p>;
  }
  const found = OUTCOMES.map((outcome) => ({
    outcome,
    n: events.filter((event) => event.outcome === outcome).length,
  }));
  return (
    <div role="status" className={styles.outcomes}>
      <ul className={styles.sums} aria-label="What became of them">
        {found
          .filter(({ n }) => n > 0)
          .map(({ outcome, n }) => (
            <li key={outcome}>
              <strong>{number(n)}</strong> {OUTCOME_WORDS[outcome].label.toLowerCase()}
            </li>
          ))}
      </ul>
      <ul className={styles.events}>
        {events.slice(0, MOST_SHOWN).map(({ svixId, outcome }) => (
          <li key={svixId}>
            <Link to="/admin/sync/events/$svixId" params={{ svixId }}>
              {svixId}
            </Link>
            <OutcomeBadge outcome={outcome} />
          </li>
        ))}
      </ul>
      {events.length > MOST_SHOWN && (
        <p className={styles.more}>and {number(events.length - MOST_SHOWN)} more.</p>
      )}
    </div>
  );
}

function Ending(props: { state: ReplayState; onStop: () => void; onClose: () => void }) {
  const { state, onStop, onClose } = props;
  if (!state.isRunning) {
    return (
      <Button variant="primary" onClick={onClose}>
        Close
      </Button>
    );
  }
  return (
    <Button onClick={onStop} disabled={state.isStopped}>
      Stop
    </Button>
  );
}
