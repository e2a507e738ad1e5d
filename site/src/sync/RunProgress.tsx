import type { Count, Run, RunState } from "../api/types.ts";
import { absolute, countOf, Notice, Panel, Progress, sentence } from "../ui/index.ts";
import styles from "./RunProgress.module.css";
import { RUN_STATE_WORDS } from "./words.ts";

interface Phase {
  state: RunState;
  label: string;
  count: Count;
}

/** How far a comparison is, phase by phase. */
export function RunProgress({ run }: { run: Run }) {
  return (
    <Panel
      title={`${RUN_STATE_WORDS[run.state].label} …`}
      description={`${countOf(run.progress.nCalls, "call")} to Clerk so far. It goes on when you leave this page.`}
    >
      <p className="visually-hidden" role="status">
        {RUN_STATE_WORDS[run.state].label}
      </p>
      {run.nFailures > 0 && run.lastError && (
        <Notice tone="warning">
          What went wrong last: {sentence(run.lastError)} It is tried again by itself, the next time
          at {absolute(run.nextAttemptAt)}.
        </Notice>
      )}
      <div className={styles.phases}>
        {phases(run).map(({ state, label, count }) => (
          <Progress
            key={label}
            label={label}
            {...count}
            isIdle={count.total === 0 && state !== run.state}
          />
        ))}
      </div>
    </Panel>
  );
}

function phases({ mode, progress }: Run): Phase[] {
  const all: Phase[] = [
    { state: "listing", label: "Users listed", count: progress.users },
    { state: "listing", label: "Organizations listed", count: progress.organizations },
    { state: "listing", label: "Memberships listed", count: progress.memberships },
    { state: "asking", label: "Asked about alone", count: progress.asked },
    { state: "comparing", label: "Compared", count: progress.compared },
    { state: "repairing", label: "Mended", count: progress.repaired },
  ];
  return all.filter(({ state }) => mode === "repair" || state !== "repairing");
}
