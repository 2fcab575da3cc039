//! The path for images that lie channels-last: the image is read where it lies.
//!
//! The microkernel holds a tile of what a place sees, `(tap, input channel)`, by vectors of output
//! channels, and places are the steps of its sum. Its A is the image itself, and its B the output's
//! gradient: where few sets of the first cache would hold a block of it, or channels do not fill whole
//! vectors, a few rows of places are packed at a time, and serve all taps and input channels. Where windows
//! hang over the border, or reach beyond, a band of the image is copied first, with zeros around.

use std::ops::Range;

use super::super::channels_last::{PanelColumns, Panels, copy_band};
use super::super::geometry::Geometry;
use super::super::taps::Source;
use crate::arch::{CACHE_LINE, Isa, Kernel};
use crate::element::Element;
use crate::gemm::{MAX_MR, Microkernel, Pair, Panel, Place, RowsAhead, RowsOfA, Tile};
use crate::parallel::{self, SharedMut};
use crate::scratch;
use crate::view::{TensorMut, TensorRef};

/// Places that are summed at once: so much of a panel of the gradient stays in the first cache.
const BLOCK: usize = 256;
/// Rows of places that are summed at once, at the most.
const PAIRS: usize = 64;
/// Elements of the image in a band: 256 KiB, a part of the second cache.
const BAND: usize = 1 << 16;
/// Jobs to aim for, so that no thread waits long for the last one.
const JOBS: usize = 16;
/// Places of a piece of the sum, at the least: adding up the pieces should not show.
const PIECE: usize = 1 << 10;
/// Sums of a job, at the most, where it has more than one panel of the gradient: 128 KiB, since they
/// come and go with every block of places.
const SUMS: usize = 1 << 15;
/// The same where the image is copied, which each job does for itself: 64 by 128 channels, 3x3, on every second
/// place of 32x32 run at 271 GFLOP/s, and at 241 with a fourth of it (two cores with a peak of 213 each). Where it is not
/// copied, as much only makes more pieces to add up: 256 by 512 channels, 1x1, on four threads 214, and 271 with a
/// fourth.
const SUMS_OF_COPIES: usize = 1 << 17;
/// Rows of tiles of a job, at the least: each job reads the gradient, or packs it, for itself.
const JOB_ROWS: usize = 64;
/// Elements between places up to which the output's gradient is read where it lies: all sets of the first cache
/// take part in it, and packing takes a tenth of the time where there are a hundred rows of tiles, and a fourth where
/// there are thirty (on two cores, ResNet-50's first layer 440 to 470 GFLOP/s, 3 to 64 channels by 3x3 330 to 411).
const IN_PLACE: usize = 64;
/// Elements that are fetched ahead, at the most: 2 MiB, more than the second cache.
const AHEAD: usize = 1 << 19;
/// Input channels that are stored at once: a cache line holds as many.
const CHANNELS: usize = 16;

/// Whether this path can run.
pub(in super::super) fn can_run<T: Copy>(x: &TensorRef<'_, T>, dy: &TensorRef<'_, T>) -> bool {
    x.strides()[1] == 1 && dy.strides()[1] == 1
}

/// Places of the image from the first to the last that a window sees along an axis.
fn window(geometry: &Geometry, axis: usize) -> usize {
    (geometry.kernel[axis] - 1) * geometry.config.dilation[axis] + 1
}

/// How the work is cut.
struct Cut {
    /// Whether the image is copied.
    copies: bool,
    /// Whether the output's gradient is packed, or read where it lies.
    packs: bool,
    /// Images of a band.
    images: usize,
    /// Rows of places of a band.
    rows: usize,
    row_bands: usize,
    bands: usize,
    pieces: usize,
    /// Panels of a job: as many as go, since the gradient is best read in one go.
    job_panels: usize,
    panel_jobs: usize,
    /// Rows of tiles of a job.
    job_rows: usize,
    row_jobs: usize,
}

