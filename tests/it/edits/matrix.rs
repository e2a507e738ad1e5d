//! The testing matrix of the document that asked for profile edits, row by row and in its own words.
//!
//! Each row is a test by its name, and one test shows the whole table: `.config/nextest.toml` lets
//! its output through, and nothing but the table is written.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use clerk_emulator::{Effect, Fault};
use futures_util::FutureExt as _;
use futures_util::future::LocalBoxFuture;
use serde_json::{Value, json};

use super::{
    USUAL_TIME, ask, assert_done, assert_names, assert_refused, became, both_sides, changes,
    edit_call, edit_in_clerk_call, row_by_id, uuid, without_account,
};
use crate::support::TestApp;
use crate::support::gateway::{Answer, Call};

/// A row of the matrix.
struct Row {
    scenario: &'static str,
    expected: &'static str,
    is_so: fn() -> LocalBoxFuture<'static, ()>,
}

const ROWS: [Row; 6] = [
    Row {
        scenario: "Edit user with `clerk_id` (name)",
        expected: "Clerk + DB updated",
        is_so: || check_name_of_user_with_clerk_id().boxed_local(),
    },
    Row {
        scenario: "Edit user with `clerk_id` (email)",
        expected: "! Warning: requires re-invitation",
        is_so: || check_email_of_user_with_clerk_id().boxed_local(),
    },
    Row {
        scenario: "Edit user WITHOUT `clerk_id`",
        expected: "DB updated only",
        is_so: || check_user_without_clerk_id().boxed_local(),
    },
    Row {
        scenario: "Clerk API fails (500)",
        expected: "x Error shown, DB NOT updated",
        is_so: || check_clerk_api_fails().boxed_local(),
    },
    Row {
        scenario: "Duplicate email",
        expected: "x Error shown, DB NOT updated",
        is_so: || check_duplicate_email().boxed_local(),
    },
    Row {
        scenario: "Network timeout",
        expected: "x Error shown, UI reverted",
        is_so: || check_network_timeout().boxed_local(),
    },
];

#[tokio::test]
async fn edit_user_with_clerk_id_name() {
    Box::pin(check_name_of_user_with_clerk_id()).await;
}

#[tokio::test]
async fn edit_user_with_clerk_id_email() {
    Box::pin(check_email_of_user_with_clerk_id()).await;
}

#[tokio::test]
async fn edit_user_without_clerk_id() {
    Box::pin(check_user_without_clerk_id()).await;
}

#[tokio::test]
async fn clerk_api_fails_500() {
    Box::pin(check_clerk_api_fails()).await;
}

#[tokio::test]
async fn duplicate_email() {
    Box::pin(check_duplicate_email()).await;
}

#[tokio::test]
async fn network_timeout() {
    Box::pin(check_network_timeout()).await;
}

/// A row that fails is shown as such, and so are the rows after it.
#[tokio::test]
async fn all_rows_of_the_testing_matrix() {
    let mut table = vec![line("Scenario", "Expected Result", "Status")];
    let mut failed = Vec::new();
    for row in ROWS {
        let is_so = AssertUnwindSafe((row.is_so)()).catch_unwind().await.is_ok();
        let status = if is_so { "PASS" } else { "FAIL" };
        table.push(line(row.scenario, row.expected, status));
        if !is_so {
            failed.push(row.scenario);
        }
    }
    show(&table.join("\n"));
    assert!(failed.is_empty(), "{failed:?}");
}

/// The name is new on both sides.
async fn check_name_of_user_with_clerk_id() {
    let world = World::new().await;
    let answer = world.edit(json!({ "name": "Augusta King" })).await;
    assert_done(&answer, 200, "synced");
    assert_eq!(answer.body["user"]["name"], "Augusta King");
    assert_names(&world.ada().await, Some("Augusta"), Some("King"));

    let updates = json!({ "firstName": "Ada", "lastName": "Lovelace" });
    let answer = world.edit_in_clerk(updates).await;
    assert_done(&answer, 200, "synced");
    let shown = json!({ "id": world.ada, "firstName": "Ada", "lastName": "Lovelace" });
    assert_eq!(answer.body["user"], shown);
    assert_names(&world.ada().await, Some("Ada"), Some("Lovelace"));
    assert_eq!(world.became().await, ["done", "done"]);
    world.finish().await;
}

