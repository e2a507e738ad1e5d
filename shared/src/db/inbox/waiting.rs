//! Deliveries that wait, dead or parked: which of them are meant, and what is kept of them.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use tokio_postgres::types::{ToSql, Type};

use super::{Outcome, Place};
use crate::db::{Db, Error, decode};
use crate::ids::SvixId;

/// Which of the deliveries that wait are meant.
#[derive(Debug, Clone)]
pub enum Which {
    /// These.
    Ids(Vec<SvixId>),
    /// Those that are like this.
    Filter(WaitingFilter),
}

/// What deliveries are like; by default, anything.
#[derive(Debug, Clone, Default)]
pub struct WaitingFilter {
    /// Dead or parked; nothing else waits.
    pub outcome: Option<Outcome>,
    /// Such as `user.updated`.
    pub event_type: Option<String>,
    /// The Clerk id of what they are about; of a membership, its user and its organization as well.
    pub object: Option<String>,
    /// Received then or later.
    pub since: Option<Timestamp>,
    /// Received before that.
    pub until: Option<Timestamp>,
}

/// How many there are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// Those that can be taken in again: how many are dead, and how many parked.
    pub by_outcome: BTreeMap<Outcome, i64>,
    /// The same, by what happened.
    pub by_type: BTreeMap<String, i64>,
    /// Ids that no delivery had.
    pub n_unknown: i64,
    /// Deliveries that do not wait, or of which nothing is kept.
    pub n_not_waiting: i64,
}

/// One of them.
#[derive(Debug, Clone, Deserialize)]
pub struct Kept {
    /// The key.
    pub svix_id: SvixId,
    /// How often it was tried.
    pub n_attempts: i32,
    /// What is kept of its body.
    pub payload: Value,
    received_at: Timestamp,
}

#[derive(Deserialize)]
struct Group {
    outcome: Outcome,
    event_type: String,
    is_kept: bool,
    n_deliveries: i64,
}

/// The rows `b` that are meant: see [`Values`].
const MEANT: &str = "
    b.outcome in ('parked', 'dead')
    and ($1::text[] is null or b.svix_id = any($1))
    and ($2::text is null or b.outcome = $2)
    and ($3::text is null or b.event_type = $3)
    and (
        $4::text is null
        or $4 in (b.object_id, b.detail ->> 'clerkUserId', b.detail ->> 'clerkOrgId')
        or b.payload #>> '{data,public_user_data,user_id}' = $4
        or b.payload #>> '{data,organization,id}' = $4
    )
    and ($5::timestamptz is null or b.received_at >= $5)
    and ($6::timestamptz is null or b.received_at < $6)
    and ($7::timestamptz is null or (b.received_at, b.svix_id) > ($7, $8::text))";

impl Found {
    /// How many can be taken in again.
    pub fn n_waiting(&self) -> i64 {
        self.by_outcome.values().sum()
    }
}

impl Kept {
    /// Where it stands.
    pub fn place(&self) -> Place {
        Place {
            at: self.received_at,
            key: self.svix_id.as_str().to_owned(),
        }
    }
}

impl Db {
    /// Counts those of them that wait behind a place.
    pub async fn count_waiting(
        &self,
        which: &Which,
        after: Option<&Place>,
    ) -> Result<Found, Error> {
        let statement = format!(
            "select
                (select count(*) from inbox b where b.svix_id = any($1)) as n_known,
                (
                    select count(*)
                    from inbox b
                    where b.svix_id = any($1) and b.outcome not in ('parked', 'dead')
                ) as n_done,
                coalesce(jsonb_agg(g), '[]') as groups
            from (
                select
                    b.outcome, b.event_type, b.payload is not null as is_kept,
                    count(*) as n_deliveries
                from inbox b
                where {MEANT}
                group by 1, 2, 3
            ) g"
        );
        let values = Values::new(which, after);
        let row = self
            .run(async |client| client.query_typed_one(&statement, &values.typed()).await)
            .await?;
        let (n_known, n_done): (i64, i64) = (row.try_get("n_known")?, row.try_get("n_done")?);
        let mut found = Found {
            n_unknown: values.ids.map_or(0, n_distinct) - n_known,
            n_not_waiting: n_done,
            ..Found::default()
        };
        for group in decode::<Vec<Group>>(&row, "groups")? {
            found.add(group);
        }
        Ok(found)
    }

