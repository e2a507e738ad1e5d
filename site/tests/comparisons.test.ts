// Comparisons of all that Clerk has with all that is here, and their repair, with its brake.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, before } from "node:test";
import type { Locator, Page } from "playwright-core";
import { ended, mendEverything, RUNS, report } from "./support/comparisons.ts";
import {
  expectNoSeriousAxeFindings,
  expectStableLayout,
  screenshot,
  signIn,
  test,
} from "./support/panel.ts";
import { api, clerk, people, rowOf, sql, until } from "./support/world.ts";

const COMPARISONS = "/admin/sync/comparisons";
/** Long enough for somebody to see how far it is. */
const SLOW_MS = 2_500;

before(mendEverything);
after(mendEverything);

function runIdOf(page: Page): string {
  return page.url().split("?")[0]?.split("/").at(-1) ?? "";
}

async function newStudent(): Promise<string> {
  const email = `${randomUUID()}@example.com`;
  const id = await clerk.signUp({
    email,
    first_name: "Nora",
    last_name: "Nilsson",
    role: "STUDENT",
  });
  await clerk.delivered();
  return id;
}

/** Rows of users that Clerk does not have; the ids begin with this. */
const GHOST = "user_2ghostOfTheTests";

async function addGhosts(n: number): Promise<void> {
  await sql`
    insert into users (clerk_id, email, first_name)
    select ${GHOST} || lpad(n::text, 6, '0'), 'ghost' || n || '@ghosts.example.com', 'Ghost'
    from generate_series(1, ${n}::int) n
    on conflict (clerk_id) do update set deleted_at = null`;
}

async function nGhosts(): Promise<number> {
  const [row] = await sql`
    select count(*)::int as n from users
    where starts_with(clerk_id, ${GHOST}) and deleted_at is null`;
  return row?.n;
}

const ACME = "org_2demoAcme000000000000000001";

/** A membership of Acme: here, by somebody's hand, it is gone. */
async function deleteMembership(userId: string): Promise<string> {
  const [row] = await sql`
    delete from memberships m using users u, organizations o
    where u.id = m.user_id and u.clerk_id = ${userId}
      and o.id = m.organization_id and o.clerk_id = ${ACME} and m.deleted_at is null
    returning m.clerk_id`;
  assert.ok(row, `${userId} is a member of Acme`);
  return row.clerk_id;
}

function difference(page: Page, clerkId: string): Locator {
  return page.getByRole("article").filter({ hasText: clerkId });
}

function bar(page: Page, name: string): Locator {
  return page.getByRole("progressbar", { name });
}

async function nothingDiffers(page: Page): Promise<void> {
  await page.getByRole("heading", { name: "Nothing differs" }).waitFor();
}

