//! Images with a border around them, and its gradient.
//!
//! Along an axis of `size` pixels, place `i` of the border (negative before the image, `size` and
//! more behind it) holds
//!
//! - 0 with [`PadMode::Zeros`];
//! - pixel `-i` or `2 * (size - 1) - i` with [`PadMode::Reflect`]: the edge itself is not repeated;
//! - the edge, pixel 0 or `size - 1`, with [`PadMode::Replicate`];
//! - pixel `i` modulo `size` with [`PadMode::Circular`].

use std::ops::Range;

use crate::element::Element;
use crate::error::{Result, ShapeError, check_elements};
use crate::parallel::{self, MOVED, SharedMut};
use crate::view::{TensorMut, TensorRef};

/// What lies around an image; see the [module](self).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum PadMode {
    /// Zeros.
    #[default]
    Zeros,
    /// The image mirrored at its outermost pixels, which are not repeated.
    Reflect,
    /// The outermost pixels repeated.
    Replicate,
    /// The image repeated.
    Circular,
}

impl PadMode {
    /// Every mode there is.
    pub const ALL: [Self; 4] = [Self::Zeros, Self::Reflect, Self::Replicate, Self::Circular];

    /// Its name, as PyTorch's `padding_mode` has it: `zeros`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Zeros => "zeros",
            Self::Reflect => "reflect",
            Self::Replicate => "replicate",
            Self::Circular => "circular",
        }
    }

    /// The pixel of an axis of `size` that place `at` of the padded axis, counted from the image's
    /// first pixel, holds; `None` for a zero. The border must be one that [`output_shape`] accepts.
    ///
    /// ```
    /// use topedge_kernels::pad::PadMode;
    ///
    /// let row = |mode: PadMode| [-2, -1, 0, 2, 3, 4].map(|at| mode.source(3, at));
    /// assert_eq!(row(PadMode::Zeros), [None, None, Some(0), Some(2), None, None]);
    /// assert_eq!(row(PadMode::Reflect), [2, 1, 0, 2, 1, 0].map(Some));
    /// assert_eq!(row(PadMode::Replicate), [0, 0, 0, 2, 2, 2].map(Some));
    /// assert_eq!(row(PadMode::Circular), [1, 2, 0, 2, 0, 1].map(Some));
    /// ```
    pub fn source(self, size: usize, at: isize) -> Option<usize> {
        let size = isize::try_from(size).ok().filter(|&size| size > 0)?;
        let inside = 0..size;
        if inside.contains(&at) {
            return Some(at as usize);
        }
        let source = match self {
            Self::Zeros => return None,
            Self::Reflect if at < 0 => at.checked_neg()?,
            Self::Reflect => (size - 1) - (at - (size - 1)),
            Self::Replicate => at.clamp(0, size - 1),
            Self::Circular => at.rem_euclid(size),
        };
        inside.contains(&source).then_some(source as usize)
    }

    /// The places of a padded axis, of `before` places before the image and `out` in all, that hold `pixel`:
    /// what [`source`](Self::source) says, the other way round.
    fn places(self, [size, out]: [usize; 2], before: usize, pixel: usize) -> [Range<usize>; 3] {
        let (at, last) = (before + pixel, size - 1);
        let one = |at: Option<usize>| match at {
            Some(at) if at < out => at..at + 1,
            _ => 0..0,
        };
        match self {
            Self::Zeros => [0..0, one(Some(at)), 0..0],
            Self::Reflect => [
                one(before.checked_sub(pixel).filter(|_| pixel > 0)),
                one(Some(at)),
                one((pixel < last).then_some(before + 2 * last - pixel)),
            ],
            Self::Replicate => {
                let start = if pixel == 0 { 0 } else { at };
                [0..0, start..if pixel == last { out } else { at + 1 }, 0..0]
            }
            Self::Circular => [one(at.checked_sub(size)), one(Some(at)), one(Some(at + size))],
        }
    }
}

/// How much is added around images, and what. Each pair is `[vertical, horizontal]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pad2dConfig {
    /// Rows above and columns to the left. 0 by default.
    pub before: [usize; 2],
    /// Rows below and columns to the right. 0 by default.
    pub after: [usize; 2],
    /// What they hold. Zeros by default.
    pub mode: PadMode,
}

