//! The functions of one number, in double precision, and the copies of strided views.

use std::f64::consts::{FRAC_1_SQRT_2, PI};

/// As [`crate::elementwise::relu`].
pub fn relu(x: f64) -> f64 {
    if x < 0.0 { 0.0 } else { x }
}

/// As [`crate::elementwise::relu_backward`]: of the output.
pub fn relu_backward(y: f64, dy: f64) -> f64 {
    if y <= 0.0 { 0.0 } else { dy }
}

/// As [`crate::elementwise::leaky_relu`].
pub fn leaky_relu(x: f64, slope: f64) -> f64 {
    if x < 0.0 { slope * x } else { x }
}

/// As [`crate::elementwise::leaky_relu_backward`].
pub fn leaky_relu_backward(x: f64, slope: f64, dy: f64) -> f64 {
    if x > 0.0 { dy } else { slope * dy }
}

/// As [`crate::elementwise::sigmoid`].
pub fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// As [`crate::elementwise::sigmoid_backward`]: of the output.
pub fn sigmoid_backward(y: f64, dy: f64) -> f64 {
    dy * y * (1.0 - y)
}

/// As [`crate::elementwise::tanh_backward`]: of the output.
pub fn tanh_backward(y: f64, dy: f64) -> f64 {
    dy * (1.0 - y * y)
}

/// The distribution function of the standard normal.
pub fn normal_cdf(x: f64) -> f64 {
    0.5 * libm::erfc(-x * FRAC_1_SQRT_2)
}

/// As [`crate::elementwise::gelu`].
pub fn gelu(x: f64) -> f64 {
    if x == f64::NEG_INFINITY { 0.0 } else { x * normal_cdf(x) }
}

/// As [`crate::elementwise::gelu_backward`].
pub fn gelu_backward(x: f64, dy: f64) -> f64 {
    let x = x.clamp(-1e3, 1e3);
    dy * (normal_cdf(x) + x * (-0.5 * x * x).exp() / (2.0 * PI).sqrt())
}

/// As [`crate::elementwise::silu`].
pub fn silu(x: f64) -> f64 {
    if x == f64::NEG_INFINITY { 0.0 } else { x * sigmoid(x) }
}

/// As [`crate::elementwise::silu_backward`].
pub fn silu_backward(x: f64, dy: f64) -> f64 {
    let (x, s) = (x.clamp(-1e3, 1e3), sigmoid(x));
    dy * s * (1.0 + x * (1.0 - s))
}

/// Calls `each` with the place of every element of a strided view, in row-major order.
fn for_each_place(shape: &[usize], strides: &[usize], offset: usize, each: &mut impl FnMut(usize)) {
    match (shape, strides) {
        ([size, shape @ ..], [stride, strides @ ..]) => {
            for i in 0..*size {
                for_each_place(shape, strides, offset + i * stride, each);
            }
        }
        _ => each(offset),
    }
}

/// As [`crate::elementwise::copy_strided`], for a view that lies within `x`.
///
/// # Panics
///
/// If it does not.
pub fn copy_strided<T: Copy>(x: &[T], shape: &[usize], strides: &[usize], offset: usize) -> Vec<T> {
    let mut y = vec![];
    for_each_place(shape, strides, offset, &mut |place| y.push(x[place]));
    y
}

/// As [`crate::elementwise::scatter_strided`], for a view that lies within `y` and has as many
/// elements as `x`.
///
/// # Panics
///
/// If it does not.
pub fn scatter_strided(
    x: &[f64],
    y: &mut [f64],
    shape: &[usize],
    strides: &[usize],
    offset: usize,
) {
    let mut x = x.iter();
    for_each_place(shape, strides, offset, &mut |place| {
        y[place] += x.next().expect("as many elements as places");
    });
}