test("a comparison shows how far it is, then each difference with both sides and its cause; a repair mends them", async ({
  page,
}) => {
  const raised = await newStudent();
  await sql`update users set role = 'ADMIN' where clerk_id = ${raised}`;
  const membership = await deleteMembership(people.alan);
  await addGhosts(1);
  const ghost = `${GHOST}000001`;
  await clerk.fault({ match: { query: { user_id: ghost } }, effect: { slow_ms: SLOW_MS } });

  await signIn(page, "Ada Lovelace", COMPARISONS);
  await page.getByRole("button", { name: "Compare now" }).click();
  await page
    .getByRole("heading", { name: "Asking Clerk about what its lists did not show …" })
    .waitFor();
  await page.getByText(/[1-9]\d* calls? to Clerk so far/).waitFor();
  const [users] = await sql`select count(*)::text as n from users where deleted_at is null`;
  // All but the one that somebody added here.
  const nInClerk = Number(users?.n) - 1;
  assert.equal(await bar(page, "Users listed").getAttribute("aria-valuenow"), String(nInClerk));
  assert.equal(await bar(page, "Asked about alone").getAttribute("aria-valuemax"), "1");
  await screenshot(page, "comparison-under-way");
  await expectNoSeriousAxeFindings(page);

  await page.getByRole("heading", { name: "The differences" }).waitFor();
  const runId = runIdOf(page);
  const tooHigh = difference(page, raised);
  await tooHigh.getByText("May do more here than in Clerk").waitFor();
  await tooHigh.getByText("Likely because somebody edited the row in the database.").waitFor();
  await tooHigh.getByRole("row", { name: "Role ADMIN STUDENT" }).waitFor();
  const missing = difference(page, membership);
  await missing.getByText("In Clerk and not here").waitFor();
  await missing.getByText("Likely because somebody deleted the row in the database.").waitFor();
  await missing.getByRole("row", { name: "Membership not here there" }).waitFor();
  const orphaned = difference(page, ghost);
  await orphaned.getByText("Here and not in Clerk").waitFor();
  await orphaned.getByText("Likely because somebody added the row in the database.").waitFor();
  await orphaned.getByRole("row", { name: "User here not there" }).waitFor();
  assert.equal(await page.getByRole("article").count(), 3);
  await screenshot(page, "comparison");
  await expectNoSeriousAxeFindings(page);

  // A link shows the same part of them.
  await page.getByRole("link", { name: "May do more here than in Clerk" }).click();
  await page.waitForURL(`**/${runId}?class=stale_high`);
  await orphaned.waitFor({ state: "detached" });
  assert.equal(await page.getByRole("article").count(), 1);
  await page.getByRole("combobox", { name: "Class" }).click();
  await page.getByRole("option", { name: "Not as Clerk has it" }).click();
  await page.getByRole("button", { name: "Show all differences" }).click();
  await orphaned.waitFor();

  await page.getByRole("button", { name: "Repair", exact: true }).click();
  const dialog = page.getByRole("dialog", { name: "Repair" });
  const now = dialog.getByRole("region", { name: "Mended now" });
  await now.getByText("demote 1 user").waitFor();
  assert.deepEqual((await now.getByRole("listitem").allInnerTexts()).sort(), [
    "Add 1 membership",
    "Demote 1 user",
    "End 1 user",
  ]);
  await dialog.getByRole("region", { name: "Held back" }).getByText("Nothing").waitFor();
  await expectNoSeriousAxeFindings(page);
  await screenshot(page, "repair");
  assert.equal((await rowOf(raised)).role, "ADMIN", "a preview changes nothing");

  await dialog.getByRole("button", { name: "Repair", exact: true }).click();
  await tooHigh.getByText("Mended").waitFor();
  await page.getByText("Done", { exact: true }).waitFor();
  assert.equal((await rowOf(raised)).role, "STUDENT");
  assert.equal(await clerk.roleOf(raised), "STUDENT");
  assert.equal(await nGhosts(), 0);
  const [again] = await sql`
    select count(*)::int as n from memberships
    where clerk_id = ${membership} and deleted_at is null`;
  assert.equal(again?.n, 1);

  await page.getByRole("link", { name: "All comparisons" }).click();
  await page.getByRole("button", { name: "Compare now" }).click();
  await nothingDiffers(page);
  assert.notEqual(runIdOf(page), runId);
  await screenshot(page, "comparison-nothing-differs");
  await clerk.remove(raised);
  await clerk.delivered();
});

