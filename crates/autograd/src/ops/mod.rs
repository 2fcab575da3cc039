//! One file for each operation: its formula, its forward, what it saves, its backward, its tests.
//!
//! To add one: a file here, and a line below.

mod add;
mod argmax;
mod avg_pool2d;
mod batch_norm;
mod broadcast;
mod concat;
mod conv2d;
mod conv_transpose2d;
mod cross_entropy;
mod div;
mod dropout;
mod exp;
mod gelu;
mod leaky_relu;
mod linear;
mod ln;
mod log_softmax;
mod matmul;
mod max_pool2d;
mod mul;
mod narrow;
mod pad;
mod permute;
mod pow;
mod relu;
mod reshape;
mod scalar;
mod sigmoid;
mod silu;
mod softmax;
mod sqrt;
mod sub;
mod sum;
mod sum_axis;
mod tanh;

pub use batch_norm::{BatchNorm, RunningStats};
pub use cross_entropy::CrossEntropyConfig;
