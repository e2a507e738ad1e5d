// What is typed into the form, and what of it is a change.

import { ApiError, isOutcomeUnknown } from "../api/client.ts";
import type { ProfileUpdate, User } from "../api/types.ts";
import { sentence, sentenceOf } from "../ui/index.ts";

export interface Values {
  firstName: string;
  lastName: string;
  email: string;
  builderGroupId: string;
  password: string;
}

export type Field = keyof Values;

export const LABELS: Record<Field, string> = {
  firstName: "First name",
  lastName: "Last name",
  email: "E-mail address",
  builderGroupId: "Builder group",
  password: "New password",
};

export function valuesOf(user: User): Values {
  return {
    firstName: user.firstName ?? "",
    lastName: user.lastName ?? "",
    email: user.email ?? "",
    builderGroupId: user.builderGroupId ?? "",
    password: "",
  };
}

/** Only what differs: whatever somebody else changed meanwhile stays as it is. */
export function changesOf(user: User, values: Values): ProfileUpdate {
  const before = valuesOf(user);
  const typed = (field: Field) => values[field].trim();
  const isChanged = (field: Field) => typed(field) !== before[field];
  return {
    ...(isChanged("firstName") && { firstName: typed("firstName") || null }),
    ...(isChanged("lastName") && { lastName: typed("lastName") || null }),
    ...(isChanged("email") && { email: typed("email") }),
    ...(isChanged("builderGroupId") && { builderGroupId: typed("builderGroupId") || null }),
    // Blanks at its ends belong to a password.
    ...(values.password !== "" && { password: values.password }),
  };
}

export function isEmpty(update: ProfileUpdate): boolean {
  return Object.keys(update).length === 0;
}

/** The labels of what changes. */
export function labelsOf(update: ProfileUpdate): string {
  const fields = Object.keys(LABELS) as Field[];
  const labels = fields.filter((field) => field in update).map((field) => LABELS[field]);
  return labels.join(", ").toLowerCase();
}

/** What the user shows when the change is made. A password is shown nowhere. */
export function shownAfter(user: User, update: ProfileUpdate): Partial<User> {
  const { firstName = user.firstName, lastName = user.lastName } = update;
  const name = [firstName, lastName].filter(Boolean).join(" ") || null;
  const { email = user.email, builderGroupId = user.builderGroupId } = update;
  return { firstName, lastName, name, email, builderGroupId };
}

/** What the user showed before. */
export function shownBefore(user: User): Partial<User> {
  const { firstName, lastName, name, email, builderGroupId } = user;
  return { firstName, lastName, name, email, builderGroupId };
}

export interface Problems {
  fields: Partial<Record<Field, string>>;
  /** What is about no field of the form. */
  general?: string;
}

const LOOK_AGAIN =
  "The change may have been made all the same: look at the values again before you repeat it.";

/** What the server has against an edit, each sentence at the field that it is about. */
export function problemsOf(error: unknown): Problems {
  if (!error || isInvitationRequired(error)) return { fields: {} };
  const said = saidOf(error);
  const fields = fieldsOf(error).map((field) => [field, said]);
  if (fields.length > 0) return { fields: Object.fromEntries(fields) };
  return {
    fields: {},
    general: isOutcomeUnknown(error) ? `${sentence(said)} ${LOOK_AGAIN}` : said,
  };
}

/** The address of who has a Clerk account: it is invited, and nothing was done yet. */
export function isInvitationRequired(error: unknown): boolean {
  return error instanceof ApiError && error.code === "requires_invitation";
}

function saidOf(error: unknown): string {
  const detail = error instanceof ApiError ? error.body.detail : undefined;
  return typeof detail === "string" ? detail : sentenceOf(error);
}

function fieldsOf(error: unknown): Field[] {
  if (!(error instanceof ApiError)) return [];
  if (error.code === "email_taken") return ["email"];
  const named = Array.isArray(error.body.fields) ? error.body.fields : [];
  return (Object.keys(LABELS) as Field[]).filter((field) => named.includes(field));
}
