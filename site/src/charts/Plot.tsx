// The drawing itself. Only ever imported lazily, since it brings recharts.

import { useId } from "react";
import {
  Area,
  Bar,
  CartesianGrid,
  ComposedChart,
  Tooltip,
  type TooltipContentProps,
  XAxis,
  YAxis,
} from "recharts";
import { Swatch } from "./Swatch.tsx";
import { type ChartKind, COLOURS, dashOf, hatchOf, type Row, type Series } from "./series.ts";
import styles from "./TimeChart.module.css";

interface PlotProps {
  label: string;
  kind: ChartKind;
  series: readonly Series<string>[];
  rows: Row[];
  formatAt: (at: string) => string;
  isStacked: boolean;
}

const COMPACT = new Intl.NumberFormat("en", { notation: "compact" });
const TICK = { fill: "var(--text-muted)", fontSize: 12 };

export default function Plot({ label, kind, series, rows, formatAt, isStacked }: PlotProps) {
  const id = useId();
  const stack = isStacked ? { stackId: "all" } : {};
  return (
    <ComposedChart
      responsive
      data={rows}
      className={styles.chart ?? ""}
      style={{ width: "100%", height: "100%" }}
      margin={{ top: 8, right: 12, bottom: 0, left: 0 }}
      aria-label={`${label} The arrow keys go from one moment to the next.`}
    >
      {kind === "bar" && <Hatches id={id} series={series} />}
      <CartesianGrid vertical={false} stroke="var(--border)" />
      <XAxis
        dataKey="at"
        tickFormatter={formatAt}
        tick={TICK}
        tickLine={false}
        axisLine={{ stroke: "var(--border-strong)" }}
        minTickGap={28}
        tickMargin={6}
      />
      <YAxis
        width={44}
        allowDecimals={false}
        tickFormatter={(value: number) => COMPACT.format(value)}
        tick={TICK}
        tickLine={false}
        axisLine={false}
      />
      <Tooltip
        isAnimationActive={false}
        cursor={kind === "area" ? { stroke: "var(--border-strong)" } : { fill: "var(--hover)" }}
        content={(tooltip) => (
          <Numbers {...tooltip} kind={kind} series={series} formatAt={formatAt} />
        )}
      />
      {series.map(({ key, label, tone }, index) =>
        kind === "area" ? (
          <Area
            key={key}
            {...stack}
            name={label}
            dataKey={(row: Row) => row.values[index]}
            type="monotone"
            stroke={COLOURS[tone]}
            strokeWidth={2}
            strokeDasharray={dashOf(index)}
            fill={COLOURS[tone]}
            fillOpacity={0.16}
            isAnimationActive={false}
          />
        ) : (
          <Bar
            key={key}
            {...stack}
            name={label}
            dataKey={(row: Row) => row.values[index]}
            fill={`url(#${hatchId(id, index)})`}
            maxBarSize={36}
            isAnimationActive={false}
          />
        ),
      )}
    </ComposedChart>
  );
}

function hatchId(id: string, index: number): string {
  return `${id}-hatch-${index}`;
}

function Hatches({ id, series }: { id: string; series: readonly Series<string>[] }) {
  return (
    <defs>
      {series.map(({ key, tone }, index) => (
        <pattern
          key={key}
          id={hatchId(id, index)}
          width={6}
          height={6}
          patternUnits="userSpaceOnUse"
        >
          <rect width={6} height={6} fill={COLOURS[tone]} />
          <path d={hatchOf(index)} className={styles.hatch} />
        </pattern>
      ))}
    </defs>
  );
}

type NumbersProps = Pick<TooltipContentProps, "active" | "payload"> &
  Pick<PlotProps, "kind" | "series" | "formatAt">;

/** What is shown of the moment that is pointed at; read aloud when the keys go there. */
function Numbers({ active, payload, kind, series, formatAt }: NumbersProps) {
  const row: Row | undefined = payload[0]?.payload;
  if (!active || !row) return null;
  return (
    <div className={styles.tooltip} role="status">
      <p className={styles.moment}>{formatAt(row.at)}</p>
      <dl className={styles.numbers}>
        {series.map((one, index) => (
          <div key={one.key} className={styles.number}>
            <dt className={styles.entry}>
              <Swatch kind={kind} series={one} index={index} />
              {one.label}
            </dt>
            <dd>{row.values[index]?.toLocaleString("en")}</dd>
          </div>
        ))}
      </dl>
    </div>
  );
}
