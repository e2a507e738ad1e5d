//! Passwords: they go to Clerk, and nothing of them stays anywhere here.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::{Method, StatusCode};
use axum::response::IntoResponse;
use clerk_emulator::{Emulator, Fault};
use lambda_host::{Function, Host, Options, Outcome};
use serde_json::{Value, json};
use shared::clerk::{Password, UserPatch};
use shared::db::profile_edits::Columns;
use shared::sync::ProfileEdit;

use super::{
    assert_done, assert_names, assert_refused, became, both_sides, changes, edit_call, forward,
    gate, intents, refusing, row_by_id, serve, without_account,
};
use crate::support::TestApp;
use crate::support::binaries::binary;
use crate::support::gateway::{Answer, Call};

/// Good enough for every instance.
const PASSWORD: &str = "Xyzzy-71-plugh-and-more";

/// All that the database holds, as text.
async fn everything_stored(app: &TestApp) -> String {
    let tables = "
        select quote_ident(tablename) from pg_tables where schemaname = current_schema()";
    let tables = app.sql.query(tables, &[]).await.unwrap();
    assert!(tables.len() > 5, "the tables are found");
    let mut all = String::new();
    for table in tables {
        let table: String = table.get(0);
        let statement = format!("select coalesce(string_agg(t::text, ' '), '') from {table} t");
        let rows = app.sql.query_one(&statement, &[]).await.unwrap();
        all += &rows.get::<_, String>(0);
    }
    all
}

/// When the password was set last, in Clerk.
fn set_at(app: &TestApp, user: &str) -> Value {
    app.clerk.user(user).unwrap()["password_last_updated_at"].clone()
}

#[tokio::test]
async fn a_password_goes_to_clerk_together_with_the_names() {
    let (app, grace, ada) = TestApp::with_admin_and_student().await;
    app.clerk.clear_requests();
    let edit = json!({ "name": "Ada King", "password": PASSWORD, "builderGroupId": "g1" });
    let answer = app.edit(&grace, &ada, edit).await;
    assert_done(&answer, 200, "synced");
    assert!(!answer.body.to_string().contains(PASSWORD));
    assert!(set_at(&app, &ada).is_i64());
    let sides = both_sides(&app, &ada).await;
    assert_names(&sides, Some("Ada"), Some("King"));
    assert_eq!(sides.1["builder_group_id"], "g1");
    assert_eq!(
        changes(&app),
        [format!("PATCH /v1/users/{ada}")],
        "in one call"
    );
    let fields = &intents(&app).await[0]["fields"];
    assert_eq!(
        fields,
        &json!(["builder_group_id", "first_name", "last_name", "password"])
    );
    assert_eq!(became(&app).await, ["done"]);
    app.finish().await;
}

/// Blanks at the ends are part of it.
#[tokio::test]
async fn a_password_reaches_clerk_as_it_was_written() {
    let (mut app, grace, ada) = TestApp::with_admin_and_student().await;
    let heard = Arc::new(Mutex::new(Vec::new()));
    let ear = Arc::clone(&heard);
    let (http, clerk) = (reqwest::Client::new(), app.clerk.url().to_owned());
    let listen = async move |request: Request| {
        if request.method() == Method::GET {
            return forward(&http, &clerk, request).await;
        }
        let body = axum::body::to_bytes(request.into_body(), usize::MAX).await;
        ear.lock().unwrap().push(body.unwrap());
        StatusCode::TOO_MANY_REQUESTS.into_response()
    };
    let url = serve(Router::new().fallback(listen)).await;
    app.update_user = gate(&app, &url);
    let password = "  Ünter \"den\" \\ Linden\t🌳 ";
    app.edit(&grace, &ada, json!({ "password": password }))
        .await;
    let heard = heard.lock().unwrap().clone();
    let bodies: Vec<Value> = heard
        .iter()
        .map(|body| serde_json::from_slice(body).unwrap())
        .collect();
    assert_eq!(bodies, [json!({ "password": password })]);
    app.finish().await;
}

