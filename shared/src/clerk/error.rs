//! How a call may fail.

use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use serde_json::Value;

/// Where Clerk says which of its logs tells more.
const TRACE_ID: &str = "x-clerk-trace-id";

/// Why Clerk did not do what was asked.
/// `Display` is for the caller of a route; the rest is for those who branch, and for the log.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Clerk says that there is no such object, or the id is none that it could have given.
    /// Any other 404, such as a proxy's, is [`Error::Refused`]: nothing is to be deleted for it.
    #[error("User not found in Clerk. They may have been deleted.")]
    NotFound {
        /// Clerk's name for the call.
        trace_id: Option<String>,
    },
    /// Clerk does not take our key.
    #[error("Failed to sync with Clerk authentication system")]
    Unauthorized {
        /// Clerk's name for the call.
        trace_id: Option<String>,
    },
    /// Clerk understood and refused.
    #[error("Failed to sync with Clerk authentication system")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The first error's code; empty when the answer is not in Clerk's form.
        code: String,
        /// The sentences of all errors, in order, since a password may be refused for several
        /// reasons: they may name people, so they are not for the log.
        message: String,
        /// The parameter that the first error is about.
        param: Option<String>,
        /// Clerk's name for the call.
        trace_id: Option<String>,
    },
    /// Clerk has had too many calls from us.
    #[error("Failed to sync with Clerk authentication system")]
    RateLimited {
        /// How long it asks us to wait.
        retry_after: Option<Duration>,
    },
    /// Clerk could not be reached, is in trouble, or is busy with the object.
    #[error("Failed to sync with Clerk authentication system")]
    Unavailable(#[source] Cause),
    /// The budget ran out first.
    #[error("Failed to sync with Clerk authentication system")]
    TimedOut(#[source] Cause),
    /// Clerk did what was asked, and its answer is not what it documents.
    #[error("Failed to sync with Clerk authentication system")]
    Unreadable(#[source] UnreadableBody),
}

/// What went wrong on the way to Clerk, for the log.
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    /// Clerk answered that it cannot.
    #[error("Clerk answered {status} {code}")]
    Answered {
        /// The HTTP status.
        status: u16,
        /// The first error's code; empty when the answer is not in Clerk's form.
        code: String,
        /// How long it asks us to wait.
        retry_after: Option<Duration>,
        /// Clerk's name for the call.
        trace_id: Option<String>,
    },
    /// There was no connection, so the request was not sent.
    #[error("no connection to Clerk")]
    NotSent(#[source] reqwest::Error),
    /// The connection broke after the request had been sent, or may have been.
    #[error("the connection to Clerk broke")]
    Broken(#[source] reqwest::Error),
    /// The answer did not come in time.
    #[error("no answer from Clerk in time")]
    Late(#[source] reqwest::Error),
    /// The time was over before the request could be sent.
    #[error("no time was left to ask Clerk")]
    NoTimeLeft,
}

/// Where an answer stops being readable.
/// It never holds a value: that may be an e-mail address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("Clerk's answer cannot be read at `{path}` (line {line}, column {column})")]
pub struct UnreadableBody {
    path: String,
    line: usize,
    column: usize,
}

impl Error {
    /// Clerk's word for what happened.
    pub fn code(&self) -> Option<&str> {
        let code = match self {
            Self::NotFound { .. } => "resource_not_found",
            Self::Refused { code, .. } => code,
            Self::RateLimited { .. } => "too_many_requests",
            Self::Unavailable(cause) | Self::TimedOut(cause) => cause.code()?,
            Self::Unauthorized { .. } | Self::Unreadable(_) => return None,
        };
        (!code.is_empty()).then_some(code)
    }

    /// Clerk's name for the call, for those who ask Clerk about it.
    pub fn trace_id(&self) -> Option<&str> {
        match self {
            Self::NotFound { trace_id }
            | Self::Unauthorized { trace_id }
            | Self::Refused { trace_id, .. }
            | Self::Unavailable(Cause::Answered { trace_id, .. }) => trace_id.as_deref(),
            Self::RateLimited { .. }
            | Self::Unavailable(_)
            | Self::TimedOut(_)
            | Self::Unreadable(_) => None,
        }
    }

    /// Whether trying again cannot help.
    /// A wrong key, a wrong address and a missing plan are mended by people, so they can.
    pub fn is_permanent(&self) -> bool {
        match self {
            Self::NotFound { .. } => true,
            Self::Refused { status, code, .. } => {
                let is_clerks = !code.is_empty();
                let is_passing = match status {
                    402 | 408 | 425 | 429 => true,
                    409 => matches!(code.as_str(), "resource_locked" | "conflict"),
                    _ => false,
                };
                is_clerks && !is_passing && (400..500).contains(status)
            }
            Self::Unauthorized { .. }
            | Self::RateLimited { .. }
            | Self::Unavailable(_)
            | Self::TimedOut(_)
            | Self::Unreadable(_) => false,
        }
    }

    /// Whether the user belongs to a company's directory, which alone may change them.
    pub fn is_managed_by_directory(&self) -> bool {
        matches!(
            self.code(),
            Some("user_managed_by_scim" | "attribute_managed_by_scim")
        )
    }

    /// Whether the password that was sent is not good enough for Clerk.
    pub fn is_password_refused(&self) -> bool {
        let code = self.code().unwrap_or_default();
        code.starts_with("form_password_")
    }

    /// Whether the user to be made a member is one already.
    pub fn is_already_member(&self) -> bool {
        self.code() == Some("already_a_member_in_organization")
    }

    /// Whether Clerk cannot answer now, and may later: it did not refuse.
    pub fn is_away(&self) -> bool {
        matches!(
            self,
            Self::Unavailable(_) | Self::TimedOut(_) | Self::RateLimited { .. }
        )
    }

    /// Whether Clerk may have done what was asked.
    pub fn is_outcome_unknown(&self) -> bool {
        match self {
            Self::Unavailable(cause) | Self::TimedOut(cause) => cause.is_outcome_unknown(),
            Self::Unreadable(_) => true,
            Self::NotFound { .. }
            | Self::Unauthorized { .. }
            | Self::Refused { .. }
            | Self::RateLimited { .. } => false,
        }
    }

    /// How long Clerk asks us to wait.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RateLimited { retry_after }
            | Self::Unavailable(Cause::Answered { retry_after, .. }) => *retry_after,
            _ => None,
        }
    }

    /// Sorts an answer that is not a success.
    pub(super) fn from_answer(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Self {
        let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let envelope: Value = serde_json::from_slice(body).unwrap_or_default();
        let text = |pointer| envelope.pointer(pointer).and_then(Value::as_str);
        let trace_id = header(TRACE_ID)
            .or(text("/clerk_trace_id"))
            .map(str::to_owned);
        let retry_after = header(RETRY_AFTER.as_str())
            .and_then(|text| text.trim().parse().ok())
            .map(Duration::from_secs);
        let code = text("/errors/0/code").unwrap_or_default().to_owned();
        let status = status.as_u16();
        match (status, code.as_str()) {
            (401, _) => Self::Unauthorized { trace_id },
            (404, "resource_not_found") => Self::NotFound { trace_id },
            (429, _) => Self::RateLimited { retry_after },
            (500.., _) | (409, "resource_locked") => Self::Unavailable(Cause::Answered {
                status,
                code,
                retry_after,
                trace_id,
            }),
            _ => {
                let message = sentences(&envelope);
                let param = text("/errors/0/meta/param_name").map(str::to_owned);
                Self::Refused {
                    status,
                    code,
                    message,
                    param,
                    trace_id,
                }
            }
        }
    }

    /// Sorts a request that brought no answer.
    /// A connection may also time out by itself, long before the budget does.
    pub(super) fn from_transport(error: reqwest::Error, is_late: bool) -> Self {
        let error = error.without_url();
        if error.is_connect() || error.is_builder() {
            Self::Unavailable(Cause::NotSent(error))
        } else if error.is_timeout() && is_late {
            Self::TimedOut(Cause::Late(error))
        } else {
            Self::Unavailable(Cause::Broken(error))
        }
    }
}

/// What each error of an answer says to people, one after the other.
fn sentences(envelope: &Value) -> String {
    let errors = envelope.get("errors").and_then(Value::as_array);
    let texts: Vec<&str> = errors.into_iter().flatten().filter_map(sentence).collect();
    texts.join(" ")
}

/// The long form of what an error says, or the short one.
fn sentence(error: &Value) -> Option<&str> {
    let text = |name| {
        let text = error.get(name).and_then(Value::as_str);
        text.filter(|text| !text.is_empty())
    };
    text("long_message").or_else(|| text("message"))
}

impl Cause {
    fn code(&self) -> Option<&str> {
        match self {
            Self::Answered { code, .. } => Some(code),
            Self::NotSent(_) | Self::Broken(_) | Self::Late(_) | Self::NoTimeLeft => None,
        }
    }

    fn is_outcome_unknown(&self) -> bool {
        match self {
            Self::Answered { status, .. } => *status >= 500,
            Self::Broken(_) | Self::Late(_) => true,
            Self::NotSent(_) | Self::NoTimeLeft => false,
        }
    }
}

impl UnreadableBody {
    pub(super) fn new(error: &serde_path_to_error::Error<serde_json::Error>) -> Self {
        let (line, column) = (error.inner().line(), error.inner().column());
        Self {
            path: error.path().to_string(),
            line,
            column,
        }
    }
}
