// The other sides of the panel: Clerk (its stand-in), the database, and the functions themselves.
// `scripts/dev --then` says where they are.

import assert from "node:assert/strict";
import { createHmac, randomUUID } from "node:crypto";
import { after } from "node:test";
import postgres from "postgres";

function setting(name: string): string {
  const value = process.env[name];
  if (value) return value;
  throw new Error(
    `${name} is not set. Run these tests with: scripts/dev --then npm --prefix site test`,
  );
}

/** Where the panel is. */
export const PANEL_URL = setting("PANEL_URL");
const GATEWAY_URL = setting("GATEWAY_URL");
const EMULATOR_URL = setting("EMULATOR_URL");
const SECRET_KEY = setting("CLERK_SECRET_KEY");
const WEBHOOK_SECRET = setting("CLERK_WEBHOOK_SECRET");

const PATIENCE_MS = 20_000;
const LOOK_AGAIN_MS = 50;

/** Whom the demo data names; what `scripts/dev` shows before the tests leaves them like this. */
export const people = {
  /** The admin as whom the tests sign in. */
  ada: "user_2demoAda0000000000000000001",
  /** A student. */
  grace: "user_2demoGrace00000000000000002",
  /** A student. */
  edsger: "user_2demoEdsger0000000000000003",
  /** An instructor. */
  alan: "user_2demoAlan000000000000000004",
} as const;

export type Role = "STUDENT" | "INSTRUCTOR" | "ADMIN";

interface Answer {
  status: number;
  // biome-ignore lint/suspicious/noExplicitAny: tests assert what is in an answer.
  body: any;
}

/** One HTTP call; the answer, whatever its status. */
async function http(
  method: string,
  url: string,
  body?: unknown,
  headers: Record<string, string> = {},
): Promise<Answer> {
  const content = body === undefined ? {} : { "content-type": "application/json" };
  const response = await fetch(url, {
    method,
    headers: { ...content, ...headers },
    body: body === undefined ? null : typeof body === "string" ? body : JSON.stringify(body),
  });
  const text = await response.text();
  return { status: response.status, body: text === "" ? null : JSON.parse(text) };
}

/** The body of an answer that is no refusal. */
async function done(what: string, call: Promise<Answer>) {
  const { status, body } = await call;
  assert.ok(status < 300, `${what}: ${status} ${JSON.stringify(body)}`);
  return body;
}

/** Looks until it sees what is wanted; until then it may also fail. */
export async function until<T>(what: string, look: () => Promise<T>, wanted: T): Promise<void> {
  const deadline = Date.now() + PATIENCE_MS;
  for (;;) {
    try {
      assert.deepEqual(await look(), wanted);
      return;
    } catch (cause) {
      if (Date.now() > deadline) throw new Error(`not in time: ${what}`, { cause });
    }
    await new Promise((resolve) => setTimeout(resolve, LOOK_AGAIN_MS));
  }
}

// Clerk.

/** A webhook's message. */
export interface Message {
  id: string;
  event_type: string;
  body: string;
  status: "pending" | "delivered" | "failed";
}

/** What Clerk, or the network before it, does wrong. */
export interface Fault {
  match?: { method?: string; path_prefix?: string; query?: Record<string, string> };
  skip?: number;
  times?: number;
  effect:
    | { status: number; code?: string; retry_after?: number }
    | { slow_ms: number }
    | { delay_before_ms: number }
    | "drop"
    | "drop_answer";
}

