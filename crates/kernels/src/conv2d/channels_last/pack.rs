//! The weight, packed in panels of channels of the target.

use std::ops::Range;

use super::super::taps::TapConv;
use crate::arch::{Isa, Kernel};
use crate::element::Element;
use crate::gemm::Microkernel;
use crate::parallel::{self, SharedMut};
use crate::scratch;

/// Channels of the source that are packed at once: a cache line holds as many.
const CHANNELS: usize = 16;

/// How the channels of the target are cut into panels: whole vectors, as evenly as they go, since a
/// narrow last panel would run at a part of the speed.
pub(in super::super) struct Panels {
    columns: usize,
    lanes: usize,
    count: usize,
    /// Vectors of a panel; some first panels have one more.
    vectors: usize,
    wider: usize,
}

/// One panel.
pub(in super::super) struct PanelColumns {
    pub(in super::super) first: usize,
    /// Channels that there are.
    pub(in super::super) columns: usize,
    /// Whole vectors.
    pub(in super::super) width: usize,
}

impl Panels {
    pub(in super::super) fn new<T: Element>(isa: Isa, columns: usize) -> Self {
        let [lanes, most] = T::run(isa, PanelSize);
        let vectors = columns.div_ceil(lanes);
        let count = vectors.div_ceil(most);
        let some = count.max(1);
        Self { columns, lanes, count, vectors: vectors / some, wider: vectors % some }
    }

    pub(in super::super) fn count(&self) -> usize {
        self.count
    }

    /// The columns of some panels, those that fill up the last vector included.
    #[inline(always)]
    pub(in super::super) fn columns(&self, panels: Range<usize>) -> Range<usize> {
        let first = |panel: usize| (panel * self.vectors + panel.min(self.wider)) * self.lanes;
        first(panels.start)..first(panels.end)
    }

    /// Elements of all panels for sums of `depth` steps.
    pub(in super::super) fn packed_len(&self, depth: usize) -> usize {
        scratch::product([self.columns.next_multiple_of(self.lanes), depth])
    }

    #[inline(always)]
    pub(in super::super) fn get(&self, panel: usize) -> PanelColumns {
        let Range { start, end } = self.columns(panel..panel + 1);
        PanelColumns { first: start, columns: end.min(self.columns) - start, width: end - start }
    }
}

/// The lanes of a vector, and the vectors of a tile.
struct PanelSize;

impl<T: Element> Kernel<T> for PanelSize {
    type Output = [usize; 2];

    #[inline(always)]
    fn run<V: Microkernel<Elem = T>>(self) -> [usize; 2] {
        [V::LANES, V::NV]
    }
}

/// Packs the whole weight: `[panels][taps][channels][width]`, taps in the order of the source, with
/// zeros behind the last channel of the target.
///
/// # Safety
///
/// The weight must be valid for the sizes of `conv`, and `to` hold [`Panels::packed_len`] elements.
pub(super) unsafe fn pack<T: Element>(
    isa: Isa,
    conv: &TapConv<'_, T>,
    panels: &Panels,
    to: &mut [T],
) {
    let depth = conv.depth();
    let operations = to.len() * parallel::MOVED;
    let to = SharedMut::new(to.as_mut_ptr());
    parallel::for_each(panels.count(), operations, |panel| {
        let panel = panels.get(panel);
        // SAFETY: each job has a panel of its own.
        let to = unsafe { to.get().add(panel.first * depth) };
        T::run(isa, PackPanel { conv, panel, to });
    });
}

struct PackPanel<'a, 'b, T> {
    conv: &'a TapConv<'b, T>,
    panel: PanelColumns,
    to: *mut T,
}

impl<T: Element> Kernel<T> for PackPanel<'_, '_, T> {
    type Output = ();

    #[inline(always)]
    fn run<V: Microkernel<Elem = T>>(self) {
        let Self { conv, panel: PanelColumns { first, columns, width }, to } = self;
        let [column_stride, channel_stride] = conv.weight_strides;
        if columns < width {
            for i in 0..conv.depth() * width {
                // SAFETY: inside the panel.
                unsafe { *to.add(i) = T::ZERO };
            }
        }
        let from = conv.weight.wrapping_add(first * column_stride);
        for channel in (0..conv.channels).step_by(CHANNELS) {
            let channels = CHANNELS.min(conv.channels - channel);
            let from = from.wrapping_add(channel * channel_stride);
            // Reads should be as near each other as they go.
            let (sizes, strides, steps) = if channel_stride < column_stride {
                ([columns, channels], [column_stride, channel_stride], [1, width])
            } else {
                ([channels, columns], [channel_stride, column_stride], [width, 1])
            };
            for row in 0..conv.taps.height() {
                for column in 0..conv.taps.width() {
                    let tap = row * conv.taps.width() + column;
                    let from = from.wrapping_add(conv.taps.get_ascending(row, column).weight);
                    let to = to.wrapping_add((tap * conv.channels + channel) * width);
                    for i in 0..sizes[0] {
                        let (from, to) =
                            (from.wrapping_add(i * strides[0]), to.wrapping_add(i * steps[0]));
                        if strides[1] == 1 && steps[1] == 1 {
                            // SAFETY: neighbouring columns of the weight, and of a panel of its own.
                            unsafe { from.copy_to_nonoverlapping(to, sizes[1]) };
                        } else {
                            for j in 0..sizes[1] {
                                // SAFETY: a channel and a tap of the weight; inside the panel.
                                unsafe { *to.add(j * steps[1]) = *from.add(j * strides[1]) };
                            }
                        }
                    }
                }
            }
        }
    }
}
