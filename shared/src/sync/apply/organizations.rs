//! Writes what was seen of organizations.

use jiff::Timestamp;
use serde_json::json;

use super::super::merge::Origin;
use super::super::merge::organization::{self, Merged};
use super::{Detail, InDoubt, Outcome, Step, origin_of_try, recorded};
use crate::clerk;
use crate::db::inbox::{self, Entry};
use crate::db::organizations::{Current, Key, Row, Write};
use crate::db::{self, Check, Db, Written};
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
    /// Clerk was asked about it alone, and does not know it (R14).
    Unknown,
}

/// What came of a sighting.
pub(in crate::sync) type Applied = super::Applied<()>;

type Plan = super::Plan<Write, ()>;

impl super::Sighting for Sighting<'_> {
    type Current = Current;
    type More = ();
    type Write = Write;

    async fn read(db: &Db, sightings: &[&Self]) -> Result<Vec<Current>, db::Error> {
        let keys: Vec<Key<'_>> = sightings.iter().map(|sighting| sighting.key()).collect();
        db.current_organizations(&keys).await
    }

    fn plan(&self, current: &Current, is_repeated: bool) -> Option<Plan> {
        Some(plan(self, current, is_repeated))
    }

    async fn write(db: &Db, writes: &[Write], check: Check) -> Result<Written<Row>, db::Error> {
        db.write_organizations(writes, check).await
    }
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
        Seen::Unknown => organization::infer_end(current, sighting.clerk_id),
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
        owes_walk: sighting.owes_walk,
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
        Seen::Deleted(_) | Seen::Unknown => None,
    };
    Write {
        inbox: entry(sighting, current, &merged, inbox::Outcome::Applied),
        confirms,
        touches: !merged.changed.is_empty(),
        // With an organization that lives again its members do.
        owes_walk: sighting.owes_walk || (merged.rule == "R14" && merged.row.deleted_at.is_none()),
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
        Seen::Deleted(_) | Seen::Unknown => None,
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
            delivery: self.delivery.map(Entry::attempt),
            clerk_id: self.clerk_id,
        }
    }

    fn is_read(&self) -> bool {
        matches!(self.seen, Seen::Organization(_, origin) if origin.is_read())
    }
}
