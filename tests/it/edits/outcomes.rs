//! What becomes of an edit when the database or Clerk fails in the middle of it.

use std::time::{Duration, Instant};

use clerk_emulator::{Effect, Fault};
use serde_json::{Value, json};

use super::{
    Held, ask, assert_done, assert_names, assert_refused, became, both_sides, bring_database_back,
    changes, edit_call, edit_in_clerk_call, gate, intents, take_database_away,
};
use crate::support::TestApp;

/// What Grace asks for in most of these tests.
fn wish() -> Value {
    json!({ "firstName": "Augusta", "lastName": "King", "builderGroupId": "g1" })
}

/// The id of the group in the row.
async fn group(app: &TestApp, clerk_id: &str) -> Value {
    app.row(clerk_id).await["builder_group_id"].clone()
}

/// Everything that is due is done by one tick, and the edits came to this.
async fn assert_settles(app: &TestApp, outcomes: &[&str]) {
    app.forget_waits().await;
    let report = app.reconcile().await;
    assert_eq!(report.n_settled, outcomes.len(), "{report:?}");
    assert_eq!(became(app).await, outcomes);
}

/// Clerk was asked for one change, and it was not sent again.
#[track_caller]
fn assert_sent_once(app: &TestApp, user: &str) {
    assert_eq!(changes(app), [format!("PATCH /v1/users/{user}")]);
}

/// The row has what it had, and the edit is still to be settled.
async fn assert_open_and_untouched(app: &TestApp, before: &Value) {
    let ada = before["clerk_id"].as_str().unwrap();
    assert_eq!(app.row(ada).await, *before);
    assert_eq!(became(app).await, [Value::Null]);
}

#[tokio::test]
async fn what_clerk_took_while_the_database_was_away_follows_later() {
    for is_event_first in [false, true] {
        let (mut app, grace, ada) = TestApp::with_admin_and_student().await;
        let held = Held::in_front_of(&app.clerk).await;
        app.update_user = gate(&app, &held.url);
        let before = app.row(&ada).await;
        let edit = app.edit(&grace, &ada, wish());
        let (answer, ()) = tokio::join!(edit, held.meanwhile(take_database_away(&app)));
        assert_done(&answer, 202, "pending");
        let user = &answer.body["user"];
        assert_eq!(user["name"], "Augusta King", "as Clerk has it: {user}");
        assert_eq!(user["clerkId"], ada);
        assert_eq!(user["builderGroupId"], Value::Null, "not yet");
        assert_open_and_untouched(&app, &before).await;

        bring_database_back(&app).await;
        if is_event_first {
            assert_eq!(app.deliver_all().await, ["applied"]);
            assert_names(&both_sides(&app, &ada).await, Some("Augusta"), Some("King"));
            assert_eq!(group(&app, &ada).await, Value::Null);
        }
        assert_settles(&app, &["done"]).await;
        assert_names(&both_sides(&app, &ada).await, Some("Augusta"), Some("King"));
        assert_eq!(group(&app, &ada).await, "g1");
        assert_sent_once(&app, &ada);
        app.finish().await;
    }
}

#[tokio::test]
async fn what_clerk_took_from_update_clerk_user_follows_later_as_well() {
    let (mut app, grace, ada) = TestApp::with_admin_and_student().await;
    let held = Held::in_front_of(&app.clerk).await;
    app.update_clerk_user = gate(&app, &held.url);
    let before = app.row(&ada).await;
    let edit = app.edit_in_clerk(&grace, &ada, json!({ "firstName": "Augusta" }));
    let (answer, ()) = tokio::join!(edit, held.meanwhile(take_database_away(&app)));
    assert_done(&answer, 202, "pending");
    let shown = json!({ "id": ada, "firstName": "Augusta", "lastName": null });
    assert_eq!(answer.body["user"], shown);
    assert_open_and_untouched(&app, &before).await;
    bring_database_back(&app).await;
    assert_settles(&app, &["done"]).await;
    assert_sent_once(&app, &ada);
    app.finish().await;
}

