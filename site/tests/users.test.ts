// The list of users: who is shown, in which order, and what the address says of it.

import assert from "node:assert/strict";
import type { Page } from "playwright-core";
import {
  expectNoSeriousAxeFindings,
  expectStableLayout,
  screenshot,
  signIn,
  test,
} from "./support/panel.ts";
import {
  chooseInMenu,
  dialog,
  expectCell,
  expectSelected,
  holdBack,
  newPerson,
  openUsers,
  rowOfPerson,
  rows,
  uniqueWord,
  withPeople,
  withRows,
} from "./support/users.ts";
import { clerk, PANEL_URL, people, rowOf, sql, until } from "./support/world.ts";

const LIST = /\/api\/admin\/users\?/;

async function nUsers(where = sql`true`): Promise<number> {
  const found = await sql`
    select count(*)::int as n from users where deleted_at is null and ${where}`;
  return found[0]?.n;
}

async function expectTotal(page: Page, n: number, isFiltered = true): Promise<void> {
  const match = n === 1 ? "matches" : "match";
  const text = `${n} ${n === 1 ? "user" : "users"}${isFiltered ? ` ${match}` : ""}`;
  await page.getByRole("status").getByText(text, { exact: true }).waitFor();
}

/** The names in the rows that are drawn. */
async function namesShown(page: Page): Promise<string[]> {
  return rows(page).getByRole("link").allInnerTexts();
}

async function namesInOrder(order: ReturnType<typeof sql>, n: number): Promise<string[]> {
  const found = await sql`
    select coalesce(name, email, username, clerk_id) as shown
    from users where deleted_at is null order by ${order} limit ${n}`;
  return found.map((row) => row.shown);
}

function searchOf(page: Page): Record<string, string> {
  return Object.fromEntries(new URL(page.url()).searchParams);
}

async function choose(page: Page, label: string, option: string): Promise<void> {
  await page.getByRole("combobox", { name: label, exact: true }).click();
  await page.getByRole("option", { name: option, exact: true }).click();
}

test("everybody is shown, the newest first", async ({ page }) => {
  await openUsers(page);
  await expectTotal(page, await nUsers(), false);
  const names = await namesShown(page);
  assert.ok(names.length >= 12, `${names.length} rows are drawn`);
  assert.deepEqual(names, await namesInOrder(sql`created_at desc, id desc`, names.length));
  const table = page.getByRole("table", { name: "Users" });
  assert.equal(await table.getAttribute("aria-rowcount"), String((await nUsers()) + 1));
  await expectStableLayout(page);
  await expectNoSeriousAxeFindings(page);
  await screenshot(page, "users");
});

test("further pages come while somebody scrolls, up to the first user of all", async ({ page }) => {
  await openUsers(page);
  const end = page.getByText(`${await nUsers()} shown, and there are no more.`);
  while (!(await end.isVisible())) {
    await page.mouse.move(700, 500);
    await page.mouse.wheel(0, 2500);
    await page.evaluate(() => new Promise((resolve) => requestAnimationFrame(resolve)));
  }
  await page.evaluate(() => window.scrollTo(0, document.body.scrollHeight));
  await rowOfPerson(page, "Ada Lovelace").waitFor();
  const [oldest] = await namesInOrder(sql`created_at, id`, 1);
  await until("the last row", async () => (await namesShown(page)).at(-1), oldest);
  assert.ok((await rows(page).count()) < 60, "only what is in sight is drawn");
});

test("a blank that somebody types between two words stays while they pause", async ({ page }) => {
  await openUsers(page);
  const search = page.getByRole("searchbox", { name: "Search users" });
  await search.pressSequentially("Ada ");
  await page.waitForURL(/search=Ada$/);
  await search.pressSequentially("Lovelace");
  await page.waitForURL(/search=Ada(\+|%20)Lovelace$/);
  assert.equal(await search.inputValue(), "Ada Lovelace");
});

test("a search finds by name, by e-mail and by Clerk id", async ({ page }) => {
  await openUsers(page);
  const search = page.getByRole("searchbox", { name: "Search users" });
  for (const text of ["Turing", "alan@example.com", people.alan]) {
    await search.fill(text);
    await until("the address", async () => searchOf(page).search, text);
    await page.locator("[aria-busy=true]").first().waitFor({ state: "detached" });
    await expectTotal(page, 1);
    assert.deepEqual(await namesShown(page), ["Alan Turing"]);
  }
  await page.reload();
  await expectTotal(page, 1);
  assert.equal(await search.inputValue(), people.alan);
});

