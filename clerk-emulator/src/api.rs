//! The Backend API over HTTP: faults, authentication, version, limits, then the routes.

use std::sync::Arc;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{ConnectInfo, State};
use axum::response::Response;
use http::request::Parts;
use http::{HeaderValue, Method, StatusCode, header};
use serde_json::Value;

use crate::connection::Scissors;
use crate::error::Error;
use crate::faults::{self, Effect};
use crate::hooks::Moment;
use crate::instance::{Instance, Outage};
use crate::params::Query;
use crate::requests::{self, Request};
use crate::routes::{self, Answer, Call};
use crate::world::World;
use crate::{ids, json};

const MAX_BODY: usize = 1024 * 1024;
const TEN_SECONDS_MS: i64 = 10_000;
const HOUR_MS: i64 = 3_600_000;

/// The versions of the API, oldest first.
const VERSIONS: [&str; 5] = [
    "2021-02-05",
    "2024-10-01",
    "2025-04-10",
    "2025-11-10",
    "2026-05-12",
];

/// Answers any call that is not for the emulator itself.
pub(crate) async fn serve(
    State(world): State<Arc<World>>,
    ConnectInfo(scissors): ConnectInfo<Scissors>,
    request: axum::extract::Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, MAX_BODY).await;
    let (number, hooks) = {
        let mut instance = world.lock();
        let number = log(&mut instance, &parts, body.as_deref().unwrap_or_default());
        (number, instance.hooks.take(&parts.method, &parts.uri))
    };
    // A hook takes the lock itself; it can also order a fault for this very call.
    hooks.run(Moment::Before, &world);
    let (effect, outage) = {
        let mut instance = world.lock();
        let effect = faults::take(&mut instance.faults, &parts.method, &parts.uri);
        (effect, instance.outage)
    };

    let answer = match outage {
        Some(Outage::Unreachable) => None,
        Some(Outage::Refusing) => Some(Err(Error::unavailable())),
        None => match effect {
            None => Some(process(&world, &parts, body)),
            Some(Effect::Status {
                status,
                code,
                retry_after,
            }) => Some(Err(ordered_refusal(status, code.as_deref(), retry_after))),
            Some(Effect::Slow(delay)) => {
                let answer = process(&world, &parts, body);
                tokio::time::sleep(delay).await;
                Some(answer)
            }
            Some(Effect::DelayBefore(delay)) => {
                tokio::time::sleep(delay).await;
                Some(process(&world, &parts, body))
            }
            Some(Effect::Drop) => None,
            Some(Effect::DropAnswer) => {
                drop(process(&world, &parts, body));
                None
            }
        },
    };

    hooks.run(Moment::After, &world);
    let Some(answer) = answer else {
        scissors.cut();
        return Response::new(Body::empty());
    };
    let response = respond(&parts, answer);
    world
        .lock()
        .requests
        .answered(number, response.status().as_u16());
    response
}

fn log(instance: &mut Instance, parts: &Parts, body: &[u8]) -> u64 {
    let headers = parts
        .headers
        .iter()
        .map(|(name, value)| {
            let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
            (name.as_str().to_owned(), value)
        })
        .collect();
    let at = instance.now();
    instance.requests.push(Request {
        method: parts.method.to_string(),
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        status: 0,
        body: requests::without_secrets(body),
        headers,
        at,
        number: 0,
    })
}

fn process(world: &World, parts: &Parts, body: Result<Bytes, axum::Error>) -> Answer {
    let path = parts.uri.path();
    let mut instance = world.lock();
    if path == "/.well-known/jwks.json" && parts.method == Method::GET {
        return Ok(json::encode(&instance.key.get().jwks(&instance.id)));
    }
    authenticate(world, parts)?;
    let version = version(parts)?.unwrap_or(VERSIONS[0]);
    let path = path.strip_prefix("/v1/").ok_or_else(Error::no_route)?;
    count(world, &mut instance, &parts.method, path)?;
    let body = body.map_err(|_| {
        Error::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "request_body_too_large",
            "Request body too large",
            "The request body is too large.",
        )
    })?;
    let call = Call {
        method: parts.method.clone(),
        path: path.to_owned(),
        query: Query::parse(parts.uri.query().unwrap_or_default()),
        body: parse(parts, &body)?,
        takes_metadata_in_update: version != "2026-05-12",
    };
    routes::answer(&mut instance, &call)
}

fn authenticate(world: &World, parts: &Parts) -> Result<(), Error> {
    let authorization = parts
        .headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    let key = match authorization.and_then(|text| text.split_once(' ')) {
        Some((scheme, key)) if scheme.eq_ignore_ascii_case("bearer") => key.trim(),
        Some(_) | None => {
            return Err(Error::new(
                StatusCode::UNAUTHORIZED,
                "authorization_header_format_invalid",
                "Invalid Authorization header format",
                "Invalid Authorization header format. Must be \"Bearer <YOUR_API_KEY>\"",
            ));
        }
    };
    if key != world.secret_key {
        return Err(Error::new(
            StatusCode::UNAUTHORIZED,
            "clerk_key_invalid",
            "The provided Clerk Secret Key is invalid. Make sure that your Clerk Secret Key is correct.",
            "The provided Clerk Secret Key is invalid. Make sure that your Clerk Secret Key is correct.",
        ));
    }
    Ok(())
}

