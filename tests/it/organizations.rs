//! Organizations and memberships, by webhook: R2, R3, R4, R5, R6, R7, R18.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clerk_emulator::{Fault, MemberEvents, Message};
use futures_util::future::join_all;
use serde_json::{Value, json};
use shared::db::Check;
use shared::db::memberships::Flagged;
use shared::db::users::{Key, Row, Write};
use shared::http;

use crate::support::TestApp;
use crate::support::app::settings_of;
use crate::support::gateway::{Answer, Call};
use crate::webhook::event;

const MEMBER: &str = "org:member";
const ADMIN: &str = "org:admin";
const TYPES: [&str; 9] = [
    "organization.created",
    "organization.updated",
    "organization.deleted",
    "organizationMembership.created",
    "organizationMembership.updated",
    "organizationMembership.deleted",
    "user.created",
    "user.updated",
    "user.deleted",
];

// What the tests below say things with.

impl TestApp {
    /// An organization in Clerk and, by webhook, here; returns the Clerk id.
    async fn organization(&self, name: &str) -> String {
        let id = create(self, name);
        self.deliver_all().await;
        id
    }

    /// Ada, and an organization that she is not in, known on both sides.
    async fn pair() -> (Self, String, String) {
        let app = Self::new().await;
        let ada = app.user("ada", None).await;
        let math = app.organization("Math").await;
        (app, ada, math)
    }

    /// Delivers a message, which must be taken in.
    async fn outcome(&self, message: &Message) -> String {
        let answer = self.deliver(message).await;
        assert_eq!(
            answer.status, 200,
            "{}: {}",
            message.event_type, answer.body
        );
        answer.body["outcome"].as_str().unwrap().to_owned()
    }

    async fn outcomes(&self, messages: &[Message]) -> Vec<String> {
        let mut outcomes = Vec::new();
        for message in messages {
            outcomes.push(self.outcome(message).await);
        }
        outcomes
    }

    /// A row as JSON, by Clerk id.
    async fn row_of(&self, table: &str, clerk_id: &str) -> Value {
        let statement = format!("select to_jsonb(t) from {table} t where clerk_id = $1");
        let rows = self.sql.query(&statement, &[&clerk_id]).await.unwrap();
        rows.first().map_or(Value::Null, |row| row.get(0))
    }

    /// The Clerk ids of the live memberships of a pair.
    async fn live(&self, organization: &str, user: &str) -> Vec<String> {
        let statement = "
            select coalesce(m.clerk_id, 'provisional')
            from memberships m
            join organizations o on o.id = m.organization_id
            join users u on u.id = m.user_id
            where o.clerk_id = $1 and u.clerk_id = $2 and m.deleted_at is null";
        let rows = self.sql.query(statement, &[&organization, &user]).await;
        rows.unwrap().iter().map(|row| row.get(0)).collect()
    }

    /// Of this pair there lives here what lives in Clerk.
    async fn assert_pair(&self, organization: &str, user: &str, case: &str) {
        let there = self.clerk.membership(organization, user);
        let there: Vec<String> = there.iter().map(id_of).collect();
        assert_eq!(self.live(organization, user).await, there, "{case}");
    }

    /// Nothing lives in what is gone.
    async fn assert_nobody_is_in_what_is_gone(&self) {
        let n_ghosts = self
            .count(
                "memberships m
                join organizations o on o.id = m.organization_id
                join users u on u.id = m.user_id
                where m.deleted_at is null
                    and (o.deleted_at is not null or u.deleted_at is not null)",
            )
            .await;
        assert_eq!(n_ghosts, 0);
    }

    /// Nothing waits any more, and nothing was given up.
    async fn assert_all_done(&self) {
        self.settle().await;
        for waiting in ["parked", "dead"] {
            let n_waiting = self
                .count(&format!("inbox where outcome = '{waiting}'"))
                .await;
            assert_eq!(n_waiting, 0, "{waiting}");
        }
        self.assert_nobody_is_in_what_is_gone().await;
    }

    /// As if the last walk over everybody's organizations were long ago.
    async fn forget_walks(&self) {
        self.execute("update users set organizations_confirmed_at = now() - interval '2 minutes'")
            .await;
    }

    /// The calls for lists of memberships so far.
    fn n_lists(&self) -> usize {
        let requests = self.clerk.requests();
        let is_list = |path: &str| path.ends_with("organization_memberships");
        requests.iter().filter(|it| is_list(&it.path)).count()
    }

    /// Delivers messages at once, each to a sandbox with a connection of its own.
    async fn deliver_at_once(&self, messages: &[Message]) -> Vec<Answer> {
        let settings = settings_of(&self.clerk, &self.database.url, &[]);
        let deliveries = messages.iter().map(|message| {
            let sandbox = clerk_webhook::App::new(&settings);
            let event = Call::new("POST", "/api/webhooks/clerk")
                .headers(self.clerk.sign(message))
                .body(&message.body)
                .event();
            async move {
                let handler = |request| clerk_webhook::handle(&sandbox, request);
                Answer::read(&http::answer(event, &handler).await)
            }
        });
        let answers = join_all(deliveries).await;
        for answer in &answers {
            assert_eq!(answer.status, 200, "{}", answer.body);
        }
        answers
    }
}

/// An organization in Clerk; returns the Clerk id.
fn create(app: &TestApp, name: &str) -> String {
    id_of(&app.clerk.create_organization(json!({ "name": name })))
}

fn id_of(object: &Value) -> String {
    object["id"].as_str().unwrap().to_owned()
}

/// Some time passes in Clerk.
fn later(app: &TestApp) {
    app.clerk.advance(Duration::from_millis(10));
}

/// A person in Clerk; returns the Clerk id.
fn person(app: &TestApp, name: &str) -> String {
    let email = format!("{name}@example.com");
    id_of(
        &app.clerk
            .create_user(json!({ "email": email, "first_name": name })),
    )
}

/// All orders of so many things.
fn orders(n: usize) -> Vec<Vec<usize>> {
    if n == 0 {
        return vec![Vec::new()];
    }
    let insert = |order: Vec<usize>| {
        (0..n).map(move |place| {
            let mut order = order.clone();
            order.insert(place, n - 1);
            order
        })
    };
    orders(n - 1).into_iter().flat_map(insert).collect()
}

/// The messages in this order.
fn in_order(messages: &[Message], order: &[usize]) -> Vec<Message> {
    order.iter().map(|&at| messages[at].clone()).collect()
}

/// An event of this instance about anything.
fn event_of(app: &TestApp, kind: &str, data: Value) -> Value {
    let mut event = event(app, "user_1", json!({}));
    event["type"] = json!(kind);
    event["data"] = data;
    event
}

/// The body of a membership, as loose as it can be.
fn loose_membership(id: &str, organization: &str, user: &str) -> Value {
    json!({
        "object": "organization_membership", "id": id, "role": "member",
        "organization": { "id": organization }, "public_user_data": { "user_id": user },
        "created_at": 1_700_000_000_000_i64, "updated_at": 1_700_000_000_000_i64,
    })
}

// Every event.

