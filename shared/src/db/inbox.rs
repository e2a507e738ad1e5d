//! The `inbox` table: deliveries taken in, one row for each svix id (R7).

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio_postgres::types::{Json, Type};

use super::{Db, Error, decode};
use crate::ids::SvixId;

/// What became of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Its effects are in the tables.
    Applied,
    /// Something newer was there before it.
    Stale,
    /// Not for us.
    Ignored,
    /// It waits for something.
    Parked,
    /// Nobody can read it; a person has to look.
    Dead,
}

/// A delivery as it is recorded.
#[derive(Debug, Clone, Serialize)]
pub struct Entry {
    /// The key.
    pub svix_id: SvixId,
    /// Such as `user.updated`.
    pub event_type: String,
    /// The id of the object that it is about.
    pub object_id: Option<String>,
    /// The Clerk instance that it comes from.
    pub instance_id: Option<String>,
    /// When it happened in Clerk.
    pub event_at: Option<Timestamp>,
    /// What became of it.
    pub outcome: Outcome,
    /// The rule that decided.
    pub rule: Option<&'static str>,
    /// What changed and what was compared, without personal data.
    pub detail: Value,
    /// The body, while it is parked or dead.
    pub payload: Option<Value>,
    /// Why it is dead.
    pub last_error: Option<String>,
}

/// A delivery as it is shown.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all(serialize = "camelCase"))]
pub struct Shown {
    svix_id: String,
    event_type: String,
    outcome: Outcome,
    rule: Option<String>,
    detail: Value,
    event_at: Option<Timestamp>,
    received_at: Timestamp,
    applied_at: Option<Timestamp>,
}

impl Db {
    /// Records a delivery that has no effect; false if it was known already. One round trip.
    pub async fn record_delivery(&self, entry: &Entry) -> Result<bool, Error> {
        let statement = "
            insert into inbox (
                svix_id, event_type, object_id, instance_id, event_at, outcome, rule, detail,
                payload, last_error
            )
            select
                svix_id, event_type, object_id, instance_id, event_at, outcome, rule, detail,
                payload, last_error
            from jsonb_populate_record(null::inbox, $1)
            on conflict (svix_id) do nothing";
        let n_rows = self
            .run(async |client| {
                client
                    .execute_typed(statement, &[(&Json(entry), Type::JSONB)])
                    .await
            })
            .await?;
        Ok(n_rows == 1)
    }

    /// The last deliveries about an object, the newest first.
    pub async fn deliveries_about(&self, object_id: &str, limit: i64) -> Result<Vec<Shown>, Error> {
        let statement = "
            select to_jsonb(b) - 'payload' as entry
            from inbox b
            where b.object_id = $1
            order by b.received_at desc
            limit $2";
        let rows = self
            .run(async |client| {
                client
                    .query_typed(statement, &[(&object_id, Type::TEXT), (&limit, Type::INT8)])
                    .await
            })
            .await?;
        rows.iter().map(|row| decode(row, "entry")).collect()
    }
}
