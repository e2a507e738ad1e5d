//! HTTP, whatever gateway it comes through: a request in, an answer out.
//!
//! What `lambda_http` knows is used in this module alone, and every refusal is written here.

mod gateway;
mod input;

use std::any::Any;
use std::error::Error as _;
use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use ::http::header::{
    ALLOW, AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, COOKIE, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS,
};
use ::http::{HeaderMap, HeaderValue, Method, StatusCode};
use bytes::Bytes;
use futures_util::FutureExt as _;
use lambda_http::{Context, LambdaEvent, service_fn};
use serde::Serialize;
use serde_json::Value;
use tracing::Instrument as _;

use crate::auth::{self, Reason};
use crate::ids::{ClerkMembershipId, ClerkOrganizationId, UserRef};
use crate::telemetry::chain;
use crate::telemetry::metrics::{self, Metric};
use crate::{Error, Result, telemetry};

pub(crate) use gateway::{is_http, is_netlify_schedule};
pub use input::{BODY_LIMIT, body_within, json, no_body, query};
pub use lambda_http::Error as RuntimeError;

/// What a request may take when nobody says how long it may.
const DEFAULT_BUDGET: Duration = Duration::from_secs(10);
/// What is kept back for writing the answer.
const MARGIN: Duration = Duration::from_millis(500);
/// When to try again after a 503.
const RETRY_SECONDS: u64 = 1;

/// An answer.
pub type Response = ::http::Response<Bytes>;

/// A request.
#[derive(Clone)]
pub struct Request {
    /// Finds the request in the log, and at the gateway.
    pub id: String,
    /// The method; `HEAD` is one that no route takes.
    pub method: Method,
    /// The path without the gateway's stage, its segments decoded.
    pub path: String,
    /// The parameters, decoded.
    pub query: Vec<(String, String)>,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, byte for byte.
    pub body: Bytes,
    /// Who speaks to the gateway, as the gateway says and nobody else.
    pub source: Option<IpAddr>,
    /// When the answer must be ready.
    pub deadline: Instant,
}

/// What Lambda says of an invocation.
#[derive(Debug, Clone, Default)]
struct Invocation {
    /// Lambda's id for it.
    id: Option<String>,
    /// When Lambda ends it, in milliseconds since 1970.
    deadline_ms: u64,
}

/// What a refusal says.
#[derive(Serialize)]
struct Refusal<'a> {
    error: String,
    code: &'a str,
    #[serde(rename = "requestId")]
    request_id: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    fields: &'a [String],
    #[serde(flatten)]
    more: More<'a>,
}

/// What some refusals say besides.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct More<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    success: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    requires_invitation: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<&'static str>,
}

/// Answers requests until Lambda ends the process.
pub async fn serve<F, Fut>(handler: F) -> std::result::Result<(), RuntimeError>
where
    F: Fn(Request) -> Fut,
    Fut: Future<Output = Result<Response>>,
{
    let handler = Arc::new(handler);
    lambda_http::lambda_runtime::run(service_fn(move |event: LambdaEvent<Value>| {
        let handler = Arc::clone(&handler);
        async move {
            let invocation = Invocation::from(&event.context);
            Ok::<_, RuntimeError>(answer_in(event.payload, &invocation, &*handler).await)
        }
    }))
    .await
}

/// Answers one event of a gateway, in that gateway's form.
/// Whatever happens in the handler, there is an answer.
pub async fn answer<F, Fut>(event: Value, handler: &F) -> Value
where
    F: Fn(Request) -> Fut,
    Fut: Future<Output = Result<Response>>,
{
    answer_in(event, &Invocation::default(), handler).await
}

async fn answer_in<F, Fut>(event: Value, invocation: &Invocation, handler: &F) -> Value
where
    F: Fn(Request) -> Fut,
    Fut: Future<Output = Result<Response>>,
{
    let answer = answer_measured(event, invocation, handler);
    metrics::scope(telemetry::function(), answer).await
}

async fn answer_measured<F, Fut>(event: Value, invocation: &Invocation, handler: &F) -> Value
where
    F: Fn(Request) -> Fut,
    Fut: Future<Output = Result<Response>>,
{
    let (form, request) = gateway::read(event, invocation);
    let response = match request {
        Ok(request) => {
            let id = request.id.clone();
            metrics::request_id(&id);
            let span = tracing::info_span!(
                "request",
                request.id = id,
                http.method = %request.method,
                http.path = loggable(&request.path)
            );
            async {
                // Boxed: else its layout is computed anew within every layer of the runtime.
                let call = Box::pin(async { handler(request).await });
                let outcome = AssertUnwindSafe(call).catch_unwind();
                let outcome = outcome.await.unwrap_or_else(|panic| Err(panicked(&*panic)));
                outcome.unwrap_or_else(|error| refuse(&error, &id))
            }
            .instrument(span)
            .await
        }
        Err(refused) => {
            metrics::request_id(&refused.request_id);
            refuse(&refused.error, &refused.request_id)
        }
    };
    count(response.status());
    form.write(response).await
}

