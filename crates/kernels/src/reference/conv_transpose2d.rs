//! Transposed convolution and its gradients by their definitions.

use super::conv2d::for_each_index;
use crate::conv_transpose2d::{ConvTranspose2dConfig, output_shape};
use crate::element::Element;
use crate::error::Result;
use crate::view::{TensorMut, TensorRef};

/// Calls `each(x, w, y)` with the indices of every product that a transposed convolution sums.
fn for_each_product(
    input: [usize; 4],
    weight: [usize; 4],
    output: [usize; 4],
    config: &ConvTranspose2dConfig,
    mut each: impl FnMut([usize; 4], [usize; 4], [usize; 4]),
) {
    let ConvTranspose2dConfig { stride, padding, dilation, groups, .. } = *config;
    for_each_index(input, |x| {
        for_each_index([1, weight[1], weight[2], weight[3]], |[_, k, kh, kw]| {
            let group = x[1] / (input[1] / groups);
            let place = |axis: usize, tap: usize| {
                let at = x[2 + axis] * stride[axis] + tap * dilation[axis];
                at.checked_sub(padding[axis]).filter(|&at| at < output[2 + axis])
            };
            if let (Some(h), Some(w)) = (place(0, kh), place(1, kw)) {
                each(x, [x[1], k, kh, kw], [x[0], group * weight[1] + k, h, w]);
            }
        });
    });
}

/// As [`crate::conv_transpose2d::forward`], for arguments that fit.
///
/// # Errors
///
/// As [`output_shape`].
pub fn forward<T: Element>(
    x: TensorRef<'_, T>,
    weight: TensorRef<'_, T>,
    bias: Option<&[T]>,
    config: &ConvTranspose2dConfig,
    mut y: TensorMut<'_, T>,
) -> Result<()> {
    let output = output_shape(x.shape(), weight.shape(), config)?;
    for_each_index(output, |at| y.set(at, bias.map_or(T::ZERO, |bias| bias[at[1]])));
    for_each_product(x.shape(), weight.shape(), output, config, |from, w, to| {
        let sum = y.get(to) + weight.get(w) * x.get(from);
        y.set(to, sum);
    });
    Ok(())
}

/// As [`crate::conv_transpose2d::backward_input`], for arguments that fit.
///
/// # Errors
///
/// As [`output_shape`].
pub fn backward_input<T: Element>(
    dy: TensorRef<'_, T>,
    weight: TensorRef<'_, T>,
    config: &ConvTranspose2dConfig,
    mut dx: TensorMut<'_, T>,
) -> Result<()> {
    let output = output_shape(dx.shape(), weight.shape(), config)?;
    for_each_index(dx.shape(), |at| dx.set(at, T::ZERO));
    for_each_product(dx.shape(), weight.shape(), output, config, |x, w, y| {
        let sum = dx.get(x) + weight.get(w) * dy.get(y);
        dx.set(x, sum);
    });
    Ok(())
}

/// As [`crate::conv_transpose2d::backward_weight`], for arguments that fit.
///
/// # Errors
///
/// As [`output_shape`].
pub fn backward_weight<T: Element>(
    x: TensorRef<'_, T>,
    dy: TensorRef<'_, T>,
    config: &ConvTranspose2dConfig,
    mut dw: TensorMut<'_, T>,
) -> Result<()> {
    let output = output_shape(x.shape(), dw.shape(), config)?;
    for_each_index(dw.shape(), |at| dw.set(at, T::ZERO));
    for_each_product(x.shape(), dw.shape(), output, config, |from, w, y| {
        let sum = dw.get(w) + x.get(from) * dy.get(y);
        dw.set(w, sum);
    });
    Ok(())
}
