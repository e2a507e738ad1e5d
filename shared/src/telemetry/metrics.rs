//! The metrics: one line on stdout for each invocation, in the embedded metric format.
//!
//! What happens is noted where it happens, on a sheet that belongs to the task: no signature
//! carries it. Outside of an invocation a note goes nowhere.
//! `CloudWatch` takes the numbers out of the line; where there is none, it is a line of the log.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::Write as _;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde::{Serialize, Serializer};
use serde_json::{Value, json};

/// The name under which `CloudWatch` keeps the metrics.
const NAMESPACE: &str = "clerk-sync";
/// How many values of one metric a line may hold.
const MAX_VALUES: usize = 100;
/// The types of events that are handled.
/// Whoever signs may write any other, and each value of a dimension is a metric that costs.
const EVENT_TYPES: [&str; 9] = [
    "user.created",
    "user.updated",
    "user.deleted",
    "organization.created",
    "organization.updated",
    "organization.deleted",
    "organizationMembership.created",
    "organizationMembership.updated",
    "organizationMembership.deleted",
];
/// All other types together.
const OTHER_TYPE: &str = "other";
/// Who looks at a rate needs its zeros: a line with the second of a pair has the first as well.
const RATES: [(Metric, Metric); 6] = [
    (Metric::Failed, Metric::Duration),
    (Metric::DatabaseFailures, Metric::DatabaseTime),
    (Metric::ClerkFailures, Metric::ClerkApiCalls),
    (Metric::ClerkRateLimited, Metric::ClerkApiCalls),
    (Metric::SyncFailure, Metric::SyncSuccess),
    (Metric::SyncSuccess, Metric::SyncFailure),
];

tokio::task_local! {
    static SHEET: RefCell<Sheet>;
}

/// Something that is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Metric {
    /// How long the whole invocation took.
    Duration,
    /// A request that was refused: an answer of 4xx.
    Refused,
    /// A request or a run that failed: an answer of 5xx, an error.
    Failed,
    /// An event that was taken in.
    Events,
    /// How old a version of Clerk's was when it was stored.
    ApplyLag,
    /// Something was made equal on both sides.
    SyncSuccess,
    /// Something could not be made equal, for now or for good.
    SyncFailure,
    /// A request to Clerk, each try by itself.
    ClerkApiCalls,
    /// How long a request to Clerk took.
    ClerkApiTime,
    /// Clerk answered 429.
    ClerkRateLimited,
    /// Clerk was not reached, or not in time, or was in trouble.
    ClerkFailures,
    /// How long a round trip to the database took, with connecting where it had to be.
    DatabaseTime,
    /// The database was not reached, or refused for another reason than the values.
    DatabaseFailures,
    /// How many entries of the outbox are open.
    OutboxDepth,
    /// How old the oldest of them is.
    OutboxAge,
    /// Objects of Clerk's that do not live here, of the last comparison.
    DriftMissing,
    /// Rows that are not as Clerk has them.
    DriftStale,
    /// Rows that let somebody do more than Clerk grants.
    DriftStaleHigh,
    /// Rows that Clerk does not know.
    DriftOrphaned,
    /// Rows that share an address.
    DriftDuplicateEmail,
    /// Roles in Clerk that are none.
    DriftUnknownRole,
}

/// What was noted within one invocation; it is written when it is dropped.
struct Sheet {
    function: String,
    begun_at: Instant,
    request_id: Option<String>,
    event: Option<Event>,
    counts: BTreeMap<Metric, u64>,
    series: BTreeMap<Metric, Series>,
}

/// The values of one metric.
#[derive(Default)]
struct Series {
    n_noted: usize,
    /// All of them, or a fair sample.
    kept: Vec<f64>,
}

/// An event that was taken in.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Event {
    event_type: &'static str,
    outcome: &'static str,
}

/// What is written; the values lie beside their description, as the format wants it.
#[derive(Serialize)]
struct Line<'a> {
    #[serde(rename = "_aws")]
    metadata: Value,
    /// Every line of the log has one.
    level: &'static str,
    #[serde(rename = "Function")]
    function: &'a str,
    #[serde(rename = "requestId", skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
    #[serde(flatten)]
    event: Option<&'a Event>,
    #[serde(flatten)]
    counts: &'a BTreeMap<Metric, u64>,
    #[serde(flatten)]
    series: &'a BTreeMap<Metric, Series>,
}

/// Does the work of one invocation, and writes its line when it ends, however it ends.
/// Within another invocation it is a part of that one.
pub async fn scope<F: Future>(function: &str, work: F) -> F::Output {
    if SHEET.try_with(|_| ()).is_ok() {
        return work.await;
    }
    let sheet = RefCell::new(Sheet::new(function));
    SHEET.scope(sheet, work).await
}

/// Counts one.
pub fn count(metric: Metric) {
    note(|sheet| sheet.add(metric, 1));
}

/// Notes how long something took.
pub fn time(metric: Metric, took: Duration) {
    note(|sheet| sheet.push(metric, milliseconds(took)));
}

/// Names the request, for those who look for it in the log; nothing is no name.
pub fn request_id(id: &str) {
    note(|sheet| sheet.request_id = Some(id.to_owned()).filter(|id| !id.is_empty()));
}

/// Counts the one event that this invocation took in.
/// The outcome is a word of ours; the type is whatever the sender wrote.
pub fn event(event_type: &str, outcome: &'static str) {
    let known = EVENT_TYPES.into_iter().find(|known| *known == event_type);
    let event_type = known.unwrap_or(OTHER_TYPE);
    note(|sheet| {
        sheet.event = Some(Event {
            event_type,
            outcome,
        });
    });
}

