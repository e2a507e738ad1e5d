// The pages that stand in for a view: nothing there, not allowed, crashed.

import type { ErrorComponentProps } from "@tanstack/react-router";
import { ShieldAlert } from "lucide-react";
import { useSession } from "../auth/session.ts";
import { Button, ButtonLink, EmptyState, Page, Skeleton } from "../ui/index.ts";
import styles from "./pages.module.css";

export function PendingPage() {
  return (
    <div className={styles.pending}>
      <Skeleton nLines={8} height={40} />
    </div>
  );
}

export function NotFoundPage() {
  return (
    <Page title="Nothing here">
      <EmptyState
        title="There is no such page"
        action={
          <ButtonLink to="/admin/users" variant="primary">
            To the users
          </ButtonLink>
        }
      >
        The address may have a typing error, or it is from another version of the panel.
      </EmptyState>
    </Page>
  );
}

/** For who is signed in and is no admin. */
export function NotAdminPage({ reason }: { reason: string }) {
  const { userId, signOut } = useSession();
  return (
    <main className={styles.alone}>
      <ShieldAlert size={36} aria-hidden className={styles.icon} />
      <h1>This panel is for admins</h1>
      <p>{reason}</p>
      <p>
        You are signed in as <code>{userId}</code>. An admin can give you the role, here or in
        Clerk, as <code>{'{"role": "ADMIN"}'}</code> in your public metadata.
      </p>
      <div className={styles.buttons}>
        <Button onClick={() => window.location.reload()}>Try again</Button>
        <Button variant="primary" onClick={signOut}>
          Sign in as somebody else
        </Button>
      </div>
    </main>
  );
}

/** For whose session the server takes no more. */
export function SignedOutPage({ reason }: { reason: string }) {
  const { signOut } = useSession();
  return (
    <main className={styles.alone}>
      <ShieldAlert size={36} aria-hidden className={styles.icon} />
      <h1>Your session is over</h1>
      <p>{reason}</p>
      <div className={styles.buttons}>
        <Button variant="primary" onClick={signOut}>
          Sign in again
        </Button>
      </div>
    </main>
  );
}

/** A defect of the panel itself. */
export function CrashPage({ error, reset }: ErrorComponentProps) {
  return (
    <Page title="This page broke">
      <EmptyState
        title="Something in this page went wrong"
        action={<Button onClick={reset}>Try again</Button>}
      >
        Nothing was changed by it. If it happens again, tell who runs clerk-sync:{" "}
        {error instanceof Error ? error.message : String(error)}
      </EmptyState>
    </Page>
  );
}
