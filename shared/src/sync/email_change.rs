//! New addresses for users who have a Clerk account (R12).
//!
//! Clerk takes no address that nobody has verified, so the address is invited; whoever follows the
//! invitation has an account of their own, and the row moves to it (`merge`). Then the old account
//! is removed, and the new one gets what it lacks ([`finish`]).

mod finish;
mod settle;

use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::Admin;
use super::edit::{self, refused_by_clerk};
use crate::clerk::{self, Budget, Invitation, NewInvitation};
use crate::db::email_changes::{Change, End, New, Refusal, Requested, Shown, State};
use crate::db::{self, Db};
use crate::ids::UserRef;
use crate::telemetry::chain;
use crate::{Error, Result};

pub(super) use settle::{finish_at_once, settle_email_changes};

/// How long one call to Clerk may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(4);
/// How often a wish is tried again that was overtaken by another.
const N_TRIES: u32 = 3;

/// Another user has the address.
pub(super) const EMAIL_TAKEN: Error = Error::Conflict {
    code: "email_taken",
    message: "Another user has this address, or is invited to it.",
};

const NO_EMAIL_CHANGE: Error = Error::NotFound {
    code: "email_change_not_found",
    message: "No other address was asked for.",
};

const UNDER_WAY: Error = Error::Conflict {
    code: "email_change_in_progress",
    message: "An earlier change of this user's address is still under way. Ask again in half a minute.",
};

const ACCEPTED: Error = Error::Conflict {
    code: "invitation_accepted",
    message: "The invited person has signed up already; the user is moving to the new account.",
};

/// Asks Clerk to invite a user's new address.
///
/// A second wish for the same address finds the first one; one for another address takes its place.
/// While nobody knows whether Clerk has sent an invitation, no other one is sent.
pub async fn request_email_change(
    clerk: &clerk::Client,
    db: &Db,
    admin: &Admin,
    user: &UserRef,
    email: &str,
    deadline: Instant,
) -> Result<Shown> {
    let new = New {
        email,
        actor: &admin.asking.clerk_id,
        request_id: &admin.asking.request_id,
    };
    for _ in 0..N_TRIES {
        match db.request_email_change(user, &new).await? {
            Requested::Recorded(change, metadata) => {
                let change = invite(clerk, db, *change, metadata, deadline).await?;
                return Ok(change.into());
            }
            Requested::Invited(change) if !is_over(&change) => return Ok((*change).into()),
            Requested::Unanswered(change) | Requested::Invited(change) => {
                settle::settle_by_id(clerk, db, change.id, deadline).await?;
            }
            Requested::Moving(change) => finish_at_once(clerk, db, change.id, deadline).await?,
            Requested::Other(change) => {
                take_back(clerk, db, &change, deadline).await?;
            }
            Requested::Refused(refusal) => return Err(refused(refusal)),
        }
    }
    Err(UNDER_WAY)
}

/// The last change of address of a user.
pub async fn show_email_change(db: &Db, user: &UserRef) -> Result<Shown> {
    let change = db.email_change_of(user).await?;
    change.map(Into::into).ok_or(NO_EMAIL_CHANGE)
}

/// Takes the invitation of a user's new address back.
pub async fn revoke_email_change(
    clerk: &clerk::Client,
    db: &Db,
    user: &UserRef,
    deadline: Instant,
) -> Result<Shown> {
    let change = db.email_change_of(user).await?.ok_or(NO_EMAIL_CHANGE)?;
    match change.state {
        State::Requested | State::Invited => {}
        State::Moved | State::Done => return Err(ACCEPTED),
        State::Revoked | State::Expired | State::Failed => return Err(NO_EMAIL_CHANGE),
    }
    let change = take_back(clerk, db, &change, deadline).await?;
    tracing::info!(email_change.id = %change.id, "took an invitation back");
    Ok(change.into())
}

/// Sends the invitation, and notes that it was sent.
async fn invite(
    clerk: &clerk::Client,
    db: &Db,
    change: Change,
    public_metadata: Map<String, Value>,
    deadline: Instant,
) -> Result<Change> {
    let address = address(&change);
    let invitation = NewInvitation {
        email_address: address.to_owned(),
        public_metadata,
        ..NewInvitation::default()
    };
    let error = match clerk.create_invitation(&invitation, budget(deadline)).await {
        Ok(invitation) => return note(clerk, db, change, &invitation, deadline).await,
        Err(error) => error,
    };
    let is_there = error.is_outcome_unknown() || error.code() == Some("duplicate_record");
    if is_there {
        let found = find_open(clerk, address, deadline).await;
        return match found {
            Ok(Some(invitation)) => note(clerk, db, change, &invitation, deadline).await,
            // It may yet arrive: the next reconcile looks again.
            _ => Err(Error::Unknown(error)),
        };
    }
    let is_taken = error.code() == Some("form_identifier_exists");
    let reason = if is_taken {
        "email_taken"
    } else {
        "not_invited"
    };
    db.end_email_change(change.id, End::Failed(reason)).await?;
    if is_taken {
        return Err(EMAIL_TAKEN);
    }
    Err(refused_by_clerk(error, None))
}

