//! What the instance holds: users, sessions, invitations, organizations. No HTTP, no clock, no
//! webhooks.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;

use crate::entities::{Invitation, Session, User};
use crate::error::Error;
use organizations::Organizations;

pub(crate) mod listing;
pub(crate) mod organizations;
pub(crate) mod roles;

/// The objects of one instance, with the indexes that keep identifiers unique.
#[derive(Debug, Default)]
pub(crate) struct Store {
    users: HashMap<String, User>,
    by_created_at: BTreeSet<(i64, String)>,
    /// Who owns an identifier: (name of the field, value) to user id.
    claims: HashMap<(&'static str, String), String>,
    /// The owner of each e-mail address, by the id of the address.
    addresses: HashMap<String, String>,
    pub(crate) sessions: BTreeMap<String, Session>,
    pub(crate) invitations: BTreeMap<String, Invitation>,
    pub(crate) organizations: Organizations,
}

impl Store {
    /// The user with this id.
    pub(crate) fn user(&self, id: &str) -> Result<&User, Error> {
        self.users
            .get(id)
            .ok_or_else(|| Error::not_found("user", id))
    }

    /// The user whose e-mail address has this id.
    pub(crate) fn owner_of_address(&self, address_id: &str) -> Result<&User, Error> {
        self.addresses
            .get(address_id)
            .and_then(|user_id| self.users.get(user_id))
            .ok_or_else(|| Error::not_found("email address", address_id))
    }

    /// The user who holds this e-mail address as their own.
    pub(crate) fn owner_of_email(&self, email_address: &str) -> Option<&User> {
        self.claims
            .get(&("email_address", email_address.to_owned()))
            .and_then(|user_id| self.users.get(user_id))
    }

    /// Users, oldest first.
    pub(crate) fn users(&self) -> impl DoubleEndedIterator<Item = &User> {
        self.by_created_at
            .iter()
            .filter_map(|(_, id)| self.users.get(id))
    }

    /// Users made after this one, oldest first.
    pub(crate) fn users_after(&self, user: &User) -> impl Iterator<Item = &User> {
        let key = (user.created_at, user.id.clone());
        self.by_created_at
            .range((Bound::Excluded(key), Bound::Unbounded))
            .filter_map(|(_, id)| self.users.get(id))
    }

    /// Users made before this one, newest first.
    pub(crate) fn users_before(&self, user: &User) -> impl Iterator<Item = &User> {
        self.by_created_at
            .range(..(user.created_at, user.id.clone()))
            .rev()
            .filter_map(|(_, id)| self.users.get(id))
    }

    /// Adds the user, or puts it in the place of its former self.
    ///
    /// Refuses identifiers that belong to someone else; then nothing has changed.
    pub(crate) fn put(&mut self, user: User) -> Result<User, Error> {
        for (name, value) in identifiers(&user) {
            let owner = self.claims.get(&(name, value));
            if owner.is_some_and(|owner| *owner != user.id) {
                return Err(Error::taken(name));
            }
        }
        self.remove(&user.id);
        for claim in identifiers(&user) {
            self.claims.insert(claim, user.id.clone());
        }
        for address in &user.email_addresses {
            self.addresses.insert(address.id.clone(), user.id.clone());
        }
        self.by_created_at
            .insert((user.created_at, user.id.clone()));
        self.users.insert(user.id.clone(), user.clone());
        Ok(user)
    }

    /// Takes the user out.
    pub(crate) fn remove(&mut self, id: &str) -> Option<User> {
        let user = self.users.remove(id)?;
        for claim in identifiers(&user) {
            self.claims.remove(&claim);
        }
        for address in &user.email_addresses {
            self.addresses.remove(&address.id);
        }
        self.by_created_at
            .remove(&(user.created_at, user.id.clone()));
        Some(user)
    }

    /// The session with this id.
    pub(crate) fn session_mut(&mut self, id: &str) -> Result<&mut Session, Error> {
        self.sessions
            .get_mut(id)
            .ok_or_else(|| Error::not_found("session", id))
    }

    /// The invitation with this id.
    pub(crate) fn invitation_mut(&mut self, id: &str) -> Result<&mut Invitation, Error> {
        self.invitations
            .get_mut(id)
            .ok_or_else(|| Error::not_found("invitation", id))
    }
}

/// Everything about a user that nobody else may have.
fn identifiers(user: &User) -> Vec<(&'static str, String)> {
    let mut claims: Vec<_> = user
        .email_addresses
        .iter()
        .filter(|address| address.is_claimed())
        .map(|address| ("email_address", address.email_address.clone()))
        .collect();
    if let Some(username) = &user.username {
        claims.push(("username", username.to_lowercase()));
    }
    if let Some(external_id) = &user.external_id {
        claims.push(("external_id", external_id.clone()));
    }
    claims
}

#[cfg(test)]
mod tests;
