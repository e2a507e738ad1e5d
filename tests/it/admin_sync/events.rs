//! `/api/admin/sync/events…` and `POST /api/admin/sync/replay`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use admin_sync::explain;
use clerk_emulator::Message;
use serde_json::{Value, json};
use shared::db::inbox::Outcome;

use crate::support::TestApp;
use crate::support::gateway::{Answer, Call};

use super::short;

/// What an admin is told of one delivery: outcome, rule, and why.
async fn explained(app: &TestApp, admin: &str, svix_id: &str) -> (String, String, String) {
    let told = app.told(admin, &format!("events/{svix_id}")).await;
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let event = &told["event"];
    (
        text(&event["outcome"]),
        text(&event["rule"]),
        text(&told["explanation"]),
    )
}

async fn check(
    app: &TestApp,
    admin: &str,
    svix_id: &str,
    (outcome, rule): (&str, &str),
    words: &str,
) {
    let told = explained(app, admin, svix_id).await;
    assert_eq!(
        (told.0.as_str(), told.1.as_str()),
        (outcome, rule),
        "{told:?}"
    );
    assert!(told.2.contains(words), "{words}: {told:?}");
    assert!(
        !told.2.contains(['{', '}']) && told.2.ends_with('.'),
        "{told:?}"
    );
}

fn version(message: &Message) -> i64 {
    event(message)["data"]["updated_at"].as_i64().unwrap()
}

fn event(message: &Message) -> Value {
    serde_json::from_str(&message.body).unwrap()
}

#[tokio::test]
async fn an_event_of_a_user_is_explained_by_the_rule_that_decided() {
    let app = TestApp::new().await;
    let grace = app.admin("grace").await;
    let user = app.clerk.create_user(json!({ "email": "ada@example.com" }));
    let ada = user["id"].as_str().unwrap();
    for name in ["A.", "Ada"] {
        app.clerk.advance(Duration::from_millis(10));
        app.clerk.update_user(ada, json!({ "first_name": name }));
    }
    let [created, older, newer] = &app.clerk.take_messages()[..] else {
        panic!("three messages")
    };
    app.deliver(created).await;
    app.deliver(newer).await;
    app.deliver(older).await;
    let check = async |svix_id: &str, decided: (&str, &str), words: &str| {
        check(&app, &grace, svix_id, decided, words).await;
    };
    check(
        &created.id,
        ("applied", "R1"),
        "This user was not known here",
    )
    .await;
    let (first, second, third) = (version(created), version(older), version(newer));
    let words =
        format!("a newer version of this user ({third}) than the one that was here ({first})");
    check(&newer.id, ("applied", "R2"), &words).await;
    let words = format!("A newer version of this user ({third}) was here already");
    check(&older.id, ("stale", "R2"), &words).await;
    let told = app.told(&grace, &format!("events/{}", older.id)).await;
    assert_eq!(told["compared"]["ourVersion"], third);
    assert_eq!(told["compared"]["clerkVersion"], second);
    assert_eq!(told["compared"]["wasClerkRead"], false);
    assert_eq!(told["changed"], json!([]));
    let told = app.told(&grace, &format!("events/{}", newer.id)).await;
    assert_eq!(told["changed"], json!(["first_name"]));
    assert_eq!(told["event"]["nAttempts"], 1);

    app.deliver_event("msg_again", &event(newer)).await;
    check("msg_again", ("applied", "R2"), "with the same values").await;

    // A doubt is settled at once, or waits until Clerk answers.
    let mut other = event(newer);
    other["data"]["first_name"] = json!("Augusta");
    app.deliver_event("msg_asked", &other).await;
    check("msg_asked", ("applied", "R2"), "so Clerk was asked at once").await;
    let told = app.told(&grace, "events/msg_asked").await;
    assert_eq!(told["compared"]["wasClerkRead"], true);
    app.clerk.down();
    app.deliver_event("msg_parked", &other).await;
    check(
        "msg_parked",
        ("parked", "R2"),
        "it waits until Clerk is asked",
    )
    .await;
    app.clerk.up();
    app.forget_waits().await;
    app.reconcile().await;
    check(
        "msg_parked",
        ("applied", "R2"),
        "it waited until Clerk was asked",
    )
    .await;

    let mut foreign = event(newer);
    foreign["instance_id"] = json!("ins_other");
    app.deliver_event("msg_foreign", &foreign).await;
    check("msg_foreign", ("ignored", "R18"), "another Clerk instance").await;
    let unhandled = json!({ "type": "session.created", "instance_id": app.clerk.instance_id() });
    app.deliver_event("msg_type", &unhandled).await;
    check("msg_type", ("ignored", "unhandled"), "Events of this type").await;
    let mut unreadable = event(newer);
    unreadable["data"]["updated_at"] = json!("yesterday");
    app.deliver_event("msg_dead", &unreadable).await;
    check("msg_dead", ("dead", "R7"), "until a person looks at it").await;
    let told = app.told(&grace, "events/msg_dead").await;
    let error = "data.updated_at is not what it should be";
    assert_eq!(told["event"]["lastError"], error);

    app.clerk.delete_user(ada);
    let end = app.clerk.take_messages().pop().unwrap();
    app.deliver(&end).await;
    check(&end.id, ("applied", "R3"), "This user was deleted in Clerk").await;
    app.deliver_event("msg_end", &event(&end)).await;
    check("msg_end", ("applied", "R3"), "was deleted here already").await;
    app.deliver_event("msg_late", &event(newer)).await;
    check("msg_late", ("stale", "R3"), "never comes back").await;

    app.execute("insert into users (email) values ('joan@example.com')")
        .await;
    app.clerk
        .create_user(json!({ "email": "joan@example.com" }));
    let adopted = app.clerk.take_messages().pop().unwrap();
    app.deliver(&adopted).await;
    check(&adopted.id, ("applied", "R5"), "had the verified address").await;
    all_have_sentences(&app).await;
    app.finish().await;
}

