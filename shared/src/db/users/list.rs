//! Users as they are shown: one, a page of them, and how many there are.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

use super::{LIVE_ADMIN, Role, Row};
use crate::db::memberships::SHOWN as SHOWN_MEMBERSHIP;
use crate::db::{Db, Error, contains, cursor, decode, memberships, organizations};
use crate::ids::{ClerkUserId, UserRef};

/// A user as every route shows them.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Shown {
    /// Ours.
    pub id: Uuid,
    /// Clerk's.
    pub clerk_id: Option<ClerkUserId>,
    email: Option<String>,
    first_name: Option<String>,
    last_name: Option<String>,
    name: Option<String>,
    username: Option<String>,
    image_url: Option<String>,
    role: Role,
    /// Whether they may sign in.
    pub state: State,
    clerk_sync: ClerkSync,
    /// Made before the real information came.
    pub is_placeholder: bool,
    builder_group_id: Option<String>,
    created_at: Timestamp,
    updated_at: Option<Timestamp>,
    last_sign_in_at: Option<Timestamp>,
    confirmed_at: Option<Timestamp>,
}

/// Whether the user may sign in, and why not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// They may.
    Active,
    /// Not for a while: too many wrong passwords.
    Locked,
    /// An admin banned them in Clerk.
    Banned,
    /// Their directory took them away.
    Deprovisioned,
    /// They are gone.
    Deleted,
}

/// Whether Clerk has the role that the row has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClerkSync {
    /// It has.
    Synced,
    /// Not yet.
    Pending,
    /// Clerk refused it for good.
    Dead,
}

/// Which users to show.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Part of the name, address or username, or a whole id.
    pub search: Option<String>,
    /// Only these.
    pub role: Option<Role>,
    /// Only the members of this organization, by its Clerk id or ours.
    pub organization: Option<String>,
    /// Only those who are shown with this state; unless it is asked for, nobody who is deleted.
    pub state: Option<State>,
    /// Only those whose role has come so far on its way to Clerk.
    pub clerk_sync: Option<ClerkSync>,
}

/// In which order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Order {
    /// The newest first.
    #[default]
    #[serde(rename = "-createdAt")]
    Newest,
    /// The oldest first.
    #[serde(rename = "createdAt")]
    Oldest,
    /// By name.
    #[serde(rename = "name")]
    Name,
    /// By name, backwards.
    #[serde(rename = "-name")]
    NameDescending,
    /// By address.
    #[serde(rename = "email")]
    Email,
    /// By address, backwards.
    #[serde(rename = "-email")]
    EmailDescending,
    /// Who signed in last comes first.
    #[serde(rename = "-lastSignInAt")]
    LastSignIn,
}

/// One page of users.
#[derive(Debug, Clone)]
pub struct Page {
    /// The users, in order.
    pub users: Vec<Shown>,
    /// The key of the last one, if there are more.
    pub next: Option<Place>,
    /// How many match in all.
    pub total: i64,
}

/// A place in the list: the last user of a page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The order that it belongs to.
    pub order: Order,
    key: String,
    id: Uuid,
}

/// All that is known of a user.
#[derive(Debug, Clone)]
pub struct Account {
    /// The user.
    pub user: Shown,
    /// The organizations that they are in, the oldest first.
    pub organizations: Vec<organizations::Shown>,
    /// As what they are in these, the oldest membership first.
    pub memberships: Vec<memberships::Shown>,
    /// When a walk over their organizations ended last.
    pub organizations_confirmed_at: Option<Timestamp>,
    /// What is not yet as it shall be.
    pub pending: Pending,
}

/// What is not yet as it shall be with a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    /// Clerk has to be asked about the user.
    user: bool,
    /// The role is on its way to Clerk.
    role: bool,
    /// A walk over the organizations is owed.
    organizations: bool,
    /// So many memberships have to be asked about.
    memberships: u64,
    /// So many events wait until Clerk was asked.
    events: u64,
}

/// The key of an order in SQL, its type, and whether it descends.
struct Key {
    expression: &'static str,
    sql_type: &'static str,
    descends: bool,
}

impl Order {
    fn key(self) -> Key {
        let name = "lower(coalesce(u.name, ''))";
        let email = "lower(coalesce(u.email, ''))";
        let sign_in = "coalesce(u.last_sign_in_at, '-infinity')";
        let key = |expression, sql_type, descends| Key {
            expression,
            sql_type,
            descends,
        };
        match self {
            Self::Newest => key("u.created_at", "timestamptz", true),
            Self::Oldest => key("u.created_at", "timestamptz", false),
            Self::Name => key(name, "text", false),
            Self::NameDescending => key(name, "text", true),
            Self::Email => key(email, "text", false),
            Self::EmailDescending => key(email, "text", true),
            Self::LastSignIn => key(sign_in, "timestamptz", true),
        }
    }
}

