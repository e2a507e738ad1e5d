//! A replay that is cut off: what it was about still waits, or is taken in.

use serde_json::json;

use super::{all, in_a_minute, replay};
use crate::support::TestApp;
use crate::support::app::settings_of;
use crate::support::proxy::{Cut, Proxy, Then};
use crate::webhook::event;
use shared::sync::Replay;

/// Wherever the connection ends, and for good: the row waits as before, or has its effects; and the
/// next replay leaves them there once.
#[tokio::test]
async fn a_replay_that_is_cut_off_anywhere_loses_nothing() {
    let app = TestApp::new().await;
    let proxy = Proxy::in_front_of(&app.database.url).await;
    let (mut n_waiting, mut n_applied) = (0, 0);
    for n_messages in 0_usize.. {
        let id = format!("user_{n_messages}");
        let version = json!({
            "updated_at": 1_700_000_000_000_i64, "public_metadata": { "role": "INSTRUCTOR" },
        });
        app.bury(&id, "user.updated", &event(&app, &id, version), 0)
            .await;
        let settings = settings_of(&app.clerk, &proxy.url, &[]);
        let mut sandbox = clerk_webhook::App::new(&settings);
        sandbox.clerk = None;
        let cut = if n_messages % 2 == 0 {
            Cut::AfterTheServer
        } else {
            Cut::BeforeTheServer
        };
        proxy.cut_after(n_messages, cut, Then::Refuses);
        let meant = Replay {
            which: all(),
            after: None,
            is_dry_run: false,
        };
        let db = sandbox.db.as_ref().unwrap();
        let instance = sandbox.instance_id.as_deref();
        let result = shared::sync::replay(None, db, instance, &meant, in_a_minute()).await;
        let was_cut = proxy.come_back();
        assert!(was_cut || result.is_ok(), "{n_messages}");
        app.until_nobody_writes().await;
        let row = app.inbox(&id).await;
        let is_there = !app.row(&id).await.is_null();
        if row["outcome"] == "dead" {
            assert!(result.is_err(), "{n_messages}");
            assert!(!is_there && !row["payload"].is_null(), "{row}");
            assert_eq!(row["n_attempts"], 1);
            n_waiting += 1;
        } else {
            assert_eq!(row["outcome"], "applied", "{row}");
            assert!(is_there && row["payload"].is_null(), "{row}");
            n_applied += 1;
        }
        replay(&app.webhook, all(), None, in_a_minute()).await;
        let row = app.inbox(&id).await;
        assert_eq!(
            (&row["outcome"], &row["n_attempts"]),
            (&json!("applied"), &json!(2))
        );
        assert_eq!(app.count("role_changes").await, n_waiting + n_applied);
        if !was_cut {
            break;
        }
    }
    assert!(n_waiting > 5 && n_applied > 5, "{n_waiting} {n_applied}");
    app.database.remove().await;
}

impl TestApp {
    /// Until the server is done with what a lost connection had told it.
    async fn until_nobody_writes(&self) {
        let others = "pg_stat_activity a
            where a.datname = current_database()
                and a.pid <> pg_backend_pid()
                and a.state <> 'idle'";
        while self.count(others).await > 0 {
            tokio::task::yield_now().await;
        }
    }

    /// Until two wait in the database for what others hold.
    pub(super) async fn until_two_wait(&self) {
        let waiting = "pg_stat_activity a
            where a.datname = current_database() and a.wait_event_type = 'Lock'";
        while self.count(waiting).await < 2 {
            tokio::task::yield_now().await;
        }
    }
}
