//! The maximum of each window, and where it is.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::geometry::{Geometry, Planes, Pool2dConfig};
use crate::arch::{Isa, Kernel, Microkernel};
use crate::element::Element;
use crate::error::{Result, ShapeError, check_elements};
use crate::parallel;
use crate::view::{TensorMut, TensorRef};

/// Elements read by a job.
const CHUNK: usize = 1 << 15;

/// Sets `y` to the maximum of each window of `x`, and `indices` to its place `row * width + column`
/// in the image: the first of several, and the first NaN if there is one.
///
/// Shapes: `x` is `[batch, channels, height, width]`, `y` and `indices` are [`output_shape`] of it.
///
/// [`output_shape`]: super::output_shape
///
/// # Errors
///
/// If the shapes do not fit, or an image has more than 2^32 places.
pub fn max_forward<T: Element>(
    x: TensorRef<'_, T>,
    config: &Pool2dConfig,
    y: TensorMut<'_, T>,
    indices: TensorMut<'_, u32>,
) -> Result<()> {
    let op = "max_pool2d";
    let geometry = Geometry::sliding(op, x.shape(), config)?;
    forward(op, &geometry, x, y, indices)
}

/// As [`max_forward`], with as many windows as `y` has places, from
/// `floor(o * size / out)` to `ceil((o + 1) * size / out)` along each axis.
///
/// # Errors
///
/// As [`max_forward`].
pub fn adaptive_max_forward<T: Element>(
    x: TensorRef<'_, T>,
    y: TensorMut<'_, T>,
    indices: TensorMut<'_, u32>,
) -> Result<()> {
    let op = "adaptive_max_pool2d";
    let geometry = Geometry::adaptive(op, x.shape(), y.shape())?;
    forward(op, &geometry, x, y, indices)
}

fn forward<T: Element>(
    op: &'static str,
    geometry: &Geometry,
    x: TensorRef<'_, T>,
    y: TensorMut<'_, T>,
    indices: TensorMut<'_, u32>,
) -> Result<()> {
    Geometry::check(op, "the output", geometry.output, y.shape())?;
    Geometry::check(op, "the indices", geometry.output, indices.shape())?;
    if y.shape().contains(&0) {
        return Ok(());
    }
    let [.., height, width] = geometry.input;
    if height.checked_mul(width).is_none_or(|places| places as u64 > 1 << 32) {
        let got = format!("{height} by {width}");
        return Err(ShapeError::new(op, "size of an image", "at most 2^32 places", got));
    }
    let isa = Isa::current();
    let planes = Planes::new(geometry.output, &[x.strides(), y.strides(), indices.strides()]);
    let rows = planes.count() * geometry.output[2];
    let row_cost = geometry.row_cost(planes.lanes);
    let group = (CHUNK / row_cost.max(1)).max(1);
    parallel::for_each(rows.div_ceil(group), rows.saturating_mul(row_cost), |job| {
        let rows = [job * group, rows.min((job + 1) * group)];
        // SAFETY (of what the kernel does): the views have checked every index of these shapes, and
        // jobs share no row of the outputs.
        T::run(isa, Forward { geometry, planes, rows, x, y: &y, indices: &indices });
    });
    Ok(())
}

/// Some rows of the output, counted through all planes.
struct Forward<'a, T> {
    geometry: &'a Geometry,
    planes: Planes,
    /// The first, and the first no more.
    rows: [usize; 2],
    x: TensorRef<'a, T>,
    y: &'a TensorMut<'a, T>,
    indices: &'a TensorMut<'a, u32>,
}

impl<T: Element> Kernel<T> for Forward<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<V: Microkernel<Elem = T>>(self) {
        let Self { geometry, planes, x, y, indices, .. } = self;
        let [_, _, out_height, out_width] = geometry.output;
        let (x_strides, width) = (x.strides(), geometry.input[3]);
        let [vertical, horizontal] = geometry.dilation;
        let whole = planes.lanes - planes.lanes % V::LANES;
        for row in self.rows[0]..self.rows[1] {
            let (plane, oh) = (row / out_height, row % out_height);
            let h = geometry.window(0, oh);
            for ow in 0..out_width {
                let w = geometry.window(1, ow);
                // Where place (i, j) of the window lies, and its index.
                let offset = planes.offset(plane, x_strides);
                let x = x.as_ptr().wrapping_add(offset);
                let place = |i: usize, j: usize| {
                    let (ih, iw) = (h.start + i * vertical, w.start + j * horizontal);
                    let x = x.wrapping_add(ih * x_strides[2] + iw * x_strides[3]);
                    (x, (ih * width + iw) as u32)
                };
                let to = |strides: [usize; 4]| {
                    planes.offset(plane, strides) + oh * strides[2] + ow * strides[3]
                };
                let y = y.as_ptr().wrapping_add(to(y.strides()));
                let indices = indices.as_ptr().wrapping_add(to(indices.strides()));
                let (first, first_index) = place(0, 0);
                for lane in (0..whole).step_by(V::LANES) {
                    // SAFETY: the places are the image's and `lanes` neighbours lie at each; so they do
                    // in the outputs.
                    unsafe {
                        let mut max = V::load(first.add(lane));
                        let mut index = V::splat_bits(first_index);
                        for i in 0..h.count {
                            for j in 0..w.count {
                                let (x, new_index) = place(i, j);
                                let x = V::load(x.add(lane));
                                // Not `max < x`: that is false for NaN, which is to win.
                                let keep = x.le(max);
                                let (old_max, old_index) = (max, index);
                                max = V::select(keep, max, x);
                                index = V::select(keep, index, V::splat_bits(new_index));
                                let settled = old_max.is_nan();
                                max = V::select(settled, old_max, max);
                                index = V::select(settled, old_index, index);
                            }
                        }
                        max.store(y.add(lane));
                        index.store_bits(indices.add(lane));
                    }
                }
                for lane in whole..planes.lanes {
                    // SAFETY: as above.
                    unsafe {
                        let (mut max, mut index) = (*first.add(lane), first_index);
                        for i in 0..h.count {
                            for j in 0..w.count {
                                let (x, new_index) = place(i, j);
                                let x = *x.add(lane);
                                if x > max || (x.is_nan() && !max.is_nan()) {
                                    (max, index) = (x, new_index);
                                }
                            }
                        }
                        *y.add(lane) = max;
                        *indices.add(lane) = index;
                    }
                }
            }
        }
    }
}

