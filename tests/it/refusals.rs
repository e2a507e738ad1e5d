//! What every route refuses, with which status and in which words.

use std::collections::BTreeMap;
use std::time::Duration;

use clerk_emulator::{Emulator, Fault};
use insta::assert_snapshot;
use serde_json::{Value, json};
use shared::http::BODY_LIMIT;
use tokio_postgres::types::Type;

use crate::support::TestApp;
use crate::support::database::Database;
use crate::support::gateway::{Answer, Call};

const WEBHOOK: &str = "/api/webhooks/clerk";
/// The address of nobody.
const NOBODY: &str = "00000000-0000-4000-8000-000000000000";
/// Every route that asks who is calling: those that edit profiles, those that set roles, those that
/// pull from Clerk, those that only read, and those about the synchronisation.
const GUARDED: [(&str, &str); 33] = [
    ("PATCH", "/api/users/user_1"),
    ("POST", "/api/users/user_1/email-change"),
    ("GET", "/api/users/user_1/email-change"),
    ("DELETE", "/api/users/user_1/email-change"),
    ("POST", "/api/update-clerk-user"),
    ("PATCH", "/api/admin/users/user_1"),
    ("PATCH", "/api/admin/users"),
    ("POST", "/api/sync/user"),
    ("POST", "/api/sync/user/full"),
    ("POST", "/api/sync/user/organizations"),
    ("POST", "/api/sync/user/user_1"),
    ("POST", "/api/sync/organization/org_1"),
    ("POST", "/api/sync/organization/org_1/members"),
    ("POST", "/api/sync/membership"),
    ("GET", "/api/sync/status"),
    ("GET", "/api/admin/users"),
    ("GET", "/api/admin/users/user_1"),
    ("GET", "/api/admin/organizations"),
    ("GET", "/api/admin/statistics"),
    ("GET", "/api/admin/statistics/history"),
    ("GET", "/api/admin/role-changes"),
    ("POST", "/api/admin/sync/replay"),
    ("GET", "/api/admin/sync/overview"),
    ("GET", "/api/admin/sync/activity"),
    ("GET", "/api/admin/sync/events"),
    ("GET", "/api/admin/sync/events/msg_1"),
    ("GET", "/api/admin/sync/history/user_1"),
    ("GET", "/api/admin/sync/reconcile"),
    ("POST", "/api/admin/sync/reconcile"),
    (
        "GET",
        "/api/admin/sync/reconcile/6b4c6d1e-8f0e-4f39-9d8e-111111111111",
    ),
    (
        "DELETE",
        "/api/admin/sync/reconcile/6b4c6d1e-8f0e-4f39-9d8e-111111111111",
    ),
    (
        "GET",
        "/api/admin/sync/reconcile/6b4c6d1e-8f0e-4f39-9d8e-111111111111/drift",
    ),
    (
        "POST",
        "/api/admin/sync/reconcile/6b4c6d1e-8f0e-4f39-9d8e-111111111111/repair",
    ),
];
/// How many of these, the first ones, write to Clerk or ask it.
const N_ASKING_CLERK: usize = 14;
/// Those that only admins may use, as far as others than themselves are concerned.
const FOR_ADMINS: [(&str, &str); 27] = [
    ("PATCH", "/api/users/user_1"),
    ("POST", "/api/users/user_1/email-change"),
    ("GET", "/api/users/user_1/email-change"),
    ("DELETE", "/api/users/user_1/email-change"),
    ("POST", "/api/update-clerk-user"),
    ("PATCH", "/api/admin/users/user_1"),
    ("PATCH", "/api/admin/users"),
    ("POST", "/api/sync/user/user_1"),
    ("POST", "/api/sync/membership"),
    ("GET", "/api/admin/users"),
    ("GET", "/api/admin/users/user_1"),
    ("GET", "/api/admin/organizations"),
    ("GET", "/api/admin/statistics"),
    ("GET", "/api/admin/statistics/history"),
    ("GET", "/api/admin/role-changes"),
    ("POST", "/api/admin/sync/replay"),
    ("GET", "/api/admin/sync/overview"),
    ("GET", "/api/admin/sync/activity"),
    ("GET", "/api/admin/sync/events"),
    ("GET", "/api/admin/sync/events/msg_1"),
    ("GET", "/api/admin/sync/history/user_1"),
    ("GET", "/api/admin/sync/reconcile"),
    ("POST", "/api/admin/sync/reconcile"),
    (
        "GET",
        "/api/admin/sync/reconcile/6b4c6d1e-8f0e-4f39-9d8e-111111111111",
    ),
    (
        "DELETE",
        "/api/admin/sync/reconcile/6b4c6d1e-8f0e-4f39-9d8e-111111111111",
    ),
    (
        "GET",
        "/api/admin/sync/reconcile/6b4c6d1e-8f0e-4f39-9d8e-111111111111/drift",
    ),
    (
        "POST",
        "/api/admin/sync/reconcile/6b4c6d1e-8f0e-4f39-9d8e-111111111111/repair",
    ),
];
/// Those that only members of the organization, and admins, may use.
const FOR_MEMBERS: [(&str, &str); 2] = [
    ("POST", "/api/sync/organization/org_1"),
    ("POST", "/api/sync/organization/org_1/members"),
];

/// Settings, or methods and addresses.
type Pairs<'a> = &'a [(&'a str, &'a str)];

/// What was asked and how it was refused.
#[derive(Default)]
struct Refusals(Vec<(String, Answer)>);

impl Refusals {
    fn add(&mut self, asked: impl Into<String>, answer: Answer) {
        let asked = asked.into();
        assert!(answer.status >= 400, "{asked}: {}", answer.body);
        self.0.push((asked, answer));
    }

    /// All of them as people read them.
    fn told(&self) -> String {
        let line = |(asked, answer): &(String, Answer)| {
            let fields: BTreeMap<_, _> = answer.body.as_object().expect("a body").iter().collect();
            let body = serde_json::to_string(&fields).unwrap();
            let header = |name: &str| match answer.headers[name].as_str() {
                Some(value) => format!(" {name}: {value}"),
                None => String::new(),
            };
            let headers = header("allow") + &header("retry-after");
            format!("{asked}\n  {}{headers} {body}\n", answer.status)
        };
        self.0.iter().map(line).collect()
    }
}

/// Who is asked is told by the address and the method.
async fn ask(app: &TestApp, call: &Call, method: &str, path: &str) -> Answer {
    if path.starts_with(WEBHOOK) {
        app.call_webhook(call).await
    } else if path.starts_with("/api/users") {
        app.call_update_user(call).await
    } else if path.starts_with("/api/update-clerk-user") {
        app.call_update_clerk_user(call).await
    } else if path.starts_with("/api/sync") {
        app.call_sync_user(call).await
    } else if path.starts_with("/api/admin/sync") || path.starts_with("/api/health") {
        app.call_admin_sync(call).await
    } else if method == "PATCH" {
        app.call_update_role(call).await
    } else {
        app.call_admin_users(call).await
    }
}

/// The same call at every guarded route; all refuse it in the same way.
async fn ask_everywhere(app: &TestApp, prepare: impl Fn(Call) -> Call) -> Answer {
    ask_at(app, &GUARDED, prepare).await
}

/// The same call at some routes; all refuse it in the same way.
async fn ask_at(app: &TestApp, routes: Pairs<'_>, prepare: impl Fn(Call) -> Call) -> Answer {
    let mut answers = Vec::new();
    for &(method, path) in routes {
        let call = prepare(with_good_body(Call::new(method, path), method, path));
        answers.push(ask(app, &call, method, path).await);
    }
    the_one(answers)
}

/// The answer that all of these are.
fn the_one(mut answers: Vec<Answer>) -> Answer {
    let answer = answers.pop().expect("an answer");
    for other in answers {
        assert_eq!(other, answer);
    }
    answer
}

fn with_good_body(call: Call, method: &str, path: &str) -> Call {
    match (method, path) {
        ("PATCH", "/api/admin/users") => {
            call.json(&json!({ "userIds": ["user_1"], "role": "STUDENT" }))
        }
        ("PATCH", path) if path.starts_with("/api/users") => {
            call.json(&json!({ "firstName": "Ada" }))
        }
        ("PATCH", _) => call.json(&json!({ "role": "STUDENT" })),
        ("POST", "/api/update-clerk-user") => {
            call.json(&json!({ "clerkId": "user_1", "updates": { "firstName": "Ada" } }))
        }
        ("POST", path) if path.ends_with("/email-change") => {
            call.json(&json!({ "email": "ada@example.com" }))
        }
        ("POST", "/api/admin/sync/replay") => call.json(&json!({ "svixIds": ["msg_1"] })),
        ("POST", "/api/sync/membership") => call.json(&json!({
            "clerkOrgId": "org_1", "clerkUserId": "user_1", "role": "org:member",
        })),
        _ => call,
    }
}

/// 400: who did not sign is not Clerk.
async fn unsigned() -> Refusals {
    let app = TestApp::new().await;
    let body = r#"{"type":"user.created"}"#;
    let now = Emulator::real_ms() / 1000;
    let signed = |at: i64| app.clerk.sign_body("msg_1", at, body.as_bytes());
    let renamed = |from: &str, to: &str| -> Vec<(String, String)> {
        let rename = |(name, value): (String, String)| (name.replace(from, to), value);
        signed(now).into_iter().map(rename).collect()
    };
    let with = |name: &str, value: &str| -> Vec<(String, String)> {
        let change = |(header, old): (String, String)| {
            let value = if header == name {
                value.to_owned()
            } else {
                old
            };
            (header, value)
        };
        signed(now).into_iter().map(change).collect()
    };
    let forged = "v1,AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    let cases = [
        ("no headers", Vec::new()),
        ("no svix-id", renamed("svix-id", "x-id")),
        (
            "no svix-timestamp",
            renamed("svix-timestamp", "x-timestamp"),
        ),
        (
            "no svix-signature",
            renamed("svix-signature", "x-signature"),
        ),
        ("an empty svix-signature", with("svix-signature", "")),
        ("the headers webhook-*", renamed("svix-", "webhook-")),
        ("a forged signature", with("svix-signature", forged)),
        ("a signature of no version", with("svix-signature", "v2,x")),
        ("another id than the signed one", with("svix-id", "msg_2")),
        ("a timestamp that is none", with("svix-timestamp", "today")),
        ("signed six minutes ago", signed(now - 360)),
        ("signed in six minutes", signed(now + 360)),
    ];
    let mut refusals = Refusals::default();
    for (asked, headers) in cases {
        refusals.add(asked, app.deliver_body(body, headers).await);
    }
    let changed = app.deliver_body(r#"{"type":"user.deleted"}"#, signed(now));
    refusals.add("another body than the signed one", changed.await);
    assert_eq!(app.count("inbox").await, 0);
    app.database.remove().await;
    refusals
}

