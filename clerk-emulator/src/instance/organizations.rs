//! Organizations and memberships: what each write changes, and the webhooks that it makes.

use serde_json::{Value, json};

use super::{Instance, email_address};
use crate::entities::{
    DeletedObject, Membership, MembershipView, Organization, OrganizationView, User, Verification,
};
use crate::error::Error;
use crate::ids;
use crate::options::MemberEvents;
use crate::store::roles;
use crate::tokens;

/// A membership to be.
#[derive(Debug)]
pub(crate) struct NewMember {
    pub(crate) user_id: String,
    pub(crate) role: String,
    pub(crate) public_metadata: Value,
    pub(crate) private_metadata: Value,
}

impl NewMember {
    pub(crate) fn new(user_id: &str, role: &str) -> Self {
        Self {
            user_id: user_id.to_owned(),
            role: role.to_owned(),
            public_metadata: json!({}),
            private_metadata: json!({}),
        }
    }
}

impl Instance {
    /// Adds an organization, and its creator as its admin.
    pub(crate) fn create_organization(
        &mut self,
        organization: Organization,
    ) -> Result<Organization, Error> {
        if let Some(creator) = &organization.created_by {
            self.store.user(creator).map_err(|_| {
                Error::wrong_value("created_by", &format!("There is no user {creator}."))
            })?;
        }
        self.store.organizations.put(organization.clone())?;
        let admin = organization.created_by.as_deref().map(|creator| {
            let admin = self.membership(&organization.id, NewMember::new(creator, roles::ADMIN));
            self.store.organizations.put_membership(admin.clone());
            admin
        });
        self.emit_organization("organization.created", &organization);
        if let Some(admin) = &admin {
            self.emit_membership("organizationMembership.created", admin);
        }
        Ok(organization)
    }

    /// Changes an organization; every write moves `updated_at`, and never backwards.
    pub(crate) fn update_organization(
        &mut self,
        id: &str,
        change: impl FnOnce(&mut Organization) -> Result<(), Error>,
    ) -> Result<Organization, Error> {
        let mut organization = self.store.organizations.get(id)?.clone();
        change(&mut organization)?;
        organization.updated_at = organization.updated_at.max(self.now());
        self.store.organizations.put(organization.clone())?;
        self.emit_organization("organization.updated", &organization);
        Ok(organization)
    }

    /// Deletes an organization with all memberships.
    pub(crate) fn delete_organization(&mut self, id: &str) -> Result<DeletedObject, Error> {
        let deleted = DeletedObject {
            slug: Some(self.store.organizations.get(id)?.slug.clone()),
            ..DeletedObject::new("organization", id)
        };
        let members: Vec<Membership> = self
            .store
            .organizations
            .members(id)
            .iter()
            .cloned()
            .collect();
        let members = self.remove_memberships(&members);
        self.store.organizations.remove(id);
        self.emit_among(members, "organization.deleted", &deleted);
        Ok(deleted)
    }

    /// Makes a user a member.
    pub(crate) fn add_member(&mut self, id: &str, new: NewMember) -> Result<Membership, Error> {
        let organization = self.store.organizations.get(id)?;
        self.store.user(&new.user_id)?;
        self.store.organizations.roles.get(&new.role)?;
        if self.store.organizations.is_member(id, &new.user_id) {
            return Err(Error::already_a_member());
        }
        let at_most = organization.max_allowed_memberships;
        if at_most > 0 && self.store.organizations.members(id).len() >= at_most {
            return Err(Error::too_many_members());
        }
        let membership = self.membership(id, new);
        self.store.organizations.put_membership(membership.clone());
        self.emit_membership("organizationMembership.created", &membership);
        Ok(membership)
    }

    /// Changes a membership; every write moves its `updated_at`, and never backwards.
    pub(crate) fn update_membership(
        &mut self,
        id: &str,
        user_id: &str,
        change: impl FnOnce(&mut Membership) -> Result<(), Error>,
    ) -> Result<Membership, Error> {
        let mut membership = self.store.organizations.membership(id, user_id)?.clone();
        change(&mut membership)?;
        self.store.organizations.roles.get(&membership.role)?;
        membership.updated_at = membership.updated_at.max(self.now());
        self.store.organizations.put_membership(membership.clone());
        self.emit_membership("organizationMembership.updated", &membership);
        Ok(membership)
    }

