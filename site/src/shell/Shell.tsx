// What is around each view: the navigation, who is signed in, and the way out.

import { useQuery } from "@tanstack/react-query";
import { Link, Outlet } from "@tanstack/react-router";
import {
  Activity,
  ChartLine,
  GitCompareArrows,
  LogOut,
  Mails,
  MailX,
  Menu as MenuIcon,
  Users,
} from "lucide-react";
import { type ReactNode, useState } from "react";
import { ApiError } from "../api/client.ts";
import { userQuery } from "../api/queries.ts";
import type { User } from "../api/types.ts";
import { useSession } from "../auth/session.ts";
import { Avatar, Button, classes, Dialog, IconButton } from "../ui/index.ts";
import { NotAdminPage, SignedOutPage } from "./pages.tsx";
import styles from "./Shell.module.css";
import { ThemeChoice } from "./ThemeChoice.tsx";

const NAVIGATION = [
  {
    title: "People",
    links: [
      { to: "/admin/users", label: "Users", icon: Users },
      { to: "/admin/statistics", label: "Statistics", icon: ChartLine },
    ],
  },
  {
    title: "Sync",
    links: [
      { to: "/admin/sync", label: "Overview", icon: Activity, isExact: true },
      { to: "/admin/sync/events", label: "Events", icon: Mails },
      { to: "/admin/sync/dead-letters", label: "Dead letters", icon: MailX },
      { to: "/admin/sync/comparisons", label: "Comparisons", icon: GitCompareArrows },
    ],
  },
] as const;

export function Shell() {
  const { api, userId } = useSession();
  // Asked beside whatever the view asks: only an admin is answered, and it says who they are.
  const { data, error } = useQuery({ ...userQuery(api, userId), staleTime: 60_000 });
  const [isMenuOpen, setIsMenuOpen] = useState(false);

  if (error instanceof ApiError && error.status === 403) {
    return <NotAdminPage reason={error.message} />;
  }
  if (error instanceof ApiError && error.status === 401) {
    return <SignedOutPage reason={error.message} />;
  }
  return (
    <div className={styles.shell}>
      <a href="#content" className={styles.skip}>
        Skip to the content
      </a>
      <header className={styles.bar}>
        <IconButton label="Open the menu" onClick={() => setIsMenuOpen(true)}>
          <MenuIcon size={20} aria-hidden />
        </IconButton>
        <Brand />
      </header>
      <aside className={styles.side}>
        <Brand />
        <Navigation />
        <Me user={data?.user} />
      </aside>
      <Dialog isOpen={isMenuOpen} onClose={() => setIsMenuOpen(false)} title="clerk-sync">
        <Navigation onGo={() => setIsMenuOpen(false)} />
        <Me user={data?.user} />
      </Dialog>
      <main id="content" className={styles.content} tabIndex={-1}>
        <Outlet />
      </main>
    </div>
  );
}

function Brand() {
  return (
    <div className={styles.brand}>
      <img src="/admin/icon.svg" alt="" width={24} height={24} />
      clerk-sync
    </div>
  );
}

function Navigation({ onGo }: { onGo?: () => void }): ReactNode {
  return (
    <nav aria-label="Panel" className={styles.navigation}>
      {NAVIGATION.map((group) => (
        <div key={group.title}>
          <h2 className={styles.group}>{group.title}</h2>
          <ul>
            {group.links.map(({ to, label, icon: Icon, ...link }) => (
              <li key={to}>
                <Link
                  to={to}
                  activeOptions={{ exact: "isExact" in link, includeSearch: false }}
                  className={classes(styles.link)}
                  onClick={onGo}
                >
                  <Icon size={17} aria-hidden />
                  {label}
                </Link>
              </li>
            ))}
          </ul>
        </div>
      ))}
    </nav>
  );
}

function Me({ user }: { user: User | undefined }) {
  const { signOut } = useSession();
  return (
    <div className={styles.me}>
      <ThemeChoice />
      <div className={styles.who}>
        <Avatar name={user?.name ?? user?.email ?? null} imageUrl={user?.imageUrl ?? null} />
        <div className={styles.names}>
          <span className={styles.name}>{user?.name ?? user?.email ?? "…"}</span>
          <span className={styles.email}>{user?.email}</span>
        </div>
      </div>
      <Button variant="plain" className={styles.out} onClick={signOut}>
        <LogOut size={16} aria-hidden />
        Sign out
      </Button>
    </div>
  );
}
