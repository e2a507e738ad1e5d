//! API Gateway's part: HTTP requests become events of payload format 2.0, answers become HTTP.
//!
//! It also answers Lambda's own `Invoke`, which is what `cargo lambda invoke` and the SDKs call.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::Arc;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Path, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, Request, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::serve::ListenerExt;
use axum::{Json, Router};
use base64::prelude::{BASE64_STANDARD, Engine};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::AbortHandle;
use url::form_urlencoded;
use uuid::Uuid;

use crate::{Inner, Outcome};

/// The longest request, as on AWS.
const MAX_REQUEST_BYTES: usize = 6 * 1024 * 1024;

/// Which requests a function answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The method; every one when there is none.
    pub method: Option<Method>,
    /// The path, with `{name}` for what may be anything between two slashes.
    pub path: String,
    /// The function.
    pub function: String,
}

/// The text is no route.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a route reads `POST /path/{{parameter}}=function`, or `ANY /path=function`")]
pub struct NoRoute;

/// Serves the routes until the task is aborted; the address is the one that was got.
pub(crate) async fn listen(
    inner: Arc<Inner>,
    address: SocketAddr,
    routes: Vec<Route>,
) -> io::Result<(SocketAddr, AbortHandle)> {
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    let listener = listener.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "A connection keeps its delay");
        }
    });
    let service = Router::new()
        .route("/2015-03-31/functions/{function}/invocations", post(invoke))
        .fallback(route)
        .with_state(Gateway {
            inner,
            routes: routes.into(),
        });
    let server = tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, service).await {
            tracing::error!(%error, "The gateway stopped");
        }
    });
    Ok((address, server.abort_handle()))
}

#[derive(Debug, Clone)]
struct Gateway {
    inner: Arc<Inner>,
    routes: Arc<[Route]>,
}

/// What a function answers to an event of format 2.0.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    status_code: u16,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    multi_value_headers: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    cookies: Vec<String>,
    #[serde(default)]
    body: Option<String>,
    #[serde(default)]
    is_base64_encoded: bool,
}

impl Route {
    /// The parameters of a path, if it is one of this route's.
    fn parameters(&self, method: &Method, path: &str) -> Option<BTreeMap<String, String>> {
        if self.method.as_ref().is_some_and(|wanted| wanted != method) {
            return None;
        }
        let mut parameters = BTreeMap::new();
        let mut wanted = self.path.split('/');
        let mut given = path.split('/');
        loop {
            match (wanted.next(), given.next()) {
                (None, None) => return Some(parameters),
                (Some(wanted), Some(given)) => match parameter(wanted) {
                    Some(name) if !given.is_empty() => {
                        parameters.insert(name.to_owned(), decode(given));
                    }
                    None if wanted == given => {}
                    Some(_) | None => return None,
                },
                (Some(_), None) | (None, Some(_)) => return None,
            }
        }
    }

    fn n_parameters(&self) -> usize {
        self.path.split('/').filter_map(parameter).count()
    }

    fn key(&self) -> String {
        let method = self.method.as_ref().map_or("ANY", Method::as_str);
        format!("{method} {}", self.path)
    }
}

impl FromStr for Route {
    type Err = NoRoute;

    fn from_str(text: &str) -> Result<Self, NoRoute> {
        let (key, function) = text.rsplit_once('=').ok_or(NoRoute)?;
        let (method, path) = key.split_once(' ').ok_or(NoRoute)?;
        if !path.starts_with('/') || function.is_empty() {
            return Err(NoRoute);
        }
        let method = match method {
            "ANY" => None,
            method => Some(method.parse().map_err(|_| NoRoute)?),
        };
        Ok(Self {
            method,
            path: path.to_owned(),
            function: function.to_owned(),
        })
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.key(), self.function)
    }
}

