//! A crash at every statement: whatever is done, the connection to the database is cut after each
//! of the messages that it sends, one after the other, and done again.
//!
//! Postgres may have stored all of it or nothing when that happens, and never a part.

use serde_json::{Value, json};

use super::say;
use crate::support::TestApp;
use crate::support::database::Database;
use crate::support::gateway::Answer;
use crate::support::proxy::{Cut, Proxy, Then};

/// The database stays away, so that nobody can try again; or the next connection works, and finds
/// what the server did without its answer being heard; or meets what it still does.
const CUTS: [(Cut, Then); 3] = [
    (Cut::AfterTheServer, Then::Refuses),
    (Cut::AfterTheServer, Then::Works),
    (Cut::BeforeTheServer, Then::Works),
];

/// More messages than anything sends.
const MAX_MESSAGES: usize = 400;

/// Where things are cut.
struct Scene {
    app: Box<TestApp>,
    proxy: Proxy,
    admin: String,
    n_people: usize,
}

impl Scene {
    async fn new() -> Self {
        let database = Database::new().await;
        let proxy = Proxy::in_front_of(&database.url).await;
        let app = TestApp::at(database, &proxy.url, &[]).await;
        let admin = app.admin("grace").await;
        Self {
            app: Box::new(app),
            proxy,
            admin,
            n_people: 0,
        }
    }

    /// Somebody nobody knows yet; returns the Clerk id.
    async fn somebody(&mut self) -> String {
        self.n_people += 1;
        let name = format!("person{}", self.n_people);
        self.app.user(&name, Some("STUDENT")).await
    }

    /// An organization that is known; returns the Clerk id.
    async fn organization(&mut self) -> String {
        self.n_people += 1;
        let name = format!("Club {}", self.n_people);
        let organization = self.app.clerk.create_organization(json!({ "name": name }));
        self.app.deliver_all().await;
        organization["id"].as_str().unwrap().to_owned()
    }

    /// Cuts `work` after so many messages; afterwards the database is at rest, and everybody may
    /// come in again. Says whether there was a cut.
    async fn cut<T>(
        &self,
        n_messages: usize,
        (cut, then): (Cut, Then),
        work: impl Future<Output = T>,
    ) -> (T, bool) {
        self.proxy.cut_after(n_messages, cut, then);
        let done = work.await;
        let was_cut = self.proxy.come_back();
        let at_work = "pg_stat_activity
            where datname = current_database() and state <> 'idle' and pid <> pg_backend_pid()";
        while self.app.count(at_work).await > 0 {
            tokio::task::yield_now().await;
        }
        (done, was_cut)
    }

    async fn is_true(&self, condition: &str) -> bool {
        let statement = format!("select {condition}");
        let row = self.app.sql.query_one(&statement, &[]).await;
        row.unwrap().get(0)
    }

    /// Nothing is left open, both sides are equal, and it was cut often enough to mean something.
    async fn finish(self, what: &str, n_cuts: usize) {
        say(&format!("{what}: cut at {n_cuts} places"));
        let n_at_least = CUTS.len() * 2 * 5;
        assert!(n_cuts >= n_at_least, "a statement alone is five messages");
        Box::pin(self.app.finish()).await;
    }
}

/// Cuts the delivery of an event at every place. `change` makes one, for which there is what
/// `given` made; `effect` is a condition in SQL that only its effect fulfils.
async fn cut_deliveries<G>(
    what: &str,
    given: impl AsyncFn(&mut Scene) -> G,
    change: impl Fn(&TestApp, &G),
    effect: impl Fn(&G) -> String,
) {
    let mut scene = Scene::new().await;
    let mut n_cuts = 0;
    for how in CUTS {
        for n_messages in 0..MAX_MESSAGES {
            let given = given(&mut scene).await;
            change(&scene.app, &given);
            let messages = scene.app.clerk.take_messages();
            let [message] = &messages[..] else {
                panic!("one event, not {}", messages.len());
            };
            let delivery = scene.app.deliver(message);
            let (answer, was_cut) = scene.cut(n_messages, how, delivery).await;
            let at = format!("{what} {how:?} after {n_messages}: {}", answer.body);
            assert!(matches!(answer.status, 200 | 503), "{at}");

            let is_recorded = !scene.app.inbox(&message.id).await.is_null();
            let has_effect = scene.is_true(&effect(&given)).await;
            assert_eq!(is_recorded, has_effect, "all or nothing: {at}");
            assert!(is_recorded || answer.status == 503, "nothing is lost: {at}");

            let again = scene.app.deliver(message).await;
            let expected = if is_recorded { "duplicate" } else { "applied" };
            assert_eq!(again.body, json!({ "outcome": expected }), "{at}");
            assert!(scene.is_true(&effect(&given)).await, "{at}");
            if !was_cut {
                break;
            }
            n_cuts += 1;
        }
    }
    scene.finish(what, n_cuts).await;
}

