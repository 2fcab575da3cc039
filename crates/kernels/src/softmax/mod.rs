//! Softmax.
#![allow(unused_variables)]
use crate::{Element, Result, ShapeError, MatRef, MatMut, TensorRef, TensorMut};

/// Options of [`cross_entropy`]. `Default` has none.
#[derive(Debug, Clone, Copy, Default)]
pub struct CrossEntropy<'a, T> {
    /// `[classes]`
    pub class_weights: Option<&'a [T]>,
    /// 0 to 1.
    pub label_smoothing: f64,
    /// A label to skip.
    pub ignore_index: Option<u32>,
}
/// To come.
pub fn cross_entropy<T: Element>(logits: MatRef<'_, T>, labels: &[u32], config: &CrossEntropy<'_, T>, dlogits: Option<MatMut<'_, T>>) -> Result<T> { todo!() }
/// To come.
pub fn softmax<T: Element>(x: &[T], outer: usize, n: usize, inner: usize, y: &mut [T]) -> Result<()> {
    todo!()
}

/// To come.
pub fn log_softmax<T: Element>(x: &[T], outer: usize, n: usize, inner: usize, y: &mut [T]) -> Result<()> {
    todo!()
}

/// To come.
pub fn softmax_backward<T: Element>(y: &[T], dy: &[T], outer: usize, n: usize, inner: usize, dx: &mut [T]) -> Result<()> {
    todo!()
}

/// To come.
pub fn log_softmax_backward<T: Element>(y: &[T], dy: &[T], outer: usize, n: usize, inner: usize, dx: &mut [T]) -> Result<()> {
    todo!()
}
