//! One sandbox: a process of a function, and the Runtime API that this process alone talks to.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path as UrlPath, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::serve::ListenerExt;
use axum::{Json, Router};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::AbortHandle;
use uuid::Uuid;

use crate::{Function, Logs, Outcome, lock};

/// How long a function may take to ask for its first event, as on AWS.
const INIT_TIMEOUT: Duration = Duration::from_secs(10);

/// The longest response, as on AWS.
const MAX_RESPONSE_BYTES: usize = 6 * 1024 * 1024;

/// A process of a function.
#[derive(Debug)]
pub(crate) struct Sandbox {
    pid: u32,
    timeout: Duration,
    runtime_api: Arc<RuntimeApi>,
    server: AbortHandle,
    work: mpsc::Sender<Work>,
    exit: watch::Receiver<Option<ExitStatus>>,
    was_used: AtomicBool,
}

/// How an invocation left its sandbox.
#[derive(Debug)]
pub(crate) enum Ended {
    /// It can take the next one.
    Reusable(Outcome),
    /// It is of no use any more.
    Dead(Outcome),
    /// It had died before it took this one.
    WasDead,
}

/// An event on its way to the process.
#[derive(Debug)]
struct Work {
    invocation: Invocation,
    event: Bytes,
}

/// The invocation that the process works on.
#[derive(Debug)]
struct Invocation {
    request_id: String,
    reply: oneshot::Sender<Outcome>,
}

/// What the process talks to.
#[derive(Debug)]
struct RuntimeApi {
    function_arn: String,
    timeout: Duration,
    work: tokio::sync::Mutex<mpsc::Receiver<Work>>,
    current: Mutex<Option<Invocation>>,
    phase: watch::Sender<Phase>,
}

/// Where the process is, as its calls tell.
#[derive(Debug, Clone, PartialEq)]
enum Phase {
    /// It has not asked for an event yet.
    Starting,
    /// It said that it cannot start.
    Failed(Outcome),
    /// It waits for an event.
    Polling,
    /// It works on one.
    Working,
}

impl Sandbox {
    /// Starts the process.
    pub(crate) fn start(function: &Function, logs: &Arc<Logs>) -> io::Result<Self> {
        let (work, events) = mpsc::channel(1);
        let runtime_api = Arc::new(RuntimeApi {
            function_arn: format!(
                "arn:aws:lambda:us-east-1:123456789012:function:{}",
                function.name
            ),
            timeout: function.timeout,
            work: tokio::sync::Mutex::new(events),
            current: Mutex::default(),
            phase: watch::Sender::new(Phase::Starting),
        });
        let (address, server) = serve(&runtime_api)?;
        let mut child = command(function, address)
            .spawn()
            .inspect_err(|_| server.abort())?;
        let pid = child.id().unwrap_or_default();
        tracing::debug!(function.name, pid, "Started a sandbox");
        collect(child.stdout.take(), &function.name, logs);
        collect(child.stderr.take(), &function.name, logs);
        let exit = watch_exit(child);
        let timeout = function.timeout;
        let was_used = AtomicBool::new(false);
        Ok(Self {
            pid,
            timeout,
            runtime_api,
            server,
            work,
            exit,
            was_used,
        })
    }

    /// Gives the event to the process and waits for how that ends.
    pub(crate) async fn invoke(&self, event: Bytes) -> Ended {
        self.thaw();
        let is_first = !self.was_used.swap(true, Ordering::SeqCst);
        match tokio::time::timeout(INIT_TIMEOUT, self.ready()).await {
            Ok(Ok(Phase::Failed(outcome))) => return Ended::Dead(outcome),
            Ok(Ok(_)) if self.is_alive() => {}
            Ok(Err(status)) if is_first => return Ended::Dead(Outcome::Crashed { status }),
            Ok(Ok(_) | Err(_)) => return Ended::WasDead,
            Err(_) => return Ended::Dead(Outcome::TimedOut),
        }
        let (reply, outcome) = oneshot::channel();
        let invocation = Invocation {
            request_id: Uuid::new_v4().to_string(),
            reply,
        };
        if self.work.send(Work { invocation, event }).await.is_err() {
            return Ended::WasDead;
        }
        tokio::select! {
            biased;
            Ok(outcome) = outcome => Ended::Reusable(outcome),
            status = self.exited() => Ended::Dead(Outcome::Crashed { status }),
            () = tokio::time::sleep(self.timeout) => Ended::Dead(Outcome::TimedOut),
        }
    }

