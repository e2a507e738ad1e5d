//! How who asks is loaded: their row, the organization that they act in, and from where.

use clerk_emulator::{Emulator, Fault, Options, TokenVersion};
use futures_util::future::join_all;
use serde_json::{Value, json};
use shared::gate::Gate;
use shared::http;

use crate::support::TestApp;
use crate::support::app::settings_of;
use crate::support::database::Database;
use crate::support::gateway::{Answer, Call};
use crate::support::proxy::Proxy;

const STATUS: &str = "/api/sync/status";
const STATISTICS: &str = "/api/admin/statistics";
const MEMBER: &str = "org:member";

/// Somebody in Clerk of whom we have not heard; returns the Clerk id.
fn newcomer(clerk: &Emulator, user: Value) -> String {
    let users = clerk.seed_silently(vec![user]);
    users[0]["id"].as_str().unwrap().to_owned()
}

/// An organization in Clerk, without a webhook; returns its id.
fn unheard_of(clerk: &Emulator, by: &str) -> String {
    clerk.silently(|clerk| {
        let club = clerk.create_organization(json!({ "name": "Club", "created_by": by }));
        club["id"].as_str().unwrap().to_owned()
    })
}

/// The status route, which every user may use, at a gate of its own.
async fn ask_status(gate: &Gate, token: &str) -> Answer {
    let call = Call::new("GET", STATUS).token(token);
    let handler = |request| sync_user::handle(gate, request);
    Answer::read(&http::answer(call.event(), &handler).await)
}

impl TestApp {
    async fn status_of(&self, token: &str) -> Answer {
        ask_status(&self.sync_user, token).await
    }

    async fn statistics(&self, token: &str) -> Answer {
        let call = Call::new("GET", STATISTICS).token(token);
        self.call_admin_users(&call).await
    }

    /// The memberships, as organization, role, and whether it lives and is provisional.
    async fn memberships(&self, user: &str) -> Vec<Value> {
        let statement = "
            select jsonb_build_array(o.clerk_id, m.role, m.deleted_at is null, m.is_placeholder)
            from memberships m
            join users u on u.id = m.user_id
            join organizations o on o.id = m.organization_id
            where u.clerk_id = $1
            order by m.created_at";
        let rows = self.sql.query(statement, &[&user]).await.unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    }
}

fn code(answer: &Answer) -> (u16, &str) {
    let code = answer.body["code"].as_str().unwrap_or_default();
    (answer.status, code)
}

/// The caller; what they asked for; nothing else.
#[tokio::test]
async fn who_is_here_and_fresh_is_loaded_in_one_round_trip() {
    let database = Database::new().await;
    let proxy = Proxy::in_front_of(&database.url).await;
    let app = TestApp::at(database, &proxy.url, &[]).await;
    let grace = app.admin("grace").await;
    let ada = app.user("ada", None).await;
    let club = app
        .clerk
        .create_organization(json!({ "name": "Club", "created_by": ada }));
    let club = club["id"].as_str().unwrap();
    app.settle().await;
    let plain = app.clerk.session_token(&ada);
    let active = app.clerk.session_token_in(&ada, club);
    let admin = app.clerk.session_token(&grace);
    assert_eq!(app.status_of(&plain).await.status, 200);
    assert_eq!(app.statistics(&admin).await.status, 200);
    app.clerk.clear_requests();
    // One for the caller, one for the account that the route shows.
    for token in [&plain, &active] {
        let (answer, n_round_trips) = proxy.count(app.status_of(token)).await;
        assert_eq!((answer.status, n_round_trips), (200, 2));
    }
    let (answer, n_round_trips) = proxy.count(app.statistics(&admin)).await;
    assert_eq!((answer.status, n_round_trips), (200, 2));
    // Who is no admin is refused on the strength of the same one.
    let (answer, n_round_trips) = proxy.count(app.statistics(&active)).await;
    assert_eq!((answer.status, n_round_trips), (403, 1));
    assert_eq!(app.clerk.requests().len(), 0, "Clerk is not asked");
    app.finish().await;
}

#[tokio::test]
async fn the_first_request_of_a_user_makes_the_row() {
    let app = TestApp::new().await;
    let user = json!({
        "email": "ada@example.com", "first_name": "Ada",
        "public_metadata": { "role": "INSTRUCTOR" },
    });
    let ada = newcomer(&app.clerk, user);
    let answer = app.status_of(&app.clerk.session_token(&ada)).await;
    let user = &answer.body["user"];
    assert_eq!(
        (answer.status, &user["email"], &user["role"]),
        (200, &json!("ada@example.com"), &json!("INSTRUCTOR"))
    );
    assert_eq!(user["isPlaceholder"], false);
    app.assert_equal().await;
    app.finish().await;
}