/// What Clerk has against a password is told in words, and nothing of the edit is done.
#[tokio::test]
async fn what_clerk_has_against_a_password_is_told() {
    let (app, grace, ada) = TestApp::with_admin_and_student().await;
    let before = both_sides(&app, &ada).await;
    let long = "long ".repeat(15);
    let cases = [
        (
            "q7!x",
            "password_too_short",
            "Passwords must be 8 characters or more.",
        ),
        (
            "",
            "password_too_short",
            "Passwords must be 8 characters or more.",
        ),
        (
            &long,
            "password_too_long",
            "Passwords must be less than 73 characters.",
        ),
        (
            "password123",
            "password_pwned",
            "This password has been found in a data breach. Please use another.",
        ),
        (
            "ada@example.com",
            "password_matches_identifier",
            "Passwords must differ from your email address and your username.",
        ),
    ];
    for (password, code, sentence) in cases {
        let edit = json!({ "password": password, "name": "Ada King", "builderGroupId": "g1" });
        let answer = app.edit(&grace, &ada, edit).await;
        assert_refused(&answer, 422, code);
        assert_eq!(answer.body["error"], sentence);
        assert_eq!(answer.body["fields"], json!(["password"]));
        assert_eq!(both_sides(&app, &ada).await, before);
    }
    assert!(became(&app).await.iter().all(|it| it == "refused"));
    app.finish().await;
}

#[tokio::test]
async fn several_reasons_against_a_password_are_all_told() {
    let (app, grace, ada) = TestApp::with_admin_and_student().await;
    app.clerk.strict_passwords(true);
    let before = both_sides(&app, &ada).await;
    let missing = "Passwords must contain an uppercase letter. Passwords must contain a number. \
                   Passwords must contain a special character.";
    let cases = [
        ("plughplugh", "password_refused", missing.to_owned()),
        (
            "plugh",
            "password_too_short",
            format!("Passwords must be 8 characters or more. {missing}"),
        ),
    ];
    for (password, code, sentences) in cases {
        let edit = json!({ "password": password, "name": "Ada King" });
        let answer = app.edit(&grace, &ada, edit).await;
        assert_refused(&answer, 422, code);
        assert_eq!(answer.body["error"], sentences);
        assert_eq!(both_sides(&app, &ada).await, before);
    }
    let answer = app
        .edit(&grace, &ada, json!({ "password": PASSWORD }))
        .await;
    assert_done(&answer, 200, "synced");
    app.finish().await;
}

/// A password does not save a bad name, nor is it set without the name.
#[tokio::test]
async fn a_password_with_a_bad_name_is_not_set() {
    let (app, grace, ada) = TestApp::with_admin_and_student().await;
    let before = both_sides(&app, &ada).await;
    app.clerk.clear_requests();
    let edit = json!({ "password": PASSWORD, "firstName": "A\u{0}B" });
    let answer = app.edit(&grace, &ada, edit).await;
    assert_refused(&answer, 422, "invalid_name");
    assert_eq!(changes(&app), [""; 0]);
    // Names that Clerk refuses for reasons of its own.
    app.clerk.fault(
        Fault::refusal(422, "form_param_value_invalid")
            .on("PATCH", "/v1/users")
            .once(),
    );
    let edit = json!({ "password": PASSWORD, "firstName": "Augusta" });
    let answer = app.edit(&grace, &ada, edit).await;
    assert_refused(&answer, 422, "invalid_update_data");
    assert_eq!(changes(&app).len(), 1);
    assert_eq!(both_sides(&app, &ada).await, before);
    assert_eq!(became(&app).await, ["refused"]);
    app.finish().await;
}

#[tokio::test]
async fn a_password_is_for_those_who_have_an_account() {
    let app = TestApp::new().await;
    let grace = app.admin("grace").await;
    let bob = without_account(&app, "bob").await;
    let before = row_by_id(&app, &bob).await;
    app.clerk.clear_requests();
    for edit in [
        json!({ "password": PASSWORD }),
        json!({ "password": PASSWORD, "name": "Bob Lee", "email": "robert@example.com" }),
    ] {
        let answer = app.edit(&grace, &bob, edit).await;
        assert_refused(&answer, 422, "password_requires_clerk");
        assert_eq!(answer.body["fields"], json!(["password"]));
        assert_eq!(row_by_id(&app, &bob).await, before);
    }
    assert_eq!(app.clerk.requests().len(), 0);
    assert!(intents(&app).await.is_empty());
    // Null is no password at all.
    let answer = app.edit(&grace, &bob, json!({ "password": null })).await;
    assert_refused(&answer, 422, "nothing_to_change");
    app.finish().await;
}

