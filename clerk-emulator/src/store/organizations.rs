//! The organizations and memberships of an instance, with the indexes that its lists need.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::Store;
use super::in_order::{InOrder, Placed, Places};
use super::roles::Roles;
use crate::entities::{
    Counts, Membership, MembershipView, Organization, OrganizationView, PublicUserData,
};
use crate::error::Error;
use crate::params::Page;

/// Organizations and who is a member of which.
#[derive(Debug, Default)]
pub(crate) struct Organizations {
    pub(crate) roles: Roles,
    by_id: HashMap<Arc<str>, Placed<Organization>>,
    by_created_at: InOrder,
    /// The id of the organization that has a slug.
    slugs: HashMap<String, String>,
    memberships: HashMap<Arc<str>, Placed<Membership>>,
    all_memberships: InOrder,
    members: HashMap<String, Members>,
    of_user: HashMap<String, InOrder>,
    places: Places,
}

/// The members of one organization.
#[derive(Debug, Default)]
struct Members {
    in_order: InOrder,
    /// The id of the membership of each user.
    of_user: HashMap<String, Arc<str>>,
    /// How many may manage the others.
    n_elevated: usize,
}

impl Organizations {
    /// The organization with this id.
    pub(crate) fn get(&self, id: &str) -> Result<&Organization, Error> {
        self.known(id)
            .ok_or_else(|| Error::not_found("organization", id))
    }

    fn known(&self, id: &str) -> Option<&Organization> {
        self.by_id.get(id).map(|placed| &placed.object)
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
        let ids = self.by_created_at.skip_oldest(0);
        ids.filter_map(|id| self.known(id))
    }

    /// How many organizations there are.
    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// A page of all organizations in the order of their creation.
    pub(crate) fn page(&self, is_newest_first: bool, page: Page) -> Vec<&Organization> {
        let ids = self.by_created_at.page(is_newest_first, page);
        ids.filter_map(|id| self.known(id)).collect()
    }

    /// The organizations with these ids, as far as there are such, oldest first.
    pub(crate) fn with<'a>(&'a self, ids: &HashSet<String>) -> Vec<&'a Organization> {
        let placed = ids.iter().filter_map(|id| self.by_id.get(id.as_str()));
        let mut found: Vec<&Placed<Organization>> = placed.collect();
        found.sort_by_key(|placed| placed.place);
        found.into_iter().map(|placed| &placed.object).collect()
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
        let id: Arc<str> = Arc::from(organization.id.as_str());
        let former = self.by_id.get(&id).map(|former| former.place);
        self.take_out(&id);
        let slug = organization.slug.clone();
        self.slugs.insert(slug, organization.id.clone());
        let place = self.places.place(organization.created_at, former);
        self.by_created_at.insert(place, Arc::clone(&id));
        let object = organization;
        self.by_id.insert(id, Placed { place, object });
        Ok(())
    }

    /// Takes the organization out; its memberships are to be taken out before.
    pub(crate) fn remove(&mut self, id: &str) {
        self.take_out(id);
        self.members.remove(id);
    }

    fn take_out(&mut self, id: &str) {
        if let Some(Placed { place, object }) = self.by_id.remove(id) {
            self.slugs.remove(&object.slug);
            self.by_created_at.remove(place);
        }
    }

    /// The membership of a user in an organization.
    pub(crate) fn membership(&self, id: &str, user_id: &str) -> Result<&Membership, Error> {
        self.get(id)?;
        self.membership_id(id, user_id)
            .and_then(|id| self.memberships.get(id))
            .map(|placed| &placed.object)
            .ok_or_else(Error::no_membership)
    }

    /// Is the user a member of the organization?
    pub(crate) fn is_member(&self, id: &str, user_id: &str) -> bool {
        self.membership_id(id, user_id).is_some()
    }

    fn membership_id(&self, id: &str, user_id: &str) -> Option<&Arc<str>> {
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

    fn in_order<'a>(&'a self, order: Option<&'a InOrder>) -> Memberships<'a> {
        Memberships {
            order,
            by_id: &self.memberships,
        }
    }

    /// Adds the membership, or puts it in the place of its former self.
    pub(crate) fn put_membership(&mut self, membership: Membership) {
        let id: Arc<str> = Arc::from(membership.id.as_str());
        let former = self.memberships.get(&id).map(|former| former.place);
        self.remove_membership(&id);
        let place = self.places.place(membership.created_at, former);
        let user_id = &membership.user_id;
        let members = self
            .members
            .entry(membership.organization_id.clone())
            .or_default();
        members.in_order.insert(place, Arc::clone(&id));
        members.of_user.insert(user_id.clone(), Arc::clone(&id));
        members.n_elevated += usize::from(self.roles.is_elevated(&membership.role));
        let of_user = self.of_user.entry(user_id.clone()).or_default();
        of_user.insert(place, Arc::clone(&id));
        self.all_memberships.insert(place, Arc::clone(&id));
        let object = membership;
        self.memberships.insert(id, Placed { place, object });
    }

    /// Takes the membership out.
    pub(crate) fn remove_membership(&mut self, id: &str) {
        let Some(Placed { place, object }) = self.memberships.remove(id) else {
            return;
        };
        self.all_memberships.remove(place);
        if let Some(members) = self.members.get_mut(&object.organization_id) {
            members.in_order.remove(place);
            members.of_user.remove(&object.user_id);
            members.n_elevated -= usize::from(self.roles.is_elevated(&object.role));
        }
        if let Some(of_user) = self.of_user.get_mut(&object.user_id) {
            of_user.remove(place);
            if of_user.len() == 0 {
                self.of_user.remove(&object.user_id);
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
    order: Option<&'a InOrder>,
    by_id: &'a HashMap<Arc<str>, Placed<Membership>>,
}

impl<'a> Memberships<'a> {
    pub(crate) fn len(self) -> usize {
        self.order.map_or(0, InOrder::len)
    }

    /// Oldest first.
    pub(crate) fn iter(self) -> impl DoubleEndedIterator<Item = &'a Membership> {
        let ids = self
            .order
            .into_iter()
            .flat_map(|order| order.skip_oldest(0));
        ids.filter_map(move |id| self.known(id))
    }

    /// A page of them.
    pub(crate) fn page(self, is_newest_first: bool, page: Page) -> Vec<&'a Membership> {
        let order = self.order.into_iter();
        let ids = order.flat_map(|order| order.page(is_newest_first, page));
        ids.filter_map(|id| self.known(id)).collect()
    }

    fn known(self, id: &str) -> Option<&'a Membership> {
        self.by_id.get(id).map(|placed| &placed.object)
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
