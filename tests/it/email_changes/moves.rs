//! The way of a row from one account to another: what comes with it, and what stays behind.

use std::time::Duration;

use clerk_emulator::{Fault, MemberEvents};
use lambda_host::{Function, Host, Options};

use super::*;
use crate::support::binaries::binary;
use crate::support::database::Database;
use crate::support::proxy::Proxy;

/// R12 from beginning to end.
#[tokio::test]
async fn a_user_moves_to_the_account_of_whoever_follows_the_invitation() {
    let app = TestApp::new().await;
    let grace = app.admin("grace").await;
    let ada = id(&app.clerk.create_user(json!({
        "email": "ada@example.com",
        "first_name": "Ada",
        "last_name": "King",
        "external_id": "student-7",
        "public_metadata": { "role": "STUDENT", "theme": "dark" },
    })));
    app.deliver_all().await;
    app.set_role(&grace, &ada, json!({ "role": "INSTRUCTOR" }))
        .await;
    let edited = app.edit(&grace, &ada, json!({ "builderGroupId": "group-1" }));
    assert_eq!(edited.await.status, 200);
    app.deliver_all().await;
    let before = app.row(&ada).await;
    let history = role_history(&app, &before["id"]).await;
    assert_eq!(history.len(), 2);

    let answer = app.email_change("POST", &grace, &ada, Some(NEW)).await;
    assert_eq!(answer.status, 202, "{}", answer.body);
    assert_eq!(answer.body["success"], true);
    let shown = &answer.body["emailChange"];
    assert_eq!(shown["userId"], before["id"]);
    assert_eq!(
        (&shown["email"], &shown["state"]),
        (&json!(NEW), &json!("invited"))
    );
    assert!(shown["expiresAt"].is_string(), "{shown}");
    assert!(shown["closedAt"].is_null(), "{shown}");
    let pending = invitations(&app, "pending").await;
    assert_eq!(pending.len(), 1);
    assert_eq!(pending[0]["email_address"], NEW);
    assert_eq!(
        pending[0]["public_metadata"],
        json!({ "theme": "dark" }),
        "and no role"
    );
    for user in [ada.as_str(), before["id"].as_str().unwrap()] {
        let asked = app.email_change("GET", &grace, user, None).await;
        assert_eq!((asked.status, &asked.body["emailChange"]), (200, shown));
    }
    assert_eq!(app.row(&ada).await["email"], "ada@example.com", "not yet");

    let new = id(&app.clerk.accept_invitation(&id(&pending[0])));
    app.deliver_all().await;

    let after = app.row(&new).await;
    for column in ["id", "role", "builder_group_id", "created_at"] {
        assert_eq!(after[column], before[column], "{column}");
    }
    assert_eq!(after["email"], NEW);
    assert_eq!(role_history(&app, &after["id"]).await, history);
    let theirs = app.clerk.user(&new).unwrap();
    assert_eq!(
        (
            &theirs["first_name"],
            &theirs["last_name"],
            &theirs["external_id"]
        ),
        (&json!("Ada"), &json!("King"), &json!("student-7")),
        "what the new account lacked"
    );
    assert_eq!(theirs["public_metadata"]["theme"], "dark");
    assert!(app.clerk.user(&ada).is_none());
    let answer = app.email_change("GET", &grace, &new, None).await;
    let shown = &answer.body["emailChange"];
    assert_eq!(shown["state"], "done");
    assert!(
        shown["movedAt"].is_string() && shown["closedAt"].is_string(),
        "{shown}"
    );
    assert!(
        shown.get("reason").is_none() && shown.get("lastError").is_none(),
        "{shown}"
    );
    app.settle().await;
    assert_eq!(app.clerk_role(&new), "INSTRUCTOR");
    assert_eq!(n_calls(&app, "DELETE", "/v1/users"), 1);
    assert_eq!(n_invited(&app), 1);
    app.finish().await;
}

/// R12: the old account goes when the row is on the new one, and not before: whatever happens in
/// between, one of the two is there.
#[tokio::test]
async fn the_old_account_is_removed_only_after_the_row_has_moved() {
    let it = Invited::new().await;
    it.app
        .clerk
        .fault(Fault::status(500).on("DELETE", "/v1/users"));
    let new = it.accept();
    it.app.deliver_all().await;
    assert_eq!(it.app.row(&new).await["id"], json!(it.row), "it has moved");
    assert!(it.app.clerk.user(&it.ada).is_some(), "it is still there");
    let shown = it.shown().await;
    assert_eq!(shown["state"], "moved");
    assert!(shown["lastError"].is_string(), "{shown}");
    // Clerk was asked for the new account before it was told to remove the old one.
    let removal = places(&it.app, "DELETE", &it.ada)[0];
    assert!(places(&it.app, "GET", &new)[0] < removal);

    reconcile_now(&it.app).await;
    assert_eq!(
        it.shown().await["state"],
        "moved",
        "Clerk is still in trouble"
    );
    it.app.clerk.clear_faults();
    reconcile_now(&it.app).await;
    assert!(it.app.clerk.user(&it.ada).is_none());
    let shown = it.shown().await;
    assert_eq!(shown["state"], "done");
    assert!(shown.get("lastError").is_none(), "{shown}");
    it.app.finish().await;
}

