// Every address of the panel, and which view is there. A view is loaded when somebody goes there.

import {
  createRootRoute,
  createRoute,
  createRouter,
  lazyRouteComponent,
  redirect,
} from "@tanstack/react-router";
import { CrashPage, NotFoundPage, PendingPage } from "./shell/pages.tsx";
import { Shell } from "./shell/Shell.tsx";
import { readStatisticsSearch } from "./statistics/statisticsSearch.ts";
import { readDeadLettersSearch } from "./sync/deadLettersSearch.ts";
import { readEventsSearch } from "./sync/eventsSearch.ts";
import { readOverviewSearch } from "./sync/overviewSearch.ts";
import { readRunSearch } from "./sync/runSearch.ts";
import { readHistorySearch } from "./users/HistorySearch.ts";
import { readUsersSearch } from "./users/usersSearch.ts";

const root = createRootRoute({ component: Shell, notFoundComponent: NotFoundPage });

const toUsers = () => {
  throw redirect({ to: "/admin/users" });
};
const home = createRoute({ getParentRoute: () => root, path: "/", beforeLoad: toUsers });
const admin = createRoute({ getParentRoute: () => root, path: "/admin", beforeLoad: toUsers });

const users = createRoute({
  getParentRoute: () => root,
  path: "/admin/users",
  validateSearch: readUsersSearch,
  component: lazyRouteComponent(() => import("./users/UsersPage.tsx")),
});

const user = createRoute({
  getParentRoute: () => root,
  path: "/admin/users/$userId",
  validateSearch: readHistorySearch,
  component: lazyRouteComponent(() => import("./users/UserPage.tsx")),
});

const statistics = createRoute({
  getParentRoute: () => root,
  path: "/admin/statistics",
  validateSearch: readStatisticsSearch,
  component: lazyRouteComponent(() => import("./statistics/StatisticsPage.tsx")),
});

const overview = createRoute({
  getParentRoute: () => root,
  path: "/admin/sync",
  validateSearch: readOverviewSearch,
  component: lazyRouteComponent(() => import("./sync/OverviewPage.tsx")),
});

const events = createRoute({
  getParentRoute: () => root,
  path: "/admin/sync/events",
  validateSearch: readEventsSearch,
  component: lazyRouteComponent(() => import("./sync/EventsPage.tsx")),
});

const event = createRoute({
  getParentRoute: () => root,
  path: "/admin/sync/events/$svixId",
  component: lazyRouteComponent(() => import("./sync/EventPage.tsx")),
});

const deadLetters = createRoute({
  getParentRoute: () => root,
  path: "/admin/sync/dead-letters",
  validateSearch: readDeadLettersSearch,
  component: lazyRouteComponent(() => import("./sync/DeadLettersPage.tsx")),
});

const comparisons = createRoute({
  getParentRoute: () => root,
  path: "/admin/sync/comparisons",
  component: lazyRouteComponent(() => import("./sync/ComparisonsPage.tsx")),
});

const comparison = createRoute({
  getParentRoute: () => root,
  path: "/admin/sync/comparisons/$runId",
  validateSearch: readRunSearch,
  component: lazyRouteComponent(() => import("./sync/ComparisonPage.tsx")),
});

const routeTree = root.addChildren([
  home,
  admin,
  users,
  user,
  statistics,
  overview,
  events,
  event,
  deadLetters,
  comparisons,
  comparison,
]);

export const router = createRouter({
  routeTree,
  defaultPreload: "intent",
  defaultPendingComponent: PendingPage,
  defaultErrorComponent: CrashPage,
  scrollRestoration: true,
});

declare module "@tanstack/react-router" {
  interface Register {
    router: typeof router;
  }
}
