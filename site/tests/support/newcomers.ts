// People who come for one test, and are gone after it.

import { randomUUID } from "node:crypto";
import { afterEach } from "node:test";
import type { Page } from "playwright-core";
import { signIn } from "./panel.ts";
import { clerk, rowOf, sql, until } from "./world.ts";

export interface Newcomer {
  /** Our id. */
  id: string;
  clerkId: string;
  email: string;
  name: string;
}

const emails: string[] = [];

afterEach(async () => {
  if (emails.length === 0) return;
  await clerk.calm();
  const { users } = await clerk.control("GET", "state");
  for (const { id, email_addresses } of users) {
    const has = email_addresses.map((it: { email_address: string }) => it.email_address);
    if (emails.some((email) => has.includes(email))) await clerk.remove(id);
  }
  await clerk.delivered();
  await sql`update users set deleted_at = now()
    where clerk_id is null and deleted_at is null and email in ${sql(emails)}`;
  emails.length = 0;
});

/** An address that nobody has; whoever gets it goes after the test. */
export function newEmail(name: string): string {
  const email = `${name.toLowerCase()}.${randomUUID().slice(0, 8)}@example.com`;
  emails.push(email);
  return email;
}

/** Somebody signs up in Clerk, and the database hears of it. */
export async function newcomer(firstName: string, lastName: string): Promise<Newcomer> {
  const email = newEmail(firstName);
  const clerkId = await clerk.signUp({ email, first_name: firstName, last_name: lastName });
  await until(`${email} is here`, () => countOf(email), 1);
  const { id } = await rowOf(email);
  return { id, clerkId, email, name: `${firstName} ${lastName}` };
}

/** Somebody whom only the database has. */
export async function withoutAccount(firstName: string, lastName: string) {
  const email = newEmail(firstName);
  const [row] = await sql`insert into users (first_name, last_name, email)
    values (${firstName}, ${lastName}, ${email}) returning id`;
  return { id: row?.id as string, email, name: `${firstName} ${lastName}` };
}

async function countOf(email: string): Promise<number> {
  return (await sql`select from users where email = ${email} and clerk_id is not null`).length;
}

/** Ada opens the page of a user. */
export async function openUser(page: Page, { id, name }: { id: string; name: string }) {
  await signIn(page, "Ada Lovelace", `/admin/users/${id}`);
  await page.getByRole("heading", { name, level: 1 }).waitFor();
}

/** The page of somebody who has never asked for another address says so by a 404. */
export const NO_EMAIL_CHANGE = /status of 404.*\/email-change/;
