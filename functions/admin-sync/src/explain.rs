//! What the records say, as sentences for people.

use shared::db::history::{Drift, EmailChange, ProfileEdit, Push, RoleChange, What};
use shared::db::inbox::{Event, Outcome};

/// How an event did what its rule said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    /// In whatever way.
    Any,
    /// Columns changed.
    Changed,
    /// Nothing had to change.
    Same,
    /// Clerk was asked at once.
    Asked,
    /// It was replayed, and nothing changed with it.
    Again,
    /// Clerk was asked some time after it came.
    Later,
}

/// Which rule decides with which outcome, and what that means. `{object}`, `{ours}` and `{theirs}`
/// stand for the kind of object and the versions that were compared.
#[rustfmt::skip]
const SENTENCES: [(&str, Outcome, How, &str); 32] = [
    ("R1", Outcome::Applied, How::Any,
        "This {object} was not known here, so it was added."),
    ("R2", Outcome::Applied, How::Changed,
        "It shows a newer version of this {object} ({theirs}) than the one that was here ({ours}), so the row follows it."),
    ("R2", Outcome::Applied, How::Asked,
        "It contradicted the row without being newer, so Clerk was asked at once; the row is what Clerk showed."),
    ("R2", Outcome::Applied, How::Same,
        "This {object} was here already, in the same version and with the same values, so nothing had to change."),
    ("R2", Outcome::Applied, How::Again,
        "It was replayed; by then nothing had to change, or Clerk was asked."),
    ("R2", Outcome::Applied, How::Later,
        "It contradicted the row without being newer, so it waited until Clerk was asked; the row is now what Clerk showed."),
    ("R2", Outcome::Stale, How::Any,
        "A newer version of this {object} ({ours}) was here already, so nothing changed."),
    ("R2", Outcome::Parked, How::Any,
        "It contradicts the row, and nobody can tell which of them is newer, so it waits until Clerk is asked."),
    ("R3", Outcome::Applied, How::Changed,
        "This {object} was deleted in Clerk, so it is kept here as deleted, for good."),
    ("R3", Outcome::Applied, How::Any,
        "This {object} was deleted here already, so nothing had to change."),
    ("R3", Outcome::Stale, How::Any,
        "This {object} was deleted before, and what is deleted never comes back, so nothing changed."),
    ("R5", Outcome::Applied, How::Any,
        "A row without a Clerk account had the verified address of this {object}, so that row now belongs to the account."),
    ("R6", Outcome::Applied, How::Later,
        "It was made in the same moment as another membership of the same user in the same organization, so it waited until Clerk was asked which of them lives."),
    ("R6", Outcome::Applied, How::Any,
        "The user joined the organization again: this membership lives, and the one before it is over."),
    ("R6", Outcome::Stale, How::Any,
        "This membership was over when it came: a later one of the same user in the same organization is known, or one of the two is deleted. Nothing changed."),
    ("R6", Outcome::Parked, How::Any,
        "It was made in the same moment as another membership of the same user in the same organization, so it waits until Clerk is asked which of them lives."),
    ("R7", Outcome::Dead, How::Any,
        "It comes from Clerk and could not be taken in, so it is kept until a person looks at it and replays it."),
    ("R12", Outcome::Applied, How::Any,
        "The user followed the invitation to a new address, so the row moved to this account."),
    ("R14", Outcome::Applied, How::Later,
        "It speaks of a {object} that Clerk did not know any more when it was asked, so it waited until Clerk was asked again."),
    ("R14", Outcome::Applied, How::Any,
        "Clerk shows a {object} again that it did not show before, so it lives again."),
    ("R14", Outcome::Stale, How::Any,
        "Clerk did not know this {object} any more when it was asked, so nothing changed."),
    ("R14", Outcome::Parked, How::Any,
        "It speaks of a {object} that Clerk did not know any more when it was asked, so it waits until Clerk is asked again."),
    ("R17", Outcome::Applied, How::Any,
        "The membership was made here while Clerk could not be asked; now it is what Clerk says it is."),
    ("R18", Outcome::Ignored, How::Any,
        "It comes from another Clerk instance than ours, so it was not taken in."),
    ("unhandled", Outcome::Ignored, How::Any,
        "Events of this type are not taken in: nothing here depends on them."),
    // What is replayed is decided anew, by whatever rule; these are the rest.
    ("", Outcome::Applied, How::Changed, "Its effects were written."),
    ("", Outcome::Applied, How::Same, "Nothing had to change."),
    ("", Outcome::Applied, How::Any, "It is settled: Clerk was asked."),
    ("", Outcome::Stale, How::Any, "Something newer was here already, so nothing changed."),
    ("", Outcome::Ignored, How::Any, "It was not for us, so it was not taken in."),
    ("", Outcome::Parked, How::Any, "It waits until Clerk is asked."),
    ("", Outcome::Dead, How::Any, "It could not be taken in, and is kept until a person looks at it."),
];

/// Whether a rule that decides with an outcome has a sentence of its own.
pub fn has_sentence(rule: &str, outcome: Outcome) -> bool {
    SENTENCES.iter().any(|it| (it.0, it.1) == (rule, outcome))
}

