//! A process that is killed again and again while events come in.

use std::time::Duration;

use clerk_emulator::Message;
use lambda_host::{Function, Host, Options, Outcome};
use serde_json::json;

use super::history::{Change, MemberRole, Said};
use super::say;
use super::world::World;
use crate::support::TestApp;
use crate::support::binaries::binary;
use crate::support::gateway::{Answer, Call};

/// How often the process is killed.
const N_KILLS: usize = 12;

/// The moments differ from run to run, and none of them may make a difference.
#[tokio::test]
async fn a_process_killed_at_any_moment_of_a_burst_loses_nothing() {
    let app = TestApp::new().await;
    let mut world = World::new(&app.clerk);
    for who in 0..8 {
        world.change(Change::CreateUser(Said::Student));
        world.change(Change::CreateOrganization(Some(who)));
        world.change(Change::Rename(who));
        world.change(Change::Join((who, 0), MemberRole::Member));
        world.change(Change::SetRole(who, Said::Instructor));
        // The clock of a test may be faster than a millisecond a change.
        app.clerk.advance(Duration::from_millis(1));
    }
    world.change(Change::DeleteUser(3));
    world.change(Change::DeleteOrganization(5));
    let host = Host::start(Options {
        functions: vec![webhook(&app)],
    })
    .unwrap();
    let messages = app.clerk.take_messages();
    let mut n_cut_off = 0;
    let deliveries = async {
        for message in &messages {
            while !is_taken_in(&app, &host, message).await {
                n_cut_off += 1;
                assert!(n_cut_off < 100, "it is not killed as often as that");
            }
        }
    };
    let kills = async {
        for _ in 0..N_KILLS {
            tokio::time::sleep(Duration::from_millis(fastrand::u64(0..60))).await;
            host.kill("clerk-webhook").await;
        }
    };
    tokio::join!(deliveries, kills);
    say(&format!(
        "{} events, {n_cut_off} of them cut off by {N_KILLS} kills",
        messages.len()
    ));
    let n_taken_in = app.count("inbox").await;
    assert_eq!(usize::try_from(n_taken_in), Ok(messages.len()));
    app.finish().await;
}

fn webhook(app: &TestApp) -> Function {
    let function = Function::new("clerk-webhook", binary("clerk-webhook"));
    [
        ("DATABASE_URL", app.database.url.as_str()),
        ("CLERK_API_URL", app.clerk.url()),
        ("CLERK_SECRET_KEY", app.clerk.secret_key()),
        ("CLERK_WEBHOOK_SECRET", app.clerk.webhook_secret()),
        ("CLERK_INSTANCE_ID", app.clerk.instance_id()),
    ]
    .into_iter()
    .fold(function, |function, (name, value)| {
        function.env(name, value)
    })
}

async fn is_taken_in(app: &TestApp, host: &Host, message: &Message) -> bool {
    let call = Call::new("POST", "/api/webhooks/clerk")
        .headers(app.clerk.sign(message))
        .header("content-type", "application/json")
        .body(&message.body);
    let Outcome::Response(response) = host.invoke("clerk-webhook", &call.event()).await else {
        return false;
    };
    let answer = Answer::read(&response);
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_ne!(answer.body, json!({ "outcome": "dead" }));
    true
}
