//! Long lists that change, or fail, while they are read: nobody who lives is called absent.

use std::collections::BTreeSet;

use clerk_emulator::{Effect, Emulator, Fault, Fill, Options};
use serde_json::{Value, json};
use shared::db::runs::{Mode, State};
use uuid::Uuid;

use super::World;
use crate::support::TestApp;

/// Of a page of Clerk's lists.
const PAGE: usize = 500;
/// How many objects the list has that is looked at: three pages.
const MANY: usize = 1_100;
/// Longer than any of these tests works on a run.
const LONG_SECONDS: u64 = 900;

/// A Clerk in production, which takes many calls; all that it holds is here, and nothing is withheld.
pub(super) async fn filled(fill: Fill) -> TestApp {
    let options = Options {
        secret_key: "sk_live_emulator0000000000000000000000000000000".to_owned(),
        instance_limit: None,
        ..Options::default()
    };
    let mut app = TestApp::with_clerk(options).await;
    app.reconcile.limits.as_mut().unwrap().brake.count = 1_000_000;
    never_wait(&app).await;
    watch_ends(&app).await;
    app.clerk.fill(fill).unwrap();
    app.repair().await;
    app.assert_equal().await;
    app
}

/// All the calls that anybody wants may be made at once.
pub(super) async fn never_wait(app: &TestApp) {
    app.execute(
        "create function fill_up() returns trigger language plpgsql as $$
        begin
            new.n_tokens := 0;
            return new;
        end $$;
        create trigger fill_up before insert or update on clerk_tokens
            for each row execute function fill_up()",
    )
    .await;
}

/// Notes whatever ends here, though it may live again soon.
pub(super) async fn watch_ends(app: &TestApp) {
    app.execute(
        "create table ends (clerk_id text);
        create function note_end() returns trigger language plpgsql as $$
        begin
            if old.deleted_at is null and new.deleted_at is not null then
                insert into ends values (old.clerk_id);
            end if;
            return null;
        end $$",
    )
    .await;
    for table in ["users", "organizations", "memberships"] {
        app.execute(&format!(
            "create trigger note_end after update on {table}
                for each row execute function note_end()"
        ))
        .await;
    }
}

/// Nothing that lives in Clerk has ever ended here.
pub(super) async fn assert_nothing_living_ended(app: &TestApp, at: &str) {
    let living = living(&app.clerk);
    let ended = ids(app, "select clerk_id from ends where clerk_id is not null").await;
    let wrong: Vec<_> = ended.intersection(&living).collect();
    assert!(wrong.is_empty(), "{at}: ended, and live: {wrong:?}");
}

/// What the last run says of who is absent, and who is not here, is so.
pub(super) async fn assert_true_to_life(app: &TestApp, mode: Mode, at: &str) {
    let found = "drift where run_id = (
        select id from reconcile_runs order by created_at desc limit 1
    )";
    let orphaned = format!("select clerk_id from {found} and class = 'orphaned'");
    let orphaned = ids(app, &orphaned).await;
    let living = living(&app.clerk);
    let wrong: Vec<_> = orphaned.intersection(&living).collect();
    assert!(wrong.is_empty(), "{at}: orphaned, and live: {wrong:?}");
    if mode == Mode::Repair {
        return;
    }
    let missing = ids(
        app,
        &format!("select clerk_id from {found} and class = 'missing'"),
    )
    .await;
    let here = ids(
        app,
        "select clerk_id from users where deleted_at is null and clerk_id is not null
        union all select clerk_id from organizations where deleted_at is null
        union all select clerk_id from memberships
        where deleted_at is null and clerk_id is not null",
    )
    .await;
    let wrong: Vec<_> = missing.intersection(&here).collect();
    assert!(wrong.is_empty(), "{at}: missing, and here: {wrong:?}");
}

async fn ids(app: &TestApp, statement: &str) -> BTreeSet<String> {
    let rows = app.sql.query(statement, &[]).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

fn living(clerk: &Emulator) -> BTreeSet<String> {
    let memberships = clerk.memberships();
    let memberships = memberships.iter().map(id);
    clerk
        .user_ids()
        .into_iter()
        .chain(clerk.organization_ids())
        .chain(memberships)
        .collect()
}

fn id(object: &Value) -> String {
    object["id"].as_str().unwrap().to_owned()
}

/// One of Clerk's lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum List {
    Users,
    Organizations,
    Memberships,
}