/// The sandbox dies after Clerk made the edit and before anybody heard of it.
#[tokio::test]
async fn a_crash_after_clerk_made_an_edit_loses_nothing() {
    let (mut app, grace, ada) = TestApp::with_admin_and_student().await;
    let held = Held::in_front_of(&app.clerk).await;
    app.update_user = gate(&app, &held.url);
    let before = app.row(&ada).await;
    tokio::select! {
        answer = app.edit(&grace, &ada, wish()) => panic!("{answer:?}"),
        () = held.changed() => {}
    }
    assert_open_and_untouched(&app, &before).await;
    assert_eq!(
        app.reconcile().await.n_settled,
        0,
        "the request has its time"
    );
    assert_settles(&app, &["done"]).await;
    assert_names(&both_sides(&app, &ada).await, Some("Augusta"), Some("King"));
    assert_eq!(group(&app, &ada).await, "g1");
    assert_sent_once(&app, &ada);
    app.finish().await;
}

#[tokio::test]
async fn an_edit_whose_answer_is_lost_is_found_by_reading() {
    for is_in_clerk in [false, true] {
        let (app, grace, ada) = TestApp::with_admin_and_student().await;
        app.clerk.clear_requests();
        app.clerk
            .fault(Fault::drop_answer().on("PATCH", "/v1/users").once());
        let answer = if is_in_clerk {
            let names = json!({ "firstName": "Augusta", "lastName": "King" });
            app.edit_in_clerk(&grace, &ada, names).await
        } else {
            app.edit(&grace, &ada, wish()).await
        };
        assert_done(&answer, 200, "synced");
        assert_eq!(answer.body["user"]["firstName"], "Augusta");
        assert_names(&both_sides(&app, &ada).await, Some("Augusta"), Some("King"));
        let calls = app.clerk.requests().into_iter();
        let methods: Vec<_> = calls.map(|call| call.method).collect();
        assert_eq!(methods, ["PATCH", "GET"], "read, not sent again");
        assert_eq!(became(&app).await, ["done"]);
        app.finish().await;
    }
}

#[tokio::test]
async fn an_edit_that_never_reached_clerk_changes_nothing_and_is_settled_as_not_done() {
    let faults = [Fault::drop(), Fault::status(500), Fault::status(503)];
    for fault in faults {
        let (app, grace, ada) = TestApp::with_admin_and_student().await;
        let before = app.row(&ada).await;
        app.clerk
            .fault(fault.clone().on("PATCH", "/v1/users").once());
        let answer = app.edit(&grace, &ada, wish()).await;
        assert_refused(&answer, 502, "clerk_unavailable");
        assert_eq!(answer.body["outcome"], "unknown", "{fault:?}");
        assert_eq!(
            answer.body["error"],
            "Failed to sync with Clerk authentication system"
        );
        assert_open_and_untouched(&app, &before).await;
        assert_eq!(
            app.reconcile().await.n_settled,
            0,
            "the request has its time"
        );
        assert_settles(&app, &["not_done"]).await;
        assert_names(&both_sides(&app, &ada).await, Some("ada"), None);
        assert_eq!(group(&app, &ada).await, Value::Null);
        assert_sent_once(&app, &ada);
        app.finish().await;
    }
}

/// It was on its way when the function gave up: whether or not Clerk tells of it, it is found.
#[tokio::test]
async fn an_edit_that_reaches_clerk_late_is_settled_as_done() {
    for is_told in [false, true] {
        let (app, grace, ada) = TestApp::with_admin_and_student().await;
        app.clerk
            .fault(Fault::drop().on("PATCH", "/v1/users").once());
        let answer = app.edit(&grace, &ada, wish()).await;
        assert_eq!(answer.body["outcome"], "unknown", "{}", answer.body);
        let names = json!({ "first_name": "Augusta", "last_name": "King" });
        if is_told {
            app.clerk.update_user(&ada, names);
            app.deliver_all().await;
        } else {
            app.clerk.silently(|clerk| clerk.update_user(&ada, names));
        }
        assert_eq!(
            group(&app, &ada).await,
            Value::Null,
            "not before it is settled"
        );
        assert_settles(&app, &["done"]).await;
        assert_names(&both_sides(&app, &ada).await, Some("Augusta"), Some("King"));
        assert_eq!(group(&app, &ada).await, "g1");
        assert_sent_once(&app, &ada);
        app.finish().await;
    }
}

/// Half of it is not it: somebody else set the given name to the same.
#[tokio::test]
async fn an_edit_that_clerk_shows_in_part_is_not_done() {
    let (app, grace, ada) = TestApp::with_admin_and_student().await;
    app.clerk
        .fault(Fault::drop().on("PATCH", "/v1/users").once());
    app.edit(&grace, &ada, wish()).await;
    app.clerk
        .update_user(&ada, json!({ "first_name": "Augusta" }));
    assert_settles(&app, &["not_done"]).await;
    assert_names(&both_sides(&app, &ada).await, Some("Augusta"), None);
    assert_eq!(group(&app, &ada).await, Value::Null);
    app.finish().await;
}

