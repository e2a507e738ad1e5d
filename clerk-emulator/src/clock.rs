//! The emulator's own time: real time plus an offset, or a time that stands still.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Tells the time in Unix milliseconds and can be moved by hand.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    offset_ms: i64,
    frozen_at: Option<i64>,
}

impl Clock {
    /// The time now.
    pub(crate) fn now_ms(&self) -> i64 {
        self.frozen_at.unwrap_or_else(|| real_ms() + self.offset_ms)
    }

    /// Moves the time forward, also while it stands still.
    pub(crate) fn advance(&mut self, duration: Duration) {
        let ms = millis(duration);
        match &mut self.frozen_at {
            Some(at) => *at += ms,
            None => self.offset_ms += ms,
        }
    }

    /// Makes the time stand still at `ms`.
    pub(crate) fn set(&mut self, ms: i64) {
        self.frozen_at = Some(ms);
    }

    /// Lets the time run on from where it stands.
    pub(crate) fn resume(&mut self) {
        if let Some(at) = self.frozen_at.take() {
            self.offset_ms = at - real_ms();
        }
    }
}

/// The wall clock, which nothing here can move.
pub(crate) fn real_ms() -> i64 {
    millis(
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default(),
    )
}

/// A duration in whole milliseconds.
pub(crate) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
