//! Long random histories on both sides, delivered late, repeatedly and side by side, with Clerk
//! failing and the database cut off in between.
//!
//! A history that fails is made smaller as long as it still fails, and shown with its seed.

use std::time::{Duration, Instant};

use clerk_emulator::{Fault, MemberEvents, Message};
use futures_util::future::join_all;
use proptest::test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner};
use serde_json::json;
use shared::db::runs::{Approval, Mode};
use tokio::runtime::Builder;

use super::history::{Call, Change, Failure, History, Losses, Place, Role, Said, Step, histories};
use super::world::World;
use super::{say, seeds};
use crate::support::TestApp;
use crate::support::app::settings_of;
use crate::support::database::Database;
use crate::support::gateway::{self, Answer};
use crate::support::proxy::{Cut, Proxy, Then};

/// How many things happen in a history at most.
const N_STEPS: usize = 90;
/// For so long a history that fails is made smaller.
const SHRINKING: Duration = Duration::from_mins(2);

#[test]
fn any_history_ends_equal() {
    check_all(Losses::None);
}

/// Events get lost for good: a full comparison finds what they told.
#[test]
fn any_history_with_losses_ends_equal_after_a_repair() {
    check_all(Losses::Some);
}

fn check_all(losses: Losses) {
    for seed in seeds() {
        say(&format!("history {seed}"));
        let config = Config {
            cases: 1,
            failure_persistence: None,
            max_shrink_iters: 2_000,
            max_shrink_time: u32::try_from(SHRINKING.as_millis()).unwrap(),
            ..Config::default()
        };
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let random = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
        let mut runner = TestRunner::new_with_rng(config, random);
        let result = runner.run(&histories(N_STEPS, losses), |history| {
            let runtime = Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(check(&history, losses));
            Ok(())
        });
        if let Err(TestError::Fail(reason, smallest)) = result {
            panic!(
                "history {seed} does not end equal; again: \
                CONVERGENCE_HISTORIES={seed}..{} scripts/test any_history\n\
                {reason}\nthe smallest history that fails:\n{smallest}",
                seed + 1,
            );
        }
        result.unwrap();
    }
}

/// Makes a history happen, and looks whether it ends equal.
async fn check(history: &History, losses: Losses) {
    let database = Database::new().await;
    let proxy = Proxy::in_front_of(&database.url).await;
    let app = TestApp::at(database, &proxy.url, &[]).await;
    let mut run = Run::new(app, proxy, history.member_events).await;
    for step in &history.steps {
        run.step(step, false).await;
        run.in_flight.extend(run.app.clerk.take_messages());
        // No two steps share a millisecond, unless they are meant to.
        run.app.clerk.advance(Duration::from_millis(1));
    }
    run.app.clerk.clear_faults();
    run.deliver_the_rest(history).await;
    let app = run.app;
    match losses {
        Losses::None => app.settle().await,
        Losses::Some => repair(&app).await,
    }
    app.assert_equal().await;
    assert_only_known_roles(&app).await;
    assert_nothing_waits(&app).await;
    app.database.remove().await;
}

/// Compares all with Clerk, however much that has to end (R15), and comes to rest.
async fn repair(app: &TestApp) {
    app.forget_waits().await;
    app.reconcile().await;
    let approval = Approval {
        usual_count: 1_000,
        ..Approval::default()
    };
    let run = app.begin_run(Mode::Repair, approval).await;
    app.work_on_run().await;
    let run = app.run(run).await;
    assert_eq!(run["state"], "done", "{run}");
    app.settle().await;
}

/// A history on its way.
struct Run {
    app: TestApp,
    proxy: Proxy,
    /// Other sandboxes that take events in.
    sandboxes: Vec<clerk_webhook::App>,
    world: World,
    admin: String,
    /// Messages on their way, and those that arrived and may arrive again.
    in_flight: Vec<Message>,
    arrived: Vec<Message>,
    n_edits: usize,
}

impl Run {
    async fn new(app: TestApp, proxy: Proxy, member_events: u8) -> Self {
        app.clerk.member_events(match member_events {
            0 => MemberEvents::None,
            1 => MemberEvents::Before,
            _ => MemberEvents::After,
        });
        app.clerk.add_member_role("org:teacher", "Teacher");
        let admin = app.admin("admin").await;
        let settings = settings_of(&app.clerk, &proxy.url, &[]);
        Self {
            sandboxes: (0..6).map(|_| clerk_webhook::App::new(&settings)).collect(),
            world: World::new(&app.clerk),
            app,
            proxy,
            admin,
            in_flight: Vec::new(),
            arrived: Vec::new(),
            n_edits: 0,
        }
    }

