//! What Clerk's lists showed to the last run of a comparison (R14), in the shape of our rows: the
//! tables `listed_users`, `listed_organizations` and `listed_memberships`.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Row as PgRow};
use uuid::Uuid;

use super::runs::Lease;
use super::{Db, Error, Role, decode};
use crate::ids::{ClerkMembershipId, ClerkOrganizationId, ClerkUserId};

/// A user, as Clerk's list shows it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "it has the columns that the row has"
)]
pub struct User {
    /// Clerk's.
    pub clerk_id: ClerkUserId,
    /// `updated_at` in Clerk, in ms (R2).
    pub clerk_version: i64,
    /// The primary address.
    pub email: Option<String>,
    /// Whether Clerk calls that address verified.
    pub email_verified: bool,
    /// The given name.
    pub first_name: Option<String>,
    /// The family name.
    pub last_name: Option<String>,
    /// The name to sign in with.
    pub username: Option<String>,
    /// The picture.
    pub image_url: Option<String>,
    /// The id that the application gave the user in Clerk.
    pub external_id: Option<String>,
    /// The role as Clerk spells it; none if it has none.
    pub clerk_role: Option<String>,
    /// What that is here; none if it has none, or one that is none of ours.
    pub role: Option<Role>,
    /// Clerk's public metadata.
    pub public_metadata: Map<String, Value>,
    /// Banned in Clerk.
    pub banned: bool,
    /// Locked in Clerk for a while.
    pub locked: bool,
    /// Taken away by a directory.
    pub deprovisioned: bool,
    /// As Clerk has it.
    pub last_sign_in_at: Option<Timestamp>,
    /// When it was made.
    pub created_at: Option<Timestamp>,
}

/// An organization, as Clerk's list shows it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Organization {
    /// Clerk's.
    pub clerk_id: ClerkOrganizationId,
    /// `updated_at` in Clerk, in ms (R2).
    pub clerk_version: i64,
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
    /// When it was made.
    pub created_at: Option<Timestamp>,
}

/// A membership, as Clerk's list shows it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Membership {
    /// Clerk's.
    pub clerk_id: ClerkMembershipId,
    /// `updated_at` in Clerk, in ms (R2).
    pub clerk_version: i64,
    /// The organization.
    pub clerk_organization_id: ClerkOrganizationId,
    /// The member.
    pub clerk_user_id: ClerkUserId,
    /// As Clerk's API spells it, such as `org:admin`.
    pub role: String,
    /// What the role allows, in order.
    pub permissions: Vec<String>,
    /// Clerk's public metadata.
    pub public_metadata: Map<String, Value>,
    /// When it was made.
    pub created_at: Option<Timestamp>,
}

/// What Clerk showed since the last time that something was put down.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Batch {
    /// Users that it showed.
    pub users: Vec<User>,
    /// Organizations that it showed.
    pub organizations: Vec<Organization>,
    /// Memberships that it showed.
    pub memberships: Vec<Membership>,
    /// Those that it does not know: each was asked about alone.
    pub absent: Absent,
}

/// What Clerk does not know, by Clerk id; or by what somebody has written in the place of one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Absent {
    /// Users.
    pub users: Vec<String>,
    /// Organizations.
    pub organizations: Vec<String>,
    /// Memberships.
    pub memberships: Vec<String>,
}

/// A live row that Clerk's lists did not show.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unlisted {
    /// Clerk's id of it.
    pub clerk_id: String,
    /// Of a membership: its organization.
    pub organization: Option<String>,
    /// Of a membership: its user.
    pub user: Option<String>,
}

/// A kind of object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Object {
    /// A user.
    User,
    /// An organization.
    Organization,
    /// A membership.
    Membership,
}

impl Object {
    /// As the tables spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Organization => "organization",
            Self::Membership => "membership",
        }
    }
}

impl Db {
    /// How many live rows of a kind Clerk's lists did not show, and how many there are that Clerk
    /// could show.
    pub async fn count_unlisted(&self, run: Uuid, object: Object) -> Result<(u64, u64), Error> {
        let statement = format!(
            "select count(*) filter (where l.clerk_id is null) as n_unlisted, count(*) as n_rows
            from {object}s r
            left join listed_{object}s l on l.clerk_id = r.clerk_id and l.run_id = $1
            where r.deleted_at is null and r.clerk_id is not null",
            object = object.as_str()
        );
        let row = self
            .run(async |client| {
                client
                    .query_typed_one(&statement, &[(&run, Type::UUID)])
                    .await
            })
            .await?;
        Ok((count(&row, "n_unlisted")?, count(&row, "n_rows")?))
    }

