//! Attempts against receivers that answer in every way.

use std::time::Duration;

use axum::Router;
use axum::routing::post;
use http::StatusCode;

use super::super::queue::{Job, Outcome};
use super::{attempt, client};

async fn receiver() -> String {
    let app = Router::new()
        .route("/taken", post(async || StatusCode::NO_CONTENT))
        .route(
            "/moved",
            post(async || (StatusCode::FOUND, [("location", "/taken")])),
        )
        .route("/broken", post(async || StatusCode::INTERNAL_SERVER_ERROR))
        .route(
            "/never",
            post(async || (StatusCode::GONE, [("webhook-delivery", "abort-message")])),
        )
        .route(
            "/slow",
            post(async || tokio::time::sleep(Duration::from_secs(5)).await),
        );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    url
}

#[tokio::test]
async fn only_success_in_time_counts() {
    let url = receiver().await;
    let http = client(Duration::from_millis(500)).unwrap();
    for (path, status, expected) in [
        ("/taken", Some(204), Outcome::Taken),
        ("/moved", Some(302), Outcome::Refused),
        ("/broken", Some(500), Outcome::Refused),
        ("/never", Some(410), Outcome::Aborted),
        ("/slow", None, Outcome::Refused),
    ] {
        let job = Job {
            message_id: "msg_1".to_owned(),
            endpoint_id: "ep_1".to_owned(),
            url: format!("{url}{path}"),
            secret: "whsec_AAAA".to_owned(),
            body: "{}".to_owned(),
        };
        let (made, outcome) = attempt(&http, &job).await;
        assert_eq!((made.status, outcome), (status, expected), "{path}");
        assert_eq!(made.is_success, expected == Outcome::Taken, "{path}");
    }
}
