// Who may see the panel, how they come in, and what a browser has to load for it.

import assert from "node:assert/strict";
import { gzipSync } from "node:zlib";
import type { Page, Response } from "playwright-core";
import {
  expectNoSeriousAxeFindings,
  expectStableLayout,
  screenshot,
  signIn,
  test,
} from "./support/panel.ts";
import { clerk, PANEL_URL, people } from "./support/world.ts";

/** All that a first view loads may weigh so much; with Clerk's package it is 24 kB more. */
const MAX_FIRST_VIEW_KB = 225;
/** Tokens of the sign-in page live for a minute. */
const TOKEN_SECONDS = 60;

/** Where the page is, without the host. */
function addressOf(page: Page): string {
  return page.url().replace(PANEL_URL, "");
}

function users(page: Page) {
  return page.getByRole("heading", { name: "Users", level: 1 });
}

/** The functions have answered, and the panel shows whose account it is. */
function adasAccount(page: Page) {
  return page.getByRole("complementary").getByText("ada@example.com");
}

test("the sign-in page lists the users of the stand-in for Clerk, the oldest first", async ({
  page,
}) => {
  await page.goto("/admin/users");
  await page.getByRole("button", { name: "Ada Lovelace" }).waitFor();
  const { users } = await clerk.control("GET", "users");
  const names: string[] = users.map((user: { name: string }) => user.name);
  assert.equal(names[0], "Ada Lovelace");
  assert.equal(names.length, 50);
  const shown = await page.getByRole("listitem").allInnerTexts();
  assert.equal(shown.length, names.length);
  for (const [n, text] of shown.entries()) assert.ok(text.includes(names[n] ?? ""), text);
  assert.match(shown[0] ?? "", /ada@example\.com\s+ADMIN/);

  await page.reload();
  await page.getByRole("button", { name: "Ada Lovelace" }).waitFor();
  await expectStableLayout(page);
  await expectNoSeriousAxeFindings(page);
  await screenshot(page, "sign-in");
});

test("an admin who signs in sees the users", async ({ page }) => {
  await signIn(page, "Ada Lovelace", "/admin");
  await users(page).waitFor();
  assert.equal(addressOf(page), "/admin/users");
  await page.getByRole("table").waitFor();
  await page.reload();
  await users(page).waitFor();
  assert.equal(addressOf(page), "/admin/users");
});

test("who is no admin sees a page that says so, and no table", async ({ page, expectProblem }) => {
  expectProblem(/status of 403/);
  assert.equal(await clerk.roleOf(people.grace), "STUDENT");
  await signIn(page, "Grace");
  await page.getByRole("heading", { name: "This panel is for admins" }).waitFor();
  assert.equal(await page.getByRole("table").count(), 0);
  assert.equal(await page.getByRole("navigation").count(), 0);
  assert.ok(await page.getByText(people.grace).isVisible());
  await expectNoSeriousAxeFindings(page);
  await screenshot(page, "not-an-admin");

  await page.getByRole("button", { name: "Sign in as somebody else" }).click();
  await page.getByRole("button", { name: "Ada Lovelace" }).click();
  await users(page).waitFor();
});

test("who becomes an admin while they wait is let in", async ({ page, expectProblem }) => {
  expectProblem(/status of 403/);
  await signIn(page, "Edsger");
  await page.getByRole("heading", { name: "This panel is for admins" }).waitFor();
  await clerk.setRole(people.edsger, "ADMIN");
  await clerk.delivered();
  await page.getByRole("button", { name: "Try again" }).click();
  await users(page).waitFor();
  await clerk.setRole(people.edsger, "STUDENT");
  await clerk.delivered();
});

test("whoever signs out is out, and nothing of the panel is left", async ({ page }) => {
  await signIn(page, "Ada Lovelace");
  await adasAccount(page).waitFor();
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.getByRole("heading", { name: "Sign in" }).waitFor();
  assert.equal(await page.getByRole("table").count(), 0);
  await page.goto("/admin/users");
  await page.getByRole("heading", { name: "Sign in" }).waitFor();
});

test("an address with all that it says is kept while somebody signs in", async ({ page }) => {
  const address = "/admin/sync/events?outcome=dead";
  await signIn(page, "Ada Lovelace", address);
  await page.getByRole("heading", { name: "Events", level: 1 }).waitFor();
  assert.equal(addressOf(page), address);
});

test("an address that is none leads to a page that says so", async ({ page }) => {
  await signIn(page, "Ada Lovelace", "/admin/nothing");
  await page.getByRole("heading", { name: "Nothing here" }).waitFor();
  await page.getByRole("link", { name: "To the users" }).click();
  await users(page).waitFor();
});

