//! `update-clerk-user`: names and public metadata of anybody in Clerk, and the row that follows.

use std::time::Duration;

use clerk_emulator::Fault;
use serde_json::{Value, json};

use super::{
    assert_done, assert_names, assert_refused, became, both_sides, changes, edit_in_clerk_call,
    intents,
};
use crate::support::TestApp;
use crate::support::gateway::{Answer, Call};

/// The public metadata of a user on both sides, which is the same.
async fn metadata(app: &TestApp, user: &str) -> Value {
    let (there, here) = both_sides(app, user).await;
    assert_eq!(here["public_metadata"], there["public_metadata"]);
    here["public_metadata"].clone()
}

/// The answer says what is wrong with the update, in the document's words and in more.
#[track_caller]
fn assert_invalid(answer: &Answer, field: &str) {
    assert_refused(answer, 422, "invalid_update_data");
    assert_eq!(answer.body["error"], "Invalid update data");
    assert_eq!(answer.body["fields"], json!([field]), "{}", answer.body);
    assert!(answer.body["detail"].is_string(), "{}", answer.body);
}

#[tokio::test]
async fn the_answer_has_the_form_of_the_document() {
    let (app, grace, ada) = TestApp::with_admin_and_student().await;
    let updates = json!({ "firstName": "John", "lastName": "Doe", "publicMetadata": {} });
    let answer = app.edit_in_clerk(&grace, &ada, updates).await;
    assert_eq!(
        (answer.status, answer.body),
        (
            200,
            json!({
                "success": true,
                "user": { "id": ada, "firstName": "John", "lastName": "Doe" },
                "databaseSync": "synced",
            })
        )
    );
    assert_names(&both_sides(&app, &ada).await, Some("John"), Some("Doe"));
    app.finish().await;
}

/// What is left out stays, null and blank text clear.
#[tokio::test]
async fn names_are_left_out_cleared_or_set() {
    let (app, grace, ada) = TestApp::with_admin_and_student().await;
    let edits = [
        (
            json!({ "firstName": " Ada ", "lastName": "King" }),
            [Some("Ada"), Some("King")],
        ),
        (json!({ "lastName": null }), [Some("Ada"), None]),
        (
            json!({ "firstName": " ", "lastName": "Byron" }),
            [None, Some("Byron")],
        ),
    ];
    for (updates, [first, last]) in edits {
        let answer = app.edit_in_clerk(&grace, &ada, updates).await;
        assert_done(&answer, 200, "synced");
        let shown = json!({ "id": ada, "firstName": first, "lastName": last });
        assert_eq!(answer.body["user"], shown);
        assert_names(&both_sides(&app, &ada).await, first, last);
    }
    app.finish().await;
}

/// Deep: what is not named stays, null takes away, and the role is not touched.
#[tokio::test]
async fn metadata_is_merged_into_what_is_there() {
    let (app, grace, ada) = TestApp::with_admin_and_student().await;
    let edits = [
        (
            json!({ "theme": { "dark": true, "size": 3 }, "tags": ["a", "b"], "plan": "free" }),
            json!({ "theme": { "dark": true, "size": 3 }, "tags": ["a", "b"], "plan": "free" }),
        ),
        (
            json!({ "theme": { "size": null, "font": "serif" }, "tags": ["c"], "plan": null }),
            json!({ "theme": { "dark": true, "font": "serif" }, "tags": ["c"] }),
        ),
        (
            json!({ "theme": null, "missing": null }),
            json!({ "tags": ["c"] }),
        ),
        (json!({}), json!({ "tags": ["c"] })),
    ];
    for (patch, expected) in edits {
        let updates = json!({ "publicMetadata": patch });
        let answer = app.edit_in_clerk(&grace, &ada, updates).await;
        assert_done(&answer, 200, "synced");
        let mut expected = expected;
        expected["role"] = json!("STUDENT");
        assert_eq!(metadata(&app, &ada).await, expected);
        assert_eq!(app.role(&ada).await, "STUDENT");
    }
    app.finish().await;
}

#[tokio::test]
async fn names_and_metadata_go_together() {
    let (app, grace, ada) = TestApp::with_admin_and_student().await;
    let updates = json!({ "firstName": "Augusta", "publicMetadata": { "plan": "free" } });
    assert_done(
        &app.edit_in_clerk(&grace, &ada, updates).await,
        200,
        "synced",
    );
    assert_names(&both_sides(&app, &ada).await, Some("Augusta"), None);
    assert_eq!(metadata(&app, &ada).await["plan"], "free");
    let fields = &intents(&app).await[0]["fields"];
    assert_eq!(fields, &json!(["first_name", "public_metadata"]));
    assert_eq!(became(&app).await, ["done"]);
    app.finish().await;
}