/// Until the move is written, nothing is said of it to Clerk.
#[tokio::test]
async fn a_move_that_cannot_be_written_removes_nothing() {
    let it = Invited::new().await;
    it.app
        .execute(
            "create function refuse() returns trigger language plpgsql as
            $$ begin raise exception 'no'; end $$;
            create trigger refuse before update of clerk_id on users
            for each row execute function refuse()",
        )
        .await;
    let new = it.accept();
    let message = it.app.clerk.take_messages().pop().unwrap();
    let answer = it.app.deliver(&message).await;
    assert_ne!(answer.status, 200, "{}", answer.body);
    it.assert_stayed().await;
    it.app
        .execute("drop trigger refuse on users; drop function refuse")
        .await;
    assert_eq!(it.app.deliver(&message).await.body["outcome"], "applied");
    it.assert_moved_to(&new).await;
    it.app.finish().await;
}

/// R1, R3: nothing that is still said of the old account makes a row of it, or changes the one that
/// has moved.
#[tokio::test]
async fn late_events_of_the_old_account_change_nothing() {
    for events in [
        MemberEvents::None,
        MemberEvents::Before,
        MemberEvents::After,
    ] {
        let it = Invited::new().await;
        it.app.clerk.member_events(events);
        let club = id(&it.app.clerk.create_organization(json!({ "name": "Club" })));
        it.app.deliver_all().await;
        it.app.clerk.add_member(&club, &it.ada, "org:member");
        it.app.clerk.advance(Duration::from_millis(5));
        it.app
            .clerk
            .update_user(&it.ada, json!({ "first_name": "Late" }));
        it.app.clerk.remove_member(&club, &it.ada);
        let late = it.app.clerk.take_messages();
        assert_eq!(late.len(), 3);
        let new = it.accept();
        it.app.deliver_all().await;
        let row = it.app.row(&new).await;
        for message in late.iter().chain(&late) {
            assert_eq!(it.app.deliver(message).await.status, 200);
        }
        // The sign-up itself, later than all.
        let mut event: Value = serde_json::from_str(&late[1].body).unwrap();
        event["type"] = json!("user.created");
        let answer = it.app.deliver_event("msg_again", &event).await;
        assert_eq!(answer.body["outcome"], "stale", "{}", answer.body);
        assert_eq!(it.app.row(&new).await["first_name"], row["first_name"]);
        assert_eq!(it.app.count("users where deleted_at is null").await, 2);
        it.assert_moved_to(&new).await;
        it.app.finish().await;
    }
}

/// The browser may hold a good token of the old account for a minute.
#[tokio::test]
async fn a_session_of_the_old_account_is_refused() {
    for is_removed in [true, false] {
        let it = Invited::new().await;
        let token = it.app.clerk.session_token(&it.ada);
        assert_eq!(sync_self(&it.app, &token).await.status, 200);
        if !is_removed {
            let fault = Fault::status(500).on("DELETE", "/v1/users");
            it.app.clerk.fault(fault);
        }
        let new = it.accept();
        it.app.deliver_all().await;
        assert_refused(&sync_self(&it.app, &token).await, 403, "user_deleted");
        let own = it.app.edit_with(&token, &it.row).await;
        assert_refused(&own, 403, "user_deleted");
        let token = it.app.clerk.session_token(&new);
        let answer = sync_self(&it.app, &token).await;
        assert_eq!(answer.body["user"]["id"], json!(it.row), "{}", answer.body);
        it.app.clerk.clear_faults();
        it.app.finish().await;
    }
}

/// What the invited person says of themselves counts; only what they leave out is carried over.
#[tokio::test]
async fn names_that_the_new_account_has_are_not_overwritten() {
    let it = Invited::with(json!({
        "first_name": "Ada", "last_name": "King", "external_id": "student-7",
    }))
    .await;
    let names = json!({ "first_name": "Augusta" });
    let new = it.app.clerk.accept_invitation_with(&it.invitation, names);
    let new = id(&new);
    it.app.deliver_all().await;
    let theirs = it.app.clerk.user(&new).unwrap();
    assert_eq!(
        (
            &theirs["first_name"],
            &theirs["last_name"],
            &theirs["external_id"]
        ),
        (&json!("Augusta"), &json!("King"), &json!("student-7"))
    );
    let row = it.app.row(&new).await;
    assert_eq!(
        (&row["first_name"], &row["last_name"], &row["external_id"]),
        (&json!("Augusta"), &json!("King"), &json!("student-7"))
    );
    assert!(last_change(&it.app).await["carry"].is_null());
    it.assert_moved_to(&new).await;
    it.app.finish().await;
}

/// Memberships are of the account, so the new one gets its own.
#[tokio::test]
async fn the_new_account_gets_the_memberships_of_the_old_one() {
    for events in [
        MemberEvents::None,
        MemberEvents::Before,
        MemberEvents::After,
    ] {
        let it = Invited::new().await;
        it.app.clerk.member_events(events);
        it.app.clerk.add_member_role("org:teacher", "Teacher");
        let mut old = Vec::new();
        let organizations = ["org:admin", "org:teacher"].map(|role| {
            let organization = json!({ "name": role, "created_by": it.grace });
            let organization = id(&it.app.clerk.create_organization(organization));
            old.push(id(&it.app.clerk.add_member(&organization, &it.ada, role)));
            (organization, role)
        });
        it.app.deliver_all().await;
        let new = it.accept();
        it.app.deliver_all().await;
        for (organization, role) in &organizations {
            let theirs = it.app.clerk.membership(organization, &new).unwrap();
            assert_eq!(theirs["role"], *role);
            assert!(it.app.clerk.membership(organization, &it.ada).is_none());
        }
        let live = format!(
            "memberships m where m.user_id = '{}' and m.deleted_at is null",
            it.row
        );
        assert_eq!(it.app.count(&live).await, 2);
        for membership in &old {
            let over =
                format!("memberships where clerk_id = '{membership}' and deleted_at is not null");
            assert_eq!(it.app.count(&over).await, 1, "{events:?}");
        }
        it.assert_moved_to(&new).await;
        it.app.finish().await;
    }
}

