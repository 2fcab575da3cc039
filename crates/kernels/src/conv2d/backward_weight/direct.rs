//! The path for images that lie batch-last: the images are read where they lie.
//!
//! An entry of the gradient is an inner product over the batch, which is contiguous, and over the
//! places where its tap hits the image. The microkernel holds a tile of output by input channels.
//! Only the output's gradient is packed, a block at a time, and serves all taps and input channels. What
//! is packed is summed on the way: the gradient of the bias.

use std::ops::Range;

use super::super::bias::SINGLE;
use super::super::geometry::Geometry;
use crate::arch::{Isa, Kernel, MAX_LANES, Vector};
use crate::element::Element;
use crate::gemm::blocked::TileSize;
use crate::gemm::{Dot, MAX_MR, MAX_NV, Microkernel};
use crate::parallel::{self, MOVED_SLOWLY, SharedMut};
use crate::scratch;
use crate::view::{BatchRef, TensorMut, TensorRef};

/// Images times places that are summed at once: the rows of a tile stay in the first cache while
/// all input channels pass. Fewer, and adding up the lanes at the end of each tile would show.
const BLOCK: usize = 1024;
/// Images of a group. Pieces are of whole groups, and have as many as one another to within one.
const GROUP: usize = 32;
/// Groups that are summed at once, at the least, but at the ends of a row or a piece: some cache lines.
const GROUPS: usize = 2;
/// Elements of both operands that make a piece of the sum, at the least.
const PIECE: usize = 1 << 17;
/// Elements of all copies of the gradient, one for each piece, at the most.
const COPIES: usize = 1 << 17;
/// Pieces, at the most.
const MAX_PIECES: usize = 64;
/// Jobs to aim for. The fewer pieces, the longer the sums, and the less the adding up of lanes counts.
const JOBS: usize = 4;

/// Whether this path can run.
pub(in super::super) fn can_run<T: Copy>(x: &TensorRef<'_, T>, dy: &TensorRef<'_, T>) -> bool {
    x.strides()[0] == 1 && dy.strides()[0] == 1
}

/// How the sum is cut. A *cell* is a row of places of a group of images. All images of the upper rows come
/// before those of the lower: like a convolution, a thread first takes one or the other, so that what it has
/// written last is in its cache.
struct Cut {
    /// Groups of images of a part of the batch.
    groups: usize,
    /// Cells of a part: those of one come before those of the next.
    of_part: usize,
    /// Cells that are summed at once, at the most.
    most: usize,
    cells: usize,
    pieces: usize,
}

impl Cut {
    fn new(geometry: &Geometry, parts: usize, panels: usize) -> Self {
        let (outputs, inputs) = (geometry.group_outputs(), geometry.group_inputs());
        let [height, width] = geometry.out_size;
        let groups = geometry.batch.div_ceil(GROUP);
        let of_part = height * groups;
        let cells = parts * of_part;
        let places = (GROUP.min(geometry.batch) * width).max(1);
        let most = (BLOCK / places).max(GROUPS).min(of_part);
        let row =
            parallel::operations([geometry.batch, outputs * width + inputs * geometry.in_size[1]]);
        let copies = COPIES / (outputs * inputs * geometry.taps()).max(1);
        let by_size = parallel::operations([parts, height, row]) / PIECE;
        let limit = copies.min(cells).clamp(1, MAX_PIECES);
        let pieces = by_size.max(JOBS / panels.max(1)).clamp(1, limit);
        // Whole ones for each part of the batch: a thread that reads others' parts delays those who next write there.
        let (whole, limit) = (pieces.next_multiple_of(parts), limit / parts * parts);
        let pieces = if limit > 0 { whole.min(limit) } else { pieces };
        Self { groups, of_part, most, cells, pieces }
    }

    /// The cells of a piece.
    fn piece(&self, index: usize) -> Range<usize> {
        parallel::share(self.cells, self.pieces, index)
    }

