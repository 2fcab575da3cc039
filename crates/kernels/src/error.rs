//! The one error of this crate.

use std::fmt;

/// The result of a kernel whose arguments may disagree.
pub type Result<T> = std::result::Result<T, ShapeError>;

/// Sizes that do not fit together: which operation refused what, what it expected and what it got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShapeError {
    /// The operation, as in `conv2d`.
    pub op: &'static str,
    /// The argument and axis, as in `weight axis 1 (in_channels / groups)`.
    pub what: String,
    /// What the operation needs there.
    pub expected: String,
    /// What it was given.
    pub got: String,
}

impl ShapeError {
    /// An error of `op` about `what`.
    pub fn new(
        op: &'static str,
        what: impl Into<String>,
        expected: impl fmt::Display,
        got: impl fmt::Display,
    ) -> Self {
        Self { op, what: what.into(), expected: expected.to_string(), got: got.to_string() }
    }
}

impl fmt::Display for ShapeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { op, what, expected, got } = self;
        write!(f, "{op}: {what}: expected {expected}, got {got}")
    }
}

impl std::error::Error for ShapeError {}

/// Refuses `got != expected` with an error of `op` about `what`.
pub(crate) fn check_len(op: &'static str, what: &str, expected: usize, got: usize) -> Result<()> {
    if expected == got {
        Ok(())
    } else {
        Err(ShapeError::new(op, format!("length of {what}"), expected, got))
    }
}
