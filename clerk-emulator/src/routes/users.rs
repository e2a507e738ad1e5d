//! Users and their metadata.

use serde_json::json;

use super::{Answer, Call, ok};
use crate::entities::{User, Verification};
use crate::error::Error;
use crate::ids;
use crate::instance::{Instance, email_address};
use crate::metadata::{self, BAGS};
use crate::params::{Field, Params, parse_email};
use crate::passwords::Policy;
use crate::store::listing;

const LOCKOUT_SECONDS: i64 = 3600;

/// What an update may name.
pub(crate) const UPDATABLE: [&str; 24] = [
    "external_id",
    "first_name",
    "last_name",
    "locale",
    "primary_email_address_id",
    "notify_primary_email_address_changed",
    "primary_phone_number_id",
    "primary_web3_wallet_id",
    "username",
    "profile_image_id",
    "password",
    "password_digest",
    "password_hasher",
    "skip_password_checks",
    "sign_out_of_other_sessions",
    "totp_secret",
    "backup_codes",
    "delete_self_enabled",
    "create_organization_enabled",
    "create_organizations_limit",
    "legal_accepted_at",
    "skip_legal_checks",
    "created_at",
    "bypass_client_trust",
];

/// What only the directory changes in a user who comes from one.
const NAMES: [&str; 2] = ["first_name", "last_name"];

/// What a creation may name.
const CREATABLE: [&str; 30] = [
    "external_id",
    "first_name",
    "last_name",
    "locale",
    "email_address",
    "email_address_identification_status",
    "phone_number",
    "phone_number_identification_status",
    "web3_wallet",
    "username",
    "password",
    "password_digest",
    "password_hasher",
    "skip_password_checks",
    "skip_password_requirement",
    "totp_secret",
    "backup_codes",
    "public_metadata",
    "private_metadata",
    "unsafe_metadata",
    "delete_self_enabled",
    "legal_accepted_at",
    "skip_legal_checks",
    "skip_user_requirement",
    "create_organization_enabled",
    "create_organizations_limit",
    "created_at",
    "bypass_client_trust",
    "banned",
    "locked",
];

pub(super) fn list(instance: &Instance, call: &Call) -> Answer {
    ok(&listing::page(&instance.store, &call.query)?)
}

pub(super) fn count(instance: &Instance, call: &Call) -> Answer {
    let total_count = listing::count(&instance.store, &call.query)?;
    ok(&json!({ "object": "total_count", "total_count": total_count }))
}

pub(super) fn read(instance: &Instance, id: &str) -> Answer {
    ok(instance.store.user(id)?)
}

pub(super) fn create(instance: &mut Instance, call: &Call) -> Answer {
    let params = call.params()?;
    params.only(&CREATABLE)?;

    let now = instance.now();
    let mut user = User::new(ids::new("user"), now);
    let emails = params.strings("email_address")?.value().unwrap_or_default();
    let statuses = params
        .strings("email_address_identification_status")?
        .value()
        .unwrap_or_default();
    if !statuses.is_empty() && statuses.len() != emails.len() {
        return Err(Error::wrong_value(
            "email_address_identification_status",
            "It must have one item per email address.",
        ));
    }
    for (index, email) in emails.iter().enumerate() {
        let email = parse_email("email_address", email)?;
        let is_reserved = statuses
            .get(index)
            .is_some_and(|status| status == "reserved");
        let mut address = email_address(email, Some(Verification::admin()), now);
        if is_reserved {
            address.verification = None;
            address.reserved = true;
        }
        user.primary_email_address_id
            .get_or_insert_with(|| address.id.clone());
        user.email_addresses.push(address);
    }
    apply_profile(&mut user, &params)?;
    apply_password(&mut user, &params, instance.passwords, now)?;
    metadata::replace_sent(user.bags_mut(), &params)?;
    if let Some(banned) = params.bool("banned")?.value() {
        user.banned = banned;
    }
    if let Some(locked) = params.bool("locked")?.value() {
        set_locked(&mut user, locked);
    }
    ok(&instance.create_user(user)?)
}

pub(super) fn update(instance: &mut Instance, call: &Call, id: &str) -> Answer {
    let params = call.params()?;
    let mut allowed = UPDATABLE.to_vec();
    if call.takes_metadata_in_update {
        allowed.extend(BAGS);
    }
    params.only(&allowed)?;
    let signs_out = params.bool("sign_out_of_other_sessions")? == Field::Is(true);
    let now = instance.now();
    let policy = instance.passwords;
    let user = instance.update_user(id, |user| {
        if user.is_managed_by_directory() && params.names_any(&NAMES) {
            return Err(Error::managed_by_directory());
        }
        apply_profile(user, &params)?;
        apply_password(user, &params, policy, now)?;
        metadata::replace_sent(user.bags_mut(), &params)
    })?;
    if signs_out {
        instance.revoke_sessions(id);
    }
    ok(&user)
}

