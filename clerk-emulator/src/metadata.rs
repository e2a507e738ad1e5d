//! The three metadata bags: merging, replacing and the limit on their size.

use serde_json::Value;

use crate::error::Error;

/// The names of the bags on the wire.
pub(crate) const BAGS: [&str; 3] = ["public_metadata", "private_metadata", "unsafe_metadata"];

/// Eight kilobytes per bag.
const LIMIT: usize = 8 * 1024;

/// Merges `patch` into `target` at every depth; a `null` removes its key, an array replaces.
pub(crate) fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        target.clone_from(patch);
        return;
    };
    if !target.is_object() {
        *target = Value::Object(serde_json::Map::new());
    }
    let Value::Object(target) = target else {
        return;
    };
    for (key, value) in patch {
        if value.is_null() {
            target.remove(key);
        } else {
            merge(target.entry(key).or_insert(Value::Null), value);
        }
    }
}

/// Refuses a bag that is not an object or is too large.
pub(crate) fn require_bag(name: &str, bag: &Value) -> Result<(), Error> {
    if !bag.is_object() && !bag.is_null() {
        return Err(Error::wrong_value(
            name,
            &format!("{name} must be a valid JSON object."),
        ));
    }
    if bag.to_string().len() > LIMIT {
        return Err(Error::too_large(name));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
