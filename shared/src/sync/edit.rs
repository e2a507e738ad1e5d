//! Edits profiles, in Clerk first (R11).
//!
//! What is to change is recorded before Clerk is called, and closed after it. Where the outcome
//! stayed unknown, Clerk is read, now or by `reconcile`: nothing is sent twice.

mod evidence;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::apply::users::Sighting;
use super::apply::{self, Outcome as Applied};
use super::load::ADMIN_REQUIRED;
use super::merge::Origin;
use super::refetch::{self, Read, Refetched, sighting_of_user};
use super::{Asking, Loaded};
use crate::clerk::{self, Budget, UserPatch};
use crate::db::profile_edits::{Begun, Closing, Columns, Intent, New, Open, Outcome, Refusal};
use crate::db::users::{Shown, State};
use crate::db::{self, Check, Db};
use crate::ids::{ClerkUserId, UserRef};
use crate::telemetry::chain;
use crate::{Error, Result};

/// How long Clerk may take for one change.
const CHANGE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long it may take to say what became of a change that it did not answer.
const READ_TIMEOUT: Duration = Duration::from_secs(2);
/// What is kept of the time for the database and the answer.
const ANSWER_TIME: Duration = Duration::from_secs(1);
/// For so long an edit stays open whose user Clerk does not show.
const PATIENCE: SignedDuration = SignedDuration::from_hours(24);
/// How many edits are settled at once: as many users as one call asks about.
const SETTLE_BATCH: i64 = 100;

/// What shall be in a profile.
#[derive(Debug, Clone, Default)]
pub struct ProfileEdit {
    /// The columns that shall change.
    pub columns: Columns,
    /// The password that the user shall have in Clerk.
    pub password: Option<clerk::Password>,
}

/// A profile after an edit.
#[derive(Debug, Clone, PartialEq)]
pub struct Edited {
    /// The user; where the database is behind, as Clerk has them.
    pub user: Shown,
    /// Whether the database has what Clerk has.
    pub database_sync: DatabaseSync,
}

/// A user in Clerk after an edit.
#[derive(Debug, Clone, PartialEq)]
pub struct EditedInClerk {
    /// The user, as Clerk has them.
    pub user: clerk::User,
    /// Whether the database has what Clerk has.
    pub database_sync: DatabaseSync,
}

/// Whether the database has what Clerk has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DatabaseSync {
    /// It has.
    Synced,
    /// Not yet: `reconcile` sees to it.
    Pending,
}

/// Whose profiles a caller may edit.
#[derive(Debug, Clone)]
pub enum Editor {
    /// Everybody's.
    Admin(Asking),
    /// The names in their own.
    Themself(Asking),
}

/// Who may edit this user: an admin, or the user themself.
pub fn require_editor(loaded: Loaded, user: &UserRef) -> Result<Editor> {
    let is_themself = match user {
        UserRef::Row(id) => loaded.row.id == id.0,
        UserRef::Clerk(clerk_id) => loaded.asking.clerk_id == *clerk_id,
    };
    match super::require_admin(loaded.clone()) {
        Ok(admin) => Ok(Editor::Admin(admin.asking)),
        Err(_) if is_themself => Ok(Editor::Themself(loaded.asking)),
        Err(error) => Err(error),
    }
}

/// Edits a user who has a row.
///
/// Clerk is asked first, if the user has an account and the edit is about it; if it refuses, nothing
/// changes here. Who has no account is edited in the database only.
pub async fn edit_profile(
    clerk: &clerk::Client,
    db: &Db,
    editor: &Editor,
    user: &UserRef,
    edit: &ProfileEdit,
    deadline: Instant,
) -> Result<Edited> {
    let asking = editor.require(edit)?;
    let new = new(asking, edit);
    let (intent, before) = match db.begin_edit(user, &new).await? {
        Begun::Done(user) => return Ok(Edited::synced(*user)),
        Begun::AskClerk(intent, user) => (intent, *user),
        Begun::Refused(refusal) => return Err(refused(refusal)),
    };
    let seen = change_in_clerk(clerk, db, &intent, edit, deadline).await?;
    Ok(match write_down(db, &intent, &seen).await {
        Some(user) => Edited::synced(user),
        None => Edited::pending(before, &seen),
    })
}

