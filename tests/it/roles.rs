//! Roles in both directions, end to end: R8, R9, R10, R13.

use std::time::Duration;

use clerk_emulator::Fault;
use serde_json::{Value, json};
use shared::db::role_changes::Source;
use shared::db::roles::{Change, Refusal, Verdict};
use shared::db::users::{Key, PushChange, Write};
use shared::db::{Check, Role};
use shared::gate::Gate;
use shared::ids::UserId;

use crate::support::TestApp;
use crate::support::app::settings_of;
use crate::support::gateway::{Answer, Call};

#[tokio::test]
async fn a_role_set_in_clerk_arrives_here() {
    let app = TestApp::new().await;
    let ada = app.user("ada", Some("STUDENT")).await;
    app.clerk.set_role(&ada, "INSTRUCTOR");
    assert_eq!(app.deliver_all().await, ["applied"]);
    assert_eq!(app.role(&ada).await, "INSTRUCTOR");
    app.finish().await;
}

#[tokio::test]
async fn a_role_set_here_arrives_in_clerk() {
    let (app, admin, ada) = TestApp::with_admin_and_student().await;
    let answer = app
        .set_role(&admin, &ada, json!({ "role": "INSTRUCTOR" }))
        .await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(answer.body["clerkSync"], "synced");
    assert_eq!(answer.body["user"]["role"], "INSTRUCTOR");
    assert_eq!(answer.body["user"]["clerkSync"], "synced");
    assert_eq!(app.clerk_role(&ada), "INSTRUCTOR");
    assert_eq!(app.role(&ada).await, "INSTRUCTOR");
    app.finish().await;
}

#[tokio::test]
async fn other_metadata_survives_a_push() {
    let (app, admin, ada) = TestApp::with_admin_and_student().await;
    app.clerk.update_user(
        &ada,
        json!({ "public_metadata": { "theme": { "dark": true } } }),
    );
    app.set_role(&admin, &ada, json!({ "role": "INSTRUCTOR" }))
        .await;
    let metadata = &app.clerk.user(&ada).unwrap()["public_metadata"];
    assert_eq!(
        metadata,
        &json!({ "role": "INSTRUCTOR", "theme": { "dark": true } })
    );
    assert_eq!(&app.row(&ada).await["public_metadata"], metadata);
    app.finish().await;
}

/// R9: the row, its audit row and its outbox entry are there even if Clerk is not.
#[tokio::test]
async fn with_clerk_down_the_role_is_pending_and_delivered_later() {
    let (app, admin, ada) = TestApp::with_admin_and_student().await;
    app.clerk.down();
    let answer = app
        .set_role(&admin, &ada, json!({ "role": "INSTRUCTOR" }))
        .await;
    assert_eq!(
        (answer.status, &answer.body["clerkSync"]),
        (200, &json!("pending"))
    );
    assert_eq!(app.role(&ada).await, "INSTRUCTOR");
    assert_eq!(app.clerk_role(&ada), "STUDENT");
    assert_eq!(shown(&app, &admin, &ada).await["clerkSync"], "pending");

    // Not before its wait is over.
    app.clerk.up();
    assert_eq!(app.reconcile().await.n_delivered, 0);
    app.forget_waits().await;
    assert_eq!(app.reconcile().await.n_delivered, 1);
    assert_eq!(app.clerk_role(&ada), "INSTRUCTOR");
    assert_eq!(shown(&app, &admin, &ada).await["clerkSync"], "synced");
    app.finish().await;
}

#[tokio::test]
async fn who_changed_which_role_is_kept_with_the_change() {
    let (app, admin, ada) = TestApp::with_admin_and_student().await;
    app.set_role(&admin, &ada, json!({ "role": "INSTRUCTOR" }))
        .await;
    app.clerk.set_role(&ada, "ADMIN");
    app.deliver_all().await;
    let answer = app
        .get(&admin, &format!("/api/admin/role-changes?userId={ada}"))
        .await;
    let changes = answer.body["roleChanges"].as_array().unwrap();
    let short = |change: &Value| {
        json!([
            change["oldRole"],
            change["newRole"],
            change["actor"],
            change["source"]
        ])
    };
    let found: Vec<Value> = changes.iter().map(short).collect();
    assert_eq!(
        found,
        [
            json!(["INSTRUCTOR", "ADMIN", "clerk", "webhook"]),
            json!(["STUDENT", "INSTRUCTOR", admin, "admin_panel"]),
            json!([null, "STUDENT", "clerk", "webhook"]),
        ]
    );
    assert_eq!(changes[1]["requestId"], "request-1");
    let refused = app
        .sql
        .batch_execute("update role_changes set actor = 'x'")
        .await;
    assert!(refused.is_err(), "the trail is append-only");
    app.finish().await;
}

