// What was delivered, and why each delivery did what it did.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import type { Page } from "playwright-core";
import {
  expectNoSeriousAxeFindings,
  expectStableLayout,
  screenshot,
  signIn,
  test,
} from "./support/panel.ts";
import { clerk, rowOf, sql, until } from "./support/world.ts";

const EVENTS = "/admin/sync/events";
const ON_A_PAGE = 50;

async function newUser(): Promise<string> {
  const email = `${randomUUID()}@example.com`;
  const id = await clerk.signUp({ email, first_name: "Edda", role: "STUDENT" });
  await clerk.delivered();
  return id;
}

/** Who a test made goes, and so does what it said. */
async function leave(id: string): Promise<void> {
  await clerk.calm();
  await clerk.remove(id);
  await clerk.delivered();
}

function eventRows(page: Page) {
  return page.getByRole("table", { name: "Events" }).getByRole("row");
}

async function choose(page: Page, what: string, option: string): Promise<void> {
  await page.getByRole("combobox", { name: what }).click();
  await page.getByRole("option", { name: option, exact: true }).click();
}

test("a webhook that comes too late is stale, and its page explains why by rule R2", async ({
  page,
}) => {
  const user = await newUser();
  const [older, newer] = await clerk.holdingWebhooks(async () => {
    await clerk.edit(user, { first_name: "Edith" });
    await clerk.edit(user, { first_name: "Editha" });
  });
  assert.ok(older && newer);
  assert.deepEqual((await clerk.deliver(newer)).body, { outcome: "applied" });
  assert.deepEqual((await clerk.deliver(older)).body, { outcome: "stale" });
  assert.equal((await rowOf(user)).first_name, "Editha");

  await signIn(page, "Ada Lovelace", `${EVENTS}?object=${user}&outcome=stale`);
  await eventRows(page).nth(1).waitFor();
  assert.equal(await eventRows(page).count(), 2, "the heads and one event");
  await page.getByRole("row", { name: older.id }).getByText("Stale").waitFor();
  await page.getByRole("link", { name: "user.updated" }).click();

  await page.waitForURL(`**${EVENTS}/${older.id}`);
  await page.getByRole("heading", { name: "user.updated" }).waitFor();
  const ours = (await rowOf(user)).clerk_version;
  await page
    .getByText(`A newer version of this user (${ours}) was here already, so nothing changed.`)
    .waitFor();
  await page.getByText("R2", { exact: true }).waitFor();
  const theirs = JSON.parse(older.body).data.updated_at;
  await page.getByText(String(theirs), { exact: true }).waitFor();
  await page.getByText("Nothing changed here.").waitFor();
  assert.equal(await page.getByRole("button", { name: "Replay" }).count(), 0);
  await expectStableLayout(page);
  await expectNoSeriousAxeFindings(page);
  await screenshot(page, "event");
  await leave(user);
});

test("a role that Clerk's dashboard set is on the page of its event, and of whoever has it", async ({
  page,
  expectProblem,
}) => {
  // The user's page asks whether their address is being changed.
  expectProblem(/status of 404 .*email-change/);
  const user = await newUser();
  await clerk.setRole(user, "INSTRUCTOR");
  await clerk.delivered();
  await until("the role is here", async () => (await rowOf(user)).role, "INSTRUCTOR");
  await signIn(page, "Ada Lovelace", `${EVENTS}?object=${user}`);
  await page.getByRole("link", { name: "user.updated" }).first().click();
  const roles = page.getByRole("list", { name: "Roles that changed" });
  await roles.getByText("INSTRUCTOR").waitFor();
  assert.match((await roles.textContent()) ?? "", /STUDENT\s*→\s*INSTRUCTOR\s*,\s*by Clerk/);
  const columns = page.getByRole("list", { name: "Columns that changed" });
  assert.ok((await columns.getByRole("listitem").allInnerTexts()).includes("role"));
  await page.getByRole("link", { name: user }).click();
  await page.waitForURL(/\/admin\/users\//);
  await leave(user);
});

test("events are filtered by outcome, type and object, and the address says so", async ({
  page,
  expectProblem,
}) => {
  const user = await newUser();
  await signIn(page, "Ada Lovelace", EVENTS);
  await page.getByRole("searchbox", { name: "Object" }).fill(user);
  await page.waitForURL(`**${EVENTS}?object=${user}`);
  await eventRows(page).nth(2).waitFor({ state: "detached" });
  await page.getByRole("link", { name: "user.created" }).waitFor();
  await choose(page, "Type", "user.deleted");
  await page.getByRole("heading", { name: "No event is like this" }).waitFor();
  await screenshot(page, "events-none");
  await page.getByRole("button", { name: "Show all events" }).click();
  await eventRows(page).nth(2).waitFor();

  await choose(page, "Outcome", "Dead");
  await page.waitForURL(`**${EVENTS}?outcome=dead`);
  const [dead] = await sql`select count(*)::int as n from inbox where outcome = 'dead'`;
  const nShown = Math.min(dead?.n, ON_A_PAGE);
  await until("as many as are dead", () => eventRows(page).count(), nShown + 1);

  expectProblem(/status of 422/);
  await page.getByRole("searchbox", { name: "Object" }).fill("alan");
  const sentence = "An object is named by its Clerk id (user_…, org_… or orgmem_…).";
  await page.getByRole("alert").getByText(sentence).waitFor();
  const field = page.getByRole("searchbox", { name: "Object" });
  assert.equal(await field.getAttribute("aria-invalid"), "true");
  await expectNoSeriousAxeFindings(page);
  await leave(user);
});

test("all events are listed, the newest first, page by page", async ({ page }) => {
  const known = async () => (await sql`select count(*)::int as n from inbox`)[0]?.n;
  const made: string[] = [];
  while ((await known()) <= ON_A_PAGE) made.push(await newUser());
  await signIn(page, "Ada Lovelace", EVENTS);
  await eventRows(page).nth(1).waitFor();
  const newest = await sql`
    select svix_id from inbox order by received_at desc, svix_id limit ${ON_A_PAGE}`;
  const shown = await eventRows(page).allInnerTexts();
  assert.equal(shown.length, ON_A_PAGE + 1);
  for (const [n, { svix_id }] of newest.entries()) assert.ok(shown[n + 1]?.includes(svix_id));
  await expectStableLayout(page);
  await expectNoSeriousAxeFindings(page);
  await screenshot(page, "events");
  await page.getByRole("button", { name: "Show more" }).click();
  await eventRows(page)
    .nth(ON_A_PAGE + 1)
    .waitFor();
  for (const id of made) await leave(id);
});

test("an event that nobody knows, and a server that fails, are told with a way on", async ({
  page,
  expectProblem,
}) => {
  expectProblem(/status of 404/);
  await signIn(page, "Ada Lovelace", `${EVENTS}/msg_nobodyKnowsIt`);
  await page.getByText("There is no such event.").waitFor();
  await page.getByRole("link", { name: "All events" }).click();
  await eventRows(page).nth(1).waitFor();

  expectProblem(/status of 503/);
  const list = (url: URL) => url.pathname === "/api/admin/sync/events";
  await page.route(list, (route) =>
    route.fulfill({
      status: 503,
      json: { error: "The database cannot be reached.", code: "unavailable", requestId: "r-1" },
    }),
  );
  await page.goto(EVENTS);
  await page.getByText("The database cannot be reached.").waitFor();
  await screenshot(page, "events-error");
  await page.unroute(list);
  await page.getByRole("button", { name: "Try again" }).click();
  await eventRows(page).nth(1).waitFor();
});
