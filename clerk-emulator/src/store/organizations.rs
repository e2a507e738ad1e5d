//! The organizations and memberships of an instance, with the indexes that its lists need.

use std::collections::{BTreeSet, HashMap};

use super::Store;
use super::roles::Roles;
use crate::entities::{
    Counts, Membership, MembershipView, Organization, OrganizationView, PublicUserData,
};
use crate::error::Error;

/// Ids in the order of creation.
type InOrder = BTreeSet<(i64, String)>;

/// Organizations and who is a member of which.
#[derive(Debug, Default)]
pub(crate) struct Organizations {
    pub(crate) roles: Roles,
    by_id: HashMap<String, Organization>,
    by_created_at: InOrder,
    /// The id of the organization that has a slug.
    slugs: HashMap<String, String>,
    memberships: HashMap<String, Membership>,
    all_memberships: InOrder,
    members: HashMap<String, Members>,
    of_user: HashMap<String, InOrder>,
}

/// The members of one organization.
#[derive(Debug, Default)]
struct Members {
    in_order: InOrder,
    /// The id of the membership of each user.
    of_user: HashMap<String, String>,
    /// How many may manage the others.
    n_elevated: usize,
}

impl Organizations {
    /// The organization with this id.
    pub(crate) fn get(&self, id: &str) -> Result<&Organization, Error> {
        self.by_id
            .get(id)
            .ok_or_else(|| Error::not_found("organization", id))
    }

    /// The organization with this id or slug.
    pub(crate) fn find(&self, id_or_slug: &str) -> Result<&Organization, Error> {
        let id = self
            .slugs
            .get(id_or_slug)
            .map_or(id_or_slug, String::as_str);
        self.get(id)
    }

    /// Organizations, oldest first.
    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &Organization> {
        self.by_created_at
            .iter()
            .filter_map(|(_, id)| self.by_id.get(id))
    }

    /// Does an organization have this slug?
    pub(crate) fn has_slug(&self, slug: &str) -> bool {
        self.slugs.contains_key(slug)
    }

    /// Adds the organization, or puts it in the place of its former self.
    ///
    /// Refuses the slug of another one; then nothing has changed.
    pub(crate) fn put(&mut self, organization: Organization) -> Result<(), Error> {
        let owner = self.slugs.get(&organization.slug);
        if owner.is_some_and(|owner| *owner != organization.id) {
            return Err(Error::taken("slug"));
        }
        self.take_out(&organization.id);
        let id = organization.id.clone();
        self.slugs.insert(organization.slug.clone(), id.clone());
        self.by_created_at
            .insert((organization.created_at, id.clone()));
        self.by_id.insert(id, organization);
        Ok(())
    }

    /// Takes the organization out; its memberships are to be taken out before.
    pub(crate) fn remove(&mut self, id: &str) {
        self.take_out(id);
        self.members.remove(id);
    }

    fn take_out(&mut self, id: &str) {
        if let Some(organization) = self.by_id.remove(id) {
            self.slugs.remove(&organization.slug);
            self.by_created_at
                .remove(&(organization.created_at, organization.id));
        }
    }

    /// The membership of a user in an organization.
    pub(crate) fn membership(&self, id: &str, user_id: &str) -> Result<&Membership, Error> {
        self.get(id)?;
        self.membership_id(id, user_id)
            .and_then(|id| self.memberships.get(id))
            .ok_or_else(Error::no_membership)
    }

    /// Is the user a member of the organization?
    pub(crate) fn is_member(&self, id: &str, user_id: &str) -> bool {
        self.membership_id(id, user_id).is_some()
    }

    fn membership_id(&self, id: &str, user_id: &str) -> Option<&String> {
        let members = self.members.get(id)?;
        members.of_user.get(user_id)
    }

