import { useInfiniteQuery } from "@tanstack/react-query";
import { useLocation } from "@tanstack/react-router";
import { type ReactNode, useEffect, useRef } from "react";
import { historyQuery, roleChangesQuery } from "../api/queries.ts";
import type { HistoryEntry, RoleChange, User } from "../api/types.ts";
import { useApi } from "../auth/session.ts";
import { Button, EmptyState, ErrorState, Panel, Select, Skeleton } from "../ui/index.ts";
import { HistoryItem } from "./HistoryItem.tsx";
import styles from "./HistoryPanel.module.css";
import type { HistorySearch } from "./HistorySearch.ts";

type Shown = "everything" | "roles";

const OPTIONS = [
  { value: "everything", label: "Everything" },
  { value: "roles", label: "Role changes only" },
] as const;

interface HistoryPanelProps {
  user: User;
  search: HistorySearch;
  onSearch: (search: HistorySearch) => void;
}

/** Who changed which role when, by which way, and all else that happened to a user. */
export function HistoryPanel({ user, search, onSearch }: HistoryPanelProps) {
  const shown: Shown = search.history ?? "everything";
  const show = (next: Shown) => onSearch({ history: next === "roles" ? next : undefined });
  const anchor = useRef<HTMLDivElement>(null);
  const isAskedFor = useLocation({ select: ({ hash }) => hash === "history" });
  // The page is longer than it was when the address was opened.
  useEffect(() => {
    if (isAskedFor) anchor.current?.scrollIntoView();
  }, [isAskedFor]);
  return (
    <div id="history" ref={anchor} className={styles.anchor}>
      <Panel
        title="History"
        description="The newest first."
        actions={
          <Select
            label="What is shown"
            isLabelHidden
            value={shown}
            options={OPTIONS}
            onChange={show}
          />
        }
      >
        {shown === "roles" ? <RoleChanges user={user} /> : <Everything user={user} />}
      </Panel>
    </div>
  );
}

function Everything({ user }: { user: User }) {
  const history = useInfiniteQuery(historyQuery(useApi(), user.id));
  const entries = history.data?.pages.flatMap((page) => page.history) ?? [];
  return (
    <Timeline list={history} entries={entries} empty="Nothing has happened to this user yet." />
  );
}

function RoleChanges({ user }: { user: User }) {
  const changes = useInfiniteQuery(roleChangesQuery(useApi(), { userId: user.id }));
  const entries = changes.data?.pages.flatMap((page) => page.roleChanges.map(entryOf)) ?? [];
  return <Timeline list={changes} entries={entries} empty="The role of this user never changed." />;
}

function entryOf(change: RoleChange): HistoryEntry {
  return { ...change, kind: "role_change", summary: "" };
}

interface TimelineProps {
  list: {
    error: unknown;
    isPending: boolean;
    hasNextPage: boolean;
    isFetchingNextPage: boolean;
    fetchNextPage: () => unknown;
    refetch: () => unknown;
  };
  entries: HistoryEntry[];
  empty: string;
}

function Timeline({ list, entries, empty }: TimelineProps): ReactNode {
  if (list.isPending) return <Skeleton nLines={6} height={52} />;
  if (list.error && entries.length === 0) {
    return <ErrorState error={list.error} onRetry={() => list.refetch()} />;
  }
  if (entries.length === 0) return <EmptyState title={empty} />;
  return (
    <>
      <ol className={styles.timeline}>
        {entries.map((entry, index) => (
          // biome-ignore lint/suspicious/noArrayIndexKey: entries have no ids, and only ever follow.
          <HistoryItem key={`${entry.kind} ${entry.at} ${index}`} entry={entry} />
        ))}
      </ol>
      {list.hasNextPage && (
        <div className={styles.more}>
          <Button isBusy={list.isFetchingNextPage} onClick={() => list.fetchNextPage()}>
            Show more
          </Button>
        </div>
      )}
    </>
  );
}
