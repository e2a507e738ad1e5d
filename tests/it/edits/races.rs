//! Edits that meet: two of one user, an old one and a later one, many for one address.

use clerk_emulator::Fault;
use futures_util::future::join_all;
use serde_json::{Value, json};
use shared::db::profile_edits::{Closing, Outcome};

use super::{
    Held, assert_done, assert_names, assert_refused, became, both_sides, changes, edit_by, gate,
    intents, row_by_id, without_account,
};
use crate::support::TestApp;
use crate::support::gateway::Answer;

#[tokio::test]
async fn two_edits_of_one_user_at_once_end_equal_and_neither_is_lost() {
    let (app, grace, ada) = TestApp::with_admin_and_student().await;
    let one = gate(&app, app.clerk.url());
    let other = gate(&app, app.clerk.url());
    for round in 0..4 {
        let (first, last) = (format!("Ada{round}"), format!("King{round}"));
        let groups = [format!("a{round}"), format!("b{round}")];
        let edits = [
            json!({ "firstName": first, "builderGroupId": groups[0] }),
            json!({ "lastName": last, "builderGroupId": groups[1] }),
        ];
        let [one_edit, other_edit] = edits;
        let (an, other_answer) = tokio::join!(
            edit_by(&one, &app, &grace, &ada, one_edit),
            edit_by(&other, &app, &grace, &ada, other_edit),
        );
        for answer in [an, other_answer] {
            assert!(matches!(answer.status, 200 | 202), "{}", answer.body);
        }
        app.settle().await;
        let sides = both_sides(&app, &ada).await;
        assert_names(&sides, Some(&first), Some(&last));
        let last_done = "
            select case when fields[1] = 'builder_group_id' and fields[2] = 'first_name'
                then 0 else 1 end
            from profile_edits order by id desc limit 1";
        let row = app.sql.query_one(last_done, &[]).await.unwrap();
        let later = usize::try_from(row.get::<_, i32>(0)).unwrap();
        assert_eq!(sides.1["builder_group_id"], groups[later], "the later one");
    }
    app.finish().await;
}

/// Both names of one edit go together: nobody gets the given name of one and the family name of
/// the other.
#[tokio::test]
async fn of_two_edits_of_the_same_names_at_once_one_wins_on_both_sides() {
    let (app, grace, ada) = TestApp::with_admin_and_student().await;
    let one = gate(&app, app.clerk.url());
    let other = gate(&app, app.clerk.url());
    for round in 0..4 {
        let names = [format!("Augusta{round} King"), format!("Ada{round} Byron")];
        let edits = tokio::join!(
            edit_by(&one, &app, &grace, &ada, json!({ "name": names[0] })),
            edit_by(&other, &app, &grace, &ada, json!({ "name": names[1] })),
        );
        for answer in [edits.0, edits.1] {
            assert!(matches!(answer.status, 200 | 202), "{}", answer.body);
        }
        app.settle().await;
        let (there, here) = both_sides(&app, &ada).await;
        let name = here["name"].as_str().unwrap();
        assert!(names.iter().any(|it| it == name), "{name}");
        let names = [&there["first_name"], &there["last_name"]];
        assert_eq!(names, [&here["first_name"], &here["last_name"]]);
    }
    app.finish().await;
}

/// Grace asks for a name and a group, and nobody knows what became of it, though Clerk made it.
async fn with_an_open_edit(app: &TestApp, grace: &str, ada: &str) {
    app.clerk
        .fault(Fault::drop().on("PATCH", "/v1/users").once());
    let edit = json!({ "firstName": "Augusta", "builderGroupId": "old" });
    let answer = app.edit(grace, ada, edit).await;
    assert_eq!(answer.body["outcome"], "unknown", "{}", answer.body);
    app.clerk
        .update_user(ada, json!({ "first_name": "Augusta" }));
}

/// The row has this group now, and once everything is settled.
async fn assert_group_stays(app: TestApp, ada: &str, group: Value, outcomes: &[&str]) {
    assert_eq!(app.row(ada).await["builder_group_id"], group);
    app.forget_waits().await;
    app.reconcile().await;
    assert_eq!(became(&app).await, outcomes);
    assert_eq!(app.row(ada).await["builder_group_id"], group);
    app.finish().await;
}

