//! Places in lists as callers carry them: opaque, and safe in an address.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde::de::DeserializeOwned;

pub(super) fn of<T: Serialize>(place: &T) -> String {
    // A place is made of texts, times and ids, which always have a JSON form.
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(place).unwrap_or_default())
}

/// The place that a caller brings back; none if we never gave it out.
pub(super) fn read<T: DeserializeOwned>(cursor: &str) -> Option<T> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(cursor).ok()?).ok()
}