#[tokio::test]
async fn a_silent_clerk_is_504_in_time() {
    for is_in_clerk in [false, true] {
        let (app, grace, ada) = TestApp::with_admin_and_student().await;
        let before = app.row(&ada).await;
        // Neither the change nor the question after it is answered.
        app.clerk
            .fault(Fault::new(Effect::DelayBefore(Duration::from_mins(1))));
        let time = Duration::from_secs(2);
        let begun_at = Instant::now();
        let names = json!({ "firstName": "Augusta" });
        let answer = if is_in_clerk {
            let call = edit_in_clerk_call(&app, &grace, &ada, &names);
            let handler = |request| update_clerk_user::handle(&app.update_clerk_user, request);
            ask(&call, time, handler).await
        } else {
            let call = edit_call(&app, &grace, &ada, &names);
            let handler = |request| update_user::handle(&app.update_user, request);
            ask(&call, time, handler).await
        };
        assert!(begun_at.elapsed() < time, "{:?}", begun_at.elapsed());
        assert_refused(&answer, 504, "clerk_timed_out");
        assert_eq!(answer.body["outcome"], "unknown");
        assert_open_and_untouched(&app, &before).await;
        app.clerk.clear_faults();
        assert_settles(&app, &["not_done"]).await;
        assert_sent_once(&app, &ada);
        app.finish().await;
    }
}

/// Clerk makes the edit, and takes longer to say so than the request has.
#[tokio::test]
async fn an_edit_that_clerk_answers_too_late_is_settled_as_done() {
    let (app, grace, ada) = TestApp::with_admin_and_student().await;
    let before = app.row(&ada).await;
    app.clerk
        .fault(Fault::slow(Duration::from_mins(1)).on("PATCH", "/v1/users"));
    let call = edit_call(&app, &grace, &ada, &wish());
    let handler = |request| update_user::handle(&app.update_user, request);
    let answer = ask(&call, Duration::from_millis(1500), handler).await;
    assert_refused(&answer, 504, "clerk_timed_out");
    assert_eq!(answer.body["outcome"], "unknown");
    assert_open_and_untouched(&app, &before).await;
    app.clerk.clear_faults();
    assert_settles(&app, &["done"]).await;
    assert_eq!(group(&app, &ada).await, "g1");
    assert_sent_once(&app, &ada);
    app.finish().await;
}

#[tokio::test]
async fn while_clerk_is_down_an_edit_stays_open_and_is_asked_about_less_and_less_often() {
    let (app, grace, ada) = TestApp::with_admin_and_student().await;
    let before = app.row(&ada).await;
    app.clerk.down();
    let answer = app.edit(&grace, &ada, wish()).await;
    assert_refused(&answer, 502, "clerk_unavailable");
    assert_eq!(answer.body["outcome"], "unknown");
    for n_settles in 1..=3 {
        app.forget_waits().await;
        let report = app.reconcile().await;
        assert_eq!((report.n_settled, report.n_unanswered), (0, 1));
        assert_open_and_untouched(&app, &before).await;
        assert_eq!(intents(&app).await[0]["n_settles"], n_settles);
        let n_due = app.count("profile_edits where settle_at <= now()").await;
        assert_eq!(n_due, 0, "it is put off");
    }
    app.clerk.up();
    assert_settles(&app, &["not_done"]).await;
    assert_sent_once(&app, &ada);
    app.finish().await;
}

/// What surely did not reach Clerk is not asked about.
#[tokio::test]
async fn where_clerk_cannot_be_reached_at_all_the_edit_is_closed_at_once() {
    let (mut app, grace, ada) = TestApp::with_admin_and_student().await;
    let before = both_sides(&app, &ada).await;
    app.update_user = gate(&app, "http://127.0.0.1:1");
    let answer = app.edit(&grace, &ada, wish()).await;
    assert_refused(&answer, 502, "clerk_unavailable");
    assert_eq!(answer.body["outcome"], Value::Null, "it is known");
    assert_eq!(both_sides(&app, &ada).await, before);
    assert_eq!(became(&app).await, ["not_done"]);
    app.finish().await;
}