/// What Clerk has no part in is done at once; the older edit, settled later, does not undo it.
#[tokio::test]
async fn a_later_group_that_clerk_had_no_part_in_is_never_overwritten_by_an_older_edit() {
    for later in [json!("new"), Value::Null] {
        let (app, grace, ada) = TestApp::with_admin_and_student().await;
        with_an_open_edit(&app, &grace, &ada).await;
        app.clerk.clear_requests();
        let edit = json!({ "builderGroupId": later });
        assert_done(&app.edit(&grace, &ada, edit).await, 200, "synced");
        assert_eq!(app.clerk.requests().len(), 0, "Clerk has no part in it");
        Box::pin(assert_group_stays(app, &ada, later, &["done", "done"])).await;
    }
}

#[tokio::test]
async fn a_later_group_that_went_with_a_name_is_never_overwritten_by_an_older_edit() {
    let (app, grace, ada) = TestApp::with_admin_and_student().await;
    with_an_open_edit(&app, &grace, &ada).await;
    let edit = json!({ "lastName": "King", "builderGroupId": "new" });
    assert_done(&app.edit(&grace, &ada, edit).await, 200, "synced");
    Box::pin(assert_group_stays(
        app,
        &ada,
        json!("new"),
        &["done", "done"],
    ))
    .await;
}

/// The older one is in the middle of its request while the later one comes and goes.
#[tokio::test]
async fn a_later_group_is_never_overwritten_by_an_older_request_that_ends_after_it() {
    let (mut app, grace, ada) = TestApp::with_admin_and_student().await;
    let held = Held::in_front_of(&app.clerk).await;
    app.update_user = gate(&app, &held.url);
    let other = gate(&app, app.clerk.url());
    let older = json!({ "firstName": "Augusta", "builderGroupId": "old" });
    let later = json!({ "lastName": "King", "builderGroupId": "new" });
    let (older, later) = tokio::join!(
        app.edit(&grace, &ada, older),
        held.meanwhile(edit_by(&other, &app, &grace, &ada, later)),
    );
    assert_done(&older, 200, "synced");
    assert_done(&later, 200, "synced");
    let sides = both_sides(&app, &ada).await;
    assert_names(&sides, Some("Augusta"), Some("King"));
    Box::pin(assert_group_stays(
        app,
        &ada,
        json!("new"),
        &["done", "done"],
    ))
    .await;
}

/// A later edit that Clerk refused, and one that was about something else, are no reason to forget
/// the group of the older one.
#[tokio::test]
async fn an_older_group_is_written_when_no_later_one_was() {
    let (app, grace, ada) = TestApp::with_admin_and_student().await;
    with_an_open_edit(&app, &grace, &ada).await;
    let refused = json!({ "password": "short", "builderGroupId": "refused" });
    let answer = app.edit(&grace, &ada, refused).await;
    assert_refused(&answer, 422, "password_too_short");
    let other = json!({ "lastName": "King" });
    assert_done(&app.edit(&grace, &ada, other).await, 200, "synced");
    assert_eq!(app.row(&ada).await["builder_group_id"], Value::Null);
    app.forget_waits().await;
    app.reconcile().await;
    assert_eq!(became(&app).await, ["done", "refused", "done"]);
    assert_eq!(app.row(&ada).await["builder_group_id"], "old");
    app.finish().await;
}

/// Two that are settled by the same tick: the later one's group is what stays.
#[tokio::test]
async fn of_two_open_edits_the_later_group_stays() {
    let (app, grace, ada) = TestApp::with_admin_and_student().await;
    with_an_open_edit(&app, &grace, &ada).await;
    app.clerk
        .fault(Fault::drop().on("PATCH", "/v1/users").once());
    let edit = json!({ "lastName": "King", "builderGroupId": "new" });
    let answer = app.edit(&grace, &ada, edit).await;
    assert_eq!(answer.body["outcome"], "unknown", "{}", answer.body);
    app.clerk.update_user(&ada, json!({ "last_name": "King" }));
    app.forget_waits().await;
    app.reconcile().await;
    assert_eq!(became(&app).await, ["done", "done"]);
    assert_eq!(app.row(&ada).await["builder_group_id"], "new");
    app.finish().await;
}

/// Two ticks at once settle each edit once, and end with the same.
#[tokio::test]
async fn two_reconciles_at_once_settle_an_edit_once() {
    let (app, grace, ada) = TestApp::with_admin_and_student().await;
    with_an_open_edit(&app, &grace, &ada).await;
    app.forget_waits().await;
    let settings = crate::support::app::settings_of(&app.clerk, &app.database.url, &[]);
    let other = reconcile::App::new(&settings);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    let (_, theirs) = tokio::join!(app.reconcile(), reconcile::run(&other, deadline));
    theirs.unwrap();
    assert_eq!(became(&app).await, ["done"]);
    assert_eq!(app.row(&ada).await["builder_group_id"], "old");
    assert_eq!(changes(&app).len(), 1, "never sent again");
    app.finish().await;
}

