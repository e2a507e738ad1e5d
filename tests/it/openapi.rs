//! The emulator's answers and webhooks against Clerk's published OpenAPI files.
//!
//! The files are not part of this repository: `CONFORMANCE_DIR` names a folder that holds them.
//! Without it, the fields of each object are compared with the list written down here.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use clerk_emulator::{Emulator, MemberEvents, Options};
use jsonschema::{Draft, Validator};
use serde_json::{Map, Value, json};

/// One answer of the Backend API, and the operation that it belongs to.
struct Exchange {
    method: &'static str,
    template: &'static str,
    status: u16,
    body: Value,
}

/// Calls every implemented route, well and badly.
struct Driver {
    emulator: Emulator,
    http: reqwest::Client,
    exchanges: Vec<Exchange>,
}

impl Driver {
    async fn call(
        &mut self,
        method: &'static str,
        template: &'static str,
        id: &str,
        body: Value,
    ) -> Value {
        let url = format!("{}/v1{}", self.emulator.url(), fill(template, id));
        let request = self
            .http
            .request(method.parse().unwrap(), url)
            .bearer_auth(self.emulator.secret_key())
            .header("clerk-api-version", "2026-05-12")
            .json(&body);
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        let body: Value = response.json().await.unwrap();
        self.exchanges.push(Exchange {
            method,
            template,
            status,
            body: body.clone(),
        });
        body
    }
}

/// Puts an id in the place of each parameter of a path; several are parted by a slash.
fn fill(template: &str, ids: &str) -> String {
    let mut ids = ids.split('/');
    let filled = template.split('/').map(|part| {
        if part.starts_with('{') {
            ids.next().unwrap()
        } else {
            part
        }
    });
    filled.collect::<Vec<_>>().join("/")
}

/// Every answer, in the order of the calls, and every webhook body made on the way.
async fn drive() -> (Vec<Exchange>, Vec<Value>) {
    let mut driver = Driver {
        emulator: Emulator::start(Options::default()).await.unwrap(),
        http: reqwest::Client::builder().no_proxy().build().unwrap(),
        exchanges: Vec::new(),
    };
    let id = |body: &Value| body["id"].as_str().unwrap().to_owned();
    let api = &mut driver;
    let none = || Value::Null;

    let user = json!({
        "email_address": ["ada@example.com", "kept@example.com"],
        "email_address_identification_status": ["verified", "reserved"],
        "first_name": "Ada", "last_name": "Lovelace", "username": "ada", "external_id": "1",
        "password": "correct horse", "public_metadata": {"role": "ADMIN"},
        "private_metadata": {"note": "<&>"}, "legal_accepted_at": "2026-01-01T00:00:00Z",
    });
    let ada = id(&api.call("POST", "/users", "", user.clone()).await);
    api.call("POST", "/users", "", user).await;
    let bare = id(&api.call("POST", "/users", "", json!({})).await);
    let one = "/users/{user_id}";
    api.call("GET", one, &ada, none()).await;
    api.call("GET", one, "user_nobody", none()).await;
    api.call(
        "PATCH",
        one,
        &ada,
        json!({"last_name": null, "created_at": "2026-01-02T03:04:05Z"}),
    )
    .await;
    api.call("PATCH", one, &ada, json!({"public_metadata": {}}))
        .await;
    drive_refused_edits(api, &ada).await;
    let metadata = "/users/{user_id}/metadata";
    api.call(
        "PATCH",
        metadata,
        &ada,
        json!({"public_metadata": {"a": {"b": [1]}}}),
    )
    .await;
    api.call("PATCH", metadata, &ada, json!({"public_metadata": 1}))
        .await;
    api.call("PUT", metadata, &ada, json!({"private_metadata": {"x": 1}}))
        .await;
    for action in [
        "/users/{user_id}/ban",
        "/users/{user_id}/unban",
        "/users/{user_id}/lock",
        "/users/{user_id}/unlock",
    ] {
        api.call("POST", action, &ada, json!({})).await;
    }
    api.call("GET", "/users", "", none()).await;
    api.call("GET", "/users/count", "", none()).await;

    let address = json!({"user_id": ada, "email_address": "second@example.com"});
    let second = id(&api
        .call("POST", "/email_addresses", "", address.clone())
        .await);
    api.call("POST", "/email_addresses", "", address).await;
    let one = "/email_addresses/{email_address_id}";
    api.call("GET", one, &second, none()).await;
    api.call(
        "PATCH",
        one,
        &second,
        json!({"verified": true, "primary": true}),
    )
    .await;
    api.call("DELETE", one, &second, none()).await;
    api.call("GET", one, &second, none()).await;
    let replace = "/users/{user_id}/email_address";
    api.call(
        "PUT",
        replace,
        &bare,
        json!({"email_address": "bare@example.com"}),
    )
    .await;
    api.call("PUT", replace, &bare, json!({"email_address": "nonsense"}))
        .await;

    let session = id(&api
        .call("POST", "/sessions", "", json!({"user_id": ada}))
        .await);
    api.call("GET", "/sessions", "", none()).await;
    api.call("GET", "/sessions/{session_id}", &session, none())
        .await;
    api.call("GET", "/sessions/{session_id}", "sess_none", none())
        .await;
    api.call("POST", "/sessions/{session_id}/tokens", &session, json!({}))
        .await;
    api.call("POST", "/sessions/{session_id}/revoke", &session, json!({}))
        .await;
    api.call("GET", "/jwks", "", none()).await;

    let invitation = json!({"email_address": "new@example.com", "public_metadata": {"a": 1}});
    let invited = id(&api
        .call("POST", "/invitations", "", invitation.clone())
        .await);
    api.call("POST", "/invitations", "", invitation).await;
    let many = json!([{"email_address": "x@example.com"}, {"email_address": "y@example.com"}]);
    api.call("POST", "/invitations/bulk", "", many).await;
    api.call("GET", "/invitations", "", none()).await;
    let revoke = "/invitations/{invitation_id}/revoke";
    let accepted = json!({"email_address": "accepted@example.com"});
    let accepted = id(&api.call("POST", "/invitations", "", accepted).await);
    api.emulator.accept_invitation(&accepted);
    api.call("POST", revoke, &accepted, none()).await;
    api.call("POST", revoke, "inv_none", none()).await;
    api.call(
        "POST",
        "/invitations/{invitation_id}/revoke",
        &invited,
        json!({}),
    )
    .await;
    api.call(
        "POST",
        "/invitations/{invitation_id}/revoke",
        &invited,
        json!({}),
    )
    .await;

    drive_organizations(api, &ada, &bare).await;

    api.call("DELETE", "/users/{user_id}", &ada, none()).await;
    api.call("DELETE", "/users/{user_id}", &ada, none()).await;
    api.emulator
        .create_user(json!({"email": "unproven@example.com", "verified": false}));

    let events = driver.emulator.take_messages().into_iter();
    let events = events.map(|message| serde_json::from_str(&message.body).unwrap());
    (driver.exchanges, events.collect())
}

