//! The general path: GEMM whose panels are packed straight from the image (*implicit im2col*).
//!
//! Rows are the target's channels, columns the places of all images, and the sum runs over taps and
//! channels. Any strides will do: where neighbouring columns are neighbours in memory they are
//! copied together.

use super::taps::TapConv;
use crate::arch::{Isa, Vector};
use crate::element::Element;
use crate::gemm::blocked::{self, ColumnOffsets, MAX_NR, Output, PackA, PackB};
use crate::gemm::{Finish, Microkernel};

/// Runs `conv` as one GEMM.
///
/// # Safety
///
/// The source, the weight and the target must be valid for the sizes of `conv`, and the target's
/// places distinct and nobody else's.
pub(super) unsafe fn run<T: Element>(isa: Isa, conv: &TapConv<'_, T>) {
    let columns = Columns::new(conv);
    let size = [conv.rows, conv.batch * conv.positions(), conv.depth()];
    let output = Output {
        c: conv.target.pointer,
        row_stride: conv.target.strides[1],
        columns: TargetColumns(columns, conv.target.strides),
        finish: Finish { beta: T::ZERO, bias: conv.bias },
    };
    // SAFETY: rows are the target's channels and columns its places: the caller's duty.
    unsafe { blocked::run(isa, size, &Weight(conv), &Im2col { conv, columns }, &output) }
}

/// Which image and place a column stands for.
#[derive(Clone, Copy)]
pub(super) struct Columns {
    batch: usize,
    grid: [usize; 2],
    /// Whether neighbouring columns are neighbours in the batch, or in the width.
    batch_last: bool,
}

impl Columns {
    pub(super) fn new<T>(conv: &TapConv<'_, T>) -> Self {
        let strides = conv.target.strides;
        let batch_last = strides[0] < strides[3];
        Self { batch: conv.batch, grid: conv.grid, batch_last }
    }

    /// Calls `each` with `(index, image, [height, width])` for the columns from `j0` on.
    #[inline(always)]
    fn for_each(&self, j0: usize, columns: usize, mut each: impl FnMut(usize, usize, [usize; 2])) {
        let [height, width] = self.grid;
        let (mut n, mut h, mut w) = if self.batch_last {
            let position = j0 / self.batch;
            (j0 % self.batch, position / width, position % width)
        } else {
            let position = j0 % (height * width);
            (j0 / (height * width), position / width, position % width)
        };
        for j in 0..columns {
            each(j, n, [h, w]);
            if self.batch_last {
                n += 1;
                if n == self.batch {
                    (n, w) = (0, w + 1);
                }
                if w == width {
                    (w, h) = (0, h + 1);
                }
            } else {
                w += 1;
                if w == width {
                    (w, h) = (0, h + 1);
                }
                if h == height {
                    (h, n) = (0, n + 1);
                }
            }
        }
    }
}

/// The places of the target.
struct TargetColumns(Columns, [usize; 4]);

impl ColumnOffsets for TargetColumns {
    #[inline(always)]
    fn offsets(&self, j0: usize, offsets: &mut [usize]) {
        let strides = self.1;
        self.0.for_each(j0, offsets.len(), |j, n, [h, w]| {
            offsets[j] = n * strides[0] + h * strides[2] + w * strides[3];
        });
    }
}

/// The weight as the left operand: `[rows][taps * channels]`.
pub(super) struct Weight<'a, 'b, T>(pub(super) &'a TapConv<'b, T>);

impl<T: Element> PackA<T> for Weight<'_, '_, T> {
    #[inline(always)]
    unsafe fn pack<V: Microkernel<Elem = T>>(
        &self,
        [i0, rows]: [usize; 2],
        [k0, depth]: [usize; 2],
        to: *mut T,
    ) {
        let conv = self.0;
        let [row_stride, channel_stride] = conv.weight_strides;
        for k in 0..depth {
            let (tap, channel) = ((k0 + k) / conv.channels, (k0 + k) % conv.channels);
            let offset = conv.taps[tap].weight + channel * channel_stride + i0 * row_stride;
            for i in 0..V::MR {
                // SAFETY: rows, channels and taps are the weight's; `to` is the caller's duty.
                unsafe {
                    *to.add(k * V::MR + i) = if i < rows {
                        *conv.weight.add(offset + i * row_stride)
                    } else {
                        T::ZERO
                    };
                }
            }
        }
    }
}