/// Notes how old a version of Clerk's is, in milliseconds since 1970, now that it is stored.
pub fn apply_lag(version_ms: i64) {
    let lag = Timestamp::now().as_millisecond().saturating_sub(version_ms);
    let lag = Duration::from_millis(lag.max(0).unsigned_abs());
    time(Metric::ApplyLag, lag);
}

/// Counts one success, or one failure, in making both sides equal.
pub fn sync_result(is_success: bool) {
    count(if is_success {
        Metric::SyncSuccess
    } else {
        Metric::SyncFailure
    });
}

/// Notes how many entries of the outbox are open, and the age of the oldest; of none it is 0.
pub fn outbox(n_open: u64, oldest_age: Option<Duration>) {
    let age = oldest_age.unwrap_or_default().as_secs();
    note(|sheet| {
        sheet.counts.insert(Metric::OutboxDepth, n_open);
        sheet.counts.insert(Metric::OutboxAge, age);
    });
}

/// Notes how many differences of a class a comparison found.
pub fn drift(class: &str, n: u64) {
    let metric = match class {
        "missing" => Metric::DriftMissing,
        "stale" => Metric::DriftStale,
        "stale_high" => Metric::DriftStaleHigh,
        "orphaned" => Metric::DriftOrphaned,
        "duplicate_email" => Metric::DriftDuplicateEmail,
        "unknown_role" => Metric::DriftUnknownRole,
        _ => return,
    };
    note(|sheet| {
        sheet.counts.insert(metric, n);
    });
}

fn note(write_down: impl FnOnce(&mut Sheet)) {
    // Without an invocation there is no sheet.
    let _: Result<(), _> = SHEET.try_with(|sheet| write_down(&mut sheet.borrow_mut()));
}

fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

impl Metric {
    fn unit(self) -> &'static str {
        match self {
            Self::Duration | Self::ApplyLag | Self::ClerkApiTime | Self::DatabaseTime => {
                "Milliseconds"
            }
            Self::OutboxAge => "Seconds",
            Self::Refused
            | Self::Failed
            | Self::Events
            | Self::SyncSuccess
            | Self::SyncFailure
            | Self::ClerkApiCalls
            | Self::ClerkRateLimited
            | Self::ClerkFailures
            | Self::DatabaseFailures
            | Self::OutboxDepth
            | Self::DriftMissing
            | Self::DriftStale
            | Self::DriftStaleHigh
            | Self::DriftOrphaned
            | Self::DriftDuplicateEmail
            | Self::DriftUnknownRole => "Count",
        }
    }
}

impl Sheet {
    fn new(function: &str) -> Self {
        Self {
            function: function.to_owned(),
            begun_at: Instant::now(),
            request_id: None,
            event: None,
            counts: BTreeMap::new(),
            series: BTreeMap::new(),
        }
    }

    fn add(&mut self, metric: Metric, n: u64) {
        *self.counts.entry(metric).or_default() += n;
    }

    fn push(&mut self, metric: Metric, value: f64) {
        self.series.entry(metric).or_default().push(value);
    }

    /// Notes what is only known at the end.
    fn close(&mut self) {
        self.push(Metric::Duration, milliseconds(self.begun_at.elapsed()));
        if std::thread::panicking() {
            self.add(Metric::Failed, 1);
        }
        if self.event.is_some() {
            self.add(Metric::Events, 1);
        }
        for (part, whole) in RATES {
            if self.counts.contains_key(&whole) || self.series.contains_key(&whole) {
                self.add(part, 0);
            }
        }
    }

    fn line(&self, at: Timestamp) -> Line<'_> {
        let metrics = self.counts.keys().chain(self.series.keys());
        let (of_events, all_others): (Vec<_>, Vec<_>) =
            metrics.partition(|&&metric| metric == Metric::Events);
        let mut directives = vec![directive(&json!([["Function"]]), &all_others)];
        if !of_events.is_empty() {
            let dimensions = json!([["Function"], ["Function", "EventType", "Outcome"]]);
            directives.push(directive(&dimensions, &of_events));
        }
        let metadata = json!({
            "Timestamp": at.as_millisecond(),
            "CloudWatchMetrics": directives,
        });
        Line {
            metadata,
            level: "INFO",
            function: &self.function,
            request_id: self.request_id.as_deref(),
            event: self.event.as_ref(),
            counts: &self.counts,
            series: &self.series,
        }
    }
}

/// What `CloudWatch` shall make of the line: these metrics, by these dimensions.
fn directive(dimensions: &Value, metrics: &[&Metric]) -> Value {
    let definition = |metric: &&Metric| json!({ "Name": metric, "Unit": metric.unit() });
    let definitions: Vec<Value> = metrics.iter().map(definition).collect();
    json!({ "Namespace": NAMESPACE, "Dimensions": dimensions, "Metrics": definitions })
}

impl Drop for Sheet {
    fn drop(&mut self) {
        self.close();
        let mut line = serde_json::to_vec(&self.line(Timestamp::now())).unwrap_or_default();
        line.push(b'\n');
        let mut stdout = std::io::stdout().lock();
        // A number that nobody takes is no reason to fail.
        drop(stdout.write_all(&line).and_then(|()| stdout.flush()));
    }
}

impl Series {
    fn push(&mut self, value: f64) {
        self.n_noted += 1;
        if self.kept.len() < MAX_VALUES {
            self.kept.push(value);
        } else if let Some(place) = self.kept.get_mut(fastrand::usize(..self.n_noted)) {
            *place = value;
        }
    }
}

impl Serialize for Series {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.kept.as_slice() {
            [value] => value.serialize(serializer),
            values => values.serialize(serializer),
        }
    }
}

#[cfg(test)]
mod tests;
