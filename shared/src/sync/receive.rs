//! Receives a delivery: decides what it is, and applies it once (R7).

use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};

use super::apply::memberships as apply_memberships;
use super::apply::organizations as apply_organizations;
use super::apply::users as apply_users;
use super::apply::users::Walk;
use super::apply::{self, InDoubt};
use super::merge::Origin;
use super::refetch;
use super::walk::{ListOfUser, Tries, Walked, Walker};
use crate::clerk::{self, Budget};
use crate::db::inbox::{self, Entry};
use crate::db::memberships::Flagged;
use crate::db::walks::MembersWalk;
use crate::db::{self, Check, Db};
use crate::ids::{ClerkOrganizationId, ClerkUserId};
use crate::telemetry::{chain, metrics};
use crate::webhook::{Change, Content, Delivery, Event, Unreadable};

/// How long Clerk may take to settle a doubt; Svix waits 15 s for the whole answer.
const READ_TIMEOUT: Duration = Duration::from_secs(3);
/// How long Clerk may be asked about what belongs to an event that is taken in.
const FOLLOW_UP_TIME: Duration = Duration::from_secs(4);
/// About how many flagged memberships of one user Clerk is asked at once.
const MAX_MEMBERSHIPS: i64 = 20;

/// What became of a delivery, as Svix and the log are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Its effects are in the tables.
    Applied,
    /// It was taken in before.
    Duplicate,
    /// Something newer was there before it.
    Stale,
    /// Not for us.
    Ignored,
    /// It waits until Clerk was asked.
    Parked,
    /// Nobody can read it; a person has to look.
    Dead,
}

impl Outcome {
    /// As it is spelled everywhere.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Duplicate => "duplicate",
            Self::Stale => "stale",
            Self::Ignored => "ignored",
            Self::Parked => "parked",
            Self::Dead => "dead",
        }
    }
}

/// Takes a delivery in, with all its effects, or fails so that Svix sends it again.
///
/// `clerk` is asked when only Clerk can tell what is true (R2); without it `reconcile` asks.
/// `instance_id` is ours, if it is pinned (R18).
pub async fn receive(
    clerk: Option<&clerk::Client>,
    db: &Db,
    instance_id: Option<&str>,
    delivery: &Delivery,
    deadline: Instant,
) -> Result<Outcome, db::Error> {
    match delivery.read() {
        Content::Unreadable(body) => receive_unreadable(db, instance_id, delivery, body).await,
        Content::Event(event) => {
            let event_type = event.event_type.clone();
            let outcome = receive_event(clerk, db, instance_id, delivery, event, deadline).await?;
            metrics::event(&event_type, outcome.as_str());
            Ok(outcome)
        }
    }
}

async fn receive_unreadable(
    db: &Db,
    instance_id: Option<&str>,
    delivery: &Delivery,
    body: Unreadable,
) -> Result<Outcome, db::Error> {
    let entry = unreadable(delivery, body, instance_id);
    let (event_type, reason) = (entry.event_type.clone(), entry.last_error.clone());
    let outcome = record(db, entry).await?;
    if outcome == Outcome::Dead {
        tracing::error!(
            svix.id = %delivery.svix_id,
            event.type = event_type,
            event.reason = reason,
            "a delivery is signed and cannot be read; it is kept as dead"
        );
    }
    metrics::event(&event_type, outcome.as_str());
    Ok(outcome)
}

async fn receive_event(
    clerk: Option<&clerk::Client>,
    db: &Db,
    instance_id: Option<&str>,
    delivery: &Delivery,
    event: Event,
    deadline: Instant,
) -> Result<Outcome, db::Error> {
    let entry = entry(delivery, &event);
    if is_foreign(instance_id, event.instance_id.as_deref()) {
        return record(db, ignored(entry, "R18")).await;
    }
    let intake = Intake {
        clerk,
        db,
        entry: &entry,
        deadline,
    };
    let result = match event.change {
        Change::UserCreated(user) => intake.user(with_version(user, event.at), Walk::Yes).await,
        Change::UserUpdated(user) => intake.user(with_version(user, event.at), Walk::IfDue).await,
        Change::UserDeleted(id) => intake.end_of_user(&id, event.at).await,
        // Who makes an organization is its first member.
        Change::OrganizationCreated(seen) => intake.organization(seen, event.at, true).await,
        Change::OrganizationUpdated(seen) => intake.organization(seen, event.at, false).await,
        Change::OrganizationDeleted(id) => intake.end_of_organization(&id, event.at).await,
        Change::MembershipCreated(seen) | Change::MembershipUpdated(seen) => {
            let updated_at = seen.updated_at.or(event.at);
            let seen = clerk::OrganizationMembership { updated_at, ..seen };
            intake
                .membership(&seen, apply_memberships::Seen::Live(Origin::Event))
                .await
        }
        Change::MembershipDeleted(seen) => {
            let at = end(event.at);
            intake
                .membership(&seen, apply_memberships::Seen::Deleted(at))
                .await
        }
        Change::Ignored => return record(db, ignored(entry, "unhandled")).await,
    };
    match result {
        // The same values will never be stored: a person has to look, not Svix to repeat.
        Err(error) if error.is_about_the_data() => {
            tracing::error!(
                error = chain(&error),
                svix.id = %entry.svix_id,
                "a delivery cannot be stored and is kept as dead"
            );
            let reason = format!("SQLSTATE {}", error.sql_state().unwrap_or("unknown"));
            record(db, dead(entry, reason, delivery.payload())).await
        }
        result => result,
    }
}

/// One delivery on its way into the tables.
#[derive(Clone, Copy)]
struct Intake<'a> {
    clerk: Option<&'a clerk::Client>,
    db: &'a Db,
    entry: &'a Entry,
    deadline: Instant,
}

