//! Which organizations and which memberships a list holds, and in which order.

use std::cmp::Ordering;
use std::collections::HashSet;

use super::{Filter, Order, Range, Signed};
use crate::entities::{Membership, Organization, Role};
use crate::error::Error;
use crate::params::{Page, Query};
use crate::store::Store;
use crate::store::organizations::Memberships;

/// A page of a list, and how long the whole list is.
#[derive(Debug)]
pub(crate) struct Listed<'a, T> {
    pub(crate) items: Vec<&'a T>,
    pub(crate) total: usize,
}

impl<'a, T> Listed<'a, T> {
    /// Cuts the page out of a list that has been filtered and ordered.
    fn cut(all: &[&'a T], page: Page) -> Self {
        let items = all.iter().skip(page.offset).take(page.limit);
        Self {
            items: items.copied().collect(),
            total: all.len(),
        }
    }
}

/// The organizations of the instance that match.
pub(crate) fn organizations<'a>(
    store: &'a Store,
    query: &Query,
) -> Result<Listed<'a, Organization>, Error> {
    const ORDERS: [&str; 3] = ["created_at", "name", "members_count"];
    let order = Order::parse(query, &ORDERS)?;
    let page = query.page()?;
    let ids = Signed::parse(&query.all("organization_id")?);
    let user_ids = Signed::parse(&query.all("user_id")?);
    let wanted = query.first("query").unwrap_or_default();
    let part = wanted.to_lowercase();
    let all = &store.organizations;
    let is_open = ids == Signed::default() && user_ids == Signed::default() && wanted.is_empty();
    if is_open && order.by == "created_at" {
        return Ok(Listed {
            items: all.page(order.descending, page),
            total: all.len(),
        });
    }
    let mut found: Vec<&Organization> = match &ids.included {
        named if named.is_empty() => all.iter().collect(),
        named => all.with(named),
    };
    found.retain(|one| {
        ids.accepts(Some(&one.id))
            && user_ids.accepts_any(|id| all.is_member(&one.id, id))
            && (one.id == wanted
                || one.name.to_lowercase().contains(&part)
                || one.slug.contains(&part))
    });
    let n_members = |one: &Organization| all.members(&one.id).len();
    let compare = |a: &Organization, b: &Organization| match order.by {
        "name" => a.name.cmp(&b.name),
        "members_count" => n_members(a).cmp(&n_members(b)),
        _ => Ordering::Equal,
    };
    // They come oldest first, and a stable sort keeps that among equals.
    found.sort_by(|a, b| compare(a, b));
    if order.descending {
        found.reverse();
    }
    Ok(Listed::cut(&found, page))
}

/// The members of an organization that match.
pub(crate) fn members<'a>(
    store: &'a Store,
    id: &str,
    query: &Query,
) -> Result<Listed<'a, Membership>, Error> {
    let members = store.organizations.members(id);
    let order = Order::parse(query, &MEMBERSHIP_ORDERS)?;
    let page = query.page()?;
    let roles: HashSet<&str> = query.all("role")?.into_iter().collect();
    let filter = Filter::of_members(query)?;
    if roles.is_empty() && filter == Filter::default() {
        return Ok(ordered(store, members, &order, page));
    }
    let matches = |one: &&Membership| {
        let user = store.user(&one.user_id);
        (roles.is_empty() || roles.contains(one.role.as_str()))
            && user.is_ok_and(|user| filter.matches(store, user))
    };
    let found = members.iter().filter(matches).collect();
    Ok(sorted(store, found, &order, page))
}

/// All memberships of the instance.
pub(crate) fn memberships<'a>(
    store: &'a Store,
    query: &Query,
) -> Result<Listed<'a, Membership>, Error> {
    let order = Order::parse(query, &MEMBERSHIP_ORDERS)?;
    let all = store.organizations.all();
    Ok(ordered(store, all, &order, query.page()?))
}

/// The memberships of one user.
pub(crate) fn memberships_of<'a>(
    store: &'a Store,
    user_id: &str,
    query: &Query,
) -> Result<Listed<'a, Membership>, Error> {
    let order = Order::NEWEST_FIRST;
    let all = store.organizations.of_user(user_id);
    Ok(ordered(store, all, &order, query.page()?))
}

/// The roles of the instance that match.
pub(crate) fn roles<'a>(store: &'a Store, query: &Query) -> Result<Listed<'a, Role>, Error> {
    let order = Order::parse(query, &["created_at", "name", "key"])?;
    let page = query.page()?;
    let wanted = query.first("query").unwrap_or_default();
    let part = wanted.to_lowercase();
    let all = store.organizations.roles.all().iter();
    let mut found: Vec<&Role> = all
        .filter(|role| {
            role.id == wanted
                || role.name.to_lowercase().contains(&part)
                || role.key.contains(&part)
        })
        .collect();
    found.sort_by(|a, b| match order.by {
        "name" => a.name.cmp(&b.name),
        "key" => a.key.cmp(&b.key),
        _ => Ordering::Equal,
    });
    if order.descending {
        found.reverse();
    }
    Ok(Listed::cut(&found, page))
}

/// What memberships can be ordered by; all but the time are of the user.
const MEMBERSHIP_ORDERS: [&str; 6] = [
    "created_at",
    "phone_number",
    "email_address",
    "first_name",
    "last_name",
    "username",
];

/// One page of all these memberships, without a look at the others where the order allows it.
fn ordered<'a>(
    store: &'a Store,
    memberships: Memberships<'a>,
    order: &Order,
    page: Page,
) -> Listed<'a, Membership> {
    if order.by != "created_at" {
        return sorted(store, memberships.iter().collect(), order, page);
    }
    Listed {
        items: memberships.page(order.descending, page),
        total: memberships.len(),
    }
}

/// One page of memberships that come oldest first.
fn sorted<'a>(
    store: &'a Store,
    mut found: Vec<&'a Membership>,
    order: &Order,
    page: Page,
) -> Listed<'a, Membership> {
    if order.by != "created_at" {
        found.sort_by(
            |a, b| match (store.user(&a.user_id), store.user(&b.user_id)) {
                (Ok(a), Ok(b)) => order.compare_fields(a, b),
                _ => Ordering::Equal,
            },
        );
    }
    if order.descending {
        found.reverse();
    }
    Listed::cut(&found, page)
}

impl Filter {
    /// What a list of members can be narrowed down to: less than a list of users.
    fn of_members(query: &Query) -> Result<Self, Error> {
        Ok(Self {
            external_id: Signed::default(),
            organization_id: Signed::default(),
            banned: None,
            last_sign_in_at: Range::default(),
            ..Self::parse(query)?
        })
    }
}

impl Order {
    const NEWEST_FIRST: Self = Self {
        by: "created_at",
        descending: true,
    };
}
