//! The microkernel: a tile of the output, held in registers over the whole sum.
//!
//! It is a *batch-reduce* GEMM: the sum over several pairs of panels of A and rows of B,
//! `C[r][j] = sum over pairs p, depth k of A_p[k][r] * B_p[k][j]`. A plain GEMM has one pair, of
//! packed panels. A convolution whose image lies batch-last has one pair for each tap of the
//! kernel that hits the image, and B is the image itself, not packed at all.

use crate::arch::Vector;
use crate::element::Element;

/// A panel of A and where the rows of B start that it meets.
#[derive(Clone, Copy)]
pub(crate) struct Pair<T> {
    /// `depth` columns of `MR` numbers: `[k][MR]`.
    pub(crate) a: *const T,
    /// `depth` rows, `b_stride` apart, of at least as many numbers as the tile has columns
    /// (rounded up to whole vectors).
    pub(crate) b: *const T,
}

// SAFETY: a pair is only an address; whoever reads through it has that duty.
unsafe impl<T: Sync> Send for Pair<T> {}
// SAFETY: as above.
unsafe impl<T: Sync> Sync for Pair<T> {}

/// What to sum for one tile.
#[derive(Clone, Copy)]
pub(crate) struct Tile<'a, T> {
    pub(crate) pairs: &'a [Pair<T>],
    /// Steps of the sum in each pair.
    pub(crate) depth: usize,
    /// Elements between the rows of B.
    pub(crate) b_stride: usize,
    /// 1 to `MR`.
    pub(crate) rows: usize,
    /// 1 to `NV`: how many vectors of columns.
    pub(crate) vectors: usize,
}

/// Where a tile's sums go, straight from the registers.
pub(crate) trait Store<V: Vector> {
    /// Takes the sums of `row`, columns `vector * LANES ..`. Rows beyond the tile's are not passed.
    ///
    /// # Safety
    ///
    /// The store must own the places of this row and these columns.
    unsafe fn put(&self, row: usize, vector: usize, sums: V);
}

/// A vector type with the tile that suits its registers.
pub(crate) trait Microkernel: Vector {
    /// Rows of a full tile; panels of A have this width.
    const MR: usize;
    /// Vectors of columns in a full tile.
    const NV: usize;
    /// Columns of a full tile; packed panels of B have this width.
    const NR: usize = Self::NV * Self::LANES;
    /// Sums `tile` and stores it.
    ///
    /// # Safety
    ///
    /// The pairs must be valid for `depth` steps, and the store for the tile's rows and columns.
    unsafe fn tile<S: Store<Self>>(tile: &Tile<'_, Self::Elem>, store: &S);
}

/// The loop itself, for `R` rows of panels `MR` wide and `N` vectors of columns.
///
/// # Safety
///
/// As [`Microkernel::tile`], with `tile.rows <= R` and `tile.vectors == N`.
#[inline(always)]
pub(crate) unsafe fn sum_tile<V: Microkernel, S: Store<V>, const R: usize, const N: usize>(
    tile: &Tile<'_, V::Elem>,
    store: &S,
) {
    let mut sums = [[V::splat(V::Elem::ZERO); N]; R];
    for pair in tile.pairs {
        let Pair { mut a, mut b } = *pair;
        for _ in 0..tile.depth {
            let mut row = [V::splat(V::Elem::ZERO); N];
            for (j, vector) in row.iter_mut().enumerate() {
                // SAFETY: rows of B hold `N` vectors, by the caller's duty.
                *vector = unsafe { V::load(b.add(j * V::LANES)) };
            }
            for (i, sums) in sums.iter_mut().enumerate() {
                // SAFETY: panels of A hold `MR >= R` numbers a step, by the caller's duty.
                let weight = V::splat(unsafe { *a.add(i) });
                for (sum, &x) in sums.iter_mut().zip(&row) {
                    *sum = weight.mul_add(x, *sum);
                }
            }
            a = a.wrapping_add(V::MR);
            b = b.wrapping_add(tile.b_stride);
        }
    }
    for (i, sums) in sums.iter().enumerate().take(tile.rows) {
        for (j, &sum) in sums.iter().enumerate() {
            // SAFETY: row and columns are the tile's.
            unsafe { store.put(i, j, sum) };
        }
    }
}

/// Picks the smallest compiled tile that covers `tile`: a narrow edge does not pay for a full one.
macro_rules! dispatch {
    ($v:ty, $tile:expr, $store:expr, $(($rows:literal, $vectors:literal)),+ $(,)?) => {
        match ($tile.rows, $tile.vectors) {
            $((rows, $vectors) if rows <= $rows => {
                $crate::gemm::sum_tile::<$v, _, $rows, $vectors>($tile, $store)
            })+
            (rows, vectors) => unreachable!("no tile of {rows} rows and {vectors} vectors"),
        }
    };
}
pub(crate) use dispatch;
