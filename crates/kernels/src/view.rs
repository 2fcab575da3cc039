//! Checked views of matrices and image tensors.
//!
//! A view's constructor proves that every element it can address lies inside its slice and, for a
//! mutable view, that no two of its indices meet. After that the kernels go by pointer.

use std::marker::PhantomData;

use crate::error::{Result, ShapeError};

/// How many elements a slice must have for `shape` with `strides`; `None` if that overflows.
fn required_len<const D: usize>(shape: [usize; D], strides: [usize; D]) -> Option<usize> {
    if shape.contains(&0) {
        return Some(0);
    }
    shape
        .iter()
        .zip(strides)
        .try_fold(0usize, |last, (&size, stride)| {
            last.checked_add((size - 1).checked_mul(stride)?)
        })?
        .checked_add(1)
}

/// Whether two different indices could address one element.
///
/// Sorted by stride, each axis must step over all that the axes below it span: exact for every
/// layout that comes from permuting, narrowing or stepping through a dense one.
fn overlaps<const D: usize>(shape: [usize; D], strides: [usize; D]) -> bool {
    let mut axes: [(usize, usize); D] = std::array::from_fn(|axis| (strides[axis], shape[axis]));
    axes.sort_unstable();
    let mut span = 0;
    for (stride, size) in axes.into_iter().filter(|&(_, size)| size > 1) {
        if stride <= span {
            return true;
        }
        span += (size - 1) * stride;
    }
    false
}

/// Checks a view's geometry against its slice.
fn check<const D: usize>(
    op: &'static str,
    len: usize,
    shape: [usize; D],
    strides: [usize; D],
    unique: bool,
) -> Result<()> {
    let describe = || format!("data for shape {shape:?} with strides {strides:?}");
    match required_len(shape, strides) {
        Some(needed) if needed <= len => {}
        Some(needed) => {
            let expected = format!("at least {needed} elements");
            return Err(ShapeError::new(op, describe(), expected, len));
        }
        None => {
            let expected = "sizes whose products fit in usize";
            return Err(ShapeError::new(op, describe(), expected, "an overflow"));
        }
    }
    if unique && !shape.contains(&0) && overlaps(shape, strides) {
        let expected = "indices that never share an element";
        return Err(ShapeError::new(op, describe(), expected, "strides that overlap"));
    }
    Ok(())
}

/// The row-major strides of `shape`: the last axis is contiguous.
///
/// Saturates instead of overflowing: a view of such a shape is refused for its length.
pub(crate) fn row_major(shape: [usize; 4]) -> [usize; 4] {
    let w = shape[3].max(1);
    let hw = w.saturating_mul(shape[2].max(1));
    let chw = hw.saturating_mul(shape[1].max(1));
    [chw, hw, w, 1]
}

macro_rules! view {
    (
        $(#[$doc:meta])* $name:ident, $op:literal, $dims:literal, $pointer:ty, $slice:ty,
        $as_ptr:ident, $unique:literal
    ) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $name<'a, T> {
            pointer: $pointer,
            shape: [usize; $dims],
            strides: [usize; $dims],
            slice: PhantomData<$slice>,
        }

        // SAFETY: the view stands for the slice it was made from, and moves as that may.
        unsafe impl<T: Send + Sync> Send for $name<'_, T> {}
        // SAFETY: as above; writing through a shared mutable view is the kernels' `unsafe` duty.
        unsafe impl<T: Send + Sync> Sync for $name<'_, T> {}

        impl<'a, T: Copy> $name<'a, T> {
            /// A view of `data` in which index `i` lies at the sum of `i[axis] * strides[axis]`
            /// elements. Strides of a view without elements say nothing, and are 0.
            ///
            /// # Errors
            ///
            /// If an index would lie outside `data`, or sizes overflow; for a mutable view also if
            /// two indices would share an element.
            pub fn new(data: $slice, shape: [usize; $dims], strides: [usize; $dims]) -> Result<Self> {
                check($op, data.len(), shape, strides, $unique)?;
                let strides = if shape.contains(&0) { [0; $dims] } else { strides };
                Ok(Self { pointer: data.$as_ptr(), shape, strides, slice: PhantomData })
            }

            /// The size of each axis.
            pub fn shape(&self) -> [usize; $dims] {
                self.shape
            }

            /// The elements between neighbours along each axis.
            pub fn strides(&self) -> [usize; $dims] {
                self.strides
            }

            /// Where index 0 lies.
            pub(crate) fn as_ptr(&self) -> $pointer {
                self.pointer
            }
        }
    };
}

