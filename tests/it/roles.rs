//! Roles in both directions, end to end.

use serde_json::json;

use crate::support::TestApp;

#[tokio::test]
async fn a_role_set_in_clerk_arrives_here() {
    let app = TestApp::new().await;
    let ada = app.user("ada", Some("STUDENT")).await;
    app.clerk.set_role(&ada, "INSTRUCTOR");
    assert_eq!(app.deliver_all().await, ["applied"]);
    assert_eq!(app.role(&ada).await, "INSTRUCTOR");
    app.finish().await;
}

#[tokio::test]
async fn a_role_set_here_arrives_in_clerk() {
    let app = TestApp::new().await;
    let admin = app.admin("grace").await;
    let ada = app.user("ada", Some("STUDENT")).await;
    let answer = app
        .set_role(&admin, &ada, json!({ "role": "INSTRUCTOR" }))
        .await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(answer.body["clerkSync"], "synced");
    assert_eq!(answer.body["user"]["role"], "INSTRUCTOR");
    assert_eq!(app.clerk_role(&ada), "INSTRUCTOR");
    assert_eq!(app.role(&ada).await, "INSTRUCTOR");
    app.finish().await;
}
