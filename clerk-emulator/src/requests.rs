//! The log of the calls that the Backend API received.

use std::collections::{BTreeMap, VecDeque};

use serde::Serialize;

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
    /// The body as text.
    pub body: String,
    /// The headers, with lower-case names.
    pub headers: BTreeMap<String, String>,
    /// When it came, on the emulator's clock.
    pub at: i64,
    /// Its place in the log; only grows.
    #[serde(skip)]
    pub(crate) number: u64,
}

/// How many calls are remembered.
const MEMORY: usize = 100_000;

/// The latest calls, in the order in which they came.
#[derive(Debug, Default)]
pub(crate) struct Log {
    requests: VecDeque<Request>,
    n_so_far: u64,
}

impl Log {
    /// Writes down a call and returns its number.
    pub(crate) fn push(&mut self, mut request: Request) -> u64 {
        self.n_so_far += 1;
        request.number = self.n_so_far;
        self.requests.push_back(request);
        if self.requests.len() > MEMORY {
            self.requests.pop_front();
        }
        self.n_so_far
    }

    /// Writes down how a call was answered.
    pub(crate) fn answered(&mut self, number: u64, status: u16) {
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

    pub(crate) fn clear(&mut self) {
        self.requests.clear();
    }
}