    /// Takes from `cells` the first that are summed at once: some rows of all groups, or groups of a row.
    fn block(&self, cells: &mut Range<usize>, batch: usize) -> Block {
        let (part, cell) = (cells.start / self.of_part, cells.start % self.of_part);
        let (row, group) = (cell / self.groups, cell % self.groups);
        let some = self.most.min(cells.len()).min(self.of_part - cell);
        let whole = if group == 0 { some / self.groups } else { 0 };
        let (rows, groups) =
            if whole > 0 { (whole, self.groups) } else { (1, some.min(self.groups - group)) };
        cells.start += rows * groups;
        let images = group * GROUP..batch.min((group + groups) * GROUP);
        Block { part, images, out_rows: row..row + rows }
    }
}

/// Computes the gradient, group by group, of operands for which [`can_run`] holds; and that of the bias,
/// if it is wanted. The geometry is that of a part of the batch.
pub(in super::super) fn run<T: Element>(
    isa: Isa,
    geometry: &Geometry,
    x: &BatchRef<'_, T>,
    dy: &BatchRef<'_, T>,
    dw: &mut TensorMut<'_, T>,
    mut db: Option<&mut [T]>,
) {
    let [mr, _] = T::run(isa, TileSize);
    let (rows, columns) = (geometry.group_outputs(), geometry.group_inputs() * geometry.taps());
    let (size, panels) = (rows * columns, rows.div_ceil(mr));
    let cut = &Cut::new(geometry, x.parts(), panels);
    // Of a cell: a smaller batch does not fill a group.
    let images = GROUP.min(geometry.batch.next_multiple_of(MAX_LANES));
    let packed = scratch::product([mr, cut.most, geometry.out_size[1], images]);
    let places = geometry.out_size[0] * geometry.out_size[1];
    for group in 0..geometry.config.groups {
        scratch::with(scratch::product([cut.pieces, size]), |sums: &mut [T]| {
            scratch::with(scratch::product([cut.pieces, rows]), |bias: &mut [f64]| {
                let to = SharedMut::new(sums.as_mut_ptr());
                let bias_to = SharedMut::new(bias.as_mut_ptr());
                let operations = parallel::operations([size, x.parts(), geometry.batch, places]);
                parallel::for_each(cut.pieces * panels, operations, |job| {
                    let (index, first) = (job / panels, job % panels * mr);
                    let panel = first..rows.min(first + mr);
                    // SAFETY: each piece has `size` sums of its own, and each job its rows of them.
                    let to = unsafe {
                        let start = to.get().add(index * size + first * columns);
                        std::slice::from_raw_parts_mut(start, panel.len() * columns)
                    };
                    // SAFETY: likewise, a sum for each row.
                    let bias = unsafe {
                        let start = bias_to.get().add(index * rows + first);
                        std::slice::from_raw_parts_mut(start, panel.len())
                    };
                    let (cells, rows) = (cut.piece(index), panel);
                    scratch::with(packed, |packed| {
                        T::run(
                            isa,
                            Piece { geometry, x, dy, group, cut, cells, rows, packed, to, bias },
                        );
                    });
                });
                store(geometry, sums, cut.pieces, group, dw, mr);
                if let Some(db) = &mut db {
                    for (row, db) in db[group * rows..][..rows].iter_mut().enumerate() {
                        *db = T::from_f64(bias[row..].iter().step_by(rows).sum());
                    }
                }
            });
        });
    }
}

