//! All small histories, delivered in every order.
//!
//! Each runs with users and organizations of its own, so that thousands share one database; what is
//! not equal in the end names its history by its id.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use clerk_emulator::{Emulator, Message, Options};
use futures_util::future::join_all;
use serde_json::Value;

use super::history::{Change, MemberRole, Said};
use super::ways::{Op, interleavings, permutations, with_repetitions};
use super::world::World;
use super::{is_long, say};
use crate::support::TestApp;
use crate::support::app::{Difference, settings_of};
use crate::support::gateway::{Answer, Call};

const ALL: (u8, u8) = (0, 0);

/// Histories are made of these.
struct Alphabet {
    /// What was there before, and arrived.
    given: &'static [Change],
    /// How every history begins.
    first: &'static [Change],
    /// What may follow; several share a millisecond.
    letters: &'static [&'static [Change]],
    /// No history has more events in the usual run; one more in one that is much longer.
    n_events: usize,
}

const RENAME: Change = Change::Rename(0);
const DELETE: Change = Change::DeleteUser(0);
const JOIN: Change = Change::Join(ALL, MemberRole::Member);
const LEAVE: Change = Change::Leave(ALL);
const PROMOTE: Change = Change::SetMemberRole(ALL, MemberRole::Admin);
const SEAT: Change = Change::Seat(ALL, 7);

const USERS: Alphabet = Alphabet {
    given: &[],
    first: &[Change::CreateUser(Said::Student)],
    letters: &[
        &[RENAME],
        &[Change::SetRole(0, Said::Nothing)],
        &[RENAME, Change::SetRole(0, Said::Admin)],
        &[DELETE],
    ],
    n_events: 4,
};

const ORGANIZATIONS: Alphabet = Alphabet {
    given: &[],
    first: &[Change::CreateOrganization(None)],
    letters: &[
        &[Change::RenameOrganization(0)],
        &[Change::TouchOrganization(0)],
        &[Change::RenameOrganization(0), Change::Limit(0, 99)],
        &[Change::DeleteOrganization(0)],
    ],
    n_events: 4,
};

/// Those of a user and an organization that are known.
const MEMBERSHIPS: Alphabet = Alphabet {
    given: &[
        Change::CreateUser(Said::Student),
        Change::CreateOrganization(None),
    ],
    first: &[JOIN],
    letters: &[
        &[LEAVE],
        &[JOIN],
        &[PROMOTE, SEAT],
        &[LEAVE, JOIN],
        &[DELETE],
        &[Change::DeleteOrganization(0)],
    ],
    n_events: 4,
};

/// All three, of which nothing is known.
const STRANGERS: Alphabet = Alphabet {
    given: &[],
    first: &[
        Change::CreateUser(Said::Student),
        Change::CreateOrganization(None),
        JOIN,
    ],
    letters: &[
        &[RENAME],
        &[PROMOTE],
        &[LEAVE],
        &[DELETE],
        &[Change::DeleteOrganization(0)],
    ],
    n_events: 4,
};

/// What happens one after the other; the changes of a step share a millisecond.
type Steps = Vec<&'static [Change]>;

/// A history, and when what arrives.
struct Case {
    given: &'static [Change],
    steps: Steps,
    ops: Vec<Op>,
}

/// Whether those who take events in can ask Clerk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Clerk {
    Asked,
    Silent,
}

#[tokio::test]
async fn a_user_is_equal_after_every_order_of_every_small_history() {
    every_order_ends_equal(&USERS).await;
}

#[tokio::test]
async fn an_organization_is_equal_after_every_order_of_every_small_history() {
    every_order_ends_equal(&ORGANIZATIONS).await;
}

#[tokio::test]
async fn a_membership_is_equal_after_every_order_of_every_small_history() {
    every_order_ends_equal(&MEMBERSHIPS).await;
}

#[tokio::test]
async fn strangers_are_equal_after_every_order_of_every_small_history() {
    every_order_ends_equal(&STRANGERS).await;
}

