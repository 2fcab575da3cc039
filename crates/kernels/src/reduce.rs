//! Reductions.
#![allow(unused_variables)]
use crate::{Element, Result, ShapeError, MatRef, MatMut, TensorRef, TensorMut};
/// To come.
pub fn sum<T: Element>(x: &[T]) -> T { todo!() }
/// To come.
pub fn mean<T: Element>(x: &[T]) -> T { todo!() }
/// To come.
pub fn sum_squares<T: Element>(x: &[T]) -> T { todo!() }
/// To come.
pub fn sum_axis<T: Element>(x: &[T], outer: usize, n: usize, inner: usize, y: &mut [T]) -> Result<()> {
    todo!()
}

/// To come.
pub fn mean_axis<T: Element>(x: &[T], outer: usize, n: usize, inner: usize, y: &mut [T]) -> Result<()> {
    todo!()
}

/// To come.
pub fn argmax_axis<T: Element>(x: &[T], outer: usize, n: usize, inner: usize, y: &mut [u32]) -> Result<()> {
    todo!()
}

/// To come.
pub fn broadcast_axis<T: Element>(x: &[T], outer: usize, n: usize, inner: usize, y: &mut [T]) -> Result<()> {
    todo!()
}
