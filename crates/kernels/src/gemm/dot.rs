//! The microkernel of sums along memory: a tile of inner products.
//!
//! `C[r][c] = sum over places p, lanes i of A[r][p][i] * B[c][p][i]`. Each product of rows is held
//! as a vector of partial sums, one a lane, so nothing is broadcast. A is packed, since the rows of
//! a tile often lie a power of two apart and would drive each other out of the cache; B is read
//! where it lies.

use std::mem::MaybeUninit;

use super::microkernel::{Microkernel, spill};
use crate::element::Element;

/// Most vectors in a row of a tile, of any instruction set.
pub(crate) const MAX_NV: usize = 4;

/// What to sum for one tile.
#[derive(Clone, Copy)]
pub(crate) struct Dot<T> {
    /// `[places][vectors][MR][LANES]`, zeros in rows and lanes that are not there.
    pub(crate) a: *const T,
    /// Elements between places of A along the two axes.
    pub(crate) a_places: [usize; 2],
    /// Where each column's lanes of the first place are; they are contiguous.
    pub(crate) b: [*const T; MAX_NV],
    pub(crate) b_places: [usize; 2],
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
    let rest = dot.lanes % V::LANES;
    for h in 0..dot.places[0] {
        for w in 0..dot.places[1] {
            let mut a = dot.a.wrapping_add(h * dot.a_places[0] + w * dot.a_places[1]);
            let place = h * dot.b_places[0] + w * dot.b_places[1];
            let mut b = [dot.b[0]; C];
            for (b, from) in b.iter_mut().zip(dot.b) {
                *b = from.wrapping_add(place);
            }
            for _ in 0..dot.lanes / V::LANES {
                // SAFETY: a whole vector of lanes is inside both operands.
                unsafe { step::<V, R, C>(&mut sums, a, &b, |p| V::load(p)) };
                a = a.wrapping_add(V::MR * V::LANES);
                b = b.map(|b| b.wrapping_add(V::LANES));
            }
            if rest > 0 {
                // SAFETY: `rest` lanes are inside B, and A is padded to a whole vector.
                unsafe {
                    step::<V, R, C>(&mut sums, a, &b, |p| V::load_first(p, rest));
                }
            }
        }
    }
    let mut spilled = MaybeUninit::uninit();
    for (i, sums) in spill(&sums, &mut spilled).iter().enumerate().take(dot.rows) {
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
/// `R` vectors must be readable at `a`, and `load` must be able to read from each of `b`.
#[inline(always)]
unsafe fn step<V: Microkernel, const R: usize, const C: usize>(
    sums: &mut [[V; C]; R],
    a: *const V::Elem,
    b: &[*const V::Elem; C],
    load: impl Fn(*const V::Elem) -> V,
) {
    let mut row = [V::splat(V::Elem::ZERO); C];
    for (x, &b) in row.iter_mut().zip(b) {
        *x = load(b);
    }
    for (i, sums) in sums.iter_mut().enumerate() {
        // SAFETY: one of the `R` vectors.
        let y = unsafe { V::load(a.add(i * V::LANES)) };
        for (sum, &x) in sums.iter_mut().zip(&row) {
            *sum = y.mul_add(x, *sum);
        }
    }
}