#[tokio::test]
async fn ten_first_requests_at_once_make_one_row() {
    let app = TestApp::new().await;
    let ada = newcomer(&app.clerk, json!({ "email": "ada@example.com" }));
    let club = unheard_of(&app.clerk, &ada);
    let token = app.clerk.session_token_in(&ada, &club);
    let settings = settings_of(&app.clerk, &app.database.url, &[]);
    let gates: Vec<_> = (0..10).map(|_| Gate::from_settings(&settings)).collect();
    let asked = gates.iter().map(|gate| Box::pin(ask_status(gate, &token)));
    for answer in join_all(asked).await {
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert_eq!(answer.body["memberships"][0]["clerkOrgId"], json!(club));
    }
    for table in ["users", "organizations", "memberships"] {
        assert_eq!(app.count(table).await, 1, "{table}");
    }
    app.assert_equal().await;
    app.finish().await;
}

/// The same while Clerk is away: one temporary row of each.
#[tokio::test]
async fn ten_first_requests_at_once_without_clerk_make_one_temporary_row() {
    let app = TestApp::new().await;
    let ada = newcomer(&app.clerk, json!({ "email": "ada@example.com" }));
    let club = unheard_of(&app.clerk, &ada);
    let token = app.clerk.session_token_in(&ada, &club);
    app.clerk.down();
    let settings = settings_of(&app.clerk, &app.database.url, &[]);
    let gates: Vec<_> = (0..10).map(|_| Gate::from_settings(&settings)).collect();
    let asked = gates.iter().map(|gate| Box::pin(ask_status(gate, &token)));
    for answer in join_all(asked).await {
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert_eq!(answer.body["user"]["isPlaceholder"], true);
    }
    for table in ["users", "organizations", "memberships"] {
        assert_eq!(app.count(table).await, 1, "{table}");
    }
    app.clerk.up();
    app.finish().await;
}

#[tokio::test]
async fn a_row_without_an_account_is_adopted_by_its_verified_address_only() {
    for (is_verified, n_rows) in [(true, 1), (false, 2)] {
        let app = TestApp::new().await;
        app.execute(
            "insert into users (email, role, builder_group_id)
            values ('ada@example.com', 'INSTRUCTOR', 'g1')",
        )
        .await;
        let user = json!({ "email": "ada@example.com", "verified": is_verified });
        let ada = newcomer(&app.clerk, user);
        let answer = app.status_of(&app.clerk.session_token(&ada)).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert_eq!(app.count("users").await, n_rows);
        let user = &answer.body["user"];
        let (role, group) = if is_verified {
            ("INSTRUCTOR", json!("g1"))
        } else {
            ("STUDENT", Value::Null)
        };
        assert_eq!(
            (&user["role"], &user["builderGroupId"]),
            (&json!(role), &group)
        );
        app.settle().await;
        app.assert_equal().await;
        app.finish().await;
    }
}

/// A temporary row and one without an account become one when Clerk tells the address.
#[tokio::test]
async fn a_temporary_row_is_taken_up_by_the_row_that_the_user_had_before() {
    let app = TestApp::new().await;
    app.execute("insert into users (email, role) values ('ada@example.com', 'INSTRUCTOR')")
        .await;
    let ada = newcomer(&app.clerk, json!({ "email": "ada@example.com" }));
    // What the temporary row owes, the other one owes then: nobody tells of this.
    unheard_of(&app.clerk, &ada);
    let token = app.clerk.session_token(&ada);
    app.clerk.down();
    let answer = app.status_of(&token).await;
    assert_eq!(answer.body["user"]["isPlaceholder"], true);
    app.clerk.up();
    let answer = app.status_of(&token).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(answer.body["user"]["role"], "INSTRUCTOR");
    assert_eq!(app.count("users").await, 1);
    app.finish().await;
}

/// How somebody comes to be refused, and as what.
type Ends = (&'static str, fn(&Emulator, &str), &'static str);

