//! The transform of the weight, into panels of A.

use super::super::taps::TapConv;
use super::transform::{IN, TAPS, kernel_tile};
use crate::arch::{Kernel, MAX_LANES};
use crate::element::Element;
use crate::gemm::Microkernel;

/// Transforms one panel of rows: `[channels][MR]` of each product, zeros in rows that are not there.
pub(super) struct TransformWeight<'a, 'b, T> {
    pub(super) conv: &'a TapConv<'b, T>,
    /// The panel's first.
    pub(super) row: usize,
    pub(super) to: *mut T,
    /// Elements from one product to the next.
    pub(super) product: usize,
}

impl<T: Element> Kernel<T> for TransformWeight<'_, '_, T> {
    type Output = ();

    /// Lanes are neighbours in the panel, whatever row and channel they are of.
    #[inline(always)]
    fn run<V: Microkernel<Elem = T>>(self) {
        let (conv, len) = (self.conv, self.conv.channels * V::MR);
        let taps = offsets(conv);
        let [row_stride, channel_stride] = conv.weight_strides;
        let mut staged = [[[T::ZERO; MAX_LANES]; TAPS]; TAPS];
        for first in (0..len).step_by(V::LANES) {
            let lanes = V::LANES.min(len - first);
            for lane in 0..lanes {
                let (channel, row) = ((first + lane) / V::MR, self.row + (first + lane) % V::MR);
                let from = conv.weight.wrapping_add(row * row_stride + channel * channel_stride);
                for h in 0..TAPS {
                    for w in 0..TAPS {
                        staged[h][w][lane] = if row < conv.rows {
                            // SAFETY: row, channel and tap are the weight's.
                            unsafe { *from.add(taps[h][w]) }
                        } else {
                            T::ZERO
                        };
                    }
                }
            }
            kernel_tile(
                |[h, w]| V::from_slice(&staged[h][w]),
                |[h, w], x: V| {
                    let to = self.to.wrapping_add((h * IN + w) * self.product + first);
                    // SAFETY: these lanes are in the panel.
                    unsafe { x.store_first(to, lanes) };
                },
            );
        }
    }
}

/// Offsets in the weight of the taps, by their place in what a tile sees: the gradient to the input
/// sees them mirrored.
#[inline(always)]
fn offsets<T>(conv: &TapConv<'_, T>) -> [[usize; TAPS]; TAPS] {
    let origin = super::origin(conv);
    let mut offsets = [[0; TAPS]; TAPS];
    for tap in 0..conv.taps.len() {
        let tap = conv.taps.get(tap);
        let [h, w] = [0, 1].map(|axis| (tap.shift[axis] - origin[axis]) as usize);
        offsets[h][w] = tap.weight;
    }
    offsets
}
