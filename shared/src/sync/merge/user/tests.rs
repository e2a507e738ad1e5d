use serde_json::json;

use super::*;
use crate::db::outbox::Push;

const VERSION: i64 = 1_700_000_000_000;

#[expect(
    clippy::needless_pass_by_value,
    reason = "tests write the patch in place"
)]
fn user(patch: Value) -> clerk::User {
    let mut user = json!({
        "id": "user_ada",
        "first_name": "Ada",
        "primary_email_address_id": "idn_2",
        "email_addresses": [
            { "id": "idn_1", "email_address": "old@example.com", "verification": { "status": "verified" } },
            { "id": "idn_2", "email_address": "ada@example.com", "verification": { "status": "verified" } },
        ],
        "public_metadata": { "role": "STUDENT", "n": 1 },
        "created_at": VERSION,
        "updated_at": VERSION,
    });
    for (key, value) in patch.as_object().unwrap() {
        user[key] = value.clone();
    }
    serde_json::from_value(user).unwrap()
}

fn known(row: Row) -> Current {
    Current {
        is_recorded: false,
        row: Some(Row {
            row_version: Some("1".to_owned()),
            ..row
        }),
        placeholder: None,
        email_change: None,
        unfinished_move: None,
        push: None,
    }
}

fn nothing() -> Current {
    Current {
        is_recorded: false,
        row: None,
        placeholder: None,
        email_change: None,
        unfinished_move: None,
        push: None,
    }
}

fn row() -> Row {
    merge(&nothing(), &user(json!({})), Origin::Event).row
}

#[test]
fn an_unknown_user_becomes_a_row() {
    let merged = merge(&nothing(), &user(json!({})), Origin::Event);
    assert_eq!(merged.verdict, Verdict::Applied);
    assert_eq!(merged.row.clerk_version, VERSION);
    assert_eq!(merged.row.email.as_deref(), Some("ada@example.com"));
    assert_eq!(merged.row.created_at.as_millisecond(), VERSION);
    assert!(!merged.row.is_placeholder);
}

#[test]
fn versions_decide() {
    let check = |offset: i64, patch: Value, origin: Origin, expected: Verdict| {
        let mut seen = user(patch);
        seen.updated_at = Some(VERSION + offset);
        let merged = merge(&known(row()), &seen, origin);
        assert_eq!(merged.verdict, expected, "{offset} {origin:?}");
        let is_written = expected == Verdict::Applied;
        let name = if is_written { "Grace" } else { "Ada" };
        if seen.first_name.as_deref() == Some("Grace") {
            assert_eq!(
                merged.row.first_name.as_deref(),
                Some(name),
                "{offset} {origin:?}"
            );
        }
    };
    let renamed = || json!({ "first_name": "Grace" });
    for origin in [Origin::Event, Origin::Answer, Origin::Read] {
        check(1, renamed(), origin, Verdict::Applied);
        check(-1, renamed(), origin, Verdict::Stale);
        check(0, json!({}), origin, Verdict::Unchanged);
    }
    // Equal and different: nobody guesses, and Clerk's word is final.
    check(0, renamed(), Origin::Event, Verdict::Doubtful);
    check(0, renamed(), Origin::Answer, Verdict::Doubtful);
    check(0, renamed(), Origin::Read, Verdict::Applied);
}

#[test]
fn a_tombstone_is_final() {
    let deleted_at = Some(Timestamp::now());
    let seen = user(json!({ "updated_at": VERSION + 1_000_000 }));
    for origin in [Origin::Event, Origin::Answer, Origin::Read] {
        let merged = merge(
            &known(Row {
                deleted_at,
                ..row()
            }),
            &seen,
            origin,
        );
        assert_eq!((merged.verdict, merged.rule), (Verdict::Stale, "R3"));
        assert_eq!(merged.row.deleted_at, deleted_at);
    }
}

#[test]
fn the_end_of_a_user_never_seen_is_remembered() {
    let id: ClerkUserId = "user_ada".parse().unwrap();
    let merged = bury(&nothing(), &id, Timestamp::now());
    assert!(merged.row.deleted_at.is_some() && merged.row.is_placeholder);
    assert_eq!(merged.row.clerk_id, Some(id));
}

#[test]
fn the_end_of_a_user_cancels_what_is_owed() {
    let push = Push {
        id: 3,
        decided_at: Timestamp::now(),
        sent_role: None,
    };
    let current = Current {
        push: Some(push),
        ..known(row())
    };
    let merged = bury(&current, &"user_ada".parse().unwrap(), Timestamp::now());
    assert_eq!(merged.push, Some(PushChange::Cancel { id: 3 }));
}

