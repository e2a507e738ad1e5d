import { useInfiniteQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { roleChangesQuery } from "../api/queries.ts";
import type { RoleChange } from "../api/types.ts";
import { useApi } from "../auth/session.ts";
import { Badge, type ColumnMeta, columnsOf, DataTable, Panel, Time } from "../ui/index.ts";
import { WAYS } from "../users/HistoryWords.ts";
import { ROLE_TONES } from "../users/words.ts";
import styles from "./StatisticsPage.module.css";

const helper = columnsOf<RoleChange>();
const meta = (it: ColumnMeta) => it;

const COLUMNS = [
  helper.display({
    id: "user",
    header: "User",
    cell: ({ row: { original: change } }) => (
      <Link to="/admin/users/$userId" params={{ userId: change.userId }}>
        {change.userName ?? change.userClerkId ?? change.userId}
      </Link>
    ),
  }),
  helper.display({
    id: "change",
    header: "Change",
    cell: ({ row }) => <Change change={row.original} />,
  }),
  helper.display({
    id: "actor",
    header: "By",
    cell: ({ row }) => <By change={row.original} />,
  }),
  helper.display({
    id: "at",
    header: "When",
    meta: meta({ isMinor: true }),
    cell: ({ row }) => <Time at={row.original.at} />,
  }),
];

/** Who changed whose role, the latest first. */
export function ChangesPanel() {
  const changes = useInfiniteQuery(roleChangesQuery(useApi(), {}));
  return (
    <Panel title="Latest role changes" isFlush>
      <DataTable
        caption="The latest role changes"
        columns={COLUMNS}
        rows={changes.data?.pages.flatMap((page) => page.roleChanges) ?? []}
        rowId={(change) => String(change.id)}
        isLoading={changes.isPending}
        error={changes.error}
        onRetry={() => void changes.refetch()}
        empty={{
          title: "No role has changed yet",
          text: "Each change is listed here, whether it was made in this panel or in Clerk.",
        }}
        more={{
          hasMore: changes.hasNextPage,
          isLoading: changes.isFetchingNextPage,
          onLoad: () => void changes.fetchNextPage(),
        }}
      />
    </Panel>
  );
}

function Change({ change: { oldRole, newRole } }: { change: RoleChange }) {
  return (
    <div className={styles.change}>
      {oldRole ? (
        <>
          <Badge tone={ROLE_TONES[oldRole]}>{oldRole}</Badge>
          <span aria-hidden>→</span>
          <span className="visually-hidden">became</span>
        </>
      ) : (
        <span className={styles.quiet}>new:</span>
      )}
      <Badge tone={ROLE_TONES[newRole]}>{newRole}</Badge>
    </div>
  );
}

function By({ change: { actor, actorName, source } }: { change: RoleChange }) {
  return (
    <div className={styles.who}>
      {actor === "clerk" ? (
        "Clerk"
      ) : (
        <Link to="/admin/users/$userId" params={{ userId: actor }}>
          {actorName ?? actor}
        </Link>
      )}
      <span className={styles.quiet}>{WAYS[source] ?? source}</span>
    </div>
  );
}
