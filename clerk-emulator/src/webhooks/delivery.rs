//! Making the attempts over HTTP.

use std::time::Duration;

use reqwest::redirect::Policy;

use super::queue::{Job, Outcome};
use super::{Attempt, sign};
use crate::clock::real_ms;

/// Calls receivers as Svix does: no redirects, an answer within the time limit.
pub(crate) fn client(timeout: Duration) -> reqwest::Result<reqwest::Client> {
    reqwest::Client::builder()
        .no_proxy()
        .redirect(Policy::none())
        .timeout(timeout)
        .user_agent("Svix-Webhooks/1.0 (sender-emulator; +http://localhost)")
        .build()
}

/// Makes one attempt.
pub(crate) async fn attempt(http: &reqwest::Client, job: &Job) -> (Attempt, Outcome) {
    let mut request = http
        .post(&job.url)
        .header("content-type", "application/json")
        .body(job.body.clone());
    let timestamp = real_ms() / 1000;
    for (name, value) in sign(&job.secret, &job.message_id, timestamp, job.body.as_bytes()) {
        request = request.header(name, value);
    }
    let answer = async {
        let response = request.send().await?;
        let status = response.status();
        let is_aborted = response
            .headers()
            .get("webhook-delivery")
            .is_some_and(|value| value == "abort-message");
        Ok::<_, reqwest::Error>((status, is_aborted, response.text().await?))
    };
    let (status, outcome, body) = match answer.await {
        Ok((status, is_aborted, body)) => {
            let outcome = match (status.is_success(), is_aborted) {
                (true, _) => Outcome::Taken,
                (false, true) => Outcome::Aborted,
                (false, false) => Outcome::Refused,
            };
            (Some(status.as_u16()), outcome, body)
        }
        Err(error) => (None, Outcome::Refused, error.to_string()),
    };
    let attempt = Attempt {
        message_id: job.message_id.clone(),
        endpoint_id: job.endpoint_id.clone(),
        status,
        body,
        is_success: outcome == Outcome::Taken,
    };
    (attempt, outcome)
}

#[cfg(test)]
mod tests;
