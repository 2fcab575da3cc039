//! The number types that kernels work on.

use std::fmt::{Debug, Display};
use std::ops::{Add, AddAssign, Div, Mul, Neg, Sub};

use crate::arch::{Isa, Kernel};
use crate::conv2d::Paths;
use crate::gemm::Gemm;

mod sealed {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for f64 {}
}

/// `f32`, which the SIMD kernels are for, or `f64`, in which gradients are checked.
///
/// Both run the same generic kernels: `f32` on the vectors of the chosen instruction set, `f64` on
/// one lane.
pub trait Element:
    sealed::Sealed
    + Gemm
    + Paths
    + Copy
    + Default
    + Debug
    + Display
    + PartialOrd
    + Send
    + Sync
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + AddAssign
    + std::iter::Sum
    + 'static
{
    /// 0.
    const ZERO: Self;
    /// 1.
    const ONE: Self;

    /// The nearest value of this type.
    fn from_f64(x: f64) -> Self;
    /// This value as an `f64`, exact.
    fn to_f64(self) -> f64;
    /// Whether this is not a number.
    fn is_nan(self) -> bool;

    /// Runs `kernel` on the vectors of `isa`.
    #[doc(hidden)]
    #[allow(private_bounds, private_interfaces)] // Kernels are written in this crate alone.
    fn run<K: Kernel<Self>>(isa: Isa, kernel: K) -> K::Output;
}

impl Element for f32 {
    const ZERO: Self = 0.0;
    const ONE: Self = 1.0;

    #[inline]
    fn from_f64(x: f64) -> Self {
        x as f32
    }

    #[inline]
    fn to_f64(self) -> f64 {
        f64::from(self)
    }

    #[inline]
    fn is_nan(self) -> bool {
        self.is_nan()
    }

    #[allow(private_bounds, private_interfaces)] // Kernels are written in this crate alone.
    fn run<K: Kernel<Self>>(isa: Isa, kernel: K) -> K::Output {
        isa.run_f32(kernel)
    }
}

impl Element for f64 {
    const ZERO: Self = 0.0;
    const ONE: Self = 1.0;

    #[inline]
    fn from_f64(x: f64) -> Self {
        x
    }

    #[inline]
    fn to_f64(self) -> f64 {
        self
    }

    #[inline]
    fn is_nan(self) -> bool {
        self.is_nan()
    }

    #[allow(private_bounds, private_interfaces)] // Kernels are written in this crate alone.
    fn run<K: Kernel<Self>>(_: Isa, kernel: K) -> K::Output {
        let _flush = crate::arch::FlushDenormals::enter();
        kernel.run::<f64>()
    }
}
