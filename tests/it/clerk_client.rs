//! `shared::clerk` against the emulator: paths, headers, retries, pages.

use std::time::{Duration, Instant};

use clerk_emulator::{Effect, Emulator, Fault, Options};
use serde_json::{Map, Value, json};
use shared::clerk::{
    Budget, Client, Error, Invitation, MembershipList, NewInvitation, OrganizationMembership,
    PAGE_LEN, Password, PrimaryEmail, UserPatch,
};
use shared::ids::{ClerkOrganizationId, ClerkUserId};

/// An emulator with one user, and a client for it.
struct World {
    emulator: Emulator,
    client: Client,
    ada: ClerkUserId,
}

impl World {
    async fn new() -> Self {
        let emulator = Emulator::start(Options::default()).await.unwrap();
        let client = Client::new(emulator.url(), emulator.secret_key()).unwrap();
        let ada = emulator.create_user(json!({
            "email": "ada@example.org",
            "first_name": "Ada",
            "public_metadata": {"role": "STUDENT", "team": {"id": 7, "name": "Engines"}},
            "private_metadata": {"note": "hush"},
        }));
        let ada = ada["id"].as_str().unwrap().parse().unwrap();
        Self {
            emulator,
            client,
            ada,
        }
    }

    /// An organization with Ada as its only member.
    fn acme(&self) -> ClerkOrganizationId {
        let acme = self.emulator.create_organization(json!({
            "name": "Acme",
            "slug": "acme",
            "created_by": self.ada.as_str(),
            "public_metadata": {"plan": {"name": "small", "seats": 5}},
            "private_metadata": {"note": "hush"},
        }));
        acme["id"].as_str().unwrap().parse().unwrap()
    }

    /// Another user, without anything.
    fn grace(&self) -> ClerkUserId {
        let grace = self.emulator.create_user(json!({}));
        grace["id"].as_str().unwrap().parse().unwrap()
    }

    /// The id of a new invitation.
    async fn invite(&self) -> String {
        let new = invitation();
        let creation = self.client.create_invitation(&new, within(5));
        creation.await.unwrap().id
    }

    /// The ids of the members that a walk over the list finds, and the length of each page.
    async fn walk(&self, list: MembershipList) -> (Vec<String>, Vec<usize>) {
        let mut pages = self.client.all_memberships(list, 0);
        let (mut ids, mut lens) = (Vec::new(), Vec::new());
        while let Some(page) = pages.next_page(within(10)).await.unwrap() {
            lens.push(page.data.len());
            ids.extend(page.data.iter().map(|it| it.id.to_string()));
        }
        (ids, lens)
    }

    /// The methods and statuses of the calls so far.
    fn calls(&self) -> Vec<(String, u16)> {
        let requests = self.emulator.requests();
        requests
            .into_iter()
            .map(|request| (request.method, request.status))
            .collect()
    }

    /// The method, the path with the query, and the body of the one call so far; it is forgotten.
    fn take_call(&self) -> (String, String, String) {
        let [request] = self.emulator.requests().try_into().unwrap();
        self.emulator.clear_requests();
        let query = match request.query.as_str() {
            "" => String::new(),
            query => format!("?{query}"),
        };
        let path = format!("{}{query}", request.path);
        (request.method, path, request.body)
    }

    fn n_calls(&self) -> usize {
        self.emulator.requests().len()
    }
}

fn within(n_seconds: u64) -> Budget {
    Budget::until(Instant::now() + Duration::from_secs(n_seconds))
}

fn refusal(status: u16, code: &str) -> Fault {
    Fault::new(Effect::Status {
        status,
        code: Some(code.to_owned()),
        retry_after: None,
    })
}

fn invitation() -> NewInvitation {
    NewInvitation {
        email_address: "grace@example.org".to_owned(),
        public_metadata: Map::from_iter([("role".to_owned(), json!("INSTRUCTOR"))]),
        ..NewInvitation::default()
    }
}

fn password(text: &str) -> UserPatch {
    UserPatch {
        password: Some(Password::new(text.to_owned())),
        ..UserPatch::default()
    }
}

/// The code, the sentences and the parameter of a refusal.
fn told(error: &Error) -> (&str, &str, Option<&str>) {
    let Error::Refused {
        code,
        message,
        param,
        ..
    } = error
    else {
        panic!("{error:?}")
    };
    (code, message, param.as_deref())
}

fn ids_and_statuses(invitations: &[Invitation]) -> Vec<(&str, &str)> {
    invitations
        .iter()
        .map(|it| (it.id.as_str(), it.status.as_str()))
        .collect()
}

