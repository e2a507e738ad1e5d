//! The keys that Clerk signs session tokens with.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use jsonwebtoken::DecodingKey;
use reqwest::redirect;
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::Mutex;

use super::{Error, Reason};
use crate::config::{self, Configured, Part, Settings};
use crate::telemetry::chain;
use crate::tls;

/// How long keys are good for. A `kid` is the id of the instance and stays when its key is
/// replaced, so that only time tells an old key from a new one.
const MAX_AGE: Duration = Duration::from_mins(5);
/// How often a `kid` that nobody knows may make us ask Clerk again.
const MIN_INTERVAL: Duration = Duration::from_mins(1);
/// How long a failure stands for everyone who waited for the same keys.
const FAILURE_INTERVAL: Duration = Duration::from_secs(1);
const TIMEOUT: Duration = Duration::from_secs(5);

/// Where the keys come from.
pub(super) enum Keys {
    /// From a setting: no network, no `kid`.
    Fixed(DecodingKey),
    /// From Clerk.
    Fetched(Box<Jwks>),
}

/// Clerk's keys by their `kid`, fetched when they are needed.
pub(super) struct Jwks {
    url: String,
    secret_key: String,
    known: RwLock<Known>,
    /// Held while fetching, so that those who need the same keys wait for one fetch.
    last_try: Mutex<Option<Try>>,
}

#[derive(Default, Clone)]
struct Known {
    keys: Arc<HashMap<String, DecodingKey>>,
    fetched_at: Option<Instant>,
}

struct Try {
    at: Instant,
    is_success: bool,
}

