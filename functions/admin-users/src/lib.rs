//! `GET /api/admin/…`: lists, searches and counts users, lists organizations, and shows who changed
//! which role.
//!
//! Reads only.

mod organizations;
mod statistics;

use ::http::Method;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use shared::db::users::{ClerkSync, Filter, Order, Place, Shown, State, UnknownRole};
use shared::db::{self, Db, Role, inbox, memberships, role_changes};
use shared::gate::Gate;
use shared::http::{Request, Response};
use shared::ids::{ClerkOrganizationId, UserRef};
use shared::{Error, Result, http};
use uuid::Uuid;

/// How many rows a page has when the caller does not say.
const DEFAULT_LIMIT: u32 = 50;
/// The most rows that a page may have.
const MAX_LIMIT: u32 = 500;
/// How much of its history a user is shown with.
const N_HISTORY: i64 = 20;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ListQuery {
    search: Option<String>,
    role: Option<String>,
    organization: Option<String>,
    state: Option<State>,
    clerk_sync: Option<ClerkSync>,
    sort: Option<Order>,
    cursor: Option<String>,
    limit: Option<u32>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RoleChangesQuery {
    user_id: Option<String>,
    actor: Option<String>,
    since: Option<Timestamp>,
    cursor: Option<i64>,
    limit: Option<u32>,
}

#[derive(Deserialize)]
struct NoQuery {}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct UserPage {
    users: Vec<Shown>,
    next_cursor: Option<String>,
    total: i64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct OneUser {
    user: Shown,
    memberships: Vec<memberships::Shown>,
    role_changes: Vec<role_changes::Named>,
    events: Vec<inbox::Shown>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RoleChangesPage {
    role_changes: Vec<role_changes::Named>,
    next_cursor: Option<i64>,
}

/// Answers one question of an admin.
pub async fn handle(gate: &Gate, request: Request) -> Result<Response> {
    let rest = http::route(&request, "admin-users", "/api/admin")?;
    let allow = match rest.as_slice() {
        ["users"] | ["users", _] => "GET, PATCH",
        ["organizations" | "statistics" | "role-changes"] | ["statistics", "history"] => "GET",
        _ => return Err(Error::NO_SUCH_ROUTE),
    };
    if request.method != Method::GET {
        return Err(Error::MethodNotAllowed { allow });
    }
    gate.admin(&request).await?;
    let db = gate.db()?;
    match rest.as_slice() {
        ["users"] => list_users(db, &request).await,
        ["users", user_id] => show_user(db, user_id, &request).await,
        ["organizations"] => organizations::list(db, &request).await,
        ["statistics"] => statistics::show(db, &request).await,
        ["statistics", _] => statistics::show_history(db, &request).await,
        _ => list_role_changes(db, &request).await,
    }
}

async fn list_users(db: &Db, request: &Request) -> Result<Response> {
    let query: ListQuery = http::query(request)?;
    let limit = parse_limit(query.limit)?;
    let role = query.role.as_deref().map(parse_role).transpose()?;
    let place = parse_cursor(query.cursor.as_deref(), Place::from_cursor)?;
    let order = query
        .sort
        .or(place.as_ref().map(|place| place.order))
        .unwrap_or_default();
    if place.as_ref().is_some_and(|place| place.order != order) {
        return Err(invalid(
            "cursor",
            "The cursor belongs to another sort order.",
        ));
    }
    let filter = Filter {
        search: query.search.filter(|text| !text.is_empty()),
        role,
        organization: query
            .organization
            .as_deref()
            .map(parse_organization)
            .transpose()?,
        state: query.state,
        clerk_sync: query.clerk_sync,
    };
    let page = db.list_users(&filter, order, place.as_ref(), limit).await;
    let page = page.map_err(refuse_values)?;
    let next_cursor = page.next.as_ref().map(Place::to_cursor);
    http::ok(&UserPage {
        users: page.users,
        next_cursor,
        total: page.total,
    })
}

async fn show_user(db: &Db, user_id: &str, request: &Request) -> Result<Response> {
    let NoQuery {} = http::query(request)?;
    let user: UserRef = user_id.parse().map_err(|_| Error::invalid_user_id())?;
    let user = db.shown_user(&user).await?.ok_or(Error::NO_SUCH_USER)?;
    let filter = role_changes::Filter {
        user_id: Some(user.id),
        ..Default::default()
    };
    let role_changes = db.role_changes(&filter, N_HISTORY).await?;
    let events = match &user.clerk_id {
        Some(clerk_id) => db.deliveries_about(clerk_id.as_str(), N_HISTORY).await?,
        None => Vec::new(),
    };
    let memberships = db.memberships_of_user(user.id).await?;
    http::ok(&OneUser {
        user,
        memberships,
        role_changes,
        events,
    })
}

async fn list_role_changes(db: &Db, request: &Request) -> Result<Response> {
    let query: RoleChangesQuery = http::query(request)?;
    let limit = parse_limit(query.limit)?;
    let user_id = match query.user_id.as_deref() {
        Some(text) => {
            let user: UserRef = text.parse().map_err(|_| Error::invalid_user_id())?;
            Some(db.shown_user(&user).await?.ok_or(Error::NO_SUCH_USER)?.id)
        }
        None => None,
    };
    let filter = role_changes::Filter {
        user_id,
        actor: query.actor,
        since: query.since,
        before: query.cursor,
    };
    let role_changes = db.role_changes(&filter, limit + 1).await;
    let mut role_changes = role_changes.map_err(refuse_values)?;
    let has_more = i64::try_from(role_changes.len()).is_ok_and(|n_rows| n_rows > limit);
    if has_more {
        role_changes.pop();
    }
    let next_cursor = role_changes
        .last()
        .filter(|_| has_more)
        .map(|named| named.change.id);
    http::ok(&RoleChangesPage {
        role_changes,
        next_cursor,
    })
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

fn parse_limit(limit: Option<u32>) -> Result<i64> {
    match limit.unwrap_or(DEFAULT_LIMIT) {
        limit @ 1..=MAX_LIMIT => Ok(i64::from(limit)),
        _ => Err(invalid("limit", &format!("limit takes 1 to {MAX_LIMIT}."))),
    }
}

fn parse_role(text: &str) -> Result<Role> {
    text.parse().map_err(|error: UnknownRole| {
        Error::unprocessable("invalid_role", error.to_string(), "role")
    })
}

/// An organization is named as a user is: by Clerk's id or by ours.
fn parse_organization(text: &str) -> Result<String> {
    let is_id = text.parse::<ClerkOrganizationId>().is_ok() || Uuid::try_parse(text).is_ok();
    if is_id {
        return Ok(text.to_owned());
    }
    let message = "An organization is named by the UUID of the row or by the Clerk id (org_…).";
    Err(invalid("organization", message))
}

fn parse_cursor<P>(cursor: Option<&str>, read: fn(&str) -> Option<P>) -> Result<Option<P>> {
    let message = "The cursor is not one that this list gave out.";
    cursor
        .map(|text| read(text).ok_or_else(|| invalid("cursor", message)))
        .transpose()
}

fn invalid(field: &str, message: &str) -> Error {
    Error::unprocessable("invalid_query", message, field)
}
