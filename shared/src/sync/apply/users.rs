//! Writes what was seen of users.

use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use uuid::Uuid;

use super::super::merge::Origin;
use super::super::merge::user::{self, Merged};
use super::{Detail, InDoubt, Outcome, Step, origin_of_try, recorded};
use crate::clerk;
use crate::db::inbox::{self, Entry};
use crate::db::role_changes::{self, Source};
use crate::db::users::{Current, Key, PushChange, Row, Write};
use crate::db::{self, Check, Db, Role, Written};
use crate::ids::ClerkUserId;

/// For so long after a walk over a user's organizations, events about the user start no other.
const WALK_INTERVAL: SignedDuration = SignedDuration::from_secs(60);

/// Something seen in Clerk.
#[derive(Debug, Clone)]
pub(in crate::sync) struct Sighting<'a> {
    /// Whom it is about.
    pub(in crate::sync) clerk_id: &'a ClerkUserId,
    /// What was seen.
    pub(in crate::sync) seen: Seen<'a>,
    /// The delivery that it comes from.
    pub(in crate::sync) delivery: Option<&'a Entry>,
    /// What to do when Clerk would have to be asked.
    pub(in crate::sync) in_doubt: InDoubt,
    /// Whether the user's organizations are to be looked at, too.
    pub(in crate::sync) walk: Walk,
}

/// Whether a sighting of a user owes a walk over the user's organizations.
/// The debt is written with the sighting, so that it outlives a crash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sync) enum Walk {
    /// It does not.
    No,
    /// It does, unless there was one within [`WALK_INTERVAL`] or one is owed already.
    IfDue,
    /// It does.
    Yes,
}

/// What was seen of a user.
#[derive(Debug, Clone, Copy)]
pub(in crate::sync) enum Seen<'a> {
    /// The whole object.
    User(&'a clerk::User, Origin),
    /// Its end.
    Deleted(Timestamp),
    /// Clerk was asked about it alone, and does not know it (R14).
    Unknown,
}

/// What came of a sighting.
pub(in crate::sync) type Applied = super::Applied<Owed>;

/// What is owed after a sighting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sync) struct Owed {
    /// A role, to Clerk.
    pub(in crate::sync) push: bool,
    /// A walk over the user's organizations, since now.
    pub(in crate::sync) walk: bool,
    /// What follows a move from another account (R12), and is not done yet.
    pub(in crate::sync) email_change: Option<Uuid>,
}

type Plan = super::Plan<Write, Owed>;

impl super::Sighting for Sighting<'_> {
    type Current = Current;
    type More = Owed;
    type Write = Write;

    async fn read(db: &Db, sightings: &[&Self]) -> Result<Vec<Current>, db::Error> {
        let keys: Vec<Key<'_>> = sightings.iter().map(|sighting| sighting.key()).collect();
        db.current_users(&keys).await
    }

    fn plan(&self, current: &Current, is_repeated: bool) -> Option<Plan> {
        Some(plan(self, current, is_repeated))
    }

    async fn write(db: &Db, writes: &[Write], check: Check) -> Result<Written<Row>, db::Error> {
        let (written, no_admin_left) = db.write_users(writes, check).await?;
        if no_admin_left {
            alarm_no_admin_left();
        }
        Ok(written)
    }
}

impl super::Write for Write {
    type Row = Row;

    fn row(&self) -> Option<&Row> {
        self.row.as_ref()
    }
}

/// Clerk took the last admin away (R13): mirrored, and somebody has to know.
pub(in crate::sync) fn alarm_no_admin_left() {
    tracing::error!(
        alarm = "no_admin_left",
        "the last admin was removed or demoted in Clerk: nobody can administer this application"
    );
}

fn plan(sighting: &Sighting<'_>, current: &Current, is_repeated: bool) -> Plan {
    if current.is_recorded {
        return Plan::Nothing(applied(Outcome::Duplicate, current.push.is_some()));
    }
    let merged = match sighting.seen {
        Seen::User(user, origin) => user::merge(current, user, origin_of_try(origin, is_repeated)),
        Seen::Deleted(at) => user::bury(current, sighting.clerk_id, at),
        Seen::Unknown => user::infer_end(current, sighting.clerk_id),
    };
    let step = Step::of(
        merged.verdict,
        merged.rule,
        sighting.in_doubt,
        is_read(sighting),
        is_echo(sighting, current, &merged),
        sighting.delivery.is_some(),
    );
    let owes_push = match merged.push {
        Some(PushChange::Open) => true,
        Some(PushChange::Complete { .. } | PushChange::Cancel { .. }) => false,
        None => current.push.is_some(),
    };
    let (write, applied) = match step {
        Step::Nothing(outcome) => return Plan::Nothing(applied(outcome, current.push.is_some())),
        Step::Record(outcome) => (
            record(sighting, current, &merged, outcome),
            applied(outcome, true),
        ),
        Step::Flag => (
            flag(sighting, current, merged),
            applied(Outcome::Doubtful, true),
        ),
        Step::Write => {
            let write = write(sighting, current, &merged);
            let walk = owes_walk(sighting, current);
            let applied = applied(Outcome::Applied, owes_push);
            let more = Owed {
                walk,
                email_change: current.email_change.or(current.unfinished_move),
                ..applied.more
            };
            (write, Applied { more, ..applied })
        }
    };
    Plan::Write {
        write: Box::new(write),
        applied,
    }
}

