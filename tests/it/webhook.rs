//! What becomes of a delivery: R1, R2, R3, R5, R7, R18.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::TestApp;
use crate::support::database::Database;

/// R2.
#[tokio::test]
async fn an_older_update_never_wins() {
    let app = TestApp::new().await;
    let ada = app.user("ada", Some("STUDENT")).await;
    app.clerk
        .update_user(&ada, json!({ "first_name": "Augusta" }));
    app.clerk.advance(std::time::Duration::from_millis(10));
    app.clerk.update_user(
        &ada,
        json!({ "first_name": "Countess", "public_metadata": { "role": "ADMIN" } }),
    );
    let [older, newer] = &app.clerk.take_messages()[..] else {
        panic!("two messages")
    };
    assert_eq!(app.deliver(newer).await.body["outcome"], "applied");
    assert_eq!(app.deliver(older).await.body["outcome"], "stale");
    let row = app.row(&ada).await;
    assert_eq!(
        (&row["first_name"], &row["role"]),
        (&json!("Countess"), &json!("ADMIN"))
    );
    let explained = app.inbox(&older.id).await;
    assert_eq!(
        (&explained["outcome"], &explained["rule"]),
        (&json!("stale"), &json!("R2"))
    );
    assert_eq!(
        explained["payload"],
        Value::Null,
        "nothing is kept of what is done"
    );
    app.finish().await;
}

/// R2: of the same version and different, in either order, Clerk is asked.
#[tokio::test]
async fn two_changes_of_the_same_millisecond_are_settled_by_asking() {
    for is_reversed in [false, true] {
        let app = TestApp::new().await;
        let ada = app.user("ada", Some("STUDENT")).await;
        app.clerk.advance(std::time::Duration::from_millis(10));
        app.clerk.freeze_clock();
        app.clerk
            .update_user(&ada, json!({ "first_name": "Augusta" }));
        app.clerk
            .update_user(&ada, json!({ "first_name": "Countess" }));
        let mut messages = app.clerk.take_messages();
        if is_reversed {
            messages.reverse();
        }
        for message in &messages {
            assert_eq!(
                app.deliver(message).await.body["outcome"],
                "applied",
                "{is_reversed}"
            );
        }
        assert_eq!(
            app.row(&ada).await["first_name"],
            "Countess",
            "{is_reversed}"
        );
        app.finish().await;
    }
}

/// R2: if Clerk does not answer, the row is flagged and `reconcile` asks.
#[tokio::test]
async fn a_doubt_that_clerk_does_not_settle_now_is_settled_later() {
    let app = TestApp::new().await;
    let ada = app.user("ada", Some("STUDENT")).await;
    app.clerk.advance(std::time::Duration::from_millis(10));
    app.clerk.freeze_clock();
    app.clerk
        .update_user(&ada, json!({ "first_name": "Augusta" }));
    app.clerk
        .update_user(&ada, json!({ "first_name": "Countess" }));
    let mut messages = app.clerk.take_messages();
    messages.reverse();
    app.deliver(&messages[0]).await;
    app.clerk.down();
    assert_eq!(app.deliver(&messages[1]).await.body["outcome"], "parked");
    assert_eq!(
        app.row(&ada).await["first_name"],
        "Countess",
        "nobody guesses"
    );
    assert_eq!(app.reconcile().await.n_unanswered, 1);
    app.clerk.up();
    app.forget_waits().await;
    assert_eq!(app.reconcile().await.n_refetched, 1);
    assert_eq!(app.inbox(&messages[1].id).await["outcome"], "applied");
    app.finish().await;
}

/// R3, R1.
#[tokio::test]
async fn a_deleted_user_never_comes_back() {
    let app = TestApp::new().await;
    let ada = app.user("ada", Some("ADMIN")).await;
    app.clerk
        .update_user(&ada, json!({ "first_name": "Augusta" }));
    app.clerk.delete_user(&ada);
    let [update, end] = &app.clerk.take_messages()[..] else {
        panic!("two messages")
    };
    assert_eq!(app.deliver(end).await.body["outcome"], "applied");
    assert_eq!(app.deliver(update).await.body["outcome"], "stale");
    let row = app.row(&ada).await;
    assert!(row["deleted_at"].is_string());
    assert_eq!(
        row["first_name"], "ada",
        "a mis-click can still be explained"
    );
    assert_eq!(app.inbox(&update.id).await["rule"], "R3");
    app.finish().await;
}

