// The filters above lists of deliveries.

import type { EventFilter } from "../api/queries.ts";
import { OUTCOMES, type Outcome } from "../api/types.ts";
import { oneOf } from "../shell/search.ts";
import { SearchField, Select } from "../ui/index.ts";
import { EVENT_TYPES, OUTCOME_WORDS } from "./words.ts";

const ALL = "all";

interface FilterProps {
  filter: EventFilter;
  onFilter: (change: EventFilter) => void;
}

/** The two that every such list has. */
interface CommonProps {
  filter: Pick<EventFilter, "type" | "object">;
  onFilter: (change: Pick<EventFilter, "type" | "object">) => void;
}

const OUTCOME_OPTIONS = [
  { value: ALL, label: "Any outcome" },
  ...OUTCOMES.map((value) => ({ value, label: OUTCOME_WORDS[value].label })),
];

export function OutcomeFilter({ filter, onFilter }: FilterProps) {
  return (
    <Select<Outcome | typeof ALL>
      label="Outcome"
      isLabelHidden
      value={filter.outcome ?? ALL}
      options={OUTCOME_OPTIONS as { value: Outcome | typeof ALL; label: string }[]}
      onChange={(value) => onFilter({ outcome: oneOf(OUTCOMES, value) })}
    />
  );
}

/** The types that are taken in, and that of the address, whatever it is. */
export function TypeFilter({ filter, onFilter }: CommonProps) {
  const { type } = filter;
  const isKnown = type === undefined || EVENT_TYPES.some((it) => it === type);
  const types: string[] = isKnown ? [...EVENT_TYPES] : [...EVENT_TYPES, type];
  const options = [
    { value: ALL, label: "Any type" },
    ...types.map((value) => ({ value, label: value })),
  ];
  return (
    <Select
      label="Type"
      isLabelHidden
      value={type ?? ALL}
      options={options}
      onChange={(value) => onFilter({ type: value === ALL ? undefined : value })}
    />
  );
}

export function ObjectFilter({
  filter,
  onFilter,
  error,
}: CommonProps & { error?: string | undefined }) {
  return (
    <SearchField
      label="Object"
      placeholder="Clerk id: user_…, org_…, orgmem_…"
      value={filter.object ?? ""}
      error={error}
      onSearch={(text) => onFilter({ object: text.trim() || undefined })}
    />
  );
}
