//! What somebody does to the database by hand, and what is lost on the way, is named and mended.

use serde_json::{Value, json};
use shared::db::runs::Mode;

use super::World;

#[tokio::test]
async fn nothing_differs_where_nothing_was_done() {
    let world = World::new().await;
    let app = &world.app;
    let run = app.compare(Mode::Repair).await;
    assert_eq!(run["state"], "done");
    assert_eq!(run["drift"], json!({}));
    assert_eq!(run["progress"]["users"], json!({ "done": 4, "total": 4 }));
    let organizations = json!({ "done": 2, "total": 2 });
    assert_eq!(run["progress"]["organizations"], organizations);
    let memberships = json!({ "done": 4, "total": 4 });
    assert_eq!(run["progress"]["memberships"], memberships);
    world.app.finish().await;
}

#[tokio::test]
async fn each_damage_by_hand_is_named_and_mended() {
    let world = World::new().await;
    let app = &world.app;
    let moved = world.membership(&world.acme, &world.ada);
    let deleted = world.membership(&world.acme, &world.edsger);
    app.execute(&format!(
        "update users set role = 'ADMIN' where clerk_id = '{}';
        delete from memberships where clerk_id = '{deleted}';
        insert into users (clerk_id, email) values ('user_nobody', 'nobody@example.com');
        update memberships
        set organization_id = (select id from organizations where clerk_id = '{}')
        where clerk_id = '{moved}'",
        world.ada, world.bell
    ))
    .await;

    let report = app.compare(Mode::Report).await;
    assert_eq!(report["state"], "done");
    let expected = [
        format!("stale_high user edited_in_database found {}", world.ada),
        format!("stale_high membership moved_in_database found {moved}"),
        "orphaned user added_in_database found user_nobody".to_owned(),
        format!("missing membership deleted_in_database found {deleted}"),
    ];
    assert_eq!(app.drift().await, expected);
    assert_eq!(app.role(&world.ada).await, "ADMIN");

    let repair = app.compare(Mode::Repair).await;
    assert_eq!(repair["state"], "done");
    assert_eq!(
        repair["progress"]["repaired"],
        json!({ "done": 4, "total": 4 })
    );
    let repaired: Vec<_> = expected
        .iter()
        .map(|it| it.replace(" found ", " repaired "))
        .collect();
    assert_eq!(app.drift().await, repaired);
    app.settle().await;
    app.assert_equal().await;
    assert_eq!(app.role(&world.ada).await, "STUDENT");

    let again = app.compare(Mode::Repair).await;
    assert_eq!(again["drift"], json!({}));
    world.app.finish().await;
}

#[tokio::test]
async fn what_differs_is_told_field_by_field() {
    let world = World::new().await;
    let app = &world.app;
    app.execute(&format!(
        "update users set role = 'INSTRUCTOR', first_name = 'Eve' where clerk_id = '{}'",
        world.ada
    ))
    .await;
    app.compare(Mode::Report).await;
    let fields = app
        .sql
        .query_one("select fields, severity, action from drift", &[])
        .await
        .unwrap();
    let expected = json!([
        { "name": "firstName", "ours": "Eve", "clerk": "ada" },
        { "name": "role", "ours": "INSTRUCTOR", "clerk": "STUDENT" },
    ]);
    assert_eq!(fields.get::<_, Value>(0), expected);
    assert_eq!(fields.get::<_, String>(1), "high");
    assert_eq!(fields.get::<_, String>(2), "demote");
    app.repair().await;
    world.app.finish().await;
}

#[tokio::test]
async fn a_database_that_starts_empty_is_filled() {
    let world = World::new().await;
    let app = &world.app;
    app.execute(
        "set session_replication_role = replica;
        truncate users, organizations, memberships, inbox, outbox, role_changes cascade;
        set session_replication_role = origin",
    )
    .await;
    let run = app.compare(Mode::Repair).await;
    assert_eq!(run["drift"]["missing"], json!({ "repaired": 10 }));
    let causes = app.drift().await;
    assert!(
        causes.iter().all(|it| it.contains(" before_first_event ")),
        "{causes:?}"
    );
    app.assert_equal().await;
    world.app.finish().await;
}

#[tokio::test]
async fn rows_that_somebody_ended_by_hand_live_again() {
    let world = World::new().await;
    let app = &world.app;
    app.execute(&format!(
        "update users set deleted_at = now() where clerk_id = '{}';
        update memberships set deleted_at = now() where clerk_id = '{}';
        update organizations set deleted_at = now() where clerk_id = '{}'",
        world.ada,
        world.membership(&world.acme, &world.edsger),
        world.bell
    ))
    .await;
    let run = app.compare(Mode::Repair).await;
    assert_eq!(run["state"], "done");
    let found = app.drift().await;
    let hand = |it: &&String| it.contains("ended_in_database repaired");
    assert_eq!(found.iter().filter(hand).count(), 3, "{found:?}");
    world.app.finish().await;
}