/// The role is what it is at the time of the move: neither Clerk's invitation nor the old account
/// brings another one back.
#[tokio::test]
async fn the_role_that_was_set_meanwhile_counts() {
    let app = TestApp::new().await;
    let grace = app.admin("grace").await;
    let ada = app.admin("ada").await;
    app.email_change("POST", &grace, &ada, Some(NEW)).await;
    let answer = app
        .set_role(&grace, &ada, json!({ "role": "STUDENT" }))
        .await;
    assert_eq!(answer.body["clerkSync"], "synced");
    let pending = invitations(&app, "pending").await;
    let new = id(&app.clerk.accept_invitation(&id(&pending[0])));
    app.deliver_all().await;
    assert_eq!(app.role(&new).await, "STUDENT");
    app.settle().await;
    assert_eq!(app.role(&new).await, "STUDENT");
    assert_eq!(app.clerk_role(&new), "STUDENT");
    app.finish().await;
}

/// R13: the only admin asks for their own new address.
#[tokio::test]
async fn an_admin_who_moves_stays_the_last_admin_throughout() {
    let app = TestApp::new().await;
    let grace = app.admin("grace").await;
    let answer = app.email_change("POST", &grace, &grace, Some(NEW)).await;
    assert_eq!(answer.status, 202, "{}", answer.body);
    let token = app.clerk.session_token(&grace);
    let pending = invitations(&app, "pending").await;
    let new = id(&app.clerk.accept_invitation(&id(&pending[0])));
    let live_admins = "users where role = 'ADMIN' and deleted_at is null and clerk_id is not null";
    for message in app.clerk.take_messages() {
        app.deliver(&message).await;
        assert_eq!(app.count(live_admins).await, 1);
        let alarm = &app.inbox(&message.id).await["detail"]["noAdminLeft"];
        assert!(alarm.is_null());
    }
    let call = Call::new("GET", "/api/admin/statistics").token(&token);
    assert_refused(&app.call_admin_users(&call).await, 403, "user_deleted");
    let statistics = app.get(&new, "/api/admin/statistics").await;
    assert_eq!(statistics.body["adminCount"], 1, "{}", statistics.body);
    let answer = app.set_role(&new, &new, json!({ "role": "STUDENT" })).await;
    assert_refused(&answer, 409, "last_admin");
    app.settle().await;
    assert_eq!(app.clerk_role(&new), "ADMIN");
    app.finish().await;
}

/// What is left behind at the old account was nobody at any time.
#[tokio::test]
async fn a_user_who_moved_was_one_user_on_every_day() {
    let it = Invited::new().await;
    it.app
        .execute("update users set created_at = now() - interval '3 days'")
        .await;
    let new = id(&it.app.clerk.accept_invitation(&it.invitation));
    it.app.deliver_all().await;
    it.app.settle().await;
    it.assert_moved_to(&new).await;
    let path = "/api/admin/statistics/history?days=5";
    let body = it.app.get(&it.grace, path).await.body;
    let counts: Vec<_> = body["days"]
        .as_array()
        .unwrap()
        .iter()
        .map(|day| {
            ["totalUsers", "adminCount", "studentCount"].map(|key| day[key].as_i64().unwrap())
        })
        .collect();
    assert_eq!(
        counts,
        [[0, 0, 0], [2, 1, 1], [2, 1, 1], [2, 1, 1], [2, 1, 1]]
    );
    it.app.finish().await;
}

/// R9: a role that waits for Clerk waits for the new account from then on.
#[tokio::test]
async fn a_role_that_is_owed_at_the_move_reaches_the_new_account() {
    let it = Invited::new().await;
    it.app.clerk.down();
    let answer = it
        .app
        .set_role(&it.grace, &it.ada, json!({ "role": "INSTRUCTOR" }))
        .await;
    assert_eq!(answer.body["clerkSync"], "pending");
    it.app.clerk.up();
    let new = it.accept();
    it.app.deliver_all().await;
    assert_eq!(it.app.role(&new).await, "INSTRUCTOR");
    it.app.settle().await;
    assert_eq!(it.app.clerk_role(&new), "INSTRUCTOR");
    it.assert_moved_to(&new).await;
    it.app.finish().await;
}

/// R9: the attempt is on its way to the old account when that is removed.
#[tokio::test]
async fn a_role_that_is_on_its_way_to_the_old_account_reaches_the_new_one() {
    let it = Invited::new().await;
    let new = it.accept();
    let message = it.app.clerk.take_messages().pop().unwrap();
    let late = Fault::new(clerk_emulator::Effect::DelayBefore(Duration::from_millis(
        900,
    )));
    let path = format!("/v1/users/{}/metadata", it.ada);
    it.app.clerk.fault(late.on("PATCH", &path).once());
    let set = it
        .app
        .set_role(&it.grace, &it.ada, json!({ "role": "INSTRUCTOR" }));
    let moved = async {
        // The role is written, and Clerk is being told.
        while n_calls(&it.app, "PATCH", &path) == 0 {
            tokio::task::yield_now().await;
        }
        it.app.deliver(&message).await
    };
    let (set, moved) = tokio::join!(set, moved);
    assert_eq!(set.status, 200, "{}", set.body);
    assert_eq!(moved.body["outcome"], "applied");
    it.app.settle().await;
    assert_eq!(it.app.role(&new).await, "INSTRUCTOR");
    assert_eq!(it.app.clerk_role(&new), "INSTRUCTOR");
    assert_eq!(it.app.count("outbox where dead_at is not null").await, 0);
    it.assert_moved_to(&new).await;
    it.app.finish().await;
}

