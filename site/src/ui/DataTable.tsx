import { lazyRouteComponent } from "@tanstack/react-router";
import {
  type CellData,
  type ColumnDef,
  createColumnHelper,
  type RowData,
  type RowSelectionState,
  rowSelectionFeature,
  tableFeatures,
  useTable,
} from "@tanstack/react-table";
import { ArrowDown, ArrowUp } from "lucide-react";
import { type ReactNode, type Ref, Suspense, useCallback, useEffect, useRef } from "react";
import { Checkbox } from "./Checkbox.tsx";
import { classes } from "./classes.ts";
import styles from "./DataTable.module.css";
import { LoadMore, type More } from "./LoadMore.tsx";
import { EmptyState, ErrorState, Notice, Skeleton } from "./states.tsx";
import { cellClass, TableRow } from "./TableRow.tsx";
import { sentenceOf } from "./toasts.tsx";

/** So many rows are drawn without a thought; more, and it matters which ones are in sight. */
const MAX_PLAIN = 100;
const VirtualBody = lazyRouteComponent(() => import("./VirtualBody.tsx"), "VirtualBody");

const features = tableFeatures({ rowSelectionFeature });
export type Features = typeof features;

/** What a view's columns are made with. */
export const columnsOf = <T extends RowData>() => createColumnHelper<Features, T>();
export type Columns<T extends RowData> = ColumnDef<Features, T, CellData>[];

/** What a column says besides what TanStack Table knows; given as `meta`. */
export interface ColumnMeta {
  /** Left out where the window is narrow. */
  isMinor?: boolean;
  isNumeric?: boolean;
  /** How wide it is in a virtual table; one without takes what is left. */
  width?: string;
  /** The order that the server has for it, ascending and descending; a missing one cannot be had. */
  ascending?: string;
  descending?: string;
}

export interface Selection {
  selected: RowSelectionState;
  onSelect: (selected: RowSelectionState) => void;
  /** What the checkbox of a row says, such as the name. */
  labelOf: (rowId: string) => string;
}

interface DataTableProps<T extends RowData> {
  /** Read aloud; not shown. */
  caption: string;
  columns: Columns<T>;
  rows: T[];
  rowId: (row: T) => string;
  isLoading: boolean;
  error: unknown;
  onRetry: () => void;
  empty: { title: string; text?: ReactNode; action?: ReactNode };
  sort?: { order: string; onSort: (order: string) => void };
  selection?: Selection;
  /** The next page; without it there is none. */
  more?: More | undefined;
  /** Other rows are on their way, and these are shown until then. */
  isOutdated?: boolean;
  /** Only the rows in sight are drawn, so that thousands may be loaded; `nRows`: how many there are
   * in all, `rowHeight`: how tall one is. */
  virtual?: { nRows: number; rowHeight: number };
}

