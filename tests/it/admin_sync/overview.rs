//! `GET /api/admin/sync/overview`.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::support::TestApp;

#[tokio::test]
async fn what_was_delivered_waits_and_is_owed_is_counted() {
    let app = TestApp::new().await;
    let grace = app.admin("grace").await;
    let ada = app.user("ada", Some("STUDENT")).await;
    // Stale: the older of two comes last.
    app.clerk.update_user(&ada, json!({ "first_name": "A." }));
    app.clerk.advance(std::time::Duration::from_millis(10));
    app.clerk.update_user(&ada, json!({ "first_name": "Ada" }));
    let [older, newer] = &app.clerk.take_messages()[..] else {
        panic!("two messages")
    };
    app.deliver(newer).await;
    app.deliver(older).await;
    let ignored = json!({ "type": "session.created", "instance_id": app.clerk.instance_id() });
    app.deliver_event("msg_ignored", &ignored).await;
    let unreadable = json!({ "type": "user.updated", "instance_id": app.clerk.instance_id() });
    app.deliver_event("msg_dead", &unreadable).await;
    // A doubt, and a role that cannot be delivered.
    app.clerk.freeze_clock();
    app.clerk
        .update_user(&ada, json!({ "first_name": "A. K." }));
    let [third] = &app.clerk.take_messages()[..] else {
        panic!("a message")
    };
    let mut event: Value = serde_json::from_str(&third.body).unwrap();
    app.deliver(third).await;
    event["data"]["first_name"] = json!("Augusta");
    app.clerk.down();
    let answer = app.deliver_event("msg_parked", &event).await;
    assert_eq!(answer.body["outcome"], "parked");
    app.set_role(&grace, &ada, json!({ "role": "INSTRUCTOR" }))
        .await;
    app.execute(
        "delete from reconcile_runs;
        update inbox set received_at = now() - interval '2 days' where svix_id = 'msg_ignored';
        update inbox set received_at = now() - interval '90 seconds' where outcome = 'parked';
        update outbox set created_at = now() - interval '10 minutes' where completed_at is null",
    )
    .await;

    let told = app.told(&grace, "overview").await;
    let counts = &told["deliveries"]["countsUpTo100000"];
    let all = json!({ "applied": 4, "stale": 1, "ignored": 1, "parked": 1, "dead": 1 });
    assert_eq!(counts["allTime"], all);
    let last = json!({ "applied": 4, "stale": 1, "ignored": 0, "parked": 1, "dead": 1 });
    assert_eq!(counts["last24Hours"], last);
    assert_eq!(told["dead"], json!({ "events": 1, "rolePushes": 0 }));
    assert_eq!(told["parked"]["events"], 1);
    let age = told["parked"]["oldestAgeSeconds"].as_i64().unwrap();
    assert!((90..150).contains(&age), "{age}");
    assert_eq!(told["outbox"]["depth"], 1);
    let age = told["outbox"]["oldestAgeSeconds"].as_i64().unwrap();
    assert!((600..660).contains(&age), "{age}");
    let flagged = json!({
        "users": 1, "organizations": 0, "memberships": 0,
        "walksOfUsers": 0, "walksOfOrganizations": 0,
    });
    assert_eq!(told["flagged"], flagged);
    assert_eq!(told["lagOfLast24Hours"]["nEvents"], 4);
    for nothing in ["drift", "lastRun", "currentRun"] {
        assert_eq!(told[nothing], Value::Null, "{nothing}");
    }

    // A dead push counts until a later role has taken its place.
    app.execute("update outbox set dead_at = now() where completed_at is null")
        .await;
    let told = app.told(&grace, "overview").await;
    assert_eq!(told["dead"], json!({ "events": 1, "rolePushes": 1 }));
    assert_eq!(
        told["outbox"],
        json!({ "depth": 0, "oldestAgeSeconds": null })
    );
    app.set_role(&grace, &ada, json!({ "role": "STUDENT" }))
        .await;
    let told = app.told(&grace, "overview").await;
    assert_eq!(told["dead"]["rolePushes"], 0);
    app.clerk.up();
    app.database.remove().await;
}

