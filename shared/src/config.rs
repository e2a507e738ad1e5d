//! Settings: read from the environment once, at cold start, and nowhere else.
//!
//! A missing or malformed setting is an [`Error`] kept beside the others, so that only the routes
//! that need it refuse. It names the variable and never shows its value.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use url::{Host, Url};

/// Where Clerk's API is, unless a setting says otherwise.
pub const CLERK_API_URL: &str = "https://api.clerk.com";

/// Every variable that is read.
const VARIABLES: [&str; 20] = [
    "ADMIN_FRESHNESS_SECONDS",
    "APP_ENV",
    "AWS_LAMBDA_FUNCTION_NAME",
    "AWS_LAMBDA_LOG_LEVEL",
    "CLERK_API_URL",
    "CLERK_AUTHORIZED_PARTIES",
    "CLERK_INSTANCE_ID",
    "CLERK_ISSUER",
    "CLERK_JWT_KEY",
    "CLERK_SECRET_KEY",
    "CLERK_WEBHOOK_SECRET",
    "CLERK_WEBHOOK_SIGNING_SECRET",
    "DATABASE_CA_CERT",
    "DATABASE_URL",
    "RECONCILE_INTERVAL_MINUTES",
    "RECONCILE_MODE",
    "REPAIR_MAX_DELETIONS",
    "REPAIR_MAX_PERCENT",
    "RETENTION_DAYS",
    "RUST_LOG",
];

/// The settings of one process.
#[derive(Clone)]
pub struct Settings {
    values: BTreeMap<&'static str, String>,
}

/// What a route needs, or why it is not there.
pub type Configured<T> = Result<T, Error>;

/// What a setting belongs to, as the caller reads it when the setting is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Clerk's API and session tokens.
    Clerk,
    /// Postgres.
    Database,
    /// The signatures of webhooks.
    Webhook,
    /// A number or a mode.
    Limits,
}

/// A setting is missing or malformed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{part} not configured")]
pub struct Error {
    /// What does not work without it.
    pub part: Part,
    /// The variable.
    pub variable: &'static str,
    /// What is wrong with it, without its value.
    pub problem: &'static str,
}

impl Settings {
    /// Reads the process's environment.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that reads it"
    )]
    pub fn from_env() -> Self {
        Self::from_lookup(|variable| std::env::var(variable).ok())
    }

    /// Takes the settings from pairs, as tests do.
    pub fn from_pairs<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let pairs: BTreeMap<&str, &str> = pairs.into_iter().collect();
        Self::from_lookup(|variable| pairs.get(variable).map(|&value| value.to_owned()))
    }

    /// The value, unless it is missing or blank.
    pub fn optional(&self, variable: &'static str) -> Option<&str> {
        debug_assert!(
            VARIABLES.contains(&variable),
            "{variable} is not in VARIABLES"
        );
        self.values.get(variable).map(String::as_str)
    }

    /// The value; an error that names the variable when there is none.
    pub fn required(&self, part: Part, variable: &'static str) -> Configured<&str> {
        let value = self.optional(variable).ok_or(Error {
            part,
            variable,
            problem: "is not set",
        })?;
        if value.starts_with("ssm:") || value.starts_with("secretsmanager:") {
            let problem = "names a secret store, which this build does not read";
            return Err(Error {
                part,
                variable,
                problem,
            });
        }
        Ok(value)
    }

    /// The value as a number, or the default when there is none.
    pub fn number<T: FromStr>(&self, variable: &'static str, default: T) -> Configured<T> {
        let Some(text) = self.optional(variable) else {
            return Ok(default);
        };
        let problem = "is not a whole number in range";
        text.parse().map_err(|_| Error {
            part: Part::Limits,
            variable,
            problem,
        })
    }

    /// The values of a list separated by spaces or commas.
    pub fn list(&self, variable: &'static str) -> Vec<&str> {
        let text = self.optional(variable).unwrap_or_default();
        text.split([' ', ',', '\n', '\t'])
            .filter(|item| !item.is_empty())
            .collect()
    }

    /// Whether `APP_ENV` says `development`; anything else is production.
    pub fn is_development(&self) -> bool {
        self.optional("APP_ENV") == Some("development")
    }

    fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Self {
        let read = |variable: &'static str| {
            let value = lookup(variable)?.trim().to_owned();
            (!value.is_empty()).then_some((variable, value))
        };
        Self {
            values: VARIABLES.into_iter().filter_map(read).collect(),
        }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.values.keys()).finish()
    }
}

