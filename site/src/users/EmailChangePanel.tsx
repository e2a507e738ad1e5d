import { useQuery, useQueryClient } from "@tanstack/react-query";
import { type ReactNode, useEffect, useRef, useState } from "react";
import { ApiError } from "../api/client.ts";
import { emailChangeQuery } from "../api/queries.ts";
import type { EmailChange, EmailChangeState, User } from "../api/types.ts";
import { useApi } from "../auth/session.ts";
import {
  absolute,
  Badge,
  Button,
  ErrorState,
  Facts,
  Notice,
  Panel,
  Skeleton,
  sentenceOf,
  Time,
} from "../ui/index.ts";
import { EmailChangeDialog } from "./EmailChangeDialog.tsx";
import styles from "./EmailChangePanel.module.css";
import { useInvite } from "./EmailChangeRequests.ts";
import { EmailChangeTakeBack } from "./EmailChangeTakeBack.tsx";
import { errorWords, isOpen, lookAgainMs, reasonWords, STATE_WORDS } from "./EmailChangeWords.ts";

/** How far the change of a user's address is, and what can be done about it. */
export function EmailChangePanel({ user }: { user: User }) {
  const { data, error, refetch } = useQuery({
    ...emailChangeQuery(useApi(), user.id),
    refetchInterval: ({ state }) => lookAgainMs(state.data?.emailChange),
  });
  const [asking, setAsking] = useState<"invite" | "take back">();
  const change = data?.emailChange;
  const { box, onDone } = useFocusKept(change?.state);
  const close = () => setAsking(undefined);
  const dialog = {
    user,
    onClose: close,
    onDone: () => {
      close();
      onDone();
    },
  };
  useFollowed(change);

  const isNone = error instanceof ApiError && error.code === "email_change_not_found";
  const invite = <Button onClick={() => setAsking("invite")}>Invite another address</Button>;
  return (
    <Panel title="Change of address">
      <div ref={box} tabIndex={-1} className={styles.box}>
        {change ? (
          <Change change={change}>
            {isOpen(change) ? (
              // An invitation that was followed cannot be taken back.
              change.state !== "moved" && (
                <Button onClick={() => setAsking("take back")}>Take it back</Button>
              )
            ) : (
              <>
                {change.state !== "done" && change.email && (
                  <InviteAgain user={user} email={change.email} onDone={onDone} />
                )}
                {invite}
              </>
            )}
          </Change>
        ) : isNone ? (
          <>
            <p className={styles.quiet}>Nobody has asked for another address.</p>
            <div>{invite}</div>
          </>
        ) : error ? (
          <ErrorState error={error} onRetry={refetch} />
        ) : (
          <Skeleton nLines={2} height={31} />
        )}
      </div>
      <EmailChangeDialog {...dialog} isOpen={asking === "invite"} />
      <EmailChangeTakeBack
        {...dialog}
        isOpen={asking === "take back"}
        email={change?.email ?? null}
      />
    </Panel>
  );
}

/** Whoever follows an invitation has another account: what is shown of the user is old then. */
function useFollowed(change: EmailChange | undefined): void {
  const client = useQueryClient();
  const state = change?.state;
  const before = useRef(state);
  useEffect(() => {
    if (before.current !== undefined && before.current !== state) {
      void client.invalidateQueries({ queryKey: ["users", "one"] });
      void client.invalidateQueries({ queryKey: ["users", "history"] });
    }
    before.current = state;
  }, [client, state]);
}

/** When something is done, the button for it is gone, and the focus would be with it. */
function useFocusKept(state: EmailChangeState | undefined) {
  const box = useRef<HTMLDivElement>(null);
  const [isDone, setIsDone] = useState(false);
  // biome-ignore lint/correctness/useExhaustiveDependencies: with the state, the buttons change.
  useEffect(() => {
    if (isDone && document.activeElement === document.body) {
      box.current?.focus({ preventScroll: true });
    }
  }, [isDone, state]);
  return { box, onDone: () => setIsDone(true) };
}

/** The change, and what can be done about it. */
function Change({ change, children }: { change: EmailChange; children: ReactNode }) {
  const { label, tone, sentence } = STATE_WORDS[change.state];
  return (
    <>
      <div className={styles.head}>
        <span className={styles.address}>{change.email ?? "An address that is erased"}</span>
        <Badge tone={tone}>{label}</Badge>
      </div>
      <p className={styles.quiet}>
        {sentence} {change.reason && reasonWords(change.reason)}
      </p>
      {change.lastError && isOpen(change) && (
        <Notice tone="warning">{errorWords(change.lastError)} It is tried again by itself.</Notice>
      )}
      <Facts facts={factsOf(change)} />
      <div className={styles.actions}>{children}</div>
    </>
  );
}

function factsOf(change: EmailChange): [string, ReactNode][] {
  const facts: [string, ReactNode][] = [["Asked for", <Time key="at" at={change.createdAt} />]];
  if (change.state === "invited" && change.expiresAt) {
    facts.push(["Good until", absolute(change.expiresAt)]);
  }
  if (change.movedAt) facts.push(["Followed", <Time key="moved" at={change.movedAt} />]);
  if (change.closedAt) facts.push(["Over since", <Time key="closed" at={change.closedAt} />]);
  return facts;
}

interface InviteAgainProps {
  user: User;
  email: string;
  onDone: () => void;
}

function InviteAgain({ user, email, onDone }: InviteAgainProps) {
  const invite = useInvite(user.id);
  const again = () => invite.mutate(email, { onSuccess: onDone });
  return (
    <>
      {invite.error && <Notice tone="bad">{sentenceOf(invite.error)}</Notice>}
      <Button isBusy={invite.isPending} onClick={again}>
        Invite again
      </Button>
    </>
  );
}
