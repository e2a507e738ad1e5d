//! The lines of the metrics, as the processes of the functions write them.

use std::time::Duration;

use clerk_emulator::Fault;
use lambda_host::{Function, Host, Options, Outcome};
use serde_json::{Value, json};

use crate::support::TestApp;
use crate::support::binaries::binary;
use crate::support::gateway::{Answer, Call};

/// A function as a process, with the settings that it needs.
fn host(app: &TestApp, name: &str, database_url: &str) -> Host {
    let clerk = &app.clerk;
    let function = Function::new(name, binary(name))
        .env("DATABASE_URL", database_url)
        .env("CLERK_API_URL", clerk.url())
        .env("CLERK_SECRET_KEY", clerk.secret_key())
        .env("CLERK_WEBHOOK_SECRET", clerk.webhook_secret())
        .env("CLERK_JWT_KEY", clerk.jwt_key())
        // Whatever the log leaves out, the metrics are there.
        .env("AWS_LAMBDA_LOG_LEVEL", "ERROR");
    let functions = vec![function];
    Host::start(Options { functions }).unwrap()
}

/// The answer to a request, and its status.
async fn call(host: &Host, name: &str, call: &Call) -> Answer {
    match host.invoke(name, &call.event()).await {
        Outcome::Response(response) => Answer::read(&response),
        outcome => panic!("{outcome:?}"),
    }
}

