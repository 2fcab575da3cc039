//! What a vector of an instruction set can do, and how a kernel is handed to one.

use std::ops::Range;

use crate::element::Element;

/// The most lanes of any instruction set: the size of buffers on the stack.
pub(crate) const MAX_LANES: usize = 16;

/// Work that is written once, over any vector type, and compiled for each instruction set.
///
/// Implement `run` as `#[inline(always)]`, and everything it calls that touches a vector too: it
/// is the inlining into the instruction set's entry that compiles it for that set.
pub(crate) trait Kernel<T: Element> {
    type Output;

    fn run<V: Microkernel<Elem = T>>(self) -> Self::Output;
}

pub(crate) use crate::gemm::Microkernel;

/// `LANES` numbers that are worked on at once.
///
/// The methods are compiled to the instructions of one set, so they must only be called from
/// within [`Kernel::run`], which is entered where the machine has that set. All arithmetic is IEEE
/// per lane, in the caller's order, so results do not depend on how work is cut.
pub(crate) trait Vector: Copy {
    type Elem: Element;
    /// One truth value per lane.
    type Mask: Copy;
    const LANES: usize;

    fn splat(x: Self::Elem) -> Self;

    /// # Safety
    ///
    /// `p` must be valid for reading `LANES` elements; it need not be aligned.
    unsafe fn load(p: *const Self::Elem) -> Self;

    /// # Safety
    ///
    /// `p` must be valid for writing `LANES` elements; it need not be aligned.
    unsafe fn store(self, p: *mut Self::Elem);

    /// Stores past the caches what is not read again soon: no line is fetched first. Before other threads
    /// may read it, this one must call [`fence`](Self::fence).
    ///
    /// # Safety
    ///
    /// `p` must be valid for writing `LANES` elements, and aligned to a whole vector.
    #[inline(always)]
    unsafe fn stream(self, p: *mut Self::Elem) {
        // SAFETY: the caller's duty.
        unsafe { self.store(p) }
    }

    /// Orders what was streamed before what is stored from now on.
    #[inline(always)]
    fn fence() {}

    /// The first `len` elements from `p` on, at most `LANES`, with zeros in the lanes behind them.
    ///
    /// # Safety
    ///
    /// `p` must be valid for reading `len` elements.
    #[inline(always)]
    unsafe fn load_first(p: *const Self::Elem, len: usize) -> Self {
        let mut lanes = [Self::Elem::ZERO; MAX_LANES];
        for (i, lane) in lanes[..len].iter_mut().enumerate() {
            // SAFETY: the caller's duty.
            *lane = unsafe { *p.add(i) };
        }
        Self::from_slice(&lanes)
    }

    /// Stores the first `len` lanes, at most `LANES`.
    ///
    /// # Safety
    ///
    /// `p` must be valid for writing `len` elements.
    #[inline(always)]
    unsafe fn store_first(self, p: *mut Self::Elem, len: usize) {
        let mut lanes = [Self::Elem::ZERO; MAX_LANES];
        self.write_to(&mut lanes);
        for (i, &lane) in lanes[..len].iter().enumerate() {
            // SAFETY: the caller's duty.
            unsafe { *p.add(i) = lane };
        }
    }

    /// The elements of `lanes` from `p` on, each in its lane, with zeros in the others.
    ///
    /// # Safety
    ///
    /// `p + i` must be valid for reading for each `i` of `lanes`; `p` itself may be anywhere.
    #[inline(always)]
    unsafe fn load_range(p: *const Self::Elem, lanes: Range<usize>) -> Self {
        let mut x = [Self::Elem::ZERO; MAX_LANES];
        for (i, x) in (lanes.start..).zip(&mut x[lanes]) {
            // SAFETY: the caller's duty.
            *x = unsafe { *p.wrapping_add(i) };
        }
        Self::from_slice(&x)
    }

    /// Deals out the lanes, one behind the other, in turn: vector `i` gets numbers `i`, `i + 4`, ...
    #[inline(always)]
    fn deinterleave(vectors: [Self; 4]) -> [Self; 4] {
        let mut numbers = [Self::Elem::ZERO; 4 * MAX_LANES];
        for (vector, to) in vectors.into_iter().zip(numbers.chunks_exact_mut(Self::LANES)) {
            vector.write_to(to);
        }
        std::array::from_fn(|i| {
            let mut lanes = [Self::Elem::ZERO; MAX_LANES];
            for (lane, &x) in lanes[..Self::LANES].iter_mut().zip(numbers[i..].iter().step_by(4)) {
                *lane = x;
            }
            Self::from_slice(&lanes)
        })
    }