/// The event of the edit comes before its own answer.
#[tokio::test]
async fn an_event_that_overtakes_the_answer_changes_nothing() {
    let (mut app, grace, ada) = TestApp::with_admin_and_student().await;
    let held = Held::in_front_of(&app.clerk).await;
    app.update_user = gate(&app, &held.url);
    let edit = json!({ "firstName": "Augusta", "builderGroupId": "g1" });
    let edit = app.edit(&grace, &ada, edit);
    let (answer, outcomes) = tokio::join!(edit, held.meanwhile(app.deliver_all()));
    assert_eq!(outcomes, ["applied"]);
    assert_done(&answer, 200, "synced");
    assert_eq!(answer.body["user"]["firstName"], "Augusta");
    assert_eq!(answer.body["user"]["builderGroupId"], "g1");
    app.finish().await;
}

/// Somebody changes the name at the dashboard right after our edit, and their event comes first.
#[tokio::test]
async fn a_change_at_the_dashboard_after_an_edit_stays() {
    let (mut app, grace, ada) = TestApp::with_admin_and_student().await;
    let held = Held::in_front_of(&app.clerk).await;
    app.update_user = gate(&app, &held.url);
    let edit = json!({ "firstName": "Augusta", "builderGroupId": "g1" });
    let edit = app.edit(&grace, &ada, edit);
    let dashboard = async {
        app.clerk.advance(std::time::Duration::from_millis(10));
        app.clerk
            .update_user(&ada, json!({ "first_name": "Countess" }));
        app.deliver_all().await;
    };
    let (answer, ()) = tokio::join!(edit, held.meanwhile(dashboard));
    assert_done(&answer, 200, "synced");
    let sides = both_sides(&app, &ada).await;
    assert_names(&sides, Some("Countess"), None);
    assert_eq!(sides.1["builder_group_id"], "g1");
    app.finish().await;
}

/// Many rows, one address, each edit in a sandbox of its own: one gets it.
#[tokio::test]
async fn of_many_who_want_one_address_at_once_exactly_one_gets_it() {
    let app = TestApp::new().await;
    let grace = app.admin("grace").await;
    for round in 0..3 {
        let mut rows = Vec::new();
        for n in 0..8 {
            rows.push(without_account(&app, &format!("r{round}-{n}")).await);
        }
        let gates: Vec<_> = rows.iter().map(|_| gate(&app, app.clerk.url())).collect();
        let wishes = rows.iter().zip(&gates).enumerate().map(|(n, (row, gate))| {
            // The case is not the same, and the address is.
            let host = if n % 2 == 0 { "example" } else { "EXAMPLE" };
            let edit = json!({ "email": format!("wanted{round}@{host}.com"), "firstName": "New" });
            edit_by(gate, &app, &grace, row, edit)
        });
        let answers: Vec<Answer> = join_all(wishes).await;
        let n_done = answers.iter().filter(|answer| answer.status == 200).count();
        assert_eq!(n_done, 1, "{answers:?}");
        for (answer, row) in answers.iter().zip(&rows) {
            let row = row_by_id(&app, row).await;
            if answer.status == 200 {
                assert_eq!(row["first_name"], "New");
            } else {
                assert_refused(answer, 409, "email_taken");
                assert_ne!(row["first_name"], "New", "all of it or nothing");
            }
        }
        let taken = format!("users where lower(email) = 'wanted{round}@example.com'");
        assert_eq!(app.count(&taken).await, 1);
    }
    app.finish().await;
}

/// Two rows that swap their addresses at once wait for each other in no circle.
#[tokio::test]
async fn two_who_swap_their_addresses_at_once_are_both_refused() {
    let app = TestApp::new().await;
    let grace = app.admin("grace").await;
    let (bob, eve) = (
        without_account(&app, "bob").await,
        without_account(&app, "eve").await,
    );
    let (one, other) = (gate(&app, app.clerk.url()), gate(&app, app.clerk.url()));
    for _ in 0..5 {
        let (first, second) = tokio::join!(
            edit_by(
                &one,
                &app,
                &grace,
                &bob,
                json!({ "email": "eve@example.com" })
            ),
            edit_by(
                &other,
                &app,
                &grace,
                &eve,
                json!({ "email": "bob@example.com" })
            ),
        );
        assert_refused(&first, 409, "email_taken");
        assert_refused(&second, 409, "email_taken");
    }
    app.finish().await;
}