#[tokio::test]
async fn an_event_of_a_membership_is_explained_by_the_rule_that_decided() {
    let app = TestApp::new().await;
    let grace = app.admin("grace").await;
    let ada = app.user("ada", None).await;
    let club = app.organization_of("Club", &grace);
    app.deliver_all().await;
    app.clerk.freeze_clock();
    app.member(&club, &ada);
    app.clerk.advance(Duration::from_millis(500));
    app.clerk.remove_member(&club, &ada);
    app.clerk.advance(Duration::from_millis(500));
    let second = app.member(&club, &ada);
    let [joined, left, again] = &app.clerk.take_messages()[..] else {
        panic!("three messages")
    };
    app.deliver(joined).await;
    app.deliver(again).await;
    app.deliver_event("msg_old", &event(joined)).await;
    app.deliver(left).await;
    let check = async |svix_id: &str, decided: (&str, &str), words: &str| {
        check(&app, &grace, svix_id, decided, words).await;
    };
    check(
        &joined.id,
        ("applied", "R1"),
        "This membership was not known",
    )
    .await;
    check(
        &again.id,
        ("applied", "R6"),
        "joined the organization again",
    )
    .await;
    check(
        "msg_old",
        ("stale", "R3"),
        "This membership was deleted before",
    )
    .await;
    let told = app.told(&grace, &format!("events/{}", again.id)).await;
    assert_eq!(told["event"]["objectId"], json!(second));

    // One that was never seen, and is older; and one that was made in the same moment.
    let mut older = event(joined);
    older["data"]["id"] = json!("orgmem_older");
    app.deliver_event("msg_older", &older).await;
    check("msg_older", ("stale", "R6"), "a later one of the same user").await;
    app.clerk.down();
    let mut twin = event(again);
    twin["data"]["id"] = json!("orgmem_twin");
    app.deliver_event("msg_twin", &twin).await;
    check("msg_twin", ("parked", "R6"), "until Clerk is asked which").await;
    app.clerk.up();
    app.forget_waits().await;
    app.reconcile().await;
    check("msg_twin", ("applied", "R6"), "until Clerk was asked which").await;

    // What Clerk did not show, and an event that is newer than what we knew.
    app.execute(&format!(
        "update memberships set deleted_at = now(), is_end_inferred = true
        where clerk_id = '{second}'"
    ))
    .await;
    app.clerk.down();
    app.clerk.silently(|clerk| {
        clerk.advance(Duration::from_millis(500));
        clerk.set_member_role(&club, &ada, "org:admin")
    });
    let mut newer = event(again);
    newer["data"]["updated_at"] = json!(app.clerk.now_ms());
    app.deliver_event("msg_newer", &newer).await;
    check(
        "msg_newer",
        ("parked", "R14"),
        "Clerk did not know any more",
    )
    .await;
    app.clerk.up();
    app.forget_waits().await;
    app.settle().await;
    check("msg_newer", ("applied", "R14"), "Clerk was asked again").await;
    all_have_sentences(&app).await;
    app.finish().await;
}

