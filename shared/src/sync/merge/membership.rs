//! Decides what a membership seen in Clerk does to our rows. No I/O.
//!
//! Who leaves an organization and joins it again has another membership, with another id (R6).
//! Clerk holds at most one of a pair, so the one made last is the only one that can live.

use jiff::Timestamp;
use serde_json::Map;
use uuid::Uuid;

use super::{
    Column, Held, Mirror, Origin, Verdict, by_version, changed, storable, storable_map, timestamp,
};
use crate::clerk;
use crate::db::listed;
use crate::db::memberships::{Current, Parent, Row};

/// What a membership seen in Clerk does to our rows.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::sync) struct Merged {
    /// What was decided.
    pub(in crate::sync) verdict: Verdict,
    /// The rule that decided.
    pub(in crate::sync) rule: &'static str,
    /// The row as it shall be; none if there is nothing to write.
    /// In doubt, it is the row that Clerk has to be asked about.
    pub(in crate::sync) row: Option<Row>,
    /// The row that it follows, which is over.
    pub(in crate::sync) ends: Option<Uuid>,
    /// The columns that change.
    pub(in crate::sync) changed: Vec<&'static str>,
}

/// The rows that a membership hangs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sync) struct Parents {
    /// Of the organization.
    pub(in crate::sync) organization: Parent,
    /// Of the member.
    pub(in crate::sync) user: Parent,
}

/// Decides what `seen` does to the row (R1, R2, R3, R6).
pub(in crate::sync) fn merge(
    current: &Current,
    parents: Parents,
    seen: &clerk::OrganizationMembership,
    origin: Origin,
) -> Merged {
    let can_live = can_live(parents);
    match &current.row {
        // It should be over already: whoever mends that mends its user or organization.
        Some(row) if row.deleted_at.is_none() && !can_live => kept(row, Verdict::Stale, "R6"),
        Some(row) if row.deleted_at.is_none() => merge_known(current, row, parents, seen, origin),
        // What was not shown once is shown again: that time, Clerk's list lagged behind.
        Some(row) if row.is_end_inferred && can_live && origin.is_read() => {
            revive(current, parents, row, seen)
        }
        // It was changed after what we know of it, so it may live.
        Some(row) if row.is_end_inferred && can_live && version(seen) > row.clerk_version => {
            kept(row, Verdict::Doubtful, "R14")
        }
        Some(row) => kept(row, Verdict::Stale, "R3"),
        None if can_live => merge_new(current, parents, seen, origin),
        None => nothing("R6"),
    }
}

/// Who is gone is in nothing, and in what is gone is nobody.
fn can_live(parents: Parents) -> bool {
    !parents.organization.is_deleted && !parents.user.is_deleted
}

fn revive(
    current: &Current,
    parents: Parents,
    row: &Row,
    seen: &clerk::OrganizationMembership,
) -> Merged {
    let is_follower = |rival: &Row| rival.clerk_id.is_some() && rival.created_at > row.created_at;
    if current.rival.as_ref().is_some_and(is_follower) {
        return kept(row, Verdict::Stale, "R6");
    }
    let new = Row {
        deleted_at: None,
        is_end_inferred: false,
        // One of the two answers was late: once more.
        refetch_at: Some(Timestamp::now()),
        ..mirrored(&joining(parents, row), seen)
    };
    let changed = changed(&COLUMNS, Some(row), &new);
    Merged {
        verdict: Verdict::Applied,
        rule: "R14",
        row: Some(new),
        ends: current.rival.as_ref().map(|rival| rival.id),
        changed: [vec!["deleted_at"], changed].concat(),
    }
}

/// A membership joins what Clerk says that it does, wherever somebody has put it here.
fn joining(parents: Parents, row: &Row) -> Row {
    Row {
        organization_id: parents.organization.id,
        user_id: parents.user.id,
        ..row.clone()
    }
}

