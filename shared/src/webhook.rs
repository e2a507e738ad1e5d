//! What Clerk sends: whether a delivery is from Clerk, and what it says.
//!
//! Nothing here waits or writes; what to do about an event is for `sync`.

mod event;

use std::fmt;
use std::net::IpAddr;

use ::http::{HeaderMap, HeaderName};
use bytes::Bytes;
use svix::webhooks::{Webhook, WebhookError};
use uuid::Uuid;

use serde_json::Value;

use crate::config::{self, Configured, Part, Settings};
use crate::ids::SvixId;

pub use event::{Change, Content, Event, Unreadable};

const SVIX_ID: HeaderName = HeaderName::from_static("svix-id");
const SVIX_TIMESTAMP: HeaderName = HeaderName::from_static("svix-timestamp");
const SVIX_SIGNATURE: HeaderName = HeaderName::from_static("svix-signature");

/// Knows Clerk's signature.
pub struct Verifier {
    /// Any of them will do: while a secret is replaced there are two.
    /// None at all is development, where only this machine is believed.
    secrets: Vec<Webhook>,
}

/// A delivery that is from Clerk.
#[derive(Clone)]
pub struct Delivery {
    /// The id of the message, the same on every repetition of it.
    pub svix_id: SvixId,
    /// Which attempt at taking it in this is: 1, unless it was kept and is taken in again.
    pub n_attempts: i32,
    body: Bytes,
}

/// The delivery is not from Clerk: 400.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It is not signed.
    #[error("The delivery lacks the header {0}.")]
    MissingHeader(&'static str),
    /// It is signed by another, or was changed on its way.
    #[error("The signature of the delivery does not match.")]
    BadSignature,
    /// It may be somebody's repetition of what Clerk sent once.
    #[error("The timestamp of the delivery is more than five minutes off.")]
    OutOfTime,
    /// It is not signed, and comes from another machine.
    #[error("Deliveries without a signature are taken from this machine only.")]
    NotLocal,
}

impl Verifier {
    /// Reads `CLERK_WEBHOOK_SECRET` and `CLERK_WEBHOOK_SIGNING_SECRET`.
    /// There may be none only in development.
    pub fn from_settings(settings: &Settings) -> Configured<Self> {
        let mut secrets = Vec::new();
        for variable in ["CLERK_WEBHOOK_SECRET", "CLERK_WEBHOOK_SIGNING_SECRET"] {
            if settings.optional(variable).is_some() {
                settings.required(Part::Webhook, variable)?;
                secrets.extend(parse_secrets(variable, &settings.list(variable))?);
            }
        }
        if secrets.is_empty() && !settings.is_development() {
            settings.required(Part::Webhook, "CLERK_WEBHOOK_SECRET")?;
        }
        Ok(Self { secrets })
    }

    /// Tells whether Clerk sent these bytes.
    pub fn verify(
        &self,
        headers: &HeaderMap,
        body: &[u8],
        source: Option<IpAddr>,
    ) -> Result<Delivery, Error> {
        let svix_id = if self.secrets.is_empty() {
            require_local(source)?;
            unsigned_id(headers)?
        } else {
            self.require_signature(headers, body)?
        };
        Ok(Delivery {
            svix_id,
            n_attempts: 1,
            body: Bytes::copy_from_slice(body),
        })
    }

    fn require_signature(&self, headers: &HeaderMap, body: &[u8]) -> Result<SvixId, Error> {
        // Only Svix's own names are passed on: its library would take `webhook-*` as well, which
        // Clerk's does not.
        let mut svix_headers = HeaderMap::with_capacity(3);
        for name in [SVIX_ID, SVIX_TIMESTAMP, SVIX_SIGNATURE] {
            let value = headers
                .get(&name)
                .filter(|value| !value.as_bytes().trim_ascii().is_empty());
            let value = value.ok_or_else(|| missing(&name))?;
            svix_headers.insert(name, value.clone());
        }
        let mut result = Err(Error::BadSignature);
        for secret in &self.secrets {
            result = result.or_else(|_| secret.verify(body, &svix_headers).map_err(Error::from));
        }
        result?;
        parse_id(&svix_headers)?.ok_or_else(|| missing(&SVIX_ID))
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier")
            .field("n_secrets", &self.secrets.len())
            .finish()
    }
}

impl Delivery {
    /// A delivery that was taken in before, and of which [`Self::payload`] was kept.
    pub fn again(svix_id: SvixId, n_attempts: i32, payload: &Value) -> Self {
        Self {
            svix_id,
            n_attempts,
            body: event::body(payload).into(),
        }
    }

    /// Reads the event; a body that is signed and cannot be read is a result, too.
    pub fn read(&self) -> Content {
        event::read(&self.body)
    }

    /// The body as it is kept when nothing else can be done with it.
    pub fn payload(&self) -> Value {
        event::payload(&self.body).unwrap_or_else(|(_, payload)| payload)
    }
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            svix_id,
            n_attempts,
            body,
        } = self;
        f.debug_struct("Delivery")
            .field("svix_id", svix_id)
            .field("n_attempts", n_attempts)
            .field("len", &body.len())
            .finish()
    }
}

impl From<WebhookError> for Error {
    fn from(error: WebhookError) -> Self {
        match error {
            WebhookError::TimestampTooOldError | WebhookError::FutureTimestampError => {
                Self::OutOfTime
            }
            WebhookError::InvalidTimestamp
            | WebhookError::InvalidSecret(_)
            | WebhookError::EmptySecret
            | WebhookError::InvalidHeader(_)
            | WebhookError::MissingHeader(_)
            | WebhookError::InvalidSignature
            | WebhookError::InvalidPayload => Self::BadSignature,
        }
    }
}

fn parse_secrets(variable: &'static str, secrets: &[&str]) -> Configured<Vec<Webhook>> {
    let problem = "is not a list of secrets of the form whsec_…";
    let error = || config::Error {
        part: Part::Webhook,
        variable,
        problem,
    };
    if secrets.is_empty() {
        return Err(error());
    }
    secrets
        .iter()
        .map(|secret| Webhook::new(secret).map_err(|_| error()))
        .collect()
}

fn require_local(source: Option<IpAddr>) -> Result<(), Error> {
    let is_local = source.is_some_and(|source| source.to_canonical().is_loopback());
    if is_local {
        Ok(())
    } else {
        Err(Error::NotLocal)
    }
}

/// In development a message need not have an id; each without one is a message of its own.
fn unsigned_id(headers: &HeaderMap) -> Result<SvixId, Error> {
    match parse_id(headers)? {
        Some(id) => Ok(id),
        None => SvixId::try_from(format!("unsigned_{}", Uuid::new_v4().simple()))
            .map_err(|_| Error::BadSignature),
    }
}

fn parse_id(headers: &HeaderMap) -> Result<Option<SvixId>, Error> {
    let Some(value) = headers.get(SVIX_ID).filter(|value| !value.is_empty()) else {
        return Ok(None);
    };
    let id = value
        .to_str()
        .ok()
        .and_then(|text| SvixId::try_from(text.to_owned()).ok());
    id.map(Some).ok_or(Error::BadSignature)
}

fn missing(name: &HeaderName) -> Error {
    Error::MissingHeader(match name.as_str() {
        "svix-id" => "svix-id",
        "svix-timestamp" => "svix-timestamp",
        _ => "svix-signature",
    })
}

#[cfg(test)]
mod tests;