/// What happens to it between two pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    /// The oldest goes: all that follow move forward.
    First,
    /// The last of the page goes, which a cursor names, and with which the next page begins.
    LastOfPage,
    /// So many around the last of the page go.
    Around(usize),
    /// So many of the oldest go.
    Oldest(usize),
    /// Some are new, and some of the oldest go.
    NewAndOldest,
}

const CHANGES: [Change; 6] = [
    Change::First,
    Change::LastOfPage,
    Change::Around(2),
    Change::Around(250),
    Change::Oldest(PAGE + 50),
    Change::NewAndOldest,
];

impl List {
    fn fill(self) -> Fill {
        let mut fill = Fill {
            users: 60,
            organizations: 4,
            memberships: 90,
        };
        match self {
            Self::Users => fill.users = MANY,
            Self::Organizations => fill.organizations = MANY,
            Self::Memberships => {
                fill.users = 300;
                fill.organizations = 8;
                fill.memberships = MANY;
            }
        }
        fill
    }

    /// How the calls for it begin.
    fn path(self) -> &'static str {
        match self {
            Self::Users => "/v1/users?limit=500",
            Self::Organizations => "/v1/organizations?limit=500",
            Self::Memberships => "/v1/organization_memberships?limit=500",
        }
    }

    /// How far it is from one page to the next.
    fn step(self) -> usize {
        match self {
            Self::Users => PAGE,
            // Each begins with the last of the one before.
            Self::Organizations | Self::Memberships => PAGE - 1,
        }
    }

    /// The place of the last object of a page.
    fn last(self, clerk: &Emulator, n_pages: usize) -> usize {
        (self.step() * (n_pages - 1) + PAGE - 1).min(self.len(clerk) - 1)
    }

    fn len(self, clerk: &Emulator) -> usize {
        match self {
            Self::Users => clerk.user_ids().len(),
            Self::Organizations => clerk.organization_ids().len(),
            Self::Memberships => clerk.member_ids().len(),
        }
    }

    /// Takes away those in these places.
    fn remove(self, clerk: &Emulator, places: std::ops::Range<usize>) {
        let n = places.len();
        match self {
            Self::Users => {
                let ids = clerk.user_ids().into_iter().skip(places.start).take(n);
                ids.for_each(|id| clerk.delete_user(&id));
            }
            Self::Organizations => {
                let ids = clerk.organization_ids();
                let ids = ids.into_iter().skip(places.start).take(n);
                ids.for_each(|id| clerk.delete_organization(&id));
            }
            Self::Memberships => {
                let ids = clerk.member_ids().into_iter().skip(places.start).take(n);
                ids.for_each(|(organization, user)| {
                    clerk.remove_member(&organization, &user);
                });
            }
        }
    }

    /// Adds new ones, at the end of the list.
    fn add(self, clerk: &Emulator, n: usize) {
        for _ in 0..n {
            let name = Uuid::new_v4().simple().to_string();
            match self {
                Self::Users => {
                    clerk.create_user(json!({ "email": format!("{name}@example.com") }));
                }
                Self::Organizations => {
                    clerk.create_organization(json!({ "name": name }));
                }
                Self::Memberships => {
                    let (organization, user) = no_member(clerk);
                    clerk.add_member(&organization, &user, "org:member");
                }
            }
        }
    }

    /// Makes the list as long again as it was; with things that are as old as all others.
    fn refill(self, clerk: &Emulator) {
        let n_gone = MANY.saturating_sub(self.len(clerk));
        clerk.silently(|clerk| self.add(clerk, n_gone));
    }

    fn change(self, clerk: &Emulator, n_pages: usize, change: Change) {
        let last = self.last(clerk, n_pages);
        match change {
            Change::First => self.remove(clerk, 0..1),
            Change::LastOfPage => self.remove(clerk, last..last + 1),
            Change::Around(n) => self.remove(clerk, last + 1 - n / 2..last + 1 + n / 2),
            Change::Oldest(n) => self.remove(clerk, 0..n),
            Change::NewAndOldest => {
                self.add(clerk, 7);
                self.remove(clerk, 3..9);
            }
        }
    }
}

