//! Which users a list holds, and in which order.

pub(crate) mod organizations;

use std::cmp::Ordering;
use std::collections::HashSet;

use super::Store;
use crate::entities::User;
use crate::error::Error;
use crate::params::{Page, Query};

/// The users that match, in order, one page of them.
pub(crate) fn page<'a>(store: &'a Store, query: &Query) -> Result<Vec<&'a User>, Error> {
    let filter = Filter::parse(query)?;
    let order = Order::parse(query, &USER_ORDERS)?;
    let page = query.page()?;
    let n_passed = cursor(store, query, &order, page.offset)?;

    if order.by == "created_at" && (n_passed > 0 || filter.user_id.included.is_empty()) {
        return Ok(page_in_order(store, &filter, &order, n_passed, page));
    }
    let mut users = matching(store, &filter);
    if order.by != "created_at" {
        users.sort_by(|a, b| order.compare(a, b));
    } else if order.descending {
        users.reverse();
    }
    let users = users.into_iter().skip(page.offset);
    Ok(users.take(page.limit).collect())
}

/// One page in the order of creation, after so many users; it is found at once unless the
/// users before it have to be asked whether they match.
fn page_in_order<'a>(
    store: &'a Store,
    filter: &Filter,
    order: &Order,
    n_passed: usize,
    page: Page,
) -> Vec<&'a User> {
    let is_open = *filter == Filter::default();
    let (n_passed, offset) = if is_open {
        (n_passed.saturating_add(page.offset), 0)
    } else {
        (n_passed, page.offset)
    };
    let users: Box<dyn Iterator<Item = &User>> = if order.descending {
        Box::new(store.users_without_newest(n_passed))
    } else {
        Box::new(store.users_without_oldest(n_passed))
    };
    users
        .filter(|user| is_open || filter.matches(store, user))
        .skip(offset)
        .take(page.limit)
        .collect()
}

/// All users that match, oldest first.
fn matching<'a>(store: &'a Store, filter: &Filter) -> Vec<&'a User> {
    let mut users = match &filter.user_id.included {
        ids if ids.is_empty() => store.users().collect(),
        ids => store.users_with(ids),
    };
    users.retain(|user| filter.matches(store, user));
    users
}

/// How many users the page is to leave out because they come no later than the one it starts after.
fn cursor(store: &Store, query: &Query, order: &Order, offset: usize) -> Result<usize, Error> {
    let refused = |why| Err(Error::wrong_value("starting_after", why));
    let Some(id) = query.first("starting_after") else {
        return Ok(0);
    };
    if order.by != "created_at" {
        return refused("starting_after requires ordering by created_at.");
    }
    if offset != 0 {
        return refused("starting_after cannot be combined with offset.");
    }
    match store.n_older(id) {
        Ok(n_older) if order.descending => Ok(store.n_users() - n_older),
        Ok(n_older) => Ok(n_older + 1),
        Err(_) => refused("starting_after is not the id of a user."),
    }
}

/// How many users match.
pub(crate) fn count(store: &Store, query: &Query) -> Result<usize, Error> {
    let filter = Filter::parse(query)?;
    if filter == Filter::default() {
        return Ok(store.n_users());
    }
    Ok(matching(store, &filter).len())
}

/// What a list of users, or of members, is narrowed down to.
#[derive(Default, PartialEq)]
struct Filter {
    email_address: Vec<String>,
    username: Vec<String>,
    user_id: Signed,
    external_id: Signed,
    organization_id: Signed,
    /// Asks for what no user here has: a phone number, a wallet, a connected account.
    is_impossible: bool,
    query: Option<String>,
    email_address_query: Option<String>,
    username_query: Option<String>,
    name_query: Option<String>,
    banned: Option<bool>,
    created_at: Range,
    last_active_at: Range,
    last_sign_in_at: Range,
}

impl Filter {
    fn parse(query: &Query) -> Result<Self, Error> {
        let lower = |name| -> Result<Vec<String>, Error> {
            Ok(query.all(name)?.iter().map(|v| v.to_lowercase()).collect())
        };
        let part = |name| query.first(name).map(str::to_lowercase);
        let mut is_impossible = part("phone_number_query").is_some();
        for name in ["phone_number", "web3_wallet", "provider_user_id"] {
            is_impossible |= !query.all(name)?.is_empty();
        }
        Ok(Self {
            email_address: lower("email_address")?,
            username: lower("username")?,
            user_id: Signed::parse(&query.all("user_id")?),
            external_id: Signed::parse(&query.all("external_id")?),
            organization_id: Signed::parse(&query.all("organization_id")?),
            is_impossible,
            query: part("query"),
            email_address_query: part("email_address_query"),
            username_query: part("username_query"),
            name_query: part("name_query"),
            banned: query.bool("banned")?,
            created_at: Range::parse(query, "created_at_after", "created_at_before")?,
            last_active_at: Range::parse(query, "last_active_at_after", "last_active_at_before")?,
            last_sign_in_at: Range::parse(
                query,
                "last_sign_in_at_after",
                "last_sign_in_at_before",
            )?,
        })
    }

