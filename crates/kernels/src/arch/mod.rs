//! Instruction sets: which there are, which this machine has, and which one runs.
//!
//! A kernel is written once, over the `Vector` trait, as a value that implements `Kernel`.
//! `Isa::run_f32` compiles it for each instruction set and enters the chosen one; nothing else in
//! the crate knows which there are. To add one: a file beside these that implements `Vector` and
//! `Microkernel` and has a `run`, and a line in each `match` below.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod denormals;
mod portable;
mod scalar;
mod vector;

use std::cell::Cell;
use std::fmt;
use std::sync::OnceLock;

pub(crate) use denormals::FlushDenormals;
pub(crate) use vector::{Kernel, MAX_LANES, Microkernel, Vector};

/// Fetches the cache line of `p`, which need not be valid, ahead of its use.
#[inline(always)]
pub(crate) fn prefetch<T>(p: *const T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a hint, which reads nothing and never faults.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(p.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = p;
}

/// Bytes of a cache line.
pub(crate) const CACHE_LINE: usize = 64;

/// The instruction sets, best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    Portable,
}

const ALL: &[Kind] = &[
    #[cfg(target_arch = "x86_64")]
    Kind::Avx512,
    #[cfg(target_arch = "x86_64")]
    Kind::Avx2,
    Kind::Portable,
];

impl Kind {
    fn name(self) -> &'static str {
        match self {
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 => "avx512",
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => "avx2",
            Kind::Portable => "portable",
        }
    }

    fn detected(self) -> bool {
        match self {
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 => is_x86_feature_detected!("avx512f") && Kind::Avx2.detected(),
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            Kind::Portable => true,
        }
    }
}

/// An instruction set that this machine has.
///
/// Kernels run on the best one unless the environment variable `TOPEDGE_ISA` (`avx512`, `avx2` or
/// `portable`) or [`Isa::with`] says otherwise.
///
/// ```
/// use topedge_kernels::Isa;
///
/// let names: Vec<&str> = Isa::available().map(|isa| isa.name()).collect();
/// assert_eq!(names.last(), Some(&"portable"));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Isa(Kind);

/// An instruction set that is unknown, or that this machine lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IsaError {
    name: String,
    /// Whether `TOPEDGE_ISA` names it.
    from_env: bool,
}

impl fmt::Display for IsaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let have: Vec<_> = Isa::available().map(Isa::name).collect();
        let known = ALL.iter().any(|kind| kind.name() == self.name);
        let problem = if known {
            "this machine lacks the instruction set"
        } else {
            "this machine knows no instruction set"
        };
        let source = if self.from_env { "TOPEDGE_ISA: " } else { "" };
        write!(f, "{source}{problem} `{}`, it has {}", self.name, have.join(", "))
    }
}

impl std::error::Error for IsaError {}

thread_local! {
    static OVERRIDE: Cell<Option<Isa>> = const { Cell::new(None) };
}

impl Isa {
    /// Those this machine has, best first; the portable one is always there.
    pub fn available() -> impl Iterator<Item = Isa> {
        ALL.iter().filter(|kind| kind.detected()).map(|&kind| Isa(kind))
    }

    /// The one called `name`.
    ///
    /// # Errors
    ///
    /// If there is none of that name, or this machine lacks it.
    pub fn by_name(name: &str) -> Result<Isa, IsaError> {
        Isa::available()
            .find(|isa| isa.name() == name)
            .ok_or_else(|| IsaError { name: name.to_owned(), from_env: false })
    }

    /// The default of this process: what `TOPEDGE_ISA` names, or else the best. Read once.
    ///
    /// # Errors
    ///
    /// If `TOPEDGE_ISA` names an instruction set that is unknown or that this machine lacks.
    pub fn from_env() -> Result<Isa, IsaError> {
        static DEFAULT: OnceLock<Result<Isa, IsaError>> = OnceLock::new();
        DEFAULT
            .get_or_init(|| match std::env::var_os("TOPEDGE_ISA") {
                Some(name) => Isa::by_name(&name.to_string_lossy())
                    .map_err(|error| IsaError { from_env: true, ..error }),
                None => Ok(Isa::available().next().expect("the portable one is always there")),
            })
            .clone()
    }

    /// The one that kernels called from this thread run on.
    ///
    /// # Panics
    ///
    /// If `TOPEDGE_ISA` names an instruction set that this machine lacks: running on another one
    /// would let a test pass that did not test what it says. [`Isa::from_env`] checks beforehand.
    pub fn current() -> Isa {
        OVERRIDE.get().unwrap_or_else(|| match Isa::from_env() {
            Ok(isa) => isa,
            Err(error) => panic!("{error}"),
        })
    }

    /// Calls `f`, with every kernel that it calls from this thread running on `self`.
    ///
    /// Kernels hand their instruction set to the threads that help them, so this holds for the whole
    /// of their work.
    pub fn with<R>(self, f: impl FnOnce() -> R) -> R {
        struct Restore(Option<Isa>);
        impl Drop for Restore {
            fn drop(&mut self) {
                OVERRIDE.set(self.0);
            }
        }
        let _restore = Restore(OVERRIDE.replace(Some(self)));
        f()
    }

    /// `avx512`, `avx2` or `portable`.
    pub fn name(self) -> &'static str {
        self.0.name()
    }

    /// Runs `kernel` on the vectors of this instruction set, with denormals flushed to zero.
    pub(crate) fn run_f32<K: Kernel<f32>>(self, kernel: K) -> K::Output {
        let _flush = FlushDenormals::enter();
        match self.0 {
            // SAFETY: an `Isa` of this kind comes only from `Isa::available`, which has detected
            // the features that `run` is compiled for.
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 => unsafe { avx512::run(kernel) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => unsafe { avx2::run(kernel) },
            Kind::Portable => portable::run(kernel),
        }
    }
}