#[tokio::test]
async fn the_lag_is_that_of_clerks_changes_within_a_day() {
    let app = TestApp::new().await;
    let grace = app.admin("grace").await;
    let empty = json!({ "p50Ms": null, "p95Ms": null, "p99Ms": null, "nEvents": 0 });
    app.execute("delete from inbox").await;
    assert_eq!(
        app.told(&grace, "overview").await["lagOfLast24Hours"],
        empty
    );
    // 0 to 100 ms late; and what says nothing of it: old, stale, a deletion, without a version.
    app.execute(
        "insert into inbox (svix_id, event_type, outcome, received_at, applied_at, detail)
        select 'msg_' || n, 'user.updated', 'applied', to_timestamp(at), to_timestamp(at),
            jsonb_build_object('clerkVersion', at::bigint * 1000 - n)
        from generate_series(0, 100) n,
            (select floor(extract(epoch from now())) - 60 as at) t;
        insert into inbox (svix_id, event_type, outcome, received_at, applied_at, detail)
        values
            ('old', 'user.updated', 'applied', now() - interval '25 hours', now(),
                '{\"clerkVersion\": 1}'),
            ('stale', 'user.updated', 'stale', now(), null, '{\"clerkVersion\": 1}'),
            ('end', 'organizationMembership.deleted', 'applied', now(), now(),
                '{\"clerkVersion\": 1}'),
            ('gone', 'user.deleted', 'applied', now(), now(), '{\"clerkVersion\": null}'),
            ('none', 'user.updated', 'applied', now(), now(), '{\"clerkVersion\": 0}')",
    )
    .await;
    let lag = json!({ "p50Ms": 50, "p95Ms": 95, "p99Ms": 99, "nEvents": 101 });
    assert_eq!(app.told(&grace, "overview").await["lagOfLast24Hours"], lag);
    app.database.remove().await;
}

#[tokio::test]
async fn the_drift_is_that_of_the_last_comparison_that_came_to_its_end() {
    let app = TestApp::new().await;
    let grace = app.admin("grace").await;
    app.execute(
        "delete from reconcile_runs;
        insert into reconcile_runs (id, mode, state, actor, created_at, finished_at, progress)
        values
            ('00000000-0000-4000-8000-000000000001', 'repair', 'done', 'schedule',
                now() - interval '3 days', now() - interval '3 days', '{}'),
            ('00000000-0000-4000-8000-000000000002', 'report', 'done', 'user_1',
                now() - interval '2 days', '2026-11-20T00:00:00Z', '{\"n_users\": 7}'),
            ('00000000-0000-4000-8000-000000000003', 'repair', 'failed', 'schedule',
                now() - interval '1 day', '2026-11-21T00:00:00Z', '{}'),
            ('00000000-0000-4000-8000-000000000004', 'repair', 'listing', 'schedule',
                now(), null, '{\"n_users\": 3}');
        insert into drift (run_id, class, object, severity, cause, action, priority, state)
        select '00000000-0000-4000-8000-000000000002', class, 'user', 'low', 'unknown', 'none', 1,
            state
        from (values
            ('missing', 'found'), ('missing', 'repaired'), ('missing', 'failed'),
            ('stale', 'gone'), ('stale_high', 'withheld'), ('orphaned', 'withheld'),
            ('unknown_role', 'found')
        ) d (class, state);
        insert into drift (run_id, class, object, severity, cause, action, priority)
        select id, 'stale', 'user', 'low', 'unknown', 'none', 1
        from reconcile_runs
        where id <> '00000000-0000-4000-8000-000000000002'",
    )
    .await;
    let told = app.told(&grace, "overview").await;
    assert_eq!(
        told["drift"],
        json!({
            "runId": "00000000-0000-4000-8000-000000000002",
            "finishedAt": "2026-11-20T00:00:00Z",
            "open": 5,
            "byClass": {
                "missing": 2, "stale": 0, "stale_high": 1, "orphaned": 1, "duplicate_email": 0,
                "unknown_role": 1,
            },
        })
    );
    let keys = ["id", "mode", "state", "finishedAt", "progress"];
    let run = |run: &Value| -> Vec<Value> { keys.iter().map(|key| run[*key].clone()).collect() };
    assert_eq!(
        json!(run(&told["lastRun"])),
        json!([
            "00000000-0000-4000-8000-000000000003",
            "repair",
            "failed",
            "2026-11-21T00:00:00Z",
            {}
        ])
    );
    assert_eq!(
        json!(run(&told["currentRun"])),
        json!(["00000000-0000-4000-8000-000000000004", "repair", "listing", null, {"n_users": 3}])
    );
    assert!(
        told["currentRun"]["createdAt"]
            .as_str()
            .unwrap()
            .ends_with('Z')
    );
    app.database.remove().await;
}

