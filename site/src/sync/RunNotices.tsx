import type { Run } from "../api/types.ts";
import { Notice } from "../ui/index.ts";
import { isOpen, mendableClasses, nOfRun } from "./runs.ts";
import { nOf, sentence } from "./words.ts";

/** What there is to be known before anything else of a comparison. */
export function RunNotices({ run, isLast }: { run: Run; isLast: boolean }) {
  const nWithheld = nOfRun(run, ["withheld"]);
  const isOver = !isOpen(run);
  return (
    <>
      {run.approval.isForeign && (
        <Notice tone="bad">
          <strong>None of our users is in Clerk.</strong> Perhaps the secret key is that of another
          instance. A repair would end every user here and add strangers: look at the settings
          before you approve anything.
        </Notice>
      )}
      {run.state === "failed" && (
        <Notice tone="bad">
          The comparison failed, and came to no result:{" "}
          {sentence(run.lastError ?? "nobody knows why")} Mend that, then begin another one; the
          schedule does so within ten minutes by itself.
        </Notice>
      )}
      {isOver && isLast && nWithheld > 0 && (
        <Notice tone="warning">
          {nOf(nWithheld, "difference")} {nWithheld === 1 ? "is" : "are"} held back: mending{" "}
          {nWithheld === 1 ? "it" : "them"} would delete or demote more than is usual, or takes a
          person to decide. Look at what was found, then review and approve.
        </Notice>
      )}
      {isOver && !isLast && mendableClasses(run).length > 0 && (
        <Notice tone="info">
          A newer comparison has taken its place, and only the last one can be repaired.
        </Notice>
      )}
    </>
  );
}
