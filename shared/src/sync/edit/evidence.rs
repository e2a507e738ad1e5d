//! Whether a user as Clerk shows them has what an edit asked for. No I/O.

use serde_json::{Map, Value};

use crate::clerk;
use crate::db::profile_edits::Columns;

/// Whether the edit was made, or need not be: all that Clerk has a part in is as it was asked for.
///
/// A password is not shown, only when it was changed: at another time than the one that Clerk
/// showed before the edit. Where nobody looked before, there is no telling.
pub(super) fn shows(
    seen: &clerk::User,
    columns: &Columns,
    has_password: bool,
    password_changed_at: Option<i64>,
) -> bool {
    let is_name = |wanted: &Option<Option<String>>, seen: &Option<String>| {
        wanted
            .as_ref()
            .is_none_or(|wanted| text(wanted.as_deref()) == text(seen.as_deref()))
    };
    is_name(&columns.first_name, &seen.first_name)
        && is_name(&columns.last_name, &seen.last_name)
        && columns
            .public_metadata
            .as_ref()
            .is_none_or(|patch| has_merged(&seen.public_metadata, patch))
        && (!has_password
            || password_changed_at.is_some_and(|before| self::password_changed_at(seen) > before))
}

/// When Clerk last changed the password, in ms by its clock; 0 if it never did.
pub(super) fn password_changed_at(seen: &clerk::User) -> i64 {
    seen.password_last_updated_at.unwrap_or_default()
}

/// An empty name is none.
fn text(name: Option<&str>) -> &str {
    name.unwrap_or_default()
}

/// Whether a bag is as if the patch had been merged into it: a `null` removes its key.
fn has_merged(bag: &Map<String, Value>, patch: &Map<String, Value>) -> bool {
    patch
        .iter()
        .all(|(key, wanted)| match (wanted, bag.get(key)) {
            (Value::Null, found) => found.is_none_or(Value::is_null),
            (Value::Object(wanted), Some(Value::Object(found))) => has_merged(found, wanted),
            (Value::Object(wanted), None) => has_merged(&Map::new(), wanted),
            (wanted, found) => found == Some(wanted),
        })
}
