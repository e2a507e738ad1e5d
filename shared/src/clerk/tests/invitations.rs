//! Invitations and addresses: what goes over the wire.

use super::organizations::{only_request, targets};
use super::retries::{Reply, Server, within};
use super::*;

const REVOKED: Reply = Reply::Answer(
    200,
    "",
    r#"{"id": "inv_1", "email_address": "ada@example.org", "status": "revoked", "revoked": true}"#,
);
const NONE: Reply = Reply::Answer(200, "", "[]");

#[tokio::test]
async fn invitations_are_asked_for_by_text_and_status() {
    let check = async |query: &str, status: Option<&str>, expected: &str| {
        let server = Server::start(&[NONE]);
        let client = server.client();
        let found = client.invitations(query, status, within(5)).await.unwrap();
        assert_eq!(found, []);
        let target = format!("GET /v1/invitations?limit=500&query={expected}");
        assert_eq!(only_request(&server), (target, String::new()));
    };
    check("inv_1", None, "inv_1").await;
    check(
        "ada+1@example.org",
        Some("pending"),
        "ada%2B1%40example.org&status=pending",
    )
    .await;
    check("a&status=revoked", None, "a%26status%3Drevoked").await;
}

#[tokio::test]
async fn users_are_asked_for_by_address() {
    let server = Server::start(&[NONE]);
    let client = server.client();
    let reading = client.users_by_email("ada+1@example.org", within(5));
    assert_eq!(reading.await.unwrap(), []);
    let expected = "GET /v1/users?limit=500&email_address=ada%2B1%40example.org";
    assert_eq!(only_request(&server), (expected.to_owned(), String::new()));
}

#[tokio::test]
async fn an_invitation_is_revoked_with_an_empty_post() {
    let server = Server::start(&[REVOKED]);
    let client = server.client();
    let revocation = client.revoke_invitation("inv_1", within(5));
    assert_eq!(revocation.await.unwrap().status, "revoked");
    let request = server.requests.lock().unwrap().remove(0);
    let lines: Vec<&str> = request.lines().collect();
    assert_eq!(lines[0], "POST /v1/invitations/inv_1/revoke HTTP/1.1");
    assert!(
        lines.contains(&"content-type: application/json"),
        "{request}"
    );
    assert!(lines.contains(&"content-length: 0"), "{request}");
    assert!(request.ends_with("\r\n\r\n"), "{request}");
}

#[tokio::test]
async fn what_cannot_be_an_invitation_is_not_asked_about() {
    let server = Server::start(&[REVOKED]);
    let client = server.client();
    for id in [
        "",
        ".",
        "..",
        "inv_1/../../users/user_1",
        "inv_1?a=b",
        "inv_1#",
        "inv_%31",
        "inv_1 ",
        "inv-1",
        "\u{ef}nv_1",
    ] {
        let error = client.revoke_invitation(id, within(5)).await.unwrap_err();
        assert!(matches!(error, Error::NotFound { .. }), "{id}: {error:?}");
    }
    assert_eq!(targets(&server), [""; 0]);
}
