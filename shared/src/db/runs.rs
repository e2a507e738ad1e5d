//! The `reconcile_runs` table: comparisons with Clerk (R14, R15), and who works on one.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio_postgres::types::{Json, ToSql, Type};
use uuid::Uuid;

use super::listed::{self, Batch};
use super::{Db, Error, decode, next_try};

/// How long a run is ours without our saying so again.
pub const LEASE: Duration = Duration::from_secs(30);

/// A run that failed so often in a row, with growing waits, fails for good: after about a day.
const MAX_FAILURES: u32 = 150;
/// Of so many runs it is kept what they found.
const N_KEPT: u32 = 20;

/// What a run is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// To tell what differs.
    Report,
    /// To mend it, too.
    Repair,
}

/// How far a run has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Clerk's lists are being read.
    Listing,
    /// Clerk is being asked about what they did not show.
    Asking,
    /// What was read is being compared with what is here.
    Comparing,
    /// What differs is being mended.
    Repairing,
    /// Somebody has to approve what was withheld (R15).
    Waiting,
    /// It is over.
    Done,
    /// It is over without a result.
    Failed,
    /// Somebody ended it.
    Cancelled,
}

/// How much of something is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Count {
    /// So much.
    pub done: u64,
    /// Of so much, as far as is known.
    pub total: u64,
}

/// How much of a run is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Progress {
    /// Users that Clerk's list showed.
    pub users: Count,
    /// Organizations that it showed.
    pub organizations: Count,
    /// Memberships that it showed.
    pub memberships: Count,
    /// Rows that the lists did not show, and that Clerk was asked about alone.
    pub asked: Count,
    /// What was listed and is compared.
    pub compared: Count,
    /// Differences that are mended, or gone.
    pub repaired: Count,
    /// Calls to Clerk.
    pub n_calls: u64,
}

/// What may be repaired, and how much of it (R15).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Approval {
    /// Only these classes; all, if none is said.
    pub classes: Option<Vec<super::drift::Class>>,
    /// At most so many deletions, of all kinds together; else as many of each kind as is usual.
    pub max_deletions: Option<u32>,
    /// The same for demotions.
    pub max_demotions: Option<u32>,
    /// What is usual: the larger of this number
    pub usual_count: u32,
    /// and this share of the rows of a kind.
    pub usual_percent: u32,
    /// Whether a person asked for just this.
    pub is_explicit: bool,
    /// None of our users is in Clerk: perhaps it is another instance.
    pub is_foreign: bool,
}

/// A run, as those who work on it know it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Run {
    /// Which it is.
    pub id: Uuid,
    /// What it is for.
    pub mode: Mode,
    /// How far it has come.
    pub state: State,
    /// Where that goes on.
    pub position: Map<String, Value>,
    /// How much is done.
    pub progress: Progress,
    /// What may be repaired.
    pub approval: Approval,
    /// When it began.
    pub created_at: Timestamp,
    /// How often it failed in a row.
    pub n_failures: i32,
}

/// A run as the routes show it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all(serialize = "camelCase"))]
pub struct Shown {
    /// Which it is.
    pub id: Uuid,
    /// What it is for.
    pub mode: Mode,
    /// How far it has come.
    pub state: State,
    actor: String,
    /// How much is done.
    pub progress: Progress,
    approval: Approval,
    created_at: Timestamp,
    listed_at: Option<Timestamp>,
    compared_at: Option<Timestamp>,
    finished_at: Option<Timestamp>,
    /// When it goes on after a failure.
    next_attempt_at: Timestamp,
    n_failures: i32,
    /// Why it failed last.
    pub last_error: Option<String>,
    /// How many differences there are, by class and by what became of them.
    pub drift: Map<String, Value>,
}

/// How far a run is, for whoever watches it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Watched {
    /// How far it has come.
    pub state: State,
    /// How much is done.
    pub progress: Progress,
    /// Why it failed last.
    pub last_error: Option<String>,
}

/// That a run is ours for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// The run.
    pub run: Uuid,
    /// Who we are.
    pub by: Uuid,
}

/// A run that somebody wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRun {
    /// What it is for.
    pub mode: Mode,
    /// A Clerk user id; `schedule`, or `command`.
    pub actor: String,
    /// The request that asked for it.
    pub request_id: Option<String>,
    /// What it may repair.
    pub approval: Approval,
}