/// The role has a way of its own, with its own rules (R8, R13).
#[tokio::test]
async fn the_role_is_not_set_here() {
    let (app, grace, ada) = TestApp::with_admin_and_student().await;
    app.clerk.clear_requests();
    for role in [json!("ADMIN"), json!("STUDENT"), Value::Null] {
        let updates = json!({ "firstName": "A", "publicMetadata": { "role": role, "a": 1 } });
        let answer = app.edit_in_clerk(&grace, &ada, updates).await;
        assert_refused(&answer, 422, "role_not_allowed");
        assert_eq!(answer.body["fields"], json!(["updates.publicMetadata"]));
    }
    assert_eq!(app.clerk.requests().len(), 0, "Clerk was not asked");
    assert_names(&both_sides(&app, &ada).await, Some("ada"), None);
    assert_eq!(metadata(&app, &ada).await, json!({ "role": "STUDENT" }));
    app.finish().await;
}

/// Clerk's bag holds 8 KB: more in one edit never goes there, and more in all is refused by Clerk.
#[tokio::test]
async fn metadata_that_does_not_fit_is_refused_and_nothing_changes() {
    let (app, grace, ada) = TestApp::with_admin_and_student().await;
    let bag = |key: &str, n_bytes: usize| {
        // {"key":"…"} has seven bytes besides.
        let text = "x".repeat(n_bytes - key.len() - 7);
        json!({ "firstName": "Augusta", "publicMetadata": { key: text } })
    };
    app.clerk.clear_requests();
    let answer = app
        .edit_in_clerk(&grace, &ada, bag("a", 8 * 1024 + 1))
        .await;
    assert_invalid(&answer, "updates.publicMetadata");
    assert_eq!(app.clerk.requests().len(), 0, "Clerk was not asked");

    let small = json!({ "publicMetadata": bag("a", 5 * 1024)["publicMetadata"] });
    assert_done(&app.edit_in_clerk(&grace, &ada, small).await, 200, "synced");
    let before = both_sides(&app, &ada).await;
    let answer = app.edit_in_clerk(&grace, &ada, bag("b", 5 * 1024)).await;
    assert_refused(&answer, 422, "invalid_update_data");
    assert_eq!(answer.body["error"], "Invalid update data");
    assert!(answer.body["detail"].as_str().unwrap().contains("8 KB"));
    assert_eq!(both_sides(&app, &ada).await, before, "not the name either");
    assert_eq!(became(&app).await, ["done", "refused"]);
    app.finish().await;
}

#[tokio::test]
async fn what_is_no_update_is_422_in_the_documents_words_and_clerk_is_not_asked() {
    let (app, grace, ada) = TestApp::with_admin_and_student().await;
    app.clerk.clear_requests();
    let long = "ä".repeat(256);
    let cases = [
        (json!({}), "updates"),
        (json!({ "firstName": long }), "updates.firstName"),
        (json!({ "lastName": "A\nB" }), "updates.lastName"),
        (json!({ "firstName": "A\u{0}" }), "updates.firstName"),
        (json!({ "firstName": 7 }), "updates.firstName"),
        (json!({ "lastName": ["A"] }), "updates.lastName"),
        (json!({ "publicMetadata": "x" }), "updates.publicMetadata"),
        (json!({ "publicMetadata": ["x"] }), "updates.publicMetadata"),
        (
            json!({ "publicMetadata": { "a": { "b": "\u{0}" } } }),
            "updates.publicMetadata",
        ),
        (
            json!({ "firstName": "A", "password": "a long one" }),
            "updates.password",
        ),
        (
            json!({ "firstName": "A", "privateMetadata": {} }),
            "updates.privateMetadata",
        ),
        (json!("firstName"), "updates"),
    ];
    for (updates, field) in cases {
        assert_invalid(&app.edit_in_clerk(&grace, &ada, updates).await, field);
    }
    let names = json!({ "firstName": "A" });
    for (body, field) in [
        (json!({ "updates": names }), "clerkId"),
        (json!({ "clerkId": ada }), "updates"),
        (json!({ "clerkId": "ada", "updates": names }), "clerkId"),
        (json!({ "clerkId": 7, "updates": names }), "clerkId"),
        (
            json!({ "clerkId": ada, "updates": names, "more": 1 }),
            "more",
        ),
    ] {
        let call = Call::new("POST", "/api/update-clerk-user")
            .token(&app.clerk.session_token(&grace))
            .json(&body);
        assert_invalid(&app.call_update_clerk_user(&call).await, field);
    }
    assert_eq!(app.clerk.requests().len(), 0);
    assert!(intents(&app).await.is_empty());
    app.finish().await;
}

