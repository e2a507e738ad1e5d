use serde_json::{Value, json};

use super::*;

const VERSION: i64 = 1_700_000_000_000;
/// When the membership was made.
const MADE: i64 = VERSION - 1_000;

/// `orgmem_2`, of a pair that may have had others.
#[expect(
    clippy::needless_pass_by_value,
    reason = "tests write the patch in place"
)]
fn membership(patch: Value) -> clerk::OrganizationMembership {
    let mut membership = json!({
        "id": "orgmem_2",
        "role": "org:member",
        "permissions": ["org:b", "org:a"],
        "public_metadata": { "n": 1 },
        "organization": { "id": "org_math" },
        "public_user_data": { "user_id": "user_ada" },
        "created_at": MADE,
        "updated_at": VERSION,
    });
    for (key, value) in patch.as_object().unwrap() {
        membership[key] = value.clone();
    }
    serde_json::from_value(membership).unwrap()
}

fn parents() -> Parents {
    let parent = |id| Parent {
        walked_at: None,
        id: Uuid::from_u128(id),
        is_deleted: false,
        is_unknown: false,
    };
    Parents {
        organization: parent(1),
        user: parent(2),
    }
}

fn nothing_known() -> Current {
    Current {
        is_recorded: false,
        organization: Some(parents().organization),
        user: Some(parents().user),
        row: None,
        rival: None,
        last_created_at: None,
    }
}

fn stored(row: Row) -> Row {
    Row {
        row_version: Some("1".to_owned()),
        ..row
    }
}

fn known(row: Row) -> Current {
    Current {
        row: Some(stored(row)),
        ..nothing_known()
    }
}

fn row() -> Row {
    let seen = membership(json!({}));
    let merged = merge(&nothing_known(), parents(), &seen, Origin::Event);
    merged.row.unwrap()
}

fn flagged() -> Row {
    Row {
        refetch_at: Some(Timestamp::now()),
        n_refetches: 4,
        ..row()
    }
}

/// `orgmem_1` of the same pair, live, made so many milliseconds later than `orgmem_2`.
fn rival(offset: i64) -> Row {
    stored(Row {
        id: Uuid::from_u128(3),
        clerk_id: Some("orgmem_1".parse().unwrap()),
        created_at: timestamp(MADE + offset).unwrap(),
        ..row()
    })
}

fn beside(rival: Row) -> Current {
    Current {
        last_created_at: rival.clerk_id.is_some().then_some(rival.created_at),
        rival: Some(rival),
        ..nothing_known()
    }
}

const ORIGINS: [Origin; 3] = [Origin::Event, Origin::Answer, Origin::Read];

#[test]
fn an_unknown_membership_becomes_a_row() {
    for origin in ORIGINS {
        let merged = merge(&nothing_known(), parents(), &membership(json!({})), origin);
        assert_eq!((merged.verdict, merged.rule), (Verdict::Applied, "R1"));
        assert_eq!(merged.ends, None);
        assert_eq!(merged.changed.len(), COLUMNS.len());
        let row = merged.row.unwrap();
        assert_eq!(row.organization_id, parents().organization.id);
        assert_eq!(row.user_id, parents().user.id);
        assert_eq!(row.clerk_id, Some("orgmem_2".parse().unwrap()));
        assert_eq!(row.role, "org:member");
        assert_eq!(row.clerk_version, VERSION);
        assert_eq!(row.created_at.as_millisecond(), MADE);
        assert!(!row.is_placeholder && row.row_version.is_none());
    }
}

#[test]
fn versions_decide() {
    let check = |offset: i64, role: &str, origin: Origin, expected: Verdict| {
        let seen = membership(json!({ "role": role, "updated_at": VERSION + offset }));
        let merged = merge(&known(row()), parents(), &seen, origin);
        let case = format!("{offset} {role} {origin:?}");
        assert_eq!((merged.verdict, merged.rule), (expected, "R2"), "{case}");
        assert_eq!(merged.ends, None);
        let is_written = expected == Verdict::Applied;
        let row = merged.row.unwrap();
        let kept = if is_written { role } else { "org:member" };
        assert_eq!(row.role, kept, "{case}");
        let version = if is_written {
            VERSION + offset
        } else {
            VERSION
        };
        assert_eq!(row.clerk_version, version, "{case}");
    };
    for origin in ORIGINS {
        check(1, "org:admin", origin, Verdict::Applied);
        check(1, "org:member", origin, Verdict::Applied);
        check(-1, "org:admin", origin, Verdict::Stale);
        check(-1, "org:member", origin, Verdict::Stale);
        check(0, "org:member", origin, Verdict::Unchanged);
    }
    // Equal and different: nobody guesses, and Clerk's word is final.
    check(0, "org:admin", Origin::Event, Verdict::Doubtful);
    check(0, "org:admin", Origin::Answer, Verdict::Doubtful);
    check(0, "org:admin", Origin::Read, Verdict::Applied);
}

