//! Elementwise kernels.
#![allow(unused_variables)]
use crate::{Element, Result, ShapeError, MatRef, MatMut, TensorRef, TensorMut};
/// To come.
pub fn relu<T: Element>(x: &[T], y: &mut [T]) -> Result<()> {
    todo!()
}

/// To come.
pub fn sigmoid<T: Element>(x: &[T], y: &mut [T]) -> Result<()> {
    todo!()
}

/// To come.
pub fn tanh<T: Element>(x: &[T], y: &mut [T]) -> Result<()> {
    todo!()
}

/// To come.
pub fn gelu<T: Element>(x: &[T], y: &mut [T]) -> Result<()> {
    todo!()
}

/// To come.
pub fn silu<T: Element>(x: &[T], y: &mut [T]) -> Result<()> {
    todo!()
}

/// To come.
pub fn exp<T: Element>(x: &[T], y: &mut [T]) -> Result<()> {
    todo!()
}

/// To come.
pub fn ln<T: Element>(x: &[T], y: &mut [T]) -> Result<()> {
    todo!()
}

/// To come.
pub fn sqrt<T: Element>(x: &[T], y: &mut [T]) -> Result<()> {
    todo!()
}

/// To come.
pub fn leaky_relu<T: Element>(x: &[T], slope: T, y: &mut [T]) -> Result<()> {
    todo!()
}

/// To come.
pub fn leaky_relu_backward<T: Element>(x: &[T], slope: T, dy: &[T], dx: &mut [T]) -> Result<()> {
    todo!()
}

/// To come.
pub fn powf<T: Element>(x: &[T], p: T, y: &mut [T]) -> Result<()> {
    todo!()
}

/// To come.
pub fn relu_backward<T: Element>(y: &[T], dy: &[T], dx: &mut [T]) -> Result<()> {
    todo!()
}

/// To come.
pub fn sigmoid_backward<T: Element>(y: &[T], dy: &[T], dx: &mut [T]) -> Result<()> {
    todo!()
}

/// To come.
pub fn tanh_backward<T: Element>(y: &[T], dy: &[T], dx: &mut [T]) -> Result<()> {
    todo!()
}

/// To come.
pub fn gelu_backward<T: Element>(x: &[T], dy: &[T], dx: &mut [T]) -> Result<()> {
    todo!()
}

/// To come.
pub fn silu_backward<T: Element>(x: &[T], dy: &[T], dx: &mut [T]) -> Result<()> {
    todo!()
}

/// To come.
pub fn add<T: Element>(a: &[T], b: &[T], y: &mut [T]) -> Result<()> {
    todo!()
}

/// To come.
pub fn sub<T: Element>(a: &[T], b: &[T], y: &mut [T]) -> Result<()> {
    todo!()
}

/// To come.
pub fn mul<T: Element>(a: &[T], b: &[T], y: &mut [T]) -> Result<()> {
    todo!()
}

/// To come.
pub fn div<T: Element>(a: &[T], b: &[T], y: &mut [T]) -> Result<()> {
    todo!()
}

/// To come.
pub fn add_assign<T: Element>(y: &mut [T], x: &[T]) -> Result<()> {
    todo!()
}

/// To come.
pub fn axpy<T: Element>(alpha: T, x: &[T], y: &mut [T]) -> Result<()> {
    todo!()
}

/// To come.
pub fn scale<T: Element>(x: &[T], alpha: T, y: &mut [T]) -> Result<()> {
    todo!()
}

/// To come.
pub fn add_scalar<T: Element>(x: &[T], s: T, y: &mut [T]) -> Result<()> {
    todo!()
}

/// To come.
pub fn copy_strided<T: Element>(x: &[T], shape: &[usize], strides: &[usize], offset: usize, y: &mut [T]) -> Result<()> {
    todo!()
}

/// To come.
pub fn scatter_strided<T: Element>(x: &[T], y: &mut [T], shape: &[usize], strides: &[usize], offset: usize) -> Result<()> {
    todo!()
}
