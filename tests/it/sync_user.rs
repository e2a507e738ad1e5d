//! What is pulled from Clerk at somebody's wish: who may, what the answer says, what the tables hold.

use std::time::{Duration, Instant};

use clerk_emulator::{Emulator, Fault};
use futures_util::future::join_all;
use serde_json::{Value, json};
use shared::gate::Gate;
use shared::http;

use crate::reads::USER_KEYS;
use crate::support::TestApp;
use crate::support::app::settings_of;
use crate::support::gateway::{Answer, Call};

const MEMBERS: &str = "org:member";
const ADMINS: &str = "org:admin";

/// Grace is an admin; Ada made the club, Bob is in it, Eve is in nothing.
struct Club {
    app: TestApp,
    grace: String,
    ada: String,
    bob: String,
    eve: String,
    id: String,
}

impl Club {
    async fn new() -> Self {
        let app = TestApp::new().await;
        let grace = app.admin("grace").await;
        let ada = app.user("ada", None).await;
        let bob = app.user("bob", None).await;
        let eve = app.user("eve", None).await;
        let id = made(&app.clerk, "Club", &ada);
        app.clerk.add_member(&id, &bob, MEMBERS);
        app.settle().await;
        app.clerk.advance(Duration::from_secs(1));
        Self {
            app,
            grace,
            ada,
            bob,
            eve,
            id,
        }
    }

