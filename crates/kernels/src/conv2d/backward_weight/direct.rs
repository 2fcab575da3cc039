//! The path for images that lie batch-last: the images are read where they lie.
//!
//! An entry of the gradient is an inner product over the batch, which is contiguous, and over the
//! places where its tap hits the image. The microkernel holds a tile of output by input channels.
//! Only the output's gradient is packed, a block at a time, and serves all taps and input channels.

use std::ops::Range;

use super::super::geometry::Geometry;
use crate::arch::{Isa, Kernel, MAX_LANES};
use crate::element::Element;
use crate::gemm::blocked::TileSize;
use crate::gemm::{Dot, MAX_NV, Microkernel};
use crate::parallel::{self, MOVED_SLOWLY, SharedMut};
use crate::scratch;
use crate::view::{TensorMut, TensorRef};

/// Images times places that are summed at once: the rows of a tile stay in the first cache while
/// all input channels pass. Fewer, and adding up the lanes at the end of each tile would show.
const BLOCK: usize = 1024;
/// Images that are summed at once: the fewer the longer a row of places is, but always a few cache lines.
const IMAGES: Range<usize> = 64..256;
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

/// How the sum is cut. A *unit*, which is summed at once, is some rows of places of some images. All images
/// of the upper rows come before those of the lower: like a convolution, a thread first takes one or the
/// other, so that what it has written last is in its cache.
struct Cut {
    /// Images of a unit, at the most.
    images: usize,
    /// Rows of a unit, at the most.
    rows: usize,
    /// Units of the same rows.
    groups: usize,
    units: usize,
    pieces: usize,
}

impl Cut {
    fn new(geometry: &Geometry, panels: usize) -> Self {
        let (outputs, inputs) = (geometry.group_outputs(), geometry.group_inputs());
        let [height, width] = geometry.out_size;
        let most = BLOCK / width.max(1) / IMAGES.start * IMAGES.start;
        let images = geometry.batch.min(most.clamp(IMAGES.start, IMAGES.end)).max(1);
        let rows = (BLOCK / (images * width).max(1)).clamp(1, height);
        let groups = geometry.batch.div_ceil(images);
        let units = height.div_ceil(rows) * groups;
        let row = geometry.batch * (outputs * width + inputs * geometry.in_size[1]);
        let copies = COPIES / (outputs * inputs * geometry.taps()).max(1);
        let pieces = (height * row / PIECE).max(JOBS / panels.max(1)).min(copies).min(units);
        Self { images, rows, groups, units, pieces: pieces.clamp(1, MAX_PIECES) }
    }

    fn piece(&self, index: usize) -> Range<usize> {
        let size = self.units.div_ceil(self.pieces);
        (index * size).min(self.units)..((index + 1) * size).min(self.units)
    }
}

