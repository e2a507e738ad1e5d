//! Writes what was seen in Clerk: read, merge, write, and again where others were faster.

use std::collections::HashSet;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use super::merge::{self, Merged, Origin, Verdict};
use crate::clerk;
use crate::db::inbox::{self, Entry};
use crate::db::role_changes::{self, Source};
use crate::db::users::{Confirms, Current, Key, Row, Write};
use crate::db::{self, Db};
use crate::ids::ClerkUserId;

/// How often a row is read again that others changed before we wrote.
const N_TRIES: u32 = 8;

/// Something seen in Clerk.
#[derive(Debug, Clone)]
pub(super) struct Sighting<'a> {
    /// Whom it is about.
    pub(super) clerk_id: &'a ClerkUserId,
    /// What was seen.
    pub(super) seen: Seen<'a>,
    /// The delivery that it comes from.
    pub(super) delivery: Option<&'a Entry>,
    /// What to do when Clerk would have to be asked.
    pub(super) in_doubt: InDoubt,
}

/// What was seen of a user.
#[derive(Debug, Clone, Copy)]
pub(super) enum Seen<'a> {
    /// The whole object.
    User(&'a clerk::User, Origin),
    /// Its end.
    Deleted(Timestamp),
}

/// What to do with a sighting of the same version as the row and different from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum InDoubt {
    /// Write nothing: the caller asks Clerk.
    Tell,
    /// Flag the row, so that `reconcile` asks.
    Flag,
}

/// What came of a sighting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Applied {
    /// What was decided.
    pub(super) outcome: Outcome,
    /// The role push was closed by it: nothing is owed any more.
    pub(super) is_push_closed: bool,
}

/// What was decided about a sighting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The delivery was known.
    Duplicate,
    /// It was written.
    Applied,
    /// Something newer was there.
    Stale,
    /// Clerk has to be asked: the row is flagged, or nothing was written, as the caller wished.
    Doubtful,
}

/// Applies one sighting: two round trips, one for a duplicate.
pub(super) async fn apply_one(db: &Db, sighting: Sighting<'_>) -> Result<Applied, db::Error> {
    let mut applied = apply(db, std::slice::from_ref(&sighting)).await?;
    applied.pop().ok_or_else(db::Error::contended)
}