/// R16.
#[tokio::test]
async fn an_endpoint_is_silent_when_clerk_changed_and_nothing_came_since() {
    let app = TestApp::new().await;
    let grace = app.admin("grace").await;
    let now = Timestamp::now();
    let ago = |minutes: i64| now - SignedDuration::from_mins(minutes);
    // When a delivery came last, Clerk's newest change, and the first change that was noted as one
    // that nothing came after; since when it is silent.
    let check = async |came: Option<i64>, change: Option<i64>, noted: Option<i64>| {
        app.execute("delete from inbox; delete from settings").await;
        if let Some(minutes) = came {
            app.execute(&format!(
                "insert into inbox (svix_id, event_type, outcome, received_at)
                values ('msg_1', 'user.updated', 'applied', '{}')",
                ago(minutes)
            ))
            .await;
        }
        let settings = [("clerk_last_change", change), ("clerk_silent_since", noted)];
        for (name, minutes) in settings {
            let Some(minutes) = minutes else { continue };
            let ms = ago(minutes).as_millisecond();
            let value = json!({ "at": ms, "seenAt": now.as_millisecond() });
            app.execute(&format!(
                "insert into settings values ('{name}', '{value}')"
            ))
            .await;
        }
        let outage = app.told(&grace, "overview").await["outage"].clone();
        assert_eq!(time(&outage["lastEventAt"]), ms(came.map(ago)));
        assert_eq!(time(&outage["lastClerkChangeAt"]), ms(change.map(ago)));
        assert_eq!(outage["isSilent"], outage["silentSince"].is_string());
        let since = time(&outage["silentSince"]);
        let five_days = 5 * 24 * 3600 * 1000;
        let disabled_at = since.map(|since| since + five_days);
        assert_eq!(time(&outage["endpointDisabledAt"]), disabled_at);
        let minutes = since.map(|since| (now.as_millisecond() - since) / 60_000);
        (came, change, noted, minutes)
    };
    let cases = [
        // Nothing is known, or nothing changed.
        (None, None, None, None),
        (Some(60), None, None, None),
        // The delivery came after the change; or is not late yet.
        (Some(9), Some(10), None, None),
        (Some(60), Some(4), None, None),
        // It is late.
        (Some(60), Some(10), None, Some(10)),
        (None, Some(10), None, Some(10)),
        // The newest change is never late where there is always one; the first one is.
        (Some(60), Some(1), Some(50), Some(50)),
        (Some(60), Some(10), Some(50), Some(50)),
        // It came meanwhile, which nobody has noted yet.
        (Some(2), Some(10), Some(50), None),
    ];
    for (came, change, noted, silent) in cases {
        let expected = (came, change, noted, silent);
        assert_eq!(check(came, change, noted).await, expected);
    }
    app.database.remove().await;
}

/// In milliseconds, as the settings have it.
fn time(value: &Value) -> Option<i64> {
    let at: Timestamp = value.as_str()?.parse().unwrap();
    Some(at.as_millisecond())
}

fn ms(at: Option<Timestamp>) -> Option<i64> {
    at.map(Timestamp::as_millisecond)
}