/// Lanes of a job: planes next to each other are many, and there may be only one such row of them.
const LANES: usize = 64;

/// Sets `dx` to zero, and then adds each of `dy` at its index: the gradient of [`max_forward`] and
/// [`adaptive_max_forward`]. A place that is the maximum of several windows gets the sum.
///
/// # Errors
///
/// If the shapes do not fit, or an index lies outside the image; `dx` then holds what the valid ones
/// say.
pub fn max_backward<T: Element>(
    dy: TensorRef<'_, T>,
    indices: TensorRef<'_, u32>,
    mut dx: TensorMut<'_, T>,
) -> Result<()> {
    let op = "max_pool2d backward";
    let [batch, channels, height, width] = dx.shape();
    let [_, _, out_height, out_width] = dy.shape();
    let expected = [batch, channels, out_height, out_width];
    Geometry::check(op, "the output's gradient", expected, dy.shape())?;
    Geometry::check(op, "the indices", expected, indices.shape())?;
    for (what, shape) in [("input's gradient", dx.shape()), ("output's gradient", expected)] {
        check_elements(op, what, shape)?;
    }
    if dy.shape().contains(&0) {
        dx.fill(T::ZERO);
        return Ok(());
    }
    let planes = Planes::new(dx.shape(), &[dy.strides(), indices.strides(), dx.strides()]);
    let blocks = planes.lanes.div_ceil(LANES);
    let places = height * width + out_height * out_width;
    let moved = parallel::operations([planes.count(), planes.lanes, places]);
    let least_outside = AtomicUsize::new(usize::MAX);
    parallel::for_each(planes.count() * blocks, moved, |job| {
        let lanes = job % blocks * LANES..planes.lanes.min((job % blocks + 1) * LANES);
        // SAFETY: the views have checked every index of these shapes, and jobs share no lane of a
        // plane.
        let outside = unsafe { add_at(dy, indices, &dx, planes, job / blocks, lanes) };
        if let Some(index) = outside {
            least_outside.fetch_min(index as usize, Ordering::Relaxed);
        }
    });
    match least_outside.into_inner() {
        usize::MAX => Ok(()),
        index => {
            let expected = format!("a place in an image of {height} by {width}");
            Err(ShapeError::new(op, "index", expected, index))
        }
    }
}

/// Zeroes some lanes of a plane of `dx`, and adds `dy` at the indices. Answers the least index that
/// lies outside the image.
///
/// # Safety
///
/// There must be such a plane, and the lanes must be the caller's alone.
unsafe fn add_at<T: Element>(
    dy: TensorRef<'_, T>,
    indices: TensorRef<'_, u32>,
    dx: &TensorMut<'_, T>,
    planes: Planes,
    plane: usize,
    lanes: Range<usize>,
) -> Option<u32> {
    let [_, _, height, width] = dx.shape();
    let [_, _, out_height, out_width] = dy.shape();
    let (dy_strides, index_strides, dx_strides) = (dy.strides(), indices.strides(), dx.strides());
    let dy = dy.as_ptr().wrapping_add(planes.offset(plane, dy_strides));
    let indices = indices.as_ptr().wrapping_add(planes.offset(plane, index_strides));
    let dx = dx.as_ptr().wrapping_add(planes.offset(plane, dx_strides));
    let rows = if width == 0 { 0 } else { height };
    for h in 0..rows {
        for w in 0..width {
            for lane in lanes.clone() {
                // SAFETY: a lane of the image.
                unsafe { *dx.add(h * dx_strides[2] + w * dx_strides[3] + lane) = T::ZERO };
            }
        }
    }
    // Where one row follows on the other, a place is found without a division.
    let dense = dx_strides[2] == width * dx_strides[3];
    let mut outside = None;
    for oh in 0..out_height {
        for ow in 0..out_width {
            let from = |strides: [usize; 4]| oh * strides[2] + ow * strides[3];
            for lane in lanes.clone() {
                // SAFETY: a lane of the output.
                let (index, dy) = unsafe {
                    (*indices.add(from(index_strides) + lane), *dy.add(from(dy_strides) + lane))
                };
                let place = index as usize;
                if place >= height * width {
                    outside = Some(outside.map_or(index, |least: u32| least.min(index)));
                    continue;
                }
                let offset = if dense {
                    place * dx_strides[3]
                } else {
                    place / width * dx_strides[2] + place % width * dx_strides[3]
                };
                // SAFETY: a lane of the image.
                unsafe { *dx.add(offset + lane) += dy };
            }
        }
    }
    outside
}
