//! Standard output.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write};

use serde::Serialize;

use super::failure::Failure;

/// Writes a line to standard output.
///
/// If the reader has gone away (`topedge | head`), there is nobody to tell, but the work still counts:
/// that is no failure.
pub(crate) fn line(text: impl Display) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    delivered(writeln!(stdout, "{text}").and_then(|()| stdout.flush()))
}

/// The outcome of writing to standard output, where a reader that has gone away is no failure.
pub(crate) fn delivered(outcome: io::Result<()>) -> io::Result<()> {
    match outcome {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        outcome => outcome,
    }
}

/// Writes a line to standard error. If that is closed, there is nobody to tell.
pub(crate) fn aside(text: impl Display) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// `value` as one line of JSON.
pub(crate) fn json(value: &impl Serialize) -> io::Result<String> {
    Ok(serde_json::to_string(value)?)
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Failure::Failed(format!("cannot write to standard output: {error}"))
    }
}