/// `clerk-webhook` may do without Clerk's secret key.
#[tokio::test]
async fn without_a_secret_key_at_the_webhook_reconcile_does_the_rest() {
    let mut it = Invited::with(json!({ "first_name": "Ada" })).await;
    it.app.webhook.clerk = None;
    let club = json!({ "name": "Club", "created_by": it.ada });
    let club = id(&it.app.clerk.create_organization(club));
    it.app.deliver_all().await;
    let new = it.accept();
    it.app.deliver_all().await;
    assert_eq!(it.app.row(&new).await["id"], json!(it.row));
    assert_eq!(it.shown().await["state"], "moved");
    assert!(it.app.clerk.user(&it.ada).is_some());
    it.app.settle().await;
    it.assert_moved_to(&new).await;
    assert_eq!(it.app.clerk.user(&new).unwrap()["first_name"], "Ada");
    assert_eq!(
        it.app.clerk.membership(&club, &new).unwrap()["role"],
        "org:admin"
    );
    it.app.finish().await;
}

/// Whatever Clerk fails at after the move, the next ticks go on, and nothing is done twice.
#[tokio::test]
async fn what_fails_after_the_move_is_done_later_and_once() {
    let effects = [Fault::drop(), Fault::drop_answer(), Fault::status(500)];
    let calls = [
        ("GET", "/v1/users/"),
        ("DELETE", "/v1/users/"),
        ("PATCH", "/v1/users/"),
        ("POST", "/v1/organizations/"),
        ("POST", "/v1/invitations/"),
    ];
    for (method, path) in calls {
        for effect in &effects {
            let it = Invited::with(json!({ "first_name": "Ada", "last_name": "King" })).await;
            let clubs = ["One", "Two"].map(|name| {
                let club = json!({ "name": name, "created_by": it.ada });
                id(&it.app.clerk.create_organization(club))
            });
            it.app.deliver_all().await;
            let new = it.accept();
            let context = format!("{method} {path} {effect:?}");
            it.app.clerk.fault(effect.clone().on(method, path).times(1));
            it.app.deliver_all().await;
            assert_eq!(it.app.row(&new).await["id"], json!(it.row), "{context}");
            assert_eq!(it.shown().await["state"], "moved", "{context}");
            it.app.settle().await;
            assert_eq!(last_change(&it.app).await["state"], "done", "{context}");
            assert!(it.app.clerk.user(&it.ada).is_none(), "{context}");
            let theirs = it.app.clerk.user(&new).unwrap();
            assert_eq!(
                (&theirs["first_name"], &theirs["last_name"]),
                (&json!("Ada"), &json!("King")),
                "{context}"
            );
            for club in &clubs {
                let membership = it.app.clerk.membership(club, &new);
                assert_eq!(membership.unwrap()["role"], "org:admin", "{context}");
            }
            // Of each object there was one.
            assert_eq!(it.app.clerk.users().len(), 2, "{context}");
            assert_eq!(it.app.clerk.memberships().len(), 2, "{context}");
            assert_eq!(it.app.count("users where deleted_at is null").await, 2);
            assert_eq!(it.app.count("email_changes").await, 1, "{context}");
            it.app.finish().await;
        }
    }
}

/// As long as somebody may be at what follows a move, nobody else is; their sandbox may end.
#[tokio::test]
async fn a_move_whose_sandbox_ended_is_finished_after_the_lease() {
    let mut it = Invited::new().await;
    let clerk = it.app.webhook.clerk.take();
    let new = it.accept();
    it.app.deliver_all().await;
    it.app.webhook.clerk = clerk;
    it.app
        .execute("update email_changes set settle_at = now() + interval '30 seconds'")
        .await;
    let before = n_calls(&it.app, "DELETE", "/v1/users");
    it.app.reconcile().await;
    assert_eq!(n_calls(&it.app, "DELETE", "/v1/users"), before);
    assert_eq!(last_change(&it.app).await["state"], "moved");
    it.app
        .execute("update email_changes set settle_at = settle_at - interval '31 seconds'")
        .await;
    it.app.reconcile().await;
    it.assert_moved_to(&new).await;
    it.app.finish().await;
}

/// The row moves with the new user's own first request; the webhook that comes then does the rest.
#[tokio::test]
async fn the_webhook_does_what_follows_a_move_by_somebody_else() {
    let it = Invited::new().await;
    let new = it.accept();
    sync_self(&it.app, &it.app.clerk.session_token(&new)).await;
    assert_eq!(last_change(&it.app).await["state"], "moved");
    it.app.deliver_all().await;
    it.assert_moved_to(&new).await;
    it.app.finish().await;
}

/// Whoever hears of the new account while somebody is at what follows leaves it to them.
#[tokio::test]
async fn a_webhook_leaves_a_move_to_whoever_is_at_it() {
    let it = Invited::new().await;
    let new = it.accept();
    sync_self(&it.app, &it.app.clerk.session_token(&new)).await;
    it.app
        .execute("update email_changes set settle_at = now() + interval '30 seconds'")
        .await;
    it.app.deliver_all().await;
    assert_eq!(n_calls(&it.app, "DELETE", "/v1/users"), 0);
    assert_eq!(last_change(&it.app).await["state"], "moved");
    it.app.settle().await;
    it.assert_moved_to(&new).await;
    it.app.finish().await;
}

