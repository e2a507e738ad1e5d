//! Decides what an organization seen in Clerk does to our row. No I/O.

use jiff::Timestamp;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::{
    Column, Held, Mirror, Origin, Verdict, by_version, changed, storable_map, text, timestamp,
};
use crate::clerk;
use crate::db::listed;
use crate::db::organizations::{Current, Row};
use crate::ids::ClerkOrganizationId;

/// What an organization seen in Clerk does to our row.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::sync) struct Merged {
    /// What was decided.
    pub(in crate::sync) verdict: Verdict,
    /// The rule that decided.
    pub(in crate::sync) rule: &'static str,
    /// The row as it shall be.
    pub(in crate::sync) row: Row,
    /// The columns that change.
    pub(in crate::sync) changed: Vec<&'static str>,
}

/// Decides what `seen` does to the row (R1, R2, R3).
pub(in crate::sync) fn merge(
    current: &Current,
    seen: &clerk::Organization,
    origin: Origin,
) -> Merged {
    let Some(row) = &current.row else {
        let created_at = seen.created_at.and_then(timestamp);
        let row = empty_row(&seen.id, created_at.unwrap_or_else(Timestamp::now));
        return mirrored(&row, current, seen, "R1");
    };
    if row.deleted_at.is_some() {
        return merge_ended(row, current, seen, origin);
    }
    let merged = mirrored(row, current, seen, "R2");
    let is_same = merged.changed.is_empty();
    match by_version(version(seen), held(row), origin, is_same) {
        verdict @ (Verdict::Stale | Verdict::Doubtful) => kept(row, verdict, "R2"),
        // That this one is the same says nothing about the one that is in doubt.
        Verdict::Unchanged if !origin.is_read() => kept(row, Verdict::Unchanged, "R2"),
        verdict => Merged { verdict, ..merged },
    }
}

/// A tombstone is final (R3), unless nobody told of the end.
fn merge_ended(row: &Row, current: &Current, seen: &clerk::Organization, origin: Origin) -> Merged {
    if row.is_end_inferred && origin.is_read() {
        return revived(row, current, seen);
    }
    // It was changed after what we know of it, so it may live.
    if row.is_end_inferred && version(seen) > row.clerk_version {
        return kept(row, Verdict::Doubtful, "R14");
    }
    kept(row, Verdict::Stale, "R3")
}

/// What Clerk did not know once is there again: one of the two answers was wrong, so it is asked once
/// more.
fn revived(row: &Row, current: &Current, seen: &clerk::Organization) -> Merged {
    let merged = mirrored(row, current, seen, "R14");
    Merged {
        row: Row {
            deleted_at: None,
            is_end_inferred: false,
            refetch_at: Some(Timestamp::now()),
            ..merged.row
        },
        changed: [vec!["deleted_at"], merged.changed].concat(),
        ..merged
    }
}

fn held(row: &Row) -> Held {
    Held {
        version: row.clerk_version,
        touched_at: row.updated_at.max(row.confirmed_at),
    }
}

/// Decides what the end of an organization does to the row (R3): a tombstone, also for one never
/// seen.
pub(in crate::sync) fn bury(current: &Current, id: &ClerkOrganizationId, at: Timestamp) -> Merged {
    let row = current.row.clone().unwrap_or_else(|| Row {
        is_placeholder: true,
        ..empty_row(id, at)
    });
    if row.deleted_at.is_some() && !row.is_end_inferred {
        return kept(&row, Verdict::Unchanged, "R3");
    }
    Merged {
        verdict: Verdict::Applied,
        rule: "R3",
        row: Row {
            deleted_at: Some(row.deleted_at.unwrap_or(at)),
            is_end_inferred: false,
            refetch_at: None,
            n_refetches: 0,
            ..row
        },
        changed: vec!["deleted_at"],
    }
}

