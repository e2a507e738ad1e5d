import { type FormEvent, useEffect, useId, useRef, useState } from "react";
import { isOutcomeUnknown } from "../api/client.ts";
import type { ProfileUpdate, ProfileUpdated, User } from "../api/types.ts";
import { Button, Dialog, Notice, tell, tellError } from "../ui/index.ts";
import styles from "./EditUserDialog.module.css";
import { EditUserFields } from "./EditUserFields.tsx";
import { EditUserInvitation } from "./EditUserInvitation.tsx";
import { useEditUser } from "./EditUserMutation.ts";
import {
  changesOf,
  isEmpty,
  isInvitationRequired,
  problemsOf,
  valuesOf,
} from "./EditUserValues.ts";
import { useInvite } from "./EmailChangeRequests.ts";
import { nameOf } from "./words.ts";

interface EditUserDialogProps {
  /** Whose profile it is; without one it is closed. */
  user: User | undefined;
  /** The how manieth opening it is. */
  opening: number;
  onClose: () => void;
}

/**
 * Edits a profile. It closes as soon as somebody saves; if the server refuses, it is open again with
 * all that was typed.
 */
export function EditUserDialog({ user, opening, onClose }: EditUserDialogProps) {
  const [begun, setBegun] = useState({ user, opening });
  // What was typed belongs to one opening. It does not begin anew when the user's values change.
  if (user && (opening !== begun.opening || !begun.user)) setBegun({ user, opening });
  if (!begun.user) return null;
  return (
    <EditUser key={begun.opening} user={begun.user} isOpen={user !== undefined} onClose={onClose} />
  );
}

interface EditUserProps {
  user: User;
  isOpen: boolean;
  onClose: () => void;
}

function EditUser({ user, isOpen, onClose }: EditUserProps) {
  const formId = useId();
  const form = useRef<HTMLFormElement>(null);
  const isThere = useIsThere(isOpen);
  const [values, setValues] = useState(() => valuesOf(user));
  const [isInviting, setIsInviting] = useState(false);
  // Closed for as long as the new values are shown and the server has not answered.
  const [isAway, setIsAway] = useState(false);
  const [invited, setInvited] = useState<string>();

  const edit = useEditUser({
    onDone: (done) => {
      tellOf(done);
      if (isThere.current) onClose();
    },
    onFailed: (error) => {
      if (!isThere.current) return tellError(failureOf(user, error), error);
      setIsAway(false);
      setIsInviting(isInvitationRequired(error));
    },
  });
  const invite = useInvite(user.id);
  const problems = problemsOf(edit.error);
  const { reset } = edit;

  // A password is kept no longer than the form is in use.
  useEffect(() => {
    if (isOpen) return;
    reset();
    setValues((values) => ({ ...values, password: "" }));
  }, [isOpen, reset]);

  useEffect(() => {
    if (edit.error) firstToMend(form.current)?.focus();
  }, [edit.error]);

  const save = (update: ProfileUpdate) => {
    if (isEmpty(update)) return onClose();
    // Clerk does not take another address just so: that is not shown before it is known.
    const isOptimistic = user.clerkId === null || update.email === undefined;
    setIsAway(isOptimistic);
    edit.mutate({ user, update, isOptimistic });
  };
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (!edit.isPending) save(changesOf(user, values));
  };
  const { email = "", ...others } = changesOf(user, values);
  const goBack = () => {
    invite.reset();
    setIsInviting(false);
  };
  const saveOthers = () => {
    goBack();
    save(others);
  };
  const inviteAddress = () =>
    invite.mutate(email, {
      onSuccess: () => {
        if (isEmpty(others)) return onClose();
        edit.reset();
        setInvited(email);
        setValues({ ...values, email: valuesOf(user).email });
        setIsInviting(false);
      },
    });

  return (
    <Dialog
      isOpen={isOpen && !isAway}
      onClose={onClose}
      title={isInviting ? "Invite the new address" : `Edit ${nameOf(user)}`}
      initialFocus={() => firstToMend(form.current) ?? form.current?.querySelector("input") ?? null}
      footer={
        isInviting ? (
          <>
            <Button onClick={goBack}>Back</Button>
            {!isEmpty(others) && <Button onClick={saveOthers}>Save without the address</Button>}
            <Button
              variant="primary"
              className={styles.invite}
              isBusy={invite.isPending}
              onClick={inviteAddress}
            >
              Invite {email}
            </Button>
          </>
        ) : (
          <>
            <Button onClick={onClose}>Cancel</Button>
            <Button variant="primary" type="submit" form={formId} isBusy={edit.isPending}>
              Save
            </Button>
          </>
        )
      }
    >
      {isInviting ? (
        <EditUserInvitation user={user} email={email} others={others} error={invite.error} />
      ) : (
        <form id={formId} ref={form} className={styles.form} onSubmit={submit} noValidate>
          {problems.general && <Notice tone="bad">{problems.general}</Notice>}
          {invited && (
            <Notice tone="good">{invited} is invited. The other changes are not saved yet.</Notice>
          )}
          <EditUserFields
            user={user}
            values={values}
            problems={problems.fields}
            onChange={(change) => setValues({ ...values, ...change })}
          />
        </form>
      )}
    </Dialog>
  );
}

/** Whether the form is still in use when an answer comes. */
function useIsThere(isOpen: boolean) {
  const isThere = useRef(isOpen);
  useEffect(() => {
    isThere.current = isOpen;
    return () => {
      isThere.current = false;
    };
  }, [isOpen]);
  return isThere;
}

function failureOf(user: User, error: unknown): string {
  if (isOutcomeUnknown(error)) return `Nobody knows yet whether ${nameOf(user)} is saved`;
  return `${nameOf(user)} was not saved`;
}

/** The first field that the server has something against. */
function firstToMend(form: HTMLFormElement | null): HTMLElement | null {
  return form?.querySelector<HTMLElement>("[aria-invalid=true]") ?? null;
}

function tellOf({ user, databaseSync }: ProfileUpdated): void {
  if (databaseSync === "pending") {
    tell(
      `Clerk has the changes of ${nameOf(user)}`,
      "The database could not be written, and follows by itself. Until then the old values may be shown.",
    );
    return;
  }
  const where = user.clerkId === null ? "The database has it." : "Clerk and the database have it.";
  tell(`${nameOf(user)} is saved`, where);
}