#[test]
fn every_column_counts() {
    for (column, patch) in [
        ("role", json!({ "role": "org:admin" })),
        ("permissions", json!({ "permissions": ["org:a"] })),
        ("public_metadata", json!({ "public_metadata": {} })),
    ] {
        let seen = membership(patch);
        let in_doubt = merge(&known(row()), parents(), &seen, Origin::Event);
        assert_eq!(in_doubt.verdict, Verdict::Doubtful, "{column}");
        let read = merge(&known(row()), parents(), &seen, Origin::Read);
        assert_eq!(read.changed, [column]);
        assert!(!read.row.unwrap().shows_the_same(&row()), "{column}");
    }
}

#[test]
fn a_tombstone_is_final() {
    let buried = Row {
        deleted_at: Some(Timestamp::now()),
        ..row()
    };
    let seen = membership(json!({ "role": "org:admin", "updated_at": VERSION + 1_000_000 }));
    for origin in ORIGINS {
        let merged = merge(&known(buried.clone()), parents(), &seen, origin);
        assert_eq!((merged.verdict, merged.rule), (Verdict::Stale, "R3"));
        assert_eq!(merged.row, Some(stored(buried.clone())));
        assert_eq!(merged.ends, None);
    }
    let again = bury(&known(buried.clone()), parents(), &seen, Timestamp::now());
    assert_eq!((again.verdict, again.rule), (Verdict::Unchanged, "R3"));
    assert_eq!(again.row, Some(stored(buried)), "the first end counts");
}

#[test]
fn nothing_begins_to_live_in_what_is_gone() {
    let gone = |parent: Parent| Parent {
        is_deleted: true,
        ..parent
    };
    let of_organization = Parents {
        organization: gone(parents().organization),
        ..parents()
    };
    let of_user = Parents {
        user: gone(parents().user),
        ..parents()
    };
    for parents in [of_organization, of_user] {
        for origin in ORIGINS {
            let merged = merge(&nothing_known(), parents, &membership(json!({})), origin);
            assert_eq!((merged.verdict, merged.rule), (Verdict::Stale, "R6"));
            assert_eq!((merged.row, merged.ends), (None, None));
        }
        // An end is an end.
        let seen = membership(json!({}));
        let merged = bury(&nothing_known(), parents, &seen, Timestamp::now());
        assert_eq!(merged.verdict, Verdict::Applied);
        assert!(merged.row.unwrap().deleted_at.is_some());
    }
}

#[test]
fn of_a_pair_the_one_made_last_lives() {
    for origin in ORIGINS {
        let seen = membership(json!({}));
        // The live one was made before: it is over.
        let merged = merge(&beside(rival(-1)), parents(), &seen, origin);
        assert_eq!((merged.verdict, merged.rule), (Verdict::Applied, "R6"));
        assert_eq!(merged.ends, Some(rival(-1).id), "{origin:?}");
        assert_ne!(merged.row.unwrap().id, rival(-1).id);
        // The live one was made later: this one was over before we heard of it.
        let merged = merge(&beside(rival(1)), parents(), &seen, origin);
        assert_eq!((merged.verdict, merged.rule), (Verdict::Stale, "R6"));
        assert_eq!((merged.row, merged.ends), (None, None), "{origin:?}");
    }
}

#[test]
fn a_later_one_of_the_pair_counts_also_when_it_is_over() {
    let after = |offset| Current {
        last_created_at: timestamp(MADE + offset),
        ..nothing_known()
    };
    for (offset, verdict) in [
        (-1, Verdict::Applied),
        (0, Verdict::Applied),
        (1, Verdict::Stale),
    ] {
        for origin in ORIGINS {
            let merged = merge(&after(offset), parents(), &membership(json!({})), origin);
            assert_eq!(merged.verdict, verdict, "{offset} {origin:?}");
            assert_eq!(merged.ends, None);
        }
    }
}

