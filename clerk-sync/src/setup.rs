//! What the command works with, made of the settings; and what goes wrong.

use std::io;
use std::process::ExitCode;

use shared::config::{self, Settings};
use shared::db::Db;
use shared::sync::Brake;
use shared::{clerk, db};

/// The tables or columns are not those that this version knows.
const NO_SUCH_TABLE: [&str; 2] = ["42P01", "42703"];

/// Makes what a command needs, when it needs it.
#[derive(Debug)]
pub(crate) struct Setup {
    settings: Settings,
}

/// Why a command came to nothing; one line for the user, without secrets.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// A setting is missing or malformed.
    #[error("{} {}. {}", .0.variable, .0.problem, advice(.0.variable))]
    Setting(#[from] config::Error),
    /// The arguments contradict each other, or what is there.
    #[error("{0}")]
    WrongUse(String),
    /// It cannot be done now.
    #[error("{0}")]
    Refused(String),
    /// The database did not answer, or refused.
    #[error("{}{}", with_causes(.0), migrate_first(.0))]
    Database(#[from] db::Error),
    /// The terminal, or what stands for it, cannot be used.
    #[error("The answer could not be written: {0}")]
    Output(#[from] io::Error),
}

impl Setup {
    pub(crate) fn new(settings: Settings) -> Self {
        Self { settings }
    }

    /// A connection of its own.
    pub(crate) fn db(&self) -> Result<Db, Error> {
        Ok(Db::from_settings(&self.settings)?)
    }

    pub(crate) fn clerk(&self) -> Result<clerk::Client, Error> {
        Ok(clerk::Client::from_settings(&self.settings)?)
    }

    /// The same, unless no key is set.
    pub(crate) fn optional_clerk(&self) -> Result<Option<clerk::Client>, Error> {
        if self.settings.optional("CLERK_SECRET_KEY").is_none() {
            return Ok(None);
        }
        self.clerk().map(Some)
    }

    /// What a repair may do unasked.
    pub(crate) fn brake(&self) -> Result<Brake, Error> {
        Ok(Brake::from_settings(&self.settings)?)
    }

    /// The one instance whose events count, if it is pinned.
    pub(crate) fn instance_id(&self) -> Option<&str> {
        self.settings.optional("CLERK_INSTANCE_ID")
    }
}

impl Error {
    pub(crate) fn exit_status(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Setting(_) | Self::WrongUse(_) => 2,
            Self::Refused(_) | Self::Database(_) | Self::Output(_) => 3,
        })
    }
}

/// What to do about a setting.
fn advice(variable: &str) -> &'static str {
    match variable {
        "DATABASE_URL" => {
            "Set it to the address of the functions' database: postgres://user:password@host/name."
        }
        "DATABASE_CA_CERT" => "Set it to the PEM of the authority, or leave it out.",
        "CLERK_SECRET_KEY" => {
            "Set it to the secret key of the Clerk instance (sk_test_… or sk_live_…), which its \
             dashboard shows under API keys."
        }
        "CLERK_API_URL" => "Leave it out to ask https://api.clerk.com.",
        "REPAIR_MAX_DELETIONS" => "Set it to a number, or leave it out for 10.",
        "REPAIR_MAX_PERCENT" => "Set it to a number, or leave it out for 2.",
        _ => "README.md says what it means.",
    }
}

/// An error and all that caused it, in one line.
fn with_causes(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error} {}", with_causes(source)),
        None => error.to_string(),
    }
}

fn migrate_first(error: &db::Error) -> &'static str {
    let is_older = error
        .sql_state()
        .is_some_and(|state| NO_SUCH_TABLE.contains(&state));
    if is_older {
        ". Its tables are not those of this version: run scripts/migrate first."
    } else {
        ""
    }
}
