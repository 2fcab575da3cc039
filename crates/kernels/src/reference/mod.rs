//! The naive loop for every kernel: the oracle of the tests.
pub mod gemm;
pub mod conv2d;
