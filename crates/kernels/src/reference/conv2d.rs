//! Convolution and its gradients by their definitions.

use crate::conv2d::{Conv2dConfig, Geometry};
use crate::element::Element;
use crate::error::{Result, check_len};
use crate::view::{TensorMut, TensorRef};

/// Calls `each(y, w, x)` with the indices of every product that a convolution sums.
#[inline(always)] // So is `each` then, which the sanitizers make slow to call.
fn for_each_product(geometry: &Geometry, mut each: impl FnMut([usize; 4], [usize; 4], [usize; 4])) {
    let [batch, out_channels, out_height, out_width] = geometry.output();
    let [height, width] = geometry.in_size;
    if geometry.output().contains(&0) {
        return;
    }
    for n in 0..batch {
        for k in 0..out_channels {
            for c in 0..geometry.group_inputs() {
                let in_channel = k / geometry.group_outputs() * geometry.group_inputs() + c;
                for oh in 0..out_height {
                    for ow in 0..out_width {
                        for kh in 0..geometry.kernel[0] {
                            for kw in 0..geometry.kernel[1] {
                                let h = geometry.input_at(0, oh, kh);
                                let w = geometry.input_at(1, ow, kw);
                                if (0..height as isize).contains(&h)
                                    && (0..width as isize).contains(&w)
                                {
                                    let x = [n, in_channel, h as usize, w as usize];
                                    each([n, k, oh, ow], [k, c, kh, kw], x);
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Calls `each` with every index of `shape`.
pub(super) fn for_each_index(shape: [usize; 4], mut each: impl FnMut([usize; 4])) {
    if shape.contains(&0) {
        return;
    }
    for a in 0..shape[0] {
        for b in 0..shape[1] {
            for c in 0..shape[2] {
                for d in 0..shape[3] {
                    each([a, b, c, d]);
                }
            }
        }
    }
}

/// As [`crate::conv2d::forward`].
///
/// # Errors
///
/// As [`crate::conv2d::forward`].
pub fn forward<T: Element>(
    x: TensorRef<'_, T>,
    weight: TensorRef<'_, T>,
    bias: Option<&[T]>,
    config: &Conv2dConfig,
    mut y: TensorMut<'_, T>,
) -> Result<()> {
    let op = "conv2d";
    let geometry = Geometry::new(op, x.shape(), weight.shape(), config)?;
    Geometry::check(op, "the output", geometry.output(), y.shape())?;
    if let Some(bias) = bias {
        check_len(op, "bias", geometry.out_channels, bias.len())?;
    }
    for_each_index(geometry.output(), |at| y.set(at, bias.map_or(T::ZERO, |bias| bias[at[1]])));
    for_each_product(&geometry, |to, w, from| {
        let sum = y.get(to) + weight.get(w) * x.get(from);
        y.set(to, sum);
    });
    Ok(())
}

/// As [`crate::conv2d::backward_input`].
///
/// # Errors
///
/// As [`crate::conv2d::backward_input`].
pub fn backward_input<T: Element>(
    dy: TensorRef<'_, T>,
    weight: TensorRef<'_, T>,
    config: &Conv2dConfig,
    mut dx: TensorMut<'_, T>,
) -> Result<()> {
    let op = "conv2d backward to input";
    let geometry = Geometry::new(op, dx.shape(), weight.shape(), config)?;
    Geometry::check(op, "the output's gradient", geometry.output(), dy.shape())?;
    for_each_index(dx.shape(), |at| dx.set(at, T::ZERO));
    for_each_product(&geometry, |y, w, x| {
        let sum = dx.get(x) + weight.get(w) * dy.get(y);
        dx.set(x, sum);
    });
    Ok(())
}

/// As [`crate::conv2d::backward_weight`].
///
/// # Errors
///
/// As [`crate::conv2d::backward_weight`].
pub fn backward_weight<T: Element>(
    x: TensorRef<'_, T>,
    dy: TensorRef<'_, T>,
    config: &Conv2dConfig,
    mut dw: TensorMut<'_, T>,
) -> Result<()> {
    let op = "conv2d backward to weight";
    let geometry = Geometry::new(op, x.shape(), dw.shape(), config)?;
    Geometry::check(op, "the output's gradient", geometry.output(), dy.shape())?;
    for_each_index(dw.shape(), |at| dw.set(at, T::ZERO));
    for_each_product(&geometry, |y, w, from| {
        let sum = dw.get(w) + x.get(from) * dy.get(y);
        dw.set(w, sum);
    });
    Ok(())
}

/// As [`crate::conv2d::backward_bias`].
///
/// # Errors
///
/// As [`crate::conv2d::backward_bias`].
pub fn backward_bias<T: Element>(dy: TensorRef<'_, T>, db: &mut [T]) -> Result<()> {
    check_len("conv2d backward to bias", "the bias's gradient", dy.shape()[1], db.len())?;
    db.fill(T::ZERO);
    for_each_index(dy.shape(), |at| db[at[1]] += dy.get(at));
    Ok(())
}
