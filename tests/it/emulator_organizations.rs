//! Organizations and memberships in the emulator: do they behave as Clerk's are known to?

use std::collections::HashSet;
use std::time::{Duration, Instant};

use clerk_emulator::{Fill, MemberEvents, Options, TokenVersion};
use serde_json::{Value, json};

use crate::emulator::{Api, event_types, id};

/// An organization with an admin and a member.
struct Acme {
    api: Api,
    id: String,
    ada: String,
    alan: String,
}

impl Acme {
    async fn new() -> Self {
        let api = Api::new().await;
        let create = |user| id(&api.emulator.create_user(user)).to_owned();
        let ada = create(json!({
            "email": "ada@example.com", "first_name": "Ada", "last_name": "Lovelace",
            "image_url": "https://img.example.com/ada", "created_at": 1000,
        }));
        let alan = create(json!({"username": "alan", "created_at": 2000}));
        let organization = json!({"name": "Acme Corp", "created_by": ada});
        let organization = id(&api.emulator.create_organization(organization)).to_owned();
        api.emulator.advance(Duration::from_secs(1));
        api.emulator.add_member(&organization, &alan, "org:member");
        api.emulator.take_messages();
        Self {
            api,
            id: organization,
            ada,
            alan,
        }
    }

    fn path(&self) -> String {
        format!("/v1/organizations/{}", self.id)
    }

    fn member_path(&self, user_id: &str) -> String {
        format!("{}/memberships/{user_id}", self.path())
    }

    /// What the last messages say, with their types.
    fn events(&self) -> Vec<(String, Value)> {
        events(&self.api)
    }
}

fn events(api: &Api) -> Vec<(String, Value)> {
    let messages = api.emulator.take_messages().into_iter();
    messages
        .map(|message| {
            let event: Value = serde_json::from_str(&message.body).unwrap();
            (message.event_type, event["data"].clone())
        })
        .collect()
}

/// The ids of a list, of users where it is one of memberships.
fn ids(list: &Value) -> Vec<&str> {
    let items = list["data"].as_array().unwrap().iter();
    items
        .map(|item| match &item["public_user_data"]["user_id"] {
            Value::String(id) => id,
            _ => id(item),
        })
        .collect()
}

#[tokio::test]
async fn an_organization_lives_and_each_write_makes_its_webhook() {
    let api = Api::new().await;
    let ada = api
        .emulator
        .create_user(json!({"email": "ada@example.com"}));
    api.emulator.take_messages();
    let new = json!({
        "name": "Acme Corp", "created_by": id(&ada), "private_metadata": {"crm": "1"},
        "max_allowed_memberships": 5, "created_at": "2026-01-02T03:04:05Z",
    });
    let (status, acme) = api.call("POST", "/v1/organizations", new).await;
    assert_eq!(status, 200);
    assert_eq!(acme["slug"], "acme-corp");
    assert_eq!(acme["created_at"], 1_767_323_045_000_i64);
    assert_eq!(acme["private_metadata"], json!({"crm": "1"}));
    assert_eq!(acme.get("members_count"), None);

    let made = events(&api);
    let types: Vec<&str> = made.iter().map(|(kind, _)| kind.as_str()).collect();
    assert_eq!(
        types,
        ["organization.created", "organizationMembership.created"]
    );
    assert_eq!(made[0].1["members_count"], 1);
    assert_eq!(made[0].1["missing_member_with_elevated_permissions"], false);
    assert_eq!(made[0].1["private_metadata"], json!({"crm": "1"}));
    assert_eq!(made[1].1["role"], "org:admin");
    assert_eq!(made[1].1["organization"], made[0].1);

    let path = format!("/v1/organizations/{}", id(&acme));
    assert_eq!(api.get(&path).await, acme);
    assert_eq!(api.get("/v1/organizations/acme-corp").await, acme);
    let counted = api.get(&format!("{path}?include_members_count=true")).await;
    assert_eq!(counted["members_count"], 1);

    let change = json!({"name": "Acme", "slug": "acme", "max_allowed_memberships": 0});
    let (_, acme) = api.call("PATCH", &path, change).await;
    assert_eq!(
        (&acme["name"], &acme["slug"]),
        (&json!("Acme"), &json!("acme"))
    );
    let refusal = api
        .refusal("GET", "/v1/organizations/acme-corp", Value::Null)
        .await;
    assert_eq!(refusal, (404, "resource_not_found".to_owned()));

    let (_, deleted) = api.call("DELETE", &path, Value::Null).await;
    let expected =
        json!({"object": "organization", "id": id(&acme), "slug": "acme", "deleted": true});
    assert_eq!(deleted, expected);
    let made = events(&api);
    assert_eq!(made[0].0, "organization.updated");
    assert_eq!(made[1], ("organization.deleted".to_owned(), expected));
    assert_eq!(made.len(), 2);
    assert_eq!(api.emulator.memberships(), [Value::Null; 0]);
    assert_eq!(api.refusal("GET", &path, Value::Null).await.0, 404);
}

