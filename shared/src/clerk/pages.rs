//! The list of all users, one page at a time.

use serde::{Deserialize, Serialize};

use super::{Budget, Client, Error, PAGE_LEN, User};
use crate::ids::ClerkUserId;

/// A page of the list of all users; can be kept, and the walk resumed from it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UserPage {
    /// The oldest users.
    First,
    /// The users made after this one.
    After {
        /// The last user of the page before.
        last: ClerkUserId,
        /// How many users came before, for a Clerk that knows no cursor.
        n_before: u64,
    },
    /// The users after the first so many.
    /// A user that is deleted during the walk moves the later ones forward, past the next page.
    Offset(u64),
}

/// A walk over all users; holds no more than a page of them.
#[derive(Debug)]
pub struct UserPages<'a> {
    client: &'a Client,
    next: Option<UserPage>,
}

impl UserPage {
    pub(super) fn query(&self) -> Vec<(&'static str, String)> {
        let mut query = vec![
            ("limit", PAGE_LEN.to_string()),
            ("order_by", "+created_at".to_owned()),
        ];
        match self {
            Self::First => {}
            Self::After { last, n_before: _ } => query.push(("starting_after", last.to_string())),
            Self::Offset(n_before) => query.push(("offset", n_before.to_string())),
        }
        query
    }

    fn n_before(&self) -> u64 {
        match self {
            Self::First => 0,
            Self::After { n_before, .. } | Self::Offset(n_before) => *n_before,
        }
    }

    /// The page after this one, unless these users were the last.
    fn following(&self, users: &[User]) -> Option<Self> {
        let last = users.last().filter(|_| users.len() >= PAGE_LEN)?;
        let n_before = self.n_before() + PAGE_LEN as u64;
        Some(match self {
            Self::First | Self::After { .. } => Self::After {
                last: last.id.clone(),
                n_before,
            },
            Self::Offset(_) => Self::Offset(n_before),
        })
    }
}

impl<'a> UserPages<'a> {
    pub(super) fn new(client: &'a Client, from: UserPage) -> Self {
        Self {
            client,
            next: Some(from),
        }
    }

    /// Reads the next page; `None` when there is none.
    /// After an error the same page is read again.
    pub async fn next_page(&mut self, budget: Budget) -> Result<Option<Vec<User>>, Error> {
        let Some(page) = self.next.clone() else {
            return Ok(None);
        };
        let mut users = self.client.users(&page, budget).await;
        let mut page = page;
        if is_cursor_useless(&page, &users) {
            page = UserPage::Offset(page.n_before());
            users = self.client.users(&page, budget).await;
        }
        let users = users?;
        self.next = page.following(&users);
        Ok(Some(users))
    }

    /// Where the walk goes on; `None` when it is over.
    pub fn position(&self) -> Option<&UserPage> {
        self.next.as_ref()
    }
}

/// Whether Clerk does not know cursors (they came in August 2026), ignores them, or no longer has
/// the user that this one names.
fn is_cursor_useless(page: &UserPage, users: &Result<Vec<User>, Error>) -> bool {
    let UserPage::After { last, .. } = page else {
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
