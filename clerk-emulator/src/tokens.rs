//! Signs tokens with the key of the instance and publishes the key.

use std::sync::{Arc, OnceLock};

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{
    KeyPair as _, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RsaEncoding,
};
use aws_lc_rs::{error::Unspecified, hmac, rand::SystemRandom};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::entities::Organization;
use crate::metadata;

/// The RSA key pair of an instance.
#[derive(Debug)]
pub(crate) struct Key {
    pair: KeyPair,
    public_pem: String,
}

/// A key that is made when it is first needed, which in many tests is never.
#[derive(Debug, Default)]
pub(crate) struct LazyKey(OnceLock<Arc<Key>>);

impl LazyKey {
    /// A key that is there already.
    pub(crate) fn from_key(key: Key) -> Self {
        Self(OnceLock::from(Arc::new(key)))
    }

    /// The key; without one of its own, the one that all emulators of this process share.
    #[expect(clippy::panic, reason = "nothing here works without randomness")]
    pub(crate) fn get(&self) -> &Key {
        static OF_PROCESS: OnceLock<Arc<Key>> = OnceLock::new();
        self.0.get_or_init(|| {
            let shared = OF_PROCESS.get_or_init(|| match Key::generate() {
                Ok(key) => Arc::new(key),
                Err(error) => panic!("no key could be made: {error}"),
            });
            Arc::clone(shared)
        })
    }
}

/// A key could not be made or read.
#[derive(Debug, thiserror::Error)]
#[error("not a usable RSA private key in PKCS #8 PEM form")]
pub struct KeyError;

impl From<Unspecified> for KeyError {
    fn from(_: Unspecified) -> Self {
        Self
    }
}

impl Key {
    /// A fresh key; making one takes a while.
    fn generate() -> Result<Self, KeyError> {
        Self::from_pair(KeyPair::generate(KeySize::Rsa2048)?)
    }

    /// A key from a PKCS #8 PEM.
    pub(crate) fn from_pem(pem: &str) -> Result<Self, KeyError> {
        let body: String = pem
            .lines()
            .filter(|line| !line.starts_with("-----"))
            .map(str::trim)
            .collect();
        let der = STANDARD.decode(body).map_err(|_| KeyError)?;
        Self::from_pair(KeyPair::from_pkcs8(&der).map_err(|_| KeyError)?)
    }

    fn from_pair(pair: KeyPair) -> Result<Self, KeyError> {
        let der: PublicKeyX509Der<'_> = pair.public_key().as_der()?;
        let public_pem = to_pem("PUBLIC KEY", der.as_ref());
        Ok(Self { pair, public_pem })
    }

    /// The private key as PEM, to keep it for the next start.
    pub(crate) fn private_pem(&self) -> Result<String, KeyError> {
        let der: Pkcs8V1Der<'_> = self.pair.as_der()?;
        Ok(to_pem("PRIVATE KEY", der.as_ref()))
    }

    pub(crate) fn public_pem(&self) -> &str {
        &self.public_pem
    }

    /// The key set that verifiers fetch.
    pub(crate) fn jwks(&self, kid: &str) -> Value {
        let public = self.pair.public_key();
        let n = public.modulus().big_endian_without_leading_zero();
        let e = public.exponent().big_endian_without_leading_zero();
        json!({ "keys": [{
            "use": "sig",
            "kty": "RSA",
            "kid": kid,
            "alg": "RS256",
            "n": URL_SAFE_NO_PAD.encode(n),
            "e": URL_SAFE_NO_PAD.encode(e),
        }] })
    }

    /// Signs whatever it is given, in the way that the header's `alg` asks for.
    ///
    /// `none` signs nothing; `HS256` uses the public key as the secret, as a forger would.
    pub(crate) fn sign(&self, header: &Value, claims: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let input = format!("{}.{}", part(header), part(claims));
        let signature = match header.get("alg").and_then(Value::as_str) {
            Some("none") => Vec::new(),
            Some("HS256") => {
                let key = hmac::Key::new(hmac::HMAC_SHA256, self.public_pem.as_bytes());
                hmac::sign(&key, input.as_bytes()).as_ref().to_vec()
            }
            Some("RS384") => self.rsa(&RSA_PKCS1_SHA384, &input),
            Some("RS512") => self.rsa(&RSA_PKCS1_SHA512, &input),
            _ => self.rsa(&RSA_PKCS1_SHA256, &input),
        };
        format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    fn rsa(&self, encoding: &'static dyn RsaEncoding, input: &str) -> Vec<u8> {
        let mut signature = vec![0; self.pair.public_modulus_len()];
        let signed = self.pair.sign(
            encoding,
            &SystemRandom::new(),
            input.as_bytes(),
            &mut signature,
        );
        match signed {
            Ok(()) => signature,
            Err(Unspecified) => Vec::new(),
        }
    }
}

fn to_pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let mut pem = format!("-----BEGIN {label}-----\n");
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, tail) = rest.split_at(rest.len().min(64));
        pem.push_str(line);
        pem.push('\n');
        rest = tail;
    }
    pem + &format!("-----END {label}-----\n")
}

/// Which claims a session token has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum TokenVersion {
    /// Before 2025-04-10.
    V1,
    /// Since 2025-04-10.
    #[default]
    V2,
}

/// What a session token says.
pub(crate) struct Subject<'a> {
    pub(crate) issuer: &'a str,
    pub(crate) user_id: &'a str,
    pub(crate) session_id: &'a str,
    pub(crate) session_created_at: i64,
    pub(crate) azp: Option<&'a str>,
    pub(crate) lifetime_seconds: i64,
}

/// The claims of a session token made at `now` (milliseconds).
pub(crate) fn claims(version: TokenVersion, subject: &Subject<'_>, now: i64) -> Value {
    let iat = now / 1000;
    let minutes = (now - subject.session_created_at).max(0) / 60_000;
    let mut claims = json!({
        "exp": iat + subject.lifetime_seconds,
        "fva": [minutes, -1],
        "iat": iat,
        "iss": subject.issuer,
        "nbf": iat - 10,
        "sid": subject.session_id,
        "sub": subject.user_id,
    });
    if let Some(azp) = subject.azp {
        metadata::merge(&mut claims, &json!({ "azp": azp }));
    }
    if version == TokenVersion::V2 {
        let jti = format!("{:020x}", fastrand::u128(..) >> 48);
        let newer = json!({ "jti": jti, "pla": "u:free", "sts": "active", "v": 2 });
        metadata::merge(&mut claims, &newer);
    }
    claims
}

/// The claims about the active organization, in which the user has this role.
pub(crate) fn organization_claims(
    version: TokenVersion,
    organization: &Organization,
    role: &str,
) -> Value {
    let Organization { id, slug, .. } = organization;
    match version {
        // Permissions are the custom ones only, of which there are none.
        TokenVersion::V1 => json!({
            "org_id": id, "org_slug": slug, "org_role": role, "org_permissions": [],
        }),
        TokenVersion::V2 => {
            let role = role.strip_prefix("org:").unwrap_or(role);
            json!({ "o": { "id": id, "slg": slug, "rol": role } })
        }
    }
}

/// The header of a session token; the key id is the id of the instance.
pub(crate) fn header(kid: &str) -> Value {
    json!({ "alg": "RS256", "cat": "cl_B7d4PD111AAA", "kid": kid, "typ": "JWT" })
}

#[cfg(test)]
mod tests;
