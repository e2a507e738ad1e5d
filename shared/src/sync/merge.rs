//! Decides what is seen in Clerk does to our rows. No I/O.
//!
//! One file for each kind of object; what they share is here.

pub(super) mod membership;
pub(super) mod organization;
pub(super) mod user;

use jiff::Timestamp;
use serde_json::{Map, Value};
use uuid::Uuid;

/// How an object was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// In an event, which may be late.
    Event,
    /// In Clerk's answer to a change of ours.
    Answer,
    /// By asking Clerk: what it says is the truth, also where versions are equal.
    Read,
    /// In a list that was read a while ago; a role here that is on no way to Clerk has no claim.
    Listed,
    /// By asking Clerk about a row that was found to differ (R14), and that nobody has touched since
    /// this time: what Clerk says is the truth, also about a version that is too high here, and a role
    /// that is on no way to Clerk.
    Repair {
        /// When Clerk's lists were begun to be read.
        since: Timestamp,
    },
}

impl Origin {
    /// Whether Clerk was asked about just this object just now.
    pub(super) fn is_read(self) -> bool {
        matches!(self, Self::Read | Self::Repair { .. })
    }
}

/// What was decided about an object seen in Clerk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The row becomes what was seen.
    Applied,
    /// It is already.
    Unchanged,
    /// The row is newer, or a tombstone.
    Stale,
    /// Of the same version and different: Clerk has to be asked.
    Doubtful,
}

/// A row that shows an object of Clerk's.
pub(super) trait Mirror {
    /// Which row it is.
    fn id(&self) -> Uuid;

    /// Whether both show the same of Clerk, and of the same version.
    fn shows_the_same(&self, other: &Self) -> bool;
}

/// What the row is that something was seen of.
#[derive(Debug, Clone, Copy)]
struct Held {
    version: i64,
    /// When it was written, or known to be what Clerk has.
    touched_at: Option<Timestamp>,
}

/// Compares what was seen with the row that it is about (R2); `is_same` if they show the same.
fn by_version(seen: i64, row: Held, origin: Origin, is_same: bool) -> Verdict {
    if seen < row.version {
        return older(row, origin);
    }
    if seen > row.version {
        return Verdict::Applied;
    }
    match (origin, is_same) {
        (_, true) => Verdict::Unchanged,
        (Origin::Read | Origin::Repair { .. }, false) => Verdict::Applied,
        (Origin::Event | Origin::Answer | Origin::Listed, false) => Verdict::Doubtful,
    }
}

/// Nobody told us of a version that Clerk does not have, and that was here before its lists were read.
fn older(row: Held, origin: Origin) -> Verdict {
    match origin {
        Origin::Repair { since } if row.touched_at < Some(since) => Verdict::Applied,
        _ => Verdict::Stale,
    }
}

/// A column, and how its value is read for comparison.
type Column<R> = (&'static str, fn(&R) -> Value);

/// The columns in which the two differ; all of them for a row that is new.
fn changed<R>(columns: &[Column<R>], old: Option<&R>, new: &R) -> Vec<&'static str> {
    let is_changed =
        |(_, value): &&Column<R>| old.is_none_or(|old| !is_same(&value(old), &value(new)));
    columns
        .iter()
        .filter(is_changed)
        .map(|(name, _)| *name)
        .collect()
}

/// Equal as JSON, where 1 and 1.0 are one number: Postgres writes numbers in its own way.
fn is_same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => {
            left == right || left.as_f64() == right.as_f64()
        }
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(a, b)| is_same(a, b))
        }
        (Value::Object(left), Value::Object(right)) => {
            left.len() == right.len()
                && left
                    .iter()
                    .all(|(key, a)| right.get(key).is_some_and(|b| is_same(a, b)))
        }
        _ => left == right,
    }
}

fn timestamp(ms: i64) -> Option<Timestamp> {
    Timestamp::from_millisecond(ms).ok()
}

fn text(text: Option<&str>) -> Option<String> {
    text.map(storable)
}

/// Postgres has no NUL in text.
fn storable(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

fn storable_map(map: &Map<String, Value>) -> Map<String, Value> {
    map.iter()
        .map(|(key, value)| (storable(key), storable_value(value)))
        .collect()
}

fn storable_value(value: &Value) -> Value {
    match value {
        Value::String(text) => Value::String(storable(text)),
        Value::Array(items) => items.iter().map(storable_value).collect(),
        Value::Object(map) => Value::Object(storable_map(map)),
        other => other.clone(),
    }
}