/** Somebody at Clerk's dashboard, and what happens to Clerk itself. */
export const clerk = {
  control(method: string, path: string, body?: unknown) {
    return done(`${method} ${path}`, http(method, `${EMULATOR_URL}/_emulator/${path}`, body));
  },

  /** Clerk's Backend API, as an application's server calls it; the answer, whatever its status. */
  api(method: string, path: string, body?: unknown): Promise<Answer> {
    const headers = { authorization: `Bearer ${SECRET_KEY}` };
    return http(method, `${EMULATOR_URL}/v1/${path}`, body, headers);
  },

  user(id: string) {
    return done(`the user ${id} in Clerk`, clerk.api("GET", `users/${id}`));
  },

  /** The Clerk id of who has this address. */
  async idOf(email: string): Promise<string> {
    const query = `users?email_address=${encodeURIComponent(email)}`;
    const found = await done(`who has ${email}`, clerk.api("GET", query));
    assert.equal(found.length, 1, `one user has ${email}`);
    return found[0].id;
  },

  async roleOf(id: string): Promise<string | undefined> {
    return (await clerk.user(id)).public_metadata.role;
  },

  /** Sets a role in Clerk's dashboard. */
  setRole(id: string, role: string | null) {
    return clerk.control("POST", `users/${id}/role`, { role });
  },

  /** Edits a user in Clerk's dashboard: names, `email`, `banned`, `scim`, bags of metadata. */
  edit(id: string, patch: Record<string, unknown>) {
    return clerk.control("PATCH", `users/${id}`, patch);
  },

  /** Somebody signs up; their Clerk id. */
  async signUp(user: {
    email: string;
    first_name?: string;
    last_name?: string;
    role?: Role;
  }): Promise<string> {
    const { email, role, ...names } = user;
    const metadata = role ? { public_metadata: { role } } : {};
    const body = { email_address: [email], ...names, ...metadata };
    return (await done(`${email} signs up`, clerk.api("POST", "users", body))).id;
  },

  remove(id: string) {
    return done(`${id} is deleted`, clerk.api("DELETE", `users/${id}`));
  },

  /** Clerk answers 503 to everything, or nothing at all. */
  down(how: { unreachable?: boolean } = {}) {
    return clerk.control("POST", "down", how);
  },

  up() {
    return clerk.control("POST", "up", {});
  },

  fault(fault: Fault) {
    return clerk.control("POST", "faults", fault);
  },

  async messages(): Promise<Message[]> {
    return (await clerk.control("GET", "messages")).messages;
  },

  /** Does something while no webhook is delivered; the messages that it made. They stay where they are
   * until somebody delivers or loses them, or the next test begins. */
  async holdingWebhooks(work: () => Promise<unknown>): Promise<Message[]> {
    await clerk.control("POST", "auto", { on: false });
    const known = new Set((await clerk.messages()).map((message) => message.id));
    await work();
    return (await clerk.messages()).filter((message) => !known.has(message.id));
  },

  /** Does something of which no webhook ever comes. */
  async withoutWebhooks(work: () => Promise<unknown>): Promise<void> {
    for (const message of await clerk.holdingWebhooks(work)) await clerk.lose(message);
    await clerk.control("POST", "auto", { on: true });
  },

  /** Delivers a message now; what was answered. */
  async deliver(message: Message): Promise<Answer> {
    const { attempts } = await clerk.control("POST", `messages/${message.id}/deliver`, {});
    return { status: attempts[0].status, body: JSON.parse(attempts[0].body) };
  },

  lose(message: Message) {
    return clerk.control("DELETE", `messages/${message.id}`);
  },

  /** Waits until all that Clerk has to say is said. */
  delivered(): Promise<void> {
    const pending = async () =>
      (await clerk.messages()).filter((message) => message.status === "pending").length;
    return until("webhooks that are still to come", pending, 0);
  },

  async invitations(status = "pending"): Promise<{ id: string; email_address: string }[]> {
    return await done("invitations", clerk.api("GET", `invitations?status=${status}`));
  },

  /** Somebody follows the link of the invitation to this address; their new Clerk id. */
  async acceptInvitation(email: string): Promise<string> {
    const invitation = (await clerk.invitations()).find((it) => it.email_address === email);
    assert.ok(invitation, `${email} is invited`);
    return (await clerk.control("POST", `invitations/${invitation.id}/accept`, {})).id;
  },

  /** Clerk is up, its clock runs, it delivers, and does nothing wrong. */
  async calm(): Promise<void> {
    await clerk.up();
    await clerk.control("POST", "clock", { resume: true });
    await clerk.control("DELETE", "faults");
    await clerk.control("POST", "auto", { on: true });
  },
};

// The functions.

/** A session token of this user. */
export async function tokenOf(userId: string): Promise<string> {
  const body = { user_id: userId, azp: PANEL_URL };
  return (await clerk.control("POST", "tokens", body)).jwt;
}

/** A call of the functions with Ada's token; the answer, whatever its status. */
export async function api(method: string, path: string, body?: unknown): Promise<Answer> {
  const headers = { authorization: `Bearer ${await tokenOf(people.ada)}` };
  return http(method, `${GATEWAY_URL}${path}`, body, headers);
}

/** One tick of `reconcile`; another comes each second by itself. */
export async function reconcile(): Promise<void> {
  const event = {
    version: "0",
    id: randomUUID(),
    "detail-type": "Scheduled Event",
    source: "aws.events",
    account: "111122223333",
    time: new Date().toISOString(),
    region: "eu-central-1",
    resources: [],
    detail: {},
  };
  const url = `${GATEWAY_URL}/2015-03-31/functions/reconcile/invocations`;
  await done("a tick of reconcile", http("POST", url, event));
}

/** Delivers a body of our own choosing as Clerk does, signed with our secret; what was answered. */
export function sendWebhook(svixId: string, event: Record<string, unknown>): Promise<Answer> {
  const body = JSON.stringify(event);
  const timestamp = String(Math.floor(Date.now() / 1000));
  const key = Buffer.from(WEBHOOK_SECRET.replace(/^whsec_/, ""), "base64");
  const signature = createHmac("sha256", key).update(`${svixId}.${timestamp}.${body}`);
  return http("POST", `${GATEWAY_URL}/api/webhooks/clerk`, body, {
    "svix-id": svixId,
    "svix-timestamp": timestamp,
    "svix-signature": `v1,${signature.digest("base64")}`,
  });
}

/** A delivery that is signed and cannot be read: it is kept as dead. Its Svix id. */
export async function sendUnreadable(userId: string): Promise<string> {
  const svixId = `msg_${randomUUID().replaceAll("-", "")}`;
  const { body: jwks } = await clerk.api("GET", "jwks");
  const answer = await sendWebhook(svixId, {
    type: "user.updated",
    object: "event",
    // The id of its key is that of the instance.
    instance_id: jwks.keys[0].kid,
    timestamp: Date.now(),
    data: { id: userId, object: "user", updated_at: "yesterday" },
  });
  assert.deepEqual(answer, { status: 200, body: { outcome: "dead" } });
  return svixId;
}

// The database.

/** Asks the database: `await sql\`select …\``. */
export const sql = postgres(setting("DATABASE_URL"), { max: 2, onnotice: () => {} });
after(() => sql.end());

/** The row of a user, by Clerk id or address. */
export async function rowOf(idOrEmail: string) {
  const rows = await sql`
    select * from users where (clerk_id = ${idOrEmail} or email = ${idOrEmail}) and deleted_at is null`;
  assert.equal(rows.length, 1, `one row is that of ${idOrEmail}`);
  return rows[0] as postgres.Row;
}