/// Applies sightings, at most one of each user, all together in two round trips.
pub(super) async fn apply(db: &Db, sightings: &[Sighting<'_>]) -> Result<Vec<Applied>, db::Error> {
    let mut results: Vec<Option<Applied>> = vec![None; sightings.len()];
    for n_tries in 0..N_TRIES {
        let open: Vec<usize> = open_places(&results);
        if open.is_empty() {
            break;
        }
        if n_tries > 0 {
            tokio::time::sleep(Duration::from_millis(fastrand::u64(0..5 << n_tries))).await;
        }
        let sighted: Vec<&Sighting<'_>> = open.iter().filter_map(|&at| sightings.get(at)).collect();
        let answers = apply_once(db, &sighted, n_tries > 0).await?;
        for (place, answer) in open.into_iter().zip(answers) {
            if let Some(result) = results.get_mut(place) {
                *result = answer;
            }
        }
    }
    results
        .into_iter()
        .collect::<Option<Vec<_>>>()
        .ok_or_else(db::Error::contended)
}

fn open_places(results: &[Option<Applied>]) -> Vec<usize> {
    let is_open = |(place, result): (usize, &Option<Applied>)| result.is_none().then_some(place);
    results.iter().enumerate().filter_map(is_open).collect()
}

/// One read, one write; none for sightings whose row changed between the two.
async fn apply_once(
    db: &Db,
    sightings: &[&Sighting<'_>],
    is_repeated: bool,
) -> Result<Vec<Option<Applied>>, db::Error> {
    let keys: Vec<Key<'_>> = sightings.iter().map(|sighting| sighting.key()).collect();
    let currents = db.current_users(&keys).await?;
    let mut results = vec![None; sightings.len()];
    let mut writes = Vec::new();
    let mut places = Vec::new();
    let mut rows = HashSet::new();
    for (place, (sighting, current)) in sightings.iter().zip(&currents).enumerate() {
        let plan = plan(sighting, current, is_repeated);
        match plan {
            Plan::Nothing(outcome) => {
                let answer = Applied {
                    outcome,
                    is_push_closed: current.push.is_none(),
                };
                if let Some(result) = results.get_mut(place) {
                    *result = Some(answer);
                }
            }
            // Two sightings of one row cannot be written at once: the second waits its turn.
            Plan::Write { write, .. } if is_taken(&mut rows, &write) => {}
            Plan::Write { write, applied } => {
                writes.push(*write);
                places.push((place, applied));
            }
        }
    }
    if writes.is_empty() {
        return Ok(results);
    }
    let written = match db.write_users(&writes).await {
        // Somebody else gave this Clerk id to another row meanwhile.
        Err(error) if error.is_unique_violation() => return Ok(results),
        result => result?,
    };
    for ((place, applied), is_done) in places.into_iter().zip(written.is_done) {
        if let Some(result) = results.get_mut(place).filter(|_| is_done) {
            *result = Some(applied);
        }
    }
    if written.no_admin_left {
        alarm_no_admin_left();
    }
    Ok(results)
}

/// Clerk took the last admin away (R13): mirrored, and somebody has to know.
pub(super) fn alarm_no_admin_left() {
    tracing::error!(
        alarm = "no_admin_left",
        "the last admin was removed or demoted in Clerk: nobody can administer this application"
    );
}

fn is_taken(rows: &mut HashSet<Uuid>, write: &Write) -> bool {
    write.row.as_ref().is_some_and(|row| !rows.insert(row.id))
}

enum Plan {
    Nothing(Outcome),
    Write { write: Box<Write>, applied: Applied },
}

fn plan(sighting: &Sighting<'_>, current: &Current, is_repeated: bool) -> Plan {
    if current.is_recorded {
        return Plan::Nothing(Outcome::Duplicate);
    }
    let merged = match sighting.seen {
        // What was read before somebody else wrote is no longer the truth about equal versions.
        Seen::User(user, Origin::Read) if is_repeated => merge::merge(current, user, Origin::Event),
        Seen::User(user, origin) => merge::merge(current, user, origin),
        Seen::Deleted(at) => merge::bury(current, sighting.clerk_id, at),
    };
    match merged.verdict {
        Verdict::Doubtful if sighting.in_doubt == InDoubt::Tell => Plan::Nothing(Outcome::Doubtful),
        Verdict::Doubtful => flag(sighting, current, merged),
        // Clerk answered from a copy that lags behind: it has to be asked again.
        Verdict::Stale if is_read(sighting) && merged.rule == "R2" => {
            flag(sighting, current, merged)
        }
        Verdict::Stale if sighting.delivery.is_none() => Plan::Nothing(Outcome::Stale),
        Verdict::Stale => record(sighting, current, &merged, Outcome::Stale),
        // An echo: only that it came is written down.
        Verdict::Unchanged if is_echo(sighting, &merged) => {
            record(sighting, current, &merged, Outcome::Applied)
        }
        Verdict::Applied | Verdict::Unchanged => write(sighting, current, merged),
    }
}

fn is_read(sighting: &Sighting<'_>) -> bool {
    matches!(sighting.seen, Seen::User(_, Origin::Read))
}

fn is_echo(sighting: &Sighting<'_>, merged: &Merged) -> bool {
    sighting.delivery.is_some() && !is_read(sighting) && merged.push.is_none()
}

/// Only the delivery is written: the row stays as it is.
fn record(sighting: &Sighting<'_>, current: &Current, merged: &Merged, outcome: Outcome) -> Plan {
    let recorded = match outcome {
        Outcome::Applied => inbox::Outcome::Applied,
        _ => inbox::Outcome::Stale,
    };
    let write = Write {
        inbox: entry(sighting, current, merged, recorded),
        ..Write::default()
    };
    let applied = Applied {
        outcome,
        is_push_closed: false,
    };
    Plan::Write {
        write: Box::new(write),
        applied,
    }
}

/// The row is flagged, and the delivery waits until Clerk was asked.
fn flag(sighting: &Sighting<'_>, current: &Current, merged: Merged) -> Plan {
    let write = Write {
        inbox: entry(sighting, current, &merged, inbox::Outcome::Parked),
        row: Some(Row {
            refetch_at: Some(Timestamp::now()),
            ..merged.row
        }),
        ..Write::default()
    };
    let outcome = Outcome::Doubtful;
    let applied = Applied {
        outcome,
        is_push_closed: false,
    };
    Plan::Write {
        write: Box::new(write),
        applied,
    }
}

fn write(sighting: &Sighting<'_>, current: &Current, merged: Merged) -> Plan {
    let old = current.row.as_ref();
    let confirms = match sighting.seen {
        Seen::User(_, Origin::Read | Origin::Answer) => Some(Confirms::Now),
        Seen::User(_, Origin::Event) => Some(Confirms::AsOfVersion),
        Seen::Deleted(_) => None,
    };
    let is_push_closed = match merged.push {
        Some(db::users::PushChange::Open) => false,
        Some(_) => true,
        None => current.push.is_none(),
    };
    let write = Write {
        inbox: entry(sighting, current, &merged, inbox::Outcome::Applied),
        confirms,
        touches: !merged.changed.is_empty(),
        role_change: role_change(sighting, old, &merged.row),
        push: merged.push,
        settles: old.is_some_and(|old| old.refetch_at.is_some()) && merged.row.refetch_at.is_none(),
        loses_admin: old.is_some_and(Row::is_live_admin) && !merged.row.is_live_admin(),
        row: Some(merged.row),
    };
    let applied = Applied {
        outcome: Outcome::Applied,
        is_push_closed,
    };
    Plan::Write {
        write: Box::new(write),
        applied,
    }
}

fn role_change(sighting: &Sighting<'_>, old: Option<&Row>, new: &Row) -> Option<role_changes::New> {
    let old_role = old.map(|old| old.role);
    if old_role == Some(new.role) {
        return None;
    }
    let source = if sighting.delivery.is_some() {
        Source::Webhook
    } else {
        Source::Reconcile
    };
    Some(role_changes::New {
        old_role,
        new_role: new.role,
        actor: "clerk".to_owned(),
        source,
        svix_id: sighting.delivery.map(|entry| entry.svix_id.clone()),
        request_id: None,
    })
}

fn entry(
    sighting: &Sighting<'_>,
    current: &Current,
    merged: &Merged,
    outcome: inbox::Outcome,
) -> Option<Entry> {
    let entry = sighting.delivery?;
    let detail = detail(sighting, current, merged);
    Some(Entry {
        outcome,
        rule: Some(merged.rule),
        detail,
        ..entry.clone()
    })
}

/// What a person needs to understand the decision: names of columns and versions, no values.
fn detail(sighting: &Sighting<'_>, current: &Current, merged: &Merged) -> Value {
    let (clerk_version, is_read) = match sighting.seen {
        Seen::User(user, origin) => (Some(merge::version(user)), origin == Origin::Read),
        Seen::Deleted(_) => (None, false),
    };
    json!({
        "changed": merged.changed,
        "ourVersion": current.row.as_ref().map(|row| row.clerk_version),
        "clerkVersion": clerk_version,
        "readFromClerk": is_read,
        "drift": merged.has_unknown_role.then_some("unknown_role"),
    })
}

impl Sighting<'_> {
    fn key(&self) -> Key<'_> {
        let email = match self.seen {
            Seen::User(user, _) => user.primary_email(),
            Seen::Deleted(_) => None,
        };
        Key {
            svix_id: self.delivery.map(|entry| &entry.svix_id),
            clerk_id: self.clerk_id,
            verified_email: email
                .filter(|email| email.is_verified)
                .map(|email| email.address),
        }
    }
}
