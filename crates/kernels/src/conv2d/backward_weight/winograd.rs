//! The path by Winograd's minimal filtering, the transpose of the forward pass by F(4x4, 3x3): 36
//! products for what takes 144 by the places.
//!
//! The gradient of the output is cut into tiles of 4x4 places. Each tile is transformed, and so are
//! the 6x6 inputs that it sees; each of the 36 numbers is multiplied and summed over tiles on its own,
//! which is 36 products of matrices `[outputs][tiles][inputs]`, and the sums are transformed back.
//!
//! Lanes of a vector are channels. A band of tiles is transformed at once, straight into panels of
//! both operands. Where images do not lie channels-last, the band is copied so first.

use std::ops::Range;

use super::super::channels_last::Panels;
use super::super::geometry::Geometry;
use super::super::winograd::OUT;
use super::super::winograd::transform::{
    IN, PRODUCTS, TAPS, input_tile, kernel_gradient_tile, output_gradient_tile,
};
use super::transpose::Transpose;
use crate::arch::{Isa, Kernel, MAX_LANES};
use crate::element::Element;
use crate::gemm::{MAX_MR, Microkernel, Pair, Panel, Place, RowsOfA, Tile};
use crate::parallel::{self, MOVED, SharedMut};
use crate::scratch;
use crate::view::{TensorMut, TensorRef};

/// Tiles of a band to aim for: a panel of both operands stays in the first cache.
const TILES: usize = 64;
/// Images of a band that lies batch-last are a multiple of this: a cache line holds as many. Fewer, where
/// a row of theirs has more than `MOST_TILES`: a band takes 36 numbers of each tile and channel.
const IMAGES: usize = 16;
const MOST_TILES: usize = 512;
/// Sums that are kept at once, at the most: 8 MiB, a part of the last cache.
const SUMS: usize = 1 << 21;
/// Output channels that are summed at once, at the least: inputs are transformed for each part.
const ROWS: usize = 64;
/// Output channels of a job.
const JOB_ROWS: usize = 128;
/// Tiles that a job transforms.
const JOB_TILES: usize = 4;
/// Elements between one product and the next, besides the panels: without them, all numbers of a tile
/// would often be a power of two apart and land in the same few sets of the cache.
const GAP: usize = MAX_LANES;

/// Whether this path can run: 3x3 taps side by side, at each place.
pub(in super::super) fn can_run(geometry: &Geometry) -> bool {
    let config = geometry.config;
    let fits = geometry.kernel == [TAPS; 2] && config.stride == [1; 2] && config.dilation == [1; 2];
    fits && geometry.batch > 0
}

/// How the work is cut.
struct Cut {
    /// Tiles along the axes of an image.
    tiles: [usize; 2],
    /// Images of a band.
    images: usize,
    /// Rows of tiles of a band.
    rows: usize,
    /// Output channels that are summed at once.
    outputs: usize,
    /// Input channels, whole vectors.
    columns: usize,
    lanes: usize,
}

impl Cut {
    fn new(geometry: &Geometry, batch_last: bool, columns: usize, [lanes, mr]: [usize; 2]) -> Self {
        let tiles = geometry.out_size.map(|size| size.div_ceil(OUT));
        let least = if batch_last { (MOST_TILES / tiles[1]).clamp(1, IMAGES) } else { 1 };
        let rows = (TILES / (tiles[1] * least)).clamp(1, tiles[0]);
        let images = (TILES / (tiles[1] * rows)).max(1).next_multiple_of(least);
        let outputs = (SUMS / (PRODUCTS * columns)).max(ROWS).next_multiple_of(lanes * mr);
        Self {
            tiles,
            images: images.min(geometry.batch),
            rows,
            outputs: outputs.min(geometry.group_outputs()),
            columns,
            lanes,
        }
    }

    fn band_tiles(&self) -> usize {
        scratch::product([self.images, self.rows, self.tiles[1]])
    }

    /// Elements from one product to the next, of transformed gradients: `[vectors][tiles][LANES]`.
    fn dy_product(&self) -> usize {
        scratch::product([self.band_tiles(), self.outputs.next_multiple_of(self.lanes)]) + GAP
    }

