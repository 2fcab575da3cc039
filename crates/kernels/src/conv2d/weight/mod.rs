//! The gradient of the weight, a sum over every place of every image:
//! `dw[k, c, tap] = sum over n, oh, ow of dy[n, k, oh, ow] * x[n, c, what (oh, ow) sees by tap]`.
//!
//! The long sum is cut into pieces by shape, each summed on its own, and the pieces are added in
//! order: the bits do not depend on who summed what.

pub(super) mod direct;
pub(super) mod packed;

use super::geometry::Geometry;
use crate::element::Element;
use crate::parallel::{self, SharedMut};
use crate::view::TensorMut;

/// Adds the pieces `[pieces][rows][taps][channels]` in order, and writes them to their places.
fn store<T: Element>(geometry: &Geometry, sums: &[T], group: usize, dw: &mut TensorMut<'_, T>) {
    let (rows, channels) = (geometry.group_outputs(), geometry.group_inputs());
    let columns = geometry.taps() * channels;
    let (to, strides) = (SharedMut::new(dw.as_ptr()), dw.strides());
    parallel::for_each(rows, sums.len(), |row| {
        for kh in 0..geometry.kernel[0] {
            for kw in 0..geometry.kernel[1] {
                let tap = kh * geometry.kernel[1] + kw;
                for channel in 0..channels {
                    let column = tap * channels + channel;
                    let pieces = sums.iter().skip(row * columns + column).step_by(rows * columns);
                    let sum = pieces.fold(T::ZERO, |sum, &piece| sum + piece);
                    let place = [group * rows + row, channel, kh, kw];
                    let offset: usize = place.iter().zip(strides).map(|(i, s)| i * s).sum();
                    // SAFETY: inside the weight's shape; each row is one job's.
                    unsafe { *to.get().add(offset) = sum };
                }
            }
        }
    });
}
