//! Delivers what the outbox owes Clerk (R9, R10).
//!
//! Only what somebody asked for this very moment is sent at once. Before anything later, Clerk is
//! read: an earlier attempt may have arrived without an answer, and somebody may have changed the
//! role there meanwhile, which is seen so, and not overwritten.

use std::cell::Cell;
use std::collections::HashSet;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::apply;
use super::apply::users::{Sighting, alarm_no_admin_left};
use super::merge::Origin;
use crate::clerk::{self, Budget};
use crate::db::outbox::{Owed, Reason};
use crate::db::{self, Check, Db, Role};
use crate::ids::UserId;
use crate::telemetry::chain;

/// How many calls to Clerk are under way at once.
pub(super) const N_AT_ONCE: usize = 8;
/// The first wait after a failed attempt; it doubles each time.
const FIRST_WAIT: Duration = Duration::from_secs(5);
/// The longest wait between two attempts.
const LONGEST_WAIT: Duration = Duration::from_mins(10);

/// Entries that are ours to deliver.
#[derive(Debug)]
pub(super) struct Batch {
    /// By which they are ours.
    pub(super) lease: Uuid,
    /// The entries, at most one of each user.
    pub(super) owed: Vec<Owed>,
    /// How long one call to Clerk may take.
    pub(super) tries_each: Duration,
    /// No call begins after this.
    pub(super) until: Instant,
}

/// What became of a batch.
#[derive(Debug, Default)]
pub(super) struct Delivered {
    /// Clerk has what it shall have.
    pub(super) done: HashSet<UserId>,
    /// Clerk refused it for good.
    pub(super) dead: HashSet<UserId>,
    /// Of these, the ones whose role a directory owns.
    pub(super) owned_by_directory: HashSet<UserId>,
    /// How many will be tried again.
    pub(super) n_put_off: usize,
    /// Clerk asked us to wait: nothing else should be sent for so long.
    pub(super) retry_after: Option<Duration>,
}

/// Delivers roles that somebody asked for just now.
pub(super) async fn deliver_at_once(
    clerk: &clerk::Client,
    db: &Db,
    batch: Batch,
) -> Result<Delivered, db::Error> {
    let mut delivered = Delivered::default();
    let calls = Calls::new(clerk, &batch);
    send(&calls, db, batch.owed.iter().collect(), &mut delivered).await?;
    delivered.retry_after = calls.retry_after.get();
    Ok(delivered)
}

/// Delivers roles that were decided a while ago: Clerk is read first, and may know better.
pub(super) async fn deliver_after_reading(
    clerk: &clerk::Client,
    db: &Db,
    batch: Batch,
) -> Result<Delivered, db::Error> {
    let mut delivered = Delivered::default();
    let calls = Calls::new(clerk, &batch);
    let still_owed =
        settle_by_reading(&calls, db, batch.owed.iter().collect(), &mut delivered).await?;
    send(&calls, db, still_owed, &mut delivered).await?;
    delivered.retry_after = calls.retry_after.get();
    Ok(delivered)
}

/// Reads the users; what is still owed then is returned.
async fn settle_by_reading<'a>(
    calls: &Calls<'a>,
    db: &Db,
    owed: Vec<&'a Owed>,
    delivered: &mut Delivered,
) -> Result<Vec<&'a Owed>, db::Error> {
    let reads = calls
        .all(owed, async |owed, budget| {
            calls.clerk.user(&owed.clerk_id, budget).await
        })
        .await;
    let seen = split(calls, db, reads, delivered).await?;
    apply_all(db, &seen, Origin::Read, delivered).await
}

async fn send<'a>(
    calls: &Calls<'a>,
    db: &Db,
    owed: Vec<&'a Owed>,
    delivered: &mut Delivered,
) -> Result<(), db::Error> {
    let pushes = calls
        .all(owed, async |owed, budget| {
            let metadata = role_metadata(owed.role());
            calls
                .clerk
                .merge_metadata(&owed.clerk_id, &metadata, budget)
                .await
        })
        .await;
    let seen = split(calls, db, pushes, delivered).await?;
    // A newer role came meanwhile, or Clerk said something doubtful: it is tried again.
    let open = apply_all(db, &seen, Origin::Answer, delivered).await?;
    let open: Vec<i64> = open.into_iter().map(|owed| owed.id).collect();
    delivered.n_put_off += open.len();
    if open.is_empty() {
        return Ok(());
    }
    db.release_pushes(&open, calls.batch.lease).await
}

/// Keeps the answers, and notes the failures.
async fn split<'a>(
    calls: &Calls<'_>,
    db: &Db,
    results: Vec<(&'a Owed, Called)>,
    delivered: &mut Delivered,
) -> Result<Vec<(&'a Owed, clerk::User)>, db::Error> {
    let mut seen = Vec::new();
    let mut failures = Vec::new();
    let mut not_tried = Vec::new();
    for (owed, called) in results {
        match called {
            Called::Answered(user) => seen.push((owed, *user)),
            Called::NotTried => not_tried.push(owed.id),
            Called::Failed(error) => {
                let reason = reason(&error, owed.n_attempts);
                if reason.is_permanent {
                    delivered.dead.insert(owed.user_id());
                } else {
                    delivered.n_put_off += 1;
                }
                if reason.is_owned_by_directory {
                    delivered.owned_by_directory.insert(owed.user_id());
                }
                log(owed, &error, &reason);
                failures.push(owed.failed(reason));
            }
        }
    }
    delivered.n_put_off += not_tried.len();
    if !failures.is_empty() {
        db.fail_pushes(&failures).await?;
    }
    // Roles that a directory owns were taken back.
    if !delivered.owned_by_directory.is_empty() && db.n_live_admins().await? == 0 {
        alarm_no_admin_left();
    }
    if !not_tried.is_empty() {
        db.release_pushes(&not_tried, calls.batch.lease).await?;
    }
    Ok(seen)
}

