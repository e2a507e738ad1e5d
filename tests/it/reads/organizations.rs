//! `GET /api/admin/organizations`: by name, page by page.

use serde_json::{Value, json};

use crate::support::TestApp;

async fn page(app: &TestApp, admin: &str, query: &str) -> Value {
    let path = format!("/api/admin/organizations?{query}");
    let answer = app.get(admin, &path).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.body);
    answer.body
}

/// The Clerk ids of all pages, one after the other; `between` happens after each.
async fn all(app: &TestApp, admin: &str, query: &str, between: &str) -> Vec<String> {
    let mut ids = Vec::new();
    let mut cursor = String::new();
    loop {
        let body = page(app, admin, &format!("{query}{cursor}")).await;
        let organizations = body["organizations"].as_array().unwrap();
        ids.extend(
            organizations
                .iter()
                .map(|it| it["clerkId"].as_str().unwrap().to_owned()),
        );
        app.execute(between).await;
        match body["nextCursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return ids,
        }
    }
}

#[tokio::test]
async fn an_organization_is_listed_with_its_live_members() {
    let app = TestApp::new().await;
    let admin = app.admin("grace").await;
    let ada = app.user("ada", None).await;
    let bob = app.user("bob", None).await;
    let made = |name: &str, slug: Option<&str>| {
        let organization = json!({ "name": name, "slug": slug, "created_by": ada });
        let organization = app.clerk.create_organization(organization);
        organization["id"].as_str().unwrap().to_owned()
    };
    let club = made("Club", Some("the-club"));
    let guild = made("Guild", None);
    let gone = made("Gone", None);
    app.clerk.add_member(&club, &bob, "org:member");
    app.clerk.add_member(&guild, &bob, "org:member");
    app.clerk.remove_member(&guild, &bob);
    app.clerk.delete_organization(&gone);
    app.settle().await;

    let body = page(&app, &admin, "").await;
    let mut keys: Vec<&String> = body.as_object().unwrap().keys().collect();
    keys.sort();
    assert_eq!(keys, ["nextCursor", "organizations"]);
    assert_eq!(body["nextCursor"], Value::Null);
    let organizations = body["organizations"].as_array().unwrap();
    assert_eq!(organizations.len(), 2, "{body}");
    let row = "select to_jsonb(o) from organizations o where clerk_id = $1";
    for (organization, (clerk_id, n_members)) in organizations.iter().zip([(&club, 2), (&guild, 1)])
    {
        let row: Value = app.sql.query_one(row, &[clerk_id]).await.unwrap().get(0);
        let created_at = organization["createdAt"].as_str().unwrap();
        assert!(created_at.ends_with('Z'), "{created_at}");
        let there = app.clerk.organization(clerk_id).unwrap();
        let at: jiff::Timestamp = created_at.parse().unwrap();
        assert_eq!(json!(at.as_millisecond()), there["created_at"]);
        let expected = json!({
            "id": row["id"], "clerkId": clerk_id, "name": there["name"], "slug": row["slug"],
            "imageUrl": row["image_url"], "nMembers": n_members, "createdAt": created_at,
        });
        assert_eq!(organization, &expected);
    }
    app.finish().await;
}

#[tokio::test]
async fn pages_have_every_live_organization_once_whatever_comes_between() {
    let app = TestApp::new().await;
    let admin = app.admin("grace").await;
    app.execute(
        "insert into organizations (clerk_id, name)
        select 'org_' || n, (array['Beta', 'alpha', 'beta', 'Gamma', null])[1 + n % 5]
        from generate_series(1, 24) n;
        insert into organizations (clerk_id, name, deleted_at) values ('org_gone', 'beta', now())",
    )
    .await;
    let expected = all(&app, &admin, "limit=500", "").await;
    assert_eq!(expected.len(), 24);
    // Who has no name comes first, and upper case does not count.
    let names = "
        select array_agg(coalesce(lower(o.name), '') order by k.n)
        from unnest($1::text[]) with ordinality k (clerk_id, n)
        join organizations o using (clerk_id)";
    let names: Vec<String> = app.sql.query_one(names, &[&expected]).await.unwrap().get(0);
    assert!(names.is_sorted(), "{names:?}");
    assert_eq!((names[0].as_str(), names[23].as_str()), ("", "gamma"));
    for limit in [1, 4, 23, 24, 25] {
        let found = all(&app, &admin, &format!("limit={limit}"), "").await;
        assert_eq!(found, expected, "{limit}");
    }
    let between = "
        insert into organizations (clerk_id, name)
        select 'org_' || translate(gen_random_uuid()::text, '-', ''), name
        from (values (null), ('alpha'), ('zeta')) v (name)";
    let found = all(&app, &admin, "search=a&limit=2", between).await;
    let of_before: Vec<&String> = found.iter().filter(|id| expected.contains(id)).collect();
    let with_a_name: Vec<&String> = expected
        .iter()
        .zip(&names)
        .filter(|(_, name)| !name.is_empty())
        .map(|(id, _)| id)
        .collect();
    assert_eq!(of_before, with_a_name, "none twice, and none is missing");
    app.database.remove().await;
}

#[tokio::test]
async fn a_search_finds_parts_of_names_and_slugs_and_whole_ids() {
    let app = TestApp::new().await;
    let admin = app.admin("grace").await;
    app.execute(
        "insert into organizations (clerk_id, name, slug) values
            ('org_1', 'Analytical Society', 'engine'),
            ('org_2', '100 % Élan', null),
            ('org_3', null, 'under_score'),
            ('org_4', 'under-score', 'back\\slash')",
    )
    .await;
    let check = async |search: &str, expected: &[&str]| {
        let found = all(&app, &admin, &format!("search={search}"), "").await;
        assert_eq!(found, expected, "{search}");
    };
    check("", &["org_3", "org_2", "org_1", "org_4"]).await;
    check("society", &["org_1"]).await;
    check("NGIN", &["org_1"]).await;
    check("%C3%89LAN", &["org_2"]).await;
    check("%25", &["org_2"]).await;
    check("r_s", &["org_3"]).await;
    check("%5C", &["org_4"]).await;
    check("org_4", &["org_4"]).await;
    check("org_", &[]).await;
    check("nobody", &[]).await;
    let statement = "select upper(id::text) from organizations where clerk_id = $1";
    let uuid = app.one(statement, "org_2").await;
    check(&uuid, &["org_2"]).await;
    app.database.remove().await;
}
