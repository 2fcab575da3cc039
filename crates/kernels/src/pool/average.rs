//! The average of each window.

use super::geometry::{Geometry, Planes, Pool2dConfig};
use crate::arch::{Isa, Kernel, Microkernel};
use crate::element::Element;
use crate::error::{Result, ShapeError};
use crate::parallel;
use crate::view::{TensorMut, TensorRef};

/// Elements read by a job.
const CHUNK: usize = 1 << 15;

/// Sets `y` to the average of each window of `x`; by `count_include_pad`, zeros of the padding count
/// or do not.
///
/// Shapes: `x` is `[batch, channels, height, width]`, `y` is [`output_shape`](super::output_shape)
/// of it.
///
/// # Errors
///
/// If the shapes do not fit, or there is a dilation.
///
/// ```
/// use topedge_kernels::{TensorMut, TensorRef, pool::{Pool2dConfig, avg_forward}};
///
/// let x = [1.0f32, 2.0, 3.0, 6.0];
/// let mut y = [0.0];
/// avg_forward(
///     TensorRef::contiguous(&x, [1, 1, 2, 2])?,
///     &Pool2dConfig::new([2, 2]),
///     TensorMut::contiguous(&mut y, [1, 1, 1, 1])?,
/// )?;
/// assert_eq!(y, [3.0]);
/// # Ok::<(), topedge_kernels::ShapeError>(())
/// ```
pub fn avg_forward<T: Element>(
    x: TensorRef<'_, T>,
    config: &Pool2dConfig,
    y: TensorMut<'_, T>,
) -> Result<()> {
    let op = "avg_pool2d";
    check_dilation(op, config)?;
    let geometry = Geometry::sliding(op, x.shape(), config)?;
    forward(op, &geometry, x, y)
}

/// As [`avg_forward`], with as many windows as `y` has places, from `floor(o * size / out)` to
/// `ceil((o + 1) * size / out)` along each axis.
///
/// # Errors
///
/// If the shapes do not fit.
pub fn adaptive_avg_forward<T: Element>(x: TensorRef<'_, T>, y: TensorMut<'_, T>) -> Result<()> {
    let op = "adaptive_avg_pool2d";
    let geometry = Geometry::adaptive(op, x.shape(), y.shape())?;
    forward(op, &geometry, x, y)
}

/// Sets `dx` to the gradient of [`avg_forward`]: each of `dy`, divided as its window was, goes to
/// all places of the window.
///
/// # Errors
///
/// As [`avg_forward`].
pub fn avg_backward<T: Element>(
    dy: TensorRef<'_, T>,
    config: &Pool2dConfig,
    dx: TensorMut<'_, T>,
) -> Result<()> {
    let op = "avg_pool2d backward";
    check_dilation(op, config)?;
    let geometry = Geometry::sliding(op, dx.shape(), config)?;
    backward(op, &geometry, dy, dx)
}

/// Sets `dx` to the gradient of [`adaptive_avg_forward`].
///
/// # Errors
///
/// If the shapes do not fit.
pub fn adaptive_avg_backward<T: Element>(dy: TensorRef<'_, T>, dx: TensorMut<'_, T>) -> Result<()> {
    let op = "adaptive_avg_pool2d backward";
    let geometry = Geometry::adaptive(op, dx.shape(), dy.shape())?;
    backward(op, &geometry, dy, dx)
}

fn check_dilation(op: &'static str, config: &Pool2dConfig) -> Result<()> {
    if config.dilation == [1, 1] {
        return Ok(());
    }
    let got = format!("{:?}", config.dilation);
    Err(ShapeError::new(op, "dilation", "[1, 1]: an average has none", got))
}

