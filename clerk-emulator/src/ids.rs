//! Ids as Clerk makes them: a prefix, an underscore and 27 letters or digits.

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// A fresh id such as `user_2g7np7Hrk0SN6kj5EDMLDaKNL0S`.
pub(crate) fn new(prefix: &str) -> String {
    format!("{prefix}_{}", letters(27))
}

/// A fresh trace id: 32 lower-case hexadecimal digits.
pub(crate) fn trace() -> String {
    format!("{:032x}", fastrand::u128(..))
}

/// `n` letters or digits.
pub(crate) fn letters(n: usize) -> String {
    (0..n)
        .filter_map(|_| fastrand::choice(ALPHABET))
        .map(|byte| char::from(*byte))
        .collect()
}
