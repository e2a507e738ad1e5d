//! Where the database is, and how a connection to it is made.

use std::fmt;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio_postgres::{Client, Config};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::Error;
use crate::config::{self, Configured, Part};
use crate::telemetry::chain;
use crate::tls;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A database server, with the certificates that it is trusted by.
#[derive(Clone)]
pub struct Address {
    config: Config,
    extra_roots: Vec<CertificateDer<'static>>,
}

impl Address {
    /// Reads a connection string of libpq's two forms, and the PEM of a private authority.
    ///
    /// `verify-ca` and `verify-full` are taken as `require`: the chain and the name are always
    /// verified. `sslrootcert` is dropped: Mozilla's roots and `DATABASE_CA_CERT` are what counts.
    pub fn new(url: &str, ca_cert: Option<&str>) -> Configured<Self> {
        let invalid = |variable, problem| config::Error {
            part: Part::Database,
            variable,
            problem,
        };
        let mut config: Config = translate(url)
            .parse()
            .map_err(|_| invalid("DATABASE_URL", "is not a Postgres connection string"))?;
        if config.get_hosts().is_empty() {
            return Err(invalid("DATABASE_URL", "names no host"));
        }
        config
            .application_name("clerk-sync")
            .connect_timeout(CONNECT_TIMEOUT)
            .keepalives_idle(Duration::from_secs(30))
            .tcp_user_timeout(Duration::from_secs(10));
        // Settings of one line write the ends of a PEM's lines as \\n.
        let pem = ca_cert.unwrap_or_default().replace("\\n", "\n");
        let extra_roots = CertificateDer::pem_slice_iter(pem.as_bytes())
            .collect::<Result<Vec<_>, _>>()
            .map_err(|_| invalid("DATABASE_CA_CERT", "is not a PEM certificate"))?;
        if ca_cert.is_some() && extra_roots.is_empty() {
            return Err(invalid("DATABASE_CA_CERT", "holds no PEM certificate"));
        }
        Ok(Self {
            config,
            extra_roots,
        })
    }

    /// Opens a connection and leaves a task to drive it.
    pub(super) async fn connect(&self) -> Result<Client, Error> {
        let tls = tls::client_config(&self.extra_roots).map_err(Error::unreadable)?;
        let tls = MakeRustlsConnect::new(tls);
        let connecting = self.config.connect(tls);
        let (client, connection) = tokio::time::timeout(CONNECT_TIMEOUT, connecting)
            .await
            .map_err(|_| Error::timed_out())??;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(error = chain(&error), "a database connection ended");
            }
        });
        Ok(client)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Address")
            .field("hosts", &self.config.get_hosts())
            .finish_non_exhaustive()
    }
}

fn translate(url: &str) -> String {
    if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
        return translate_all(url.split_whitespace(), " ");
    }
    match url.split_once('?') {
        Some((address, query)) => {
            let query = translate_all(query.split('&'), "&");
            let mark = if query.is_empty() { "" } else { "?" };
            format!("{address}{mark}{query}")
        }
        None => url.to_owned(),
    }
}

fn translate_all<'a>(pairs: impl Iterator<Item = &'a str>, separator: &str) -> String {
    let translated = |pair: &'a str| match pair.split_once('=') {
        Some((key, value)) => {
            translate_pair(key, value).map(|(key, value)| format!("{key}={value}"))
        }
        None => Some(pair.to_owned()),
    };
    pairs
        .filter_map(translated)
        .collect::<Vec<_>>()
        .join(separator)
}

/// What the driver does not know, and what it does anyhow, is left out.
fn translate_pair<'a>(key: &'a str, value: &'a str) -> Option<(&'a str, &'a str)> {
    match (key, value) {
        ("sslrootcert" | "pgbouncer", _) => None,
        ("sslmode", "verify-ca" | "verify-full") => Some((key, "require")),
        ("sslmode", "allow") => Some((key, "prefer")),
        _ => Some((key, value)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_driver_does_not_know_is_translated() {
        let check = |given: &str, expected: &str| assert_eq!(translate(given), expected);
        check(
            "postgres://a:b@db.example/app?sslmode=verify-full&sslrootcert=system",
            "postgres://a:b@db.example/app?sslmode=require",
        );
        check(
            "postgresql://a@h/app?pgbouncer=true",
            "postgresql://a@h/app",
        );
        check(
            "postgres://a:p%40ss@h1:1,h2:2/app?sslmode=verify-full&connect_timeout=3",
            "postgres://a:p%40ss@h1:1,h2:2/app?sslmode=require&connect_timeout=3",
        );
        check(
            "host=h user=a sslmode=verify-ca",
            "host=h user=a sslmode=require",
        );
    }

    #[test]
    fn a_bad_address_is_named_and_not_shown() {
        let check = |url: &str, ca: Option<&str>, variable: &str| {
            let error = Address::new(url, ca).unwrap_err();
            assert_eq!(error.variable, variable);
            assert!(!format!("{error:?}").contains("hush"));
        };
        check("mysql://u:hush@h/db", None, "DATABASE_URL");
        check("postgres:///app?sslmode=hush", None, "DATABASE_URL");
        check("user=hush", None, "DATABASE_URL");
        check("postgres://u@h/db", Some("hush"), "DATABASE_CA_CERT");
    }

    #[test]
    fn no_password_shows_in_debug() {
        let address = Address::new("postgres://app:hush@db.example/app", None).unwrap();
        assert!(!format!("{address:?}").contains("hush"));
    }
}
