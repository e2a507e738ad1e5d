//! Faults to order: which calls they hit, how often, and what happens then.

use std::collections::BTreeMap;
use std::time::Duration;

use http::{Method, Uri};
use serde::{Deserialize, Serialize};

use crate::params::Query;

/// A rule that spoils calls of the Backend API.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Fault {
    /// Which calls; all of them by default.
    #[serde(default, rename = "match")]
    pub matcher: Matcher,
    /// How many calls get through before that.
    #[serde(default)]
    pub skip: u32,
    /// How many calls it spoils; without a number, all until it is cleared.
    #[serde(default)]
    pub times: Option<u32>,
    /// What happens to them.
    pub effect: Effect,
}

/// Which calls a fault hits.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Matcher {
    /// Such as `PATCH`.
    #[serde(default)]
    pub method: Option<String>,
    /// How the path and the query start: `/v1/users` is also the start of `/v1/users/count`, but
    /// `/v1/users?` is not.
    #[serde(default)]
    pub path_prefix: Option<String>,
    /// What the query must hold, such as `offset` with the value `500`.
    #[serde(default)]
    pub query: BTreeMap<String, String>,
}

impl Matcher {
    pub(crate) fn new(method: &str, path_prefix: &str) -> Self {
        Self {
            method: Some(method.to_owned()),
            path_prefix: Some(path_prefix.to_owned()),
            query: BTreeMap::new(),
        }
    }

    pub(crate) fn hits(&self, method: &Method, uri: &Uri) -> bool {
        let is_method = |wanted: &String| wanted.eq_ignore_ascii_case(method.as_str());
        let target = uri.path_and_query().map_or("", |target| target.as_str());
        let is_prefix = |prefix: &String| target.starts_with(prefix.as_str());
        self.method.as_ref().is_none_or(is_method)
            && self.path_prefix.as_ref().is_none_or(is_prefix)
            && self.is_in(uri.query().unwrap_or_default())
    }

    fn is_in(&self, query: &str) -> bool {
        if self.query.is_empty() {
            return true;
        }
        let query = Query::parse(query);
        let mut wanted = self.query.iter();
        wanted.all(|(name, value)| query.first(name) == Some(value))
    }
}

/// What happens to a spoiled call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(from = "WireEffect", into = "WireEffect")]
#[non_exhaustive]
pub enum Effect {
    /// It is refused and changes nothing.
    Status {
        /// The status of the answer.
        status: u16,
        /// Clerk's error code; one that suits the status by default.
        code: Option<String>,
        /// Seconds, for the `Retry-After` header.
        retry_after: Option<u64>,
    },
    /// It is processed at once and answered late.
    Slow(Duration),
    /// It is processed late.
    DelayBefore(Duration),
    /// It changes nothing and the connection is closed without an answer.
    Drop,
    /// It is processed and the connection is closed without an answer.
    DropAnswer,
}

impl Fault {
    /// Every call has this effect.
    pub fn new(effect: Effect) -> Self {
        Self {
            matcher: Matcher::default(),
            skip: 0,
            times: None,
            effect,
        }
    }

    /// Every call is refused with this status.
    pub fn status(status: u16) -> Self {
        Self::new(Effect::Status {
            status,
            code: None,
            retry_after: None,
        })
    }

    /// Every call is refused with this status and this code of Clerk's.
    pub fn refusal(status: u16, code: &str) -> Self {
        Self::new(Effect::Status {
            status,
            code: Some(code.to_owned()),
            retry_after: None,
        })
    }

    /// Every call is refused as one too many.
    pub fn rate_limited(retry_after_seconds: u64) -> Self {
        Self::new(Effect::Status {
            status: 429,
            code: None,
            retry_after: Some(retry_after_seconds),
        })
    }

    /// Every answer is late.
    pub fn slow(delay: Duration) -> Self {
        Self::new(Effect::Slow(delay))
    }

    /// No call gets through.
    pub fn drop() -> Self {
        Self::new(Effect::Drop)
    }

    /// Every call gets through, no answer comes back.
    pub fn drop_answer() -> Self {
        Self::new(Effect::DropAnswer)
    }

    /// Only calls with this method whose path starts like this.
    #[must_use]
    pub fn on(mut self, method: &str, path_prefix: &str) -> Self {
        self.matcher = Matcher::new(method, path_prefix);
        self
    }

    /// Only calls whose query holds this, such as one certain page of a list.
    #[must_use]
    pub fn with_query(mut self, name: &str, value: &str) -> Self {
        let query = &mut self.matcher.query;
        query.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Not the first `n` calls.
    #[must_use]
    pub fn skip(mut self, n: u32) -> Self {
        self.skip = n;
        self
    }

    /// Only the first `times` calls, after those that it skips.
    #[must_use]
    pub fn times(mut self, times: u32) -> Self {
        self.times = Some(times);
        self
    }

    /// Only one call: the first, or the one after those that it skips.
    #[must_use]
    pub fn once(self) -> Self {
        self.times(1)
    }
}

/// The effect of the first fault that spoils this call, which uses it up by one.
/// The others that it would hit have seen it, too.
pub(crate) fn take(faults: &mut Vec<Fault>, method: &Method, uri: &Uri) -> Option<Effect> {
    let mut effect = None;
    for fault in faults.iter_mut() {
        if !fault.matcher.hits(method, uri) || fault.times == Some(0) {
            continue;
        }
        if fault.skip > 0 {
            fault.skip -= 1;
        } else if effect.is_none() {
            effect = Some(fault.effect.clone());
            fault.times = fault.times.map(|times| times - 1);
        }
    }
    faults.retain(|fault| fault.times != Some(0));
    effect
}

/// The form in which an effect goes over the wire.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum WireEffect {
    Status {
        status: u16,
        #[serde(default)]
        code: Option<String>,
        #[serde(default)]
        retry_after: Option<u64>,
    },
    Slow {
        slow_ms: u64,
    },
    DelayBefore {
        delay_before_ms: u64,
    },
    Cut(Cut),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Cut {
    Drop,
    DropAnswer,
}

impl From<WireEffect> for Effect {
    fn from(effect: WireEffect) -> Self {
        match effect {
            WireEffect::Status {
                status,
                code,
                retry_after,
            } => Self::Status {
                status,
                code,
                retry_after,
            },
            WireEffect::Slow { slow_ms } => Self::Slow(Duration::from_millis(slow_ms)),
            WireEffect::DelayBefore { delay_before_ms } => {
                Self::DelayBefore(Duration::from_millis(delay_before_ms))
            }
            WireEffect::Cut(Cut::Drop) => Self::Drop,
            WireEffect::Cut(Cut::DropAnswer) => Self::DropAnswer,
        }
    }
}

impl From<Effect> for WireEffect {
    fn from(effect: Effect) -> Self {
        let ms = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        match effect {
            Effect::Status {
                status,
                code,
                retry_after,
            } => Self::Status {
                status,
                code,
                retry_after,
            },
            Effect::Slow(delay) => Self::Slow { slow_ms: ms(delay) },
            Effect::DelayBefore(delay) => Self::DelayBefore {
                delay_before_ms: ms(delay),
            },
            Effect::Drop => Self::Cut(Cut::Drop),
            Effect::DropAnswer => Self::Cut(Cut::DropAnswer),
        }
    }
}

#[cfg(test)]
mod tests;
