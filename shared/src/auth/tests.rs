//! Every rule of Clerk's on tokens, and the keys in all their states.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use futures_util::future::join_all;
use jsonwebtoken::EncodingKey;
use serde_json::json;

use super::*;

const ONE_PRIVATE: &str = include_str!("../../../tests/fixtures/keys/one.private.pem");
const ONE_PUBLIC: &str = include_str!("../../../tests/fixtures/keys/one.public.pem");
const TWO_PRIVATE: &str = include_str!("../../../tests/fixtures/keys/two.private.pem");

/// What the tests call now, in seconds.
const NOW: i64 = 1_800_000_000;
const PARTY: &str = "https://courses.example";
const ISSUER: &str = "https://clerk.courses.example";

#[derive(Clone)]
struct Draft {
    header: Value,
    claims: Value,
    key: &'static str,
}

impl Draft {
    fn good() -> Self {
        Self {
            header: json!({ "alg": "RS256", "kid": "ins_one", "typ": "JWT", "cat": SESSION_CATEGORY }),
            claims: json!({
                "v": 2, "iss": ISSUER, "sub": "user_ada1", "sid": "sess_ada1", "azp": PARTY,
                "exp": NOW + 50, "nbf": NOW - 20, "iat": NOW - 10, "fva": [1, -1],
            }),
            key: ONE_PRIVATE,
        }
    }

    fn claim(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.claims[name] = value.into();
        self
    }

    fn without_claim(mut self, name: &str) -> Self {
        self.claims.as_object_mut().unwrap().remove(name);
        self
    }

    fn head(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.header[name] = value.into();
        self
    }

    fn without_head(mut self, name: &str) -> Self {
        self.header.as_object_mut().unwrap().remove(name);
        self
    }

    fn signed_with(mut self, key: &'static str) -> Self {
        self.key = key;
        self
    }

    fn token(&self) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", part(&self.header), part(&self.claims));
        let key = EncodingKey::from_rsa_pem(self.key.as_bytes()).unwrap();
        let algorithm = match self.header["alg"].as_str() {
            Some("RS384") => Algorithm::RS384,
            Some("RS512") => Algorithm::RS512,
            _ => Algorithm::RS256,
        };
        let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, algorithm).unwrap();
        format!("{message}.{signature}")
    }
}

fn now() -> Now {
    Now {
        unix_ms: NOW * 1000,
        steady: Instant::now(),
    }
}

fn verifier(pairs: &[(&str, &str)]) -> Verifier {
    let key = [("CLERK_JWT_KEY", ONE_PUBLIC)];
    Verifier::from_settings(&Settings::from_pairs(
        key.into_iter().chain(pairs.iter().copied()),
    ))
    .unwrap()
}

fn reason(result: Result<Caller, Error>) -> String {
    match result.err() {
        None => "ok".to_owned(),
        Some(Error::NotSignedIn { reason }) => reason.to_string(),
        Some(Error::KeysUnavailable(_)) => "keys-unavailable".to_owned(),
    }
}

async fn caller(draft: Draft) -> Caller {
    verifier(&[])
        .verify_at(Token::Header(&draft.token()), now())
        .await
        .unwrap()
}

