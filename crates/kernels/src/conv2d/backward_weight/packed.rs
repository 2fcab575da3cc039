//! The general path: the sum over places as a batch-reduce GEMM on packed images.
//!
//! Image and gradient are packed a band at a time (some rows of some images), with channels
//! innermost, so that what a place sees through a row of the kernel, `(tap, channel)`, lies in one
//! piece: places side by side are steps of the sum whose rows of B overlap. So each element is packed
//! once for all taps. Zeros stand for the padding left and right; rows in the padding are skipped.
//!
//! Bands are summed one after the other, each entry of the gradient by one job: no copies of it have
//! to be added up, and the bits do not depend on who summed what.

use std::ops::Range;

use super::super::geometry::Geometry;
use super::transpose::Transpose;
use crate::arch::{Isa, Kernel};
use crate::element::Element;
use crate::gemm::blocked::{MAX_NR, TileSize};
use crate::gemm::{Microkernel, PackedA, Pair, Panel, Place, Tile};
use crate::parallel::{self, SharedMut};
use crate::scratch;
use crate::view::{TensorMut, TensorRef};

/// Elements of both operands in a band: 2 MiB, so that most of one job's share is in the second
/// cache.
const BAND: usize = 1 << 19;
/// Images of a band that lies batch-last are a multiple of this: a cache line holds as many.
const IMAGES: usize = 16;
/// Panels of rows in a job.
const JOB_PANELS: usize = 8;
/// Pairs that a tile sums at once.
const PAIRS: usize = 64;

/// Computes the gradient, group by group.
pub(in super::super) fn run<T: Element>(
    isa: Isa,
    geometry: &Geometry,
    x: &TensorRef<'_, T>,
    dy: &TensorRef<'_, T>,
    dw: &mut TensorMut<'_, T>,
) {
    let [mr, nr] = T::run(isa, TileSize);
    let cut = Cut::new(geometry, x.strides()[0] == 1, mr);
    let size = geometry.group_outputs() * geometry.group_inputs() * geometry.taps();
    for group in 0..geometry.config.groups {
        scratch::with(size, |sums: &mut [T]| {
            sums.fill(T::ZERO);
            // Whole vectors are read also where a row of B has fewer columns.
            scratch::with(cut.x_len() + MAX_NR, |packed_x: &mut [T]| {
                packed_x.fill(T::ZERO);
                scratch::with(cut.dy_len(), |packed_dy: &mut [T]| {
                    let work = Work { isa, geometry, cut: &cut, x, dy, group };
                    for image in (0..geometry.batch).step_by(cut.images) {
                        let images = image..geometry.batch.min(image + cut.images);
                        for row in (0..geometry.out_size[0]).step_by(cut.rows) {
                            let out_rows = row..geometry.out_size[0].min(row + cut.rows);
                            let band = Band { images: images.clone(), out_rows };
                            work.pack(&band, packed_x, packed_dy);
                            work.add(&band, packed_x, packed_dy, sums, nr);
                        }
                    }
                });
            });
            let (taps, channels) = (geometry.taps(), geometry.group_inputs());
            for (index, &sum) in sums.iter().enumerate() {
                let (row, tap) = (index / channels / taps, index / channels % taps);
                let place =
                    super::offset(geometry, dw.strides(), group, [row, tap, index % channels]);
                // SAFETY: inside the weight's shape.
                unsafe { *dw.as_ptr().add(place) = sum };
            }
        });
    }
}

/// How the sum is cut into bands, and how a band is packed.
struct Cut {
    images: usize,
    /// Rows of places.
    rows: usize,
    /// Rows of the image that those see.
    in_rows: usize,
    /// Columns of the packed image, padding included.
    in_width: usize,
    channels: usize,
    out_width: usize,
    /// Output channels, whole panels.
    outputs: usize,
}

impl Cut {
    fn new(geometry: &Geometry, batch_last: bool, mr: usize) -> Self {
        let Geometry { batch, out_size, kernel, config, .. } = *geometry;
        let span = |axis: usize, places: usize| {
            (places - 1) * config.stride[axis] + (kernel[axis] - 1) * config.dilation[axis] + 1
        };
        let outputs = geometry.group_outputs().next_multiple_of(mr);
        let (channels, out_width) = (geometry.group_inputs(), out_size[1]);
        let in_width = span(1, out_width.max(1));
        let in_rows = |rows: usize| span(0, rows).min(geometry.in_size[0]);
        let elements =
            |rows: usize| in_rows(rows) * in_width * channels + rows * out_width * outputs;
        let images = BAND / elements(out_size[0].max(1)).max(1);
        let least = if batch_last { IMAGES } else { 1 };
        let images = (images / least).max(1) * least;
        let images = images.min(batch.max(1));
        let fits = |rows: &usize| images * elements(*rows) <= BAND;
        let rows = (1..=out_size[0]).take_while(fits).last().unwrap_or(1);
        Self { images, rows, in_rows: in_rows(rows), in_width, channels, out_width, outputs }
    }