/// Edits a user in Clerk, who may have no row yet; the row follows from what Clerk answers.
pub async fn edit_in_clerk(
    clerk: &clerk::Client,
    db: &Db,
    editor: &Editor,
    user: &ClerkUserId,
    edit: &ProfileEdit,
    deadline: Instant,
) -> Result<EditedInClerk> {
    let asking = editor.require(edit)?;
    let intent = db.begin_edit_in_clerk(user, &new(asking, edit)).await?;
    // Who was deleted is in Clerk no more.
    let intent = intent.ok_or(clerk::Error::NotFound { trace_id: None })?;
    let seen = change_in_clerk(clerk, db, &intent, edit, deadline).await?;
    let database_sync = match write_down(db, &intent, &seen).await {
        Some(_) => DatabaseSync::Synced,
        None => DatabaseSync::Pending,
    };
    Ok(EditedInClerk {
        user: seen,
        database_sync,
    })
}

/// Settles edits that nobody closed, by reading Clerk: which of them it shows.
pub(super) async fn settle_edits(
    clerk: &clerk::Client,
    db: &Db,
    until: Instant,
) -> Result<Refetched, db::Error> {
    let mut refetched = Refetched::default();
    let open = db.edits_to_settle(SETTLE_BATCH).await?;
    if open.is_empty() {
        return Ok(refetched);
    }
    let mut ids: Vec<_> = open.iter().map(|edit| edit.clerk_id.clone()).collect();
    ids.sort();
    ids.dedup();
    let Read { seen, silent } = refetch::read_users(clerk, &ids, until, &mut refetched).await;
    let sightings: Vec<_> = seen.iter().map(sighting_of_user).collect();
    let applied = apply::apply_each(db, &sightings, Check::No).await?;
    // What lags behind what we know, or cannot be kept, proves nothing.
    let is_settled = |applied: &Option<apply::users::Applied>| {
        applied.is_some_and(|applied| applied.outcome != Applied::Doubtful)
    };
    let seen: HashMap<_, _> = seen
        .iter()
        .zip(&applied)
        .filter(|(_, applied)| is_settled(applied))
        .map(|(user, _)| (&user.id, user))
        .collect();
    let is_answered = |edit: &&Open| {
        let is_unknown = !seen.contains_key(&edit.clerk_id);
        !(silent.contains(&edit.clerk_id) || is_unknown && is_young(edit))
    };
    let (answered, unanswered): (Vec<_>, Vec<_>) = open.iter().partition(is_answered);
    let closings: Vec<_> = answered
        .iter()
        .map(|edit| closing(edit, seen.get(&edit.clerk_id).copied()))
        .collect();
    if !closings.is_empty() {
        db.close_edits(&closings).await?;
    }
    if !unanswered.is_empty() {
        let ids: Vec<i64> = unanswered.iter().map(|edit| edit.id).collect();
        db.put_off_edits(&ids).await?;
    }
    refetched.n_done = closings.len();
    refetched.n_unanswered = unanswered.len();
    Ok(refetched)
}

/// Of a user whom Clerk does not show, it may be asked again: another key, or a list that lags.
fn is_young(edit: &Open) -> bool {
    Timestamp::now().duration_since(edit.created_at) < PATIENCE
}

fn closing(edit: &Open, seen: Option<&clerk::User>) -> Closing {
    let has_password = edit.has_password();
    let is_done = seen.is_some_and(|seen| {
        evidence::shows(seen, &edit.columns, has_password, edit.password_changed_at)
    });
    let outcome = if is_done {
        Outcome::Done
    } else {
        Outcome::NotDone
    };
    tracing::info!(
        edit.id = edit.id,
        user.clerk_id = %edit.clerk_id,
        is_done,
        "nobody had said what became of an edit, and Clerk was asked"
    );
    Closing {
        id: edit.id,
        outcome,
    }
}

impl Editor {
    /// The caller, if they may make this edit.
    fn require(&self, edit: &ProfileEdit) -> Result<&Asking> {
        match self {
            Self::Admin(asking) => Ok(asking),
            Self::Themself(asking) if edit.is_about_names() => Ok(asking),
            Self::Themself(_) => Err(ADMIN_REQUIRED),
        }
    }
}

impl ProfileEdit {
    fn is_about_names(&self) -> bool {
        let Self { columns, password } = self;
        let Columns {
            first_name: _,
            last_name: _,
            email,
            builder_group_id,
            public_metadata,
        } = columns;
        password.is_none()
            && email.is_none()
            && builder_group_id.is_none()
            && public_metadata.is_none()
    }

    /// What goes into one call, which Clerk carries out whole or not at all.
    fn patch(&self) -> Option<UserPatch> {
        let patch = UserPatch {
            first_name: self.columns.first_name.clone(),
            last_name: self.columns.last_name.clone(),
            password: self.password.clone(),
            ..UserPatch::default()
        };
        (patch != UserPatch::default()).then_some(patch)
    }
}

impl Edited {
    fn synced(user: Shown) -> Self {
        Self {
            user,
            database_sync: DatabaseSync::Synced,
        }
    }

