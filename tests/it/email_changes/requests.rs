//! Asking for another address: who may, what is refused, and what Clerk's trouble does to it.

use clerk_emulator::Fault;
use uuid::Uuid;

use super::*;

#[tokio::test]
async fn what_cannot_be_is_refused_and_clerk_hears_nothing_of_it() {
    let (app, grace, ada) = TestApp::with_admin_and_student().await;
    let bob = app.user("bob", Some("STUDENT")).await;
    let unlinked = unlinked(&app, "joan@example.com").await;
    let post =
        async |user: &str, email: &str| app.email_change("POST", &grace, user, Some(email)).await;
    // Taken: by a live row, with an account or without, in whatever case.
    assert_refused(&post(&ada, "bob@example.com").await, 409, "email_taken");
    assert_refused(&post(&ada, "BOB@Example.com").await, 409, "email_taken");
    assert_refused(&post(&ada, "joan@example.com").await, 409, "email_taken");
    // Their own.
    assert_refused(&post(&ada, "ada@example.com").await, 409, "same_email");
    assert_refused(&post(&ada, " ADA@example.com ").await, 409, "same_email");
    // Nobody to invite.
    assert_refused(&post(&unlinked, NEW).await, 409, "no_clerk_account");
    assert_refused(&post("user_nobody", NEW).await, 404, "user_not_found");
    let nobody = Uuid::new_v4().to_string();
    assert_refused(&post(&nobody, NEW).await, 404, "user_not_found");
    assert_refused(&post("7", NEW).await, 422, "invalid_user_id");
    // No address.
    for email in [
        "",
        "ada",
        "ada@",
        "@example.com",
        "ada@example",
        "a b@example.com",
    ] {
        let answer = post(&ada, email).await;
        assert_refused(&answer, 422, "invalid_email");
        assert_eq!(answer.body["fields"], json!(["email"]), "{email:?}");
    }
    for body in [
        json!({}),
        json!({ "email": null }),
        json!({ "email": 7 }),
        json!({ "email": NEW, "role": "ADMIN" }),
    ] {
        let call = Call::new("POST", &format!("/api/users/{ada}/email-change"))
            .token(&app.clerk.session_token(&grace))
            .json(&body);
        let answer = app.call_update_user(&call).await;
        assert_eq!(answer.status, 422, "{body} {}", answer.body);
    }
    // Only admins, and not even for themselves.
    for (caller, user) in [(&ada, &ada), (&ada, &bob)] {
        for (method, email) in [("POST", Some(NEW)), ("GET", None), ("DELETE", None)] {
            let answer = app.email_change(method, caller, user, email).await;
            assert_refused(&answer, 403, "admin_required");
        }
    }
    for method in ["GET", "DELETE"] {
        let answer = app.email_change(method, &grace, &ada, None).await;
        assert_refused(&answer, 404, "email_change_not_found");
    }
    assert_eq!(app.count("email_changes").await, 0);
    assert_eq!(n_calls(&app, "POST", "/v1/invitations"), 0);
    app.finish().await;
}

#[tokio::test]
async fn a_user_who_may_not_sign_in_gets_no_invitation() {
    let (app, grace, ada) = TestApp::with_admin_and_student().await;
    app.clerk.update_user(&ada, json!({ "banned": true }));
    app.deliver_all().await;
    let answer = app.email_change("POST", &grace, &ada, Some(NEW)).await;
    assert_refused(&answer, 409, "user_disabled");
    app.clerk.delete_user(&ada);
    app.deliver_all().await;
    let answer = app.email_change("POST", &grace, &ada, Some(NEW)).await;
    assert_refused(&answer, 404, "user_not_found");
    assert_eq!(n_invited(&app), 0);
    app.finish().await;
}

/// An address that somebody is invited to is as good as taken.
#[tokio::test]
async fn an_invited_address_is_nobody_elses() {
    let it = Invited::new().await;
    let bob = it.app.user("bob", Some("STUDENT")).await;
    let unlinked = unlinked(&it.app, "joan@example.com").await;
    let answer = it
        .app
        .email_change("POST", &it.grace, &bob, Some("Ada.New@example.com"))
        .await;
    assert_refused(&answer, 409, "email_taken");
    let answer = it
        .app
        .edit(&it.grace, &unlinked, json!({ "email": NEW }))
        .await;
    assert_refused(&answer, 409, "email_taken");
    assert_eq!(n_invited(&it.app), 1);
    // Once it is taken back, it is free again.
    it.app
        .email_change("DELETE", &it.grace, &it.ada, None)
        .await;
    let answer = it
        .app
        .edit(&it.grace, &unlinked, json!({ "email": NEW }))
        .await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let answer = it
        .app
        .email_change("POST", &it.grace, &it.ada, Some(NEW))
        .await;
    assert_refused(&answer, 409, "email_taken");
    it.assert_stayed().await;
    it.app.finish().await;
}

