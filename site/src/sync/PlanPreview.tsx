import type { RepairPlan } from "../api/types.ts";
import { classes } from "../ui/index.ts";
import styles from "./dialogs.module.css";
import { planWords } from "./words.ts";

/** What a repair would do, and what it would hold back. */
export function PlanPreview({ plan }: { plan: RepairPlan }) {
  const withheld = planWords(plan.withheld);
  const endsMemberships = "end user" in plan.planned || "end organization" in plan.planned;
  return (
    <div className={styles.plan} aria-live="polite">
      <Part title="Mended now" words={planWords(plan.planned)} />
      <Part title="Held back" words={withheld} isMarked={withheld.length > 0} />
      {endsMemberships && (
        <p className={styles.note}>
          With each organization or user that ends, all of its memberships end, too: also those that
          are counted as held back.
        </p>
      )}
    </div>
  );
}

function Part(props: { title: string; words: string[]; isMarked?: boolean }) {
  const { title, words, isMarked = false } = props;
  return (
    <section className={classes(styles.part, isMarked && styles.withheld)} aria-label={title}>
      <h3>{title}</h3>
      {words.length === 0 && <p className={styles.muted}>Nothing</p>}
      <ul>
        {words.map((it) => (
          <li key={it}>{it}</li>
        ))}
      </ul>
    </section>
  );
}
