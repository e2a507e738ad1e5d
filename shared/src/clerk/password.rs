//! A password on its way to Clerk.

use std::fmt;

use serde::Serialize;

/// A password that somebody chose: it goes to Clerk and nowhere else.
/// It has no `Display`, and its `Debug` shows nothing of it, so whatever holds one may be shown.
#[derive(Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Password(String);

impl Password {
    /// Takes the password as it was written; whether it is good enough is for Clerk to say.
    pub fn new(password: String) -> Self {
        Self(password)
    }

    /// The password itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}