/// Why the keys could not be fetched.
#[derive(Debug, thiserror::Error)]
enum Problem {
    #[error("Clerk's keys could not be fetched")]
    Transport(#[source] reqwest::Error),
    #[error("TLS is not available")]
    Tls(#[source] rustls::Error),
    #[error("Clerk answered {0} when asked for its keys")]
    Status(u16),
    #[error("Clerk's keys could not be fetched a moment ago")]
    FailedBefore,
}

#[derive(Deserialize)]
struct KeySet {
    keys: Vec<Value>,
}

#[derive(Deserialize)]
struct Jwk {
    kid: String,
    kty: String,
    n: String,
    e: String,
}

impl Keys {
    pub(super) fn from_settings(settings: &Settings) -> Configured<Self> {
        if settings.optional("CLERK_JWT_KEY").is_some() {
            let pem = settings.required(Part::Clerk, "CLERK_JWT_KEY")?;
            let problem = "is not a public RSA key in PEM form";
            let error = config::Error {
                part: Part::Clerk,
                variable: "CLERK_JWT_KEY",
                problem,
            };
            return parse_pem(pem).map(Self::Fixed).ok_or(error);
        }
        let secret_key = settings.required(Part::Clerk, "CLERK_SECRET_KEY")?;
        let base = settings
            .optional("CLERK_API_URL")
            .unwrap_or(config::CLERK_API_URL);
        Ok(Self::Fetched(Box::new(Jwks::new(base, secret_key)?)))
    }

    /// Finds the key that a token claims to be signed with.
    pub(super) async fn find(&self, kid: Option<&str>, now: Instant) -> Result<DecodingKey, Error> {
        match self {
            Self::Fixed(key) => Ok(key.clone()),
            Self::Fetched(jwks) => jwks.find(kid.ok_or(Reason::JwkKidMismatch)?, now).await,
        }
    }
}

impl Jwks {
    fn new(base: &str, secret_key: &str) -> Configured<Self> {
        let base = config::clerk_api_url(base)?;
        Ok(Self {
            url: format!("{base}/jwks"),
            secret_key: secret_key.to_owned(),
            known: RwLock::default(),
            last_try: Mutex::default(),
        })
    }

    async fn find(&self, kid: &str, now: Instant) -> Result<DecodingKey, Error> {
        if let Some(key) = self.known().fresh(kid, now) {
            return Ok(key);
        }
        let mut last_try = self.last_try.lock().await;
        // Whoever held the lock before may have fetched what is needed.
        let known = self.known();
        if let Some(key) = known.fresh(kid, now) {
            return Ok(key);
        }
        let stale = known.keys.get(kid).cloned();
        if let Some(last) = last_try.as_ref().filter(|last| last.is_recent(now)) {
            let refusal = if last.is_success {
                Reason::JwkKidMismatch.into()
            } else {
                Error::KeysUnavailable(Box::new(Problem::FailedBefore))
            };
            return stale.ok_or(refusal);
        }
        let fetched = self.fetch().await;
        *last_try = Some(Try {
            at: now,
            is_success: fetched.is_ok(),
        });
        match (fetched, stale) {
            (Ok(keys), _) => {
                let key = keys.get(kid).cloned();
                self.keep(keys, now);
                key.ok_or_else(|| Reason::JwkKidMismatch.into())
            }
            (Err(error), Some(key)) => {
                tracing::warn!(
                    error = chain(&error),
                    "Clerk's keys could not be refreshed; the ones from before are still used"
                );
                Ok(key)
            }
            (Err(error), None) => Err(Error::KeysUnavailable(Box::new(error))),
        }
    }

    async fn fetch(&self) -> Result<HashMap<String, DecodingKey>, Problem> {
        let answer = client()?
            .get(&self.url)
            .bearer_auth(&self.secret_key)
            .send()
            .await
            .map_err(Problem::Transport)?;
        if !answer.status().is_success() {
            return Err(Problem::Status(answer.status().as_u16()));
        }
        let KeySet { keys } = answer.json().await.map_err(Problem::Transport)?;
        Ok(keys.into_iter().filter_map(parse_jwk).collect())
    }

    fn known(&self) -> Known {
        self.known
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn keep(&self, keys: HashMap<String, DecodingKey>, now: Instant) {
        let known = Known {
            keys: Arc::new(keys),
            fetched_at: Some(now),
        };
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = known;
    }
}

impl Known {
    fn fresh(&self, kid: &str, now: Instant) -> Option<DecodingKey> {
        let age = now.saturating_duration_since(self.fetched_at?);
        self.keys.get(kid).filter(|_| age < MAX_AGE).cloned()
    }
}

impl Try {
    fn is_recent(&self, now: Instant) -> bool {
        let interval = if self.is_success {
            MIN_INTERVAL
        } else {
            FAILURE_INTERVAL
        };
        now.saturating_duration_since(self.at) < interval
    }
}

/// Made anew for each fetch: that is once in minutes, and most sandboxes never need it.
fn client() -> Result<reqwest::Client, Problem> {
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls::client_config(&[]).map_err(Problem::Tls)?)
        .timeout(TIMEOUT)
        // The secret key goes nowhere else.
        .redirect(redirect::Policy::none())
        .build()
        .map_err(Problem::Transport)
}

/// Reads an RSA key; what else a key set may hold is not ours.
fn parse_jwk(jwk: Value) -> Option<(String, DecodingKey)> {
    let Jwk { kid, kty, n, e } = serde_json::from_value(jwk).ok()?;
    let key = DecodingKey::from_rsa_components(&n, &e).ok()?;
    (kty == "RSA").then_some((kid, key))
}

/// Reads a PEM whose line breaks may have become `\n`, blanks, or nothing on the way through an
/// environment variable.
fn parse_pem(text: &str) -> Option<DecodingKey> {
    let text = text.replace("\\n", "\n");
    let (label, rest) = text
        .trim()
        .strip_prefix("-----BEGIN ")?
        .split_once("-----")?;
    let (body, _) = rest.split_once("-----END ")?;
    if !label.ends_with("PUBLIC KEY") {
        return None;
    }
    let body: Vec<char> = body.split_whitespace().flat_map(str::chars).collect();
    let lines: Vec<String> = body.chunks(64).map(|line| line.iter().collect()).collect();
    let pem = format!(
        "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
        lines.join("\n")
    );
    DecodingKey::from_rsa_pem(pem.as_bytes()).ok()
}
