//! Session tokens: whether one is good, and who is signed in by it.
//!
//! The rules and their order are those of Clerk's own SDK, and so are the words for the log.
//! Whether the caller may do a thing is not decided here: that takes the database.

mod claims;
mod keys;

use std::fmt;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::config::{Configured, Settings};
use crate::ids::ClerkUserId;

use claims::Claims;
use keys::Keys;

/// The `cat` of a session token; templates and machines have others, signed with the same key.
const SESSION_CATEGORY: &str = "cl_B7d4PD111AAA";

/// Knows whose session tokens are good.
pub struct Verifier {
    keys: Keys,
    /// The only `iss` that is good, if one is set.
    issuer: Option<String>,
    /// The only `azp`s that are good, if any are set.
    authorized_parties: Vec<String>,
}

/// A session token, and where the request carried it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Token<'a> {
    /// In the `Authorization` header.
    Header(&'a str),
    /// In the `__session` cookie.
    /// A browser sends it along with any site's request, so it is good only for a known `azp`.
    Cookie(&'a str),
}

/// Who is signed in, as their token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The user (`sub`).
    pub user_id: ClerkUserId,
    /// The session (`sid`).
    pub session_id: Option<String>,
    /// The origin that the token was made for (`azp`).
    pub authorized_party: Option<String>,
    /// The organization that the session is active in.
    pub organization: Option<ActiveOrganization>,
    /// Who acts in the user's name (`act.sub`).
    pub impersonator: Option<String>,
}

/// The organization that a session is active in, as it was when the token was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActiveOrganization {
    /// `org_…`.
    pub id: String,
    /// `org:admin` and the like, with the prefix whatever the token's version.
    pub role: String,
    /// The name in addresses; an instance may do without.
    pub slug: Option<String>,
    /// `org:dashboard:read` and the like.
    pub permissions: Vec<String>,
}

/// Nobody is signed in, or it cannot be told.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no token, or it is not good: 401.
    #[error("Sign in first: this needs the token of a current session.")]
    NotSignedIn {
        /// For the log: whoever forges a token need not learn what gave it away.
        #[source]
        reason: Reason,
    },
    /// The keys that tokens are checked with could not be had: 503.
    #[error("Sign-in cannot be checked right now; try again in a moment.")]
    KeysUnavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Why nobody is signed in, in Clerk's words where Clerk has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// The request carries none.
    #[error("token-missing")]
    TokenMissing,
    /// It is no JWT.
    #[error("token-invalid")]
    TokenInvalid,
    /// It is a JWT, but not one of a session.
    #[error("token-type-mismatch")]
    TokenTypeMismatch,
    /// `alg` is none of RS256, RS384 and RS512.
    #[error("token-invalid-algorithm")]
    TokenInvalidAlgorithm,
    /// No key has the token's `kid`.
    #[error("jwk-kid-mismatch")]
    JwkKidMismatch,
    /// The key did not sign it.
    #[error("token-invalid-signature")]
    TokenInvalidSignature,
    /// A claim is missing or not what it should be.
    #[error("token-verification-failed")]
    TokenVerificationFailed,
    /// Another instance made it.
    #[error("token-invalid-issuer")]
    TokenInvalidIssuer,
    /// It was made for another site.
    #[error("token-invalid-authorized-parties")]
    TokenInvalidAuthorizedParties,
    /// It came in a cookie, and no site is known to be ours.
    #[error("cookie-needs-authorized-parties")]
    CookieNeedsAuthorizedParties,
    /// Its time is over.
    #[error("token-expired")]
    TokenExpired,
    /// Its time has not come.
    #[error("token-not-active-yet")]
    TokenNotActiveYet,
    /// It is from the future.
    #[error("token-iat-in-the-future")]
    TokenIatInTheFuture,
    /// The session is not complete, such as when an organization is still to be chosen.
    #[error("session-pending")]
    SessionPending,
}

/// One reading of both clocks: the one for people, and the one that never jumps.
#[derive(Debug, Clone, Copy)]
struct Now {
    unix_ms: i64,
    steady: Instant,
}

/// A token that has the form of one; nothing in it is to be believed yet.
struct Jwt<'a> {
    algorithm: Algorithm,
    kid: Option<String>,
    claims: Map<String, Value>,
    /// What is signed.
    message: &'a str,
    signature: &'a str,
}

/// The header of a JWT.
#[derive(Deserialize)]
struct Header {
    #[serde(default)]
    alg: Value,
    #[serde(default)]
    kid: Option<String>,
    #[serde(default)]
    typ: Option<Value>,
    #[serde(default)]
    cat: Option<Value>,
}

