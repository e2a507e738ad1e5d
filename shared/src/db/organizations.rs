//! The `organizations` table.

mod list;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio_postgres::types::{Json, ToSql, Type};
use tokio_postgres::{Client, Row as PgRow};
use uuid::Uuid;

use super::inbox::Attempt;
use super::{Check, Confirms, Db, Error, Written, decode, inbox, next_try};
use crate::ids::ClerkOrganizationId;

pub use list::{Listed, Page, Place};

/// A row of `organizations`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Ours.
    pub id: Uuid,
    /// Clerk's.
    pub clerk_id: ClerkOrganizationId,
    /// The name.
    pub name: Option<String>,
    /// The name in addresses, where the instance has such.
    pub slug: Option<String>,
    /// The picture.
    pub image_url: Option<String>,
    /// The Clerk id of the user who made it.
    pub created_by: Option<String>,
    /// The most members; 0 is no limit.
    pub max_allowed_memberships: Option<i64>,
    /// Clerk's public metadata.
    pub public_metadata: Map<String, Value>,
    /// Made before the real information came.
    pub is_placeholder: bool,
    /// `updated_at` of the Clerk object that the row was last written from, in ms (R2).
    pub clerk_version: i64,
    /// Set while Clerk has to be asked what is true.
    pub refetch_at: Option<Timestamp>,
    /// How often it was asked in vain.
    pub n_refetches: i32,
    /// Set while a walk over all members is owed or under way.
    #[serde(skip_serializing)]
    pub members_refetch_at: Option<Timestamp>,
    /// When the last walk over all members ended.
    #[serde(skip_serializing)]
    pub members_confirmed_at: Option<Timestamp>,
    /// When the row was last known to be what Clerk has.
    #[serde(skip_serializing)]
    pub confirmed_at: Option<Timestamp>,
    /// When the organization came to be.
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

/// What to look for: a delivery and an organization in Clerk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key<'a> {
    /// The delivery, if there is one.
    pub delivery: Option<Attempt<'a>>,
    /// The organization.
    pub clerk_id: &'a ClerkOrganizationId,
}

/// What the database knew of a [`Key`] when it was asked.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Current {
    /// The delivery was taken in before.
    pub is_recorded: bool,
    /// The row.
    pub row: Option<Row>,
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
    /// Whether a walk over the members is owed, and begins now.
    pub owes_walk: bool,
    /// Whether it settles deliveries that were parked until the object was read again.
    pub settles: bool,
}

/// An organization as the routes show it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Shown {
    id: Uuid,
    clerk_id: ClerkOrganizationId,
    name: Option<String>,
    slug: Option<String>,
    image_url: Option<String>,
    max_allowed_memberships: Option<i64>,
    is_placeholder: bool,
    created_at: Timestamp,
    updated_at: Option<Timestamp>,
    confirmed_at: Option<Timestamp>,
}

impl From<Row> for Shown {
    fn from(row: Row) -> Self {
        Self {
            id: row.id,
            clerk_id: row.clerk_id,
            name: row.name,
            slug: row.slug,
            image_url: row.image_url,
            max_allowed_memberships: row.max_allowed_memberships,
            is_placeholder: row.is_placeholder,
            created_at: row.created_at,
            updated_at: row.updated_at,
            confirmed_at: row.confirmed_at,
        }
    }
}

impl Write {
    /// Whether the organization ends, and all of its memberships with it (R6).
    fn ends(&self) -> bool {
        let row = self.row.as_ref();
        row.is_some_and(|row| row.deleted_at.is_some())
    }
}