/// A doubt about the old account (R2) is none any more, and what waited for it is settled.
#[tokio::test]
async fn what_waited_for_the_old_account_is_settled() {
    let it = Invited::new().await;
    it.app
        .execute(&format!(
            "update users set refetch_at = now() + interval '1 hour' where clerk_id = '{0}';
            insert into inbox (svix_id, event_type, object_id, outcome, rule, payload)
                values ('msg_parked', 'user.updated', '{0}', 'parked', 'R2', '{{}}')",
            it.ada
        ))
        .await;
    let new = it.accept();
    it.app.deliver_all().await;
    let parked = it.app.inbox("msg_parked").await;
    assert_eq!(parked["outcome"], "applied", "{parked}");
    assert!(parked["payload"].is_null(), "{parked}");
    it.assert_moved_to(&new).await;
    it.app.finish().await;
}

/// A key of another instance, where nobody of ours is known, takes nobody away.
#[tokio::test]
async fn a_clerk_that_does_not_know_the_new_account_removes_nothing() {
    let it = Invited::new().await;
    let new = it.accept();
    let unknown = Fault::refusal(404, "resource_not_found");
    let path = format!("/v1/users/{new}");
    it.app.clerk.fault(unknown.on("GET", &path));
    it.app.deliver_all().await;
    for _ in 0..3 {
        reconcile_now(&it.app).await;
    }
    assert!(it.app.clerk.user(&it.ada).is_some());
    assert_eq!(n_calls(&it.app, "DELETE", "/v1/users"), 0);
    let shown = it.shown().await;
    assert_eq!(
        (&shown["state"], &shown["lastError"]),
        (&json!("moved"), &json!("resource_not_found"))
    );
    it.app.clerk.clear_faults();
    it.app.settle().await;
    it.assert_moved_to(&new).await;
    it.app.finish().await;
}

/// Who moved and was deleted at once in Clerk leaves no account behind.
#[tokio::test]
async fn the_old_account_goes_even_if_the_new_one_is_gone_again() {
    let mut it = Invited::new().await;
    it.app.webhook.clerk = None;
    let new = it.accept();
    it.app.deliver_all().await;
    it.app.clerk.delete_user(&new);
    it.app.deliver_all().await;
    it.app.settle().await;
    assert!(it.app.clerk.user(&it.ada).is_none());
    assert_eq!(last_change(&it.app).await["state"], "done");
    assert!(!it.app.row(&new).await["deleted_at"].is_null());
    it.app.finish().await;
}

/// Only the directory takes its users away: somebody has to see to it, and learns so.
#[tokio::test]
async fn an_old_account_that_a_directory_owns_is_left_until_it_can_be_removed() {
    let mut it = Invited::with(json!({
        "first_name": "Ada",
        "external_id": "student-7",
        "public_metadata": { "role": "STUDENT", "theme": "dark" },
    }))
    .await;
    let club = json!({ "name": "Club", "created_by": it.grace });
    let club = id(&it.app.clerk.create_organization(club));
    it.app.clerk.add_member(&club, &it.ada, "org:member");
    let directory = json!({ "directory_id": "dir_1", "directory_enabled": true });
    it.app
        .clerk
        .update_user(&it.ada, json!({ "scim": directory }));
    it.app.deliver_all().await;
    let new = it.accept();
    it.app.webhook.clerk = None;
    it.app.deliver_all().await;
    it.app.forget_waits().await;
    // In a process of its own, whose log can be read.
    let lines = reconcile_in_a_process(&it.app).await;
    let is_alarm = |line: &&Value| {
        let level = line["level"] == "ERROR";
        level && line["user.clerk_id"] == json!(it.ada)
    };
    let alarms: Vec<_> = lines.iter().filter(is_alarm).collect();
    assert_eq!(alarms.len(), 1, "{lines:#?}");
    assert_eq!(alarms[0]["code"], "user_managed_by_scim");
    assert!(
        !format!("{lines:?}").contains("example.com"),
        "nobody's data"
    );

    assert_eq!(it.app.row(&new).await["id"], json!(it.row));
    let theirs = it.app.clerk.user(&new).unwrap();
    assert_eq!(theirs["first_name"], "Ada", "it has what it lacked");
    assert_eq!(theirs["external_id"], Value::Null, "the old one has it");
    assert!(it.app.clerk.membership(&club, &new).is_some());
    assert!(it.app.clerk.user(&it.ada).is_some());
    let shown = it.shown().await;
    assert_eq!(
        (&shown["state"], &shown["lastError"]),
        (&json!("moved"), &json!("user_managed_by_scim"))
    );
    // What happens to the new account from now on is not undone by the next try.
    it.app.clerk.remove_member(&club, &new);
    it.app.clerk.set_role(&new, "INSTRUCTOR");
    it.app.clerk.update_user(
        &new,
        json!({ "first_name": "Augusta", "public_metadata": { "theme": "light" } }),
    );
    it.app.deliver_all().await;
    let n_joined = n_calls(&it.app, "POST", &club);
    reconcile_now(&it.app).await;
    assert_eq!(it.shown().await["state"], "moved", "tried again, in vain");
    assert_eq!(n_calls(&it.app, "POST", &club), n_joined);

    it.app.clerk.update_user(&it.ada, json!({ "scim": null }));
    it.app.settle().await;
    let shown = it.shown().await;
    assert_eq!(shown["state"], "done");
    assert!(shown.get("lastError").is_none(), "{shown}");
    assert!(it.app.clerk.user(&it.ada).is_none());
    let theirs = it.app.clerk.user(&new).unwrap();
    assert_eq!(theirs["external_id"], "student-7", "it is free now");
    assert_eq!(theirs["first_name"], "Augusta");
    assert_eq!(theirs["public_metadata"]["theme"], "light");
    assert_eq!(it.app.role(&new).await, "INSTRUCTOR");
    assert!(it.app.clerk.membership(&club, &new).is_none());
    it.app.finish().await;
}

