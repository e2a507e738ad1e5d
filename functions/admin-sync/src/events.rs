//! `/api/admin/sync/events…`: the deliveries, and why each of them did what it did.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use shared::db::inbox::{Event, Explained, Filter, Outcome, Place};
use shared::db::{Db, role_changes};
use shared::http::{Request, Response};
use shared::ids::{ClerkMembershipId, ClerkOrganizationId, ClerkUserId, SvixId};
use shared::{Error, Result, http};

use crate::{NoQuery, explain, parse_cursor, parse_limit, refuse_values};

const NO_SUCH_EVENT: Error = Error::NotFound {
    code: "event_not_found",
    message: "There is no such event.",
};

#[derive(Deserialize)]
struct ListQuery {
    outcome: Option<Outcome>,
    #[serde(rename = "type")]
    event_type: Option<String>,
    object: Option<String>,
    cursor: Option<String>,
    limit: Option<u32>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct EventPage {
    events: Vec<Event>,
    next_cursor: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct OneEvent {
    event: Event,
    explanation: String,
    compared: Compared,
    changed: Vec<String>,
    role_changes: Vec<role_changes::Shown>,
    payload: Payload,
}

/// What the event was compared with.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Compared {
    /// The version of the row, in milliseconds of Clerk's clock.
    our_version: Option<i64>,
    our_version_at: Option<Timestamp>,
    /// The version of what was seen in Clerk.
    clerk_version: Option<i64>,
    clerk_version_at: Option<Timestamp>,
    was_clerk_read: bool,
}

/// What is told of the body: never a value, since it holds addresses, names and metadata, the private
/// ones too, which nobody here needs in order to know why it cannot be read.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Payload {
    is_kept: bool,
    /// The keys below `data`.
    keys: Option<Vec<String>>,
    can_be_replayed: bool,
}

pub(crate) async fn list(db: &Db, request: &Request) -> Result<Response> {
    let query: ListQuery = http::query(request)?;
    let limit = parse_limit(query.limit)?;
    let place = parse_cursor(query.cursor.as_deref())?;
    let filter = Filter {
        outcome: query.outcome,
        event_type: query.event_type,
        object: query
            .object
            .map(|text| parse_object(text, "invalid_query", "object"))
            .transpose()?,
    };
    let page = db.list_events(&filter, place.as_ref(), limit).await;
    let page = page.map_err(refuse_values)?;
    http::ok(&EventPage {
        events: page.entries,
        next_cursor: page.next.as_ref().map(Place::to_cursor),
    })
}

pub(crate) async fn show(db: &Db, svix_id: &str, request: &Request) -> Result<Response> {
    let NoQuery {} = http::query(request)?;
    let svix_id = SvixId::try_from(svix_id.to_owned()).map_err(|_| NO_SUCH_EVENT)?;
    let explained = db.explained_event(&svix_id).await?.ok_or(NO_SUCH_EVENT)?;
    http::ok(&OneEvent::from(explained))
}

impl From<Explained> for OneEvent {
    fn from(explained: Explained) -> Self {
        let event = explained.event;
        let detail = event.detail.clone();
        let is_open = matches!(event.outcome, Outcome::Parked | Outcome::Dead);
        Self {
            explanation: explain::delivery(&event),
            compared: Compared {
                our_version: detail.our_version,
                our_version_at: detail.our_version.and_then(time),
                clerk_version: detail.clerk_version,
                clerk_version_at: detail.clerk_version.and_then(time),
                was_clerk_read: detail.read_from_clerk,
            },
            changed: detail.changed,
            role_changes: explained.role_changes,
            payload: Payload {
                is_kept: event.is_payload_kept,
                keys: explained.payload_keys,
                can_be_replayed: event.is_payload_kept && is_open,
            },
            event,
        }
    }
}

/// 0 is the version of what was never seen in Clerk.
fn time(version: i64) -> Option<Timestamp> {
    let version = Some(version).filter(|version| *version > 0)?;
    Timestamp::from_millisecond(version).ok()
}

/// `field` is what the caller wrote it in.
pub(crate) fn parse_object(text: String, code: &'static str, field: &str) -> Result<String> {
    let is_id = text.parse::<ClerkUserId>().is_ok()
        || text.parse::<ClerkOrganizationId>().is_ok()
        || text.parse::<ClerkMembershipId>().is_ok();
    if is_id {
        return Ok(text);
    }
    let message = "An object is named by its Clerk id (user_…, org_… or orgmem_…).";
    Err(Error::unprocessable(code, message, field))
}