impl Cut {
    fn new<T: Copy>(geometry: &Geometry, panels: &Panels, dy: &TensorRef<'_, T>) -> Self {
        let count = panels.count();
        let Geometry { batch, in_size, out_size, config, .. } = *geometry;
        let copies = (0..2).any(|axis| {
            let seen = (out_size[axis] - 1) * config.stride[axis] + window(geometry, axis);
            config.padding[axis] > 0 || seen > in_size[axis]
        });
        let row = config.stride[0] * config.stride[1] * out_size[1] * geometry.group_inputs();
        let band_rows = (BAND / row.max(1)).max(1);
        let (images, rows) = if band_rows < out_size[0] {
            (1, parallel::even(out_size[0], band_rows))
        } else {
            ((band_rows / out_size[0]).min(batch / JOBS).max(1), out_size[0])
        };
        let row_bands = out_size[0].div_ceil(rows);
        let bands = row_bands * batch.div_ceil(images);
        let places = batch * out_size[0] * out_size[1];
        let tile_rows = geometry.taps() * geometry.group_inputs();
        let panel_sums = tile_rows * geometry.group_outputs() / count;
        let most_sums = if copies { SUMS_OF_COPIES } else { SUMS };
        let together = (most_sums / panel_sums.max(1)).clamp(1, count);
        let most = (places / PIECE).min(bands).max(1);
        let pieces = JOBS.div_ceil(count.div_ceil(together)).min(most);
        let job_panels = together.min((count * pieces / JOBS).max(1));
        let panel_jobs = count.div_ceil(job_panels);
        let row_jobs = JOBS.div_ceil(panel_jobs * pieces).min(tile_rows.div_ceil(JOB_ROWS));
        let job_rows = tile_rows.div_ceil(row_jobs).next_multiple_of(MAX_MR);
        let row_jobs = tile_rows.div_ceil(job_rows);
        // In place, whole vectors are read.
        let whole = panels.packed_len(1) == geometry.group_outputs();
        let packs = !whole || dy.strides()[3] > IN_PLACE;
        Self {
            copies,
            packs,
            images,
            rows,
            row_bands,
            bands,
            pieces,
            job_panels,
            panel_jobs,
            job_rows,
            row_jobs,
        }
    }

    /// The images and the rows of places of a band.
    fn band(&self, geometry: &Geometry, index: usize) -> [Range<usize>; 2] {
        let (row, image) =
            (index % self.row_bands * self.rows, index / self.row_bands * self.images);
        [
            image..geometry.batch.min(image + self.images),
            row..geometry.out_size[0].min(row + self.rows),
        ]
    }

    /// Rows and columns of the image that some rows of places see.
    fn band_size(geometry: &Geometry, rows: usize) -> [usize; 2] {
        let seen = |axis: usize, places: usize| {
            (places - 1) * geometry.config.stride[axis] + window(geometry, axis)
        };
        [seen(0, rows), seen(1, geometry.out_size[1])]
    }

    fn band_len(&self, geometry: &Geometry) -> usize {
        let [height, width] = Self::band_size(geometry, self.rows);
        if !self.copies {
            return 0;
        }
        scratch::product([self.images, height, width, geometry.group_inputs()])
    }

    /// Rows of places that are summed at once.
    fn block(geometry: &Geometry) -> usize {
        (BLOCK / geometry.out_size[1]).clamp(1, PAIRS)
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
    let outputs = geometry.group_outputs();
    let panels = Panels::new::<T>(isa, outputs);
    let cut = Cut::new(geometry, &panels, dy);
    let tile_rows = geometry.taps() * geometry.group_inputs();
    let size = panels.packed_len(tile_rows);
    let places = geometry.batch * geometry.out_size[0] * geometry.out_size[1];
    for group in 0..geometry.config.groups {
        let source = Source {
            pointer: x.as_ptr().wrapping_add(group * geometry.group_inputs() * x.strides()[1]),
            apart: 0,
            size: geometry.in_size,
            strides: x.strides(),
        };
        scratch::with(scratch::product([cut.pieces, size]), |sums: &mut [T]| {
            let to = SharedMut::new(sums.as_mut_ptr());
            let from = Operands { source, dy, group };
            let jobs = cut.pieces * cut.panel_jobs * cut.row_jobs;
            parallel::for_each(jobs, parallel::operations([size, places]), |job| {
                let (rows, job) = (job % cut.row_jobs * cut.job_rows, job / cut.row_jobs);
                let (panel, piece) = (job % cut.panel_jobs * cut.job_panels, job / cut.panel_jobs);
                let job_panels = panel..panels.count().min(panel + cut.job_panels);
                scratch::with(cut.band_len(geometry), |band: &mut [T]| {
                    let columns = panels.columns(job_panels.clone()).len();
                    let packed = if cut.packs { columns * Cut::block(geometry) } else { 0 };
                    scratch::with(
                        scratch::product([packed, geometry.out_size[1]]),
                        |packed: &mut [T]| {
                            let tiles = Tiles {
                                geometry,
                                cut: &cut,
                                operands: &from,
                                bands: parallel::share(cut.bands, cut.pieces, piece),
                                rows: rows..tile_rows.min(rows + cut.job_rows),
                                all_panels: &panels,
                                panels: job_panels,
                                band,
                                packed,
                                // SAFETY: each piece has `size` sums.
                                to: unsafe { to.get().add(piece * size) },
                            };
                            T::run(isa, tiles);
                        },
                    );
                });
            });
            store(geometry, &cut, &panels, sums, group, dw);
        });
    }
}

/// What is multiplied.
struct Operands<'a, T> {
    /// The channels of the group.
    source: Source<T>,
    dy: &'a TensorRef<'a, T>,
    group: usize,
}

