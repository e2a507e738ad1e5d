//! `/api/admin/sync/…` and `/api/health`: how the two sides stand, what became of each delivery and
//! why, and what happened to a user, an organization or a membership.

mod activity;
mod events;
pub mod explain;
mod health;
mod history;
mod replay;
mod runs;

use ::http::Method;
use serde::Deserialize;
use shared::config::{self, Configured, Settings};
use shared::db::inbox::Place;
use shared::gate::Gate;
use shared::http::{Request, Response};
use shared::sync::Brake;
use shared::{Error, Result, db, http};

/// How many rows a page has when the caller does not say.
const DEFAULT_LIMIT: u32 = 50;
/// The most rows that a page may have.
const MAX_LIMIT: u32 = 500;

/// All that this function may touch.
#[derive(Debug)]
pub struct App {
    /// Lets admins in; holds the database, and asks Clerk.
    pub gate: Gate,
    /// The one instance whose events count, if it is pinned: for those that are replayed.
    pub instance_id: Option<String>,
    /// How much a repair may do unasked.
    pub brake: Configured<Brake>,
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Route<'a> {
    Health,
    Overview,
    Activity,
    Events,
    Event(&'a str),
    History(&'a str),
    Replay,
}

#[derive(Deserialize)]
struct NoQuery {}

impl App {
    /// Reads the settings once, at cold start.
    pub fn new(settings: &Settings) -> Self {
        let brake = Brake::from_settings(settings);
        brake
            .as_ref()
            .err()
            .into_iter()
            .for_each(config::Error::log);
        Self {
            gate: Gate::from_settings(settings),
            instance_id: settings.optional("CLERK_INSTANCE_ID").map(str::to_owned),
            brake,
        }
    }
}

/// Answers one question, or one wish, of an admin; about health anybody may ask.
pub async fn handle(app: &App, request: Request) -> Result<Response> {
    let gate = &app.gate;
    let rest = http::route(&request, "admin-sync", "/api")?;
    if let ["admin", "sync", "reconcile", rest @ ..] = rest.as_slice() {
        return runs::handle(app, &request, rest).await;
    }
    let route = Route::of(&rest).ok_or(Error::NO_SUCH_ROUTE)?;
    let (method, allow) = match route {
        Route::Replay => (Method::POST, "POST"),
        _ => (Method::GET, "GET"),
    };
    if request.method != method {
        return Err(Error::MethodNotAllowed { allow });
    }
    if route == Route::Health {
        let NoQuery {} = http::query(&request)?;
        return health::show(gate).await;
    }
    let admin = gate.admin(&request).await?;
    let db = gate.db()?;
    match route {
        Route::Activity => activity::show(db, &request).await,
        Route::Events => events::list(db, &request).await,
        Route::Event(svix_id) => events::show(db, svix_id, &request).await,
        Route::History(id) => history::show(db, id, &request).await,
        Route::Replay => replay::replay(app, &admin, &request).await,
        Route::Overview | Route::Health => {
            let NoQuery {} = http::query(&request)?;
            http::ok(&db.overview().await?)
        }
    }
}

impl<'a> Route<'a> {
    fn of(rest: &[&'a str]) -> Option<Self> {
        Some(match *rest {
            ["health"] => Self::Health,
            ["admin", "sync", "overview"] => Self::Overview,
            ["admin", "sync", "activity"] => Self::Activity,
            ["admin", "sync", "events"] => Self::Events,
            ["admin", "sync", "events", svix_id] => Self::Event(svix_id),
            ["admin", "sync", "history", id] => Self::History(id),
            ["admin", "sync", "replay"] => Self::Replay,
            _ => return None,
        })
    }
}

fn parse_limit(limit: Option<u32>) -> Result<i64> {
    match limit.unwrap_or(DEFAULT_LIMIT) {
        limit @ 1..=MAX_LIMIT => Ok(i64::from(limit)),
        _ => Err(invalid("limit", &format!("limit takes 1 to {MAX_LIMIT}."))),
    }
}

fn parse_cursor(cursor: Option<&str>) -> Result<Option<Place>> {
    let message = "The cursor is not one that this list gave out.";
    cursor
        .map(|text| Place::from_cursor(text).ok_or_else(|| invalid("cursor", message)))
        .transpose()
}

/// A value that Postgres refuses came from the caller: a forged cursor, a time out of its range.
fn refuse_values(error: db::Error) -> Error {
    if !error.is_about_the_data() {
        return error.into();
    }
    Error::Unprocessable {
        code: "invalid_query",
        message: "A parameter holds a value that cannot be looked for.".to_owned(),
        fields: Vec::new(),
    }
}

fn invalid(field: &str, message: &str) -> Error {
    Error::unprocessable("invalid_query", message, field)
}