#[test]
fn of_two_made_in_the_same_millisecond_only_clerk_knows() {
    for origin in [Origin::Event, Origin::Answer] {
        let current = beside(rival(0));
        let merged = merge(&current, parents(), &membership(json!({})), origin);
        assert_eq!((merged.verdict, merged.rule), (Verdict::Doubtful, "R6"));
        assert_eq!(merged.row, Some(rival(0)), "Clerk is asked about that one");
        assert_eq!(merged.ends, None);
    }
    let current = beside(rival(0));
    let merged = merge(&current, parents(), &membership(json!({})), Origin::Read);
    assert_eq!(merged.verdict, Verdict::Applied);
    assert_eq!(merged.ends, Some(rival(0).id));
}

#[test]
fn a_provisional_membership_learns_which_it_is() {
    let provisional = Row {
        clerk_id: None,
        is_placeholder: true,
        role: "org:admin".to_owned(),
        permissions: Vec::new(),
        clerk_version: 0,
        refetch_at: Some(Timestamp::now()),
        // Ours, and so later than Clerk's.
        created_at: timestamp(MADE + 500).unwrap(),
        ..rival(0)
    };
    for origin in ORIGINS {
        let current = beside(provisional.clone());
        let merged = merge(&current, parents(), &membership(json!({})), origin);
        assert_eq!((merged.verdict, merged.rule), (Verdict::Applied, "R17"));
        assert_eq!(merged.ends, None);
        assert!(merged.changed.contains(&"clerk_id"));
        assert!(merged.changed.contains(&"is_placeholder"));
        let row = merged.row.unwrap();
        assert_eq!(row.id, provisional.id, "{origin:?}");
        assert_eq!(row.row_version, provisional.row_version);
        assert_eq!(row.clerk_id, Some("orgmem_2".parse().unwrap()));
        assert_eq!(
            (row.role.as_str(), row.clerk_version),
            ("org:member", VERSION)
        );
        assert_eq!(row.created_at.as_millisecond(), MADE);
        assert!(!row.is_placeholder && row.refetch_at.is_none());
    }
    // Not even a provisional one is one that is over.
    let over = Current {
        last_created_at: timestamp(MADE + 1),
        ..beside(provisional)
    };
    let merged = merge(&over, parents(), &membership(json!({})), Origin::Event);
    assert_eq!((merged.verdict, merged.row), (Verdict::Stale, None));
}

#[test]
fn the_end_of_a_membership_is_remembered_seen_before_or_not() {
    let at = Timestamp::now();
    let seen = membership(json!({ "role": "org:admin", "updated_at": VERSION + 5 }));
    let unknown = bury(&nothing_known(), parents(), &seen, at);
    assert_eq!((unknown.verdict, unknown.rule), (Verdict::Applied, "R3"));
    let tombstone = unknown.row.unwrap();
    assert_eq!(tombstone.clerk_id, Some("orgmem_2".parse().unwrap()));
    assert_eq!(tombstone.deleted_at, Some(at));
    assert_eq!(tombstone.created_at.as_millisecond(), MADE);
    let ended = bury(&known(row()), parents(), &seen, at);
    assert_eq!(ended.changed, ["deleted_at"]);
    let ended = ended.row.unwrap();
    assert_eq!((ended.id, ended.deleted_at), (row_id(&ended), Some(at)));
    assert_eq!(ended.role, "org:member", "it ends as we knew it");
}

fn row_id(row: &Row) -> Uuid {
    assert_eq!(row.row_version.as_deref(), Some("1"));
    row.id
}

#[test]
fn an_end_never_touches_a_later_membership_of_the_pair() {
    for offset in [0, 1] {
        let current = beside(rival(offset));
        let merged = bury(
            &current,
            parents(),
            &membership(json!({})),
            Timestamp::now(),
        );
        assert_eq!(merged.ends, None, "{offset}");
        let tombstone = merged.row.unwrap();
        assert_ne!(tombstone.id, rival(offset).id, "{offset}");
        assert_eq!(tombstone.row_version, None, "{offset}");
    }
}

