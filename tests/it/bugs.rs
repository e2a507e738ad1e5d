//! Bugs that handlers of Clerk's webhooks in the open had, one test for each.

use clerk_emulator::{Emulator, Message};
use serde_json::{Value, json};
use shared::http;
use tokio_postgres::types::Type;

use crate::support::TestApp;
use crate::support::database::Database;
use crate::support::gateway::{Answer, Call};
use crate::webhook::event;

/// Others insert where the row may be there already: the unique key is violated, the answer is
/// 500, and every repetition fails like the first.
#[tokio::test]
async fn a_create_for_a_row_that_is_there_is_no_error() {
    let app = TestApp::new().await;
    // The row came earlier: from a later event, and from a sign-in.
    let ada = app.clerk.create_user(json!({ "email": "ada@example.com" }));
    let ada = ada["id"].as_str().unwrap();
    app.clerk.advance(std::time::Duration::from_millis(10));
    app.clerk.update_user(ada, json!({ "first_name": "Ada" }));
    let [created, updated] = &app.clerk.take_messages()[..] else {
        panic!("two messages")
    };
    assert_eq!(app.deliver(updated).await.body["outcome"], "applied");
    assert_eq!(app.deliver(created).await.body["outcome"], "stale");
    let grace = json!({ "email": "grace@example.com", "public_metadata": { "role": "ADMIN" } });
    let grace = app.clerk.create_user(grace);
    let created = app.clerk.take_messages().pop().unwrap();
    let grace = grace["id"].as_str().unwrap();
    assert_eq!(app.get(grace, "/api/admin/statistics").await.status, 200);
    let answer = app.deliver(&created).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(app.count("users").await, 2);

    // The same message again, and the same event as a message of its own.
    assert_eq!(app.deliver(&created).await.body["outcome"], "duplicate");
    let again = serde_json::from_str(&created.body).unwrap();
    assert_eq!(app.deliver_event("msg_again", &again).await.status, 200);
    assert_eq!(app.count("users").await, 2);
    assert_eq!(app.count("role_changes").await, 2);
    app.finish().await;
}

/// Others write whatever comes last: an update that was on its way for long overwrites a newer
/// one, and one that comes after the delete makes the user live again.
#[tokio::test]
async fn a_late_update_neither_overwrites_nor_resurrects() {
    let app = TestApp::new().await;
    let ada = app.user("ada", Some("INSTRUCTOR")).await;
    let version = app.row(&ada).await["clerk_version"].as_i64().unwrap();
    let mut user = app.clerk.user(&ada).unwrap();
    let mut envelope = event(&app, &ada, json!({}));
    let mut send = async |svix_id: &str, kind: &str, version: i64| {
        user["updated_at"] = json!(version);
        user["first_name"] = json!(svix_id);
        user["public_metadata"] = json!({ "role": "ADMIN" });
        envelope["type"] = json!(kind);
        envelope["data"] = user.clone();
        let answer = app.deliver_event(svix_id, &envelope).await;
        (answer.status, answer.body["outcome"].clone())
    };
    let stale = (200, json!("stale"));
    for (id, kind) in [("msg_1", "user.updated"), ("msg_2", "user.created")] {
        assert_eq!(send(id, kind, version - 1).await, stale);
    }
    assert_eq!(app.row(&ada).await["first_name"], "ada");
    assert_eq!(app.role(&ada).await, "INSTRUCTOR");

    app.clerk.delete_user(&ada);
    app.deliver_all().await;
    let buried = app.row(&ada).await;
    for (id, kind, version) in [
        ("msg_3", "user.updated", version - 1),
        ("msg_4", "user.updated", version),
        // Even one that says that it is newer than the delete.
        ("msg_5", "user.updated", version + 3_600_000),
        ("msg_6", "user.created", version + 3_600_000),
    ] {
        assert_eq!(send(id, kind, version).await, stale, "{id}");
    }
    assert_eq!(app.row(&ada).await, buried, "not even a time moves");
    app.finish().await;
}

