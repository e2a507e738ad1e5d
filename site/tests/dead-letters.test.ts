// What could not be taken in, and its replay.

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
import { clerk, rowOf, sendUnreadable, sql, until } from "./support/world.ts";

const DEAD_LETTERS = "/admin/sync/dead-letters";
/** What a delivery of these tests cannot be read for. */
const REASON = "data.updated_at is not what it should be";

async function newUser(): Promise<string> {
  const email = `${randomUUID()}@example.com`;
  const id = await clerk.signUp({ email, first_name: "Dora", role: "STUDENT" });
  await clerk.delivered();
  return id;
}

async function leave(user: string, ...svixIds: string[]): Promise<void> {
  await sql`delete from inbox where svix_id = any(${svixIds})`;
  await clerk.calm();
  await clerk.remove(user);
  await clerk.delivered();
}

async function event(svixId: string) {
  const [row] = await sql`select outcome, n_attempts from inbox where svix_id = ${svixId}`;
  return { outcome: row?.outcome, nAttempts: row?.n_attempts };
}

function deadRow(page: Page, svixId: string) {
  return page.getByRole("row").filter({ hasText: svixId });
}

function dialogOf(page: Page) {
  return page.getByRole("dialog");
}

test("a dead letter is listed with its reason, counted before it is replayed, and stays dead", async ({
  page,
}) => {
  const user = await newUser();
  const svixId = await sendUnreadable(user);
  const other = await sendUnreadable(user);
  await signIn(page, "Ada Lovelace", DEAD_LETTERS);
  await deadRow(page, svixId).getByText(REASON).waitFor();
  await expectStableLayout(page);
  await expectNoSeriousAxeFindings(page);
  await screenshot(page, "dead-letters");

  await page.getByRole("checkbox", { name: `Select the event ${svixId}` }).click();
  await page.getByRole("button", { name: "Replay selected (1)" }).click();
  const dialog = dialogOf(page);
  const confirm = dialog.getByRole("button", { name: "Replay 1 event", exact: true });
  await confirm.waitFor();
  const counts = await dialog.getByRole("definition").allInnerTexts();
  assert.deepEqual(counts, ["1", "0", "0"], "dead, parked, not replayable");
  await dialog.getByRole("listitem").filter({ hasText: "user.updated" }).getByText("1").waitFor();
  await expectNoSeriousAxeFindings(page);
  await screenshot(page, "replay-counted");
  assert.deepEqual(await event(svixId), { outcome: "dead", nAttempts: 1 }, "it only counted");

  await confirm.click();
  await dialog.getByRole("list", { name: "What became of them" }).getByText("1 dead").waitFor();
  await expectNoSeriousAxeFindings(page);
  await screenshot(page, "replay-done");
  assert.deepEqual(await event(svixId), { outcome: "dead", nAttempts: 2 });
  assert.deepEqual(await event(other), { outcome: "dead", nAttempts: 1 });
  await dialog.getByRole("link", { name: svixId }).click();

  await page.getByText(`What went wrong last: ${REASON}`).waitFor();
  await page.getByText("It comes from Clerk and could not be taken in").waitFor();
  const keys = page.getByRole("list", { name: "Keys of the body" });
  assert.deepEqual(await keys.getByRole("listitem").allInnerTexts(), [
    "id",
    "object",
    "updated_at",
  ]);
  await expectNoSeriousAxeFindings(page);
  await screenshot(page, "event-dead");
  await leave(user, svixId, other);
});

test("a dead letter that can be read after all is applied when it is replayed", async ({
  page,
}) => {
  const user = await newUser();
  const svixId = await sendUnreadable(user);
  const [lost] = await clerk.holdingWebhooks(() => clerk.edit(user, { first_name: "Dorothea" }));
  assert.ok(lost);
  await clerk.lose(lost);
  // As a version would see it that can read what this one could not.
  await sql`update inbox set payload = ${sql.json(JSON.parse(lost.body))} where svix_id = ${svixId}`;

  await signIn(page, "Ada Lovelace", `/admin/sync/events/${svixId}`);
  await page.getByRole("button", { name: "Replay" }).click();
  await dialogOf(page).getByRole("button", { name: "Replay 1 event" }).click();
  await dialogOf(page).getByText("1 applied").waitFor();
  await dialogOf(page).getByRole("button", { name: "Close" }).last().click();
  await page.getByText("It shows a newer version of this user").waitFor();
  await page.getByRole("button", { name: "Replay" }).waitFor({ state: "detached" });
  assert.deepEqual(await event(svixId), { outcome: "applied", nAttempts: 2 });
  assert.equal((await rowOf(user)).first_name, "Dorothea");
  await leave(user, svixId);
});