/// An organization and a user who is no member of it, and may have been one.
fn no_member(clerk: &Emulator) -> (String, String) {
    let (organizations, users) = (clerk.organization_ids(), clerk.user_ids());
    loop {
        let organization = fastrand::choice(&organizations).unwrap();
        let user = fastrand::choice(&users).unwrap();
        if clerk.membership(organization, user).is_none() {
            return (organization.clone(), user.clone());
        }
    }
}

/// Takes rows away by hand that Clerk has around the end of this page: only the list tells of them.
async fn forget_some(app: &TestApp, list: List, n_pages: usize) -> BTreeSet<String> {
    let place = list.last(&app.clerk, n_pages);
    let (table, ids) = match list {
        List::Users => ("users", app.clerk.user_ids()),
        List::Organizations => ("organizations", app.clerk.organization_ids()),
        List::Memberships => (
            "memberships",
            app.clerk.memberships().iter().map(id).collect(),
        ),
    };
    let some: BTreeSet<String> = ids.into_iter().skip(place - 1).take(9).collect();
    for id in &some {
        app.execute(&format!(
            "set session_replication_role = replica;
            delete from {table} where clerk_id = '{id}';
            set session_replication_role = origin"
        ))
        .await;
    }
    some
}

/// Something happens to a list after a page of it was read.
async fn change_after_page(app: &TestApp, list: List, n_pages: usize, change: Change, mode: Mode) {
    let at = format!("{list:?} after page {n_pages}: {change:?}, {mode:?}");
    let before = list.len(&app.clerk);
    let forgotten = forget_some(app, list, n_pages).await;
    let n = u32::try_from(n_pages).unwrap();
    app.clerk
        .after_request(n, "GET", list.path(), move |clerk| {
            clerk.silently(|clerk| list.change(clerk, n_pages, change));
        });
    let run = app.compare(mode).await;
    assert_eq!(run["state"], "done", "{at}");
    assert_ne!(list.len(&app.clerk), before, "{at}: it happened");
    assert_true_to_life(app, mode, &at).await;
    assert_nothing_living_ended(app, &at).await;
    let found = ids(app, "select clerk_id from drift where class = 'missing'").await;
    let overlooked = living(&app.clerk)
        .into_iter()
        .filter(|id| forgotten.contains(id) && !found.contains(id));
    assert_eq!(overlooked.count(), 0, "{at}: between two pages");
    list.refill(&app.clerk);
    app.repair().await;
    app.assert_equal().await;
    assert_nothing_living_ended(app, &at).await;
    app.execute("delete from drift").await;
}

/// Between any two pages of a list something happens to it.
async fn change_between_pages(list: List) {
    let app = filled(list.fill()).await;
    let mut modes = [Mode::Report, Mode::Repair].into_iter().cycle();
    for n_pages in 1..=3 {
        // After the last page there is none that could be missed.
        let changes = if n_pages < 3 {
            &CHANGES[..]
        } else {
            &CHANGES[..2]
        };
        for &change in changes {
            let mode = modes.next().unwrap();
            change_after_page(&app, list, n_pages, change, mode).await;
        }
    }
    app.database.remove().await;
}

#[tokio::test]
async fn users_may_come_and_go_between_any_two_pages() {
    change_between_pages(List::Users).await;
}

#[tokio::test]
async fn organizations_may_come_and_go_between_any_two_pages() {
    change_between_pages(List::Organizations).await;
}

#[tokio::test]
async fn memberships_may_come_and_go_between_any_two_pages() {
    change_between_pages(List::Memberships).await;
}

/// A Clerk that knows cursors no more reads by place, where the gap has to be found.
#[tokio::test]
async fn users_may_come_and_go_where_clerk_knows_no_cursors() {
    let app = filled(List::Users.fill()).await;
    refuse_cursors(&app);
    for change in CHANGES {
        change_after_page(&app, List::Users, 1, change, Mode::Report).await;
    }
    app.database.remove().await;
}

