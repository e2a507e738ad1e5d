// Who changed which role when, and by which way; and all else that happened to a user.

import assert from "node:assert/strict";
import type { Page } from "playwright-core";
import { NO_EMAIL_CHANGE, newcomer, openUser } from "./support/newcomers.ts";
import { expectNoSeriousAxeFindings, screenshot, test } from "./support/panel.ts";
import { api, clerk, rowOf, sql, until } from "./support/world.ts";

function entries(page: Page) {
  return page.locator("#history").getByRole("listitem");
}

async function choose(page: Page, option: string) {
  await page.locator("#history").getByRole("combobox").click();
  await page.getByRole("option", { name: option }).click();
}

async function setRoleInPanel(page: Page, role: string) {
  await page.getByRole("button", { name: "Update role" }).click();
  const dialog = page.getByRole("dialog", { name: "Update role" });
  await dialog.getByRole("radio", { name: role }).click();
  await dialog.getByRole("button", { name: "Update role" }).click();
  await dialog.waitFor({ state: "detached" });
}

test("the history of a user shows who changed which role by which way", async ({
  page,
  expectProblem,
}) => {
  expectProblem(NO_EMAIL_CHANGE);
  const ravi = await newcomer("Ravi", "Rao");
  await openUser(page, ravi);
  await setRoleInPanel(page, "INSTRUCTOR");
  await until("Clerk has the role", () => clerk.roleOf(ravi.clerkId), "INSTRUCTOR");
  await clerk.delivered();
  await clerk.setRole(ravi.clerkId, "STUDENT");
  await clerk.delivered();
  assert.equal((await rowOf(ravi.clerkId)).role, "STUDENT");

  await page.reload();
  await choose(page, "Role changes only");
  await page.waitForURL(/history=roles/);
  await until("three changes are shown", () => entries(page).count(), 3);
  const [last, before, first] = await entries(page).allInnerTexts();
  assert.match(last ?? "", /INSTRUCTOR.*STUDENT.*by Clerk, through its webhook/s);
  assert.match(before ?? "", /STUDENT.*INSTRUCTOR.*by Ada Lovelace, in the admin panel/s);
  assert.match(first ?? "", /New, with the role.*STUDENT.*by Clerk, through its webhook/s);
  const changes = await sql`select old_role, new_role, source from role_changes
    where user_id = ${ravi.id} order by id desc`;
  assert.deepEqual(
    changes.map((it) => [it.old_role, it.new_role, it.source]),
    [
      ["INSTRUCTOR", "STUDENT", "webhook"],
      ["STUDENT", "INSTRUCTOR", "admin_panel"],
      [null, "STUDENT", "webhook"],
    ],
  );
  await expectNoSeriousAxeFindings(page);
  await screenshot(page, "history-roles");

  // The address says which of both it is.
  await page.reload();
  await until("three changes are shown again", () => entries(page).count(), 3);
  await choose(page, "Everything");
  await entries(page).getByText("The role INSTRUCTOR was owed to Clerk").waitFor();
  await entries(page).getByText("user.created").waitFor();
  await expectNoSeriousAxeFindings(page);
  await screenshot(page, "history");
  await entries(page).first().getByRole("link", { name: "The event" }).click();
  await page.waitForURL("**/admin/sync/events/msg_*");
});

test("an edit is in the history, with the name of who made it", async ({ page, expectProblem }) => {
  expectProblem(NO_EMAIL_CHANGE);
  const zoe = await newcomer("Zoe", "Zhang");
  const path = `/api/users/${zoe.id}`;
  const edited = await api("PATCH", path, { firstName: "Zoé", builderGroupId: "west" });
  assert.equal(edited.status, 200);
  await openUser(page, { id: zoe.id, name: "Zoé Zhang" });
  const entry = entries(page).filter({ hasText: "edited" });
  await entry.getByRole("link", { name: "Ada Lovelace" }).waitFor();
  assert.match(
    (await entry.textContent()) ?? "",
    /Ada Lovelace edited .*first name.*: it was done\./,
  );
});

test("a long history comes page by page", async ({ page, expectProblem }) => {
  expectProblem(NO_EMAIL_CHANGE);
  const ugo = await newcomer("Ugo", "Ugarte");
  for (let n = 1; n <= 26; n += 1) {
    await clerk.setRole(ugo.clerkId, n % 2 === 0 ? "STUDENT" : "INSTRUCTOR");
    await clerk.delivered();
  }
  await openUser(page, ugo);
  await until("the first page", () => entries(page).count(), 50);
  await page.getByRole("button", { name: "Show more" }).click();
  await entries(page).getByText("user.created").waitFor();
  assert.equal(await page.getByRole("button", { name: "Show more" }).count(), 0);
});

test("the address of a history leads to it", async ({ page, expectProblem }) => {
  expectProblem(NO_EMAIL_CHANGE);
  const bea = await newcomer("Bea", "Bauer");
  await page.setViewportSize({ width: 390, height: 700 });
  await openUser(page, { id: `${bea.id}#history`, name: bea.name });
  const isInView = () =>
    page.locator("#history").evaluate((it) => it.getBoundingClientRect().top < 350);
  await until("the history is in view", isInView, true);
});
