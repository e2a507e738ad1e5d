//! One tick of `reconcile`: delivers the outbox, settles edits and changes of address, asks Clerk
//! about what is doubtful, goes on with walks, compares all when that is due, erases what is over its
//! retention.

use std::time::{Duration, Instant};

use serde::Serialize;
use uuid::Uuid;

use super::deliver::{self, Batch};
use super::refetch::{self, CALL_TIMEOUT, Refetched};
use super::walk::{ListOfUser, Tries, Walked, Walker};
use super::{comparison, edit, email_change, outage};
use crate::clerk;
use crate::config::{self, Configured, Part, Settings};
use crate::db::memberships::Flagged;
use crate::db::runs::{Approval, Mode, NewRun, State};
use crate::db::{self, Check, Db};
use crate::telemetry::{chain, metrics};

/// How many entries of the outbox are leased at once.
const BATCH: i64 = 50;
/// How many rows Clerk is asked about at once: as many users as one call takes.
const REFETCH_BATCH: i64 = 100;
/// How many walks are listed at once.
const WALK_BATCH: i64 = 20;
/// How long calls for leased entries may begin: the lease has to outlast the last two of an entry,
/// and the writing down.
const DELIVERY_TIME: Duration = Duration::from_secs(15);
/// Who asks for a comparison when nobody does.
const SCHEDULE: &str = "schedule";
/// How many deleted users are erased in one statement.
const ERASE_BATCH: i64 = 1_000;
/// How many differences that a comparison found are forgotten in one statement.
const FORGET_BATCH: i64 = 10_000;

/// What `reconcile` is bound by.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// After so many days the personal data of a deleted user is erased (R3).
    pub retention_days: u32,
    /// All is compared with Clerk so often (R14); with 0 at every tick.
    pub interval_minutes: u32,
    /// What a comparison is for that nobody asked for.
    pub mode: Mode,
    /// What a repair may do unasked (R15).
    pub brake: Brake,
}

/// How many deletions, and how many demotions, a repair may do unasked (R15): of each kind of object
/// the larger of a number and a share of its rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Brake {
    /// The number.
    pub count: u32,
    /// The share.
    pub percent: u32,
}

/// What a tick did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Roles that Clerk has now.
    pub n_delivered: usize,
    /// Roles that will be tried again.
    pub n_put_off: usize,
    /// Roles that Clerk refused for good.
    pub n_dead: usize,
    /// Edits and changes of address that nobody had finished, and that Clerk was asked about.
    pub n_settled: usize,
    /// Users, organizations and memberships that Clerk was asked about.
    pub n_refetched: usize,
    /// Of these, memberships that were over.
    pub n_ended: u64,
    /// Users, organizations, memberships, edits and changes of address that Clerk gave no answer about.
    pub n_unanswered: usize,
    /// Memberships that walks over organizations and members showed.
    pub n_walked: u64,
    /// Deleted users whose personal data was erased.
    pub n_erased: u64,
    /// How far the comparison has come that this tick worked on.
    pub comparison: Option<State>,
}

impl Limits {
    /// Reads `RETENTION_DAYS`, `RECONCILE_INTERVAL_MINUTES`, `RECONCILE_MODE`, `REPAIR_MAX_DELETIONS`
    /// and `REPAIR_MAX_PERCENT`.
    pub fn from_settings(settings: &Settings) -> Configured<Self> {
        Ok(Self {
            retention_days: settings.number("RETENTION_DAYS", 30)?,
            interval_minutes: settings.number("RECONCILE_INTERVAL_MINUTES", 360)?,
            mode: mode(settings)?,
            brake: Brake::from_settings(settings)?,
        })
    }
}

impl Brake {
    /// Reads `REPAIR_MAX_DELETIONS` and `REPAIR_MAX_PERCENT`.
    pub fn from_settings(settings: &Settings) -> Configured<Self> {
        Ok(Self {
            count: settings.number("REPAIR_MAX_DELETIONS", 10)?,
            percent: settings.number("REPAIR_MAX_PERCENT", 2)?,
        })
    }

    /// What may be repaired unasked.
    pub fn approval(self) -> Approval {
        Approval {
            usual_count: self.count,
            usual_percent: self.percent,
            ..Approval::default()
        }
    }
}