const AXES: [&str; 2] = ["height", "width"];

/// The shape of images `[batch, channels, height, width]` with their border.
///
/// # Errors
///
/// If the border is as large as the image or larger (reflect), larger than the image (circular), or
/// around nothing (replicate), or if a size overflows.
///
/// ```
/// use topedge_kernels::pad::{Pad2dConfig, PadMode, output_shape};
///
/// let config = Pad2dConfig { before: [1, 2], after: [1, 3], mode: PadMode::Reflect };
/// assert_eq!(output_shape([64, 3, 28, 28], &config)?, [64, 3, 30, 33]);
/// # Ok::<(), topedge_kernels::ShapeError>(())
/// ```
pub fn output_shape(input: [usize; 4], config: &Pad2dConfig) -> Result<[usize; 4]> {
    let op = "pad2d";
    let Pad2dConfig { before, after, mode } = *config;
    let mut output = input;
    for axis in 0..2 {
        let size = input[2 + axis];
        let largest = match mode {
            PadMode::Zeros => usize::MAX,
            PadMode::Reflect => size.saturating_sub(1),
            PadMode::Replicate if size > 0 => usize::MAX,
            PadMode::Replicate => 0,
            PadMode::Circular => size,
        };
        for (side, border) in [("before", before[axis]), ("after", after[axis])] {
            if border > largest {
                let what = format!("{} padding {side} {}", mode.name(), AXES[axis]);
                let expected = format!("at most {largest} for size {size}");
                return Err(ShapeError::new(op, what, expected, border));
            }
        }
        let padded = size.checked_add(before[axis]).and_then(|n| n.checked_add(after[axis]));
        output[2 + axis] = padded.unwrap_or(usize::MAX);
    }
    check_elements(op, "output", output)?;
    Ok(output)
}

/// Sets `y` to the images `x` with a border around them.
///
/// # Errors
///
/// If `y` is not of the [`output_shape`].
///
/// ```
/// use topedge_kernels::pad::{self, Pad2dConfig, PadMode};
/// use topedge_kernels::{TensorMut, TensorRef};
///
/// let x = [1.0f32, 2.0, 3.0];
/// let mut y = [0.0; 7];
/// let config = Pad2dConfig { before: [0, 2], after: [0, 2], mode: PadMode::Reflect };
/// pad::forward(
///     TensorRef::contiguous(&x, [1, 1, 1, 3])?,
///     &config,
///     TensorMut::contiguous(&mut y, [1, 1, 1, 7])?,
/// )?;
/// assert_eq!(y, [3.0, 2.0, 1.0, 2.0, 3.0, 2.0, 1.0]);
/// # Ok::<(), topedge_kernels::ShapeError>(())
/// ```
pub fn forward<T: Element>(
    x: TensorRef<'_, T>,
    config: &Pad2dConfig,
    y: TensorMut<'_, T>,
) -> Result<()> {
    let op = "pad2d";
    let output = output_shape(x.shape(), config)?;
    check_shape(op, "the output", output, y.shape())?;
    if output.contains(&0) {
        return Ok(());
    }
    let size = x.shape();
    gather(&x, y, |axis, at| {
        let at = at as isize - config.before[axis] as isize;
        let source = config.mode.source(size[2 + axis], at);
        [source.map_or(0..0, |source| source..source + 1), 0..0, 0..0]
    });
    Ok(())
}

/// Sets `dx` to the gradient of the images, for the gradient `dy` of the images with a border: a
/// pixel's is the sum over all places that it came to.
///
/// # Errors
///
/// If `dy` is not of the [`output_shape`] for `dx`.
pub fn backward<T: Element>(
    dy: TensorRef<'_, T>,
    config: &Pad2dConfig,
    dx: TensorMut<'_, T>,
) -> Result<()> {
    let op = "pad2d backward";
    let output = output_shape(dx.shape(), config)?;
    check_shape(op, "the output's gradient", output, dy.shape())?;
    if dx.shape().contains(&0) {
        return Ok(());
    }
    let size = dx.shape();
    gather(&dy, dx, |axis, pixel| {
        config.mode.places([size, output].map(|shape| shape[2 + axis]), config.before[axis], pixel)
    });
    Ok(())
}

