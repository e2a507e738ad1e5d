//! How the two sides stand: what was delivered, what is owed, what differs, and for how long yet
//! what is lost may still come by itself.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

use super::inbox::Outcome;
use super::{Db, Error, decode, migrate};

/// Deliveries of one outcome are counted up to here: a panel asks often, and the table grows.
const MAX_COUNTED: i64 = 100_000;
/// So many of the last deliveries tell how late they are.
const MAX_LAGS: i64 = 10_000;
/// For how long Svix tries to deliver a message: 5 s, 5 min, 30 min, 2 h, 5 h, 10 h and 10 h
/// between eight attempts.
const MESSAGE_PATIENCE: Duration = Duration::from_mins(27 * 60 + 35);

/// How the two sides stand.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Overview {
    /// How many deliveries there were.
    pub deliveries: Deliveries,
    /// The rest.
    #[serde(flatten)]
    pub state: State,
}

/// How many deliveries there were.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Deliveries {
    /// 100000 stands for so many or more.
    #[serde(rename = "countsUpTo100000")]
    pub counts: Counts,
}

/// Deliveries by outcome.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Counts {
    /// Received within the last day.
    #[serde(rename(serialize = "last24Hours"))]
    pub last_day: BTreeMap<String, i64>,
    /// Received ever.
    #[serde(rename(serialize = "allTime"))]
    pub all_time: BTreeMap<String, i64>,
}

/// What is owed, waits, differs or was lost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all(serialize = "camelCase"))]
pub struct State {
    /// From Clerk's change until it was written here, of events that came within the last day.
    #[serde(rename(serialize = "lagOfLast24Hours"))]
    pub lag: Lag,
    /// What Clerk is owed.
    pub outbox: Outbox,
    /// What a person has to look at.
    pub dead: Dead,
    /// Events that wait until Clerk was asked.
    pub parked: Parked,
    /// What Clerk has to be asked about.
    pub flagged: Flagged,
    /// What the last comparison that came to its end found; none if there was none.
    pub drift: Option<Drift>,
    /// The last comparison that is over, however it ended.
    pub last_run: Option<Run>,
    /// The comparison that is under way.
    pub current_run: Option<Run>,
    /// Whether deliveries still come, and until when lost ones may (R16).
    pub outage: Outage,
}

/// How late events are, in milliseconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all(serialize = "camelCase"))]
pub struct Lag {
    p50_ms: Option<i64>,
    p95_ms: Option<i64>,
    p99_ms: Option<i64>,
    /// Of so many, the newest.
    n_events: i64,
}

/// What Clerk is owed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all(serialize = "camelCase"))]
pub struct Outbox {
    depth: i64,
    oldest_age_seconds: Option<i64>,
}

/// What a person has to look at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all(serialize = "camelCase"))]
pub struct Dead {
    events: i64,
    role_pushes: i64,
}

/// Events that wait until Clerk was asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all(serialize = "camelCase"))]
pub struct Parked {
    events: i64,
    oldest_age_seconds: Option<i64>,
}

/// How many rows Clerk has to be asked about, and how many lists have to be walked over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all(serialize = "camelCase"))]
pub struct Flagged {
    users: i64,
    organizations: i64,
    memberships: i64,
    walks_of_users: i64,
    walks_of_organizations: i64,
}

/// What a comparison found and is not yet repaired.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all(serialize = "camelCase"))]
pub struct Drift {
    run_id: Uuid,
    finished_at: Option<Timestamp>,
    open: i64,
    by_class: BTreeMap<String, i64>,
}

/// One comparison.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all(serialize = "camelCase"))]
pub struct Run {
    id: Uuid,
    mode: String,
    state: String,
    created_at: Timestamp,
    finished_at: Option<Timestamp>,
    progress: Value,
}

/// Whether deliveries still come, and until when lost ones may (R16).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all(serialize = "camelCase"))]
pub struct Outage {
    /// When a delivery was last received.
    last_event_at: Option<Timestamp>,
    /// What Clerk showed as its newest change when it was last asked.
    last_clerk_change_at: Option<Timestamp>,
    /// Clerk changed more than five minutes ago, and no delivery has come since.
    is_silent: bool,
    /// The first of these changes.
    silent_since: Option<Timestamp>,
    /// The oldest change whose message did not come, and which Svix may still be trying to deliver.
    oldest_missed_at: Option<Timestamp>,
    /// When Svix gives that message up.
    message_given_up_at: Option<Timestamp>,
    /// When Svix gives the whole endpoint up, if it stays silent.
    endpoint_disabled_at: Option<Timestamp>,
}

impl Db {
    /// How the two sides stand: one round trip.
    pub async fn overview(&self) -> Result<Overview, Error> {
        let counts = count_statement();
        let state = include_str!("overview/read.sql");
        let limits: [(&(dyn ToSql + Sync), Type); 1] = [(&MAX_COUNTED, Type::INT8)];
        let patience = MESSAGE_PATIENCE.as_secs_f64();
        let values: [(&(dyn ToSql + Sync), Type); 2] =
            [(&MAX_LAGS, Type::INT8), (&patience, Type::FLOAT8)];
        let (counts, state) = self
            .run(async |client| {
                let (counts, state) = tokio::join!(
                    biased;
                    client.query_typed_one(&counts, &limits),
                    client.query_typed_one(state, &values),
                );
                Ok((counts?, state?))
            })
            .await?;
        Ok(Overview {
            deliveries: Deliveries {
                counts: decode(&counts, "counts")?,
            },
            state: decode(&state, "overview")?,
        })
    }

    /// How many of our migrations the database lacks, found out within `patience`.
    pub async fn n_missing_migrations(&self, patience: Duration) -> Result<i64, Error> {
        let ours: Vec<String> = migrate::fingerprints()
            .iter()
            .map(ToString::to_string)
            .collect();
        let statement = "
            select count(*)
            from unnest($1::text[]) as o (checksum)
            where o.checksum not in (select h.checksum from refinery_schema_history h)";
        let counting = self.run(async |client| {
            let values: [(&(dyn ToSql + Sync), Type); 1] = [(&ours, Type::TEXT_ARRAY)];
            client.query_typed_one(statement, &values).await
        });
        let Ok(row) = tokio::time::timeout(patience, counting).await else {
            // Who is asked again shall not wait for the same connection again.
            if let Ok(mut cached) = self.cached.try_lock() {
                *cached = None;
            }
            return Err(Error::timed_out());
        };
        Ok(row?.try_get(0)?)
    }
}

/// Counts along the index of each outcome: whatever is asked of all rows at once reads them all.
fn count_statement() -> String {
    let counts = |condition: &str| {
        let counts: Vec<String> = Outcome::ALL
            .iter()
            .map(|outcome| {
                let outcome = outcome.as_str();
                format!(
                    "'{outcome}', (
                        select count(*)
                        from (
                            select
                            from inbox b
                            where b.outcome = '{outcome}' {condition}
                            order by b.received_at desc
                            limit $1
                        ) c
                    )"
                )
            })
            .collect();
        format!("jsonb_build_object({})", counts.join(", "))
    };
    format!(
        "select jsonb_build_object('last_day', {}, 'all_time', {}) as counts",
        counts("and b.received_at > now() - interval '24 hours'"),
        counts("")
    )
}
