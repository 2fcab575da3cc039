//! Between any strided view and its contiguous, row-major copy.

use crate::element::Element;
use crate::error::{Result, ShapeError, check_len};
use crate::parallel::{self, MOVED, SharedMut};

/// The most axes of a strided view.
const MAX_RANK: usize = 8;
/// Elements of a job.
const CHUNK: usize = 1 << 14;
/// Side of a square that is transposed at once: its cache lines stay in the first cache.
const TILE: usize = 16;

#[derive(Debug, Clone, Copy)]
struct Axis {
    size: usize,
    /// Elements between neighbours in the view.
    strided: usize,
    /// Elements between neighbours in the contiguous copy.
    dense: usize,
}

const UNIT: Axis = Axis { size: 1, strided: 0, dense: 0 };

/// How to walk a view: in planes of two axes, with loops over the others around them.
#[derive(Debug)]
struct Plan {
    others: [Axis; MAX_RANK],
    /// Of all but the last axis, the one with the nearest neighbours in the view.
    rows: Axis,
    /// The last axis: neighbours in the copy.
    columns: Axis,
    offset: usize,
    elements: usize,
}

/// A part of a plane: where it begins in the view and in the copy, and its number of rows.
struct Block {
    strided: usize,
    dense: usize,
    rows: usize,
}

impl Plan {
    /// Checks that the view lies within `len` elements, and its copy is of length `copy_len`.
    fn new(
        op: &'static str,
        shape: &[usize],
        strides: &[usize],
        offset: usize,
        [len, copy_len]: [usize; 2],
    ) -> Result<Self> {
        check_len(op, "strides", shape.len(), strides.len())?;
        if shape.len() > MAX_RANK {
            let expected = format!("at most {MAX_RANK}");
            return Err(ShapeError::new(op, "number of axes", expected, shape.len()));
        }
        let what = || format!("view of shape {shape:?} with strides {strides:?} from {offset}");
        let overflow = || ShapeError::new(op, what(), "sizes that fit in usize", "an overflow");
        let mut elements = 0;
        if !shape.contains(&0) {
            elements = shape
                .iter()
                .try_fold(1usize, |n, &size| n.checked_mul(size))
                .ok_or_else(overflow)?;
            let last = shape
                .iter()
                .zip(strides)
                .try_fold(offset, |last, (&size, &stride)| {
                    last.checked_add((size - 1).checked_mul(stride)?)
                })
                .ok_or_else(overflow)?;
            if last >= len {
                let expected = format!("indices below the length of the data, {len}");
                return Err(ShapeError::new(op, what(), expected, last));
            }
        }
        check_len(op, "the contiguous copy", elements, copy_len)?;
        let mut plan =
            Self { others: [UNIT; MAX_RANK], rows: UNIT, columns: UNIT, offset, elements };
        if elements == 0 {
            return Ok(plan);
        }

        // From the last axis up. An axis that steps over just what the one below it spans joins it.
        let mut axes = [UNIT; MAX_RANK];
        let mut rank = 0;
        let mut dense = 1;
        for (&size, &strided) in shape.iter().zip(strides).rev().filter(|&(&size, _)| size > 1) {
            match axes[..rank].last_mut() {
                Some(below) if strided == below.size * below.strided => below.size *= size,
                _ => {
                    axes[rank] = Axis { size, strided, dense };
                    rank += 1;
                }
            }
            dense *= size;
        }
        plan.columns = axes[0];
        // Where columns are neighbours in the view too, any other axis will do.
        let nearest = (1..rank).min_by_key(|&i| axes[i].strided).unwrap_or(MAX_RANK - 1);
        plan.rows = std::mem::replace(&mut axes[nearest], UNIT);
        axes[0] = UNIT;
        plan.others = axes;
        Ok(plan)
    }

    /// Planes, rows at once, and planes of a job: about `CHUNK` elements.
    fn jobs(&self) -> [usize; 3] {
        let plane = self.rows.size * self.columns.size;
        let planes = self.elements.checked_div(plane).unwrap_or(0);
        if plane >= CHUNK {
            [planes, (CHUNK / self.columns.size).clamp(1, self.rows.size), 1]
        } else {
            [planes, self.rows.size, CHUNK / plane.max(1)]
        }
    }