/// Clerk knows more users than we do.
#[tokio::test]
async fn an_address_that_clerk_knows_is_taken() {
    let (app, grace, ada) = TestApp::with_admin_and_student().await;
    app.clerk
        .silently(|clerk| clerk.create_user(json!({ "email": NEW })));
    let answer = app.email_change("POST", &grace, &ada, Some(NEW)).await;
    assert_refused(&answer, 409, "email_taken");
    assert_eq!(states(&app).await, [failed("email_taken")]);
    let answer = app.email_change("GET", &grace, &ada, None).await;
    assert_eq!(answer.body["emailChange"]["reason"], "email_taken");
    let answer = app.email_change("POST", &grace, &ada, Some(OTHER)).await;
    assert_eq!(answer.status, 202, "{}", answer.body);
    app.database.remove().await;
}

/// The same wish again finds the first one, and nobody gets a second mail.
#[tokio::test]
async fn the_same_address_asked_for_again_is_the_same_change() {
    let it = Invited::new().await;
    let first = it.shown().await;
    for email in [NEW, "ADA.NEW@example.com"] {
        let answer = it
            .app
            .email_change("POST", &it.grace, &it.row, Some(email))
            .await;
        assert_eq!((answer.status, &answer.body["emailChange"]), (202, &first));
    }
    assert_eq!(n_invited(&it.app), 1);
    let new = it.accept();
    it.app.deliver_all().await;
    it.assert_moved_to(&new).await;
    it.app.finish().await;
}

/// Another wish takes the place of the first one.
#[tokio::test]
async fn another_address_takes_the_place_of_the_first_one() {
    let it = Invited::new().await;
    let answer = it
        .app
        .email_change("POST", &it.grace, &it.ada, Some(OTHER))
        .await;
    assert_eq!(answer.status, 202, "{}", answer.body);
    assert_eq!(answer.body["emailChange"]["email"], OTHER);
    assert_eq!(states(&it.app).await, [ended("revoked"), ended("invited")]);
    assert_eq!(id(&invitations(&it.app, "revoked").await[0]), it.invitation);
    let pending = invitations(&it.app, "pending").await;
    assert_eq!(
        (pending.len(), &pending[0]["email_address"]),
        (1, &json!(OTHER))
    );
    // The first address is free: whoever signs up with it is somebody new.
    let stranger = id(&it.app.clerk.create_user(json!({ "email": NEW })));
    it.app.deliver_all().await;
    assert_ne!(it.app.row(&stranger).await["id"], json!(it.row));
    let new = id(&it.app.clerk.accept_invitation(&id(&pending[0])));
    it.app.deliver_all().await;
    assert_eq!(it.app.row(&new).await["id"], json!(it.row));
    assert!(it.app.clerk.user(&it.ada).is_none());
    it.app.finish().await;
}

/// While Clerk cannot take the first one back, the second one is not invited.
#[tokio::test]
async fn with_clerk_away_the_first_address_stays_the_one() {
    let it = Invited::new().await;
    it.app.clerk.down();
    let answer = it
        .app
        .email_change("POST", &it.grace, &it.ada, Some(OTHER))
        .await;
    assert_eq!(answer.status, 502, "{}", answer.body);
    it.app.clerk.up();
    assert_eq!(states(&it.app).await, [ended("invited")]);
    assert_eq!(n_invited(&it.app), 1);
    it.assert_stayed().await;
    it.app.finish().await;
}

/// The answer was lost and the invitation was not: it is found.
#[tokio::test]
async fn an_invitation_whose_answer_was_lost_is_found() {
    for effect in [Fault::drop_answer(), Fault::drop_answer().times(1)] {
        let (app, grace, ada) = TestApp::with_admin_and_student().await;
        app.clerk.fault(effect.on("POST", "/v1/invitations"));
        let answer = app.email_change("POST", &grace, &ada, Some(NEW)).await;
        assert_eq!(answer.status, 202, "{}", answer.body);
        assert_eq!(answer.body["emailChange"]["state"], "invited");
        app.clerk.clear_faults();
        let pending = invitations(&app, "pending").await;
        assert_eq!(pending.len(), 1);
        assert_eq!(last_change(&app).await["invitation_id"], pending[0]["id"]);
        assert_eq!(n_invited(&app), 1);
        let new = id(&app.clerk.accept_invitation(&id(&pending[0])));
        app.deliver_all().await;
        assert_eq!(app.row(&new).await["email"], NEW);
        app.finish().await;
    }
}