#[test]
fn an_adopted_row_keeps_its_role_unless_clerk_has_one() {
    let unlinked = Row {
        clerk_id: None,
        clerk_version: 0,
        clerk_role: None,
        role: Role::Instructor,
        ..row()
    };
    let silent = user(json!({ "public_metadata": {} }));
    let merged = merge(&known(unlinked.clone()), &silent, Origin::Event);
    assert_eq!((merged.rule, merged.row.role), ("R5", Role::Instructor));
    assert_eq!(merged.push, Some(PushChange::Open));
    let outspoken = user(json!({ "public_metadata": { "role": "ADMIN" } }));
    assert_eq!(
        merge(&known(unlinked), &outspoken, Origin::Event).row.role,
        Role::Admin
    );
}

#[test]
fn what_postgres_writes_in_its_own_way_is_the_same() {
    let seen = user(json!({ "public_metadata": { "role": "STUDENT", "n": 1.0 } }));
    let merged = merge(&known(row()), &seen, Origin::Event);
    assert_eq!(merged.verdict, Verdict::Unchanged);
}

#[test]
fn no_nul_reaches_postgres() {
    let seen = user(json!({
        "first_name": "A\u{0}da",
        "public_metadata": { "k\u{0}": ["\u{0}"], "role": "x\u{0}" },
    }));
    let row = merge(&nothing(), &seen, Origin::Answer).row;
    let text = serde_json::to_string(&row).unwrap();
    assert!(!text.contains("\\u0000"), "{text}");
}

#[test]
fn a_newer_object_settles_a_doubt() {
    let flagged = Row {
        refetch_at: Some(Timestamp::now()),
        n_refetches: 4,
        ..row()
    };
    let seen = user(json!({ "updated_at": VERSION + 1 }));
    let merged = merge(&known(flagged.clone()), &seen, Origin::Event);
    assert_eq!((merged.row.refetch_at, merged.row.n_refetches), (None, 0));
    let stale = user(json!({ "updated_at": VERSION - 1 }));
    assert!(
        merge(&known(flagged), &stale, Origin::Event)
            .row
            .refetch_at
            .is_some()
    );
}

#[test]
fn an_equal_event_does_not_settle_a_doubt_and_a_read_does() {
    let flagged = Row {
        refetch_at: Some(Timestamp::now()),
        n_refetches: 4,
        ..row()
    };
    for origin in [Origin::Event, Origin::Answer] {
        let merged = merge(&known(flagged.clone()), &user(json!({})), origin);
        assert_eq!(merged.verdict, Verdict::Unchanged);
        assert!(merged.row.refetch_at.is_some(), "{origin:?}");
    }
    let read = merge(&known(flagged), &user(json!({})), Origin::Read);
    assert_eq!(
        (read.verdict, read.row.refetch_at),
        (Verdict::Unchanged, None)
    );
}

#[test]
fn the_later_sign_in_is_the_true_one_whatever_the_version() {
    let signed_in = |ms: i64| user(json!({ "last_sign_in_at": VERSION + ms }));
    let row = merge(&nothing(), &signed_in(5), Origin::Event).row;
    let later = merge(&known(row.clone()), &signed_in(9), Origin::Event);
    assert_eq!(
        (later.verdict, later.changed),
        (Verdict::Applied, vec!["last_sign_in_at"])
    );
    let earlier = merge(&known(row), &signed_in(2), Origin::Event);
    assert_eq!(earlier.verdict, Verdict::Unchanged);
    assert_eq!(earlier.row.last_sign_in_at, timestamp(VERSION + 5));
}

/// A row of another account, to which the user who is seen was invited by a change of address.
fn invited(row: Row) -> (Current, Uuid) {
    let change = Uuid::new_v4();
    let row = Row {
        clerk_id: Some("user_old".parse().unwrap()),
        // By another account's count: it says nothing here.
        clerk_version: VERSION + 1_000_000,
        ..row
    };
    let current = Current {
        email_change: Some(change),
        ..known(row)
    };
    (current, change)
}

#[test]
fn a_row_moves_to_the_account_that_was_invited() {
    let before = Row {
        email: Some("old@example.com".to_owned()),
        role: Role::Instructor,
        clerk_role: Some("INSTRUCTOR".to_owned()),
        builder_group_id: Some("group-1".to_owned()),
        refetch_at: Some(Timestamp::now()),
        n_refetches: 3,
        ..row()
    };
    let (current, change) = invited(before.clone());
    let seen = user(json!({ "first_name": "Augusta", "public_metadata": { "n": 2 } }));
    for origin in [Origin::Event, Origin::Answer, Origin::Read] {
        let merged = merge(&current, &seen, origin);
        assert_eq!((merged.verdict, merged.rule), (Verdict::Applied, "R12"));
        let row = merged.row;
        // It is the same row, with what is ours alone.
        assert_eq!((row.id, row.created_at), (before.id, before.created_at));
        assert_eq!(row.role, Role::Instructor);
        assert_eq!(row.builder_group_id.as_deref(), Some("group-1"));
        // The rest is the new account's.
        assert_eq!(row.clerk_id, Some("user_ada".parse().unwrap()));
        assert_eq!(row.email.as_deref(), Some("ada@example.com"));
        assert_eq!(row.first_name.as_deref(), Some("Augusta"));
        assert_eq!((row.clerk_version, row.clerk_role), (VERSION, None));
        // A doubt about the old account is none about this one.
        assert_eq!((row.refetch_at, row.n_refetches), (None, 0));
        assert_eq!(merged.push, Some(PushChange::Open));
        let moves = merged.moves.unwrap();
        assert_eq!(moves.change, change);
        assert_eq!(moves.old_clerk_id, "user_old".parse().unwrap());
        for column in ["clerk_id", "email", "first_name", "clerk_role"] {
            assert!(merged.changed.contains(&column), "{column}");
        }
        assert!(!merged.changed.contains(&"role"), "nobody decided it anew");
    }
}

