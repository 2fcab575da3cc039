//! A convolution written out as a matrix.

use super::geometry::{Conv2dConfig, Geometry};
use crate::element::Element;
use crate::error::{Result, ShapeError, check_len};
use crate::parallel::{self, MOVED, SharedMut};
use crate::view::MatMut;

/// The matrix `M` of a convolution of one image: `M * vec(x) = vec(conv2d(x))`, where `vec` lines up
/// `[channels, height, width]` with the width fastest.
///
/// A row is a position of the output, a column a pixel of the input. An entry is zero by structure
/// where the window of that output does not reach that pixel; else it is one of the weights, and the
/// same weight stands in many places (they are tied). Which it is follows from the sizes, so that no
/// entry is stored.
///
/// ```
/// use topedge_kernels::conv2d::{Conv2dConfig, ConvMatrix};
///
/// // A 1x2 kernel on an image of 2x3 pixels: four windows.
/// let matrix = ConvMatrix::new([1, 2, 3], [1, 1, 1, 2], &Conv2dConfig::default())?;
/// let picture: Vec<String> = (0..matrix.rows())
///     .map(|row| {
///         let entry = |column| matrix.weight_index(row, column).map_or('.', |w| ['a', 'b'][w]);
///         (0..matrix.columns()).map(entry).collect()
///     })
///     .collect();
/// assert_eq!(picture, ["ab....", ".ab...", "...ab.", "....ab"]);
/// # Ok::<(), topedge_kernels::ShapeError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConvMatrix {
    geometry: Geometry,
}

impl ConvMatrix {
    /// The matrix for images `[in_channels, height, width]` and a weight
    /// `[out_channels, in_channels / groups, kernel_height, kernel_width]`.
    ///
    /// # Errors
    ///
    /// As [`output_shape`](super::output_shape), or if rows times columns overflow.
    pub fn new(input: [usize; 3], weight: [usize; 4], config: &Conv2dConfig) -> Result<Self> {
        let op = "matrix of conv2d";
        let [channels, height, width] = input;
        let geometry = Geometry::new(op, [1, channels, height, width], weight, config)?;
        let matrix = Self { geometry };
        let [rows, columns] = [matrix.rows(), matrix.columns()];
        if rows.max(1).checked_mul(columns.max(1)).is_none_or(|n| n > isize::MAX as usize / 8) {
            let expected = "rows times columns that fit in memory";
            return Err(ShapeError::new(op, "size", expected, format!("{rows} by {columns}")));
        }
        Ok(matrix)
    }

    /// How many outputs there are: `out_channels * out_height * out_width`.
    pub fn rows(&self) -> usize {
        self.geometry.output().iter().product()
    }

    /// How many inputs there are: `in_channels * height * width`.
    pub fn columns(&self) -> usize {
        let [height, width] = self.geometry.in_size;
        self.geometry.in_channels * height * width
    }

    /// `[out_channels, out_height, out_width]` of the outputs that the rows stand for.
    pub fn output_shape(&self) -> [usize; 3] {
        let [_, channels, height, width] = self.geometry.output();
        [channels, height, width]
    }

    /// Which weight stands at `row` and `column`, counted in the weight's row-major order; `None`
    /// for a structural zero, and outside the matrix. Entries with equal indices are tied.
    pub fn weight_index(&self, row: usize, column: usize) -> Option<usize> {
        if row >= self.rows() || column >= self.columns() {
            return None;
        }
        let geometry = &self.geometry;
        let split = |index: usize, [height, width]: [usize; 2]| {
            [index / (height * width), index / width % height, index % width]
        };
        let [filter, out_h, out_w] = split(row, geometry.out_size);
        let [channel, in_h, in_w] = split(column, geometry.in_size);
        let group = filter / geometry.group_outputs();
        let channel = channel.checked_sub(group * geometry.group_inputs())?;
        if channel >= geometry.group_inputs() {
            return None;
        }
        let tap = |axis: usize, out: usize, at: usize| {
            // Where the first tap lies.
            let distance = at as isize - geometry.input_at(axis, out, 0);
            let distance = usize::try_from(distance).ok()?;
            let dilation = geometry.config.dilation[axis];
            let tap = distance / dilation;
            (distance % dilation == 0 && tap < geometry.kernel[axis]).then_some(tap)
        };
        let [tap_h, tap_w] = [tap(0, out_h, in_h)?, tap(1, out_w, in_w)?];
        let slice = filter * geometry.group_inputs() + channel;
        Some((slice * geometry.kernel[0] + tap_h) * geometry.kernel[1] + tap_w)
    }

    /// Writes the matrix of `weight`, row-major, into `m` `[rows, columns]`.
    ///
    /// # Errors
    ///
    /// If `weight` or `m` is of another size.
    ///
    /// ```
    /// use topedge_kernels::conv2d::{Conv2dConfig, ConvMatrix};
    /// use topedge_kernels::{MatMut, MatRef, gemm::gemm};
    ///
    /// // The difference of neighbours in an image of one row, by a multiplication.
    /// let matrix = ConvMatrix::new([1, 1, 3], [1, 1, 1, 2], &Conv2dConfig::default())?;
    /// let mut m = [0.0f32; 6];
    /// matrix.write(&[-1.0, 1.0], MatMut::row_major(&mut m, 2, 3)?)?;
    /// assert_eq!(m, [-1.0, 1.0, 0.0, 0.0, -1.0, 1.0]);
    ///
    /// let (x, mut y) = ([1.0, 4.0, 9.0], [0.0; 2]);
    /// let (m, x) = (MatRef::row_major(&m, 2, 3)?, MatRef::row_major(&x, 3, 1)?);
    /// gemm(1.0, m, x, 0.0, MatMut::row_major(&mut y, 2, 1)?)?;
    /// assert_eq!(y, [3.0, 5.0]);
    /// # Ok::<(), topedge_kernels::ShapeError>(())
    /// ```
    pub fn write<T: Element>(&self, weight: &[T], m: MatMut<'_, T>) -> Result<()> {
        let op = "matrix of conv2d";
        let Geometry { out_channels, .. } = self.geometry;
        let weights = out_channels * self.geometry.group_inputs() * self.geometry.taps();
        check_len(op, "weight", weights, weight.len())?;
        let [rows, columns] = [self.rows(), self.columns()];
        if m.shape() != [rows, columns] {
            let (expected, got) = (format!("{:?}", [rows, columns]), format!("{:?}", m.shape()));
            return Err(ShapeError::new(op, "shape of the matrix", expected, got));
        }
        if columns == 0 {
            return Ok(()); // Of any number of rows.
        }
        let strides = m.strides();
        let to = SharedMut::new(m.as_ptr());
        parallel::for_each(rows, rows * columns * MOVED, |row| {
            for column in 0..columns {
                let value = self.weight_index(row, column).map_or(T::ZERO, |index| weight[index]);
                // SAFETY: inside the shape of `m`, and each row is one job's.
                unsafe { *to.get().add(row * strides[0] + column * strides[1]) = value };
            }
        });
        Ok(())
    }
}
