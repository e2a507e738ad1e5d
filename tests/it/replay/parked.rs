//! What is parked: it is taken in when Clerk answers, and never waits for nothing.

use std::time::Duration;

use clerk_emulator::Message;
use serde_json::{Value, json};
use shared::db::inbox::Outcome;

use super::{all, id_of};
use crate::support::TestApp;
use crate::webhook::event;

const MEMBER: &str = "org:member";
const ADMIN: &str = "org:admin";

/// What is in doubt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Doubt {
    User,
    Organization,
    Membership,
    /// Two memberships of one pair, made in the same millisecond.
    Generation,
}

const DOUBTS: [Doubt; 4] = [
    Doubt::User,
    Doubt::Organization,
    Doubt::Membership,
    Doubt::Generation,
];

/// Ada and Math, and a delivery about them that is parked since Clerk was away; now it is back.
struct Parked<'a> {
    app: &'a TestApp,
    ada: String,
    math: String,
    message: Message,
}

impl<'a> Parked<'a> {
    /// `name` is Ada's.
    async fn new(app: &'a TestApp, doubt: Doubt, name: &str) -> Self {
        let ada = app.user(name, Some("STUDENT")).await;
        let math = id_of(&app.clerk.create_organization(json!({ "name": "Math" })));
        if doubt == Doubt::Membership {
            app.clerk.add_member(&math, &ada, MEMBER);
        }
        app.deliver_all().await;
        later(app);
        app.clerk.freeze_clock();
        doubt.arise(app, &ada, &math);
        app.clerk.resume_clock();
        let mut messages = app.clerk.take_messages();
        let message = messages.pop().unwrap();
        for message in &messages {
            app.deliver(message).await;
        }
        app.clerk.down();
        let answer = app.deliver(&message).await;
        assert_eq!(answer.body["outcome"], "parked", "{doubt:?}");
        app.clerk.up();
        Self {
            app,
            ada,
            math,
            message,
        }
    }

    async fn row(&self) -> Value {
        self.app.inbox(&self.message.id).await
    }

    /// It waits no more, and nothing is kept of it.
    async fn assert_done(&self, case: &str) {
        let row = self.row().await;
        let outcome = row["outcome"].as_str().unwrap();
        assert!(["applied", "stale"].contains(&outcome), "{case}: {row}");
        assert!(row["payload"].is_null(), "{case}: {row}");
    }
}

impl Doubt {
    /// Two changes of one millisecond, the second of which is in doubt.
    fn arise(self, app: &TestApp, ada: &str, math: &str) {
        match self {
            Self::User => {
                for name in ["Augusta", "Countess"] {
                    app.clerk.update_user(ada, json!({ "first_name": name }));
                }
            }
            Self::Organization => {
                for name in ["Algebra", "Analysis"] {
                    app.clerk.update_organization(math, json!({ "name": name }));
                }
            }
            Self::Membership => {
                for role in [ADMIN, MEMBER] {
                    app.clerk.set_member_role(math, ada, role);
                }
            }
            Self::Generation => {
                app.clerk.add_member(math, ada, MEMBER);
                app.clerk.silently(|clerk| clerk.remove_member(math, ada));
                app.clerk.add_member(math, ada, ADMIN);
            }
        }
    }
}

fn later(app: &TestApp) {
    app.clerk.advance(Duration::from_millis(10));
}

#[tokio::test]
async fn what_waited_for_clerk_is_applied_when_it_is_replayed() {
    for doubt in DOUBTS {
        let app = TestApp::new().await;
        let it = Parked::new(&app, doubt, "ada").await;
        let kept = it.row().await;
        assert_eq!(kept["payload"]["type"], it.message.event_type, "{doubt:?}");
        let replayed = app.replay(all()).await;
        assert_eq!(replayed.by_outcome[&Outcome::Parked], 1);
        assert_eq!(replayed.events[0].outcome, Outcome::Applied, "{doubt:?}");
        let row = it.row().await;
        assert_eq!(row["n_attempts"], 2, "{doubt:?}");
        assert_eq!(row["detail"]["replayed"], true, "{doubt:?}");
        assert!(row["payload"].is_null() && row["applied_at"].is_string());
        app.assert_equal().await;
        app.finish().await;
    }
}

#[tokio::test]
async fn what_still_waits_for_clerk_stays_parked_and_is_kept() {
    for doubt in DOUBTS {
        let app = TestApp::new().await;
        let it = Parked::new(&app, doubt, "ada").await;
        let kept = it.row().await;
        app.clerk.down();
        let replayed = app.replay(all()).await;
        assert_eq!(replayed.events[0].outcome, Outcome::Parked, "{doubt:?}");
        let row = it.row().await;
        assert_eq!(row["n_attempts"], 2);
        for same in ["payload", "rule", "received_at", "object_id"] {
            assert_eq!(row[same], kept[same], "{doubt:?}");
        }
        app.clerk.up();
        app.settle().await;
        it.assert_done(&format!("{doubt:?}")).await;
        app.finish().await;
    }
}

/// Every way in which a parked delivery may find that its question has gone.
#[tokio::test]
async fn what_is_parked_waits_no_longer_than_its_question() {
    for doubt in DOUBTS {
        let app = TestApp::new().await;
        let mut parked = Vec::new();
        for (n, (name, happens)) in EVENTS.into_iter().enumerate() {
            for is_away in [false, true] {
                let it = Parked::new(&app, doubt, &format!("ada{n}{is_away}")).await;
                later(&app);
                if is_away {
                    app.clerk.down();
                }
                happens(&it);
                app.deliver_all().await;
                app.clerk.up();
                parked.push((format!("{doubt:?} {name} {is_away}"), it));
            }
        }
        app.settle().await;
        for (case, it) in parked {
            it.assert_done(&case).await;
        }
        app.finish().await;
    }
}

