//! The microkernel: a tile of the output, held in registers over the whole sum.
//!
//! It is a *batch-reduce* GEMM: the sum over several pairs of panels of A and rows of B,
//! `C[r][j] = sum over pairs p, depth k of A_p[k][r] * B_p[k][j]`. A plain GEMM has one pair, of
//! packed panels. A convolution whose image lies batch-last has one pair for each tap of the
//! kernel that hits the image, and B is the image itself, not packed at all; where the image lies
//! channels-last, it is A that is not packed.

use std::hint::black_box;
use std::mem::MaybeUninit;

use super::dot::Dot;
use crate::arch::{CACHE_LINE, Vector, prefetch};
use crate::element::Element;

/// Where the numbers of A lie.
pub(crate) trait LayoutA: Copy {
    /// Steps of the sum by which rows of B are fetched ahead, or 0.
    const B_AHEAD: usize = 0;

    /// Fetches, with each step at `a`, what is needed later.
    #[inline(always)]
    fn fetch<T>(&mut self, _a: *const T) {}
    /// Elements from one step of the sum to the next.
    fn step<V: Microkernel>(&self) -> usize;
    /// The offset of a row of the tile. Those behind its last, up to `MR`, must be readable, too.
    fn row(&self, row: usize) -> usize;
}

/// In packed panels: `[k][MR]`.
#[derive(Clone, Copy)]
pub(crate) struct PackedA;

impl LayoutA for PackedA {
    #[inline(always)]
    fn fetch<T>(&mut self, a: *const T) {
        // The machine fetches ahead by itself inside a page of memory only. This is 32 steps of 8 rows, which
        // take as long as the last cache does.
        prefetch(a.wrapping_add(256));
    }

    #[inline(always)]
    fn step<V: Microkernel>(&self) -> usize {
        V::MR
    }

    #[inline(always)]
    fn row(&self, row: usize) -> usize {
        row
    }
}

/// In memory, each row at its own offset.
#[derive(Clone, Copy)]
pub(crate) struct RowsOfA<'a> {
    pub(crate) offsets: &'a [usize; MAX_MR],
    pub(crate) step: usize,
}

impl LayoutA for RowsOfA<'_> {
    #[inline(always)]
    fn step<V: Microkernel>(&self) -> usize {
        self.step
    }

    #[inline(always)]
    fn row(&self, row: usize) -> usize {
        self.offsets[row]
    }
}

/// Rows of a packed panel or in memory, beside rows of B that come from the second cache or from further away.
/// Processors fetch those by themselves, too, but not all soon enough: on one core with a peak of 213 GFLOP/s,
/// squares of 512 run at 183, and at 173 without. The last rows fetched are none of this B. A convolution that is
/// not packed is not to fetch so: the rows of the next tap are elsewhere, and up to half of the time goes to those
/// that are not.
#[derive(Clone, Copy)]
pub(super) struct RowsOfBoth<'a>(pub(super) RowsOfA<'a>);

impl LayoutA for RowsOfBoth<'_> {
    const B_AHEAD: usize = 8;

    #[inline(always)]
    fn fetch<T>(&mut self, a: *const T) {
        PackedA.fetch(a);
    }

    #[inline(always)]
    fn step<V: Microkernel>(&self) -> usize {
        self.0.step::<V>()
    }

    #[inline(always)]
    fn row(&self, row: usize) -> usize {
        self.0.row(row)
    }
}

/// The same, with memory that is needed later: it is fetched a little with each step, since a machine waits
/// where too much is asked for at once.
#[derive(Clone, Copy)]
pub(crate) struct RowsAhead<'a> {
    pub(crate) rows: RowsOfA<'a>,
    pub(crate) next: *const u8,
    /// Bytes that are fetched with a step, at the most a cache line.
    pub(crate) bytes: usize,
}

impl LayoutA for RowsAhead<'_> {
    #[inline(always)]
    fn fetch<T>(&mut self, _a: *const T) {
        prefetch(self.next);
        self.next = self.next.wrapping_add(self.bytes);
    }

    #[inline(always)]
    fn step<V: Microkernel>(&self) -> usize {
        self.rows.step::<V>()
    }

    #[inline(always)]
    fn row(&self, row: usize) -> usize {
        self.rows.row(row)
    }
}

/// Most rows of a tile, of any instruction set.
pub(crate) const MAX_MR: usize = 8;

