//! The host against `examples/echo.rs`, which `cargo test` builds beside the tests.

use std::fs;
use std::net::Ipv4Addr;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use serde_json::json;

use super::*;

fn echo() -> Function {
    let test = std::env::current_exe().unwrap();
    let target = test.parent().and_then(std::path::Path::parent).unwrap();
    Function::new("echo", target.join("examples/echo"))
}

fn host(function: Function) -> Host {
    Host::start(Options {
        functions: vec![function],
    })
    .unwrap()
}

fn response(outcome: Outcome) -> Value {
    match outcome {
        Outcome::Response(value) => value,
        outcome => panic!("{outcome:?}"),
    }
}

async fn pid(host: &Host) -> Value {
    response(host.invoke("echo", &json!({})).await)["pid"].clone()
}

/// The letter that the kernel shows for a process; none when there is no such process.
fn state(pid: u32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

/// Waits until the process is in one of the states, since signals take a moment.
fn reaches(pid: u32, wanted: &[Option<char>]) -> bool {
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(5) {
        if wanted.contains(&state(pid)) {
            return true;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    false
}

#[tokio::test]
async fn a_response_comes_back_from_a_process_that_is_reused() {
    let host = host(echo());
    let before = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_millis();
    let first = response(host.invoke("echo", &json!({ "hello": "world" })).await);
    assert_eq!(first["event"], json!({ "hello": "world" }));
    let left = u128::from(first["deadline"].as_u64().unwrap()) - before;
    assert!((10_000..21_000).contains(&left), "{left} ms left");
    let second = response(host.invoke("echo", &json!({})).await);
    assert_eq!(first["pid"], second["pid"]);
    assert_ne!(first["requestId"], second["requestId"]);
    assert!(
        host.logs("echo")
            .contains(&r#"took {"hello":"world"}"#.to_owned())
    );
}

#[tokio::test]
async fn an_error_and_a_panic_leave_the_sandbox_alive() {
    let host = host(echo());
    let first = pid(&host).await;
    for what in ["fail", "panic"] {
        let Outcome::FunctionError { message, .. } =
            host.invoke("echo", &json!({ "do": what })).await
        else {
            panic!("{what} was no error");
        };
        assert!(message.contains("as it was told"), "{message}");
    }
    assert_eq!(pid(&host).await, first);
}

#[tokio::test]
async fn a_timeout_kills_and_the_next_invocation_works() {
    let host = host(Function {
        timeout: Duration::from_millis(300),
        ..echo()
    });
    let first = pid(&host).await;
    let started = Instant::now();
    assert_eq!(
        host.invoke("echo", &json!({ "do": "sleep" })).await,
        Outcome::TimedOut
    );
    assert!(started.elapsed() < Duration::from_secs(5));
    assert!(reaches(
        u32::try_from(first.as_u64().unwrap()).unwrap(),
        &[None, Some('Z')]
    ));
    assert_ne!(pid(&host).await, first);
}

#[tokio::test]
async fn a_crash_does_not_hang_the_caller() {
    let host = host(echo());
    let first = pid(&host).await;
    let Outcome::Crashed { status } = host.invoke("echo", &json!({ "do": "exit" })).await else {
        panic!("no crash");
    };
    assert_eq!(status.code(), Some(7));
    assert_ne!(pid(&host).await, first);
}

#[tokio::test]
async fn a_kill_in_the_middle_is_a_crash() {
    let host = host(echo());
    let first = pid(&host).await;
    let invocation = json!({ "do": "sleep" });
    let (outcome, ()) = tokio::join!(host.invoke("echo", &invocation), async {
        while host.logs("echo").len() < 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        host.kill("echo").await;
    });
    assert!(matches!(outcome, Outcome::Crashed { .. }), "{outcome:?}");
    assert_ne!(pid(&host).await, first);
}

#[tokio::test]
async fn a_sandbox_that_died_while_idle_is_replaced() {
    let host = host(echo());
    let first = pid(&host).await;
    host.kill("echo").await;
    assert!(host.pids("echo").is_empty());
    assert_ne!(pid(&host).await, first);
}

#[tokio::test]
async fn a_frozen_sandbox_stands_still_until_it_is_needed() {
    let host = host(echo());
    let first = pid(&host).await;
    let process = host.pids("echo")[0];
    host.freeze("echo").await;
    assert!(reaches(process, &[Some('T')]));
    host.thaw("echo");
    assert!(reaches(process, &[Some('S'), Some('R')]));
    host.freeze("echo").await;
    assert!(reaches(process, &[Some('T')]));
    assert_eq!(pid(&host).await, first);
}

#[tokio::test]
async fn two_at_once_are_two_processes_and_a_third_is_throttled() {
    let host = host(Function {
        max_concurrency: 2,
        ..echo()
    });
    let sleep = json!({ "do": "sleep", "millis": 500 });
    let (first, second, third) = tokio::join!(
        host.invoke("echo", &sleep),
        host.invoke("echo", &sleep),
        host.invoke("echo", &sleep)
    );
    assert_ne!(response(first)["pid"], response(second)["pid"]);
    assert_eq!(third, Outcome::Throttled);
    assert_eq!(host.pids("echo").len(), 2);
    pid(&host).await;
    assert_eq!(host.pids("echo").len(), 2, "an idle one is reused");
}

#[tokio::test]
async fn an_invocation_that_nobody_waits_for_frees_its_place() {
    let host = host(echo());
    let sleep = json!({ "do": "sleep" });
    let invocation = host.invoke("echo", &sleep);
    assert!(
        tokio::time::timeout(Duration::from_millis(300), invocation)
            .await
            .is_err()
    );
    pid(&host).await;
}

#[tokio::test]
async fn an_init_error_is_told() {
    let host = host(echo().env("REFUSE_TO_START", "no database"));
    for _ in 0..2 {
        let outcome = host.invoke("echo", &json!({})).await;
        let error_type = "NotConfigured".to_owned();
        assert_eq!(
            outcome,
            Outcome::InitError {
                error_type,
                message: "no database".to_owned()
            }
        );
    }
}

#[tokio::test]
async fn a_program_that_ends_at_once_is_a_crash() {
    let host = host(Function::new("true", "/bin/true"));
    assert!(matches!(
        host.invoke("true", &json!({})).await,
        Outcome::Crashed { .. }
    ));
}

#[tokio::test]
async fn what_is_not_there_is_said() {
    let host = host(echo());
    assert_eq!(host.invoke("other", &json!({})).await, Outcome::NotFound);
    let missing = Options {
        functions: vec![Function::new("echo", "/nowhere")],
    };
    let error = Host::start(missing).unwrap_err().to_string();
    assert_eq!(error, "echo: there is no program /nowhere; build it first");
}

#[tokio::test]
async fn every_process_ends_with_the_host() {
    let host = host(Function {
        max_concurrency: 2,
        ..echo()
    });
    let sleep = json!({ "do": "sleep", "millis": 50 });
    tokio::join!(host.invoke("echo", &sleep), host.invoke("echo", &sleep));
    let pids = host.pids("echo");
    assert_eq!(pids.len(), 2);
    host.freeze("echo").await;
    drop(host);
    for pid in pids {
        assert!(reaches(pid, &[None, Some('Z')]), "{pid} lives on");
    }
}

#[tokio::test]
async fn the_gateway_turns_http_into_events_and_back() {
    let host = host(echo());
    let route = "POST /api/users/{userId}=echo".parse().unwrap();
    let address = host
        .gateway((Ipv4Addr::LOCALHOST, 0).into(), vec![route])
        .await
        .unwrap();
    let client = reqwest::Client::new();
    let request = client.post(format!("http://{address}/api/users/ada%20l?a=1&a=2&b"));
    let request = request
        .header("cookie", "one=1; two=2")
        .header("x-two", "a")
        .header("x-two", "b");
    let response = request
        .json(&json!({ "role": "ADMIN" }))
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 200);
    let event = response.json::<Value>().await.unwrap()["event"].clone();
    assert_eq!(event["rawPath"], "/api/users/ada%20l");
    assert_eq!(event["pathParameters"], json!({ "userId": "ada l" }));
    assert_eq!(
        event["queryStringParameters"],
        json!({ "a": "1,2", "b": "" })
    );
    assert_eq!(event["cookies"], json!(["one=1", "two=2"]));
    assert_eq!(event["headers"]["x-two"], "a,b");
    assert_eq!(event["body"], r#"{"role":"ADMIN"}"#);
    assert_eq!(event["requestContext"]["http"]["sourceIp"], "127.0.0.1");

    let unknown = client
        .get(format!("http://{address}/api/users/ada"))
        .send()
        .await
        .unwrap();
    assert_eq!(unknown.status(), 404);
    assert_eq!(
        unknown.json::<Value>().await.unwrap(),
        json!({ "message": "Not Found" })
    );

    let invoke = format!("http://{address}/2015-03-31/functions/echo/invocations");
    let response = client
        .post(&invoke)
        .json(&json!({ "x": 1 }))
        .send()
        .await
        .unwrap();
    assert_eq!(
        response.json::<Value>().await.unwrap()["event"],
        json!({ "x": 1 })
    );
    let response = client
        .post(&invoke)
        .json(&json!({ "do": "exit" }))
        .send()
        .await
        .unwrap();
    assert_eq!(response.headers()["x-amz-function-error"], "Unhandled");
}