/// R2, R3, R6: all nine types, as they happen.
#[tokio::test]
async fn all_nine_events_are_mirrored() {
    let app = TestApp::new().await;
    let ada = app.user("ada", None).await;
    let grace = app.user("grace", None).await;
    let math = id_of(&app.clerk.create_organization(json!({
        "name": "Math", "created_by": ada, "max_allowed_memberships": 7,
        "public_metadata": { "plan": { "n": [1, 2.5, null] } }, "private_metadata": { "secret": "s3cret" },
    })));
    app.clerk.add_member(&math, &grace, MEMBER);
    app.deliver_all().await;
    app.assert_equal().await;
    later(&app);
    let rename =
        json!({ "name": "Algebra", "slug": "algebra", "public_metadata": { "plan": null } });
    app.clerk.update_organization(&math, rename);
    app.clerk.set_member_role(&math, &grace, ADMIN);
    app.clerk.update_member(
        &math,
        &ada,
        json!({ "public_metadata": { "seat": 4 }, "private_metadata": { "secret": "s3cret" } }),
    );
    assert_eq!(app.deliver_all().await, ["applied"; 3]);
    app.assert_equal().await;
    let organization = app.row_of("organizations", &math).await;
    assert_eq!(
        (&organization["name"], &organization["created_by"]),
        (&json!("Algebra"), &json!(ada))
    );
    assert!(organization["deleted_at"].is_null() && organization["is_placeholder"] == false);
    app.clerk.remove_member(&math, &grace);
    app.clerk.delete_organization(&math);
    app.clerk.delete_user(&ada);
    assert_eq!(app.deliver_all().await, ["applied"; 3]);
    assert_eq!(app.count("memberships where deleted_at is null").await, 0);
    assert_eq!(app.count("memberships").await, 2, "tombstones stay");
    for table in ["organizations", "memberships", "inbox"] {
        let leak = format!("{table} t where t::text like '%s3cret%'");
        assert_eq!(
            app.count(&leak).await,
            0,
            "nothing private is kept: {table}"
        );
    }
    app.assert_all_done().await;
    app.finish().await;
}

/// The bodies that Clerk publishes, or ours, each as a delivery of its own.
#[tokio::test]
async fn published_bodies_of_all_nine_types_are_taken_in() {
    let folder = examples();
    let app = TestApp::with(&[("CLERK_INSTANCE_ID", "")]).await;
    app.clerk.down();
    let created = [
        "user.created",
        "organization.created",
        "organizationMembership.created",
    ];
    let updated = [
        "user.updated",
        "organization.updated",
        "organizationMembership.updated",
    ];
    let deleted = [
        "organizationMembership.deleted",
        "organization.deleted",
        "user.deleted",
    ];
    let all = [created, updated, deleted].concat();
    assert!(TYPES.iter().all(|kind| all.contains(kind)));
    for kind in &all {
        let text = std::fs::read_to_string(folder.join(format!("{kind}.json"))).unwrap();
        let event = serde_json::from_str(&text).unwrap();
        let answer = app.deliver_event(&format!("msg_{kind}"), &event).await;
        assert_eq!(
            (answer.status, &answer.body["outcome"]),
            (200, &json!("applied")),
            "{kind}"
        );
        let table = match kind.split('.').next().unwrap() {
            "user" => "users",
            "organization" => "organizations",
            _ => "memberships",
        };
        let row = app
            .row_of(table, event["data"]["id"].as_str().unwrap())
            .await;
        let is_over = kind.ends_with("deleted");
        assert_eq!(row["deleted_at"].is_string(), is_over, "{kind}");
        if !is_over {
            assert_eq!(row["clerk_version"], event["data"]["updated_at"], "{kind}");
            assert_eq!(row["is_placeholder"], false, "{kind}");
        }
        if table == "memberships" && !is_over {
            assert_eq!(row["role"], event["data"]["role"]);
            let n_permissions = event["data"]["permissions"].as_array().unwrap().len();
            assert_eq!(row["permissions"].as_array().unwrap().len(), n_permissions);
        }
    }
    app.database.remove().await;
}

/// Clerk's examples where they are at hand; else ours.
#[expect(
    clippy::disallowed_methods,
    reason = "a test reads where its files are"
)]
fn examples() -> PathBuf {
    let ours = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures/events");
    std::env::var("CONFORMANCE_DIR").map_or_else(
        |_| ours(),
        |folder| PathBuf::from(folder).join("webhook-examples"),
    )
}

/// Old and loose bodies, which are seen in the wild.
#[tokio::test]
async fn loose_bodies_are_taken_in() {
    let app = TestApp::new().await;
    app.clerk.down();
    let send = async |svix_id: &str, kind: &str, data: Value| {
        let answer = app
            .deliver_event(svix_id, &event_of(&app, kind, data))
            .await;
        assert_eq!(answer.status, 200, "{svix_id}: {}", answer.body);
        answer.body["outcome"].as_str().unwrap().to_owned()
    };
    let created = "organizationMembership.created";
    let old = loose_membership("orgmem_1", "org_1", "user_1");
    assert_eq!(send("msg_1", created, old).await, "applied");
    let row = app.row_of("memberships", "orgmem_1").await;
    assert_eq!(row["role"], "org:member", "with the prefix of today");
    assert_eq!(row["permissions"], json!([]));

    let nulls = json!({
        "id": "org_1", "name": "Math", "slug": null, "image_url": null, "created_by": null,
        "public_metadata": null, "private_metadata": null, "max_allowed_memberships": null,
        // In seconds, and as text.
        "created_at": 1_700_000_000, "updated_at": "1700000001",
    });
    assert_eq!(
        send("msg_2", "organization.updated", nulls).await,
        "applied"
    );
    let row = app.row_of("organizations", "org_1").await;
    assert_eq!((&row["name"], &row["slug"]), (&json!("Math"), &Value::Null));
    assert_eq!(row["clerk_version"], 1_700_000_001_000_i64);
    assert_eq!(row["public_metadata"], json!({}));
    assert_eq!(
        (&row["is_placeholder"], &row["refetch_at"]),
        (&json!(false), &Value::Null)
    );

    let mut nulls = loose_membership("orgmem_1", "org_1", "user_1");
    for (key, value) in [
        ("role", json!("admin")),
        ("permissions", Value::Null),
        ("public_metadata", Value::Null),
        ("private_metadata", Value::Null),
        ("created_at", Value::Null),
        ("updated_at", json!(1_700_000_002.5)),
    ] {
        nulls[key] = value;
    }
    assert_eq!(
        send("msg_3", "organizationMembership.updated", nulls).await,
        "applied"
    );
    let row = app.row_of("memberships", "orgmem_1").await;
    assert_eq!(
        (&row["role"], &row["clerk_version"]),
        (&json!("org:admin"), &json!(1_700_000_002_500_i64))
    );
    let end = json!({ "id": "org_1", "deleted": true });
    assert_eq!(send("msg_4", "organization.deleted", end).await, "applied");
    assert!(app.row_of("memberships", "orgmem_1").await["deleted_at"].is_string());

    // Nobody's, and in nothing: kept for a person.
    for (svix_id, key) in [("msg_5", "public_user_data"), ("msg_6", "organization")] {
        let mut broken = loose_membership("orgmem_2", "org_2", "user_1");
        broken[key] = Value::Null;
        assert_eq!(send(svix_id, created, broken).await, "dead", "{key}");
    }
    app.database.remove().await;
}

/// Where Clerk does not say when a membership was made, the later version is the later one.
#[tokio::test]
async fn generations_without_their_time_follow_their_versions() {
    for order in orders(2) {
        let app = TestApp::new().await;
        app.clerk.down();
        for at in order {
            let id = format!("orgmem_{at}");
            let mut data = loose_membership(&id, "org_1", "user_1");
            data["created_at"] = Value::Null;
            data["updated_at"] = json!(1_700_000_000_000_i64 + i64::try_from(at).unwrap());
            let event = event_of(&app, "organizationMembership.created", data);
            assert_eq!(app.deliver_event(&id, &event).await.status, 200);
        }
        assert_eq!(app.live("org_1", "user_1").await, ["orgmem_1"]);
        app.database.remove().await;
    }
}

