//! The `memberships` table: who is in which organization, one row for each generation (R6).

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio_postgres::types::{Json, ToSql, Type};
use tokio_postgres::{Client, Row as PgRow};
use uuid::Uuid;

use super::inbox::Attempt;
use super::{Check, Confirms, Db, Error, Written, decode, inbox, next_try};
use crate::ids::{ClerkMembershipId, ClerkOrganizationId, ClerkUserId};

/// A row of `memberships`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Ours.
    pub id: Uuid,
    /// Clerk's; none while it is provisional.
    pub clerk_id: Option<ClerkMembershipId>,
    /// The organization.
    pub organization_id: Uuid,
    /// The member.
    pub user_id: Uuid,
    /// As Clerk's API spells it, such as `org:admin`.
    pub role: String,
    /// What the role allows.
    pub permissions: Vec<String>,
    /// Clerk's public metadata.
    pub public_metadata: Map<String, Value>,
    /// Made while Clerk could not be asked.
    pub is_placeholder: bool,
    /// `updated_at` of the Clerk object that the row was last written from, in ms (R2).
    pub clerk_version: i64,
    /// Set while Clerk has to be asked what is true.
    pub refetch_at: Option<Timestamp>,
    /// How often it was asked in vain.
    pub n_refetches: i32,
    /// When the row was last known to be what Clerk has.
    #[serde(skip_serializing)]
    pub confirmed_at: Option<Timestamp>,
    /// When it came to be in Clerk: of the memberships of a pair, the one made last lives.
    pub created_at: Timestamp,
    /// When the row last changed in a way that shows.
    #[serde(skip_serializing)]
    pub updated_at: Option<Timestamp>,
    /// Its end.
    pub deleted_at: Option<Timestamp>,
    /// Nobody told of the end: Clerk did not show it when it was asked.
    pub is_end_inferred: bool,
    /// Postgres's own version of the row: a write is refused when it has moved on.
    /// None for a row that is yet to be made.
    pub row_version: Option<String>,
}

/// What to look for: a delivery, a membership, and the pair that it joins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key<'a> {
    /// The delivery, if there is one.
    pub delivery: Option<Attempt<'a>>,
    /// The membership.
    pub clerk_id: &'a ClerkMembershipId,
    /// The organization.
    pub organization: &'a ClerkOrganizationId,
    /// The member.
    pub user: &'a ClerkUserId,
}

/// What the database knew of a [`Key`] when it was asked.
#[derive(Debug, Clone, PartialEq)]
pub struct Current {
    /// The delivery was taken in before.
    pub is_recorded: bool,
    /// The row of the organization.
    pub organization: Option<Parent>,
    /// The row of the member.
    pub user: Option<Parent>,
    /// The row.
    pub row: Option<Row>,
    /// Another live row of the same pair.
    pub rival: Option<Row>,
    /// When the youngest other membership of the same pair was made, live or not.
    pub last_created_at: Option<Timestamp>,
}

/// A row that a membership hangs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Parent {
    /// The row.
    pub id: Uuid,
    /// Whether it is a tombstone: then nothing that hangs on it lives (R6).
    pub is_deleted: bool,
    /// Whether it is only a placeholder, about which Clerk may be asked now.
    pub is_unknown: bool,
    /// When the last walk over its memberships ended.
    pub walked_at: Option<Timestamp>,
}

/// One change, with all that has to be written in its transaction; nothing by default.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Write {
    /// The delivery that it comes from.
    pub inbox: Option<inbox::Entry>,
    /// The row as it shall be; none if only the delivery is recorded.
    pub row: Option<Row>,
    /// The account that its user must still have.
    pub user_clerk_id: Option<ClerkUserId>,
    /// The row that it follows, which is over.
    pub ends: Option<Uuid>,
    /// Whether the row is now known to be what Clerk has.
    pub confirms: Option<Confirms>,
    /// Whether a change shows, so that `updated_at` moves.
    pub touches: bool,
    /// Whether it settles deliveries that were parked until the object was read again.
    pub settles: bool,
}

/// A membership that an account had when its user moved to another one (R12).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Left {
    /// The organization.
    pub organization: ClerkOrganizationId,
    /// The role in it.
    pub role: String,
}

/// A membership that Clerk has to be asked about, by its pair.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ToRefetch {
    /// The row.
    pub id: Uuid,
    /// What it was when it was listed; none if it was provisional.
    pub clerk_id: Option<ClerkMembershipId>,
    /// The organization.
    pub organization: ClerkOrganizationId,
    /// The member.
    pub user: ClerkUserId,
}

