//! How changes of address end without a move: revoked, expired, failed.

use std::time::Duration;

use clerk_emulator::Fault;

use super::*;

const DAY: Duration = Duration::from_hours(24);

#[tokio::test]
async fn an_invitation_that_is_taken_back_leads_nowhere() {
    let it = Invited::new().await;
    let answer = it
        .app
        .email_change("DELETE", &it.grace, &it.row, None)
        .await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let shown = &answer.body["emailChange"];
    assert_eq!(shown["state"], "revoked");
    assert!(shown["closedAt"].is_string(), "{shown}");
    assert_eq!(invitations(&it.app, "pending").await, Vec::<Value>::new());
    assert_eq!(id(&invitations(&it.app, "revoked").await[0]), it.invitation);
    assert_eq!(it.shown().await["state"], "revoked");
    let again = it
        .app
        .email_change("DELETE", &it.grace, &it.row, None)
        .await;
    assert_refused(&again, 404, "email_change_not_found");

    let new = id(&it.app.clerk.create_user(json!({ "email": NEW })));
    it.app.deliver_all().await;
    let row = it.app.row(&new).await;
    assert_ne!(row["id"], json!(it.row), "somebody new");
    assert_eq!(row["role"], "STUDENT");
    it.assert_stayed().await;
    it.app.finish().await;
}

/// The invited person was faster.
#[tokio::test]
async fn an_invitation_that_was_followed_cannot_be_taken_back() {
    for is_told in [true, false] {
        let it = Invited::new().await;
        let new = it.accept();
        if is_told {
            it.app.deliver_all().await;
        } else {
            drop(it.app.clerk.take_messages());
        }
        let answer = it
            .app
            .email_change("DELETE", &it.grace, &it.row, None)
            .await;
        assert_refused(&answer, 409, "invitation_accepted");
        it.assert_moved_to(&new).await;
        it.app.finish().await;
    }
}

/// The invited person was faster than another wish.
#[tokio::test]
async fn an_invitation_that_was_followed_is_not_replaced_by_another() {
    let it = Invited::new().await;
    let new = it.accept();
    drop(it.app.clerk.take_messages());
    let answer = it
        .app
        .email_change("POST", &it.grace, &it.row, Some(OTHER))
        .await;
    assert_refused(&answer, 409, "invitation_accepted");
    it.assert_moved_to(&new).await;
    assert_eq!(n_invited(&it.app), 1);
    // Now it can be asked for.
    let answer = it
        .app
        .email_change("POST", &it.grace, &it.row, Some(OTHER))
        .await;
    assert_eq!(answer.status, 202, "{}", answer.body);
    let pending = invitations(&it.app, "pending").await;
    let newest = id(&it.app.clerk.accept_invitation(&id(&pending[0])));
    it.app.deliver_all().await;
    assert_eq!(
        it.app.row(&newest).await["id"],
        json!(it.row),
        "twice moved"
    );
    assert_eq!(states(&it.app).await, [ended("done"), ended("done")]);
    it.app.finish().await;
}

#[tokio::test]
async fn with_clerk_down_an_invitation_stays_open() {
    let it = Invited::new().await;
    for is_reachable in [true, false] {
        if is_reachable {
            it.app.clerk.down();
        } else {
            it.app.clerk.unreachable();
        }
        let answer = it
            .app
            .email_change("DELETE", &it.grace, &it.row, None)
            .await;
        assert_eq!(answer.status, 502, "{}", answer.body);
        it.app.clerk.up();
        assert_eq!(it.shown().await["state"], "invited");
    }
    let answer = it
        .app
        .email_change("DELETE", &it.grace, &it.row, None)
        .await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    it.app.finish().await;
}

