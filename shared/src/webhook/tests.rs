//! Signatures, and every form an event was seen in.

use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use serde_json::{Value, json};

use ::http::HeaderValue;

use super::*;
use crate::clerk;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const OTHER_SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const ID: &str = "msg_2xTestDelivery1";
const BODY: &[u8] = br#"{"type":"user.deleted","data":{"id":"user_ada1","deleted":true}}"#;

fn verifier(pairs: &[(&str, &str)]) -> Verifier {
    Verifier::from_settings(&Settings::from_pairs(pairs.iter().copied())).unwrap()
}

fn signed_by(secret: &str) -> Verifier {
    verifier(&[("CLERK_WEBHOOK_SECRET", secret)])
}

fn now() -> i64 {
    i64::try_from(UNIX_EPOCH.elapsed().unwrap().as_secs()).unwrap()
}

fn sign(secret: &str, at: i64, body: &[u8]) -> String {
    Webhook::new(secret).unwrap().sign(ID, at, body).unwrap()
}

fn headers(at: i64, signature: &str) -> HeaderMap {
    let at = at.to_string();
    [
        (SVIX_ID, ID),
        (SVIX_TIMESTAMP, &at),
        (SVIX_SIGNATURE, signature),
    ]
    .map(|(name, value)| (name, value.parse().unwrap()))
    .into_iter()
    .collect()
}

fn signed(body: &[u8]) -> HeaderMap {
    let now = now();
    headers(now, &sign(SECRET, now, body))
}

fn read_bytes(body: &[u8]) -> Content {
    event::read(body)
}

