//! Activation functions and their gradients.

use super::lanes::{Lanes, each, lanes, splat};
use crate::arch::Vector;
use crate::element::Element;
use crate::error::Result;

lanes!(Relu, 1 -> 1, cost 1, |[x], _| {
    let zero = splat::<V>(0.0);
    [V::select(x.lt(zero), zero, x)]
});

/// `y = max(x, 0)`; NaN stays NaN.
///
/// # Errors
///
/// If the lengths differ.
///
/// ```
/// let mut y = [0.0f32; 3];
/// topedge_kernels::elementwise::relu(&[-1.0, 0.5, f32::NAN], &mut y)?;
/// assert_eq!(y[..2], [0.0, 0.5]);
/// assert!(y[2].is_nan());
/// # Ok::<(), topedge_kernels::ShapeError>(())
/// ```
pub fn relu<T: Element>(x: &[T], y: &mut [T]) -> Result<()> {
    each("relu", Relu, [("x", x)], [("y", y)])
}

lanes!(ReluBackward, 2 -> 1, cost 1, |[y, dy], _| {
    let zero = splat::<V>(0.0);
    [V::select(y.le(zero), zero, dy)]
});

/// `dx = dy` where the output `y` of [`relu`] is not 0, else 0.
///
/// # Errors
///
/// If the lengths differ.
pub fn relu_backward<T: Element>(y: &[T], dy: &[T], dx: &mut [T]) -> Result<()> {
    each("relu_backward", ReluBackward, [("y", y), ("dy", dy)], [("dx", dx)])
}

lanes!(LeakyRelu { slope }, 1 -> 1, cost 1, |[x], _| {
    [V::select(x.lt(splat(0.0)), x.mul(slope), x)]
});

/// `y = x` where `x` is positive, else `slope * x`.
///
/// # Errors
///
/// If the lengths differ.
pub fn leaky_relu<T: Element>(x: &[T], slope: T, y: &mut [T]) -> Result<()> {
    each("leaky_relu", LeakyRelu { slope }, [("x", x)], [("y", y)])
}

lanes!(LeakyReluBackward { slope }, 2 -> 1, cost 1, |[x, dy], _| {
    [V::select(splat::<V>(0.0).lt(x), dy, dy.mul(slope))]
});

/// `dx = dy` where `x`, the input, is positive, else `slope * dy`.
///
/// # Errors
///
/// If the lengths differ.
pub fn leaky_relu_backward<T: Element>(x: &[T], slope: T, dy: &[T], dx: &mut [T]) -> Result<()> {
    let lanes = LeakyReluBackward { slope };
    each("leaky_relu_backward", lanes, [("x", x), ("dy", dy)], [("dx", dx)])
}

lanes!(Sigmoid, 1 -> 1, cost 4, |[x], _| [x.sigmoid()]);

/// `y = 1 / (1 + e^-x)`.
///
/// # Errors
///
/// If the lengths differ.
pub fn sigmoid<T: Element>(x: &[T], y: &mut [T]) -> Result<()> {
    each("sigmoid", Sigmoid, [("x", x)], [("y", y)])
}

lanes!(SigmoidBackward, 2 -> 1, cost 1, |[y, dy], _| {
    [dy.mul(y.mul(splat::<V>(1.0).sub(y)))]
});

/// `dx = dy * y * (1 - y)`, of the output `y` of [`sigmoid`].
///
/// # Errors
///
/// If the lengths differ.
pub fn sigmoid_backward<T: Element>(y: &[T], dy: &[T], dx: &mut [T]) -> Result<()> {
    each("sigmoid_backward", SigmoidBackward, [("y", y), ("dy", dy)], [("dx", dx)])
}

lanes!(Tanh, 1 -> 1, cost 4, |[x], _| [x.tanh()]);

/// The hyperbolic tangent of each element.
///
/// # Errors
///
/// If the lengths differ.
pub fn tanh<T: Element>(x: &[T], y: &mut [T]) -> Result<()> {
    each("tanh", Tanh, [("x", x)], [("y", y)])
}

lanes!(TanhBackward, 2 -> 1, cost 1, |[y, dy], _| {
    [dy.mul(splat::<V>(1.0).sub(y.mul(y)))]
});

/// `dx = dy * (1 - y^2)`, of the output `y` of [`tanh()`].
///
/// # Errors
///
/// If the lengths differ.
pub fn tanh_backward<T: Element>(y: &[T], dy: &[T], dx: &mut [T]) -> Result<()> {
    each("tanh_backward", TanhBackward, [("y", y), ("dy", dy)], [("dx", dx)])
}

/// `x`, kept within `[-limit, limit]`: where a function has long met its asymptote, this keeps
/// infinity times zero out of its formula. NaN stays NaN.
#[inline(always)]
fn clamp<V: Vector>(x: V, limit: f64) -> V {
    let x = V::select(x.lt(splat(-limit)), splat(-limit), x);
    V::select(splat::<V>(limit).lt(x), splat(limit), x)
}

/// The normal distribution is 0 below minus this even in `f64`.
const NORMAL_LIMIT: f64 = 40.0;
/// As is the logistic one below minus this.
const LOGISTIC_LIMIT: f64 = 800.0;

lanes!(Gelu, 1 -> 1, cost 8, |[x], _| [x.gelu()]);

/// `y = x * (1 + erf(x / sqrt 2)) / 2`: the exact GELU, PyTorch's default (Hendrycks and Gimpel,
/// 2016). Accurate in the negative tail too.
///
/// # Errors
///
/// If the lengths differ.
pub fn gelu<T: Element>(x: &[T], y: &mut [T]) -> Result<()> {
    each("gelu", Gelu, [("x", x)], [("y", y)])
}

lanes!(GeluBackward, 2 -> 1, cost 8, |[x, dy], _| {
    // The derivative of x * cdf(x) is cdf(x) + x * pdf(x).
    let x = clamp(x, NORMAL_LIMIT);
    let density = x.mul(x).mul(splat(-0.5)).exp().mul(splat(0.398_942_280_401_432_7));
    [dy.mul(x.mul(density).add(x.normal_cdf()))]
});

/// The gradient of [`gelu`] at its input `x`, times `dy`.
///
/// # Errors
///
/// If the lengths differ.
pub fn gelu_backward<T: Element>(x: &[T], dy: &[T], dx: &mut [T]) -> Result<()> {
    each("gelu_backward", GeluBackward, [("x", x), ("dy", dy)], [("dx", dx)])
}

lanes!(Silu, 1 -> 1, cost 4, |[x], _| [x.silu()]);

/// `y = x * sigmoid(x)`, also called swish.
///
/// # Errors
///
/// If the lengths differ.
pub fn silu<T: Element>(x: &[T], y: &mut [T]) -> Result<()> {
    each("silu", Silu, [("x", x)], [("y", y)])
}

lanes!(SiluBackward, 2 -> 1, cost 4, |[x, dy], _| {
    let x = clamp(x, LOGISTIC_LIMIT);
    let (one, s) = (splat::<V>(1.0), x.sigmoid());
    [dy.mul(s.mul(x.mul(one.sub(s)).add(one)))]
});

/// `dx = dy * s * (1 + x * (1 - s))` with `s = sigmoid(x)`: the gradient of [`silu`] at its input.
///
/// # Errors
///
/// If the lengths differ.
pub fn silu_backward<T: Element>(x: &[T], dy: &[T], dx: &mut [T]) -> Result<()> {
    each("silu_backward", SiluBackward, [("x", x), ("dy", dy)], [("dx", dx)])
}
