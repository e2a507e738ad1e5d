//! What a repair does unasked, what it holds back, and what becomes of that (R13, R15).

use std::time::Duration;

use clerk_emulator::{Effect, Fault, Fill};
use lambda_host::{Function, Host, Options};
use serde_json::{Value, json};
use shared::db::drift::Class;
use shared::db::runs::{Approval, Mode, State};
use uuid::Uuid;

use super::World;
use super::lists::{filled, never_wait};
use crate::support::TestApp;
use crate::support::binaries::binary;

/// Users whom somebody added by hand, and whom Clerk does not know.
pub(super) async fn ghosts(app: &TestApp, n: usize) {
    app.execute(&format!(
        "insert into users (clerk_id, email)
        select 'user_ghost' || lpad(n::text, 5, '0'), 'ghost' || n || '@example.com'
        from generate_series(1, {n}) n"
    ))
    .await;
}

/// How many of them live here.
async fn n_ghosts(app: &TestApp) -> i64 {
    app.count("users where clerk_id like 'user_ghost%' and deleted_at is null")
        .await
}

/// What is usual.
fn unasked(app: &TestApp) -> Approval {
    app.reconcile.limits.clone().unwrap().brake.approval()
}

/// What a person asked for.
fn explicit(app: &TestApp) -> Approval {
    Approval {
        is_explicit: true,
        ..unasked(app)
    }
}

async fn approve(app: &TestApp, run: Uuid, approval: &Approval) -> bool {
    let db = app.reconcile.db.as_ref().unwrap();
    db.approve_run(run, approval).await.unwrap()
}

/// A run that nobody asked for, until it is over; with its id.
async fn scheduled(app: &TestApp) -> (Uuid, Value) {
    let run = app.begin_run(Mode::Repair, unasked(app)).await;
    app.work_on_run().await;
    (run, app.run(run).await)
}

#[tokio::test]
async fn deletions_above_the_ceiling_are_withheld_and_the_rest_is_applied() {
    let world = World::new().await;
    let app = &world.app;
    never_wait(app).await;
    ghosts(app, 15).await;
    app.execute(&format!(
        "update users set role = 'ADMIN' where clerk_id = '{}';
        update organizations set name = 'Eve' where clerk_id = '{}';
        delete from memberships where clerk_id = '{}'",
        world.ada,
        world.bell,
        world.membership(&world.acme, &world.edsger)
    ))
    .await;
    let (run, shown) = scheduled(app).await;
    assert_eq!(shown["state"], "waiting");
    let expected = json!({
        "stale_high": { "repaired": 1 },
        "orphaned": { "repaired": 10, "withheld": 5 },
        "missing": { "repaired": 1 },
        "stale": { "repaired": 1 },
    });
    assert_eq!(shown["drift"], expected);
    assert_eq!(
        shown["progress"]["repaired"],
        json!({ "done": 13, "total": 13 })
    );
    assert_eq!(n_ghosts(app).await, 5);
    let withheld = app
        .drift()
        .await
        .into_iter()
        .filter(|it| it.contains(" withheld "));
    let expected: Vec<_> = (11..=15)
        .map(|n| format!("orphaned user added_in_database withheld user_ghost{n:05}"))
        .collect();
    assert_eq!(withheld.collect::<Vec<_>>(), expected);

    // An approval is itself a ceiling.
    let three = Approval {
        max_deletions: Some(3),
        ..explicit(app)
    };
    assert!(approve(app, run, &three).await);
    assert_eq!(app.work_on_run().await, Some(State::Waiting));
    let orphaned = &app.run(run).await["drift"]["orphaned"];
    assert_eq!(*orphaned, json!({ "repaired": 13, "withheld": 2 }));
    assert_eq!(n_ghosts(app).await, 2);
    assert!(approve(app, run, &three).await);
    assert_eq!(app.work_on_run().await, Some(State::Done));
    assert_eq!(n_ghosts(app).await, 0);
    world.app.finish().await;
}

#[tokio::test]
async fn where_it_is_larger_the_ceiling_is_a_share_of_the_rows_of_a_kind() {
    let settings = [("REPAIR_MAX_DELETIONS", "1"), ("REPAIR_MAX_PERCENT", "50")];
    let world = World::with(&settings).await;
    let app = &world.app;
    never_wait(app).await;
    // Half of nineteen.
    ghosts(app, 15).await;
    // Two more memberships and organizations: each kind has a ceiling of its own.
    app.clerk.silently(|clerk| {
        clerk.delete_organization(&world.bell);
        clerk.remove_member(&world.acme, &world.ada);
    });
    let (_, shown) = scheduled(app).await;
    assert_eq!(shown["state"], "waiting");
    let orphaned = json!({ "repaired": 11, "withheld": 6 });
    assert_eq!(
        shown["drift"]["orphaned"],
        orphaned,
        "{:?}",
        app.drift().await
    );
    assert_eq!(n_ghosts(app).await, 6);
    world.app.database.remove().await;
}