    /// The same of transformed inputs: `[panels][tiles][width]`.
    fn x_product(&self) -> usize {
        scratch::product([self.band_tiles(), self.columns]) + GAP
    }

    /// The same of sums: `[outputs][columns]`.
    fn sums_product(&self) -> usize {
        scratch::product([self.outputs, self.columns]) + GAP
    }
}

/// Computes the gradient, group by group, of a geometry for which [`can_run`] holds.
pub(in super::super) fn run<T: Element>(
    isa: Isa,
    geometry: &Geometry,
    x: &TensorRef<'_, T>,
    dy: &TensorRef<'_, T>,
    dw: &mut TensorMut<'_, T>,
) {
    let (inputs, outputs) = (geometry.group_inputs(), geometry.group_outputs());
    let panels = Panels::new::<T>(isa, inputs);
    let columns = panels.packed_len(1);
    let sizes = T::run(isa, Sizes);
    let cut = Cut::new(geometry, x.strides()[0] == 1 || dy.strides()[0] == 1, columns, sizes);
    let pad = geometry.config.padding.map(|padding| padding as isize);
    for group in 0..geometry.config.groups {
        for first in (0..outputs).step_by(cut.outputs) {
            let rows = cut.outputs.min(outputs - first);
            let x = Operand::new(x, group * inputs, inputs, pad, IN);
            let dy = Operand::new(dy, group * outputs + first, rows, [0; 2], OUT);
            let part = Part { isa, geometry, cut: &cut, panels: &panels, x, dy };
            scratch::with(scratch::product([PRODUCTS, cut.sums_product()]), |sums: &mut [T]| {
                part.sum(sums);
                part.store(sums, dw, group * outputs + first);
            });
        }
    }
}

/// Asks an instruction set for its lanes, and rows of its microkernel.
struct Sizes;

impl<T: Element> Kernel<T> for Sizes {
    type Output = [usize; 2];

    #[inline(always)]
    fn run<V: Microkernel<Elem = T>>(self) -> [usize; 2] {
        [V::LANES, V::MR]
    }
}

/// Some channels of images that are cut into tiles.
#[derive(Clone, Copy)]
struct Operand<T> {
    pointer: *const T,
    size: [usize; 2],
    /// `[batch, channel, height, width]`
    strides: [usize; 4],
    channels: usize,
    /// How far tiles begin before the image.
    pad: [isize; 2],
    /// Rows and columns of a tile.
    tile: usize,
}

// SAFETY: the pointer comes from a view of a slice that may cross threads, and is only read.
unsafe impl<T: Element> Sync for Operand<T> {}

impl<T: Element> Operand<T> {
    fn new(
        view: &TensorRef<'_, T>,
        first: usize,
        channels: usize,
        pad: [isize; 2],
        tile: usize,
    ) -> Self {
        let ([_, _, height, width], strides) = (view.shape(), view.strides());
        let pointer = view.as_ptr().wrapping_add(first * strides[1]);
        Self { pointer, size: [height, width], strides, channels, pad, tile }
    }

    /// The rows of the image in some rows of tiles.
    fn rows(&self, tiles: &Range<usize>) -> Range<usize> {
        let inside = |row: usize| (row as isize - self.pad[0]).clamp(0, self.size[0] as isize);
        let last = (tiles.end - 1) * OUT + self.tile;
        inside(tiles.start * OUT) as usize..inside(last) as usize
    }

    /// Elements of a copy of a band; 0 if none is needed.
    fn copy_len(&self, cut: &Cut) -> usize {
        let rows = ((cut.rows - 1) * OUT + self.tile).min(self.size[0]);
        if self.strides[1] == 1 {
            return 0;
        }
        scratch::product([cut.images, rows, self.size[1], self.channels])
    }

