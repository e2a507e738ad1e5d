//! The `users` table: how a row is read, and how it is written with all that belongs to the change.

mod list;

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio_postgres::types::{Json, Type};
use tokio_postgres::{Client, Row as PgRow};
use uuid::Uuid;

use super::{Db, Error, inbox, outbox};
use crate::ids::{ClerkUserId, SvixId};

pub use list::{ClerkSync, Filter, Order, Page, Place, Shown, State, Statistics};

/// What a user may do in the application, least first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Role {
    /// The default.
    Student,
    /// Teaches.
    Instructor,
    /// May change the roles of others.
    Admin,
}

/// A row of `users`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "a row has the columns that the table has"
)]
pub struct Row {
    /// Ours.
    pub id: Uuid,
    /// Clerk's, once the person has an account there.
    pub clerk_id: Option<ClerkUserId>,
    /// The primary address.
    pub email: Option<String>,
    /// Whether Clerk calls that address verified.
    pub email_verified: bool,
    /// The given name.
    pub first_name: Option<String>,
    /// The family name.
    pub last_name: Option<String>,
    /// Both names in one, made by the database.
    #[serde(skip_serializing)]
    pub name: Option<String>,
    /// The name to sign in with.
    pub username: Option<String>,
    /// The picture.
    pub image_url: Option<String>,
    /// The id that the application gave the user in Clerk.
    pub external_id: Option<String>,
    /// The role that counts.
    pub role: Role,
    /// The base of the merge (R8): none if Clerk never had a role, empty if it has none any more.
    pub clerk_role: Option<String>,
    /// Clerk refuses our roles for this user, since a directory owns it.
    pub role_owned_by_directory: bool,
    /// Clerk's public metadata.
    pub public_metadata: Map<String, Value>,
    /// Ours alone; Clerk does not know it.
    pub builder_group_id: Option<String>,
    /// Banned in Clerk.
    pub banned: bool,
    /// Locked in Clerk for a while, after too many wrong passwords.
    pub locked: bool,
    /// Taken away by a directory.
    pub deprovisioned: bool,
    /// Made before the real information came.
    pub is_placeholder: bool,
    /// As Clerk has it.
    pub last_sign_in_at: Option<Timestamp>,
    /// `updated_at` of the Clerk object that the row was last written from, in ms (R2).
    pub clerk_version: i64,
    /// Set while Clerk has to be asked what is true.
    pub refetch_at: Option<Timestamp>,
    /// How often it was asked in vain.
    pub n_refetches: i32,
    /// When the row was last known to be what Clerk has.
    #[serde(skip_serializing)]
    pub confirmed_at: Option<Timestamp>,
    /// When the user came to be, in Clerk or here.
    pub created_at: Timestamp,
    /// When the row last changed in a way that shows.
    #[serde(skip_serializing)]
    pub updated_at: Option<Timestamp>,
    /// The tombstone (R3).
    pub deleted_at: Option<Timestamp>,
    /// Postgres's own version of the row: a write is refused when it has moved on.
    /// None for a row that is yet to be made.
    pub row_version: Option<String>,
}

/// What to look for: a delivery, a user in Clerk, and the address that adopts a row (R5).
#[derive(Debug, Clone, Copy)]
pub struct Key<'a> {
    /// The delivery, if there is one.
    pub svix_id: Option<&'a SvixId>,
    /// The user.
    pub clerk_id: &'a ClerkUserId,
    /// The primary address, if Clerk calls it verified.
    pub verified_email: Option<&'a str>,
}

/// What the database knew of a [`Key`] when it was asked.
#[derive(Debug, Clone, PartialEq)]
pub struct Current {
    /// The delivery was taken in before.
    pub is_recorded: bool,
    /// The row.
    pub row: Option<Row>,
    /// The role push that is open for it.
    pub push: Option<outbox::Push>,
}

/// One change, with all that has to be written in its transaction; nothing by default.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Write {
    /// The delivery that it comes from.
    pub inbox: Option<inbox::Entry>,
    /// The row as it shall be; none if only the delivery is recorded.
    pub row: Option<Row>,
    /// Whether the row is now known to be what Clerk has.
    pub confirms: Option<Confirms>,
    /// Whether a change shows, so that `updated_at` moves.
    pub touches: bool,
    /// The audit row.
    pub role_change: Option<super::role_changes::New>,
    /// What becomes of the role push.
    pub push: Option<PushChange>,
    /// Whether it settles deliveries that were parked until the object was read again.
    pub settles: bool,
    /// Whether a live admin ceases to be one: then admins are counted, one change after another.
    #[serde(skip)]
    pub loses_admin: bool,
}

/// Since when the row is known to be what Clerk has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Confirms {
    /// Clerk was asked just now.
    Now,
    /// It was so when the version was made.
    AsOfVersion,
}