#[test]
fn where_clerk_does_not_say_when_it_was_made_its_last_change_stands_for_it() {
    let made = |patch| {
        let seen = membership(patch);
        let merged = merge(&nothing_known(), parents(), &seen, Origin::Event);
        merged.row.unwrap().created_at
    };
    assert_eq!(
        made(json!({ "created_at": null })).as_millisecond(),
        VERSION
    );
    assert_eq!(
        made(json!({ "created_at": null, "updated_at": null })),
        Timestamp::UNIX_EPOCH
    );
    // Once it is known, it stays.
    let silent = membership(json!({ "created_at": null, "updated_at": VERSION + 9 }));
    let merged = merge(&known(row()), parents(), &silent, Origin::Event);
    assert_eq!(merged.row.unwrap().created_at.as_millisecond(), MADE);
}

#[test]
fn a_role_has_its_prefix() {
    for (seen, key) in [
        ("org:admin", "org:admin"),
        ("admin", "org:admin"),
        ("basic_member", "org:basic_member"),
        (" admin ", "org:admin"),
        ("x:y", "x:y"),
        ("", ""),
        ("  ", ""),
        ("a\u{0}", "org:a\u{fffd}"),
    ] {
        assert_eq!(role_key(seen), key);
    }
    let old = membership(json!({ "role": "member" }));
    let merged = merge(&known(row()), parents(), &old, Origin::Event);
    assert_eq!(merged.verdict, Verdict::Unchanged);
}

#[test]
fn permissions_have_no_order_and_no_number() {
    assert_eq!(row().permissions, ["org:a", "org:b"]);
    let seen = membership(json!({ "permissions": ["org:a", "org:b", "org:a"] }));
    let merged = merge(&known(row()), parents(), &seen, Origin::Event);
    assert_eq!(merged.verdict, Verdict::Unchanged);
    let none = membership(json!({ "permissions": null, "updated_at": VERSION + 1 }));
    let merged = merge(&known(row()), parents(), &none, Origin::Event);
    assert_eq!(merged.row.unwrap().permissions, [""; 0]);
}

#[test]
fn only_a_newer_object_or_a_read_settles_a_doubt() {
    for (offset, origin, is_settled) in [
        (1, Origin::Event, true),
        (1, Origin::Answer, true),
        (1, Origin::Read, true),
        (0, Origin::Event, false),
        (0, Origin::Answer, false),
        (0, Origin::Read, true),
        (-1, Origin::Event, false),
        (-1, Origin::Answer, false),
        (-1, Origin::Read, false),
    ] {
        let seen = membership(json!({ "updated_at": VERSION + offset }));
        let row = merge(&known(flagged()), parents(), &seen, origin)
            .row
            .unwrap();
        assert_eq!(row.refetch_at.is_none(), is_settled, "{offset} {origin:?}");
        assert_eq!(row.n_refetches == 0, is_settled, "{offset} {origin:?}");
    }
}

#[test]
fn no_nul_reaches_postgres() {
    let seen = membership(json!({
        "role": "org:\u{0}", "permissions": ["\u{0}"], "public_metadata": { "\u{0}": ["\u{0}"] },
    }));
    let merged = merge(&nothing_known(), parents(), &seen, Origin::Event);
    let row = merged.row.unwrap();
    let text = serde_json::to_string(&row).unwrap();
    assert!(!text.contains("\\u0000"), "{text}");
    let again = merge(&known(row), parents(), &seen, Origin::Event);
    assert_eq!(again.verdict, Verdict::Unchanged, "cleaned twice alike");
}

/// Both lists were walked over so many milliseconds after the version.
fn walked(offset: i64) -> Parents {
    let walked = |parent: Parent| Parent {
        walked_at: timestamp(VERSION + offset),
        ..parent
    };
    Parents {
        organization: parents().organization,
        user: walked(parents().user),
    }
}

