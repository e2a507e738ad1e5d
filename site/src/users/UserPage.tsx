// One user: who they are, what both sides have of them, and what happened to them.

import { useQuery, useQueryClient } from "@tanstack/react-query";
import { getRouteApi, Link } from "@tanstack/react-router";
import { ArrowLeft, Pencil, RefreshCw, UserCog } from "lucide-react";
import { useEffect } from "react";
import { ApiError } from "../api/client.ts";
import { userQuery } from "../api/queries.ts";
import type { User, UserDetail } from "../api/types.ts";
import { useApi } from "../auth/session.ts";
import {
  Avatar,
  Button,
  ButtonLink,
  EmptyState,
  ErrorState,
  Page,
  Panel,
  Skeleton,
} from "../ui/index.ts";
import { EditUserDialog, RoleDialog } from "./dialogs.tsx";
import { EmailChangePanel } from "./EmailChangePanel.tsx";
import { HistoryPanel } from "./HistoryPanel.tsx";
import { MembershipsPanel } from "./MembershipsPanel.tsx";
import { ClerkBadge, RoleBadge, StateBadge } from "./UserBadges.tsx";
import styles from "./UserPage.module.css";
import { UserPageFacts } from "./UserPageFacts.tsx";
import { UserPageNotices } from "./UserPageNotices.tsx";
import { useOpening } from "./useOpening.ts";
import { useSyncUser } from "./useSyncUser.ts";
import { lookAgainMs } from "./useUsers.ts";
import { nameOf } from "./words.ts";

const route = getRouteApi("/admin/users/$userId");

const back = (
  <Link to="/admin/users" className={styles.back}>
    <ArrowLeft size={14} aria-hidden />
    Users
  </Link>
);

export default function UserPage() {
  const { userId } = route.useParams();
  const { data, error, refetch } = useQuery({
    ...userQuery(useApi(), userId),
    refetchInterval: ({ state }) => lookAgainMs(state.data ? [state.data.user] : []),
  });
  useOneAddress(userId, data);

  if (data) return <UserView key={data.user.id} detail={data} />;
  if (isUnknown(error)) return <NoSuchUser userId={userId} />;
  if (error) {
    return (
      <Page title="User" back={back}>
        <ErrorState error={error} onRetry={refetch} />
      </Page>
    );
  }
  return <Loading />;
}

/** A user may be asked for by either id; what is kept of them, and linked to, has one. */
function useOneAddress(asked: string, detail: UserDetail | undefined): void {
  const api = useApi();
  const client = useQueryClient();
  const navigate = route.useNavigate();
  useEffect(() => {
    if (!detail || detail.user.id === asked) return;
    const userId = detail.user.id;
    client.setQueryData(userQuery(api, userId).queryKey, detail);
    void navigate({ params: { userId }, search: true, hash: true, replace: true });
  }, [api, asked, client, detail, navigate]);
}

function isUnknown(error: unknown): boolean {
  const codes = ["user_not_found", "invalid_user_id"];
  return error instanceof ApiError && codes.includes(error.code);
}

function NoSuchUser({ userId }: { userId: string }) {
  return (
    <Page title="No such user" back={back}>
      <EmptyState
        title="There is no user with this id"
        action={
          <ButtonLink to="/admin/users" variant="primary">
            To the users
          </ButtonLink>
        }
      >
        Nothing here is called <code>{userId}</code>. If it is an id of Clerk's, the user may not
        have come here yet: a comparison finds them.
      </EmptyState>
    </Page>
  );
}

/** As large as what comes. */
function Loading() {
  return (
    <Page
      title="…"
      back={back}
      picture={<Avatar isLarge name={null} imageUrl={null} />}
      description="Loading"
      actions={<span className={styles.noActions} />}
    >
      <div className={styles.columns}>
        <Panel title="Profile">
          <Skeleton nLines={10} height={21} />
        </Panel>
        <Panel title="History">
          <Skeleton nLines={8} height={52} />
        </Panel>
      </div>
    </Page>
  );
}

function UserView({ detail: { user, memberships } }: { detail: UserDetail }) {
  const search = route.useSearch();
  const navigate = route.useNavigate();
  const { sync, syncing } = useSyncUser();
  const isSyncing = syncing.has(user.id);
  return (
    <Page
      title={nameOf(user)}
      back={back}
      picture={<Avatar isLarge name={nameOf(user)} imageUrl={user.imageUrl} />}
      description={
        <span className={styles.badges}>
          <RoleBadge user={user} />
          <StateBadge user={user} />
          <ClerkBadge user={user} isSyncing={isSyncing} />
        </span>
      }
      actions={
        user.state !== "deleted" && (
          <Actions user={user} isSyncing={isSyncing} onSync={() => void sync(user)} />
        )
      }
    >
      <UserPageNotices user={user} />
      <div className={styles.columns}>
        <div className={styles.column}>
          <UserPageFacts user={user} />
          <MembershipsPanel memberships={memberships} />
          {user.clerkId !== null && user.state !== "deleted" && <EmailChangePanel user={user} />}
        </div>
        <HistoryPanel
          user={user}
          search={search}
          onSearch={(search) => void navigate({ search, hash: true, replace: true })}
        />
      </div>
    </Page>
  );
}

interface ActionsProps {
  user: User;
  isSyncing: boolean;
  onSync: () => void;
}

function Actions({ user, isSyncing, onSync }: ActionsProps) {
  const role = useOpening();
  const edit = useOpening();
  return (
    <>
      {user.clerkId !== null && (
        <Button isBusy={isSyncing} onClick={onSync}>
          {!isSyncing && <RefreshCw size={15} aria-hidden />}
          Sync now
        </Button>
      )}
      <Button onClick={() => role.open(user)}>
        <UserCog size={15} aria-hidden />
        Update role
      </Button>
      <Button variant="primary" onClick={() => edit.open(user)}>
        <Pencil size={15} aria-hidden />
        Edit
      </Button>
      <RoleDialog user={role.user && user} opening={role.n} onClose={role.close} />
      <EditUserDialog user={edit.user} opening={edit.n} onClose={edit.close} />
    </>
  );
}
