import { getRouteApi } from "@tanstack/react-router";
import { useCallback, useMemo, useState } from "react";
import type { User, UserFilter, UserOrder } from "../api/types.ts";
import { Button, countOf, DataTable, newMenuHandle, Page, Panel } from "../ui/index.ts";
import { BulkDialog, EditUserDialog, RoleDialog } from "./dialogs.tsx";
import { SelectionBar } from "./SelectionBar.tsx";
import { type UserActions, UserMenu } from "./UserMenu.tsx";
import styles from "./UsersPage.module.css";
import { UsersToolbar } from "./UsersToolbar.tsx";
import { useOpening } from "./useOpening.ts";
import { userColumns } from "./userColumns.tsx";
import { useSelection } from "./useSelection.ts";
import { useSyncUser } from "./useSyncUser.ts";
import { useUsers } from "./useUsers.ts";
import { DEFAULT_ORDER, nameOf } from "./words.ts";

const route = getRouteApi("/admin/users");
const ROW_HEIGHT = 59;

/** All users: who they are, which role they have, and what can be done about it. */
export default function UsersPage() {
  const { filter, isFiltered, change, clear } = useFilter();
  const list = useUsers(filter);
  const { users, total } = list;
  const { sync, syncing } = useSyncUser();
  const navigate = route.useNavigate();
  const role = useOpening();
  const edit = useOpening();
  const [isBulkOpen, setIsBulkOpen] = useState(false);
  const selection = useSelection(filter, users);

  const { open: updateRole } = role;
  const { open: openEdit } = edit;
  const actions = useMemo<UserActions>(
    () => ({
      updateRole,
      edit: openEdit,
      sync: (user) => void sync(user),
      showHistory: (user) =>
        void navigate({ to: "/admin/users/$userId", params: { userId: user.id }, hash: "history" }),
    }),
    [updateRole, openEdit, sync, navigate],
  );
  const [menu] = useState(() => newMenuHandle<User>());
  const columns = useMemo(() => userColumns(menu, syncing), [menu, syncing]);
  const byId = useMemo(() => new Map(users.map((user) => [user.id, user])), [users]);
  const labelOf = (id: string) => {
    const user = byId.get(id);
    return user ? nameOf(user) : id;
  };

  return (
    <Page title="Users" description={<Total total={total} isFiltered={isFiltered} />}>
      <UsersToolbar filter={filter} onFilter={change} onClear={clear} isFiltered={isFiltered} />
      {selection.users.size > 0 && (
        <SelectionBar
          nSelected={selection.users.size}
          nLoaded={users.length}
          nMatching={total ?? 0}
          onSelectMatching={selection.selectMatching}
          onUpdateRole={() => setIsBulkOpen(true)}
          onClear={selection.clear}
        />
      )}
      <div className={styles.list}>
        <Panel isFlush>
          <DataTable
            caption="Users"
            columns={columns}
            rows={users}
            rowId={idOf}
            isLoading={list.isPending}
            isOutdated={list.isPlaceholderData}
            error={list.error}
            onRetry={() => void list.refetch()}
            empty={isFiltered ? nothingMatches(clear) : NOBODY_YET}
            sort={{
              order: filter.sort ?? DEFAULT_ORDER,
              onSort: (order) => change({ sort: order as UserOrder }),
            }}
            selection={{ selected: selection.selected, onSelect: selection.select, labelOf }}
            virtual={{ nRows: total ?? users.length, rowHeight: ROW_HEIGHT }}
            more={{
              hasMore: list.hasNextPage,
              isLoading: list.isFetchingNextPage,
              onLoad: list.fetchNextPage,
              isAutomatic: true,
              error: list.isFetchNextPageError ? list.error : undefined,
            }}
          />
        </Panel>
      </div>
      <UserMenu handle={menu} actions={actions} />
      <RoleDialog
        user={role.user && (byId.get(role.user.id) ?? role.user)}
        opening={role.n}
        onClose={role.close}
        onFound={role.renew}
      />
      <EditUserDialog user={edit.user} opening={edit.n} onClose={edit.close} />
      <BulkDialog
        isOpen={isBulkOpen}
        onClose={() => setIsBulkOpen(false)}
        onAllDone={selection.clear}
        users={selection.users}
      />
    </Page>
  );
}

const idOf = (user: User) => user.id;

/** What the address says, and how it is changed. */
function useFilter() {
  const filter = route.useSearch();
  const navigate = route.useNavigate();
  const change = useCallback(
    (change: UserFilter, isTyping = false) =>
      void navigate({
        search: (before) => ({ ...before, ...change }),
        replace: isTyping,
        resetScroll: true,
      }),
    [navigate],
  );
  const clear = useCallback(() => void navigate({ search: ({ sort }) => ({ sort }) }), [navigate]);
  const { search, role, state, clerkSync, organization } = filter;
  const isFiltered = [search, role, state, clerkSync, organization].some((it) => it !== undefined);
  return { filter, isFiltered, change, clear };
}

function Total({ total, isFiltered }: { total: number | undefined; isFiltered: boolean }) {
  if (total === undefined) return <p>…</p>;
  const match = total === 1 ? "matches" : "match";
  return (
    <p role="status">
      {countOf(total, "user")}
      {isFiltered && ` ${match}`}
    </p>
  );
}

const NOBODY_YET = {
  title: "Nobody has signed up yet",
  text: (
    <>
      Users appear here with Clerk's first webhook. If there are users in Clerk already, fetch them
      with <code>scripts/sync backfill</code>.
    </>
  ),
};

function nothingMatches(onClear: () => void) {
  return {
    title: "Nobody matches",
    text: "No user has all of this. Look for less, or clear the filters.",
    action: <Button onClick={onClear}>Clear filters</Button>,
  };
}
