//! The loops around the microkernel.
//!
//! Named as in the BLIS papers, outermost first, with what each packs:
//!
//! 1. over the sum, and over rows: packs a part of A in panels of `MR`, shared by all threads, or, of few columns,
//!    reads it where it lies;
//! 2. over columns, and over rows where B is small or columns are few, one job each, with no barrier between:
//! 3. over the job's columns, a block of panels at a time, and over the part of the sum, `kc` steps at a
//!    time, an even part of it: packs as many rows of those panels of B, for this job alone;
//! 4. over the panels of A, and
//! 5. over the panels of B: one tile each.
//!
//! The sum of an element of C is always taken in the same order, so the cut does not show.

use std::ops::Range;

use super::microkernel::{Microkernel, Pair, RowsOfA, RowsOfBoth, Tile};
use super::store::{Finish, Panel, Place};
use crate::arch::{Isa, Kernel, MAX_LANES};
use crate::element::Element;
use crate::parallel::{self, SharedMut};
use crate::scratch;

/// Steps of the sum that are packed at once, at the most: panels of both operands stream from the second cache.
/// With half of it, the output would come and go twice as often, which is what a product of a thousand
/// rows and columns then waits for: of a core's peak it reaches 91.7 %, and 89.9 with half.
const KC: usize = 1024;
/// Panels of B that pass by a panel of A, at the most.
const BLOCK_PANELS: usize = 4;
/// Elements of those panels, at the most: 384 KiB, the larger part of the second cache.
const BLOCK: usize = 96 * KC;
/// Steps of the sum for which panels are packed in turn: what lies side by side, or in the same cache
/// line, is read at once.
const PACKED_STEPS: usize = 32;
/// Panels of A that are packed in turn.
const PACKED_PANELS: usize = 8;
/// Rows that are packed at once.
const MC: usize = 2048;
/// Elements of A that are packed at once, at the most, if `KC` steps of `MC` rows are not more:
/// 8 MiB, a part of the last cache.
const PART: usize = 1 << 21;
/// Jobs of a thread to aim for, so that none waits long for the last one; a thread that is alone has one. On two
/// cores with a peak of 213 GFLOP/s each, squares of 256 and 512 run at 331 and 326 with eight jobs, and at 308 and
/// 324 with sixteen; on one of them at 180 and 173 with one, and at 155 and 160 with sixteen.
const JOBS: usize = 4;
/// Multiply-adds of a job, at the least: some microseconds.
const JOB: usize = 1 << 18;
/// Elements of a part of B up to which rows are halved before columns are cut, and columns between vectors, not
/// panels: packing B twice costs less than fetching the half of A that another thread has packed, and jobs
/// are more even. On two cores with a peak of 117 GFLOP/s each, squares of 128, 256 and 512 run at 171, 209 and
/// 219 GFLOP/s, and at 142, 180 and 198 without; those of 1024 are slower on one thread (101 instead of 110).
const SMALL_B: usize = 1 << 18;
/// Panels of such a B, at the most: with more, their columns alone make jobs enough for eight threads.
const FEW_PANELS: usize = 32;
/// Rows of a job, at the least, where there are as many: a block of B is packed for each.
const JOB_ROWS: usize = 64;
/// Columns up to which A is read where it lies: of more, packing once costs less than rows that lie apart. On one
/// core with a peak of 244 GFLOP/s, squares of 64, 128, 256, 512 and 1024 run at 169, 202, 216, 215 and 210 GFLOP/s,
/// and packed at 136, 183, 205, 209 and 210; 16384x64x576 at 187, and packed at 80; 512x2048x512 at 208, and packed
/// at 209.
const IN_PLACE_COLUMNS: usize = 1024;
/// Panels of A up to which B is read where it lies: what packing brings is used too seldom.
const UNPACKED: usize = 4;

/// Widest panel of any instruction set.
pub(crate) const MAX_NR: usize = 64;

