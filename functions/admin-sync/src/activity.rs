//! `/api/admin/sync/activity`: what became of the deliveries, over time.

use serde::{Deserialize, Serialize};
use shared::db::Db;
use shared::db::inbox::Bucket;
use shared::http::{Request, Response};
use shared::{Result, http};

const HOUR: u32 = 3600;

/// How far back to look.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
enum Period {
    #[default]
    #[serde(rename = "24h")]
    Day,
    #[serde(rename = "7d")]
    Week,
    #[serde(rename = "30d")]
    Month,
}

#[derive(Deserialize)]
struct ActivityQuery {
    period: Option<Period>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Activity {
    period: Period,
    bucket_seconds: u32,
    buckets: Vec<Bucket>,
}

pub(crate) async fn show(db: &Db, request: &Request) -> Result<Response> {
    let query: ActivityQuery = http::query(request)?;
    let period = query.period.unwrap_or_default();
    let (bucket_seconds, n_buckets) = period.buckets();
    http::ok(&Activity {
        period,
        bucket_seconds,
        buckets: db.activity(bucket_seconds, n_buckets).await?,
    })
}

impl Period {
    /// How long a bucket is, in seconds, and how many there are.
    fn buckets(self) -> (u32, i32) {
        match self {
            Self::Day => (HOUR, 24),
            Self::Week => (6 * HOUR, 28),
            Self::Month => (24 * HOUR, 30),
        }
    }
}
