//! Pooling: the maximum or the average over windows of an image, and their gradients.
//!
//! Operands are views `[batch, channels, height, width]` in any memory format. Where the images of a
//! batch are neighbours in memory (batch-last), or the channels (channels-last), a vector takes as
//! many of them at once.

mod average;
mod geometry;
mod max;

pub use average::{adaptive_avg_backward, adaptive_avg_forward, avg_backward, avg_forward};
pub use geometry::{Pool2dConfig, output_shape};
pub use max::{adaptive_max_forward, max_backward, max_forward};