/// `POST /2015-03-31/functions/{function}/invocations`: Lambda's `Invoke`.
async fn invoke(
    State(gateway): State<Gateway>,
    Path(function): Path<String>,
    event: Bytes,
) -> Response {
    let error = |error_type: String, message: String| {
        let body = json!({ "errorType": error_type, "errorMessage": message });
        ([("x-amz-function-error", "Unhandled")], Json(body)).into_response()
    };
    let event = if event.is_empty() {
        Bytes::from_static(b"{}")
    } else {
        event
    };
    match gateway.inner.invoke(&function, event).await {
        Outcome::Response(value) => Json(value).into_response(),
        Outcome::FunctionError {
            error_type,
            message,
        }
        | Outcome::InitError {
            error_type,
            message,
        } => error(error_type, message),
        Outcome::TimedOut => error("Sandbox.Timedout".to_owned(), "Task timed out".to_owned()),
        Outcome::Crashed { status } => error("Runtime.ExitError".to_owned(), status.to_string()),
        Outcome::Throttled => {
            let body = json!({ "Type": "User", "message": "Rate Exceeded." });
            (StatusCode::TOO_MANY_REQUESTS, Json(body)).into_response()
        }
        Outcome::NotFound => {
            let message = format!("Function not found: {function}");
            let body = json!({ "Type": "User", "Message": message });
            (StatusCode::NOT_FOUND, Json(body)).into_response()
        }
    }
}