#[tokio::test]
async fn tokens_are_judged_as_clerk_judges_them() {
    let open = verifier(&[]);
    let listed = verifier(&[(
        "CLERK_AUTHORIZED_PARTIES",
        "https://other.example https://courses.example",
    )]);
    let good = Draft::good;
    let cases = [
        ("valid", good(), "ok"),
        ("expired 4 s ago", good().claim("exp", NOW - 4), "ok"),
        (
            "expired 5 s ago",
            good().claim("exp", NOW - 5),
            "token-expired",
        ),
        (
            "expired 6 s ago",
            good().claim("exp", NOW - 6),
            "token-expired",
        ),
        ("nbf in 4 s", good().claim("nbf", NOW + 4), "ok"),
        ("nbf in 5 s", good().claim("nbf", NOW + 5), "ok"),
        (
            "nbf in 7 s",
            good().claim("nbf", NOW + 7),
            "token-not-active-yet",
        ),
        ("iat in 4 s", good().claim("iat", NOW + 4), "ok"),
        (
            "iat in 7 s",
            good().claim("iat", NOW + 7),
            "token-iat-in-the-future",
        ),
        ("no nbf", good().without_claim("nbf"), "ok"),
        ("no iat", good().without_claim("iat"), "ok"),
        (
            "nbf a string",
            good().claim("nbf", "soon"),
            "token-verification-failed",
        ),
        (
            "iat a string",
            good().claim("iat", "then"),
            "token-verification-failed",
        ),
        ("no sid", good().without_claim("sid"), "ok"),
        ("no typ", good().without_head("typ"), "ok"),
        (
            "another iss, none pinned",
            good().claim("iss", "https://other.example"),
            "ok",
        ),
        ("no azp, no list", good().without_claim("azp"), "ok"),
        (
            "no exp",
            good().without_claim("exp"),
            "token-verification-failed",
        ),
        (
            "exp a string",
            good().claim("exp", "1800000050"),
            "token-verification-failed",
        ),
        ("exp broken", good().claim("exp", 1_800_000_050.5), "ok"),
        (
            "no sub",
            good().without_claim("sub"),
            "token-verification-failed",
        ),
        (
            "sub a number",
            good().claim("sub", 7),
            "token-verification-failed",
        ),
        (
            "sub no user",
            good().claim("sub", "mch_7"),
            "token-verification-failed",
        ),
        (
            "alg none",
            good().head("alg", "none"),
            "token-invalid-algorithm",
        ),
        (
            "alg HS256",
            good().head("alg", "HS256"),
            "token-invalid-algorithm",
        ),
        (
            "alg ES256",
            good().head("alg", "ES256"),
            "token-invalid-algorithm",
        ),
        (
            "alg PS256",
            good().head("alg", "PS256"),
            "token-invalid-algorithm",
        ),
        (
            "no alg",
            good().without_head("alg"),
            "token-invalid-algorithm",
        ),
        ("alg RS384", good().head("alg", "RS384"), "ok"),
        ("alg RS512", good().head("alg", "RS512"), "ok"),
        ("typ at+jwt", good().head("typ", "at+jwt"), "token-invalid"),
        (
            "cat of a template",
            good().head("cat", "cl_B7d4PD222AAA"),
            "token-type-mismatch",
        ),
        (
            "cat of a machine",
            good().head("cat", "cl_B7d4PD333AAA"),
            "token-type-mismatch",
        ),
        ("no cat", good().without_head("cat"), "ok"),
        ("no kid, one key", good().without_head("kid"), "ok"),
        (
            "another's signature",
            good().signed_with(TWO_PRIVATE),
            "token-invalid-signature",
        ),
        ("pending", good().claim("sts", "pending"), "session-pending"),
        ("active", good().claim("sts", "active"), "ok"),
        (
            "aud that nobody asked for",
            good().claim("aud", "https://other.example"),
            "ok",
        ),
    ];
    for (name, draft, expected) in cases {
        let token = draft.token();
        assert_eq!(
            reason(open.verify_at(Token::Header(&token), now()).await),
            expected,
            "{name}"
        );
    }

    let parties = "token-invalid-authorized-parties";
    let cases = [
        ("valid", good(), "ok"),
        (
            "azp wrong",
            good().claim("azp", "https://evil.example"),
            parties,
        ),
        ("azp missing", good().without_claim("azp"), parties),
        ("azp empty", good().claim("azp", ""), parties),
        (
            "azp and exp wrong",
            good().claim("azp", "x").claim("exp", 1),
            parties,
        ),
    ];
    for (name, draft, expected) in cases {
        let token = draft.token();
        assert_eq!(
            reason(listed.verify_at(Token::Header(&token), now()).await),
            expected,
            "{name}"
        );
    }
}

#[tokio::test]
async fn what_is_no_token_is_invalid() {
    let verifier = verifier(&[]);
    let token = Draft::good().token();
    for text in [
        "",
        "a",
        "a.b",
        "a.b.c",
        "a.b.c.d",
        "..",
        &format!("{token}."),
        &format!(".{token}"),
    ] {
        let outcome = reason(verifier.verify_at(Token::Header(text), now()).await);
        assert_eq!(outcome, "token-invalid", "{text}");
    }
}

