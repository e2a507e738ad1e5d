//! The `users` table: how a row is read, and how it is written with all that belongs to the change.

mod list;
mod statistics;

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio_postgres::types::{Json, ToSql, Type};
use tokio_postgres::{Client, Row as PgRow};
use uuid::Uuid;

use super::inbox::Attempt;
use super::{
    Check, Confirms, Db, Error, Written, decode, inbox, memberships, next_try, organizations,
    outbox,
};
use crate::ids::{ClerkOrganizationId, ClerkUserId};

pub use list::{Account, ClerkSync, Filter, Order, Page, Pending, Place, Shown, State};
pub(super) use list::{show_user, shown};
pub use statistics::{Day, Statistics};

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
    /// Set while a walk over the user's organizations is owed.
    pub organizations_refetch_at: Option<Timestamp>,
    /// When the last such walk ended.
    #[serde(skip_serializing)]
    pub organizations_confirmed_at: Option<Timestamp>,
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
    /// Nobody told of the end: Clerk did not know it when it was asked.
    pub is_end_inferred: bool,
    /// Postgres's own version of the row: a write is refused when it has moved on.
    /// None for a row that is yet to be made.
    pub row_version: Option<String>,
}

/// What to look for: a delivery, a user in Clerk, and the address that adopts a row (R5).
#[derive(Debug, Clone, Copy)]
pub struct Key<'a> {
    /// The delivery, if there is one.
    pub delivery: Option<Attempt<'a>>,
    /// The user.
    pub clerk_id: &'a ClerkUserId,
    /// The primary address, if Clerk calls it verified.
    pub verified_email: Option<&'a str>,
    /// When the account was made, in ms by Clerk's clock.
    pub created_at: Option<i64>,
}

/// What the database knew of a [`Key`] when it was asked.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Current {
    /// The delivery was taken in before.
    pub is_recorded: bool,
    /// The row.
    pub row: Option<Row>,
    /// A placeholder of the same user, which a row that comes to the account takes up (R5, R12).
    pub placeholder: Option<Uuid>,
    /// The change of address by which the row, of another account until now, comes to this one (R12).
    pub email_change: Option<Uuid>,
    /// The change of address by which it came, and of which something is left to do.
    pub unfinished_move: Option<Uuid>,
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
    /// The placeholder that it takes up: what hangs on that hangs on this row from now on.
    pub absorbs: Option<Uuid>,
    /// The row moves to another account.
    pub moves: Option<Move>,
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

/// That a row moves to the account of whoever followed an invitation (R12).
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Move {
    /// The change of address; if it is no longer open, nothing is written.
    pub change: Uuid,
    /// The account that the row leaves.
    pub old_clerk_id: ClerkUserId,
    /// The row that stays there: a tombstone.
    pub left_behind: Uuid,
    /// What the new account shall get, as far as we know it.
    pub carry: Carry,
}

/// What a row takes along when it moves to another account: as we know it, until Clerk has shown the
/// old account for the last time.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Carry {
    /// The given name.
    pub first_name: Option<String>,
    /// The family name.
    pub last_name: Option<String>,
    /// The id that the application gave the user in Clerk.
    pub external_id: Option<String>,
    /// Clerk's public metadata, without the role.
    pub public_metadata: Map<String, Value>,
    /// The base of the merge of roles (R8), as it was at the move.
    pub clerk_role: Option<String>,
    /// Ours was on its way to Clerk at the move, and is newer.
    pub is_role_ours: bool,
    /// The role that somebody gave the old account in Clerk without our hearing of it.
    pub role: Option<Role>,
    /// The old account is shut out, and so shall the new one be.
    pub is_banned: bool,
    /// The memberships of the old account; none until they are listed.
    pub memberships: Option<Vec<memberships::Left>>,
    /// The new account has got all but the memberships: what somebody changes there now is newer.
    pub is_given: bool,
}

