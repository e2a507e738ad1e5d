//! The functions as Lambda runs them: processes that start cold, freeze, are killed and come back.
//!
//! What they say to each caller is tested in process, elsewhere. Here it is what only a process
//! can get wrong: its start, its connections, its end in the middle of something, its output.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use clerk_emulator::{Effect, Emulator, Fault, Message, Options};
use lambda_host::{Function, Host, Outcome};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, mpsc};
use tokio::task::{JoinHandle, JoinSet};
use tokio_postgres::Client;

use crate::support::TestApp;
use crate::support::binaries::binary;
use crate::support::database::Database;
use crate::support::gateway::{Answer, Call};

const FUNCTIONS: [&str; 8] = [
    "clerk-webhook",
    "update-role",
    "update-user",
    "update-clerk-user",
    "admin-users",
    "admin-sync",
    "sync-user",
    "reconcile",
];

const ROUTES: [&str; 24] = [
    "ANY /api/webhooks/clerk=clerk-webhook",
    "PATCH /api/admin/users=update-role",
    "PATCH /api/admin/users/{userId}=update-role",
    "ANY /api/users/{userId}=update-user",
    "ANY /api/users/{userId}/email-change=update-user",
    "ANY /api/update-clerk-user=update-clerk-user",
    "GET /api/admin/users=admin-users",
    "GET /api/admin/users/{userId}=admin-users",
    "ANY /api/admin/sync/overview=admin-sync",
    "ANY /api/admin/sync/events=admin-sync",
    "ANY /api/admin/sync/events/{svixId}=admin-sync",
    "ANY /api/admin/sync/history/{id}=admin-sync",
    "ANY /api/admin/sync/replay=admin-sync",
    "ANY /api/admin/sync/reconcile=admin-sync",
    "ANY /api/admin/sync/reconcile/{runId}=admin-sync",
    "ANY /api/admin/sync/reconcile/{runId}/drift=admin-sync",
    "ANY /api/admin/sync/reconcile/{runId}/repair=admin-sync",
    "ANY /api/health=admin-sync",
    "ANY /api/sync/user=sync-user",
    "ANY /api/sync/user/{clerkUserId}=sync-user",
    "ANY /api/sync/organization/{clerkOrgId}=sync-user",
    "ANY /api/sync/organization/{clerkOrgId}/members=sync-user",
    "ANY /api/sync/membership=sync-user",
    "ANY /api/sync/status=sync-user",
];

/// Postgres trusts this machine and never asks for it.
const PASSWORD: &str = "hush-hush";

/// What somebody chooses to sign in with.
const CHOSEN: &str = "swordfish and 7 more";

/// What no line of a log may hold, in lower case: the people of these tests, what they choose, a
/// field of a body.
const PERSONAL: [&str; 5] = [
    "quirinus",
    "xanthippe",
    "swordfish",
    "@example.com",
    "email_addresses",
];

/// The functions as processes behind a gateway, between a real database and the emulator.
struct Deployed {
    app: Box<TestApp>,
    host: Host,
    gateway: String,
    http: reqwest::Client,
}

impl Deployed {
    async fn new() -> Self {
        Self::with(|function| function).await
    }

    /// With functions that are deployed otherwise than usual.
    async fn with(tune: impl Fn(Function) -> Function) -> Self {
        let app = TestApp::new().await;
        let url = app.database.url.clone();
        Self::at(app, &url, tune).await
    }

    /// With the functions behind another address of the database.
    async fn at(app: TestApp, url: &str, tune: impl Fn(Function) -> Function) -> Self {
        let settings = settings(&app.clerk, url);
        let function = |name| {
            let function = Function::new(name, binary(name));
            let with = |function: Function, (variable, value)| function.env(variable, value);
            tune(settings.iter().cloned().fold(function, with))
        };
        let host = host(FUNCTIONS.map(function));
        let routes = ROUTES.map(|route| route.parse().unwrap());
        let address = host.gateway(([127, 0, 0, 1], 0).into(), routes.to_vec());
        let gateway = format!("http://{}", address.await.unwrap());
        let http = reqwest::Client::new();
        Self {
            app: Box::new(app),
            host,
            gateway,
            http,
        }
    }

    /// One delivery through the gateway.
    async fn deliver(&self, message: &Message) -> Answer {
        let url = format!("{}/api/webhooks/clerk", self.gateway);
        let request = self.http.post(url).body(message.body.clone());
        let request = request.header("content-type", "application/json");
        let headers = self.app.clerk.sign(message).into_iter();
        let signed = headers.fold(request, |request, (name, value)| {
            request.header(name, value)
        });
        answer(signed).await
    }

    /// An admin sets a role through the gateway.
    async fn set_role(&self, admin: &str, user: &str, role: &str) -> Answer {
        let url = format!("{}/api/admin/users/{user}", self.gateway);
        let token = self.app.clerk.session_token(admin);
        let request = self.http.patch(url).bearer_auth(token);
        answer(request.json(&json!({ "role": role }))).await
    }

    /// Somebody edits a profile through the gateway.
    async fn edit(&self, caller: &str, user: &str, body: Value) -> Answer {
        let url = format!("{}/api/users/{user}", self.gateway);
        let token = self.app.clerk.session_token(caller);
        answer(self.http.patch(url).bearer_auth(token).json(&body)).await
    }

    /// Somebody edits a user in Clerk through the gateway.
    async fn edit_in_clerk(&self, caller: &str, user: &str, updates: Value) -> Answer {
        let url = format!("{}/api/update-clerk-user", self.gateway);
        let token = self.app.clerk.session_token(caller);
        let body = json!({ "clerkId": user, "updates": updates });
        answer(self.http.post(url).bearer_auth(token).json(&body)).await
    }

    /// An admin has another address invited through the gateway.
    async fn invite(&self, admin: &str, user: &str, email: &str) -> Answer {
        let url = format!("{}/api/users/{user}/email-change", self.gateway);
        let token = self.app.clerk.session_token(admin);
        let request = self.http.post(url).bearer_auth(token);
        answer(request.json(&json!({ "email": email }))).await
    }

    /// An admin asks something through the gateway.
    async fn get(&self, admin: &str, path: &str) -> Answer {
        let token = self.app.clerk.session_token(admin);
        let url = format!("{}{path}", self.gateway);
        answer(self.http.get(url).bearer_auth(token)).await
    }

    /// Somebody has something pulled from Clerk through the gateway: a request without a body.
    async fn sync(&self, user: &str, path: &str) -> Answer {
        let token = self.app.clerk.session_token(user);
        let url = format!("{}/api/sync/{path}", self.gateway);
        answer(self.http.post(url).bearer_auth(token)).await
    }

    /// One tick by the clock of EventBridge.
    async fn tick(&self) -> Outcome {
        self.host.invoke("reconcile", &tick()).await
    }

    /// The message of the one change that was made in Clerk.
    #[track_caller]
    fn message(&self) -> Message {
        let mut messages = self.app.clerk.take_messages();
        let message = messages.pop().expect("Clerk has something to tell");
        assert!(messages.is_empty(), "and no more than one thing");
        message
    }

    /// The one process of a function.
    #[track_caller]
    fn pid(&self, function: &str) -> u32 {
        match self.host.pids(function).as_slice() {
            &[pid] => pid,
            pids => panic!("{function} runs as {pids:?}"),
        }
    }

    /// A connection of the test's own that holds the row of a user until it is released.
    async fn hold(&self, clerk_id: &str) -> Client {
        let holder = self.app.database.connect().await;
        holder.batch_execute("begin").await.unwrap();
        let statement = "select from users where clerk_id = $1 for update";
        holder.query_one(statement, &[&clerk_id]).await.unwrap();
        holder
    }

    /// Waits until so many statements wait for a row that somebody holds.
    async fn held_up(&self, n_statements: i64) {
        let waiting = "pg_stat_activity
            where datname = current_database() and wait_event_type = 'Lock'";
        until("a statement waits", async || {
            self.app.count(waiting).await == n_statements
        })
        .await;
    }

    /// Ends the connections of the functions, and comes back when they are gone.
    async fn end_connections(&self) {
        let statement = "
            select pg_terminate_backend(pid, 5000)
            from pg_stat_activity
            where datname = current_database() and application_name = 'clerk-sync'";
        let ended = self.app.sql.query(statement, &[]).await.unwrap();
        assert!(!ended.is_empty(), "there was a connection to end");
    }

