//! The messages and endpoints of the instance, and where each delivery stands. No HTTP.

use serde::Serialize;

use super::schedule::{DISABLED_AFTER_MS, next_attempt_at};
use super::{Attempt, Message, Status};
use crate::ids;

/// Somewhere that webhooks go.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Endpoint {
    pub(crate) id: String,
    pub(crate) url: String,
    pub(crate) secret: String,
    pub(crate) disabled: bool,
    /// Since when it has only failed.
    #[serde(skip)]
    failing_since: Option<i64>,
}

/// A message with its deliveries.
#[derive(Debug)]
struct Entry {
    id: String,
    event_type: String,
    body: String,
    created_at: i64,
    deliveries: Vec<Delivery>,
}

/// One message on its way to one endpoint.
#[derive(Debug)]
struct Delivery {
    endpoint_id: String,
    state: State,
    n_attempts: usize,
    is_in_flight: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    DueAt(i64),
    Delivered,
    Failed,
}

/// All that is needed to make one attempt.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    pub(crate) message_id: String,
    pub(crate) endpoint_id: String,
    pub(crate) url: String,
    pub(crate) secret: String,
    pub(crate) body: String,
}

/// What the receiver made of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Taken,
    Refused,
    /// Refused, and asked not to be called again.
    Aborted,
}

/// Messages in the order in which they were made.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    entries: Vec<Entry>,
    endpoints: Vec<Endpoint>,
}

impl Queue {
    /// Adds an endpoint; it gets the messages made from now on.
    pub(crate) fn add_endpoint(&mut self, url: &str, secret: &str) -> Endpoint {
        let endpoint = Endpoint {
            id: ids::new("ep"),
            url: url.to_owned(),
            secret: secret.to_owned(),
            disabled: false,
            failing_since: None,
        };
        self.endpoints.push(endpoint.clone());
        endpoint
    }

    pub(crate) fn endpoints(&self) -> &[Endpoint] {
        &self.endpoints
    }

    pub(crate) fn remove_endpoints(&mut self) {
        self.endpoints.clear();
        for entry in &mut self.entries {
            entry.deliveries.clear();
        }
    }

    /// Adds a message and a delivery of it for every endpoint.
    pub(crate) fn push(&mut self, event_type: &str, body: String, now: i64) {
        let deliveries = self
            .endpoints
            .iter()
            .filter(|endpoint| !endpoint.disabled)
            .map(|endpoint| Delivery::new(&endpoint.id, now))
            .collect();
        self.entries.push(Entry {
            id: ids::new("msg"),
            event_type: event_type.to_owned(),
            body,
            created_at: now,
            deliveries,
        });
    }

    pub(crate) fn messages(&self) -> Vec<Message> {
        self.entries.iter().map(Entry::message).collect()
    }

    /// Takes out the messages that nobody has taken yet.
    pub(crate) fn take_pending(&mut self) -> Vec<Message> {
        let (pending, rest): (Vec<_>, Vec<_>) = self
            .entries
            .drain(..)
            .partition(|entry| entry.status() == Status::Pending);
        self.entries = rest;
        pending.iter().map(Entry::message).collect()
    }

    /// Loses a message.
    pub(crate) fn remove(&mut self, message_id: &str) -> bool {
        let n_before = self.entries.len();
        self.entries.retain(|entry| entry.id != message_id);
        self.entries.len() < n_before
    }

    pub(crate) fn clear(&mut self) {
        self.entries.clear();
    }

    /// The deliveries that are due, in order; each is under way until it is recorded.
    pub(crate) fn start_due(&mut self, now: i64) -> Vec<Job> {
        let mut jobs = Vec::new();
        for entry in &mut self.entries {
            for delivery in &mut entry.deliveries {
                let is_due = matches!(delivery.state, State::DueAt(at) if at <= now);
                let endpoint = self
                    .endpoints
                    .iter()
                    .find(|endpoint| endpoint.id == delivery.endpoint_id && !endpoint.disabled);
                if let Some(endpoint) = endpoint
                    && is_due
                    && !delivery.is_in_flight
                {
                    delivery.is_in_flight = true;
                    jobs.push(Job::new(&entry.id, &entry.body, endpoint));
                }
            }
        }
        jobs
    }

