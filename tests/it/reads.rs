//! What admins read: lists, searches, counts, one user, and who changed which role.

mod organizations;
mod statistics;

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::support::TestApp;

/// The keys of a user, the same everywhere.
pub(crate) const USER_KEYS: [&str; 17] = [
    "builderGroupId",
    "clerkId",
    "clerkSync",
    "confirmedAt",
    "createdAt",
    "email",
    "firstName",
    "id",
    "imageUrl",
    "isPlaceholder",
    "lastName",
    "lastSignInAt",
    "name",
    "role",
    "state",
    "updatedAt",
    "username",
];

/// Each order, its key in the answer, and whether it descends.
const ORDERS: [(&str, &str, bool); 7] = [
    ("-createdAt", "createdAt", true),
    ("createdAt", "createdAt", false),
    ("name", "name", false),
    ("-name", "name", true),
    ("email", "email", false),
    ("-email", "email", true),
    ("-lastSignInAt", "lastSignInAt", true),
];

/// Two dozen rows with ties and nulls in every key, and an admin who reads them.
async fn populated() -> (TestApp, String) {
    let app = TestApp::new().await;
    let admin = app.admin("zoe").await;
    app.execute(
        "insert into users (first_name, email, created_at, last_sign_in_at, role)
        select
            case when n % 4 > 0 then chr(96 + n % 4) end,
            case when n % 5 > 0 then chr(96 + n % 5) || '@example.com' end,
            timestamptz '2026-01-01' + (n / 7) * interval '1 microsecond',
            case when n % 3 > 0 then timestamptz '2026-02-01' + (n % 3) * interval '1 day' end,
            (array['STUDENT', 'INSTRUCTOR'])[1 + n % 2]::user_role
        from generate_series(1, 24) n;
        insert into users (first_name, deleted_at) values ('gone', now())",
    )
    .await;
    (app, admin)
}

