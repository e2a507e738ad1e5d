// The headers that the panel is served with, and what of Clerk's they allow.

import assert from "node:assert/strict";
import { test } from "node:test";
import { frontendApi, securityHeaders } from "../security-headers.ts";

const HOST = "able-owl-7.clerk.accounts.dev";
const KEY = `pk_test_${Buffer.from(`${HOST}$`).toString("base64")}`;

/** The policy, as the sources of each directive. */
function policyOf(publishableKey: string | undefined): Map<string, string[]> {
  const policy = securityHeaders(publishableKey)["Content-Security-Policy"] ?? "";
  return new Map(
    policy.split("; ").map((directive) => {
      const [name = "", ...sources] = directive.split(" ");
      return [name, sources];
    }),
  );
}

/** Which hosts are named, and where. */
function foreignIn(policy: Map<string, string[]>): string[] {
  return [...policy].flatMap(([name, sources]) =>
    sources.filter((source) => !source.startsWith("'")).map((source) => `${name} ${source}`),
  );
}

test("a publishable key says where Clerk's Frontend API is", () => {
  assert.equal(frontendApi(KEY), `https://${HOST}`);
  assert.equal(frontendApi(KEY.replace("test", "live")), `https://${HOST}`);
});

test("what is no publishable key is refused", () => {
  const encoded = (text: string) => Buffer.from(text).toString("base64");
  const others = [
    "",
    "pk_test",
    "pk_test_",
    `pk_test_${encoded(HOST)}`,
    `pk_test_${encoded("evil.example; script-src *$")}`,
    `pk_test_${encoded("$")}`,
  ];
  for (const key of others) assert.throws(() => frontendApi(key), /is no publishable key/, key);
});

test("with a key, Clerk's script and its Frontend API are allowed, and nothing else but pictures", () => {
  assert.deepEqual(foreignIn(policyOf(KEY)), [
    `script-src https://${HOST}`,
    "img-src https://img.clerk.com",
    `connect-src https://${HOST}`,
    "worker-src blob:",
  ]);
});

test("without a key, nothing foreign is allowed", () => {
  assert.deepEqual(foreignIn(policyOf(undefined)), []);
  assert.deepEqual(foreignIn(policyOf("")), []);
});

test("nothing inline, nothing that is made of text, and no host at all is allowed in general", () => {
  for (const key of [undefined, KEY]) {
    const policy = policyOf(key);
    assert.deepEqual(policy.get("default-src"), ["'none'"]);
    const sources = [...policy.values()].flat();
    for (const source of ["'unsafe-inline'", "'unsafe-eval'", "*"]) {
      assert.ok(!sources.includes(source), `${source} is allowed`);
    }
    assert.ok(!sources.some((source) => source.includes("*")));
  }
});