// SAFETY: the pointer comes from a view of a slice that may cross threads, and is only read.
unsafe impl<T: Element> Sync for Operands<'_, T> {}

/// A job: some bands of places, for some rows of tiles, by some panels of output channels.
struct Tiles<'a, T> {
    geometry: &'a Geometry,
    cut: &'a Cut,
    operands: &'a Operands<'a, T>,
    bands: Range<usize>,
    rows: Range<usize>,
    all_panels: &'a Panels,
    panels: Range<usize>,
    /// Room for a copy of the image.
    band: &'a mut [T],
    /// Room for the output's gradient, if it is packed: `[panels][places][width]`.
    packed: &'a mut [T],
    /// The sums of the piece: `[panels][taps][channels][width]`.
    to: *mut T,
}

/// Where the bands of the image lie: elements between neighbouring places, and neighbouring pixels.
struct Seen<T> {
    pointer: *const T,
    /// `[image, row, column]`
    places: [usize; 3],
    /// `[row, column]`
    taps: [usize; 2],
}

/// Memory to be fetched while something else is calculated.
struct RegionsAhead {
    /// What is left of each.
    regions: [[*const u8; 2]; 2],
    /// Bytes that are fetched with each step.
    bytes: usize,
    /// What is fetched when nothing is left: something that is in the cache.
    idle: *const u8,
}

impl RegionsAhead {
    /// What is fetched with the next `steps`: from where on, and how many bytes with each.
    #[inline(always)]
    fn take(&mut self, steps: usize) -> (*const u8, usize) {
        for [from, to] in &mut self.regions {
            if *from < *to {
                let start = *from;
                *from = start.wrapping_add(steps * self.bytes);
                return (start, self.bytes);
            }
        }
        (self.idle, 0)
    }
}

impl<T: Element> Kernel<T> for Tiles<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<V: Microkernel<Elem = T>>(mut self) {
        let (geometry, width) = (self.geometry, self.geometry.out_size[1]);
        let [image_stride, _, row_stride, column_stride] = self.operands.dy.strides();
        for panel in self.panels.clone() {
            let panel = self.all_panels.get(panel);
            for i in (0..self.rows.len() * panel.width).step_by(V::LANES) {
                // SAFETY: these rows of the sums are this job's.
                unsafe { V::splat(T::ZERO).store(self.sums(&panel, self.rows.start).add(i)) };
            }
        }
        for band in self.bands.clone() {
            let [images, rows] = self.cut.band(geometry, band);
            let seen = self.seen(&images, &rows);
            let (total, at_once) = (images.len() * rows.len(), Cut::block(geometry));
            let mut pairs = [Pair::default(); PAIRS];
            for first in (0..total).step_by(at_once) {
                let some = at_once.min(total - first);
                let mut ahead =
                    self.ahead(&seen, images.start, rows.start, [first, some, rows.len()]);
                for (i, pair) in pairs[..some].iter_mut().enumerate() {
                    let (image, row) = ((first + i) / rows.len(), (first + i) % rows.len());
                    pair.a = image * seen.places[0] + row * seen.places[1];
                    let (image, row) = (images.start + image, rows.start + row);
                    if self.cut.packs {
                        self.pack::<V>(image, row, i);
                    } else {
                        pair.b = image * image_stride + row * row_stride;
                    }
                }
                for panel in self.panels.clone() {
                    let panel = self.all_panels.get(panel);
                    let mut b_stride = column_stride;
                    if self.cut.packs {
                        b_stride = panel.width;
                        for (i, pair) in pairs[..some].iter_mut().enumerate() {
                            pair.b = i * width * panel.width;
                        }
                    }
                    // Rows of places that lie one behind the other are one long row.
                    let [a_row, b_row] =
                        [seen.places[2], b_stride].map(|stride| width.wrapping_mul(stride));
                    let one = pairs[..some].windows(2).all(|pair| {
                        pair[1].a.wrapping_sub(pair[0].a) == a_row
                            && pair[1].b.wrapping_sub(pair[0].b) == b_row
                    });
                    let (pairs, depth) =
                        if one { (&pairs[..1], some * width) } else { (&pairs[..some], width) };
                    self.add::<V>(&seen, &panel, (pairs, depth, b_stride), &mut ahead);
                }
            }
        }
    }
}

