import { lazy, Suspense, useMemo } from "react";
import { Skeleton } from "../ui/index.ts";
import { Swatch } from "./Swatch.tsx";
import type { ChartKind, Row, Series } from "./series.ts";
import styles from "./TimeChart.module.css";

// The library that draws is large, so it comes when a chart does.
const Plot = lazy(() => import("./Plot.tsx"));

export interface TimeChartProps<Key extends string> {
  caption: string;
  kind: ChartKind;
  series: readonly Series<Key>[];
  points: readonly ({ at: string } & Record<Key, number>)[];
  formatAt: (at: string) => string;
  isStacked?: boolean;
  height?: number;
}

/** Numbers over time, drawn for who sees, and as a table for who is read to. */
export function TimeChart<Key extends string>(props: TimeChartProps<Key>) {
  const { caption, kind, series, points, formatAt, isStacked = false, height = 260 } = props;
  const rows: Row[] = useMemo(
    () => points.map((point) => ({ at: point.at, values: series.map(({ key }) => point[key]) })),
    [points, series],
  );
  return (
    <figure className={styles.figure}>
      <figcaption className={styles.caption}>{caption}</figcaption>
      <div className={styles.plot} style={{ height }}>
        <Suspense fallback={<Skeleton nLines={1} height={height} />}>
          <Plot
            label={caption}
            kind={kind}
            series={series}
            rows={rows}
            formatAt={formatAt}
            isStacked={isStacked}
          />
        </Suspense>
      </div>
      <ul className={styles.legend} aria-label="Legend">
        {series.map((one, index) => (
          <li key={one.key} className={styles.entry}>
            <Swatch kind={kind} series={one} index={index} />
            {one.label}
          </li>
        ))}
      </ul>
      <div className="visually-hidden">
        <NumbersTable caption={caption} series={series} rows={rows} formatAt={formatAt} />
      </div>
    </figure>
  );
}

interface NumbersTableProps {
  caption: string;
  series: readonly Series<string>[];
  rows: Row[];
  formatAt: (at: string) => string;
}

function NumbersTable({ caption, series, rows, formatAt }: NumbersTableProps) {
  return (
    <table>
      <caption>{caption}</caption>
      <thead>
        <tr>
          <th scope="col">When</th>
          {series.map(({ key, label }) => (
            <th key={key} scope="col">
              {label}
            </th>
          ))}
        </tr>
      </thead>
      <tbody>
        {rows.map((row) => (
          <tr key={row.at}>
            <th scope="row">{formatAt(row.at)}</th>
            {series.map(({ key }, index) => (
              <td key={key}>{row.values[index]}</td>
            ))}
          </tr>
        ))}
      </tbody>
    </table>
  );
}
