//! The loop over columns: one vector of neighbouring columns at a time, each step of the axis a
//! vector.

use crate::arch::{Isa, Kernel, MAX_LANES, Microkernel, Vector};
use crate::element::Element;
use crate::parallel::{self, SharedMut};
use crate::scratch;

/// Where the columns of an operand lie.
#[derive(Clone, Copy)]
pub(super) struct Layout {
    /// Columns that lie at `column` from each other.
    pub(super) group: usize,
    /// From group to group.
    pub(super) group_stride: usize,
    /// From column to column of a group.
    pub(super) column: usize,
    /// From step to step of a column.
    pub(super) step: usize,
}

impl Layout {
    /// The columns along `n` of `[outer][n][inner]`.
    pub(super) fn of_axis(n: usize, inner: usize) -> Self {
        Self { group: inner, group_stride: n * inner, column: 1, step: inner }
    }

    /// The first step of column `j`.
    #[inline(always)]
    fn offset(&self, j: usize) -> usize {
        j / self.group * self.group_stride + j % self.group * self.column
    }

    /// Whether the `width` columns from `j` on are neighbours in memory.
    #[inline(always)]
    fn contiguous(&self, j: usize, width: usize) -> bool {
        self.column == 1 && j % self.group + width <= self.group
    }
}

/// The steps of one vector of columns.
#[derive(Clone, Copy)]
pub(super) struct Steps<T> {
    first: *mut T,
    stride: usize,
}

impl<T: Element> Steps<T> {
    /// # Safety
    ///
    /// There must be a step `k`.
    #[inline(always)]
    pub(super) unsafe fn load<V: Vector<Elem = T>>(self, k: usize) -> V {
        // SAFETY: a whole vector of columns lies at each step.
        unsafe { V::load(self.first.add(k * self.stride)) }
    }

    /// # Safety
    ///
    /// There must be a step `k`, of an output.
    #[inline(always)]
    pub(super) unsafe fn store<V: Vector<Elem = T>>(self, k: usize, x: V) {
        // SAFETY: a whole vector of columns lies at each step.
        unsafe { x.store(self.first.add(k * self.stride)) }
    }

    /// One column's element.
    ///
    /// # Safety
    ///
    /// There must be a step `k` and a lane `lane`; an output, if it is written.
    #[inline(always)]
    pub(super) unsafe fn lane(self, k: usize, lane: usize) -> *mut T {
        // SAFETY: a whole vector of columns lies at each step.
        unsafe { self.first.add(k * self.stride + lane) }
    }
}

/// What is done to a vector of columns. Implement as `#[inline(always)]`; see [`Kernel`].
pub(super) trait ColumnOp<T: Element, const IN: usize, const OUT: usize>:
    Copy + Sync
{
    /// `columns` are the first of them and their number, which may be less than the lanes.
    ///
    /// # Safety
    ///
    /// Each operand must have `n` steps.
    unsafe fn apply<V: Vector<Elem = T>>(
        self,
        n: usize,
        columns: [usize; 2],
        x: [Steps<T>; IN],
        y: [Steps<T>; OUT],
    );
}

/// Elements of a job.
const CHUNK: usize = 1 << 14;

/// Runs `op` on `columns` columns of `n` steps.
///
/// # Safety
///
/// Every step of every column must lie inside the operand of its pointer, and those of outputs must
/// be distinct.
pub(super) unsafe fn for_each_vector<T, O, const IN: usize, const OUT: usize>(
    [columns, n]: [usize; 2],
    op: O,
    x: [(*const T, Layout); IN],
    y: [(*mut T, Layout); OUT],
) where
    T: Element,
    O: ColumnOp<T, IN, OUT>,
{
    let isa = Isa::current();
    let width = (CHUNK / n.max(1)).max(1).next_multiple_of(MAX_LANES);
    let x = x.map(|(x, layout)| (SharedMut::new(x.cast_mut()), layout));
    let y = y.map(|(y, layout)| (SharedMut::new(y), layout));
    // An exponential is worth some four moves.
    let operations = columns.saturating_mul(n).saturating_mul(4);
    parallel::for_each(columns.div_ceil(width), operations, |job| {
        scratch::with(scratch::product([IN + OUT, n, MAX_LANES]), |tiles: &mut [T]| {
            let columns = [job * width, width.min(columns - job * width)];
            // SAFETY (of what the kernel does): the caller's duty; jobs share no column.
            T::run(isa, ColumnBlock { op, n, columns, x, y, tiles });
        });
    });
}

/// Some columns, one vector after the other.
struct ColumnBlock<'a, T, O, const IN: usize, const OUT: usize> {
    op: O,
    n: usize,
    /// The first, and how many.
    columns: [usize; 2],
    x: [(SharedMut<T>, Layout); IN],
    y: [(SharedMut<T>, Layout); OUT],
    /// Room for `n` vectors of each operand.
    tiles: &'a mut [T],
}

impl<T, O, const IN: usize, const OUT: usize> Kernel<T> for ColumnBlock<'_, T, O, IN, OUT>
where
    T: Element,
    O: ColumnOp<T, IN, OUT>,
{
    type Output = ();

    #[inline(always)]
    fn run<V: Microkernel<Elem = T>>(self) {
        let [first, count] = self.columns;
        let mut tiles = self.tiles.chunks_exact_mut((self.n * V::LANES).max(1));
        let mut tile = || Steps {
            first: tiles.next().map_or(std::ptr::dangling_mut(), |tile| tile.as_mut_ptr()),
            stride: V::LANES,
        };
        let (x_tiles, y_tiles): ([_; IN], [_; OUT]) =
            (std::array::from_fn(|_| tile()), std::array::from_fn(|_| tile()));
        for j in (first..first + count).step_by(V::LANES) {
            let width = V::LANES.min(first + count - j);
            let direct = |layout: &Layout| width == V::LANES && layout.contiguous(j, width);
            let (mut x, mut y) = (x_tiles, y_tiles);
            for (steps, (operand, layout)) in x.iter_mut().zip(&self.x) {
                let operand = operand.get();
                if direct(layout) {
                    let first = operand.wrapping_add(layout.offset(j));
                    *steps = Steps { first, stride: layout.step };
                    continue;
                }
                for lane in 0..V::LANES {
                    // Lanes without a column repeat the last one.
                    let column = layout.offset(j + lane.min(width - 1));
                    for k in 0..self.n {
                        // SAFETY: a step of a column of the operand, and of the tile.
                        unsafe { *steps.lane(k, lane) = *operand.add(column + k * layout.step) };
                    }
                }
            }
            for (steps, (operand, layout)) in y.iter_mut().zip(&self.y) {
                if direct(layout) {
                    let first = operand.get().wrapping_add(layout.offset(j));
                    *steps = Steps { first, stride: layout.step };
                }
            }
            // SAFETY: all operands have `n` steps, in place or in their tiles.
            unsafe { self.op.apply::<V>(self.n, [j, width], x, y) };
            for (steps, (operand, layout)) in y.iter().zip(&self.y) {
                if direct(layout) {
                    continue;
                }
                for lane in 0..width {
                    let column = layout.offset(j + lane);
                    for k in 0..self.n {
                        // SAFETY: a step of a column of the operand, and of the tile.
                        unsafe {
                            *operand.get().add(column + k * layout.step) = *steps.lane(k, lane);
                        }
                    }
                }
            }
        }
    }
}
