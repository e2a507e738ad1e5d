import { useState } from "react";
import type { Run } from "../api/types.ts";
import { Button, ConfirmDialog } from "../ui/index.ts";
import { useCancel } from "./useRun.ts";

export function CancelButton({ run }: { run: Run }) {
  const [isAsking, setIsAsking] = useState(false);
  const cancel = useCancel(run.id);
  return (
    <>
      <Button onClick={() => setIsAsking(true)}>Cancel the comparison</Button>
      <ConfirmDialog
        isOpen={isAsking}
        onClose={() => setIsAsking(false)}
        title="Cancel this comparison?"
        description={
          run.state === "waiting"
            ? "What it found and held back is given up: it cannot be approved any more. What it has mended stays mended, and another one can begin at any time."
            : "It ends without a result. What it has mended stays mended, and another one can begin at any time."
        }
        confirmLabel="Cancel it"
        variant="danger"
        isBusy={cancel.isPending}
        onConfirm={() => cancel.mutate(undefined, { onSettled: () => setIsAsking(false) })}
      />
    </>
  );
}