#[test]
fn a_beginning_that_a_later_walk_did_not_show_is_asked_about() {
    for (offset, origin, is_flagged) in [
        (1, Origin::Event, true),
        (0, Origin::Event, false),
        (-1, Origin::Event, false),
        (1, Origin::Read, false),
    ] {
        let seen = membership(json!({}));
        let merged = merge(&nothing_known(), walked(offset), &seen, origin);
        assert_eq!(merged.verdict, Verdict::Applied);
        let row = merged.row.unwrap();
        assert_eq!(row.refetch_at.is_some(), is_flagged, "{offset} {origin:?}");
    }
    // A change from before the walk does not take the question back.
    let newer = membership(json!({ "role": "org:admin", "updated_at": VERSION + 1 }));
    for (offset, is_flagged) in [(2, true), (1, false)] {
        let merged = merge(&known(flagged()), walked(offset), &newer, Origin::Event);
        let row = merged.row.unwrap();
        assert_eq!(row.role, "org:admin");
        assert_eq!(row.refetch_at.is_some(), is_flagged, "{offset}");
    }
}

#[test]
fn an_end_that_nobody_told_of_is_taken_back_when_it_is_shown_again() {
    let ended = |is_end_inferred| Row {
        deleted_at: Some(Timestamp::now()),
        is_end_inferred,
        ..row()
    };
    let seen = membership(json!({ "role": "org:admin" }));
    let merged = merge(&known(ended(true)), parents(), &seen, Origin::Read);
    assert_eq!((merged.verdict, merged.rule), (Verdict::Applied, "R14"));
    assert_eq!(merged.changed, ["deleted_at", "role"]);
    let live = merged.row.unwrap();
    assert!(live.deleted_at.is_none() && !live.is_end_inferred);
    assert!(live.refetch_at.is_some(), "one of the two answers was late");

    // But by asking only, not where another one lives, and not where the end was told.
    let stale = |current: &Current, parents, origin| {
        let merged = merge(current, parents, &seen, origin);
        assert_eq!(merged.verdict, Verdict::Stale);
    };
    stale(&known(ended(true)), parents(), Origin::Event);
    stale(&known(ended(true)), parents(), Origin::Answer);
    stale(&known(ended(false)), parents(), Origin::Read);
    let followed = Current {
        rival: Some(rival(1)),
        ..known(ended(true))
    };
    stale(&followed, parents(), Origin::Read);
    // What it followed, and what only served meanwhile, is over.
    let provisional = Row {
        clerk_id: None,
        is_placeholder: true,
        ..rival(1)
    };
    for rival in [rival(-1), provisional] {
        let beside = Current {
            rival: Some(rival.clone()),
            ..known(ended(true))
        };
        let merged = merge(&beside, parents(), &seen, Origin::Read);
        assert_eq!(merged.verdict, Verdict::Applied);
        assert_eq!(merged.ends, Some(rival.id));
    }
    // A change that is newer than what was known is a sign of life.
    let newer = membership(json!({ "updated_at": VERSION + 1 }));
    let merged = merge(&known(ended(true)), parents(), &newer, Origin::Event);
    assert_eq!((merged.verdict, merged.rule), (Verdict::Doubtful, "R14"));
    let merged = merge(&known(ended(false)), parents(), &newer, Origin::Event);
    assert_eq!(merged.verdict, Verdict::Stale);
    let mut gone = parents();
    gone.user.is_deleted = true;
    stale(&known(ended(true)), gone, Origin::Read);

    let at = Timestamp::now();
    let merged = bury(&known(ended(true)), parents(), &seen, at);
    assert_eq!(merged.verdict, Verdict::Applied);
    assert!(!merged.row.unwrap().is_end_inferred, "now it was told");
    let merged = bury(&known(ended(false)), parents(), &seen, at);
    assert_eq!(merged.verdict, Verdict::Unchanged);
}

#[test]
fn a_tombstone_of_something_unknown_holds_no_metadata() {
    let seen = membership(json!({}));
    let buried = |current: &Current| {
        bury(current, parents(), &seen, Timestamp::now())
            .row
            .unwrap()
    };
    assert!(buried(&nothing_known()).public_metadata.is_empty());
    assert!(!buried(&known(row())).public_metadata.is_empty());
}

#[test]
fn an_end_tells_that_what_came_before_is_over_too() {
    let seen = membership(json!({}));
    let ends = |rival: Row| bury(&beside(rival), parents(), &seen, Timestamp::now()).ends;
    assert_eq!(ends(rival(-1)), Some(rival(-1).id));
    assert_eq!(ends(rival(0)), None);
    assert_eq!(ends(rival(1)), None);
    let provisional = Row {
        clerk_id: None,
        ..rival(-1)
    };
    assert_eq!(ends(provisional), None);
}
