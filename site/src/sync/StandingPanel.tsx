import { CircleAlert, CircleCheck, Info, TriangleAlert } from "lucide-react";
import type { Overview } from "../api/types.ts";
import { ButtonLink, classes } from "../ui/index.ts";
import styles from "./StandingPanel.module.css";
import { type Standing, type StandingTone, standings } from "./standing.ts";

const ICONS: Record<StandingTone, typeof Info> = {
  bad: CircleAlert,
  warning: TriangleAlert,
  info: Info,
  good: CircleCheck,
};

/** How it stands in one sentence, and below it what else there is to know. */
export function StandingPanel({ overview }: { overview: Overview }) {
  const [first, ...others] = standings(overview);
  return (
    <section className={styles.panel} aria-label="How it stands">
      <First standing={first} />
      {others.length > 0 && (
        <ul className={styles.others} aria-label="What else there is">
          {others.map((standing) => (
            <li key={standing.sentence} className={styles.other}>
              <Mark tone={standing.tone} size={18} />
              <Words standing={standing} />
              <Action standing={standing} />
            </li>
          ))}
        </ul>
      )}
    </section>
  );
}

function First({ standing }: { standing: Standing }) {
  return (
    <div className={classes(styles.first, styles[standing.tone])}>
      <Mark tone={standing.tone} size={26} />
      <div className={styles.words}>
        <h2 className={styles.sentence}>{standing.sentence}</h2>
        {standing.detail && <p className={styles.detail}>{standing.detail}</p>}
      </div>
      <Action standing={standing} isFirst />
    </div>
  );
}

function Words({ standing }: { standing: Standing }) {
  return (
    <div className={styles.words}>
      <p className={styles.title}>{standing.sentence}</p>
      {standing.detail && <p className={styles.detail}>{standing.detail}</p>}
    </div>
  );
}

function Mark({ tone, size }: { tone: StandingTone; size: number }) {
  const Icon = ICONS[tone];
  return <Icon size={size} aria-hidden className={classes(styles.mark, styles[`mark-${tone}`])} />;
}

function Action({ standing, isFirst = false }: { standing: Standing; isFirst?: boolean }) {
  if (!standing.action) return null;
  const { label, place } = standing.action;
  return (
    <ButtonLink {...place} size={isFirst ? "medium" : "small"}>
      {label}
    </ButtonLink>
  );
}