// R4: what comes before what it hangs on.

/// With Clerk at hand, the placeholders are real at once.
#[tokio::test]
async fn a_membership_may_come_before_all_that_it_hangs_on() {
    for is_known in [[false, true], [true, false], [false, false]] {
        let app = TestApp::new().await;
        let ada = person(&app, "ada");
        let math = create(&app, "Math");
        app.clerk.add_member(&math, &ada, ADMIN);
        let [user, organization, membership] = &app.clerk.take_messages()[..] else {
            panic!("three messages")
        };
        for (message, is_known) in [user, organization].into_iter().zip(is_known) {
            if is_known {
                app.outcome(message).await;
            }
        }
        assert_eq!(app.outcome(membership).await, "applied");
        app.assert_equal().await;
        assert_eq!(app.row(&ada).await["email"], "ada@example.com");
        for table in ["users", "organizations", "memberships"] {
            let left = format!("{table} where is_placeholder or refetch_at is not null");
            assert_eq!(app.count(&left).await, 0, "{is_known:?}: {table}");
        }
        for (message, is_known) in [user, organization].into_iter().zip(is_known) {
            if !is_known {
                assert_eq!(app.outcome(message).await, "applied", "an echo");
            }
        }
        app.assert_all_done().await;
        app.finish().await;
    }
}

/// With Clerk away, the rows are what the event shows, and `reconcile` completes them.
#[tokio::test]
async fn with_clerk_away_placeholders_stand_in() {
    let app = TestApp::new().await;
    let ada = person(&app, "ada");
    let math = create(&app, "Math");
    app.clerk.add_member(&math, &ada, ADMIN);
    let membership = app.clerk.take_messages().pop().unwrap();
    app.clerk.down();
    assert_eq!(app.outcome(&membership).await, "applied");
    let user = app.row(&ada).await;
    let organization = app.row_of("organizations", &math).await;
    for row in [&user, &organization] {
        assert_eq!(row["is_placeholder"], true);
        assert_eq!(row["clerk_version"], 0);
        assert!(row["refetch_at"].is_string());
    }
    assert_eq!(user["first_name"], "ada");
    assert_eq!(
        (&user["email"], &user["email_verified"]),
        (&Value::Null, &json!(false)),
        "the identifier may be anything, and anybody's"
    );
    assert_eq!(organization["name"], "Math");
    let id = app.live(&math, &ada).await.pop().unwrap();
    assert_eq!(
        app.row_of("memberships", &id).await["is_placeholder"],
        false
    );
    app.forget_waits().await;
    assert_eq!(app.reconcile().await.n_refetched, 0);
    app.clerk.up();
    app.forget_waits().await;
    assert_eq!(app.reconcile().await.n_refetched, 2);
    app.assert_equal().await;
    assert_eq!(app.row(&ada).await["id"], user["id"], "the row stays");
    app.assert_all_done().await;
    app.finish().await;
}

/// R5: a person who had a row before the account, and whose membership came before both.
#[tokio::test]
async fn an_old_row_is_adopted_over_the_placeholder_of_its_account() {
    for is_away in [false, true] {
        let app = TestApp::new().await;
        app.execute(
            "insert into users (email, builder_group_id, role)
            values ('Ada@Example.com', 'b7', 'INSTRUCTOR')",
        )
        .await;
        let old: String = app
            .sql
            .query_one("select id::text from users", &[])
            .await
            .unwrap()
            .get(0);
        let ada = person(&app, "ada");
        let math = create(&app, "Math");
        let physics = create(&app, "Physics");
        app.clerk.add_member(&math, &ada, ADMIN);
        app.clerk.add_member(&physics, &ada, MEMBER);
        app.clerk.remove_member(&physics, &ada);
        let messages = app.clerk.take_messages();
        if is_away {
            app.clerk.down();
        }
        for message in messages.iter().rev() {
            // At last the user.
            if message.event_type == "user.created" {
                assert_eq!(app.count("users").await, if is_away { 2 } else { 1 });
                app.clerk.up();
            }
            assert_ne!(app.outcome(message).await, "dead");
        }
        assert_eq!(app.count("users").await, 1, "no second row remains");
        let row = app.row(&ada).await;
        assert_eq!(
            (&row["id"], &row["builder_group_id"], &row["role"]),
            (&json!(old), &json!("b7"), &json!("INSTRUCTOR"))
        );
        app.assert_pair(&math, &ada, "it hangs on the old row")
            .await;
        let hanging = format!("memberships where user_id = '{old}'");
        assert_eq!(app.count(&hanging).await, 2, "also what is over");
        app.assert_all_done().await;
        app.finish().await;
    }
}

/// R5, R4: the old row is adopted while more memberships of the same person come in.
#[tokio::test]
async fn an_adoption_and_memberships_at_once_leave_one_row() {
    for _ in 0..6 {
        let app = TestApp::new().await;
        app.execute("insert into users (email, builder_group_id) values ('ada@example.com', 'b7')")
            .await;
        let ada = person(&app, "ada");
        for n in 0..5 {
            let organization = create(&app, &format!("O{n}"));
            app.clerk.add_member(&organization, &ada, MEMBER);
        }
        let mut messages = app.clerk.take_messages();
        fastrand::shuffle(&mut messages);
        app.deliver_at_once(&messages).await;
        app.settle().await;
        assert_eq!(app.count("users").await, 1);
        assert_eq!(app.row(&ada).await["builder_group_id"], "b7");
        app.assert_all_done().await;
        app.finish().await;
    }
}

/// R1: the placeholder may have become a tombstone between reading and writing.
#[tokio::test]
async fn a_tombstone_is_not_taken_up() {
    let (app, _, math) = TestApp::pair().await;
    app.execute("insert into users (email) values ('joan@example.com')")
        .await;
    let joan = person(&app, "joan");
    app.clerk.add_member(&math, &joan, MEMBER);
    let [made, joined] = &app.clerk.take_messages()[..] else {
        panic!("two messages")
    };
    app.clerk.down();
    app.outcome(joined).await;
    let db = app.reconcile.db.as_ref().unwrap();
    let clerk_id = joan.parse().unwrap();
    let key = Key {
        delivery: None,
        clerk_id: &clerk_id,
        verified_email: Some("joan@example.com"),
        created_at: None,
    };
    let current = db.current_users(&[key]).await.unwrap().pop().unwrap();
    let row = current.row.unwrap();
    assert!(row.clerk_id.is_none() && current.placeholder.is_some());
    app.clerk.up();
    app.clerk.delete_user(&joan);
    app.deliver_all().await;
    let write = Write {
        row: Some(Row {
            clerk_id: Some(clerk_id.clone()),
            ..row
        }),
        absorbs: current.placeholder,
        ..Write::default()
    };
    let written = db.write_users(&[write], Check::No).await;
    assert!(written.is_err_and(|error| error.is_about_other_rows()));
    assert_eq!(app.outcome(made).await, "stale");
    assert_ne!(app.row(&joan).await["deleted_at"], Value::Null);
    app.finish().await;
}

// R3: ends.

