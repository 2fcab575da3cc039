//! The one error type of the crate.

/// What the functions of this crate return.
pub type Result<T> = std::result::Result<T, Error>;

/// What can go wrong anywhere in topedge, so that `?` takes every crate's errors. Each message is one
/// line.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Layers, training, files of networks.
    #[error(transparent)]
    Nn(#[from] topedge_nn::Error),
    /// Data sets and image files.
    #[error(transparent)]
    Data(#[from] topedge_data::DataError),
    /// Tensors and the tape.
    #[error(transparent)]
    Tensor(#[from] topedge_autograd::Error),
    /// Kernels on slices.
    #[error(transparent)]
    Kernel(#[from] topedge_kernels::ShapeError),
    /// Plots.
    #[error(transparent)]
    Plot(#[from] topedge_report::PlotError),
    /// A model, or the file of one, is not what it must be.
    #[error("{place}: {what}: expected {expected}, found {found}")]
    Model {
        /// The file, or `model`.
        place: String,
        /// The part of it.
        what: String,
        /// What should have been there.
        expected: String,
        /// What was there.
        found: String,
    },
}
