//! Identifiers stay unique and cursors stay sound.

use super::{Store, listing};
use crate::entities::{User, Verification};
use crate::error::Error;
use crate::instance::email_address;
use crate::params::Query;

fn user(id: &str, email: &str, is_verified: bool, created_at: i64) -> User {
    let mut user = User::new(id.to_owned(), created_at);
    let verification = is_verified.then(Verification::admin);
    user.email_addresses
        .push(email_address(email.to_owned(), verification, created_at));
    user
}

fn code(result: Result<User, Error>) -> Option<String> {
    result.err().map(|error| error.code)
}

#[test]
fn a_proven_address_belongs_to_one_user() {
    let mut store = Store::default();
    store.put(user("user_1", "a@x.org", true, 1)).unwrap();
    let second = store.put(user("user_2", "a@x.org", true, 2));
    assert_eq!(code(second).as_deref(), Some("form_identifier_exists"));
    assert!(store.user("user_2").is_err(), "nothing of it was kept");

    // An address that nobody has proven keeps nobody else away.
    store.put(user("user_3", "a@x.org", false, 3)).unwrap();
    assert_eq!(store.owner_of_email("a@x.org").unwrap().id, "user_1");

    store.remove("user_1");
    assert!(store.owner_of_email("a@x.org").is_none());
    store.put(user("user_2", "a@x.org", true, 2)).unwrap();
}

#[test]
fn a_user_who_changes_gives_former_identifiers_back() {
    let mut store = Store::default();
    let mut first = User::new("user_1".to_owned(), 1);
    first.username = Some("Ada".to_owned());
    first.external_id = Some("7".to_owned());
    store.put(first.clone()).unwrap();

    let mut second = User::new("user_2".to_owned(), 2);
    second.username = Some("ada".to_owned());
    assert_eq!(
        code(store.put(second.clone())).as_deref(),
        Some("form_identifier_exists")
    );
    first.username = None;
    store.put(first).unwrap();
    second.external_id = Some("8".to_owned());
    store.put(second).unwrap();
    assert_eq!(store.users().count(), 2);
}

#[test]
fn a_walk_by_cursor_shows_each_user_once_even_within_one_millisecond() {
    let mut store = Store::default();
    for n in 0..25 {
        store
            .put(User::new(format!("user_{n:02}"), i64::from(n / 10)))
            .unwrap();
    }
    for order in ["created_at", "-created_at"] {
        let mut seen: Vec<String> = Vec::new();
        loop {
            let cursor = seen.last().map(|id| format!("&starting_after={id}"));
            let query = format!("limit=4&order_by={order}{}", cursor.unwrap_or_default());
            let page = listing::page(&store, &Query::parse(&query)).unwrap();
            seen.extend(page.iter().map(|user| user.id.clone()));
            if page.len() < 4 {
                break;
            }
        }
        if order.starts_with('-') {
            seen.reverse();
        }
        let expected: Vec<String> = (0..25).map(|n| format!("user_{n:02}")).collect();
        assert_eq!(seen, expected, "{order}");
    }
}