/// Clerk did not do it and said so: nothing is open, and nothing is asked or sent again.
#[tokio::test]
async fn what_clerk_refuses_is_closed_at_once() {
    let refusals = [
        (Fault::rate_limited(7), "clerk_rate_limited", "not_done"),
        (
            Fault::refusal(409, "resource_locked"),
            "clerk_unavailable",
            "not_done",
        ),
        (
            Fault::refusal(401, "clerk_key_invalid"),
            "clerk_refused_our_key",
            "refused",
        ),
        (Fault::refusal(403, "forbidden"), "clerk_refused", "refused"),
    ];
    for (fault, code, outcome) in refusals {
        let (app, grace, ada) = TestApp::with_admin_and_student().await;
        let before = both_sides(&app, &ada).await;
        app.clerk.clear_requests();
        app.clerk
            .fault(fault.clone().on("PATCH", "/v1/users").once());
        let answer = app.edit(&grace, &ada, wish()).await;
        assert_refused(&answer, 502, code);
        assert_eq!(answer.body["outcome"], Value::Null, "{fault:?}");
        let wait = if code == "clerk_rate_limited" {
            json!("7")
        } else {
            Value::Null
        };
        assert_eq!(answer.headers["retry-after"], wait, "{fault:?}");
        assert_eq!(both_sides(&app, &ada).await, before, "{fault:?}");
        assert_eq!(became(&app).await, [outcome], "{fault:?}");
        assert_eq!(app.clerk.requests().len(), 1, "{fault:?}");
        app.finish().await;
    }
}

#[tokio::test]
async fn who_was_deleted_in_clerk_meanwhile_is_404_and_the_row_stays_until_clerk_tells() {
    let (app, grace, ada) = TestApp::with_admin_and_student().await;
    let before = app.row(&ada).await;
    app.clerk.delete_user(&ada);
    for is_in_clerk in [false, true] {
        let answer = if is_in_clerk {
            app.edit_in_clerk(&grace, &ada, json!({ "firstName": "Augusta" }))
                .await
        } else {
            app.edit(&grace, &ada, wish()).await
        };
        assert_refused(&answer, 404, "not_found_in_clerk");
        assert_eq!(
            answer.body["error"],
            "User not found in Clerk. They may have been deleted."
        );
        assert_eq!(app.row(&ada).await, before);
    }
    assert_eq!(became(&app).await, ["refused", "refused"]);
    app.finish().await;
}

#[tokio::test]
async fn who_was_deleted_is_404_and_clerk_is_not_asked() {
    let (app, grace, ada) = TestApp::with_admin_and_student().await;
    app.clerk.delete_user(&ada);
    app.deliver_all().await;
    let before = app.row(&ada).await;
    app.clerk.clear_requests();
    let id = before["id"].as_str().unwrap();
    for user in [ada.as_str(), id] {
        assert_refused(&app.edit(&grace, user, wish()).await, 404, "user_not_found");
    }
    let answer = app
        .edit_in_clerk(&grace, &ada, json!({ "firstName": "Augusta" }))
        .await;
    assert_refused(&answer, 404, "not_found_in_clerk");
    assert_eq!(app.row(&ada).await, before);
    assert_eq!(app.clerk.requests().len(), 0);
    assert!(became(&app).await.is_empty());
    app.finish().await;
}

/// The edit is over with them, and holds no name any more.
#[tokio::test]
async fn an_open_edit_of_somebody_whose_end_was_told_is_closed_without_asking() {
    let (app, grace, ada) = TestApp::with_admin_and_student().await;
    app.clerk
        .fault(Fault::drop().on("PATCH", "/v1/users").once());
    app.edit(&grace, &ada, wish()).await;
    app.clerk.delete_user(&ada);
    app.deliver_all().await;
    app.clerk.clear_requests();
    // Whoever began it may yet close it, for a while.
    app.reconcile().await;
    assert_eq!(became(&app).await, [Value::Null]);
    app.forget_waits().await;
    app.reconcile().await;
    assert_eq!(app.clerk.requests().len(), 0, "nobody needs to be asked");
    assert_eq!(became(&app).await, ["not_done"]);
    assert_eq!(group(&app, &ada).await, Value::Null);
    app.finish().await;
}