    /// `is_cut_off` if the database may be away: then it may say so.
    async fn step(&mut self, step: &Step, is_cut_off: bool) {
        match step {
            Step::InClerk(change) => self.world.change(*change),
            Step::AtOnce(changes, n_failures) => self.change_at_once(changes, *n_failures),
            Step::Unheard(who, changes) => self.change_unheard(*who, changes).await,
            Step::Ours(who, role) => self.set_role(*who, *role, is_cut_off).await,
            Step::Race(who, role, said) => self.race(*who, *role, *said, is_cut_off).await,
            Step::Edit(who) => self.edit(*who, is_cut_off).await,
            Step::EditInClerk(who) => self.edit_in_clerk(*who, is_cut_off).await,
            Step::Deliver(places) => self.deliver(places, is_cut_off).await,
            Step::Again(place) => self.deliver_again(*place, is_cut_off).await,
            Step::Lose(place) => drop(take(&mut self.in_flight, *place)),
            Step::Reconcile => self.reconcile(is_cut_off).await,
            Step::ClerkFails(failure, call, times) => {
                let (method, path) = call.route();
                let fault = failure.fault().on(method, path);
                self.app.clerk.fault(fault.times(u32::from(*times)));
            }
            Step::CutOff(after, stays, step) => {
                let then = if *stays { Then::Refuses } else { Then::Works };
                self.proxy
                    .cut_after(usize::from(*after), Cut::BeforeTheServer, then);
                Box::pin(self.step(step, true)).await;
                self.proxy.come_back();
            }
            Step::Restart => {
                let end = "select pg_terminate_backend(pid) from pg_stat_activity
                    where datname = current_database() and application_name = 'clerk-sync'";
                self.app.execute(end).await;
            }
        }
    }

    fn change_at_once(&mut self, changes: &[Change], n_failures: u8) {
        self.app.clerk.freeze_clock();
        self.world.change_all(changes);
        self.app.clerk.resume_clock();
        if n_failures > 0 {
            let fault = Fault::status(500).on("GET", "/v1/organizations");
            self.app.clerk.fault(fault.times(u32::from(n_failures)));
        }
    }

    /// A membership whose beginning is heard of after that, and whose end never, is asked about.
    async fn change_unheard(&mut self, who: Place, changes: &[Change]) {
        let Some(user) = self.world.user(who).cloned() else {
            return;
        };
        let of_the_user = changes.iter().map(|change| change.of_user(who));
        let world = &mut self.world;
        self.app
            .clerk
            .silently(|_| of_the_user.for_each(|change| world.change(change)));
        let forget =
            format!("update users set organizations_confirmed_at = null where clerk_id = '{user}'");
        self.app.execute(&forget).await;
        self.world.change(Change::Rename(who));
    }

    async fn set_role(&mut self, who: Place, role: Role, is_cut_off: bool) {
        let Some(user) = self.world.user(who) else {
            return;
        };
        let body = json!({ "role": role.as_str() });
        let answer = self.app.set_role(&self.admin, user, body).await;
        // The row may not be there yet.
        assert_status(&answer, &[200, 404], is_cut_off);
    }

    async fn race(&mut self, who: Place, role: Role, said: Said, is_cut_off: bool) {
        let Some(user) = self.world.user(who).cloned() else {
            return;
        };
        let body = json!({ "role": role.as_str() });
        let ours = self.app.set_role(&self.admin, &user, body);
        let (world, clerk, sandbox) = (&mut self.world, &self.app.clerk, &self.sandboxes[0]);
        let theirs = async {
            world.change(Change::SetRole(who, said));
            let messages = clerk.take_messages();
            for message in &messages {
                let answer = deliver(sandbox, clerk.sign(message), message).await;
                assert_status(&answer, &[200], is_cut_off);
            }
            messages
        };
        let (answer, messages) = tokio::join!(ours, theirs);
        assert_status(&answer, &[200, 404], is_cut_off);
        self.in_flight.extend(messages);
    }

    async fn edit(&mut self, who: Place, is_cut_off: bool) {
        let Some(user) = self.world.user(who).cloned() else {
            return;
        };
        self.n_edits += 1;
        let body = json!({ "firstName": format!("edited{}", self.n_edits) });
        let answer = self.app.edit(&self.admin, &user, body).await;
        // Clerk may fail as well, and say when to come again.
        assert_status(&answer, &[200, 202, 404, 429, 502, 503, 504], is_cut_off);
    }