/// Everything arrives late and Clerk cannot be asked; and everything arrives as soon or late as it
/// can, and Clerk is asked.
async fn every_order_ends_equal(alphabet: &Alphabet) {
    let histories = histories(alphabet).await;
    let late: Vec<Case> = histories
        .iter()
        .flat_map(|(steps, n_events)| {
            let n_events = n_events.iter().sum();
            let orders = with_repetitions(permutations(n_events));
            orders.into_iter().map(move |order| {
                let steps_first = vec![Op::Step; steps.len()];
                case(alphabet, steps, [steps_first, order].concat())
            })
        })
        .collect();
    let n_events = alphabet.n_events - usize::from(!is_long());
    let between: Vec<Case> = histories
        .iter()
        .filter(|(_, n)| n.iter().sum::<usize>() <= n_events)
        .flat_map(|(steps, n_events)| {
            let orders = interleavings(n_events);
            orders.into_iter().map(|ops| case(alphabet, steps, ops))
        })
        .collect();
    say(&format!(
        "{} histories, {} orders of late events and {} between the changes",
        histories.len(),
        late.len(),
        between.len(),
    ));
    run_all(&late, Clerk::Silent).await;
    run_all(&between, Clerk::Asked).await;
}

fn case(alphabet: &Alphabet, steps: &Steps, ops: Vec<Op>) -> Case {
    Case {
        given: alphabet.given,
        steps: steps.clone(),
        ops,
    }
}

/// All histories in which every step makes events, each with the number of events of its steps.
async fn histories(alphabet: &Alphabet) -> Vec<(Steps, Vec<usize>)> {
    let clerk = Emulator::start(Options::default()).await.unwrap();
    let mut histories = Vec::new();
    let first: Steps = alphabet.first.chunks(1).collect();
    let mut growing = vec![first];
    let n_events = alphabet.n_events + usize::from(is_long());
    while let Some(steps) = growing.pop() {
        let n = count(&clerk, alphabet.given, &steps);
        if n.contains(&0) || n.iter().sum::<usize>() > n_events {
            continue;
        }
        for letter in alphabet.letters {
            growing.push([steps.as_slice(), &[*letter]].concat());
        }
        histories.push((steps, n));
    }
    histories
}

/// How many events each step makes.
fn count(clerk: &Emulator, given: &[Change], steps: &Steps) -> Vec<usize> {
    let mut world = World::new(clerk);
    world.change_all(given);
    clerk.take_messages();
    let mut count = |step: &&[Change]| {
        world.change_all(step);
        clerk.take_messages().len()
    };
    steps.iter().map(&mut count).collect()
}

/// How many are run side by side, each with a sandbox of its own.
const N_LANES: usize = 4;

async fn run_all(cases: &[Case], clerk: Clerk) {
    let app = TestApp::with_clerk(unlimited()).await;
    let app = &app;
    let clock = &Cell::new(0);
    let settings = &settings_of(&app.clerk, &app.database.url, &[]);
    let lanes = cases.chunks(cases.len().div_ceil(N_LANES).max(1));
    let lanes = lanes.map(async |cases| {
        let mut sandbox = clerk_webhook::App::new(settings);
        if clerk == Clerk::Silent {
            sandbox.clerk = None;
        }
        let mut ids = Vec::new();
        for case in cases {
            ids.push(run(app, &sandbox, clock, case).await);
        }
        ids
    });
    let ids: Vec<_> = join_all(lanes).await.into_iter().flatten().collect();
    let cases: Vec<_> = cases.iter().zip(ids).collect();
    assert_only_flags_differ(app, &cases).await;
    // The memberships were told of one by one; that walks would show them as well is tested elsewhere.
    app.execute(
        "update users set organizations_refetch_at = null;
        update organizations set members_refetch_at = null",
    )
    .await;
    app.settle().await;
    assert_none(&app.differences().await, &cases);
    app.database.remove().await;
}

/// A Clerk that is not counting calls: in reality these histories are years apart.
fn unlimited() -> Options {
    Options {
        instance_limit: None,
        user_limit: None,
        ..Options::default()
    }
}

