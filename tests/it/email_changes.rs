//! New addresses by invitation (R12): on both sides.

mod ends;
mod histories;
mod moves;
mod races;
mod requests;

use clerk_emulator::Emulator;
use serde_json::{Value, json};

use crate::support::TestApp;
use crate::support::app::settings_of;
use crate::support::gateway::{Answer, Call};

/// The address that Ada shall have.
const NEW: &str = "ada.new@example.com";
/// One that nobody has.
const OTHER: &str = "ada.other@example.com";

/// Grace, an admin, has asked for a new address for Ada, a student, and Clerk has invited it.
struct Invited {
    app: TestApp,
    grace: String,
    /// Ada's account in Clerk.
    ada: String,
    /// Ada's row.
    row: String,
    /// The invitation in Clerk.
    invitation: String,
}

impl Invited {
    async fn new() -> Self {
        Self::with(json!({})).await
    }

    /// Ada has this in Clerk, too.
    async fn with(more: Value) -> Self {
        let app = TestApp::new().await;
        let grace = app.admin("grace").await;
        let mut user = json!({
            "email": "ada@example.com",
            "public_metadata": { "role": "STUDENT" },
        });
        for (key, value) in more.as_object().unwrap() {
            user[key] = value.clone();
        }
        let ada = id(&app.clerk.create_user(user));
        app.deliver_all().await;
        let row = id(&app.row(&ada).await);
        let answer = app.email_change("POST", &grace, &ada, Some(NEW)).await;
        assert_eq!(answer.status, 202, "{}", answer.body);
        let invitation = text(&last_change(&app).await["invitation_id"]);
        Self {
            app,
            grace,
            ada,
            row,
            invitation,
        }
    }

    /// Somebody follows the link; returns the id of their account.
    fn accept(&self) -> String {
        id(&self.app.clerk.accept_invitation(&self.invitation))
    }

    /// The row is on this account, with everything that it had, and the old one is gone.
    async fn assert_moved_to(&self, new: &str) {
        let row = self.app.row(new).await;
        assert_eq!(row["id"], json!(self.row), "the same row");
        assert_eq!(row["email"], NEW);
        assert_eq!(row["email_verified"], true);
        assert!(row["deleted_at"].is_null(), "{row}");
        let tombstone = self.app.row(&self.ada).await;
        assert!(!tombstone["deleted_at"].is_null(), "{tombstone}");
        assert!(tombstone["email"].is_null(), "{tombstone}");
        assert_ne!(tombstone["id"], json!(self.row));
        assert!(self.app.clerk.user(new).is_some());
        assert!(self.app.clerk.user(&self.ada).is_none(), "it is removed");
        let change = last_change(&self.app).await;
        assert_eq!(change["state"], "done", "{change}");
        assert_eq!(change["new_clerk_id"], json!(new));
        assert_eq!(change["old_clerk_id"], json!(self.ada));
        assert_eq!(n_removed(&self.app, &self.ada), 1, "removed once");
    }

    /// Nothing moved: the row is where it was, and the account, too.
    async fn assert_stayed(&self) {
        let row = self.app.row(&self.ada).await;
        assert_eq!(row["id"], json!(self.row));
        assert_eq!(row["email"], "ada@example.com");
        assert!(row["deleted_at"].is_null(), "{row}");
        assert!(self.app.clerk.user(&self.ada).is_some());
        assert_eq!(n_calls(&self.app, "DELETE", "/v1/users"), 0);
    }

    /// What an admin is shown.
    async fn shown(&self) -> Value {
        let answer = self.app.email_change("GET", &self.grace, &self.row, None);
        let answer = answer.await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.body["emailChange"].clone()
    }
}