impl Db {
    /// Looks the keys up, in one round trip; the answers come in the order of the keys.
    pub async fn current_organizations(&self, keys: &[Key<'_>]) -> Result<Vec<Current>, Error> {
        let (svix_ids, n_attempts) = inbox::columns(keys.iter().map(|key| key.delivery));
        let clerk_ids: Vec<_> = keys.iter().map(|key| key.clerk_id.as_str()).collect();
        let statement = include_str!("organizations/read.sql");
        let values: [(&(dyn ToSql + Sync), Type); 3] = [
            (&svix_ids, Type::TEXT_ARRAY),
            (&n_attempts, Type::INT4_ARRAY),
            (&clerk_ids, Type::TEXT_ARRAY),
        ];
        let rows = self
            .run(async |client| client.query_typed(statement, &values).await)
            .await?;
        let current = |row: &PgRow| {
            Ok(Current {
                is_recorded: row.try_get("is_recorded")?,
                row: decode(row, "row")?,
            })
        };
        rows.iter().map(current).collect()
    }

    /// Does the writes in one transaction, each whole or not at all; one round trip.
    /// Read back, if so wished, by the same transaction.
    pub async fn write_organizations(
        &self,
        writes: &[Write],
        check: Check,
    ) -> Result<Written<Row>, Error> {
        let ends = writes.iter().any(Write::ends);
        let (rows, read_back) = self
            .run(async |client| {
                if ends || check == Check::ReadBack {
                    write_and_more(client, writes).await
                } else {
                    Ok((write(client, writes).await?, Vec::new()))
                }
            })
            .await?;
        Written::read(&rows, &read_back, writes.len())
    }

    /// The organization with this Clerk id, deleted or not.
    pub async fn organization(&self, id: &ClerkOrganizationId) -> Result<Option<Row>, Error> {
        let key = Key {
            delivery: None,
            clerk_id: id,
        };
        let mut current = self.current_organizations(&[key]).await?;
        Ok(current.pop().and_then(|current| current.row))
    }

    /// Flags an organization that lives, so that Clerk is asked about it.
    pub async fn flag_organization(&self, id: &ClerkOrganizationId) -> Result<(), Error> {
        let statement = "
            update organizations
            set refetch_at = coalesce(refetch_at, now())
            where clerk_id = $1 and deleted_at is null";
        self.execute(statement, &[(&id.as_str(), Type::TEXT)])
            .await?;
        Ok(())
    }

    /// Organizations that Clerk has to be asked about now, the longest waiting first.
    pub async fn organizations_to_refetch(
        &self,
        limit: i64,
    ) -> Result<Vec<ClerkOrganizationId>, Error> {
        let statement = "
            select clerk_id
            from organizations
            where refetch_at <= now() and (deleted_at is null or is_end_inferred)
            order by refetch_at
            limit $1";
        let rows = self
            .run(async |client| client.query_typed(statement, &[(&limit, Type::INT8)]).await)
            .await?;
        let id = |row: &PgRow| {
            let id: String = row.try_get(0)?;
            id.parse().map_err(Error::unreadable)
        };
        rows.iter().map(id).collect()
    }

    /// Whichever of these is over stays so: Clerk was asked, and does not know it. What waited for the
    /// answer is settled.
    pub async fn leave_ended_organizations(
        &self,
        ids: &[ClerkOrganizationId],
    ) -> Result<(), Error> {
        let ids: Vec<_> = ids.iter().map(ClerkOrganizationId::as_str).collect();
        let statement = "
            with ended as (
                update organizations
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

    /// Puts off the next question for organizations about which Clerk gave no answer:
    /// 5 s, doubling, at most 10 min.
    pub async fn put_off_organizations(&self, ids: &[ClerkOrganizationId]) -> Result<(), Error> {
        let statement = format!(
            "update organizations
            set
                n_refetches = n_refetches + 1,
                refetch_at = {}
            where clerk_id = any($1) and refetch_at is not null",
            next_try("n_refetches")
        );
        let ids: Vec<_> = ids.iter().map(ClerkOrganizationId::as_str).collect();
        self.execute(&statement, &[(&ids, Type::TEXT_ARRAY)])
            .await?;
        Ok(())
    }
}

async fn write(client: &Client, writes: &[Write]) -> Result<Vec<PgRow>, tokio_postgres::Error> {
    let statement = include_str!("organizations/write.sql");
    client
        .query_typed(statement, &[(&Json(writes), Type::JSONB)])
        .await
}

/// The same; then the memberships of what is gone end, in a statement of their own: it sees those
/// that somebody finished writing while this transaction waited for the organization.
/// At last what was written is read. All of it is sent in one go.
async fn write_and_more(
    client: &Client,
    writes: &[Write],
) -> Result<(Vec<PgRow>, Vec<PgRow>), tokio_postgres::Error> {
    let ids = |is_meant: fn(&&Write) -> bool| -> Vec<Uuid> {
        let meant = writes.iter().filter(is_meant);
        meant
            .filter_map(|write| write.row.as_ref().map(|row| row.id))
            .collect()
    };
    let (ended, written) = (ids(|write| write.ends()), ids(|_| true));
    let end = include_str!("memberships/end_of_organizations.sql");
    let read = "
        select to_jsonb(o) || jsonb_build_object('row_version', o.xmin::text) as row
        from organizations o
        where o.id = any($1)";
    let ended: [(&(dyn ToSql + Sync), Type); 1] = [(&ended, Type::UUID_ARRAY)];
    let written: [(&(dyn ToSql + Sync), Type); 1] = [(&written, Type::UUID_ARRAY)];
    let (begun, rows, n_ended, read_back, committed) = tokio::join!(
        biased;
        client.batch_execute("begin"),
        write(client, writes),
        client.execute_typed(end, &ended),
        client.query_typed(read, &written),
        client.batch_execute("commit"),
    );
    begun?;
    let rows = rows?;
    n_ended?;
    let read_back = read_back?;
    committed?;
    Ok((rows, read_back))
}
