//! The error type of the crate.

/// Why something could not be drawn. The message is one line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot draw {what}: expected {expected}, found {found}")]
pub struct PlotError {
    /// What was to be drawn.
    pub what: String,
    /// What can be drawn.
    pub expected: String,
    /// What was given.
    pub found: String,
}

impl PlotError {
    pub(crate) fn new(what: &str, expected: impl Into<String>, found: impl ToString) -> Self {
        PlotError {
            what: what.to_string(),
            expected: expected.into(),
            found: found.to_string().replace('\n', " "),
        }
    }
}
