//! Merges a role three ways (R8): base, theirs, ours. No I/O.

use serde_json::Value;

use crate::db::Role;
use crate::db::outbox::Push;
use crate::db::users::PushChange;

/// `clerk_role` of a user whom Clerk gave a role once, and gives none now.
const ABSENT: &str = "";

/// What is known of a role before something is seen in Clerk.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known<'a> {
    /// What the row says.
    pub(super) ours: Role,
    /// The base: what Clerk said when it was last seen; none if it never had a role.
    pub(super) base: Option<&'a str>,
    /// Ours is on its way to Clerk.
    pub(super) push: Option<&'a Push>,
    /// Without a push, ours has no claim, whatever the base (R14).
    pub(super) yields: bool,
}

/// What the role is after the merge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Merged {
    /// The role that counts.
    pub(super) role: Role,
    /// The new base.
    pub(super) base: Option<String>,
    /// What becomes of the push.
    pub(super) push: Option<PushChange>,
    /// Whether Clerk says something that is no role.
    pub(super) is_unknown: bool,
}

/// Merges what Clerk says (`theirs`, in the version `version`, in ms) into what we know.
pub(super) fn merge(known: Known<'_>, theirs: Option<&Value>, version: i64) -> Merged {
    let seen = spelled(theirs);
    let base = match (&seen, known.base) {
        (Some(role), _) => Some(role.clone()),
        (None, Some(_)) => Some(ABSENT.to_owned()),
        (None, None) => None,
    };
    let is_unknown = seen
        .as_deref()
        .is_some_and(|role| role.parse::<Role>().is_err());
    let (role, push) = match known.push {
        Some(push) => merge_with_push(known, push, base.as_deref(), version),
        None => merge_without_push(known, base.as_deref()),
    };
    Merged {
        role,
        base,
        push,
        is_unknown,
    }
}

/// Keeps our role for an account that the user has just come to (R12): what Clerk says of it there
/// was decided by nobody who knew them.
pub(super) fn keep(known: Known<'_>, theirs: Option<&Value>) -> Merged {
    let base = spelled(theirs);
    let has_arrived = base
        .as_deref()
        .is_some_and(|it| it.parse() == Ok(known.ours));
    let push = match known.push {
        Some(push) => has_arrived.then(|| complete(push)),
        None => (!has_arrived).then_some(PushChange::Open),
    };
    Merged {
        role: known.ours,
        base,
        push,
        is_unknown: false,
    }
}

/// The role that somebody gave in Clerk since it last showed `base`; none if nobody did.
pub(super) fn given_since(base: Option<&str>, theirs: Option<&Value>) -> Option<Role> {
    match (spelled(theirs), base) {
        (Some(theirs), base) => (!is_same(&theirs, base)).then(|| granted(&theirs)),
        (None, Some(base)) => (base != ABSENT).then_some(Role::Student),
        (None, None) => None,
    }
}

fn merge_without_push(known: Known<'_>, base: Option<&str>) -> (Role, Option<PushChange>) {
    match base {
        // Clerk never had one: ours goes there.
        None => (known.ours, Some(PushChange::Open)),
        Some(theirs) if is_same(theirs, known.base) && !known.yields => (known.ours, None),
        Some(theirs) => (granted(theirs), None),
    }
}

fn merge_with_push(
    known: Known<'_>,
    push: &Push,
    base: Option<&str>,
    version: i64,
) -> (Role, Option<PushChange>) {
    let Some(theirs) = base else {
        return (known.ours, None);
    };
    let has_arrived = theirs.parse() == Ok(known.ours);
    if has_arrived {
        // Unless an older role of ours was sent and may yet come after this one.
        let is_last_sent = push
            .sent_role
            .as_deref()
            .is_none_or(|sent| is_same(theirs, Some(sent)));
        return (known.ours, is_last_sent.then(|| complete(push)));
    }
    // Nothing new, or the echo of an older push of ours: the newer one follows.
    if is_same(theirs, known.base) || is_same(theirs, push.sent_role.as_deref()) {
        return (known.ours, None);
    }
    if version <= push.decided_at.as_millisecond() {
        return (known.ours, None);
    }
    (granted(theirs), Some(PushChange::Cancel { id: push.id }))
}

fn complete(push: &Push) -> PushChange {
    PushChange::Complete { id: push.id }
}

/// The role as text; what is not text is kept as its JSON, so that the drift can be seen.
fn spelled(role: Option<&Value>) -> Option<String> {
    match role? {
        Value::Null => None,
        Value::String(text) => Some(text.replace('\0', "\u{fffd}")),
        other => Some(other.to_string()),
    }
}

/// What a role in Clerk grants here: fails closed.
fn granted(theirs: &str) -> Role {
    theirs.parse().unwrap_or(Role::Student)
}

fn is_same(theirs: &str, base: Option<&str>) -> bool {
    base.is_some_and(|base| base.trim().eq_ignore_ascii_case(theirs.trim()))
}

#[cfg(test)]
mod tests;
