//! AVX-512F: sixteen `f32` lanes, thirty-two registers.

use std::arch::x86_64::*;
use std::ops::Range;

use super::{Kernel, Vector};
use crate::gemm::microkernel;
use crate::math;

/// Compiles `kernel` for this set and runs it.
///
/// # Safety
///
/// The machine must have AVX-512F.
#[target_feature(enable = "avx512f,avx2,fma")]
pub(super) unsafe fn run<K: Kernel<f32>>(kernel: K) -> K::Output {
    kernel.run::<F32x16>()
}

#[derive(Clone, Copy)]
pub(crate) struct F32x16(__m512);

// An intrinsic is `unsafe` where the compiler cannot see its set enabled. The methods here are
// inlined into `run` above, by the duty of `Vector`'s callers.
macro_rules! intrinsic {
    ($call:expr) => {
        // SAFETY: called from within `run`, on a machine that has the set.
        unsafe { $call }
    };
}

impl F32x16 {
    /// Every other lane from `first` on, of `self` and then of `b`.
    #[inline(always)]
    fn every_other(self, b: Self, first: i32) -> Self {
        let step = intrinsic!(_mm512_setr_epi32(
            0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30
        ));
        let index = intrinsic!(_mm512_add_epi32(step, _mm512_set1_epi32(first)));
        Self(intrinsic!(_mm512_permutex2var_ps(self.0, index, b.0)))
    }

    /// Eight lanes from `first` on, of `self` and of `b` in turn.
    #[inline(always)]
    fn zip_from(self, b: Self, first: i32) -> Self {
        let step =
            intrinsic!(_mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23));
        let index = intrinsic!(_mm512_add_epi32(step, _mm512_set1_epi32(first)));
        Self(intrinsic!(_mm512_permutex2var_ps(self.0, index, b.0)))
    }
}

impl Vector for F32x16 {
    type Elem = f32;
    type Mask = __mmask16;
    const LANES: usize = 16;

    #[inline(always)]
    fn splat(x: f32) -> Self {
        Self(intrinsic!(_mm512_set1_ps(x)))
    }

    #[inline(always)]
    unsafe fn load(p: *const f32) -> Self {
        // SAFETY: the caller's duty.
        Self(unsafe { _mm512_loadu_ps(p) })
    }

    #[inline(always)]
    unsafe fn load_first(p: *const f32, len: usize) -> Self {
        let mask = ((1u32 << len) - 1) as __mmask16;
        // SAFETY: the lanes of the mask are the caller's duty; the others are not touched.
        Self(unsafe { _mm512_maskz_loadu_ps(mask, p) })
    }

    #[inline(always)]
    unsafe fn store_first(self, p: *mut f32, len: usize) {
        let mask = ((1u32 << len) - 1) as __mmask16;
        // SAFETY: the lanes of the mask are the caller's duty; the others are not touched.
        unsafe { _mm512_mask_storeu_ps(p, mask, self.0) }
    }

    #[inline(always)]
    unsafe fn load_range(p: *const f32, lanes: Range<usize>) -> Self {
        let mask = ((1u32 << lanes.end) - (1u32 << lanes.start)) as __mmask16;
        // SAFETY: the lanes of the mask are the caller's duty; the others are not touched.
        Self(unsafe { _mm512_maskz_loadu_ps(mask, p) })
    }

    #[inline(always)]
    fn deinterleave([a, b, c, d]: [Self; 4]) -> [Self; 4] {
        let halves = |x: Self, y: Self| [x.every_other(y, 0), x.every_other(y, 1)];
        let ([even_low, odd_low], [even_high, odd_high]) = (halves(a, b), halves(c, d));
        let ([first, third], [second, fourth]) =
            (halves(even_low, even_high), halves(odd_low, odd_high));
        [first, second, third, fourth]
    }

    #[inline(always)]
    fn interleave([a, b, c, d]: [Self; 4]) -> [Self; 4] {
        let zip = |x: Self, y: Self| [x.zip_from(y, 0), x.zip_from(y, 8)];
        let ([even_low, even_high], [odd_low, odd_high]) = (zip(a, c), zip(b, d));
        let ([first, second], [third, fourth]) = (zip(even_low, odd_low), zip(even_high, odd_high));
        [first, second, third, fourth]
    }

    #[inline(always)]
    unsafe fn store(self, p: *mut f32) {
        // SAFETY: the caller's duty.
        unsafe { _mm512_storeu_ps(p, self.0) }
    }

    #[inline(always)]
    unsafe fn stream(self, p: *mut f32) {
        // SAFETY: the caller's duty.
        unsafe { _mm512_stream_ps(p, self.0) }
    }

    #[inline(always)]
    fn fence() {
        intrinsic!(_mm_sfence());
    }

    #[inline(always)]
    fn add(self, b: Self) -> Self {
        Self(intrinsic!(_mm512_add_ps(self.0, b.0)))
    }

    #[inline(always)]
    fn sub(self, b: Self) -> Self {
        Self(intrinsic!(_mm512_sub_ps(self.0, b.0)))
    }

