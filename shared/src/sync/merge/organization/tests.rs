use serde_json::json;

use super::*;

const VERSION: i64 = 1_700_000_000_000;

#[expect(
    clippy::needless_pass_by_value,
    reason = "tests write the patch in place"
)]
fn organization(patch: Value) -> clerk::Organization {
    let mut organization = json!({
        "id": "org_math",
        "name": "Math",
        "slug": "math",
        "image_url": "https://img.example/math.png",
        "created_by": "user_ada",
        "max_allowed_memberships": 5,
        "public_metadata": { "plan": "small", "n": 1 },
        "created_at": VERSION - 1_000,
        "updated_at": VERSION,
    });
    for (key, value) in patch.as_object().unwrap() {
        organization[key] = value.clone();
    }
    serde_json::from_value(organization).unwrap()
}

fn id() -> ClerkOrganizationId {
    "org_math".parse().unwrap()
}

fn nothing() -> Current {
    Current {
        is_recorded: false,
        row: None,
    }
}

fn known(row: Row) -> Current {
    Current {
        is_recorded: false,
        row: Some(Row {
            row_version: Some("1".to_owned()),
            ..row
        }),
    }
}

fn row() -> Row {
    merge(&nothing(), &organization(json!({})), Origin::Event).row
}

fn flagged() -> Row {
    Row {
        refetch_at: Some(Timestamp::now()),
        n_refetches: 4,
        ..row()
    }
}

#[test]
fn an_unknown_organization_becomes_a_row() {
    for origin in [Origin::Event, Origin::Answer, Origin::Read] {
        let merged = merge(&nothing(), &organization(json!({})), origin);
        assert_eq!((merged.verdict, merged.rule), (Verdict::Applied, "R1"));
        let row = merged.row;
        assert_eq!(row.clerk_id, id());
        assert_eq!(row.name.as_deref(), Some("Math"));
        assert_eq!(row.slug.as_deref(), Some("math"));
        assert_eq!(row.created_by.as_deref(), Some("user_ada"));
        assert_eq!(row.max_allowed_memberships, Some(5));
        assert_eq!(row.clerk_version, VERSION);
        assert_eq!(row.created_at.as_millisecond(), VERSION - 1_000);
        assert!(!row.is_placeholder && row.row_version.is_none());
        assert_eq!(merged.changed.len(), COLUMNS.len());
    }
}

#[test]
fn what_clerk_does_not_say_is_nothing() {
    let before = Timestamp::now();
    let seen = serde_json::from_value(json!({ "id": "org_math" })).unwrap();
    let row = merge(&nothing(), &seen, Origin::Event).row;
    assert_eq!(
        (row.slug, row.created_by, row.image_url),
        (None, None, None)
    );
    assert_eq!(row.max_allowed_memberships, None);
    assert_eq!(row.public_metadata, Map::new());
    assert_eq!(row.clerk_version, 0, "none is older than everything");
    assert!(
        row.created_at >= before,
        "it is as old as our first glimpse"
    );
}

#[test]
fn versions_decide() {
    let check = |offset: i64, patch: Value, origin: Origin, expected: Verdict| {
        let mut seen = organization(patch);
        seen.updated_at = Some(VERSION + offset);
        let merged = merge(&known(row()), &seen, origin);
        let case = format!("{offset} {origin:?} {}", seen.name);
        assert_eq!((merged.verdict, merged.rule), (expected, "R2"), "{case}");
        let is_written = expected == Verdict::Applied;
        let name = if is_written { &seen.name } else { "Math" };
        assert_eq!(merged.row.name.as_deref(), Some(name), "{case}");
        let version = if is_written {
            VERSION + offset
        } else {
            VERSION
        };
        assert_eq!(merged.row.clerk_version, version, "{case}");
    };
    let renamed = || json!({ "name": "Algebra" });
    for origin in [Origin::Event, Origin::Answer, Origin::Read] {
        check(1, renamed(), origin, Verdict::Applied);
        // Newer and the same: the version moves.
        check(1, json!({}), origin, Verdict::Applied);
        check(-1, renamed(), origin, Verdict::Stale);
        check(-1, json!({}), origin, Verdict::Stale);
        check(0, json!({}), origin, Verdict::Unchanged);
    }
    // Equal and different: nobody guesses, and Clerk's word is final.
    check(0, renamed(), Origin::Event, Verdict::Doubtful);
    check(0, renamed(), Origin::Answer, Verdict::Doubtful);
    check(0, renamed(), Origin::Read, Verdict::Applied);
}

