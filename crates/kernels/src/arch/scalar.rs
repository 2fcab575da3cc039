//! `f64` as a vector of one lane: the kernels in double precision.

use super::Vector;
use crate::gemm::microkernel;

impl Vector for f64 {
    type Elem = f64;
    type Mask = bool;
    const LANES: usize = 1;

    #[inline(always)]
    fn splat(x: f64) -> Self {
        x
    }

    #[inline(always)]
    unsafe fn load(p: *const f64) -> Self {
        // SAFETY: the caller's duty.
        unsafe { p.read() }
    }

    #[inline(always)]
    unsafe fn store(self, p: *mut f64) {
        // SAFETY: the caller's duty.
        unsafe { p.write(self) }
    }

    #[inline(always)]
    fn add(self, b: Self) -> Self {
        self + b
    }

    #[inline(always)]
    fn sub(self, b: Self) -> Self {
        self - b
    }

    #[inline(always)]
    fn mul(self, b: Self) -> Self {
        self * b
    }

    #[inline(always)]
    fn div(self, b: Self) -> Self {
        self / b
    }

    #[inline(always)]
    fn sqrt(self) -> Self {
        f64::sqrt(self)
    }

    // Not fused: without the instruction, `f64::mul_add` is a slow library call.
    #[inline(always)]
    fn mul_add(self, b: Self, c: Self) -> Self {
        self * b + c
    }

    #[inline(always)]
    fn abs(self) -> Self {
        f64::abs(self)
    }

    #[inline(always)]
    fn copysign(self, sign: Self) -> Self {
        f64::copysign(self, sign)
    }

    #[inline(always)]
    fn round(self) -> Self {
        self.round_ties_even()
    }

    #[inline(always)]
    fn floor(self) -> Self {
        f64::floor(self)
    }

    #[inline(always)]
    fn pow2(self) -> Self {
        self.exp2()
    }

    #[inline(always)]
    fn splat_bits(bits: u32) -> Self {
        f64::from_bits(u64::from(bits))
    }

    #[inline(always)]
    unsafe fn store_bits(self, p: *mut u32) {
        // SAFETY: the caller's duty.
        unsafe { p.write(self.to_bits() as u32) }
    }

    #[inline(always)]
    fn lt(self, b: Self) -> bool {
        self < b
    }

    #[inline(always)]
    fn le(self, b: Self) -> bool {
        self <= b
    }

    #[inline(always)]
    fn is_nan(self) -> bool {
        f64::is_nan(self)
    }

    #[inline(always)]
    fn select(mask: bool, yes: Self, no: Self) -> Self {
        if mask { yes } else { no }
    }

    #[inline(always)]
    fn reduce_add(self) -> f64 {
        self
    }

    #[inline(always)]
    fn exp(self) -> Self {
        f64::exp(self)
    }

    #[inline(always)]
    fn tanh(self) -> Self {
        f64::tanh(self)
    }

    #[inline(always)]
    fn sigmoid(self) -> Self {
        1.0 / (1.0 + (-self).exp())
    }

    #[inline(always)]
    fn normal_cdf(self) -> Self {
        0.5 * libm::erfc(-self * std::f64::consts::FRAC_1_SQRT_2)
    }

    #[inline(always)]
    fn silu(self) -> Self {
        // Below this the sigmoid is 0, and infinity times zero no number. NaN stays NaN.
        let x = if self < -800.0 { -800.0 } else { self };
        x * x.sigmoid()
    }

    #[inline(always)]
    fn gelu(self) -> Self {
        let x = if self < -40.0 { -40.0 } else { self };
        x * x.normal_cdf()
    }
}

microkernel! {
    f64, MR 4, NV 4, tiles [
        (4, 1), (4, 2), (4, 3), (4, 4),
    ]
}
