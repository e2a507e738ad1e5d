//! JSON as Go writes it.

use serde_json::{Value, json};

use super::encode;

#[test]
fn angle_brackets_ampersands_and_line_separators_are_escaped() {
    let value = json!({ "<k>": "a<b>&c\u{2028}\"é\n" });
    let text = encode(&value);
    assert_eq!(
        text,
        r#"{"\u003ck\u003e":"a\u003cb\u003e\u0026c\u2028\"é\n"}"#
    );
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
}
