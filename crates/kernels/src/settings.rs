//! What a user may choose, besides arguments. None of it changes what is computed, but each may change
//! how it is rounded, except the first.
//!
//! | what | by default | for a process | for a closure |
//! | --- | --- | --- | --- |
//! | how many threads | one a logical core | `RAYON_NUM_THREADS` | [`rayon::ThreadPool::install`] |
//! | instruction set | the best there is | `TOPEDGE_ISA` | [`Isa::with`] |
//! | Winograd's method | where it is faster | `TOPEDGE_WINOGRAD` | [`Winograd::with`] |
//!
//! The bits of a result do not depend on the number of threads. What counts is the setting of the thread that
//! calls a function, not of those that help it.
//!
//! Who calls many of them does so from inside the pool, entered once by [`rayon::scope`] or
//! [`rayon::ThreadPool::install`]: its threads then stay awake from one loop to the next. From outside of it each
//! loop wakes them anew, which takes longer than a small loop itself.
//!
//! [`Isa::with`]: crate::Isa::with

use std::cell::Cell;
use std::fmt;
use std::sync::OnceLock;

/// Where 3x3 convolutions run by Winograd's minimal filtering, F(4x4, 3x3).
///
/// It takes a quarter of the multiplications, and rounds differently: the error of an output is some
/// times that of the plain sum, and relative to all that its tile of 4x4 outputs sees, not to what
/// the output itself sees. So a number that is not finite spoils its whole tile, too.
///
/// In `f32` the error is at most 1e-6 forward and backward to the input, and 2e-6 of the weight's gradient,
/// relative to the number of terms of the sum times the largest product that there may be: bounds that tests
/// hold it to, for any shape.
///
/// Forward and backward to the input it runs on batch-last and NCHW images, for the weight's gradient on
/// channels-last ones, too.
///
/// Kernels go by `Auto` unless the environment variable `TOPEDGE_WINOGRAD` (`auto`, `off` or `always`)
/// or [`Winograd::with`] says otherwise.
///
/// ```
/// use topedge_kernels::Winograd;
///
/// Winograd::Off.with(|| assert_eq!(Winograd::current(), Winograd::Off));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Winograd {
    /// Where it is faster, in `f32` alone.
    Auto,
    /// Nowhere.
    Off,
    /// Wherever it can be, also in `f64`: for tests.
    Always,
}

/// A setting of `TOPEDGE_WINOGRAD` that there is not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WinogradError {
    name: String,
}

impl fmt::Display for WinogradError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TOPEDGE_WINOGRAD: expected auto, off or always, got `{}`", self.name)
    }
}

impl std::error::Error for WinogradError {}

thread_local! {
    static OVERRIDE: Cell<Option<Winograd>> = const { Cell::new(None) };
}

impl Winograd {
    /// The default of this process: what `TOPEDGE_WINOGRAD` names, or else `Auto`. Read once.
    ///
    /// # Errors
    ///
    /// If `TOPEDGE_WINOGRAD` is something else than `auto`, `off` or `always`.
    pub fn from_env() -> Result<Winograd, WinogradError> {
        static DEFAULT: OnceLock<Result<Winograd, WinogradError>> = OnceLock::new();
        DEFAULT
            .get_or_init(|| {
                let name = std::env::var_os("TOPEDGE_WINOGRAD").unwrap_or_else(|| "auto".into());
                match name.to_string_lossy().as_ref() {
                    "auto" => Ok(Winograd::Auto),
                    "off" => Ok(Winograd::Off),
                    "always" => Ok(Winograd::Always),
                    name => Err(WinogradError { name: name.to_owned() }),
                }
            })
            .clone()
    }

    /// What kernels called from this thread go by.
    ///
    /// # Panics
    ///
    /// If `TOPEDGE_WINOGRAD` says what there is not; [`Winograd::from_env`] checks beforehand.
    pub fn current() -> Winograd {
        OVERRIDE.get().unwrap_or_else(|| match Winograd::from_env() {
            Ok(winograd) => winograd,
            Err(error) => panic!("{error}"),
        })
    }

    /// Calls `f`, with every kernel that it calls from this thread going by `self`.
    pub fn with<R>(self, f: impl FnOnce() -> R) -> R {
        struct Restore(Option<Winograd>);
        impl Drop for Restore {
            fn drop(&mut self) {
                OVERRIDE.set(self.0);
            }
        }
        let _restore = Restore(OVERRIDE.replace(Some(self)));
        f()
    }
}
