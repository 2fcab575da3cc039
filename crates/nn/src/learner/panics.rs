//! Panics in what others wrote become errors that name it.

use std::panic::{AssertUnwindSafe, catch_unwind};

use topedge_data::panic_message;

use crate::error::Error;

/// What `f` returns; if it panics, an error that says so of `place`.
///
/// A fit that ends with such an error is not gone on with, so nobody sees what `f` has left half done.
pub(super) fn caught<R, E: From<Error>>(
    place: impl FnOnce() -> String,
    f: impl FnOnce() -> Result<R, E>,
) -> Result<R, E> {
    catch_unwind(AssertUnwindSafe(f)).unwrap_or_else(|panic| {
        let message = panic_message(&*panic);
        Err(Error::Panicked { place: place(), message }.into())
    })
}