/// What Clerk refuses the new account for good keeps nothing else from being done.
#[tokio::test]
async fn what_the_new_account_may_not_have_does_not_hold_up_the_rest() {
    let it = Invited::with(json!({ "first_name": "Ada", "external_id": "student-7" })).await;
    let full = json!({ "name": "Full", "created_by": it.grace });
    let full = id(&it.app.clerk.create_organization(full));
    let open = json!({ "name": "Open", "created_by": it.grace });
    let open = id(&it.app.clerk.create_organization(open));
    it.app.clerk.add_member(&full, &it.ada, "org:member");
    it.app.clerk.add_member(&open, &it.ada, "org:member");
    it.app.deliver_all().await;
    let path = format!("/v1/organizations/{full}/memberships");
    let quota = Fault::refusal(403, "organization_membership_quota_exceeded");
    it.app.clerk.fault(quota.on("POST", &path));
    let taken = Fault::refusal(422, "form_identifier_exists");
    it.app.clerk.fault(taken.on("PATCH", "/v1/users/").once());
    let new = it.accept();
    it.app.deliver_all().await;
    assert!(it.app.clerk.membership(&full, &new).is_none());
    assert!(it.app.clerk.membership(&open, &new).is_some());
    it.app.clerk.clear_faults();
    it.app.settle().await;
    it.assert_moved_to(&new).await;
    it.app.finish().await;
}

/// Who was taken out of an organization, and of which we were not told yet, is not put back in.
#[tokio::test]
async fn a_membership_that_was_over_in_clerk_does_not_come_back_with_the_move() {
    let it = Invited::new().await;
    let club = json!({ "name": "Club", "created_by": it.grace });
    let club = id(&it.app.clerk.create_organization(club));
    it.app.clerk.add_member(&club, &it.ada, "org:member");
    it.app.deliver_all().await;
    it.app.clerk.remove_member(&club, &it.ada);
    let late = it.app.clerk.take_messages();
    let new = it.accept();
    it.app.deliver_all().await;
    for message in &late {
        it.app.deliver(message).await;
    }
    it.app.settle().await;
    assert!(
        it.app.clerk.membership(&club, &new).is_none(),
        "somebody took it away before the move"
    );
    it.assert_moved_to(&new).await;
    it.app.finish().await;
}

/// Whose role in an organization was lowered, and of which we were not told yet, does not get the
/// higher one again.
#[tokio::test]
async fn a_role_in_an_organization_that_clerk_has_changed_is_the_one_that_comes_along() {
    let it = Invited::new().await;
    let club = json!({ "name": "Club", "created_by": it.grace });
    let club = id(&it.app.clerk.create_organization(club));
    it.app.clerk.add_member(&club, &it.ada, "org:admin");
    it.app.deliver_all().await;
    it.app.clerk.set_member_role(&club, &it.ada, "org:member");
    let late = it.app.clerk.take_messages();
    let new = it.accept();
    it.app.deliver_all().await;
    for message in &late {
        it.app.deliver(message).await;
    }
    it.app.settle().await;
    let theirs = it.app.clerk.membership(&club, &new).unwrap();
    assert_eq!(theirs["role"], "org:member");
    it.app.finish().await;
}

/// A membership that no message told of is as good as any other.
#[tokio::test]
async fn a_membership_that_nobody_told_of_comes_along() {
    let it = Invited::new().await;
    let club = json!({ "name": "Club", "created_by": it.grace });
    let club = id(&it.app.clerk.create_organization(club));
    it.app.deliver_all().await;
    it.app
        .clerk
        .silently(|clerk| clerk.add_member(&club, &it.ada, "org:member"));
    let new = it.accept();
    it.app.deliver_all().await;
    it.app.settle().await;
    assert!(it.app.clerk.membership(&club, &new).is_some());
    it.assert_moved_to(&new).await;
    it.app.finish().await;
}

/// What an admin decides here is newer than what somebody gave the old account before without our
/// hearing of it: on its way to Clerk when the row moves, or decided after that.
#[tokio::test]
async fn a_role_that_is_decided_here_is_newer_than_one_of_the_old_account() {
    for is_before in [true, false] {
        let mut it = Invited::new().await;
        it.app.clerk.advance(Duration::from_millis(5));
        it.app
            .clerk
            .silently(|clerk| clerk.set_role(&it.ada, "ADMIN"));
        let role = json!({ "role": "INSTRUCTOR" });
        if is_before {
            it.app.clerk.down();
            let answer = it.app.set_role(&it.grace, &it.ada, role).await;
            assert_eq!(answer.body["clerkSync"], "pending", "{}", answer.body);
            it.app.clerk.up();
            it.accept();
            it.app.deliver_all().await;
        } else {
            let clerk = it.app.webhook.clerk.take();
            let new = it.accept();
            it.app.deliver_all().await;
            let answer = it.app.set_role(&it.grace, &new, role).await;
            assert_eq!(answer.status, 200, "{}", answer.body);
            it.app.webhook.clerk = clerk;
        }
        it.app.settle().await;
        let new = text(&last_change(&it.app).await["new_clerk_id"]);
        assert_eq!(it.app.role(&new).await, "INSTRUCTOR", "{is_before}");
        assert_eq!(it.app.clerk_role(&new), "INSTRUCTOR", "{is_before}");
        it.assert_moved_to(&new).await;
        it.app.finish().await;
    }
}