    /// Live rows of a kind that Clerk's lists did not show, by Clerk id, after this one; without those
    /// that were made after the run began, and memberships that end with their user or organization.
    pub async fn unlisted(
        &self,
        run: Uuid,
        object: Object,
        after: &str,
        limit: i64,
    ) -> Result<Vec<Unlisted>, Error> {
        let statement = match object {
            Object::User => include_str!("listed/unlisted_users.sql"),
            Object::Organization => include_str!("listed/unlisted_organizations.sql"),
            Object::Membership => include_str!("listed/unlisted_memberships.sql"),
        };
        let values: [(&(dyn ToSql + Sync), Type); 3] = [
            (&run, Type::UUID),
            (&after, Type::TEXT),
            (&limit, Type::INT8),
        ];
        let rows = self
            .run(async |client| client.query_typed(statement, &values).await)
            .await?;
        rows.iter().map(|row| decode(row, "unlisted")).collect()
    }

    /// Which of these Clerk's list has shown to this run.
    pub async fn are_listed(&self, run: Uuid, object: Object, ids: &[&str]) -> Result<bool, Error> {
        let statement = format!(
            "select count(*) = cardinality($2::text[]) as are_listed
            from listed_{}s
            where run_id = $1 and clerk_id = any($2)",
            object.as_str()
        );
        let values: [(&(dyn ToSql + Sync), Type); 2] =
            [(&run, Type::UUID), (&ids, Type::TEXT_ARRAY)];
        let row = self
            .run(async |client| client.query_typed_one(&statement, &values).await)
            .await?;
        Ok(row.try_get("are_listed")?)
    }

    /// What was listed of these users.
    pub async fn listed_users(&self, run: Uuid, ids: &[&str]) -> Result<Vec<User>, Error> {
        self.listed(run, Object::User, ids).await
    }

    /// What was listed of these organizations.
    pub async fn listed_organizations(
        &self,
        run: Uuid,
        ids: &[&str],
    ) -> Result<Vec<Organization>, Error> {
        self.listed(run, Object::Organization, ids).await
    }

    /// What was listed of these memberships.
    pub async fn listed_memberships(
        &self,
        run: Uuid,
        ids: &[&str],
    ) -> Result<Vec<Membership>, Error> {
        self.listed(run, Object::Membership, ids).await
    }

    async fn listed<T: serde::de::DeserializeOwned>(
        &self,
        run: Uuid,
        object: Object,
        ids: &[&str],
    ) -> Result<Vec<T>, Error> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let statement = format!(
            "select to_jsonb(l) as listed
            from listed_{}s l
            where l.run_id = $1 and l.clerk_id = any($2) and not l.is_absent",
            object.as_str()
        );
        let values: [(&(dyn ToSql + Sync), Type); 2] =
            [(&run, Type::UUID), (&ids, Type::TEXT_ARRAY)];
        let rows = self
            .run(async |client| client.query_typed(&statement, &values).await)
            .await?;
        rows.iter().map(|row| decode(row, "listed")).collect()
    }
}

fn count(row: &PgRow, column: &str) -> Result<u64, Error> {
    let count: i64 = row.try_get(column)?;
    u64::try_from(count).map_err(Error::unreadable)
}

/// Puts down what Clerk showed, inside of a transaction that holds the run.
/// What is shown twice is as it was shown last.
pub(super) async fn put(
    client: &Client,
    lease: Lease,
    batch: &Batch,
) -> Result<(), tokio_postgres::Error> {
    let (users, organizations, memberships, absent) = tokio::join!(
        biased;
        put_users(client, lease, &batch.users),
        put_organizations(client, lease, &batch.organizations),
        put_memberships(client, lease, &batch.memberships),
        put_absent(client, lease, &batch.absent),
    );
    users?;
    organizations?;
    memberships?;
    absent
}

/// A column of what is put down.
fn column<'a, T, V>(rows: &'a [T], value: impl Fn(&'a T) -> V) -> Vec<V> {
    rows.iter().map(value).collect()
}

fn json(map: &Map<String, Value>) -> String {
    serde_json::to_string(map).unwrap_or_else(|_| "{}".to_owned())
}

fn ms(time: Option<Timestamp>) -> Option<i64> {
    time.map(Timestamp::as_millisecond)
}

async fn put_users(
    client: &Client,
    lease: Lease,
    users: &[User],
) -> Result<(), tokio_postgres::Error> {
    if users.is_empty() {
        return Ok(());
    }
    let values: [(&(dyn ToSql + Sync), Type); 19] = [
        (&lease.run, Type::UUID),
        (&lease.by, Type::UUID),
        (&column(users, |it| it.clerk_id.as_str()), Type::TEXT_ARRAY),
        (&column(users, |it| it.clerk_version), Type::INT8_ARRAY),
        (&column(users, |it| it.email.as_deref()), Type::TEXT_ARRAY),
        (&column(users, |it| it.email_verified), Type::BOOL_ARRAY),
        (
            &column(users, |it| it.first_name.as_deref()),
            Type::TEXT_ARRAY,
        ),
        (
            &column(users, |it| it.last_name.as_deref()),
            Type::TEXT_ARRAY,
        ),
        (
            &column(users, |it| it.username.as_deref()),
            Type::TEXT_ARRAY,
        ),
        (
            &column(users, |it| it.image_url.as_deref()),
            Type::TEXT_ARRAY,
        ),
        (
            &column(users, |it| it.external_id.as_deref()),
            Type::TEXT_ARRAY,
        ),
        (
            &column(users, |it| it.clerk_role.as_deref()),
            Type::TEXT_ARRAY,
        ),
        (
            &column(users, |it| it.role.map(Role::as_str)),
            Type::TEXT_ARRAY,
        ),
        (
            &column(users, |it| json(&it.public_metadata)),
            Type::TEXT_ARRAY,
        ),
        (&column(users, |it| it.banned), Type::BOOL_ARRAY),
        (&column(users, |it| it.locked), Type::BOOL_ARRAY),
        (&column(users, |it| it.deprovisioned), Type::BOOL_ARRAY),
        (
            &column(users, |it| ms(it.last_sign_in_at)),
            Type::INT8_ARRAY,
        ),
        (&column(users, |it| ms(it.created_at)), Type::INT8_ARRAY),
    ];
    let statement = include_str!("listed/put_users.sql");
    client.execute_typed(statement, &values).await?;
    Ok(())
}

