//! Pooling.
#![allow(unused_variables)]
use crate::{Element, Result, ShapeError, MatRef, MatMut, TensorRef, TensorMut};

/// Config.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pool2dConfig {
    /// Window `[height, width]`.
    pub kernel: [usize; 2],
    /// Step.
    pub stride: [usize; 2],
    /// Padding.
    pub padding: [usize; 2],
    /// Dilation (max only).
    pub dilation: [usize; 2],
    /// Ceil.
    pub ceil_mode: bool,
    /// Whether padding counts.
    pub count_include_pad: bool,
}
impl Pool2dConfig {
    /// PyTorch's defaults.
    pub fn new(kernel: [usize; 2]) -> Self { Self { kernel, stride: kernel, padding: [0;2], dilation: [1;2], ceil_mode: false, count_include_pad: true } }
}
/// Output shape.
pub fn output_shape(input: [usize; 4], config: &Pool2dConfig) -> Result<[usize; 4]> { todo!() }
/// To come.
pub fn max_forward<T: Element>(x: TensorRef<'_, T>, config: &Pool2dConfig, y: TensorMut<'_, T>, indices: TensorMut<'_, u32>) -> Result<()> {
    todo!()
}

/// To come.
pub fn max_backward<T: Element>(dy: TensorRef<'_, T>, indices: TensorRef<'_, u32>, dx: TensorMut<'_, T>) -> Result<()> {
    todo!()
}

/// To come.
pub fn avg_forward<T: Element>(x: TensorRef<'_, T>, config: &Pool2dConfig, y: TensorMut<'_, T>) -> Result<()> {
    todo!()
}

/// To come.
pub fn avg_backward<T: Element>(dy: TensorRef<'_, T>, config: &Pool2dConfig, dx: TensorMut<'_, T>) -> Result<()> {
    todo!()
}

/// To come.
pub fn adaptive_avg_forward<T: Element>(x: TensorRef<'_, T>, y: TensorMut<'_, T>) -> Result<()> {
    todo!()
}

/// To come.
pub fn adaptive_avg_backward<T: Element>(dy: TensorRef<'_, T>, dx: TensorMut<'_, T>) -> Result<()> {
    todo!()
}

/// To come.
pub fn adaptive_max_forward<T: Element>(x: TensorRef<'_, T>, y: TensorMut<'_, T>, indices: TensorMut<'_, u32>) -> Result<()> {
    todo!()
}
