import { useInfiniteQuery } from "@tanstack/react-query";
import { useEffect } from "react";
import { eventsQuery } from "../api/queries.ts";
import type { Event } from "../api/types.ts";
import { useApi } from "../auth/session.ts";
import { type Columns, columnsOf, DataTable, type Selection } from "../ui/index.ts";
import type { DeadLettersSearch, Waiting } from "./deadLettersSearch.ts";
import { EventLink, EventObject, Received } from "./eventTable.tsx";
import { moreOf } from "./pages.ts";
import { refusedField } from "./refusals.ts";
import styles from "./WaitingTable.module.css";
import { whyParked } from "./words.ts";

const column = columnsOf<Event>();
const COLUMNS: Columns<Event> = column.columns([
  column.display({
    id: "event",
    header: "Event",
    cell: ({ row }) => <EventLink event={row.original} />,
  }),
  column.display({
    id: "reason",
    header: "Reason",
    cell: ({ row }) => <Reason event={row.original} />,
  }),
  column.display({
    id: "received",
    header: "Received",
    cell: ({ row }) => <Received event={row.original} />,
    meta: { isMinor: true },
  }),
  column.display({
    id: "object",
    header: "Object",
    cell: ({ row }) => <EventObject event={row.original} />,
    meta: { isMinor: true },
  }),
  column.accessor("nAttempts", { header: "Attempts", meta: { isMinor: true, isNumeric: true } }),
]);

function Reason({ event }: { event: Event }) {
  if (event.outcome === "parked") return <span>{whyParked(event.rule)}</span>;
  return <span className={styles.reason}>{event.lastError ?? "It could not be taken in."}</span>;
}

interface WaitingTableProps {
  filter: DeadLettersSearch & { outcome: Waiting };
  selected: Selection["selected"];
  onSelect: Selection["onSelect"];
  /** Told what the server has against the object that is looked for. */
  onObjectError: (error: string | undefined) => void;
}

export function WaitingTable({ filter, selected, onSelect, onObjectError }: WaitingTableProps) {
  const events = useInfiniteQuery(eventsQuery(useApi(), filter));
  const objectError = refusedField(events.error, "object");
  useEffect(() => onObjectError(objectError), [objectError, onObjectError]);

  return (
    <DataTable
      caption={filter.outcome === "dead" ? "Dead events" : "Parked events"}
      columns={COLUMNS}
      rows={events.data?.pages.flatMap((page) => page.events) ?? []}
      rowId={(event) => event.svixId}
      isLoading={events.isPending}
      error={objectError ? null : events.error}
      onRetry={() => void events.refetch()}
      empty={emptyFor(filter)}
      selection={{ selected, onSelect, labelOf: (svixId) => `the event ${svixId}` }}
      isOutdated={events.isPlaceholderData}
      more={moreOf(events)}
    />
  );
}

function emptyFor({ outcome, type, object }: WaitingTableProps["filter"]) {
  if (type || object) {
    return { title: "No event is like this", text: "Nothing that waits fits these filters." };
  }
  if (outcome === "dead") {
    return {
      title: "No dead letters",
      text: "Everything that Clerk delivered could be taken in.",
    };
  }
  return { title: "Nothing is parked", text: "No event waits until Clerk is asked." };
}
