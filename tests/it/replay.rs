//! What was dead or parked is taken in again (R7), and nothing waits for ever.

mod crashes;
mod parked;

use std::time::{Duration, Instant};

use clerk_emulator::Message;
use serde_json::{Value, json};
use shared::db::inbox::{Outcome, Place, WaitingFilter, Which};
use shared::sync::{MAX_REPLAYED, Replay, Replayed};

use crate::support::TestApp;
use crate::support::app::settings_of;
use crate::webhook::event;

/// No name of a user is this while the database refuses it.
const REFUSE: &str = "
    alter table users add constraint no_poison check (first_name <> 'poison') not valid;
    alter table organizations add constraint no_poison check (name <> 'poison') not valid;
    alter table memberships add constraint no_poison
        check (not public_metadata ? 'poison') not valid";
/// The cause is mended.
const TAKE: &str = "
    alter table users drop constraint no_poison;
    alter table organizations drop constraint no_poison;
    alter table memberships drop constraint no_poison";

impl TestApp {
    async fn replay(&self, which: Which) -> Replayed {
        replay(&self.webhook, which, None, in_a_minute()).await
    }

    async fn dry_run(&self, which: Which) -> Replayed {
        let replay = Replay {
            which,
            after: None,
            is_dry_run: true,
        };
        let db = self.webhook.db.as_ref().unwrap();
        shared::sync::replay(None, db, None, &replay, in_a_minute())
            .await
            .unwrap()
    }

    /// The message is kept as dead.
    async fn deliver_dead(&self, message: &Message) {
        assert_eq!(self.deliver(message).await.body["outcome"], "dead");
    }

    /// A user whom the database refuses; returns the message.
    async fn poisoned(&self, name: &str) -> Message {
        self.clerk.create_user(json!({
            "email": format!("{name}@example.com"), "first_name": "poison",
            "public_metadata": { "role": "INSTRUCTOR" },
        }));
        let message = self.clerk.take_messages().pop().unwrap();
        self.deliver_dead(&message).await;
        message
    }

    /// A delivery that is dead, with this kept of it; received so many minutes ago.
    async fn bury(&self, svix_id: &str, event_type: &str, payload: &Value, minutes: i32) {
        let statement = "
            insert into inbox (
                svix_id, event_type, outcome, rule, payload, last_error, received_at
            )
            values ($1, $2, 'dead', 'R7', $3, 'it was', now() - make_interval(mins => $4))";
        self.sql
            .execute(statement, &[&svix_id, &event_type, payload, &minutes])
            .await
            .unwrap();
    }

    async fn inbox_rows(&self) -> Value {
        let all = "select jsonb_agg(to_jsonb(b) order by svix_id) from inbox b";
        self.sql.query_one(all, &[]).await.unwrap().get(0)
    }
}

async fn replay(
    sandbox: &clerk_webhook::App,
    which: Which,
    after: Option<Place>,
    deadline: Instant,
) -> Replayed {
    let replay = Replay {
        which,
        after,
        is_dry_run: false,
    };
    let db = sandbox.db.as_ref().unwrap();
    let (clerk, instance_id) = (sandbox.clerk.as_ref(), sandbox.instance_id.as_deref());
    shared::sync::replay(clerk, db, instance_id, &replay, deadline)
        .await
        .unwrap()
}

fn in_a_minute() -> Instant {
    Instant::now() + Duration::from_mins(1)
}

fn ids<'a>(ids: impl IntoIterator<Item = &'a str>) -> Which {
    let ids = ids.into_iter().map(|id| id.to_owned().try_into().unwrap());
    Which::Ids(ids.collect())
}

fn all() -> Which {
    Which::Filter(WaitingFilter::default())
}

fn names(replayed: &Replayed) -> Vec<&str> {
    let events = replayed.events.iter();
    events.map(|event| event.svix_id.as_str()).collect()
}

