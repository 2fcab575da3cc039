//! The general path: GEMM whose panels are packed straight from the image (*implicit im2col*).
//!
//! Rows are the target's channels, columns the places of all images, and the sum runs over taps and
//! channels. Any strides will do: where neighbouring columns are neighbours in memory they are
//! copied together.

use super::taps::{Source, Tap, TapConv};
use crate::arch::{Isa, Kernel};
use crate::element::Element;
use crate::gemm::blocked::{self, ColumnOffsets, MAX_NR, Output, PackA, PackB, TileSize};
use crate::gemm::{Finish, Microkernel};
use crate::parallel::{self, MOVED_SLOWLY, SharedMut};
use crate::scratch;

/// Runs `conv` as one GEMM.
///
/// # Safety
///
/// The source, the weight and the target must be valid for the sizes of `conv`, and the target's
/// places distinct and nobody else's.
pub(super) unsafe fn run<T: Element>(isa: Isa, conv: &TapConv<'_, T>) {
    debug_assert_eq!(conv.parts, 1);
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

/// Which image and place a column stands for: the columns are in the target's order in memory.
#[derive(Clone, Copy)]
struct Columns {
    batch: usize,
    grid: [usize; 2],
    /// Whether neighbouring columns are neighbours in the batch, or in the width.
    batch_last: bool,
}

/// Neighbouring columns: of some images at one place, or of one image at places of one row.
#[derive(Clone, Copy, Default)]
struct Segment {
    /// Index of the first column in the panel.
    first: usize,
    columns: usize,
    image: usize,
    place: [usize; 2],
}

impl Columns {
    fn new<T>(conv: &TapConv<'_, T>) -> Self {
        let strides = conv.target.strides;
        Self { batch: conv.batch, grid: conv.grid, batch_last: strides[0] < strides[3] }
    }

    /// Cuts the columns from `j0` on into segments, and says how many there are.
    #[inline(always)]
    fn segments(&self, j0: usize, columns: usize, segments: &mut [Segment; MAX_NR]) -> usize {
        let [height, width] = self.grid;
        let (mut image, mut position, run) = if self.batch_last {
            (j0 % self.batch, j0 / self.batch, self.batch)
        } else {
            (j0 / (height * width), j0 % (height * width), width)
        };
        let (mut first, mut count) = (0, 0);
        while first < columns {
            let place = [position / width, position % width];
            let at = if self.batch_last { image } else { place[1] };
            let some = (run - at).min(columns - first);
            segments[count] = Segment { first, columns: some, image, place };
            count += 1;
            first += some;
            if self.batch_last {
                (image, position) = (0, position + 1);
            } else {
                position += some;
                if position == height * width {
                    (image, position) = (image + 1, 0);
                }
            }
        }
        count
    }
}

/// The places of the target.
struct TargetColumns(Columns, [usize; 4]);

impl ColumnOffsets for TargetColumns {
    #[inline(always)]
    fn offsets(&self, j0: usize, offsets: &mut [usize]) {
        let Self(columns, strides) = self;
        let mut segments = [Segment::default(); MAX_NR];
        let count = columns.segments(j0, offsets.len(), &mut segments);
        for segment in &segments[..count] {
            let Segment { first, columns: some, image, place } = *segment;
            let offset = image * strides[0] + place[0] * strides[2] + place[1] * strides[3];
            let step = if columns.batch_last { strides[0] } else { strides[3] };
            for (j, to) in offsets[first..first + some].iter_mut().enumerate() {
                *to = offset + j * step;
            }
        }
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
        let mut k = 0;
        while k < depth {
            let (tap, channel) = ((k0 + k) / conv.channels, (k0 + k) % conv.channels);
            let channels = (conv.channels - channel).min(depth - k);
            let offset = conv.taps.get(tap).weight + channel * channel_stride + i0 * row_stride;
            let mut from = conv.weight.wrapping_add(offset);
            for step in 0..channels {
                for i in 0..V::MR {
                    // Along an axis of one row the stride does not matter and may be huge.
                    let value = from.wrapping_add(i.wrapping_mul(row_stride));
                    // SAFETY: rows, channels and taps are the weight's; `to` is the caller's duty.
                    unsafe {
                        *to.add((k + step) * V::MR + i) = if i < rows { *value } else { T::ZERO };
                    }
                }
                from = from.wrapping_add(channel_stride);
            }
            k += channels;
        }
    }

    #[inline(always)]
    fn rows_are_neighbours(&self) -> bool {
        self.0.weight_strides[0] == 1
    }
}

/// Calls `run` with the whole weights of some `convs` of as many rows packed, one behind the other:
/// `[panels][taps][channels][MR]`, with zeros behind the last row.
///
/// # Safety
///
/// The weights must be valid for the sizes of their `convs`.
pub(super) unsafe fn with_panels<T: Element>(
    isa: Isa,
    convs: &[TapConv<'_, T>],
    run: impl FnOnce(&[T]),
) {
    let [mr, _] = T::run(isa, TileSize);
    let panels = convs.first().map_or(0, |conv| conv.rows.div_ceil(mr));
    let depth = |convs: &[TapConv<'_, T>]| convs.iter().map(TapConv::depth).sum();
    scratch::with(scratch::product([panels, depth(convs), mr]), |weight: &mut [T]| {
        let to = SharedMut::new(weight.as_mut_ptr());
        parallel::for_each(convs.len() * panels, weight.len() * MOVED_SLOWLY, |job| {
            let (index, panel) = (job / panels, job % panels);
            let conv = &convs[index];
            let place = (depth(&convs[..index]) * panels + conv.depth() * panel) * mr;
            // SAFETY: each job has a panel of its own.
            let to = unsafe { to.get().add(place) };
            T::run(isa, PackPanel { conv, panel, to });
        });
        run(weight);
    });
}

struct PackPanel<'a, 'b, T> {
    conv: &'a TapConv<'b, T>,
    panel: usize,
    to: *mut T,
}

impl<T: Element> Kernel<T> for PackPanel<'_, '_, T> {
    type Output = ();

    #[inline(always)]
    fn run<V: Microkernel<Elem = T>>(self) {
        let row = self.panel * V::MR;
        let rows = [row, V::MR.min(self.conv.rows - row)];
        // SAFETY: the rows are the weight's, and the panel has room.
        unsafe { Weight(self.conv).pack::<V>(rows, [0, self.conv.depth()], self.to) }
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
        let mut segments = [Segment::default(); MAX_NR];
        let count = self.columns.segments(j0, columns, &mut segments);
        let mut k = 0;
        while k < depth {
            let (tap, channel) = ((k0 + k) / conv.channels, (k0 + k) % conv.channels);
            let channels = (conv.channels - channel).min(depth - k);
            let runs = Runs::of(self, &segments[..count], &conv.taps.get(tap));
            let stride = conv.source.strides[1];
            let from = conv.source.pointer.wrapping_add(channel * stride);
            // SAFETY: the runs are inside every channel of the source; `to` is the caller's duty.
            unsafe { runs.copy::<V>(from, stride, channels, to.add(k * V::NR)) };
            k += channels;
        }
    }
}

/// Columns of a panel that see the source through a tap, evenly spaced in memory.
#[derive(Clone, Copy, Default)]
struct Run {
    first: usize,
    columns: usize,
    offset: usize,
}

/// All columns of a panel that see the source through a tap.
struct Runs {
    runs: [Run; MAX_NR],
    len: usize,
    /// Elements between the neighbours of a run.
    step: usize,
    /// Columns of all runs.
    columns: usize,
}

impl Runs {
    #[inline(always)]
    fn of<T>(matrix: &Im2col<'_, '_, T>, segments: &[Segment], tap: &Tap) -> Self {
        let (conv, batch_last) = (matrix.conv, matrix.columns.batch_last);
        let Source { size, strides, .. } = conv.source;
        // Along an axis of one place the stride does not matter and may be huge.
        let step = if batch_last { strides[0] } else { strides[3].wrapping_mul(conv.step[1]) };
        let mut runs = Self { runs: [Run::default(); MAX_NR], len: 0, step, columns: 0 };
        for segment in segments {
            let Segment { mut first, mut columns, image, mut place } = *segment;
            if !batch_last {
                // The part of the row from where the tap hits: it begins at the first place whose
                // column in the source is not negative, and ends before the first beyond the width.
                let (step, at) = (conv.step[1], (place[1] * conv.step[1]) as isize + tap.shift[1]);
                let before = if at < 0 { at.unsigned_abs().div_ceil(step) } else { 0 };
                let room = size[1] as isize - at;
                let end = if room > 0 { (room as usize).div_ceil(step) } else { 0 };
                let end = end.min(columns);
                if before >= end {
                    continue;
                }
                (first, columns, place[1]) = (first + before, end - before, place[1] + before);
            }
            let Some(offset) = conv.source_offset(place, tap) else {
                continue;
            };
            runs.columns += columns;
            runs.runs[runs.len] = Run { first, columns, offset: image * strides[0] + offset };
            runs.len += 1;
        }
        runs
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
        for channel in 0..channels {
            let from = from.wrapping_add(channel * channel_stride);
            // SAFETY: row `channel` of the panel.
            let to = unsafe { to.add(channel * V::NR) };
            if self.columns < V::NR {
                for j in (0..V::NR).step_by(V::LANES) {
                    // SAFETY: inside the row.
                    unsafe { V::splat(V::Elem::ZERO).store(to.add(j)) };
                }
            }
            for run in &self.runs[..self.len] {
                let (from, to) = (from.wrapping_add(run.offset), to.wrapping_add(run.first));
                if self.step == 1 {
                    let whole = run.columns / V::LANES * V::LANES;
                    for j in (0..whole).step_by(V::LANES) {
                        // SAFETY: the run is inside the channel, and inside the row.
                        unsafe { V::load(from.add(j)).store(to.add(j)) };
                    }
                    let rest = run.columns - whole;
                    if rest > 0 {
                        // SAFETY: as above.
                        unsafe {
                            V::load_first(from.add(whole), rest).store_first(to.add(whole), rest);
                        }
                    }
                } else {
                    for j in 0..run.columns {
                        // SAFETY: as above.
                        unsafe { *to.add(j) = *from.add(j * self.step) };
                    }
                }
            }
        }
    }
}
