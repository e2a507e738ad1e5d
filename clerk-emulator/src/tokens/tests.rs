//! Tokens against another implementation: the `jsonwebtoken` crate.

use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};
use serde_json::{Value, json};

use super::{Key, LazyKey, Subject, TokenVersion, claims, header};

const SUBJECT: Subject<'_> = Subject {
    issuer: "https://clerk.example.com",
    user_id: "user_1",
    session_id: "sess_1",
    session_created_at: 0,
    azp: None,
    lifetime_seconds: 60,
};

#[test]
fn a_signed_token_verifies_by_pem_and_by_key_set() {
    let key = LazyKey::default();
    let key = key.get();
    let now = crate::clock::real_ms();
    let jwt = key.sign(&header("ins_1"), &claims(TokenVersion::V2, &SUBJECT, now));
    let validation = Validation::new(Algorithm::RS256);

    let by_pem = DecodingKey::from_rsa_pem(key.public_pem().as_bytes()).unwrap();
    let token = decode::<Value>(&jwt, &by_pem, &validation).unwrap();
    assert_eq!(token.claims["sub"], "user_1");
    assert_eq!(token.header.kid.as_deref(), Some("ins_1"));

    let keys: JwkSet = serde_json::from_value(key.jwks("ins_1")).unwrap();
    let by_jwk = DecodingKey::from_jwk(keys.find("ins_1").unwrap()).unwrap();
    decode::<Value>(&jwt, &by_jwk, &validation).unwrap();

    let mut broken = jwt.into_bytes();
    let last = broken.len() - 10;
    broken[last] = if broken[last] == b'A' { b'B' } else { b'A' };
    let broken = String::from_utf8(broken).unwrap();
    assert!(decode::<Value>(&broken, &by_pem, &validation).is_err());
}

#[test]
fn the_larger_hashes_and_forgeries_are_signed_as_asked() {
    let key = LazyKey::default();
    let key = key.get();
    let by_pem = DecodingKey::from_rsa_pem(key.public_pem().as_bytes()).unwrap();
    let claims = json!({ "sub": "user_1", "exp": 4_000_000_000_u64 });
    for (name, algorithm) in [("RS384", Algorithm::RS384), ("RS512", Algorithm::RS512)] {
        let jwt = key.sign(&json!({ "alg": name, "typ": "JWT" }), &claims);
        decode::<Value>(&jwt, &by_pem, &Validation::new(algorithm)).unwrap();
    }
    assert!(key.sign(&json!({ "alg": "none" }), &claims).ends_with('.'));
    let forged = key.sign(&json!({ "alg": "HS256", "typ": "JWT" }), &claims);
    let secret = DecodingKey::from_secret(key.public_pem().as_bytes());
    decode::<Value>(&forged, &secret, &Validation::new(Algorithm::HS256)).unwrap();
}

#[test]
fn the_first_version_has_no_claims_of_the_second() {
    let v1 = claims(TokenVersion::V1, &SUBJECT, 120_000);
    assert_eq!(
        v1,
        json!({
            "exp": 180, "fva": [2, -1], "iat": 120, "iss": "https://clerk.example.com",
            "nbf": 110, "sid": "sess_1", "sub": "user_1",
        })
    );
    let v2 = claims(TokenVersion::V2, &SUBJECT, 120_000);
    assert_eq!(
        (&v2["v"], &v2["pla"], &v2["sts"]),
        (&json!(2), &json!("u:free"), &json!("active"))
    );
}

#[test]
fn a_key_survives_being_written_and_read() {
    let key = LazyKey::default();
    let key = key.get();
    let again = Key::from_pem(&key.private_pem().unwrap()).unwrap();
    assert_eq!(again.public_pem(), key.public_pem());
    assert!(Key::from_pem("nonsense").is_err());
}
