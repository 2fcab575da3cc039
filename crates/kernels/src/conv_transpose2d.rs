//! Two-dimensional transposed convolution and its gradients.
//!
//! It is the adjoint of [`conv2d`]: what takes a gradient back through a
//! convolution, as a layer of its own. Each input is multiplied with the kernel and added to the
//! output at `input * stride - padding + tap * dilation`:
//! `y[n, k, oh, ow] = bias[k] + sum over c, h, w, i, j with oh = h stride - padding + i dilation (and
//! so for ow) of weight[c, k, i, j] x[n, c, h, w]`. Shapes are `[batch, channels, height, width]` and
//! `[in_channels, out_channels / groups, kernel_height, kernel_width]`, with any strides.

use crate::conv2d::{self, Conv2dConfig, Geometry};
use crate::element::Element;
use crate::error::{Result, ShapeError, check_elements, check_len};
use crate::parallel::{self, MOVED, SharedMut};
use crate::view::{TensorMut, TensorRef};

/// How the kernel is laid over the output. Each pair is `[vertical, horizontal]`.
///
/// ```
/// use topedge_kernels::conv_transpose2d::{ConvTranspose2dConfig, output_shape};
///
/// // Twice the size.
/// let config = ConvTranspose2dConfig {
///     stride: [2, 2],
///     padding: [1, 1],
///     output_padding: [1, 1],
///     ..Default::default()
/// };
/// assert_eq!(output_shape([64, 16, 7, 7], [16, 8, 3, 3], &config)?, [64, 8, 14, 14]);
/// # Ok::<(), topedge_kernels::ShapeError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConvTranspose2dConfig {
    /// Steps on the output between neighbouring inputs. 1 by default.
    pub stride: [usize; 2],
    /// Rows and columns that are cut off on both sides of the output. 0 by default.
    pub padding: [usize; 2],
    /// Rows and columns that the output has below and to the right besides, less than the stride: of
    /// the sizes that a convolution makes the input's of, which one it is. 0 by default.
    pub output_padding: [usize; 2],
    /// Distance between neighbouring taps of the kernel. 1 by default.
    pub dilation: [usize; 2],
    /// Parts into which the channels fall, each convolved on its own. 1 by default.
    pub groups: usize,
}

impl Default for ConvTranspose2dConfig {
    fn default() -> Self {
        let Conv2dConfig { stride, padding, dilation, groups } = Conv2dConfig::default();
        Self { stride, padding, output_padding: [0, 0], dilation, groups }
    }
}

impl ConvTranspose2dConfig {
    /// The convolution that this is the adjoint of.
    fn adjoint(&self) -> Conv2dConfig {
        let Self { stride, padding, dilation, groups, .. } = *self;
        Conv2dConfig { stride, padding, dilation, groups }
    }
}

const OP: &str = "conv_transpose2d";
const AXES: [&str; 2] = ["height", "width"];

/// The shape `[batch, out_channels, out_height, out_width]` of the output for an input
/// `[batch, in_channels, height, width]` and a weight
/// `[in_channels, out_channels / groups, kernel_height, kernel_width]`.
///
/// Per axis, `out = (size - 1) * stride - 2 * padding + dilation * (kernel - 1) + output_padding + 1`.
///
/// # Errors
///
/// If channels and groups do not fit, the input, a stride, dilation, kernel size or the number of
/// groups is 0, the output padding is not less than the stride, nothing is left of the output, or a
/// size overflows.
pub fn output_shape(
    input: [usize; 4],
    weight: [usize; 4],
    config: &ConvTranspose2dConfig,
) -> Result<[usize; 4]> {
    let [batch, in_channels, ..] = input;
    let groups = config.groups;
    if groups == 0 {
        return Err(ShapeError::new(OP, "groups", "at least 1", 0));
    }
    if weight[0] != in_channels {
        let what = format!("weight axis 0 (in_channels) of weight {weight:?} for input {input:?}");
        return Err(ShapeError::new(OP, what, in_channels, weight[0]));
    }
    if !in_channels.is_multiple_of(groups) {
        let expected = format!("a multiple of groups, {groups}");
        return Err(ShapeError::new(OP, "input axis 1 (in_channels)", expected, in_channels));
    }
    // Saturated, it is refused with the shape.
    let mut output = [batch, weight[1].saturating_mul(groups), 0, 0];
    for axis in 0..2 {
        output[2 + axis] = out_size(axis, input[2 + axis], weight[2 + axis], config)?;
    }
    check_elements(OP, "output", output)?;
    let geometry = Geometry::new(OP, output, weight, &config.adjoint())?;
    debug_assert_eq!(geometry.output(), input);
    Ok(output)
}

