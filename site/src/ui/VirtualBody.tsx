import type { ReactNode } from "react";
import styles from "./DataTable.module.css";
import { useVirtualRows } from "./virtualRows.ts";

interface VirtualBodyProps {
  nRows: number;
  rowHeight: number;
  /** The rows from the first to the one before `end`; each is measured by its ref. */
  rowsOf: (
    first: number,
    end: number,
    rowRef: (row: HTMLTableRowElement | null) => void,
  ) => ReactNode;
}

/** The rows of a long table that are in sight; the others are room that is kept. */
export function VirtualBody({ nRows, rowHeight, rowsOf }: VirtualBodyProps) {
  const shown = useVirtualRows(nRows, rowHeight);
  return (
    <tbody ref={shown.bodyRef}>
      <Gap height={shown.above} />
      {rowsOf(shown.first, shown.end, shown.rowRef)}
      <Gap height={shown.below} />
    </tbody>
  );
}

/** What the rows that are not drawn would take. */
function Gap({ height }: { height: number }) {
  if (height === 0) return null;
  return (
    <tr aria-hidden className={styles.gap}>
      <td style={{ height }} />
    </tr>
  );
}