    /// The rows from `row` on, `rows` at most, of the plane of this number.
    fn block(&self, plane: usize, row: usize, rows: usize) -> Block {
        let mut block = Block {
            strided: self.offset + row * self.rows.strided,
            dense: row * self.rows.dense,
            rows: rows.min(self.rows.size - row),
        };
        let mut rest = plane;
        for axis in &self.others {
            let index = rest % axis.size;
            rest /= axis.size;
            block.strided += index * axis.strided;
            block.dense += index * axis.dense;
        }
        block
    }

    /// Calls `each` with the place in the view and in the copy of every run of `columns` elements
    /// of `block`, tile by tile.
    #[inline(always)]
    fn runs(&self, block: &Block, mut each: impl FnMut(usize, usize, usize)) {
        let tile = if self.columns.strided == 1 { self.columns.size } else { TILE };
        for row0 in (0..block.rows).step_by(TILE) {
            for column in (0..self.columns.size).step_by(tile) {
                let columns = tile.min(self.columns.size - column);
                for row in row0..block.rows.min(row0 + TILE) {
                    each(
                        block.strided + row * self.rows.strided + column * self.columns.strided,
                        block.dense + row * self.rows.dense + column,
                        columns,
                    );
                }
            }
        }
    }
}

/// Gathers the view of `x` that starts at `offset` into the contiguous, row-major `y`:
/// `y[i, j, ..] = x[offset + i * strides[0] + j * strides[1] + ..]`. A stride of 0 repeats.
///
/// # Errors
///
/// If the view reaches outside `x`, has another number of elements than `y`, or has more than eight
/// axes.
///
/// ```
/// // The transpose of a matrix of 2 rows and 3 columns.
/// let x = [1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0];
/// let mut y = [0.0f32; 6];
/// topedge_kernels::elementwise::copy_strided(&x, &[3, 2], &[1, 3], 0, &mut y)?;
/// assert_eq!(y, [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
/// # Ok::<(), topedge_kernels::ShapeError>(())
/// ```
pub fn copy_strided<T: Element>(
    x: &[T],
    shape: &[usize],
    strides: &[usize],
    offset: usize,
    y: &mut [T],
) -> Result<()> {
    let plan = Plan::new("copy_strided", shape, strides, offset, [x.len(), y.len()])?;
    let [planes, rows, group] = plan.jobs();
    let row_jobs = plan.rows.size.div_ceil(rows);
    let y = SharedMut::new(y.as_mut_ptr());
    parallel::for_each(planes.div_ceil(group) * row_jobs, plan.elements * MOVED, |job| {
        let first = job / row_jobs * group;
        for plane in first..planes.min(first + group) {
            let block = plan.block(plane, job % row_jobs * rows, rows);
            plan.runs(&block, |from, to, columns| {
                // SAFETY: the plan has checked that the view lies in `x`, and that `y` has one
                // place for each of its elements; jobs share none.
                unsafe {
                    let (from, to) = (x.as_ptr().add(from), y.get().add(to));
                    if plan.columns.strided == 1 {
                        std::ptr::copy_nonoverlapping(from, to, columns);
                    } else {
                        for j in 0..columns {
                            *to.add(j) = *from.add(j * plan.columns.strided);
                        }
                    }
                }
            });
        }
    });
    Ok(())
}

/// Adds the contiguous, row-major `x` to the view of `y` that starts at `offset`: the adjoint of
/// [`copy_strided`], also where strides repeat a place, whose sum is then taken in row-major order
/// within a tile.
///
/// # Errors
///
/// If the view reaches outside `y`, has another number of elements than `x`, or has more than eight
/// axes.
pub fn scatter_strided<T: Element>(
    x: &[T],
    y: &mut [T],
    shape: &[usize],
    strides: &[usize],
    offset: usize,
) -> Result<()> {
    let plan = Plan::new("scatter_strided", shape, strides, offset, [y.len(), x.len()])?;
    let [planes, ..] = plan.jobs();
    for plane in 0..planes {
        let block = plan.block(plane, 0, plan.rows.size);
        plan.runs(&block, |to, from, columns| {
            for (j, &x) in x[from..][..columns].iter().enumerate() {
                y[to + j * plan.columns.strided] += x;
            }
        });
    }
    Ok(())
}