test("the brake holds back more deletions than are usual, and an approval is itself a ceiling", async ({
  page,
}) => {
  await addGhosts(15);
  await signIn(page, "Ada Lovelace", COMPARISONS);
  await page.getByRole("button", { name: "Compare and repair" }).click();
  const asked = page.getByRole("dialog", { name: "Compare and repair" });
  await asked.getByText("above 10, or 2 % of a kind if that is more").waitFor();
  await expectNoSeriousAxeFindings(page);
  await screenshot(page, "compare-and-repair");
  await asked.getByRole("button", { name: "Compare and repair" }).click();

  await page.getByText("5 differences are held back").waitFor();
  await page.getByText("Waiting for an approval").waitFor();
  assert.equal(await nGhosts(), 5);
  await screenshot(page, "comparison-waiting");
  await expectNoSeriousAxeFindings(page);
  await page.getByRole("button", { name: "Cancel the comparison" }).click();
  await page.getByText("it cannot be approved any more").waitFor();
  await page.keyboard.press("Escape");
  await page.getByRole("link", { name: "All comparisons" }).click();
  await page.getByRole("button", { name: "Compare now" }).click();
  const replacing = page.getByRole("dialog", { name: "Compare now" });
  await replacing
    .getByText("It takes the place of a comparison that waits for an approval")
    .waitFor();
  await expectNoSeriousAxeFindings(page);
  await replacing.getByRole("button", { name: "Cancel" }).click();
  await page.goBack();

  const dialog = page.getByRole("dialog", { name: "Repair" });
  const approve = dialog.getByRole("button", { name: "Approve and repair" });
  await page.getByRole("button", { name: "Review and approve" }).click();
  const heldBack = dialog.getByRole("region", { name: "Held back" });
  await heldBack.getByText("end 5 users").waitFor();
  await dialog.getByText("it holds back 5 deletions").waitFor();
  assert.ok(await dialog.getByRole("button", { name: "Repair", exact: true }).isDisabled());
  await dialog.getByRole("checkbox", { name: "I have looked at them, and approve" }).click();
  const ceiling = dialog.getByRole("textbox", { name: "Deletions at most" });
  assert.equal(await ceiling.inputValue(), "5");
  await ceiling.fill("three");
  await dialog.getByText("This takes a whole number, 0 or more.").waitFor();
  assert.ok(await approve.isDisabled());
  await ceiling.fill("3");
  await heldBack.getByText("end 2 users").waitFor();
  await dialog.getByRole("region", { name: "Mended now" }).getByText("end 3 users").waitFor();
  assert.ok(await approve.isDisabled(), "nobody has confirmed it");
  const typed = dialog.getByRole("textbox", {
    name: "Type 3 to confirm that so many are ended here",
  });
  await typed.fill("5");
  assert.ok(await approve.isDisabled());
  await typed.fill("3");
  await expectNoSeriousAxeFindings(page);
  await screenshot(page, "repair-approval");
  await approve.click();

  await page.getByText("2 differences are held back").waitFor();
  assert.equal(await nGhosts(), 2);

  await page.getByRole("button", { name: "Review and approve" }).click();
  await dialog.getByRole("checkbox", { name: "I have looked at them, and approve" }).click();
  await dialog.getByRole("textbox", { name: "Type 2 to confirm" }).fill("2");
  await approve.click();
  await page.getByText("Done", { exact: true }).waitFor();
  assert.equal(await nGhosts(), 0);
});

test("a comparison that is under way can be cancelled, and a second one leads to it", async ({
  page,
  expectProblem,
}) => {
  await clerk.fault({ match: { path_prefix: "/v1/users/count" }, effect: { status: 503 } });
  await signIn(page, "Ada Lovelace", COMPARISONS);
  const begun = await api("POST", RUNS, { mode: "report" });
  assert.equal(begun.status, 202);
  expectProblem(/status of 409/);
  await page.getByRole("button", { name: "Compare now" }).click();
  await page.getByText("A comparison is under way already").waitFor();
  await page.waitForURL(`**${COMPARISONS}/${begun.body.id}`);

  await page.getByRole("link", { name: "All comparisons" }).click();
  await page.getByRole("heading", { name: "Reading Clerk's lists …" }).waitFor();
  await page.getByText("It is tried again by itself").waitFor();
  await screenshot(page, "comparisons-under-way");
  await expectNoSeriousAxeFindings(page);
  await page.getByRole("button", { name: "Cancel the comparison" }).click();
  const dialog = page.getByRole("dialog", { name: "Cancel this comparison?" });
  await expectNoSeriousAxeFindings(page);
  await dialog.getByRole("button", { name: "Cancel it" }).click();
  await dialog.waitFor({ state: "detached" });
  await page
    .getByRole("heading", { name: "Reading Clerk's lists …" })
    .waitFor({ state: "detached" });
  await page.getByRole("row").nth(1).getByText("Cancelled").waitFor();
  await page.getByText("The comparison is cancelled", { exact: true }).waitFor();
  await until(
    "the run is cancelled",
    async () => (await sql`select state from reconcile_runs where id = ${begun.body.id}`)[0]?.state,
    "cancelled",
  );
  await page.getByRole("link", { name: "Overview" }).click();
  await page.getByText("The last comparison was cancelled").waitFor();
});