/// That Clerk does not show a user may be another key's doing: it is asked again, for a day.
#[tokio::test]
async fn an_open_edit_of_somebody_whom_clerk_does_not_show_is_closed_after_a_day() {
    let (app, grace, ada) = TestApp::with_admin_and_student().await;
    app.clerk
        .fault(Fault::drop().on("PATCH", "/v1/users").once());
    app.edit(&grace, &ada, wish()).await;
    app.clerk.silently(|clerk| clerk.delete_user(&ada));
    app.forget_waits().await;
    let report = app.reconcile().await;
    assert_eq!((report.n_settled, report.n_unanswered), (0, 1));
    assert_eq!(became(&app).await, [Value::Null]);
    app.execute("update profile_edits set created_at = now() - interval '24 hours'")
        .await;
    assert_settles(&app, &["not_done"]).await;
    assert_eq!(group(&app, &ada).await, Value::Null);
    app.database.remove().await;
}

/// Clerk makes the edit, and the user is deleted before it is written down: the end is final (R3).
#[tokio::test]
async fn an_edit_never_brings_back_who_is_deleted_meanwhile() {
    let (mut app, grace, ada) = TestApp::with_admin_and_student().await;
    let held = Held::in_front_of(&app.clerk).await;
    app.update_user = gate(&app, &held.url);
    let edit = app.edit(&grace, &ada, wish());
    let ended = async {
        app.clerk.delete_user(&ada);
        app.deliver_all().await;
    };
    let (_, ()) = tokio::join!(edit, held.meanwhile(ended));
    let row = app.row(&ada).await;
    assert!(row["deleted_at"].is_string(), "{row}");
    assert_eq!(row["builder_group_id"], Value::Null);
    assert!(!became(&app).await.contains(&Value::Null));
    app.finish().await;
}

/// Somebody else changed the user in the millisecond of our edit, and their event came first: which
/// of the two is the later one, only Clerk can say (R2).
#[tokio::test]
async fn an_edit_in_the_same_millisecond_as_a_foreign_change_ends_equal() {
    let (app, grace, ada) = TestApp::with_admin_and_student().await;
    app.clerk.freeze_clock();
    app.clerk
        .update_user(&ada, json!({ "username": "countess" }));
    app.deliver_all().await;
    let answer = app.edit(&grace, &ada, wish()).await;
    assert!(matches!(answer.status, 200 | 202), "{}", answer.body);
    assert_eq!(answer.body["user"]["name"], "Augusta King");
    app.clerk.resume_clock();
    app.settle().await;
    let sides = both_sides(&app, &ada).await;
    assert_names(&sides, Some("Augusta"), Some("King"));
    assert_eq!(sides.1["username"], "countess");
    assert_eq!(sides.1["builder_group_id"], "g1");
    app.finish().await;
}

/// A list that lags behind what we know shows the user as they were before the edit, which is no
/// proof that it was not made.
#[tokio::test]
async fn what_lags_behind_what_we_know_settles_nothing() {
    let (app, grace, ada) = TestApp::with_admin_and_student().await;
    app.clerk
        .fault(Fault::drop().on("PATCH", "/v1/users").once());
    app.edit(&grace, &ada, wish()).await;
    app.execute("update users set clerk_version = clerk_version + 1000 where role = 'STUDENT'")
        .await;
    app.forget_waits().await;
    assert_eq!(app.reconcile().await.n_settled, 0);
    assert_eq!(became(&app).await, [Value::Null]);
    // Now the list has caught up.
    app.clerk.advance(Duration::from_secs(2));
    let names = json!({ "first_name": "Augusta", "last_name": "King" });
    app.clerk.silently(|clerk| clerk.update_user(&ada, names));
    assert_settles(&app, &["done"]).await;
    assert_eq!(group(&app, &ada).await, "g1");
    app.finish().await;
}

/// Many at once are settled by one question to Clerk.
#[tokio::test]
async fn many_open_edits_are_settled_by_one_call() {
    let app = TestApp::new().await;
    let grace = app.admin("grace").await;
    app.clerk.fault(Fault::drop().on("PATCH", "/v1/users"));
    for n in 0..5 {
        let user = app.user(&format!("u{n}"), Some("STUDENT")).await;
        app.edit(&grace, &user, wish()).await;
        if n % 2 == 0 {
            app.clerk.update_user(
                &user,
                json!({ "first_name": "Augusta", "last_name": "King" }),
            );
        }
    }
    app.clerk.clear_faults();
    app.clerk.clear_requests();
    assert_settles(&app, &["done", "not_done", "done", "not_done", "done"]).await;
    let calls = app.clerk.requests().into_iter();
    let n_questions = calls.filter(|call| call.path == "/v1/users").count();
    assert_eq!(n_questions, 1);
    assert_eq!(app.count("users where builder_group_id = 'g1'").await, 3);
    app.finish().await;
}