impl Error {
    /// Writes the problem to the log, at cold start.
    pub fn log(&self) {
        tracing::error!(
            setting = self.variable,
            "{} {}; routes that need it answer 500 not_configured",
            self.variable,
            self.problem
        );
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Clerk => "Clerk authentication",
            Self::Database => "Database",
            Self::Webhook => "Webhook verification",
            Self::Limits => "A limit",
        })
    }
}

/// The URL of Clerk's API up to and with `/v1`, which may be given with or without it.
///
/// Plain HTTP is for this machine only: a secret key travels along.
pub fn clerk_api_url(text: &str) -> Configured<String> {
    let (part, variable) = (Part::Clerk, "CLERK_API_URL");
    parse_clerk_api_url(text).map_err(|problem| Error {
        part,
        variable,
        problem,
    })
}

fn parse_clerk_api_url(text: &str) -> Result<String, &'static str> {
    let url = Url::parse(text).map_err(|_| "is not a URL")?;
    let is_loopback = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => return Err("names no host"),
    };
    match url.scheme() {
        "https" => {}
        "http" if is_loopback => {}
        "http" => return Err("must be https: the key would travel in the clear"),
        _ => return Err("is not an http URL"),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("holds a user name or a password");
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("holds more than an address");
    }
    let trimmed = url.as_str().trim_end_matches('/');
    let trimmed = trimmed.strip_suffix("/v1").unwrap_or(trimmed);
    Ok(format!("{}/v1", trimmed.trim_end_matches('/')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blank_setting_is_a_missing_one() {
        let settings = Settings::from_pairs([("DATABASE_URL", "  "), ("PATH", "/bin")]);
        assert_eq!(settings.optional("DATABASE_URL"), None);
        let error = settings
            .required(Part::Database, "DATABASE_URL")
            .unwrap_err();
        assert_eq!(error.to_string(), "Database not configured");
        assert_eq!(error.variable, "DATABASE_URL");
    }

    #[test]
    fn no_setting_shows_in_debug() {
        let settings = Settings::from_pairs([("CLERK_SECRET_KEY", "sk_test_hush")]);
        assert_eq!(format!("{settings:?}"), r#"{"CLERK_SECRET_KEY"}"#);
    }

    #[test]
    fn numbers_and_lists() {
        let settings = Settings::from_pairs([
            ("RETENTION_DAYS", "7"),
            ("ADMIN_FRESHNESS_SECONDS", "soon"),
            (
                "CLERK_AUTHORIZED_PARTIES",
                "https://a.example, https://b.example",
            ),
        ]);
        assert_eq!(settings.number("RETENTION_DAYS", 30_u32), Ok(7));
        assert!(settings.number("ADMIN_FRESHNESS_SECONDS", 300_u32).is_err());
        let parties = settings.list("CLERK_AUTHORIZED_PARTIES");
        assert_eq!(parties, ["https://a.example", "https://b.example"]);
    }

    #[test]
    fn a_secret_store_is_never_taken_for_the_secret_itself() {
        let settings = Settings::from_pairs([("CLERK_SECRET_KEY", "ssm:/clerk/key")]);
        assert!(settings.required(Part::Clerk, "CLERK_SECRET_KEY").is_err());
    }

    #[test]
    fn everything_but_development_is_production() {
        for (value, expected) in [("development", true), ("production", false), ("Dev", false)] {
            assert_eq!(
                Settings::from_pairs([("APP_ENV", value)]).is_development(),
                expected
            );
        }
        assert!(!Settings::from_pairs([]).is_development());
    }
}
