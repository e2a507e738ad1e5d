//! Clerk's rate limits: so many calls in a sliding window, counted per key.

use std::collections::{HashMap, VecDeque};

use crate::error::Error;

/// The calls of the last window, by key.
#[derive(Debug, Default)]
pub(crate) struct Limits(HashMap<String, VecDeque<i64>>);

impl Limits {
    /// Counts one call, or refuses it with the seconds to wait.
    pub(crate) fn count(
        &mut self,
        key: &str,
        at_most: u32,
        window_ms: i64,
        now: i64,
    ) -> Result<(), Error> {
        let calls = self.0.entry(key.to_owned()).or_default();
        // The clock can also be set back; then the future is forgotten, too.
        calls.retain(|at| (now - window_ms + 1..=now).contains(at));
        match calls.front() {
            Some(oldest) if calls.len() >= at_most as usize => {
                let wait_ms = u64::try_from(oldest + window_ms - now).unwrap_or(0);
                Err(Error::too_many_requests(wait_ms.div_ceil(1000).max(1)))
            }
            _ => {
                calls.push_back(now);
                Ok(())
            }
        }
    }
}