fn out_size(
    axis: usize,
    size: usize,
    kernel: usize,
    config: &ConvTranspose2dConfig,
) -> Result<usize> {
    let pick = |pair: [usize; 2]| pair[axis];
    let (stride, dilation) = (pick(config.stride), pick(config.dilation));
    let name = AXES[axis];
    for (what, value) in
        [("input", size), ("kernel", kernel), ("stride", stride), ("dilation", dilation)]
    {
        if value == 0 {
            return Err(ShapeError::new(OP, format!("{what} along {name}"), "at least 1", 0));
        }
    }
    let (padding, output_padding) = (pick(config.padding), pick(config.output_padding));
    if output_padding >= stride {
        let what = format!("output padding along {name}");
        return Err(ShapeError::new(
            OP,
            what,
            format!("less than the stride, {stride}"),
            output_padding,
        ));
    }
    let whole = (size - 1)
        .checked_mul(stride)
        .zip((kernel - 1).checked_mul(dilation))
        .and_then(|(last, span)| {
            last.checked_add(span)?.checked_add(output_padding)?.checked_add(1)
        })
        .zip(padding.checked_mul(2));
    let out = whole.map(|(whole, padding)| whole.saturating_sub(padding));
    match out {
        Some(out) if out > 0 => Ok(out),
        _ => {
            let got = format!("size {size}, kernel {kernel}, stride {stride}, padding {padding}");
            let what = format!("output size along {name}");
            Err(ShapeError::new(OP, what, "at least 1, and what fits in memory", got))
        }
    }
}

/// Sets `y` to the transposed convolution of `x` with `weight`, plus `bias[channel]`.
///
/// # Errors
///
/// If the shapes do not fit together; see [`output_shape`].
///
/// ```
/// use topedge_kernels::conv_transpose2d::{self, ConvTranspose2dConfig};
/// use topedge_kernels::{TensorMut, TensorRef};
///
/// // Each input paints the kernel, two columns from its neighbour's.
/// let (x, weight) = ([1.0f32, 10.0], [1.0f32, 2.0, 3.0]);
/// let mut y = [0.0f32; 5];
/// conv_transpose2d::forward(
///     TensorRef::contiguous(&x, [1, 1, 1, 2])?,
///     TensorRef::contiguous(&weight, [1, 1, 1, 3])?,
///     None,
///     &ConvTranspose2dConfig { stride: [1, 2], ..Default::default() },
///     TensorMut::contiguous(&mut y, [1, 1, 1, 5])?,
/// )?;
/// assert_eq!(y, [1.0, 2.0, 3.0 + 10.0, 20.0, 30.0]);
/// # Ok::<(), topedge_kernels::ShapeError>(())
/// ```
pub fn forward<T: Element>(
    x: TensorRef<'_, T>,
    weight: TensorRef<'_, T>,
    bias: Option<&[T]>,
    config: &ConvTranspose2dConfig,
    y: TensorMut<'_, T>,
) -> Result<()> {
    let output = output_shape(x.shape(), weight.shape(), config)?;
    Geometry::check(OP, "the output", output, y.shape())?;
    if let Some(bias) = bias {
        check_len(OP, "bias", output[1], bias.len())?;
    }
    if output.contains(&0) {
        return Ok(());
    }
    let (strides, pointer) = (y.strides(), y.as_ptr());
    conv2d::backward_input(x, weight, &config.adjoint(), y)?;
    if let Some(bias) = bias {
        // SAFETY: the view of `y` held these strides, and its slice is still ours alone.
        unsafe { add_bias(bias, pointer, output, strides) };
    }
    Ok(())
}