    /// Another process takes Clerk's place at the same address, with the same users and key.
    async fn restart_clerk(&mut self) {
        let old = &self.app.clerk;
        let options = || Options {
            listen: old.url().trim_start_matches("http://").parse().unwrap(),
            private_key_pem: Some(old.private_key_pem().unwrap()),
            ..Options::default()
        };
        let (options, users) = (options(), old.users());
        self.app.clerk = Emulator::start(Options::default()).await.unwrap();
        // The old one is on its way out.
        for _ in 0..500 {
            if let Ok(clerk) = Emulator::start(options.clone()).await {
                self.app.clerk = clerk;
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.app
            .clerk
            .seed_silently(users.iter().map(seed).collect());
    }

    /// Both sides are equal and the logs are clean; then the database goes.
    async fn finish(self) {
        self.assert_logs_are_clean();
        Box::pin(self.app.finish()).await;
    }

    #[track_caller]
    fn assert_logs_are_clean(&self) {
        let clerk = &self.app.clerk;
        let token = clerk.session_token(clerk.users()[0]["id"].as_str().unwrap());
        let (token_header, _) = token.split_once('.').unwrap();
        let secret = [
            PASSWORD,
            clerk.secret_key(),
            clerk.webhook_secret().trim_start_matches("whsec_"),
            token_header,
        ];
        for function in FUNCTIONS {
            for line in self.host.logs(function) {
                let parsed: Result<Value, _> = serde_json::from_str(&line);
                assert!(parsed.is_ok_and(|line| line.is_object()), "{line}");
                assert!(!secret.iter().any(|it| line.contains(it)), "{line}");
                // How an address looks is told without anybody's.
                let line = line.to_lowercase().replace("such as ada@example.com", "");
                assert!(!PERSONAL.iter().any(|it| line.contains(it)), "{line}");
            }
        }
    }
}

/// A way to the database that can be shut.
struct Door {
    server: String,
    url: String,
    address: String,
    task: JoinHandle<()>,
}

impl Door {
    /// An open one.
    async fn new(database: &Database) -> Self {
        let (user, rest) = database.url.split_once('@').unwrap();
        let (server, name) = rest.split_once('/').unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        Self {
            server: server.to_owned(),
            url: format!("{user}@{address}/{name}"),
            address,
            task: tokio::spawn(pass_on(listener, server.to_owned())),
        }
    }

    /// All connections end, and nobody listens.
    async fn shut(&mut self) {
        self.task.abort();
        let ended = (&mut self.task).await;
        assert!(ended.is_err_and(|error| error.is_cancelled()));
    }

    async fn open(&mut self) {
        let listener = TcpListener::bind(&self.address).await.unwrap();
        self.task = tokio::spawn(pass_on(listener, self.server.clone()));
    }
}

async fn pass_on(listener: TcpListener, server: String) {
    // They end with this task.
    let mut connections = JoinSet::new();
    while let Ok((mut near, _)) = listener.accept().await {
        let server = server.clone();
        connections.spawn(async move {
            let mut far = TcpStream::connect(server).await?;
            tokio::io::copy_bidirectional(&mut near, &mut far).await
        });
    }
}

fn host<const N: usize>(functions: [Function; N]) -> Host {
    Host::start(lambda_host::Options {
        functions: functions.into(),
    })
    .unwrap()
}

async fn answer(request: reqwest::RequestBuilder) -> Answer {
    let response = request.send().await.expect("the gateway answers");
    let status = response.status().as_u16();
    let text = response.text().await.unwrap();
    Answer {
        status,
        headers: Value::Null,
        body: serde_json::from_str(&text).unwrap_or_else(|_| json!(text)),
    }
}

/// The settings of every function; more than each of them reads.
fn settings(clerk: &Emulator, database_url: &str) -> [(&'static str, String); 7] {
    let (user, server) = database_url
        .split_once('@')
        .expect("an address with a user");
    [
        ("DATABASE_URL", format!("{user}:{PASSWORD}@{server}")),
        ("CLERK_API_URL", clerk.url().to_owned()),
        ("CLERK_SECRET_KEY", clerk.secret_key().to_owned()),
        ("CLERK_WEBHOOK_SECRET", clerk.webhook_secret().to_owned()),
        ("CLERK_JWT_KEY", clerk.jwt_key().to_owned()),
        ("CLERK_ISSUER", clerk.issuer()),
        ("CLERK_INSTANCE_ID", clerk.instance_id().to_owned()),
    ]
}

/// The answer to one event under a Runtime API whose deadlines lie in 1970, such as that of
/// `cargo lambda watch`.
async fn answer_in_1970(name: &str, clerk: &Emulator, database_url: &str, event: Value) -> Answer {
    let (send, mut answers) = mpsc::channel(1);
    let event = Arc::new(Mutex::new(Some(event)));
    let next = async move || {
        let headers = [
            ("lambda-runtime-aws-request-id", "1"),
            ("lambda-runtime-deadline-ms", "0"),
            (
                "lambda-runtime-invoked-function-arn",
                "arn:aws:lambda:us-east-1:1:function:f",
            ),
        ];
        let event = event.lock().await.take();
        match event {
            Some(event) => (headers, Json(event)),
            None => std::future::pending().await,
        }
    };
    let response = async move |answer: Bytes| {
        let answer: Value = serde_json::from_slice(&answer).unwrap();
        send.send(answer).await.expect("the test waits for it");
        StatusCode::ACCEPTED
    };
    let runtime_api = Router::new()
        .route("/2018-06-01/runtime/invocation/next", get(next))
        .route("/2018-06-01/runtime/invocation/1/response", post(response));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async { axum::serve(listener, runtime_api).await });
    let mut process = Command::new(binary(name))
        .env_clear()
        .envs(settings(clerk, database_url))
        .env("AWS_LAMBDA_RUNTIME_API", address)
        .env("AWS_LAMBDA_FUNCTION_NAME", name)
        .env("AWS_LAMBDA_FUNCTION_VERSION", "1")
        .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128")
        .spawn()
        .unwrap();
    let answer = tokio::time::timeout(Duration::from_secs(10), answers.recv()).await;
    process.kill().unwrap();
    process.wait().unwrap();
    Answer::read(&answer.expect("an answer in time").unwrap())
}

/// What a function answered to an event of a gateway.
#[track_caller]
fn answered(outcome: &Outcome) -> Answer {
    let Outcome::Response(response) = outcome else {
        panic!("{outcome:?}");
    };
    Answer::read(response)
}

/// A delivery as an event of API Gateway.
fn delivery(clerk: &Emulator, message: &Message) -> Value {
    let call = Call::new("POST", "/api/webhooks/clerk").headers(clerk.sign(message));
    call.header("content-type", "application/json")
        .body(&message.body)
        .event()
}

/// A request as Netlify sends it: API Gateway's REST form, without a context.
fn netlify(method: &str, path: &str, headers: &[(String, String)], body: &str) -> Value {
    let single = headers.iter().cloned();
    let multi = headers.iter().map(|(name, value)| (name.clone(), [value]));
    json!({
        "httpMethod": method,
        "path": path,
        "headers": single.collect::<BTreeMap<_, _>>(),
        "multiValueHeaders": multi.collect::<BTreeMap<_, _>>(),
        "queryStringParameters": {},
        "multiValueQueryStringParameters": {},
        "body": body,
        "isBase64Encoded": false,
    })
}

/// A request in the form of a recorded sample of a gateway: without a query, a body or a cookie.
fn sampled(sample: &str, method: &str, path: &str, token: &str) -> Value {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/gateway");
    let text = fs::read_to_string(format!("{folder}/{sample}.json")).unwrap();
    let mut event: Value = serde_json::from_str(&text).unwrap();
    let fields = event.as_object_mut().unwrap();
    fields.retain(|name, _| !name.to_lowercase().contains("query") && name != "cookies");
    fields.insert("body".to_owned(), Value::Null);
    fields.insert("isBase64Encoded".to_owned(), json!(false));
    let bearer = format!("Bearer {token}");
    for (name, value) in [
        ("headers", json!(bearer)),
        ("multiValueHeaders", json!([bearer])),
    ] {
        if let Some(headers) = fields.get_mut(name).and_then(Value::as_object_mut) {
            headers.retain(|name, _| !["cookie", "content-type"].contains(&&*name.to_lowercase()));
            headers.insert("authorization".to_owned(), value);
        }
    }
    if fields.contains_key("httpMethod") {
        fields.insert("httpMethod".to_owned(), json!(method));
    }
    if fields.contains_key("rawPath") {
        let context = &mut fields["requestContext"];
        context["http"]["method"] = json!(method);
        context["http"]["path"] = json!(path);
        fields.insert("rawPath".to_owned(), json!(path));
    } else {
        fields.insert("path".to_owned(), json!(path));
    }
    event
}

/// The event with a body.
fn with_json(mut event: Value, body: &Value) -> Value {
    let json = "application/json";
    for (name, value) in [
        ("headers", json!(json)),
        ("multiValueHeaders", json!([json])),
    ] {
        if let Some(headers) = event.get_mut(name).and_then(Value::as_object_mut) {
            headers.insert("content-type".to_owned(), value);
        }
    }
    event["body"] = json!(body.to_string());
    event
}

/// What EventBridge sends.
fn tick() -> Value {
    json!({
        "version": "0",
        "id": "53dc4d37-cffa-4f76-80c9-8b7d4a4d2eaa",
        "detail-type": "Scheduled Event",
        "source": "aws.events",
        "account": "123456789012",
        "time": "2026-11-21T00:00:00Z",
        "region": "us-east-1",
        "resources": ["arn:aws:events:us-east-1:123456789012:rule/reconcile"],
        "detail": {},
    })
}

/// A user of one emulator for the next.
fn seed(user: &Value) -> Value {
    json!({
        "id": user["id"],
        "email": user["email_addresses"][0]["email_address"],
        "first_name": user["first_name"],
        "last_name": user["last_name"],
        "public_metadata": user["public_metadata"],
        "created_at": user["created_at"],
        "updated_at": user["updated_at"],
    })
}

async fn until(what: &str, is_so: impl AsyncFn() -> bool) {
    for _ in 0..1_000 {
        if is_so().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it never came about that {what}");
}

async fn release(holder: Client) {
    holder.batch_execute("rollback").await.unwrap();
}

fn n_delivered(outcome: &Outcome) -> &Value {
    reported(outcome, "nDelivered")
}

fn n_settled(outcome: &Outcome) -> &Value {
    reported(outcome, "nSettled")
}

/// What a tick that ended well has to say of this.
#[track_caller]
fn reported<'a>(outcome: &'a Outcome, what: &str) -> &'a Value {
    match outcome {
        Outcome::Response(report) => &report[what],
        outcome => panic!("{outcome:?}"),
    }
}

#[tokio::test]
async fn a_change_goes_through_the_processes_in_both_directions() {
    let it = Deployed::new().await;
    for (name, role) in [("quirinus", "ADMIN"), ("xanthippe", "STUDENT")] {
        let email = format!("{name}@example.com");
        let user = json!({ "email": email, "first_name": name, "role": role });
        it.app.clerk.create_user(user);
        let message = it.message();
        let answer = it.deliver(&message).await;
        assert_eq!(
            (answer.status, answer.body),
            (200, json!({ "outcome": "applied" }))
        );
        let answer = it.deliver(&message).await;
        assert_eq!(
            (answer.status, answer.body),
            (200, json!({ "outcome": "duplicate" }))
        );
    }
    let users = it.app.clerk.users();
    let (quirinus, xanthippe) = (
        users[0]["id"].as_str().unwrap(),
        users[1]["id"].as_str().unwrap(),
    );
    let answer = it.set_role(quirinus, xanthippe, "INSTRUCTOR").await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(answer.body["clerkSync"], "synced");
    assert_eq!(it.app.clerk_role(xanthippe), "INSTRUCTOR");
    let echo = it.deliver(&it.message()).await;
    assert_eq!(echo.body, json!({ "outcome": "applied" }));
    let answer = it
        .get(quirinus, &format!("/api/admin/users/{xanthippe}"))
        .await;
    assert_eq!(
        (answer.status, &answer.body["user"]["role"]),
        (200, &json!("INSTRUCTOR"))
    );
    let answer = it.get(quirinus, "/api/admin/users").await;
    assert_eq!((answer.status, &answer.body["total"]), (200, &json!(2)));
    let answer = it.set_role(xanthippe, quirinus, "STUDENT").await;
    assert_eq!(
        (answer.status, &answer.body["code"]),
        (403, &json!("admin_required"))
    );
    it.finish().await;
}

#[tokio::test]
async fn an_organization_is_pulled_through_the_process_whatever_the_webhooks_do() {
    let it = Deployed::new().await;
    let quirinus = it.app.admin("quirinus").await;
    let xanthippe = it.app.user("xanthippe", Some("STUDENT")).await;
    let acme = it.app.clerk.silently(|clerk| {
        let new = json!({ "name": "Acme", "created_by": quirinus });
        let acme = clerk.create_organization(new)["id"].clone();
        clerk.add_member(acme.as_str().unwrap(), &xanthippe, "org:member");
        acme.as_str().unwrap().to_owned()
    });
    let outsider = it.app.user("socrates", None).await;
    let answer = it
        .sync(&outsider, &format!("organization/{acme}/members"))
        .await;
    assert_eq!(
        (answer.status, &answer.body["code"]),
        (403, &json!("member_required"))
    );
    let answer = it.sync(&xanthippe, "user").await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(answer.body["source"], "clerk");
    assert_eq!(answer.body["verified"], true);
    assert_eq!(answer.body["organizations"][0]["clerkId"], json!(acme));
    assert_eq!(answer.body["memberships"][0]["role"], "org:member");
    let answer = it
        .sync(&xanthippe, &format!("organization/{acme}/members"))
        .await;
    assert_eq!(
        (answer.status, &answer.body["members"]),
        (200, &json!({ "total": 2, "synced": 2, "ended": 0 }))
    );
    let answer = it.get(&quirinus, "/api/sync/status").await;
    assert_eq!(
        (answer.status, &answer.body["organizations"][0]["name"]),
        (200, &json!("Acme"))
    );
    let path = format!("/api/admin/users?organization={acme}");
    let answer = it.get(&quirinus, &path).await;
    assert_eq!((answer.status, &answer.body["total"]), (200, &json!(2)));
    it.finish().await;
}

#[tokio::test]
async fn a_pull_is_answered_in_the_form_of_each_gateway() {
    let it = Deployed::new().await;
    let xanthippe = it.app.user("xanthippe", Some("STUDENT")).await;
    let token = it.app.clerk.session_token(&xanthippe);
    for (sample, prefix) in [
        ("api_gateway_v1", ""),
        ("api_gateway_v2", ""),
        ("api_gateway_v2_stage", "/live"),
        ("function_url", ""),
        ("alb", ""),
        ("cargo_lambda_watch", ""),
        ("netlify", ""),
        ("netlify", "/.netlify/functions/sync-user"),
    ] {
        for (method, path, with_token, expected) in [
            ("POST", "/api/sync/user", true, 200),
            ("POST", "/api/sync/user/full", true, 200),
            ("GET", "/api/sync/status", true, 200),
            ("GET", "/api/sync/user", true, 405),
            ("POST", "/api/sync/user", false, 401),
            ("POST", "/api/sync/nothing", true, 404),
        ] {
            let token = if with_token { token.as_str() } else { "" };
            let event = sampled(sample, method, &format!("{prefix}{path}"), token);
            let answer = answered(&it.host.invoke("sync-user", &event).await);
            assert_eq!(
                answer.status, expected,
                "{sample}: {method} {prefix}{path}: {}",
                answer.body
            );
            if expected == 200 {
                assert_eq!(answer.body["user"]["clerkId"], json!(xanthippe));
            }
        }
    }
    it.finish().await;
}

#[tokio::test]
async fn an_edit_is_answered_in_the_form_of_each_gateway() {
    let it = Deployed::new().await;
    let quirinus = it.app.admin("quirinus").await;
    let token = it.app.clerk.session_token(&quirinus);
    for (n, (sample, prefix)) in [
        ("api_gateway_v1", ""),
        ("api_gateway_v2", ""),
        ("api_gateway_v2_stage", "/live"),
        ("function_url", ""),
        ("alb", ""),
        ("cargo_lambda_watch", ""),
        ("netlify", ""),
        ("netlify", "/.netlify/functions"),
    ]
    .into_iter()
    .enumerate()
    {
        // Clerk takes so many changes of one user and no more.
        let xanthippe = it.app.user(&format!("xanthippe{n}"), None).await;
        let profile = format!("/api/users/{xanthippe}");
        let change = format!("{profile}/email-change");
        let is_native = prefix.starts_with("/.netlify");
        let send = async |function: &str, method: &str, path: &str, body: Value| {
            let path = match (is_native, path) {
                // The documents call it so, without the path of the route.
                (true, "/api/update-clerk-user") => format!("{prefix}/{function}"),
                (true, path) => format!("{prefix}/{function}{path}"),
                (false, path) => format!("{prefix}{path}"),
            };
            let event = with_json(sampled(sample, method, &path, &token), &body);
            answered(&it.host.invoke(function, &event).await)
        };
        let name = format!("Xanthippe {n}");
        let answer = send(
            "update-user",
            "PATCH",
            &profile,
            json!({ "firstName": name }),
        )
        .await;
        assert_eq!(answer.status, 200, "{sample} {prefix}: {}", answer.body);
        assert_eq!(answer.body["databaseSync"], "synced");
        assert_eq!(answer.body["user"]["firstName"], name);
        let updates = json!({ "lastName": name });
        let body = json!({ "clerkId": xanthippe, "updates": updates });
        let answer = send("update-clerk-user", "POST", "/api/update-clerk-user", body).await;
        assert_eq!(answer.status, 200, "{sample} {prefix}: {}", answer.body);
        let user = json!({ "id": xanthippe, "firstName": name, "lastName": name });
        assert_eq!(answer.body["user"], user);
        let there = it.app.clerk.user(&xanthippe).unwrap();
        assert_eq!(there["first_name"], name);
        assert_eq!(there["last_name"], name);
        let address = json!({ "email": format!("xanthippe{n}@example.com") });
        let answer = send("update-user", "POST", &change, address).await;
        assert_eq!(
            (answer.status, &answer.body["code"]),
            (409, &json!("same_email")),
            "{sample} {prefix}"
        );
        let answer = send("update-user", "PUT", &profile, json!({})).await;
        assert_eq!(answer.status, 405, "{sample} {prefix}: {}", answer.body);
    }
    it.app.deliver_all().await;
    it.finish().await;
}

#[tokio::test]
async fn a_change_goes_through_the_processes_in_the_form_of_netlify() {
    let it = Deployed::new().await;
    let quirinus = it.app.admin("quirinus").await;
    let xanthippe = it.app.user("xanthippe", Some("STUDENT")).await;
    for (address, role) in [
        ("", "ADMIN"),
        ("/.netlify/functions/clerk-webhook", "INSTRUCTOR"),
    ] {
        it.app.clerk.set_role(&xanthippe, role);
        let message = it.message();
        let path = format!("{address}/api/webhooks/clerk");
        let event = netlify("POST", &path, &it.app.clerk.sign(&message), &message.body);
        let answer = answered(&it.host.invoke("clerk-webhook", &event).await);
        assert_eq!(
            (answer.status, answer.body),
            (200, json!({ "outcome": "applied" })),
            "{path}"
        );
        assert_eq!(it.app.role(&xanthippe).await, role);
    }
    let token = it.app.clerk.session_token(&quirinus);
    let headers = [
        ("authorization".to_owned(), format!("Bearer {token}")),
        ("content-type".to_owned(), "application/json".to_owned()),
    ];
    let path = format!("/api/admin/users/{xanthippe}");
    let event = netlify("PATCH", &path, &headers, r#"{"role":"STUDENT"}"#);
    let answer = answered(&it.host.invoke("update-role", &event).await);
    assert_eq!(
        (answer.status, &answer.body["clerkSync"]),
        (200, &json!("synced"))
    );
    assert_eq!(it.app.clerk_role(&xanthippe), "STUDENT");
    it.finish().await;
}

#[tokio::test]
async fn a_sandbox_without_settings_refuses_and_lives_on() {
    let function = Function::new("clerk-webhook", binary("clerk-webhook"));
    let host = host([function.env("DATABASE_URL", "postgres://app@127.0.0.1:1/app")]);
    let call = Call::new("POST", "/api/webhooks/clerk").json(&json!({}));
    for _ in 0..3 {
        let answer = answered(&host.invoke("clerk-webhook", &call.event()).await);
        assert_eq!(answer.status, 500);
        assert_eq!(answer.body["code"], "not_configured");
        assert_eq!(answer.body["error"], "Webhook verification not configured");
        assert_eq!(host.pids("clerk-webhook").len(), 1);
    }
    let pids = host.pids("clerk-webhook");
    host.invoke("clerk-webhook", &call.event()).await;
    assert_eq!(host.pids("clerk-webhook"), pids);
    for line in host.logs("clerk-webhook") {
        let line: Value = serde_json::from_str(&line).unwrap();
        assert!(line["level"].is_string(), "{line}");
    }
}

/// A call of each function that asks who is calling and then Clerk, and nothing is wrong with it.
fn good_calls() -> [(&'static str, Call); 4] {
    let names = json!({ "firstName": "Ada" });
    let updates = json!({ "clerkId": "user_1", "updates": names });
    let profile = "/api/users/user_1";
    [
        ("sync-user", Call::new("POST", "/api/sync/user")),
        ("update-user", Call::new("PATCH", profile).json(&names)),
        (
            "update-user",
            Call::new("GET", &format!("{profile}/email-change")),
        ),
        (
            "update-clerk-user",
            Call::new("POST", "/api/update-clerk-user").json(&updates),
        ),
    ]
}

#[tokio::test]
async fn a_sandbox_that_asks_clerk_refuses_without_settings_and_lives_on() {
    let clerk = Emulator::start(Options::default()).await.unwrap();
    let token = clerk.session_token(clerk.create_user(json!({}))["id"].as_str().unwrap());
    let database = ("DATABASE_URL", "postgres://app@127.0.0.1:1/app");
    let key = ("CLERK_JWT_KEY", clerk.jwt_key());
    for (settings, expected) in [
        (vec![], "Clerk authentication not configured"),
        (vec![database], "Clerk authentication not configured"),
        (vec![key], "Clerk authentication not configured"),
        (vec![key, database], "Clerk authentication not configured"),
        (
            vec![key, ("CLERK_SECRET_KEY", clerk.secret_key())],
            "Database not configured",
        ),
    ] {
        for (name, call) in good_calls() {
            let function = Function::new(name, binary(name));
            let with = |function: Function, (variable, value): &(&str, &str)| {
                function.env(*variable, *value)
            };
            let host = host([settings.iter().fold(function, with)]);
            let call = call.token(&token);
            for _ in 0..2 {
                let answer = answered(&host.invoke(name, &call.event()).await);
                assert_eq!(
                    (answer.status, &answer.body["code"]),
                    (500, &json!("not_configured")),
                    "{name}"
                );
                assert_eq!(answer.body["error"], expected, "{name}: {settings:?}");
            }
            assert_eq!(host.pids(name).len(), 1, "{name} lives on");
            for line in host.logs(name) {
                assert!(
                    !line.contains(clerk.secret_key()) && !line.contains(&token),
                    "{line}"
                );
            }
        }
    }
}

#[tokio::test]
async fn a_sandbox_that_asks_clerk_and_refuses_has_connected_nowhere() {
    let clerk = Emulator::start(Options::default()).await.unwrap();
    let listener = || {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address)
    };
    let (database, database_address) = listener();
    let (api, api_address) = listener();
    let function = |name| {
        Function::new(name, binary(name))
            .env(
                "DATABASE_URL",
                format!("postgres://app@{database_address}/app"),
            )
            .env("CLERK_API_URL", format!("http://{api_address}"))
            .env("CLERK_SECRET_KEY", clerk.secret_key())
            .env("CLERK_JWT_KEY", clerk.jwt_key())
    };
    let host = host(["sync-user", "update-user", "update-clerk-user"].map(function));
    for (name, method, path, expected) in [
        ("sync-user", "GET", "/api/sync/user", 405),
        ("sync-user", "POST", "/api/sync/user", 401),
        ("sync-user", "GET", "/api/sync/status", 401),
        ("sync-user", "POST", "/api/sync/nothing", 404),
        ("update-user", "GET", "/api/users/user_1", 405),
        ("update-user", "PATCH", "/api/users/user_1", 401),
        ("update-user", "POST", "/api/users/user_1/email-change", 401),
        ("update-user", "PATCH", "/api/users", 404),
        ("update-clerk-user", "GET", "/api/update-clerk-user", 405),
        ("update-clerk-user", "POST", "/api/update-clerk-user", 401),
        ("update-clerk-user", "POST", "/api/update-clerk-user/x", 404),
    ] {
        let event = Call::new(method, path).event();
        let answer = answered(&host.invoke(name, &event).await);
        assert_eq!(answer.status, expected, "{method} {path}");
    }
    // Who had connected would wait in the queue.
    for listener in [database, api] {
        let waiting = listener.accept().map_err(|error| error.kind());
        assert_eq!(waiting.unwrap_err(), std::io::ErrorKind::WouldBlock);
    }
}

#[tokio::test]
async fn a_sandbox_connects_at_its_first_need_and_not_before() {
    let clerk = Emulator::start(Options::default()).await.unwrap();
    let database = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    database.set_nonblocking(true).unwrap();
    let url = format!(
        "postgres://app:{PASSWORD}@{}/app",
        database.local_addr().unwrap()
    );
    let function = Function::new("clerk-webhook", binary("clerk-webhook"))
        .env("DATABASE_URL", url)
        .env("CLERK_WEBHOOK_SECRET", clerk.webhook_secret());
    let host = host([function]);

    let call = Call::new("GET", "/api/webhooks/clerk");
    let answer = answered(&host.invoke("clerk-webhook", &call.event()).await);
    assert_eq!(answer.status, 405);
    let pids = host.pids("clerk-webhook");
    // Who had connected would wait in the queue.
    let waiting = database.accept().map_err(|error| error.kind());
    assert_eq!(waiting.unwrap_err(), std::io::ErrorKind::WouldBlock);

    clerk.create_user(json!({ "email": "quirinus@example.com" }));
    let message = clerk.take_messages().remove(0);
    let database = TcpListener::from_std(database).unwrap();
    let hang_up = async {
        let mut n_accepted = 0;
        while let Ok((connection, _)) = database.accept().await {
            drop(connection);
            n_accepted += 1;
            if n_accepted == 2 {
                break;
            }
        }
        drop(database);
    };
    let event = delivery(&clerk, &message);
    let (outcome, ()) = tokio::join!(host.invoke("clerk-webhook", &event), hang_up);
    let answer = answered(&outcome);
    assert_eq!(
        (answer.status, &answer.body["code"]),
        (503, &json!("database_unavailable"))
    );

    let answer = answered(&host.invoke("clerk-webhook", &event).await);
    assert_eq!(
        (answer.status, &answer.body["code"]),
        (503, &json!("database_unavailable"))
    );
    assert_eq!(host.pids("clerk-webhook"), pids, "it lives on");
    assert!(
        !host
            .logs("clerk-webhook")
            .iter()
            .any(|line| line.contains(PASSWORD))
    );
}

#[tokio::test]
async fn a_thawed_sandbox_finds_its_database_connection_dead_and_works_at_once() {
    let it = Deployed::new().await;
    let quirinus = it.app.admin("quirinus").await;
    let xanthippe = it.app.user("xanthippe", Some("STUDENT")).await;
    it.app
        .clerk
        .update_user(&xanthippe, json!({ "last_name": "warm" }));
    assert_eq!(it.deliver(&it.message()).await.status, 200);
    assert_eq!(
        it.set_role(&quirinus, &xanthippe, "ADMIN").await.status,
        200
    );
    assert_eq!(it.deliver(&it.message()).await.status, 200);
    assert_eq!(it.sync(&xanthippe, "user").await.status, 200);
    let group = |name: &str| json!({ "firstName": name, "builderGroupId": name });
    let answer = it.edit(&quirinus, &xanthippe, group("warm")).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(it.deliver(&it.message()).await.status, 200);
    let thawed = ["clerk-webhook", "update-role", "sync-user", "update-user"];
    let pids = thawed.map(|function| it.pid(function));
    for role in ["INSTRUCTOR", "STUDENT", "ADMIN"] {
        for function in thawed {
            it.host.freeze(function).await;
        }
        it.end_connections().await;
        it.app
            .clerk
            .update_user(&xanthippe, json!({ "last_name": role }));
        let answer = it.deliver(&it.message()).await;
        assert_eq!(
            (answer.status, answer.body),
            (200, json!({ "outcome": "applied" }))
        );
        let answer = it.set_role(&quirinus, &xanthippe, role).await;
        assert_eq!(
            (answer.status, &answer.body["clerkSync"]),
            (200, &json!("synced"))
        );
        assert_eq!(it.app.role(&xanthippe).await, role);
        assert_eq!(it.app.row(&xanthippe).await["last_name"], role);
        it.deliver(&it.message()).await;
        let answer = it.sync(&xanthippe, "user").await;
        assert_eq!(
            (answer.status, &answer.body["verified"]),
            (200, &json!(true))
        );
        let answer = it.edit(&quirinus, &xanthippe, group(role)).await;
        assert_eq!(
            (answer.status, &answer.body["databaseSync"]),
            (200, &json!("synced")),
            "{}",
            answer.body
        );
        assert_eq!(it.app.row(&xanthippe).await["builder_group_id"], role);
        it.deliver(&it.message()).await;
    }
    let still = thawed.map(|function| it.pid(function));
    assert_eq!(still, pids);
    it.finish().await;
}

#[tokio::test]
async fn a_thawed_sandbox_finds_its_connection_to_clerk_dead_and_works_at_once() {
    let mut it = Deployed::new().await;
    let quirinus = it.app.admin("quirinus").await;
    let xanthippe = it.app.user("xanthippe", Some("STUDENT")).await;
    let answer = it.set_role(&quirinus, &xanthippe, "ADMIN").await;
    assert_eq!(answer.body["clerkSync"], "synced", "{}", answer.body);
    assert_eq!(it.sync(&xanthippe, "user").await.body["source"], "clerk");
    let name = |name: &str| json!({ "firstName": name });
    let answer = it.edit(&quirinus, &xanthippe, name("warm")).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let thawed = ["update-role", "sync-user", "update-user"];
    let pids = thawed.map(|function| it.pid(function));
    for (role, is_frozen) in [("INSTRUCTOR", true), ("STUDENT", false), ("ADMIN", true)] {
        if is_frozen {
            for function in thawed {
                it.host.freeze(function).await;
            }
        }
        it.restart_clerk().await;
        let answer = it.set_role(&quirinus, &xanthippe, role).await;
        assert_eq!(
            answer.body["clerkSync"], "synced",
            "{role}: {}",
            answer.body
        );
        assert_eq!(it.app.clerk_role(&xanthippe), role);
        let answer = it.sync(&xanthippe, "user").await;
        assert_eq!(
            (answer.status, &answer.body["source"]),
            (200, &json!("clerk")),
            "{role}: {}",
            answer.body
        );
        let answer = it.edit(&quirinus, &xanthippe, name(role)).await;
        assert_eq!(
            (answer.status, &answer.body["databaseSync"]),
            (200, &json!("synced")),
            "{role}: {}",
            answer.body
        );
        let there = it.app.clerk.user(&xanthippe).unwrap();
        assert_eq!(there["first_name"], role);
    }
    let still = thawed.map(|function| it.pid(function));
    assert_eq!(still, pids);
    it.finish().await;
}

/// The role is stored and owed before Clerk is called, whatever became of that call.
#[tokio::test]
async fn a_sandbox_killed_while_it_pushes_a_role_loses_nothing() {
    let late = Duration::from_secs(20);
    // Clerk has the role already, or does not.
    for (effect, n_pushes) in [(Effect::Slow(late), 1), (Effect::DelayBefore(late), 2)] {
        let it = Deployed::new().await;
        let quirinus = it.app.admin("quirinus").await;
        let xanthippe = it.app.user("xanthippe", Some("STUDENT")).await;
        let clerk = &it.app.clerk;
        clerk.fault(Fault::new(effect.clone()).on("PATCH", "/v1/users").once());
        let pushes = || {
            let is_push = |call: &clerk_emulator::Request| call.method == "PATCH";
            clerk.requests().into_iter().filter(is_push).count()
        };
        let kill = async {
            until("Clerk is called", async || pushes() == 1).await;
            it.host.kill("update-role").await;
        };
        let (answer, ()) = tokio::join!(it.set_role(&quirinus, &xanthippe, "INSTRUCTOR"), kill);
        assert_eq!(answer.status, 500);
        assert_eq!(answer.body, json!({ "message": "Internal Server Error" }));
        assert_eq!(it.app.role(&xanthippe).await, "INSTRUCTOR", "{effect:?}");
        let leased = "outbox where leased_until > now() and completed_at is null";
        assert_eq!(it.app.count(leased).await, 1);

        assert_eq!(n_delivered(&it.tick().await), 0, "leased");
        it.app
            .execute("update outbox set leased_until = now() - interval '1 second'")
            .await;
        assert_eq!(n_delivered(&it.tick().await), 1, "{effect:?}");
        assert_eq!(it.app.clerk_role(&xanthippe), "INSTRUCTOR");
        assert_eq!(pushes(), n_pushes, "{effect:?}");
        let answer = it.set_role(&quirinus, &xanthippe, "ADMIN").await;
        assert_eq!(answer.body["clerkSync"], "synced");
        it.finish().await;
    }
}

/// When a sandbox of `update-user` is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Killed {
    /// Clerk has not done it yet, and never will.
    OnTheWay,
    /// Clerk has done it, and has not answered yet.
    Unanswered,
    /// Clerk has answered, and what it says is being written.
    Answered,
}

/// What shall change is written down before Clerk is called: Clerk then shows what became of it, and
/// is not told a second time.
#[tokio::test]
async fn a_sandbox_killed_while_it_edits_a_profile_leaves_it_to_be_settled_and_never_sent_again() {
    let late = Duration::from_secs(20);
    for (killed, effect, is_done) in [
        (Killed::OnTheWay, Effect::DelayBefore(late), false),
        (Killed::Unanswered, Effect::Slow(late), true),
        // As long as it takes to get hold of the row.
        (Killed::Answered, Effect::Slow(Duration::from_secs(1)), true),
    ] {
        let it = Deployed::new().await;
        let quirinus = it.app.admin("quirinus").await;
        let xanthippe = it.app.user("xanthippe", Some("STUDENT")).await;
        let clerk = &it.app.clerk;
        clerk.fault(Fault::new(effect).on("PATCH", "/v1/users").once());
        let calls = || {
            let is_change = |call: &clerk_emulator::Request| call.method == "PATCH";
            clerk.requests().into_iter().filter(is_change).count()
        };
        let kill = async {
            until("Clerk is called", async || calls() == 1).await;
            if killed == Killed::Answered {
                let holder = it.hold(&xanthippe).await;
                it.held_up(1).await;
                it.host.kill("update-user").await;
                // Postgres would go on for who is dead.
                it.end_connections().await;
                release(holder).await;
            } else {
                it.host.kill("update-user").await;
            }
        };
        let edit = json!({ "firstName": "Thea", "builderGroupId": "group", "password": CHOSEN });
        let (answer, ()) = tokio::join!(it.edit(&quirinus, &xanthippe, edit), kill);
        assert_eq!(answer.status, 500, "{killed:?}");
        let seen = clerk.user(&xanthippe).unwrap();
        let name = if is_done { "Thea" } else { "xanthippe" };
        assert_eq!(seen["first_name"], name, "{killed:?}");
        assert_eq!(seen["password_enabled"], is_done, "{killed:?}");
        let before = it.app.row(&xanthippe).await;
        assert_eq!(before["first_name"], "xanthippe", "{killed:?}");
        assert_eq!(before["builder_group_id"], Value::Null, "{killed:?}");

        // Whoever asked may still be at it, as far as anybody can tell.
        assert_eq!(n_settled(&it.tick().await), 0, "{killed:?}");
        let open = "profile_edits where closed_at is null";
        assert_eq!(it.app.count(open).await, 1, "{killed:?}");
        it.app.forget_waits().await;
        assert_eq!(n_settled(&it.tick().await), 1, "{killed:?}");
        let row = it.app.row(&xanthippe).await;
        assert_eq!(row["first_name"], name, "{killed:?}");
        let group = is_done.then_some("group");
        assert_eq!(row["builder_group_id"], json!(group), "{killed:?}");
        let outcome = if is_done { "done" } else { "not_done" };
        let closed = format!("profile_edits where outcome = '{outcome}' and payload is null");
        assert_eq!(it.app.count(&closed).await, 1, "{killed:?}");
        it.app.forget_waits().await;
        assert_eq!(n_settled(&it.tick().await), 0, "{killed:?}");
        assert_eq!(calls(), 1, "{killed:?}: it was sent once");

        let answer = it
            .edit(&quirinus, &xanthippe, json!({ "firstName": "Thekla" }))
            .await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert_eq!(it.app.row(&xanthippe).await["first_name"], "Thekla");
        it.finish().await;
    }
}

/// The row has moved before anything else is done, and what is left to do is written with the move.
#[tokio::test]
async fn a_sandbox_killed_in_the_middle_of_a_move_leaves_the_rest_to_the_next_tick() {
    let late = Duration::from_secs(20);
    // The old account is removed already, or is not.
    for effect in [Effect::Slow(late), Effect::DelayBefore(late)] {
        let it = Deployed::new().await;
        let quirinus = it.app.admin("quirinus").await;
        let xanthippe = it.app.user("xanthippe", Some("INSTRUCTOR")).await;
        let acme = it.app.clerk.silently(|clerk| {
            let new = json!({ "name": "Acme", "created_by": xanthippe });
            clerk.create_organization(new)["id"].clone()
        });
        let acme = acme.as_str().unwrap();
        assert_eq!(it.sync(&xanthippe, "user").await.status, 200);
        let address = "xanthippe@athens.example.com";
        let answer = it.invite(&quirinus, &xanthippe, address).await;
        assert_eq!(answer.status, 202, "{}", answer.body);
        let id = answer.body["emailChange"]["userId"].clone();
        let statement = "select invitation_id from email_changes";
        let invitation = it.app.sql.query_one(statement, &[]).await.unwrap();
        let new = it.app.clerk.accept_invitation(invitation.get(0));
        let new = new["id"].as_str().unwrap().to_owned();
        let message = it.message();
        let fault = Fault::new(effect.clone()).on("DELETE", "/v1/users");
        it.app.clerk.fault(fault.once());
        let kill = async {
            until("Clerk is asked to remove the old account", async || {
                let requests = it.app.clerk.requests();
                requests.iter().any(|call| call.method == "DELETE")
            })
            .await;
            it.host.kill("clerk-webhook").await;
        };
        let (answer, ()) = tokio::join!(it.deliver(&message), kill);
        assert_eq!(answer.status, 500);
        let row = it.app.row(&new).await;
        assert_eq!((&row["id"], &row["role"]), (&id, &json!("INSTRUCTOR")));
        let moved = "email_changes where state = 'moved'";
        assert_eq!(it.app.count(moved).await, 1, "{effect:?}");
        let answer = it.deliver(&message).await;
        assert_eq!(answer.body, json!({ "outcome": "duplicate" }));

        it.app.forget_waits().await;
        assert_eq!(n_settled(&it.tick().await), 1, "{effect:?}");
        let path = format!("/api/users/{}/email-change", id.as_str().unwrap());
        let answer = it.get(&quirinus, &path).await;
        assert_eq!(answer.body["emailChange"]["state"], "done", "{effect:?}");
        assert_eq!(it.app.clerk.user(&xanthippe), None, "{effect:?}");
        let there = it.app.clerk.user(&new).unwrap();
        assert_eq!(there["first_name"], "xanthippe");
        assert!(it.app.clerk.membership(acme, &new).is_some(), "{effect:?}");
        it.finish().await;
    }
}

/// What a walk owes is written before Clerk is asked: whoever comes next goes on.
#[tokio::test]
async fn a_sandbox_killed_while_it_walks_leaves_the_walk_to_the_next_tick() {
    let it = Deployed::new().await;
    let quirinus = it.app.admin("quirinus").await;
    let acme = it.app.clerk.silently(|clerk| {
        let new = json!({ "name": "Acme", "created_by": quirinus });
        clerk.create_organization(new)["id"].clone()
    });
    let acme = acme.as_str().unwrap();
    let path = format!("organization/{acme}/members");
    let list = format!("/v1/organizations/{acme}/memberships");
    let late = Effect::DelayBefore(Duration::from_secs(20));
    it.app.clerk.clear_requests();
    it.app.clerk.fault(Fault::new(late).on("GET", &list).once());
    let kill = async {
        until("Clerk is asked", async || {
            let requests = it.app.clerk.requests();
            requests.iter().any(|call| call.path == list)
        })
        .await;
        it.host.kill("sync-user").await;
    };
    let (answer, ()) = tokio::join!(it.sync(&quirinus, &path), kill);
    assert_eq!(answer.status, 500);
    let owed = "organizations where members_refetch_at is not null";
    assert_eq!(it.app.count(owed).await, 1);
    assert_eq!(it.app.count("memberships").await, 0);
    it.app.forget_waits().await;
    let Outcome::Response(report) = it.tick().await else {
        panic!("the tick ends well");
    };
    assert_eq!(report["nWalked"], 1, "{report}");
    assert_eq!(it.app.count(owed).await, 0);
    assert_eq!(it.sync(&quirinus, &path).await.status, 200);
    it.finish().await;
}

/// Postgres may finish what a dead client had asked for, or not: all of it or nothing.
#[tokio::test]
async fn a_sandbox_killed_in_the_middle_of_a_delivery_stores_all_of_it_or_nothing() {
    for is_connection_ended in [false, true] {
        let it = Deployed::new().await;
        let xanthippe = it.app.user("xanthippe", Some("STUDENT")).await;
        it.app.clerk.set_role(&xanthippe, "INSTRUCTOR");
        let message = it.message();
        let holder = it.hold(&xanthippe).await;
        let kill = async {
            it.held_up(1).await;
            it.host.kill("clerk-webhook").await;
        };
        let (answer, ()) = tokio::join!(it.deliver(&message), kill);
        assert_eq!(answer.status, 500);
        if is_connection_ended {
            it.end_connections().await;
        }
        release(holder).await;
        let at_work = "pg_stat_activity
            where datname = current_database() and state <> 'idle' and pid <> pg_backend_pid()";
        until("the database is at rest", async || {
            it.app.count(at_work).await == 0
        })
        .await;

        let is_taken_in = !it.app.inbox(&message.id).await.is_null();
        let is_changed = it.app.role(&xanthippe).await == "INSTRUCTOR";
        assert_eq!(is_taken_in, is_changed);
        assert!(!(is_connection_ended && is_changed));
        let answer = it.deliver(&message).await;
        let expected = if is_changed { "duplicate" } else { "applied" };
        assert_eq!(answer.body, json!({ "outcome": expected }));
        assert_eq!(it.app.role(&xanthippe).await, "INSTRUCTOR");
        let changes = "role_changes where new_role = 'INSTRUCTOR'";
        assert_eq!(it.app.count(changes).await, 1);
        it.finish().await;
    }
}

#[tokio::test]
async fn a_sandbox_that_takes_too_long_is_killed_and_the_next_one_works() {
    let it = Deployed::with(|function| Function {
        timeout: Duration::from_secs(2),
        ..function
    })
    .await;
    let xanthippe = it.app.user("xanthippe", Some("STUDENT")).await;
    it.app.clerk.set_role(&xanthippe, "ADMIN");
    it.deliver(&it.message()).await;
    let pid = it.pid("clerk-webhook");
    it.app.clerk.set_role(&xanthippe, "INSTRUCTOR");
    let message = it.message();
    let holder = it.hold(&xanthippe).await;
    let event = delivery(&it.app.clerk, &message);
    let outcome = it.host.invoke("clerk-webhook", &event).await;
    assert_eq!(outcome, Outcome::TimedOut);
    release(holder).await;
    let answer = it.deliver(&message).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(it.app.role(&xanthippe).await, "INSTRUCTOR");
    let changes = "role_changes where new_role = 'INSTRUCTOR'";
    assert_eq!(it.app.count(changes).await, 1);
    assert_ne!(it.pid("clerk-webhook"), pid);
    it.finish().await;
}

/// Also when Clerk has to be asked about the admin first.
#[tokio::test]
async fn a_silent_clerk_does_not_cost_the_answer_before_the_timeout() {
    let timeout = Duration::from_secs(3);
    for freshness in ["300", "0"] {
        let it = Deployed::with(|function| Function {
            timeout,
            ..function.env("ADMIN_FRESHNESS_SECONDS", freshness)
        })
        .await;
        let quirinus = it.app.admin("quirinus").await;
        let xanthippe = it.app.user("xanthippe", Some("STUDENT")).await;
        it.app.clerk.fault(Fault::slow(Duration::from_secs(20)));
        let begun = Instant::now();
        let answer = it.set_role(&quirinus, &xanthippe, "INSTRUCTOR").await;
        let took = begun.elapsed();
        assert_eq!(
            answer.status, 200,
            "{freshness}: {} after {took:?}",
            answer.body
        );
        assert_eq!(answer.body["clerkSync"], "pending");
        assert_eq!(it.app.role(&xanthippe).await, "INSTRUCTOR");
        assert_eq!(it.host.pids("update-role").len(), 1, "it was not killed");
        for path in ["user", &format!("user/{xanthippe}")] {
            let answer = it.sync(&quirinus, path).await;
            assert_eq!(
                (answer.status, &answer.body["source"]),
                (200, &json!("database")),
                "{path}: {}",
                answer.body
            );
            assert_eq!(answer.body["isComplete"], false);
        }
        assert_eq!(it.host.pids("sync-user").len(), 1, "it was not killed");
        it.app.clerk.clear_faults();
        it.finish().await;
    }
}

#[tokio::test]
async fn a_deadline_of_1970_is_none() {
    let app = TestApp::new().await;
    let quirinus = app.admin("quirinus").await;
    let xanthippe = app.user("xanthippe", Some("STUDENT")).await;
    let path = format!("/api/admin/users/{xanthippe}");
    for (role, expected) in [("INSTRUCTOR", "synced"), ("ADMIN", "pending")] {
        if expected == "pending" {
            app.clerk.fault(Fault::slow(Duration::from_secs(20)));
        }
        let token = app.clerk.session_token(&quirinus);
        let call = Call::new("PATCH", &path)
            .token(&token)
            .json(&json!({ "role": role }));
        let url = &app.database.url;
        let answer = answer_in_1970("update-role", &app.clerk, url, call.event()).await;
        assert_eq!(
            (answer.status, &answer.body["clerkSync"]),
            (200, &json!(expected))
        );
        assert_eq!(app.role(&xanthippe).await, role);
    }
    app.clerk.clear_faults();
    app.finish().await;
}

#[tokio::test]
async fn two_sandboxes_take_in_the_same_delivery_once() {
    let it = Deployed::with(|function| Function {
        max_concurrency: 2,
        ..function
    })
    .await;
    let xanthippe = it.app.user("xanthippe", Some("STUDENT")).await;
    it.app.clerk.set_role(&xanthippe, "INSTRUCTOR");
    let message = it.message();
    let holder = it.hold(&xanthippe).await;
    let let_go = async {
        it.held_up(2).await;
        release(holder).await;
    };
    let (one, two, ()) = tokio::join!(it.deliver(&message), it.deliver(&message), let_go);
    assert_eq!(
        (one.status, two.status),
        (200, 200),
        "{} {}",
        one.body,
        two.body
    );
    let outcome = |answer: &Answer| answer.body["outcome"].as_str().unwrap().to_owned();
    let outcomes = BTreeSet::from([outcome(&one), outcome(&two)]);
    assert_eq!(outcomes, ["applied", "duplicate"].map(str::to_owned).into());
    assert_eq!(it.host.pids("clerk-webhook").len(), 2);
    let changes = "role_changes where new_role = 'INSTRUCTOR'";
    assert_eq!(it.app.count(changes).await, 1);
    it.finish().await;
}

#[tokio::test]
async fn a_tick_tells_what_it_did_and_fails_aloud_without_the_database() {
    let app = TestApp::new().await;
    let mut door = Door::new(&app.database).await;
    let url = door.url.clone();
    let it = Deployed::at(app, &url, |function| function).await;
    let quirinus = it.app.admin("quirinus").await;
    let xanthippe = it.app.user("xanthippe", Some("STUDENT")).await;
    it.app.clerk.down();
    let answer = it.set_role(&quirinus, &xanthippe, "INSTRUCTOR").await;
    assert_eq!(
        (answer.status, &answer.body["clerkSync"]),
        (200, &json!("pending"))
    );
    it.app.clerk.up();
    it.app.forget_waits().await;
    let report = json!({
        "nDelivered": 1, "nPutOff": 0, "nDead": 0, "nSettled": 0,
        "nRefetched": 0, "nEnded": 0, "nUnanswered": 0, "nWalked": 0, "nErased": 0,
        "comparison": null,
    });
    assert_eq!(it.tick().await, Outcome::Response(report));
    let pid = it.pid("reconcile");
    for _ in 0..2 {
        door.shut().await;
        let outcome = it.tick().await;
        let Outcome::FunctionError {
            error_type,
            message,
        } = &outcome
        else {
            panic!("{outcome:?}");
        };
        assert_eq!(error_type, "database_unavailable");
        assert_eq!(
            message,
            "The database cannot be reached right now; try again."
        );
        door.open().await;
        assert_eq!(n_delivered(&it.tick().await), 0);
    }
    assert_eq!(it.pid("reconcile"), pid);
    it.finish().await;
}

/// Everything that goes wrong is logged, and whoever reads the logs learns of nobody.
#[tokio::test]
async fn the_logs_are_json_and_hold_no_secret_and_nobodys_data() {
    for level in ["INFO", "DEBUG", "TRACE"] {
        let app = TestApp::new().await;
        let mut door = Door::new(&app.database).await;
        let url = door.url.clone();
        let it = Deployed::at(app, &url, |function| {
            function.env("AWS_LAMBDA_LOG_LEVEL", level)
        })
        .await;
        let quirinus = it.app.admin("quirinus").await;
        let xanthippe = it.app.user("xanthippe", Some("STUDENT")).await;
        let clerk = &it.app.clerk;

        clerk.update_user(&xanthippe, json!({ "last_name": "Xanthippe" }));
        let message = it.message();
        assert_eq!(it.deliver(&message).await.status, 200);
        let mut event = delivery(clerk, &message);
        event["body"] = json!(message.body.replace("Xanthippe", "Quirinus"));
        assert_eq!(
            answered(&it.host.invoke("clerk-webhook", &event).await).status,
            400
        );
        let mut odd: Value = serde_json::from_str(&message.body).unwrap();
        odd["data"]["first_name"] = json!("Xanthippe\u{0}");
        odd["data"]["public_metadata"] = json!({ "role": "Xanthippe", "name": "Xanthippe\u{0}" });
        odd["data"]["updated_at"] = json!(Emulator::real_ms() + 1000);
        let mut absurd = odd.clone();
        absurd["data"]["banned"] = json!("Xanthippe");
        for (svix_id, event) in [("msg_odd", odd), ("msg_absurd", absurd)] {
            let now = Emulator::real_ms() / 1000;
            let signed = clerk.sign_body(svix_id, now, event.to_string().as_bytes());
            let call = Call::new("POST", "/api/webhooks/clerk").headers(signed);
            let event = call.json(&event).event();
            let answer = answered(&it.host.invoke("clerk-webhook", &event).await);
            assert_eq!(answer.status, 200, "{}", answer.body);
        }

        for fault in [
            Fault::status(500),
            Fault::drop(),
            Fault::refusal(422, "form_param_invalid"),
        ] {
            clerk.fault(fault.on("PATCH", "/v1/users").once());
            it.set_role(&quirinus, &xanthippe, "INSTRUCTOR").await;
            it.set_role(&quirinus, &xanthippe, "STUDENT").await;
        }
        let path = "/api/admin/users?search=xanthippe@example.com";
        assert_eq!(it.get(&quirinus, path).await.status, 200);
        assert_eq!(it.get(&xanthippe, path).await.status, 403);
        it.set_role(&quirinus, &xanthippe, "Xanthippe").await;
        it.set_role(&quirinus, "xanthippe@example.com", "ADMIN")
            .await;
        let token = clerk.session_token(&quirinus);
        let call = Call::new("GET", path).token(&format!("{token}x"));
        let answer = answered(&it.host.invoke("admin-users", &call.event()).await);
        assert_eq!(answer.status, 401);

        for path in [
            "overview".to_owned(),
            "events?limit=500".to_owned(),
            "events/quirinus".to_owned(),
            "events/xanthippe@example.com".to_owned(),
            format!("history/{xanthippe}"),
            "history/xanthippe@example.com".to_owned(),
        ] {
            it.get(&quirinus, &format!("/api/admin/sync/{path}")).await;
        }

        clerk.fault(Fault::status(500).on("GET", "/v1/users").once());
        for path in [
            "user",
            "user/xanthippe@example.com",
            "organization/xanthippe",
        ] {
            it.sync(&quirinus, path).await;
            it.sync(&xanthippe, path).await;
        }

        for fault in [
            Fault::status(500),
            Fault::drop(),
            Fault::drop_answer(),
            Fault::refusal(422, "form_param_value_invalid"),
            Fault::refusal(404, "resource_not_found"),
        ] {
            let edit = json!({
                "name": "Xanthippe Swordfish", "builderGroupId": "swordfish", "password": CHOSEN,
            });
            clerk.fault(fault.clone().on("PATCH", "/v1/users").once());
            it.edit(&quirinus, &xanthippe, edit).await;
            let bag = json!({ "note": "Xanthippe", "Swordfish": null });
            let updates = json!({ "firstName": "Quirinus", "publicMetadata": bag });
            clerk.fault(fault.clone().on("PATCH", "/v1/users").once());
            it.edit_in_clerk(&quirinus, &xanthippe, updates).await;
            clerk.fault(fault.on("POST", "/v1/invitations").once());
            it.invite(&quirinus, &xanthippe, "swordfish@example.com")
                .await;
        }
        clerk.clear_faults();
        for edit in [
            json!({ "password": "swordfi" }),
            json!({ "password": "xanthippe@example.com" }),
            json!({ "email": "swordfish@example.com" }),
            json!({ "email": "quirinus@example.com" }),
            json!({ "email": "swordfish" }),
            json!({ "name": "Xanthippe\nSwordfish" }),
            json!({ "firstName": ["Xanthippe"] }),
        ] {
            it.edit(&quirinus, &xanthippe, edit.clone()).await;
            it.edit(&xanthippe, &quirinus, edit.clone()).await;
            it.edit(&quirinus, "xanthippe@example.com", edit.clone())
                .await;
            it.edit_in_clerk(&quirinus, &xanthippe, edit.clone()).await;
            it.edit_in_clerk(&quirinus, "xanthippe@example.com", edit)
                .await;
        }
        for email in ["xanthippe@example.com", "quirinus@example.com", "swordfish"] {
            it.invite(&quirinus, &xanthippe, email).await;
            it.invite(&quirinus, email, email).await;
        }
        it.app.forget_waits().await;
        assert_eq!(reported(&it.tick().await, "nDead"), 0);

        door.shut().await;
        assert_eq!(it.deliver(&message).await.status, 503);
        let edit = json!({ "name": "Xanthippe", "password": CHOSEN });
        assert_eq!(it.edit(&quirinus, &xanthippe, edit).await.status, 503);
        let updates = json!({ "firstName": "Xanthippe" });
        let answer = it.edit_in_clerk(&quirinus, &xanthippe, updates).await;
        assert_eq!(answer.status, 503);
        assert_eq!(
            it.set_role(&quirinus, &xanthippe, "ADMIN").await.status,
            503
        );
        assert_eq!(it.get(&quirinus, path).await.status, 503);
        for path in ["/api/admin/sync/overview", "/api/health"] {
            assert_eq!(it.get(&quirinus, path).await.status, 503);
        }
        assert_eq!(it.sync(&quirinus, "user").await.status, 503);
        assert!(matches!(it.tick().await, Outcome::FunctionError { .. }));
        for function in FUNCTIONS {
            let logs = it.host.logs(function);
            assert!(
                logs.iter().any(|line| line.contains("\"ERROR\"")),
                "{function}: {logs:#?}"
            );
        }
        it.assert_logs_are_clean();
        it.app.database.remove().await;
    }
}
