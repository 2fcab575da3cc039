//! The transcendental functions, on vectors of `f32`.
//!
//! The polynomials are minimax fits, by Lawson's iteration, for coefficients that are `f32` numbers.
//! `tests/math.rs` holds the accuracy of each function: within 2 units in the last place of a result,
//! unless that is below the smallest normal number and flushed to 0.

use crate::arch::Vector;
use crate::elementwise::lane_by_lane;

/// `c[0] + c[1] * x + c[2] * x^2 + ..`
#[inline(always)]
fn polynomial<V: Vector<Elem = f32>, const N: usize>(x: V, c: [f32; N]) -> V {
    let mut sum = V::splat(c[N - 1]);
    for &c in c[..N - 1].iter().rev() {
        sum = sum.mul_add(x, V::splat(c));
    }
    sum
}

/// `x`, at least `low` and at most `high`; NaN stays NaN.
#[inline(always)]
fn clamp<V: Vector<Elem = f32>>(x: V, low: f32, high: f32) -> V {
    let (low, high) = (V::splat(low), V::splat(high));
    let x = V::select(x.lt(low), low, x);
    V::select(high.lt(x), high, x)
}

/// e^(x + y), for `x` from -128 to 128 and a small `y`.
///
/// With `n` the integer nearest to `x / ln 2`, that is `2^n * e^r` for an `r` between
/// -`ln 2` / 2 and `ln 2` / 2, give or take `y`.
#[inline(always)]
fn exp_sum<V: Vector<Elem = f32>>(x: V, y: V) -> V {
    // The first part of ln 2 has so few bits that its product with `n` is exact.
    const LN_2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4];
    // (e^r - 1 - r) / r^2
    const P: [f32; 6] =
        [0.5, 0.166_666_64, 0.041_666_392, 0.008_333_804, 0.001_394_267_2, 1.966_441_9e-4];
    let n = x.mul(V::splat(std::f32::consts::LOG2_E)).round();
    let r = n.mul_add(V::splat(-LN_2[0]), x);
    let r = n.mul_add(V::splat(-LN_2[1]), r).add(y);
    let exp = polynomial(r, P).mul_add(r.mul(r), r).add(V::splat(1.0));
    // In two steps: 2^n alone may lie beyond the normal numbers where the result does not.
    let half = n.mul(V::splat(0.5)).round();
    exp.mul(half.pow2()).mul(n.sub(half).pow2())
}

/// e^x.
#[inline(always)]
pub(crate) fn exp<V: Vector<Elem = f32>>(x: V) -> V {
    // Beyond these the result is 0 or infinite.
    exp_sum(clamp(x, -104.0, 104.0), V::splat(0.0))
}

/// Hyperbolic tangent.
#[inline(always)]
pub(crate) fn tanh<V: Vector<Elem = f32>>(x: V) -> V {
    // (tanh(x) / x - 1) / x^2 as a function of x^2, for x up to 0.625
    const P: [f32; 6] = [
        -0.333_333_3,
        0.133_332_21,
        -0.053_948_18,
        0.021_706_894,
        -0.008_190_013_5,
        0.002_152_683_7,
    ];
    let (magnitude, square) = (x.abs(), x.mul(x));
    let small = polynomial(square, P).mul(square).mul_add(x, x);
    let exp = exp(magnitude.add(magnitude));
    let large = V::splat(1.0).sub(V::splat(2.0).div(exp.add(V::splat(1.0))));
    V::select(magnitude.lt(V::splat(0.625)), small, large.copysign(x))
}

/// 1 / (1 + e^-x).
#[inline(always)]
pub(crate) fn sigmoid<V: Vector<Elem = f32>>(x: V) -> V {
    let (zero, one) = (V::splat(0.0), V::splat(1.0));
    // e / (1 + e) for e = exp(-|x|), which loses nothing to the rounding of 1 + e where e is small.
    let e = exp(zero.sub(x.abs()));
    let below = e.sub(e.mul(e.div(e.add(one))));
    V::select(x.lt(zero), below, one.sub(below))
}

