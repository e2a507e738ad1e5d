//! The promise, in small: random histories on both sides, delivered in any order, repeated,
//! late, with Clerk failing in between, end with equal tables.
//!
//! Each history is made from a seed, which a failure names.

use std::slice;
use std::time::Duration;

use clerk_emulator::{Fault, MemberEvents, Message};
use futures_util::future::join_all;
use serde_json::json;

use crate::support::TestApp;
use crate::support::app::settings_of;
use crate::support::gateway::Call;

const ROLES: [&str; 3] = ["STUDENT", "INSTRUCTOR", "ADMIN"];
const MEMBER_ROLES: [&str; 3] = ["org:admin", "org:member", "org:teacher"];
const MEMBER_EVENTS: [MemberEvents; 3] = [
    MemberEvents::None,
    MemberEvents::Before,
    MemberEvents::After,
];

/// How many histories; `CONVERGENCE_HISTORIES` makes it more.
const N_HISTORIES: u64 = 12;
/// How many things happen in a history.
const N_STEPS: usize = 60;

#[tokio::test]
async fn any_history_ends_equal() {
    for seed in 0..n_histories() {
        let app = TestApp::new().await;
        say_seed(seed);
        run_history(&app, seed).await;
        app.settle().await;
        app.assert_equal().await;
        assert_only_known_roles(&app).await;
        assert_nothing_waits(&app).await;
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
    if let Some(events) = random.choice(MEMBER_EVENTS) {
        app.clerk.member_events(events);
    }
    app.clerk.add_member_role("org:teacher", "Teacher");
    let admin = app.admin("admin").await;
    let mut users = Vec::new();
    let mut organizations = Vec::new();
    // Messages on their way, and those that arrived and may arrive again.
    let mut in_flight: Vec<Message> = Vec::new();
    let mut arrived: Vec<Message> = Vec::new();
    for step in 0..N_STEPS {
        match random.u8(0..20) {
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
            10 => organizations.push(create_organization(app, &mut random, &users)),
            11 => change_organization(app, &mut random, &mut organizations),
            12..=14 => change_member(app, &mut random, &organizations, &users),
            15 => change_at_once(app, &mut random, &organizations, &users),
            16 => lose(app, &mut random, &organizations, &users).await,
            _ => deliver(app, &mut random, &mut in_flight, &mut arrived).await,
        }
        in_flight.extend(app.clerk.take_messages());
        tokio::time::sleep(Duration::from_millis(random.u64(0..3))).await;
    }
    app.clerk.clear_faults();
    random.shuffle(&mut in_flight);
    deliver_the_rest(app, &mut random, &in_flight).await;
}

/// What is still on its way arrives one by one, or some at once.
async fn deliver_the_rest(app: &TestApp, random: &mut fastrand::Rng, in_flight: &[Message]) {
    let settings = settings_of(&app.clerk, &app.database.url, &[]);
    let n_at_once = if random.bool() { 1 } else { 6 };
    for messages in in_flight.chunks(n_at_once) {
        let deliveries = messages.iter().map(|message| {
            let sandbox = clerk_webhook::App::new(&settings);
            let event = Call::new("POST", "/api/webhooks/clerk")
                .headers(app.clerk.sign(message))
                .body(&message.body)
                .event();
            async move {
                let handler = |request| clerk_webhook::handle(&sandbox, request);
                shared::http::answer(event, &handler).await
            }
        });
        for answer in join_all(deliveries).await {
            assert_eq!(answer["statusCode"], 200, "{answer}");
        }
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

fn create_organization(app: &TestApp, random: &mut fastrand::Rng, users: &[String]) -> String {
    let creator = random.choice(users).filter(|_| random.bool());
    let organization = app.clerk.create_organization(json!({
        "name": format!("Organization {}", random.u32(..)),
        "created_by": creator,
    }));
    organization["id"].as_str().unwrap().to_owned()
}

fn change_organization(app: &TestApp, random: &mut fastrand::Rng, organizations: &mut Vec<String>) {
    if organizations.is_empty() {
        return;
    }
    let place = random.usize(..organizations.len());
    let patch = match random.u8(0..5) {
        0 => {
            app.clerk
                .delete_organization(&organizations.swap_remove(place));
            return;
        }
        1 => json!({ "max_allowed_memberships": random.u8(50..) }),
        2 => json!({ "public_metadata": { "theme": random.u8(..) } }),
        3 => json!({ "private_metadata": { "theme": random.u8(..) } }),
        _ => json!({ "name": format!("name{}", random.u8(..)) }),
    };
    app.clerk.update_organization(&organizations[place], patch);
}

/// Somebody joins, changes, or leaves; or leaves and joins again.
fn change_member(
    app: &TestApp,
    random: &mut fastrand::Rng,
    organizations: &[String],
    users: &[String],
) {
    let (Some(organization), Some(user)) = (random.choice(organizations), random.choice(users))
    else {
        return;
    };
    let role = random.choice(MEMBER_ROLES).unwrap_or("org:member");
    if app.clerk.membership(organization, user).is_none() {
        app.clerk.add_member(organization, user, role);
        return;
    }
    let clerk = &app.clerk;
    match random.u8(0..5) {
        0 | 1 => clerk.set_member_role(organization, user, role),
        2 => {
            let patch = json!({ "public_metadata": { "seat": random.u8(..) } });
            clerk.update_member(organization, user, patch)
        }
        3 => clerk.remove_member(organization, user),
        _ => {
            clerk.remove_member(organization, user);
            clerk.add_member(organization, user, role)
        }
    };
}

/// One member changes, leaves and joins again within a millisecond; and Clerk, if it is asked which
/// came last, may have trouble.
fn change_at_once(
    app: &TestApp,
    random: &mut fastrand::Rng,
    organizations: &[String],
    users: &[String],
) {
    let (Some(organization), Some(user)) = (random.choice(organizations), random.choice(users))
    else {
        return;
    };
    app.clerk.freeze_clock();
    for _ in 0..random.u8(2..5) {
        let (organization, user) = (slice::from_ref(organization), slice::from_ref(user));
        change_member(app, random, organization, user);
    }
    app.clerk.resume_clock();
    if random.bool() {
        let path = format!("/v1/organizations/{organization}/memberships");
        let fault = Fault::status(500).on("GET", &path);
        app.clerk.fault(fault.times(random.u32(1..6)));
    }
}

/// Changes of one user's memberships that no message tells of, long after the last walk;
/// the next message about the user makes them good.
/// A membership whose beginning comes after that, and whose end never, is asked about.
async fn lose(
    app: &TestApp,
    random: &mut fastrand::Rng,
    organizations: &[String],
    users: &[String],
) {
    let Some(user) = random.choice(users) else {
        return;
    };
    app.clerk.silently(|_| {
        for _ in 0..random.u8(1..4) {
            change_member(app, random, organizations, slice::from_ref(user));
        }
    });
    app.execute(&format!(
        "update users set organizations_confirmed_at = null where clerk_id = '{user}'"
    ))
    .await;
    let patch = json!({ "first_name": format!("name{}", random.u32(..)) });
    app.clerk.update_user(user, patch);
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
    let (method, path) = match random.u8(0..3) {
        0 => ("PATCH", "/v1/users"),
        1 => ("GET", "/v1/users"),
        _ => ("GET", "/v1/organizations"),
    };
    fault.on(method, path).times(random.u32(1..3))
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
    let untold = "users u
        where not exists (select from role_changes c where c.user_id = u.id)
            and not is_placeholder";
    let n_untold = app.count(untold).await;
    assert!(
        n_changes > 0 && n_untold == 0,
        "every role of a row is in the audit trail"
    );
}

/// No delivery waits for an answer any more, and nobody is in what is gone.
async fn assert_nothing_waits(app: &TestApp) {
    let waiting = "inbox where outcome in ('parked', 'dead')";
    assert_eq!(app.count(waiting).await, 0, "nothing waits");
    let ghosts = "memberships m
        join organizations o on o.id = m.organization_id
        join users u on u.id = m.user_id
        where m.deleted_at is null and (o.deleted_at is not null or u.deleted_at is not null)";
    assert_eq!(app.count(ghosts).await, 0, "nobody is in what is gone");
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
