//! Decides what a user seen in Clerk does to our row. No I/O.

use jiff::Timestamp;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::super::role;
use super::{
    Column, Held, Mirror, Origin, Verdict, by_version, changed, storable, storable_map, text,
    timestamp,
};
use crate::clerk;
use crate::db::users::{Carry, Current, Move, PushChange, Row};
use crate::db::{Role, listed};
use crate::ids::ClerkUserId;

/// What a user seen in Clerk does to our row.
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
    /// What becomes of the role push.
    pub(in crate::sync) push: Option<PushChange>,
    /// The row moves to the account that was seen.
    pub(in crate::sync) moves: Option<Move>,
    /// Whether Clerk's role is none of ours (R8).
    pub(in crate::sync) has_unknown_role: bool,
}

/// Decides what `seen` does to the row (R1, R2, R3, R5, R8, R12).
pub(in crate::sync) fn merge(current: &Current, seen: &clerk::User, origin: Origin) -> Merged {
    let Some(row) = &current.row else {
        return mirrored(&new_row(seen), current, seen, origin, "R1");
    };
    if row.deleted_at.is_some() {
        return merge_ended(row, current, seen, origin);
    }
    let Some(clerk_id) = &row.clerk_id else {
        return mirrored(row, current, seen, origin, "R5");
    };
    if let Some(change) = current.email_change {
        return moved(row, current, seen, origin, change, clerk_id);
    }
    let merged = mirrored(row, current, seen, origin, "R2");
    let is_same = is_same_version(&merged);
    match by_version(version(seen), held(row), origin, is_same) {
        verdict @ (Verdict::Stale | Verdict::Doubtful) => kept(row, verdict, "R2"),
        Verdict::Unchanged if !origin.is_read() => still_in_doubt(row, settled(merged)),
        Verdict::Unchanged => settled(merged),
        Verdict::Applied => merged,
    }
}

/// A tombstone is final (R3), unless nobody told of the end.
fn merge_ended(row: &Row, current: &Current, seen: &clerk::User, origin: Origin) -> Merged {
    if row.is_end_inferred && origin.is_read() {
        return revived(row, current, seen, origin);
    }
    // It was changed after what we know of it, so it may live.
    if row.is_end_inferred && version(seen) > row.clerk_version {
        return kept(row, Verdict::Doubtful, "R14");
    }
    kept(row, Verdict::Stale, "R3")
}

/// What Clerk did not know once is there again: one of the two answers was wrong, so it is asked once
/// more, and about the organizations.
fn revived(row: &Row, current: &Current, seen: &clerk::User, origin: Origin) -> Merged {
    let now = Timestamp::now();
    let merged = mirrored(row, current, seen, origin, "R14");
    Merged {
        row: Row {
            deleted_at: None,
            is_end_inferred: false,
            refetch_at: Some(now),
            organizations_refetch_at: Some(now),
            ..merged.row
        },
        changed: [vec!["deleted_at"], merged.changed].concat(),
        ..merged
    }
}

/// The row comes to this account from another one (R12): what Clerk shows is taken, but for the role,
/// which nobody has decided anew.
fn moved(
    row: &Row,
    current: &Current,
    seen: &clerk::User,
    origin: Origin,
    change: Uuid,
    old_clerk_id: &ClerkUserId,
) -> Merged {
    let merged = mirrored(row, current, seen, origin, "R12");
    let role = role::keep(known_role(row, current), seen.role());
    let new = Row {
        role: role.role,
        clerk_role: role.base,
        role_owned_by_directory: false,
        ..merged.row
    };
    let moves = Move {
        change,
        old_clerk_id: old_clerk_id.clone(),
        left_behind: Uuid::new_v4(),
        carry: carry(row, current),
    };
    Merged {
        changed: changed(&COLUMNS, Some(row), &new),
        row: new,
        push: role.push,
        has_unknown_role: role.is_unknown,
        moves: Some(moves),
        ..merged
    }
}

/// What we know of the old account.
fn carry(row: &Row, current: &Current) -> Carry {
    let mut public_metadata = row.public_metadata.clone();
    public_metadata.remove("role");
    Carry {
        first_name: row.first_name.clone(),
        last_name: row.last_name.clone(),
        external_id: row.external_id.clone(),
        public_metadata,
        clerk_role: row.clerk_role.clone(),
        is_role_ours: current.push.is_some(),
        role: None,
        is_banned: false,
        memberships: None,
        is_given: false,
    }
}

