//! Decides who is an admin: by the database, confirmed with Clerk not long ago.

use std::time::{Duration, Instant};

use super::apply::{self, InDoubt, Seen, Sighting};
use super::merge::Origin;
use crate::clerk::{self, Budget};
use crate::config::Configured;
use crate::db::role_changes::Source;
use crate::db::users::Row;
use crate::db::{Db, Role};
use crate::ids::ClerkUserId;
use crate::telemetry::chain;
use crate::{Error, Result};

/// How long Clerk may take to confirm the caller.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(2);

pub(super) const ADMIN_REQUIRED: Error = Error::Forbidden {
    code: "admin_required",
    message: "Only an admin may do this.",
};

const DISABLED: Error = Error::Forbidden {
    code: "user_disabled",
    message: "This account is banned or was taken away by its directory.",
};

/// Who asks, and how.
#[derive(Debug, Clone)]
pub struct Asking {
    /// Who they are, by their session token.
    pub clerk_id: ClerkUserId,
    /// The way, as the audit trail names it.
    pub source: Source,
    /// The request.
    pub request_id: String,
}

/// A caller who is an admin.
#[derive(Debug, Clone)]
pub struct Admin {
    /// Who asks, and how.
    pub asking: Asking,
    /// Their row.
    pub row: Row,
}

/// Requires the caller to be an admin whose row was confirmed with Clerk within
/// `freshness_seconds`; an older one is read again first.
/// If Clerk cannot be reached, the database's answer stands.
pub async fn require_admin(
    clerk: &Configured<clerk::Client>,
    db: &Db,
    asking: Asking,
    freshness_seconds: u32,
    deadline: Instant,
) -> Result<Admin> {
    let row = match db.caller(&asking.clerk_id, freshness_seconds).await? {
        Some((row, true)) => Some(row),
        Some((row, false)) if row.deleted_at.is_some() => Some(row),
        known => {
            let clerk = clerk.as_ref().map_err(Clone::clone)?;
            confirm(clerk, db, &asking.clerk_id, deadline)
                .await?
                .or(known.map(|(row, _)| row))
        }
    };
    let row = row
        .filter(|row| row.deleted_at.is_none())
        .ok_or(ADMIN_REQUIRED)?;
    if !row.is_live() {
        return Err(DISABLED);
    }
    if row.role != Role::Admin {
        return Err(ADMIN_REQUIRED);
    }
    Ok(Admin { asking, row })
}

/// Reads the caller from Clerk; none if Clerk cannot be reached.
async fn confirm(
    clerk: &clerk::Client,
    db: &Db,
    clerk_id: &ClerkUserId,
    deadline: Instant,
) -> Result<Option<Row>> {
    let time_left = deadline.saturating_duration_since(Instant::now());
    let budget = Budget::once(CONFIRM_TIMEOUT.min(time_left / 2));
    let user = match clerk.user(clerk_id, budget).await {
        Ok(user) => user,
        Err(clerk::Error::NotFound { .. }) => return Err(ADMIN_REQUIRED),
        Err(error) => {
            tracing::warn!(
                error = chain(&error),
                user.clerk_id = %clerk_id,
                "Clerk could not confirm an admin; the database's answer stands"
            );
            return Ok(None);
        }
    };
    let sighting = Sighting {
        clerk_id: &user.id,
        seen: Seen::User(&user, Origin::Read),
        delivery: None,
        in_doubt: InDoubt::Flag,
    };
    apply::apply_one(db, sighting).await?;
    Ok(db.caller(&user.id, 0).await?.map(|(row, _)| row))
}