fn refuse_cursors(app: &TestApp) {
    let with_cursor = "/v1/users?limit=500&order_by=%2Bcreated_at&starting_after";
    app.clerk
        .fault(Fault::refusal(422, "form_param_unknown").on("GET", with_cursor));
}

#[tokio::test]
async fn a_clerk_that_knows_no_cursors_is_asked_for_one_once() {
    let app = filled(List::Users.fill()).await;
    refuse_cursors(&app);
    app.clerk.clear_requests();
    let run = app.compare(Mode::Report).await;
    assert_eq!(run["state"], "done");
    assert_eq!(run["drift"], json!({}));
    assert_eq!(app.clerk.calls().by_status.get(&422), Some(&1));
    assert_eq!(
        run["progress"]["users"],
        json!({ "done": MANY, "total": MANY })
    );
    // Three pages, each of which begins with the last user of the one before.
    assert_eq!(n_read(&app, List::Users), 3);
    app.database.remove().await;
}

/// How many pages of a list were answered.
fn n_read(app: &TestApp, list: List) -> usize {
    let requests = app.clerk.requests();
    let is_page = |path: &str, query: &str| format!("{path}?{query}").starts_with(list.path());
    let pages = requests
        .iter()
        .filter(|it| is_page(&it.path, &it.query) && it.status == 200);
    pages.count()
}

/// The ways in which a page can fail; `n_times` it has to, so that nobody reads it at the next try.
fn failures() -> Vec<(&'static str, u32, Fault)> {
    let refused = |status| {
        Fault::new(Effect::Status {
            status,
            code: None,
            retry_after: Some(LONG_SECONDS),
        })
    };
    vec![
        ("500", 1, refused(500)),
        ("429", 1, refused(429)),
        // An error in the place of a list.
        ("unreadable", 1, Fault::status(200)),
    ]
}

/// Each page of a list fails once, in each way: the run is put off, and goes on from there.
async fn fail_each_page(list: List) {
    let app = filled(list.fill()).await;
    let mut failures = failures();
    for n_before in 0..3 {
        if n_before == 1 {
            // As often as somebody may try again.
            failures.push(("cut", 100, Fault::drop()));
        }
        for (name, n_times, fault) in &failures {
            let at = format!("{list:?}, page {}: {name}", n_before + 1);
            let fault = fault.clone().on("GET", list.path());
            app.clerk.fault(fault.skip(n_before).times(*n_times));
            app.clerk.clear_requests();
            let run = app.begin_run(Mode::Repair, unlimited(&app)).await;
            assert_eq!(app.work_on_run().await, Some(State::Listing), "{at}");
            let shown = app.run(run).await;
            assert_eq!(shown["state"], "listing", "{at}");
            assert_eq!(shown["nFailures"], 1, "{at}");
            assert_ne!(shown["lastError"], Value::Null, "{at}");
            assert_eq!(shown["drift"], json!({}), "{at}");
            // It waits.
            assert_eq!(app.work_on_run().await, None, "{at}");

            app.clerk.clear_faults();
            app.forget_waits().await;
            assert_eq!(app.work_on_run().await, Some(State::Done), "{at}");
            let shown = app.run(run).await;
            assert_eq!(shown["lastError"], Value::Null, "{at}");
            assert_eq!(shown["drift"], json!({}), "{at}: {:?}", app.drift().await);
            assert_eq!(app.count("ends").await, 0, "{at}");
            // Also what cannot be read has the status of an answer.
            let n_wrong = usize::from(*name == "unreadable");
            assert_read_once(&app, list, (n_before, n_wrong), &at);
        }
    }
    app.database.remove().await;
}

/// What was put down before the failure is not read again.
fn assert_read_once(app: &TestApp, list: List, (n_before, n_wrong): (u32, usize), at: &str) {
    let requests = app.clerk.requests();
    let counts = requests.iter().filter(|it| it.path == "/v1/users/count");
    assert_eq!(counts.count(), 1, "{at}");
    if n_before > 0 {
        for other in [List::Users, List::Organizations, List::Memberships] {
            if other != list {
                assert_eq!(n_read(app, other), 1, "{at}: {other:?}");
            }
        }
    }
    match list {
        List::Users | List::Organizations => assert_eq!(n_read(app, list) - n_wrong, 3, "{at}"),
        // The second and the third page are read together, and the one is of no use without the other.
        List::Memberships => {
            let first = requests
                .iter()
                .filter(|it| it.path == "/v1/organization_memberships" && it.status == 200)
                .filter(|it| it.query.contains("offset=0"));
            let n_wrong_first = if n_before == 0 { n_wrong } else { 0 };
            assert_eq!(first.count() - n_wrong_first, 1, "{at}");
            let n_read = n_read(app, list) - n_wrong;
            assert!((3..=4).contains(&n_read), "{at}: {n_read}");
        }
    }
}

