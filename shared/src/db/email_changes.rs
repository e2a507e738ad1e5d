//! The `email_changes` table: new addresses for users who have a Clerk account, by invitation (R12).

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio_postgres::types::{Json, ToSql, Type};
use tokio_postgres::{Client, Row as PgRow};
use uuid::Uuid;

use super::memberships::Left;
use super::users::{Carry, LOCK_ADDRESSES};
use super::{Db, Error, decode, next_try};
use crate::ids::{ClerkUserId, UserRef};

/// How far a change of address has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Clerk is being asked for an invitation.
    Requested,
    /// The invitation was sent.
    Invited,
    /// The row is on the new account, and the old one is still to be removed.
    Moved,
    /// The old account is removed.
    Done,
    /// Somebody took the invitation back.
    Revoked,
    /// Nobody followed the invitation in time.
    Expired,
    /// It cannot be carried out; the reason says why.
    Failed,
}

/// How a change of address ends without a move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Somebody took the invitation back.
    Revoked,
    /// Nobody followed the invitation in time.
    Expired,
    /// It cannot be carried out, for this reason: a code, for people.
    Failed(&'static str),
}

/// A change of address.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Change {
    /// Which one.
    pub id: Uuid,
    /// Whose.
    pub user_id: Uuid,
    /// The account that the row leaves.
    pub old_clerk_id: ClerkUserId,
    /// The new address; none once the user's personal data is erased.
    pub email: Option<String>,
    /// How far it has come.
    pub state: State,
    /// Why it failed.
    pub reason: Option<String>,
    /// Clerk's id of the invitation.
    pub invitation_id: Option<String>,
    /// What the new account shall get.
    pub carry: Option<Carry>,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When the invitation ends.
    pub expires_at: Option<Timestamp>,
    /// When the row moved.
    pub moved_at: Option<Timestamp>,
    /// When it was over.
    pub closed_at: Option<Timestamp>,
    /// Why Clerk did not do its part yet: a code, for people.
    pub last_error: Option<String>,
}

/// A change of address as every route shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Shown {
    id: Uuid,
    user_id: Uuid,
    email: Option<String>,
    state: State,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_error: Option<String>,
    created_at: Timestamp,
    expires_at: Option<Timestamp>,
    moved_at: Option<Timestamp>,
    closed_at: Option<Timestamp>,
}

/// A change of address that an admin asks for.
#[derive(Debug, Clone, Copy)]
pub struct New<'a> {
    /// The address.
    pub email: &'a str,
    /// Who asks.
    pub actor: &'a ClerkUserId,
    /// The request.
    pub request_id: &'a str,
}

/// What became of the wish for a change.
#[derive(Debug, Clone, PartialEq)]
pub enum Requested {
    /// It is recorded now: Clerk has to be asked for an invitation, with this public metadata.
    Recorded(Box<Change>, Map<String, Value>),
    /// It was recorded before, and nobody knows whether Clerk has sent an invitation.
    Unanswered(Box<Change>),
    /// It was asked for before, and Clerk has sent the invitation.
    Invited(Box<Change>),
    /// Another address was asked for before: that change has to end first.
    Other(Box<Change>),
    /// The user is moving to another account: that has to be done first.
    Moving(Box<Change>),
    /// Nothing was changed.
    Refused(Refusal),
}

/// Why a change of address was not recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// There is no such user, or none any more.
    NotFound,
    /// There is no Clerk account: the address can simply be edited.
    NoClerkAccount,
    /// They may not sign in, and an invitation would change that.
    Disabled,
    /// It is their address already.
    SameAddress,
    /// Another user has the address, or is invited to it.
    EmailTaken,
}

