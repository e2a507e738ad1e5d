//! `reconcile` and `backfill`: compare all that Clerk has with all that is here, and mend it.

use clap::ArgGroup;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use serde::Serialize;
use shared::db::Db;
use shared::db::drift::{Class, Filter};
use shared::db::runs::{Approval, Mode, NewRun, Shown, State};
use uuid::Uuid;

use crate::End;
use crate::findings::{Findings, Shows, begun_at};
use crate::follow;
use crate::output::Output;
use crate::setup::{Error, Setup};
use crate::words;

/// Who asks for a run, as the runs name them.
const ACTOR: &str = "command";
/// The run that is under way is the newest, but for some that ended since.
const N_RUNS: i64 = 20;

#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
#[command(group(
    ArgGroup::new("what").required(true).args(["report", "repair", "resume", "cancel"])
))]
pub(crate) struct Args {
    /// Tells what differs, and changes nothing
    #[arg(long)]
    report: bool,
    /// Tells what differs, and mends it
    #[arg(long)]
    repair: bool,
    /// Goes on with the comparison that is under way
    #[arg(long)]
    resume: bool,
    /// Ends the comparison that is under way, or the one of --run, which waits
    #[arg(long)]
    cancel: bool,
    /// Mends what this comparison found, and approves what it held back, up to the ceilings
    #[arg(long, conflicts_with_all = ["report", "resume"])]
    run: Option<Uuid>,
    /// Only shows what would be mended
    #[arg(long, conflicts_with_all = ["report", "resume", "cancel"])]
    dry_run: bool,
    /// Mends only this class; may be said several times
    #[arg(long = "class", conflicts_with_all = ["report", "resume", "cancel"], value_parser = class())]
    classes: Vec<Class>,
    /// Deletes no more than so many users, organizations and memberships together
    #[arg(long, conflicts_with_all = ["report", "resume", "cancel"], value_name = "N")]
    max_deletions: Option<u32>,
    /// Takes rights from no more than so many
    #[arg(long, conflicts_with_all = ["report", "resume", "cancel"], value_name = "N")]
    max_demotions: Option<u32>,
    /// How many differences are shown
    #[arg(long, default_value_t = 50, value_name = "N")]
    limit: u32,
}

#[derive(Debug, clap::Args)]
pub(crate) struct BackfillArgs {
    /// How many differences are shown
    #[arg(long, default_value_t = 50, value_name = "N")]
    limit: u32,
}

/// What `backfill` answers.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Filled {
    n_made: u64,
    #[serde(flatten)]
    findings: Findings,
}

impl Filled {
    fn text(&self) -> String {
        let text = self.findings.text();
        // Of a run that failed, was cancelled or waits, something is missing yet.
        if self.findings.run.state != State::Done {
            return text;
        }
        let made = words::n_of(self.n_made, "row");
        format!("{text}\nThe database is filled from Clerk: {made} made, of what was not here.\n")
    }
}

/// What `--cancel` answers.
#[derive(Serialize)]
struct Cancelled {
    run: Shown,
}

/// The names of the classes, as arguments.
pub(crate) fn class() -> impl TypedValueParser<Value = Class> {
    let known = |name: String| {
        let mut all = Class::ALL.into_iter();
        all.find(|class| class.as_str() == name)
            .ok_or("no such class")
    };
    PossibleValuesParser::new(Class::ALL.map(Class::as_str)).try_map(known)
}

pub(crate) async fn run(setup: &Setup, output: Output, args: &Args) -> Result<End, Error> {
    if args.cancel {
        return cancel(setup, output, args.run).await;
    }
    // Before anything is begun: what works on it needs the key.
    setup.clerk()?;
    let db = setup.db()?;
    let approval = args.approval(setup)?;
    let dry_run = args.dry_run.then_some(&approval);
    let run = match args.run {
        Some(run) if args.dry_run => {
            let run = db.shown_run(run).await?.ok_or_else(|| no_such_run(run))?;
            return tell(&db, output, run, args.limit, dry_run).await;
        }
        Some(run) => approve(&db, run, &approval).await?,
        None if args.resume => run_under_way(&db).await?.id,
        // A dry run compares, and no more.
        None if args.report || args.dry_run => begin(&db, Mode::Report, approval.clone()).await?,
        None => begin(&db, Mode::Repair, approval.clone()).await?,
    };
    let Some(run) = follow::until_over(setup, run).await? else {
        return Ok(End::Interrupted);
    };
    tell(&db, output, run, args.limit, dry_run).await
}

