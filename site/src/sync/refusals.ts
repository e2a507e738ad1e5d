import { ApiError } from "../api/client.ts";

/** What the server has against a parameter, to be shown at its field. */
export function refusedField(error: unknown, field: string): string | undefined {
  if (!(error instanceof ApiError) || error.status !== 422) return undefined;
  const { fields } = error.body;
  return Array.isArray(fields) && fields.includes(field) ? error.message : undefined;
}
