//! What may be in an edit, what it does field by field, and whose an address is.

use serde_json::{Value, json};

use super::{
    assert_done, assert_names, assert_refused, became, both_sides, changes, intents, row_by_id,
    uuid, without_account,
};
use crate::support::TestApp;

#[tokio::test]
async fn a_name_is_taken_apart_for_both_sides_and_shown_whole() {
    let (app, grace, ada) = TestApp::with_admin_and_student().await;
    let cases = [
        ("Ada King Lovelace", Some("Ada"), Some("King Lovelace")),
        ("  Ada   Lovelace  ", Some("Ada"), Some("Lovelace")),
        ("Countess", Some("Countess"), None),
        ("Zoë Ångström-Çelik", Some("Zoë"), Some("Ångström-Çelik")),
        ("  ", None, None),
    ];
    for (name, first, last) in cases {
        let answer = app.edit(&grace, &ada, json!({ "name": name })).await;
        assert_done(&answer, 200, "synced");
        let user = &answer.body["user"];
        let shown = json!([user["firstName"], user["lastName"]]);
        assert_eq!(shown, json!([first, last]), "{name:?}");
        assert_names(&both_sides(&app, &ada).await, first, last);
    }
    app.finish().await;
}

/// What is left out stays, null and blank text clear, and what is given is set.
#[tokio::test]
async fn fields_are_left_out_cleared_or_set() {
    let (app, grace, ada) = TestApp::with_admin_and_student().await;
    let edits = [
        (
            json!({ "firstName": "Ada", "lastName": "Lovelace", "builderGroupId": " g1 " }),
            [Some("Ada"), Some("Lovelace"), Some("g1")],
        ),
        (json!({ "lastName": null }), [Some("Ada"), None, Some("g1")]),
        (
            json!({ "firstName": "  ", "lastName": "King" }),
            [None, Some("King"), Some("g1")],
        ),
        (
            json!({ "builderGroupId": null }),
            [None, Some("King"), None],
        ),
        (
            json!({ "firstName": "Ada", "builderGroupId": "g2" }),
            [Some("Ada"), Some("King"), Some("g2")],
        ),
        (
            json!({ "builderGroupId": "" }),
            [Some("Ada"), Some("King"), None],
        ),
        (json!({ "name": null }), [None, None, None]),
    ];
    for (edit, [first, last, group]) in edits {
        let answer = app.edit(&grace, &ada, edit.clone()).await;
        assert_done(&answer, 200, "synced");
        assert_eq!(
            answer.body["user"]["builderGroupId"],
            json!(group),
            "{edit}"
        );
        let sides = both_sides(&app, &ada).await;
        assert_names(&sides, first, last);
        assert_eq!(sides.1["builder_group_id"], json!(group), "{edit}");
    }
    app.finish().await;
}

/// The same for a row without an account, where the database is all there is.
#[tokio::test]
async fn fields_of_a_row_without_an_account_are_left_out_cleared_or_set_as_well() {
    let app = TestApp::new().await;
    let grace = app.admin("grace").await;
    let bob = without_account(&app, "bob").await;
    app.clerk.clear_requests();
    let edits = [
        (
            json!({ "name": "Bob Lee", "builderGroupId": "g1" }),
            [Some("Bob"), Some("Lee"), Some("g1")],
        ),
        (
            json!({ "lastName": " ", "email": "bob@example.com" }),
            [Some("Bob"), None, Some("g1")],
        ),
        (
            json!({ "firstName": null, "builderGroupId": null }),
            [None, None, None],
        ),
    ];
    for (edit, expected) in edits {
        assert_done(&app.edit(&grace, &bob, edit).await, 200, "synced");
        let row = row_by_id(&app, &bob).await;
        let found = json!([row["first_name"], row["last_name"], row["builder_group_id"]]);
        assert_eq!(found, json!(expected));
        assert_eq!(row["email"], "bob@example.com");
    }
    assert_eq!(app.clerk.requests().len(), 0);
    assert_eq!(became(&app).await, ["done", "done", "done"]);
    app.finish().await;
}