fn applied(outcome: Outcome, owes_push: bool) -> Applied {
    Applied {
        outcome,
        is_verified: false,
        more: Owed {
            push: owes_push,
            walk: false,
            email_change: None,
        },
    }
}

fn is_read(sighting: &Sighting<'_>) -> bool {
    matches!(sighting.seen, Seen::User(_, origin) if origin.is_read())
}

fn is_echo(sighting: &Sighting<'_>, current: &Current, merged: &Merged) -> bool {
    sighting.delivery.is_some()
        && !is_read(sighting)
        && merged.push.is_none()
        && !owes_walk(sighting, current)
}

/// Whether this sighting starts a walk over the user's organizations.
fn owes_walk(sighting: &Sighting<'_>, current: &Current) -> bool {
    let Seen::User(..) = sighting.seen else {
        return false;
    };
    // The organizations of the account that it comes to are not known yet.
    if current.email_change.is_some() {
        return true;
    }
    match (sighting.walk, &current.row) {
        (Walk::No, _) => false,
        (Walk::Yes, _) | (Walk::IfDue, None) => true,
        (Walk::IfDue, Some(row)) => {
            let is_recent = |at: Timestamp| Timestamp::now().duration_since(at) < WALK_INTERVAL;
            row.organizations_refetch_at.is_none()
                && !row.organizations_confirmed_at.is_some_and(is_recent)
        }
    }
}

fn walk_at(sighting: &Sighting<'_>, current: &Current, merged: &Merged) -> Option<Timestamp> {
    let now = owes_walk(sighting, current).then(Timestamp::now);
    now.or(merged.row.organizations_refetch_at)
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
            organizations_refetch_at: walk_at(sighting, current, &merged),
            ..merged.row
        }),
        ..Write::default()
    }
}

fn write(sighting: &Sighting<'_>, current: &Current, merged: &Merged) -> Write {
    let old = current.row.as_ref();
    let confirms = match sighting.seen {
        Seen::User(_, origin) => Some(super::confirms(origin)),
        Seen::Deleted(_) | Seen::Unknown => None,
    };
    let row = Row {
        organizations_refetch_at: walk_at(sighting, current, merged),
        ..merged.row.clone()
    };
    Write {
        inbox: entry(sighting, current, merged, inbox::Outcome::Applied),
        confirms,
        touches: !merged.changed.is_empty(),
        absorbs: current.placeholder,
        moves: merged.moves.clone(),
        role_change: role_change(sighting, old, &row),
        push: merged.push,
        settles: old.is_some_and(|old| old.refetch_at.is_some()) && row.refetch_at.is_none(),
        loses_admin: old.is_some_and(Row::is_live_admin) && !row.is_live_admin(),
        row: Some(row),
    }
}

fn role_change(sighting: &Sighting<'_>, old: Option<&Row>, new: &Row) -> Option<role_changes::New> {
    // A placeholder has the default only because nothing was known.
    let is_known = |old: &&Row| !old.is_placeholder || old.role != Role::Student;
    let old_role = old.filter(is_known).map(|old| old.role);
    if old_role == Some(new.role) {
        return None;
    }
    let source = if sighting.delivery.is_some() {
        Source::Webhook
    } else {
        Source::Reconcile
    };
    Some(role_changes::New {
        old_role,
        new_role: new.role,
        actor: "clerk".to_owned(),
        source,
        svix_id: sighting.delivery.map(|entry| entry.svix_id.clone()),
        request_id: None,
    })
}

fn entry(
    sighting: &Sighting<'_>,
    current: &Current,
    merged: &Merged,
    outcome: inbox::Outcome,
) -> Option<Entry> {
    let (clerk_version, is_read) = match sighting.seen {
        Seen::User(user, origin) => (Some(user::version(user)), origin.is_read()),
        Seen::Deleted(_) | Seen::Unknown => (None, false),
    };
    let detail = Detail {
        changed: &merged.changed,
        our_version: current.row.as_ref().map(|row| row.clerk_version),
        clerk_version,
        is_read,
        more: json!({ "drift": merged.has_unknown_role.then_some("unknown_role") }),
    };
    let entry = sighting.delivery?;
    Some(super::entry(entry, outcome, merged.rule, detail))
}

impl<'a> Sighting<'a> {
    /// A user whom Clerk has shown us, by no delivery and with nothing more to do.
    pub(in crate::sync) fn of(user: &'a clerk::User, origin: Origin) -> Self {
        Self {
            clerk_id: &user.id,
            seen: Seen::User(user, origin),
            delivery: None,
            in_doubt: InDoubt::Flag,
            walk: Walk::No,
        }
    }
}

impl Sighting<'_> {
    fn key(&self) -> Key<'_> {
        let user = match self.seen {
            Seen::User(user, _) => Some(user),
            Seen::Deleted(_) | Seen::Unknown => None,
        };
        Key {
            delivery: self.delivery.map(Entry::attempt),
            clerk_id: self.clerk_id,
            verified_email: user
                .and_then(clerk::User::primary_email)
                .filter(|email| email.is_verified)
                .map(|email| email.address),
            created_at: user.and_then(|user| user.created_at),
        }
    }
}