#[tokio::test]
async fn a_user_event_cut_anywhere_is_taken_in_whole_or_not_at_all() {
    cut_deliveries(
        "a change of a user",
        async |scene| scene.somebody().await,
        |app, user| drop(app.clerk.set_role(user, "INSTRUCTOR")),
        |user| {
            format!(
                "(select count(*) = 1 from users u
                join role_changes c on c.user_id = u.id and c.new_role = u.role
                where u.clerk_id = '{user}' and u.role = 'INSTRUCTOR')"
            )
        },
    )
    .await;
}

#[tokio::test]
async fn a_new_user_cut_anywhere_is_taken_in_whole_or_not_at_all() {
    cut_deliveries(
        "a new user, whose organizations are asked for",
        async |scene| {
            scene.n_people += 1;
            format!("new{}@example.com", scene.n_people)
        },
        |app, email| {
            app.clerk
                .create_user(json!({ "email": email, "role": "ADMIN" }));
        },
        |email| {
            format!(
                "(select count(*) = 1 from users u
                join role_changes c on c.user_id = u.id and c.new_role = u.role
                where u.email = '{email}' and u.role = 'ADMIN')"
            )
        },
    )
    .await;
}

#[tokio::test]
async fn an_organization_event_cut_anywhere_is_taken_in_whole_or_not_at_all() {
    cut_deliveries(
        "a change of an organization",
        async |scene| scene.organization().await,
        |app, organization| {
            app.clerk
                .update_organization(organization, json!({ "name": "Circle" }));
        },
        |organization| {
            format!(
                "exists (select from organizations
                where clerk_id = '{organization}' and name = 'Circle')"
            )
        },
    )
    .await;
}

/// Of a member and an organization that are not known yet.
#[tokio::test]
async fn a_membership_event_cut_anywhere_is_taken_in_whole_or_not_at_all() {
    cut_deliveries(
        "a member of what is not known",
        async |scene| {
            scene.n_people += 1;
            let email = format!("person{}@example.com", scene.n_people);
            let clerk = &scene.app.clerk;
            clerk.silently(|clerk| {
                let user = clerk.create_user(json!({ "email": email, "role": "STUDENT" }));
                let club = clerk.create_organization(json!({ "name": email }));
                let id = |object: &Value| object["id"].as_str().unwrap().to_owned();
                (id(&club), id(&user))
            })
        },
        |app, (organization, user)| {
            app.clerk.add_member(organization, user, "org:member");
        },
        |(organization, user)| {
            format!(
                "exists (select from memberships m
                join users u on u.id = m.user_id and u.clerk_id = '{user}'
                join organizations o on o.id = m.organization_id and o.clerk_id = '{organization}'
                where m.deleted_at is null)"
            )
        },
    )
    .await;
}

#[tokio::test]
async fn the_end_of_a_member_cut_anywhere_takes_all_memberships_along_or_none() {
    cut_deliveries(
        "the end of a user with memberships",
        async |scene| {
            let user = scene.somebody().await;
            for _ in 0..2 {
                let organization = scene.organization().await;
                scene
                    .app
                    .clerk
                    .add_member(&organization, &user, "org:member");
            }
            scene.app.deliver_all().await;
            user
        },
        |app, user| app.clerk.delete_user(user),
        |user| {
            format!(
                "(select bool_and(is_over) and bool_or(is_over) from (
                    select u.deleted_at is not null from users u where u.clerk_id = '{user}'
                    union all
                    select m.deleted_at is not null from memberships m
                    join users u on u.id = m.user_id where u.clerk_id = '{user}'
                ) as it (is_over))"
            )
        },
    )
    .await;
}

