//! What a line says.

use std::cell::Cell;
use std::panic::AssertUnwindSafe;

use futures_util::FutureExt as _;
use tokio::task::yield_now;

use super::*;

/// The line as it would be written now.
fn line() -> Value {
    SHEET.with(|sheet| {
        let mut sheet = sheet.borrow_mut();
        sheet.close();
        serde_json::to_value(sheet.line(Timestamp::UNIX_EPOCH)).unwrap()
    })
}

/// The line of an invocation in which this happens.
async fn line_of(happens: impl FnOnce()) -> Value {
    scope("a-function", async {
        happens();
        line()
    })
    .await
}

/// The names of the metrics that a directive takes out of the line, each of them there.
#[track_caller]
fn names(line: &Value, directive: usize) -> Vec<&str> {
    let metrics = &line["_aws"]["CloudWatchMetrics"][directive]["Metrics"];
    let metrics = metrics.as_array().unwrap().iter();
    let names: Vec<&str> = metrics.map(|it| it["Name"].as_str().unwrap()).collect();
    for name in &names {
        let value = &line[*name];
        let is_numeric = |value: &Value| value.is_number();
        let values = value.as_array();
        let is_good = values.map_or(is_numeric(value), |it| it.iter().all(is_numeric));
        assert!(is_good, "{name} in {line}");
    }
    names
}

#[tokio::test]
async fn a_line_has_the_form_of_the_format() {
    let mut line = line_of(|| {
        request_id("req-1");
        count(Metric::Refused);
        time(Metric::ApplyLag, Duration::from_micros(1_500));
    })
    .await;
    assert!(line["Duration"].take().is_f64());
    let expected = json!({
        "_aws": {
            "Timestamp": 0,
            "CloudWatchMetrics": [{
                "Namespace": "clerk-sync",
                "Dimensions": [["Function"]],
                "Metrics": [
                    { "Name": "Refused", "Unit": "Count" },
                    { "Name": "Failed", "Unit": "Count" },
                    { "Name": "Duration", "Unit": "Milliseconds" },
                    { "Name": "ApplyLag", "Unit": "Milliseconds" },
                ],
            }],
        },
        "level": "INFO",
        "Function": "a-function",
        "requestId": "req-1",
        "Duration": null,
        "Failed": 0,
        "Refused": 1,
        "ApplyLag": 1.5,
    });
    assert_eq!(line, expected);
}

#[tokio::test]
async fn what_did_not_happen_is_not_in_the_line() {
    let line = line_of(|| {}).await;
    assert_eq!(names(&line, 0), ["Failed", "Duration"]);
    assert_eq!(
        line["_aws"]["CloudWatchMetrics"].as_array().unwrap().len(),
        1
    );
    assert!(line.get("requestId").is_none());
}

#[tokio::test]
async fn a_rate_has_its_zeros() {
    let line = line_of(|| {
        sync_result(true);
        sync_result(true);
        count(Metric::ClerkApiCalls);
        count(Metric::ClerkRateLimited);
        time(Metric::DatabaseTime, Duration::ZERO);
    })
    .await;
    assert_eq!(
        (&line["SyncSuccess"], &line["SyncFailure"]),
        (&json!(2), &json!(0))
    );
    assert_eq!(line["ClerkRateLimited"], 1);
    assert_eq!(line["ClerkFailures"], 0);
    assert_eq!(line["DatabaseFailures"], 0);
    let line = line_of(|| sync_result(false)).await;
    assert_eq!(
        (&line["SyncSuccess"], &line["SyncFailure"]),
        (&json!(0), &json!(1))
    );
}

#[tokio::test]
async fn several_values_are_a_list_that_is_never_too_long() {
    let times = |n: u64| {
        line_of(move || {
            for ms in 0..n {
                time(Metric::DatabaseTime, Duration::from_millis(ms));
            }
        })
    };
    assert_eq!(times(1).await["DatabaseTime"], 0.0);
    assert_eq!(times(3).await["DatabaseTime"], json!([0.0, 1.0, 2.0]));
    let line = times(10_000).await;
    let values = line["DatabaseTime"].as_array().unwrap();
    assert_eq!(values.len(), MAX_VALUES);
    let n_late = values.iter().filter(|it| it.as_f64() >= Some(5_000.0));
    assert!(
        (20..=80).contains(&n_late.count()),
        "fair to the later half"
    );
}

