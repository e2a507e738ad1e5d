//! The `profile_edits` table: who edited which profile, and the intents of edits that Clerk is asked
//! for first (R11).

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio_postgres::types::{Json, ToSql, Type};
use tokio_postgres::{Client, Row as PgRow};
use uuid::Uuid;

use super::users::{LOCK_ADDRESSES, Shown, show_user, shown};
use super::{Db, Error, decode, next_try};
use crate::ids::{ClerkUserId, UserRef};
use crate::profile::three_valued;

/// For so long the request that began an edit is given to close it.
const PATIENCE_SECONDS: f64 = 30.0;

/// The columns that an edit changes: `None` stays as it is, `Some(None)` is cleared.
/// It holds no password, which no table ever does.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Columns {
    /// The given name.
    #[serde(
        default,
        with = "three_valued",
        skip_serializing_if = "Option::is_none"
    )]
    pub first_name: Option<Option<String>>,
    /// The family name.
    #[serde(
        default,
        with = "three_valued",
        skip_serializing_if = "Option::is_none"
    )]
    pub last_name: Option<Option<String>>,
    /// The address; of a user with a Clerk account it can only be what it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// Ours alone; Clerk does not know it.
    #[serde(
        default,
        with = "three_valued",
        skip_serializing_if = "Option::is_none"
    )]
    pub builder_group_id: Option<Option<String>>,
    /// Keys to merge into Clerk's public metadata; `null` removes one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_metadata: Option<Map<String, Value>>,
}

/// An edit that somebody asks for.
#[derive(Debug, Clone, Copy)]
pub struct New<'a> {
    /// What shall change.
    pub columns: &'a Columns,
    /// Whether the password shall change, too.
    pub has_password: bool,
    /// Who asks.
    pub actor: &'a ClerkUserId,
    /// The request.
    pub request_id: &'a str,
}

/// What became of an edit when it was begun.
#[derive(Debug, Clone, PartialEq)]
pub enum Begun {
    /// Clerk had no part in it: it is done.
    Done(Box<Shown>),
    /// Clerk has to be asked; the user as they are now.
    AskClerk(Intent, Box<Shown>),
    /// Nothing was changed.
    Refused(Refusal),
}

/// Why an edit was not begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// There is no such user, or none any more.
    NotFound,
    /// Another user has the address, or is invited to it.
    EmailTaken,
    /// The address of a user with a Clerk account changes by invitation only (R12).
    RequiresInvitation,
    /// There is no Clerk account that could have a password.
    PasswordRequiresClerk,
}

/// That Clerk is asked for an edit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intent {
    /// The edit.
    pub id: i64,
    /// Whom it is about.
    pub clerk_id: ClerkUserId,
}

/// An edit that nobody has closed.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Open {
    /// The edit.
    pub id: i64,
    /// Whom Clerk was asked to change.
    pub clerk_id: ClerkUserId,
    /// When Clerk had last changed the password before it, in ms by its clock; 0 if never, none if
    /// that is not known.
    pub password_changed_at: Option<i64>,
    /// When it was begun.
    pub created_at: Timestamp,
    /// What was asked for.
    #[serde(rename = "payload")]
    pub columns: Columns,
    fields: Vec<String>,
}

/// What became of an edit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Clerk did it.
    Done,
    /// Clerk refused it.
    Refused,
    /// Nobody said what became of it, and Clerk does not show it.
    NotDone,
}

/// An edit, and what became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Closing {
    /// The edit.
    pub id: i64,
    /// What became of it.
    pub outcome: Outcome,
}

impl Open {
    /// Whether the password was to change.
    pub fn has_password(&self) -> bool {
        self.fields.iter().any(|field| field == "password")
    }
}