#[tokio::test]
async fn metadata_of_an_organization_has_routes_of_its_own() {
    let acme = Acme::new().await;
    let metadata = format!("{}/metadata", acme.path());
    let merge = json!({"public_metadata": {"a": {"b": 1, "c": 2}}, "private_metadata": {"x": 1}});
    acme.api.call("PATCH", &metadata, merge).await;
    let merge = json!({"public_metadata": {"a": {"b": null}}});
    let (_, merged) = acme.api.call("PATCH", &metadata, merge).await;
    assert_eq!(merged["public_metadata"], json!({"a": {"c": 2}}));
    let replace = json!({"public_metadata": {"d": 3}});
    let (_, replaced) = acme.api.call("PUT", &metadata, replace).await;
    assert_eq!(replaced["public_metadata"], json!({"d": 3}));
    assert_eq!(replaced["private_metadata"], json!({"x": 1}));
    assert_eq!(event_types(&acme.api.emulator), ["organization.updated"; 3]);

    let bags = json!({"public_metadata": {"e": 4}});
    let refusal = acme.api.refusal("PATCH", &acme.path(), bags.clone()).await;
    assert_eq!(refusal, (422, "form_param_unknown".to_owned()));
    let old = acme
        .api
        .http
        .patch(format!("{}{}", acme.api.emulator.url(), acme.path()))
        .bearer_auth(acme.api.emulator.secret_key())
        .header("clerk-api-version", "2025-11-10")
        .json(&bags);
    let old: Value = old.send().await.unwrap().json().await.unwrap();
    assert_eq!(old["public_metadata"], json!({"e": 4}));
    let bags = json!({"public_metadata": {"f": 5}});
    let edited = acme.api.emulator.update_organization(&acme.id, bags);
    assert_eq!(edited["public_metadata"], json!({"e": 4, "f": 5}));
}

#[tokio::test]
async fn what_an_organization_cannot_be_is_refused() {
    let acme = Acme::new().await;
    for (body, status, code) in [
        (json!({}), 422, "form_param_missing"),
        (json!({"name": 1}), 422, "form_param_type_invalid"),
        (
            json!({"name": "a".repeat(257)}),
            422,
            "form_param_value_too_large",
        ),
        (
            json!({"name": "B", "slug": "B!"}),
            422,
            "form_param_format_invalid",
        ),
        (
            json!({"name": "B", "slug": "acme-corp"}),
            422,
            "form_identifier_exists",
        ),
        (
            json!({"name": "B", "max_allowed_memberships": -1}),
            422,
            "form_param_value_invalid",
        ),
        (
            json!({"name": "B", "created_by": "user_0"}),
            422,
            "form_param_value_invalid",
        ),
        (
            json!({"name": "B", "color": "red"}),
            422,
            "form_param_unknown",
        ),
    ] {
        let refusal = acme.api.refusal("POST", "/v1/organizations", body).await;
        assert_eq!(refusal, (status, code.to_owned()));
    }
    assert_eq!(acme.api.emulator.organizations().len(), 1);
    assert_eq!(event_types(&acme.api.emulator), [""; 0]);

    let namesake = acme
        .api
        .emulator
        .create_organization(json!({"name": "Acme Corp"}));
    let slug = namesake["slug"].as_str().unwrap();
    assert!(slug.starts_with("acme-corp-"), "{slug}");
    let taken = json!({"slug": "acme-corp"});
    let path = format!("/v1/organizations/{}", id(&namesake));
    let refusal = acme.api.refusal("PATCH", &path, taken).await;
    assert_eq!(refusal, (422, "form_identifier_exists".to_owned()));
    let (_, renamed) = acme
        .api
        .call("PATCH", &acme.path(), json!({"slug": "acme-corp"}))
        .await;
    assert_eq!(renamed["slug"], "acme-corp", "its own slug is free to it");
}