#[tokio::test]
async fn a_change_of_one_byte_anywhere_is_noticed() {
    let verifier = verifier(&[]);
    let token = Draft::good().token();
    for i in 0..token.len() {
        let mut bytes = token.clone().into_bytes();
        bytes[i] = if bytes[i] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(bytes).unwrap();
        let outcome = verifier.verify_at(Token::Header(&changed), now()).await;
        assert!(outcome.is_err(), "byte {i}");
    }
}

#[tokio::test]
async fn a_cookie_is_taken_only_for_a_known_party() {
    let token = Draft::good().token();
    let unlisted = verifier(&[]).verify_at(Token::Cookie(&token), now()).await;
    assert_eq!(reason(unlisted), "cookie-needs-authorized-parties");
    let listed = verifier(&[("CLERK_AUTHORIZED_PARTIES", PARTY)]);
    assert_eq!(
        reason(listed.verify_at(Token::Cookie(&token), now()).await),
        "ok"
    );
    let foreign = Draft::good().claim("azp", "https://evil.example").token();
    let outcome = listed.verify_at(Token::Cookie(&foreign), now()).await;
    assert_eq!(reason(outcome), "token-invalid-authorized-parties");
}

#[tokio::test]
async fn a_pinned_issuer_is_the_only_one() {
    let verifier = verifier(&[("CLERK_ISSUER", "https://clerk.courses.example/")]);
    let cases = [
        (Draft::good(), "ok"),
        (
            Draft::good().claim("iss", "https://clerk.other.example"),
            "token-invalid-issuer",
        ),
        (
            Draft::good().claim("iss", "https://clerk.courses.example.evil.example"),
            "token-invalid-issuer",
        ),
        (Draft::good().without_claim("iss"), "token-invalid-issuer"),
    ];
    for (draft, expected) in cases {
        let token = draft.token();
        assert_eq!(
            reason(verifier.verify_at(Token::Header(&token), now()).await),
            expected
        );
    }
}

#[tokio::test]
async fn the_caller_is_what_the_token_says() {
    let draft = Draft::good().claim("act", json!({ "sub": "user_support1", "sid": "sess_2" }));
    let expected = Caller {
        user_id: "user_ada1".parse().unwrap(),
        session_id: Some("sess_ada1".to_owned()),
        authorized_party: Some(PARTY.to_owned()),
        organization: None,
        impersonator: Some("user_support1".to_owned()),
    };
    assert_eq!(caller(draft).await, expected);
    assert_eq!(
        caller(Draft::good()).await,
        Caller {
            impersonator: None,
            ..expected
        }
    );
}

#[tokio::test]
async fn the_organization_is_read_from_either_version() {
    let v2 =
        json!({ "id": "org_1", "slg": "acme", "rol": "admin", "per": "manage,read", "fpm": "3,2" });
    let fea = "o:dashboard,u:profile,o:teams";
    let expected = ActiveOrganization {
        id: "org_1".to_owned(),
        role: "org:admin".to_owned(),
        slug: Some("acme".to_owned()),
        permissions: [
            "org:dashboard:manage",
            "org:dashboard:read",
            "org:teams:read",
        ]
        .map(str::to_owned)
        .to_vec(),
    };
    let draft = Draft::good().claim("o", v2.clone()).claim("fea", fea);
    assert_eq!(caller(draft).await.organization, Some(expected.clone()));

    let old = |draft: Draft| {
        draft
            .claim("org_id", "org_1")
            .claim("org_role", "org:admin")
            .claim("org_slug", "acme")
            .claim("org_permissions", json!(expected.permissions))
    };
    let v1 = caller(old(Draft::good().without_claim("v"))).await;
    assert_eq!(v1.organization, Some(expected.clone()));
    let legacy = caller(old(Draft::good().without_claim("v")).claim("org_role", "admin")).await;
    assert_eq!(legacy.organization.unwrap().role, "org:admin");

    // In a token of version 2 the old claims mean nothing, nor the new ones in an old token.
    assert_eq!(caller(old(Draft::good())).await.organization, None);
    let mixed = Draft::good().without_claim("v").claim("o", v2);
    assert_eq!(caller(mixed).await.organization, None);
}

