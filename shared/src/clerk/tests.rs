//! What is read, how failures are sorted, and (in the modules) what goes over the wire.

mod invitations;
mod organizations;
mod retries;

use reqwest::StatusCode;
use serde_json::json;

use super::retry::{may_repeat, pause, the_one_to_report};
use super::*;

fn user(json: Value) -> User {
    serde_json::from_value(json).unwrap()
}

/// What Clerk answers, sorted.
fn answer(status: u16, code: &str) -> Error {
    let body = json!({
        "errors": [{
            "message": "No.",
            "long_message": "No, ada@example.org.",
            "code": code,
            "meta": {"param_name": "first_name"},
        }],
        "clerk_trace_id": "0123456789abcdef0123456789abcdef",
    });
    let status = StatusCode::from_u16(status).unwrap();
    Error::from_answer(status, &HeaderMap::new(), body.to_string().as_bytes())
}

/// What a proxy answers.
fn foreign_answer(status: u16) -> Error {
    let status = StatusCode::from_u16(status).unwrap();
    Error::from_answer(status, &HeaderMap::new(), b"<html>Not here</html>")
}

fn rate_limited(seconds: u64) -> Error {
    Error::RateLimited {
        retry_after: Some(Duration::from_secs(seconds)),
    }
}

#[test]
fn a_user_is_read_in_full() {
    let ada = user(json!({
        "object": "user",
        "id": "user_2g7np7Hrk0SN6kj5EDMLDaKNL0S",
        "external_id": "row-1",
        "primary_email_address_id": "idn_2",
        "username": "ada",
        "first_name": "Ada",
        "last_name": "Lovelace",
        "image_url": "https://img.clerk.com/ada",
        "has_image": true,
        "public_metadata": {"role": "ADMIN", "team": {"id": 7}},
        "private_metadata": {"note": "hush"},
        "unsafe_metadata": {},
        "email_addresses": [
            {"id": "idn_1", "object": "email_address", "email_address": "old@example.org",
             "reserved": false, "linked_to": [],
             "verification": {"object": "verification_otp", "status": "verified",
                              "strategy": "email_code", "attempts": 1, "expire_at": 1}},
            {"id": "idn_2", "email_address": "ada@example.org", "verification": null},
        ],
        "phone_numbers": [],
        "two_factor_enabled": false,
        "banned": true,
        "locked": false,
        "deprovisioned": true,
        "last_sign_in_at": 1_716_883_300_123_i64,
        "password_last_updated_at": 1_716_883_250_123_i64,
        "created_at": 1_716_883_100_123_i64,
        "updated_at": 1_716_883_200_123_i64,
        "scim": {"directory_id": "dir_1", "directory_enabled": true, "external_id": null},
    }));
    assert_eq!(ada.id.as_str(), "user_2g7np7Hrk0SN6kj5EDMLDaKNL0S");
    assert_eq!(ada.external_id.as_deref(), Some("row-1"));
    assert_eq!(ada.first_name.as_deref(), Some("Ada"));
    assert_eq!(ada.last_name.as_deref(), Some("Lovelace"));
    assert_eq!(ada.username.as_deref(), Some("ada"));
    assert_eq!(ada.image_url.as_deref(), Some("https://img.clerk.com/ada"));
    let primary = PrimaryEmail {
        address: "ada@example.org",
        is_verified: false,
    };
    assert_eq!(ada.primary_email(), Some(primary));
    assert_eq!(ada.role(), Some(&json!("ADMIN")));
    assert_eq!(ada.last_sign_in_at, Some(1_716_883_300_123));
    assert_eq!(ada.password_last_updated_at, Some(1_716_883_250_123));
    assert_eq!(ada.created_at, Some(1_716_883_100_123));
    assert_eq!(ada.updated_at, Some(1_716_883_200_123));
    assert!(ada.banned && !ada.locked && ada.deprovisioned && ada.is_managed_by_directory());
    assert!(
        !format!("{ada:?}").contains("hush"),
        "private metadata is kept"
    );
}