/// Clerk writes the origin of a browser into the token (`azp`), and signs it; a token that no browser
/// asked for has none. What the request says of itself does not count: anybody can write that.
#[tokio::test]
async fn a_role_that_a_browser_sets_is_told_from_one_that_a_program_sets() {
    let (app, admin, ada) = TestApp::with_admin_and_student().await;
    let panel = json!({ "azp": "https://admin.example.com" });
    let program = json!({ "azp": null });
    let of_browser = [
        ("origin", "https://admin.example.com"),
        ("sec-fetch-site", "same-origin"),
    ];
    let cases = [
        (&panel, &of_browser[..], "INSTRUCTOR", "admin_panel"),
        (&program, &[], "STUDENT", "api"),
        (&program, &of_browser, "ADMIN", "api"),
        (&panel, &[], "STUDENT", "admin_panel"),
    ];
    for (claims, headers, role, source) in cases {
        let mut call = Call::new("PATCH", &format!("/api/admin/users/{ada}"))
            .token(&app.clerk.session_token_with(&admin, claims.clone()))
            .json(&json!({ "role": role }));
        for (name, value) in headers {
            call = call.header(name, value);
        }
        assert_eq!(app.call_update_role(&call).await.status, 200);
        let path = format!("/api/admin/role-changes?userId={ada}&limit=1");
        let last = &app.get(&admin, &path).await.body["roleChanges"][0];
        assert_eq!(
            (&last["newRole"], &last["source"]),
            (&json!(role), &json!(source))
        );
    }
    app.finish().await;
}

/// R10: the echo of our own push is a no-op, and a foreign change beside it is not swallowed.
#[tokio::test]
async fn the_echo_of_our_own_push_changes_nothing() {
    let (app, admin, ada) = TestApp::with_admin_and_student().await;
    app.set_role(&admin, &ada, json!({ "role": "INSTRUCTOR" }))
        .await;
    let before = app.row(&ada).await;
    let echo = app
        .clerk
        .take_messages()
        .pop()
        .expect("Clerk tells of our push");
    assert_eq!(app.deliver(&echo).await.body["outcome"], "applied");
    assert_eq!(app.row(&ada).await, before, "not even a time moves");
    assert_eq!(app.inbox(&echo.id).await["detail"]["changed"], json!([]));
    assert_eq!(
        app.count("outbox where completed_at is null").await,
        0,
        "nothing goes back"
    );
    app.finish().await;
}

/// R10: what somebody changed just before our push is in its answer, and their event, which is
/// older than the answer, has nothing to add.
#[tokio::test]
async fn a_foreign_change_in_the_window_of_a_push_is_not_swallowed() {
    let (app, admin, ada) = TestApp::with_admin_and_student().await;
    app.clerk
        .update_user(&ada, json!({ "first_name": "Augusta" }));
    app.set_role(&admin, &ada, json!({ "role": "INSTRUCTOR" }))
        .await;
    assert_eq!(app.row(&ada).await["first_name"], "Augusta");
    assert_eq!(app.deliver_all().await, ["stale", "applied"]);
    assert_eq!(app.row(&ada).await["first_name"], "Augusta");
    app.finish().await;
}

/// R10: a foreign change of the same millisecond as our push is found by asking Clerk.
#[tokio::test]
async fn a_foreign_change_in_the_same_millisecond_as_a_push_is_not_swallowed() {
    let (app, admin, ada) = TestApp::with_admin_and_student().await;
    app.clerk.freeze_clock();
    app.set_role(&admin, &ada, json!({ "role": "INSTRUCTOR" }))
        .await;
    app.clerk
        .update_user(&ada, json!({ "first_name": "Augusta" }));
    app.clerk.resume_clock();
    app.settle().await;
    assert_eq!(app.row(&ada).await["first_name"], "Augusta");
    app.finish().await;
}

