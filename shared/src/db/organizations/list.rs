//! Organizations as admins look for them: by name, page by page.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

use crate::db::{Db, Error, contains, cursor, decode};
use crate::ids::ClerkOrganizationId;

/// An organization in a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all(serialize = "camelCase"))]
pub struct Listed {
    id: Uuid,
    clerk_id: ClerkOrganizationId,
    name: Option<String>,
    slug: Option<String>,
    image_url: Option<String>,
    /// How many live members it has.
    n_members: i64,
    created_at: Timestamp,
}

/// One page of organizations.
#[derive(Debug, Clone)]
pub struct Page {
    /// The organizations, by name.
    pub organizations: Vec<Listed>,
    /// The place of the last one, if there are more.
    pub next: Option<Place>,
}

/// A place in the list: the last organization of a page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    name: String,
    id: Uuid,
}

impl Db {
    /// A page of live organizations after a place: those that have the text in their name or slug, or
    /// whose id it is.
    pub async fn list_organizations(
        &self,
        search: Option<&str>,
        after: Option<&Place>,
        limit: i64,
    ) -> Result<Page, Error> {
        let statement = "
            with page as materialized (
                select o.*, lower(coalesce(o.name, '')) as key
                from organizations o
                where o.deleted_at is null
                    and (
                        $1::text is null or o.name ilike $1 or o.slug ilike $1
                        or o.clerk_id = $2 or o.id::text = lower($2)
                    )
                    and (
                        $3::text is null
                        or (lower(coalesce(o.name, '')), o.id) > ($3, $4::uuid)
                    )
                order by key, o.id
                limit $5
            )
            select
                p.key,
                p.id,
                to_jsonb(p) || jsonb_build_object('n_members', (
                    select count(*)
                    from memberships m
                    where m.organization_id = p.id and m.deleted_at is null
                )) as organization
            from page p
            order by p.key, p.id";
        let pattern = search.map(contains);
        let (name, id) = after.map(|place| (place.name.as_str(), place.id)).unzip();
        // One more than asked for tells whether there is a next page.
        let one_more = limit + 1;
        let values: [(&(dyn ToSql + Sync), Type); 5] = [
            (&pattern, Type::TEXT),
            (&search, Type::TEXT),
            (&name, Type::TEXT),
            (&id, Type::UUID),
            (&one_more, Type::INT8),
        ];
        let mut rows = self
            .run(async |client| client.query_typed(statement, &values).await)
            .await?;
        let limit = usize::try_from(limit).map_err(Error::unreadable)?;
        let has_more = rows.len() > limit;
        rows.truncate(limit);
        let organizations = rows.iter().map(|row| decode(row, "organization"));
        Ok(Page {
            organizations: organizations.collect::<Result<_, _>>()?,
            next: match rows.last().filter(|_| has_more) {
                Some(last) => Some(Place {
                    name: last.try_get("key")?,
                    id: last.try_get("id")?,
                }),
                None => None,
            },
        })
    }
}

impl Place {
    /// The place as callers carry it: opaque, and safe in an address.
    pub fn to_cursor(&self) -> String {
        cursor::of(self)
    }

    /// The place that a caller brings back.
    pub fn from_cursor(cursor: &str) -> Option<Self> {
        cursor::read(cursor)
    }
}