#[tokio::test]
async fn a_password_whose_answer_is_lost_is_found_by_when_it_was_set() {
    let (app, grace, ada) = TestApp::with_admin_and_student().await;
    app.clerk.advance(Duration::from_millis(10));
    app.clerk
        .fault(Fault::drop_answer().on("PATCH", "/v1/users").once());
    let answer = app
        .edit(&grace, &ada, json!({ "password": PASSWORD }))
        .await;
    assert_done(&answer, 200, "synced");
    assert!(set_at(&app, &ada).is_i64());
    assert_eq!(changes(&app).len(), 1);
    assert_eq!(became(&app).await, ["done"]);
    app.finish().await;
}

/// The one that they had before the edit is not taken for the new one.
#[tokio::test]
async fn a_password_that_never_reached_clerk_is_settled_by_when_the_last_one_was_set() {
    for is_late in [false, true] {
        let (app, grace, ada) = TestApp::with_admin_and_student().await;
        app.clerk
            .update_user(&ada, json!({ "password": "an older one, 5 words" }));
        app.deliver_all().await;
        let old = set_at(&app, &ada);
        app.clerk.advance(Duration::from_millis(10));
        app.clerk
            .fault(Fault::drop().on("PATCH", "/v1/users").once());
        let edit = json!({ "password": PASSWORD, "builderGroupId": "g1" });
        let answer = app.edit(&grace, &ada, edit).await;
        assert_refused(&answer, 502, "clerk_unavailable");
        assert_eq!(answer.body["outcome"], "unknown");
        assert_eq!(set_at(&app, &ada), old);
        if is_late {
            let patch = json!({ "password": PASSWORD });
            app.clerk.silently(|clerk| clerk.update_user(&ada, patch));
        }
        app.forget_waits().await;
        app.reconcile().await;
        let (outcome, group) = if is_late {
            ("done", json!("g1"))
        } else {
            ("not_done", Value::Null)
        };
        assert_eq!(became(&app).await, [outcome]);
        assert_eq!(app.row(&ada).await["builder_group_id"], group);
        assert_eq!(changes(&app).len(), 1, "never sent again");
        app.finish().await;
    }
}

/// They chose one themselves a moment ago, of which we have not heard: it is not the one of the edit.
#[tokio::test]
async fn a_password_that_somebody_else_set_is_not_taken_for_ours() {
    let (app, grace, ada) = TestApp::with_admin_and_student().await;
    app.clerk.advance(Duration::from_millis(10));
    app.clerk
        .update_user(&ada, json!({ "password": "their own, 5 words" }));
    app.clerk
        .fault(Fault::drop().on("PATCH", "/v1/users").once());
    let answer = app
        .edit(&grace, &ada, json!({ "password": PASSWORD }))
        .await;
    assert_refused(&answer, 502, "clerk_unavailable");
    assert_eq!(answer.body["outcome"], "unknown");
    app.forget_waits().await;
    app.reconcile().await;
    assert_eq!(became(&app).await, ["not_done"]);
    app.finish().await;
}

/// Without knowing how things were before, nobody could tell afterwards: the password is not sent.
#[tokio::test]
async fn a_password_is_not_sent_when_clerk_does_not_say_how_things_were_before() {
    let cases = [
        (Fault::status(503), 502, "clerk_unavailable"),
        (Fault::drop(), 502, "clerk_unavailable"),
        (Fault::rate_limited(7), 502, "clerk_rate_limited"),
        (
            Fault::refusal(404, "resource_not_found"),
            404,
            "not_found_in_clerk",
        ),
    ];
    for (fault, status, code) in cases {
        let (app, grace, ada) = TestApp::with_admin_and_student().await;
        let before = both_sides(&app, &ada).await;
        let edit = json!({ "password": PASSWORD, "name": "Ada King", "builderGroupId": "g1" });
        app.clerk
            .fault(fault.on("GET", &format!("/v1/users/{ada}")).once());
        let answer = app.edit(&grace, &ada, edit).await;
        assert_refused(&answer, status, code);
        assert_eq!(answer.body["outcome"], Value::Null, "it is known");
        assert_eq!(changes(&app), [""; 0]);
        assert_eq!(both_sides(&app, &ada).await, before);
        assert!(!became(&app).await.contains(&Value::Null));
        app.finish().await;
    }
}

