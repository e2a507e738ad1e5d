//! Loads who asks: their row, and the organization that they act in, in one round trip where both
//! are here and were confirmed not long ago; else Clerk is asked first (R17).

use std::time::{Duration, Instant};

use super::apply;
use super::merge::membership::role_key;
use super::refetch::sighting_of_user;
use super::walk;
use crate::clerk::{self, Budget};
use crate::config::Configured;
use crate::db::memberships::ToRefetch;
use crate::db::role_changes::Source as Way;
use crate::db::users::{CallerRows, Row};
use crate::db::{Check, Db, Role, memberships, organizations, placeholders};
use crate::ids::{ClerkOrganizationId, ClerkUserId};
use crate::telemetry::chain;
use crate::{Error, Result};

/// How long Clerk may take to confirm the caller.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(2);

pub(super) const ADMIN_REQUIRED: Error = Error::Forbidden {
    code: "admin_required",
    message: "Only an admin may do this.",
};

/// The account is there and may not be used.
pub(super) const DISABLED: Error = Error::Forbidden {
    code: "user_disabled",
    message: "This account is banned or was taken away by its directory.",
};

/// The account is gone.
pub(super) const DELETED: Error = Error::Forbidden {
    code: "user_deleted",
    message: "This account was deleted.",
};

/// Who asks, and how.
#[derive(Debug, Clone)]
pub struct Asking {
    /// Who they are, by their session token.
    pub clerk_id: ClerkUserId,
    /// The organization that their session is active in.
    pub organization: Option<ActiveOrganization>,
    /// The way, as the audit trail names it.
    pub way: Way,
    /// The request.
    pub request_id: String,
}

/// The organization that a session is active in, as its token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActiveOrganization {
    /// `org_…`.
    pub clerk_id: ClerkOrganizationId,
    /// The caller's role in it.
    pub role: String,
    /// The name in addresses; an instance may do without.
    pub slug: Option<String>,
}

/// A caller who has an account that may be used.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// Who asks, and how.
    pub asking: Asking,
    /// Their row.
    pub row: Row,
    /// The organization that they act in, if they are a member of it.
    pub organization: Option<LoadedOrganization>,
    /// Clerk says that it does not know them.
    is_unknown_to_clerk: bool,
}

/// The organization that a caller acts in.
#[derive(Debug, Clone, PartialEq)]
pub struct LoadedOrganization {
    /// Its row.
    pub row: organizations::Row,
    /// The caller's membership.
    pub membership: memberships::Row,
}

/// A caller who is an admin.
#[derive(Debug, Clone)]
pub struct Admin {
    /// Who asks, and how.
    pub asking: Asking,
    /// Their row.
    pub row: Row,
}

/// Loads the caller, and the organization that they act in.
///
/// A row that is missing, a placeholder, or was confirmed more than `freshness_seconds` ago is read
/// from Clerk first. If Clerk cannot be reached, the database's row stands; if there is none, a
/// temporary one is made. Who is banned, deprovisioned or deleted is refused.
pub async fn load_caller(
    clerk: &Configured<clerk::Client>,
    db: &Db,
    asking: Asking,
    freshness_seconds: u32,
    deadline: Instant,
) -> Result<Loaded> {
    let organization = asking.organization.as_ref().map(|active| &active.clerk_id);
    let mut rows = db
        .caller(&asking.clerk_id, organization, freshness_seconds)
        .await?;
    let mut is_unknown_to_clerk = false;
    if needs_user(&rows) {
        let clerk = clerk.as_ref().map_err(Clone::clone)?;
        is_unknown_to_clerk = load_user(clerk, db, &asking, &rows, deadline).await?;
        rows = db
            .caller(&asking.clerk_id, organization, freshness_seconds)
            .await?;
    }
    let row = rows.user.clone().ok_or(Error::NO_SUCH_USER)?;
    if row.deleted_at.is_some() {
        return Err(DELETED);
    }
    if !row.is_live() {
        return Err(DISABLED);
    }
    if let Some(active) = asking
        .organization
        .as_ref()
        .filter(|_| needs_organization(&rows))
    {
        let clerk = clerk.as_ref().map_err(Clone::clone)?;
        load_organization(clerk, db, &asking, active, &rows, deadline).await?;
        rows = db
            .caller(&asking.clerk_id, organization, freshness_seconds)
            .await?;
    }
    Ok(Loaded {
        asking,
        row,
        organization: loaded_organization(rows),
        is_unknown_to_clerk,
    })
}

/// Requires a caller to be an admin, by the database, and known to Clerk.
pub fn require_admin(loaded: Loaded) -> Result<Admin> {
    let Loaded {
        asking,
        row,
        organization: _,
        is_unknown_to_clerk,
    } = loaded;
    if is_unknown_to_clerk || row.role != Role::Admin {
        return Err(ADMIN_REQUIRED);
    }
    Ok(Admin { asking, row })
}