/// Whether Clerk has the role of `u`: an open entry is on its way, the last one may be dead,
/// and who has no account yet gets the role with it (R8).
const CLERK_SYNC: &str = "
    case
        when u.clerk_id is null then 'pending'
        else coalesce(
            (
                select case
                    when o.dead_at is not null then 'dead'
                    when o.completed_at is null then 'pending'
                end
                from outbox o
                where o.user_id = u.id and o.kind = 'role'
                order by o.id desc
                limit 1
            ),
            'synced'
        )
    end";

/// With which state `u` is shown: the same decision as [`State::of`].
const STATE: &str = "
    case
        when u.deleted_at is not null then 'deleted'
        when u.deprovisioned then 'deprovisioned'
        when u.banned then 'banned'
        when u.locked then 'locked'
        else 'active'
    end";

/// The user with the id $1 or the Clerk id $2, for [`shown`].
pub(in crate::db) fn show_user() -> String {
    format!(
        "select to_jsonb(u) as row, to_jsonb({CLERK_SYNC}) as clerk_sync
        from users u
        where u.id = $1 or u.clerk_id = $2"
    )
}

impl Db {
    /// The user that a route names, as shown; deleted users too.
    pub async fn shown_user(&self, user: &UserRef) -> Result<Option<Shown>, Error> {
        let statement = show_user();
        let (id, clerk_id) = user.split();
        let values: [(&(dyn ToSql + Sync), Type); 2] = [(&id, Type::UUID), (&clerk_id, Type::TEXT)];
        let row = self
            .run(async |client| client.query_typed_opt(&statement, &values).await)
            .await?;
        row.as_ref().map(shown).transpose()
    }

    /// The live memberships of a user, the oldest first.
    pub async fn memberships_of_user(&self, id: Uuid) -> Result<Vec<memberships::Shown>, Error> {
        let statement = format!(
            "select {SHOWN_MEMBERSHIP} as shown
            from memberships m
            join organizations o on o.id = m.organization_id
            where m.user_id = $1 and m.deleted_at is null
            order by m.created_at, m.id"
        );
        let rows = self
            .run(async |client| client.query_typed(&statement, &[(&id, Type::UUID)]).await)
            .await?;
        rows.iter().map(|row| decode(row, "shown")).collect()
    }

    /// All that is known of a user: one round trip; deleted users too.
    pub async fn account(&self, clerk_id: &ClerkUserId) -> Result<Option<Account>, Error> {
        let statement = format!(
            "select
                to_jsonb(u) as row, to_jsonb({CLERK_SYNC}) as clerk_sync,
                (
                    select coalesce(jsonb_agg(to_jsonb(o) order by o.created_at, o.id), '[]')
                    from memberships m
                    join organizations o on o.id = m.organization_id
                    where m.user_id = u.id and m.deleted_at is null
                ) as organizations,
                (
                    select coalesce(jsonb_agg({SHOWN_MEMBERSHIP} order by m.created_at, m.id), '[]')
                    from memberships m
                    join organizations o on o.id = m.organization_id
                    where m.user_id = u.id and m.deleted_at is null
                ) as memberships,
                jsonb_build_object(
                    'user', u.refetch_at is not null,
                    'role', {CLERK_SYNC} = 'pending',
                    'organizations', u.organizations_refetch_at is not null,
                    'memberships', (
                        select count(*)
                        from memberships m
                        where m.user_id = u.id and m.refetch_at is not null
                    ),
                    'events', (
                        select count(*)
                        from inbox b
                        where b.outcome = 'parked'
                            and u.clerk_id in (b.object_id, b.detail ->> 'clerkUserId')
                    )
                ) as pending
            from users u
            where u.clerk_id = $1"
        );
        let row = self
            .run(async |client| {
                client
                    .query_typed_opt(&statement, &[(&clerk_id.as_str(), Type::TEXT)])
                    .await
            })
            .await?;
        row.as_ref().map(account).transpose()
    }

