//! Tensors and reverse-mode differentiation over the topedge kernels.
//!
//! A [`Tensor`] is a value: clones share memory, a change copies. While a [`Tape`] lives on a
//! thread, operations on leaves ([`Tensor::requires_grad`]) and on what came of them are recorded;
//! [`Tape::backward`] walks the record back and adds to each leaf's [`Tensor::grad`].
//!
//! ```
//! use topedge_autograd::{Tape, Tensor};
//!
//! // One step of linear regression.
//! let x = Tensor::new(vec![1.0f32, 2.0, 3.0], &[3, 1])?;
//! let target = Tensor::new(vec![2.0, 4.0, 6.0], &[3, 1])?;
//! let mut weight = Tensor::zeros(&[1, 1])?.requires_grad();
//!
//! let tape = Tape::new();
//! let loss = x.linear(&weight, None)?.sub(&target)?.pow(2.0).mean();
//! tape.backward(&loss)?;
//!
//! let gradient = weight.take_grad().unwrap();
//! weight.make_mut()[0] -= 0.1 * gradient.item()?;
//! assert!((weight.item()? - 1.8667).abs() < 1e-3);
//! # Ok::<(), topedge_autograd::Error>(())
//! ```
//!
//! Operations are methods of [`Tensor`], one file each in `src/ops`. An operation of one's own
//! implements [`Backward`] and calls [`record`]; [`gradcheck`](fn@gradcheck) checks it.
//!
//! Shapes of images are `[batch, channels, height, width]`; strides say how they lie in memory
//! ([`MemoryFormat`]), and results lie as their input does. What behaves differently in training
//! takes a [`Mode`]. Results have the same bits on any number of threads.

#![forbid(unsafe_code)]

mod dims;
mod error;
mod float;
mod format;
mod gradcheck;
mod indices;
mod layout;
mod leaf;
mod mode;
mod ops;
mod pool;
mod tape;
mod tensor;
#[cfg(test)]
mod testing;
mod views;

pub use dims::MAX_RANK;
pub use error::{Error, Result};
pub use float::Float;
pub use format::MemoryFormat;
pub use gradcheck::{GradCheck, gradcheck};
pub use mode::Mode;
pub use ops::{BatchNorm, CrossEntropyConfig, RunningStats};
pub use pool::{PoolStats, clear_pool, pool_stats};
pub use tape::{Backward, Grads, Tape, no_grad, record};
pub use tensor::Tensor;
pub use topedge_kernels::conv_transpose2d::ConvTranspose2dConfig;
pub use topedge_kernels::conv2d::Conv2dConfig;
pub use topedge_kernels::pad::{Pad2dConfig, PadMode};
pub use topedge_kernels::pool::Pool2dConfig;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
