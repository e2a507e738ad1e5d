//! What became of the deliveries of the last hours or days.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;
use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};

use super::Outcome;
use crate::db::{Db, Error, decode};

/// Deliveries of one outcome and bucket are counted up to here.
const MAX_COUNTED: i64 = 100_000;

/// How many deliveries came within a span of time, by outcome.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Bucket {
    /// When it begins.
    at: Timestamp,
    #[serde(flatten)]
    counts: BTreeMap<String, i64>,
}

impl Db {
    /// The last buckets of so many seconds each, the oldest first; the last one is under way. Each
    /// begins at a multiple of its length, counted from midnight (UTC).
    pub async fn activity(
        &self,
        bucket_seconds: u32,
        n_buckets: i32,
    ) -> Result<Vec<Bucket>, Error> {
        let statement = include_str!("activity.sql");
        let seconds = f64::from(bucket_seconds);
        let outcomes = Outcome::ALL.map(Outcome::as_str);
        let values: [(&(dyn ToSql + Sync), Type); 4] = [
            (&seconds, Type::FLOAT8),
            (&n_buckets, Type::INT4),
            (&MAX_COUNTED, Type::INT8),
            (&outcomes.as_slice(), Type::TEXT_ARRAY),
        ];
        let rows = self
            .run(async |client| client.query_typed(statement, &values).await)
            .await?;
        rows.iter().map(bucket).collect()
    }
}

fn bucket(row: &Row) -> Result<Bucket, Error> {
    Ok(Bucket {
        at: row.try_get("at")?,
        counts: decode(row, "counts")?,
    })
}
