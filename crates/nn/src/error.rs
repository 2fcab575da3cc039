//! The one error type of the crate.

use std::io;
use std::path::{Path, PathBuf};

use topedge_autograd::Float;
use topedge_data::DataError;
use topedge_kernels::ShapeError;

use crate::learner::Cancel;
use crate::module::{Module, describe};

/// What the functions of this crate return.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a network could not be built, run, trained, saved or loaded. Each message is one line.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A tensor operation refused its arguments.
    #[error(transparent)]
    Tensor(#[from] topedge_autograd::Error),
    /// A kernel refused its arguments.
    #[error(transparent)]
    Kernel(#[from] ShapeError),
    /// The data could not be loaded.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A layer refused its input.
    #[error("layer {path}, {layer}, with input {input:?}: {error}")]
    Layer {
        /// Where the layer stands in the network, as in `0.2`.
        path: String,
        /// The layer and its configuration, as in `Linear(in_features=3, out_features=2)`.
        layer: String,
        /// The shape of its input.
        input: Vec<usize>,
        /// What went wrong in it.
        error: Box<Error>,
    },
    /// The network cannot be trained on the data.
    #[error("{error}; {trace}")]
    Shapes {
        /// What does not fit.
        error: Box<Error>,
        /// The shape behind each layer up to there, axes named.
        trace: String,
    },
    /// A setting is out of its range.
    #[error("{name} is {found}: expected {expected}")]
    Setting {
        /// The setting.
        name: String,
        /// Its value.
        found: String,
        /// Its range.
        expected: String,
    },
    /// A file, or a network's state, is not what it must be.
    #[error("{place}: expected {expected}, found {found}")]
    Unexpected {
        /// The file or tensor.
        place: String,
        /// What should have been there.
        expected: String,
        /// What was there.
        found: String,
    },
    /// The operating system refused to read or write a file.
    #[error("cannot {action} {}: {error}", path.display())]
    Io {
        /// What was being done, "read" or "write".
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The operating system's answer.
        error: io::Error,
    },
    /// Callbacks each of which has to run after another one of them.
    #[error("these callbacks cannot be ordered, each has to run after another: {}", names.join(", "))]
    CallbackOrder {
        /// The callbacks in question.
        names: Vec<&'static str>,
    },
    /// A callback cancelled a stage that was not running.
    #[error("a callback cancelled {cancel:?} while none was running")]
    StrayCancel {
        /// What was cancelled.
        cancel: Cancel,
    },
    /// A callback, or another part of a fit that somebody else may have written, panicked.
    #[error("{place} panicked: {message}")]
    Panicked {
        /// The callback with the event, or the other part.
        place: String,
        /// The panic's message.
        message: String,
    },
    /// A fit was asked to stop, and wrote a checkpoint first.
    #[error("stopped in epoch {epoch}, after {step} training batches; {} goes on from there", path.display())]
    Stopped {
        /// The epoch, from 0.
        epoch: usize,
        /// Training batches finished in this fit.
        step: usize,
        /// The checkpoint.
        path: PathBuf,
    },
    /// A loss is NaN or infinite.
    #[error(
        "epoch {epoch}, step {step}, {pass}: the loss is {loss}; the first value that is not finite is in {place}"
    )]
    NonFinite {
        /// The epoch, from 0.
        epoch: usize,
        /// Training steps finished in this fit.
        step: usize,
        /// "training" or "validation".
        pass: &'static str,
        /// The loss.
        loss: f32,
        /// The input, the layer with its path, or the loss itself.
        place: String,
    },
}

impl Error {
    pub(crate) fn setting(
        name: impl ToString,
        found: impl ToString,
        expected: impl ToString,
    ) -> Self {
        Error::Setting {
            name: name.to_string(),
            found: found.to_string(),
            expected: expected.to_string(),
        }
    }

    pub(crate) fn unexpected(
        place: impl ToString,
        expected: impl ToString,
        found: impl ToString,
    ) -> Self {
        Error::Unexpected {
            place: place.to_string(),
            expected: expected.to_string(),
            found: found.to_string(),
        }
    }

    /// For `map_err` on file operations.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |error| Error::Io { action, path, error }
    }

    /// This error as it leaves the child `name` of a container: the path grows by one step, and
    /// what is no layer's error yet becomes `module`'s.
    pub(crate) fn in_layer<T: Float>(
        self,
        name: &str,
        module: &dyn Module<T>,
        input: &[usize],
    ) -> Self {
        match self {
            Error::Layer { path, layer, input, error } => {
                Error::Layer { path: format!("{name}.{path}"), layer, input, error }
            }
            error => Error::Layer {
                path: name.to_string(),
                layer: describe(module),
                input: input.to_vec(),
                error: Box::new(error),
            },
        }
    }
}
