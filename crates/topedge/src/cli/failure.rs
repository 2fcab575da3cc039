//! How a command fails: one line on standard error, and an exit code.

use std::fmt;
use std::io;
use std::path::Path;

/// The exit code of a process that was interrupted, as shells have it.
pub(crate) const STOPPED: u8 = 130;

/// Why a command failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The command line asks for what cannot be; exit code 2.
    Usage(String),
    /// Something went wrong on the way; exit code 1.
    Failed(String),
    /// Somebody asked it to stop; exit code 130. The message may have several lines.
    Stopped(String),
}

impl Failure {
    /// A value of `flag` that cannot be.
    pub(crate) fn flag(flag: &str, found: impl fmt::Display, expected: impl fmt::Display) -> Self {
        Failure::Usage(format!("{flag} {found}: expected {expected}"))
    }

    /// For `map_err` on file operations.
    pub(crate) fn io(action: &str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let doing = format!("cannot {action} {}", path.display());
        move |error| Failure::Failed(format!("{doing}: {error}"))
    }

    /// The same, with more to say.
    pub(crate) fn and(mut self, more: impl fmt::Display) -> Self {
        let (Failure::Usage(message) | Failure::Failed(message) | Failure::Stopped(message)) =
            &mut self;
        *message = format!("{message}; {more}");
        self
    }

    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Failure::Usage(_) => 2,
            Failure::Failed(_) => 1,
            Failure::Stopped(_) => STOPPED,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // File names may hold line breaks; the message stays one line.
            Failure::Usage(message) | Failure::Failed(message) => {
                write!(f, "error: {}", message.replace(['\n', '\r'], " "))
            }
            Failure::Stopped(message) => f.write_str(message),
        }
    }
}

impl From<topedge::Error> for Failure {
    fn from(error: topedge::Error) -> Self {
        Failure::Failed(error.to_string())
    }
}

impl From<topedge::nn::Error> for Failure {
    fn from(error: topedge::nn::Error) -> Self {
        Failure::Failed(error.to_string())
    }
}

impl From<topedge::data::DataError> for Failure {
    fn from(error: topedge::data::DataError) -> Self {
        Failure::Failed(error.to_string())
    }
}

impl From<topedge::report::PlotError> for Failure {
    fn from(error: topedge::report::PlotError) -> Self {
        Failure::Failed(error.to_string())
    }
}
