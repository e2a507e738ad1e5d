// How the two sides stand, in one view.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import type { Page } from "playwright-core";
import { mendEverything, report } from "./support/comparisons.ts";
import {
  expectNoSeriousAxeFindings,
  expectStableLayout,
  screenshot,
  signIn,
  test,
} from "./support/panel.ts";
import { api, clerk, sendUnreadable, sql } from "./support/world.ts";

const OVERVIEW = "/admin/sync";
const MINUTE_MS = 60_000;
/** For how long Svix tries to deliver a message: 27 h 35 min. */
const PATIENCE_MS = (27 * 60 + 35) * MINUTE_MS;

function standing(page: Page) {
  return page.getByRole("region", { name: "How it stands" });
}

/** The number below a label. */
function figure(page: Page, label: string) {
  const labels = page.getByText(label, { exact: true }).and(page.locator("p"));
  return labels.locator("xpath=following-sibling::p[1]");
}

const shown = (n: number) => n.toLocaleString("en");

async function newUser(): Promise<string> {
  const email = `${randomUUID()}@example.com`;
  const id = await clerk.signUp({ email, first_name: "Olga", role: "STUDENT" });
  await clerk.delivered();
  return id;
}

/** While the work is done, nothing waits: no event is dead or parked, and no role is owed to Clerk. */
async function withoutWaiting(work: () => Promise<void>): Promise<void> {
  const events = await sql`
    delete from inbox where outcome in ('dead', 'parked') returning to_jsonb(inbox) as event`;
  const roles = await sql`select id, dead_at from outbox where completed_at is null`;
  const ids = roles.map(({ id }) => id);
  await sql`update outbox set completed_at = now(), dead_at = null where id = any(${ids})`;
  try {
    await work();
  } finally {
    for (const { id, dead_at } of roles) {
      await sql`update outbox set completed_at = null, dead_at = ${dead_at} where id = ${id}`;
    }
    for (const { event } of events) {
      await sql`insert into inbox select * from jsonb_populate_record(null::inbox, ${sql.json(event)})`;
    }
  }
}

test("the overview says that both sides agree, and then what needs somebody", async ({ page }) => {
  await mendEverything();
  const user = await newUser();
  await withoutWaiting(async () => {
    await signIn(page, "Ada Lovelace", OVERVIEW);
    await standing(page)
      .getByRole("heading", { name: "Clerk and the database are in agreement" })
      .waitFor();
    await page.getByRole("figure").waitFor();
    await expectNoSeriousAxeFindings(page);
    await screenshot(page, "overview-agreement");
  });

  const svixId = await sendUnreadable(user);
  const [dead] = await sql`select count(*)::int as n from inbox where outcome = 'dead'`;
  await page.reload();
  const letters = dead?.n === 1 ? "1 dead letter" : `${shown(dead?.n)} dead letters`;
  await standing(page).getByText(letters).waitFor();

  await sql`update users set role = 'ADMIN' where clerk_id = ${user}`;
  const runId = await report();
  await page.reload();
  await standing(page).getByRole("heading", { name: "1 difference waits for a person" }).waitFor();
  await standing(page).getByText("May do more here than in Clerk: 1").waitFor();
  await standing(page).getByText(letters).waitFor();
  await expectNoSeriousAxeFindings(page);
  await screenshot(page, "overview");
  await standing(page).getByRole("link", { name: "Look at them" }).first().click();
  await page.waitForURL(`**/admin/sync/comparisons/${runId}`);

  await sql`delete from inbox where svix_id = ${svixId}`;
  await clerk.remove(user);
  await clerk.delivered();
  await mendEverything();
});

test("the figures and counts of the overview agree with the database", async ({ page }) => {
  await signIn(page, "Ada Lovelace", OVERVIEW);
  const table = page.getByRole("table", { name: "Events by outcome", exact: true });
  await table.waitFor();
  const counts = await sql`
    select
      o.outcome,
      count(b.svix_id) filter (where b.received_at > now() - interval '24 hours')::int as day,
      count(b.svix_id)::int as ever
    from unnest(array['applied', 'stale', 'ignored', 'parked', 'dead']) o (outcome)
    left join inbox b using (outcome)
    group by o.outcome`;
  for (const { outcome, day, ever } of counts) {
    const row = table.getByRole("row").filter({ hasText: new RegExp(`^${outcome}`, "i") });
    const cells = await row.getByRole("cell").allInnerTexts();
    assert.deepEqual(cells.slice(1), [day, ever].map(shown), outcome);
  }
  const [rows] = await sql`
    select
      (select count(*)::int from outbox where completed_at is null and dead_at is null) as owed,
      (select count(*)::int from inbox where outcome = 'dead') as dead,
      (select count(*)::int from inbox where outcome = 'parked') as parked`;
  for (const [label, n] of [
    ["Owed to Clerk", rows?.owed],
    ["Dead letters", rows?.dead],
    ["Parked", rows?.parked],
  ]) {
    assert.equal(await figure(page, label).textContent(), shown(n), label);
  }
  await page.getByRole("figure").waitFor();
  await expectStableLayout(page);
});