/// The revocation arrived, its answer did not: it is asked for again, or found by `reconcile`.
#[tokio::test]
async fn a_revocation_whose_answer_was_lost_is_settled() {
    for is_asked_again in [true, false] {
        let it = Invited::new().await;
        it.app
            .clerk
            .fault(Fault::drop_answer().on("POST", "/v1/invitations/").once());
        let answer = it
            .app
            .email_change("DELETE", &it.grace, &it.row, None)
            .await;
        assert_eq!(
            (answer.status, &answer.body["outcome"]),
            (502, &json!("unknown")),
            "{}",
            answer.body
        );
        assert_eq!(it.shown().await["state"], "invited");
        if is_asked_again {
            let answer = it
                .app
                .email_change("DELETE", &it.grace, &it.row, None)
                .await;
            assert_eq!(answer.status, 200, "{}", answer.body);
        } else {
            reconcile_now(&it.app).await;
        }
        assert_eq!(states(&it.app).await, [ended("revoked")]);
        it.assert_stayed().await;
        it.app.finish().await;
    }
}

#[tokio::test]
async fn an_invitation_that_is_revoked_at_the_dashboard_is_closed() {
    let it = Invited::new().await;
    at_dashboard(&it.app, &format!("/{}/revoke", it.invitation), &json!({})).await;
    reconcile_now(&it.app).await;
    assert_eq!(states(&it.app).await, [ended("revoked")]);
    let new = id(&it.app.clerk.create_user(json!({ "email": NEW })));
    it.app.deliver_all().await;
    assert_ne!(it.app.row(&new).await["id"], json!(it.row));
    it.assert_stayed().await;
    it.app.finish().await;
}

#[tokio::test]
async fn an_invitation_that_nobody_follows_expires() {
    let it = Invited::new().await;
    it.app.clerk.advance(DAY * 29);
    reconcile_now(&it.app).await;
    assert_eq!(states(&it.app).await, [ended("invited")], "not yet");
    it.app.clerk.advance(DAY * 2);
    reconcile_now(&it.app).await;
    assert_eq!(states(&it.app).await, [ended("expired")]);
    assert!(!is_acceptable(&it.app, &it.invitation).await);
    it.assert_stayed().await;
    // It can be asked for anew.
    let answer = email_change_now(&it.app, "POST", &it.grace, &it.row, Some(NEW)).await;
    assert_eq!(answer.status, 202, "{}", answer.body);
    assert_eq!(n_invited(&it.app), 2);
    let pending = invitations(&it.app, "pending").await;
    let new = id(&it.app.clerk.accept_invitation(&id(&pending[0])));
    it.app.deliver_all().await;
    it.assert_moved_to(&new).await;
    it.app.finish().await;
}

/// Nobody has looked at it since it expired, and somebody asks for it again.
#[tokio::test]
async fn an_expired_invitation_that_nobody_closed_is_replaced() {
    let it = Invited::new().await;
    it.app.clerk.advance(DAY * 31);
    it.app
        .execute("update email_changes set expires_at = now() - interval '1 day'")
        .await;
    let answer = email_change_now(&it.app, "POST", &it.grace, &it.row, Some(NEW)).await;
    assert_eq!(answer.status, 202, "{}", answer.body);
    assert_eq!(states(&it.app).await, [ended("expired"), ended("invited")]);
    assert_eq!(n_invited(&it.app), 2);
    it.app.finish().await;
}

/// It was followed in time, and we hear of it late.
#[tokio::test]
async fn an_invitation_that_was_followed_in_time_moves_however_late_we_hear_of_it() {
    for is_told in [true, false] {
        let it = Invited::new().await;
        it.app.clerk.advance(DAY * 29);
        let new = it.accept();
        let messages = it.app.clerk.take_messages();
        it.app.clerk.advance(DAY * 20);
        if is_told {
            for message in &messages {
                it.app.deliver(message).await;
            }
        } else {
            reconcile_now(&it.app).await;
        }
        it.assert_moved_to(&new).await;
        it.app.finish().await;
    }
}

/// An invitation that Clerk no longer has is nobody's to accept.
#[tokio::test]
async fn an_invitation_that_clerk_does_not_know_can_be_taken_back() {
    let it = Invited::new().await;
    it.app
        .execute("update email_changes set invitation_id = 'inv_gone'")
        .await;
    let answer = it
        .app
        .email_change("DELETE", &it.grace, &it.row, None)
        .await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(states(&it.app).await, [failed("invitation_not_found")]);
    it.app.finish().await;
}