fn mode(settings: &Settings) -> Configured<Mode> {
    match settings.optional("RECONCILE_MODE") {
        None | Some("repair") => Ok(Mode::Repair),
        Some("report") => Ok(Mode::Report),
        Some(_) => Err(config::Error {
            part: Part::Limits,
            variable: "RECONCILE_MODE",
            problem: "must be `repair` or `report`",
        }),
    }
}

/// Does what is due until nothing is, or the time is over; the next tick goes on.
pub async fn reconcile(
    clerk: &clerk::Client,
    db: &Db,
    limits: Limits,
    deadline: Instant,
) -> Result<Report, db::Error> {
    let mut report = Report::default();
    // Boxed: else the layout of a tick holds those of all its steps.
    Box::pin(deliver_outbox(clerk, db, deadline, &mut report)).await?;
    Box::pin(settle(clerk, db, deadline, &mut report)).await?;
    Box::pin(ask(clerk, db, deadline, &mut report)).await?;
    erase(db, limits, deadline, &mut report).await?;
    Box::pin(compare(clerk, db, limits, deadline, &mut report)).await?;
    let (n_open, oldest_age) = db.outbox_depth().await?;
    metrics::outbox(n_open, oldest_age);
    Ok(report)
}

async fn deliver_outbox(
    clerk: &clerk::Client,
    db: &Db,
    deadline: Instant,
    report: &mut Report,
) -> Result<(), db::Error> {
    while has_time(deadline) {
        let lease = Uuid::new_v4();
        let owed = db.lease_pushes(lease, BATCH).await?;
        if owed.is_empty() {
            return Ok(());
        }
        let batch = Batch {
            lease,
            owed,
            tries_each: CALL_TIMEOUT,
            until: deadline.min(Instant::now() + DELIVERY_TIME),
        };
        let delivered = deliver::deliver_after_reading(clerk, db, batch).await?;
        report.n_delivered += delivered.done.len();
        report.n_put_off += delivered.n_put_off;
        report.n_dead += delivered.dead.len();
        // Clerk asked us to wait; what is due stays due for the next tick.
        if delivered.retry_after.is_some() {
            return Ok(());
        }
    }
    Ok(())
}

/// Settles edits and changes of address that nobody finished.
async fn settle(
    clerk: &clerk::Client,
    db: &Db,
    deadline: Instant,
    report: &mut Report,
) -> Result<(), db::Error> {
    while has_time(deadline) {
        let edits = edit::settle_edits(clerk, db, deadline).await?;
        report.n_settled += edits.n_done;
        report.n_unanswered += edits.n_unanswered;
        if edits.must_wait {
            return Ok(());
        }
        if edits == Refetched::default() {
            break;
        }
    }
    // Some at every tick: each takes a call or more, and others wait.
    let changes = Box::pin(email_change::settle_email_changes(clerk, db, deadline)).await?;
    report.n_settled += changes.n_done;
    report.n_unanswered += changes.n_unanswered;
    Ok(())
}

/// Asks Clerk: first about parents, then for lists, at last about what those did not show.
/// When Clerk asks us to wait, what is due stays due for the next tick.
async fn ask(
    clerk: &clerk::Client,
    db: &Db,
    deadline: Instant,
    report: &mut Report,
) -> Result<(), db::Error> {
    let tick = Tick {
        clerk,
        db,
        deadline,
    };
    if tick.ask_about_users(report).await?
        && tick.ask_about_organizations(report).await?
        && tick.walk_organizations(report).await?
        && tick.walk_members(report).await?
    {
        tick.ask_about_memberships(report).await?;
    }
    Ok(())
}

/// What a tick works with. Its steps tell whether the next one may begin.
#[derive(Clone, Copy)]
struct Tick<'a> {
    clerk: &'a clerk::Client,
    db: &'a Db,
    deadline: Instant,
}