#[tokio::test]
async fn demotions_above_the_ceiling_are_withheld_likewise() {
    let world = World::with(&[("REPAIR_MAX_DELETIONS", "2"), ("REPAIR_MAX_PERCENT", "0")]).await;
    let app = &world.app;
    app.execute("update users set role = 'ADMIN'").await;
    let (run, shown) = scheduled(app).await;
    assert_eq!(shown["state"], "waiting");
    let stale_high = json!({ "repaired": 2, "withheld": 1 });
    assert_eq!(shown["drift"], json!({ "stale_high": stale_high }));
    assert_eq!(app.count("users where role = 'ADMIN'").await, 2);
    // Approved are deletions, and these are none.
    let deletions = Approval {
        max_deletions: Some(100),
        max_demotions: Some(0),
        ..explicit(app)
    };
    assert!(approve(app, run, &deletions).await);
    assert_eq!(app.work_on_run().await, Some(State::Waiting));
    assert_eq!(app.count("users where role = 'ADMIN'").await, 2);
    let demotions = Approval {
        max_demotions: Some(1),
        ..explicit(app)
    };
    assert!(approve(app, run, &demotions).await);
    assert_eq!(app.work_on_run().await, Some(State::Done));
    world.app.finish().await;
}

#[tokio::test]
async fn the_next_runs_do_not_nibble_at_what_is_withheld() {
    let world = World::new().await;
    let app = &world.app;
    never_wait(app).await;
    ghosts(app, 15).await;
    let (first, _) = scheduled(app).await;
    assert_eq!(n_ghosts(app).await, 5);
    app.execute("insert into users (clerk_id, email) values ('user_other', 'o@example.com')")
        .await;
    let (second, shown) = scheduled(app).await;
    assert_eq!(shown["state"], "waiting");
    assert_eq!(
        shown["drift"]["orphaned"],
        json!({ "repaired": 1, "withheld": 5 })
    );
    let (third, shown) = scheduled(app).await;
    assert_eq!(shown["drift"]["orphaned"], json!({ "withheld": 5 }));
    assert_eq!(n_ghosts(app).await, 5);

    // Only what the last run knows can be approved.
    let all = Approval {
        max_deletions: Some(100),
        ..explicit(app)
    };
    assert!(!approve(app, first, &all).await);
    assert!(!approve(app, second, &all).await);
    assert_eq!(app.run(first).await["state"], "waiting");
    assert!(approve(app, third, &all).await);
    assert_eq!(app.work_on_run().await, Some(State::Done));
    assert_eq!(n_ghosts(app).await, 0);
    world.app.finish().await;
}

/// Whoever approves something else has not approved this.
#[tokio::test]
async fn what_is_withheld_stays_so_after_an_approval_of_other_classes() {
    let world = World::new().await;
    let app = &world.app;
    never_wait(app).await;
    ghosts(app, 15).await;
    let (run, _) = scheduled(app).await;
    let stale = Approval {
        classes: Some(vec![Class::Stale]),
        ..explicit(app)
    };
    assert!(approve(app, run, &stale).await);
    app.work_on_run().await;
    assert_eq!(n_ghosts(app).await, 5);
    assert_eq!(app.run(run).await["state"], "waiting");
    scheduled(app).await;
    assert_eq!(n_ghosts(app).await, 5, "nobody approved of their end");
    world.app.database.remove().await;
}

/// Whoever ends a run that waits has not approved what it held back.
#[tokio::test]
async fn what_is_withheld_stays_so_after_its_run_is_cancelled() {
    let world = World::new().await;
    let app = &world.app;
    never_wait(app).await;
    ghosts(app, 15).await;
    let (run, _) = scheduled(app).await;
    let db = app.reconcile.db.as_ref().unwrap();
    assert!(db.cancel_run(run).await.unwrap());
    scheduled(app).await;
    assert_eq!(n_ghosts(app).await, 5, "nobody approved of their end");
    world.app.database.remove().await;
}

#[tokio::test]
async fn only_the_classes_that_were_asked_for_are_repaired() {
    let world = World::new().await;
    let app = &world.app;
    ghosts(app, 2).await;
    app.execute(&format!(
        "update users set role = 'ADMIN' where clerk_id = '{}';
        update organizations set name = 'Eve' where clerk_id = '{}'",
        world.ada, world.bell
    ))
    .await;
    let high = Approval {
        classes: Some(vec![Class::StaleHigh]),
        ..explicit(app)
    };
    let run = app.begin_run(Mode::Repair, high).await;
    assert_eq!(app.work_on_run().await, Some(State::Done));
    let expected = json!({
        "stale_high": { "repaired": 1 },
        "orphaned": { "found": 2 },
        "stale": { "found": 1 },
    });
    assert_eq!(app.run(run).await["drift"], expected);
    assert_eq!(app.role(&world.ada).await, "STUDENT");
    assert_eq!(n_ghosts(app).await, 2);
    app.repair().await;
    world.app.finish().await;
}