/// What becomes of the role push of a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum PushChange {
    /// The row's role is owed to Clerk.
    Open,
    /// It has reached Clerk.
    Complete {
        /// The entry.
        id: i64,
    },
    /// Clerk's role is newer and wins.
    Cancel {
        /// The entry.
        id: i64,
    },
}

/// What came of a batch of writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// For each write, whether it was done; if not, the row had changed, or the delivery was known.
    pub is_done: Vec<bool>,
    /// True if a write took the last live admin away (R13).
    pub no_admin_left: bool,
}

impl Row {
    /// Whether the user may sign in.
    pub fn is_live(&self) -> bool {
        self.deleted_at.is_none() && !self.banned && !self.deprovisioned
    }

    /// Whether the user can act as an admin: what R13 counts.
    pub fn is_live_admin(&self) -> bool {
        self.is_live() && self.role == Role::Admin && self.clerk_id.is_some()
    }
}

impl Db {
    /// Looks the keys up, in one round trip; the answers come in the order of the keys.
    pub async fn current_users(&self, keys: &[Key<'_>]) -> Result<Vec<Current>, Error> {
        let svix_ids: Vec<_> = keys
            .iter()
            .map(|key| key.svix_id.map(SvixId::as_str))
            .collect();
        let clerk_ids: Vec<_> = keys.iter().map(|key| key.clerk_id.as_str()).collect();
        let emails: Vec<_> = keys.iter().map(|key| key.verified_email).collect();
        let rows = self
            .run(async |client| {
                let statement = include_str!("users/read.sql");
                let values: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 3] = [
                    (&svix_ids, Type::TEXT_ARRAY),
                    (&clerk_ids, Type::TEXT_ARRAY),
                    (&emails, Type::TEXT_ARRAY),
                ];
                client.query_typed(statement, &values).await
            })
            .await?;
        rows.iter().map(current).collect()
    }

    /// Does the writes in one transaction, each whole or not at all; one round trip.
    pub async fn write_users(&self, writes: &[Write]) -> Result<Written, Error> {
        let loses_admin = writes.iter().any(|write| write.loses_admin);
        let (places, no_admin_left) = self
            .run(async |client| {
                if loses_admin {
                    write_counted(client, writes).await
                } else {
                    write(client, writes).await
                }
            })
            .await?;
        let mut is_done = vec![false; writes.len()];
        for place in places {
            let index = usize::try_from(place - 1).map_err(Error::unreadable)?;
            if let Some(done) = is_done.get_mut(index) {
                *done = true;
            }
        }
        Ok(Written {
            is_done,
            no_admin_left,
        })
    }

    /// The caller's row, and whether it was confirmed within `freshness_seconds`.
    pub async fn caller(
        &self,
        clerk_id: &ClerkUserId,
        freshness_seconds: u32,
    ) -> Result<Option<(Row, bool)>, Error> {
        let statement = "
            select
                to_jsonb(u) || jsonb_build_object('row_version', u.xmin::text) as row,
                coalesce(u.confirmed_at > now() - make_interval(secs => $2::bigint), false)
                    as is_fresh
            from users u
            where u.clerk_id = $1";
        let freshness = i64::from(freshness_seconds);
        let row = self
            .run(async |client| {
                let values: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 2] =
                    [(&clerk_id.as_str(), Type::TEXT), (&freshness, Type::INT8)];
                client.query_typed_opt(statement, &values).await
            })
            .await?;
        row.map(|row| Ok((decode(&row, "row")?, row.try_get("is_fresh")?)))
            .transpose()
    }

    /// Users that Clerk has to be asked about now, the longest waiting first.
    pub async fn users_to_refetch(&self, limit: i64) -> Result<Vec<ClerkUserId>, Error> {
        let statement = "
            select clerk_id
            from users
            where refetch_at <= now() and deleted_at is null and clerk_id is not null
            order by refetch_at
            limit $1";
        let rows = self
            .run(async |client| client.query_typed(statement, &[(&limit, Type::INT8)]).await)
            .await?;
        let id = |row: &PgRow| {
            row.try_get::<_, String>(0)?
                .parse::<ClerkUserId>()
                .map_err(Error::unreadable)
        };
        rows.iter().map(id).collect()
    }

    /// Puts off the next question for users about whom Clerk gave no answer:
    /// 5 s, doubling, at most 10 min.
    pub async fn put_off_refetch(&self, users: &[ClerkUserId]) -> Result<(), Error> {
        let statement = "
            update users
            set
                n_refetches = n_refetches + 1,
                refetch_at = now() + make_interval(secs => least(600, 5 * 2 ^ least(n_refetches, 10)))
            where clerk_id = any($1) and refetch_at is not null";
        let users: Vec<_> = users.iter().map(ClerkUserId::as_str).collect();
        self.run(async |client| {
            client
                .execute_typed(statement, &[(&users, Type::TEXT_ARRAY)])
                .await
        })
        .await?;
        Ok(())
    }

    /// Erases the personal data of users who were deleted more than `retention_days` ago (R3),
    /// and returns how many. At most `limit` at a time.
    pub async fn erase_deleted_users(&self, retention_days: u32, limit: i64) -> Result<u64, Error> {
        let statement = "
            with due as (
                select id, clerk_id
                from users
                where deleted_at < now() - make_interval(days => $1)
                    and erased_at is null
                order by deleted_at
                limit $2
                for update skip locked
            ),
            payloads as (
                update inbox b
                set payload = null
                from due
                where b.object_id = due.clerk_id and b.payload is not null
            )
            update users u
            set
                email = null, email_verified = false, first_name = null, last_name = null,
                username = null, image_url = null, external_id = null, public_metadata = '{}',
                last_sign_in_at = null, erased_at = now()
            from due
            where u.id = due.id";
        let days = i32::try_from(retention_days).unwrap_or(i32::MAX);
        self.run(async |client| {
            client
                .execute_typed(statement, &[(&days, Type::INT4), (&limit, Type::INT8)])
                .await
        })
        .await
    }
}

