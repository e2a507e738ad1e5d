// Roles, as people set them in the panel: one, many, and what keeps a role from being set.

import assert from "node:assert/strict";
import type { Page } from "playwright-core";
import { expectNoSeriousAxeFindings, screenshot, test } from "./support/panel.ts";
import {
  chooseInMenu,
  dialog,
  expectCell,
  expectSelected,
  holdBack,
  newPerson,
  openUsers,
  roleHere,
  rowOfPerson,
  uniqueWord,
  updateRole,
  withPeople,
  withRows,
} from "./support/users.ts";
import { api, clerk, people, reconcile, sql, until } from "./support/world.ts";

const ADA = "Ada Lovelace";

/** What the corner says. */
function toast(page: Page, text: string) {
  return page.getByRole("region", { name: "Notifications" }).getByText(text, { exact: true });
}

/** A directory owns this user: Clerk takes no role for them. */
function ownedByDirectory(clerkId: string) {
  return clerk.fault({
    match: { method: "PATCH", path_prefix: `/v1/users/${clerkId}` },
    effect: { status: 409, code: "user_managed_by_scim" },
  });
}

test("Method 2: via the admin panel: three dots, Update role, ADMIN", async ({ page }) => {
  await withPeople([newPerson("Emmy")], async (emmy) => {
    await openUsers(page, { search: emmy.email });
    await expectCell(page, emmy.name, "STUDENT");
    await chooseInMenu(page, emmy.name, "Update role");
    await dialog(page).getByRole("radio", { name: "ADMIN" }).click();
    await expectNoSeriousAxeFindings(page);
    await screenshot(page, "update-role");
    await dialog(page).getByRole("button", { name: "Update role" }).click();

    await toast(page, `${emmy.name} is ADMIN now`).waitFor();
    await expectCell(page, emmy.name, "ADMIN");
    await expectCell(page, emmy.name, "synced");
    assert.equal(await roleHere(emmy.clerkId), "ADMIN");
    assert.equal(await clerk.roleOf(emmy.clerkId), "ADMIN");
  });
});

test("a role set in Clerk's dashboard shows in the panel within seconds", async ({ page }) => {
  await withPeople([newPerson("Hedwig")], async (hedwig) => {
    await openUsers(page, { search: hedwig.email });
    await expectCell(page, hedwig.name, "STUDENT");
    await clerk.setRole(hedwig.clerkId, "INSTRUCTOR");
    await expectCell(page, hedwig.name, "INSTRUCTOR");
    assert.equal(await roleHere(hedwig.clerkId), "INSTRUCTOR");
  });
});