view! {
    /// A matrix `[rows, columns]` to read. Swap the axes for its transpose; a stride of 0 repeats.
    MatRef, "matrix", 2, *const T, &'a [T], as_ptr, false
}
view! {
    /// A matrix `[rows, columns]` to write.
    MatMut, "matrix", 2, *mut T, &'a mut [T], as_mut_ptr, true
}
view! {
    /// Images `[batch, channels, height, width]` to read, in any memory format: the strides of NCHW
    /// are `[c*h*w, h*w, w, 1]`, of channels-last `[h*w*c, 1, w*c, c]`, of batch-last
    /// `[1, h*w*n, w*n, n]`. Also weights `[out_channels, in_channels / groups, height, width]`.
    TensorRef, "tensor", 4, *const T, &'a [T], as_ptr, false
}
view! {
    /// Images or weights to write; see [`TensorRef`].
    TensorMut, "tensor", 4, *mut T, &'a mut [T], as_mut_ptr, true
}

macro_rules! batch {
    ($(#[$doc:meta])* $name:ident, $tensor:ident, $op:literal, $pointer:ty, $slice:ty) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $name<'a, T> {
            first: $tensor<'a, T>,
            parts: usize,
            apart: usize,
        }

        impl<'a, T: Copy> $name<'a, T> {
            /// A view of `data`, cut into `parts` of equal length. Each holds as many images of the batch
            /// `shape[0]`, of which index `i` lies at the sum of `i[axis] * strides[axis]` elements.
            ///
            /// # Errors
            ///
            /// If there are no parts or more than images (of those without elements more than one), if images or
            /// `data` do not fall into so many equal ones, or for what
            #[doc = concat!("[`", stringify!($tensor), "::new`]")]
            /// refuses of one of them.
            pub fn in_parts(
                data: $slice,
                shape: [usize; 4],
                strides: [usize; 4],
                parts: usize,
            ) -> Result<Self> {
                let most = if shape.contains(&0) { 1 } else { shape[0] };
                if !(1..=most).contains(&parts) {
                    let expected = format!("1 to {most}");
                    return Err(ShapeError::new($op, "number of parts", expected, parts));
                }
                for (what, size) in [("images", shape[0]), ("elements", data.len())] {
                    if !size.is_multiple_of(parts) {
                        let expected = format!("a multiple of the number of parts, {parts}");
                        let what = format!("number of {what}");
                        return Err(ShapeError::new($op, what, expected, size));
                    }
                }
                let (apart, [n, c, h, w]) = (data.len() / parts, shape);
                let first = $tensor::new(data, [n / parts, c, h, w], strides)?;
                // The first part ends where the second begins.
                check($op, apart, first.shape, first.strides, false)?;
                Ok(Self { first, parts, apart })
            }

            /// The size of each axis, that of the batch over all parts.
            pub fn shape(&self) -> [usize; 4] {
                let [n, c, h, w] = self.first.shape;
                [n * self.parts, c, h, w]
            }

            /// The elements between neighbours along each axis, in a part.
            pub fn strides(&self) -> [usize; 4] {
                self.first.strides
            }

            /// How many there are: at least one.
            pub fn parts(&self) -> usize {
                self.parts
            }

            /// Elements from one part to the next.
            pub(crate) fn apart(&self) -> usize {
                self.apart
            }

            /// Where index 0 of the first part lies.
            pub(crate) fn as_ptr(&self) -> $pointer {
                self.first.pointer
            }
        }

        impl<'a, T: Copy> From<$tensor<'a, T>> for $name<'a, T> {
            fn from(first: $tensor<'a, T>) -> Self {
                Self { first, parts: 1, apart: 0 }
            }
        }
    };
}

