// Editing a user: what is shown meanwhile, what Clerk and the database have after it, and what
// becomes of it when somebody refuses.

import assert from "node:assert/strict";
import type { Page, Route } from "playwright-core";
import {
  NO_EMAIL_CHANGE,
  newcomer,
  newEmail,
  openUser,
  withoutAccount,
} from "./support/newcomers.ts";
import {
  expectNoSeriousAxeFindings,
  expectStableLayout,
  screenshot,
  signIn,
  test,
} from "./support/panel.ts";
import { clerk, rowOf, sql, until } from "./support/world.ts";

const EDIT = "**/api/users/*";

function heading(page: Page, name: string) {
  return page.getByRole("heading", { name, level: 1 });
}

async function openDialog(page: Page, name: string) {
  await page.getByRole("button", { name: "Edit", exact: true }).click();
  const dialog = page.getByRole("dialog", { name: `Edit ${name}` });
  await dialog.waitFor();
  return dialog;
}

/** Waits until a field says what is wrong with it. */
async function expectError(page: Page, label: string, error: string | RegExp) {
  const field = page.getByLabel(label);
  await page.getByRole("dialog").getByText(error).waitFor();
  assert.equal(await field.getAttribute("aria-invalid"), "true");
  const ids = (await field.getAttribute("aria-describedby"))?.split(" ") ?? [];
  const texts = await Promise.all(ids.map((id) => page.locator(`[id="${id}"]`).textContent()));
  const isThere = texts.some((text) => text?.match(error));
  assert.ok(isThere, `${label} is described by ${error}, not by ${texts}`);
}

/** Holds back what the panel sends until it is let go. */
async function holdEdit(page: Page, then: (route: Route) => Promise<void>) {
  const held = Promise.withResolvers<() => void>();
  await page.route(EDIT, async (route) => {
    await new Promise<void>((letGo) => held.resolve(letGo));
    await then(route);
  });
  return held.promise;
}

test("Edit a Builder User: name and group persist after a reload", async ({
  page,
  expectProblem,
}) => {
  expectProblem(NO_EMAIL_CHANGE);
  const ines = await newcomer("Ines", "Ibarra");
  await signIn(page, "Ada Lovelace", `/admin/users?search=${ines.email}`);
  await page.getByRole("button", { name: "Actions for Ines Ibarra" }).click();
  await page.getByRole("menuitem", { name: "Edit" }).click();
  const dialog = page.getByRole("dialog", { name: "Edit Ines Ibarra" });
  await dialog.getByLabel("First name").fill("Inez");
  await dialog.getByLabel("Builder group").fill("builders-7");
  const [request] = await Promise.all([
    page.waitForRequest((request) => request.method() === "PATCH"),
    dialog.getByRole("button", { name: "Save" }).click(),
  ]);
  await dialog.waitFor({ state: "detached" });
  await page.getByRole("link", { name: "Inez Ibarra" }).waitFor();
  await page.getByText("Inez Ibarra is saved").waitFor();
  // Only what was changed is sent.
  assert.deepEqual(request.postDataJSON(), { firstName: "Inez", builderGroupId: "builders-7" });

  await page.reload();
  await page.getByRole("link", { name: "Inez Ibarra" }).click();
  await heading(page, "Inez Ibarra").waitFor();
  await page.getByText("builders-7").waitFor();
  assert.equal((await clerk.user(ines.clerkId)).first_name, "Inez");
  const row = await rowOf(ines.clerkId);
  assert.deepEqual([row.name, row.builder_group_id], ["Inez Ibarra", "builders-7"]);
});

