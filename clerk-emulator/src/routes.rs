//! The routes of the Backend API, as one table.

mod email_addresses;
mod invitations;
mod memberships;
pub(crate) mod organizations;
mod sessions;
pub(crate) mod users;

pub(crate) use email_addresses::set_only_address;

use http::Method;
use serde::Serialize;
use serde_json::Value;

use crate::error::Error;
use crate::instance::Instance;
use crate::json;
use crate::params::{Params, Query};

/// One call, after authentication.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) method: Method,
    /// The path without the leading `/v1/`.
    pub(crate) path: String,
    pub(crate) query: Query,
    pub(crate) body: Value,
    pub(crate) takes_metadata_in_update: bool,
}

impl Call {
    /// The body as an object; no body counts as an empty one.
    fn params(&self) -> Result<Params, Error> {
        match &self.body {
            Value::Object(fields) => Ok(Params::new(fields.clone())),
            Value::Null => Ok(Params::default()),
            _ => Err(not_an_object()),
        }
    }
}

/// The body of an answer, as it goes over the wire.
pub(crate) type Answer = Result<String, Error>;

/// Answers a call.
pub(crate) fn answer(instance: &mut Instance, call: &Call) -> Answer {
    let segments: Vec<&str> = call.path.split('/').collect();
    match (call.method.as_str(), segments.as_slice()) {
        ("GET", ["jwks"]) => ok(&instance.key.get().jwks(&instance.id)),

        ("GET", ["users"]) => users::list(instance, call),
        ("POST", ["users"]) => users::create(instance, call),
        ("GET", ["users", "count"]) => users::count(instance, call),
        ("GET", ["users", id]) => users::read(instance, id),
        ("PATCH", ["users", id]) => users::update(instance, call, id),
        ("DELETE", ["users", id]) => users::delete(instance, id),
        ("PATCH", ["users", id, "metadata"]) => users::merge_metadata(instance, call, id),
        ("PUT", ["users", id, "metadata"]) => users::replace_metadata(instance, call, id),
        ("POST", ["users", id, "ban"]) => users::ban(instance, id),
        ("POST", ["users", id, "unban"]) => users::unban(instance, id),
        ("POST", ["users", id, "lock"]) => users::lock(instance, id),
        ("POST", ["users", id, "unlock"]) => users::unlock(instance, id),
        ("PUT", ["users", id, "email_address"]) => email_addresses::replace(instance, call, id),

        ("POST", ["email_addresses"]) => email_addresses::create(instance, call),
        ("GET", ["email_addresses", id]) => email_addresses::read(instance, id),
        ("PATCH", ["email_addresses", id]) => email_addresses::update(instance, call, id),
        ("DELETE", ["email_addresses", id]) => email_addresses::delete(instance, id),

        ("GET", ["sessions"]) => sessions::list(instance, call),
        ("POST", ["sessions"]) => sessions::create(instance, call),
        ("GET", ["sessions", id]) => sessions::read(instance, id),
        ("POST", ["sessions", id, "revoke"]) => sessions::revoke(instance, id),
        ("POST", ["sessions", id, "tokens"]) => sessions::create_token(instance, call, id),

        ("GET", ["invitations"]) => invitations::list(instance, call),
        ("POST", ["invitations"]) => invitations::create(instance, call),
        ("POST", ["invitations", "bulk"]) => invitations::create_many(instance, call),
        ("POST", ["invitations", id, "revoke"]) => invitations::revoke(instance, id),

        ("GET", ["organizations"]) => organizations::list(instance, call),
        ("POST", ["organizations"]) => organizations::create(instance, call),
        ("GET", ["organizations", id]) => organizations::read(instance, call, id),
        ("PATCH", ["organizations", id]) => organizations::update(instance, call, id),
        ("DELETE", ["organizations", id]) => organizations::delete(instance, id),
        ("PATCH", ["organizations", id, "metadata"]) => {
            organizations::merge_metadata(instance, call, id)
        }
        ("PUT", ["organizations", id, "metadata"]) => {
            organizations::replace_metadata(instance, call, id)
        }
        ("GET", ["organization_roles"]) => organizations::roles(instance, call),

        ("GET", ["organizations", id, "memberships"]) => memberships::list(instance, call, id),
        ("POST", ["organizations", id, "memberships"]) => memberships::create(instance, call, id),
        ("PATCH", ["organizations", id, "memberships", user_id]) => {
            memberships::update(instance, call, id, user_id)
        }
        ("PATCH", ["organizations", id, "memberships", user_id, "metadata"]) => {
            memberships::merge_metadata(instance, call, id, user_id)
        }
        ("DELETE", ["organizations", id, "memberships", user_id]) => {
            memberships::delete(instance, id, user_id)
        }
        ("GET", ["users", id, "organization_memberships"]) => {
            memberships::list_of_user(instance, call, id)
        }
        ("GET", ["organization_memberships"]) => memberships::list_all(instance, call),

        _ => Err(Error::no_route()),
    }
}

#[expect(clippy::unnecessary_wraps, reason = "it ends routes that can refuse")]
fn ok(value: &impl Serialize) -> Answer {
    Ok(json::encode(value))
}

/// A page of a list, with the length of the whole list.
#[derive(Serialize)]
struct Page<T> {
    data: Vec<T>,
    total_count: usize,
}

/// A list: bare as it always was, or with its total when the caller asks for pages.
fn list<T: Serialize>(call: &Call, items: &[T]) -> Answer {
    let page = call.query.page()?;
    let shown: Vec<&T> = items.iter().skip(page.offset).take(page.limit).collect();
    match call.query.bool("paginated")? {
        Some(true) => ok(&serde_json::json!({ "data": shown, "total_count": items.len() })),
        Some(false) | None => ok(&shown),
    }
}

fn not_an_object() -> Error {
    Error::bad_request(
        "request_body_invalid",
        "The request body is not a JSON object.",
    )
}