/// Sends passwords that are not good enough, and names that only a directory may change.
async fn drive_refused_edits(api: &mut Driver, ada: &str) {
    let one = "/users/{user_id}";
    api.call("PATCH", one, ada, json!({"password": "password"}))
        .await;
    api.emulator.strict_passwords(true);
    let weak = json!({"password": "1"});
    api.call("PATCH", one, ada, weak.clone()).await;
    api.call("POST", "/users", "", weak).await;
    api.emulator.strict_passwords(false);
    api.call("PATCH", one, ada, json!({"password": "battery staple"}))
        .await;
    // That DELETE answers 409 as well is not in the file.
    let scim = json!({"directory_id": "dir_1", "directory_enabled": true});
    api.emulator.update_user(ada, json!({"scim": scim}));
    api.call("PATCH", one, ada, json!({"first_name": "Augusta"}))
        .await;
    api.emulator.update_user(ada, json!({"scim": null}));
}

/// Calls every route of organizations and their members.
async fn drive_organizations(api: &mut Driver, ada: &str, bare: &str) {
    let id = |body: &Value| body["id"].as_str().unwrap().to_owned();
    let none = || Value::Null;
    let all = "/organizations";
    let new = json!({
        "name": "Acme", "slug": "acme", "created_by": ada, "max_allowed_memberships": 3,
        "public_metadata": {"plan": "pro"}, "private_metadata": {"crm": "1"},
        "created_at": "2026-01-02T03:04:05Z",
    });
    let acme = id(&api.call("POST", all, "", new.clone()).await);
    api.call("POST", all, "", new).await;
    let spare = id(&api.call("POST", all, "", json!({"name": "Spare"})).await);
    api.call("GET", all, "", none()).await;
    let one = "/organizations/{organization_id}";
    api.call("GET", one, "acme", none()).await;
    api.call("GET", one, "org_nowhere", none()).await;
    api.call("PATCH", one, &acme, json!({"name": "Acme Corp"}))
        .await;
    api.call("PATCH", one, &acme, json!({"public_metadata": {}}))
        .await;
    api.call("PATCH", one, "org_nowhere", json!({})).await;
    let metadata = "/organizations/{organization_id}/metadata";
    for (method, body) in [
        ("PATCH", json!({"public_metadata": {"a": {"b": [1]}}})),
        ("PATCH", json!({"public_metadata": 1})),
        ("PUT", json!({"private_metadata": {"x": 1}})),
    ] {
        api.call(method, metadata, &acme, body).await;
    }
    api.call("GET", "/organization_roles", "", none()).await;

    let members = "/organizations/{organization_id}/memberships";
    let new = json!({"user_id": bare, "role": "org:member", "private_metadata": {"x": 1}});
    api.call("POST", members, &acme, new.clone()).await;
    api.call("POST", members, &acme, new.clone()).await;
    api.call("POST", members, "org_nowhere", new).await;
    api.call("POST", members, &acme, json!({"user_id": bare}))
        .await;
    let third = id(&api.emulator.create_user(json!({"username": "third"})));
    let new = json!({"user_id": third, "role": "org:member"});
    api.call("POST", members, &acme, new).await;
    let fourth = id(&api.emulator.create_user(json!({})));
    let new = json!({"user_id": fourth, "role": "org:member"});
    api.call("POST", members, &acme, new).await;
    api.call("GET", members, &acme, none()).await;
    api.call("GET", "/organization_memberships", "", none())
        .await;
    let of_user = "/users/{user_id}/organization_memberships";
    api.call("GET", of_user, ada, none()).await;
    let one = "/organizations/{organization_id}/memberships/{user_id}";
    let path = format!("{acme}/{bare}");
    let role = json!({"role": "org:admin"});
    api.call("PATCH", one, &path, role.clone()).await;
    api.call("PATCH", one, &path, json!({})).await;
    api.call("PATCH", one, &format!("{spare}/{bare}"), role)
        .await;
    let metadata = "/organizations/{organization_id}/memberships/{user_id}/metadata";
    let merge = json!({"public_metadata": {"a": 1}, "private_metadata": {"x": null}});
    api.call("PATCH", metadata, &path, merge).await;
    api.call("DELETE", one, &path, none()).await;
    api.call("DELETE", one, &path, none()).await;

    let one = "/organizations/{organization_id}";
    api.emulator.member_events(MemberEvents::After);
    api.call("DELETE", one, &acme, none()).await;
    api.call("DELETE", one, &acme, none()).await;
}