    /// Stops the process, once it waits for an event.
    pub(crate) async fn freeze(&self) {
        // A moment passes between a function's answer and its next question.
        if tokio::time::timeout(INIT_TIMEOUT, self.ready())
            .await
            .is_ok()
        {
            self.signal(Signal::STOP);
        }
    }

    /// Lets the process run on.
    pub(crate) fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// Kills the process.
    pub(crate) fn kill(&self) {
        self.signal(Signal::KILL);
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    pub(crate) fn is_alive(&self) -> bool {
        self.exit.borrow().is_none()
    }

    /// Waits for the end of the process.
    pub(crate) async fn exited(&self) -> ExitStatus {
        let mut exit = self.exit.clone();
        match exit.wait_for(Option::is_some).await.map(|status| *status) {
            Ok(Some(status)) => status,
            // The runtime is going down and took the watcher with it.
            Ok(None) | Err(_) => ExitStatus::default(),
        }
    }

    /// Waits until the process asks for an event or says that it cannot, or until it ends.
    async fn ready(&self) -> Result<Phase, ExitStatus> {
        let mut phase = self.runtime_api.phase.subscribe();
        let is_ready = |phase: &Phase| matches!(phase, Phase::Polling | Phase::Failed(_));
        tokio::select! {
            // Who has said why it cannot start may be gone already.
            biased;
            Ok(phase) = phase.wait_for(is_ready) => Ok(phase.clone()),
            status = self.exited() => Err(status),
        }
    }

    fn signal(&self, signal: Signal) {
        if !self.is_alive() {
            return;
        }
        let Some(pid) = i32::try_from(self.pid).ok().and_then(Pid::from_raw) else {
            return;
        };
        if let Err(error) = kill_process(pid, signal) {
            tracing::debug!(pid = self.pid, %error, "The process is gone already");
        }
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.kill();
        self.server.abort();
    }
}

/// Serves the Runtime API on a port of its own, so that a process is known by where it calls.
fn serve(runtime_api: &Arc<RuntimeApi>) -> io::Result<(SocketAddr, AbortHandle)> {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let listener = TcpListener::from_std(listener)?.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "A connection keeps its delay");
        }
    });
    let router = Router::new()
        .route("/2018-06-01/runtime/invocation/next", get(next))
        .route(
            "/2018-06-01/runtime/invocation/{request_id}/response",
            post(response),
        )
        .route(
            "/2018-06-01/runtime/invocation/{request_id}/error",
            post(error),
        )
        .route("/2018-06-01/runtime/init/error", post(init_error))
        .layer(DefaultBodyLimit::disable())
        .with_state(Arc::clone(runtime_api));
    let server = tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, router).await {
            tracing::error!(%error, "The Runtime API stopped");
        }
    });
    Ok((address, server.abort_handle()))
}