#[tokio::test]
async fn an_event_is_counted_by_a_type_of_ours() {
    let types = [
        ("user.updated", "user.updated"),
        (
            "organizationMembership.deleted",
            "organizationMembership.deleted",
        ),
        ("session.created", OTHER_TYPE),
        ("ada@example.com", OTHER_TYPE),
        ("", OTHER_TYPE),
    ];
    for (event_type, expected) in types {
        let line = line_of(|| event(event_type, "applied")).await;
        assert_eq!(line["EventType"], expected);
        assert_eq!(line["Outcome"], "applied");
        assert_eq!(line["Events"], 1);
        assert_eq!(names(&line, 0), ["Failed", "Duration"]);
        assert_eq!(names(&line, 1), ["Events"]);
        let dimensions = &line["_aws"]["CloudWatchMetrics"][1]["Dimensions"];
        let expected = json!([["Function"], ["Function", "EventType", "Outcome"]]);
        assert_eq!(*dimensions, expected);
        assert!(!line.to_string().contains("example.com"));
    }
}

#[tokio::test]
async fn the_lag_is_never_negative() {
    let hour = 3_600_000;
    let now = Timestamp::now().as_millisecond();
    let lag = |version| async move {
        let line = line_of(|| apply_lag(version)).await;
        line["ApplyLag"].as_f64().unwrap()
    };
    assert!((3_600_000.0..3_660_000.0).contains(&lag(now - hour).await));
    for version in [now + hour, i64::MAX] {
        assert_eq!(lag(version).await.to_bits(), 0.0_f64.to_bits());
    }
    assert!(lag(i64::MIN).await > 0.0);
}

#[tokio::test]
async fn the_outbox_is_as_it_was_seen_last() {
    let line = line_of(|| {
        outbox(3, Some(Duration::from_secs(61)));
        outbox(2, Some(Duration::from_secs(62)));
    })
    .await;
    assert_eq!(
        (&line["OutboxDepth"], &line["OutboxAge"]),
        (&json!(2), &json!(62))
    );
    let line = line_of(|| outbox(0, None)).await;
    assert_eq!(
        (&line["OutboxDepth"], &line["OutboxAge"]),
        (&json!(0), &json!(0))
    );
}

#[tokio::test]
async fn outside_of_an_invocation_nothing_is_noted() {
    let note_all = || {
        count(Metric::Failed);
        time(Metric::DatabaseTime, Duration::from_secs(1));
        request_id("req-1");
        event("user.created", "applied");
        apply_lag(0);
        sync_result(false);
        outbox(1, None);
    };
    note_all();
    let line = scope("a-function", async {
        tokio::spawn(async move { note_all() }).await.unwrap();
        line()
    })
    .await;
    assert_eq!(names(&line, 0), ["Failed", "Duration"]);
    assert_eq!(line["Failed"], 0);
}

#[tokio::test]
async fn invocations_at_the_same_time_do_not_mix() {
    let invocation = async |function: &str, n_calls: u64| {
        scope(function, async {
            request_id(function);
            for _ in 0..n_calls {
                yield_now().await;
                count(Metric::ClerkApiCalls);
            }
            line()
        })
        .await
    };
    let (one, two) = tokio::join!(invocation("one", 3), invocation("two", 5));
    for (line, function, n_calls) in [(one, "one", 3), (two, "two", 5)] {
        assert_eq!(line["Function"], function);
        assert_eq!(line["requestId"], function);
        assert_eq!(line["ClerkApiCalls"], n_calls);
    }
}

/// A scheduled run that comes as a request is both, and still one.
#[tokio::test]
async fn an_invocation_within_an_invocation_is_a_part_of_it() {
    let line = scope("outer", async {
        count(Metric::ClerkApiCalls);
        scope("inner", async { count(Metric::ClerkApiCalls) }).await;
        line()
    })
    .await;
    assert_eq!(
        (&line["Function"], &line["ClerkApiCalls"]),
        (&json!("outer"), &json!(2))
    );
}

/// Keeps the line as it is when everything else is dropped.
struct AtTheEnd<'a>(&'a Cell<Value>);

impl Drop for AtTheEnd<'_> {
    fn drop(&mut self) {
        self.0.set(line());
    }
}

#[tokio::test]
async fn a_panic_is_a_failure_and_ends_the_invocation() {
    let last = Cell::default();
    let panics = scope("a-function", async {
        let _at_the_end = AtTheEnd(&last);
        count(Metric::ClerkApiCalls);
        panic!("on purpose")
    });
    let panic: Result<(), _> = AssertUnwindSafe(panics).catch_unwind().await;
    assert!(panic.is_err());
    let last = last.take();
    assert_eq!(
        (&last["Failed"], &last["ClerkApiCalls"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(line_of(|| {}).await["Failed"], 0);
}
