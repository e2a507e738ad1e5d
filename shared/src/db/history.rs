//! What became of one user, organization or membership: all that any table says of it, in order.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

use super::inbox::{self, Page, Place};
use super::{Db, Error, decode};
use crate::ids::{self, ClerkMembershipId, ClerkOrganizationId, UserRef};

/// Whose history it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// Of a user.
    User(UserRef),
    /// Of an organization.
    Organization(ClerkOrganizationId),
    /// Of a membership.
    Membership(ClerkMembershipId),
}

/// One thing that happened to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// When we heard of it, or began it.
    pub at: Timestamp,
    /// What it was.
    pub what: What,
    key: String,
}

/// What happened. No value of a profile, no address and no metadata is in here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum What {
    /// Clerk told of it, or of one of its memberships.
    Delivery(inbox::Event),
    /// The role changed.
    RoleChange(RoleChange),
    /// Somebody edited the profile through us.
    ProfileEdit(ProfileEdit),
    /// Somebody asked for another address.
    EmailChange(EmailChange),
    /// A role was owed to Clerk.
    Push(Push),
    /// A comparison found a difference.
    Drift(Drift),
}

/// A change of a role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all(serialize = "camelCase"))]
pub struct RoleChange {
    /// None for a row that did not exist.
    pub old_role: Option<String>,
    /// What it was from then on.
    pub new_role: String,
    /// A Clerk user id, or `clerk`.
    pub actor: String,
    /// The way by which it came.
    pub source: String,
    /// The delivery that made it.
    pub svix_id: Option<String>,
    /// The request that made it.
    pub request_id: Option<String>,
}

/// An edit of a profile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all(serialize = "camelCase"))]
pub struct ProfileEdit {
    /// The columns that it is about; told as what changed.
    #[serde(skip_serializing)]
    pub fields: Vec<String>,
    /// None while nobody knows.
    pub outcome: Option<String>,
    /// A Clerk user id.
    pub actor: String,
    /// The request.
    pub request_id: Option<String>,
    /// When its outcome was known.
    pub closed_at: Option<Timestamp>,
}

/// A change of an address, without the address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all(serialize = "camelCase"))]
pub struct EmailChange {
    /// How far it has come.
    pub state: String,
    /// Why it failed: a code.
    pub reason: Option<String>,
    /// A Clerk user id.
    pub actor: String,
    /// The request.
    pub request_id: Option<String>,
    /// The account that the row leaves.
    pub old_clerk_id: String,
    /// The account that it moved to.
    pub new_clerk_id: Option<String>,
    /// When the invitation was made.
    pub invited_at: Option<Timestamp>,
    /// When the row moved.
    pub moved_at: Option<Timestamp>,
    /// When it was over.
    pub closed_at: Option<Timestamp>,
}

/// A role that was owed to Clerk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all(serialize = "camelCase"))]
pub struct Push {
    /// `pending`, `delivered`, `superseded` or `dead`.
    pub state: String,
    /// The role.
    pub role: String,
    /// How often it was tried.
    pub n_attempts: i32,
    /// Why the last attempt failed: a code.
    pub last_error: Option<String>,
    /// When it was over.
    pub closed_at: Option<Timestamp>,
}

/// A difference that a comparison found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all(serialize = "camelCase"))]
pub struct Drift {
    /// The comparison.
    pub run_id: Uuid,
    /// What kind of difference.
    pub class: String,
    /// In what: of a user's history also a membership.
    pub object: String,
    /// Clerk's id of that.
    pub object_id: Option<String>,
    /// How bad it is.
    pub severity: String,
    /// The most likely cause.
    pub cause: String,
    /// What became of it.
    pub state: String,
    /// Since when the two differed.
    pub since: Option<Timestamp>,
    /// When it was repaired.
    pub repaired_at: Option<Timestamp>,
    /// The names of what differed; told as what changed.
    #[serde(skip_serializing)]
    pub fields: Vec<String>,
}

impl Subject {
    /// Our id, Clerk's id, and what it is.
    fn split(&self) -> (Option<Uuid>, Option<&str>, &'static str) {
        match self {
            Self::User(user) => {
                let (id, clerk_id) = user.split();
                (id, clerk_id, "user")
            }
            Self::Organization(id) => (None, Some(id.as_str()), "organization"),
            Self::Membership(id) => (None, Some(id.as_str()), "membership"),
        }
    }
}

impl std::str::FromStr for Subject {
    type Err = ids::Error;

    fn from_str(text: &str) -> Result<Self, ids::Error> {
        if let Ok(id) = text.parse() {
            return Ok(Self::Organization(id));
        }
        if let Ok(id) = text.parse() {
            return Ok(Self::Membership(id));
        }
        text.parse().map(Self::User)
    }
}

impl Db {
    /// A page of the history of something, the newest first; none if nothing is known of it.
    pub async fn history(
        &self,
        subject: &Subject,
        after: Option<&Place>,
        limit: i64,
    ) -> Result<Option<Page<Entry>>, Error> {
        let (id, clerk_id, kind) = subject.split();
        let (at, key) = after.map(|place| (place.at, place.key.as_str())).unzip();
        // One more than asked for tells whether there is a next page.
        let one_more = limit + 1;
        let values: [(&(dyn ToSql + Sync), Type); 6] = [
            (&id, Type::UUID),
            (&clerk_id, Type::TEXT),
            (&kind, Type::TEXT),
            (&at, Type::TIMESTAMPTZ),
            (&key, Type::TEXT),
            (&one_more, Type::INT8),
        ];
        let statement = include_str!("history/read.sql");
        let rows = self
            .run(async |client| client.query_typed(statement, &values).await)
            .await?;
        let entries: Vec<Entry> = rows
            .iter()
            .filter_map(|row| entry(row).transpose())
            .collect::<Result<_, _>>()?;
        let is_known = match rows.first() {
            Some(row) => row.try_get("is_known")?,
            None => false,
        };
        if entries.is_empty() && !is_known && after.is_none() {
            return Ok(None);
        }
        let page = Page::cut(entries, limit, |entry| Place {
            at: entry.at,
            key: entry.key.clone(),
        });
        page.map(Some)
    }
}

/// What a row says; none if it says only whether the subject is known.
fn entry(row: &Row) -> Result<Option<Entry>, Error> {
    let Some(key) = row.try_get("key")? else {
        return Ok(None);
    };
    Ok(Some(Entry {
        at: row.try_get("at")?,
        what: decode(row, "entry")?,
        key,
    }))
}