fn user_of(membership: &OrganizationMembership) -> &ClerkUserId {
    &membership.public_user_data.as_ref().unwrap().user_id
}

fn ids_of(objects: &[Value]) -> Vec<String> {
    objects
        .iter()
        .map(|object| object["id"].as_str().unwrap().to_owned())
        .collect()
}

fn bag(json: Value) -> Map<String, Value> {
    match json {
        Value::Object(bag) => bag,
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_user_is_read() {
    let world = World::new().await;
    let user = world.client.user(&world.ada, within(5)).await.unwrap();
    assert_eq!(user.id, world.ada);
    let primary = PrimaryEmail {
        address: "ada@example.org",
        is_verified: true,
    };
    assert_eq!(user.primary_email(), Some(primary));
    assert_eq!(user.role(), Some(&json!("STUDENT")));
    let expected = world.emulator.user(world.ada.as_str()).unwrap();
    assert_eq!(user.updated_at, expected["updated_at"].as_i64());
    assert!(user.updated_at.is_some());

    let request = world.emulator.requests().remove(0);
    assert_eq!(request.method, "GET");
    assert_eq!(request.path, format!("/v1/users/{}", world.ada));
    let header = |name: &str| request.headers.get(name).map(String::as_str);
    let key = format!("Bearer {}", world.emulator.secret_key());
    assert_eq!(header("authorization"), Some(key.as_str()));
    assert_eq!(header("clerk-api-version"), Some("2026-05-12"));
    assert_eq!(header("user-agent"), Some("clerk-sync"));
}

#[tokio::test]
async fn a_user_who_is_not_there_is_not_found() {
    let world = World::new().await;
    world.emulator.delete_user(world.ada.as_str());
    let error = world.client.user(&world.ada, within(5)).await.unwrap_err();
    assert!(matches!(error, Error::NotFound { .. }), "{error:?}");
    assert_eq!(error.trace_id().map(str::len), Some(32));
    assert!(error.is_permanent());
    assert_eq!(world.n_calls(), 1);
}

#[tokio::test]
async fn a_wrong_key_is_not_tried_again() {
    let world = World::new().await;
    let client = Client::new(world.emulator.url(), "sk_test_wrong").unwrap();
    let error = client.user(&world.ada, within(5)).await.unwrap_err();
    assert!(matches!(error, Error::Unauthorized { .. }), "{error:?}");
    assert!(!error.is_permanent());
    assert!(world.n_calls() <= 1);
}

#[tokio::test]
async fn a_user_is_patched() {
    let world = World::new().await;
    let patch = UserPatch {
        first_name: Some(Some("Augusta".to_owned())),
        last_name: Some(Some("King".to_owned())),
        ..UserPatch::default()
    };
    let user = world
        .client
        .patch_user(&world.ada, &patch, within(5))
        .await
        .unwrap();
    assert_eq!(user.first_name.as_deref(), Some("Augusta"));
    assert_eq!(user.last_name.as_deref(), Some("King"));
    let patch = UserPatch {
        first_name: Some(None),
        ..UserPatch::default()
    };
    let user = world
        .client
        .patch_user(&world.ada, &patch, within(5))
        .await
        .unwrap();
    assert_eq!(user.first_name, None);
    assert_eq!(user.last_name.as_deref(), Some("King"));
    let stored = world.emulator.user(world.ada.as_str()).unwrap();
    assert_eq!(stored["updated_at"].as_i64(), user.updated_at);
}

#[tokio::test]
async fn a_refused_field_is_named() {
    let world = World::new().await;
    world.emulator.create_user(json!({
        "email": "grace@example.org",
        "external_id": "row-1",
    }));
    let patch = UserPatch {
        external_id: Some(Some("row-1".to_owned())),
        ..UserPatch::default()
    };
    let error = world
        .client
        .patch_user(&world.ada, &patch, within(5))
        .await
        .unwrap_err();
    assert_eq!(error.code(), Some("form_identifier_exists"));
    let Error::Refused { status, param, .. } = error else {
        panic!("{error:?}")
    };
    assert_eq!((status, param.as_deref()), (422, Some("external_id")));
    assert_eq!(world.n_calls(), 1);
}

#[tokio::test]
async fn metadata_is_merged() {
    let world = World::new().await;
    let change = json!({"role": "ADMIN", "team": {"name": null}});
    let Value::Object(change) = change else {
        panic!()
    };
    let user = world
        .client
        .merge_metadata(&world.ada, &change, within(5))
        .await
        .unwrap();
    let expected = json!({"role": "ADMIN", "team": {"id": 7}});
    assert_eq!(Value::Object(user.public_metadata), expected);
    let stored = world.emulator.user(world.ada.as_str()).unwrap();
    assert_eq!(stored["public_metadata"], expected);
    assert_eq!(stored["private_metadata"], json!({"note": "hush"}));
    assert_eq!(stored["updated_at"].as_i64(), user.updated_at);
}

#[tokio::test]
async fn a_user_is_deleted() {
    let world = World::new().await;
    let deleted = world
        .client
        .delete_user(&world.ada, within(5))
        .await
        .unwrap();
    assert_eq!(deleted.id.as_deref(), Some(world.ada.as_str()));
    assert!(deleted.deleted);
    assert_eq!(world.emulator.user(world.ada.as_str()), None);
}

#[tokio::test]
async fn somebody_is_invited() {
    let world = World::new().await;
    let made = world
        .client
        .create_invitation(&invitation(), within(5))
        .await
        .unwrap();
    assert_eq!(made.email_address, "grace@example.org");
    assert_eq!(made.status, "pending");
    let grace = world.emulator.accept_invitation(&made.id);
    assert_eq!(grace["public_metadata"]["role"], json!("INSTRUCTOR"));
}

#[tokio::test]
async fn an_invitation_says_only_what_was_decided() {
    let world = World::new().await;
    let bare = NewInvitation {
        email_address: "alan@example.org".to_owned(),
        ..NewInvitation::default()
    };
    let creation = world.client.create_invitation(&bare, within(5));
    let thirty_days_ms = 30 * 24 * 60 * 60 * 1000;
    let made = creation.await.unwrap();
    assert_eq!(
        made.expires_at,
        made.created_at.map(|at| at + thirty_days_ms)
    );
    let (method, path, body) = world.take_call();
    assert_eq!(
        (method.as_str(), path.as_str()),
        ("POST", "/v1/invitations")
    );
    assert_eq!(body, r#"{"email_address":"alan@example.org"}"#);

    let full = NewInvitation {
        redirect_url: Some("https://example.org/welcome".to_owned()),
        ..invitation()
    };
    let creation = world.client.create_invitation(&full, within(5));
    let made = creation.await.unwrap();
    let month_ms = 30 * 24 * 60 * 60 * 1000;
    assert_eq!(made.expires_at, made.created_at.map(|at| at + month_ms));
    let body: Value = serde_json::from_str(&world.take_call().2).unwrap();
    assert_eq!(
        body,
        json!({
            "email_address": "grace@example.org", "public_metadata": {"role": "INSTRUCTOR"},
            "redirect_url": "https://example.org/welcome",
        })
    );
}

#[tokio::test]
async fn invitations_are_found_by_address_id_and_status() {
    let world = World::new().await;
    let client = &world.client;
    let first = world.invite().await;
    client.revoke_invitation(&first, within(5)).await.unwrap();
    let second = world.invite().await;
    let other = NewInvitation {
        email_address: "alan@example.org".to_owned(),
        ..NewInvitation::default()
    };
    client.create_invitation(&other, within(5)).await.unwrap();
    world.emulator.clear_requests();

    let check = async |query: &str, status: Option<&str>, expected: &[(&str, &str)]| {
        let found = client.invitations(query, status, within(5)).await.unwrap();
        assert_eq!(ids_and_statuses(&found), expected, "{query} {status:?}");
        world.take_call()
    };
    let (first, second) = (first.as_str(), second.as_str());
    let (method, path, _) = check("grace@example.org", None, &[(second, "pending")]).await;
    assert_eq!(method, "GET");
    assert_eq!(path, "/v1/invitations?limit=500&query=grace%40example.org");
    let revoked = Some("revoked");
    let (_, path, _) = check("grace@example.org", revoked, &[(first, "revoked")]).await;
    assert_eq!(
        path,
        "/v1/invitations?limit=500&query=grace%40example.org&status=revoked"
    );
    check(first, None, &[]).await;
    check(first, revoked, &[(first, "revoked")]).await;
    check(second, Some("pending"), &[(second, "pending")]).await;
    check("nobody@example.org", None, &[]).await;
}

#[tokio::test]
async fn an_invitation_is_revoked_once_and_only_while_it_is_open() {
    let world = World::new().await;
    let client = &world.client;
    let made = world.invite().await;
    world.emulator.clear_requests();
    let revoked = client.revoke_invitation(&made, within(5)).await.unwrap();
    assert_eq!((&revoked.id, revoked.status.as_str()), (&made, "revoked"));
    let path = format!("/v1/invitations/{made}/revoke");
    assert_eq!(
        world.take_call(),
        ("POST".to_owned(), path, String::new()),
        "without a body"
    );

    let error = client.revoke_invitation(&made, within(5)).await;
    let error = error.unwrap_err();
    assert_eq!(error.code(), Some("invitation_already_revoked"));

    let made = world.invite().await;
    world.emulator.accept_invitation(&made);
    let error = client.revoke_invitation(&made, within(5)).await;
    let error = error.unwrap_err();
    assert_eq!(error.code(), Some("invitation_already_accepted"));
    assert!(error.is_permanent());

    let error = client.revoke_invitation("inv_none", within(5)).await;
    let error = error.unwrap_err();
    assert!(matches!(error, Error::NotFound { .. }), "{error:?}");
    let n_calls = world.n_calls();
    let error = client.revoke_invitation("../users", within(5)).await;
    let error = error.unwrap_err();
    assert!(matches!(error, Error::NotFound { .. }), "{error:?}");
    assert_eq!(world.n_calls(), n_calls, "it was not asked");
}

#[tokio::test]
async fn users_are_read_by_their_address_proven_or_not() {
    let world = World::new().await;
    let unproven = world.emulator.create_user(json!({
        "email": "ada@example.org", "verified": false,
    }));
    world
        .emulator
        .create_user(json!({"email": "ada@example.com"}));
    let reading = world.client.users_by_email("Ada@example.org", within(5));
    let found = reading.await.unwrap();
    let mut ids: Vec<&str> = found.iter().map(|user| user.id.as_str()).collect();
    let mut expected = [world.ada.as_str(), unproven["id"].as_str().unwrap()];
    ids.sort_unstable();
    expected.sort_unstable();
    assert_eq!(ids, expected);
    let (method, path, _) = world.take_call();
    assert_eq!(method, "GET");
    assert_eq!(path, "/v1/users?limit=500&email_address=Ada%40example.org");

    let reading = world.client.users_by_email("nobody@example.org", within(5));
    assert_eq!(reading.await.unwrap(), []);
}

#[tokio::test]
async fn a_new_password_is_taken_and_shown_nowhere() {
    let world = World::new().await;
    world.emulator.set_clock(world.emulator.now_ms() + 1000);
    let user = world.client.user(&world.ada, within(5)).await.unwrap();
    assert_eq!(user.password_last_updated_at, None);
    world.emulator.clear_requests();

    let patch = UserPatch {
        last_name: Some(Some("Lovelace".to_owned())),
        ..password("correct horse battery")
    };
    let change = world.client.patch_user(&world.ada, &patch, within(5));
    let user = change.await.unwrap();
    assert_eq!(user.last_name.as_deref(), Some("Lovelace"));
    assert_eq!(user.password_last_updated_at, Some(world.emulator.now_ms()));
    let (method, _, body) = world.take_call();
    assert_eq!(method, "PATCH");
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(
        body,
        json!({"last_name": "Lovelace", "password": "[redacted]"})
    );
    for shown in [
        format!("{patch:?} {patch:#?} {user:?}"),
        format!("{:?}", world.emulator),
        format!("{:?}", world.emulator.messages()),
    ] {
        assert!(!shown.contains("horse"), "{shown}");
    }
}

#[tokio::test]
async fn a_refused_password_changes_nothing_and_all_reasons_are_told() {
    let world = World::new().await;
    let before = world.emulator.user(world.ada.as_str()).unwrap();
    world.emulator.strict_passwords(true);
    let patch = UserPatch {
        first_name: Some(Some("Augusta".to_owned())),
        ..password("lovelace")
    };
    let change = world.client.patch_user(&world.ada, &patch, within(5));
    let error = change.await.unwrap_err();
    assert_eq!(
        told(&error),
        (
            "form_password_no_uppercase",
            "Passwords must contain an uppercase letter. Passwords must contain a number. \
             Passwords must contain a special character.",
            Some("password"),
        )
    );
    assert!(error.is_password_refused() && error.is_permanent());
    assert!(!format!("{error} {error:?}").contains("lovelace"));
    assert_eq!(world.emulator.user(world.ada.as_str()), Some(before));
    assert_eq!(world.calls(), [("PATCH".to_owned(), 422)]);

    world.emulator.strict_passwords(false);
    let change = world.client.patch_user(&world.ada, &patch, within(5));
    assert_eq!(change.await.unwrap().first_name.as_deref(), Some("Augusta"));
}

#[tokio::test]
async fn who_comes_from_a_directory_is_not_renamed_nor_deleted_here() {
    let world = World::new().await;
    let scim = json!({"directory_id": "dir_1", "directory_enabled": true});
    let managed = json!({"scim": scim});
    world.emulator.update_user(world.ada.as_str(), managed);
    let before = world.emulator.user(world.ada.as_str());
    let patch = UserPatch {
        first_name: Some(None),
        ..UserPatch::default()
    };
    let change = world.client.patch_user(&world.ada, &patch, within(5));
    let deletion = world.client.delete_user(&world.ada, within(5));
    for error in [change.await.unwrap_err(), deletion.await.unwrap_err()] {
        assert_eq!(error.code(), Some("user_managed_by_scim"));
        assert!(error.is_managed_by_directory() && error.is_permanent());
    }
    assert_eq!(world.emulator.user(world.ada.as_str()), before);
    assert_eq!(world.n_calls(), 2, "they are not repeated");
}

#[tokio::test]
async fn a_user_is_made_a_member_once() {
    let world = World::new().await;
    let acme = world.acme();
    let grace = world.grace();
    let join = || {
        let role = "org:member";
        world
            .client
            .create_membership(&acme, &grace, role, within(5))
    };
    let made = join().await.unwrap();
    assert_eq!(made.role, "org:member");
    assert_eq!(user_of(&made), &grace);
    assert_eq!(made.organization.id, acme);
    let (method, path, body) = world.take_call();
    assert_eq!(method, "POST");
    assert_eq!(path, format!("/v1/organizations/{acme}/memberships"));
    let expected = json!({"user_id": grace.as_str(), "role": "org:member"});
    assert_eq!(serde_json::from_str::<Value>(&body).unwrap(), expected);

    let error = join().await.unwrap_err();
    assert!(error.is_already_member(), "{error:?}");
    assert!(matches!(error, Error::Refused { status: 400, .. }));
    assert_eq!(world.n_calls(), 1, "it is not repeated");
}

#[tokio::test]
async fn a_full_organization_takes_no_member() {
    let world = World::new().await;
    let acme = world.acme();
    let full = json!({"max_allowed_memberships": 1});
    world.emulator.update_organization(acme.as_str(), full);
    let grace = world.grace();
    let creation = world
        .client
        .create_membership(&acme, &grace, "org:member", within(5));
    let error = creation.await.unwrap_err();
    assert_eq!(error.code(), Some("organization_membership_quota_exceeded"));
    assert!(!error.is_already_member() && error.is_permanent());
}

#[tokio::test]
async fn passing_trouble_is_waited_out() {
    for fault in [
        refusal(500, "internal_clerk_error"),
        refusal(503, "service_unavailable"),
        refusal(409, "resource_locked"),
        Fault::drop(),
        Fault::drop_answer(),
    ] {
        let world = World::new().await;
        world.emulator.fault(fault.clone().times(2));
        world.client.user(&world.ada, within(5)).await.unwrap();
        assert_eq!(world.n_calls(), 3, "{fault:?}");
        world.emulator.fault(fault.clone().once());
        let role = Map::from_iter([("role".to_owned(), json!("ADMIN"))]);
        let user = world
            .client
            .merge_metadata(&world.ada, &role, within(5))
            .await
            .unwrap();
        assert_eq!(user.role(), Some(&json!("ADMIN")), "{fault:?}");
        assert_eq!(world.n_calls(), 5, "{fault:?}");
    }
}

#[tokio::test]
async fn lasting_trouble_ends_with_the_budget() {
    let world = World::new().await;
    world.emulator.down();
    let start = Instant::now();
    let error = world.client.user(&world.ada, within(1)).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable(_)), "{error:?}");
    assert!(
        start.elapsed() < Duration::from_millis(1500),
        "it slept past the end"
    );
    assert!((2..=8).contains(&world.n_calls()), "{:?}", world.calls());

    world.emulator.clear_requests();
    let once = Budget::once(Duration::from_secs(5));
    assert!(world.client.user(&world.ada, once).await.is_err());
    assert_eq!(world.calls(), [("GET".to_owned(), 503)]);
}

#[tokio::test]
async fn a_rate_limit_is_honored_and_bounded() {
    let world = World::new().await;
    world.emulator.fault(Fault::rate_limited(1).once());
    let start = Instant::now();
    world.client.user(&world.ada, within(5)).await.unwrap();
    assert!(
        start.elapsed() >= Duration::from_secs(1),
        "{:?}",
        start.elapsed()
    );

    world.emulator.fault(Fault::rate_limited(60).once());
    let start = Instant::now();
    let error = world.client.user(&world.ada, within(5)).await.unwrap_err();
    assert!(
        start.elapsed() < Duration::from_secs(1),
        "{:?}",
        start.elapsed()
    );
    assert!(matches!(error, Error::RateLimited { .. }), "{error:?}");
    assert_eq!(error.retry_after(), Some(Duration::from_mins(1)));
    assert_eq!(world.n_calls(), 3);
}

#[tokio::test]
async fn a_slow_answer_is_not_waited_for() {
    let world = World::new().await;
    world.emulator.fault(Fault::slow(Duration::from_secs(30)));
    let role = Map::from_iter([("role".to_owned(), json!("ADMIN"))]);
    let once = Budget::once(Duration::from_millis(300));
    let start = Instant::now();
    let error = world
        .client
        .merge_metadata(&world.ada, &role, once)
        .await
        .unwrap_err();
    assert!(
        start.elapsed() < Duration::from_secs(2),
        "{:?}",
        start.elapsed()
    );
    assert!(matches!(error, Error::TimedOut(_)), "{error:?}");
    assert!(error.is_outcome_unknown());
    let stored = world.emulator.user(world.ada.as_str()).unwrap();
    assert_eq!(
        stored["public_metadata"]["role"],
        json!("ADMIN"),
        "it was carried out"
    );
}

#[tokio::test]
async fn a_post_in_doubt_is_not_repeated() {
    for fault in [
        Fault::drop_answer(),
        Fault::drop(),
        refusal(500, "internal_clerk_error"),
    ] {
        let world = World::new().await;
        world.emulator.fault(fault.clone().once());
        let error = world
            .client
            .create_invitation(&invitation(), within(5))
            .await
            .unwrap_err();
        assert!(error.is_outcome_unknown(), "{fault:?}: {error:?}");
        assert_eq!(world.n_calls(), 1, "{fault:?}");
    }
    for fault in [refusal(409, "resource_locked"), Fault::rate_limited(0)] {
        let world = World::new().await;
        world.emulator.fault(fault.clone().once());
        world
            .client
            .create_invitation(&invitation(), within(5))
            .await
            .unwrap();
        assert_eq!(world.n_calls(), 2, "{fault:?}");
    }
}

#[tokio::test]
async fn a_membership_or_a_revocation_in_doubt_is_not_repeated() {
    let world = World::new().await;
    let acme = world.acme();
    let grace = world.grace();
    let invitation = world.invite().await;
    let join = || {
        let role = "org:member";
        world
            .client
            .create_membership(&acme, &grace, role, within(5))
    };
    let revoke = || world.client.revoke_invitation(&invitation, within(5));

    for fault in [Fault::drop(), refusal(500, "internal_clerk_error")] {
        world.emulator.clear_requests();
        world.emulator.fault(fault.clone().times(2));
        let errors = [join().await.unwrap_err(), revoke().await.unwrap_err()];
        assert!(errors.iter().all(Error::is_outcome_unknown), "{errors:?}");
        assert_eq!(world.n_calls(), 2, "{fault:?}");
    }
    // What was carried out without an answer shows when it is asked for again.
    world.emulator.clear_requests();
    world.emulator.fault(Fault::drop_answer().times(2));
    let errors = [join().await.unwrap_err(), revoke().await.unwrap_err()];
    assert!(errors.iter().all(Error::is_outcome_unknown), "{errors:?}");
    assert_eq!(world.n_calls(), 2);
    assert!(join().await.unwrap_err().is_already_member());
    let error = revoke().await.unwrap_err();
    assert_eq!(error.code(), Some("invitation_already_revoked"));
}

#[tokio::test]
async fn a_membership_and_a_revocation_are_repeated_when_they_surely_were_not_done() {
    for fault in [refusal(409, "resource_locked"), Fault::rate_limited(0)] {
        let world = World::new().await;
        let acme = world.acme();
        let grace = world.grace();
        let invitation = world.invite().await;
        world.emulator.clear_requests();

        world.emulator.fault(fault.clone().once());
        let creation = world
            .client
            .create_membership(&acme, &grace, "org:member", within(5));
        assert_eq!(creation.await.unwrap().role, "org:member");
        world.emulator.fault(fault.clone().once());
        let revocation = world.client.revoke_invitation(&invitation, within(5));
        assert_eq!(revocation.await.unwrap().status, "revoked");
        assert_eq!(world.n_calls(), 4, "{fault:?}");
    }
}

#[tokio::test]
async fn an_unreachable_clerk_is_unavailable() {
    let world = World::new().await;
    world.emulator.unreachable();
    let once = Budget::once(Duration::from_secs(5));
    let error = world.client.user(&world.ada, once).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable(_)), "{error:?}");
    world.emulator.up();
    world.client.user(&world.ada, within(5)).await.unwrap();
}

