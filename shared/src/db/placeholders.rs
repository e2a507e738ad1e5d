//! Rows of users and organizations of whom nothing but a glimpse is known (R4, R17).

use serde::Serialize;
use tokio_postgres::types::{Json, ToSql, Type};

use super::{Db, Error};
use crate::ids::{ClerkOrganizationId, ClerkUserId};

/// What a membership, or a session token, shows of a user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct User<'a> {
    /// Clerk's id.
    pub clerk_id: &'a ClerkUserId,
    /// The given name.
    pub first_name: Option<&'a str>,
    /// The family name.
    pub last_name: Option<&'a str>,
    /// The name to sign in with.
    pub username: Option<&'a str>,
    /// The picture.
    pub image_url: Option<&'a str>,
}

/// What a membership, or a session token, shows of an organization.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Organization<'a> {
    /// Clerk's id.
    pub clerk_id: &'a ClerkOrganizationId,
    /// The name.
    pub name: Option<&'a str>,
    /// The name in addresses.
    pub slug: Option<&'a str>,
    /// The picture.
    pub image_url: Option<&'a str>,
}

impl Db {
    /// Makes rows of version 0 for those that have none, flagged so that Clerk is asked about them.
    pub async fn make_placeholders(
        &self,
        users: &[User<'_>],
        organizations: &[Organization<'_>],
    ) -> Result<(), Error> {
        let statement = "
            with made as (
                insert into users (
                    clerk_id, first_name, last_name, username, image_url, is_placeholder, refetch_at
                )
                select p.clerk_id, p.first_name, p.last_name, p.username, p.image_url, true, now()
                from jsonb_to_recordset($1::jsonb) as p (
                    clerk_id text, first_name text, last_name text, username text, image_url text
                )
                order by p.clerk_id
                on conflict (clerk_id) do nothing
            )
            insert into organizations (
                clerk_id, name, slug, image_url, is_placeholder, refetch_at
            )
            select p.clerk_id, p.name, p.slug, p.image_url, true, now()
            from jsonb_to_recordset($2::jsonb) as p (
                clerk_id text, name text, slug text, image_url text
            )
            order by p.clerk_id
            on conflict (clerk_id) do nothing";
        let (users, organizations) = (Json(users), Json(organizations));
        let values: [(&(dyn ToSql + Sync), Type); 2] =
            [(&users, Type::JSONB), (&organizations, Type::JSONB)];
        self.execute(statement, &values).await?;
        Ok(())
    }
}
