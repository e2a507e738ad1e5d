//! `scripts/sync`: compares Clerk with the database, mends what differs, replays events, and tells
//! why things are as they are.
//!
//! It reads the settings of the functions, and works by the same rules: what it does is in `shared`.
//! Here is only what a person types, and how the answer is written.

mod bars;
mod difference;
mod drift;
mod explain;
mod findings;
mod follow;
mod log;
mod output;
mod reconcile;
mod replay;
mod setup;
mod status;
mod words;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use shared::config::Settings;

use output::Output;
use setup::{Error, Setup};

/// Keeps an eye on Clerk and the database, and brings them into agreement
#[derive(Debug, Parser)]
#[command(
    bin_name = "scripts/sync",
    after_help = "Exit status of reconcile, backfill, drift and replay: 0 nothing differs or is \
                  left, 1 something does (or waits for an approval), 2 wrong use or settings, \
                  3 it failed, 130 it was interrupted. The others: 0 unless they fail."
)]
struct Cli {
    /// Writes one JSON document instead of text
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Shows how the two sides stand
    Status,
    /// Compares all that Clerk has with all that is here
    Reconcile(reconcile::Args),
    /// Fills the database from Clerk: the same as `reconcile --repair`, for the first time
    Backfill(reconcile::BackfillArgs),
    /// Shows what a comparison found
    Drift(drift::Args),
    /// Takes in again what is dead or parked
    Replay(replay::Args),
    /// Tells why an event did what it did, or what happened to a user, organization or membership
    Explain(explain::Args),
}

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// Nothing differs, or not any more.
    Good,
    /// Something differs, or waits for a person.
    Differs,
    /// It came to nothing.
    Failed,
    /// The user had enough.
    Interrupted,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    log::init();
    let setup = Setup::new(Settings::from_env());
    let output = Output { is_json: cli.json };
    match Box::pin(run(cli.command, &setup, output)).await {
        Ok(end) => end.into(),
        Err(error) => {
            output::note(&format!("error: {error}"));
            error.exit_status()
        }
    }
}

async fn run(command: Command, setup: &Setup, output: Output) -> Result<End, Error> {
    match command {
        Command::Status => status::run(setup, output).await,
        Command::Reconcile(args) => Box::pin(reconcile::run(setup, output, &args)).await,
        Command::Backfill(args) => Box::pin(reconcile::backfill(setup, output, &args)).await,
        Command::Drift(args) => drift::run(setup, output, &args).await,
        Command::Replay(args) => Box::pin(replay::run(setup, output, &args)).await,
        Command::Explain(args) => explain::run(setup, output, &args).await,
    }
}

impl From<End> for ExitCode {
    fn from(end: End) -> Self {
        Self::from(match end {
            End::Good => 0,
            End::Differs => 1,
            End::Failed => 3,
            End::Interrupted => 130,
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_arguments_are_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn wrong_use_is_refused() {
        let check = |line: &str, is_good: bool| {
            let parsed = Cli::try_parse_from(line.split(' '));
            assert_eq!(parsed.is_ok(), is_good, "{line}: {parsed:?}");
        };
        let run = "6b4c6d1e-8f0e-4f39-9d8e-111111111111";
        check("sync", false);
        check("sync status", true);
        check("sync --json status", true);
        check("sync reconcile", false);
        check("sync reconcile --report --json", true);
        check("sync reconcile --report --repair", false);
        check("sync reconcile --report --max-deletions 1", false);
        check("sync reconcile --report --dry-run", false);
        check(
            "sync reconcile --repair --class stale_high --class missing",
            true,
        );
        check("sync reconcile --repair --class stalest", false);
        check("sync reconcile --repair --max-deletions -1", false);
        check(
            &format!("sync reconcile --repair --run {run} --dry-run"),
            true,
        );
        check(&format!("sync reconcile --resume --run {run}"), false);
        check(&format!("sync reconcile --cancel --run {run}"), true);
        check("sync reconcile --repair --run 7", false);
        check("sync drift --class orphaned --limit 5", true);
        check("sync replay", false);
        check("sync replay --dry-run", false);
        check("sync replay msg_1 msg_2 --dry-run", true);
        check("sync replay msg_1 --outcome dead", false);
        check("sync replay --outcome applied", false);
        check(
            "sync replay --outcome dead --since 2026-11-21T00:00:00Z",
            true,
        );
        check("sync replay --since yesterday", false);
        check("sync replay --object somebody", false);
        check("sync explain", false);
        check("sync explain user_1", true);
    }
}
