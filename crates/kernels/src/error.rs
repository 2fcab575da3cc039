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

/// Elements of a tensor, at the most: far more than any memory holds. A view that repeats what it reads
/// may stand for as many, and what a kernel makes of them, in whole tiles and counted in bytes, must not
/// overflow.
const MOST_ELEMENTS: u64 = 1 << 50;

/// Refuses a `shape` of more elements than fit in memory. An axis of size 0 counts as 1: beside it the
/// others would have no bound.
pub(crate) fn check_elements(op: &'static str, what: &str, shape: [usize; 4]) -> Result<()> {
    let most = MOST_ELEMENTS.min(isize::MAX as u64 / 8);
    let elements = shape.iter().try_fold(1usize, |n, &size| n.checked_mul(size.max(1)));
    if elements.is_some_and(|elements| elements as u64 <= most) {
        return Ok(());
    }
    let expected = "a number of elements that fits in memory";
    Err(ShapeError::new(op, format!("{what} shape"), expected, format!("{shape:?}")))
}

/// Refuses `got != expected` with an error of `op` about `what`.
pub(crate) fn check_len(op: &'static str, what: &str, expected: usize, got: usize) -> Result<()> {
    if expected == got {
        Ok(())
    } else {
        Err(ShapeError::new(op, format!("length of {what}"), expected, got))
    }
}