    /// Elements of the packed image: `[in_rows][images][in_width][channels]`.
    fn x_len(&self) -> usize {
        scratch::product([self.in_rows, self.images, self.in_width, self.channels])
    }

    /// Elements of the packed gradient: `[panels][rows][images][out_width][MR]`.
    fn dy_len(&self) -> usize {
        scratch::product([self.rows, self.images, self.out_width, self.outputs])
    }
}

/// What is packed and summed at once.
struct Band {
    images: Range<usize>,
    out_rows: Range<usize>,
}

/// One group of channels.
struct Work<'a, T> {
    isa: Isa,
    geometry: &'a Geometry,
    cut: &'a Cut,
    x: &'a TensorRef<'a, T>,
    dy: &'a TensorRef<'a, T>,
    group: usize,
}

impl<T: Element> Work<'_, T> {
    /// The rows of the image that a band sees.
    fn in_rows(&self, band: &Band) -> Range<usize> {
        let height = self.geometry.in_size[0] as isize;
        let first = self.geometry.input_at(0, band.out_rows.start, 0);
        let last = self.geometry.input_at(0, band.out_rows.end - 1, self.geometry.kernel[0] - 1);
        first.clamp(0, height) as usize..(last + 1).clamp(0, height) as usize
    }

    fn pack(&self, band: &Band, packed_x: &mut [T], packed_dy: &mut [T]) {
        let Self { isa, geometry, cut, group, .. } = *self;
        let images = band.images.len();
        let (x, dy) = (self.x.strides(), self.dy.strides());
        let in_rows = self.in_rows(band);
        let row_len = cut.in_width * cut.channels;
        let padding = geometry.config.padding[1].min(cut.in_width);
        // Columns of the image that the packed rows have room for.
        let width = geometry.in_size[1].min(cut.in_width - padding);
        let to = SharedMut::new(packed_x.as_mut_ptr());
        let len = in_rows.len() * images * row_len;
        parallel::for_each(in_rows.len(), len * parallel::MOVED, |row| {
            let from = band.images.start * x[0]
                + group * cut.channels * x[1]
                + (in_rows.start + row) * x[2];
            let copy = Transpose {
                from: self.x.as_ptr().wrapping_add(from),
                from_strides: [x[0], x[3], x[1]],
                // SAFETY: the row is inside the packed image, which no other job writes there.
                to: unsafe { to.get().add(row * cut.images * row_len + padding * cut.channels) },
                to_strides: [row_len, cut.channels],
                sizes: [images, width, cut.channels],
                fill: cut.channels,
            };
            T::run(isa, copy);
        });
        let [mr, _] = T::run(isa, TileSize);
        let row_len = cut.out_width * mr;
        let panel_len = cut.rows * cut.images * row_len;
        let panels = cut.outputs / mr;
        let to = SharedMut::new(packed_dy.as_mut_ptr());
        let len = band.out_rows.len() * images * cut.out_width * cut.outputs;
        parallel::for_each(panels * band.out_rows.len(), len * parallel::MOVED, |job| {
            let (panel, row) = (job % panels, job / panels);
            let outputs = geometry.group_outputs();
            let channel = group * outputs + panel * mr;
            let from =
                band.images.start * dy[0] + channel * dy[1] + (band.out_rows.start + row) * dy[2];
            let copy = Transpose {
                from: self.dy.as_ptr().wrapping_add(from),
                from_strides: [dy[0], dy[3], dy[1]],
                // SAFETY: the row is inside the packed panel, which no other job writes there.
                to: unsafe { to.get().add(panel * panel_len + row * cut.images * row_len) },
                to_strides: [row_len, mr],
                sizes: [images, cut.out_width, mr.min(outputs - panel * mr)],
                fill: mr,
            };
            T::run(isa, copy);
        });
    }

    /// Adds the products of a packed band to `sums`, `[outputs][taps][channels]`.
    fn add(&self, band: &Band, x: &[T], dy: &[T], sums: &mut [T], nr: usize) {
        let Self { isa, geometry, cut, .. } = *self;
        let [kernel_height, kernel_width] = geometry.kernel;
        // Without dilation, the taps of a row of the kernel see neighbouring channels.
        let [pieces, columns] = if geometry.config.dilation[1] == 1 {
            [1, kernel_width * cut.channels]
        } else {
            [kernel_width, cut.channels]
        };
        let column_panels = columns.div_ceil(nr);
        let [mr, _] = T::run(isa, TileSize);
        let row_jobs = cut.outputs.div_ceil(JOB_PANELS * mr);
        let to = SharedMut::new(sums.as_mut_ptr());
        let places = band.images.len() * band.out_rows.len() * cut.out_width;
        let in_rows = self.in_rows(band);
        if in_rows.is_empty() {
            // The whole band is in the padding, and there may be no packed image at all.
            return;
        }
        let jobs = kernel_height * pieces * column_panels * row_jobs;
        parallel::for_each(jobs, parallel::operations([sums.len(), places]), |job| {
            let (row, rest) = (job % row_jobs * JOB_PANELS * mr, job / row_jobs);
            let (column, rest) = (rest % column_panels * nr, rest / column_panels);
            let (piece, kernel_row) = (rest % pieces, rest / pieces);
            let tiles = Tiles {
                geometry,
                cut,
                band,
                in_rows: &in_rows,
                kernel_row,
                x: &x[piece * geometry.config.dilation[1] * cut.channels + column..],
                dy,
                rows: row..geometry.group_outputs().min(row + JOB_PANELS * mr),
                columns: nr.min(columns - column),
                first: (kernel_row * kernel_width + piece) * cut.channels + column,
                to: to.get(),
            };
            T::run(isa, tiles);
        });
    }
}

