//! Where the elements of a tensor lie: pure geometry, no values.

use crate::dims::{Dims, MAX_RANK};
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
    /// In how many equal parts the first axis lies, one behind the other, each as the strides say and without
    /// gaps. Views are of tensors in one part.
    pub(crate) parts: usize,
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
        Self { shape, strides, offset: 0, parts: 1 }
    }

    /// As [`dense`](Self::dense), with the first axis in so many `parts`, by which its size can be divided.
    pub(crate) fn dense_in_parts(shape: Dims, order: &[usize], parts: usize) -> Self {
        if parts == 1 {
            return Self::dense(shape, order);
        }
        Self { shape, parts, ..Self::dense(shape.with(0, shape[0] / parts), order) }
    }

    /// One of the parts; the offset is that of the first.
    pub(crate) fn part(&self) -> Self {
        if self.parts == 1 {
            return *self;
        }
        Self { shape: self.shape.with(0, self.shape[0] / self.parts), parts: 1, ..*self }
    }

    /// The same shape without gaps in one part, the axes in memory in this order.
    pub(crate) fn in_one_part(&self) -> Self {
        Self::dense(self.shape, &self.order())
    }

    /// The same elements with the first axis as two: `parts`, and the places in each. They are as many as there are,
    /// or any if there is one.
    pub(crate) fn with_axis_of_parts(&self, parts: usize) -> Self {
        debug_assert!(self.parts == 1 || self.parts == parts);
        let each = self.shape[0] / parts;
        let apart = if self.parts == 1 { each * self.strides[0] } else { self.part().len() };
        let split = |first: usize, second: usize, of: &Dims| {
            Dims::from_fn(of.len() + 1, |axis| match axis {
                0 => first,
                1 => second,
                _ => of[axis - 1],
            })
        };
        Self {
            shape: split(parts, each, &self.shape),
            strides: split(apart, self.strides[0], &self.strides),
            offset: self.offset,
            parts: 1,
        }
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
        let part = self.part();
        let mut order = Dims::from_fn(part.shape.len(), |axis| axis);
        // At most six axes: `sort_by_key` is stable and does not allocate for so few.
        order.sort_by_key(|&axis| (std::cmp::Reverse(part.strides[axis]), part.shape[axis] == 1));
        order
    }

    /// Another shape without gaps, its axes in memory in this order, and in as many parts if the first axis is as
    /// long; row-major if it is of another rank.
    pub(crate) fn with_shape(&self, shape: Dims) -> Self {
        if shape.len() == self.shape.len() {
            let as_many = shape.first() == self.shape.first() && !shape.contains(&0);
            let parts = if as_many { self.parts } else { 1 };
            Self::dense_in_parts(shape, &self.order(), parts)
        } else {
            Self::row_major(shape)
        }
    }

    /// Whether the elements lie without gaps, whatever the order of the axes.
    pub(crate) fn is_dense(&self) -> bool {
        let Self { shape, strides, .. } = self.part();
        if shape.contains(&0) {
            return true;
        }
        // From the innermost axis outward, each steps over all that lies within it.
        let mut within = 1;
        shape.iter().filter(|&&size| size != 1).all(|_| {
            let next = (0..shape.len()).find(|&axis| shape[axis] != 1 && strides[axis] == within);
            next.is_some_and(|axis| {
                within *= shape[axis];
                true
            })
        })
    }

    /// Whether each element lies at the same distance from the first as in `other`.
    pub(crate) fn same_strides(&self, other: &Self) -> bool {
        let shape = self.part().shape;
        self.shape == other.shape
            && self.parts == other.parts
            && (shape.contains(&0)
                || (0..shape.len())
                    .all(|axis| shape[axis] == 1 || self.strides[axis] == other.strides[axis]))
    }

    /// This layout, without gaps, as `[outer][size of axis][inner]`; the first axis of one in parts is not to be
    /// asked for.
    pub(crate) fn around(&self, axis: usize) -> [usize; 3] {
        debug_assert!(self.parts == 1 || axis > 0);
        let (order, part) = (self.order(), self.part());
        let place = order.iter().position(|&a| a == axis).expect("the axis is one of the order");
        let product = |axes: &[usize]| axes.iter().map(|&a| part.shape[a]).product::<usize>();
        let outer = self.parts * product(&order[..place]);
        [outer, self.shape[axis], product(&order[place + 1..])]
    }

    /// Axis `axes[i]` of this as axis `i`.
    pub(crate) fn permuted(&self, axes: &[usize]) -> Self {
        debug_assert_eq!(self.parts, 1);
        let permute = |dims: &Dims| Dims::from_fn(axes.len(), |i| dims[axes[i]]);
        Self { shape: permute(&self.shape), strides: permute(&self.strides), ..*self }
    }

    /// `len` places along `axis` from `start` on. The caller has checked that they are inside.
    pub(crate) fn narrowed(&self, axis: usize, start: usize, len: usize) -> Self {
        debug_assert_eq!(self.parts, 1);
        Self {
            shape: self.shape.with(axis, len),
            // An empty range may start at the end, where nothing lies to point at.
            offset: self.offset + if len == 0 { 0 } else { start * self.strides[axis] },
            ..*self
        }
    }

    /// Repeated along leading axes and axes of size 1 to `shape`, which it broadcasts to.
    pub(crate) fn broadcast(&self, shape: Dims) -> Self {
        debug_assert_eq!(self.parts, 1);
        let leading = shape.len() - self.shape.len();
        let strides = Dims::from_fn(shape.len(), |axis| {
            let repeats = axis < leading || self.shape[axis - leading] == 1;
            if repeats { 0 } else { self.strides[axis - leading] }
        });
        Self { shape, strides, ..*self }
    }

    /// The same elements, in the same row-major sequence, as another shape of equal length; `None`
    /// if no strides say that. Of a tensor in parts the first axis has to stay.
    ///
    /// Runs of old axes and of new axes with equal products are matched from the left. A run of old
    /// axes must step evenly through memory; the new strides follow from its innermost one.
    pub(crate) fn reshaped(&self, shape: Dims) -> Option<Self> {
        if self.parts > 1 {
            let keeps = shape.len() < MAX_RANK && shape.first() == self.shape.first();
            let part = if keeps { shape.with(0, shape[0] / self.parts) } else { return None };
            let part = self.part().reshaped(part)?;
            return Some(Self { shape, parts: self.parts, ..part });
        }
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
        Some(Self { shape, strides, offset: self.offset, parts: 1 })
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
    fn parts_of_the_first_axis() {
        let shape = [6, 2, 3, 5];
        let of = |order: &[usize], parts| Layout::dense_in_parts(dims(&shape), order, parts);
        let parts = of(&BATCH_LAST, 3);
        assert!(parts.is_dense());
        assert_eq!(parts.strides[..], [1, 30, 10, 2]);
        assert_eq!(parts.part().shape[..], [2, 2, 3, 5]);
        assert_eq!(parts.around(1), [3, 2, 30]);
        assert!(!parts.same_strides(&of(&BATCH_LAST, 1)));
        // With another number of channels in as many parts, with another batch in one.
        assert_eq!(parts.with_shape(dims(&[6, 7, 3, 5])).parts, 3);
        assert_eq!(parts.with_shape(dims(&[5, 2, 3, 5])).parts, 1);
        assert_eq!(parts.with_shape(dims(&[6, 0, 3, 5])).parts, 1);
        let split = parts.with_axis_of_parts(3);
        assert_eq!(
            (&split.shape[..], &split.strides[..]),
            (&[3, 2, 2, 3, 5][..], &[60, 1, 30, 10, 2][..])
        );
        let split = of(&BATCH_LAST, 1).with_axis_of_parts(3);
        assert_eq!(
            (&split.shape[..], &split.strides[..]),
            (&[3, 2, 2, 3, 5][..], &[2, 1, 90, 30, 6][..])
        );
        let flat = parts.reshaped(dims(&[6, 30])).unwrap();
        assert_eq!((&flat.strides[..], flat.parts, flat.is_dense()), (&[1, 2][..], 3, true));
        assert_eq!(parts.reshaped(dims(&[3, 60])), None);
        // Parts of one place each: the order of the axes is kept.
        assert_eq!(of(&BATCH_LAST, 6).order()[..], BATCH_LAST);
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
    fn a_dense_layout_holds_each_place_once() {
        let [sizes, steps] = [[1, 2, 3].as_slice(), &[0, 1, 2, 3, 4, 6]];
        let triples = |of: &[usize]| -> Vec<[usize; 3]> {
            let pairs = of.iter().flat_map(|&a| of.iter().map(move |&b| [a, b]));
            pairs.flat_map(|[a, b]| of.iter().map(move |&c| [a, b, c])).collect()
        };
        for shape in triples(sizes) {
            let places =
                triples(&[0, 1, 2]).into_iter().filter(|at| (0..3).all(|i| at[i] < shape[i]));
            let places: Vec<_> = places.collect();
            for strides in triples(steps) {
                let offset = |at: &[usize; 3]| (0..3).map(|i| at[i] * strides[i]).sum();
                let mut offsets: Vec<usize> = places.iter().map(offset).collect();
                offsets.sort_unstable();
                let dense = offsets.into_iter().eq(0..places.len());
                let of =
                    Layout { shape: dims(&shape), strides: dims(&strides), offset: 5, parts: 1 };
                assert_eq!(of.is_dense(), dense, "{shape:?} {strides:?}");
                let canonical = of.same_strides(&of.with_shape(of.shape));
                assert_eq!(canonical, dense, "{shape:?} {strides:?}");
            }
        }
        // The stride along parts of one place each is never used.
        let parts = Layout { shape: dims(&[4, 3]), strides: dims(&[9, 1]), offset: 0, parts: 4 };
        assert!(parts.is_dense() && parts.same_strides(&parts.with_shape(parts.shape)));
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
