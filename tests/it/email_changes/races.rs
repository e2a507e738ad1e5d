//! The news of an accepted invitation: lost, repeated, in another order, by another way, at once.

use std::time::{Duration, Instant};

use clerk_emulator::{Effect, Fault, Message};
use futures_util::future::join_all;

use super::*;

/// No message ever comes: Clerk is asked.
#[tokio::test]
async fn an_acceptance_that_nobody_told_of_is_found() {
    let it = Invited::with(json!({ "first_name": "Ada" })).await;
    let club = json!({ "name": "Club", "created_by": it.ada });
    let club = id(&it.app.clerk.create_organization(club));
    it.app.deliver_all().await;
    let new = it.accept();
    drop(it.app.clerk.take_messages());
    assert_eq!(reconcile_now(&it.app).await.n_settled, 1);
    it.assert_moved_to(&new).await;
    assert_eq!(it.app.clerk.user(&new).unwrap()["first_name"], "Ada");
    assert_eq!(
        it.app.clerk.membership(&club, &new).unwrap()["role"],
        "org:admin"
    );
    it.app.finish().await;
}

#[tokio::test]
async fn a_sign_up_that_is_told_twice_moves_once() {
    let it = Invited::new().await;
    let new = it.accept();
    let message = it.app.clerk.take_messages().pop().unwrap();
    assert_eq!(it.app.deliver(&message).await.body["outcome"], "applied");
    assert_eq!(it.app.deliver(&message).await.body["outcome"], "duplicate");
    let event = serde_json::from_str(&message.body).unwrap();
    let again = it.app.deliver_event("msg_again", &event).await;
    assert_eq!(again.status, 200, "{}", again.body);
    assert_eq!(role_changes(&it).await, 1);
    it.assert_moved_to(&new).await;
    it.app.finish().await;
}

/// R7: each has a sandbox of its own, with a connection of its own.
#[tokio::test]
async fn twenty_deliveries_at_once_move_once() {
    for round in 0..5 {
        let it = Invited::with(json!({ "first_name": "Ada" })).await;
        let club = json!({ "name": "Club", "created_by": it.grace });
        let club = id(&it.app.clerk.create_organization(club));
        it.app.clerk.add_member(&club, &it.ada, "org:member");
        it.app.deliver_all().await;
        let new = it.accept();
        let message = it.app.clerk.take_messages().pop().unwrap();
        let answers = deliver_at_once(&it.app, &vec![message; 20]).await;
        let n = |outcome: &str| answers.iter().filter(|it| **it == outcome).count();
        assert_eq!(
            (n("applied"), n("duplicate")),
            (1, 19),
            "{round}: {answers:?}"
        );
        it.assert_moved_to(&new).await;
        assert_eq!(n_calls(&it.app, "PATCH", &format!("/v1/users/{new}")), 1);
        let path = format!("/v1/organizations/{club}/memberships");
        assert_eq!(n_calls(&it.app, "POST", &path), 1);
        assert_eq!(role_changes(&it).await, 1, "{round}");
        it.app.finish().await;
    }
}

/// Different messages of one sign-up, at once and in any order.
#[tokio::test]
async fn all_that_follows_a_sign_up_may_come_at_once() {
    for round in 0..10 {
        let it = Invited::new().await;
        let club = json!({ "name": "Club", "created_by": it.grace });
        let club = id(&it.app.clerk.create_organization(club));
        it.app.deliver_all().await;
        let new = it.accept();
        it.app.clerk.add_member(&club, &new, "org:member");
        for n in 0..3 {
            it.app.clerk.advance(Duration::from_millis(3));
            let name = json!({ "first_name": format!("Name {n}") });
            it.app.clerk.update_user(&new, name);
        }
        let mut messages = it.app.clerk.take_messages();
        fastrand::Rng::with_seed(round).shuffle(&mut messages);
        let reconcile = reconcile_elsewhere(&it.app);
        let (outcomes, ()) = tokio::join!(deliver_at_once(&it.app, &messages), reconcile);
        assert!(
            !outcomes.iter().any(|it| it == "dead"),
            "{round} {outcomes:?}"
        );
        it.app.settle().await;
        assert_eq!(it.app.row(&new).await["id"], json!(it.row), "{round}");
        assert_eq!(last_change(&it.app).await["state"], "done", "{round}");
        assert!(it.app.clerk.user(&it.ada).is_none(), "{round}");
        assert_eq!(it.app.count("users where deleted_at is null").await, 2);
        it.app.finish().await;
    }
}