#[test]
fn the_published_vector_is_good() {
    let mut headers = headers(
        1_614_265_330,
        "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    );
    headers.insert(SVIX_ID, "msg_p5jXN8AQM9LWM0D4loKWxJek".parse().unwrap());
    let body = br#"{"test": 2432232314}"#;
    let verifier = signed_by(SECRET);
    assert!(
        verifier.secrets[0]
            .verify_ignoring_timestamp(body, &headers)
            .is_ok()
    );
    assert_eq!(
        verifier.verify(&headers, body, None).unwrap_err(),
        Error::OutOfTime
    );
}

#[test]
fn a_good_delivery_is_taken_and_a_change_of_one_byte_is_not() {
    let verifier = signed_by(SECRET);
    let headers = signed(BODY);
    assert_eq!(
        verifier
            .verify(&headers, BODY, None)
            .unwrap()
            .svix_id
            .as_str(),
        ID
    );
    for i in 0..BODY.len() {
        let mut changed = BODY.to_vec();
        changed[i] ^= 1;
        let error = verifier.verify(&headers, &changed, None).unwrap_err();
        assert_eq!(error, Error::BadSignature, "body, byte {i}");
    }
    for name in [SVIX_ID, SVIX_TIMESTAMP, SVIX_SIGNATURE] {
        let value = headers[&name].as_bytes();
        for i in 0..value.len() {
            let mut changed = value.to_vec();
            changed[i] = if changed[i] == b'1' { b'2' } else { b'1' };
            let mut headers = headers.clone();
            headers.insert(&name, HeaderValue::from_bytes(&changed).unwrap());
            assert!(
                verifier.verify(&headers, BODY, None).is_err(),
                "{name}, byte {i}"
            );
        }
    }
    let longer = [BODY, b" "].concat();
    assert_eq!(
        verifier.verify(&headers, &longer, None).unwrap_err(),
        Error::BadSignature
    );
    assert!(
        signed_by(OTHER_SECRET)
            .verify(&headers, BODY, None)
            .is_err()
    );
}

#[test]
fn a_timestamp_may_be_five_minutes_off() {
    let verifier = signed_by(SECRET);
    let check = |offset: i64, expected: Result<(), Error>| {
        let at = now() + offset;
        let outcome = verifier.verify(&headers(at, &sign(SECRET, at, BODY)), BODY, None);
        assert_eq!(outcome.map(|_| ()), expected, "{offset}");
    };
    // The clock may go on between signing and checking: a second is left for it.
    check(-299, Ok(()));
    check(-301, Err(Error::OutOfTime));
    check(300, Ok(()));
    check(303, Err(Error::OutOfTime));
    // Milliseconds are far in the future.
    check(now() * 999, Err(Error::OutOfTime));
    for text in ["soon", "123.5", "-1", "99999999999999999999"] {
        let mut headers = signed(BODY);
        headers.insert(SVIX_TIMESTAMP, text.parse().unwrap());
        let error = verifier.verify(&headers, BODY, None).unwrap_err();
        assert_eq!(error, Error::BadSignature, "{text}");
    }
}

#[test]
fn one_good_signature_among_several_is_enough() {
    let verifier = signed_by(SECRET);
    let now = now();
    let good = sign(SECRET, now, BODY);
    let bad = sign(OTHER_SECRET, now, BODY);
    let hmac = good.strip_prefix("v1,").unwrap();
    let cases = [
        (format!("{bad} {good}"), true),
        (format!("{good} {bad}"), true),
        (format!("v1a,{hmac} {good}"), true),
        (format!("{bad}  {good}"), true),
        (bad.clone(), false),
        (format!("v2,{hmac}"), false),
        (format!("v1a,{hmac}"), false),
        (hmac.to_owned(), false),
        (format!("{bad},{good}"), false),
        ("v1,".to_owned(), false),
    ];
    for (signature, expected) in cases {
        let outcome = verifier.verify(&headers(now, &signature), BODY, None);
        assert_eq!(outcome.is_ok(), expected, "{signature}");
    }
}

#[test]
fn while_a_secret_is_replaced_both_are_good() {
    let now = now();
    for list in [
        format!("{OTHER_SECRET} {SECRET}"),
        format!("{SECRET},{OTHER_SECRET}"),
    ] {
        let verifier = signed_by(&list);
        for secret in [SECRET, OTHER_SECRET] {
            let headers = headers(now, &sign(secret, now, BODY));
            assert!(verifier.verify(&headers, BODY, None).is_ok());
        }
    }
    let both = [
        ("CLERK_WEBHOOK_SECRET", SECRET),
        ("CLERK_WEBHOOK_SIGNING_SECRET", OTHER_SECRET),
    ];
    assert!(verifier(&both).verify(&signed(BODY), BODY, None).is_ok());
    let clerks_name = verifier(&[("CLERK_WEBHOOK_SIGNING_SECRET", SECRET)]);
    assert!(clerks_name.verify(&signed(BODY), BODY, None).is_ok());
}

#[test]
fn all_three_headers_must_be_svix_own() {
    let verifier = signed_by(SECRET);
    let names = [
        (SVIX_ID, "svix-id"),
        (SVIX_TIMESTAMP, "svix-timestamp"),
        (SVIX_SIGNATURE, "svix-signature"),
    ];
    for (name, text) in names {
        let mut missing = signed(BODY);
        let value = missing.remove(&name).unwrap();
        missing.insert(
            HeaderName::try_from(text.replace("svix", "webhook")).unwrap(),
            value,
        );
        let error = verifier.verify(&missing, BODY, None).unwrap_err();
        assert_eq!(error, Error::MissingHeader(text));
        for blank in ["", " "] {
            let mut headers = signed(BODY);
            headers.insert(&name, HeaderValue::from_static(blank));
            let error = verifier.verify(&headers, BODY, None).unwrap_err();
            assert_eq!(error, Error::MissingHeader(text));
        }
    }
    assert!(verifier.verify(&HeaderMap::new(), BODY, None).is_err());
}

#[test]
fn development_believes_this_machine_and_no_other() {
    let verifier = verifier(&[("APP_ENV", "development")]);
    let check = |source: Option<&str>, expected: bool| {
        let source = source.map(|source| source.parse().unwrap());
        let outcome = verifier.verify(&HeaderMap::new(), BODY, source);
        assert_eq!(outcome.is_ok(), expected, "{source:?}");
    };
    check(Some("127.0.0.1"), true);
    check(Some("127.8.8.8"), true);
    check(Some("::1"), true);
    check(Some("::ffff:127.0.0.1"), true);
    check(Some("10.0.0.1"), false);
    check(Some("198.51.100.7"), false);
    check(None, false);

    let local = Some(IpAddr::from([127, 0, 0, 1]));
    let first = verifier.verify(&HeaderMap::new(), BODY, local).unwrap();
    let second = verifier.verify(&HeaderMap::new(), BODY, local).unwrap();
    assert_ne!(first.svix_id, second.svix_id);
    let named = verifier.verify(&signed(BODY), BODY, local).unwrap();
    assert_eq!(named.svix_id.as_str(), ID);
}

#[test]
fn a_secret_in_development_is_asked_for_all_the_same() {
    let verifier = verifier(&[("APP_ENV", "development"), ("CLERK_WEBHOOK_SECRET", SECRET)]);
    let local = Some(IpAddr::from([127, 0, 0, 1]));
    assert!(verifier.verify(&HeaderMap::new(), BODY, local).is_err());
    assert!(verifier.verify(&signed(BODY), BODY, local).is_ok());
}

#[test]
fn a_missing_or_malformed_secret_is_a_setting_to_mend() {
    let error = |pairs: &[(&str, &str)]| {
        Verifier::from_settings(&Settings::from_pairs(pairs.iter().copied())).unwrap_err()
    };
    assert_eq!(
        error(&[]).to_string(),
        "Webhook verification not configured"
    );
    for secret in [
        "whsec_",
        "whsec_not base64!",
        "sk_test_x",
        ",",
        "whsec_AAAA,whsec_",
        "ssm:/secret",
    ] {
        for mode in ["production", "development"] {
            let error = error(&[("CLERK_WEBHOOK_SECRET", secret), ("APP_ENV", mode)]);
            assert_eq!(
                (error.part, error.variable),
                (Part::Webhook, "CLERK_WEBHOOK_SECRET")
            );
        }
    }
}

#[test]
fn debug_shows_neither_secret_nor_body() {
    let verifier = signed_by(SECRET);
    let delivery = verifier.verify(&signed(BODY), BODY, None).unwrap();
    let text = format!("{verifier:?} {delivery:?}");
    assert!(
        !text.contains("MfKQ") && !text.contains("user_ada1"),
        "{text}"
    );
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/events")
}

fn fixture(name: &str) -> Event {
    let body = std::fs::read(fixtures().join(format!("{name}.json"))).unwrap();
    match read_bytes(&body) {
        Content::Event(event) => event,
        Content::Unreadable(unreadable) => panic!("{name}: {}", unreadable.reason),
    }
}

fn word(change: &Change) -> &'static str {
    match change {
        Change::UserCreated(_) => "user.created",
        Change::UserUpdated(_) => "user.updated",
        Change::UserDeleted(_) => "user.deleted",
        Change::OrganizationCreated(_) => "organization.created",
        Change::OrganizationUpdated(_) => "organization.updated",
        Change::OrganizationDeleted(_) => "organization.deleted",
        Change::MembershipCreated(_) => "organizationMembership.created",
        Change::MembershipUpdated(_) => "organizationMembership.updated",
        Change::MembershipDeleted(_) => "organizationMembership.deleted",
        Change::Ignored => "ignored",
    }
}

