//! Packing matrices into the panels that the microkernel reads.

use super::blocked::{ColumnOffsets, PackA, PackB};
use crate::element::Element;
use crate::view::MatRef;

/// The rows of a matrix, times alpha.
pub(super) struct Rows<'a, T> {
    pub(super) matrix: MatRef<'a, T>,
    pub(super) alpha: T,
}

/// Copies `to[i * to_width + j] = alpha * from[i * row + j * column]`, and zeros up to `to_width`.
///
/// # Safety
///
/// Valid for reading `rows * columns` elements with those strides, and writing `rows * to_width`.
#[inline(always)]
unsafe fn copy_panel<T: Element>(
    from: *const T,
    [row, column]: [usize; 2],
    to: *mut T,
    to_width: usize,
    [rows, columns]: [usize; 2],
    alpha: T,
) {
    // Reads should be contiguous: by rows where the columns are neighbours, else down the columns.
    // SAFETY (both branches): the caller's duty.
    if column == 1 {
        for i in 0..rows {
            for j in 0..columns {
                unsafe { *to.add(i * to_width + j) = alpha * *from.add(i * row + j) };
            }
            for j in columns..to_width {
                unsafe { *to.add(i * to_width + j) = T::ZERO };
            }
        }
    } else {
        for j in 0..columns {
            for i in 0..rows {
                unsafe { *to.add(i * to_width + j) = alpha * *from.add(i * row + j * column) };
            }
        }
        for j in columns..to_width {
            for i in 0..rows {
                unsafe { *to.add(i * to_width + j) = T::ZERO };
            }
        }
    }
}

impl<T: Element> PackA<T> for Rows<'_, T> {
    #[inline(always)]
    unsafe fn pack(&self, [i0, rows]: [usize; 2], [k0, depth]: [usize; 2], width: usize, to: *mut T) {
        let [row, column] = self.matrix.strides();
        let from = self.matrix.as_ptr().wrapping_add(i0 * row + k0 * column);
        // SAFETY: the block is inside the matrix; `to` is the caller's duty.
        unsafe { copy_panel(from, [column, row], to, width, [depth, rows], self.alpha) }
    }
}

/// The columns of a matrix.
pub(super) struct Columns<'a, T>(pub(super) MatRef<'a, T>);

impl<T: Element> PackB<T> for Columns<'_, T> {
    #[inline(always)]
    unsafe fn pack(&self, [k0, depth]: [usize; 2], [j0, columns]: [usize; 2], width: usize, to: *mut T) {
        let [row, column] = self.0.strides();
        let from = self.0.as_ptr().wrapping_add(k0 * row + j0 * column);
        // SAFETY: the block is inside the matrix; `to` is the caller's duty.
        unsafe { copy_panel(from, [row, column], to, width, [depth, columns], T::ONE) }
    }
}

/// Columns of the output at a fixed distance.
pub(super) struct Strided(pub(super) usize);

impl ColumnOffsets for Strided {
    #[inline(always)]
    fn offsets(&self, j0: usize, offsets: &mut [usize]) {
        for (j, offset) in offsets.iter_mut().enumerate() {
            *offset = (j0 + j) * self.0;
        }
    }
}