/// Applies what Clerk said, and returns what is still owed after it.
async fn apply_all<'a>(
    db: &Db,
    seen: &[(&'a Owed, clerk::User)],
    origin: Origin,
    delivered: &mut Delivered,
) -> Result<Vec<&'a Owed>, db::Error> {
    let sightings: Vec<_> = seen
        .iter()
        .map(|(_, user)| Sighting::of(user, origin))
        .collect();
    let applied = apply::apply(db, &sightings, Check::No).await?;
    let mut still_owed = Vec::new();
    for (&(owed, _), applied) in seen.iter().zip(applied) {
        if applied.more.push {
            still_owed.push(owed);
        } else {
            delivered.done.insert(owed.user_id());
        }
    }
    Ok(still_owed)
}

/// Calls to Clerk that stop together: at the end of the time, or when Clerk asks us to wait.
struct Calls<'a> {
    clerk: &'a clerk::Client,
    retry_after: Cell<Option<Duration>>,
    batch: &'a Batch,
}

enum Called {
    Answered(Box<clerk::User>),
    Failed(clerk::Error),
    NotTried,
}

impl<'a> Calls<'a> {
    fn new(clerk: &'a clerk::Client, batch: &'a Batch) -> Self {
        Self {
            clerk,
            retry_after: Cell::new(None),
            batch,
        }
    }

    async fn all<'o>(
        &self,
        owed: Vec<&'o Owed>,
        call: impl AsyncFn(&'o Owed, Budget) -> Result<clerk::User, clerk::Error>,
    ) -> Vec<(&'o Owed, Called)> {
        let call = &call;
        stream::iter(owed)
            .map(|owed| async move { (owed, self.one(owed, call).await) })
            .buffer_unordered(N_AT_ONCE)
            .collect()
            .await
    }

    async fn one<'o>(
        &self,
        owed: &'o Owed,
        call: &impl AsyncFn(&'o Owed, Budget) -> Result<clerk::User, clerk::Error>,
    ) -> Called {
        let time_left = self.batch.until.saturating_duration_since(Instant::now());
        if time_left.is_zero() || self.retry_after.get().is_some() {
            return Called::NotTried;
        }
        match call(owed, Budget::once(self.batch.tries_each.min(time_left))).await {
            Ok(user) => Called::Answered(Box::new(user)),
            Err(error) => {
                self.retry_after
                    .set(self.retry_after.get().max(error.retry_after()));
                Called::Failed(error)
            }
        }
    }
}

fn role_metadata(role: Role) -> Map<String, Value> {
    Map::from_iter([("role".to_owned(), role.as_str().into())])
}

fn reason(error: &clerk::Error, n_attempts: u32) -> Reason {
    let code = error.code().unwrap_or(match error {
        clerk::Error::NotFound { .. } => "not_found_in_clerk",
        clerk::Error::RateLimited { .. } => "rate_limited",
        clerk::Error::TimedOut(_) => "timed_out",
        clerk::Error::Unauthorized { .. } => "clerk_refused_our_key",
        _ => "unavailable",
    });
    Reason {
        code: code.to_owned(),
        wait: wait(n_attempts).max(error.retry_after().unwrap_or_default()),
        is_permanent: error.is_permanent(),
        is_owned_by_directory: error.is_managed_by_directory(),
    }
}

/// 5 s, doubling, at most 10 min; half of it is left to chance.
fn wait(n_attempts: u32) -> Duration {
    let doubled = FIRST_WAIT.saturating_mul(1 << n_attempts.saturating_sub(1).min(10));
    doubled
        .min(LONGEST_WAIT)
        .mul_f64(0.5 + fastrand::f64() / 2.0)
}

fn log(owed: &Owed, error: &clerk::Error, reason: &Reason) {
    let source = chain(error);
    let (user, n_attempts, code) = (owed.user_id(), owed.n_attempts, &reason.code);
    if reason.is_permanent {
        tracing::error!(
            error = source, user.id = %user, outbox.n_attempts = n_attempts, outbox.code = code,
            "Clerk refused a role for good; the entry is dead"
        );
    } else {
        tracing::warn!(
            error = source, user.id = %user, outbox.n_attempts = n_attempts, outbox.code = code,
            "a role could not be delivered to Clerk and will be tried again"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_ten_minutes_and_differ() {
        for (n_attempts, longest) in [(1, 5), (2, 10), (3, 20), (7, 320), (8, 600), (90, 600)] {
            for _ in 0..50 {
                let wait = wait(n_attempts).as_secs_f64();
                let longest = f64::from(longest);
                assert!(
                    wait >= longest / 2.0 && wait <= longest,
                    "{n_attempts}: {wait}"
                );
            }
        }
    }
}
