//! The loops around the microkernel.
//!
//! Numbered as in the BLIS papers, outermost first, with what each packs:
//!
//! 5. over columns, `NC` at a time;
//! 4. over the sum, `KC` at a time: packs `KC x NC` of B in panels of `NR`, shared by all threads;
//! 3. over rows, `MC` at a time: packs `MC x KC` of A in panels of `MR`, shared by all threads;
//! 2. over the panels of B, and
//! 1. over the panels of A: one tile each, cut into jobs by shape.
//!
//! The sum of an element of C is always taken in the same order, so the cut does not show.

use super::microkernel::{Microkernel, Pair, Tile};
use super::store::{Finish, Panel, Place};
use crate::arch::{Isa, Kernel};
use crate::element::Element;
use crate::parallel::{self, SharedMut};
use crate::scratch;

/// Steps of the sum that are packed at once: a panel of A stays in the first cache, and one of B
/// streams from the second. With half of it, the output would come and go twice as often, which is
/// what a product of a thousand rows and columns then waits for.
pub(crate) const KC: usize = 512;
/// Columns that are packed at once (`KC x NC` floats are 6 MiB, a part of the last cache).
const NC: usize = 3072;
/// Rows that are packed at once.
const MC: usize = 2048;
/// Rows of a job, rounded down to whole panels: with `KC` they are 256 KiB, a part of the second
/// cache.
const JOB_ROWS: usize = 128;
/// Columns of a job, rounded down to whole panels: with `KC` they are 384 KiB, the larger part of the
/// second cache.
const JOB_COLUMNS: usize = 192;

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
}

/// The right operand, steps of the sum by columns.
pub(crate) trait PackB<T>: Sync {
    /// Writes `[depth][NR]` numbers: the columns from `columns[0]` on, `columns[1]` of them, then
    /// zeros. Steps of the sum are given likewise.
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
    let job_size = JOB_ROWS / mr * mr;
    let job_panels = JOB_COLUMNS / nr;
    let c = SharedMut::new(output.c);
    let (columns, row_stride, finish) = (&output.columns, output.row_stride, output.finish);
    for j0 in (0..n).step_by(NC) {
        let block_columns = NC.min(n - j0);
        let b_panels = block_columns.div_ceil(nr);
        // An empty sum still has its one block: the output gets its bias and beta.
        for k0 in (0..k.max(1)).step_by(KC) {
            let depth = KC.min(k - k0);
            let finish = if k0 == 0 { finish } else { Finish { beta: T::ONE, bias: None } };
            scratch::with(b_panels * depth * nr, |packed_b: &mut [T]| {
                let to = SharedMut::new(packed_b.as_mut_ptr());
                parallel::for_each(b_panels, packed_b.len(), |panel| {
                    let first = panel * nr;
                    let some = [j0 + first, nr.min(block_columns - first)];
                    // SAFETY: the block is inside B; each job writes a panel of its own.
                    let to = unsafe { to.get().add(first * depth) };
                    T::run(isa, PackPanelB { b, depth: [k0, depth], columns: some, to });
                });
                let packed_b = &*packed_b;
                for i0 in (0..m).step_by(MC) {
                    let block_rows = MC.min(m - i0);
                    let a_panels = block_rows.div_ceil(mr);
                    scratch::with(a_panels * depth * mr, |packed_a: &mut [T]| {
                        let to = SharedMut::new(packed_a.as_mut_ptr());
                        parallel::for_each(a_panels, packed_a.len(), |panel| {
                            let first = panel * mr;
                            let some = [i0 + first, mr.min(block_rows - first)];
                            // SAFETY: the block is inside A; each job writes a panel of its own.
                            let to = unsafe { to.get().add(first * depth) };
                            T::run(isa, PackPanelA { a, rows: some, depth: [k0, depth], to });
                        });
                        let packed_a = &*packed_a;
                        let row_jobs = block_rows.div_ceil(job_size);
                        let column_jobs = b_panels.div_ceil(job_panels);
                        let operations = block_rows * block_columns * depth;
                        parallel::for_each(row_jobs * column_jobs, operations, |job| {
                            let row = (job % row_jobs) * job_size;
                            let panel = (job / row_jobs) * job_panels;
                            T::run(
                                isa,
                                MacroKernel {
                                    a: &packed_a[row * depth..],
                                    b: &packed_b[panel * nr * depth..],
                                    depth,
                                    rows: [i0 + row, job_size.min(block_rows - row)],
                                    columns: [
                                        j0 + panel * nr,
                                        (job_panels * nr).min(block_columns - panel * nr),
                                    ],
                                    c: c.get(),
                                    row_stride,
                                    offsets: columns,
                                    finish,
                                },
                            );
                        });
                    });
                }
            });
        }
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

/// Packs one panel of A.
struct PackPanelA<'a, A, T> {
    a: &'a A,
    rows: [usize; 2],
    depth: [usize; 2],
    to: *mut T,
}

impl<T: Element, A: PackA<T>> Kernel<T> for PackPanelA<'_, A, T> {
    type Output = ();

