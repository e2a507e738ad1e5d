import type { Run } from "../api/types.ts";
import { Checkbox, TextField } from "../ui/index.ts";
import { ForeignNotice } from "./ForeignNotice.tsx";
import type { useConfirmation } from "./useConfirmation.ts";

interface ConfirmationProps {
  run: Run;
  confirmation: ReturnType<typeof useConfirmation>;
}

/** What somebody has to say before much is ended, or before another instance may be taken over. */
export function Confirmation({ run, confirmation }: ConfirmationProps) {
  const { toType, typed, setTyped, isKeyChecked, setIsKeyChecked } = confirmation;
  return (
    <>
      {run.approval.isForeign && (
        <>
          <ForeignNotice />
          <Checkbox
            label="I have checked that the secret key is that of our instance"
            isChecked={isKeyChecked}
            onChange={setIsKeyChecked}
          />
        </>
      )}
      {toType && (
        <TextField
          label={`Type ${toType.n} to confirm that so many are ${toType.what} here`}
          value={typed}
          onChange={setTyped}
          inputMode="numeric"
          autoComplete="off"
        />
      )}
    </>
  );
}
