import { useEffect, useRef, useState } from "react";
import { isOutcomeUnknown } from "../api/client.ts";
import type { ClerkSync, Role, User } from "../api/types.ts";
import { useSession } from "../auth/session.ts";
import { Button, Dialog, Notice, tell, tellError } from "../ui/index.ts";
import { chosenIn, RoleCards } from "./RoleCards.tsx";
import { isExplained, Refusal } from "./refusals.tsx";
import { useSetRole } from "./useSetRole.ts";
import { isOwedToClerk, nameOf } from "./words.ts";

interface RoleDialogProps {
  /** Whose role; none while it is closed. */
  user: User | undefined;
  /** The how manieth opening it is. */
  opening: number;
  onClose: () => void;
  /** The user as they are, found when their role was refused. */
  onFound?: (user: User) => void;
}

/**
 * Sets the role of one user. It closes as soon as somebody decides, since the role is shown at once;
 * if it is refused for a reason that they have to know, it is open again and says so.
 */
export function RoleDialog({ user, opening, onClose, onFound }: RoleDialogProps) {
  const form = useRoleForm(user, opening);
  const setRole = useSetRole(onFound);
  const openNow = useRef<number>(undefined);
  useEffect(() => {
    openNow.current = user && opening;
  });
  const cards = useRef<HTMLDivElement>(null);

  const submit = async (user: User, role: Role) => {
    form.setError(undefined);
    form.setIsAway(true);
    // Meanwhile it may be open for somebody else, whom the answer says nothing about.
    const isStillOpen = () => openNow.current === opening;
    try {
      const { clerkSync } = await setRole.mutateAsync({ user, role });
      tell(
        `${nameOf(user)} is ${role} now`,
        user.clerkId ? WHAT_CLERK_SAYS[clerkSync] : NO_ACCOUNT,
      );
      if (isStillOpen()) onClose();
    } catch (error) {
      tellError(failureOf(user, role, error), error);
      if (!isStillOpen()) return;
      if (!isExplained(error)) return onClose();
      form.setError(error);
      form.setIsAway(false);
    }
  };

  const { last, role, error, isAway } = form;
  // What Clerk does not have yet may be sent again.
  const isAgain = last !== undefined && role === last.role && isOwedToClerk(last);
  const isChoice = last !== undefined && (role !== last.role || isAgain);
  return (
    <Dialog
      isOpen={user !== undefined && !isAway}
      onClose={onClose}
      initialFocus={() => chosenIn(cards.current)}
      title="Update role"
      description={last && <WhoIsIt user={last} />}
      footer={
        <>
          <Button onClick={onClose}>Cancel</Button>
          <Button
            variant="primary"
            disabled={!isChoice}
            onClick={() => last && void submit(last, role)}
          >
            {isAgain ? "Send to Clerk again" : "Update role"}
          </Button>
        </>
      }
    >
      <RoleCards ref={cards} value={role} current={last?.role} onChange={form.choose} />
      {error !== undefined && <Refusal error={error} role={last?.role} />}
      {error === undefined && last && <YourOwn user={last} role={role} />}
    </Dialog>
  );
}

const NO_ACCOUNT = "It goes to Clerk once they have an account there.";
const WHAT_CLERK_SAYS: Record<ClerkSync, string> = {
  synced: "Clerk has it, too.",
  pending: "Clerk has not confirmed it yet. It is sent again by itself.",
  dead: "It is set here, but Clerk refused it. The user's history says why.",
};

function failureOf(user: User, role: Role, error: unknown): string {
  if (isOutcomeUnknown(error)) return `Nobody knows yet whether ${nameOf(user)} is ${role}`;
  return `The role of ${nameOf(user)} was not set`;
}

/** What is chosen, from when the dialog opens until it is gone from the screen. */
function useRoleForm(user: User | undefined, opening: number) {
  const [begun, setBegun] = useState<number>();
  const [last, setLast] = useState(user);
  const [role, setRole] = useState<Role>("STUDENT");
  const [error, setError] = useState<unknown>();
  const [isAway, setIsAway] = useState(false);

  if (user && user !== last) setLast(user);
  if (user && opening !== begun) {
    setBegun(opening);
    setRole(user.role);
    setError(undefined);
    setIsAway(false);
  }
  const choose = (role: Role) => {
    setRole(role);
    setError(undefined);
  };
  return { last, role, error, isAway, choose, setError, setIsAway };
}

function WhoIsIt({ user }: { user: User }) {
  const name = nameOf(user);
  return (
    <p>
      The role of <strong>{name}</strong>
      {user.email && user.email !== name && ` (${user.email})`}, here and in Clerk.
    </p>
  );
}

/** Who takes their own role away cannot take it back. */
function YourOwn({ user, role }: { user: User; role: Role }) {
  const { userId } = useSession();
  if (user.clerkId !== userId || role === "ADMIN") return null;
  return (
    <Notice tone="warning">
      This is you. You will have no access to this panel any more, and only another admin can give
      it back.
    </Notice>
  );
}