/// Neither the answer nor the list of invitations came: the next look finds it.
#[tokio::test]
async fn an_invitation_that_nobody_heard_of_is_found_later() {
    for is_asked_again in [true, false] {
        let (app, grace, ada) = TestApp::with_admin_and_student().await;
        app.clerk
            .fault(Fault::drop_answer().on("POST", "/v1/invitations").once());
        app.clerk
            .fault(Fault::status(500).on("GET", "/v1/invitations").once());
        let answer = app.email_change("POST", &grace, &ada, Some(NEW)).await;
        assert_eq!(answer.status, 502, "{}", answer.body);
        assert_eq!(answer.body["outcome"], "unknown", "{}", answer.body);
        assert_eq!(states(&app).await, [ended("requested")]);
        if is_asked_again {
            let answer = app.email_change("POST", &grace, &ada, Some(NEW)).await;
            assert_eq!(answer.status, 202, "{}", answer.body);
        } else {
            reconcile_now(&app).await;
        }
        assert_eq!(states(&app).await, [ended("invited")]);
        assert_eq!(n_invited(&app), 1);
        let pending = invitations(&app, "pending").await;
        let new = id(&app.clerk.accept_invitation(&id(&pending[0])));
        app.deliver_all().await;
        assert_eq!(app.row(&new).await["email"], NEW);
        app.finish().await;
    }
}

/// Nobody heard of the invitation, and it was followed before anybody asked.
#[tokio::test]
async fn an_invitation_that_nobody_heard_of_and_that_was_followed_moves_the_row() {
    for is_told in [true, false] {
        let (app, grace, ada) = TestApp::with_admin_and_student().await;
        app.clerk
            .fault(Fault::drop_answer().on("POST", "/v1/invitations").once());
        app.clerk
            .fault(Fault::status(500).on("GET", "/v1/invitations").once());
        app.email_change("POST", &grace, &ada, Some(NEW)).await;
        let row = id(&app.row(&ada).await);
        let pending = invitations(&app, "pending").await;
        let new = id(&app.clerk.accept_invitation(&id(&pending[0])));
        if is_told {
            app.deliver_all().await;
        } else {
            drop(app.clerk.take_messages());
            reconcile_now(&app).await;
        }
        assert_eq!(app.row(&new).await["id"], json!(row), "{is_told}");
        app.settle().await;
        assert_eq!(states(&app).await, [ended("done")], "{is_told}");
        assert!(app.clerk.user(&ada).is_none());
        app.finish().await;
    }
}

/// As long as an invitation may yet be sent, nobody says that it is taken back, and nobody else is
/// invited in its place.
#[tokio::test]
async fn what_may_yet_reach_clerk_cannot_be_taken_back() {
    let (app, grace, ada) = TestApp::with_admin_and_student().await;
    app.clerk
        .fault(Fault::drop().on("POST", "/v1/invitations").once());
    app.email_change("POST", &grace, &ada, Some(NEW)).await;
    for (method, email) in [("DELETE", None), ("POST", Some("other@example.com"))] {
        let answer = app.email_change(method, &grace, &ada, email).await;
        assert_refused(&answer, 409, "email_change_in_progress");
        assert_eq!(states(&app).await, [ended("requested")]);
    }
    app.execute("update email_changes set created_at = created_at - interval '31 seconds'")
        .await;
    let answer = app.email_change("DELETE", &grace, &ada, None).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(states(&app).await, [ended("revoked")]);
    app.finish().await;
}

