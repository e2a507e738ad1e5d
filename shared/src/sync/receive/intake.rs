//! Takes one event into the tables, and then looks after what it leaves open.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use uuid::Uuid;

use super::{Outcome, ignored, record};
use crate::clerk::{self, Budget};
use crate::db::inbox::Entry;
use crate::db::memberships::Flagged;
use crate::db::walks::MembersWalk;
use crate::db::{self, Check, Db};
use crate::ids::{ClerkOrganizationId, ClerkUserId};
use crate::sync::apply::memberships as apply_memberships;
use crate::sync::apply::organizations as apply_organizations;
use crate::sync::apply::users as apply_users;
use crate::sync::apply::users::Walk;
use crate::sync::apply::{self, InDoubt};
use crate::sync::email_change;
use crate::sync::merge::Origin;
use crate::sync::refetch;
use crate::sync::walk::{ListOfUser, Tries, Walked, Walker};
use crate::telemetry::{chain, metrics};
use crate::webhook::Change;

/// How long Clerk may take to settle a doubt; Svix waits 15 s for the whole answer.
const READ_TIMEOUT: Duration = Duration::from_secs(3);
/// How long Clerk may be asked about what belongs to an event that is taken in.
const FOLLOW_UP_TIME: Duration = Duration::from_secs(4);
/// About how many flagged memberships of one user Clerk is asked at once.
const MAX_MEMBERSHIPS: i64 = 20;

/// One delivery on its way into the tables.
#[derive(Clone, Copy)]
pub(super) struct Intake<'a> {
    clerk: Option<&'a clerk::Client>,
    db: &'a Db,
    entry: &'a Entry,
    deadline: Instant,
    /// No call for what belongs to the event lasts longer.
    follow_up_until: Instant,
}

impl<'a> Intake<'a> {
    pub(super) fn new(
        clerk: Option<&'a clerk::Client>,
        db: &'a Db,
        entry: &'a Entry,
        deadline: Instant,
    ) -> Self {
        let now = Instant::now();
        let time_left = deadline.saturating_duration_since(now);
        Self {
            clerk,
            db,
            entry,
            deadline,
            // Half of what is left, at most.
            follow_up_until: now + FOLLOW_UP_TIME.min(time_left / 2),
        }
    }

    pub(super) async fn change(
        self,
        change: Change,
        at: Option<i64>,
    ) -> Result<Outcome, db::Error> {
        match change {
            Change::UserCreated(user) => self.user(with_version(user, at), Walk::Yes).await,
            Change::UserUpdated(user) => self.user(with_version(user, at), Walk::IfDue).await,
            Change::UserDeleted(id) => self.end_of_user(&id, at).await,
            // Who makes an organization is its first member.
            Change::OrganizationCreated(seen) => self.organization(seen, at, true).await,
            Change::OrganizationUpdated(seen) => self.organization(seen, at, false).await,
            Change::OrganizationDeleted(id) => self.end_of_organization(&id, at).await,
            Change::MembershipCreated(seen) | Change::MembershipUpdated(seen) => {
                let updated_at = seen.updated_at.or(at);
                let seen = clerk::OrganizationMembership { updated_at, ..seen };
                self.membership(&seen, apply_memberships::Seen::Live(Origin::Event))
                    .await
            }
            Change::MembershipDeleted(seen) => {
                let at = end(at);
                self.membership(&seen, apply_memberships::Seen::Deleted(at))
                    .await
            }
            Change::Ignored => record(self.db, ignored(self.entry, "unhandled")).await,
        }
    }

    async fn user(self, user: clerk::User, walk: Walk) -> Result<Outcome, db::Error> {
        let sighting = apply_users::Sighting {
            clerk_id: &user.id,
            seen: apply_users::Seen::User(&user, Origin::Event),
            delivery: Some(self.entry),
            in_doubt: InDoubt::Tell,
            walk,
        };
        let mut applied = apply::apply_one(self.db, sighting.clone(), Check::No).await?;
        if applied.outcome == apply::Outcome::Doubtful {
            let read = self.read_user(&user.id).await;
            let sighting = apply_users::Sighting {
                seen: match &read {
                    Some(read) => apply_users::Seen::User(read, Origin::Read),
                    None => sighting.seen,
                },
                in_doubt: InDoubt::Flag,
                ..sighting
            };
            applied = apply::apply_one(self.db, sighting, Check::No).await?;
        }
        note_lag(applied.outcome, user.updated_at);
        if let Some(email_change) = applied.more.email_change {
            self.finish_email_change(email_change).await;
        }
        if applied.more.walk {
            self.walk_organizations(&user.id).await;
        }
        Ok(outcome(applied.outcome))
    }