#[test]
fn every_column_counts() {
    for (column, patch) in [
        ("name", json!({ "name": "Algebra" })),
        ("slug", json!({ "slug": null })),
        ("image_url", json!({ "image_url": null })),
        ("created_by", json!({ "created_by": "user_grace" })),
        (
            "max_allowed_memberships",
            json!({ "max_allowed_memberships": 0 }),
        ),
        ("public_metadata", json!({ "public_metadata": {} })),
    ] {
        let seen = organization(patch.clone());
        let in_doubt = merge(&known(row()), &seen, Origin::Event);
        assert_eq!(in_doubt.verdict, Verdict::Doubtful, "{column}");
        assert!(in_doubt.changed.is_empty(), "{column}");
        let read = merge(&known(row()), &seen, Origin::Read);
        assert_eq!(read.changed, [column]);
        assert!(!read.row.shows_the_same(&row()), "{column}");
    }
}

#[test]
fn a_tombstone_is_final() {
    let deleted_at = Some(Timestamp::now());
    let buried = Row {
        deleted_at,
        ..row()
    };
    let seen = organization(json!({ "name": "Algebra", "updated_at": VERSION + 1_000_000 }));
    for origin in [Origin::Event, Origin::Answer, Origin::Read] {
        let merged = merge(&known(buried.clone()), &seen, origin);
        assert_eq!((merged.verdict, merged.rule), (Verdict::Stale, "R3"));
        assert_eq!(merged.row.deleted_at, deleted_at);
        assert_eq!(merged.row.name.as_deref(), Some("Math"));
    }
    let again = bury(&known(buried.clone()), &id(), Timestamp::now());
    assert_eq!((again.verdict, again.rule), (Verdict::Unchanged, "R3"));
    assert_eq!(again.row.deleted_at, deleted_at, "the first end counts");
}

#[test]
fn the_end_of_an_organization_is_remembered_seen_before_or_not() {
    let at = Timestamp::now();
    let unknown = bury(&nothing(), &id(), at);
    assert_eq!((unknown.verdict, unknown.rule), (Verdict::Applied, "R3"));
    assert!(unknown.row.is_placeholder);
    assert_eq!(unknown.row.clerk_id, id());
    assert_eq!(unknown.row.deleted_at, Some(at));
    let seen = bury(&known(flagged()), &id(), at);
    assert_eq!(seen.row.deleted_at, Some(at));
    assert_eq!(seen.row.name.as_deref(), Some("Math"));
    assert_eq!(seen.changed, ["deleted_at"]);
    assert_eq!(
        (seen.row.refetch_at, seen.row.n_refetches),
        (None, 0),
        "there is nothing to ask"
    );
}

#[test]
fn a_placeholder_is_replaced_by_whatever_comes() {
    let placeholder = Row {
        is_placeholder: true,
        clerk_version: 0,
        created_at: Timestamp::now(),
        ..flagged()
    };
    for origin in [Origin::Event, Origin::Answer, Origin::Read] {
        let merged = merge(
            &known(placeholder.clone()),
            &organization(json!({})),
            origin,
        );
        assert_eq!(merged.verdict, Verdict::Applied);
        assert_eq!(merged.changed, ["is_placeholder"]);
        assert!(!merged.row.is_placeholder);
        assert_eq!(merged.row.id, placeholder.id);
        assert_eq!(merged.row.created_at.as_millisecond(), VERSION - 1_000);
        assert_eq!((merged.row.refetch_at, merged.row.n_refetches), (None, 0));
    }
    // It does not say when it was made: our glimpse stands.
    let silent = organization(json!({ "created_at": null }));
    let merged = merge(&known(placeholder.clone()), &silent, Origin::Event);
    assert_eq!(merged.row.created_at, placeholder.created_at);
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
        let seen = organization(json!({ "updated_at": VERSION + offset }));
        let row = merge(&known(flagged()), &seen, origin).row;
        assert_eq!(row.refetch_at.is_none(), is_settled, "{offset} {origin:?}");
        assert_eq!(row.n_refetches == 0, is_settled, "{offset} {origin:?}");
    }
}

#[test]
fn what_postgres_writes_in_its_own_way_is_the_same() {
    let seen = organization(json!({ "public_metadata": { "n": 1.0, "plan": "small" } }));
    let merged = merge(&known(row()), &seen, Origin::Event);
    assert_eq!(merged.verdict, Verdict::Unchanged);
}

#[test]
fn no_nul_reaches_postgres() {
    let seen = organization(json!({
        "name": "Ma\u{0}th", "slug": "\u{0}", "image_url": "\u{0}", "created_by": "user_\u{0}",
        "public_metadata": { "k\u{0}": [{ "\u{0}": "\u{0}" }] },
    }));
    let row = merge(&nothing(), &seen, Origin::Event).row;
    assert_eq!(row.name.as_deref(), Some("Ma\u{fffd}th"));
    let text = serde_json::to_string(&row).unwrap();
    assert!(!text.contains("\\u0000"), "{text}");
    let again = merge(&known(row), &seen, Origin::Event);
    assert_eq!(again.verdict, Verdict::Unchanged, "cleaned twice alike");
}