/** Rows with columns, and what stands there while there are none. On a phone each row is a card. */
export function DataTable<T extends RowData>(props: DataTableProps<T>) {
  const { caption, columns, rows, rowId, selection, sort, virtual, isOutdated = false } = props;
  const table = useTable({
    features,
    columns,
    data: rows,
    getRowId: rowId,
    enableRowSelection: selection !== undefined,
    state: { rowSelection: selection?.selected ?? {} },
    onRowSelectionChange: (update) => {
      const next = typeof update === "function" ? update(selection?.selected ?? {}) : update;
      selection?.onSelect(next);
    },
  });
  const select = useSelect(table.getRowModel().rows, selection);

  if (props.error && rows.length === 0) {
    return <ErrorState error={props.error} onRetry={props.onRetry} />;
  }
  if (props.isLoading) {
    return (
      <div className={styles.loading}>
        <Skeleton nLines={10} height={virtual?.rowHeight ?? 40} />
      </div>
    );
  }
  if (rows.length === 0) {
    return (
      <EmptyState title={props.empty.title} action={props.empty.action}>
        {props.empty.text}
      </EmptyState>
    );
  }

  const all = table.getRowModel().rows;
  const rowsOf = (first: number, end: number, rowRef?: Ref<HTMLTableRowElement>) =>
    all
      .slice(first, end)
      .map((row) => (
        <TableRow
          key={row.id}
          row={row}
          columns={columns}
          isSelected={row.getIsSelected()}
          selectLabel={selection && `Select ${selection.labelOf(row.id)}`}
          onSelect={select}
          rowIndex={virtual && row.index + 2}
          rowRef={rowRef}
        />
      ));
  const allRows = <tbody>{rowsOf(0, all.length)}</tbody>;
  return (
    <>
      {/* That the next page could not be loaded is said at the end. */}
      {Boolean(props.error) && !props.more?.error && (
        <div className={styles.old}>
          <Notice tone="warning">This may be old. {sentenceOf(props.error)}</Notice>
        </div>
      )}
      <div
        className={classes(virtual ? styles.virtual : styles.scroller)}
        data-outdated={isOutdated || undefined}
        aria-busy={isOutdated || undefined}
      >
        <table className={styles.table} aria-rowcount={virtual && virtual.nRows + 1}>
          <caption className="visually-hidden">{caption}</caption>
          <thead>
            {table.getHeaderGroups().map((group) => (
              <tr key={group.id} aria-rowindex={virtual && 1}>
                {selection && (
                  <th className={styles.check}>
                    <Checkbox
                      label="Select all rows that are shown"
                      isLabelHidden
                      isChecked={table.getIsAllRowsSelected()}
                      isMixed={table.getIsSomeRowsSelected() && !table.getIsAllRowsSelected()}
                      onChange={(isChecked) => table.toggleAllRowsSelected(isChecked)}
                    />
                  </th>
                )}
                {group.headers.map((header) => {
                  const meta = header.column.columnDef.meta as ColumnMeta | undefined;
                  return (
                    <th
                      key={header.id}
                      scope="col"
                      className={cellClass(meta)}
                      style={virtual && meta?.width ? { width: meta.width } : undefined}
                      aria-sort={sort && ariaSort(meta, sort.order)}
                    >
                      {sort && meta && (meta.ascending || meta.descending) ? (
                        <SortButton meta={meta} {...sort}>
                          <table.FlexRender header={header} />
                        </SortButton>
                      ) : (
                        <table.FlexRender header={header} />
                      )}
                    </th>
                  );
                })}
              </tr>
            ))}
          </thead>
          {virtual && all.length > MAX_PLAIN ? (
            <Suspense fallback={allRows}>
              <VirtualBody nRows={all.length} rowHeight={virtual.rowHeight} rowsOf={rowsOf} />
            </Suspense>
          ) : (
            allRows
          )}
        </table>
      </div>
      {props.more && (
        <LoadMore
          {...props.more}
          // Nobody knows yet how many the others are.
          hasMore={props.more.hasMore || isOutdated}
          isLoading={props.more.isLoading || isOutdated}
          nShown={rows.length}
        />
      )}
    </>
  );
}

/** Selects a row, or all from the last one on. It stays the same, so that rows need not be drawn again. */
function useSelect(rows: { id: string }[], selection: Selection | undefined) {
  const last = useRef(0);
  const now = useRef({ rows, selection });
  useEffect(() => {
    now.current = { rows, selection };
  });
  return useCallback((index: number, isChecked: boolean, isRange: boolean) => {
    const { rows, selection } = now.current;
    const from = isRange ? last.current : index;
    last.current = index;
    const next = { ...selection?.selected };
    for (const { id } of rows.slice(Math.min(from, index), Math.max(from, index) + 1)) {
      if (isChecked) next[id] = true;
      else delete next[id];
    }
    selection?.onSelect(next);
  }, []);
}

function ariaSort(meta: ColumnMeta | undefined, order: string) {
  if (meta?.ascending === order) return "ascending";
  if (meta?.descending === order) return "descending";
  return undefined;
}

function SortButton(props: {
  meta: ColumnMeta;
  order: string;
  onSort: (order: string) => void;
  children: ReactNode;
}) {
  const { meta, order, onSort, children } = props;
  const isDescending = meta.descending === order;
  const isAscending = meta.ascending === order;
  const next = isAscending
    ? (meta.descending ?? meta.ascending)
    : (meta.ascending ?? meta.descending);
  return (
    <button type="button" className={styles.sort} onClick={() => next && onSort(next)}>
      {children}
      {isDescending && <ArrowDown size={14} aria-hidden />}
      {isAscending && <ArrowUp size={14} aria-hidden />}
    </button>
  );
}