batch! {
    /// Images to read whose batch lies in equal parts, one behind the other, each as a [`TensorRef`]. Threads that
    /// take a part each then share nothing of it, whatever the memory format: of a batch in one part, batch-last,
    /// the images of all threads are neighbours.
    BatchRef, TensorRef, "batch", *const T, &'a [T]
}
batch! {
    /// Images to write whose batch lies in equal parts; see [`BatchRef`].
    BatchMut, TensorMut, "batch", *mut T, &'a mut [T]
}

impl<T> Clone for BatchRef<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for BatchRef<'_, T> {}

impl<'a, T: Copy> BatchRef<'a, T> {
    /// One of the parts.
    ///
    /// # Panics
    ///
    /// If there are not so many.
    pub fn part(&self, index: usize) -> TensorRef<'a, T> {
        assert!(index < self.parts, "part {index} of {}", self.parts);
        TensorRef { pointer: self.first.pointer.wrapping_add(index * self.apart), ..self.first }
    }
}

impl<T: Copy> BatchMut<'_, T> {
    /// One of the parts.
    ///
    /// # Panics
    ///
    /// If there are not so many.
    pub fn part(&mut self, index: usize) -> TensorMut<'_, T> {
        assert!(index < self.parts, "part {index} of {}", self.parts);
        let pointer = self.first.pointer.wrapping_add(index * self.apart);
        TensorMut {
            pointer,
            shape: self.first.shape,
            strides: self.first.strides,
            slice: PhantomData,
        }
    }
}

impl<T> Clone for MatRef<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for MatRef<'_, T> {}

impl<T> Clone for TensorRef<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for TensorRef<'_, T> {}

impl<'a, T: Copy> MatRef<'a, T> {
    /// A row-major matrix.
    ///
    /// # Errors
    ///
    /// If `data` has fewer than `rows * columns` elements.
    pub fn row_major(data: &'a [T], rows: usize, columns: usize) -> Result<Self> {
        Self::new(data, [rows, columns], [columns.max(1), 1])
    }

    /// The same elements, rows as columns.
    pub fn transpose(self) -> Self {
        let ([m, n], [row, column]) = (self.shape, self.strides);
        Self { shape: [n, m], strides: [column, row], ..self }
    }

    /// The element at `[row, column]`.
    ///
    /// # Panics
    ///
    /// If the index is outside the shape.
    pub fn get(&self, [row, column]: [usize; 2]) -> T {
        assert!(row < self.shape[0] && column < self.shape[1]);
        // SAFETY: inside the shape, so inside the slice.
        unsafe { *self.pointer.add(row * self.strides[0] + column * self.strides[1]) }
    }
}

impl<'a, T: Copy> MatMut<'a, T> {
    /// A row-major matrix.
    ///
    /// # Errors
    ///
    /// If `data` has fewer than `rows * columns` elements.
    pub fn row_major(data: &'a mut [T], rows: usize, columns: usize) -> Result<Self> {
        Self::new(data, [rows, columns], [columns.max(1), 1])
    }

    /// The same elements, rows as columns.
    pub fn transpose(self) -> Self {
        let ([m, n], [row, column]) = (self.shape, self.strides);
        Self { shape: [n, m], strides: [column, row], ..self }
    }

    /// Puts `value` at `[row, column]`.
    ///
    /// # Panics
    ///
    /// If the index is outside the shape.
    pub fn set(&mut self, [row, column]: [usize; 2], value: T) {
        assert!(row < self.shape[0] && column < self.shape[1]);
        // SAFETY: inside the shape, so inside the slice, which this view holds alone.
        unsafe { *self.pointer.add(row * self.strides[0] + column * self.strides[1]) = value }
    }

    /// The element at `[row, column]`.
    ///
    /// # Panics
    ///
    /// If the index is outside the shape.
    pub fn get(&self, [row, column]: [usize; 2]) -> T {
        assert!(row < self.shape[0] && column < self.shape[1]);
        // SAFETY: inside the shape, so inside the slice.
        unsafe { *self.pointer.add(row * self.strides[0] + column * self.strides[1]) }
    }
}