/// It never reached Clerk. As long as it may yet, no other invitation is sent.
#[tokio::test]
async fn a_request_that_may_yet_reach_clerk_is_not_sent_again() {
    let (app, grace, ada) = TestApp::with_admin_and_student().await;
    app.clerk
        .fault(Fault::drop().on("POST", "/v1/invitations").once());
    let answer = app.email_change("POST", &grace, &ada, Some(NEW)).await;
    assert_eq!(answer.status, 502, "{}", answer.body);
    assert_eq!(answer.body["outcome"], "unknown", "{}", answer.body);
    let answer = app.email_change("POST", &grace, &ada, Some(NEW)).await;
    assert_refused(&answer, 409, "email_change_in_progress");
    reconcile_now(&app).await;
    assert_eq!(states(&app).await, [ended("requested")]);
    assert_eq!(n_invited(&app), 1);
    app.execute("update email_changes set created_at = created_at - interval '31 seconds'")
        .await;
    let answer = app.email_change("POST", &grace, &ada, Some(NEW)).await;
    assert_eq!(answer.status, 202, "{}", answer.body);
    assert_eq!(
        states(&app).await,
        [failed("not_invited"), ended("invited")]
    );
    assert_eq!(invitations(&app, "pending").await.len(), 1);
    app.finish().await;
}

/// Nobody asks again: the wish comes to nothing, and is not open for ever.
#[tokio::test]
async fn a_request_that_never_reached_clerk_is_closed() {
    let (app, grace, ada) = TestApp::with_admin_and_student().await;
    app.clerk
        .fault(Fault::drop().on("POST", "/v1/invitations").once());
    app.email_change("POST", &grace, &ada, Some(NEW)).await;
    app.execute("update email_changes set created_at = created_at - interval '31 seconds'")
        .await;
    reconcile_now(&app).await;
    assert_eq!(states(&app).await, [failed("not_invited")]);
    assert_eq!(
        app.count("email_changes where settle_at is not null").await,
        0
    );
    app.finish().await;
}

/// What a crash leaves: recorded, and Clerk never called.
#[tokio::test]
async fn a_sandbox_that_ended_before_it_called_clerk_leaves_nothing_open() {
    let it = Invited::new().await;
    it.app
        .email_change("DELETE", &it.grace, &it.ada, None)
        .await;
    it.app
        .execute(&format!(
            "insert into email_changes (user_id, old_clerk_id, email, actor, settle_at, created_at)
            values ('{}', '{}', '{OTHER}', '{}', now(), now() - interval '1 minute')",
            it.row, it.ada, it.grace
        ))
        .await;
    it.app.reconcile().await;
    // It is the older one by our own doing.
    assert_eq!(
        states(&it.app).await,
        [failed("not_invited"), ended("revoked")]
    );
    it.assert_stayed().await;
    it.app.finish().await;
}

/// Somebody invited the address at the dashboard: one invitation is enough.
#[tokio::test]
async fn an_invitation_from_the_dashboard_is_adopted() {
    let (app, grace, ada) = TestApp::with_admin_and_student().await;
    let theirs = at_dashboard(&app, "", &json!({ "email_address": NEW })).await;
    let answer = app.email_change("POST", &grace, &ada, Some(NEW)).await;
    assert_eq!(answer.status, 202, "{}", answer.body);
    assert_eq!(last_change(&app).await["invitation_id"], theirs["id"]);
    assert_eq!(invitations(&app, "pending").await.len(), 1);
    let row = id(&app.row(&ada).await);
    let new = id(&app.clerk.accept_invitation(&id(&theirs)));
    app.deliver_all().await;
    assert_eq!(id(&app.row(&new).await), row);
    app.finish().await;
}

/// Clerk has had too many calls from us.
#[tokio::test]
async fn a_rate_limit_is_passed_on_and_leaves_nothing_open() {
    let (app, grace, ada) = TestApp::with_admin_and_student().await;
    app.clerk
        .fault(Fault::rate_limited(7).on("POST", "/v1/invitations").once());
    let answer = app.email_change("POST", &grace, &ada, Some(NEW)).await;
    assert_refused(&answer, 502, "clerk_rate_limited");
    assert_eq!(answer.headers["retry-after"], "7", "{}", answer.headers);
    assert_eq!(states(&app).await, [failed("not_invited")]);
    let answer = app.email_change("POST", &grace, &ada, Some(NEW)).await;
    assert_eq!(answer.status, 202, "{}", answer.body);
    assert_eq!(invitations(&app, "pending").await.len(), 1);
    app.finish().await;
}