fn merge_known(
    current: &Current,
    row: &Row,
    parents: Parents,
    seen: &clerk::OrganizationMembership,
    origin: Origin,
) -> Merged {
    let is_overlooked = is_overlooked(parents, seen, origin);
    let new = Row {
        // What is older than the last walk says nothing about what that did not show.
        refetch_at: row.refetch_at.filter(|_| is_overlooked),
        ..mirrored(&joining(parents, row), seen)
    };
    let changed = changed(&COLUMNS, Some(row), &new);
    let held = Held {
        version: row.clerk_version,
        touched_at: row.updated_at.max(row.confirmed_at),
    };
    match by_version(version(seen), held, origin, changed.is_empty()) {
        verdict @ (Verdict::Stale | Verdict::Doubtful) => kept(row, verdict, "R2"),
        // That this one is the same says nothing about the one that is in doubt.
        Verdict::Unchanged if !origin.is_read() => kept(row, Verdict::Unchanged, "R2"),
        verdict => Merged {
            verdict,
            rule: "R2",
            row: Some(new),
            // Clerk holds one of a pair, and this is it.
            ends: current.rival.as_ref().map(|rival| rival.id),
            changed,
        },
    }
}

/// One that we have not seen: only the last of its pair lives (R6).
fn merge_new(
    current: &Current,
    parents: Parents,
    seen: &clerk::OrganizationMembership,
    origin: Origin,
) -> Merged {
    let created_at = created_at(seen);
    if current.last_created_at > Some(created_at) {
        return nothing("R6");
    }
    let new = Row {
        refetch_at: is_overlooked(parents, seen, origin).then(Timestamp::now),
        ..mirrored(&empty_row(parents, created_at), seen)
    };
    let rule = "R6";
    match &current.rival {
        None => applied("R1", None, new, None),
        // A provisional one learns which it is.
        Some(rival) if rival.clerk_id.is_none() => {
            applied("R17", Some(rival), mirrored(rival, seen), None)
        }
        Some(rival) if rival.created_at < created_at || origin.is_read() => {
            applied(rule, None, new, Some(rival.id))
        }
        // Made in the same millisecond: nobody can tell which one came last.
        Some(rival) => kept(rival, Verdict::Doubtful, rule),
    }
}

/// Whether a walk ended after this version, and we have not seen the membership by it: it may be over
/// already, and Clerk has to be asked.
fn is_overlooked(parents: Parents, seen: &clerk::OrganizationMembership, origin: Origin) -> bool {
    let version = timestamp(version(seen));
    let walked_at = parents.organization.walked_at.max(parents.user.walked_at);
    origin == Origin::Event && walked_at.is_some() && walked_at > version
}

/// Decides what the end of a membership does to the row (R3): a tombstone, also for one never
/// seen. Of the same pair it touches none but one that it followed, which was over before (R6).
pub(in crate::sync) fn bury(
    current: &Current,
    parents: Parents,
    seen: &clerk::OrganizationMembership,
    at: Timestamp,
) -> Merged {
    let is_final = |row: &&Row| row.deleted_at.is_some() && !row.is_end_inferred;
    if let Some(row) = current.row.as_ref().filter(is_final) {
        return kept(row, Verdict::Unchanged, "R3");
    }
    let row = match &current.row {
        Some(row) => row.clone(),
        // Only that it was: what it held may be about somebody who is erased already.
        None => Row {
            public_metadata: Map::new(),
            ..mirrored(&empty_row(parents, created_at(seen)), seen)
        },
    };
    Merged {
        verdict: Verdict::Applied,
        rule: "R3",
        row: Some(Row {
            deleted_at: Some(row.deleted_at.unwrap_or(at)),
            is_end_inferred: false,
            // A rival may be waiting for the answer; but nothing lives in what is gone.
            refetch_at: row.refetch_at.filter(|_| can_live(parents)),
            ..row
        }),
        ends: current
            .rival
            .as_ref()
            .filter(|rival| rival.clerk_id.is_some() && rival.created_at < created_at(seen))
            .map(|rival| rival.id),
        changed: vec!["deleted_at"],
    }
}

