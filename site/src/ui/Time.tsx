import { useSyncExternalStore } from "react";

const ABSOLUTE = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const RELATIVE = new Intl.RelativeTimeFormat("en", { numeric: "auto", style: "long" });

const UNITS: [unit: Intl.RelativeTimeFormatUnit, seconds: number][] = [
  ["year", 365 * 24 * 3600],
  ["month", 30 * 24 * 3600],
  ["day", 24 * 3600],
  ["hour", 3600],
  ["minute", 60],
];

/** How long ago, or until when; the exact time is shown on hovering. */
export function Time({ at, fallback = "never" }: { at: string | null; fallback?: string }) {
  useSyncExternalStore(onTick, ticks);
  if (at === null) return <span>{fallback}</span>;
  return (
    <time dateTime={at} title={absolute(at)}>
      {relative(at)}
    </time>
  );
}

// One clock for all of them, which stands still while nobody looks at it.
const TICK_MS = 30_000;
const listeners = new Set<() => void>();
let clock: ReturnType<typeof setInterval> | undefined;
let nTicks = 0;

function onTick(listener: () => void): () => void {
  listeners.add(listener);
  clock ??= setInterval(tick, TICK_MS);
  return () => {
    listeners.delete(listener);
    if (listeners.size > 0) return;
    clearInterval(clock);
    clock = undefined;
  };
}

function tick(): void {
  nTicks += 1;
  for (const listener of listeners) listener();
}

const ticks = () => nTicks;

/** The exact time, for people, in their own zone. */
export function absolute(at: string): string {
  return ABSOLUTE.format(new Date(at));
}

export function relative(at: string, now = Date.now()): string {
  const seconds = (new Date(at).getTime() - now) / 1000;
  const [unit, size] = UNITS.find(([, size]) => Math.abs(seconds) >= size) ?? ["second", 1];
  if (unit === "second" && Math.abs(seconds) < 10) return "just now";
  return RELATIVE.format(Math.round(seconds / size), unit);
}

/** A length of time in its two largest units, such as `3 h 20 min`. */
export function duration(seconds: number): string {
  const parts: [number, string][] = [
    [Math.floor(seconds / 86_400), "d"],
    [Math.floor((seconds % 86_400) / 3600), "h"],
    [Math.floor((seconds % 3600) / 60), "min"],
    [Math.floor(seconds % 60), "s"],
  ];
  const first = parts.findIndex(([count]) => count > 0);
  if (first === -1) return "0 s";
  const shown = parts.slice(first, first + 2).filter(([count]) => count > 0);
  return shown.map(([count, unit]) => `${count} ${unit}`).join(" ");
}