/// What is written when some work on a run is done.
#[derive(Debug, Clone, PartialEq)]
pub struct Step<'a> {
    /// How far it is now.
    pub state: State,
    /// Where it goes on.
    pub position: &'a Map<String, Value>,
    /// How much is done.
    pub progress: Progress,
}

impl State {
    /// Whether somebody has to work on it.
    pub fn is_open(self) -> bool {
        match self {
            Self::Listing | Self::Asking | Self::Comparing | Self::Repairing => true,
            Self::Waiting | Self::Done | Self::Failed | Self::Cancelled => false,
        }
    }
}

impl Shown {
    /// Whether somebody has to work on it.
    pub fn is_open(&self) -> bool {
        self.state.is_open()
    }

    /// How many differences of a class were found, whatever became of them.
    pub fn n_found(&self, class: &str) -> u64 {
        let states = self.drift.get(class).and_then(Value::as_object);
        let counts = states.into_iter().flatten();
        counts.filter_map(|(_, n)| n.as_u64()).sum()
    }
}

/// The states in which somebody has to work on a run.
const OPEN: &str = "('listing', 'asking', 'comparing', 'repairing')";

/// A run `r` as [`Shown`].
const SHOWN: &str = "to_jsonb(r) as shown";

impl Db {
    /// Begins a run, unless one is under way; `None` then.
    pub async fn begin_run(&self, new: &NewRun) -> Result<Option<Uuid>, Error> {
        let statement = "
            insert into reconcile_runs (mode, actor, request_id, approval)
            values ($1, $2, $3, $4)
            on conflict ((true)) where state in ('listing', 'asking', 'comparing', 'repairing')
            do nothing
            returning id";
        let mode = match new.mode {
            Mode::Report => "report",
            Mode::Repair => "repair",
        };
        let values: [(&(dyn ToSql + Sync), Type); 4] = [
            (&mode, Type::TEXT),
            (&new.actor, Type::TEXT),
            (&new.request_id, Type::TEXT),
            (&Json(&new.approval), Type::JSONB),
        ];
        let row = self
            .run(async |client| client.query_typed_opt(statement, &values).await)
            .await?;
        Ok(row.map(|row| row.try_get("id")).transpose()?)
    }

    /// Begins a scheduled run if the last one began so long ago, and none is under way. After one that
    /// came to no result, the next one begins ten minutes later at the latest.
    pub async fn begin_due_run(&self, new: &NewRun, interval_minutes: u32) -> Result<bool, Error> {
        let statement = "
            select not exists (
                select
                from reconcile_runs r
                where r.created_at > now() - make_interval(
                    mins => case when r.state = 'failed' then least($1, 10) else $1 end
                )
            ) as is_due";
        let minutes = i32::try_from(interval_minutes).unwrap_or(i32::MAX);
        let row = self
            .run(async |client| {
                client
                    .query_typed_one(statement, &[(&minutes, Type::INT4)])
                    .await
            })
            .await?;
        if !row.try_get::<_, bool>("is_due")? {
            return Ok(false);
        }
        Ok(self.begin_run(new).await?.is_some())
    }