/// The lines of the first `n` invocations, when there have been so many; there are no more.
async fn lines(host: &Host, name: &str, n: usize) -> Vec<Value> {
    for _ in 0..500 {
        let logs = host.logs(name);
        let is_ours = |line: &&String| line.contains("\"_aws\"");
        let lines: Vec<&String> = logs.iter().filter(is_ours).collect();
        if lines.len() >= n {
            assert_eq!(lines.len(), n, "{lines:#?}");
            return lines.into_iter().map(|line| parse(line)).collect();
        }
        // The answer may come before the line is read.
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{name} wrote no {n} lines: {:#?}", host.logs(name));
}

/// Reads a line, which must be what the format asks for.
#[track_caller]
fn parse(line: &str) -> Value {
    let line: Value = serde_json::from_str(line).unwrap();
    assert!(line["_aws"]["Timestamp"].is_u64(), "{line}");
    let directives = line["_aws"]["CloudWatchMetrics"].as_array().unwrap();
    for directive in directives {
        assert_eq!(directive["Namespace"], "clerk-sync");
        for dimension in directive["Dimensions"].as_array().unwrap() {
            let mut names = dimension.as_array().unwrap().iter();
            let is_text = |name: &Value| line[name.as_str().unwrap()].is_string();
            assert!(names.all(is_text), "{line}");
        }
        let metrics = directive["Metrics"].as_array().unwrap();
        assert!((1..=100).contains(&metrics.len()), "{line}");
        for metric in metrics {
            let values = values(&line, metric["Name"].as_str().unwrap());
            assert!((1..=100).contains(&values.len()), "{line}");
        }
    }
    line
}

/// The values of a metric; none if it is not there.
#[track_caller]
fn values(line: &Value, name: &str) -> Vec<f64> {
    match &line[name] {
        Value::Null => Vec::new(),
        Value::Array(values) => values.iter().map(|it| it.as_f64().unwrap()).collect(),
        value => vec![value.as_f64().unwrap()],
    }
}

#[tokio::test]
async fn an_invocation_writes_one_line_with_its_numbers_and_nobodys_data() {
    let app = TestApp::new().await;
    let name = "clerk-webhook";
    let host = host(&app, name, &app.database.url);
    let user = json!({ "email": "ada@example.com", "first_name": "Ada", "role": "STUDENT" });
    app.clerk.create_user(user);
    let message = app.clerk.take_messages().remove(0);
    let signed = app.clerk.sign(&message);
    let delivery = Call::new("POST", "/api/webhooks/clerk").headers(signed.clone());
    let delivery = delivery.body(&message.body);
    for _ in 0..2 {
        assert_eq!(call(&host, name, &delivery).await.status, 200);
    }
    let forged = Call::new("POST", "/api/webhooks/clerk")
        .headers(signed)
        .body("{}");
    assert_eq!(call(&host, name, &forged).await.status, 400);

    let lines = lines(&host, name, 3).await;
    for line in &lines {
        assert_eq!(line["Function"], name);
        assert_eq!(line["requestId"], "request-1");
        assert_eq!(values(line, "Failed"), [0.0]);
        assert!(
            matches!(values(line, "Duration")[..], [ms] if ms > 0.0),
            "{line}"
        );
        let text = line.to_string().to_lowercase();
        for personal in ["ada", "example.com", "email", "whsec", "sk_test", "user_"] {
            assert!(!text.contains(personal), "{personal} in {line}");
        }
    }
    for line in &lines[..2] {
        let times = values(line, "DatabaseTime");
        assert!(
            !times.is_empty() && times.iter().all(|&ms| ms > 0.0),
            "{line}"
        );
        assert_eq!(values(line, "DatabaseFailures"), [0.0]);
        assert!(values(line, "Refused").is_empty());
    }
    assert_eq!(values(&lines[2], "Refused"), [1.0]);
    assert!(values(&lines[2], "DatabaseTime").is_empty());
    app.finish().await;
}

#[tokio::test]
async fn calls_of_clerk_are_measured_one_by_one() {
    let (app, grace, ada) = TestApp::with_admin_and_student().await;
    let name = "update-role";
    let host = host(&app, name, &app.database.url);
    let token = app.clerk.session_token(&grace);
    let set = |role: &str| {
        let call = Call::new("PATCH", &format!("/api/admin/users/{ada}")).token(&token);
        call.json(&json!({ "role": role }))
    };
    let answer = call(&host, name, &set("INSTRUCTOR")).await;
    assert_eq!(answer.body["clerkSync"], "synced", "{}", answer.body);
    for fault in [Fault::rate_limited(60), Fault::status(500)] {
        app.clerk.fault(fault.on("PATCH", "/v1/users").once());
        let answer = call(&host, name, &set("STUDENT")).await;
        assert_eq!(answer.body["clerkSync"], "pending", "{}", answer.body);
    }

    let lines = lines(&host, name, 3).await;
    for (line, n_limited, n_failed) in [(0, 0.0, 0.0), (1, 1.0, 0.0), (2, 0.0, 1.0)] {
        let line = &lines[line];
        let n_calls = values(line, "ClerkApiTime").len();
        assert!(n_calls > 0, "{line}");
        assert_eq!(line["ClerkApiCalls"], n_calls);
        assert_eq!(values(line, "ClerkRateLimited"), [n_limited], "{line}");
        assert_eq!(values(line, "ClerkFailures"), [n_failed], "{line}");
        assert!(!line.to_string().contains(&token), "{line}");
    }
    app.finish().await;
}

#[tokio::test]
async fn an_edit_is_measured_whatever_becomes_of_it_and_its_line_names_nobody() {
    let (app, grace, ada) = TestApp::with_admin_and_student().await;
    let name = "update-user";
    let host = host(&app, name, &app.database.url);
    let token = app.clerk.session_token(&grace);
    let edit = |body: Value| {
        let call = Call::new("PATCH", &format!("/api/users/{ada}")).token(&token);
        call.json(&body)
    };
    let good = edit(json!({ "name": "Quirinus Xanthippe", "password": "swordfish and 7 more" }));
    assert_eq!(call(&host, name, &good).await.status, 200);
    let fault = Fault::status(500).on("PATCH", "/v1/users").once();
    app.clerk.fault(fault);
    let names = edit(json!({ "name": "Xanthippe" }));
    assert_eq!(call(&host, name, &names).await.status, 502);
    let another = edit(json!({ "email": "quirinus@example.com" }));
    assert_eq!(call(&host, name, &another).await.status, 409);
    let weak = edit(json!({ "password": "quirinu" }));
    assert_eq!(call(&host, name, &weak).await.status, 422);

    let lines = lines(&host, name, 4).await;
    // A password is looked at before it is changed; of a change without an answer it is asked what
    // became of it.
    for (line, n_calls, n_failures) in [(0, 2, 0.0), (1, 2, 1.0), (3, 2, 0.0)] {
        let line = &lines[line];
        assert_eq!(line["ClerkApiCalls"], n_calls, "{line}");
        assert_eq!(values(line, "ClerkFailures"), [n_failures], "{line}");
    }
    assert!(values(&lines[2], "ClerkApiCalls").is_empty());
    for (line, n_failed, refused) in [
        (0, 0.0, vec![]),
        (1, 1.0, vec![]),
        (2, 0.0, vec![1.0]),
        (3, 0.0, vec![1.0]),
    ] {
        let line = &lines[line];
        assert_eq!(line["Function"], name);
        assert_eq!(values(line, "Failed"), [n_failed], "{line}");
        assert_eq!(values(line, "Refused"), refused, "{line}");
        assert!(!values(line, "DatabaseTime").is_empty(), "{line}");
        let text = line.to_string().to_lowercase();
        for personal in ["quirin", "xanthippe", "swordfish", "example.com", "user_"] {
            assert!(!text.contains(personal), "{personal} in {line}");
        }
        assert!(!text.contains(&token.to_lowercase()), "{line}");
    }
    app.finish().await;
}

#[tokio::test]
async fn a_run_on_a_schedule_writes_a_line_also_when_it_fails() {
    let app = TestApp::new().await;
    let name = "reconcile";
    let good = host(&app, name, &app.database.url);
    let outcome = good.invoke(name, &json!({})).await;
    assert!(matches!(outcome, Outcome::Response(_)), "{outcome:?}");
    let bad = host(&app, name, "postgres://app@127.0.0.1:1/app");
    let outcome = bad.invoke(name, &json!({})).await;
    assert!(
        matches!(outcome, Outcome::FunctionError { .. }),
        "{outcome:?}"
    );

    for (host, n_failed) in [(good, 0.0), (bad, 1.0)] {
        let line = lines(&host, name, 1).await.remove(0);
        assert_eq!(line["Function"], name);
        assert!(line["requestId"].is_string(), "{line}");
        assert_eq!(values(&line, "Failed"), [n_failed]);
        assert!(!values(&line, "DatabaseTime").is_empty());
        assert_eq!(values(&line, "DatabaseFailures") == [0.0], n_failed == 0.0);
    }
    app.finish().await;
}