fn unlimited(app: &TestApp) -> shared::db::runs::Approval {
    app.reconcile.limits.clone().unwrap().brake.approval()
}

#[tokio::test]
async fn a_page_of_users_that_fails_is_read_again_and_the_others_are_not() {
    fail_each_page(List::Users).await;
}

#[tokio::test]
async fn a_page_of_organizations_that_fails_is_read_again_and_the_others_are_not() {
    fail_each_page(List::Organizations).await;
}

#[tokio::test]
async fn a_page_of_memberships_that_fails_is_read_again_and_the_others_are_not() {
    fail_each_page(List::Memberships).await;
}

#[tokio::test]
async fn a_page_that_fails_for_ever_is_no_absence() {
    let world = World::new().await;
    let app = &world.app;
    never_wait(app).await;
    for list in [List::Users, List::Organizations, List::Memberships] {
        app.clerk.fault(Fault::status(200).on("GET", list.path()));
        let run = app.begin_run(Mode::Repair, unlimited(app)).await;
        for n_failures in 1..=5 {
            app.forget_waits().await;
            assert_eq!(app.work_on_run().await, Some(State::Listing), "{list:?}");
            let shown = app.run(run).await;
            assert_eq!(shown["nFailures"], n_failures, "{list:?}");
            assert_eq!(shown["listedAt"], Value::Null, "{list:?}");
            assert_eq!(shown["drift"], json!({}), "{list:?}");
        }
        // After about a day it is given up.
        app.execute("update reconcile_runs set n_failures = 150")
            .await;
        app.forget_waits().await;
        app.work_on_run().await;
        assert_eq!(app.run(run).await["state"], "failed", "{list:?}");
        assert_eq!(app.run(run).await["drift"], json!({}), "{list:?}");
        app.clerk.clear_faults();
    }
    world.app.finish().await;
}

/// Only "there is no such" is an absence.
#[tokio::test]
async fn who_is_gone_ends_and_of_whom_clerk_says_nothing_does_not() {
    let world = World::new().await;
    let app = &world.app;
    never_wait(app).await;
    let clerk = &app.clerk;
    clerk.silently(|clerk| {
        clerk.delete_user(&world.ada);
        clerk.delete_user(&world.edsger);
    });
    let of_ada = format!("/v1/users/{}", world.ada);
    let unanswered = Fault::new(Effect::Status {
        status: 500,
        code: None,
        retry_after: Some(LONG_SECONDS),
    });
    clerk.fault(unanswered.clone().on("GET", &of_ada));
    let run = app.begin_run(Mode::Repair, unlimited(app)).await;
    assert_eq!(app.work_on_run().await, Some(State::Asking));
    let shown = app.run(run).await;
    assert_eq!(shown["state"], "asking");
    assert_ne!(shown["lastError"], Value::Null);
    assert_eq!(shown["drift"], json!({}));
    for user in [&world.ada, &world.edsger] {
        assert_eq!(app.row(user).await["deleted_at"], Value::Null);
    }

    // Asked about once more before the end, Clerk says nothing of one of them.
    clerk.clear_faults();
    clerk.fault(unanswered.on("GET", &of_ada).skip(1).once());
    app.forget_waits().await;
    assert_eq!(app.work_on_run().await, Some(State::Repairing));
    assert_eq!(app.row(&world.ada).await["deleted_at"], Value::Null);
    app.forget_waits().await;
    assert_eq!(app.work_on_run().await, Some(State::Done));
    for user in [&world.ada, &world.edsger] {
        assert_ne!(app.row(user).await["deleted_at"], Value::Null);
    }
    world.app.finish().await;
}