#[test]
fn an_id_is_enough_for_a_user() {
    let bare = user(json!({"id": "user_1"}));
    let nulls = user(json!({
        "id": "user_1", "external_id": null, "primary_email_address_id": null, "username": null,
        "first_name": null, "last_name": null, "image_url": null, "public_metadata": null,
        "email_addresses": null, "banned": null, "locked": null, "deprovisioned": null,
        "last_sign_in_at": null, "password_last_updated_at": null, "created_at": null, "updated_at": null, "scim": null,
    }));
    let old = user(json!({
        "id": "user_1", "birthday": "", "gender": "", "email_addresses": [],
        "public_metadata": [], "scim": null, "profile_image_url": "https://example.org",
    }));
    assert_eq!(bare, nulls);
    assert_eq!(bare, old);
    assert_eq!(bare.primary_email(), None);
    assert_eq!(bare.role(), None);
    assert!(serde_json::from_value::<User>(json!({"id": "org_1"})).is_err());
    assert!(serde_json::from_value::<User>(json!({"first_name": "Ada"})).is_err());
}

#[test]
fn the_primary_address_is_the_named_one_or_none() {
    let check = |primary_id: Value, expected: Option<(&str, bool)>| {
        let ada = user(json!({
            "id": "user_1",
            "primary_email_address_id": primary_id,
            "email_addresses": [
                {"email_address": "no-id@example.org"},
                {"id": "idn_1", "email_address": "first@example.org",
                 "verification": {"status": "verified"}},
                {"id": "idn_2", "email_address": "second@example.org",
                 "verification": {"status": "expired"}},
                {"id": "idn_3", "email_address": "third@example.org", "verification": {}},
            ],
        }));
        let found = ada.primary_email().map(|it| (it.address, it.is_verified));
        assert_eq!(found, expected, "{primary_id}");
    };
    check(json!("idn_1"), Some(("first@example.org", true)));
    check(json!("idn_2"), Some(("second@example.org", false)));
    check(json!("idn_3"), Some(("third@example.org", false)));
    check(json!("idn_4"), None);
    check(json!(""), None);
    check(json!(null), None);
}

#[test]
fn a_role_may_be_anything_but_null() {
    let check = |bag: Value, expected: Option<Value>| {
        let ada = user(json!({"id": "user_1", "public_metadata": bag}));
        assert_eq!(ada.role(), expected.as_ref(), "{bag}");
    };
    check(json!({"role": "ADMIN"}), Some(json!("ADMIN")));
    check(json!({"role": ["ADMIN"]}), Some(json!(["ADMIN"])));
    check(json!({"role": ""}), Some(json!("")));
    check(json!({"role": null}), None);
    check(json!({}), None);
    check(json!("ADMIN"), None);
}

#[test]
fn times_are_milliseconds_whatever_they_came_as() {
    let check = |time: Value, expected: Result<Option<i64>, ()>| {
        let read = |field: &str| {
            serde_json::from_value::<User>(json!({"id": "user_1", field: time})).map_err(|_| ())
        };
        assert_eq!(
            read("updated_at").map(|it| it.updated_at),
            expected,
            "{time}"
        );
        let hint = expected.unwrap_or_default();
        assert_eq!(read("created_at").unwrap().created_at, hint, "{time}");
        assert_eq!(
            read("last_sign_in_at").unwrap().last_sign_in_at,
            hint,
            "{time}"
        );
        let user = read("password_last_updated_at").unwrap();
        assert_eq!(user.password_last_updated_at, hint, "{time}");
    };
    check(json!(1_716_883_200_123_i64), Ok(Some(1_716_883_200_123)));
    check(json!(1_716_883_200), Ok(Some(1_716_883_200_000)));
    check(json!(1_716_883_200_123.0), Ok(Some(1_716_883_200_123)));
    check(json!(1_716_883_200.5), Ok(Some(1_716_883_200_500)));
    check(json!("1716883200123"), Ok(Some(1_716_883_200_123)));
    check(json!(" 1716883200 "), Ok(Some(1_716_883_200_000)));
    check(json!("1716883200.5"), Ok(Some(1_716_883_200_500)));
    check(json!(99_999_999_999_i64), Ok(Some(99_999_999_999_000)));
    check(json!(100_000_000_000_i64), Ok(Some(100_000_000_000)));
    check(json!(0), Ok(Some(0)));
    check(json!(null), Ok(None));
    for bad in [
        json!(i64::MAX),
        json!(i64::MIN),
        json!(u64::MAX),
        json!(1e300),
        json!("soon"),
        json!(""),
        json!("NaN"),
        json!(true),
        json!({}),
    ] {
        check(bad, Err(()));
    }
}