fn forward<T: Element>(
    op: &'static str,
    geometry: &Geometry,
    x: TensorRef<'_, T>,
    y: TensorMut<'_, T>,
) -> Result<()> {
    Geometry::check(op, "the output", geometry.output, y.shape())?;
    if y.shape().contains(&0) {
        return Ok(());
    }
    let isa = Isa::current();
    let planes = Planes::new(geometry.output, &[x.strides(), y.strides()]);
    let rows = planes.count() * geometry.output[2];
    let row_cost = geometry.row_cost(planes.lanes);
    let group = (CHUNK / row_cost.max(1)).max(1);
    parallel::for_each(rows.div_ceil(group), rows.saturating_mul(row_cost), |job| {
        let rows = [job * group, rows.min((job + 1) * group)];
        // SAFETY (of what the kernel does): the views have checked every index of these shapes, and
        // jobs share no row of the output.
        T::run(isa, Forward { geometry, planes, rows, x, y: &y });
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
}

impl<T: Element> Kernel<T> for Forward<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<V: Microkernel<Elem = T>>(self) {
        let Self { geometry, planes, x, y, .. } = self;
        let [_, _, out_height, out_width] = geometry.output;
        let (x_strides, y_strides) = (x.strides(), y.strides());
        let whole = planes.lanes - planes.lanes % V::LANES;
        for row in self.rows[0]..self.rows[1] {
            let (plane, oh) = (row / out_height, row % out_height);
            let x = x.as_ptr().wrapping_add(planes.offset(plane, x_strides));
            let y = y.as_ptr().wrapping_add(planes.offset(plane, y_strides) + oh * y_strides[2]);
            let h = geometry.window(0, oh);
            for ow in 0..out_width {
                let w = geometry.window(1, ow);
                let x = x.wrapping_add(h.start * x_strides[2] + w.start * x_strides[3]);
                let y = y.wrapping_add(ow * y_strides[3]);
                let counted = T::from_f64(h.counted as f64 * w.counted as f64);
                for lane in (0..whole).step_by(V::LANES) {
                    let mut sum = V::splat(T::ZERO);
                    // SAFETY: `lanes` neighbours lie at each place of the image and of the output.
                    unsafe {
                        for i in 0..h.count {
                            for j in 0..w.count {
                                let offset = i * x_strides[2] + j * x_strides[3] + lane;
                                sum = sum.add(V::load(x.add(offset)));
                            }
                        }
                        sum.div(V::splat(counted)).store(y.add(lane));
                    }
                }
                for lane in whole..planes.lanes {
                    let mut sum = T::ZERO;
                    // SAFETY: as above.
                    unsafe {
                        for i in 0..h.count {
                            for j in 0..w.count {
                                sum += *x.add(i * x_strides[2] + j * x_strides[3] + lane);
                            }
                        }
                        *y.add(lane) = sum / counted;
                    }
                }
            }
        }
    }
}

/// Lanes of a job: planes next to each other are many, and there may be only one row of them.
const LANES: usize = 64;

fn backward<T: Element>(
    op: &'static str,
    geometry: &Geometry,
    dy: TensorRef<'_, T>,
    mut dx: TensorMut<'_, T>,
) -> Result<()> {
    Geometry::check(op, "the output's gradient", geometry.output, dy.shape())?;
    if dx.shape().contains(&0) {
        return Ok(());
    }
    if dy.shape().contains(&0) {
        dx.fill(T::ZERO);
        return Ok(());
    }
    let isa = Isa::current();
    let planes = Planes::new(geometry.output, &[dy.strides(), dx.strides()]);
    let blocks = planes.lanes.div_ceil(LANES);
    let rows = planes.count() * geometry.output[2];
    let operations = rows.saturating_mul(geometry.row_cost(planes.lanes));
    parallel::for_each(planes.count() * blocks, operations, |job| {
        let lanes = [job % blocks * LANES, planes.lanes.min((job % blocks + 1) * LANES)];
        // SAFETY (of what the kernel does): the views have checked every index of these shapes, and
        // jobs share no lane of a plane.
        T::run(isa, Backward { geometry, planes, plane: job / blocks, lanes, dy, dx: &dx });
    });
    Ok(())
}

/// Some lanes of a plane.
struct Backward<'a, T> {
    geometry: &'a Geometry,
    planes: Planes,
    plane: usize,
    /// The first, and the first no more.
    lanes: [usize; 2],
    dy: TensorRef<'a, T>,
    dx: &'a TensorMut<'a, T>,
}

impl<T: Element> Kernel<T> for Backward<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<V: Microkernel<Elem = T>>(self) {
        let Self { geometry, planes, plane, lanes: [first, end], dy, dx } = self;
        let [_, _, height, width] = geometry.input;
        let [_, _, out_height, out_width] = geometry.output;
        let (dy_strides, dx_strides) = (dy.strides(), dx.strides());
        let dy = dy.as_ptr().wrapping_add(planes.offset(plane, dy_strides));
        let dx = dx.as_ptr().wrapping_add(planes.offset(plane, dx_strides));
        let whole = end - (end - first) % V::LANES;
        for h in 0..height {
            for w in 0..width {
                for lane in first..end {
                    // SAFETY: a lane of the image.
                    unsafe { *dx.add(h * dx_strides[2] + w * dx_strides[3] + lane) = T::ZERO };
                }
            }
        }
        for oh in 0..out_height {
            let h = geometry.window(0, oh);
            for ow in 0..out_width {
                let w = geometry.window(1, ow);
                let dy = dy.wrapping_add(oh * dy_strides[2] + ow * dy_strides[3]);
                let dx = dx.wrapping_add(h.start * dx_strides[2] + w.start * dx_strides[3]);
                let counted = T::from_f64(h.counted as f64 * w.counted as f64);
                for lane in (first..whole).step_by(V::LANES) {
                    // SAFETY: `lanes` neighbours lie at each place of the output and of the image.
                    unsafe {
                        let share = V::load(dy.add(lane)).div(V::splat(counted));
                        for i in 0..h.count {
                            for j in 0..w.count {
                                let offset = i * dx_strides[2] + j * dx_strides[3] + lane;
                                V::load(dx.add(offset)).add(share).store(dx.add(offset));
                            }
                        }
                    }
                }
                for lane in whole..end {
                    // SAFETY: as above.
                    unsafe {
                        let share = *dy.add(lane) / counted;
                        for i in 0..h.count {
                            for j in 0..w.count {
                                *dx.add(i * dx_strides[2] + j * dx_strides[3] + lane) += share;
                            }
                        }
                    }
                }
            }
        }
    }
}