/// The left operand, rows by steps of the sum.
pub(crate) trait PackA<T>: Sync {
    /// Writes `[depth][MR]` numbers: the rows from `rows[0]` on, `rows[1]` of them, then zeros.
    /// Steps of the sum are given likewise.
    ///
    /// # Safety
    ///
    /// The block must be inside the operand, at most `MR` rows, `to` valid for `depth * MR`.
    unsafe fn pack<V: Microkernel<Elem = T>>(
        &self,
        rows: [usize; 2],
        depth: [usize; 2],
        to: *mut T,
    );

    /// Whether neighbouring rows of a step lie side by side, as those of several panels in one cache line.
    fn rows_are_neighbours(&self) -> bool;

    /// The operand as it lies in memory, if steps of a row are neighbours there and are to be summed as they
    /// are: its first element, and the elements from a row to the next.
    fn in_place(&self) -> Option<(*const T, usize)> {
        None
    }
}

/// The right operand, steps of the sum by columns.
pub(crate) trait PackB<T>: Sync {
    /// Writes `depth` rows, `NR` apart: the columns from `columns[0]` on, `columns[1]` of them, then zeros up
    /// to a whole vector; what lies behind is not read. Steps of the sum are given likewise.
    ///
    /// # Safety
    ///
    /// The block must be inside the operand, at most `NR` columns, `to` valid for `depth * NR`.
    unsafe fn pack<V: Microkernel<Elem = T>>(
        &self,
        depth: [usize; 2],
        columns: [usize; 2],
        to: *mut T,
    );

    /// A block as it lies in memory, if whole vectors of its rows can be read there: its first
    /// element and the elements between its rows.
    fn in_place(&self, _depth: [usize; 2], _columns: [usize; 2]) -> Option<(*const T, usize)> {
        None
    }
}

/// Where the columns of the output lie.
pub(crate) trait ColumnOffsets: Sync {
    /// The offsets of the columns from `j0` on.
    fn offsets(&self, j0: usize, offsets: &mut [usize]);
}

/// The output, and what is done to a sum on its way there.
pub(crate) struct Output<'a, T, C> {
    pub(crate) c: *mut T,
    pub(crate) row_stride: usize,
    pub(crate) columns: C,
    pub(crate) finish: Finish<'a, T>,
}

/// Multiplies `[m, k]` by `[k, n]`.
///
/// # Safety
///
/// `a` and `b` must hold these shapes, and every row and column of `output` must be valid for
/// writing, distinct, and nobody else's.
pub(crate) unsafe fn run<T: Element, C: ColumnOffsets>(
    isa: Isa,
    [m, n, k]: [usize; 3],
    a: &impl PackA<T>,
    b: &impl PackB<T>,
    output: &Output<'_, T, C>,
) {
    let [mr, nr] = T::run(isa, TileSize);
    let part = (PART / m.clamp(1, MC).next_multiple_of(mr) / KC).max(1) * KC;
    let c = SharedMut::new(output.c);
    let (row_stride, offsets) = (output.row_stride, &output.columns);
    let in_place = n <= IN_PLACE_COLUMNS && a.in_place().is_some();
    // Even parts: a short one costs an output that comes and goes, too.
    let part = parallel::even(k, part);
    // An empty sum still has its one part: the output gets its bias and beta.
    for k0 in (0..k.max(1)).step_by(part) {
        let depth = part.min(k - k0);
        let kc = parallel::even(depth, KC);
        let block_panels = (BLOCK / (kc * nr)).clamp(1, BLOCK_PANELS);
        let finish = if k0 == 0 { output.finish } else { Finish { beta: T::ONE, bias: None } };
        for i0 in (0..m).step_by(MC) {
            let rows = MC.min(m - i0);
            let a_panels = rows.div_ceil(mr);
            let packed_panels = if in_place { 0 } else { a_panels };
            scratch::with(packed_panels * mr * depth, |packed_a: &mut [T]| {
                let to = SharedMut::new(packed_a.as_mut_ptr());
                let groups = packed_panels.div_ceil(PACKED_PANELS);
                let jobs = groups * depth.div_ceil(kc);
                parallel::for_each(jobs, packed_a.len() * parallel::MOVED, |job| {
                    let first = job % groups * PACKED_PANELS * mr;
                    let k = job / groups * kc;
                    let rows = [i0 + first, (PACKED_PANELS * mr).min(rows - first)];
                    let steps = kc.min(depth - k);
                    // SAFETY: the block is inside A; each job writes panels of its own.
                    let to = unsafe { to.get().add(k * a_panels * mr + first * steps) };
                    T::run(isa, PackPanelsA { a, rows, depth: [k0 + k, steps], to });
                });
                let cut = Cut::new([rows, n, depth], [mr, nr]);
                parallel::for_each(cut.jobs(), parallel::operations([rows, n, depth]), |job| {
                    let [rows, columns] = cut.job(job);
                    let block = columns.len().next_multiple_of(nr).min(block_panels * nr);
                    scratch::with(kc * block, |packed_b: &mut [T]| {
                        let a = match a.in_place() {
                            Some((a, stride)) if in_place => {
                                let first = (i0 + rows.start) * stride + k0;
                                RowsA::InPlace { a: a.wrapping_add(first), stride }
                            }
                            _ => {
                                RowsA::Panels { a: packed_a, all: a_panels * mr, first: rows.start }
                            }
                        };
                        let job = MacroKernel {
                            a,
                            b,
                            packed_b,
                            kc,
                            block_panels,
                            depth: [k0, depth],
                            rows: [i0 + rows.start, rows.len()],
                            columns,
                            c: c.get(),
                            row_stride,
                            offsets,
                            finish,
                        };
                        T::run(isa, job);
                    });
                });
            });
        }
    }
}

