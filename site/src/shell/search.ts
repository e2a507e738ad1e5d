// How addresses are read: whatever somebody typed there, the rest of the panel gets what it knows.

export function oneOf<const T extends string>(known: readonly T[], value: unknown): T | undefined {
  return known.find((it) => it === value);
}

/** A search parameter that looks like a number or a truth value comes as one. */
export function textOf(value: unknown): string | undefined {
  if (typeof value === "number" || typeof value === "boolean") return String(value);
  return typeof value === "string" && value !== "" ? value : undefined;
}
