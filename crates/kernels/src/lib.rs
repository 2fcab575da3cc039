//! GEMM, convolution and its gradients, pooling, normalisation and the other kernels of
//! convolutional networks, on plain slices.
//!
//! Slices in, slices out: there is no tensor type. Operands of GEMM and of the image kernels are
//! described by checked views ([`MatRef`], [`TensorRef`], ...) that say where each element lies.
//! Every function is safe for any arguments and answers a [`ShapeError`] where sizes disagree.
//!
//! The instruction set is chosen at run time ([`Isa`]); a plain build is the fast one. Results have
//! the same bits on any number of threads.

pub mod arch;
pub mod conv2d;
pub mod conv_transpose2d;
pub mod distribution;
mod element;
pub mod elementwise;
mod error;
pub mod gemm;
mod math;
pub mod norm;
pub mod optim;
pub mod pad;
pub mod parallel;
pub mod peak;
pub mod pool;
pub mod reduce;
pub mod reference;
mod scratch;
pub mod settings;
pub mod softmax;
mod view;

pub use arch::Isa;
pub use element::Element;
pub use error::{Result, ShapeError};
pub use settings::Winograd;
pub use view::{BatchMut, BatchRef, MatMut, MatRef, TensorMut, TensorRef};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
