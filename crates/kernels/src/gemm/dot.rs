//! The microkernel of sums along memory: a tile of inner products.
//!
//! `C[r][c] = sum over places p, lanes i of A[r][p][i] * B[c][p][i]`, where the lanes are contiguous
//! in both. Each product of rows is held as a vector of partial sums, one a lane, so nothing is
//! packed and nothing broadcast.

use super::microkernel::Microkernel;
use crate::element::Element;

/// One operand: rows of places of contiguous lanes.
#[derive(Clone, Copy)]
pub(crate) struct Lanes<T> {
    pub(crate) pointer: *const T,
    pub(crate) row_stride: usize,
    /// Elements between places along the two axes.
    pub(crate) place_strides: [usize; 2],
}

/// What to sum for one tile.
#[derive(Clone, Copy)]
pub(crate) struct Dot<T> {
    pub(crate) a: Lanes<T>,
    pub(crate) b: Lanes<T>,
    pub(crate) places: [usize; 2],
    pub(crate) lanes: usize,
    /// 1 to `MR`.
    pub(crate) rows: usize,
    /// 1 to `NV`.
    pub(crate) columns: usize,
    /// The sums are added to these.
    pub(crate) c: *mut T,
    pub(crate) c_row_stride: usize,
}

/// The loop itself, for tiles of at most `R` rows and exactly `C` columns.
///
/// # Safety
///
/// Rows, columns, places and lanes must be inside the operands, and the tile of `c` nobody else's.
#[inline(always)]
pub(crate) unsafe fn sum_dot<V: Microkernel, const R: usize, const C: usize>(dot: &Dot<V::Elem>) {
    let mut sums = [[V::splat(V::Elem::ZERO); C]; R];
    // Rows beyond the tile's repeat the last: read, but not written.
    let mut a_rows = [0; R];
    for (i, row) in a_rows.iter_mut().enumerate() {
        *row = i.min(dot.rows - 1) * dot.a.row_stride;
    }
    let rest = dot.lanes % V::LANES;
    for h in 0..dot.places[0] {
        for w in 0..dot.places[1] {
            let at = |lanes: &Lanes<V::Elem>| {
                let [height, width] = lanes.place_strides;
                lanes.pointer.wrapping_add(h * height + w * width)
            };
            let (mut a, mut b) = (at(&dot.a), at(&dot.b));
            for _ in 0..dot.lanes / V::LANES {
                // SAFETY: a whole vector of lanes is inside both operands.
                unsafe { step::<V, R, C>(&mut sums, a, &a_rows, b, dot.b.row_stride, |p| V::load(p)) };
                a = a.wrapping_add(V::LANES);
                b = b.wrapping_add(V::LANES);
            }
            if rest > 0 {
                // SAFETY: `rest` lanes are inside both operands.
                unsafe {
                    step::<V, R, C>(&mut sums, a, &a_rows, b, dot.b.row_stride, |p| {
                        V::load_first(p, rest)
                    });
                }
            }
        }
    }
    for (i, sums) in sums.iter().enumerate().take(dot.rows) {
        for (j, sum) in sums.iter().enumerate() {
            // SAFETY: the tile of `c` is ours.
            unsafe { *dot.c.add(i * dot.c_row_stride + j) += sum.reduce_add() };
        }
    }
}

/// Adds the products of one vector of lanes.
///
/// # Safety
///
/// `load` must be able to read from all `R` rows at `a` and all `C` rows at `b`.
#[inline(always)]
unsafe fn step<V: Microkernel, const R: usize, const C: usize>(
    sums: &mut [[V; C]; R],
    a: *const V::Elem,
    a_rows: &[usize; R],
    b: *const V::Elem,
    b_row_stride: usize,
    load: impl Fn(*const V::Elem) -> V,
) {
    let mut row = [V::splat(V::Elem::ZERO); C];
    for (j, x) in row.iter_mut().enumerate() {
        *x = load(b.wrapping_add(j * b_row_stride));
    }
    for (sums, offset) in sums.iter_mut().zip(a_rows) {
        let y = load(a.wrapping_add(*offset));
        for (sum, &x) in sums.iter_mut().zip(&row) {
            *sum = y.mul_add(x, *sum);
        }
    }
}