    fn pending(before: Shown, seen: &clerk::User) -> Self {
        Self {
            user: before.with_names(seen.first_name.clone(), seen.last_name.clone()),
            database_sync: DatabaseSync::Pending,
        }
    }
}

fn new<'a>(asking: &'a Asking, edit: &'a ProfileEdit) -> New<'a> {
    New {
        columns: &edit.columns,
        has_password: edit.password.is_some(),
        actor: &asking.clerk_id,
        request_id: &asking.request_id,
    }
}

/// Tells Clerk, and answers with the user after it; whatever else happens, the intent is closed, or
/// left for `reconcile`.
async fn change_in_clerk(
    clerk: &clerk::Client,
    db: &Db,
    intent: &Intent,
    edit: &ProfileEdit,
    deadline: Instant,
) -> Result<clerk::User> {
    let before = match edit.password {
        Some(_) => match look_before(clerk, db, intent, deadline).await {
            Err(Error::Clerk(error)) => return Err(not_done(db, intent, edit, error, None).await),
            before => Some(before?),
        },
        None => None,
    };
    let mut seen = None;
    let error = match tell(clerk, &intent.clerk_id, edit, &mut seen, deadline).await {
        Ok(user) => return Ok(user),
        Err(error) => error,
    };
    if !error.is_outcome_unknown() {
        return Err(not_done(db, intent, edit, error, seen).await);
    }
    let asked = ask_what_became_of_it(clerk, intent, edit, before, deadline);
    asked.await.ok_or(Error::Unknown(error))
}

/// When Clerk last changed the password, kept before it is asked to change it again: nothing else can
/// tell afterwards whether it did.
async fn look_before(
    clerk: &clerk::Client,
    db: &Db,
    intent: &Intent,
    deadline: Instant,
) -> Result<i64> {
    let budget = budget(deadline, READ_TIMEOUT);
    let seen = clerk.user(&intent.clerk_id, budget).await?;
    let at = evidence::password_changed_at(&seen);
    db.keep_password_changed_at(intent.id, at).await?;
    Ok(at)
}

/// Clerk did not do it, or only the first part of it: the intent is closed, and the caller told why.
async fn not_done(
    db: &Db,
    intent: &Intent,
    edit: &ProfileEdit,
    error: clerk::Error,
    seen: Option<clerk::User>,
) -> Error {
    let was_partial = seen.is_some();
    let outcome = if error.is_away() {
        Outcome::NotDone
    } else {
        Outcome::Refused
    };
    if let Err(error) = give_up(db, intent, outcome, seen).await {
        tracing::warn!(
            error = chain(&error),
            edit.id = intent.id,
            "an edit that Clerk did not do could not be closed; the next reconcile closes it"
        );
    }
    let refused = refused_by_clerk(error, edit.password.as_ref());
    if was_partial {
        return Error::Partial(Box::new(refused));
    }
    refused
}

/// Makes the calls, metadata first: it is what Clerk may refuse. `seen` is what it answered last.
async fn tell(
    clerk: &clerk::Client,
    id: &ClerkUserId,
    edit: &ProfileEdit,
    seen: &mut Option<clerk::User>,
    deadline: Instant,
) -> Result<clerk::User, clerk::Error> {
    if let Some(metadata) = &edit.columns.public_metadata {
        let budget = budget(deadline, CHANGE_TIMEOUT);
        *seen = Some(clerk.merge_metadata(id, metadata, budget).await?);
    }
    if let Some(patch) = edit.patch() {
        let budget = budget(deadline, CHANGE_TIMEOUT);
        *seen = Some(clerk.patch_user(id, &patch, budget).await?);
    }
    // An edit of nothing is refused long before.
    seen.take().ok_or(clerk::Error::NotFound { trace_id: None })
}

/// Clerk gave no answer to a change: it is read, and shows whether it was made. If not, it may be
/// made yet, and `reconcile` looks again.
async fn ask_what_became_of_it(
    clerk: &clerk::Client,
    intent: &Intent,
    edit: &ProfileEdit,
    password_changed_at: Option<i64>,
    deadline: Instant,
) -> Option<clerk::User> {
    let budget = budget(deadline, READ_TIMEOUT);
    let seen = clerk.user(&intent.clerk_id, budget).await.ok()?;
    let has_password = edit.password.is_some();
    evidence::shows(&seen, &edit.columns, has_password, password_changed_at).then_some(seen)
}

