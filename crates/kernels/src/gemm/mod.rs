//! Matrix multiplication.
//!
//! `f32` runs the loops of BLIS (`blocked`) around one microkernel shape per instruction set
//! (`microkernel`); `f64` is `matrixmultiply`'s. Van Zee and van de Geijn, "BLIS: A Framework for
//! Rapidly Instantiating BLAS Functionality", ACM TOMS 41 (2015), names the loops and blocks.

pub(crate) mod blocked;
mod dot;
mod microkernel;
mod pack;
mod store;

pub(crate) use dot::{Dot, MAX_NV, sum_dot};
pub(crate) use microkernel::{
    LayoutA, MAX_MR, Microkernel, PackedA, Pair, RowsAhead, RowsOfA, Store, Tile, dispatch,
    microkernel, spill, sum_tile,
};
pub(crate) use pack::Strided;
pub(crate) use store::{Finish, Panel, Place, load_row, store_row};

use crate::arch::Isa;
use crate::element::Element;
use crate::error::{Result, ShapeError};
use crate::view::{MatMut, MatRef};

/// Sets `c = alpha * a * b + beta * c`.
///
/// Shapes: `a` is `[m, k]`, `b` is `[k, n]`, `c` is `[m, n]`, each with any strides; transposes are
/// swapped strides. With `beta` 0, `c` is not read and may hold anything. Where `k` is 0 the sum is
/// empty, and `c` becomes `beta * c`. The bits of the result do not depend on the number of threads.
///
/// # Errors
///
/// If the shapes do not fit together.
///
/// ```
/// use topedge_kernels::{MatMut, MatRef, gemm::gemm};
///
/// let a = [1.0f32, 2.0, 3.0, 4.0];
/// let mut c = [0.0f32; 4];
/// // a times its own transpose.
/// let a = MatRef::row_major(&a, 2, 2)?;
/// gemm(1.0, a, a.transpose(), 0.0, MatMut::row_major(&mut c, 2, 2)?)?;
/// assert_eq!(c, [5.0, 11.0, 11.0, 25.0]);
/// # Ok::<(), topedge_kernels::ShapeError>(())
/// ```
pub fn gemm<T: Element>(
    alpha: T,
    a: MatRef<'_, T>,
    b: MatRef<'_, T>,
    beta: T,
    c: MatMut<'_, T>,
) -> Result<()> {
    check_shapes(a.shape(), b.shape(), c.shape())?;
    if c.shape().contains(&0) {
        return Ok(());
    }
    // SAFETY: the shapes fit.
    unsafe { T::gemm(alpha, a, b, beta, c) };
    Ok(())
}

/// Refuses shapes that do not multiply.
pub(crate) fn check_shapes(a: [usize; 2], b: [usize; 2], c: [usize; 2]) -> Result<()> {
    let ([m, k], [_, n]) = (a, b);
    for (what, expected, got) in [("b", [k, n], b), ("c", [m, n], c)] {
        if expected != got {
            let what = format!("shape of {what} for a of shape {a:?}");
            let (expected, got) = (format!("{expected:?}"), format!("{got:?}"));
            return Err(ShapeError::new("gemm", what, expected, got));
        }
    }
    Ok(())
}

/// The GEMM of a number type.
pub trait Gemm: Sized {
    /// # Safety
    ///
    /// The shapes must fit: `[m, k]`, `[k, n]` and `[m, n]`.
    #[doc(hidden)]
    unsafe fn gemm(
        alpha: Self,
        a: MatRef<'_, Self>,
        b: MatRef<'_, Self>,
        beta: Self,
        c: MatMut<'_, Self>,
    );
}

impl Gemm for f32 {
    unsafe fn gemm(
        alpha: f32,
        a: MatRef<'_, f32>,
        b: MatRef<'_, f32>,
        beta: f32,
        c: MatMut<'_, f32>,
    ) {
        // The vectors of a tile lie along its columns: where those of C are not contiguous but its
        // rows are, the transposed product is the same work the right way round.
        let [row_stride, column_stride] = c.strides();
        let (a, b, c) = if column_stride != 1 && row_stride == 1 {
            (b.transpose(), a.transpose(), c.transpose())
        } else {
            (a, b, c)
        };
        let ([m, k], [_, n]) = (a.shape(), b.shape());
        let [row_stride, column_stride] = c.strides();
        let output = blocked::Output {
            c: c.as_ptr(),
            row_stride,
            columns: Strided(column_stride),
            finish: Finish { beta, bias: None },
        };
        let a = pack::Rows { matrix: a, alpha };
        let b = pack::Columns(b);
        // SAFETY: the views have checked every index of the three shapes, and C's are distinct.
        unsafe { blocked::run(Isa::current(), [m, n, k], &a, &b, &output) }
    }
}

impl Gemm for f64 {
    unsafe fn gemm(
        alpha: f64,
        a: MatRef<'_, f64>,
        b: MatRef<'_, f64>,
        beta: f64,
        c: MatMut<'_, f64>,
    ) {
        let ([m, k], [_, n]) = (a.shape(), b.shape());
        let ([ra, ca], [rb, cb], [rc, cc]) = (a.strides(), b.strides(), c.strides());
        // A stride along an axis of one element may be anything, also beyond `isize`.
        let signed = |stride: usize| isize::try_from(stride).unwrap_or(0);
        // SAFETY: the views have checked every index of the three shapes, and C's are distinct.
        unsafe {
            matrixmultiply::dgemm(
                m,
                k,
                n,
                alpha,
                a.as_ptr(),
                signed(ra),
                signed(ca),
                b.as_ptr(),
                signed(rb),
                signed(cb),
                beta,
                c.as_ptr(),
                signed(rc),
                signed(cc),
            );
        }
    }
}