/// A panel of A and where the rows of B start that it meets, as offsets from the tile's.
#[derive(Clone, Copy, Default)]
pub(crate) struct Pair {
    /// `depth` columns of the tile's rows.
    pub(crate) a: usize,
    /// `depth` rows, `b_stride` apart, of at least as many numbers as the tile has columns
    /// (rounded up to whole vectors). They may lie before the tile's: then the offset wraps.
    pub(crate) b: usize,
}

/// What to sum for one tile.
#[derive(Clone, Copy)]
pub(crate) struct Tile<'a, T, A = PackedA> {
    pub(crate) a: *const T,
    pub(crate) a_layout: A,
    pub(crate) b: *const T,
    pub(crate) pairs: &'a [Pair],
    /// Steps of the sum in each pair.
    pub(crate) depth: usize,
    /// Elements between the rows of B.
    pub(crate) b_stride: usize,
    /// 1 to `MR`.
    pub(crate) rows: usize,
    /// 1 to `NR`.
    pub(crate) columns: usize,
}

impl<'a, T, A> Tile<'a, T, A> {
    /// The same with another layout of A.
    pub(crate) fn with_layout<B>(self, a_layout: B) -> Tile<'a, T, B> {
        let Self { a, b, pairs, depth, b_stride, rows, columns, .. } = self;
        Tile { a, a_layout, b, pairs, depth, b_stride, rows, columns }
    }
}

/// Where a tile's sums go, straight from the registers.
pub(crate) trait Store<V: Vector> {
    /// Where the columns of `row` lie, if they are neighbours: they are fetched while the tile is summed.
    fn row(&self, row: usize) -> Option<*const V::Elem>;
    /// Takes the sums of `row`, `N` vectors, of which the first `columns` elements are the tile's. Rows beyond
    /// the tile's are not passed.
    ///
    /// # Safety
    ///
    /// The store must own the places of this row and these columns; each vector must have one.
    unsafe fn put<const N: usize>(&self, row: usize, sums: &[V; N], columns: usize);
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
    unsafe fn tile<A: LayoutA, S: Store<Self>>(tile: &Tile<'_, Self::Elem, A>, store: &S);
    /// Adds a tile of inner products to its output; see [`super::dot`].
    ///
    /// # Safety
    ///
    /// Rows, columns, places and lanes must be inside the operands, and the output's tile nobody
    /// else's.
    unsafe fn dot(dot: &Dot<Self::Elem>);
}

/// Copies the sums of a tile to memory, for loops that index them by a number known at run time only.
///
/// The copy is volatile, so that the compiler cannot take it for the sums themselves: it would then
/// keep those in memory, too, and store all of them in each step.
#[inline(always)]
pub(crate) fn spill<'a, V: Copy, const R: usize, const N: usize>(
    sums: &[[V; N]; R],
    to: &'a mut MaybeUninit<[[V; N]; R]>,
) -> &'a [[V; N]; R] {
    let vectors = to.as_mut_ptr().cast::<V>();
    for (i, sums) in sums.iter().enumerate() {
        for (j, &sum) in sums.iter().enumerate() {
            // SAFETY: one of the `R * N` vectors.
            unsafe { vectors.add(i * N + j).write_volatile(sum) };
        }
    }
    // SAFETY: all vectors have been written.
    unsafe { to.assume_init_ref() }
}

/// Hands all rows of a tile to its store, straight from the registers: a loop would be one that indexes. The
/// remainder is the number itself; it shows the compiler that there is such a row.
macro_rules! put_rows {
    ($store:ident, $sums:ident, $rows:ident, $columns:expr, [$($i:literal),+]) => {
        const { assert!($rows <= [$($i),+].len()) };
        $(if $i < $rows {
            // SAFETY: all rows of the tile are there, and its columns.
            unsafe { $store.put($i, &$sums[$i % $rows], $columns) };
        })+
    };
}

