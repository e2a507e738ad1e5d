import { CircleAlert, Inbox } from "lucide-react";
import type { ReactNode } from "react";
import { ApiError } from "../api/client.ts";
import { Button } from "./Button.tsx";
import { classes } from "./classes.ts";
import styles from "./states.module.css";
import { sentenceOf } from "./toasts.tsx";

/** Grey lines in the place of what is being loaded, as tall as it will be. */
export function Skeleton({ nLines = 3, height }: { nLines?: number; height?: number }) {
  const lines = Array.from({ length: nLines }, (_, index) => index);
  return (
    <div className={styles.skeletons} aria-busy="true">
      <span className="visually-hidden" role="status">
        Loading
      </span>
      {lines.map((line) => (
        <div key={line} className={styles.skeleton} style={height ? { height } : undefined} />
      ))}
    </div>
  );
}

/** Says that there is nothing, why, and what could be done. */
export function EmptyState(props: { title: string; children?: ReactNode; action?: ReactNode }) {
  return (
    <div className={styles.state}>
      <Inbox size={28} aria-hidden className={styles.icon} />
      <h2>{props.title}</h2>
      {props.children && <p className={styles.text}>{props.children}</p>}
      {props.action}
    </div>
  );
}

/** Says what failed, in the server's words, and lets it be tried again. */
export function ErrorState({ error, onRetry }: { error: unknown; onRetry?: () => void }) {
  const requestId = error instanceof ApiError ? error.requestId : undefined;
  return (
    <div className={styles.state} role="alert">
      <CircleAlert size={28} aria-hidden className={classes(styles.icon, styles.bad)} />
      <h2>This could not be loaded</h2>
      <p className={styles.text}>{sentenceOf(error)}</p>
      {requestId && (
        <p className={styles.small}>
          The log has more under request <code>{requestId}</code>.
        </p>
      )}
      {onRetry && <Button onClick={onRetry}>Try again</Button>}
    </div>
  );
}

/** A sentence in a box beside what it is about. */
export function Notice(props: { tone: "info" | "warning" | "bad" | "good"; children: ReactNode }) {
  return (
    <div
      className={classes(styles.notice, styles[props.tone])}
      role={props.tone === "bad" ? "alert" : "note"}
    >
      {props.children}
    </div>
  );
}

/** The whole window, while nothing can be shown yet. */
export function LoadingPage({ label }: { label: string }) {
  return (
    <main className={styles.page}>
      <p role="status">{label}…</p>
    </main>
  );
}
