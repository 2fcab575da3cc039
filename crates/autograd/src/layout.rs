//! Where the elements of a tensor lie: pure geometry, no values.

use crate::dims::Dims;
use crate::error::{Error, Result};

/// The number of elements of `shape`; an error of `op` if they could not be addressed.
pub(crate) fn checked_len(op: &'static str, shape: &[usize]) -> Result<usize> {
    // Sizes of 0 count as 1 here, because strides are products of the other sizes all the same.
    let product = shape.iter().try_fold(1usize, |product, &size| product.checked_mul(size.max(1)));
    match product {
        Some(len) if len <= isize::MAX as usize / size_of::<f64>() => {
            Ok(if shape.contains(&0) { 0 } else { len })
        }
        _ => {
            let expected = "no more elements than memory can address";
            Err(Error::shape(op, "shape", expected, format!("{shape:?}")))
        }
    }
}

/// Shape, strides and offset of a tensor in its buffer, in elements.
///
/// Sizes come through [`checked_len`], so that products of them do not overflow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) shape: Dims,
    pub(crate) strides: Dims,
    pub(crate) offset: usize,
}

impl Layout {
    /// `shape` without gaps, its axes in memory in the given order, outermost first.
    pub(crate) fn dense(shape: Dims, order: &[usize]) -> Self {
        let mut strides = shape;
        let mut stride = 1;
        for &axis in order.iter().rev() {
            strides[axis] = stride;
            stride *= shape[axis].max(1);
        }
        Self { shape, strides, offset: 0 }
    }

    /// `shape` without gaps, the last axis innermost.
    pub(crate) fn row_major(shape: Dims) -> Self {
        Self::dense(shape, &Dims::from_fn(shape.len(), |axis| axis))
    }

    /// The number of elements.
    pub(crate) fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// The axes as they lie in memory, outermost first: by falling stride.
    ///
    /// An axis of size 1 has, in a layout without gaps, the stride of the next axis outward, and so
    /// comes after it; other ties keep their order.
    pub(crate) fn order(&self) -> Dims {
        let mut order = Dims::from_fn(self.shape.len(), |axis| axis);
        // At most six axes: `sort_by_key` is stable and does not allocate for so few.
        order.sort_by_key(|&axis| (std::cmp::Reverse(self.strides[axis]), self.shape[axis] == 1));
        order
    }

    /// Another shape without gaps, its axes in memory in this order; row-major if it is of another
    /// rank.
    pub(crate) fn with_shape(&self, shape: Dims) -> Self {
        if shape.len() == self.shape.len() {
            Self::dense(shape, &self.order())
        } else {
            Self::row_major(shape)
        }
    }

    /// Whether the elements lie without gaps, whatever the order of the axes.
    pub(crate) fn is_dense(&self) -> bool {
        self.same_strides(&self.with_shape(self.shape))
    }

    /// Whether each element lies at the same distance from the first as in `other`.
    pub(crate) fn same_strides(&self, other: &Self) -> bool {
        self.shape == other.shape
            && (self.shape.contains(&0)
                || (0..self.shape.len())
                    .all(|axis| self.shape[axis] == 1 || self.strides[axis] == other.strides[axis]))
    }

    /// This layout, without gaps, as `[outer][size of axis][inner]`.
    pub(crate) fn around(&self, axis: usize) -> [usize; 3] {
        let order = self.order();
        let place = order.iter().position(|&a| a == axis).expect("the axis is one of the order");
        let product = |axes: &[usize]| axes.iter().map(|&a| self.shape[a]).product();
        [product(&order[..place]), self.shape[axis], product(&order[place + 1..])]
    }

    /// Axis `axes[i]` of this as axis `i`.
    pub(crate) fn permuted(&self, axes: &[usize]) -> Self {
        let permute = |dims: &Dims| Dims::from_fn(axes.len(), |i| dims[axes[i]]);
        Self { shape: permute(&self.shape), strides: permute(&self.strides), ..*self }
    }

    /// `len` places along `axis` from `start` on. The caller has checked that they are inside.
    pub(crate) fn narrowed(&self, axis: usize, start: usize, len: usize) -> Self {
        Self {
            shape: self.shape.with(axis, len),
            // An empty range may start at the end, where nothing lies to point at.
            offset: self.offset + if len == 0 { 0 } else { start * self.strides[axis] },
            ..*self
        }
    }

    /// Repeated along leading axes and axes of size 1 to `shape`, which it broadcasts to.
    pub(crate) fn broadcast(&self, shape: Dims) -> Self {
        let leading = shape.len() - self.shape.len();
        let strides = Dims::from_fn(shape.len(), |axis| {
            let repeats = axis < leading || self.shape[axis - leading] == 1;
            if repeats { 0 } else { self.strides[axis - leading] }
        });
        Self { shape, strides, ..*self }
    }

