//! The one error of this crate.

use std::fmt::Display;

use topedge_kernels::ShapeError;

/// The result of an operation whose arguments may disagree.
pub type Result<T> = std::result::Result<T, Error>;

/// What an operation, a tape or a gradient check refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Sizes that do not fit together.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// An argument, not a size, outside its range.
    #[error("{op}: {what}: expected {expected}, got {got}")]
    Argument {
        /// The operation, as in `dropout`.
        op: &'static str,
        /// The argument.
        what: &'static str,
        /// What the operation needs there.
        expected: String,
        /// What it was given.
        got: String,
    },
    /// A tensor of one element was needed.
    #[error("{op}: expected a tensor of one element, got shape {shape:?}")]
    NotScalar {
        /// The operation, as in `item`.
        op: &'static str,
        /// The shape of what it was given.
        shape: Vec<usize>,
    },
    /// Backward was asked for a tensor that the tape knows nothing of.
    #[error(
        "backward: expected a result that this tape recorded, got one that it does not know: it \
         depends on no leaf (`requires_grad`), was computed under `no_grad` or on another tape, or \
         an earlier backward has freed its graph"
    )]
    NotTracked,
    /// A gradient check found a backward that disagrees with its forward.
    #[error(
        "gradcheck: input {input} at {index:?}: backward gives {backward}, finite differences {numeric}"
    )]
    Gradient {
        /// Which of the inputs.
        input: usize,
        /// Which of its elements.
        index: Vec<usize>,
        /// The gradient that backward found.
        backward: f64,
        /// The gradient that central differences found.
        numeric: f64,
    },
}

impl Error {
    /// An error of `op` about the argument `what`.
    pub(crate) fn argument(
        op: &'static str,
        what: &'static str,
        expected: impl Display,
        got: impl Display,
    ) -> Self {
        Self::Argument { op, what, expected: expected.to_string(), got: got.to_string() }
    }

    /// A shape error of `op` about `what`.
    pub(crate) fn shape(
        op: &'static str,
        what: impl Into<String>,
        expected: impl Display,
        got: impl Display,
    ) -> Self {
        Self::Shape(ShapeError::new(op, what, expected, got))
    }
}