const HANDLED: [&str; 9] = [
    "user.created",
    "user.updated",
    "user.deleted",
    "organization.created",
    "organization.updated",
    "organization.deleted",
    "organizationMembership.created",
    "organizationMembership.updated",
    "organizationMembership.deleted",
];

#[test]
fn every_handled_type_has_a_fixture_that_reads_as_it() {
    for name in HANDLED {
        let event = fixture(name);
        assert_eq!(
            (event.event_type.as_str(), word(&event.change)),
            (name, name)
        );
        assert_eq!(event.instance_id.as_deref(), Some("ins_courses1"));
        assert!(event.at.is_some_and(|at| at > 1_798_000_000_000), "{name}");
        assert!(event.object_id.is_some(), "{name}");
    }
    assert_eq!(word(&fixture("session.created").change), "ignored");
}

#[test]
fn loose_and_old_forms_are_read_too() {
    for entry in std::fs::read_dir(fixtures()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        if let Some(rest) = name.strip_prefix("loose.") {
            let event = fixture(name);
            assert!(rest.starts_with(word(&event.change)), "{name}");
        }
    }
    let seconds = fixture("loose.user.created.seconds");
    assert_eq!(seconds.at, Some(1_798_761_600_000));
    let Change::UserCreated(user) = seconds.change else {
        panic!()
    };
    assert_eq!(user.updated_at, Some(1_798_761_600_000));
    let old = fixture("loose.user.created.old");
    assert_eq!((old.at, old.instance_id), (None, None));
    let old = fixture("loose.organizationMembership.created.old");
    let membership = membership(&old.change).unwrap();
    assert_eq!(membership.role, "basic_member");
    assert_eq!(membership.permissions, [""; 0]);
    assert_eq!(membership.organization.id.as_str(), "org_old1");
    let Change::OrganizationDeleted(id) = fixture("loose.organization.deleted.old").change else {
        panic!()
    };
    assert_eq!(id.as_str(), "org_old1");
}