async fn put_organizations(
    client: &Client,
    lease: Lease,
    organizations: &[Organization],
) -> Result<(), tokio_postgres::Error> {
    if organizations.is_empty() {
        return Ok(());
    }
    let values: [(&(dyn ToSql + Sync), Type); 11] = [
        (&lease.run, Type::UUID),
        (&lease.by, Type::UUID),
        (
            &column(organizations, |it| it.clerk_id.as_str()),
            Type::TEXT_ARRAY,
        ),
        (
            &column(organizations, |it| it.clerk_version),
            Type::INT8_ARRAY,
        ),
        (
            &column(organizations, |it| it.name.as_deref()),
            Type::TEXT_ARRAY,
        ),
        (
            &column(organizations, |it| it.slug.as_deref()),
            Type::TEXT_ARRAY,
        ),
        (
            &column(organizations, |it| it.image_url.as_deref()),
            Type::TEXT_ARRAY,
        ),
        (
            &column(organizations, |it| it.created_by.as_deref()),
            Type::TEXT_ARRAY,
        ),
        (
            &column(organizations, |it| it.max_allowed_memberships),
            Type::INT8_ARRAY,
        ),
        (
            &column(organizations, |it| json(&it.public_metadata)),
            Type::TEXT_ARRAY,
        ),
        (
            &column(organizations, |it| ms(it.created_at)),
            Type::INT8_ARRAY,
        ),
    ];
    let statement = include_str!("listed/put_organizations.sql");
    client.execute_typed(statement, &values).await?;
    Ok(())
}

async fn put_memberships(
    client: &Client,
    lease: Lease,
    memberships: &[Membership],
) -> Result<(), tokio_postgres::Error> {
    if memberships.is_empty() {
        return Ok(());
    }
    let values: [(&(dyn ToSql + Sync), Type); 10] = [
        (&lease.run, Type::UUID),
        (&lease.by, Type::UUID),
        (
            &column(memberships, |it| it.clerk_id.as_str()),
            Type::TEXT_ARRAY,
        ),
        (
            &column(memberships, |it| it.clerk_version),
            Type::INT8_ARRAY,
        ),
        (
            &column(memberships, |it| it.clerk_organization_id.as_str()),
            Type::TEXT_ARRAY,
        ),
        (
            &column(memberships, |it| it.clerk_user_id.as_str()),
            Type::TEXT_ARRAY,
        ),
        (
            &column(memberships, |it| it.role.as_str()),
            Type::TEXT_ARRAY,
        ),
        // An array of arrays would have to be a rectangle.
        (
            &column(memberships, |it| it.permissions.join(SEPARATOR)),
            Type::TEXT_ARRAY,
        ),
        (
            &column(memberships, |it| json(&it.public_metadata)),
            Type::TEXT_ARRAY,
        ),
        (
            &column(memberships, |it| ms(it.created_at)),
            Type::INT8_ARRAY,
        ),
    ];
    let statement = include_str!("listed/put_memberships.sql");
    client.execute_typed(statement, &values).await?;
    Ok(())
}

/// Between two permissions: chr(31), which is in none.
const SEPARATOR: &str = "\u{1f}";

async fn put_absent(
    client: &Client,
    lease: Lease,
    absent: &Absent,
) -> Result<(), tokio_postgres::Error> {
    let kinds = [
        (Object::User, &absent.users),
        (Object::Organization, &absent.organizations),
        (Object::Membership, &absent.memberships),
    ];
    for (object, ids) in kinds {
        if ids.is_empty() {
            continue;
        }
        let statement = format!(
            "insert into listed_{}s (clerk_id, run_id, is_absent)
            select id, $1, true
            from unnest($3::text[]) as id
            where exists (select from reconcile_runs r where r.id = $1 and r.leased_by = $2)
            on conflict (clerk_id) do nothing",
            object.as_str()
        );
        let values: [(&(dyn ToSql + Sync), Type); 3] = [
            (&lease.run, Type::UUID),
            (&lease.by, Type::UUID),
            (ids, Type::TEXT_ARRAY),
        ];
        client.execute_typed(&statement, &values).await?;
    }
    Ok(())
}