/// The second message overtakes the first one.
#[tokio::test]
async fn an_update_may_come_before_the_sign_up() {
    let it = Invited::new().await;
    let new = it.accept();
    it.app.clerk.advance(Duration::from_millis(5));
    it.app
        .clerk
        .update_user(&new, json!({ "first_name": "Augusta" }));
    let [created, updated] = &it.app.clerk.take_messages()[..] else {
        panic!("two messages")
    };
    assert_eq!(it.app.deliver(updated).await.body["outcome"], "applied");
    it.assert_moved_to(&new).await;
    assert_eq!(it.app.deliver(created).await.body["outcome"], "stale");
    assert_eq!(it.app.row(&new).await["first_name"], "Augusta");
    it.app.finish().await;
}

/// R4: a membership makes a placeholder, which the row that moves takes up.
#[tokio::test]
async fn a_membership_of_the_new_account_may_come_before_the_sign_up() {
    for can_ask in [true, false] {
        let mut it = Invited::new().await;
        let clerk = it.app.webhook.clerk.take();
        let club = json!({ "name": "Club", "created_by": it.grace });
        let club = id(&it.app.clerk.create_organization(club));
        it.app.deliver_all().await;
        let new = it.accept();
        it.app.clerk.add_member(&club, &new, "org:admin");
        let [created, joined] = &it.app.clerk.take_messages()[..] else {
            panic!("two messages")
        };
        if can_ask {
            it.app.webhook.clerk = clerk;
        }
        it.app.deliver(joined).await;
        if !can_ask {
            let placeholder = it.app.row(&new).await;
            assert_eq!(placeholder["is_placeholder"], true);
            assert_ne!(placeholder["id"], json!(it.row));
        }
        it.app.deliver(created).await;
        assert_eq!(it.app.row(&new).await["id"], json!(it.row), "{can_ask}");
        let live = format!(
            "memberships m where m.user_id = '{}' and m.deleted_at is null",
            it.row
        );
        assert_eq!(it.app.count(&live).await, 1, "it is theirs");
        it.app.settle().await;
        it.assert_moved_to(&new).await;
        assert_eq!(
            it.app.clerk.membership(&club, &new).unwrap()["role"],
            "org:admin"
        );
        it.app.finish().await;
    }
}

/// Both accounts are in one organization for a moment.
#[tokio::test]
async fn a_membership_that_the_new_account_has_already_is_kept() {
    let it = Invited::new().await;
    let club = json!({ "name": "Club", "created_by": it.grace });
    let club = id(&it.app.clerk.create_organization(club));
    it.app.clerk.add_member(&club, &it.ada, "org:admin");
    it.app.deliver_all().await;
    let new = it.accept();
    let theirs = it.app.clerk.add_member(&club, &new, "org:member");
    let mut messages = it.app.clerk.take_messages();
    messages.reverse();
    for message in &messages {
        it.app.deliver(message).await;
    }
    it.app.settle().await;
    it.assert_moved_to(&new).await;
    let membership = it.app.clerk.membership(&club, &new).unwrap();
    assert_eq!(membership["id"], theirs["id"]);
    it.app.finish().await;
}

/// The new user comes with a token before any message does.
#[tokio::test]
async fn the_new_users_own_first_request_moves_the_row() {
    for is_edit in [true, false] {
        let it = Invited::with(json!({ "first_name": "Ada" })).await;
        let new = it.accept();
        let late = it.app.clerk.take_messages();
        if is_edit {
            let answer = it.app.edit(&new, &new, json!({ "lastName": "King" })).await;
            assert_eq!(answer.status, 200, "{}", answer.body);
            assert_eq!(answer.body["user"]["id"], json!(it.row), "{}", answer.body);
        } else {
            let answer = sync_self(&it.app, &it.app.clerk.session_token(&new)).await;
            assert_eq!(answer.status, 200, "{}", answer.body);
            assert_eq!(answer.body["user"]["id"], json!(it.row), "{}", answer.body);
        }
        assert_eq!(it.app.row(&new).await["id"], json!(it.row));
        for message in &late {
            assert_eq!(it.app.deliver(message).await.status, 200);
        }
        it.app.settle().await;
        it.assert_moved_to(&new).await;
        assert_eq!(it.app.clerk.user(&new).unwrap()["first_name"], "Ada");
        it.app.finish().await;
    }
}

/// A temporary row is made while Clerk is away, and gives way to the one that moves.
#[tokio::test]
async fn a_temporary_row_of_the_new_account_gives_way() {
    let it = Invited::new().await;
    let new = it.accept();
    let late = it.app.clerk.take_messages();
    let token = it.app.clerk.session_token(&new);
    it.app.clerk.down();
    let answer = sync_self(&it.app, &token).await;
    assert_eq!(answer.body["source"], "temporary", "{}", answer.body);
    assert_ne!(it.app.row(&new).await["id"], json!(it.row));
    it.app.clerk.up();
    for message in &late {
        it.app.deliver(message).await;
    }
    assert_eq!(it.app.row(&new).await["id"], json!(it.row));
    it.app.settle().await;
    it.assert_moved_to(&new).await;
    it.app.finish().await;
}