/// R8: a role that was taken away at the dashboard is gone, however late we hear of it.
#[tokio::test]
async fn a_role_that_clerk_took_from_the_old_account_does_not_survive_the_move() {
    let app = TestApp::new().await;
    let grace = app.admin("grace").await;
    let ada = app.admin("ada").await;
    app.email_change("POST", &grace, &ada, Some(NEW)).await;
    app.clerk.advance(Duration::from_millis(5));
    app.clerk.set_role(&ada, "STUDENT");
    let late = app.clerk.take_messages();
    let pending = invitations(&app, "pending").await;
    let new = id(&app.clerk.accept_invitation(&id(&pending[0])));
    app.deliver_all().await;
    for message in &late {
        app.deliver(message).await;
    }
    app.settle().await;
    assert_eq!(app.role(&new).await, "STUDENT");
    assert_eq!(app.clerk_role(&new), "STUDENT");
    app.finish().await;
}

/// What the invitation says of the metadata is as old as the invitation.
#[tokio::test]
async fn metadata_that_was_changed_meanwhile_comes_along_as_it_is() {
    for is_told in [true, false] {
        let it = Invited::with(json!({
            "public_metadata": { "role": "STUDENT", "theme": "dark", "seat": 1 },
        }))
        .await;
        it.app.clerk.advance(Duration::from_millis(5));
        let patch = json!({ "public_metadata": { "theme": "light", "team": "red" } });
        it.app.clerk.update_user(&it.ada, patch);
        let late = it.app.clerk.take_messages();
        if is_told {
            it.app.deliver(&late[0]).await;
        }
        let new = it.accept();
        it.app.deliver_all().await;
        it.app.settle().await;
        let expected = json!({ "role": "STUDENT", "theme": "light", "seat": 1, "team": "red" });
        assert_eq!(
            it.app.clerk.user(&new).unwrap()["public_metadata"],
            expected
        );
        assert_eq!(it.app.row(&new).await["public_metadata"], expected);
        it.assert_moved_to(&new).await;
        it.app.finish().await;
    }
}

/// R6: a membership is written while the row moves, and waits for it.
#[tokio::test]
async fn a_membership_that_is_written_while_the_row_moves_stays_with_the_old_account() {
    let it = Invited::new().await;
    let club = json!({ "name": "Club", "created_by": it.grace });
    let club = id(&it.app.clerk.create_organization(club));
    it.app.deliver_all().await;
    let membership = it.app.clerk.add_member(&club, &it.ada, "org:member");
    drop(it.app.clerk.take_messages());
    let new = it.accept();
    let message = it.app.clerk.take_messages().pop().unwrap();
    // Somebody is writing the membership, and holds the user so that they do not go meanwhile.
    let mut writer = it.app.database.connect().await;
    let transaction = writer.transaction().await.unwrap();
    transaction
        .execute(
            "select from users where clerk_id = $1 for share",
            &[&it.ada],
        )
        .await
        .unwrap();
    let moved = async {
        let answer = it.app.deliver(&message).await;
        assert_eq!(answer.body["outcome"], "applied", "{}", answer.body);
    };
    let written = async {
        it.app.until_somebody_waits().await;
        transaction
            .execute(
                "insert into memberships (
                    clerk_id, organization_id, user_id, role, clerk_version, created_at
                )
                select $1, o.id, u.id, 'org:member', 1, now()
                from users u, organizations o
                where u.clerk_id = $2 and o.clerk_id = $3",
                &[&membership["id"].as_str().unwrap(), &it.ada, &club],
            )
            .await
            .unwrap();
        transaction.commit().await.unwrap();
    };
    tokio::join!(moved, written);
    it.app.settle().await;
    assert!(
        it.app.clerk.membership(&club, &new).is_some(),
        "it came along"
    );
    it.assert_moved_to(&new).await;
    it.app.finish().await;
}

/// The other way round: the row has moved by the time that the membership can be written.
#[tokio::test]
async fn a_membership_that_waits_for_the_move_is_not_the_new_accounts() {
    let it = Invited::new().await;
    let club = json!({ "name": "Club", "created_by": it.grace });
    let club = id(&it.app.clerk.create_organization(club));
    it.app.deliver_all().await;
    it.app.clerk.add_member(&club, &it.ada, "org:member");
    let message = it.app.clerk.take_messages().pop().unwrap();
    let mut sql = it.app.database.connect().await;
    let transaction = sql.transaction().await.unwrap();
    let hold = "select from users where clerk_id = $1 for update";
    transaction.execute(hold, &[&it.ada]).await.unwrap();
    let moved = async {
        it.app.until_somebody_waits().await;
        let leave = "update users set clerk_id = 'user_elsewhere' where clerk_id = $1";
        transaction.execute(leave, &[&it.ada]).await.unwrap();
        let stay = "insert into users (clerk_id, deleted_at) values ($1, now())";
        transaction.execute(stay, &[&it.ada]).await.unwrap();
        transaction.commit().await.unwrap();
    };
    let (answer, ()) = tokio::join!(it.app.deliver(&message), moved);
    assert_eq!(answer.status, 200, "{}", answer.body);
    let theirs = "memberships m join users u on u.id = m.user_id
        where u.clerk_id = 'user_elsewhere' and m.deleted_at is null";
    assert_eq!(it.app.count(theirs).await, 0);
    it.app.database.remove().await;
}