/// Others parse the body and sign what they print of it: blanks, the order of keys and escapes
/// come out differently, and what Clerk signed is refused. Or they do not verify at all.
#[tokio::test]
async fn a_signature_is_of_the_bytes_and_not_of_the_json() {
    let app = TestApp::new().await;
    let instance = app.clerk.instance_id();
    let body = format!(
        "\n{{ \"type\" :\t\"user.created\",\r\n  \"timestamp\": 1.7e12, \"instance_id\":\"{instance}\",
        \"data\": {{\"updated_at\":1700000000000, \"id\":\"user_1\", \"first_name\":\"\\u0041da \\u00e9\\ud83d\\ude00\",
        \"last_name\": \"<&>\", \"object\":\"user\", \"unknown\": 1.0}},\"object\":\"event\"}}\n\n"
    );
    let now = Emulator::real_ms() / 1000;
    let headers = app.clerk.sign_body("msg_1", now, body.as_bytes());
    let printed = serde_json::from_str::<Value>(&body).unwrap().to_string();
    assert_ne!(printed, body);
    let refused = app.deliver_body(&printed, headers.clone()).await;
    assert_eq!(
        (refused.status, &refused.body["code"]),
        (400, &json!("bad_signature"))
    );
    let trimmed = app.deliver_body(body.trim(), headers.clone()).await;
    assert_eq!(trimmed.status, 400);
    assert_eq!(app.count("inbox").await, 0);

    let answer = app.deliver_body(&body, headers).await;
    assert_eq!(
        (answer.status, &answer.body["outcome"]),
        (200, &json!("applied"))
    );
    let row = app.row("user_1").await;
    assert_eq!(
        (&row["first_name"], &row["last_name"]),
        (&json!("Ada é😀"), &json!("<&>"))
    );
    app.database.remove().await;
}

/// Gateways hand bodies over in base64; others verify that text, or what a parser made of it.
#[tokio::test]
async fn a_body_in_base64_still_verifies() {
    let app = TestApp::new().await;
    let message = |name: &str| {
        app.clerk.create_user(
            json!({ "email": format!("{name}@example.com"), "first_name": "Zoë \u{1f600}" }),
        );
        app.clerk.take_messages().pop().unwrap()
    };

    let from_gateway = message("gateway");
    let mut event = Call::new("POST", "/api/webhooks/clerk")
        .headers(app.clerk.sign(&from_gateway))
        .header("content-type", "application/json")
        .event();
    in_base64(&app, &mut event, &from_gateway).await;
    let answer = answer(&app, event).await;
    assert_eq!(answer, (200, json!("applied")), "API Gateway v2");

    // Netlify's form is that of API Gateway v1, without its context.
    for context in [None, Some(Value::Null), Some(json!({}))] {
        let from_netlify = message("netlify");
        let mut headers = json!({ "content-type": "application/json" });
        for (name, value) in app.clerk.sign(&from_netlify) {
            headers[name] = json!(value);
        }
        let mut event = json!({
            "httpMethod": "POST", "path": "/api/webhooks/clerk", "rawUrl": "https://a.example/api/webhooks/clerk",
            "rawQuery": "", "queryStringParameters": {}, "multiValueQueryStringParameters": {},
            "headers": headers, "multiValueHeaders": {},
        });
        if let Some(context) = &context {
            event["requestContext"] = context.clone();
        }
        in_base64(&app, &mut event, &from_netlify).await;
        let answer = self::answer(&app, event).await;
        assert_eq!(answer, (200, json!("applied")), "Netlify, {context:?}");
        app.clerk
            .delete_user(from_netlify_id(&from_netlify).as_str());
        app.deliver_all().await;
    }
    app.finish().await;
}

fn from_netlify_id(message: &Message) -> String {
    let event: Value = serde_json::from_str(&message.body).unwrap();
    event["data"]["id"].as_str().unwrap().to_owned()
}

async fn in_base64(app: &TestApp, event: &mut Value, message: &Message) {
    let statement = "select translate(encode($1, 'base64'), E'\n', '')";
    let row = app
        .sql
        .query_typed(statement, &[(&message.body.as_bytes(), Type::BYTEA)])
        .await
        .unwrap();
    event["body"] = json!(row[0].get::<_, String>(0));
    event["isBase64Encoded"] = json!(true);
}

async fn answer(app: &TestApp, event: Value) -> (u16, Value) {
    let handler = |request| clerk_webhook::handle(&app.webhook, request);
    let answer = Answer::read(&http::answer(event, &handler).await);
    (answer.status, answer.body["outcome"].clone())
}

/// Others remember `data.id`, which is the user's, and take the second event of a user for the
/// first one again.
#[tokio::test]
async fn two_events_of_one_user_are_two_events() {
    let app = TestApp::new().await;
    let ada = app.user("ada", Some("STUDENT")).await;
    for (name, role) in [("Augusta", "INSTRUCTOR"), ("Countess", "ADMIN")] {
        app.clerk.advance(std::time::Duration::from_millis(10));
        app.clerk.update_user(
            &ada,
            json!({ "first_name": name, "public_metadata": { "role": role } }),
        );
        assert_eq!(app.deliver_all().await, ["applied"]);
        assert_eq!(app.row(&ada).await["first_name"], name);
        assert_eq!(app.role(&ada).await, role);
    }
    let about_ada = format!("inbox where object_id = '{ada}' and outcome = 'applied'");
    assert_eq!(app.count(&about_ada).await, 3);
    app.clerk.delete_user(&ada);
    assert_eq!(app.deliver_all().await, ["applied"]);
    assert!(app.row(&ada).await["deleted_at"].is_string());
    app.finish().await;
}

