//! The promise, in small: random histories on both sides, delivered in any order, repeated,
//! late, with Clerk failing in between, end with equal tables.
//!
//! Each history is made from a seed, which a failure names.

use std::time::Duration;

use clerk_emulator::{Fault, Message};
use serde_json::json;

use crate::support::TestApp;

const ROLES: [&str; 3] = ["STUDENT", "INSTRUCTOR", "ADMIN"];

/// How many histories; `CONVERGENCE_HISTORIES` makes it more.
const N_HISTORIES: u64 = 12;
/// How many things happen in a history.
const N_STEPS: usize = 40;

#[tokio::test]
async fn any_history_ends_equal() {
    for seed in 0..n_histories() {
        let app = TestApp::new().await;
        say_seed(seed);
        run_history(&app, seed).await;
        app.settle().await;
        app.assert_equal().await;
        assert_only_known_roles(&app).await;
        app.database.remove().await;
    }
}

/// A failure shows what was said last.
#[expect(
    clippy::print_stdout,
    reason = "the seed is what a person needs to see it again"
)]
fn say_seed(seed: u64) {
    println!("history {seed}");
}

async fn run_history(app: &TestApp, seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let admin = app.admin("admin").await;
    let mut users = Vec::new();
    // Messages on their way, and those that arrived and may arrive again.
    let mut in_flight: Vec<Message> = Vec::new();
    let mut arrived: Vec<Message> = Vec::new();
    for step in 0..N_STEPS {
        match random.u8(0..12) {
            0 | 1 => users.push(create(app, &mut random, step)),
            2 | 3 => change(app, &mut random, &users),
            4 => {
                // Two changes that share a millisecond.
                app.clerk.freeze_clock();
                change(app, &mut random, &users);
                change(app, &mut random, &users);
                app.clerk.resume_clock();
            }
            5 => delete(app, &mut random, &mut users),
            6 | 7 => set_role(app, &mut random, &admin, &users).await,
            8 => app.clerk.fault(fault(&mut random)),
            9 => {
                app.forget_waits().await;
                app.reconcile().await;
            }
            _ => deliver(app, &mut random, &mut in_flight, &mut arrived).await,
        }
        in_flight.extend(app.clerk.take_messages());
        tokio::time::sleep(Duration::from_millis(random.u64(0..3))).await;
    }
    app.clerk.clear_faults();
    random.shuffle(&mut in_flight);
    for message in &in_flight {
        assert_eq!(app.deliver(message).await.status, 200, "seed {seed}");
    }
}

fn create(app: &TestApp, random: &mut fastrand::Rng, step: usize) -> String {
    let metadata = match random.choice(ROLES) {
        Some(role) if random.bool() => json!({ "role": role }),
        _ => json!({}),
    };
    let user = app.clerk.create_user(json!({
        "email": format!("user{step}@example.com"),
        "public_metadata": metadata,
    }));
    user["id"].as_str().unwrap().to_owned()
}

fn change(app: &TestApp, random: &mut fastrand::Rng, users: &[String]) {
    let Some(user) = random.choice(users) else {
        return;
    };
    let role = random.choice(ROLES);
    let patch = match random.u8(0..5) {
        0 => json!({ "first_name": format!("name{}", random.u8(..)) }),
        1 => json!({ "public_metadata": { "role": null } }),
        2 => json!({ "public_metadata": { "role": "SOMETHING" } }),
        3 => json!({ "public_metadata": { "theme": random.u8(..) } }),
        _ => json!({ "public_metadata": { "role": role } }),
    };
    app.clerk.update_user(user, patch);
}

fn delete(app: &TestApp, random: &mut fastrand::Rng, users: &mut Vec<String>) {
    if !users.is_empty() && random.bool() {
        let user = users.swap_remove(random.usize(..users.len()));
        app.clerk.delete_user(&user);
    }
}

async fn set_role(app: &TestApp, random: &mut fastrand::Rng, admin: &str, users: &[String]) {
    let (Some(user), Some(role)) = (random.choice(users), random.choice(ROLES)) else {
        return;
    };
    let answer = app.set_role(admin, user, json!({ "role": role })).await;
    // The row may not be there yet.
    assert!(matches!(answer.status, 200 | 404), "{}", answer.body);
}

fn fault(random: &mut fastrand::Rng) -> Fault {
    let fault = match random.u8(0..4) {
        0 => Fault::status(500),
        1 => Fault::drop_answer(),
        2 => Fault::drop(),
        _ => Fault::rate_limited(1),
    };
    fault
        .on(if random.bool() { "PATCH" } else { "GET" }, "/v1/users")
        .times(random.u32(1..3))
}

async fn deliver(
    app: &TestApp,
    random: &mut fastrand::Rng,
    in_flight: &mut Vec<Message>,
    arrived: &mut Vec<Message>,
) {
    if !in_flight.is_empty() {
        let message = in_flight.swap_remove(random.usize(..in_flight.len()));
        assert_eq!(app.deliver(&message).await.status, 200);
        arrived.push(message);
    }
    if let Some(again) = random.choice(arrived.iter()).filter(|_| random.bool()) {
        assert_eq!(app.deliver(again).await.body["outcome"], "duplicate");
    }
}

async fn assert_only_known_roles(app: &TestApp) {
    let n_changes = app.count("role_changes").await;
    let n_live = app.count("users u where not exists (select from role_changes c where c.user_id = u.id) and not is_placeholder").await;
    assert!(
        n_changes > 0 && n_live == 0,
        "every role of a row is in the audit trail"
    );
}

#[expect(
    clippy::disallowed_methods,
    reason = "how long a test runs is no setting of ours"
)]
fn n_histories() -> u64 {
    let wanted = std::env::var("CONVERGENCE_HISTORIES").ok();
    wanted.map_or(N_HISTORIES, |text| {
        text.parse().expect("a number of histories")
    })
}
