//! `drift`: what a comparison found.

use shared::db::Db;
use shared::db::drift::{Class, Filter};
use shared::db::runs::Shown;
use uuid::Uuid;

use crate::End;
use crate::findings::{Findings, Shows};
use crate::output::Output;
use crate::reconcile::{class, no_such_run};
use crate::setup::{Error, Setup};

/// Among so many of the last runs the one is looked for that compared something.
const N_RUNS: i64 = 20;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Of this comparison; else of the last one
    #[arg(long)]
    run: Option<Uuid>,
    /// Only differences of this class
    #[arg(long, value_parser = class())]
    class: Option<Class>,
    /// Only about this object, by its Clerk id
    #[arg(long)]
    object: Option<String>,
    /// How many are shown
    #[arg(long, default_value_t = 50)]
    limit: u32,
}

pub(crate) async fn run(setup: &Setup, output: Output, args: &Args) -> Result<End, Error> {
    let db = setup.db()?;
    let run = match args.run {
        Some(id) => db.shown_run(id).await?.ok_or_else(|| no_such_run(id))?,
        None => last_run(&db).await?,
    };
    let shows = Shows {
        filter: Filter {
            class: args.class,
            clerk_id: args.object.as_deref(),
            ..Filter::default()
        },
        limit: args.limit,
    };
    let findings = Findings::read(&db, run, shows, None).await?;
    output.answer(&findings, || findings.text())?;
    Ok(findings.end())
}

/// The last one that came as far as comparing.
async fn last_run(db: &Db) -> Result<Shown, Error> {
    let runs = db.shown_runs(N_RUNS).await?;
    let has_compared = |run: &Shown| run.progress.compared.total > 0 || !run.drift.is_empty();
    runs.into_iter().find(has_compared).ok_or_else(|| {
        Error::Refused(
            "Nothing has been compared yet: scripts/sync reconcile --report does so.".to_owned(),
        )
    })
}
