//! Looks after changes of address whose time has come: what became of the invitation, and what is
//! left to do after the move.

use std::time::Instant;

use uuid::Uuid;

use super::{CALL_TIMEOUT, address, budget, finish, invited, is_over, is_same};
use crate::clerk::{self, Invitation};
use crate::db::email_changes::{Change, Due, End, State};
use crate::db::{self, Check, Db};
use crate::sync::apply;
use crate::sync::refetch::{Refetched, sighting_of_user};
use crate::telemetry::chain;
use crate::{Error, Result};

/// How many changes are listed at once.
const BATCH: i64 = 20;

/// Settles some of what is due, while there is time.
pub(in crate::sync) async fn settle_email_changes(
    clerk: &clerk::Client,
    db: &Db,
    until: Instant,
) -> Result<Refetched, db::Error> {
    let mut settled = Refetched::default();
    for due in db.due_email_changes(BATCH).await? {
        if settled.must_wait || Instant::now() + CALL_TIMEOUT > until {
            break;
        }
        let result = Box::pin(settle(clerk, db, &due, until)).await;
        note(db, due.change.id, result, &mut settled).await?;
    }
    Ok(settled)
}

/// Does what follows a move, as soon as it is written.
pub(in crate::sync) async fn finish_at_once(
    clerk: &clerk::Client,
    db: &Db,
    id: Uuid,
    until: Instant,
) -> Result<(), db::Error> {
    let result = Box::pin(finish_if_free(clerk, db, id, until)).await;
    note(db, id, result, &mut Refetched::default()).await
}

/// Settles one change, and fails as Clerk does.
pub(super) async fn settle_by_id(
    clerk: &clerk::Client,
    db: &Db,
    id: Uuid,
    until: Instant,
) -> Result<()> {
    match db.email_change(id).await? {
        Some(due) => settle(clerk, db, &due, until).await,
        None => Ok(()),
    }
}

/// Counts what came of a change; if it could not be settled yet, that is noted, and it is put off.
async fn note(
    db: &Db,
    id: Uuid,
    result: Result<()>,
    settled: &mut Refetched,
) -> Result<(), db::Error> {
    let error = match result {
        Ok(()) => {
            settled.n_done += 1;
            return Ok(());
        }
        Err(Error::Db(error)) => return Err(error),
        Err(error) => error,
    };
    settled.n_unanswered += 1;
    let cause = error.clerk();
    settled.must_wait |= cause.is_some_and(|it| it.retry_after().is_some());
    let code = cause.and_then(clerk::Error::code);
    let code = code.unwrap_or_else(|| error.status_and_code().1);
    tracing::warn!(
        error = chain(&error),
        email_change.id = %id,
        "a change of address could not be settled; it is tried again later"
    );
    db.put_off_email_change(id, Some(code)).await
}

async fn settle(clerk: &clerk::Client, db: &Db, due: &Due, until: Instant) -> Result<()> {
    match due.change.state {
        State::Requested | State::Invited => settle_open(clerk, db, due, until).await,
        State::Moved => finish_if_free(clerk, db, due.change.id, until).await,
        State::Done | State::Revoked | State::Expired | State::Failed => Ok(()),
    }
}

/// What became of the invitation.
async fn settle_open(clerk: &clerk::Client, db: &Db, due: &Due, until: Instant) -> Result<()> {
    let change = &due.change;
    let invitation = invitation(clerk, change, until).await?;
    let status = invitation.as_ref().map(|it| it.status.as_str());
    let may_come = change.state == State::Requested && !due.is_overdue && invitation.is_none();
    if may_come {
        // The request that asks for it may still be under way.
        return Ok(db.put_off_email_change(change.id, None).await?);
    }
    if due.is_user_out || due.has_address {
        if let (Some("pending"), Some(invitation)) = (status, &invitation) {
            clerk
                .revoke_invitation(&invitation.id, budget(until))
                .await?;
        }
        let reason = if due.is_user_out {
            "user_out"
        } else {
            "has_address"
        };
        return end(db, change, End::Failed(reason)).await;
    }
    match (status, &invitation) {
        (Some("pending"), Some(invitation)) => {
            invited(db, change.id, invitation).await?;
            Ok(())
        }
        (Some("accepted"), Some(invitation)) => {
            // What is looked for from now on ends with the invitation.
            if change.state == State::Requested {
                invited(db, change.id, invitation).await?;
            }
            arrive(clerk, db, change, until).await
        }
        (Some("expired"), _) => end(db, change, End::Expired).await,
        (Some("revoked"), _) => end(db, change, End::Revoked).await,
        // A list that does not show it proves nothing.
        _ if change.state == State::Invited => look_again(db, change, "invitation_not_found").await,
        _ => end(db, change, End::Failed("not_invited")).await,
    }
}

/// The invitation of a change: by its id, or the newest of its address that was made for it.
async fn invitation(
    clerk: &clerk::Client,
    change: &Change,
    until: Instant,
) -> Result<Option<Invitation>, clerk::Error> {
    if let Some(id) = &change.invitation_id {
        // The revoked ones are in a list of their own.
        for status in [None, Some("revoked")] {
            let found = clerk.invitations(id, status, budget(until)).await?;
            if let Some(found) = found.into_iter().find(|it| it.id == *id) {
                return Ok(Some(found));
            }
        }
        return Ok(None);
    }
    let address = address(change);
    let found = clerk.invitations(address, None, budget(until)).await?;
    // One that is over was over before, unless it was made since then.
    let asked_at = change.created_at.as_millisecond();
    let is_for_it = |it: &Invitation| {
        let is_new = it.created_at.is_some_and(|at| at >= asked_at);
        is_same(&it.email_address, address) && (is_new || it.status == "pending")
    };
    Ok(found.into_iter().find(is_for_it))
}

/// Somebody followed the invitation, and we were not told: their account is looked up, and the row
/// moves to it.
async fn arrive(clerk: &clerk::Client, db: &Db, change: &Change, until: Instant) -> Result<()> {
    let address = address(change);
    let users = clerk.users_by_email(address, budget(until)).await?;
    let is_theirs = |user: &&clerk::User| {
        let email = user.primary_email();
        email.is_some_and(|email| email.is_verified && is_same(email.address, address))
    };
    let Some(user) = users.iter().find(is_theirs) else {
        return look_again(db, change, "account_not_found").await;
    };
    let applied = apply::apply_one(db, sighting_of_user(user), Check::No).await?;
    if applied.more.email_change != Some(change.id) {
        // Whose account it is has a row already: two rows are never made one.
        return end(db, change, End::Failed("email_taken")).await;
    }
    finish_if_free(clerk, db, change.id, until).await
}

/// Does what follows a move, unless somebody else does.
async fn finish_if_free(clerk: &clerk::Client, db: &Db, id: Uuid, until: Instant) -> Result<()> {
    match db.lease_move(id).await? {
        Some(due) => finish::finish(clerk, db, &due, until).await,
        None => Ok(()),
    }
}

/// Clerk does not show what there must be: it is looked for again, until the invitation would be over.
async fn look_again(db: &Db, change: &Change, missing: &'static str) -> Result<()> {
    if is_over(change) {
        return end(db, change, End::Failed(missing)).await;
    }
    Ok(db.put_off_email_change(change.id, Some(missing)).await?)
}

/// Ends a change, unless it was ended, or the row moved, meanwhile.
async fn end(db: &Db, change: &Change, end: End) -> Result<()> {
    if db.end_email_change(change.id, end).await?.is_some() {
        tracing::info!(email_change.id = %change.id, ?end, "a change of address led to nothing");
    }
    Ok(())
}
