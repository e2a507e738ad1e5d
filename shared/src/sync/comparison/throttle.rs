//! Keeps the calls of all sandboxes together below Clerk's rate limit, and leaves some of it to
//! whoever waits for an answer.

use std::time::Duration;

use crate::clerk;
use crate::db::{self, Db};

/// How much of the limit a comparison may take: a tenth at once, and so much of it in a second, so that
/// never more than nine tenths are taken in ten seconds.
const BURST_SHARE: u32 = 10;
const RATE_SHARE: f64 = 0.08;
/// How many calls are asked for at once, at most: each time costs a round trip to the database.
const GRANT: u32 = 25;

/// A share of what Clerk takes.
pub(super) struct Throttle<'a> {
    db: &'a Db,
    rate: f64,
    n_at_once: u32,
    n_granted: u32,
    n_taken: u64,
}

impl<'a> Throttle<'a> {
    pub(super) fn new(clerk: &clerk::Client, db: &'a Db) -> Self {
        let limit = clerk.calls_in_ten_seconds();
        Self {
            db,
            rate: f64::from(limit) * RATE_SHARE,
            n_at_once: limit / BURST_SHARE,
            n_granted: 0,
            n_taken: 0,
        }
    }

    /// Waits until so many calls may be made.
    pub(super) async fn take(&mut self, n: usize) -> Result<(), db::Error> {
        let n = u32::try_from(n).unwrap_or(u32::MAX);
        if self.n_granted < n {
            let grant = n.max(GRANT.min(self.n_at_once / 2));
            let wait = self
                .db
                .reserve_calls(grant, self.rate, f64::from(self.n_at_once))
                .await?;
            self.n_granted += grant;
            tokio::time::sleep(wait).await;
        }
        self.n_granted -= n;
        self.n_taken += u64::from(n);
        Ok(())
    }

    /// So many calls are never waited for longer than about a second.
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
