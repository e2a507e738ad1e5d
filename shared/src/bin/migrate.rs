//! Applies the migrations to the database of `DATABASE_URL` and says which.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command speaks to its user"
)]

use std::process::ExitCode;

use shared::config::{Part, Settings};
use shared::db::{Address, migrate};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run().await {
        Ok(applied) if applied.is_empty() => println!("Nothing to do: the database is up to date."),
        Ok(applied) => applied.iter().for_each(|name| println!("Applied {name}.")),
        Err(message) => {
            eprintln!("migrate: {message}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

async fn run() -> Result<Vec<String>, String> {
    let settings = Settings::from_env();
    let address = settings
        .required(Part::Database, "DATABASE_URL")
        .and_then(|url| Address::new(url, settings.optional("DATABASE_CA_CERT")))
        .map_err(|error| format!("{} {}", error.variable, error.problem))?;
    migrate::run(&address)
        .await
        .map_err(|error| with_causes(&error))
}

fn with_causes(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error} {}", with_causes(source)),
        None => error.to_string(),
    }
}
