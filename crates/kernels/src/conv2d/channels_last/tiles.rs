//! The tiles of a job.

use std::ops::Range;

use super::super::taps::TapConv;
use super::band::Seen;
use super::pack::{PanelColumns, Panels};
use super::plan::{Job, PAIRS, Plan, Steps};
use crate::arch::{CACHE_LINE, Kernel, Vector};
use crate::element::Element;
use crate::gemm::{
    MAX_MR, Microkernel, Pair, RowsAhead, RowsOfA, Store, Tile, load_row, store_row,
};

/// Tiles of places that pass by a panel of the weight while that is in the cache.
const TILES: usize = 32;

/// The tiles of one job.
pub(super) struct Tiles<'a, 'b, T> {
    pub(super) conv: &'a TapConv<'b, T>,
    pub(super) plan: &'a Plan,
    pub(super) panels: &'a Panels,
    /// As packed.
    pub(super) weight: &'a [T],
    pub(super) job: Job,
    pub(super) seen: Seen<T>,
}

/// Some neighbouring places of a job.
#[derive(Clone, Copy, Default)]
struct Places {
    len: usize,
    /// Offsets of what each sees first.
    seen: [usize; MAX_MR],
    /// Offsets in the target.
    target: [usize; MAX_MR],
}

/// What the places behind a job's see, as many: it is fetched place by place, some with each tile.
struct PlacesAhead {
    left: Range<usize>,
    /// Places that are fetched with a tile.
    places: usize,
}

impl PlacesAhead {
    /// `places` and `tiles` are those of the job.
    fn new(places: usize, tiles: usize) -> Self {
        Self { left: 0..places, places: places.div_ceil(tiles.max(1)) }
    }

    /// From where on is fetched with the `steps` of the next tile, and how many bytes with each.
    #[inline(always)]
    fn take<T: Element>(&mut self, tiles: &Tiles<'_, '_, T>, steps: usize) -> (*const u8, usize) {
        if self.left.is_empty() {
            // What is in the cache.
            return (tiles.seen.pointer.cast(), 0);
        }
        let (width, place) = (tiles.conv.grid[1], self.left.start);
        self.left.start += self.places;
        let [image, row, column] = tiles.seen.places;
        let at = (tiles.job.images.len() - 1)
            .wrapping_mul(image)
            .wrapping_add((tiles.job.rows.len() + place / width).wrapping_mul(row))
            .wrapping_add((place % width).wrapping_mul(column));
        let elements = (self.places - 1).saturating_mul(column).saturating_add(tiles.conv.channels);
        let bytes = elements.saturating_mul(size_of::<T>()).div_ceil(steps.max(1));
        (tiles.seen.pointer.wrapping_add(at).cast(), bytes.min(CACHE_LINE))
    }
}

impl<T: Element> Kernel<T> for Tiles<'_, '_, T> {
    type Output = ();

    #[inline(always)]
    fn run<V: Microkernel<Elem = T>>(self) {
        let mut place = [0; 3];
        let mut left = self.job.images.len() * self.job.rows.len() * self.conv.grid[1];
        let mut tiles = [Places::default(); TILES];
        let run_depth = self.plan.run_taps * self.conv.channels;
        let goes = self.plan.steps(run_depth).count();
        let mut ahead = PlacesAhead::new(left, left.div_ceil(V::MR) * self.job.panels.len() * goes);
        while left > 0 {
            let mut count = 0;
            while count < TILES && left > 0 {
                let len = V::MR.min(left);
                self.find(&mut place, len, &mut tiles[count]);
                count += 1;
                left -= len;
            }
            for steps in self.plan.steps(run_depth) {
                for panel in self.job.panels.clone() {
                    self.panel::<V>(&steps, &self.panels.get(panel), &tiles[..count], &mut ahead);
                }
            }
        }
        if self.plan.streams {
            V::fence();
        }
    }
}

impl<T: Element> Tiles<'_, '_, T> {
    /// Finds the next `len` places, from `next` on, which moves behind them.
    #[inline(always)]
    fn find(&self, next: &mut [usize; 3], len: usize, places: &mut Places) {
        let [image, _, row, column] = self.conv.target.strides;
        places.len = len;
        for i in 0..MAX_MR {
            if i >= len {
                // Rows that are not there read what another one reads.
                places.seen[i] = places.seen[0];
                continue;
            }
            let dot = |strides: [usize; 3]| -> usize {
                next.iter().zip(strides).map(|(&at, stride)| at * stride).sum()
            };
            places.seen[i] = dot(self.seen.places);
            places.target[i] = dot([image, row, column]);
            next[2] += 1;
            if next[2] == self.conv.grid[1] {
                (next[1], next[2]) = (next[1] + 1, 0);
                if next[1] == self.job.rows.len() {
                    (next[0], next[1]) = (next[0] + 1, 0);
                }
            }
        }
    }