/// Clerk refuses the link then; whoever signs up without it was not asked to.
#[tokio::test]
async fn who_signs_up_after_the_end_of_the_invitation_is_somebody_new() {
    let it = Invited::new().await;
    it.app.clerk.advance(DAY * 31);
    let new = id(&it.app.clerk.create_user(json!({ "email": NEW })));
    it.app.deliver_all().await;
    assert_ne!(it.app.row(&new).await["id"], json!(it.row));
    it.assert_stayed().await;
    reconcile_now(&it.app).await;
    assert_eq!(last_change(&it.app).await["state"], "expired");
    it.app.finish().await;
}

#[tokio::test]
async fn an_invitation_is_followed_once() {
    let it = Invited::new().await;
    let new = it.accept();
    assert!(!is_acceptable(&it.app, &it.invitation).await);
    it.app.deliver_all().await;
    assert!(!is_acceptable(&it.app, &it.invitation).await);
    it.assert_moved_to(&new).await;
    it.app.finish().await;
}

/// Somebody who is a user of ours made the address theirs: two rows are never made one.
#[tokio::test]
async fn an_address_that_another_user_took_meanwhile_moves_nobody() {
    for is_followed in [true, false] {
        let it = Invited::new().await;
        let bob = it.app.user("bob", Some("INSTRUCTOR")).await;
        let row = id(&it.app.row(&bob).await);
        it.app.clerk.advance(Duration::from_millis(5));
        it.app.clerk.update_user(&bob, json!({ "email": NEW }));
        it.app.deliver_all().await;
        if is_followed {
            assert_eq!(it.accept(), bob, "they are the owner of the address");
        } else {
            it.app.clerk.advance(DAY * 31);
        }
        it.app.deliver_all().await;
        reconcile_now(&it.app).await;
        let expected = if is_followed {
            failed("email_taken")
        } else {
            ended("expired")
        };
        assert_eq!(states(&it.app).await, [expected]);
        let theirs = it.app.row(&bob).await;
        assert_eq!(
            (&theirs["id"], &theirs["email"], &theirs["role"]),
            (&json!(row), &json!(NEW), &json!("INSTRUCTOR"))
        );
        it.assert_stayed().await;
        it.app.finish().await;
    }
}

/// A user whom we have never heard of made the address theirs. They are older than the wish, and so
/// not the invited person's new account.
#[tokio::test]
async fn an_older_account_that_nobody_told_of_does_not_get_the_row() {
    for is_told in [true, false] {
        let app = TestApp::new().await;
        let grace = app.admin("grace").await;
        let ada = app.user("ada", Some("STUDENT")).await;
        let bob = app
            .clerk
            .silently(|clerk| id(&clerk.create_user(json!({ "email": "bob@example.com" }))));
        app.clerk.advance(Duration::from_mins(1));
        let answer = email_change_now(&app, "POST", &grace, &ada, Some(NEW)).await;
        assert_eq!(answer.status, 202, "{}", answer.body);
        let row = id(&app.row(&ada).await);
        app.clerk.update_user(&bob, json!({ "email": NEW }));
        let pending = invitations(&app, "pending").await;
        assert_eq!(id(&app.clerk.accept_invitation(&id(&pending[0]))), bob);
        if is_told {
            app.deliver_all().await;
        } else {
            drop(app.clerk.take_messages());
        }
        reconcile_now(&app).await;
        assert_eq!(states(&app).await, [failed("email_taken")], "{is_told}");
        assert_eq!(id(&app.row(&ada).await), row);
        assert_ne!(id(&app.row(&bob).await), row);
        assert!(app.clerk.user(&ada).is_some());
        app.finish().await;
    }
}