/// Writes over a user what both creation and update may name.
pub(crate) fn apply_profile(user: &mut User, params: &Params) -> Result<(), Error> {
    params.text("external_id")?.apply(&mut user.external_id);
    params.text("first_name")?.apply(&mut user.first_name);
    params.text("last_name")?.apply(&mut user.last_name);
    params.text("locale")?.apply(&mut user.locale);
    params.text("username")?.apply(&mut user.username);
    params
        .time("legal_accepted_at")?
        .apply(&mut user.legal_accepted_at);
    params
        .int("create_organizations_limit")?
        .apply(&mut user.create_organizations_limit);
    for (name, target) in [
        ("delete_self_enabled", &mut user.delete_self_enabled),
        (
            "create_organization_enabled",
            &mut user.create_organization_enabled,
        ),
        ("bypass_client_trust", &mut user.bypass_client_trust),
    ] {
        if let Some(value) = params.bool(name)?.value() {
            *target = value;
        }
    }
    if let Some(created_at) = params.time("created_at")?.value() {
        user.created_at = created_at;
    }
    if let Some(id) = params.text("primary_email_address_id")?.value() {
        let is_usable = user
            .email_addresses
            .iter()
            .any(|address| address.id == id && address.verification.is_some());
        if !is_usable {
            return Err(Error::wrong_value(
                "primary_email_address_id",
                "It must be a verified email address of this user.",
            ));
        }
        user.primary_email_address_id = Some(id);
    }
    Ok(())
}

/// Notes that a user has a new password, if one was sent that they may take.
/// The user's names and addresses are to be the new ones, since it may be none of them.
pub(crate) fn apply_password(
    user: &mut User,
    params: &Params,
    policy: Policy,
    now: i64,
) -> Result<(), Error> {
    let skips_checks = params.bool("skip_password_checks")? == Field::Is(true);
    let password = params.string("password")?.value();
    let digest = params.text("password_digest")?.value();
    if digest.is_some() && params.text("password_hasher")?.value().is_none() {
        return Err(Error::missing("password_hasher"));
    }
    if let Some(password) = &password
        && !skips_checks
    {
        policy.judge(password, user)?;
    }
    if password.is_some() || digest.is_some() {
        user.password_enabled = true;
        user.password_last_updated_at = Some(now);
    }
    Ok(())
}

pub(super) fn delete(instance: &mut Instance, id: &str) -> Answer {
    if instance.store.user(id)?.is_managed_by_directory() {
        return Err(Error::managed_by_directory());
    }
    ok(&instance.delete_user(id)?)
}

pub(super) fn merge_metadata(instance: &mut Instance, call: &Call, id: &str) -> Answer {
    let params = call.params()?;
    params.only(&BAGS)?;
    ok(&instance.update_user(id, |user| metadata::merge_sent(user.bags_mut(), &params))?)
}

pub(super) fn replace_metadata(instance: &mut Instance, call: &Call, id: &str) -> Answer {
    let params = call.params()?;
    params.only(&BAGS)?;
    ok(&instance.update_user(id, |user| metadata::replace_sent(user.bags_mut(), &params))?)
}

pub(super) fn ban(instance: &mut Instance, id: &str) -> Answer {
    let user = instance.update_user(id, |user| {
        user.banned = true;
        Ok(())
    })?;
    instance.revoke_sessions(id);
    ok(&user)
}

pub(super) fn unban(instance: &mut Instance, id: &str) -> Answer {
    ok(&instance.update_user(id, |user| {
        user.banned = false;
        Ok(())
    })?)
}

pub(super) fn lock(instance: &mut Instance, id: &str) -> Answer {
    ok(&instance.update_user(id, |user| {
        set_locked(user, true);
        Ok(())
    })?)
}

pub(super) fn unlock(instance: &mut Instance, id: &str) -> Answer {
    ok(&instance.update_user(id, |user| {
        set_locked(user, false);
        Ok(())
    })?)
}

fn set_locked(user: &mut User, locked: bool) {
    user.locked = locked;
    user.lockout_expires_in_seconds = locked.then_some(LOCKOUT_SECONDS);
}
