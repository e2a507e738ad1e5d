//! Postgres: one cached connection for each sandbox, and all SQL of the project.
//!
//! Every statement goes out unnamed and in one round trip (`query_typed`), which is right behind
//! every pooler: no prepared statement, session setting or session lock outlives a transaction.
//! Enumerations travel as text, so that no statement needs a second look-up of types.
//! Knows nothing of Clerk's API.

mod connect;
mod error;
pub mod inbox;
pub mod migrate;
pub mod outbox;
pub mod role_changes;
pub mod roles;
pub mod users;

use std::ops::AsyncFn;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Mutex;
use tokio_postgres::Client;

use crate::config::{Configured, Part, Settings};
use crate::telemetry::chain;

pub use connect::Address;
pub use error::Error;
pub use users::Role;

/// How long one round trip may take before the connection is given up.
const QUERY_TIMEOUT: Duration = Duration::from_secs(5);
/// After so long without use the connection is tried before it is trusted:
/// the sandbox may have been frozen, and its peer gone without a word.
const IDLE_LIMIT: Duration = Duration::from_mins(1);
/// How long that trial may take.
const TRIAL_TIMEOUT: Duration = Duration::from_secs(1);

/// The database; connects at the first use, and again when the connection is lost.
#[derive(Debug)]
pub struct Db {
    address: Address,
    cached: Mutex<Option<Cached>>,
}

#[derive(Debug)]
struct Cached {
    client: Arc<Client>,
    used_at: Instant,
}

impl Db {
    /// Reads `DATABASE_URL` and `DATABASE_CA_CERT`; does not connect.
    pub fn from_settings(settings: &Settings) -> Configured<Self> {
        let url = settings.required(Part::Database, "DATABASE_URL")?;
        let address = Address::new(url, settings.optional("DATABASE_CA_CERT"))?;
        Ok(Self {
            address,
            cached: Mutex::new(None),
        })
    }

    /// Runs `work` on the connection.
    ///
    /// When the connection turns out to be dead (a restarted server, a thawed sandbox), or the
    /// server asks for another try, `work` runs once more: it has to be safe to repeat.
    pub(crate) async fn run<T>(
        &self,
        work: impl AsyncFn(&Client) -> Result<T, tokio_postgres::Error>,
    ) -> Result<T, Error> {
        match self.run_once(&work).await {
            Err(error) if error.is_worth_another_try() => {
                tracing::warn!(
                    error = chain(&error),
                    "the database connection was lost; reconnecting once"
                );
                self.run_once(&work).await
            }
            result => result,
        }
    }

    async fn run_once<T>(
        &self,
        work: &impl AsyncFn(&Client) -> Result<T, tokio_postgres::Error>,
    ) -> Result<T, Error> {
        let client = self.client().await?;
        let result = match tokio::time::timeout(QUERY_TIMEOUT, work(&client)).await {
            Ok(result) => result.map_err(Error::from),
            Err(_) => Err(Error::timed_out()),
        };
        if result.as_ref().is_err_and(Error::is_unavailable) {
            self.forget(&client).await;
        }
        result
    }

    async fn client(&self) -> Result<Arc<Client>, Error> {
        let mut cached = self.cached.lock().await;
        if let Some(Cached { client, used_at }) = cached.as_mut()
            && is_alive(client, *used_at).await
        {
            *used_at = Instant::now();
            return Ok(Arc::clone(client));
        }
        let client = Arc::new(self.address.connect().await?);
        *cached = Some(Cached {
            client: Arc::clone(&client),
            used_at: Instant::now(),
        });
        Ok(client)
    }

    async fn forget(&self, lost: &Arc<Client>) {
        let mut cached = self.cached.lock().await;
        if cached
            .as_ref()
            .is_some_and(|cached| Arc::ptr_eq(&cached.client, lost))
        {
            *cached = None;
        }
    }
}

async fn is_alive(client: &Client, used_at: Instant) -> bool {
    if client.is_closed() {
        return false;
    }
    if used_at.elapsed() < IDLE_LIMIT {
        return true;
    }
    let trial = tokio::time::timeout(TRIAL_TIMEOUT, client.check_connection()).await;
    matches!(trial, Ok(Ok(())))
}