#[tokio::test]
async fn a_delete_before_its_create_is_final() {
    let (app, ada, _) = TestApp::pair().await;
    let physics = create(&app, "Physics");
    later(&app);
    app.clerk
        .update_organization(&physics, json!({ "name": "Optics" }));
    app.clerk.add_member(&physics, &ada, MEMBER);
    later(&app);
    app.clerk.set_member_role(&physics, &ada, ADMIN);
    app.clerk.remove_member(&physics, &ada);
    app.clerk.delete_organization(&physics);
    let mut messages = app.clerk.take_messages();
    messages.reverse();
    let stale = "stale".to_owned();
    let outcomes = app.outcomes(&messages).await;
    assert_eq!(outcomes[..2], ["applied", "applied"]);
    assert!(
        outcomes[2..].iter().all(|outcome| *outcome == stale),
        "{outcomes:?}"
    );
    let row = app.row_of("organizations", &physics).await;
    assert!(row["deleted_at"].is_string() && row["name"].is_null());
    app.assert_all_done().await;
    app.finish().await;
}

#[tokio::test]
async fn a_delete_of_a_membership_may_be_the_first_that_is_heard() {
    for is_away in [false, true] {
        let app = TestApp::new().await;
        let ada = person(&app, "ada");
        let math = create(&app, "Math");
        app.clerk.add_member(&math, &ada, MEMBER);
        app.clerk.remove_member(&math, &ada);
        let mut messages = app.clerk.take_messages();
        messages.reverse();
        let (ends, others) = messages.split_at(2);
        if is_away {
            app.clerk.down();
        }
        assert_eq!(app.outcomes(ends).await, ["applied", "stale"]);
        app.assert_pair(&math, &ada, "over").await;
        app.clerk.up();
        app.outcomes(others).await;
        app.assert_all_done().await;
        app.finish().await;
    }
}

/// R6: an end is the end of the memberships, however much Clerk says of that, and in any order.
#[tokio::test]
async fn with_its_organization_or_user_a_membership_ends() {
    for events in [
        MemberEvents::None,
        MemberEvents::Before,
        MemberEvents::After,
    ] {
        for is_user in [false, true] {
            let app = TestApp::new().await;
            app.clerk.member_events(events);
            for order in orders(if events == MemberEvents::None { 3 } else { 4 }) {
                let case = format!("{events:?} {is_user} {order:?}");
                let name = fastrand::u64(..).to_string();
                let ada = app.user(&name, None).await;
                let math = app.organization(&name).await;
                app.clerk.add_member(&math, &ada, MEMBER);
                later(&app);
                app.clerk.set_member_role(&math, &ada, ADMIN);
                later(&app);
                if is_user {
                    app.clerk.delete_user(&ada);
                } else {
                    app.clerk.delete_organization(&math);
                }
                let messages = app.clerk.take_messages();
                assert_eq!(messages.len(), order.len(), "{case}");
                for message in in_order(&messages, &order) {
                    assert_ne!(app.outcome(&message).await, "dead", "{case}");
                }
                app.assert_pair(&math, &ada, &case).await;
            }
            app.assert_all_done().await;
            app.finish().await;
        }
    }
}

/// R6: what is heard of what is gone is stale, and says why.
#[tokio::test]
async fn a_late_membership_of_what_is_gone_is_stale() {
    let (app, ada, math) = TestApp::pair().await;
    let grace = app.user("grace", None).await;
    let physics = app.organization("Physics").await;
    app.clerk.add_member(&math, &ada, MEMBER);
    app.clerk.add_member(&physics, &grace, MEMBER);
    let late = app.clerk.take_messages();
    app.clerk.delete_organization(&math);
    app.clerk.delete_user(&grace);
    app.deliver_all().await;
    for message in &late {
        assert_eq!(app.outcome(message).await, "stale");
        assert_eq!(app.inbox(&message.id).await["rule"], "R6");
    }
    assert_eq!(app.count("memberships").await, 0);
    app.assert_all_done().await;
    app.finish().await;
}

/// R3: what a member's membership says of a person is erased with the person.
#[tokio::test]
async fn personal_data_of_memberships_is_erased_with_the_user() {
    let (app, ada, math) = TestApp::pair().await;
    let physics = app.organization("Physics").await;
    let note = json!({ "public_metadata": { "note": "s3cret" } });
    app.clerk.add_member(&math, &ada, MEMBER);
    app.clerk.update_member(&math, &ada, note.clone());
    app.deliver_all().await;
    app.clerk.add_member(&physics, &ada, MEMBER);
    app.clerk.update_member(&physics, &ada, note);
    app.clerk.remove_member(&physics, &ada);
    let late = app.clerk.take_messages();
    app.clerk.delete_user(&ada);
    app.deliver_all().await;
    app.execute("update users set deleted_at = now() - interval '31 days'")
        .await;
    assert_eq!(app.reconcile().await.n_erased, 1);
    assert_eq!(
        app.count("memberships m where m::text like '%s3cret%'")
            .await,
        0
    );
    // What comes after the erasure brings nothing back.
    for message in late.iter().rev() {
        app.outcome(message).await;
    }
    for table in ["users", "memberships", "inbox"] {
        let left = format!("{table} t where t::text like '%s3cret%'");
        assert_eq!(app.count(&left).await, 0, "{table}");
    }
    app.assert_all_done().await;
    app.finish().await;
}

// R6: generations.

/// The delete of the old membership comes last.
#[tokio::test]
async fn a_late_delete_does_not_touch_who_has_joined_again() {
    let (app, ada, math) = TestApp::pair().await;
    app.clerk.add_member(&math, &ada, MEMBER);
    app.deliver_all().await;
    later(&app);
    app.clerk.remove_member(&math, &ada);
    later(&app);
    app.clerk.add_member(&math, &ada, ADMIN);
    let [left, joined] = &app.clerk.take_messages()[..] else {
        panic!("two messages")
    };
    assert_eq!(app.outcome(joined).await, "applied");
    app.assert_pair(&math, &ada, "joined").await;
    assert_eq!(app.outcome(left).await, "applied");
    app.assert_pair(&math, &ada, "left").await;
    assert_eq!(app.count("memberships").await, 2);
    app.assert_all_done().await;
    app.finish().await;
}

/// Three generations and a change, in all orders, with Clerk at hand and away.
#[tokio::test]
async fn generations_may_come_in_any_order() {
    for is_away in [false, true] {
        let app = TestApp::new().await;
        for is_member_at_last in [false, true] {
            let n_messages = if is_member_at_last { 5 } else { 4 };
            for order in orders(n_messages) {
                let case = format!("{is_away} {order:?}");
                let name = fastrand::u64(..).to_string();
                let ada = app.user(&name, None).await;
                let math = app.organization(&name).await;
                for n in 0..n_messages {
                    later(&app);
                    if n % 2 == 0 {
                        app.clerk.add_member(&math, &ada, MEMBER);
                    } else {
                        app.clerk.remove_member(&math, &ada);
                    }
                }
                let messages = app.clerk.take_messages();
                if is_away {
                    app.clerk.down();
                }
                for message in in_order(&messages, &order) {
                    let outcome = app.outcome(&message).await;
                    assert!(
                        ["applied", "stale"].contains(&&*outcome),
                        "{case}: {outcome}"
                    );
                }
                app.clerk.up();
                app.assert_pair(&math, &ada, &case).await;
            }
        }
        app.assert_all_done().await;
        app.finish().await;
    }
}