/// All pages, one after the other; `between` happens after each.
async fn pages(app: &TestApp, admin: &str, query: &str, between: &str) -> Vec<Value> {
    let mut users = Vec::new();
    let mut cursor = String::new();
    for _ in 0..100 {
        let path = format!("/api/admin/users?{query}{cursor}");
        let answer = app.get(admin, &path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        users.extend(answer.body["users"].as_array().unwrap().iter().cloned());
        if !between.is_empty() {
            app.execute(between).await;
        }
        match answer.body["nextCursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return users,
        }
    }
    panic!("the pages have no end");
}

fn ids(users: &[Value]) -> Vec<&str> {
    users
        .iter()
        .map(|user| user["id"].as_str().unwrap())
        .collect()
}

/// What is null counts as less than everything.
fn assert_ordered(users: &[Value], key: &str, descends: bool) {
    let value = |user: &Value| {
        user[key]
            .as_str()
            .map(|text| match text.parse::<Timestamp>() {
                Ok(at) => format!("{:030}", at.as_nanosecond()),
                Err(_) => text.to_lowercase(),
            })
    };
    let mut keys: Vec<_> = users.iter().map(value).collect();
    if descends {
        keys.reverse();
    }
    assert!(keys.is_sorted(), "{key}: {keys:?}");
}

#[tokio::test]
async fn pages_in_every_order_have_every_row_once() {
    let (app, admin) = populated().await;
    for (order, key, descends) in ORDERS {
        for limit in [1, 4, 24, 25, 26] {
            let query = format!("sort={order}&limit={limit}");
            let users = pages(&app, &admin, &query, "").await;
            assert_eq!(users.len(), 25, "{query}");
            assert_eq!(ids(&users).iter().collect::<BTreeSet<_>>().len(), 25);
            assert_ordered(&users, key, descends);
        }
    }
    app.database.remove().await;
}

#[tokio::test]
async fn rows_that_come_between_two_pages_neither_repeat_nor_hide_others() {
    let (app, admin) = populated().await;
    let users = pages(&app, &admin, "limit=500", "").await;
    let expected: BTreeSet<&str> = ids(&users).into_iter().collect();
    // One before all others, one after, one with the keys of another.
    let between = "
        insert into users (builder_group_id, first_name, email, created_at, last_sign_in_at) values
            ('late', 'a', 'a@example.com', '2000-01-01', '2000-01-01'),
            ('late', 'z', 'z@example.com', '2100-01-01', '2100-01-01'),
            ('late', null, null, '2026-01-01', null)";
    for (order, key, descends) in ORDERS {
        let users = pages(&app, &admin, &format!("sort={order}&limit=4"), between).await;
        let found = ids(&users);
        let unique: BTreeSet<&str> = found.iter().copied().collect();
        assert_eq!(unique.len(), found.len(), "{order}: no row twice");
        assert!(unique.is_superset(&expected), "{order}: none is missing");
        assert_ordered(&users, key, descends);
        app.execute("delete from users where builder_group_id = 'late'")
            .await;
    }
    app.database.remove().await;
}

#[tokio::test]
async fn the_newest_come_first_unless_another_order_is_asked_for() {
    let (app, admin) = populated().await;
    let unasked = pages(&app, &admin, "limit=7", "").await;
    let asked = pages(&app, &admin, "sort=-createdAt&limit=7", "").await;
    assert_eq!(ids(&unasked), ids(&asked));
    // A cursor knows its order.
    let first = app.get(&admin, "/api/admin/users?sort=name&limit=20").await;
    let cursor = first.body["nextCursor"].as_str().unwrap();
    let path = format!("/api/admin/users?limit=20&cursor={cursor}");
    let second = app.get(&admin, &path).await;
    let mut users = first.body["users"].as_array().unwrap().clone();
    users.extend(second.body["users"].as_array().unwrap().iter().cloned());
    assert_eq!(users.len(), 25);
    assert_ordered(&users, "name", false);
    app.database.remove().await;
}

#[tokio::test]
async fn the_total_is_of_all_that_match_and_a_page_is_as_long_as_asked() {
    let (app, admin) = populated().await;
    let check = async |query: &str, n_users: usize, total: i64, has_more: bool| {
        let answer = app.get(&admin, &format!("/api/admin/users?{query}")).await;
        let body = &answer.body;
        assert_eq!(body["users"].as_array().unwrap().len(), n_users, "{query}");
        assert_eq!(body["total"], total, "{query}");
        assert_eq!(body["nextCursor"].is_string(), has_more, "{query}");
        let mut keys: Vec<&String> = body.as_object().unwrap().keys().collect();
        keys.sort();
        assert_eq!(keys, ["nextCursor", "total", "users"]);
    };
    check("", 25, 25, false).await;
    check("limit=25", 25, 25, false).await;
    check("limit=24", 24, 25, true).await;
    check("limit=1", 1, 25, true).await;
    check("role=ADMIN", 1, 1, false).await;
    check("role=student&limit=5", 5, 12, true).await;
    check("role=INSTRUCTOR&search=A@example", 3, 3, false).await;
    check("search=nobody", 0, 0, false).await;
    check("search=", 25, 25, false).await;
    app.execute("insert into users (email) select 'many' from generate_series(1, 100)")
        .await;
    check("", 50, 125, true).await;
    check("limit=500", 125, 125, false).await;
    app.database.remove().await;
}

#[tokio::test]
async fn a_search_finds_parts_of_names_addresses_and_usernames_and_whole_ids() {
    let app = TestApp::new().await;
    let admin = app.admin("root").await;
    let rows = [
        ("Ada", "Lovelace", "countess@engine.example", "ada_1815"),
        ("Grace", "Hopper", "grace@navy.example", "amazing"),
        ("Élodie", "O'Neil", "percent%sign@x.example", "per100cent"),
        ("Back", "Slash", r"back\slash@x.example", "adaX1815"),
    ];
    for (n, (first, last, email, username)) in rows.iter().enumerate() {
        app.sql
            .execute(
                "insert into users (clerk_id, first_name, last_name, email, username)
                values ($1, $2, $3, $4, $5)",
                &[&format!("user_{n}"), first, last, email, username],
            )
            .await
            .unwrap();
    }
    let check = async |search: &str, expected: &[&str]| {
        let path = format!("/api/admin/users?sort=name&search={search}");
        let answer = app.get(&admin, &path).await;
        assert_eq!(answer.status, 200, "{search}: {}", answer.body);
        let found: Vec<&str> = answer.body["users"]
            .as_array()
            .unwrap()
            .iter()
            .map(|user| user["clerkId"].as_str().unwrap())
            .collect();
        assert_eq!(found, expected, "{search}");
        assert_eq!(answer.body["total"], expected.len(), "{search}");
    };
    check("lovel", &["user_0"]).await;
    check("LOVEL", &["user_0"]).await;
    check("ada%20love", &["user_0"]).await;
    check("ada+love", &["user_0"]).await;
    check("ENGINE", &["user_0"]).await;
    check("maz", &["user_1"]).await;
    check("%C3%89LOD", &["user_2"]).await;
    check("o'neil", &["user_2"]).await;
    // Wildcards of the database are plain characters here.
    check("%25", &["user_2"]).await;
    check("t%25s", &["user_2"]).await;
    check("a_1", &["user_0"]).await;
    check("_", &["user_0"]).await;
    check("%5C", &["user_3"]).await;
    check("';drop%20table%20users;--", &[]).await;
    // Ids are found as a whole only.
    check("user_1", &["user_1"]).await;
    check("user_", &[]).await;
    let uuid = app.row("user_3").await["id"].as_str().unwrap().to_owned();
    check(&uuid, &["user_3"]).await;
    check(&uuid[..8], &[]).await;
    app.database.remove().await;
}

/// By Clerk's id or ours; who was a member before is none.
#[tokio::test]
async fn a_list_is_narrowed_to_the_members_of_an_organization() {
    let app = TestApp::new().await;
    let admin = app.admin("grace").await;
    let ada = app.user("ada", None).await;
    let bob = app.user("bob", Some("INSTRUCTOR")).await;
    let joan = app.user("joan", None).await;
    let made = |name: &str, by: &str| {
        let organization = json!({ "name": name, "created_by": by });
        let organization = app.clerk.create_organization(organization);
        organization["id"].as_str().unwrap().to_owned()
    };
    let club = made("Club", &ada);
    let guild = made("Guild", &joan);
    app.clerk.add_member(&club, &bob, "org:member");
    app.clerk.add_member(&club, &joan, "org:member");
    app.clerk.remove_member(&club, &joan);
    app.settle().await;
    let statement = "select id::text from organizations where clerk_id = $1";
    let uuid = app.one(statement, &club).await;
    let check = async |query: &str, expected: &[&str]| {
        let path = format!("/api/admin/users?sort=name&{query}");
        let body = app.get(&admin, &path).await.body;
        let users = body["users"].as_array().unwrap();
        let names: Vec<_> = users.iter().map(|user| &user["name"]).collect();
        assert_eq!(names, expected, "{query}");
        assert_eq!(body["total"], expected.len(), "{query}");
    };
    check(&format!("organization={club}"), &["ada", "bob"]).await;
    check(&format!("organization={uuid}"), &["ada", "bob"]).await;
    let loud = uuid.to_uppercase();
    check(&format!("organization={loud}"), &["ada", "bob"]).await;
    check(&format!("organization={guild}"), &["joan"]).await;
    check("organization=org_nowhere", &[]).await;
    let of_instructors = format!("organization={club}&role=INSTRUCTOR");
    check(&of_instructors, &["bob"]).await;
    let found = format!("organization={club}&search=ada&limit=1");
    check(&found, &["ada"]).await;

    let body = app
        .get(&admin, &format!("/api/admin/users/{joan}"))
        .await
        .body;
    let memberships = body["memberships"].as_array().unwrap();
    assert_eq!(memberships.len(), 1, "{body}");
    let shown = ["clerkOrgId", "organizationName", "role", "isPlaceholder"];
    assert_eq!(
        json!(shown.map(|key| &memberships[0][key])),
        json!([guild, "Guild", "org:admin", false])
    );
    app.finish().await;
}

/// As each user is shown, and no otherwise; who is deleted is listed only if they are asked for.
#[tokio::test]
async fn a_list_is_narrowed_to_a_state() {
    let app = TestApp::new().await;
    let admin = app.admin("grace").await;
    app.execute(
        "insert into users (username, deleted_at, deprovisioned, banned, locked, role)
        select
            n, case when n & 8 > 0 then now() end, n & 4 > 0, n & 2 > 0, n & 1 > 0,
            (array['STUDENT', 'INSTRUCTOR'])[1 + n % 2]::user_role
        from generate_series(0, 15) n",
    )
    .await;
    let states = [
        ("active", 2),
        ("locked", 1),
        ("banned", 2),
        ("deprovisioned", 4),
        ("deleted", 8),
    ];
    let mut found = BTreeSet::new();
    for (state, n_users) in states {
        let query = format!("state={state}&limit=3&sort=name");
        let users = pages(&app, &admin, &query, "").await;
        assert_eq!(users.len(), n_users, "{state}");
        for user in &users {
            assert_eq!(user["state"], state, "{user}");
        }
        found.extend(ids(&users).into_iter().map(str::to_owned));
        let path = format!("/api/admin/users?limit=1&{query}").replace("limit=3&", "");
        assert_eq!(
            app.get(&admin, &path).await.body["total"],
            n_users,
            "{state}"
        );
    }
    assert_eq!(found.len(), 17);
    let unasked = pages(&app, &admin, "limit=5", "").await;
    assert_eq!(unasked.len(), 9);
    assert!(unasked.iter().all(|user| user["state"] != "deleted"));

    let check = async |query: &str, expected: i64| {
        let body = app
            .get(&admin, &format!("/api/admin/users?{query}"))
            .await
            .body;
        assert_eq!(body["total"], expected, "{query}");
    };
    check("state=deprovisioned&role=INSTRUCTOR", 2).await;
    check("state=active&role=ADMIN&search=grace", 1).await;
    check("state=banned&search=grace", 0).await;
    check("state=active&organization=org_nowhere", 0).await;
    app.database.remove().await;
}

#[tokio::test]
async fn a_list_is_narrowed_to_those_whose_role_clerk_was_not_told() {
    let app = TestApp::new().await;
    let admin = app.admin("grace").await;
    let ada = app.user("ada", Some("STUDENT")).await;
    let bob = app.user("bob", Some("STUDENT")).await;
    let joan = app.user("joan", Some("STUDENT")).await;
    app.execute("insert into users (username) values ('without an account')")
        .await;
    let names = async |query: &str| -> Vec<Value> {
        let path = format!("/api/admin/users?sort=name&{query}");
        let body = app.get(&admin, &path).await.body;
        let users = body["users"].as_array().unwrap();
        assert_eq!(body["total"], users.len(), "{query}");
        for user in users {
            assert!(
                query.ends_with(user["clerkSync"].as_str().unwrap()),
                "{query}: {user}"
            );
        }
        users.iter().map(|user| user["name"].clone()).collect()
    };
    app.clerk.down();
    for user in [&ada, &bob, &joan] {
        let set = app
            .set_role(&admin, user, json!({ "role": "INSTRUCTOR" }))
            .await;
        assert_eq!(set.body["clerkSync"], "pending");
    }
    app.execute(&format!(
        "update outbox set dead_at = now()
        where user_id = (select id from users where clerk_id = '{bob}')"
    ))
    .await;
    let none = Value::Null;
    assert_eq!(
        names("clerkSync=pending").await,
        [none.clone(), json!("ada"), json!("joan")]
    );
    assert_eq!(names("clerkSync=dead").await, ["bob"]);
    assert_eq!(names("clerkSync=synced").await, ["grace"]);
    assert_eq!(
        names("search=ada&role=INSTRUCTOR&clerkSync=pending").await,
        ["ada"]
    );
    assert!(names("role=ADMIN&clerkSync=pending").await.is_empty());
    app.clerk.up();
    app.forget_waits().await;
    app.reconcile().await;
    assert_eq!(names("clerkSync=pending").await, [none]);
    assert_eq!(names("clerkSync=synced").await, ["ada", "grace", "joan"]);
    app.database.remove().await;
}

#[tokio::test]
async fn statistics_equal_a_count() {
    let (app, admin) = populated().await;
    app.execute("update users set banned = true where first_name = 'a'")
        .await;
    let answer = app.get(&admin, "/api/admin/statistics").await;
    let count = async |role: &str| {
        app.count(&format!(
            "users where deleted_at is null and role = '{role}'"
        ))
        .await
    };
    let counts = [
        count("ADMIN").await,
        count("INSTRUCTOR").await,
        count("STUDENT").await,
    ];
    assert_eq!(counts, [1, 12, 12]);
    assert_eq!(
        answer.body,
        json!({
            "totalUsers": 25, "adminCount": 1, "instructorCount": 12, "studentCount": 12,
        })
    );
    app.database.remove().await;
}

#[tokio::test]
async fn a_user_is_shown_with_their_roles_and_events() {
    let app = TestApp::new().await;
    let admin = app.admin("grace").await;
    let ada = app.user("ada", Some("STUDENT")).await;
    app.set_role(&admin, &ada, json!({ "role": "INSTRUCTOR" }))
        .await;
    app.deliver_all().await;
    let uuid = app.row(&ada).await["id"].as_str().unwrap().to_owned();
    let by_clerk_id = app.get(&admin, &format!("/api/admin/users/{ada}")).await;
    let by_uuid = app.get(&admin, &format!("/api/admin/users/{uuid}")).await;
    assert_eq!(by_clerk_id, by_uuid);
    let body = by_uuid.body;
    assert_eq!(body["user"]["clerkId"], json!(ada));
    let short = |list: &Value, keys: [&str; 3]| -> Vec<Value> {
        let short = |it: &Value| json!([it[keys[0]], it[keys[1]], it[keys[2]]]);
        list.as_array().unwrap().iter().map(short).collect()
    };
    assert_eq!(
        short(&body["roleChanges"], ["oldRole", "newRole", "source"]),
        [
            json!(["STUDENT", "INSTRUCTOR", "admin_panel"]),
            json!([null, "STUDENT", "webhook"])
        ]
    );
    assert_eq!(
        short(&body["events"], ["eventType", "outcome", "rule"]),
        [
            json!(["user.updated", "applied", "R2"]),
            json!(["user.created", "applied", "R1"])
        ]
    );
    let keys: BTreeSet<&String> = body["roleChanges"][0].as_object().unwrap().keys().collect();
    let expected = [
        "actor",
        "actorName",
        "at",
        "id",
        "newRole",
        "oldRole",
        "requestId",
        "source",
        "svixId",
        "userClerkId",
        "userId",
        "userName",
    ];
    assert!(keys.into_iter().eq(expected.iter()));

    // Somebody without an account in Clerk, and somebody who is gone.
    app.execute("insert into users (id, email) values ('00000000-0000-4000-8000-000000000001', 'x@example.com')").await;
    let path = "/api/admin/users/00000000-0000-4000-8000-000000000001";
    let body = app.get(&admin, path).await.body;
    assert_eq!(
        (&body["user"]["clerkId"], &body["user"]["clerkSync"]),
        (&Value::Null, &json!("pending"))
    );
    assert_eq!(
        (&body["events"], &body["roleChanges"]),
        (&json!([]), &json!([]))
    );
    app.clerk.delete_user(&ada);
    app.deliver_all().await;
    let body = app
        .get(&admin, &format!("/api/admin/users/{ada}"))
        .await
        .body;
    assert_eq!(body["user"]["state"], "deleted");
    app.database.remove().await;
}

#[tokio::test]
async fn role_changes_are_filtered_and_paged() {
    let app = TestApp::new().await;
    let grace = app.admin("grace").await;
    let joan = app.admin("joan").await;
    let ada = app.user("ada", Some("STUDENT")).await;
    for (admin, role) in [
        (&grace, "INSTRUCTOR"),
        (&joan, "STUDENT"),
        (&grace, "ADMIN"),
    ] {
        app.set_role(admin, &ada, json!({ "role": role })).await;
    }
    let uuid = app.row(&ada).await["id"].as_str().unwrap().to_owned();
    let changes = async |query: &str| -> Vec<Value> {
        let path = format!("/api/admin/role-changes?{query}");
        let answer = app.get(&grace, &path).await;
        assert_eq!(answer.status, 200, "{query}: {}", answer.body);
        answer.body["roleChanges"].as_array().unwrap().clone()
    };
    let all = changes("").await;
    assert_eq!(all.len(), 6);
    let ids: Vec<i64> = all
        .iter()
        .map(|change| change["id"].as_i64().unwrap())
        .collect();
    assert!(ids.is_sorted_by(|a, b| a > b), "the newest come first");

    let of_ada = changes(&format!("userId={ada}")).await;
    assert_eq!(of_ada.len(), 4);
    assert_eq!(changes(&format!("userId={uuid}")).await, of_ada);
    assert!(of_ada.iter().all(|change| change["userId"] == uuid));
    let by_grace = changes(&format!("actor={grace}")).await;
    let roles: Vec<_> = by_grace.iter().map(|change| &change["newRole"]).collect();
    assert_eq!(roles, ["ADMIN", "INSTRUCTOR"]);
    assert_eq!(
        changes(&format!("actor={joan}&userId={ada}")).await.len(),
        1
    );
    assert_eq!(changes("actor=clerk").await.len(), 3);
    assert_eq!(changes("actor=nobody").await.len(), 0);
    let since = all[2]["at"].as_str().unwrap();
    assert_eq!(
        changes(&format!("since={since}")).await,
        all[..3],
        "not before this"
    );
    assert_eq!(changes("since=2126-01-01T00:00:00Z").await.len(), 0);
    let with_offset = "since=2026-01-01T00:00:00%2B02:00";
    assert_eq!(changes(with_offset).await.len(), 6);

    let mut paged = Vec::new();
    let mut query = "limit=4".to_owned();
    loop {
        let path = format!("/api/admin/role-changes?{query}");
        let body = app.get(&grace, &path).await.body;
        paged.extend(body["roleChanges"].as_array().unwrap().iter().cloned());
        let Some(cursor) = body["nextCursor"].as_i64() else {
            break;
        };
        query = format!("limit=4&cursor={cursor}");
    }
    assert_eq!(paged, all);
    let body = app
        .get(&grace, "/api/admin/role-changes?limit=6")
        .await
        .body;
    assert_eq!(body["nextCursor"], Value::Null, "these are all");
    app.finish().await;
}

/// Whose role it is and who changed it are named: by their name, or else by their address.
#[tokio::test]
async fn a_change_of_a_role_names_both_people() {
    let app = TestApp::new().await;
    let grace = app.admin("grace").await;
    let ada = app.user("ada", Some("STUDENT")).await;
    app.set_role(&grace, &ada, json!({ "role": "ADMIN" })).await;
    app.set_role(&ada, &grace, json!({ "role": "STUDENT" }))
        .await;
    app.execute(
        "update users set first_name = null where email = 'ada@example.com';
        insert into users (username) values ('nobody knows me');
        insert into role_changes (user_id, old_role, new_role, actor, source)
        select id, null, 'STUDENT', 'user_gone', 'migration'
        from users
        where username = 'nobody knows me'",
    )
    .await;
    let short = |change: &Value| {
        let keys = ["userName", "userClerkId", "newRole", "actorName", "actor"];
        Value::Array(keys.iter().map(|key| change[*key].clone()).collect())
    };
    let expected = [
        json!([null, null, "STUDENT", null, "user_gone"]),
        json!(["grace", grace, "STUDENT", "ada@example.com", ada]),
        json!(["ada@example.com", ada, "ADMIN", "grace", grace]),
        json!(["ada@example.com", ada, "STUDENT", null, "clerk"]),
        json!(["grace", grace, "ADMIN", null, "clerk"]),
    ];
    let path = "/api/admin/role-changes";
    let body = app.get(&ada, path).await.body;
    let changes = body["roleChanges"].as_array().unwrap();
    assert_eq!(changes.iter().map(short).collect::<Vec<_>>(), expected);

    let body = app.get(&ada, &format!("/api/admin/users/{ada}")).await.body;
    let of_ada = body["roleChanges"].as_array().unwrap();
    assert_eq!(of_ada[..], changes[2..4]);
    app.database.remove().await;
}

#[tokio::test]
async fn a_user_has_the_same_keys_everywhere_and_times_in_utc() {
    let app = TestApp::new().await;
    let admin = app.admin("grace").await;
    let ada = app.clerk.create_user(json!({
        "email": "ada@example.com", "first_name": "Ada", "last_name": "Lovelace",
        "username": "countess", "public_metadata": { "role": "STUDENT" },
    }));
    let ada = ada["id"].as_str().unwrap();
    app.clerk.session_token(ada);
    app.clerk.update_user(ada, json!({ "last_name": "King" }));
    app.deliver_all().await;
    let listed = app.get(&admin, "/api/admin/users?search=countess").await;
    let shown = app.get(&admin, &format!("/api/admin/users/{ada}")).await;
    let user = &shown.body["user"];
    assert_eq!(&listed.body["users"][0], user);
    let set = app
        .set_role(&admin, ada, json!({ "role": "INSTRUCTOR" }))
        .await;
    for user in [user, &set.body["user"]] {
        let mut keys: Vec<&String> = user.as_object().unwrap().keys().collect();
        keys.sort();
        assert_eq!(keys, USER_KEYS);
        for key in ["createdAt", "updatedAt", "lastSignInAt", "confirmedAt"] {
            let text = user[key]
                .as_str()
                .unwrap_or_else(|| panic!("{key}: {user}"));
            assert!(text.ends_with('Z') && text.contains('T'), "{key}: {text}");
            let at: Timestamp = text.parse().unwrap();
            let age = Timestamp::now().duration_since(at).as_secs();
            assert!((-60..600).contains(&age), "{key}: {text}");
        }
    }
    let expected = json!({
        "clerkId": ada, "email": "ada@example.com", "firstName": "Ada", "lastName": "King",
        "name": "Ada King", "username": "countess", "role": "STUDENT", "state": "active",
        "clerkSync": "synced", "isPlaceholder": false, "builderGroupId": null,
    });
    for (key, value) in expected.as_object().unwrap() {
        assert_eq!(&user[key], value, "{key}");
    }
    app.finish().await;
}

/// Clerk's own time of the user's making, to the millisecond, and not the time of the delivery.
#[tokio::test]
async fn times_are_those_of_clerk() {
    let app = TestApp::new().await;
    let admin = app.admin("grace").await;
    let ada = app.user("ada", None).await;
    let created_at = app.clerk.user(&ada).unwrap()["created_at"].as_i64();
    let body = app
        .get(&admin, &format!("/api/admin/users/{ada}"))
        .await
        .body;
    let shown: Timestamp = body["user"]["createdAt"].as_str().unwrap().parse().unwrap();
    assert_eq!(Some(shown.as_millisecond()), created_at);
    app.finish().await;
}

/// What nobody but Clerk needs is neither kept nor told.
#[tokio::test]
async fn no_password_and_no_private_metadata_is_in_a_row_or_in_an_answer() {
    let app = TestApp::new().await;
    let admin = app.admin("grace").await;
    let user = app.clerk.create_user(json!({
        "email": "ada@example.com", "password_enabled": true,
        "private_metadata": { "note": "hush" }, "unsafe_metadata": { "note": "hush" },
    }));
    let ada = user["id"].as_str().unwrap();
    let message = app.clerk.take_messages().pop().unwrap();
    assert!(message.body.contains("hush"), "Clerk tells us");
    app.deliver(&message).await;
    // Also of what is kept whole because it cannot be read.
    let mut event: Value = serde_json::from_str(&message.body).unwrap();
    event["data"]["updated_at"] = json!("yesterday");
    let answer = app.deliver_event("msg_dead", &event).await;
    assert_eq!(answer.body["outcome"], "dead");
    let set = app
        .set_role(&admin, ada, json!({ "role": "INSTRUCTOR" }))
        .await;
    let mut told = vec![set.body.to_string()];
    for path in ["users", &format!("users/{ada}"), "role-changes"] {
        let answer = app.get(&admin, &format!("/api/admin/{path}")).await;
        told.push(answer.body.to_string());
    }
    for told in &told {
        for word in ["hush", "password", "rivate", "nsafe", "payload"] {
            assert!(!told.contains(word), "{word}: {told}");
        }
    }
    for table in ["users", "outbox", "role_changes", "settings"] {
        let n_told = format!("{table} t where t::text like '%hush%'");
        assert_eq!(app.count(&n_told).await, 0, "{table}");
    }
    let n_told = "inbox t where t::text like '%hush%' and outcome <> 'dead'";
    assert_eq!(app.count(n_told).await, 0);
    app.finish().await;
}