/// The segments of the path after `root`, such as `/api/admin/users`.
///
/// `/.netlify/functions/<function>/…`, the function's native address at Netlify, stands for `root`,
/// or for the whole address when it goes on with `/api/`.
pub fn route<'a>(request: &'a Request, function: &str, root: &str) -> Result<Vec<&'a str>> {
    let path = request.path.as_str();
    let rest = match below(path, "/.netlify/functions").and_then(|path| below(path, function)) {
        Some(native) if below(native, "/api").is_some() => below(native, root),
        Some(native) => Some(native),
        None => below(path, root),
    };
    let segments = rest.and_then(segments);
    segments.ok_or(Error::NotFound {
        code: "not_found",
        message: "There is nothing at this address.",
    })
}

/// The session token: of the `Authorization` header, else of the `__session` cookie.
pub fn token(request: &Request) -> std::result::Result<auth::Token<'_>, auth::Error> {
    let header = request
        .headers
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    if let Some(token) = header.and_then(bearer) {
        return Ok(auth::Token::Header(token));
    }
    let token = session_cookie(&request.headers).map(auth::Token::Cookie);
    token.ok_or_else(|| Reason::TokenMissing.into())
}

/// 200 with a body.
pub fn ok(body: &impl Serialize) -> Result<Response> {
    with_status(StatusCode::OK, body)
}

/// 202 with a body: it is not done yet, and will be.
pub fn accepted(body: &impl Serialize) -> Result<Response> {
    with_status(StatusCode::ACCEPTED, body)
}

fn with_status(status: StatusCode, body: &impl Serialize) -> Result<Response> {
    match serde_json::to_vec(body) {
        Ok(body) => Ok(respond(status, body)),
        Err(error) => Err(Error::Internal(error.into())),
    }
}

/// The answer to a request that failed or was refused; it is logged here and nowhere else.
pub fn refuse(error: &Error, request_id: &str) -> Response {
    let (status, code) = error.status_and_code();
    log(error, status, code, request_id);
    let fields = error.fields();
    let refusal = Refusal {
        error: error.to_string(),
        code,
        request_id,
        fields,
        more: more(error),
    };
    let mut response = respond(status, serde_json::to_vec(&refusal).unwrap_or_default());
    if let Error::MethodNotAllowed { allow } = error {
        response
            .headers_mut()
            .insert(ALLOW, HeaderValue::from_static(allow));
    }
    if let Some(seconds) = retry_after(error, status) {
        response.headers_mut().insert(RETRY_AFTER, seconds.into());
    }
    response
}

fn more(error: &Error) -> More<'_> {
    match error {
        Error::RequiresInvitation => More {
            success: Some(false),
            requires_invitation: Some(true),
            ..More::default()
        },
        Error::InvalidUpdate { detail, .. } => More {
            detail: Some(detail),
            ..More::default()
        },
        Error::Unknown(_) => More {
            outcome: Some("unknown"),
            ..More::default()
        },
        Error::Partial(error) => More {
            outcome: Some("partial"),
            ..more(error)
        },
        _ => More::default(),
    }
}

/// When work must be done: at Lambda's deadline less the margin.
/// A deadline in the past, which is what `cargo lambda watch` sends, is none.
pub(crate) fn deadline(deadline_ms: u64, margin: Duration, default: Duration) -> Instant {
    let end = SystemTime::UNIX_EPOCH + Duration::from_millis(deadline_ms);
    let budget = match end.duration_since(SystemTime::now()) {
        Ok(left) => left.saturating_sub(margin),
        Err(_) => default,
    };
    Instant::now() + budget
}

/// The path with nothing in it but words of our routes and ids: callers may write anything there.
fn loggable(path: &str) -> String {
    let keep = |segment| match segment {
        "" | "api" | "admin" | "users" | "statistics" | "role-changes" | "webhooks" | "clerk"
        | "sync" | "user" | "full" | "organizations" | "organization" | "members"
        | "membership" | "status" | "email-change" | "update-clerk-user" | "overview"
        | "events" | "activity" | "history" | "replay" | "reconcile" | "drift" | "repair"
        | "health" | ".netlify" | "functions" => segment,
        id if is_id(id) => id,
        _ => "…",
    };
    path.split('/').map(keep).collect::<Vec<_>>().join("/")
}