/// Not in the tables, not in an answer: whatever becomes of it.
#[tokio::test]
async fn a_password_is_stored_nowhere_and_repeated_in_no_answer() {
    let (mut app, grace, ada) = TestApp::with_admin_and_student().await;
    let bob = without_account(&app, "bob").await;
    let edit = || json!({ "password": PASSWORD, "name": "Ada King", "builderGroupId": "g1" });
    let mut answers = Vec::new();
    for fault in [
        None,
        Some(Fault::drop_answer()),
        Some(Fault::drop()),
        Some(Fault::status(500)),
        Some(Fault::rate_limited(1)),
        Some(Fault::refusal(422, "form_password_pwned")),
        Some(Fault::refusal(404, "resource_not_found")),
    ] {
        if let Some(fault) = fault {
            app.clerk.fault(fault.on("PATCH", "/v1/users").once());
        }
        answers.push(app.edit(&grace, &ada, edit()).await);
    }
    answers.push(app.edit(&grace, &bob, edit()).await);
    answers.push(app.edit(&ada, &ada, edit()).await);
    answers.push(app.edit_in_clerk(&grace, &ada, edit()).await);
    // Written where it does not belong, or as what it is not.
    for edit in [
        json!({ "password": [PASSWORD] }),
        json!({ "password": { "new": PASSWORD } }),
        json!({ "passwort": PASSWORD }),
        json!({ "name": PASSWORD, "password": 7 }),
        json!({ "email": PASSWORD }),
        json!({ "builderGroupId": [PASSWORD] }),
    ] {
        answers.push(app.edit(&grace, &ada, edit).await);
    }
    let cut_off = format!("{{\"password\": \"{PASSWORD}");
    let call = Call::new("PATCH", &format!("/api/users/{ada}"))
        .token(&app.clerk.session_token(&grace))
        .header("content-type", "application/json")
        .body(&cut_off);
    answers.push(app.call_update_user(&call).await);
    app.update_user = gate(&app, &repeating(&app.clerk, "form_password_pwned").await);
    answers.push(app.edit(&grace, &ada, edit()).await);
    let stored = everything_stored(&app).await;
    assert!(stored.contains("Ada"), "what is stored is seen");
    assert!(!stored.contains(PASSWORD), "while edits are open");
    for answer in &answers {
        assert!(!format!("{answer:?}").contains(PASSWORD), "{answer:?}");
    }
    app.settle().await;
    assert!(!everything_stored(&app).await.contains(PASSWORD));
    app.finish().await;
}

/// A way to a Clerk that refuses every password and repeats it.
async fn repeating(clerk: &Emulator, code: &str) -> String {
    let error = json!({
        "code": code,
        "message": format!("{PASSWORD} is refused"),
        "long_message": format!("The password {PASSWORD} is refused."),
        "meta": { "param_name": "password" },
    });
    let status = StatusCode::UNPROCESSABLE_ENTITY;
    refusing(clerk, status, json!({ "errors": [error] })).await
}

#[tokio::test]
async fn a_refusal_that_repeats_the_password_is_told_in_our_words() {
    let (mut app, grace, ada) = TestApp::with_admin_and_student().await;
    for (code, ours) in [
        ("form_password_pwned", "password_pwned"),
        ("form_password_not_strong_enough", "password_too_weak"),
        ("form_password_something_new", "password_refused"),
    ] {
        app.update_user = gate(&app, &repeating(&app.clerk, code).await);
        let answer = app
            .edit(&grace, &ada, json!({ "password": PASSWORD }))
            .await;
        assert_refused(&answer, 422, ours);
        assert_eq!(
            answer.body["error"],
            "Clerk does not take this password. Choose another one."
        );
        assert!(!answer.body.to_string().contains(PASSWORD));
    }
    app.finish().await;
}