/// What Clerk has against the names is told by our name of the field.
#[tokio::test]
async fn what_clerk_refuses_is_422_with_its_reason() {
    let (mut app, grace, ada) = TestApp::with_admin_and_student().await;
    let error = json!({
        "code": "form_param_format_invalid",
        "message": "is invalid",
        "long_message": "First name must not contain emoji.",
        "meta": { "param_name": "first_name" },
    });
    let status = axum::http::StatusCode::UNPROCESSABLE_ENTITY;
    let clerk = super::refusing(&app.clerk, status, json!({ "errors": [error] })).await;
    app.update_clerk_user = super::gate(&app, &clerk);
    let answer = app
        .edit_in_clerk(&grace, &ada, json!({ "firstName": "🌳" }))
        .await;
    assert_invalid(&answer, "firstName");
    assert_eq!(answer.body["detail"], "First name must not contain emoji.");
    assert_eq!(became(&app).await, ["refused"]);
    app.finish().await;
}

/// Who signed up and of whom no message came yet.
#[tokio::test]
async fn a_user_who_is_unknown_here_gets_a_row_from_clerks_answer() {
    let app = TestApp::new().await;
    let grace = app.admin("grace").await;
    let new = json!({ "email": "bob@example.com", "public_metadata": { "role": "INSTRUCTOR" } });
    let user = app.clerk.silently(|clerk| clerk.create_user(new));
    let bob = user["id"].as_str().unwrap();
    assert_eq!(app.row(bob).await, Value::Null);
    let updates = json!({ "firstName": "Bob", "publicMetadata": { "plan": "free" } });
    assert_done(
        &app.edit_in_clerk(&grace, bob, updates).await,
        200,
        "synced",
    );
    assert_names(&both_sides(&app, bob).await, Some("Bob"), None);
    let row = app.row(bob).await;
    assert_eq!(row["email"], "bob@example.com");
    assert_eq!(row["role"], "INSTRUCTOR");
    assert_eq!(became(&app).await, ["done"]);
    app.finish().await;
}

/// The answer is lost, and so is the row, until the edit is settled.
#[tokio::test]
async fn a_user_who_is_unknown_here_gets_a_row_when_the_edit_is_settled() {
    let app = TestApp::new().await;
    let grace = app.admin("grace").await;
    let new = json!({ "email": "bob@example.com", "role": "STUDENT" });
    let user = app.clerk.silently(|clerk| clerk.create_user(new));
    let bob = user["id"].as_str().unwrap();
    app.clerk
        .fault(Fault::drop().on("PATCH", "/v1/users").once());
    let answer = app
        .edit_in_clerk(&grace, bob, json!({ "firstName": "Bob" }))
        .await;
    assert_refused(&answer, 502, "clerk_unavailable");
    assert_eq!(answer.body["outcome"], "unknown");
    assert_eq!(app.row(bob).await, Value::Null);
    let names = json!({ "first_name": "Bob" });
    app.clerk.silently(|clerk| clerk.update_user(bob, names));
    app.forget_waits().await;
    app.reconcile().await;
    assert_names(&both_sides(&app, bob).await, Some("Bob"), None);
    assert_eq!(became(&app).await, ["done"]);
    app.finish().await;
}

#[tokio::test]
async fn a_user_who_is_unknown_to_clerk_is_404_in_the_documents_words() {
    let app = TestApp::new().await;
    let grace = app.admin("grace").await;
    for updates in [
        json!({ "firstName": "A" }),
        json!({ "publicMetadata": { "a": 1 } }),
    ] {
        let answer = app.edit_in_clerk(&grace, "user_nobody", updates).await;
        assert_refused(&answer, 404, "not_found_in_clerk");
        assert_eq!(
            answer.body["error"],
            "User not found in Clerk. They may have been deleted."
        );
    }
    assert_eq!(app.row("user_nobody").await, Value::Null);
    assert_eq!(became(&app).await, ["refused", "refused"]);
    app.finish().await;
}