test("the chart shows the last day, the last week or the last month, and the address says so", async ({
  page,
}) => {
  await signIn(page, "Ada Lovelace", OVERVIEW);
  await page.getByRole("figure").getByText("Events by outcome, last 24 hours").first().waitFor();
  await page.getByRole("button", { name: "7 days" }).click();
  await page.waitForURL(`**${OVERVIEW}?period=7d`);
  await page.getByRole("figure").getByText("Events by outcome, last 7 days").first().waitFor();
  const { buckets } = (await api("GET", "/api/admin/sync/activity?period=7d")).body;
  // Drawn, and as a table for who is read to.
  const drawn = page.getByRole("figure").getByRole("table").getByRole("row");
  assert.equal(await drawn.count(), buckets.length + 1);
  await page.getByRole("link", { name: "Stale" }).click();
  await page.waitForURL("**/admin/sync/events?outcome=stale");
});

test("a silent endpoint comes first, with the clock that says until when Svix still tries", async ({
  page,
}) => {
  const since = new Date(Date.now() - 60 * MINUTE_MS);
  const shifted = await fallSilent(since);
  try {
    await signIn(page, "Ada Lovelace", OVERVIEW);
    await standing(page).getByRole("heading", { name: "Deliveries have stopped" }).waitFor();
    await page.getByRole("heading", { name: "The outage clock" }).waitFor();
    const text = await figure(page, "The oldest message is given up in").textContent();
    const { outage } = (await api("GET", "/api/admin/sync/overview")).body;
    assert.equal(Date.parse(outage.silentSince), since.getTime());
    const oldest = Math.min(
      since.getTime(),
      Date.parse(outage.oldestMissedAt ?? outage.silentSince),
    );
    const left = (oldest + PATIENCE_MS - Date.now()) / MINUTE_MS;
    const [, hours, minutes] = /^(\d+) h (\d+) min$/.exec(text ?? "") ?? [];
    assert.ok(Math.abs(Number(hours) * 60 + Number(minutes) - left) < 2, `${text} are left`);
    assert.match(
      (await figure(page, "The endpoint is disabled in").textContent()) ?? "",
      /^4 d 2[23] h$/,
    );
    await page.getByText("In Clerk's dashboard, under Webhooks, open the endpoint.").waitFor();
    await expectNoSeriousAxeFindings(page);
    await screenshot(page, "overview-silent");
    await page.getByRole("main").getByRole("link", { name: "Compare all" }).last().click();
    await page.getByRole("heading", { name: "Comparisons", level: 1 }).waitFor();
  } finally {
    await sql.begin(async (sql) => {
      await sql`
        update inbox set received_at = received_at + interval '2 hours'
        where svix_id = any(${shifted})`;
      await sql`delete from settings where name in ('clerk_silent_since', 'clerk_last_change')`;
    });
  }
});

/** As if nothing had come for two hours, while Clerk was changed at that time; what is moved. */
function fallSilent(since: Date): Promise<string[]> {
  return sql.begin(async (sql) => {
    await sql`
      insert into settings (name, value)
      select name, jsonb_build_object('at', ${since.getTime()}::bigint)
      from unnest(array['clerk_silent_since', 'clerk_last_change']) name
      on conflict (name) do update set value = excluded.value, updated_at = now()`;
    const moved = await sql`
      update inbox set received_at = received_at - interval '2 hours' returning svix_id`;
    return moved.map((row) => row.svix_id);
  });
}

test("an overview that cannot be loaded says so, and can be tried again", async ({
  page,
  expectProblem,
}) => {
  expectProblem(/status of 503/);
  const overview = (url: URL) => url.pathname === "/api/admin/sync/overview";
  await page.route(overview, (route) =>
    route.fulfill({
      status: 503,
      json: { error: "The database cannot be reached.", code: "unavailable", requestId: "r-1" },
    }),
  );
  await signIn(page, "Ada Lovelace", OVERVIEW);
  await page.getByText("The database cannot be reached.").waitFor();
  await expectNoSeriousAxeFindings(page);
  await page.unroute(overview);
  await page.getByRole("button", { name: "Try again" }).click();
  await standing(page).waitFor();
});
