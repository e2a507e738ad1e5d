import type { DriftClass, Run } from "../api/types.ts";
import { Checkbox, countOf } from "../ui/index.ts";
import styles from "./dialogs.module.css";
import { mendableClasses, nOfClass, UNMENDED } from "./runs.ts";
import type { useRepair } from "./useRepair.ts";
import { CLASS_WORDS, number } from "./words.ts";

type Repair = ReturnType<typeof useRepair>;

/** Which classes are mended. */
export function RepairClasses({ run, repair }: { run: Run; repair: Repair }) {
  const { choice, classes, change, held } = repair;
  const nRoles = choice.nRolesBack || held.roles;
  const all = mendableClasses(run);
  const choose = (driftClass: DriftClass, isChosen: boolean) => {
    const chosen = all.filter((it) => (it === driftClass ? isChosen : classes.includes(it)));
    change({ classes: chosen.length === all.length ? undefined : chosen });
  };
  return (
    <fieldset className={styles.choices}>
      <legend>What is mended</legend>
      {all.map((it) => (
        <Checkbox
          key={it}
          label={`${CLASS_WORDS[it].label} (${number(nOfClass(run, it, UNMENDED))})`}
          isChecked={classes.includes(it)}
          onChange={(isChosen) => choose(it, isChosen)}
        />
      ))}
      {choice.classes === undefined && nRoles > 0 && (
        <Checkbox
          label={`Also set back ${countOf(nRoles, "role")} that Clerk refused to take`}
          isChecked={choice.nRolesBack > 0}
          onChange={(isChosen) => change({ nRolesBack: isChosen ? nRoles : 0 })}
        />
      )}
      {choice.classes?.includes("stale") && (
        <p className={styles.muted}>
          Since this class is named, roles that Clerk refused to take go back to what Clerk has,
          too.
        </p>
      )}
    </fieldset>
  );
}