#[tokio::test]
async fn a_user_who_is_deleted_takes_their_invitation_along() {
    for is_there_before in [true, false] {
        let it = Invited::new().await;
        it.app.clerk.delete_user(&it.ada);
        it.app.deliver_all().await;
        if is_there_before {
            // The link is followed before anybody revokes it.
            let new = it.accept();
            it.app.deliver_all().await;
            assert_ne!(it.app.row(&new).await["id"], json!(it.row), "somebody new");
        }
        reconcile_now(&it.app).await;
        assert_eq!(states(&it.app).await, [failed("user_out")]);
        assert_eq!(invitations(&it.app, "pending").await, Vec::<Value>::new());
        if !is_there_before {
            let new = id(&it.app.clerk.create_user(json!({ "email": NEW })));
            it.app.deliver_all().await;
            assert_ne!(it.app.row(&new).await["id"], json!(it.row), "somebody new");
        }
        let row = it.app.row(&it.ada).await;
        assert_eq!(row["id"], json!(it.row));
        assert!(!row["deleted_at"].is_null());
        it.app.finish().await;
    }
}

/// Nobody leaves a ban behind by another address.
/// The next tick takes the invitation of somebody who is out back, not the one of an hour later.
#[tokio::test]
async fn who_is_out_is_not_invited_any_more() {
    for is_banned in [true, false] {
        let it = Invited::new().await;
        it.app.clerk.advance(Duration::from_millis(5));
        if is_banned {
            it.app.clerk.update_user(&it.ada, json!({ "banned": true }));
        } else {
            it.app.clerk.delete_user(&it.ada);
        }
        it.app.deliver_all().await;
        it.app.reconcile().await;
        assert_eq!(states(&it.app).await, [failed("user_out")], "{is_banned}");
        assert_eq!(id(&invitations(&it.app, "revoked").await[0]), it.invitation);
        it.app.finish().await;
    }
}

#[tokio::test]
async fn a_ban_is_not_escaped() {
    for is_told in [true, false] {
        let it = Invited::new().await;
        it.app.clerk.advance(Duration::from_millis(5));
        it.app.clerk.update_user(&it.ada, json!({ "banned": true }));
        it.app.deliver_all().await;
        let new = it.accept();
        if is_told {
            it.app.deliver_all().await;
        } else {
            drop(it.app.clerk.take_messages());
            sync_self(&it.app, &it.app.clerk.session_token(&new)).await;
        }
        let row = it.app.row(&new).await;
        assert_ne!(row["id"], json!(it.row), "a row of its own");
        assert_eq!(row["role"], "STUDENT");
        reconcile_now(&it.app).await;
        assert_eq!(states(&it.app).await, [failed("user_out")]);
        assert_eq!(it.app.row(&it.ada).await["banned"], true);
        it.assert_stayed().await;
        it.app.finish().await;
    }
}

/// A ban of which we hear only after the move is one all the same.
#[tokio::test]
async fn a_ban_that_is_told_of_late_is_not_escaped() {
    let it = Invited::new().await;
    it.app.clerk.advance(Duration::from_millis(5));
    it.app.clerk.update_user(&it.ada, json!({ "banned": true }));
    let late = it.app.clerk.take_messages();
    let new = it.accept();
    it.app.deliver_all().await;
    for message in &late {
        it.app.deliver(message).await;
    }
    it.app.settle().await;
    let row = it.app.row(&new).await;
    assert_eq!((&row["id"], &row["banned"]), (&json!(it.row), &json!(true)));
    assert_eq!(it.app.clerk.user(&new).unwrap()["banned"], true);
    it.assert_moved_to(&new).await;
    it.app.finish().await;
}

/// R3: an admin whose account somebody deleted in Clerk does not come back as one by an invitation
/// that is still open, in whatever order we hear of it.
#[tokio::test]
async fn a_deletion_that_is_told_of_late_is_not_escaped() {
    for is_told_first in [true, false] {
        let app = TestApp::new().await;
        let grace = app.admin("grace").await;
        let ada = app.admin("ada").await;
        app.email_change("POST", &grace, &ada, Some(NEW)).await;
        let pending = invitations(&app, "pending").await;
        app.clerk.delete_user(&ada);
        let new = id(&app.clerk.accept_invitation(&id(&pending[0])));
        let [deleted, created] = &app.clerk.take_messages()[..] else {
            panic!("two messages")
        };
        let order = if is_told_first {
            [deleted, created]
        } else {
            [created, deleted]
        };
        for message in order {
            assert_eq!(app.deliver(message).await.status, 200);
        }
        app.settle().await;
        assert_eq!(app.role(&new).await, "STUDENT", "{is_told_first}");
        assert_eq!(app.clerk_role(&new), "STUDENT", "{is_told_first}");
        app.finish().await;
    }
}

