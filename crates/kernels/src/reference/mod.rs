//! The naive loop for every kernel: the oracle of the tests, and of yours.
//!
//! Nothing here is quick, parallel or clever; each function is its definition, most of them in
//! double precision.

pub mod conv2d;
pub mod conv_transpose2d;
pub mod elementwise;
pub mod gemm;
pub mod norm;
pub mod optim;
pub mod pad;
pub mod pool;
pub mod reduce;
pub mod softmax;