/// What the transaction of a role leaves: row, audit row and outbox entry, or none of them.
#[tokio::test]
async fn a_role_cut_anywhere_is_set_in_all_three_tables_or_in_none() {
    let mut scene = Scene::new().await;
    let mut n_cuts = 0;
    for how in CUTS {
        for n_messages in 0..MAX_MESSAGES {
            let user = scene.somebody().await;
            let set = || {
                let body = json!({ "role": "INSTRUCTOR" });
                scene.app.set_role(&scene.admin, &user, body)
            };
            let (answer, was_cut) = scene.cut(n_messages, how, set()).await;
            let at = format!(
                "{how:?} after {n_messages}: {} {}",
                answer.status, answer.body
            );
            assert!(matches!(answer.status, 200 | 503), "{at}");
            let written = [
                format!("users where clerk_id = '{user}' and role = 'INSTRUCTOR'"),
                format!(
                    "role_changes c join users u on u.id = c.user_id
                    where u.clerk_id = '{user}' and c.new_role = 'INSTRUCTOR'"
                ),
                format!("outbox b join users u on u.id = b.user_id where u.clerk_id = '{user}'"),
            ];
            let mut n_written = Vec::new();
            for written in &written {
                n_written.push(scene.app.count(written).await);
            }
            let is_set = n_written[0] == 1;
            assert_eq!(n_written, [i64::from(is_set); 3], "{at}");
            assert!(is_set || answer.status == 503, "nothing is lost: {at}");
            assert!(
                is_set || scene.app.clerk_role(&user) == "STUDENT",
                "Clerk hears of nothing that is not written down: {at}"
            );

            assert_eq!(set().await.status, 200, "{at}");
            assert_eq!(scene.app.role(&user).await, "INSTRUCTOR", "{at}");
            if !was_cut {
                break;
            }
            n_cuts += 1;
        }
    }
    scene.app.settle().await;
    let users = scene.app.clerk.users();
    let roles = users.iter().map(|user| &user["public_metadata"]["role"]);
    assert!(!roles.clone().any(|role| role == "STUDENT"));
    scene.finish("a role", n_cuts).await;
}

#[tokio::test]
async fn an_edit_cut_anywhere_is_made_on_both_sides_or_owed() {
    let mut scene = Scene::new().await;
    let mut n_cuts = 0;
    // The longest: what the third kind of cut finds is found by a role.
    for how in CUTS.into_iter().take(2) {
        for n_messages in 0..MAX_MESSAGES {
            let user = scene.somebody().await;
            let edit = || {
                let body = json!({ "firstName": "Edited", "builderGroupId": "group" });
                scene.app.edit(&scene.admin, &user, body)
            };
            let (answer, was_cut) = scene.cut(n_messages, how, edit()).await;
            let at = format!(
                "{how:?} after {n_messages}: {} {}",
                answer.status, answer.body
            );
            assert!(matches!(answer.status, 200 | 202 | 503), "{at}");
            assert_edit_is_whole(&scene, &user, &answer, &at).await;

            assert_eq!(edit().await.status, 200, "{at}");
            let row = scene.app.row(&user).await;
            assert_eq!(row["first_name"], "Edited", "{at}");
            if !was_cut {
                break;
            }
            n_cuts += 1;
        }
    }
    scene.finish("an edit", n_cuts).await;
}

/// Clerk first (R11): what Clerk has is here, or written down as owed.
async fn assert_edit_is_whole(scene: &Scene, user: &str, answer: &Answer, at: &str) {
    let is_in_clerk = scene.app.clerk.user(user).unwrap()["first_name"] == "Edited";
    let row = scene.app.row(user).await;
    let is_here = row["first_name"] == "Edited";
    let edits = format!(
        "profile_edits e join users u on u.id = e.user_id
        where u.clerk_id = '{user}'"
    );
    let n_open = scene
        .app
        .count(&format!("{edits} and e.closed_at is null"))
        .await;
    let n_edits = scene.app.count(&edits).await;
    assert!(is_in_clerk || !is_here, "Clerk first: {at}");
    // A beginning whose answer was lost is repeated.
    assert!(
        !is_in_clerk || n_edits > 0,
        "it is written down before: {at}"
    );
    let is_whole = is_here && row["builder_group_id"] == "group";
    assert!(!is_in_clerk || is_whole || n_open > 0, "done or owed: {at}");
    assert!(
        answer.status != 200 || is_whole,
        "it is as it is told: {at}"
    );
    assert!(
        answer.status != 503 || !is_in_clerk,
        "nothing is silent: {at}"
    );
}
