//! The fields of a profile as callers write them, parsed. No I/O.
//!
//! What is refused here is refused before Clerk or the database is asked for anything.

use email_address::{EmailAddress, Options};
use serde_json::{Map, Value};

/// The longest name, in characters.
pub const MAX_NAME_LEN: usize = 255;
/// The longest address, in bytes (RFC 5321, errata 1690).
pub const MAX_EMAIL_LEN: usize = 254;
/// The longest id of a group, in characters.
pub const MAX_GROUP_LEN: usize = 255;
/// The most public metadata that one edit carries, in bytes of JSON: the size of Clerk's bag.
pub const MAX_METADATA_LEN: usize = 8 * 1024;

/// A field cannot be what it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Invalid {
    /// For programs.
    pub code: &'static str,
    /// What to do about it, for people: never the value.
    pub message: String,
    /// The field.
    pub field: &'static str,
}

/// A given or a family name; a blank one is none.
pub fn name(field: &'static str, text: Option<&str>) -> Result<Option<String>, Invalid> {
    line("invalid_name", field, text, MAX_NAME_LEN)
}

/// Both names in one: the first word is the given name, and the rest the family name.
pub fn names(
    field: &'static str,
    text: Option<&str>,
) -> Result<(Option<String>, Option<String>), Invalid> {
    let text = text.unwrap_or_default().trim();
    let (first, last) = text.split_once(' ').unwrap_or((text, ""));
    Ok((name(field, Some(first))?, name(field, Some(last))?))
}

/// The id of a group; a blank one is none.
pub fn builder_group_id(
    field: &'static str,
    text: Option<&str>,
) -> Result<Option<String>, Invalid> {
    line("invalid_group", field, text, MAX_GROUP_LEN)
}

/// An address that mail can be sent to, from anywhere.
pub fn email(field: &'static str, text: &str) -> Result<String, Invalid> {
    let options = Options::default()
        .with_required_tld()
        .without_domain_literal()
        .without_display_text();
    let text = text.trim();
    let is_email = text.len() <= MAX_EMAIL_LEN
        && !text.contains(char::is_control)
        && EmailAddress::parse_with_options(text, options).is_ok();
    if !is_email {
        return Err(Invalid {
            code: "invalid_email",
            message: format!("{field} is not an e-mail address such as ada@example.com."),
            field,
        });
    }
    Ok(text.to_owned())
}

/// Public metadata to merge: without the role, which has its own way, and not more than fits.
pub fn public_metadata(field: &'static str, bag: &Map<String, Value>) -> Result<(), Invalid> {
    let invalid = |code, message: String| {
        Err(Invalid {
            code,
            message,
            field,
        })
    };
    if bag.contains_key("role") {
        let way = "PATCH /api/admin/users/{userId}";
        return invalid(
            "role_not_allowed",
            format!("The role is not set here: use {way}."),
        );
    }
    if json_len(bag) > MAX_METADATA_LEN {
        let kib = MAX_METADATA_LEN / 1024;
        return invalid(
            "invalid_metadata",
            format!("{field} takes at most {kib} KB of JSON."),
        );
    }
    if has_nul(bag.iter()) {
        return invalid(
            "invalid_metadata",
            format!("{field} holds a NUL character, which the database cannot keep."),
        );
    }
    Ok(())
}

fn line(
    code: &'static str,
    field: &'static str,
    text: Option<&str>,
    max_len: usize,
) -> Result<Option<String>, Invalid> {
    let text = text.unwrap_or_default().trim();
    let invalid = |message| Invalid {
        code,
        message,
        field,
    };
    if text.chars().count() > max_len {
        return Err(invalid(format!(
            "{field} takes at most {max_len} characters."
        )));
    }
    if text.contains(char::is_control) {
        return Err(invalid(format!(
            "{field} holds a line break or another control character."
        )));
    }
    Ok(Some(text.to_owned()).filter(|text| !text.is_empty()))
}

fn json_len(bag: &Map<String, Value>) -> usize {
    // A map with keys of text always has a JSON form.
    serde_json::to_vec(bag).map_or(usize::MAX, |json| json.len())
}

fn has_nul<'a>(mut entries: impl Iterator<Item = (&'a String, &'a Value)>) -> bool {
    entries.any(|(key, value)| key.contains('\0') || value_has_nul(value))
}

fn value_has_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(value_has_nul),
        Value::Object(bag) => has_nul(bag.iter()),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Reads and writes a field that may be left out (`None`), be null (`Some(None)`), or have a value.
pub mod three_valued {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    /// Writes the value; what is left out is left out by the attribute beside this one.
    pub fn serialize<T: Serialize, S: Serializer>(
        value: &Option<Option<T>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let value = value.as_ref().and_then(Option::as_ref);
        value.serialize(serializer)
    }

    /// Reads what is there; what is left out needs `#[serde(default)]`.
    pub fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
        json: D,
    ) -> Result<Option<Option<T>>, D::Error> {
        Option::deserialize(json).map(Some)
    }
}

#[cfg(test)]
mod tests;