/// A caller as the database knows them, and the organization that they act in.
#[derive(Debug, Clone, PartialEq)]
pub struct CallerRows {
    /// The user.
    pub user: Option<Row>,
    /// Whether the user's row was confirmed not long ago.
    pub is_fresh: bool,
    /// The organization.
    pub organization: Option<organizations::Row>,
    /// The live membership of the one in the other.
    pub membership: Option<memberships::Row>,
    /// Whether the membership was confirmed not long ago.
    pub is_membership_fresh: bool,
    /// Whether there was ever one.
    pub was_member: bool,
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

impl Write {
    /// The user who ends, and all of their memberships with them (R6): the row itself, or what stays
    /// behind of it.
    fn ends(&self) -> Option<Uuid> {
        let row = self.row.as_ref()?;
        let left_behind = self.moves.as_ref().map(|moves| moves.left_behind);
        left_behind.or(row.deleted_at.map(|_| row.id))
    }

    /// The address that a new row has, which a row without an account may be given meanwhile (R5).
    fn new_address(&self) -> Option<&str> {
        let row = self.row.as_ref()?;
        let is_new = row.row_version.is_none() && row.email_verified;
        row.email.as_deref().filter(|_| is_new)
    }
}

impl Db {
    /// Looks the keys up, in one round trip; the answers come in the order of the keys.
    pub async fn current_users(&self, keys: &[Key<'_>]) -> Result<Vec<Current>, Error> {
        let (svix_ids, n_attempts) = inbox::columns(keys.iter().map(|key| key.delivery));
        let clerk_ids: Vec<_> = keys.iter().map(|key| key.clerk_id.as_str()).collect();
        let emails: Vec<_> = keys.iter().map(|key| key.verified_email).collect();
        let created_at: Vec<_> = keys.iter().map(|key| key.created_at).collect();
        let rows = self
            .run(async |client| {
                let statement = include_str!("users/read.sql");
                let values: [(&(dyn ToSql + Sync), Type); 5] = [
                    (&svix_ids, Type::TEXT_ARRAY),
                    (&n_attempts, Type::INT4_ARRAY),
                    (&clerk_ids, Type::TEXT_ARRAY),
                    (&emails, Type::TEXT_ARRAY),
                    (&created_at, Type::INT8_ARRAY),
                ];
                client.query_typed(statement, &values).await
            })
            .await?;
        rows.iter().map(current).collect()
    }

    /// Does the writes in one transaction, each whole or not at all; one round trip.
    /// Read back, if so wished, by the same transaction.
    ///
    /// Tells, too, whether the last live admin was taken away (R13).
    pub async fn write_users(
        &self,
        writes: &[Write],
        check: Check,
    ) -> Result<(Written<Row>, bool), Error> {
        let is_plain = |write: &Write| {
            !write.loses_admin && write.ends().is_none() && write.new_address().is_none()
        };
        let is_plain = check == Check::No && writes.iter().all(is_plain);
        let done = self
            .run(async |client| {
                if is_plain {
                    let rows = write(client, writes).await?;
                    Ok(Done {
                        rows,
                        ..Done::default()
                    })
                } else {
                    write_and_more(client, writes, check).await
                }
            })
            .await?;
        let written = Written::read(&done.rows, &done.read_back, writes.len())?;
        Ok((written, done.no_admin_left))
    }

    /// The caller's row, and the organization that they act in, if they do, with their membership; and
    /// whether these were confirmed within `freshness_seconds`: one round trip.
    pub async fn caller(
        &self,
        clerk_id: &ClerkUserId,
        organization: Option<&ClerkOrganizationId>,
        freshness_seconds: u32,
    ) -> Result<CallerRows, Error> {
        let statement = include_str!("users/caller.sql");
        let organization = organization.map(ClerkOrganizationId::as_str);
        let freshness = i64::from(freshness_seconds);
        let values: [(&(dyn ToSql + Sync), Type); 3] = [
            (&clerk_id.as_str(), Type::TEXT),
            (&organization, Type::TEXT),
            (&freshness, Type::INT8),
        ];
        let row = self
            .run(async |client| client.query_typed_one(statement, &values).await)
            .await?;
        Ok(CallerRows {
            user: decode(&row, "user")?,
            is_fresh: row.try_get("is_fresh")?,
            organization: decode(&row, "organization")?,
            membership: decode(&row, "membership")?,
            is_membership_fresh: row.try_get("is_membership_fresh")?,
            was_member: row.try_get("was_member")?,
        })
    }

    /// Users that Clerk has to be asked about now, the longest waiting first.
    pub async fn users_to_refetch(&self, limit: i64) -> Result<Vec<ClerkUserId>, Error> {
        let statement = "
            select clerk_id
            from users
            where refetch_at <= now()
                and (deleted_at is null or is_end_inferred)
                and clerk_id is not null
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
        let statement = format!(
            "update users
            set
                n_refetches = n_refetches + 1,
                refetch_at = {}
            where clerk_id = any($1) and refetch_at is not null",
            next_try("n_refetches")
        );
        let users: Vec<_> = users.iter().map(ClerkUserId::as_str).collect();
        self.execute(&statement, &[(&users, Type::TEXT_ARRAY)])
            .await?;
        Ok(())
    }

    /// Whoever of these is over stays so: Clerk was asked, and does not know them. What waited for the
    /// answer is settled.
    pub async fn leave_ended_users(&self, ids: &[ClerkUserId]) -> Result<(), Error> {
        let ids: Vec<_> = ids.iter().map(ClerkUserId::as_str).collect();
        let statement = "
            with ended as (
                update users
                set refetch_at = null, n_refetches = 0
                where clerk_id = any($1) and deleted_at is not null and refetch_at is not null
                returning clerk_id
            )
            update inbox b
            set outcome = 'stale', payload = null
            from ended e
            where b.object_id = e.clerk_id and b.outcome = 'parked'";
        self.execute(statement, &[(&ids, Type::TEXT_ARRAY)]).await?;
        Ok(())
    }

    /// Erases the personal data of users who were deleted more than `retention_days` ago (R3),
    /// and returns how many. At most `limit` at a time.
    pub async fn erase_deleted_users(&self, retention_days: u32, limit: i64) -> Result<u64, Error> {
        let statement = include_str!("users/erase.sql");
        let days = i32::try_from(retention_days).unwrap_or(i32::MAX);
        self.execute(statement, &[(&days, Type::INT4), (&limit, Type::INT8)])
            .await
    }
}

/// What the statements of a write answered.
#[derive(Debug, Default)]
struct Done {
    rows: Vec<PgRow>,
    read_back: Vec<PgRow>,
    no_admin_left: bool,
}

async fn write(client: &Client, writes: &[Write]) -> Result<Vec<PgRow>, tokio_postgres::Error> {
    let statement = include_str!("users/write.sql");
    client
        .query_typed(statement, &[(&Json(writes), Type::JSONB)])
        .await
}

/// The same in a transaction with what has to follow, all sent in one go:
/// where a row moves to another account (R12), nobody writes anything that hangs on it meanwhile;
/// where an admin is taken away, nobody else takes one (R13), and those who are left are counted;
/// where a row is made, nobody else gives its address to a row that it would have adopted (R5);
/// the memberships of users who end do so in a statement of their own, which sees those that
/// somebody finished writing while this transaction waited for the user (R6);
/// and at last what was written is read.
async fn write_and_more(
    client: &Client,
    writes: &[Write],
    check: Check,
) -> Result<Done, tokio_postgres::Error> {
    let loses_admin = writes.iter().any(|write| write.loses_admin);
    let ended: Vec<Uuid> = writes.iter().filter_map(Write::ends).collect();
    let ends = !ended.is_empty();
    let written: Vec<Uuid> = rows_of(writes).collect();
    let claimed: Vec<_> = writes.iter().filter_map(Write::new_address).collect();
    let end = include_str!("memberships/end_of_users.sql");
    let read = "
        select to_jsonb(u) || jsonb_build_object('row_version', u.xmin::text) as row
        from users u
        where u.id = any($1)";
    let ended: [(&(dyn ToSql + Sync), Type); 1] = [(&ended, Type::UUID_ARRAY)];
    let written: [(&(dyn ToSql + Sync), Type); 1] = [(&written, Type::UUID_ARRAY)];
    let addresses: [(&(dyn ToSql + Sync), Type); 1] = [(&claimed, Type::TEXT_ARRAY)];
    let moves = writes.iter().any(|write| write.moves.is_some());
    let touched: Vec<Uuid> = rows_of(writes)
        .chain(writes.iter().filter_map(|it| it.absorbs))
        .collect();
    let touched: [(&(dyn ToSql + Sync), Type); 1] = [(&touched, Type::UUID_ARRAY)];
    let (begun, locked, held, kept, rows, n_ended, n_admins, read_back, committed) = tokio::join!(
        biased;
        client.batch_execute("begin"),
        only_if(loses_admin, client.query_typed(LOCK_ADMINS, &[])),
        only_if(!claimed.is_empty(), client.query_typed(LOCK_ADDRESSES, &addresses)),
        only_if(moves, client.query_typed(LOCK_ROWS, &touched)),
        write(client, writes),
        only_if(ends, client.execute_typed(end, &ended)),
        only_if(loses_admin, count_admins(client, writes)),
        only_if(check == Check::ReadBack, client.query_typed(read, &written)),
        client.batch_execute("commit"),
    );
    begun?;
    locked?;
    held?;
    kept?;
    let rows = rows?;
    n_ended?;
    let n_admins = n_admins?;
    let read_back = read_back?.unwrap_or_default();
    committed?;
    Ok(Done {
        rows,
        read_back,
        no_admin_left: n_admins == Some(0),
    })
}

fn rows_of(writes: &[Write]) -> impl Iterator<Item = Uuid> {
    let rows = writes.iter().filter_map(|write| write.row.as_ref());
    rows.map(|row| row.id)
}

async fn only_if<T>(
    is_wanted: bool,
    statement: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<Option<T>, tokio_postgres::Error> {
    if is_wanted {
        statement.await.map(Some)
    } else {
        Ok(None)
    }
}

/// How many live admins are left; if none, the deliveries that took the last one say so.
async fn count_admins(client: &Client, writes: &[Write]) -> Result<i64, tokio_postgres::Error> {
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
    let explained: [(&(dyn ToSql + Sync), Type); 1] = [(&svix_ids, Type::TEXT_ARRAY)];
    let (counted, noted) = tokio::join!(
        biased;
        client.query_typed_one(&count, &[]),
        client.execute_typed(&explain, &explained),
    );
    let n_admins = counted?.try_get(0)?;
    noted?;
    Ok(n_admins)
}

/// One after the other, whoever takes an admin away: until the end of the transaction (R13).
pub(super) const LOCK_ADMINS: &str = "select pg_advisory_xact_lock(hashtext('clerk-sync admins'))";

/// One after the other, whoever gives users these addresses (R5, R11, R12): until the end of the
/// transaction. In one order, so that two batches cannot deadlock.
pub(super) const LOCK_ADDRESSES: &str = "
    select pg_advisory_xact_lock(k.key)
    from (
        select distinct hashtextextended('clerk-sync address ' || lower(address), 0) as key
        from unnest($1::text[]) as address
        order by key
    ) k";

/// Waits for whoever writes something that hangs on these rows, in a statement of its own: the next
/// one sees what they wrote.
const LOCK_ROWS: &str = "
    select from users u where u.id = any($1) order by u.id for update";

/// [`Row::is_live_admin`] in SQL, for `users u`.
pub(super) const LIVE_ADMIN: &str = "
    u.role = 'ADMIN' and u.deleted_at is null and not u.banned and not u.deprovisioned
    and u.clerk_id is not null";

fn current(row: &PgRow) -> Result<Current, Error> {
    Ok(Current {
        is_recorded: row.try_get::<_, Option<String>>("recorded")?.is_some(),
        row: decode(row, "row")?,
        placeholder: row.try_get("placeholder")?,
        email_change: row.try_get("email_change")?,
        unfinished_move: row.try_get("unfinished_move")?,
        push: decode(row, "push")?,
    })
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
