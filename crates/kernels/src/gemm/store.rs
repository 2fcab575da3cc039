//! How a tile leaves its registers for the output.

use super::microkernel::Store;
use crate::arch::{MAX_LANES, Vector};
use crate::element::Element;

/// What happens to a sum on its way out: `c = sum + bias[row] + beta * c`.
#[derive(Clone, Copy)]
pub(crate) struct Finish<'a, T> {
    /// With 0 the output is not read.
    pub(crate) beta: T,
    /// One number for each row of the whole output.
    pub(crate) bias: Option<&'a [T]>,
}

/// Where the columns of a panel lie.
#[derive(Clone, Copy)]
pub(crate) enum Place<'a> {
    /// One behind the other, from this offset.
    Contiguous(usize),
    /// Each at its own offset.
    Scattered(&'a [usize]),
}

/// Some rows of a panel of columns of the output.
pub(crate) struct Panel<'a, T> {
    /// Row 0 of this panel.
    pub(crate) c: *mut T,
    pub(crate) row_stride: usize,
    pub(crate) place: Place<'a>,
    pub(crate) beta: T,
    /// For the rows of this panel.
    pub(crate) bias: Option<&'a [T]>,
}

/// Loads `N` vectors, of which the first `columns` elements are there.
///
/// # Safety
///
/// `p` must be valid for reading so many; each vector must have one.
#[inline(always)]
pub(crate) unsafe fn load_row<V: Vector, const N: usize>(
    p: *const V::Elem,
    columns: usize,
) -> [V; N] {
    let whole = columns == N * V::LANES;
    let mut row = [V::splat(V::Elem::ZERO); N];
    for (j, vector) in row.iter_mut().enumerate() {
        let first = j * V::LANES;
        // SAFETY: the caller's duty.
        *vector = unsafe {
            let p = p.add(first);
            if whole { V::load(p) } else { V::load_first(p, V::LANES.min(columns - first)) }
        };
    }
    row
}

/// Stores the first `columns` elements of `N` vectors.
///
/// # Safety
///
/// `p` must be valid for writing so many; each vector must have one.
#[inline(always)]
pub(crate) unsafe fn store_row<V: Vector, const N: usize>(
    row: &[V; N],
    p: *mut V::Elem,
    columns: usize,
) {
    let whole = columns == N * V::LANES;
    for (j, vector) in row.iter().enumerate() {
        let first = j * V::LANES;
        // SAFETY: the caller's duty.
        unsafe {
            let p = p.add(first);
            if whole {
                vector.store(p)
            } else {
                vector.store_first(p, V::LANES.min(columns - first))
            }
        }
    }
}

/// Loads what lies at `offsets` from `p`, as many as a vector has lanes at the most.
///
/// Not inlined, like [`scatter`]: sixteen places of each vector of each row of each tile are most of a
/// kernel's code, and have no use for its instruction set.
///
/// # Safety
///
/// `p` must be valid for reading at each offset.
#[inline(never)]
unsafe fn gather<T: Element>(p: *const T, offsets: &[usize]) -> [T; MAX_LANES] {
    let mut lanes = [T::ZERO; MAX_LANES];
    for (lane, &offset) in lanes.iter_mut().zip(offsets) {
        // SAFETY: the caller's duty.
        *lane = unsafe { *p.add(offset) };
    }
    lanes
}

/// Stores the first lanes at `offsets` from `p`.
///
/// # Safety
///
/// `p` must be valid for writing at each offset.
#[inline(never)]
unsafe fn scatter<T: Element>(lanes: &[T; MAX_LANES], p: *mut T, offsets: &[usize]) {
    for (&lane, &offset) in lanes.iter().zip(offsets) {
        // SAFETY: the caller's duty.
        unsafe { *p.add(offset) = lane };
    }
}

/// Loads what lies at `offsets` from `p`, at most `N` vectors of it.
///
/// # Safety
///
/// `p` must be valid for reading at each offset.
#[inline(always)]
unsafe fn gather_row<V: Vector, const N: usize>(p: *const V::Elem, offsets: &[usize]) -> [V; N] {
    let mut row = [V::splat(V::Elem::ZERO); N];
    for (vector, offsets) in row.iter_mut().zip(offsets.chunks(V::LANES)) {
        // SAFETY: the caller's duty.
        *vector = V::from_slice(&unsafe { gather(p, offsets) });
    }
    row
}

impl<V: Vector> Store<V> for Panel<'_, V::Elem> {
    #[inline(always)]
    fn row(&self, row: usize) -> Option<*const V::Elem> {
        match self.place {
            Place::Contiguous(offset) => Some(self.c.wrapping_add(row * self.row_stride + offset)),
            Place::Scattered(_) => None,
        }
    }

    #[inline(always)]
    unsafe fn put<const N: usize>(&self, row: usize, sums: &[V; N], columns: usize) {
        let (zero, one) = (V::Elem::ZERO, V::Elem::ONE);
        let mut sums = *sums;
        if let Some(bias) = self.bias {
            let bias = V::splat(bias[row]);
            for sums in &mut sums {
                *sums = sums.add(bias);
            }
        }
        // SAFETY: the rows of the panel are its own.
        let c = unsafe { self.c.add(row * self.row_stride) };
        if self.beta != zero {
            // The same arithmetic wherever the columns lie: how many share a panel is no matter of shape alone.
            let old: [V; N] = match self.place {
                // SAFETY: these columns are the panel's own, one behind the other.
                Place::Contiguous(offset) => unsafe { load_row(c.add(offset), columns) },
                // SAFETY: these columns are the panel's own.
                Place::Scattered(offsets) => unsafe { gather_row(c, &offsets[..columns]) },
            };
            let beta = V::splat(self.beta);
            for (sums, old) in sums.iter_mut().zip(old) {
                *sums = if self.beta == one { sums.add(old) } else { beta.mul_add(old, *sums) };
            }
        }
        match self.place {
            // SAFETY: as above.
            Place::Contiguous(offset) => unsafe { store_row(&sums, c.add(offset), columns) },
            Place::Scattered(offsets) => {
                for (sums, offsets) in sums.iter().zip(offsets[..columns].chunks(V::LANES)) {
                    let mut lanes = [zero; MAX_LANES];
                    sums.write_to(&mut lanes);
                    // SAFETY: the columns are the panel's own.
                    unsafe { scatter(&lanes, c, offsets) };
                }
            }
        }
    }
}
