//! The layers, one file each.
//!
//! To add one: a file here, and a line below.

mod activations;
mod batch_norm;
mod block;
mod conv2d;
mod conv_transpose2d;
mod dropout;
mod flatten;
mod linear;
mod padding;
mod pool;
mod sequential;
#[cfg(test)]
pub(crate) mod testing;

pub use activations::{Gelu, LeakyRelu, Relu, Sigmoid, Silu, Tanh};
pub use batch_norm::{BatchNorm, BatchNorm1d, BatchNorm2d};
pub use block::{BlockConfig, NormPlace, conv};
pub use conv_transpose2d::{ConvTranspose2d, ConvTranspose2dConfig};
pub use conv2d::{Conv2d, Conv2dConfig};
pub use dropout::Dropout;
pub use flatten::Flatten;
pub use linear::{Linear, LinearConfig};
pub use padding::Padding;
pub use pool::{AdaptiveAvgPool2d, AdaptiveMaxPool2d, AvgPool2d, MaxPool2d};
pub use sequential::Sequential;
pub use topedge_kernels::pad::PadMode;

use crate::error::{Error, Result};

/// The four axes of an image batch's shape.
fn axes4(shape: &[usize]) -> Result<[usize; 4]> {
    shape.try_into().map_err(|_| {
        Error::unexpected("input shape", "[n, channels, height, width]", format!("{shape:?}"))
    })
}

/// Refuses sizes of 0.
fn positive(name: &str, sizes: &[usize]) -> Result<()> {
    if sizes.contains(&0) {
        return Err(Error::setting(name, format!("{sizes:?}"), "at least 1"));
    }
    Ok(())
}