/// Taken back and followed at once: one of the two happened, on both sides.
#[tokio::test]
async fn a_revocation_and_an_acceptance_at_once_are_one_or_the_other() {
    for round in 0..10 {
        let it = Invited::new().await;
        let new = it.accept();
        let message = it.app.clerk.take_messages().pop().unwrap();
        let (answer, _) = tokio::join!(
            it.app.email_change("DELETE", &it.grace, &it.row, None),
            it.app.deliver(&message),
        );
        assert_refused(&answer, 409, "invitation_accepted");
        it.app.settle().await;
        it.assert_moved_to(&new).await;
        assert_eq!(invitations(&it.app, "accepted").await.len(), 1, "{round}");
        it.app.finish().await;
    }
}

/// Here it is taken back while Clerk's own sign-up without the link is on its way: Clerk revokes, so
/// the change is revoked, or it has moved before.
#[tokio::test]
async fn a_revocation_and_a_sign_up_without_the_link_at_once_are_one_or_the_other() {
    for round in 0..10 {
        let it = Invited::new().await;
        let new = id(&it.app.clerk.create_user(json!({ "email": NEW })));
        let message = it.app.clerk.take_messages().pop().unwrap();
        let (answer, delivered) = tokio::join!(
            it.app.email_change("DELETE", &it.grace, &it.row, None),
            it.app.deliver(&message),
        );
        assert_eq!(delivered.status, 200);
        it.app.settle().await;
        let is_moved = it.app.row(&new).await["id"] == json!(it.row);
        if is_moved {
            assert_refused(&answer, 409, "invitation_accepted");
            it.assert_moved_to(&new).await;
        } else {
            assert_eq!(answer.status, 200, "{round}: {}", answer.body);
            assert_eq!(states(&it.app).await, [ended("revoked")]);
            it.assert_stayed().await;
        }
        it.app.finish().await;
    }
}

/// A role is set while the row moves.
#[tokio::test]
async fn a_role_that_is_set_while_the_row_moves_is_the_role() {
    for round in 0..10 {
        let it = Invited::new().await;
        let new = it.accept();
        let message = it.app.clerk.take_messages().pop().unwrap();
        let (answer, _) = tokio::join!(
            it.app
                .set_role(&it.grace, &it.row, json!({ "role": "INSTRUCTOR" })),
            it.app.deliver(&message),
        );
        assert_eq!(answer.status, 200, "{round}: {}", answer.body);
        it.app.settle().await;
        assert_eq!(it.app.role(&new).await, "INSTRUCTOR", "{round}");
        assert_eq!(it.app.clerk_role(&new), "INSTRUCTOR", "{round}");
        it.assert_moved_to(&new).await;
        it.app.finish().await;
    }
}

/// An edit of the old account is on its way while the row moves: it is settled, and nobody is stuck.
#[tokio::test]
async fn an_edit_that_is_on_its_way_while_the_row_moves_is_settled() {
    for round in 0..5 {
        let it = Invited::new().await;
        let new = it.accept();
        let message = it.app.clerk.take_messages().pop().unwrap();
        let (edited, _) = tokio::join!(
            it.app
                .edit(&it.grace, &it.row, json!({ "firstName": "Augusta" })),
            it.app.deliver(&message),
        );
        it.app.settle().await;
        it.assert_moved_to(&new).await;
        let name = it.app.row(&new).await["first_name"].clone();
        if edited.status == 200 && edited.body["user"]["clerkId"] == json!(new) {
            assert_eq!(name, "Augusta", "{round}: {}", edited.body);
        }
        assert_eq!(it.app.clerk.user(&new).unwrap()["first_name"], name);
        it.app.finish().await;
    }
}

/// Two ticks at once.
#[tokio::test]
async fn two_ticks_at_once_finish_a_move_once() {
    for round in 0..5 {
        let it = Invited::with(json!({ "first_name": "Ada" })).await;
        let new = it.accept();
        drop(it.app.clerk.take_messages());
        it.app.forget_waits().await;
        tokio::join!(reconcile_elsewhere(&it.app), reconcile_elsewhere(&it.app));
        it.app.settle().await;
        assert_eq!(it.app.row(&new).await["id"], json!(it.row), "{round}");
        assert_eq!(states(&it.app).await, [ended("done")], "{round}");
        assert!(it.app.clerk.user(&it.ada).is_none());
        assert_eq!(it.app.clerk.users().len(), 2);
        it.app.finish().await;
    }
}

