import type { Run } from "../api/types.ts";
import { countOf, Notice, sentence } from "../ui/index.ts";
import { ForeignNotice } from "./ForeignNotice.tsx";
import { isOpen, mendableClasses, nOfRun } from "./runs.ts";

/** What there is to be known before anything else of a comparison. */
export function RunNotices({ run, isLast }: { run: Run; isLast: boolean | undefined }) {
  const nWithheld = nOfRun(run, ["withheld"]);
  const isOver = !isOpen(run);
  return (
    <>
      {run.approval.isForeign && <ForeignNotice />}
      {run.state === "failed" && (
        <Notice tone="bad">
          The comparison failed, and came to no result:{" "}
          {sentence(run.lastError ?? "nobody knows why")} Mend that, then begin another one. The
          schedule begins one when it is due.
        </Notice>
      )}
      {isOver && isLast && nWithheld > 0 && (
        <Notice tone="warning">
          {countOf(nWithheld, "difference")} {nWithheld === 1 ? "is" : "are"} held back: mending{" "}
          {nWithheld === 1 ? "it" : "them"} would delete or demote more than is usual, or takes a
          person to decide. Look at what was found, then review and approve.
        </Notice>
      )}
      {isOver && isLast === false && mendableClasses(run).length > 0 && (
        <Notice tone="info">
          A newer comparison has taken its place, and only the last one can be repaired.
        </Notice>
      )}
      {isOver && isLast === undefined && mendableClasses(run).length > 0 && (
        <Notice tone="warning">
          Nobody knows whether this is the last comparison, since the list of them could not be
          loaded: only the last one can be repaired.
        </Notice>
      )}
    </>
  );
}
