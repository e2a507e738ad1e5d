import { Checkbox, countOf, TextField } from "../ui/index.ts";
import styles from "./dialogs.module.css";
import type { useRepair } from "./useRepair.ts";

type Repair = ReturnType<typeof useRepair>;

const NOT_WHOLE = "This takes a whole number, 0 or more.";

/** Lets the brake go, up to numbers that somebody names. */
export function Approval({ repair }: { repair: Repair }) {
  const { held, choice, ceilings, change } = repair;
  if (held.deletions === 0 && held.demotions === 0) return null;
  return (
    <fieldset className={styles.choices}>
      <legend>The brake</legend>
      <p>
        Without an approval it holds back {heldWords(held)}: more than is usual. If that is a
        mistake somewhere, such as the key of another instance, leave it so.
      </p>
      <Checkbox
        label="I have looked at them, and approve"
        isChecked={choice.isApproved}
        onChange={(isApproved) => change({ isApproved })}
      />
      {choice.isApproved && (
        <>
          <p className={styles.muted}>
            The approval is itself a ceiling: at most so many of what was found are done, the most
            urgent first, and the rest stays held back.
          </p>
          <div className={styles.ceilings}>
            {held.deletions > 0 && (
              <TextField
                label="Deletions at most"
                inputMode="numeric"
                value={choice.maxDeletions ?? String(ceilings.maxDeletions)}
                onChange={(maxDeletions) => change({ maxDeletions })}
                error={ceilings.maxDeletions === undefined ? NOT_WHOLE : undefined}
              />
            )}
            {held.demotions > 0 && (
              <TextField
                label="Demotions at most"
                inputMode="numeric"
                value={choice.maxDemotions ?? String(ceilings.maxDemotions)}
                onChange={(maxDemotions) => change({ maxDemotions })}
                error={ceilings.maxDemotions === undefined ? NOT_WHOLE : undefined}
              />
            )}
          </div>
        </>
      )}
    </fieldset>
  );
}

function heldWords({ deletions, demotions }: Repair["held"]): string {
  const words = [
    deletions > 0 ? countOf(deletions, "deletion") : "",
    demotions > 0 ? countOf(demotions, "demotion") : "",
  ];
  return words.filter(Boolean).join(" and ");
}
