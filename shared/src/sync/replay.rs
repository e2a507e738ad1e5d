//! Takes in again what could not be taken in when it came: it is dead, or parked.
//!
//! It goes the way of a delivery ([`receive`]), with all rules: what was overtaken is stale, what is
//! over stays so. Its row in the inbox is replaced together with its effects (R7), so whatever
//! happens on the way, it either waits as before or is taken in.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::receive::receive;
use crate::clerk;
use crate::db::inbox::{Kept, Outcome, Place, Which};
use crate::db::{self, Db};
use crate::ids::SvixId;
use crate::telemetry::chain;
use crate::webhook::Delivery;

/// How many deliveries one call takes in at most, and names in its answer.
pub const MAX_REPLAYED: usize = 500;
/// How many bodies are read at once.
const BATCH: i64 = 20;
/// With less time left than this, no other one is begun: Clerk may have to be asked about it.
const TIME_FOR_ONE: Duration = Duration::from_secs(2);

/// What to replay.
#[derive(Debug, Clone)]
pub struct Replay {
    /// Which deliveries, the oldest first.
    pub which: Which,
    /// Only those behind this place: where an earlier call has come to.
    pub after: Option<Place>,
    /// Only counts.
    pub is_dry_run: bool,
}

/// What a replay found, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Replayed {
    /// It only counted.
    #[serde(rename = "dryRun")]
    pub is_dry_run: bool,
    /// How many were dead or parked, when it began.
    pub n_waiting: i64,
    /// Of these, how many were dead, and how many parked.
    pub by_outcome: BTreeMap<Outcome, i64>,
    /// Of these, how many were of each type of event.
    pub by_type: BTreeMap<String, i64>,
    /// Of the ids, how many no delivery has.
    pub n_unknown: i64,
    /// How many cannot be replayed: neither dead nor parked, or nothing is kept of them.
    pub n_not_replayable: i64,
    /// How many were taken in again.
    pub n_replayed: usize,
    /// What has become of these.
    pub outcomes: BTreeMap<Outcome, usize>,
    /// The same, one by one.
    pub events: Vec<ReplayedEvent>,
    /// How many were not reached.
    pub n_remaining: i64,
    /// Where to go on; none to begin anew.
    pub next_cursor: Option<String>,
}

/// What has become of one delivery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReplayedEvent {
    /// Which one.
    pub svix_id: SvixId,
    /// As its row in the inbox says now.
    pub outcome: Outcome,
}

/// Takes in again what is meant, until nothing is left, the time is over, or it was
/// [`MAX_REPLAYED`]; then the caller goes on from the place that the answer names.
///
/// `clerk` and `instance_id` are as for a delivery.
pub async fn replay(
    clerk: Option<&clerk::Client>,
    db: &Db,
    instance_id: Option<&str>,
    replay: &Replay,
    deadline: Instant,
) -> Result<Replayed, db::Error> {
    let found = db
        .count_waiting(&replay.which, replay.after.as_ref())
        .await?;
    let n_waiting = found.n_waiting();
    let counted = Replayed {
        is_dry_run: replay.is_dry_run,
        n_waiting,
        by_outcome: found.by_outcome,
        by_type: found.by_type,
        n_unknown: found.n_unknown,
        n_not_replayable: found.n_not_waiting,
        n_replayed: 0,
        outcomes: BTreeMap::new(),
        events: Vec::new(),
        n_remaining: n_waiting,
        next_cursor: replay.after.as_ref().map(Place::to_cursor),
    };
    if replay.is_dry_run || n_waiting == 0 {
        return Ok(counted);
    }
    let replayer = Replayer {
        clerk,
        db,
        instance_id,
        deadline,
    };
    let reached = replayer.replay_all(replay).await?;
    let remaining = db
        .count_waiting(&replay.which, reached.place.as_ref())
        .await?;
    let events = events(db, &reached.svix_ids).await?;
    Ok(Replayed {
        n_replayed: events.len(),
        outcomes: outcomes(&events),
        events,
        n_remaining: remaining.n_waiting(),
        next_cursor: reached.place.as_ref().map(Place::to_cursor),
        ..counted
    })
}

/// How far a replay has come.
struct Reached {
    svix_ids: Vec<SvixId>,
    place: Option<Place>,
}

struct Replayer<'a> {
    clerk: Option<&'a clerk::Client>,
    db: &'a Db,
    instance_id: Option<&'a str>,
    deadline: Instant,
}

impl Replayer<'_> {
    async fn replay_all(&self, replay: &Replay) -> Result<Reached, db::Error> {
        let mut reached = Reached {
            svix_ids: Vec::new(),
            place: replay.after.clone(),
        };
        loop {
            let after = reached.place.as_ref();
            let batch = self.db.waiting(&replay.which, after, BATCH).await?;
            if batch.is_empty() {
                return Ok(reached);
            }
            for kept in batch {
                if reached.svix_ids.len() == MAX_REPLAYED || !self.has_time() {
                    return Ok(reached);
                }
                reached.place = Some(kept.place());
                reached.svix_ids.push(kept.svix_id.clone());
                self.replay_one(kept).await?;
            }
        }
    }

    async fn replay_one(&self, kept: Kept) -> Result<(), db::Error> {
        let delivery = Delivery::again(kept.svix_id, kept.n_attempts + 1, &kept.payload);
        let received = receive(
            self.clerk,
            self.db,
            self.instance_id,
            &delivery,
            self.deadline,
        );
        match Box::pin(received).await {
            Err(error) if error.is_unavailable() => Err(error),
            // It shall not keep those that came after it from being taken in.
            Err(error) => {
                tracing::error!(
                    error = chain(&error),
                    svix.id = %delivery.svix_id,
                    "a delivery could not be replayed; it stays as it was"
                );
                Ok(())
            }
            Ok(_) => Ok(()),
        }
    }

    fn has_time(&self) -> bool {
        Instant::now() + TIME_FOR_ONE < self.deadline
    }
}

/// What the inbox says now: a doubt may have been settled after its delivery was taken in.
async fn events(db: &Db, svix_ids: &[SvixId]) -> Result<Vec<ReplayedEvent>, db::Error> {
    let outcomes = db.outcomes(svix_ids).await?;
    let event = |(svix_id, outcome)| ReplayedEvent { svix_id, outcome };
    Ok(outcomes.into_iter().map(event).collect())
}

fn outcomes(events: &[ReplayedEvent]) -> BTreeMap<Outcome, usize> {
    let mut outcomes = BTreeMap::new();
    for event in events {
        *outcomes.entry(event.outcome).or_default() += 1;
    }
    outcomes
}