/// A change of address that Clerk has to be asked or told about, and how its user is.
#[derive(Debug, Clone, PartialEq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "the user, and the time, may be so or not, each apart"
)]
pub struct Due {
    /// The change.
    pub change: Change,
    /// The account that the row has now.
    pub clerk_id: ClerkUserId,
    /// Whether somebody has changed their role since the move.
    pub has_new_role: bool,
    /// Whether the user is gone.
    pub is_user_deleted: bool,
    /// Whether the user is gone, or may not sign in.
    pub is_user_out: bool,
    /// Whether the user has the address by now, without the invitation.
    pub has_address: bool,
    /// Whether whoever asked for it has had time enough to hear from Clerk.
    pub is_overdue: bool,
}

impl End {
    fn state(self) -> &'static str {
        match self {
            Self::Revoked => "revoked",
            Self::Expired => "expired",
            Self::Failed(_) => "failed",
        }
    }

    fn reason(self) -> Option<&'static str> {
        match self {
            Self::Revoked | Self::Expired => None,
            Self::Failed(reason) => Some(reason),
        }
    }
}

impl From<Change> for Shown {
    fn from(change: Change) -> Self {
        Self {
            id: change.id,
            user_id: change.user_id,
            email: change.email,
            state: change.state,
            reason: change.reason,
            last_error: change.last_error,
            created_at: change.created_at,
            expires_at: change.expires_at,
            moved_at: change.moved_at,
            closed_at: change.closed_at,
        }
    }
}

impl Db {
    /// Records that a user shall have another address, unless it is taken; one round trip.
    pub async fn request_email_change(
        &self,
        user: &UserRef,
        new: &New<'_>,
    ) -> Result<Requested, Error> {
        let row = self
            .run(async |client| request(client, user, new).await)
            .await?;
        row.as_ref()
            .map_or(Ok(Requested::Refused(Refusal::NotFound)), requested)
    }

    /// Notes that Clerk has sent the invitation; none if the change was closed meanwhile.
    pub async fn email_change_invited(
        &self,
        id: Uuid,
        invitation_id: &str,
        invited_at: Option<Timestamp>,
        expires_at: Option<Timestamp>,
    ) -> Result<Option<Change>, Error> {
        let statement = "
            update email_changes c
            set
                state = 'invited',
                invitation_id = $2,
                invited_at = $3,
                expires_at = $4,
                n_settles = 0,
                last_error = null,
                -- Who follows it makes an event; this is for what makes none.
                settle_at = now() + interval '1 hour'
            where id = $1 and state in ('requested', 'invited')
            returning to_jsonb(c) as change";
        let values: [(&(dyn ToSql + Sync), Type); 4] = [
            (&id, Type::UUID),
            (&invitation_id, Type::TEXT),
            (&invited_at, Type::TIMESTAMPTZ),
            (&expires_at, Type::TIMESTAMPTZ),
        ];
        self.change(statement, &values).await
    }

    /// Closes a change that has led to nothing; none if it was closed, or the row moved, meanwhile.
    pub async fn end_email_change(&self, id: Uuid, end: End) -> Result<Option<Change>, Error> {
        let statement = "
            update email_changes c
            set
                state = $2, reason = $3, closed_at = now(), settle_at = null, last_error = null
            where id = $1 and state in ('requested', 'invited')
            returning to_jsonb(c) as change";
        let values: [(&(dyn ToSql + Sync), Type); 3] = [
            (&id, Type::UUID),
            (&end.state(), Type::TEXT),
            (&end.reason(), Type::TEXT),
        ];
        self.change(statement, &values).await
    }

    /// Closes a change whose old account is removed.
    pub async fn finish_email_change(&self, id: Uuid) -> Result<Option<Change>, Error> {
        let statement = "
            update email_changes c
            set state = 'done', closed_at = now(), settle_at = null, carry = null, last_error = null
            where id = $1 and state = 'moved'
            returning to_jsonb(c) as change";
        self.change(statement, &[(&id, Type::UUID)]).await
    }