/// The loop itself, for `R` rows and `N` vectors of columns.
///
/// # Safety
///
/// As [`Microkernel::tile`], with `tile.rows <= R` and `tile.columns` in `N` vectors.
#[inline(always)]
pub(crate) unsafe fn sum_tile<V, A, S, const R: usize, const N: usize>(
    tile: &Tile<'_, V::Elem, A>,
    store: &S,
) where
    V: Microkernel,
    A: LayoutA,
    S: Store<V>,
{
    let mut sums = [[V::splat(V::Elem::ZERO); N]; R];
    let mut rows = [0; R];
    for (i, row) in rows.iter_mut().enumerate() {
        *row = tile.a_layout.row(i);
    }
    for row in 0..tile.rows {
        if let Some(columns) = store.row(row) {
            for line in (0..N * V::LANES).step_by(CACHE_LINE / size_of::<V::Elem>()) {
                prefetch(columns.wrapping_add(line));
            }
        }
    }
    // Opaque, or the optimiser may divide anew in each step where one of these was calculated by a division.
    let (depth, b_stride, mut layout) = black_box((tile.depth, tile.b_stride, tile.a_layout));
    for pair in tile.pairs {
        let (mut a, mut b) = (tile.a.wrapping_add(pair.a), tile.b.wrapping_add(pair.b));
        for _ in 0..depth {
            layout.fetch(a);
            if A::B_AHEAD > 0 {
                let ahead = b_stride.wrapping_mul(A::B_AHEAD);
                for line in (0..N * V::LANES).step_by(CACHE_LINE / size_of::<V::Elem>()) {
                    prefetch(b.wrapping_add(ahead).wrapping_add(line));
                }
            }
            let mut row = [V::splat(V::Elem::ZERO); N];
            for (j, vector) in row.iter_mut().enumerate() {
                // SAFETY: rows of B hold `N` vectors, by the caller's duty.
                *vector = unsafe { V::load(b.add(j * V::LANES)) };
            }
            for (&row_of_a, sums) in rows.iter().zip(&mut sums) {
                // SAFETY: A holds `MR >= R` rows, by the caller's duty.
                let weight = V::splat(unsafe { *a.add(row_of_a) });
                for (sum, &x) in sums.iter_mut().zip(&row) {
                    *sum = weight.mul_add(x, *sum);
                }
            }
            a = a.wrapping_add(layout.step::<V>());
            b = b.wrapping_add(b_stride);
        }
    }
    // Only whole tiles go from the registers: code for the first lanes of a vector, eight times over, is most of a
    // kernel's.
    if tile.rows == R && tile.columns == N * V::LANES {
        put_rows!(store, sums, R, N * V::LANES, [0, 1, 2, 3, 4, 5, 6, 7]);
        return;
    }
    let mut spilled = MaybeUninit::uninit();
    for (i, sums) in spill(&sums, &mut spilled).iter().enumerate().take(tile.rows) {
        // SAFETY: row and columns are the tile's.
        unsafe { store.put(i, sums, tile.columns) };
    }
}

/// Picks the smallest compiled tile that covers the one asked for: a narrow edge does not pay for a
/// full one.
macro_rules! dispatch {
    ([$rows:expr, $columns:expr], $sizes:tt, $loop:ident :: <$($types:ty),+> $arguments:tt) => {
        $crate::gemm::dispatch!(@match $rows, $columns, $sizes, $loop, [$($types),+], $arguments)
    };
    (
        @match $rows:expr, $columns:expr, [$(($r:literal, $c:literal)),+ $(,)?],
        $loop:ident, $types:tt, $arguments:tt
    ) => {
        match ($rows, $columns) {
            $((rows, $c) if rows <= $r => {
                $crate::gemm::dispatch!(@call $loop, $types, $r, $c, $arguments)
            })+
            (rows, columns) => unreachable!("no tile of {rows} by {columns}"),
        }
    };
    (@call $loop:ident, [$($types:ty),+], $r:literal, $c:literal, ($($arguments:expr),*)) => {
        $crate::gemm::$loop::<$($types,)+ $r, $c>($($arguments),*)
    };
}
pub(crate) use dispatch;

/// Implements [`Microkernel`] with the tiles that are compiled, narrowest first.
macro_rules! microkernel {
    ($(#[$doc:meta])* $vector:ty, MR $mr:literal, NV $nv:literal, tiles $tiles:tt) => {
        $(#[$doc])*
        impl $crate::gemm::Microkernel for $vector {
            const MR: usize = $mr;
            const NV: usize = $nv;

            #[inline(always)]
            unsafe fn tile<A: $crate::gemm::LayoutA, S: $crate::gemm::Store<Self>>(
                tile: &$crate::gemm::Tile<'_, Self::Elem, A>,
                store: &S,
            ) {
                let vectors = tile.columns.div_ceil(<Self as $crate::arch::Vector>::LANES);
                // SAFETY: the caller's duty, passed on.
                unsafe {
                    $crate::gemm::dispatch!(
                        [tile.rows, vectors], $tiles, sum_tile::<Self, A, S>(tile, store)
                    )
                }
            }

            #[inline(always)]
            unsafe fn dot(dot: &$crate::gemm::Dot<Self::Elem>) {
                // SAFETY: the caller's duty, passed on.
                unsafe {
                    $crate::gemm::dispatch!(
                        [dot.rows, dot.columns], $tiles, sum_dot::<Self>(dot)
                    )
                }
            }
        }
    };
}
pub(crate) use microkernel;
