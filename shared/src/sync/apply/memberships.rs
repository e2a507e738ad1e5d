//! Writes what was seen of memberships; makes placeholders for what they hang on (R4).

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::json;
use uuid::Uuid;

use super::super::merge::Origin;
use super::super::merge::membership::{self, Merged, Parents};
use super::{Detail, InDoubt, Outcome, Step, origin_of_try, recorded};
use crate::clerk;
use crate::db::inbox::{self, Entry};
use crate::db::memberships::{Current, Key, Parent, Row, Write};
use crate::db::{self, Check, Db, Written, placeholders};

/// Something seen in Clerk.
#[derive(Debug, Clone)]
pub(in crate::sync) struct Sighting<'a> {
    /// The membership, with its organization.
    pub(in crate::sync) membership: &'a clerk::OrganizationMembership,
    /// The member, as others see them.
    pub(in crate::sync) user: &'a clerk::PublicUserData,
    /// Whether it lives.
    pub(in crate::sync) seen: Seen,
    /// The delivery that it comes from.
    pub(in crate::sync) delivery: Option<&'a Entry>,
    /// What to do when Clerk would have to be asked.
    pub(in crate::sync) in_doubt: InDoubt,
}

/// What was seen of a membership.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sync) enum Seen {
    /// It lives.
    Live(Origin),
    /// Its end.
    Deleted(Timestamp),
}

/// What came of a sighting.
pub(in crate::sync) type Applied = super::Applied<Open>;

/// What Clerk has to be asked about after a sighting, and may be now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sync) struct Open {
    /// The member, of whom nothing is known but what the membership shows.
    pub(in crate::sync) user: bool,
    /// The organization, of which the same is true.
    pub(in crate::sync) organization: bool,
    /// The membership itself, or another of the same pair.
    pub(in crate::sync) membership: bool,
}

type Plan = super::Plan<Write, Open>;

impl super::Sighting for Sighting<'_> {
    type Current = Current;
    type More = Open;
    type Write = Write;

    /// Where a parent is unknown, a placeholder is made first (R4): two round trips more.
    async fn read(db: &Db, sightings: &[&Self]) -> Result<Vec<Current>, db::Error> {
        let keys: Vec<Key<'_>> = sightings.iter().map(|sighting| sighting.key()).collect();
        let currents = db.current_memberships(&keys).await?;
        let lacking: Vec<_> = sightings
            .iter()
            .zip(&currents)
            .filter(|(_, current)| !current.is_recorded && parents(current).is_none())
            .map(|(sighting, _)| *sighting)
            .collect();
        if lacking.is_empty() {
            return Ok(currents);
        }
        make_placeholders(db, &lacking).await?;
        db.current_memberships(&keys).await
    }

    fn plan(&self, current: &Current, is_repeated: bool) -> Option<Plan> {
        plan(self, current, is_repeated)
    }

    async fn write(db: &Db, writes: &[Write], check: Check) -> Result<Written<Row>, db::Error> {
        db.write_memberships(writes, check).await
    }
}

impl super::Write for Write {
    type Row = Row;

    fn row(&self) -> Option<&Row> {
        self.row.as_ref()
    }

    fn ends(&self) -> Option<Uuid> {
        self.ends
    }
}

async fn make_placeholders(db: &Db, sightings: &[&Sighting<'_>]) -> Result<(), db::Error> {
    let users: BTreeMap<_, _> = sightings
        .iter()
        .map(|sighting| (&sighting.user.user_id, placeholder_of_user(sighting.user)))
        .collect();
    let organizations: BTreeMap<_, _> = sightings
        .iter()
        .map(|sighting| &sighting.membership.organization)
        .map(|organization| (&organization.id, placeholder_of_organization(organization)))
        .collect();
    let users: Vec<_> = users.into_values().collect();
    let organizations: Vec<_> = organizations.into_values().collect();
    db.make_placeholders(&users, &organizations).await
}

/// What others see of a user; not the identifier, which may be anything, and verified or not.
fn placeholder_of_user(user: &clerk::PublicUserData) -> placeholders::User<'_> {
    placeholders::User {
        clerk_id: &user.user_id,
        first_name: user.first_name.as_deref(),
        last_name: user.last_name.as_deref(),
        username: user.username.as_deref(),
        image_url: user.image_url.as_deref(),
    }
}

fn placeholder_of_organization(seen: &clerk::Organization) -> placeholders::Organization<'_> {
    placeholders::Organization {
        clerk_id: &seen.id,
        name: Some(&seen.name),
        slug: seen.slug.as_deref(),
        image_url: seen.image_url.as_deref(),
    }
}

fn parents(current: &Current) -> Option<Parents> {
    let (organization, user) = current.organization.zip(current.user)?;
    Some(Parents { organization, user })
}

