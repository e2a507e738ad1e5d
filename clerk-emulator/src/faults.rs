//! Faults to order: which calls they hit, how often, and what happens then.

use std::time::Duration;

use http::Method;
use serde::{Deserialize, Serialize};

/// A rule that spoils calls of the Backend API.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Fault {
    /// Which calls; all of them by default.
    #[serde(default, rename = "match")]
    pub matcher: Matcher,
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
    /// Such as `/v1/users`.
    #[serde(default)]
    pub path_prefix: Option<String>,
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
        self.matcher = Matcher {
            method: Some(method.to_owned()),
            path_prefix: Some(path_prefix.to_owned()),
        };
        self
    }

    /// Only the first `times` calls.
    #[must_use]
    pub fn times(mut self, times: u32) -> Self {
        self.times = Some(times);
        self
    }

    /// Only the first call.
    #[must_use]
    pub fn once(self) -> Self {
        self.times(1)
    }

    fn hits(&self, method: &Method, path: &str) -> bool {
        let is_method = |wanted: &String| wanted.eq_ignore_ascii_case(method.as_str());
        let is_prefix = |prefix: &String| path.starts_with(prefix.as_str());
        self.times != Some(0)
            && self.matcher.method.as_ref().is_none_or(is_method)
            && self.matcher.path_prefix.as_ref().is_none_or(is_prefix)
    }
}

/// The effect of the first fault that hits this call, which uses it up by one.
pub(crate) fn take(faults: &mut Vec<Fault>, method: &Method, path: &str) -> Option<Effect> {
    let fault = faults.iter_mut().find(|fault| fault.hits(method, path))?;
    let effect = fault.effect.clone();
    if let Some(times) = &mut fault.times {
        *times -= 1;
    }
    faults.retain(|fault| fault.times != Some(0));
    Some(effect)
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
