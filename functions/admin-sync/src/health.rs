//! `GET /api/health`: whether this function could do its work. Anybody may ask, so it says no more.

use std::time::Duration;

use ::http::StatusCode;
use serde::Serialize;
use shared::gate::Gate;
use shared::http::Response;
use shared::telemetry::chain;
use shared::{Result, db, http};

/// How long the database may take: whoever asks whether we are well does not wait.
const PATIENCE: Duration = Duration::from_secs(2);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
struct Health {
    database: Database,
    migrations: Migrations,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Database {
    Ok,
    Unavailable,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Migrations {
    Current,
    Pending,
    Unknown,
}

pub(crate) async fn show(gate: &Gate) -> Result<Response> {
    let health = match &gate.db {
        Ok(db) => Health::of(db.n_missing_migrations(PATIENCE).await),
        // Said in the log when the function started.
        Err(_) => Health::AWAY,
    };
    let mut response = http::ok(&health)?;
    if !health.is_well() {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    Ok(response)
}

impl Health {
    const AWAY: Self = Self {
        database: Database::Unavailable,
        migrations: Migrations::Unknown,
    };

    fn of(n_missing: std::result::Result<i64, db::Error>) -> Self {
        let migrations = match n_missing {
            Ok(0) => Migrations::Current,
            Ok(_) => Migrations::Pending,
            Err(error) => match error.sql_state() {
                // No migration was ever applied: there is no table of them.
                Some("42P01") => Migrations::Pending,
                // We may not look.
                Some("42501") => Migrations::Unknown,
                _ => {
                    tracing::warn!(error = chain(&error), "the database gives no answer");
                    return Self::AWAY;
                }
            },
        };
        Self {
            database: Database::Ok,
            migrations,
        }
    }

    fn is_well(self) -> bool {
        self.database == Database::Ok && self.migrations == Migrations::Current
    }
}
