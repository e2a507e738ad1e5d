import { FlexRender, type Row, type RowData } from "@tanstack/react-table";
import { memo, type Ref, useRef } from "react";
import { Checkbox } from "./Checkbox.tsx";
import { classes } from "./classes.ts";
import styles from "./DataTable.module.css";
import type { ColumnMeta, Columns, Features } from "./DataTable.tsx";

interface TableRowProps<T extends RowData> {
  row: Row<Features, T>;
  /** The row draws them; other ones are another reason to draw it again. */
  columns: Columns<T>;
  isSelected: boolean;
  /** What the checkbox says; without it there is none. */
  selectLabel: string | undefined;
  onSelect: (index: number, isChecked: boolean, isRange: boolean) => void;
  /** Where it stands among all rows, if only some are drawn. */
  rowIndex: number | undefined;
  rowRef: Ref<HTMLTableRowElement> | undefined;
}

/** A row of a table. While others come and go beside it, it is not drawn again. */
export const TableRow = memo(TableRowNow, isSame) as typeof TableRowNow;

/** With each page the table makes all rows anew; what they show is the same. */
function isSame<T extends RowData>(before: TableRowProps<T>, now: TableRowProps<T>): boolean {
  return (
    before.row.original === now.row.original &&
    before.row.index === now.row.index &&
    before.columns === now.columns &&
    before.isSelected === now.isSelected &&
    before.selectLabel === now.selectLabel &&
    before.onSelect === now.onSelect &&
    before.rowIndex === now.rowIndex &&
    before.rowRef === now.rowRef
  );
}

function TableRowNow<T extends RowData>(props: TableRowProps<T>) {
  const { row, isSelected, selectLabel } = props;
  return (
    <tr
      ref={props.rowRef}
      data-index={row.index}
      data-selected={isSelected || undefined}
      aria-rowindex={props.rowIndex}
    >
      {selectLabel && <SelectCell {...props} label={selectLabel} />}
      {row.getAllCells().map((cell) => (
        <td
          key={cell.id}
          className={cellClass(cell.column.columnDef.meta as ColumnMeta | undefined)}
        >
          <FlexRender cell={cell} />
        </td>
      ))}
    </tr>
  );
}

function SelectCell<T extends RowData>(props: TableRowProps<T> & { label: string }) {
  const { row, label, isSelected, onSelect } = props;
  // The checkbox does not tell which keys were held.
  const isRange = useRef(false);
  return (
    <td
      className={styles.check}
      onClickCapture={(event) => {
        isRange.current = event.shiftKey;
      }}
      // Else the text between two clicks would be marked.
      onMouseDown={(event) => event.shiftKey && event.preventDefault()}
    >
      <Checkbox
        label={label}
        isLabelHidden
        isChecked={isSelected}
        onChange={(isChecked) => onSelect(row.index, isChecked, isRange.current)}
      />
    </td>
  );
}

export function cellClass(meta: ColumnMeta | undefined): string {
  return classes(meta?.isMinor && styles.minor, meta?.isNumeric && styles.numeric);
}
