// What tests of the users view have in common: people of their own, and how a row is found and used.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import type { Locator, Page } from "playwright-core";
import { signIn } from "./panel.ts";
import { clerk, type Role, sql, until } from "./world.ts";

export interface Person {
  clerkId: string;
  email: string;
  name: string;
}

/** Somebody new, on both sides; `rest` of their name tells them from everybody else. */
export async function newPerson(firstName: string, role: Role = "STUDENT"): Promise<Person> {
  const rest = uniqueWord();
  const email = `${firstName}.${rest}@example.net`.toLowerCase();
  const names = { first_name: firstName, last_name: rest };
  const clerkId = await clerk.signUp({ email, ...names, role });
  await until(`${email} arrives`, () => roleHere(clerkId), role);
  return { clerkId, email, name: `${firstName} ${rest}` };
}

/** Does something with people of its own, who are gone afterwards. */
export async function withPeople<T extends Person[]>(
  people: Promise<Person>[] & { [n in keyof T]: Promise<Person> },
  work: (...people: T) => Promise<void>,
): Promise<void> {
  const all = (await Promise.all(people)) as T;
  try {
    await work(...all);
  } finally {
    await clerk.calm();
    for (const { clerkId } of all) await clerk.remove(clerkId);
    const ids = all.map((person) => person.clerkId);
    await until("they are gone", () => nLive(ids), 0);
  }
}

/** A word that no one else's name has. */
export function uniqueWord(): string {
  return `Q${randomUUID().replaceAll("-", "").slice(0, 10)}`;
}

async function nLive(clerkIds: string[]): Promise<number> {
  const rows = await sql`
    select count(*)::int as n from users where clerk_id in ${sql(clerkIds)} and deleted_at is null`;
  return rows[0]?.n;
}

export async function roleHere(clerkId: string): Promise<Role | undefined> {
  const rows = await sql`
    select role from users where clerk_id = ${clerkId} and deleted_at is null`;
  return rows[0]?.role;
}

/** So many rows without a Clerk account, with this word in their names; they are gone afterwards. */
export async function withRows(n: number, word: string, work: () => Promise<void>): Promise<void> {
  await sql`
    insert into users (first_name, last_name, email, created_at)
    select
      'Row' || n, ${word}, 'row' || n || '.' || lower(${word}) || '@example.net',
      now() - n * interval '1 minute'
    from generate_series(1, ${n}::int) n`;
  try {
    await work();
  } finally {
    // What happened to a role is kept for ever, and with it the user.
    await sql`
      update users set deleted_at = now()
      where last_name = ${word} and id in (select user_id from role_changes)`;
    await sql`delete from users where last_name = ${word} and deleted_at is null`;
  }
}

/** The view, with Ada signed in. */
export async function openUsers(page: Page, search: Record<string, string> = {}): Promise<void> {
  const query = new URLSearchParams(search).toString();
  await signIn(page, "Ada Lovelace", query === "" ? "/admin/users" : `/admin/users?${query}`);
  await page.getByRole("table", { name: "Users" }).waitFor();
}

/** The rows of people, without the one of the headings. */
export function rows(page: Page): Locator {
  return page.getByRole("table", { name: "Users" }).locator("tbody").getByRole("row");
}

export function rowOfPerson(page: Page, name: string): Locator {
  return rows(page).filter({ has: page.getByRole("link", { name, exact: true }) });
}

export async function chooseInMenu(page: Page, name: string, entry: string): Promise<void> {
  await page.getByRole("button", { name: `Actions for ${name}`, exact: true }).click();
  await page.getByRole("menuitem", { name: entry }).click();
}

export function dialog(page: Page): Locator {
  return page.getByRole("dialog");
}

/** Three dots, Update role, the role; confirmed. */
export async function updateRole(page: Page, name: string, role: Role): Promise<void> {
  await chooseInMenu(page, name, "Update role");
  await dialog(page).getByRole("radio", { name: role }).click();
  await dialog(page).getByRole("button", { name: "Update role" }).click();
}

/** Waits until a row says this in one of its cells. */
export async function expectCell(page: Page, name: string, text: string): Promise<void> {
  await rowOfPerson(page, name).getByRole("cell", { name: text, exact: true }).waitFor();
}

/** Keeps the answer to these calls back until it is let go; what was asked meanwhile. */
export async function holdBack(page: Page, url: string | RegExp, method = "GET") {
  let letGo = () => {};
  const mayGo = new Promise<void>((resolve) => {
    letGo = resolve;
  });
  let told = (_: unknown) => {};
  const isAsked = new Promise((resolve) => {
    told = resolve;
  });
  await page.route(url, async (route) => {
    if (route.request().method() !== method) return route.fallback();
    told(route.request().postDataJSON());
    await mayGo;
    // The page may be gone.
    await route.fallback().catch(() => undefined);
  });
  return { isAsked, letGo };
}

/** What the bar at the bottom says of who is selected. */
export async function expectSelected(page: Page, text: string): Promise<void> {
  const bar = page.getByRole("region", { name: "Selection" });
  await bar.getByText(text, { exact: true }).waitFor();
  assert.ok(await bar.getByRole("button", { name: "Update role…" }).isVisible());
}