/// An OpenAPI 3.0 file, made readable for a JSON Schema validator.
struct Spec(Value);

impl Spec {
    fn read(path: &Path) -> Self {
        let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
        let options = serde_saphyr::options! { budget: None };
        let mut spec = serde_saphyr::from_str_with_options(&text, options)
            .unwrap_or_else(|error| panic!("{path:?}: {error}"));
        allow_null(&mut spec);
        Self(spec)
    }

    /// The schema of an answer with this status.
    fn answer(&self, exchange: &Exchange) -> Option<&Value> {
        let operation = &self.0["paths"][exchange.template][exchange.method.to_lowercase()];
        let response = &operation["responses"][exchange.status.to_string()];
        let response = match response["$ref"].as_str() {
            Some(reference) => self.0.pointer(reference.strip_prefix('#')?)?,
            None => response,
        };
        response["content"]["application/json"].get("schema")
    }

    /// The schema of a webhook.
    fn event(&self, event_type: &str) -> Option<&Value> {
        let request = &self.0["x-webhooks"][event_type]["post"]["requestBody"];
        request["content"]["application/json"].get("schema")
    }

    /// What is wrong with a value, in the eyes of a schema of this file.
    fn faults(&self, schema: &Value, value: &Value) -> Vec<String> {
        let root = json!({ "allOf": [schema], "components": self.0["components"] });
        let validator: Validator = jsonschema::options()
            .with_draft(Draft::Draft4)
            .build(&root)
            .unwrap();
        validator
            .iter_errors(value)
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect()
    }
}

/// Puts a choice of the schema and `null` in the place of each `nullable` schema.
fn allow_null(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(allow_null),
        Value::Object(fields) => {
            fields.values_mut().for_each(allow_null);
            if fields.get("nullable") == Some(&json!(true)) {
                fields.remove("nullable");
                let schema = Value::Object(std::mem::take(fields));
                *value = json!({ "anyOf": [{ "enum": [null] }, schema] });
            }
        }
        _ => {}
    }
}

