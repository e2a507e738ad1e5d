import { useVirtualizer } from "@tanstack/react-virtual";
import { useRef } from "react";
import type { BulkResult, User } from "../api/types.ts";
import { Badge } from "../ui/index.ts";
import styles from "./BulkResults.module.css";
import { wasRefused } from "./useBulkRoles.ts";
import { nameOf } from "./words.ts";

const ROW_HEIGHT = 41;

interface BulkResultsProps {
  users: ReadonlyMap<string, User>;
  results: ReadonlyMap<string, BulkResult>;
}

/** What became of each, first those for whom something is left to do. Only what is in sight is drawn. */
export function BulkResults({ users, results }: BulkResultsProps) {
  const rows = [...results.values()].sort((a, b) => urgencyOf(b) - urgencyOf(a));
  const scroller = useRef<HTMLElement>(null);
  const virtualizer = useVirtualizer({
    count: rows.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => ROW_HEIGHT,
    getItemKey: (index) => rows[index]?.userId ?? index,
    overscan: 6,
    useFlushSync: false,
  });
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: whoever has no mouse scrolls it by the keyboard.
    <section ref={scroller} className={styles.scroller} tabIndex={0} aria-label="Results">
      <ul className={styles.list} style={{ height: virtualizer.getTotalSize() }}>
        {virtualizer.getVirtualItems().map(({ key, index, start }) => {
          const row = rows[index];
          if (!row) return null;
          const user = users.get(row.userId);
          return (
            <li
              key={key}
              ref={virtualizer.measureElement}
              data-index={index}
              aria-setsize={rows.length}
              aria-posinset={index + 1}
              className={styles.row}
              style={{ transform: `translateY(${start}px)` }}
            >
              <span className={styles.name}>{user ? nameOf(user) : row.userId}</span>
              <Outcome result={row} />
              {row.error && <span className={styles.error}>{row.error}</span>}
            </li>
          );
        })}
      </ul>
    </section>
  );
}

function urgencyOf(result: BulkResult): number {
  if (!result.ok) return 3;
  if (result.clerkSync === "dead") return 2;
  return result.clerkSync === "pending" ? 1 : 0;
}

function Outcome({ result }: { result: BulkResult }) {
  if (!result.ok) return <Badge tone="bad">{wasRefused(result) ? "refused" : "no answer"}</Badge>;
  if (result.clerkSync === "dead") return <Badge tone="bad">dead</Badge>;
  if (result.clerkSync === "pending") return <Badge tone="warning">pending</Badge>;
  return <Badge tone="good">done</Badge>;
}