    #[inline(always)]
    fn mul(self, b: Self) -> Self {
        Self(intrinsic!(_mm512_mul_ps(self.0, b.0)))
    }

    #[inline(always)]
    fn div(self, b: Self) -> Self {
        Self(intrinsic!(_mm512_div_ps(self.0, b.0)))
    }

    #[inline(always)]
    fn sqrt(self) -> Self {
        Self(intrinsic!(_mm512_sqrt_ps(self.0)))
    }

    #[inline(always)]
    fn mul_add(self, b: Self, c: Self) -> Self {
        Self(intrinsic!(_mm512_fmadd_ps(self.0, b.0, c.0)))
    }

    #[inline(always)]
    fn abs(self) -> Self {
        Self(intrinsic!(_mm512_abs_ps(self.0)))
    }

    #[inline(always)]
    fn copysign(self, sign: Self) -> Self {
        // Truth table 0xD8: the third operand's bit where it is set in the mask, else the first's.
        const PICK: i32 = 0xD8;
        Self(intrinsic!(_mm512_castsi512_ps(_mm512_ternarylogic_epi32::<PICK>(
            _mm512_castps_si512(self.0),
            _mm512_castps_si512(sign.0),
            _mm512_set1_epi32(i32::MIN),
        ))))
    }

    #[inline(always)]
    fn round(self) -> Self {
        const NEAREST: i32 = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
        Self(intrinsic!(_mm512_roundscale_ps::<NEAREST>(self.0)))
    }

    #[inline(always)]
    fn floor(self) -> Self {
        const DOWN: i32 = _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC;
        Self(intrinsic!(_mm512_roundscale_ps::<DOWN>(self.0)))
    }

    #[inline(always)]
    fn max(self, b: Self) -> Self {
        Self(intrinsic!(_mm512_max_ps(self.0, b.0)))
    }

    #[inline(always)]
    fn pow2(self) -> Self {
        Self(intrinsic!(_mm512_castsi512_ps(_mm512_slli_epi32::<23>(_mm512_add_epi32(
            _mm512_cvtps_epi32(self.0),
            _mm512_set1_epi32(127)
        )))))
    }

    #[inline(always)]
    fn splat_bits(bits: u32) -> Self {
        Self::splat(f32::from_bits(bits))
    }

    #[inline(always)]
    unsafe fn store_bits(self, p: *mut u32) {
        // SAFETY: the caller's duty.
        unsafe { self.store(p.cast()) }
    }

    #[inline(always)]
    fn lt(self, b: Self) -> __mmask16 {
        intrinsic!(_mm512_cmp_ps_mask::<_CMP_LT_OQ>(self.0, b.0))
    }

    #[inline(always)]
    fn le(self, b: Self) -> __mmask16 {
        intrinsic!(_mm512_cmp_ps_mask::<_CMP_LE_OQ>(self.0, b.0))
    }

    #[inline(always)]
    fn is_nan(self) -> __mmask16 {
        intrinsic!(_mm512_cmp_ps_mask::<_CMP_UNORD_Q>(self.0, self.0))
    }

    #[inline(always)]
    fn select(mask: __mmask16, yes: Self, no: Self) -> Self {
        Self(intrinsic!(_mm512_mask_blend_ps(mask, no.0, yes.0)))
    }

    #[inline(always)]
    fn reduce_add(self) -> f32 {
        intrinsic!(_mm512_reduce_add_ps(self.0))
    }

    #[inline(always)]
    fn reduce_each(vectors: &[Self]) -> Self {
        // Each step halves the vectors, and what is left to add up of each in a vector.
        let mut eight = [Self::splat(0.0).0; 8];
        for (to, pair) in eight.iter_mut().zip(vectors[..16].chunks_exact(2)) {
            let (a, b) = (pair[0].0, pair[1].0);
            *to = intrinsic!(_mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b)));
        }
        let mut four = [eight[0]; 4];
        for (to, pair) in four.iter_mut().zip(eight.chunks_exact(2)) {
            *to = intrinsic!({
                let (a, b) = (_mm512_castps_pd(pair[0]), _mm512_castps_pd(pair[1]));
                let (low, high) = (_mm512_unpacklo_pd(a, b), _mm512_unpackhi_pd(a, b));
                _mm512_add_ps(_mm512_castpd_ps(low), _mm512_castpd_ps(high))
            });
        }
        // Quarters of vectors are whole numbers of sums from here on.
        let halves = |a, b| {
            intrinsic!({
                let (even, odd) =
                    (_mm512_shuffle_f32x4::<0x88>(a, b), _mm512_shuffle_f32x4::<0xDD>(a, b));
                _mm512_add_ps(even, odd)
            })
        };
        let [a, b, c, d] = four;
        Self(halves(halves(a, b), halves(c, d)))
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
    F32x16, MR 8, NV 3, tiles [
        (1, 1), (2, 1), (4, 1), (8, 1),
        (1, 2), (2, 2), (4, 2), (8, 2),
        (1, 3), (2, 3), (4, 3), (8, 3),
    ]
}