#[tokio::test]
async fn who_may_not_sign_in_is_refused_also_when_we_learn_it_only_now() {
    let ends: [Ends; 2] = [
        (
            "banned",
            |clerk, id| drop(clerk.update_user(id, json!({ "banned": true }))),
            "user_disabled",
        ),
        ("deleted", |clerk, id| clerk.delete_user(id), "user_deleted"),
    ];
    for (name, end, expected) in ends {
        let app = TestApp::new().await;
        let user = app.admin(name).await;
        let token = app.clerk.session_token(&user);
        assert_eq!(app.status_of(&token).await.status, 200);
        assert_eq!(app.statistics(&token).await.status, 200);
        end(&app.clerk, &user);
        app.deliver_all().await;
        assert_eq!(
            code(&app.status_of(&token).await),
            (403, expected),
            "{name}"
        );
        assert_eq!(
            code(&app.statistics(&token).await),
            (403, expected),
            "{name}"
        );
        let call = Call::new("POST", "/api/sync/user").token(&token);
        let answer = app.call_sync_user(&call).await;
        assert_eq!(code(&answer), (403, expected), "{name}");
        app.finish().await;
    }
    // No event told of it, and the row is not fresh.
    let app = TestApp::with(&[("ADMIN_FRESHNESS_SECONDS", "0")]).await;
    let user = app.admin("banned").await;
    let token = app.clerk.session_token(&user);
    app.clerk
        .silently(|clerk| clerk.update_user(&user, json!({ "banned": true })));
    assert_eq!(code(&app.status_of(&token).await), (403, "user_disabled"));
    assert_eq!(code(&app.statistics(&token).await), (403, "user_disabled"));
    app.finish().await;
}

#[tokio::test]
async fn who_was_taken_away_by_a_directory_is_refused() {
    let app = TestApp::new().await;
    let ada = app.admin("ada").await;
    app.execute("update users set deprovisioned = true").await;
    let token = app.clerk.session_token(&ada);
    assert_eq!(code(&app.status_of(&token).await), (403, "user_disabled"));
    assert_eq!(code(&app.statistics(&token).await), (403, "user_disabled"));
    app.database.remove().await;
}

/// The rows of a table are believed for sixty seconds; then Clerk is asked, once.
async fn check_sixty_seconds(app: &TestApp, table: &str, ask: impl AsyncFn() -> Answer) {
    for (age, n_asked) in [(50, 0), (70, 1), (0, 0)] {
        if age > 0 {
            let statement =
                format!("update {table} set confirmed_at = now() - interval '{age} seconds'");
            app.execute(&statement).await;
        }
        app.clerk.clear_requests();
        assert_eq!(ask().await.status, 200);
        assert_eq!(app.clerk.requests().len(), n_asked, "{age} s");
    }
}

/// The row is fresh enough to be believed for as long as the setting says.
#[tokio::test]
async fn a_row_is_confirmed_when_it_is_older_than_the_setting_says() {
    let app = TestApp::with(&[("ADMIN_FRESHNESS_SECONDS", "60")]).await;
    let ada = app.admin("ada").await;
    let token = app.clerk.session_token(&ada);
    let ask = async || app.statistics(&token).await;
    check_sixty_seconds(&app, "users", ask).await;
    // A demotion that no event told of is seen then.
    app.execute("update users set confirmed_at = now() - interval '70 seconds'")
        .await;
    app.clerk.silently(|clerk| clerk.set_role(&ada, "STUDENT"));
    assert_eq!(code(&app.statistics(&token).await), (403, "admin_required"));
    app.finish().await;
}

/// The same for the membership of the organization that the session is active in.
#[tokio::test]
async fn a_membership_is_confirmed_when_it_is_older_than_the_setting_says() {
    let app = TestApp::with(&[("ADMIN_FRESHNESS_SECONDS", "60")]).await;
    let ada = app.user("ada", None).await;
    let bob = app.user("bob", None).await;
    let club = unheard_of(&app.clerk, &ada);
    app.clerk.add_member(&club, &bob, MEMBER);
    app.deliver_all().await;
    let token = app.clerk.session_token_in(&bob, &club);
    assert_eq!(app.status_of(&token).await.status, 200);
    let ask = async || app.status_of(&token).await;
    check_sixty_seconds(&app, "memberships", ask).await;
    // An end that no event told of is seen then.
    app.execute("update memberships set confirmed_at = now() - interval '70 seconds'")
        .await;
    app.clerk.silently(|clerk| clerk.remove_member(&club, &bob));
    let answer = app.status_of(&token).await;
    assert_eq!(answer.body["memberships"], json!([]));
    // Ada's own membership was never told of.
    assert_eq!(app.sync(&ada, "user").await.status, 200);
    app.finish().await;
}