/// R9, R10: Clerk applied the push and its answer was lost.
#[tokio::test]
async fn a_push_whose_answer_is_lost_is_settled_by_reading() {
    let (app, admin, ada) = TestApp::with_admin_and_student().await;
    app.clerk
        .fault(Fault::drop_answer().on("PATCH", "/v1/users").times(1));
    let answer = app
        .set_role(&admin, &ada, json!({ "role": "INSTRUCTOR" }))
        .await;
    assert_eq!(answer.body["clerkSync"], "pending");
    assert_eq!(app.clerk_role(&ada), "INSTRUCTOR");
    app.clerk.clear_requests();
    app.forget_waits().await;
    assert_eq!(app.reconcile().await.n_delivered, 1);
    let methods: Vec<_> = app
        .clerk
        .requests()
        .into_iter()
        .map(|call| call.method)
        .collect();
    assert_eq!(methods, ["GET"], "read, not sent again");
    app.finish().await;
}

/// R10: after a push whose answer was lost, somebody else sets another role; it is not undone.
#[tokio::test]
async fn a_change_after_a_lost_answer_is_not_reverted() {
    for is_event_first in [true, false] {
        let (app, admin, ada) = TestApp::with_admin_and_student().await;
        app.clerk
            .fault(Fault::drop_answer().on("PATCH", "/v1/users").times(1));
        app.set_role(&admin, &ada, json!({ "role": "INSTRUCTOR" }))
            .await;
        app.clerk.set_role(&ada, "ADMIN");
        if is_event_first {
            app.deliver_all().await;
        }
        app.forget_waits().await;
        app.reconcile().await;
        assert_eq!(app.clerk_role(&ada), "ADMIN", "{is_event_first}");
        app.finish().await;
    }
}

/// The echo of a lost answer closes the push without another call.
#[tokio::test]
async fn the_echo_of_a_lost_answer_closes_the_push() {
    let (app, admin, ada) = TestApp::with_admin_and_student().await;
    app.clerk
        .fault(Fault::drop_answer().on("PATCH", "/v1/users").times(1));
    app.set_role(&admin, &ada, json!({ "role": "INSTRUCTOR" }))
        .await;
    app.deliver_all().await;
    assert_eq!(app.count("outbox where completed_at is null").await, 0);
    app.clerk.clear_requests();
    app.forget_waits().await;
    app.reconcile().await;
    assert_eq!(app.clerk.requests().len(), 0);
    app.finish().await;
}

/// R8: the dashboard and the panel change the same role; the last write to reach Clerk wins.
#[tokio::test]
async fn a_dashboard_change_racing_a_panel_change_ends_equal() {
    // Clerk was changed before the panel, and its event comes late: the panel's push is newer.
    let (app, admin, ada) = TestApp::with_admin_and_student().await;
    app.clerk.set_role(&ada, "ADMIN");
    tokio::time::sleep(Duration::from_millis(5)).await;
    app.clerk.down();
    app.set_role(&admin, &ada, json!({ "role": "INSTRUCTOR" }))
        .await;
    app.clerk.up();
    assert_eq!(app.deliver_all().await, ["applied"]);
    assert_eq!(
        app.role(&ada).await,
        "INSTRUCTOR",
        "an older role does not overwrite an open push"
    );
    app.settle().await;
    assert_eq!(app.clerk_role(&ada), "INSTRUCTOR");
    app.finish().await;

    // Clerk was changed after the panel, while the push waits: Clerk's change is newer.
    for is_event_first in [true, false] {
        let (app, admin, ada) = TestApp::with_admin_and_student().await;
        app.clerk.down();
        app.set_role(&admin, &ada, json!({ "role": "INSTRUCTOR" }))
            .await;
        app.clerk.up();
        tokio::time::sleep(Duration::from_millis(5)).await;
        app.clerk.set_role(&ada, "ADMIN");
        if is_event_first {
            app.deliver_all().await;
        }
        app.forget_waits().await;
        app.reconcile().await;
        assert_eq!(app.clerk_role(&ada), "ADMIN", "{is_event_first}");
        app.finish().await;
    }
}