/// R3: also for an id that was never seen before.
#[tokio::test]
async fn a_delete_before_its_create_is_final() {
    let app = TestApp::new().await;
    let user = app.clerk.create_user(json!({ "email": "ada@example.com" }));
    let ada = user["id"].as_str().unwrap();
    app.clerk.delete_user(ada);
    let mut messages = app.clerk.take_messages();
    messages.reverse();
    assert_eq!(app.deliver(&messages[0]).await.body["outcome"], "applied");
    assert_eq!(app.deliver(&messages[1]).await.body["outcome"], "stale");
    assert!(app.row(ada).await["deleted_at"].is_string());
    assert_eq!(app.row(ada).await["email"], Value::Null);
    app.finish().await;
}

/// R3: what is known of a deleted user is erased when its time is over, and not before.
#[tokio::test]
async fn personal_data_of_a_deleted_user_is_erased() {
    let app = TestApp::with(&[("RETENTION_DAYS", "7")]).await;
    let ada = app.user("ada", Some("STUDENT")).await;
    app.clerk.delete_user(&ada);
    app.deliver_all().await;
    app.execute("update users set deleted_at = now() - interval '6 days 23 hours'")
        .await;
    assert_eq!(app.reconcile().await.n_erased, 0);
    app.execute("update users set deleted_at = now() - interval '7 days 1 hour'")
        .await;
    assert_eq!(app.reconcile().await.n_erased, 1);
    assert_eq!(app.reconcile().await.n_erased, 0);
    let row = app.row(&ada).await;
    for column in [
        "email",
        "first_name",
        "last_name",
        "name",
        "username",
        "image_url",
        "external_id",
    ] {
        assert_eq!(row[column], Value::Null, "{column}");
    }
    assert_eq!(row["public_metadata"], json!({}));
    assert!(row["deleted_at"].is_string(), "the tombstone stays");
    app.finish().await;
}

/// R5.
#[tokio::test]
async fn a_row_without_an_account_is_adopted_by_its_verified_address() {
    let app = TestApp::new().await;
    app.execute("insert into users (email, first_name, builder_group_id) values ('Ada@Example.com', 'A.', 'b7')").await;
    let ada = app.user("ada", Some("INSTRUCTOR")).await;
    assert_eq!(app.count("users").await, 1);
    let row = app.row(&ada).await;
    assert_eq!(
        (&row["first_name"], &row["builder_group_id"]),
        (&json!("ada"), &json!("b7"))
    );
    app.finish().await;
}

/// R5: an address that Clerk does not call verified proves nothing.
#[tokio::test]
async fn an_unverified_address_adopts_nobody() {
    let app = TestApp::new().await;
    app.execute("insert into users (email, role) values ('ada@example.com', 'ADMIN')")
        .await;
    let user = app
        .clerk
        .create_user(json!({ "email": "ada@example.com", "verified": false }));
    app.deliver_all().await;
    let ada = user["id"].as_str().unwrap();
    assert_eq!(app.count("users").await, 2);
    assert_eq!(app.role(ada).await, "STUDENT");
    app.finish().await;
}

/// R5: nor does one of a row that is deleted, or has an account already.
#[tokio::test]
async fn only_a_live_row_without_an_account_is_adopted() {
    let app = TestApp::new().await;
    app.execute(
        "insert into users (email, deleted_at) values ('ada@example.com', now());
        insert into users (email, clerk_id, deleted_at) values ('ada@example.com', 'user_old', now())",
    )
    .await;
    app.user("ada", None).await;
    assert_eq!(app.count("users").await, 3);
    app.finish().await;
}

/// R7.
#[tokio::test]
async fn twenty_deliveries_at_once_apply_once() {
    let app = TestApp::new().await;
    for n in 0..3 {
        let email = format!("u{n}@example.com");
        app.clerk.create_user(json!({ "email": email }));
        let message = app.clerk.take_messages().pop().unwrap();
        assert_eq!(
            outcomes_of_twenty(&app, &message).await,
            [("applied", 1), ("duplicate", 19)]
        );
        assert_eq!(app.count("role_changes").await, n + 1);
    }
    app.finish().await;
}

