import { useQuery } from "@tanstack/react-query";
import { getRouteApi, useNavigate } from "@tanstack/react-router";
import { useState } from "react";
import { overviewQuery } from "../api/queries.ts";
import type { ReplayTarget } from "../api/types.ts";
import { useApi } from "../auth/session.ts";
import { Button, Page, Panel, type Selection, Skeleton, Toolbar } from "../ui/index.ts";
import { DeadRoles } from "./DeadRoles.tsx";
import type { DeadLettersSearch, Waiting } from "./deadLettersSearch.ts";
import { ObjectFilter, TypeFilter } from "./filters.tsx";
import { ReplayDialog } from "./ReplayDialog.tsx";
import { Tabs } from "./Tabs.tsx";
import { WaitingTable } from "./WaitingTable.tsx";
import { number } from "./words.ts";

/** So many a call takes when they are named one by one. */
const MOST_NAMED = 500;

const route = getRouteApi("/admin/sync/dead-letters");

export default function DeadLettersPage() {
  const search = route.useSearch();
  const filter = { ...search, outcome: search.outcome ?? "dead" };
  const navigate = useNavigate();
  const overview = useQuery(overviewQuery(useApi()));
  const [selected, setSelected] = useState<Selection["selected"]>({});
  const [objectError, setObjectError] = useState<string>();
  const [target, setTarget] = useState<ReplayTarget>({ filter: {} });
  const [isReplaying, setIsReplaying] = useState(false);

  const onFilter = (change: DeadLettersSearch) => {
    setSelected({});
    void navigate({
      to: "/admin/sync/dead-letters",
      search: { ...search, ...change },
      replace: true,
    });
  };
  const replay = (target: ReplayTarget) => {
    setTarget(target);
    setIsReplaying(true);
  };
  const svixIds = Object.keys(selected).filter((id) => selected[id]);

  return (
    <Page
      title="Dead letters"
      description="What Clerk delivered and could not be taken in (dead), and what waits until Clerk is asked (parked)."
    >
      {overview.isPending ? (
        <Skeleton nLines={6} height={48} />
      ) : (
        <>
          <DeadRoles nRoles={overview.data?.dead.rolePushes ?? 0} />
          <Tabs
            label="What waits"
            value={filter.outcome}
            tabs={[
              { value: "dead", label: "Dead", note: counted(overview.data?.dead.events) },
              { value: "parked", label: "Parked", note: counted(overview.data?.parked.events) },
            ]}
            onChange={(value) => onFilter({ outcome: value })}
          />
          <Toolbar>
            <ObjectFilter filter={filter} onFilter={onFilter} error={objectError} />
            <TypeFilter filter={filter} onFilter={onFilter} />
            <Button
              variant="primary"
              disabled={svixIds.length === 0 || svixIds.length > MOST_NAMED}
              onClick={() => replay({ svixIds })}
            >
              Replay selected{svixIds.length > 0 && ` (${svixIds.length})`}
            </Button>
            <Button onClick={() => replay({ filter: present(filter) })}>
              Replay all that match
            </Button>
          </Toolbar>
          <Panel isFlush>
            <WaitingTable
              filter={filter}
              selected={selected}
              onSelect={setSelected}
              onObjectError={setObjectError}
            />
          </Panel>
        </>
      )}
      <ReplayDialog
        key={JSON.stringify(target)}
        target={target}
        isOpen={isReplaying}
        onClose={() => setIsReplaying(false)}
        onReplayed={() => setSelected({})}
      />
    </Page>
  );
}

function counted(n: number | undefined): string {
  return n === undefined ? "" : number(n);
}

/** Without what is not filtered by. */
function present({ outcome, type, object }: DeadLettersSearch & { outcome: Waiting }) {
  return { outcome, ...(type && { type }), ...(object && { object }) };
}