/// Both at the very same time, again and again: whoever wins, wins on both sides.
#[tokio::test]
async fn both_sides_at_once_end_equal() {
    let (app, admin, ada) = TestApp::with_admin_and_student().await;
    for (ours, theirs) in [
        ("ADMIN", "INSTRUCTOR"),
        ("STUDENT", "ADMIN"),
        ("INSTRUCTOR", "STUDENT"),
    ] {
        let panel = app.set_role(&admin, &ada, json!({ "role": ours }));
        let dashboard = async {
            app.clerk.set_role(&ada, theirs);
            app.deliver_all().await;
        };
        let (answer, ()) = tokio::join!(panel, dashboard);
        assert_eq!(answer.status, 200);
        app.settle().await;
        assert_eq!(
            app.role(&ada).await,
            app.clerk_role(&ada),
            "{ours} {theirs}"
        );
    }
    app.finish().await;
}

/// A newer role replaces the one on its way; the older one, still in flight, does not end it.
#[tokio::test]
async fn a_newer_role_replaces_an_open_one() {
    let (app, admin, ada) = TestApp::with_admin_and_student().await;
    app.clerk.fault(
        Fault::slow(Duration::from_millis(400))
            .on("PATCH", "/v1/users")
            .times(1),
    );
    let first = app.set_role(&admin, &ada, json!({ "role": "ADMIN" }));
    let second = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        app.set_role(&admin, &ada, json!({ "role": "INSTRUCTOR" }))
            .await
    };
    let (first, second) = tokio::join!(first, second);
    assert_eq!((first.status, second.status), (200, 200));
    assert_eq!(
        second.body["clerkSync"], "pending",
        "the first one is still being delivered"
    );
    assert_eq!(app.count("outbox where completed_at is null").await, 1);
    assert_eq!(app.role(&ada).await, "INSTRUCTOR");
    app.settle().await;
    assert_eq!(
        (app.role(&ada).await, app.clerk_role(&ada)),
        ("INSTRUCTOR".into(), "INSTRUCTOR".into())
    );
    app.finish().await;
}

/// R8: a role that is none fails closed.
#[tokio::test]
async fn an_unknown_role_in_clerk_is_a_student_here() {
    let app = TestApp::new().await;
    let ada = app.admin("ada").await;
    let message = {
        app.clerk.set_role(&ada, "SUPERUSER");
        app.clerk.take_messages().pop().unwrap()
    };
    app.deliver(&message).await;
    assert_eq!(app.role(&ada).await, "STUDENT");
    assert_eq!(app.row(&ada).await["clerk_role"], "SUPERUSER");
    assert_eq!(
        app.inbox(&message.id).await["detail"]["drift"],
        "unknown_role"
    );
    app.finish().await;
}

/// R8: a role that Clerk had and has no more is the default; one it never had is given to it.
#[tokio::test]
async fn an_absent_role() {
    let app = TestApp::new().await;
    let ada = app.user("ada", Some("INSTRUCTOR")).await;
    app.clerk
        .update_user(&ada, json!({ "public_metadata": { "role": null } }));
    app.deliver_all().await;
    assert_eq!(app.role(&ada).await, "STUDENT");
    assert_eq!(
        app.count("outbox").await,
        0,
        "what was removed in Clerk stays removed"
    );

    app.execute(
        "insert into users (email, email_verified, role)
        values ('grace@example.com', true, 'INSTRUCTOR')",
    )
    .await;
    let grace = app.user("grace", None).await;
    assert_eq!(app.role(&grace).await, "INSTRUCTOR");
    app.settle().await;
    assert_eq!(app.clerk_role(&grace), "INSTRUCTOR");
    app.finish().await;
}

