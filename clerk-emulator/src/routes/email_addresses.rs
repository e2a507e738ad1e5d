//! E-mail addresses of users. The text of an address never changes.

use super::{Answer, Call, ok};
use crate::entities::{DeletedObject, EmailAddress, User, Verification};
use crate::error::Error;
use crate::instance::{Instance, email_address};
use crate::params::Field;

pub(super) fn read(instance: &Instance, id: &str) -> Answer {
    let user = instance.store.owner_of_address(id)?;
    ok(find(user, id)?)
}

pub(super) fn create(instance: &mut Instance, call: &Call) -> Answer {
    let params = call.params()?;
    let user_id = params.required_string("user_id")?;
    let email = params.email("email_address")?;
    let is_verified = params.bool("verified")? == Field::Is(true);
    let is_primary = params.bool("primary")? == Field::Is(true);
    let is_held = instance.store.owner_of_email(&email).is_some();
    let user = instance.store.user(&user_id)?;
    let is_own = user
        .email_addresses
        .iter()
        .any(|address| address.email_address == email);
    if is_held || is_own {
        return Err(Error::taken("email_address"));
    }

    let address = email_address(email, is_verified.then(Verification::admin), instance.now());
    let id = address.id.clone();
    let user = instance.update_user(&user_id, |user| {
        if user.email_addresses.is_empty() || is_primary {
            user.primary_email_address_id = Some(address.id.clone());
        }
        user.email_addresses.push(address);
        Ok(())
    })?;
    ok(find(&user, &id)?)
}

pub(super) fn update(instance: &mut Instance, call: &Call, id: &str) -> Answer {
    let params = call.params()?;
    let verified = params.bool("verified")?;
    let is_primary = params.bool("primary")? == Field::Is(true);
    let user_id = instance.store.owner_of_address(id)?.id.clone();
    let now = instance.now();
    let user = instance.update_user(&user_id, |user| {
        let address = user
            .email_addresses
            .iter_mut()
            .find(|address| address.id == id)
            .ok_or_else(|| Error::not_found("email address", id))?;
        match verified {
            Field::Is(true) if address.verification.is_none() => {
                address.verification = Some(Verification::admin());
            }
            Field::Is(false) => address.verification = None,
            Field::Is(true) | Field::Null | Field::Absent => {}
        }
        address.updated_at = address.updated_at.max(now);
        if is_primary {
            user.primary_email_address_id = Some(id.to_owned());
        }
        Ok(())
    })?;
    ok(find(&user, id)?)
}

pub(super) fn delete(instance: &mut Instance, id: &str) -> Answer {
    let user = instance.store.owner_of_address(id)?;
    if user.email_addresses.len() == 1 {
        return Err(Error::bad_request(
            "last_required_identification_deletion_failed",
            "The last email address of a user cannot be deleted.",
        ));
    }
    if !find(user, id)?.linked_to.is_empty() {
        return Err(Error::bad_request(
            "delete_linked_identification_disallowed",
            "The email address is linked to a connected account.",
        ));
    }
    let user_id = user.id.clone();
    instance.update_user(&user_id, |user| {
        user.email_addresses.retain(|address| address.id != id);
        if user.primary_email_address_id.as_deref() == Some(id) {
            let next = user.email_addresses.iter().find(|next| next.is_claimed());
            user.primary_email_address_id = next.map(|next| next.id.clone());
        }
        Ok(())
    })?;
    ok(&DeletedObject::new("email_address", id))
}

/// Leaves a user with this one address, as primary.
pub(super) fn replace(instance: &mut Instance, call: &Call, user_id: &str) -> Answer {
    let params = call.params()?;
    params.only(&[
        "email_address",
        "identification_status",
        "notify_primary_email_address_changed",
    ])?;
    instance.store.user(user_id)?;
    let email = params.email("email_address")?;
    let status = params.text("identification_status")?.value();
    let (verification, reserved) = match status.as_deref().unwrap_or("verified") {
        "verified" => (Some(Verification::admin()), false),
        "reserved" => (None, true),
        "unverified" => (None, false),
        _ => {
            return Err(Error::wrong_value(
                "identification_status",
                "It must be one of verified, reserved, unverified.",
            ));
        }
    };
    let now = instance.now();
    let user = instance.update_user(user_id, |user| {
        set_only_address(user, email, verification, reserved, now)
    })?;
    match user.email_addresses.first() {
        Some(address) => ok(address),
        None => Err(Error::not_found("user", user_id)),
    }
}

/// Puts one address in the place of all others; an address that was there keeps its id.
pub(crate) fn set_only_address(
    user: &mut User,
    email: String,
    verification: Option<Verification>,
    reserved: bool,
    now: i64,
) -> Result<(), Error> {
    if user.email_addresses.iter().any(|a| !a.linked_to.is_empty()) {
        return Err(Error::bad_request(
            "delete_linked_identification_disallowed",
            "An email address is linked to a connected account.",
        ));
    }
    let former = user
        .email_addresses
        .drain(..)
        .find(|address| address.email_address == email);
    let mut address = former.unwrap_or_else(|| email_address(email, None, now));
    address.verification = verification;
    address.reserved = reserved;
    address.updated_at = address.updated_at.max(now);
    user.primary_email_address_id = Some(address.id.clone());
    user.email_addresses.push(address);
    Ok(())
}

fn find<'a>(user: &'a User, id: &str) -> Result<&'a EmailAddress, Error> {
    user.email_addresses
        .iter()
        .find(|address| address.id == id)
        .ok_or_else(|| Error::not_found("email address", id))
}
