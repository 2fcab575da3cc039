//! `wide`: eight `f32` lanes on whatever the target has from the start (SSE2, NEON, WebAssembly's
//! SIMD, or plain numbers).

use wide::{f32x8, i32x8};

use super::{Kernel, Vector};
use crate::gemm::microkernel;
use crate::math;

/// Compiles `kernel` for this set and runs it.
pub(super) fn run<K: Kernel<f32>>(kernel: K) -> K::Output {
    kernel.run::<f32x8>()
}

impl Vector for f32x8 {
    type Elem = f32;
    type Mask = f32x8;
    const LANES: usize = 8;

    #[inline(always)]
    fn splat(x: f32) -> Self {
        f32x8::splat(x)
    }

    #[inline(always)]
    unsafe fn load(p: *const f32) -> Self {
        // SAFETY: the caller's duty; an array of `f32` is no more aligned than one.
        f32x8::new(unsafe { *p.cast::<[f32; 8]>() })
    }

    #[inline(always)]
    unsafe fn store(self, p: *mut f32) {
        // SAFETY: the caller's duty; an array of `f32` is no more aligned than one.
        unsafe { *p.cast::<[f32; 8]>() = self.to_array() }
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
        f32x8::sqrt(self)
    }

    #[inline(always)]
    fn mul_add(self, b: Self, c: Self) -> Self {
        f32x8::mul_add(self, b, c)
    }

    #[inline(always)]
    fn abs(self) -> Self {
        f32x8::abs(self)
    }

    #[inline(always)]
    fn copysign(self, sign: Self) -> Self {
        let bit = f32x8::splat(-0.0);
        (sign & bit) | f32x8::abs(self)
    }

    // `wide`'s own rounding is one scalar call a lane where the target has no such instruction.
    // Adding 1.5 * 2^23 leaves no bits for a fraction, and rounds to nearest even on the way.
    #[inline(always)]
    fn round(self) -> Self {
        let shift = f32x8::splat(12_582_912.0);
        (self + shift) - shift
    }

    #[inline(always)]
    fn floor(self) -> Self {
        let nearest = self.round();
        Self::select(self.lt(nearest), nearest - f32x8::splat(1.0), nearest)
    }

    #[inline(always)]
    fn pow2(self) -> Self {
        let bits: i32x8 = (self.fast_round_int() + i32x8::splat(127)) << 23;
        f32x8::new(bits.to_array().map(|lane| f32::from_bits(lane as u32)))
    }

    #[inline(always)]
    fn splat_bits(bits: u32) -> Self {
        f32x8::splat(f32::from_bits(bits))
    }

    #[inline(always)]
    unsafe fn store_bits(self, p: *mut u32) {
        // SAFETY: the caller's duty.
        unsafe { self.store(p.cast()) }
    }

    #[inline(always)]
    fn lt(self, b: Self) -> f32x8 {
        self.simd_lt(b)
    }

    #[inline(always)]
    fn le(self, b: Self) -> f32x8 {
        self.simd_le(b)
    }

    #[inline(always)]
    fn is_nan(self) -> f32x8 {
        f32x8::is_nan(self)
    }

    #[inline(always)]
    fn select(mask: f32x8, yes: Self, no: Self) -> Self {
        mask.bitselect(yes, no)
    }

    #[inline(always)]
    fn reduce_add(self) -> f32 {
        let [a, b, c, d, e, f, g, h] = self.to_array();
        ((a + e) + (c + g)) + ((b + f) + (d + h))
    }

    #[inline(always)]
    fn exp(self) -> Self {
        math::exp(self)
    }

    #[inline(always)]
    fn tanh(self) -> Self {
        math::tanh(self)
    }

    #[inline(always)]
    fn sigmoid(self) -> Self {
        math::sigmoid(self)
    }

    #[inline(always)]
    fn normal_cdf(self) -> Self {
        math::normal_cdf(self)
    }

    #[inline(always)]
    fn silu(self) -> Self {
        math::silu(self)
    }

    #[inline(always)]
    fn gelu(self) -> Self {
        math::gelu(self)
    }
}

microkernel! {
    f32x8, MR 4, NV 1, tiles [
        (1, 1), (2, 1), (4, 1),
    ]
}
