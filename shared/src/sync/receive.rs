//! Receives a delivery: decides what it is, and applies it once (R7).

use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};

use super::apply::{self, Applied, InDoubt, Seen, Sighting};
use super::merge::Origin;
use crate::clerk::{self, Budget};
use crate::db::inbox::{self, Entry};
use crate::db::{self, Db};
use crate::ids::ClerkUserId;
use crate::telemetry::chain;
use crate::webhook::{Change, Content, Delivery, Event, Unreadable};

/// How long Clerk may take to settle a doubt; Svix waits 15 s for the whole answer.
const READ_TIMEOUT: Duration = Duration::from_secs(3);

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
        Content::Unreadable(body) => record(db, unreadable(delivery, body, instance_id)).await,
        Content::Event(event) => {
            receive_event(clerk, db, instance_id, delivery, event, deadline).await
        }
    }
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
    let result = match event.change {
        Change::UserCreated(user) | Change::UserUpdated(user) => {
            receive_user(clerk, db, &entry, with_version(user, event.at), deadline).await
        }
        Change::UserDeleted(id) => receive_end(db, &entry, &id, event.at).await,
        Change::OrganizationCreated(_)
        | Change::OrganizationUpdated(_)
        | Change::OrganizationDeleted(_)
        | Change::MembershipCreated(_)
        | Change::MembershipUpdated(_)
        | Change::MembershipDeleted(_)
        | Change::Ignored => return record(db, ignored(entry, "unhandled")).await,
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

async fn receive_user(
    clerk: Option<&clerk::Client>,
    db: &Db,
    entry: &Entry,
    user: clerk::User,
    deadline: Instant,
) -> Result<Outcome, db::Error> {
    let sighting = Sighting {
        clerk_id: &user.id,
        seen: Seen::User(&user, Origin::Event),
        delivery: Some(entry),
        in_doubt: InDoubt::Tell,
    };
    let applied = apply::apply_one(db, sighting.clone()).await?;
    if applied.outcome != apply::Outcome::Doubtful {
        return Ok(outcome(applied));
    }
    let Some(read) = read(clerk, &user.id, deadline).await else {
        let flagged = Sighting {
            in_doubt: InDoubt::Flag,
            ..sighting
        };
        return apply::apply_one(db, flagged).await.map(outcome);
    };
    let sighting = Sighting {
        seen: Seen::User(&read, Origin::Read),
        in_doubt: InDoubt::Flag,
        ..sighting
    };
    apply::apply_one(db, sighting).await.map(outcome)
}

async fn receive_end(
    db: &Db,
    entry: &Entry,
    clerk_id: &ClerkUserId,
    at: Option<i64>,
) -> Result<Outcome, db::Error> {
    let now = Timestamp::now();
    let at = at
        .and_then(|ms| Timestamp::from_millisecond(ms).ok())
        .map_or(now, |at| at.min(now));
    let sighting = Sighting {
        clerk_id,
        seen: Seen::Deleted(at),
        delivery: Some(entry),
        in_doubt: InDoubt::Flag,
    };
    apply::apply_one(db, sighting).await.map(outcome)
}

async fn read(
    clerk: Option<&clerk::Client>,
    id: &ClerkUserId,
    deadline: Instant,
) -> Option<clerk::User> {
    let time_left = deadline.saturating_duration_since(Instant::now());
    // Half of what is left: the other half is for writing what was read.
    let budget = Budget::once(READ_TIMEOUT.min(time_left / 2));
    match clerk?.user(id, budget).await {
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

fn outcome(applied: Applied) -> Outcome {
    match applied.outcome {
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
