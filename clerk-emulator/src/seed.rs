//! Users and organizations written by hand: for seeds, for tests, for what somebody does in the dashboard.

mod demo;
mod fill;
mod organizations;

pub(crate) use demo::{add_crowd, demo};
pub use fill::Fill;
pub(crate) use fill::fill;
pub(crate) use organizations::{NewOrganization, edit_member, edit_organization};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::entities::{Bag, Scim, User, Verification};
use crate::error::Error;
use crate::ids;
use crate::instance::{Instance, email_address};
use crate::metadata::{self, BAGS};
use crate::params::{Params, parse_email};
use crate::routes::{set_only_address, users};

/// A user to be; everything is optional.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct NewUser {
    id: Option<String>,
    email: Option<String>,
    /// Is the e-mail address proven? Yes, unless it says no.
    verified: Option<bool>,
    first_name: Option<String>,
    last_name: Option<String>,
    username: Option<String>,
    external_id: Option<String>,
    image_url: Option<String>,
    locale: Option<String>,
    /// A short way to write `public_metadata.role`.
    role: Option<String>,
    public_metadata: Option<Bag>,
    private_metadata: Option<Bag>,
    unsafe_metadata: Option<Bag>,
    banned: bool,
    locked: bool,
    password_enabled: bool,
    /// The directory that the user comes from.
    scim: Option<Scim>,
    created_at: Option<i64>,
    updated_at: Option<i64>,
    last_sign_in_at: Option<i64>,
}

impl NewUser {
    /// Reads a user to be.
    pub(crate) fn parse(value: Value) -> Result<Self, Error> {
        parse(value)
    }

    /// Adds the user to the instance.
    pub(crate) fn create(self, instance: &mut Instance) -> Result<User, Error> {
        let created_at = self.created_at.unwrap_or_else(|| instance.now());
        let mut user = User::new(self.id.unwrap_or_else(|| ids::new("user")), created_at);
        if instance.store.user(&user.id).is_ok() {
            return Err(Error::taken("id"));
        }
        user.updated_at = self.updated_at.unwrap_or(created_at);
        if let Some(email) = self.email {
            let email = parse_email("email", &email)?;
            let is_verified = self.verified.unwrap_or(true);
            let address = email_address(email, is_verified.then(Verification::admin), created_at);
            user.primary_email_address_id = Some(address.id.clone());
            user.email_addresses.push(address);
        }
        user.first_name = self.first_name;
        user.last_name = self.last_name;
        user.username = self.username;
        user.external_id = self.external_id;
        user.locale = self.locale;
        user.last_sign_in_at = self.last_sign_in_at;
        user.banned = self.banned;
        user.locked = self.locked;
        user.password_enabled = self.password_enabled;
        user.scim = self.scim;
        if let Some(url) = self.image_url {
            user.image_url.clone_from(&url);
            user.profile_image_url = url;
            user.has_image = true;
        }
        for (bag, target) in [
            (self.public_metadata, &mut user.public_metadata),
            (self.private_metadata, &mut user.private_metadata),
            (self.unsafe_metadata, &mut user.unsafe_metadata),
        ] {
            if let Some(bag) = bag {
                *target = Value::Object(bag);
            }
        }
        if let Some(role) = self.role {
            metadata::merge(&mut user.public_metadata, &json!({ "role": role }));
        }
        instance.create_user(user)
    }
}

/// What somebody changes in the dashboard: fields of an update, plus bags to merge, plus
/// `email`, `verified`, `banned`, `locked`, and the directory that the user comes from, `scim`.
pub(crate) fn edit(instance: &mut Instance, id: &str, patch: Value) -> Result<User, Error> {
    let params = fields(patch)?;
    let mut allowed = users::UPDATABLE.to_vec();
    allowed.extend(BAGS);
    allowed.extend(["email", "verified", "banned", "locked", "scim"]);
    params.only(&allowed)?;
    let now = instance.now();
    let policy = instance.passwords;
    instance.update_user(id, |user| {
        users::apply_profile(user, &params)?;
        if let Some(scim) = params.raw("scim") {
            user.scim = parse(scim.clone())?;
        }
        metadata::merge_sent(user.bags_mut(), &params)?;
        let verified = params.bool("verified")?.value();
        let email = match params.text("email")?.value() {
            Some(email) => Some(parse_email("email", &email)?),
            None if verified.is_some() => user.primary_email_address().map(str::to_owned),
            None => None,
        };
        if let Some(email) = email {
            let verification = verified.unwrap_or(true).then(Verification::admin);
            set_only_address(user, email, verification, false, now)?;
        }
        if let Some(banned) = params.bool("banned")?.value() {
            user.banned = banned;
        }
        if let Some(locked) = params.bool("locked")?.value() {
            user.locked = locked;
        }
        users::apply_password(user, &params, policy, now)
    })
}

/// Reads what was written by hand.
pub(crate) fn parse<T: DeserializeOwned>(value: Value) -> Result<T, Error> {
    serde_json::from_value(value)
        .map_err(|error| Error::bad_request("seed_invalid", &error.to_string()))
}

/// The fields of an edit.
fn fields(patch: Value) -> Result<Params, Error> {
    match patch {
        Value::Object(fields) => Ok(Params::new(fields)),
        _ => Err(Error::bad_request(
            "seed_invalid",
            "The edit is not an object.",
        )),
    }
}