/// Sets `dx` to the gradient of the input, for the gradient `dy` of the output: their convolution.
///
/// # Errors
///
/// If the shapes do not fit together; see [`output_shape`].
pub fn backward_input<T: Element>(
    dy: TensorRef<'_, T>,
    weight: TensorRef<'_, T>,
    config: &ConvTranspose2dConfig,
    dx: TensorMut<'_, T>,
) -> Result<()> {
    let output = output_shape(dx.shape(), weight.shape(), config)?;
    Geometry::check(OP, "the output's gradient", output, dy.shape())?;
    conv2d::forward(dy, weight, None, &config.adjoint(), dx)
}

/// Sets `dw` to the gradient of the weight, for the input `x` and the gradient `dy` of the output.
/// That of the bias is [`conv2d::backward_bias`].
///
/// # Errors
///
/// If the shapes do not fit together; see [`output_shape`].
pub fn backward_weight<T: Element>(
    x: TensorRef<'_, T>,
    dy: TensorRef<'_, T>,
    config: &ConvTranspose2dConfig,
    dw: TensorMut<'_, T>,
) -> Result<()> {
    let output = output_shape(x.shape(), dw.shape(), config)?;
    Geometry::check(OP, "the output's gradient", output, dy.shape())?;
    conv2d::backward_weight(dy, x, &config.adjoint(), dw)
}

/// Adds `bias[channel]` to all of an output, in the order of memory.
///
/// # Safety
///
/// Valid for reading and writing a tensor of this shape and these strides, with a channel for each
/// number of `bias`.
unsafe fn add_bias<T: Element>(bias: &[T], y: *mut T, shape: [usize; 4], strides: [usize; 4]) {
    let [batch, channels, height, width] = shape;
    let mut axes = [(strides[0], batch), (strides[2], height), (strides[3], width)];
    axes.sort_unstable();
    let [inner, middle, outer] = axes;
    let to = SharedMut::new(y);
    parallel::for_each(channels, batch * channels * height * width * MOVED, |channel| {
        for i in 0..outer.1 {
            for j in 0..middle.1 {
                let run = channel * strides[1] + i * outer.0 + j * middle.0;
                for k in 0..inner.1 {
                    // SAFETY: inside the tensor, and each channel is one job's.
                    unsafe { *to.get().add(run + k * inner.0) += bias[channel] };
                }
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_name_what_and_where() {
        let default = ConvTranspose2dConfig::default();
        let message = |input, weight, config: &ConvTranspose2dConfig| {
            output_shape(input, weight, config).unwrap_err().to_string()
        };
        let (input, weight) = ([2, 4, 5, 5], [4, 3, 3, 3]);
        assert_eq!(output_shape(input, weight, &default), Ok([2, 3, 7, 7]));
        assert_eq!(
            message([2, 3, 5, 5], weight, &default),
            "conv_transpose2d: weight axis 0 (in_channels) of weight [4, 3, 3, 3] for input \
             [2, 3, 5, 5]: expected 3, got 4"
        );
        let config = ConvTranspose2dConfig { output_padding: [0, 1], ..default };
        assert_eq!(
            message(input, weight, &config),
            "conv_transpose2d: output padding along width: expected less than the stride, 1, got 1"
        );
        let groups = ConvTranspose2dConfig { groups: 3, ..default };
        assert!(message(input, weight, &groups).contains("multiple of groups, 3"));
        let groups = ConvTranspose2dConfig { groups: 0, ..default };
        assert!(message(input, weight, &groups).contains("groups"));
        let cut = ConvTranspose2dConfig { padding: [9, 0], ..default };
        assert!(message(input, weight, &cut).contains("output size along height"));
        let huge = ConvTranspose2dConfig { stride: [1, usize::MAX], ..default };
        assert!(message(input, weight, &huge).contains("output size along width"));
        let huge = ConvTranspose2dConfig { stride: [1, 1 << 60], ..default };
        assert!(message(input, weight, &huge).contains("output shape"));
        assert!(message([2, 4, 0, 5], weight, &default).contains("input along height"));
        assert!(message(input, [4, 3, 3, 0], &default).contains("kernel along width"));
        assert!(message([1, 2, 5, 5], [2, usize::MAX, 3, 3], &default).contains("memory"));
    }
}
