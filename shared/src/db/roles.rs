//! Sets roles: the row, its audit row and what is owed to Clerk, for one user or for many.

use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Row as PgRow};
use uuid::Uuid;

use super::role_changes::Source;
use super::users::LOCK_ADMINS;
use super::{Db, Error, Role, decode, outbox};
use crate::ids::{UserId, UserRef};

/// A role for some users, by somebody.
#[derive(Debug, Clone, Copy)]
pub struct Change<'a> {
    /// Whose role.
    pub users: &'a [UserRef],
    /// The role that they shall have.
    pub role: Role,
    /// The role that they must have now, if the caller says so.
    pub expected_role: Option<Role>,
    /// The row of the admin who asks: still an admin when the change is made.
    pub actor: UserId,
    /// How the audit trail names them.
    pub actor_name: &'a str,
    /// The way.
    pub source: Source,
    /// The request.
    pub request_id: &'a str,
    /// Who tries to deliver to Clerk at once; nobody else may for a while.
    pub lease: Uuid,
}

/// What came of it for one user.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// The row has the role.
    Done {
        /// The row.
        user_id: UserId,
        /// What is owed to Clerk and ours to deliver now.
        owed: Option<outbox::Owed>,
        /// Whether Clerk does not have the role yet.
        is_pending: bool,
    },
    /// The row was left as it is.
    Refused(Refusal),
}

/// Why a role was not set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// There is no such user, or none any more.
    NotFound,
    /// The caller ceased to be an admin.
    AdminRequired,
    /// The role is not the expected one.
    RoleChanged,
    /// Nobody would be left to set roles (R13).
    LastAdmin,
    /// Clerk takes the role from a directory only.
    RoleOwnedByDirectory,
}

impl Db {
    /// Sets the role of all named users in one transaction and one round trip.
    /// The verdicts come in the order of the users.
    pub async fn set_roles(&self, change: &Change<'_>) -> Result<Vec<Verdict>, Error> {
        let rows = self.run(async |client| set(client, change).await).await?;
        rows.iter().map(verdict).collect()
    }
}

async fn set(client: &Client, change: &Change<'_>) -> Result<Vec<PgRow>, tokio_postgres::Error> {
    let (ids, clerk_ids): (Vec<_>, Vec<_>) = change.users.iter().map(UserRef::split).unzip();
    let role = change.role.as_str();
    let expected_role = change.expected_role.map(Role::as_str);
    let source = match change.source {
        Source::AdminPanel => "admin_panel",
        Source::Api => "api",
        Source::Webhook => "webhook",
        Source::Reconcile => "reconcile",
    };
    let values: [(&(dyn ToSql + Sync), Type); 10] = [
        (&ids, Type::UUID_ARRAY),
        (&clerk_ids, Type::TEXT_ARRAY),
        (&role, Type::TEXT),
        (&expected_role, Type::TEXT),
        (&change.actor.0, Type::UUID),
        (&change.actor_name, Type::TEXT),
        (&source, Type::TEXT),
        (&change.request_id, Type::TEXT),
        (&change.lease, Type::UUID),
        (&outbox::LEASE.as_secs_f64(), Type::FLOAT8),
    ];
    let (begun, locked, rows, committed) = tokio::join!(
        biased;
        client.batch_execute("begin"),
        client.query_typed(LOCK_ADMINS, &[]),
        client.query_typed(include_str!("roles/set.sql"), &values),
        client.batch_execute("commit"),
    );
    begun?;
    locked?;
    let rows = rows?;
    committed?;
    Ok(rows)
}

fn verdict(row: &PgRow) -> Result<Verdict, Error> {
    let refusal = match row.try_get("code")? {
        "ok" | "unchanged" => {
            return Ok(Verdict::Done {
                user_id: UserId(row.try_get("id")?),
                owed: decode(row, "owed")?,
                is_pending: row.try_get("is_pending")?,
            });
        }
        "not_found" => Refusal::NotFound,
        "admin_required" => Refusal::AdminRequired,
        "role_changed" => Refusal::RoleChanged,
        "last_admin" => Refusal::LastAdmin,
        "role_owned_by_directory" => Refusal::RoleOwnedByDirectory,
        code => return Err(Error::unreadable(format!("unknown verdict {code}"))),
    };
    Ok(Verdict::Refused(refusal))
}