/// Too high privileges are mended first: when Clerk goes away after that, they are gone.
#[tokio::test]
async fn too_high_privileges_are_mended_before_anything_else() {
    let world = World::new().await;
    let app = &world.app;
    ghosts(app, 1).await;
    let left = world.membership(&world.acme, &world.edsger);
    app.execute(&format!(
        "update users set role = 'ADMIN' where clerk_id = '{}';
        update memberships set role = 'org:admin' where clerk_id = '{}';
        update organizations set name = 'Eve' where clerk_id = '{}'",
        world.ada,
        world.membership(&world.acme, &world.ada),
        world.bell
    ))
    .await;
    app.clerk.silently(|clerk| {
        clerk.remove_member(&world.acme, &world.edsger);
    });
    // Asked about for the second time: before, it was found not to be in Clerk.
    let away = Fault::new(Effect::Status {
        status: 500,
        code: None,
        retry_after: Some(900),
    });
    app.clerk
        .fault(away.on("GET", "/v1/users/user_ghost00001").skip(1).once());
    let (run, shown) = scheduled(app).await;
    assert_eq!(shown["state"], "repairing");
    let expected = json!({
        "stale_high": { "repaired": 2 },
        "orphaned": { "found": 2 },
        "stale": { "found": 1 },
    });
    assert_eq!(shown["drift"], expected, "{:?}", app.drift().await);
    assert_eq!(app.role(&world.ada).await, "STUDENT");
    assert_eq!(n_ghosts(app).await, 1);
    let lives = format!("memberships where clerk_id = '{left}' and deleted_at is null");
    assert_eq!(app.count(&lives).await, 1);

    app.execute("delete from clerk_tokens").await;
    app.forget_waits().await;
    assert_eq!(app.work_on_run().await, Some(State::Done));
    assert_eq!(
        app.run(run).await["drift"]["orphaned"],
        json!({ "repaired": 2 })
    );
    world.app.finish().await;
}

#[tokio::test]
async fn a_foreign_clerk_deletes_nothing_unasked() {
    let world = World::new().await;
    let app = &world.app;
    app.clerk.reset();
    app.clerk.seed_silently(vec![
        json!({ "email": "somebody@example.org", "role": "ADMIN" }),
    ]);
    let (run, shown) = scheduled(app).await;
    assert_eq!(shown["state"], "waiting");
    assert_eq!(shown["approval"]["isForeign"], true);
    // Ten rows: memberships end with what they hang on.
    assert_eq!(
        shown["drift"]["orphaned"],
        json!({ "withheld": 6 }),
        "{:?}",
        app.drift().await
    );
    for table in ["users", "organizations", "memberships"] {
        let ended = format!("{table} where deleted_at is not null");
        assert_eq!(app.count(&ended).await, 0, "{table}");
    }
    assert_eq!(app.role(&world.grace).await, "ADMIN");
    // Somebody may say that all is well.
    assert!(
        approve(
            app,
            run,
            &Approval {
                max_deletions: Some(10),
                ..explicit(app)
            }
        )
        .await
    );
    assert_eq!(app.work_on_run().await, Some(State::Done));
    world.app.finish().await;
}

/// Its admins are none of ours.
#[tokio::test]
async fn a_foreign_clerk_adds_nobody_unasked() {
    let world = World::new().await;
    let app = &world.app;
    app.execute("insert into users (email, role) values ('somebody@example.org', 'STUDENT')")
        .await;
    app.clerk.reset();
    app.clerk.seed_silently(vec![
        json!({ "email": "somebody@example.org", "role": "ADMIN" }),
        json!({ "email": "other@example.org", "role": "ADMIN" }),
    ]);
    let (_, shown) = scheduled(app).await;
    assert_eq!(shown["state"], "waiting");
    assert_eq!(shown["drift"]["missing"], json!({ "withheld": 2 }));
    let admins = "users where role = 'ADMIN' and email like '%@example.org'";
    assert_eq!(app.count(admins).await, 0);
    world.app.database.remove().await;
}

#[tokio::test]
async fn with_many_rows_a_foreign_clerk_is_not_compared_with_at_all() {
    let fill = Fill {
        users: 120,
        organizations: 2,
        memberships: 20,
    };
    let app = filled(fill).await;
    app.clerk.reset();
    app.clerk.fill(fill).unwrap();
    let (_, shown) = scheduled(&app).await;
    assert_eq!(shown["state"], "failed");
    assert_eq!(shown["drift"], json!({}));
    let reason = shown["lastError"].as_str().unwrap();
    assert!(reason.contains("another instance"), "{reason}");
    assert_eq!(app.count("users where deleted_at is null").await, 120);
    assert_eq!(app.count("ends").await, 0);
    app.database.remove().await;
}

