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