test("the last comparisons are listed, and only the last one can be repaired", async ({ page }) => {
  const student = await newStudent();
  await sql`update users set first_name = 'Norma' where clerk_id = ${student}`;
  const first = await report();
  const second = await report();
  await signIn(page, "Ada Lovelace", COMPARISONS);
  const rows = page.getByRole("table", { name: "The last comparisons" }).getByRole("row");
  await rows.nth(2).getByText("1 stale").waitFor();
  const shown = await rows.nth(1).getByRole("cell").allInnerTexts();
  assert.deepEqual(shown.slice(1, 6), ["Ada Lovelace", "Report", "Done", "1 stale", "0"]);
  await expectStableLayout(page);
  await expectNoSeriousAxeFindings(page);
  await screenshot(page, "comparisons");

  await page.goto(`${COMPARISONS}/${first}`);
  await page.getByText("only the last one can be repaired").waitFor();
  await difference(page, student).getByRole("row", { name: "First name Norma Nora" }).waitFor();
  assert.equal(await page.getByRole("button", { name: "Repair" }).count(), 0);
  await expectStableLayout(page);

  await page.goto(`${COMPARISONS}/${second}`);
  await page.getByRole("button", { name: "Repair" }).click();
  const dialog = page.getByRole("dialog", { name: "Repair" });
  await dialog.getByText("bring up to date 1 user").waitFor();
  await page.keyboard.press("Escape");
  await dialog.waitFor({ state: "detached" });
  const isFocused = (button: HTMLElement | SVGElement) => button === document.activeElement;
  assert.ok(await page.getByRole("button", { name: "Repair" }).evaluate(isFocused));
  await clerk.remove(student);
  await clerk.delivered();
});

test("a comparison that failed says why, and one that may be of another instance says so loudly", async ({
  page,
}) => {
  await clerk.fault({
    match: { path_prefix: "/v1/users?" },
    effect: { status: 401, code: "authentication_invalid" },
  });
  const { body } = await api("POST", RUNS, { mode: "report" });
  await ended(body.id, "failed");
  await clerk.calm();
  const [failed] = await sql`select last_error from reconcile_runs where id = ${body.id}`;
  await signIn(page, "Ada Lovelace", `${COMPARISONS}/${body.id}`);
  await page.getByRole("alert").getByText("The comparison failed, and came to no result").waitFor();
  assert.ok((await page.getByRole("alert").textContent())?.includes(failed?.last_error));
  await screenshot(page, "comparison-failed");
  await sql`delete from reconcile_runs where id = ${body.id}`;

  const student = await newStudent();
  await sql`update users set first_name = 'Norma' where clerk_id = ${student}`;
  const other = await report();
  await sql`
    update reconcile_runs set approval = approval || '{"isForeign": true}' where id = ${other}`;
  await page.goto(`${COMPARISONS}/${other}`);
  await page.getByRole("alert").getByText("None of our users is in Clerk.").waitFor();
  await expectNoSeriousAxeFindings(page);
  await screenshot(page, "comparison-foreign");

  await page.getByRole("button", { name: "Repair" }).click();
  const dialog = page.getByRole("dialog", { name: "Repair" });
  await dialog.getByText("None of our users is in Clerk.").waitFor();
  const repair = dialog.getByRole("button", { name: "Repair", exact: true });
  await dialog
    .getByRole("textbox", { name: "Type 1 to confirm that so many are changed" })
    .fill("1");
  assert.ok(await repair.isDisabled(), "nobody has checked the key");
  await dialog
    .getByRole("checkbox", { name: "I have checked that the secret key is that of our instance" })
    .click();
  assert.ok(await repair.isEnabled());
  await expectNoSeriousAxeFindings(page);
  await screenshot(page, "repair-foreign");
  await dialog.getByRole("button", { name: "Cancel" }).click();
  await clerk.remove(student);
  await clerk.delivered();
});

test("a comparison that nobody knows is an error with a way back", async ({
  page,
  expectProblem,
}) => {
  expectProblem(/status of 404/);
  await signIn(page, "Ada Lovelace", `${COMPARISONS}/${randomUUID()}`);
  await page.getByText("There is no such run.").waitFor();
  await page.getByRole("link", { name: "All comparisons" }).click();
  await page.getByRole("table", { name: "The last comparisons" }).waitFor();
});
