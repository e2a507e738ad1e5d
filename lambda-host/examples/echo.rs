//! The function that the tests of the host run: it does what its event says.
//!
//! `{"do": "echo" | "fail" | "panic" | "exit" | "sleep"}`; anything else is echoed.
//! Started with `REFUSE_TO_START`, it reports that it cannot.

use std::process::ExitCode;
use std::time::Duration;

use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde_json::{Value, json};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<ExitCode, Error> {
    #[expect(
        clippy::disallowed_methods,
        reason = "the tests' own function has no settings"
    )]
    let variable = |name: &str| std::env::var(name);
    if let Ok(reason) = variable("REFUSE_TO_START") {
        let api = variable("AWS_LAMBDA_RUNTIME_API")?;
        let body = json!({ "errorType": "NotConfigured", "errorMessage": reason });
        let url = format!("http://{api}/2018-06-01/runtime/init/error");
        reqwest::Client::new().post(url).json(&body).send().await?;
        return Ok(ExitCode::FAILURE);
    }
    lambda_runtime::run(service_fn(handle)).await?;
    Ok(ExitCode::SUCCESS)
}

#[expect(
    clippy::panic,
    clippy::exit,
    clippy::print_stdout,
    reason = "this is what it is for"
)]
async fn handle(event: LambdaEvent<Value>) -> Result<Value, Error> {
    let LambdaEvent { payload, context } = event;
    println!("took {payload}");
    match payload.get("do").and_then(Value::as_str) {
        Some("fail") => Err("as it was told".into()),
        Some("panic") => panic!("as it was told"),
        Some("exit") => std::process::exit(7),
        Some("sleep") => {
            let millis = payload
                .get("millis")
                .and_then(Value::as_u64)
                .unwrap_or(60_000);
            tokio::time::sleep(Duration::from_millis(millis)).await;
            Ok(json!({ "pid": std::process::id() }))
        }
        _ => Ok(json!({
            "pid": std::process::id(),
            "event": payload,
            "deadline": context.deadline,
            "requestId": context.request_id,
        })),
    }
}
