// The columns that lists of deliveries share.

import { Link } from "@tanstack/react-router";
import type { Event } from "../api/types.ts";
import { Time } from "../ui/index.ts";
import styles from "./eventTable.module.css";
import { ObjectLink } from "./links.tsx";

/** What it is; it leads to all that is known of it, from anywhere in its row. */
export function EventLink({ event }: { event: Event }) {
  return (
    <div className={styles.event}>
      <Link
        to="/admin/sync/events/$svixId"
        params={{ svixId: event.svixId }}
        className={styles.open}
      >
        {event.eventType}
      </Link>
      <span className={styles.id}>{event.svixId}</span>
      <span className={styles.narrow}>
        <Time at={event.receivedAt} />
      </span>
    </div>
  );
}

export function EventObject({ event }: { event: Event }) {
  return (
    <span className={styles.above}>
      <ObjectLink id={event.objectId} />
    </span>
  );
}

export function Received({ event }: { event: Event }) {
  return (
    <span className={styles.time}>
      <Time at={event.receivedAt} />
    </span>
  );
}