/// R7: also what has no effect is taken in once.
#[tokio::test]
async fn twenty_deliveries_of_a_late_event_are_stale_once() {
    let app = TestApp::new().await;
    let ada = app.user("ada", Some("STUDENT")).await;
    app.clerk.set_role(&ada, "INSTRUCTOR");
    app.clerk.advance(std::time::Duration::from_millis(10));
    app.clerk.set_role(&ada, "ADMIN");
    let [older, newer] = &app.clerk.take_messages()[..] else {
        panic!("two messages")
    };
    app.deliver(newer).await;
    assert_eq!(
        outcomes_of_twenty(&app, older).await,
        [("stale", 1), ("duplicate", 19)]
    );
    app.finish().await;
}

/// Delivers a message to twenty sandboxes at once, each with a connection of its own,
/// and counts the outcomes, the rarest first.
async fn outcomes_of_twenty(
    app: &TestApp,
    message: &clerk_emulator::Message,
) -> Vec<(&'static str, usize)> {
    let settings = crate::support::app::settings_of(&app.clerk, &app.database.url, &[]);
    let mut deliveries = Vec::new();
    for _ in 0..20 {
        let sandbox = clerk_webhook::App::new(&settings);
        let event = crate::support::gateway::Call::new("POST", "/api/webhooks/clerk")
            .headers(app.clerk.sign(message))
            .body(&message.body)
            .event();
        deliveries.push(async move {
            let handler = |request| clerk_webhook::handle(&sandbox, request);
            crate::support::gateway::Answer::read(&shared::http::answer(event, &handler).await)
        });
    }
    let answers = join_all(deliveries).await;
    let count = |outcome| {
        let n_answers = answers
            .iter()
            .filter(|answer| answer.body["outcome"] == outcome)
            .count();
        (outcome, n_answers)
    };
    let mut counts = Vec::from(["applied", "stale", "duplicate", "parked", "dead"].map(count));
    counts.retain(|(_, n_answers)| *n_answers > 0);
    counts
}

/// R7: different events of one new user at once: one row, the newest state.
#[tokio::test]
async fn events_of_one_new_user_at_once_make_one_row() {
    for _ in 0..5 {
        let app = TestApp::new().await;
        let user = app.clerk.create_user(json!({ "email": "ada@example.com" }));
        let ada = user["id"].as_str().unwrap();
        for n in 0..6 {
            app.clerk.advance(std::time::Duration::from_millis(2));
            app.clerk
                .update_user(ada, json!({ "first_name": format!("n{n}") }));
        }
        let messages = app.clerk.take_messages();
        let settings = crate::support::app::settings_of(&app.clerk, &app.database.url, &[]);
        let mut deliveries = Vec::new();
        for message in &messages {
            let sandbox = clerk_webhook::App::new(&settings);
            let event = crate::support::gateway::Call::new("POST", "/api/webhooks/clerk")
                .headers(app.clerk.sign(message))
                .body(&message.body)
                .event();
            deliveries.push(async move {
                let handler = |request| clerk_webhook::handle(&sandbox, request);
                shared::http::answer(event, &handler).await["statusCode"].clone()
            });
        }
        let statuses = join_all(deliveries).await;
        assert!(statuses.iter().all(|status| status == 200), "{statuses:?}");
        assert_eq!(app.row(ada).await["first_name"], "n5");
        assert_eq!(app.count("users").await, 1);
        app.finish().await;
    }
}

/// R7: signed and unreadable is kept for a person, and Svix is told to stop.
#[tokio::test]
async fn what_is_signed_and_cannot_be_read_is_kept_as_dead() {
    let app = TestApp::new().await;
    let now = clerk_emulator::Emulator::real_ms() / 1000;
    let bodies = [
        "not json",
        "[]",
        r#"{"type":"user.updated","data":{"first_name":"no id"}}"#,
        r#"{"type":"user.updated","data":null}"#,
        r#"{"type":"user.deleted","data":{"deleted":true}}"#,
        r#"{"type":"user.updated","data":{"id":"org_1"}}"#,
    ];
    let pinned = TestApp::with(&[("CLERK_INSTANCE_ID", "")]).await;
    for (n, body) in bodies.into_iter().enumerate() {
        let id = format!("msg_{n}");
        for outcome in ["dead", "duplicate"] {
            let headers = pinned.clerk.sign_body(&id, now, body.as_bytes());
            let answer = pinned.deliver_body(body, headers).await;
            assert_eq!(
                (answer.status, &answer.body["outcome"]),
                (200, &json!(outcome)),
                "{body}"
            );
        }
        let kept = pinned.inbox(&id).await;
        assert!(
            !kept["payload"].is_null() && !kept["last_error"].is_null(),
            "{kept}"
        );
    }
    pinned.database.remove().await;
    app.database.remove().await;
}