/// R17.
#[tokio::test]
async fn an_event_of_a_membership_that_was_provisional_says_so() {
    let app = TestApp::new().await;
    let grace = app.admin("grace").await;
    let ada = app.user("ada", None).await;
    let club = app.organization_of("Club", &grace);
    app.deliver_all().await;
    app.clerk.down();
    let call = Call::new("POST", "/api/sync/membership")
        .token(&app.clerk.session_token(&grace))
        .json(&json!({ "clerkOrgId": club, "clerkUserId": ada, "role": "member" }));
    let answer = app.call_sync_user(&call).await;
    assert_eq!(answer.body["source"], "temporary", "{}", answer.body);
    app.clerk.up();
    app.member(&club, &ada);
    let message = app.clerk.take_messages().pop().unwrap();
    app.deliver(&message).await;
    let words = "was made here while Clerk could not be asked";
    check(&app, &grace, &message.id, ("applied", "R17"), words).await;
    app.finish().await;
}

/// Whatever the inbox holds is explained by a sentence of its own.
async fn all_have_sentences(app: &TestApp) {
    let rows = app
        .sql
        .query("select distinct rule, outcome from inbox", &[])
        .await
        .unwrap();
    for row in rows {
        let (rule, outcome): (String, String) = (row.get(0), row.get(1));
        let outcome: Outcome = serde_json::from_value(json!(outcome)).unwrap();
        assert!(explain::has_sentence(&rule, outcome), "{rule} {outcome:?}");
    }
}

#[test]
fn every_rule_that_the_code_can_store_has_a_sentence() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut rules = BTreeSet::new();
    collect_rules(&root.join("shared/src/sync"), &mut rules);
    assert!(
        rules.len() >= 10 && rules.contains("unhandled"),
        "{rules:?}"
    );
    for rule in rules {
        let has_sentence = |outcome: &Outcome| explain::has_sentence(&rule, *outcome);
        assert!(Outcome::ALL.iter().any(has_sentence), "{rule}");
    }
}

/// The names of rules that are written in the code of a folder.
fn collect_rules(folder: &Path, rules: &mut BTreeSet<String>) {
    let entries = fs::read_dir(folder).unwrap();
    let paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    for path in paths {
        if path.is_dir() {
            collect_rules(&path, rules);
        } else if !path.ends_with("tests.rs") {
            let text = fs::read_to_string(&path).unwrap();
            let literals = text.split('"').filter(|literal| is_rule(literal));
            rules.extend(literals.map(str::to_owned));
        }
    }
}

fn is_rule(literal: &str) -> bool {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|it| it.is_ascii_digit());
    literal == "unhandled" || literal.strip_prefix('R').is_some_and(is_number)
}

#[tokio::test]
async fn an_event_shows_the_role_changes_that_it_made() {
    let app = TestApp::new().await;
    let grace = app.admin("grace").await;
    let ada = app.user("ada", Some("STUDENT")).await;
    app.clerk.advance(Duration::from_millis(10));
    app.clerk.set_role(&ada, "INSTRUCTOR");
    let message = app.clerk.take_messages().pop().unwrap();
    app.deliver(&message).await;
    let told = app.told(&grace, &format!("events/{}", message.id)).await;
    let keys = ["oldRole", "newRole", "actor", "source", "svixId"];
    assert_eq!(
        short(&told["roleChanges"], &keys),
        [json!([
            "STUDENT",
            "INSTRUCTOR",
            "clerk",
            "webhook",
            message.id
        ])]
    );
    assert_eq!(
        told["changed"],
        json!(["role", "clerk_role", "public_metadata"])
    );
    app.finish().await;
}

