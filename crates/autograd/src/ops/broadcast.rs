//! Broadcasting, as NumPy does it: shapes are aligned at their last axes, and an axis that is
//! missing or has size 1 repeats.

use topedge_kernels::ShapeError;

use crate::dims::Dims;
use crate::error::{Error, Result};
use crate::float::Float;
use crate::layout::{Layout, checked_len};
use crate::tensor::Tensor;

/// The shape that both broadcast to.
fn common_shape(op: &'static str, a: &[usize], b: &[usize]) -> Result<Dims> {
    let rank = a.len().max(b.len());
    let size = |shape: &[usize], axis: usize| {
        // Axis `axis` of the result, counted from the left.
        (axis + shape.len()).checked_sub(rank).map_or(1, |axis| shape[axis])
    };
    let mismatch = (0..rank).find(|&axis| {
        let (a, b) = (size(a, axis), size(b, axis));
        a != b && a != 1 && b != 1
    });
    if let Some(axis) = mismatch {
        let what = format!("size of axis {} from the last", rank - 1 - axis);
        let expected = format!("{} or 1, to go with shape {a:?}", size(a, axis));
        let got = format!("{} in shape {b:?}", size(b, axis));
        return Err(Error::shape(op, what, expected, got));
    }
    let shape = Dims::from_fn(rank, |axis| {
        let (a, b) = (size(a, axis), size(b, axis));
        if a == 1 { b } else { a }
    });
    checked_len(op, &shape)?;
    Ok(shape)
}

/// A kernel's `y = f(a, b)` on pairs of elements, after broadcasting. The result lies as the operand
/// that has its shape, `a` if both have.
pub(super) fn zip_broadcast<T: Float>(
    op: &'static str,
    a: &Tensor<T>,
    b: &Tensor<T>,
    kernel: impl FnOnce(&[T], &[T], &mut [T]) -> std::result::Result<(), ShapeError>,
) -> Result<Tensor<T>> {
    if a.shape() == b.shape() {
        return a.zip(b, kernel);
    }
    let shape = common_shape(op, a.shape(), b.shape())?;
    let full = [a, b].into_iter().find(|x| x.layout().shape == shape);
    let layout =
        full.map_or_else(|| Layout::row_major(shape), |full| full.layout().with_shape(shape));
    a.broadcast_to(layout).zip(&b.broadcast_to(layout), kernel)
}

impl<T: Float> Tensor<T> {
    /// Repeated to the shape of `layout`, which is dense, and laid out so.
    fn broadcast_to(&self, layout: Layout) -> Self {
        if self.layout().shape == layout.shape {
            return self.in_layout(&layout);
        }
        let x = self.detach().in_one_part();
        x.view(x.layout().broadcast(layout.shape)).in_layout(&layout)
    }

    /// The adjoint of broadcasting from `shape`: the sum over what was repeated.
    pub(super) fn sum_to(&self, shape: &[usize]) -> Result<Self> {
        let mut sum = self.clone();
        while sum.rank() > shape.len() {
            sum = sum.sum_axis(0, false)?;
        }
        // The first axis, along which parts have to be copied together, when there is least left.
        for (axis, &size) in shape.iter().enumerate().rev() {
            if size == 1 && sum.shape()[axis] != 1 {
                sum = sum.sum_axis(axis, true)?;
            }
        }
        Ok(sum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::random;

    #[test]
    fn shapes_meet_as_in_numpy() {
        let meet = |a: &[usize], b: &[usize]| common_shape("add", a, b).map(|shape| shape.to_vec());
        assert_eq!(meet(&[2, 1, 4], &[3, 1]), Ok(vec![2, 3, 4]));
        assert_eq!(meet(&[], &[3, 1]), Ok(vec![3, 1]));
        assert_eq!(meet(&[0], &[1]), Ok(vec![0]));
        assert!(meet(&[0], &[2]).is_err());
        assert!(meet(&[1 << 40, 1], &[1 << 40]).is_err());
        let error = meet(&[2, 3], &[2, 4]).unwrap_err().to_string();
        assert_eq!(
            error,
            "add: size of axis 0 from the last: expected 3 or 1, to go with shape [2, 3], got 4 in \
             shape [2, 4]"
        );
    }

    #[test]
    fn every_element_meets_its_partner() {
        let (a, b) = (random(1, &[2, 1, 4]), random(2, &[3, 1]).transpose(0, 1).unwrap());
        let b = b.reshape(&[3, 1]).unwrap();
        let y = a.sub(&b).unwrap().to_vec();
        let (a, b) = (a.to_vec(), b.to_vec());
        for (i, y) in y.iter().enumerate() {
            assert_eq!(*y, a[i / 12 * 4 + i % 4] - b[i / 4 % 3]);
        }
    }
}
