//! Every gateway's form, in and out; what a request may carry; what a refusal looks like.

use std::cell::RefCell;
use std::path::Path;

use serde::Deserialize;
use serde_json::json;

use super::*;
use crate::{clerk, config, webhook};

const BODY: &str = r#"{"greeting":"hé"}"#;

fn event(name: &str) -> Value {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/gateway");
    let text = std::fs::read_to_string(folder.join(format!("{name}.json"))).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// What the handler was given, and what the gateway got back.
async fn pass(event: Value) -> (Request, Value) {
    let seen = RefCell::new(None);
    let handler = async |request: Request| {
        *seen.borrow_mut() = Some(request);
        ok(&json!({ "fine": true }))
    };
    let answer = answer(event, &handler).await;
    (seen.take().expect("the handler was not asked"), answer)
}

/// The answer when the handler must not be asked.
async fn stop(event: Value) -> (u64, Value) {
    let answer = answer(event, &async |_| -> Result<Response> {
        panic!("the handler was asked")
    });
    opened(&answer.await)
}

fn opened(answer: &Value) -> (u64, Value) {
    let body = serde_json::from_str(answer["body"].as_str().unwrap()).unwrap();
    (answer["statusCode"].as_u64().unwrap(), body)
}

fn sorted(mut query: Vec<(String, String)>) -> Vec<(String, String)> {
    query.sort();
    query
}

fn request(method: &str, path: &str, headers: &[(&'static str, &str)], body: &str) -> Request {
    Request {
        id: "request-1".to_owned(),
        method: method.parse().unwrap(),
        path: path.to_owned(),
        query: Vec::new(),
        headers: headers
            .iter()
            .map(|&(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
            .collect::<Vec<(::http::HeaderName, HeaderValue)>>()
            .into_iter()
            .collect(),
        body: Bytes::copy_from_slice(body.as_bytes()),
        source: None,
        deadline: Instant::now() + DEFAULT_BUDGET,
    }
}

#[tokio::test]
async fn every_gateway_brings_the_same_request() {
    let netlify = "01JC0URSESNETLIFY0000000001";
    let cases = [
        ("netlify", netlify, Some("198.51.100.7")),
        ("netlify_context_empty", netlify, Some("198.51.100.7")),
        ("netlify_context_null", netlify, Some("198.51.100.7")),
        ("netlify_context_method_only", netlify, Some("198.51.100.7")),
        ("netlify_cli", netlify, Some("127.0.0.1")),
        ("netlify_base64", netlify, Some("198.51.100.7")),
        ("netlify_null_header", netlify, Some("198.51.100.7")),
        ("api_gateway_v1", "gateway-request-1", Some("198.51.100.7")),
        ("api_gateway_v2", "gateway-request-2", Some("198.51.100.7")),
        ("cargo_lambda_watch", "gateway-request-3", Some("127.0.0.1")),
        (
            "api_gateway_v2_stage",
            "gateway-request-3",
            Some("198.51.100.7"),
        ),
        ("function_url", "gateway-request-4", Some("198.51.100.7")),
        ("alb", "", None),
    ];
    for (name, id, source) in cases {
        let (request, answer) = pass(event(name)).await;
        assert_eq!(request.method, "PATCH", "{name}");
        assert_eq!(request.path, "/api/users/user_7", "{name}");
        let query = [("q", "1"), ("tag", "a"), ("tag", "b c")];
        let query: Vec<_> = query.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
        assert_eq!(sorted(request.query.clone()), query, "{name}");
        assert_eq!(request.body, BODY, "{name}");
        assert_eq!(request.headers[CONTENT_TYPE], "application/json", "{name}");
        assert_eq!(
            request.source,
            source.map(|it| it.parse().unwrap()),
            "{name}"
        );
        assert_eq!(
            token(&request).unwrap(),
            auth::Token::Cookie("a.b.c"),
            "{name}"
        );
        if id.is_empty() {
            assert!(uuid::Uuid::try_parse(&request.id).is_ok(), "{name}");
        } else {
            assert_eq!(request.id, id, "{name}");
        }
        assert!(
            request.deadline > Instant::now() + Duration::from_secs(9),
            "{name}"
        );

        assert_eq!(opened(&answer), (200, json!({ "fine": true })), "{name}");
        assert_eq!(answer["isBase64Encoded"], false, "{name}");
        let (headers, lists) = (&answer["headers"], &answer["multiValueHeaders"]);
        for (header, value) in [
            ("content-type", "application/json"),
            ("cache-control", "no-store"),
            ("x-content-type-options", "nosniff"),
        ] {
            let is_there = headers[header] == value || lists[header] == json!([value]);
            assert!(is_there, "{name}: {answer}");
        }
        let is_v2 = name.contains("v2") || ["function_url", "cargo_lambda_watch"].contains(&name);
        assert_eq!(answer.get("cookies").is_some(), is_v2, "{name}: {answer}");
        let is_alb = name == "alb";
        assert_eq!(
            answer["statusDescription"] == "200 OK",
            is_alb,
            "{name}: {answer}"
        );
    }
}

#[tokio::test]
async fn a_get_without_a_body_has_an_empty_one() {
    let (request, _) = pass(event("netlify_get_null_body")).await;
    assert_eq!((request.method, request.body.len()), (Method::GET, 0));
}

#[tokio::test]
async fn who_forwarded_it_does_not_say_where_it_is_from() {
    let mut event = event("netlify");
    event["headers"]
        .as_object_mut()
        .unwrap()
        .remove("x-nf-client-connection-ip");
    event["multiValueHeaders"]
        .as_object_mut()
        .unwrap()
        .remove("X-Nf-Client-Connection-Ip");
    let (request, _) = pass(event.clone()).await;
    assert_eq!(request.source, Some("203.0.113.250".parse().unwrap()));
    event["headers"]
        .as_object_mut()
        .unwrap()
        .remove("client-ip");
    event["multiValueHeaders"]
        .as_object_mut()
        .unwrap()
        .remove("Client-Ip");
    assert_eq!(pass(event).await.0.source, None);
}

#[tokio::test]
async fn repeated_headers_are_all_there() {
    let mut event = event("alb");
    event["multiValueHeaders"]["x-many"] = json!(["one", "two"]);
    let (request, _) = pass(event).await;
    assert_eq!(request.headers.get_all("x-many").iter().count(), 2);
}

#[tokio::test]
async fn a_header_that_is_none_is_left_out() {
    for name in ["netlify", "api_gateway_v1", "api_gateway_v2", "alb"] {
        let mut event = event(name);
        event["headers"]["x-name"] = json!("a\nb");
        event["headers"]["x-number"] = json!(7);
        event["multiValueHeaders"]["x-list"] = json!(["good", null, "a\u{0}"]);
        let (request, answer) = pass(event).await;
        assert_eq!(answer["statusCode"], 200, "{name}");
        assert!(!request.headers.contains_key("x-name"), "{name}");
        let list: Vec<_> = request.headers.get_all("x-list").iter().collect();
        assert!(name == "api_gateway_v2" || list == ["good"], "{name}");
    }
}

#[tokio::test]
async fn a_path_is_decoded_where_that_is_safe() {
    let check = async |path: &str, expected: &str| {
        let mut event = event("api_gateway_v2");
        event["rawPath"] = json!(path);
        assert_eq!(pass(event).await.0.path, expected, "{path}");
    };
    check("/api/users/user%5F7", "/api/users/user_7").await;
    check("/api/users/a%2Fb", "/api/users/a%2Fb").await;
    check("/api/users/%ff%zz%", "/api/users/%ff%zz%").await;
    check("/api/users/a b", "/api/users/a b").await;
    check("/api/users/h%C3%A9", "/api/users/hé").await;
    check("", "").await;
}

#[tokio::test]
async fn what_is_no_request_is_refused_and_no_crash() {
    for event in [
        json!(null),
        json!([]),
        json!("x"),
        json!({}),
        json!({ "httpMethod": 7 }),
        event("event_bridge"),
    ] {
        let (status, body) = stop(event.clone()).await;
        assert_eq!(
            (status, &body["code"]),
            (422, &json!("not_http")),
            "{event}"
        );
        assert!(body["requestId"].is_string());
    }
    let mut bad_base64 = event("function_url");
    bad_base64["body"] = json!("no base64!");
    let (status, body) = stop(bad_base64).await;
    assert_eq!((status, &body["code"]), (422, &json!("invalid_body")));
    assert_eq!(body["requestId"], "gateway-request-4");
}

#[tokio::test]
async fn a_panic_is_answered_like_any_failure() {
    let handler = async |_: Request| -> Result<Response> { panic!("hush") };
    let (status, body) = opened(&answer(event("alb"), &handler).await);
    assert_eq!((status, &body["code"]), (500, &json!("internal")));
    assert!(!body.to_string().contains("hush"));
}

#[tokio::test]
async fn a_signed_body_is_verified_byte_for_byte() {
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let settings = config::Settings::from_pairs([("CLERK_WEBHOOK_SECRET", secret)]);
    let verifier = webhook::Verifier::from_settings(&settings).unwrap();
    let now = i64::try_from(SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs()).unwrap();
    let signature = svix::webhooks::Webhook::new(secret).unwrap();
    let signature = signature.sign("msg_1", now, BODY.as_bytes()).unwrap();
    for name in [
        "netlify_base64",
        "function_url",
        "netlify",
        "api_gateway_v1",
    ] {
        let mut event = event(name);
        for (header, value) in [
            ("svix-id", "msg_1"),
            ("svix-timestamp", &now.to_string()),
            ("svix-signature", &signature),
        ] {
            event["headers"][header] = json!(value);
        }
        let (request, _) = pass(event).await;
        let delivery = verifier.verify(&request.headers, &request.body, request.source);
        assert_eq!(delivery.unwrap().svix_id.as_str(), "msg_1", "{name}");
    }
}

#[test]
fn a_deadline_in_the_past_is_none() {
    let now_ms = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis();
    let now_ms = u64::try_from(now_ms).unwrap();
    let left = |deadline_ms| {
        let end = deadline(deadline_ms, MARGIN, DEFAULT_BUDGET);
        end.saturating_duration_since(Instant::now()).as_millis()
    };
    for (deadline_ms, expected) in [
        (0, 10_000),
        (600_000, 10_000),
        (now_ms + 3000, 2500),
        (now_ms + 200, 0),
    ] {
        let left = left(deadline_ms);
        assert!(
            left <= expected && left + 300 >= expected,
            "{deadline_ms}: {left}"
        );
    }
}

#[test]
fn lambdas_id_serves_where_the_gateway_has_none() {
    let invocation = Invocation {
        id: Some("lambda-1".to_owned()),
        deadline_ms: 0,
    };
    let id = |name: &str| gateway::read(event(name), &invocation).1.ok().unwrap().id;
    assert_eq!(id("alb"), "lambda-1");
    assert_eq!(id("netlify"), "01JC0URSESNETLIFY0000000001");
    assert_eq!(id("api_gateway_v1"), "gateway-request-1");
}

#[test]
fn a_route_is_what_follows_its_root() {
    let check = |path: &str, expected: Option<&[&str]>| {
        let request = request("GET", path, &[], "");
        let segments = route(&request, "admin-users", "/api/admin/users");
        assert_eq!(segments.ok().as_deref(), expected, "{path}");
    };
    check("/api/admin/users", Some(&[]));
    check("/api/admin/users/", Some(&[]));
    check("/api/admin/users/user_7", Some(&["user_7"]));
    check("/api/admin/users/user_7/", Some(&["user_7"]));
    check("/api/admin/users/user_7/role", Some(&["user_7", "role"]));
    check("/.netlify/functions/admin-users", Some(&[]));
    check("/.netlify/functions/admin-users/", Some(&[]));
    check("/.netlify/functions/admin-users/user_7", Some(&["user_7"]));
    check(
        "/.netlify/functions/admin-users/api/admin/users/user_7",
        Some(&["user_7"]),
    );
    check("/.netlify/functions/admin-users/api/other", None);
    check("/.netlify/functions/update-role/user_7", None);
    check("/api/admin/usersx", None);
    check("/api/admin/users//user_7", None);
    check("/api/admin/users//", None);
    check("/API/admin/users", None);
    check("/api/admin", None);
    check("/", None);
    check("", None);
}

#[test]
fn the_token_is_found_as_clerk_finds_it() {
    let check = |headers: &[(&'static str, &str)], expected: Option<auth::Token<'_>>| {
        let request = request("GET", "/", headers, "");
        assert_eq!(token(&request).ok(), expected, "{headers:?}");
    };
    let header = |text| Some(auth::Token::Header(text));
    let cookie = |text| Some(auth::Token::Cookie(text));
    check(&[("authorization", "Bearer a.b.c")], header("a.b.c"));
    check(&[("authorization", "a.b.c")], header("a.b.c"));
    check(&[("authorization", "bearer a.b.c")], None);
    check(&[("authorization", "Basic YTpi")], None);
    check(&[("authorization", "")], None);
    check(
        &[
            ("authorization", "bearer a.b.c"),
            ("cookie", "__session=d.e.f"),
        ],
        cookie("d.e.f"),
    );
    check(
        &[
            ("authorization", "Bearer a.b.c"),
            ("cookie", "__session=d.e.f"),
        ],
        header("a.b.c"),
    );
    check(&[("cookie", "x=1; __session=d.e.f; y=2")], cookie("d.e.f"));
    check(&[("cookie", "__session_aBc=d.e.f")], cookie("d.e.f"));
    check(
        &[("cookie", "__session_aBc=x; __session=d.e.f")],
        cookie("d.e.f"),
    );
    check(&[("cookie", "__session=; __session_aBc=x")], cookie("x"));
    check(&[("cookie", "__sessions=x; a__session=y")], None);
    check(&[], None);
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Input {
    first_name: String,
    age: Option<u8>,
    nested: Option<Nested>,
}

#[derive(Debug, PartialEq, Deserialize)]
struct Nested {
    flag: bool,
}

const JSON: (&str, &str) = ("content-type", "application/json; charset=utf-8");

fn read_json(body: &str) -> Result<Input> {
    json(&request("POST", "/", &[JSON], body))
}

#[test]
fn a_body_is_json_of_the_right_form_and_names_what_is_not() {
    let input = Input {
        first_name: "Ada".to_owned(),
        age: None,
        nested: None,
    };
    assert_eq!(read_json(r#"{"firstName":"Ada"}"#).unwrap(), input);
    let check = |body: &str, fields: &[&str]| {
        let error = read_json(body).unwrap_err();
        assert_eq!(
            error.status_and_code(),
            (StatusCode::UNPROCESSABLE_ENTITY, "invalid_body")
        );
        assert_eq!(error.fields(), fields, "{body}: {error}");
    };
    check(
        r#"{"firstName":"Ada","x":1,"y":{},"nested":{"flag":true,"z":0}}"#,
        &["x", "y", "nested.z"],
    );
    check(r#"{"firstname":"Ada"}"#, &["firstname"]);
    check("{}", &["firstName"]);
    check(r#"{"firstName":7}"#, &["firstName"]);
    check(r#"{"firstName":"Ada","age":300}"#, &["age"]);
    check(
        r#"{"firstName":"Ada","nested":{"flag":"yes"}}"#,
        &["nested.flag"],
    );
    check(r#"{"firstName":"Ada","nested":{}}"#, &["nested.flag"]);
    check(r#"{"firstName":"Ada","firstName":"Eve"}"#, &["firstName"]);
    check(r#"["Ada", null, null]"#, &[]);
    check(r#"{"firstName":"Ada""#, &[]);
    check("7", &[]);
    check("", &[]);
    check(r#"{"firstName":"Ada"} {}"#, &[]);
}

#[test]
fn a_body_must_say_that_it_is_json_and_be_short() {
    let check = |content_type: Option<&str>, expected: bool| {
        let headers: Vec<_> = content_type
            .map(|it| ("content-type", it))
            .into_iter()
            .collect();
        let input = json::<Input>(&request("POST", "/", &headers, r#"{"firstName":"Ada"}"#));
        match input {
            Ok(_) => assert!(expected, "{content_type:?}"),
            Err(error) => {
                assert!(
                    !expected && matches!(error, Error::UnsupportedMediaType),
                    "{error:?}"
                );
            }
        }
    };
    check(Some("application/json"), true);
    check(Some("Application/JSON;charset=UTF-8"), true);
    check(Some("text/plain"), false);
    check(Some("application/jsonp"), false);
    check(Some("application/x-www-form-urlencoded"), false);
    check(None, false);

    let sized = |len| json!({ "firstName": "a".repeat(len) }).to_string();
    let frame = sized(0).len();
    assert!(read_json(&sized(BODY_LIMIT - frame)).is_ok());
    let error = read_json(&sized(BODY_LIMIT - frame + 1)).unwrap_err();
    assert!(matches!(error, Error::TooLarge { limit: BODY_LIMIT }));
    let long = request("POST", "/", &[], &sized(BODY_LIMIT));
    assert!(body_within(&long, 1024 * 1024).is_ok());
}

#[derive(Debug, PartialEq, Deserialize)]
struct Page {
    limit: Option<u32>,
    search: Option<String>,
    role: Option<Role>,
    #[serde(default)]
    descending: bool,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum Role {
    Student,
}

#[test]
fn a_query_is_of_the_right_form_and_names_what_is_not() {
    let read = |pairs: &[(&str, &str)]| {
        let mut request = request("GET", "/", &[], "");
        request.query = pairs
            .iter()
            .map(|&(k, v)| (k.to_owned(), v.to_owned()))
            .collect();
        query::<Page>(&request)
    };
    let page = Page {
        limit: None,
        search: None,
        role: None,
        descending: false,
    };
    assert_eq!(read(&[]).unwrap(), page);
    let pairs = [
        ("limit", "20"),
        ("search", "007"),
        ("role", "STUDENT"),
        ("descending", "true"),
    ];
    let page = Page {
        limit: Some(20),
        search: Some("007".to_owned()),
        role: Some(Role::Student),
        descending: true,
    };
    assert_eq!(read(&pairs).unwrap(), page);
    let check = |pairs: &[(&str, &str)], fields: &[&str]| {
        let error = read(pairs).unwrap_err();
        assert_eq!(
            error.status_and_code(),
            (StatusCode::UNPROCESSABLE_ENTITY, "invalid_query")
        );
        assert_eq!(error.fields(), fields, "{pairs:?}: {error}");
    };
    check(&[("page", "2"), ("per", "3")], &["page", "per"]);
    check(&[("limit", "20"), ("limit", "30")], &["limit"]);
    check(&[("limit", "many")], &["limit"]);
    check(&[("limit", "-1")], &["limit"]);
    check(&[("limit", "")], &["limit"]);
    check(&[("role", "KING")], &["role"]);
    check(&[("descending", "yes")], &["descending"]);
}

#[test]
fn a_refusal_has_one_form() {
    let open = |error: &Error| {
        let response = refuse(error, "request-1");
        let body: Value = serde_json::from_slice(response.body()).unwrap();
        (response, body)
    };
    let (response, body) = open(&Error::MethodNotAllowed {
        allow: "GET, PATCH",
    });
    assert_eq!(response.headers()[ALLOW], "GET, PATCH");
    assert_eq!(
        body,
        json!({
            "error": "This address answers GET, PATCH only.",
            "code": "method_not_allowed",
            "requestId": "request-1",
        })
    );

    let error = Error::Unprocessable {
        code: "invalid_body",
        message: "No.".to_owned(),
        fields: vec!["a".to_owned()],
    };
    let (response, body) = open(&error);
    assert_eq!(response.status(), StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(body["fields"], json!(["a"]));

    let retry_after = |error: Error| refuse(&error, "").headers().get(RETRY_AFTER).cloned();
    let wait = Some(Duration::from_secs(7));
    let limited = clerk::Error::RateLimited { retry_after: wait };
    assert_eq!(retry_after(limited.into()).unwrap(), "7");
    assert_eq!(
        retry_after(clerk::Error::RateLimited { retry_after: None }.into()),
        None
    );
    assert_eq!(
        retry_after(auth::Error::KeysUnavailable("down".into()).into()).unwrap(),
        "1"
    );
    assert_eq!(retry_after(Error::UnsupportedMediaType), None);
}

/// The body of a refusal, and its status.
fn refusal(error: &Error) -> (StatusCode, Value) {
    let response = refuse(error, "request-1");
    let body = serde_json::from_slice(response.body()).unwrap();
    (response.status(), body)
}

#[test]
fn an_address_that_needs_an_invitation_is_no_success_and_says_so() {
    let (status, body) = refusal(&Error::RequiresInvitation);
    assert_eq!(status, StatusCode::CONFLICT);
    assert_eq!(
        body,
        json!({
            "error": "This user has a Clerk account, which takes a new address by invitation only: \
                      send it to POST /api/users/{userId}/email-change.",
            "code": "requires_invitation",
            "requestId": "request-1",
            "success": false,
            "requiresInvitation": true,
        })
    );
}

#[test]
fn update_data_that_is_not_valid_is_detailed() {
    let invalid = |fields: &[&str]| Error::InvalidUpdate {
        detail: "lastName takes at most 255 characters.".to_owned(),
        fields: fields.iter().map(|&field| field.to_owned()).collect(),
    };
    let (status, body) = refusal(&invalid(&["updates.lastName"]));
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    let mut expected = json!({
        "error": "Invalid update data",
        "code": "invalid_update_data",
        "requestId": "request-1",
        "fields": ["updates.lastName"],
        "detail": "lastName takes at most 255 characters.",
    });
    assert_eq!(body, expected);
    // Clerk does not always say which field it means.
    expected.as_object_mut().unwrap().remove("fields");
    assert_eq!(refusal(&invalid(&[])).1, expected);
}

#[test]
fn a_change_in_clerk_that_did_not_go_as_asked_tells_how_things_stand() {
    let body = |code: &str, outcome: &str| {
        json!({
            "error": "Failed to sync with Clerk authentication system",
            "code": code,
            "requestId": "request-1",
            "outcome": outcome,
        })
    };
    let late = clerk::Error::TimedOut(clerk::Cause::NoTimeLeft);
    assert_eq!(
        refusal(&Error::Unknown(late)),
        (
            StatusCode::GATEWAY_TIMEOUT,
            body("clerk_timed_out", "unknown")
        )
    );
    let away = clerk::Error::Unavailable(clerk::Cause::NoTimeLeft);
    assert_eq!(
        refusal(&Error::Unknown(away)),
        (
            StatusCode::BAD_GATEWAY,
            body("clerk_unavailable", "unknown")
        )
    );
    let partial = |reason: Error| Error::Partial(Box::new(reason));
    let wait = Some(Duration::from_secs(7));
    let limited = partial(clerk::Error::RateLimited { retry_after: wait }.into());
    assert_eq!(
        refusal(&limited),
        (
            StatusCode::BAD_GATEWAY,
            body("clerk_rate_limited", "partial")
        )
    );
    // Whatever became of the first part, Clerk asks to wait before the second.
    assert_eq!(refuse(&limited, "").headers()[RETRY_AFTER], "7");
    let invalid = partial(Error::InvalidUpdate {
        detail: "No.".to_owned(),
        fields: vec!["lastName".to_owned()],
    });
    let (status, body) = refusal(&invalid);
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(
        (&body["outcome"], &body["detail"], &body["fields"]),
        (&json!("partial"), &json!("No."), &json!(["lastName"]))
    );
}

/// What Clerk says of a failure that changed nothing is not an outcome.
#[test]
fn a_refusal_says_nothing_that_it_does_not_know() {
    let errors = [
        Error::NO_SUCH_USER,
        Error::UnsupportedMediaType,
        Error::unprocessable("invalid_name", "No.", "name"),
        clerk::Error::NotFound { trace_id: None }.into(),
        clerk::Error::RateLimited { retry_after: None }.into(),
        Error::Conflict {
            code: "email_taken",
            message: "No.",
        },
    ];
    for error in errors {
        let (_, body) = refusal(&error);
        for key in ["success", "requiresInvitation", "detail", "outcome"] {
            assert!(body.get(key).is_none(), "{key} in {body}");
        }
    }
}

#[test]
fn the_log_knows_a_path_by_its_words_and_ids_and_nothing_else() {
    let check = |path: &str, expected: &str| assert_eq!(loggable(path), expected, "{path}");
    let uuid = "0f0e0d0c-0b0a-4908-8706-050403020100";
    check("/api/users/user_7", "/api/users/user_7");
    check(
        &format!("/api/users/{uuid}/email-change"),
        &format!("/api/users/{uuid}/email-change"),
    );
    check("/api/update-clerk-user", "/api/update-clerk-user");
    check(
        "/.netlify/functions/update-clerk-user",
        "/.netlify/functions/update-clerk-user",
    );
    check(
        "/api/admin/sync/history/orgmem_7",
        "/api/admin/sync/history/orgmem_7",
    );
    let drift = format!("/api/admin/sync/reconcile/{uuid}/drift");
    check(&drift, &drift);
    check("/api/health", "/api/health");
    check("/api/admin/sync/events/Ada", "/api/admin/sync/events/…");
    // Whoever mistakes an address for an id has written somebody's address.
    check("/api/users/ada@example.com", "/api/users/…");
    check(
        "/api/users/ada@example.com/email-change",
        "/api/users/…/email-change",
    );
    check(
        "/api/users/user_7/email-change/ada@example.com",
        "/api/users/user_7/email-change/…",
    );
    check("/api/update-clerk-user/Ada", "/api/update-clerk-user/…");
    check("/api/users/correct horse 7", "/api/users/…");
}

#[test]
fn a_chain_tells_all_causes_in_one_line() {
    let error = Error::from(auth::Error::KeysUnavailable("the network is down".into()));
    let expected =
        "Sign-in cannot be checked right now; try again in a moment.: the network is down";
    assert_eq!(chain(&error), expected);
}

#[test]
fn debug_shows_neither_headers_nor_body() {
    let request = request("GET", "/x", &[("authorization", "Bearer hush")], "hush");
    assert!(!format!("{request:?}").contains("hush"));
}
