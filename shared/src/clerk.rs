//! Clerk's Backend API: what we ask of it, and how it may fail.
//!
//! Knows nothing of the database.
//! Every call has a [`Budget`]; tries are repeated in `retry` and nowhere else.

mod error;
mod invitations;
mod organizations;
mod pages;
mod password;
mod retry;
mod types;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, redirect};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::config::{self, Configured, Part, Settings};
use crate::ids::ClerkUserId;
use crate::tls;

pub use error::{Cause, Error, UnreadableBody};
pub(crate) use pages::is_cursor_useless;
pub use pages::{MembershipList, MembershipPages, UserPage};
pub use password::Password;
pub use retry::Budget;
pub(crate) use types::milliseconds;
pub use types::{
    DeletedObject, EmailAddress, Invitation, ListedMembership, NewInvitation, Organization,
    OrganizationMembership, Page, PrimaryEmail, PublicUserData, Scim, User, UserPatch,
    Verification,
};

use retry::Call;

/// The objects of one page, the most that Clerk gives.
pub const PAGE_LEN: usize = 500;
/// The ids that one call may ask about, the most that Clerk takes.
pub const IDS_AT_ONCE: usize = 100;
/// How many calls Clerk takes in ten seconds from all who share the key of a production instance.
const PRODUCTION_LIMIT: u32 = 1_000;
/// The same of a development instance.
const DEVELOPMENT_LIMIT: u32 = 100;

/// Metadata is refused in `PATCH /users/{id}` since this version; it has its own route.
const API_VERSION: HeaderValue = HeaderValue::from_static("2026-05-12");
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// A sandbox may be frozen for minutes between two requests, and its connections die meanwhile.
const IDLE_TIMEOUT: Duration = Duration::from_secs(20);
/// How long a connection that has died without a word may swallow a request.
#[cfg(target_os = "linux")]
const UNACKNOWLEDGED_TIMEOUT: Duration = Duration::from_secs(3);

/// Speaks to the Backend API of one Clerk instance.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    /// The URL up to and with `/v1`.
    base: Arc<str>,
    calls_in_ten_seconds: u32,
}

impl Client {
    /// Takes the URL with or without `/v1`, and the secret key `sk_…`.
    pub fn new(base_url: &str, secret_key: &str) -> Configured<Self> {
        let base = config::clerk_api_url(base_url)?;
        let http = http_client(secret_key).map_err(|problem| config::Error {
            part: Part::Clerk,
            variable: "CLERK_SECRET_KEY",
            problem,
        })?;
        Ok(Self {
            http,
            base: base.into(),
            calls_in_ten_seconds: if secret_key.starts_with("sk_live_") {
                PRODUCTION_LIMIT
            } else {
                DEVELOPMENT_LIMIT
            },
        })
    }

    /// Reads `CLERK_SECRET_KEY` and `CLERK_API_URL`.
    pub fn from_settings(settings: &Settings) -> Configured<Self> {
        let secret_key = settings.required(Part::Clerk, "CLERK_SECRET_KEY")?;
        let base_url = settings
            .optional("CLERK_API_URL")
            .unwrap_or(config::CLERK_API_URL);
        Self::new(base_url, secret_key)
    }

    /// How many calls Clerk takes in ten seconds from all who share this key.
    pub fn calls_in_ten_seconds(&self) -> u32 {
        self.calls_in_ten_seconds
    }

    /// Reads one user.
    pub async fn user(&self, id: &ClerkUserId, budget: Budget) -> Result<User, Error> {
        let call = Call::<()>::new(Method::GET, format!("{}/users/{id}", self.base));
        self.ask(&call, budget).await
    }

    /// Reads the users with these ids; who is not in Clerk is missing in the answer.
    /// More than [`IDS_AT_ONCE`] take several calls.
    pub async fn users_by_id(
        &self,
        ids: &[ClerkUserId],
        budget: Budget,
    ) -> Result<Vec<User>, Error> {
        let mut users = Vec::new();
        for some in ids.chunks(IDS_AT_ONCE) {
            let call = Call::<()> {
                query: ids_query(some),
                ..Call::new(Method::GET, format!("{}/users", self.base))
            };
            users.extend(self.ask::<Vec<User>>(&call, budget).await?);
        }
        Ok(users)
    }

    /// Reads the users who have this address, whether it is known to be theirs or not.
    pub async fn users_by_email(&self, address: &str, budget: Budget) -> Result<Vec<User>, Error> {
        let call = Call::<()> {
            query: vec![
                ("limit", PAGE_LEN.to_string()),
                ("email_address", address.to_owned()),
            ],
            ..Call::new(Method::GET, format!("{}/users", self.base))
        };
        self.ask(&call, budget).await
    }

    /// Reads a page of all users, the oldest first.
    pub async fn users(&self, page: &UserPage, budget: Budget) -> Result<Vec<User>, Error> {
        let call = Call::<()> {
            query: page.query(),
            ..Call::new(Method::GET, format!("{}/users", self.base))
        };
        self.ask(&call, budget).await
    }