fn is_id(segment: &str) -> bool {
    segment.parse::<UserRef>().is_ok()
        || segment.parse::<ClerkOrganizationId>().is_ok()
        || segment.parse::<ClerkMembershipId>().is_ok()
}

fn respond(status: StatusCode, body: Vec<u8>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

fn log(error: &Error, status: StatusCode, code: &'static str, request_id: &str) {
    let cause = error.source().map(chain);
    let cause = cause.as_deref();
    let http_status = status.as_u16();
    let trace_id = error.clerk().and_then(|error| error.trace_id());
    let said = loggable_words(error);
    if let Error::Config(problem) = error {
        problem.log();
    } else if status.is_server_error() {
        tracing::error!(
            request.id = request_id,
            http.status = http_status,
            code,
            cause,
            clerk.trace_id = trace_id,
            "{said}"
        );
    } else {
        tracing::info!(
            request.id = request_id,
            http.status = http_status,
            code,
            cause,
            clerk.trace_id = trace_id,
            "{said}"
        );
    }
}

/// What is said of a body names its fields, as the caller wrote them: anything may be in there.
fn loggable_words(error: &Error) -> String {
    match error {
        Error::Unprocessable { .. } => "The request was not understood.".to_owned(),
        error => error.to_string(),
    }
}

fn count(status: StatusCode) {
    if status.is_server_error() {
        metrics::count(Metric::Failed);
    } else if status.is_client_error() {
        metrics::count(Metric::Refused);
    }
}

fn retry_after(error: &Error, status: StatusCode) -> Option<u64> {
    match error.clerk() {
        Some(error) => Some(error.retry_after()?.as_secs().max(1)),
        None => (status == StatusCode::SERVICE_UNAVAILABLE).then_some(RETRY_SECONDS),
    }
}

fn panicked(panic: &(dyn Any + Send)) -> Error {
    let message = panic.downcast_ref::<&str>().copied();
    let message = message.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    Error::Internal(format!("a panic: {}", message.unwrap_or("it says nothing")).into())
}

/// What follows a prefix that ends where a segment ends.
fn below<'a>(path: &'a str, prefix: &str) -> Option<&'a str> {
    let prefix = prefix.trim_matches('/');
    let rest = path.strip_prefix('/')?.strip_prefix(prefix)?;
    (rest.is_empty() || rest.starts_with('/')).then_some(rest)
}

/// Takes a path apart; the empty one, and one slash at the end, are no segments.
fn segments(path: &str) -> Option<Vec<&str>> {
    let path = path.strip_suffix('/').unwrap_or(path);
    let Some(path) = path.strip_prefix('/') else {
        return path.is_empty().then(Vec::new);
    };
    let segments: Vec<&str> = path.split('/').collect();
    (!segments.contains(&"")).then_some(segments)
}

/// `Bearer` is spelled exactly so, or left out; any other scheme is none of ours.
fn bearer(header: &str) -> Option<&str> {
    match header.split_once(' ') {
        None => Some(header).filter(|token| !token.is_empty()),
        Some(("Bearer", token)) => Some(token),
        Some(_) => None,
    }
}

/// `__session`, or with the suffix that Clerk adds where several applications share a domain.
fn session_cookie(headers: &HeaderMap) -> Option<&str> {
    let cookies = || {
        let values = headers
            .get_all(COOKIE)
            .into_iter()
            .filter_map(|value| value.to_str().ok());
        values
            .flat_map(|value| value.split(';'))
            .filter_map(|pair| pair.trim().split_once('='))
    };
    let plain = cookies().find(|(name, value)| *name == "__session" && !value.is_empty());
    let suffixed =
        || cookies().find(|(name, value)| name.starts_with("__session_") && !value.is_empty());
    plain.or_else(suffixed).map(|(_, value)| value)
}

impl std::fmt::Debug for Request {
    /// Headers and body hold tokens and people's data; the query may hold an address.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Request")
            .field("id", &self.id)
            .field("method", &self.method)
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl From<&Context> for Invocation {
    fn from(context: &Context) -> Self {
        let id = Some(context.request_id.clone()).filter(|id| !id.is_empty());
        Self {
            id,
            deadline_ms: context.deadline,
        }
    }
}

#[cfg(test)]
mod tests;
