//! Which fault hits which call.

use std::time::Duration;

use http::{Method, Uri};
use serde_json::json;

use super::{Effect, Fault};

fn take(faults: &mut Vec<Fault>, method: &Method, target: &'static str) -> Option<Effect> {
    super::take(faults, method, &Uri::from_static(target))
}

fn status(effect: Option<&Effect>) -> Option<u16> {
    match effect {
        Some(Effect::Status { status, .. }) => Some(*status),
        _ => None,
    }
}

#[test]
fn a_fault_hits_its_calls_and_is_used_up() {
    let mut faults = vec![
        Fault::status(500).on("patch", "/v1/users").times(2),
        Fault::drop().on("DELETE", "/v1/users/user_1"),
    ];
    assert_eq!(take(&mut faults, &Method::GET, "/v1/users"), None);
    for _ in 0..2 {
        let effect = take(&mut faults, &Method::PATCH, "/v1/users/user_1");
        assert!(matches!(effect, Some(Effect::Status { status: 500, .. })));
    }
    assert_eq!(take(&mut faults, &Method::PATCH, "/v1/users/user_1"), None);
    for _ in 0..3 {
        let effect = take(&mut faults, &Method::DELETE, "/v1/users/user_1");
        assert_eq!(effect, Some(Effect::Drop));
    }
}

#[test]
fn a_fault_can_wait_for_a_later_call() {
    let mut faults = vec![
        Fault::status(500).on("GET", "/v1/users?").skip(1).once(),
        Fault::status(503).on("GET", "/v1/users").skip(2).once(),
    ];
    let mut get = |target| status(take(&mut faults, &Method::GET, target).as_ref());
    assert_eq!(get("/v1/users?limit=500"), None);
    assert_eq!(get("/v1/users/count"), None, "the first asks for a query");
    let second = get("/v1/users?limit=500&offset=500");
    assert_eq!(second, Some(500), "the first in order wins");
    assert_eq!(get("/v1/users/count"), Some(503));
    assert_eq!(get("/v1/users?limit=500"), None, "both are used up");
}

#[test]
fn a_fault_can_be_meant_for_one_page() {
    let fault = Fault::status(500).on("GET", "/v1/users");
    let mut faults = vec![fault.with_query("offset", "500")];
    let mut get = |target| status(take(&mut faults, &Method::GET, target).as_ref());
    assert_eq!(get("/v1/users"), None);
    assert_eq!(get("/v1/users?offset=5000"), None);
    assert_eq!(get("/v1/users?offset=500&limit=500"), Some(500));
    assert_eq!(get("/v1/users?limit=500&offset=500"), Some(500));
}

#[test]
fn each_effect_has_a_form_on_the_wire() {
    let check = |wire: serde_json::Value, expected: Effect| {
        let fault: Fault = serde_json::from_value(json!({ "effect": wire })).unwrap();
        assert_eq!(fault, Fault::new(expected));
        let again = serde_json::from_value(serde_json::to_value(&fault).unwrap());
        assert_eq!(fault, again.unwrap());
    };
    check(json!("drop"), Effect::Drop);
    check(json!("drop_answer"), Effect::DropAnswer);
    check(
        json!({"slow_ms": 5}),
        Effect::Slow(Duration::from_millis(5)),
    );
    check(
        json!({"delay_before_ms": 5}),
        Effect::DelayBefore(Duration::from_millis(5)),
    );
    check(
        json!({"status": 429, "retry_after": 3}),
        Effect::Status {
            status: 429,
            code: None,
            retry_after: Some(3),
        },
    );
}