/// An admin has no need of what only Clerk and the user know.
#[tokio::test]
async fn of_a_body_that_is_kept_only_the_keys_are_told() {
    let app = TestApp::new().await;
    let grace = app.admin("grace").await;
    app.clerk.create_user(json!({
        "email": "ada@example.com", "first_name": "Quirina",
        "private_metadata": { "note": "hush" }, "unsafe_metadata": { "note": "hush" },
    }));
    let message = app.clerk.take_messages().pop().unwrap();
    app.deliver(&message).await;
    let mut dead = event(&message);
    dead["data"]["updated_at"] = json!("hush");
    app.deliver_event("msg_dead", &dead).await;
    app.deliver_event(
        "msg_list",
        &json!({ "type": "user.created", "data": ["hush"] }),
    )
    .await;
    let told = app.told(&grace, "events/msg_dead").await;
    let payload = &told["payload"];
    assert_eq!(
        (&payload["isKept"], &payload["canBeReplayed"]),
        (&json!(true), &json!(true))
    );
    let keys: Vec<&str> = payload["keys"]
        .as_array()
        .unwrap()
        .iter()
        .map(|key| key.as_str().unwrap())
        .collect();
    assert!(
        keys.is_sorted() && keys.contains(&"private_metadata"),
        "{keys:?}"
    );
    let nothing = json!({ "isKept": false, "keys": null, "canBeReplayed": false });
    let told_of_applied = app.told(&grace, &format!("events/{}", message.id)).await;
    assert_eq!(told_of_applied["payload"], nothing);
    let user = event(&message)["data"]["id"].as_str().unwrap().to_owned();
    let mut all = vec![told, told_of_applied];
    for path in [
        "events/msg_list",
        "events",
        &format!("history/{user}"),
        "overview",
    ] {
        all.push(app.told(&grace, path).await);
    }
    for told in all {
        let told = told.to_string();
        for word in ["hush", "Quirina", "ada@example.com"] {
            assert!(!told.contains(word), "{word}: {told}");
        }
    }
    app.database.remove().await;
}

#[tokio::test]
async fn events_are_listed_by_outcome_type_and_object() {
    let app = TestApp::new().await;
    let grace = app.admin("grace").await;
    let ada = app.user("ada", None).await;
    let club = app.organization_of("Club", &grace);
    let membership = app.member(&club, &ada);
    app.deliver_all().await;
    app.clerk.remove_member(&club, &ada);
    app.deliver_all().await;
    app.clerk.delete_user(&ada);
    app.deliver_all().await;
    let unreadable = json!({ "type": "user.updated", "instance_id": app.clerk.instance_id() });
    app.deliver_event("msg_dead", &unreadable).await;
    let listed = async |query: &str| {
        let told = app.told(&grace, &format!("events?{query}")).await;
        assert_eq!(told["nextCursor"], Value::Null, "{query}");
        short(&told["events"], &["eventType", "objectId"])
    };
    let of_user = [
        json!(["user.deleted", ada]),
        json!(["organizationMembership.deleted", membership]),
        json!(["organizationMembership.created", membership]),
        json!(["user.created", ada]),
    ];
    assert_eq!(listed(&format!("object={ada}")).await, of_user);
    let of_membership = listed(&format!("object={membership}")).await;
    assert_eq!(of_membership, of_user[1..3]);
    assert_eq!(
        listed(&format!("object={club}")).await,
        [json!(["organization.created", club])]
    );
    assert_eq!(listed("object=user_nobody").await, Vec::<Value>::new());
    assert_eq!(listed("type=user.created").await.len(), 2);
    assert_eq!(
        listed("outcome=dead").await,
        [json!(["user.updated", null])]
    );
    assert_eq!(listed("outcome=parked").await, Vec::<Value>::new());
    let both = format!("type=user.created&outcome=applied&object={ada}");
    assert_eq!(listed(&both).await, [json!(["user.created", ada])]);
    let told = app.told(&grace, "events?limit=1").await;
    let mut keys: Vec<&String> = told["events"][0].as_object().unwrap().keys().collect();
    keys.sort();
    assert_eq!(
        keys,
        [
            "appliedAt",
            "eventAt",
            "eventType",
            "instanceId",
            "isPayloadKept",
            "lastError",
            "nAttempts",
            "objectId",
            "outcome",
            "receivedAt",
            "rule",
            "svixId",
        ]
    );
    app.database.remove().await;
}