test("Edit a user with clerk_id (name): Clerk and DB updated", async ({ page, expectProblem }) => {
  expectProblem(NO_EMAIL_CHANGE);
  const omar = await newcomer("Omar", "Okafor");
  await openUser(page, omar);
  await page.getByText("Nobody has asked for another address.").waitFor();
  await expectStableLayout(page);
  const dialog = await openDialog(page, omar.name);
  await expectNoSeriousAxeFindings(page);
  await screenshot(page, "edit-user");

  await dialog.getByLabel("First name").fill("Omari");
  await dialog.getByLabel("Last name").fill("");
  const letGo = holdEdit(page, (route) => route.continue());
  await page.keyboard.press("Enter");
  // At once, while nobody has answered yet.
  await heading(page, "Omari").waitFor();
  await dialog.waitFor({ state: "detached" });
  assert.equal((await rowOf(omar.clerkId)).name, "Omar Okafor");

  (await letGo)();
  await page.getByText("Omari is saved").waitFor();
  await page.getByText("Clerk and the database have it.").waitFor();
  const { first_name, last_name } = await clerk.user(omar.clerkId);
  assert.deepEqual([first_name, last_name ?? ""], ["Omari", ""]);
  assert.equal((await rowOf(omar.clerkId)).name, "Omari");
  await page.unroute(EDIT);
  await page.reload();
  await heading(page, "Omari").waitFor();
});

test("Edit a user WITHOUT clerk_id: DB only", async ({ page }) => {
  const lena = await withoutAccount("Lena", "Lindqvist");
  await openUser(page, lena);
  await page.getByText("This user has no Clerk account").waitFor();
  assert.equal(await page.getByRole("button", { name: "Sync now" }).count(), 0);
  assert.equal(await page.getByRole("heading", { name: "Change of address" }).count(), 0);
  await clerk.control("DELETE", "requests");

  const dialog = await openDialog(page, lena.name);
  await dialog.getByText("There is no password to set").waitFor();
  assert.equal(await dialog.getByLabel("New password").count(), 0);
  await expectNoSeriousAxeFindings(page);
  await screenshot(page, "edit-user-without-account");
  const email = newEmail("lena");
  await dialog.getByLabel("E-mail address").fill(email);
  await dialog.getByLabel("Builder group").fill("north");
  await dialog.getByRole("button", { name: "Save" }).click();
  await page.getByText("Lena Lindqvist is saved").waitFor();
  await page.getByText("The database has it.").waitFor();
  await page.reload();
  await page.getByText(email).waitFor();

  const row = await rowOf(email);
  assert.deepEqual([row.id, row.clerk_id, row.builder_group_id], [lena.id, null, "north"]);
  const { requests } = await clerk.control("GET", "requests");
  const changes = requests.filter((it: { method: string }) => it.method !== "GET");
  assert.deepEqual(changes, []);
});

test("Clerk API fails (500): error shown, DB not updated, UI reverted", async ({
  page,
  expectProblem,
}) => {
  expectProblem(NO_EMAIL_CHANGE);
  expectProblem(/status of 502/);
  const noor = await newcomer("Noor", "Nakagawa");
  await openUser(page, noor);
  const path = `/v1/users/${noor.clerkId}`;
  await clerk.fault({ match: { method: "PATCH", path_prefix: path }, effect: { status: 500 } });

  const dialog = await openDialog(page, noor.name);
  await dialog.getByLabel("First name").fill("Noora");
  await dialog.getByLabel("Builder group").fill("east");
  const letGo = holdEdit(page, (route) => route.continue());
  await dialog.getByRole("button", { name: "Save" }).click();
  await heading(page, "Noora Nakagawa").waitFor();
  (await letGo)();

  await dialog.getByRole("alert").getByText("look at the values again").waitFor();
  assert.equal(await dialog.getByLabel("First name").inputValue(), "Noora");
  assert.equal(await dialog.getByLabel("Builder group").inputValue(), "east");
  await screenshot(page, "edit-user-failed");
  await page.keyboard.press("Escape");
  await heading(page, "Noor Nakagawa").waitFor();
  const row = await rowOf(noor.clerkId);
  assert.deepEqual([row.name, row.builder_group_id], ["Noor Nakagawa", null]);
  assert.equal((await clerk.user(noor.clerkId)).first_name, "Noor");
});