    /// The oldest of them that wait behind a place, and can be taken in again.
    pub async fn waiting(
        &self,
        which: &Which,
        after: Option<&Place>,
        limit: i64,
    ) -> Result<Vec<Kept>, Error> {
        let statement = format!(
            "select jsonb_build_object(
                'svix_id', b.svix_id, 'n_attempts', b.n_attempts, 'payload', b.payload,
                'received_at', b.received_at
            ) as kept
            from inbox b
            where {MEANT} and b.payload is not null
            order by b.received_at, b.svix_id
            limit $9"
        );
        let values = Values::new(which, after);
        let rows = self
            .run(async |client| {
                let mut values = values.typed().to_vec();
                values.push((&limit, Type::INT8));
                client.query_typed(&statement, &values).await
            })
            .await?;
        rows.iter().map(|row| decode(row, "kept")).collect()
    }

    /// What has become of these deliveries.
    pub async fn outcomes(&self, ids: &[SvixId]) -> Result<Vec<(SvixId, Outcome)>, Error> {
        let statement = "
            select jsonb_build_array(b.svix_id, b.outcome) as outcome
            from unnest($1::text[]) with ordinality as i (svix_id, n)
            join inbox b using (svix_id)
            order by i.n";
        let ids: Vec<_> = ids.iter().map(SvixId::as_str).collect();
        let rows = self
            .run(async |client| {
                let values: [(&(dyn ToSql + Sync), Type); 1] = [(&ids, Type::TEXT_ARRAY)];
                client.query_typed(statement, &values).await
            })
            .await?;
        rows.iter().map(|row| decode(row, "outcome")).collect()
    }
}

impl Found {
    fn add(&mut self, group: Group) {
        let Group {
            outcome,
            event_type,
            is_kept,
            n_deliveries,
        } = group;
        if !is_kept {
            self.n_not_waiting += n_deliveries;
            return;
        }
        *self.by_outcome.entry(outcome).or_default() += n_deliveries;
        *self.by_type.entry(event_type).or_default() += n_deliveries;
    }
}

fn n_distinct(mut ids: Vec<&str>) -> i64 {
    ids.sort_unstable();
    ids.dedup();
    i64::try_from(ids.len()).unwrap_or(i64::MAX)
}

/// What [`MEANT`] is asked with.
struct Values<'a> {
    ids: Option<Vec<&'a str>>,
    outcome: Option<&'static str>,
    event_type: Option<&'a str>,
    object: Option<&'a str>,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    after: Option<Timestamp>,
    after_id: Option<&'a str>,
}

impl<'a> Values<'a> {
    fn new(which: &'a Which, after: Option<&'a Place>) -> Self {
        let (ids, filter) = match which {
            Which::Ids(ids) => (Some(ids), None),
            Which::Filter(filter) => (None, Some(filter)),
        };
        Self {
            ids: ids.map(|ids| ids.iter().map(SvixId::as_str).collect()),
            outcome: filter.and_then(|it| it.outcome.map(Outcome::as_str)),
            event_type: filter.and_then(|it| it.event_type.as_deref()),
            object: filter.and_then(|it| it.object.as_deref()),
            since: filter.and_then(|it| it.since),
            until: filter.and_then(|it| it.until),
            after: after.map(|place| place.at),
            after_id: after.map(|place| place.key.as_str()),
        }
    }

    fn typed(&self) -> [(&(dyn ToSql + Sync), Type); 8] {
        [
            (&self.ids, Type::TEXT_ARRAY),
            (&self.outcome, Type::TEXT),
            (&self.event_type, Type::TEXT),
            (&self.object, Type::TEXT),
            (&self.since, Type::TIMESTAMPTZ),
            (&self.until, Type::TIMESTAMPTZ),
            (&self.after, Type::TIMESTAMPTZ),
            (&self.after_id, Type::TEXT),
        ]
    }
}
