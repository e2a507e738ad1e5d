import { useState } from "react";
import type { Run } from "../api/types.ts";
import {
  Button,
  Dialog,
  ErrorState,
  Notice,
  Skeleton,
  sentenceOf,
  TextField,
  tell,
} from "../ui/index.ts";
import { Approval } from "./Approval.tsx";
import styles from "./dialogs.module.css";
import { PlanPreview } from "./PlanPreview.tsx";
import { RepairClasses } from "./RepairClasses.tsx";
import { nOfAction, useApprove, useRepair } from "./useRepair.ts";

interface RepairProps {
  run: Run;
  isOpen: boolean;
  onClose: () => void;
}

/** Shows what a repair would do and hold back, takes the approval, and has it done. */
export function RepairDialog({ run, isOpen, onClose }: RepairProps) {
  const repair = useRepair(run, isOpen);
  const approve = useApprove(run);
  const [typed, setTyped] = useState("");
  const { plan, choice, wish } = repair;

  const nDeletions = nOfAction(plan.data?.planned, "end");
  const hasToType = choice.isApproved && nDeletions > 0;
  const isSettled = repair.isValid && plan.data !== undefined && !plan.isPlaceholderData;
  const isEmpty = Object.keys(plan.data?.planned ?? {}).length === 0;
  const isReady = isSettled && !isEmpty && (!hasToType || typed.trim() === String(nDeletions));
  const onDone = () => {
    tell("The repair has begun", "What becomes of each difference is shown below.");
    onClose();
  };

  return (
    <Dialog
      isOpen={isOpen}
      onClose={onClose}
      onClosed={() => {
        repair.reset();
        setTyped("");
        approve.reset();
      }}
      isWide
      title="Repair"
      description="The database takes over what Clerk has. Clerk itself is not changed. This is what would be done now:"
      footer={
        <>
          <Button onClick={onClose}>Cancel</Button>
          <Button
            variant={nDeletions > 0 ? "danger" : "primary"}
            isBusy={approve.isPending}
            disabled={!isReady}
            onClick={() => approve.mutate(wish, { onSuccess: onDone })}
          >
            {choice.isApproved ? "Approve and repair" : "Repair"}
          </Button>
        </>
      }
    >
      <RepairClasses run={run} repair={repair} />
      {plan.data ? (
        <PlanPreview plan={plan.data} />
      ) : plan.error ? (
        <ErrorState error={plan.error} onRetry={() => void plan.refetch()} />
      ) : (
        <Skeleton nLines={1} height={110} />
      )}
      <Approval repair={repair} />
      {hasToType && (
        <TextField
          label={`Type ${nDeletions} to confirm that so many are ended here`}
          value={typed}
          onChange={setTyped}
          inputMode="numeric"
          autoComplete="off"
        />
      )}
      {approve.error && (
        <Notice tone="bad">
          <span className={styles.group}>{sentenceOf(approve.error)}</span>
        </Notice>
      )}
    </Dialog>
  );
}
