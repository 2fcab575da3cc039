//! The path for images whose rows lie whole in memory, as in NCHW: nothing is packed but the weight.
//!
//! A tile is some channels of the target by neighbouring places of a row of the grid. What those see
//! through a tap are neighbours, too, so a row of the microkernel's B is the source itself, from
//! whatever element on. A band of the source is copied first, with zeros around, once for all taps and
//! all channels of the target; the general path packs it for each tap anew, which few channels of the
//! target do not pay for.

use std::slice::from_ref;

use super::channels_last::{band_fits, copy_band};
use super::packed::with_panels;
use super::taps::{MAX_TAPS, Source, TapConv};
use crate::arch::{Isa, Kernel, MAX_LANES};
use crate::element::Element;
use crate::gemm::blocked::MAX_NR;
use crate::gemm::{Microkernel, PackedA, Pair, Panel, Place, Tile};
use crate::parallel;
use crate::scratch;

/// Elements of a band to aim for: 256 KiB, a part of the second cache.
const BAND: usize = 1 << 16;
/// Jobs to aim for, so that no thread waits long for the last one.
const JOBS: usize = 32;

/// How the grid is cut into bands, by shape alone.
struct Plan {
    /// Rows of the grid in a band.
    rows: usize,
    /// Bands of an image.
    bands: usize,
    /// Places of the source that the taps span.
    span: [usize; 2],
    /// Elements between rows of the band.
    pitch: usize,
}

impl Plan {
    fn new<T>(conv: &TapConv<'_, T>) -> Self {
        let span = [0, 1].map(|axis| conv.taps.span(axis).1);
        // Tiles read whole vectors. An odd pitch leaves the rows of B in different sets of the cache.
        let pitch = (conv.grid[1].next_multiple_of(MAX_LANES) + span[1]) | 1;
        let row = pitch * conv.channels.max(1);
        let rows = (BAND / row).saturating_sub(span[0]) / conv.step[0];
        let rows = rows.min(conv.batch * conv.grid[0] / JOBS).clamp(1, conv.grid[0]);
        let bands = conv.grid[0].div_ceil(rows);
        Self { rows: conv.grid[0].div_ceil(bands), bands, span, pitch }
    }

    /// Rows of the source that some rows of the grid see.
    fn height<T>(&self, conv: &TapConv<'_, T>, rows: usize) -> usize {
        (rows - 1) * conv.step[0] + self.span[0]
    }
}

/// Whether this path can run `conv`.
pub(super) fn can_run<T>(conv: &TapConv<'_, T>) -> bool {
    let in_rows = conv.source.strides[3] == 1 && conv.step[1] == 1;
    in_rows && conv.taps.len() <= MAX_TAPS && band_fits(conv)
}

/// Runs `conv`, for which [`can_run`] holds.
///
/// # Safety
///
/// The source, the weight and the target must be valid for the sizes of `conv`, and the target's
/// places distinct and nobody else's.
pub(super) unsafe fn run<T: Element>(isa: Isa, conv: &TapConv<'_, T>) {
    debug_assert_eq!(conv.parts, 1);
    let plan = Plan::new(conv);
    let height = plan.height(conv, plan.rows);
    let band_len = scratch::product([conv.channels, height, plan.pitch]);
    let operations = parallel::operations([conv.rows, conv.depth(), conv.positions(), conv.batch]);
    let run_packed = |weight: &[T]| {
        parallel::for_each(conv.batch * plan.bands, operations, |job| {
            let (image, row) = (job / plan.bands, job % plan.bands * plan.rows);
            let rows = plan.rows.min(conv.grid[0] - row);
            scratch::with(band_len, |band: &mut [T]| {
                // SAFETY: the caller's duty, passed on; jobs share no place of the target.
                unsafe { copy(conv, &plan, image, [row, rows], band) };
                T::run(isa, Rows { conv, plan: &plan, weight, image, rows: [row, rows], band });
            });
        });
    };
    // SAFETY: the caller's duty, passed on.
    unsafe { with_panels(isa, from_ref(conv), run_packed) };
}