/// How a block of the output is cut into jobs, which come row by row. It may depend on the number of threads:
/// no sum is cut.
struct Cut {
    /// Of the block.
    rows: usize,
    columns: usize,
    /// What is not cut: rows of a panel of A, columns of a panel of B or of the widest vector.
    units: [usize; 2],
    row_jobs: usize,
    column_jobs: usize,
}

impl Cut {
    fn new([m, n, depth]: [usize; 3], [mr, nr]: [usize; 2]) -> Self {
        let panels = n.div_ceil(nr);
        let operations = parallel::operations([m, n, depth]);
        let threads = parallel::threads(operations);
        let most_jobs = if threads == 1 { 1 } else { JOBS.saturating_mul(threads) };
        let jobs = (operations / JOB).clamp(1, most_jobs);
        let most_rows = (m / JOB_ROWS).max(1);
        let small = panels <= FEW_PANELS && parallel::operations([n, depth]) <= SMALL_B;
        let (row_jobs, column_jobs) = if threads == 1 {
            (1, 1)
        } else if small {
            let rows = jobs.min(most_rows).min(2);
            // Of about two panels: with fewer, panels of A come and go more often.
            let most =
                panels.div_ceil(2).next_multiple_of(parallel::EVEN).min(n.div_ceil(MAX_LANES));
            (rows, (jobs / rows).min(most))
        } else {
            let of_panel = parallel::operations([m, depth, nr]).max(1);
            let some = (panels / most_jobs).min(BLOCK_PANELS).max(JOB.div_ceil(of_panel));
            (1, panels.div_ceil(some).next_multiple_of(parallel::EVEN).min(panels))
        };
        let column_jobs = column_jobs.max(1);
        // Where the columns make too few jobs.
        let row_jobs = row_jobs.max(jobs / column_jobs).min(most_rows);
        let units = [mr, if small { MAX_LANES } else { nr }];
        Self { rows: m, columns: n, units, row_jobs, column_jobs }
    }

    fn jobs(&self) -> usize {
        self.row_jobs * self.column_jobs
    }

    /// Rows and columns of a job.
    fn job(&self, job: usize) -> [Range<usize>; 2] {
        let part = |len: usize, unit: usize, parts: usize, part: usize| {
            let units = parallel::share(len.div_ceil(unit), parts, part);
            units.start * unit..len.min(units.end * unit)
        };
        [
            part(self.rows, self.units[0], self.row_jobs, job / self.column_jobs),
            part(self.columns, self.units[1], self.column_jobs, job % self.column_jobs),
        ]
    }
}

/// Asks an instruction set for its tile.
pub(crate) struct TileSize;

