import { Link } from "@tanstack/react-router";
import { AtSign, GitCompareArrows, Mail, Pencil, Send, ShieldUser } from "lucide-react";
import type { ComponentType, ReactNode } from "react";
import type { HistoryEntry } from "../api/types.ts";
import { OutcomeBadge } from "../sync/badges.tsx";
import { Actor } from "../sync/links.tsx";
import { absolute, Badge, Time } from "../ui/index.ts";
import styles from "./HistoryPanel.module.css";
import { WAYS } from "./HistoryWords.ts";
import { ROLE_TONES } from "./words.ts";

const ICONS: Record<HistoryEntry["kind"], ComponentType<{ size: number }>> = {
  delivery: Mail,
  role_change: ShieldUser,
  profile_edit: Pencil,
  email_change: AtSign,
  push: Send,
  drift: GitCompareArrows,
};

/** One thing that happened: what, when, and where to read more. */
export function HistoryItem({ entry }: { entry: HistoryEntry }) {
  const Icon = ICONS[entry.kind];
  const changed = changedBy(entry);
  const link = linkOf(entry);
  return (
    <li className={styles.entry} data-kind={entry.kind}>
      <span className={styles.icon} aria-hidden>
        <Icon size={15} />
      </span>
      <div className={styles.text}>
        <div>{sentenceOf(entry)}</div>
        {changed.length > 0 && (
          <p className={styles.changed}>Changed: {changed.map(inWords).join(", ")}</p>
        )}
        <p className={styles.meta}>
          <Time at={entry.at} />
          <span className={styles.exact}>{absolute(entry.at)}</span>
          {entry.kind === "delivery" && <OutcomeBadge outcome={entry.outcome} />}
          {link}
        </p>
      </div>
    </li>
  );
}

/** What a delivery changed; of what it added that is everything, and all else says it itself. */
function changedBy(entry: HistoryEntry): string[] {
  if (entry.kind !== "delivery" || entry.rule === "R1") return [];
  return entry.changed ?? [];
}

function sentenceOf(entry: HistoryEntry): ReactNode {
  if (entry.kind === "role_change") return <RoleChanged change={entry} />;
  if (!("actor" in entry)) return entry.summary;
  const columns = entry.changed ?? [];
  const text = columns.reduce((text, it) => text.replace(it, inWords(it)), entry.summary);
  return <WithName text={text} actor={entry.actor} />;
}

type Change = Extract<HistoryEntry, { kind: "role_change" }>;

function RoleChanged({ change }: { change: Change }) {
  const { oldRole, newRole, actor, source } = change;
  return (
    <div className={styles.role}>
      {oldRole ? (
        <>
          <Badge tone={ROLE_TONES[oldRole]}>{oldRole}</Badge>
          <span aria-hidden>→</span>
          <span className="visually-hidden">became</span>
        </>
      ) : (
        <span>New, with the role</span>
      )}
      <Badge tone={ROLE_TONES[newRole]}>{newRole}</Badge>
      <span>
        by {actor === "clerk" ? "Clerk" : <Actor actor={actor} />}, {WAYS[source] ?? source}
      </span>
    </div>
  );
}

/** The server's sentence, with the name in the place of the id. */
function WithName({ text, actor }: { text: string; actor: string }) {
  const [before, ...after] = text.split(actor);
  if (after.length === 0) return text;
  return (
    <>
      {before}
      <Actor actor={actor} />
      {after.join(actor)}
    </>
  );
}

/** Where the explanation is. */
function linkOf(entry: HistoryEntry): ReactNode {
  if (entry.kind === "drift") {
    return (
      <Link to="/admin/sync/comparisons/$runId" params={{ runId: entry.runId }}>
        The comparison
      </Link>
    );
  }
  const svixId = "svixId" in entry ? entry.svixId : null;
  if (!svixId) return null;
  return (
    <Link to="/admin/sync/events/$svixId" params={{ svixId }}>
      The event
    </Link>
  );
}

function inWords(column: string): string {
  return column.replaceAll("_", " ");
}
