//! The gateways: what each sends, and what each wants back.
//!
//! Netlify sends the form of API Gateway v1 without its `requestContext`, which `lambda_http`
//! does not take: it gets one here, and loses the nulls among its headers.

use std::convert::Infallible;
use std::net::IpAddr;

use ::http::header::{COOKIE, HeaderName};
use ::http::{HeaderMap, HeaderValue, Method};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use lambda_http::aws_lambda_events::query_map::QueryMap;
use lambda_http::request::{LambdaRequest, RequestOrigin};
use lambda_http::{Body, IntoResponse as _, TransformResponse};
use serde_json::{Map, Value, json};
use url::form_urlencoded;
use uuid::Uuid;

use super::{DEFAULT_BUDGET, Invocation, MARGIN, Request, Response, deadline};
use crate::Error;

const NETLIFY_REQUEST_ID: HeaderName = HeaderName::from_static("x-nf-request-id");
const NETLIFY_CLIENT: HeaderName = HeaderName::from_static("x-nf-client-connection-ip");
const NETLIFY_CLIENT_BEFORE: HeaderName = HeaderName::from_static("client-ip");
/// The longest id that is taken from outside.
const MAX_ID_LEN: usize = 128;

/// The form in which the gateway wants its answer.
pub(super) struct Form(RequestOrigin);

/// A request that was refused before it was one.
pub(super) struct Refused {
    pub(super) error: Error,
    pub(super) request_id: String,
}

/// What the forms have in common.
struct Parts {
    form: Form,
    id: Option<String>,
    method: Method,
    path: Option<String>,
    query: Vec<(String, String)>,
    headers: HeaderMap,
    body: Option<String>,
    is_base64: bool,
    source: Option<String>,
}

/// Reads an event of any gateway.
pub(super) fn read(event: Value, invocation: &Invocation) -> (Form, Result<Request, Refused>) {
    let is_netlify = is_netlify(&event);
    let lambda_id = invocation.id.clone();
    let Some(parts) = parse(event) else {
        let error = unprocessable(
            "not_http",
            "This is not a request that came through a gateway.",
        );
        let request_id = lambda_id.unwrap_or_else(fresh_id);
        return (
            Form(RequestOrigin::ApiGatewayV2),
            Err(Refused { error, request_id }),
        );
    };
    let Parts {
        form,
        id,
        method,
        path,
        query,
        headers,
        body,
        is_base64,
        source,
    } = parts;
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let netlify = |name| header(name).filter(|_| is_netlify).map(str::to_owned);
    let id = id
        .or_else(|| netlify(NETLIFY_REQUEST_ID))
        .filter(|id| is_id(id));
    let id = id.or(lambda_id).unwrap_or_else(fresh_id);
    let source = source
        .or_else(|| netlify(NETLIFY_CLIENT))
        .or_else(|| netlify(NETLIFY_CLIENT_BEFORE));
    let Some(body) = bytes(body.unwrap_or_default(), is_base64) else {
        let error = unprocessable("invalid_body", "The body is marked as base64, and is not.");
        return (
            form,
            Err(Refused {
                error,
                request_id: id,
            }),
        );
    };
    let request = Request {
        id,
        method,
        path: decoded(&path.unwrap_or_default()),
        query,
        headers,
        body,
        source: source.and_then(|source| source.trim().parse::<IpAddr>().ok()),
        deadline: deadline(invocation.deadline_ms, MARGIN, DEFAULT_BUDGET),
    };
    (form, Ok(request))
}

/// Whether a gateway could have sent it; what a schedule sends looks like nothing of the kind.
pub(crate) fn is_http(event: &Value) -> bool {
    let marks = [
        "httpMethod",
        "requestContext",
        "rawPath",
        "routeKey",
        "headers",
    ];
    marks.iter().any(|mark| event.get(mark).is_some())
}