/// Others write down that an event was taken in before its effect, or beside it: a crash between
/// the two loses the effect, since the repetition is taken for a duplicate.
#[tokio::test]
async fn an_effect_and_its_inbox_row_are_one_transaction() {
    let ways = [
        "raise exception 'no' using errcode = 'P0001'",
        "raise exception 'no' using errcode = 'XX000'",
        "raise exception 'no' using errcode = '53100'",
        "perform pg_terminate_backend(pg_backend_pid())",
    ];
    for way in ways {
        let app = TestApp::new().await;
        app.admin("grace").await;
        for table in ["users", "role_changes", "inbox"] {
            for kind in ["create", "demotion", "end"] {
                let message = message(&app, kind, table).await;
                let before = everything(&app).await;
                break_writes(&app, table, way).await;
                let answer = app.deliver(&message).await;
                let place = format!("{way}, {table}, {kind}");
                if kind == "end" && table == "role_changes" {
                    assert_eq!(answer.status, 200, "{place}: an end is no change of role");
                } else {
                    assert!(answer.status >= 500, "{place}: {}", answer.body);
                    assert_eq!(everything(&app).await, before, "{place}");
                }
                mend_writes(&app, table).await;
                if answer.status != 200 {
                    let answer = app.deliver(&message).await;
                    assert_eq!(answer.body["outcome"], "applied", "{place}");
                }
                assert_ne!(everything(&app).await, before, "{place}");
                let again = app.deliver(&message).await;
                assert_eq!(again.body["outcome"], "duplicate", "{place}");
            }
        }
        app.finish().await;
    }
}

/// The connection dies in the middle of the write, once: the write is done again, and once.
#[tokio::test]
async fn a_connection_that_dies_in_the_middle_of_a_write_costs_nothing() {
    for table in ["users", "role_changes", "inbox"] {
        for kind in ["create", "demotion"] {
            let app = TestApp::new().await;
            app.admin("grace").await;
            let message = message(&app, kind, "ada").await;
            let n_changes = app.count("role_changes").await;
            // A sequence is not set back with the transaction that it was counted in.
            app.execute("create sequence n_kills").await;
            let once = "if nextval('n_kills') = 1 then
                perform pg_terminate_backend(pg_backend_pid());
            end if";
            break_writes(&app, table, once).await;
            let answer = app.deliver(&message).await;
            let place = format!("{table}, {kind}");
            assert_eq!(
                (answer.status, &answer.body["outcome"]),
                (200, &json!("applied")),
                "{place}"
            );
            assert_eq!(app.count("role_changes").await, n_changes + 1, "{place}");
            mend_writes(&app, table).await;
            app.finish().await;
        }
    }
}

/// A message whose effect is a new user, an admin who is none any more, or a user's end.
async fn message(app: &TestApp, kind: &str, name: &str) -> Message {
    let name = format!("{name}_{kind}");
    match kind {
        "create" => {
            app.clerk
                .create_user(json!({ "email": format!("{name}@example.com") }));
        }
        "demotion" => {
            let user = app.admin(&name).await;
            app.clerk.advance(std::time::Duration::from_millis(10));
            app.clerk.set_role(&user, "STUDENT");
        }
        _ => {
            let user = app.admin(&name).await;
            app.clerk.delete_user(&user);
        }
    }
    app.clerk.take_messages().pop().unwrap()
}

async fn break_writes(app: &TestApp, table: &str, way: &str) {
    app.execute(&format!(
        "create function break_write() returns trigger language plpgsql as $$
        begin
            {way};
            return null;
        end
        $$;
        create trigger break_write after insert or update on {table}
            for each row execute function break_write()"
    ))
    .await;
}

async fn mend_writes(app: &TestApp, table: &str) {
    app.execute(&format!("drop trigger break_write on {table}"))
        .await;
    app.execute("drop function break_write").await;
}