#[test]
fn the_published_examples_read_as_what_they_are() {
    #[expect(
        clippy::disallowed_methods,
        reason = "the examples are not part of the repository"
    )]
    let Ok(folder) = std::env::var("CONFORMANCE_DIR") else {
        return;
    };
    let mut n_read = 0;
    for entry in std::fs::read_dir(Path::new(&folder).join("webhook-examples")).unwrap() {
        let path = entry.unwrap().path();
        let Some(name) = path.to_str().unwrap().strip_suffix(".json") else {
            continue;
        };
        let name = name.rsplit('/').next().unwrap();
        match read_bytes(&std::fs::read(&path).unwrap()) {
            Content::Event(event) => {
                let expected = if HANDLED.contains(&name) {
                    name
                } else {
                    "ignored"
                };
                assert_eq!(word(&event.change), expected, "{name}");
                if let Some(membership) = membership(&event.change) {
                    assert_eq!(event.object_id.as_deref(), Some(membership.id.as_str()));
                    assert!(membership.public_user_data.is_some(), "{name}");
                    assert!(membership.updated_at.is_some(), "{name}");
                }
            }
            Content::Unreadable(unreadable) => panic!("{name}: {}", unreadable.reason),
        }
        n_read += 1;
    }
    assert!(n_read > 0, "no examples in {folder}");
}

fn unreadable(body: &[u8]) -> Unreadable {
    match read_bytes(body) {
        Content::Unreadable(unreadable) => unreadable,
        Content::Event(event) => panic!("{event:?}"),
    }
}

