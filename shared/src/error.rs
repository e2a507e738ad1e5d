//! The one error of a request: what the caller may read, and which status and code it gets.
//!
//! `Display` is for the caller, `source()` for the log. Causes, SQL and secrets never reach the
//! first.

use ::http::StatusCode;

use crate::{auth, clerk, config, db, webhook};

/// The result of whatever a route does.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a request was refused or failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A setting is missing: 500.
    #[error(transparent)]
    Config(#[from] config::Error),
    /// Nobody is signed in, or not well enough: 401.
    #[error(transparent)]
    Auth(#[from] auth::Error),
    /// The delivery is not from Clerk: 400.
    #[error(transparent)]
    Webhook(#[from] webhook::Error),
    /// Clerk refused, or did not answer: 404, 502 or 504.
    #[error(transparent)]
    Clerk(#[from] clerk::Error),
    /// The database refused, or did not answer: 500 or 503.
    #[error(transparent)]
    Db(#[from] db::Error),
    /// The caller is signed in and may not do this: 403.
    #[error("{message}")]
    Forbidden {
        /// For programs.
        code: &'static str,
        /// For people.
        message: &'static str,
    },
    /// There is no such thing: 404.
    #[error("{message}")]
    NotFound {
        /// For programs.
        code: &'static str,
        /// For people.
        message: &'static str,
    },
    /// The path exists, the method does not: 405 with `Allow`.
    #[error("This address answers {allow} only.")]
    MethodNotAllowed {
        /// The methods, as the `Allow` header lists them.
        allow: &'static str,
    },
    /// The state of things is against it: 409.
    #[error("{message}")]
    Conflict {
        /// For programs.
        code: &'static str,
        /// For people.
        message: &'static str,
    },
    /// The address of a user with a Clerk account changes by invitation only (R12): 409.
    #[error(
        "This user has a Clerk account, which takes a new address by invitation only: \
        send it to POST /api/users/{{userId}}/email-change."
    )]
    RequiresInvitation,
    /// What shall be written to Clerk cannot be, or Clerk says so: 422, naming the fields.
    #[error("Invalid update data")]
    InvalidUpdate {
        /// What to do about it, for people.
        detail: String,
        /// The fields in question.
        fields: Vec<String>,
    },
    /// Clerk was asked to change something and gave no answer: it may have done it, or may yet do it,
    /// and the database follows when that is known: 502 or 504.
    #[error("{0}")]
    Unknown(#[source] clerk::Error),
    /// The first part of a change was done, and the rest is refused, for this reason.
    #[error("{0}")]
    Partial(#[source] Box<Error>),
    /// The body is too long: 413.
    #[error("The body is longer than {limit} bytes.")]
    TooLarge {
        /// The most that is taken, in bytes.
        limit: usize,
    },
    /// The body is not JSON by its `Content-Type`: 415.
    #[error("Send JSON, with the header Content-Type: application/json.")]
    UnsupportedMediaType,
    /// The body or the query cannot be understood: 422, naming the fields.
    #[error("{message}")]
    Unprocessable {
        /// For programs.
        code: &'static str,
        /// For people.
        message: String,
        /// The fields in question.
        fields: Vec<String>,
    },
    /// Something that must not happen did: 500.
    #[error("Something went wrong on our side; the request id finds it in the log.")]
    Internal(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Error {
    /// The address is none of ours.
    pub const NO_SUCH_ROUTE: Self = Self::NotFound {
        code: "not_found",
        message: "There is nothing at this address.",
    };
    /// The user is none of ours.
    pub const NO_SUCH_USER: Self = Self::NotFound {
        code: "user_not_found",
        message: "There is no such user.",
    };

    /// What shall name a user does not.
    pub fn invalid_user_id() -> Self {
        let message = "A user is named by the UUID of the row or by the Clerk id (user_…).";
        Self::unprocessable("invalid_user_id", message, "userId")
    }

    /// A field of the body or of the query is not what it should be.
    pub fn unprocessable(code: &'static str, message: impl Into<String>, field: &str) -> Self {
        Self::Unprocessable {
            code,
            message: message.into(),
            fields: vec![field.to_owned()],
        }
    }

    /// The HTTP status, and the word for programs.
    /// Every kind is named, so that a new one cannot be forgotten.
    pub fn status_and_code(&self) -> (StatusCode, &'static str) {
        match self {
            Self::Config(_) => (StatusCode::INTERNAL_SERVER_ERROR, "not_configured"),
            Self::Auth(error) => auth_status_and_code(error),
            Self::Webhook(_) => (StatusCode::BAD_REQUEST, "bad_signature"),
            Self::Clerk(error) | Self::Unknown(error) => clerk_status_and_code(error),
            Self::Db(error) if error.is_unavailable() => {
                (StatusCode::SERVICE_UNAVAILABLE, "database_unavailable")
            }
            Self::Db(_) | Self::Internal(_) => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
            Self::Forbidden { code, .. } => (StatusCode::FORBIDDEN, code),
            Self::NotFound { code, .. } => (StatusCode::NOT_FOUND, code),
            Self::MethodNotAllowed { .. } => (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed"),
            Self::Conflict { code, .. } => (StatusCode::CONFLICT, code),
            Self::RequiresInvitation => (StatusCode::CONFLICT, "requires_invitation"),
            Self::InvalidUpdate { .. } => (StatusCode::UNPROCESSABLE_ENTITY, "invalid_update_data"),
            Self::Partial(error) => error.status_and_code(),
            Self::TooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "body_too_large"),
            Self::UnsupportedMediaType => {
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type")
            }
            Self::Unprocessable { code, .. } => (StatusCode::UNPROCESSABLE_ENTITY, code),
        }
    }

    /// What Clerk answered, if it was Clerk that failed.
    pub fn clerk(&self) -> Option<&clerk::Error> {
        match self {
            Self::Clerk(error) | Self::Unknown(error) => Some(error),
            Self::Partial(error) => error.clerk(),
            _ => None,
        }
    }

    /// The fields that a 422 names.
    pub fn fields(&self) -> &[String] {
        match self {
            Self::Unprocessable { fields, .. } | Self::InvalidUpdate { fields, .. } => fields,
            Self::Partial(error) => error.fields(),
            _ => &[],
        }
    }
}

fn auth_status_and_code(error: &auth::Error) -> (StatusCode, &'static str) {
    match error {
        auth::Error::NotSignedIn { .. } => (StatusCode::UNAUTHORIZED, "not_signed_in"),
        auth::Error::KeysUnavailable(_) => (StatusCode::SERVICE_UNAVAILABLE, "keys_unavailable"),
    }
}

fn clerk_status_and_code(error: &clerk::Error) -> (StatusCode, &'static str) {
    match error {
        clerk::Error::NotFound { .. } => (StatusCode::NOT_FOUND, "not_found_in_clerk"),
        clerk::Error::Unauthorized { .. } => (StatusCode::BAD_GATEWAY, "clerk_refused_our_key"),
        clerk::Error::Refused { .. } | clerk::Error::Unreadable(_) => {
            (StatusCode::BAD_GATEWAY, "clerk_refused")
        }
        clerk::Error::RateLimited { .. } => (StatusCode::BAD_GATEWAY, "clerk_rate_limited"),
        clerk::Error::Unavailable(_) => (StatusCode::BAD_GATEWAY, "clerk_unavailable"),
        clerk::Error::TimedOut(_) => (StatusCode::GATEWAY_TIMEOUT, "clerk_timed_out"),
    }
}

#[cfg(test)]
mod tests;