#[tokio::test]
async fn users_are_read_by_their_ids() {
    let world = World::new().await;
    let others = world.emulator.seed_silently(
        (0..150)
            .map(|n| json!({"email": format!("user{n}@example.org")}))
            .collect(),
    );
    let mut ids: Vec<ClerkUserId> = ids_of(&others)
        .iter()
        .map(|id| id.parse().unwrap())
        .collect();
    ids.push("user_nobody".parse().unwrap());
    let users = world.client.users_by_id(&ids, within(5)).await.unwrap();
    let mut found: Vec<ClerkUserId> = users.into_iter().map(|user| user.id).collect();
    ids.pop();
    ids.sort();
    found.sort();
    assert_eq!(found, ids);
    assert_eq!(world.n_calls(), 2);
    assert_eq!(world.client.users_by_id(&[], within(5)).await.unwrap(), []);
    assert_eq!(world.n_calls(), 2);
    let n_users = world.client.n_users(within(5)).await.unwrap();
    assert_eq!(n_users, others.len() as u64 + 1, "Ada is one, too");
}

#[tokio::test]
async fn an_organization_is_read_changed_and_deleted() {
    let world = World::new().await;
    let acme = world.acme();
    let read = world.client.organization(&acme, within(5)).await.unwrap();
    assert_eq!((&read.id, read.name.as_str()), (&acme, "Acme"));
    assert_eq!(read.slug.as_deref(), Some("acme"));
    assert_eq!(read.created_by.as_deref(), Some(world.ada.as_str()));
    let stored = world.emulator.organization(acme.as_str()).unwrap();
    assert_eq!(read.updated_at, stored["updated_at"].as_i64());

    let change = bag(json!({"plan": {"name": "large", "seats": null}}));
    let merge = world
        .client
        .merge_organization_metadata(&acme, &change, within(5));
    let merged = merge.await.unwrap();
    let expected = json!({"plan": {"name": "large"}});
    assert_eq!(Value::Object(merged.public_metadata), expected);
    let stored = world.emulator.organization(acme.as_str()).unwrap();
    assert_eq!(stored["public_metadata"], expected);
    assert_eq!(stored["private_metadata"], json!({"note": "hush"}));
    assert_eq!(stored["updated_at"].as_i64(), merged.updated_at);

    let deletion = world.client.delete_organization(&acme, within(5));
    let deleted = deletion.await.unwrap();
    assert_eq!(deleted.id.as_deref(), Some(acme.as_str()));
    assert!(deleted.deleted);
    assert_eq!(world.emulator.memberships(), [] as [Value; 0]);
    let reading = world.client.organization(&acme, within(5));
    let error = reading.await.unwrap_err();
    assert!(matches!(error, Error::NotFound { .. }), "{error:?}");
}

