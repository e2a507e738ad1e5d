//! Walks over Clerk's lists of memberships that are owed, or under way: over the organizations of a
//! user, and over the members of an organization.
//!
//! What was not confirmed since a walk began was not seen by it: what of that is live here when it
//! ends is flagged, so that Clerk is asked about each: a list that changes under the walk is no proof of
//! absence (R14).

use serde::Deserialize;
use tokio_postgres::types::{ToSql, Type};

use super::{Db, Error, decode, next_try};
use crate::ids::{ClerkOrganizationId, ClerkUserId};

/// A walk over the members of an organization.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct MembersWalk {
    /// Whose members.
    #[serde(rename = "clerk_id")]
    pub organization: ClerkOrganizationId,
    /// From which place of Clerk's list it goes on.
    #[serde(rename = "members_offset")]
    pub offset: u64,
}

impl Db {
    /// Users whose organizations are to be walked over now, the longest waiting first.
    /// Their walks begin now.
    pub async fn begin_due_organization_walks(
        &self,
        limit: i64,
    ) -> Result<Vec<ClerkUserId>, Error> {
        let statement = "
            with due as (
                select u.id
                from users u
                where u.organizations_refetch_at <= now()
                    and u.deleted_at is null
                    and u.clerk_id is not null
                order by u.organizations_refetch_at
                limit $1
                for update skip locked
            )
            update users u
            set organizations_walked_since = now()
            from due
            where u.id = due.id
            returning to_jsonb(u.clerk_id) as id";
        let rows = self
            .run(async |client| client.query_typed(statement, &[(&limit, Type::INT8)]).await)
            .await?;
        rows.iter().map(|row| decode(row, "id")).collect()
    }

    /// A walk over the organizations of a user is owed, and begins now.
    /// With `and_user`, Clerk has to be asked about the user, too.
    pub async fn owe_organization_walk(
        &self,
        user: &ClerkUserId,
        and_user: bool,
    ) -> Result<(), Error> {
        let statement = "
            update users
            set
                organizations_refetch_at = coalesce(organizations_refetch_at, now()),
                organizations_walked_since = now(),
                refetch_at = case when $2 then coalesce(refetch_at, now()) else refetch_at end
            where clerk_id = $1 and deleted_at is null";
        let values: [(&(dyn ToSql + Sync), Type); 2] =
            [(&user.as_str(), Type::TEXT), (&and_user, Type::BOOL)];
        self.execute(statement, &values).await?;
        Ok(())
    }

    /// The walk over a user's organizations has seen the whole list.
    /// Returns how many live memberships it did not see, which are flagged now.
    pub async fn end_organization_walk(&self, user: &ClerkUserId) -> Result<u64, Error> {
        let statement = "
            with walked as (
                update users u
                set
                    organizations_refetch_at = null,
                    n_organizations_refetches = 0,
                    organizations_confirmed_at = now()
                where u.clerk_id = $1
                returning u.id, u.organizations_walked_since as since
            )
            update memberships m
            set refetch_at = now()
            from walked w
            where m.user_id = w.id
                and m.deleted_at is null
                and (m.confirmed_at is null or m.confirmed_at < w.since)";
        self.execute(statement, &[(&user.as_str(), Type::TEXT)])
            .await
    }

    /// Puts off walks over the organizations of users for whom Clerk gave no answer:
    /// 5 s, doubling, at most 10 min.
    pub async fn put_off_organization_walks(&self, users: &[ClerkUserId]) -> Result<(), Error> {
        let statement = format!(
            "update users
            set
                n_organizations_refetches = n_organizations_refetches + 1,
                organizations_refetch_at = {}
            where clerk_id = any($1) and deleted_at is null",
            next_try("n_organizations_refetches")
        );
        let users: Vec<_> = users.iter().map(ClerkUserId::as_str).collect();
        self.execute(&statement, &[(&users, Type::TEXT_ARRAY)])
            .await?;
        Ok(())
    }

    /// A walk over all members of an organization begins; or goes on, if one began less than ten
    /// minutes ago. Returns from which place of Clerk's list.
    pub async fn begin_members_walk(
        &self,
        organization: &ClerkOrganizationId,
    ) -> Result<u64, Error> {
        let statement = "
            with known as (
                select
                    o.id,
                    o.members_refetch_at is not null
                        and o.members_walked_since > now() - interval '10 minutes' as is_under_way
                from organizations o
                where o.clerk_id = $1 and o.deleted_at is null
                for update of o
            )
            update organizations o
            set
                members_refetch_at = coalesce(o.members_refetch_at, now()),
                members_walked_since = case
                    when k.is_under_way then o.members_walked_since else now()
                end,
                members_offset = case when k.is_under_way then o.members_offset else 0 end
            from known k
            where o.id = k.id
            returning o.members_offset";
        let row = self
            .run(async |client| {
                client
                    .query_typed_opt(statement, &[(&organization.as_str(), Type::TEXT)])
                    .await
            })
            .await?;
        let offset: i64 = row.map_or(Ok(0), |row| row.try_get(0))?;
        u64::try_from(offset).map_err(Error::unreadable)
    }

    /// Walks over members that have to go on now, the longest waiting first.
    pub async fn due_members_walks(&self, limit: i64) -> Result<Vec<MembersWalk>, Error> {
        let statement = "
            select to_jsonb(o) as walk
            from organizations o
            where o.members_refetch_at <= now() and o.deleted_at is null
            order by o.members_refetch_at
            limit $1";
        let rows = self
            .run(async |client| client.query_typed(statement, &[(&limit, Type::INT8)]).await)
            .await?;
        rows.iter().map(|row| decode(row, "walk")).collect()
    }

    /// The walk stops here, and goes on from this place at the next tick;
    /// or later, if Clerk gave no answer: 5 s, doubling, at most 10 min.
    pub async fn stop_members_walk(
        &self,
        walk: &MembersWalk,
        has_failed: bool,
    ) -> Result<(), Error> {
        let statement = format!(
            "update organizations
            set
                members_offset = $2,
                n_members_refetches = case when $3 then n_members_refetches + 1 else 0 end,
                members_refetch_at = case when $3 then {} else now() end
            where clerk_id = $1 and deleted_at is null",
            next_try("n_members_refetches")
        );
        let offset = i64::try_from(walk.offset).map_err(Error::unreadable)?;
        let values: [(&(dyn ToSql + Sync), Type); 3] = [
            (&walk.organization.as_str(), Type::TEXT),
            (&offset, Type::INT8),
            (&has_failed, Type::BOOL),
        ];
        self.execute(&statement, &values).await?;
        Ok(())
    }

    /// The walk over the members has seen the whole list.
    /// Returns how many live memberships it did not see, which are flagged now.
    pub async fn end_members_walk(&self, organization: &ClerkOrganizationId) -> Result<u64, Error> {
        let statement = "
            with walked as (
                update organizations o
                set
                    members_refetch_at = null,
                    n_members_refetches = 0,
                    members_offset = 0,
                    members_confirmed_at = now()
                where o.clerk_id = $1
                returning o.id, o.members_walked_since as since
            )
            update memberships m
            set refetch_at = now()
            from walked w
            where m.organization_id = w.id
                and m.deleted_at is null
                and (m.confirmed_at is null or m.confirmed_at < w.since)";
        self.execute(statement, &[(&organization.as_str(), Type::TEXT)])
            .await
    }
}
