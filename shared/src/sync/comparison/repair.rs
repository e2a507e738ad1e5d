//! Mends what differs (R15): too high privileges first, and only as much as the brake lets through.
//!
//! What the list shows and is newer than the row is written as it was listed. Where that does not
//! decide, Clerk is asked once more, and what it says is written, whatever the row says (R14).

mod memberships;
mod organizations;
mod users;

use std::collections::HashSet;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::asking::parsed;
use super::{Flow, Stop, Work};
use crate::db::Check;
use crate::db::drift::{Action, State as Fate, ToRepair};
use crate::db::listed::{Batch, Object};
use crate::db::runs::State;
use crate::ids::{ClerkOrganizationId, ClerkUserId};
use crate::sync::apply::{self, Applied, Outcome, Sighting};
use crate::sync::merge::Origin;

/// How many differences are held back together.
const WITHHELD_AT_ONCE: i64 = 10_000;
/// What a repair fills.
const FILLED: [&str; 5] = ["users", "organizations", "memberships", "outbox", "drift"];
/// How many differences are mended together.
const REPAIRS_AT_ONCE: i64 = 500;

/// How far repairing is.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
struct Repairing {
    /// What is above the ceilings is held back.
    is_braked: bool,
    /// How many batches are done.
    n_batches: u64,
    /// The last of them: how urgent it was, and which.
    after: (i16, i64),
}

/// What became of differences, by their ids.
#[derive(Debug, Default)]
struct Fates {
    repaired: Vec<i64>,
    gone: Vec<i64>,
    failed: Vec<i64>,
}

impl Fates {
    fn len(&self) -> usize {
        self.repaired.len() + self.gone.len() + self.failed.len()
    }

    fn note(&mut self, item: &ToRepair, fate: Fate) {
        match fate {
            Fate::Repaired => self.repaired.push(item.id),
            Fate::Failed => self.failed.push(item.id),
            Fate::Found | Fate::Withheld | Fate::Gone => self.gone.push(item.id),
        }
    }

    /// Notes those that are written, by Clerk's ids; returns the others.
    fn note_written<'i>(
        &mut self,
        items: Vec<&'i ToRepair>,
        written: &HashSet<String>,
    ) -> Vec<&'i ToRepair> {
        let is_written = |item: &&ToRepair| written.contains(item.clerk_id.as_str());
        let (done, others): (Vec<_>, Vec<_>) = items.into_iter().partition(is_written);
        for item in done {
            self.note(item, Fate::Repaired);
        }
        others
    }
}

/// What came of writing what Clerk said when it was asked; `None` if it cannot be stored.
fn fate<M>(applied: Option<Applied<M>>) -> Fate {
    match applied.map(|it| it.outcome) {
        Some(Outcome::Applied) => Fate::Repaired,
        // Something newer came, or somebody is asking already.
        Some(Outcome::Stale | Outcome::Duplicate | Outcome::Doubtful) => Fate::Gone,
        None => Fate::Failed,
    }
}