/// The version of an object: its `updated_at` in ms; none is older than everything.
pub(in crate::sync) fn version(seen: &clerk::OrganizationMembership) -> i64 {
    seen.updated_at.unwrap_or_default()
}

/// When it was made. Where Clerk does not say, its last change stands for it: also that lies before
/// the making of any that followed it.
fn created_at(seen: &clerk::OrganizationMembership) -> Timestamp {
    let ms = seen.created_at.or(seen.updated_at);
    ms.and_then(timestamp).unwrap_or(Timestamp::UNIX_EPOCH)
}

fn kept(row: &Row, verdict: Verdict, rule: &'static str) -> Merged {
    Merged {
        verdict,
        rule,
        row: Some(row.clone()),
        ends: None,
        changed: Vec::new(),
    }
}

fn nothing(rule: &'static str) -> Merged {
    Merged {
        verdict: Verdict::Stale,
        rule,
        row: None,
        ends: None,
        changed: Vec::new(),
    }
}

fn applied(rule: &'static str, old: Option<&Row>, new: Row, ends: Option<Uuid>) -> Merged {
    Merged {
        verdict: Verdict::Applied,
        rule,
        changed: changed(&COLUMNS, old, &new),
        row: Some(new),
        ends,
    }
}

/// What a membership in a list shows, in the shape of our rows (R14).
pub(in crate::sync) fn listed(seen: &clerk::ListedMembership) -> listed::Membership {
    listed::Membership {
        clerk_id: seen.id.clone(),
        clerk_version: seen.updated_at.unwrap_or_default(),
        clerk_organization_id: seen.organization.id.clone(),
        clerk_user_id: seen.public_user_data.user_id.clone(),
        role: role_key(&seen.role),
        permissions: permissions(&seen.permissions),
        public_metadata: storable_map(&seen.public_metadata),
        created_at: seen.created_at.and_then(timestamp),
    }
}

/// Clerk promises no order.
fn permissions(seen: &[String]) -> Vec<String> {
    let mut permissions: Vec<String> = seen.iter().map(|it| storable(it)).collect();
    permissions.sort();
    permissions.dedup();
    permissions
}

fn mirrored(row: &Row, seen: &clerk::OrganizationMembership) -> Row {
    Row {
        clerk_id: Some(seen.id.clone()),
        role: role_key(&seen.role),
        permissions: permissions(&seen.permissions),
        public_metadata: storable_map(&seen.public_metadata),
        is_placeholder: false,
        clerk_version: version(seen),
        refetch_at: None,
        n_refetches: 0,
        created_at: if row.is_placeholder {
            created_at(seen)
        } else {
            row.created_at
        },
        ..row.clone()
    }
}

/// The key of a role as Clerk's API spells it today: older events and tokens lack the prefix.
pub(in crate::sync) fn role_key(role: &str) -> String {
    let role = storable(role.trim());
    if role.is_empty() || role.contains(':') {
        return role;
    }
    format!("org:{role}")
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
    ("clerk_id", |row| {
        row.clerk_id.as_ref().map(ToString::to_string).into()
    }),
    ("organization_id", |row| {
        row.organization_id.to_string().into()
    }),
    ("user_id", |row| row.user_id.to_string().into()),
    ("role", |row| row.role.clone().into()),
    ("permissions", |row| row.permissions.clone().into()),
    ("public_metadata", |row| row.public_metadata.clone().into()),
    ("is_placeholder", |row| row.is_placeholder.into()),
];

fn empty_row(parents: Parents, created_at: Timestamp) -> Row {
    Row {
        id: Uuid::new_v4(),
        clerk_id: None,
        organization_id: parents.organization.id,
        user_id: parents.user.id,
        role: String::new(),
        permissions: Vec::new(),
        public_metadata: Map::new(),
        is_placeholder: false,
        clerk_version: 0,
        refetch_at: None,
        n_refetches: 0,
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
