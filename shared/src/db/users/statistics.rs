//! How many users there are of each role: now, and day by day.

use jiff::civil::Date;
use serde::Serialize;
use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};

use crate::db::{Db, Error};

/// How many live users there are of each role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Statistics {
    total_users: i64,
    admin_count: i64,
    instructor_count: i64,
    student_count: i64,
}

/// How many there were when a day was over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Day {
    date: Date,
    #[serde(flatten)]
    statistics: Statistics,
}

impl Db {
    /// The counts of live users, all of the same moment.
    pub async fn user_statistics(&self) -> Result<Statistics, Error> {
        let statement = "
            select
                count(*) as n_users,
                count(*) filter (where role = 'ADMIN') as n_admins,
                count(*) filter (where role = 'INSTRUCTOR') as n_instructors,
                count(*) filter (where role = 'STUDENT') as n_students
            from users
            where deleted_at is null";
        let row = self
            .run(async |client| client.query_typed_one(statement, &[]).await)
            .await?;
        statistics(&row)
    }

    /// The counts of live users at the end of each of the last days (UTC), the oldest first; the last
    /// one is today, with the counts of now.
    pub async fn user_statistics_by_day(&self, n_days: i32) -> Result<Vec<Day>, Error> {
        let statement = include_str!("statistics_by_day.sql");
        let values: [(&(dyn ToSql + Sync), Type); 1] = [(&n_days, Type::INT4)];
        let rows = self
            .run(async |client| client.query_typed(statement, &values).await)
            .await?;
        rows.iter().map(day).collect()
    }
}

fn day(row: &Row) -> Result<Day, Error> {
    Ok(Day {
        date: row.try_get("date")?,
        statistics: statistics(row)?,
    })
}

fn statistics(row: &Row) -> Result<Statistics, Error> {
    Ok(Statistics {
        total_users: row.try_get("n_users")?,
        admin_count: row.try_get("n_admins")?,
        instructor_count: row.try_get("n_instructors")?,
        student_count: row.try_get("n_students")?,
    })
}