impl<T: Element> Kernel<T> for TileSize {
    type Output = [usize; 2];

    #[inline(always)]
    fn run<V: Microkernel<Elem = T>>(self) -> [usize; 2] {
        [V::MR, V::NR]
    }
}

/// Packs some panels of A.
struct PackPanelsA<'a, A, T> {
    a: &'a A,
    rows: [usize; 2],
    depth: [usize; 2],
    to: *mut T,
}

impl<T: Element, A: PackA<T>> Kernel<T> for PackPanelsA<'_, A, T> {
    type Output = ();

    #[inline(always)]
    fn run<V: Microkernel<Elem = T>>(self) {
        let ([first, rows], [k, depth]) = (self.rows, self.depth);
        let at_once = if self.a.rows_are_neighbours() { PACKED_STEPS } else { KC };
        for step in (0..depth).step_by(at_once) {
            let steps = [k + step, at_once.min(depth - step)];
            for i in (0..rows).step_by(V::MR) {
                // SAFETY: `run` makes these of blocks inside A, with room for the panels.
                unsafe {
                    let to = self.to.add(i * depth + step * V::MR);
                    self.a.pack::<V>([first + i, V::MR.min(rows - i)], steps, to);
                }
            }
        }
    }
}

/// A job's rows of A.
enum RowsA<'a, T> {
    /// `[depth / kc][panels][kc][MR]`: panels are read one behind the other.
    Panels {
        a: &'a [T],
        /// Rows of all panels.
        all: usize,
        /// The first row of the job there.
        first: usize,
    },
    /// Where they lie, see [`PackA::in_place`].
    InPlace {
        /// The first step of the first row.
        a: *const T,
        /// Elements from a row to the next.
        stride: usize,
    },
}

/// Loops 3 to 5: packed panels of A in, a block of the output out.
struct MacroKernel<'a, T, B, C> {
    a: RowsA<'a, T>,
    b: &'a B,
    /// Room for `kc` steps of `block_panels` panels, or of all of them.
    packed_b: &'a mut [T],
    /// Steps of the sum that are packed at once: an even part, `KC` at the most.
    kc: usize,
    /// Panels of B that pass by a panel of A.
    block_panels: usize,
    /// First step of the sum, and how many.
    depth: [usize; 2],
    /// First row of the output, and how many.
    rows: [usize; 2],
    /// Columns of the output.
    columns: Range<usize>,
    c: *mut T,
    row_stride: usize,
    offsets: &'a C,
    finish: Finish<'a, T>,
}

impl<T: Element, B: PackB<T>, C: ColumnOffsets> Kernel<T> for MacroKernel<'_, T, B, C> {
    type Output = ();

    #[inline(always)]
    fn run<V: Microkernel<Elem = T>>(mut self) {
        let [_, depth] = self.depth;
        let panels = self.columns.len().div_ceil(V::NR);
        let block = parallel::even(panels, self.block_panels);
        for first in (0..panels).step_by(block) {
            let some = first..panels.min(first + block);
            for k in (0..depth.max(1)).step_by(self.kc) {
                self.block::<V>([k, self.kc.min(depth - k)], some.clone());
            }
        }
    }
}

/// A panel of B, packed or where it lies, and of the output.
#[derive(Clone, Copy)]
struct PanelB<T> {
    b: *const T,
    stride: usize,
    in_place: bool,
    first: usize,
    columns: usize,
    offsets: [usize; MAX_NR],
    contiguous: bool,
}

