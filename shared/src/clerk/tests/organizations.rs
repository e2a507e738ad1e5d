//! Organizations and memberships: what is read, and what goes over the wire.

use super::retries::{Reply, Server, ada, within};
use super::*;
use crate::ids::ClerkOrganizationId;

const ACME: Reply = Reply::Answer(200, "", r#"{"id": "org_1", "name": "Acme"}"#);
const MEMBERSHIP: Reply = Reply::Answer(
    200,
    "",
    r#"{"id": "orgmem_1", "role": "org:admin", "organization": {"id": "org_1"}}"#,
);
const NOBODY: Reply = Reply::Answer(200, "", r#"{"data": [], "total_count": 0}"#);

fn acme() -> ClerkOrganizationId {
    "org_1".parse().unwrap()
}

fn bag() -> Map<String, Value> {
    Map::from_iter([("plan".to_owned(), json!(null))])
}

/// So many users who do not exist anywhere.
fn strangers(n: usize) -> Vec<ClerkUserId> {
    (0..n)
        .map(|i| format!("user_{i}").parse().unwrap())
        .collect()
}

/// A page with so many memberships of a list with so many.
fn page(n_memberships: usize, total_count: u64) -> Reply {
    let memberships: Vec<Value> = (0..n_memberships)
        .map(|i| json!({"id": format!("orgmem_{i}"), "organization": {"id": "org_1"}}))
        .collect();
    let body = json!({"data": memberships, "total_count": total_count});
    Reply::Answer(200, "", body.to_string().leak())
}

/// The method and the path of each request so far.
pub(super) fn targets(server: &Server) -> Vec<String> {
    let requests = server.requests.lock().unwrap();
    requests
        .iter()
        .map(|request| request.split(" HTTP/1.1").next().unwrap().to_owned())
        .collect()
}

/// The method, the path and the body of the one request so far.
pub(super) fn only_request(server: &Server) -> (String, String) {
    let target = targets(server).remove(0);
    let request = server.requests.lock().unwrap().remove(0);
    let (_, body) = request.split_once("\r\n\r\n").unwrap();
    (target, body.to_owned())
}

#[test]
fn organizations_and_memberships_of_any_age_are_read() {
    let membership: OrganizationMembership = serde_json::from_value(json!({
        "id": "orgmem_1", "object": "organization_membership", "role": "basic_member",
        "organization": {
            "id": "org_1", "object": "organization", "name": "Acme", "logo_url": null,
            "public_metadata": null, "updated_at": 1_654_013_202_977_i64,
        },
        "public_user_data": {"user_id": "user_1", "identifier": "ada@example.org"},
        "created_at": 1_654_013_203,
    }))
    .unwrap();
    assert_eq!(membership.role, "basic_member");
    assert_eq!(membership.permissions, [""; 0]);
    assert_eq!(membership.created_at, Some(1_654_013_203_000));
    assert_eq!(membership.updated_at, None);
    assert_eq!(membership.organization.name, "Acme");
    assert_eq!(membership.organization.slug, None);
    assert_eq!(membership.organization.updated_at, Some(1_654_013_202_977));
    assert_eq!(
        membership.public_user_data.unwrap().user_id.as_str(),
        "user_1"
    );
}

#[test]
fn a_membership_may_lack_nearly_everything() {
    let read = |json: Value| serde_json::from_value::<OrganizationMembership>(json);
    let organization = json!({"id": "org_1"});
    let bare = read(json!({"id": "orgmem_1", "organization": organization})).unwrap();
    let nulls = read(json!({
        "id": "orgmem_1", "role": null, "permissions": null, "public_metadata": null,
        "private_metadata": null, "public_user_data": null, "created_at": null,
        "updated_at": null, "organization": {
            "id": "org_1", "name": null, "slug": null, "image_url": null, "created_by": null,
            "max_allowed_memberships": null, "public_metadata": null, "private_metadata": null,
            "created_at": null, "updated_at": null,
        },
    }))
    .unwrap();
    assert_eq!(bare, nulls);
    assert_eq!(bare.public_user_data, None);
    assert_eq!(bare.organization.id, acme());
    for bad in [
        json!({"organization": organization}),
        json!({"id": "org_1", "organization": organization}),
        json!({"id": "orgmem_1"}),
        json!({"id": "orgmem_1", "organization": {"id": "orgmem_1"}}),
        json!({"id": "orgmem_1", "organization": organization, "public_user_data": {}}),
        json!({"id": "orgmem_1", "organization": organization, "updated_at": "soon"}),
    ] {
        assert!(read(bad.clone()).is_err(), "{bad}");
    }
}

#[test]
fn a_list_that_cannot_be_read_is_not_an_empty_one() {
    let read = |json: Value| {
        let page = serde_json::from_value::<Page<OrganizationMembership>>(json).ok()?;
        Some((page.data.len(), page.total_count))
    };
    let member = json!({"id": "orgmem_1", "organization": {"id": "org_1"}});
    assert_eq!(
        read(json!({"data": [member], "total_count": 7, "more": true})),
        Some((1, 7))
    );
    assert_eq!(read(json!({"data": null, "total_count": 0})), Some((0, 0)));
    for bad in [
        json!({}),
        json!({"total_count": 0}),
        json!({"data": []}),
        json!({"data": [], "total_count": null}),
        json!({"data": {}, "total_count": 0}),
        json!([member]),
    ] {
        assert_eq!(read(bad.clone()), None, "{bad}");
    }
}

#[tokio::test]
async fn each_list_has_its_address() {
    let check = async |list: MembershipList, expected: &str| {
        let server = Server::start(&[NOBODY]);
        let client = server.client();
        let page = client.memberships(&list, 1500, within(5)).await.unwrap();
        assert_eq!(page.data, []);
        assert_eq!(targets(&server), [expected]);
    };
    check(
        MembershipList::OfUser(ada()),
        "GET /v1/users/user_1/organization_memberships?limit=500&offset=1500",
    )
    .await;
    check(
        MembershipList::OfOrganization(acme()),
        "GET /v1/organizations/org_1/memberships?limit=500&offset=1500&order_by=%2Bcreated_at",
    )
    .await;
}

#[tokio::test]
async fn an_organization_is_read_changed_and_deleted() {
    let server = Server::start(&[ACME]);
    let client = server.client();
    let (acme, bag) = (acme(), bag());
    let read = client.organization(&acme, within(5)).await.unwrap();
    assert_eq!((read.id.as_str(), read.name.as_str()), ("org_1", "Acme"));
    let expected = ("GET /v1/organizations/org_1".to_owned(), String::new());
    assert_eq!(only_request(&server), expected);

    let merge = client.merge_organization_metadata(&acme, &bag, within(5));
    assert_eq!(merge.await.unwrap().id, acme);
    let (target, body) = only_request(&server);
    assert_eq!(target, "PATCH /v1/organizations/org_1/metadata");
    assert_eq!(body, r#"{"public_metadata":{"plan":null}}"#);

    let deletion = client.delete_organization(&acme, within(5));
    assert_eq!(deletion.await.unwrap().id.as_deref(), Some("org_1"));
    let expected = ("DELETE /v1/organizations/org_1".to_owned(), String::new());
    assert_eq!(only_request(&server), expected);
}

#[tokio::test]
async fn a_membership_is_made_changed_and_deleted() {
    let server = Server::start(&[MEMBERSHIP]);
    let client = server.client();
    let (acme, ada) = (acme(), ada());
    let path = "/v1/organizations/org_1/memberships/user_1";

    let creation = client.create_membership(&acme, &ada, "org:admin", within(5));
    assert_eq!(creation.await.unwrap().role, "org:admin");
    let (target, body) = only_request(&server);
    assert_eq!(target, "POST /v1/organizations/org_1/memberships");
    assert_eq!(body, r#"{"user_id":"user_1","role":"org:admin"}"#);

    let change = client.update_membership(&acme, &ada, "org:admin", within(5));
    assert_eq!(change.await.unwrap().role, "org:admin");
    let (target, body) = only_request(&server);
    assert_eq!(target, format!("PATCH {path}"));
    assert_eq!(body, r#"{"role":"org:admin"}"#);

    let bag = bag();
    let merge = client.merge_membership_metadata(&acme, &ada, &bag, within(5));
    merge.await.unwrap();
    let (target, body) = only_request(&server);
    assert_eq!(target, format!("PATCH {path}/metadata"));
    assert_eq!(body, r#"{"public_metadata":{"plan":null}}"#);

    let deletion = client.delete_membership(&acme, &ada, within(5));
    assert_eq!(deletion.await.unwrap().id.as_str(), "orgmem_1");
    let expected = (format!("DELETE {path}"), String::new());
    assert_eq!(only_request(&server), expected);
}

#[tokio::test]
async fn ids_are_asked_for_a_hundred_at_once() {
    let users = Server::start(&[Reply::Answer(200, "", "[]")]);
    let members = Server::start(&[NOBODY]);
    for (n, n_calls) in [(0, 0), (1, 1), (IDS_AT_ONCE, 1), (IDS_AT_ONCE + 1, 2)] {
        let ids = strangers(n);
        let found = users.client().users_by_id(&ids, within(5)).await.unwrap();
        assert_eq!(found, []);
        let client = members.client();
        let found = client.members_by_id(&acme(), &ids, within(5)).await;
        assert_eq!(found.unwrap(), []);

        for (server, path) in [
            (&users, "GET /v1/users"),
            (&members, "GET /v1/organizations/org_1/memberships"),
        ] {
            let targets = targets(server);
            assert_eq!(targets.len(), n_calls, "{n}");
            let asked: Vec<String> = targets
                .iter()
                .flat_map(|target| {
                    let ids = target.strip_prefix(path).unwrap();
                    let ids = ids.strip_prefix("?limit=100&user_id=").unwrap();
                    ids.split("&user_id=")
                })
                .map(str::to_owned)
                .collect();
            let expected: Vec<&str> = ids.iter().map(ClerkUserId::as_str).collect();
            assert_eq!(asked, expected, "{n}");
            server.requests.lock().unwrap().clear();
        }
    }
}

#[tokio::test]
async fn a_walk_over_memberships_ends_with_the_list() {
    let check = async |script: &[Reply], expected: &[usize]| {
        let server = Server::start(script);
        let client = server.client();
        let mut pages = client.all_memberships(MembershipList::OfOrganization(acme()), 0);
        let mut lens = Vec::new();
        while let Some(page) = pages.next_page(within(5)).await.unwrap() {
            lens.push(page.data.len());
            assert!(lens.len() <= expected.len(), "{lens:?}");
        }
        assert_eq!(lens, expected);
        assert_eq!(pages.position(), None);
        assert_eq!(pages.next_page(within(5)).await.unwrap(), None);
        assert_eq!(server.n_requests(), expected.len());
    };
    check(&[page(0, 0)], &[0]).await;
    check(&[page(2, 2)], &[2]).await;
    check(&[page(500, 500)], &[500]).await;
    check(&[page(500, 501), page(1, 501)], &[500, 1]).await;
    check(&[page(500, 1000), page(500, 1000)], &[500, 500]).await;
    // Others come and go meanwhile.
    check(&[page(500, 501), page(0, 500)], &[500, 0]).await;
    check(&[page(499, 700)], &[499]).await;
}

#[tokio::test]
async fn a_walk_over_memberships_goes_on_where_it_stopped() {
    let trouble = Reply::Answer(500, "", "");
    let server = Server::start(&[page(500, 1001), trouble, page(1, 1001)]);
    let client = server.client();
    let once = || Budget::once(Duration::from_secs(5));
    let mut pages = client.all_memberships(MembershipList::OfUser(ada()), 500);
    assert_eq!(pages.position(), Some(500));
    pages.next_page(once()).await.unwrap();
    assert_eq!(pages.position(), Some(1000));
    pages.next_page(once()).await.unwrap_err();
    assert_eq!(pages.position(), Some(1000));
    pages.next_page(once()).await.unwrap();
    assert_eq!(pages.position(), None);
    let offsets: Vec<String> = targets(&server)
        .iter()
        .map(|target| target.rsplit_once("offset=").unwrap().1.to_owned())
        .collect();
    assert_eq!(offsets, ["500", "1000", "1000"]);
}
