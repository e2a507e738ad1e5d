use jiff::Timestamp;
use serde_json::json;

use super::*;

/// When the role of these tests was decided, in ms.
const DECIDED_AT: i64 = 1_000_000;

fn push(sent_role: Option<&str>) -> Push {
    Push {
        id: 7,
        decided_at: Timestamp::from_millisecond(DECIDED_AT).unwrap(),
        sent_role: sent_role.map(str::to_owned),
    }
}

const COMPLETE: Option<PushChange> = Some(PushChange::Complete { id: 7 });
const CANCEL: Option<PushChange> = Some(PushChange::Cancel { id: 7 });

#[test]
fn without_a_push_what_changed_in_clerk_is_taken() {
    use Role::{Admin, Instructor, Student};
    let check = |ours: Role, base: Option<&str>, theirs: Value, expected: (Role, Option<&str>)| {
        let merged = merge(
            Known {
                ours,
                base,
                push: None,
                yields: false,
            },
            Some(&theirs),
            1,
        );
        let found = (merged.role, merged.base.as_deref());
        assert_eq!(found, expected, "{ours} {base:?} {theirs}");
    };
    // Theirs changed.
    check(Student, None, json!("ADMIN"), (Admin, Some("ADMIN")));
    check(
        Student,
        Some("STUDENT"),
        json!("INSTRUCTOR"),
        (Instructor, Some("INSTRUCTOR")),
    );
    check(
        Admin,
        Some("ADMIN"),
        json!("STUDENT"),
        (Student, Some("STUDENT")),
    );
    check(
        Admin,
        Some(""),
        json!("INSTRUCTOR"),
        (Instructor, Some("INSTRUCTOR")),
    );
    // Only ours changed.
    check(
        Admin,
        Some("STUDENT"),
        json!("STUDENT"),
        (Admin, Some("STUDENT")),
    );
    check(
        Student,
        Some("ADMIN"),
        json!("ADMIN"),
        (Student, Some("ADMIN")),
    );
    // Case and blanks aside.
    check(
        Student,
        Some("STUDENT"),
        json!(" Admin "),
        (Admin, Some(" Admin ")),
    );
    check(Admin, Some("ADMIN"), json!("admin"), (Admin, Some("admin")));
}

#[test]
fn a_role_that_is_none_fails_closed() {
    for theirs in [
        json!("OWNER"),
        json!(""),
        json!(1),
        json!(true),
        json!(["ADMIN"]),
        json!({}),
    ] {
        let known = Known {
            ours: Role::Admin,
            base: Some("ADMIN"),
            push: None,
            yields: false,
        };
        let merged = merge(known, Some(&theirs), 1);
        assert_eq!(merged.role, Role::Student, "{theirs}");
        assert!(merged.is_unknown, "{theirs}");
        assert_eq!(
            merged.push, None,
            "what a person wrote in Clerk is not overwritten"
        );
    }
    let text = merge(
        Known {
            ours: Role::Admin,
            base: None,
            push: None,
            yields: false,
        },
        Some(&json!("Boss")),
        1,
    );
    assert_eq!(text.base.as_deref(), Some("Boss"), "the drift can be seen");
}

#[test]
fn absent_in_clerk() {
    let check = |base: Option<&str>, expected: (Role, Option<&str>, Option<PushChange>)| {
        for theirs in [None, Some(json!(null))] {
            let known = Known {
                ours: Role::Instructor,
                base,
                push: None,
                yields: false,
            };
            let merged = merge(known, theirs.as_ref(), 1);
            assert_eq!(
                (merged.role, merged.base.as_deref(), merged.push),
                expected,
                "{base:?}"
            );
        }
    };
    // Never seen there: ours is kept, and goes there.
    check(None, (Role::Instructor, None, Some(PushChange::Open)));
    // Seen there before: the default.
    check(Some("INSTRUCTOR"), (Role::Student, Some(""), None));
    // Still absent: nothing new.
    check(Some(""), (Role::Instructor, Some(""), None));
}

#[test]
fn while_a_push_is_open() {
    use Role::{Admin, Instructor, Student};
    let check =
        |sent: Option<&str>, theirs: Value, version: i64, expected: (Role, Option<PushChange>)| {
            let push = push(sent);
            let known = Known {
                ours: Instructor,
                base: Some("STUDENT"),
                push: Some(&push),
                yields: false,
            };
            let merged = merge(known, Some(&theirs), version);
            assert_eq!(
                (merged.role, merged.push),
                expected,
                "{sent:?} {theirs} {version}"
            );
        };
    let (older, newer) = (DECIDED_AT - 1, DECIDED_AT + 1);
    // Clerk has it: nothing is owed any more.
    check(
        Some("INSTRUCTOR"),
        json!("INSTRUCTOR"),
        newer,
        (Instructor, COMPLETE),
    );
    check(None, json!("instructor"), older, (Instructor, COMPLETE));
    // Unless an older role of ours may still arrive there after it.
    check(
        Some("ADMIN"),
        json!("INSTRUCTOR"),
        newer,
        (Instructor, None),
    );
    // Nothing new in Clerk.
    check(None, json!("STUDENT"), newer, (Instructor, None));
    // An incoming role older than the push does not overwrite it; one of the same moment neither.
    check(None, json!("ADMIN"), older, (Instructor, None));
    check(None, json!("ADMIN"), DECIDED_AT, (Instructor, None));
    // A newer one does.
    check(None, json!("ADMIN"), newer, (Admin, CANCEL));
    check(Some("INSTRUCTOR"), json!("ADMIN"), newer, (Admin, CANCEL));
    check(None, json!("OWNER"), newer, (Student, CANCEL));
    // The echo of an older push of ours is no change of theirs.
    check(Some("ADMIN"), json!("ADMIN"), newer, (Instructor, None));
}

