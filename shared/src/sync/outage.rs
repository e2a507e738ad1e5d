//! Notices an endpoint that has gone silent while Clerk changes (R16): after five days without success
//! Svix disables it, and nobody is told.

use std::time::Instant;

use super::refetch::CALL_TIMEOUT;
use crate::clerk::{self, Budget};
use crate::db::{self, Db};
use crate::telemetry::chain;

/// Looks for changes in Clerk of which no event came; only when none came for a while.
pub(super) async fn notice_silence(
    clerk: &clerk::Client,
    db: &Db,
    until: Instant,
) -> Result<(), db::Error> {
    if !db.is_quiet().await? {
        return Ok(());
    }
    let time_left = until.saturating_duration_since(Instant::now());
    let newest = clerk.last_change(Budget::once(CALL_TIMEOUT.min(time_left)));
    let changed_at = match newest.await {
        Ok(Some(changed_at)) => changed_at,
        Ok(None) => return Ok(()),
        Err(error) => {
            tracing::warn!(
                error = chain(&error),
                "Clerk did not say when it was changed last; it is asked again later"
            );
            return Ok(());
        }
    };
    if db.note_last_change(changed_at).await? {
        tracing::error!(
            alarm = "endpoint_silent",
            "Clerk was changed and no event came: the endpoint may be broken or disabled"
        );
    }
    Ok(())
}
