import { type FormEvent, useId, useRef, useState } from "react";
import type { User } from "../api/types.ts";
import { Button, Dialog, Notice, TextField } from "../ui/index.ts";
import { problemsOf } from "./EditUserValues.ts";
import { useInvite } from "./EmailChangeRequests.ts";

interface EmailChangeDialogProps {
  user: User;
  isOpen: boolean;
  onClose: () => void;
  onDone: () => void;
}

/** Asks for the address that is to be invited. */
export function EmailChangeDialog(props: EmailChangeDialogProps) {
  const { user, isOpen, onClose, onDone } = props;
  const formId = useId();
  const field = useRef<HTMLInputElement>(null);
  const [email, setEmail] = useState("");
  const invite = useInvite(user.id);
  const { fields, general } = problemsOf(invite.error);

  const forget = () => {
    setEmail("");
    invite.reset();
  };
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (!invite.isPending) invite.mutate(email.trim(), { onSuccess: onDone });
  };
  return (
    <Dialog
      isOpen={isOpen}
      onClose={onClose}
      onClosed={forget}
      title="Invite another address"
      description="When somebody follows the invitation, the user moves to that address, with the same role, group and organizations."
      initialFocus={() => field.current}
      footer={
        <>
          <Button onClick={onClose}>Cancel</Button>
          <Button variant="primary" type="submit" form={formId} isBusy={invite.isPending}>
            Invite
          </Button>
        </>
      }
    >
      {general && <Notice tone="bad">{general}</Notice>}
      <form id={formId} onSubmit={submit} noValidate>
        <TextField
          ref={field}
          label="New e-mail address"
          type="email"
          autoComplete="off"
          value={email}
          onChange={setEmail}
          error={fields.email}
          description={user.email ? `Now it is ${user.email}.` : "There is none now."}
        />
      </form>
    </Dialog>
  );
}