/// The version that the caller asks for, in the header or in the query, not both.
fn version(parts: &Parts) -> Result<Option<&'static str>, Error> {
    let query = Query::parse(parts.uri.query().unwrap_or_default());
    let in_query = query.first("__clerk_api_version");
    let in_header = parts.headers.get("clerk-api-version");
    let asked = match (in_header, in_query) {
        (None, None) => return Ok(None),
        (Some(value), None) => value.to_str().ok(),
        (None, Some(text)) => Some(text),
        (Some(_), Some(_)) => None,
    };
    let known = VERSIONS.into_iter().find(|known| Some(*known) == asked);
    match known {
        Some(version) => Ok(Some(version)),
        None => Err(Error::bad_request(
            "api_version_invalid",
            "The API version is invalid.",
        )),
    }
}

fn count(world: &World, instance: &mut Instance, method: &Method, path: &str) -> Result<(), Error> {
    if path == "jwks" {
        return Ok(());
    }
    let now = instance.now();
    let segments: Vec<&str> = path.split('/').collect();
    let own = match (method.as_str(), segments.as_slice()) {
        ("PATCH", ["users", id]) | ("PATCH" | "PUT", ["users", id, "metadata"]) => world
            .user_limit
            .map(|limit| (format!("users/{id}"), limit, TEN_SECONDS_MS)),
        ("PATCH", ["organizations", id]) | ("PATCH" | "PUT", ["organizations", id, "metadata"]) => {
            world
                .user_limit
                .map(|limit| (format!("organizations/{id}"), limit, TEN_SECONDS_MS))
        }
        ("PATCH", ["organizations", id, "memberships", user_id, ..]) => world
            .user_limit
            .map(|limit| (format!("memberships/{id}/{user_id}"), limit, TEN_SECONDS_MS)),
        ("POST", ["invitations"]) => Some(("invitations".to_owned(), 100, HOUR_MS)),
        ("POST", ["invitations", "bulk"]) => Some(("invitations/bulk".to_owned(), 25, HOUR_MS)),
        _ => None,
    };
    if let Some(limit) = instance.limit {
        instance
            .limits
            .count("instance", limit, TEN_SECONDS_MS, now)?;
    }
    if let Some((key, limit, window_ms)) = own {
        instance.limits.count(&key, limit, window_ms, now)?;
    }
    Ok(())
}

/// The body as JSON; nothing counts as `null`.
fn parse(parts: &Parts, body: &[u8]) -> Result<Value, Error> {
    if body.is_empty() || matches!(parts.method, Method::GET | Method::DELETE) {
        return Ok(Value::Null);
    }
    let content_type = parts
        .headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    if content_type.split(';').next().map(str::trim) != Some("application/json") {
        return Err(Error::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_content_type",
            "Unsupported content type",
            "The Content-Type must be application/json.",
        ));
    }
    serde_json::from_slice(body).map_err(|_| {
        Error::bad_request(
            "malformed_request_parameters",
            "The request body is not valid JSON.",
        )
    })
}

/// The refusal that a fault asks for.
fn ordered_refusal(status: u16, code: Option<&str>, retry_after: Option<u64>) -> Error {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut error = match status {
        StatusCode::TOO_MANY_REQUESTS => Error::too_many_requests(retry_after.unwrap_or(1)),
        StatusCode::SERVICE_UNAVAILABLE => Error::unavailable(),
        StatusCode::CONFLICT => Error::new(
            status,
            "resource_locked",
            "Resource is locked",
            "The resource is being changed by another request. Please try again.",
        ),
        StatusCode::NOT_FOUND => Error::no_route(),
        _ => Error::new(
            status,
            "internal_clerk_error",
            "Oops, an unexpected error occurred",
            "There was an internal error on our servers.",
        ),
    };
    if let Some(code) = code {
        code.clone_into(&mut error.code);
    }
    error.retry_after = retry_after.or(error.retry_after);
    error
}

fn respond(parts: &Parts, answer: Answer) -> Response {
    let trace_id = ids::trace();
    let mut retry_after = None;
    let (status, body) = match answer {
        Ok(body) => (StatusCode::OK, body),
        Err(error) => {
            retry_after = error.retry_after;
            (error.status, json::encode(&error.envelope(&trace_id)))
        }
    };
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    if let Ok(trace_id) = HeaderValue::from_str(&trace_id) {
        headers.insert("x-clerk-trace-id", trace_id);
    }
    if let Ok(asked) = version(parts) {
        let version = HeaderValue::from_static(asked.unwrap_or(VERSIONS[0]));
        headers.insert("clerk-api-version", version);
    }
    if let Some(seconds) = retry_after {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}
