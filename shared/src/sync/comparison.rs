//! Compares all that Clerk has with all that is here, and mends what differs (R14, R15).
//!
//! A run goes through its states in many small steps, each of which is written down with its result:
//! it ends anywhere and goes on anywhere, in whichever sandbox comes next.
//! Clerk's lists are put down as they come (`listing`), what they did not show is asked about alone
//! (`asking`), the database compares (`db/drift/*.sql`), and what differs takes the same way as
//! everything that is seen in Clerk (`repair`).

mod asking;
mod listing;
mod pages;
mod repair;
mod throttle;

use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::clerk;
use crate::db::drift::Class;
use crate::db::listed::{Batch, Object};
use crate::db::runs::{Count, LEASE, Lease, Mode, Run, Shown, State, Step};
use crate::db::{self, Db};
use crate::telemetry::{chain, metrics};

use throttle::Throttle;

/// No step begins later than so long before the end.
const STEP_TIME: Duration = Duration::from_secs(3);
/// How many objects are compared in one statement.
const CHUNK: i64 = 40_000;
/// For so many milliseconds after a change its event may yet come.
const EVENT_MS: i64 = 60_000;

/// Works on the run that is under way, if there is one and nobody else does, until it is over or the
/// time is; the state that it is in then.
///
/// What goes wrong with Clerk is written into the run, which goes on later.
pub async fn work_on_run(
    clerk: &clerk::Client,
    db: &Db,
    until: Instant,
) -> Result<Option<State>, db::Error> {
    let by = Uuid::new_v4();
    let Some(run) = db.lease_run(by).await? else {
        return Ok(None);
    };
    let run_id = run.id;
    let mut work = Work {
        clerk,
        db,
        lease: Lease { run: run.id, by },
        throttle: Throttle::new(clerk, db, until),
        run,
        until,
        kept_at: Instant::now(),
    };
    let ended = Box::pin(work.go()).await;
    if work.run.state == State::Repairing {
        db.count_drift(run_id).await?;
    }
    match ended {
        Ok(()) => db.release_run(work.lease, Duration::ZERO).await?,
        Err(Stop::Throttled(wait)) => db.release_run(work.lease, wait).await?,
        Err(Stop::Lost) => {}
        Err(Stop::Database(error)) if error.is_unavailable() => return Err(error),
        Err(Stop::Database(error)) => work.give_up(&error).await?,
        Err(Stop::Clerk(error)) => work.put_off(&error).await?,
        Err(Stop::Unusable(reason)) => db.put_off_run(work.lease, reason, true).await?,
    }
    Ok(Some(work.run.state))
}

/// Work on a run that is ours for a while.
struct Work<'a> {
    clerk: &'a clerk::Client,
    db: &'a Db,
    lease: Lease,
    run: Run,
    throttle: Throttle<'a>,
    until: Instant,
    /// When it was said last that the run is ours.
    kept_at: Instant,
}

/// Why work on a run ends before the run does.
#[derive(Debug)]
enum Stop {
    /// Clerk gave no answer.
    Clerk(clerk::Error),
    /// The database did not.
    Database(db::Error),
    /// Clerk's rate limit is used up for so long.
    Throttled(Duration),
    /// Somebody ended the run, or took it for abandoned.
    Lost,
    /// It can come to no result.
    Unusable(&'static str),
}

/// Whether there is more to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    /// The run is in another state, or further.
    On,
    /// The time is over.
    OutOfTime,
}