impl Intake<'_> {
    async fn user(self, user: clerk::User, walk: Walk) -> Result<Outcome, db::Error> {
        let sighting = apply_users::Sighting {
            clerk_id: &user.id,
            seen: apply_users::Seen::User(&user, Origin::Event),
            delivery: Some(self.entry),
            in_doubt: InDoubt::Tell,
            walk,
        };
        let mut applied = apply_users::apply_one(self.db, sighting.clone(), Check::No).await?;
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
            applied = apply_users::apply_one(self.db, sighting, Check::No).await?;
        }
        note_lag(applied.outcome, user.updated_at);
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
        let applied = apply_users::apply_one(self.db, sighting, Check::No).await?;
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
        let applied = apply_organizations::apply_one(self.db, sighting, Check::No).await?;
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
        let applied = apply_organizations::apply_one(self.db, sighting, Check::No).await?;
        Ok(outcome(applied.outcome))
    }

    async fn membership(
        self,
        membership: &clerk::OrganizationMembership,
        seen: apply_memberships::Seen,
    ) -> Result<Outcome, db::Error> {
        // The event would be unreadable without.
        let Some(user) = &membership.public_user_data else {
            return record(self.db, ignored(self.entry.clone(), "unhandled")).await;
        };
        let sighting = apply_memberships::Sighting {
            membership,
            user,
            seen,
            delivery: Some(self.entry),
            in_doubt: InDoubt::Flag,
        };
        let applied = apply_memberships::apply_one(self.db, sighting, Check::No).await?;
        note_lag(applied.outcome, membership.updated_at);
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

    fn walker<'a>(&self, clerk: &'a clerk::Client) -> Walker<'a>
    where
        Self: 'a,
    {
        Walker {
            clerk,
            db: self.db,
            until: self.follow_up_until(),
            tries: Tries::Once,
            check: Check::No,
        }
    }

    async fn ask_about_user(self, id: &ClerkUserId) {
        let Some(clerk) = self.clerk else { return };
        let ids = std::slice::from_ref(id);
        let asked = refetch::users(clerk, self.db, ids, self.follow_up_until());
        if let Err(error) = Box::pin(asked).await {
            put_off(&error, "a member");
        }
    }

    async fn ask_about_organization(self, id: &ClerkOrganizationId) {
        let Some(clerk) = self.clerk else { return };
        let ids = std::slice::from_ref(id);
        let asked = refetch::organizations(clerk, self.db, ids, self.follow_up_until());
        if let Err(error) = Box::pin(asked).await {
            put_off(&error, "an organization");
        }
    }

    async fn ask_about_memberships(self, user: &ClerkUserId) {
        let Some(clerk) = self.clerk else { return };
        let flagged = Flagged::OfUser(user);
        let until = self.follow_up_until();
        let asked = refetch::memberships(clerk, self.db, flagged, MAX_MEMBERSHIPS, until);
        if let Err(error) = Box::pin(asked).await {
            put_off(&error, "a membership");
        }
    }

    /// Half of what is left, at most.
    fn follow_up_until(self) -> Instant {
        let now = Instant::now();
        let time_left = self.deadline.saturating_duration_since(now);
        now + FOLLOW_UP_TIME.min(time_left / 2)
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

async fn record(db: &Db, entry: Entry) -> Result<Outcome, db::Error> {
    if !db.record_delivery(&entry).await? {
        return Ok(Outcome::Duplicate);
    }
    Ok(match entry.outcome {
        inbox::Outcome::Applied => Outcome::Applied,
        inbox::Outcome::Stale => Outcome::Stale,
        inbox::Outcome::Ignored => Outcome::Ignored,
        inbox::Outcome::Parked => Outcome::Parked,
        inbox::Outcome::Dead => Outcome::Dead,
    })
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

/// With a pinned instance, an event that does not say that it is ours is not ours (R18).
fn is_foreign(pinned: Option<&str>, from: Option<&str>) -> bool {
    pinned.is_some() && pinned != from
}

fn entry(delivery: &Delivery, event: &Event) -> Entry {
    Entry {
        svix_id: delivery.svix_id.clone(),
        event_type: event.event_type.clone(),
        object_id: event.object_id.clone(),
        instance_id: event.instance_id.clone(),
        event_at: event.at.and_then(|ms| Timestamp::from_millisecond(ms).ok()),
        outcome: inbox::Outcome::Applied,
        rule: None,
        detail: json!({}),
        payload: None,
        last_error: None,
    }
}

fn ignored(entry: Entry, rule: &'static str) -> Entry {
    Entry {
        outcome: inbox::Outcome::Ignored,
        rule: Some(rule),
        ..entry
    }
}

fn dead(entry: Entry, reason: String, payload: Value) -> Entry {
    Entry {
        outcome: inbox::Outcome::Dead,
        rule: Some("R7"),
        payload: Some(payload),
        last_error: Some(reason),
        ..entry
    }
}

fn unreadable(delivery: &Delivery, body: Unreadable, instance_id: Option<&str>) -> Entry {
    let Unreadable {
        reason,
        payload,
        event_type,
        object_id,
        instance_id: from,
    } = body;
    let is_foreign = is_foreign(instance_id, from.as_deref());
    let entry = Entry {
        svix_id: delivery.svix_id.clone(),
        event_type: event_type.unwrap_or_else(|| "unreadable".to_owned()),
        object_id,
        instance_id: from,
        event_at: None,
        outcome: inbox::Outcome::Ignored,
        rule: Some("R18"),
        detail: json!({}),
        payload: None,
        last_error: None,
    };
    if is_foreign {
        entry
    } else {
        dead(entry, reason, payload)
    }
}
