//! The gradient of the weight, a sum over every place of every image:
//! `dw[k, c, tap] = sum over n, oh, ow of dy[n, k, oh, ow] * x[n, c, what (oh, ow) sees by tap]`.
//!
//! The long sum is cut into pieces by shape, each summed on its own, and the pieces are added in
//! order: the bits do not depend on who summed what.

pub(super) mod channels_last;
pub(super) mod direct;
pub(super) mod packed;

use super::geometry::Geometry;
use crate::element::Element;
use crate::view::TensorMut;

/// Adds the pieces `[pieces][rows][taps][channels]` in order, and writes them to their places.
fn store<T: Element>(geometry: &Geometry, sums: &mut [T], group: usize, dw: &mut TensorMut<'_, T>) {
    let (rows, channels) = (geometry.group_outputs(), geometry.group_inputs());
    let size = rows * geometry.taps() * channels;
    let (sum, pieces) = sums.split_at_mut(size);
    for piece in pieces.chunks_exact(size) {
        for (sum, &piece) in sum.iter_mut().zip(piece) {
            *sum += piece;
        }
    }
    let strides = dw.strides();
    let mut sums = sum.iter();
    for row in 0..rows {
        for kh in 0..geometry.kernel[0] {
            for kw in 0..geometry.kernel[1] {
                for (channel, &sum) in sums.by_ref().take(channels).enumerate() {
                    let place = [group * rows + row, channel, kh, kw];
                    let offset: usize = place.iter().zip(strides).map(|(i, s)| i * s).sum();
                    // SAFETY: inside the weight's shape.
                    unsafe { *dw.as_ptr().add(offset) = sum };
                }
            }
        }
    }
}