    /// The last change of address of a user; none if there never was one.
    pub async fn email_change_of(&self, user: &UserRef) -> Result<Option<Change>, Error> {
        let statement = "
            select to_jsonb(c) as change
            from email_changes c
            join users u on u.id = c.user_id
            where u.id = $1 or u.clerk_id = $2 or c.old_clerk_id = $2
            order by c.created_at desc, c.id
            limit 1";
        let (id, clerk_id) = user.split();
        self.change(statement, &[(&id, Type::UUID), (&clerk_id, Type::TEXT)])
            .await
    }

    /// A change of address, with what Clerk has to be asked or told about it.
    pub async fn email_change(&self, id: Uuid) -> Result<Option<Due>, Error> {
        let statement = format!("{DUE} where c.id = $1");
        let row = self
            .run(async |client| {
                client
                    .query_typed_opt(&statement, &[(&id, Type::UUID)])
                    .await
            })
            .await?;
        row.as_ref().map(due).transpose()
    }

    /// Changes of address that Clerk has to be asked or told about now, the longest waiting first.
    pub async fn due_email_changes(&self, limit: i64) -> Result<Vec<Due>, Error> {
        let statement = format!("{DUE} where c.settle_at <= now() order by c.settle_at limit $1");
        let rows = self
            .run(async |client| {
                client
                    .query_typed(&statement, &[(&limit, Type::INT8)])
                    .await
            })
            .await?;
        rows.iter().map(due).collect()
    }

    /// Looks at a change again later, and notes why it was in vain:
    /// 5 s, doubling, at most 10 min.
    pub async fn put_off_email_change(&self, id: Uuid, error: Option<&str>) -> Result<(), Error> {
        let statement = format!(
            "update email_changes
            set n_settles = n_settles + 1, last_error = $2, settle_at = {}
            where id = $1 and closed_at is null",
            next_try("n_settles")
        );
        self.execute(&statement, &[(&id, Type::UUID), (&error, Type::TEXT)])
            .await?;
        Ok(())
    }

    /// Takes a move for half a minute, so that nobody else does what follows it; none if somebody
    /// does already, or nothing is left to do.
    pub async fn lease_move(&self, id: Uuid) -> Result<Option<Due>, Error> {
        let statement = format!(
            "with leased as (
                update email_changes
                set settle_at = now() + interval '30 seconds'
                where id = $1 and state = 'moved' and settle_at <= now()
                returning id
            )
            {DUE} join leased l on l.id = c.id"
        );
        let row = self
            .run(async |client| {
                client
                    .query_typed_opt(&statement, &[(&id, Type::UUID)])
                    .await
            })
            .await?;
        row.as_ref().map(due).transpose()
    }

    /// Keeps what the new account shall get, before the old one is removed; false if somebody else has
    /// gone further meanwhile.
    pub async fn keep_carry(&self, id: Uuid, carry: &Carry) -> Result<bool, Error> {
        let statement = "
            update email_changes
            set carry = $2
            where id = $1
                and state = 'moved'
                and ($2 ->> 'is_given' = 'true' or carry ->> 'is_given' = 'false')";
        let carry = Json(carry);
        let n_kept = self
            .execute(statement, &[(&id, Type::UUID), (&carry, Type::JSONB)])
            .await?;
        Ok(n_kept > 0)
    }

    /// Of the memberships that the new account shall get, those in organizations that it never was
    /// in: who has left one since then is not brought back.
    pub async fn memberships_to_join(&self, id: Uuid) -> Result<Vec<Left>, Error> {
        let statement = "
            select l.membership
            from email_changes c
            cross join jsonb_array_elements(c.carry -> 'memberships')
                with ordinality as l (membership, n)
            where c.id = $1
                and jsonb_typeof(c.carry -> 'memberships') = 'array'
                and not exists (
                    select
                    from memberships m
                    join organizations o on o.id = m.organization_id
                    where m.user_id = c.user_id
                        and o.clerk_id = l.membership ->> 'organization'
                )
            order by l.n";
        let rows = self
            .run(async |client| client.query_typed(statement, &[(&id, Type::UUID)]).await)
            .await?;
        rows.iter().map(|row| decode(row, "membership")).collect()
    }

    async fn change(
        &self,
        statement: &str,
        values: &[(&(dyn ToSql + Sync), Type)],
    ) -> Result<Option<Change>, Error> {
        let row = self
            .run(async |client| client.query_typed_opt(statement, values).await)
            .await?;
        row.as_ref().map(|row| decode(row, "change")).transpose()
    }
}