#[tokio::test]
async fn a_deletion_that_was_told_stays_whatever_a_list_shows() {
    let world = World::new().await;
    let app = &world.app;
    let user = app.clerk.user(&world.ada).unwrap();
    let event = json!({
        "object": "event", "type": "user.deleted", "instance_id": app.clerk.instance_id(),
        "timestamp": app.clerk.now_ms(),
        "data": { "object": "user", "id": user["id"], "deleted": true },
    });
    assert_eq!(app.deliver_event("msg_end", &event).await.status, 200);
    let run = app.compare(Mode::Repair).await;
    assert_eq!(run["drift"], json!({}), "{:?}", app.drift().await);
    assert_ne!(app.row(&world.ada).await["deleted_at"], Value::Null);
    world.app.database.remove().await;
}

#[tokio::test]
async fn a_version_that_is_too_high_does_not_hide_a_difference() {
    let world = World::new().await;
    let app = &world.app;
    app.execute(&format!(
        "update users set clerk_version = clerk_version + 1000000, role = 'ADMIN'
        where clerk_id = '{}';
        update organizations set clerk_version = clerk_version + 1000000, name = 'X'
        where clerk_id = '{}';
        update memberships set clerk_version = clerk_version + 1000000, role = 'org:admin'
        where clerk_id = '{}'",
        world.ada,
        world.acme,
        world.membership(&world.acme, &world.edsger),
    ))
    .await;
    let run = app.compare(Mode::Repair).await;
    assert_eq!(run["drift"]["stale_high"], json!({ "repaired": 2 }));
    assert_eq!(run["drift"]["stale"], json!({ "repaired": 1 }));
    world.app.finish().await;
}

#[tokio::test]
async fn what_was_lost_is_found() {
    let world = World::new().await;
    let app = &world.app;
    let clerk = &app.clerk;
    clerk.set_role(&world.alan, "STUDENT");
    clerk.set_role(&world.edsger, "INSTRUCTOR");
    clerk.delete_user(&world.ada);
    clerk.remove_member(&world.acme, &world.edsger);
    clerk.add_member(&world.bell, &world.edsger, "org:member");
    clerk.update_organization(&world.bell, json!({ "name": "Bell Labs" }));
    let n_lost = clerk.take_messages().len();
    assert!(n_lost >= 6, "{n_lost}");
    let run = app.compare(Mode::Repair).await;
    assert_eq!(run["state"], "done");
    let expected = json!({
        "stale_high": { "repaired": 1 },
        "stale": { "repaired": 2 },
        "orphaned": { "repaired": 2 },
        "missing": { "repaired": 1 },
    });
    assert_eq!(run["drift"], expected, "{:?}", app.drift().await);
    world.app.finish().await;
}

#[tokio::test]
async fn a_role_that_is_none_is_no_privilege_and_stays_reported() {
    let world = World::new().await;
    let app = &world.app;
    app.clerk.set_role(&world.alan, "OVERLORD");
    drop(app.clerk.take_messages());
    let run = app.compare(Mode::Repair).await;
    assert_eq!(run["state"], "done");
    let expected = json!({
        "stale_high": { "repaired": 1 },
        "unknown_role": { "found": 1 },
    });
    assert_eq!(run["drift"], expected);
    assert_eq!(app.role(&world.alan).await, "STUDENT");
    let again = app.compare(Mode::Repair).await;
    assert_eq!(again["drift"], json!({ "unknown_role": { "found": 1 } }));
    world.app.database.remove().await;
}

#[tokio::test]
async fn a_second_run_with_nothing_changed_writes_nothing() {
    let world = World::new().await;
    let app = &world.app;
    app.repair().await;
    let before = versions(&world).await;
    let run = app.compare(Mode::Repair).await;
    assert_eq!(run["drift"], json!({}));
    assert_eq!(versions(&world).await, before);
    world.app.finish().await;
}

/// Postgres's own versions of all rows.
async fn versions(world: &World) -> Vec<String> {
    let statement = "
        select 'u ' || id || ' ' || xmin from users
        union all select 'o ' || id || ' ' || xmin from organizations
        union all select 'm ' || id || ' ' || xmin from memberships
        union all select 'i ' || svix_id || ' ' || xmin from inbox
        union all select 'x ' || id || ' ' || xmin from outbox
        order by 1";
    let rows = world.app.sql.query(statement, &[]).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}
