import { Progress as Base } from "@base-ui/react/progress";
import styles from "./Progress.module.css";

/** How much of something is done, as a bar and in numbers; `total` 0: nobody knows yet. */
export function Progress(props: {
  label: string;
  done: number;
  total: number;
  /** It has not begun: nothing moves yet. */
  isIdle?: boolean;
}) {
  const { label, done, total, isIdle = false } = props;
  const isKnown = total > 0 || isIdle;
  return (
    <Base.Root
      value={isKnown ? Math.min(done, total) : null}
      max={Math.max(total, 1)}
      className={styles.progress}
    >
      <Base.Label className={styles.label}>{label}</Base.Label>
      <span className={styles.value}>
        {isIdle ? "–" : done.toLocaleString("en")}
        {total > 0 && ` of ${total.toLocaleString("en")}`}
      </span>
      <Base.Track className={styles.track}>
        <Base.Indicator className={styles.indicator} />
      </Base.Track>
    </Base.Root>
  );
}