fn known_role<'a>(row: &'a Row, current: &'a Current) -> role::Known<'a> {
    role::Known {
        ours: row.role,
        base: row.clerk_role.as_deref(),
        push: current.push.as_ref(),
        yields: false,
    }
}

fn held(row: &Row) -> Held {
    Held {
        version: row.clerk_version,
        touched_at: row.updated_at.max(row.confirmed_at),
    }
}

/// That this one is the same says nothing about the one that is in doubt.
fn still_in_doubt(row: &Row, merged: Merged) -> Merged {
    Merged {
        row: Row {
            refetch_at: row.refetch_at,
            n_refetches: row.n_refetches,
            ..merged.row
        },
        ..merged
    }
}

/// Decides what the end of a user does to the row (R3): a tombstone, also for one never seen.
pub(in crate::sync) fn bury(current: &Current, id: &ClerkUserId, at: Timestamp) -> Merged {
    let row = current.row.clone().unwrap_or_else(|| Row {
        clerk_id: Some(id.clone()),
        is_placeholder: true,
        ..empty_row(at)
    });
    if row.deleted_at.is_some() && !row.is_end_inferred {
        return kept(&row, Verdict::Unchanged, "R3");
    }
    let push = current
        .push
        .as_ref()
        .map(|push| PushChange::Cancel { id: push.id });
    Merged {
        verdict: Verdict::Applied,
        rule: "R3",
        row: Row {
            deleted_at: Some(row.deleted_at.unwrap_or(at)),
            is_end_inferred: false,
            refetch_at: None,
            n_refetches: 0,
            organizations_refetch_at: None,
            ..row
        },
        changed: vec!["deleted_at"],
        push,
        moves: None,
        has_unknown_role: false,
    }
}