impl Work<'_> {
    /// Mends the next differences, all of one kind.
    pub(super) async fn repair(&mut self) -> Result<Flow, Stop> {
        let position: Repairing = self.position();
        if !position.is_braked {
            return self.brake().await;
        }
        // The tables grow while they are filled for the first time.
        if position.n_batches.is_power_of_two() {
            self.look_at(&FILLED).await;
        }
        let (run, approval) = (self.run.id, &self.run.approval);
        let items = self
            .db
            .to_repair(run, approval, position.after, REPAIRS_AT_ONCE)
            .await?;
        let Some(first) = items.first() else {
            let (_, is_withheld) = self.db.count_to_repair(run, approval).await?;
            let end = if is_withheld {
                State::Waiting
            } else {
                State::Done
            };
            self.db.count_drift(run).await?;
            return self.enter(end).await;
        };
        let fates = match first.object {
            Object::User => Box::pin(self.repair_users(&items)).await?,
            Object::Organization => Box::pin(self.repair_organizations(&items)).await?,
            Object::Membership => Box::pin(self.repair_memberships(&items)).await?,
        };
        self.note(&fates).await?;
        self.run.progress.repaired.done += fates.len() as u64;
        // Those for which there was no time come again.
        let last = items.last().filter(|_| fates.len() == items.len());
        let next = Repairing {
            n_batches: position.n_batches + 1,
            after: last.map_or(position.after, |item| (item.priority, item.id)),
            ..position
        };
        self.step(&next, &Batch::default()).await?;
        Ok(Flow::On)
    }

    /// Holds back what is above the ceilings, before anything is mended.
    async fn brake(&mut self) -> Result<Flow, Stop> {
        if self.run.approval.is_foreign {
            tracing::error!(
                alarm = "repair_withheld",
                run.id = %self.run.id,
                "none of our users is in Clerk, which may be another instance: somebody has to approve \
                 a repair"
            );
            while self.db.withhold(self.run.id, WITHHELD_AT_ONCE).await? > 0 {
                self.keep().await?;
            }
            self.db.count_drift(self.run.id).await?;
            return self.enter(State::Waiting).await;
        }
        let plan = self.db.brake(self.run.id, &self.run.approval).await?;
        if plan.withholds() {
            tracing::error!(
                alarm = "repair_withheld",
                run.id = %self.run.id,
                withheld = %plan.withheld,
                "a repair would delete or demote more than is usual: somebody has to approve it"
            );
        }
        let approval = &self.run.approval;
        let (n_to_repair, _) = self.db.count_to_repair(self.run.id, approval).await?;
        let progress = &mut self.run.progress.repaired;
        progress.total = progress.done + n_to_repair;
        let begun = Repairing {
            is_braked: true,
            ..Repairing::default()
        };
        self.step(&begun, &Batch::default()).await?;
        Ok(Flow::On)
    }

    async fn note(&self, fates: &Fates) -> Result<(), Stop> {
        let kinds = [
            (&fates.repaired, Fate::Repaired, None),
            (&fates.gone, Fate::Gone, None),
            (
                &fates.failed,
                Fate::Failed,
                Some("The database refuses what Clerk shows."),
            ),
        ];
        for (ids, fate, reason) in kinds {
            if !ids.is_empty() {
                self.db.note_repairs(ids, fate, reason).await?;
            }
        }
        Ok(())
    }

    /// What is done before Clerk's word counts; returns what is left to mend.
    async fn begin_repair<'i, Id: FromStr>(
        &self,
        items: &'i [ToRepair],
        fates: &mut Fates,
    ) -> Result<Vec<&'i ToRepair>, Stop> {
        self.doubt_ends(items).await?;
        self.end_strange::<Id>(items, fates).await
    }

    /// Writes what was listed; and returns for which that was enough, by Clerk's ids.
    async fn write_listed<S: Sighting>(
        &self,
        sightings: &[S],
        id: impl Fn(&S) -> &str,
    ) -> Result<HashSet<String>, Stop> {
        if sightings.is_empty() {
            return Ok(HashSet::new());
        }
        let applied = apply::apply_each(self.db, sightings, Check::No).await?;
        let written = sightings.iter().zip(applied).filter(|(_, applied)| {
            let outcome = applied.as_ref().map(|it| it.outcome);
            outcome == Some(Outcome::Applied)
        });
        Ok(written.map(|(it, _)| id(it).to_owned()).collect())
    }

    /// Rows with an id that Clerk cannot have end without asking; returns the others.
    async fn end_strange<'i, Id: FromStr>(
        &self,
        items: &'i [ToRepair],
        fates: &mut Fates,
    ) -> Result<Vec<&'i ToRepair>, Stop> {
        let is_strange = |item: &&ToRepair| {
            let is_of_nothing = item.object == Object::Membership
                && (parsed::<ClerkOrganizationId>(item.clerk_organization_id.as_ref()).is_none()
                    || parsed::<ClerkUserId>(item.clerk_user_id.as_ref()).is_none());
            ends(item) && (is_of_nothing || item.clerk_id.parse::<Id>().is_err())
        };
        let (strange, others): (Vec<_>, Vec<_>) = items.iter().partition(is_strange);
        let rows: Vec<_> = strange.iter().filter_map(|item| item.row_id).collect();
        if let Some(first) = strange.first() {
            self.db.end_strange_rows(first.object, &rows).await?;
        }
        for item in strange {
            fates.note(item, Fate::Repaired);
        }
        Ok(others)
    }

    /// What is said of a row that was found to differ.
    fn origin(&self) -> Origin {
        Origin::Repair {
            since: self.run.created_at,
        }
    }

    /// Nobody told of the ends of rows that are missing although they are here.
    async fn doubt_ends(&self, items: &[ToRepair]) -> Result<(), Stop> {
        let ended = items.iter().filter(|item| item.is_ended);
        let rows: Vec<_> = ended.filter_map(|item| item.row_id).collect();
        let Some(first) = items.first().filter(|_| !rows.is_empty()) else {
            return Ok(());
        };
        Ok(self.db.doubt_ends(first.object, &rows).await?)
    }
}

/// Those that Clerk is asked about at once: it knew nothing of them before.
fn ends(item: &ToRepair) -> bool {
    item.action == Action::End
}

/// Clerk's ids of those that do not end: they may be written as they were listed.
fn living_ids<'i>(items: &[&'i ToRepair]) -> Vec<&'i str> {
    let living = items.iter().filter(|item| !ends(item));
    living.map(|item| item.clerk_id.as_str()).collect()
}