impl Tick<'_> {
    async fn ask_about_users(self, report: &mut Report) -> Result<bool, db::Error> {
        while has_time(self.deadline) {
            let ids = self.db.users_to_refetch(REFETCH_BATCH).await?;
            if ids.is_empty() {
                break;
            }
            let refetched = refetch::users(self.clerk, self.db, &ids, self.deadline).await?;
            if report.note(refetched) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn ask_about_organizations(self, report: &mut Report) -> Result<bool, db::Error> {
        while has_time(self.deadline) {
            let ids = self.db.organizations_to_refetch(REFETCH_BATCH).await?;
            if ids.is_empty() {
                break;
            }
            let asked = refetch::organizations(self.clerk, self.db, &ids, self.deadline);
            if report.note(asked.await?) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn walk_organizations(self, report: &mut Report) -> Result<bool, db::Error> {
        while has_time(self.deadline) {
            let users = self.db.begin_due_organization_walks(WALK_BATCH).await?;
            if users.is_empty() {
                break;
            }
            for user in users.iter().take_while(|_| has_time(self.deadline)) {
                let list = ListOfUser::new(self.clerk, user);
                let walked = self.walker().organizations_of_user(list).await?;
                if report.note_walk(walked, user.as_str()) {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    async fn walk_members(self, report: &mut Report) -> Result<bool, db::Error> {
        while has_time(self.deadline) {
            let walks = self.db.due_members_walks(WALK_BATCH).await?;
            if walks.is_empty() {
                break;
            }
            for walk in walks {
                if !has_time(self.deadline) {
                    break;
                }
                let organization = walk.organization.clone();
                let walked = self.walker().members(walk).await?;
                if report.note_walk(walked, organization.as_str()) {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    fn walker(&self) -> Walker<'_> {
        Walker {
            clerk: self.clerk,
            db: self.db,
            until: self.deadline,
            tries: Tries::Once,
            check: Check::No,
        }
    }

    async fn ask_about_memberships(self, report: &mut Report) -> Result<bool, db::Error> {
        while has_time(self.deadline) {
            let limit = REFETCH_BATCH;
            let refetched =
                refetch::memberships(self.clerk, self.db, Flagged::Due, limit, self.deadline);
            let refetched = refetched.await?;
            if refetched == Refetched::default() {
                break;
            }
            if report.note(refetched) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl Report {
    /// Counts what was asked; true if Clerk asked us to wait.
    fn note(&mut self, refetched: Refetched) -> bool {
        self.n_refetched += refetched.n_done;
        self.n_ended += refetched.n_ended;
        self.n_unanswered += refetched.n_unanswered;
        refetched.must_wait
    }

    /// Counts what was walked over; true if Clerk asked us to wait.
    fn note_walk(&mut self, walked: Walked, of: &str) -> bool {
        self.n_walked += walked.n_seen;
        self.n_ended += walked.n_ended;
        let Some(error) = walked.error else {
            return false;
        };
        self.n_unanswered += 1;
        tracing::warn!(
            error = chain(&error),
            clerk_id = of,
            "Clerk gave no answer on a walk over memberships; it goes on later"
        );
        error.retry_after().is_some()
    }
}

/// Begins a comparison when one is due, and works on the one that is under way.
async fn compare(
    clerk: &clerk::Client,
    db: &Db,
    limits: Limits,
    deadline: Instant,
    report: &mut Report,
) -> Result<(), db::Error> {
    if !has_time(deadline) {
        return Ok(());
    }
    outage::notice_silence(clerk, db, deadline).await?;
    let due = NewRun {
        mode: limits.mode,
        actor: SCHEDULE.to_owned(),
        request_id: None,
        approval: limits.brake.approval(),
    };
    db.begin_due_run(&due, limits.interval_minutes).await?;
    report.comparison = comparison::work_on_run(clerk, db, deadline).await?;
    Ok(())
}

async fn erase(
    db: &Db,
    limits: Limits,
    deadline: Instant,
    report: &mut Report,
) -> Result<(), db::Error> {
    while has_time(deadline) {
        let n_forgotten = db.forget_runs(limits.retention_days, FORGET_BATCH).await?;
        if n_forgotten == 0 {
            break;
        }
    }
    while has_time(deadline) {
        let n_erased = db
            .erase_deleted_users(limits.retention_days, ERASE_BATCH)
            .await?;
        report.n_erased += n_erased;
        if n_erased == 0 {
            return Ok(());
        }
    }
    Ok(())
}

fn has_time(deadline: Instant) -> bool {
    Instant::now() + CALL_TIMEOUT < deadline
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_outlasts_its_calls() {
        assert!(DELIVERY_TIME + 2 * CALL_TIMEOUT < crate::db::outbox::LEASE);
    }
}
