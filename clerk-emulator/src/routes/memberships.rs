//! Memberships of users in organizations.

use super::organizations::bag;
use super::{Answer, Call, Page, ok};
use crate::entities::Membership;
use crate::error::Error;
use crate::instance::{Instance, NewMember};
use crate::metadata::{self, ORGANIZATION_BAGS};
use crate::store::listing::organizations::{self as listing, Listed};

/// The members of an organization.
pub(super) fn list(instance: &Instance, call: &Call, id: &str) -> Answer {
    instance.store.organizations.get(id)?;
    page(
        instance,
        &listing::members(&instance.store, id, &call.query)?,
    )
}

/// All memberships of the instance.
pub(super) fn list_all(instance: &Instance, call: &Call) -> Answer {
    page(
        instance,
        &listing::memberships(&instance.store, &call.query)?,
    )
}

/// The organizations of a user.
pub(super) fn list_of_user(instance: &Instance, call: &Call, user_id: &str) -> Answer {
    instance.store.user(user_id)?;
    page(
        instance,
        &listing::memberships_of(&instance.store, user_id, &call.query)?,
    )
}

pub(super) fn create(instance: &mut Instance, call: &Call, id: &str) -> Answer {
    let params = call.params()?;
    params.only(&["user_id", "role", "public_metadata", "private_metadata"])?;
    let user_id = params.required_string("user_id")?;
    let role = params.required_string("role")?;
    let mut new = NewMember::new(&user_id, &role);
    if let Some(sent) = bag(&params, "public_metadata")? {
        new.public_metadata = sent;
    }
    if let Some(sent) = bag(&params, "private_metadata")? {
        new.private_metadata = sent;
    }
    let membership = instance.add_member(id, new)?;
    show(instance, &membership)
}

pub(super) fn update(instance: &mut Instance, call: &Call, id: &str, user_id: &str) -> Answer {
    let params = call.params()?;
    params.only(&["role"])?;
    let role = params.required_string("role")?;
    let membership = instance.update_membership(id, user_id, |membership| {
        membership.role = role;
        Ok(())
    })?;
    show(instance, &membership)
}

pub(super) fn merge_metadata(
    instance: &mut Instance,
    call: &Call,
    id: &str,
    user_id: &str,
) -> Answer {
    let params = call.params()?;
    params.only(&ORGANIZATION_BAGS)?;
    let membership = instance.update_membership(id, user_id, |membership| {
        metadata::merge_sent(membership.bags_mut(), &params)
    })?;
    show(instance, &membership)
}

/// Answers the membership as it was.
pub(super) fn delete(instance: &mut Instance, id: &str, user_id: &str) -> Answer {
    let membership = instance.remove_member(id, user_id)?;
    show(instance, &membership)
}

fn show(instance: &Instance, membership: &Membership) -> Answer {
    ok(&instance.store.view(membership)?)
}

fn page(instance: &Instance, found: &Listed<'_, Membership>) -> Answer {
    let views = found
        .items
        .iter()
        .map(|membership| instance.store.view(membership))
        .collect::<Result<Vec<_>, Error>>()?;
    ok(&Page {
        data: views,
        total_count: found.total,
    })
}
