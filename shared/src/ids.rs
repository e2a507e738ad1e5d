//! The ids of the two sides, each a type of its own so that none is taken for another.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Longest id that is accepted from outside.
/// Clerk's ids have about 32 characters; its own documents warn against relying on the length.
const MAX_LEN: usize = 128;

/// A type for the ids that Clerk gives to objects of one kind: a prefix and a word.
macro_rules! clerk_id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal, $expected:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The id as Clerk spells it.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = Error;

            fn from_str(text: &str) -> Result<Self, Error> {
                Self::try_from(text.to_owned())
            }
        }

        impl TryFrom<String> for $name {
            type Error = Error;

            fn try_from(text: String) -> Result<Self, Error> {
                let word = text.strip_prefix($prefix);
                let is_id = word.is_some_and(is_word) && text.len() <= MAX_LEN;
                if !is_id {
                    return Err(Error {
                        expected: $expected,
                    });
                }
                Ok(Self(text))
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

clerk_id! {
    /// The id that Clerk gave to a user: `user_…`.
    ClerkUserId, "user_", "a Clerk user id (user_…)"
}

clerk_id! {
    /// The id that Clerk gave to an organization: `org_…`.
    ClerkOrganizationId, "org_", "a Clerk organization id (org_…)"
}

clerk_id! {
    /// The id that Clerk gave to a membership: `orgmem_…`.
    /// Who leaves an organization and comes back has another one.
    ClerkMembershipId, "orgmem_", "a Clerk membership id (orgmem_…)"
}

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

impl UserRef {
    /// The one id or the other.
    pub fn split(&self) -> (Option<Uuid>, Option<&str>) {
        match self {
            Self::Row(UserId(id)) => (Some(*id), None),
            Self::Clerk(clerk_id) => (None, Some(clerk_id.as_str())),
        }
    }
}

/// The text is no such id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not {expected}")]
pub struct Error {
    expected: &'static str,
}

impl SvixId {
    /// The id as Svix spells it.
    pub fn as_str(&self) -> &str {
        &self.0
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

impl From<SvixId> for String {
    fn from(id: SvixId) -> Self {
        id.0
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
    fn an_id_of_clerks_tells_what_it_is_of() {
        let check = |text: &str, expected: [bool; 3]| {
            let found = [
                text.parse::<ClerkUserId>().is_ok(),
                text.parse::<ClerkOrganizationId>().is_ok(),
                text.parse::<ClerkMembershipId>().is_ok(),
            ];
            assert_eq!(found, expected, "{text}");
        };
        check("user_2abc", [true, false, false]);
        check("org_2abc", [false, true, false]);
        check("orgmem_2abc", [false, false, true]);
        check("org_a_b", [false, true, false]);
        for bad in ["org_", "orgmem_", "org", "org_a/b", "org_a b", "Org_a", ""] {
            check(bad, [false; 3]);
        }
        check(&format!("org_{}", "a".repeat(MAX_LEN)), [false; 3]);
    }

    #[test]
    fn an_id_of_clerks_is_the_same_text_everywhere() {
        let id: ClerkMembershipId = serde_json::from_str("\"orgmem_1\"").unwrap();
        assert_eq!(
            (id.as_str(), id.to_string().as_str()),
            ("orgmem_1", "orgmem_1")
        );
        assert_eq!(serde_json::to_string(&id).unwrap(), "\"orgmem_1\"");
        let error = serde_json::from_str::<ClerkOrganizationId>("\"orgmem_1\"").unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("not a Clerk organization id (org_…)"),
            "{error}"
        );
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
