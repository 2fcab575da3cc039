//! Optimisers.
#![allow(unused_variables)]
use crate::{Element, Result, ShapeError, MatRef, MatMut, TensorRef, TensorMut};

/// Adam.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Adam<T> {
    /// Learning rate.
    pub lr: T,
    /// Momentum (beta1).
    pub momentum: T,
    /// Squared momentum (beta2).
    pub sqr_momentum: T,
    /// Added to the denominator.
    pub eps: T,
    /// Weight decay.
    pub weight_decay: T,
    /// Decoupled weight decay (AdamW), else L2.
    pub decoupled: bool,
    /// The number of this step, from 1.
    pub step: u64,
}
/// SGD.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sgd<T> {
    /// Learning rate.
    pub lr: T,
    /// Momentum.
    pub momentum: T,
    /// Weight decay.
    pub weight_decay: T,
    /// Decoupled weight decay, else L2.
    pub decoupled: bool,
}
/// To come.
pub fn adam<T: Element>(config: &Adam<T>, p: &mut [T], g: &[T], avg: &mut [T], sqr_avg: &mut [T]) -> Result<()> {
    todo!()
}

/// To come.
pub fn sgd<T: Element>(config: &Sgd<T>, p: &mut [T], g: &[T], avg: &mut [T]) -> Result<()> {
    todo!()
}
