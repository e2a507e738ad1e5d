//! The three metadata bags: merging, replacing and the limit on their size.

use serde_json::Value;

use crate::error::Error;
use crate::params::Params;

/// The names of a user's bags on the wire.
pub(crate) const BAGS: [&str; 3] = ["public_metadata", "private_metadata", "unsafe_metadata"];

/// The names of the bags of an organization and of a membership.
pub(crate) const ORGANIZATION_BAGS: [&str; 2] = ["public_metadata", "private_metadata"];

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

/// Puts every bag that was sent in the place of the former one.
pub(crate) fn replace_sent<const N: usize>(
    bags: [(&'static str, &mut Value); N],
    params: &Params,
) -> Result<(), Error> {
    for (name, target) in bags {
        if let Some(bag) = params.raw(name) {
            require_bag(name, bag)?;
            target.clone_from(bag);
        }
    }
    Ok(())
}

/// Merges every bag that was sent into the one that is there.
pub(crate) fn merge_sent<const N: usize>(
    bags: [(&'static str, &mut Value); N],
    params: &Params,
) -> Result<(), Error> {
    for (name, target) in bags {
        match params.raw(name) {
            None => continue,
            Some(Value::Null) => {}
            Some(patch @ Value::Object(_)) => merge(target, patch),
            Some(patch) => require_bag(name, patch)?,
        }
        require_bag(name, target)?;
    }
    Ok(())
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