/// What happens in Clerk while something is parked.
type Happening = (&'static str, fn(&Parked<'_>));

const EVENTS: [Happening; 8] = [
    ("nothing", |_| {}),
    ("the user goes", |it| it.app.clerk.delete_user(&it.ada)),
    ("the organization goes", |it| {
        it.app.clerk.delete_organization(&it.math);
    }),
    ("both go", |it| {
        it.app.clerk.delete_user(&it.ada);
        it.app.clerk.delete_organization(&it.math);
    }),
    ("the user changes", |it| {
        it.app
            .clerk
            .update_user(&it.ada, json!({ "last_name": "L." }));
    }),
    ("the organization changes", |it| {
        let name = json!({ "name": "Logic" });
        it.app.clerk.update_organization(&it.math, name);
    }),
    ("they leave", |it| {
        if it.app.clerk.membership(&it.math, &it.ada).is_some() {
            it.app.clerk.remove_member(&it.math, &it.ada);
        }
    }),
    ("they leave and join again", |it| {
        if it.app.clerk.membership(&it.math, &it.ada).is_some() {
            it.app.clerk.remove_member(&it.math, &it.ada);
        }
        later(it.app);
        it.app.clerk.add_member(&it.math, &it.ada, ADMIN);
    }),
];

/// R12: the user of a membership in doubt moves to another account.
#[tokio::test]
async fn what_is_parked_does_not_stay_behind_when_its_user_moves() {
    for doubt in DOUBTS {
        for is_away in [false, true] {
            let case = format!("{doubt:?} {is_away}");
            let app = TestApp::new().await;
            let it = Parked::new(&app, doubt, "ada").await;
            let grace = app.admin("grace").await;
            // The question is not asked before the move.
            app.execute(
                "update users set refetch_at = refetch_at + interval '1 hour';
                update memberships set refetch_at = refetch_at + interval '1 hour'",
            )
            .await;
            let new = "ada.new@example.com";
            let answer = app.email_change("POST", &grace, &it.ada, Some(new)).await;
            assert_eq!(answer.status, 202, "{case}: {}", answer.body);
            let invitation = "select invitation_id from email_changes where $1 <> ''";
            let invitation = app.one(invitation, &it.ada).await;
            later(&app);
            app.clerk.accept_invitation(&invitation);
            if is_away {
                app.clerk.down();
            }
            app.deliver_all().await;
            app.clerk.up();
            app.settle().await;
            it.assert_done(&case).await;
            app.finish().await;
        }
    }
}

/// R5: a placeholder in doubt is taken up by the row of the same person.
#[tokio::test]
async fn what_waits_for_a_placeholder_is_settled_with_it() {
    let app = TestApp::new().await;
    let math = id_of(&app.clerk.create_organization(json!({ "name": "Math" })));
    app.deliver_all().await;
    let joan = id_of(
        &app.clerk
            .create_user(json!({ "email": "joan@example.com" })),
    );
    let made = app.clerk.take_messages().pop().unwrap();
    app.clerk.add_member(&math, &joan, MEMBER);
    app.clerk.down();
    app.deliver_all().await;
    // It says nothing of its time: as old as the placeholder, and different.
    let mut timeless = event(&app, &joan, json!({ "first_name": "J." }));
    timeless["timestamp"] = Value::Null;
    let answer = app.deliver_event("msg_timeless", &timeless).await;
    assert_eq!(answer.body["outcome"], "parked");
    app.execute("insert into users (email) values ('joan@example.com')")
        .await;
    assert_eq!(app.deliver(&made).await.body["outcome"], "applied");
    assert_eq!(app.count("users where clerk_id is not null").await, 1);
    let row = app.inbox("msg_timeless").await;
    assert_eq!(row["outcome"], "applied", "{row}");
    app.clerk.up();
    app.finish().await;
}

/// R14: it is over as far as anybody knows, and something newer is said of it.
#[tokio::test]
async fn what_is_said_of_what_is_over_by_inference_is_settled_by_clerk() {
    for is_there in [false, true] {
        let app = TestApp::new().await;
        let ada = app.user("ada", Some("STUDENT")).await;
        let math = id_of(&app.clerk.create_organization(json!({ "name": "Math" })));
        app.clerk.add_member(&math, &ada, MEMBER);
        app.deliver_all().await;
        for table in ["users", "organizations", "memberships"] {
            let end = "set deleted_at = now(), is_end_inferred = true";
            app.execute(&format!("update {table} {end}")).await;
        }
        later(&app);
        app.clerk.update_user(&ada, json!({ "first_name": "Ada" }));
        app.clerk
            .update_organization(&math, json!({ "name": "Logic" }));
        let messages = app.clerk.take_messages();
        app.clerk.down();
        for message in &messages {
            let answer = app.deliver(message).await;
            assert_eq!(answer.body["outcome"], "parked");
            assert_eq!(app.inbox(&message.id).await["rule"], "R14");
        }
        app.clerk.up();
        if !is_there {
            app.clerk.silently(|clerk| {
                clerk.delete_user(&ada);
                clerk.delete_organization(&math);
            });
        }
        app.settle().await;
        let waiting = "inbox where outcome = 'parked'";
        assert_eq!(app.count(waiting).await, 0, "{is_there}");
        app.assert_equal().await;
        app.database.remove().await;
    }
}