    /// Sums some steps for some places, by a panel of the weight.
    #[inline(always)]
    fn panel<V: Microkernel<Elem = T>>(
        &self,
        steps: &Steps,
        panel: &PanelColumns,
        tiles: &[Places],
        ahead: &mut PlacesAhead,
    ) {
        let conv = self.conv;
        let (depth, run_taps) = (conv.depth(), self.plan.run_taps);
        let run_depth = run_taps * conv.channels;
        let [rows, columns] = self.seen.shifts;
        let row_runs = conv.taps.width() / run_taps.max(1);
        let mut pairs = [Pair::default(); PAIRS];
        for (run, pair) in steps.runs.clone().zip(&mut pairs) {
            let tap = conv.taps.get_ascending(run / row_runs, run % row_runs * run_taps);
            let shift = |axis: usize| (tap.shift[axis] - self.plan.first[axis]) as usize;
            pair.a = shift(0) * rows + shift(1) * columns + steps.steps.start;
            pair.b = (run * run_depth + steps.steps.start) * panel.width;
        }
        let [image, _, row, _] = conv.target.strides;
        let target = self.job.images.start * image + self.job.rows.start * row + panel.first;
        for places in tiles {
            let tile = Tile {
                a: self.seen.pointer,
                a_layout: RowsOfA { offsets: &places.seen, step: 1 },
                b: self.weight[panel.first * depth..].as_ptr(),
                pairs: &pairs[..steps.runs.len()],
                depth: steps.steps.len(),
                b_stride: panel.width,
                rows: places.len,
                columns: panel.columns,
            };
            let channels = Channels {
                target: conv.target.pointer.wrapping_add(target),
                places: &places.target,
                first: steps.runs.start == 0 && steps.steps.start == 0,
                bias: conv
                    .bias
                    .filter(|_| steps.runs.end == self.plan.runs && steps.steps.end == run_depth)
                    .map(|bias| &bias[panel.first..]),
                streams: self.plan.streams,
            };
            if self.plan.fetches {
                let (next, bytes) = ahead.take(self, steps.steps.len());
                let a_layout = RowsAhead { rows: tile.a_layout, next, bytes };
                // SAFETY: as below.
                unsafe { V::tile(&tile.with_layout(a_layout), &channels) };
                continue;
            }
            // SAFETY: what the places see is inside the source or its copy, and the panel holds all
            // steps of the sum; these places and channels of the target are this job's alone.
            unsafe { V::tile(&tile, &channels) };
        }
    }
}

/// Some channels of some places of the target.
struct Channels<'a, T> {
    /// These channels of the first place of the job.
    target: *mut T,
    /// Offsets of the places from there.
    places: &'a [usize; MAX_MR],
    /// Whether these are the first steps of the sum; later ones are added to what is there.
    first: bool,
    /// For these channels, with the last steps of the sum.
    bias: Option<&'a [T]>,
    /// As [`Plan::streams`].
    streams: bool,
}

impl<V: Vector> Store<V> for Channels<'_, V::Elem> {
    #[inline(always)]
    fn row(&self, row: usize) -> Option<*const V::Elem> {
        (!self.streams).then(|| self.target.wrapping_add(self.places[row]).cast_const())
    }

    #[inline(always)]
    unsafe fn put<const N: usize>(&self, row: usize, sums: &[V; N], columns: usize) {
        let add = |a: [V; N], b: [V; N]| std::array::from_fn(|j| a[j].add(b[j]));
        // SAFETY: the places are the caller's, and these channels, one behind the other; there is a bias
        // for each. What is streamed begins on a cache line, as the plan has seen, and panels are of whole
        // vectors.
        unsafe {
            let to = self.target.add(self.places[row]);
            let mut sums = *sums;
            if !self.first {
                sums = add(sums, load_row(to, columns));
            }
            if let Some(bias) = self.bias {
                sums = add(sums, load_row(bias[..columns].as_ptr(), columns));
            }
            if self.streams && columns == N * V::LANES {
                for (j, sums) in sums.iter().enumerate() {
                    sums.stream(to.add(j * V::LANES));
                }
            } else {
                store_row(&sums, to, columns);
            }
        }
    }
}
