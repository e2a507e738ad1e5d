//! `GET /api/admin/statistics…`: how many users there are of each role, and how many there were.

use serde::{Deserialize, Serialize};
use shared::db::Db;
use shared::db::users::Day;
use shared::http::{Request, Response};
use shared::{Result, http};

use crate::{NoQuery, invalid};

/// How many days are told of when the caller does not say.
const DEFAULT_DAYS: i32 = 90;
/// The most days that are told of.
const MAX_DAYS: i32 = 366;

#[derive(Deserialize)]
struct HistoryQuery {
    days: Option<i32>,
}

#[derive(Serialize)]
struct History {
    days: Vec<Day>,
}

pub(crate) async fn show(db: &Db, request: &Request) -> Result<Response> {
    let NoQuery {} = http::query(request)?;
    http::ok(&db.user_statistics().await?)
}

pub(crate) async fn show_history(db: &Db, request: &Request) -> Result<Response> {
    let query: HistoryQuery = http::query(request)?;
    let n_days = query.days.unwrap_or(DEFAULT_DAYS);
    if !(1..=MAX_DAYS).contains(&n_days) {
        return Err(invalid("days", &format!("days takes 1 to {MAX_DAYS}.")));
    }
    let days = db.user_statistics_by_day(n_days).await?;
    http::ok(&History { days })
}
