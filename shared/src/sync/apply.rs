//! Writes what was seen in Clerk: read, merge, write, and again where others were faster.
//!
//! One file for each kind of object; what they share is here.

pub(super) mod memberships;
pub(super) mod organizations;
pub(super) mod users;

use std::collections::HashSet;
use std::time::Duration;

use serde_json::{Value, json};
use uuid::Uuid;

use super::merge::{Mirror, Origin, Verdict};
use crate::db::inbox::{self, Entry};
use crate::db::{self, Check, Confirms, Db, Written};
use crate::telemetry::chain;

/// How often a row is read again that others changed before we wrote.
const N_TRIES: u32 = 8;

/// What to do with a sighting of the same version as the row and different from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum InDoubt {
    /// Write nothing: the caller asks Clerk.
    Tell,
    /// Flag the row, so that `reconcile` asks.
    Flag,
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

/// What came of a sighting, and more that is particular to the kind of object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Applied<M> {
    /// What was decided.
    pub(super) outcome: Outcome,
    /// What was written was read back, and is what was meant.
    pub(super) is_verified: bool,
    /// What else the caller has to know.
    pub(super) more: M,
}

/// What to do about a sighting.
pub(super) enum Plan<W, M> {
    /// Nothing is written.
    Nothing(Applied<M>),
    /// This is written.
    Write {
        /// The row, and what belongs to it.
        write: Box<W>,
        /// What came of it, when it is done.
        applied: Applied<M>,
    },
}

/// How a plan follows from a verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// Nothing is written.
    Nothing(Outcome),
    /// Only the delivery is written, the row stays as it is.
    Record(Outcome),
    /// The row is flagged, and the delivery waits until Clerk was asked.
    Flag,
    /// The row is written, with all that belongs to it.
    Write,
}

/// A write of at most one row.
pub(super) trait Write {
    type Row: Mirror;

    /// The row as it shall be; none if only a delivery is recorded.
    fn row(&self) -> Option<&Self::Row>;

    /// Another row that ends with it.
    fn ends(&self) -> Option<Uuid> {
        None
    }
}

impl Step {
    /// `rule` is the one that gave the verdict; `is_read` if Clerk was asked; `is_echo` if nothing
    /// has to be written about something that is as it was seen.
    fn of(
        verdict: Verdict,
        rule: &str,
        in_doubt: InDoubt,
        is_read: bool,
        is_echo: bool,
        has_delivery: bool,
    ) -> Self {
        match verdict {
            Verdict::Doubtful if in_doubt == InDoubt::Tell => Self::Nothing(Outcome::Doubtful),
            Verdict::Doubtful => Self::Flag,
            // Clerk answered from a copy that lags behind: it has to be asked again.
            Verdict::Stale if is_read && rule == "R2" => Self::Flag,
            Verdict::Stale if has_delivery => Self::Record(Outcome::Stale),
            Verdict::Stale => Self::Nothing(Outcome::Stale),
            Verdict::Unchanged if is_echo => Self::Record(Outcome::Applied),
            Verdict::Applied | Verdict::Unchanged => Self::Write,
        }
    }
}

/// Something of one kind that was seen in Clerk.
pub(super) trait Sighting: Sized {
    /// What the database knows of it.
    type Current;
    /// What can be written of it.
    type Write: Write;
    /// What else the caller has to know.
    type More: Clone;

    /// Reads what the database knows, in the order of the sightings.
    async fn read(db: &Db, sightings: &[&Self]) -> Result<Vec<Self::Current>, db::Error>;

    /// Decides what to do; none if that cannot be told yet, and it has to be read again.
    fn plan(
        &self,
        current: &Self::Current,
        is_repeated: bool,
    ) -> Option<Plan<Self::Write, Self::More>>;

    /// Writes, each whole or not at all.
    async fn write(
        db: &Db,
        writes: &[Self::Write],
        check: Check,
    ) -> Result<Written<<Self::Write as Write>::Row>, db::Error>;
}

/// Applies one sighting: two round trips, one for a duplicate.
pub(super) async fn apply_one<S: Sighting>(
    db: &Db,
    sighting: S,
    check: Check,
) -> Result<Applied<S::More>, db::Error> {
    // Boxed: else every caller's layout holds this one.
    let mut applied = Box::pin(apply(db, &[sighting], check)).await?;
    applied.pop().ok_or_else(db::Error::contended)
}