/// A decision that was made before an admin asked for the same role again is not written.
#[tokio::test]
async fn a_renewed_debt_makes_earlier_decisions_void() {
    let (app, admin, ada) = TestApp::with_admin_and_student().await;
    app.clerk.down();
    app.set_role(&admin, &ada, json!({ "role": "INSTRUCTOR" }))
        .await;
    app.execute("update outbox set leased_until = null").await;
    let db = app.webhook.db.as_ref().unwrap();
    let clerk_id = ada.parse().unwrap();
    let key = Key {
        delivery: None,
        clerk_id: &clerk_id,
        verified_email: None,
        created_at: None,
    };
    let current = db.current_users(&[key]).await.unwrap().pop().unwrap();
    app.set_role(&admin, &ada, json!({ "role": "INSTRUCTOR" }))
        .await;
    let cancel = Write {
        row: current.row,
        push: current.push.map(|push| PushChange::Cancel { id: push.id }),
        ..Write::default()
    };
    let (written, _) = db.write_users(&[cancel], Check::No).await.unwrap();
    assert_eq!(written.is_done, [false]);
    assert_eq!(app.count("outbox where completed_at is null").await, 1);
    app.clerk.up();
    app.finish().await;
}

/// R8: what the application sets right after a sign-up is newer than the gap that we fill,
/// whatever arrives first, and however late the sign-up's own event is.
#[tokio::test]
async fn a_default_never_overwrites_a_role_set_after_the_sign_up() {
    for is_told_first in [true, false] {
        let app = TestApp::new().await;
        let user = app.clerk.create_user(json!({ "email": "ada@example.com" }));
        let ada = user["id"].as_str().unwrap();
        let created = app.clerk.take_messages();
        tokio::time::sleep(Duration::from_millis(5)).await;
        app.clerk.set_role(ada, "INSTRUCTOR");
        let set = app.clerk.take_messages();
        // Only now the sign-up arrives, and a role is owed that nobody chose.
        app.deliver(&created[0]).await;
        assert_eq!(app.count("outbox where completed_at is null").await, 1);
        if is_told_first {
            app.deliver(&set[0]).await;
        } else {
            app.reconcile().await;
        }
        assert_eq!(app.role(ada).await, "INSTRUCTOR", "{is_told_first}");
        assert_eq!(app.clerk_role(ada), "INSTRUCTOR", "{is_told_first}");
        app.finish().await;
    }
}

/// R13: each asks a sandbox of its own, with a connection of its own.
#[tokio::test]
async fn two_admins_demoting_each_other_leave_one() {
    for round in 0..10 {
        let app = TestApp::new().await;
        let ada = app.admin("ada").await;
        let grace = app.admin("grace").await;
        let settings = settings_of(&app.clerk, &app.database.url, &[]);
        let sandboxes = [
            Gate::from_settings(&settings),
            Gate::from_settings(&settings),
        ];
        let demote = async |sandbox: &Gate, admin: &str, user: &str| {
            let call = Call::new("PATCH", &format!("/api/admin/users/{user}"))
                .token(&app.clerk.session_token(admin))
                .json(&json!({ "role": "STUDENT" }));
            let handler = |request| update_role::handle(sandbox, request);
            Answer::read(&shared::http::answer(call.event(), &handler).await)
        };
        let (one, two) = tokio::join!(
            demote(&sandboxes[0], &ada, &grace),
            demote(&sandboxes[1], &grace, &ada),
        );
        let mut statuses = [one.status, two.status];
        statuses.sort_unstable();
        assert!(
            matches!(statuses, [200, 403 | 409]),
            "{round}: {} {}",
            one.body,
            two.body
        );
        assert_eq!(app.count("users where role = 'ADMIN'").await, 1, "{round}");
        app.finish().await;
    }
}

/// Who ceased to be an admin after they were let in changes nothing any more.
#[tokio::test]
async fn an_admin_who_was_demoted_meanwhile_changes_nothing() {
    let app = TestApp::new().await;
    app.admin("grace").await;
    let ada = app.user("ada", Some("STUDENT")).await;
    let id: uuid::Uuid = app.row(&ada).await["id"].as_str().unwrap().parse().unwrap();
    let users = [ada.parse().unwrap()];
    let change = Change {
        users: &users,
        role: Role::Admin,
        expected_role: None,
        actor: UserId(id),
        actor_name: &ada,
        source: Source::Api,
        request_id: "request-1",
        lease: uuid::Uuid::new_v4(),
    };
    let verdicts = app
        .update_role
        .db
        .as_ref()
        .unwrap()
        .set_roles(&change)
        .await
        .unwrap();
    assert_eq!(verdicts, [Verdict::Refused(Refusal::AdminRequired)]);
    assert_eq!(app.role(&ada).await, "STUDENT");
    app.finish().await;
}

