//! `GET /api/admin/sync/activity`.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::support::TestApp;

/// Each period, how long its buckets are in seconds, and how many there are.
const PERIODS: [(&str, i64, usize); 3] = [
    ("24h", 3600, 24),
    ("7d", 6 * 3600, 28),
    ("30d", 24 * 3600, 30),
];

fn at(bucket: &Value) -> Timestamp {
    bucket["at"].as_str().unwrap().parse().unwrap()
}

fn nothing(at: &Value) -> Value {
    json!({ "at": at, "applied": 0, "stale": 0, "ignored": 0, "parked": 0, "dead": 0 })
}

#[tokio::test]
async fn what_was_delivered_is_in_the_bucket_that_is_under_way() {
    let app = TestApp::new().await;
    let grace = app.admin("grace").await;
    app.user("ada", None).await;
    let ignored = json!({ "type": "session.created", "instance_id": app.clerk.instance_id() });
    app.deliver_event("msg_ignored", &ignored).await;
    let unreadable = json!({ "type": "user.updated", "instance_id": app.clerk.instance_id() });
    app.deliver_event("msg_dead", &unreadable).await;
    let unasked = app.told(&grace, "activity").await;
    assert_eq!(unasked["period"], "24h");
    for (period, seconds, n_buckets) in PERIODS {
        let told = app.told(&grace, &format!("activity?period={period}")).await;
        let buckets = told["buckets"].as_array().unwrap();
        let expected = json!({
            "period": period, "bucketSeconds": seconds, "buckets": buckets,
        });
        assert_eq!(told, expected);
        assert_eq!(buckets.len(), n_buckets, "{period}");
        let (last, before) = buckets.split_last().unwrap();
        let here = json!({
            "at": last["at"], "applied": 2, "stale": 0, "ignored": 1, "parked": 0, "dead": 1,
        });
        assert_eq!(last, &here);
        let age = Timestamp::now().duration_since(at(last)).as_secs();
        assert!((0..seconds + 60).contains(&age), "{period}: {age}");
        for bucket in before {
            assert_eq!(bucket, &nothing(&bucket["at"]));
        }
        let length = SignedDuration::from_secs(seconds);
        assert!(
            buckets.is_sorted_by(|bucket, next| at(bucket) + length == at(next)),
            "{period}: the oldest first, and none left out"
        );
        assert_eq!(at(last).as_second() % seconds, 0, "{period}");
    }
    app.finish().await;
}

/// A bucket has what came at its very beginning, and not what came at its end.
#[tokio::test]
async fn each_delivery_is_in_the_bucket_of_its_time() {
    let app = TestApp::new().await;
    let grace = app.admin("grace").await;
    for (period, seconds, n_buckets) in PERIODS {
        let told = app.told(&grace, &format!("activity?period={period}")).await;
        let buckets = told["buckets"].as_array().unwrap();
        let n_before = i64::try_from(n_buckets).unwrap() - 3;
        app.execute(&format!(
            "delete from inbox;
            insert into inbox (svix_id, event_type, outcome, received_at)
            select
                t.outcome || t.name, 'user.updated', t.outcome,
                timestamptz '{}' + t.seconds * interval '1 second'
            from (values
                ('stale', 'before', -0.000001), ('parked', 'first', 0),
                ('dead', 'first', 0), ('dead', 'last', {seconds} - 0.000001),
                ('ignored', 'next', {seconds})
            ) t (outcome, name, seconds);
            insert into inbox (svix_id, event_type, outcome, received_at)
            values ('too old', 'user.updated', 'applied', timestamptz '{}' - interval '1 second')",
            at(&buckets[2]),
            at(&buckets[0]),
        ))
        .await;
        let told = app.told(&grace, &format!("activity?period={period}")).await;
        let now = told["buckets"].as_array().unwrap();
        assert_eq!(now[0]["at"], buckets[0]["at"], "a bucket ended meanwhile");
        let with = |bucket: &Value, counts: &[(&str, i64)]| {
            let mut bucket = nothing(&bucket["at"]);
            for (outcome, n) in counts {
                bucket[outcome] = json!(n);
            }
            bucket
        };
        assert_eq!(
            now[0],
            nothing(&now[0]["at"]),
            "{period}: what is older is not in it"
        );
        assert_eq!(now[1], with(&now[1], &[("stale", 1)]), "{period}");
        assert_eq!(
            now[2],
            with(&now[2], &[("parked", 1), ("dead", 2)]),
            "{period}"
        );
        assert_eq!(now[3], with(&now[3], &[("ignored", 1)]), "{period}");
        let rest = &now[4..];
        assert!(
            rest.iter().all(|bucket| *bucket == nothing(&bucket["at"])),
            "{period}"
        );
        assert_eq!(i64::try_from(rest.len()).unwrap(), n_before - 1, "{period}");
    }
    app.database.remove().await;
}