#[tokio::test]
async fn a_membership_lives_and_each_write_makes_its_webhook() {
    let acme = Acme::new().await;
    let emulator = &acme.api.emulator;
    let barbara = emulator.create_user(json!({
        "email": "barbara@example.com", "first_name": "Barbara",
    }));
    emulator.take_messages();
    let new = json!({"user_id": id(&barbara), "role": "org:member", "public_metadata": {"a": 1}});
    let memberships = format!("{}/memberships", acme.path());
    let (status, created) = acme.api.call("POST", &memberships, new.clone()).await;
    assert_eq!(status, 200);
    assert_eq!(created["object"], "organization_membership");
    assert!(id(&created).starts_with("orgmem_"));
    assert_eq!(created["role_name"], "Member");
    assert_eq!(
        created["permissions"],
        json!(["org:sys_memberships:read", "org:sys_billing:read"])
    );
    assert_eq!(created["public_metadata"], json!({"a": 1}));
    assert_eq!(created["organization"]["id"], acme.id);
    assert_eq!(created["organization"].get("members_count"), None);
    assert_eq!(
        created["public_user_data"]["identifier"],
        "barbara@example.com"
    );
    let refusal = acme.api.refusal("POST", &memberships, new).await;
    assert_eq!(
        refusal,
        (400, "already_a_member_in_organization".to_owned())
    );

    let path = acme.member_path(id(&barbara));
    let (_, promoted) = acme
        .api
        .call("PATCH", &path, json!({"role": "org:admin"}))
        .await;
    assert_eq!(
        (&promoted["id"], &promoted["role_name"]),
        (&created["id"], &json!("Admin"))
    );
    let metadata = format!("{path}/metadata");
    let merge = json!({"public_metadata": {"a": null, "b": 2}, "private_metadata": {"c": 3}});
    let (_, merged) = acme.api.call("PATCH", &metadata, merge).await;
    assert_eq!(merged["public_metadata"], json!({"b": 2}));
    assert_eq!(merged["private_metadata"], json!({"c": 3}));

    let (status, removed) = acme.api.call("DELETE", &path, Value::Null).await;
    assert_eq!((status, &removed), (200, &merged));
    assert_eq!(acme.api.refusal("DELETE", &path, Value::Null).await.0, 404);
    let again = emulator.add_member(&acme.id, id(&barbara), "org:member");
    assert_ne!(again["id"], created["id"], "who comes back is a new member");

    let made = acme.events();
    let expected = ["created", "updated", "updated", "deleted", "created"];
    let types = expected.map(|kind| format!("organizationMembership.{kind}"));
    assert!(made.iter().map(|(kind, _)| kind).eq(&types), "{made:?}");
    let counts: Vec<&Value> = made
        .iter()
        .map(|(_, data)| &data["organization"]["members_count"])
        .collect();
    assert_eq!(counts, [3, 3, 3, 2, 3]);
    let (_, deleted) = &made[3];
    assert_eq!(deleted["id"], created["id"]);
    assert_eq!(deleted["private_metadata"], json!({"c": 3}));
    assert_eq!(deleted.get("deleted"), None);
}

#[tokio::test]
async fn what_a_membership_cannot_be_is_refused() {
    let acme = Acme::new().await;
    let memberships = format!("{}/memberships", acme.path());
    let alan = acme.member_path(&acme.alan);
    let nobody = acme.member_path("user_0");
    let role = |role: &str| json!({"role": role});
    for (method, path, body, status, code) in [
        (
            "POST",
            &memberships,
            role("org:member"),
            422,
            "form_param_missing",
        ),
        (
            "POST",
            &memberships,
            json!({"user_id": acme.ada}),
            422,
            "form_param_missing",
        ),
        ("PATCH", &alan, role("org:owner"), 404, "resource_not_found"),
        (
            "PATCH",
            &alan,
            json!({"public_metadata": {}}),
            422,
            "form_param_unknown",
        ),
        (
            "PATCH",
            &nobody,
            role("org:admin"),
            404,
            "resource_not_found",
        ),
        ("DELETE", &nobody, Value::Null, 404, "resource_not_found"),
    ] {
        let refusal = acme.api.refusal(method, path, body).await;
        assert_eq!(refusal, (status, code.to_owned()), "{method} {path}");
    }
    for new in [
        json!({"user_id": "user_0", "role": "org:member"}),
        json!({"user_id": acme.ada, "role": "org:owner"}),
    ] {
        assert_eq!(acme.api.refusal("POST", &memberships, new).await.0, 404);
    }
    for path in [
        "/v1/organizations/org_0/memberships",
        "/v1/users/user_0/organization_memberships",
    ] {
        assert_eq!(
            acme.api.refusal("GET", path, Value::Null).await.0,
            404,
            "{path}"
        );
    }

    acme.api
        .emulator
        .update_organization(&acme.id, json!({"max_allowed_memberships": 2}));
    let third = acme.api.emulator.create_user(json!({}));
    let new = json!({"user_id": id(&third), "role": "org:member"});
    let refusal = acme.api.refusal("POST", &memberships, new.clone()).await;
    let full = "organization_membership_quota_exceeded".to_owned();
    assert_eq!(refusal, (403, full));
    acme.api.emulator.remove_member(&acme.id, &acme.alan);
    assert_eq!(acme.api.call("POST", &memberships, new).await.0, 200);
}