/// R13: an admin is demoted here while Clerk deletes the only other one: never unnoticed.
#[tokio::test]
async fn a_demotion_here_and_one_in_clerk_at_once_are_counted_one_after_the_other() {
    for round in 0..10 {
        let app = TestApp::new().await;
        let ada = app.admin("ada").await;
        let grace = app.admin("grace").await;
        app.clerk.delete_user(&grace);
        let end = app.clerk.take_messages().pop().unwrap();
        let (answer, _) = tokio::join!(
            app.set_role(&ada, &ada, json!({ "role": "STUDENT" })),
            app.deliver(&end),
        );
        let n_admins = app
            .count("users where role = 'ADMIN' and deleted_at is null")
            .await;
        let is_noticed = app.inbox(&end.id).await["detail"]["noAdminLeft"] == json!(true);
        assert_eq!(n_admins == 0, is_noticed, "{round}: {}", answer.body);
        assert_eq!(n_admins == 0, answer.status == 200, "{round}");
        app.finish().await;
    }
}

/// R13: alone, in bulk, and many at once.
#[tokio::test]
async fn the_last_admin_stays() {
    let app = TestApp::new().await;
    let ada = app.admin("ada").await;
    let answer = app.set_role(&ada, &ada, json!({ "role": "STUDENT" })).await;
    assert_eq!(
        (answer.status, &answer.body["code"]),
        (409, &json!("last_admin"))
    );

    let grace = app.admin("grace").await;
    let joan = app.admin("joan").await;
    let answer = set_roles(&app, &ada, &[&ada, &grace, &joan, &grace], "STUDENT").await;
    let codes: Vec<_> = results(&answer)
        .iter()
        .map(|result| result["code"].clone())
        .collect();
    assert_eq!(
        codes,
        [json!(null), json!(null), json!("last_admin"), json!(null)]
    );
    assert_eq!(app.count("users where role = 'ADMIN'").await, 1);

    // A banned admin is none, and neither is one without an account in Clerk.
    app.execute("update users set role = 'ADMIN', banned = true where email = 'ada@example.com'")
        .await;
    app.execute("insert into users (email, role) values ('x@example.com', 'ADMIN')")
        .await;
    let answer = app
        .set_role(&joan, &joan, json!({ "role": "STUDENT" }))
        .await;
    assert_eq!(answer.body["code"], "last_admin");
    app.database.remove().await;
}

/// R13: what Clerk does itself is mirrored, and an alarm is raised.
#[tokio::test]
async fn when_clerk_removes_the_last_admin_the_truth_is_mirrored() {
    let app = TestApp::new().await;
    let ada = app.admin("ada").await;
    let grace = app.admin("grace").await;
    app.clerk.delete_user(&grace);
    let first = app.clerk.take_messages().pop().unwrap();
    app.deliver(&first).await;
    assert_eq!(
        app.inbox(&first.id).await["detail"]["noAdminLeft"],
        json!(null)
    );
    app.clerk.set_role(&ada, "STUDENT");
    let last = app.clerk.take_messages().pop().unwrap();
    app.deliver(&last).await;
    assert_eq!(
        app.inbox(&last.id).await["detail"]["noAdminLeft"],
        json!(true)
    );
    assert_eq!(app.role(&ada).await, "STUDENT");
    app.finish().await;
}