// Mills' ratio over sqrt(2 pi), from 0 to `TAIL`, where the tail has long left the normal numbers. All
// terms are positive: nothing cancels.
const TAIL: f64 = 14.0;
const NUMERATOR: [f32; 5] =
    [0.686_082_6, 0.600_563_8, 0.250_799_54, 0.055_543_274, 0.005_616_729_6];
const DENOMINATOR: [f32; 6] =
    [1.372_165_2, 2.295_957_6, 1.647_419_3, 0.642_529_7, 0.139_235_48, 0.014_078_882];

/// The distribution function of the standard normal, accurate in its tail too: `e^(-x^2 / 2)` times
/// a rational function of the magnitude below 0, and 1 less the same above.
#[inline(always)]
pub(crate) fn normal_cdf<V: Vector<Elem = f32>>(x: V) -> V {
    let t = clamp(x.abs(), 0.0, TAIL as f32);
    let ratio = polynomial(t, NUMERATOR).div(polynomial(t, DENOMINATOR));
    // t^2 / 2 in two parts: the square of 12 bits of t is exact.
    let short = t.mul(V::splat(256.0)).round().mul(V::splat(1.0 / 256.0));
    let first = short.mul(short).mul(V::splat(-0.5));
    let second = t.sub(short).mul(t.add(short)).mul(V::splat(-0.5));
    let tail = ratio.mul(exp_sum(first, second));
    V::select(x.lt(V::splat(0.0)), tail, V::splat(1.0).sub(tail))
}

/// e^x in double precision, for `x` from -700 to 700, to eight digits: of plain arithmetic, which the
/// compiler makes vectors of.
#[inline(always)]
fn exp_double(x: f64) -> f64 {
    // 1 / k!
    const P: [f64; 8] =
        [1.0, 1.0, 1.0 / 2.0, 1.0 / 6.0, 1.0 / 24.0, 1.0 / 120.0, 1.0 / 720.0, 1.0 / 5040.0];
    // Leaves no bits for a fraction, so that the last ones are those of the nearest whole number.
    const SHIFT: f64 = 6_755_399_441_055_744.0;
    let shifted = x * std::f64::consts::LOG2_E + SHIFT;
    let r = x - (shifted - SHIFT) * std::f64::consts::LN_2;
    let power = f64::from_bits((shifted.to_bits() << 52).wrapping_add(1.0_f64.to_bits()));
    horner(r, P) * power
}

/// `c[0] + c[1] * x + c[2] * x^2 + ..` in double precision.
#[inline(always)]
fn horner<const N: usize>(x: f64, c: [f64; N]) -> f64 {
    let mut sum = c[N - 1];
    for &c in c[..N - 1].iter().rev() {
        sum = sum * x + c;
    }
    sum
}

/// `x * sigmoid(x)`, in double precision until the last rounding: else the product would be flushed
/// where the sigmoid is.
#[inline(always)]
pub(crate) fn silu<V: Vector<Elem = f32>>(x: V) -> V {
    // Beyond -120 the result is 0. NaN stays NaN.
    lane_by_lane(x, |x| {
        let x = if x < -120.0 { -120.0 } else { x };
        x / (1.0 + exp_double(if x > 120.0 { -120.0 } else { -x }))
    })
}

/// `x * normal_cdf(x)`, in double precision until the last rounding: the errors of both factors would
/// add up to several units in the last place.
#[inline(always)]
pub(crate) fn gelu<V: Vector<Elem = f32>>(x: V) -> V {
    lane_by_lane(x, |x| {
        let x = if x < -TAIL { -TAIL } else { x };
        let t = if x > TAIL { TAIL } else { x.abs() };
        let ratio = horner(t, NUMERATOR.map(f64::from)) / horner(t, DENOMINATOR.map(f64::from));
        let tail = ratio * exp_double(-0.5 * t * t);
        x * if x < 0.0 { tail } else { 1.0 - tail }
    })
}