test("filters leave those who have all of it, and are cleared together", async ({ page }) => {
  await openUsers(page);
  await choose(page, "Role", "INSTRUCTOR");
  await expectTotal(page, await nUsers(sql`role = 'INSTRUCTOR'`));
  const ofAlder = sql`
    exists (
      select from memberships m join organizations o on o.id = m.organization_id
      where m.user_id = users.id and m.deleted_at is null and o.name = 'Alder Academy')`;
  await page.getByRole("combobox", { name: "Organization: any" }).click();
  await page.getByRole("combobox", { name: "Find an organization" }).fill("alder");
  await page.getByRole("option", { name: /^Alder Academy/ }).click();
  await expectTotal(page, await nUsers(sql`role = 'INSTRUCTOR' and ${ofAlder}`));

  const [alder] = await sql`select clerk_id from organizations where name = 'Alder Academy'`;
  assert.deepEqual(searchOf(page), { role: "INSTRUCTOR", organization: alder?.clerk_id });
  await page.reload();
  await page.getByRole("combobox", { name: "Organization: Alder Academy" }).waitFor();
  await expectTotal(page, await nUsers(sql`role = 'INSTRUCTOR' and ${ofAlder}`));

  await page.goBack();
  await page.getByRole("combobox", { name: "Organization: any" }).waitFor();
  await expectTotal(page, await nUsers(sql`role = 'INSTRUCTOR'`));
  await page.goForward();
  await expectTotal(page, await nUsers(sql`role = 'INSTRUCTOR' and ${ofAlder}`));

  await page.getByRole("button", { name: "Clear filters" }).click();
  await expectTotal(page, await nUsers(), false);
  assert.deepEqual(searchOf(page), {});
});

test("a link leads to those whose role Clerk has, or refused", async ({ page }) => {
  await withPeople([newPerson("Lise")], async (lise) => {
    await openUsers(page, { search: lise.email, clerkSync: "synced" });
    await expectCell(page, lise.name, "synced");
    await choose(page, "Clerk", "dead");
    await page.getByRole("heading", { name: "Nobody matches" }).waitFor();
    assert.equal(searchOf(page).clerkSync, "dead");
    await page.getByRole("button", { name: "Clear filters" }).last().click();
    await expectTotal(page, await nUsers(), false);
    assert.deepEqual(searchOf(page), {});
  });
});

test("an organization can be taken out of the filter where it was chosen", async ({ page }) => {
  const [acme] = await sql`select clerk_id from organizations where name = 'Acme'`;
  await openUsers(page, { organization: acme?.clerk_id });
  await page.getByRole("combobox", { name: "Organization: Acme" }).click();
  await page.getByRole("option", { name: /^Acme/ }).waitFor();
  await expectNoSeriousAxeFindings(page);
  await screenshot(page, "users-organizations");
  await page.getByRole("button", { name: "Any organization" }).click();
  await expectTotal(page, await nUsers(), false);
  assert.equal(await page.getByRole("option").count(), 0);
});

test("who was banned in Clerk is found by their state, and the row says it", async ({ page }) => {
  await withPeople([newPerson("Bertha")], async (bertha) => {
    await clerk.edit(bertha.clerkId, { banned: true });
    await clerk.delivered();
    await openUsers(page, { state: "banned" });
    await expectCell(page, bertha.name, "banned");
    assert.equal((await rowOf(bertha.clerkId)).banned, true);
    await choose(page, "State", "active");
    await expectTotal(page, await nUsers(sql`not banned and not locked and not deprovisioned`));
  });
});

test("the list is in any order that its headings or the choice beside the filters name", async ({
  page,
}) => {
  await openUsers(page);
  const byName = page.getByRole("columnheader", { name: "User" });
  const isShown = async (order: ReturnType<typeof sql>) => {
    const wanted = await namesInOrder(order, 10);
    await until("the order", async () => (await namesShown(page)).slice(0, 10), wanted);
  };
  await byName.getByRole("button").click();
  await isShown(sql`lower(coalesce(name, '')), id`);
  assert.equal(await byName.getAttribute("aria-sort"), "ascending");
  assert.deepEqual(searchOf(page), { sort: "name" });

  await byName.getByRole("button").click();
  await isShown(sql`lower(coalesce(name, '')) desc, id desc`);
  assert.equal(await byName.getAttribute("aria-sort"), "descending");

  await choose(page, "Order", "Oldest first");
  await isShown(sql`created_at, id`);
  await choose(page, "Order", "E-mail, A to Z");
  await isShown(sql`lower(coalesce(email, '')), id`);
  await page.reload();
  await isShown(sql`lower(coalesce(email, '')), id`);
  await choose(page, "Order", "Newest first");
  await isShown(sql`created_at desc, id desc`);
  assert.deepEqual(searchOf(page), {});
});

