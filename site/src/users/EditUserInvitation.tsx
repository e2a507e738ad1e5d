import type { ProfileUpdate, User } from "../api/types.ts";
import { Notice } from "../ui/index.ts";
import styles from "./EditUserDialog.module.css";
import { isEmpty, labelsOf, problemsOf } from "./EditUserValues.ts";

interface EditUserInvitationProps {
  user: User;
  email: string;
  /** What else was typed. */
  others: ProfileUpdate;
  error: unknown;
}

/** Why a new address is not simply set, and what happens instead. */
export function EditUserInvitation({ user, email, others, error }: EditUserInvitationProps) {
  const { fields, general } = problemsOf(error);
  const problem = general ?? fields.email;
  return (
    <>
      {problem && <Notice tone="bad">{problem}</Notice>}
      <p>
        This user has a Clerk account, and Clerk takes no address that nobody has verified. So
        nothing was changed yet.
      </p>
      <p>
        <span className={styles.address}>{email}</span> can be invited instead. When somebody
        follows the invitation, the user moves to that address, with the same role, group and
        organizations. Until then everything stays as it is
        {user.email && (
          <>
            , and they sign in with <span className={styles.address}>{user.email}</span>
          </>
        )}
        .
      </p>
      {!isEmpty(others) && (
        <Notice tone="info">
          What else you typed is not saved yet: {labelsOf(others)}. You can save it now without the
          address, or after the invitation.
        </Notice>
      )}
    </>
  );
}
