//! How the work is cut, by shape alone.

use std::ops::Range;

use super::super::taps::TapConv;
use crate::arch::CACHE_LINE;
use crate::parallel;
use crate::scratch;

/// Elements of the source and of the target that a job touches, at the most: 256 KiB, so that they
/// share the second cache with a panel of the weight.
const BAND: usize = 1 << 16;
/// Jobs to aim for, so that no thread waits long for the last one.
const JOBS: usize = 32;
/// Multiply-adds of a job, at the least: some microseconds.
const JOB: usize = 1 << 18;
/// Places of a job, at the least, where there are as many: a few tiles.
const PLACES: usize = 32;
/// Steps of the sum for which a tile stays in its registers.
const DEPTH: usize = 1024;
/// Elements of the target from which on it is written past the caches, which would not hold it until it is
/// read: 16 MiB of `f32`. ResNet-50's first 1x1 layer, 8 images, on two cores with a peak of 272 each: 457
/// against 433.
#[cfg(not(test))]
const STREAMED: usize = 1 << 22;
/// In tests also what is small.
#[cfg(test)]
const STREAMED: usize = 1 << 10;
/// Elements that places see from which on what those behind a job's see is fetched ahead: 1 MiB of `f32`, the
/// second cache. ResNet-50's first 1x1 layer backward to the input on two cores 340 to 465, its strided one
/// forward 445 to 473.
const FETCHED: usize = 1 << 18;
/// Pieces of the weight that a tile sums at once.
pub(super) const PAIRS: usize = 64;

/// How one sum over taps is run.
pub(super) struct Plan {
    /// The least shifts of the taps.
    pub(super) first: [isize; 2],
    /// Places of the source that the taps span.
    span: [usize; 2],
    /// Whether windows hang over the border, so that the source is copied.
    pub(super) copies: bool,
    /// Taps of a run: what a place sees through them is one piece of memory.
    pub(super) run_taps: usize,
    pub(super) runs: usize,
    /// Whether the target is written past the caches.
    pub(super) streams: bool,
    /// Whether what the places behind a job's see is fetched ahead.
    pub(super) fetches: bool,
    grid_rows: usize,
    batch: usize,
    images: usize,
    rows: usize,
    panels: usize,
    job_panels: usize,
    band_len: usize,
}

/// The part of the target that a job computes.
pub(super) struct Job {
    pub(super) images: Range<usize>,
    /// Of the grid.
    pub(super) rows: Range<usize>,
    pub(super) panels: Range<usize>,
}

/// Steps of the sum that a tile takes at once: whole runs, or a part of one.
pub(super) struct Steps {
    pub(super) runs: Range<usize>,
    /// Of each run.
    pub(super) steps: Range<usize>,
}

impl Plan {
    pub(super) fn new<T>(conv: &TapConv<'_, T>, panels: usize) -> Self {
        let [grid_rows, width] = conv.grid;
        let ends = [conv.taps.span(0), conv.taps.span(1)];
        let (first, span) = (ends.map(|end| end.0), ends.map(|end| end.1));
        let copies = conv.taps.len() > 0
            && (0..2).any(|axis| {
                let seen = (conv.grid[axis] - 1) * conv.step[axis] + span[axis];
                first[axis] < 0 || first[axis] as usize + seen > conv.source.size[axis]
            });
        let dense =
            span[1] == conv.taps.width() && (copies || conv.source.strides[3] == conv.channels);
        let run_taps = if dense { conv.taps.width() } else { 1 };
        let places = conv.batch * conv.positions();
        let touched = conv.channels * conv.step[0] * conv.step[1] + conv.rows;
        let least = (JOB / (conv.rows * conv.depth()).max(1)).max(PLACES);
        let job_places = (BAND / touched).min(places / JOBS).max(least);
        let job_rows = job_places.div_ceil(width);
        let (images, rows) = if job_rows < grid_rows {
            (1, parallel::even(grid_rows, job_rows))
        } else {
            ((job_rows / grid_rows).min(conv.batch), grid_rows)
        };
        let place_jobs = grid_rows.div_ceil(rows) * conv.batch.div_ceil(images);
        let column_jobs = (JOBS / place_jobs).clamp(1, panels);
        let mut plan = Self {
            first,
            span,
            copies,
            run_taps,
            runs: conv.taps.len() / run_taps.max(1),
            streams: false,
            // Through several taps most has been seen before; a copy is read in one go.
            fetches: conv.taps.len() == 1
                && !copies
                && places.saturating_mul(conv.channels) >= FETCHED,
            grid_rows,
            batch: conv.batch,
            images,
            rows,
            panels,
            job_panels: panels.div_ceil(column_jobs),
            band_len: 0,
        };
        if copies {
            let [height, width] = plan.band_size(conv, rows);
            plan.band_len = scratch::product([images, height, width, conv.channels]);
        }
        // What is summed in several goes is read in between.
        let goes = plan.steps(plan.run_taps * conv.channels).count();
        let [image, _, row, column] = conv.target.strides;
        let aligned = conv.target.pointer.addr().is_multiple_of(CACHE_LINE)
            && [image, row, column].iter().all(|&s| s.is_multiple_of(CACHE_LINE / size_of::<T>()));
        plan.streams = goes == 1 && aligned && places.saturating_mul(conv.rows) >= STREAMED;
        plan
    }

    pub(super) fn jobs(&self) -> usize {
        let place_jobs = self.grid_rows.div_ceil(self.rows) * self.batch.div_ceil(self.images);
        place_jobs * self.panels.div_ceil(self.job_panels)
    }

    pub(super) fn job(&self, index: usize) -> Job {
        let column_jobs = self.panels.div_ceil(self.job_panels);
        let row_jobs = self.grid_rows.div_ceil(self.rows);
        let (panel, index) = (index % column_jobs * self.job_panels, index / column_jobs);
        let (row, image) = (index % row_jobs * self.rows, index / row_jobs * self.images);
        Job {
            images: image..self.batch.min(image + self.images),
            rows: row..self.grid_rows.min(row + self.rows),
            panels: panel..self.panels.min(panel + self.job_panels),
        }
    }

    /// Elements of the copy of a job, if the source is copied.
    pub(super) fn band_len(&self) -> usize {
        self.band_len
    }

    /// Rows and columns of the source that some rows of the grid see.
    pub(super) fn band_size<T>(&self, conv: &TapConv<'_, T>, rows: usize) -> [usize; 2] {
        let seen = |axis: usize, places: usize| (places - 1) * conv.step[axis] + self.span[axis];
        [seen(0, rows), seen(1, conv.grid[1])]
    }

    /// The steps of the sum, cut so that a tile's share of the weight stays in the cache. An empty
    /// sum has one empty part, so that the target gets its zeros.
    #[inline(always)]
    pub(super) fn steps(&self, run_depth: usize) -> impl Iterator<Item = Steps> + Clone {
        let runs_at_once = (DEPTH / run_depth.max(1)).clamp(1, PAIRS);
        let run_parts = self.runs.div_ceil(runs_at_once).max(1);
        let parts = run_depth.div_ceil(DEPTH).max(1);
        let (runs, count) = (self.runs, run_parts * parts);
        (0..count).map(move |index| {
            let (run, part) = (index / parts, index % parts);
            Steps {
                runs: parallel::share(runs, run_parts, run),
                steps: parallel::share(run_depth, parts, part),
            }
        })
    }
}
