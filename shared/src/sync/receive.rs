//! Receives a delivery: decides what it is, and applies it once (R7).

mod intake;

use std::str::FromStr;
use std::time::Instant;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::clerk;
use crate::db::inbox::{self, Entry};
use crate::db::{self, Db};
use crate::ids::{ClerkOrganizationId, ClerkUserId};
use crate::telemetry::{chain, metrics};
use crate::webhook::{Content, Delivery, Event, Unreadable};

use intake::Intake;

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
        return record(db, ignored(&entry, "R18")).await;
    }
    let intake = Intake::new(clerk, db, &entry, deadline);
    match intake.change(event.change, event.at).await {
        // The same values will never be stored: a person has to look, not Svix to repeat.
        Err(error) if error.is_about_the_data() => {
            tracing::error!(
                error = chain(&error),
                svix.id = %entry.svix_id,
                "a delivery cannot be stored and is kept as dead"
            );
            let reason = format!("SQLSTATE {}", error.sql_state().unwrap_or("unknown"));
            record(db, dead(&entry, reason)).await
        }
        result => result,
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
        payload: Some(delivery.payload()),
        n_attempts: delivery.n_attempts,
        last_error: None,
    }
}

fn ignored(entry: &Entry, rule: &'static str) -> Entry {
    entry.decided(inbox::Outcome::Ignored, rule, json!({}))
}

fn dead(entry: &Entry, reason: String) -> Entry {
    Entry {
        last_error: Some(reason),
        ..entry.decided(inbox::Outcome::Dead, "R7", joined(entry.payload.as_ref()))
    }
}

/// Whom and what a membership joins, as far as its body says so: who looks for the user finds it.
fn joined(payload: Option<&Value>) -> Value {
    let id = |pointer: &str| payload?.pointer(pointer)?.as_str();
    let mut joined = Map::new();
    // Only what is an id: whatever else is there may be personal, or too long for an index.
    if let Some(Ok(user)) = id("/data/public_user_data/user_id").map(ClerkUserId::from_str) {
        joined.insert("clerkUserId".to_owned(), json!(user));
    }
    if let Some(Ok(organization)) = id("/data/organization/id").map(ClerkOrganizationId::from_str) {
        joined.insert("clerkOrgId".to_owned(), json!(organization));
    }
    joined.into()
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
        outcome: inbox::Outcome::Dead,
        rule: None,
        detail: json!({}),
        payload: Some(payload),
        n_attempts: delivery.n_attempts,
        last_error: None,
    };
    if is_foreign {
        ignored(&entry, "R18")
    } else {
        dead(&entry, reason)
    }
}
