import { Link } from "@tanstack/react-router";
import type { User } from "../api/types.ts";
import {
  Avatar,
  type ColumnMeta,
  type Columns,
  columnsOf,
  type MenuHandle,
  Time,
} from "../ui/index.ts";
import { ClerkBadge, RoleBadge, StateBadge } from "./UserBadges.tsx";
import { UserMenuButton } from "./UserMenu.tsx";
import styles from "./userColumns.module.css";
import { isOwedToClerk, nameOf } from "./words.ts";

const helper = columnsOf<User>();
const meta = (it: ColumnMeta) => it;

/** The columns of the list; `syncing`: whom Clerk is being asked about. */
export function userColumns(menu: MenuHandle<User>, syncing: ReadonlySet<string>): Columns<User> {
  return [
    helper.display({
      id: "user",
      header: "User",
      meta: meta({ ascending: "name", descending: "-name" }),
      cell: ({ row }) => <Who user={row.original} />,
    }),
    helper.display({
      id: "role",
      header: "Role",
      meta: meta({ width: "var(--role-width)" }),
      cell: ({ row }) => (
        <div className={styles.role}>
          <RoleBadge user={row.original} />
          <Exceptions user={row.original} isSyncing={syncing.has(row.id)} />
        </div>
      ),
    }),
    helper.display({
      id: "state",
      header: "State",
      meta: meta({ width: "112px", isMinor: true }),
      cell: ({ row }) => <StateBadge user={row.original} />,
    }),
    helper.display({
      id: "clerk",
      header: "Clerk",
      meta: meta({ width: "100px", isMinor: true }),
      cell: ({ row }) => <ClerkBadge user={row.original} isSyncing={syncing.has(row.id)} />,
    }),
    helper.display({
      id: "lastSignInAt",
      header: "Last sign-in",
      meta: meta({ width: "126px", isMinor: true, descending: "-lastSignInAt" }),
      cell: ({ row }) => <When at={row.original.lastSignInAt} />,
    }),
    helper.display({
      id: "createdAt",
      header: "Created",
      meta: meta({
        width: "122px",
        isMinor: true,
        ascending: "createdAt",
        descending: "-createdAt",
      }),
      cell: ({ row }) => <When at={row.original.createdAt} />,
    }),
    helper.display({
      id: "actions",
      header: () => <span className="visually-hidden">Actions</span>,
      meta: meta({ width: "var(--actions-width)", isNumeric: true }),
      cell: ({ row }) => <UserMenuButton user={row.original} handle={menu} />,
    }),
  ];
}

function When({ at }: { at: string | null }) {
  return (
    <span className={styles.when}>
      <Time at={at} />
    </span>
  );
}

function Who({ user }: { user: User }) {
  const name = nameOf(user);
  return (
    <div className={styles.who}>
      <span className={styles.picture}>
        <Avatar name={name} imageUrl={user.imageUrl} />
      </span>
      <div className={styles.names}>
        <Link to="/admin/users/$userId" params={{ userId: user.id }} className={styles.name}>
          {name}
        </Link>
        {user.email !== name && <span className={styles.email}>{user.email ?? "no address"}</span>}
      </div>
    </div>
  );
}

/** Where the columns for it have no room: what is not as it should be. */
function Exceptions({ user, isSyncing }: { user: User; isSyncing: boolean }) {
  const isOdd = isSyncing || isOwedToClerk(user);
  return (
    <span className={styles.exceptions}>
      {user.state !== "active" && <StateBadge user={user} />}
      {isOdd && <ClerkBadge user={user} isSyncing={isSyncing} />}
    </span>
  );
}
