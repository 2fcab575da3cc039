//! Batch norm.
#![allow(unused_variables)]
use crate::{Element, Result, ShapeError, MatRef, MatMut, TensorRef, TensorMut};

/// How channels lie in `x`: `[outer][channels][inner]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChannelLayout {
    /// Batch for NCHW; batch * height * width for channels-last; 1 for batch-last.
    pub outer: usize,
    /// Channels.
    pub channels: usize,
    /// height * width for NCHW; 1 for channels-last; height * width * batch for batch-last.
    pub inner: usize,
}
/// What normalisation needs of each channel.
#[derive(Debug, Clone, Copy)]
pub struct BatchNorm<'a, T> {
    /// Layout of x, y, dy, dx.
    pub layout: ChannelLayout,
    /// `[channels]`
    pub mean: &'a [T],
    /// `[channels]`, biased in training.
    pub var: &'a [T],
    /// `[channels]`
    pub gamma: &'a [T],
    /// Added to the variance.
    pub eps: T,
}
/// To come.
pub fn batch_stats<T: Element>(x: &[T], layout: ChannelLayout, mean: &mut [T], var: &mut [T]) -> Result<()> {
    todo!()
}

/// To come.
pub fn normalize<T: Element>(x: &[T], norm: &BatchNorm<'_, T>, beta: &[T], y: &mut [T]) -> Result<()> {
    todo!()
}

/// To come.
pub fn backward_train<T: Element>(x: &[T], dy: &[T], norm: &BatchNorm<'_, T>, dx: &mut [T], dgamma: &mut [T], dbeta: &mut [T]) -> Result<()> {
    todo!()
}

/// To come.
pub fn backward_eval<T: Element>(x: &[T], dy: &[T], norm: &BatchNorm<'_, T>, dx: &mut [T], dgamma: &mut [T], dbeta: &mut [T]) -> Result<()> {
    todo!()
}
