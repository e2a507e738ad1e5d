import { Link } from "@tanstack/react-router";
import type { Drift } from "../api/types.ts";
import { Badge, Time } from "../ui/index.ts";
import { DriftStateBadge } from "./badges.tsx";
import styles from "./DifferenceCard.module.css";
import { FieldTable } from "./FieldTable.tsx";
import { ObjectLink } from "./links.tsx";
import { CLASS_WORDS, capital, causeWords, severityTone } from "./words.ts";

/** One difference: what it is about, why, both sides, and what became of it. */
export function DifferenceCard({ difference }: { difference: Drift }) {
  const { object, severity, state, since, cause, lastError } = difference;
  return (
    <article className={styles.card} aria-label={`${capital(object)} ${difference.clerkId ?? ""}`}>
      <header className={styles.header}>
        <Badge tone={severityTone(severity)}>{severity}</Badge>
        <h3>{CLASS_WORDS[difference.class].label}</h3>
        <span className={styles.state}>
          <DriftStateBadge state={state} />
        </span>
      </header>
      <p className={styles.subject}>
        <Subject difference={difference} />
      </p>
      <p className={styles.cause}>
        {since && (
          <>
            Since <Time at={since} />.{" "}
          </>
        )}
        Likely because {causeWords(cause)}.
      </p>
      <FieldTable difference={difference} />
      {lastError && (
        <p className={styles.error}>
          {state === "gone"
            ? `When it came to the repair it was so no longer: ${lastError}`
            : `It could not be mended: ${lastError}`}
        </p>
      )}
    </article>
  );
}

function Subject({ difference }: { difference: Drift }) {
  const { object, clerkId, rowId, clerkUserId, clerkOrgId } = difference;
  return (
    <>
      {capital(object)}{" "}
      {clerkId ? <ObjectLink id={clerkId} /> : <RowLink difference={difference} />}
      {object === "membership" && (
        <>
          {" "}
          of <ObjectLink id={clerkUserId} /> in <ObjectLink id={clerkOrgId} />
        </>
      )}
      {object === "user" && (clerkId ?? rowId) && (
        <>
          {" · "}
          <Link
            to="/admin/users/$userId"
            params={{ userId: clerkId ?? rowId ?? "" }}
            hash="history"
          >
            history
          </Link>
        </>
      )}
    </>
  );
}

/** Of who has no account in Clerk. */
function RowLink({ difference: { object, rowId } }: { difference: Drift }) {
  if (object !== "user" || rowId === null) return <code>of the row {rowId}</code>;
  return (
    <Link to="/admin/users/$userId" params={{ userId: rowId }}>
      without an account
    </Link>
  );
}