fn needs_user(rows: &CallerRows) -> bool {
    match &rows.user {
        None => true,
        Some(row) if row.deleted_at.is_some() => false,
        Some(row) => row.is_placeholder || !rows.is_fresh,
    }
}

/// An organization that is gone stays so, whatever the token says: it may be a minute old.
fn needs_organization(rows: &CallerRows) -> bool {
    match (&rows.organization, &rows.membership) {
        (Some(organization), _) if organization.deleted_at.is_some() => false,
        (Some(organization), Some(membership)) => {
            organization.is_placeholder || membership.is_placeholder || !rows.is_membership_fresh
        }
        _ => true,
    }
}

fn loaded_organization(rows: CallerRows) -> Option<LoadedOrganization> {
    let (row, membership) = rows.organization.zip(rows.membership)?;
    Some(LoadedOrganization { row, membership })
}

/// Reads the caller from Clerk; true if Clerk does not know them.
async fn load_user(
    clerk: &clerk::Client,
    db: &Db,
    asking: &Asking,
    rows: &CallerRows,
    deadline: Instant,
) -> Result<bool> {
    let is_unknown = match clerk.user(&asking.clerk_id, budget(deadline)).await {
        Ok(user) => {
            apply::apply_one(db, sighting_of_user(&user), Check::No).await?;
            return Ok(false);
        }
        Err(error) => {
            tracing::warn!(
                error = chain(&error),
                user.clerk_id = %asking.clerk_id,
                "Clerk could not confirm the caller; the database's answer stands"
            );
            matches!(error, clerk::Error::NotFound { .. })
        }
    };
    if rows.user.is_none() {
        make_temporary_user(db, &asking.clerk_id).await?;
    }
    Ok(is_unknown)
}

/// A row of somebody of whom nothing but the id is known (R17); the rest is owed.
pub(super) async fn make_temporary_user(db: &Db, clerk_id: &ClerkUserId) -> Result<()> {
    let user = placeholders::User {
        clerk_id,
        first_name: None,
        last_name: None,
        username: None,
        image_url: None,
    };
    db.make_placeholders(&[user], &[]).await?;
    Ok(db.owe_organization_walk(clerk_id, true).await?)
}

/// Reads the caller's membership of the organization from Clerk; one of which Clerk knows nothing
/// ends. If Clerk cannot be reached, the token's word serves, unless they were a member before: the
/// token may be older than the end of that.
async fn load_organization(
    clerk: &clerk::Client,
    db: &Db,
    asking: &Asking,
    active: &ActiveOrganization,
    rows: &CallerRows,
    deadline: Instant,
) -> Result<()> {
    let users = std::slice::from_ref(&asking.clerk_id);
    let members = clerk.members_by_id(&active.clerk_id, users, budget(deadline));
    let error = match members.await {
        Ok(memberships) => {
            walk::see(db, &memberships, Check::No).await?;
            if memberships.is_empty() {
                end_membership(db, asking, active, rows).await?;
            }
            return Ok(());
        }
        Err(error) => error,
    };
    tracing::warn!(
        error = chain(&error),
        user.clerk_id = %asking.clerk_id,
        organization.clerk_id = %active.clerk_id,
        "Clerk could not confirm the caller's organization; the database's answer stands"
    );
    // Nobody is in what is not there, as long as it is the same Clerk that knows the caller.
    if let clerk::Error::NotFound { .. } = error
        && clerk.user(&asking.clerk_id, budget(deadline)).await.is_ok()
    {
        return end_membership(db, asking, active, rows).await;
    }
    if !error.is_away() || rows.membership.is_some() || rows.was_member {
        return Ok(());
    }
    let organization = placeholders::Organization {
        clerk_id: &active.clerk_id,
        name: None,
        slug: active.slug.as_deref(),
        image_url: None,
    };
    db.make_placeholders(&[], &[organization]).await?;
    let role = role_key(&active.role);
    db.put_provisional_membership(&active.clerk_id, &asking.clerk_id, &role, true)
        .await?;
    Ok(())
}

/// Ends the membership that was here before Clerk was asked.
async fn end_membership(
    db: &Db,
    asking: &Asking,
    active: &ActiveOrganization,
    rows: &CallerRows,
) -> Result<()> {
    let Some(membership) = &rows.membership else {
        return Ok(());
    };
    let gone = ToRefetch {
        id: membership.id,
        clerk_id: membership.clerk_id.clone(),
        organization: active.clerk_id.clone(),
        user: asking.clerk_id.clone(),
    };
    db.end_memberships(&[&gone]).await?;
    Ok(())
}

fn budget(deadline: Instant) -> Budget {
    let time_left = deadline.saturating_duration_since(Instant::now());
    Budget::once(CONFIRM_TIMEOUT.min(time_left / 2))
}