/// The names are refused after the metadata was taken: the answer gives the reason and says that a
/// part was done, and both sides are equal.
#[tokio::test]
async fn metadata_that_was_taken_before_the_names_were_refused_is_partial_on_both_sides() {
    let refusals = [
        (Fault::rate_limited(7), 502, "clerk_rate_limited"),
        (Fault::refusal(403, "forbidden"), 502, "clerk_refused"),
        (
            Fault::refusal(422, "form_param_format_invalid"),
            422,
            "invalid_update_data",
        ),
        (
            Fault::refusal(409, "user_managed_by_scim"),
            409,
            "profile_owned_by_directory",
        ),
    ];
    for (fault, status, code) in refusals {
        let (app, grace, ada) = TestApp::with_admin_and_student().await;
        let answer = with_names_refused(&app, &grace, &ada, fault).await;
        assert_refused(&answer, status, code);
        assert_eq!(answer.body["outcome"], "partial", "{}", answer.body);
        if status == 422 {
            assert_eq!(answer.body["error"], "Invalid update data");
            assert!(answer.body["detail"].is_string(), "{}", answer.body);
        }
        let wait = (code == "clerk_rate_limited").then_some("7");
        assert_eq!(answer.headers["retry-after"], json!(wait), "{code}");
        assert_eq!(metadata(&app, &ada).await["plan"], "free");
        assert_names(&both_sides(&app, &ada).await, Some("ada"), None);
        let outcome = if wait.is_some() {
            "not_done"
        } else {
            "refused"
        };
        assert_eq!(became(&app).await, [outcome]);
        app.finish().await;
    }
}

/// Grace asks for metadata and names; Clerk takes the first, and the second comes to this.
async fn with_names_refused(app: &TestApp, grace: &str, ada: &str, fault: Fault) -> Answer {
    // It takes the call that is not to be spoilt.
    let metadata = format!("/v1/users/{ada}/metadata");
    let unspoilt = Fault::slow(Duration::ZERO).on("PATCH", &metadata).once();
    app.clerk.fault(unspoilt);
    app.clerk.fault(fault.on("PATCH", "/v1/users").once());
    let updates = json!({ "firstName": "Augusta", "publicMetadata": { "plan": "free" } });
    app.edit_in_clerk(grace, ada, updates).await
}

/// Nobody knows what became of the names: the row follows what Clerk shows, in one piece.
#[tokio::test]
async fn names_whose_outcome_is_unknown_after_metadata_that_was_taken_are_settled() {
    for is_made in [false, true] {
        let (app, grace, ada) = TestApp::with_admin_and_student().await;
        let answer = with_names_refused(&app, &grace, &ada, Fault::drop()).await;
        assert_refused(&answer, 502, "clerk_unavailable");
        assert_eq!(answer.body["outcome"], "unknown");
        assert_eq!(became(&app).await, [Value::Null]);
        if is_made {
            let names = json!({ "first_name": "Augusta" });
            app.clerk.silently(|clerk| clerk.update_user(&ada, names));
        }
        app.forget_waits().await;
        app.reconcile().await;
        assert_eq!(
            became(&app).await,
            [if is_made { "done" } else { "not_done" }]
        );
        assert_eq!(metadata(&app, &ada).await["plan"], "free");
        assert_eq!(changes(&app).len(), 2, "never sent again");
        app.finish().await;
    }
}

/// Metadata goes first: if it is refused, or nobody knows, the names are not sent.
#[tokio::test]
async fn names_are_not_sent_after_metadata_that_was_not_taken() {
    for fault in [
        Fault::rate_limited(1),
        Fault::refusal(422, "form_param_exceeds_allowed_size"),
        Fault::drop(),
        Fault::drop_answer(),
    ] {
        let (app, grace, ada) = TestApp::with_admin_and_student().await;
        let path = format!("/v1/users/{ada}/metadata");
        app.clerk.fault(fault.on("PATCH", &path).once());
        let updates = json!({ "firstName": "Augusta", "publicMetadata": { "plan": "free" } });
        let answer = app.edit_in_clerk(&grace, &ada, updates).await;
        assert!(matches!(answer.status, 422 | 502), "{}", answer.body);
        assert_ne!(answer.body["outcome"], "partial", "{}", answer.body);
        assert_eq!(changes(&app), [format!("PATCH {path}")]);
        app.settle().await;
        assert_names(&both_sides(&app, &ada).await, Some("ada"), None);
        metadata(&app, &ada).await;
        app.finish().await;
    }
}

/// The event of an edit that was answered has nothing to add.
#[tokio::test]
async fn the_echo_of_an_edit_changes_nothing() {
    let (app, grace, ada) = TestApp::with_admin_and_student().await;
    let call = edit_in_clerk_call(&app, &grace, &ada, &json!({ "firstName": "Augusta" }));
    assert_done(&app.call_update_clerk_user(&call).await, 200, "synced");
    let before = app.row(&ada).await;
    assert_eq!(app.deliver_all().await, ["applied"]);
    assert_eq!(app.row(&ada).await, before, "not even a time moves");
    app.finish().await;
}