async fn write(
    client: &Client,
    writes: &[Write],
) -> Result<(Vec<i64>, bool), tokio_postgres::Error> {
    let statement = include_str!("users/write.sql");
    let rows = client
        .query_typed(statement, &[(&Json(writes), Type::JSONB)])
        .await?;
    Ok((places(&rows)?, false))
}

/// The same in a transaction in which nobody else takes an admin away,
/// sent in one go: five statements, one round trip.
async fn write_counted(
    client: &Client,
    writes: &[Write],
) -> Result<(Vec<i64>, bool), tokio_postgres::Error> {
    let statement = include_str!("users/write.sql");
    let count = format!("select count(*) from users u where {LIVE_ADMIN}");
    let svix_ids: Vec<_> = writes
        .iter()
        .filter(|write| write.loses_admin)
        .filter_map(|write| write.inbox.as_ref().map(|entry| entry.svix_id.as_str()))
        .collect();
    let explain = format!(
        "update inbox
        set detail = detail || '{{\"noAdminLeft\": true}}'
        where svix_id = any($1) and not exists (select from users u where {LIVE_ADMIN})"
    );
    let values = [(
        &Json(writes) as &(dyn tokio_postgres::types::ToSql + Sync),
        Type::JSONB,
    )];
    let explained = [(
        &svix_ids as &(dyn tokio_postgres::types::ToSql + Sync),
        Type::TEXT_ARRAY,
    )];
    let (begun, locked, rows, counted, noted, committed) = tokio::join!(
        biased;
        client.batch_execute("begin"),
        client.query_typed(LOCK_ADMINS, &[]),
        client.query_typed(statement, &values),
        client.query_typed_one(&count, &[]),
        client.execute_typed(&explain, &explained),
        client.batch_execute("commit"),
    );
    begun?;
    locked?;
    let rows = rows?;
    let n_admins: i64 = counted?.try_get(0)?;
    noted?;
    committed?;
    Ok((places(&rows)?, n_admins == 0))
}

/// One after the other, whoever takes an admin away: until the end of the transaction (R13).
pub(super) const LOCK_ADMINS: &str = "select pg_advisory_xact_lock(hashtext('clerk-sync admins'))";

/// [`Row::is_live_admin`] in SQL, for `users u`.
pub(super) const LIVE_ADMIN: &str = "
    u.role = 'ADMIN' and u.deleted_at is null and not u.banned and not u.deprovisioned
    and u.clerk_id is not null";

fn places(rows: &[PgRow]) -> Result<Vec<i64>, tokio_postgres::Error> {
    rows.iter().map(|row| row.try_get("n")).collect()
}

fn current(row: &PgRow) -> Result<Current, Error> {
    Ok(Current {
        is_recorded: row.try_get::<_, Option<String>>("recorded")?.is_some(),
        row: decode(row, "row")?,
        push: decode(row, "push")?,
    })
}

/// Reads a column of JSON; an SQL null is a JSON null.
pub(super) fn decode<T: serde::de::DeserializeOwned>(
    row: &PgRow,
    column: &str,
) -> Result<T, Error> {
    let value: Option<Value> = row.try_get(column)?;
    T::deserialize(value.unwrap_or_default()).map_err(Error::unreadable)
}

impl Role {
    /// As it is spelled everywhere.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Student => "STUDENT",
            Self::Instructor => "INSTRUCTOR",
            Self::Admin => "ADMIN",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text is none of the three roles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("The role must be STUDENT, INSTRUCTOR or ADMIN.")]
pub struct UnknownRole;

impl FromStr for Role {
    type Err = UnknownRole;

    /// Case and surrounding blanks aside (R8).
    fn from_str(text: &str) -> Result<Self, UnknownRole> {
        let text = text.trim();
        [Self::Student, Self::Instructor, Self::Admin]
            .into_iter()
            .find(|role| role.as_str().eq_ignore_ascii_case(text))
            .ok_or(UnknownRole)
    }
}