/// R8: Clerk refused our lower role for good, and still has its own: nobody gets it back unasked.
#[tokio::test]
async fn a_role_that_clerk_refused_to_lower_is_not_raised_unasked() {
    let world = World::new().await;
    let app = &world.app;
    let refuse = Fault::status(422).on("PATCH", "/v1/users");
    app.clerk.fault(refuse.clone().once());
    let lower = json!({ "role": "STUDENT" });
    let answer = app.set_role(&world.grace, &world.alan, lower).await;
    assert_eq!(answer.body["clerkSync"], "dead", "{}", answer.body);
    assert_eq!(app.clerk_role(&world.alan), "INSTRUCTOR");
    for _ in 0..2 {
        let (run, shown) = scheduled(app).await;
        assert_eq!(shown["state"], "waiting");
        assert_eq!(shown["drift"], json!({ "stale": { "withheld": 1 } }));
        let expected = [format!("stale user push_refused withheld {}", world.alan)];
        assert_eq!(app.drift().await, expected, "{run}");
        assert_eq!(app.role(&world.alan).await, "STUDENT");
    }
    // Only who names the class wants it back.
    let (run, _) = scheduled(app).await;
    assert!(approve(app, run, &explicit(app)).await);
    assert_eq!(app.work_on_run().await, Some(State::Waiting));
    assert_eq!(app.role(&world.alan).await, "STUDENT");
    let stale = Approval {
        classes: Some(vec![Class::Stale]),
        ..explicit(app)
    };
    assert!(approve(app, run, &stale).await);
    assert_eq!(app.work_on_run().await, Some(State::Done));
    assert_eq!(app.role(&world.alan).await, "INSTRUCTOR");

    // A higher one of ours is taken back at once.
    app.clerk.fault(refuse.once());
    let higher = json!({ "role": "ADMIN" });
    let answer = app.set_role(&world.grace, &world.edsger, higher).await;
    assert_eq!(answer.body["clerkSync"], "dead", "{}", answer.body);
    let (_, shown) = scheduled(app).await;
    assert_eq!(shown["drift"], json!({ "stale_high": { "repaired": 1 } }));
    assert_eq!(app.role(&world.edsger).await, "STUDENT");
    world.app.finish().await;
}

/// R13: Clerk took the last admin away, and no event said so.
#[tokio::test]
async fn when_a_repair_takes_the_last_admin_away_an_alarm_is_raised() {
    let world = World::new().await;
    let app = &world.app;
    app.clerk.silently(|clerk| clerk.delete_user(&world.grace));
    let lines = reconcile_in_a_process(app).await;
    assert_eq!(alarms(&lines), ["no_admin_left"], "{lines:#?}");
    assert_ne!(app.row(&world.grace).await["deleted_at"], Value::Null);
    world.app.finish().await;
}

#[tokio::test]
async fn what_is_withheld_raises_an_alarm() {
    let world = World::new().await;
    let app = &world.app;
    ghosts(app, 11).await;
    let lines = reconcile_in_a_process(app).await;
    assert_eq!(alarms(&lines), ["repair_withheld"], "{lines:#?}");
    assert!(
        !format!("{lines:?}").contains("example.com"),
        "nobody's data"
    );
    world.app.database.remove().await;
}

fn alarms(lines: &[Value]) -> Vec<&str> {
    let errors = lines.iter().filter(|line| line["level"] == "ERROR");
    errors.filter_map(|line| line["alarm"].as_str()).collect()
}

/// A tick with a comparison, in a process of its own, whose log can be read.
async fn reconcile_in_a_process(app: &TestApp) -> Vec<Value> {
    let name = "reconcile";
    let function = Function::new(name, binary(name))
        .env("DATABASE_URL", &app.database.url)
        .env("CLERK_API_URL", app.clerk.url())
        .env("CLERK_SECRET_KEY", app.clerk.secret_key())
        .env("RECONCILE_INTERVAL_MINUTES", "0");
    let functions = vec![function];
    let host = Host::start(Options { functions }).unwrap();
    let tick = json!({
        "version": "0", "id": "tick", "detail-type": "Scheduled Event", "source": "aws.events",
        "time": "2026-11-21T00:00:00Z", "resources": [], "detail": {},
    });
    host.invoke(name, &tick).await;
    let is_last = |line: &String| line.contains("\"reconciled\"");
    while !host.logs(name).iter().any(is_last) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let logs = host.logs(name);
    let lines = logs
        .iter()
        .filter_map(|line| serde_json::from_str(line).ok());
    lines.collect()
}