test("Duplicate e-mail: error shown", async ({ page, expectProblem }) => {
  expectProblem(/status of 409/);
  const mila = await withoutAccount("Mila", "Moreau");
  await openUser(page, mila);
  const dialog = await openDialog(page, mila.name);
  await dialog.getByLabel("E-mail address").fill("edsger@example.com");
  await dialog.getByRole("button", { name: "Save" }).click();

  await expectError(page, "E-mail address", "Another user has this address, or is invited to it.");
  const isFocused = await dialog
    .getByLabel("E-mail address")
    .evaluate((field) => field === document.activeElement);
  assert.ok(isFocused, "the field that is to be mended has the focus");
  await expectNoSeriousAxeFindings(page);
  await screenshot(page, "edit-user-refused");
  await page.keyboard.press("Escape");
  await page.getByText(mila.email).waitFor();
  const [row] = await sql`select email from users where id = ${mila.id}`;
  assert.equal(row?.email, mila.email);
});

test("Network timeout: error shown, UI reverted", async ({ page, expectProblem }) => {
  expectProblem(NO_EMAIL_CHANGE);
  expectProblem(/ERR_TIMED_OUT/);
  const hana = await newcomer("Hana", "Horvat");
  await openUser(page, hana);
  const dialog = await openDialog(page, hana.name);
  await dialog.getByLabel("Last name").fill("Hofer");
  const letGo = holdEdit(page, (route) => route.abort("timedout"));
  await dialog.getByRole("button", { name: "Save" }).click();
  await heading(page, "Hana Hofer").waitFor();
  (await letGo)();

  await dialog.getByRole("alert").getByText("The server could not be reached.").waitFor();
  assert.equal(await dialog.getByLabel("Last name").inputValue(), "Hofer");
  await page.keyboard.press("Escape");
  await heading(page, hana.name).waitFor();
  assert.equal((await rowOf(hana.clerkId)).last_name, "Horvat");

  // What was typed is not lost: without the cut it is saved.
  await page.unroute(EDIT);
  const again = await openDialog(page, hana.name);
  assert.equal(await again.getByLabel("Last name").inputValue(), "Horvat");
  await again.getByLabel("Last name").fill("Hofer");
  await again.getByRole("button", { name: "Save" }).click();
  await page.getByText("Hana Hofer is saved").waitFor();
  assert.equal((await rowOf(hana.clerkId)).last_name, "Hofer");
});

test("a password that Clerk does not take is refused in Clerk's words", async ({
  page,
  expectProblem,
}) => {
  expectProblem(NO_EMAIL_CHANGE);
  expectProblem(/status of 422/);
  const pia = await newcomer("Pia", "Petrov");
  await openUser(page, pia);
  const dialog = await openDialog(page, pia.name);
  await dialog.getByLabel("New password").fill("short");
  await dialog.getByRole("button", { name: "Save" }).click();
  await expectError(page, "New password", "Passwords must be 8 characters or more.");
  assert.equal((await clerk.user(pia.clerkId)).password_enabled, false);

  await dialog.getByLabel("New password").fill("correct horse battery staple");
  await dialog.getByRole("button", { name: "Save" }).click();
  await page.getByText("Pia Petrov is saved").waitFor();
  assert.equal((await clerk.user(pia.clerkId)).password_enabled, true);
});

test("a name that cannot be one is refused at its field, before Clerk is asked", async ({
  page,
  expectProblem,
}) => {
  expectProblem(NO_EMAIL_CHANGE);
  expectProblem(/status of 422/);
  const tom = await newcomer("Tom", "Tanaka");
  await openUser(page, tom);
  const dialog = await openDialog(page, tom.name);
  await dialog.getByLabel("First name").fill("T".repeat(256));
  await dialog.getByRole("button", { name: "Save" }).click();
  await expectError(page, "First name", "firstName takes at most 255 characters.");
  assert.equal((await rowOf(tom.clerkId)).first_name, "Tom");
});

