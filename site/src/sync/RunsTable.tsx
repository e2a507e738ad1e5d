import { Link } from "@tanstack/react-router";
import { DRIFT_CLASSES, type Run } from "../api/types.ts";
import { type Columns, columnsOf, DataTable, Time } from "../ui/index.ts";
import { RunStateBadge } from "./badges.tsx";
import { Actor } from "./links.tsx";
import styles from "./RunsTable.module.css";
import { isOpen, nOfClass, nOfRun, secondsOf } from "./runs.ts";
import { MODE_WORDS, number, took } from "./words.ts";

const column = columnsOf<Run>();
const COLUMNS: Columns<Run> = column.columns([
  column.display({
    id: "begun",
    header: "Begun",
    cell: ({ row }) => (
      <Link
        to="/admin/sync/comparisons/$runId"
        params={{ runId: row.original.id }}
        className={styles.open}
      >
        <Time at={row.original.createdAt} />
      </Link>
    ),
  }),
  column.display({
    id: "actor",
    header: "By",
    cell: ({ row }) => (
      <span className={styles.actor}>
        <Actor actor={row.original.actor} />
      </span>
    ),
    meta: { isMinor: true },
  }),
  column.display({
    id: "mode",
    header: "Mode",
    cell: ({ row }) => MODE_WORDS[row.original.mode],
    meta: { isMinor: true },
  }),
  column.display({
    id: "state",
    header: "State",
    cell: ({ row }) => <RunStateBadge state={row.original.state} />,
  }),
  column.display({
    id: "found",
    header: "Found",
    cell: ({ row }) => <Found run={row.original} />,
  }),
  column.display({
    id: "mended",
    header: "Mended",
    cell: ({ row }) => number(nOfRun(row.original, ["repaired"])),
    meta: { isMinor: true, isNumeric: true },
  }),
  column.display({
    id: "took",
    header: "Took",
    cell: ({ row }) => (
      <span className={styles.took}>
        {isOpen(row.original) ? "…" : took(secondsOf(row.original, Date.now()))}
      </span>
    ),
    meta: { isMinor: true, isNumeric: true },
  }),
]);

interface RunsTableProps {
  runs: Run[];
  isLoading: boolean;
  error: unknown;
  onRetry: () => void;
}

export function RunsTable({ runs, ...table }: RunsTableProps) {
  return (
    <DataTable
      {...table}
      caption="The last comparisons"
      columns={COLUMNS}
      rows={runs}
      rowId={(run) => run.id}
      empty={{
        title: "Nothing was compared yet",
        text: "The first comparison of an empty database fills it: it is the backfill.",
      }}
    />
  );
}

function Found({ run }: { run: Run }) {
  if (run.comparedAt === null && nOfRun(run) === 0) {
    return <span className={styles.nothing}>{isOpen(run) ? "…" : "–"}</span>;
  }
  const found = DRIFT_CLASSES.filter((it) => nOfClass(run, it) > 0);
  if (found.length === 0) return <span className={styles.nothing}>Nothing differs</span>;
  return (
    <ul className={styles.classes}>
      {found.map((it) => (
        <li key={it}>
          {number(nOfClass(run, it))} <code>{it}</code>
        </li>
      ))}
    </ul>
  );
}