impl Verifier {
    /// Reads `CLERK_JWT_KEY`, or `CLERK_SECRET_KEY` and `CLERK_API_URL`; and
    /// `CLERK_ISSUER` and `CLERK_AUTHORIZED_PARTIES`.
    pub fn from_settings(settings: &Settings) -> Configured<Self> {
        let issuer = settings.optional("CLERK_ISSUER").map(str::to_owned);
        let authorized_parties = settings.list("CLERK_AUTHORIZED_PARTIES");
        Ok(Self {
            keys: Keys::from_settings(settings)?,
            issuer,
            authorized_parties: authorized_parties.into_iter().map(str::to_owned).collect(),
        })
    }

    /// Tells who is signed in by the token.
    pub async fn verify(&self, token: Token<'_>) -> Result<Caller, Error> {
        self.verify_at(token, Now::read()).await
    }

    async fn verify_at(&self, token: Token<'_>, now: Now) -> Result<Caller, Error> {
        if matches!(token, Token::Cookie(_)) && self.authorized_parties.is_empty() {
            return Err(Reason::CookieNeedsAuthorizedParties.into());
        }
        let jwt = Jwt::parse(token.text())?;
        let key = self.keys.find(jwt.kid.as_deref(), now.steady).await?;
        let is_signed = jsonwebtoken::crypto::verify(
            jwt.signature,
            jwt.message.as_bytes(),
            &key,
            jwt.algorithm,
        );
        if !is_signed.unwrap_or(false) {
            return Err(Reason::TokenInvalidSignature.into());
        }
        let claims = Claims::new(jwt.claims);
        let caller = claims.caller()?;
        claims.require_issuer(self.issuer.as_deref())?;
        claims.require_authorized_party(&self.authorized_parties)?;
        claims.require_current(now.unix_ms)?;
        claims.require_complete_session()?;
        Ok(caller)
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            keys: _,
            issuer,
            authorized_parties,
        } = self;
        f.debug_struct("Verifier")
            .field("keys", &"[redacted]")
            .field("issuer", issuer)
            .field("authorized_parties", authorized_parties)
            .finish()
    }
}

impl<'a> Token<'a> {
    fn text(self) -> &'a str {
        match self {
            Self::Header(text) | Self::Cookie(text) => text,
        }
    }
}

impl fmt::Debug for Token<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Header(_) => "Header([redacted])",
            Self::Cookie(_) => "Cookie([redacted])",
        })
    }
}

impl From<Reason> for Error {
    fn from(reason: Reason) -> Self {
        Self::NotSignedIn { reason }
    }
}

impl Now {
    fn read() -> Self {
        let since_1970 = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let unix_ms = i64::try_from(since_1970.as_millis()).unwrap_or(i64::MAX);
        Self {
            unix_ms,
            steady: Instant::now(),
        }
    }
}

impl<'a> Jwt<'a> {
    fn parse(text: &'a str) -> Result<Self, Reason> {
        let (message, signature) = text.rsplit_once('.').ok_or(Reason::TokenInvalid)?;
        let (header, claims) = message.split_once('.').ok_or(Reason::TokenInvalid)?;
        let header: Header = decode(header)?;
        let claims = decode(claims)?;
        URL_SAFE_NO_PAD
            .decode(signature)
            .map_err(|_| Reason::TokenInvalid)?;
        if header.typ.is_some_and(|typ| typ != "JWT") {
            return Err(Reason::TokenInvalid);
        }
        if header.cat.is_some_and(|cat| cat != SESSION_CATEGORY) {
            return Err(Reason::TokenTypeMismatch);
        }
        // Before any key is looked for: a key is never used with another family's algorithm.
        let algorithm = match header.alg.as_str() {
            Some("RS256") => Algorithm::RS256,
            Some("RS384") => Algorithm::RS384,
            Some("RS512") => Algorithm::RS512,
            _ => return Err(Reason::TokenInvalidAlgorithm),
        };
        Ok(Self {
            algorithm,
            kid: header.kid,
            claims,
            message,
            signature,
        })
    }
}

/// Reads one part of a JWT; a dot too many is no base64 and ends here.
fn decode<T: for<'de> Deserialize<'de>>(part: &str) -> Result<T, Reason> {
    let json = URL_SAFE_NO_PAD
        .decode(part)
        .map_err(|_| Reason::TokenInvalid)?;
    serde_json::from_slice(&json).map_err(|_| Reason::TokenInvalid)
}

#[cfg(test)]
mod tests;