/// R16.
#[tokio::test]
async fn the_oldest_missed_message_has_until_svix_gives_it_up() {
    let app = TestApp::new().await;
    let grace = app.admin("grace").await;
    app.execute(
        "delete from reconcile_runs;
        insert into reconcile_runs (id, mode, state, actor, finished_at)
        values ('00000000-0000-4000-8000-000000000001', 'repair', 'done', 'schedule', now())",
    )
    .await;
    let outage = app.told(&grace, "overview").await["outage"].clone();
    assert_eq!(outage["oldestMissedAt"], Value::Null);
    assert_eq!(outage["messageGivenUpAt"], Value::Null);
    let now = Timestamp::now();
    let ago = |minutes: i64| now - SignedDuration::from_mins(minutes);
    let patience = 27 * 60 + 35;
    let rows = [
        // Given up, for another cause, or not there any more.
        ("lost_event", "found", patience + 1),
        ("direct_change", "found", 1200),
        ("lost_event", "gone", 1200),
        ("lost_event", "failed", 1200),
        // These count.
        ("lost_event", "repaired", 60),
        ("lost_event", "withheld", patience - 1),
        ("lost_event", "found", 600),
    ];
    for (cause, state, minutes) in rows {
        app.execute(&format!(
            "insert into drift (run_id, class, object, severity, cause, since, action, priority, state)
            values ('00000000-0000-4000-8000-000000000001', 'stale', 'user', 'low', '{cause}',
                '{}', 'update', 1, '{state}')",
            ago(minutes)
        ))
        .await;
    }
    let outage = app.told(&grace, "overview").await["outage"].clone();
    assert_eq!(time(&outage["oldestMissedAt"]), ms(Some(ago(patience - 1))));
    assert_eq!(time(&outage["messageGivenUpAt"]), ms(Some(ago(-1))));
    app.database.remove().await;
}

/// R16.
#[tokio::test]
async fn a_missed_message_is_waited_for_though_the_next_comparison_finds_nothing() {
    let app = TestApp::new().await;
    let grace = app.admin("grace").await;
    let now = Timestamp::now();
    let ago = |minutes: i64| now - SignedDuration::from_mins(minutes);
    app.execute(&format!(
        "delete from reconcile_runs;
        insert into reconcile_runs (id, mode, state, actor, created_at, finished_at)
        values
            ('00000000-0000-4000-8000-000000000001', 'repair', 'done', 'schedule',
                now() - interval '12 hours', now() - interval '12 hours'),
            ('00000000-0000-4000-8000-000000000002', 'repair', 'done', 'schedule', now(), now());
        insert into drift (
            run_id, class, object, clerk_id, severity, cause, since, action, priority, state,
            found_at
        )
        values
            ('00000000-0000-4000-8000-000000000001', 'stale', 'user', 'user_stale', 'low',
                'lost_event', '{}', 'update', 1, 'repaired', '{}'),
            -- It was seen last long ago; when it ended, nobody knows.
            ('00000000-0000-4000-8000-000000000001', 'orphaned', 'user', 'user_orphan', 'low',
                'lost_event', '{}', 'end', 1, 'withheld', '{}')",
        ago(650),
        ago(600),
        ago(5000),
        ago(700),
    ))
    .await;
    let missed = async || {
        let outage = app.told(&grace, "overview").await["outage"].clone();
        time(&outage["oldestMissedAt"])
    };
    let came = async |svix_id: &str, object: &str, minutes: i64| {
        app.execute(&format!(
            "insert into inbox (svix_id, event_type, object_id, outcome, received_at)
            values ('{svix_id}', 'user.updated', '{object}', 'applied', '{}')",
            ago(minutes)
        ))
        .await;
    };
    assert_eq!(missed().await, ms(Some(ago(700))));
    // One from before, and one of somebody else.
    came("msg_1", "user_orphan", 701).await;
    came("msg_2", "user_other", 10).await;
    assert_eq!(missed().await, ms(Some(ago(700))));
    came("msg_3", "user_orphan", 10).await;
    assert_eq!(missed().await, ms(Some(ago(650))));
    came("msg_4", "user_stale", 620).await;
    assert_eq!(missed().await, ms(Some(ago(650))));
    came("msg_5", "user_stale", 5).await;
    assert_eq!(missed().await, None);
    app.database.remove().await;
}
