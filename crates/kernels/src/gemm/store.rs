//! How a tile leaves its registers for the output.

use super::microkernel::Store;
use crate::arch::Vector;
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
    pub(crate) columns: usize,
    pub(crate) beta: T,
    /// For the rows of this panel.
    pub(crate) bias: Option<&'a [T]>,
}

impl<V: Vector> Store<V> for Panel<'_, V::Elem> {
    #[inline(always)]
    unsafe fn put(&self, row: usize, vector: usize, sums: V) {
        let (zero, one) = (V::Elem::ZERO, V::Elem::ONE);
        let sums = match self.bias {
            Some(bias) => sums.add(V::splat(bias[row])),
            None => sums,
        };
        // SAFETY: the rows of the panel are its own.
        let c = unsafe { self.c.add(row * self.row_stride) };
        let first = vector * V::LANES;
        match self.place {
            Place::Contiguous(offset) => {
                // SAFETY: these columns are the panel's own, one behind the other.
                let c = unsafe { c.add(offset + first) };
                let some = V::LANES.min(self.columns - first);
                let sums = if self.beta == zero {
                    sums
                } else {
                    // SAFETY: as above.
                    let old = unsafe {
                        if some == V::LANES { V::load(c) } else { V::load_first(c, some) }
                    };
                    if self.beta == one {
                        sums.add(old)
                    } else {
                        V::splat(self.beta).mul_add(old, sums)
                    }
                };
                // SAFETY: as above.
                unsafe {
                    if some == V::LANES {
                        sums.store(c);
                    } else {
                        sums.store_first(c, some);
                    }
                }
            }
            Place::Scattered(offsets) => {
                let mut lanes = [zero; crate::arch::MAX_LANES];
                sums.write_to(&mut lanes);
                let columns = self.columns.min(first + V::LANES);
                for (&offset, &sum) in offsets[first..columns].iter().zip(&lanes) {
                    // SAFETY: the column is the panel's own.
                    unsafe {
                        let c = c.add(offset);
                        *c = if self.beta == zero { sum } else { sum + self.beta * *c };
                    }
                }
            }
        }
    }
}