/// What [`due`] reads.
const DUE: &str = "
    select
        to_jsonb(c) as change,
        u.clerk_id,
        exists (
            select from role_changes r where r.user_id = u.id and r.at > c.moved_at
        ) as has_new_role,
        u.deleted_at is not null as is_user_deleted,
        u.deleted_at is not null or u.banned or u.deprovisioned as is_user_out,
        u.email_verified and lower(u.email) is not distinct from lower(c.email) as has_address,
        c.created_at < now() - interval '30 seconds' as is_overdue
    from email_changes c
    join users u on u.id = c.user_id";

async fn request(
    client: &Client,
    user: &UserRef,
    new: &New<'_>,
) -> Result<Option<PgRow>, tokio_postgres::Error> {
    let (id, clerk_id) = user.split();
    let values: [(&(dyn ToSql + Sync), Type); 5] = [
        (&id, Type::UUID),
        (&clerk_id, Type::TEXT),
        (&new.email, Type::TEXT),
        (&new.actor.as_str(), Type::TEXT),
        (&new.request_id, Type::TEXT),
    ];
    let lock = "
        select from users u
        where (u.id = $1 or u.clerk_id = $2) and u.deleted_at is null
        for update";
    let named: [(&(dyn ToSql + Sync), Type); 2] = [(&id, Type::UUID), (&clerk_id, Type::TEXT)];
    let emails = [new.email];
    let addresses: [(&(dyn ToSql + Sync), Type); 1] = [(&emails.as_slice(), Type::TEXT_ARRAY)];
    let (begun, locked, held, row, committed) = tokio::join!(
        biased;
        client.batch_execute("begin"),
        client.query_typed(LOCK_ADDRESSES, &addresses),
        client.query_typed(lock, &named),
        client.query_typed_opt(include_str!("email_changes/request.sql"), &values),
        client.batch_execute("commit"),
    );
    begun?;
    locked?;
    held?;
    let row = row?;
    committed?;
    Ok(row)
}

fn requested(row: &PgRow) -> Result<Requested, Error> {
    let refusal = match row.try_get("code")? {
        "recorded" => {
            let metadata = decode(row, "public_metadata")?;
            return Ok(Requested::Recorded(change(row)?, metadata));
        }
        "unanswered" => return Ok(Requested::Unanswered(change(row)?)),
        "invited" => return Ok(Requested::Invited(change(row)?)),
        "other" => return Ok(Requested::Other(change(row)?)),
        "moving" => return Ok(Requested::Moving(change(row)?)),
        "no_clerk_account" => Refusal::NoClerkAccount,
        "disabled" => Refusal::Disabled,
        "same_address" => Refusal::SameAddress,
        "email_taken" => Refusal::EmailTaken,
        code => return Err(Error::unreadable(format!("unknown verdict {code}"))),
    };
    Ok(Requested::Refused(refusal))
}

fn change(row: &PgRow) -> Result<Box<Change>, Error> {
    Ok(Box::new(decode(row, "change")?))
}

fn due(row: &PgRow) -> Result<Due, Error> {
    let clerk_id: String = row.try_get("clerk_id")?;
    Ok(Due {
        change: decode(row, "change")?,
        clerk_id: clerk_id.parse().map_err(Error::unreadable)?,
        has_new_role: row.try_get("has_new_role")?,
        is_user_deleted: row.try_get("is_user_deleted")?,
        is_user_out: row.try_get("is_user_out")?,
        has_address: row.try_get("has_address")?,
        is_overdue: row.try_get("is_overdue")?,
    })
}