#[test]
fn a_deleted_object_may_lack_anything() {
    let full: DeletedObject = serde_json::from_value(
        json!({"object": "user", "id": "user_1", "deleted": true, "external_id": "row-1"}),
    )
    .unwrap();
    assert_eq!(full.id.as_deref(), Some("user_1"));
    assert_eq!(full.external_id.as_deref(), Some("row-1"));
    assert!(full.deleted);
    let bare: DeletedObject = serde_json::from_value(json!({})).unwrap();
    assert_eq!(bare.id, None);
    assert!(!bare.deleted);
}

#[test]
fn a_patch_sends_what_changes_and_shows_no_password() {
    let patch = UserPatch {
        first_name: Some(Some("Ada".to_owned())),
        last_name: Some(None),
        password: Some(Password::new("correct horse".to_owned())),
        ..UserPatch::default()
    };
    let expected = json!({"first_name": "Ada", "last_name": null, "password": "correct horse"});
    assert_eq!(serde_json::to_value(&patch).unwrap(), expected);
    assert_eq!(
        format!("{patch:?}"),
        "UserPatch { first_name: Some(Some(\"Ada\")), last_name: Some(None), external_id: None, \
         password: Some([redacted]) }"
    );
}

#[test]
fn a_password_is_exposed_only_when_asked_for() {
    let password = Password::new("correct horse".to_owned());
    assert_eq!(password.expose(), "correct horse");
    assert_eq!(
        format!("{password:?} {password:#?}"),
        "[redacted] [redacted]"
    );
    assert_eq!(json!(password), json!("correct horse"));
}

#[test]
fn an_invitation_leaves_to_clerk_what_is_not_said() {
    let check = |new: NewInvitation, expected: Value| {
        assert_eq!(serde_json::to_value(new).unwrap(), expected);
    };
    check(NewInvitation::default(), json!({"email_address": ""}));
    let full = NewInvitation {
        email_address: "ada@example.org".to_owned(),
        public_metadata: Map::from_iter([("role".to_owned(), json!("STUDENT"))]),
        redirect_url: Some("https://example.org/welcome".to_owned()),
    };
    check(
        full,
        json!({
            "email_address": "ada@example.org", "public_metadata": {"role": "STUDENT"},
            "redirect_url": "https://example.org/welcome",
        }),
    );
}