    #[inline(always)]
    fn run<V: Microkernel<Elem = T>>(self) {
        // SAFETY: `run` makes these of blocks inside A, with room for the panel.
        unsafe { self.a.pack::<V>(self.rows, self.depth, self.to) }
    }
}

/// Packs one panel of B.
struct PackPanelB<'a, B, T> {
    b: &'a B,
    depth: [usize; 2],
    columns: [usize; 2],
    to: *mut T,
}

impl<T: Element, B: PackB<T>> Kernel<T> for PackPanelB<'_, B, T> {
    type Output = ();

    #[inline(always)]
    fn run<V: Microkernel<Elem = T>>(self) {
        // SAFETY: `run` makes these of blocks inside B, with room for the panel.
        unsafe { self.b.pack::<V>(self.depth, self.columns, self.to) }
    }
}

/// Loops 2 and 1: packed panels in, a block of the output out.
struct MacroKernel<'a, T, C> {
    /// `[panels][depth][MR]`
    a: &'a [T],
    /// `[panels][depth][NR]`
    b: &'a [T],
    depth: usize,
    /// First row of the output, and how many.
    rows: [usize; 2],
    /// First column of the output, and how many.
    columns: [usize; 2],
    c: *mut T,
    row_stride: usize,
    offsets: &'a C,
    finish: Finish<'a, T>,
}

impl<T: Element, C: ColumnOffsets> Kernel<T> for MacroKernel<'_, T, C> {
    type Output = ();

    #[inline(always)]
    fn run<V: Microkernel<Elem = T>>(self) {
        let ([i0, rows], [j0, columns]) = (self.rows, self.columns);
        let mut offsets = [0; MAX_NR];
        for j in (0..columns).step_by(V::NR) {
            let width = V::NR.min(columns - j);
            let offsets = &mut offsets[..width];
            self.offsets.offsets(j0 + j, offsets);
            let contiguous = offsets.windows(2).all(|pair| pair[1] == pair[0] + 1);
            let place =
                if contiguous { Place::Contiguous(offsets[0]) } else { Place::Scattered(offsets) };
            let b = self.b[j * self.depth..][..self.depth * V::NR].as_ptr();
            for i in (0..rows).step_by(V::MR) {
                let height = V::MR.min(rows - i);
                let a = self.a[i * self.depth..][..self.depth * V::MR].as_ptr();
                let tile = Tile {
                    a,
                    b,
                    pairs: &[Pair { a: 0, b: 0 }],
                    depth: self.depth,
                    b_stride: V::NR,
                    rows: height,
                    vectors: width.div_ceil(V::LANES),
                };
                let panel = Panel {
                    c: self.c.wrapping_add((i0 + i) * self.row_stride),
                    row_stride: self.row_stride,
                    place,
                    columns: width,
                    beta: self.finish.beta,
                    bias: self.finish.bias.map(|bias| &bias[i0 + i..]),
                };
                // SAFETY: the panels hold `depth` steps; the caller of `blocked::run` vouches for
                // the rows and columns of the output, and jobs do not share any.
                unsafe { V::tile(&tile, &panel) };
            }
        }
    }
}