    /// When a user was changed last, of all; in ms.
    pub async fn last_change(&self, budget: Budget) -> Result<Option<i64>, Error> {
        let call = Call::<()> {
            query: vec![
                ("limit", "1".to_owned()),
                ("order_by", "-updated_at".to_owned()),
            ],
            ..Call::new(Method::GET, format!("{}/users", self.base))
        };
        let newest: Vec<User> = self.ask(&call, budget).await?;
        Ok(newest.first().and_then(|user| user.updated_at))
    }

    /// Counts the users.
    pub async fn n_users(&self, budget: Budget) -> Result<u64, Error> {
        let call = Call::<()>::new(Method::GET, format!("{}/users/count", self.base));
        let types::TotalCount { total_count } = self.ask(&call, budget).await?;
        Ok(total_count)
    }

    /// Changes fields of a user; never metadata.
    pub async fn patch_user(
        &self,
        id: &ClerkUserId,
        patch: &UserPatch,
        budget: Budget,
    ) -> Result<User, Error> {
        let call = Call {
            body: Some(patch),
            ..Call::new(Method::PATCH, format!("{}/users/{id}", self.base))
        };
        self.ask(&call, budget).await
    }

    /// Merges keys into a user's public metadata; a `null` removes its key, the others stay.
    pub async fn merge_metadata(
        &self,
        id: &ClerkUserId,
        public_metadata: &Map<String, Value>,
        budget: Budget,
    ) -> Result<User, Error> {
        let call = Call {
            body: Some(&types::MetadataPatch { public_metadata }),
            ..Call::new(Method::PATCH, format!("{}/users/{id}/metadata", self.base))
        };
        self.ask(&call, budget).await
    }

    /// Shuts a user out for good, and ends their sessions.
    pub async fn ban_user(&self, id: &ClerkUserId, budget: Budget) -> Result<User, Error> {
        let call = Call::<()>::new(Method::POST, format!("{}/users/{id}/ban", self.base));
        self.ask(&call, budget).await
    }

    /// Deletes a user.
    pub async fn delete_user(
        &self,
        id: &ClerkUserId,
        budget: Budget,
    ) -> Result<DeletedObject, Error> {
        let call = Call::<()>::new(Method::DELETE, format!("{}/users/{id}", self.base));
        self.ask(&call, budget).await
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        call: &Call<'_, impl Serialize>,
        budget: Budget,
    ) -> Result<T, Error> {
        let body = retry::send(&self.http, call, budget).await?;
        // Where it went wrong is looked for only then: to keep track of it takes twice the time.
        serde_json::from_slice(&body).or_else(|_| {
            let json = &mut serde_json::Deserializer::from_slice(&body);
            serde_path_to_error::deserialize(json)
                .map_err(|error| Error::Unreadable(UnreadableBody::new(&error)))
        })
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("base", &self.base)
            .field("secret_key", &"[redacted]")
            .finish_non_exhaustive()
    }
}

/// Asks for those of a list that are, or are of, these users.
fn ids_query(users: &[ClerkUserId]) -> Vec<(&'static str, String)> {
    let limit = ("limit", IDS_AT_ONCE.to_string());
    let ids = users.iter().map(|id| ("user_id", id.to_string()));
    std::iter::once(limit).chain(ids).collect()
}

/// The connections of one client.
///
/// The environment's proxies and the system's certificates are not read: neither changes under a
/// deployed function, and both would be paid for at every cold start.
fn http_client(secret_key: &str) -> Result<reqwest::Client, &'static str> {
    let is_key = secret_key.len() > "sk_".len()
        && secret_key.starts_with("sk_")
        && secret_key.bytes().all(|byte| byte.is_ascii_graphic());
    if !is_key {
        return Err("is not a secret key (sk_…)");
    }
    let problem = "cannot be used in a request";
    let mut authorization =
        HeaderValue::try_from(format!("Bearer {secret_key}")).map_err(|_| problem)?;
    authorization.set_sensitive(true);
    let headers = HeaderMap::from_iter([
        (AUTHORIZATION, authorization),
        (HeaderName::from_static("clerk-api-version"), API_VERSION),
    ]);
    let builder = reqwest::Client::builder()
        .tls_backend_preconfigured(tls_config()?)
        .default_headers(headers)
        .user_agent("clerk-sync")
        .redirect(redirect::Policy::none())
        .retry(reqwest::retry::never())
        .no_proxy()
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_idle_timeout(IDLE_TIMEOUT);
    #[cfg(target_os = "linux")]
    let builder = builder.tcp_user_timeout(UNACKNOWLEDGED_TIMEOUT);
    builder.build().map_err(|_| problem)
}

fn tls_config() -> Result<rustls::ClientConfig, &'static str> {
    let mut config = tls::client_config(&[]).map_err(|_| "cannot be sent: TLS is not available")?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

#[cfg(test)]
mod tests;