fn check_shape(op: &'static str, what: &str, expected: [usize; 4], got: [usize; 4]) -> Result<()> {
    if expected == got {
        return Ok(());
    }
    let (expected, got) = (format!("{expected:?}"), format!("{got:?}"));
    Err(ShapeError::new(op, format!("shape of {what}"), expected, got))
}

/// Sets each pixel of `y` to the sum of those of `x` in its sources' rows and columns, in their
/// order; `sources(axis, place)` says which these are. Both directions of padding are that; of each job's
/// pixels nothing depends on another job.
fn gather<T: Element>(
    x: &TensorRef<'_, T>,
    y: TensorMut<'_, T>,
    sources: impl Fn(usize, usize) -> [Range<usize>; 3] + Sync + Send,
) {
    let [batch, channels, height, width] = y.shape();
    let (from, to) = (x.strides(), y.strides());
    // Images or channels that are neighbours in memory are copied as a run; planes one by one.
    let runs_along = |axis: usize| y.shape()[axis] > 1 && from[axis] == 1 && to[axis] == 1;
    let (outer, lanes) = if runs_along(0) {
        ([1, channels], batch)
    } else if runs_along(1) {
        ([batch, 1], channels)
    } else {
        ([batch, channels], 1)
    };
    let target = SharedMut::new(y.as_ptr());
    let jobs = outer[0] * outer[1] * height;
    parallel::for_each(jobs, batch * channels * height * width * MOVED, |job| {
        let (plane, h) = (job / height, job % height);
        let plane = [plane / outer[1], plane % outer[1]];
        let offset = |strides: [usize; 4]| plane[0] * strides[0] + plane[1] * strides[1];
        let row = offset(to) + h * to[2];
        let source_rows = sources(0, h);
        for w in 0..width {
            let source_columns = sources(1, w);
            let place = target.get().wrapping_add(row + w * to[3]);
            let mut first = true;
            for source_h in source_rows.iter().cloned().flatten() {
                for source_w in source_columns.iter().cloned().flatten() {
                    let source = offset(from) + source_h * from[2] + source_w * from[3];
                    // SAFETY: sources are places of `x`, and `lanes` of its pixels lie there side
                    // by side; this row of `y` is this job's alone.
                    unsafe { sum(first, x.as_ptr().add(source), place, lanes) };
                    first = false;
                }
            }
            if first {
                // SAFETY: as above.
                (0..lanes).for_each(|lane| unsafe { *place.add(lane) = T::ZERO });
            }
        }
    });
}

/// # Safety
///
/// Valid for reading `from` and for writing `to`, `len` elements that do not overlap.
#[inline(always)]
unsafe fn sum<T: Element>(first: bool, from: *const T, to: *mut T, len: usize) {
    for i in 0..len {
        // SAFETY: by the caller.
        unsafe {
            let value = *from.add(i);
            *to.add(i) = if first { value } else { *to.add(i) + value };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_border_that_the_image_cannot_fill_is_refused() {
        let message = |mode, before, size| {
            let config = Pad2dConfig { before: [before, 0], mode, ..Default::default() };
            output_shape([1, 1, size, 4], &config).map_err(|error| error.to_string())
        };
        assert_eq!(message(PadMode::Reflect, 2, 3), Ok([1, 1, 5, 4]));
        assert_eq!(
            message(PadMode::Reflect, 3, 3).unwrap_err(),
            "pad2d: reflect padding before height: expected at most 2 for size 3, got 3"
        );
        assert_eq!(message(PadMode::Circular, 3, 3), Ok([1, 1, 6, 4]));
        assert!(message(PadMode::Circular, 4, 3).unwrap_err().contains("at most 3"));
        assert_eq!(message(PadMode::Replicate, 9, 1), Ok([1, 1, 10, 4]));
        assert!(message(PadMode::Replicate, 1, 0).unwrap_err().contains("at most 0"));
        assert_eq!(message(PadMode::Zeros, 2, 0), Ok([1, 1, 2, 4]));
        for mode in PadMode::ALL {
            assert_eq!(message(mode, 0, 0), Ok([1, 1, 0, 4]), "{mode:?}");
            assert!(message(mode, usize::MAX, 3).is_err(), "{mode:?}");
        }
    }
}
