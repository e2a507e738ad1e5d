import { useCallback } from "react";
import { CLERK_SYNCS, ROLES, USER_STATES, type UserFilter } from "../api/types.ts";
import { Button, classes, type Option, SearchField, Select, Toolbar } from "../ui/index.ts";
import { OrganizationFilter } from "./OrganizationFilter.tsx";
import styles from "./UsersToolbar.module.css";
import { DEFAULT_ORDER, ORDERS } from "./words.ts";

const ANY = "any";

interface UsersToolbarProps {
  filter: UserFilter;
  /** `isTyping`: it is the next letter of a search, and no step to come back to. */
  onFilter: (change: UserFilter, isTyping?: boolean) => void;
  onClear: () => void;
  /** Whether there is something to clear. */
  isFiltered: boolean;
}

/** Which users are shown, and in which order. */
export function UsersToolbar({ filter, onFilter, onClear, isFiltered }: UsersToolbarProps) {
  const isSearching = filter.search !== undefined;
  const onSearch = useCallback(
    (search: string) => onFilter({ search: search.trim() || undefined }, isSearching),
    [onFilter, isSearching],
  );
  return (
    <Toolbar>
      <SearchField
        label="Search users"
        placeholder="Name, e-mail or Clerk id"
        value={filter.search ?? ""}
        onSearch={onSearch}
        hasShortcut
      />
      <Select
        label="Role"
        isLabelHidden
        value={filter.role ?? ANY}
        options={withAny("Any role", ROLES)}
        onChange={(role) => onFilter({ role: role === ANY ? undefined : role })}
      />
      <Select
        label="State"
        isLabelHidden
        value={filter.state ?? ANY}
        options={withAny("Any state", USER_STATES)}
        onChange={(state) => onFilter({ state: state === ANY ? undefined : state })}
      />
      <Select
        label="Clerk"
        isLabelHidden
        value={filter.clerkSync ?? ANY}
        options={withAny("Any Clerk state", CLERK_SYNCS)}
        onChange={(clerkSync) => onFilter({ clerkSync: clerkSync === ANY ? undefined : clerkSync })}
      />
      <OrganizationFilter
        value={filter.organization}
        onChange={(organization) => onFilter({ organization })}
      />
      <Select
        label="Order"
        isLabelHidden
        value={filter.sort ?? DEFAULT_ORDER}
        options={ORDERS}
        onChange={(sort) => onFilter({ sort: sort === DEFAULT_ORDER ? undefined : sort })}
      />
      {/* Its place is kept, so that nothing moves when it appears. */}
      <Button variant="plain" className={classes(!isFiltered && styles.nothing)} onClick={onClear}>
        Clear filters
      </Button>
    </Toolbar>
  );
}

function withAny<T extends string>(label: string, values: readonly T[]): Option<T | typeof ANY>[] {
  return [{ value: ANY, label }, ...values.map((value) => ({ value, label: value }))];
}