/// What cannot be is refused, by name, before anybody is asked for anything.
#[tokio::test]
async fn what_cannot_be_is_422_and_nobody_is_asked() {
    let (app, grace, ada) = TestApp::with_admin_and_student().await;
    let bob = without_account(&app, "bob").await;
    let before = (both_sides(&app, &ada).await, row_by_id(&app, &bob).await);
    app.clerk.clear_requests();
    let long = "ä".repeat(256);
    let cases = [
        (json!({ "firstName": long }), "invalid_name", "firstName"),
        (json!({ "lastName": long }), "invalid_name", "lastName"),
        (
            json!({ "name": format!("A {long}") }),
            "invalid_name",
            "name",
        ),
        (json!({ "firstName": "A\nB" }), "invalid_name", "firstName"),
        (json!({ "lastName": "A\u{0}B" }), "invalid_name", "lastName"),
        (json!({ "name": "A\u{7}B C" }), "invalid_name", "name"),
        (
            json!({ "name": "A", "lastName": "B" }),
            "invalid_name",
            "name",
        ),
        (
            json!({ "name": null, "firstName": "B" }),
            "invalid_name",
            "name",
        ),
        (
            json!({ "builderGroupId": long }),
            "invalid_group",
            "builderGroupId",
        ),
        (
            json!({ "builderGroupId": "a\tb" }),
            "invalid_group",
            "builderGroupId",
        ),
        (json!({ "email": "nobody" }), "invalid_email", "email"),
        (json!({ "email": "" }), "invalid_email", "email"),
        (json!({ "email": null }), "invalid_email", "email"),
        (
            json!({ "email": "a@b@example.com" }),
            "invalid_email",
            "email",
        ),
        (
            json!({ "firstName": "A", "role": "ADMIN" }),
            "invalid_body",
            "role",
        ),
        (
            json!({ "firstName": "A", "clerkId": "user_1" }),
            "invalid_body",
            "clerkId",
        ),
        (
            json!({ "firstName": "A", "publicMetadata": {} }),
            "invalid_body",
            "publicMetadata",
        ),
        (json!({ "firstName": 7 }), "invalid_body", "firstName"),
    ];
    for user in [ada.as_str(), bob.as_str()] {
        for (edit, code, field) in &cases {
            let answer = app.edit(&grace, user, edit.clone()).await;
            assert_refused(&answer, 422, code);
            assert_eq!(answer.body["fields"], json!([field]), "{edit}");
        }
        let answer = app.edit(&grace, user, json!({})).await;
        assert_refused(&answer, 422, "nothing_to_change");
    }
    let after = (both_sides(&app, &ada).await, row_by_id(&app, &bob).await);
    assert_eq!(after, before);
    assert_eq!(app.clerk.requests().len(), 0, "Clerk was not asked");
    assert!(intents(&app).await.is_empty());
    app.finish().await;
}

/// The longest that may be is taken on both sides.
#[tokio::test]
async fn names_of_255_characters_are_taken() {
    let (app, grace, ada) = TestApp::with_admin_and_student().await;
    let long = "ä".repeat(255);
    let edit = json!({ "firstName": long, "lastName": long, "builderGroupId": long });
    assert_done(&app.edit(&grace, &ada, edit).await, 200, "synced");
    assert_names(&both_sides(&app, &ada).await, Some(&long), Some(&long));
    app.finish().await;
}

#[tokio::test]
async fn an_address_is_one_persons_without_regard_to_case() {
    let (app, grace, ada) = TestApp::with_admin_and_student().await;
    let bob = without_account(&app, "bob").await;
    let eve = without_account(&app, "eve").await;
    for taken in ["ada@example.com", "Ada@Example.Com", "EVE@example.com"] {
        let edit = json!({ "email": taken, "firstName": "Robert" });
        let answer = app.edit(&grace, &bob, edit).await;
        assert_refused(&answer, 409, "email_taken");
        let row = row_by_id(&app, &bob).await;
        assert_eq!(row["email"], "bob@example.com");
        assert_eq!(row["first_name"], "bob", "all of it or nothing");
    }
    // One's own, in another case, is nobody else's.
    let answer = app
        .edit(&grace, &bob, json!({ "email": "Bob@Example.com" }))
        .await;
    assert_done(&answer, 200, "synced");
    assert_eq!(row_by_id(&app, &bob).await["email"], "Bob@Example.com");
    let answer = app
        .edit(&grace, &eve, json!({ "email": "bob@example.com" }))
        .await;
    assert_refused(&answer, 409, "email_taken");
    // The address of somebody who is gone is free.
    app.clerk.delete_user(&ada);
    app.deliver_all().await;
    let answer = app
        .edit(&grace, &eve, json!({ "email": "ada@example.com" }))
        .await;
    assert_done(&answer, 200, "synced");
    assert_eq!(row_by_id(&app, &eve).await["email"], "ada@example.com");
    app.finish().await;
}

/// An address that somebody wrote into a row is not known to be that person's; the same one is as
/// well known as before.
#[tokio::test]
async fn a_new_address_is_not_verified() {
    let app = TestApp::new().await;
    let grace = app.admin("grace").await;
    let bob = without_account(&app, "bob").await;
    app.execute("update users set email_verified = true where first_name = 'bob'")
        .await;
    for (email, is_verified) in [
        ("BOB@example.com", true),
        ("robert@example.com", false),
        ("robert@example.com", false),
    ] {
        let edit = json!({ "email": email });
        assert_done(&app.edit(&grace, &bob, edit).await, 200, "synced");
        let row = row_by_id(&app, &bob).await;
        assert_eq!(row["email"], email);
        assert_eq!(row["email_verified"], is_verified, "{email}");
    }
    app.finish().await;
}