/// What we know of the old account is kept, whatever the new one has; what it shows at last may be
/// more.
#[test]
fn what_is_known_of_the_old_account_goes_along() {
    let text = |text: &str| Some(text.to_owned());
    let (current, _) = invited(Row {
        first_name: text("Ada"),
        last_name: text("King"),
        external_id: text("student-7"),
        clerk_role: text("INSTRUCTOR"),
        public_metadata: Map::from_iter([
            ("role".to_owned(), json!("INSTRUCTOR")),
            ("theme".to_owned(), json!("dark")),
        ]),
        ..row()
    });
    let expected = Carry {
        first_name: text("Ada"),
        last_name: text("King"),
        external_id: text("student-7"),
        public_metadata: Map::from_iter([("theme".to_owned(), json!("dark"))]),
        clerk_role: text("INSTRUCTOR"),
        is_role_ours: false,
        role: None,
        is_banned: false,
        memberships: None,
        is_given: false,
    };
    let push = Push {
        id: 3,
        decided_at: Timestamp::now(),
        sent_role: None,
    };
    let seen = user(json!({ "first_name": "Augusta", "external_id": "student-8" }));
    for (push, is_role_ours) in [(None, false), (Some(push), true)] {
        let current = Current {
            push,
            ..current.clone()
        };
        let moves = merge(&current, &seen, Origin::Event).moves.unwrap();
        let expected = Carry {
            is_role_ours,
            ..expected.clone()
        };
        assert_eq!(moves.carry, expected);
    }
}

#[test]
fn a_row_that_is_gone_or_has_no_account_does_not_move() {
    let (current, _) = invited(row());
    let buried = Row {
        deleted_at: Some(Timestamp::now()),
        ..current.row.clone().unwrap()
    };
    let merged = merge(
        &Current {
            row: Some(buried),
            ..current.clone()
        },
        &user(json!({})),
        Origin::Event,
    );
    assert_eq!((merged.verdict, merged.rule), (Verdict::Stale, "R3"));
    assert_eq!(merged.moves, None);
    // Without an account it is adopted (R5), and nobody is left behind.
    let unlinked = Row {
        clerk_id: None,
        ..current.row.clone().unwrap()
    };
    let merged = merge(
        &Current {
            row: Some(unlinked),
            ..current
        },
        &user(json!({})),
        Origin::Event,
    );
    assert_eq!((merged.rule, merged.moves), ("R5", None));
}

#[test]
fn what_is_owed_moves_along() {
    let push = Push {
        id: 3,
        decided_at: Timestamp::now(),
        sent_role: None,
    };
    let (current, _) = invited(Row {
        role: Role::Admin,
        ..row()
    });
    let current = Current {
        push: Some(push),
        ..current
    };
    let check = |role: Value, expected: Option<PushChange>| {
        let seen = user(json!({ "public_metadata": { "role": role } }));
        let merged = merge(&current, &seen, Origin::Event);
        assert_eq!((merged.row.role, merged.push), (Role::Admin, expected));
    };
    check(json!(null), None);
    check(json!("STUDENT"), None);
    check(json!("ADMIN"), Some(PushChange::Complete { id: 3 }));
}

/// Clerk's API never says that a directory owns a user; its events do, and so does their silence.
#[test]
fn only_events_say_that_a_directory_lets_a_user_go() {
    let owned = known(Row {
        role_owned_by_directory: true,
        ..row()
    });
    let check = |scim: Option<bool>, origin: Origin, expected: bool| {
        let mut seen = user(json!({ "updated_at": VERSION + 1 }));
        seen.scim = scim.map(|directory_enabled| clerk::Scim { directory_enabled });
        let merged = merge(&owned, &seen, origin);
        let found = merged.row.role_owned_by_directory;
        assert_eq!(found, expected, "{scim:?} {origin:?}");
    };
    for origin in [Origin::Read, Origin::Answer] {
        check(None, origin, true);
    }
    check(None, Origin::Event, false);
    for origin in [Origin::Read, Origin::Answer, Origin::Event] {
        check(Some(true), origin, true);
        check(Some(false), origin, false);
    }
}