/// Every other request: the route's function answers it.
async fn route(State(gateway): State<Gateway>, request: Request<Body>) -> Response {
    let (parts, body) = request.into_parts();
    let matching = gateway
        .routes
        .iter()
        .filter_map(|route| Some((route, route.parameters(&parts.method, parts.uri.path())?)));
    // The most particular one: few parameters, then a method of its own.
    let best = matching.min_by_key(|(route, _)| (route.n_parameters(), route.method.is_none()));
    let Some((route, parameters)) = best else {
        return refusal(StatusCode::NOT_FOUND, "Not Found");
    };
    let Ok(body) = to_bytes(body, MAX_REQUEST_BYTES).await else {
        return refusal(StatusCode::PAYLOAD_TOO_LARGE, "Request Too Long");
    };
    let event = event(&parts, &body, route, &parameters, Timestamp::now());
    match gateway
        .inner
        .invoke(&route.function, Bytes::from(event.to_string()))
        .await
    {
        Outcome::Response(value) => answer(value)
            .unwrap_or_else(|| refusal(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error")),
        Outcome::Throttled => refusal(StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable"),
        outcome @ (Outcome::FunctionError { .. }
        | Outcome::InitError { .. }
        | Outcome::TimedOut
        | Outcome::Crashed { .. }
        | Outcome::NotFound) => {
            tracing::warn!(
                function.name = route.function,
                ?outcome,
                "A function did not answer"
            );
            refusal(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error")
        }
    }
}

/// The event of a request.
fn event(
    parts: &Parts,
    body: &[u8],
    route: &Route,
    parameters: &BTreeMap<String, String>,
    now: Timestamp,
) -> Value {
    let path = parts.uri.path();
    let query = parts.uri.query().unwrap_or_default();
    let host = text(&parts.headers, header::HOST.as_str());
    let mut event = json!({
        "version": "2.0",
        "routeKey": route.key(),
        "rawPath": path,
        "rawQueryString": query,
        "headers": headers(&parts.headers),
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "local",
            "domainName": host,
            "domainPrefix": host.split('.').next(),
            "http": {
                "method": parts.method.as_str(),
                "path": path,
                "protocol": "HTTP/1.1",
                "sourceIp": "127.0.0.1",
                "userAgent": text(&parts.headers, header::USER_AGENT.as_str()),
            },
            "requestId": Uuid::new_v4().to_string(),
            "routeKey": route.key(),
            "stage": "$default",
            "time": now.to_zoned(TimeZone::UTC).strftime("%d/%b/%Y:%H:%M:%S %z").to_string(),
            "timeEpoch": now.as_millisecond(),
        },
        "isBase64Encoded": false,
    });
    // What is empty is absent.
    let mut put = |key: &str, value: Value| {
        if let Some(event) = event.as_object_mut() {
            event.insert(key.to_owned(), value);
        }
    };
    let cookies = cookies(&parts.headers);
    if !cookies.is_empty() {
        put("cookies", json!(cookies));
    }
    if !query.is_empty() {
        put("queryStringParameters", json!(query_parameters(query)));
    }
    if !parameters.is_empty() {
        put("pathParameters", json!(parameters));
    }
    match std::str::from_utf8(body) {
        Ok("") => {}
        Ok(body) if is_text(&parts.headers) => put("body", json!(body)),
        Ok(_) | Err(_) => {
            put("body", json!(BASE64_STANDARD.encode(body)));
            put("isBase64Encoded", json!(true));
        }
    }
    event
}

/// The HTTP answer that a function's answer asks for; none when it cannot be read.
fn answer(value: Value) -> Option<Response> {
    if value.get("statusCode").is_none() {
        // Whatever has no status is the body of a 200.
        return Some(Json(value).into_response());
    }
    let Answer {
        status_code,
        headers,
        multi_value_headers,
        cookies,
        body,
        is_base64_encoded,
    } = serde_json::from_value(value).ok()?;
    let mut response = Response::builder().status(status_code);
    for (name, value) in headers {
        response = response.header(name, value);
    }
    for (name, values) in multi_value_headers {
        for value in values {
            response = response.header(name.as_str(), value);
        }
    }
    for cookie in cookies {
        response = response.header(header::SET_COOKIE, cookie);
    }
    let body = body.unwrap_or_default();
    let body = if is_base64_encoded {
        BASE64_STANDARD.decode(body).ok()?
    } else {
        body.into_bytes()
    };
    response.body(Body::from(body)).ok()
}

/// All headers but cookies, in lower case, the values of one name joined by commas.
fn headers(headers: &HeaderMap) -> BTreeMap<&str, String> {
    let mut joined: BTreeMap<&str, String> = BTreeMap::new();
    for (name, value) in headers.iter().filter(|(name, _)| *name != header::COOKIE) {
        let value = String::from_utf8_lossy(value.as_bytes());
        joined
            .entry(name.as_str())
            .and_modify(|joined| {
                joined.push(',');
                joined.push_str(&value);
            })
            .or_insert_with(|| value.clone().into_owned());
    }
    joined
}

fn cookies(headers: &HeaderMap) -> Vec<String> {
    let values = headers
        .get_all(header::COOKIE)
        .into_iter()
        .filter_map(|value| value.to_str().ok());
    values
        .flat_map(|value| value.split(';'))
        .map(|cookie| cookie.trim().to_owned())
        .collect()
}

/// The decoded query; the values of one name joined by commas.
fn query_parameters(query: &str) -> BTreeMap<String, String> {
    let mut joined: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        joined
            .entry(name.into_owned())
            .and_modify(|joined| {
                joined.push(',');
                joined.push_str(&value);
            })
            .or_insert_with(|| value.clone().into_owned());
    }
    joined
}

/// Whether a body goes into the event as it is.
fn is_text(headers: &HeaderMap) -> bool {
    let content_type = text(headers, header::CONTENT_TYPE.as_str());
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    let is_known = [
        "",
        "application/json",
        "application/javascript",
        "application/xml",
    ];
    is_known.contains(&media_type) || media_type.starts_with("text/")
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers
        .get(name)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
}

/// The name in `{name}`.
fn parameter(segment: &str) -> Option<&str> {
    segment.strip_prefix('{')?.strip_suffix('}')
}

/// A segment of a path without its percent signs.
fn decode(segment: &str) -> String {
    // In a form a plus is a space; in a path it is a plus.
    let form = format!("={}", segment.replace('+', "%2B").replace('&', "%26"));
    form_urlencoded::parse(form.as_bytes())
        .map(|(_, value)| value.into_owned())
        .collect()
}

fn refusal(status: StatusCode, message: &str) -> Response {
    (status, Json(json!({ "message": message }))).into_response()
}

#[cfg(test)]
mod tests;
