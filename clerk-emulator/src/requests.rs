//! The log of the calls that the Backend API received.

use std::collections::{BTreeMap, VecDeque};

use serde::Serialize;
use serde_json::{Map, Value, json};

/// One call of the Backend API.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Request {
    /// Such as `PATCH`.
    pub method: String,
    /// Such as `/v1/users/user_1/metadata`.
    pub path: String,
    /// What stood behind the question mark.
    pub query: String,
    /// The status of the answer; 0 while there is none, and when it was dropped.
    pub status: u16,
    /// The body as text; `[redacted]` stands in the place of a password.
    pub body: String,
    /// The headers, with lower-case names.
    pub headers: BTreeMap<String, String>,
    /// When it came, on the emulator's clock.
    pub at: i64,
    /// Its place in the log; only grows.
    #[serde(skip)]
    pub(crate) number: u64,
}

/// How many calls there were, and how they were answered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Calls {
    /// All of them, also those that got no answer.
    pub n_calls: u64,
    /// How many were refused as too many, with a 429.
    pub n_rate_limited: u64,
    /// How many got each status.
    pub by_status: BTreeMap<u16, u64>,
}

/// What stands in the place of a secret.
const REDACTED: &str = "[redacted]";

/// What a body may hold that nobody else is to see.
const SECRETS: [&str; 4] = ["password", "password_digest", "totp_secret", "backup_codes"];

/// A body as it is remembered.
/// What is not JSON cannot be told apart, so it is remembered only if it speaks of no password.
pub(crate) fn without_secrets(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body).into_owned();
    match serde_json::from_slice(body) {
        Ok(Value::Object(fields)) => redact(fields).unwrap_or(text),
        Err(_) if text.to_lowercase().contains("password") => REDACTED.to_owned(),
        Ok(_) | Err(_) => text,
    }
}

/// The body without its secrets, if it has one.
fn redact(mut fields: Map<String, Value>) -> Option<String> {
    let mut is_changed = false;
    for name in SECRETS {
        if let Some(value) = fields.get_mut(name) {
            *value = json!(REDACTED);
            is_changed = true;
        }
    }
    is_changed.then(|| Value::Object(fields).to_string())
}

/// How many calls are remembered.
const MEMORY: usize = 100_000;

/// The latest calls, in the order in which they came.
#[derive(Debug, Default)]
pub(crate) struct Log {
    requests: VecDeque<Request>,
    n_so_far: u64,
    calls: Calls,
}

impl Log {
    /// Writes down a call and returns its number.
    pub(crate) fn push(&mut self, mut request: Request) -> u64 {
        self.n_so_far += 1;
        self.calls.n_calls += 1;
        request.number = self.n_so_far;
        self.requests.push_back(request);
        if self.requests.len() > MEMORY {
            self.requests.pop_front();
        }
        self.n_so_far
    }

    /// Writes down how a call was answered.
    pub(crate) fn answered(&mut self, number: u64, status: u16) {
        *self.calls.by_status.entry(status).or_default() += 1;
        self.calls.n_rate_limited += u64::from(status == 429);
        let request = self
            .requests
            .iter_mut()
            .rev()
            .find(|request| request.number == number);
        if let Some(request) = request {
            request.status = status;
        }
    }

    pub(crate) fn all(&self) -> &VecDeque<Request> {
        &self.requests
    }

    /// The number of calls since they were last forgotten.
    pub(crate) fn calls(&self) -> &Calls {
        &self.calls
    }

    pub(crate) fn clear(&mut self) {
        self.requests.clear();
        self.calls = Calls::default();
    }
}
