import type { Run } from "../api/types.ts";
import { ConfirmDialog } from "../ui/index.ts";
import styles from "./dialogs.module.css";

/** What a new comparison means for the one before it. */
export const TAKES_THE_PLACE =
  "It takes the place of a comparison that waits for an approval: only the newest one can be repaired.";

interface BeginRepairProps {
  isOpen: boolean;
  isBusy: boolean;
  /** What the last run took for usual. */
  usual: Run["approval"] | undefined;
  onClose: () => void;
  onBegin: () => void;
}

export function BeginRepairDialog({ usual, onBegin, ...dialog }: BeginRepairProps) {
  return (
    <ConfirmDialog
      {...dialog}
      title="Compare and repair"
      description="All that Clerk has is compared with all that is here, and what differs is mended: the database takes over what Clerk has. Clerk itself is not changed."
      confirmLabel="Compare and repair"
      onConfirm={onBegin}
    >
      <ul className={styles.points}>
        <li>Whoever may do more here than in Clerk is demoted before all else.</li>
        <li>
          The brake holds back deletions and demotions that are more than is usual
          {usual
            ? `: above ${usual.usualCount}, or ${usual.usualPercent} % of a kind if that is more.`
            : "."}{" "}
          They wait until you have looked at them and approve.
        </li>
        <li>{TAKES_THE_PLACE}</li>
        <li>Roles that nobody knows, and addresses that two rows have, are left to a person.</li>
      </ul>
    </ConfirmDialog>
  );
}