/// They made the address theirs without any invitation.
#[tokio::test]
async fn a_user_who_has_the_address_already_needs_no_invitation() {
    let it = Invited::new().await;
    it.app.clerk.advance(Duration::from_millis(5));
    it.app.clerk.update_user(&it.ada, json!({ "email": NEW }));
    it.app.deliver_all().await;
    let row = it.app.row(&it.ada).await;
    assert_eq!((&row["id"], &row["email"]), (&json!(it.row), &json!(NEW)));
    reconcile_now(&it.app).await;
    assert_eq!(states(&it.app).await, [failed("has_address")]);
    assert_eq!(id(&invitations(&it.app, "revoked").await[0]), it.invitation);
    assert_eq!(n_calls(&it.app, "DELETE", "/v1/users"), 0);
    let answer = it
        .app
        .email_change("POST", &it.grace, &it.row, Some(NEW))
        .await;
    assert_refused(&answer, 409, "same_email");
    it.app.finish().await;
}

/// They made the address theirs and followed the link: it is their own account, and stays so.
#[tokio::test]
async fn a_user_who_follows_their_own_invitation_is_not_removed() {
    for is_told in [true, false] {
        let it = Invited::new().await;
        it.app.clerk.advance(Duration::from_millis(5));
        it.app.clerk.update_user(&it.ada, json!({ "email": NEW }));
        assert_eq!(it.accept(), it.ada);
        if is_told {
            it.app.deliver_all().await;
        } else {
            drop(it.app.clerk.take_messages());
        }
        reconcile_now(&it.app).await;
        assert!(it.app.clerk.user(&it.ada).is_some());
        assert_eq!(n_calls(&it.app, "DELETE", "/v1/users"), 0);
        let states = states(&it.app).await;
        assert_eq!(states[0].0, "failed", "{states:?}");
        let row = it.app.row(&it.ada).await;
        assert_eq!((&row["id"], &row["email"]), (&json!(it.row), &json!(NEW)));
        it.app.finish().await;
    }
}

/// Clerk says that the invitation was followed, and shows nobody with the address: its list lags
/// behind, or whoever it was is gone. It is looked for as long as the invitation would have lasted.
#[tokio::test]
async fn an_account_that_cannot_be_found_is_given_up_at_last() {
    let it = Invited::new().await;
    let new = it.accept();
    it.app.clerk.delete_user(&new);
    drop(it.app.clerk.take_messages());
    for _ in 0..8 {
        reconcile_now(&it.app).await;
        let shown = it.shown().await;
        assert_eq!(
            (&shown["state"], &shown["lastError"]),
            (&json!("invited"), &json!("account_not_found"))
        );
    }
    it.app
        .execute("update email_changes set expires_at = now()")
        .await;
    reconcile_now(&it.app).await;
    assert_eq!(states(&it.app).await, [failed("account_not_found")]);
    it.assert_stayed().await;
    it.app.finish().await;
}

/// As long as it may turn up, nobody is told that the invitation was taken back.
#[tokio::test]
async fn an_invitation_that_was_followed_by_somebody_unknown_is_not_called_revoked() {
    let it = Invited::new().await;
    let new = it.accept();
    // Clerk's list does not show the account by this address for a while.
    let elsewhere = json!({ "email": "elsewhere@example.com" });
    it.app.clerk.update_user(&new, elsewhere);
    drop(it.app.clerk.take_messages());
    let answer = it
        .app
        .email_change("DELETE", &it.grace, &it.row, None)
        .await;
    assert_refused(&answer, 409, "invitation_accepted");
    let answer = it
        .app
        .email_change("POST", &it.grace, &it.row, Some(OTHER))
        .await;
    assert_refused(&answer, 409, "invitation_accepted");
    assert_eq!(states(&it.app).await, [ended("invited")]);
    it.app.clerk.update_user(&new, json!({ "email": NEW }));
    drop(it.app.clerk.take_messages());
    reconcile_now(&it.app).await;
    it.assert_moved_to(&new).await;
    it.app.finish().await;
}

