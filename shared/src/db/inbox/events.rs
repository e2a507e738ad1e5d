//! Deliveries as they are shown: lists of them, and all about one.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio_postgres::types::{ToSql, Type};

use super::Outcome;
use crate::db::{Db, Error, cursor, decode, role_changes};
use crate::ids::SvixId;

/// A delivery as it is listed: all but its body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all(serialize = "camelCase"))]
pub struct Event {
    /// The key.
    pub svix_id: String,
    /// Such as `user.updated`.
    pub event_type: String,
    /// The id of the object that it is about.
    pub object_id: Option<String>,
    /// The Clerk instance that it comes from.
    pub instance_id: Option<String>,
    /// What became of it.
    pub outcome: Outcome,
    /// The rule that decided.
    pub rule: Option<String>,
    /// When it happened in Clerk.
    pub event_at: Option<Timestamp>,
    /// When it came first.
    pub received_at: Timestamp,
    /// When its effects were written.
    pub applied_at: Option<Timestamp>,
    /// How often it was tried to take it in.
    pub n_attempts: i32,
    /// Why it is dead: never a value of the body.
    pub last_error: Option<String>,
    /// Whether the body is still here.
    pub is_payload_kept: bool,
    /// What was compared, and what changed.
    #[serde(skip_serializing)]
    pub detail: Detail,
}

/// What a person needs to understand a decision.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Detail {
    /// The columns that changed.
    pub changed: Vec<String>,
    /// The version of the row.
    pub our_version: Option<i64>,
    /// The version of what was seen in Clerk.
    pub clerk_version: Option<i64>,
    /// Whether Clerk was asked.
    pub read_from_clerk: bool,
    /// Whether it was taken in again, after it was dead or parked.
    pub replayed: bool,
}

/// Everything about one delivery.
#[derive(Debug, Clone)]
pub struct Explained {
    /// The delivery.
    pub event: Event,
    /// The keys of what its body says of the object, while that is kept; never their values.
    pub payload_keys: Option<Vec<String>>,
    /// The changes of a role that it made.
    pub role_changes: Vec<role_changes::Shown>,
}

/// Which deliveries to list.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// With this outcome.
    pub outcome: Option<Outcome>,
    /// Of this type.
    pub event_type: Option<String>,
    /// About this object of Clerk's, or about a membership of this user.
    pub object: Option<String>,
}

/// A place in a list that is ordered by time: its last entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The time of the entry.
    pub at: Timestamp,
    /// Tells apart what happened at the same time.
    pub key: String,
}

/// Some entries of a list that is ordered by time.
#[derive(Debug, Clone)]
pub struct Page<T> {
    /// The entries, in order.
    pub entries: Vec<T>,
    /// The place of the last one, if there are more.
    pub next: Option<Place>,
}

impl Place {
    /// The place as callers carry it: opaque, and safe in an address.
    pub fn to_cursor(&self) -> String {
        cursor::of(self)
    }

    /// The place that a caller brings back.
    pub fn from_cursor(cursor: &str) -> Option<Self> {
        cursor::read(cursor)
    }
}

/// A delivery, for [`Event`].
const EVENT: &str =
    "to_jsonb(b) - 'payload' || jsonb_build_object('is_payload_kept', b.payload is not null)";

impl Db {
    /// A page of deliveries after a place, the newest first.
    pub async fn list_events(
        &self,
        filter: &Filter,
        after: Option<&Place>,
        limit: i64,
    ) -> Result<Page<Event>, Error> {
        let statement = list_statement(filter.object.is_some());
        let outcome = filter.outcome.map(Outcome::as_str);
        let (at, key) = after.map(|place| (place.at, place.key.as_str())).unzip();
        // One more than asked for tells whether there is a next page.
        let one_more = limit + 1;
        let values: [(&(dyn ToSql + Sync), Type); 6] = [
            (&outcome, Type::TEXT),
            (&filter.event_type, Type::TEXT),
            (&filter.object, Type::TEXT),
            (&at, Type::TIMESTAMPTZ),
            (&key, Type::TEXT),
            (&one_more, Type::INT8),
        ];
        let rows = self
            .run(async |client| client.query_typed(&statement, &values).await)
            .await?;
        let events: Vec<Event> = rows
            .iter()
            .map(|row| decode(row, "event"))
            .collect::<Result<_, _>>()?;
        Page::cut(events, limit, |event| Place {
            at: event.received_at,
            key: event.svix_id.clone(),
        })
    }

    /// One delivery, with all that is known of it.
    pub async fn explained_event(&self, svix_id: &SvixId) -> Result<Option<Explained>, Error> {
        let statement = format!(
            "select
                {EVENT} as event,
                case
                    when jsonb_typeof(b.payload -> 'data') = 'object' then (
                        select jsonb_agg(k.key order by k.key)
                        from jsonb_object_keys(b.payload -> 'data') k (key)
                    )
                end as payload_keys,
                (
                    select coalesce(jsonb_agg(to_jsonb(c) order by c.id), '[]')
                    from (
                        select u.id from users u where u.clerk_id = b.object_id
                        union
                        -- The row may have left that account (R12).
                        select e.user_id
                        from email_changes e
                        where e.old_clerk_id = b.object_id and e.state in ('moved', 'done')
                    ) u
                    join role_changes c on c.user_id = u.id
                    where c.svix_id = b.svix_id
                ) as role_changes
            from inbox b
            where b.svix_id = $1"
        );
        let row = self
            .run(async |client| {
                let values: [(&(dyn ToSql + Sync), Type); 1] = [(&svix_id.as_str(), Type::TEXT)];
                client.query_typed_opt(&statement, &values).await
            })
            .await?;
        let Some(row) = row else { return Ok(None) };
        Ok(Some(Explained {
            event: decode(&row, "event")?,
            payload_keys: decode(&row, "payload_keys")?,
            role_changes: decode(&row, "role_changes")?,
        }))
    }
}

/// With an object, each of its two indexes is read from the place on; the `or` of both would be found
/// in neither's order.
fn list_statement(has_object: bool) -> String {
    let list = |condition: &str| {
        format!(
            "select b.svix_id, b.received_at
            from inbox b
            where {condition}
                and ($1::text is null or b.outcome = $1)
                and ($2::text is null or b.event_type = $2)
                and b.received_at <= coalesce($4, 'infinity')
                and ($4::timestamptz is null or b.received_at < $4 or b.svix_id > $5)
            order by b.received_at desc, b.svix_id
            limit $6"
        )
    };
    let found = if has_object {
        format!(
            "({}) union ({})",
            list("b.object_id = $3"),
            list("b.detail ->> 'clerkUserId' = $3")
        )
    } else {
        list("$3::text is null")
    };
    format!(
        "with found as ({found})
        select {EVENT} as event
        from found f
        join inbox b using (svix_id)
        order by b.received_at desc, b.svix_id
        limit $6"
    )
}

impl<T> Page<T> {
    /// The first `limit` of what was found, and the place of the last of them if there are more.
    pub(in crate::db) fn cut(
        mut entries: Vec<T>,
        limit: i64,
        place: impl Fn(&T) -> Place,
    ) -> Result<Self, Error> {
        let limit = usize::try_from(limit).map_err(Error::unreadable)?;
        let has_more = entries.len() > limit;
        entries.truncate(limit);
        let next = entries.last().filter(|_| has_more).map(place);
        Ok(Self { entries, next })
    }
}
