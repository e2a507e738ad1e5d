//! The ids of the two sides, each a type of its own so that none is taken for another.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Longest id that is accepted from outside.
/// Clerk's ids have about 32 characters; its own documents warn against relying on the length.
const MAX_LEN: usize = 128;

/// The id that Clerk gave to a user: `user_…`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ClerkUserId(String);

/// The id of a row of `users`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UserId(pub Uuid);

/// The id of a webhook message: the same on every repetition of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SvixId(String);

/// A user as a route names them: by our id or by Clerk's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UserRef {
    /// The id of the row.
    Row(UserId),
    /// The id of the user in Clerk.
    Clerk(ClerkUserId),
}

/// The text is no such id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not {expected}")]
pub struct Error {
    expected: &'static str,
}

impl ClerkUserId {
    /// The id as Clerk spells it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl SvixId {
    /// The id as Svix spells it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ClerkUserId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::try_from(text.to_owned())
    }
}

impl TryFrom<String> for ClerkUserId {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        let is_id = text.strip_prefix("user_").is_some_and(is_word) && text.len() <= MAX_LEN;
        if !is_id {
            return Err(Error {
                expected: "a Clerk user id (user_…)",
            });
        }
        Ok(Self(text))
    }
}

impl TryFrom<String> for SvixId {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        let is_id = !text.is_empty()
            && text.len() <= MAX_LEN
            && text.bytes().all(|byte| byte.is_ascii_graphic());
        if !is_id {
            return Err(Error {
                expected: "a webhook message id",
            });
        }
        Ok(Self(text))
    }
}

impl FromStr for UserRef {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        if let Ok(clerk_id) = text.parse() {
            return Ok(Self::Clerk(clerk_id));
        }
        match Uuid::try_parse(text) {
            Ok(id) => Ok(Self::Row(UserId(id))),
            Err(_) => Err(Error {
                expected: "a user id (a UUID or user_…)",
            }),
        }
    }
}

impl From<ClerkUserId> for String {
    fn from(id: ClerkUserId) -> Self {
        id.0
    }
}

impl From<SvixId> for String {
    fn from(id: SvixId) -> Self {
        id.0
    }
}

impl fmt::Display for ClerkUserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for SvixId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

fn is_word(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_names_a_user_by_either_id() {
        let check = |text: &str, expected: Option<UserRef>| {
            assert_eq!(text.parse::<UserRef>().ok(), expected, "{text}");
        };
        let uuid = "6b4c6d1e-8f0e-4f39-9d8e-111111111111";
        check(uuid, Some(UserRef::Row(UserId(uuid.parse().unwrap()))));
        check(
            "user_2abc",
            Some(UserRef::Clerk(ClerkUserId("user_2abc".to_owned()))),
        );
        check("user_", None);
        check("user_2abc/../x", None);
        check("org_2abc", None);
        check("", None);
        check(&format!("user_{}", "a".repeat(MAX_LEN)), None);
    }

    #[test]
    fn a_message_id_is_short_and_printable() {
        assert!(SvixId::try_from("msg_2abc".to_owned()).is_ok());
        for bad in [
            String::new(),
            "a b".to_owned(),
            "a\n".to_owned(),
            "x".repeat(MAX_LEN + 1),
        ] {
            assert!(SvixId::try_from(bad.clone()).is_err(), "{bad:?}");
        }
    }
}