async fn tell(
    db: &Db,
    output: Output,
    run: Shown,
    limit: u32,
    dry_run: Option<&Approval>,
) -> Result<End, Error> {
    let findings = Findings::read(db, run, shows(limit), dry_run).await?;
    output.answer(&findings, || findings.text())?;
    Ok(findings.end())
}

pub(crate) async fn backfill(
    setup: &Setup,
    output: Output,
    args: &BackfillArgs,
) -> Result<End, Error> {
    setup.clerk()?;
    let db = setup.db()?;
    let approval = setup.brake()?.approval();
    let run = begin(&db, Mode::Repair, approval).await?;
    let Some(run) = follow::until_over(setup, run).await? else {
        return Ok(End::Interrupted);
    };
    let findings = Findings::read(&db, run, shows(args.limit), None).await?;
    let missing = findings.run.drift.get(Class::Missing.as_str());
    let n_made = missing.and_then(|it| it.get("repaired")?.as_u64());
    let filled = Filled {
        n_made: n_made.unwrap_or(0),
        findings,
    };
    output.answer(&filled, || filled.text())?;
    Ok(filled.findings.end())
}

fn shows<'a>(limit: u32) -> Shows<'a> {
    Shows {
        filter: Filter::default(),
        limit,
    }
}

async fn begin(db: &Db, mode: Mode, approval: Approval) -> Result<Uuid, Error> {
    let new = NewRun {
        mode,
        actor: ACTOR.to_owned(),
        request_id: None,
        approval,
    };
    if let Some(run) = db.begin_run(&new).await? {
        return Ok(run);
    }
    let run = run_under_way(db).await?;
    Err(Error::Refused(format!(
        "A comparison is under way: {} ({}, begun {}, {}). scripts/sync reconcile --resume follows \
         it, and scripts/sync reconcile --cancel ends it.",
        run.id,
        words::mode(run.mode),
        begun_at(&run),
        words::state(run.state),
    )))
}

impl Args {
    /// What may be repaired. Whoever names a comparison or a limit knows what they ask for.
    fn approval(&self, setup: &Setup) -> Result<Approval, Error> {
        let classes = Some(self.classes.clone()).filter(|classes| !classes.is_empty());
        let has_limits =
            classes.is_some() || self.max_deletions.is_some() || self.max_demotions.is_some();
        Ok(Approval {
            classes,
            max_deletions: self.max_deletions,
            max_demotions: self.max_demotions,
            is_explicit: self.run.is_some() || has_limits,
            ..setup.brake()?.approval()
        })
    }
}

/// Has a run go on that is over: what it held back is approved, up to the ceilings.
async fn approve(db: &Db, run: Uuid, approval: &Approval) -> Result<Uuid, Error> {
    let watched = db.shown_progress(run).await?;
    let watched = watched.ok_or_else(|| no_such_run(run))?;
    if db.approve_run(run, approval).await? {
        return Ok(run);
    }
    let why = if watched.state.is_open() {
        "it is under way; scripts/sync reconcile --resume follows it"
    } else {
        "another one is under way or came after it, or it ended without a result; scripts/sync \
         reconcile --repair begins a new one"
    };
    Err(Error::Refused(format!(
        "What the comparison {run} found cannot be mended: {why}."
    )))
}

async fn cancel(setup: &Setup, output: Output, run: Option<Uuid>) -> Result<End, Error> {
    let db = setup.db()?;
    let run = match run {
        Some(run) => run,
        None => run_under_way(&db).await?.id,
    };
    if !db.cancel_run(run).await? {
        return Err(Error::Refused(format!(
            "The comparison {run} is not under way and does not wait: there is nothing to cancel."
        )));
    }
    let run = db.shown_run(run).await?.ok_or_else(|| no_such_run(run))?;
    let cancelled = Cancelled { run };
    output.answer(&cancelled, || {
        format!("The comparison {} is cancelled.", cancelled.run.id)
    })?;
    Ok(End::Good)
}

async fn run_under_way(db: &Db) -> Result<Shown, Error> {
    let runs = db.shown_runs(N_RUNS).await?;
    let open = runs.into_iter().find(|run| run.state.is_open());
    open.ok_or_else(|| {
        Error::Refused(
            "No comparison is under way: scripts/sync reconcile --report begins one.".to_owned(),
        )
    })
}

pub(crate) fn no_such_run(run: Uuid) -> Error {
    Error::Refused(format!(
        "There is no comparison {run}, or it is forgotten: scripts/sync drift shows the last one."
    ))
}
