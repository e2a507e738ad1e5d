import type { DriftState, Outcome, RunState } from "../api/types.ts";
import { Badge } from "../ui/index.ts";
import { DRIFT_STATE_WORDS, OUTCOME_WORDS, RUN_STATE_WORDS } from "./words.ts";

export function OutcomeBadge({ outcome }: { outcome: Outcome }) {
  const { label, tone, meaning } = OUTCOME_WORDS[outcome];
  return (
    <Badge tone={tone} title={meaning}>
      {label}
    </Badge>
  );
}

export function RunStateBadge({ state }: { state: RunState }) {
  const { label, tone } = RUN_STATE_WORDS[state];
  return <Badge tone={tone}>{label}</Badge>;
}

export function DriftStateBadge({ state }: { state: DriftState }) {
  const { label, tone } = DRIFT_STATE_WORDS[state];
  return <Badge tone={tone}>{label}</Badge>;
}
