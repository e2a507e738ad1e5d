//! Decides what a user seen in Clerk does to our row. No I/O.

use jiff::Timestamp;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::role;
use crate::clerk;
use crate::db::Role;
use crate::db::users::{Current, PushChange, Row};
use crate::ids::ClerkUserId;

/// How the user was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// In an event, which may be late.
    Event,
    /// In Clerk's answer to a change of ours.
    Answer,
    /// By asking Clerk: what it says is the truth, also where versions are equal.
    Read,
}

/// What a user seen in Clerk does to our row.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Merged {
    /// What was decided.
    pub(super) verdict: Verdict,
    /// The rule that decided.
    pub(super) rule: &'static str,
    /// The row as it shall be.
    pub(super) row: Row,
    /// The columns that change.
    pub(super) changed: Vec<&'static str>,
    /// What becomes of the role push.
    pub(super) push: Option<PushChange>,
    /// Whether Clerk's role is none of ours (R8).
    pub(super) has_unknown_role: bool,
}

/// What was decided about a user seen in Clerk.
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

/// Decides what `seen` does to the row (R1, R2, R3, R5, R8).
pub(super) fn merge(current: &Current, seen: &clerk::User, origin: Origin) -> Merged {
    let Some(row) = &current.row else {
        return mirrored(&new_row(seen), current, seen, "R1");
    };
    if row.deleted_at.is_some() {
        return kept(row, Verdict::Stale, "R3");
    }
    if row.clerk_id.is_none() {
        return mirrored(row, current, seen, "R5");
    }
    let version = version(seen);
    if version < row.clerk_version {
        return kept(row, Verdict::Stale, "R2");
    }
    let merged = mirrored(row, current, seen, "R2");
    if version > row.clerk_version {
        return merged;
    }
    match origin {
        Origin::Read => settled(merged),
        // That this one is the same says nothing about the one that is in doubt.
        Origin::Event | Origin::Answer if is_same_version(&merged) => Merged {
            row: Row {
                refetch_at: row.refetch_at,
                n_refetches: row.n_refetches,
                ..merged.row.clone()
            },
            ..settled(merged)
        },
        Origin::Event | Origin::Answer => kept(row, Verdict::Doubtful, "R2"),
    }
}

/// Decides what the end of a user does to the row (R3): a tombstone, also for one never seen.
pub(super) fn bury(current: &Current, id: &ClerkUserId, at: Timestamp) -> Merged {
    let row = current.row.clone().unwrap_or_else(|| Row {
        clerk_id: Some(id.clone()),
        is_placeholder: true,
        ..empty_row(at)
    });
    if row.deleted_at.is_some() {
        return kept(&row, Verdict::Unchanged, "R3");
    }
    let push = current
        .push
        .as_ref()
        .map(|push| PushChange::Cancel { id: push.id });
    Merged {
        verdict: Verdict::Applied,
        rule: "R3",
        row: Row {
            deleted_at: Some(at),
            refetch_at: None,
            n_refetches: 0,
            ..row
        },
        changed: vec!["deleted_at"],
        push,
        has_unknown_role: false,
    }
}

/// A sign-in moves its own time and not the version: it only ever grows, so the later one is true.
fn is_same_version(merged: &Merged) -> bool {
    merged
        .changed
        .iter()
        .all(|column| *column == "last_sign_in_at")
}

fn settled(merged: Merged) -> Merged {
    let is_same = merged.changed.is_empty();
    Merged {
        verdict: if is_same {
            Verdict::Unchanged
        } else {
            Verdict::Applied
        },
        ..merged
    }
}

/// The version of an object: its `updated_at` in ms; none is older than everything.
pub(super) fn version(seen: &clerk::User) -> i64 {
    seen.updated_at.unwrap_or_default()
}

fn kept(row: &Row, verdict: Verdict, rule: &'static str) -> Merged {
    let row = row.clone();
    Merged {
        verdict,
        rule,
        row,
        changed: Vec::new(),
        push: None,
        has_unknown_role: false,
    }
}

