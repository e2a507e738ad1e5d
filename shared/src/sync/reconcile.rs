//! One tick of `reconcile`: delivers the outbox, asks Clerk about what is doubtful,
//! erases what is over its retention.

use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream;
use serde::Serialize;
use uuid::Uuid;

use super::apply::{self, InDoubt, Outcome, Seen, Sighting};
use super::deliver::{self, Batch, N_AT_ONCE};
use super::merge::Origin;
use crate::clerk::{self, Budget};
use crate::config::{Configured, Settings};
use crate::db::{self, Db};
use crate::telemetry::chain;

/// How many rows are worked on at once.
const BATCH: i64 = 50;
/// How long one call to Clerk may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);
/// How long calls for leased entries may begin: the lease has to outlast the last two of an entry,
/// and the writing down.
const DELIVERY_TIME: Duration = Duration::from_secs(15);
/// How many deleted users are erased in one statement.
const ERASE_BATCH: i64 = 1_000;

/// What `reconcile` is bound by.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// After so many days the personal data of a deleted user is erased (R3).
    pub retention_days: u32,
}

/// What a tick did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Roles that Clerk has now.
    pub n_delivered: usize,
    /// Roles that will be tried again.
    pub n_put_off: usize,
    /// Roles that Clerk refused for good.
    pub n_dead: usize,
    /// Users that Clerk was asked about.
    pub n_refetched: usize,
    /// Users that Clerk gave no answer about.
    pub n_unanswered: usize,
    /// Deleted users whose personal data was erased.
    pub n_erased: u64,
}

impl Limits {
    /// Reads `RETENTION_DAYS`.
    pub fn from_settings(settings: &Settings) -> Configured<Self> {
        Ok(Self {
            retention_days: settings.number("RETENTION_DAYS", 30)?,
        })
    }
}

/// Does what is due until nothing is, or the time is over; the next tick goes on.
pub async fn reconcile(
    clerk: &clerk::Client,
    db: &Db,
    limits: Limits,
    deadline: Instant,
) -> Result<Report, db::Error> {
    let mut report = Report::default();
    deliver_outbox(clerk, db, deadline, &mut report).await?;
    refetch(clerk, db, deadline, &mut report).await?;
    erase(db, limits, deadline, &mut report).await?;
    Ok(report)
}

async fn deliver_outbox(
    clerk: &clerk::Client,
    db: &Db,
    deadline: Instant,
    report: &mut Report,
) -> Result<(), db::Error> {
    while has_time(deadline) {
        let lease = Uuid::new_v4();
        let owed = db.lease_pushes(lease, BATCH).await?;
        if owed.is_empty() {
            return Ok(());
        }
        let batch = Batch {
            lease,
            owed,
            tries_each: CALL_TIMEOUT,
            until: deadline.min(Instant::now() + DELIVERY_TIME),
        };
        let delivered = deliver::deliver_after_reading(clerk, db, batch).await?;
        report.n_delivered += delivered.done.len();
        report.n_put_off += delivered.n_put_off;
        report.n_dead += delivered.dead.len();
        // Clerk asked us to wait; what is due stays due for the next tick.
        if delivered.retry_after.is_some() {
            return Ok(());
        }
    }
    Ok(())
}

async fn refetch(
    clerk: &clerk::Client,
    db: &Db,
    deadline: Instant,
    report: &mut Report,
) -> Result<(), db::Error> {
    while has_time(deadline) {
        let ids = db.users_to_refetch(BATCH).await?;
        if ids.is_empty() {
            return Ok(());
        }
        let reads: Vec<_> = stream::iter(ids)
            .map(async |id| {
                let read = clerk.user(&id, Budget::once(CALL_TIMEOUT)).await;
                (id, read)
            })
            .buffer_unordered(N_AT_ONCE)
            .collect()
            .await;
        let mut users = Vec::new();
        let mut put_off = Vec::new();
        let mut must_wait = false;
        for (id, read) in reads {
            match read {
                Ok(user) => users.push(user),
                Err(error) => {
                    must_wait |= error.retry_after().is_some();
                    log(&id, &error);
                    put_off.push(id);
                }
            }
        }
        let sightings: Vec<_> = users.iter().map(sighting).collect();
        for (applied, user) in apply::apply(db, &sightings).await?.iter().zip(&users) {
            if applied.outcome == Outcome::Doubtful {
                put_off.push(user.id.clone());
            } else {
                report.n_refetched += 1;
            }
        }
        report.n_unanswered += put_off.len();
        if !put_off.is_empty() {
            db.put_off_refetch(&put_off).await?;
        }
        if must_wait {
            return Ok(());
        }
    }
    Ok(())
}

async fn erase(
    db: &Db,
    limits: Limits,
    deadline: Instant,
    report: &mut Report,
) -> Result<(), db::Error> {
    while has_time(deadline) {
        let n_erased = db
            .erase_deleted_users(limits.retention_days, ERASE_BATCH)
            .await?;
        report.n_erased += n_erased;
        if n_erased == 0 {
            return Ok(());
        }
    }
    Ok(())
}

fn has_time(deadline: Instant) -> bool {
    Instant::now() + CALL_TIMEOUT < deadline
}

fn sighting(user: &clerk::User) -> Sighting<'_> {
    let seen = Seen::User(user, Origin::Read);
    Sighting {
        clerk_id: &user.id,
        seen,
        delivery: None,
        in_doubt: InDoubt::Flag,
    }
}

/// A user that Clerk does not know stays flagged: absence is judged by a full comparison only.
fn log(id: &crate::ids::ClerkUserId, error: &clerk::Error) {
    tracing::warn!(
        error = chain(error),
        user.clerk_id = %id,
        "Clerk gave no answer about a user; it is asked again later"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_outlasts_its_calls() {
        assert!(DELIVERY_TIME + 2 * CALL_TIMEOUT < crate::db::outbox::LEASE);
    }
}