    /// Takes the run that is under way, if there is one that nobody works on.
    pub async fn lease_run(&self, by: Uuid) -> Result<Option<Run>, Error> {
        let statement = format!(
            "with next as (
                select r.id
                from reconcile_runs r
                where r.state in {OPEN}
                    and r.next_attempt_at <= now()
                    and (r.leased_until is null or r.leased_until < now())
                limit 1
                for update skip locked
            )
            update reconcile_runs r
            set leased_by = $1, leased_until = now() + make_interval(secs => $2)
            from next
            where r.id = next.id
            returning to_jsonb(r) as run"
        );
        let values: [(&(dyn ToSql + Sync), Type); 2] =
            [(&by, Type::UUID), (&LEASE.as_secs_f64(), Type::FLOAT8)];
        let row = self
            .run(async |client| client.query_typed_opt(&statement, &values).await)
            .await?;
        row.as_ref().map(|row| decode(row, "run")).transpose()
    }

    /// Empties the tables of what Clerk's lists showed, and marks them: if the mark is gone, so is what
    /// was put down after it.
    pub async fn clear_lists(&self, lease: Lease) -> Result<(), Error> {
        let Lease { run, by } = lease;
        // No statement but this one can look and empty in one.
        let statement = format!(
            "do $$
            begin
                perform from reconcile_runs
                where id = '{run}' and leased_by = '{by}' and state in {OPEN}
                for update;
                if found then
                    truncate listed_users, listed_organizations, listed_memberships;
                    insert into listed_users (clerk_id, run_id, is_absent)
                    values ('mark', '{run}', true);
                    delete from drift where run_id = '{run}';
                end if;
            end
            $$"
        );
        self.run(async |client| client.batch_execute(&statement).await)
            .await
    }

    /// Whether what Clerk's lists showed is still there.
    pub async fn are_lists_kept(&self, run: Uuid) -> Result<bool, Error> {
        let statement = "
            select exists (
                select from listed_users where clerk_id = 'mark' and run_id = $1
            ) as are_kept";
        let row = self
            .run(async |client| {
                client
                    .query_typed_one(statement, &[(&run, Type::UUID)])
                    .await
            })
            .await?;
        Ok(row.try_get("are_kept")?)
    }

    /// Writes down some work with what Clerk showed, and keeps the run for longer; false if it is ours
    /// no more, and nothing was written. One transaction, one round trip.
    pub async fn step(&self, lease: Lease, step: &Step<'_>, batch: &Batch) -> Result<bool, Error> {
        self.run(async |client| {
            let (begun, is_ours, put, committed) = tokio::join!(
                biased;
                client.batch_execute("begin"),
                write_step(client, lease, step),
                listed::put(client, lease, batch),
                client.batch_execute("commit"),
            );
            begun?;
            let is_ours = is_ours?;
            put?;
            committed?;
            Ok(is_ours)
        })
        .await
    }

    /// Lets the run go: whoever comes after so long goes on.
    pub async fn release_run(&self, lease: Lease, wait: Duration) -> Result<(), Error> {
        let statement = "
            update reconcile_runs
            set
                leased_by = null,
                leased_until = null,
                next_attempt_at = now() + make_interval(secs => $3)
            where id = $1 and leased_by = $2";
        let values: [(&(dyn ToSql + Sync), Type); 3] = [
            (&lease.run, Type::UUID),
            (&lease.by, Type::UUID),
            (&wait.as_secs_f64(), Type::FLOAT8),
        ];
        self.execute(statement, &values).await?;
        Ok(())
    }

    /// Lets the run go after a failure: it goes on later (5 s, doubling, at most 10 min), or not at all
    /// if `is_final`, or if it has failed for about a day.
    pub async fn put_off_run(
        &self,
        lease: Lease,
        reason: &str,
        is_final: bool,
    ) -> Result<(), Error> {
        let statement = format!(
            "update reconcile_runs
            set
                leased_by = null,
                leased_until = null,
                n_failures = n_failures + 1,
                next_attempt_at = {},
                last_error = $3,
                state = case
                    when $4 or n_failures >= {MAX_FAILURES} then 'failed'
                    else state
                end,
                finished_at = case when $4 or n_failures >= {MAX_FAILURES} then now() end
            where id = $1 and leased_by = $2",
            next_try("n_failures")
        );
        let values: [(&(dyn ToSql + Sync), Type); 4] = [
            (&lease.run, Type::UUID),
            (&lease.by, Type::UUID),
            (&reason, Type::TEXT),
            (&is_final, Type::BOOL),
        ];
        self.execute(&statement, &values).await?;
        Ok(())
    }

    /// Notes whether none of our users is in Clerk: then nothing is mended unasked.
    pub async fn note_foreign(&self, lease: Lease, is_foreign: bool) -> Result<(), Error> {
        let statement = "
            update reconcile_runs
            set approval = approval || jsonb_build_object('isForeign', $3::boolean)
            where id = $1 and leased_by = $2";
        let values: [(&(dyn ToSql + Sync), Type); 3] = [
            (&lease.run, Type::UUID),
            (&lease.by, Type::UUID),
            (&is_foreign, Type::BOOL),
        ];
        self.execute(statement, &values).await?;
        Ok(())
    }

    /// Ends a run that is under way, or waits; false if there is none to end.
    pub async fn cancel_run(&self, run: Uuid) -> Result<bool, Error> {
        let statement = format!(
            "update reconcile_runs
            set
                state = 'cancelled', leased_by = null, leased_until = null,
                finished_at = coalesce(finished_at, now())
            where id = $1 and (state in {OPEN} or state = 'waiting')"
        );
        let n_rows = self.execute(&statement, &[(&run, Type::UUID)]).await?;
        Ok(n_rows > 0)
    }

    /// Has a run that has come to an end go on with repairing; false if one is under way, a newer one
    /// has taken its place, or it has ended without a result.
    pub async fn approve_run(&self, run: Uuid, approval: &Approval) -> Result<bool, Error> {
        let statement = format!(
            "update reconcile_runs r
            set
                state = 'repairing',
                mode = 'repair',
                approval = $2,
                position = '{{}}',
                finished_at = null,
                next_attempt_at = now(),
                n_failures = 0
            where r.id = $1
                and r.state in ('waiting', 'done')
                and not exists (select from reconcile_runs o where o.state in {OPEN})
                and not exists (
                    select
                    from reconcile_runs o
                    where o.created_at > r.created_at and o.state <> 'cancelled'
                )
                and exists (
                    select from listed_users where clerk_id = 'mark' and run_id = $1
                )"
        );
        let values: [(&(dyn ToSql + Sync), Type); 2] =
            [(&run, Type::UUID), (&Json(approval), Type::JSONB)];
        match self.execute(&statement, &values).await {
            Ok(n_rows) => Ok(n_rows > 0),
            // One began in this moment.
            Err(error) if error.is_about_other_rows() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Counts the differences of a run anew; and returns the run, as shown.
    pub async fn count_drift(&self, run: Uuid) -> Result<Option<Shown>, Error> {
        let statement = format!(
            "update reconcile_runs r
            set drift = (
                select coalesce(jsonb_object_agg(c.class, c.states), '{{}}')
                from (
                    select s.class, jsonb_object_agg(s.state, s.n) as states
                    from (
                        select d.class, d.state, count(*) as n
                        from drift d
                        where d.run_id = $1
                        group by 1, 2
                    ) s
                    group by 1
                ) c
            )
            where r.id = $1
            returning {SHOWN}"
        );
        self.shown_by(&statement, run).await
    }

    /// A run, as shown.
    pub async fn shown_run(&self, run: Uuid) -> Result<Option<Shown>, Error> {
        let statement = format!("select {SHOWN} from reconcile_runs r where r.id = $1");
        self.shown_by(&statement, run).await
    }

    /// The run that a statement about it shows.
    async fn shown_by(&self, statement: &str, run: Uuid) -> Result<Option<Shown>, Error> {
        let row = self
            .run(async |client| {
                client
                    .query_typed_opt(statement, &[(&run, Type::UUID)])
                    .await
            })
            .await?;
        row.as_ref().map(|row| decode(row, "shown")).transpose()
    }

    /// How far a run is. Unlike [`Db::shown_run`] it counts no differences: whoever watches asks often.
    pub async fn shown_progress(&self, run: Uuid) -> Result<Option<Watched>, Error> {
        let statement = "
            select jsonb_build_object(
                'state', r.state, 'progress', r.progress, 'last_error', r.last_error
            ) as watched
            from reconcile_runs r
            where r.id = $1";
        let row = self
            .run(async |client| {
                client
                    .query_typed_opt(statement, &[(&run, Type::UUID)])
                    .await
            })
            .await?;
        row.as_ref().map(|row| decode(row, "watched")).transpose()
    }

    /// The last runs, as shown.
    pub async fn shown_runs(&self, limit: i64) -> Result<Vec<Shown>, Error> {
        let statement =
            format!("select {SHOWN} from reconcile_runs r order by r.created_at desc limit $1");
        let rows = self
            .run(async |client| {
                client
                    .query_typed(&statement, &[(&limit, Type::INT8)])
                    .await
            })
            .await?;
        rows.iter().map(|row| decode(row, "shown")).collect()
    }

    /// Forgets what runs found that ended so many days ago, since it tells of people, and all but the
    /// last ones: at most `limit` differences at a time; and the runs of which nothing is left. Returns how much it forgot.
    pub async fn forget_runs(&self, retention_days: u32, limit: i64) -> Result<u64, Error> {
        let statement = format!(
            "with last as (
                select id from reconcile_runs order by created_at desc limit {N_KEPT}
            ),
            old as (
                select id
                from reconcile_runs
                where id <> (select id from reconcile_runs order by created_at desc limit 1)
                    and (
                        finished_at < now() - make_interval(days => $1)
                        or (finished_at is not null and id not in (select l.id from last l))
                    )
            ),
            found as (
                delete from drift
                where id in (
                    select d.id from drift d where d.run_id in (select o.id from old o) limit $2
                )
                returning id
            ),
            runs as (
                delete from reconcile_runs r
                where r.id in (select o.id from old o)
                    and not exists (select from drift d where d.run_id = r.id)
                returning r.id
            )
            select (select count(*) from found) + (select count(*) from runs) as n"
        );
        let days = i32::try_from(retention_days).unwrap_or(i32::MAX);
        let values: [(&(dyn ToSql + Sync), Type); 2] = [(&days, Type::INT4), (&limit, Type::INT8)];
        let row = self
            .run(async |client| client.query_typed_one(&statement, &values).await)
            .await?;
        let n: i64 = row.try_get("n")?;
        u64::try_from(n).map_err(Error::unreadable)
    }

    /// Has Postgres look at a table that was just filled: by what it knew of it when it was empty, it
    /// would go through it row by row. Without the right to, nothing happens.
    pub async fn look_at(&self, table: &'static str) -> Result<(), Error> {
        // A rough idea is enough, and four times faster.
        let statement =
            format!("begin; set local default_statistics_target = 20; analyze {table}; commit");
        self.run(async |client| client.batch_execute(&statement).await)
            .await
    }

    /// Promises so many calls to Clerk, of `burst` at once and `rate` in a second for all sandboxes
    /// together, and returns how long to wait before them.
    pub async fn reserve_calls(&self, n: u32, rate: f64, burst: f64) -> Result<Duration, Error> {
        let statement = "
            insert into clerk_tokens as t (n_tokens) values ($3 - $1)
            on conflict (is_only) do update
            set
                n_tokens = least(
                    $3,
                    t.n_tokens + $2 * extract(epoch from clock_timestamp() - t.counted_at)
                ) - $1,
                counted_at = clock_timestamp()
            returning n_tokens";
        let n = f64::from(n);
        let values: [(&(dyn ToSql + Sync), Type); 3] = [
            (&n, Type::FLOAT8),
            (&rate, Type::FLOAT8),
            (&burst, Type::FLOAT8),
        ];
        let row = self
            .run(async |client| client.query_typed_one(statement, &values).await)
            .await?;
        let n_tokens: f64 = row.try_get("n_tokens")?;
        Ok(Duration::from_secs_f64((-n_tokens / rate).max(0.0)))
    }

    /// Gives calls back that were promised and not made.
    pub async fn return_calls(&self, n: u32) -> Result<(), Error> {
        let statement = "update clerk_tokens set n_tokens = n_tokens + $1";
        self.execute(statement, &[(&f64::from(n), Type::FLOAT8)])
            .await?;
        Ok(())
    }

    /// Clerk asks everybody to wait: nobody is promised anything for so long.
    pub async fn drain_calls(&self, wait: Duration, rate: f64) -> Result<(), Error> {
        let statement = "
            update clerk_tokens set n_tokens = least(n_tokens, $1), counted_at = clock_timestamp()";
        let debt = -wait.as_secs_f64() * rate;
        self.execute(statement, &[(&debt, Type::FLOAT8)]).await?;
        Ok(())
    }
}

