//! The path for images that lie batch-last: nothing is packed but the weight.
//!
//! A tile is some channels of the target at one place of the grid, by some images of a part of the batch. The
//! images are neighbours in memory, so a row of the microkernel's B is the source itself, and each
//! tap that hits the source is one pair of the batch-reduce sum. Taps that fall on padding are
//! skipped, not multiplied by zero.
//!
//! The rows of B are copied together first where that pays: where the last images do not fill a
//! vector, and where many panels of the weight will read them (their strides are often powers of
//! two, which all land in the same few sets of the cache). Tiles then go along a row of the grid, and
//! what neighbouring places see both of is copied once.

use std::ops::Range;

use super::packed::with_panels;
use super::taps::{MAX_TAPS, TapConv};
use crate::arch::{Isa, Kernel};
use crate::element::Element;
use crate::gemm::blocked::TileSize;
use crate::gemm::{Microkernel, PackedA, Pair, Panel, Place, Tile};
use crate::parallel;
use crate::scratch;

/// Multiply-adds of a job, about: some microseconds.
const JOB: usize = 1 << 19;
/// Jobs to aim for where tiles along a row share what they copy.
const JOBS: usize = 32;
/// Panels of the weight from which on the rows of B are copied together. GFLOP/s of one core with a peak of 272, 64
/// images and channels, 3x3 taps on 16x16 places, copied and not: 2 panels 218 and 234, 3 235 and 235, 4 244 and
/// 225, 8 256 and 227.
const COPY_FROM_PANELS: usize = 4;

/// Whether this path can run `conv`.
pub(super) fn can_run<T>(conv: &TapConv<'_, T>) -> bool {
    conv.source.strides[0] == 1 && conv.target.strides[0] == 1 && conv.taps.len() <= MAX_TAPS
}

/// How a sum is cut into jobs, by shape alone.
struct Cut {
    /// Elements of the packed weight.
    weight: usize,
    tiles: usize,
    /// Jobs to aim for, at the most.
    jobs: usize,
    /// Whether the rows of B of every tile are copied, or only where they do not fill a vector.
    copies: bool,
}

impl Cut {
    fn new<T>(conv: &TapConv<'_, T>, [mr, nr]: [usize; 2]) -> Self {
        let panels = conv.rows.div_ceil(mr);
        let tiles = conv.parts * conv.positions() * conv.batch.div_ceil(nr);
        let copies = panels >= COPY_FROM_PANELS;
        // About as many as a row of the grid, but where that leaves too few jobs.
        let row = conv.grid[1] * conv.batch.div_ceil(nr);
        let least = if copies { row.min(tiles.div_ceil(JOBS)) } else { 1 };
        let jobs = tiles.div_ceil(least.max(1));
        Self { weight: panels * mr * conv.depth(), tiles, jobs, copies }
    }
}