#[tokio::test]
async fn a_membership_shows_its_user_and_its_organization_as_they_are_now() {
    let acme = Acme::new().await;
    let emulator = &acme.api.emulator;
    emulator.set_clock(5_000_000_000_000);
    let before = emulator.membership(&acme.id, &acme.alan).unwrap();
    assert_eq!(before["public_user_data"]["identifier"], "alan");
    assert_eq!(before["public_user_data"]["username"], "alan");
    emulator.update_user(
        &acme.alan,
        json!({"email": "alan@example.com", "last_name": "T."}),
    );
    emulator.update_organization(&acme.id, json!({"name": "Acme Ltd"}));
    let after = emulator.membership(&acme.id, &acme.alan).unwrap();
    assert_eq!(after["public_user_data"]["identifier"], "alan@example.com");
    assert_eq!(after["public_user_data"]["last_name"], "T.");
    assert_eq!(after["organization"]["name"], "Acme Ltd");
    assert_eq!(after["updated_at"], before["updated_at"]);
    assert_eq!(
        event_types(emulator),
        ["user.updated", "organization.updated"]
    );

    // A write of the membership moves neither of them, and no time runs backwards.
    emulator.advance(Duration::from_secs(1));
    let promoted = emulator.set_member_role(&acme.id, &acme.alan, "org:admin");
    assert_eq!(promoted["updated_at"], 5_000_000_001_000_i64);
    assert_eq!(promoted["created_at"], before["created_at"]);
    assert_eq!(promoted["organization"], after["organization"]);
    emulator.set_clock(4_000_000_000_000);
    let patch = json!({"public_metadata": {"a": 1}});
    let edited = emulator.update_member(&acme.id, &acme.alan, patch);
    assert_eq!(edited["updated_at"], 5_000_000_001_000_i64);
    let renamed = emulator.update_organization(&acme.id, json!({"name": "Acme"}));
    assert_eq!(renamed["updated_at"], 5_000_000_000_000_i64);
}

#[tokio::test]
async fn members_are_filtered_and_ordered() {
    let acme = Acme::new().await;
    let emulator = &acme.api.emulator;
    for (n, name) in ["carol", "dave", "erin"].into_iter().enumerate() {
        emulator.advance(Duration::from_secs(1));
        let user = json!({
            "id": format!("user_{name}"), "email": format!("{name}@Example.com"),
            "first_name": name, "created_at": 3000 + n,
        });
        emulator.create_user(user);
        emulator.add_member(&acme.id, &format!("user_{name}"), "org:member");
    }
    let list = async |query: &str| {
        let path = format!("{}/memberships?{query}", acme.path());
        acme.api.get(&path).await
    };
    let [ada, alan] = [acme.ada.as_str(), acme.alan.as_str()];
    let [carol, dave, erin] = ["user_carol", "user_dave", "user_erin"];
    for (query, expected) in [
        ("limit=2", &[erin, dave][..]),
        ("limit=2&offset=2&order_by=-created_at", &[carol, alan]),
        ("limit=2&order_by=created_at", &[ada, alan]),
        (
            "order_by=%2Bfirst_name&role=org:member",
            &[alan, carol, dave, erin],
        ),
        ("order_by=-email_address", &[erin, dave, carol, ada, alan]),
        ("role=org:admin", &[ada]),
        ("role=org:admin&role=org:member&limit=1", &[erin]),
        ("role=org:owner", &[]),
        (
            "user_id=user_carol&user_id=%2Buser_erin&user_id=user_0",
            &[erin, carol],
        ),
        ("user_id=-user_carol&user_id=-user_dave", &[erin, alan, ada]),
        (
            "email_address=DAVE@example.com&email_address=x@example.com",
            &[dave],
        ),
        ("username=alan", &[alan]),
        ("query=lovelace", &[ada]),
        ("query=DAVE", &[dave]),
        ("email_address_query=rin%40ex", &[erin]),
        ("name_query=aro", &[carol]),
        ("phone_number=%2B1555", &[]),
        ("created_at_after=3000", &[erin, dave]),
        ("created_at_before=2000", &[ada]),
    ] {
        assert_eq!(ids(&list(query).await), expected, "{query}");
    }
    assert_eq!(list("limit=2").await["total_count"], 5);
    assert_eq!(list("role=org:member&limit=1").await["total_count"], 4);
    for query in ["limit=0", "limit=501", "offset=-1", "order_by=updated_at"] {
        let path = format!("{}/memberships?{query}", acme.path());
        assert_eq!(
            acme.api.refusal("GET", &path, Value::Null).await.0,
            422,
            "{query}"
        );
    }

    let all = acme.api.get("/v1/organization_memberships?limit=3").await;
    assert_eq!(ids(&all), [erin, dave, carol]);
    assert_eq!(all["total_count"], 5);
    let by_name = "/v1/organization_memberships?order_by=first_name&limit=2";
    assert_eq!(ids(&acme.api.get(by_name).await), [alan, ada]);

    let of_acme = |sign: &str| format!("/v1/users?organization_id={sign}{}", acme.id);
    emulator.create_user(json!({"id": "user_frank", "created_at": 9000}));
    let inside = acme.api.get(&of_acme("")).await;
    assert_eq!(inside.as_array().unwrap().len(), 5);
    let outside = acme.api.get(&of_acme("-")).await;
    assert_eq!(outside.as_array().unwrap().len(), 1);
    assert_eq!(id(&outside[0]), "user_frank");
    let count = acme
        .api
        .get(&format!("/v1/users/count?organization_id={}", acme.id))
        .await;
    assert_eq!(count["total_count"], 5);
    let nowhere = acme.api.get("/v1/users?organization_id=org_0").await;
    assert_eq!(nowhere, json!([]));
}

