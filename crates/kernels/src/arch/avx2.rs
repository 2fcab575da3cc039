//! AVX2 with FMA: eight `f32` lanes, sixteen registers.

use std::arch::x86_64::*;
use std::ops::Range;

use super::{Kernel, Vector};
use crate::gemm::microkernel;
use crate::math;

/// Compiles `kernel` for this set and runs it.
///
/// # Safety
///
/// The machine must have AVX2 and FMA.
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn run<K: Kernel<f32>>(kernel: K) -> K::Output {
    kernel.run::<F32x8>()
}

#[derive(Clone, Copy)]
pub(crate) struct F32x8(__m256);

// An intrinsic is `unsafe` where the compiler cannot see its set enabled. The methods here are
// inlined into `run` above, by the duty of `Vector`'s callers.
macro_rules! intrinsic {
    ($call:expr) => {
        // SAFETY: called from within `run`, on a machine that has the set.
        unsafe { $call }
    };
}

impl F32x8 {
    /// The lower halves of both, and the upper ones.
    #[inline(always)]
    fn halves(self, b: Self) -> [Self; 2] {
        [
            Self(intrinsic!(_mm256_permute2f128_ps::<0x20>(self.0, b.0))),
            Self(intrinsic!(_mm256_permute2f128_ps::<0x31>(self.0, b.0))),
        ]
    }
}

/// Transposes four by four numbers in each half.
#[inline(always)]
fn transpose([a, b, c, d]: [F32x8; 4]) -> [F32x8; 4] {
    let (ab_low, ab_high) =
        (intrinsic!(_mm256_unpacklo_ps(a.0, b.0)), intrinsic!(_mm256_unpackhi_ps(a.0, b.0)));
    let (cd_low, cd_high) =
        (intrinsic!(_mm256_unpacklo_ps(c.0, d.0)), intrinsic!(_mm256_unpackhi_ps(c.0, d.0)));
    [
        F32x8(intrinsic!(_mm256_shuffle_ps::<0x44>(ab_low, cd_low))),
        F32x8(intrinsic!(_mm256_shuffle_ps::<0xEE>(ab_low, cd_low))),
        F32x8(intrinsic!(_mm256_shuffle_ps::<0x44>(ab_high, cd_high))),
        F32x8(intrinsic!(_mm256_shuffle_ps::<0xEE>(ab_high, cd_high))),
    ]
}

