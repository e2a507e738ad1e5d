//! The one loop that tries again.

use std::time::{Duration, Instant};

use bytes::Bytes;
use reqwest::Method;
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use serde::Serialize;

use super::error::{Cause, Error};
use crate::telemetry::metrics::{self, Metric};

const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// However long the time, Clerk is not asked more often than this.
const MAX_TRIES: u32 = 8;
const BASE_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// A try that would have less time than this is not worth the wait before it.
const SHORTEST_TRY: Duration = Duration::from_millis(100);
/// More than any caller has.
const FOREVER: Duration = Duration::from_hours(24);

/// How long a call may take in all, and how often it may be tried.
#[derive(Debug, Clone, Copy)]
pub struct Budget {
    deadline: Instant,
    max_tries: u32,
}

/// One request, which may be sent several times.
#[derive(Debug)]
pub(super) struct Call<'a, B> {
    pub(super) method: Method,
    pub(super) url: String,
    pub(super) query: Vec<(&'static str, String)>,
    pub(super) body: Option<&'a B>,
}

impl Budget {
    /// One try, within this time from now.
    pub fn once(within: Duration) -> Self {
        Self {
            deadline: Instant::now() + within.min(FOREVER),
            max_tries: 1,
        }
    }

    /// Several tries until this moment.
    pub fn until(deadline: Instant) -> Self {
        Self {
            deadline,
            max_tries: MAX_TRIES,
        }
    }

    /// What is left of the time.
    pub fn remaining(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }
}

impl<B> Call<'_, B> {
    pub(super) fn new(method: Method, url: String) -> Self {
        Self {
            method,
            url,
            query: Vec::new(),
            body: None,
        }
    }
}

/// Sends the request until Clerk carries it out, refuses it, or the budget is spent.
pub(super) async fn send<B: Serialize>(
    http: &reqwest::Client,
    call: &Call<'_, B>,
    budget: Budget,
) -> Result<Bytes, Error> {
    if budget.remaining().is_zero() {
        return Err(Error::TimedOut(Cause::NoTimeLeft));
    }
    let mut doubtful = None;
    let mut n_tries = 0;
    loop {
        let begun_at = Instant::now();
        let result = send_once(http, call, budget.remaining()).await;
        measure(&result, begun_at.elapsed());
        let error = match result {
            Ok(body) => return Ok(body),
            Err(error) => error,
        };
        n_tries += 1;
        let pause = pause(&error, n_tries);
        let is_over = n_tries >= budget.max_tries
            || !may_repeat(&call.method, &error)
            || pause.saturating_add(SHORTEST_TRY) > budget.remaining();
        tracing::debug!(
            clerk.method = %call.method,
            clerk.n_tries = n_tries,
            clerk.code = error.code(),
            clerk.trace_id = error.trace_id(),
            is_over,
            "Clerk did not do what was asked"
        );
        if is_over {
            return Err(the_one_to_report(&call.method, doubtful, error));
        }
        if error.is_outcome_unknown() {
            doubtful = Some(error);
        }
        tokio::time::sleep(pause).await;
    }
}

fn measure(result: &Result<Bytes, Error>, took: Duration) {
    metrics::count(Metric::ClerkApiCalls);
    metrics::time(Metric::ClerkApiTime, took);
    match result {
        Err(Error::RateLimited { .. }) => metrics::count(Metric::ClerkRateLimited),
        Err(Error::Unavailable(_) | Error::TimedOut(_)) => metrics::count(Metric::ClerkFailures),
        _ => {}
    }
}

async fn send_once<B: Serialize>(
    http: &reqwest::Client,
    call: &Call<'_, B>,
    within: Duration,
) -> Result<Bytes, Error> {
    let mut request = http.request(call.method.clone(), &call.url).timeout(within);
    if !call.query.is_empty() {
        request = request.query(&call.query);
    }
    request = match call.body {
        Some(body) => request.json(body),
        // Clerk's own client names the type of a body that is not there, too; and without a length
        // some proxies refuse.
        None if call.method == Method::POST => {
            request.header(CONTENT_TYPE, JSON).header(CONTENT_LENGTH, 0)
        }
        None => request,
    };
    let deadline = Instant::now() + within;
    let unanswered = |error| Error::from_transport(error, Instant::now() >= deadline);
    let response = request.send().await.map_err(unanswered)?;
    let status = response.status();
    let headers = response.headers().clone();
    let body = response.bytes().await.map_err(unanswered)?;
    if !status.is_success() {
        return Err(Error::from_answer(status, &headers, &body));
    }
    Ok(body)
}

/// Whether the same request may be sent again after this.
/// A second POST would make a second thing, unless the first surely was not carried out.
pub(super) fn may_repeat(method: &Method, error: &Error) -> bool {
    match error {
        Error::RateLimited { .. } => true,
        Error::Unavailable(_) => *method != Method::POST || !error.is_outcome_unknown(),
        Error::NotFound { .. }
        | Error::Unauthorized { .. }
        | Error::Refused { .. }
        | Error::TimedOut(_)
        | Error::Unreadable(_) => false,
    }
}

/// How long to wait before the next try: at random, so that many callers do not come back at once,
/// and at least as long as Clerk asks.
pub(super) fn pause(error: &Error, n_tries: u32) -> Duration {
    let doublings = n_tries.saturating_sub(1).min(16);
    let ceiling = (BASE_PAUSE * 2_u32.pow(doublings)).min(LONGEST_PAUSE);
    let jitter = ceiling.mul_f64(fastrand::f64());
    error
        .retry_after()
        .unwrap_or_default()
        .saturating_add(jitter)
}

/// A later try that surely did nothing does not make an earlier one undone: of a write whose
/// outcome is in doubt, the doubt is reported.
pub(super) fn the_one_to_report(method: &Method, doubtful: Option<Error>, last: Error) -> Error {
    match doubtful {
        Some(doubtful) if !method.is_safe() && !is_definite(&last) => doubtful,
        _ => last,
    }
}

/// Whether the error tells how things stand now.
fn is_definite(error: &Error) -> bool {
    error.is_permanent() || error.is_outcome_unknown()
}