/// Left and joined again within a millisecond: nobody can tell from the events which one lives.
#[tokio::test]
async fn joining_again_within_a_millisecond_is_settled_by_clerk() {
    for is_away in [false, true] {
        for n_messages in [3, 4] {
            for order in orders(n_messages) {
                let case = format!("{is_away} {order:?}");
                let (app, ada, math) = TestApp::pair().await;
                later(&app);
                app.clerk.freeze_clock();
                for n in 0..n_messages {
                    if n % 2 == 0 {
                        app.clerk.add_member(&math, &ada, MEMBER);
                    } else {
                        app.clerk.remove_member(&math, &ada);
                    }
                }
                let messages = app.clerk.take_messages();
                if is_away {
                    app.clerk.down();
                }
                for message in in_order(&messages, &order) {
                    assert_ne!(app.outcome(&message).await, "dead", "{case}");
                }
                app.clerk.up();
                app.forget_waits().await;
                let begun_at = Instant::now();
                app.reconcile().await;
                assert!(
                    begun_at.elapsed() < Duration::from_secs(10),
                    "{case}: no end"
                );
                app.assert_pair(&math, &ada, &case).await;
                app.assert_all_done().await;
                app.finish().await;
            }
        }
    }
}

/// The one in doubt is left for another while Clerk is away: the question is settled with it.
#[tokio::test]
async fn a_doubt_about_who_has_left_and_joined_again_is_settled() {
    let (app, ada, math) = TestApp::pair().await;
    app.clerk.add_member(&math, &ada, MEMBER);
    app.deliver_all().await;
    later(&app);
    app.clerk.freeze_clock();
    app.clerk.set_member_role(&math, &ada, ADMIN);
    app.clerk.set_member_role(&math, &ada, MEMBER);
    app.clerk.resume_clock();
    later(&app);
    app.clerk.remove_member(&math, &ada);
    later(&app);
    app.clerk.add_member(&math, &ada, ADMIN);
    app.clerk.down();
    assert_eq!(
        app.deliver_all().await,
        ["applied", "parked", "applied", "applied"]
    );
    app.clerk.up();
    app.forget_waits().await;
    app.clerk.clear_requests();
    app.reconcile().await;
    let n_requests = app.clerk.requests().len();
    assert!(n_requests < 5, "{n_requests} requests for one question");
    app.assert_all_done().await;
    app.finish().await;
}

// R2: changes.

#[tokio::test]
async fn changes_of_organizations_and_memberships_may_come_in_any_order() {
    let (app, ada, math) = TestApp::pair().await;
    app.clerk.add_member(&math, &ada, MEMBER);
    app.deliver_all().await;
    for order in orders(4) {
        for n in 0..2 {
            later(&app);
            app.clerk
                .update_organization(&math, json!({ "public_metadata": { "n": n } }));
            app.clerk
                .set_member_role(&math, &ada, if n == 0 { ADMIN } else { MEMBER });
        }
        let messages = in_order(&app.clerk.take_messages(), &order);
        app.outcomes(&messages).await;
        app.assert_equal().await;
        for message in &messages {
            assert_eq!(app.outcome(message).await, "duplicate");
        }
        app.assert_equal().await;
    }
    app.assert_all_done().await;
    app.finish().await;
}

/// R2: of the same version and different, in either order, Clerk is asked: now or later.
#[tokio::test]
async fn changes_of_the_same_millisecond_are_settled_by_asking() {
    for is_away in [false, true] {
        for is_reversed in [false, true] {
            let (app, ada, math) = TestApp::pair().await;
            app.clerk.add_member(&math, &ada, MEMBER);
            app.deliver_all().await;
            later(&app);
            app.clerk.freeze_clock();
            for (role, name) in [(ADMIN, "Algebra"), (MEMBER, "Analysis")] {
                app.clerk.set_member_role(&math, &ada, role);
                app.clerk
                    .update_organization(&math, json!({ "name": name }));
            }
            let mut messages = app.clerk.take_messages();
            if is_reversed {
                messages.reverse();
            }
            if is_away {
                app.clerk.down();
            }
            let outcomes = app.outcomes(&messages).await;
            assert_eq!(outcomes[..2], ["applied"; 2]);
            assert_eq!(outcomes[2..], ["parked"; 2]);
            app.clerk.up();
            if is_away {
                app.forget_waits().await;
                assert_eq!(app.reconcile().await.n_refetched, 2);
            }
            app.assert_equal().await;
            let parked = app.count("inbox where outcome = 'parked'").await;
            assert_eq!(parked, 0, "{is_away} {is_reversed}");
            app.assert_all_done().await;
            app.finish().await;
        }
    }
}

// A user event looks after the user's organizations.

/// What was lost is made good by the next word about the user.
#[tokio::test]
async fn lost_events_are_made_good_by_a_user_event() {
    let (app, ada, math) = TestApp::pair().await;
    let physics = app.organization("Physics").await;
    let optics = app.organization("Optics").await;
    app.clerk.add_member(&math, &ada, MEMBER);
    app.clerk.add_member(&physics, &ada, MEMBER);
    app.clerk.add_member(&optics, &ada, MEMBER);
    app.deliver_all().await;
    later(&app);
    app.clerk.silently(|clerk| {
        clerk.set_member_role(&math, &ada, ADMIN);
        clerk.update_organization(&math, json!({ "name": "Algebra" }));
        clerk.remove_member(&physics, &ada);
        clerk.remove_member(&optics, &ada);
        clerk.add_member(&optics, &ada, ADMIN);
        let new = id_of(&clerk.create_organization(json!({ "name": "Logic" })));
        clerk.add_member(&new, &ada, MEMBER);
    });
    app.forget_walks().await;
    app.clerk.update_user(&ada, json!({ "first_name": "Ada" }));
    assert_eq!(app.deliver_all().await, ["applied"]);
    app.assert_equal().await;
    app.assert_all_done().await;
    app.finish().await;
}

#[tokio::test]
async fn user_events_of_a_minute_ask_once() {
    let (app, ada, math) = TestApp::pair().await;
    app.forget_walks().await;
    app.clerk.clear_requests();
    let mut n_lists = Vec::new();
    for n in 0..3 {
        later(&app);
        app.clerk
            .update_user(&ada, json!({ "first_name": format!("n{n}") }));
        app.deliver_all().await;
        n_lists.push(app.n_lists());
    }
    assert_eq!(n_lists, [1, 1, 1]);
    assert_eq!(app.clerk.requests().len(), 1, "and nothing else");
    // Who is new is always looked after.
    let grace = person(&app, "grace");
    app.clerk
        .silently(|clerk| clerk.add_member(&math, &grace, MEMBER));
    app.deliver_all().await;
    assert_eq!(app.n_lists(), 2);
    app.assert_all_done().await;
    app.finish().await;
}

/// An event that is stale, repeated or about an end asks nobody.
#[tokio::test]
async fn what_has_no_effect_asks_nobody() {
    let (app, ada, _) = TestApp::pair().await;
    later(&app);
    app.clerk.update_user(&ada, json!({ "first_name": "A" }));
    later(&app);
    app.clerk.update_user(&ada, json!({ "first_name": "B" }));
    let messages = app.clerk.take_messages();
    app.outcome(&messages[1]).await;
    app.forget_walks().await;
    app.clerk.clear_requests();
    assert_eq!(app.outcome(&messages[0]).await, "stale");
    assert_eq!(app.outcome(&messages[1]).await, "duplicate");
    app.clerk.delete_user(&ada);
    app.deliver_all().await;
    assert_eq!(app.clerk.requests().len(), 0);
    app.assert_all_done().await;
    app.finish().await;
}