fn id_of(object: &Value) -> String {
    object["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn what_the_database_refused_is_applied_once_it_takes_it() {
    let app = TestApp::new().await;
    app.execute(REFUSE).await;
    let message = app.poisoned("ada").await;
    let received = app.inbox(&message.id).await;
    // As long as nothing is mended, it stays as it is, and the attempt counts.
    let replayed = app.replay(ids([&*message.id])).await;
    assert_eq!(replayed.events[0].outcome, Outcome::Dead);
    let kept = app.inbox(&message.id).await;
    assert_eq!(
        (&kept["outcome"], &kept["n_attempts"], &kept["last_error"]),
        (&json!("dead"), &json!(2), &json!("SQLSTATE 23514"))
    );
    assert_eq!(kept["payload"], received["payload"]);
    assert_eq!(kept["detail"]["replayed"], true);
    app.execute(TAKE).await;
    assert_eq!(
        app.deliver(&message).await.body["outcome"],
        "duplicate",
        "Svix's own repetition changes nothing"
    );
    let replayed = app.replay(ids([&*message.id])).await;
    assert_eq!(
        serde_json::to_value(&replayed).unwrap(),
        json!({
            "dryRun": false, "nWaiting": 1, "byOutcome": { "dead": 1 },
            "byType": { "user.created": 1 }, "nUnknown": 0, "nNotReplayable": 0, "nReplayed": 1,
            "outcomes": { "applied": 1 },
            "events": [{ "svixId": message.id, "outcome": "applied" }],
            "nRemaining": 0, "nextCursor": replayed.next_cursor,
        })
    );
    let applied = app.inbox(&message.id).await;
    assert_eq!(
        (
            &applied["outcome"],
            &applied["rule"],
            &applied["n_attempts"]
        ),
        (&json!("applied"), &json!("R1"), &json!(3))
    );
    assert!(applied["payload"].is_null() && applied["last_error"].is_null());
    assert!(applied["applied_at"].is_string());
    assert_eq!(applied["detail"]["replayed"], true);
    assert_eq!(applied["detail"]["readFromClerk"], false);
    for unchanged in [
        "received_at",
        "event_at",
        "event_type",
        "object_id",
        "instance_id",
    ] {
        assert_eq!(applied[unchanged], received[unchanged], "{unchanged}");
    }
    assert_eq!(app.deliver(&message).await.body["outcome"], "duplicate");
    let again = app.replay(ids([&*message.id])).await;
    assert_eq!((again.n_waiting, again.n_not_replayable), (0, 1));
    assert_eq!(app.inbox(&message.id).await, applied);
    app.finish().await;
}

/// Each kind of object has a statement of its own.
#[tokio::test]
async fn organizations_and_memberships_are_replayed_as_users_are() {
    let app = TestApp::new().await;
    let ada = app.user("ada", None).await;
    let math = id_of(&app.clerk.create_organization(json!({ "name": "Math" })));
    app.deliver_all().await;
    app.execute(REFUSE).await;
    app.clerk.create_organization(json!({ "name": "poison" }));
    app.clerk.add_member(&math, &ada, "org:member");
    app.clerk.advance(Duration::from_millis(10));
    app.clerk
        .update_member(&math, &ada, json!({ "public_metadata": { "poison": 1 } }));
    let messages = app.clerk.take_messages();
    let [made, joined, changed] = &messages[..] else {
        panic!("three messages")
    };
    app.deliver_dead(made).await;
    assert_eq!(app.deliver(joined).await.body["outcome"], "applied");
    app.deliver_dead(changed).await;
    app.execute(TAKE).await;
    let replayed = app.replay(all()).await;
    assert_eq!(names(&replayed), [&made.id, &changed.id]);
    assert_eq!(replayed.outcomes[&Outcome::Applied], 2);
    app.finish().await;
}

/// What a newer version of the program can read is applied, whatever its body was kept as.
#[tokio::test]
async fn what_can_be_read_by_now_is_applied() {
    let app = TestApp::new().await;
    let body = |id: &str| {
        let version = json!({ "updated_at": 1_700_000_000_000_i64, "first_name": "Ada" });
        event(&app, id, version)
    };
    let kept = [
        ("user_json", body("user_json")),
        ("user_raw", json!({ "raw": body("user_raw").to_string() })),
        ("user_base64", json!(body("user_base64").to_string())),
    ];
    for (n, (id, payload)) in (0..).zip(&kept) {
        app.bury(id, "unreadable", payload, 9 - n).await;
    }
    app.execute(
        "update inbox
        set payload = jsonb_build_object(
            'base64', translate(encode(convert_to(payload #>> '{}', 'UTF8'), 'base64'), E'\\n', '')
        )
        where svix_id = 'user_base64'",
    )
    .await;
    let replayed = app.replay(all()).await;
    assert_eq!(names(&replayed), ["user_json", "user_raw", "user_base64"]);
    for (id, _) in kept {
        let row = app.inbox(id).await;
        assert_eq!(row["outcome"], "applied", "{row}");
        assert_eq!(
            (&row["event_type"], &row["object_id"]),
            (&json!("user.updated"), &json!(id))
        );
        assert!(row["event_at"].as_str().unwrap().starts_with("2023-11-14"));
        assert_eq!(app.row(id).await["first_name"], "Ada");
    }
    app.database.remove().await;
}

#[tokio::test]
async fn what_cannot_be_read_stays_dead_and_is_kept() {
    let app = TestApp::with(&[("CLERK_INSTANCE_ID", "")]).await;
    let now = clerk_emulator::Emulator::real_ms() / 1000;
    let bodies = ["not json", "[]", r#"{"type":"user.updated","data":null}"#];
    for (n, body) in bodies.into_iter().enumerate() {
        let headers = app
            .clerk
            .sign_body(&format!("msg_{n}"), now, body.as_bytes());
        app.deliver_body(body, headers).await;
    }
    // Not UTF-8.
    app.bury("msg_3", "unreadable", &json!({ "base64": "/w==" }), 0)
        .await;
    for n_attempts in [2, 3] {
        let before = app.inbox_rows().await;
        let replayed = app.replay(all()).await;
        assert_eq!(replayed.outcomes[&Outcome::Dead], 4);
        assert_eq!(replayed.n_remaining, 0);
        let after = app.inbox_rows().await;
        for (before, after) in before
            .as_array()
            .unwrap()
            .iter()
            .zip(after.as_array().unwrap())
        {
            assert_eq!(after["n_attempts"], n_attempts);
            for unchanged in [
                "outcome",
                "payload",
                "event_type",
                "received_at",
                "applied_at",
            ] {
                assert_eq!(before[unchanged], after[unchanged], "{unchanged}");
            }
            assert!(after["last_error"].is_string(), "{after}");
        }
    }
    let raw = app.inbox("msg_0").await;
    assert_eq!(raw["payload"], json!({ "raw": "not json" }));
    let binary = app.inbox("msg_3").await;
    assert_eq!(binary["last_error"], "the body is not UTF-8");
    app.database.remove().await;
}

#[tokio::test]
async fn a_dry_run_counts_and_changes_nothing() {
    let app = TestApp::new().await;
    app.execute(REFUSE).await;
    let poison = app.poisoned("ada").await;
    let done = app
        .clerk
        .create_user(json!({ "email": "joan@example.com" }));
    let done_id = app.clerk.take_messages().pop().unwrap();
    app.deliver(&done_id).await;
    app.bury("msg_raw", "unreadable", &json!({ "raw": "" }), 1)
        .await;
    app.execute(
        "insert into inbox (svix_id, event_type, outcome) values
            ('msg_gone', 'user.updated', 'dead'), ('msg_stale', 'user.updated', 'stale');
        insert into inbox (svix_id, event_type, outcome, payload)
            values ('msg_parked', 'user.updated', 'parked', '{}')",
    )
    .await;
    app.execute(TAKE).await;
    let before = app.inbox_rows().await;
    app.clerk.clear_requests();
    let counted = app.dry_run(all()).await;
    assert_eq!(
        serde_json::to_value(&counted).unwrap(),
        json!({
            "dryRun": true, "nWaiting": 3, "byOutcome": { "dead": 2, "parked": 1 },
            "byType": { "user.created": 1, "user.updated": 1, "unreadable": 1 },
            "nUnknown": 0, "nNotReplayable": 1, "nReplayed": 0, "outcomes": {}, "events": [],
            "nRemaining": 3, "nextCursor": null,
        })
    );
    let asked = [
        &*poison.id,
        &*poison.id,
        &*done_id.id,
        "msg_nobody",
        "msg_gone",
        "msg_parked",
    ];
    let counted = app.dry_run(ids(asked)).await;
    assert_eq!(
        (
            counted.n_waiting,
            counted.n_unknown,
            counted.n_not_replayable
        ),
        (2, 1, 2)
    );
    assert_eq!(app.inbox_rows().await, before);
    assert!(app.clerk.requests().is_empty());
    assert_eq!(app.row(&id_of(&done)).await["is_placeholder"], false);
    assert_eq!(app.count("users").await, 1);
    app.database.remove().await;
}

#[tokio::test]
async fn a_filter_means_what_it_says() {
    let app = TestApp::new().await;
    let raw = json!({ "raw": "" });
    app.bury("msg_1", "user.created", &raw, 30).await;
    app.bury("msg_2", "user.updated", &raw, 20).await;
    let data = json!({
        "public_user_data": { "user_id": "user_1" }, "organization": { "id": "org_1" },
    });
    app.bury("msg_3", "membership", &json!({ "data": data }), 10)
        .await;
    app.execute(
        "update inbox set object_id = 'user_1' where svix_id = 'msg_2';
        update inbox set outcome = 'parked', detail = '{\"clerkUserId\": \"user_2\"}'
            where svix_id = 'msg_1'",
    )
    .await;
    let minutes = |n: i64| {
        let ago = jiff::SignedDuration::from_mins(n);
        Some(jiff::Timestamp::now().checked_sub(ago).unwrap())
    };
    let any = WaitingFilter::default;
    let text = |text: &str| Some(text.to_owned());
    let cases = [
        (any(), &["msg_1", "msg_2", "msg_3"][..]),
        (
            WaitingFilter {
                outcome: Some(Outcome::Dead),
                ..any()
            },
            &["msg_2", "msg_3"],
        ),
        (
            WaitingFilter {
                outcome: Some(Outcome::Parked),
                ..any()
            },
            &["msg_1"],
        ),
        (
            WaitingFilter {
                outcome: Some(Outcome::Applied),
                ..any()
            },
            &[],
        ),
        (
            WaitingFilter {
                event_type: text("user.updated"),
                ..any()
            },
            &["msg_2"],
        ),
        (
            WaitingFilter {
                object: text("user_1"),
                ..any()
            },
            &["msg_2", "msg_3"],
        ),
        (
            WaitingFilter {
                object: text("user_2"),
                ..any()
            },
            &["msg_1"],
        ),
        (
            WaitingFilter {
                object: text("org_1"),
                ..any()
            },
            &["msg_3"],
        ),
        (
            WaitingFilter {
                since: minutes(25),
                until: minutes(15),
                ..any()
            },
            &["msg_2"],
        ),
        (
            WaitingFilter {
                object: text("user_1"),
                since: minutes(15),
                ..any()
            },
            &["msg_3"],
        ),
    ];
    for (filter, expected) in cases {
        let case = format!("{filter:?}");
        let counted = app.dry_run(Which::Filter(filter.clone())).await;
        assert_eq!(
            counted.n_waiting,
            i64::try_from(expected.len()).unwrap(),
            "{case}"
        );
        let kept = app.webhook.db.as_ref().unwrap();
        let waiting = kept.waiting(&Which::Filter(filter), None, 9).await.unwrap();
        let found: Vec<_> = waiting.iter().map(|kept| kept.svix_id.as_str()).collect();
        assert_eq!(found, expected, "{case}");
    }
    app.database.remove().await;
}

/// R7: whoever replays at the same time, the effects are there once.
#[tokio::test]
async fn two_replays_at_once_have_the_effects_once() {
    let app = TestApp::new().await;
    app.execute(REFUSE).await;
    let message = app.poisoned("ada").await;
    app.execute(TAKE).await;
    let settings = settings_of(&app.clerk, &app.database.url, &[]);
    let sandboxes = [
        clerk_webhook::App::new(&settings),
        clerk_webhook::App::new(&settings),
    ];
    // Both have read it as dead before either may write.
    let mut sql = app.database.connect().await;
    let transaction = sql.transaction().await.unwrap();
    let hold = "select from inbox where svix_id = $1 for update";
    transaction.execute(hold, &[&message.id]).await.unwrap();
    let let_go = async {
        app.until_two_wait().await;
        transaction.commit().await.unwrap();
    };
    let [one, two] = sandboxes.each_ref().map(|sandbox| {
        let which = ids([&*message.id]);
        replay(sandbox, which, None, in_a_minute())
    });
    let (one, two, ()) = tokio::join!(one, two, let_go);
    for replayed in [one, two] {
        assert_eq!(replayed.events[0].outcome, Outcome::Applied);
    }
    let row = app.inbox(&message.id).await;
    assert_eq!(
        (&row["outcome"], &row["n_attempts"]),
        (&json!("applied"), &json!(2))
    );
    assert_eq!(app.count("role_changes").await, 1);
    app.finish().await;
}

/// A replay and a delivery of something newer: whichever is first, the newer one stays.
#[tokio::test]
async fn what_was_overtaken_is_stale() {
    let app = TestApp::new().await;
    let ada = app.user("ada", Some("STUDENT")).await;
    let math = id_of(&app.clerk.create_organization(json!({ "name": "Math" })));
    app.clerk.add_member(&math, &ada, "org:member");
    app.deliver_all().await;
    app.execute(REFUSE).await;
    app.clerk.advance(Duration::from_millis(10));
    let change = |name: &str| {
        app.clerk.update_user(&ada, json!({ "first_name": name }));
        app.clerk
            .update_organization(&math, json!({ "name": name }));
        let metadata = json!({ name: 1 });
        app.clerk
            .update_member(&math, &ada, json!({ "public_metadata": metadata }));
    };
    change("poison");
    let older = app.clerk.take_messages();
    for message in &older {
        app.deliver_dead(message).await;
    }
    app.clerk.advance(Duration::from_millis(10));
    app.clerk
        .update_user(&ada, json!({ "first_name": "Augusta" }));
    app.clerk
        .update_organization(&math, json!({ "name": "Algebra" }));
    let metadata = json!({ "public_metadata": { "poison": null } });
    app.clerk.update_member(&math, &ada, metadata);
    app.deliver_all().await;
    app.execute(TAKE).await;
    let replayed = app.replay(all()).await;
    assert_eq!(replayed.outcomes[&Outcome::Stale], 3, "{replayed:?}");
    for message in &older {
        let row = app.inbox(&message.id).await;
        assert_eq!(
            (&row["outcome"], &row["rule"]),
            (&json!("stale"), &json!("R2"))
        );
        assert!(
            row["payload"].is_null() && row["last_error"].is_null(),
            "{row}"
        );
    }
    assert_eq!(app.row(&ada).await["first_name"], "Augusta");
    app.finish().await;
}

/// R3.
#[tokio::test]
async fn what_is_over_stays_over() {
    let app = TestApp::new().await;
    let ada = app.user("ada", Some("STUDENT")).await;
    let math = id_of(&app.clerk.create_organization(json!({ "name": "Math" })));
    let club = id_of(&app.clerk.create_organization(json!({ "name": "Club" })));
    app.clerk.add_member(&club, &ada, "org:member");
    app.deliver_all().await;
    app.execute(REFUSE).await;
    app.clerk.advance(Duration::from_millis(10));
    app.clerk
        .update_user(&ada, json!({ "first_name": "poison" }));
    app.clerk
        .update_organization(&math, json!({ "name": "poison" }));
    let metadata = json!({ "public_metadata": { "poison": 1 } });
    app.clerk.update_member(&club, &ada, metadata);
    for message in app.clerk.take_messages() {
        app.deliver_dead(&message).await;
    }
    app.clerk.delete_user(&ada);
    app.clerk.delete_organization(&math);
    app.deliver_all().await;
    app.execute(TAKE).await;
    let replayed = app.replay(all()).await;
    assert_eq!(replayed.outcomes[&Outcome::Stale], 3, "{replayed:?}");
    let row = app.row(&ada).await;
    assert!(row["deleted_at"].is_string());
    assert_eq!(row["first_name"], "ada");
    app.finish().await;
}

/// R18.
#[tokio::test]
async fn what_is_of_another_instance_is_ignored() {
    let app = TestApp::new().await;
    let mut foreign = event(&app, "user_1", json!({ "updated_at": 1 }));
    foreign["instance_id"] = json!("ins_other");
    app.bury("msg_1", "user.updated", &foreign, 1).await;
    app.bury("msg_2", "unreadable", &json!({ "raw": "" }), 0)
        .await;
    let replayed = app.replay(all()).await;
    assert_eq!(replayed.outcomes[&Outcome::Ignored], 2);
    let row = app.inbox("msg_1").await;
    assert_eq!(row["rule"], "R18");
    assert!(row["payload"].is_null());
    assert_eq!(app.count("users").await, 0);
    app.database.remove().await;
}

/// The time of a call is bounded; the next one goes on where it stopped.
#[tokio::test]
async fn what_is_not_reached_in_time_is_left_for_the_next_call() {
    let app = TestApp::new().await;
    for n in 0..3 {
        let id = format!("user_{n}");
        let body = event(&app, &id, json!({ "updated_at": 1_700_000_000_000_i64 }));
        app.bury(&id, "user.updated", &body, 9 - n).await;
    }
    let none = replay(&app.webhook, all(), None, Instant::now()).await;
    assert_eq!(
        (none.n_waiting, none.n_replayed, none.n_remaining),
        (3, 0, 3)
    );
    assert_eq!(none.next_cursor, None);
    // A user who is new is looked after, for as long as Clerk may take.
    let slow = clerk_emulator::Fault::slow(Duration::from_secs(20));
    app.clerk.fault(slow.on("GET", "/v1/users").once());
    let deadline = Instant::now() + Duration::from_millis(3500);
    let some = replay(&app.webhook, all(), None, deadline).await;
    assert_eq!(names(&some), ["user_0"]);
    assert_eq!((some.n_waiting, some.n_remaining), (3, 2));
    let place = Place::from_cursor(&some.next_cursor.unwrap());
    assert!(place.is_some());
    let rest = replay(&app.webhook, all(), place, in_a_minute()).await;
    assert_eq!(names(&rest), ["user_1", "user_2"]);
    assert_eq!((rest.n_waiting, rest.n_remaining), (2, 0));
    assert_eq!(app.count("inbox where n_attempts = 2").await, 3);
    app.database.remove().await;
}

/// What was tried in vain does not keep the next call from going on.
#[tokio::test]
async fn a_call_takes_five_hundred_at_most() {
    let app = TestApp::new().await;
    app.execute(
        "insert into inbox (svix_id, event_type, outcome, payload)
        select 'msg_' || n, 'unreadable', 'dead', '{\"raw\": \"\"}'
        from generate_series(1, 505) n",
    )
    .await;
    let some = app.replay(all()).await;
    assert_eq!(
        (some.n_waiting, some.n_replayed, some.n_remaining),
        (505, MAX_REPLAYED, 5)
    );
    assert_eq!(some.events.len(), MAX_REPLAYED);
    let place = Place::from_cursor(&some.next_cursor.unwrap());
    let rest = replay(&app.webhook, all(), place, in_a_minute()).await;
    assert_eq!(
        (rest.n_waiting, rest.n_replayed, rest.n_remaining),
        (5, 5, 0)
    );
    assert_eq!(app.count("inbox where n_attempts = 2").await, 505);
    app.database.remove().await;
}
