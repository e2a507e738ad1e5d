// The parts of the page about one delivery.

import type { Event, ExplainedEvent, RoleChange } from "../api/types.ts";
import { absolute, Badge, Facts, Time } from "../ui/index.ts";
import styles from "./EventPage.module.css";
import { Actor, ObjectLink } from "./links.tsx";

export function Delivery({ event }: { event: Event }) {
  return (
    <Facts
      facts={[
        ["Object", <ObjectLink key="object" id={event.objectId} />],
        ["Happened in Clerk", <Moment key="event" at={event.eventAt} fallback="not known" />],
        ["Received", <Moment key="received" at={event.receivedAt} fallback="" />],
        ["Written", <Moment key="applied" at={event.appliedAt} fallback="nothing was written" />],
        ["Attempts", event.nAttempts],
        ["Instance", <code key="instance">{event.instanceId ?? "not known"}</code>],
      ]}
    />
  );
}

function Moment({ at, fallback }: { at: string | null; fallback: string }) {
  if (at === null) return <span className={styles.none}>{fallback}</span>;
  return (
    <>
      {absolute(at)}, <Time at={at} />
    </>
  );
}

export function Compared({ compared }: { compared: ExplainedEvent["compared"] }) {
  return (
    <>
      <dl className={styles.versions}>
        <div>
          <dt>Here</dt>
          <dd>
            <Version at={compared.ourVersionAt} raw={compared.ourVersion} />
          </dd>
        </div>
        <div>
          <dt>In the event</dt>
          <dd>
            <Version at={compared.clerkVersionAt} raw={compared.clerkVersion} />
          </dd>
        </div>
      </dl>
      <p className={styles.note}>
        {compared.wasClerkRead
          ? "Clerk was asked besides, and what it said counts."
          : "Clerk was not asked: the event says enough."}
      </p>
    </>
  );
}

/** A version is a time of Clerk's clock; it decides by the millisecond. */
function Version({ at, raw }: { at: string | null; raw: number | null }) {
  if (raw === null) return <span className={styles.none}>none</span>;
  return (
    <>
      <span>{at ? absolute(at) : "never seen in Clerk"}</span>
      <code className={styles.raw}>{raw}</code>
    </>
  );
}

export function Changed({ explained }: { explained: ExplainedEvent }) {
  const { changed, roleChanges } = explained;
  if (changed.length === 0 && roleChanges.length === 0) {
    return <p className={styles.none}>Nothing changed here.</p>;
  }
  return (
    <>
      {changed.length > 0 && (
        <ul className={styles.columnsChanged} aria-label="Columns that changed">
          {changed.map((name) => (
            <li key={name}>
              <code>{name}</code>
            </li>
          ))}
        </ul>
      )}
      {roleChanges.length > 0 && (
        <ul className={styles.roles} aria-label="Roles that changed">
          {roleChanges.map((change) => (
            <li key={change.id}>
              <RoleChanged change={change} />
            </li>
          ))}
        </ul>
      )}
    </>
  );
}

function RoleChanged({ change }: { change: RoleChange }) {
  return (
    <>
      <Badge>{change.oldRole ?? "no role"}</Badge> → <Badge tone="accent">{change.newRole}</Badge>,
      by <Actor actor={change.actor} />, <Time at={change.at} />
    </>
  );
}

export function Payload({ payload }: { payload: ExplainedEvent["payload"] }) {
  if (!payload.isKept) {
    return (
      <p className={styles.none}>
        It is settled, so nothing of the body is kept: it holds addresses, names and metadata.
      </p>
    );
  }
  if (!payload.keys) {
    return <p className={styles.none}>It is kept, and has no object with keys in it.</p>;
  }
  return (
    <>
      <ul className={styles.columnsChanged} aria-label="Keys of the body">
        {payload.keys.map((key) => (
          <li key={key}>
            <code>{key}</code>
          </li>
        ))}
      </ul>
      <p className={styles.note}>Only the keys are shown; the values are somebody's data.</p>
    </>
  );
}
