//! All sandboxes together stay below Clerk's rate limit (R14).

use std::time::{Duration, Instant};

use clerk_emulator::Fault;
use shared::clerk::Budget;
use shared::db::runs::{Mode, State};
use shared::sync::work_on_run;

use super::World;
use super::brake::ghosts;

/// What a key for development takes of calls in a second, and at once, for comparisons.
const RATE: f64 = 5.5;
const BURST: f64 = 40.0;

#[tokio::test]
async fn clerk_refuses_nothing_however_many_ask_at_once() {
    let world = World::with(&[("REPAIR_MAX_DELETIONS", "100")]).await;
    let app = &world.app;
    ghosts(app, 40).await;
    // What was asked so far is forgotten.
    app.clerk.advance(Duration::from_secs(11));
    app.clerk.limit_instance(Some(100));
    app.clerk.clear_requests();
    let db = app.reconcile.db.as_ref().unwrap();
    let clerk = app.reconcile.clerk.as_ref().unwrap();
    let other = async {
        for _ in 0..10 {
            let wait = db.reserve_calls(4, RATE, BURST).await.unwrap();
            tokio::time::sleep(wait).await;
            for _ in 0..4 {
                let budget = Budget::once(Duration::from_secs(5));
                clerk.n_users(budget).await.unwrap();
            }
        }
    };
    let (run, ()) = tokio::join!(app.compare(Mode::Repair), other);
    assert_eq!(run["state"], "done", "{run}");
    assert_eq!(run["drift"]["orphaned"]["repaired"], 40);
    let calls = app.clerk.calls();
    assert!(
        calls.n_calls > 120,
        "more than Clerk takes at once: {calls:?}"
    );
    assert!(run["progress"]["nCalls"].as_u64() > Some(80), "{run}");
    assert_eq!(calls.n_rate_limited, 0);
    app.clerk.limit_instance(None);
    world.app.finish().await;
}

#[tokio::test]
async fn a_run_waits_while_others_have_taken_all() {
    let world = World::new().await;
    let app = &world.app;
    app.compare(Mode::Report).await;
    let n_owed = 16.0;
    app.execute(&format!(
        "update clerk_tokens set n_tokens = -{n_owed}, counted_at = clock_timestamp()"
    ))
    .await;
    let began_at = Instant::now();
    let run = app.compare(Mode::Report).await;
    assert_eq!(run["state"], "done");
    assert!(began_at.elapsed() >= Duration::from_secs_f64(n_owed / RATE));
    world.app.finish().await;
}

#[tokio::test]
async fn when_clerk_asks_one_to_wait_all_do() {
    let world = World::new().await;
    let app = &world.app;
    let list = "/v1/organizations?";
    app.clerk
        .fault(Fault::rate_limited(600).on("GET", list).once());
    let approval = app.reconcile.limits.clone().unwrap().brake.approval();
    let run = app.begin_run(Mode::Report, approval).await;
    assert_eq!(app.work_on_run().await, Some(State::Listing));
    let db = app.reconcile.db.as_ref().unwrap();
    let wait = db.reserve_calls(1, RATE, BURST).await.unwrap();
    assert!(wait > Duration::from_secs(590), "{wait:?}");
    // Nor does it take what is not there, once it goes on: it ends before its time does.
    app.forget_waits().await;
    app.clerk.clear_requests();
    let began_at = Instant::now();
    let deadline = began_at + Duration::from_secs(5);
    let clerk = app.reconcile.clerk.as_ref().unwrap();
    let work = work_on_run(clerk, db, deadline);
    let state = tokio::time::timeout(Duration::from_secs(6), work).await;
    let state = state.expect("it ends before its time does");
    assert_eq!(state.unwrap(), Some(State::Listing));
    assert_eq!(app.clerk.calls().n_calls, 0);
    app.execute("delete from clerk_tokens").await;
    app.forget_waits().await;
    assert_eq!(app.work_on_run().await, Some(State::Done));
    assert_eq!(app.run(run).await["drift"], serde_json::json!({}));
    world.app.finish().await;
}
