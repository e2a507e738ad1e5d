//! A run in many steps: it ends anywhere and goes on anywhere, and only one works on it.

use std::time::{Duration, Instant};

use clerk_emulator::Fill;
use serde_json::{Value, json};
use shared::config::Settings;
use shared::db::Db;
use shared::db::runs::{Approval, Mode, NewRun, State};
use shared::sync::work_on_run;
use tokio_postgres::NoTls;
use uuid::Uuid;

use super::World;
use super::lists::{filled, never_wait};
use crate::support::TestApp;
use crate::support::database::Database;
use crate::support::proxy::{Cut, Proxy, Then};

const USERS: &str = "/v1/users?limit=500";

const SMALL: Fill = Fill {
    users: 1_100,
    organizations: 3,
    memberships: 120,
};

/// Somebody else does something in the database, at once: also while this process does nothing.
fn meanwhile<W: Future<Output = ()>>(work: impl FnOnce() -> W + Send + 'static) {
    let thread = std::thread::spawn(|| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.unwrap().block_on(work());
    });
    thread.join().unwrap();
}

/// The same, with statements.
fn meanwhile_execute(url: &str, statements: &'static str) {
    let url = url.to_owned();
    meanwhile(async move || {
        let (client, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
        tokio::spawn(connection);
        client
            .batch_execute("set lock_timeout = '5s'")
            .await
            .unwrap();
        client.batch_execute(statements).await.unwrap();
    });
}

fn db(app: &TestApp) -> &Db {
    app.reconcile.db.as_ref().unwrap()
}

fn usual(app: &TestApp) -> Approval {
    app.reconcile.limits.clone().unwrap().brake.approval()
}

/// Works on the run for so long only.
async fn work_for(app: &TestApp, time: Duration) -> Option<State> {
    let clerk = app.reconcile.clerk.as_ref().unwrap();
    let work = work_on_run(clerk, db(app), Instant::now() + time);
    work.await.unwrap()
}

/// Whoever worked on it is gone without a word.
async fn end_lease(app: &TestApp) {
    app.execute("update reconcile_runs set leased_until = now() - interval '1 second'")
        .await;
}

#[tokio::test]
async fn a_run_ends_before_its_time_does_and_goes_on() {
    let app = filled(SMALL).await;
    app.clerk.silently(|clerk| {
        clerk.delete_user(&clerk.user_ids()[700]);
        clerk.create_user(json!({ "email": "new@example.com" }));
    });
    app.execute(
        "update users set role = 'ADMIN'
        where id in (select id from users where role = 'STUDENT' order by clerk_id limit 5)",
    )
    .await;
    let report = app.compare(Mode::Report).await;
    let run = app.begin_run(Mode::Repair, usual(&app)).await;
    let mut n_slices = 0;
    // No step begins later than three seconds before the end.
    let time = Duration::from_millis(3_150);
    while app.run(run).await["finishedAt"] == Value::Null {
        let began_at = Instant::now();
        assert!(work_for(&app, time).await.is_some(), "nobody else has it");
        assert!(began_at.elapsed() < time);
        n_slices += 1;
        assert!(n_slices < 200, "it comes to no end: {}", app.run(run).await);
        let leased = "reconcile_runs where leased_by is not null or leased_until is not null";
        assert_eq!(app.count(leased).await, 0);
    }
    assert!(n_slices > 1);
    let shown = app.run(run).await;
    assert_eq!(shown["state"], "done");
    for kind in ["users", "organizations", "memberships", "compared", "asked"] {
        assert_eq!(shown["progress"][kind], report["progress"][kind], "{kind}");
    }
    for (class, found) in report["drift"].as_object().unwrap() {
        assert_eq!(shown["drift"][class]["repaired"], found["found"], "{class}");
    }
    assert_eq!(shown["drift"]["stale_high"], json!({ "repaired": 5 }));
    app.settle().await;
    app.assert_equal().await;
    app.database.remove().await;
}

#[tokio::test]
async fn of_two_sandboxes_one_works_and_the_other_goes_away() {
    let world = World::new().await;
    let app = &world.app;
    app.begin_run(Mode::Report, usual(app)).await;
    let (one, other) = tokio::join!(app.work_on_run(), app.work_on_run());
    let mut states = [one, other];
    states.sort_by_key(Option::is_some);
    assert_eq!(states, [None, Some(State::Done)]);
    let done = "reconcile_runs where actor = 'command' and state = 'done'";
    assert_eq!(app.count(done).await, 1);
    world.app.finish().await;
}

#[tokio::test]
async fn when_a_sandbox_dies_another_goes_on() {
    let world = World::new().await;
    let app = &world.app;
    let run = app.begin_run(Mode::Report, usual(app)).await;
    let leased = db(app).lease_run(Uuid::new_v4()).await.unwrap();
    assert_eq!(leased.unwrap().id, run);
    assert_eq!(app.work_on_run().await, None, "it may yet live");
    end_lease(app).await;
    assert_eq!(app.work_on_run().await, Some(State::Done));
    world.app.finish().await;
}

/// It slept, and somebody else took the run for abandoned.
#[tokio::test]
async fn who_has_lost_the_run_writes_nothing_more() {
    let app = filled(SMALL).await;
    let url = app.database.url.clone();
    app.clerk.after_request(2, "GET", USERS, move |_| {
        meanwhile_execute(
            &url,
            "update reconcile_runs
            set leased_by = gen_random_uuid(), leased_until = now() + interval '1 minute'
            where state = 'listing';
            create table lost as
            select position, progress, (select count(*) from listed_users) as n_listed
            from reconcile_runs
            where state = 'listing'",
        );
    });
    let run = app.begin_run(Mode::Repair, usual(&app)).await;
    assert_eq!(app.work_on_run().await, Some(State::Listing));
    let unchanged = "lost l
        join reconcile_runs r on (r.position, r.progress) = (l.position, l.progress)
        where r.state = 'listing' and l.n_listed = (select count(*) from listed_users)";
    assert_eq!(app.count(unchanged).await, 1);
    assert_eq!(app.work_on_run().await, None, "it is somebody else's");
    end_lease(&app).await;
    assert_eq!(app.work_on_run().await, Some(State::Done));
    assert_eq!(app.run(run).await["drift"], json!({}));
    app.assert_equal().await;
    app.database.remove().await;
}

#[tokio::test]
async fn cancelling_stops_a_run_and_nothing_of_it_comes_into_the_next() {
    let app = filled(SMALL).await;
    let url = app.database.url.clone();
    let run = app.begin_run(Mode::Repair, usual(&app)).await;
    app.clerk.after_request(2, "GET", USERS, move |_| {
        meanwhile(async move || {
            let settings = Settings::from_pairs([("DATABASE_URL", url.as_str())]);
            let db = Db::from_settings(&settings).unwrap();
            assert!(db.cancel_run(run).await.unwrap());
        });
    });
    assert_eq!(app.work_on_run().await, Some(State::Listing));
    let shown = app.run(run).await;
    assert_eq!(shown["state"], "cancelled");
    assert_ne!(shown["finishedAt"], Value::Null);
    assert_eq!(app.work_on_run().await, None);
    assert!(!db(&app).cancel_run(run).await.unwrap(), "once");

    // Listed by the run that was cancelled, and by no other.
    let gone = app.clerk.user_ids()[3].clone();
    let listed = format!("listed_users where clerk_id = '{gone}'");
    assert_eq!(app.count(&listed).await, 1);
    app.clerk.silently(|clerk| clerk.delete_user(&gone));
    let run = app.compare(Mode::Report).await;
    assert_eq!(
        run["drift"]["orphaned"]["found"],
        1,
        "{:?}",
        app.drift().await
    );
    assert!(app.drift().await[0].ends_with(&gone));
    app.repair().await;
    app.assert_equal().await;
    app.database.remove().await;
}

/// The lists are not logged: when the server goes down, they are empty.
#[tokio::test]
async fn when_the_lists_are_lost_while_they_are_read_the_run_begins_anew() {
    let app = filled(SMALL).await;
    let lose = "truncate listed_users, listed_organizations, listed_memberships";
    for n_pages in 1..=3 {
        // Only the first page tells of one of them.
        let user = app.clerk.user_ids()[200].clone();
        app.execute(&format!(
            "set session_replication_role = replica;
            delete from users where clerk_id = '{user}';
            set session_replication_role = origin"
        ))
        .await;
        let url = app.database.url.clone();
        app.clerk.after_request(n_pages, "GET", USERS, move |_| {
            meanwhile_execute(&url, lose);
        });
        let run = app.compare(Mode::Repair).await;
        assert_eq!(run["state"], "done", "after page {n_pages}: {run}");
        let found = json!({ "missing": { "repaired": 1 } });
        assert_eq!(run["drift"], found, "after page {n_pages}");
        assert_eq!(run["progress"]["users"]["done"], SMALL.users);
        assert_eq!(app.count("ends").await, 0, "after page {n_pages}");
    }
    app.assert_equal().await;
    app.database.remove().await;
}

/// The same, just when the run goes over from one state into another.
#[tokio::test]
async fn when_the_lists_are_lost_later_the_run_begins_anew() {
    let app = filled(SMALL).await;
    app.clerk
        .silently(|clerk| clerk.delete_user(&clerk.user_ids()[9]));
    app.execute(
        "create table to_lose (state text primary key);
        create function lose() returns trigger language plpgsql as $$
        begin
            if exists (select from to_lose where state = new.state) and old.state <> new.state then
                delete from to_lose;
                truncate listed_users, listed_organizations, listed_memberships;
            end if;
            return null;
        end $$;
        create trigger lose after update on reconcile_runs for each row execute function lose()",
    )
    .await;
    for state in ["asking", "comparing"] {
        app.execute(&format!("insert into to_lose values ('{state}')"))
            .await;
        let run = app.compare(Mode::Report).await;
        assert_eq!(app.count("to_lose").await, 0, "{state}: they were lost");
        assert_eq!(run["state"], "done", "{state}: {run}");
        let found = json!({ "orphaned": { "found": 1 } });
        assert_eq!(run["drift"], found, "{state}: {:?}", app.drift().await);
        assert_eq!(run["approval"]["isForeign"], false, "{state}");
    }
    // While it is repaired, Clerk is asked instead.
    app.execute("insert into to_lose values ('repairing')")
        .await;
    let run = app.compare(Mode::Repair).await;
    assert_eq!(run["drift"], json!({ "orphaned": { "repaired": 1 } }));
    app.settle().await;
    app.assert_equal().await;
    app.database.remove().await;
}

#[tokio::test]
async fn only_one_run_is_under_way() {
    let world = World::new().await;
    let app = &world.app;
    let new = NewRun {
        mode: Mode::Repair,
        actor: "command".to_owned(),
        request_id: None,
        approval: usual(app),
    };
    let begun = tokio::join!(db(app).begin_run(&new), db(app).begin_run(&new));
    let begun = [begun.0.unwrap(), begun.1.unwrap()];
    assert_eq!(begun.iter().flatten().count(), 1, "{begun:?}");
    assert_eq!(db(app).begin_run(&new).await.unwrap(), None);
    assert!(!db(app).begin_due_run(&new, 0).await.unwrap());
    assert_eq!(app.work_on_run().await, Some(State::Done));
    assert!(db(app).begin_run(&new).await.unwrap().is_some());
    app.work_on_run().await;
    world.app.finish().await;
}

#[tokio::test]
async fn a_tick_compares_and_repairs_when_that_is_due() {
    let world = World::with(&[("RECONCILE_INTERVAL_MINUTES", "0")]).await;
    let app = &world.app;
    let demote = format!(
        "update users set role = 'ADMIN' where clerk_id = '{}'",
        world.ada
    );
    for _ in 0..2 {
        app.execute(&demote).await;
        assert_eq!(app.reconcile().await.comparison, Some(State::Done));
        assert_eq!(app.role(&world.ada).await, "STUDENT");
    }
    let scheduled = "reconcile_runs where actor = 'schedule' and mode = 'repair'";
    assert!(app.count(scheduled).await >= 2);
    world.app.finish().await;
}

#[tokio::test]
async fn where_only_a_report_is_wanted_a_tick_repairs_nothing() {
    let settings = [
        ("RECONCILE_INTERVAL_MINUTES", "0"),
        ("RECONCILE_MODE", "report"),
    ];
    let world = World::with(&settings).await;
    let app = &world.app;
    let by_hand = format!(
        "update users set role = 'ADMIN' where clerk_id = '{}'",
        world.ada
    );
    app.execute(&by_hand).await;
    assert_eq!(app.reconcile().await.comparison, Some(State::Done));
    let expected = format!("stale_high user edited_in_database found {}", world.ada);
    assert_eq!(app.drift().await, [expected]);
    assert_eq!(app.role(&world.ada).await, "ADMIN");
    app.repair().await;
    world.app.finish().await;
}

#[tokio::test]
async fn the_next_run_begins_when_the_interval_is_over() {
    let world = World::with(&[("RECONCILE_INTERVAL_MINUTES", "90")]).await;
    let app = &world.app;
    app.execute("delete from reconcile_runs").await;
    assert_eq!(app.reconcile().await.comparison, Some(State::Done));
    assert_eq!(app.reconcile().await.comparison, None);
    let later = "update reconcile_runs set created_at = created_at - interval '91 minutes'";
    app.execute(later).await;
    assert_eq!(app.reconcile().await.comparison, Some(State::Done));
    assert_eq!(app.reconcile().await.comparison, None);
    // One that somebody asked for counts, too.
    app.execute(later).await;
    app.compare(Mode::Report).await;
    assert_eq!(app.reconcile().await.comparison, None);
    world.app.finish().await;
}

/// Whoever ends a run does not want another one a minute later.
#[tokio::test]
async fn a_run_that_was_cancelled_is_not_begun_again_at_once() {
    let world = World::with(&[("RECONCILE_INTERVAL_MINUTES", "90")]).await;
    let app = &world.app;
    app.execute("delete from reconcile_runs").await;
    let run = app.begin_run(Mode::Repair, usual(app)).await;
    assert!(db(app).cancel_run(run).await.unwrap());
    assert_eq!(app.reconcile().await.comparison, None);
    world.app.finish().await;
}

#[tokio::test]
async fn runs_are_forgotten_after_their_retention_but_for_the_last() {
    let world = World::with(&[("RETENTION_DAYS", "7")]).await;
    let app = &world.app;
    app.execute(&format!(
        "update users set role = 'ADMIN' where clerk_id = '{}'",
        world.ada
    ))
    .await;
    for _ in 0..3 {
        app.compare(Mode::Report).await;
    }
    let n_runs = app.count("reconcile_runs").await;
    app.reconcile().await;
    assert_eq!(app.count("reconcile_runs").await, n_runs);
    assert_eq!(app.count("drift").await, 3);
    app.execute("update reconcile_runs set finished_at = now() - interval '8 days'")
        .await;
    app.reconcile().await;
    assert_eq!(app.count("reconcile_runs").await, 1);
    assert_eq!(app.count("drift").await, 1);
    app.repair().await;
    world.app.finish().await;
}

/// After each message to the database the connection is cut, and the next one finds what the server did
/// without its answer being heard; and after some in other ways.
#[tokio::test]
async fn a_run_cut_anywhere_ends_as_if_it_were_not() {
    let cuts = [
        (Cut::AfterTheServer, Then::Works, 1),
        (Cut::AfterTheServer, Then::Refuses, 29),
        (Cut::BeforeTheServer, Then::Works, 31),
    ];
    let database = Database::new().await;
    let proxy = Proxy::in_front_of(&database.url).await;
    let app = TestApp::at(database, &proxy.url, &[]).await;
    never_wait(&app).await;
    let grace = app.admin("grace").await;
    let ada = app.user("ada", Some("STUDENT")).await;
    let acme = json!({ "name": "Acme", "created_by": grace });
    let acme = app.clerk.create_organization(acme);
    app.clerk
        .add_member(acme["id"].as_str().unwrap(), &ada, "org:member");
    app.settle().await;
    let (mut n_cuts, mut n_ghosts) = (0, 0);
    for (cut, then, step) in cuts {
        for n_messages in (1..1_000).step_by(step) {
            n_ghosts += 1;
            let at = format!("{cut:?} {then:?} after {n_messages}");
            app.execute(&format!(
                "update users set role = 'ADMIN' where clerk_id = '{ada}';
                delete from memberships where user_id = (
                    select id from users where clerk_id = '{ada}'
                );
                insert into users (clerk_id, email)
                values ('user_ghost{n_ghosts}', 'ghost@example.com')"
            ))
            .await;
            let run = app.begin_run(Mode::Repair, usual(&app)).await;
            proxy.cut_after(n_messages, cut, then);
            let clerk = app.reconcile.clerk.as_ref().unwrap();
            let until = Instant::now() + Duration::from_secs(30);
            // Whether it noticed or not.
            drop(work_on_run(clerk, db(&app), until).await);
            let was_cut = proxy.come_back();
            until_at_rest(&app).await;
            finish(&app, run, &at).await;
            if !was_cut {
                break;
            }
            n_cuts += 1;
        }
    }
    assert!(n_cuts > 50, "a run has more steps than that: {n_cuts}");
    app.finish().await;
}

/// Nobody in the database does anything any more.
async fn until_at_rest(app: &TestApp) {
    let at_work = "pg_stat_activity
        where datname = current_database() and state <> 'idle' and pid <> pg_backend_pid()";
    while app.count(at_work).await > 0 {
        tokio::task::yield_now().await;
    }
}

/// Goes on with a run until it is over: all is mended, and nothing was put down twice.
async fn finish(app: &TestApp, run: Uuid, at: &str) {
    for _ in 0..3 {
        end_lease(app).await;
        app.forget_waits().await;
        app.work_on_run().await;
    }
    let shown = app.run(run).await;
    assert_eq!(shown["state"], "done", "{at}: {shown}");
    let doubles = format!(
        "(
            select from drift
            where run_id = '{run}'
            group by class, object, clerk_id
            having count(*) > 1
        ) d"
    );
    assert_eq!(
        app.count(&doubles).await,
        0,
        "{at}: {:?}",
        app.drift().await
    );
    assert_eq!(
        app.count(&format!("drift where run_id = '{run}'")).await,
        3,
        "{at}"
    );
    let open = format!("drift where run_id = '{run}' and state not in ('repaired', 'gone')");
    assert_eq!(app.count(&open).await, 0, "{at}: {:?}", app.drift().await);
    app.assert_equal().await;
}