test("while others are loaded, those who are shown stay, and do not move", async ({ page }) => {
  await openUsers(page);
  const before = await namesShown(page);
  const table = page.getByRole("table", { name: "Users" });
  const place = await table.boundingBox();
  const held = await holdBack(page, /role=INSTRUCTOR/);
  await choose(page, "Role", "INSTRUCTOR");
  await held.isAsked;
  await page
    .locator("[aria-busy=true]")
    .filter({ has: page.getByRole("table") })
    .waitFor();
  assert.deepEqual(await namesShown(page), before);
  assert.deepEqual(await table.boundingBox(), place);
  held.letGo();
  await expectTotal(page, await nUsers(sql`role = 'INSTRUCTOR'`));
  assert.equal(await page.locator("[aria-busy=true]").count(), 0);
  assert.equal((await table.boundingBox())?.y, place?.y);
});

test("where nobody matches, the list says so and takes the filters away", async ({ page }) => {
  await signIn(page, "Ada Lovelace", `/admin/users?search=${uniqueWord()}&role=ADMIN`);
  await page.getByRole("heading", { name: "Nobody matches" }).waitFor();
  await expectNoSeriousAxeFindings(page);
  await screenshot(page, "users-none");
  await page.getByRole("main").getByRole("button", { name: "Clear filters" }).last().click();
  await expectTotal(page, await nUsers(), false);
});

test("a list that cannot be loaded says why, and is tried again", async ({
  page,
  expectProblem,
}) => {
  expectProblem(/ERR_INTERNET_DISCONNECTED/);
  await page.route(LIST, (route) => route.abort("internetdisconnected"));
  await signIn(page, "Ada Lovelace");
  await page.getByRole("heading", { name: "This could not be loaded" }).waitFor();
  assert.ok(await page.getByText("The server could not be reached.").isVisible());
  await expectNoSeriousAxeFindings(page);
  await screenshot(page, "users-error");
  await page.unroute(LIST);
  await page.getByRole("button", { name: "Try again" }).click();
  await expectTotal(page, await nUsers(), false);
});

test("a page that cannot be loaded leaves the others, and is tried again", async ({
  page,
  expectProblem,
}) => {
  expectProblem(/ERR_INTERNET_DISCONNECTED/);
  await page.route(/cursor=/, (route) => route.abort("internetdisconnected"));
  await openUsers(page);
  await page.evaluate(() => window.scrollTo(0, document.body.scrollHeight));
  await page.getByRole("alert").getByText("More could not be loaded.").waitFor();
  assert.ok((await rows(page).count()) > 5);
  await page.unroute(/cursor=/);
  await page.getByRole("button", { name: "Try again" }).click();
  await until("more rows", async () => (await rowIndexes(page)).some((n) => n > 51), true);
});

async function rowIndexes(page: Page): Promise<number[]> {
  const found = await rows(page).all();
  return Promise.all(found.map(async (row) => Number(await row.getAttribute("aria-rowindex"))));
}

test("the key / leads to the search, and nowhere else while somebody types", async ({ page }) => {
  await openUsers(page);
  const search = page.getByRole("searchbox", { name: "Search users" });
  await page.keyboard.press("/");
  await page.keyboard.type("ada/lovelace");
  assert.equal(await search.inputValue(), "ada/lovelace");
});

test("many are selected: one, a range with shift, all that are shown, all that match", async ({
  page,
}) => {
  const word = uniqueWord();
  await withRows(120, word, async () => {
    await openUsers(page, { search: word });
    const box = (n: number) => page.getByRole("checkbox", { name: `Select Row${n} ${word}` });
    await box(2).click();
    await expectSelected(page, "1 user selected");
    await box(7).click({ modifiers: ["Shift"] });
    await expectSelected(page, "6 users selected");
    assert.ok(await box(5).isChecked());
    await box(5).click();
    await expectSelected(page, "5 users selected");

    await page.getByRole("checkbox", { name: "Select all rows that are shown" }).click();
    await expectSelected(page, "50 users selected");
    await page.getByRole("button", { name: "Select all 120 that match" }).click();
    await expectSelected(page, "120 users selected");
    await expectNoSeriousAxeFindings(page);
    await screenshot(page, "users-selected");

    // Escape closes what is open first, and then clears the selection.
    await page.getByRole("combobox", { name: "Role", exact: true }).click();
    await page.getByRole("option", { name: "ADMIN" }).waitFor();
    await page.keyboard.press("Escape");
    await page.getByRole("option", { name: "ADMIN" }).waitFor({ state: "detached" });
    await expectSelected(page, "120 users selected");
    await page.keyboard.press("Escape");
    await page.getByRole("region", { name: "Selection" }).waitFor({ state: "detached" });

    // Another filter shows others, so nobody out of sight stays selected.
    await box(1).click();
    await choose(page, "Role", "STUDENT");
    await expectTotal(page, 120);
    assert.equal(await page.getByRole("region", { name: "Selection" }).count(), 0);
  });
});