/// The offset of `index`, which must be inside `shape`. Without iterators, which move arrays about, and
/// inlined, like those who call it: the naive loops of the tests do so for each factor.
#[inline(always)]
fn offset(shape: &[usize; 4], strides: &[usize; 4], index: [usize; 4]) -> usize {
    let [n, c, h, w] = index;
    assert!(
        n < shape[0] && c < shape[1] && h < shape[2] && w < shape[3],
        "index {index:?} outside shape {shape:?}"
    );
    n * strides[0] + c * strides[1] + h * strides[2] + w * strides[3]
}

impl<'a, T: Copy> TensorRef<'a, T> {
    /// A contiguous tensor: NCHW.
    ///
    /// # Errors
    ///
    /// If `data` has fewer elements than `shape`.
    pub fn contiguous(data: &'a [T], shape: [usize; 4]) -> Result<Self> {
        Self::new(data, shape, row_major(shape))
    }

    /// The element at `[n, c, h, w]`.
    ///
    /// # Panics
    ///
    /// If the index is outside the shape.
    #[inline(always)]
    pub fn get(&self, index: [usize; 4]) -> T {
        // SAFETY: `offset` has checked that the index is inside the shape, so inside the slice.
        unsafe { *self.pointer.add(offset(&self.shape, &self.strides, index)) }
    }

    /// Every `step`th index along `axis` from `first` on, `len` of them: at least one, and all inside.
    pub(crate) fn every(&self, axis: usize, first: usize, len: usize, step: usize) -> Self {
        assert!(len > 0 && first + (len - 1) * step < self.shape[axis]);
        let mut view = *self;
        view.pointer = self.pointer.wrapping_add(first * self.strides[axis]);
        view.shape[axis] = len;
        // A single one may have a huge stride.
        view.strides[axis] = self.strides[axis].wrapping_mul(step);
        view
    }
}

impl<'a, T: Copy> TensorMut<'a, T> {
    /// A contiguous tensor: NCHW.
    ///
    /// # Errors
    ///
    /// If `data` has fewer elements than `shape`.
    pub fn contiguous(data: &'a mut [T], shape: [usize; 4]) -> Result<Self> {
        Self::new(data, shape, row_major(shape))
    }

    /// The one place at `[h, w]` of each channel.
    pub(crate) fn place(&mut self, [h, w]: [usize; 2]) -> TensorMut<'_, T> {
        let Self { pointer, shape: [n, c, height, width], strides, .. } = *self;
        assert!(h < height && w < width);
        let pointer = pointer.wrapping_add(h * strides[2] + w * strides[3]);
        TensorMut { pointer, shape: [n, c, 1, 1], strides, slice: PhantomData }
    }

    /// Puts `value` at every index.
    pub(crate) fn fill(&mut self, value: T) {
        let [batch, channels, height, width] = self.shape;
        if self.shape.contains(&0) {
            return;
        }
        for n in 0..batch {
            for c in 0..channels {
                for h in 0..height {
                    (0..width).for_each(|w| self.set([n, c, h, w], value));
                }
            }
        }
    }

    /// Puts `value` at `[n, c, h, w]`.
    ///
    /// # Panics
    ///
    /// If the index is outside the shape.
    #[inline(always)]
    pub fn set(&mut self, index: [usize; 4], value: T) {
        // SAFETY: `offset` has checked that the index is inside the shape, so inside the slice,
        // which this view holds alone.
        unsafe { *self.pointer.add(offset(&self.shape, &self.strides, index)) = value }
    }

    /// The element at `[n, c, h, w]`.
    ///
    /// # Panics
    ///
    /// If the index is outside the shape.
    #[inline(always)]
    pub fn get(&self, index: [usize; 4]) -> T {
        // SAFETY: `offset` has checked that the index is inside the shape, so inside the slice.
        unsafe { *self.pointer.add(offset(&self.shape, &self.strides, index)) }
    }
}