#[tokio::test]
async fn a_list_is_paged_without_gaps_or_doubles() {
    let app = TestApp::new().await;
    let grace = app.admin("grace").await;
    // Three of each moment, of two outcomes, of a user and of their membership.
    app.execute(
        "delete from inbox;
        insert into inbox (svix_id, event_type, object_id, outcome, received_at, detail)
        select
            'msg_' || lpad(n::text, 2, '0'),
            case when n % 2 = 0 then 'user.updated' else 'organizationMembership.updated' end,
            case when n % 2 = 0 then 'user_1' else 'orgmem_' || n end,
            case when n % 5 = 0 then 'stale' else 'applied' end,
            now() - make_interval(secs => n / 3),
            case when n % 2 = 0 then '{}' else '{\"clerkUserId\": \"user_1\"}'::jsonb end
        from generate_series(0, 39) n",
    )
    .await;
    let ids = async |query: &str, limit: usize| -> Vec<String> {
        let events = app
            .pages(&grace, &format!("events{query}"), "events", limit)
            .await;
        let id = |event: &Value| event["svixId"].as_str().unwrap().to_owned();
        events.iter().map(id).collect()
    };
    let every = |step: usize| -> Vec<String> {
        (0..40)
            .step_by(step)
            .map(|n| format!("msg_{n:02}"))
            .collect()
    };
    for limit in [1, 4, 7, 40, 500] {
        assert_eq!(ids("", limit).await, every(1), "{limit}");
        assert_eq!(ids("?object=user_1", limit).await, every(1), "{limit}");
        assert_eq!(ids("?type=user.updated", limit).await, every(2), "{limit}");
        assert_eq!(ids("?outcome=stale", limit).await, every(5), "{limit}");
        let both = "?object=user_1&outcome=stale";
        assert_eq!(ids(both, limit).await, every(5), "{limit}");
    }
    app.database.remove().await;
}

#[tokio::test]
async fn a_forged_cursor_is_refused() {
    let app = TestApp::new().await;
    let grace = app.admin("grace").await;
    let cursor = |key: &str| {
        let row = "select translate(encode(convert_to($1, 'utf8'), 'base64'), E'+/=\\n', '-_')";
        let place = json!({ "at": "2026-11-21T00:00:00Z", "key": key });
        (row, place.to_string())
    };
    for (key, status) in [("a\u{0}b", 422), ("msg_1", 200)] {
        let (statement, place) = cursor(key);
        let cursor = app.one(statement, &place).await;
        for path in ["events", &format!("history/{grace}")] {
            let answer = app.ask(&grace, &format!("{path}?cursor={cursor}")).await;
            assert_eq!(answer.status, status, "{path} {key:?}: {}", answer.body);
        }
    }
    app.database.remove().await;
}

async fn replay(app: &TestApp, admin: &str, body: Value) -> Answer {
    let call = Call::new("POST", "/api/admin/sync/replay")
        .token(&app.clerk.session_token(admin))
        .json(&body);
    let answer = app.call_admin_sync(&call).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer
}

#[tokio::test]
async fn what_is_dead_is_replayed_by_its_ids_or_by_what_it_is_like() {
    let app = TestApp::new().await;
    let grace = app.admin("grace").await;
    let user = app.clerk.create_user(json!({ "email": "ada@example.com" }));
    let ada = user["id"].as_str().unwrap();
    let message = app.clerk.take_messages().pop().unwrap();
    let mut dead = event(&message);
    dead["data"]["updated_at"] = json!("yesterday");
    for svix_id in ["msg_1", "msg_2"] {
        app.deliver_event(svix_id, &dead).await;
    }
    // As if the code had learnt to read it.
    let payload = event(&message);
    app.sql
        .execute(
            "update inbox set payload = $1 where svix_id = 'msg_1'",
            &[&payload],
        )
        .await
        .unwrap();
    let counted = replay(&app, &grace, json!({ "filter": {}, "dryRun": true })).await;
    assert_eq!(counted.body["nWaiting"], 2);
    assert_eq!(counted.body["nReplayed"], 0);
    assert_eq!(app.row(ada).await, Value::Null, "nothing was done");
    let filter = json!({ "type": "user.created", "outcome": "parked" });
    let none = replay(&app, &grace, json!({ "filter": filter })).await;
    assert_eq!(none.body["nWaiting"], 0);
    let filter = json!({ "object": "user_nobody", "since": "2026-01-01T00:00:00Z" });
    let none = replay(&app, &grace, json!({ "filter": filter })).await;
    assert_eq!(none.body["nWaiting"], 0);

    let ids = json!({ "svixIds": ["msg_1", "msg_2", "msg_nowhere"] });
    let done = replay(&app, &grace, ids).await.body;
    assert_eq!(done["nUnknown"], 1);
    assert_eq!(done["outcomes"], json!({ "applied": 1, "dead": 1 }));
    assert_eq!(app.row(ada).await["email"], "ada@example.com");
    check(&app, &grace, "msg_1", ("applied", "R1"), "so it was added").await;
    let told = app.told(&grace, "events/msg_1").await;
    assert_eq!(told["event"]["nAttempts"], 2);
    assert_eq!(told["payload"]["canBeReplayed"], false);
    app.finish().await;
}