    /// What can be asked for, as method, path and body.
    fn routes(&self) -> [(&'static str, String, Option<Value>); 8] {
        let Self { id, bob, .. } = self;
        let membership = json!({ "clerkOrgId": id, "clerkUserId": bob, "role": MEMBERS });
        let post = |path: String| ("POST", path, None);
        [
            post("user".to_owned()),
            post("user/full".to_owned()),
            post("user/organizations".to_owned()),
            post(format!("user/{bob}")),
            post(format!("organization/{id}")),
            post(format!("organization/{id}/members")),
            ("POST", "membership".to_owned(), Some(membership)),
            ("GET", "status".to_owned(), None),
        ]
    }

    /// Clerk answers nobody, and says so at once.
    fn away(&self) {
        self.app.clerk.fault(Fault::rate_limited(60));
    }

    /// An admin asks for the membership of somebody.
    async fn sync_membership(&self, id: &str, user: &str, role: &str) -> Answer {
        let body = json!({ "clerkOrgId": id, "clerkUserId": user, "role": role });
        let call = Call::new("POST", "/api/sync/membership")
            .token(&self.app.clerk.session_token(&self.grace))
            .json(&body);
        self.app.call_sync_user(&call).await
    }

    /// The roles of the live memberships of somebody in the club, and which are provisional.
    async fn live(&self, id: &str, user: &str) -> Vec<(String, bool)> {
        let statement = "
            select m.role, m.is_placeholder
            from memberships m
            join users u on u.id = m.user_id
            join organizations o on o.id = m.organization_id
            where o.clerk_id = $1 and u.clerk_id = $2 and m.deleted_at is null";
        let rows = self.app.sql.query(statement, &[&id, &user]).await.unwrap();
        rows.iter().map(|row| (row.get(0), row.get(1))).collect()
    }
}

/// An organization in Clerk; returns its id.
fn made(clerk: &Emulator, name: &str, by: &str) -> String {
    let organization = clerk.create_organization(json!({ "name": name, "created_by": by }));
    organization["id"].as_str().unwrap().to_owned()
}

fn call_of(method: &str, path: &str, body: Option<&Value>) -> Call {
    let call = Call::new(method, &format!("/api/sync/{path}"));
    body.map_or(call.clone(), |body| call.json(body))
}

/// Where it comes from, whether it was read back, whether it is all.
fn pulled(answer: &Answer) -> Value {
    let body = &answer.body;
    json!([
        answer.status,
        body["source"],
        body["verified"],
        body["isComplete"]
    ])
}

fn keys(value: &Value) -> Vec<&str> {
    let mut keys: Vec<&str> = value
        .as_object()
        .unwrap_or_else(|| panic!("no object: {value}"))
        .keys()
        .map(String::as_str)
        .collect();
    keys.sort_unstable();
    keys
}

#[tokio::test]
async fn each_route_lets_in_whom_it_shall_and_nobody_else() {
    let club = Club::new().await;
    let clerk = &club.app.clerk;
    let callers = [&club.eve, &club.bob, &club.grace].map(|user| clerk.session_token(user));
    let expected = [
        [401, 200, 200, 200],
        [401, 200, 200, 200],
        [401, 200, 200, 200],
        [401, 403, 403, 200],
        [401, 403, 200, 200],
        [401, 403, 200, 200],
        [401, 403, 403, 200],
        [401, 200, 200, 200],
    ];
    for ((method, path, body), expected) in club.routes().into_iter().zip(expected) {
        let call = call_of(method, &path, body.as_ref());
        let mut statuses = vec![club.app.call_sync_user(&call).await.status];
        for token in &callers {
            let answer = club.app.call_sync_user(&call.clone().token(token)).await;
            statuses.push(answer.status);
        }
        assert_eq!(
            statuses, expected,
            "{path}: anonymous, stranger, member, admin"
        );
    }
    club.app.finish().await;
}

#[tokio::test]
async fn the_answers_have_the_keys_that_they_shall() {
    let club = Club::new().await;
    let token = club.app.clerk.session_token(&club.grace);
    club.app.clerk.add_member(&club.id, &club.grace, ADMINS);
    let organization_keys = [
        "clerkId",
        "confirmedAt",
        "createdAt",
        "id",
        "imageUrl",
        "isPlaceholder",
        "maxAllowedMemberships",
        "name",
        "slug",
        "updatedAt",
    ];
    let membership_keys = [
        "clerkId",
        "clerkOrgId",
        "confirmedAt",
        "createdAt",
        "id",
        "isPlaceholder",
        "organizationId",
        "organizationName",
        "permissions",
        "role",
        "updatedAt",
        "userId",
    ];
    for (method, path, body) in club.routes() {
        let call = call_of(method, &path, body.as_ref()).token(&token);
        let body = club.app.call_sync_user(&call).await.body;
        let expected: &[&str] = match path.split('/').next() {
            Some("user") => &[
                "isComplete",
                "memberships",
                "organizations",
                "source",
                "success",
                "user",
                "verified",
            ],
            Some("membership") => &["isComplete", "membership", "source", "success", "verified"],
            Some("status") => &[
                "memberships",
                "organizations",
                "organizationsConfirmedAt",
                "pending",
                "user",
            ],
            _ if path.ends_with("/members") => &[
                "isComplete",
                "members",
                "organization",
                "source",
                "success",
                "verified",
            ],
            _ => &[
                "isComplete",
                "organization",
                "source",
                "success",
                "verified",
            ],
        };
        assert_eq!(keys(&body), expected, "{path}");
        if path != "status" {
            assert_eq!(body["success"], true, "{path}");
            let truth = [&body["source"], &body["verified"], &body["isComplete"]];
            assert_eq!(
                truth,
                [&json!("clerk"), &json!(true), &json!(true)],
                "{path}"
            );
        }
        if !body["user"].is_null() {
            assert_eq!(keys(&body["user"]), USER_KEYS, "{path}");
            assert_eq!(keys(&body["organizations"][0]), organization_keys, "{path}");
            assert_eq!(keys(&body["memberships"][0]), membership_keys, "{path}");
            assert_eq!(body["organizations"].as_array().unwrap().len(), 1);
            assert_eq!(body["memberships"].as_array().unwrap().len(), 1);
        }
        if !body["organization"].is_null() {
            assert_eq!(keys(&body["organization"]), organization_keys, "{path}");
            assert_eq!(body["organization"]["name"], "Club");
        }
        if !body["membership"].is_null() {
            assert_eq!(keys(&body["membership"]), membership_keys, "{path}");
            assert_eq!(body["membership"]["clerkOrgId"], json!(club.id));
        }
        if !body["members"].is_null() {
            assert_eq!(
                body["members"],
                json!({ "total": 3, "synced": 3, "ended": 0 })
            );
        }
    }
    club.app.finish().await;
}

/// Something that Clerk tells nobody of.
type Silent = fn(&Emulator, &Club);

const RENAMED_USER: Silent = |clerk, club| {
    clerk.update_user(&club.bob, json!({ "first_name": "Robert" }));
};
const RENAMED_ORGANIZATION: Silent = |clerk, club| {
    clerk.update_organization(&club.id, json!({ "name": "Society" }));
};
const OTHER_ROLE: Silent = |clerk, club| {
    clerk.set_member_role(&club.id, &club.bob, ADMINS);
};
const REMOVED: Silent = |clerk, club| {
    clerk.remove_member(&club.id, &club.bob);
};
const REJOINED: Silent = |clerk, club| {
    clerk.remove_member(&club.id, &club.bob);
    clerk.advance(Duration::from_millis(10));
    clerk.add_member(&club.id, &club.bob, ADMINS);
};
const REJOINED_AT_ONCE: Silent = |clerk, club| {
    clerk.freeze_clock();
    clerk.remove_member(&club.id, &club.bob);
    clerk.add_member(&club.id, &club.bob, ADMINS);
    clerk.resume_clock();
};
const ONE_MORE: Silent = |clerk, club| {
    let id = made(clerk, "Guild", &club.bob);
    clerk.add_member(&id, &club.ada, MEMBERS);
    clerk.remove_member(&id, &club.ada);
};
const EVERYTHING: Silent = |clerk, club| {
    RENAMED_USER(clerk, club);
    RENAMED_ORGANIZATION(clerk, club);
    REJOINED(clerk, club);
    ONE_MORE(clerk, club);
};

/// Each of these changes, unheard of, is in the tables after one wish.
async fn check_repairs(path: fn(&Club) -> String, asks: fn(&Club) -> &String, changes: &[Silent]) {
    for change in changes {
        Box::pin(check_repair(path, asks, *change)).await;
    }
}

async fn check_repair(path: fn(&Club) -> String, asks: fn(&Club) -> &String, change: Silent) {
    let club = Club::new().await;
    club.app.clerk.silently(|clerk| change(clerk, &club));
    let answer = club.app.sync(asks(&club), &path(&club)).await;
    let expected = json!([200, "clerk", true, true]);
    assert_eq!(pulled(&answer), expected, "{}", answer.body);
    club.app.assert_equal().await;
    // And nothing is left to be done.
    assert_eq!(club.app.reconcile().await, shared::sync::Report::default());
    club.app.finish().await;
}

#[tokio::test]
async fn all_of_a_user_is_as_clerk_has_it_after_their_own_wish() {
    let changes = [
        RENAMED_USER,
        RENAMED_ORGANIZATION,
        OTHER_ROLE,
        REMOVED,
        REJOINED,
        REJOINED_AT_ONCE,
        ONE_MORE,
        EVERYTHING,
    ];
    check_repairs(|_| "user".to_owned(), |club| &club.bob, &changes).await;
}

#[tokio::test]
async fn all_of_a_user_is_as_clerk_has_it_after_the_wish_of_an_admin() {
    let path = |club: &Club| format!("user/{}", club.bob);
    check_repairs(path, |club| &club.grace, &[EVERYTHING, REMOVED]).await;
    check_repairs(|_| "user/full".to_owned(), |club| &club.bob, &[EVERYTHING]).await;
    let path = |_: &Club| "user/organizations".to_owned();
    check_repairs(path, |club| &club.bob, &[EVERYTHING]).await;
}

#[tokio::test]
async fn an_organization_and_its_members_are_as_clerk_has_them() {
    let path = |club: &Club| format!("organization/{}", club.id);
    check_repairs(path, |club| &club.bob, &[RENAMED_ORGANIZATION]).await;
    let path = |club: &Club| format!("organization/{}/members", club.id);
    let changes = [
        RENAMED_ORGANIZATION,
        OTHER_ROLE,
        REMOVED,
        REJOINED,
        REJOINED_AT_ONCE,
    ];
    check_repairs(path, |club| &club.bob, &changes).await;
}

#[tokio::test]
async fn a_membership_of_an_organization_that_is_gone_ends() {
    let club = Club::new().await;
    club.app
        .clerk
        .silently(|clerk| clerk.delete_organization(&club.id));
    let answer = club.app.sync(&club.bob, "user").await;
    assert_eq!(pulled(&answer), json!([200, "clerk", true, true]));
    assert_eq!(answer.body["memberships"], json!([]));
    assert_eq!(answer.body["organizations"], json!([]));
    assert_eq!(club.live(&club.id, &club.bob).await, []);
    assert_eq!(
        club.live(&club.id, &club.ada).await.len(),
        1,
        "nobody asked"
    );
    club.app.database.remove().await;
}

/// How Clerk fails, and whether it says that there is nothing.
fn faults() -> [(Fault, bool); 6] {
    [
        (Fault::refusal(404, "resource_not_found"), true),
        (Fault::rate_limited(60), false),
        (Fault::status(500), false),
        (Fault::status(503), false),
        (Fault::drop(), false),
        (Fault::slow(Duration::from_secs(30)), false),
    ]
}

/// What a caller asks while Clerk fails, with what has changed in Clerk before.
type Asks = fn(&Club) -> (&String, String);

const CALLER: Asks = |club| (&club.bob, "user".to_owned());
const USER: Asks = |club| (&club.grace, format!("user/{}", club.bob));
const ORGANIZATION: Asks = |club| (&club.bob, format!("organization/{}", club.id));
const MEMBERS_OF_IT: Asks = |club| (&club.bob, format!("organization/{}/members", club.id));

/// The rows stand while Clerk fails, are not called verified, and become true later.
async fn check_fallback(asks: Asks, changes: &[Silent], status: u16) {
    let check = async |fault: Fault| {
        let club = Club::new().await;
        for change in changes {
            club.app.clerk.silently(|clerk| change(clerk, &club));
        }
        club.app.clerk.fault(fault.clone());
        let (caller, path) = asks(&club);
        let begun = Instant::now();
        let answer = club.app.sync(caller, &path).await;
        let took = begun.elapsed();
        assert!(took < Duration::from_millis(9_700), "{fault:?}: {took:?}");
        let expected = json!([status, "database", false, false]);
        assert_eq!(pulled(&answer), expected, "{fault:?}: {}", answer.body);
        assert_eq!(answer.body["success"], true);
        assert_eq!(
            club.live(&club.id, &club.bob).await,
            [(MEMBERS.to_owned(), false)],
            "{fault:?}: nothing is lost"
        );
        club.app.clerk.clear_faults();
        club.app.finish().await;
    };
    join_all(faults().map(|(fault, _)| Box::pin(check(fault)))).await;
}

#[tokio::test]
async fn a_caller_stands_as_they_are_while_clerk_fails_and_reconcile_completes_it() {
    check_fallback(CALLER, &[EVERYTHING], 200).await;
}

#[tokio::test]
async fn a_user_stands_as_they_are_while_clerk_fails_and_reconcile_completes_it() {
    check_fallback(USER, &[EVERYTHING], 200).await;
}

#[tokio::test]
async fn an_organization_stands_as_it_is_while_clerk_fails_and_reconcile_completes_it() {
    check_fallback(ORGANIZATION, &[RENAMED_ORGANIZATION], 200).await;
}

#[tokio::test]
async fn members_stand_as_they_are_while_clerk_fails_and_reconcile_completes_them() {
    let changes = [RENAMED_ORGANIZATION, OTHER_ROLE];
    check_fallback(MEMBERS_OF_IT, &changes, 202).await;
}

/// Not even the connection is made.
#[tokio::test]
async fn everything_stands_while_clerk_is_not_there_at_all() {
    let club = Club::new().await;
    club.app.clerk.silently(|clerk| EVERYTHING(clerk, &club));
    club.app.clerk.unreachable();
    for (asks, status) in [(CALLER, 200), (ORGANIZATION, 200), (MEMBERS_OF_IT, 202)] {
        let (caller, path) = asks(&club);
        let answer = club.app.sync(caller, &path).await;
        let expected = json!([status, "database", false, false]);
        assert_eq!(pulled(&answer), expected, "{path}: {}", answer.body);
    }
    club.app.clerk.up();
    club.app.finish().await;
}

/// The user is read, the list of their organizations is not: what was read is written.
#[tokio::test]
async fn half_an_answer_is_not_called_whole() {
    let club = Club::new().await;
    club.app.clerk.silently(|clerk| EVERYTHING(clerk, &club));
    let path = format!("/v1/users/{}/organization_memberships", club.bob);
    club.app
        .clerk
        .fault(Fault::rate_limited(60).on("GET", &path));
    let answer = club.app.sync(&club.bob, "user").await;
    assert_eq!(pulled(&answer), json!([200, "clerk", false, false]));
    assert_eq!(answer.body["user"]["firstName"], "Robert");
    assert_eq!(answer.body["organizations"][0]["name"], "Club");
    let status = club.app.sync_status(&club.bob).await;
    assert_eq!(status["pending"]["organizations"], true);
    club.app.clerk.clear_faults();
    club.app.finish().await;
}

/// Clerk asks for a second: there is time for that.
#[tokio::test]
async fn a_short_wait_is_waited() {
    let club = Club::new().await;
    club.app.clerk.silently(|clerk| EVERYTHING(clerk, &club));
    club.app.clerk.fault(Fault::rate_limited(1).times(2));
    let answer = club.app.sync(&club.bob, "user").await;
    assert_eq!(pulled(&answer), json!([200, "clerk", true, true]));
    club.app.assert_equal().await;
    club.app.finish().await;
}

/// Clerk answers from a copy that lags behind what an event told: it is asked again, for all of it.
#[tokio::test]
async fn an_answer_older_than_the_row_changes_nothing_and_is_asked_for_again() {
    let club = Club::new().await;
    club.app.clerk.silently(|clerk| EVERYTHING(clerk, &club));
    club.app
        .execute("update users set clerk_version = clerk_version + 3600000")
        .await;
    let answer = club.app.sync(&club.bob, "user").await;
    assert_eq!(pulled(&answer), json!([200, "clerk", false, false]));
    assert_eq!(answer.body["user"]["firstName"], "bob");
    // The copy has caught up.
    club.app
        .execute("update users set clerk_version = clerk_version - 3600000")
        .await;
    club.app.finish().await;
}

/// A role on its way to Clerk is not overwritten by the one that Clerk still has (R8).
#[tokio::test]
async fn a_pull_does_not_undo_a_role_that_is_on_its_way() {
    let club = Club::new().await;
    club.app.clerk.fault(Fault::status(503).on("PATCH", "/v1"));
    let body = json!({ "role": "INSTRUCTOR" });
    let answer = club.app.set_role(&club.grace, &club.bob, body).await;
    assert_eq!(answer.body["clerkSync"], "pending");
    let path = format!("user/{}", club.bob);
    for (caller, path) in [(&club.bob, "user"), (&club.grace, path.as_str())] {
        let answer = club.app.sync(caller, path).await;
        assert_eq!(pulled(&answer), json!([200, "clerk", true, true]));
        let user = &answer.body["user"];
        assert_eq!(
            (&user["role"], &user["clerkSync"]),
            (&json!("INSTRUCTOR"), &json!("pending"))
        );
    }
    club.app.clerk.clear_faults();
    club.app.settle().await;
    assert_eq!(club.app.clerk_role(&club.bob), "INSTRUCTOR");
    club.app.finish().await;
}

/// Nobody knows them yet: a temporary row serves until Clerk answers, and then all of it is here.
async fn check_temporary(asks: Asks, status: u16) {
    let check = async |fault: Fault| {
        let club = Club::new().await.with_newcomer();
        club.app.clerk.fault(fault.clone());
        let (caller, path) = asks(&club);
        let answer = club.app.sync(caller, &path).await;
        let expected = json!([status, "temporary", false, false]);
        assert_eq!(pulled(&answer), expected, "{fault:?}: {}", answer.body);
        let shown = ["user", "organization"].map(|key| &answer.body[key]["isPlaceholder"]);
        assert!(shown.contains(&&json!(true)), "{}", answer.body);
        club.app.clerk.clear_faults();
        club.app.settle().await;
        assert_eq!(
            club.app.count("organizations where is_placeholder").await,
            0
        );
        // Nobody asked about those who are in it.
        if !path.starts_with("organization") || path.ends_with("/members") {
            club.app.assert_equal().await;
        }
        club.app.database.remove().await;
    };
    let without_answer = faults().into_iter().filter(|(_, is_nothing)| !is_nothing);
    join_all(without_answer.map(|(fault, _)| Box::pin(check(fault)))).await;
}

#[tokio::test]
async fn an_unknown_caller_is_temporary_while_clerk_fails_and_reconcile_completes_them() {
    check_temporary(CALLER, 200).await;
}

#[tokio::test]
async fn an_unknown_user_is_temporary_while_clerk_fails_and_reconcile_completes_them() {
    check_temporary(USER, 200).await;
}

#[tokio::test]
async fn an_unknown_organization_is_temporary_while_clerk_fails_and_reconcile_completes_it() {
    let asks: Asks = |club| (&club.grace, format!("organization/{}", club.id));
    check_temporary(asks, 200).await;
}

#[tokio::test]
async fn members_of_what_is_unknown_are_pulled_by_reconcile_when_clerk_answers_again() {
    let asks: Asks = |club| (&club.grace, format!("organization/{}/members", club.id));
    check_temporary(asks, 202).await;
}

/// Clerk says that there is nothing: then nothing is made, but for whom it signed a token.
#[tokio::test]
async fn what_clerk_does_not_know_either_is_404() {
    let club = Club::new().await;
    let paths = [
        "user/user_nobody",
        "organization/org_nowhere",
        "organization/org_nowhere/members",
    ];
    for path in paths {
        let answer = club.app.sync(&club.grace, path).await;
        assert_eq!(answer.status, 404, "{path}: {}", answer.body);
    }
    let pairs = [
        ("org_nowhere", "user_nobody"),
        (club.id.as_str(), "user_nobody"),
        (club.id.as_str(), club.eve.as_str()),
        ("org_nowhere", club.bob.as_str()),
    ];
    for (id, user) in pairs {
        let answer = club.sync_membership(id, user, MEMBERS).await;
        assert_eq!(answer.status, 404, "{id} {user}: {}", answer.body);
    }
    club.app.finish().await;
}

/// A walk that was put off an hour ago begins anew: what it saw then it does not see now.
#[tokio::test]
async fn a_walk_that_is_asked_for_again_begins_again() {
    let club = Club::new().await;
    let (app, member) = (&club.app, &club.bob);
    app.execute(
        "update users
        set
            organizations_refetch_at = now(),
            organizations_walked_since = now() - interval '1 hour';
        update memberships set confirmed_at = now() - interval '30 minutes'",
    )
    .await;
    app.clerk
        .silently(|clerk| clerk.remove_member(&club.id, member));
    let answer = app.sync(member, "user").await;
    assert_eq!(answer.body["memberships"], json!([]));
    assert_eq!(answer.body["isComplete"], true);
    club.app.finish().await;
}

#[tokio::test]
async fn a_user_in_600_organizations_is_pulled_whole() {
    let app = TestApp::new().await;
    let ada = app.user("ada", None).await;
    app.clerk.silently(|clerk| {
        for n in 0..600 {
            made(clerk, &format!("Club {n}"), &ada);
        }
    });
    app.clerk.clear_requests();
    let answer = app.sync(&ada, "user").await;
    assert_eq!(pulled(&answer), json!([200, "clerk", true, true]));
    assert_eq!(answer.body["organizations"].as_array().unwrap().len(), 600);
    assert_eq!(answer.body["memberships"].as_array().unwrap().len(), 600);
    app.assert_equal().await;
    assert_eq!(app.clerk.requests().len(), 3, "the user and two pages");
    app.finish().await;
}

/// The Clerk's role wins.
#[tokio::test]
async fn the_role_of_a_membership_is_clerks_and_not_the_bodys() {
    let club = Club::new().await;
    let answer = club.sync_membership(&club.id, &club.bob, ADMINS).await;
    assert_eq!(pulled(&answer), json!([200, "clerk", true, true]));
    assert_eq!(answer.body["membership"]["role"], MEMBERS);
    for (change, role) in [(OTHER_ROLE, ADMINS), (REJOINED, ADMINS)] {
        club.app.clerk.advance(Duration::from_secs(1));
        club.app.clerk.silently(|clerk| change(clerk, &club));
        let answer = club.sync_membership(&club.id, &club.bob, "member").await;
        assert_eq!(pulled(&answer), json!([200, "clerk", true, true]));
        assert_eq!(answer.body["membership"]["role"], role);
        club.app.assert_equal().await;
    }
    club.app.finish().await;
}

#[tokio::test]
async fn a_membership_that_clerk_does_not_have_is_404_and_ends_here() {
    let club = Club::new().await;
    club.app.clerk.silently(|clerk| REMOVED(clerk, &club));
    for _ in 0..2 {
        let answer = club.sync_membership(&club.id, &club.bob, MEMBERS).await;
        assert_eq!(answer.status, 404);
        assert_eq!(answer.body["code"], "membership_not_found");
        club.app.assert_equal().await;
    }
    club.app
        .clerk
        .silently(|clerk| clerk.delete_organization(&club.id));
    let answer = club.sync_membership(&club.id, &club.ada, MEMBERS).await;
    assert_eq!(answer.status, 404);
    assert_eq!(club.live(&club.id, &club.ada).await, []);
    club.app.database.remove().await;
}

/// Everything that the membership hangs on is pulled, too.
#[tokio::test]
async fn a_membership_of_strangers_brings_both_along() {
    let club = Club::new().await.with_newcomer();
    let answer = club.sync_membership(&club.id, &club.bob, MEMBERS).await;
    assert_eq!(pulled(&answer), json!([200, "clerk", true, true]));
    assert_eq!(club.app.row(&club.bob).await["is_placeholder"], false);
    let placeholders = "organizations where is_placeholder";
    assert_eq!(club.app.count(placeholders).await, 0);
    club.app.finish().await;
}

#[tokio::test]
async fn a_membership_is_provisional_while_clerk_is_away_and_then_becomes_real_or_ends() {
    for is_member in [true, false] {
        let club = Club::new().await;
        if is_member {
            club.app.clerk.silently(|clerk| {
                clerk.add_member(&club.id, &club.eve, MEMBERS);
            });
        }
        club.away();
        for role in ["admin", "org:teacher"] {
            let answer = club.sync_membership(&club.id, &club.eve, role).await;
            assert_eq!(pulled(&answer), json!([200, "temporary", false, false]));
            let membership = &answer.body["membership"];
            assert_eq!(membership["isPlaceholder"], true);
            assert_eq!(membership["clerkId"], Value::Null);
            let role = if role == "admin" { ADMINS } else { role };
            assert_eq!(membership["role"], role);
            assert_eq!(
                club.live(&club.id, &club.eve).await,
                [(role.to_owned(), true)]
            );
        }
        // What is known already is not touched.
        let answer = club.sync_membership(&club.id, &club.bob, ADMINS).await;
        assert_eq!(pulled(&answer), json!([200, "database", false, false]));
        assert_eq!(answer.body["membership"]["role"], MEMBERS);
        club.app.clerk.clear_faults();
        let answer = club.sync_membership(&club.id, &club.eve, ADMINS).await;
        assert_eq!(answer.status, if is_member { 200 } else { 404 });
        let expected = is_member.then(|| (MEMBERS.to_owned(), false));
        let live = club.live(&club.id, &club.eve).await;
        assert_eq!(live, Vec::from_iter(expected));
        club.app.finish().await;
    }
}

/// The same, found out by `reconcile` alone.
#[tokio::test]
async fn a_provisional_membership_is_settled_by_reconcile() {
    let club = Club::new().await.with_newcomer();
    let club_of_eve = club.id.clone();
    club.away();
    for user in [&club.bob, &club.eve] {
        let answer = club.sync_membership(&club_of_eve, user, ADMINS).await;
        assert_eq!(pulled(&answer), json!([200, "temporary", false, false]));
    }
    club.app.clerk.clear_faults();
    club.app.finish().await;
}

/// An admin's word does not bring back the dead.
#[tokio::test]
async fn nobody_becomes_a_member_of_what_is_gone() {
    let club = Club::new().await;
    club.app.clerk.delete_organization(&club.id);
    club.app.clerk.delete_user(&club.eve);
    let id = made(&club.app.clerk, "Guild", &club.ada);
    club.app.deliver_all().await;
    club.away();
    for (id, user) in [(&club.id, &club.bob), (&id, &club.eve)] {
        let answer = club.sync_membership(id, user, MEMBERS).await;
        assert_eq!(answer.status, 404, "{}", answer.body);
    }
    club.app.clerk.clear_faults();
    club.app.finish().await;
}

/// A sandbox of its own.
fn gate_of(app: &TestApp) -> Gate {
    Gate::from_settings(&settings_of(&app.clerk, &app.database.url, &[]))
}

async fn call_at(gate: &Gate, call: &Call) -> Answer {
    let handler = |request| sync_user::handle(gate, request);
    Answer::read(&http::answer(call.event(), &handler).await)
}

#[tokio::test]
async fn the_same_wish_at_once_in_two_sandboxes_is_granted_twice() {
    let club = Club::new().await;
    let gates = [gate_of(&club.app), gate_of(&club.app)];
    let newcomer = club.app.clerk.silently(|clerk| {
        let user = clerk.create_user(json!({ "email": "new@example.com" }));
        let new = user["id"].as_str().unwrap().to_owned();
        made(clerk, "Guild", &new);
        clerk.add_member(&club.id, &new, MEMBERS);
        EVERYTHING(clerk, &club);
        new
    });
    let members = format!("organization/{}/members", club.id);
    let wishes = [
        (&newcomer, "user"),
        (&club.bob, "user"),
        (&club.bob, members.as_str()),
        (&club.ada, members.as_str()),
    ];
    for (user, path) in wishes {
        let token = club.app.clerk.session_token(user);
        let call = call_of("POST", path, None).token(&token);
        let (one, two) = tokio::join!(call_at(&gates[0], &call), call_at(&gates[1], &call));
        for answer in [one, two] {
            assert_eq!(answer.status, 200, "{path}: {}", answer.body);
            assert_eq!(answer.body["source"], "clerk", "{path}");
        }
    }
    let n_rows = club
        .app
        .count(&format!("users where clerk_id = '{newcomer}'"))
        .await;
    assert_eq!(n_rows, 1);
    club.app.assert_equal().await;
    club.app.finish().await;
}

/// A trigger that spoils what is written to a table.
async fn spoil(app: &TestApp, table: &str, when: &str, what: &str) {
    app.execute(&format!(
        "create function spoil() returns trigger language plpgsql as $$ begin {what} end $$;
        create trigger spoil before {when} on {table} for each row execute function spoil()"
    ))
    .await;
}

/// What the database made of it is not what Clerk showed: nobody is told that it is.
#[tokio::test]
async fn what_is_read_back_otherwise_is_not_verified() {
    let name = "new.last_name := 'Other'; return new;";
    let slug = "new.slug := 'other'; return new;";
    let role = "new.role := 'org:other'; return new;";
    let nothing = "return null;";
    let all = |club: &Club| {
        vec![
            "user".to_owned(),
            format!("organization/{}/members", club.id),
        ]
    };
    let user: fn(&Club) -> Vec<String> = |_| vec!["user".to_owned()];
    let organization: fn(&Club) -> Vec<String> = |club| {
        vec![
            "user".to_owned(),
            format!("organization/{}", club.id),
            format!("organization/{}/members", club.id),
        ]
    };
    let cases = [
        ("users", name, user),
        ("organizations", slug, organization),
        ("memberships", role, all),
        ("users", nothing, user),
        ("organizations", nothing, organization),
        ("memberships", nothing, all),
    ];
    for (table, what, paths) in cases {
        let club = Club::new().await;
        club.app.clerk.silently(|clerk| {
            RENAMED_USER(clerk, &club);
            RENAMED_ORGANIZATION(clerk, &club);
            OTHER_ROLE(clerk, &club);
        });
        let before = if table == "memberships" || what == name || what == slug {
            "update"
        } else {
            // Other columns of the same row have to be written on the way.
            "update of clerk_version"
        };
        spoil(&club.app, table, before, what).await;
        for path in paths(&club) {
            let answer = club.app.sync(&club.bob, &path).await;
            assert_eq!(
                answer.status, 200,
                "{table}, {what} {path}: {}",
                answer.body
            );
            assert_eq!(answer.body["verified"], false, "{table}, {what} {path}");
        }
        if table == "memberships" {
            let answer = club.sync_membership(&club.id, &club.bob, MEMBERS).await;
            assert_eq!(answer.body["verified"], false, "{what}");
        }
        club.app.database.remove().await;
    }
}

/// A new row that the database swallows is no success either.
#[tokio::test]
async fn a_new_row_that_is_not_there_afterwards_is_not_verified() {
    for table in ["users", "organizations", "memberships"] {
        let club = Club::new().await.with_newcomer();
        spoil(&club.app, table, "insert", "return null;").await;
        let answer = club.app.sync(&club.bob, "user").await;
        let is_told = answer.status >= 500 || answer.body["verified"] == false;
        assert!(is_told, "{table}: {} {}", answer.status, answer.body);
        club.app.database.remove().await;
    }
}

#[tokio::test]
async fn the_status_tells_what_is_pending_and_asks_nobody() {
    let club = Club::new().await;
    let nothing = json!({
        "user": false, "role": false, "organizations": false, "memberships": 0, "events": 0,
    });
    club.app.clerk.clear_requests();
    let status = club.app.sync_status(&club.bob).await;
    assert_eq!(status["pending"], nothing);
    assert_eq!(status["user"]["clerkId"], json!(club.bob));
    assert_eq!(status["organizations"][0]["clerkId"], json!(club.id));
    assert_eq!(status["memberships"][0]["role"], MEMBERS);
    for at in [
        &status["user"]["confirmedAt"],
        &status["organizations"][0]["confirmedAt"],
        &status["memberships"][0]["confirmedAt"],
        &status["organizationsConfirmedAt"],
    ] {
        assert!(at.is_string(), "{status}");
    }
    // A role on its way, flags, and an event that waits.
    club.app.clerk.fault(Fault::status(503).on("PATCH", "/v1"));
    let set = club
        .app
        .set_role(&club.grace, &club.bob, json!({ "role": "INSTRUCTOR" }));
    assert_eq!(set.await.body["clerkSync"], "pending");
    club.app.clerk.clear_requests();
    club.app
        .execute(
            "update users set refetch_at = now(), organizations_refetch_at = now();
            update memberships set refetch_at = now();
            insert into inbox (svix_id, event_type, object_id, outcome, rule, detail)
            select 'msg_' || clerk_id, 'user.updated', clerk_id, 'parked', 'R2', '{}' from users",
        )
        .await;
    let status = club.app.sync_status(&club.bob).await;
    let all = json!({
        "user": true, "role": true, "organizations": true, "memberships": 1, "events": 1,
    });
    assert_eq!(status["pending"], all);
    assert_eq!(club.app.clerk.requests().len(), 0, "the row is fresh");
    club.app.clerk.clear_faults();
    // A pull settles all but the role, which goes the other way.
    let answer = club.app.sync(&club.bob, "user").await;
    assert_eq!(pulled(&answer), json!([200, "clerk", true, true]));
    let status = club.app.sync_status(&club.bob).await;
    let role = json!({
        "user": false, "role": true, "organizations": false, "memberships": 0, "events": 0,
    });
    assert_eq!(status["pending"], role);
    club.app.settle().await;
    assert_eq!(club.app.sync_status(&club.bob).await["pending"], nothing);
    club.app.finish().await;
}

/// A club with so many more members, of whom Clerk has told nobody.
async fn crowd(n: usize) -> (Club, String, Vec<String>) {
    let club = Club::new().await;
    let members = join(&club, n, "first");
    let path = format!("organization/{}/members", club.id);
    (club, path, members)
}

/// So many new users become members, and nobody is told.
fn join(club: &Club, n: usize, name: &str) -> Vec<String> {
    let user = |n| json!({ "email": format!("{name}{n}@example.com"), "role": "STUDENT" });
    let users = club.app.clerk.seed_silently((0..n).map(user).collect());
    let id = |user: &Value| user["id"].as_str().unwrap().to_owned();
    let users: Vec<_> = users.iter().map(id).collect();
    club.app.clerk.silently(|clerk| {
        for user in &users {
            clerk.add_member(&club.id, user, MEMBERS);
        }
    });
    users
}

fn list_of(club: &Club) -> String {
    format!("/v1/organizations/{}/memberships", club.id)
}

/// The places from which Clerk was asked for members.
fn offsets(club: &Club) -> Vec<u64> {
    let list = list_of(club);
    let requests = club.app.clerk.requests();
    let pages = requests.iter().filter(|call| call.path == list);
    let offset = |query: &str| {
        let offset = query.split('&').find_map(|it| it.strip_prefix("offset="));
        offset.map_or(0, |text| text.parse().unwrap())
    };
    let is_page = |query: &str| !query.contains("user_id");
    pages
        .filter(|call| is_page(&call.query))
        .map(|call| offset(&call.query))
        .collect()
}

#[tokio::test]
async fn all_pages_of_members_are_pulled_and_who_left_is_ended_and_counted() {
    let (club, path, members) = crowd(1_100).await;
    let n_all = 1_102;
    for expected in [
        json!({ "total": n_all, "synced": n_all, "ended": 0 }),
        json!({ "total": n_all - 30, "synced": n_all - 30, "ended": 30 }),
    ] {
        club.app.clerk.clear_requests();
        let answer = club.app.sync(&club.bob, &path).await;
        assert_eq!(pulled(&answer), json!([200, "clerk", true, true]));
        assert_eq!(answer.body["members"], expected);
        assert_eq!(offsets(&club), [0, 500, 1_000]);
        let live = club.app.count("memberships where deleted_at is null").await;
        assert_eq!(json!(live), expected["total"]);
        club.app.clerk.silently(|clerk| {
            for member in &members[500..530] {
                if clerk.membership(&club.id, member).is_some() {
                    clerk.remove_member(&club.id, member);
                }
            }
        });
    }
    club.app.finish().await;
}

/// One page fails in the middle: `reconcile` goes on from there.
#[tokio::test]
async fn a_members_walk_that_stops_in_the_middle_goes_on_from_there() {
    for is_known in [true, false] {
        let mut club = Club::new().await;
        if !is_known {
            club = club.with_newcomer();
        }
        let members = join(&club, 1_300, "member");
        let path = format!("organization/{}/members", club.id);
        if is_known {
            let answer = club.app.sync(&club.bob, &path).await;
            assert_eq!(answer.status, 200);
            club.app.settle().await;
        }
        club.app.clerk.silently(|clerk| {
            let leavers = members[..3].iter().chain(&members[900..903]);
            for member in leavers.filter(|_| is_known) {
                clerk.remove_member(&club.id, member);
            }
        });
        let list = list_of(&club);
        let first = Fault::slow(Duration::from_millis(1))
            .on("GET", &list)
            .once();
        club.app.clerk.fault(first);
        club.app
            .clerk
            .fault(Fault::rate_limited(60).on("GET", &list));
        let answer = club.app.sync(&club.grace, &path).await;
        assert_eq!(pulled(&answer), json!([202, "clerk", false, false]));
        assert_eq!(answer.body["members"]["synced"], 500);
        assert_eq!(answer.body["members"]["ended"], 0, "nobody knows yet");
        club.app.clerk.clear_faults();
        club.app.clerk.clear_requests();
        club.app.forget_waits().await;
        club.app.reconcile().await;
        assert_eq!(offsets(&club), [500, 1_000]);
        club.app.finish().await;
    }
}

/// Clerk's list moves under the walk: whoever was not shown is asked about, and nobody who lives
/// is ended.
#[tokio::test]
async fn members_who_come_and_go_between_two_pages_are_neither_lost_nor_kept() {
    let (club, path, members) = crowd(1_200).await;
    club.app.sync(&club.bob, &path).await;
    club.app.settle().await;
    club.app.clerk.advance(Duration::from_secs(1));
    let list = list_of(&club);
    let first = Fault::slow(Duration::from_millis(300))
        .on("GET", &list)
        .once();
    club.app.clerk.fault(first);
    club.app.clerk.clear_requests();
    let change = async {
        // Read already, and answered late.
        while offsets(&club).is_empty() {
            tokio::task::yield_now().await;
        }
        club.app.clerk.silently(|clerk| {
            // The second page begins 40 places later than it did.
            for member in &members[..40] {
                clerk.remove_member(&club.id, member);
            }
            join(&club, 5, "late");
            // Gone and back, after the page that showed them.
            clerk.remove_member(&club.id, &members[100]);
            clerk.add_member(&club.id, &members[100], ADMINS);
        });
    };
    let (answer, ()) = tokio::join!(club.app.sync(&club.bob, &path), change);
    assert_eq!(answer.status, 200, "{}", answer.body);
    let n_ended = club
        .app
        .count("memberships where deleted_at is not null")
        .await;
    assert!(n_ended <= 41, "{n_ended}");
    let live: Vec<_> = members[40..]
        .iter()
        .filter(|member| **member != members[100])
        .cloned()
        .collect();
    let statement = "
        select count(*)
        from memberships m
        join users u on u.id = m.user_id
        where u.clerk_id = any($1) and m.deleted_at is null";
    let n_live = club.app.sql.query_one(statement, &[&live]).await.unwrap();
    assert_eq!(n_live.get::<_, i64>(0), 1_159, "nobody who lives is ended");
    // What was shown before it changed is found by the next walk.
    let answer = club.app.sync(&club.bob, &path).await;
    assert_eq!(pulled(&answer), json!([200, "clerk", true, true]));
    club.app.finish().await;
}

/// More members do not take more memory: no more than a page is held at once.
#[tokio::test]
async fn twenty_thousand_members_fit_into_one_function() {
    let n_members = n_members();
    let club = Club::new().await;
    let path = format!("organization/{}/members", club.id);
    club.app
        .clerk
        .seed_silently_members(&club.id, n_members, MEMBERS);
    // What a page takes stays with the process.
    let before = club
        .app
        .sync(&club.bob, &format!("organization/{}", club.id))
        .await;
    assert_eq!(before.status, 200);
    forget_peak();
    let resident = memory("VmRSS");
    let begun = Instant::now();
    let mut answer = club.app.sync(&club.bob, &path).await;
    let took = begun.elapsed();
    let mut n_ticks = 0;
    while answer.status == 202 {
        n_ticks += 1;
        club.app.reconcile().await;
        let status = club
            .app
            .count("organizations where members_refetch_at is not null")
            .await;
        if status == 0 {
            break;
        }
        answer = Answer {
            status: 202,
            ..answer
        };
    }
    let growth = memory("VmHWM").saturating_sub(resident);
    let told = format!("{n_members} members: {took:?}, {n_ticks} more ticks, {growth} KiB");
    let live = club.app.count("memberships where deleted_at is null").await;
    assert_eq!(usize::try_from(live).unwrap(), n_members + 2);
    assert!(growth < 32 * 1024, "{told}");
    club.app.database.remove().await;
}

/// How many members the large club has; `MEMBERS_WALKED` makes it larger.
#[expect(
    clippy::disallowed_methods,
    reason = "how long a test may take is no setting of ours"
)]
fn n_members() -> usize {
    std::env::var("MEMBERS_WALKED").map_or(2_000, |text| text.parse().expect("a number"))
}

/// A line of what Linux tells of this process, in KiB.
fn memory(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let mut words = line.expect("the line is there").split_whitespace();
    words.find_map(|word| word.parse().ok()).unwrap()
}

/// The peak is counted from now on.
fn forget_peak() {
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
}

impl Club {
    /// Bob and the club are others of whom Clerk has told nobody: a newcomer and theirs.
    fn with_newcomer(mut self) -> Self {
        let (bob, id) = self.app.clerk.silently(|clerk| {
            let user = clerk.create_user(json!({ "email": "new@example.com" }));
            let bob = user["id"].as_str().unwrap().to_owned();
            let id = made(clerk, "Guild", &bob);
            (bob, id)
        });
        self.bob = bob;
        self.id = id;
        self
    }
}

impl TestApp {
    /// What the status route tells somebody.
    async fn sync_status(&self, user: &str) -> Value {
        let call = call_of("GET", "status", None).token(&self.clerk.session_token(user));
        let answer = self.call_sync_user(&call).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.body
    }
}