/// Applies all together; where the database refuses a value, one by one, so that it keeps no other
/// from being written. `None` for what cannot be stored: a person has to look.
pub(super) async fn apply_each<S: Sighting>(
    db: &Db,
    sightings: &[S],
    check: Check,
) -> Result<Vec<Option<Applied<S::More>>>, db::Error> {
    match apply(db, sightings, check).await {
        Ok(applied) => return Ok(applied.into_iter().map(Some).collect()),
        Err(error) if !error.is_about_the_data() => return Err(error),
        Err(_) => {}
    }
    let mut results = Vec::new();
    for sighting in sightings {
        match apply(db, std::slice::from_ref(sighting), check).await {
            Ok(mut applied) => results.push(applied.pop()),
            Err(error) if error.is_about_the_data() => {
                tracing::error!(
                    error = chain(&error),
                    "what Clerk shows cannot be stored; the row stays as it is"
                );
                results.push(None);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(results)
}

/// Applies sightings of one kind, at most one of each object, all together in as few round trips as
/// one. What others changed between reading and writing is read again.
pub(super) async fn apply<S: Sighting>(
    db: &Db,
    sightings: &[S],
    check: Check,
) -> Result<Vec<Applied<S::More>>, db::Error> {
    let mut results: Vec<Option<Applied<S::More>>> = vec![None; sightings.len()];
    for n_tries in 0..N_TRIES {
        let open: Vec<usize> = open_places(&results);
        if open.is_empty() {
            break;
        }
        if n_tries > 0 {
            tokio::time::sleep(Duration::from_millis(fastrand::u64(0..5 << n_tries))).await;
        }
        let sighted: Vec<&S> = open.iter().filter_map(|&at| sightings.get(at)).collect();
        let answers = round(db, &sighted, n_tries > 0, check).await?;
        for (place, answer) in open.into_iter().zip(answers) {
            put(&mut results, place, answer);
        }
    }
    results
        .into_iter()
        .collect::<Option<Vec<_>>>()
        .ok_or_else(db::Error::contended)
}

fn open_places<A>(results: &[Option<A>]) -> Vec<usize> {
    let is_open = |(place, result): (usize, &Option<A>)| result.is_none().then_some(place);
    results.iter().enumerate().filter_map(is_open).collect()
}

fn put<A>(results: &mut [Option<A>], place: usize, answer: Option<A>) {
    if let Some(result) = results.get_mut(place) {
        *result = answer;
    }
}

/// One round: reads, plans, and writes all plans together.
/// Answers `None` where there is no plan yet, and where rows changed since they were read.
async fn round<S: Sighting>(
    db: &Db,
    sightings: &[&S],
    is_repeated: bool,
    check: Check,
) -> Result<Vec<Option<Applied<S::More>>>, db::Error> {
    let currents = S::read(db, sightings).await?;
    let mut results = vec![None; sightings.len()];
    let mut writes = Vec::new();
    let mut planned = Vec::new();
    let mut rows = HashSet::new();
    for (place, (sighting, current)) in sightings.iter().zip(&currents).enumerate() {
        match sighting.plan(current, is_repeated) {
            None => {}
            Some(Plan::Nothing(applied)) => put(&mut results, place, Some(applied)),
            // Two sightings of one row cannot be written at once: the second waits its turn.
            Some(Plan::Write { write, .. }) if touched(&*write).any(|row| rows.contains(&row)) => {}
            Some(Plan::Write { write, applied }) => {
                rows.extend(touched(&*write));
                writes.push(*write);
                planned.push((place, applied));
            }
        }
    }
    if writes.is_empty() {
        return Ok(results);
    }
    let written = match S::write(db, &writes, check).await {
        // Somebody else wrote a row with the same key meanwhile.
        Err(error) if error.is_about_other_rows() => return Ok(results),
        result => result?,
    };
    let done = planned.into_iter().zip(&writes).zip(written.is_done);
    for (((place, applied), write), _) in done.filter(|(_, is_done)| *is_done) {
        let applied = Applied {
            is_verified: is_verified(write.row(), &written.read_back),
            ..applied
        };
        put(&mut results, place, Some(applied));
    }
    Ok(results)
}

/// The rows that a write is about.
fn touched<W: Write>(write: &W) -> impl Iterator<Item = Uuid> {
    write.row().map(Mirror::id).into_iter().chain(write.ends())
}

/// Whether the row was read back as it was meant to be.
fn is_verified<R: Mirror>(meant: Option<&R>, read_back: &[R]) -> bool {
    meant.is_some_and(|meant| {
        let read = read_back.iter().find(|read| read.id() == meant.id());
        read.is_some_and(|read| meant.shows_the_same(read))
    })
}

/// What a read showed before somebody else wrote is no longer the truth about equal versions.
fn origin_of_try(origin: Origin, is_repeated: bool) -> Origin {
    match origin {
        origin if is_repeated && origin.is_read() => Origin::Event,
        origin => origin,
    }
}

fn confirms(origin: Origin) -> Confirms {
    match origin {
        Origin::Read | Origin::Repair { .. } | Origin::Answer => Confirms::Now,
        Origin::Event | Origin::Listed => Confirms::AsOfVersion,
    }
}

/// How the inbox calls it when only the delivery is written.
fn recorded(outcome: Outcome) -> inbox::Outcome {
    match outcome {
        Outcome::Applied => inbox::Outcome::Applied,
        Outcome::Duplicate | Outcome::Stale | Outcome::Doubtful => inbox::Outcome::Stale,
    }
}

/// What a person needs to understand a decision: names of columns and versions, no values.
struct Detail<'a> {
    changed: &'a [&'static str],
    our_version: Option<i64>,
    clerk_version: Option<i64>,
    is_read: bool,
    /// More that is particular to the kind of object.
    more: Value,
}

/// The delivery as it is recorded, with what was decided.
fn entry(entry: &Entry, outcome: inbox::Outcome, rule: &'static str, detail: Detail<'_>) -> Entry {
    let mut json = json!({
        "changed": detail.changed,
        "ourVersion": detail.our_version,
        "clerkVersion": detail.clerk_version,
        "readFromClerk": detail.is_read,
    });
    if let (Value::Object(json), Value::Object(more)) = (&mut json, detail.more) {
        json.extend(more);
    }
    entry.decided(outcome, rule, json)
}
