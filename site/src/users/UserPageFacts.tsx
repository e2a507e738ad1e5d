import type { ReactNode } from "react";
import type { User } from "../api/types.ts";
import { CopyButton, Facts, Panel, Time } from "../ui/index.ts";
import styles from "./UserPage.module.css";

/** What the database has of a user. */
export function UserPageFacts({ user }: { user: User }) {
  const facts: [string, ReactNode][] = [
    ["E-mail", user.email ?? "none"],
    ["Builder group", user.builderGroupId ?? "none"],
    ["Created", <Time key="created" at={user.createdAt} />],
    ["Last sign-in", <Time key="signIn" at={user.lastSignInAt} />],
    ["Changed", <Time key="updated" at={user.updatedAt} />],
    ["Confirmed", <Time key="confirmed" at={user.confirmedAt} />],
  ];
  if (user.username) facts.splice(1, 0, ["Username", user.username]);
  return (
    <Panel title="Profile">
      <Facts facts={facts} />
      <dl className={styles.ids}>
        <Id name="Id" id={user.id} />
        {user.clerkId && <Id name="Clerk id" id={user.clerkId} />}
      </dl>
    </Panel>
  );
}

function Id({ name, id }: { name: string; id: string }) {
  return (
    <div>
      <dt className={styles.idName}>{name}</dt>
      <dd className={styles.id}>
        <code>{id}</code>
        <CopyButton label={`Copy the ${name}`} text={id} />
      </dd>
    </div>
  );
}