#[tokio::test]
async fn a_membership_is_changed_and_deleted() {
    let world = World::new().await;
    let acme = world.acme();
    let change = world
        .client
        .update_membership(&acme, &world.ada, "org:member", within(5));
    let changed = change.await.unwrap();
    assert_eq!(changed.role, "org:member");
    assert_eq!(user_of(&changed), &world.ada);
    assert_eq!(changed.organization.id, acme);

    let plan = bag(json!({"desk": 7}));
    let merge = world
        .client
        .merge_membership_metadata(&acme, &world.ada, &plan, within(5));
    let merged = merge.await.unwrap();
    assert_eq!(merged.public_metadata, plan);
    let stored = world
        .emulator
        .membership(acme.as_str(), world.ada.as_str())
        .unwrap();
    assert_eq!(stored["role"], json!("org:member"));
    assert_eq!(stored["public_metadata"], json!({"desk": 7}));
    assert_eq!(stored["updated_at"].as_i64(), merged.updated_at);

    let removal = world.client.delete_membership(&acme, &world.ada, within(5));
    assert_eq!(removal.await.unwrap().id, merged.id, "as it was");
    assert_eq!(world.emulator.memberships(), [] as [Value; 0]);
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let world = World::new().await;
    let acme = world.acme();
    let nobody: ClerkUserId = "user_nobody".parse().unwrap();
    let nowhere: ClerkOrganizationId = "org_nowhere".parse().unwrap();
    let client = &world.client;
    let empty = Map::new();
    let errors = [
        client.organization(&nowhere, within(5)).await.map(drop),
        client
            .delete_organization(&nowhere, within(5))
            .await
            .map(drop),
        client
            .merge_organization_metadata(&nowhere, &empty, within(5))
            .await
            .map(drop),
        client
            .update_membership(&acme, &nobody, "org:member", within(5))
            .await
            .map(drop),
        client
            .merge_membership_metadata(&acme, &nobody, &empty, within(5))
            .await
            .map(drop),
        client
            .delete_membership(&acme, &nobody, within(5))
            .await
            .map(drop),
    ];
    for (i, error) in errors.into_iter().enumerate() {
        let error = error.unwrap_err();
        assert!(matches!(error, Error::NotFound { .. }), "{i}: {error:?}");
        assert!(error.is_permanent());
    }
    assert_eq!(world.n_calls(), 6, "{:?}", world.calls());
}

