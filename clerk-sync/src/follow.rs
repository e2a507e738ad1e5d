//! Works on a run in this process, and shows how far it is, until it is over.

use std::time::{Duration, Instant};

use shared::clerk;
use shared::db::Db;
use shared::db::runs::Shown;
use shared::sync::work_on_run;
use uuid::Uuid;

use crate::bars::Bars;
use crate::output;
use crate::reconcile::no_such_run;
use crate::setup::{Error, Setup};

/// Within this time every call to Clerk has to come to its end; then the work goes on.
const SLICE: Duration = Duration::from_secs(30);
/// How long to wait while somebody else works on the run, or Clerk gave no answer.
const PAUSE: Duration = Duration::from_secs(1);
/// How often the bars move.
const FRAME: Duration = Duration::from_millis(500);

/// Until the run is over; `None` if the user interrupts.
pub(crate) async fn until_over(setup: &Setup, run: Uuid) -> Result<Option<Shown>, Error> {
    let (clerk, db) = (setup.clerk()?, setup.db()?);
    // A connection of its own: on the other one, it would wait for long statements.
    let watching = setup.db()?;
    let bars = Bars::new();
    let followed = tokio::select! {
        biased;
        interrupted = tokio::signal::ctrl_c() => interrupted.map(|()| None).map_err(Error::from),
        worked = Box::pin(work(&clerk, &db, run)) => worked.map(Some),
        () = watch(&watching, run, &bars) => Ok(None),
    };
    bars.clear();
    if !matches!(followed, Ok(Some(_))) {
        output::note(&how_it_goes_on(run));
    }
    followed
}

/// What becomes of a run that nobody follows any more.
fn how_it_goes_on(run: Uuid) -> String {
    format!(
        "The comparison {run} is not over. It goes on where it stopped with scripts/sync reconcile \
         --resume, or by itself at the next tick of the function `reconcile`; scripts/sync \
         reconcile --cancel ends it."
    )
}

async fn work(clerk: &clerk::Client, db: &Db, run: Uuid) -> Result<Shown, Error> {
    loop {
        let worked = work_on_run(clerk, db, Instant::now() + SLICE).await?;
        let watched = db.shown_progress(run).await?;
        if !watched.ok_or_else(|| no_such_run(run))?.state.is_open() {
            return db.shown_run(run).await?.ok_or_else(|| no_such_run(run));
        }
        if worked.is_none() {
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// Never ends.
async fn watch(db: &Db, run: Uuid, bars: &Bars) {
    loop {
        // The work itself notices what is wrong with the database.
        if let Ok(Some(watched)) = db.shown_progress(run).await {
            bars.show(&watched);
        }
        tokio::time::sleep(FRAME).await;
    }
}