/// R7: values that Postgres cannot hold do not make Svix repeat for a day.
#[tokio::test]
async fn values_that_cannot_be_stored_are_cleaned_or_kept_as_dead() {
    let app = TestApp::new().await;
    let nul = event(
        &app,
        "user_nul",
        json!({ "first_name": "A\u{0}da", "updated_at": 1_700_000_000_000_i64 }),
    );
    assert_eq!(
        app.deliver_event("msg_nul", &nul).await.body["outcome"],
        "applied"
    );
    assert_eq!(app.row("user_nul").await["first_name"], "A\u{fffd}da");
    let far = event(&app, "user_far", json!({ "updated_at": i64::MAX }));
    let answer = app.deliver_event("msg_far", &far).await;
    assert_eq!(answer.status, 200);
    assert!(["applied", "dead"].contains(&answer.body["outcome"].as_str().unwrap()));
    for (svix_id, at) in [("msg_min", i64::MIN), ("msg_max", i64::MAX)] {
        let mut event = event(&app, svix_id.replace("msg", "user").as_str(), json!({}));
        event["timestamp"] = json!(at);
        event["data"]["updated_at"] = json!(1_700_000_000_000_i64);
        let answer = app.deliver_event(svix_id, &event).await;
        assert_eq!(
            answer.body["outcome"], "applied",
            "{at}: a hint and no more"
        );
    }
    app.database.remove().await;
}

/// R7: what the database refuses by its values will be refused again and again: a person has to
/// look, and Svix is told to stop.
#[tokio::test]
async fn values_that_the_database_refuses_are_kept_as_dead() {
    let app = TestApp::new().await;
    app.execute("alter table users add check (first_name <> 'poison')")
        .await;
    app.clerk
        .create_user(json!({ "email": "ada@example.com", "first_name": "poison" }));
    let poison = app.clerk.take_messages().pop().unwrap();
    let healthy = app.user("grace", Some("STUDENT")).await;
    assert_eq!(app.deliver(&poison).await.body["outcome"], "dead");
    assert_eq!(app.deliver(&poison).await.body["outcome"], "duplicate");
    let kept = app.inbox(&poison.id).await;
    assert_eq!(kept["last_error"], "SQLSTATE 23514");
    assert_eq!(kept["payload"]["data"]["first_name"], "poison");
    assert_eq!(app.role(&healthy).await, "STUDENT");
    assert_eq!(app.count("users").await, 1);
    app.database.remove().await;
}

/// R7: what we cannot store is answered 503, so that Svix tries again, and then it is applied.
#[tokio::test]
async fn what_cannot_be_stored_now_is_sent_again() {
    let database = Database::new().await;
    let app = TestApp::at(database, "postgres://app@127.0.0.1:1/none", &[]).await;
    app.clerk.create_user(json!({ "email": "ada@example.com" }));
    let message = app.clerk.take_messages().pop().unwrap();
    let answer = app.deliver(&message).await;
    assert_eq!(
        (answer.status, &answer.body["code"]),
        (503, &json!("database_unavailable"))
    );
    assert_eq!(answer.headers["retry-after"], "1");
    let settings = crate::support::app::settings_of(&app.clerk, &app.database.url, &[]);
    let app = TestApp {
        webhook: clerk_webhook::App::new(&settings),
        ..app
    };
    assert_eq!(app.deliver(&message).await.body["outcome"], "applied");
    app.database.remove().await;
}