#[test]
fn a_role_removed_in_clerk_while_a_push_is_open() {
    let push = push(None);
    let known = |base| Known {
        ours: Role::Instructor,
        base,
        push: Some(&push),
        yields: false,
    };
    let newer = DECIDED_AT + 1;
    assert_eq!(merge(known(Some("ADMIN")), None, newer).role, Role::Student);
    assert_eq!(merge(known(Some("")), None, newer).role, Role::Instructor);
    assert_eq!(merge(known(None), None, newer).role, Role::Instructor);
}

/// R12: nobody who knew the user has decided what Clerk says of the account that they come to.
#[test]
fn a_role_is_kept_for_the_account_that_a_user_comes_to() {
    use Role::{Admin, Student};
    let check = |ours: Role, theirs: Option<Value>, expected: Option<PushChange>| {
        for base in [None, Some("INSTRUCTOR"), Some("ADMIN"), Some("")] {
            let known = Known {
                ours,
                base,
                push: None,
                yields: false,
            };
            let kept = keep(known, theirs.as_ref());
            assert_eq!(kept.role, ours, "{base:?} {theirs:?}");
            assert_eq!(kept.push, expected, "{ours} {base:?} {theirs:?}");
            assert!(!kept.is_unknown);
        }
    };
    let open = Some(PushChange::Open);
    // Clerk has none there, or another one: ours goes there.
    check(Admin, None, open);
    check(Admin, Some(json!(null)), open);
    check(Admin, Some(json!("STUDENT")), open);
    check(Student, Some(json!("ADMIN")), open);
    check(Student, Some(json!("OWNER")), open);
    check(Student, Some(json!(["ADMIN"])), open);
    // It has ours already, case and blanks aside.
    check(Admin, Some(json!("ADMIN")), None);
    check(Admin, Some(json!(" admin ")), None);
}

/// The base is what the new account says, and nothing of the old one: what changes there afterwards
/// is a change of theirs.
#[test]
fn the_base_of_a_kept_role_is_what_the_new_account_says() {
    let check = |theirs: Option<Value>, expected: Option<&str>| {
        let known = Known {
            ours: Role::Admin,
            base: Some("INSTRUCTOR"),
            push: None,
            yields: false,
        };
        let kept = keep(known, theirs.as_ref());
        assert_eq!(kept.base.as_deref(), expected, "{theirs:?}");
        // The same again is nothing new, and takes nothing back.
        let again = Known {
            ours: kept.role,
            base: kept.base.as_deref(),
            push: None,
            yields: false,
        };
        let merged = merge(again, theirs.as_ref(), 2);
        assert_eq!(merged.role, Role::Admin, "{theirs:?}");
        // Another one is.
        let merged = merge(again, Some(&json!("INSTRUCTOR")), 3);
        assert_eq!(merged.role, Role::Instructor, "{theirs:?}");
    };
    check(None, None);
    check(Some(json!("STUDENT")), Some("STUDENT"));
    check(Some(json!("ADMIN")), Some("ADMIN"));
    check(Some(json!("OWNER")), Some("OWNER"));
}

/// R9: what was owed to the old account is owed to the new one, unless that has it.
#[test]
fn an_open_push_goes_along_to_the_new_account() {
    for sent in [None, Some("ADMIN"), Some("STUDENT")] {
        let push = push(sent);
        let known = Known {
            ours: Role::Instructor,
            base: Some("STUDENT"),
            push: Some(&push),
            yields: false,
        };
        for theirs in [None, Some(json!("STUDENT")), Some(json!("ADMIN"))] {
            let kept = keep(known, theirs.as_ref());
            let found = (kept.role, kept.push);
            assert_eq!(found, (Role::Instructor, None), "{sent:?} {theirs:?}");
        }
        // What was sent to the old account never arrives here.
        let kept = keep(known, Some(&json!("INSTRUCTOR")));
        assert_eq!(
            (kept.role, kept.push),
            (Role::Instructor, COMPLETE),
            "{sent:?}"
        );
    }
}

/// What Clerk shows of an account for the last time, against what it showed before.
#[test]
fn a_role_that_was_given_since_is_told_from_one_that_was_not() {
    use Role::{Admin, Student};
    let check = |base: Option<&str>, theirs: Option<Value>, expected: Option<Role>| {
        let given = given_since(base, theirs.as_ref());
        assert_eq!(given, expected, "{base:?} {theirs:?}");
    };
    // Nothing new, case and blanks aside.
    check(Some("ADMIN"), Some(json!("ADMIN")), None);
    check(Some("ADMIN"), Some(json!(" admin ")), None);
    check(None, None, None);
    check(Some(ABSENT), None, None);
    // Given, or taken away.
    check(None, Some(json!("ADMIN")), Some(Admin));
    check(Some(ABSENT), Some(json!("ADMIN")), Some(Admin));
    check(Some("ADMIN"), Some(json!("STUDENT")), Some(Student));
    check(Some("ADMIN"), None, Some(Student));
    check(Some("ADMIN"), Some(json!(null)), Some(Student));
    // What is no role fails closed.
    check(Some("ADMIN"), Some(json!("OWNER")), Some(Student));
}
