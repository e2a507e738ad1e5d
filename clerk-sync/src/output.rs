//! Where the command writes: the answer to stdout, everything else to stderr.

use std::io::{self, Write};

use serde::Serialize;

use crate::setup::Error;

/// In which form the answer is written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    /// One JSON document, for programs.
    pub(crate) is_json: bool,
}

impl Output {
    /// Writes the answer, in the one form or the other.
    pub(crate) fn answer(
        self,
        document: &impl Serialize,
        text: impl FnOnce() -> String,
    ) -> Result<(), Error> {
        let written = if self.is_json {
            serde_json::to_string_pretty(document).map_err(io::Error::from)?
        } else {
            text()
        };
        match writeln!(io::stdout().lock(), "{}", written.trim_end()) {
            // Whoever reads has read enough.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            result => Ok(result?),
        }
    }
}

/// Tells the user something besides the answer.
pub(crate) fn note(line: &str) {
    // Nobody is there to be told if this fails.
    drop(writeln!(io::stderr().lock(), "{line}"));
}
