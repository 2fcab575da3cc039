//! What the places of a job see: the source where it lies, or a copy of a band of it with zeros
//! around.

use super::super::taps::TapConv;
use super::plan::{Job, Plan};
use crate::element::Element;

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
        let [height, width] = self.band_size(conv, job.rows.len());
        let (row_len, channels) = (width * conv.channels, conv.channels);
        // The columns that there are.
        let before = self.first[1].min(0).unsigned_abs().min(width);
        let left = self.first[1].max(0) as usize;
        let columns = conv.source.size[1].saturating_sub(left).min(width - before);
        for image in 0..job.images.len() {
            for row in 0..height {
                let to = &mut band[(image * height + row) * row_len..][..row_len];
                let at = top + row as isize;
                if at < 0 || at as usize >= conv.source.size[0] || columns == 0 {
                    to.fill(T::ZERO);
                    continue;
                }
                let offset = (job.images.start + image) * strides[0]
                    + at as usize * strides[2]
                    + left * strides[3];
                let from = conv.source.pointer.wrapping_add(offset);
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
        Seen {
            pointer: band.as_ptr(),
            places: [height * row_len, conv.step[0] * row_len, conv.step[1] * channels],
            shifts: [row_len, channels],
        }
    }
}