/// Whether the run was still ours.
pub(super) async fn write_step(
    client: &tokio_postgres::Client,
    lease: Lease,
    step: &Step<'_>,
) -> Result<bool, tokio_postgres::Error> {
    let statement = format!(
        "update reconcile_runs
        set
            state = $3,
            position = $4,
            progress = $5,
            n_failures = case when state <> $3 or position <> $4 then 0 else n_failures end,
            last_error = case when state = $3 and position = $4 then last_error end,
            leased_until = now() + make_interval(secs => $6),
            listed_at = case
                when state in ('listing', 'asking') and $3 not in ('listing', 'asking') then now()
                else listed_at
            end,
            compared_at = case
                when state = 'comparing' and $3 <> 'comparing' then now()
                else compared_at
            end,
            finished_at = case when $3 not in {OPEN} then now() end
        where id = $1 and leased_by = $2 and state in {OPEN}"
    );
    let state = match step.state {
        State::Listing => "listing",
        State::Asking => "asking",
        State::Comparing => "comparing",
        State::Repairing => "repairing",
        State::Waiting => "waiting",
        State::Done => "done",
        State::Failed => "failed",
        State::Cancelled => "cancelled",
    };
    let values: [(&(dyn ToSql + Sync), Type); 6] = [
        (&lease.run, Type::UUID),
        (&lease.by, Type::UUID),
        (&state, Type::TEXT),
        (&Json(step.position), Type::JSONB),
        (&Json(step.progress), Type::JSONB),
        (&LEASE.as_secs_f64(), Type::FLOAT8),
    ];
    Ok(client.execute_typed(&statement, &values).await? > 0)
}