/// A row without an account gets one between two edits (R5): from then on Clerk is asked first.
#[tokio::test]
async fn a_row_that_gets_an_account_between_two_edits_is_edited_in_clerk_from_then_on() {
    let app = TestApp::new().await;
    let grace = app.admin("grace").await;
    let bob = without_account(&app, "bob").await;
    app.clerk.clear_requests();
    let edit =
        json!({ "email": "robert@example.com", "name": "Robert Lee", "builderGroupId": "g1" });
    assert_done(&app.edit(&grace, &bob, edit).await, 200, "synced");
    assert_eq!(changes(&app), [""; 0]);

    let clerk_id = app.user("robert", Some("STUDENT")).await;
    assert_eq!(row_by_id(&app, &bob).await["clerk_id"], clerk_id, "adopted");
    let edit = json!({ "email": "bob@example.com", "name": "Bob Lee" });
    let answer = app.edit(&grace, &bob, edit).await;
    assert_refused(&answer, 409, "requires_invitation");
    assert_eq!(changes(&app), [""; 0]);
    let edit = json!({ "email": "robert@example.com", "name": "Bob Lee", "builderGroupId": "g2" });
    assert_done(&app.edit(&grace, &bob, edit).await, 200, "synced");
    assert_eq!(changes(&app), [format!("PATCH /v1/users/{clerk_id}")]);
    let sides = both_sides(&app, &clerk_id).await;
    assert_names(&sides, Some("Bob"), Some("Lee"));
    assert_eq!(sides.1["builder_group_id"], "g2");
    app.finish().await;
}

/// R5: whoever signs up while a row without an account gets their address finds that row, or takes
/// the address first: there are never two rows of one person.
#[tokio::test]
async fn a_row_that_gets_an_address_while_its_owner_signs_up_is_theirs() {
    let app = TestApp::new().await;
    let grace = app.admin("grace").await;
    for n in 0..40 {
        let row = without_account(&app, &format!("bob{n}")).await;
        let email = format!("robert{n}@example.com");
        app.clerk.create_user(json!({ "email": email }));
        let message = app.clerk.take_messages().pop().unwrap();
        let (edited, delivered) = tokio::join!(
            app.edit(&grace, &row, json!({ "email": email })),
            app.deliver(&message),
        );
        assert_eq!(delivered.status, 200, "{}", delivered.body);
        let n_rows = app
            .count(&format!(
                "users where email = '{email}' and deleted_at is null"
            ))
            .await;
        assert_eq!(n_rows, 1, "{}", edited.body);
        if edited.status == 200 {
            assert!(!row_by_id(&app, &row).await["clerk_id"].is_null());
        } else {
            assert_refused(&edited, 409, "email_taken");
        }
    }
    app.finish().await;
}

/// The later edit is written and not yet committed when the older one is closed.
#[tokio::test]
async fn an_edit_that_is_closed_waits_for_a_later_one_that_is_being_written() {
    let (app, grace, ada) = TestApp::with_admin_and_student().await;
    with_an_open_edit(&app, &grace, &ada).await;
    let older = intents(&app).await[0]["id"].as_i64().unwrap();
    let mut later = app.database.connect().await;
    let transaction = later.transaction().await.unwrap();
    let group = "update users set builder_group_id = 'new' where clerk_id = $1";
    transaction.execute(group, &[&ada]).await.unwrap();
    let edit = "
        insert into profile_edits (user_id, fields, actor, closed_at, outcome)
        select id, '{builder_group_id}', 'user_1', now(), 'done' from users where clerk_id = $1";
    transaction.execute(edit, &[&ada]).await.unwrap();
    let closing = Closing {
        id: older,
        outcome: Outcome::Done,
    };
    let db = app.update_user.db.as_ref().unwrap();
    let closings = [closing];
    let (closed, ()) = tokio::join!(db.close_edits(&closings), async {
        app.until_somebody_waits().await;
        transaction.commit().await.unwrap();
    });
    closed.unwrap();
    assert_eq!(app.row(&ada).await["builder_group_id"], "new");
    app.finish().await;
}
