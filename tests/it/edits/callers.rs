//! Who may edit whom.

use clerk_emulator::Fault;
use serde_json::{Value, json};

use super::{
    assert_done, assert_names, assert_refused, both_sides, changes, edit_call, intents, uuid,
};
use crate::support::TestApp;
use crate::support::gateway::Call;

/// Whichever way they are named.
#[tokio::test]
async fn everybody_may_change_their_own_names() {
    let (app, _, ada) = TestApp::with_admin_and_student().await;
    let id = uuid(&app, &ada).await;
    for (user, name, last) in [(&ada, "Ada King", "King"), (&id, "Ada Byron", "Byron")] {
        let answer = app.edit(&ada, user, json!({ "name": name })).await;
        assert_done(&answer, 200, "synced");
        assert_eq!(answer.body["user"]["name"], name);
        assert_names(&both_sides(&app, &ada).await, Some("Ada"), Some(last));
    }
    let answer = app
        .edit_in_clerk(&ada, &ada, json!({ "lastName": "Lovelace" }))
        .await;
    assert_done(&answer, 200, "synced");
    assert_names(&both_sides(&app, &ada).await, Some("Ada"), Some("Lovelace"));
    app.finish().await;
}

#[tokio::test]
async fn nobody_but_an_admin_may_change_more_than_their_own_names() {
    let (app, grace, ada) = TestApp::with_admin_and_student().await;
    let bob = app.user("bob", Some("INSTRUCTOR")).await;
    let (ada_id, bob_id) = (uuid(&app, &ada).await, uuid(&app, &bob).await);
    let before = (
        both_sides(&app, &ada).await,
        both_sides(&app, &bob).await,
        both_sides(&app, &grace).await,
    );
    app.clerk.clear_requests();
    let own = [
        json!({ "builderGroupId": "g1" }),
        json!({ "builderGroupId": null }),
        json!({ "password": "a long one with 5 odd words" }),
        json!({ "email": "new@example.com" }),
        json!({ "email": "ada@example.com", "name": "Ada King" }),
        json!({ "name": "Ada King", "builderGroupId": "g1" }),
        json!({ "name": "Ada King", "password": "a long one with 5 odd words" }),
    ];
    for edit in own {
        for user in [&ada, &ada_id] {
            let answer = app.edit(&ada, user, edit.clone()).await;
            assert_refused(&answer, 403, "admin_required");
        }
    }
    let metadata = json!({ "firstName": "Ada", "publicMetadata": { "a": 1 } });
    let answer = app.edit_in_clerk(&ada, &ada, metadata).await;
    assert_refused(&answer, 403, "admin_required");
    let empty = json!({ "firstName": "Ada", "publicMetadata": {} });
    let answer = app.edit_in_clerk(&ada, &ada, empty).await;
    assert_refused(&answer, 403, "admin_required");
    // Not the names of others, of whatever rank one is, and not of those who are not there.
    for user in [&bob, &bob_id, &grace, &"user_nobody".to_owned()] {
        let answer = app.edit(&ada, user, json!({ "name": "Eve" })).await;
        assert_refused(&answer, 403, "admin_required");
    }
    for user in [&bob, &grace, &"user_nobody".to_owned()] {
        let answer = app
            .edit_in_clerk(&ada, user, json!({ "firstName": "Eve" }))
            .await;
        assert_refused(&answer, 403, "admin_required");
    }
    let after = (
        both_sides(&app, &ada).await,
        both_sides(&app, &bob).await,
        both_sides(&app, &grace).await,
    );
    assert_eq!(after, before);
    assert_eq!(changes(&app), [""; 0]);
    assert!(intents(&app).await.is_empty());
    app.finish().await;
}

#[tokio::test]
async fn who_is_not_signed_in_or_may_not_sign_in_edits_nothing() {
    let (app, _, ada) = TestApp::with_admin_and_student().await;
    let names = json!({ "firstName": "Augusta" });
    let in_clerk = json!({ "clerkId": ada, "updates": names });
    let edit = Call::new("PATCH", &format!("/api/users/{ada}")).json(&names);
    let edit_in_clerk = Call::new("POST", "/api/update-clerk-user").json(&in_clerk);
    assert_refused(&app.call_update_user(&edit).await, 401, "not_signed_in");
    let answer = app.call_update_clerk_user(&edit_in_clerk).await;
    assert_refused(&answer, 401, "not_signed_in");

    let mallory = app.admin("mallory").await;
    app.clerk.update_user(&mallory, json!({ "banned": true }));
    app.deliver_all().await;
    for user in [&ada, &mallory] {
        let answer = app.edit(&mallory, user, names.clone()).await;
        assert_refused(&answer, 403, "user_disabled");
        let answer = app.edit_in_clerk(&mallory, user, names.clone()).await;
        assert_refused(&answer, 403, "user_disabled");
    }
    assert_names(&both_sides(&app, &ada).await, Some("ada"), None);
    assert!(intents(&app).await.is_empty());
    app.finish().await;
}

