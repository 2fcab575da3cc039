//! Matrix multiplication by its definition.

use crate::element::Element;
use crate::error::Result;
use crate::view::{MatMut, MatRef};

/// `c = alpha * a * b + beta * c` by three loops; shapes and meaning as [`crate::gemm::gemm`].
///
/// # Errors
///
/// As [`crate::gemm::gemm`].
pub fn gemm<T: Element>(
    alpha: T,
    a: MatRef<'_, T>,
    b: MatRef<'_, T>,
    beta: T,
    mut c: MatMut<'_, T>,
) -> Result<()> {
    crate::gemm::check_shapes(a.shape(), b.shape(), c.shape())?;
    let ([m, k], [_, n]) = (a.shape(), b.shape());
    for i in 0..m {
        for j in 0..n {
            let mut sum = T::ZERO;
            for p in 0..k {
                sum += a.get([i, p]) * b.get([p, j]);
            }
            let old = if beta == T::ZERO { T::ZERO } else { beta * c.get([i, j]) };
            c.set([i, j], alpha * sum + old);
        }
    }
    Ok(())
}
