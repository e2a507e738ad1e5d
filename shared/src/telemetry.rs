//! The log: one JSON object a line on stdout, in the form that Lambda filters by level.

use tracing_subscriber::EnvFilter;

use crate::config::Settings;

/// What others say is of interest only when it goes wrong.
const OTHERS: &str =
    "tokio_postgres=warn,hyper=warn,hyper_util=warn,reqwest=warn,h2=warn,rustls=warn";

/// Starts the log. Only the first call in a process has an effect.
pub fn init(settings: &Settings) {
    let started = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_target(true)
        .with_current_span(true)
        .with_span_list(false)
        .with_env_filter(filter(settings))
        .try_init();
    if started.is_err() {
        tracing::debug!("the log was started before");
    }
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

/// `RUST_LOG` is taken as it stands; Lambda's level keeps the others quiet.
fn filter(settings: &Settings) -> EnvFilter {
    let level = settings
        .optional("AWS_LAMBDA_LOG_LEVEL")
        .map(|level| match level {
            "FATAL" => "error".to_owned(),
            level => level.to_lowercase(),
        });
    let directives = match (level, settings.optional("RUST_LOG")) {
        (Some(level), _) => format!("{level},{OTHERS}"),
        (None, Some(directives)) => directives.to_owned(),
        (None, None) => String::new(),
    };
    let default = || EnvFilter::new(format!("info,{OTHERS}"));
    match EnvFilter::try_new(&directives) {
        Ok(filter) if !directives.is_empty() => filter,
        _ => default(),
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
    }

    #[test]
    fn a_second_start_does_no_harm() {
        init(&Settings::from_pairs([]));
        init(&Settings::from_pairs([]));
    }
}
