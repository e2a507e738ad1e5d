//! Profile edits, in Clerk first (R11): `update-user` and `update-clerk-user`, and what `reconcile`
//! makes of the edits that stayed open.

mod callers;
mod fields;
mod in_clerk;
mod matrix;
mod outcomes;
mod passwords;
mod races;

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::Request;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use clerk_emulator::Emulator;
use reqwest::header::{HeaderMap, HeaderName};
use serde_json::{Value, json};
use shared::gate::Gate;
use shared::http;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio_postgres::NoTls;

use crate::support::TestApp;
use crate::support::app::settings_of;
use crate::support::database::Database;
use crate::support::gateway::{Answer, Call};

/// How long a request has when nobody says how long it may take.
const USUAL_TIME: Duration = Duration::from_secs(10);

/// A way to Clerk on which the answer to a change waits until the test lets it pass.
struct Held {
    url: String,
    has_changed: Arc<Notify>,
    may_answer: Arc<Notify>,
}

impl Held {
    async fn in_front_of(clerk: &Emulator) -> Self {
        let (has_changed, may_answer) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (changed, may) = (Arc::clone(&has_changed), Arc::clone(&may_answer));
        let clerk = clerk.url().to_owned();
        let http = reqwest::Client::new();
        let pass_on = async move |request: Request| {
            let is_change = request.method() == Method::PATCH;
            let answer = forward(&http, &clerk, request).await;
            if is_change {
                changed.notify_one();
                may.notified().await;
            }
            answer
        };
        Self {
            url: serve(Router::new().fallback(pass_on)).await,
            has_changed,
            may_answer,
        }
    }

    /// Clerk has made a change.
    async fn changed(&self) {
        self.has_changed.notified().await;
    }

    /// Does something after Clerk has made a change and before it says so.
    async fn meanwhile<T>(&self, work: impl Future<Output = T>) -> T {
        self.changed().await;
        let done = work.await;
        self.may_answer.notify_one();
        done
    }
}

/// A way to a Clerk that refuses every change with this.
async fn refusing(clerk: &Emulator, status: StatusCode, body: Value) -> String {
    let clerk = clerk.url().to_owned();
    let http = reqwest::Client::new();
    let answer = async move |request: Request| {
        if request.method() == Method::GET {
            forward(&http, &clerk, request).await
        } else {
            (status, body.to_string()).into_response()
        }
    };
    serve(Router::new().fallback(answer)).await
}

/// Listens until the test is over, and says where.
async fn serve(router: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async { axum::serve(listener, router).await });
    url
}

async fn forward(http: &reqwest::Client, server: &str, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    let mut headers = parts.headers;
    headers.remove("host");
    let sent = http
        .request(parts.method, format!("{server}{}", parts.uri))
        .headers(headers)
        .body(body);
    let answer = sent.send().await.unwrap();
    let status = answer.status();
    (status, answer.bytes().await.unwrap()).into_response()
}

/// A function of its own sandbox, with a connection of its own, that finds Clerk at this address.
fn gate(app: &TestApp, clerk_url: &str) -> Gate {
    let extra = [("CLERK_API_URL", clerk_url)];
    Gate::from_settings(&settings_of(&app.clerk, &app.database.url, &extra))
}

/// The request to edit a profile.
fn edit_call(app: &TestApp, caller: &str, user: &str, body: &Value) -> Call {
    Call::new("PATCH", &format!("/api/users/{user}"))
        .token(&app.clerk.session_token(caller))
        .json(body)
}

/// The request to edit a user in Clerk.
fn edit_in_clerk_call(app: &TestApp, caller: &str, user: &str, updates: &Value) -> Call {
    Call::new("POST", "/api/update-clerk-user")
        .token(&app.clerk.session_token(caller))
        .json(&json!({ "clerkId": user, "updates": updates }))
}

/// Edits a profile by a function in another sandbox.
async fn edit_by(gate: &Gate, app: &TestApp, caller: &str, user: &str, body: Value) -> Answer {
    let call = edit_call(app, caller, user, &body);
    let handler = |request| update_user::handle(gate, request);
    ask(&call, USUAL_TIME, handler).await
}

/// Calls a function that has so much time to answer. There is no gateway around it, so nothing is
/// written to the output but the log.
async fn ask<Fut>(call: &Call, time: Duration, handler: impl FnOnce(http::Request) -> Fut) -> Answer
where
    Fut: Future<Output = shared::Result<http::Response>>,
{
    let event = call.event();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut headers = HeaderMap::new();
    for (name, value) in event["headers"].as_object().unwrap() {
        let name: HeaderName = name.parse().unwrap();
        headers.insert(name, text(value).parse().unwrap());
    }
    let id = "request-1".to_owned();
    let request = http::Request {
        id: id.clone(),
        method: text(&event["requestContext"]["http"]["method"])
            .parse()
            .unwrap(),
        path: text(&event["rawPath"]),
        query: Vec::new(),
        headers,
        body: Bytes::from(text(&event["body"])),
        source: None,
        deadline: Instant::now() + time,
    };
    // Boxed: else whoever calls this has it in theirs.
    let answer = Box::pin(handler(request)).await;
    let answer = answer.unwrap_or_else(|error| http::refuse(&error, &id));
    let headers = answer.headers().iter();
    let headers = headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap().into()));
    Answer {
        status: answer.status().as_u16(),
        headers: Value::Object(headers.collect()),
        body: serde_json::from_slice(answer.body()).unwrap(),
    }
}