#[tokio::test]
async fn many_roles_at_once() {
    let app = TestApp::with(&[]).await;
    let admin = app.admin("grace").await;
    let mut users = Vec::new();
    for n in 0..20 {
        users.push(app.user(&format!("user{n}"), Some("STUDENT")).await);
    }
    let uuid = app.row(&users[0]).await["id"].as_str().unwrap().to_owned();
    let mut ids: Vec<&str> = users.iter().map(String::as_str).collect();
    ids.extend([uuid.as_str(), "user_nobody", "no id"]);
    let answer = set_roles(&app, &admin, &ids, "INSTRUCTOR").await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let results = results(&answer);
    for (result, id) in results.iter().zip(&ids).take(21) {
        assert_eq!(
            result,
            &json!({ "userId": id, "ok": true, "clerkSync": "synced" })
        );
    }
    assert_eq!(results[21]["code"], "user_not_found");
    assert_eq!(results[22]["code"], "invalid_user_id");
    for user in &users {
        assert_eq!(app.clerk_role(user), "INSTRUCTOR");
    }
    app.finish().await;
}

/// With Clerk down, many roles wait, and nothing is lost.
#[tokio::test]
async fn many_roles_at_once_with_clerk_down() {
    let app = TestApp::new().await;
    let admin = app.admin("grace").await;
    let mut users = Vec::new();
    for n in 0..10 {
        users.push(app.user(&format!("user{n}"), Some("STUDENT")).await);
    }
    let ids: Vec<&str> = users.iter().map(String::as_str).collect();
    app.clerk.down();
    let answer = set_roles(&app, &admin, &ids, "INSTRUCTOR").await;
    assert!(
        results(&answer)
            .iter()
            .all(|result| result["clerkSync"] == "pending"),
        "{}",
        answer.body
    );
    app.clerk.up();
    app.settle().await;
    for user in &users {
        assert_eq!(app.clerk_role(user), "INSTRUCTOR");
    }
    app.finish().await;
}

#[tokio::test]
async fn a_role_is_set_only_where_it_is_the_expected_one() {
    let (app, admin, ada) = TestApp::with_admin_and_student().await;
    let body = json!({ "role": "ADMIN", "expectedRole": "INSTRUCTOR" });
    let answer = app.set_role(&admin, &ada, body).await;
    assert_eq!(
        (answer.status, &answer.body["code"]),
        (409, &json!("role_changed"))
    );
    let body = json!({ "role": "ADMIN", "expectedRole": "student" });
    assert_eq!(app.set_role(&admin, &ada, body).await.status, 200);
    app.finish().await;
}

/// R9: a refusal that no repetition mends is dead at once, with its reason.
#[tokio::test]
async fn a_role_that_clerk_refuses_for_good_is_dead() {
    let (app, admin, ada) = TestApp::with_admin_and_student().await;
    app.clerk
        .fault(Fault::status(422).on("PATCH", "/v1/users").times(1));
    let answer = app
        .set_role(&admin, &ada, json!({ "role": "INSTRUCTOR" }))
        .await;
    assert_eq!(answer.body["clerkSync"], "dead");
    assert_eq!(
        app.count("outbox where dead_at is not null and last_error <> ''")
            .await,
        1
    );
    assert_eq!(shown(&app, &admin, &ada).await["clerkSync"], "dead");
    // Asking again owes it anew.
    let answer = app
        .set_role(&admin, &ada, json!({ "role": "INSTRUCTOR" }))
        .await;
    assert_eq!(answer.body["clerkSync"], "synced");
    app.finish().await;
}

#[tokio::test]
async fn a_role_that_waits_for_a_day_is_dead() {
    let (app, admin, ada) = TestApp::with_admin_and_student().await;
    app.clerk.down();
    app.set_role(&admin, &ada, json!({ "role": "INSTRUCTOR" }))
        .await;
    app.execute("update outbox set created_at = now() - interval '24 hours 1 minute'")
        .await;
    app.forget_waits().await;
    app.reconcile().await;
    assert_eq!(app.count("outbox where dead_at is not null").await, 1);
    app.database.remove().await;
}