/// Clerk's trouble is not Svix's: the event is taken in, and the walk still owed.
#[tokio::test]
async fn a_walk_that_fails_stays_owed() {
    let list = "/v1/users/";
    let faults = [
        Fault::status(500),
        Fault::rate_limited(30),
        Fault::drop(),
        Fault::drop_answer(),
        Fault::status(404),
        Fault::slow(Duration::from_secs(20)),
    ];
    for fault in faults {
        let (app, ada, math) = TestApp::pair().await;
        app.clerk
            .silently(|clerk| clerk.add_member(&math, &ada, MEMBER));
        app.forget_walks().await;
        let case = format!("{fault:?}");
        app.clerk.fault(fault.on("GET", list));
        later(&app);
        app.clerk.update_user(&ada, json!({ "first_name": "A" }));
        let begun_at = Instant::now();
        assert_eq!(app.deliver_all().await, ["applied"], "{case}");
        assert!(begun_at.elapsed() < Duration::from_secs(6), "{case}");
        let row = app.row(&ada).await;
        assert_eq!(row["first_name"], "A");
        assert!(row["organizations_refetch_at"].is_string(), "{case}");
        // Nor does the next event start another.
        app.clerk.clear_requests();
        later(&app);
        app.clerk.update_user(&ada, json!({ "first_name": "B" }));
        assert_eq!(app.deliver_all().await, ["applied"], "{case}");
        assert_eq!(app.n_lists(), 0, "{case}");
        app.clerk.clear_faults();
        app.forget_waits().await;
        assert_eq!(app.reconcile().await.n_walked, 1, "{case}");
        app.assert_all_done().await;
        app.finish().await;
    }
}

/// Also one that had to wait for Clerk itself.
#[tokio::test]
async fn a_walk_of_an_event_in_doubt_stays_owed() {
    let (app, ada, math) = TestApp::pair().await;
    later(&app);
    app.clerk.freeze_clock();
    app.clerk.update_user(&ada, json!({ "first_name": "A" }));
    app.deliver_all().await;
    app.clerk
        .silently(|clerk| clerk.add_member(&math, &ada, MEMBER));
    app.clerk.update_user(&ada, json!({ "first_name": "B" }));
    app.forget_walks().await;
    app.clerk.down();
    assert_eq!(app.deliver_all().await, ["parked"]);
    app.clerk.up();
    app.assert_all_done().await;
    app.finish().await;
}

/// Several pages.
#[tokio::test]
async fn a_user_in_six_hundred_organizations_is_looked_after_in_full() {
    let (app, ada, _) = TestApp::pair().await;
    let joined: Vec<String> = app.clerk.silently(|clerk| {
        let join = |n| {
            let organization = clerk.create_organization(json!({ "name": format!("O{n}") }));
            let id = id_of(&organization);
            clerk.add_member(&id, &ada, MEMBER);
            id
        };
        (0..600).map(join).collect()
    });
    app.forget_walks().await;
    app.clerk.clear_requests();
    app.clerk.update_user(&ada, json!({ "first_name": "A" }));
    assert_eq!(app.deliver_all().await, ["applied"]);
    app.settle().await;
    app.assert_equal().await;
    assert!(app.n_lists() >= 2);
    assert_eq!(app.count("memberships where deleted_at is null").await, 600);
    app.clerk.silently(|clerk| {
        for organization in joined.iter().step_by(2) {
            clerk.remove_member(organization, &ada);
        }
    });
    app.forget_walks().await;
    later(&app);
    app.clerk.update_user(&ada, json!({ "first_name": "B" }));
    app.deliver_all().await;
    app.assert_all_done().await;
    app.finish().await;
}

// Many at once.

#[tokio::test]
async fn many_memberships_of_one_unknown_organization_at_once() {
    for _ in 0..3 {
        let app = TestApp::new().await;
        let math = create(&app, "Math");
        for n in 0..12 {
            let user = person(&app, &format!("u{n}"));
            app.clerk.add_member(&math, &user, MEMBER);
            later(&app);
            app.clerk.set_member_role(&math, &user, ADMIN);
        }
        let mut messages = app.clerk.take_messages();
        fastrand::shuffle(&mut messages);
        for some in messages.chunks(20) {
            app.deliver_at_once(some).await;
        }
        app.settle().await;
        assert_eq!(app.count("organizations").await, 1);
        assert_eq!(app.count("users").await, 12);
        app.assert_all_done().await;
        app.finish().await;
    }
}

/// Whoever is first: nobody is in what is gone.
#[tokio::test]
async fn an_end_and_a_beginning_at_once_leave_nobody_behind() {
    let app = TestApp::new().await;
    for n in 0..25 {
        let ada = app.user(&format!("ada{n}"), None).await;
        let math = app.organization(&format!("Math{n}")).await;
        let physics = app.organization(&format!("Physics{n}")).await;
        for organization in [&math, &physics] {
            app.clerk.add_member(organization, &ada, MEMBER);
            later(&app);
            app.clerk.set_member_role(organization, &ada, ADMIN);
        }
        let events = [
            MemberEvents::None,
            MemberEvents::Before,
            MemberEvents::After,
        ];
        app.clerk.member_events(events[n % events.len()]);
        app.clerk.delete_organization(&physics);
        app.clerk.delete_user(&ada);
        let mut messages = app.clerk.take_messages();
        fastrand::shuffle(&mut messages);
        app.deliver_at_once(&messages).await;
        app.assert_nobody_is_in_what_is_gone().await;
        let n_live = app.count("memberships where deleted_at is null").await;
        assert_eq!(n_live, 0, "{n}");
    }
    app.assert_all_done().await;
    app.finish().await;
}

#[tokio::test]
async fn generations_at_once_leave_the_last() {
    for is_frozen in [false, true] {
        let app = TestApp::new().await;
        for n in 0..12 {
            let ada = app.user(&format!("ada{n}"), None).await;
            let math = app.organization(&format!("Math{n}")).await;
            later(&app);
            if is_frozen {
                app.clerk.freeze_clock();
            }
            for _ in 0..3 {
                app.clerk.add_member(&math, &ada, MEMBER);
                later(&app);
                app.clerk.remove_member(&math, &ada);
                later(&app);
            }
            app.clerk.add_member(&math, &ada, ADMIN);
            app.clerk.resume_clock();
            let mut messages = app.clerk.take_messages();
            fastrand::shuffle(&mut messages);
            app.deliver_at_once(&messages).await;
            if !is_frozen {
                app.assert_pair(&math, &ada, &format!("{n}")).await;
            }
        }
        app.assert_all_done().await;
        app.finish().await;
    }
}

/// R7: one delivery, many times at once.
#[tokio::test]
async fn a_delivery_that_comes_ten_times_at_once_is_applied_once() {
    let app = TestApp::new().await;
    let ada = person(&app, "ada");
    let math = create(&app, "Math");
    app.clerk.add_member(&math, &ada, MEMBER);
    for message in app.clerk.take_messages().iter().rev() {
        let answers = app.deliver_at_once(&vec![message.clone(); 10]).await;
        let is_new = |answer: &&Answer| answer.body["outcome"] != "duplicate";
        let n_new = answers.iter().filter(is_new).count();
        assert_eq!(n_new, 1, "{}", message.event_type);
    }
    assert_eq!(app.count("memberships").await, 1);
    app.assert_all_done().await;
    app.finish().await;
}

// What cannot be stored, and what is not for us.