    /// The same elements, in the same row-major sequence, as another shape of equal length; `None`
    /// if no strides say that.
    ///
    /// Runs of old axes and of new axes with equal products are matched from the left. A run of old
    /// axes must step evenly through memory; the new strides follow from its innermost one.
    pub(crate) fn reshaped(&self, shape: Dims) -> Option<Self> {
        if shape.contains(&0) {
            return Some(Self::row_major(shape));
        }
        let real = |axis: &usize| self.shape[*axis] != 1;
        let mut axes = (0..self.shape.len()).filter(real).peekable();
        let mut strides = shape;
        let mut from = 0;
        let mut stride = 1;
        while let Some(mut inner) = axes.next() {
            let mut old = self.shape[inner];
            let mut to = from + 1;
            let mut new = shape[from];
            while old != new {
                if new < old {
                    new *= shape[to];
                    to += 1;
                } else {
                    let next = axes.next()?;
                    if self.strides[inner] != self.shape[next] * self.strides[next] {
                        return None;
                    }
                    inner = next;
                    old *= self.shape[inner];
                }
            }
            stride = self.strides[inner];
            let mut step = stride;
            for axis in (from..to).rev() {
                strides[axis] = step;
                step *= shape[axis];
            }
            from = to;
        }
        // What is left has size 1.
        strides[from..].fill(stride);
        Some(Self { shape, strides, offset: self.offset })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dims(values: &[usize]) -> Dims {
        Dims::new("test", values).unwrap()
    }

    fn layout(shape: &[usize], order: &[usize]) -> Layout {
        Layout::dense(dims(shape), order)
    }

    const BATCH_LAST: [usize; 4] = [1, 2, 3, 0];
    const CHANNELS_LAST: [usize; 4] = [0, 2, 3, 1];

    #[test]
    fn order_survives_axes_of_size_one() {
        for order in [[0, 1, 2, 3], BATCH_LAST, CHANNELS_LAST] {
            for shape in [[2, 3, 4, 5], [2, 1, 4, 5], [2, 3, 1, 1], [2, 3, 1, 5]] {
                let from = layout(&shape, &order);
                assert!(from.is_dense());
                // Whatever other channels a convolution makes of it, the memory order is kept.
                let to = from.with_shape(dims(&[2, 7, 4, 5]));
                assert!(to.same_strides(&layout(&[2, 7, 4, 5], &order)), "{shape:?} {order:?}");
            }
        }
    }

    #[test]
    fn gaps_and_overlaps_are_not_dense() {
        assert!(!layout(&[4, 3], &[0, 1]).narrowed(1, 0, 2).is_dense());
        assert!(layout(&[4, 3], &[0, 1]).narrowed(0, 1, 2).is_dense());
        assert!(!layout(&[1, 3], &[0, 1]).broadcast(dims(&[2, 3])).is_dense());
        assert!(layout(&[], &[]).is_dense());
        assert!(layout(&[0, 3], &[0, 1]).is_dense());
    }

    #[test]
    fn flattening_a_batch_last_image_moves_nothing() {
        let flat = layout(&[6, 2, 3, 5], &BATCH_LAST).reshaped(dims(&[6, 30])).unwrap();
        assert_eq!(*flat.strides, [1, 6]);
        let back = flat.reshaped(dims(&[6, 2, 3, 5])).unwrap();
        assert!(back.same_strides(&layout(&[6, 2, 3, 5], &BATCH_LAST)));
        assert!(layout(&[6, 2, 3, 5], &CHANNELS_LAST).reshaped(dims(&[6, 30])).is_none());
        assert_eq!(*flat.reshaped(dims(&[6, 30, 1, 1])).unwrap().strides, [1, 6, 6, 6]);
    }

    #[test]
    fn reshaping_handles_ones_and_nothing() {
        let one = layout(&[1, 1], &[0, 1]);
        assert_eq!(*one.reshaped(dims(&[])).unwrap().shape, []);
        assert_eq!(*layout(&[], &[]).reshaped(dims(&[1, 1])).unwrap().strides, [1, 1]);
        assert_eq!(*layout(&[5], &[0]).reshaped(dims(&[1, 5, 1])).unwrap().strides, [5, 1, 1]);
        assert_eq!(*layout(&[0, 3], &[0, 1]).reshaped(dims(&[3, 0])).unwrap().shape, [3, 0]);
    }

    #[test]
    fn around_counts_in_memory_order() {
        assert_eq!(layout(&[2, 3, 4, 5], &[0, 1, 2, 3]).around(1), [2, 3, 20]);
        assert_eq!(layout(&[2, 3, 4, 5], &BATCH_LAST).around(1), [1, 3, 40]);
        assert_eq!(layout(&[2, 3, 4, 5], &CHANNELS_LAST).around(1), [40, 3, 1]);
    }

    #[test]
    fn lengths_that_overflow_are_refused() {
        assert_eq!(checked_len("test", &[]).unwrap(), 1);
        assert_eq!(checked_len("test", &[3, 0]).unwrap(), 0);
        assert!(checked_len("test", &[usize::MAX, 2]).is_err());
        assert!(checked_len("test", &[usize::MAX, 2, 0]).is_err());
        assert!(checked_len("test", &[isize::MAX as usize]).is_err());
    }
}
