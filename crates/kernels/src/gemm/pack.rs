//! Packing matrices into the panels that the microkernel reads.

use super::blocked::{ColumnOffsets, PackA, PackB};
use super::microkernel::Microkernel;
use crate::arch::MAX_LANES;
use crate::element::Element;
use crate::view::MatRef;

/// Columns that are interleaved at once.
const GROUP: usize = 4;

/// The rows of a matrix, times alpha.
pub(super) struct Rows<'a, T> {
    pub(super) matrix: MatRef<'a, T>,
    pub(super) alpha: T,
}

/// Copies `to[i * WIDTH + j] = alpha * from[i * row + j * column]`, with zeros up to the width, or nothing
/// behind whole vectors of a panel of vectors: the microkernel does not read there.
///
/// # Safety
///
/// Valid for reading `rows * columns` elements with those strides, and writing `rows * width`.
#[inline(always)]
unsafe fn copy_panel<V: Microkernel>(
    mut from: *const V::Elem,
    [row, column]: [usize; 2],
    mut to: *mut V::Elem,
    width: usize,
    [mut rows, columns]: [usize; 2],
    alpha: V::Elem,
) {
    if column == 1 && width.is_multiple_of(V::LANES) && columns.is_multiple_of(V::LANES) {
        let alpha = V::splat(alpha);
        for i in 0..rows {
            // The width is known at compile time: a loop over the columns would not be unrolled.
            for j in (0..width).step_by(V::LANES) {
                if j < columns {
                    // SAFETY: whole vectors of a row are read and written: the caller's duty.
                    unsafe {
                        let x = V::load(from.wrapping_add(i * row).add(j));
                        alpha.mul(x).store(to.add(i * width + j));
                    }
                }
            }
        }
        return;
    }
    if columns < width {
        for i in 0..rows * width {
            // SAFETY: the caller's duty.
            unsafe { *to.add(i) = V::Elem::ZERO };
        }
    }
    if row == 1 && columns >= GROUP {
        let some = rows / V::LANES * V::LANES;
        for i in (0..some).step_by(V::LANES) {
            for j in (0..columns).step_by(GROUP) {
                // The last group may copy again what the one before has copied.
                let j = j.min(columns - GROUP);
                let from = from.wrapping_add(i + j * column);
                // SAFETY: these rows and columns are read and written: the caller's duty.
                unsafe { interleave::<V>(from, column, to.add(i * width + j), width, alpha) };
            }
        }
        from = from.wrapping_add(some);
        to = to.wrapping_add(some * width);
        rows -= some;
    }
    // Reads should be contiguous: by rows where the columns are neighbours, else down the columns.
    let ([outer, inner], [from_outer, from_inner], [to_outer, to_inner]) = if column == 1 {
        ([rows, columns], [row, column], [width, 1])
    } else {
        ([columns, rows], [column, row], [1, width])
    };
    for i in 0..outer {
        for j in 0..inner {
            // SAFETY: the caller's duty.
            unsafe {
                let x = *from.add(i * from_outer + j * from_inner);
                *to.add(i * to_outer + j * to_inner) = alpha * x;
            }
        }
    }
}

/// Copies `to[i * width + j] = alpha * from[i + j * column]` for `LANES` rows and `GROUP` columns.
///
/// # Safety
///
/// As [`copy_panel`].
#[inline(always)]
unsafe fn interleave<V: Microkernel>(
    from: *const V::Elem,
    column: usize,
    to: *mut V::Elem,
    width: usize,
    alpha: V::Elem,
) {
    let mut vectors = [V::splat(alpha); GROUP];
    for (j, vector) in vectors.iter_mut().enumerate() {
        // SAFETY: the caller's duty.
        *vector = vector.mul(unsafe { V::load(from.wrapping_add(j * column)) });
    }
    let mut numbers = [[V::Elem::ZERO; GROUP]; MAX_LANES];
    let vectors = V::interleave(vectors).into_iter();
    for (vector, to) in vectors.zip(numbers.as_flattened_mut().chunks_exact_mut(V::LANES)) {
        vector.write_to(to);
    }
    for (i, row) in numbers[..V::LANES].iter().enumerate() {
        // SAFETY: the caller's duty; a row of `GROUP` elements at any address.
        unsafe { to.add(i * width).cast::<[V::Elem; GROUP]>().write_unaligned(*row) };
    }
}

impl<T: Element> PackA<T> for Rows<'_, T> {
    #[inline(always)]
    unsafe fn pack<V: Microkernel<Elem = T>>(
        &self,
        [i0, rows]: [usize; 2],
        [k0, depth]: [usize; 2],
        to: *mut T,
    ) {
        let [row, column] = self.matrix.strides();
        let from = self.matrix.as_ptr().wrapping_add(i0 * row + k0 * column);
        // SAFETY: the block is inside the matrix; `to` is the caller's duty.
        unsafe { copy_panel::<V>(from, [column, row], to, V::MR, [depth, rows], self.alpha) }
    }

    #[inline(always)]
    fn rows_are_neighbours(&self) -> bool {
        self.matrix.strides()[0] == 1
    }

    fn in_place(&self) -> Option<(*const T, usize)> {
        let [row, step] = self.matrix.strides();
        (self.alpha == T::ONE && step == 1).then(|| (self.matrix.as_ptr(), row))
    }
}

/// The columns of a matrix.
pub(super) struct Columns<'a, T>(pub(super) MatRef<'a, T>);

impl<T: Element> PackB<T> for Columns<'_, T> {
    #[inline(always)]
    unsafe fn pack<V: Microkernel<Elem = T>>(
        &self,
        [k0, depth]: [usize; 2],
        [j0, columns]: [usize; 2],
        to: *mut T,
    ) {
        let [row, column] = self.0.strides();
        let from = self.0.as_ptr().wrapping_add(k0 * row + j0 * column);
        // SAFETY: the block is inside the matrix; `to` is the caller's duty.
        unsafe { copy_panel::<V>(from, [row, column], to, V::NR, [depth, columns], T::ONE) }
    }

    fn in_place(
        &self,
        [k0, _]: [usize; 2],
        [j0, columns]: [usize; 2],
    ) -> Option<(*const T, usize)> {
        let [row, column] = self.0.strides();
        let whole = column == 1 && columns.is_multiple_of(MAX_LANES);
        whole.then(|| (self.0.as_ptr().wrapping_add(k0 * row + j0), row))
    }
}

/// Columns of the output at a fixed distance.
pub(crate) struct Strided(pub(crate) usize);

impl ColumnOffsets for Strided {
    #[inline(always)]
    fn offsets(&self, j0: usize, offsets: &mut [usize]) {
        for (j, offset) in offsets.iter_mut().enumerate() {
            *offset = (j0 + j) * self.0;
        }
    }
}