fn id(object: &Value) -> String {
    text(&object["id"])
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

#[track_caller]
fn assert_refused(answer: &Answer, status: u16, code: &str) {
    let found = (answer.status, &answer.body["code"]);
    assert_eq!(found, (status, &json!(code)), "{}", answer.body);
}

/// All changes of address, oldest first.
async fn changes(app: &TestApp) -> Vec<Value> {
    let statement = "select to_jsonb(c) from email_changes c order by c.created_at, c.id";
    let rows = app.sql.query(statement, &[]).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

async fn last_change(app: &TestApp) -> Value {
    changes(app).await.pop().expect("a change of address")
}

/// State and reason of all changes, oldest first.
async fn states(app: &TestApp) -> Vec<(String, Option<String>)> {
    let changes = changes(app).await;
    let state = |it: &Value| {
        let reason = it["reason"].as_str().map(str::to_owned);
        (text(&it["state"]), reason)
    };
    changes.iter().map(state).collect()
}

/// A state without a reason.
fn ended(state: &str) -> (String, Option<String>) {
    (state.to_owned(), None)
}

fn failed(reason: &str) -> (String, Option<String>) {
    ("failed".to_owned(), Some(reason.to_owned()))
}

/// The invitations that Clerk holds with this status.
async fn invitations(app: &TestApp, status: &str) -> Vec<Value> {
    let url = format!(
        "{}/v1/invitations?limit=500&status={status}",
        app.clerk.url()
    );
    let answer = reqwest::Client::new()
        .get(url)
        .bearer_auth(app.clerk.secret_key())
        .send()
        .await
        .unwrap();
    serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap()
}

/// Somebody invites or revokes in Clerk's dashboard.
async fn at_dashboard(app: &TestApp, path: &str, body: &Value) -> Value {
    let answer = reqwest::Client::new()
        .post(format!("{}/v1/invitations{path}", app.clerk.url()))
        .bearer_auth(app.clerk.secret_key())
        .json(body)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);
    serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap()
}

/// How many calls with this method and this in their path Clerk has received.
fn n_calls(app: &TestApp, method: &str, path: &str) -> usize {
    places(app, method, path).len()
}

/// How often Clerk has removed an account at our wish.
fn n_removed(app: &TestApp, user: &str) -> usize {
    let is_done = |it: &&clerk_emulator::Request| {
        // The answer of one that was dropped has no status.
        it.method == "DELETE" && it.path.ends_with(user) && [200, 0].contains(&it.status)
    };
    app.clerk.requests().iter().filter(is_done).count()
}

/// How many invitations Clerk was asked to send.
fn n_invited(app: &TestApp) -> usize {
    let is_new =
        |it: &&clerk_emulator::Request| it.method == "POST" && it.path == "/v1/invitations";
    app.clerk.requests().iter().filter(is_new).count()
}

/// The places of such calls among all.
fn places(app: &TestApp, method: &str, path: &str) -> Vec<usize> {
    let requests = app.clerk.requests();
    let is_such =
        |(_, it): &(usize, &clerk_emulator::Request)| it.method == method && it.path.contains(path);
    let all = requests.iter().enumerate().filter(is_such);
    all.map(|(place, _)| place).collect()
}

/// Everything is due at once, and one tick looks after it.
async fn reconcile_now(app: &TestApp) -> shared::sync::Report {
    app.forget_waits().await;
    app.reconcile().await
}

/// A token that is good by the real clock, wherever the emulator's is.
fn token_now(app: &TestApp, user: &str) -> String {
    let now = Emulator::real_ms() / 1000;
    let claims = json!({ "iat": now, "nbf": now - 10, "exp": now + 60 });
    app.clerk.session_token_with(user, claims)
}

/// A call about a change of address with a token that is good by the real clock.
async fn email_change_now(
    app: &TestApp,
    method: &str,
    admin: &str,
    user: &str,
    email: Option<&str>,
) -> Answer {
    let call =
        Call::new(method, &format!("/api/users/{user}/email-change")).token(&token_now(app, admin));
    let call = match email {
        Some(email) => call.json(&json!({ "email": email })),
        None => call,
    };
    app.call_update_user(&call).await
}

/// Asks for an address at a sandbox of its own, with a connection of its own.
async fn request_elsewhere(app: &TestApp, admin: &str, user: &str, email: &str) -> Answer {
    let sandbox =
        shared::gate::Gate::from_settings(&settings_of(&app.clerk, &app.database.url, &[]));
    let call = Call::new("POST", &format!("/api/users/{user}/email-change"))
        .token(&app.clerk.session_token(admin))
        .json(&json!({ "email": email }));
    let handler = |request| update_user::handle(&sandbox, request);
    Answer::read(&shared::http::answer(call.event(), &handler).await)
}

/// The user's own request.
async fn sync_self(app: &TestApp, token: &str) -> Answer {
    app.call_sync_user(&Call::new("POST", "/api/sync/user").token(token))
        .await
}
