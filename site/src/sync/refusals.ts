import { ApiError } from "../api/client.ts";

const UNDER_WAY =
  "Another comparison is under way. Wait for its end, then look at what it found: it may have taken the place of this one.";

/** A refusal that speaks of routes, as people would say it. */
export function withWordsForPeople(error: unknown): unknown {
  if (!(error instanceof ApiError) || error.code !== "run_under_way") return error;
  return new ApiError(error.status, { ...error.body, error: UNDER_WAY });
}

/** What the server has against a parameter, to be shown at its field. */
export function refusedField(error: unknown, field: string): string | undefined {
  if (!(error instanceof ApiError) || error.status !== 422) return undefined;
  const { fields } = error.body;
  return Array.isArray(fields) && fields.includes(field) ? error.message : undefined;
}
