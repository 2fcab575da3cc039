//! Explicit im2col and its adjoint: the matrix that turns a convolution into a product.

use super::geometry::{Conv2dConfig, Geometry};
use crate::element::Element;
use crate::error::{Result, ShapeError};
use crate::parallel::{self, SharedMut};
use crate::view::{MatMut, MatRef, TensorMut, TensorRef};

/// The geometry of images with a kernel, all channels in one group.
fn geometry(
    op: &'static str,
    image: [usize; 4],
    kernel: [usize; 2],
    config: &Conv2dConfig,
    columns: [usize; 2],
) -> Result<Geometry> {
    if config.groups != 1 {
        let what = "groups (take the columns of each group's channels on its own)";
        return Err(ShapeError::new(op, what, 1, config.groups));
    }
    let geometry = Geometry::new(op, image, [1, image[1], kernel[0], kernel[1]], config)?;
    let rows = image[1] * geometry.taps();
    let places = image[0] * geometry.out_size[0] * geometry.out_size[1];
    if columns != [rows, places] {
        let (expected, got) = (format!("{:?}", [rows, places]), format!("{columns:?}"));
        return Err(ShapeError::new(op, "shape of the columns", expected, got));
    }
    Ok(geometry)
}

/// Calls `each(column, place in the image)` for every column of a row of the matrix, with `None` for
/// padding. The row stands for `(channel, tap)`.
fn for_each_column(
    geometry: &Geometry,
    strides: [usize; 4],
    row: usize,
    mut each: impl FnMut(usize, Option<usize>),
) {
    let (channel, tap) = (row / geometry.taps(), row % geometry.taps());
    let (kh, kw) = (tap / geometry.kernel[1], tap % geometry.kernel[1]);
    let [height, width] = geometry.in_size;
    let mut column = 0;
    for n in 0..geometry.batch {
        for oh in 0..geometry.out_size[0] {
            let h = geometry.input_at(0, oh, kh);
            for ow in 0..geometry.out_size[1] {
                let w = geometry.input_at(1, ow, kw);
                let inside = (0..height as isize).contains(&h) && (0..width as isize).contains(&w);
                each(
                    column,
                    inside.then(|| {
                        let place = h as usize * strides[2] + w as usize * strides[3];
                        n * strides[0] + channel * strides[1] + place
                    }),
                );
                column += 1;
            }
        }
    }
}

/// Writes the columns matrix `[channels * kernel_height * kernel_width, batch * out_height *
/// out_width]` of the images `x`: column `(n, oh, ow)` holds what the window there sees, with zeros
/// for padding. A weight `[out_channels, channels * kernel_height * kernel_width]` times it is the
/// convolution.
///
/// # Errors
///
/// If `columns` has another shape, or as [`super::output_shape`].
///
/// ```
/// use topedge_kernels::{MatMut, TensorRef, conv2d::{Conv2dConfig, im2col}};
///
/// let x = [1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0];
/// let x = TensorRef::contiguous(&x, [1, 1, 2, 3])?;
/// let mut columns = [0.0; 8];
/// let view = MatMut::row_major(&mut columns, 4, 2)?;
/// im2col(x, [2, 2], &Conv2dConfig::default(), view)?;
/// // Two windows: 1 2 / 4 5 and 2 3 / 5 6.
/// assert_eq!(columns, [1.0, 2.0, 2.0, 3.0, 4.0, 5.0, 5.0, 6.0]);
/// # Ok::<(), topedge_kernels::ShapeError>(())
/// ```
pub fn im2col<T: Element>(
    x: TensorRef<'_, T>,
    kernel: [usize; 2],
    config: &Conv2dConfig,
    columns: MatMut<'_, T>,
) -> Result<()> {
    let geometry = geometry("im2col", x.shape(), kernel, config, columns.shape())?;
    let [rows, places] = columns.shape();
    let [row_stride, column_stride] = columns.strides();
    if rows == 0 || places == 0 {
        return Ok(());
    }
    let to = SharedMut::new(columns.as_ptr());
    parallel::for_each(rows, rows * places, |row| {
        for_each_column(&geometry, x.strides(), row, |column, place| {
            // SAFETY: the place is inside the view of `x`, row and column inside that of the
            // columns; each row is one job's.
            unsafe {
                let value = place.map_or(T::ZERO, |place| *x.as_ptr().add(place));
                *to.get().add(row * row_stride + column * column_stride) = value;
            }
        });
    });
    Ok(())
}

/// The adjoint of [`im2col`]: sets each element of `x` to the sum of the entries of the matrix that
/// [`im2col`] copies it to.
///
/// # Errors
///
/// As [`im2col`].
pub fn col2im<T: Element>(
    columns: MatRef<'_, T>,
    kernel: [usize; 2],
    config: &Conv2dConfig,
    x: TensorMut<'_, T>,
) -> Result<()> {
    let geometry = geometry("col2im", x.shape(), kernel, config, columns.shape())?;
    let [rows, places] = columns.shape();
    let [row_stride, column_stride] = columns.strides();
    let [batch, channels, height, width] = x.shape();
    let strides = x.strides();
    if x.shape().contains(&0) {
        return Ok(());
    }
    let to = SharedMut::new(x.as_ptr());
    parallel::for_each(channels, parallel::operations([rows, places]), |channel| {
        for n in 0..batch {
            for h in 0..height {
                for w in 0..width {
                    let place = [n, channel, h, w];
                    let offset: usize = place.iter().zip(strides).map(|(i, s)| i * s).sum();
                    // SAFETY: inside the view of `x`; each channel is one job's.
                    unsafe { *to.get().add(offset) = T::ZERO };
                }
            }
        }
        for row in channel * geometry.taps()..(channel + 1) * geometry.taps() {
            for_each_column(&geometry, strides, row, |column, place| {
                let Some(place) = place else { return };
                // SAFETY: as above; row and column are inside the view of the columns.
                unsafe {
                    *to.get().add(place) +=
                        *columns.as_ptr().add(row * row_stride + column * column_stride);
                }
            });
        }
    });
    Ok(())
}