    /// This operand with the band where channels are neighbours: where it lies, or copied.
    fn band(&self, isa: Isa, band: &Band, copy: &mut [T]) -> Self {
        let [image, _, row, column] = self.strides;
        if self.strides[1] == 1 {
            let pointer = self.pointer.wrapping_add(band.images.start * image);
            return Self { pointer, ..*self };
        }
        let (rows, images) = (self.rows(&band.rows), band.images.len());
        let row_len = self.size[1] * self.channels;
        let to = SharedMut::new(copy.as_mut_ptr());
        let from = *self;
        parallel::for_each(rows.len(), rows.len() * images * row_len * MOVED, |index| {
            let from = &from;
            let offset = band.images.start * image + (rows.start + index) * row;
            let copy = Transpose {
                from: from.pointer.wrapping_add(offset),
                from_strides: [image, column, from.strides[1]],
                // SAFETY: the row is inside the copy, and each job's own.
                to: unsafe { to.get().add(index * row_len) },
                to_strides: [rows.len() * row_len, from.channels],
                sizes: [images, from.size[1], from.channels],
                fill: from.channels,
            };
            T::run(isa, copy);
        });
        Self {
            pointer: copy.as_ptr(),
            size: [rows.len(), self.size[1]],
            strides: [rows.len() * row_len, 1, row_len, self.channels],
            pad: [self.pad[0] + rows.start as isize, self.pad[1]],
            ..*self
        }
    }

    /// Where a tile of some channels is, as vectors: the first, and the elements from one to the next on
    /// each axis. It is in the image or in `staged`, with zeros for what is outside.
    ///
    /// # Safety
    ///
    /// Channels must be neighbours, the image and the channel there.
    #[inline(always)]
    unsafe fn read<V: Microkernel<Elem = T>>(
        &self,
        image: usize,
        tile: [usize; 2],
        channel: usize,
        staged: &mut [T; PRODUCTS * MAX_LANES],
    ) -> (*const T, [usize; 2]) {
        let [batch, _, height, width] = self.strides;
        let at = [0, 1].map(|axis| (tile[axis] * OUT) as isize - self.pad[axis]);
        let from = self.pointer.wrapping_add(image * batch + channel);
        let lanes = V::LANES.min(self.channels - channel);
        let inside =
            (0..2).all(|axis| at[axis] >= 0 && at[axis] as usize + self.tile <= self.size[axis]);
        if inside && lanes == V::LANES {
            let [h, w] = at.map(|at| at as usize);
            return (from.wrapping_add(h * height + w * width), [height, width]);
        }
        for h in 0..self.tile {
            for w in 0..self.tile {
                let (y, x) = (at[0] + h as isize, at[1] + w as isize);
                let hits =
                    y >= 0 && (y as usize) < self.size[0] && x >= 0 && (x as usize) < self.size[1];
                let vector = if hits {
                    let offset = y as usize * height + x as usize * width;
                    // SAFETY: inside the image, and so are the channels.
                    unsafe { V::load_first(from.wrapping_add(offset), lanes) }
                } else {
                    V::splat(T::ZERO)
                };
                vector.write_to(&mut staged[(h * self.tile + w) * V::LANES..]);
            }
        }
        (staged.as_ptr(), [self.tile * V::LANES, V::LANES])
    }
}

/// What is transformed and summed at once.
struct Band {
    images: Range<usize>,
    /// Of tiles.
    rows: Range<usize>,
}

/// The sums of some output channels of a group.
struct Part<'a, T> {
    isa: Isa,
    geometry: &'a Geometry,
    cut: &'a Cut,
    panels: &'a Panels,
    x: Operand<T>,
    dy: Operand<T>,
}

