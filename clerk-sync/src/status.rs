//! `status`: how the two sides stand, as `GET /api/admin/sync/overview` shows it.

use jiff::Timestamp;
use serde_json::Value;

use crate::End;
use crate::output::Output;
use crate::setup::{Error, Setup};
use crate::words;

pub(crate) async fn run(setup: &Setup, output: Output) -> Result<End, Error> {
    let overview = setup.db()?.overview().await?;
    let overview = serde_json::to_value(overview).map_err(std::io::Error::from)?;
    output.answer(&overview, || text(&View(&overview)))?;
    Ok(End::Good)
}

/// The overview in the form that the route answers with.
struct View<'a>(&'a Value);

impl View<'_> {
    fn number(&self, pointer: &str) -> i64 {
        let number = self.0.pointer(pointer).and_then(Value::as_i64);
        number.unwrap_or(0)
    }

    fn text(&self, pointer: &str) -> Option<&str> {
        self.0.pointer(pointer).and_then(Value::as_str)
    }

    fn time(&self, pointer: &str) -> Option<String> {
        let at: Timestamp = self.text(pointer)?.parse().ok()?;
        Some(words::time(at))
    }

    fn milliseconds(&self, pointer: &str) -> String {
        let ms = self.0.pointer(pointer).and_then(Value::as_i64);
        ms.map_or("?".to_owned(), |ms| format!("{ms} ms"))
    }

    /// The counts of an object that are not 0.
    fn counts(&self, pointer: &str) -> String {
        let counts = self.0.pointer(pointer).and_then(Value::as_object);
        let counts = counts.into_iter().flatten();
        let words: Vec<_> = counts
            .filter(|(_, n)| n.as_i64().is_some_and(|n| n > 0))
            .map(|(name, n)| format!("{n} {name}"))
            .collect();
        if words.is_empty() {
            return "none".to_owned();
        }
        words.join(", ")
    }

    /// How long the oldest one waits.
    fn oldest(&self, pointer: &str) -> String {
        let age = self.0.pointer(pointer).and_then(Value::as_i64);
        let words = age.map(|age| format!(", the oldest for {}", words::seconds(age)));
        words.unwrap_or_default()
    }
}

fn text(view: &View<'_>) -> String {
    words::pairs(&[
        (
            "events, last 24 h",
            view.counts("/deliveries/countsUpTo100000/last24Hours"),
        ),
        (
            "events, all time",
            view.counts("/deliveries/countsUpTo100000/allTime"),
        ),
        ("lag of the last 24 h", lag(view)),
        ("owed to Clerk", outbox(view)),
        ("for a person", dead(view)),
        ("parked", parked(view)),
        ("to ask Clerk about", flagged(view)),
        ("differences", drift(view)),
        ("last comparison", run_of(view, "/lastRun")),
        ("under way", under_way(view)),
        ("endpoint", endpoint(view)),
        ("missed events", missed(view)),
    ])
}

fn lag(view: &View<'_>) -> String {
    let n_events = view.number("/lagOfLast24Hours/nEvents");
    if n_events == 0 {
        return "no events".to_owned();
    }
    format!(
        "p50 {}, p95 {}, p99 {} of {}",
        view.milliseconds("/lagOfLast24Hours/p50Ms"),
        view.milliseconds("/lagOfLast24Hours/p95Ms"),
        view.milliseconds("/lagOfLast24Hours/p99Ms"),
        words::n_of(n_events, "event")
    )
}

fn outbox(view: &View<'_>) -> String {
    let depth = words::n_of(view.number("/outbox/depth"), "role");
    format!("{depth}{}", view.oldest("/outbox/oldestAgeSeconds"))
}

fn dead(view: &View<'_>) -> String {
    format!(
        "{}, {}",
        words::n_of(view.number("/dead/events"), "dead event"),
        words::n_of(view.number("/dead/rolePushes"), "undelivered role"),
    )
}

fn parked(view: &View<'_>) -> String {
    let events = words::n_of(view.number("/parked/events"), "event");
    format!("{events}{}", view.oldest("/parked/oldestAgeSeconds"))
}

fn flagged(view: &View<'_>) -> String {
    let n_walks =
        view.number("/flagged/walksOfUsers") + view.number("/flagged/walksOfOrganizations");
    format!(
        "{}, {}, {}, {}",
        words::n_of(view.number("/flagged/users"), "user"),
        words::n_of(view.number("/flagged/organizations"), "organization"),
        words::n_of(view.number("/flagged/memberships"), "membership"),
        words::n_of(n_walks, "list")
    )
}

fn drift(view: &View<'_>) -> String {
    let Some(run) = view.text("/drift/runId") else {
        return "nothing was compared yet".to_owned();
    };
    format!(
        "{} open ({}); scripts/sync drift --run {run}",
        view.number("/drift/open"),
        view.counts("/drift/byClass")
    )
}

fn run_of(view: &View<'_>, pointer: &str) -> String {
    let of = |name: &str| format!("{pointer}/{name}");
    let Some(id) = view.text(&of("id")) else {
        return "none".to_owned();
    };
    let word = |name: &str| view.text(&of(name)).unwrap_or_default().to_owned();
    let ended = view.time(&of("finishedAt"));
    let ended = ended.map(|at| format!(", ended {at}"));
    format!(
        "{id} ({}, {}), begun {}{}",
        word("mode"),
        word("state"),
        view.time(&of("createdAt")).unwrap_or_default(),
        ended.unwrap_or_default()
    )
}

/// The run that is under way, and how far it is.
fn under_way(view: &View<'_>) -> String {
    let run = run_of(view, "/currentRun");
    let counts = [
        ("users", "users listed"),
        ("organizations", "organizations listed"),
        ("memberships", "memberships listed"),
        ("asked", "asked about alone"),
        ("compared", "compared"),
        ("repaired", "mended"),
    ];
    let told = counts.into_iter().filter_map(|(name, words)| {
        let of = |part: &str| view.number(&format!("/currentRun/progress/{name}/{part}"));
        let (done, total) = (of("done"), of("total"));
        (total > 0).then(|| format!("; {done} of {total} {words}"))
    });
    format!("{run}{}", told.collect::<String>())
}

fn endpoint(view: &View<'_>) -> String {
    let last = view.time("/outage/lastEventAt");
    let last = last.map_or("no event yet".to_owned(), |at| format!("last event {at}"));
    let Some(since) = view.time("/outage/silentSince") else {
        return last;
    };
    let disabled = view.time("/outage/endpointDisabledAt");
    let disabled = disabled.map(|at| format!("; Svix gives the endpoint up {at}"));
    format!(
        "{last}; SILENT though Clerk changed since {since}{}",
        disabled.unwrap_or_default()
    )
}

fn missed(view: &View<'_>) -> String {
    let Some(oldest) = view.time("/outage/oldestMissedAt") else {
        return "none is known that may yet come".to_owned();
    };
    let given_up = view.time("/outage/messageGivenUpAt").unwrap_or_default();
    format!("the oldest is of {oldest}; Svix gives it up {given_up}")
}
