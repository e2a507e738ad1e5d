// What leads from one view to another.

import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { ArrowLeft } from "lucide-react";
import type { ReactNode } from "react";
import { userQuery } from "../api/queries.ts";
import { useApi } from "../auth/session.ts";
import styles from "./links.module.css";

/** The way back to the list that a page belongs to. */
export function Back({ to, children }: { to: BackTo; children: ReactNode }) {
  return (
    <Link to={to} className={styles.back}>
      <ArrowLeft size={14} aria-hidden />
      {children}
    </Link>
  );
}

type BackTo = "/admin/sync/events" | "/admin/sync/comparisons";

/** An object of Clerk's; a user leads to their page, whatever else to what was delivered about it. */
export function ObjectLink({ id }: { id: string | null }) {
  if (id === null) return <span className={styles.none}>none</span>;
  if (id.startsWith("user_")) {
    return (
      <Link to="/admin/users/$userId" params={{ userId: id }} className={styles.id}>
        {id}
      </Link>
    );
  }
  return (
    <Link to="/admin/sync/events" search={{ object: id }} className={styles.id}>
      {id}
    </Link>
  );
}

/** Who began something: a user by name, or what did so by itself. */
export function Actor({ actor }: { actor: string }) {
  if (actor === "schedule") return <span>the schedule</span>;
  if (actor === "command") return <span>the command</span>;
  if (actor === "clerk") return <span>Clerk</span>;
  return <NamedUser userId={actor} />;
}

function NamedUser({ userId }: { userId: string }) {
  const { data, isPending } = useQuery({ ...userQuery(useApi(), userId), staleTime: 300_000 });
  return (
    <Link to="/admin/users/$userId" params={{ userId }}>
      {isPending ? "…" : (data?.user.name ?? data?.user.email ?? userId)}
    </Link>
  );
}
