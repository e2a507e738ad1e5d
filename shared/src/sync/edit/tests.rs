use serde_json::{Value, json};

use super::*;
use crate::clerk::Password;

/// A user as Clerk shows them after (or without) an edit.
fn seen(fields: &Value) -> clerk::User {
    let mut user = json!({
        "id": "user_1",
        "first_name": "Ada",
        "last_name": "King",
        "public_metadata": { "plan": "free", "theme": { "dark": true, "size": 3 }, "none": null },
        "password_last_updated_at": 1_700_000_000_100_i64,
        "updated_at": 1_700_000_000_200_i64,
    });
    for (name, value) in fields.as_object().into_iter().flatten() {
        user[name] = value.clone();
    }
    serde_json::from_value(user).unwrap()
}

fn columns(fields: Value) -> Columns {
    serde_json::from_value(fields).unwrap()
}

/// Whether the user above shows this edit.
#[track_caller]
fn check(fields: Value, is_shown: bool) {
    let columns = columns(fields);
    let found = evidence::shows(&seen(&json!({})), &columns, false, None);
    assert_eq!(found, is_shown, "{columns:?}");
}

#[test]
fn an_edit_is_shown_when_all_that_clerk_has_a_part_in_is_as_asked() {
    check(json!({}), true);
    check(json!({ "first_name": "Ada" }), true);
    check(json!({ "first_name": "Ada", "last_name": "King" }), true);
    check(json!({ "first_name": "Augusta" }), false);
    check(json!({ "first_name": "Ada", "last_name": "Byron" }), false);
    check(json!({ "first_name": "ada" }), false);
    check(json!({ "last_name": null }), false);
    // What is ours alone is no evidence, neither way.
    check(json!({ "builder_group_id": "g1" }), true);
    check(
        json!({ "first_name": "Ada", "email": "other@example.com" }),
        true,
    );
}

#[test]
fn a_name_that_was_cleared_is_missing_null_or_empty() {
    let cleared = columns(json!({ "last_name": null }));
    for last_name in [Value::Null, json!("")] {
        let seen = seen(&json!({ "last_name": last_name }));
        assert!(evidence::shows(&seen, &cleared, false, None), "{last_name}");
    }
}

#[test]
fn metadata_is_shown_when_the_bag_is_as_if_it_had_been_merged() {
    let check_bag = |bag: Value, is_shown| check(json!({ "public_metadata": bag }), is_shown);
    check_bag(json!({}), true);
    check_bag(json!({ "plan": "free" }), true);
    check_bag(json!({ "plan": "paid" }), false);
    check_bag(json!({ "new": 1 }), false);
    check_bag(json!({ "theme": { "dark": true } }), true);
    check_bag(json!({ "theme": { "dark": false } }), false);
    check_bag(json!({ "theme": { "size": null } }), false);
    check_bag(json!({ "theme": { "font": null } }), true);
    check_bag(json!({ "theme": {} }), true);
    check_bag(json!({ "theme": null }), false);
    check_bag(json!({ "plan": null }), false);
    check_bag(json!({ "none": null, "missing": null }), true);
    check_bag(json!({ "plan": "free", "theme": { "size": 4 } }), false);
    check_bag(json!({ "plan": { "name": "free" } }), false);
}

#[test]
fn a_password_is_shown_when_it_was_changed_since_clerk_was_looked_at() {
    let check = |set_at: Value, before: Option<i64>, is_shown| {
        let seen = seen(&json!({ "password_last_updated_at": set_at }));
        let found = evidence::shows(&seen, &Columns::default(), true, before);
        assert_eq!(found, is_shown, "{set_at} after {before:?}");
    };
    let set_at = || json!(1_700_000_000_100_i64);
    check(set_at(), Some(1_700_000_000_099), true);
    check(set_at(), Some(1_700_000_000_100), false);
    check(set_at(), Some(1_700_000_000_101), false);
    // There was none before.
    check(set_at(), Some(0), true);
    check(Value::Null, Some(0), false);
    // Nobody looked.
    check(set_at(), None, false);
    // A password alone does not show the names that came with it.
    let names = columns(json!({ "first_name": "Augusta" }));
    assert!(!evidence::shows(&seen(&json!({})), &names, true, Some(0)));
}

#[test]
fn a_field_of_clerks_is_named_as_it_is_here() {
    for (theirs, ours) in [
        ("first_name", "firstName"),
        ("password", "password"),
        ("public_metadata", "publicMetadata"),
        ("a_b_c", "aBC"),
        ("already__odd_", "alreadyOdd"),
        ("", ""),
    ] {
        assert_eq!(camel_case(theirs), ours);
    }
}

/// Clerk refuses a password with this code and these words.
fn refusal(code: &str, message: &str) -> clerk::Error {
    clerk::Error::Refused {
        status: 422,
        code: code.to_owned(),
        message: message.to_owned(),
        param: Some("password".to_owned()),
        trace_id: None,
    }
}

#[test]
fn each_reason_against_a_password_has_a_code_and_clerks_words() {
    let password = Password::new("xyzzy".to_owned());
    for (theirs, ours) in [
        ("form_password_length_too_short", "password_too_short"),
        ("form_password_length_too_long", "password_too_long"),
        ("form_password_size_in_bytes_exceeded", "password_too_long"),
        ("form_password_pwned", "password_pwned"),
        (
            "form_password_matches_identifier",
            "password_matches_identifier",
        ),
        ("form_password_not_strong_enough", "password_too_weak"),
        ("form_password_no_uppercase", "password_refused"),
        ("form_password_of_the_future", "password_refused"),
    ] {
        let said = "Take another one.";
        let refused = refused_by_clerk(refusal(theirs, said), Some(&password));
        let (status, code) = refused.status_and_code();
        assert_eq!((status.as_u16(), code), (422, ours));
        assert_eq!(refused.to_string(), said);
        assert_eq!(refused.fields(), ["password"]);
    }
}

#[test]
fn words_that_repeat_the_password_and_no_words_are_replaced_by_ours() {
    let password = Password::new("xyzzy".to_owned());
    for said in ["", "xyzzy", "Your \"xyzzy\" was leaked."] {
        let refused = password_refused(&refusal("form_password_pwned", said), Some(&password));
        assert_eq!(
            refused.to_string(),
            "Clerk does not take this password. Choose another one."
        );
    }
    // Clerk may refuse a password as it refuses any other parameter.
    let refused = refused_by_clerk(refusal("form_param_nil", "xyzzy?"), Some(&password));
    let Error::InvalidUpdate { detail, fields } = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(detail, "Clerk does not take one of the values.");
    assert_eq!(fields, ["password"]);
    // Of a password that is empty, nothing can be repeated.
    let empty = Password::new(String::new());
    let refused = password_refused(&refusal("form_password_nil", "Too short."), Some(&empty));
    assert_eq!(refused.to_string(), "Too short.");
    // Who sent no password has none to hide.
    let refused = password_refused(&refusal("form_password_pwned", "xyzzy"), None);
    assert_eq!(refused.to_string(), "xyzzy");
}

/// A refusal without words, such as a proxy's, is about whatever was sent.
#[test]
fn who_sent_no_password_is_told_of_none() {
    let refused = refused_by_clerk(refusal("form_param_nil", ""), None);
    let Error::InvalidUpdate { detail, .. } = refused else {
        panic!("{refused:?}");
    };
    assert!(!detail.contains("password"), "{detail}");
}
