//! When a failed delivery is tried again, and when an endpoint is given up.

/// The waits before the attempts: at once, 5 s, 5 min, 30 min, 2 h, 5 h, 10 h, 10 h.
const WAITS_MS: [i64; 8] = [
    0, 5_000, 300_000, 1_800_000, 7_200_000, 18_000_000, 36_000_000, 36_000_000,
];

/// An endpoint that only fails for five days is disabled.
pub(crate) const DISABLED_AFTER_MS: i64 = 5 * 24 * 60 * 60 * 1000;

/// When the next attempt is due after `n_attempts` of them, the last one at `now`.
pub(crate) fn next_attempt_at(n_attempts: usize, now: i64) -> Option<i64> {
    WAITS_MS.get(n_attempts).map(|wait| now + wait)
}

#[cfg(test)]
mod tests;