test("the menu leads to the history of a user, and opens their profile", async ({ page }) => {
  await openUsers(page, { search: "alan@example.com" });
  await chooseInMenu(page, "Alan Turing", "Edit");
  await dialog(page).getByRole("heading", { name: "Edit Alan Turing" }).waitFor();
  await page.keyboard.press("Escape");
  await dialog(page).waitFor({ state: "detached" });

  await page.getByRole("button", { name: "Actions for Alan Turing" }).click();
  await page.getByRole("menuitem", { name: "Update role" }).waitFor();
  await expectNoSeriousAxeFindings(page);
  await screenshot(page, "users-menu");
  await page.getByRole("menuitem", { name: "History" }).click();
  const { id } = await rowOf(people.alan);
  await page.waitForURL(`${PANEL_URL}/admin/users/${id}#history`);
  await page.goBack();
  await rowOfPerson(page, "Alan Turing").waitFor();
});

test("Sync now pulls what a lost webhook did not bring", async ({ page }) => {
  await withPeople([newPerson("Liselotte")], async (lilo) => {
    const renamed = lilo.name.replace("Liselotte", "Lilo");
    await clerk.withoutWebhooks(() => clerk.edit(lilo.clerkId, { first_name: "Lilo" }));
    await openUsers(page, { search: lilo.email });
    await rowOfPerson(page, lilo.name).waitFor();

    const held = await holdBack(page, /\/api\/sync\/user\//, "POST");
    await chooseInMenu(page, lilo.name, "Sync now");
    await held.isAsked;
    await expectCell(page, lilo.name, "syncing…");
    held.letGo();
    await page.getByText(`${renamed} is synced`).waitFor();
    await expectCell(page, renamed, "synced");
    assert.equal((await rowOf(lilo.clerkId)).first_name, "Lilo");
  });
});

test("Sync now says when Clerk gave no answer, and what is shown then", async ({ page }) => {
  await withPeople([newPerson("Moritz")], async (moritz) => {
    await openUsers(page, { search: moritz.email });
    await clerk.down();
    await chooseInMenu(page, moritz.name, "Sync now");
    await page.getByText(`${moritz.name} was not synced`).waitFor();
    assert.ok(await page.getByText("Clerk could not be reached").isVisible());
    await expectCell(page, moritz.name, "synced");
    await clerk.up();
    await chooseInMenu(page, moritz.name, "Sync now");
    await page.getByText(`${moritz.name} is synced`, { exact: true }).waitFor();
  });
});

test("who has no Clerk account cannot be synced, and the menu says why", async ({ page }) => {
  const word = uniqueWord();
  await withRows(1, word, async () => {
    await openUsers(page, { search: word });
    await expectCell(page, `Row1 ${word}`, "no account");
    await page.getByRole("button", { name: `Actions for Row1 ${word}` }).click();
    const entry = page.getByRole("menuitem", { name: "Sync now" });
    assert.equal(await entry.getAttribute("aria-disabled"), "true");
    assert.ok(await entry.getByText("This user has no Clerk account.").isVisible());
    await expectNoSeriousAxeFindings(page);
  });
});

test("who is deleted is shown to whoever asks for it, and can only be looked at", async ({
  page,
}) => {
  const gone = await newPerson("Gudrun");
  await clerk.remove(gone.clerkId);
  await clerk.delivered();
  await openUsers(page, { state: "deleted", search: gone.clerkId });
  await page.getByRole("cell", { name: "deleted", exact: true }).waitFor();
  await page.getByRole("button", { name: /^Actions for / }).click();
  for (const name of ["Update role", "Edit", "Sync now"]) {
    const entry = page.getByRole("menuitem", { name });
    assert.equal(await entry.getAttribute("aria-disabled"), "true", name);
  }
  assert.equal(
    await page.getByRole("menuitem", { name: "History" }).getAttribute("aria-disabled"),
    null,
  );
});

test("who is no admin any more while they look at the list sees the page that says so", async ({
  page,
  expectProblem,
}) => {
  expectProblem(/status of 403/);
  await clerk.setRole(people.edsger, "ADMIN");
  await clerk.delivered();
  try {
    await signIn(page, "Edsger");
    await rows(page).first().waitFor();
    await clerk.setRole(people.edsger, "STUDENT");
    await clerk.delivered();
    await page.getByRole("heading", { name: "This panel is for admins" }).waitFor();
    assert.equal(await page.getByRole("table").count(), 0);
  } finally {
    await clerk.setRole(people.edsger, "STUDENT");
    await clerk.delivered();
  }
});