    /// A page of users after a place, with the count of all that match: one round trip.
    pub async fn list_users(
        &self,
        filter: &Filter,
        order: Order,
        after: Option<&Place>,
        limit: i64,
    ) -> Result<Page, Error> {
        let Key {
            expression,
            sql_type,
            descends,
        } = order.key();
        let (direction, beyond) = if descends {
            ("desc", "<")
        } else {
            ("asc", ">")
        };
        let matches = format!(
            "case when $5::text is null then u.deleted_at is null else {STATE} = $5 end
            and ($6::text is null or {CLERK_SYNC} = $6)
            and ($1::text is null or u.role = $1::user_role)
            and (
                $2::text is null or u.name ilike $2 or u.email ilike $2 or u.username ilike $2
                or u.clerk_id = $3 or u.id::text = $3
            )
            and (
                $4::text is null
                or exists (
                    select
                    from memberships m
                    join organizations o on o.id = m.organization_id
                    where m.user_id = u.id
                        and m.deleted_at is null
                        and (o.clerk_id = $4 or o.id::text = lower($4))
                )
            )"
        );
        let page = format!(
            "select
                to_jsonb(u) as row, to_jsonb({CLERK_SYNC}) as clerk_sync,
                ({expression})::text as key
            from users u
            where {matches}
                and ($7::text is null or ({expression}, u.id) {beyond} ($7::{sql_type}, $8::uuid))
            order by {expression} {direction}, u.id {direction}
            limit $9"
        );
        let count = format!("select count(*) from users u where {matches}");
        let role = filter.role.map(Role::as_str);
        let pattern = filter.search.as_deref().map(contains);
        let state = filter.state.map(State::as_str);
        let clerk_sync = filter.clerk_sync.map(ClerkSync::as_str);
        let (key, id) = after.map(|place| (place.key.as_str(), place.id)).unzip();
        // One more than asked for tells whether there is a next page.
        let one_more = limit + 1;
        let counted: [(&(dyn ToSql + Sync), Type); 6] = [
            (&role, Type::TEXT),
            (&pattern, Type::TEXT),
            (&filter.search, Type::TEXT),
            (&filter.organization, Type::TEXT),
            (&state, Type::TEXT),
            (&clerk_sync, Type::TEXT),
        ];
        let cut: [(&(dyn ToSql + Sync), Type); 3] = [
            (&key, Type::TEXT),
            (&id, Type::UUID),
            (&one_more, Type::INT8),
        ];
        let values = [counted.as_slice(), &cut].concat();
        let (rows, total) = self
            .run(async |client| {
                let (rows, total) = tokio::join!(
                    biased;
                    client.query_typed(&page, &values),
                    client.query_typed_one(&count, &counted),
                );
                Ok((rows?, total?))
            })
            .await?;
        let limit = usize::try_from(limit).map_err(Error::unreadable)?;
        let next = match rows.get(..limit).and_then(<[_]>::last) {
            Some(last) if rows.len() > limit => {
                let row: Row = decode(last, "row")?;
                Some(Place {
                    order,
                    key: last.try_get("key")?,
                    id: row.id,
                })
            }
            _ => None,
        };
        let users = rows
            .iter()
            .take(limit)
            .map(shown)
            .collect::<Result<_, _>>()?;
        Ok(Page {
            users,
            next,
            total: total.try_get(0)?,
        })
    }

    /// How many users could act as an admin now.
    pub async fn n_live_admins(&self) -> Result<i64, Error> {
        let statement = format!("select count(*) from users u where {LIVE_ADMIN}");
        let row = self
            .run(async |client| client.query_typed_one(&statement, &[]).await)
            .await?;
        Ok(row.try_get(0)?)
    }
}

fn account(row: &tokio_postgres::Row) -> Result<Account, Error> {
    let user: Row = decode(row, "row")?;
    let organizations: Vec<organizations::Row> = decode(row, "organizations")?;
    Ok(Account {
        organizations_confirmed_at: user.organizations_confirmed_at,
        user: Shown::new(user, decode(row, "clerk_sync")?),
        organizations: organizations.into_iter().map(Into::into).collect(),
        memberships: decode(row, "memberships")?,
        pending: decode(row, "pending")?,
    })
}

pub(in crate::db) fn shown(row: &tokio_postgres::Row) -> Result<Shown, Error> {
    Ok(Shown::new(decode(row, "row")?, decode(row, "clerk_sync")?))
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

impl Shown {
    /// The user with other names.
    #[must_use]
    pub fn with_names(self, first_name: Option<String>, last_name: Option<String>) -> Self {
        let names = [first_name.as_deref(), last_name.as_deref()];
        let name = names.map(Option::unwrap_or_default).join(" ");
        let name = Some(name.trim().to_owned()).filter(|name| !name.is_empty());
        Self {
            first_name,
            last_name,
            name,
            ..self
        }
    }

    fn new(row: Row, clerk_sync: ClerkSync) -> Self {
        Self {
            state: State::of(&row),
            id: row.id,
            clerk_id: row.clerk_id,
            email: row.email,
            first_name: row.first_name,
            last_name: row.last_name,
            name: row.name,
            username: row.username,
            image_url: row.image_url,
            role: row.role,
            clerk_sync,
            is_placeholder: row.is_placeholder,
            builder_group_id: row.builder_group_id,
            created_at: row.created_at,
            updated_at: row.updated_at,
            last_sign_in_at: row.last_sign_in_at,
            confirmed_at: row.confirmed_at,
        }
    }
}

impl ClerkSync {
    fn as_str(self) -> &'static str {
        match self {
            Self::Synced => "synced",
            Self::Pending => "pending",
            Self::Dead => "dead",
        }
    }
}

impl State {
    fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Locked => "locked",
            Self::Banned => "banned",
            Self::Deprovisioned => "deprovisioned",
            Self::Deleted => "deleted",
        }
    }

    fn of(row: &Row) -> Self {
        if row.deleted_at.is_some() {
            return Self::Deleted;
        }
        if row.deprovisioned {
            return Self::Deprovisioned;
        }
        if row.banned {
            return Self::Banned;
        }
        if row.locked {
            Self::Locked
        } else {
            Self::Active
        }
    }
}
