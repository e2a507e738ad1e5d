//! The log: one JSON object a line on stdout, in the form that Lambda filters by level.

pub mod metrics;

use std::sync::OnceLock;

use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt;
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::config::Settings;

/// What others say is of interest only when it goes wrong.
/// The runtime writes whole events at its lowest level, with all that is in them.
const OTHERS: &str = "tokio_postgres=warn,hyper=warn,hyper_util=warn,reqwest=warn,h2=warn,\
                      rustls=warn,lambda_runtime=info,lambda_http=info";

/// The name of the function that this process is, once it is known.
static FUNCTION: OnceLock<String> = OnceLock::new();

/// Starts the log. Only the first call in a process has an effect.
pub fn init(settings: &Settings) {
    if let Some(name) = settings.optional("AWS_LAMBDA_FUNCTION_NAME") {
        FUNCTION.get_or_init(|| name.to_owned());
    }
    let lines = fmt::layer()
        .json()
        .flatten_event(true)
        .with_target(true)
        .with_current_span(true)
        .with_span_list(false)
        .with_filter(filter(settings));
    if tracing_subscriber::registry()
        .with(lines)
        .try_init()
        .is_err()
    {
        tracing::debug!("the log was started before");
    }
}

/// Which function this is, as Lambda calls it; `unknown` where there is no Lambda.
pub(crate) fn function() -> &'static str {
    FUNCTION.get().map_or("unknown", String::as_str)
}

/// An error and all that caused it, in one line for the log.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        line.push_str(": ");
        line.push_str(&cause.to_string());
        source = cause.source();
    }
    line
}

/// Lambda's level, or else `RUST_LOG`, which may also say more of a target that is kept quiet.
fn filter(settings: &Settings) -> Targets {
    let lambda = settings
        .optional("AWS_LAMBDA_LOG_LEVEL")
        .map(|level| match level {
            "FATAL" => "error".to_owned(),
            level => level.to_lowercase(),
        });
    let rust = settings.optional("RUST_LOG").map(str::to_owned);
    let wanted = lambda.or(rust).unwrap_or_default();
    let parse = |wanted: &str| format!("{OTHERS},{wanted}").parse::<Targets>();
    match parse(&wanted) {
        Ok(filter) if !wanted.is_empty() => filter,
        _ => parse("info").unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_level_comes_from_lambda_then_from_rust_log() {
        let check = |pairs: &[(&str, &str)], expected: &str| {
            let filter = filter(&Settings::from_pairs(pairs.iter().copied())).to_string();
            assert!(
                filter.split(',').any(|it| it == expected),
                "{pairs:?}: {filter}"
            );
        };
        check(&[], "info");
        check(&[], "tokio_postgres=warn");
        check(&[("AWS_LAMBDA_LOG_LEVEL", "DEBUG")], "debug");
        check(&[("AWS_LAMBDA_LOG_LEVEL", "DEBUG")], "hyper=warn");
        check(&[("AWS_LAMBDA_LOG_LEVEL", "FATAL")], "error");
        check(&[("RUST_LOG", "shared=trace")], "shared=trace");
        check(
            &[("AWS_LAMBDA_LOG_LEVEL", "WARN"), ("RUST_LOG", "trace")],
            "warn",
        );
        check(&[("RUST_LOG", "a=nonsense=b")], "info");
        check(&[("RUST_LOG", "trace")], "lambda_runtime=info");
        check(&[("RUST_LOG", "info,h2=trace")], "h2=trace");
    }

    #[test]
    fn a_second_start_does_no_harm() {
        init(&Settings::from_pairs([]));
        init(&Settings::from_pairs([]));
    }
}
