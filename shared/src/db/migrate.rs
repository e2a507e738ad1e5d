//! The migrations: forward only, each in a transaction of its own.

use super::{Address, Error};
use embedded::migrations::runner;

mod embedded {
    refinery::embed_migrations!("migrations");
}

/// Applies what has not been applied yet and returns its names, oldest first.
///
/// Two runs at the same moment are safe: one applies, the other waits for it.
pub async fn run(address: &Address) -> Result<Vec<String>, Error> {
    let mut client = address.connect().await?;
    // The lock lives as long as this transaction, which holds it on a connection of its own:
    // so it also works behind a pooler.
    let mut lock = address.connect().await?;
    let holding = lock.transaction().await?;
    holding
        .batch_execute("select pg_advisory_xact_lock(hashtext('clerk-sync migrations'))")
        .await?;
    let report = runner()
        .run_async(&mut client)
        .await
        .map_err(Error::unreadable)?;
    holding.commit().await?;
    Ok(report
        .applied_migrations()
        .iter()
        .map(ToString::to_string)
        .collect())
}

/// What tells the migrations apart from any other set of them.
pub fn fingerprints() -> Vec<u64> {
    runner()
        .get_migrations()
        .iter()
        .map(refinery::Migration::checksum)
        .collect()
}
