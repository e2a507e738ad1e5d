// Another address for somebody with a Clerk account: by invitation, from the wish to the new account.

import assert from "node:assert/strict";
import type { Page } from "playwright-core";
import { NO_EMAIL_CHANGE, newcomer, newEmail, openUser } from "./support/newcomers.ts";
import { expectNoSeriousAxeFindings, screenshot, test } from "./support/panel.ts";
import { clerk, people, rowOf, sql, until } from "./support/world.ts";

/** The box on the user's page that says how far it is. */
function panel(page: Page) {
  return page.locator("section").filter({
    has: page.getByRole("heading", { name: "Change of address", level: 2 }),
  });
}

function hasFocus(page: Page): Promise<boolean> {
  return panel(page).evaluate((it) => it.contains(document.activeElement));
}

async function edit(page: Page, name: string, fields: Record<string, string>) {
  await page.getByRole("button", { name: "Edit", exact: true }).click();
  const dialog = page.getByRole("dialog", { name: `Edit ${name}` });
  for (const [label, value] of Object.entries(fields)) await dialog.getByLabel(label).fill(value);
  await dialog.getByRole("button", { name: "Save" }).click();
}

async function invite(page: Page, email: string) {
  await page.getByRole("button", { name: "Invite another address" }).click();
  const dialog = page.getByRole("dialog", { name: "Invite another address" });
  await dialog.getByLabel("New e-mail address").fill(email);
  await dialog.getByRole("button", { name: "Invite", exact: true }).click();
  return dialog;
}

async function stateOf(userId: string): Promise<string> {
  const [change] = await sql`select state from email_changes where user_id = ${userId}
    order by created_at desc limit 1`;
  return change?.state;
}

test("Edit a user with clerk_id (e-mail): requires re-invitation", async ({
  page,
  expectProblem,
}) => {
  expectProblem(NO_EMAIL_CHANGE);
  expectProblem(/status of 409/);
  const noemi = await newcomer("Noemi", "Neumann");
  const email = newEmail("noemi.new");
  await openUser(page, noemi);
  await edit(page, noemi.name, { "First name": "Naomi", "E-mail address": email });

  const dialog = page.getByRole("dialog", { name: "Invite the new address" });
  await dialog.getByText("So nothing was changed yet.").waitFor();
  await dialog.getByText("What else you typed is not saved yet: first name.").waitFor();
  assert.deepEqual(
    [(await rowOf(noemi.clerkId)).name, await clerk.invitations()],
    [noemi.name, []],
  );
  await expectNoSeriousAxeFindings(page);
  await screenshot(page, "email-change-required");

  await dialog.getByRole("button", { name: `Invite ${email}` }).click();
  const form = page.getByRole("dialog", { name: `Edit ${noemi.name}` });
  await form.getByText(`${email} is invited. The other changes are not saved yet.`).waitFor();
  assert.equal(await form.getByLabel("E-mail address").inputValue(), noemi.email);
  assert.equal(await form.getByLabel("First name").inputValue(), "Naomi");
  await form.getByRole("button", { name: "Save" }).click();
  await page.getByText("Naomi Neumann is saved").waitFor();
  const invited = (await clerk.invitations()).map((it) => it.email_address);
  assert.deepEqual(invited, [email]);
  const row = await rowOf(noemi.clerkId);
  assert.deepEqual([row.name, row.email], ["Naomi Neumann", noemi.email]);

  await panel(page).getByText("Invited", { exact: true }).waitFor();
  await panel(page).getByText(email).waitFor();
  await panel(page).getByText("Good until").waitFor();
  await expectNoSeriousAxeFindings(page);
  await screenshot(page, "email-change-invited");

  const newId = await clerk.acceptInvitation(email);
  await panel(page).getByText("Done", { exact: true }).waitFor();
  await panel(page).getByText("The user has this address.").waitFor();
  await page.getByText(newId).waitFor();
  await screenshot(page, "email-change-done");
  const moved = await rowOf(email);
  assert.deepEqual([moved.id, moved.clerk_id], [noemi.id, newId]);
  assert.equal((await clerk.api("GET", `users/${noemi.clerkId}`)).status, 404);
  const account = await clerk.user(newId);
  assert.deepEqual([account.first_name, account.last_name], ["Naomi", "Neumann"]);
});

