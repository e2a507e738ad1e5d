//! Long lists, one page at a time.

use super::{Budget, Client, Error, OrganizationMembership, PAGE_LEN, Page, User};
use crate::ids::{ClerkOrganizationId, ClerkUserId};

/// A page of the list of all users, the oldest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UserPage {
    /// The users made after this one.
    After {
        /// The last user of the page before.
        last: ClerkUserId,
    },
    /// The users after the first so many.
    /// A user that is deleted during the walk moves the later ones forward, past the next page.
    Offset(u64),
}

/// Whose memberships are listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MembershipList {
    /// Those that a user has; Clerk does not say in which order.
    OfUser(ClerkUserId),
    /// Those in an organization, the oldest first.
    OfOrganization(ClerkOrganizationId),
}

/// A walk over a list of memberships; holds no more than a page of it.
/// A membership that is deleted during the walk moves the later ones forward, past the next page.
#[derive(Debug)]
pub struct MembershipPages<'a> {
    client: &'a Client,
    list: MembershipList,
    next: Option<u64>,
}

impl UserPage {
    pub(super) fn query(&self) -> Vec<(&'static str, String)> {
        let mut query = vec![
            ("limit", PAGE_LEN.to_string()),
            ("order_by", "+created_at".to_owned()),
        ];
        match self {
            Self::After { last } => query.push(("starting_after", last.to_string())),
            Self::Offset(n_before) => query.push(("offset", n_before.to_string())),
        }
        query
    }
}

impl MembershipList {
    /// Where the list is, after `/v1`.
    pub(super) fn path(&self) -> String {
        match self {
            Self::OfUser(id) => format!("/users/{id}/organization_memberships"),
            Self::OfOrganization(id) => format!("/organizations/{id}/memberships"),
        }
    }

    pub(super) fn query(&self, offset: u64) -> Vec<(&'static str, String)> {
        let mut query = vec![
            ("limit", PAGE_LEN.to_string()),
            ("offset", offset.to_string()),
        ];
        match self {
            Self::OfUser(_) => {}
            Self::OfOrganization(_) => query.push(("order_by", "+created_at".to_owned())),
        }
        query
    }
}

impl<'a> MembershipPages<'a> {
    pub(super) fn new(client: &'a Client, list: MembershipList, from: u64) -> Self {
        Self {
            client,
            list,
            next: Some(from),
        }
    }

    /// Reads the next page; `None` when there is none.
    /// After an error the same page is read again.
    pub async fn next_page(
        &mut self,
        budget: Budget,
    ) -> Result<Option<Page<OrganizationMembership>>, Error> {
        let Some(offset) = self.next else {
            return Ok(None);
        };
        let page = self.client.memberships(&self.list, offset, budget).await?;
        self.next = page.following(offset);
        Ok(Some(page))
    }

    /// How many memberships come before those of the next page; `None` when the walk is over.
    pub fn position(&self) -> Option<u64> {
        self.next
    }
}

impl<T> Page<T> {
    /// Where the page after this one begins, when this one begins at `offset`; `None` after the last.
    fn following(&self, offset: u64) -> Option<u64> {
        let n_before = offset + PAGE_LEN as u64;
        let is_last = self.data.len() < PAGE_LEN || n_before >= self.total_count;
        (!is_last).then_some(n_before)
    }
}

/// A page of a list, the oldest first, after the first so many.
pub(super) fn by_age(offset: u64) -> Vec<(&'static str, String)> {
    vec![
        ("limit", PAGE_LEN.to_string()),
        ("offset", offset.to_string()),
        ("order_by", "+created_at".to_owned()),
    ]
}

/// Whether Clerk does not know cursors (they came in August 2026), ignores them, or no longer has
/// the user that this one names.
pub(crate) fn is_cursor_useless(page: &UserPage, users: &Result<Vec<User>, Error>) -> bool {
    let UserPage::After { last } = page else {
        return false;
    };
    match users {
        Ok(users) => users.iter().any(|user| user.id == *last),
        Err(Error::NotFound { .. }) => true,
        Err(Error::Refused {
            status: 422,
            code,
            param,
            ..
        }) => code == "form_param_unknown" || param.as_deref() == Some("starting_after"),
        Err(_) => false,
    }
}
