//! Who may start a run, and how it ends.

use std::cell::Cell;
use std::path::Path;

use serde_json::json;

use super::*;

fn event(name: &str) -> Value {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/gateway");
    let text = std::fs::read_to_string(folder.join(format!("{name}.json"))).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// What was answered, and how often it ran.
async fn start(event: Value) -> (Value, usize) {
    let n_runs = Cell::new(0);
    let run = async |deadline: Instant| {
        assert!(deadline > Instant::now() + Duration::from_secs(19));
        n_runs.set(n_runs.get() + 1);
        Ok(json!({ "repaired": 3 }))
    };
    let answer = answer(event, &run).await.unwrap();
    (answer, n_runs.get())
}

#[tokio::test]
async fn a_clock_starts_a_run() {
    for event in [
        event("event_bridge"),
        json!({}),
        json!(null),
        json!({ "mode": "report" }),
    ] {
        assert_eq!(
            start(event.clone()).await,
            (json!({ "repaired": 3 }), 1),
            "{event}"
        );
    }
    let (answer, n_runs) = start(event("netlify_scheduled")).await;
    assert_eq!((&answer["statusCode"], n_runs), (&json!(200), 1));
    assert_eq!(answer["body"], r#"{"repaired":3}"#);

    let mut lower = event("netlify_scheduled");
    let headers = lower["headers"].as_object_mut().unwrap();
    headers.remove("X-NF-Event");
    headers.insert("x-nf-event".to_owned(), json!("schedule"));
    assert_eq!(start(lower).await.1, 1);
}

#[tokio::test]
async fn a_stranger_does_not() {
    let names = [
        "netlify",
        "netlify_cli",
        "api_gateway_v1",
        "api_gateway_v2",
        "function_url",
        "alb",
    ];
    for name in names {
        let (answer, n_runs) = start(event(name)).await;
        assert_eq!((&answer["statusCode"], n_runs), (&json!(404), 0), "{name}");
    }
    // Through another gateway than Netlify's anyone can send the header.
    for name in ["api_gateway_v1", "api_gateway_v2", "function_url", "alb"] {
        let mut event = event(name);
        event["headers"]["x-nf-event"] = json!("schedule");
        event["multiValueHeaders"]["x-nf-event"] = json!(["schedule"]);
        let (answer, n_runs) = start(event).await;
        assert_eq!((&answer["statusCode"], n_runs), (&json!(404), 0), "{name}");
    }
}

#[tokio::test]
async fn a_failed_run_fails_the_invocation() {
    let run = async |_| -> Result<()> { Err(Error::Internal("the cause".into())) };
    for name in ["event_bridge", "netlify_scheduled"] {
        let failed = answer(event(name), &run).await.unwrap_err();
        assert!(format!("{failed:?}").ends_with("the cause"), "{failed:?}");
        let diagnostic = Diagnostic::from(failed);
        assert_eq!(diagnostic.error_type, "internal");
        assert!(!diagnostic.error_message.contains("the cause"));
    }
}
