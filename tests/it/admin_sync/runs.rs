//! `/api/admin/sync/reconcile…`: comparisons that admins ask for.

use std::collections::BTreeSet;

use clerk_emulator::{Effect, Fault, Fill};
use serde_json::{Value, json};
use shared::db::runs::State;
use uuid::Uuid;

use crate::support::TestApp;
use crate::support::gateway::{Answer, Call};

const ROOT: &str = "/api/admin/sync/reconcile";

/// Somebody asks for something; `path` is below the root.
async fn call(app: &TestApp, user: &str, method: &str, path: &str, body: Option<Value>) -> Answer {
    let call = Call::new(method, &format!("{ROOT}{path}")).token(&app.clerk.session_token(user));
    let call = match &body {
        Some(body) => call.json(body),
        None => call,
    };
    app.call_admin_sync(&call).await
}

/// An admin begins a run; returns its id.
async fn begin(app: &TestApp, admin: &str, body: Value) -> String {
    let answer = call(app, admin, "POST", "", Some(body)).await;
    assert_eq!(answer.status, 202, "{}", answer.body);
    answer.body["id"].as_str().unwrap().to_owned()
}

/// A run as it is shown.
async fn shown(app: &TestApp, admin: &str, run: &str) -> Value {
    app.told(admin, &format!("reconcile/{run}")).await
}

fn code(answer: &Answer) -> (u16, &str) {
    (
        answer.status,
        answer.body["code"].as_str().unwrap_or_default(),
    )
}

/// Users whom somebody added by hand, and whom Clerk does not know.
async fn add_ghosts(app: &TestApp, n: usize) {
    app.execute(&format!(
        "insert into users (clerk_id, email)
        select 'user_ghost' || lpad(n::text, 5, '0'), 'ghost' || n || '@example.com'
        from generate_series(1, {n}) n"
    ))
    .await;
}

