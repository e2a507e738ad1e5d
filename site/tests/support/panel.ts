// The panel in a real browser, as people use it.
//
//   test("an admin sees the users", async ({ page }) => {
//     await signIn(page, "Ada Lovelace");
//     await page.getByRole("heading", { name: "Users" }).waitFor();
//   });
//
// A test fails when the page logs an error, throws one, breaks its own policy, or asks a host other
// than the panel's, unless the test said that it expects that.

import assert from "node:assert/strict";
import { mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, test as nodeTest } from "node:test";
import axe from "axe-core";
import { type Browser, type BrowserContext, chromium, type Page } from "playwright-core";
import { clerk, PANEL_URL } from "./world.ts";

const RESULTS = join(import.meta.dirname, "..", "..", "test-results");
const SCREENSHOTS = join(RESULTS, "screenshots");
const FAILURES = join(RESULTS, "failures");

const DESKTOP = { width: 1280, height: 800 };
const PHONE = { width: 390, height: 844 };
const TEST_TIMEOUT_MS = 90_000;
/** How long a click may wait for what it clicks at. */
const PATIENCE_MS = 15_000;

/** The layout may move so much in a first view. */
const MAX_LAYOUT_SHIFT = 0.01;

/** What a test gets. */
export interface Panel {
  page: Page;
  /** This one problem, or many that look like it, are part of the test. */
  expectProblem(pattern: RegExp): void;
}

let browser: Promise<Browser> | undefined;

function theBrowser(): Promise<Browser> {
  const executablePath = process.env.CHROMIUM;
  assert.ok(executablePath, "CHROMIUM is not set: the path of a Chromium, such as Debian's");
  const isRoot = process.getuid?.() === 0;
  // A container's /dev/shm is too small for it.
  const args = ["--disable-dev-shm-usage", ...(isRoot ? ["--no-sandbox"] : [])];
  browser ??= chromium.launch({ executablePath, args });
  return browser;
}

after(async () => (await browser)?.close());

/** A test with a page of its own, in which nobody is signed in. Clerk is as it should be before it. */
export function test(name: string, body: (panel: Panel) => Promise<void>): void {
  nodeTest(name, { timeout: TEST_TIMEOUT_MS }, async () => {
    await clerk.calm();
    for (const kind of ["txt", "png"]) await rm(`${failureOf(name)}.${kind}`, { force: true });
    const context = await (await theBrowser()).newContext({
      baseURL: PANEL_URL,
      viewport: DESKTOP,
      colorScheme: "light",
      locale: "en-GB",
      reducedMotion: "reduce",
      timezoneId: "UTC",
    });
    context.setDefaultTimeout(PATIENCE_MS);
    const problems: string[] = [];
    const expected: RegExp[] = [];
    await watch(context, problems);
    const page = await context.newPage();
    try {
      await body({ page, expectProblem: (pattern) => expected.push(pattern) });
      const isUnexpected = (problem: string) => !expected.some((pattern) => pattern.test(problem));
      assert.deepEqual(problems.filter(isUnexpected), [], "the page had problems");
    } catch (error) {
      await keep(name, page, problems, error);
      throw error;
    } finally {
      await context.close();
    }
  });
}

/** Writes down all that goes wrong in the pages of this context. */
async function watch(context: BrowserContext, problems: string[]): Promise<void> {
  context.on("console", (message) => {
    if (message.type() !== "error") return;
    problems.push(`console: ${message.text()} (${message.location().url})`);
  });
  context.on("weberror", (error) => problems.push(`error: ${error.error()}`));
  await context.route(
    (url) => url.origin !== PANEL_URL && url.protocol.startsWith("http"),
    async (route) => {
      problems.push(`asked another host: ${route.request().url()}`);
      await route.abort();
    },
  );
  await context.addInitScript(observe);
}

interface Observed {
  layoutShift: number;
  shifted: string[];
}

/** Runs in the page before anything else does: counts layout shifts, reports breaches of the policy. */
function observe(): void {
  window.addEventListener("securitypolicyviolation", (event) => {
    console.error(`content security policy: ${event.violatedDirective} ${event.blockedURI}`);
  });
  const observed: Observed = { layoutShift: 0, shifted: [] };
  Object.assign(window, { observed });
  interface LayoutShift extends PerformanceEntry {
    value: number;
    hadRecentInput: boolean;
    sources: { node: Node | null }[];
  }
  const count = (entry: LayoutShift) => {
    if (entry.hadRecentInput) return;
    observed.layoutShift += entry.value;
    for (const { node } of entry.sources) {
      const element = node instanceof Element ? node : node?.parentElement;
      const text = element?.textContent?.slice(0, 40) ?? "";
      observed.shifted.push(`${element?.tagName.toLowerCase()} "${text}"`);
    }
  };
  const observer = new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) count(entry as LayoutShift);
  });
  observer.observe({ type: "layout-shift", buffered: true });
}

