//! `GET /api/health`.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::net::TcpListener;

use crate::support::TestApp;
use crate::support::database::Database;
use crate::support::gateway::{Answer, Call};

async fn health(app: &TestApp) -> Answer {
    app.call_admin_sync(&Call::new("GET", "/api/health")).await
}

#[tokio::test]
async fn anybody_may_ask_whether_all_is_well_and_is_told_nothing_more() {
    let app = TestApp::new().await;
    let answer = health(&app).await;
    let well = json!({ "database": "ok", "migrations": "current" });
    assert_eq!((answer.status, answer.body), (200, well));
    let native = Call::new("GET", "/.netlify/functions/admin-sync/health");
    assert_eq!(app.call_admin_sync(&native).await.status, 200);
    app.finish().await;
}

#[tokio::test]
async fn a_migration_that_is_yet_to_be_applied_is_told() {
    let app = TestApp::new().await;
    app.execute(
        "delete from refinery_schema_history
        where version = (select max(version) from refinery_schema_history)",
    )
    .await;
    let answer = health(&app).await;
    let pending = json!({ "database": "ok", "migrations": "pending" });
    assert_eq!((answer.status, &answer.body), (503, &pending));
    app.execute("drop table refinery_schema_history").await;
    let answer = health(&app).await;
    assert_eq!((answer.status, answer.body), (503, pending));
    app.database.remove().await;
}

/// The functions of the version before still run.
#[tokio::test]
async fn a_database_that_is_ahead_of_us_is_well() {
    let app = TestApp::new().await;
    app.execute(
        "insert into refinery_schema_history (version, name, applied_on, checksum)
        select max(version) + 1, 'later', now()::text, '1' from refinery_schema_history",
    )
    .await;
    assert_eq!(health(&app).await.status, 200);
    app.database.remove().await;
}

#[tokio::test]
async fn who_may_not_look_at_the_migrations_does_not_know() {
    let app = TestApp::new().await;
    let role = format!("role_{}", uuid::Uuid::new_v4().simple());
    app.execute(&format!("create role {role} login")).await;
    let url = app.database.url.replace("//app@", &format!("//{role}@"));
    assert_ne!(url, app.database.url, "another user");
    let other = TestApp::at(app.database.clone(), &url, &[]).await;
    let answer = health(&other).await;
    let unknown = json!({ "database": "ok", "migrations": "unknown" });
    assert_eq!((answer.status, answer.body), (503, unknown));
    drop(other);
    app.execute(&format!("drop role {role}")).await;
    app.database.remove().await;
}

#[tokio::test]
async fn a_database_that_is_away_is_503_and_is_told_of_soon() {
    let away = json!({ "database": "unavailable", "migrations": "unknown" });
    // Somebody listens, and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = format!("postgres://app@{}/none", silent.local_addr().unwrap());
    for url in ["postgres://app@127.0.0.1:1/none", &silent, ""] {
        let app = TestApp::at(Database::new().await, url, &[]).await;
        let asked_at = Instant::now();
        let answer = health(&app).await;
        assert_eq!((answer.status, &answer.body), (503, &away), "{url}");
        assert!(asked_at.elapsed() < Duration::from_secs(4), "{url}");
        app.database.remove().await;
    }
}
