//! The microkernel of sums along memory: a tile of inner products.
//!
//! `C[r][c] = sum over places p, lanes i of A[r][p][i] * B[c][p][i]`. Each product of rows is held
//! as a vector of partial sums, one a lane, so nothing is broadcast. A is packed, since the rows of
//! a tile often lie a power of two apart and would drive each other out of the cache; B is read
//! where it lies.

use super::microkernel::Microkernel;
use crate::arch::{MAX_LANES, prefetch};
use crate::element::Element;

/// Most vectors in a row of a tile, of any instruction set.
pub(crate) const MAX_NV: usize = 4;

/// Most vectors of a tile, of any instruction set.
const MAX_TILE: usize = 24;

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
    /// The sums are added to these, `[columns][rows]`: neighbours in memory.
    pub(crate) c: *mut T,
}

/// The loop itself, for tiles of at most `R` rows and exactly `C` columns.
///
/// # Safety
///
/// Rows, columns, places and lanes must be inside the operands, and the tile of `c` nobody else's.
#[inline(always)]
pub(crate) unsafe fn sum_dot<V: Microkernel, const R: usize, const C: usize>(dot: &Dot<V::Elem>) {
    const { assert!(R * C <= MAX_TILE) };
    let mut sums = [[V::splat(V::Elem::ZERO); C]; R];
    // B is often no longer in a cache, and the machine fetches ahead by itself only what lies side by side, as
    // the lanes of a place do: so those of the place after the next are fetched here.
    let ahead = dot.b_places[1].wrapping_mul(2);
    for h in 0..dot.places[0] {
        for w in 0..dot.places[1] {
            let mut a = dot.a.wrapping_add(h * dot.a_places[0] + w * dot.a_places[1]);
            let place = h * dot.b_places[0] + w * dot.b_places[1];
            let mut b = [dot.b[0]; C];
            for (b, from) in b.iter_mut().zip(dot.b) {
                *b = from.wrapping_add(place);
            }
            let mut lanes = dot.lanes;
            // One copy of the products alone: with a second one, for the lanes that do not fill a
            // vector, the compiler keeps some of the sums in memory.
            while lanes > 0 {
                let mut row = [V::splat(V::Elem::ZERO); C];
                for (x, &b) in row.iter_mut().zip(&b) {
                    prefetch(b.wrapping_add(ahead));
                    // SAFETY: the lanes are inside B.
                    *x = unsafe {
                        if lanes >= V::LANES { V::load(b) } else { V::load_first(b, lanes) }
                    };
                }
                for (i, sums) in sums.iter_mut().enumerate() {
                    // SAFETY: one of the `R` vectors of A, which is padded to whole ones.
                    let y = unsafe { V::load(a.add(i * V::LANES)) };
                    for (sum, &x) in sums.iter_mut().zip(&row) {
                        *sum = y.mul_add(x, *sum);
                    }
                }
                a = a.wrapping_add(V::MR * V::LANES);
                b = b.map(|b| b.wrapping_add(V::LANES));
                lanes = lanes.saturating_sub(V::LANES);
            }
        }
    }
    let mut flat = [V::splat(V::Elem::ZERO); MAX_TILE + MAX_LANES];
    for (i, sums) in sums.iter().enumerate() {
        for (j, &sum) in sums.iter().enumerate() {
            // Volatile for the reason that `spill` gives.
            // SAFETY: a tile has at most `MAX_TILE` vectors.
            unsafe { flat.as_mut_ptr().add(j * R + i).write_volatile(sum) };
        }
    }
    // SAFETY: the tile of `c` is ours.
    unsafe {
        if dot.rows == R {
            add(&flat, R * C, dot.c);
        } else {
            for j in 0..C {
                add(&flat[j * R..], dot.rows, dot.c.add(j * dot.rows));
            }
        }
    }
}

/// Adds the sum of the lanes of each of `count` vectors to its place.
///
/// # Safety
///
/// `c` must be valid for `count` elements.
#[inline(always)]
unsafe fn add<V: Microkernel>(sums: &[V], count: usize, c: *mut V::Elem) {
    for first in (0..count).step_by(V::LANES) {
        let some = V::LANES.min(count - first);
        let sums = V::reduce_each(&sums[first..]);
        // SAFETY: the caller's duty.
        unsafe {
            let c = c.add(first);
            V::load_first(c, some).add(sums).store_first(c, some);
        }
    }
}