impl<T: Element> Part<'_, T> {
    /// Sums all products, `[products][outputs][columns]`.
    fn sum(&self, sums: &mut [T]) {
        let Self { isa, geometry, cut, .. } = *self;
        let copies = [self.x.copy_len(cut), self.dy.copy_len(cut)];
        let transformed = [cut.x_product(), cut.dy_product()]
            .map(|product| scratch::product([PRODUCTS, product]));
        scratch::with(copies[0] + copies[1], |copy: &mut [T]| {
            let (copy_x, copy_dy) = copy.split_at_mut(copies[0]);
            scratch::with(transformed[0] + transformed[1], |both: &mut [T]| {
                let (to_x, to_dy) = both.split_at_mut(transformed[0]);
                let mut beta = T::ZERO;
                for image in (0..geometry.batch).step_by(cut.images) {
                    let images = image..geometry.batch.min(image + cut.images);
                    for row in (0..cut.tiles[0]).step_by(cut.rows) {
                        let rows = row..cut.tiles[0].min(row + cut.rows);
                        let band = Band { images: images.clone(), rows };
                        let x = self.x.band(isa, &band, copy_x);
                        let dy = self.dy.band(isa, &band, copy_dy);
                        self.transform(&band, [&x, &dy], [to_x, to_dy]);
                        self.multiply(&band, to_x, to_dy, sums, beta);
                        beta = T::ONE;
                    }
                }
            });
        });
    }

    fn transform(&self, band: &Band, [x, dy]: [&Operand<T>; 2], to: [&mut [T]; 2]) {
        let tiles = band.images.len() * band.rows.len() * self.cut.tiles[1];
        let [to_x, to_dy] = to.map(|to| SharedMut::new(to.as_mut_ptr()));
        let elements = PRODUCTS * tiles * (x.channels + dy.channels);
        parallel::for_each(tiles.div_ceil(JOB_TILES), elements * MOVED / 2, |job| {
            let first = job * JOB_TILES;
            let transform = TransformTiles {
                cut: self.cut,
                panels: self.panels,
                band,
                tiles: first..tiles.min(first + JOB_TILES),
                x,
                dy,
                to_x: to_x.get(),
                to_dy: to_dy.get(),
            };
            T::run(self.isa, transform);
        });
    }

    /// Adds the products of a band to `beta` times the sums.
    fn multiply(&self, band: &Band, x: &[T], dy: &[T], sums: &mut [T], beta: T) {
        let Self { cut, panels, .. } = self;
        let tiles = band.images.len() * band.rows.len() * cut.tiles[1];
        let outputs = self.dy.channels;
        let row_jobs = outputs.div_ceil(JOB_ROWS);
        let operations = parallel::operations([PRODUCTS, outputs, cut.columns, tiles]);
        let to = SharedMut::new(sums.as_mut_ptr());
        parallel::for_each(PRODUCTS * row_jobs, operations, |job| {
            let (product, row) = (job / row_jobs, job % row_jobs * JOB_ROWS);
            let multiply = Multiply {
                cut,
                panels,
                tiles,
                rows: row..outputs.min(row + JOB_ROWS),
                x: &x[product * cut.x_product()..][..cut.x_product()],
                dy: &dy[product * cut.dy_product()..][..cut.dy_product()],
                // SAFETY: each product has its sums.
                to: unsafe { to.get().add(product * cut.sums_product()) },
                beta,
            };
            T::run(self.isa, multiply);
        });
    }

    /// Transforms the sums back, into the gradient of the weight from `output` on.
    fn store(&self, sums: &[T], dw: &mut TensorMut<'_, T>, output: usize) {
        let Self { isa, cut, .. } = *self;
        let (strides, inputs) = (dw.strides(), self.x.channels);
        let to = SharedMut::new(dw.as_ptr().wrapping_add(output * strides[0]));
        let outputs = self.dy.channels;
        parallel::for_each(outputs, PRODUCTS * outputs * inputs * MOVED, |row| {
            let finish = Finish {
                sums: &sums[row * cut.columns..],
                product: cut.sums_product(),
                inputs,
                to: to.get().wrapping_add(row * strides[0]),
                strides: [strides[1], strides[2], strides[3]],
            };
            T::run(isa, finish);
        });
    }
}

/// Transforms some tiles of both operands.
struct TransformTiles<'a, T> {
    cut: &'a Cut,
    panels: &'a Panels,
    band: &'a Band,
    tiles: Range<usize>,
    x: &'a Operand<T>,
    dy: &'a Operand<T>,
    to_x: *mut T,
    to_dy: *mut T,
}

