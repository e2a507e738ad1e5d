//! `GET /api/admin/sync/history/{id}`.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::support::TestApp;

use super::short;

#[tokio::test]
async fn a_user_has_a_history_of_all_that_happened_to_them() {
    let app = TestApp::new().await;
    let grace = app.admin("grace").await;
    let ada = app.user("ada", Some("STUDENT")).await;
    let club = app.organization_of("Club", &grace);
    let membership = app.member(&club, &ada);
    app.deliver_all().await;
    app.edit(
        &grace,
        &ada,
        json!({ "firstName": "Augusta", "builderGroupId": "hush-group" }),
    )
    .await;
    app.set_role(&grace, &ada, json!({ "role": "INSTRUCTOR" }))
        .await;
    app.email_change("POST", &grace, &ada, Some("quirina@example.com"))
        .await;
    app.deliver_all().await;
    app.execute(&format!(
        "delete from reconcile_runs;
        insert into reconcile_runs (id, mode, state, actor, finished_at)
        values ('00000000-0000-4000-8000-000000000001', 'repair', 'done', 'schedule', now());
        insert into drift (
            run_id, class, object, clerk_id, row_id, severity, cause, action, priority, state,
            fields
        )
        select
            '00000000-0000-4000-8000-000000000001', 'stale', 'user', '{ada}', id, 'low',
            'lost_event', 'update', 1, 'repaired',
            '[{{\"name\": \"first_name\", \"ours\": \"hush\", \"clerk\": \"hush\"}}]'
        from users where clerk_id = '{ada}';
        insert into drift (
            run_id, class, object, clerk_id, row_id, severity, cause, action, priority, state
        )
        select
            '00000000-0000-4000-8000-000000000001', 'orphaned', 'membership', clerk_id, id,
            'medium', 'lost_event', 'end', 1, 'withheld'
        from memberships where clerk_id = '{membership}'"
    ))
    .await;

    let told = app.told(&grace, &format!("history/{ada}")).await;
    let history = &told["history"];
    let at: Vec<Timestamp> = history
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["at"].as_str().unwrap().parse().unwrap())
        .collect();
    assert!(at.is_sorted_by(|a, b| a >= b), "the newest first: {at:?}");
    let of = |kind: &str| -> Value {
        let entries = history.as_array().unwrap().iter();
        entries
            .filter(|entry| entry["kind"] == kind)
            .cloned()
            .collect()
    };
    let deliveries = short(&of("delivery"), &["eventType", "objectId"]);
    for delivery in [
        json!(["user.created", ada]),
        json!(["organizationMembership.created", membership]),
        json!(["user.updated", ada]),
    ] {
        assert!(deliveries.contains(&delivery), "{delivery}: {deliveries:?}");
    }
    let created = of("delivery").as_array().unwrap().last().unwrap().clone();
    assert_eq!(created["rule"], "R1");
    assert!(
        created["changed"]
            .as_array()
            .unwrap()
            .contains(&json!("email"))
    );
    let words = "user.created: This user was not known here, so it was added.";
    assert_eq!(created["summary"], words);
    let roles = of("role_change");
    let by_grace = format!("The role changed from STUDENT to INSTRUCTOR, by {grace}.");
    let first = "The role is STUDENT from the beginning, as an event of Clerk's says.";
    assert_eq!(
        short(&roles, &["summary", "oldRole", "newRole", "source"]),
        [
            json!([by_grace, "STUDENT", "INSTRUCTOR", "admin_panel"]),
            json!([first, null, "STUDENT", "webhook"]),
        ]
    );
    let edits = of("profile_edit");
    let fields = edits[0]["changed"].clone();
    let mut names: Vec<&str> = fields
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it.as_str().unwrap())
        .collect();
    names.sort_unstable();
    assert_eq!(names, ["builder_group_id", "first_name"]);
    assert_eq!(edits[0]["outcome"], "done");
    assert!(
        edits[0]["summary"]
            .as_str()
            .unwrap()
            .ends_with(": it was done.")
    );
    let changes = of("email_change");
    let words = format!("{grace} asked for another address: the invitation was sent.");
    assert_eq!(
        short(&changes, &["summary", "state"]),
        [json!([words, "invited"])]
    );
    let words = "The role INSTRUCTOR was owed to Clerk: Clerk has it, after 1 try.";
    assert_eq!(
        short(&of("push"), &["summary", "state", "nAttempts"]),
        [json!([words, "delivered", 1])]
    );
    let drift = of("drift");
    let stale = "A comparison found that this user was not as Clerk has it in first_name \
        (lost_event); it was repaired.";
    let orphaned = "A comparison found that this membership was here and not in Clerk \
        (lost_event); the repair waits for an approval.";
    assert_eq!(
        short(&drift, &["summary", "class", "state", "changed"]),
        [
            json!([orphaned, "orphaned", "withheld", []]),
            json!([stale, "stale", "repaired", ["first_name"]]),
        ]
    );
    let all = told.to_string();
    for word in ["hush", "Augusta", "example.com", "payload\":{"] {
        assert!(!all.contains(word), "{word}: {all}");
    }

    let uuid = app.row(&ada).await["id"].as_str().unwrap().to_owned();
    assert_eq!(app.told(&grace, &format!("history/{uuid}")).await, told);
    for limit in [1, 3, 5] {
        let pages = app
            .pages(&grace, &format!("history/{ada}"), "history", limit)
            .await;
        assert_eq!(json!(pages), *history, "{limit}");
    }
    app.database.remove().await;
}