/// Takes the database away from the functions, and not from the test.
async fn take_database_away(app: &TestApp) {
    allow_connections(&app.database, false).await;
    let statement = "
        select pg_terminate_backend(pid, 5000)
        from pg_stat_activity
        where datname = current_database() and application_name = 'clerk-sync'";
    let ended = app.sql.query(statement, &[]).await.unwrap();
    assert!(!ended.is_empty(), "there was a connection to end");
}

async fn bring_database_back(app: &TestApp) {
    allow_connections(&app.database, true).await;
}

/// Nobody can do this from within the database itself.
async fn allow_connections(database: &Database, is_allowed: bool) {
    let (server, name) = database.url.rsplit_once('/').unwrap();
    let (client, connection) = tokio_postgres::connect(&format!("{server}/postgres"), NoTls)
        .await
        .unwrap();
    tokio::spawn(connection);
    let statement = format!("alter database {name} allow_connections {is_allowed}");
    client.batch_execute(&statement).await.unwrap();
}

/// A row of somebody who has no Clerk account; returns its UUID.
async fn without_account(app: &TestApp, name: &str) -> String {
    let statement = "
        insert into users (email, first_name)
        values ($1 || '@example.com', $1)
        returning id::text";
    app.one(statement, name).await
}

/// A row as JSON, by its UUID.
async fn row_by_id(app: &TestApp, id: &str) -> Value {
    let statement = "select to_jsonb(u) from users u where u.id::text = $1";
    let row = app.sql.query_one(statement, &[&id]).await.unwrap();
    row.get(0)
}

/// The UUID of a row, by Clerk id.
async fn uuid(app: &TestApp, clerk_id: &str) -> String {
    let statement = "select id::text from users where clerk_id = $1";
    app.one(statement, clerk_id).await
}

/// The intents of all edits, in their order, as JSON.
async fn intents(app: &TestApp) -> Vec<Value> {
    let statement = "select to_jsonb(e) from profile_edits e order by e.id";
    let rows = app.sql.query(statement, &[]).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

/// What became of all edits, in their order; null is open. What is closed holds no values any more.
async fn became(app: &TestApp) -> Vec<Value> {
    let intents = intents(app).await;
    for intent in &intents {
        let is_closed = !intent["outcome"].is_null();
        let is_empty = intent["payload"].is_null();
        assert_eq!(is_closed, is_empty, "{intent}");
    }
    intents
        .into_iter()
        .map(|intent| intent["outcome"].clone())
        .collect()
}

/// All that there is of a user on both sides, in Clerk and in the row, but for when they were there:
/// whoever asks for an edit is.
async fn both_sides(app: &TestApp, clerk_id: &str) -> (Value, Value) {
    let mut there = app.clerk.user(clerk_id).unwrap_or_default();
    if let Some(fields) = there.as_object_mut() {
        fields.retain(|name, _| !matches!(name.as_str(), "last_sign_in_at" | "last_active_at"));
    }
    (there, app.row(clerk_id).await)
}

/// Both names of a user are these on both sides.
#[track_caller]
fn assert_names((there, here): &(Value, Value), first: Option<&str>, last: Option<&str>) {
    let expected = (json!(first), json!(last));
    let names = |user: &Value| (user["first_name"].clone(), user["last_name"].clone());
    assert_eq!(names(there), expected, "in Clerk");
    assert_eq!(names(here), expected, "in the row");
}

/// The calls that asked Clerk to change something, such as `PATCH /v1/users/user_1`.
fn changes(app: &TestApp) -> Vec<String> {
    let requests = app.clerk.requests().into_iter();
    let changes = requests.filter(|call| call.method != "GET");
    changes
        .map(|call| format!("{} {}", call.method, call.path))
        .collect()
}

/// The answer refuses with this status and this code.
#[track_caller]
fn assert_refused(answer: &Answer, status: u16, code: &str) {
    let found = (answer.status, &answer.body["code"]);
    assert_eq!(found, (status, &json!(code)), "{}", answer.body);
    assert_ne!(answer.body["success"], true, "{}", answer.body);
}

/// The answer says that the edit was made, and where.
#[track_caller]
fn assert_done(answer: &Answer, status: u16, database_sync: &str) {
    let found = (
        answer.status,
        &answer.body["success"],
        &answer.body["databaseSync"],
    );
    let expected = (status, &json!(true), &json!(database_sync));
    assert_eq!(found, expected, "{}", answer.body);
}