test("a token that runs out is renewed before it is refused", async ({ page }) => {
  const tokens: string[] = [];
  const refused: string[] = [];
  page.on("request", (request) => {
    const token = request.headers().authorization;
    if (token && !tokens.includes(token)) tokens.push(token);
  });
  page.on("response", (response) => {
    if (response.status() === 401) refused.push(response.url());
  });
  await page.clock.install();
  await signIn(page, "Ada Lovelace");
  await adasAccount(page).waitFor();
  assert.equal(tokens.length, 1);

  await page.clock.fastForward(1000 * (TOKEN_SECONDS + 1));
  const answer = page.waitForResponse((it) => it.url().includes("/api/admin/sync/events"));
  await page.getByRole("link", { name: "Events" }).click();
  assert.equal((await answer).status(), 200);
  assert.equal(tokens.length, 2);
  assert.deepEqual(refused, []);
});

test("a token that is refused all the same is renewed once, and nobody notices", async ({
  page,
  expectProblem,
}) => {
  expectProblem(/status of 401/);
  let nTokens = 0;
  await page.route("/_emulator/tokens", async (route) => {
    nTokens += 1;
    if (nTokens > 1) return route.continue();
    // The first one has run out before it is used.
    const body = { ...route.request().postDataJSON(), expires_in_seconds: -TOKEN_SECONDS };
    return route.continue({ postData: JSON.stringify(body) });
  });
  await signIn(page, "Ada Lovelace");
  await adasAccount(page).waitFor();
  assert.ok(nTokens >= 2, `${nTokens} tokens`);
});

test("every answer has the headers that keep the panel to itself", async ({ page }) => {
  const answers: Response[] = [];
  page.on("response", (response) => answers.push(response));
  await signIn(page, "Ada Lovelace");
  await adasAccount(page).waitFor();
  const ours = answers.filter((answer) => {
    const { origin, pathname } = new URL(answer.url());
    return origin === PANEL_URL && !/^\/(api|_emulator)\//.test(pathname);
  });
  assert.ok(ours.length >= 3, "the page, a script, a style sheet");
  for (const answer of ours) {
    const headers = await answer.allHeaders();
    const policy = new Map(
      (headers["content-security-policy"] ?? "").split("; ").map((directive) => {
        const [name, ...sources] = directive.split(" ");
        return [name, sources.join(" ")];
      }),
    );
    assert.equal(policy.get("default-src"), "'none'", answer.url());
    assert.equal(policy.get("script-src"), "'self'", answer.url());
    assert.equal(policy.get("style-src"), "'self'", answer.url());
    assert.equal(policy.get("connect-src"), "'self'", answer.url());
    assert.equal(policy.get("base-uri"), "'none'", answer.url());
    assert.equal(policy.get("frame-ancestors"), "'none'", answer.url());
    assert.equal(headers["x-content-type-options"], "nosniff", answer.url());
    assert.equal(headers["x-frame-options"], "DENY", answer.url());
    assert.equal(headers["referrer-policy"], "strict-origin-when-cross-origin", answer.url());
    assert.match(headers["strict-transport-security"] ?? "", /max-age=\d{8}/, answer.url());
  }
});

test("no secret is in what the browser loads", async ({ page }) => {
  const texts = await loadedBy(page, async () => {
    await signIn(page, "Ada Lovelace");
    await adasAccount(page).waitFor();
  });
  assert.ok(texts.size > 2);
  for (const [url, text] of texts) {
    assert.doesNotMatch(text, /sk_(test|live)_|whsec_|postgres(ql)?:\/\//, url);
  }
});

test("all that the first view loads weighs less than 225 kB", async ({ page }) => {
  const texts = await loadedBy(page, async () => {
    await signIn(page, "Ada Lovelace");
    await page.getByRole("table").waitFor();
  });
  let total = 0;
  for (const [url, text] of texts) {
    const size = gzipSync(text, { level: 9 }).length;
    total += size;
    console.log(`${(size / 1000).toFixed(1).padStart(8)} kB  ${url.replace(PANEL_URL, "")}`);
  }
  console.log(`${(total / 1000).toFixed(1).padStart(8)} kB  in all, with gzip`);
  assert.ok(total > 10_000, "the page loaded something");
  assert.ok(total < 1000 * MAX_FIRST_VIEW_KB, `${total} bytes`);
});

/** The page, the scripts and the styles that are loaded meanwhile, by their addresses. */
async function loadedBy(page: Page, work: () => Promise<void>): Promise<Map<string, string>> {
  const answers: Response[] = [];
  page.on("response", (response) => {
    const kind = response.request().resourceType();
    if (["document", "script", "stylesheet"].includes(kind)) answers.push(response);
  });
  await work();
  const texts = new Map<string, string>();
  for (const answer of answers) texts.set(answer.url(), await answer.text());
  return texts;
}