/// What Clerk refuses for a reason of its own says so, and leaves nothing open.
#[tokio::test]
async fn what_clerk_refuses_is_closed() {
    let (app, grace, ada) = TestApp::with_admin_and_student().await;
    let refusal = Fault::refusal(403, "invitations_not_supported_in_instance");
    app.clerk
        .fault(refusal.on("POST", "/v1/invitations").once());
    let answer = app.email_change("POST", &grace, &ada, Some(NEW)).await;
    assert!(answer.status >= 400, "{}", answer.body);
    assert_eq!(states(&app).await, [failed("not_invited")]);
    assert!(!answer.body.to_string().contains(NEW), "{}", answer.body);
    app.finish().await;
}

/// Each asks a sandbox of its own for one user and one address.
#[tokio::test]
async fn two_requests_at_once_send_one_invitation() {
    for round in 0..10 {
        let (app, grace, ada) = TestApp::with_admin_and_student().await;
        let (one, two) = tokio::join!(
            request_elsewhere(&app, &grace, &ada, NEW),
            request_elsewhere(&app, &grace, &ada, NEW),
        );
        let mut statuses = [one.status, two.status];
        statuses.sort_unstable();
        assert!(
            matches!(statuses, [202, 202 | 409]),
            "{round}: {} {}",
            one.body,
            two.body
        );
        for answer in [&one, &two] {
            if answer.status == 409 {
                assert_refused(answer, 409, "email_change_in_progress");
            }
        }
        assert_eq!(n_invited(&app), 1, "{round}");
        assert_eq!(invitations(&app, "pending").await.len(), 1, "{round}");
        assert_eq!(states(&app).await, [ended("invited")], "{round}");
        app.finish().await;
    }
}

/// Two users shall have one address.
#[tokio::test]
async fn of_two_users_who_want_one_address_at_once_one_gets_it() {
    for round in 0..10 {
        let (app, grace, ada) = TestApp::with_admin_and_student().await;
        let bob = app.user("bob", Some("STUDENT")).await;
        let (one, two) = tokio::join!(
            request_elsewhere(&app, &grace, &ada, NEW),
            request_elsewhere(&app, &grace, &bob, NEW),
        );
        let loser = if one.status == 202 { &two } else { &one };
        assert_refused(loser, 409, "email_taken");
        assert_eq!(one.status.min(two.status), 202, "{round}");
        assert_eq!(states(&app).await, [ended("invited")], "{round}");
        assert_eq!(n_invited(&app), 1, "{round}");
        app.finish().await;
    }
}

/// One user shall have two addresses at once: the last wish counts, and only one invitation is open.
#[tokio::test]
async fn of_two_addresses_for_one_user_at_once_one_stays_open() {
    for round in 0..10 {
        let (app, grace, ada) = TestApp::with_admin_and_student().await;
        let (one, two) = tokio::join!(
            request_elsewhere(&app, &grace, &ada, NEW),
            request_elsewhere(&app, &grace, &ada, OTHER),
        );
        let context = format!("{round}: {} {}", one.body, two.body);
        assert!([one.status, two.status].contains(&202), "{context}");
        let is_clear = |answer: &Answer| matches!(answer.status, 202 | 409);
        assert!(is_clear(&one) && is_clear(&two), "{context}");
        app.settle().await;
        let open: Vec<_> = changes(&app)
            .await
            .into_iter()
            .filter(|it| it["closed_at"].is_null())
            .collect();
        assert_eq!(open.len(), 1, "{context}");
        let pending = invitations(&app, "pending").await;
        assert_eq!(pending.len(), 1, "{context}");
        assert_eq!(pending[0]["email_address"], open[0]["email"], "{context}");
        assert_eq!(pending[0]["id"], open[0]["invitation_id"], "{context}");
        app.finish().await;
    }
}

/// An edit of an unlinked row and an invitation want one address.
#[tokio::test]
async fn an_edit_and_an_invitation_at_once_do_not_share_an_address() {
    for round in 0..10 {
        let (app, grace, ada) = TestApp::with_admin_and_student().await;
        let joan = unlinked(&app, "joan@example.com").await;
        let (edited, invited) = tokio::join!(
            app.edit(&grace, &joan, json!({ "email": NEW })),
            request_elsewhere(&app, &grace, &ada, NEW),
        );
        let statuses = (edited.status, invited.status);
        assert!(
            matches!(statuses, (200, 409) | (409, 202)),
            "{round} {statuses:?}"
        );
        app.finish().await;
    }
}

/// A row without an account; returns its id.
async fn unlinked(app: &TestApp, email: &str) -> String {
    let id = Uuid::new_v4().to_string();
    app.execute(&format!(
        "insert into users (id, email) values ('{id}', '{email}')"
    ))
    .await;
    id
}