impl<T: Element, B: PackB<T>, C: ColumnOffsets> MacroKernel<'_, T, B, C> {
    /// The columns of a panel: whole vectors but at the end, of which no two panels' numbers differ by more
    /// than one.
    #[inline(always)]
    fn panel<V: Microkernel<Elem = T>>(&self, index: usize) -> Range<usize> {
        let (Range { start, end }, len) = (self.columns.clone(), self.columns.len());
        let vectors = parallel::share(len.div_ceil(V::LANES), len.div_ceil(V::NR), index);
        start + vectors.start * V::LANES..end.min(start + vectors.end * V::LANES)
    }

    /// Packs some steps of some panels of B, but for those that are read where they lie.
    #[inline(always)]
    fn pack<V: Microkernel<Elem = T>>(&mut self, [k, depth]: [usize; 2], panels: &[PanelB<T>]) {
        for step in (0..depth).step_by(PACKED_STEPS) {
            let steps = [k + step, PACKED_STEPS.min(depth - step)];
            for (place, panel) in panels.iter().enumerate() {
                if panel.in_place {
                    continue;
                }
                let some = [panel.first, panel.columns];
                let start = (place * depth + step) * V::NR;
                let to = &mut self.packed_b[start..][..V::NR * steps[1]];
                // SAFETY: the block is inside B, and the panel has room.
                unsafe { self.b.pack::<V>(steps, some, to.as_mut_ptr()) };
            }
        }
    }

    /// Some steps of the sum, for some panels of B.
    #[inline(always)]
    fn block<V: Microkernel<Elem = T>>(
        &mut self,
        [k, depth]: [usize; 2],
        some_panels: Range<usize>,
    ) {
        let [i0, rows] = self.rows;
        let steps = [self.depth[0] + k, depth];
        let b = self.packed_b.as_ptr();
        let none = PanelB {
            b,
            stride: 0,
            in_place: false,
            first: 0,
            columns: 0,
            offsets: [0; MAX_NR],
            contiguous: true,
        };
        let mut panels = [none; BLOCK_PANELS];
        let panels = &mut panels[..some_panels.len()];
        let unpacked = rows <= UNPACKED * V::MR;
        for (place, panel) in panels.iter_mut().enumerate() {
            let columns = self.panel::<V>(some_panels.start + place);
            let some = [columns.start, columns.len()];
            let in_place = if unpacked { self.b.in_place(steps, some) } else { None };
            let start = place * V::NR * depth;
            let packed = (self.packed_b[start..][..V::NR * depth].as_ptr(), V::NR);
            (panel.b, panel.stride) = in_place.unwrap_or(packed);
            panel.in_place = in_place.is_some();
            [panel.first, panel.columns] = some;
            let offsets = &mut panel.offsets[..some[1]];
            self.offsets.offsets(some[0], offsets);
            panel.contiguous = offsets.windows(2).all(|pair| pair[1] == pair[0] + 1);
        }
        self.pack::<V>(steps, panels);
        let finish = if k == 0 { self.finish } else { Finish { beta: T::ONE, bias: None } };
        // From a panel to the next `MR` times the first of these, from a row of it and from a step to the next.
        let (a, [of_panel, of_row, step]) = match self.a {
            RowsA::Panels { a, all, first } => {
                (a[k * all + first * depth..].as_ptr(), [depth, 1, V::MR])
            }
            RowsA::InPlace { a, stride } => (a.wrapping_add(k), [stride, stride, 1]),
        };
        for i in (0..rows).step_by(V::MR) {
            let there = V::MR.min(rows - i);
            // Rows that are not there read what the last one reads.
            let offsets_of_a = std::array::from_fn(|row| row.min(there - 1) * of_row);
            for panel in &*panels {
                let offsets = &panel.offsets[..panel.columns];
                let tile = Tile {
                    a: a.wrapping_add(i * of_panel),
                    a_layout: RowsOfBoth(RowsOfA { offsets: &offsets_of_a, step }),
                    b: panel.b,
                    pairs: &[Pair { a: 0, b: 0 }],
                    depth,
                    b_stride: panel.stride,
                    rows: there,
                    columns: panel.columns,
                };
                let out = Panel {
                    c: self.c.wrapping_add((i0 + i) * self.row_stride),
                    row_stride: self.row_stride,
                    place: if panel.contiguous {
                        Place::Contiguous(offsets[0])
                    } else {
                        Place::Scattered(offsets)
                    },
                    beta: finish.beta,
                    bias: finish.bias.map(|bias| &bias[i0 + i..]),
                };
                // SAFETY: rows of A, packed or in place, hold `depth` steps from `k` on, and so does the panel of
                // B; the rows and columns are this job's alone.
                unsafe { V::tile(&tile, &out) };
            }
        }
    }
}