    fn matches(&self, store: &Store, user: &User) -> bool {
        // The cheap and selective questions come first.
        if self.is_impossible
            || !self.user_id.accepts(Some(&user.id))
            || !self.external_id.accepts(user.external_id.as_deref())
            || !self
                .organization_id
                .accepts_any(|id| store.organizations.is_member(id, &user.id))
        {
            return false;
        }
        let has_email = |test: &dyn Fn(&str) -> bool| {
            user.email_addresses
                .iter()
                .any(|address| test(&address.email_address))
        };
        let username = user.username.as_deref().unwrap_or_default().to_lowercase();
        let name = [&user.first_name, &user.last_name]
            .map(|part| part.as_deref().unwrap_or_default().to_lowercase())
            .join(" ");
        let holds =
            |part: &Option<String>, test: &dyn Fn(&str) -> bool| part.as_deref().is_none_or(test);
        (self.email_address.is_empty()
            || has_email(&|email| self.email_address.iter().any(|wanted| wanted == email)))
            && (self.username.is_empty() || self.username.contains(&username))
            && holds(&self.query, &|part| {
                has_email(&|email| email.contains(part))
                    || username.contains(part)
                    || name.contains(part)
                    || user.id.to_lowercase().contains(part)
            })
            && holds(&self.email_address_query, &|part| {
                has_email(&|email| email.contains(part))
            })
            && holds(&self.username_query, &|part| username.contains(part))
            && holds(&self.name_query, &|part| name.contains(part))
            && self.banned.is_none_or(|banned| user.banned == banned)
            && self.created_at.holds(Some(user.created_at))
            && self.last_active_at.holds(user.last_active_at)
            && self.last_sign_in_at.holds(user.last_sign_in_at)
    }
}

/// Ids to include (`+` or nothing in front) and to exclude (`-`).
#[derive(Default, PartialEq)]
struct Signed {
    included: HashSet<String>,
    excluded: HashSet<String>,
}

impl Signed {
    fn parse(values: &[&str]) -> Self {
        let mut ids = Self::default();
        for value in values {
            // A plus that was not percent-encoded arrives as a space.
            match value.strip_prefix('-') {
                Some(id) => ids.excluded.insert(id.to_owned()),
                None => ids
                    .included
                    .insert(value.trim_start_matches(['+', ' ']).to_owned()),
            };
        }
        ids
    }

    fn accepts(&self, id: Option<&str>) -> bool {
        let is_in = |ids: &HashSet<String>| id.is_some_and(|id| ids.contains(id));
        (self.included.is_empty() || is_in(&self.included)) && !is_in(&self.excluded)
    }

    /// For what has many ids: is one of them included, and none excluded?
    fn accepts_any(&self, has: impl Fn(&str) -> bool) -> bool {
        let has_any = |ids: &HashSet<String>| ids.iter().any(|id| has(id));
        (self.included.is_empty() || has_any(&self.included)) && !has_any(&self.excluded)
    }
}

/// A time strictly between two bounds.
#[derive(Default, PartialEq)]
struct Range {
    after: Option<i64>,
    before: Option<i64>,
}

impl Range {
    fn parse(query: &Query, after: &str, before: &str) -> Result<Self, Error> {
        Ok(Self {
            after: query.int(after)?,
            before: query.int(before)?,
        })
    }

    fn holds(&self, time: Option<i64>) -> bool {
        self.after
            .is_none_or(|after| time.is_some_and(|time| time > after))
            && self
                .before
                .is_none_or(|before| time.is_some_and(|time| time < before))
    }
}

/// What users can be ordered by.
const USER_ORDERS: [&str; 10] = [
    "created_at",
    "updated_at",
    "email_address",
    "web3wallet",
    "first_name",
    "last_name",
    "phone_number",
    "username",
    "last_active_at",
    "last_sign_in_at",
];

/// The order of a list.
struct Order {
    by: &'static str,
    descending: bool,
}

impl Order {
    /// The order that the caller asks for, or the newest first.
    fn parse(query: &Query, names: &[&'static str]) -> Result<Self, Error> {
        let text = query.first("order_by").unwrap_or("-created_at");
        let name = text.trim_start_matches(['+', '-', ' ']);
        let by = names.iter().find(|known| **known == name);
        Ok(Self {
            by: by.ok_or_else(|| {
                Error::wrong_value("order_by", &format!("It cannot be ordered by {name}."))
            })?,
            descending: text.starts_with('-'),
        })
    }

    fn compare(&self, a: &User, b: &User) -> Ordering {
        self.direct(self.compare_fields(a, b).then_with(|| a.id.cmp(&b.id)))
    }

    fn compare_fields(&self, a: &User, b: &User) -> Ordering {
        match self.by {
            "updated_at" => a.updated_at.cmp(&b.updated_at),
            "email_address" => a.primary_email_address().cmp(&b.primary_email_address()),
            "first_name" => a.first_name.cmp(&b.first_name),
            "last_name" => a.last_name.cmp(&b.last_name),
            "username" => a.username.cmp(&b.username),
            "last_active_at" => a.last_active_at.cmp(&b.last_active_at),
            "last_sign_in_at" => a.last_sign_in_at.cmp(&b.last_sign_in_at),
            _ => Ordering::Equal,
        }
    }

    fn direct(&self, ordering: Ordering) -> Ordering {
        if self.descending {
            ordering.reverse()
        } else {
            ordering
        }
    }
}
