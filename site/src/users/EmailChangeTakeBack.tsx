import type { User } from "../api/types.ts";
import { ConfirmDialog, Notice, sentenceOf } from "../ui/index.ts";
import styles from "./EmailChangePanel.module.css";
import { useTakeBack } from "./EmailChangeRequests.ts";

interface EmailChangeTakeBackProps {
  user: User;
  email: string | null;
  isOpen: boolean;
  onClose: () => void;
  onDone: () => void;
}

/** Asks before an invitation is taken back. */
export function EmailChangeTakeBack(props: EmailChangeTakeBackProps) {
  const { user, email, isOpen, onClose, onDone } = props;
  const takeBack = useTakeBack(user.id);
  return (
    <ConfirmDialog
      isOpen={isOpen}
      onClose={onClose}
      onClosed={takeBack.reset}
      title="Take the invitation back?"
      confirmLabel="Take it back"
      variant="danger"
      isBusy={takeBack.isPending}
      onConfirm={() => takeBack.mutate(undefined, { onSuccess: onDone })}
    >
      {takeBack.error && <Notice tone="bad">{sentenceOf(takeBack.error)}</Notice>}
      <p>
        The link that was sent to <span className={styles.address}>{email}</span> is good for
        nothing then. The user keeps the address that they have.
      </p>
    </ConfirmDialog>
  );
}