test("the last admin stays one: shown at once, taken back, and explained", async ({
  page,
  expectProblem,
}) => {
  expectProblem(/status of 409/);
  const others = await sql`
    update users set deprovisioned = true
    where role = 'ADMIN' and deleted_at is null and clerk_id <> ${people.ada} and not deprovisioned
    returning id`;
  try {
    await openUsers(page, { search: "ada@example.com" });
    const held = await holdBack(page, /\/api\/admin\/users\//, "PATCH");
    await chooseInMenu(page, ADA, "Update role");
    await dialog(page).getByRole("radio", { name: "STUDENT" }).click();
    await dialog(page).getByText("This is you.").waitFor();
    await dialog(page).getByRole("button", { name: "Update role" }).click();
    assert.deepEqual(await held.isAsked, { role: "STUDENT", expectedRole: "ADMIN" });
    await dialog(page).waitFor({ state: "detached" });
    await expectCell(page, ADA, "STUDENT");

    held.letGo();
    const sentence = "This is the last admin. Make somebody else an admin first.";
    await dialog(page).getByRole("alert").getByText(sentence).waitFor();
    assert.ok(await dialog(page).getByText("set ADMIN for somebody else").isVisible());
    await expectNoSeriousAxeFindings(page);
    await screenshot(page, "update-role-last-admin");
    assert.ok(await toast(page, `The role of ${ADA} was not set`).isVisible());
    await dialog(page).getByRole("button", { name: "Cancel" }).click();
    await expectCell(page, ADA, "ADMIN");
    assert.equal(await roleHere(people.ada), "ADMIN");
    assert.equal(await clerk.roleOf(people.ada), "ADMIN");
  } finally {
    const ids = others.map((row) => row.id);
    await sql`update users set deprovisioned = false where id in ${sql(ids)}`;
  }
});

test("while Clerk is down a role is pending, and once it is back it is synced", async ({
  page,
}) => {
  await withPeople([newPerson("Rosalind")], async (rosalind) => {
    await openUsers(page, { search: rosalind.email });
    await clerk.down();
    await updateRole(page, rosalind.name, "INSTRUCTOR");
    await toast(page, `${rosalind.name} is INSTRUCTOR now`).waitFor();
    await expectCell(page, rosalind.name, "pending");
    const pending = rowOfPerson(page, rosalind.name).getByRole("cell", { name: "pending" });
    assert.ok(await pending.getByTitle("Clerk has not confirmed it yet.").isVisible());
    assert.equal(await roleHere(rosalind.clerkId), "INSTRUCTOR");
    await screenshot(page, "users-pending");

    await clerk.up();
    await sql`update outbox set next_attempt_at = now() where completed_at is null`;
    await reconcile();
    await expectCell(page, rosalind.name, "synced");
    assert.equal(await clerk.roleOf(rosalind.clerkId), "INSTRUCTOR");
  });
});

test("a role that Clerk did not take yet can be sent again", async ({ page }) => {
  await withPeople([newPerson("Ilse")], async (ilse) => {
    await openUsers(page, { search: ilse.email });
    await clerk.down();
    await updateRole(page, ilse.name, "INSTRUCTOR");
    await expectCell(page, ilse.name, "pending");
    // By itself it would be sent again much later.
    await sql`
      update outbox set next_attempt_at = now() + interval '1 hour', leased_until = null
      where completed_at is null`;
    await clerk.up();
    await chooseInMenu(page, ilse.name, "Update role");
    await dialog(page).getByRole("button", { name: "Send to Clerk again" }).click();
    await expectCell(page, ilse.name, "synced");
    assert.equal(await clerk.roleOf(ilse.clerkId), "INSTRUCTOR");
  });
});

test("a role that a directory owns is refused, taken back, and explained", async ({
  page,
  expectProblem,
}) => {
  expectProblem(/status of 409/);
  await withPeople([newPerson("Sophie")], async (sophie) => {
    await ownedByDirectory(sophie.clerkId);
    await openUsers(page, { search: sophie.email });
    await updateRole(page, sophie.name, "ADMIN");
    const alert = dialog(page).getByRole("alert");
    await alert.getByText("The role comes from the user's directory. Change it there.").waitFor();
    await screenshot(page, "update-role-directory");
    await page.keyboard.press("Escape");
    await expectCell(page, sophie.name, "STUDENT");
    assert.equal(await roleHere(sophie.clerkId), "STUDENT");
    assert.equal(await clerk.roleOf(sophie.clerkId), "STUDENT");
  });
});

test("who decides about a role that changed meanwhile sees the new one, and decides again", async ({
  page,
  expectProblem,
}) => {
  expectProblem(/status of 409/);
  await withPeople([newPerson("Maryam")], async (maryam) => {
    await openUsers(page, { search: maryam.email });
    await chooseInMenu(page, maryam.name, "Update role");
    await dialog(page).getByRole("radio", { name: "ADMIN" }).click();
    // Lists that are loaded meanwhile would show it before.
    const held = await holdBack(page, /\/api\/admin\/users\?/);
    await api("PATCH", `/api/admin/users/${maryam.clerkId}`, { role: "INSTRUCTOR" });
    await dialog(page).getByRole("button", { name: "Update role" }).click();
    await dialog(page).getByText("It is INSTRUCTOR now. Decide again.").waitFor();
    assert.equal(await roleHere(maryam.clerkId), "INSTRUCTOR");
    held.letGo();

    await dialog(page).getByRole("button", { name: "Update role" }).click();
    await toast(page, `${maryam.name} is ADMIN now`).waitFor();
    assert.equal(await roleHere(maryam.clerkId), "ADMIN");
    assert.equal(await clerk.roleOf(maryam.clerkId), "ADMIN");
  });
});

test("the answer for one user leaves the dialog of another as it is", async ({ page }) => {
  await withPeople([newPerson("Agnes"), newPerson("Bertha")], async (agnes, bertha) => {
    await openUsers(page);
    await expectCell(page, agnes.name, "STUDENT");
    const held = await holdBack(page, /\/api\/admin\/users\//, "PATCH");
    await updateRole(page, agnes.name, "ADMIN");
    await held.isAsked;
    await chooseInMenu(page, bertha.name, "Update role");
    await dialog(page).getByRole("radio", { name: "INSTRUCTOR" }).click();
    held.letGo();

    await toast(page, `${agnes.name} is ADMIN now`).waitFor();
    assert.ok(await dialog(page).getByText(bertha.name).isVisible());
    assert.ok(await dialog(page).getByRole("radio", { name: "INSTRUCTOR" }).isChecked());
    await dialog(page).getByRole("button", { name: "Update role" }).click();
    await toast(page, `${bertha.name} is INSTRUCTOR now`).waitFor();
    assert.equal(await roleHere(agnes.clerkId), "ADMIN");
    assert.equal(await roleHere(bertha.clerkId), "INSTRUCTOR");
  });
});

test("the dialog of a user opens again while their change is on its way", async ({ page }) => {
  await withPeople([newPerson("Clara")], async (clara) => {
    await openUsers(page, { search: clara.email });
    const held = await holdBack(page, /\/api\/admin\/users\//, "PATCH");
    await updateRole(page, clara.name, "INSTRUCTOR");
    await held.isAsked;
    await dialog(page).waitFor({ state: "detached" });
    await chooseInMenu(page, clara.name, "Update role");
    await dialog(page).getByRole("radio", { name: "INSTRUCTOR", checked: true }).waitFor();
    held.letGo();
    await toast(page, `${clara.name} is INSTRUCTOR now`).waitFor();
    assert.ok(await page.getByRole("dialog", { name: "Update role" }).isVisible());
    assert.equal(await roleHere(clara.clerkId), "INSTRUCTOR");
  });
});

test("a role that nobody could set is taken back, and the corner says why", async ({
  page,
  expectProblem,
}) => {
  expectProblem(/ERR_INTERNET_DISCONNECTED/);
  await withPeople([newPerson("Dorothy")], async (dorothy) => {
    await openUsers(page, { search: dorothy.email });
    // Nothing that is asked anew can bring the old role back, either.
    await page.route(/\/api\/admin\/users/, (route) => route.abort("internetdisconnected"));
    await updateRole(page, dorothy.name, "ADMIN");
    await toast(page, `Nobody knows yet whether ${dorothy.name} is ADMIN`).waitFor();
    await page
      .getByRole("region", { name: "Notifications" })
      .getByText("The server could not be reached.")
      .waitFor();
    await expectCell(page, dorothy.name, "STUDENT");
    assert.equal(await roleHere(dorothy.clerkId), "STUDENT");
  });
});

test("a role is set by the keyboard alone, and the focus comes back", async ({ page }) => {
  await withPeople([newPerson("Katharina")], async (katharina) => {
    await openUsers(page, { search: katharina.email });
    const { keyboard } = page;
    const focused = () =>
      page.evaluate(() => document.activeElement?.getAttribute("aria-label") ?? "");
    await keyboard.press("/");
    const actions = `Actions for ${katharina.name}`;
    for (let n = 0; n < 20 && (await focused()) !== actions; n += 1) await keyboard.press("Tab");
    assert.equal(await focused(), actions);

    await keyboard.press("Enter");
    await page.getByRole("menuitem", { name: "Update role" }).waitFor();
    await keyboard.press("Enter");
    await dialog(page).getByRole("radio", { name: "STUDENT", checked: true }).waitFor();
    await until(
      "the focus is at the role",
      () => page.evaluate(() => document.activeElement?.getAttribute("role")),
      "radio",
    );
    await keyboard.press("ArrowDown");
    await dialog(page).getByRole("radio", { name: "INSTRUCTOR", checked: true }).waitFor();
    await keyboard.press("Tab");
    await keyboard.press("Tab");
    await keyboard.press("Enter");
    await expectCell(page, katharina.name, "INSTRUCTOR");
    await until("the focus is back", focused, actions);
    await until("Clerk has it", () => clerk.roleOf(katharina.clerkId), "INSTRUCTOR");
  });
});

test("many roles at once: one is refused, and retried when it may be set", async ({ page }) => {
  const word = uniqueWord();
  await withPeople([newPerson("Anna"), newPerson("Berta", "INSTRUCTOR")], async (anna, berta) => {
    await withRows(3, word, async () => {
      await ownedByDirectory(anna.clerkId);
      for (const { clerkId } of [anna, berta]) {
        await clerk.edit(clerkId, { last_name: word });
      }
      await clerk.delivered();
      await openUsers(page, { search: word });
      await page.getByRole("checkbox", { name: "Select all rows that are shown" }).click();
      await expectSelected(page, "5 users selected");
      await page.getByRole("button", { name: "Update role…" }).click();
      await dialog(page).getByRole("radio", { name: "INSTRUCTOR" }).click();
      const numbers = "4 users will be INSTRUCTOR. 1 user of the selection already is.";
      await dialog(page).getByText(numbers).waitFor();
      await expectNoSeriousAxeFindings(page);
      await screenshot(page, "bulk-choice");
      await dialog(page).getByRole("button", { name: "Set INSTRUCTOR for 5 users" }).click();

      await dialog(page)
        .getByText("1 done, here and in Clerk; 3 set here, and on their way to Clerk; 1 refused.")
        .waitFor();
      const refused = dialog(page).getByRole("listitem").first();
      const sentence = "The role comes from the user's directory. Change it there.";
      assert.ok(await refused.getByText(sentence).isVisible());
      assert.ok(await refused.getByText(`Anna ${word}`).isVisible());
      assert.equal(await roleHere(anna.clerkId), "STUDENT");
      await expectNoSeriousAxeFindings(page);
      await screenshot(page, "bulk-refused");

      await clerk.control("DELETE", "faults");
      await sql`
        update users set role_owned_by_directory = false where clerk_id = ${anna.clerkId}`;
      await dialog(page).getByRole("button", { name: "Retry the 1 that failed" }).click();
      await dialog(page)
        .getByText("2 done, here and in Clerk; 3 set here, and on their way to Clerk.")
        .waitFor();
      await dialog(page).getByRole("button", { name: "Close" }).last().click();
      await dialog(page).waitFor({ state: "detached" });
      await expectCell(page, `Anna ${word}`, "INSTRUCTOR");
      await expectCell(page, `Row3 ${word}`, "INSTRUCTOR");
      assert.equal(await roleHere(anna.clerkId), "INSTRUCTOR");
      assert.equal(await clerk.roleOf(anna.clerkId), "INSTRUCTOR");
      assert.equal(await nWithRole(word, "INSTRUCTOR"), 5);
    });
  });
});

async function nWithRole(word: string, role: string): Promise<number> {
  const found = await sql`
    select count(*)::int as n from users
    where last_name = ${word} and role::text = ${role} and deleted_at is null`;
  return found[0]?.n;
}

/** Everybody with this word in their name is selected, and shall be instructor. */
async function beginBulk(page: Page, word: string, n: number): Promise<void> {
  await openUsers(page);
  await page.getByRole("searchbox", { name: "Search users" }).fill(word);
  await page.getByText(`${n} users match`, { exact: true }).waitFor();
  await page.getByRole("checkbox", { name: "Select all rows that are shown" }).click();
  await page.getByRole("button", { name: `Select all ${n} that match` }).click();
  await expectSelected(page, `${n} users selected`);
  await page.getByRole("button", { name: "Update role…" }).click();
  await dialog(page).getByRole("radio", { name: "INSTRUCTOR" }).click();
  await dialog(page)
    .getByRole("button", { name: `Set INSTRUCTOR for ${n} users` })
    .click();
}

test("a batch that got no answer fails as a whole, and only it is retried", async ({
  page,
  expectProblem,
}) => {
  expectProblem(/ERR_INTERNET_DISCONNECTED/);
  const word = uniqueWord();
  await withRows(120, word, async () => {
    const sent: string[][] = [];
    await page.route("/api/admin/users", async (route) => {
      sent.push(route.request().postDataJSON().userIds);
      return sent.length === 2 ? route.abort("internetdisconnected") : route.fallback();
    });
    await beginBulk(page, word, 120);
    await dialog(page)
      .getByText("70 set here, and on their way to Clerk; 50 got no answer.")
      .waitFor();
    assert.deepEqual(
      sent.map((ids) => ids.length),
      [50, 50, 20],
    );
    assert.equal(await nWithRole(word, "INSTRUCTOR"), 70);
    await dialog(page).getByRole("button", { name: "Retry the 50 that failed" }).click();
    await dialog(page).getByText("120 set here, and on their way to Clerk.").waitFor();
    assert.deepEqual(new Set(sent.at(3)), new Set(sent.at(1)));
    assert.equal(sent.length, 4);
    assert.equal(await nWithRole(word, "INSTRUCTOR"), 120);
  });
});

test("a bulk change is stopped between two batches, and goes on when somebody wants", async ({
  page,
}) => {
  const word = uniqueWord();
  await withRows(150, word, async () => {
    const held = await holdBack(page, /\/api\/admin\/users$/, "PATCH");
    await beginBulk(page, word, 150);
    await held.isAsked;
    const progress = dialog(page).getByRole("progressbar", { name: "Setting the role" });
    assert.equal(await progress.getAttribute("aria-valuenow"), "0");

    // Who closes it while it runs is asked first.
    await page.keyboard.press("Escape");
    await dialog(page).getByText("The change is still running.").waitFor();
    await expectNoSeriousAxeFindings(page);
    await screenshot(page, "bulk-running");
    await dialog(page).getByRole("button", { name: "Keep going" }).click();
    await page.evaluate(() => window.history.back());
    await dialog(page).getByText("The change is still running.").waitFor();
    assert.equal(new URL(page.url()).searchParams.get("search"), word);
    await dialog(page).getByRole("button", { name: "Stop" }).click();
    held.letGo();

    await dialog(page).getByRole("progressbar", { name: "Stopped" }).waitFor();
    await dialog(page).getByText("50 set here, and on their way to Clerk.").waitFor();
    assert.equal(await nWithRole(word, "INSTRUCTOR"), 50);
    await dialog(page).getByRole("button", { name: "Go on with the other 100" }).click();
    await dialog(page).getByText("150 set here, and on their way to Clerk.").waitFor();
    assert.equal(await nWithRole(word, "INSTRUCTOR"), 150);
    await dialog(page).getByRole("button", { name: "Close" }).last().click();
    await expectCell(page, `Row1 ${word}`, "INSTRUCTOR");
  });
});
