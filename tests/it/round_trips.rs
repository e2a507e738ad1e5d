//! How often a request waits for the database: counted by a proxy between the two.

use std::time::Duration;

use serde_json::{Value, json};
use tokio_postgres::{Client, NoTls};

use crate::support::TestApp;
use crate::support::database::Database;
use crate::support::gateway::{Answer, Call};
use crate::support::proxy::Proxy;

/// The functions behind the proxy, with their connections made.
async fn counted() -> (TestApp, Proxy, String) {
    let database = Database::new().await;
    let proxy = Proxy::in_front_of(&database.url).await;
    let app = TestApp::at(database, &proxy.url, &[]).await;
    let admin = app.admin("grace").await;
    assert_eq!(app.get(&admin, "/api/admin/statistics").await.status, 200);
    let call = Call::new("PATCH", "/api/admin/users/user_nobody")
        .token(&app.clerk.session_token(&admin))
        .json(&json!({ "role": "STUDENT" }));
    assert_eq!(app.call_update_role(&call).await.status, 404);
    (app, proxy, admin)
}

/// The proxy sees what it shall count.
#[tokio::test]
async fn the_proxy_counts_statements_one_after_the_other_and_not_side_by_side() {
    let database = Database::new().await;
    let proxy = Proxy::in_front_of(&database.url).await;
    let behind = connect(&proxy.url).await;
    let one = || behind.batch_execute("select 1");
    let ((), n_one_by_one) = proxy
        .count(async {
            for _ in 0..3 {
                one().await.unwrap();
            }
        })
        .await;
    assert_eq!(n_one_by_one, 3);
    let (results, n_at_once) = proxy
        .count(async { tokio::join!(one(), one(), one()) })
        .await;
    assert!(results.0.is_ok() && results.1.is_ok() && results.2.is_ok());
    assert_eq!(n_at_once, 1);
    database.remove().await;
}

async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// What is on its way delivers with so many round trips, and with this outcome.
async fn delivered(app: &TestApp, proxy: &Proxy) -> (usize, Value) {
    let message = app.clerk.take_messages().pop().expect("a message");
    let (answer, n_round_trips) = proxy.count(app.deliver(&message)).await;
    (n_round_trips, answer.body["outcome"].clone())
}

#[tokio::test]
async fn a_delivery_takes_two_round_trips_and_a_duplicate_takes_one() {
    let (mut app, proxy, admin) = counted().await;
    // What follows an event is counted elsewhere.
    app.webhook.clerk = None;
    let applied = (2, json!("applied"));
    let user = app.clerk.create_user(json!({ "email": "ada@example.com" }));
    let ada = user["id"].as_str().unwrap();
    let message = app.clerk.messages().pop().unwrap();
    assert_eq!(delivered(&app, &proxy).await, applied, "a new user");
    let (answer, n_round_trips) = proxy.count(app.deliver(&message)).await;
    assert_eq!(
        (n_round_trips, &answer.body["outcome"]),
        (1, &json!("duplicate"))
    );

    app.clerk.advance(Duration::from_millis(10));
    app.clerk.update_user(ada, json!({ "first_name": "Ada" }));
    assert_eq!(delivered(&app, &proxy).await, applied, "an update");

    app.set_role(&admin, ada, json!({ "role": "ADMIN" })).await;
    assert_eq!(delivered(&app, &proxy).await, applied, "the echo of a push");

    app.clerk.advance(Duration::from_millis(10));
    app.clerk.set_role(ada, "STUDENT");
    assert_eq!(
        delivered(&app, &proxy).await,
        applied,
        "an admin who is none any more"
    );

    app.clerk.delete_user(ada);
    assert_eq!(delivered(&app, &proxy).await, applied, "an end");
    let joan = app.admin("joan").await;
    app.clerk.delete_user(&joan);
    assert_eq!(
        delivered(&app, &proxy).await,
        applied,
        "the end of an admin"
    );
    app.finish().await;
}