#[tokio::test]
async fn a_delivery_that_clerk_did_not_sign_is_400() {
    assert_snapshot!(unsigned().await.told(), @r#"
    no headers
      400 {"code":"bad_signature","error":"The delivery lacks the header svix-id.","requestId":"request-1"}
    no svix-id
      400 {"code":"bad_signature","error":"The delivery lacks the header svix-id.","requestId":"request-1"}
    no svix-timestamp
      400 {"code":"bad_signature","error":"The delivery lacks the header svix-timestamp.","requestId":"request-1"}
    no svix-signature
      400 {"code":"bad_signature","error":"The delivery lacks the header svix-signature.","requestId":"request-1"}
    an empty svix-signature
      400 {"code":"bad_signature","error":"The delivery lacks the header svix-signature.","requestId":"request-1"}
    the headers webhook-*
      400 {"code":"bad_signature","error":"The delivery lacks the header svix-id.","requestId":"request-1"}
    a forged signature
      400 {"code":"bad_signature","error":"The signature of the delivery does not match.","requestId":"request-1"}
    a signature of no version
      400 {"code":"bad_signature","error":"The signature of the delivery does not match.","requestId":"request-1"}
    another id than the signed one
      400 {"code":"bad_signature","error":"The signature of the delivery does not match.","requestId":"request-1"}
    a timestamp that is none
      400 {"code":"bad_signature","error":"The signature of the delivery does not match.","requestId":"request-1"}
    signed six minutes ago
      400 {"code":"bad_signature","error":"The timestamp of the delivery is more than five minutes off.","requestId":"request-1"}
    signed in six minutes
      400 {"code":"bad_signature","error":"The timestamp of the delivery is more than five minutes off.","requestId":"request-1"}
    another body than the signed one
      400 {"code":"bad_signature","error":"The signature of the delivery does not match.","requestId":"request-1"}
    "#);
}

/// 401: nobody is signed in.
async fn not_signed_in() -> Refusals {
    let app = TestApp::new().await;
    let ada = app.admin("ada").await;
    let token = |claims: Value| app.clerk.session_token_with(&ada, claims);
    let with_header = |name: &str, value: Value| {
        let mut header = app.clerk.token_header();
        header[name] = value;
        app.clerk.sign_jwt(header, app.clerk.token_claims(&ada))
    };
    let good = token(json!({}));
    let spoilt = format!("{}A", &good[..good.len() - 1]);
    let long_ago = Emulator::real_ms() / 1000 - 600;
    let ago = json!({ "iat": long_ago, "nbf": long_ago, "exp": long_ago + 60 });
    let cases = [
        ("an empty token", String::new()),
        ("no JWT", "letmein".to_owned()),
        ("an expired token", token(ago)),
        (
            "a token of another issuer",
            token(json!({ "iss": "https://clerk.other.example" })),
        ),
        (
            "a token of a pending session",
            token(json!({ "sts": "pending" })),
        ),
        (
            "a token of a template",
            with_header("cat", json!("cl_B7d4PD222AAA")),
        ),
        (
            "a token signed with nothing",
            with_header("alg", json!("none")),
        ),
        (
            "a token signed with the public key",
            with_header("alg", json!("HS256")),
        ),
        (
            "a token of somebody else than a user",
            token(json!({ "sub": "mch_1" })),
        ),
    ];
    let mut refusals = Refusals::default();
    refusals.add("no token", ask_everywhere(&app, |call| call).await);
    let basic = ask_everywhere(&app, |call| call.header("authorization", "Basic YTpi"));
    refusals.add("a password", basic.await);
    let cookie = format!("__session={good}");
    let in_cookie = ask_everywhere(&app, |call| call.header("cookie", &cookie));
    refusals.add("a cookie, and no site is ours", in_cookie.await);
    for (asked, token) in cases {
        let answer = ask_everywhere(&app, |call| call.token(&token)).await;
        refusals.add(asked, answer);
    }
    if spoilt != good {
        let answer = ask_everywhere(&app, |call| call.token(&spoilt)).await;
        assert_eq!(answer.status, 401, "a spoilt signature");
    }
    app.database.remove().await;

    let app = TestApp::with(&[("CLERK_AUTHORIZED_PARTIES", "https://panel.example")]).await;
    let ada = app.admin("ada").await;
    let foreign = app.clerk.session_token(&ada);
    let answer = ask_everywhere(&app, |call| call.token(&foreign)).await;
    refusals.add("a token made for another site", answer);
    app.database.remove().await;
    refusals
}

#[tokio::test]
async fn who_is_not_signed_in_is_401_at_every_route() {
    assert_snapshot!(not_signed_in().await.told(), @r#"
    no token
      401 {"code":"not_signed_in","error":"Sign in first: this needs the token of a current session.","requestId":"request-1"}
    a password
      401 {"code":"not_signed_in","error":"Sign in first: this needs the token of a current session.","requestId":"request-1"}
    a cookie, and no site is ours
      401 {"code":"not_signed_in","error":"Sign in first: this needs the token of a current session.","requestId":"request-1"}
    an empty token
      401 {"code":"not_signed_in","error":"Sign in first: this needs the token of a current session.","requestId":"request-1"}
    no JWT
      401 {"code":"not_signed_in","error":"Sign in first: this needs the token of a current session.","requestId":"request-1"}
    an expired token
      401 {"code":"not_signed_in","error":"Sign in first: this needs the token of a current session.","requestId":"request-1"}
    a token of another issuer
      401 {"code":"not_signed_in","error":"Sign in first: this needs the token of a current session.","requestId":"request-1"}
    a token of a pending session
      401 {"code":"not_signed_in","error":"Sign in first: this needs the token of a current session.","requestId":"request-1"}
    a token of a template
      401 {"code":"not_signed_in","error":"Sign in first: this needs the token of a current session.","requestId":"request-1"}
    a token signed with nothing
      401 {"code":"not_signed_in","error":"Sign in first: this needs the token of a current session.","requestId":"request-1"}
    a token signed with the public key
      401 {"code":"not_signed_in","error":"Sign in first: this needs the token of a current session.","requestId":"request-1"}
    a token of somebody else than a user
      401 {"code":"not_signed_in","error":"Sign in first: this needs the token of a current session.","requestId":"request-1"}
    a token made for another site
      401 {"code":"not_signed_in","error":"Sign in first: this needs the token of a current session.","requestId":"request-1"}
    "#);
}

/// 403: somebody is signed in, and may not do this.
async fn not_admins() -> Refusals {
    let app = TestApp::new().await;
    app.admin("root").await;
    let student = app.user("student", Some("STUDENT")).await;
    let instructor = app.user("instructor", Some("INSTRUCTOR")).await;
    let banned = app.admin("banned").await;
    app.clerk.update_user(&banned, json!({ "banned": true }));
    let deleted = app.admin("deleted").await;
    let token_of_deleted = app.clerk.session_token(&deleted);
    app.clerk.delete_user(&deleted);
    app.deliver_all().await;
    let gone = app.admin("gone").await;
    let token_of_gone = app.clerk.session_token(&gone);
    app.clerk.delete_user(&gone);
    drop(app.clerk.take_messages());
    app.execute(
        "update users set confirmed_at = now() - interval '1 hour' where first_name = 'gone'",
    )
    .await;
    let claims = app.clerk.token_claims("user_nobody");
    let stranger = app.clerk.sign_jwt(app.clerk.token_header(), claims);
    let no_admins = [
        ("a student", app.clerk.session_token(&student)),
        ("an instructor", app.clerk.session_token(&instructor)),
        ("an admin whose end no webhook told of", token_of_gone),
        ("a user whom Clerk does not know", stranger),
    ];
    let mut refusals = Refusals::default();
    for (asked, token) in &no_admins {
        let answer = ask_at(&app, &FOR_ADMINS, |call| call.token(token)).await;
        refusals.add(*asked, answer);
    }
    for (asked, token) in &no_admins {
        let answer = ask_at(&app, &FOR_MEMBERS, |call| call.token(token)).await;
        refusals.add(format!("{asked}, and no member"), answer);
    }
    // Their own profile is theirs, and in it the names alone.
    for edit in [
        json!({ "builderGroupId": "group" }),
        json!({ "firstName": "Ada", "password": "correct horse 7" }),
        json!({ "email": "new@example.com" }),
    ] {
        let field = edit.as_object().unwrap().keys().next_back().unwrap();
        let asked = format!("a student, about their own {field}");
        refusals.add(asked, app.edit(&student, &student, edit.clone()).await);
    }
    let metadata = json!({ "publicMetadata": {} });
    let answer = app.edit_in_clerk(&student, &student, metadata).await;
    refusals.add("a student, about their own metadata", answer);
    let answer = app.email_change("GET", &student, &student, None).await;
    refusals.add("a student, about their own change of address", answer);
    let nobody = [
        ("a banned admin", app.clerk.session_token(&banned)),
        ("a deleted admin", token_of_deleted),
    ];
    for (asked, token) in nobody {
        let answer = ask_everywhere(&app, |call| call.token(&token)).await;
        refusals.add(format!("{asked}, at every route"), answer);
    }
    app.database.remove().await;
    refusals
}

#[tokio::test]
async fn who_may_not_do_this_is_403_at_every_route() {
    assert_snapshot!(not_admins().await.told(), @r#"
    a student
      403 {"code":"admin_required","error":"Only an admin may do this.","requestId":"request-1"}
    an instructor
      403 {"code":"admin_required","error":"Only an admin may do this.","requestId":"request-1"}
    an admin whose end no webhook told of
      403 {"code":"admin_required","error":"Only an admin may do this.","requestId":"request-1"}
    a user whom Clerk does not know
      403 {"code":"admin_required","error":"Only an admin may do this.","requestId":"request-1"}
    a student, and no member
      403 {"code":"member_required","error":"Only a member of this organization, or an admin, may do this.","requestId":"request-1"}
    an instructor, and no member
      403 {"code":"member_required","error":"Only a member of this organization, or an admin, may do this.","requestId":"request-1"}
    an admin whose end no webhook told of, and no member
      403 {"code":"member_required","error":"Only a member of this organization, or an admin, may do this.","requestId":"request-1"}
    a user whom Clerk does not know, and no member
      403 {"code":"member_required","error":"Only a member of this organization, or an admin, may do this.","requestId":"request-1"}
    a student, about their own builderGroupId
      403 {"code":"admin_required","error":"Only an admin may do this.","requestId":"request-1"}
    a student, about their own password
      403 {"code":"admin_required","error":"Only an admin may do this.","requestId":"request-1"}
    a student, about their own email
      403 {"code":"admin_required","error":"Only an admin may do this.","requestId":"request-1"}
    a student, about their own metadata
      403 {"code":"admin_required","error":"Only an admin may do this.","requestId":"request-1"}
    a student, about their own change of address
      403 {"code":"admin_required","error":"Only an admin may do this.","requestId":"request-1"}
    a banned admin, at every route
      403 {"code":"user_disabled","error":"This account is banned or was taken away by its directory.","requestId":"request-1"}
    a deleted admin, at every route
      403 {"code":"user_deleted","error":"This account was deleted.","requestId":"request-1"}
    "#);
}

/// 404: no such address, no such user.
async fn not_found() -> Refusals {
    let app = TestApp::new().await;
    let admin = app.admin("grace").await;
    let token = app.clerk.session_token(&admin);
    let deleted = app.user("deleted", None).await;
    app.clerk.delete_user(&deleted);
    app.deliver_all().await;
    let paths = [
        ("POST", "/api/webhooks/clerk/more"),
        ("PATCH", "/api/admin/users/user_1/role"),
        ("PATCH", "/api/admin/usersx"),
        ("GET", "/api/admin"),
        ("GET", "/api/admin/nothing"),
        ("GET", "/api/admin/users/user_1/role"),
        ("GET", "/api/admin/statistics/today"),
        ("GET", "/api/admin/statistics/history/today"),
        ("GET", "/api/admin/organizations/org_1"),
        ("PATCH", "/api/admin/users/user_nobody"),
        ("PATCH", &format!("/api/admin/users/{NOBODY}")),
        ("GET", "/api/admin/users/user_nobody"),
        ("GET", &format!("/api/admin/users/{NOBODY}")),
        ("GET", "/api/admin/role-changes?userId=user_nobody"),
        ("GET", &format!("/api/admin/role-changes?userId={NOBODY}")),
        ("POST", "/api/sync"),
        ("POST", "/api/sync/users"),
        ("POST", "/api/sync/user/user_1/organizations"),
        ("POST", "/api/sync/organization"),
        ("POST", "/api/sync/organization/org_1/member"),
        ("POST", "/api/sync/organization/org_1/members/user_1"),
        ("POST", "/api/sync/membership/org_1"),
        ("GET", "/api/sync/status/user_1"),
        ("POST", "/api/sync/user/user_nobody"),
        ("POST", "/api/sync/organization/org_nowhere"),
        ("POST", "/api/sync/organization/org_nowhere/members"),
        ("POST", "/api/sync/membership"),
        ("PATCH", "/api/users"),
        ("PATCH", "/api/users/user_1/password"),
        ("GET", "/api/users/user_1/email-change/last"),
        ("PATCH", "/api/users/user_nobody"),
        ("PATCH", &format!("/api/users/{NOBODY}")),
        ("POST", "/api/users/user_nobody/email-change"),
        ("GET", "/api/users/user_nobody/email-change"),
        ("DELETE", "/api/users/user_nobody/email-change"),
        ("POST", "/api/update-clerk-user/user_1"),
        ("POST", "/api/update-clerk-user"),
        ("GET", "/api/admin/sync"),
        ("GET", "/api/admin/sync/status"),
        ("GET", "/api/admin/sync/overview/today"),
        ("GET", "/api/admin/sync/activity/today"),
        ("GET", "/api/admin/sync/events/msg_1/payload"),
        ("GET", "/api/admin/sync/history"),
        ("GET", "/api/health/database"),
        ("GET", "/api/admin/sync/events/msg_nowhere"),
        ("GET", "/api/admin/sync/events/%00"),
        ("GET", "/api/admin/sync/history/user_nobody"),
        ("GET", &format!("/api/admin/sync/history/{NOBODY}")),
        ("GET", "/api/admin/sync/history/org_nowhere"),
        ("GET", "/api/admin/sync/history/orgmem_nowhere"),
    ];
    let mut refusals = Refusals::default();
    for (method, path) in paths {
        let call = with_good_body(Call::new(method, path).token(&token), method, path);
        refusals.add(
            format!("{method} {path}"),
            ask(&app, &call, method, path).await,
        );
    }
    let answer = app
        .set_role(&admin, &deleted, json!({ "role": "INSTRUCTOR" }))
        .await;
    refusals.add("PATCH of a deleted user", answer);
    assert_eq!(app.role(&deleted).await, "STUDENT");
    let names = json!({ "firstName": "Ada" });
    let answer = app.edit(&admin, &deleted, names.clone()).await;
    refusals.add("PATCH of a deleted user's profile", answer);
    let answer = app.edit_in_clerk(&admin, &deleted, names).await;
    refusals.add("update-clerk-user of a deleted user", answer);
    let address = Some("new@example.com");
    let answer = app.email_change("POST", &admin, &deleted, address).await;
    refusals.add("another address for a deleted user", answer);
    let answer = app.email_change("DELETE", &admin, &admin, None).await;
    refusals.add("DELETE of a change that nobody asked for", answer);
    app.database.remove().await;
    refusals
}

#[tokio::test]
async fn what_is_not_there_is_404() {
    assert_snapshot!(not_found().await.told(), @r#"
    POST /api/webhooks/clerk/more
      404 {"code":"not_found","error":"There is nothing at this address.","requestId":"request-1"}
    PATCH /api/admin/users/user_1/role
      404 {"code":"not_found","error":"There is nothing at this address.","requestId":"request-1"}
    PATCH /api/admin/usersx
      404 {"code":"not_found","error":"There is nothing at this address.","requestId":"request-1"}
    GET /api/admin
      404 {"code":"not_found","error":"There is nothing at this address.","requestId":"request-1"}
    GET /api/admin/nothing
      404 {"code":"not_found","error":"There is nothing at this address.","requestId":"request-1"}
    GET /api/admin/users/user_1/role
      404 {"code":"not_found","error":"There is nothing at this address.","requestId":"request-1"}
    GET /api/admin/statistics/today
      404 {"code":"not_found","error":"There is nothing at this address.","requestId":"request-1"}
    GET /api/admin/statistics/history/today
      404 {"code":"not_found","error":"There is nothing at this address.","requestId":"request-1"}
    GET /api/admin/organizations/org_1
      404 {"code":"not_found","error":"There is nothing at this address.","requestId":"request-1"}
    PATCH /api/admin/users/user_nobody
      404 {"code":"user_not_found","error":"There is no such user.","requestId":"request-1"}
    PATCH /api/admin/users/00000000-0000-4000-8000-000000000000
      404 {"code":"user_not_found","error":"There is no such user.","requestId":"request-1"}
    GET /api/admin/users/user_nobody
      404 {"code":"user_not_found","error":"There is no such user.","requestId":"request-1"}
    GET /api/admin/users/00000000-0000-4000-8000-000000000000
      404 {"code":"user_not_found","error":"There is no such user.","requestId":"request-1"}
    GET /api/admin/role-changes?userId=user_nobody
      404 {"code":"user_not_found","error":"There is no such user.","requestId":"request-1"}
    GET /api/admin/role-changes?userId=00000000-0000-4000-8000-000000000000
      404 {"code":"user_not_found","error":"There is no such user.","requestId":"request-1"}
    POST /api/sync
      404 {"code":"not_found","error":"There is nothing at this address.","requestId":"request-1"}
    POST /api/sync/users
      404 {"code":"not_found","error":"There is nothing at this address.","requestId":"request-1"}
    POST /api/sync/user/user_1/organizations
      404 {"code":"not_found","error":"There is nothing at this address.","requestId":"request-1"}
    POST /api/sync/organization
      404 {"code":"not_found","error":"There is nothing at this address.","requestId":"request-1"}
    POST /api/sync/organization/org_1/member
      404 {"code":"not_found","error":"There is nothing at this address.","requestId":"request-1"}
    POST /api/sync/organization/org_1/members/user_1
      404 {"code":"not_found","error":"There is nothing at this address.","requestId":"request-1"}
    POST /api/sync/membership/org_1
      404 {"code":"not_found","error":"There is nothing at this address.","requestId":"request-1"}
    GET /api/sync/status/user_1
      404 {"code":"not_found","error":"There is nothing at this address.","requestId":"request-1"}
    POST /api/sync/user/user_nobody
      404 {"code":"user_not_found","error":"There is no such user.","requestId":"request-1"}
    POST /api/sync/organization/org_nowhere
      404 {"code":"organization_not_found","error":"There is no such organization.","requestId":"request-1"}
    POST /api/sync/organization/org_nowhere/members
      404 {"code":"organization_not_found","error":"There is no such organization.","requestId":"request-1"}
    POST /api/sync/membership
      404 {"code":"membership_not_found","error":"The user is not a member of this organization.","requestId":"request-1"}
    PATCH /api/users
      404 {"code":"not_found","error":"There is nothing at this address.","requestId":"request-1"}
    PATCH /api/users/user_1/password
      404 {"code":"not_found","error":"There is nothing at this address.","requestId":"request-1"}
    GET /api/users/user_1/email-change/last
      404 {"code":"not_found","error":"There is nothing at this address.","requestId":"request-1"}
    PATCH /api/users/user_nobody
      404 {"code":"user_not_found","error":"There is no such user.","requestId":"request-1"}
    PATCH /api/users/00000000-0000-4000-8000-000000000000
      404 {"code":"user_not_found","error":"There is no such user.","requestId":"request-1"}
    POST /api/users/user_nobody/email-change
      404 {"code":"user_not_found","error":"There is no such user.","requestId":"request-1"}
    GET /api/users/user_nobody/email-change
      404 {"code":"email_change_not_found","error":"No other address was asked for.","requestId":"request-1"}
    DELETE /api/users/user_nobody/email-change
      404 {"code":"email_change_not_found","error":"No other address was asked for.","requestId":"request-1"}
    POST /api/update-clerk-user/user_1
      404 {"code":"not_found","error":"There is nothing at this address.","requestId":"request-1"}
    POST /api/update-clerk-user
      404 {"code":"not_found_in_clerk","error":"User not found in Clerk. They may have been deleted.","requestId":"request-1"}
    GET /api/admin/sync
      404 {"code":"not_found","error":"There is nothing at this address.","requestId":"request-1"}
    GET /api/admin/sync/status
      404 {"code":"not_found","error":"There is nothing at this address.","requestId":"request-1"}
    GET /api/admin/sync/overview/today
      404 {"code":"not_found","error":"There is nothing at this address.","requestId":"request-1"}
    GET /api/admin/sync/activity/today
      404 {"code":"not_found","error":"There is nothing at this address.","requestId":"request-1"}
    GET /api/admin/sync/events/msg_1/payload
      404 {"code":"not_found","error":"There is nothing at this address.","requestId":"request-1"}
    GET /api/admin/sync/history
      404 {"code":"not_found","error":"There is nothing at this address.","requestId":"request-1"}
    GET /api/health/database
      404 {"code":"not_found","error":"There is nothing at this address.","requestId":"request-1"}
    GET /api/admin/sync/events/msg_nowhere
      404 {"code":"event_not_found","error":"There is no such event.","requestId":"request-1"}
    GET /api/admin/sync/events/%00
      404 {"code":"event_not_found","error":"There is no such event.","requestId":"request-1"}
    GET /api/admin/sync/history/user_nobody
      404 {"code":"history_not_found","error":"Nothing is known of this id.","requestId":"request-1"}
    GET /api/admin/sync/history/00000000-0000-4000-8000-000000000000
      404 {"code":"history_not_found","error":"Nothing is known of this id.","requestId":"request-1"}
    GET /api/admin/sync/history/org_nowhere
      404 {"code":"history_not_found","error":"Nothing is known of this id.","requestId":"request-1"}
    GET /api/admin/sync/history/orgmem_nowhere
      404 {"code":"history_not_found","error":"Nothing is known of this id.","requestId":"request-1"}
    PATCH of a deleted user
      404 {"code":"user_not_found","error":"There is no such user.","requestId":"request-1"}
    PATCH of a deleted user's profile
      404 {"code":"user_not_found","error":"There is no such user.","requestId":"request-1"}
    update-clerk-user of a deleted user
      404 {"code":"not_found_in_clerk","error":"User not found in Clerk. They may have been deleted.","requestId":"request-1"}
    another address for a deleted user
      404 {"code":"user_not_found","error":"There is no such user.","requestId":"request-1"}
    DELETE of a change that nobody asked for
      404 {"code":"email_change_not_found","error":"No other address was asked for.","requestId":"request-1"}
    "#);
}

/// 405: the address is there, the method is not, and `Allow` names those that are.
async fn wrong_method() -> Refusals {
    let app = TestApp::new().await;
    let mut refusals = Refusals::default();
    let mut answers = Vec::new();
    for method in ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"] {
        answers.push(app.call_webhook(&Call::new(method, WEBHOOK)).await);
    }
    refusals.add("anything but POST to the webhook", the_one(answers));
    for path in ["/api/admin/users", "/api/admin/users/user_1"] {
        let mut answers = Vec::new();
        for method in ["GET", "HEAD", "POST", "PUT", "DELETE"] {
            answers.push(app.call_update_role(&Call::new(method, path)).await);
        }
        for method in ["PATCH", "HEAD", "POST", "PUT", "DELETE"] {
            answers.push(app.call_admin_users(&Call::new(method, path)).await);
        }
        let asked = format!("anything but GET and PATCH to {path}");
        refusals.add(asked, the_one(answers));
    }
    for path in [
        "/api/admin/organizations",
        "/api/admin/statistics",
        "/api/admin/statistics/history",
        "/api/admin/role-changes",
    ] {
        let mut answers = Vec::new();
        for method in ["HEAD", "POST", "PUT", "PATCH", "DELETE"] {
            answers.push(app.call_admin_users(&Call::new(method, path)).await);
        }
        refusals.add(format!("anything but GET to {path}"), the_one(answers));
    }
    let mut answers = Vec::new();
    let pulls = |(method, path): &&(&str, &str)| *method == "POST" && path.starts_with("/api/sync");
    for (_, path) in GUARDED.iter().filter(pulls) {
        for method in ["GET", "HEAD", "PUT", "PATCH", "DELETE"] {
            answers.push(app.call_sync_user(&Call::new(method, path)).await);
        }
    }
    refusals.add("anything but POST to what pulls", the_one(answers));
    let mut answers = Vec::new();
    for method in ["HEAD", "POST", "PUT", "PATCH", "DELETE"] {
        let call = Call::new(method, "/api/sync/status");
        answers.push(app.call_sync_user(&call).await);
    }
    refusals.add("anything but GET to the status", the_one(answers));
    let mut answers = Vec::new();
    for method in ["GET", "HEAD", "POST", "PUT", "DELETE"] {
        let call = Call::new(method, "/api/users/user_1");
        answers.push(app.call_update_user(&call).await);
    }
    refusals.add("anything but PATCH to a profile", the_one(answers));
    let mut answers = Vec::new();
    for method in ["HEAD", "PUT", "PATCH"] {
        let call = Call::new(method, "/api/users/user_1/email-change");
        answers.push(app.call_update_user(&call).await);
    }
    let asked = "anything but GET, POST and DELETE to a change of address";
    refusals.add(asked, the_one(answers));
    let mut answers = Vec::new();
    for method in ["GET", "HEAD", "PUT", "PATCH", "DELETE"] {
        for path in [
            "/api/update-clerk-user",
            "/.netlify/functions/update-clerk-user",
        ] {
            let call = Call::new(method, path);
            answers.push(app.call_update_clerk_user(&call).await);
        }
    }
    refusals.add("anything but POST to update-clerk-user", the_one(answers));
    let mut answers = Vec::new();
    let is_read = |(method, path): &&(&str, &str)| {
        let is_run = path.contains("/reconcile");
        *method == "GET" && path.starts_with("/api/admin/sync") && !is_run
    };
    let shown = GUARDED.iter().filter(is_read).map(|(_, path)| *path);
    for path in shown.chain(["/api/health"]) {
        for method in ["HEAD", "POST", "PUT", "PATCH", "DELETE"] {
            answers.push(app.call_admin_sync(&Call::new(method, path)).await);
        }
    }
    refusals.add(
        "anything but GET to what admin-sync shows",
        the_one(answers),
    );
    let mut answers = Vec::new();
    for method in ["GET", "HEAD", "PUT", "PATCH", "DELETE"] {
        let call = Call::new(method, "/api/admin/sync/replay");
        answers.push(app.call_admin_sync(&call).await);
    }
    refusals.add("anything but POST to replay", the_one(answers));
    app.database.remove().await;
    refusals
}

#[tokio::test]
async fn a_wrong_method_is_405_and_says_which_are_right() {
    assert_snapshot!(wrong_method().await.told(), @r#"
    anything but POST to the webhook
      405 allow: POST {"code":"method_not_allowed","error":"This address answers POST only.","requestId":"request-1"}
    anything but GET and PATCH to /api/admin/users
      405 allow: GET, PATCH {"code":"method_not_allowed","error":"This address answers GET, PATCH only.","requestId":"request-1"}
    anything but GET and PATCH to /api/admin/users/user_1
      405 allow: GET, PATCH {"code":"method_not_allowed","error":"This address answers GET, PATCH only.","requestId":"request-1"}
    anything but GET to /api/admin/organizations
      405 allow: GET {"code":"method_not_allowed","error":"This address answers GET only.","requestId":"request-1"}
    anything but GET to /api/admin/statistics
      405 allow: GET {"code":"method_not_allowed","error":"This address answers GET only.","requestId":"request-1"}
    anything but GET to /api/admin/statistics/history
      405 allow: GET {"code":"method_not_allowed","error":"This address answers GET only.","requestId":"request-1"}
    anything but GET to /api/admin/role-changes
      405 allow: GET {"code":"method_not_allowed","error":"This address answers GET only.","requestId":"request-1"}
    anything but POST to what pulls
      405 allow: POST {"code":"method_not_allowed","error":"This address answers POST only.","requestId":"request-1"}
    anything but GET to the status
      405 allow: GET {"code":"method_not_allowed","error":"This address answers GET only.","requestId":"request-1"}
    anything but PATCH to a profile
      405 allow: PATCH {"code":"method_not_allowed","error":"This address answers PATCH only.","requestId":"request-1"}
    anything but GET, POST and DELETE to a change of address
      405 allow: GET, POST, DELETE {"code":"method_not_allowed","error":"This address answers GET, POST, DELETE only.","requestId":"request-1"}
    anything but POST to update-clerk-user
      405 allow: POST {"code":"method_not_allowed","error":"This address answers POST only.","requestId":"request-1"}
    anything but GET to what admin-sync shows
      405 allow: GET {"code":"method_not_allowed","error":"This address answers GET only.","requestId":"request-1"}
    anything but POST to replay
      405 allow: POST {"code":"method_not_allowed","error":"This address answers POST only.","requestId":"request-1"}
    "#);
}

/// 409: the state of things is against it.
async fn in_conflict() -> Refusals {
    let app = TestApp::new().await;
    let admin = app.admin("grace").await;
    let ada = app.user("ada", Some("STUDENT")).await;
    let mut refusals = Refusals::default();
    let body = json!({ "role": "ADMIN", "expectedRole": "INSTRUCTOR" });
    let answer = app.set_role(&admin, &ada, body).await;
    refusals.add("another role than the expected one", answer);
    let answer = app
        .set_role(&admin, &admin, json!({ "role": "STUDENT" }))
        .await;
    refusals.add("the last admin becomes a student", answer);
    app.execute("update users set role_owned_by_directory = true")
        .await;
    let answer = app
        .set_role(&admin, &ada, json!({ "role": "INSTRUCTOR" }))
        .await;
    refusals.add("a role that a directory owns", answer);
    assert_eq!(app.role(&ada).await, "STUDENT");
    assert_eq!(app.role(&admin).await, "ADMIN");
    app.database.remove().await;
    refusals
}

/// 409 of profiles and addresses: Clerk's rules, and who else has the address.
async fn profiles_in_conflict() -> Refusals {
    let app = TestApp::new().await;
    let admin = app.admin("grace").await;
    let ada = app.user("ada", Some("STUDENT")).await;
    let emmy = app.user("emmy", Some("STUDENT")).await;
    app.execute("insert into users (email) values ('margaret@example.com')")
        .await;
    let margaret = "select id::text from users where email = 'margaret@example.com'";
    let margaret: String = app.sql.query_one(margaret, &[]).await.unwrap().get(0);
    let address = |name: &str| format!("{name}@example.com");
    let edit = async |user: &str, name: &str| {
        app.edit(&admin, user, json!({ "email": address(name) }))
            .await
    };
    let change = async |method: &str, user: &str, name: Option<&str>| {
        let address = name.map(address);
        let change = app.email_change(method, &admin, user, address.as_deref());
        change.await
    };
    let mut refusals = Refusals::default();
    refusals.add(
        "another address for who has an account",
        edit(&ada, "new").await,
    );
    refusals.add("an address that is taken", edit(&ada, "grace").await);
    refusals.add(
        "an address that is taken, without an account",
        edit(&margaret, "grace").await,
    );
    refusals.add(
        "an invitation without an account",
        change("POST", &margaret, Some("new")).await,
    );
    refusals.add(
        "an invitation to their own address",
        change("POST", &ada, Some("Ada")).await,
    );
    refusals.add(
        "an invitation to a taken address",
        change("POST", &ada, Some("grace")).await,
    );
    assert_eq!(app.count("email_changes").await, 0);
    assert_eq!(change("POST", &ada, Some("new")).await.status, 202);
    refusals.add(
        "an address that somebody is invited to",
        edit(&margaret, "new").await,
    );
    refusals.add(
        "an invitation to an address that somebody is invited to",
        change("POST", &emmy, Some("NEW")).await,
    );
    assert_eq!(change("DELETE", &ada, None).await.status, 200);
    let answer = change("DELETE", &ada, None).await;
    assert_eq!(
        (answer.status, &answer.body["code"]),
        (404, &json!("email_change_not_found"))
    );
    app.clerk.update_user(&ada, json!({ "banned": true }));
    app.deliver_all().await;
    refusals.add(
        "an invitation for a banned user",
        change("POST", &ada, Some("new")).await,
    );
    let scim = json!({ "directory_id": "dir_1", "directory_enabled": true });
    app.clerk.update_user(&emmy, json!({ "scim": scim }));
    app.deliver_all().await;
    refusals.add(
        "a name that a directory owns",
        app.edit(&admin, &emmy, json!({ "firstName": "Ada" })).await,
    );
    assert_eq!(app.row(&emmy).await["first_name"], "emmy");
    assert_eq!(app.count("profile_edits where outcome = 'done'").await, 0);
    app.database.remove().await;
    refusals
}

#[tokio::test]
async fn what_clerk_or_another_user_stands_against_is_409() {
    assert_snapshot!(profiles_in_conflict().await.told(), @r#"
    another address for who has an account
      409 {"code":"requires_invitation","error":"This user has a Clerk account, which takes a new address by invitation only: send it to POST /api/users/{userId}/email-change.","requestId":"request-1","requiresInvitation":true,"success":false}
    an address that is taken
      409 {"code":"email_taken","error":"Another user has this address, or is invited to it.","requestId":"request-1"}
    an address that is taken, without an account
      409 {"code":"email_taken","error":"Another user has this address, or is invited to it.","requestId":"request-1"}
    an invitation without an account
      409 {"code":"no_clerk_account","error":"This user has no Clerk account: change the address by PATCH /api/users/{userId}.","requestId":"request-1"}
    an invitation to their own address
      409 {"code":"same_email","error":"This is the user's address already.","requestId":"request-1"}
    an invitation to a taken address
      409 {"code":"email_taken","error":"Another user has this address, or is invited to it.","requestId":"request-1"}
    an address that somebody is invited to
      409 {"code":"email_taken","error":"Another user has this address, or is invited to it.","requestId":"request-1"}
    an invitation to an address that somebody is invited to
      409 {"code":"email_taken","error":"Another user has this address, or is invited to it.","requestId":"request-1"}
    an invitation for a banned user
      409 {"code":"user_disabled","error":"This user is banned or was taken away by their directory. Mend that in Clerk first.","requestId":"request-1"}
    a name that a directory owns
      409 {"code":"profile_owned_by_directory","error":"The profile comes from the user's directory. Change it there.","requestId":"request-1"}
    "#);
}

/// 502 and 504: Clerk failed, and the answer says whether it may have done something all the same.
async fn clerk_in_trouble() -> Refusals {
    let app = TestApp::new().await;
    let admin = app.admin("grace").await;
    let ada = app.user("ada", Some("STUDENT")).await;
    let mut refusals = Refusals::default();
    let cases = [
        ("Clerk refuses our key", Fault::status(401)),
        ("Clerk has had too many calls", Fault::rate_limited(7)),
        ("Clerk answers 500", Fault::status(500)),
        ("the line is cut", Fault::drop()),
    ];
    for (asked, fault) in cases {
        let fault = |method, path| app.clerk.fault(fault.clone().on(method, path).once());
        fault("PATCH", "/v1/users");
        let names = json!({ "firstName": "Ada" });
        let one = app.edit(&admin, &ada, names.clone()).await;
        fault("PATCH", "/v1/users");
        let other = app.edit_in_clerk(&admin, &ada, names).await;
        refusals.add(format!("{asked}: names"), the_one(vec![one, other]));
        fault("POST", "/v1/invitations");
        let address = Some("new@example.com");
        let answer = app.email_change("POST", &admin, &ada, address).await;
        refusals.add(format!("{asked}: an invitation"), answer);
        app.execute("delete from email_changes").await;
    }
    // The first call goes through at once, and the second one does not.
    let metadata = format!("/v1/users/{ada}/metadata");
    let at_once = Fault::slow(Duration::ZERO);
    app.clerk.fault(at_once.on("PATCH", &metadata).once());
    app.clerk
        .fault(Fault::status(401).on("PATCH", "/v1/users").once());
    let both = json!({ "firstName": "Ada", "publicMetadata": { "theme": "dark" } });
    let answer = app.edit_in_clerk(&admin, &ada, both).await;
    refusals.add("Clerk takes the metadata and not the names", answer);
    let at_once = Fault::slow(Duration::ZERO);
    app.clerk.fault(at_once.on("PATCH", &metadata).once());
    let fault = Fault::refusal(422, "form_param_value_too_large");
    app.clerk.fault(fault.on("PATCH", "/v1/users").once());
    let both = json!({ "lastName": "Ada", "publicMetadata": { "theme": "dark" } });
    let answer = app.edit_in_clerk(&admin, &ada, both).await;
    refusals.add("Clerk takes the metadata and refuses the names", answer);
    let row = app.row(&ada).await;
    assert_eq!(row["first_name"], "ada");
    assert_eq!(row["last_name"], Value::Null);
    assert_eq!(row["public_metadata"]["theme"], "dark");
    app.database.remove().await;
    refusals
}

#[tokio::test]
async fn what_clerk_fails_at_is_502_and_says_what_may_have_become_of_it() {
    assert_snapshot!(clerk_in_trouble().await.told(), @r#"
    Clerk refuses our key: names
      502 {"code":"clerk_refused_our_key","error":"Failed to sync with Clerk authentication system","requestId":"request-1"}
    Clerk refuses our key: an invitation
      502 {"code":"clerk_refused_our_key","error":"Failed to sync with Clerk authentication system","requestId":"request-1"}
    Clerk has had too many calls: names
      502 retry-after: 7 {"code":"clerk_rate_limited","error":"Failed to sync with Clerk authentication system","requestId":"request-1"}
    Clerk has had too many calls: an invitation
      502 retry-after: 7 {"code":"clerk_rate_limited","error":"Failed to sync with Clerk authentication system","requestId":"request-1"}
    Clerk answers 500: names
      502 {"code":"clerk_unavailable","error":"Failed to sync with Clerk authentication system","outcome":"unknown","requestId":"request-1"}
    Clerk answers 500: an invitation
      502 {"code":"clerk_unavailable","error":"Failed to sync with Clerk authentication system","outcome":"unknown","requestId":"request-1"}
    the line is cut: names
      502 {"code":"clerk_unavailable","error":"Failed to sync with Clerk authentication system","outcome":"unknown","requestId":"request-1"}
    the line is cut: an invitation
      502 {"code":"clerk_unavailable","error":"Failed to sync with Clerk authentication system","outcome":"unknown","requestId":"request-1"}
    Clerk takes the metadata and not the names
      502 {"code":"clerk_refused_our_key","error":"Failed to sync with Clerk authentication system","outcome":"partial","requestId":"request-1"}
    Clerk takes the metadata and refuses the names
      422 {"code":"invalid_update_data","detail":"There was an internal error on our servers.","error":"Invalid update data","outcome":"partial","requestId":"request-1"}
    "#);
}

#[tokio::test]
async fn what_the_state_of_things_forbids_is_409() {
    assert_snapshot!(in_conflict().await.told(), @r#"
    another role than the expected one
      409 {"code":"role_changed","error":"The role was changed by somebody else meanwhile. Look at it again.","requestId":"request-1"}
    the last admin becomes a student
      409 {"code":"last_admin","error":"This is the last admin. Make somebody else an admin first.","requestId":"request-1"}
    a role that a directory owns
      409 {"code":"role_owned_by_directory","error":"The role comes from the user's directory. Change it there.","requestId":"request-1"}
    "#);
}

/// 413 and 415: too long, or not JSON by its own account.
async fn not_json_or_too_long() -> Refusals {
    let app = TestApp::new().await;
    let admin = app.admin("grace").await;
    let token = app.clerk.session_token(&admin);
    let mut refusals = Refusals::default();
    for path in ["/api/admin/users/user_1", "/api/admin/users"] {
        let call = Call::new("PATCH", path).token(&token);
        let long = padded(BODY_LIMIT + 1);
        let is_long = call.clone().header("content-type", "application/json");
        let answer = app.call_update_role(&is_long.body(&long)).await;
        refusals.add(format!("PATCH {path} with 256 KiB and a byte"), answer);
        let kinds = [
            None,
            Some("text/plain"),
            Some("application/x-www-form-urlencoded"),
            Some("application/jsonp"),
        ];
        for kind in kinds {
            let call = kind.map_or(call.clone(), |it| call.clone().header("content-type", it));
            let answer = app
                .call_update_role(&call.body(r#"{"role":"ADMIN"}"#))
                .await;
            refusals.add(format!("PATCH {path} with {kind:?}"), answer);
        }
    }
    for path in ["/api/sync/membership", "/api/sync/user"] {
        let call = Call::new("POST", path).token(&token);
        let is_long = call.clone().header("content-type", "application/json");
        let is_long = is_long.body(&padded(BODY_LIMIT + 1));
        let answer = app.call_sync_user(&is_long).await;
        refusals.add(format!("POST {path} with 256 KiB and a byte"), answer);
        let is_text = call.header("content-type", "text/plain").body("{}");
        let answer = app.call_sync_user(&is_text).await;
        refusals.add(format!("POST {path} with a text"), answer);
    }
    for (method, path) in [
        ("PATCH", "/api/users/user_1"),
        ("POST", "/api/users/user_1/email-change"),
        ("POST", "/api/update-clerk-user"),
        ("POST", "/api/admin/sync/replay"),
    ] {
        let call = Call::new(method, path).token(&token);
        let is_long = call.clone().header("content-type", "application/json");
        let is_long = is_long.body(&padded(BODY_LIMIT + 1));
        let answer = ask(&app, &is_long, method, path).await;
        refusals.add(format!("{method} {path} with 256 KiB and a byte"), answer);
        let is_text = call.header("content-type", "text/plain").body("{}");
        let answer = ask(&app, &is_text, method, path).await;
        refusals.add(format!("{method} {path} with a text"), answer);
    }
    let call = Call::new("POST", WEBHOOK).body(&padded(1024 * 1024 + 1));
    let answer = app.call_webhook(&call).await;
    refusals.add("POST to the webhook with 1 MiB and a byte", answer);
    app.database.remove().await;
    refusals
}

/// A JSON object of exactly so many bytes.
fn padded(n_bytes: usize) -> String {
    let frame = r#"{"role":"ADMIN"}"#;
    format!("{frame}{}", " ".repeat(n_bytes - frame.len()))
}

#[tokio::test]
async fn what_is_too_long_is_413_and_what_is_not_json_is_415() {
    assert_snapshot!(not_json_or_too_long().await.told(), @r#"
    PATCH /api/admin/users/user_1 with 256 KiB and a byte
      413 {"code":"body_too_large","error":"The body is longer than 262144 bytes.","requestId":"request-1"}
    PATCH /api/admin/users/user_1 with None
      415 {"code":"unsupported_media_type","error":"Send JSON, with the header Content-Type: application/json.","requestId":"request-1"}
    PATCH /api/admin/users/user_1 with Some("text/plain")
      415 {"code":"unsupported_media_type","error":"Send JSON, with the header Content-Type: application/json.","requestId":"request-1"}
    PATCH /api/admin/users/user_1 with Some("application/x-www-form-urlencoded")
      415 {"code":"unsupported_media_type","error":"Send JSON, with the header Content-Type: application/json.","requestId":"request-1"}
    PATCH /api/admin/users/user_1 with Some("application/jsonp")
      415 {"code":"unsupported_media_type","error":"Send JSON, with the header Content-Type: application/json.","requestId":"request-1"}
    PATCH /api/admin/users with 256 KiB and a byte
      413 {"code":"body_too_large","error":"The body is longer than 262144 bytes.","requestId":"request-1"}
    PATCH /api/admin/users with None
      415 {"code":"unsupported_media_type","error":"Send JSON, with the header Content-Type: application/json.","requestId":"request-1"}
    PATCH /api/admin/users with Some("text/plain")
      415 {"code":"unsupported_media_type","error":"Send JSON, with the header Content-Type: application/json.","requestId":"request-1"}
    PATCH /api/admin/users with Some("application/x-www-form-urlencoded")
      415 {"code":"unsupported_media_type","error":"Send JSON, with the header Content-Type: application/json.","requestId":"request-1"}
    PATCH /api/admin/users with Some("application/jsonp")
      415 {"code":"unsupported_media_type","error":"Send JSON, with the header Content-Type: application/json.","requestId":"request-1"}
    POST /api/sync/membership with 256 KiB and a byte
      413 {"code":"body_too_large","error":"The body is longer than 262144 bytes.","requestId":"request-1"}
    POST /api/sync/membership with a text
      415 {"code":"unsupported_media_type","error":"Send JSON, with the header Content-Type: application/json.","requestId":"request-1"}
    POST /api/sync/user with 256 KiB and a byte
      413 {"code":"body_too_large","error":"The body is longer than 262144 bytes.","requestId":"request-1"}
    POST /api/sync/user with a text
      415 {"code":"unsupported_media_type","error":"Send JSON, with the header Content-Type: application/json.","requestId":"request-1"}
    PATCH /api/users/user_1 with 256 KiB and a byte
      413 {"code":"body_too_large","error":"The body is longer than 262144 bytes.","requestId":"request-1"}
    PATCH /api/users/user_1 with a text
      415 {"code":"unsupported_media_type","error":"Send JSON, with the header Content-Type: application/json.","requestId":"request-1"}
    POST /api/users/user_1/email-change with 256 KiB and a byte
      413 {"code":"body_too_large","error":"The body is longer than 262144 bytes.","requestId":"request-1"}
    POST /api/users/user_1/email-change with a text
      415 {"code":"unsupported_media_type","error":"Send JSON, with the header Content-Type: application/json.","requestId":"request-1"}
    POST /api/update-clerk-user with 256 KiB and a byte
      413 {"code":"body_too_large","error":"The body is longer than 262144 bytes.","requestId":"request-1"}
    POST /api/update-clerk-user with a text
      415 {"code":"unsupported_media_type","error":"Send JSON, with the header Content-Type: application/json.","requestId":"request-1"}
    POST /api/admin/sync/replay with 256 KiB and a byte
      413 {"code":"body_too_large","error":"The body is longer than 262144 bytes.","requestId":"request-1"}
    POST /api/admin/sync/replay with a text
      415 {"code":"unsupported_media_type","error":"Send JSON, with the header Content-Type: application/json.","requestId":"request-1"}
    POST to the webhook with 1 MiB and a byte
      413 {"code":"body_too_large","error":"The body is longer than 1048576 bytes.","requestId":"request-1"}
    "#);
}

#[tokio::test]
async fn a_body_of_exactly_the_limit_is_not_too_long() {
    let app = TestApp::new().await;
    let admin = app.admin("grace").await;
    let ada = app.user("ada", Some("STUDENT")).await;
    let call = Call::new("PATCH", &format!("/api/admin/users/{ada}"))
        .token(&app.clerk.session_token(&admin))
        .header("content-type", "application/json")
        .body(&padded(BODY_LIMIT));
    let answer = app.call_update_role(&call).await;
    assert_eq!(answer.status, 200, "{}", answer.body);

    // Signed, and as long as a delivery may be: what is in it is another matter.
    let body = padded(1024 * 1024);
    let now = Emulator::real_ms() / 1000;
    let headers = app.clerk.sign_body("msg_long", now, body.as_bytes());
    assert_eq!(app.deliver_body(&body, headers).await.status, 200);
    app.finish().await;
}

/// 422 of update-role: the body.
async fn unreadable_bodies() -> Refusals {
    let app = TestApp::new().await;
    let admin = app.admin("grace").await;
    let ada = app.user("ada", Some("STUDENT")).await;
    let token = app.clerk.session_token(&admin);
    let of_one = [
        r#"{"role":"KING"}"#,
        r#"{"role":""}"#,
        r#"{"role":"ADMIN","expectedRole":"KING"}"#,
        r#"{"role":"ADMIN","name":"Eve","publicMetadata":{"x":1}}"#,
        "{}",
        r#"{"expectedRole":"ADMIN"}"#,
        r#"{"role":7}"#,
        r#"{"role":null}"#,
        r#"{"role":["ADMIN"]}"#,
        r#"{"role":"ADMIN","expectedRole":7}"#,
        r#"{"role":"ADMIN","role":"STUDENT"}"#,
        r#"{"role":"ADMIN""#,
        r#"{"role":"ADMIN"} {}"#,
        r#"["ADMIN"]"#,
        r#""ADMIN""#,
    ];
    let of_many = [
        r#"{"userIds":["user_1"],"role":"KING"}"#,
        r#"{"userIds":[],"role":"ADMIN"}"#,
        r#"{"userIds":["user_1"]}"#,
        r#"{"role":"ADMIN"}"#,
        r#"{"userIds":"user_1","role":"ADMIN"}"#,
        r#"{"userIds":["user_1",7],"role":"ADMIN"}"#,
        r#"{"userIds":["user_1"],"role":"ADMIN","expectedRole":"STUDENT","dryRun":true}"#,
        "[]",
    ];
    let mut refusals = Refusals::default();
    let patch = async |path: &str, body: &str| {
        let call = Call::new("PATCH", path)
            .token(&token)
            .header("content-type", "application/json");
        app.call_update_role(&call.body(body)).await
    };
    for body in of_one {
        let answer = patch(&format!("/api/admin/users/{ada}"), body).await;
        refusals.add(format!("one: {body}"), answer);
    }
    let answer = patch(&format!("/api/admin/users/{ada}"), "").await;
    refusals.add("one, without a body", answer);
    for id in ["me", "user_", "user_1.2", "org_1", "0000", "%00"] {
        let answer = patch(&format!("/api/admin/users/{id}"), r#"{"role":"ADMIN"}"#).await;
        refusals.add(format!("one, named {id}"), answer);
    }
    for body in of_many {
        refusals.add(
            format!("many: {body}"),
            patch("/api/admin/users", body).await,
        );
    }
    let too_many = json!({ "userIds": vec!["user_1"; 501], "role": "ADMIN" }).to_string();
    refusals.add("501 users", patch("/api/admin/users", &too_many).await);
    let most = json!({ "userIds": vec!["user_nobody"; 500], "role": "ADMIN" }).to_string();
    assert_eq!(patch("/api/admin/users", &most).await.status, 200);
    assert_eq!(app.role(&ada).await, "STUDENT");
    app.database.remove().await;
    refusals
}

#[tokio::test]
async fn a_body_that_cannot_be_understood_is_422_and_the_fields_are_named() {
    assert_snapshot!(unreadable_bodies().await.told(), @r#"
    one: {"role":"KING"}
      422 {"code":"invalid_role","error":"The role must be STUDENT, INSTRUCTOR or ADMIN.","fields":["role"],"requestId":"request-1"}
    one: {"role":""}
      422 {"code":"invalid_role","error":"The role must be STUDENT, INSTRUCTOR or ADMIN.","fields":["role"],"requestId":"request-1"}
    one: {"role":"ADMIN","expectedRole":"KING"}
      422 {"code":"invalid_role","error":"The role must be STUDENT, INSTRUCTOR or ADMIN.","fields":["expectedRole"],"requestId":"request-1"}
    one: {"role":"ADMIN","name":"Eve","publicMetadata":{"x":1}}
      422 {"code":"invalid_body","error":"These fields are not known here: name, publicMetadata.","fields":["name","publicMetadata"],"requestId":"request-1"}
    one: {}
      422 {"code":"invalid_body","error":"A field is missing: role.","fields":["role"],"requestId":"request-1"}
    one: {"expectedRole":"ADMIN"}
      422 {"code":"invalid_body","error":"A field is missing: role.","fields":["role"],"requestId":"request-1"}
    one: {"role":7}
      422 {"code":"invalid_body","error":"This field is not what it should be: role.","fields":["role"],"requestId":"request-1"}
    one: {"role":null}
      422 {"code":"invalid_body","error":"This field is not what it should be: role.","fields":["role"],"requestId":"request-1"}
    one: {"role":["ADMIN"]}
      422 {"code":"invalid_body","error":"This field is not what it should be: role.","fields":["role"],"requestId":"request-1"}
    one: {"role":"ADMIN","expectedRole":7}
      422 {"code":"invalid_body","error":"This field is not what it should be: expectedRole.","fields":["expectedRole"],"requestId":"request-1"}
    one: {"role":"ADMIN","role":"STUDENT"}
      422 {"code":"invalid_body","error":"A field is given twice: role.","fields":["role"],"requestId":"request-1"}
    one: {"role":"ADMIN"
      422 {"code":"invalid_body","error":"This is not the JSON that is expected here.","requestId":"request-1"}
    one: {"role":"ADMIN"} {}
      422 {"code":"invalid_body","error":"The body goes on after its end.","requestId":"request-1"}
    one: ["ADMIN"]
      422 {"code":"invalid_body","error":"The body is not a JSON object.","requestId":"request-1"}
    one: "ADMIN"
      422 {"code":"invalid_body","error":"The body is not a JSON object.","requestId":"request-1"}
    one, without a body
      422 {"code":"invalid_body","error":"The body is not a JSON object.","requestId":"request-1"}
    one, named me
      422 {"code":"invalid_user_id","error":"A user is named by the UUID of the row or by the Clerk id (user_…).","fields":["userId"],"requestId":"request-1"}
    one, named user_
      422 {"code":"invalid_user_id","error":"A user is named by the UUID of the row or by the Clerk id (user_…).","fields":["userId"],"requestId":"request-1"}
    one, named user_1.2
      422 {"code":"invalid_user_id","error":"A user is named by the UUID of the row or by the Clerk id (user_…).","fields":["userId"],"requestId":"request-1"}
    one, named org_1
      422 {"code":"invalid_user_id","error":"A user is named by the UUID of the row or by the Clerk id (user_…).","fields":["userId"],"requestId":"request-1"}
    one, named 0000
      422 {"code":"invalid_user_id","error":"A user is named by the UUID of the row or by the Clerk id (user_…).","fields":["userId"],"requestId":"request-1"}
    one, named %00
      422 {"code":"invalid_user_id","error":"A user is named by the UUID of the row or by the Clerk id (user_…).","fields":["userId"],"requestId":"request-1"}
    many: {"userIds":["user_1"],"role":"KING"}
      422 {"code":"invalid_role","error":"The role must be STUDENT, INSTRUCTOR or ADMIN.","fields":["role"],"requestId":"request-1"}
    many: {"userIds":[],"role":"ADMIN"}
      422 {"code":"invalid_body","error":"userIds takes 1 to 500 ids.","fields":["userIds"],"requestId":"request-1"}
    many: {"userIds":["user_1"]}
      422 {"code":"invalid_body","error":"A field is missing: role.","fields":["role"],"requestId":"request-1"}
    many: {"role":"ADMIN"}
      422 {"code":"invalid_body","error":"A field is missing: userIds.","fields":["userIds"],"requestId":"request-1"}
    many: {"userIds":"user_1","role":"ADMIN"}
      422 {"code":"invalid_body","error":"This field is not what it should be: userIds.","fields":["userIds"],"requestId":"request-1"}
    many: {"userIds":["user_1",7],"role":"ADMIN"}
      422 {"code":"invalid_body","error":"This field is not what it should be: userIds[1].","fields":["userIds[1]"],"requestId":"request-1"}
    many: {"userIds":["user_1"],"role":"ADMIN","expectedRole":"STUDENT","dryRun":true}
      422 {"code":"invalid_body","error":"These fields are not known here: expectedRole, dryRun.","fields":["expectedRole","dryRun"],"requestId":"request-1"}
    many: []
      422 {"code":"invalid_body","error":"The body is not a JSON object.","requestId":"request-1"}
    501 users
      422 {"code":"invalid_body","error":"userIds takes 1 to 500 ids.","fields":["userIds"],"requestId":"request-1"}
    "#);
}

/// 422 of sync-user: the ids, the bodies, the queries.
async fn unreadable_wishes() -> Refusals {
    let app = TestApp::new().await;
    let admin = app.admin("grace").await;
    let token = app.clerk.session_token(&admin);
    let mut refusals = Refusals::default();
    let paths = [
        "user/me",
        "user/user_",
        "user/org_1",
        "user/Full",
        "user/00000000-0000-4000-8000-000000000000",
        "user/user_1%2e2",
        "organization/user_1",
        "organization/org_",
        "organization/%00",
        "organization/acme/members",
        "user?force=true",
        "user/full?id=user_1",
        "organization/org_1/members?page=2&limit=7",
        "membership?dryRun=true",
    ];
    for path in paths {
        let path = format!("/api/sync/{path}");
        let call = with_good_body(Call::new("POST", &path).token(&token), "POST", &path);
        refusals.add(format!("POST {path}"), app.call_sync_user(&call).await);
    }
    let call = Call::new("GET", "/api/sync/status?user=user_1").token(&token);
    refusals.add(
        "GET of the status of another",
        app.call_sync_user(&call).await,
    );
    // A route without fields takes no body; an empty one is none.
    let bodies = [
        r#"{"clerkUserId":"user_1","force":true}"#,
        "[]",
        "null",
        "no",
    ];
    for body in bodies {
        let mut answers = Vec::new();
        for &(method, path) in GUARDED.iter().filter(|(_, path)| takes_no_body(path)) {
            let call = Call::new(method, path).token(&token);
            let call = call.header("content-type", "application/json").body(body);
            answers.push(app.call_sync_user(&call).await);
        }
        refusals.add(format!("what takes no body: {body}"), the_one(answers));
    }
    let of_membership = [
        "{}",
        r#"{"clerkOrgId":"org_1","clerkUserId":"user_1"}"#,
        r#"{"clerkOrgId":"org_1","clerkUserId":"user_1","role":"org:member","permissions":[],"x":1}"#,
        r#"{"clerkOrgId":"acme","clerkUserId":"user_1","role":"org:member"}"#,
        r#"{"clerkOrgId":"org_1","clerkUserId":"ada","role":"org:member"}"#,
        r#"{"clerkOrgId":"org_1","clerkUserId":"user_1","role":""}"#,
        r#"{"clerkOrgId":"org_1","clerkUserId":"user_1","role":"a member"}"#,
        r#"{"clerkOrgId":"org_1","clerkUserId":"user_1","role":null}"#,
        r#"{"clerkOrgId":"org_1","clerkUserId":["user_1"],"role":"org:member"}"#,
        "[]",
    ];
    for body in of_membership {
        let call = Call::new("POST", "/api/sync/membership").token(&token);
        let call = call.header("content-type", "application/json").body(body);
        refusals.add(
            format!("membership: {body}"),
            app.call_sync_user(&call).await,
        );
    }
    let long = json!({ "clerkOrgId": "org_1", "clerkUserId": "user_1", "role": "r".repeat(129) });
    let call = Call::new("POST", "/api/sync/membership")
        .token(&token)
        .json(&long);
    refusals.add("a role of 129 letters", app.call_sync_user(&call).await);
    for table in [
        "organizations",
        "memberships",
        "users where clerk_id = 'user_1'",
    ] {
        assert_eq!(app.count(table).await, 0, "{table}");
    }
    app.database.remove().await;
    refusals
}

fn takes_no_body(path: &str) -> bool {
    path.starts_with("/api/sync/") && path != "/api/sync/membership"
}

#[tokio::test]
async fn a_wish_that_cannot_be_understood_is_422_and_the_fields_are_named() {
    assert_snapshot!(unreadable_wishes().await.told(), @r#"
    POST /api/sync/user/me
      422 {"code":"invalid_user_id","error":"A user is named by the Clerk id (user_…) here.","fields":["clerkUserId"],"requestId":"request-1"}
    POST /api/sync/user/user_
      422 {"code":"invalid_user_id","error":"A user is named by the Clerk id (user_…) here.","fields":["clerkUserId"],"requestId":"request-1"}
    POST /api/sync/user/org_1
      422 {"code":"invalid_user_id","error":"A user is named by the Clerk id (user_…) here.","fields":["clerkUserId"],"requestId":"request-1"}
    POST /api/sync/user/Full
      422 {"code":"invalid_user_id","error":"A user is named by the Clerk id (user_…) here.","fields":["clerkUserId"],"requestId":"request-1"}
    POST /api/sync/user/00000000-0000-4000-8000-000000000000
      422 {"code":"invalid_user_id","error":"A user is named by the Clerk id (user_…) here.","fields":["clerkUserId"],"requestId":"request-1"}
    POST /api/sync/user/user_1%2e2
      422 {"code":"invalid_user_id","error":"A user is named by the Clerk id (user_…) here.","fields":["clerkUserId"],"requestId":"request-1"}
    POST /api/sync/organization/user_1
      422 {"code":"invalid_organization_id","error":"An organization is named by the Clerk id (org_…) here.","fields":["clerkOrgId"],"requestId":"request-1"}
    POST /api/sync/organization/org_
      422 {"code":"invalid_organization_id","error":"An organization is named by the Clerk id (org_…) here.","fields":["clerkOrgId"],"requestId":"request-1"}
    POST /api/sync/organization/%00
      422 {"code":"invalid_organization_id","error":"An organization is named by the Clerk id (org_…) here.","fields":["clerkOrgId"],"requestId":"request-1"}
    POST /api/sync/organization/acme/members
      422 {"code":"invalid_organization_id","error":"An organization is named by the Clerk id (org_…) here.","fields":["clerkOrgId"],"requestId":"request-1"}
    POST /api/sync/user?force=true
      422 {"code":"invalid_query","error":"These fields are not known here: force.","fields":["force"],"requestId":"request-1"}
    POST /api/sync/user/full?id=user_1
      422 {"code":"invalid_query","error":"These fields are not known here: id.","fields":["id"],"requestId":"request-1"}
    POST /api/sync/organization/org_1/members?page=2&limit=7
      422 {"code":"invalid_query","error":"These fields are not known here: page, limit.","fields":["page","limit"],"requestId":"request-1"}
    POST /api/sync/membership?dryRun=true
      422 {"code":"invalid_query","error":"These fields are not known here: dryRun.","fields":["dryRun"],"requestId":"request-1"}
    GET of the status of another
      422 {"code":"invalid_query","error":"These fields are not known here: user.","fields":["user"],"requestId":"request-1"}
    what takes no body: {"clerkUserId":"user_1","force":true}
      422 {"code":"invalid_body","error":"These fields are not known here: clerkUserId, force.","fields":["clerkUserId","force"],"requestId":"request-1"}
    what takes no body: []
      422 {"code":"invalid_body","error":"The body is not a JSON object.","requestId":"request-1"}
    what takes no body: null
      422 {"code":"invalid_body","error":"The body is not a JSON object.","requestId":"request-1"}
    what takes no body: no
      422 {"code":"invalid_body","error":"The body is not a JSON object.","requestId":"request-1"}
    membership: {}
      422 {"code":"invalid_body","error":"A field is missing: clerkOrgId.","fields":["clerkOrgId"],"requestId":"request-1"}
    membership: {"clerkOrgId":"org_1","clerkUserId":"user_1"}
      422 {"code":"invalid_body","error":"A field is missing: role.","fields":["role"],"requestId":"request-1"}
    membership: {"clerkOrgId":"org_1","clerkUserId":"user_1","role":"org:member","permissions":[],"x":1}
      422 {"code":"invalid_body","error":"These fields are not known here: permissions, x.","fields":["permissions","x"],"requestId":"request-1"}
    membership: {"clerkOrgId":"acme","clerkUserId":"user_1","role":"org:member"}
      422 {"code":"invalid_organization_id","error":"An organization is named by the Clerk id (org_…) here.","fields":["clerkOrgId"],"requestId":"request-1"}
    membership: {"clerkOrgId":"org_1","clerkUserId":"ada","role":"org:member"}
      422 {"code":"invalid_user_id","error":"A user is named by the Clerk id (user_…) here.","fields":["clerkUserId"],"requestId":"request-1"}
    membership: {"clerkOrgId":"org_1","clerkUserId":"user_1","role":""}
      422 {"code":"invalid_role","error":"A role in an organization is a word, such as org:member.","fields":["role"],"requestId":"request-1"}
    membership: {"clerkOrgId":"org_1","clerkUserId":"user_1","role":"a member"}
      422 {"code":"invalid_role","error":"A role in an organization is a word, such as org:member.","fields":["role"],"requestId":"request-1"}
    membership: {"clerkOrgId":"org_1","clerkUserId":"user_1","role":null}
      422 {"code":"invalid_body","error":"This field is not what it should be: role.","fields":["role"],"requestId":"request-1"}
    membership: {"clerkOrgId":"org_1","clerkUserId":["user_1"],"role":"org:member"}
      422 {"code":"invalid_body","error":"This field is not what it should be: clerkUserId.","fields":["clerkUserId"],"requestId":"request-1"}
    membership: []
      422 {"code":"invalid_body","error":"The body is not a JSON object.","requestId":"request-1"}
    a role of 129 letters
      422 {"code":"invalid_role","error":"A role in an organization is a word, such as org:member.","fields":["role"],"requestId":"request-1"}
    "#);
}

/// 422 of update-user and update-clerk-user: the ids, the bodies, the values.
async fn unreadable_edits() -> Refusals {
    let app = TestApp::new().await;
    let admin = app.admin("grace").await;
    let ada = app.user("ada", Some("STUDENT")).await;
    let token = app.clerk.session_token(&admin);
    let send = async |method: &str, path: &str, body: &str| {
        let call = Call::new(method, path)
            .token(&token)
            .header("content-type", "application/json")
            .body(body);
        ask(&app, &call, method, path).await
    };
    let mut refusals = Refusals::default();
    let profile = format!("/api/users/{ada}");
    for body in [
        "{}",
        "[]",
        r#"{"firstName":7}"#,
        r#"{"firstName":"Ada","role":"ADMIN","clerkId":"user_1"}"#,
        r#"{"firstName":"Ada","firstName":"Eve"}"#,
        r#"{"name":"Ada King","firstName":"Ada"}"#,
        r#"{"firstName":"Ada\nKing"}"#,
        r#"{"name":"Ada\u0000King"}"#,
        r#"{"builderGroupId":"a\tb"}"#,
        r#"{"email":"ada"}"#,
        r#"{"email":""}"#,
        r#"{"email":null}"#,
        r#"{"email":["new@example.com"]}"#,
        r#"{"password":7}"#,
        r#"{"password":null}"#,
    ] {
        let answer = send("PATCH", &profile, body).await;
        refusals.add(format!("a profile: {body}"), answer);
    }
    for (field, len) in [
        ("firstName", 256),
        ("lastName", 256),
        ("builderGroupId", 256),
    ] {
        let body = json!({ field: "x".repeat(len) }).to_string();
        let answer = send("PATCH", &profile, &body).await;
        refusals.add(format!("a profile: a {field} of {len} letters"), answer);
    }
    for id in ["me", "org_1"] {
        let answer = send("PATCH", &format!("/api/users/{id}"), r#"{"name":"Ada"}"#).await;
        refusals.add(format!("the profile of {id}"), answer);
    }
    for password in ["short", "password123"] {
        let body = json!({ "password": password }).to_string();
        let answer = send("PATCH", &profile, &body).await;
        refusals.add(format!("the password {password}"), answer);
    }
    let change = format!("{profile}/email-change");
    for body in [
        "{}",
        r#"{"email":null}"#,
        r#"{"email":"ada@localhost"}"#,
        r#"{"email":"Ada <new@example.com>"}"#,
        r#"{"email":"new@example.com","role":"ADMIN"}"#,
    ] {
        let answer = send("POST", &change, body).await;
        refusals.add(format!("a change of address: {body}"), answer);
    }
    let answer = send("POST", "/api/users/me/email-change", "{}").await;
    refusals.add("a change of the address of me", answer);
    let answer = send("GET", &format!("{change}?all=true"), "").await;
    refusals.add("a change of address, looked at with a query", answer);
    let answer = send("DELETE", &change, r#"{"email":"new@example.com"}"#).await;
    refusals.add("a change of address, taken back with a body", answer);
    for updates in [
        "{}",
        "7",
        r#"{"email":"new@example.com","password":"correct horse 7"}"#,
        r#"{"firstName":7}"#,
        r#"{"lastName":"a\u0000b"}"#,
        r#"{"publicMetadata":[]}"#,
        r#"{"publicMetadata":{"role":"ADMIN"}}"#,
        r#"{"firstName":"Ada","publicMetadata":{"role":null}}"#,
        r#"{"publicMetadata":{"a":["\u0000"]}}"#,
    ] {
        let body = format!(r#"{{"clerkId":"{ada}","updates":{updates}}}"#);
        let answer = send("POST", "/api/update-clerk-user", &body).await;
        refusals.add(format!("update-clerk-user: {updates}"), answer);
    }
    let much = json!({ "a": "x".repeat(8 * 1024) });
    let much = json!({ "clerkId": ada, "updates": { "publicMetadata": much } });
    let answer = send("POST", "/api/update-clerk-user", &much.to_string()).await;
    refusals.add("update-clerk-user: more than 8 KB of metadata", answer);
    for body in [
        "{}",
        r#"{"clerkId":"user_1"}"#,
        r#"{"updates":{"firstName":"Ada"}}"#,
        r#"{"clerkId":"ada","updates":{"firstName":"Ada"}}"#,
    ] {
        let answer = send("POST", "/api/update-clerk-user", body).await;
        refusals.add(format!("update-clerk-user: {body}"), answer);
    }
    assert_eq!(app.row(&ada).await["first_name"], "ada");
    let n_edits = app.count("profile_edits where outcome <> 'refused'").await;
    assert_eq!(n_edits, 0, "Clerk was asked about the passwords only");
    assert_eq!(app.count("email_changes").await, 0);
    app.database.remove().await;
    refusals
}

#[tokio::test]
async fn an_edit_that_cannot_be_understood_is_422_and_the_fields_are_named() {
    assert_snapshot!(unreadable_edits().await.told(), @r#"
    a profile: {}
      422 {"code":"nothing_to_change","error":"Give at least one of firstName, lastName, name, email, builderGroupId and password.","requestId":"request-1"}
    a profile: []
      422 {"code":"invalid_body","error":"The body is not a JSON object.","requestId":"request-1"}
    a profile: {"firstName":7}
      422 {"code":"invalid_body","error":"This field is not what it should be: firstName.","fields":["firstName"],"requestId":"request-1"}
    a profile: {"firstName":"Ada","role":"ADMIN","clerkId":"user_1"}
      422 {"code":"invalid_body","error":"These fields are not known here: role, clerkId.","fields":["role","clerkId"],"requestId":"request-1"}
    a profile: {"firstName":"Ada","firstName":"Eve"}
      422 {"code":"invalid_body","error":"A field is given twice: firstName.","fields":["firstName"],"requestId":"request-1"}
    a profile: {"name":"Ada King","firstName":"Ada"}
      422 {"code":"invalid_name","error":"Give either name, or firstName and lastName.","fields":["name"],"requestId":"request-1"}
    a profile: {"firstName":"Ada\nKing"}
      422 {"code":"invalid_name","error":"firstName holds a line break or another control character.","fields":["firstName"],"requestId":"request-1"}
    a profile: {"name":"Ada\u0000King"}
      422 {"code":"invalid_name","error":"name holds a line break or another control character.","fields":["name"],"requestId":"request-1"}
    a profile: {"builderGroupId":"a\tb"}
      422 {"code":"invalid_group","error":"builderGroupId holds a line break or another control character.","fields":["builderGroupId"],"requestId":"request-1"}
    a profile: {"email":"ada"}
      422 {"code":"invalid_email","error":"email is not an e-mail address such as ada@example.com.","fields":["email"],"requestId":"request-1"}
    a profile: {"email":""}
      422 {"code":"invalid_email","error":"email is not an e-mail address such as ada@example.com.","fields":["email"],"requestId":"request-1"}
    a profile: {"email":null}
      422 {"code":"invalid_email","error":"email is not an e-mail address such as ada@example.com.","fields":["email"],"requestId":"request-1"}
    a profile: {"email":["new@example.com"]}
      422 {"code":"invalid_body","error":"This field is not what it should be: email.","fields":["email"],"requestId":"request-1"}
    a profile: {"password":7}
      422 {"code":"invalid_body","error":"This field is not what it should be: password.","fields":["password"],"requestId":"request-1"}
    a profile: {"password":null}
      422 {"code":"nothing_to_change","error":"Give at least one of firstName, lastName, name, email, builderGroupId and password.","requestId":"request-1"}
    a profile: a firstName of 256 letters
      422 {"code":"invalid_name","error":"firstName takes at most 255 characters.","fields":["firstName"],"requestId":"request-1"}
    a profile: a lastName of 256 letters
      422 {"code":"invalid_name","error":"lastName takes at most 255 characters.","fields":["lastName"],"requestId":"request-1"}
    a profile: a builderGroupId of 256 letters
      422 {"code":"invalid_group","error":"builderGroupId takes at most 255 characters.","fields":["builderGroupId"],"requestId":"request-1"}
    the profile of me
      422 {"code":"invalid_user_id","error":"A user is named by the UUID of the row or by the Clerk id (user_…).","fields":["userId"],"requestId":"request-1"}
    the profile of org_1
      422 {"code":"invalid_user_id","error":"A user is named by the UUID of the row or by the Clerk id (user_…).","fields":["userId"],"requestId":"request-1"}
    the password short
      422 {"code":"password_too_short","error":"Passwords must be 8 characters or more.","fields":["password"],"requestId":"request-1"}
    the password password123
      422 {"code":"password_pwned","error":"This password has been found in a data breach. Please use another.","fields":["password"],"requestId":"request-1"}
    a change of address: {}
      422 {"code":"invalid_body","error":"A field is missing: email.","fields":["email"],"requestId":"request-1"}
    a change of address: {"email":null}
      422 {"code":"invalid_body","error":"This field is not what it should be: email.","fields":["email"],"requestId":"request-1"}
    a change of address: {"email":"ada@localhost"}
      422 {"code":"invalid_email","error":"email is not an e-mail address such as ada@example.com.","fields":["email"],"requestId":"request-1"}
    a change of address: {"email":"Ada <new@example.com>"}
      422 {"code":"invalid_email","error":"email is not an e-mail address such as ada@example.com.","fields":["email"],"requestId":"request-1"}
    a change of address: {"email":"new@example.com","role":"ADMIN"}
      422 {"code":"invalid_body","error":"These fields are not known here: role.","fields":["role"],"requestId":"request-1"}
    a change of the address of me
      422 {"code":"invalid_user_id","error":"A user is named by the UUID of the row or by the Clerk id (user_…).","fields":["userId"],"requestId":"request-1"}
    a change of address, looked at with a query
      422 {"code":"invalid_query","error":"These fields are not known here: all.","fields":["all"],"requestId":"request-1"}
    a change of address, taken back with a body
      422 {"code":"invalid_body","error":"These fields are not known here: email.","fields":["email"],"requestId":"request-1"}
    update-clerk-user: {}
      422 {"code":"invalid_update_data","detail":"updates takes firstName, lastName and publicMetadata, at least one of them.","error":"Invalid update data","fields":["updates"],"requestId":"request-1"}
    update-clerk-user: 7
      422 {"code":"invalid_update_data","detail":"This field is not what it should be: updates.","error":"Invalid update data","fields":["updates"],"requestId":"request-1"}
    update-clerk-user: {"email":"new@example.com","password":"correct horse 7"}
      422 {"code":"invalid_update_data","detail":"These fields are not known here: updates.email, updates.password.","error":"Invalid update data","fields":["updates.email","updates.password"],"requestId":"request-1"}
    update-clerk-user: {"firstName":7}
      422 {"code":"invalid_update_data","detail":"This field is not what it should be: updates.firstName.","error":"Invalid update data","fields":["updates.firstName"],"requestId":"request-1"}
    update-clerk-user: {"lastName":"a\u0000b"}
      422 {"code":"invalid_update_data","detail":"updates.lastName holds a line break or another control character.","error":"Invalid update data","fields":["updates.lastName"],"requestId":"request-1"}
    update-clerk-user: {"publicMetadata":[]}
      422 {"code":"invalid_update_data","detail":"This field is not what it should be: updates.publicMetadata.","error":"Invalid update data","fields":["updates.publicMetadata"],"requestId":"request-1"}
    update-clerk-user: {"publicMetadata":{"role":"ADMIN"}}
      422 {"code":"role_not_allowed","error":"The role is not set here: use PATCH /api/admin/users/{userId}.","fields":["updates.publicMetadata"],"requestId":"request-1"}
    update-clerk-user: {"firstName":"Ada","publicMetadata":{"role":null}}
      422 {"code":"role_not_allowed","error":"The role is not set here: use PATCH /api/admin/users/{userId}.","fields":["updates.publicMetadata"],"requestId":"request-1"}
    update-clerk-user: {"publicMetadata":{"a":["\u0000"]}}
      422 {"code":"invalid_update_data","detail":"updates.publicMetadata holds a NUL character, which the database cannot keep.","error":"Invalid update data","fields":["updates.publicMetadata"],"requestId":"request-1"}
    update-clerk-user: more than 8 KB of metadata
      422 {"code":"invalid_update_data","detail":"updates.publicMetadata takes at most 8 KB of JSON.","error":"Invalid update data","fields":["updates.publicMetadata"],"requestId":"request-1"}
    update-clerk-user: {}
      422 {"code":"invalid_update_data","detail":"A field is missing: clerkId.","error":"Invalid update data","fields":["clerkId"],"requestId":"request-1"}
    update-clerk-user: {"clerkId":"user_1"}
      422 {"code":"invalid_update_data","detail":"A field is missing: updates.","error":"Invalid update data","fields":["updates"],"requestId":"request-1"}
    update-clerk-user: {"updates":{"firstName":"Ada"}}
      422 {"code":"invalid_update_data","detail":"A field is missing: clerkId.","error":"Invalid update data","fields":["clerkId"],"requestId":"request-1"}
    update-clerk-user: {"clerkId":"ada","updates":{"firstName":"Ada"}}
      422 {"code":"invalid_update_data","detail":"clerkId is not a Clerk user id (user_…).","error":"Invalid update data","fields":["clerkId"],"requestId":"request-1"}
    "#);
}

/// 422 of admin-users: the query.
async fn unreadable_queries() -> Refusals {
    let app = TestApp::new().await;
    let admin = app.admin("grace").await;
    app.user("ada", None).await;
    let page = app.get(&admin, "/api/admin/users?limit=1&sort=name").await;
    let cursor = page.body["nextCursor"].as_str().expect("a second page");
    let paths = [
        "users?page=2&per=3",
        "users?limit=1&limit=2",
        "users?limit=0",
        "users?limit=501",
        "users?limit=-1",
        "users?limit=many",
        "users?limit=",
        "users?cursor=nonsense",
        "users?cursor=bm9uc2Vuc2U",
        "users?cursor=",
        "users?sort=age",
        "users?sort=-lastName",
        "users?role=KING",
        "users?organization=acme",
        "users?organization=",
        "users?state=gone",
        "users?state=",
        "users?clerkSync=owed",
        "users?clerk_sync=pending",
        "users/me",
        "users/user_1?fields=id",
        "organizations?sort=name",
        "organizations?limit=0",
        "organizations?limit=501",
        "organizations?cursor=nonsense",
        "organizations?cursor=bm9uc2Vuc2U",
        "statistics?since=today",
        "statistics/history?days=0",
        "statistics/history?days=367",
        "statistics/history?days=-1",
        "statistics/history?days=week",
        "statistics/history?since=today",
        "role-changes?user=user_1",
        "role-changes?userId=me",
        "role-changes?since=yesterday",
        "role-changes?since=2026-11-21",
        "role-changes?cursor=nonsense",
        "role-changes?limit=0",
        "role-changes?limit=501",
        "role-changes?actor=a&actor=b",
    ];
    let mut refusals = Refusals::default();
    for path in paths {
        let answer = app.get(&admin, &format!("/api/admin/{path}")).await;
        refusals.add(path, answer);
    }
    let path = format!("/api/admin/users?sort=-name&cursor={cursor}");
    refusals.add(
        "a cursor of another sort order",
        app.get(&admin, &path).await,
    );
    app.database.remove().await;
    refusals
}

#[tokio::test]
async fn a_query_that_cannot_be_understood_is_422_and_the_parameters_are_named() {
    assert_snapshot!(unreadable_queries().await.told(), @r#"
    users?page=2&per=3
      422 {"code":"invalid_query","error":"These fields are not known here: page, per.","fields":["page","per"],"requestId":"request-1"}
    users?limit=1&limit=2
      422 {"code":"invalid_query","error":"A parameter is given twice: limit.","fields":["limit"],"requestId":"request-1"}
    users?limit=0
      422 {"code":"invalid_query","error":"limit takes 1 to 500.","fields":["limit"],"requestId":"request-1"}
    users?limit=501
      422 {"code":"invalid_query","error":"limit takes 1 to 500.","fields":["limit"],"requestId":"request-1"}
    users?limit=-1
      422 {"code":"invalid_query","error":"This field is not what it should be: limit.","fields":["limit"],"requestId":"request-1"}
    users?limit=many
      422 {"code":"invalid_query","error":"This field is not what it should be: limit.","fields":["limit"],"requestId":"request-1"}
    users?limit=
      422 {"code":"invalid_query","error":"This field is not what it should be: limit.","fields":["limit"],"requestId":"request-1"}
    users?cursor=nonsense
      422 {"code":"invalid_query","error":"The cursor is not one that this list gave out.","fields":["cursor"],"requestId":"request-1"}
    users?cursor=bm9uc2Vuc2U
      422 {"code":"invalid_query","error":"The cursor is not one that this list gave out.","fields":["cursor"],"requestId":"request-1"}
    users?cursor=
      422 {"code":"invalid_query","error":"The cursor is not one that this list gave out.","fields":["cursor"],"requestId":"request-1"}
    users?sort=age
      422 {"code":"invalid_query","error":"This field is not what it should be: sort.","fields":["sort"],"requestId":"request-1"}
    users?sort=-lastName
      422 {"code":"invalid_query","error":"This field is not what it should be: sort.","fields":["sort"],"requestId":"request-1"}
    users?role=KING
      422 {"code":"invalid_role","error":"The role must be STUDENT, INSTRUCTOR or ADMIN.","fields":["role"],"requestId":"request-1"}
    users?organization=acme
      422 {"code":"invalid_query","error":"An organization is named by the UUID of the row or by the Clerk id (org_…).","fields":["organization"],"requestId":"request-1"}
    users?organization=
      422 {"code":"invalid_query","error":"An organization is named by the UUID of the row or by the Clerk id (org_…).","fields":["organization"],"requestId":"request-1"}
    users?state=gone
      422 {"code":"invalid_query","error":"This field is not what it should be: state.","fields":["state"],"requestId":"request-1"}
    users?state=
      422 {"code":"invalid_query","error":"This field is not what it should be: state.","fields":["state"],"requestId":"request-1"}
    users?clerkSync=owed
      422 {"code":"invalid_query","error":"This field is not what it should be: clerkSync.","fields":["clerkSync"],"requestId":"request-1"}
    users?clerk_sync=pending
      422 {"code":"invalid_query","error":"These fields are not known here: clerk_sync.","fields":["clerk_sync"],"requestId":"request-1"}
    users/me
      422 {"code":"invalid_user_id","error":"A user is named by the UUID of the row or by the Clerk id (user_…).","fields":["userId"],"requestId":"request-1"}
    users/user_1?fields=id
      422 {"code":"invalid_query","error":"These fields are not known here: fields.","fields":["fields"],"requestId":"request-1"}
    organizations?sort=name
      422 {"code":"invalid_query","error":"These fields are not known here: sort.","fields":["sort"],"requestId":"request-1"}
    organizations?limit=0
      422 {"code":"invalid_query","error":"limit takes 1 to 500.","fields":["limit"],"requestId":"request-1"}
    organizations?limit=501
      422 {"code":"invalid_query","error":"limit takes 1 to 500.","fields":["limit"],"requestId":"request-1"}
    organizations?cursor=nonsense
      422 {"code":"invalid_query","error":"The cursor is not one that this list gave out.","fields":["cursor"],"requestId":"request-1"}
    organizations?cursor=bm9uc2Vuc2U
      422 {"code":"invalid_query","error":"The cursor is not one that this list gave out.","fields":["cursor"],"requestId":"request-1"}
    statistics?since=today
      422 {"code":"invalid_query","error":"These fields are not known here: since.","fields":["since"],"requestId":"request-1"}
    statistics/history?days=0
      422 {"code":"invalid_query","error":"days takes 1 to 366.","fields":["days"],"requestId":"request-1"}
    statistics/history?days=367
      422 {"code":"invalid_query","error":"days takes 1 to 366.","fields":["days"],"requestId":"request-1"}
    statistics/history?days=-1
      422 {"code":"invalid_query","error":"days takes 1 to 366.","fields":["days"],"requestId":"request-1"}
    statistics/history?days=week
      422 {"code":"invalid_query","error":"This field is not what it should be: days.","fields":["days"],"requestId":"request-1"}
    statistics/history?since=today
      422 {"code":"invalid_query","error":"These fields are not known here: since.","fields":["since"],"requestId":"request-1"}
    role-changes?user=user_1
      422 {"code":"invalid_query","error":"These fields are not known here: user.","fields":["user"],"requestId":"request-1"}
    role-changes?userId=me
      422 {"code":"invalid_user_id","error":"A user is named by the UUID of the row or by the Clerk id (user_…).","fields":["userId"],"requestId":"request-1"}
    role-changes?since=yesterday
      422 {"code":"invalid_query","error":"This field is not what it should be: since.","fields":["since"],"requestId":"request-1"}
    role-changes?since=2026-11-21
      422 {"code":"invalid_query","error":"This field is not what it should be: since.","fields":["since"],"requestId":"request-1"}
    role-changes?cursor=nonsense
      422 {"code":"invalid_query","error":"This field is not what it should be: cursor.","fields":["cursor"],"requestId":"request-1"}
    role-changes?limit=0
      422 {"code":"invalid_query","error":"limit takes 1 to 500.","fields":["limit"],"requestId":"request-1"}
    role-changes?limit=501
      422 {"code":"invalid_query","error":"limit takes 1 to 500.","fields":["limit"],"requestId":"request-1"}
    role-changes?actor=a&actor=b
      422 {"code":"invalid_query","error":"A parameter is given twice: actor.","fields":["actor"],"requestId":"request-1"}
    a cursor of another sort order
      422 {"code":"invalid_query","error":"The cursor belongs to another sort order.","fields":["cursor"],"requestId":"request-1"}
    "#);
}

/// 422 of admin-sync: the queries, the ids, the bodies.
async fn unreadable_questions() -> Refusals {
    let app = TestApp::new().await;
    let admin = app.admin("grace").await;
    let token = app.clerk.session_token(&admin);
    let paths = [
        "overview?since=today",
        "activity?period=1h",
        "activity?since=today",
        "events?page=2",
        "events?outcome=done",
        "events?object=acme",
        "events?object=",
        "events?limit=0",
        "events?limit=501",
        "events?cursor=nonsense",
        "events?cursor=bm9uc2Vuc2U",
        "events?type=user.created&type=user.deleted",
        "events/msg_1?fields=payload",
        "history/me",
        "history/%00",
        "history/user_1?since=today",
        "history/user_1?limit=0",
        "history/user_1?cursor=nonsense",
    ];
    let mut refusals = Refusals::default();
    for path in paths {
        let call = Call::new("GET", &format!("/api/admin/sync/{path}")).token(&token);
        refusals.add(path, app.call_admin_sync(&call).await);
    }
    let call = Call::new("GET", "/api/health?details=all");
    refusals.add("health?details=all", app.call_admin_sync(&call).await);
    let bodies = [
        "{}",
        r#"{"svixIds":["msg_1"],"filter":{}}"#,
        r#"{"svixIds":[]}"#,
        r#"{"svixIds":[""]}"#,
        r#"{"svixIds":"msg_1"}"#,
        r#"{"svixIds":["msg_1"],"dryrun":true}"#,
        r#"{"svixIds":["msg_1"],"dryRun":"yes"}"#,
        r#"{"svixIds":["msg_1"],"cursor":"nonsense"}"#,
        r#"{"filter":{"outcome":"applied"}}"#,
        r#"{"filter":{"outcome":"done"}}"#,
        r#"{"filter":{"object":"acme"}}"#,
        r#"{"filter":{"since":"yesterday"}}"#,
        r#"{"filter":{"rule":"R7"}}"#,
        "[]",
    ];
    let replay = async |body: &str| {
        let call = Call::new("POST", "/api/admin/sync/replay").token(&token);
        let call = call.header("content-type", "application/json").body(body);
        app.call_admin_sync(&call).await
    };
    for body in bodies {
        refusals.add(format!("replay: {body}"), replay(body).await);
    }
    let too_many = json!({ "svixIds": vec!["msg_1"; 501] }).to_string();
    refusals.add("replay: 501 ids", replay(&too_many).await);
    let most = json!({ "svixIds": vec!["msg_1"; 500] }).to_string();
    assert_eq!(replay(&most).await.status, 200);
    app.database.remove().await;
    refusals
}

#[tokio::test]
async fn a_question_that_cannot_be_understood_is_422_and_what_is_wrong_is_named() {
    assert_snapshot!(unreadable_questions().await.told(), @r#"
    overview?since=today
      422 {"code":"invalid_query","error":"These fields are not known here: since.","fields":["since"],"requestId":"request-1"}
    activity?period=1h
      422 {"code":"invalid_query","error":"This field is not what it should be: period.","fields":["period"],"requestId":"request-1"}
    activity?since=today
      422 {"code":"invalid_query","error":"These fields are not known here: since.","fields":["since"],"requestId":"request-1"}
    events?page=2
      422 {"code":"invalid_query","error":"These fields are not known here: page.","fields":["page"],"requestId":"request-1"}
    events?outcome=done
      422 {"code":"invalid_query","error":"This field is not what it should be: outcome.","fields":["outcome"],"requestId":"request-1"}
    events?object=acme
      422 {"code":"invalid_query","error":"An object is named by its Clerk id (user_…, org_… or orgmem_…).","fields":["object"],"requestId":"request-1"}
    events?object=
      422 {"code":"invalid_query","error":"An object is named by its Clerk id (user_…, org_… or orgmem_…).","fields":["object"],"requestId":"request-1"}
    events?limit=0
      422 {"code":"invalid_query","error":"limit takes 1 to 500.","fields":["limit"],"requestId":"request-1"}
    events?limit=501
      422 {"code":"invalid_query","error":"limit takes 1 to 500.","fields":["limit"],"requestId":"request-1"}
    events?cursor=nonsense
      422 {"code":"invalid_query","error":"The cursor is not one that this list gave out.","fields":["cursor"],"requestId":"request-1"}
    events?cursor=bm9uc2Vuc2U
      422 {"code":"invalid_query","error":"The cursor is not one that this list gave out.","fields":["cursor"],"requestId":"request-1"}
    events?type=user.created&type=user.deleted
      422 {"code":"invalid_query","error":"A parameter is given twice: type.","fields":["type"],"requestId":"request-1"}
    events/msg_1?fields=payload
      422 {"code":"invalid_query","error":"These fields are not known here: fields.","fields":["fields"],"requestId":"request-1"}
    history/me
      422 {"code":"invalid_id","error":"A history is named by the UUID of a user's row or by a Clerk id (user_…, org_… or orgmem_…).","fields":["id"],"requestId":"request-1"}
    history/%00
      422 {"code":"invalid_id","error":"A history is named by the UUID of a user's row or by a Clerk id (user_…, org_… or orgmem_…).","fields":["id"],"requestId":"request-1"}
    history/user_1?since=today
      422 {"code":"invalid_query","error":"These fields are not known here: since.","fields":["since"],"requestId":"request-1"}
    history/user_1?limit=0
      422 {"code":"invalid_query","error":"limit takes 1 to 500.","fields":["limit"],"requestId":"request-1"}
    history/user_1?cursor=nonsense
      422 {"code":"invalid_query","error":"The cursor is not one that this list gave out.","fields":["cursor"],"requestId":"request-1"}
    health?details=all
      422 {"code":"invalid_query","error":"These fields are not known here: details.","fields":["details"],"requestId":"request-1"}
    replay: {}
      422 {"code":"invalid_body","error":"Say which events: either svixIds or filter.","fields":["svixIds","filter"],"requestId":"request-1"}
    replay: {"svixIds":["msg_1"],"filter":{}}
      422 {"code":"invalid_body","error":"Say which events: either svixIds or filter.","fields":["svixIds","filter"],"requestId":"request-1"}
    replay: {"svixIds":[]}
      422 {"code":"invalid_body","error":"svixIds takes 1 to 500 message ids.","fields":["svixIds"],"requestId":"request-1"}
    replay: {"svixIds":[""]}
      422 {"code":"invalid_body","error":"svixIds takes 1 to 500 message ids.","fields":["svixIds"],"requestId":"request-1"}
    replay: {"svixIds":"msg_1"}
      422 {"code":"invalid_body","error":"This field is not what it should be: svixIds.","fields":["svixIds"],"requestId":"request-1"}
    replay: {"svixIds":["msg_1"],"dryrun":true}
      422 {"code":"invalid_body","error":"These fields are not known here: dryrun.","fields":["dryrun"],"requestId":"request-1"}
    replay: {"svixIds":["msg_1"],"dryRun":"yes"}
      422 {"code":"invalid_body","error":"This field is not what it should be: dryRun.","fields":["dryRun"],"requestId":"request-1"}
    replay: {"svixIds":["msg_1"],"cursor":"nonsense"}
      422 {"code":"invalid_query","error":"The cursor is not one that this list gave out.","fields":["cursor"],"requestId":"request-1"}
    replay: {"filter":{"outcome":"applied"}}
      422 {"code":"invalid_body","error":"outcome takes dead or parked: nothing else can be replayed.","fields":["filter.outcome"],"requestId":"request-1"}
    replay: {"filter":{"outcome":"done"}}
      422 {"code":"invalid_body","error":"This field is not what it should be: filter.outcome.","fields":["filter.outcome"],"requestId":"request-1"}
    replay: {"filter":{"object":"acme"}}
      422 {"code":"invalid_body","error":"An object is named by its Clerk id (user_…, org_… or orgmem_…).","fields":["filter.object"],"requestId":"request-1"}
    replay: {"filter":{"since":"yesterday"}}
      422 {"code":"invalid_body","error":"This field is not what it should be: filter.since.","fields":["filter.since"],"requestId":"request-1"}
    replay: {"filter":{"rule":"R7"}}
      422 {"code":"invalid_body","error":"These fields are not known here: filter.rule.","fields":["filter.rule"],"requestId":"request-1"}
    replay: []
      422 {"code":"invalid_body","error":"The body is not a JSON object.","requestId":"request-1"}
    replay: 501 ids
      422 {"code":"invalid_body","error":"svixIds takes 1 to 500 message ids.","fields":["svixIds"],"requestId":"request-1"}
    "#);
}

/// Postgres has no NUL in a text: that is the caller's mistake, or nothing is found.
#[tokio::test]
async fn a_nul_in_a_query_is_no_failure_of_ours() {
    let app = TestApp::new().await;
    let admin = app.admin("grace").await;
    for path in [
        "users?search=%00",
        "users?search=a%00b",
        "organizations?search=%00",
        "role-changes?actor=%00",
    ] {
        let answer = app.get(&admin, &format!("/api/admin/{path}")).await;
        assert!(
            [200, 422].contains(&answer.status),
            "{path}: {} {}",
            answer.status,
            answer.body
        );
    }
    app.database.remove().await;
}

/// A cursor is opaque, and still anybody can write one.
#[tokio::test]
async fn a_forged_cursor_is_422() {
    let app = TestApp::new().await;
    let admin = app.admin("grace").await;
    let keys = [
        ("-createdAt", "nonsense"),
        ("-createdAt", ""),
        ("createdAt", "9999999-01-01"),
        ("-lastSignInAt", "nonsense"),
        ("name", "a\u{0}b"),
    ];
    for (order, key) in keys {
        let place = json!({ "order": order, "key": key, "id": NOBODY });
        let cursor = base64_url(&app, place.to_string().as_bytes()).await;
        let path = format!("/api/admin/users?sort={order}&cursor={cursor}");
        let answer = app.get(&admin, &path).await;
        assert_eq!(answer.status, 422, "{place}: {}", answer.body);
    }
    let place = json!({ "name": "a\u{0}b", "id": NOBODY });
    let cursor = base64_url(&app, place.to_string().as_bytes()).await;
    let path = format!("/api/admin/organizations?cursor={cursor}");
    assert_eq!(app.get(&admin, &path).await.status, 422);
    app.database.remove().await;
}

async fn base64_url(app: &TestApp, bytes: &[u8]) -> String {
    let statement = "select translate(encode($1, 'base64'), E'+/=\n', '-_')";
    let row = app
        .sql
        .query_typed(statement, &[(&bytes, Type::BYTEA)])
        .await
        .unwrap();
    row[0].get(0)
}

/// A time that jiff can hold and Postgres cannot.
#[tokio::test]
async fn a_time_long_before_all_changes_is_no_failure_of_ours() {
    let app = TestApp::new().await;
    let admin = app.admin("grace").await;
    for since in ["-009999-01-02T00:00:00Z", "9999-12-30T00:00:00Z"] {
        let path = format!("/api/admin/role-changes?since={since}");
        let answer = app.get(&admin, &path).await;
        assert!(
            [200, 422].contains(&answer.status),
            "{since}: {} {}",
            answer.status,
            answer.body
        );
    }
    app.database.remove().await;
}

/// 500: a setting is missing, and only what needs it says so.
async fn not_configured() -> Refusals {
    let mut refusals = Refusals::default();
    let all: Vec<_> = [("POST", WEBHOOK)].into_iter().chain(GUARDED).collect();
    let (webhook, guarded) = all.split_at(1);
    let (asking_clerk, _) = guarded.split_at(N_ASKING_CLERK);
    let cases: [(Pairs<'_>, Pairs<'_>); 8] = [
        (&[("DATABASE_URL", "")], &all),
        (&[("DATABASE_URL", "mysql://app@localhost/app")], &all),
        (&[("DATABASE_URL", "ssm:/app/database")], &all),
        (&[("CLERK_SECRET_KEY", "")], asking_clerk),
        (&[("CLERK_SECRET_KEY", ""), ("CLERK_JWT_KEY", "")], guarded),
        (&[("CLERK_JWT_KEY", "no key")], guarded),
        (&[("CLERK_WEBHOOK_SECRET", "")], webhook),
        (&[("CLERK_WEBHOOK_SECRET", "secretsmanager:clerk")], webhook),
    ];
    for (settings, routes) in cases {
        let app = TestApp::with(settings).await;
        let admin = made_admin(&app).await;
        let mut answers = Vec::new();
        for &(method, path) in routes {
            answers.push(ask_well(&app, &admin, method, path).await);
        }
        let settings = settings
            .iter()
            .map(|(name, value)| format!("{name}={value:?}"));
        let settings = settings.collect::<Vec<_>>().join(", ");
        let asked = format!("{settings}, at {} of {} routes", routes.len(), all.len());
        refusals.add(asked, the_one(answers));
        app.database.remove().await;
    }
    refusals
}

/// An admin in Clerk and here, whatever is not configured.
async fn made_admin(app: &TestApp) -> String {
    let users = app
        .clerk
        .seed_silently(vec![json!({ "email": "grace@example.com" })]);
    let admin = users[0]["id"].as_str().unwrap().to_owned();
    app.execute(&format!(
        "insert into users (clerk_id, role, confirmed_at) values ('{admin}', 'ADMIN', now())"
    ))
    .await;
    admin
}

/// A call with which nothing is wrong.
async fn ask_well(app: &TestApp, admin: &str, method: &str, path: &str) -> Answer {
    if path == WEBHOOK {
        let event = json!({ "type": "session.created", "instance_id": app.clerk.instance_id() });
        return app.deliver_event("msg_1", &event).await;
    }
    let call = Call::new(method, path).token(&app.clerk.session_token(admin));
    ask(app, &with_good_body(call, method, path), method, path).await
}

#[tokio::test]
async fn a_missing_setting_is_500_and_named_by_what_does_not_work() {
    assert_snapshot!(not_configured().await.told(), @r#"
    DATABASE_URL="", at 34 of 34 routes
      500 {"code":"not_configured","error":"Database not configured","requestId":"request-1"}
    DATABASE_URL="mysql://app@localhost/app", at 34 of 34 routes
      500 {"code":"not_configured","error":"Database not configured","requestId":"request-1"}
    DATABASE_URL="ssm:/app/database", at 34 of 34 routes
      500 {"code":"not_configured","error":"Database not configured","requestId":"request-1"}
    CLERK_SECRET_KEY="", at 14 of 34 routes
      500 {"code":"not_configured","error":"Clerk authentication not configured","requestId":"request-1"}
    CLERK_SECRET_KEY="", CLERK_JWT_KEY="", at 33 of 34 routes
      500 {"code":"not_configured","error":"Clerk authentication not configured","requestId":"request-1"}
    CLERK_JWT_KEY="no key", at 33 of 34 routes
      500 {"code":"not_configured","error":"Clerk authentication not configured","requestId":"request-1"}
    CLERK_WEBHOOK_SECRET="", at 1 of 34 routes
      500 {"code":"not_configured","error":"Webhook verification not configured","requestId":"request-1"}
    CLERK_WEBHOOK_SECRET="secretsmanager:clerk", at 1 of 34 routes
      500 {"code":"not_configured","error":"Webhook verification not configured","requestId":"request-1"}
    "#);
}

/// 503: the database cannot be reached.
async fn unreachable() -> Refusals {
    let database = Database::new().await;
    let app = TestApp::at(database, "postgres://app@127.0.0.1:1/none", &[]).await;
    let admin = made_admin(&app).await;
    let mut answers = Vec::new();
    for (method, path) in [("POST", WEBHOOK)].into_iter().chain(GUARDED) {
        answers.push(ask_well(&app, &admin, method, path).await);
    }
    let mut refusals = Refusals::default();
    refusals.add("any route", the_one(answers));
    app.database.remove().await;
    refusals
}

#[tokio::test]
async fn a_database_that_cannot_be_reached_is_503_and_says_when_to_try_again() {
    assert_snapshot!(unreachable().await.told(), @r#"
    any route
      503 retry-after: 1 {"code":"database_unavailable","error":"The database cannot be reached right now; try again.","requestId":"request-1"}
    "#);
}

/// Whatever is refused, and why: the same form, a sentence for people, and nothing else.
#[tokio::test]
async fn every_refusal_is_a_sentence_and_tells_nothing_of_our_inside() {
    let all = [
        unsigned().await,
        not_signed_in().await,
        not_admins().await,
        not_found().await,
        wrong_method().await,
        in_conflict().await,
        profiles_in_conflict().await,
        clerk_in_trouble().await,
        not_json_or_too_long().await,
        unreadable_bodies().await,
        unreadable_wishes().await,
        unreadable_edits().await,
        unreadable_queries().await,
        unreadable_questions().await,
        not_configured().await,
        unreachable().await,
    ];
    let refusals: Vec<_> = all.into_iter().flat_map(|refusals| refusals.0).collect();
    assert!(refusals.len() > 100);
    for (asked, answer) in &refusals {
        if let Some(problem) = problem(answer) {
            panic!("{asked}: {problem}: {}", answer.body);
        }
    }
}

/// What is wrong with the form of a refusal, if anything is.
fn problem(answer: &Answer) -> Option<&'static str> {
    let body = answer.body.as_object()?;
    let mut keys: Vec<&str> = body.keys().map(String::as_str).collect();
    keys.sort_unstable();
    let text = |key: &str| body.get(key).and_then(Value::as_str).unwrap_or_default();
    let (error, code) = (text("error"), text("code"));
    let is_word = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
    let are_texts = |value: &Value| {
        let items = value.as_array().map(Vec::as_slice).unwrap_or_default();
        !items.is_empty() && items.iter().all(Value::is_string)
    };
    // DESIGN words these itself, without a full stop.
    let is_worded = match code {
        "not_configured" => error.ends_with(" not configured"),
        "invalid_update_data" => error == "Invalid update data",
        _ => error == "Failed to sync with Clerk authentication system",
    };
    let begins_well = |text: &str| {
        text.starts_with(char::is_uppercase) || FIELDS.iter().any(|field| text.starts_with(field))
    };
    let all = answer.body.to_string().to_lowercase();
    // An address that is nobody's, and a line that is none of our code.
    let all = all.replace("such as ada@example.com", "");
    let all = all.replace("a line break", "");
    let has = |words: &[&str]| words.iter().any(|word| all.contains(word));
    let checks = [
        (are_known(&keys, code), "other keys"),
        (
            body.get("fields").is_none_or(are_texts),
            "fields that are no texts",
        ),
        (
            !code.is_empty() && code.bytes().all(is_word),
            "no code in snake_case",
        ),
        (text("requestId") == "request-1", "another request id"),
        (begins_well(error), "no sentence"),
        (error.ends_with('.') || is_worded, "no full stop"),
        (
            body.get("detail").is_none_or(|_| {
                let detail = text("detail");
                begins_well(detail) && detail.ends_with('.')
            }),
            "no sentence in detail",
        ),
        (!error.contains('\n'), "more than a line"),
        (!has(SQL), "SQL"),
        (!has(SECRETS), "a secret"),
        (!has(STACKS), "a stack"),
        (
            answer.headers["content-type"] == "application/json",
            "another content type",
        ),
        (answer.headers["cache-control"] == "no-store", "a cache"),
    ];
    checks
        .into_iter()
        .find(|(is_good, _)| !is_good)
        .map(|(_, problem)| problem)
}

/// Whether a refusal of this code has the keys that it should have.
fn are_known(keys: &[&str], code: &str) -> bool {
    let is_clerks = code.starts_with("clerk_") || code == "not_found_in_clerk";
    let (must, may): (&[&str], &[&str]) = match code {
        "requires_invitation" => (&["requiresInvitation", "success"], &[]),
        "invalid_update_data" => (&["detail"], &["fields", "outcome"]),
        _ if is_clerks => (&[], &["outcome"]),
        _ => (&[], &["fields"]),
    };
    let must = [&["code", "error", "requestId"], must].concat();
    must.iter().all(|key| keys.contains(key))
        && keys
            .iter()
            .all(|key| must.contains(key) || may.contains(key))
}

/// A sentence may begin with the field that it is about.
const FIELDS: &[&str] = &[
    "userId",
    "limit",
    "name",
    "firstName",
    "lastName",
    "email",
    "builderGroupId",
    "clerkId",
    "updates",
    "svixIds",
    "outcome",
    "days",
];
const SQL: &[&str] = &[
    "select ",
    "insert ",
    "update users",
    "delete from",
    "sqlstate",
    "relation ",
    "column ",
    "constraint",
    "violates",
    "duplicate key",
    "syntax error",
    "::",
];
const SECRETS: &[&str] = &[
    "sk_test",
    "sk_live",
    "whsec_",
    "begin public key",
    "begin private key",
    "bearer ",
    "eyj",
    "postgres:",
    "mysql:",
    "ssm:",
    "secretsmanager:",
    "127.0.0.1",
    "localhost",
    "@example.com",
];
const STACKS: &[&str] = &[
    "panicked",
    "backtrace",
    ".rs",
    "tokio",
    "os error",
    "serde",
    "line ",
    "unwrap",
];

/// The check above is able to fail.
#[test]
fn a_refusal_of_another_form_is_noticed() {
    let good = json!({ "error": "No.", "code": "no", "requestId": "request-1" });
    let headers = json!({ "content-type": "application/json", "cache-control": "no-store" });
    let check = |key: &str, value: Value, expected: Option<&str>| {
        let mut body = good.clone();
        body[key] = value;
        let headers = headers.clone();
        let answer = Answer {
            status: 400,
            headers,
            body,
        };
        assert_eq!(problem(&answer), expected, "{}", answer.body);
    };
    check("code", json!("no"), None);
    check("fields", json!(["a"]), None);
    check("cause", json!("x"), Some("other keys"));
    check("detail", json!("Too long."), Some("other keys"));
    check("outcome", json!("unknown"), Some("other keys"));
    check("requiresInvitation", json!(true), Some("other keys"));
    check("code", json!("requires_invitation"), Some("other keys"));
    check("fields", json!([]), Some("fields that are no texts"));
    check("code", json!("No"), Some("no code in snake_case"));
    check("requestId", json!(""), Some("another request id"));
    check("error", json!("no."), Some("no sentence"));
    check("error", json!("No"), Some("no full stop"));
    check("error", json!("Relation users is away."), Some("SQL"));
    check("error", json!("It is whsec_x."), Some("a secret"));
    check("error", json!("It panicked."), Some("a stack"));
}