impl<T: Element> Kernel<T> for TransformTiles<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<V: Microkernel<Elem = T>>(self) {
        let Self { cut, panels, band, x, dy, .. } = self;
        let (width, rows, at_once) = (cut.tiles[1], band.rows.len(), cut.band_tiles());
        let mut staged = [T::ZERO; PRODUCTS * MAX_LANES];
        for tile in self.tiles {
            let (image, row) = (tile / width / rows, tile / width % rows);
            let at = [band.rows.start + row, tile % width];
            for panel in 0..panels.count() {
                let panel = panels.get(panel);
                for lane in (0..panel.columns).step_by(V::LANES) {
                    let to = panel.first * at_once + tile * panel.width + lane;
                    let to = self.to_x.wrapping_add(to);
                    // SAFETY: image and channels are there.
                    let (from, [h, w]) =
                        unsafe { x.read::<V>(image, at, panel.first + lane, &mut staged) };
                    input_tile(
                        // SAFETY: `read` says where the vectors are.
                        |[i, j]| unsafe { V::load(from.wrapping_add(i * h + j * w)) },
                        // SAFETY: each product has room for the vector.
                        |[i, j], x: V| unsafe {
                            x.store(to.wrapping_add((i * IN + j) * cut.x_product()));
                        },
                    );
                }
            }
            for channel in (0..dy.channels).step_by(V::LANES) {
                let to = self.to_dy.wrapping_add(channel * at_once + tile * V::LANES);
                // SAFETY: image and channels are there.
                let (from, [h, w]) = unsafe { dy.read::<V>(image, at, channel, &mut staged) };
                output_gradient_tile(
                    // SAFETY: `read` says where the vectors are.
                    |[i, j]| unsafe { V::load(from.wrapping_add(i * h + j * w)) },
                    // SAFETY: each product has room for the vector.
                    |[i, j], y: V| unsafe {
                        y.store(to.wrapping_add((i * IN + j) * cut.dy_product()));
                    },
                );
            }
        }
    }
}

/// Multiplies one of the products, for some output channels.
struct Multiply<'a, T> {
    cut: &'a Cut,
    panels: &'a Panels,
    tiles: usize,
    rows: Range<usize>,
    x: &'a [T],
    dy: &'a [T],
    to: *mut T,
    beta: T,
}

impl<T: Element> Kernel<T> for Multiply<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<V: Microkernel<Elem = T>>(self) {
        let Self { cut, rows, .. } = self;
        let at_once = cut.band_tiles();
        for panel in 0..self.panels.count() {
            let panel = self.panels.get(panel);
            for row in rows.clone().step_by(V::MR) {
                let some = V::MR.min(rows.end - row);
                let mut offsets = [0; MAX_MR];
                for (i, offset) in offsets.iter_mut().enumerate() {
                    let row = (row + i).min(rows.end - 1);
                    *offset = row / V::LANES * V::LANES * at_once + row % V::LANES;
                }
                let tile = Tile {
                    a: self.dy.as_ptr(),
                    a_layout: RowsOfA { offsets: &offsets, step: V::LANES },
                    b: self.x[panel.first * at_once..][..self.tiles * panel.width].as_ptr(),
                    pairs: &[Pair { a: 0, b: 0 }],
                    depth: self.tiles,
                    b_stride: panel.width,
                    rows: some,
                    columns: panel.width,
                };
                let sums = Panel {
                    c: self.to.wrapping_add(row * cut.columns),
                    row_stride: cut.columns,
                    place: Place::Contiguous(panel.first),
                    beta: self.beta,
                    bias: None,
                };
                // SAFETY: both operands hold as many tiles, and these sums are this job's alone.
                unsafe { V::tile(&tile, &sums) };
            }
        }
    }
}

/// Transforms the sums of one output channel back.
struct Finish<'a, T> {
    sums: &'a [T],
    /// Elements from one product to the next.
    product: usize,
    inputs: usize,
    to: *mut T,
    /// `[channel, height, width]`
    strides: [usize; 3],
}

impl<T: Element> Kernel<T> for Finish<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<V: Microkernel<Elem = T>>(self) {
        let mut taps = [[[T::ZERO; MAX_LANES]; TAPS]; TAPS];
        let [channel_stride, height, width] = self.strides;
        for first in (0..self.inputs).step_by(V::LANES) {
            kernel_gradient_tile(
                |[i, j]| V::from_slice(&self.sums[(i * IN + j) * self.product + first..]),
                |[i, j], x: V| x.write_to(&mut taps[i][j]),
            );
            for lane in 0..V::LANES.min(self.inputs - first) {
                let to = self.to.wrapping_add((first + lane) * channel_stride);
                for (i, row) in taps.iter().enumerate() {
                    for (j, tap) in row.iter().enumerate() {
                        // SAFETY: inside the weight's shape, and in this job's row of it.
                        unsafe { *to.add(i * height + j * width) = tap[lane] };
                    }
                }
            }
        }
    }
}
