//! The `role_changes` table: who changed which role when.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

use super::{Db, Error, Role, decode};
use crate::ids::{ClerkUserId, SvixId};

/// The way by which a role changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// A person in a browser.
    AdminPanel,
    /// A program with a session token.
    Api,
    /// Clerk, by a delivery.
    Webhook,
    /// Clerk, by being asked.
    Reconcile,
}

/// A change to be written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct New {
    /// None for a row that did not exist.
    pub old_role: Option<Role>,
    /// What it is now.
    pub new_role: Role,
    /// A Clerk user id, or `clerk`.
    pub actor: String,
    /// The way.
    pub source: Source,
    /// The delivery, if there was one.
    pub svix_id: Option<SvixId>,
    /// The request, if there was one.
    pub request_id: Option<String>,
}

/// A change as it is shown.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all(serialize = "camelCase"))]
pub struct Shown {
    /// Grows with each change.
    pub id: i64,
    user_id: Uuid,
    old_role: Option<Role>,
    new_role: Role,
    actor: String,
    source: String,
    svix_id: Option<String>,
    request_id: Option<String>,
    at: Timestamp,
}

/// A change, and who the two people are.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all(serialize = "camelCase"))]
pub struct Named {
    /// The change.
    #[serde(flatten)]
    pub change: Shown,
    user_clerk_id: Option<ClerkUserId>,
    /// The name, or else the address.
    user_name: Option<String>,
    /// The same of the user whose Clerk id the actor is; none if it is nobody's.
    actor_name: Option<String>,
}

/// Which changes to show; the newest come first.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Of this user.
    pub user_id: Option<Uuid>,
    /// By this actor.
    pub actor: Option<String>,
    /// Not before this.
    pub since: Option<Timestamp>,
    /// Older than the change with this id.
    pub before: Option<i64>,
}

impl Db {
    /// The audit trail.
    pub async fn role_changes(&self, filter: &Filter, limit: i64) -> Result<Vec<Named>, Error> {
        let statement = "
            select
                to_jsonb(c) || jsonb_build_object(
                    'user_clerk_id', u.clerk_id,
                    'user_name', coalesce(u.name, u.email),
                    'actor_name', coalesce(a.name, a.email)
                ) as change
            from role_changes c
            join users u on u.id = c.user_id
            left join users a on a.clerk_id = c.actor
            where ($1::uuid is null or c.user_id = $1)
                and ($2::text is null or c.actor = $2)
                and ($3::timestamptz is null or c.at >= $3)
                and ($4::bigint is null or c.id < $4)
            order by c.id desc
            limit $5";
        let rows = self
            .run(async |client| {
                let values: [(&(dyn ToSql + Sync), Type); 5] = [
                    (&filter.user_id, Type::UUID),
                    (&filter.actor, Type::TEXT),
                    (&filter.since, Type::TIMESTAMPTZ),
                    (&filter.before, Type::INT8),
                    (&limit, Type::INT8),
                ];
                client.query_typed(statement, &values).await
            })
            .await?;
        rows.iter().map(|row| decode(row, "change")).collect()
    }
}
