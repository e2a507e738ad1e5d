//! What follows when a row has moved to another account: the old account is looked at for the last
//! time and removed, and the new one gets what it lacks. Every step may be repeated.

use std::time::Instant;

use serde_json::{Map, Value};

use super::budget;
use crate::clerk::{self, MembershipList, UserPatch};
use crate::db::email_changes::{Change, Due, State};
use crate::db::memberships::Left;
use crate::db::users::Carry;
use crate::db::{Check, Db, Role};
use crate::ids::ClerkUserId;
use crate::sync::apply;
use crate::sync::refetch::{sighting_of_membership, sighting_of_user};
use crate::sync::role;
use crate::telemetry::chain;
use crate::{Error, Result};

/// Goes through the steps; where Clerk gives no answer, it is called again later.
pub(super) async fn finish(
    clerk: &clerk::Client,
    db: &Db,
    due: &Due,
    until: Instant,
) -> Result<()> {
    let change = &due.change;
    let account = match clerk.user(&due.clerk_id, budget(until)).await {
        Ok(account) => Some(account),
        // Gone, too: what is left is the old account.
        Err(clerk::Error::NotFound { .. }) if due.is_user_deleted => None,
        // A Clerk that does not know the user has no say about the old account.
        Err(error) => return Err(error.into()),
    };
    let carry = match (&change.carry, &account) {
        (Some(carry), Some(account)) if !carry.is_given => {
            let Some(carry) = collect(clerk, db, due, carry, until).await? else {
                return Ok(());
            };
            shut_out(clerk, db, account, &carry, until).await?;
            Some(carry)
        }
        (Some(carry), Some(_)) => Some(carry.clone()),
        _ => None,
    };
    let removed = remove(clerk, change, until).await?;
    if let (Some(carry), Some(account)) = (carry, &account) {
        give(clerk, db, account, &carry, removed.is_ok(), until).await?;
        let carry = Carry {
            is_given: true,
            ..carry
        };
        db.keep_carry(change.id, &carry).await?;
        for left in db.memberships_to_join(change.id).await? {
            join(clerk, db, &account.id, &left, until).await?;
        }
    }
    close_invitation(clerk, change, until).await?;
    removed.map_err(Error::Clerk)?;
    db.finish_email_change(change.id).await?;
    tracing::info!(
        email_change.id = %change.id,
        user.id = %change.user_id,
        user.clerk_id = %due.clerk_id,
        user.old_clerk_id = %change.old_clerk_id,
        "a user is on their new account, and the old one is removed"
    );
    Ok(())
}

/// What Clerk shows of the old account while it is there, kept before it is removed: it may be other
/// than what we had heard of. None if somebody else has gone further meanwhile.
async fn collect(
    clerk: &clerk::Client,
    db: &Db,
    due: &Due,
    stored: &Carry,
    until: Instant,
) -> Result<Option<Carry>> {
    let change = &due.change;
    let carry = match clerk.user(&change.old_clerk_id, budget(until)).await {
        Ok(old) => Carry {
            memberships: Some(memberships(clerk, &old.id, until).await?),
            ..seen_last(old, stored, due)
        },
        Err(clerk::Error::NotFound { .. }) => {
            // Whoever removes it for us keeps this first.
            let now = db.email_change(change.id).await?.map(|due| due.change);
            let moved = now.filter(|now| now.state == State::Moved);
            match moved.and_then(|now| now.carry) {
                None => return Ok(None),
                Some(kept) if kept.is_given || kept.memberships.is_some() => {
                    return Ok(Some(kept));
                }
                Some(_) => nothing_left(stored, due),
            }
        }
        Err(error) => return Err(error.into()),
    };
    let is_kept = db.keep_carry(change.id, &carry).await?;
    Ok(is_kept.then_some(carry))
}

/// Somebody else deleted the old account, and we had not heard of it: what it was allowed is over.
fn nothing_left(stored: &Carry, due: &Due) -> Carry {
    tracing::error!(
        email_change.id = %due.change.id,
        user.id = %due.change.user_id,
        user.old_clerk_id = %due.change.old_clerk_id,
        "the old account of a user who moves was deleted in Clerk: they keep no role and no membership"
    );
    Carry {
        role: (!due.has_new_role).then_some(Role::Student),
        memberships: Some(Vec::new()),
        ..stored.clone()
    }
}

fn seen_last(old: clerk::User, stored: &Carry, due: &Due) -> Carry {
    let is_ours = stored.is_role_ours || due.has_new_role;
    let role = role::given_since(stored.clerk_role.as_deref(), old.role());
    let mut public_metadata = old.public_metadata;
    public_metadata.remove("role");
    Carry {
        first_name: old.first_name,
        last_name: old.last_name,
        external_id: old.external_id.or_else(|| stored.external_id.clone()),
        public_metadata,
        role: role.filter(|_| !is_ours),
        is_banned: old.banned || old.deprovisioned,
        ..stored.clone()
    }
}

async fn memberships(
    clerk: &clerk::Client,
    user: &ClerkUserId,
    until: Instant,
) -> Result<Vec<Left>, clerk::Error> {
    let mut pages = clerk.all_memberships(MembershipList::OfUser(user.clone()), 0);
    let mut left = Vec::new();
    while let Some(page) = pages.next_page(budget(until)).await? {
        left.extend(page.data.into_iter().map(|membership| Left {
            organization: membership.organization.id,
            role: membership.role,
        }));
    }
    Ok(left)
}