/// The image as the right operand: `[taps * channels][columns]`, each row a channel shifted by a
/// tap.
struct Im2col<'a, 'b, T> {
    conv: &'a TapConv<'b, T>,
    columns: Columns,
}

impl<T: Element> PackB<T> for Im2col<'_, '_, T> {
    #[inline(always)]
    unsafe fn pack<V: Microkernel<Elem = T>>(
        &self,
        [k0, depth]: [usize; 2],
        [j0, columns]: [usize; 2],
        to: *mut T,
    ) {
        let conv = self.conv;
        let mut images = [0; MAX_NR];
        let mut places = [[0; 2]; MAX_NR];
        self.columns.for_each(j0, columns, |j, n, place| {
            images[j] = n * conv.source.strides[0];
            places[j] = place;
        });
        let mut k = 0;
        while k < depth {
            let (tap, channel) = ((k0 + k) / conv.channels, (k0 + k) % conv.channels);
            let channels = (conv.channels - channel).min(depth - k);
            let mut runs = Runs::default();
            for j in 0..columns {
                if let Some(offset) = conv.source_offset(places[j], &conv.taps[tap]) {
                    runs.push(j, images[j] + offset);
                }
            }
            let stride = conv.source.strides[1];
            let from = conv.source.pointer.wrapping_add(channel * stride);
            // SAFETY: the runs are inside every channel of the source; `to` is the caller's duty.
            unsafe { runs.copy::<V>(from, stride, channels, to.add(k * V::NR)) };
            k += channels;
        }
    }
}

/// The columns of a panel that see the source through a tap, as runs of neighbours.
struct Runs {
    /// `(first column, columns, offset)`
    runs: [(usize, usize, usize); MAX_NR],
    len: usize,
}

impl Default for Runs {
    fn default() -> Self {
        Self { runs: [(0, 0, 0); MAX_NR], len: 0 }
    }
}

impl Runs {
    #[inline(always)]
    fn push(&mut self, column: usize, offset: usize) {
        if let Some((first, columns, start)) = self.runs[..self.len].last_mut()
            && *first + *columns == column
            && *start + *columns == offset
        {
            *columns += 1;
        } else {
            self.runs[self.len] = (column, 1, offset);
            self.len += 1;
        }
    }

    /// Copies the columns of `channels` channels to rows of a panel, with zeros between.
    ///
    /// # Safety
    ///
    /// The runs must be inside each channel; `to` valid for writing `channels * NR` elements.
    #[inline(always)]
    unsafe fn copy<V: Microkernel>(
        &self,
        from: *const V::Elem,
        channel_stride: usize,
        channels: usize,
        to: *mut V::Elem,
    ) {
        let runs = &self.runs[..self.len];
        let whole = matches!(runs, [(0, columns, _)] if *columns == V::NR);
        for channel in 0..channels {
            let from = from.wrapping_add(channel * channel_stride);
            // SAFETY: row `channel` of the panel.
            let to = unsafe { to.add(channel * V::NR) };
            if !whole {
                for j in (0..V::NR).step_by(V::LANES) {
                    // SAFETY: inside the row.
                    unsafe { V::splat(V::Elem::ZERO).store(to.add(j)) };
                }
            }
            for &(first, columns, offset) in runs {
                let mut j = 0;
                while j + V::LANES <= columns {
                    // SAFETY: the run is inside the channel, and inside the row.
                    unsafe { V::load(from.add(offset + j)).store(to.add(first + j)) };
                    j += V::LANES;
                }
                while j < columns {
                    // SAFETY: as above.
                    unsafe { *to.add(first + j) = *from.add(offset + j) };
                    j += 1;
                }
            }
        }
    }
}
