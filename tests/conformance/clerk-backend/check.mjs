// Drives the emulator with Clerk's own SDK: what it asks for must come back as it expects.
// Usage: npm ci && npm test -- ../../../target/debug/clerk-emulator

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createServer } from "node:http";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { createClerkClient, verifyToken } from "@clerk/backend";
import { verifyWebhook } from "@clerk/backend/webhooks";

const binary = process.argv[2] ?? "../../../target/debug/clerk-emulator";
const emulator = spawn(binary, ["--listen", "127.0.0.1:0"], { stdio: ["ignore", "pipe", "inherit"] });
const [line] = await once(createInterface({ input: emulator.stdout }), "line");
const { url, secretKey, jwtKey, issuer, webhookSecret } = JSON.parse(line);

const clerk = createClerkClient({ secretKey, apiUrl: url, telemetry: { disabled: true } });
const control = async (path, body) => {
  const response = await fetch(`${url}/_emulator${path}`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  assert.equal(response.status, 200, path);
  return response.json();
};
const refusal = async (promise) => {
  const error = await promise.then(() => assert.fail("it was not refused"), (error) => error);
  return { status: error.status, code: error.errors?.[0]?.code, retryAfter: error.retryAfter };
};
const reasons = async (promise) => {
  const error = await promise.then(() => assert.fail("it was not refused"), (error) => error);
  return error.errors.map(({ code, meta }) => [error.status, code, meta.paramName]);
};

const checks = {
  async "a user is made, read, found, changed and deleted"() {
    const ada = await clerk.users.createUser({
      emailAddress: ["ada@example.com"],
      firstName: "Ada",
      externalId: "1",
      publicMetadata: { role: "STUDENT", a: { b: 1, c: 2 } },
    });
    assert.equal(ada.primaryEmailAddress.emailAddress, "ada@example.com");
    assert.equal(ada.primaryEmailAddress.verification.status, "verified");
    assert.equal((await clerk.users.getUser(ada.id)).firstName, "Ada");

    const merged = await clerk.users.updateUserMetadata(ada.id, {
      publicMetadata: { role: "ADMIN", a: { b: null } },
    });
    assert.deepEqual(merged.publicMetadata, { role: "ADMIN", a: { c: 2 } });
    const renamed = await clerk.users.updateUser(ada.id, { lastName: "Lovelace" });
    assert.equal(renamed.fullName, "Ada Lovelace");
    assert.ok(renamed.updatedAt >= ada.updatedAt);

    const list = await clerk.users.getUserList({ userId: [ada.id, "user_nobody"], limit: 5 });
    assert.deepEqual([list.data.length, list.totalCount], [1, 1]);
    const found = await clerk.users.getUserList({ emailAddress: ["ada@example.com"], orderBy: "-updated_at" });
    assert.equal(found.data[0].id, ada.id);
    assert.equal((await clerk.users.banUser(ada.id)).banned, true);
    assert.equal((await clerk.users.unbanUser(ada.id)).banned, false);
    assert.equal((await clerk.users.lockUser(ada.id)).locked, true);
    assert.equal((await clerk.users.unlockUser(ada.id)).locked, false);

    const deleted = await clerk.users.deleteUser(ada.id);
    assert.equal(deleted.deleted, true);
    assert.deepEqual(await refusal(clerk.users.getUser(ada.id)), {
      status: 404, code: "resource_not_found", retryAfter: undefined,
    });
  },

  async "a taken address is refused with its code"() {
    const user = { emailAddress: ["taken@example.com"] };
    await clerk.users.createUser(user);
    const { status, code } = await refusal(clerk.users.createUser(user));
    assert.deepEqual([status, code], [422, "form_identifier_exists"]);
  },

  async "addresses are added, made primary and removed"() {
    const user = await clerk.users.createUser({ emailAddress: ["one@example.com"] });
    const address = await clerk.emailAddresses.createEmailAddress({
      userId: user.id, emailAddress: "two@example.com", verified: true, primary: true,
    });
    assert.equal((await clerk.emailAddresses.getEmailAddress(address.id)).emailAddress, "two@example.com");
    const changed = await clerk.users.getUser(user.id);
    assert.equal(changed.primaryEmailAddress.emailAddress, "two@example.com");
    await clerk.emailAddresses.deleteEmailAddress(address.id);
    assert.equal((await clerk.users.getUser(user.id)).emailAddresses.length, 1);
  },

  async "an invitation is sent, listed and revoked"() {
    const invitation = await clerk.invitations.createInvitation({
      emailAddress: "new@example.com", publicMetadata: { role: "STUDENT" },
    });
    const list = await clerk.invitations.getInvitationList({ status: "pending" });
    assert.deepEqual([list.data[0].id, list.totalCount], [invitation.id, 1]);
    assert.equal((await clerk.invitations.revokeInvitation(invitation.id)).status, "revoked");
    const again = await refusal(clerk.invitations.revokeInvitation(invitation.id));
    assert.deepEqual([again.status, again.code], [400, "invitation_already_revoked"]);
    const query = "new@example.com";
    assert.equal((await clerk.invitations.getInvitationList({ query })).totalCount, 0);
    const revoked = await clerk.invitations.getInvitationList({ query, status: "revoked" });
    assert.deepEqual(revoked.data.map((one) => [one.id, one.revoked]), [[invitation.id, true]]);
  },

  async "an invitation that was accepted is not revoked, and whoever accepted it is found"() {
    const invitation = await clerk.invitations.createInvitation({
      emailAddress: "guest@example.com", publicMetadata: { role: "STUDENT" }, notify: false, expiresInDays: 7,
    });
    const names = { first_name: "Grace", last_name: "Hopper" };
    const { id } = await control(`/invitations/${invitation.id}/accept`, names);
    const guest = await clerk.users.getUser(id);
    assert.deepEqual([guest.fullName, guest.publicMetadata], ["Grace Hopper", { role: "STUDENT" }]);
    const accepted = await clerk.invitations.getInvitationList({ query: invitation.id, status: "accepted" });
    assert.deepEqual(accepted.data.map((one) => one.emailAddress), ["guest@example.com"]);
    const late = await refusal(clerk.invitations.revokeInvitation(invitation.id));
    assert.deepEqual([late.status, late.code], [400, "invitation_already_accepted"]);
  },

  async "a weak password is refused with all its reasons, and a good one is taken"() {
    const user = await clerk.users.createUser({ emailAddress: ["engine@example.com"] });
    assert.equal(user.passwordEnabled, false);
    const change = (password) => clerk.users.updateUser(user.id, { firstName: "Ada", password });
    for (const [password, code] of [
      ["short", "form_password_length_too_short"],
      ["long ".repeat(15), "form_password_length_too_long"],
      ["password123", "form_password_pwned"],
      ["Engine@example.com", "form_password_matches_identifier"],
    ]) {
      assert.deepEqual(await reasons(change(password)), [[422, code, "password"]]);
    }
    await control("/strict-passwords", { on: true });
    assert.deepEqual(await reasons(change("engines1")), [
      [422, "form_password_no_uppercase", "password"],
      [422, "form_password_no_special_char", "password"],
    ]);
    assert.equal((await clerk.users.getUser(user.id)).firstName, null);
    assert.equal((await change("Engines1!")).passwordEnabled, true);
    await control("/strict-passwords", { on: false });
  },

  async "who comes from a directory is neither renamed nor deleted"() {
    const scim = { directory_id: "dir_1", directory_enabled: true };
    const { users: [{ id }] } = await control("/seed", { users: [{ scim }] });
    const managed = { status: 409, code: "user_managed_by_scim", retryAfter: undefined };
    assert.deepEqual(await refusal(clerk.users.updateUser(id, { firstName: "Ada" })), managed);
    assert.deepEqual(await refusal(clerk.users.deleteUser(id)), managed);
    const nobody = await refusal(clerk.users.deleteUser("user_nobody"));
    assert.deepEqual([nobody.status, nobody.code], [404, "resource_not_found"]);
  },

  async "an organization is made, read, listed, changed and deleted"() {
    const ada = await clerk.users.createUser({ emailAddress: ["founder@example.com"] });
    const acme = await clerk.organizations.createOrganization({
      name: "Acme Corp", slug: "acme-corp", createdBy: ada.id, maxAllowedMemberships: 2,
      publicMetadata: { a: { b: 1, c: 2 } }, privateMetadata: { crm: "1" },
    });
    assert.deepEqual([acme.slug, acme.createdBy, acme.privateMetadata], ["acme-corp", ada.id, { crm: "1" }]);
    const found = await clerk.organizations.getOrganization({ slug: "acme-corp", includeMembersCount: true });
    assert.deepEqual([found.id, found.membersCount, found.maxAllowedMemberships], [acme.id, 1, 2]);

    const renamed = await clerk.organizations.updateOrganization(acme.id, { name: "Acme", slug: "acme" });
    assert.deepEqual([renamed.name, renamed.slug], ["Acme", "acme"]);
    const merged = await clerk.organizations.updateOrganizationMetadata(acme.id, {
      publicMetadata: { a: { b: null } },
    });
    assert.deepEqual(merged.publicMetadata, { a: { c: 2 } });
    const replaced = await clerk.organizations.replaceOrganizationMetadata(acme.id, { publicMetadata: { d: 3 } });
    assert.deepEqual([replaced.publicMetadata, replaced.privateMetadata], [{ d: 3 }, { crm: "1" }]);

    const other = await clerk.organizations.createOrganization({ name: "Other" });
    assert.equal(other.slug, "other");
    const list = await clerk.organizations.getOrganizationList({ orderBy: "name", limit: 1, includeMembersCount: true });
    assert.deepEqual([list.data[0].id, list.data[0].membersCount, list.totalCount], [acme.id, 1, 2]);
    const own = await clerk.organizations.getOrganizationList({ userId: [ada.id] });
    assert.deepEqual(own.data.map((one) => one.id), [acme.id]);
    const taken = await refusal(clerk.organizations.createOrganization({ name: "Acme", slug: "acme" }));
    assert.deepEqual([taken.status, taken.code], [422, "form_identifier_exists"]);

    const deleted = await clerk.organizations.deleteOrganization(acme.id);
    assert.deepEqual([deleted.id, deleted.deleted], [acme.id, true]);
    const { status, code } = await refusal(clerk.organizations.getOrganization({ organizationId: acme.id }));
    assert.deepEqual([status, code], [404, "resource_not_found"]);
    await clerk.organizations.deleteOrganization(other.id);
  },

  async "members are added, listed page by page, changed and removed"() {
    const people = [];
    for (const name of ["anna", "bert", "cleo"]) {
      people.push(await clerk.users.createUser({ emailAddress: [`${name}@members.example`], firstName: name }));
    }
    const [anna, bert, cleo] = people.map((person) => person.id);
    const { id: organizationId } = await clerk.organizations.createOrganization({ name: "Team", createdBy: anna });
    const joined = await clerk.organizations.createOrganizationMembership({
      organizationId, userId: bert, role: "org:member", publicMetadata: { a: 1 },
    });
    assert.deepEqual([joined.role, joined.permissions.length], ["org:member", 2]);
    assert.deepEqual([joined.publicUserData.userId, joined.organization.id], [bert, organizationId]);
    assert.equal(joined.publicUserData.identifier, "bert@members.example");
    await clerk.organizations.createOrganizationMembership({ organizationId, userId: cleo, role: "org:member" });
    const again = await refusal(
      clerk.organizations.createOrganizationMembership({ organizationId, userId: cleo, role: "org:member" }),
    );
    assert.deepEqual([again.status, again.code], [400, "already_a_member_in_organization"]);

    const names = [];
    for (let offset = 0; offset < 3; offset += 2) {
      const page = await clerk.organizations.getOrganizationMembershipList({
        organizationId, limit: 2, offset, orderBy: "first_name",
      });
      assert.equal(page.totalCount, 3);
      names.push(...page.data.map((member) => member.publicUserData.firstName));
    }
    assert.deepEqual(names, ["anna", "bert", "cleo"]);
    const list = async (filter) => {
      const { data } = await clerk.organizations.getOrganizationMembershipList({ organizationId, ...filter });
      return data.map((member) => member.publicUserData.userId);
    };
    assert.deepEqual(await list({ role: ["org:admin"] }), [anna]);
    assert.deepEqual(await list({ userId: [bert, "user_nobody"] }), [bert]);
    assert.deepEqual(await list({ emailAddress: ["cleo@members.example"] }), [cleo]);
    assert.deepEqual(await list({ query: "ann" }), [anna]);
    const ofBert = await clerk.users.getOrganizationMembershipList({ userId: bert, limit: 10 });
    assert.deepEqual([ofBert.data[0].id, ofBert.totalCount], [joined.id, 1]);
    const all = await clerk.organizations.getInstanceOrganizationMembershipList({ limit: 500 });
    assert.equal(all.totalCount, 3);

    const promoted = await clerk.organizations.updateOrganizationMembership({
      organizationId, userId: bert, role: "org:admin",
    });
    assert.deepEqual([promoted.id, promoted.role], [joined.id, "org:admin"]);
    const merged = await clerk.organizations.updateOrganizationMembershipMetadata({
      organizationId, userId: bert, publicMetadata: { a: null, b: 2 },
    });
    assert.deepEqual(merged.publicMetadata, { b: 2 });
    const removed = await clerk.organizations.deleteOrganizationMembership({ organizationId, userId: bert });
    assert.deepEqual([removed.id, removed.role], [joined.id, "org:admin"]);
    const gone = await refusal(clerk.organizations.deleteOrganizationMembership({ organizationId, userId: bert }));
    assert.deepEqual([gone.status, gone.code], [404, "resource_not_found"]);

    const { jwt } = await control("/tokens", { user_id: anna, organization_id: organizationId });
    const request = new Request("http://localhost:3000/", { headers: { authorization: `Bearer ${jwt}` } });
    const publishableKey = `pk_test_${btoa("emulator.clerk.accounts.dev$")}`;
    const auth = (await clerk.authenticateRequest(request, { jwtKey, publishableKey })).toAuth();
    assert.deepEqual([auth.userId, auth.orgId, auth.orgSlug, auth.orgRole], [anna, organizationId, "team", "org:admin"]);
    assert.equal(auth.has({ role: "org:admin" }), true);
  },

  async "a token verifies with the key, and with the key set"() {
    const user = await clerk.users.createUser({ emailAddress: ["token@example.com"] });
    const { jwt } = await control("/tokens", { user_id: user.id, azp: "http://localhost:3000" });
    const authorizedParties = ["http://localhost:3000"];
    const byKey = await verifyToken(jwt, { jwtKey, authorizedParties });
    assert.deepEqual([byKey.sub, byKey.iss], [user.id, issuer]);
    const byKeySet = await verifyToken(jwt, { secretKey, apiUrl: url, authorizedParties });
    assert.equal(byKeySet.sub, user.id);
    await assert.rejects(verifyToken(jwt, { jwtKey, authorizedParties: ["https://other.example"] }));

    const session = (await clerk.sessions.getSessionList({ userId: user.id })).data[0];
    const fresh = await clerk.sessions.getToken(session.id);
    assert.equal((await verifyToken(fresh.jwt, { jwtKey })).sid, session.id);

    const request = new Request("http://localhost:3000/", { headers: { authorization: `Bearer ${jwt}` } });
    const publishableKey = `pk_test_${btoa("emulator.clerk.accounts.dev$")}`;
    const state = await clerk.authenticateRequest(request, { jwtKey, publishableKey, authorizedParties });
    assert.deepEqual([state.status, state.toAuth().userId], ["signed-in", user.id]);
  },

  async "the wrong key is refused, and a limit says when to come back"() {
    const stranger = createClerkClient({ secretKey: "sk_test_other", apiUrl: url, telemetry: { disabled: true } });
    const { status, code } = await refusal(stranger.users.getUserList());
    assert.deepEqual([status, code], [401, "clerk_key_invalid"]);
    await control("/faults", { times: 1, effect: { status: 429, retry_after: 7 } });
    assert.deepEqual(await refusal(clerk.users.getCount()), {
      status: 429, code: "too_many_requests", retryAfter: 7,
    });
  },

  async "a webhook passes the SDK's verification, and a changed one does not"() {
    const received = [];
    const server = createServer((request, response) => {
      let body = "";
      request.on("data", (chunk) => (body += chunk));
      request.on("end", () => {
        received.push({ headers: request.headers, body });
        response.writeHead(204).end();
      });
    }).listen(0, "127.0.0.1");
    await once(server, "listening");
    const endpoint = `http://127.0.0.1:${server.address().port}/`;
    await control("/endpoints", { url: endpoint, secret: webhookSecret });
    const user = await clerk.users.createUser({ emailAddress: ["hook@example.com"], privateMetadata: { a: "<&>" } });
    while (received.length === 0) await new Promise((resolve) => setTimeout(resolve, 10));
    server.close();

    const [{ headers, body }] = received;
    const delivery = (text) => new Request(endpoint, { method: "POST", headers, body: text });
    const event = await verifyWebhook(delivery(body), { signingSecret: webhookSecret });
    assert.deepEqual([event.type, event.data.id], ["user.created", user.id]);
    assert.deepEqual(event.data.private_metadata, { a: "<&>" });
    await assert.rejects(verifyWebhook(delivery(`${body} `), { signingSecret: webhookSecret }));
  },
};

// However this ends, also by a rejection that nobody awaits.
process.on("exit", () => emulator.kill());
for (const [name, check] of Object.entries(checks)) {
  await check();
  console.log(`ok - ${name}`);
}
emulator.kill();