#[tokio::test]
async fn an_admin_begins_a_run_and_a_tick_does_the_work() {
    let (app, grace, ada) = TestApp::with_admin_and_student().await;
    app.execute(&format!(
        "update users set role = 'ADMIN' where clerk_id = '{ada}'"
    ))
    .await;
    app.clerk.clear_requests();
    let answer = call(&app, &grace, "POST", "", Some(json!({ "mode": "repair" }))).await;
    assert_eq!(answer.status, 202, "{}", answer.body);
    let run = answer.body["id"].as_str().unwrap().to_owned();
    let nothing = json!({ "done": 0, "total": 0 });
    let mut begun = answer.body.clone();
    for time in ["createdAt", "nextAttemptAt", "id"] {
        let value = begun.as_object_mut().unwrap().remove(time);
        assert!(value.unwrap().is_string(), "{time}");
    }
    let expected = json!({
        "mode": "repair",
        "state": "listing",
        "actor": grace,
        "progress": {
            "users": nothing, "organizations": nothing, "memberships": nothing,
            "asked": nothing, "compared": nothing, "repaired": nothing, "nCalls": 0,
        },
        "approval": {
            "classes": null, "maxDeletions": null, "maxDemotions": null,
            "usualCount": 10, "usualPercent": 2, "isExplicit": false, "isForeign": false,
        },
        "listedAt": null,
        "comparedAt": null,
        "finishedAt": null,
        "nFailures": 0,
        "lastError": null,
        "drift": {},
    });
    assert_eq!(begun, expected);

    let again = call(&app, &grace, "POST", "", Some(json!({ "mode": "report" }))).await;
    assert_eq!(code(&again), (409, "run_under_way"));
    assert_eq!(shown(&app, &grace, &run).await, answer.body);
    let requests = app.clerk.requests();
    assert!(
        !requests.iter().any(|it| it.path == "/v1/users"),
        "{requests:?}"
    );

    assert_eq!(app.reconcile().await.comparison, Some(State::Done));
    let done = shown(&app, &grace, &run).await;
    assert_eq!(done["state"], "done");
    assert_eq!(done["drift"], json!({ "stale_high": { "repaired": 1 } }));
    assert_eq!(done["progress"]["users"], json!({ "done": 2, "total": 2 }));
    for time in ["listedAt", "comparedAt", "finishedAt"] {
        assert!(done[time].is_string(), "{time}");
    }
    let runs = app.told(&grace, "reconcile").await;
    assert_eq!(runs["runs"][0], done);
    let row: String = app
        .sql
        .query_one(
            "select request_id from reconcile_runs where id::text = $1",
            &[&run],
        )
        .await
        .unwrap()
        .get(0);
    assert!(!row.is_empty());
    app.finish().await;
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_and_begins_nothing() {
    let (app, grace, _) = TestApp::with_admin_and_student().await;
    let bodies = [
        json!({ "mode": "report", "maxDeletions": 1 }),
        json!({ "mode": "report", "maxDemotions": 0 }),
        json!({ "mode": "report", "classes": ["stale"] }),
        json!({ "mode": "guess" }),
        json!({}),
        json!({ "mode": "repair", "maxDeletions": -1 }),
        json!({ "mode": "repair", "maxDeletions": "all" }),
        json!({ "mode": "repair", "classes": ["old"] }),
        json!({ "mode": "repair", "dryRun": true }),
    ];
    for body in bodies {
        let answer = call(&app, &grace, "POST", "", Some(body.clone())).await;
        assert_eq!(
            code(&answer),
            (422, "invalid_body"),
            "{body}: {}",
            answer.body
        );
    }
    let answer = call(
        &app,
        &grace,
        "POST",
        "?mode=repair",
        Some(json!({ "mode": "report" })),
    )
    .await;
    assert_eq!(answer.status, 422, "{}", answer.body);
    assert_eq!(
        app.count("reconcile_runs where actor <> 'schedule'").await,
        0
    );
    app.finish().await;
}

#[tokio::test]
async fn how_far_a_run_is_can_be_seen_while_it_is() {
    let (app, grace, _) = TestApp::with_admin_and_student().await;
    let fill = Fill {
        users: 600,
        ..Fill::default()
    };
    app.clerk.fill(fill).unwrap();
    let away = Fault::new(Effect::Status {
        status: 500,
        code: None,
        retry_after: Some(900),
    });
    app.clerk
        .fault(away.on("GET", "/v1/users?limit=500").skip(1).once());
    let run = begin(&app, &grace, json!({ "mode": "report" })).await;
    assert_eq!(app.reconcile().await.comparison, Some(State::Listing));
    let under_way = shown(&app, &grace, &run).await;
    assert_eq!(
        under_way["progress"]["users"],
        json!({ "done": 500, "total": 602 })
    );
    assert!(
        under_way["progress"]["nCalls"].as_u64() > Some(3),
        "{under_way}"
    );
    assert_eq!(under_way["nFailures"], 1);
    assert!(under_way["lastError"].is_string());
    let text = |key: &str| under_way[key].as_str().unwrap().to_owned();
    let waits = text("nextAttemptAt").parse::<jiff::Timestamp>().unwrap() - jiff::Timestamp::now();
    assert!((1..=5).contains(&waits.get_seconds()), "{waits}");
    app.execute("delete from clerk_tokens").await;
    app.forget_waits().await;
    assert_eq!(app.reconcile().await.comparison, Some(State::Done));
    let done = shown(&app, &grace, &run).await;
    assert_eq!(
        done["progress"]["users"],
        json!({ "done": 602, "total": 602 })
    );
    assert_eq!(
        done["progress"]["compared"],
        json!({ "done": 602, "total": 602 })
    );
    assert_eq!(done["lastError"], Value::Null);
    assert_eq!(done["drift"], json!({ "missing": { "found": 600 } }));
    app.database.remove().await;
}

#[tokio::test]
async fn what_a_run_found_comes_in_pages_the_most_urgent_first() {
    let (app, grace, ada) = TestApp::with_admin_and_student().await;
    add_ghosts(&app, 12).await;
    let missing: Vec<Value> = (0..9)
        .map(|n| json!({ "email": format!("new{n}@example.com") }))
        .collect();
    app.clerk.seed_silently(missing);
    app.execute(&format!(
        "update users set role = 'ADMIN', first_name = 'Eve' where clerk_id = '{ada}'"
    ))
    .await;
    let run = begin(&app, &grace, json!({ "mode": "report" })).await;
    app.reconcile().await;
    let path = format!("reconcile/{run}/drift");
    let all = app.pages(&grace, &path, "drift", 100).await;
    assert_eq!(all.len(), 22);
    for limit in [1, 7, 11] {
        let pages = app.pages(&grace, &path, "drift", limit).await;
        assert_eq!(pages, all, "no gaps, no doubles, with {limit}");
    }
    let classes: Vec<_> = all.iter().map(|it| it["class"].as_str().unwrap()).collect();
    assert_eq!(classes[0], "stale_high");
    assert!(
        classes[1..13].iter().all(|it| *it == "orphaned"),
        "{classes:?}"
    );
    assert!(
        classes[13..].iter().all(|it| *it == "missing"),
        "{classes:?}"
    );
    let ids: BTreeSet<_> = all.iter().map(|it| it["id"].as_i64()).collect();
    assert_eq!(ids.len(), 22);

    let first = &all[0];
    assert_eq!(first["object"], "user");
    assert_eq!(first["clerkId"], json!(ada));
    assert_eq!(first["severity"], "high");
    assert_eq!(first["action"], "demote");
    assert_eq!(first["state"], "found");
    assert_eq!(first["cause"], "edited_in_database");
    assert_eq!(first["rowId"], app.row(&ada).await["id"]);
    assert_eq!(first["ourVersion"], first["clerkVersion"]);
    let fields = json!([
        { "name": "firstName", "ours": "Eve", "clerk": "ada" },
        { "name": "role", "ours": "ADMIN", "clerk": "STUDENT" },
    ]);
    assert_eq!(first["fields"], fields);

    for (filter, n_expected) in [
        ("class=orphaned", 12),
        ("class=missing&state=found", 9),
        ("state=repaired", 0),
        ("object=user_ghost00003", 1),
        ("object=user_ghost00003&class=missing", 0),
    ] {
        let found = app
            .pages(&grace, &format!("{path}?{filter}"), "drift", 5)
            .await;
        assert_eq!(found.len(), n_expected, "{filter}");
    }
    for wrong in [
        "class=old",
        "state=new",
        "cursor=x",
        "cursor=1",
        "limit=0",
        "limit=9999",
        "a=b",
    ] {
        let answer = app.ask(&grace, &format!("{path}?{wrong}")).await;
        assert_eq!(
            code(&answer),
            (422, "invalid_query"),
            "{wrong}: {}",
            answer.body
        );
    }
    let object = app.ask(&grace, &format!("{path}?object=%00")).await;
    assert_eq!(code(&object), (422, "invalid_query"), "{}", object.body);
    app.repair_with_all(&grace).await;
    app.finish().await;
}

impl TestApp {
    /// All that differs is mended, however much.
    async fn repair_with_all(&self, admin: &str) {
        let body = json!({ "mode": "repair", "maxDeletions": 1000, "maxDemotions": 1000 });
        let run = begin(self, admin, body).await;
        self.reconcile().await;
        assert_eq!(shown(self, admin, &run).await["state"], "done");
    }
}

#[tokio::test]
async fn a_dry_run_tells_what_a_repair_would_do_and_an_approval_does_it() {
    let (app, grace, ada) = TestApp::with_admin_and_student().await;
    add_ghosts(&app, 13).await;
    app.execute(&format!(
        "update users set role = 'ADMIN' where clerk_id = '{ada}'"
    ))
    .await;
    let run = begin(&app, &grace, json!({ "mode": "report" })).await;
    let path = format!("/{run}/repair");
    let repair = async |body: Value| call(&app, &grace, "POST", &path, Some(body)).await;
    assert_eq!(code(&repair(json!({})).await), (409, "run_under_way"));
    app.reconcile().await;
    let before = shown(&app, &grace, &run).await;

    let plan = |planned: Value, withheld: Value| json!({ "dryRun": true, "planned": planned, "withheld": withheld });
    for (body, expected) in [
        (
            json!({ "dryRun": true }),
            plan(
                json!({ "demote user": 1, "end user": 10 }),
                json!({ "end user": 3 }),
            ),
        ),
        (
            json!({ "dryRun": true, "maxDeletions": 4 }),
            plan(
                json!({ "demote user": 1, "end user": 4 }),
                json!({ "end user": 9 }),
            ),
        ),
        (
            json!({ "dryRun": true, "maxDeletions": 13, "maxDemotions": 0 }),
            plan(json!({ "end user": 13 }), json!({ "demote user": 1 })),
        ),
        (
            json!({ "dryRun": true, "classes": ["stale_high"] }),
            plan(json!({ "demote user": 1 }), json!({})),
        ),
    ] {
        let answer = repair(body.clone()).await;
        assert_eq!((answer.status, &answer.body), (200, &expected), "{body}");
    }
    assert_eq!(shown(&app, &grace, &run).await, before, "nothing was done");
    assert_eq!(app.role(&ada).await, "ADMIN");

    let answer = repair(json!({ "maxDeletions": 4 })).await;
    assert_eq!(answer.status, 202, "{}", answer.body);
    assert_eq!(answer.body["state"], "repairing");
    assert_eq!(answer.body["mode"], "repair");
    assert_eq!(answer.body["approval"]["isExplicit"], true);
    assert_eq!(answer.body["approval"]["maxDeletions"], 4);
    assert_eq!(
        app.role(&ada).await,
        "ADMIN",
        "the route itself does nothing"
    );
    assert_eq!(app.reconcile().await.comparison, Some(State::Waiting));
    let waiting = shown(&app, &grace, &run).await;
    let expected = json!({
        "stale_high": { "repaired": 1 },
        "orphaned": { "repaired": 4, "withheld": 9 },
    });
    assert_eq!(waiting["drift"], expected);
    let withheld = format!("reconcile/{run}/drift?state=withheld");
    assert_eq!(app.pages(&grace, &withheld, "drift", 4).await.len(), 9);
    let dry = repair(json!({ "dryRun": true, "maxDeletions": 9 })).await;
    assert_eq!(dry.body, plan(json!({ "end user": 9 }), json!({})));
    assert_eq!(repair(json!({ "maxDeletions": 9 })).await.status, 202);
    assert_eq!(app.reconcile().await.comparison, Some(State::Done));
    for body in [
        json!({ "maxDeletions": -1 }),
        json!({ "mode": "repair" }),
        json!([]),
    ] {
        let answer = repair(body).await;
        assert_eq!(code(&answer), (422, "invalid_body"), "{}", answer.body);
    }
    app.finish().await;
}

#[tokio::test]
async fn a_run_can_be_ended_and_comes_to_nothing() {
    let (app, grace, ada) = TestApp::with_admin_and_student().await;
    app.execute(&format!(
        "update users set role = 'ADMIN' where clerk_id = '{ada}'"
    ))
    .await;
    let run = begin(&app, &grace, json!({ "mode": "repair" })).await;
    let one = format!("/{run}");
    for _ in 0..2 {
        let answer = call(&app, &grace, "DELETE", &one, None).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert_eq!(answer.body["state"], "cancelled");
        assert!(answer.body["finishedAt"].is_string());
    }
    app.reconcile().await;
    assert_eq!(app.role(&ada).await, "ADMIN");
    let repair = format!("{one}/repair");
    let answer = call(&app, &grace, "POST", &repair, Some(json!({}))).await;
    assert_eq!(code(&answer), (409, "run_not_repairable"));
    // Another one took its place.
    let older = begin(&app, &grace, json!({ "mode": "report" })).await;
    app.reconcile().await;
    begin(&app, &grace, json!({ "mode": "report" })).await;
    app.reconcile().await;
    let repair = format!("/{older}/repair");
    let answer = call(&app, &grace, "POST", &repair, Some(json!({}))).await;
    assert_eq!(code(&answer), (409, "run_not_repairable"));
    // What is over is not ended.
    let answer = call(&app, &grace, "DELETE", &format!("/{older}"), None).await;
    assert_eq!(
        (answer.status, &answer.body["state"]),
        (200, &json!("done"))
    );
    app.repair().await;
    app.finish().await;
}

#[tokio::test]
async fn what_is_not_there_is_404_and_what_does_not_go_is_405() {
    let (app, grace, _) = TestApp::with_admin_and_student().await;
    let nobody = Uuid::new_v4();
    for (method, path) in [
        ("GET", format!("/{nobody}")),
        ("DELETE", format!("/{nobody}")),
        ("GET", format!("/{nobody}/drift")),
        ("POST", format!("/{nobody}/repair")),
    ] {
        let body = (method == "POST").then(|| json!({}));
        let answer = call(&app, &grace, method, &path, body).await;
        assert_eq!(code(&answer), (404, "run_not_found"), "{method} {path}");
    }
    for path in [
        "/last".to_owned(),
        format!("/{nobody}/other"),
        format!("/{nobody}/drift/1"),
    ] {
        let answer = call(&app, &grace, "GET", &path, None).await;
        assert_eq!(answer.status, 404, "{path}");
        assert_ne!(code(&answer).1, "run_not_found", "{path}");
    }
    for (method, path, allow) in [
        ("PUT", String::new(), "GET, POST"),
        ("DELETE", String::new(), "GET, POST"),
        ("POST", format!("/{nobody}"), "GET, DELETE"),
        ("POST", format!("/{nobody}/drift"), "GET"),
        ("GET", format!("/{nobody}/repair"), "POST"),
    ] {
        let answer = call(&app, &grace, method, &path, None).await;
        assert_eq!(answer.status, 405, "{method} {path}");
        assert_eq!(answer.headers["allow"], allow, "{method} {path}");
    }
    app.finish().await;
}

#[tokio::test]
async fn only_admins_have_a_say() {
    let (app, grace, ada) = TestApp::with_admin_and_student().await;
    let run = begin(&app, &grace, json!({ "mode": "repair" })).await;
    for (method, path, body) in [
        ("GET", String::new(), None),
        ("POST", String::new(), Some(json!({ "mode": "repair" }))),
        ("GET", format!("/{run}"), None),
        ("DELETE", format!("/{run}"), None),
        ("GET", format!("/{run}/drift"), None),
        ("POST", format!("/{run}/repair"), Some(json!({}))),
    ] {
        let answer = call(&app, &ada, method, &path, body).await;
        assert_eq!(answer.status, 403, "{method} {path}: {}", answer.body);
        let nobody = app
            .call_admin_sync(&Call::new(method, &format!("{ROOT}{path}")))
            .await;
        assert_eq!(nobody.status, 401, "{method} {path}");
    }
    assert_eq!(shown(&app, &grace, &run).await["state"], "listing");
    app.reconcile().await;
    app.finish().await;
}