#[tokio::test]
async fn what_clerk_is_owed_is_told_as_far_as_it_has_come() {
    let app = TestApp::new().await;
    let grace = app.admin("grace").await;
    let ada = app.user("ada", Some("STUDENT")).await;
    app.clerk.down();
    app.set_role(&grace, &ada, json!({ "role": "INSTRUCTOR" }))
        .await;
    let pushes = async || {
        let told = app.told(&grace, &format!("history/{ada}")).await;
        let entries = told["history"].as_array().unwrap().clone();
        let pushes = entries.into_iter().filter(|entry| entry["kind"] == "push");
        short(&json!(pushes.collect::<Vec<_>>()), &["state", "summary"])
    };
    let told = |state: &str, words: &str| {
        json!([
            state,
            format!("The role INSTRUCTOR was owed to Clerk: {words}, after 1 try.")
        ])
    };
    assert_eq!(pushes().await, [told("pending", "it is on its way")]);
    app.clerk.up();
    app.clerk.advance(Duration::from_secs(2));
    app.clerk.set_role(&ada, "ADMIN");
    app.deliver_all().await;
    let words = "another role was set in Clerk meanwhile, and counts";
    assert_eq!(pushes().await, [told("superseded", words)]);
    app.execute("update outbox set completed_at = null, dead_at = now()")
        .await;
    let words = "it could not be delivered, and is given up";
    assert_eq!(pushes().await, [told("dead", words)]);
    app.database.remove().await;
}

#[tokio::test]
async fn organizations_and_memberships_have_a_history_too() {
    let app = TestApp::new().await;
    let grace = app.admin("grace").await;
    let ada = app.user("ada", None).await;
    let club = app.organization_of("Club", &grace);
    let guild = app.organization_of("Guild", &grace);
    let membership = app.member(&club, &ada);
    app.member(&guild, &ada);
    app.deliver_all().await;
    app.clerk.advance(Duration::from_millis(10));
    app.clerk.remove_member(&club, &ada);
    app.clerk.delete_organization(&club);
    app.deliver_all().await;
    let history = async |id: &str| {
        let told = app.told(&grace, &format!("history/{id}")).await;
        short(&told["history"], &["kind", "eventType", "objectId"])
    };
    let of_membership = history(&membership).await;
    assert_eq!(
        of_membership,
        [
            json!(["delivery", "organizationMembership.deleted", membership]),
            json!(["delivery", "organizationMembership.created", membership]),
        ]
    );
    let of_club = history(&club).await;
    for entry in &of_membership {
        assert!(of_club.contains(entry), "{entry}: {of_club:?}");
    }
    let created = json!(["delivery", "organization.created", club]);
    let deleted = json!(["delivery", "organization.deleted", club]);
    assert!(
        of_club.contains(&created) && of_club.contains(&deleted),
        "{of_club:?}"
    );
    assert!(
        !of_club.iter().any(|entry| entry[2] == json!(guild)),
        "{of_club:?}"
    );
    let pages = app
        .pages(&grace, &format!("history/{club}"), "history", 1)
        .await;
    assert_eq!(pages.len(), of_club.len());
    app.finish().await;
}

/// R12.
#[tokio::test]
async fn a_user_who_moved_has_the_history_of_the_account_that_they_left() {
    let app = TestApp::new().await;
    let grace = app.admin("grace").await;
    let ada = app.user("ada", Some("STUDENT")).await;
    app.email_change("POST", &grace, &ada, Some("new@example.com"))
        .await;
    let invitation = app
        .one(
            "select invitation_id from email_changes where old_clerk_id = $1",
            &ada,
        )
        .await;
    let moved = app.clerk.accept_invitation(&invitation);
    // The account that is removed is told of after the one that is new.
    for _ in 0..3 {
        app.deliver_all().await;
    }
    app.settle().await;
    let new = moved["id"].as_str().unwrap();
    let told = app.told(&grace, &format!("history/{new}")).await;
    let entries = short(
        &told["history"],
        &["kind", "eventType", "objectId", "rule", "state"],
    );
    for entry in [
        json!(["delivery", "user.created", ada, "R1", null]),
        json!(["delivery", "user.created", new, "R12", null]),
        json!(["delivery", "user.deleted", ada, "R3", null]),
        json!(["email_change", null, null, null, "done"]),
    ] {
        assert!(entries.contains(&entry), "{entry}: {entries:#?}");
    }
    let words = "user.created: The user followed the invitation to a new address, so the row \
        moved to this account.";
    let summaries = short(&told["history"], &["summary"]);
    assert!(summaries.contains(&json!([words])), "{summaries:#?}");
    assert!(!told.to_string().contains("new@example.com"));
    app.finish().await;
}

#[tokio::test]
async fn of_what_was_only_heard_of_there_is_a_history_and_of_the_unknown_there_is_none() {
    let app = TestApp::new().await;
    let grace = app.admin("grace").await;
    // Never taken in, but it came.
    let foreign = json!({
        "type": "user.created", "instance_id": "ins_other", "data": { "id": "user_foreign" },
    });
    app.deliver_event("msg_foreign", &foreign).await;
    let told = app.told(&grace, "history/user_foreign").await;
    assert_eq!(told["history"].as_array().unwrap().len(), 1);
    assert_eq!(told["history"][0]["outcome"], "ignored");
    // A row, of which nothing was written down.
    app.execute("insert into users (id) values ('00000000-0000-4000-8000-000000000007')")
        .await;
    let path = "history/00000000-0000-4000-8000-000000000007";
    let told = app.told(&grace, path).await;
    assert_eq!(told, json!({ "history": [], "nextCursor": null }));
    for id in ["user_nobody", "org_nobody", "orgmem_nobody"] {
        let answer = app.ask(&grace, &format!("history/{id}")).await;
        assert_eq!(
            (answer.status, &answer.body["code"]),
            (404, &json!("history_not_found"))
        );
    }
    app.database.remove().await;
}