impl Work<'_> {
    async fn go(&mut self) -> Result<(), Stop> {
        while self.run.state.is_open() {
            if !self.has_time() {
                return Ok(());
            }
            let flow = match self.run.state {
                State::Listing => Box::pin(self.list()).await?,
                State::Asking => Box::pin(self.ask()).await?,
                State::Comparing => self.compare().await?,
                State::Repairing => Box::pin(self.repair()).await?,
                State::Waiting | State::Done | State::Failed | State::Cancelled => Flow::OutOfTime,
            };
            if flow == Flow::OutOfTime {
                return Ok(());
            }
        }
        Ok(())
    }

    fn has_time(&self) -> bool {
        Instant::now() + STEP_TIME < self.until
    }

    /// Where the present state goes on.
    fn position<P: DeserializeOwned + Default>(&self) -> P {
        P::deserialize(Value::Object(self.run.position.clone())).unwrap_or_default()
    }

    /// Writes down where the run is, with what Clerk showed.
    async fn step(&mut self, position: &impl Serialize, batch: &Batch) -> Result<(), Stop> {
        self.run.position = as_map(position);
        self.run.progress.n_calls += self.throttle.take_count();
        self.write_down(batch).await
    }

    /// Goes over into another state.
    async fn enter(&mut self, state: State) -> Result<Flow, Stop> {
        self.run.state = state;
        self.step(&Map::new(), &Batch::default()).await?;
        tracing::info!(run.id = %self.run.id, state = ?state, "a comparison with Clerk goes on");
        Ok(Flow::On)
    }

    fn as_step(&self) -> Step<'_> {
        Step {
            state: self.run.state,
            position: &self.run.position,
            progress: self.run.progress,
        }
    }

    /// Compares the next of what was listed.
    async fn compare(&mut self) -> Result<Flow, Stop> {
        let position: Comparing = self.position();
        let Some(object) = position.object() else {
            return self.compare_leftovers().await;
        };
        let run = self.run.id;
        let until = self
            .db
            .end_of_chunk(run, object, &position.after, CHUNK)
            .await?;
        let next = match &until {
            Some(until) => Comparing {
                after: until.clone(),
                ..position
            },
            None => Comparing {
                n_kinds: position.n_kinds + 1,
                after: String::new(),
            },
        };
        self.run.position = as_map(&next);
        self.run.progress.compared = self.compared(next.n_kinds, until.is_some());
        let not_missed_before = Timestamp::now().as_millisecond() - EVENT_MS;
        let range = (position.after.as_str(), until.as_deref());
        if object == Object::User && self.run.mode == Mode::Repair {
            self.db.take_sign_ins(run, range).await?;
        }
        let is_ours = self
            .db
            .compare(
                self.lease,
                &self.as_step(),
                object,
                range,
                not_missed_before,
            )
            .await?;
        is_ours.then_some(Flow::On).ok_or(Stop::Lost)
    }

    /// The end of comparing: what no list shows, and whether all lists were still there.
    async fn compare_leftovers(&mut self) -> Result<Flow, Stop> {
        // The server went down meanwhile, and took the lists with it.
        if !self.db.are_lists_kept(self.run.id).await? {
            return self.enter(State::Listing).await;
        }
        self.run.state = match self.run.mode {
            Mode::Report => State::Done,
            Mode::Repair => State::Repairing,
        };
        self.run.position = Map::new();
        let is_ours = self
            .db
            .compare_leftovers(self.lease, &self.as_step())
            .await?;
        if !is_ours {
            return Err(Stop::Lost);
        }
        if let Some(run) = self.db.count_drift(self.run.id).await? {
            tell_of_drift(&run);
        }
        Ok(Flow::On)
    }

    fn compared(&self, n_kinds: usize, has_more: bool) -> Count {
        let progress = &self.run.progress;
        let of_kinds = [progress.users, progress.organizations, progress.memberships];
        let total = of_kinds.iter().map(|count| count.done).sum();
        let done = if has_more {
            let chunk = u64::try_from(CHUNK).unwrap_or_default();
            (progress.compared.done + chunk).min(total)
        } else {
            of_kinds.iter().take(n_kinds).map(|count| count.done).sum()
        };
        Count { done, total }
    }

    /// The database refuses what is asked of it, and would again: somebody has to look.
    async fn give_up(&self, error: &db::Error) -> Result<(), db::Error> {
        tracing::error!(
            error = chain(error),
            run.id = %self.run.id,
            "the database refused a step of a comparison, which ends without a result"
        );
        self.db
            .put_off_run(self.lease, &error.to_string(), true)
            .await
    }

    /// Has Postgres look at tables that were just filled; it does without, if it has to.
    async fn look_at(&self, tables: &[&'static str]) {
        for table in tables {
            if let Err(error) = self.db.look_at(table).await {
                tracing::warn!(
                    error = chain(&error),
                    db.table = table,
                    "a table could not be analyzed"
                );
            }
        }
    }

    /// Says that the run is still ours, if that was not said for a while.
    async fn keep(&mut self) -> Result<(), Stop> {
        if self.kept_at.elapsed() < LEASE / 3 {
            return Ok(());
        }
        self.write_down(&Batch::default()).await
    }

    /// Which says, too, that the run is still ours.
    async fn write_down(&mut self, batch: &Batch) -> Result<(), Stop> {
        self.kept_at = Instant::now();
        let is_ours = self.db.step(self.lease, &self.as_step(), batch).await?;
        is_ours.then_some(()).ok_or(Stop::Lost)
    }

    async fn put_off(&self, error: &clerk::Error) -> Result<(), db::Error> {
        if let Some(wait) = error.retry_after() {
            self.throttle.drain(wait).await?;
        }
        tracing::warn!(
            error = chain(error),
            run.id = %self.run.id,
            "Clerk gave no answer to a comparison; it goes on later"
        );
        let is_final = matches!(error, clerk::Error::Unauthorized { .. });
        self.db
            .put_off_run(self.lease, &error.to_string(), is_final)
            .await
    }
}

/// How far comparing is.
#[derive(Debug, Clone, Default, Serialize, serde::Deserialize)]
#[serde(default)]
struct Comparing {
    /// How many kinds are compared.
    n_kinds: usize,
    /// Of the next kind, up to this Clerk id.
    after: String,
}

impl Comparing {
    /// Users first, then organizations: a membership may be missing because they are.
    fn object(&self) -> Option<Object> {
        let kinds = [Object::User, Object::Organization, Object::Membership];
        kinds.get(self.n_kinds).copied()
    }
}

/// For the log and the metrics: how much of each class was found.
fn tell_of_drift(run: &Shown) {
    for class in Class::ALL.map(Class::as_str) {
        let n_found = run.n_found(class);
        metrics::drift(class, n_found);
        if n_found > 0 {
            tracing::warn!(run.id = %run.id, class, n_found, "Clerk and the database differ");
        }
    }
}

fn as_map(position: &impl Serialize) -> Map<String, Value> {
    match serde_json::to_value(position) {
        Ok(Value::Object(map)) => map,
        _ => Map::new(),
    }
}

impl From<clerk::Error> for Stop {
    fn from(error: clerk::Error) -> Self {
        Self::Clerk(error)
    }
}

impl From<db::Error> for Stop {
    fn from(error: db::Error) -> Self {
        Self::Database(error)
    }
}