#[tokio::test]
async fn organizations_are_filtered_and_ordered() {
    let acme = Acme::new().await;
    let emulator = &acme.api.emulator;
    for name in ["Beta", "Gamma"] {
        emulator.advance(Duration::from_secs(1));
        let new = json!({"id": format!("org_{name}"), "name": name, "created_by": acme.alan});
        emulator.create_organization(new);
    }
    emulator.add_member("org_Gamma", &acme.ada, "org:member");
    emulator.seed_silently_members("org_Gamma", 3, "org:member");
    let [a, b, g] = [acme.id.as_str(), "org_Beta", "org_Gamma"];
    for (query, expected) in [
        ("", &[g, b, a][..]),
        ("order_by=name&limit=2", &[a, b]),
        ("order_by=created_at&offset=1", &[b, g]),
        ("order_by=-members_count&limit=1", &[g]),
        ("order_by=members_count&limit=1", &[b]),
        ("query=amm", &[g]),
        ("query=ACME-c", &[a]),
        ("query=org_Beta", &[b]),
        ("query=org_Bet", &[]),
        ("organization_id=org_Beta&organization_id=org_0", &[b]),
        ("organization_id=-org_Beta", &[g, a]),
        (&format!("user_id={}", acme.ada), &[g, a]),
        (&format!("user_id=-{}", acme.ada), &[b]),
    ] {
        let list = acme.api.get(&format!("/v1/organizations?{query}")).await;
        assert_eq!(ids(&list), expected, "{query}");
    }
    let counted = acme
        .api
        .get("/v1/organizations?include_members_count=true&limit=1")
        .await;
    assert_eq!(counted["total_count"], 3);
    assert_eq!(counted["data"][0]["members_count"], 5);
    let path = format!("/v1/users/{}/organization_memberships", acme.alan);
    let of_alan = acme.api.get(&format!("{path}?limit=2")).await;
    assert_eq!(of_alan["total_count"], 3);
    let names: Vec<&Value> = of_alan["data"].as_array().unwrap().iter().collect();
    assert_eq!(names[0]["organization"]["name"], "Gamma");

    let roles = acme.api.get("/v1/organization_roles?order_by=key").await;
    assert_eq!(roles["total_count"], 2);
    assert_eq!(roles["data"][0]["key"], "org:admin");
    let found = acme.api.get("/v1/organization_roles?query=Memb").await;
    assert_eq!(found["data"][0]["key"], "org:member");
    let is_headless = async || {
        let query = "include_missing_member_with_elevated_permissions=true";
        let shown = acme.api.get(&format!("{}?{query}", acme.path())).await;
        shown["missing_member_with_elevated_permissions"].clone()
    };
    assert_eq!(is_headless().await, false);
    emulator.set_member_role(&acme.id, &acme.ada, "org:member");
    assert_eq!(is_headless().await, true);
    emulator.add_member_role("org:teacher", "Teacher");
    let taught = emulator.set_member_role(&acme.id, &acme.alan, "org:teacher");
    assert_eq!(
        (&taught["role_name"], &taught["permissions"]),
        (&json!("Teacher"), &json!([]))
    );
}

#[tokio::test]
async fn an_organization_is_asked_for_by_id_with_others_up_to_a_hundred() {
    let api = Api::new().await;
    api.emulator.freeze_clock();
    for name in ["c", "a", "b"] {
        let new = json!({"id": format!("org_{name}"), "name": name});
        api.emulator.create_organization(new);
    }
    let query = |n: usize| {
        let mut ids = vec!["org_b".to_owned(), "org_c".to_owned()];
        ids.extend((2..n).map(|n| format!("org_{n}")));
        let ids: Vec<String> = ids
            .iter()
            .map(|id| format!("organization_id={id}"))
            .collect();
        format!("/v1/organizations?order_by=created_at&{}", ids.join("&"))
    };
    let found = api.get(&query(100)).await;
    assert_eq!(ids(&found), ["org_c", "org_b"]);
    assert_eq!(found["total_count"], 2);
    let (status, _) = api.refusal("GET", &query(101), Value::Null).await;
    assert_eq!(status, 422);
    let list = "/v1/organizations?order_by";
    for (order, expected) in [
        ("%2Bcreated_at&limit=2", ["org_c", "org_a"]),
        ("%2Bcreated_at&offset=1", ["org_a", "org_b"]),
        ("-created_at&offset=1", ["org_a", "org_c"]),
        ("-name&limit=2", ["org_c", "org_b"]),
    ] {
        let page = api.get(&format!("{list}={order}")).await;
        assert_eq!(ids(&page), expected, "{order}");
        assert_eq!(page["total_count"], 3);
    }
}

