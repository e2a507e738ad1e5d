use serde_json::json;

use super::*;

fn check_name(text: &str, expected: Result<Option<&str>, &str>) {
    let parsed = name("firstName", Some(text));
    let parsed = parsed.as_ref().map(Option::as_deref);
    assert_eq!(
        parsed.map_err(|it| it.message.as_str()),
        expected,
        "{text:?}"
    );
}

#[test]
fn names_are_trimmed_and_bounded() {
    check_name(" Ada ", Ok(Some("Ada")));
    check_name("Ada Augusta", Ok(Some("Ada Augusta")));
    check_name("Ægir Þór 李", Ok(Some("Ægir Þór 李")));
    check_name("", Ok(None));
    check_name(" \n ", Ok(None));
    check_name(&"ä".repeat(255), Ok(Some(&"ä".repeat(255))));
    check_name(
        &"ä".repeat(256),
        Err("firstName takes at most 255 characters."),
    );
    for text in ["A\nda", "A\0da", "A\u{7f}da", "A\u{85}da", "A\tda"] {
        let problem = "firstName holds a line break or another control character.";
        check_name(text, Err(problem));
    }
    assert_eq!(name("firstName", None), Ok(None));
}

#[test]
fn a_full_name_is_taken_apart_at_its_first_blank() {
    let check = |text: Option<&str>, first: Option<&str>, last: Option<&str>| {
        let expected = (first.map(str::to_owned), last.map(str::to_owned));
        assert_eq!(names("name", text), Ok(expected), "{text:?}");
    };
    check(Some("Ada Lovelace"), Some("Ada"), Some("Lovelace"));
    check(
        Some(" Ada  King Lovelace "),
        Some("Ada"),
        Some("King Lovelace"),
    );
    check(Some("Ada"), Some("Ada"), None);
    check(Some(""), None, None);
    check(None, None, None);
}

#[test]
fn addresses_are_such_that_mail_finds_them() {
    for text in [
        "ada@example.com",
        " Ada.Lovelace+x@mail.example.co.uk ",
        "o'neil@example.com",
        "ada@bücher.example",
    ] {
        assert_eq!(email("email", text).as_deref(), Ok(text.trim()), "{text}");
    }
    let long = format!("{}@example.com", "a".repeat(250));
    for text in [
        "",
        "ada",
        "@example.com",
        "ada@",
        "ada@localhost",
        "ada@@example.com",
        "ada@example.com, eve@example.com",
        "Ada <ada@example.com>",
        "ada@[127.0.0.1]",
        "ada lovelace@example.com",
        "ada\n@example.com",
        "ada@example.com\u{0}",
        "ada@-example.com",
        &long,
    ] {
        let refused = email("email", text).unwrap_err();
        assert_eq!(refused.code, "invalid_email", "{text:?}");
        assert_eq!(
            refused.message,
            "email is not an e-mail address such as ada@example.com."
        );
    }
}

#[test]
fn metadata_has_no_role_and_fits_into_the_bag() {
    let check = |bag: Value, expected: Option<&str>| {
        let bag = bag.as_object().unwrap();
        let refused = public_metadata("publicMetadata", bag).err();
        assert_eq!(refused.map(|it| it.code), expected, "{} keys", bag.len());
    };
    check(json!({}), None);
    check(
        json!({ "a": null, "b": { "role": "ADMIN" }, "Role": 1 }),
        None,
    );
    check(json!({ "role": "STUDENT" }), Some("role_not_allowed"));
    check(json!({ "role": null }), Some("role_not_allowed"));
    let overhead = json!({ "a": "" }).to_string().len();
    check(
        json!({ "a": "x".repeat(MAX_METADATA_LEN - overhead) }),
        None,
    );
    check(
        json!({ "a": "x".repeat(MAX_METADATA_LEN - overhead + 1) }),
        Some("invalid_metadata"),
    );
    for bag in [
        json!({ "a": "\0" }),
        json!({ "\0": 1 }),
        json!({ "a": [{ "b": ["\0"] }] }),
    ] {
        check(bag, Some("invalid_metadata"));
    }
}