test("all that match are replayed, call after call, and it can be stopped", async ({ page }) => {
  const n = 1100;
  const user = await newUser();
  const svixId = await sendUnreadable(user);
  await sql`
    insert into inbox (svix_id, event_type, object_id, instance_id, outcome, rule, payload, last_error)
    select svix_id || '_' || i, event_type, object_id, instance_id, outcome, rule, payload, last_error
    from inbox, generate_series(1, ${n - 1}::int) i
    where svix_id = ${svixId}`;
  try {
    await signIn(page, "Ada Lovelace", `${DEAD_LETTERS}?object=${user}&type=user.updated`);
    await page.getByRole("button", { name: "Replay all that match" }).click();
    const dialog = dialogOf(page);
    await dialog.getByText(`All dead events of type user.updated about ${user}.`).waitFor();
    await dialog.getByRole("button", { name: "Replay 1,100 events" }).click();
    await dialog.getByRole("button", { name: "Stop" }).waitFor();
    // It does not close before it has said what was done.
    await page.keyboard.press("Escape");
    await dialog.getByText("It was stopped.").waitFor();
    const again = async () => {
      const [row] = await sql`
        select count(*)::int as n from inbox where object_id = ${user} and n_attempts = 2`;
      return row?.n;
    };
    const nStopped = await again();
    assert.ok(nStopped > 0 && nStopped < n, `${nStopped} were replayed before it stopped`);
    await dialog.getByRole("button", { name: "Close" }).last().click();

    await page.getByRole("button", { name: "Replay all that match" }).click();
    await dialog.getByRole("button", { name: "Replay 1,100 events" }).click();
    await dialog.getByText("1,100 dead").waitFor({ timeout: 60_000 });
    const bar = dialog.getByRole("progressbar", { name: "Replayed" });
    assert.equal(await bar.getAttribute("aria-valuenow"), String(n));
    assert.equal(await again(), n - nStopped);
  } finally {
    await sql`delete from inbox where object_id = ${user} and outcome = 'dead'`;
  }
  await leave(user);
});

test("an event is parked while Clerk cannot be asked, and the list says why", async ({ page }) => {
  const user = await newUser();
  const { now } = await clerk.control("POST", "clock", {});
  const messages = await clerk.holdingWebhooks(async () => {
    await clerk.control("POST", "clock", { set_ms: now });
    await clerk.edit(user, { first_name: "Dolly" });
    await clerk.edit(user, { first_name: "Dolores" });
    await clerk.control("POST", "clock", { resume: true });
  });
  await signIn(page, "Ada Lovelace", DEAD_LETTERS);
  await clerk.down();
  const outcomes = [];
  for (const message of messages) outcomes.push((await clerk.deliver(message)).body.outcome);
  assert.deepEqual(outcomes, ["applied", "parked"]);
  const svixId = messages[1]?.id ?? "";

  await page.getByRole("button", { name: /^Parked/ }).click();
  await page.waitForURL(`**${DEAD_LETTERS}?outcome=parked`);
  await deadRow(page, svixId)
    .getByText("It contradicts the row, and nobody can tell which of them is newer.")
    .waitFor();
  await screenshot(page, "dead-letters-parked");
  await expectNoSeriousAxeFindings(page);
  await clerk.up();
  // Which happens by itself; a tick asks Clerk.
  const settled = async () => {
    await sql`update users set refetch_at = now() where clerk_id = ${user} and refetch_at > now()`;
    return (await event(svixId)).outcome;
  };
  await until("Clerk is asked", settled, "applied");
  await leave(user);
});

test("roles that never reached Clerk are told beside the dead letters", async ({ page }) => {
  const user = await newUser();
  await sql`
    insert into outbox (kind, user_id, payload, last_error, dead_at)
    select 'role', id, '{"role": "INSTRUCTOR"}', 'Clerk refused it', now()
    from users where clerk_id = ${user}`;
  try {
    await signIn(page, "Ada Lovelace", DEAD_LETTERS);
    await page.getByText("1 role that was set here never reached Clerk").waitFor();
    await screenshot(page, "dead-letters-roles");
    await page.getByRole("link", { name: "Show the users" }).click();
    await page.getByRole("heading", { name: "Users", level: 1 }).waitFor();
    await page.waitForURL("**/admin/users?clerkSync=dead");
  } finally {
    await sql`delete from outbox where last_error = 'Clerk refused it'`;
  }
  await leave(user);
});