#[tokio::test]
async fn all_memberships_are_ordered_and_shift_when_one_of_them_ends() {
    let api = Api::new().await;
    api.emulator.freeze_clock();
    for name in ["c", "a", "b", "d"] {
        let new = json!({"id": format!("user_{name}"), "first_name": name});
        api.emulator.create_user(new);
    }
    api.emulator
        .create_organization(json!({"id": "org_1", "name": "One"}));
    for name in ["c", "a", "b", "d"] {
        let user_id = format!("user_{name}");
        api.emulator.add_member("org_1", &user_id, "org:member");
    }
    api.emulator.set_member_role("org_1", "user_c", "org:admin");
    let path = "/v1/organization_memberships?order_by";
    for (order, expected) in [
        ("created_at", ["user_c", "user_a", "user_b", "user_d"]),
        ("-created_at", ["user_d", "user_b", "user_a", "user_c"]),
        ("%2Bfirst_name", ["user_a", "user_b", "user_c", "user_d"]),
    ] {
        let list = api.get(&format!("{path}={order}")).await;
        assert_eq!(ids(&list), expected, "{order}");
    }

    let list = "/v1/organization_memberships";
    api.emulator.after_request(1, "GET", list, |clerk| {
        clerk.remove_member("org_1", "user_c");
    });
    let first = api.get(&format!("{path}=created_at&limit=2")).await;
    assert_eq!(ids(&first), ["user_c", "user_a"]);
    assert_eq!(first["total_count"], 4);
    let second = api
        .get(&format!("{path}=created_at&limit=2&offset=2"))
        .await;
    assert_eq!(ids(&second), ["user_d"]);
    assert_eq!(second["total_count"], 3);
}

#[tokio::test]
async fn a_filled_instance_has_members_in_organizations_and_no_pair_twice() {
    let api = Api::new().await;
    let fill = Fill {
        users: 600,
        organizations: 40,
        memberships: 2000,
    };
    api.emulator.fill(fill).unwrap();
    assert_eq!(event_types(&api.emulator), [""; 0]);
    let pairs = api.emulator.member_ids();
    let distinct: HashSet<&(String, String)> = pairs.iter().collect();
    assert_eq!((pairs.len(), distinct.len()), (2000, 2000));

    let mut n_seen = 0;
    let mut times = HashSet::new();
    for page in 0..4 {
        let path = "/v1/organization_memberships?limit=500&order_by=%2Bcreated_at";
        let page = api.get(&format!("{path}&offset={}", 500 * page)).await;
        assert_eq!(page["total_count"], 2000);
        for shown in page["data"].as_array().unwrap() {
            let (organization_id, user_id) = &pairs[n_seen];
            assert_eq!(shown["organization"]["id"], *organization_id);
            assert_eq!(shown["public_user_data"]["user_id"], *user_id);
            let identifier = shown["public_user_data"]["identifier"].as_str();
            assert!(identifier.unwrap().ends_with("@example.com"));
            assert!(shown["created_at"].as_i64() > shown["organization"]["created_at"].as_i64());
            times.insert(shown["created_at"].as_i64());
            n_seen += 1;
        }
    }
    assert_eq!((n_seen, times.len()), (2000, 2000));

    let organizations = api.emulator.organizations();
    assert_eq!(organizations.len(), 40);
    assert_eq!(api.emulator.organization_ids()[39], id(&organizations[39]));
    for organization in &organizations {
        let creator = organization["created_by"].as_str().unwrap();
        let membership = api.emulator.membership(id(organization), creator).unwrap();
        assert_eq!(membership["role"], "org:admin");
        let members = format!("/v1/organizations/{}/memberships", id(organization));
        let admins = api.get(&format!("{members}?role=org:admin")).await;
        assert_eq!(admins["total_count"], 1);
    }
}