#[tokio::test]
async fn who_is_unknown_to_clerk_is_a_student_for_the_time_being_and_never_an_admin() {
    let app = TestApp::new().await;
    let claims = app.clerk.token_claims("user_nobody");
    let token = app.clerk.sign_jwt(app.clerk.token_header(), claims);
    for _ in 0..2 {
        let answer = app.status_of(&token).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        let user = &answer.body["user"];
        assert_eq!(
            (&user["isPlaceholder"], &user["role"], &user["email"]),
            (&json!(true), &json!("STUDENT"), &Value::Null)
        );
    }
    assert_eq!(app.count("users").await, 1);
    assert_eq!(code(&app.statistics(&token).await), (403, "admin_required"));
    // Not even if somebody made an admin of the row.
    app.execute("update users set role = 'ADMIN'").await;
    assert_eq!(code(&app.statistics(&token).await), (403, "admin_required"));
    app.execute("update users set is_placeholder = false, confirmed_at = null")
        .await;
    assert_eq!(code(&app.statistics(&token).await), (403, "admin_required"));
    app.database.remove().await;
}

#[tokio::test]
async fn the_row_stands_while_clerk_is_away_and_else_a_temporary_one_is_made() {
    let faults = [
        Fault::status(500),
        Fault::rate_limited(60),
        Fault::drop(),
        Fault::refusal(401, "clerk_key_invalid"),
    ];
    for fault in faults {
        let app = TestApp::with(&[("ADMIN_FRESHNESS_SECONDS", "0")]).await;
        let grace = app.admin("grace").await;
        let ada = newcomer(
            &app.clerk,
            json!({ "email": "ada@example.com", "role": "ADMIN" }),
        );
        app.clerk.fault(fault.clone());
        let token = app.clerk.session_token(&grace);
        assert_eq!(app.statistics(&token).await.status, 200, "{fault:?}");
        let token = app.clerk.session_token(&ada);
        let answer = app.status_of(&token).await;
        let user = &answer.body["user"];
        assert_eq!((answer.status, &user["isPlaceholder"]), (200, &json!(true)));
        assert_eq!(user["role"], "STUDENT");
        assert_eq!(code(&app.statistics(&token).await), (403, "admin_required"));
        app.clerk.clear_faults();
        // The next real information replaces it.
        assert_eq!(app.statistics(&token).await.status, 200, "{fault:?}");
        assert_eq!(app.row(&ada).await["is_placeholder"], false);
        app.finish().await;
    }
}

/// Both versions of the claims name the organization.
#[tokio::test]
async fn the_organization_of_the_session_is_made_on_first_sight() {
    for version in [TokenVersion::V1, TokenVersion::V2] {
        let app = TestApp::new().await;
        // Another emulator with the other claims, and the same users.
        let options = Options {
            token_version: version,
            ..Options::default()
        };
        let clerk = Emulator::start(options).await.unwrap();
        let gate = Gate::from_settings(&settings_of(&clerk, &app.database.url, &[]));
        let ada = newcomer(&clerk, json!({ "email": "ada@example.com" }));
        let club = unheard_of(&clerk, &ada);
        let bob = newcomer(&clerk, json!({ "email": "bob@example.com" }));
        clerk.silently(|clerk| clerk.add_member(&club, &bob, MEMBER));
        for (user, role) in [(&ada, "org:admin"), (&bob, MEMBER)] {
            let answer = ask_status(&gate, &clerk.session_token_in(user, &club)).await;
            assert_eq!(answer.status, 200, "{}", answer.body);
            assert_eq!(answer.body["organizations"][0]["name"], "Club");
            assert_eq!(answer.body["organizations"][0]["isPlaceholder"], false);
            assert_eq!(answer.body["memberships"][0]["role"], role, "{version:?}");
            assert_eq!(
                app.memberships(user).await,
                [json!([club, role, true, false])]
            );
        }
        clerk.clear_requests();
        ask_status(&gate, &clerk.session_token_in(&bob, &club)).await;
        assert_eq!(clerk.requests().len(), 0, "it is here by now");
        app.database.remove().await;
    }
}

#[tokio::test]
async fn the_organization_of_the_session_is_provisional_while_clerk_is_away() {
    for version in [TokenVersion::V1, TokenVersion::V2] {
        let app = TestApp::new().await;
        let options = Options {
            token_version: version,
            ..Options::default()
        };
        let clerk = Emulator::start(options).await.unwrap();
        let gate = Gate::from_settings(&settings_of(&clerk, &app.database.url, &[]));
        let ada = newcomer(&clerk, json!({ "email": "ada@example.com" }));
        let club = unheard_of(&clerk, &ada);
        let token = clerk.session_token_in(&ada, &club);
        clerk.down();
        let answer = ask_status(&gate, &token).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        let organization = &answer.body["organizations"][0];
        assert_eq!(
            (&organization["isPlaceholder"], &organization["slug"]),
            (&json!(true), &json!("club")),
            "{version:?}"
        );
        let provisional = json!([club, "org:admin", true, true]);
        assert_eq!(app.memberships(&ada).await, [provisional], "{version:?}");
        clerk.up();
        let answer = ask_status(&gate, &token).await;
        assert_eq!(answer.body["organizations"][0]["isPlaceholder"], false);
        let real = json!([club, "org:admin", true, false]);
        assert_eq!(app.memberships(&ada).await, [real], "{version:?}");
        app.database.remove().await;
    }
}