/// Decides what it does to the row that Clerk does not know the user (R14): it ends, and nobody told.
pub(in crate::sync) fn infer_end(current: &Current, id: &ClerkUserId) -> Merged {
    let now = Timestamp::now();
    let is_live = current
        .row
        .as_ref()
        .is_some_and(|row| row.deleted_at.is_none());
    if !is_live {
        return kept(&empty_row(now), Verdict::Stale, "R14");
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

/// What a user in a list shows, in the shape of our rows (R14).
pub(in crate::sync) fn listed(seen: &clerk::User) -> listed::User {
    let row = mirrored(
        &new_row(seen),
        &Current::default(),
        seen,
        Origin::Listed,
        "R14",
    )
    .row;
    listed::User {
        clerk_id: seen.id.clone(),
        clerk_version: row.clerk_version,
        email: row.email,
        email_verified: row.email_verified,
        first_name: row.first_name,
        last_name: row.last_name,
        username: row.username,
        image_url: row.image_url,
        external_id: row.external_id,
        role: row.clerk_role.as_deref().and_then(|role| role.parse().ok()),
        clerk_role: row.clerk_role,
        public_metadata: row.public_metadata,
        banned: row.banned,
        locked: row.locked,
        deprovisioned: row.deprovisioned,
        last_sign_in_at: row.last_sign_in_at,
        created_at: seen.created_at.and_then(timestamp),
    }
}

/// A sign-in moves its own time and not the version: it only ever grows, so the later one is true.
fn is_same_version(merged: &Merged) -> bool {
    merged
        .changed
        .iter()
        .all(|column| *column == "last_sign_in_at")
}

fn settled(merged: Merged) -> Merged {
    let is_same = merged.changed.is_empty();
    Merged {
        verdict: if is_same {
            Verdict::Unchanged
        } else {
            Verdict::Applied
        },
        ..merged
    }
}

/// The version of an object: its `updated_at` in ms; none is older than everything.
pub(in crate::sync) fn version(seen: &clerk::User) -> i64 {
    seen.updated_at.unwrap_or_default()
}

fn kept(row: &Row, verdict: Verdict, rule: &'static str) -> Merged {
    let row = row.clone();
    Merged {
        verdict,
        rule,
        row,
        changed: Vec::new(),
        push: None,
        moves: None,
        has_unknown_role: false,
    }
}

fn mirrored(
    row: &Row,
    current: &Current,
    seen: &clerk::User,
    origin: Origin,
    rule: &'static str,
) -> Merged {
    let known = role::Known {
        yields: matches!(origin, Origin::Listed | Origin::Repair { .. }),
        ..known_role(row, current)
    };
    let merged = role::merge(known, seen.role(), version(seen));
    let email = seen.primary_email();
    let new = Row {
        clerk_id: Some(seen.id.clone()),
        email: email.map(|email| storable(email.address)),
        email_verified: email.is_some_and(|email| email.is_verified),
        first_name: text(seen.first_name.as_deref()),
        last_name: text(seen.last_name.as_deref()),
        username: text(seen.username.as_deref()),
        image_url: text(seen.image_url.as_deref()),
        external_id: text(seen.external_id.as_deref()),
        role: merged.role,
        clerk_role: merged.base,
        role_owned_by_directory: row.role_owned_by_directory && may_be_managed(seen, origin),
        public_metadata: storable_map(&seen.public_metadata),
        banned: seen.banned,
        locked: seen.locked,
        deprovisioned: seen.deprovisioned,
        is_placeholder: false,
        last_sign_in_at: row
            .last_sign_in_at
            .max(seen.last_sign_in_at.and_then(timestamp)),
        clerk_version: version(seen),
        refetch_at: None,
        n_refetches: 0,
        ..row.clone()
    };
    Merged {
        verdict: Verdict::Applied,
        rule,
        changed: changed(&COLUMNS, current.row.as_ref(), &new),
        row: new,
        push: merged.push,
        moves: None,
        has_unknown_role: merged.is_unknown,
    }
}

/// Only events say whether a directory has the say over a user; what is read says nothing of it.
fn may_be_managed(seen: &clerk::User, origin: Origin) -> bool {
    let is_silent = seen.scim.is_none() && origin != Origin::Event;
    is_silent || seen.is_managed_by_directory()
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
const COLUMNS: [Column<Row>; 17] = [
    ("clerk_id", |row| {
        row.clerk_id.as_ref().map(ToString::to_string).into()
    }),
    ("email", |row| row.email.clone().into()),
    ("email_verified", |row| row.email_verified.into()),
    ("first_name", |row| row.first_name.clone().into()),
    ("last_name", |row| row.last_name.clone().into()),
    ("username", |row| row.username.clone().into()),
    ("image_url", |row| row.image_url.clone().into()),
    ("external_id", |row| row.external_id.clone().into()),
    ("role", |row| row.role.as_str().into()),
    ("clerk_role", |row| row.clerk_role.clone().into()),
    ("role_owned_by_directory", |row| {
        row.role_owned_by_directory.into()
    }),
    ("public_metadata", |row| {
        Value::Object(row.public_metadata.clone())
    }),
    ("banned", |row| row.banned.into()),
    ("locked", |row| row.locked.into()),
    ("deprovisioned", |row| row.deprovisioned.into()),
    ("is_placeholder", |row| row.is_placeholder.into()),
    ("last_sign_in_at", |row| {
        row.last_sign_in_at.map(Timestamp::as_millisecond).into()
    }),
];

fn new_row(seen: &clerk::User) -> Row {
    empty_row(
        seen.created_at
            .and_then(timestamp)
            .unwrap_or_else(Timestamp::now),
    )
}

fn empty_row(created_at: Timestamp) -> Row {
    Row {
        id: Uuid::new_v4(),
        clerk_id: None,
        email: None,
        email_verified: false,
        first_name: None,
        last_name: None,
        name: None,
        username: None,
        image_url: None,
        external_id: None,
        role: Role::Student,
        clerk_role: None,
        role_owned_by_directory: false,
        public_metadata: Map::new(),
        builder_group_id: None,
        banned: false,
        locked: false,
        deprovisioned: false,
        is_placeholder: false,
        last_sign_in_at: None,
        clerk_version: 0,
        refetch_at: None,
        n_refetches: 0,
        organizations_refetch_at: None,
        organizations_confirmed_at: None,
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