#[tokio::test]
async fn what_came_by_another_way_before_it_was_replayed_is_not_said_to_be_in_doubt() {
    let (app, grace, ada) = TestApp::with_admin_and_student().await;
    app.clerk.advance(Duration::from_millis(10));
    app.clerk.update_user(&ada, json!({ "first_name": "Ada" }));
    let message = app.clerk.take_messages().pop().unwrap();
    let mut dead = event(&message);
    dead["data"]["updated_at"] = json!("yesterday");
    app.deliver_event("msg_dead", &dead).await;
    app.repair().await;
    assert_eq!(app.row(&ada).await["first_name"], "Ada");
    // As if the code had learnt to read it.
    app.sql
        .execute(
            "update inbox set payload = $1 where svix_id = 'msg_dead'",
            &[&event(&message)],
        )
        .await
        .unwrap();
    replay(&app, &grace, json!({ "svixIds": ["msg_dead"] })).await;
    let words = "It was replayed; by then nothing had to change, or Clerk was asked.";
    check(&app, &grace, "msg_dead", ("applied", "R2"), words).await;
    app.finish().await;
}

#[tokio::test]
async fn a_dead_event_of_a_membership_is_found_by_its_user() {
    let app = TestApp::new().await;
    let grace = app.admin("grace").await;
    let ada = app.user("ada", None).await;
    let club = app.organization_of("Club", &grace);
    app.deliver_all().await;
    let membership = app.member(&club, &ada);
    let message = app.clerk.take_messages().pop().unwrap();
    let mut unreadable = event(&message);
    unreadable["data"]["updated_at"] = json!("yesterday");
    app.deliver_event("msg_unreadable", &unreadable).await;
    app.execute("alter table memberships add constraint none_new check (false) not valid")
        .await;
    app.deliver_event("msg_refused", &event(&message)).await;
    let told = app.told(&grace, &format!("events?object={ada}")).await;
    let keys = ["svixId", "outcome", "objectId"];
    let dead = [
        json!(["msg_refused", "dead", membership]),
        json!(["msg_unreadable", "dead", membership]),
    ];
    assert_eq!(short(&told["events"], &keys)[..2], dead);
    let told = app.told(&grace, &format!("history/{ada}")).await;
    assert_eq!(short(&told["history"], &keys)[..2], dead);
    let ids = json!({ "clerkUserId": ada, "clerkOrgId": club });
    for svix_id in ["msg_unreadable", "msg_refused"] {
        assert_eq!(app.inbox(svix_id).await["detail"], ids, "{svix_id}");
    }

    // What is no id is not put down, whatever it is.
    for no_id in [
        json!("Quirina"),
        json!("user_1".repeat(1000)),
        json!(7),
        json!({}),
    ] {
        unreadable["data"]["public_user_data"]["user_id"] = no_id.clone();
        unreadable["data"]["organization"] = json!({ "id": no_id });
        app.execute("delete from inbox").await;
        let answer = app.deliver_event("msg_no_id", &unreadable).await;
        assert_eq!(answer.body["outcome"], "dead", "{no_id}");
        assert_eq!(app.inbox("msg_no_id").await["detail"], json!({}), "{no_id}");
    }
    app.database.remove().await;
}

/// R12.
#[tokio::test]
async fn an_event_shows_its_role_changes_after_the_row_has_moved_to_another_account() {
    let app = TestApp::new().await;
    let grace = app.admin("grace").await;
    let ada = app.user("ada", Some("STUDENT")).await;
    app.clerk.advance(Duration::from_millis(10));
    app.clerk.set_role(&ada, "INSTRUCTOR");
    let message = app.clerk.take_messages().pop().unwrap();
    app.deliver(&message).await;
    app.email_change("POST", &grace, &ada, Some("new@example.com"))
        .await;
    let statement = "select invitation_id from email_changes where old_clerk_id = $1";
    let invitation = app.one(statement, &ada).await;
    app.clerk.accept_invitation(&invitation);
    // The account that is removed is told of after the one that is new.
    for _ in 0..3 {
        app.deliver_all().await;
    }
    app.settle().await;
    let told = app.told(&grace, &format!("events/{}", message.id)).await;
    assert_eq!(
        short(&told["roleChanges"], &["oldRole", "newRole"]),
        [json!(["STUDENT", "INSTRUCTOR"])]
    );
    app.finish().await;
}