/// Whether Netlify's scheduler sent it.
/// Netlify sets this header; through any other gateway a stranger could.
pub(crate) fn is_netlify_schedule(event: &Value) -> bool {
    let headers = event.get("headers").and_then(Value::as_object);
    let is_mark = |(name, value): (&String, &Value)| {
        name.eq_ignore_ascii_case("x-nf-event") && value.as_str() == Some("schedule")
    };
    is_netlify(event) && headers.is_some_and(|headers| headers.iter().any(is_mark))
}

impl Form {
    pub(super) async fn write(self, response: Response) -> Value {
        let response = response.map(|body| match String::from_utf8(body.into()) {
            Ok(text) => Body::Text(text),
            Err(error) => Body::Binary(error.into_bytes()),
        });
        let Ok(answer) = TransformResponse::<'_, ::http::Response<Body>, Infallible>::Response(
            self.0,
            response.into_response(),
        )
        .await;
        serde_json::to_value(answer).unwrap_or_else(|_| json!({ "statusCode": 500 }))
    }
}

/// API Gateway v1's form, with nothing in its context that only API Gateway knows.
fn is_netlify(event: &Value) -> bool {
    let has_method = event.get("httpMethod").is_some_and(Value::is_string);
    has_method
        && match event.get("requestContext") {
            None | Some(Value::Null) => true,
            Some(Value::Object(context)) => ["elb", "http", "identity", "requestId"]
                .iter()
                .all(|key| !context.contains_key(*key)),
            Some(_) => false,
        }
}

fn parse(mut event: Value) -> Option<Parts> {
    complete(event.as_object_mut()?);
    let text = event.to_string();
    let parts = match serde_json::from_str(&text).ok()? {
        LambdaRequest::ApiGatewayV1(it) => Parts {
            form: Form(RequestOrigin::ApiGatewayV1),
            id: it.request_context.request_id,
            method: it.http_method,
            path: it.path,
            query: pairs(
                &it.multi_value_query_string_parameters,
                &it.query_string_parameters,
            ),
            headers: merged(it.multi_value_headers, &it.headers),
            body: it.body,
            is_base64: it.is_base64_encoded,
            source: it.request_context.identity.source_ip,
        },
        LambdaRequest::ApiGatewayV2(it) => Parts {
            form: Form(RequestOrigin::ApiGatewayV2),
            id: it.request_context.request_id,
            method: it.request_context.http.method,
            path: it
                .raw_path
                .map(|path| without_stage(path, it.request_context.stage.as_deref())),
            query: parse_query(&it.raw_query_string.unwrap_or_default()),
            headers: with_cookies(it.headers, &it.cookies.unwrap_or_default()),
            body: it.body,
            is_base64: it.is_base64_encoded,
            source: it.request_context.http.source_ip,
        },
        LambdaRequest::Alb(it) => Parts {
            form: Form(RequestOrigin::Alb),
            id: None,
            method: it.http_method,
            path: it.path,
            query: decoded_pairs(&pairs(
                &it.multi_value_query_string_parameters,
                &it.query_string_parameters,
            )),
            headers: merged(it.multi_value_headers, &it.headers),
            body: it.body,
            is_base64: it.is_base64_encoded,
            source: None,
        },
        _ => return None,
    };
    Some(parts)
}

/// Gives Netlify's event what `lambda_http` misses in it.
fn complete(event: &mut Map<String, Value>) {
    keep(event, ["headers", "multiValueHeaders"], is_header);
    keep(
        event,
        ["queryStringParameters", "multiValueQueryStringParameters"],
        Value::is_string,
    );
    let Some(method @ Value::String(_)) = event.get("httpMethod").cloned() else {
        return;
    };
    let context = event.entry("requestContext").or_insert(Value::Null);
    if context.is_null() {
        *context = Value::Object(Map::new());
    }
    if let Some(context) = context
        .as_object_mut()
        // A load balancer's event has no such field, and a payload of version 2 must not get one,
        // though `cargo lambda watch` writes a method at the top of it, too.
        .filter(|context| !context.contains_key("elb") && !context.contains_key("http"))
    {
        context.entry("httpMethod").or_insert(method);
    }
}