/// The token may be older than the end of a membership, and of an organization.
#[tokio::test]
async fn a_token_brings_no_ended_membership_back() {
    let app = TestApp::new().await;
    let ada = app.user("ada", None).await;
    let bob = app.user("bob", None).await;
    let club = app
        .clerk
        .create_organization(json!({ "name": "Club", "created_by": ada }));
    let club = club["id"].as_str().unwrap();
    app.clerk.add_member(club, &bob, MEMBER);
    app.settle().await;
    let of_bob = app.clerk.session_token_in(&bob, club);
    let of_ada = app.clerk.session_token_in(&ada, club);
    app.clerk.remove_member(club, &bob);
    app.deliver_all().await;
    let path = format!("/api/sync/organization/{club}");
    let is_let_in = async |token: &str| {
        let call = Call::new("POST", &path).token(token);
        app.call_sync_user(&call).await.status
    };
    let ended = json!([club, MEMBER, false, false]);
    for is_down in [false, true] {
        if is_down {
            app.clerk.down();
        }
        let answer = app.status_of(&of_bob).await;
        assert_eq!(answer.body["memberships"], json!([]), "{is_down}");
        let memberships = json!(app.memberships(&bob).await);
        assert_eq!(memberships, json!([ended]), "{is_down}");
        assert_eq!(is_let_in(&of_bob).await, 403);
        app.clerk.up();
    }
    app.clerk.delete_organization(club);
    app.deliver_all().await;
    app.clerk.down();
    let answer = app.status_of(&of_ada).await;
    assert_eq!(answer.body["memberships"], json!([]));
    assert_eq!(answer.body["organizations"], json!([]));
    assert_eq!(is_let_in(&of_ada).await, 403);
    app.clerk.up();
    app.finish().await;
}

/// Clerk is asked, and says that there is no such thing: then the token's word is nothing.
#[tokio::test]
async fn what_clerk_says_is_not_there_is_not_made_from_a_token() {
    let app = TestApp::new().await;
    let ada = app.user("ada", None).await;
    let bob = app.user("bob", None).await;
    let club = unheard_of(&app.clerk, &ada);
    app.clerk
        .silently(|clerk| clerk.add_member(&club, &bob, MEMBER));
    let of_ada = app.clerk.session_token_in(&ada, &club);
    let of_bob = app.clerk.session_token_in(&bob, &club);
    app.clerk.silently(|clerk| clerk.remove_member(&club, &bob));
    let answer = app.status_of(&of_bob).await;
    assert_eq!(answer.body["memberships"], json!([]), "no member");
    app.clerk.silently(|clerk| clerk.delete_organization(&club));
    let answer = app.status_of(&of_ada).await;
    assert_eq!(answer.body["memberships"], json!([]), "no organization");
    assert_eq!(app.count("memberships where deleted_at is null").await, 0);
    assert_eq!(app.count("organizations where deleted_at is null").await, 0);
    app.finish().await;
}

/// What served while Clerk was away ends as soon as Clerk says that it is not so.
#[tokio::test]
async fn a_provisional_membership_ends_when_clerk_says_that_there_is_none() {
    let app = TestApp::new().await;
    let ada = app.user("ada", None).await;
    let bob = app.user("bob", None).await;
    let club = unheard_of(&app.clerk, &ada);
    app.clerk
        .silently(|clerk| clerk.add_member(&club, &bob, MEMBER));
    let token = app.clerk.session_token_in(&bob, &club);
    app.clerk.down();
    app.status_of(&token).await;
    assert_eq!(
        app.memberships(&bob).await,
        [json!([club, MEMBER, true, true])]
    );
    app.clerk.up();
    app.clerk.silently(|clerk| clerk.remove_member(&club, &bob));
    let path = format!("/api/sync/organization/{club}");
    let answer = app
        .call_sync_user(&Call::new("POST", &path).token(&token))
        .await;
    assert_eq!(code(&answer), (403, "member_required"));
    let answer = app.status_of(&token).await;
    assert_eq!(answer.body["memberships"], json!([]));
    // Ada's own membership was never told of.
    assert_eq!(app.sync(&ada, "user").await.status, 200);
    app.finish().await;
}
