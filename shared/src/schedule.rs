//! Work that a clock starts: no request, no caller, no answer that anyone reads.
//!
//! EventBridge sends an event of its own form; Netlify sends a request with a header that says so.
//! Any other request is refused: strangers do not start this.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lambda_runtime::{Context, Diagnostic, LambdaEvent, service_fn};
use serde::Serialize;
use serde_json::Value;

use crate::http::{self, RuntimeError};
use crate::telemetry::metrics::{self, Metric};
use crate::{Error, Result, telemetry};

/// What a run may take when nobody says how long it may.
const DEFAULT_BUDGET: Duration = Duration::from_secs(20);
/// What is kept back for writing down how far it came.
const MARGIN: Duration = Duration::from_secs(2);

/// A run that failed: the invocation fails with it, so that the alarm rings.
pub struct Failed {
    code: &'static str,
    message: String,
    /// With all that caused it, for the log, which the runtime writes.
    chain: String,
}

/// Runs at every event until Lambda ends the process.
/// `run` is told when it must be done.
pub async fn serve<F, Fut, T>(run: F) -> std::result::Result<(), RuntimeError>
where
    F: Fn(Instant) -> Fut,
    Fut: Future<Output = Result<T>>,
    T: Serialize,
{
    let run = Arc::new(run);
    lambda_runtime::run(service_fn(move |event: LambdaEvent<Value>| {
        let run = Arc::clone(&run);
        async move { answer_in(event.payload, &event.context, &*run).await }
    }))
    .await
}

/// Runs once if the event is one that starts a run, and tells what came of it.
pub async fn answer<F, Fut, T>(event: Value, run: &F) -> std::result::Result<Value, Failed>
where
    F: Fn(Instant) -> Fut,
    Fut: Future<Output = Result<T>>,
    T: Serialize,
{
    answer_in(event, &Context::default(), run).await
}

async fn answer_in<F, Fut, T>(
    event: Value,
    context: &Context,
    run: &F,
) -> std::result::Result<Value, Failed>
where
    F: Fn(Instant) -> Fut,
    Fut: Future<Output = Result<T>>,
    T: Serialize,
{
    let answer = async {
        metrics::request_id(&context.request_id);
        let answer = answer_by(event, context.deadline, run).await;
        answer.inspect_err(|_| metrics::count(Metric::Failed))
    };
    metrics::scope(telemetry::function(), answer).await
}

async fn answer_by<F, Fut, T>(
    event: Value,
    deadline_ms: u64,
    run: &F,
) -> std::result::Result<Value, Failed>
where
    F: Fn(Instant) -> Fut,
    Fut: Future<Output = Result<T>>,
    T: Serialize,
{
    let is_http = http::is_http(&event);
    if is_http && !http::is_netlify_schedule(&event) {
        return Ok(http::answer(event, &async |_| Err(not_found())).await);
    }
    let report = Box::pin(run(http::deadline(deadline_ms, MARGIN, DEFAULT_BUDGET))).await?;
    if is_http {
        return Ok(http::answer(event, &async |_| http::ok(&report)).await);
    }
    serde_json::to_value(&report).map_err(|error| Failed::from(Error::Internal(error.into())))
}

fn not_found() -> Error {
    Error::NotFound {
        code: "not_found",
        message: "There is nothing at this address.",
    }
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        let (_, code) = error.status_and_code();
        Self {
            code,
            message: error.to_string(),
            chain: telemetry::chain(&error),
        }
    }
}

impl From<Failed> for Diagnostic {
    fn from(failed: Failed) -> Self {
        Self {
            error_type: failed.code.to_owned(),
            error_message: failed.message,
        }
    }
}

impl fmt::Debug for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            code,
            message: _,
            chain,
        } = self;
        write!(f, "{code}: {chain}")
    }
}

#[cfg(test)]
mod tests;