/// All that a delivery may write, with Postgres's own versions of the rows.
async fn everything(app: &TestApp) -> Vec<String> {
    let statement = "
        select 'users ' || u.xmin || u::text from users u
        union all select 'inbox ' || b.xmin || b::text from inbox b
        union all select 'outbox ' || o.xmin || o::text from outbox o
        union all select 'role_changes ' || c.xmin || c::text from role_changes c
        order by 1";
    let rows = app.sql.query(statement, &[]).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

/// Others answer 200 whatever happens, "to avoid retries", and what failed is lost.
#[tokio::test]
async fn what_was_not_stored_is_never_answered_200() {
    // The server is away.
    let database = Database::new().await;
    let app = TestApp::at(database, "postgres://app@127.0.0.1:1/none", &[]).await;
    for (answer, kind) in deliver_each(&app).await {
        assert_eq!(
            (answer.status, &answer.body["code"]),
            (503, &json!("database_unavailable")),
            "{kind}"
        );
    }
    app.database.remove().await;

    // The server is there and takes nothing.
    let broken = [
        "alter table inbox rename to elsewhere",
        "alter table inbox drop column rule",
        "alter database :name set default_transaction_read_only = on",
    ];
    for statement in broken {
        let app = TestApp::new().await;
        let name: String = app
            .sql
            .query_one("select current_database()::text", &[])
            .await
            .unwrap()
            .get(0);
        app.execute(&statement.replace(":name", &name)).await;
        for (answer, kind) in deliver_each(&app).await {
            assert!(answer.status >= 500, "{statement}: {kind}: {}", answer.body);
        }
        app.database.remove().await;
    }
}

/// One delivery of each kind: a user, an end, of no interest, of another instance, unreadable.
async fn deliver_each(app: &TestApp) -> Vec<(Answer, &'static str)> {
    let user = event(
        app,
        "user_1",
        json!({ "updated_at": 1_700_000_000_000_i64 }),
    );
    let of = |kind: &str, data: Value| {
        let mut event = user.clone();
        event["type"] = json!(kind);
        event["data"] = data;
        event
    };
    let mut foreign = user.clone();
    foreign["instance_id"] = json!("ins_other");
    let end = of("user.deleted", json!({ "id": "user_1", "deleted": true }));
    let cases = [
        ("user", user.clone()),
        ("end", end),
        (
            "of no interest",
            of("session.created", json!({ "id": "sess_1" })),
        ),
        ("of another instance", foreign),
        ("unreadable", of("user.updated", json!({ "id": 7 }))),
    ];
    let mut answers = Vec::new();
    for (kind, event) in cases {
        let svix_id = format!("msg_{}", kind.replace(' ', "_"));
        answers.push((app.deliver_event(&svix_id, &event).await, kind));
    }
    answers
}

/// Others take `email_addresses[0]`, which may be any address that the user ever added.
#[tokio::test]
async fn the_address_is_the_primary_one_and_not_the_first() {
    let app = TestApp::new().await;
    app.execute("insert into users (email, role) values ('work@example.com', 'ADMIN')")
        .await;
    let address = |id: &str, address: &str| {
        json!({
            "object": "email_address", "id": id, "email_address": address,
            "verification": { "status": "verified", "strategy": "email_code" },
        })
    };
    let addresses = json!([
        address("idn_1", "work@example.com"),
        address("idn_2", "home@example.com")
    ]);
    let cases = [
        ("user_second", json!("idn_2"), json!("home@example.com")),
        ("user_none", Value::Null, Value::Null),
        ("user_unknown", json!("idn_3"), Value::Null),
        ("user_empty", json!(""), Value::Null),
    ];
    for (id, primary, expected) in cases {
        let user = json!({
            "updated_at": 1_700_000_000_000_i64, "email_addresses": addresses,
            "primary_email_address_id": primary,
        });
        let answer = app.deliver_event(id, &event(&app, id, user)).await;
        assert_eq!(answer.body["outcome"], "applied", "{id}");
        let row = app.row(id).await;
        assert_eq!(row["email"], expected, "{id}");
        assert_eq!(row["email_verified"], json!(expected.is_string()), "{id}");
        assert_eq!(
            row["role"], "STUDENT",
            "{id}: nobody is adopted by another address"
        );
    }
    assert_eq!(app.count("users").await, 5);
    app.database.remove().await;
}

/// Others meet a membership before its organization or its user, write a warning, and answer 200:
/// what they did not write down then never comes again.
#[tokio::test]
async fn a_membership_before_what_it_hangs_on_is_not_lost() {
    for is_away in [false, true] {
        let app = TestApp::new().await;
        let ada = app.clerk.create_user(json!({ "email": "ada@example.com" }));
        let ada = ada["id"].as_str().unwrap();
        app.clerk
            .create_organization(json!({ "name": "Math", "created_by": ada }));
        // Of all that happened, only the last message ever arrives.
        let membership = app.clerk.take_messages().pop().unwrap();
        if is_away {
            app.clerk.down();
        }
        assert_eq!(app.deliver(&membership).await.body["outcome"], "applied");
        assert_eq!(app.count("memberships where deleted_at is null").await, 1);
        assert_eq!(app.deliver(&membership).await.body["outcome"], "duplicate");
        app.clerk.up();
        app.finish().await;
    }
}

/// Others count members up and down with each delivery: repeated ones are counted again.
#[tokio::test]
async fn members_are_counted_by_who_they_are() {
    let app = TestApp::new().await;
    let math = app.clerk.create_organization(json!({ "name": "Math" }));
    let math = math["id"].as_str().unwrap();
    let mut names = Vec::new();
    for name in ["ada", "grace", "mary"] {
        names.push(app.user(name, None).await);
    }
    for user in &names {
        app.clerk.add_member(math, user, "org:member");
        app.clerk.advance(std::time::Duration::from_millis(10));
        app.clerk.set_member_role(math, user, "org:admin");
    }
    app.clerk.remove_member(math, &names[0]);
    let messages = app.clerk.take_messages();
    // Each message again, and each event as a message of its own, in the wrong order.
    for round in 0..3 {
        for (n, message) in messages.iter().rev().enumerate() {
            let again = serde_json::from_str(&message.body).unwrap();
            let svix_id = format!("msg_{round}_{n}");
            assert_eq!(app.deliver(message).await.status, 200);
            assert_eq!(app.deliver_event(&svix_id, &again).await.status, 200);
        }
        assert_eq!(app.count("memberships where deleted_at is null").await, 2);
        assert_eq!(app.count("memberships").await, 3);
    }
    app.finish().await;
}

/// Others do not listen to ends and changes of memberships, or let them outlive their
/// organization: who was shut out goes on to see everything.
#[tokio::test]
async fn who_is_shut_out_of_an_organization_is_out() {
    let app = TestApp::new().await;
    let ada = app.user("ada", None).await;
    let grace = app.user("grace", None).await;
    let mary = app.user("mary", None).await;
    let math = app.clerk.create_organization(json!({ "name": "Math" }));
    let math = math["id"].as_str().unwrap();
    for user in [&ada, &grace, &mary] {
        app.clerk.add_member(math, user, "org:admin");
    }
    app.deliver_all().await;
    app.clerk.advance(std::time::Duration::from_millis(10));
    app.clerk.set_member_role(math, &ada, "org:member");
    app.clerk.remove_member(math, &grace);
    assert_eq!(app.deliver_all().await, ["applied", "applied"]);
    let role = "
        select coalesce(max(m.role), 'none')
        from memberships m
        join users u on u.id = m.user_id
        where u.clerk_id = $1 and m.deleted_at is null";
    for (user, expected) in [(&ada, "org:member"), (&grace, "none"), (&mary, "org:admin")] {
        assert_eq!(app.one(role, user).await, expected);
    }
    // Clerk says that the organization is gone, and not a word about its members.
    app.clerk.delete_organization(math);
    assert_eq!(app.deliver_all().await, ["applied"]);
    for user in [&ada, &grace, &mary] {
        assert_eq!(app.one(role, user).await, "none");
    }
    app.finish().await;
}

/// Others delete by organization and user: the late end of an old membership shuts out who has
/// joined again.
#[tokio::test]
async fn an_end_is_of_one_membership_and_not_of_the_pair() {
    let app = TestApp::new().await;
    let ada = app.user("ada", None).await;
    let math = app.clerk.create_organization(json!({ "name": "Math" }));
    let math = math["id"].as_str().unwrap();
    let mut ends = Vec::new();
    for _ in 0..3 {
        app.clerk.add_member(math, &ada, "org:member");
        app.deliver_all().await;
        app.clerk.advance(std::time::Duration::from_millis(10));
        app.clerk.remove_member(math, &ada);
        ends.extend(app.clerk.take_messages());
        app.clerk.advance(std::time::Duration::from_millis(10));
    }
    let last = app.clerk.add_member(math, &ada, "org:admin");
    app.deliver_all().await;
    for end in &ends {
        assert_eq!(app.deliver(end).await.status, 200);
        let live = "memberships where deleted_at is null and clerk_id = ";
        let live = format!("{live}'{}'", last["id"].as_str().unwrap());
        assert_eq!(app.count(&live).await, 1);
    }
    app.finish().await;
}