test("who comes from a directory is changed there", async ({ page, expectProblem }) => {
  expectProblem(NO_EMAIL_CHANGE);
  expectProblem(/status of 409/);
  const dara = await newcomer("Dara", "Dubois");
  // What Clerk says of somebody whom a directory brought.
  await clerk.fault({
    match: { method: "PATCH", path_prefix: `/v1/users/${dara.clerkId}` },
    effect: { status: 409, code: "user_managed_by_scim" },
  });
  await openUser(page, dara);
  const dialog = await openDialog(page, dara.name);
  await dialog.getByLabel("First name").fill("Darya");
  await dialog.getByRole("button", { name: "Save" }).click();
  await dialog.getByText("The profile comes from the user's directory. Change it there.").waitFor();
  await page.keyboard.press("Escape");
  await heading(page, dara.name).waitFor();
  assert.equal((await rowOf(dara.clerkId)).first_name, "Dara");
});

test("nothing is sent when nothing was changed", async ({ page, expectProblem }) => {
  expectProblem(NO_EMAIL_CHANGE);
  const uma = await newcomer("Uma", "Usman");
  await openUser(page, uma);
  const requests: string[] = [];
  page.on("request", (request) => {
    if (request.method() === "PATCH") requests.push(request.url());
  });
  const dialog = await openDialog(page, uma.name);
  await dialog.getByLabel("First name").fill("Uma ");
  await dialog.getByRole("button", { name: "Save" }).click();
  await dialog.waitFor({ state: "detached" });
  assert.deepEqual(requests, []);
  const isBack = () =>
    page
      .getByRole("button", { name: "Edit", exact: true })
      .evaluate((button) => button === document.activeElement);
  await until("the focus is back on the button", isBack, true);
});

test("a user whom nobody knows has a page that says so", async ({ page, expectProblem }) => {
  expectProblem(/status of 404/);
  await signIn(page, "Ada Lovelace", "/admin/users/00000000-0000-4000-8000-00000000abcd");
  await heading(page, "No such user").waitFor();
  await expectNoSeriousAxeFindings(page);
  await screenshot(page, "user-unknown");
  await page.getByRole("link", { name: "To the users" }).click();
  await heading(page, "Users").waitFor();
});

test("a deleted, a banned user and a placeholder are explained", async ({
  page,
  expectProblem,
}) => {
  expectProblem(NO_EMAIL_CHANGE);
  const rosa = await newcomer("Rosa", "Rossi");
  await clerk.edit(rosa.clerkId, { banned: true });
  await clerk.delivered();
  await openUser(page, rosa);
  await page.getByText("This user cannot sign in: an admin banned them in Clerk.").waitFor();
  await page.getByRole("button", { name: "Edit", exact: true }).waitFor();
  await screenshot(page, "user-banned");

  await clerk.remove(rosa.clerkId);
  await clerk.delivered();
  await page.reload();
  await page.getByText("This user was deleted in Clerk.").waitFor();
  assert.equal(await page.getByRole("button", { name: "Edit", exact: true }).count(), 0);
  await expectNoSeriousAxeFindings(page);
  await screenshot(page, "user-deleted");

  await sql`insert into users (clerk_id, is_placeholder) values ('user_placeholder', true)
    on conflict (clerk_id) do update set deleted_at = null`;
  await page.goto("/admin/users/user_placeholder");
  await page.getByText("before Clerk told who they are").waitFor();
  await sql`delete from users where clerk_id = 'user_placeholder'`;
});

test("a user can be opened by their Clerk id, and copied by both", async ({
  page,
  expectProblem,
}) => {
  expectProblem(NO_EMAIL_CHANGE);
  const vito = await newcomer("Vito", "Varga");
  await page.context().grantPermissions(["clipboard-read", "clipboard-write"]);
  await openUser(page, { id: vito.clerkId, name: vito.name });
  await page.waitForURL(`**/admin/users/${vito.id}`);
  const pasted = () => page.evaluate(() => navigator.clipboard.readText());
  await page.getByRole("button", { name: "Copy the Clerk id" }).click();
  await until("the Clerk id is copied", pasted, vito.clerkId);
  await page.getByRole("button", { name: "Copy the Id" }).click();
  await until("the id is copied", pasted, vito.id);
});