    /// The memberships of the instance, oldest first.
    pub(crate) fn all(&self) -> Memberships<'_> {
        self.in_order(Some(&self.all_memberships))
    }

    /// The memberships of an organization, oldest first.
    pub(crate) fn members(&self, id: &str) -> Memberships<'_> {
        self.in_order(self.members.get(id).map(|members| &members.in_order))
    }

    /// The memberships of a user, oldest first.
    pub(crate) fn of_user(&self, user_id: &str) -> Memberships<'_> {
        self.in_order(self.of_user.get(user_id))
    }

    fn in_order<'a>(&'a self, ids: Option<&'a InOrder>) -> Memberships<'a> {
        Memberships {
            ids,
            by_id: &self.memberships,
        }
    }

    /// Adds the membership, or puts it in the place of its former self.
    pub(crate) fn put_membership(&mut self, membership: Membership) {
        self.remove_membership(&membership.id);
        let id = &membership.id;
        let key = (membership.created_at, id.clone());
        let user_id = &membership.user_id;
        let members = self
            .members
            .entry(membership.organization_id.clone())
            .or_default();
        members.in_order.insert(key.clone());
        members.of_user.insert(user_id.clone(), id.clone());
        members.n_elevated += usize::from(self.roles.is_elevated(&membership.role));
        let of_user = self.of_user.entry(user_id.clone()).or_default();
        of_user.insert(key.clone());
        self.all_memberships.insert(key);
        self.memberships.insert(id.clone(), membership);
    }

    /// Takes the membership out.
    pub(crate) fn remove_membership(&mut self, id: &str) {
        let Some(membership) = self.memberships.remove(id) else {
            return;
        };
        let key = (membership.created_at, membership.id);
        self.all_memberships.remove(&key);
        if let Some(members) = self.members.get_mut(&membership.organization_id) {
            members.in_order.remove(&key);
            members.of_user.remove(&membership.user_id);
            members.n_elevated -= usize::from(self.roles.is_elevated(&membership.role));
        }
        if let Some(of_user) = self.of_user.get_mut(&membership.user_id) {
            of_user.remove(&key);
            if of_user.is_empty() {
                self.of_user.remove(&membership.user_id);
            }
        }
    }

    /// All that is counted for an organization.
    pub(crate) fn counts(&self, id: &str) -> Counts {
        let n_elevated = self.members.get(id).map_or(0, |members| members.n_elevated);
        Counts {
            members_count: Some(self.members(id).len()),
            missing_member_with_elevated_permissions: Some(n_elevated == 0),
            pending_invitations_count: Some(0),
        }
    }
}

/// Memberships in the order of their creation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Memberships<'a> {
    ids: Option<&'a InOrder>,
    by_id: &'a HashMap<String, Membership>,
}

impl<'a> Memberships<'a> {
    pub(crate) fn len(self) -> usize {
        self.ids.map_or(0, BTreeSet::len)
    }

    /// Oldest first.
    pub(crate) fn iter(self) -> impl DoubleEndedIterator<Item = &'a Membership> {
        let ids = self.ids.into_iter().flatten();
        ids.filter_map(|(_, id)| self.by_id.get(id))
    }
}

impl Store {
    /// A membership as it goes over the wire, without counts.
    pub(crate) fn view<'a>(
        &'a self,
        membership: &'a Membership,
    ) -> Result<MembershipView<'a>, Error> {
        let role = self.organizations.roles.get(&membership.role)?;
        let organization = self.organizations.get(&membership.organization_id)?;
        let permissions = role.permissions.iter().map(|permission| permission.key);
        Ok(MembershipView {
            object: "organization_membership",
            id: &membership.id,
            role: &membership.role,
            role_name: &role.name,
            permissions: permissions.collect(),
            public_metadata: &membership.public_metadata,
            private_metadata: &membership.private_metadata,
            organization: OrganizationView {
                organization,
                counts: Counts::default(),
            },
            public_user_data: PublicUserData::of(self.user(&membership.user_id)?),
            created_at: membership.created_at,
            updated_at: membership.updated_at,
        })
    }

    /// A membership as a webhook shows it, with counts.
    pub(crate) fn full_view<'a>(
        &'a self,
        membership: &'a Membership,
    ) -> Result<MembershipView<'a>, Error> {
        let mut view = self.view(membership)?;
        view.organization.counts = self.organizations.counts(&membership.organization_id);
        Ok(view)
    }
}
