//! What the instance holds: users, sessions, invitations, organizations. No HTTP, no clock, no
//! webhooks.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use crate::entities::{Invitation, Session, User};
use crate::error::Error;
use in_order::{InOrder, Placed, Places};
use organizations::Organizations;

mod in_order;
pub(crate) mod listing;
pub(crate) mod organizations;
pub(crate) mod roles;

/// The objects of one instance, with the indexes that keep identifiers unique.
#[derive(Debug, Default)]
pub(crate) struct Store {
    users: HashMap<Arc<str>, Placed<User>>,
    by_created_at: InOrder,
    places: Places,
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
        self.known(id).ok_or_else(|| Error::not_found("user", id))
    }

    fn known(&self, id: &str) -> Option<&User> {
        self.users.get(id).map(|placed| &placed.object)
    }

    /// The user whose e-mail address has this id.
    pub(crate) fn owner_of_address(&self, address_id: &str) -> Result<&User, Error> {
        self.addresses
            .get(address_id)
            .and_then(|user_id| self.known(user_id))
            .ok_or_else(|| Error::not_found("email address", address_id))
    }

    /// The user who holds this e-mail address as their own.
    pub(crate) fn owner_of_email(&self, email_address: &str) -> Option<&User> {
        self.claims
            .get(&("email_address", email_address.to_owned()))
            .and_then(|user_id| self.known(user_id))
    }

    /// How many users there are.
    pub(crate) fn n_users(&self) -> usize {
        self.users.len()
    }

    /// Users, oldest first.
    pub(crate) fn users(&self) -> impl DoubleEndedIterator<Item = &User> {
        let ids = self.by_created_at.skip_oldest(0);
        ids.filter_map(|id| self.known(id))
    }

    /// All users but the `n` oldest, oldest first.
    pub(crate) fn users_without_oldest(&self, n: usize) -> impl Iterator<Item = &User> {
        let ids = self.by_created_at.skip_oldest(n);
        ids.filter_map(|id| self.known(id))
    }

    /// All users but the `n` newest, newest first.
    pub(crate) fn users_without_newest(&self, n: usize) -> impl Iterator<Item = &User> {
        let ids = self.by_created_at.skip_newest(n);
        ids.filter_map(|id| self.known(id))
    }

    /// The users with these ids, as far as there are such, oldest first.
    pub(crate) fn users_with<'a>(&'a self, ids: &HashSet<String>) -> Vec<&'a User> {
        let placed = ids.iter().filter_map(|id| self.users.get(id.as_str()));
        let mut found: Vec<&Placed<User>> = placed.collect();
        found.sort_by_key(|placed| placed.place);
        found.into_iter().map(|placed| &placed.object).collect()
    }

    /// How many users were made before this one.
    pub(crate) fn n_older(&self, id: &str) -> Result<usize, Error> {
        let placed = self.users.get(id);
        placed
            .map(|placed| self.by_created_at.n_before(placed.place))
            .ok_or_else(|| Error::not_found("user", id))
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
        let former = self.users.get(user.id.as_str()).map(|former| former.place);
        self.remove(&user.id);
        for claim in identifiers(&user) {
            self.claims.insert(claim, user.id.clone());
        }
        for address in &user.email_addresses {
            self.addresses.insert(address.id.clone(), user.id.clone());
        }
        let id: Arc<str> = Arc::from(user.id.as_str());
        let place = self.places.place(user.created_at, former);
        self.by_created_at.insert(place, Arc::clone(&id));
        let object = user.clone();
        self.users.insert(id, Placed { place, object });
        Ok(user)
    }

    /// Takes the user out.
    pub(crate) fn remove(&mut self, id: &str) -> Option<User> {
        let Placed {
            place,
            object: user,
        } = self.users.remove(id)?;
        for claim in identifiers(&user) {
            self.claims.remove(&claim);
        }
        for address in &user.email_addresses {
            self.addresses.remove(&address.id);
        }
        self.by_created_at.remove(place);
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