/// A directory owns the user: Clerk's role comes back, and the next change is refused at once.
#[tokio::test]
async fn a_role_owned_by_a_directory_is_refused_and_taken_back() {
    let (app, admin, ada) = TestApp::with_admin_and_student().await;
    let fault = Fault::refusal(409, "user_managed_by_scim")
        .on("PATCH", "/v1/users")
        .times(1);
    app.clerk.fault(fault);
    for _ in 0..2 {
        let answer = app.set_role(&admin, &ada, json!({ "role": "ADMIN" })).await;
        assert_eq!(
            (answer.status, &answer.body["code"]),
            (409, &json!("role_owned_by_directory"))
        );
        assert_eq!(app.role(&ada).await, "STUDENT");
    }
    assert_eq!(app.clerk_role(&ada), "STUDENT");
    app.finish().await;
}

/// R9: Clerk asks us to wait, and we do.
#[tokio::test]
async fn a_rate_limit_is_respected() {
    let (app, admin, ada) = TestApp::with_admin_and_student().await;
    app.clerk
        .fault(Fault::rate_limited(120).on("PATCH", "/v1/users").times(1));
    let answer = app
        .set_role(&admin, &ada, json!({ "role": "INSTRUCTOR" }))
        .await;
    assert_eq!(answer.body["clerkSync"], "pending");
    let n_waiting = app
        .count("outbox where next_attempt_at > now() + interval '110 seconds'")
        .await;
    assert_eq!(n_waiting, 1);
    app.finish().await;
}

/// An admin who was demoted in Clerk a while ago is asked about again before they may act.
#[tokio::test]
async fn an_admin_is_confirmed_with_clerk_when_the_row_is_old() {
    let app = TestApp::new().await;
    let admin = app.admin("grace").await;
    let ada = app.admin("ada").await;
    app.clerk.set_role(&ada, "STUDENT");
    drop(app.clerk.take_messages());
    app.execute("update users set confirmed_at = now() - interval '299 seconds'")
        .await;
    assert_eq!(app.get(&ada, "/api/admin/statistics").await.status, 200);
    app.execute("update users set confirmed_at = now() - interval '301 seconds'")
        .await;
    assert_eq!(app.get(&ada, "/api/admin/statistics").await.status, 403);
    assert_eq!(app.role(&ada).await, "STUDENT");
    // With Clerk away the database's answer stands.
    app.execute("update users set confirmed_at = now() - interval '301 seconds'")
        .await;
    app.clerk.down();
    assert_eq!(app.get(&admin, "/api/admin/statistics").await.status, 200);
    app.clerk.up();
    app.finish().await;
}

#[tokio::test]
async fn an_admin_whom_no_webhook_told_of_is_read_from_clerk() {
    let app = TestApp::new().await;
    let users = app.clerk.seed_silently(vec![
        json!({ "email": "ada@example.com", "public_metadata": { "role": "ADMIN" } }),
    ]);
    let ada = users[0]["id"].as_str().unwrap();
    assert_eq!(
        app.get(ada, "/api/admin/statistics").await.body["adminCount"],
        1
    );
    app.finish().await;
}

async fn shown(app: &TestApp, admin: &str, user: &str) -> Value {
    app.get(admin, &format!("/api/admin/users/{user}"))
        .await
        .body["user"]
        .clone()
}

async fn set_roles(app: &TestApp, admin: &str, users: &[&str], role: &str) -> Answer {
    let call = Call::new("PATCH", "/api/admin/users")
        .token(&app.clerk.session_token(admin))
        .json(&json!({ "userIds": users, "role": role }));
    app.call_update_role(&call).await
}

fn results(answer: &Answer) -> Vec<Value> {
    answer.body["results"].as_array().expect("results").clone()
}

/// Somebody becomes an admin in Clerk while an admin is about to take that role away here.
#[tokio::test]
async fn a_role_that_waits_for_a_promotion_counts_it() {
    let (app, admin, ada) = TestApp::with_admin_and_student().await;
    let sql = app.database.connect().await;
    let promote = format!("begin; update users set role = 'ADMIN' where clerk_id = '{ada}'");
    sql.batch_execute(&promote).await.unwrap();
    let set = app.set_role(&admin, &ada, json!({ "role": "INSTRUCTOR" }));
    let commit = async {
        app.until_somebody_waits().await;
        sql.batch_execute("commit").await.unwrap();
    };
    let (answer, ()) = tokio::join!(set, commit);
    assert_eq!(answer.status, 200, "{}", answer.body);
    app.finish().await;
}