#[tokio::test]
async fn permissions_are_unpacked_from_masks_of_any_length() {
    let names: Vec<String> = (0..70).map(|i| format!("p{i}")).collect();
    let all = names.join(",");
    // 2^69 + 1: far beyond what a double or 64 bits hold exactly.
    let big = "590295810358705651713";
    let big_granted = vec!["org:a:p0", "org:a:p69"];
    let cases = [
        (
            "o:a,o:b",
            "manage,read",
            "3,2",
            vec!["org:a:manage", "org:a:read", "org:b:read"],
        ),
        ("o:a", all.as_str(), big, big_granted),
        ("o:a, o:b", "x", "0, 1", vec!["org:b:x"]),
        ("uo:a,u:b", "x", "1", vec!["org:a:x"]),
        // More masks than features, more bits than permissions, fewer masks than features.
        ("o:a", "x", "1,1", vec!["org:a:x"]),
        ("o:a", "x", "7", vec!["org:a:x"]),
        ("o:a,o:b", "x", "1", vec!["org:a:x"]),
        // What is no mask grants nothing, nor does any beside it.
        ("o:a", "x", "abc", vec![]),
        ("o:a", "x", "-1", vec![]),
        ("o:a", "x", "0x1", vec![]),
        ("o:a,o:b", "x", "1,x", vec![]),
        ("o:a,o:b", "x", "1,", vec![]),
        ("o:a", "", "1", vec![]),
        ("", "x", "1", vec![]),
    ];
    for (fea, per, fpm, expected) in cases {
        let o = json!({ "id": "org_1", "rol": "member", "per": per, "fpm": fpm });
        let draft = Draft::good().claim("o", o).claim("fea", fea);
        let organization = caller(draft).await.organization.unwrap();
        assert_eq!(organization.permissions, expected, "{fea} {per} {fpm}");
    }
}

#[test]
fn a_pem_survives_an_environment_variable() {
    let forms = [
        ONE_PUBLIC.to_owned(),
        ONE_PUBLIC.replace('\n', "\\n"),
        ONE_PUBLIC.replace('\n', " "),
        ONE_PUBLIC.replace('\n', "\r\n"),
        ONE_PUBLIC.replace('\n', ""),
    ];
    for pem in &forms {
        let settings = Settings::from_pairs([("CLERK_JWT_KEY", pem.as_str())]);
        assert!(Verifier::from_settings(&settings).is_ok(), "{pem:?}");
    }
    for pem in [
        "garbage",
        "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----",
        ONE_PRIVATE,
    ] {
        let settings = Settings::from_pairs([("CLERK_JWT_KEY", pem)]);
        assert_eq!(
            Verifier::from_settings(&settings).unwrap_err().variable,
            "CLERK_JWT_KEY"
        );
    }
}

#[test]
fn without_any_key_the_part_is_not_configured() {
    let error = Verifier::from_settings(&Settings::from_pairs([])).unwrap_err();
    assert_eq!(error.to_string(), "Clerk authentication not configured");
    let pairs = [
        ("CLERK_SECRET_KEY", "sk_test_x"),
        ("CLERK_API_URL", "no url"),
    ];
    let error = Verifier::from_settings(&Settings::from_pairs(pairs)).unwrap_err();
    assert_eq!(error.variable, "CLERK_API_URL");
}

#[test]
fn debug_shows_no_secret() {
    let pairs = [("CLERK_SECRET_KEY", "sk_test_hush")];
    let verifier = Verifier::from_settings(&Settings::from_pairs(pairs)).unwrap();
    assert!(!format!("{verifier:?} {:?}", Token::Header("hush")).contains("hush"));
}

/// Serves a key set, and counts how often it is asked.
struct Clerk {
    address: SocketAddr,
    answer: Arc<Mutex<(u16, Value)>>,
    n_asked: Arc<AtomicUsize>,
    last_request: Arc<Mutex<String>>,
}