    /// Leaves a delivery as it was before it was started.
    pub(crate) fn put_back(&mut self, job: &Job) {
        if let Some(delivery) = self.delivery_mut(&job.message_id, &job.endpoint_id) {
            delivery.is_in_flight = false;
        }
    }

    /// Starts a delivery of this message to every endpoint, whatever happened before.
    pub(crate) fn start_one(&mut self, message_id: &str, now: i64) -> Vec<Job> {
        let Some(entry) = self.entries.iter_mut().find(|entry| entry.id == message_id) else {
            return Vec::new();
        };
        let mut jobs = Vec::new();
        for endpoint in &self.endpoints {
            let known = entry
                .deliveries
                .iter_mut()
                .find(|delivery| delivery.endpoint_id == endpoint.id);
            match known {
                Some(delivery) => delivery.is_in_flight = true,
                None => entry.deliveries.push(Delivery {
                    is_in_flight: true,
                    ..Delivery::new(&endpoint.id, now)
                }),
            }
            jobs.push(Job::new(&entry.id, &entry.body, endpoint));
        }
        jobs
    }

    /// Makes a message due again, with all its attempts before it.
    pub(crate) fn replay(&mut self, message_id: &str, now: i64) -> bool {
        let Some(entry) = self.entries.iter_mut().find(|entry| entry.id == message_id) else {
            return false;
        };
        entry.deliveries = self
            .endpoints
            .iter()
            .map(|endpoint| Delivery::new(&endpoint.id, now))
            .collect();
        true
    }

    /// Writes down what came of an attempt.
    pub(crate) fn record(&mut self, attempt: &Attempt, outcome: Outcome, now: i64) {
        if let Some(delivery) = self.delivery_mut(&attempt.message_id, &attempt.endpoint_id) {
            delivery.is_in_flight = false;
            delivery.n_attempts += 1;
            let next = next_attempt_at(delivery.n_attempts, now);
            delivery.state = match (outcome, delivery.state, next) {
                (Outcome::Taken, ..) | (_, State::Delivered, _) => State::Delivered,
                (Outcome::Refused, _, Some(at)) => State::DueAt(at),
                (Outcome::Refused | Outcome::Aborted, ..) => State::Failed,
            };
        }
        let endpoint = self
            .endpoints
            .iter_mut()
            .find(|endpoint| endpoint.id == attempt.endpoint_id);
        if let Some(endpoint) = endpoint {
            if outcome == Outcome::Taken {
                endpoint.failing_since = None;
            } else {
                let since = *endpoint.failing_since.get_or_insert(now);
                endpoint.disabled |= now - since >= DISABLED_AFTER_MS;
            }
        }
    }

    fn delivery_mut(&mut self, message_id: &str, endpoint_id: &str) -> Option<&mut Delivery> {
        self.entries
            .iter_mut()
            .find(|entry| entry.id == message_id)?
            .deliveries
            .iter_mut()
            .find(|delivery| delivery.endpoint_id == endpoint_id)
    }
}

impl Entry {
    fn status(&self) -> Status {
        let any = |test: fn(&State) -> bool| self.deliveries.iter().any(|d| test(&d.state));
        if self.deliveries.is_empty() || any(|state| matches!(state, State::DueAt(_))) {
            Status::Pending
        } else if any(|state| *state == State::Failed) {
            Status::Failed
        } else {
            Status::Delivered
        }
    }

    fn message(&self) -> Message {
        Message {
            id: self.id.clone(),
            event_type: self.event_type.clone(),
            body: self.body.clone(),
            status: self.status(),
            n_attempts: self.deliveries.iter().map(|d| d.n_attempts).sum(),
            created_at: self.created_at,
        }
    }
}

impl Delivery {
    fn new(endpoint_id: &str, due_at: i64) -> Self {
        Self {
            endpoint_id: endpoint_id.to_owned(),
            state: State::DueAt(due_at),
            n_attempts: 0,
            is_in_flight: false,
        }
    }
}

impl Job {
    fn new(message_id: &str, body: &str, endpoint: &Endpoint) -> Self {
        Self {
            message_id: message_id.to_owned(),
            endpoint_id: endpoint.id.clone(),
            url: endpoint.url.clone(),
            secret: endpoint.secret.clone(),
            body: body.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests;