/// A form sends all of its fields: the address that is there already changes nothing.
#[tokio::test]
async fn the_unchanged_address_of_a_clerk_user_is_no_obstacle() {
    let (app, grace, ada) = TestApp::with_admin_and_student().await;
    for (email, name) in [
        ("ada@example.com", "Ada King"),
        ("ADA@example.com", "Ada Byron"),
    ] {
        let edit = json!({ "email": email, "name": name, "builderGroupId": "g1" });
        let answer = app.edit(&grace, &ada, edit).await;
        assert_done(&answer, 200, "synced");
        assert_eq!(answer.body["user"]["name"], name);
    }
    let sides = both_sides(&app, &ada).await;
    assert_names(&sides, Some("Ada"), Some("Byron"));
    assert_eq!(sides.1["email"], "ada@example.com", "as Clerk writes it");
    assert_eq!(sides.1["email_verified"], true);
    // Nothing but the address: there is nothing to do, and Clerk is not asked.
    app.clerk.clear_requests();
    let answer = app
        .edit(&grace, &ada, json!({ "email": "ada@example.com" }))
        .await;
    assert_done(&answer, 200, "synced");
    assert_eq!(app.clerk.requests().len(), 0);
    app.finish().await;
}

/// All or nothing: an address that needs an invitation holds up everything that came with it.
#[tokio::test]
async fn a_new_address_of_a_clerk_user_requires_an_invitation_and_nothing_changes() {
    let (app, grace, ada) = TestApp::with_admin_and_student().await;
    let id = uuid(&app, &ada).await;
    let before = both_sides(&app, &ada).await;
    app.clerk.clear_requests();
    let edits = [
        json!({ "email": "new@example.com" }),
        json!({ "email": "new@example.com", "name": "Augusta King" }),
        json!({ "email": "new@example.com", "builderGroupId": "g1" }),
        json!({ "email": "new@example.com", "password": "a long one with 5 odd words" }),
    ];
    for edit in edits {
        for user in [&ada, &id] {
            let answer = app.edit(&grace, user, edit.clone()).await;
            assert_refused(&answer, 409, "requires_invitation");
            let said = (&answer.body["success"], &answer.body["requiresInvitation"]);
            assert_eq!(said, (&json!(false), &json!(true)), "{edit}");
        }
    }
    assert_eq!(both_sides(&app, &ada).await, before);
    assert_eq!(app.clerk.requests().len(), 0, "Clerk was not asked");
    assert!(intents(&app).await.is_empty());
    app.finish().await;
}

#[tokio::test]
async fn nobody_is_edited_who_is_not_there() {
    let (app, grace, _) = TestApp::with_admin_and_student().await;
    app.clerk.clear_requests();
    for user in ["user_nobody", "00000000-0000-4000-8000-000000000000"] {
        for edit in [
            json!({ "name": "A" }),
            json!({ "email": "new@example.com" }),
        ] {
            assert_refused(&app.edit(&grace, user, edit).await, 404, "user_not_found");
        }
    }
    let answer = app.edit(&grace, "somebody", json!({ "name": "A" })).await;
    assert_refused(&answer, 422, "invalid_user_id");
    assert_eq!(changes(&app), [""; 0]);
    app.finish().await;
}

/// Who edited what is on record, without the values once it is over.
#[tokio::test]
async fn who_edited_which_fields_is_kept_and_the_values_are_not() {
    let (app, grace, ada) = TestApp::with_admin_and_student().await;
    let bob = without_account(&app, "bob").await;
    let edit = json!({ "name": "Ada King", "email": "ada@example.com", "builderGroupId": "g1" });
    app.edit(&grace, &ada, edit).await;
    let edit = json!({ "email": "robert@example.com" });
    app.edit(&grace, &bob, edit).await;
    app.edit(&ada, &ada, json!({ "lastName": "Byron" })).await;
    let intents = intents(&app).await;
    let kept: Vec<Value> = intents
        .iter()
        .map(|it| {
            json!([
                it["clerk_id"],
                it["fields"],
                it["actor"],
                it["outcome"],
                it["payload"]
            ])
        })
        .collect();
    let all = ["builder_group_id", "email", "first_name", "last_name"];
    assert_eq!(
        kept,
        [
            json!([ada, all, grace, "done", null]),
            json!([null, ["email"], grace, "done", null]),
            json!([ada, ["last_name"], ada, "done", null]),
        ]
    );
    assert!(intents.iter().all(|it| it["request_id"] == "request-1"));
    app.finish().await;
}
