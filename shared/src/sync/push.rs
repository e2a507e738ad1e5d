//! Sets roles here and owes them to Clerk; tries once, at once, to deliver (R9).

use std::time::{Duration, Instant};

use uuid::Uuid;

use super::Admin;
use super::deliver::{self, Batch};
use crate::clerk;
use crate::db::roles::{Change, Refusal, Verdict};
use crate::db::users::{ClerkSync, Shown};
use crate::db::{Db, Role};
use crate::ids::{UserId, UserRef};
use crate::telemetry::chain;
use crate::{Error, Result};

/// How long the caller waits for Clerk, for one user.
const INLINE_TIMEOUT: Duration = Duration::from_secs(2);
/// How long the caller waits for Clerk, for many.
const INLINE_TIMEOUT_BULK: Duration = Duration::from_secs(5);

/// A role that was set.
#[derive(Debug, Clone, PartialEq)]
pub struct RoleSet {
    /// The user, as they are now.
    pub user: Shown,
    /// Whether Clerk has the role.
    pub clerk_sync: ClerkSync,
}

/// What came of setting a role, for one user of many.
pub type RoleResult = Result<ClerkSync>;

/// Sets the role of one user; if `expected_role` is given, only where it is the role now.
pub async fn set_role(
    clerk: &clerk::Client,
    db: &Db,
    admin: &Admin,
    user: &UserRef,
    role: Role,
    expected_role: Option<Role>,
    deadline: Instant,
) -> Result<RoleSet> {
    let users = std::slice::from_ref(user);
    let within = deliver_until(deadline, INLINE_TIMEOUT);
    let mut results = set(clerk, db, admin, users, role, expected_role, within).await?;
    let clerk_sync = results.pop().ok_or(Error::NO_SUCH_USER)??;
    let user = db.shown_user(user).await?.ok_or(Error::NO_SUCH_USER)?;
    Ok(RoleSet { user, clerk_sync })
}

/// Sets the role of many users; the results come in their order.
pub async fn set_roles(
    clerk: &clerk::Client,
    db: &Db,
    admin: &Admin,
    users: &[UserRef],
    role: Role,
    deadline: Instant,
) -> Result<Vec<RoleResult>> {
    let within = deliver_until(deadline, INLINE_TIMEOUT_BULK);
    set(clerk, db, admin, users, role, None, within).await
}

async fn set(
    clerk: &clerk::Client,
    db: &Db,
    admin: &Admin,
    users: &[UserRef],
    role: Role,
    expected_role: Option<Role>,
    deliver_until: Instant,
) -> Result<Vec<RoleResult>> {
    let lease = Uuid::new_v4();
    let change = Change {
        users,
        role,
        expected_role,
        actor: UserId(admin.row.id),
        actor_name: admin.asking.clerk_id.as_str(),
        source: admin.asking.way,
        request_id: &admin.asking.request_id,
        lease,
    };
    let verdicts = db.set_roles(&change).await?;
    if verdicts.contains(&Verdict::Refused(Refusal::AdminRequired)) {
        return Err(super::load::ADMIN_REQUIRED);
    }
    let owed = verdicts.iter().filter_map(owed).collect();
    let batch = Batch {
        lease,
        owed,
        tries_each: INLINE_TIMEOUT,
        until: deliver_until,
    };
    // The roles are set, whatever becomes of their delivery.
    let delivered = Box::pin(deliver::deliver_at_once(clerk, db, batch))
        .await
        .unwrap_or_else(|error| {
            tracing::warn!(
                error = chain(&error),
                "roles were set and not delivered; the next reconcile delivers them"
            );
            deliver::Delivered::default()
        });
    tracing::info!(
        request.id = admin.asking.request_id,
        n_users = users.len(),
        n_delivered = delivered.done.len(),
        role = %role,
        "set roles"
    );
    Ok(verdicts
        .iter()
        .map(|verdict| result(verdict, &delivered))
        .collect())
}

fn owed(verdict: &Verdict) -> Option<crate::db::outbox::Owed> {
    match verdict {
        Verdict::Done { owed, .. } => owed.clone(),
        Verdict::Refused(_) => None,
    }
}

fn result(verdict: &Verdict, delivered: &deliver::Delivered) -> RoleResult {
    match verdict {
        Verdict::Done { user_id, .. } if delivered.owned_by_directory.contains(user_id) => {
            Err(refused(Refusal::RoleOwnedByDirectory))
        }
        Verdict::Done { user_id, .. } if delivered.done.contains(user_id) => Ok(ClerkSync::Synced),
        Verdict::Done { user_id, .. } if delivered.dead.contains(user_id) => Ok(ClerkSync::Dead),
        Verdict::Done {
            is_pending: true, ..
        } => Ok(ClerkSync::Pending),
        Verdict::Done {
            is_pending: false, ..
        } => Ok(ClerkSync::Synced),
        Verdict::Refused(refusal) => Err(refused(*refusal)),
    }
}

fn refused(refusal: Refusal) -> Error {
    let conflict = |code, message| Error::Conflict { code, message };
    match refusal {
        Refusal::NotFound => Error::NO_SUCH_USER,
        Refusal::AdminRequired => super::load::ADMIN_REQUIRED,
        Refusal::RoleChanged => conflict(
            "role_changed",
            "The role was changed by somebody else meanwhile. Look at it again.",
        ),
        Refusal::LastAdmin => conflict(
            "last_admin",
            "This is the last admin. Make somebody else an admin first.",
        ),
        Refusal::RoleOwnedByDirectory => conflict(
            "role_owned_by_directory",
            "The role comes from the user's directory. Change it there.",
        ),
    }
}

/// The time for Clerk, leaving the caller's answer a second to be written.
fn deliver_until(deadline: Instant, timeout: Duration) -> Instant {
    let now = Instant::now();
    let spare = deadline
        .saturating_duration_since(now)
        .saturating_sub(Duration::from_secs(1));
    now + timeout.min(spare)
}