#[tokio::test]
async fn text_that_postgres_cannot_hold_is_cleaned() {
    let app = TestApp::new().await;
    app.clerk.down();
    let mut data = loose_membership("orgmem_1", "org_1", "user_1");
    data["role"] = json!("org:\u{0}");
    data["permissions"] = json!(["\u{0}"]);
    data["public_metadata"] = json!({ "\u{0}": ["\u{0}"] });
    data["organization"] = json!({ "id": "org_1", "name": "\u{0}", "slug": "\u{0}" });
    data["public_user_data"] = json!({ "user_id": "user_1", "first_name": "\u{0}", "username": "\u{0}", "image_url": "\u{0}" });
    let organization = json!({
        "id": "org_2", "name": "Ma\u{0}th", "public_metadata": { "k\u{0}": "\u{0}" },
        "created_by": "\u{0}", "updated_at": 1_700_000_000_000_i64,
    });
    for (svix_id, kind, data) in [
        ("msg_1", "organizationMembership.created", data),
        ("msg_2", "organization.created", organization),
    ] {
        let answer = app
            .deliver_event(svix_id, &event_of(&app, kind, data))
            .await;
        assert_eq!(
            (answer.status, &answer.body["outcome"]),
            (200, &json!("applied")),
            "{kind}"
        );
    }
    assert_eq!(
        app.row_of("organizations", "org_2").await["name"],
        "Ma\u{fffd}th"
    );
    assert_eq!(
        app.row_of("organizations", "org_1").await["name"],
        "\u{fffd}"
    );
    app.database.remove().await;
}

/// R7: what will never be stored is kept for a person, and the rest goes on.
#[tokio::test]
async fn values_that_the_database_refuses_are_kept_as_dead() {
    let (app, ada, math) = TestApp::pair().await;
    // Long before Postgres's first day.
    let long_ago = json!(-300_000_000_000_000_i64);
    let mut organization = app.clerk.organization(&math).unwrap();
    organization["id"] = json!("org_old");
    organization["created_at"] = long_ago.clone();
    let mut membership = loose_membership("orgmem_old", &math, &ada);
    membership["created_at"] = long_ago;
    for (svix_id, kind, data, table) in [
        (
            "msg_1",
            "organization.created",
            &organization,
            "organizations",
        ),
        (
            "msg_2",
            "organizationMembership.created",
            &membership,
            "memberships",
        ),
    ] {
        let answer = app
            .deliver_event(svix_id, &event_of(&app, kind, data.clone()))
            .await;
        assert_eq!(
            (answer.status, &answer.body["outcome"]),
            (200, &json!("dead")),
            "{kind}"
        );
        let kept = app.inbox(svix_id).await;
        assert_eq!(kept["payload"]["data"], *data);
        let id = data["id"].as_str().unwrap();
        assert_eq!(app.row_of(table, id).await, Value::Null);
    }
    app.clerk.add_member(&math, &ada, MEMBER);
    assert_eq!(app.deliver_all().await, ["applied"]);
    app.finish().await;
}

/// Where many are written together, the others are.
#[tokio::test]
async fn one_that_cannot_be_stored_keeps_no_other_from_it() {
    let (app, ada, math) = TestApp::pair().await;
    let old = app.clerk.silently(|clerk| {
        clerk.add_member(&math, &ada, ADMIN);
        let old = json!({ "name": "Old", "created_at": -300_000_000_000_000_i64 });
        let old = id_of(&clerk.create_organization(old));
        clerk.add_member(&old, &ada, MEMBER);
        old
    });
    let answer = app.sync(&ada, "user").await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(answer.body["verified"], false, "not all of it");
    app.assert_pair(&math, &ada, "the other one").await;
    assert_eq!(app.row_of("organizations", &old).await["clerk_version"], 0);
    // It is asked about again and again, and keeps nobody waiting.
    for name in ["joan", "jean"] {
        let user = app.user(name, None).await;
        let flag = format!("update users set refetch_at = now() where clerk_id = '{user}'");
        app.execute(&flag).await;
        app.forget_waits().await;
        app.reconcile().await;
        assert_eq!(app.row(&user).await["refetch_at"], Value::Null, "{name}");
    }
    app.database.remove().await;
}

/// Who makes an organization is its first member, also when nobody tells of that.
#[tokio::test]
async fn a_new_organization_comes_with_its_first_member() {
    for is_clerk_there in [true, false] {
        let app = TestApp::new().await;
        let ada = app.user("ada", None).await;
        let math = json!({ "name": "Math", "created_by": ada });
        let math = id_of(&app.clerk.create_organization(math));
        let messages = app.clerk.take_messages();
        let made = messages
            .iter()
            .find(|it| it.event_type == TYPES[0])
            .unwrap();
        if !is_clerk_there {
            app.clerk.down();
        }
        assert_eq!(app.outcome(made).await, "applied");
        app.clerk.up();
        if !is_clerk_there {
            assert_eq!(app.live(&math, &ada).await, [""; 0]);
            app.forget_waits().await;
            app.reconcile().await;
        }
        app.assert_pair(&math, &ada, "the first member").await;
        app.finish().await;
    }
}

/// R14: what became another membership while Clerk was asked, nobody asked about.
#[tokio::test]
async fn an_answer_is_about_what_was_there_when_it_was_asked_for() {
    let (app, ada, math) = TestApp::pair().await;
    let db = app.reconcile.db.as_ref().unwrap();
    let (organization, user) = (math.parse().unwrap(), ada.parse().unwrap());
    db.put_provisional_membership(&organization, &user, MEMBER, true)
        .await
        .unwrap();
    let flagged = db.memberships_to_refetch(Flagged::Due, 10).await.unwrap();
    assert_eq!(flagged.len(), 1);
    // She joins, and the provisional row becomes hers, before the answer is used.
    app.clerk.add_member(&math, &ada, ADMIN);
    app.deliver_all().await;
    let gone: Vec<_> = flagged.iter().collect();
    assert_eq!(db.end_memberships(&gone).await.unwrap(), 0);
    app.assert_pair(&math, &ada, "she has joined").await;
    app.finish().await;
}

/// R14: a key of another instance, by which Clerk knows nothing at all, takes nothing away.
#[tokio::test]
async fn another_clerk_ends_nothing() {
    let (app, ada, math) = TestApp::pair().await;
    let grace = app.admin("grace").await;
    app.clerk.add_member(&math, &ada, MEMBER);
    app.deliver_all().await;
    let token = app.clerk.session_token(&grace);
    let active = app.clerk.session_token_in(&ada, &math);
    app.clerk.reset();
    app.execute("update memberships set refetch_at = now()")
        .await;
    app.reconcile().await;
    let body = json!({ "clerkOrgId": math, "clerkUserId": ada, "role": MEMBER });
    let call = Call::new("POST", "/api/sync/membership");
    let answer = app.call_sync_user(&call.token(&token).json(&body)).await;
    assert_eq!(answer.status, 404, "{}", answer.body);
    assert_eq!(app.live(&math, &ada).await.len(), 1);
    for path in ["user", "organization"] {
        let id = if path == "user" { &ada } else { &math };
        let path = format!("/api/sync/{path}/{id}");
        let call = Call::new("POST", &path).token(&token);
        let answer = app.call_sync_user(&call).await;
        assert_eq!(answer.body["source"], "database");
    }
    // Nor does a session that is active in the organization, whether its user is fresh or not.
    for _ in 0..2 {
        app.execute("update memberships set confirmed_at = null")
            .await;
        let call = Call::new("GET", "/api/sync/status").token(&active);
        assert_eq!(app.call_sync_user(&call).await.status, 200);
        app.execute("update users set confirmed_at = null").await;
    }
    app.forget_waits().await;
    app.reconcile().await;
    assert_eq!(app.live(&math, &ada).await.len(), 1);
    app.database.remove().await;
}