#[test]
fn an_answer_is_sorted_by_what_can_be_done_about_it() {
    let check = |error: Error, expected: &str| {
        let kind = match &error {
            Error::NotFound { .. } => "not found",
            Error::Unauthorized { .. } => "unauthorized",
            Error::Refused { .. } => "refused",
            Error::RateLimited { .. } => "rate limited",
            Error::Unavailable(_) => "unavailable",
            Error::TimedOut(_) => "timed out",
            Error::Unreadable(_) => "unreadable",
        };
        let mut found = kind.to_owned();
        for (holds, word) in [
            (error.is_permanent(), "permanent"),
            (error.is_outcome_unknown(), "unknown"),
            (error.is_managed_by_directory(), "directory"),
            (error.is_password_refused(), "password"),
            (error.is_already_member(), "member"),
        ] {
            if holds {
                found = format!("{found}, {word}");
            }
        }
        assert_eq!(found, expected, "{error:?}");
    };
    check(answer(404, "resource_not_found"), "not found, permanent");
    check(foreign_answer(404), "refused");
    check(answer(401, "clerk_key_invalid"), "unauthorized");
    check(foreign_answer(401), "unauthorized");
    check(answer(400, "duplicate_record"), "refused, permanent");
    check(
        answer(402, "unsupported_subscription_plan_features"),
        "refused",
    );
    check(
        answer(403, "organization_membership_quota_exceeded"),
        "refused, permanent",
    );
    check(
        answer(400, "already_a_member_in_organization"),
        "refused, permanent, member",
    );
    check(
        answer(422, "form_password_pwned"),
        "refused, permanent, password",
    );
    check(answer(422, "form_param_missing"), "refused, permanent");
    check(foreign_answer(403), "refused");
    check(foreign_answer(408), "refused");
    check(answer(409, "resource_locked"), "unavailable");
    check(answer(409, "conflict"), "refused");
    check(
        answer(409, "user_managed_by_scim"),
        "refused, permanent, directory",
    );
    check(
        answer(409, "attribute_managed_by_scim"),
        "refused, permanent, directory",
    );
    check(answer(410, "operation_deprecated"), "refused, permanent");
    check(answer(422, "form_param_unknown"), "refused, permanent");
    check(answer(429, "too_many_requests"), "rate limited");
    check(foreign_answer(429), "rate limited");
    check(answer(500, "internal_clerk_error"), "unavailable, unknown");
    check(foreign_answer(503), "unavailable, unknown");
    check(foreign_answer(301), "refused");
    check(Error::TimedOut(Cause::NoTimeLeft), "timed out");
}

#[test]
fn an_error_tells_the_caller_one_sentence_and_the_log_no_names() {
    let check = |error: Error, expected: &str| assert_eq!(error.to_string(), expected);
    let gone = "User not found in Clerk. They may have been deleted.";
    check(answer(404, "resource_not_found"), gone);
    for status in [401, 409, 422, 429, 500] {
        check(
            answer(status, "resource_locked"),
            "Failed to sync with Clerk authentication system",
        );
    }
    let error = answer(422, "form_identifier_exists");
    assert_eq!(error.code(), Some("form_identifier_exists"));
    assert_eq!(error.trace_id(), Some("0123456789abcdef0123456789abcdef"));
    let Error::Refused {
        status,
        message,
        param,
        ..
    } = error
    else {
        panic!("{error:?}")
    };
    assert_eq!(
        (status, message.as_str(), param.as_deref()),
        (422, "No, ada@example.org.", Some("first_name"))
    );
    assert_eq!(foreign_answer(404).code(), None);
}

#[test]
fn a_refusal_tells_all_that_clerk_says_in_order() {
    let check = |errors: Value, expected: (&str, &str, Option<&str>)| {
        let body = json!({"errors": errors, "clerk_trace_id": "0"}).to_string();
        let status = StatusCode::UNPROCESSABLE_ENTITY;
        let error = Error::from_answer(status, &HeaderMap::new(), body.as_bytes());
        let Error::Refused {
            code,
            message,
            param,
            ..
        } = error
        else {
            panic!("{error:?}")
        };
        let found = (code.as_str(), message.as_str(), param.as_deref());
        assert_eq!(found, expected, "{errors}");
    };
    let short = json!({
        "message": "Short.", "long_message": "It is too short.",
        "code": "form_password_length_too_short", "meta": {"param_name": "password"},
    });
    let no_number = json!({"message": "It has no number.", "code": "form_password_no_number"});
    let empty = json!({"message": "No.", "long_message": "", "meta": {"param_name": "x"}});
    let odd = json!({"message": 7, "long_message": null});
    check(
        json!([short, no_number]),
        (
            "form_password_length_too_short",
            "It is too short. It has no number.",
            Some("password"),
        ),
    );
    check(
        json!([no_number, odd, empty, short]),
        (
            "form_password_no_number",
            "It has no number. No. It is too short.",
            None,
        ),
    );
    check(json!([empty]), ("", "No.", Some("x")));
    check(json!([odd]), ("", "", None));
    check(json!([]), ("", "", None));
    check(json!({}), ("", "", None));
}