/// Whoever moves is not sent further before they have what they had.
#[tokio::test]
async fn a_user_who_is_moving_gets_no_other_address_before_that_is_done() {
    let it = Invited::with(json!({ "first_name": "Ada" })).await;
    let new = it.accept();
    let path = format!("/v1/users/{}", it.ada);
    it.app.clerk.fault(Fault::status(503).on("DELETE", &path));
    it.app.deliver_all().await;
    it.app.forget_waits().await;
    let other = "other@example.com";
    let answer = it
        .app
        .email_change("POST", &it.grace, &it.row, Some(other))
        .await;
    assert_refused(&answer, 409, "email_change_in_progress");
    assert_eq!(changes(&it.app).await.len(), 1);
    it.app.clerk.clear_faults();
    it.app.forget_waits().await;
    let answer = it
        .app
        .email_change("POST", &it.grace, &it.row, Some(other))
        .await;
    assert_eq!(
        answer.status, 202,
        "the move is done first: {}",
        answer.body
    );
    assert!(it.app.clerk.user(&it.ada).is_none());
    assert_eq!(it.app.clerk.user(&new).unwrap()["first_name"], "Ada");
    it.app.finish().await;
}

/// Whoever signs up by themselves, without the link, is the invited person all the same: Clerk has
/// verified the address.
#[tokio::test]
async fn a_sign_up_without_the_link_moves_the_row_and_closes_the_invitation() {
    let it = Invited::new().await;
    let new = id(&it.app.clerk.create_user(json!({ "email": NEW })));
    it.app.deliver_all().await;
    it.assert_moved_to(&new).await;
    assert_eq!(invitations(&it.app, "pending").await, Vec::<Value>::new());
    assert_eq!(invitations(&it.app, "revoked").await.len(), 1);
    it.app.finish().await;
}

/// An address that nobody has verified proves nothing.
#[tokio::test]
async fn an_unverified_address_moves_nobody() {
    let it = Invited::new().await;
    let new = it
        .app
        .clerk
        .create_user(json!({ "email": NEW, "verified": false }));
    it.app.deliver_all().await;
    assert_ne!(it.app.row(&id(&new)).await["id"], json!(it.row));
    it.assert_stayed().await;
    assert_eq!(it.shown().await["state"], "invited");
    it.app.finish().await;
}

/// What everybody pays for R12: nothing. What a move costs: no more than what it does.
#[tokio::test]
async fn the_usual_delivery_takes_two_round_trips_and_so_does_a_move() {
    let database = Database::new().await;
    let proxy = Proxy::in_front_of(&database.url).await;
    let mut app = TestApp::at(database, &proxy.url, &[]).await;
    app.webhook.clerk = None;
    let grace = app.admin("grace").await;
    let ada = app.user("ada", Some("STUDENT")).await;
    let answer = app.email_change("POST", &grace, &ada, Some(NEW)).await;
    assert_eq!(answer.status, 202, "{}", answer.body);
    let delivered = async |app: &TestApp| {
        let message = app.clerk.take_messages().pop().expect("a message");
        let (answer, n_round_trips) = proxy.count(app.deliver(&message)).await;
        assert_eq!(answer.body["outcome"], "applied");
        n_round_trips
    };
    app.clerk.advance(Duration::from_millis(5));
    app.clerk.update_user(&ada, json!({ "first_name": "Ada" }));
    assert_eq!(delivered(&app).await, 2, "somebody who is invited");
    app.clerk.update_user(&grace, json!({ "first_name": "G" }));
    assert_eq!(delivered(&app).await, 2, "somebody who is not");
    app.clerk
        .create_user(json!({ "email": "joan@example.com" }));
    assert_eq!(delivered(&app).await, 2, "somebody new");
    let pending = invitations(&app, "pending").await;
    app.clerk.accept_invitation(&id(&pending[0]));
    assert_eq!(delivered(&app).await, 2, "a move");
    app.finish().await;
}

/// An admin's request for a change: the caller, the wish, and what Clerk said.
#[tokio::test]
async fn a_request_for_an_address_takes_three_round_trips() {
    let database = Database::new().await;
    let proxy = Proxy::in_front_of(&database.url).await;
    let app = TestApp::at(database, &proxy.url, &[]).await;
    let grace = app.admin("grace").await;
    let ada = app.user("ada", Some("STUDENT")).await;
    // The connection is made by then.
    app.email_change("GET", &grace, &ada, None).await;
    for expected in [3, 2] {
        let asked = app.email_change("POST", &grace, &ada, Some(NEW));
        let (answer, n_round_trips) = proxy.count(asked).await;
        assert_eq!(answer.status, 202, "{}", answer.body);
        assert_eq!(n_round_trips, expected);
    }
    app.finish().await;
}

/// The roles that a row has had.
async fn role_history(app: &TestApp, row: &Value) -> Vec<Value> {
    let statement = "select to_jsonb(c) from role_changes c where user_id::text = $1 order by id";
    let rows = app.sql.query(statement, &[&row.as_str()]).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

/// One tick in a process; returns the lines of its log.
async fn reconcile_in_a_process(app: &TestApp) -> Vec<Value> {
    let name = "reconcile";
    let function = Function::new(name, binary(name))
        .env("DATABASE_URL", &app.database.url)
        .env("CLERK_API_URL", app.clerk.url())
        .env("CLERK_SECRET_KEY", app.clerk.secret_key());
    let host = Host::start(Options {
        functions: vec![function],
    })
    .unwrap();
    let tick = json!({
        "version": "0", "id": "tick", "detail-type": "Scheduled Event", "source": "aws.events",
        "time": "2026-11-21T00:00:00Z", "resources": [], "detail": {},
    });
    host.invoke(name, &tick).await;
    let is_last = |line: &String| line.contains("\"reconciled\"");
    while !host.logs(name).iter().any(is_last) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let logs = host.logs(name);
    logs.iter()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect()
}

impl TestApp {
    /// An edit with a token that was made before.
    async fn edit_with(&self, token: &str, user: &str) -> Answer {
        let call = Call::new("PATCH", &format!("/api/users/{user}"))
            .token(token)
            .json(&json!({ "firstName": "A" }));
        self.call_update_user(&call).await
    }
}