#[tokio::test]
async fn long_lists_are_whole_page_by_page_and_quick() {
    let acme = Acme::new().await;
    let emulator = &acme.api.emulator;
    let started = Instant::now();
    let added = emulator.seed_silently_members(&acme.id, 20_000, "org:member");
    emulator.silently(|emulator| {
        for n in 0..600 {
            let new = json!({"name": format!("N{n}"), "created_by": acme.alan});
            emulator.create_organization(new);
        }
    });
    assert_eq!(event_types(emulator), [""; 0]);

    let walk = async |path: &str, limit: usize| {
        let mut seen: Vec<String> = Vec::new();
        loop {
            let query = format!("limit={limit}&offset={}", seen.len());
            let page = acme.api.get(&format!("{path}?{query}")).await;
            let items = page["data"].as_array().unwrap();
            seen.extend(items.iter().map(|item| id(item).to_owned()));
            if items.len() < limit {
                let n_all = seen.len();
                assert_eq!(page["total_count"], n_all);
                seen.sort();
                seen.dedup();
                assert_eq!(seen.len(), n_all, "each once");
                return n_all;
            }
        }
    };
    assert_eq!(added.len(), 20_000);
    let members = format!("{}/memberships", acme.path());
    let path = format!("{members}?offset=20000&limit=500");
    let last = acme.api.get(&path).await;
    assert_eq!(
        (ids(&last).len(), &last["total_count"]),
        (2, &json!(20_002))
    );
    let path = format!("{members}?user_id={}", added[0]);
    assert_eq!(ids(&acme.api.get(&path).await), [&added[0]]);
    let of_alan = format!("/v1/users/{}/organization_memberships", acme.alan);
    assert_eq!(walk(&of_alan, 100).await, 601);
    assert_eq!(walk("/v1/organizations", 500).await, 601);
    emulator.delete_organization(&acme.id);
    assert_eq!(walk("/v1/organization_memberships", 500).await, 600);
    assert!(started.elapsed() < Duration::from_mins(1));
}

#[tokio::test]
async fn memberships_end_with_their_user_or_organization_in_the_chosen_way() {
    for (when, order) in [
        (MemberEvents::None, &["deleted"][..]),
        (MemberEvents::Before, &["member", "member", "deleted"]),
        (MemberEvents::After, &["deleted", "member", "member"]),
    ] {
        let acme = Acme::new().await;
        let emulator = &acme.api.emulator;
        emulator.member_events(when);
        emulator.silently(|emulator| {
            let other = json!({"name": "Other", "created_by": acme.alan});
            emulator.create_organization(other)
        });
        emulator.delete_user(&acme.alan);
        let expected = |deleted: &str| -> Vec<String> {
            let name = |kind: &&str| match *kind {
                "member" => "organizationMembership.deleted".to_owned(),
                _ => deleted.to_owned(),
            };
            order.iter().map(name).collect()
        };
        assert_eq!(event_types(emulator), expected("user.deleted"));
        for (_, data) in acme.events() {
            if data["object"] == "organization_membership" {
                assert_eq!(data["public_user_data"]["user_id"], acme.alan);
                assert_eq!(data["public_user_data"]["identifier"], "alan");
            }
        }
        assert_eq!(emulator.memberships().len(), 1);

        emulator.seed_silently_members(&acme.id, 1, "org:member");
        emulator.delete_organization(&acme.id);
        assert_eq!(event_types(emulator), expected("organization.deleted"));
        assert_eq!(emulator.memberships().len(), 0);
        assert_eq!(emulator.organizations().len(), 1);
    }
}

#[tokio::test]
async fn silent_work_makes_no_message_and_speech_returns_after_it() {
    let acme = Acme::new().await;
    let emulator = &acme.api.emulator;
    let organization = emulator.silently(|emulator| {
        emulator.member_events(MemberEvents::Before);
        emulator.set_member_role(&acme.id, &acme.alan, "org:admin");
        emulator.seed_silently(vec![json!({"id": "user_1"})]);
        emulator.add_member(&acme.id, "user_1", "org:member");
        emulator.delete_user("user_1");
        emulator.create_organization(json!({"name": "Quiet", "created_by": acme.ada}))
    });
    assert_eq!(event_types(emulator), [""; 0]);
    emulator.remove_member(id(&organization), &acme.ada);
    assert_eq!(event_types(emulator), ["organizationMembership.deleted"]);
}