#[tokio::test]
async fn each_list_of_memberships_is_walked_to_its_end() {
    let world = World::new().await;
    let acme = world.acme();
    world.emulator.silently(|emulator| {
        for n in 1..600 {
            emulator.create_organization(json!({
                "name": format!("Organization {n}"),
                "created_by": world.ada.as_str(),
            }));
        }
    });
    world
        .emulator
        .seed_silently_members(acme.as_str(), 601, "org:member");

    let all = world.emulator.memberships();
    let of = |pointer: &str, id: &str| -> Vec<Value> {
        let is_theirs = |it: &&Value| it.pointer(pointer) == Some(&json!(id));
        all.iter().filter(is_theirs).cloned().collect()
    };

    let (mut found, lens) = world.walk(MembershipList::OfUser(world.ada.clone())).await;
    assert_eq!(lens, [500, 100]);
    let mut expected = ids_of(&of("/public_user_data/user_id", world.ada.as_str()));
    found.sort();
    expected.sort();
    assert!(found == expected, "all of hers, none twice");

    let expected = ids_of(&of("/organization/id", acme.as_str()));
    let (found, lens) = world.walk(MembershipList::OfOrganization(acme)).await;
    assert_eq!(lens, [500, 102]);
    assert!(found == expected, "the oldest first, none twice");
}