    async fn edit_in_clerk(&mut self, who: Place, is_cut_off: bool) {
        let Some(user) = self.world.user(who).cloned() else {
            return;
        };
        self.n_edits += 1;
        let updates = json!({ "lastName": format!("edited{}", self.n_edits) });
        let answer = self.app.edit_in_clerk(&self.admin, &user, updates).await;
        assert_status(&answer, &[200, 202, 429, 502, 503, 504], is_cut_off);
    }

    /// What the database could not take stays on its way.
    async fn deliver(&mut self, places: &[Place], is_cut_off: bool) {
        let in_flight = &mut self.in_flight;
        let messages: Vec<_> = places
            .iter()
            .filter_map(|place| take(in_flight, *place))
            .collect();
        for (message, answer) in self.side_by_side(messages).await {
            assert_status(&answer, &[200], is_cut_off);
            if answer.status == 200 {
                self.arrived.push(message);
            } else {
                self.in_flight.push(message);
            }
        }
    }

    async fn deliver_again(&mut self, place: Place, is_cut_off: bool) {
        let Some(at) = usize::from(place).checked_rem(self.arrived.len()) else {
            return;
        };
        let answer = self.app.deliver(&self.arrived[at]).await;
        assert_status(&answer, &[200], is_cut_off);
        if answer.status == 200 {
            assert_eq!(answer.body["outcome"], "duplicate");
        }
    }

    async fn side_by_side(&self, messages: Vec<Message>) -> Vec<(Message, Answer)> {
        let deliveries =
            messages
                .into_iter()
                .zip(&self.sandboxes)
                .map(async |(message, sandbox)| {
                    let headers = self.app.clerk.sign(&message);
                    let answer = deliver(sandbox, headers, &message).await;
                    (message, answer)
                });
        join_all(deliveries).await
    }

    async fn reconcile(&self, is_cut_off: bool) {
        self.app.forget_waits().await;
        let deadline = Instant::now() + Duration::from_secs(30);
        let tick = reconcile::run(&self.app.reconcile, deadline).await;
        assert!(is_cut_off || tick.is_ok(), "{tick:?}");
    }

    /// What is still on its way arrives one by one, or some side by side.
    async fn deliver_the_rest(&mut self, history: &History) {
        let mut rest = std::mem::take(&mut self.in_flight);
        if !history.order.is_empty() {
            let mut keyed: Vec<_> = history.order.iter().cycle().zip(rest).collect();
            keyed.sort_by_key(|(key, _)| **key);
            rest = keyed.into_iter().map(|(_, message)| message).collect();
        }
        for messages in rest.chunks(usize::from(history.n_at_once)) {
            for (_, answer) in self.side_by_side(messages.to_vec()).await {
                assert_status(&answer, &[200], false);
            }
        }
    }
}

async fn deliver(
    sandbox: &clerk_webhook::App,
    headers: Vec<(String, String)>,
    message: &Message,
) -> Answer {
    let call = gateway::Call::new("POST", "/api/webhooks/clerk")
        .headers(headers)
        .body(&message.body);
    let handler = |request| clerk_webhook::handle(sandbox, request);
    Answer::read(&shared::http::answer(call.event(), &handler).await)
}

#[track_caller]
fn assert_status(answer: &Answer, expected: &[u16], is_cut_off: bool) {
    let is_refused = is_cut_off && answer.status == 503;
    assert!(
        is_refused || expected.contains(&answer.status),
        "{} {}",
        answer.status,
        answer.body
    );
}

/// Takes one out, counted round.
fn take(messages: &mut Vec<Message>, place: Place) -> Option<Message> {
    let at = usize::from(place).checked_rem(messages.len())?;
    Some(messages.remove(at))
}

impl Failure {
    fn fault(self) -> Fault {
        match self {
            Self::Refused => Fault::status(500),
            Self::Limited => Fault::rate_limited(1),
            Self::Dropped => Fault::drop(),
            Self::AnswerDropped => Fault::drop_answer(),
        }
    }
}

impl Call {
    fn route(self) -> (&'static str, &'static str) {
        match self {
            Self::PatchUser => ("PATCH", "/v1/users"),
            Self::GetUser => ("GET", "/v1/users"),
            Self::GetOrganization => ("GET", "/v1/organizations"),
        }
    }
}

async fn assert_only_known_roles(app: &TestApp) {
    let untold = "users u
        where not exists (select from role_changes c where c.user_id = u.id)
            and not is_placeholder";
    let n_untold = app.count(untold).await;
    assert_eq!(n_untold, 0, "every role of a row is in the audit trail");
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
