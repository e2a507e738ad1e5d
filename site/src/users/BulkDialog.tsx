import { useBlocker } from "@tanstack/react-router";
import { useRef, useState } from "react";
import type { Role, User } from "../api/types.ts";
import { useSession } from "../auth/session.ts";
import { Button, countOf, Dialog, Notice, Progress } from "../ui/index.ts";
import { BulkResults } from "./BulkResults.tsx";
import { chosenIn, RoleCards } from "./RoleCards.tsx";
import { type BulkRun, failedOf, unsentOf, useBulkRoles, wasRefused } from "./useBulkRoles.ts";

interface BulkDialogProps {
  isOpen: boolean;
  onClose: () => void;
  /** When it is gone from the screen, and nothing is left to do. */
  onAllDone: () => void;
  users: ReadonlyMap<string, User>;
}

/** Sets the role of everybody who is selected. */
export function BulkDialog({ isOpen, onClose, onAllDone, users }: BulkDialogProps) {
  const { run, start, send, stop, forget } = useBulkRoles();
  const [role, setRole] = useState<Role>();
  const [isAsking, setIsAsking] = useState(false);
  const cards = useRef<HTMLDivElement>(null);
  const isRunning = run?.isRunning ?? false;

  // The browser's back button, or another address, asks first, too.
  useBlocker({
    shouldBlockFn: () => {
      if (isRunning) setIsAsking(true);
      return isRunning;
    },
    enableBeforeUnload: isRunning,
  });

  const close = () => {
    if (isRunning) setIsAsking(!isAsking);
    else onClose();
  };
  const reset = () => {
    if (run && failedOf(run).length === 0 && unsentOf(run).length === 0) onAllDone();
    forget();
    setRole(undefined);
    setIsAsking(false);
  };
  const asks = isRunning && isAsking && !run?.isStopping;
  return (
    <Dialog
      isOpen={isOpen}
      onClose={close}
      onClosed={reset}
      isWide
      initialFocus={() => chosenIn(cards.current)}
      title={run ? titleOf(run) : `Update the role of ${countOf(users.size, "user")}`}
      footer={
        run ? (
          <RunButtons
            run={run}
            asks={asks}
            onKeepGoing={() => setIsAsking(false)}
            onStop={stop}
            onSend={(userIds) => void send(run, userIds)}
            onClose={close}
          />
        ) : (
          <>
            <Button onClick={close}>Cancel</Button>
            <Button
              variant="primary"
              disabled={!role}
              onClick={() => role && void start([...users.keys()], role)}
            >
              {role ? `Set ${role} for ${countOf(users.size, "user")}` : "Choose a role"}
            </Button>
          </>
        )
      }
    >
      {run ? (
        <Progression run={run} users={users} asks={asks} />
      ) : (
        <>
          <RoleCards ref={cards} value={role} onChange={setRole} />
          {role && <WhatWillBe users={users} role={role} />}
        </>
      )}
    </Dialog>
  );
}

function titleOf({ role, isRunning, userIds }: BulkRun): string {
  const who = countOf(userIds.length, "user");
  return isRunning ? `Setting ${role} for ${who}` : `${role} for ${who}`;
}

/** Says in numbers what is about to happen. */
function WhatWillBe({ users, role }: { users: ReadonlyMap<string, User>; role: Role }) {
  const { userId } = useSession();
  const all = [...users.values()];
  const nAlready = all.filter((user) => user.role === role).length;
  const nAdmins = role === "ADMIN" ? 0 : all.filter((user) => user.role === "ADMIN").length;
  const isYourself = role !== "ADMIN" && all.some((user) => user.clerkId === userId);
  return (
    <>
      <p>
        {countOf(users.size - nAlready, "user")} will be {role}.{" "}
        {nAlready > 0 &&
          `${countOf(nAlready, "user")} of the selection already ${nAlready === 1 ? "is" : "are"}.`}
      </p>
      {nAdmins > 0 && (
        <Notice tone="warning">
          {countOf(nAdmins, "admin")} among them will have no access to this panel any more.{" "}
          {isYourself && "You are one of them."}
        </Notice>
      )}
    </>
  );
}

interface ProgressionProps {
  run: BulkRun;
  users: ReadonlyMap<string, User>;
  asks: boolean;
}

function Progression({ run, users, asks }: ProgressionProps) {
  const { results, userIds } = run;
  return (
    <>
      <Progress label={labelOf(run)} done={results.size} total={userIds.length} />
      {asks && (
        <Notice tone="warning">
          <span role="alert">
            The change is still running. Stop after this batch? Those who are done stay as they are.
          </span>
        </Notice>
      )}
      <p role="status">{summaryOf(run)}</p>
      {results.size > 0 && <BulkResults users={users} results={results} />}
    </>
  );
}

function labelOf(run: BulkRun): string {
  if (run.isStopping) return "Stopping after this batch";
  if (run.isRunning) return "Setting the role";
  return unsentOf(run).length > 0 ? "Stopped" : "Finished";
}

function summaryOf({ results }: BulkRun): string {
  const all = [...results.values()];
  const count = (is: (it: (typeof all)[number]) => boolean) => all.filter(is).length;
  const parts: [n: number, words: string][] = [
    [count((it) => it.ok && it.clerkSync === "synced"), "done, here and in Clerk"],
    [count((it) => it.ok && it.clerkSync === "pending"), "set here, and on their way to Clerk"],
    [count((it) => it.ok && it.clerkSync === "dead"), "set here, and refused by Clerk"],
    [count(wasRefused), "refused"],
    [count((it) => !it.ok && !wasRefused(it)), "got no answer"],
  ];
  const said = parts
    .filter(([n]) => n > 0)
    .map(([n, words]) => `${n.toLocaleString("en")} ${words}`);
  return said.length > 0 ? `${said.join("; ")}.` : "";
}

interface RunButtonsProps {
  run: BulkRun;
  asks: boolean;
  onKeepGoing: () => void;
  onStop: () => void;
  onSend: (userIds: string[]) => void;
  onClose: () => void;
}

function RunButtons({ run, asks, onKeepGoing, onStop, onSend, onClose }: RunButtonsProps) {
  if (asks) {
    return (
      <>
        <Button onClick={onKeepGoing}>Keep going</Button>
        <Button variant="danger" onClick={onStop}>
          Stop
        </Button>
      </>
    );
  }
  if (run.isRunning) {
    return (
      <Button isBusy={run.isStopping} onClick={onStop}>
        Stop
      </Button>
    );
  }
  const failed = failedOf(run);
  const unsent = unsentOf(run);
  return (
    <>
      {failed.length > 0 && (
        <Button onClick={() => onSend(failed)}>Retry the {failed.length} that failed</Button>
      )}
      {unsent.length > 0 && (
        <Button onClick={() => onSend(unsent)}>Go on with the other {unsent.length}</Button>
      )}
      <Button variant="primary" onClick={onClose}>
        Close
      </Button>
    </>
  );
}
