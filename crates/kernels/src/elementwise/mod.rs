//! Functions of each element on its own, on contiguous slices of equal length; and copies between
//! strided and contiguous ones.
//!
//! NaN comes out wherever NaN goes in; but of the gradients of [`relu`] and [`leaky_relu`], where it is in
//! the gradient that goes in. Numbers and results below the smallest normal number are 0.

mod activations;
mod arithmetic;
pub(crate) mod lanes;
mod strided;

pub use activations::{
    gelu, gelu_backward, leaky_relu, leaky_relu_backward, relu, relu_backward, sigmoid,
    sigmoid_backward, silu, silu_backward, tanh, tanh_backward,
};
pub(crate) use arithmetic::lane_by_lane;
pub use arithmetic::{
    add, add_assign, add_scalar, axpy, div, exp, ln, mul, powf, scale, sqrt, sub,
};
pub use strided::{copy_strided, scatter_strided};
