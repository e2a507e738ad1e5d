//! Which passwords Clerk takes. None is kept: it is judged and forgotten.

use crate::entities::User;
use crate::error::Error;

const SHORTEST: usize = 8;
const LONGEST: usize = 72;

/// Well-known passwords that stand for all that were ever leaked.
const LEAKED: [&str; 10] = [
    "12345678",
    "123456789",
    "1234567890",
    "iloveyou",
    "P@ssw0rd",
    "password",
    "Password1!",
    "password123",
    "qwerty123",
    "qwertyuiop",
];

/// What an instance asks of passwords.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Policy {
    /// Each kind of character must occur.
    pub(crate) is_strict: bool,
}

impl Policy {
    /// Refuses what this user may not take as their password; one answer tells all that its
    /// characters lack.
    pub(crate) fn judge(self, password: &str, user: &User) -> Result<(), Error> {
        let mut faults = length_faults(password);
        if self.is_strict {
            faults.extend(kinds_missing(password));
        }
        Error::all(faults)?;
        if names(user).any(|name| name == password.to_lowercase()) {
            return Err(matches_identifier());
        }
        if LEAKED.contains(&password) {
            return Err(leaked());
        }
        Ok(())
    }
}

fn length_faults(password: &str) -> Vec<Error> {
    match password.chars().count() {
        ..SHORTEST => vec![Error::password(
            "form_password_length_too_short",
            &format!("Passwords must be {SHORTEST} characters or more."),
        )],
        SHORTEST..=LONGEST => Vec::new(),
        _ => vec![Error::password(
            "form_password_length_too_long",
            &format!("Passwords must be less than {} characters.", LONGEST + 1),
        )],
    }
}

/// The kinds of characters that do not occur.
fn kinds_missing(password: &str) -> impl Iterator<Item = Error> {
    let has = |is_it: fn(char) -> bool| password.contains(is_it);
    [
        (
            has(char::is_uppercase),
            "form_password_no_uppercase",
            "an uppercase letter",
        ),
        (
            has(char::is_lowercase),
            "form_password_no_lowercase",
            "a lowercase letter",
        ),
        (
            has(|c| c.is_ascii_digit()),
            "form_password_no_number",
            "a number",
        ),
        (
            has(|c| !c.is_alphanumeric()),
            "form_password_no_special_char",
            "a special character",
        ),
    ]
    .into_iter()
    .filter(|(is_there, ..)| !is_there)
    .map(|(_, code, what)| Error::password(code, &format!("Passwords must contain {what}.")))
}

/// What a user goes by, in lower case: the addresses, what stands before their @, the username.
fn names(user: &User) -> impl Iterator<Item = String> {
    let addresses = user.email_addresses.iter();
    let addresses = addresses.map(|address| address.email_address.as_str());
    let locals = addresses
        .clone()
        .filter_map(|address| address.split_once('@'))
        .map(|(local, _)| local);
    let all = addresses.chain(locals).chain(user.username.as_deref());
    all.map(str::to_lowercase)
}

fn matches_identifier() -> Error {
    let message = "Passwords must differ from your email address and your username.";
    Error::password("form_password_matches_identifier", message)
}

fn leaked() -> Error {
    let message = "This password has been found in a data breach. Please use another.";
    Error::password("form_password_pwned", message)
}