/// A mask of the first `len` lanes.
#[inline(always)]
fn first(len: usize) -> __m256i {
    let lanes = intrinsic!(_mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
    intrinsic!(_mm256_cmpgt_epi32(_mm256_set1_epi32(len as i32), lanes))
}

impl Vector for F32x8 {
    type Elem = f32;
    type Mask = __m256;
    const LANES: usize = 8;

    #[inline(always)]
    fn splat(x: f32) -> Self {
        Self(intrinsic!(_mm256_set1_ps(x)))
    }

    #[inline(always)]
    unsafe fn load(p: *const f32) -> Self {
        // SAFETY: the caller's duty.
        Self(unsafe { _mm256_loadu_ps(p) })
    }

    #[inline(always)]
    unsafe fn load_first(p: *const f32, len: usize) -> Self {
        // SAFETY: the lanes of the mask are the caller's duty; the others are not touched.
        Self(unsafe { _mm256_maskload_ps(p, first(len)) })
    }

    #[inline(always)]
    unsafe fn store_first(self, p: *mut f32, len: usize) {
        // SAFETY: as above.
        unsafe { _mm256_maskstore_ps(p, first(len), self.0) }
    }

    #[inline(always)]
    unsafe fn load_range(p: *const f32, lanes: Range<usize>) -> Self {
        let mask = intrinsic!(_mm256_andnot_si256(first(lanes.start), first(lanes.end)));
        // SAFETY: the lanes of the mask are the caller's duty; the others are not touched.
        Self(unsafe { _mm256_maskload_ps(p, mask) })
    }

    #[inline(always)]
    fn deinterleave([a, b, c, d]: [Self; 4]) -> [Self; 4] {
        let ([first, second], [third, fourth]) = (a.halves(c), b.halves(d));
        transpose([first, second, third, fourth])
    }

    #[inline(always)]
    fn interleave(vectors: [Self; 4]) -> [Self; 4] {
        let [first, second, third, fourth] = transpose(vectors);
        let ([a, c], [b, d]) = (first.halves(second), third.halves(fourth));
        [a, b, c, d]
    }

    #[inline(always)]
    unsafe fn store(self, p: *mut f32) {
        // SAFETY: the caller's duty.
        unsafe { _mm256_storeu_ps(p, self.0) }
    }

    #[inline(always)]
    unsafe fn stream(self, p: *mut f32) {
        // SAFETY: the caller's duty.
        unsafe { _mm256_stream_ps(p, self.0) }
    }

    #[inline(always)]
    fn fence() {
        intrinsic!(_mm_sfence());
    }

    #[inline(always)]
    fn add(self, b: Self) -> Self {
        Self(intrinsic!(_mm256_add_ps(self.0, b.0)))
    }

    #[inline(always)]
    fn sub(self, b: Self) -> Self {
        Self(intrinsic!(_mm256_sub_ps(self.0, b.0)))
    }

    #[inline(always)]
    fn mul(self, b: Self) -> Self {
        Self(intrinsic!(_mm256_mul_ps(self.0, b.0)))
    }

    #[inline(always)]
    fn div(self, b: Self) -> Self {
        Self(intrinsic!(_mm256_div_ps(self.0, b.0)))
    }

    #[inline(always)]
    fn sqrt(self) -> Self {
        Self(intrinsic!(_mm256_sqrt_ps(self.0)))
    }

    #[inline(always)]
    fn mul_add(self, b: Self, c: Self) -> Self {
        Self(intrinsic!(_mm256_fmadd_ps(self.0, b.0, c.0)))
    }

    #[inline(always)]
    fn abs(self) -> Self {
        Self(intrinsic!(_mm256_andnot_ps(_mm256_set1_ps(-0.0), self.0)))
    }

    #[inline(always)]
    fn copysign(self, sign: Self) -> Self {
        Self(intrinsic!(_mm256_or_ps(
            _mm256_andnot_ps(_mm256_set1_ps(-0.0), self.0),
            _mm256_and_ps(_mm256_set1_ps(-0.0), sign.0),
        )))
    }

    #[inline(always)]
    fn round(self) -> Self {
        const NEAREST: i32 = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
        Self(intrinsic!(_mm256_round_ps::<NEAREST>(self.0)))
    }

    #[inline(always)]
    fn floor(self) -> Self {
        Self(intrinsic!(_mm256_floor_ps(self.0)))
    }

    #[inline(always)]
    fn max(self, b: Self) -> Self {
        Self(intrinsic!(_mm256_max_ps(self.0, b.0)))
    }

    #[inline(always)]
    fn pow2(self) -> Self {
        Self(intrinsic!(_mm256_castsi256_ps(_mm256_slli_epi32::<23>(_mm256_add_epi32(
            _mm256_cvtps_epi32(self.0),
            _mm256_set1_epi32(127)
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
    fn lt(self, b: Self) -> __m256 {
        intrinsic!(_mm256_cmp_ps::<_CMP_LT_OQ>(self.0, b.0))
    }

    #[inline(always)]
    fn le(self, b: Self) -> __m256 {
        intrinsic!(_mm256_cmp_ps::<_CMP_LE_OQ>(self.0, b.0))
    }

    #[inline(always)]
    fn is_nan(self) -> __m256 {
        intrinsic!(_mm256_cmp_ps::<_CMP_UNORD_Q>(self.0, self.0))
    }

    #[inline(always)]
    fn select(mask: __m256, yes: Self, no: Self) -> Self {
        Self(intrinsic!(_mm256_blendv_ps(no.0, yes.0, mask)))
    }

    #[inline(always)]
    fn reduce_add(self) -> f32 {
        let mut lanes = [0.0; 8];
        self.write_to(&mut lanes);
        let [a, b, c, d, e, f, g, h] = lanes;
        ((a + e) + (c + g)) + ((b + f) + (d + h))
    }

    #[inline(always)]
    fn reduce_each(vectors: &[Self]) -> Self {
        let four = |v: &[Self]| {
            intrinsic!(_mm256_hadd_ps(
                _mm256_hadd_ps(v[0].0, v[1].0),
                _mm256_hadd_ps(v[2].0, v[3].0)
            ))
        };
        let (a, b) = (four(&vectors[..4]), four(&vectors[4..8]));
        // Half of each sum is in either half of its vector.
        Self(intrinsic!(_mm256_add_ps(
            _mm256_permute2f128_ps::<0x20>(a, b),
            _mm256_permute2f128_ps::<0x31>(a, b)
        )))
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
    // Of the sixteen registers twelve hold sums, two a row of B, one a number of A. Four rows of
    // three vectors would need every register, and the compiler spills a sum in the inner loop:
    // 40 % of peak instead of 90 %.
    F32x8, MR 6, NV 2, tiles [
        (1, 1), (2, 1), (4, 1), (6, 1),
        (1, 2), (2, 2), (4, 2), (6, 2),
    ]
}
