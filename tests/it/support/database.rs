//! A database for each test, cloned from one that the migrations made.

use std::time::Duration;

use shared::db::{Address, migrate};
use tokio_postgres::{Client, Config, NoTls};
use uuid::Uuid;

/// A database that is there for one test.
#[derive(Debug, Clone)]
pub(crate) struct Database {
    /// How the functions reach it.
    pub(crate) url: String,
    name: String,
}

impl Database {
    /// With all migrations applied.
    pub(crate) async fn new() -> Self {
        let template = template().await;
        let name = format!("test_{}", Uuid::new_v4().simple());
        let admin = admin().await;
        admin
            .batch_execute(&format!("create database {name} template {template}"))
            .await
            .expect("the template is cloned");
        Self {
            url: url_of(&name),
            name,
        }
    }

    /// With nothing in it.
    pub(crate) async fn empty() -> Self {
        let name = format!("test_{}", Uuid::new_v4().simple());
        admin()
            .await
            .batch_execute(&format!("create database {name}"))
            .await
            .unwrap();
        Self {
            url: url_of(&name),
            name,
        }
    }

    /// A connection of the test's own.
    pub(crate) async fn connect(&self) -> Client {
        connect(&self.url).await
    }

    /// Ends the connections of everybody else, as a restart of the server does.
    pub(crate) async fn end_connections(&self) {
        let statement = "
            select pg_terminate_backend(pid)
            from pg_stat_activity
            where datname = $1 and pid <> pg_backend_pid()";
        admin().await.query(statement, &[&self.name]).await.unwrap();
    }

    /// The same database through the pooler in transaction mode.
    pub(crate) fn pooled_url(&self) -> String {
        let pooler = setting("TEST_PGBOUNCER_URL");
        let (server, _) = pooler.rsplit_once('/').expect("an address with a database");
        format!("{server}/{}", self.name)
    }

    /// Removes it.
    pub(crate) async fn remove(&self) {
        let statement = format!("drop database {} with (force)", self.name);
        admin().await.batch_execute(&statement).await.unwrap();
    }
}

/// The database that the migrations made, made by whichever test is first.
async fn template() -> String {
    let name = format!("template_{}", fingerprint());
    let admin = admin().await;
    admin
        .batch_execute("select pg_advisory_lock(20261121)")
        .await
        .unwrap();
    let found = admin
        .query_opt("select from pg_database where datname = $1", &[&name])
        .await
        .unwrap();
    if found.is_none() {
        let draft = format!("{name}_draft");
        let drop = format!("drop database if exists {draft} with (force)");
        admin.batch_execute(&drop).await.unwrap();
        admin
            .batch_execute(&format!("create database {draft}"))
            .await
            .unwrap();
        let address = Address::new(&url_of(&draft), None).unwrap();
        migrate::run(&address).await.expect("the migrations apply");
        wait_until_unused(&admin, &draft).await;
        let rename = format!("alter database {draft} rename to {name}");
        admin.batch_execute(&rename).await.unwrap();
    }
    admin
        .batch_execute("select pg_advisory_unlock(20261121)")
        .await
        .unwrap();
    name
}

async fn wait_until_unused(admin: &Client, name: &str) {
    let count = "select count(*) from pg_stat_activity where datname = $1";
    for _ in 0..200 {
        let n_connections: i64 = admin.query_one(count, &[&name]).await.unwrap().get(0);
        if n_connections == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{name} is still in use");
}

/// Changes whenever a migration does.
fn fingerprint() -> String {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    migrate::fingerprints().hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

fn url_of(name: &str) -> String {
    let server = setting("TEST_DATABASE_URL");
    let (server, _) = server.rsplit_once('/').expect("an address with a database");
    format!("{server}/{name}")
}

async fn admin() -> Client {
    connect(&setting("TEST_DATABASE_URL")).await
}

async fn connect(url: &str) -> Client {
    let config: Config = url.parse().unwrap();
    let (client, connection) = config
        .connect(NoTls)
        .await
        .expect("the test server answers");
    tokio::spawn(connection);
    client
}

/// A test that cannot run fails: without the servers there is nothing to prove.
#[expect(
    clippy::disallowed_methods,
    reason = "the servers of the tests are no settings of ours"
)]
fn setting(name: &str) -> String {
    std::env::var(name)
        .unwrap_or_else(|_| panic!("{name} is not set: run the tests with scripts/test"))
}
