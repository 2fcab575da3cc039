//! The gradient of the weight, a sum over every place of every image:
//! `dw[k, c, tap] = sum over n, oh, ow of dy[n, k, oh, ow] * x[n, c, what (oh, ow) sees by tap]`.
//!
//! The long sum is cut into pieces by shape, each summed on its own, and the pieces are added in
//! order: the bits do not depend on who summed what.

pub(super) mod channels_last;
pub(super) mod direct;
pub(super) mod packed;
pub(super) mod pointwise;
pub(super) mod taps;
mod transpose;
pub(super) mod winograd;

use super::geometry::Geometry;
use crate::element::Element;
use crate::parallel::{self, MOVED, SharedMut};
use crate::view::TensorMut;

/// Adds `values`, which are contiguous and of the same shape, to a gradient.
pub(super) fn add<T: Element>(dw: &mut TensorMut<'_, T>, values: &[T]) {
    let ([rows, channels, height, width], strides) = (dw.shape(), dw.strides());
    let row_len = channels * height * width;
    assert_eq!(values.len(), rows * row_len);
    let to = SharedMut::new(dw.as_ptr());
    parallel::for_each(rows, values.len() * MOVED, |row| {
        let mut values = values[row * row_len..][..row_len].iter();
        for channel in 0..channels {
            for h in 0..height {
                let first = row * strides[0] + channel * strides[1] + h * strides[2];
                for (w, &value) in values.by_ref().take(width).enumerate() {
                    // SAFETY: inside the shape, so inside the view, which is ours; rows do not meet.
                    unsafe { *to.get().add(first + w * strides[3]) += value };
                }
            }
        }
    });
}

/// Where in `dw` the gradient of a weight of a group is: `[row, tap, channel]`.
fn offset(geometry: &Geometry, strides: [usize; 4], group: usize, index: [usize; 3]) -> usize {
    let [row, tap, channel] = index;
    let place = [
        group * geometry.group_outputs() + row,
        channel,
        tap / geometry.kernel[1],
        tap % geometry.kernel[1],
    ];
    place.iter().zip(strides).map(|(i, stride)| i * stride).sum()
}