impl Db {
    /// Begins an edit of a user: does what Clerk has no part in, or writes the intent; one round trip.
    pub async fn begin_edit(&self, user: &UserRef, new: &New<'_>) -> Result<Begun, Error> {
        let (row, shown) = self
            .run(async |client| begin(client, user, new).await)
            .await?;
        match (row, shown) {
            (Some(row), Some(shown)) => begun(&row, &shown),
            _ => Ok(Begun::Refused(Refusal::NotFound)),
        }
    }

    /// Writes the intent to edit a user in Clerk, whether or not there is a row of them yet; none if
    /// the user was deleted.
    pub async fn begin_edit_in_clerk(
        &self,
        user: &ClerkUserId,
        new: &New<'_>,
    ) -> Result<Option<Intent>, Error> {
        let statement = "
            insert into profile_edits (
                user_id, clerk_id, fields, payload, actor, request_id, settle_at
            )
            select
                u.id, $1, array(select jsonb_object_keys($2::jsonb) order by 1), $2, $3, $4,
                now() + make_interval(secs => $5)
            from (select) as one
            left join users u on u.clerk_id = $1
            where u.deleted_at is null
            returning id, clerk_id";
        let columns = Json(new.columns);
        let values: [(&(dyn ToSql + Sync), Type); 5] = [
            (&user.as_str(), Type::TEXT),
            (&columns, Type::JSONB),
            (&new.actor.as_str(), Type::TEXT),
            (&new.request_id, Type::TEXT),
            (&PATIENCE_SECONDS, Type::FLOAT8),
        ];
        let row = self
            .run(async |client| client.query_typed_opt(statement, &values).await)
            .await?;
        row.as_ref().map(intent).transpose()
    }

    /// Keeps when Clerk last changed the password, before it is asked to change it again.
    pub async fn keep_password_changed_at(&self, id: i64, at: i64) -> Result<(), Error> {
        let statement = "update profile_edits set password_changed_at = $2 where id = $1";
        self.execute(statement, &[(&id, Type::INT8), (&at, Type::INT8)])
            .await?;
        Ok(())
    }

    /// Closes an edit and returns the user as they are then; none if there is no row.
    pub async fn close_edit(
        &self,
        user: &ClerkUserId,
        closing: Closing,
    ) -> Result<Option<Shown>, Error> {
        let row = self
            .run(async |client| close(client, &[closing], Some(user)).await)
            .await?;
        row.as_ref().map(shown).transpose()
    }

    /// Closes edits.
    pub async fn close_edits(&self, closings: &[Closing]) -> Result<(), Error> {
        self.run(async |client| close(client, closings, None).await)
            .await?;
        Ok(())
    }

    /// Edits that nobody has closed in time, the longest waiting first; those of users who are gone
    /// are closed.
    pub async fn edits_to_settle(&self, limit: i64) -> Result<Vec<Open>, Error> {
        let statement = "
            with gone as (
                update profile_edits e
                set closed_at = now(), outcome = 'not_done', payload = null
                from users u
                where e.closed_at is null
                    and e.settle_at <= now()
                    and u.clerk_id = e.clerk_id
                    and u.deleted_at is not null
                returning e.id
            )
            select to_jsonb(e) as edit
            from profile_edits e
            where e.closed_at is null
                and e.settle_at <= now()
                and e.id not in (select g.id from gone g)
            order by e.settle_at, e.id
            limit $1";
        let rows = self
            .run(async |client| client.query_typed(statement, &[(&limit, Type::INT8)]).await)
            .await?;
        rows.iter().map(|row| decode(row, "edit")).collect()
    }

    /// Puts off the next question about edits, since Clerk gave no answer:
    /// 5 s, doubling, at most 10 min.
    pub async fn put_off_edits(&self, ids: &[i64]) -> Result<(), Error> {
        let statement = format!(
            "update profile_edits
            set n_settles = n_settles + 1, settle_at = {}
            where id = any($1) and closed_at is null",
            next_try("n_settles")
        );
        self.execute(&statement, &[(&ids, Type::INT8_ARRAY)])
            .await?;
        Ok(())
    }
}

