//! The emulator over HTTP: does it behave as Clerk is known to?

use std::collections::HashSet;
use std::time::{Duration, Instant};

use clerk_emulator::{Deliver, Emulator, Fault, Fill, Options, Order, Status};
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};
use svix::webhooks::Webhook;

const VERSION: &str = "2026-05-12";

/// A caller of the Backend API with the right key.
pub(crate) struct Api {
    pub(crate) emulator: Emulator,
    pub(crate) http: reqwest::Client,
}

impl Api {
    pub(crate) async fn new() -> Self {
        Self::with(Options::default()).await
    }

    pub(crate) async fn with(options: Options) -> Self {
        Self {
            emulator: Emulator::start(options).await.unwrap(),
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
        }
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.http
            .request(method, format!("{}{path}", self.emulator.url()))
            .bearer_auth(self.emulator.secret_key())
            .header("clerk-api-version", VERSION)
    }

    async fn send(&self, method: Method, path: &str, body: &Value) -> Response {
        self.request(method, path).json(body).send().await.unwrap()
    }

    pub(crate) async fn call(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
        let method = method.parse().unwrap();
        let response = self.send(method, path, &body).await;
        (response.status().as_u16(), response.json().await.unwrap())
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        let response = self.request(Method::GET, path).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        response.json().await.unwrap()
    }

    /// The status and the code of a refusal.
    pub(crate) async fn refusal(&self, method: &str, path: &str, body: Value) -> (u16, String) {
        let (status, body) = self.call(method, path, body).await;
        (status, code(&body))
    }

    /// The ids of a list of users, without their common start.
    async fn ids(&self, query: &str) -> Vec<String> {
        let users = self.get(&format!("/v1/users?{query}")).await;
        let id = |user: &Value| user["id"].as_str().unwrap().replace("user_", "");
        users.as_array().unwrap().iter().map(id).collect()
    }
}

