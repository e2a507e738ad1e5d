//! What a delivery says.

use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::clerk;
use crate::ids::{ClerkOrganizationId, ClerkUserId};

/// What a delivery carries.
#[expect(
    clippy::large_enum_variant,
    reason = "there is one at a time, soon taken apart"
)]
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    /// An event.
    Event(Event),
    /// A body that is signed and cannot be read.
    Unreadable(Unreadable),
}

/// One event.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// `user.created` and the like.
    pub event_type: String,
    /// The Clerk instance that it happened in, `ins_…`.
    pub instance_id: Option<String>,
    /// When it happened, in milliseconds since 1970.
    /// A hint: which of two versions is newer, the object's own time tells.
    pub at: Option<i64>,
    /// The id of the object that it is about.
    pub object_id: Option<String>,
    /// What happened.
    pub change: Change,
}

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// `user.created`.
    UserCreated(clerk::User),
    /// `user.updated`.
    UserUpdated(clerk::User),
    /// `user.deleted`: the id is all that is left.
    UserDeleted(ClerkUserId),
    /// `organization.created`.
    OrganizationCreated(clerk::Organization),
    /// `organization.updated`.
    OrganizationUpdated(clerk::Organization),
    /// `organization.deleted`: the id is all that matters.
    OrganizationDeleted(ClerkOrganizationId),
    /// `organizationMembership.created`; its user is always named, as in the next two.
    MembershipCreated(clerk::OrganizationMembership),
    /// `organizationMembership.updated`.
    MembershipUpdated(clerk::OrganizationMembership),
    /// `organizationMembership.deleted`, which carries the membership in full.
    MembershipDeleted(clerk::OrganizationMembership),
    /// Any other type.
    Ignored,
}

/// A body that is signed and cannot be read.
#[derive(Debug, Clone, PartialEq)]
pub struct Unreadable {
    /// What is wrong with it, without any value of it.
    pub reason: String,
    /// The body; what is not JSON is wrapped as `{"raw": …}` or `{"base64": …}`.
    pub payload: Value,
    /// Its `type`, if it has one.
    pub event_type: Option<String>,
    /// Its `data.id`, if it has one.
    pub object_id: Option<String>,
    /// Its `instance_id`, if it has one.
    pub instance_id: Option<String>,
}

pub(super) fn read(body: &[u8]) -> Content {
    let payload = match payload(body) {
        Ok(payload) => payload,
        Err((reason, payload)) => return unreadable(&reason, payload),
    };
    let Value::Object(envelope) = &payload else {
        return unreadable("the body is not an object", payload);
    };
    let Some(event_type) = text_at(envelope, "type") else {
        return unreadable("the event has no type", payload);
    };
    match change(&event_type, envelope.get("data").unwrap_or(&Value::Null)) {
        Ok(change) => Content::Event(Event {
            event_type,
            instance_id: text_at(envelope, "instance_id"),
            at: envelope.get("timestamp").and_then(time),
            object_id: object_id(envelope),
            change,
        }),
        Err(reason) => unreadable(&reason, payload),
    }
}

/// The body as JSON that can be kept; with a reason if that is not what it is.
pub(super) fn payload(body: &[u8]) -> Result<Value, (String, Value)> {
    let Ok(text) = str::from_utf8(body) else {
        let payload = json!({ "base64": STANDARD.encode(body) });
        return Err(("the body is not UTF-8".to_owned(), payload));
    };
    serde_json::from_str(text)
        .map(without_nul)
        .map_err(|error| {
            let (line, column) = (error.line(), error.column());
            let reason = format!("the body is not JSON at line {line}, column {column}");
            (reason, without_nul(json!({ "raw": text })))
        })
}

/// The body of which [`payload`] made this.
pub(super) fn body(payload: &Value) -> Vec<u8> {
    let only = payload.as_object().filter(|map| map.len() == 1);
    let text_of = |key: &str| only?.get(key)?.as_str();
    if let Some(raw) = text_of("raw") {
        return raw.as_bytes().to_vec();
    }
    let decoded = text_of("base64").and_then(|text| STANDARD.decode(text).ok());
    decoded.unwrap_or_else(|| payload.to_string().into_bytes())
}

fn change(event_type: &str, data: &Value) -> Result<Change, String> {
    Ok(match event_type {
        "user.created" => Change::UserCreated(typed(data)?),
        "user.updated" => Change::UserUpdated(typed(data)?),
        "user.deleted" => Change::UserDeleted(deleted_id(data, "a user")?),
        "organization.created" => Change::OrganizationCreated(typed(data)?),
        "organization.updated" => Change::OrganizationUpdated(typed(data)?),
        "organization.deleted" => Change::OrganizationDeleted(deleted_id(data, "an organization")?),
        "organizationMembership.created" => Change::MembershipCreated(membership(data)?),
        "organizationMembership.updated" => Change::MembershipUpdated(membership(data)?),
        "organizationMembership.deleted" => Change::MembershipDeleted(membership(data)?),
        _ => Change::Ignored,
    })
}

/// Reads an object of Clerk's.
/// The reason names the place and never the value, which may be somebody's address.
fn typed<T: DeserializeOwned>(data: &Value) -> Result<T, String> {
    serde_path_to_error::deserialize(data).map_err(|error| {
        let place = match error.path().to_string().as_str() {
            "." => "data".to_owned(),
            path => format!("data.{path}"),
        };
        match error.inner().to_string() {
            missing if missing.starts_with("missing field") => format!("{place}: {missing}"),
            _ => format!("{place} is not what it should be"),
        }
    })
}

/// Reads a membership; without its user it would be nobody's.
fn membership(data: &Value) -> Result<clerk::OrganizationMembership, String> {
    let membership: clerk::OrganizationMembership = typed(data)?;
    match membership.public_user_data {
        Some(_) => Ok(membership),
        None => Err("data: missing field `public_user_data`".to_owned()),
    }
}

fn deleted_id<Id: FromStr>(data: &Value, owner: &str) -> Result<Id, String> {
    let clerk::DeletedObject { id, .. } = typed(data)?;
    let id = id
        .filter(|id| !id.is_empty())
        .ok_or_else(|| "data: missing field `id`".to_owned())?;
    id.parse()
        .map_err(|_| format!("data.id is not the id of {owner}"))
}

fn unreadable(reason: &str, payload: Value) -> Content {
    let envelope = payload.as_object();
    Content::Unreadable(Unreadable {
        reason: reason.to_owned(),
        event_type: envelope.and_then(|it| text_at(it, "type")),
        object_id: envelope.and_then(object_id),
        instance_id: envelope.and_then(|it| text_at(it, "instance_id")),
        payload,
    })
}

fn text_at(envelope: &Map<String, Value>, key: &str) -> Option<String> {
    envelope
        .get(key)?
        .as_str()
        .filter(|text| !text.is_empty())
        .map(str::to_owned)
}

fn object_id(envelope: &Map<String, Value>) -> Option<String> {
    text_at(envelope.get("data")?.as_object()?, "id")
}

/// A time in any shape that Clerk writes; it is a hint, so what cannot be read is none.
fn time(timestamp: &Value) -> Option<i64> {
    clerk::milliseconds(timestamp).ok().flatten()
}

/// Postgres cannot keep a NUL in a text, nor in JSON.
fn without_nul(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(text.replace('\0', "\u{fffd}")),
        Value::Array(items) => items.into_iter().map(without_nul).collect(),
        Value::Object(map) => {
            let clean =
                |(key, value): (String, Value)| (key.replace('\0', "\u{fffd}"), without_nul(value));
            map.into_iter().map(clean).collect()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value,
    }
}