    /// The inverse of [`deinterleave`](Self::deinterleave): lane 0 of each, then lane 1 of each, ...
    #[inline(always)]
    fn interleave(vectors: [Self; 4]) -> [Self; 4] {
        let mut numbers = [Self::Elem::ZERO; 4 * MAX_LANES];
        for (i, vector) in vectors.into_iter().enumerate() {
            let mut lanes = [Self::Elem::ZERO; MAX_LANES];
            vector.write_to(&mut lanes);
            for (&lane, x) in lanes[..Self::LANES].iter().zip(numbers[i..].iter_mut().step_by(4)) {
                *x = lane;
            }
        }
        std::array::from_fn(|i| Self::from_slice(&numbers[i * Self::LANES..]))
    }

    fn add(self, b: Self) -> Self;
    fn sub(self, b: Self) -> Self;
    fn mul(self, b: Self) -> Self;
    fn div(self, b: Self) -> Self;
    fn sqrt(self) -> Self;
    /// `self * b + c`, with one rounding where the instruction set can.
    fn mul_add(self, b: Self, c: Self) -> Self;
    fn abs(self) -> Self;
    /// The magnitude of `self` with the sign of `sign`.
    fn copysign(self, sign: Self) -> Self;
    /// To the nearest integer, ties to even. Exact for any finite value below 2^22 in magnitude.
    fn round(self) -> Self;
    /// To the integer below. Exact for any finite value below 2^22 in magnitude.
    fn floor(self) -> Self;
    /// 2^self, for integers within the exponents of normal numbers.
    fn pow2(self) -> Self;

    /// `bits` in every lane: to be selected and stored, not calculated with.
    fn splat_bits(bits: u32) -> Self;
    /// The greater of both; `b` where one is NaN.
    #[inline(always)]
    fn max(self, b: Self) -> Self {
        Self::select(b.lt(self), self, b)
    }

    /// The low 32 bits of each lane.
    ///
    /// # Safety
    ///
    /// `p` must be valid for writing `LANES` elements; it need not be aligned beyond theirs.
    unsafe fn store_bits(self, p: *mut u32);

    /// Ordered comparisons: false where either side is NaN.
    fn lt(self, b: Self) -> Self::Mask;
    fn le(self, b: Self) -> Self::Mask;
    fn is_nan(self) -> Self::Mask;
    /// `yes` in the lanes where `mask` holds, `no` in the others.
    fn select(mask: Self::Mask, yes: Self, no: Self) -> Self;

    /// The sum of the lanes, in a fixed order.
    fn reduce_add(self) -> Self::Elem;

    /// The sum of the lanes of each of the first `LANES` vectors (there must be as many), one a lane,
    /// each in a fixed order.
    #[inline(always)]
    fn reduce_each(vectors: &[Self]) -> Self {
        let mut lanes = [Self::Elem::ZERO; MAX_LANES];
        for (lane, vector) in lanes.iter_mut().zip(&vectors[..Self::LANES]) {
            *lane = vector.reduce_add();
        }
        Self::from_slice(&lanes)
    }

    /// e^self; see `math` for the accuracy.
    fn exp(self) -> Self;
    /// Hyperbolic tangent.
    fn tanh(self) -> Self;
    /// 1 / (1 + e^-self).
    fn sigmoid(self) -> Self;
    /// The distribution function of the standard normal, (1 + erf(self / sqrt 2)) / 2.
    fn normal_cdf(self) -> Self;
    /// self * sigmoid(self); 0 for minus infinity.
    fn silu(self) -> Self;
    /// self * normal_cdf(self); 0 for minus infinity.
    fn gelu(self) -> Self;

    /// The first `LANES` elements of `s`.
    #[inline(always)]
    fn from_slice(s: &[Self::Elem]) -> Self {
        assert!(s.len() >= Self::LANES);
        // SAFETY: the slice holds `LANES` elements.
        unsafe { Self::load(s.as_ptr()) }
    }

    /// Writes the first `LANES` elements of `s`.
    #[inline(always)]
    fn write_to(self, s: &mut [Self::Elem]) {
        assert!(s.len() >= Self::LANES);
        // SAFETY: the slice holds `LANES` elements.
        unsafe { self.store(s.as_mut_ptr()) }
    }

    /// The elements of `s`, fewer than `LANES`, with `fill` in the lanes behind them.
    #[inline(always)]
    fn from_partial(s: &[Self::Elem], fill: Self::Elem) -> Self {
        let mut lanes = [fill; MAX_LANES];
        lanes[..s.len()].copy_from_slice(s);
        Self::from_slice(&lanes)
    }

    /// Writes the first `s.len()` lanes, fewer than `LANES`.
    #[inline(always)]
    fn write_partial(self, s: &mut [Self::Elem]) {
        let mut lanes = [Self::Elem::ZERO; MAX_LANES];
        self.write_to(&mut lanes);
        s.copy_from_slice(&lanes[..s.len()]);
    }
}
