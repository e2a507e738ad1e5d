import type { DriftFilter } from "../api/queries.ts";
import { DRIFT_CLASSES, DRIFT_STATES } from "../api/types.ts";
import { oneOf } from "../shell/search.ts";
import { SearchField, Select, Toolbar } from "../ui/index.ts";
import { CLASS_WORDS, DRIFT_STATE_WORDS } from "./words.ts";

const ALL = "all";

const CLASSES: { value: string; label: string }[] = [
  { value: ALL, label: "Any class" },
  ...DRIFT_CLASSES.map((value) => ({ value, label: CLASS_WORDS[value].label })),
];
const STATES: { value: string; label: string }[] = [
  { value: ALL, label: "Whatever became of it" },
  ...DRIFT_STATES.map((value) => ({ value, label: DRIFT_STATE_WORDS[value].label })),
];

interface DriftFiltersProps {
  filter: DriftFilter;
  onFilter: (change: DriftFilter) => void;
}

export function DriftFilters({ filter, onFilter }: DriftFiltersProps) {
  return (
    <Toolbar>
      <SearchField
        label="Object"
        placeholder="Clerk id: user_…, org_…, orgmem_…"
        value={filter.object ?? ""}
        onSearch={(text) => onFilter({ object: text.trim() || undefined })}
      />
      <Select
        label="Class"
        isLabelHidden
        value={filter.class ?? ALL}
        options={CLASSES}
        onChange={(value) => onFilter({ class: oneOf(DRIFT_CLASSES, value) })}
      />
      <Select
        label="What became of it"
        isLabelHidden
        value={filter.state ?? ALL}
        options={STATES}
        onChange={(value) => onFilter({ state: oneOf(DRIFT_STATES, value) })}
      />
    </Toolbar>
  );
}
