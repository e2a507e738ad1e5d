//! Comparisons while everything goes on: what is newer than a list is never set back.

use std::cell::Cell;
use std::time::Duration;

use clerk_emulator::{Emulator, Fault, Fill, Message};
use serde_json::{Value, json};
use shared::db::runs::Mode;
use uuid::Uuid;

use super::World;
use super::lists::{assert_nothing_living_ended, filled};
use crate::support::TestApp;

/// More than a page of users and of memberships.
const FILL: Fill = Fill {
    users: 620,
    organizations: 3,
    memberships: 560,
};

/// How many histories are tried.
const N_HISTORIES: u64 = 8;

/// What somebody does in Clerk.
struct Somebody<'a> {
    clerk: &'a Emulator,
    random: fastrand::Rng,
}

impl Somebody<'_> {
    fn user(&mut self) -> String {
        let ids = self.clerk.user_ids();
        self.random.choice(ids).unwrap()
    }

    fn organization(&mut self) -> String {
        let ids = self.clerk.organization_ids();
        self.random.choice(ids).unwrap()
    }

    fn member(&mut self) -> (String, String) {
        let ids = self.clerk.member_ids();
        self.random.choice(ids).unwrap()
    }

    fn change(&mut self) {
        let clerk = self.clerk;
        let name = Uuid::new_v4().simple().to_string();
        match self.random.u8(0..10) {
            0 => {
                clerk.create_user(json!({ "email": format!("{name}@example.com") }));
            }
            1 => {
                let role = *self
                    .random
                    .choice(&["STUDENT", "INSTRUCTOR", "ADMIN"])
                    .unwrap();
                clerk.set_role(&self.user(), role);
            }
            2 => {
                clerk.update_user(&self.user(), json!({ "first_name": name }));
            }
            3 => clerk.delete_user(&self.user()),
            4 => {
                clerk.update_organization(&self.organization(), json!({ "name": name }));
            }
            5 => {
                let creator = self.user();
                clerk.create_organization(json!({ "name": name, "created_by": creator }));
            }
            6 => {
                let (organization, user) = self.member();
                clerk.set_member_role(&organization, &user, "org:admin");
            }
            7 => {
                let (organization, user) = self.member();
                clerk.remove_member(&organization, &user);
            }
            8 => {
                let (organization, user) = self.member();
                clerk.remove_member(&organization, &user);
                clerk.add_member(&organization, &user, "org:member");
            }
            _ => {
                let (organization, user) = (self.organization(), self.user());
                if clerk.membership(&organization, &user).is_none() {
                    clerk.add_member(&organization, &user, "org:member");
                }
            }
        }
    }
}

/// Notes each row that becomes older than it was.
async fn watch_versions(app: &TestApp) {
    app.execute(
        "create table set_back (clerk_id text, old bigint, new bigint);
        create function note_version() returns trigger language plpgsql as $$
        begin
            if new.clerk_version < old.clerk_version then
                insert into set_back values (old.clerk_id, old.clerk_version, new.clerk_version);
            end if;
            return null;
        end $$",
    )
    .await;
    for table in ["users", "organizations", "memberships"] {
        app.execute(&format!(
            "create trigger note_version after update on {table}
                for each row execute function note_version()"
        ))
        .await;
    }
}

/// Compares and repairs, while somebody changes things in Clerk; of the events some come at once,
/// some late, and of some histories some never.
async fn live(app: &TestApp, seed: u64) {
    let at = format!("seed {seed}");
    let loses = seed % 2 == 1;
    // So that events come between any two answers.
    app.clerk
        .fault(Fault::slow(Duration::from_millis(25)).on("GET", "/v1/"));
    let is_over = Cell::new(false);
    let compare = async {
        let run = app.compare(Mode::Repair).await;
        is_over.set(true);
        run
    };
    let others = async {
        let mut somebody = Somebody {
            clerk: &app.clerk,
            random: fastrand::Rng::with_seed(seed),
        };
        let mut late: Vec<Message> = Vec::new();
        let mut n_changes = 0;
        while !is_over.get() {
            for _ in 0..somebody.random.u8(0..4) {
                n_changes += 1;
                somebody.change();
            }
            late.extend(app.clerk.take_messages());
            if loses && !late.is_empty() && somebody.random.u8(0..10) == 0 {
                late.remove(0);
            }
            if late.is_empty() || somebody.random.u8(0..3) == 0 {
                tokio::task::yield_now().await;
                continue;
            }
            let place = somebody.random.usize(0..late.len());
            deliver(app, &late.remove(place)).await;
        }
        (late, n_changes)
    };
    let (run, (late, n_changes)) = tokio::join!(compare, others);
    assert_eq!(run["state"], "done", "{at}");
    // How many there were depends on how fast this machine is.
    assert!(n_changes > 0, "{at}: nothing happened meanwhile");
    let rows = app
        .sql
        .query("select clerk_id from drift where class = 'orphaned'", &[])
        .await
        .unwrap();
    let living = app.clerk.user_ids();
    for row in rows {
        let orphan: String = row.get(0);
        assert!(!living.contains(&orphan), "{at}: {orphan} lives");
    }
    app.clerk.clear_faults();
    for message in &late {
        deliver(app, message).await;
    }
    assert_nothing_living_ended(app, &at).await;
    let set_back = app.count("set_back").await;
    assert_eq!(set_back, 0, "{at}: rows became older than they were");
    // Where no event was lost, nothing is left to repair.
    app.settle().await;
    if loses {
        app.repair().await;
    }
    app.assert_equal().await;
    assert_nothing_living_ended(app, &at).await;
}

