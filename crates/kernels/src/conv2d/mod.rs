//! Two-dimensional convolution and its gradients.
//!
//! As every framework does, the kernel is not flipped (cross-correlation):
//! `y[n, k, oh, ow] = bias[k] + sum over c, kh, kw of weight[k, c, kh, kw] *
//! x[n, c, oh * stride - padding + kh * dilation, ow * stride - padding + kw * dilation]`,
//! where what lies outside the image is zero. Shapes are `[batch, channels, height, width]` and
//! `[out_channels, in_channels / groups, kernel_height, kernel_width]`, with any strides. Images may lie in
//! parts of the batch: see [`BatchRef`].

mod backward_weight;
mod bias;
mod channels_last;
mod direct;
mod fused;
mod geometry;
mod im2col;
mod matrix;
mod packed;
mod path;
mod planar;
#[cfg(all(test, unix))]
mod sweep;
mod taps;
mod winograd;

pub use bias::backward_bias;
pub use fused::{ChannelNorm, Epilogue, FusedConv2d};
pub use geometry::{Conv2dConfig, output_shape};
pub(crate) use geometry::{Geometry, window_positions};
pub use im2col::{col2im, im2col};
pub use matrix::ConvMatrix;
#[doc(hidden)]
pub use path::Paths;

use crate::arch::Isa;
use crate::element::Element;
use crate::error::{Result, check_len};
use crate::settings::Winograd;
use crate::view::{BatchMut, BatchRef, TensorMut, TensorRef};

/// Sets `y` to the convolution of `x` with `weight`, plus `bias[channel]`.
///
/// # Errors
///
/// If the shapes do not fit together, see [`output_shape`], or `x` and `y` are in another number of parts.
///
/// ```
/// use topedge_kernels::{TensorMut, TensorRef, conv2d};
///
/// // The top-edge kernel, on an image that is dark above and bright below.
/// let x = [0.0f32, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0];
/// let weight = [-1.0f32, -1.0, -1.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0];
/// let mut y = [0.0f32];
/// conv2d::forward(
///     TensorRef::contiguous(&x, [1, 1, 3, 3])?,
///     TensorRef::contiguous(&weight, [1, 1, 3, 3])?,
///     None,
///     &conv2d::Conv2dConfig::default(),
///     TensorMut::contiguous(&mut y, [1, 1, 1, 1])?,
/// )?;
/// assert_eq!(y, [3.0]);
/// # Ok::<(), topedge_kernels::ShapeError>(())
/// ```
pub fn forward<'x, 'y, T: Element>(
    x: impl Into<BatchRef<'x, T>>,
    weight: TensorRef<'_, T>,
    bias: Option<&[T]>,
    config: &Conv2dConfig,
    y: impl Into<BatchMut<'y, T>>,
) -> Result<()> {
    let op = "conv2d";
    let (x, mut y) = (x.into(), y.into());
    let geometry = Geometry::new(op, x.shape(), weight.shape(), config)?;
    Geometry::check(op, "the output", geometry.output(), y.shape())?;
    if let Some(bias) = bias {
        check_len(op, "bias", geometry.out_channels, bias.len())?;
    }
    if y.shape().contains(&0) {
        return Ok(());
    }
    let geometry = geometry.part(op, "the output", x.parts(), y.parts())?;
    let (isa, winograd) = (Isa::current(), Winograd::current());
    // SAFETY: the views hold the shapes that the geometry was made of, and `y` is ours alone.
    taps::forward(&geometry, &x, &weight, bias, &mut y, |convs| unsafe {
        T::taps(isa, winograd, convs)
    });
    Ok(())
}

/// Sets `dx` to the gradient of the input, for the gradient `dy` of the output.
///
/// # Errors
///
/// If the shapes do not fit together, see [`output_shape`], or `dy` and `dx` are in another number of parts.
pub fn backward_input<'y, 'x, T: Element>(
    dy: impl Into<BatchRef<'y, T>>,
    weight: TensorRef<'_, T>,
    config: &Conv2dConfig,
    dx: impl Into<BatchMut<'x, T>>,
) -> Result<()> {
    let op = "conv2d backward to input";
    let (dy, mut dx) = (dy.into(), dx.into());
    let geometry = Geometry::new(op, dx.shape(), weight.shape(), config)?;
    Geometry::check(op, "the output's gradient", geometry.output(), dy.shape())?;
    if dx.shape().contains(&0) {
        return Ok(());
    }
    if geometry.out_channels == 0 {
        // Whatever the size of the kernel.
        (0..dx.parts()).for_each(|part| dx.part(part).fill(T::ZERO));
        return Ok(());
    }
    let geometry = geometry.part(op, "the output's gradient", dx.parts(), dy.parts())?;
    let (isa, winograd) = (Isa::current(), Winograd::current());
    // SAFETY: the views hold the shapes that the geometry was made of, and `dx` is ours alone.
    taps::backward_input(&geometry, &dy, &weight, &mut dx, |convs| unsafe {
        T::taps(isa, winograd, convs)
    });
    Ok(())
}

/// Sets `dw` to the gradient of the weight, for the input `x` and the gradient `dy` of the output.
///
/// # Errors
///
/// If the shapes do not fit together, see [`output_shape`], or `x` and `dy` are in another number of parts.
pub fn backward_weight<'x, 'y, T: Element>(
    x: impl Into<BatchRef<'x, T>>,
    dy: impl Into<BatchRef<'y, T>>,
    config: &Conv2dConfig,
    dw: TensorMut<'_, T>,
) -> Result<()> {
    parameters("conv2d backward to weight", &x.into(), &dy.into(), config, dw, None)
}

/// Sets `dw` as [`backward_weight`] does and `db` as [`backward_bias`], to within rounding: the path for
/// batch-last images sums `dy` on its way, and `db` then costs no pass over memory of its own.
///
/// # Errors
///
/// If the shapes do not fit together, see [`output_shape`], if `x` and `dy` are in another number of parts, or `db`
/// does not have one number for each channel of `dy`.
pub fn backward_parameters<'x, 'y, T: Element>(
    x: impl Into<BatchRef<'x, T>>,
    dy: impl Into<BatchRef<'y, T>>,
    config: &Conv2dConfig,
    dw: TensorMut<'_, T>,
    db: &mut [T],
) -> Result<()> {
    let op = "conv2d backward to weight and bias";
    parameters(op, &x.into(), &dy.into(), config, dw, Some(db))
}

/// The gradient of the weight and, if it is wanted, of the bias.
fn parameters<T: Element>(
    op: &'static str,
    x: &BatchRef<'_, T>,
    dy: &BatchRef<'_, T>,
    config: &Conv2dConfig,
    mut dw: TensorMut<'_, T>,
    db: Option<&mut [T]>,
) -> Result<()> {
    let geometry = Geometry::new(op, x.shape(), dw.shape(), config)?;
    Geometry::check(op, "the output's gradient", geometry.output(), dy.shape())?;
    if let Some(db) = &db {
        bias::check(op, dy, db)?;
    }
    let isa = Isa::current();
    if x.shape().contains(&0) || dy.shape().contains(&0) {
        dw.fill(T::ZERO);
        db.into_iter().for_each(|db| bias::run(isa, dy, db));
        return Ok(());
    }
    let geometry = geometry.part(op, "the output's gradient", x.parts(), dy.parts())?;
    T::backward_weight(isa, Winograd::current(), &geometry, x, dy, &mut dw, db);
    Ok(())
}