fn mirrored(row: &Row, current: &Current, seen: &clerk::User, rule: &'static str) -> Merged {
    let known = role::Known {
        ours: row.role,
        base: row.clerk_role.as_deref(),
        push: current.push.as_ref(),
    };
    let merged = role::merge(known, seen.role(), version(seen));
    let email = seen.primary_email();
    let new = Row {
        clerk_id: Some(seen.id.clone()),
        email: email.map(|email| storable(email.address)),
        email_verified: email.is_some_and(|email| email.is_verified),
        first_name: text(seen.first_name.as_deref()),
        last_name: text(seen.last_name.as_deref()),
        username: text(seen.username.as_deref()),
        image_url: text(seen.image_url.as_deref()),
        external_id: text(seen.external_id.as_deref()),
        role: merged.role,
        clerk_role: merged.base,
        role_owned_by_directory: row.role_owned_by_directory && seen.is_managed_by_directory(),
        public_metadata: storable_map(&seen.public_metadata),
        banned: seen.banned,
        locked: seen.locked,
        deprovisioned: seen.deprovisioned,
        is_placeholder: false,
        last_sign_in_at: row
            .last_sign_in_at
            .max(seen.last_sign_in_at.and_then(timestamp)),
        clerk_version: version(seen),
        refetch_at: None,
        n_refetches: 0,
        ..row.clone()
    };
    Merged {
        verdict: Verdict::Applied,
        rule,
        changed: changed_columns(current.row.as_ref(), &new),
        row: new,
        push: merged.push,
        has_unknown_role: merged.is_unknown,
    }
}

/// A column, and how its value is read for comparison.
type Column = (&'static str, fn(&Row) -> Value);

/// The columns that show what Clerk shows.
const COLUMNS: [Column; 17] = [
    ("clerk_id", |row| {
        row.clerk_id.as_ref().map(ToString::to_string).into()
    }),
    ("email", |row| row.email.clone().into()),
    ("email_verified", |row| row.email_verified.into()),
    ("first_name", |row| row.first_name.clone().into()),
    ("last_name", |row| row.last_name.clone().into()),
    ("username", |row| row.username.clone().into()),
    ("image_url", |row| row.image_url.clone().into()),
    ("external_id", |row| row.external_id.clone().into()),
    ("role", |row| row.role.as_str().into()),
    ("clerk_role", |row| row.clerk_role.clone().into()),
    ("role_owned_by_directory", |row| {
        row.role_owned_by_directory.into()
    }),
    ("public_metadata", |row| {
        Value::Object(row.public_metadata.clone())
    }),
    ("banned", |row| row.banned.into()),
    ("locked", |row| row.locked.into()),
    ("deprovisioned", |row| row.deprovisioned.into()),
    ("is_placeholder", |row| row.is_placeholder.into()),
    ("last_sign_in_at", |row| {
        row.last_sign_in_at.map(Timestamp::as_millisecond).into()
    }),
];

/// The columns in which the two differ; all of them for a row that is new.
fn changed_columns(old: Option<&Row>, new: &Row) -> Vec<&'static str> {
    let is_changed = |(_, value): &Column| old.is_none_or(|old| !is_same(&value(old), &value(new)));
    COLUMNS
        .into_iter()
        .filter(is_changed)
        .map(|(name, _)| name)
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

fn new_row(seen: &clerk::User) -> Row {
    empty_row(
        seen.created_at
            .and_then(timestamp)
            .unwrap_or_else(Timestamp::now),
    )
}

fn empty_row(created_at: Timestamp) -> Row {
    Row {
        id: Uuid::new_v4(),
        clerk_id: None,
        email: None,
        email_verified: false,
        first_name: None,
        last_name: None,
        name: None,
        username: None,
        image_url: None,
        external_id: None,
        role: Role::Student,
        clerk_role: None,
        role_owned_by_directory: false,
        public_metadata: Map::new(),
        builder_group_id: None,
        banned: false,
        locked: false,
        deprovisioned: false,
        is_placeholder: false,
        last_sign_in_at: None,
        clerk_version: 0,
        refetch_at: None,
        n_refetches: 0,
        confirmed_at: None,
        created_at,
        updated_at: None,
        deleted_at: None,
        row_version: None,
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

#[cfg(test)]
mod tests;