/// The answer says that an invitation is needed, and nothing changes anywhere.
async fn check_email_of_user_with_clerk_id() {
    let world = World::new().await;
    let before = world.ada().await;
    let answer = world
        .edit(json!({ "email": "augusta@example.com", "name": "Augusta King" }))
        .await;
    assert_refused(&answer, 409, "requires_invitation");
    assert_eq!(answer.body["success"], false);
    assert_eq!(answer.body["requiresInvitation"], true);
    assert_eq!(
        answer.body["error"],
        "This user has a Clerk account, which takes a new address by invitation only: send it to \
         POST /api/users/{userId}/email-change."
    );

    // The other function takes no address at all.
    let answer = world
        .edit_in_clerk(json!({ "email": "augusta@example.com", "firstName": "Augusta" }))
        .await;
    assert_refused(&answer, 422, "invalid_update_data");
    assert_eq!(answer.body["error"], "Invalid update data");
    assert_eq!(answer.body["fields"], json!(["updates.email"]));
    assert_eq!(world.ada().await, before);
    assert_eq!(changes(&world.app), [""; 0], "Clerk was not asked");
    assert!(world.became().await.is_empty());
    world.finish().await;
}

/// Name and address are new in the row, and Clerk hears nothing.
async fn check_user_without_clerk_id() {
    let world = World::new().await;
    let bob = without_account(&world.app, "bob").await;
    let edit =
        json!({ "email": "Robert@example.com", "name": "Robert Lee", "builderGroupId": "g1" });
    let answer = world.edit_of(&bob, edit).await;
    assert_done(&answer, 200, "synced");
    assert_eq!(answer.body["user"]["email"], "Robert@example.com");
    assert_eq!(answer.body["user"]["clerkId"], Value::Null);
    let row = row_by_id(&world.app, &bob).await;
    for (column, value) in [
        ("email", "Robert@example.com"),
        ("first_name", "Robert"),
        ("last_name", "Lee"),
        ("builder_group_id", "g1"),
    ] {
        assert_eq!(row[column], value, "{column}");
    }
    assert_eq!(row["clerk_id"], Value::Null);

    // The other function takes nothing but a Clerk id.
    let call = edit_in_clerk_call(
        &world.app,
        &world.grace,
        &bob,
        &json!({ "firstName": "Bob" }),
    );
    let answer = world.ask_update_clerk_user(&call, USUAL_TIME).await;
    assert_refused(&answer, 422, "invalid_update_data");
    assert_eq!(answer.body["fields"], json!(["clerkId"]));
    assert_eq!(row_by_id(&world.app, &bob).await, row);
    assert_eq!(world.app.clerk.requests().len(), 0, "Clerk heard nothing");
    world.finish().await;
}

/// The error is shown, and the row is as it was, then and later.
async fn check_clerk_api_fails() {
    for is_in_clerk in [false, true] {
        let world = World::new().await;
        let before = world.ada().await;
        world
            .app
            .clerk
            .fault(Fault::status(500).on("PATCH", "/v1/users"));
        let answer = world.change_name(is_in_clerk, USUAL_TIME).await;
        assert_refused(&answer, 502, "clerk_unavailable");
        assert_eq!(answer.body["error"], FAILED);
        assert_eq!(world.ada().await, before);
        world.app.clerk.clear_faults();
        world.finish().await;
    }
}

/// The error is shown, and both rows are as they were.
async fn check_duplicate_email() {
    let world = World::new().await;
    let bob = without_account(&world.app, "bob").await;
    let before = row_by_id(&world.app, &bob).await;
    let edit = || json!({ "email": "ADA@example.com", "name": "Robert Lee" });
    let answer = world.edit_of(&bob, edit()).await;
    assert_refused(&answer, 409, "email_taken");
    assert_eq!(
        answer.body["error"],
        "Another user has this address, or is invited to it."
    );
    assert_eq!(row_by_id(&world.app, &bob).await, before);

    // For a user with an account it is the same, before any talk of an invitation.
    let edit = json!({ "email": "bob@example.com", "name": "Augusta King" });
    let before = world.ada().await;
    let answer = world.edit(edit).await;
    assert_refused(&answer, 409, "email_taken");
    assert_eq!(answer.body["requiresInvitation"], Value::Null);
    assert_eq!(world.ada().await, before);
    assert_eq!(world.app.clerk.requests().len(), 0, "Clerk heard nothing");
    assert!(world.became().await.is_empty());
    world.finish().await;
}