test("the names can be saved without the address", async ({ page, expectProblem }) => {
  expectProblem(NO_EMAIL_CHANGE);
  expectProblem(/status of 409/);
  const jan = await newcomer("Jan", "Jansen");
  await openUser(page, jan);
  await edit(page, jan.name, { "Last name": "Janssen", "E-mail address": newEmail("jan.new") });
  const dialog = page.getByRole("dialog", { name: "Invite the new address" });
  await dialog.getByRole("button", { name: "Save without the address" }).click();
  await page.getByText("Jan Janssen is saved").waitFor();
  await page.getByRole("heading", { name: "Jan Janssen", level: 1 }).waitFor();
  assert.deepEqual(await clerk.invitations(), []);
  const row = await rowOf(jan.clerkId);
  assert.deepEqual([row.name, row.email], ["Jan Janssen", jan.email]);
});

test("an invitation can be taken back, and made again", async ({ page, expectProblem }) => {
  expectProblem(NO_EMAIL_CHANGE);
  const kofi = await newcomer("Kofi", "Kamara");
  const email = newEmail("kofi.new");
  await openUser(page, kofi);
  await page.getByRole("button", { name: "Invite another address" }).click();
  await page.getByLabel("New e-mail address").waitFor();
  await expectNoSeriousAxeFindings(page);
  await screenshot(page, "email-change-ask");
  await page.keyboard.press("Escape");
  await invite(page, email);
  await panel(page).getByText("Invited", { exact: true }).waitFor();
  await until("the focus is where the button was", () => hasFocus(page), true);

  await panel(page).getByRole("button", { name: "Take it back" }).click();
  const dialog = page.getByRole("dialog", { name: "Take the invitation back?" });
  await dialog.getByText(email).waitFor();
  await expectNoSeriousAxeFindings(page);
  await dialog.getByRole("button", { name: "Take it back" }).click();
  await panel(page).getByText("Taken back", { exact: true }).waitFor();
  assert.deepEqual(await clerk.invitations(), []);
  assert.equal(await stateOf(kofi.id), "revoked");
  await until("the focus stays where it was", () => hasFocus(page), true);
  await screenshot(page, "email-change-taken-back");

  await panel(page).getByRole("button", { name: "Invite again" }).click();
  await panel(page).getByText("Invited", { exact: true }).waitFor();
  const invited = (await clerk.invitations()).map((it) => it.email_address);
  assert.deepEqual(invited, [email]);
  assert.equal(await stateOf(kofi.id), "invited");
  await panel(page).getByRole("button", { name: "Take it back" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Take it back" }).click();
  await panel(page).getByText("Taken back", { exact: true }).waitFor();
});

test("an invitation that is revoked in Clerk is over here, too", async ({
  page,
  expectProblem,
}) => {
  expectProblem(NO_EMAIL_CHANGE);
  const mei = await newcomer("Mei", "Mori");
  await openUser(page, mei);
  await invite(page, newEmail("mei.new"));
  await panel(page).getByText("Invited", { exact: true }).waitFor();
  const [invitation] = await clerk.invitations();
  await clerk.api("POST", `invitations/${invitation?.id}/revoke`);
  // It would be looked at in some minutes.
  await sql`update email_changes set settle_at = now() where user_id = ${mei.id}`;
  await until("it is over", () => stateOf(mei.id), "revoked");
  // The page looks by itself.
  await panel(page).getByText("Taken back", { exact: true }).waitFor();
  await panel(page).getByRole("button", { name: "Invite again" }).waitFor();
});

test("an address that somebody has cannot be invited", async ({ page, expectProblem }) => {
  expectProblem(NO_EMAIL_CHANGE);
  expectProblem(/status of 409/);
  const lior = await newcomer("Lior", "Levi");
  await openUser(page, lior);
  const { email } = await rowOf(people.edsger);
  const dialog = await invite(page, email);
  await dialog.getByText("Another user has this address, or is invited to it.").waitFor();
  assert.equal(await dialog.getByLabel("New e-mail address").getAttribute("aria-invalid"), "true");
  assert.equal(await stateOf(lior.id), undefined);
  assert.equal((await rowOf(lior.clerkId)).email, lior.email);
});

test("while Clerk is away nobody is invited, and the dialog says so", async ({
  page,
  expectProblem,
}) => {
  expectProblem(NO_EMAIL_CHANGE);
  expectProblem(/status of 50[24]/);
  const yara = await newcomer("Yara", "Yilmaz");
  await openUser(page, yara);
  await clerk.fault({
    match: { method: "POST", path_prefix: "/v1/invitations" },
    effect: { status: 500 },
  });
  const email = newEmail("yara.new");
  const dialog = await invite(page, email);
  await dialog.getByRole("alert").getByText("look at the values again").waitFor();
  assert.deepEqual(await clerk.invitations(), []);
  assert.equal(await stateOf(yara.id), "requested");
  await page.keyboard.press("Escape");
  await panel(page).getByText("Requested", { exact: true }).waitFor();
  await panel(page).getByText("Clerk is being asked for the invitation").waitFor();
});