/// Clerk may find fault with the password as with any other parameter.
#[tokio::test]
async fn a_refusal_of_another_kind_does_not_repeat_the_password_either() {
    let (mut app, grace, ada) = TestApp::with_admin_and_student().await;
    for code in ["form_param_value_invalid", "form_param_format_invalid"] {
        app.update_user = gate(&app, &repeating(&app.clerk, code).await);
        let answer = app
            .edit(&grace, &ada, json!({ "password": PASSWORD }))
            .await;
        assert_eq!(answer.status, 422, "{}", answer.body);
        assert!(!answer.body.to_string().contains(PASSWORD), "{code}");
    }
    app.finish().await;
}

#[test]
fn no_debug_shows_a_password() {
    let edit = ProfileEdit {
        columns: Columns::default(),
        password: Some(Password::new(PASSWORD.to_owned())),
    };
    let patch = UserPatch {
        password: edit.password.clone(),
        ..UserPatch::default()
    };
    for shown in [
        format!("{edit:?}"),
        format!("{edit:#?}"),
        format!("{patch:?}"),
        format!("{:?}", edit.password),
    ] {
        assert!(!shown.contains(PASSWORD), "{shown}");
        assert!(shown.contains("[redacted]"), "{shown}");
    }
}

/// The function as a process that logs all it can.
fn talkative(clerk: &Emulator, clerk_url: &str, database_url: &str) -> Host {
    let name = "update-user";
    let function = Function::new(name, binary(name))
        .env("DATABASE_URL", database_url)
        .env("CLERK_API_URL", clerk_url)
        .env("CLERK_SECRET_KEY", clerk.secret_key())
        .env("CLERK_JWT_KEY", clerk.jwt_key())
        .env("CLERK_ISSUER", clerk.issuer())
        .env("RUST_LOG", "trace");
    let functions = vec![function];
    Host::start(Options { functions }).unwrap()
}

async fn call(host: &Host, call: &Call) -> Answer {
    match host.invoke("update-user", &call.event()).await {
        Outcome::Response(response) => Answer::read(&response),
        outcome => panic!("{outcome:?}"),
    }
}

#[tokio::test]
async fn no_log_holds_a_password_or_a_name_however_much_is_logged() {
    let (app, grace, ada) = TestApp::with_admin_and_student().await;
    let url = &app.database.url;
    let usual = talkative(&app.clerk, app.clerk.url(), url);
    let edit = json!({ "name": "Quirinus King", "password": PASSWORD, "builderGroupId": "g1" });
    let edit = edit_call(&app, &grace, &ada, &edit);
    for (fault, status) in [
        (None, 200),
        (Some(Fault::drop_answer()), 200),
        (Some(Fault::drop()), 502),
        (Some(Fault::status(500)), 502),
        (Some(Fault::refusal(422, "form_password_pwned")), 422),
        (Some(Fault::refusal(403, "forbidden")), 502),
    ] {
        if let Some(fault) = fault {
            app.clerk.fault(fault.on("PATCH", "/v1/users").once());
        }
        let answer = call(&usual, &edit).await;
        assert_eq!(answer.status, status, "{}", answer.body);
    }
    let repeated = talkative(
        &app.clerk,
        &repeating(&app.clerk, "form_password_pwned").await,
        url,
    );
    assert_refused(&call(&repeated, &edit).await, 422, "password_pwned");
    for host in [&usual, &repeated] {
        let lines = host.logs("update-user");
        let is_detail = |line: &String| line.contains("\"DEBUG\"");
        assert!(
            lines.iter().any(is_detail),
            "it logs all it can: {lines:#?}"
        );
        for line in lines {
            for secret in [PASSWORD, "Quirinus", "example.com", "Bearer"] {
                assert!(!line.contains(secret), "{secret} in {line}");
            }
        }
    }
    app.finish().await;
}