impl<T: Element> Tiles<'_, T> {
    /// Finds what the places of a band see, and copies it if it has to be.
    #[inline(always)]
    fn seen(&mut self, images: &Range<usize>, rows: &Range<usize>) -> Seen<T> {
        let Geometry { config, .. } = self.geometry;
        let (source, channels) = (&self.operands.source, self.geometry.group_inputs());
        let strides = source.strides;
        // Along an axis of one place the stride does not matter and may be huge.
        let scale = |stride: usize, by: usize| stride.wrapping_mul(by);
        let (pointer, [image, row, column]) = if self.cut.copies {
            let size @ [height, width] = Cut::band_size(self.geometry, rows.len());
            let origin =
                [self.geometry.input_at(0, rows.start, 0), self.geometry.input_at(1, 0, 0)];
            // SAFETY: the source holds the geometry's images and the channels of a group.
            unsafe { copy_band(source, channels, images.clone(), origin, size, self.band) };
            (self.band.as_ptr(), [height * width * channels, width * channels, channels])
        } else {
            let offset = images.start * strides[0] + rows.start * config.stride[0] * strides[2];
            (source.pointer.wrapping_add(offset), [strides[0], strides[2], strides[3]])
        };
        Seen {
            pointer,
            places: [image, scale(row, config.stride[0]), scale(column, config.stride[1])],
            taps: [scale(row, config.dilation[0]), scale(column, config.dilation[1])],
        }
    }

    /// What the next block will read, if it lies behind this one: the machine fetches ahead by itself only
    /// while it reads, and would calculate and read in turn.
    #[inline(always)]
    fn ahead(
        &self,
        seen: &Seen<T>,
        image: usize,
        row: usize,
        [first, some, rows]: [usize; 3],
    ) -> RegionsAhead {
        let strides = self.operands.dy.strides();
        let next = first + some;
        let group = self.operands.group * self.geometry.group_outputs();
        // Behind the last image and row is nothing, and a stride along an axis of one place may be huge: this
        // may be anywhere, and as long as memory.
        let offset = |[image, row]: [usize; 2], strides: [usize; 2]| {
            image.wrapping_mul(strides[0]).wrapping_add(row.wrapping_mul(strides[1]))
        };
        let at = offset([image + next / rows, row + next % rows], [strides[0], strides[2]]);
        let dy = self.operands.dy.as_ptr().wrapping_add(at).wrapping_add(group);
        let places = some * self.geometry.out_size[1];
        let len = |stride: usize| places.saturating_mul(stride).min(AHEAD);
        // Not where a job needs a small part of each place.
        let most = 2 * self.panels.len() >= self.all_panels.count();
        let dy_len = if most { len(strides[3]) } else { 0 };
        let x = offset([next / rows, next % rows], [seen.places[0], seen.places[1]]);
        let x_len = if self.cut.copies || self.cut.row_jobs > 1 { 0 } else { len(seen.places[2]) };
        let tiles = self.panels.len() * self.rows.len().div_ceil(MAX_MR);
        let x = seen.pointer.wrapping_add(x);
        RegionsAhead {
            regions: [
                [dy.cast(), dy.wrapping_add(dy_len).cast()],
                [x.cast(), x.wrapping_add(x_len).cast()],
            ],
            bytes: ((dy_len + x_len) * size_of::<T>()).div_ceil(tiles * places).min(CACHE_LINE),
            idle: seen.pointer.cast(),
        }
    }

    /// Where a row of the sums of a panel begins.
    #[inline(always)]
    fn sums(&self, panel: &PanelColumns, row: usize) -> *mut T {
        let tile_rows = self.geometry.taps() * self.geometry.group_inputs();
        self.to.wrapping_add(panel.first * tile_rows + row * panel.width)
    }

    /// Where the packed gradient of a panel begins.
    #[inline(always)]
    fn packed_panel(&self, panel: &PanelColumns) -> usize {
        let columns = panel.first - self.all_panels.get(self.panels.start).first;
        columns * Cut::block(self.geometry) * self.geometry.out_size[1]
    }

    /// Packs the gradient at a row of places, as the one at `index` of the block.
    #[inline(always)]
    fn pack<V: Microkernel<Elem = T>>(&mut self, image: usize, row: usize, index: usize) {
        let [image_stride, _, row_stride, column_stride] = self.operands.dy.strides();
        let places = self.geometry.out_size[1];
        let group = self.operands.group * self.geometry.group_outputs();
        let from_row = image * image_stride + row * row_stride + group;
        for panel in self.panels.clone() {
            let panel = self.all_panels.get(panel);
            let PanelColumns { first, columns, width } = panel;
            let at = self.packed_panel(&panel) + index * places * width;
            let to = &mut self.packed[at..][..places * width];
            for (place, to) in to.chunks_exact_mut(width).enumerate() {
                let from = self.operands.dy.as_ptr();
                let from = from.wrapping_add(from_row + first + place * column_stride);
                for (i, to) in to.chunks_exact_mut(V::LANES).enumerate() {
                    let j = i * V::LANES;
                    let some = V::LANES.min(columns - j);
                    // SAFETY: these channels of a place are inside the gradient.
                    let vector = unsafe {
                        if some == V::LANES {
                            V::load(from.add(j))
                        } else {
                            V::load_first(from.add(j), some)
                        }
                    };
                    vector.write_to(to);
                }
            }
        }
    }

    /// Adds the products of some rows of places by a panel.
    #[inline(always)]
    fn add<V: Microkernel<Elem = T>>(
        &self,
        seen: &Seen<T>,
        panel: &PanelColumns,
        (pairs, depth, b_stride): (&[Pair], usize, usize),
        ahead: &mut RegionsAhead,
    ) {
        let (channels, kernel) = (self.geometry.group_inputs(), self.geometry.kernel);
        let (tap, mut channel) = (self.rows.start / channels, self.rows.start % channels);
        let [mut tap_row, mut tap_column] = [tap / kernel[1], tap % kernel[1]];
        let width = panel.width;
        let b = if self.cut.packs {
            self.packed[self.packed_panel(panel)..].as_ptr()
        } else {
            let first = self.operands.group * self.geometry.group_outputs() + panel.first;
            self.operands.dy.as_ptr().wrapping_add(first)
        };
        for row in self.rows.clone().step_by(V::MR) {
            let rows = V::MR.min(self.rows.end - row);
            let mut offsets = [0; MAX_MR];
            for offset in &mut offsets[..rows] {
                *offset = tap_row * seen.taps[0] + tap_column * seen.taps[1] + channel;
                channel += 1;
                if channel == channels {
                    (channel, tap_column) = (0, tap_column + 1);
                    if tap_column == kernel[1] {
                        (tap_column, tap_row) = (0, tap_row + 1);
                    }
                }
            }
            let (next, bytes) = ahead.take(pairs.len() * depth);
            let tile = Tile {
                a: seen.pointer,
                a_layout: RowsAhead {
                    rows: RowsOfA { offsets: &offsets, step: seen.places[2] },
                    next,
                    bytes,
                },
                b,
                pairs,
                depth,
                b_stride,
                rows,
                columns: width,
            };
            let out = Panel {
                c: self.sums(panel, row),
                row_stride: width,
                place: Place::Contiguous(0),
                beta: T::ONE,
                bias: None,
            };
            // SAFETY: taps and channels of the places are inside the image or its copy, the rows of
            // places have been packed or hold whole vectors, and these rows of the sums are this job's.
            unsafe { V::tile(&tile, &out) };
        }
    }
}