/// R17: a key that Clerk refuses makes nobody a member.
#[tokio::test]
async fn a_refusal_is_no_outage() {
    let (app, ada, math) = TestApp::pair().await;
    let grace = app.admin("grace").await;
    let token = app.clerk.session_token(&grace);
    let active = app.clerk.silently(|clerk| {
        clerk.add_member(&math, &ada, MEMBER);
        clerk.session_token_in(&ada, &math)
    });
    for (status, code, expected) in [
        (401, "clerk_key_invalid", "clerk_refused_our_key"),
        (403, "organization_not_enabled_in_instance", "clerk_refused"),
    ] {
        let fault = || Fault::refusal(status, code).on("GET", "/v1/organizations");
        app.clerk.fault(fault().times(2));
        let body = json!({ "clerkOrgId": math, "clerkUserId": ada, "role": ADMIN });
        let call = Call::new("POST", "/api/sync/membership");
        let answer = app.call_sync_user(&call.token(&token).json(&body)).await;
        assert_eq!(
            (answer.status, &answer.body["code"]),
            (502, &json!(expected))
        );
        let call = Call::new("GET", "/api/sync/status").token(&active);
        let answer = app.call_sync_user(&call).await;
        assert_eq!(answer.body["memberships"], json!([]), "{status}");
        app.clerk.clear_faults();
    }
    assert_eq!(app.sync(&ada, "user").await.status, 200);
    app.finish().await;
}

/// R6: also the end of a membership tells that the one before it is over.
#[tokio::test]
async fn an_end_that_is_heard_of_first_ends_what_came_before() {
    let (app, ada, math) = TestApp::pair().await;
    app.clerk.add_member(&math, &ada, MEMBER);
    app.deliver_all().await;
    app.clerk.silently(|clerk| clerk.remove_member(&math, &ada));
    later(&app);
    app.clerk.add_member(&math, &ada, MEMBER);
    app.clerk.remove_member(&math, &ada);
    let mut messages = app.clerk.take_messages();
    messages.reverse();
    assert_eq!(app.outcomes(&messages).await, ["applied", "stale"]);
    assert_eq!(app.live(&math, &ada).await, [""; 0]);
    app.finish().await;
}

/// R14: a list that lags behind takes nothing away for good, and what was told is for good.
#[tokio::test]
async fn what_is_shown_again_lives_again() {
    let (app, ada, math) = TestApp::pair().await;
    app.clerk.add_member(&math, &ada, MEMBER);
    app.deliver_all().await;
    let end = |is_inferred: bool| {
        format!("update memberships set deleted_at = now(), is_end_inferred = {is_inferred}")
    };
    app.execute(&end(true)).await;
    let answer = app.sync(&ada, "user").await;
    assert_eq!(answer.body["verified"], true);
    app.assert_equal().await;
    app.execute(&end(false)).await;
    let answer = app.sync(&ada, "user").await;
    assert_eq!(answer.body["verified"], false);
    assert_eq!(app.live(&math, &ada).await, [""; 0]);
    app.database.remove().await;
}

/// R14: the end was lost, and the beginning comes after the walk that would have shown it.
#[tokio::test]
async fn a_beginning_that_comes_after_its_lost_end_is_asked_about() {
    for is_clerk_there in [true, false] {
        let (app, ada, math) = TestApp::pair().await;
        app.clerk.add_member(&math, &ada, MEMBER);
        let late = app.clerk.take_messages();
        app.clerk.silently(|clerk| clerk.remove_member(&math, &ada));
        app.forget_walks().await;
        app.clerk.update_user(&ada, json!({ "first_name": "Ada" }));
        app.deliver_all().await;
        if !is_clerk_there {
            app.clerk.down();
        }
        assert_eq!(app.outcomes(&late).await, ["applied"]);
        app.clerk.up();
        app.assert_all_done().await;
        assert_eq!(app.live(&math, &ada).await, [""; 0], "{is_clerk_there}");
        app.finish().await;
    }
}

/// R7: what cannot be stored now leaves nothing, and comes again.
#[tokio::test]
async fn an_effect_and_its_inbox_row_are_one_transaction() {
    let (app, ada, math) = TestApp::pair().await;
    for table in ["organizations", "memberships", "inbox"] {
        app.clerk.add_member(&math, &ada, MEMBER);
        later(&app);
        app.clerk
            .update_organization(&math, json!({ "name": table }));
        later(&app);
        app.clerk.remove_member(&math, &ada);
        for message in app.clerk.take_messages() {
            let about = if message.event_type.starts_with("organization.") {
                "organizations"
            } else {
                "memberships"
            };
            if table == "inbox" || table == about {
                let before = everything(&app).await;
                app.execute(&format!(
                    "create function break_write() returns trigger language plpgsql as
                        $$ begin raise exception 'no' using errcode = '53100'; end $$;
                    create trigger break_write after insert or update on {table}
                        for each row execute function break_write()"
                ))
                .await;
                let answer = app.deliver(&message).await;
                assert_eq!(answer.status, 503, "{table}: {}", message.event_type);
                assert_eq!(everything(&app).await, before, "{table}");
                app.execute(&format!(
                    "drop trigger break_write on {table}; drop function break_write"
                ))
                .await;
            }
            assert_eq!(app.outcome(&message).await, "applied");
        }
    }
    app.assert_all_done().await;
    app.finish().await;
}

/// All that a delivery may write, with Postgres's own versions of the rows.
async fn everything(app: &TestApp) -> Vec<String> {
    let statement = "
        select 'organizations ' || o.xmin || o::text from organizations o
        union all select 'memberships ' || m.xmin || m::text from memberships m
        union all select 'inbox ' || b.xmin || b::text from inbox b
        order by 1";
    let rows = app.sql.query(statement, &[]).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

/// R18.
#[tokio::test]
async fn organizations_of_another_instance_are_ignored() {
    let app = TestApp::new().await;
    let organization =
        json!({ "id": "org_1", "name": "Math", "updated_at": 1_700_000_000_000_i64 });
    let membership = loose_membership("orgmem_1", "org_1", "user_1");
    let end = json!({ "id": "org_1", "deleted": true });
    let cases = [
        ("organization.created", &organization),
        ("organization.updated", &organization),
        ("organization.deleted", &end),
        ("organizationMembership.created", &membership),
        ("organizationMembership.updated", &membership),
        ("organizationMembership.deleted", &membership),
    ];
    for (n, (kind, data)) in cases.into_iter().enumerate() {
        for instance in [json!("ins_other"), Value::Null] {
            let mut event = event_of(&app, kind, data.clone());
            event["instance_id"] = instance.clone();
            let svix_id = format!("msg_{n}_{}", instance.is_null());
            let answer = app.deliver_event(&svix_id, &event).await;
            assert_eq!(answer.body["outcome"], "ignored", "{kind}");
            assert_eq!(app.inbox(&svix_id).await["rule"], "R18");
        }
    }
    for table in ["users", "organizations", "memberships"] {
        assert_eq!(app.count(table).await, 0, "{table}");
    }
    assert_eq!(app.clerk.requests().len(), 0);
    app.database.remove().await;
}
