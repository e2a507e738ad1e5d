// The counts, how they changed, and who changed them.

import assert from "node:assert/strict";
import type { Page } from "playwright-core";
import { NO_EMAIL_CHANGE, newcomer } from "./support/newcomers.ts";
import {
  expectNoSeriousAxeFindings,
  expectStableLayout,
  screenshot,
  signIn,
  test,
} from "./support/panel.ts";
import { api, clerk, sql, until } from "./support/world.ts";

const LABELS = ["Total users", "Admins", "Instructors", "Students"];

/** The four figures, as the page shows them. */
async function shown(page: Page): Promise<(string | null)[]> {
  const figures = LABELS.map((label) =>
    page.getByText(label, { exact: true }).first().locator("xpath=following-sibling::p[1]"),
  );
  return await Promise.all(figures.map((figure) => figure.textContent()));
}

/** The four figures, as the database has them. */
async function counted(): Promise<string[]> {
  const [row] = await sql`select
      count(*) as total, count(*) filter (where role = 'ADMIN') as admins,
      count(*) filter (where role = 'INSTRUCTOR') as instructors,
      count(*) filter (where role = 'STUDENT') as students
    from users where deleted_at is null`;
  return [row?.total, row?.admins, row?.instructors, row?.students].map((n) => String(n));
}

async function plus(changes: number[]): Promise<string[]> {
  return (await counted()).map((count, index) => String(Number(count) + (changes[index] ?? 0)));
}

test("the statistics agree with the database, and move when a role changes on either side", async ({
  page,
  expectProblem,
}) => {
  expectProblem(NO_EMAIL_CHANGE);
  const ilse = await newcomer("Ilse", "Ionescu");
  await signIn(page, "Ada Lovelace", "/admin/statistics");
  await until("the figures", () => shown(page), await counted());
  const before = await counted();

  // In the panel: without loading the page anew.
  const expected = await plus([0, 0, 1, -1]);
  await page.getByRole("link", { name: "Users", exact: true }).click();
  await openPage(page, ilse.email, ilse.name);
  await page.getByRole("button", { name: "Update role" }).click();
  const dialog = page.getByRole("dialog", { name: "Update role" });
  await dialog.getByRole("radio", { name: "INSTRUCTOR" }).click();
  await dialog.getByRole("button", { name: "Update role" }).click();
  await dialog.waitFor({ state: "detached" });
  await page.getByRole("link", { name: "Statistics", exact: true }).click();
  await until("the figures after a change in the panel", () => shown(page), expected);
  assert.deepEqual(await counted(), expected);
  const latest = page.getByRole("row").filter({ hasText: ilse.name }).first();
  await latest.getByText("in the admin panel").waitFor();
  assert.match((await latest.textContent()) ?? "", /STUDENT.*INSTRUCTOR.*Ada Lovelace/s);

  // In Clerk's dashboard: while the page is open.
  await clerk.setRole(ilse.clerkId, "STUDENT");
  await clerk.delivered();
  await until("the figures after a change in Clerk", () => shown(page), before);
  assert.deepEqual(await counted(), before);
});

async function openPage(page: Page, email: string, name: string) {
  await page.getByRole("searchbox", { name: "Search users" }).fill(email);
  await page.getByRole("link", { name }).click();
  await page.getByRole("heading", { name, level: 1 }).waitFor();
}

test("a chart shows how the counts changed, and a table says it", async ({ page }) => {
  await signIn(page, "Ada Lovelace", "/admin/statistics?days=30");
  const chart = page.getByRole("figure");
  await chart.getByRole("application").waitFor();
  await page.getByRole("table", { name: "The latest role changes" }).waitFor();
  const rows = chart.getByRole("row");
  await until("a line for each day, and one of headings", () => rows.count(), 31);
  const today = await rows.last().getByRole("cell").allTextContents();
  const [, admins, instructors, students] = await counted();
  assert.deepEqual(today, [students, instructors, admins]);
  const { body } = await api("GET", "/api/admin/statistics/history?days=30");
  const first = (await rows.nth(1).getByRole("cell").allTextContents()).map(Number);
  const { studentCount, instructorCount, adminCount } = body.days[0];
  assert.deepEqual(first, [studentCount, instructorCount, adminCount]);

  await expectStableLayout(page);
  await expectNoSeriousAxeFindings(page);
  await screenshot(page, "statistics");

  await page.getByRole("combobox", { name: "How far back" }).click();
  await page.getByRole("option", { name: "Last 365 days" }).click();
  await page.waitForURL(/days=365/);
  await until("a year", () => rows.count(), 366);
});

test("the keys go through the chart, day by day", async ({ page }) => {
  await signIn(page, "Ada Lovelace", "/admin/statistics?days=30");
  const chart = page.getByRole("figure");
  await chart.getByRole("application").focus();
  await page.keyboard.press("ArrowRight");
  const moment = chart.getByRole("status");
  await moment.getByText("Students").waitFor();
  const before = await moment.textContent();
  await page.keyboard.press("ArrowRight");
  await until("another day", async () => (await moment.textContent()) !== before, true);
  await screenshot(page, "statistics-moment");
});

test("the library of the chart is not in what the list of users loads", async ({ page }) => {
  const scripts: string[] = [];
  page.on("response", (response) => {
    if (response.request().resourceType() === "script") scripts.push(response.url());
  });
  await signIn(page, "Ada Lovelace");
  await page.getByRole("table").waitFor();
  const isPlot = (url: string) => /\/Plot-/.test(url);
  assert.equal(scripts.filter(isPlot).length, 0);
  await page.getByRole("link", { name: "Statistics" }).click();
  await page.getByRole("application").waitFor();
  assert.equal(scripts.filter(isPlot).length, 1);
});

test("who changed a role is a page away", async ({ page, expectProblem }) => {
  expectProblem(NO_EMAIL_CHANGE);
  const theo = await newcomer("Theo", "Tamm");
  await signIn(page, "Ada Lovelace", "/admin/statistics");
  const row = page.getByRole("row").filter({ hasText: theo.name });
  await row.getByRole("link", { name: theo.name }).click();
  await page.getByRole("heading", { name: theo.name, level: 1 }).waitFor();
  await page.goBack();
  const table = page.getByRole("table", { name: "The latest role changes" });
  await table.waitFor();
  const nRows = await table.getByRole("row").count();
  await page.getByRole("button", { name: "Show more" }).click();
  await until("more rows", async () => (await table.getByRole("row").count()) > nRows, true);
});