#[tokio::test]
async fn organizations_and_memberships_take_two_round_trips_as_well() {
    let (mut app, proxy, _) = counted().await;
    app.webhook.clerk = None;
    let ada = app.user("ada", None).await;
    let applied = (2, json!("applied"));
    let club = app.clerk.create_organization(json!({ "name": "Club" }));
    let club = club["id"].as_str().unwrap();
    assert_eq!(delivered(&app, &proxy).await, applied, "an organization");
    app.clerk.advance(Duration::from_millis(10));
    app.clerk
        .update_organization(club, json!({ "name": "Circle" }));
    assert_eq!(delivered(&app, &proxy).await, applied, "its new name");
    app.clerk.add_member(club, &ada, "org:member");
    assert_eq!(delivered(&app, &proxy).await, applied, "a member");
    app.clerk.advance(Duration::from_millis(10));
    app.clerk.set_member_role(club, &ada, "org:admin");
    assert_eq!(delivered(&app, &proxy).await, applied, "its new role");
    app.clerk.remove_member(club, &ada);
    assert_eq!(delivered(&app, &proxy).await, applied, "its end");
    app.clerk.add_member(club, &ada, "org:member");
    assert_eq!(delivered(&app, &proxy).await, applied, "once more");
    app.clerk.delete_organization(club);
    assert_eq!(delivered(&app, &proxy).await, applied, "the end of all");
    // Placeholders are made, and read again with the rest.
    let joan = app.clerk.silently(|clerk| {
        let joan = clerk.create_user(json!({ "email": "joan@example.com" }));
        clerk.create_organization(json!({ "name": "Club", "id": "org_2" }));
        joan["id"].as_str().unwrap().to_owned()
    });
    app.clerk.add_member("org_2", &joan, "org:member");
    assert_eq!(
        delivered(&app, &proxy).await,
        (4, json!("applied")),
        "before all that it hangs on"
    );
    app.finish().await;
}

/// The event as ever; then the organizations and the memberships that Clerk shows, each read and
/// written, and the end of the walk.
#[tokio::test]
async fn a_walk_over_the_organizations_of_a_user_takes_one_round_trip_or_five_more() {
    let (app, proxy, _) = counted().await;
    let user = app.clerk.create_user(json!({ "email": "ada@example.com" }));
    let ada = user["id"].as_str().unwrap();
    let walked = |n_more: usize| (2 + n_more, json!("applied"));
    assert_eq!(delivered(&app, &proxy).await, walked(1), "in none");

    app.clerk.update_user(ada, json!({ "first_name": "Ada" }));
    assert_eq!(delivered(&app, &proxy).await, walked(0), "walked just now");

    for n_organizations in [1, 2] {
        app.clerk.silently(|clerk| {
            let name = format!("Club {n_organizations}");
            clerk.create_organization(json!({ "name": name, "created_by": ada }));
        });
        app.execute("update users set organizations_confirmed_at = now() - interval '61 seconds'")
            .await;
        app.clerk.advance(Duration::from_millis(10));
        let name = json!({ "first_name": format!("Ada {n_organizations}") });
        app.clerk.update_user(ada, name);
        assert_eq!(delivered(&app, &proxy).await, walked(5), "the walk is due");
    }
    app.finish().await;
}

#[tokio::test]
async fn a_stale_delivery_takes_two_round_trips() {
    let (app, proxy, _) = counted().await;
    let ada = app.user("ada", None).await;
    app.clerk.advance(Duration::from_millis(10));
    app.clerk.update_user(&ada, json!({ "first_name": "Ada" }));
    app.clerk.advance(Duration::from_millis(10));
    app.clerk
        .update_user(&ada, json!({ "first_name": "Augusta" }));
    let [older, newer] = &app.clerk.take_messages()[..] else {
        panic!("two messages")
    };
    app.deliver(newer).await;
    let (answer, n_round_trips) = proxy.count(app.deliver(older)).await;
    assert_eq!(
        (n_round_trips, &answer.body["outcome"]),
        (2, &json!("stale"))
    );
    app.finish().await;
}

#[tokio::test]
async fn a_delivery_without_effect_takes_one_round_trip() {
    let (app, proxy, _) = counted().await;
    let event = |kind: &str, instance: &str| {
        json!({
            "object": "event", "type": kind, "instance_id": instance,
            "timestamp": 1_700_000_000_000_i64, "data": { "id": 7 },
        })
    };
    let ours = app.clerk.instance_id();
    let cases = [
        (event("session.created", ours), "ignored"),
        (event("user.updated", "ins_other"), "ignored"),
        (event("user.updated", ours), "dead"),
    ];
    for (n, (event, outcome)) in cases.iter().enumerate() {
        for outcome in [*outcome, "duplicate"] {
            let svix_id = format!("msg_{n}");
            let (answer, n_round_trips) = proxy.count(app.deliver_event(&svix_id, event)).await;
            assert_eq!(
                (n_round_trips, &answer.body["outcome"]),
                (1, &json!(outcome)),
                "{event}"
            );
        }
    }
    app.database.remove().await;
}

