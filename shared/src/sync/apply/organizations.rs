//! Writes what was seen of organizations.

use jiff::Timestamp;
use serde_json::json;

use super::super::merge::Origin;
use super::super::merge::organization::{self, Merged};
use super::{Detail, InDoubt, Outcome, Step, in_rounds, origin_of_try, recorded};
use crate::clerk;
use crate::db::inbox::{self, Entry};
use crate::db::organizations::{Current, Key, Row, Write};
use crate::db::{self, Check, Db};
use crate::ids::ClerkOrganizationId;

/// Something seen in Clerk.
#[derive(Debug, Clone)]
pub(in crate::sync) struct Sighting<'a> {
    /// What it is about.
    pub(in crate::sync) clerk_id: &'a ClerkOrganizationId,
    /// What was seen.
    pub(in crate::sync) seen: Seen<'a>,
    /// The delivery that it comes from.
    pub(in crate::sync) delivery: Option<&'a Entry>,
    /// What to do when Clerk would have to be asked.
    pub(in crate::sync) in_doubt: InDoubt,
    /// Whether a walk over the members is owed with it.
    /// The debt is written with the sighting, so that it outlives a crash.
    pub(in crate::sync) owes_walk: bool,
}

/// What was seen of an organization.
#[derive(Debug, Clone, Copy)]
pub(in crate::sync) enum Seen<'a> {
    /// The whole object.
    Organization(&'a clerk::Organization, Origin),
    /// Its end.
    Deleted(Timestamp),
}

/// What came of a sighting.
pub(in crate::sync) type Applied = super::Applied<()>;

type Plan = super::Plan<Write, ()>;

/// Applies one sighting: two round trips, one for a duplicate.
pub(in crate::sync) async fn apply_one(
    db: &Db,
    sighting: Sighting<'_>,
    check: Check,
) -> Result<Applied, db::Error> {
    let mut applied = apply(db, std::slice::from_ref(&sighting), check).await?;
    applied.pop().ok_or_else(db::Error::contended)
}

/// Applies sightings, at most one of each organization, all together in two round trips.
pub(in crate::sync) async fn apply(
    db: &Db,
    sightings: &[Sighting<'_>],
    check: Check,
) -> Result<Vec<Applied>, db::Error> {
    in_rounds(sightings, async |sightings, is_repeated| {
        apply_once(db, sightings, is_repeated, check).await
    })
    .await
}

/// The same, where one that cannot be stored shall not keep the others from it ([`super::each`]).
pub(in crate::sync) async fn apply_each(
    db: &Db,
    sightings: &[Sighting<'_>],
    check: Check,
) -> Result<Vec<Option<Applied>>, db::Error> {
    super::each(sightings, async |sightings| {
        apply(db, sightings, check).await
    })
    .await
}

/// One read, one write; none for sightings whose row changed between the two.
async fn apply_once(
    db: &Db,
    sightings: &[&Sighting<'_>],
    is_repeated: bool,
    check: Check,
) -> Result<Vec<Option<Applied>>, db::Error> {
    let keys: Vec<Key<'_>> = sightings.iter().map(|sighting| sighting.key()).collect();
    let currents = db.current_organizations(&keys).await?;
    super::round(
        sightings,
        &currents,
        |sighting, current| Some(plan(sighting, current, is_repeated)),
        async |writes| db.write_organizations(writes, check).await,
    )
    .await
}

impl super::Write for Write {
    type Row = Row;

    fn row(&self) -> Option<&Row> {
        self.row.as_ref()
    }
}

fn plan(sighting: &Sighting<'_>, current: &Current, is_repeated: bool) -> Plan {
    if current.is_recorded {
        return Plan::Nothing(applied(Outcome::Duplicate));
    }
    let merged = match sighting.seen {
        Seen::Organization(seen, origin) => {
            organization::merge(current, seen, origin_of_try(origin, is_repeated))
        }
        Seen::Deleted(at) => organization::bury(current, sighting.clerk_id, at),
    };
    let is_read = sighting.is_read();
    let step = Step::of(
        merged.verdict,
        merged.rule,
        sighting.in_doubt,
        is_read,
        !is_read && !sighting.owes_walk,
        sighting.delivery.is_some(),
    );
    let (write, outcome) = match step {
        Step::Nothing(outcome) => return Plan::Nothing(applied(outcome)),
        Step::Record(outcome) => (record(sighting, current, &merged, outcome), outcome),
        Step::Flag => (flag(sighting, current, merged), Outcome::Doubtful),
        Step::Write => (write(sighting, current, merged), Outcome::Applied),
    };
    Plan::Write {
        write: Box::new(write),
        applied: applied(outcome),
    }
}

fn applied(outcome: Outcome) -> Applied {
    Applied {
        outcome,
        is_verified: false,
        more: (),
    }
}

fn record(sighting: &Sighting<'_>, current: &Current, merged: &Merged, outcome: Outcome) -> Write {
    Write {
        inbox: entry(sighting, current, merged, recorded(outcome)),
        ..Write::default()
    }
}

fn flag(sighting: &Sighting<'_>, current: &Current, merged: Merged) -> Write {
    Write {
        inbox: entry(sighting, current, &merged, inbox::Outcome::Parked),
        row: Some(Row {
            refetch_at: Some(Timestamp::now()),
            ..merged.row
        }),
        ..Write::default()
    }
}

fn write(sighting: &Sighting<'_>, current: &Current, merged: Merged) -> Write {
    let was_flagged = current
        .row
        .as_ref()
        .is_some_and(|row| row.refetch_at.is_some());
    let confirms = match sighting.seen {
        Seen::Organization(_, origin) => Some(super::confirms(origin)),
        Seen::Deleted(_) => None,
    };
    Write {
        inbox: entry(sighting, current, &merged, inbox::Outcome::Applied),
        confirms,
        touches: !merged.changed.is_empty(),
        owes_walk: sighting.owes_walk,
        settles: was_flagged && merged.row.refetch_at.is_none(),
        row: Some(merged.row),
    }
}

fn entry(
    sighting: &Sighting<'_>,
    current: &Current,
    merged: &Merged,
    outcome: inbox::Outcome,
) -> Option<Entry> {
    let clerk_version = match sighting.seen {
        Seen::Organization(seen, _) => Some(organization::version(seen)),
        Seen::Deleted(_) => None,
    };
    let detail = Detail {
        changed: &merged.changed,
        our_version: current.row.as_ref().map(|row| row.clerk_version),
        clerk_version,
        is_read: sighting.is_read(),
        more: json!({}),
    };
    let entry = sighting.delivery?;
    Some(super::entry(entry, outcome, merged.rule, detail))
}

impl Sighting<'_> {
    fn key(&self) -> Key<'_> {
        Key {
            svix_id: self.delivery.map(|entry| &entry.svix_id),
            clerk_id: self.clerk_id,
        }
    }

    fn is_read(&self) -> bool {
        matches!(self.seen, Seen::Organization(_, Origin::Read))
    }
}