/// Decides what it does to the row that Clerk does not know the organization (R14): it ends, and
/// nobody told.
pub(in crate::sync) fn infer_end(current: &Current, id: &ClerkOrganizationId) -> Merged {
    let now = Timestamp::now();
    let is_live = current
        .row
        .as_ref()
        .is_some_and(|row| row.deleted_at.is_none());
    if !is_live {
        return kept(&empty_row(id, now), Verdict::Stale, "R14");
    }
    let merged = bury(current, id, now);
    Merged {
        rule: "R14",
        row: Row {
            is_end_inferred: true,
            ..merged.row
        },
        ..merged
    }
}

/// What an organization in a list shows, in the shape of our rows (R14).
pub(in crate::sync) fn listed(seen: &clerk::Organization) -> listed::Organization {
    let empty = empty_row(&seen.id, Timestamp::UNIX_EPOCH);
    let row = mirrored(&empty, &Current::default(), seen, "R14").row;
    listed::Organization {
        clerk_id: row.clerk_id,
        clerk_version: row.clerk_version,
        name: row.name,
        slug: row.slug,
        image_url: row.image_url,
        created_by: row.created_by,
        max_allowed_memberships: row.max_allowed_memberships,
        public_metadata: row.public_metadata,
        created_at: seen.created_at.and_then(timestamp),
    }
}

/// The version of an object: its `updated_at` in ms; none is older than everything.
pub(in crate::sync) fn version(seen: &clerk::Organization) -> i64 {
    seen.updated_at.unwrap_or_default()
}

fn kept(row: &Row, verdict: Verdict, rule: &'static str) -> Merged {
    Merged {
        verdict,
        rule,
        row: row.clone(),
        changed: Vec::new(),
    }
}

fn mirrored(
    row: &Row,
    current: &Current,
    seen: &clerk::Organization,
    rule: &'static str,
) -> Merged {
    let new = Row {
        name: text(Some(&seen.name)),
        slug: text(seen.slug.as_deref()),
        image_url: text(seen.image_url.as_deref()),
        created_by: text(seen.created_by.as_deref()),
        max_allowed_memberships: seen.max_allowed_memberships,
        public_metadata: storable_map(&seen.public_metadata),
        is_placeholder: false,
        clerk_version: version(seen),
        refetch_at: None,
        n_refetches: 0,
        // A placeholder is as old as our first glimpse.
        created_at: seen
            .created_at
            .and_then(timestamp)
            .unwrap_or(row.created_at),
        ..row.clone()
    };
    Merged {
        verdict: Verdict::Applied,
        rule,
        changed: changed(&COLUMNS, current.row.as_ref(), &new),
        row: new,
    }
}

impl Mirror for Row {
    fn id(&self) -> Uuid {
        self.id
    }

    fn shows_the_same(&self, other: &Self) -> bool {
        self.clerk_version == other.clerk_version
            && self.deleted_at.is_some() == other.deleted_at.is_some()
            && changed(&COLUMNS, Some(self), other).is_empty()
    }
}

/// The columns that show what Clerk shows.
const COLUMNS: [Column<Row>; 7] = [
    ("name", |row| row.name.clone().into()),
    ("slug", |row| row.slug.clone().into()),
    ("image_url", |row| row.image_url.clone().into()),
    ("created_by", |row| row.created_by.clone().into()),
    ("max_allowed_memberships", |row| {
        row.max_allowed_memberships.into()
    }),
    ("public_metadata", |row| {
        Value::Object(row.public_metadata.clone())
    }),
    ("is_placeholder", |row| row.is_placeholder.into()),
];

fn empty_row(clerk_id: &ClerkOrganizationId, created_at: Timestamp) -> Row {
    Row {
        id: Uuid::new_v4(),
        clerk_id: clerk_id.clone(),
        name: None,
        slug: None,
        image_url: None,
        created_by: None,
        max_allowed_memberships: None,
        public_metadata: Map::new(),
        is_placeholder: false,
        clerk_version: 0,
        refetch_at: None,
        n_refetches: 0,
        members_refetch_at: None,
        members_confirmed_at: None,
        confirmed_at: None,
        created_at,
        updated_at: None,
        deleted_at: None,
        is_end_inferred: false,
        row_version: None,
    }
}

#[cfg(test)]
mod tests;