/// The error is shown in time, and the row is as it was, to which whoever asked goes back.
async fn check_network_timeout() {
    for is_in_clerk in [false, true] {
        let world = World::new().await;
        let before = world.ada().await;
        let never = Effect::DelayBefore(Duration::from_mins(1));
        world
            .app
            .clerk
            .fault(Fault::new(never).on("PATCH", "/v1/users"));
        let answer = world
            .change_name(is_in_clerk, Duration::from_millis(1500))
            .await;
        assert_refused(&answer, 504, "clerk_timed_out");
        assert_eq!(answer.body["error"], FAILED);
        assert_eq!(answer.body["outcome"], "unknown");
        assert_eq!(world.ada().await, before);
        world.app.clerk.clear_faults();
        world.finish().await;
    }
}

const FAILED: &str = "Failed to sync with Clerk authentication system";

/// Grace, an admin, and Ada, whom she edits; nothing is logged.
struct World {
    app: TestApp,
    grace: String,
    ada: String,
}

impl World {
    async fn new() -> Self {
        let app = TestApp::with(&[("RUST_LOG", "off")]).await;
        let grace = created(&app, "grace", "ADMIN").await;
        let ada = created(&app, "ada", "STUDENT").await;
        app.clerk.clear_requests();
        Self { app, grace, ada }
    }

    /// Grace edits Ada's profile.
    async fn edit(&self, body: Value) -> Answer {
        let ada = uuid(&self.app, &self.ada).await;
        self.edit_of(&ada, body).await
    }

    /// Grace edits a profile.
    async fn edit_of(&self, user: &str, body: Value) -> Answer {
        let call = edit_call(&self.app, &self.grace, user, &body);
        self.ask_update_user(&call, USUAL_TIME).await
    }

    /// Grace edits Ada in Clerk.
    async fn edit_in_clerk(&self, updates: Value) -> Answer {
        let call = edit_in_clerk_call(&self.app, &self.grace, &self.ada, &updates);
        self.ask_update_clerk_user(&call, USUAL_TIME).await
    }

    /// Grace gives Ada another name by one of the two functions, which has so much time.
    async fn change_name(&self, is_in_clerk: bool, time: Duration) -> Answer {
        let names = json!({ "firstName": "Augusta", "lastName": "King" });
        if is_in_clerk {
            let call = edit_in_clerk_call(&self.app, &self.grace, &self.ada, &names);
            self.ask_update_clerk_user(&call, time).await
        } else {
            let call = edit_call(&self.app, &self.grace, &self.ada, &names);
            self.ask_update_user(&call, time).await
        }
    }

    async fn ask_update_user(&self, call: &Call, time: Duration) -> Answer {
        let handler = |request| update_user::handle(&self.app.update_user, request);
        ask(call, time, handler).await
    }

    async fn ask_update_clerk_user(&self, call: &Call, time: Duration) -> Answer {
        let handler = |request| update_clerk_user::handle(&self.app.update_clerk_user, request);
        ask(call, time, handler).await
    }

    /// Ada in Clerk, and in her row.
    async fn ada(&self) -> (Value, Value) {
        both_sides(&self.app, &self.ada).await
    }

    /// What became of the edits that were begun for Clerk.
    async fn became(&self) -> Vec<Value> {
        became(&self.app).await
    }

    /// Both sides are equal once everything is delivered and settled; then the database goes.
    async fn finish(self) {
        deliver_all(&self.app).await;
        self.app.forget_waits().await;
        self.app.reconcile().await;
        assert!(became(&self.app).await.iter().all(|it| !it.is_null()));
        self.app.assert_equal().await;
        self.app.database.remove().await;
    }
}

async fn created(app: &TestApp, name: &str, role: &str) -> String {
    let user = app.clerk.create_user(json!({
        "email": format!("{name}@example.com"),
        "first_name": name,
        "public_metadata": { "role": role },
    }));
    deliver_all(app).await;
    user["id"].as_str().unwrap().to_owned()
}

async fn deliver_all(app: &TestApp) {
    for message in app.clerk.take_messages() {
        let call = Call::new("POST", "/api/webhooks/clerk")
            .headers(app.clerk.sign(&message))
            .body(&message.body);
        let handler = |request| clerk_webhook::handle(&app.webhook, request);
        assert_eq!(ask(&call, USUAL_TIME, handler).await.status, 200);
    }
}

fn line(scenario: &str, expected: &str, status: &str) -> String {
    format!("| {scenario:<34} | {expected:<34} | {status:<6} |")
}

#[expect(clippy::print_stderr, reason = "the table is there to be seen")]
fn show(table: &str) {
    eprintln!("\n{table}\n");
}
