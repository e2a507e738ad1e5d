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
    };
    let newer = DECIDED_AT + 1;
    assert_eq!(merge(known(Some("ADMIN")), None, newer).role, Role::Student);
    assert_eq!(merge(known(Some("")), None, newer).role, Role::Instructor);
    assert_eq!(merge(known(None), None, newer).role, Role::Instructor);
}