/// Why a delivery did what it did.
pub fn delivery(event: &Event) -> String {
    sentence(event)
        .replace("{object}", object(&event.event_type))
        .replace("{ours}", &version(event.detail.our_version))
        .replace("{theirs}", &version(event.detail.clerk_version))
}

/// One thing of a history.
pub fn what(what: &What) -> String {
    match what {
        What::Delivery(event) => format!("{}: {}", event.event_type, delivery(event)),
        What::RoleChange(change) => role_change(change),
        What::ProfileEdit(edit) => profile_edit(edit),
        What::EmailChange(change) => email_change(change),
        What::Push(it) => push(it),
        What::Drift(it) => drift(it),
    }
}

fn sentence(event: &Event) -> &'static str {
    let rule = event.rule.as_deref().unwrap_or_default();
    let how = how(event);
    let fits = |(is_rule, outcome, when, _): &&(&str, Outcome, How, &str)| {
        (*is_rule == rule || is_rule.is_empty())
            && *outcome == event.outcome
            && [How::Any, how].contains(when)
    };
    // The rest of the table fits whatever no rule has a sentence for.
    SENTENCES.iter().find(fits).map_or("", |it| it.3)
}

fn how(event: &Event) -> How {
    if event.detail.read_from_clerk {
        return How::Asked;
    }
    if !event.detail.changed.is_empty() {
        return How::Changed;
    }
    // Why it waited is not known any more: it may have been unreadable, or in doubt.
    if event.detail.replayed {
        return How::Again;
    }
    // What is taken in at once is of one transaction, and so of one time.
    match event.applied_at {
        Some(at) if at > event.received_at => How::Later,
        _ => How::Same,
    }
}

fn object(event_type: &str) -> &'static str {
    match event_type.split_once('.') {
        Some(("user", _)) => "user",
        Some(("organization", _)) => "organization",
        Some(("organizationMembership", _)) => "membership",
        _ => "object",
    }
}

fn version(version: Option<i64>) -> String {
    match version {
        None | Some(0) => "none".to_owned(),
        Some(version) => version.to_string(),
    }
}

fn role_change(change: &RoleChange) -> String {
    let RoleChange {
        old_role,
        new_role,
        actor,
        source,
        ..
    } = change;
    let by = match (actor.as_str(), source.as_str()) {
        ("clerk", "webhook") => "as an event of Clerk's says".to_owned(),
        ("clerk", _) => "as Clerk said when it was asked".to_owned(),
        (actor, _) => format!("by {actor}"),
    };
    match old_role {
        Some(old_role) => format!("The role changed from {old_role} to {new_role}, {by}."),
        None => format!("The role is {new_role} from the beginning, {by}."),
    }
}

fn profile_edit(edit: &ProfileEdit) -> String {
    let outcome = match edit.outcome.as_deref() {
        Some("done") => "it was done",
        Some("refused") => "Clerk refused it, and nothing changed",
        Some(_) => "it did not come about",
        None => "nobody knows yet what became of it",
    };
    format!(
        "{} edited {}: {outcome}.",
        edit.actor,
        edit.fields.join(", ")
    )
}

fn email_change(change: &EmailChange) -> String {
    let state = match change.state.as_str() {
        "requested" => "Clerk is being asked for an invitation",
        "invited" => "the invitation was sent",
        "moved" => "the row moved to the new account, and the rest is being done",
        "done" => "the row moved to the new account, and the old one is removed",
        "revoked" => "it was taken back",
        "expired" => "nobody followed the invitation in time",
        _ => "it came to nothing",
    };
    format!("{} asked for another address: {state}.", change.actor)
}

fn push(push: &Push) -> String {
    let Push {
        state,
        role,
        n_attempts,
        ..
    } = push;
    let tries = match n_attempts {
        1 => "1 try".to_owned(),
        n => format!("{n} tries"),
    };
    let state = match state.as_str() {
        "delivered" => "Clerk has it",
        "superseded" => "another role was set in Clerk meanwhile, and counts",
        "dead" => "it could not be delivered, and is given up",
        _ => "it is on its way",
    };
    format!("The role {role} was owed to Clerk: {state}, after {tries}.")
}

fn drift(drift: &Drift) -> String {
    let Drift {
        class,
        object,
        cause,
        state,
        fields,
        ..
    } = drift;
    let fields = fields.join(", ");
    let found = match class.as_str() {
        "missing" => format!("this {object} was in Clerk and not here"),
        "stale" if fields.is_empty() => format!("this {object} was not as Clerk has it"),
        "stale" => format!("this {object} was not as Clerk has it in {fields}"),
        "stale_high" => format!("this {object} was allowed more here than in Clerk"),
        "orphaned" => format!("this {object} was here and not in Clerk"),
        "duplicate_email" => format!("this {object} had the same address as another one"),
        _ => format!("this {object} has a role in Clerk that is none of ours"),
    };
    let became = match state.as_str() {
        "repaired" => "it was repaired",
        "withheld" => "the repair waits for an approval",
        "gone" => "when it came to the repair it was so no longer",
        "failed" => "the repair failed",
        _ => "nothing was done about it",
    };
    format!("A comparison found that {found} ({cause}); {became}.")
}
