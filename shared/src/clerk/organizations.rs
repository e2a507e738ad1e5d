//! Organizations, and who is in them.

use reqwest::Method;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::retry::Call;
use super::types::{MetadataPatch, NewMembership, RolePatch};
use super::{
    Budget, Client, DeletedObject, Error, IDS_AT_ONCE, ListedMembership, MembershipList,
    MembershipPages, Organization, OrganizationMembership, Page,
};
use crate::ids::{ClerkOrganizationId, ClerkUserId};

impl Client {
    /// Reads one organization.
    pub async fn organization(
        &self,
        id: &ClerkOrganizationId,
        budget: Budget,
    ) -> Result<Organization, Error> {
        let call = Call::<()>::new(Method::GET, self.organization_url(id));
        self.ask(&call, budget).await
    }

    /// Merges keys into an organization's public metadata; a `null` removes its key, the others
    /// stay.
    pub async fn merge_organization_metadata(
        &self,
        id: &ClerkOrganizationId,
        public_metadata: &Map<String, Value>,
        budget: Budget,
    ) -> Result<Organization, Error> {
        let url = format!("{}/metadata", self.organization_url(id));
        let call = Call {
            body: Some(&MetadataPatch { public_metadata }),
            ..Call::new(Method::PATCH, url)
        };
        self.ask(&call, budget).await
    }

    /// Deletes an organization, and with it its memberships and invitations.
    pub async fn delete_organization(
        &self,
        id: &ClerkOrganizationId,
        budget: Budget,
    ) -> Result<DeletedObject, Error> {
        let call = Call::<()>::new(Method::DELETE, self.organization_url(id));
        self.ask(&call, budget).await
    }

    /// Reads a page of all organizations, the oldest first: those after the first so many.
    pub async fn organizations(
        &self,
        offset: u64,
        budget: Budget,
    ) -> Result<Page<Organization>, Error> {
        let call = Call::<()> {
            query: super::pages::by_age(offset),
            ..Call::new(Method::GET, format!("{}/organizations", self.base))
        };
        self.ask(&call, budget).await
    }

    /// Reads a page of all memberships that there are, the oldest first: those after the first so
    /// many.
    pub async fn listed_memberships(
        &self,
        offset: u64,
        budget: Budget,
    ) -> Result<Page<ListedMembership>, Error> {
        let call = Call::<()> {
            query: super::pages::by_age(offset),
            ..Call::new(
                Method::GET,
                format!("{}/organization_memberships", self.base),
            )
        };
        self.ask(&call, budget).await
    }

    /// Reads a page of memberships: those after the first so many.
    pub async fn memberships(
        &self,
        list: &MembershipList,
        offset: u64,
        budget: Budget,
    ) -> Result<Page<OrganizationMembership>, Error> {
        let call = Call::<()> {
            query: list.query(offset),
            ..Call::new(Method::GET, format!("{}{}", self.base, list.path()))
        };
        self.ask(&call, budget).await
    }

    /// Reads all memberships of a list, page by page, without the first so many.
    pub fn all_memberships(&self, list: MembershipList, from: u64) -> MembershipPages<'_> {
        MembershipPages::new(self, list, from)
    }

    /// Reads the memberships that these users have in one organization; who is no member is
    /// missing in the answer.
    /// More than [`IDS_AT_ONCE`] take several calls.
    pub async fn members_by_id(
        &self,
        organization: &ClerkOrganizationId,
        users: &[ClerkUserId],
        budget: Budget,
    ) -> Result<Vec<OrganizationMembership>, Error> {
        self.members(organization, users, budget).await
    }

    /// The same, as the list of all memberships shows them.
    pub async fn listed_members_by_id(
        &self,
        organization: &ClerkOrganizationId,
        users: &[ClerkUserId],
        budget: Budget,
    ) -> Result<Vec<ListedMembership>, Error> {
        self.members(organization, users, budget).await
    }

    async fn members<M: DeserializeOwned>(
        &self,
        organization: &ClerkOrganizationId,
        users: &[ClerkUserId],
        budget: Budget,
    ) -> Result<Vec<M>, Error> {
        let url = format!("{}/memberships", self.organization_url(organization));
        let mut memberships = Vec::new();
        for some in users.chunks(IDS_AT_ONCE) {
            let call = Call::<()> {
                query: super::ids_query(some),
                ..Call::new(Method::GET, url.clone())
            };
            let page: Page<M> = self.ask(&call, budget).await?;
            memberships.extend(page.data);
        }
        Ok(memberships)
    }

    /// Makes a user a member.
    /// When [`Error::is_outcome_unknown`] holds, they may be one already; asking again does no
    /// harm, since it is refused then ([`Error::is_already_member`]).
    pub async fn create_membership(
        &self,
        organization: &ClerkOrganizationId,
        user: &ClerkUserId,
        role: &str,
        budget: Budget,
    ) -> Result<OrganizationMembership, Error> {
        let url = format!("{}/memberships", self.organization_url(organization));
        let call = Call {
            body: Some(&NewMembership {
                user_id: user,
                role,
            }),
            ..Call::new(Method::POST, url)
        };
        self.ask(&call, budget).await
    }

    /// Gives a member another role.
    pub async fn update_membership(
        &self,
        organization: &ClerkOrganizationId,
        user: &ClerkUserId,
        role: &str,
        budget: Budget,
    ) -> Result<OrganizationMembership, Error> {
        let call = Call {
            body: Some(&RolePatch { role }),
            ..Call::new(Method::PATCH, self.membership_url(organization, user))
        };
        self.ask(&call, budget).await
    }

    /// Merges keys into a membership's public metadata; a `null` removes its key, the others
    /// stay.
    pub async fn merge_membership_metadata(
        &self,
        organization: &ClerkOrganizationId,
        user: &ClerkUserId,
        public_metadata: &Map<String, Value>,
        budget: Budget,
    ) -> Result<OrganizationMembership, Error> {
        let url = format!("{}/metadata", self.membership_url(organization, user));
        let call = Call {
            body: Some(&MetadataPatch { public_metadata }),
            ..Call::new(Method::PATCH, url)
        };
        self.ask(&call, budget).await
    }

    /// Takes a user out of an organization; answers with the membership that they had.
    pub async fn delete_membership(
        &self,
        organization: &ClerkOrganizationId,
        user: &ClerkUserId,
        budget: Budget,
    ) -> Result<OrganizationMembership, Error> {
        let call = Call::<()>::new(Method::DELETE, self.membership_url(organization, user));
        self.ask(&call, budget).await
    }

    fn organization_url(&self, id: &ClerkOrganizationId) -> String {
        format!("{}/organizations/{id}", self.base)
    }

    fn membership_url(&self, organization: &ClerkOrganizationId, user: &ClerkUserId) -> String {
        format!("{}/memberships/{user}", self.organization_url(organization))
    }
}