/// Keeps what is good, in a map of values and in a map of lists of values.
/// One bad value would spoil the whole event.
fn keep(event: &mut Map<String, Value>, keys: [&str; 2], is_good: impl Fn(&Value) -> bool) {
    for key in keys {
        let Some(Value::Object(map)) = event.get_mut(key) else {
            continue;
        };
        for list in map.values_mut().filter_map(Value::as_array_mut) {
            list.retain(&is_good);
        }
        map.retain(|_, value| value.is_array() || is_good(value));
    }
}

fn is_header(value: &Value) -> bool {
    value
        .as_str()
        .is_some_and(|text| HeaderValue::from_bytes(text.as_bytes()).is_ok())
}

/// The headers with all their values; those that are only in the short list are added.
fn merged(mut all: HeaderMap, first: &HeaderMap) -> HeaderMap {
    for (name, value) in first {
        if !all.contains_key(name) {
            all.insert(name.clone(), value.clone());
        }
    }
    all
}

fn with_cookies(mut headers: HeaderMap, cookies: &[String]) -> HeaderMap {
    if let Ok(cookies) = HeaderValue::from_str(&cookies.join("; "))
        && !cookies.is_empty()
    {
        headers.insert(COOKIE, cookies);
    }
    headers
}

fn pairs(all: &QueryMap, first: &QueryMap) -> Vec<(String, String)> {
    let parameters = if all.is_empty() { first } else { all };
    parameters
        .iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// A load balancer passes the query on as it is.
fn decoded_pairs(pairs: &[(String, String)]) -> Vec<(String, String)> {
    let pairs = pairs.iter().map(|(name, value)| format!("{name}={value}"));
    parse_query(&pairs.collect::<Vec<_>>().join("&"))
}

fn parse_query(text: &str) -> Vec<(String, String)> {
    form_urlencoded::parse(text.as_bytes())
        .into_owned()
        .collect()
}

/// API Gateway v2 puts the name of the stage in front of the path, unless it is the default one.
fn without_stage(path: String, stage: Option<&str>) -> String {
    let rest = stage.and_then(|stage| path.strip_prefix('/')?.strip_prefix(stage));
    match rest {
        Some("") => "/".to_owned(),
        Some(rest) if rest.starts_with('/') => rest.to_owned(),
        _ => path,
    }
}

/// Decodes the path segment by segment.
/// A segment that would fall apart, or is no text, stays as it is: no route has one like it.
fn decoded(path: &str) -> String {
    let decode = |segment: &str| match percent_decoded(segment) {
        Some(text) if !text.contains('/') => text,
        _ => segment.to_owned(),
    };
    path.split('/').map(decode).collect::<Vec<_>>().join("/")
}

fn percent_decoded(segment: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let (digits, tail) = tail.split_at_checked(2)?;
        let [high, low] = digits else { return None };
        let digit = |byte: u8| char::from(byte).to_digit(16);
        bytes.push(u8::try_from(digit(*high)? * 16 + digit(*low)?).ok()?);
        rest = tail;
    }
    String::from_utf8(bytes).ok()
}

fn bytes(body: String, is_base64: bool) -> Option<Bytes> {
    if is_base64 {
        STANDARD.decode(body).ok().map(Bytes::from)
    } else {
        Some(body.into())
    }
}

fn unprocessable(code: &'static str, message: &str) -> Error {
    Error::Unprocessable {
        code,
        message: message.to_owned(),
        fields: Vec::new(),
    }
}

fn is_id(text: &str) -> bool {
    (1..=MAX_ID_LEN).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn fresh_id() -> String {
    Uuid::new_v4().to_string()
}