/// None if a parent went between two reads: then they are read again.
fn plan(sighting: &Sighting<'_>, current: &Current, is_repeated: bool) -> Option<Plan> {
    if current.is_recorded {
        return Some(Plan::Nothing(applied(Outcome::Duplicate, current)));
    }
    let parents = parents(current)?;
    let merged = match sighting.seen {
        Seen::Live(origin) => {
            let origin = origin_of_try(origin, is_repeated);
            membership::merge(current, parents, sighting.membership, origin)
        }
        Seen::Deleted(at) => membership::bury(current, parents, sighting.membership, at),
    };
    let is_read = sighting.is_read();
    let step = Step::of(
        merged.verdict,
        merged.rule,
        sighting.in_doubt,
        is_read,
        !is_read,
        sighting.delivery.is_some(),
    );
    let (write, outcome) = match step {
        Step::Nothing(outcome) => return Some(Plan::Nothing(applied(outcome, current))),
        Step::Record(outcome) => (record(sighting, current, &merged, outcome), outcome),
        Step::Flag => (flag(sighting, current, merged), Outcome::Doubtful),
        Step::Write => (write(sighting, current, merged), Outcome::Applied),
    };
    let applied = applied(outcome, current);
    let is_flagged = write
        .row
        .as_ref()
        .is_some_and(|row| row.refetch_at.is_some());
    Some(Plan::Write {
        write: Box::new(write),
        applied: Applied {
            more: Open {
                membership: is_flagged,
                ..applied.more
            },
            ..applied
        },
    })
}

fn applied(outcome: Outcome, current: &Current) -> Applied {
    let is_unknown = |parent: Option<Parent>| parent.is_some_and(|parent| parent.is_unknown);
    Applied {
        outcome,
        is_verified: false,
        more: Open {
            user: is_unknown(current.user),
            organization: is_unknown(current.organization),
            membership: false,
        },
    }
}

fn record(sighting: &Sighting<'_>, current: &Current, merged: &Merged, outcome: Outcome) -> Write {
    Write {
        inbox: entry(sighting, current, merged, recorded(outcome)),
        ..Write::default()
    }
}

fn flag(sighting: &Sighting<'_>, current: &Current, merged: Merged) -> Write {
    let flagged = |row| Row {
        refetch_at: Some(Timestamp::now()),
        ..row
    };
    Write {
        inbox: entry(sighting, current, &merged, inbox::Outcome::Parked),
        row: merged.row.map(flagged),
        user_clerk_id: Some(sighting.user.user_id.clone()),
        ..Write::default()
    }
}

fn write(sighting: &Sighting<'_>, current: &Current, merged: Merged) -> Write {
    let is_flagged = |row: &Row| row.refetch_at.is_some();
    let old = current.row.as_ref().or(current.rival.as_ref());
    let confirms = match sighting.seen {
        Seen::Live(origin) => Some(super::confirms(origin)),
        Seen::Deleted(_) => None,
    };
    Write {
        inbox: entry(sighting, current, &merged, inbox::Outcome::Applied),
        confirms,
        touches: !merged.changed.is_empty(),
        settles: old.is_some_and(is_flagged) && !merged.row.as_ref().is_some_and(is_flagged),
        ends: merged.ends,
        row: merged.row,
        user_clerk_id: Some(sighting.user.user_id.clone()),
    }
}

fn entry(
    sighting: &Sighting<'_>,
    current: &Current,
    merged: &Merged,
    outcome: inbox::Outcome,
) -> Option<Entry> {
    // In doubt about two of a pair, it is the other one that Clerk is asked about.
    let waits_for = merged
        .row
        .as_ref()
        .filter(|_| outcome == inbox::Outcome::Parked)
        .and_then(|row| row.clerk_id.as_ref());
    let detail = Detail {
        changed: &merged.changed,
        our_version: current.row.as_ref().map(|row| row.clerk_version),
        clerk_version: Some(membership::version(sighting.membership)),
        is_read: sighting.is_read(),
        more: json!({
            "clerkUserId": sighting.user.user_id,
            "clerkOrgId": sighting.membership.organization.id,
            "waitsFor": waits_for,
        }),
    };
    let entry = sighting.delivery?;
    Some(super::entry(entry, outcome, merged.rule, detail))
}

impl Sighting<'_> {
    fn key(&self) -> Key<'_> {
        Key {
            delivery: self.delivery.map(Entry::attempt),
            clerk_id: &self.membership.id,
            organization: &self.membership.organization.id,
            user: &self.user.user_id,
        }
    }

    fn is_read(&self) -> bool {
        matches!(self.seen, Seen::Live(origin) if origin.is_read())
    }
}