#[tokio::test]
async fn a_session_token_names_the_active_organization() {
    let options = |token_version| Options {
        token_version,
        ..Options::default()
    };
    let seed = json!({
        "users": [{"id": "user_1", "email": "ada@example.com"}],
        "organizations": [{"id": "org_1", "name": "Acme", "created_by": "ada@example.com"}],
    });
    let claims = async |version| {
        let api = Api::with(options(version)).await;
        api.emulator.seed(seed.clone()).unwrap();
        let jwt = api.emulator.session_token_in("user_1", "org_1");
        let body = json!({"user_id": "user_1", "organization_id": "org_1", "claims": {"x": 1}});
        let (_, token) = api.call("POST", "/_emulator/tokens", body).await;
        let jwk = api.get("/v1/jwks").await;
        let keys: jsonwebtoken::jwk::JwkSet = serde_json::from_value(jwk).unwrap();
        let key = jsonwebtoken::DecodingKey::from_jwk(&keys.keys[0]).unwrap();
        let validation = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::RS256);
        [jwt.as_str(), token["jwt"].as_str().unwrap()].map(|jwt| {
            jsonwebtoken::decode::<Value>(jwt, &key, &validation)
                .unwrap()
                .claims
        })
    };
    let [claims_now, with_more] = claims(TokenVersion::V2).await;
    let active = json!({"id": "org_1", "slg": "acme", "rol": "admin"});
    assert_eq!(
        (&claims_now["o"], &claims_now["sub"]),
        (&active, &json!("user_1"))
    );
    assert_eq!((&with_more["o"], &with_more["x"]), (&active, &json!(1)));
    assert_eq!(claims_now.get("org_id"), None);

    let [claims_then, _] = claims(TokenVersion::V1).await;
    assert_eq!(claims_then.get("o"), None);
    assert_eq!(claims_then["org_id"], "org_1");
    assert_eq!(claims_then["org_role"], "org:admin");
    assert_eq!(claims_then["org_slug"], "acme");
}

#[tokio::test]
async fn an_organization_and_a_membership_take_ten_updates_in_ten_seconds() {
    let acme = Acme::new().await;
    acme.api.emulator.freeze_clock();
    let alan = acme.member_path(&acme.alan);
    for (path, body) in [
        (acme.path(), json!({})),
        (alan, json!({"role": "org:member"})),
    ] {
        for n in 0..11 {
            let (path, body) = match n % 2 {
                0 => (path.clone(), body.clone()),
                _ => (format!("{path}/metadata"), json!({})),
            };
            let expected = if n < 10 { 200 } else { 429 };
            assert_eq!(
                acme.api.call("PATCH", &path, body).await.0,
                expected,
                "{path}"
            );
        }
    }
    let ada = acme.member_path(&acme.ada);
    let role = json!({"role": "org:admin"});
    assert_eq!(acme.api.call("PATCH", &ada, role.clone()).await.0, 200);
    acme.api.emulator.advance(Duration::from_secs(10));
    let alan = acme.member_path(&acme.alan);
    assert_eq!(acme.api.call("PATCH", &alan, role).await.0, 200);
}

#[tokio::test]
async fn a_seed_has_organizations_and_control_routes_know_them() {
    let api = Api::new().await;
    api.emulator.seed_demo().unwrap();
    let acme = api.get("/v1/organizations/acme").await;
    let path = format!("/v1/organizations/{}/memberships", id(&acme));
    let members = api.get(&format!("{path}?order_by=created_at")).await;
    let members = members["data"].as_array().unwrap();
    let roles: Vec<&Value> = members.iter().map(|member| &member["role"]).collect();
    assert_eq!(roles, ["org:admin", "org:member", "org:member"]);
    let ada = "user_2demoAda0000000000000000001";
    assert_eq!(members[0]["public_user_data"]["user_id"], ada);
    assert_eq!(
        event_types(&api.emulator)[6..],
        [
            "organization.created",
            "organizationMembership.created",
            "organizationMembership.created",
            "organizationMembership.created"
        ]
    );
    let n_members = api.emulator.memberships().len();

    let seed = json!({"silent": true, "organizations": [{
        "name": "Beta", "slug": "b",
        "members": [{"user": "grace@example.com", "role": "org:member"}],
    }]});
    api.emulator.take_messages();
    let (status, seeded) = api.call("POST", "/_emulator/seed", seed).await;
    assert_eq!(
        (status, &seeded["organizations"][0]["slug"]),
        (200, &json!("b"))
    );
    assert_eq!(event_types(&api.emulator), [""; 0]);
    for seed in [
        json!({"organizations": [{"name": "C", "members": [{"user": "x", "role": "org:member"}]}]}),
        json!({"organizations": [{"name": "D", "created_by": "nobody@example.com"}]}),
        json!({"organizations": [{"slug": "e"}]}),
    ] {
        assert!(api.emulator.seed(seed).is_err());
    }

    let state = api.get("/_emulator/state").await;
    let memberships = state["memberships"].as_array().unwrap();
    assert_eq!(memberships.len(), n_members + 1);
    let when = json!({"when": "after"});
    api.call("POST", "/_emulator/member-events", when).await;
    api.emulator.take_messages();
    api.emulator.delete_organization(id(&acme));
    let mut expected = vec!["organization.deleted"];
    expected.extend(["organizationMembership.deleted"; 3]);
    assert_eq!(event_types(&api.emulator), expected);
    api.call("POST", "/_emulator/reset", json!({})).await;
    assert_eq!(api.get("/v1/organizations").await["total_count"], 0);
    assert_eq!(
        api.get("/v1/organization_memberships").await["total_count"],
        0
    );
}