/// The sums of some output channels by some columns of a row of the kernel.
struct Tiles<'a, T> {
    geometry: &'a Geometry,
    cut: &'a Cut,
    band: &'a Band,
    in_rows: &'a Range<usize>,
    kernel_row: usize,
    /// The packed image from the first column on.
    x: &'a [T],
    dy: &'a [T],
    rows: Range<usize>,
    columns: usize,
    /// Index of the first column in a row of the sums.
    first: usize,
    to: *mut T,
}

impl<T: Element> Kernel<T> for Tiles<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<V: Microkernel<Elem = T>>(self) {
        let Self { geometry, cut, band, .. } = self;
        let row_stride = geometry.taps() * cut.channels;
        let (a_row, b_row) = (cut.out_width * V::MR, cut.in_width * cut.channels);
        let images = band.images.len();
        let mut pairs = [Pair::default(); PAIRS];
        let total = band.out_rows.len() * images;
        let mut next = 0;
        while next < total {
            let mut len = 0;
            while next < total && len < PAIRS {
                let (out_row, image) = (next / images, next % images);
                let seen = geometry.input_at(0, band.out_rows.start + out_row, self.kernel_row);
                if seen < self.in_rows.start as isize || seen >= self.in_rows.end as isize {
                    // The whole row is in the padding.
                    next += images;
                    continue;
                }
                let in_row = seen as usize - self.in_rows.start;
                pairs[len] = Pair {
                    a: (out_row * cut.images + image) * a_row,
                    b: (in_row * cut.images + image) * b_row,
                };
                len += 1;
                next += 1;
            }
            for row in self.rows.clone().step_by(V::MR) {
                let panel = row / V::MR * cut.rows * cut.images * a_row;
                let tile = Tile {
                    a: self.dy[panel..].as_ptr(),
                    a_layout: PackedA,
                    b: self.x.as_ptr(),
                    pairs: &pairs[..len],
                    depth: cut.out_width,
                    b_stride: geometry.config.stride[1].saturating_mul(cut.channels),
                    rows: V::MR.min(self.rows.end - row),
                    columns: self.columns,
                };
                let panel = Panel {
                    c: self.to.wrapping_add(row * row_stride),
                    row_stride,
                    place: Place::Contiguous(self.first),
                    beta: T::ONE,
                    bias: None,
                };
                // SAFETY: the pairs are rows of both packed operands, and what a place sees begins at
                // a multiple of the stride that is inside its row, with `MAX_NR` elements behind the
                // last; rows and columns of the sums are this job's alone.
                unsafe { V::tile(&tile, &panel) };
            }
        }
    }
}
