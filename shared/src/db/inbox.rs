//! The `inbox` table: deliveries taken in, one row for each svix id (R7).

mod activity;
mod events;
mod waiting;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio_postgres::types::{Json, Type};

use super::{Db, Error, decode};
use crate::ids::SvixId;

pub use activity::Bucket;
pub use events::{Detail, Event, Explained, Filter, Page, Place};
pub use waiting::{Found, Kept, WaitingFilter, Which};

/// What became of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
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
    /// The body; it is recorded only of what is parked or dead.
    pub payload: Option<Value>,
    /// Which attempt this is: 1, unless a delivery that is dead or parked is taken in again.
    pub n_attempts: i32,
    /// Why it is dead.
    pub last_error: Option<String>,
}

/// One attempt at taking a delivery in: what tells it from others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt<'a> {
    /// The delivery.
    pub svix_id: &'a SvixId,
    /// Which attempt it is. It takes the place of the one before it, and of no other.
    pub n_attempts: i32,
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

impl Entry {
    /// Which attempt it records.
    pub fn attempt(&self) -> Attempt<'_> {
        Attempt {
            svix_id: &self.svix_id,
            n_attempts: self.n_attempts,
        }
    }

    /// The same, now that it is decided what becomes of it.
    #[must_use]
    pub fn decided(&self, outcome: Outcome, rule: &'static str, detail: Value) -> Self {
        let is_kept = matches!(outcome, Outcome::Parked | Outcome::Dead);
        Self {
            outcome,
            rule: Some(rule),
            detail,
            payload: self.payload.clone().filter(|_| is_kept),
            ..self.clone()
        }
    }
}

/// Deliveries as the statements that look them up take them.
pub(super) fn columns<'a>(
    attempts: impl Iterator<Item = Option<Attempt<'a>>>,
) -> (Vec<Option<&'a str>>, Vec<Option<i32>>) {
    attempts
        .map(|attempt| {
            let svix_id = attempt.map(|attempt| attempt.svix_id.as_str());
            (svix_id, attempt.map(|attempt| attempt.n_attempts))
        })
        .unzip()
}

impl Outcome {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Applied,
        Self::Stale,
        Self::Ignored,
        Self::Parked,
        Self::Dead,
    ];

    /// As it is spelled everywhere.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Stale => "stale",
            Self::Ignored => "ignored",
            Self::Parked => "parked",
            Self::Dead => "dead",
        }
    }
}

impl Db {
    /// Records a delivery that has no effect; false if it was known already, or another replay was
    /// faster. One round trip.
    pub async fn record_delivery(&self, entry: &Entry) -> Result<bool, Error> {
        let statement = "
            insert into inbox as k (
                svix_id, event_type, object_id, instance_id, event_at, outcome, rule, detail,
                payload, n_attempts, last_error
            )
            select
                svix_id, event_type, object_id, instance_id, event_at, outcome, rule, detail,
                payload, n_attempts, last_error
            from jsonb_populate_record(null::inbox, $1)
            on conflict (svix_id) do update
            set
                event_type = excluded.event_type,
                object_id = excluded.object_id,
                instance_id = excluded.instance_id,
                event_at = excluded.event_at,
                outcome = excluded.outcome,
                rule = excluded.rule,
                detail = excluded.detail || '{\"replayed\": true}',
                payload = excluded.payload,
                n_attempts = excluded.n_attempts,
                last_error = excluded.last_error
            where k.outcome in ('parked', 'dead') and k.n_attempts = excluded.n_attempts - 1";
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
