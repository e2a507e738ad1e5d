//! What a session token says, once its signature is known to be good.

use serde_json::{Map, Value};

use super::{ActiveOrganization, Caller, Reason};

/// How far the clocks of Clerk and of this machine may differ.
const SKEW_MS: f64 = 5_000.0;

/// The claims of a token.
pub(super) struct Claims(Map<String, Value>);

impl Claims {
    pub(super) fn new(claims: Map<String, Value>) -> Self {
        Self(claims)
    }

    pub(super) fn caller(&self) -> Result<Caller, Reason> {
        let user_id = self.text("sub").and_then(|sub| sub.parse().ok());
        let impersonator = self
            .0
            .get("act")
            .and_then(|act| act.get("sub"))
            .and_then(Value::as_str);
        Ok(Caller {
            user_id: user_id.ok_or(Reason::TokenVerificationFailed)?,
            session_id: self.text("sid").map(str::to_owned),
            authorized_party: self.text("azp").map(str::to_owned),
            organization: self.organization(),
            impersonator: impersonator.map(str::to_owned),
        })
    }

    pub(super) fn require_issuer(&self, issuer: Option<&str>) -> Result<(), Reason> {
        let Some(issuer) = issuer else {
            return Ok(());
        };
        let is_ours = self
            .text("iss")
            .is_some_and(|iss| without_slash(iss) == without_slash(issuer));
        if is_ours {
            Ok(())
        } else {
            Err(Reason::TokenInvalidIssuer)
        }
    }

    /// A token without `azp` is refused too: it could be any site's.
    pub(super) fn require_authorized_party(&self, parties: &[String]) -> Result<(), Reason> {
        let is_ours = self
            .text("azp")
            .is_some_and(|azp| parties.iter().any(|party| party == azp));
        if parties.is_empty() || is_ours {
            Ok(())
        } else {
            Err(Reason::TokenInvalidAuthorizedParties)
        }
    }

    pub(super) fn require_current(&self, now_ms: i64) -> Result<(), Reason> {
        #[expect(clippy::cast_precision_loss, reason = "exact until the year 287396")]
        let now_ms = now_ms as f64;
        let expires_ms = self
            .time_ms("exp")?
            .ok_or(Reason::TokenVerificationFailed)?;
        if expires_ms <= now_ms - SKEW_MS {
            return Err(Reason::TokenExpired);
        }
        if self.time_ms("nbf")?.is_some_and(|it| it > now_ms + SKEW_MS) {
            return Err(Reason::TokenNotActiveYet);
        }
        if self.time_ms("iat")?.is_some_and(|it| it > now_ms + SKEW_MS) {
            return Err(Reason::TokenIatInTheFuture);
        }
        Ok(())
    }

    pub(super) fn require_complete_session(&self) -> Result<(), Reason> {
        if self.text("sts") == Some("pending") {
            Err(Reason::SessionPending)
        } else {
            Ok(())
        }
    }

    /// A token of version 2 carries the organization in `o`; what older claims say is ignored.
    fn organization(&self) -> Option<ActiveOrganization> {
        match self.0.get("v").and_then(Value::as_i64) {
            None | Some(1) => self.organization_v1(),
            Some(_) => self.organization_v2(),
        }
    }

    fn organization_v1(&self) -> Option<ActiveOrganization> {
        let permissions = self.0.get("org_permissions").and_then(Value::as_array);
        let permissions = permissions.into_iter().flatten().filter_map(Value::as_str);
        Some(ActiveOrganization {
            id: self.text("org_id")?.to_owned(),
            role: with_prefix(self.text("org_role")?),
            slug: self.text("org_slug").map(str::to_owned),
            permissions: permissions.map(str::to_owned).collect(),
        })
    }

    fn organization_v2(&self) -> Option<ActiveOrganization> {
        let o = self.0.get("o")?;
        let text = |claim: &str| o.get(claim).and_then(Value::as_str);
        let features = self.text("fea").unwrap_or_default();
        let permissions = permissions(
            features,
            text("per").unwrap_or_default(),
            text("fpm").unwrap_or_default(),
        );
        Some(ActiveOrganization {
            id: text("id")?.to_owned(),
            role: with_prefix(text("rol")?),
            slug: text("slg").map(str::to_owned),
            permissions: permissions.unwrap_or_default(),
        })
    }

    fn text(&self, claim: &str) -> Option<&str> {
        self.0
            .get(claim)
            .and_then(Value::as_str)
            .filter(|text| !text.is_empty())
    }

    /// A time may be missing, but not be anything else than a number.
    fn time_ms(&self, claim: &str) -> Result<Option<f64>, Reason> {
        let Some(value) = self.0.get(claim) else {
            return Ok(None);
        };
        let seconds = value.as_f64().ok_or(Reason::TokenVerificationFailed)?;
        Ok(Some(seconds * 1000.0))
    }
}

/// Puts the permissions together again: the bit `j` of the mask `i` says whether the `i`th feature
/// of the organization has the `j`th permission.
/// One mask that is no number makes them all untrustworthy: `None`.
fn permissions(features: &str, names: &str, masks: &str) -> Option<Vec<String>> {
    if names.is_empty() || masks.is_empty() {
        return Some(Vec::new());
    }
    let names: Vec<&str> = names.split(',').map(str::trim).collect();
    let masks: Option<Vec<_>> = masks
        .split(',')
        .map(|mask| low_bits(mask.trim(), names.len()))
        .collect();
    let features = features.split(',').filter_map(organization_feature);
    let mut permissions = Vec::new();
    for (feature, bits) in features.zip(masks?) {
        let granted = names.iter().zip(bits).filter(|(_, bit)| *bit);
        permissions.extend(granted.map(|(name, _)| format!("org:{feature}:{name}")));
    }
    Some(permissions)
}

/// `o:dashboard` and `uo:dashboard` are of the organization, `u:dashboard` is of the user alone.
fn organization_feature(feature: &str) -> Option<&str> {
    let (scope, name) = feature.trim().split_once(':')?;
    scope.contains('o').then_some(name)
}

/// The lowest `n` bits of a decimal number of any length, the lowest first.
fn low_bits(decimal: &str, n: usize) -> Option<Vec<bool>> {
    if decimal.is_empty() || !decimal.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let mut digits: Vec<u8> = decimal.bytes().map(|byte| byte - b'0').collect();
    Some((0..n).map(|_| halve(&mut digits)).collect())
}

/// Halves the number, and tells whether a one fell off.
fn halve(digits: &mut [u8]) -> bool {
    let mut carry = 0;
    for digit in digits {
        let value = carry * 10 + *digit;
        *digit = value / 2;
        carry = value % 2;
    }
    carry == 1
}

fn with_prefix(role: &str) -> String {
    if role.starts_with("org:") {
        role.to_owned()
    } else {
        format!("org:{role}")
    }
}

fn without_slash(url: &str) -> &str {
    url.strip_suffix('/').unwrap_or(url)
}