/// Nobody leaves a ban behind.
async fn shut_out(
    clerk: &clerk::Client,
    db: &Db,
    account: &clerk::User,
    carry: &Carry,
    until: Instant,
) -> Result<()> {
    if !carry.is_banned || account.banned {
        return Ok(());
    }
    let banned = clerk.ban_user(&account.id, budget(until)).await?;
    apply::apply_one(db, sighting_of_user(&banned), Check::No).await?;
    Ok(())
}

/// Removes the old account. What Clerk refuses for good does not keep the new one from getting what
/// it lacks: that is the inner error.
async fn remove(
    clerk: &clerk::Client,
    change: &Change,
    until: Instant,
) -> Result<Result<(), clerk::Error>> {
    let removed = clerk.delete_user(&change.old_clerk_id, budget(until)).await;
    match removed {
        Ok(_) | Err(clerk::Error::NotFound { .. }) => Ok(Ok(())),
        Err(error) if error.is_permanent() => {
            // Told once, and then at every try less loudly.
            if change.last_error.as_deref() != error.code() {
                tracing::error!(
                    error = chain(&error),
                    code = error.code(),
                    user.clerk_id = %change.old_clerk_id,
                    "Clerk refuses to remove the old account of a user who has moved: somebody has to"
                );
            }
            Ok(Err(error))
        }
        Err(error) => Err(error.into()),
    }
}

/// Gives the new account what the old one had, where it has none: names, metadata, external id; and
/// the role that somebody gave the old one last. All but the external id once: what is there later is
/// newer.
async fn give(
    clerk: &clerk::Client,
    db: &Db,
    account: &clerk::User,
    carry: &Carry,
    is_old_removed: bool,
    until: Instant,
) -> Result<()> {
    let id = &account.id;
    if let Some(metadata) = metadata(carry, account).filter(|_| !carry.is_given) {
        let given = clerk.merge_metadata(id, &metadata, budget(until)).await;
        note(db, id, given).await?;
    }
    if let Some(patch) = patch(carry, account, is_old_removed) {
        let given = clerk.patch_user(id, &patch, budget(until)).await;
        note(db, id, given).await?;
    }
    Ok(())
}

/// What the old account's metadata has otherwise than the new one's, which may be from the invitation
/// and older.
fn metadata(carry: &Carry, account: &clerk::User) -> Option<Map<String, Value>> {
    let is_other = |(key, value): &(&String, &Value)| {
        !value.is_null() && account.public_metadata.get(*key) != Some(value)
    };
    let others = carry.public_metadata.iter().filter(is_other);
    let mut metadata: Map<String, Value> = others
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    if let Some(role) = carry.role {
        metadata.insert("role".to_owned(), role.as_str().into());
    }
    (!metadata.is_empty()).then_some(metadata)
}

fn patch(carry: &Carry, account: &clerk::User, is_old_removed: bool) -> Option<UserPatch> {
    let lacking = |seen: &Option<String>, old: &Option<String>| match seen {
        Some(_) => None,
        None => old.clone().map(Some),
    };
    let patch = UserPatch {
        first_name: lacking(&account.first_name, &carry.first_name).filter(|_| !carry.is_given),
        last_name: lacking(&account.last_name, &carry.last_name).filter(|_| !carry.is_given),
        // No two accounts can have it.
        external_id: lacking(&account.external_id, &carry.external_id).filter(|_| is_old_removed),
        ..UserPatch::default()
    };
    (patch != UserPatch::default()).then_some(patch)
}

/// Writes what Clerk answered; what it refuses for good is told, and the rest goes on.
async fn note(db: &Db, id: &ClerkUserId, given: Result<clerk::User, clerk::Error>) -> Result<()> {
    match given {
        Ok(seen) => {
            apply::apply_one(db, sighting_of_user(&seen), Check::No).await?;
            Ok(())
        }
        Err(error) if error.is_permanent() => {
            tracing::error!(
                error = chain(&error),
                code = error.code(),
                user.clerk_id = %id,
                "Clerk does not let a user who has moved have what they had"
            );
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}

/// Makes the new account a member of an organization that the old one was in.
async fn join(
    clerk: &clerk::Client,
    db: &Db,
    user: &ClerkUserId,
    left: &Left,
    until: Instant,
) -> Result<()> {
    let Left { organization, role } = left;
    let made = clerk.create_membership(organization, user, role, budget(until));
    match made.await {
        Ok(membership) => {
            if let Some(sighting) = sighting_of_membership(&membership) {
                apply::apply_one(db, sighting, Check::No).await?;
            }
            Ok(())
        }
        Err(error) if error.is_already_member() => Ok(()),
        Err(error) if error.is_permanent() => {
            tracing::error!(
                error = chain(&error),
                code = error.code(),
                user.clerk_id = %user,
                organization.clerk_id = %organization,
                "Clerk does not let a user who has moved into an organization that they were in"
            );
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}

/// Whoever signed up without the link leaves the invitation open.
async fn close_invitation(clerk: &clerk::Client, change: &Change, until: Instant) -> Result<()> {
    let Some(id) = &change.invitation_id else {
        return Ok(());
    };
    match clerk.revoke_invitation(id, budget(until)).await {
        Ok(_) => Ok(()),
        // It was followed, or is over.
        Err(error) if error.is_permanent() => Ok(()),
        Err(error) => Err(error.into()),
    }
}