    async fn end_of_user(self, id: &ClerkUserId, at: Option<i64>) -> Result<Outcome, db::Error> {
        let sighting = apply_users::Sighting {
            clerk_id: id,
            seen: apply_users::Seen::Deleted(end(at)),
            delivery: Some(self.entry),
            in_doubt: InDoubt::Flag,
            walk: Walk::No,
        };
        let applied = apply::apply_one(self.db, sighting, Check::No).await?;
        Ok(outcome(applied.outcome))
    }

    async fn organization(
        self,
        seen: clerk::Organization,
        at: Option<i64>,
        owes_walk: bool,
    ) -> Result<Outcome, db::Error> {
        let seen = clerk::Organization {
            updated_at: seen.updated_at.or(at),
            ..seen
        };
        let sighting = apply_organizations::Sighting {
            clerk_id: &seen.id,
            seen: apply_organizations::Seen::Organization(&seen, Origin::Event),
            delivery: Some(self.entry),
            in_doubt: InDoubt::Flag,
            owes_walk,
        };
        let applied = apply::apply_one(self.db, sighting, Check::No).await?;
        note_lag(applied.outcome, seen.updated_at);
        if applied.outcome == apply::Outcome::Doubtful {
            self.ask_about_organization(&seen.id).await;
        }
        if owes_walk && applied.outcome == apply::Outcome::Applied {
            self.walk_members(seen.id.clone()).await;
        }
        Ok(outcome(applied.outcome))
    }

    async fn end_of_organization(
        self,
        id: &ClerkOrganizationId,
        at: Option<i64>,
    ) -> Result<Outcome, db::Error> {
        let sighting = apply_organizations::Sighting {
            clerk_id: id,
            seen: apply_organizations::Seen::Deleted(end(at)),
            delivery: Some(self.entry),
            in_doubt: InDoubt::Flag,
            owes_walk: false,
        };
        let applied = apply::apply_one(self.db, sighting, Check::No).await?;
        Ok(outcome(applied.outcome))
    }

    async fn membership(
        self,
        membership: &clerk::OrganizationMembership,
        seen: apply_memberships::Seen,
    ) -> Result<Outcome, db::Error> {
        // The event would be unreadable without.
        let Some(user) = &membership.public_user_data else {
            return record(self.db, ignored(self.entry, "unhandled")).await;
        };
        let sighting = apply_memberships::Sighting {
            membership,
            user,
            seen,
            delivery: Some(self.entry),
            in_doubt: InDoubt::Flag,
        };
        let applied = apply::apply_one(self.db, sighting, Check::No).await?;
        // The end of one does not say when that was.
        if let apply_memberships::Seen::Live(_) = seen {
            note_lag(applied.outcome, membership.updated_at);
        }
        if applied.more.user {
            self.ask_about_user(&user.user_id).await;
        }
        if applied.more.organization {
            self.ask_about_organization(&membership.organization.id)
                .await;
        }
        if applied.more.membership {
            self.ask_about_memberships(&user.user_id).await;
        }
        Ok(outcome(applied.outcome))
    }

    async fn read_user(self, id: &ClerkUserId) -> Option<clerk::User> {
        let time_left = self.deadline.saturating_duration_since(Instant::now());
        // Half of what is left: the other half is for writing what was read.
        let budget = Budget::once(READ_TIMEOUT.min(time_left / 2));
        match self.clerk?.user(id, budget).await {
            Ok(user) => Some(user),
            Err(error) => {
                tracing::warn!(
                    error = chain(&error),
                    user.clerk_id = %id,
                    "Clerk could not be asked about a user; the next reconcile asks"
                );
                None
            }
        }
    }