/// Adds the pieces, one after the other, and writes the sums to their places; a job for each panel.
fn store<T: Element>(
    geometry: &Geometry,
    sums: &mut [T],
    pieces: usize,
    group: usize,
    dw: &mut TensorMut<'_, T>,
    mr: usize,
) {
    let (rows, channels) = (geometry.group_outputs(), geometry.group_inputs());
    let (columns, size) = (geometry.taps() * channels, sums.len() / pieces);
    let (strides, to) = (dw.strides(), SharedMut::new(dw.as_ptr()));
    let sums = SharedMut::new(sums.as_mut_ptr());
    parallel::for_each(rows.div_ceil(mr), size * (pieces + MOVED_SLOWLY), |panel| {
        let first = panel * mr;
        let panel_rows = mr.min(rows - first);
        // SAFETY: each job has its panel of every piece.
        let part = |piece: usize| unsafe {
            let start = sums.get().add(piece * size + first * columns);
            std::slice::from_raw_parts_mut(start, panel_rows * columns)
        };
        let sum = part(0);
        for piece in 1..pieces {
            for (sum, &piece) in sum.iter_mut().zip(&*part(piece)) {
                *sum += piece;
            }
        }
        // Copies, which the writes cannot change.
        let ([row_stride, channel_stride, ..], to) = (strides, to.get());
        for (tap, sums) in sum.chunks_exact(channels * panel_rows).enumerate() {
            let mut place =
                to.wrapping_add(super::offset(geometry, strides, group, [first, tap, 0]));
            for sums in sums.chunks_exact(panel_rows) {
                for (row, &sum) in sums.iter().enumerate() {
                    // SAFETY: inside the weight's shape, and in a row of this panel.
                    unsafe { *place.add(row * row_stride) = sum };
                }
                place = place.wrapping_add(channel_stride);
            }
        }
    });
}

/// A piece of the sum, for a panel.
struct Piece<'a, T> {
    geometry: &'a Geometry,
    x: &'a BatchRef<'a, T>,
    dy: &'a BatchRef<'a, T>,
    group: usize,
    cut: &'a Cut,
    cells: Range<usize>,
    /// Channels of the output: a panel.
    rows: Range<usize>,
    /// Room for a block of the output's gradient.
    packed: &'a mut [T],
    /// `[taps][channels][rows]`
    to: &'a mut [T],
    /// Where the sum of each row of the output's gradient goes.
    bias: &'a mut [f64],
}

impl<T: Element> Kernel<T> for Piece<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<V: Microkernel<Elem = T>>(mut self) {
        self.to.fill(T::ZERO);
        self.bias.fill(0.0);
        while !self.cells.is_empty() {
            let block = self.cut.block(&mut self.cells, self.geometry.batch);
            self.pack::<V>(&block);
            // Few channels do not fill a tile: then some taps of a row of the kernel share it.
            let together = (V::NV / self.geometry.group_inputs()).max(1);
            let (mut tap, taps) = (0, self.geometry.taps());
            while tap < taps {
                let row_end = (tap / self.geometry.kernel[1] + 1) * self.geometry.kernel[1];
                let end = row_end.min(tap + together);
                self.add::<V>(&block, tap..end);
                tap = end;
            }
        }
    }
}

/// What is summed at once.
struct Block {
    /// Of the batch.
    part: usize,
    /// Of the part.
    images: Range<usize>,
    out_rows: Range<usize>,
}

impl Block {
    /// Elements of one place of a packed panel.
    #[inline(always)]
    fn place<V: Microkernel>(&self) -> usize {
        self.images.len().div_ceil(V::LANES) * V::MR * V::LANES
    }
}