/** Where it is kept what the page looked like when this test failed, without the ending. */
function failureOf(name: string): string {
  return join(FAILURES, name.replaceAll(/[^a-z0-9]+/gi, "-").slice(0, 80));
}

/** Keeps what the page looked like when the test failed. */
async function keep(name: string, page: Page, problems: string[], error: unknown): Promise<void> {
  await mkdir(FAILURES, { recursive: true });
  const file = failureOf(name);
  const lines = [name, "", page.url(), "", String(error), "", ...problems, ""];
  await writeFile(`${file}.txt`, lines.join("\n"));
  // The page itself may be what broke.
  await page.screenshot({ path: `${file}.png` }).catch(() => undefined);
  console.error(`${name}: failed at ${page.url()}; see ${file}.png and .txt`);
}

/** Goes to an address and signs in there, as this person, on the sign-in page. */
export async function signIn(page: Page, name: string, path = "/admin/users"): Promise<void> {
  await page.goto(path);
  await page.getByRole("heading", { name: "Sign in" }).waitFor();
  await page.getByRole("button", { name }).click();
  await page.getByRole("heading", { name: "Sign in" }).waitFor({ state: "detached" });
}

/** The page as it is, in light and dark, has no finding of axe's that is serious or critical. */
export async function expectNoSeriousAxeFindings(page: Page): Promise<void> {
  const found: string[] = [];
  for (const colorScheme of ["light", "dark"] as const) {
    await show(page, colorScheme);
    for (const finding of await axeFindings(page)) found.push(`${colorScheme}: ${finding}`);
  }
  await show(page, "light");
  assert.deepEqual(found, [], `axe has serious findings at ${page.url()}`);
}

/** Shows the page in light or dark, and waits until it does. */
async function show(page: Page, colorScheme: "light" | "dark"): Promise<void> {
  await page.emulateMedia({ colorScheme });
  await page.evaluate(async () => {
    const ends = (it: Animation) => Number.isFinite(Number(it.effect?.getComputedTiming().endTime));
    // Asking for them brings the styles up to date. One may set off another: what is inherited changes
    // in an element when it has changed in the one around it.
    for (;;) {
      const animations = document.getAnimations().filter(ends);
      if (animations.length === 0) return;
      await Promise.allSettled(animations.map((animation) => animation.finished));
    }
  });
}

async function axeFindings(page: Page): Promise<string[]> {
  // The debugger's way in, which the page's policy does not cover.
  if (!(await page.evaluate(() => "axe" in window))) await page.evaluate(axe.source);
  return await page.evaluate(async () => {
    const { axe } = window as unknown as { axe: typeof import("axe-core") };
    const { violations } = await axe.run(document, { resultTypes: ["violations"] });
    const isSerious = (impact: unknown) => impact === "serious" || impact === "critical";
    return violations
      .filter(({ impact }) => isSerious(impact))
      .flatMap(({ id, help, nodes }) =>
        nodes.map((node) => {
          const why = [...node.any, ...node.all, ...node.none][0]?.message ?? help;
          return `${id} at ${node.target.join(" ")}: ${why}`;
        }),
      );
  });
}

/** Keeps the page as it looks: in light, in dark, and on a phone. */
export async function screenshot(page: Page, name: string): Promise<void> {
  await mkdir(SCREENSHOTS, { recursive: true });
  await page.evaluate(() => document.fonts.ready);
  const take = (how: string) =>
    page.screenshot({
      path: join(SCREENSHOTS, `${name}-${how}.png`),
      fullPage: true,
      animations: "disabled",
    });
  await take("light");
  await show(page, "dark");
  await take("dark");
  await show(page, "light");
  await page.setViewportSize(PHONE);
  await take("phone");
  await page.setViewportSize(DESKTOP);
}

/** How much the layout has moved by itself since the page was opened. */
export async function layoutShift(page: Page): Promise<Observed> {
  return await page.evaluate(() => (window as unknown as { observed: Observed }).observed);
}

/** What is there when a view is first opened stays where it is. */
export async function expectStableLayout(page: Page): Promise<void> {
  const { layoutShift: value, shifted } = await layoutShift(page);
  const what = `at ${page.url()} the layout moved by ${value.toFixed(4)}: ${shifted.join(", ")}`;
  assert.ok(value < MAX_LAYOUT_SHIFT, what);
}
