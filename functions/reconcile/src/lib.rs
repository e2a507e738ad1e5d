//! On a schedule: delivers the outbox, asks Clerk about what is flagged, erases what is due.

use std::time::Instant;

use shared::config::{Configured, Settings};
use shared::{Result, clerk, config, db::Db, sync};

/// All that this function may touch.
#[derive(Debug)]
pub struct App {
    /// Holds the outbox and the rows.
    pub db: Configured<Db>,
    /// Is told and asked.
    pub clerk: Configured<clerk::Client>,
    /// What it is bound by.
    pub limits: Configured<sync::Limits>,
}

impl App {
    /// Reads the settings once, at cold start.
    pub fn new(settings: &Settings) -> Self {
        let app = Self {
            db: Db::from_settings(settings),
            clerk: clerk::Client::from_settings(settings),
            limits: sync::Limits::from_settings(settings),
        };
        let errors = [
            app.db.as_ref().err(),
            app.clerk.as_ref().err(),
            app.limits.as_ref().err(),
        ];
        errors.into_iter().flatten().for_each(config::Error::log);
        app
    }
}

/// Does one tick, until nothing is due or the time is over.
pub async fn run(app: &App, deadline: Instant) -> Result<sync::Report> {
    let clerk = app.clerk.as_ref().map_err(Clone::clone)?;
    let db = app.db.as_ref().map_err(Clone::clone)?;
    let limits = app.limits.clone()?;
    let report = sync::reconcile(clerk, db, limits, deadline).await?;
    tracing::info!(
        n_delivered = report.n_delivered,
        n_put_off = report.n_put_off,
        n_dead = report.n_dead,
        n_settled = report.n_settled,
        n_refetched = report.n_refetched,
        n_ended = report.n_ended,
        n_walked = report.n_walked,
        n_unanswered = report.n_unanswered,
        n_erased = report.n_erased,
        comparison = ?report.comparison,
        "reconciled"
    );
    Ok(report)
}