/// With Clerk away nothing is concluded, however often it is asked.
#[tokio::test]
async fn while_clerk_is_away_nothing_ends() {
    let it = Invited::new().await;
    it.app.clerk.down();
    for _ in 0..8 {
        reconcile_now(&it.app).await;
    }
    assert_eq!(states(&it.app).await, [ended("invited")]);
    it.app.clerk.up();
    let new = it.accept();
    drop(it.app.clerk.take_messages());
    reconcile_now(&it.app).await;
    it.assert_moved_to(&new).await;
    it.app.finish().await;
}

/// An empty answer is none: of a list that lags behind, or of another instance.
#[tokio::test]
async fn an_invitation_that_clerk_shows_is_not_lost_by_looking_often() {
    let it = Invited::new().await;
    for _ in 0..8 {
        reconcile_now(&it.app).await;
    }
    assert_eq!(states(&it.app).await, [ended("invited")]);
    assert_eq!(last_change(&it.app).await["n_settles"], 0);
    it.app.finish().await;
}

/// An address that led to nothing may be a stranger's, by a typing error.
#[tokio::test]
async fn an_address_that_led_to_nothing_is_erased() {
    let it = Invited::new().await;
    it.app
        .email_change("DELETE", &it.grace, &it.row, None)
        .await;
    it.app.reconcile().await;
    assert_eq!(last_change(&it.app).await["email"], NEW);
    it.app
        .execute("update email_changes set closed_at = now() - interval '31 days'")
        .await;
    it.app.reconcile().await;
    assert_eq!(last_change(&it.app).await["email"], Value::Null);
    it.app.finish().await;
}

/// R3: the new address is personal data, too.
#[tokio::test]
async fn the_address_of_a_deleted_user_is_erased() {
    let it = Invited::new().await;
    it.app.clerk.delete_user(&it.ada);
    it.app.deliver_all().await;
    reconcile_now(&it.app).await;
    assert_eq!(last_change(&it.app).await["email"], NEW, "not yet");
    it.app
        .execute("update users set deleted_at = now() - interval '30 days 1 minute' where deleted_at is not null")
        .await;
    it.app.reconcile().await;
    let change = last_change(&it.app).await;
    assert!(
        change["email"].is_null() && change["carry"].is_null(),
        "{change}"
    );
    assert_eq!(change["state"], "failed");
    let leftover = format!("email_changes c where to_jsonb(c)::text like '%{NEW}%'");
    assert_eq!(it.app.count(&leftover).await, 0);
    assert!(it.shown().await["email"].is_null());
    it.app.finish().await;
}

/// The old account's name and address stay nowhere once the row has moved and its user is erased.
#[tokio::test]
async fn nothing_of_a_user_who_moved_and_was_deleted_is_left() {
    let it = Invited::with(json!({ "first_name": "Ada", "last_name": "King" })).await;
    let new = it.accept();
    it.app.deliver_all().await;
    it.app.settle().await;
    it.app.clerk.delete_user(&new);
    it.app.deliver_all().await;
    it.app
        .execute(
            "update users set deleted_at = now() - interval '31 days' where deleted_at is not null",
        )
        .await;
    it.app.reconcile().await;
    for table in [
        "users",
        "email_changes",
        "profile_edits",
        "memberships",
        "inbox",
        "outbox",
    ] {
        for personal in ["ada", "king"] {
            let leftover = format!("{table} t where lower(to_jsonb(t)::text) ~ '\\m{personal}\\M'");
            assert_eq!(it.app.count(&leftover).await, 0, "{personal} in {table}");
        }
    }
    it.app.finish().await;
}

/// Whether Clerk lets somebody follow the link.
async fn is_acceptable(app: &TestApp, invitation: &str) -> bool {
    let url = format!(
        "{}/_emulator/invitations/{invitation}/accept",
        app.clerk.url()
    );
    let answer = reqwest::Client::new().post(url).send().await.unwrap();
    answer.status().is_success()
}
