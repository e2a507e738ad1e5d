// One side of a field that differs, for people.

import { absolute } from "../ui/index.ts";
import { ObjectLink } from "./links.tsx";
import styles from "./Value.module.css";

interface ValueProps {
  field: string;
  value: unknown;
  /** What the other side has, to mark what it has not. */
  other: unknown;
}

const IDS = ["clerkUserId", "clerkOrgId", "createdBy"];

export function Value({ field, value, other }: ValueProps) {
  if (value === null || value === undefined) return <em className={styles.none}>nothing</em>;
  if (value === "") return <em className={styles.none}>an empty text</em>;
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (field === "clerkVersion" && typeof value === "number") return <Version version={value} />;
  if (IDS.includes(field)) return <ObjectLink id={String(value)} />;
  if (Array.isArray(value)) return <Items items={value} others={listOf(other)} />;
  if (typeof value === "object") return <Keys value={recordOf(value)} other={recordOf(other)} />;
  return String(value);
}

/** A version is a time of Clerk's clock. */
function Version({ version }: { version: number }) {
  if (version === 0) return <em className={styles.none}>never seen in Clerk</em>;
  return (
    <span className={styles.lines}>
      {absolute(new Date(version).toISOString())}
      <code className={styles.none}>{version}</code>
    </span>
  );
}

function Items({ items, others }: { items: unknown[]; others: unknown[] }) {
  if (items.length === 0) return <em className={styles.none}>none</em>;
  const known = new Set(others.map(textOf));
  return (
    <ul className={styles.lines}>
      {items.map(textOf).map((item) => (
        <li key={item}>
          <code className={known.has(item) ? undefined : styles.different}>{item}</code>
        </li>
      ))}
    </ul>
  );
}

type Bag = Record<string, unknown>;

function Keys({ value, other }: { value: Bag; other: Bag }) {
  const keys = Object.keys(value).sort();
  if (keys.length === 0) return <em className={styles.none}>empty</em>;
  const isSame = (key: string) => textOf(value[key]) === textOf(other[key]);
  return (
    <ul className={styles.lines}>
      {keys.map((key) => (
        <li key={key}>
          <code className={isSame(key) ? undefined : styles.different}>
            {key}: {textOf(value[key])}
          </code>
        </li>
      ))}
    </ul>
  );
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value : (JSON.stringify(value) ?? "nothing");
}

function listOf(value: unknown): unknown[] {
  return Array.isArray(value) ? value : [];
}

function recordOf(value: unknown): Bag {
  return typeof value === "object" && value !== null ? { ...value } : {};
}