/// The caller, the change, Clerk's answer read against the row and written, the user as shown.
#[tokio::test]
async fn a_role_takes_five_round_trips() {
    let (app, proxy, admin) = counted().await;
    let ada = app.user("ada", Some("STUDENT")).await;
    let set = app.set_role(&admin, &ada, json!({ "role": "INSTRUCTOR" }));
    let (answer, n_round_trips) = proxy.count(set).await;
    assert_eq!(answer.body["clerkSync"], "synced");
    assert_eq!(n_round_trips, 5);

    // A role that the user has already: nothing for Clerk.
    let set = app.set_role(&admin, &ada, json!({ "role": "INSTRUCTOR" }));
    let (answer, n_round_trips) = proxy.count(set).await;
    assert_eq!(answer.status, 200);
    assert_eq!(n_round_trips, 3);

    // Clerk is away: the failure is written down instead.
    app.clerk.down();
    let set = app.set_role(&admin, &ada, json!({ "role": "ADMIN" }));
    let (answer, n_round_trips) = proxy.count(set).await;
    assert_eq!(answer.body["clerkSync"], "pending");
    assert_eq!(n_round_trips, 4);
    app.clerk.up();
    app.finish().await;
}

#[tokio::test]
async fn many_roles_take_as_many_round_trips_as_few() {
    let (app, proxy, admin) = counted().await;
    let mut users = Vec::new();
    for n in 0..110 {
        app.clerk
            .create_user(json!({ "email": format!("u{n}@example.com") }));
    }
    for message in app.clerk.messages() {
        let event: Value = serde_json::from_str(&message.body).unwrap();
        if event["type"] == "user.created" && event["data"]["id"] != json!(admin) {
            users.push(event["data"]["id"].clone());
        }
    }
    app.deliver_all().await;
    let (few, many) = users.split_at(10);
    for users in [few, many] {
        let call = Call::new("PATCH", "/api/admin/users")
            .token(&app.clerk.session_token(&admin))
            .json(&json!({ "userIds": users, "role": "INSTRUCTOR" }));
        let (answer, n_round_trips) = proxy.count(app.call_update_role(&call)).await;
        assert_eq!(n_synced(&answer), users.len(), "{}", answer.body);
        assert_eq!(n_round_trips, 4, "{} users", users.len());
    }
    app.finish().await;
}

fn n_synced(answer: &Answer) -> usize {
    let results = answer.body["results"].as_array().expect("results");
    let is_synced = |result: &&Value| result["clerkSync"] == "synced";
    results.iter().filter(is_synced).count()
}

/// The caller, and the page with its count; a user has memberships, roles and events, too.
#[tokio::test]
async fn a_read_takes_two_round_trips() {
    let (app, proxy, admin) = counted().await;
    for (path, expected) in [
        ("/api/admin/users", 2),
        ("/api/admin/users?state=banned&clerkSync=pending", 2),
        ("/api/admin/organizations", 2),
        ("/api/admin/statistics", 2),
        ("/api/admin/statistics/history", 2),
        ("/api/admin/role-changes", 2),
        (&format!("/api/admin/role-changes?userId={admin}"), 3),
        (&format!("/api/admin/users/{admin}"), 5),
    ] {
        let (answer, n_round_trips) = proxy.count(app.get(&admin, path)).await;
        assert_eq!(answer.status, 200);
        assert_eq!(n_round_trips, expected, "{path}");
    }
    let call = Call::new("GET", "/api/admin/sync/activity").token(&app.clerk.session_token(&admin));
    let connected = app.call_admin_sync(&call).await;
    let (answer, n_round_trips) = proxy.count(app.call_admin_sync(&call)).await;
    assert_eq!(answer, connected);
    assert_eq!((answer.status, n_round_trips), (200, 2));
    app.finish().await;
}
