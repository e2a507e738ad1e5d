import { Link } from "@tanstack/react-router";
import { CircleCheck } from "lucide-react";
import { DRIFT_CLASSES, DRIFT_STATES, type DriftClass, type Run } from "../api/types.ts";
import { countOf, Panel } from "../ui/index.ts";
import styles from "./FoundPanel.module.css";
import { isOpen, nOfClass, nOfRun } from "./runs.ts";
import { CLASS_WORDS, DRIFT_STATE_WORDS, number } from "./words.ts";

/** What was found, by class and by what became of it. */
export function FoundPanel({ run }: { run: Run }) {
  const classes = DRIFT_CLASSES.filter((it) => nOfClass(run, it) > 0);
  const states = DRIFT_STATES.filter((state) => nOfRun(run, [state]) > 0);
  if (classes.length === 0) return isOpen(run) ? null : <NothingDiffers run={run} />;
  return (
    <Panel title="What was found" description={whatClerkHas(run)} isFlush>
      <div className={styles.scroller}>
        <table className={styles.table}>
          <caption className="visually-hidden">What was found</caption>
          <thead>
            <tr>
              <th scope="col">Class</th>
              <th scope="col" className={styles.repair}>
                What a repair does
              </th>
              {states.map((state) => (
                <th key={state} scope="col" className={styles.number}>
                  {DRIFT_STATE_WORDS[state].label}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {classes.map((it) => (
              <tr key={it}>
                <ClassCell run={run} driftClass={it} />
                {states.map((state) => (
                  <td key={state} className={styles.number}>
                    {number(nOfClass(run, it, [state]))}
                  </td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </Panel>
  );
}

function ClassCell({ run, driftClass }: { run: Run; driftClass: DriftClass }) {
  const { label, meaning, repair } = CLASS_WORDS[driftClass];
  return (
    <>
      <th scope="row" className={styles.class}>
        <Link
          to="/admin/sync/comparisons/$runId"
          params={{ runId: run.id }}
          search={{ class: driftClass }}
        >
          {label}
        </Link>{" "}
        <code className={styles.code}>{driftClass}</code>
        <p className={styles.meaning}>{meaning}</p>
      </th>
      <td className={styles.repair}>{repair}</td>
    </>
  );
}

function NothingDiffers({ run }: { run: Run }) {
  return (
    <section className={styles.nothing} aria-label="What was found">
      <CircleCheck size={26} aria-hidden />
      <div>
        <h2>Nothing differs</h2>
        <p>{whatClerkHas(run)} All of them are here, and are the same.</p>
      </div>
    </section>
  );
}

function whatClerkHas({ progress }: Run): string {
  const users = countOf(progress.users.done, "user");
  const organizations = countOf(progress.organizations.done, "organization");
  return `Clerk has ${users}, ${organizations} and ${countOf(progress.memberships.done, "membership")}.`;
}
