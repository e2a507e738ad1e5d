//! What happens when the database or Clerk fails: nothing is lost, and the answer says so.

use std::time::{Duration, Instant};

use clerk_emulator::Fault;
use serde_json::json;

use crate::support::TestApp;
use crate::support::app::settings_of;
use crate::support::database::Database;

#[tokio::test]
async fn a_restarted_database_is_reconnected_within_the_request() {
    let (app, admin, ada) = TestApp::with_admin_and_student().await;
    for role in ["INSTRUCTOR", "ADMIN", "STUDENT"] {
        app.database.end_connections().await;
        let answer = app.set_role(&admin, &ada, json!({ "role": role })).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        app.database.end_connections().await;
        app.clerk.update_user(&ada, json!({ "last_name": role }));
        let sql = app.database.connect().await;
        for message in app.clerk.take_messages() {
            assert_eq!(app.deliver(&message).await.status, 200);
        }
        let row = sql
            .query_one("select last_name from users where clerk_id = $1", &[&ada])
            .await;
        assert_eq!(row.unwrap().get::<_, String>(0), role);
    }
    app.database.remove().await;
}

/// In the middle of a storm of lost connections, every delivery is applied once in the end.
#[tokio::test]
async fn a_flapping_database_loses_nothing() {
    let app = TestApp::new().await;
    for n in 0..15 {
        app.clerk
            .create_user(json!({ "email": format!("u{n}@example.com") }));
    }
    let messages = app.clerk.take_messages();
    let storm = async {
        for _ in 0..30 {
            app.database.end_connections().await;
            tokio::time::sleep(Duration::from_millis(7)).await;
        }
    };
    let deliveries = async {
        for message in &messages {
            for n_tries in 0.. {
                let answer = app.deliver(message).await;
                if answer.status == 200 {
                    break;
                }
                assert_eq!(answer.status, 503, "{}", answer.body);
                assert!(n_tries < 50);
            }
        }
    };
    tokio::join!(storm, deliveries);
    let sql = app.database.connect().await;
    let counts = sql
        .query_one(
            "select (select count(*) from users), (select count(*) from inbox)",
            &[],
        )
        .await
        .unwrap();
    assert_eq!((counts.get::<_, i64>(0), counts.get::<_, i64>(1)), (15, 15));
    app.database.remove().await;
}

#[tokio::test]
async fn clerk_answering_429_500_or_nothing_never_costs_the_role() {
    let faults = [
        Fault::rate_limited(1),
        Fault::status(500),
        Fault::status(503),
        Fault::drop(),
        Fault::drop_answer(),
    ];
    for fault in faults {
        let (app, admin, ada) = TestApp::with_admin_and_student().await;
        app.clerk
            .fault(fault.clone().on("PATCH", "/v1/users").once());
        let answer = app
            .set_role(&admin, &ada, json!({ "role": "INSTRUCTOR" }))
            .await;
        assert_eq!(
            (answer.status, &answer.body["clerkSync"]),
            (200, &json!("pending")),
            "{fault:?}"
        );
        app.settle().await;
        assert_eq!(app.clerk_role(&ada), "INSTRUCTOR", "{fault:?}");
        app.finish().await;
    }
}

#[tokio::test]
async fn a_silent_clerk_holds_nobody_up_for_long() {
    let (app, admin, ada) = TestApp::with_admin_and_student().await;
    app.clerk
        .fault(Fault::slow(Duration::from_secs(20)).on("PATCH", "/v1/users"));
    let begun = Instant::now();
    let answer = app
        .set_role(&admin, &ada, json!({ "role": "INSTRUCTOR" }))
        .await;
    assert_eq!(
        (answer.status, &answer.body["clerkSync"]),
        (200, &json!("pending"))
    );
    let took = begun.elapsed();
    assert!(
        took < Duration::from_millis(3500),
        "2 s for Clerk and no more: {took:?}"
    );
    app.database.remove().await;
}

/// Our own key is wrong: a matter of settings, mended later; the role waits.
#[tokio::test]
async fn a_wrong_secret_key_kills_no_push() {
    let (app, admin, ada) = TestApp::with_admin_and_student().await;
    app.clerk.fault(
        Fault::refusal(401, "clerk_key_invalid")
            .on("PATCH", "/v1/users")
            .once(),
    );
    let answer = app
        .set_role(&admin, &ada, json!({ "role": "INSTRUCTOR" }))
        .await;
    assert_eq!(answer.body["clerkSync"], "pending");
    app.finish().await;
}

/// A crashed sandbox leaves its lease behind; the next one waits for its end, and no longer.
#[tokio::test]
async fn a_crash_while_delivering_loses_nothing() {
    let (app, admin, ada) = TestApp::with_admin_and_student().await;
    app.clerk.fault(
        Fault::slow(Duration::from_secs(20))
            .on("PATCH", "/v1/users")
            .once(),
    );
    let set = app.set_role(&admin, &ada, json!({ "role": "INSTRUCTOR" }));
    // The sandbox dies in the middle of the call.
    assert!(
        tokio::time::timeout(Duration::from_millis(500), set)
            .await
            .is_err()
    );
    assert_eq!(app.role(&ada).await, "INSTRUCTOR");
    assert_eq!(app.reconcile().await.n_delivered, 0, "leased");
    app.execute("update outbox set leased_until = now() - interval '1 second'")
        .await;
    assert_eq!(app.reconcile().await.n_delivered, 1);
    app.finish().await;
}

/// Two ticks at once deliver each entry once.
#[tokio::test]
async fn two_reconciles_at_once_share_the_work() {
    let app = TestApp::new().await;
    let admin = app.admin("grace").await;
    app.clerk.down();
    for n in 0..12 {
        let id = format!("u{n}");
        app.clerk.up();
        let user = app.user(&id, Some("STUDENT")).await;
        app.clerk.down();
        app.set_role(&admin, &user, json!({ "role": "INSTRUCTOR" }))
            .await;
    }
    app.clerk.up();
    app.forget_waits().await;
    app.clerk.clear_requests();
    // A sandbox of its own, with a connection of its own.
    let settings = settings_of(&app.clerk, &app.database.url, &[]);
    let other = reconcile::App::new(&settings);
    let deadline = Instant::now() + Duration::from_secs(30);
    let (one, two) = tokio::join!(app.reconcile(), reconcile::run(&other, deadline));
    let two = two.unwrap();
    assert_eq!(one.n_delivered + two.n_delivered, 12);
    let n_patches = app
        .clerk
        .requests()
        .iter()
        .filter(|call| call.method == "PATCH")
        .count();
    assert_eq!(n_patches, 12);
    app.finish().await;
}

/// The whole way through a pooler in transaction mode, the strictest there is.
#[tokio::test]
async fn everything_works_through_a_transaction_pooler() {
    let database = Database::new().await;
    let url = database.pooled_url();
    let app = TestApp::at(database, &url, &[]).await;
    let admin = app.admin("grace").await;
    let mut users = Vec::new();
    for n in 0..5 {
        users.push(app.user(&format!("u{n}"), Some("STUDENT")).await);
    }
    for round in ["INSTRUCTOR", "ADMIN", "STUDENT"] {
        let changes = users.iter().map(async |user| {
            let answer = app.set_role(&admin, user, json!({ "role": round })).await;
            assert_eq!(answer.status, 200, "{}", answer.body);
        });
        for change in changes {
            change.await;
        }
        app.deliver_all().await;
        assert_eq!(app.get(&admin, "/api/admin/users").await.status, 200);
    }
    app.settle().await;
    app.assert_equal().await;
    // The pooler keeps its own connections to the database.
}