fn conformance_dir() -> Option<PathBuf> {
    #[expect(
        clippy::disallowed_methods,
        reason = "a test reads where its files are"
    )]
    let folder = std::env::var("CONFORMANCE_DIR");
    if let Ok(folder) = folder {
        return Some(PathBuf::from(folder));
    }
    #[expect(clippy::print_stderr, reason = "what was not run is said aloud")]
    {
        eprintln!("NOT RUN: the comparison with Clerk's files; CONFORMANCE_DIR is not set");
    }
    None
}

#[tokio::test]
async fn answers_and_webhooks_match_the_published_schemas() {
    let Some(folder) = conformance_dir() else {
        return;
    };
    let (exchanges, events) = drive().await;

    let spec = Spec::read(&folder.join("backend-api-2026-05-12.yml"));
    let mut faults = Vec::new();
    for exchange in &exchanges {
        let Exchange {
            method,
            template,
            status,
            body,
        } = exchange;
        match spec.answer(exchange) {
            Some(schema) => {
                for fault in spec.faults(schema, body) {
                    faults.push(format!("{method} {template} {status} {fault}"));
                }
            }
            None => faults.push(format!("{method} {template} has no {status}: {body}")),
        }
    }

    let webhooks = Spec::read(&folder.join("webhooks-2025-04-15.yml"));
    for event in &events {
        let event_type = event["type"].as_str().unwrap();
        let schema = webhooks.event(event_type).unwrap();
        for fault in webhooks.faults(schema, event) {
            faults.push(format!("{event_type} {fault}"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));

    // The comparison can fail: each of these is one step away from a valid object.
    for (template, event_type, broken_fields) in [
        ("/users/{user_id}", "user.created", broken_user()),
        (ORGANIZATION, "organization.created", broken_organization()),
        (
            MEMBER,
            "organizationMembership.deleted",
            broken_membership(),
        ),
    ] {
        let is_it = |exchange: &&Exchange| exchange.template == template && exchange.status == 200;
        let exchange = exchanges.iter().find(is_it).unwrap();
        let schema = spec.answer(exchange).unwrap();
        let event = events.iter().find(|event| event["type"] == event_type);
        let event = event.unwrap();
        let event_schema = webhooks.event(event_type).unwrap();
        for (field, value) in broken_fields {
            let broken = with_field(&exchange.body, field, value.clone());
            assert!(
                !spec.faults(schema, &broken).is_empty(),
                "{template} {field}"
            );
            let broken = with_field(event, "data", with_field(&event["data"], field, value));
            let faults = webhooks.faults(event_schema, &broken);
            assert!(!faults.is_empty(), "{event_type} data.{field}");
        }
        let broken = with_field(event, "instance_id", None);
        let faults = webhooks.faults(event_schema, &broken);
        assert!(!faults.is_empty(), "{event_type} instance_id");
    }
}

const ORGANIZATION: &str = "/organizations/{organization_id}";
const MEMBER: &str = "/organizations/{organization_id}/memberships/{user_id}";

/// Fields of a user with values that no user has; no value means that the field is missing.
fn broken_user() -> Vec<(&'static str, Option<Value>)> {
    vec![
        ("id", None),
        ("id", Some(json!(1))),
        ("object", Some(json!("account"))),
        ("updated_at", Some(json!("2026-01-01"))),
        ("banned", Some(Value::Null)),
        ("email_addresses", Some(json!([{ "id": "idn_1" }]))),
        ("shoe_size", Some(json!(42))),
    ]
}

/// The same for an organization, which may have fields that the files do not name.
fn broken_organization() -> Vec<(&'static str, Option<Value>)> {
    vec![
        ("id", None),
        ("slug", Some(Value::Null)),
        ("object", Some(json!("team"))),
        ("created_by", Some(Value::Null)),
        ("max_allowed_memberships", Some(json!("5"))),
        ("public_metadata", None),
    ]
}

/// The same for a membership.
fn broken_membership() -> Vec<(&'static str, Option<Value>)> {
    vec![
        ("role", None),
        ("permissions", Some(json!("org:sys_profile:manage"))),
        ("organization", None),
        ("organization", Some(json!({ "id": "org_1" }))),
        ("public_user_data", Some(json!({ "user_id": "user_1" }))),
        ("updated_at", Some(json!("2026-01-01"))),
    ]
}

fn with_field(value: &Value, name: &str, field: impl Into<Option<Value>>) -> Value {
    let mut fields = value.as_object().unwrap().clone();
    match field.into() {
        Some(value) => fields.insert(name.to_owned(), value),
        None => fields.remove(name),
    };
    Value::Object(fields)
}

const FIELDS_OF_ORGANIZATION: &str = "admin_delete_enabled created_at created_by has_image id \
     image_url max_allowed_memberships name object private_metadata public_metadata slug \
     updated_at";

#[tokio::test]
async fn each_object_has_its_fields_and_no_others() {
    let (exchanges, events) = drive().await;
    let body = |method: &str, template: &str, status: u16| {
        let found = exchanges.iter().find(|exchange| {
            (exchange.method, exchange.template, exchange.status) == (method, template, status)
        });
        &found.unwrap().body
    };

    let user = body("GET", "/users/{user_id}", 200);
    check_fields(
        user,
        "backup_code_enabled banned bypass_client_trust create_organization_enabled \
         create_organizations_limit created_at delete_self_enabled deprovisioned \
         email_addresses enterprise_accounts external_accounts external_id first_name has_image \
         id image_url last_active_at last_name last_sign_in_at legal_accepted_at locale locked \
         lockout_expires_in_seconds mfa_disabled_at mfa_enabled_at object passkeys \
         password_enabled password_last_updated_at phone_numbers primary_email_address_id \
         primary_phone_number_id primary_web3_wallet_id private_metadata profile_image_url \
         public_metadata saml_accounts totp_enabled two_factor_enabled unsafe_metadata \
         updated_at username verification_attempts_remaining web3_wallets",
    );
    check_fields(
        &user["email_addresses"][0],
        "created_at email_address id linked_to matches_sso_connection object reserved \
         updated_at verification",
    );
    check_fields(
        &user["email_addresses"][0]["verification"],
        "attempts expire_at object status strategy",
    );
    assert_eq!(user["email_addresses"][1]["verification"], Value::Null);
    assert_eq!(user["email_addresses"][1]["reserved"], true);
    check_fields(
        body("POST", "/sessions", 200),
        "abandon_at actor client_id created_at expire_at id last_active_at \
         last_active_organization_id object status updated_at user_id",
    );
    check_fields(
        body("POST", "/invitations", 200),
        "created_at email_address expires_at id object public_metadata revoked status \
         updated_at url",
    );
    check_fields(
        body("DELETE", "/users/{user_id}", 200),
        "deleted external_id id object",
    );
    check_fields(body("POST", "/organizations", 200), FIELDS_OF_ORGANIZATION);
    check_fields(body("DELETE", ORGANIZATION, 200), "deleted id object slug");
    let role = &body("GET", "/organization_roles", 200)["data"][0];
    check_fields(
        role,
        "created_at description id is_creator_eligible key name object permissions updated_at",
    );
    let membership = body("PATCH", MEMBER, 200);
    check_fields(
        membership,
        "created_at id object organization permissions private_metadata public_metadata \
         public_user_data role role_name updated_at",
    );
    check_fields(&membership["organization"], FIELDS_OF_ORGANIZATION);
    check_fields(
        &membership["public_user_data"],
        "banned deprovisioned first_name has_image identifier image_url last_name \
         profile_image_url user_id username",
    );
    check_fields(body("GET", "/users/count", 200), "object total_count");
    check_fields(body("GET", "/jwks", 200), "keys");
    check_fields(&body("GET", "/jwks", 200)["keys"][0], "alg e kid kty n use");
    let refusal = body("GET", "/users/{user_id}", 404);
    check_fields(refusal, "clerk_trace_id errors");
    check_fields(&refusal["errors"][0], "code long_message message");
    let refusal = &body("POST", "/users", 422)["errors"][0];
    check_fields(refusal, "code long_message message meta");
    check_fields(&refusal["meta"], "param_name");

    for event in &events {
        check_fields(
            event,
            "data event_attributes instance_id object timestamp type",
        );
    }
    let with_counts = format!(
        "{FIELDS_OF_ORGANIZATION} members_count missing_member_with_elevated_permissions \
         pending_invitations_count"
    );
    let data = |event_type: &str| {
        let event = events.iter().find(|event| event["type"] == event_type);
        &event.unwrap()["data"]
    };
    check_fields(data("organization.created"), &with_counts);
    let deleted = data("organizationMembership.deleted");
    check_fields(&deleted["organization"], &with_counts);
    let last = events.last().unwrap();
    assert_eq!(last["type"], "user.created");
    assert_eq!(
        last["data"]["email_addresses"][0]["verification"],
        Value::Null
    );
}

#[track_caller]
fn check_fields(value: &Value, expected: &str) {
    let fields: &Map<String, Value> = value.as_object().unwrap();
    let fields: BTreeSet<&str> = fields.keys().map(String::as_str).collect();
    let expected: BTreeSet<&str> = expected.split_whitespace().collect();
    assert_eq!(fields, expected);
}
