//! Merging metadata.

use serde_json::{Value, json};

use super::{merge, require_bag};

#[track_caller]
fn check(mut target: Value, patch: &Value, expected: &Value) {
    merge(&mut target, patch);
    assert_eq!(&target, expected);
}

#[test]
fn a_merge_goes_deep_and_null_removes() {
    check(json!({"a": 1}), &json!({"b": 2}), &json!({"a": 1, "b": 2}));
    check(json!({"a": 1}), &json!({"a": null}), &json!({}));
    check(
        json!({"a": {"b": 1, "c": 2}}),
        &json!({"a": {"b": null, "d": 3}}),
        &json!({"a": {"c": 2, "d": 3}}),
    );
    check(
        json!({"a": 1}),
        &json!({"a": {"b": {"c": null}}}),
        &json!({"a": {"b": {}}}),
    );
    check(json!({"a": {"b": 1}}), &json!({"a": 5}), &json!({"a": 5}));
    check(json!({}), &json!({}), &json!({}));
    check(Value::Null, &json!({"a": 1}), &json!({"a": 1}));
}

#[test]
fn an_array_is_replaced_as_a_whole() {
    check(json!({"a": [1, 2]}), &json!({"a": [3]}), &json!({"a": [3]}));
    check(
        json!({"a": [1]}),
        &json!({"a": [null]}),
        &json!({"a": [null]}),
    );
}

#[test]
fn a_bag_is_an_object_of_at_most_eight_kilobytes() {
    let code = |bag: &Value| {
        require_bag("public_metadata", bag)
            .err()
            .map(|error| error.code)
    };
    assert_eq!(code(&json!({})), None);
    assert_eq!(
        code(&json!("x")).as_deref(),
        Some("form_param_value_invalid")
    );
    assert_eq!(
        code(&json!([])).as_deref(),
        Some("form_param_value_invalid")
    );
    assert_eq!(code(&json!({"a": "x".repeat(8192 - 8)})), None);
    assert_eq!(
        code(&json!({"a": "x".repeat(8192 - 7)})).as_deref(),
        Some("form_param_exceeds_allowed_size")
    );
}
