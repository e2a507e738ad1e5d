//! Webhooks as Svix delivers them: messages, endpoints, signatures, the retry schedule.

pub(crate) mod delivery;
pub(crate) mod queue;
pub(crate) mod schedule;

use serde::Serialize;
use svix::webhooks::Webhook;

use crate::clock::real_ms;

/// One event for the receivers of webhooks.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Message {
    /// The `svix-id`, the same on each delivery.
    pub id: String,
    /// Such as `user.updated`.
    pub event_type: String,
    /// The exact text that is signed and sent.
    pub body: String,
    /// How the deliveries stand.
    pub status: Status,
    /// How many times any endpoint was called.
    pub n_attempts: usize,
    /// When it was made, on the emulator's clock.
    pub created_at: i64,
}

impl Message {
    /// The three `svix-` headers for a delivery made now, signed with `secret`.
    pub fn signed(&self, secret: &str) -> Vec<(String, String)> {
        sign(secret, &self.id, real_ms() / 1000, self.body.as_bytes())
    }
}

/// How the deliveries of a message stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Status {
    /// Some endpoint has yet to take it, or there is no endpoint.
    Pending,
    /// Every endpoint took it.
    Delivered,
    /// Some endpoint never took it, and no attempt is left.
    Failed,
}

/// What came of one attempt.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Attempt {
    /// The `svix-id`.
    pub message_id: String,
    /// The endpoint that was called.
    pub endpoint_id: String,
    /// The status of the answer, or nothing when there was none in time.
    pub status: Option<u16>,
    /// The body of the answer, or why there was none.
    pub body: String,
    /// Did the receiver take it?
    pub is_success: bool,
}

/// The three `svix-` headers; a timestamp in seconds.
///
/// A secret that is not base64 signs nothing: the signature is empty.
pub(crate) fn sign(
    secret: &str,
    svix_id: &str,
    timestamp: i64,
    body: &[u8],
) -> Vec<(String, String)> {
    let signature = Webhook::new(secret)
        .and_then(|webhook| webhook.sign(svix_id, timestamp, body))
        .unwrap_or_default();
    vec![
        ("svix-id".to_owned(), svix_id.to_owned()),
        ("svix-timestamp".to_owned(), timestamp.to_string()),
        ("svix-signature".to_owned(), signature),
    ]
}