/// R18.
#[tokio::test]
async fn an_event_of_another_instance_is_ignored_and_counted() {
    let app = TestApp::new().await;
    let mut foreign = event(
        &app,
        "user_1",
        json!({ "updated_at": 1_700_000_000_000_i64 }),
    );
    for (id, instance) in [("msg_1", json!("ins_other")), ("msg_2", Value::Null)] {
        foreign["instance_id"] = instance;
        assert_eq!(
            app.deliver_event(id, &foreign).await.body["outcome"],
            "ignored"
        );
        assert_eq!(app.inbox(id).await["rule"], "R18");
    }
    assert_eq!(app.count("users").await, 0);
    let own = event(
        &app,
        "user_1",
        json!({ "updated_at": 1_700_000_000_000_i64 }),
    );
    assert_eq!(
        app.deliver_event("msg_3", &own).await.body["outcome"],
        "applied"
    );
    app.database.remove().await;
}

#[tokio::test]
async fn an_event_that_is_not_about_users_is_ignored() {
    let app = TestApp::new().await;
    let session = json!({
        "object": "event", "type": "session.created", "instance_id": app.clerk.instance_id(),
        "timestamp": 1_700_000_000_000_i64, "data": { "id": "sess_1" },
    });
    assert_eq!(
        app.deliver_event("msg_1", &session).await.body["outcome"],
        "ignored"
    );
    assert_eq!(
        app.deliver_event("msg_1", &session).await.body["outcome"],
        "duplicate"
    );
    assert_eq!(app.count("inbox").await, 1);
    app.database.remove().await;
}

/// A ban, and a user whom a directory took away, arrive as updates.
#[tokio::test]
async fn a_disabled_user_is_shown_as_such_and_may_do_nothing() {
    let app = TestApp::new().await;
    let admin = app.admin("grace").await;
    let ada = app.admin("ada").await;
    let version = app.row(&ada).await["clerk_version"].as_i64().unwrap();
    let gone = event(
        &app,
        &ada,
        json!({
            "updated_at": version + 1, "deprovisioned": true, "public_metadata": { "role": "ADMIN" },
        }),
    );
    app.deliver_event("msg_gone", &gone).await;
    let shown = app.get(&admin, &format!("/api/admin/users/{ada}")).await;
    assert_eq!(shown.body["user"]["state"], "deprovisioned");
    let refused = app.get(&ada, "/api/admin/statistics").await;
    assert_eq!(
        (refused.status, &refused.body["code"]),
        (403, &json!("user_disabled"))
    );
    app.database.remove().await;
}

/// Development without a secret: this machine is believed, nobody else is.
#[tokio::test]
async fn unsigned_deliveries_are_for_development_on_this_machine_only() {
    use crate::support::gateway::Call;
    let call = |app: &TestApp, ip: &str| {
        let body = event(
            app,
            "user_1",
            json!({ "updated_at": 1_700_000_000_000_i64 }),
        )
        .to_string();
        Call::new("POST", "/api/webhooks/clerk")
            .body(&body)
            .from(ip)
    };
    let app = TestApp::with(&[("APP_ENV", "development"), ("CLERK_WEBHOOK_SECRET", "")]).await;
    assert_eq!(
        app.call_webhook(&call(&app, "127.0.0.1")).await.body["outcome"],
        "applied"
    );
    assert_eq!(app.call_webhook(&call(&app, "::1")).await.status, 200);
    assert_eq!(
        app.call_webhook(&call(&app, "203.0.113.9")).await.status,
        400
    );
    app.database.remove().await;
    // With a secret, it counts, also in development.
    let app = TestApp::with(&[("APP_ENV", "development")]).await;
    assert_eq!(app.call_webhook(&call(&app, "127.0.0.1")).await.status, 400);
    app.database.remove().await;
    // In production, nothing goes unchecked.
    let app = TestApp::with(&[("CLERK_WEBHOOK_SECRET", "")]).await;
    let answer = app.call_webhook(&call(&app, "127.0.0.1")).await;
    assert_eq!(
        (answer.status, &answer.body["code"]),
        (500, &json!("not_configured"))
    );
    app.database.remove().await;
}

/// A `user.updated` of this instance.
#[expect(
    clippy::needless_pass_by_value,
    reason = "tests write the patch in place"
)]
pub(crate) fn event(app: &TestApp, id: &str, patch: Value) -> Value {
    let mut user = json!({ "object": "user", "id": id });
    for (key, value) in patch.as_object().unwrap() {
        user[key] = value.clone();
    }
    json!({
        "object": "event", "type": "user.updated", "instance_id": app.clerk.instance_id(),
        "timestamp": 1_700_000_000_000_i64, "data": user,
    })
}