#[test]
fn an_error_keeps_the_headers_that_matter() {
    let check = |name: &str, value: &str, expected: (Option<u64>, Option<&str>)| {
        let headers = HeaderMap::from_iter([(
            HeaderName::try_from(name).unwrap(),
            HeaderValue::try_from(value).unwrap(),
        )]);
        for status in [
            StatusCode::TOO_MANY_REQUESTS,
            StatusCode::SERVICE_UNAVAILABLE,
        ] {
            let error = Error::from_answer(status, &headers, b"");
            assert_eq!(
                error.retry_after().map(|it| it.as_secs()),
                expected.0,
                "{name}: {value}"
            );
        }
        let error = Error::from_answer(StatusCode::UNAUTHORIZED, &headers, b"");
        assert_eq!(error.trace_id(), expected.1, "{name}: {value}");
    };
    check("retry-after", "7", (Some(7), None));
    check("retry-after", " 7 ", (Some(7), None));
    check("retry-after", "0", (Some(0), None));
    check("retry-after", "-1", (None, None));
    check("retry-after", "Wed, 21 Oct 2026 07:28:00 GMT", (None, None));
    check("x-clerk-trace-id", "abc", (None, Some("abc")));
}

#[test]
fn an_unreadable_answer_is_told_by_its_place() {
    let body = br#"[{"id": "user_1"}, {"id": "user_2", "email_addresses": "ada@example.org"}]"#;
    let json = &mut serde_json::Deserializer::from_slice(body);
    let error = serde_path_to_error::deserialize::<_, Vec<User>>(json).unwrap_err();
    let shown = UnreadableBody::new(&error).to_string();
    assert!(shown.contains("[1].email_addresses"), "{shown}");
    assert!(!shown.contains("ada@"), "{shown}");
}

#[test]
fn a_pause_is_random_below_a_doubling_ceiling() {
    let unavailable = || answer(503, "service_unavailable");
    let check = |error: Error, n_tries: u32, from_ms: u64, to_ms: u64| {
        let pauses: Vec<Duration> = (0..400).map(|_| pause(&error, n_tries)).collect();
        let (low, high) = (pauses.iter().min().unwrap(), pauses.iter().max().unwrap());
        let quarter = (to_ms - from_ms) / 4;
        let is_within = |pause: &Duration, from_ms, to_ms| {
            (Duration::from_millis(from_ms)..=Duration::from_millis(to_ms)).contains(pause)
        };
        assert!(
            is_within(low, from_ms, from_ms + quarter),
            "{n_tries}: from {low:?}"
        );
        assert!(
            is_within(high, to_ms - quarter, to_ms),
            "{n_tries}: to {high:?}"
        );
    };
    check(unavailable(), 1, 0, 100);
    check(unavailable(), 2, 0, 200);
    check(unavailable(), 3, 0, 400);
    check(unavailable(), 6, 0, 2000);
    check(unavailable(), u32::MAX, 0, 2000);
    check(rate_limited(3), 1, 3000, 3100);
    check(rate_limited(3), 9, 3000, 5000);
    assert!(pause(&rate_limited(u64::MAX), 9) > Duration::from_secs(u64::MAX - 1));
}

#[test]
fn only_what_may_help_and_cannot_harm_is_repeated() {
    let check = |error: Error, others: bool, post: bool| {
        for method in [Method::GET, Method::PATCH, Method::PUT, Method::DELETE] {
            assert_eq!(may_repeat(&method, &error), others, "{method} {error:?}");
        }
        assert_eq!(may_repeat(&Method::POST, &error), post, "POST {error:?}");
    };
    check(rate_limited(1), true, true);
    check(answer(409, "resource_locked"), true, true);
    check(answer(500, "internal_clerk_error"), true, false);
    check(foreign_answer(502), true, false);
    check(answer(409, "conflict"), false, false);
    check(answer(404, "resource_not_found"), false, false);
    check(answer(401, "clerk_key_invalid"), false, false);
    check(answer(422, "form_param_unknown"), false, false);
    check(foreign_answer(301), false, false);
    check(Error::TimedOut(Cause::NoTimeLeft), false, false);
}