/// The edit and the user after it, if there is one.
async fn begin(
    client: &Client,
    user: &UserRef,
    new: &New<'_>,
) -> Result<(Option<PgRow>, Option<PgRow>), tokio_postgres::Error> {
    let (id, clerk_id) = user.split();
    let show = show_user();
    let columns = Json(new.columns);
    let emails = Vec::from_iter(new.columns.email.as_deref());
    let values: [(&(dyn ToSql + Sync), Type); 7] = [
        (&id, Type::UUID),
        (&clerk_id, Type::TEXT),
        (&columns, Type::JSONB),
        (&new.has_password, Type::BOOL),
        (&new.actor.as_str(), Type::TEXT),
        (&new.request_id, Type::TEXT),
        (&PATIENCE_SECONDS, Type::FLOAT8),
    ];
    let addresses: [(&(dyn ToSql + Sync), Type); 1] = [(&emails, Type::TEXT_ARRAY)];
    let named: [(&(dyn ToSql + Sync), Type); 2] = [(&id, Type::UUID), (&clerk_id, Type::TEXT)];
    let (begun, locked, row, shown, committed) = tokio::join!(
        biased;
        client.batch_execute("begin"),
        client.query_typed(LOCK_ADDRESSES, &addresses),
        client.query_typed_opt(include_str!("profile_edits/begin.sql"), &values),
        client.query_typed_opt(&show, &named),
        client.batch_execute("commit"),
    );
    begun?;
    locked?;
    let (row, shown) = (row?, shown?);
    committed?;
    Ok((row, shown))
}

/// Closes edits, and shows a user, if one is named, as they are then.
async fn close(
    client: &Client,
    closings: &[Closing],
    user: Option<&ClerkUserId>,
) -> Result<Option<PgRow>, tokio_postgres::Error> {
    // In a statement of its own: the next one sees what others did until they let the rows go.
    let lock = "
        select
        from users u
        where u.id in (select e.user_id from profile_edits e where e.id = any($1))
        order by u.id
        for update of u";
    let ids: Vec<i64> = closings.iter().map(|closing| closing.id).collect();
    let ids: [(&(dyn ToSql + Sync), Type); 1] = [(&ids, Type::INT8_ARRAY)];
    let closings = Json(closings);
    let closings: [(&(dyn ToSql + Sync), Type); 1] = [(&closings, Type::JSONB)];
    let show = show_user();
    let clerk_id = user.map(ClerkUserId::as_str);
    let named: [(&(dyn ToSql + Sync), Type); 2] =
        [(&None::<Uuid>, Type::UUID), (&clerk_id, Type::TEXT)];
    let (begun, locked, closed, shown, committed) = tokio::join!(
        biased;
        client.batch_execute("begin"),
        client.query_typed(lock, &ids),
        client.execute_typed(include_str!("profile_edits/close.sql"), &closings),
        client.query_typed_opt(&show, &named),
        client.batch_execute("commit"),
    );
    begun?;
    locked?;
    closed?;
    let shown = shown?;
    committed?;
    Ok(shown)
}

fn begun(row: &PgRow, user: &PgRow) -> Result<Begun, Error> {
    let refusal = match row.try_get("code")? {
        "done" => return Ok(Begun::Done(Box::new(shown(user)?))),
        "ask_clerk" => return Ok(Begun::AskClerk(intent(row)?, Box::new(shown(user)?))),
        "email_taken" => Refusal::EmailTaken,
        "requires_invitation" => Refusal::RequiresInvitation,
        "password_requires_clerk" => Refusal::PasswordRequiresClerk,
        code => return Err(Error::unreadable(format!("unknown verdict {code}"))),
    };
    Ok(Begun::Refused(refusal))
}

fn intent(row: &PgRow) -> Result<Intent, Error> {
    let clerk_id: String = row.try_get("clerk_id")?;
    Ok(Intent {
        id: row.try_get("id")?,
        clerk_id: clerk_id.parse().map_err(Error::unreadable)?,
    })
}
