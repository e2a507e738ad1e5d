//! Makes a history happen in Clerk.

use clerk_emulator::Emulator;
use serde_json::{Value, json};
use uuid::Uuid;

use super::history::{Change, Pair, Place};

/// The users and organizations of one history; several may share a Clerk.
#[derive(Debug)]
pub(super) struct World {
    clerk: Emulator,
    pub(super) users: Vec<String>,
    pub(super) organizations: Vec<String>,
    /// Also of those that are gone.
    pub(super) ids: Vec<String>,
    n_changes: usize,
}

impl World {
    pub(super) fn new(clerk: &Emulator) -> Self {
        Self {
            clerk: clerk.clone(),
            users: Vec::new(),
            organizations: Vec::new(),
            ids: Vec::new(),
            n_changes: 0,
        }
    }

    pub(super) fn user(&self, place: Place) -> Option<&String> {
        let n = self.users.len();
        self.users.get(usize::from(place).checked_rem(n)?)
    }

    fn organization(&self, place: Place) -> Option<&String> {
        let n = self.organizations.len();
        self.organizations.get(usize::from(place).checked_rem(n)?)
    }

    /// One after the other.
    pub(super) fn change_all(&mut self, changes: &[Change]) {
        for change in changes {
            self.change(*change);
        }
    }

    /// What does not apply changes nothing.
    pub(super) fn change(&mut self, change: Change) {
        self.n_changes += 1;
        match change {
            Change::CreateUser(said) => {
                let user = self.clerk.create_user(json!({
                    "email": format!("{}@example.com", Uuid::new_v4().simple()),
                    "public_metadata": said.as_str().map_or(json!({}), |it| json!({ "role": it })),
                }));
                let id = self.note(&user);
                self.users.push(id);
            }
            Change::Rename(who) => {
                let name = format!("name{}", self.n_changes);
                self.update_user(who, json!({ "first_name": name }));
            }
            Change::SetRole(who, said) => {
                self.update_user(who, json!({ "public_metadata": { "role": said.as_str() } }));
            }
            Change::Ban(who, is_banned) => self.update_user(who, json!({ "banned": is_banned })),
            Change::DeleteUser(who) => {
                if let Some(user) = self.user(who).cloned() {
                    self.clerk.delete_user(&user);
                    self.users.retain(|it| *it != user);
                }
            }
            Change::CreateOrganization(creator) => {
                let creator = creator.and_then(|it| self.user(it));
                let organization = self.clerk.create_organization(json!({
                    "name": format!("Organization {}", Uuid::new_v4().simple()),
                    "created_by": creator,
                }));
                let id = self.note(&organization);
                self.organizations.push(id);
            }
            Change::RenameOrganization(which) => {
                let name = format!("name{}", self.n_changes);
                self.update_organization(which, json!({ "name": name }));
            }
            Change::Limit(which, most) => {
                self.update_organization(which, json!({ "max_allowed_memberships": most }));
            }
            Change::TouchOrganization(which) => {
                let patch = json!({ "private_metadata": { "n": self.n_changes } });
                self.update_organization(which, patch);
            }
            Change::DeleteOrganization(which) => {
                if let Some(organization) = self.organization(which).cloned() {
                    self.clerk.delete_organization(&organization);
                    self.organizations.retain(|it| *it != organization);
                }
            }
            Change::Join(pair, role) => {
                self.member(pair, false, |clerk, organization, user| {
                    clerk.add_member(organization, user, role.as_str());
                });
            }
            Change::SetMemberRole(pair, role) => {
                self.member(pair, true, |clerk, organization, user| {
                    clerk.set_member_role(organization, user, role.as_str());
                });
            }
            Change::Seat(pair, seat) => {
                self.member(pair, true, |clerk, organization, user| {
                    let patch = json!({ "public_metadata": { "seat": seat } });
                    clerk.update_member(organization, user, patch);
                });
            }
            Change::Leave(pair) => {
                self.member(pair, true, |clerk, organization, user| {
                    clerk.remove_member(organization, user);
                });
            }
            Change::Rejoin(pair, role) => {
                self.member(pair, true, |clerk, organization, user| {
                    clerk.remove_member(organization, user);
                    clerk.add_member(organization, user, role.as_str());
                });
            }
        }
    }

    /// Does something about a pair that is as it has to be for it.
    fn member(&self, pair: Pair, is_member: bool, work: impl FnOnce(&Emulator, &str, &str)) {
        let (Some(organization), Some(user)) = (self.organization(pair.0), self.user(pair.1))
        else {
            return;
        };
        if self.clerk.membership(organization, user).is_some() == is_member {
            work(&self.clerk, organization, user);
        }
    }

    fn update_user(&self, who: Place, patch: Value) {
        if let Some(user) = self.user(who) {
            self.clerk.update_user(user, patch);
        }
    }

    fn update_organization(&self, which: Place, patch: Value) {
        if let Some(organization) = self.organization(which) {
            self.clerk.update_organization(organization, patch);
        }
    }

    fn note(&mut self, created: &Value) -> String {
        let id = created["id"].as_str().unwrap().to_owned();
        self.ids.push(id.clone());
        id
    }
}