/// Notes the invitation that was sent. If the change was closed meanwhile, it is taken back.
async fn note(
    clerk: &clerk::Client,
    db: &Db,
    change: Change,
    invitation: &Invitation,
    deadline: Instant,
) -> Result<Change> {
    if let Some(change) = invited(db, change.id, invitation).await? {
        return Ok(change);
    }
    if let Err(error) = clerk
        .revoke_invitation(&invitation.id, budget(deadline))
        .await
        && !error.is_permanent()
    {
        tracing::error!(
            error = chain(&error),
            email_change.id = %change.id,
            "an invitation that nobody waits for any more could not be taken back"
        );
    }
    let due = db.email_change(change.id).await?.ok_or(NO_EMAIL_CHANGE)?;
    match due.change.state {
        State::Requested | State::Invited | State::Moved | State::Done => Ok(due.change),
        State::Revoked | State::Expired | State::Failed => Err(Error::Conflict {
            code: "email_change_revoked",
            message: "The change was taken back by somebody else meanwhile.",
        }),
    }
}

/// Revokes the invitation in Clerk, and then ends the change.
async fn take_back(
    clerk: &clerk::Client,
    db: &Db,
    change: &Change,
    deadline: Instant,
) -> Result<Change> {
    let invitation_id = match &change.invitation_id {
        Some(id) => Some(id.clone()),
        None => find_open(clerk, address(change), deadline)
            .await?
            .map(|invitation| invitation.id),
    };
    let Some(id) = invitation_id else {
        return forget(db, change).await;
    };
    let Err(error) = clerk.revoke_invitation(&id, budget(deadline)).await else {
        return end_as_revoked(db, change).await;
    };
    if error.is_outcome_unknown() {
        return Err(Error::Unknown(error));
    }
    if !error.is_permanent() {
        return Err(error.into());
    }
    // It is no longer open: how it ended decides.
    let settled = settle::settle_by_id(clerk, db, change.id, deadline).await;
    let due = db.email_change(change.id).await?.ok_or(NO_EMAIL_CHANGE)?;
    let is_open = matches!(due.change.state, State::Requested | State::Invited);
    if !is_open {
        return led_to_nothing(due.change);
    }
    settled?;
    match error {
        clerk::Error::NotFound { .. } => {
            let end = End::Failed("invitation_not_found");
            db.end_email_change(change.id, end).await?;
            has_ended(db, change).await
        }
        error if error.code() == Some("invitation_already_accepted") => Err(ACCEPTED),
        _ => Err(UNDER_WAY),
    }
}

/// Ends a change for which Clerk shows no invitation, unless that may still be on its way.
async fn forget(db: &Db, change: &Change) -> Result<Change> {
    let due = db.email_change(change.id).await?.ok_or(NO_EMAIL_CHANGE)?;
    if !due.is_overdue {
        return Err(UNDER_WAY);
    }
    end_as_revoked(db, change).await
}

async fn end_as_revoked(db: &Db, change: &Change) -> Result<Change> {
    db.end_email_change(change.id, End::Revoked).await?;
    has_ended(db, change).await
}

async fn has_ended(db: &Db, change: &Change) -> Result<Change> {
    let due = db.email_change(change.id).await?.ok_or(NO_EMAIL_CHANGE)?;
    led_to_nothing(due.change)
}

/// The change, if it has led to nothing; else somebody was invited, and came.
fn led_to_nothing(change: Change) -> Result<Change> {
    match change.state {
        State::Requested | State::Invited => Err(UNDER_WAY),
        State::Moved | State::Done => Err(ACCEPTED),
        State::Revoked | State::Expired | State::Failed => Ok(change),
    }
}

/// The open invitation of an address.
async fn find_open(
    clerk: &clerk::Client,
    address: &str,
    deadline: Instant,
) -> Result<Option<Invitation>, clerk::Error> {
    let open = clerk
        .invitations(address, Some("pending"), budget(deadline))
        .await?;
    Ok(open
        .into_iter()
        .find(|it| is_same(&it.email_address, address)))
}

fn refused(refusal: Refusal) -> Error {
    let conflict = |code, message| Error::Conflict { code, message };
    match refusal {
        Refusal::NotFound => Error::NO_SUCH_USER,
        Refusal::EmailTaken => EMAIL_TAKEN,
        Refusal::NoClerkAccount => conflict(
            "no_clerk_account",
            "This user has no Clerk account: change the address by PATCH /api/users/{userId}.",
        ),
        Refusal::Disabled => conflict(
            "user_disabled",
            "This user is banned or was taken away by their directory. Mend that in Clerk first.",
        ),
        Refusal::SameAddress => conflict("same_email", "This is the user's address already."),
    }
}

/// The address of a change that is open: it is erased with its user only.
fn address(change: &Change) -> &str {
    change.email.as_deref().unwrap_or_default()
}

/// Keeps an invitation that Clerk has sent; none if the change was closed meanwhile.
async fn invited(db: &Db, id: Uuid, invitation: &Invitation) -> Result<Option<Change>, db::Error> {
    let at = |ms: Option<i64>| Timestamp::from_millisecond(ms?).ok();
    let (invited_at, expires_at) = (at(invitation.created_at), at(invitation.expires_at));
    db.email_change_invited(id, &invitation.id, invited_at, expires_at)
        .await
}

fn is_over(change: &Change) -> bool {
    change.expires_at.is_some_and(|at| at <= Timestamp::now())
}

/// Addresses are the same without regard to case, as Clerk and the database have it.
fn is_same(one: &str, other: &str) -> bool {
    one.to_lowercase() == other.to_lowercase()
}

fn budget(deadline: Instant) -> Budget {
    edit::budget(deadline, CALL_TIMEOUT)
}