/// Copies what some rows of the grid see of an image: `[channels][height][pitch]`.
///
/// # Safety
///
/// The source must be valid for the sizes of `conv`.
unsafe fn copy<T: Element>(
    conv: &TapConv<'_, T>,
    plan: &Plan,
    image: usize,
    [row, rows]: [usize; 2],
    band: &mut [T],
) {
    let size = [plan.height(conv, rows), plan.pitch];
    let [top, left] = [0, 1].map(|axis| conv.taps.span(axis).0);
    let origin = [(row * conv.step[0]) as isize + top, left];
    for (channel, to) in
        band.chunks_exact_mut((size[0] * size[1]).max(1)).enumerate().take(conv.channels)
    {
        let offset = channel * conv.source.strides[1];
        let plane = Source { pointer: conv.source.pointer.wrapping_add(offset), ..conv.source };
        // SAFETY: a channel of the source is an image of one channel.
        unsafe { copy_band(&plane, 1, image..image + 1, origin, size, to) };
    }
}

/// Some rows of the grid, on one image.
struct Rows<'a, 'b, T> {
    conv: &'a TapConv<'b, T>,
    plan: &'a Plan,
    /// As packed.
    weight: &'a [T],
    image: usize,
    /// The first, and how many.
    rows: [usize; 2],
    band: &'a [T],
}

impl<T: Element> Kernel<T> for Rows<'_, '_, T> {
    type Output = ();

    #[inline(always)]
    fn run<V: Microkernel<Elem = T>>(self) {
        let Self { conv, plan, image, rows: [first, rows], .. } = self;
        let pitch = plan.pitch;
        let plane = plan.height(conv, rows) * pitch;
        let [top, left] = [0, 1].map(|axis| conv.taps.span(axis).0);
        let mut pairs = [Pair::default(); MAX_TAPS];
        for (index, pair) in pairs.iter_mut().enumerate().take(conv.taps.len()) {
            let [vertical, horizontal] = conv.taps.get(index).shift;
            let shift = [(vertical - top) as usize, (horizontal - left) as usize];
            *pair = Pair { a: index * conv.channels * V::MR, b: shift[0] * pitch + shift[1] };
        }
        let [batch_stride, row_stride, height, width] = conv.target.strides;
        let mut offsets = [0; MAX_NR];
        for row in 0..rows {
            for column in (0..conv.grid[1]).step_by(V::NR) {
                let columns = V::NR.min(conv.grid[1] - column);
                let offset = image * batch_stride + (first + row) * height + column * width;
                let place = if width == 1 {
                    Place::Contiguous(offset)
                } else {
                    for (j, to) in offsets.iter_mut().enumerate().take(columns) {
                        *to = offset + j * width;
                    }
                    Place::Scattered(&offsets[..columns])
                };
                for channel in (0..conv.rows).step_by(V::MR) {
                    let tile = Tile {
                        a: self.weight[channel * conv.depth()..].as_ptr(),
                        a_layout: PackedA,
                        b: self.band.as_ptr().wrapping_add(row * conv.step[0] * pitch + column),
                        pairs: &pairs[..conv.taps.len()],
                        depth: conv.channels,
                        b_stride: plane,
                        rows: V::MR.min(conv.rows - channel),
                        columns,
                    };
                    let panel = Panel {
                        c: conv.target.pointer.wrapping_add(channel * row_stride),
                        row_stride,
                        place,
                        beta: T::ZERO,
                        bias: conv.bias.map(|bias| &bias[channel..]),
                    };
                    // SAFETY: panels of the weight hold `channels` steps for each tap; rows of B are
                    // inside the band, the last vectors of a row, too; the tile is this job's alone.
                    unsafe { V::tile(&tile, &panel) };
                }
            }
        }
    }
}