impl<T: Element> Piece<'_, T> {
    /// Packs the output's gradient: `[places][vectors][MR][LANES]`; and adds up its rows.
    #[inline(always)]
    fn pack<V: Microkernel<Elem = T>>(&mut self, block: &Block) {
        let first = self.group * self.geometry.group_outputs() + self.rows.start;
        let dy = self.dy.part(block.part);
        let strides = dy.strides();
        let images = block.images.len();
        let mut vectors = self.packed.chunks_exact_mut(V::LANES);
        let (mut sums, mut summed) = ([V::splat(T::ZERO); MAX_MR], 0);
        for h in block.out_rows.clone() {
            for w in 0..self.geometry.out_size[1] {
                if summed >= SINGLE {
                    add_up(self.bias, &mut sums);
                    summed = 0;
                }
                summed += images;
                let place = block.images.start + h * strides[2] + w * strides[3];
                for image in (0..images).step_by(V::LANES) {
                    let panel = sums.iter_mut().take(V::MR).zip(vectors.by_ref());
                    for (row, (sum, to)) in panel.enumerate() {
                        let lanes = V::LANES.min(images - image);
                        let vector = if row < self.rows.len() {
                            let from = place + image + (first + row) * strides[1];
                            // SAFETY: channel, place and images are inside `dy`, batch-last.
                            unsafe { V::load_first(dy.as_ptr().add(from), lanes) }
                        } else {
                            V::splat(T::ZERO)
                        };
                        *sum = sum.add(vector);
                        vector.write_to(to);
                    }
                }
            }
        }
        add_up(self.bias, &mut sums);
    }

    /// Adds the products of a block by some taps of a row of the kernel.
    #[inline(always)]
    fn add<V: Microkernel<Elem = T>>(&mut self, block: &Block, taps: Range<usize>) {
        let geometry = self.geometry;
        let width = geometry.kernel[1];
        let Range { start, end } = geometry.hits(0, taps.start / width);
        let start = start.max(block.out_rows.start);
        let out_h = start..end.min(block.out_rows.end).max(start);
        let hits = |tap: usize| geometry.hits(1, tap % width);
        let start = taps.clone().map(|tap| hits(tap).start).max().unwrap_or(0);
        let end = taps.clone().map(|tap| hits(tap).end).min().unwrap_or(0).max(start);
        self.dots::<V>(block, taps.clone(), &out_h, start..end);
        if taps.len() > 1 {
            // The places that only some of the taps hit.
            for tap in taps {
                let own = hits(tap);
                self.dots::<V>(block, tap..tap + 1, &out_h, own.start..own.end.min(start));
                self.dots::<V>(block, tap..tap + 1, &out_h, own.start.max(end)..own.end);
            }
        }
    }

    /// Adds the products of some places of a block, by taps of a row of the kernel that all hit the
    /// image from there.
    #[inline(always)]
    fn dots<V: Microkernel<Elem = T>>(
        &mut self,
        block: &Block,
        taps: Range<usize>,
        out_h: &Range<usize>,
        out_w: Range<usize>,
    ) {
        if out_h.is_empty() || out_w.is_empty() {
            return;
        }
        let Geometry { kernel, out_size, config, .. } = *self.geometry;
        let (rows, channels) = (self.rows.len(), self.geometry.group_inputs());
        let x = self.x.part(block.part);
        let strides = x.strides();
        // Where the image is seen from the first place. It is inside, since the taps hit it.
        let seen = |tap: usize, channel: usize| {
            let h = self.geometry.input_at(0, out_h.start, tap / kernel[1]) as usize;
            let w = self.geometry.input_at(1, out_w.start, tap % kernel[1]) as usize;
            let channel = self.group * channels + channel;
            let place = channel * strides[1] + h * strides[2] + w * strides[3];
            x.as_ptr().wrapping_add(block.images.start + place)
        };
        let a_place = block.place::<V>();
        let a_row = out_size[1] * a_place;
        let first = (out_h.start - block.out_rows.start) * a_row + out_w.start * a_place;
        for column in (0..taps.len() * channels).step_by(V::NV) {
            let columns = V::NV.min(taps.len() * channels - column);
            let mut b = [x.as_ptr(); MAX_NV];
            for (j, b) in b[..columns].iter_mut().enumerate() {
                *b = seen(taps.start + (column + j) / channels, (column + j) % channels);
            }
            let dot = Dot {
                a: self.packed[first..].as_ptr(),
                a_places: [a_row, a_place],
                b,
                // Along an axis of one place the stride does not matter and may be huge.
                b_places: [
                    strides[2].saturating_mul(config.stride[0]),
                    strides[3].saturating_mul(config.stride[1]),
                ],
                places: [out_h.len(), out_w.len()],
                lanes: block.images.len(),
                rows,
                columns,
                c: self.to[(taps.start * channels + column) * rows..].as_mut_ptr(),
            };
            // SAFETY: channels, places and images are inside `x`, which lies batch-last, and inside
            // the packed block; these sums are this job's.
            unsafe { V::dot(&dot) };
        }
    }
}

/// Moves the sums of the rows of the gradient to their totals.
#[inline(always)]
fn add_up<V: Vector>(totals: &mut [f64], sums: &mut [V; MAX_MR]) {
    for (total, sum) in totals.iter_mut().zip(sums) {
        *total += sum.reduce_add().to_f64();
        *sum = V::splat(V::Elem::ZERO);
    }
}