/// Computes the gradient, group by group, of operands for which [`can_run`] holds.
pub(in super::super) fn run<T: Element>(
    isa: Isa,
    geometry: &Geometry,
    x: &TensorRef<'_, T>,
    dy: &TensorRef<'_, T>,
    dw: &mut TensorMut<'_, T>,
) {
    let [mr, _] = T::run(isa, TileSize);
    let (rows, columns) = (geometry.group_outputs(), geometry.group_inputs() * geometry.taps());
    let (size, panels) = (rows * columns, rows.div_ceil(mr));
    let cut = Cut::new(geometry, panels);
    let packed_images = cut.images.next_multiple_of(MAX_LANES);
    let packed = scratch::product([mr, cut.rows, geometry.out_size[1], packed_images]);
    let places = geometry.out_size[0] * geometry.out_size[1];
    for group in 0..geometry.config.groups {
        scratch::with(scratch::product([cut.pieces, size]), |sums: &mut [T]| {
            sums.fill(T::ZERO);
            let to = SharedMut::new(sums.as_mut_ptr());
            let operations = parallel::operations([size, geometry.batch, places]);
            parallel::for_each(cut.pieces * panels, operations, |job| {
                let (index, first) = (job / panels, job % panels * mr);
                let rows = first..rows.min(first + mr);
                // SAFETY: each piece has `size` sums of its own, and each job its rows of them.
                let to = unsafe { to.get().add(index * size + first * columns) };
                let units = cut.piece(index);
                scratch::with(packed, |packed| {
                    T::run(
                        isa,
                        Piece { geometry, x, dy, group, cut: &cut, units, rows, packed, to },
                    );
                });
            });
            store(geometry, sums, cut.pieces, group, dw, mr);
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
    x: &'a TensorRef<'a, T>,
    dy: &'a TensorRef<'a, T>,
    group: usize,
    cut: &'a Cut,
    units: Range<usize>,
    /// Channels of the output: a panel.
    rows: Range<usize>,
    /// Room for a block of the output's gradient.
    packed: &'a mut [T],
    /// `[taps][channels][rows]`
    to: *mut T,
}

impl<T: Element> Kernel<T> for Piece<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<V: Microkernel<Elem = T>>(mut self) {
        for unit in self.units.clone() {
            let block = self.block(unit);
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

/// A unit.
struct Block {
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
    #[inline(always)]
    fn block(&self, unit: usize) -> Block {
        let Cut { images, rows, groups, .. } = *self.cut;
        let (first, row) = (unit % groups * images, unit / groups * rows);
        Block {
            images: first..self.geometry.batch.min(first + images),
            out_rows: row..self.geometry.out_size[0].min(row + rows),
        }
    }

    /// Packs the output's gradient: `[places][vectors][MR][LANES]`.
    #[inline(always)]
    fn pack<V: Microkernel<Elem = T>>(&mut self, block: &Block) {
        let first = self.group * self.geometry.group_outputs() + self.rows.start;
        let strides = self.dy.strides();
        let images = block.images.len();
        let mut vectors = self.packed.chunks_exact_mut(V::LANES);
        for h in block.out_rows.clone() {
            for w in 0..self.geometry.out_size[1] {
                let place = block.images.start + h * strides[2] + w * strides[3];
                for image in (0..images).step_by(V::LANES) {
                    for (row, to) in vectors.by_ref().take(V::MR).enumerate() {
                        let lanes = V::LANES.min(images - image);
                        let vector = if row < self.rows.len() {
                            let from = place + image + (first + row) * strides[1];
                            // SAFETY: channel, place and images are inside `dy`, batch-last.
                            unsafe { V::load_first(self.dy.as_ptr().add(from), lanes) }
                        } else {
                            V::splat(T::ZERO)
                        };
                        vector.write_to(to);
                    }
                }
            }
        }
    }

    /// Adds the products of a block by some taps of a row of the kernel.
    #[inline(always)]
    fn add<V: Microkernel<Elem = T>>(&self, block: &Block, taps: Range<usize>) {
        let width = self.geometry.kernel[1];
        let out_h = self.hits(0, block.out_rows.clone(), taps.start / width);
        let hits = |tap: usize| self.hits(1, 0..self.geometry.out_size[1], tap % width);
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
        &self,
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
        let strides = self.x.strides();
        // Where the image is seen from the first place. It is inside, since the taps hit it.
        let seen = |tap: usize, channel: usize| {
            let h = self.geometry.input_at(0, out_h.start, tap / kernel[1]) as usize;
            let w = self.geometry.input_at(1, out_w.start, tap % kernel[1]) as usize;
            let channel = self.group * channels + channel;
            let place = channel * strides[1] + h * strides[2] + w * strides[3];
            self.x.as_ptr().wrapping_add(block.images.start + place)
        };
        let a_place = block.place::<V>();
        let a_row = out_size[1] * a_place;
        let first = (out_h.start - block.out_rows.start) * a_row + out_w.start * a_place;
        for column in (0..taps.len() * channels).step_by(V::NV) {
            let columns = V::NV.min(taps.len() * channels - column);
            let mut b = [self.x.as_ptr(); MAX_NV];
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
                c: self.to.wrapping_add((taps.start * channels + column) * rows),
            };
            // SAFETY: channels, places and images are inside `x`, which lies batch-last, and inside
            // the packed block; these sums are this job's.
            unsafe { V::dot(&dot) };
        }
    }

    /// The part of `outs` along `axis` from where the tap hits the image.
    fn hits(&self, axis: usize, outs: Range<usize>, tap: usize) -> Range<usize> {
        let size = self.geometry.in_size[axis] as isize;
        let inside = |out: &usize| (0..size).contains(&self.geometry.input_at(axis, *out, tap));
        let start = outs.clone().find(inside).unwrap_or(outs.end);
        let end = outs.clone().rev().find(inside).map_or(start, |last| last + 1);
        start..end
    }
}
