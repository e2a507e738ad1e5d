import type { ReactNode } from "react";
import styles from "./Badge.module.css";
import { classes } from "./classes.ts";

export type Tone = "neutral" | "accent" | "good" | "warning" | "bad" | "info";

/** A word that says a state. The word says it, the colour only helps. */
export function Badge(props: { tone?: Tone; title?: string; children: ReactNode }) {
  const { tone = "neutral", title, children } = props;
  return (
    <span className={classes(styles.badge, styles[tone])} title={title}>
      {children}
    </span>
  );
}
