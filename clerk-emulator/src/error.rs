//! Refusals in Clerk's envelope, with the codes that Clerk documents.

use std::iter;

use http::StatusCode;
use serde_json::{Map, Value, json};

/// One refusal of the Backend API, for one reason or for several.
#[derive(Debug)]
pub(crate) struct Error {
    pub(crate) status: StatusCode,
    pub(crate) code: String,
    pub(crate) message: String,
    pub(crate) long_message: String,
    pub(crate) param_name: Option<Box<str>>,
    /// Seconds, for the `Retry-After` header.
    pub(crate) retry_after: Option<u64>,
    /// The next reason, told in the same answer.
    next: Option<Box<Self>>,
}

impl Error {
    pub(crate) fn new(status: StatusCode, code: &str, message: &str, long_message: &str) -> Self {
        Self {
            status,
            code: code.to_owned(),
            message: message.to_owned(),
            long_message: long_message.to_owned(),
            param_name: None,
            retry_after: None,
            next: None,
        }
    }

    /// Refuses for all of these reasons at once, in order, if there is one.
    pub(crate) fn all(reasons: Vec<Self>) -> Result<(), Self> {
        let all = reasons.into_iter().rev().reduce(|next, reason| Self {
            next: Some(Box::new(next)),
            ..reason
        });
        all.map_or(Ok(()), Err)
    }

    fn form(code: &str, name: &str, message: &str, long_message: &str) -> Self {
        Self {
            param_name: Some(name.into()),
            ..Self::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                code,
                message,
                long_message,
            )
        }
    }

    /// The object is not there.
    pub(crate) fn not_found(kind: &str, id: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "resource_not_found",
            "not found",
            &format!("No {kind} was found with id {id}"),
        )
    }

    /// There is no such route.
    pub(crate) fn no_route() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "resource_not_found",
            "not found",
            "There is nothing at this address.",
        )
    }

    /// An e-mail address, username or external id belongs to someone else.
    pub(crate) fn taken(name: &str) -> Self {
        let kind = name.replace('_', " ");
        Self::form(
            "form_identifier_exists",
            name,
            &format!("That {kind} is taken. Please try another."),
            &format!("That {kind} is taken. Please try another."),
        )
    }

    /// The user is not a member of the organization.
    pub(crate) fn no_membership() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "resource_not_found",
            "not found",
            "Organization membership not found",
        )
    }

    /// The instance has no such role.
    pub(crate) fn unknown_role() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "resource_not_found",
            "not found",
            "Organization role not found",
        )
    }

    pub(crate) fn already_a_member() -> Self {
        Self::bad_request(
            "already_a_member_in_organization",
            "The user is already a member of the organization.",
        )
    }

    /// The organization has as many members as it may have.
    pub(crate) fn too_many_members() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "organization_membership_quota_exceeded",
            "organization membership quota exceeded",
            "The organization has reached its limit of memberships.",
        )
    }

    pub(crate) fn missing(name: &str) -> Self {
        Self::form(
            "form_param_missing",
            name,
            "is missing",
            &format!("{name} must be included."),
        )
    }

    pub(crate) fn unknown(name: &str) -> Self {
        Self::form(
            "form_param_unknown",
            name,
            "is unknown",
            &format!("{name} is not a valid parameter for this request."),
        )
    }

    pub(crate) fn wrong_type(name: &str, expected: &str) -> Self {
        Self::form(
            "form_param_type_invalid",
            name,
            "is invalid",
            &format!("{name} must be of type {expected}."),
        )
    }

    pub(crate) fn wrong_format(name: &str, expected: &str) -> Self {
        Self::form(
            "form_param_format_invalid",
            name,
            "is invalid",
            &format!("{name} must be {expected}."),
        )
    }

    pub(crate) fn wrong_value(name: &str, why: &str) -> Self {
        Self::form("form_param_value_invalid", name, "is invalid", why)
    }

    pub(crate) fn too_large(name: &str) -> Self {
        Self::form(
            "form_param_exceeds_allowed_size",
            name,
            "exceeds allowed size",
            &format!("{name} exceeds the maximum allowed size of 8 KB."),
        )
    }

    pub(crate) fn too_long(name: &str, at_most: usize) -> Self {
        Self::form(
            "form_param_value_too_large",
            name,
            "is too long",
            &format!("{name} must not exceed {at_most} characters."),
        )
    }

    /// The password is not good enough.
    pub(crate) fn password(code: &str, message: &str) -> Self {
        Self::form(code, "password", message, message)
    }

    /// A company's directory has the say over the user.
    pub(crate) fn managed_by_directory() -> Self {
        Self::new(
            StatusCode::CONFLICT,
            "user_managed_by_scim",
            "user is managed by SCIM",
            "The user is managed by a directory, and can only be changed there.",
        )
    }

    pub(crate) fn bad_request(code: &str, message: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message, message)
    }

    pub(crate) fn too_many_requests(retry_after: u64) -> Self {
        Self {
            retry_after: Some(retry_after),
            ..Self::new(
                StatusCode::TOO_MANY_REQUESTS,
                "too_many_requests",
                "Too many requests. Please try again in a bit.",
                "Too many requests, retry later",
            )
        }
    }

    pub(crate) fn unavailable() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "service_unavailable",
            "Service unavailable",
            "The service is temporarily unavailable.",
        )
    }

    /// The body as it goes over the wire.
    pub(crate) fn envelope(&self, trace_id: &str) -> Value {
        let reasons = iter::successors(Some(self), |error| error.next.as_deref());
        let entries: Vec<Map<String, Value>> = reasons.map(Self::entry).collect();
        json!({ "errors": entries, "clerk_trace_id": trace_id })
    }

    fn entry(&self) -> Map<String, Value> {
        let mut entry = Map::new();
        entry.insert("message".to_owned(), json!(self.message));
        entry.insert("long_message".to_owned(), json!(self.long_message));
        entry.insert("code".to_owned(), json!(self.code));
        if let Some(name) = &self.param_name {
            entry.insert("meta".to_owned(), json!({ "param_name": name }));
        }
        entry
    }
}