/// One tick is held up in the middle, and another one does all of it meanwhile: what the first one
/// finds then says nothing about who removed the old account.
#[tokio::test]
async fn a_tick_that_wakes_up_late_takes_nothing_away() {
    let it = Invited::new().await;
    it.app.clerk.set_role(&it.ada, "ADMIN");
    it.app.deliver_all().await;
    let club = json!({ "name": "Club", "created_by": it.ada });
    let club = id(&it.app.clerk.create_organization(club));
    it.app.deliver_all().await;
    let new = it.accept();
    drop(it.app.clerk.take_messages());
    it.app.forget_waits().await;
    let late = Fault::new(Effect::DelayBefore(Duration::from_secs(1)));
    let path = format!("/v1/users/{}", it.ada);
    it.app.clerk.fault(late.on("GET", &path).once());
    let other = async {
        let leased = "email_changes where state = 'moved' and settle_at > now()";
        while it.app.count(leased).await == 0 {
            tokio::task::yield_now().await;
        }
        it.app.forget_waits().await;
        reconcile_elsewhere(&it.app).await;
    };
    tokio::join!(reconcile_elsewhere(&it.app), other);
    it.app.settle().await;
    assert_eq!(it.app.role(&new).await, "ADMIN");
    assert_eq!(it.app.clerk_role(&new), "ADMIN");
    assert!(it.app.clerk.membership(&club, &new).is_some());
    it.assert_moved_to(&new).await;
    it.app.finish().await;
}

/// Several users move at once, all by one another's organizations.
#[tokio::test]
async fn many_users_may_move_at_once() {
    let app = TestApp::new().await;
    let grace = app.admin("grace").await;
    let club = json!({ "name": "Club", "created_by": grace });
    let club = id(&app.clerk.create_organization(club));
    let mut rows = Vec::new();
    for n in 0..8 {
        let user = app.user(&format!("user{n}"), Some("INSTRUCTOR")).await;
        app.clerk.add_member(&club, &user, "org:member");
        let email = format!("new{n}@example.com");
        let answer = app.email_change("POST", &grace, &user, Some(&email)).await;
        assert_eq!(answer.status, 202, "{}", answer.body);
        rows.push(id(&app.row(&user).await));
    }
    app.deliver_all().await;
    let mut accounts = Vec::new();
    for change in changes(&app).await {
        let invitation = text(&change["invitation_id"]);
        accounts.push(id(&app.clerk.accept_invitation(&invitation)));
    }
    let messages = app.clerk.take_messages();
    deliver_at_once(&app, &messages).await;
    app.settle().await;
    for (new, row) in accounts.iter().zip(&rows) {
        assert_eq!(id(&app.row(new).await), *row);
        assert_eq!(app.clerk_role(new), "INSTRUCTOR");
        assert!(app.clerk.membership(&club, new).is_some());
    }
    assert_eq!(app.clerk.users().len(), 9);
    assert_eq!(app.count("email_changes where state = 'done'").await, 8);
    app.finish().await;
}

/// How many roles the row has had.
async fn role_changes(it: &Invited) -> i64 {
    let theirs = format!("role_changes where user_id = '{}'", it.row);
    it.app.count(&theirs).await
}

/// Delivers messages to as many sandboxes at once, each with a connection of its own; returns the
/// outcomes.
async fn deliver_at_once(app: &TestApp, messages: &[Message]) -> Vec<String> {
    let settings = settings_of(&app.clerk, &app.database.url, &[]);
    let deliveries = messages.iter().map(|message| {
        let sandbox = clerk_webhook::App::new(&settings);
        let event = Call::new("POST", "/api/webhooks/clerk")
            .headers(app.clerk.sign(message))
            .body(&message.body)
            .event();
        async move {
            let handler = |request| clerk_webhook::handle(&sandbox, request);
            Answer::read(&shared::http::answer(event, &handler).await)
        }
    });
    let answers = join_all(deliveries).await;
    let outcome = |answer: &Answer| {
        assert_eq!(answer.status, 200, "{}", answer.body);
        text(&answer.body["outcome"])
    };
    answers.iter().map(outcome).collect()
}

/// A tick with a connection of its own.
async fn reconcile_elsewhere(app: &TestApp) {
    let sandbox = reconcile::App::new(&settings_of(&app.clerk, &app.database.url, &[]));
    let deadline = Instant::now() + Duration::from_secs(30);
    reconcile::run(&sandbox, deadline)
        .await
        .expect("the tick ends well");
}
