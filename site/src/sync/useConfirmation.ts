import { useState } from "react";
import type { RepairPlan, Run } from "../api/types.ts";
import { nOfAction } from "./useRepair.ts";
import { sum } from "./words.ts";

/** What has to be said before a repair begins, and whether it was. */
export function useConfirmation(run: Run, plan: RepairPlan | undefined, isApproved: boolean) {
  const [typed, setTyped] = useState("");
  const [isKeyChecked, setIsKeyChecked] = useState(false);
  const { isForeign } = run.approval;
  const toType = isApproved || isForeign ? numberToType(plan, isForeign) : undefined;
  const isTyped = !toType || typed.trim() === String(toType.n);
  const isGiven = isTyped && (!isForeign || isKeyChecked);
  const reset = () => {
    setTyped("");
    setIsKeyChecked(false);
  };
  return { toType, typed, setTyped, isKeyChecked, setIsKeyChecked, isGiven, reset };
}

function numberToType(plan: RepairPlan | undefined, isForeign: boolean) {
  const nDeletions = nOfAction(plan?.planned, "end");
  if (nDeletions > 0) return { n: nDeletions, what: "ended" };
  const nChanges = sum(Object.values(plan?.planned ?? {}));
  return isForeign && nChanges > 0 ? { n: nChanges, what: "changed" } : undefined;
}