impl Clerk {
    fn start(keys: &[(&str, &str)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let clerk = Self {
            address: listener.local_addr().unwrap(),
            answer: Arc::new(Mutex::new((200, key_set(keys)))),
            n_asked: Arc::default(),
            last_request: Arc::default(),
        };
        let (answer, n_asked) = (Arc::clone(&clerk.answer), Arc::clone(&clerk.n_asked));
        let last_request = Arc::clone(&clerk.last_request);
        thread::spawn(move || {
            for mut stream in listener.incoming().map_while(std::result::Result::ok) {
                let mut buffer = [0; 4096];
                let n = stream.read(&mut buffer).unwrap_or_default();
                *last_request.lock().unwrap_or_else(PoisonError::into_inner) =
                    String::from_utf8_lossy(&buffer[..n]).into_owned();
                n_asked.fetch_add(1, Ordering::SeqCst);
                // Long enough for others to come and want the same.
                thread::sleep(Duration::from_millis(30));
                let (status, body) = answer
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .clone();
                let body = body.to_string();
                let head = format!(
                    "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                    body.len()
                );
                stream
                    .write_all(format!("{head}{body}").as_bytes())
                    .unwrap_or_default();
            }
        });
        clerk
    }

    fn verifier(&self) -> Verifier {
        let url = format!("http://{}/", self.address);
        let pairs = [
            ("CLERK_SECRET_KEY", "sk_test_hush"),
            ("CLERK_API_URL", url.as_str()),
        ];
        Verifier::from_settings(&Settings::from_pairs(pairs)).unwrap()
    }

    fn now_answers(&self, status: u16, keys: &[(&str, &str)]) {
        *self.answer.lock().unwrap() = (status, key_set(keys));
    }

    fn n_asked(&self) -> usize {
        self.n_asked.load(Ordering::SeqCst)
    }
}

fn key_set(keys: &[(&str, &str)]) -> Value {
    let jwk = |(kid, private): &(&str, &str)| {
        let key = EncodingKey::from_rsa_pem(private.as_bytes()).unwrap();
        let jwk = jsonwebtoken::jwk::Jwk::from_encoding_key(&key, Algorithm::RS256).unwrap();
        let mut jwk = serde_json::to_value(jwk).unwrap();
        jwk["kid"] = json!(kid);
        jwk
    };
    let foreign = json!({ "kty": "EC", "crv": "P-256", "kid": "ins_ec", "x": "AA", "y": "AA" });
    let mut keys: Vec<Value> = keys.iter().map(jwk).collect();
    keys.push(foreign);
    json!({ "keys": keys })
}

fn after(seconds: u64) -> Now {
    let mut now = now();
    now.steady += Duration::from_secs(seconds);
    now
}

#[tokio::test]
async fn keys_are_fetched_once_and_told_apart_by_their_kid() {
    let clerk = Clerk::start(&[("ins_one", ONE_PRIVATE), ("ins_two", TWO_PRIVATE)]);
    let verifier = clerk.verifier();
    let one = Draft::good().token();
    let two = Draft::good()
        .head("kid", "ins_two")
        .signed_with(TWO_PRIVATE)
        .token();
    let crossed = Draft::good().head("kid", "ins_two").token();
    let nameless = Draft::good().without_head("kid").token();
    let all = [&one, &two, &one, &two].map(|token| verifier.verify_at(Token::Header(token), now()));
    assert!(join_all(all).await.iter().all(std::result::Result::is_ok));
    let outcome = verifier.verify_at(Token::Header(&crossed), now()).await;
    assert_eq!(reason(outcome), "token-invalid-signature");
    let outcome = verifier.verify_at(Token::Header(&nameless), now()).await;
    assert_eq!(reason(outcome), "jwk-kid-mismatch");
    assert_eq!(clerk.n_asked(), 1);
    let request = clerk.last_request.lock().unwrap().to_lowercase();
    assert!(request.starts_with("get /v1/jwks http/1.1"), "{request}");
    assert!(
        request.contains("authorization: bearer sk_test_hush"),
        "{request}"
    );
}

#[tokio::test]
async fn a_kid_that_nobody_knows_asks_clerk_once_a_minute() {
    let clerk = Clerk::start(&[("ins_one", ONE_PRIVATE)]);
    let verifier = clerk.verifier();
    let unknown = Draft::good()
        .head("kid", "ins_two")
        .signed_with(TWO_PRIVATE)
        .token();
    let one = Draft::good().token();
    assert_eq!(
        reason(verifier.verify_at(Token::Header(&one), after(0)).await),
        "ok"
    );

    // Twenty at once, a minute later: one fetch.
    let at_once = (0..20).map(|_| verifier.verify_at(Token::Header(&unknown), after(61)));
    for outcome in join_all(at_once).await {
        assert_eq!(reason(outcome), "jwk-kid-mismatch");
    }
    assert_eq!(clerk.n_asked(), 2);

    // The key appears; it is seen when the minute is over, and not before.
    clerk.now_answers(200, &[("ins_one", ONE_PRIVATE), ("ins_two", TWO_PRIVATE)]);
    let outcome = verifier
        .verify_at(Token::Header(&unknown), after(110))
        .await;
    assert_eq!(reason(outcome), "jwk-kid-mismatch");
    assert_eq!(
        reason(verifier.verify_at(Token::Header(&one), after(110)).await),
        "ok"
    );
    assert_eq!(clerk.n_asked(), 2);
    assert_eq!(
        reason(
            verifier
                .verify_at(Token::Header(&unknown), after(123))
                .await
        ),
        "ok"
    );
    assert_eq!(clerk.n_asked(), 3);
}

#[tokio::test]
async fn a_key_that_was_replaced_under_the_same_kid_is_noticed_in_time() {
    let clerk = Clerk::start(&[("ins_one", ONE_PRIVATE)]);
    let verifier = clerk.verifier();
    let old = Draft::good().token();
    let new = Draft::good().signed_with(TWO_PRIVATE).token();
    assert_eq!(
        reason(verifier.verify_at(Token::Header(&old), after(0)).await),
        "ok"
    );
    clerk.now_answers(200, &[("ins_one", TWO_PRIVATE)]);
    let outcome = verifier.verify_at(Token::Header(&old), after(301)).await;
    assert_eq!(reason(outcome), "token-invalid-signature");
    assert_eq!(
        reason(verifier.verify_at(Token::Header(&new), after(301)).await),
        "ok"
    );
}

#[tokio::test]
async fn without_keys_nothing_is_said_of_the_token() {
    let clerk = Clerk::start(&[("ins_one", ONE_PRIVATE)]);
    clerk.now_answers(401, &[]);
    let verifier = clerk.verifier();
    let token = Draft::good().token();
    let at_once = (0..10).map(|_| verifier.verify_at(Token::Header(&token), after(0)));
    for outcome in join_all(at_once).await {
        assert_eq!(reason(outcome), "keys-unavailable");
    }
    assert_eq!(clerk.n_asked(), 1);

    // It comes back: at once, not in a minute.
    clerk.now_answers(200, &[("ins_one", ONE_PRIVATE)]);
    assert_eq!(
        reason(verifier.verify_at(Token::Header(&token), after(2)).await),
        "ok"
    );

    // It goes again: the keys that are known do for the while.
    clerk.now_answers(500, &[]);
    assert_eq!(
        reason(verifier.verify_at(Token::Header(&token), after(400)).await),
        "ok"
    );
    let unknown = Draft::good().head("kid", "ins_two").token();
    let outcome = verifier
        .verify_at(Token::Header(&unknown), after(402))
        .await;
    assert_eq!(reason(outcome), "keys-unavailable");
}

#[tokio::test]
async fn an_error_of_the_keys_names_no_secret() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let pairs = [
        ("CLERK_SECRET_KEY", "sk_test_hush"),
        ("CLERK_API_URL", url.as_str()),
    ];
    let verifier = Verifier::from_settings(&Settings::from_pairs(pairs)).unwrap();
    let token = Draft::good().token();
    let error = verifier.verify(Token::Header(&token)).await.unwrap_err();
    assert!(matches!(error, Error::KeysUnavailable(_)), "{error:?}");
    assert!(!format!("{error:?} {error}").contains("hush"));
}