/// Adds the pieces in order, and writes the sums to their places.
fn store<T: Element>(
    geometry: &Geometry,
    cut: &Cut,
    panels: &Panels,
    sums: &[T],
    group: usize,
    dw: &mut TensorMut<'_, T>,
) {
    let (channels, taps) = (geometry.group_inputs(), geometry.taps());
    let size = panels.packed_len(taps * channels);
    let strides = dw.strides();
    let to = SharedMut::new(dw.as_ptr());
    let blocks = channels.div_ceil(CHANNELS);
    parallel::for_each(panels.count() * blocks, sums.len() * parallel::MOVED, |job| {
        let (panel, first) = (panels.get(job % panels.count()), job / panels.count() * CHANNELS);
        let output = group * geometry.group_outputs() + panel.first;
        for tap in 0..taps {
            let (tap_row, tap_column) = (tap / geometry.kernel[1], tap % geometry.kernel[1]);
            let tap_offset = tap_row * strides[2] + tap_column * strides[3];
            for column in 0..panel.columns {
                for channel in first..channels.min(first + CHANNELS) {
                    let from = panel.first * taps * channels
                        + (tap * channels + channel) * panel.width
                        + column;
                    let mut sum = sums[from];
                    for piece in 1..cut.pieces {
                        sum += sums[piece * size + from];
                    }
                    let offset = (output + column) * strides[0] + channel * strides[1] + tap_offset;
                    // SAFETY: inside the weight's shape, and in no other job.
                    unsafe { *to.get().add(offset) = sum };
                }
            }
        }
    });
}