/// Who is none any more by Clerk's word, and not yet by ours, is asked about once they were not
/// confirmed for a while.
#[tokio::test]
async fn who_is_no_admin_any_more_is_found_out() {
    let app = TestApp::with(&[("ADMIN_FRESHNESS_SECONDS", "0")]).await;
    let grace = app.admin("grace").await;
    let ada = app.user("ada", Some("STUDENT")).await;
    app.clerk
        .silently(|clerk| clerk.set_role(&grace, "STUDENT"));
    let answer = app.edit(&grace, &ada, json!({ "name": "Eve" })).await;
    assert_refused(&answer, 403, "admin_required");
    let answer = app
        .edit_in_clerk(&grace, &ada, json!({ "firstName": "Eve" }))
        .await;
    assert_refused(&answer, 403, "admin_required");
    assert_eq!(app.role(&grace).await, "STUDENT");
    app.finish().await;
}

/// The directory has the say over the names; what is ours alone is still ours to change.
#[tokio::test]
async fn the_profile_of_a_user_from_a_directory_stays_as_it_is() {
    let (app, grace, ada) = TestApp::with_admin_and_student().await;
    let scim = json!({ "scim": { "directory_id": "dir_1", "directory_enabled": true } });
    app.clerk.update_user(&ada, scim);
    app.deliver_all().await;
    let before = both_sides(&app, &ada).await;
    let names = json!({ "firstName": "Augusta" });
    let edit = json!({ "firstName": "Augusta", "builderGroupId": "g1" });
    let answers = [
        app.edit(&grace, &ada, edit).await,
        app.edit(&ada, &ada, names.clone()).await,
        app.edit_in_clerk(&grace, &ada, names).await,
    ];
    for answer in answers {
        assert_refused(&answer, 409, "profile_owned_by_directory");
        assert_eq!(
            answer.body["error"],
            "The profile comes from the user's directory. Change it there."
        );
    }
    assert_eq!(both_sides(&app, &ada).await, before);
    let outcomes = super::became(&app).await;
    assert_eq!(outcomes, ["refused", "refused", "refused"]);
    let answer = app
        .edit(&grace, &ada, json!({ "builderGroupId": "g1" }))
        .await;
    assert_done(&answer, 200, "synced");
    assert_eq!(app.row(&ada).await["builder_group_id"], "g1");
    app.finish().await;
}

/// An attribute may belong to a directory while the user does not.
#[tokio::test]
async fn an_attribute_of_a_directory_is_refused_in_the_same_words() {
    let (app, grace, ada) = TestApp::with_admin_and_student().await;
    for code in ["user_managed_by_scim", "attribute_managed_by_scim"] {
        app.clerk
            .fault(Fault::refusal(409, code).on("PATCH", "/v1/users").once());
        let answer = app.edit(&grace, &ada, json!({ "name": "A" })).await;
        assert_refused(&answer, 409, "profile_owned_by_directory");
    }
    app.finish().await;
}

/// The function has its route and no other, by both of its addresses.
#[tokio::test]
async fn the_routes_are_those_of_the_document_and_the_native_ones() {
    let (app, grace, ada) = TestApp::with_admin_and_student().await;
    let token = app.clerk.session_token(&grace);
    let native = "/.netlify/functions/update-clerk-user";
    for path in ["/api/update-clerk-user", native] {
        let body = json!({ "clerkId": ada, "updates": { "firstName": path } });
        let call = Call::new("POST", path).token(&token).json(&body);
        let answer = app.call_update_clerk_user(&call).await;
        assert_done(&answer, 200, "synced");
        let shown = json!({ "id": ada, "firstName": path, "lastName": null });
        assert_eq!(answer.body["user"], shown);
        for (method, path, status) in [
            ("GET", path.to_owned(), 405),
            ("POST", format!("{path}/{ada}"), 404),
        ] {
            let call = Call::new(method, &path).token(&token).json(&body);
            assert_eq!(app.call_update_clerk_user(&call).await.status, status);
        }
    }
    for path in [
        format!("/.netlify/functions/update-user/{ada}"),
        format!("/.netlify/functions/update-user/api/users/{ada}"),
    ] {
        let edit = Call::new("PATCH", &path).token(&token);
        let answer = app
            .call_update_user(&edit.json(&json!({ "firstName": "Ada" })))
            .await;
        assert_done(&answer, 200, "synced");
    }
    let call = Call::new("POST", &format!("/api/users/{ada}")).token(&token);
    let answer = app.call_update_user(&call.json(&json!({}))).await;
    assert_refused(&answer, 405, "method_not_allowed");
    assert_eq!(answer.headers["allow"], "PATCH");
    let call = edit_call(&app, &grace, "", &json!({ "name": "A" }));
    assert_eq!(app.call_update_user(&call).await.status, 404);
    app.finish().await;
}

#[tokio::test]
async fn without_a_secret_key_the_answer_says_so() {
    let app = TestApp::with(&[("CLERK_SECRET_KEY", "")]).await;
    let created = app.clerk.create_user(json!({ "email": "ada@example.com" }));
    let ada = created["id"].as_str().unwrap();
    app.deliver_all().await;
    let before = app.row(ada).await;
    let answers = [
        app.edit(ada, ada, json!({ "firstName": "A" })).await,
        app.edit_in_clerk(ada, ada, json!({ "firstName": "A" }))
            .await,
    ];
    for answer in answers {
        assert_refused(&answer, 500, "not_configured");
        assert_eq!(answer.body["error"], "Clerk authentication not configured");
    }
    assert_eq!(app.row(ada).await, before);
    assert_eq!(app.clerk.user(ada).unwrap()["first_name"], Value::Null);
    assert!(intents(&app).await.is_empty());
    app.database.remove().await;
}
