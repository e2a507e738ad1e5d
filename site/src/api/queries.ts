// What can be asked, under which key it is kept, and what a change makes out of date.

import {
  infiniteQueryOptions,
  keepPreviousData,
  type QueryClient,
  queryOptions,
} from "@tanstack/react-query";
import type { Api } from "./client.ts";
import type {
  Activity,
  DriftClass,
  DriftPage,
  DriftState,
  EmailChange,
  EventPage,
  ExplainedEvent,
  HistoryPage,
  Organization,
  Outcome,
  Overview,
  Period,
  RoleChangesPage,
  Run,
  Statistics,
  StatisticsDay,
  UserDetail,
  UserFilter,
  UserPage,
} from "./types.ts";

const PAGE = 50;
/** The first page has no cursor. */
const FIRST: string | null = null;
const FIRST_NUMBER: number | null = null;

interface Page {
  nextCursor: string | null;
}

const nextCursor = (page: Page) => page.nextCursor;
const nextNumber = (page: RoleChangesPage) => page.nextCursor;

export const usersQuery = (api: Api, filter: UserFilter) =>
  infiniteQueryOptions({
    queryKey: ["users", "list", filter],
    queryFn: ({ pageParam, signal }) =>
      api.get<UserPage>("/api/admin/users", { ...filter, cursor: pageParam, limit: PAGE }, signal),
    initialPageParam: FIRST,
    getNextPageParam: nextCursor,
    placeholderData: keepPreviousData,
  });

export const userQuery = (api: Api, userId: string) =>
  queryOptions({
    queryKey: ["users", "one", userId],
    queryFn: ({ signal }) =>
      api.get<UserDetail>(`/api/admin/users/${encodeURIComponent(userId)}`, {}, signal),
  });

export const organizationsQuery = (api: Api, search: string) =>
  queryOptions({
    queryKey: ["organizations", search],
    queryFn: ({ signal }) =>
      api.get<{ organizations: Organization[]; nextCursor: string | null }>(
        "/api/admin/organizations",
        { search, limit: 20 },
        signal,
      ),
    placeholderData: keepPreviousData,
  });

/** Who changed which role when, of one user or of all. */
export const roleChangesQuery = (api: Api, filter: { userId?: string }) =>
  infiniteQueryOptions({
    queryKey: ["users", "role-changes", filter],
    queryFn: ({ pageParam, signal }) =>
      api.get<RoleChangesPage>(
        "/api/admin/role-changes",
        { ...filter, cursor: pageParam, limit: 20 },
        signal,
      ),
    initialPageParam: FIRST_NUMBER,
    getNextPageParam: nextNumber,
  });

export const emailChangeQuery = (api: Api, userId: string) =>
  queryOptions({
    queryKey: ["users", "email-change", userId],
    queryFn: ({ signal }) =>
      api.get<{ success: true; emailChange: EmailChange }>(
        `/api/users/${encodeURIComponent(userId)}/email-change`,
        {},
        signal,
      ),
  });

export const statisticsQuery = (api: Api) =>
  queryOptions({
    queryKey: ["statistics", "now"],
    queryFn: ({ signal }) => api.get<Statistics>("/api/admin/statistics", {}, signal),
  });

export const statisticsHistoryQuery = (api: Api, days: number) =>
  queryOptions({
    queryKey: ["statistics", "history", days],
    queryFn: ({ signal }) =>
      api.get<{ days: StatisticsDay[] }>("/api/admin/statistics/history", { days }, signal),
    placeholderData: keepPreviousData,
  });

export const overviewQuery = (api: Api) =>
  queryOptions({
    queryKey: ["sync", "overview"],
    queryFn: ({ signal }) => api.get<Overview>("/api/admin/sync/overview", {}, signal),
    refetchInterval: 15_000,
  });

export const activityQuery = (api: Api, period: Period) =>
  queryOptions({
    queryKey: ["sync", "activity", period],
    queryFn: ({ signal }) => api.get<Activity>("/api/admin/sync/activity", { period }, signal),
    placeholderData: keepPreviousData,
    refetchInterval: 60_000,
  });

export interface EventFilter {
  outcome?: Outcome | undefined;
  type?: string | undefined;
  object?: string | undefined;
}

export const eventsQuery = (api: Api, filter: EventFilter) =>
  infiniteQueryOptions({
    queryKey: ["sync", "events", filter],
    queryFn: ({ pageParam, signal }) =>
      api.get<EventPage>(
        "/api/admin/sync/events",
        { ...filter, cursor: pageParam, limit: PAGE },
        signal,
      ),
    initialPageParam: FIRST,
    getNextPageParam: nextCursor,
    placeholderData: keepPreviousData,
  });

export const eventQuery = (api: Api, svixId: string) =>
  queryOptions({
    queryKey: ["sync", "event", svixId],
    queryFn: ({ signal }) =>
      api.get<ExplainedEvent>(`/api/admin/sync/events/${encodeURIComponent(svixId)}`, {}, signal),
  });

export const historyQuery = (api: Api, id: string) =>
  infiniteQueryOptions({
    queryKey: ["users", "history", id],
    queryFn: ({ pageParam, signal }) =>
      api.get<HistoryPage>(
        `/api/admin/sync/history/${encodeURIComponent(id)}`,
        { cursor: pageParam, limit: PAGE },
        signal,
      ),
    initialPageParam: FIRST,
    getNextPageParam: nextCursor,
  });

export const runsQuery = (api: Api) =>
  queryOptions({
    queryKey: ["sync", "runs"],
    queryFn: ({ signal }) => api.get<{ runs: Run[] }>("/api/admin/sync/reconcile", {}, signal),
  });

export const runQuery = (api: Api, runId: string) =>
  queryOptions({
    queryKey: ["sync", "run", runId],
    queryFn: ({ signal }) => api.get<Run>(`/api/admin/sync/reconcile/${runId}`, {}, signal),
  });

export interface DriftFilter {
  class?: DriftClass | undefined;
  state?: DriftState | undefined;
  object?: string | undefined;
}

export const driftQuery = (api: Api, runId: string, filter: DriftFilter) =>
  infiniteQueryOptions({
    queryKey: ["sync", "drift", runId, filter],
    queryFn: ({ pageParam, signal }) =>
      api.get<DriftPage>(
        `/api/admin/sync/reconcile/${runId}/drift`,
        { ...filter, cursor: pageParam, limit: PAGE },
        signal,
      ),
    initialPageParam: FIRST,
    getNextPageParam: nextCursor,
    placeholderData: keepPreviousData,
  });

/** Somebody's role or profile changed: what is shown of users, and what is counted, is old. */
export function usersChanged(client: QueryClient): Promise<unknown> {
  return Promise.all([
    client.invalidateQueries({ queryKey: ["users"] }),
    client.invalidateQueries({ queryKey: ["statistics"] }),
  ]);
}

/** A comparison, a repair or a replay changes everything that is shown. */
export function everythingChanged(client: QueryClient): Promise<unknown> {
  return client.invalidateQueries();
}