/// Clerk did not do it: what it did before that is written, and the intent closed.
async fn give_up(
    db: &Db,
    intent: &Intent,
    outcome: Outcome,
    seen: Option<clerk::User>,
) -> Result<(), db::Error> {
    if let Some(seen) = seen {
        apply::apply_one(db, Sighting::of(&seen, Origin::Answer), Check::No).await?;
    }
    let closing = Closing {
        id: intent.id,
        outcome,
    };
    db.close_edits(&[closing]).await
}

/// Writes what Clerk answered, closes the intent, and shows the user after it; none where the row can
/// only follow later, which `reconcile` sees to.
async fn write_down(db: &Db, intent: &Intent, seen: &clerk::User) -> Option<Shown> {
    try_to_write_down(db, intent, seen)
        .await
        .unwrap_or_else(|error| {
            tracing::warn!(
                error = chain(&error),
                edit.id = intent.id,
                user.clerk_id = %intent.clerk_id,
                "Clerk has an edit and the database does not; the next reconcile writes it"
            );
            None
        })
}

async fn try_to_write_down(
    db: &Db,
    intent: &Intent,
    seen: &clerk::User,
) -> Result<Option<Shown>, db::Error> {
    let applied = apply::apply_one(db, Sighting::of(seen, Origin::Answer), Check::No).await?;
    let closing = Closing {
        id: intent.id,
        outcome: Outcome::Done,
    };
    let shown = db.close_edit(&intent.clerk_id, closing).await?;
    // Where the row has moved to another account meanwhile (R12), this one has a tombstone.
    let is_theirs = |user: &Shown| user.state != State::Deleted;
    Ok(shown.filter(|user| is_theirs(user) && applied.outcome != Applied::Doubtful))
}

fn refused(refusal: Refusal) -> Error {
    match refusal {
        Refusal::NotFound => Error::NO_SUCH_USER,
        Refusal::EmailTaken => super::email_change::EMAIL_TAKEN,
        Refusal::RequiresInvitation => Error::RequiresInvitation,
        Refusal::PasswordRequiresClerk => Error::unprocessable(
            "password_requires_clerk",
            "This user has no Clerk account, and so no password. They choose one when they sign up.",
            "password",
        ),
    }
}

/// What Clerk's refusal means to whoever asked for it.
pub(super) fn refused_by_clerk(error: clerk::Error, password: Option<&clerk::Password>) -> Error {
    if error.is_password_refused() {
        return password_refused(&error, password);
    }
    if error.is_managed_by_directory() {
        return Error::Conflict {
            code: "profile_owned_by_directory",
            message: "The profile comes from the user's directory. Change it there.",
        };
    }
    match error {
        clerk::Error::Refused {
            status: 422,
            message,
            param,
            ..
        } => Error::InvalidUpdate {
            detail: if message.is_empty() || repeats(&message, password) {
                "Clerk does not take one of the values.".to_owned()
            } else {
                message
            },
            fields: param.as_deref().map(camel_case).into_iter().collect(),
        },
        error => Error::Clerk(error),
    }
}

/// What Clerk has against a password, in its own words.
fn password_refused(error: &clerk::Error, password: Option<&clerk::Password>) -> Error {
    let code = match error.code() {
        Some("form_password_length_too_short") => "password_too_short",
        Some("form_password_length_too_long" | "form_password_size_in_bytes_exceeded") => {
            "password_too_long"
        }
        Some("form_password_pwned") => "password_pwned",
        Some("form_password_matches_identifier") => "password_matches_identifier",
        Some("form_password_not_strong_enough") => "password_too_weak",
        _ => "password_refused",
    };
    let said = match error {
        clerk::Error::Refused { message, .. } => message.as_str(),
        _ => "",
    };
    let message = if said.is_empty() || repeats(said, password) {
        "Clerk does not take this password. Choose another one."
    } else {
        said
    };
    Error::unprocessable(code, message, "password")
}

/// Whether a password is in what Clerk said: then nobody is told.
fn repeats(said: &str, password: Option<&clerk::Password>) -> bool {
    let password = password.map_or("", clerk::Password::expose);
    !password.is_empty() && said.contains(password)
}

/// A field of Clerk's as it is called here.
fn camel_case(name: &str) -> String {
    let mut words = name.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |name, word| {
        let mut letters = word.chars();
        let initial = letters.next().map(|letter| letter.to_ascii_uppercase());
        name + &initial.into_iter().chain(letters).collect::<String>()
    })
}

/// At most so long, and so that time is left to write the answer.
pub(super) fn budget(deadline: Instant, at_most: Duration) -> Budget {
    let time_left = deadline.saturating_duration_since(Instant::now());
    Budget::once(at_most.min(time_left.saturating_sub(ANSWER_TIME)))
}

#[cfg(test)]
mod tests;