/// Which of the flagged memberships are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flagged<'a> {
    /// Those that are due.
    Due,
    /// All of one user.
    OfUser(&'a ClerkUserId),
    /// All of one organization.
    OfOrganization(&'a ClerkOrganizationId),
}

/// A membership as the routes show it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all(serialize = "camelCase"))]
pub struct Shown {
    id: Uuid,
    clerk_id: Option<ClerkMembershipId>,
    organization_id: Uuid,
    #[serde(rename(serialize = "clerkOrgId"))]
    clerk_organization_id: ClerkOrganizationId,
    organization_name: Option<String>,
    user_id: Uuid,
    role: String,
    permissions: Vec<String>,
    /// Made while Clerk could not be asked.
    pub is_placeholder: bool,
    created_at: Timestamp,
    updated_at: Option<Timestamp>,
    confirmed_at: Option<Timestamp>,
}

/// A membership `m` of an organization `o` as [`Shown`].
pub(super) const SHOWN: &str = "
    to_jsonb(m) || jsonb_build_object(
        'clerk_organization_id', o.clerk_id, 'organization_name', o.name
    )";

impl Db {
    /// Looks the keys up, in one round trip; the answers come in the order of the keys.
    pub async fn current_memberships(&self, keys: &[Key<'_>]) -> Result<Vec<Current>, Error> {
        let (svix_ids, n_attempts) = inbox::columns(keys.iter().map(|key| key.delivery));
        let clerk_ids: Vec<_> = keys.iter().map(|key| key.clerk_id.as_str()).collect();
        let organizations: Vec<_> = keys.iter().map(|key| key.organization.as_str()).collect();
        let users: Vec<_> = keys.iter().map(|key| key.user.as_str()).collect();
        let statement = include_str!("memberships/read.sql");
        let values: [(&(dyn ToSql + Sync), Type); 5] = [
            (&svix_ids, Type::TEXT_ARRAY),
            (&n_attempts, Type::INT4_ARRAY),
            (&clerk_ids, Type::TEXT_ARRAY),
            (&organizations, Type::TEXT_ARRAY),
            (&users, Type::TEXT_ARRAY),
        ];
        let rows = self
            .run(async |client| client.query_typed(statement, &values).await)
            .await?;
        rows.iter().map(current).collect()
    }

    /// Does the writes in one transaction, each whole or not at all; one round trip.
    /// Read back, if so wished, by the same transaction.
    pub async fn write_memberships(
        &self,
        writes: &[Write],
        check: Check,
    ) -> Result<Written<Row>, Error> {
        let (rows, read_back) = self
            .run(async |client| {
                if check == Check::ReadBack {
                    write_and_read(client, writes).await
                } else {
                    Ok((write(client, writes).await?, Vec::new()))
                }
            })
            .await?;
        Written::read(&rows, &read_back, writes.len())
    }

    /// Ends memberships of which Clerk knows nothing, unless they have become others since they
    /// were listed; and returns how many.
    pub async fn end_memberships(&self, gone: &[&ToRefetch]) -> Result<u64, Error> {
        let statement = include_str!("memberships/end.sql");
        let ids: Vec<_> = gone.iter().map(|gone| gone.id).collect();
        let clerk_ids: Vec<_> = gone
            .iter()
            .map(|gone| gone.clerk_id.as_ref().map(ClerkMembershipId::as_str))
            .collect();
        let values: [(&(dyn ToSql + Sync), Type); 2] =
            [(&ids, Type::UUID_ARRAY), (&clerk_ids, Type::TEXT_ARRAY)];
        let row = self
            .run(async |client| client.query_typed_one(statement, &values).await)
            .await?;
        let n_ended: i64 = row.try_get(0)?;
        u64::try_from(n_ended).map_err(Error::unreadable)
    }

    /// Makes or changes a membership that only serves until Clerk can be asked (R17).
    /// A real one stays as it is, and nothing is made where organization or user do not live.
    ///
    /// With `only_if_new`, somebody who was a member before does not become one again.
    pub async fn put_provisional_membership(
        &self,
        organization: &ClerkOrganizationId,
        user: &ClerkUserId,
        role: &str,
        only_if_new: bool,
    ) -> Result<(), Error> {
        let statement = include_str!("memberships/put_provisional.sql");
        let values: [(&(dyn ToSql + Sync), Type); 4] = [
            (&organization.as_str(), Type::TEXT),
            (&user.as_str(), Type::TEXT),
            (&role, Type::TEXT),
            (&only_if_new, Type::BOOL),
        ];
        self.execute(statement, &values).await?;
        Ok(())
    }

    /// Flags the live membership of a pair, if there is one, so that Clerk is asked about it.
    pub async fn flag_membership(
        &self,
        organization: &ClerkOrganizationId,
        user: &ClerkUserId,
    ) -> Result<Option<ToRefetch>, Error> {
        let statement = "
            update memberships m
            set refetch_at = coalesce(m.refetch_at, now())
            from organizations o, users u
            where o.clerk_id = $1
                and u.clerk_id = $2
                and m.organization_id = o.id
                and m.user_id = u.id
                and m.deleted_at is null
            returning jsonb_build_object(
                'id', m.id, 'clerk_id', m.clerk_id,
                'organization', o.clerk_id, 'user', u.clerk_id
            ) as flagged";
        let values: [(&(dyn ToSql + Sync), Type); 2] = [
            (&organization.as_str(), Type::TEXT),
            (&user.as_str(), Type::TEXT),
        ];
        let row = self
            .run(async |client| client.query_typed_opt(statement, &values).await)
            .await?;
        row.as_ref().map(|row| decode(row, "flagged")).transpose()
    }

    /// The live membership of a pair, as shown.
    pub async fn shown_membership(
        &self,
        organization: &ClerkOrganizationId,
        user: &ClerkUserId,
    ) -> Result<Option<Shown>, Error> {
        let statement = format!(
            "select {SHOWN} as shown
            from memberships m
            join organizations o on o.id = m.organization_id
            join users u on u.id = m.user_id
            where o.clerk_id = $1 and u.clerk_id = $2 and m.deleted_at is null"
        );
        let values: [(&(dyn ToSql + Sync), Type); 2] = [
            (&organization.as_str(), Type::TEXT),
            (&user.as_str(), Type::TEXT),
        ];
        let row = self
            .run(async |client| client.query_typed_opt(&statement, &values).await)
            .await?;
        row.as_ref().map(|row| decode(row, "shown")).transpose()
    }

    /// Memberships that Clerk has to be asked about, those of one organization together.
    pub async fn memberships_to_refetch(
        &self,
        flagged: Flagged<'_>,
        limit: i64,
    ) -> Result<Vec<ToRefetch>, Error> {
        let (is_due, user, organization) = match flagged {
            Flagged::Due => (true, None, None),
            Flagged::OfUser(id) => (false, Some(id.as_str()), None),
            Flagged::OfOrganization(id) => (false, None, Some(id.as_str())),
        };
        let statement = "
            select to_jsonb(f) as flagged
            from (
                select m.id, m.clerk_id, o.clerk_id as organization, u.clerk_id as \"user\"
                from memberships m
                join organizations o on o.id = m.organization_id
                join users u on u.id = m.user_id
                where m.refetch_at is not null
                    and ($1 is false or m.refetch_at <= now())
                    and ($2::text is null or u.clerk_id = $2)
                    and ($3::text is null or o.clerk_id = $3)
                order by m.refetch_at, o.clerk_id, m.id
                limit $4
            ) f
            order by f.organization";
        let values: [(&(dyn ToSql + Sync), Type); 4] = [
            (&is_due, Type::BOOL),
            (&user, Type::TEXT),
            (&organization, Type::TEXT),
            (&limit, Type::INT8),
        ];
        let rows = self
            .run(async |client| client.query_typed(statement, &values).await)
            .await?;
        rows.iter().map(|row| decode(row, "flagged")).collect()
    }

    /// Puts off the next question for memberships about which Clerk gave no answer:
    /// 5 s, doubling, at most 10 min.
    pub async fn put_off_memberships(&self, ids: &[Uuid]) -> Result<(), Error> {
        let statement = format!(
            "update memberships
            set
                n_refetches = n_refetches + 1,
                refetch_at = {}
            where id = any($1) and refetch_at is not null",
            next_try("n_refetches")
        );
        self.execute(&statement, &[(&ids, Type::UUID_ARRAY)])
            .await?;
        Ok(())
    }
}

async fn write(client: &Client, writes: &[Write]) -> Result<Vec<PgRow>, tokio_postgres::Error> {
    let statement = include_str!("memberships/write.sql");
    client
        .query_typed(statement, &[(&Json(writes), Type::JSONB)])
        .await
}

/// The same, and what was written is read in the same transaction, sent in one go.
async fn write_and_read(
    client: &Client,
    writes: &[Write],
) -> Result<(Vec<PgRow>, Vec<PgRow>), tokio_postgres::Error> {
    let ids: Vec<Uuid> = writes
        .iter()
        .filter_map(|write| write.row.as_ref().map(|row| row.id))
        .collect();
    let read = "
        select to_jsonb(m) || jsonb_build_object('row_version', m.xmin::text) as row
        from memberships m
        where m.id = any($1)";
    let written: [(&(dyn ToSql + Sync), Type); 1] = [(&ids, Type::UUID_ARRAY)];
    let (begun, rows, read_back, committed) = tokio::join!(
        biased;
        client.batch_execute("begin"),
        write(client, writes),
        client.query_typed(read, &written),
        client.batch_execute("commit"),
    );
    begun?;
    let rows = rows?;
    let read_back = read_back?;
    committed?;
    Ok((rows, read_back))
}

fn current(row: &PgRow) -> Result<Current, Error> {
    Ok(Current {
        is_recorded: row.try_get("is_recorded")?,
        organization: decode(row, "organization")?,
        user: decode(row, "user")?,
        row: decode(row, "row")?,
        rival: decode(row, "rival")?,
        last_created_at: decode(row, "last_created_at")?,
    })
}