#[tokio::test]
async fn members_are_read_by_their_users() {
    let world = World::new().await;
    let acme = world.acme();
    let members = world
        .emulator
        .seed_silently_members(acme.as_str(), 150, "org:member");
    let stranger = world
        .emulator
        .create_user(json!({"email": "grace@example.org"}));
    let mut users: Vec<ClerkUserId> = members[..20].iter().map(|id| id.parse().unwrap()).collect();
    users.push(world.ada.clone());
    let mut asked = users.clone();
    asked.push(stranger["id"].as_str().unwrap().parse().unwrap());
    asked.push("user_nobody".parse().unwrap());
    let reading = world.client.members_by_id(&acme, &asked, within(5));
    let mut found: Vec<ClerkUserId> = reading
        .await
        .unwrap()
        .iter()
        .map(user_of)
        .cloned()
        .collect();
    found.sort();
    users.sort();
    assert_eq!(found, users);
    assert_eq!(world.n_calls(), 1);
    let reading = world.client.members_by_id(&acme, &[], within(5));
    assert_eq!(reading.await.unwrap(), []);
    assert_eq!(world.n_calls(), 1);
}

#[tokio::test]
async fn a_walk_over_memberships_survives_a_rate_limit() {
    let world = World::new().await;
    let acme = world.acme();
    world
        .emulator
        .seed_silently_members(acme.as_str(), PAGE_LEN, "org:member");
    let list = MembershipList::OfOrganization(acme);
    let mut pages = world.client.all_memberships(list, 0);
    world.emulator.fault(Fault::rate_limited(1).once());
    let start = Instant::now();
    let first = pages.next_page(within(10)).await.unwrap().unwrap();
    assert!(start.elapsed() >= Duration::from_secs(1));
    assert_eq!(first.total_count, PAGE_LEN as u64 + 1);
    assert_eq!(pages.position(), Some(500));

    world.emulator.fault(Fault::rate_limited(60).once());
    let error = pages.next_page(within(5)).await.unwrap_err();
    assert_eq!(error.retry_after(), Some(Duration::from_mins(1)));
    assert_eq!(pages.position(), Some(500));
    let second = pages.next_page(within(10)).await.unwrap().unwrap();
    assert_eq!(second.data.len(), 1);
    assert!(!first.data.contains(&second.data[0]));
    assert_eq!(pages.position(), None);
    assert_eq!(world.n_calls(), 4);
}

#[tokio::test]
async fn a_role_change_that_may_be_done_is_said_to_be_in_doubt() {
    let world = World::new().await;
    let acme = world.acme();
    let once = Budget::once(Duration::from_secs(5));
    world.emulator.fault(Fault::drop_answer().once());
    let change = world
        .client
        .update_membership(&acme, &world.ada, "org:member", once);
    let error = change.await.unwrap_err();
    assert!(error.is_outcome_unknown(), "{error:?}");

    // The same again does no harm.
    world.emulator.fault(Fault::drop_answer().once());
    let change = world
        .client
        .update_membership(&acme, &world.ada, "org:member", within(5));
    assert_eq!(change.await.unwrap().role, "org:member");
    assert_eq!(world.n_calls(), 3);
}