/// The process as Lambda starts it: its own folder, nothing of our environment.
fn command(function: &Function, runtime_api: SocketAddr) -> Command {
    let name = function.name.as_str();
    let folder = function.binary.parent().unwrap_or(Path::new("/"));
    let mut command = Command::new(&function.binary);
    command
        .current_dir(folder)
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .env("LANG", "en_US.UTF-8")
        .env("TZ", ":UTC")
        .env("LAMBDA_TASK_ROOT", folder)
        .env("AWS_REGION", "us-east-1")
        .env("AWS_DEFAULT_REGION", "us-east-1")
        .env("AWS_LAMBDA_FUNCTION_NAME", name)
        .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
        .env(
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
            function.memory_mb.to_string(),
        )
        .env("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand")
        .env("AWS_LAMBDA_LOG_GROUP_NAME", format!("/aws/lambda/{name}"))
        .env("AWS_LAMBDA_LOG_STREAM_NAME", "local")
        .env("AWS_LAMBDA_RUNTIME_API", runtime_api.to_string())
        .env("_HANDLER", "bootstrap")
        .envs(&function.env)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

/// Keeps the lines of one output until it ends.
fn collect(
    output: Option<impl AsyncRead + Unpin + Send + 'static>,
    function: &str,
    logs: &Arc<Logs>,
) {
    let Some(output) = output else {
        return;
    };
    let function = function.to_owned();
    let logs = Arc::clone(logs);
    tokio::spawn(async move {
        let mut lines = BufReader::new(output).split(b'\n');
        while let Ok(Some(line)) = lines.next_segment().await {
            let line = String::from_utf8_lossy(&line).into_owned();
            tracing::debug!(function, "{line}");
            logs.push(line);
        }
    });
}

/// Waits for the end of the process and says how it ended.
fn watch_exit(mut child: Child) -> watch::Receiver<Option<ExitStatus>> {
    let (sender, exit) = watch::channel(None);
    tokio::spawn(async move {
        match child.wait().await {
            Ok(status) => drop(sender.send(Some(status))),
            Err(error) => tracing::error!(%error, "A process cannot be waited for"),
        }
    });
    exit
}

/// `GET …/invocation/next`: waits for an event.
async fn next(State(api): State<Arc<RuntimeApi>>) -> Response {
    let mut work = api.work.lock().await;
    api.phase.send_replace(Phase::Polling);
    let Some(Work { invocation, event }) = work.recv().await else {
        return StatusCode::GONE.into_response();
    };
    let deadline = SystemTime::now() + api.timeout;
    let headers = [
        ("content-type", "application/json".to_owned()),
        (
            "lambda-runtime-aws-request-id",
            invocation.request_id.clone(),
        ),
        ("lambda-runtime-deadline-ms", millis(deadline).to_string()),
        (
            "lambda-runtime-invoked-function-arn",
            api.function_arn.clone(),
        ),
        ("lambda-runtime-trace-id", trace_id(&invocation.request_id)),
    ];
    *lock(&api.current) = Some(invocation);
    api.phase.send_replace(Phase::Working);
    (headers, event).into_response()
}

/// `POST …/invocation/{request_id}/response`: takes the answer.
async fn response(
    State(api): State<Arc<RuntimeApi>>,
    UrlPath(request_id): UrlPath<String>,
    body: Bytes,
) -> Response {
    let outcome = if body.len() > MAX_RESPONSE_BYTES {
        let message = format!("Response payload size exceeded {MAX_RESPONSE_BYTES} bytes");
        function_error("Function.ResponseSizeTooLarge", message)
    } else {
        match serde_json::from_slice(&body) {
            Ok(value) => Outcome::Response(value),
            Err(error) => function_error("Runtime.MarshalError", error.to_string()),
        }
    };
    api.settle(&request_id, outcome)
}

/// `POST …/invocation/{request_id}/error`: takes the error.
async fn error(
    State(api): State<Arc<RuntimeApi>>,
    UrlPath(request_id): UrlPath<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let (error_type, message) = diagnostic(&headers, &body);
    api.settle(
        &request_id,
        Outcome::FunctionError {
            error_type,
            message,
        },
    )
}

/// `POST …/init/error`: the function cannot start.
async fn init_error(
    State(api): State<Arc<RuntimeApi>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let (error_type, message) = diagnostic(&headers, &body);
    api.phase.send_replace(Phase::Failed(Outcome::InitError {
        error_type,
        message,
    }));
    accepted()
}

impl RuntimeApi {
    /// Ends the invocation, if it is the one at work.
    fn settle(&self, request_id: &str, outcome: Outcome) -> Response {
        let is_current = |current: &mut Invocation| current.request_id == request_id;
        let Some(invocation) = lock(&self.current).take_if(is_current) else {
            let body = json!({
                "errorMessage": "Invalid request ID",
                "errorType": "InvalidRequestID",
            });
            return (StatusCode::BAD_REQUEST, Json(body)).into_response();
        };
        if invocation.reply.send(outcome).is_err() {
            tracing::debug!(request_id, "Nobody waits for this answer any more");
        }
        accepted()
    }
}

fn accepted() -> Response {
    (StatusCode::ACCEPTED, Json(json!({ "status": "OK" }))).into_response()
}

/// The type and the message of an error as a runtime posts it.
fn diagnostic(headers: &HeaderMap, body: &[u8]) -> (String, String) {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let field = |name: &str| body.get(name).and_then(Value::as_str).map(str::to_owned);
    let header = headers.get("lambda-runtime-function-error-type");
    let header = header
        .and_then(|value| value.to_str().ok())
        .map(str::to_owned);
    let error_type = field("errorType")
        .or(header)
        .unwrap_or_else(|| "Unknown".to_owned());
    (error_type, field("errorMessage").unwrap_or_default())
}

fn function_error(error_type: &str, message: String) -> Outcome {
    Outcome::FunctionError {
        error_type: error_type.to_owned(),
        message,
    }
}

fn millis(time: SystemTime) -> u128 {
    time.duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_millis()
}

/// An X-Ray trace id, made from the request's.
fn trace_id(request_id: &str) -> String {
    let digits: String = request_id.chars().filter(char::is_ascii_hexdigit).collect();
    let (time, rest) = digits.split_at_checked(8).unwrap_or_default();
    let unique = rest.get(..24).unwrap_or(rest);
    format!("Root=1-{time}-{unique};Sampled=0")
}