#[test]
fn a_write_in_doubt_stays_in_doubt() {
    let check = |method: Method, doubtful: Option<u16>, last: Error, expected: &str| {
        let doubtful = doubtful.map(foreign_answer);
        let reported = the_one_to_report(&method, doubtful, last);
        assert!(
            format!("{reported:?}").contains(expected),
            "{method}: {reported:?}"
        );
    };
    check(Method::PATCH, Some(500), rate_limited(9), "500");
    check(
        Method::PATCH,
        Some(500),
        answer(409, "resource_locked"),
        "500",
    );
    check(Method::PATCH, Some(500), foreign_answer(503), "503");
    check(
        Method::PATCH,
        Some(500),
        answer(404, "resource_not_found"),
        "NotFound",
    );
    check(Method::PATCH, None, rate_limited(9), "RateLimited");
    check(Method::GET, Some(500), rate_limited(9), "RateLimited");
}

#[test]
fn a_budget_runs_out() {
    let budget = Budget::once(Duration::from_secs(5));
    assert!(budget.remaining() <= Duration::from_secs(5));
    assert!(budget.remaining() > Duration::from_secs(4));
    assert_eq!(Budget::once(Duration::ZERO).remaining(), Duration::ZERO);
    assert!(Budget::once(Duration::MAX).remaining() > Duration::from_mins(1));
    assert_eq!(
        Budget::until(std::time::Instant::now()).remaining(),
        Duration::ZERO
    );
}

#[test]
fn an_address_is_https_or_this_machine() {
    let check = |url: &str, expected: Result<&str, &str>| {
        let found = config::clerk_api_url(url);
        assert_eq!(
            found.as_deref().map_err(|error| error.problem),
            expected,
            "{url}"
        );
    };
    let clerk = Ok("https://api.clerk.com/v1");
    check("https://api.clerk.com", clerk);
    check("https://api.clerk.com/", clerk);
    check("https://api.clerk.com/v1", clerk);
    check("https://api.clerk.com/v1/", clerk);
    check(
        "https://example.org/clerk/",
        Ok("https://example.org/clerk/v1"),
    );
    check("http://127.0.0.1:4811", Ok("http://127.0.0.1:4811/v1"));
    check("http://localhost:4811/v1", Ok("http://localhost:4811/v1"));
    check("http://[::1]:4811", Ok("http://[::1]:4811/v1"));
    let clear = "must be https: the key would travel in the clear";
    check("http://api.clerk.com", Err(clear));
    check("http://10.0.0.1", Err(clear));
    check("http://localhost.example.org", Err(clear));
    check("http://127.0.0.1@example.org", Err(clear));
    check(
        "https://ada:pass@example.org",
        Err("holds a user name or a password"),
    );
    check("https://example.org?x=1", Err("holds more than an address"));
    check("ftp://example.org", Err("is not an http URL"));
    check("data:text/plain,x", Err("names no host"));
    check("api.clerk.com", Err("is not a URL"));
    check("", Err("is not a URL"));
}

#[test]
fn a_client_needs_a_key_and_shows_none() {
    let check = |pairs: &[(&str, &str)], expected: Result<(), &str>| {
        let settings = Settings::from_pairs(pairs.iter().copied());
        let found = Client::from_settings(&settings)
            .map(drop)
            .map_err(|error| error.variable);
        assert_eq!(found, expected, "{pairs:?}");
    };
    let key = ("CLERK_SECRET_KEY", "sk_test_hush");
    check(&[key], Ok(()));
    check(&[key, ("CLERK_API_URL", "http://localhost:1")], Ok(()));
    check(
        &[key, ("CLERK_API_URL", "http://example.org")],
        Err("CLERK_API_URL"),
    );
    check(&[], Err("CLERK_SECRET_KEY"));
    for bad in ["pk_test_hush", "sk_", "sk_test hush", "sk_test_h\u{fc}sh"] {
        check(&[("CLERK_SECRET_KEY", bad)], Err("CLERK_SECRET_KEY"));
    }
    let client = Client::new(config::CLERK_API_URL, key.1).unwrap();
    let shown = format!("{client:?} {:?}", client.http);
    assert!(!shown.contains("hush"), "{shown}");
    assert!(shown.contains("https://api.clerk.com/v1"), "{shown}");
}