async fn deliver(app: &TestApp, message: &Message) {
    let answer = app.deliver(message).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
}

#[tokio::test]
async fn what_happens_while_all_is_compared_is_never_set_back() {
    let app = filled(FILL).await;
    watch_versions(&app).await;
    for seed in 0..N_HISTORIES {
        live(&app, seed).await;
    }
    app.database.remove().await;
}

/// R5: a row without an account gets the one that has its address verified.
#[tokio::test]
async fn a_row_without_an_account_is_linked_and_not_doubled() {
    let world = World::new().await;
    let app = &world.app;
    app.execute("insert into users (email, role) values ('New@example.com', 'INSTRUCTOR')")
        .await;
    let [user] = &app
        .clerk
        .seed_silently(vec![json!({ "email": "new@example.com" })])[..]
    else {
        panic!("one user")
    };
    let user = user["id"].as_str().unwrap();
    let run = app.compare(Mode::Repair).await;
    assert_eq!(run["state"], "done");
    let expected = format!("missing user not_linked repaired {user}");
    assert_eq!(app.drift().await, [expected]);
    assert_eq!(
        app.count("users where lower(email) = 'new@example.com'")
            .await,
        1
    );
    assert_eq!(app.role(user).await, "INSTRUCTOR");
    app.settle().await;
    assert_eq!(app.clerk_role(user), "INSTRUCTOR");
    world.app.finish().await;
}

#[tokio::test]
async fn an_address_of_two_rows_is_told_of_and_left_alone() {
    let world = World::new().await;
    let app = &world.app;
    app.execute("insert into users (email, role) values ('ADA@example.com', 'ADMIN')")
        .await;
    // Not proven, so nobody's.
    app.execute("insert into users (email) values ('eve@example.com')")
        .await;
    app.clerk.seed_silently(vec![
        json!({ "email": "eve@example.com", "verified": false }),
    ]);
    let before = app.row(&world.ada).await;
    for n_missing in [1, 0] {
        let run = app.compare(Mode::Repair).await;
        assert_eq!(run["state"], "done");
        let found = app.drift().await;
        let doubles = found.iter().filter(|it| it.starts_with("duplicate_email "));
        assert!(doubles.clone().all(|it| it.contains(" found")), "{found:?}");
        assert_eq!(
            run["drift"]["missing"].is_object(),
            n_missing == 1,
            "{found:?}"
        );
        let causes = doubles.filter(|it| it.contains("row_without_account"));
        // Ada's and, once she is here, Eve's.
        assert_eq!(causes.count(), 2 - n_missing, "{found:?}");
    }
    let without_account = "users where clerk_id is null and deleted_at is null";
    assert_eq!(app.count(without_account).await, 2);
    assert_eq!(app.row(&world.ada).await, before);
    assert_eq!(app.role(&world.ada).await, "STUDENT");
    world.app.finish().await;
}

/// R6: whoever left and came back while the lists were read is a member.
#[tokio::test]
async fn who_joins_again_while_the_lists_are_read_stays_a_member() {
    let world = World::new().await;
    let app = &world.app;
    let old = world.membership(&world.acme, &world.ada);
    let (acme, ada) = (world.acme.clone(), world.ada.clone());
    app.clerk
        .before_request(1, "GET", "/v1/organization_memberships", move |clerk| {
            clerk.remove_member(&acme, &ada);
        });
    let (acme, ada) = (world.acme.clone(), world.ada.clone());
    app.clerk
        .after_request(1, "GET", "/v1/organization_memberships", move |clerk| {
            clerk.add_member(&acme, &ada, "org:member");
        });
    // The list shows neither of them, and the event of the new one comes before the run asks.
    let run = app.compare(Mode::Repair).await;
    assert_eq!(run["state"], "done");
    app.deliver_all().await;
    app.settle().await;
    let new = world.membership(&world.acme, &world.ada);
    assert_ne!(new, old);
    let row = app
        .sql
        .query_one(
            "select to_jsonb(m) from memberships m where clerk_id = $1",
            &[&new],
        )
        .await
        .unwrap();
    assert_eq!(row.get::<_, Value>(0)["deleted_at"], Value::Null);
    world.app.finish().await;
}
