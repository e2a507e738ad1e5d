import { type ReactNode, useEffect } from "react";
import { classes } from "./classes.ts";
import styles from "./Page.module.css";

interface PageProps {
  title: string;
  /** The way back to the list that it belongs to, above the title. */
  back?: ReactNode;
  /** A picture beside the title. */
  picture?: ReactNode;
  /** A sentence below the title. */
  description?: ReactNode;
  /** The buttons for what can be done with all of it. */
  actions?: ReactNode;
  children: ReactNode;
}

/** A view: its title is also the window's. */
export function Page(props: PageProps) {
  const { title, back, picture, description, actions, children } = props;
  useEffect(() => {
    document.title = `${title} · clerk-sync`;
  }, [title]);
  return (
    <div className={styles.page}>
      <header className={styles.header}>
        <div className={styles.heading}>
          {back && <div className={styles.back}>{back}</div>}
          <div className={styles.titleLine}>
            {picture}
            <div className={styles.heading}>
              <h1>{title}</h1>
              {description && <div className={styles.description}>{description}</div>}
            </div>
          </div>
        </div>
        {actions && <div className={styles.actions}>{actions}</div>}
      </header>
      {children}
    </div>
  );
}

/** A box with what belongs together. `isFlush`: its content reaches the edges, as a table does. */
export function Panel(props: {
  title?: string;
  description?: ReactNode;
  actions?: ReactNode;
  isFlush?: boolean;
  children: ReactNode;
}) {
  const { title, description, actions, isFlush, children } = props;
  return (
    <section className={styles.panel}>
      {(title || actions) && (
        <header className={classes(styles.panelHeader, isFlush && styles.flush)}>
          <div className={styles.heading}>
            {title && <h2>{title}</h2>}
            {description && <p className={styles.description}>{description}</p>}
          </div>
          {actions && <div className={styles.actions}>{actions}</div>}
        </header>
      )}
      <div className={classes(!isFlush && styles.panelBody)}>{children}</div>
    </section>
  );
}

/** What stands above a table: search and filters. */
export function Toolbar({ children }: { children: ReactNode }) {
  return <div className={styles.toolbar}>{children}</div>;
}

/** Boxes side by side, as many as fit. */
export function Tiles({ children }: { children: ReactNode }) {
  return <div className={styles.tiles}>{children}</div>;
}

/** A number and what it is. */
export function Figure(props: {
  label: string;
  value: ReactNode;
  note?: ReactNode;
  tone?: "good" | "warning" | "bad";
}) {
  return (
    <div className={styles.figure}>
      <p className={styles.figureLabel}>{props.label}</p>
      <p className={classes(styles.figureValue, props.tone && styles[props.tone])}>{props.value}</p>
      {props.note && <p className={styles.figureNote}>{props.note}</p>}
    </div>
  );
}

/** Names with their values. */
export function Facts({ facts }: { facts: [name: string, value: ReactNode][] }) {
  return (
    <dl className={styles.facts}>
      {facts.map(([name, value]) => (
        <div key={name} className={styles.fact}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}
