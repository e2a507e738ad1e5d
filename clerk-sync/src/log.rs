//! The log of what is in `shared`: warnings and errors, as plain lines on stderr.
//!
//! The functions write theirs to stdout, for programs; here stdout is for the answer.

use std::io::{self, Write};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use crate::bars;
use crate::words;

/// Writes each event as one line.
struct Lines;

/// Starts the log. `RUST_LOG` says more, or less.
pub(crate) fn init() {
    let filter = EnvFilter::builder()
        .with_default_directive(LevelFilter::WARN.into())
        .from_env_lossy();
    tracing_subscriber::fmt()
        .compact()
        .with_ansi(false)
        .with_target(false)
        .without_time()
        .with_env_filter(filter)
        .with_writer(|| Lines)
        .init();
}

impl Write for Lines {
    /// An event comes as a whole.
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        bars::note(&line(&String::from_utf8_lossy(event)));
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// An event may hold what somebody typed into Clerk.
fn line(event: &str) -> String {
    words::printable(event.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_line() {
        assert_eq!(
            line(" WARN Clerk said\nno. id=7\n"),
            "WARN Clerk said\\u{a}no. id=7"
        );
    }
}
