import { useInfiniteQuery } from "@tanstack/react-query";
import { getRouteApi, useNavigate } from "@tanstack/react-router";
import { RotateCw } from "lucide-react";
import { type EventFilter, eventsQuery } from "../api/queries.ts";
import type { Event } from "../api/types.ts";
import { useApi } from "../auth/session.ts";
import { Button, type Columns, columnsOf, DataTable, Page, Panel, Toolbar } from "../ui/index.ts";
import { OutcomeBadge } from "./badges.tsx";
import { EventLink, EventObject, Received } from "./eventTable.tsx";
import { ObjectFilter, OutcomeFilter, TypeFilter } from "./filters.tsx";
import { moreOf } from "./pages.ts";
import { refusedField } from "./refusals.ts";

const route = getRouteApi("/admin/sync/events");

const column = columnsOf<Event>();
const COLUMNS: Columns<Event> = column.columns([
  column.display({
    id: "event",
    header: "Event",
    cell: ({ row }) => <EventLink event={row.original} />,
  }),
  column.display({
    id: "outcome",
    header: "Outcome",
    cell: ({ row }) => <OutcomeBadge outcome={row.original.outcome} />,
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
  column.accessor("rule", {
    header: "Rule",
    cell: ({ getValue }) => getValue() ?? "–",
    meta: { isMinor: true },
  }),
  column.accessor("nAttempts", { header: "Attempts", meta: { isMinor: true, isNumeric: true } }),
]);

export default function EventsPage() {
  const filter = route.useSearch();
  const navigate = useNavigate();
  const events = useInfiniteQuery(eventsQuery(useApi(), filter));
  const objectError = refusedField(events.error, "object");
  const onFilter = (change: EventFilter) =>
    void navigate({
      to: "/admin/sync/events",
      search: { ...filter, ...change },
      replace: true,
    });

  return (
    <Page
      title="Events"
      description="Every webhook that was delivered, the newest first, and what became of it."
      actions={
        <Button onClick={() => void events.refetch()} isBusy={events.isRefetching}>
          {!events.isRefetching && <RotateCw size={16} aria-hidden />}
          Refresh
        </Button>
      }
    >
      <Toolbar>
        <ObjectFilter filter={filter} onFilter={onFilter} error={objectError} />
        <OutcomeFilter filter={filter} onFilter={onFilter} />
        <TypeFilter filter={filter} onFilter={onFilter} />
      </Toolbar>
      <Panel isFlush>
        <DataTable
          caption="Events"
          columns={COLUMNS}
          rows={events.data?.pages.flatMap((page) => page.events) ?? []}
          rowId={(event) => event.svixId}
          isLoading={events.isPending}
          error={objectError ? null : events.error}
          onRetry={() => void events.refetch()}
          empty={emptyFor(filter, () => onFilter(NO_FILTER))}
          isOutdated={events.isPlaceholderData}
          more={moreOf(events)}
        />
      </Panel>
    </Page>
  );
}

const NO_FILTER = { outcome: undefined, type: undefined, object: undefined };

function emptyFor(filter: EventFilter, onClear: () => void) {
  if (filter.outcome || filter.type || filter.object) {
    return {
      title: "No event is like this",
      text: "Nothing that was delivered fits these filters.",
      action: <Button onClick={onClear}>Show all events</Button>,
    };
  }
  return {
    title: "No webhook has arrived yet",
    text: "In Clerk's dashboard, under Webhooks, add an endpoint for /api/webhooks/clerk of this host, and tick the nine events of users, organizations and memberships.",
  };
}
