// What somebody wants to have mended, what that would do, and having it done.

import { keepPreviousData, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { everythingChanged, runQuery } from "../api/queries.ts";
import type { DriftClass, RepairPlan, RepairWish, Run } from "../api/types.ts";
import { useApi } from "../auth/session.ts";
import { tell, tellError } from "../ui/index.ts";
import { withWordsForPeople } from "./refusals.ts";
import { mendableClasses } from "./runs.ts";
import { sum } from "./words.ts";

/** What somebody has chosen; nothing is chosen while it is undefined. */
export interface Choice {
  classes: DriftClass[] | undefined;
  /** So many roles that Clerk refused go back to what Clerk has. */
  nRolesBack: number;
  isApproved: boolean;
  maxDeletions: string | undefined;
  maxDemotions: string | undefined;
}

export const NOTHING_CHOSEN: Choice = {
  classes: undefined,
  nRolesBack: 0,
  isApproved: false,
  maxDeletions: undefined,
  maxDemotions: undefined,
};

export function useRepair(run: Run, isOpen: boolean) {
  const [choice, setChoice] = useState(NOTHING_CHOSEN);
  const classes = choice.classes ?? mendableClasses(run);
  const isExplicit = choice.classes !== undefined || choice.nRolesBack > 0;
  const unapproved: RepairWish = isExplicit ? { classes } : {};

  // What goes without an approval tells how much has to be asked for.
  const usual = usePlan(run, unapproved, isOpen);
  const held = heldBack(usual.data);
  const ceilings = ceilingsOf(choice, usual.data);
  const wish = choice.isApproved ? { ...unapproved, ...wanted(held, ceilings) } : unapproved;
  const isValid = ceilings.maxDeletions !== undefined && ceilings.maxDemotions !== undefined;
  const plan = usePlan(run, wish, isOpen && isValid);

  const change = (part: Partial<Choice>) => setChoice((choice) => ({ ...choice, ...part }));
  const reset = () => setChoice(NOTHING_CHOSEN);
  return { choice, change, reset, classes, usual, held, ceilings, wish, plan, isValid };
}

/** Numbers of a plan, by what is done, whatever the kind. */
export function nOfAction(numbers: Record<string, number> | undefined, action: string): number {
  const entries = Object.entries(numbers ?? {}).filter(([key]) => key.startsWith(`${action} `));
  return sum(entries.map(([, n]) => n));
}

interface Held {
  deletions: number;
  demotions: number;
  /** Roles that Clerk refused. */
  roles: number;
}

function heldBack(plan: RepairPlan | undefined): Held {
  return {
    deletions: nOfAction(plan?.withheld, "end"),
    demotions: nOfAction(plan?.withheld, "demote"),
    roles: nOfAction(plan?.withheld, "update"),
  };
}

/** As typed; before that, as many as the preview shows in all. */
function ceilingsOf(choice: Choice, plan: RepairPlan | undefined) {
  const all = (action: string) =>
    nOfAction(plan?.planned, action) + nOfAction(plan?.withheld, action);
  return {
    maxDeletions: wholeNumber(choice.maxDeletions ?? String(all("end"))),
    maxDemotions: wholeNumber(choice.maxDemotions ?? String(all("demote"))),
  };
}

/** A ceiling that is not needed is not named: what is usual goes without. */
function wanted(held: Held, ceilings: ReturnType<typeof ceilingsOf>): RepairWish {
  const { maxDeletions, maxDemotions } = ceilings;
  return {
    ...(held.deletions > 0 && maxDeletions !== undefined && { maxDeletions }),
    ...(held.demotions > 0 && maxDemotions !== undefined && { maxDemotions }),
  };
}

/** The server takes no more than this. */
const MOST = 4_294_967_295;

function wholeNumber(text: string): number | undefined {
  const n = /^\d+$/.test(text.trim()) ? Number(text) : Number.NaN;
  return n <= MOST ? n : undefined;
}

function usePlan(run: Run, wish: RepairWish, isEnabled: boolean) {
  const api = useApi();
  return useQuery({
    queryKey: ["sync", "plan", run.id, wish],
    queryFn: ({ signal }) =>
      api.post<RepairPlan>(
        `/api/admin/sync/reconcile/${run.id}/repair`,
        { ...wish, dryRun: true },
        signal,
      ),
    enabled: isEnabled,
    placeholderData: keepPreviousData,
    staleTime: 0,
  });
}

/** Has it mended; the run goes on from there. */
export function useApprove(run: Run) {
  const api = useApi();
  const client = useQueryClient();
  return useMutation({
    mutationFn: (wish: RepairWish) =>
      api.post<Run>(`/api/admin/sync/reconcile/${run.id}/repair`, wish),
    onSuccess: (begun) => {
      client.setQueryData(runQuery(api, run.id).queryKey, begun);
      tell("The repair has begun", "What becomes of each difference is shown at the comparison.");
    },
    onError: (error) => tellError("The repair did not begin", withWordsForPeople(error)),
    // What is shown follows by itself; nobody has to wait for it.
    onSettled: () => {
      void everythingChanged(client);
    },
  });
}