/// Runs a case, and returns the ids of all that was in it.
async fn run(
    app: &TestApp,
    sandbox: &clerk_webhook::App,
    clock: &Cell<i64>,
    case: &Case,
) -> Vec<String> {
    let mut world = World::new(&app.clerk);
    for change in case.given {
        for message in step(&app.clerk, clock, &mut world, &[*change]) {
            assert_eq!(deliver(app, sandbox, &message).await, "applied");
        }
    }
    let mut steps = case.steps.iter();
    let mut messages = Vec::new();
    for op in &case.ops {
        match op {
            Op::Step => {
                let changes = steps.next().unwrap();
                messages.extend(step(&app.clerk, clock, &mut world, changes));
            }
            Op::Deliver(event) => {
                let outcome = deliver(app, sandbox, &messages[*event]).await;
                assert!(outcome != "duplicate" && outcome != "dead", "{outcome}");
            }
            Op::Again(event) => {
                let outcome = deliver(app, sandbox, &messages[*event]).await;
                assert_eq!(outcome, "duplicate");
            }
        }
    }
    world.ids
}

/// One step, a millisecond or more after the last one of any case.
fn step(
    clerk: &Emulator,
    clock: &Cell<i64>,
    world: &mut World,
    changes: &[Change],
) -> Vec<Message> {
    clock.set(Emulator::real_ms().max(clock.get() + 1));
    clerk.set_clock(clock.get());
    world.change_all(changes);
    clerk.take_messages()
}

async fn deliver(app: &TestApp, sandbox: &clerk_webhook::App, message: &Message) -> Value {
    let call = Call::new("POST", "/api/webhooks/clerk")
        .headers(app.clerk.sign(message))
        .body(&message.body);
    let handler = |request| clerk_webhook::handle(sandbox, request);
    let answer = Answer::read(&shared::http::answer(call.event(), &handler).await);
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.body["outcome"].clone()
}

/// Before anybody asks Clerk: what is not equal is flagged, so that somebody will.
async fn assert_only_flags_differ(app: &TestApp, cases: &[(&Case, Vec<String>)]) {
    let flagged = "
        select clerk_id from users where refetch_at is not null
        union all select clerk_id from organizations where refetch_at is not null
        union all select o.clerk_id || ' ' || u.clerk_id
        from memberships m
        join users u on u.id = m.user_id
        join organizations o on o.id = m.organization_id
        where m.refetch_at is not null";
    let rows = app.sql.query(flagged, &[]).await.unwrap();
    let flagged: BTreeSet<String> = rows.iter().map(|row| row.get(0)).collect();
    let mut differences = app.differences().await;
    differences.retain(|difference| !flagged.contains(&name(difference)));
    assert_none(&differences, cases);
}

/// The id, or those of the pair.
fn name(difference: &Difference) -> String {
    let object = difference.here.as_ref().or(difference.there.as_ref());
    let text = |field: &str| object.and_then(|object| object[field].as_str());
    match (text("organization"), text("user")) {
        (Some(organization), Some(user)) => format!("{organization} {user}"),
        _ => text("id").unwrap_or_default().to_owned(),
    }
}

#[track_caller]
fn assert_none(differences: &[Difference], cases: &[(&Case, Vec<String>)]) {
    let by_id: BTreeMap<&str, &Case> = cases
        .iter()
        .flat_map(|(case, ids)| ids.iter().map(|id| (id.as_str(), *case)))
        .collect();
    let mut failed = String::new();
    for difference in differences.iter().take(3) {
        let name = name(difference);
        let case = name.split(' ').find_map(|id| by_id.get(id));
        let case = case.map(|case| (case.given, &case.steps, &case.ops));
        writeln!(failed, "{case:?}\n    {difference:?}").unwrap();
    }
    assert!(
        failed.is_empty(),
        "{} are not equal, such as (what was given, the steps, what arrived when)\n{failed}",
        differences.len(),
    );
}
