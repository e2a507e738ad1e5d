import { type ChartKind, COLOURS, dashOf, hatchOf, type Series } from "./series.ts";
import styles from "./TimeChart.module.css";

interface SwatchProps {
  kind: ChartKind;
  series: Series<string>;
  index: number;
}

/** A small piece of what a series looks like in the chart. */
export function Swatch({ kind, series, index }: SwatchProps) {
  const colour = COLOURS[series.tone];
  return (
    <svg className={styles.swatch} width={18} height={12} aria-hidden>
      {kind === "area" ? (
        <>
          <rect width={18} height={12} rx={2} fill={colour} fillOpacity={0.16} />
          <path d="M0 6H18" stroke={colour} strokeWidth={2} strokeDasharray={dashOf(index)} />
        </>
      ) : (
        <>
          <rect x={3} width={12} height={12} rx={2} fill={colour} />
          <g transform="translate(3)" className={styles.hatch}>
            <path d={hatchOf(index)} />
            <path d={hatchOf(index)} transform="translate(6)" />
            <path d={hatchOf(index)} transform="translate(0 6)" />
            <path d={hatchOf(index)} transform="translate(6 6)" />
          </g>
        </>
      )}
    </svg>
  );
}
