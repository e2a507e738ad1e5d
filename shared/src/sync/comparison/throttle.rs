//! Keeps the calls of all sandboxes together below Clerk's rate limit, and leaves some of it to
//! whoever waits for an answer.

use std::time::{Duration, Instant};

use super::{STEP_TIME, Stop};
use crate::clerk;
use crate::db::{self, Db};

/// How much of the limit a comparison may take: so much at once, and so much of it in a second, so
/// that a twentieth is left of it in any ten seconds.
const BURST_SHARE: f64 = 0.4;
const RATE_SHARE: f64 = 0.055;
/// So many of the calls of ten seconds are asked for at once where none is to be made before another.
const AT_ONCE: u32 = 10;
/// How many calls are asked for at once, at most: each time costs a round trip to the database.
const GRANT: u32 = 25;

/// A share of what Clerk takes.
pub(super) struct Throttle<'a> {
    db: &'a Db,
    rate: f64,
    burst: f64,
    n_at_once: u32,
    n_granted: u32,
    n_taken: u64,
    until: Instant,
}

impl<'a> Throttle<'a> {
    pub(super) fn new(clerk: &clerk::Client, db: &'a Db, until: Instant) -> Self {
        let limit = clerk.calls_in_ten_seconds();
        Self {
            db,
            rate: f64::from(limit) * RATE_SHARE,
            burst: f64::from(limit) * BURST_SHARE,
            n_at_once: limit / AT_ONCE,
            n_granted: 0,
            n_taken: 0,
            until,
        }
    }

    /// Waits until so many calls may be made; not beyond the end of the time.
    pub(super) async fn take(&mut self, n: usize) -> Result<(), Stop> {
        let n = u32::try_from(n).unwrap_or(u32::MAX);
        if self.n_granted < n {
            let grant = n.max(GRANT.min(self.n_at_once / 2));
            let wait = self.db.reserve_calls(grant, self.rate, self.burst).await?;
            if Instant::now() + wait + STEP_TIME > self.until {
                self.db.return_calls(grant).await?;
                return Err(Stop::Throttled(wait));
            }
            self.n_granted += grant;
            tokio::time::sleep(wait).await;
        }
        self.n_granted -= n;
        self.n_taken += u64::from(n);
        Ok(())
    }

    /// So many calls are never waited for longer than two seconds.
    pub(super) fn n_at_once(&self) -> usize {
        self.n_at_once as usize
    }

    /// How many calls were made since this was asked last.
    pub(super) fn take_count(&mut self) -> u64 {
        std::mem::take(&mut self.n_taken)
    }

    /// Clerk asks us to wait: so do all others.
    pub(super) async fn drain(&self, wait: Duration) -> Result<(), db::Error> {
        self.db.drain_calls(wait, self.rate).await
    }
}