    /// Ends a membership.
    pub(crate) fn remove_member(&mut self, id: &str, user_id: &str) -> Result<Membership, Error> {
        let membership = self.store.organizations.membership(id, user_id)?.clone();
        self.store.organizations.remove_membership(&membership.id);
        self.emit_membership("organizationMembership.deleted", &membership);
        Ok(membership)
    }

    /// Takes memberships out; returns what each `organizationMembership.deleted` is to say,
    /// or nothing when there are to be none.
    pub(super) fn remove_memberships(&mut self, memberships: &[Membership]) -> Vec<Value> {
        for membership in memberships {
            self.store.organizations.remove_membership(&membership.id);
        }
        if self.is_silent || self.member_events == MemberEvents::None {
            return Vec::new();
        }
        memberships
            .iter()
            .filter_map(|membership| self.store.full_view(membership).ok())
            .map(|view| json!(view))
            .collect()
    }

    /// Announces a deletion, and the memberships that ended with it before or after that.
    pub(super) fn emit_among(
        &mut self,
        members: Vec<Value>,
        event_type: &str,
        deleted: &DeletedObject,
    ) {
        let is_last = self.member_events == MemberEvents::Before;
        if !is_last {
            self.emit(event_type, deleted);
        }
        for member in members {
            self.emit("organizationMembership.deleted", &member);
        }
        if is_last {
            self.emit(event_type, deleted);
        }
    }

    /// What a session token of this user says while the organization is the active one.
    pub(crate) fn organization_claims(&self, user_id: &str, id: &str) -> Result<Value, Error> {
        let organization = self.store.organizations.get(id)?;
        let membership = self.store.organizations.membership(id, user_id)?;
        Ok(tokens::organization_claims(
            self.token_version,
            organization,
            &membership.role,
        ))
    }

    /// All memberships as they go over the wire, oldest first.
    pub(crate) fn memberships(&self) -> Vec<MembershipView<'_>> {
        let all = self.store.organizations.all().iter();
        all.filter_map(|membership| self.store.view(membership).ok())
            .collect()
    }

    /// A membership as it goes over the wire.
    pub(crate) fn show(&self, membership: &Membership) -> Result<Value, Error> {
        Ok(json!(self.store.view(membership)?))
    }

    /// Adds `n` users as members of an organization without a webhook; returns their ids.
    pub(crate) fn add_silent_members(
        &mut self,
        id: &str,
        n: usize,
        role: &str,
    ) -> Result<Vec<String>, Error> {
        self.store.organizations.get(id)?;
        let was_silent = std::mem::replace(&mut self.is_silent, true);
        let added = (0..n)
            .map(|_| {
                let user = self.create_user(nameless(self.now()))?;
                self.add_member(id, NewMember::new(&user.id, role))?;
                Ok(user.id)
            })
            .collect();
        self.is_silent = was_silent;
        added
    }

    fn membership(&self, id: &str, new: NewMember) -> Membership {
        let now = self.now();
        Membership {
            id: ids::new("orgmem"),
            organization_id: id.to_owned(),
            user_id: new.user_id,
            role: new.role,
            public_metadata: new.public_metadata,
            private_metadata: new.private_metadata,
            created_at: now,
            updated_at: now,
        }
    }

    fn emit_organization(&mut self, event_type: &str, organization: &Organization) {
        if self.is_silent {
            return;
        }
        let counts = self.store.organizations.counts(&organization.id);
        self.emit(
            event_type,
            &OrganizationView {
                organization,
                counts,
            },
        );
    }

    fn emit_membership(&mut self, event_type: &str, membership: &Membership) {
        if self.is_silent {
            return;
        }
        if let Ok(view) = self.store.full_view(membership) {
            let data = json!(view);
            self.emit(event_type, &data);
        }
    }
}

/// A user with nothing but a proven e-mail address.
fn nameless(now: i64) -> User {
    let mut user = User::new(ids::new("user"), now);
    let email = format!("{}@members.example.com", user.id.to_lowercase());
    let address = email_address(email, Some(Verification::admin()), now);
    user.primary_email_address_id = Some(address.id.clone());
    user.email_addresses.push(address);
    user
}
