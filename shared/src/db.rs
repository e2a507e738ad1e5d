//! Postgres: one cached connection for each sandbox, and all SQL of the project.
//!
//! Every statement goes out unnamed and in one round trip (`query_typed`), which is right behind
//! every pooler: no prepared statement, session setting or session lock outlives a transaction.
//! Enumerations travel as text, so that no statement needs a second look-up of types.
//! Knows nothing of Clerk's API.

mod connect;
mod cursor;
pub mod drift;
pub mod email_changes;
mod error;
pub mod history;
pub mod inbox;
pub mod listed;
pub mod memberships;
pub mod migrate;
pub mod organizations;
mod outage;
pub mod outbox;
pub mod overview;
pub mod placeholders;
pub mod profile_edits;
pub mod role_changes;
pub mod roles;
pub mod runs;
pub mod users;
pub mod walks;

use std::ops::AsyncFn;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::Mutex;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Row};

use crate::config::{Configured, Part, Settings};
use crate::telemetry::chain;
use crate::telemetry::metrics::{self, Metric};

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

/// Since when a row is known to be what Clerk has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Confirms {
    /// Clerk was asked just now.
    Now,
    /// It was so when the version was made.
    AsOfVersion,
}

/// Whether to read what was written in the same transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// Postgres's word is enough.
    No,
    /// Somebody is told that it is so.
    ReadBack,
}

/// What came of a batch of writes.
#[derive(Debug, Clone, PartialEq)]
pub struct Written<R> {
    /// For each write, whether it was done; if not, the row had changed, or the delivery was known.
    pub is_done: Vec<bool>,
    /// The rows as the same transaction read them afterwards, if it was asked to.
    pub read_back: Vec<R>,
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

    /// Runs one statement that answers with no rows, and returns how many it changed.
    async fn execute(
        &self,
        statement: &str,
        values: &[(&(dyn ToSql + Sync), Type)],
    ) -> Result<u64, Error> {
        self.run(async |client| client.execute_typed(statement, values).await)
            .await
    }

    async fn run_once<T>(
        &self,
        work: &impl AsyncFn(&Client) -> Result<T, tokio_postgres::Error>,
    ) -> Result<T, Error> {
        let begun_at = Instant::now();
        let result = self.try_once(work).await;
        metrics::time(Metric::DatabaseTime, begun_at.elapsed());
        // What is wrong with the values is not wrong with the database.
        if result.as_ref().is_err_and(|it| !it.is_about_the_data()) {
            metrics::count(Metric::DatabaseFailures);
        }
        result
    }

    async fn try_once<T>(
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

/// When to ask Clerk again after it gave no answer, in SQL, by the column that counts how often that
/// was: 5 s, doubling, at most 10 min.
fn next_try(count: &str) -> String {
    format!("now() + make_interval(secs => least(600, 5 * 2 ^ least({count}, 10)))")
}

impl<R: DeserializeOwned> Written<R> {
    /// What the statement answered for `n` writes, and the rows that were read after it.
    fn read(rows: &[Row], read_back: &[Row], n: usize) -> Result<Self, Error> {
        let read_back = read_back.iter().map(|row| decode(row, "row"));
        Ok(Self {
            is_done: is_done(rows, n)?,
            read_back: read_back.collect::<Result<_, _>>()?,
        })
    }
}

/// The pattern for texts that contain `text`, whose own wildcards are plain characters.
fn contains(text: &str) -> String {
    let escaped = text
        .replace('\\', r"\\")
        .replace('%', r"\%")
        .replace('_', r"\_");
    format!("%{escaped}%")
}

/// Reads a column of JSON; an SQL null is a JSON null.
fn decode<T: DeserializeOwned>(row: &Row, column: &str) -> Result<T, Error> {
    let value: Option<Value> = row.try_get(column)?;
    T::deserialize(value.unwrap_or_default()).map_err(Error::unreadable)
}

/// Which of `n` writes were done, by the places (`n`, from 1) that the statement answered with.
fn is_done(rows: &[Row], n: usize) -> Result<Vec<bool>, Error> {
    let mut is_done = vec![false; n];
    for row in rows {
        let place: i64 = row.try_get("n")?;
        let index = usize::try_from(place - 1).map_err(Error::unreadable)?;
        if let Some(done) = is_done.get_mut(index) {
            *done = true;
        }
    }
    Ok(is_done)
}