    // What follows comes after the event is taken in: if it fails, the rows stay flagged.

    async fn finish_email_change(self, id: Uuid) {
        let Some(clerk) = self.clerk else { return };
        let finish = email_change::finish_at_once(clerk, self.db, id, self.follow_up_until);
        if let Err(error) = Box::pin(finish).await {
            put_off(&error, "a change of address");
        }
    }

    async fn walk_organizations(self, id: &ClerkUserId) {
        let Some(clerk) = self.clerk else { return };
        let walk = self
            .walker(clerk)
            .organizations_of_user(ListOfUser::new(clerk, id));
        follow_up(Box::pin(walk).await, "a user's organizations");
    }

    async fn walk_members(self, organization: ClerkOrganizationId) {
        let Some(clerk) = self.clerk else { return };
        let walk = MembersWalk {
            organization,
            offset: 0,
        };
        let walk = self.walker(clerk).members(walk);
        follow_up(Box::pin(walk).await, "an organization's members");
    }

    fn walker(self, clerk: &'a clerk::Client) -> Walker<'a> {
        Walker {
            clerk,
            db: self.db,
            until: self.follow_up_until,
            tries: Tries::Once,
            check: Check::No,
        }
    }

    async fn ask_about_user(self, id: &ClerkUserId) {
        let Some(clerk) = self.clerk else { return };
        let ids = std::slice::from_ref(id);
        let asked = refetch::users(clerk, self.db, ids, self.follow_up_until);
        if let Err(error) = Box::pin(asked).await {
            put_off(&error, "a member");
        }
    }

    async fn ask_about_organization(self, id: &ClerkOrganizationId) {
        let Some(clerk) = self.clerk else { return };
        let ids = std::slice::from_ref(id);
        let asked = refetch::organizations(clerk, self.db, ids, self.follow_up_until);
        if let Err(error) = Box::pin(asked).await {
            put_off(&error, "an organization");
        }
    }

    async fn ask_about_memberships(self, user: &ClerkUserId) {
        let Some(clerk) = self.clerk else { return };
        let flagged = Flagged::OfUser(user);
        let until = self.follow_up_until;
        let asked = refetch::memberships(clerk, self.db, flagged, MAX_MEMBERSHIPS, until);
        if let Err(error) = Box::pin(asked).await {
            put_off(&error, "a membership");
        }
    }
}

fn follow_up(walked: Result<Walked, db::Error>, what: &str) {
    metrics::sync_result(matches!(&walked, Ok(walked) if walked.error.is_none()));
    match walked {
        Ok(walked) => {
            if let Some(error) = walked.error {
                put_off(&error, what);
            }
        }
        Err(error) => put_off(&error, what),
    }
}

/// How old a change was when it was taken in, by Clerk's clock and ours.
fn note_lag(outcome: apply::Outcome, version: Option<i64>) {
    if let (apply::Outcome::Applied, Some(version)) = (outcome, version) {
        metrics::apply_lag(version);
    }
}

fn put_off(error: &dyn std::error::Error, what: &str) {
    tracing::warn!(
        error = chain(error),
        "an event was taken in, and {what} not yet read from Clerk; the next reconcile does it"
    );
}

/// When a deletion happened: not after now, whatever the event says.
fn end(at: Option<i64>) -> Timestamp {
    let now = Timestamp::now();
    at.and_then(|ms| Timestamp::from_millisecond(ms).ok())
        .map_or(now, |at| at.min(now))
}

fn outcome(outcome: apply::Outcome) -> Outcome {
    match outcome {
        apply::Outcome::Duplicate => Outcome::Duplicate,
        apply::Outcome::Applied => Outcome::Applied,
        apply::Outcome::Stale => Outcome::Stale,
        apply::Outcome::Doubtful => Outcome::Parked,
    }
}

/// An event without `updated_at` is as old as the event itself: a hint is better than nothing.
fn with_version(user: clerk::User, at: Option<i64>) -> clerk::User {
    clerk::User {
        updated_at: user.updated_at.or(at),
        ..user
    }
}
