//! What the places of a job see: the source where it lies, or a copy of a band of it with zeros
//! around.

use std::ops::Range;

use super::super::geometry::{MOST_SPANNED, reach_far};
use super::super::taps::{Source, TapConv};
use super::plan::{Job, Plan};
use crate::element::Element;
use crate::parallel;

/// Whether a band with all the places that windows see is not much larger than the source, and small
/// enough for a row of windows: they may step over most of a band.
pub(in super::super) fn band_fits<T>(conv: &TapConv<'_, T>) -> bool {
    let span = [0, 1].map(|axis| conv.taps.span(axis).1);
    let seen = |axis: usize| (conv.grid[axis] - 1) * conv.step[axis] + span[axis];
    let row = parallel::operations([span[0], seen(1), conv.channels]);
    row <= MOST_SPANNED && (0..2).all(|axis| !reach_far(seen(axis), conv.source.size[axis]))
}

/// Where what the places of a job see lies.
pub(super) struct Seen<T> {
    /// What the first place sees through the first tap.
    pub(super) pointer: *const T,
    /// Elements between neighbouring places: `[image, row, column]`.
    pub(super) places: [usize; 3],
    /// Elements between neighbouring places of the source: `[row, column]`.
    pub(super) shifts: [usize; 2],
}

impl Plan {
    /// Finds what the places of `job` see, in `band` if it has to be copied there.
    ///
    /// # Safety
    ///
    /// The source must be valid for the sizes of `conv`.
    pub(super) unsafe fn seen<T: Element>(
        &self,
        conv: &TapConv<'_, T>,
        job: &Job,
        band: &mut [T],
    ) -> Seen<T> {
        if self.runs == 0 {
            // No tap meets this phase of the target.
            return Seen { pointer: conv.source.pointer, places: [0; 3], shifts: [0; 2] };
        }
        let strides = conv.source.strides;
        let top = (job.rows.start * conv.step[0]) as isize + self.first[0];
        if !self.copies {
            // No window hangs over, so none of these is negative.
            let offset = job.images.start * strides[0]
                + top as usize * strides[2]
                + self.first[1] as usize * strides[3];
            return Seen {
                pointer: conv.source.pointer.wrapping_add(offset),
                // Along an axis of one place the stride does not matter and may be huge.
                places: [
                    strides[0],
                    strides[2].wrapping_mul(conv.step[0]),
                    strides[3].wrapping_mul(conv.step[1]),
                ],
                shifts: [strides[2], strides[3]],
            };
        }
        let size @ [height, width] = self.band_size(conv, job.rows.len());
        let row_len = width * conv.channels;
        // SAFETY: the source is valid for its sizes, the caller vouches.
        unsafe {
            let origin = [top, self.first[1]];
            copy_band(&conv.source, conv.channels, job.images.clone(), origin, size, band);
        }
        Seen {
            pointer: band.as_ptr(),
            places: [height * row_len, conv.step[0] * row_len, conv.step[1] * conv.channels],
            shifts: [row_len, conv.channels],
        }
    }
}

/// Copies some rows and columns of some images that lie channels-last, from `origin` on, to
/// `[images][height][width][channels]`, with zeros where they are outside.
///
/// # Safety
///
/// The source must be valid for its size and these images and channels.
pub(in super::super) unsafe fn copy_band<T: Element>(
    source: &Source<T>,
    channels: usize,
    images: Range<usize>,
    [top, left]: [isize; 2],
    [height, width]: [usize; 2],
    to: &mut [T],
) {
    let strides = source.strides;
    let row_len = width * channels;
    // The columns that there are.
    let before = left.min(0).unsigned_abs().min(width);
    let left = left.max(0) as usize;
    let columns = source.size[1].saturating_sub(left).min(width - before);
    let mut rows = to.chunks_exact_mut(row_len.max(1));
    for image in images {
        for (at, to) in (top..).zip(rows.by_ref().take(height)) {
            if at < 0 || at as usize >= source.size[0] || columns == 0 {
                to.fill(T::ZERO);
                continue;
            }
            let offset = image * strides[0] + at as usize * strides[2] + left * strides[3];
            let from = source.pointer.wrapping_add(offset);
            let (zeros, to) = to.split_at_mut(before * channels);
            let (to, more_zeros) = to.split_at_mut(columns * channels);
            zeros.fill(T::ZERO);
            more_zeros.fill(T::ZERO);
            let piece = if strides[3] == channels { to.len() } else { channels };
            for (column, to) in to.chunks_exact_mut(piece.max(1)).enumerate() {
                let from = from.wrapping_add(column * strides[3]);
                // SAFETY: a place of the source or a row of them, with all their channels.
                to.copy_from_slice(unsafe { std::slice::from_raw_parts(from, piece) });
            }
        }
    }
}
