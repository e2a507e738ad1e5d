import type { Run } from "../api/types.ts";
import { Button, Dialog, ErrorState, Skeleton } from "../ui/index.ts";
import { Approval } from "./Approval.tsx";
import { Confirmation } from "./Confirmation.tsx";
import { PlanPreview } from "./PlanPreview.tsx";
import { RepairClasses } from "./RepairClasses.tsx";
import { useConfirmation } from "./useConfirmation.ts";
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
  const { plan, choice, wish } = repair;
  const confirmation = useConfirmation(run, plan.data, choice.isApproved);

  const nDeletions = nOfAction(plan.data?.planned, "end");
  const isSettled = repair.isValid && plan.data !== undefined && !plan.isPlaceholderData;
  const isEmpty = Object.keys(plan.data?.planned ?? {}).length === 0;
  const isReady = isSettled && !isEmpty && confirmation.isGiven;
  // What is on its way cannot be taken back by closing.
  const close = () => {
    if (!approve.isPending) onClose();
  };

  return (
    <Dialog
      isOpen={isOpen}
      onClose={close}
      onClosed={() => {
        repair.reset();
        confirmation.reset();
      }}
      isWide
      title="Repair"
      description="The database takes over what Clerk has. Clerk itself is not changed. This is what would be done now:"
      footer={
        <>
          <Button onClick={close} disabled={approve.isPending}>
            Cancel
          </Button>
          <Button
            variant={nDeletions > 0 ? "danger" : "primary"}
            isBusy={approve.isPending}
            disabled={!isReady}
            onClick={() => approve.mutate(wish, { onSuccess: onClose })}
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
      <Confirmation run={run} confirmation={confirmation} />
    </Dialog>
  );
}
