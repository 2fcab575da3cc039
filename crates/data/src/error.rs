//! The one error type of the crate.

use std::any::Any;
use std::io;
use std::path::{Path, PathBuf};

/// What the functions of this crate return.
pub type Result<T> = std::result::Result<T, DataError>;

/// Why data could not be read, built or handed out. Each message is one line.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// The operating system refused to read or write a file or folder.
    #[error("cannot {action} {}: {error}", path.display())]
    Io {
        /// What was being done: "read", "write", ...
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The operating system's answer.
        error: io::Error,
    },
    /// A file, or an argument that stands for one, is not what it must be.
    #[error("{place}: {what}: expected {expected}, found {found}")]
    Unexpected {
        /// The file or value that is wrong.
        place: String,
        /// Which part of it.
        what: String,
        /// What should have been there.
        expected: String,
        /// What was there.
        found: String,
    },
    /// A file could not be decoded as an image.
    #[error("{}: not a readable PNG or JPEG image: {reason}", path.display())]
    Image {
        /// The file.
        path: PathBuf,
        /// The decoder's answer.
        reason: String,
    },
    /// A label that the data does not know was asked for.
    #[error("unknown label {label:?}: the labels are {}", vocab.join(", "))]
    UnknownLabel {
        /// The label asked for.
        label: String,
        /// The labels that there are.
        vocab: Vec<String>,
    },
    /// Nothing of this class is in a set, so it cannot be learned, or cannot be measured.
    #[error("{place} has no image of class {label:?}; its vocabulary is {}", vocab.join(", "))]
    MissingClass {
        /// The set: "the training set", "the validation set".
        place: &'static str,
        /// The class without images.
        label: String,
        /// All classes.
        vocab: Vec<String>,
    },
    /// A data set, folder or file holds no image where there must be some.
    #[error("{place} holds no images")]
    Empty {
        /// Where images were expected.
        place: String,
    },
    /// A folder holds data of no known layout.
    #[error("{}: expected {expected}; found {found}", dir.display())]
    UnknownLayout {
        /// The folder.
        dir: PathBuf,
        /// What was looked for.
        expected: String,
        /// The first few names in the folder.
        found: String,
    },
    /// A setting is out of its range.
    #[error("{name} is {found}: expected {expected}")]
    Setting {
        /// The setting.
        name: &'static str,
        /// Its value.
        found: String,
        /// Its range.
        expected: String,
    },
    /// The loader panicked while it prepared a batch.
    #[error("the loader of batches panicked: {message}")]
    LoaderPanicked {
        /// The panic's message.
        message: String,
    },
}

impl DataError {
    /// For `map_err` on file operations.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |error| DataError::Io { action, path, error }
    }

    pub(crate) fn loader_panicked(panic: &(dyn Any + Send)) -> Self {
        DataError::LoaderPanicked { message: panic_message(panic) }
    }

    pub(crate) fn unexpected(
        place: impl ToString,
        what: impl ToString,
        expected: impl ToString,
        found: impl ToString,
    ) -> Self {
        DataError::Unexpected {
            place: place.to_string(),
            what: what.to_string(),
            expected: expected.to_string(),
            found: found.to_string(),
        }
    }

    pub(crate) fn setting(
        name: &'static str,
        found: impl ToString,
        expected: impl ToString,
    ) -> Self {
        DataError::Setting { name, found: found.to_string(), expected: expected.to_string() }
    }
}

/// What a panic that was caught says, in one line.
pub fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("no message").replace('\n', " ")
}
