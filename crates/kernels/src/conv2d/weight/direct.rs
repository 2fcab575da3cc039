//! The path for images that lie batch-last: nothing is packed.
//!
//! An entry of the gradient is an inner product over the batch, which is contiguous, and over the
//! places where its tap hits the image. The microkernel holds a tile of output by input channels.

use std::ops::Range;

use super::super::geometry::Geometry;
use crate::arch::{Isa, Kernel};
use crate::element::Element;
use crate::gemm::{Dot, Lanes, Microkernel};
use crate::parallel::{self, SharedMut};
use crate::scratch;
use crate::view::{TensorMut, TensorRef};

/// Images that are summed at once.
const IMAGES: usize = 64;
/// Images times places that are summed at once: the rows of a tile stay in the first cache while
/// all input channels pass. Fewer, and adding up the lanes at the end of each tile would show.
const BLOCK: usize = 1024;
/// Elements of both operands that make a piece, at the least: they stay in the second cache while
/// all taps pass.
const PIECE: usize = 1 << 17;
/// Elements of all copies of the gradient, at the most.
const COPIES: usize = 1 << 21;
/// Pieces from which on there is one for every thread, so that a job can take all taps of a piece.
const MANY: usize = 16;

/// Whether this path can run.
pub(in super::super) fn can_run<T: Copy>(x: &TensorRef<'_, T>, dy: &TensorRef<'_, T>) -> bool {
    x.strides()[0] == 1 && dy.strides()[0] == 1
}

/// Computes the gradient, group by group, of operands for which [`can_run`] holds.
pub(in super::super) fn run<T: Element>(
    isa: Isa,
    geometry: &Geometry,
    x: &TensorRef<'_, T>,
    dy: &TensorRef<'_, T>,
    dw: &mut TensorMut<'_, T>,
) {
    let (rows, channels, taps) = (geometry.group_outputs(), geometry.group_inputs(), geometry.taps());
    let size = rows * channels * taps;
    // A row of places of some images is the unit that pieces and blocks are made of.
    let image_blocks = geometry.batch.div_ceil(IMAGES);
    let units = image_blocks * geometry.out_size[0];
    let images = geometry.batch.min(IMAGES);
    let unit = images * (rows * geometry.out_size[1] + channels * geometry.in_size[1]);
    let block = (BLOCK / (images * geometry.out_size[1]).max(1)).clamp(1, geometry.out_size[0]);
    let pieces = (COPIES / size.max(1)).min(units * unit / PIECE).clamp(1, 4 * MANY);
    let piece = units.div_ceil(pieces);
    let tap_jobs = if pieces < MANY { taps } else { 1 };
    let operations = size * geometry.batch * geometry.out_size[0] * geometry.out_size[1];
    for group in 0..geometry.config.groups {
        scratch::with(pieces * size, |sums: &mut [T]| {
            sums.fill(T::ZERO);
            let to = SharedMut::new(sums.as_mut_ptr());
            parallel::for_each(pieces * tap_jobs, operations, |job| {
                let (index, tap) = (job / tap_jobs, job % tap_jobs);
                T::run(isa, Piece {
                    geometry,
                    x,
                    dy,
                    group,
                    units: (index * piece).min(units)..((index + 1) * piece).min(units),
                    block,
                    taps: if tap_jobs == 1 { 0..taps } else { tap..tap + 1 },
                    // SAFETY: each piece has `size` sums of its own, and each job its taps of them.
                    to: unsafe { to.get().add(index * size) },
                });
            });
            super::store(geometry, sums, group, dw);
        });
    }
}

/// A piece of the sum, for some taps.
struct Piece<'a, T> {
    geometry: &'a Geometry,
    x: &'a TensorRef<'a, T>,
    dy: &'a TensorRef<'a, T>,
    group: usize,
    units: Range<usize>,
    /// Units that are summed at once.
    block: usize,
    taps: Range<usize>,
    /// `[rows][taps][channels]`
    to: *mut T,
}

impl<T: Element> Kernel<T> for Piece<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<V: Microkernel<Elem = T>>(self) {
        let height = self.geometry.out_size[0];
        let mut unit = self.units.start;
        while unit < self.units.end {
            let (first, row) = (unit / height * IMAGES, unit % height);
            let images = first..self.geometry.batch.min(first + IMAGES);
            let end = self.units.end.min(unit + self.block).min(unit - row + height);
            for tap in self.taps.clone() {
                self.add::<V>(images.clone(), row..row + (end - unit), tap);
            }
            unit = end;
        }
    }
}

impl<T: Element> Piece<'_, T> {
    /// Adds the products of some images and rows of places by one tap.
    #[inline(always)]
    fn add<V: Microkernel<Elem = T>>(&self, images: Range<usize>, out_rows: Range<usize>, tap: usize) {
        let Geometry { kernel, out_size, config, .. } = *self.geometry;
        let (rows, channels) = (self.geometry.group_outputs(), self.geometry.group_inputs());
        let tap_at = [tap / kernel[1], tap % kernel[1]];
        let (out_h, out_w) = (
            self.hits(0, out_rows, tap_at[0]),
            self.hits(1, 0..out_size[1], tap_at[1]),
        );
        if out_h.is_empty() || out_w.is_empty() {
            return;
        }
        // Both are inside the image, since the tap hits it.
        let in_h = self.geometry.input_at(0, out_h.start, tap_at[0]) as usize;
        let in_w = self.geometry.input_at(1, out_w.start, tap_at[1]) as usize;
        let (xs, ys) = (self.x.strides(), self.dy.strides());
        let columns = self.geometry.taps() * channels;
        for row in (0..rows).step_by(V::MR) {
            let from = images.start + (self.group * rows + row) * ys[1];
            let a = Lanes {
                pointer: self
                    .dy
                    .as_ptr()
                    .wrapping_add(from + out_h.start * ys[2] + out_w.start * ys[3]),
                row_stride: ys[1],
                place_strides: [ys[2], ys[3]],
            };
            for channel in (0..channels).step_by(V::NV) {
                let from = images.start + (self.group * channels + channel) * xs[1];
                let b = Lanes {
                    pointer: self.x.as_ptr().wrapping_add(from + in_h * xs[2] + in_w * xs[3]),
                    row_stride: xs[1],
                    // Along an axis of one place the stride does not matter and may be huge.
                    place_strides: [
                        xs[2].saturating_mul(config.stride[0]),
                        xs[3].saturating_mul(config.stride[1]),
                    ],
                };
                let dot = Dot {
                    a,
                    b,
                    places: [out_h.len(), out_w.len()],
                    lanes: images.len(),
                    rows: V::MR.min(rows - row),
                    columns: V::NV.min(channels - channel),
                    c: self.to.wrapping_add(row * columns + tap * channels + channel),
                    c_row_stride: columns,
                };
                // SAFETY: channels, places and images are inside the views, which lie batch-last;
                // the sums of this piece and tap are this job's.
                unsafe { V::dot(&dot) };
            }
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
