//! The `outbox` table: what we owe Clerk, until it is delivered or dead (R9).

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio_postgres::types::{Json, ToSql, Type};
use uuid::Uuid;

use super::{Db, Error, Role, decode};
use crate::ids::{ClerkUserId, UserId};

/// How long one sandbox may be the only one to deliver an entry.
pub const LEASE: Duration = Duration::from_secs(30);
/// An entry that could not be delivered for so long is dead.
const PATIENCE_HOURS: i32 = 24;

/// An open role push, as the merge of roles sees it (R8).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Push {
    /// The entry.
    pub id: i64,
    /// When the role was decided: what Clerk shows later than this is newer.
    pub decided_at: Timestamp,
    /// The role of the last attempt, which may have reached Clerk.
    pub sent_role: Option<String>,
}

/// A role that is ours to deliver, for as long as the lease lasts.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Owed {
    /// The entry.
    pub id: i64,
    /// What was open when it was taken; a newer change has a higher one.
    pub generation: i32,
    user_id: Uuid,
    /// The user in Clerk.
    pub clerk_id: ClerkUserId,
    payload: Payload,
    /// How often it was tried, this time included.
    pub n_attempts: u32,
    leased_by: Option<Uuid>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Payload {
    role: Role,
}

/// An attempt that did not deliver.
#[derive(Debug, Clone, Serialize)]
pub struct Failure {
    id: i64,
    generation: i32,
    lease: Option<Uuid>,
    /// A code, for people: never a body.
    last_error: String,
    next_attempt_in_ms: u64,
    is_permanent: bool,
    /// Whether Clerk says that a directory owns the role: then its own role is taken back.
    is_owned_by_directory: bool,
}

/// Why and for how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// A code, for people: never a body.
    pub code: String,
    /// When to try again.
    pub wait: Duration,
    /// Trying again cannot help.
    pub is_permanent: bool,
    /// A directory owns the role.
    pub is_owned_by_directory: bool,
}

impl Owed {
    /// The role that Clerk shall have.
    pub fn role(&self) -> Role {
        self.payload.role
    }

    /// The row.
    pub fn user_id(&self) -> UserId {
        UserId(self.user_id)
    }

    /// The attempt failed.
    pub fn failed(&self, reason: Reason) -> Failure {
        let Reason {
            code,
            wait,
            is_permanent,
            is_owned_by_directory,
        } = reason;
        Failure {
            id: self.id,
            generation: self.generation,
            lease: self.leased_by,
            last_error: code,
            next_attempt_in_ms: u64::try_from(wait.as_millis()).unwrap_or(u64::MAX),
            is_permanent,
            is_owned_by_directory,
        }
    }
}

impl Db {
    /// Takes up to `limit` entries that are due, the longest due first, for this `lease` alone.
    pub async fn lease_pushes(&self, lease: Uuid, limit: i64) -> Result<Vec<Owed>, Error> {
        let statement = "
            with due as (
                select o.id
                from outbox o
                where o.completed_at is null
                    and o.dead_at is null
                    and o.next_attempt_at <= now()
                    and (o.leased_until is null or o.leased_until <= now())
                order by o.next_attempt_at
                limit $2
                for update skip locked
            )
            update outbox o
            set
                leased_by = $1,
                leased_until = now() + make_interval(secs => $3),
                n_attempts = o.n_attempts + 1,
                sent_role = o.payload ->> 'role'
            from due, users u
            where o.id = due.id and u.id = o.user_id
            returning to_jsonb(o) || jsonb_build_object('clerk_id', u.clerk_id) as owed";
        let values: [(&(dyn ToSql + Sync), Type); 3] = [
            (&lease, Type::UUID),
            (&limit, Type::INT8),
            (&LEASE.as_secs_f64(), Type::FLOAT8),
        ];
        let rows = self
            .run(async |client| client.query_typed(statement, &values).await)
            .await?;
        rows.iter().map(|row| decode(row, "owed")).collect()
    }

    /// How many entries are open, and how old the oldest is.
    pub async fn outbox_depth(&self) -> Result<(u64, Option<Duration>), Error> {
        let statement = "
            select count(*), extract(epoch from now() - min(created_at))::float8
            from outbox
            where completed_at is null and dead_at is null";
        let row = self
            .run(async |client| client.query_typed_one(statement, &[]).await)
            .await?;
        let n_open: i64 = row.try_get(0)?;
        let age: Option<f64> = row.try_get(1)?;
        let age = age.map(|seconds| Duration::try_from_secs_f64(seconds).unwrap_or_default());
        Ok((u64::try_from(n_open).map_err(Error::unreadable)?, age))
    }

    /// Gives back entries that were not tried, or whose newest role is yet to be delivered.
    pub async fn release_pushes(&self, ids: &[i64], lease: Uuid) -> Result<(), Error> {
        let statement = "
            update outbox
            set
                leased_until = null,
                leased_by = null,
                n_attempts = greatest(n_attempts - 1, 0),
                next_attempt_at = now()
            where id = any($1) and leased_by = $2 and completed_at is null and dead_at is null";
        let values: [(&(dyn ToSql + Sync), Type); 2] =
            [(&ids, Type::INT8_ARRAY), (&lease, Type::UUID)];
        self.execute(statement, &values).await?;
        Ok(())
    }

    /// Notes failed attempts: each is tried again later, or is dead with its reason.
    pub async fn fail_pushes(&self, failures: &[Failure]) -> Result<(), Error> {
        let statement = include_str!("outbox/fail.sql");
        let values: [(&(dyn ToSql + Sync), Type); 2] = [
            (&Json(failures), Type::JSONB),
            (&PATIENCE_HOURS, Type::INT4),
        ];
        self.execute(statement, &values).await?;
        Ok(())
    }
}
