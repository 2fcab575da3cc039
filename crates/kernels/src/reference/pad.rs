//! Padding by its definition.

use super::conv2d::for_each_index;
use crate::element::Element;
use crate::error::Result;
use crate::pad::{Pad2dConfig, PadMode, output_shape};
use crate::view::{TensorMut, TensorRef};

/// What lies at `at` of a row that goes on for ever: one step back into the image after the other.
fn walk(mode: PadMode, size: isize, mut at: isize) -> Option<isize> {
    while !(0..size).contains(&at) {
        at = match mode {
            PadMode::Zeros => return None,
            PadMode::Reflect if at < 0 => -at,
            PadMode::Reflect => (size - 1) - (at - (size - 1)),
            PadMode::Replicate if at < 0 => at + 1,
            PadMode::Replicate => at - 1,
            PadMode::Circular if at < 0 => at + size,
            PadMode::Circular => at - size,
        };
    }
    Some(at)
}

/// Calls `each(place in the output, place in the image)` for every place that holds a pixel.
fn for_each_pixel(
    input: [usize; 4],
    output: [usize; 4],
    config: &Pad2dConfig,
    mut each: impl FnMut([usize; 4], [usize; 4]),
) {
    for_each_index(output, |at| {
        let [h, w] = [0, 1].map(|axis| {
            let place = at[2 + axis] as isize - config.before[axis] as isize;
            walk(config.mode, input[2 + axis] as isize, place)
        });
        if let (Some(h), Some(w)) = (h, w) {
            each(at, [at[0], at[1], h as usize, w as usize]);
        }
    });
}

/// As [`crate::pad::forward`], for `y` of the right shape.
///
/// # Errors
///
/// As [`crate::pad::output_shape`].
pub fn forward<T: Element>(
    x: TensorRef<'_, T>,
    config: &Pad2dConfig,
    mut y: TensorMut<'_, T>,
) -> Result<()> {
    let output = output_shape(x.shape(), config)?;
    for_each_index(output, |at| y.set(at, T::ZERO));
    for_each_pixel(x.shape(), output, config, |to, from| y.set(to, x.get(from)));
    Ok(())
}

/// As [`crate::pad::backward`], for `dy` of the right shape.
///
/// # Errors
///
/// As [`crate::pad::output_shape`].
pub fn backward<T: Element>(
    dy: TensorRef<'_, T>,
    config: &Pad2dConfig,
    mut dx: TensorMut<'_, T>,
) -> Result<()> {
    let output = output_shape(dx.shape(), config)?;
    for_each_index(dx.shape(), |at| dx.set(at, T::ZERO));
    for_each_pixel(dx.shape(), output, config, |from, to| {
        let sum = dx.get(to) + dy.get(from);
        dx.set(to, sum);
    });
    Ok(())
}