#[test]
fn what_is_signed_and_cannot_be_read_is_kept() {
    assert_eq!(
        unreadable(b"nonsense\0").payload,
        json!({ "raw": "nonsense\u{fffd}" })
    );
    assert_eq!(unreadable(b"").payload, json!({ "raw": "" }));
    assert_eq!(
        unreadable(&[0xff, 0x00]).payload,
        json!({ "base64": "/wA=" })
    );
    assert_eq!(unreadable(b"[1]").payload, json!([1]));
    assert_eq!(
        unreadable(br#"{"data":{}}"#).reason,
        "the event has no type"
    );

    let deep = "[".repeat(5000);
    assert_eq!(unreadable(deep.as_bytes()).payload, json!({ "raw": deep }));

    let event = json!({
        "type": "user.created", "instance_id": "ins_1",
        "data": { "id": "user_1", "email_addresses": "secret@example.com" },
    });
    let read = unreadable(event.to_string().as_bytes());
    assert_eq!(read.reason, "data.email_addresses is not what it should be");
    assert_eq!(read.event_type.as_deref(), Some("user.created"));
    assert_eq!(read.object_id.as_deref(), Some("user_1"));
    assert_eq!(read.instance_id.as_deref(), Some("ins_1"));
    assert_eq!(read.payload, event);
}

#[test]
fn an_object_without_its_id_cannot_be_read() {
    for name in HANDLED {
        for data in [
            json!({}),
            json!(null),
            json!([]),
            json!({ "id": 7 }),
            json!({ "id": "" }),
            json!({ "id": "ins_1" }),
        ] {
            let body = json!({ "type": name, "data": data });
            let outcome = read_bytes(body.to_string().as_bytes());
            assert!(matches!(outcome, Content::Unreadable(_)), "{body}");
        }
    }
    let stranger = json!({ "type": "user.deleted", "data": { "id": "org_1", "deleted": true } });
    assert_eq!(
        unreadable(stranger.to_string().as_bytes()).reason,
        "data.id is not the id of a user"
    );
    let stranger = json!({ "type": "organization.deleted", "data": { "id": "orgmem_1" } });
    assert_eq!(
        unreadable(stranger.to_string().as_bytes()).reason,
        "data.id is not the id of an organization"
    );
}

/// The membership that an event is about.
fn membership(change: &Change) -> Option<&clerk::OrganizationMembership> {
    match change {
        Change::MembershipCreated(it)
        | Change::MembershipUpdated(it)
        | Change::MembershipDeleted(it) => Some(it),
        _ => None,
    }
}

#[test]
fn a_membership_names_its_user() {
    let check = |user: Option<Value>, expected: Result<&str, &str>| {
        for word in ["created", "updated", "deleted"] {
            let mut data = json!({
                "id": "orgmem_1", "role": "basic_member",
                "organization": { "id": "org_1", "slug": null, "public_metadata": null },
            });
            if let Some(user) = &user {
                data["public_user_data"] = user.clone();
            }
            let event = json!({ "type": format!("organizationMembership.{word}"), "data": data });
            match read_bytes(event.to_string().as_bytes()) {
                Content::Event(event) => {
                    let user = membership(&event.change).unwrap().public_user_data.as_ref();
                    assert_eq!(Ok(user.unwrap().user_id.as_str()), expected, "{word}");
                    assert_eq!(event.object_id.as_deref(), Some("orgmem_1"));
                }
                Content::Unreadable(unreadable) => {
                    assert_eq!(Err(unreadable.reason.as_str()), expected, "{word}");
                    assert_eq!(unreadable.payload, event);
                }
            }
        }
    };
    let missing = Err("data: missing field `public_user_data`");
    check(Some(json!({ "user_id": "user_1" })), Ok("user_1"));
    check(None, missing);
    check(Some(json!(null)), missing);
    check(
        Some(json!({ "identifier": "ada@home.example" })),
        Err("data.public_user_data: missing field `user_id`"),
    );
    check(
        Some(json!({ "user_id": "ada@home.example" })),
        Err("data.public_user_data.user_id is not what it should be"),
    );
}

#[test]
fn no_nul_reaches_postgres() {
    let body = br#"{"type":"user.updated","data":{"id":"user_1","first_name":"A\u0000da",
        "public_metadata":{"k\u0000":["\u0000"]}}}"#;
    let Content::Event(event) = read_bytes(body) else {
        panic!()
    };
    let Change::UserUpdated(user) = event.change else {
        panic!()
    };
    assert_eq!(user.first_name.as_deref(), Some("A\u{fffd}da"));
    assert_eq!(
        Value::Object(user.public_metadata),
        json!({ "k\u{fffd}": ["\u{fffd}"] })
    );
}