/// Runs some `convs`, for each of which [`can_run`] holds, side by side.
///
/// # Safety
///
/// The sources, the weights and the targets must be valid for the sizes of the `convs`, which are in as many parts, in
/// each of these, and the targets' places distinct and nobody else's.
pub(super) unsafe fn run<T: Element>(isa: Isa, convs: &[TapConv<'_, T>]) {
    let tile = T::run(isa, TileSize);
    let operations = convs.iter().map(TapConv::operations).fold(0, usize::saturating_add);
    let cut = |conv: &TapConv<'_, T>| Cut::new(conv, tile);
    // Of each sum. A thread first takes the upper places of all of them, or the lower: where the sums are
    // phases of one gradient, those are its share of what comes before and after.
    let jobs = operations / (JOB * convs.len().max(1)) + 1;
    let jobs = convs.iter().map(|conv| cut(conv).jobs.min(jobs)).max().unwrap_or(0);
    let jobs = jobs.next_multiple_of(parallel::EVEN);
    let run_packed = |weights: &[T]| {
        parallel::for_each(jobs * convs.len(), operations, |job| {
            let (share, index) = (job / convs.len(), job % convs.len());
            let (before, conv) = (&convs[..index], &convs[index]);
            let Cut { weight, tiles, copies, .. } = cut(conv);
            let weight = &weights[before.iter().map(|conv| cut(conv).weight).sum()..][..weight];
            let tiles = parallel::share(tiles, jobs, share);
            scratch::with(scratch::product([conv.depth(), tile[1]]), |rows: &mut [T]| {
                T::run(isa, Tiles { conv, weight, tiles, copies, rows });
            });
        });
    };
    // SAFETY: the caller's duty, passed on.
    unsafe { with_panels(isa, convs, run_packed) };
}

/// Some tiles: places of the grid, by up to `NR` images each. Those of a part of the batch come before those of the
/// next.
struct Tiles<'a, 'b, T> {
    conv: &'a TapConv<'b, T>,
    weight: &'a [T],
    tiles: Range<usize>,
    /// As [`Cut::copies`].
    copies: bool,
    /// Room for the rows of B of one tile.
    rows: &'a mut [T],
}

impl<T: Element> Kernel<T> for Tiles<'_, '_, T> {
    type Output = ();

    #[inline(always)]
    fn run<V: Microkernel<Elem = T>>(mut self) {
        let of_part = self.conv.positions() * self.conv.batch.div_ceil(V::NR);
        while !self.tiles.is_empty() {
            let Range { start, end } = self.tiles;
            let part = start / of_part;
            let before = part * of_part;
            self.tiles.start = end.min(before + of_part);
            self.part::<V>(&self.conv.part(part), start - before..self.tiles.start - before);
        }
    }
}

impl<T: Element> Tiles<'_, '_, T> {
    /// Some tiles of one part, which `conv` is of.
    #[inline(always)]
    fn part<V: Microkernel<Elem = T>>(&mut self, conv: &TapConv<'_, T>, tiles: Range<usize>) {
        let blocks = conv.batch.div_ceil(V::NR);
        let vectors = conv.batch.div_ceil(V::LANES);
        let (mut hits, mut copy) = (Hits::default(), RowsOfB::default());
        let mut hit_position = usize::MAX;
        // Tiles are numbered place by place. Without copies they are run in that order: all images of a place
        // hit the same taps. With copies the places come one after the other, which see much of the same.
        let passes = if self.copies { blocks } else { 1 };
        let Range { start, end } = tiles;
        let pass = |pass: usize| {
            let first = start + (pass + passes - start % passes) % passes;
            (first..end).step_by(passes)
        };
        for tile in (0..passes).flat_map(pass) {
            let (position, block) = (tile / blocks, tile % blocks);
            // 64 images are two tiles of two vectors, not of three and one.
            let of_block = parallel::share(vectors, blocks, block);
            let image = of_block.start * V::LANES;
            let place = [position / conv.grid[1], position % conv.grid[1]];
            if position != hit_position {
                hits.find::<V>(conv, place);
                hit_position = position;
            }
            let images = conv.batch.min(of_block.end * V::LANES) - image;
            let [batch_stride, _, height, width] = conv.target.strides;
            let offset = image * batch_stride + place[0] * height + place[1] * width;
            let (b, b_stride, pairs) = if self.copies || !images.is_multiple_of(V::LANES) {
                // SAFETY: the images from `image` on are inside the source.
                unsafe { copy.fill::<V>(conv, &hits, image, images, self.rows) };
                (self.rows.as_ptr(), V::NR, &copy.pairs)
            } else {
                let b = conv.source.pointer.wrapping_add(hits.first + image);
                (b, conv.source.strides[1], &hits.pairs)
            };
            for row in (0..conv.rows).step_by(V::MR) {
                let tile = Tile {
                    a: self.weight[row * conv.depth()..].as_ptr(),
                    a_layout: PackedA,
                    b,
                    pairs: &pairs[..hits.len],
                    depth: conv.channels,
                    b_stride,
                    rows: V::MR.min(conv.rows - row),
                    columns: images,
                };
                let panel = Panel {
                    c: conv.target.pointer.wrapping_add(row * conv.target.strides[1]),
                    row_stride: conv.target.strides[1],
                    place: Place::Contiguous(offset),
                    beta: T::ZERO,
                    bias: conv.bias.map(|bias| &bias[row..]),
                };
                // SAFETY: panels of the weight hold `channels` steps for each tap; rows of B are
                // whole vectors, of the source or of the copy; the tile is this job's alone.
                unsafe { V::tile(&tile, &panel) };
            }
        }
    }
}

/// The taps that hit the source from some place of the grid: panels of the weight and rows of the
/// source.
struct Hits {
    /// Which rows of the taps and which columns hit: a bit each.
    of_axes: [u64; 2],
    /// Where the rows of the source are counted from: what the first tap sees.
    first: usize,
    pairs: [Pair; MAX_TAPS],
    /// The row of the taps that each is from.
    rows: [usize; MAX_TAPS],
    len: usize,
}

impl Default for Hits {
    fn default() -> Self {
        let (pairs, rows) = ([Pair::default(); MAX_TAPS], [0; MAX_TAPS]);
        Self { of_axes: [0; 2], first: 0, pairs, rows, len: 0 }
    }
}

impl Hits {
    #[inline(always)]
    fn find<V: Microkernel>(&mut self, conv: &TapConv<'_, V::Elem>, place: [usize; 2]) {
        let taps = &conv.taps;
        let (mut of_axes, mut first) = ([0_u64; 2], [None; 2]);
        for (axis, len) in [taps.height(), taps.width()].into_iter().enumerate() {
            for tap in 0..len {
                if let Some(offset) = conv.along(axis, place[axis], taps.shift(axis, tap)) {
                    of_axes[axis] |= 1 << tap;
                    first[axis].get_or_insert(offset);
                }
            }
        }
        let [Some(vertical), Some(horizontal)] = first else {
            self.len = 0;
            return;
        };
        self.first = vertical + horizontal;
        // Most places hit the same taps as the one before, and see as much further on.
        if self.len > 0 && self.of_axes == of_axes {
            return;
        }
        (self.of_axes, self.len) = (of_axes, 0);
        let [rows, columns] = of_axes;
        for row in (0..taps.height()).filter(|row| rows >> row & 1 == 1) {
            for column in (0..taps.width()).filter(|column| columns >> column & 1 == 1) {
                let [vertical, horizontal] = [(0, row), (1, column)]
                    .map(|(axis, tap)| conv.along(axis, place[axis], taps.shift(axis, tap)));
                let seen = vertical.unwrap_or_default() + horizontal.unwrap_or_default();
                let a = (row * taps.width() + column) * conv.channels * V::MR;
                // The gradient to the input meets the source back to front.
                self.pairs[self.len] = Pair { a, b: seen.wrapping_sub(self.first) };
                self.rows[self.len] = row;
                self.len += 1;
            }
        }
    }
}

/// Copies of rows of B, `[slots][channels][NR]`: one slot for each tap, those of a row of taps side
/// by side. What a tile finds in the slots from the tile before is not copied again.
struct RowsOfB {
    /// Where in the source the copy in each slot is from.
    sources: [usize; MAX_TAPS],
    /// The hits, with their slots.
    pairs: [Pair; MAX_TAPS],
}

impl Default for RowsOfB {
    fn default() -> Self {
        Self { sources: [usize::MAX; MAX_TAPS], pairs: [Pair::default(); MAX_TAPS] }
    }
}

impl RowsOfB {
    /// Makes sure that what the hits see of `images` images is in slots, with zeros behind the images.
    ///
    /// # Safety
    ///
    /// The images from `image` on must be inside the source.
    #[inline(always)]
    unsafe fn fill<V: Microkernel>(
        &mut self,
        conv: &TapConv<'_, V::Elem>,
        hits: &Hits,
        image: usize,
        images: usize,
        to: &mut [V::Elem],
    ) {
        let (width, slot_len) = (conv.taps.width(), conv.channels * V::NR);
        let hit_rows = || hits.pairs[..hits.len].iter().zip(&hits.rows);
        // Bits of the slots that this tile needs as they are.
        let mut taken = 0_u64;
        for (hit, &row) in hit_rows() {
            for slot in row * width..(row + 1) * width {
                taken |=
                    u64::from(self.sources[slot] == hits.first.wrapping_add(hit.b) + image) << slot;
            }
        }
        for (index, (hit, &row)) in hit_rows().enumerate() {
            let source = hits.first.wrapping_add(hit.b) + image;
            let slots = row * width..(row + 1) * width;
            let found = slots.clone().find(|&slot| self.sources[slot] == source);
            // A row of taps has as many slots as taps, so one is free.
            let slot = found.or_else(|| slots.clone().find(|slot| taken >> slot & 1 == 0));
            let slot = slot.unwrap_or(slots.start);
            self.pairs[index] = Pair { a: hit.a, b: slot * slot_len };
            taken |= 1 << slot;
            if self.sources[slot] == source {
                continue;
            }
            self.sources[slot] = source;
            let mut from = conv.source.pointer.wrapping_add(source);
            for row in to[slot * slot_len..][..slot_len].chunks_exact_mut(V::NR) {
                for (index, vector) in row.chunks_exact_mut(V::LANES).enumerate() {
                    let first = index * V::LANES;
                    let some = images.saturating_sub(first).min(V::LANES);
                    // SAFETY: `some` images are inside the source, the caller vouches.
                    unsafe { V::load_first(from.wrapping_add(first), some) }.write_to(vector);
                }
                from = from.wrapping_add(conv.source.strides[1]);
            }
        }
    }
}
