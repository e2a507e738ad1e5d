//! `POST /api/webhooks/clerk`: takes in what Clerk sends.

use ::http::Method;
use serde::Serialize;
use shared::config::{Configured, Settings};
use shared::http::{Request, Response};
use shared::{Error, Result, clerk, config, db::Db, http, sync, webhook};

/// The longest delivery that is taken, in bytes.
const BODY_LIMIT: usize = 1024 * 1024;

/// All that this function may touch.
#[derive(Debug)]
pub struct App {
    /// Knows Clerk's signature.
    pub webhook: Configured<webhook::Verifier>,
    /// Holds the inbox and the rows.
    pub db: Configured<Db>,
    /// Is asked when only Clerk can tell what is true; without it `reconcile` asks.
    pub clerk: Option<clerk::Client>,
    /// The one instance whose events count, if it is pinned.
    pub instance_id: Option<String>,
}

#[derive(Serialize)]
struct Output {
    outcome: sync::Outcome,
}

impl App {
    /// Reads the settings once, at cold start.
    pub fn new(settings: &Settings) -> Self {
        let webhook = webhook::Verifier::from_settings(settings);
        let db = Db::from_settings(settings);
        webhook
            .as_ref()
            .err()
            .into_iter()
            .chain(db.as_ref().err())
            .for_each(config::Error::log);
        Self {
            webhook,
            db,
            clerk: clerk::Client::from_settings(settings).ok(),
            instance_id: settings.optional("CLERK_INSTANCE_ID").map(str::to_owned),
        }
    }
}

/// Takes in one delivery.
pub async fn handle(app: &App, request: Request) -> Result<Response> {
    if !http::route(&request, "clerk-webhook", "/api/webhooks/clerk")?.is_empty() {
        return Err(Error::NO_SUCH_ROUTE);
    }
    if request.method != Method::POST {
        return Err(Error::MethodNotAllowed { allow: "POST" });
    }
    let body = http::body_within(&request, BODY_LIMIT)?;
    let webhook = app.webhook.as_ref().map_err(Clone::clone)?;
    let delivery = webhook.verify(&request.headers, body, request.source)?;
    let db = app.db.as_ref().map_err(Clone::clone)?;
    let instance_id = app.instance_id.as_deref();
    let outcome = sync::receive(
        app.clerk.as_ref(),
        db,
        instance_id,
        &delivery,
        request.deadline,
    )
    .await?;
    tracing::info!(svix.id = %delivery.svix_id, outcome = ?outcome, "took in a delivery");
    http::ok(&Output { outcome })
}