#[tokio::test]
async fn organizations_and_memberships_end_only_where_clerk_says_so() {
    let world = World::new().await;
    let app = &world.app;
    never_wait(app).await;
    watch_ends(app).await;
    let clerk = &app.clerk;
    let left = world.membership(&world.acme, &world.ada);
    clerk.silently(|clerk| {
        clerk.delete_organization(&world.bell);
        clerk.remove_member(&world.acme, &world.ada);
    });
    let paths = [
        format!("/v1/organizations/{}", world.bell),
        format!("/v1/organizations/{}/memberships", world.acme),
    ];
    let run = app.begin_run(Mode::Repair, unlimited(app)).await;
    for path in &paths {
        let unanswered = Fault::new(Effect::Status {
            status: 503,
            code: None,
            retry_after: Some(LONG_SECONDS),
        });
        clerk.fault(unanswered.on("GET", path));
        assert_eq!(app.work_on_run().await, Some(State::Asking), "{path}");
        assert_ne!(app.run(run).await["lastError"], Value::Null, "{path}");
        assert_eq!(app.run(run).await["drift"], json!({}), "{path}");
        assert_eq!(app.count("ends").await, 0, "{path}");
        clerk.clear_faults();
        app.forget_waits().await;
    }
    assert_eq!(app.work_on_run().await, Some(State::Done));
    let ended = ids(app, "select clerk_id from ends").await;
    assert!(
        ended.contains(&left) && ended.contains(&world.bell),
        "{ended:?}"
    );
    assert_nothing_living_ended(app, "at the end").await;
    world.app.finish().await;
}

/// One of two answers of Clerk was wrong: whoever it knows when it is asked once more lives.
#[tokio::test]
async fn who_is_there_when_asked_once_more_lives_on() {
    let world = World::new().await;
    let app = &world.app;
    never_wait(app).await;
    watch_ends(app).await;
    let shown = app.clerk.user(&world.edsger).unwrap();
    app.clerk.silently(|clerk| clerk.delete_user(&world.edsger));
    let of_edsger = format!("/v1/users/{}", world.edsger);
    let again = json!({
        "id": world.edsger, "email": "edsger@example.com", "first_name": "edsger",
        "role": "STUDENT", "created_at": shown["created_at"], "updated_at": shown["updated_at"],
    });
    app.clerk
        .before_request(2, "GET", &of_edsger, move |clerk| {
            clerk.seed_silently(vec![again]);
        });
    let run = app.compare(Mode::Repair).await;
    assert_eq!(run["state"], "done");
    let found = app.drift().await;
    let is_about_edsger =
        |it: &String| it.starts_with("orphaned user") && it.ends_with(&world.edsger);
    assert!(found.iter().any(is_about_edsger), "{found:?}");
    assert_eq!(app.row(&world.edsger).await["deleted_at"], Value::Null);
    assert_nothing_living_ended(app, "after the run").await;
    app.repair().await;
    world.app.finish().await;
}

/// Ids of Clerk's begin otherwise: what somebody made up is nobody in Clerk.
#[tokio::test]
async fn a_row_with_an_id_that_clerk_cannot_have_is_orphaned() {
    let world = World::new().await;
    let app = &world.app;
    app.execute("insert into users (clerk_id, email) values ('ghost', 'ghost@example.com')")
        .await;
    let run = app.compare(Mode::Repair).await;
    assert_eq!(run["drift"]["orphaned"], json!({ "repaired": 1 }), "{run}");
    world.app.finish().await;
}

/// Nor does it keep a run from coming to its end.
#[tokio::test]
async fn a_membership_in_an_organization_that_clerk_cannot_have_ends_with_it() {
    let world = World::new().await;
    let app = &world.app;
    app.execute(&format!(
        "insert into organizations (clerk_id, name) values ('club', 'Club');
        insert into memberships (clerk_id, organization_id, user_id, role)
        select 'member', o.id, u.id, 'org:admin'
        from organizations o, users u
        where o.clerk_id = 'club' and u.clerk_id = '{}'",
        world.ada
    ))
    .await;
    let run = app.compare(Mode::Repair).await;
    assert_eq!(run["drift"]["orphaned"], json!({ "repaired": 1 }), "{run}");
    world.app.finish().await;
}