fn code(body: &Value) -> String {
    body["errors"][0]["code"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

pub(crate) fn id(user: &Value) -> &str {
    user["id"].as_str().unwrap()
}

pub(crate) fn event_types(emulator: &Emulator) -> Vec<String> {
    let messages = emulator.messages();
    messages
        .into_iter()
        .map(|message| message.event_type)
        .collect()
}

#[tokio::test]
async fn a_caller_without_the_key_is_refused_before_anything_else() {
    let api = Api::new().await;
    let get = |path: &str| api.http.get(format!("{}{path}", api.emulator.url()));

    let response = get("/v1/nowhere").send().await.unwrap();
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(response.headers()["content-type"], "application/json");
    let trace_id = response.headers()["x-clerk-trace-id"]
        .to_str()
        .unwrap()
        .to_owned();
    let text = response.text().await.unwrap();
    assert!(text.contains("\\u003cYOUR_API_KEY\\u003e"), "{text}");
    let body: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(code(&body), "authorization_header_format_invalid");
    assert_eq!(body["clerk_trace_id"], trace_id);
    assert_eq!(trace_id.len(), 32);

    let response = get("/v1/users")
        .bearer_auth("sk_test_other")
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(code(&response.json().await.unwrap()), "clerk_key_invalid");

    let response = get("/.well-known/jwks.json").send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let response = get("/v1/jwks").send().await.unwrap();
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn the_version_is_known_and_said_once() {
    let api = Api::new().await;
    let url = format!("{}/v1/users", api.emulator.url());
    let get = |url: &str| api.http.get(url).bearer_auth(api.emulator.secret_key());

    let response = get(&url).send().await.unwrap();
    assert_eq!(response.headers()["clerk-api-version"], "2021-02-05");

    let response = get(&url)
        .header("clerk-api-version", "2027-01-01")
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    assert_eq!(code(&response.json().await.unwrap()), "api_version_invalid");

    let in_query = format!("{url}?__clerk_api_version={VERSION}");
    assert_eq!(
        get(&in_query).send().await.unwrap().status(),
        StatusCode::OK
    );
    let both = get(&in_query)
        .header("clerk-api-version", VERSION)
        .send()
        .await
        .unwrap();
    assert_eq!(both.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_user_lives_and_each_write_makes_its_webhook() {
    let api = Api::new().await;
    let new = json!({
        "email_address": ["Ada@Example.com"], "first_name": "Ada",
        "external_id": "1", "private_metadata": {"note": "a < b"},
    });
    let (status, user) = api.call("POST", "/v1/users", new.clone()).await;
    assert_eq!(status, 200);
    assert_eq!(
        user["email_addresses"][0]["email_address"],
        "ada@example.com"
    );
    assert_eq!(
        user["email_addresses"][0]["verification"]["status"],
        "verified"
    );
    assert_eq!(
        user["primary_email_address_id"],
        user["email_addresses"][0]["id"]
    );
    let path = format!("/v1/users/{}", id(&user));
    assert_eq!(api.get(&path).await, user);

    let (status, body) = api.call("POST", "/v1/users", new).await;
    assert_eq!(
        (status, code(&body).as_str()),
        (422, "form_identifier_exists")
    );
    assert_eq!(body["errors"][0]["meta"]["param_name"], "email_address");

    let (_, user) = api
        .call("PATCH", &path, json!({"last_name": "Lovelace"}))
        .await;
    assert_eq!(user["last_name"], "Lovelace");
    for body in [
        json!({"nonsense": 1}),
        json!({"public_metadata": {"role": "ADMIN"}}),
    ] {
        let refusal = api.refusal("PATCH", &path, body).await;
        assert_eq!(refusal, (422, "form_param_unknown".to_owned()));
    }

    let (status, deleted) = api.call("DELETE", &path, Value::Null).await;
    assert_eq!(status, 200);
    assert_eq!(
        deleted,
        json!({"object": "user", "id": id(&user), "deleted": true, "external_id": "1"})
    );
    for method in ["GET", "DELETE", "PATCH"] {
        let refusal = api.refusal(method, &path, json!({})).await;
        assert_eq!(refusal, (404, "resource_not_found".to_owned()), "{method}");
    }

    let messages = api.emulator.take_messages();
    let types: Vec<&str> = messages.iter().map(|m| m.event_type.as_str()).collect();
    assert_eq!(types, ["user.created", "user.updated", "user.deleted"]);
    assert!(
        messages[0].body.contains("a \\u003c b"),
        "{}",
        messages[0].body
    );
    let event: Value = serde_json::from_str(&messages[1].body).unwrap();
    assert_eq!(event["object"], "event");
    assert_eq!(event["instance_id"], api.emulator.instance_id());
    assert_eq!(event["data"], user);
    assert!(event["timestamp"].as_i64().unwrap() > 1_000_000_000_000);
}

#[tokio::test]
async fn metadata_is_merged_or_replaced_and_older_versions_take_it_in_an_update() {
    let api = Api::new().await;
    let user = api.emulator.create_user(json!({
        "email": "ada@example.com", "public_metadata": {"role": "STUDENT", "a": {"b": 1, "c": 2}},
    }));
    let path = format!("/v1/users/{}", id(&user));
    let metadata = format!("{path}/metadata");

    let change = json!({"public_metadata": {"role": "ADMIN", "a": {"b": null}}});
    let (_, user) = api.call("PATCH", &metadata, change).await;
    assert_eq!(
        user["public_metadata"],
        json!({"role": "ADMIN", "a": {"c": 2}})
    );

    let (_, user) = api
        .call("PUT", &metadata, json!({"public_metadata": {"x": 1}}))
        .await;
    assert_eq!(user["public_metadata"], json!({"x": 1}));
    assert_eq!(user["private_metadata"], json!({}));

    let large = json!({"public_metadata": {"a": "x".repeat(9000)}});
    let refusal = api.refusal("PATCH", &metadata, large).await;
    assert_eq!(refusal, (422, "form_param_exceeds_allowed_size".to_owned()));
    assert_eq!(api.get(&path).await["public_metadata"], json!({"x": 1}));

    let old = api
        .http
        .patch(format!("{}{path}", api.emulator.url()))
        .bearer_auth(api.emulator.secret_key())
        .header("clerk-api-version", "2025-11-10")
        .json(&json!({"public_metadata": {"y": 2}}));
    let user: Value = old.send().await.unwrap().json().await.unwrap();
    assert_eq!(user["public_metadata"], json!({"y": 2}));
}

#[tokio::test]
async fn lists_are_filtered_ordered_and_paged() {
    let api = Api::new().await;
    for (n, name) in ["a", "b", "c", "d", "e"].into_iter().enumerate() {
        api.emulator.create_user(json!({
            "id": format!("user_{name}"), "email": format!("{name}@example.com"),
            "external_id": format!("x{n}"), "created_at": 1000 + n, "first_name": name,
        }));
    }
    assert_eq!(api.ids("").await, ["e", "d", "c", "b", "a"]);
    assert_eq!(
        api.ids("order_by=created_at&limit=2&offset=1").await,
        ["b", "c"]
    );
    assert_eq!(api.ids("limit=2&starting_after=user_d").await, ["c", "b"]);
    assert_eq!(api.ids("limit=2&starting_after=user_a").await, [""; 0]);
    assert_eq!(
        api.ids("order_by=%2Bcreated_at&starting_after=user_c")
            .await,
        ["d", "e"]
    );
    assert_eq!(
        api.ids("user_id=user_a&user_id=user_zzz&user_id=%2Buser_c")
            .await,
        ["c", "a"]
    );
    assert_eq!(
        api.ids("user_id=-user_a&user_id=-user_c").await,
        ["e", "d", "b"]
    );
    assert_eq!(api.ids("external_id=x1&external_id=x3").await, ["d", "b"]);
    assert_eq!(api.ids("email_address=B@example.com").await, ["b"]);
    assert_eq!(api.ids("query=C%40ex").await, ["c"]);
    assert_eq!(api.ids("created_at_after=1002").await, ["e", "d"]);
    assert_eq!(api.ids("order_by=-first_name&limit=1").await, ["e"]);
    assert_eq!(
        api.get("/v1/users/count?user_id=-user_a").await,
        json!({"object": "total_count", "total_count": 4})
    );

    for query in [
        "starting_after=user_a&order_by=updated_at",
        "starting_after=user_a&offset=1",
        "limit=0",
        "limit=501",
        "order_by=shoe_size",
    ] {
        let (status, _) = api
            .refusal("GET", &format!("/v1/users?{query}"), Value::Null)
            .await;
        assert_eq!(status, 422, "{query}");
    }
}

#[tokio::test]
async fn bans_and_locks_and_addresses_change_a_user() {
    let api = Api::new().await;
    let user = api
        .emulator
        .create_user(json!({"email": "ada@example.com"}));
    let path = format!("/v1/users/{}", id(&user));
    api.emulator.session_token(id(&user));

    let post = async |verb: &str| {
        api.call("POST", &format!("{path}/{verb}"), json!({}))
            .await
            .1
    };
    assert_eq!(post("ban").await["banned"], true);
    let sessions = api
        .get(&format!("/v1/sessions?user_id={}", id(&user)))
        .await;
    assert_eq!(sessions[0]["status"], "revoked");
    assert_eq!(post("unban").await["banned"], false);
    assert_eq!(post("lock").await["locked"], true);
    assert_eq!(post("unlock").await["locked"], false);

    let second = json!({"user_id": id(&user), "email_address": "second@example.com"});
    let (_, second) = api.call("POST", "/v1/email_addresses", second).await;
    assert_eq!(second["verification"], Value::Null);
    let second_path = format!("/v1/email_addresses/{}", id(&second));
    let (_, second) = api
        .call(
            "PATCH",
            &second_path,
            json!({"verified": true, "primary": true}),
        )
        .await;
    assert_eq!(second["verification"]["status"], "verified");
    assert_eq!(api.get(&second_path).await, second);
    assert_eq!(
        api.get(&path).await["primary_email_address_id"],
        second["id"]
    );
    let (_, deleted) = api.call("DELETE", &second_path, Value::Null).await;
    assert_eq!(deleted["deleted"], true);

    let only = json!({"email_address": "only@example.com"});
    let (_, only) = api
        .call("PUT", &format!("{path}/email_address"), only)
        .await;
    let user = api.get(&path).await;
    assert_eq!(user["email_addresses"], json!([only]));
    assert_eq!(user["primary_email_address_id"], only["id"]);
    let refusal = api
        .refusal(
            "DELETE",
            &format!("/v1/email_addresses/{}", id(&only)),
            Value::Null,
        )
        .await;
    assert_eq!(
        refusal,
        (
            400,
            "last_required_identification_deletion_failed".to_owned()
        )
    );
    assert_eq!(event_types(&api.emulator).len(), 9);
}

#[tokio::test]
async fn an_invitation_is_sent_once_and_brings_its_metadata() {
    let api = Api::new().await;
    let new = json!({"email_address": "new@example.com", "public_metadata": {"role": "STUDENT"}});
    let (status, invitation) = api.call("POST", "/v1/invitations", new.clone()).await;
    assert_eq!((status, &invitation["status"]), (200, &json!("pending")));
    let refusal = api.refusal("POST", "/v1/invitations", new.clone()).await;
    assert_eq!(refusal, (400, "duplicate_record".to_owned()));

    assert_eq!(api.get("/v1/invitations").await, json!([invitation]));
    assert_eq!(
        api.get("/v1/invitations?paginated=true&status=pending")
            .await,
        json!({"data": [invitation], "total_count": 1})
    );

    let accept = format!("/_emulator/invitations/{}/accept", id(&invitation));
    let (_, user) = api.call("POST", &accept, json!({})).await;
    assert_eq!(user["public_metadata"], json!({"role": "STUDENT"}));
    assert_eq!(
        user["email_addresses"][0]["verification"]["strategy"],
        "ticket"
    );
    let refusal = api.refusal("POST", "/v1/invitations", new.clone()).await;
    assert_eq!(refusal, (422, "form_identifier_exists".to_owned()));
    let revoke = format!("/v1/invitations/{}/revoke", id(&invitation));
    let refusal = api.refusal("POST", &revoke, json!({})).await;
    assert_eq!(refusal, (400, "invitation_already_accepted".to_owned()));

    let again = json!({"email_address": "new@example.com", "ignore_existing": true});
    let (_, invitation) = api.call("POST", "/v1/invitations", again).await;
    let revoke = format!("/v1/invitations/{}/revoke", id(&invitation));
    let (_, revoked) = api.call("POST", &revoke, json!({})).await;
    assert_eq!(
        (&revoked["revoked"], &revoked["status"]),
        (&json!(true), &json!("revoked"))
    );

    let late = json!({"email_address": "late@example.com", "expires_in_days": 1});
    api.call("POST", "/v1/invitations", late).await;
    api.emulator.advance(Duration::from_secs(24 * 60 * 60 + 1));
    let expired = api.get("/v1/invitations?status=expired").await;
    assert_eq!(expired[0]["email_address"], "late@example.com");
}

#[tokio::test]
async fn an_invitation_is_accepted_once_and_only_while_it_is_open() {
    let api = Api::new().await;
    let invite = async |name: &str| {
        let new = json!({"email_address": format!("{name}@example.com"), "expires_in_days": 2});
        let (_, invitation) = api.call("POST", "/v1/invitations", new).await;
        id(&invitation).to_owned()
    };
    let accept = async |invitation: &str| {
        let path = format!("/_emulator/invitations/{invitation}/accept");
        api.refusal("POST", &path, json!({})).await
    };
    let accepted = invite("accepted").await;
    api.emulator.accept_invitation(&accepted);
    let refusal = accept(&accepted).await;
    assert_eq!(refusal, (400, "invitation_already_accepted".to_owned()));

    let revoked = invite("revoked").await;
    let path = format!("/v1/invitations/{revoked}/revoke");
    let response = api.request(Method::POST, &path).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK, "without a body");
    let refusal = accept(&revoked).await;
    assert_eq!(refusal, (400, "invitation_already_revoked".to_owned()));

    let expired = invite("expired").await;
    api.emulator.advance(Duration::from_hours(48));
    let refusal = accept(&expired).await;
    assert_eq!(refusal, (400, "invitation_already_expired".to_owned()));
    assert_eq!(accept("inv_none").await.0, 404);
    assert_eq!(api.emulator.users().len(), 1);
    assert_eq!(event_types(&api.emulator), ["user.created"]);
}

#[tokio::test]
async fn whoever_accepts_an_invitation_may_say_their_names() {
    let api = Api::new().await;
    let invite = async |email: &str| {
        let new = json!({
            "email_address": email, "public_metadata": {"role": "STUDENT"}, "ignore_existing": true,
        });
        let (_, invitation) = api.call("POST", "/v1/invitations", new).await;
        id(&invitation).to_owned()
    };
    let ada = invite("ada@example.com").await;
    let names = json!({"first_name": "Ada", "last_name": "Lovelace"});
    let ada = api.emulator.accept_invitation_with(&ada, names);
    let names = (&ada["first_name"], &ada["last_name"]);
    assert_eq!(names, (&json!("Ada"), &json!("Lovelace")));
    assert_eq!(ada["public_metadata"], json!({"role": "STUDENT"}));

    let grace = invite("grace@example.com").await;
    let path = format!("/_emulator/invitations/{grace}/accept");
    let names = json!({"first_name": "Grace", "username": "grace"});
    let (_, grace) = api.call("POST", &path, names).await;
    let names = (&grace["first_name"], &grace["username"]);
    assert_eq!(names, (&json!("Grace"), &json!("grace")));

    // A name that is taken leaves the invitation as it was.
    let other = invite("other@example.com").await;
    let path = format!("/_emulator/invitations/{other}/accept");
    let refusal = api.refusal("POST", &path, json!({"username": "grace"}));
    assert_eq!(refusal.await, (422, "form_identifier_exists".to_owned()));
    api.emulator.accept_invitation(&other);

    // Who is a user already only signs in.
    let again = invite("ada@example.com").await;
    let names = json!({"first_name": "Augusta"});
    let same = api.emulator.accept_invitation_with(&again, names);
    assert_eq!(
        (&same["id"], &same["first_name"]),
        (&ada["id"], &json!("Ada"))
    );
}

#[tokio::test]
async fn who_signs_up_alone_leaves_their_invitation_open() {
    let api = Api::new().await;
    let new = json!({"email_address": "new@example.com", "public_metadata": {"role": "STUDENT"}});
    let (_, invitation) = api.call("POST", "/v1/invitations", new).await;
    let stranger = api
        .emulator
        .create_user(json!({"email": "new@example.com"}));
    assert_eq!(stranger["public_metadata"], json!({}));
    let pending = api.get("/v1/invitations?status=pending").await;
    assert_eq!(pending, json!([invitation]));
    let user = api.emulator.accept_invitation(id(&invitation));
    assert_eq!(user["id"], stranger["id"]);
    assert_eq!(user["public_metadata"], json!({"role": "STUDENT"}));
}

#[tokio::test]
async fn a_weak_password_is_refused_and_says_why() {
    let api = Api::new().await;
    let new = json!({"email": "engine@example.com", "username": "Countess"});
    let user = api.emulator.create_user(new);
    let path = format!("/v1/users/{}", id(&user));
    let new_user = json!({"email_address": ["other@example.com"]});
    for (password, expected) in [
        ("", "form_password_length_too_short"),
        ("7 chars", "form_password_length_too_short"),
        (&"\u{e9}".repeat(7), "form_password_length_too_short"),
        (&"long ".repeat(15), "form_password_length_too_long"),
        ("12345678", "form_password_pwned"),
        ("password", "form_password_pwned"),
        ("password123", "form_password_pwned"),
        ("qwertyuiop", "form_password_pwned"),
    ] {
        for (method, path, mut body) in [
            ("PATCH", path.as_str(), json!({"first_name": "Ada"})),
            ("POST", "/v1/users", new_user.clone()),
        ] {
            body["password"] = json!(password);
            let (status, body) = api.call(method, path, body).await;
            assert_eq!(
                (status, code(&body).as_str()),
                (422, expected),
                "{password}"
            );
            assert_eq!(body["errors"].as_array().unwrap().len(), 1);
            assert_eq!(body["errors"][0]["meta"], json!({"param_name": "password"}));
        }
    }
    assert_eq!(api.emulator.users(), [user], "nothing has changed");
    assert_eq!(event_types(&api.emulator), ["user.created"]);
}

#[tokio::test]
async fn a_password_is_none_of_the_names_of_its_user() {
    let api = Api::new().await;
    let new = json!({"email": "difference@example.com", "username": "countess"});
    let user = api.emulator.create_user(new);
    let path = format!("/v1/users/{}", id(&user));
    let refused = (422, "form_password_matches_identifier".to_owned());
    for body in [
        json!({"password": "Difference@example.COM"}),
        json!({"password": "DIFFERENCE"}),
        json!({"password": "Countess"}),
        json!({"username": "analytical", "password": "Analytical"}),
    ] {
        let found = api.refusal("PATCH", &path, body.clone()).await;
        assert_eq!(found, refused, "{body}");
    }
    assert_eq!(api.emulator.users(), [user]);
    let new = json!({"email_address": ["difference2@example.com"], "password": "difference2"});
    assert_eq!(api.refusal("POST", "/v1/users", new).await, refused);
    let other = json!({"username": "analytical", "password": "countess"});
    let (status, _) = api.call("PATCH", &path, other).await;
    assert_eq!(status, 200, "a name that is no longer theirs");
}

#[tokio::test]
async fn a_strict_instance_tells_all_that_a_password_lacks() {
    let api = Api::new().await;
    let user = api.emulator.create_user(json!({}));
    let path = format!("/v1/users/{}", id(&user));
    let codes = async |password: &str| {
        let body = json!({"password": password});
        let (status, body) = api.call("PATCH", &path, body).await;
        let errors = body["errors"].as_array().cloned().unwrap_or_default();
        let codes = errors.iter().map(|error| {
            assert_eq!(
                (status, &error["meta"]["param_name"]),
                (422, &json!("password"))
            );
            let code = error["code"].as_str().unwrap();
            code.strip_prefix("form_password_").unwrap().to_owned()
        });
        codes.collect::<Vec<_>>()
    };
    assert_eq!(codes("engines!").await, [""; 0]);
    api.emulator.strict_passwords(true);
    let all = [
        "length_too_short",
        "no_uppercase",
        "no_lowercase",
        "no_number",
        "no_special_char",
    ];
    assert_eq!(codes("").await, all);
    assert_eq!(
        codes("engines engines").await,
        ["no_uppercase", "no_number"],
        "a blank is special"
    );
    assert_eq!(codes("ENGINES1").await, ["no_lowercase", "no_special_char"]);
    assert_eq!(codes("Password1!").await, ["pwned"]);
    assert_eq!(codes("Engines1!").await, [""; 0]);
    let off = json!({"on": false});
    api.call("POST", "/_emulator/strict-passwords", off).await;
    assert_eq!(codes("engines!").await, [""; 0]);
}

#[tokio::test]
async fn a_password_is_taken_unchecked_when_the_caller_says_so() {
    let api = Api::new().await;
    api.emulator.strict_passwords(true);
    api.emulator.set_clock(5_000);
    let user = api.emulator.create_user(json!({}));
    assert_eq!(user["password_last_updated_at"], Value::Null);
    let path = format!("/v1/users/{}", id(&user));
    api.emulator.set_clock(7_000);
    let unchecked = json!({"password": "1234", "skip_password_checks": true});
    let (_, user) = api.call("PATCH", &path, unchecked).await;
    assert_eq!(user["password_last_updated_at"], 7_000);
    assert_eq!(user["password_enabled"], true);
}

#[tokio::test]
async fn no_password_is_kept_or_remembered() {
    let api = Api::new().await;
    let user = api
        .emulator
        .create_user(json!({"email": "ada@example.com"}));
    let path = format!("/v1/users/{}", id(&user));
    let good = json!({"last_name": "Lovelace", "password": "hush hush horse"});
    let (status, answer) = api.call("PATCH", &path, good.clone()).await;
    assert_eq!(status, 200);
    assert_eq!(answer["password_enabled"], true);
    let bad = json!({"password": "hush"});
    let (status, refusal) = api.call("PATCH", &path, bad).await;
    assert_eq!(status, 422);
    let new = json!({"password": "hush hush hush", "password_digest": "hush"});
    api.call("POST", "/v1/users", new).await;
    let broken = api.request(Method::PATCH, &path);
    let broken = broken.header("content-type", "application/json");
    let broken = broken.body("{\"Password\": \"hush").send().await.unwrap();
    assert_eq!(broken.status(), StatusCode::BAD_REQUEST);
    api.emulator.down();
    api.call("PATCH", &path, good).await;

    let bodies: Vec<String> = api
        .emulator
        .requests()
        .into_iter()
        .map(|it| it.body)
        .collect();
    let expected = [
        json!({"last_name": "Lovelace", "password": "[redacted]"}).to_string(),
        json!({"password": "[redacted]"}).to_string(),
        json!({"password": "[redacted]", "password_digest": "[redacted]"}).to_string(),
        "[redacted]".to_owned(),
        json!({"last_name": "Lovelace", "password": "[redacted]"}).to_string(),
    ];
    assert_eq!(bodies, expected);
    for shown in [
        answer.to_string(),
        refusal.to_string(),
        api.get("/_emulator/state").await.to_string(),
        api.get("/_emulator/requests").await.to_string(),
        format!("{:?}", api.emulator),
    ] {
        assert!(!shown.contains("hush"), "{shown}");
    }
}

#[tokio::test]
async fn only_the_directory_renames_or_deletes_those_who_come_from_it() {
    let api = Api::new().await;
    let user = api.emulator.create_user(json!({
        "first_name": "Ada", "scim": {"directory_id": "dir_1", "directory_enabled": true},
    }));
    let path = format!("/v1/users/{}", id(&user));
    let refused = (409, "user_managed_by_scim".to_owned());
    for body in [
        json!({"first_name": "Augusta"}),
        json!({"last_name": null}),
        json!({"last_name": "King", "password": "correct horse"}),
    ] {
        assert_eq!(api.refusal("PATCH", &path, body).await, refused);
    }
    assert_eq!(api.refusal("DELETE", &path, Value::Null).await, refused);
    assert_eq!(api.get(&path).await, user);
    let (status, _) = api.call("PATCH", &path, json!({"external_id": "1"})).await;
    assert_eq!(status, 200);

    // The directory itself goes on as before, until it is disabled.
    let renamed = api
        .emulator
        .update_user(id(&user), json!({"first_name": "Augusta"}));
    assert_eq!(renamed["first_name"], "Augusta");
    let disabled = json!({"scim": {"directory_id": "dir_1"}});
    let control = format!("/_emulator/users/{}", id(&user));
    assert_eq!(api.call("PATCH", &control, disabled).await.0, 200);
    let (status, _) = api.call("PATCH", &path, json!({"first_name": "Ada"})).await;
    assert_eq!(status, 200);
    api.emulator.update_user(id(&user), json!({"scim": null}));
    assert_eq!(api.call("DELETE", &path, Value::Null).await.0, 200);

    let directories = api.emulator.take_messages().into_iter().map(|message| {
        let event: Value = serde_json::from_str(&message.body).unwrap();
        event["data"].get("scim").cloned()
    });
    let enabled = json!({"directory_id": "dir_1", "directory_enabled": true, "external_id": null});
    let disabled = json!({"directory_id": "dir_1", "external_id": null});
    let expected = [
        Some(enabled.clone()),
        Some(enabled.clone()),
        Some(enabled),
        Some(disabled.clone()),
        Some(disabled),
        None,
        None,
    ];
    assert_eq!(
        directories.collect::<Vec<_>>(),
        expected,
        "only webhooks tell of it"
    );
    assert_eq!(user.get("scim"), None);
}

#[tokio::test]
async fn a_session_token_says_who_and_is_signed_with_the_published_key() {
    let api = Api::new().await;
    let user = api
        .emulator
        .create_user(json!({"email": "ada@example.com"}));
    let (_, session) = api
        .call("POST", "/v1/sessions", json!({"user_id": id(&user)}))
        .await;
    let path = format!("/v1/sessions/{}/tokens", id(&session));
    let (_, token) = api
        .call("POST", &path, json!({"expires_in_seconds": 120}))
        .await;
    assert_eq!(token["object"], "token");

    let keys: jsonwebtoken::jwk::JwkSet =
        serde_json::from_value(api.get("/v1/jwks").await).unwrap();
    let jwk = keys.find(api.emulator.instance_id()).unwrap();
    let key = jsonwebtoken::DecodingKey::from_jwk(jwk).unwrap();
    let validation = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::RS256);
    let read = |jwt: &str| {
        jsonwebtoken::decode::<Value>(jwt, &key, &validation)
            .unwrap()
            .claims
    };

    let claims = read(token["jwt"].as_str().unwrap());
    assert_eq!(claims["sub"], user["id"]);
    assert_eq!(claims["sid"], session["id"]);
    assert_eq!(claims["iss"], api.emulator.issuer());
    assert_eq!(claims["v"], 2);
    let seconds = claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap();
    assert_eq!(seconds, 120);

    let claims = read(
        &api.emulator
            .session_token_with(id(&user), json!({"azp": null, "extra": 1})),
    );
    assert_eq!((claims.get("azp"), &claims["extra"]), (None, &json!(1)));

    api.call(
        "POST",
        &format!("/v1/sessions/{}/revoke", id(&session)),
        json!({}),
    )
    .await;
    assert_eq!(api.refusal("POST", &path, json!({})).await.0, 404);

    api.emulator.delete_user(id(&user));
    let mut claims = api.emulator.token_claims(id(&user));
    claims["late"] = json!(true);
    let jwt = api.emulator.sign_jwt(api.emulator.token_header(), claims);
    assert_eq!(read(&jwt)["late"], true);
}

#[tokio::test]
async fn faults_refuse_delay_and_cut() {
    let api = Api::new().await;
    let user = api
        .emulator
        .create_user(json!({"email": "ada@example.com"}));
    let path = format!("/v1/users/{}", id(&user));
    let metadata = format!("{path}/metadata");
    let set_role = |role: &str| {
        let body = json!({"public_metadata": {"role": role}});
        api.request(Method::PATCH, &metadata).json(&body).send()
    };
    let role = || api.emulator.user(id(&user)).unwrap()["public_metadata"]["role"].clone();

    api.emulator
        .fault(Fault::rate_limited(7).on("PATCH", "/v1/users").once());
    let response = set_role("A").await.unwrap();
    assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(response.headers()["retry-after"], "7");
    assert_eq!(code(&response.json().await.unwrap()), "too_many_requests");
    assert_eq!(role(), Value::Null);

    api.emulator.fault(Fault::drop().once());
    assert!(set_role("B").await.is_err());
    assert_eq!(role(), Value::Null);

    api.emulator.fault(Fault::drop_answer().once());
    assert!(set_role("C").await.is_err());
    assert_eq!(role(), "C");

    let fault =
        json!({"match": {"path_prefix": "/v1/users"}, "times": 1, "effect": {"slow_ms": 150}});
    api.call("POST", "/_emulator/faults", fault).await;
    let started = Instant::now();
    assert!(set_role("D").await.unwrap().status().is_success());
    assert!(started.elapsed() >= Duration::from_millis(150));

    api.emulator.down();
    assert_eq!(
        set_role("E").await.unwrap().status(),
        StatusCode::SERVICE_UNAVAILABLE
    );
    api.emulator.unreachable();
    assert!(set_role("F").await.is_err());
    api.emulator.up();
    assert_eq!(role(), "D");

    let statuses: Vec<u16> = api.emulator.requests().iter().map(|r| r.status).collect();
    assert_eq!(statuses, [429, 0, 0, 200, 503, 0]);
    assert_eq!(
        api.emulator.requests()[0].headers["clerk-api-version"],
        VERSION
    );
}

#[tokio::test]
async fn a_user_takes_ten_updates_in_ten_seconds() {
    let api = Api::new().await;
    let user = api.emulator.create_user(json!({}));
    let path = format!("/v1/users/{}", id(&user));
    api.emulator.freeze_clock();
    for n in 0..10 {
        let path = if n % 2 == 0 {
            path.clone()
        } else {
            format!("{path}/metadata")
        };
        assert_eq!(api.call("PATCH", &path, json!({})).await.0, 200);
    }
    let response = api.send(Method::PATCH, &path, &json!({})).await;
    assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(response.headers()["retry-after"], "10");
    assert!(api.get(&path).await.is_object(), "reads go on");
    api.emulator.advance(Duration::from_secs(10));
    assert_eq!(api.call("PATCH", &path, json!({})).await.0, 200);
}

#[tokio::test]
async fn an_instance_takes_its_limit_and_hands_out_keys_beyond_it() {
    let options = Options {
        instance_limit: Some(3),
        ..Options::default()
    };
    let api = Api::with(options).await;
    for _ in 0..3 {
        api.get("/v1/users").await;
    }
    let refusal = api.refusal("GET", "/v1/users", Value::Null).await;
    assert_eq!(refusal, (429, "too_many_requests".to_owned()));
    api.get("/v1/jwks").await;
}

/// Adds users of these names, all within one millisecond.
fn add_at_once(emulator: &Emulator, names: &[&str]) {
    emulator.freeze_clock();
    for name in names {
        emulator.create_user(json!({"id": format!("user_{name}")}));
    }
}

#[tokio::test]
async fn users_of_one_millisecond_keep_the_order_in_which_they_came() {
    let api = Api::new().await;
    add_at_once(&api.emulator, &["d", "a", "c", "e", "b"]);
    let oldest_first = ["d", "a", "c", "e", "b"];
    assert_eq!(api.ids("order_by=created_at").await, oldest_first);
    api.emulator.set_role("user_a", "ADMIN");
    assert_eq!(api.ids("order_by=%2Bcreated_at").await, oldest_first);
    assert_eq!(api.ids("limit=2&offset=1").await, ["e", "c"]);
    let ascending = "order_by=created_at&starting_after=user_a";
    assert_eq!(api.ids(ascending).await, ["c", "e", "b"]);
    assert_eq!(api.ids("starting_after=user_a").await, ["d"]);
    assert_eq!(
        api.ids("user_id=user_b&user_id=user_a&user_id=user_d")
            .await,
        ["b", "a", "d"]
    );
}

#[tokio::test]
async fn a_filter_and_a_cursor_work_together() {
    let api = Api::new().await;
    add_at_once(&api.emulator, &["a", "b", "c", "d", "e"]);
    let query = "order_by=created_at&user_id=-user_c&starting_after=user_b&limit=1";
    assert_eq!(api.ids(query).await, ["d"]);
    let query = "order_by=created_at&user_id=user_a&user_id=user_d&starting_after=user_b";
    assert_eq!(api.ids(query).await, ["d"]);
    assert_eq!(
        api.ids("user_id=user_a&user_id=user_d&offset=1").await,
        ["a"]
    );
    assert_eq!(
        api.ids("user_id=-user_e&offset=1&limit=2").await,
        ["c", "b"]
    );
    let counted = api
        .get("/v1/users/count?user_id=user_a&user_id=user_x")
        .await;
    assert_eq!(counted["total_count"], 1);
}

#[tokio::test]
async fn a_list_by_offset_shifts_when_somebody_before_it_is_deleted() {
    let api = Api::new().await;
    add_at_once(&api.emulator, &["a", "b", "c", "d"]);
    api.emulator
        .after_request(1, "GET", "/v1/users?", |clerk| clerk.delete_user("user_a"));
    let page = "order_by=created_at&limit=2";
    assert_eq!(api.ids(page).await, ["a", "b"]);
    assert_eq!(api.ids(&format!("{page}&offset=2")).await, ["d"]);
}

#[tokio::test]
async fn a_cursor_of_a_deleted_user_is_refused() {
    let api = Api::new().await;
    add_at_once(&api.emulator, &["a", "b", "c"]);
    api.emulator.delete_user("user_b");
    let path = "/v1/users?order_by=created_at&starting_after=user_b";
    let refusal = api.refusal("GET", path, Value::Null).await;
    assert_eq!(refusal, (422, "form_param_value_invalid".to_owned()));
}

#[tokio::test]
async fn a_hook_runs_once_before_or_after_its_call() {
    let api = Api::new().await;
    add_at_once(&api.emulator, &["a"]);
    let add = |id: &'static str| {
        move |clerk: &Emulator| {
            clerk.create_user(json!({"id": format!("user_{id}")}));
        }
    };
    api.emulator
        .before_request(2, "GET", "/v1/users?", add("before"));
    api.emulator
        .after_request(2, "GET", "/v1/users?", add("after"));
    let list = "order_by=created_at";
    assert_eq!(api.ids(list).await, ["a"], "the first call");
    api.get("/v1/users/count").await;
    assert_eq!(api.ids(list).await, ["a", "before"], "the second call");
    let everybody = ["a", "before", "after"];
    assert_eq!(api.ids(list).await, everybody, "the third call");
    assert_eq!(api.ids(list).await, everybody, "the fourth call");
    assert_eq!(event_types(&api.emulator), ["user.created"; 3]);
}

#[tokio::test]
async fn a_hook_can_run_at_every_call_until_it_is_taken_back() {
    let api = Api::new().await;
    let mut n = 0;
    api.emulator
        .before_each_request("GET", "/v1/users", move |clerk| {
            n += 1;
            clerk.silently(|clerk| clerk.create_user(json!({"id": format!("user_{n}")})));
        });
    api.emulator
        .after_each_request("GET", "/v1/users", |clerk| {
            let last = clerk.user_ids().pop().unwrap();
            clerk.update_user(&last, json!({"first_name": "Seen"}));
        });
    let first_names = async || {
        let users = api.get("/v1/users?order_by=created_at").await;
        let users = users.as_array().unwrap().iter();
        users
            .map(|user| user["first_name"].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(first_names().await, [Value::Null]);
    assert_eq!(first_names().await, [json!("Seen"), Value::Null]);
    assert_eq!(event_types(&api.emulator), ["user.updated"; 2]);
    api.emulator.clear_hooks();
    assert_eq!(first_names().await, [json!("Seen"), json!("Seen")]);
}

#[tokio::test]
async fn a_hook_can_order_a_fault_for_its_own_call() {
    let api = Api::new().await;
    api.emulator
        .before_request(1, "GET", "/v1/users?offset=10", |clerk| {
            clerk.fault(Fault::status(500).once());
        });
    assert_eq!(
        api.call("GET", "/v1/users?offset=0", json!({})).await.0,
        200
    );
    assert_eq!(
        api.call("GET", "/v1/users?offset=10", json!({})).await.0,
        500
    );
    assert_eq!(
        api.call("GET", "/v1/users?offset=10", json!({})).await.0,
        200
    );
}

#[tokio::test]
async fn a_hook_does_not_keep_an_emulator_alive() {
    let emulator = Emulator::start(Options::default()).await.unwrap();
    let url = emulator.url().to_owned();
    emulator.before_each_request("GET", "/v1/users", |_| {});
    assert!(reqwest::get(format!("{url}/v1/users")).await.is_ok());
    drop(emulator);
    wait_until_refused(&url).await;
}

#[tokio::test]
async fn a_fault_hits_one_page_of_a_list_once() {
    let api = Api::new().await;
    let status = async |path: &str| api.call("GET", path, json!({})).await.0;
    let list = "/v1/organization_memberships";
    api.emulator
        .fault(Fault::status(500).on("GET", list).skip(1).once());
    let offsets = ["", "?offset=500", "?offset=500"];
    let mut seen = Vec::new();
    for query in offsets {
        seen.push(status(&format!("{list}{query}")).await);
    }
    assert_eq!(seen, [200, 500, 200]);

    let fault = json!({
        "match": {"path_prefix": "/v1/users", "query": {"offset": "500"}}, "skip": 1, "times": 1,
        "effect": {"status": 503},
    });
    api.call("POST", "/_emulator/faults", fault).await;
    let mut seen = Vec::new();
    for offset in [500, 0, 500, 500] {
        seen.push(status(&format!("/v1/users?limit=500&offset={offset}")).await);
    }
    assert_eq!(seen, [200, 200, 503, 200]);
}

#[tokio::test]
async fn a_filled_instance_looks_as_if_it_had_been_used_for_years() {
    let api = Api::new().await;
    let fill = json!({"users": 2000, "organizations": 100, "memberships": 5000});
    let (status, _) = api.call("POST", "/_emulator/fill", fill).await;
    assert_eq!(status, 200);
    assert_eq!(event_types(&api.emulator), [""; 0]);

    let users = api.emulator.users();
    let now = api.emulator.now_ms();
    assert_eq!(users.len(), 2000);
    let distinct = |what: &dyn Fn(&Value) -> String| {
        let values: HashSet<String> = users.iter().map(what).collect();
        values.len()
    };
    assert_eq!(
        distinct(&|user| user["email_addresses"][0]["email_address"].to_string()),
        2000
    );
    assert_eq!(distinct(&|user| user["created_at"].to_string()), 2000);
    assert_eq!(distinct(&|user| user["updated_at"].to_string()), 2000);
    for user in &users {
        let address = &user["email_addresses"][0];
        assert_eq!(address["verification"]["status"], "verified");
        assert_eq!(address["id"], user["primary_email_address_id"]);
        assert!(!user["first_name"].as_str().unwrap().is_empty());
        let created_at = user["created_at"].as_i64().unwrap();
        let updated_at = user["updated_at"].as_i64().unwrap();
        assert!(0 < created_at && created_at <= updated_at && updated_at < now);
    }
    let n_with = |role: Value| {
        let has_role = |user: &&Value| user["public_metadata"]["role"] == role;
        users.iter().filter(has_role).count()
    };
    let roles = [json!("ADMIN"), json!("INSTRUCTOR"), json!("STUDENT")];
    assert_eq!(roles.map(n_with), [20, 200, 1680]);
    assert_eq!(n_with(Value::Null), 100);

    // A second time it is as many again.
    let mut more = Fill {
        users: 10,
        organizations: 5,
        memberships: 50,
    };
    api.emulator.fill(more).unwrap();
    assert_eq!(api.emulator.user_ids().len(), 2010);
    more.memberships = 51;
    let refused = api.emulator.fill(more).unwrap_err();
    assert!(refused.to_string().contains("more memberships than pairs"));
    assert_eq!(api.emulator.user_ids().len(), 2010, "nothing was added");
}

#[tokio::test]
async fn the_demo_has_six_people_and_around_them_a_crowd_that_came_over_three_months() {
    let api = Api::new().await;
    api.emulator.seed_demo().unwrap();
    let now = api.emulator.now_ms();
    let days_ago = |at: &Value| (now - at.as_i64().unwrap()) / (24 * 60 * 60 * 1000);

    let users = api.emulator.users();
    assert_eq!(users.len(), 246);
    let (six, crowd) = users.split_at(6);
    let names: Vec<&str> = six
        .iter()
        .filter_map(|user| user["first_name"].as_str())
        .collect();
    let expected = ["Ada", "Grace", "Edsger", "Alan", "Barbara", "Donald"];
    assert_eq!(names, expected, "nobody came before them");
    assert_eq!(event_types(&api.emulator)[..6], ["user.created"; 6]);
    assert_eq!(
        api.emulator.messages().len(),
        10,
        "the crowd makes no webhooks"
    );

    let n = |is: &dyn Fn(&Value) -> bool| crowd.iter().filter(|user| is(user)).count();
    let n_with = |role: &str| n(&|user| user["public_metadata"]["role"] == role);
    assert_eq!(["ADMIN", "INSTRUCTOR", "STUDENT"].map(n_with), [6, 30, 204]);
    assert_eq!(n(&|user| user["banned"] == true), 4);
    assert_eq!(n(&|user| user["locked"] == true), 3);
    assert_eq!(n(&|user| user["last_sign_in_at"].is_null()), 34);
    for user in crowd {
        assert_eq!(
            user["email_addresses"][0]["verification"]["status"],
            "verified"
        );
        let signed_in = user["last_sign_in_at"].as_i64();
        for at in [user["updated_at"].as_i64(), signed_in]
            .into_iter()
            .flatten()
        {
            assert!(
                user["created_at"].as_i64() <= Some(at) && at <= now,
                "{user}"
            );
        }
    }
    let full_name = |user: &Value| format!("{} {}", user["first_name"], user["last_name"]);
    let full_names: HashSet<String> = crowd.iter().map(full_name).collect();
    assert_eq!(full_names.len(), 240);
    let came_within = |days| n(&|user| days_ago(&user["created_at"]) < days);
    assert_eq!([1, 30, 60, 93].map(came_within), [4, 107, 179, 240]);

    let organizations = api.emulator.organizations();
    assert_eq!(organizations.len(), 13);
    for organization in &organizations {
        let creator = organization["created_by"].as_str().unwrap();
        let membership = api.emulator.membership(id(organization), creator).unwrap();
        assert_eq!(membership["role"], "org:admin");
    }
    for membership in api.emulator.memberships() {
        let created_at = membership["created_at"].as_i64();
        assert!(created_at >= membership["organization"]["created_at"].as_i64());
        assert!(created_at <= Some(now));
    }
}

#[tokio::test]
async fn a_sign_in_page_is_told_the_fifty_oldest_users() {
    let api = Api::new().await;
    api.emulator.create_user(json!({
        "id": "user_2", "first_name": "Ada", "last_name": "Lovelace", "email": "ada@example.com",
        "role": "ADMIN", "created_at": 2_000,
    }));
    api.emulator.create_user(json!({
        "id": "user_1", "last_name": "Turing", "image_url": "https://example.com/alan.png",
        "banned": true, "created_at": 1_000,
    }));
    let nobody = json!({"id": "user_3", "created_at": 3_000});
    let nobody = api.emulator.create_user(nobody);
    let told = api.get("/_emulator/users").await;
    let expected = json!({"users": [
        {"id": "user_1", "name": "Turing", "email": null, "role": null,
         "image_url": "https://example.com/alan.png", "banned": true},
        {"id": "user_2", "name": "Ada Lovelace", "email": "ada@example.com", "role": "ADMIN",
         "image_url": nobody["image_url"], "banned": false},
        {"id": "user_3", "name": null, "email": null, "role": null,
         "image_url": nobody["image_url"], "banned": false},
    ]});
    assert_eq!(told, expected);

    let fill = Fill {
        users: 60,
        ..Fill::default()
    };
    api.emulator.fill(fill).unwrap();
    let told = api.get("/_emulator/users").await;
    let told = told["users"].as_array().unwrap();
    assert_eq!(told.len(), 50);
    let oldest = &api.emulator.users()[..50];
    for (shown, user) in told.iter().zip(oldest) {
        assert_eq!(shown["id"], user["id"]);
    }
}

/// The least time that a call takes.
async fn least_time(api: &Api, path: &str) -> Duration {
    let mut least = Duration::MAX;
    for _ in 0..10 {
        let started = Instant::now();
        api.get(path).await;
        least = least.min(started.elapsed());
    }
    least
}

#[tokio::test]
async fn a_page_costs_the_same_wherever_it_is_and_however_long_the_list() {
    let api = Api::new().await;
    let mut paths = vec![("/v1/users/count".to_owned(), 0)];
    for (list, n) in [
        ("users", 20_000),
        ("organizations", 10_000),
        ("organization_memberships", 40_000),
    ] {
        for order in ["%2Bcreated_at", "-created_at"] {
            let path = format!("/v1/{list}?limit=1&order_by={order}");
            paths.push((path.clone(), 0));
            paths.push((path, n - 1));
        }
    }
    let mut in_empty_lists = Vec::new();
    for (path, _) in &paths {
        in_empty_lists.push(least_time(&api, path).await);
    }
    let fill = Fill {
        users: 20_000,
        organizations: 10_000,
        memberships: 40_000,
    };
    api.emulator.fill(fill).unwrap();
    for ((path, offset), before) in paths.iter().zip(in_empty_lists) {
        let path = match offset {
            0 => path.clone(),
            offset => format!("{path}&offset={offset}"),
        };
        let now = least_time(&api, &path).await;
        let at_most = 3 * before + Duration::from_millis(3);
        assert!(
            now < at_most,
            "{path}: {now:?}, in an empty list {before:?}"
        );
        let page = api.get(&path).await;
        if let Some(items) = page.get("data").unwrap_or(&page).as_array() {
            assert_eq!(items.len(), 1, "{path}");
        }
    }
}

#[tokio::test]
async fn the_limit_of_an_instance_holds_and_says_how_often() {
    let api = Api::new().await;
    let users = 1000;
    let fill = Fill {
        users,
        ..Fill::default()
    };
    api.emulator.fill(fill).unwrap();
    api.call("POST", "/_emulator/limits", json!({"instance": 100}))
        .await;
    api.emulator.freeze_clock();
    for n in 0..100 {
        let path = format!("/v1/users?limit=10&offset={}", 10 * n);
        assert_eq!(api.get(&path).await.as_array().unwrap().len(), 10);
        api.emulator.advance(Duration::from_millis(10));
    }
    for _ in 0..3 {
        let response = api.send(Method::GET, "/v1/users", &json!({})).await;
        assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(response.headers()["retry-after"], "9");
    }
    api.emulator.advance(Duration::from_secs(9));
    assert_eq!(api.get("/v1/users").await.as_array().unwrap().len(), 10);

    let calls = api.emulator.calls();
    assert_eq!((calls.n_calls, calls.n_rate_limited), (104, 3));
    assert_eq!(
        api.get("/_emulator/calls").await,
        json!({"n_calls": 104, "n_rate_limited": 3, "by_status": {"200": 101, "429": 3}})
    );
    api.emulator.clear_requests();
    assert_eq!(api.emulator.calls().n_calls, 0);

    api.emulator.limit_instance(None);
    for _ in 0..101 {
        api.get("/v1/users/count").await;
    }
    assert_eq!(api.emulator.calls().n_rate_limited, 0);
}

#[tokio::test]
async fn two_writes_can_share_a_millisecond_and_time_never_runs_backwards() {
    let api = Api::new().await;
    api.emulator.set_clock(5_000);
    let user = api.emulator.create_user(json!({"first_name": "Ada"}));
    let user = api.emulator.set_role(id(&user), "ADMIN");
    assert_eq!(
        (&user["created_at"], &user["updated_at"]),
        (&json!(5000), &json!(5000))
    );
    api.emulator.set_clock(4_000);
    assert_eq!(
        api.emulator.set_role(id(&user), "STUDENT")["updated_at"],
        5000
    );
    api.emulator.advance(Duration::from_secs(2));
    assert_eq!(
        api.emulator.set_role(id(&user), "ADMIN")["updated_at"],
        6000
    );
}

/// A second emulator plays the receiver: it logs every call, and faults say how it answers.
async fn receiver() -> Emulator {
    let options = Options {
        instance_limit: None,
        ..Options::default()
    };
    Emulator::start(options).await.unwrap()
}

#[tokio::test]
async fn a_webhook_is_signed_and_comes_again_on_schedule() {
    let api = Api::new().await;
    let receiver = receiver().await;
    let secret = api.emulator.webhook_secret();
    api.emulator
        .add_endpoint(&format!("{}/hook", receiver.url()), secret);
    api.emulator
        .create_user(json!({"email": "ada@example.com"}));
    let message = api.emulator.messages().remove(0);

    // 302 and 500 are failures, no answer is one too.
    for fault in [Fault::status(302), Fault::status(500), Fault::drop()] {
        receiver.fault(fault.once());
    }
    let mut n_due = Vec::new();
    for seconds in [0, 4, 1, 299, 1, 1799] {
        api.emulator.advance(Duration::from_secs(seconds));
        n_due.push(api.emulator.deliver_due().await.len());
    }
    assert_eq!(n_due, [1, 0, 1, 0, 1, 0]);
    receiver.fault(Fault::status(204).once());
    api.emulator.advance(Duration::from_secs(1));
    let attempts = api.emulator.deliver_due().await;
    assert!(attempts[0].is_success, "{attempts:?}");
    let delivered = api.emulator.messages().remove(0);
    assert_eq!(
        (delivered.status, delivered.n_attempts),
        (Status::Delivered, 4)
    );

    let requests = receiver.requests();
    assert_eq!(requests.len(), 4);
    for request in &requests {
        assert_eq!(request.headers["svix-id"], message.id);
        assert_eq!(request.headers["content-type"], "application/json");
        assert!(request.headers["user-agent"].starts_with("Svix-Webhooks/"));
        let mut headers = reqwest::header::HeaderMap::new();
        for name in ["svix-id", "svix-timestamp", "svix-signature"] {
            headers.insert(name, request.headers[name].parse().unwrap());
        }
        let webhook = Webhook::new(secret).unwrap();
        webhook.verify(request.body.as_bytes(), &headers).unwrap();
        assert!(webhook.verify(b"{}", &headers).is_err());
    }
}

#[tokio::test]
async fn webhooks_come_in_any_order_repeatedly_or_never() {
    let api = Api::new().await;
    let hook = receiver().await;
    hook.fault(Fault::status(200));
    api.emulator
        .add_endpoint(hook.url(), api.emulator.webhook_secret());
    let user = api.emulator.create_user(json!({}));
    api.emulator.set_role(id(&user), "ADMIN");
    api.emulator.delete_user(id(&user));
    let received = || -> Vec<String> {
        let types = hook.requests().into_iter().map(|request| {
            let event: Value = serde_json::from_str(&request.body).unwrap();
            event["type"].as_str().unwrap().replace("user.", "")
        });
        hook.clear_requests();
        types.collect()
    };

    let deliver = Deliver {
        order: Order::Reverse,
        repeat: 2,
        ..Deliver::default()
    };
    api.emulator.deliver_due_with(&deliver).await;
    assert_eq!(
        received(),
        [
            "deleted", "deleted", "updated", "updated", "created", "created"
        ]
    );
    assert_eq!(api.emulator.deliver_due().await.len(), 0);

    let first = api.emulator.messages().remove(0);
    api.emulator.replay(&first.id);
    api.emulator.deliver_due().await;
    api.emulator.deliver(&first.id).await;
    assert_eq!(received(), ["created", "created"]);

    api.emulator.create_user(json!({}));
    let body = json!({"drop": 1.0});
    api.call("POST", "/_emulator/deliver", body).await;
    assert_eq!(received(), [""; 0]);
    assert_eq!(api.emulator.messages().len(), 3);
}

#[tokio::test]
async fn webhooks_are_delivered_without_being_asked_when_automatic() {
    let api = Api::new().await;
    let receiver = receiver().await;
    receiver.fault(Fault::status(500).once());
    receiver.fault(Fault::status(200));
    api.emulator
        .add_endpoint(receiver.url(), api.emulator.webhook_secret());
    api.call("POST", "/_emulator/auto", json!({"on": true}))
        .await;
    api.emulator.create_user(json!({}));
    wait_until(|| api.emulator.messages()[0].n_attempts == 1).await;
    api.call("POST", "/_emulator/clock", json!({"advance_ms": 5000}))
        .await;
    wait_until(|| api.emulator.messages()[0].status == Status::Delivered).await;
    assert_eq!(receiver.requests().len(), 2);
}

async fn wait_until(is_true: impl Fn() -> bool) {
    let started = Instant::now();
    while !is_true() {
        assert!(
            started.elapsed() < Duration::from_secs(10),
            "it never came true"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn the_control_routes_do_what_the_handle_does() {
    let api = Api::new().await;
    let seed = json!({"silent": true, "users": [
        {"id": "user_1", "email": "ada@example.com", "role": "ADMIN"},
        {"id": "user_2", "email": "new@example.com", "verified": false},
    ]});
    assert_eq!(api.call("POST", "/_emulator/seed", seed).await.0, 200);
    assert_eq!(api.emulator.users().len(), 2);
    assert_eq!(api.emulator.messages().len(), 0);
    let unproven = &api.emulator.user("user_2").unwrap()["email_addresses"][0];
    assert_eq!(unproven["verification"], Value::Null);

    let (_, user) = api
        .call(
            "POST",
            "/_emulator/users/user_1/role",
            json!({"role": "STUDENT"}),
        )
        .await;
    assert_eq!(user["public_metadata"]["role"], "STUDENT");
    let (_, token) = api
        .call(
            "POST",
            "/_emulator/tokens",
            json!({"user_id": "user_1", "claims": {"x": 1}}),
        )
        .await;
    assert_eq!(token["jwt"].as_str().unwrap().split('.').count(), 3);
    let (_, endpoint) = api
        .call(
            "POST",
            "/_emulator/endpoints",
            json!({"url": "http://127.0.0.1:1"}),
        )
        .await;
    assert!(endpoint["secret"].as_str().unwrap().starts_with("whsec_"));

    let state = api.get("/_emulator/state").await;
    assert_eq!(state["users"].as_array().unwrap().len(), 2);
    assert_eq!(state["messages"][0]["event_type"], "user.updated");
    let message = format!("/_emulator/messages/{}", id(&state["messages"][0]));
    assert_eq!(api.call("DELETE", &message, json!({})).await.0, 200);
    assert_eq!(api.call("DELETE", &message, json!({})).await.0, 404);
    api.call("POST", "/_emulator/down", json!({})).await;
    assert_eq!(api.call("GET", "/v1/users", Value::Null).await.0, 503);
    api.call("POST", "/_emulator/reset", json!({})).await;
    assert_eq!(api.get("/v1/users").await, json!([]));
}

#[tokio::test]
async fn it_listens_on_loopback_only_and_ends_with_its_last_handle() {
    let options = Options {
        listen: ([0, 0, 0, 0], 0).into(),
        ..Options::default()
    };
    assert!(Emulator::start(options).await.is_err());

    let emulator = Emulator::start(Options::default()).await.unwrap();
    let url = emulator.url().to_owned();
    let clone = emulator.clone();
    drop(emulator);
    assert!(reqwest::get(&url).await.is_ok());
    drop(clone);
    wait_until_refused(&url).await;
}

async fn wait_until_refused(url: &str) {
    let started = Instant::now();
    while reqwest::get(url).await.is_ok() {
        assert!(
            started.elapsed() < Duration::from_secs(10),
            "it still listens"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
