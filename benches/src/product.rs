//! The list of matrix products, and matrices to run them on.

use topedge::bench::{Values, number, rows, values};
use topedge_kernels::{MatMut, MatRef, Result, gemm::gemm};

/// A product of an `m` x `k` and a `k` x `n` matrix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Product {
    /// Rows of the result.
    pub m: usize,
    /// Columns of the result.
    pub n: usize,
    /// Terms of each sum.
    pub k: usize,
}

impl Product {
    /// `64x64x64`: m, n, k.
    pub fn name(&self) -> String {
        let Product { m, n, k } = self;
        format!("{m}x{n}x{k}")
    }

    /// Floating-point operations: a multiplication and an addition for each term.
    pub fn operations(&self) -> u64 {
        2 * (self.m * self.n * self.k) as u64
    }
}

/// The products of `shapes/gemm.txt`.
pub fn products() -> Vec<Product> {
    rows(include_str!("../shapes/gemm.txt"))
        .map(|row| match row.iter().map(|word| number(word)).collect::<Vec<_>>()[..] {
            [m, n, k] => Product { m, n, k },
            _ => panic!("shapes/gemm.txt: expected three numbers, got {row:?}"),
        })
        .collect()
}

/// The matrices of one product, row by row.
#[derive(Debug)]
pub struct ProductRun {
    /// Which product.
    pub size: Product,
    /// The left matrix, `m` x `k`.
    pub a: Values,
    /// The right matrix, `k` x `n`.
    pub b: Values,
    /// The result, `m` x `n`.
    pub c: Values,
}

impl ProductRun {
    /// Matrices for `size`.
    pub fn new(size: Product) -> Self {
        let Product { m, n, k } = size;
        ProductRun { size, a: values(m * k), b: values(k * n), c: values(m * n) }
    }

    /// Views of the three.
    ///
    /// # Errors
    ///
    /// None while the slices have the lengths that [`ProductRun::new`] gave them.
    pub fn views(&mut self) -> Result<(MatRef<'_, f32>, MatRef<'_, f32>, MatMut<'_, f32>)> {
        let Product { m, n, k } = self.size;
        Ok((
            MatRef::row_major(&self.a, m, k)?,
            MatRef::row_major(&self.b, k, n)?,
            MatMut::row_major(&mut self.c, m, n)?,
        ))
    }

    /// Multiplies them once.
    ///
    /// # Errors
    ///
    /// As [`ProductRun::views`].
    pub fn run(&mut self) -> Result<()> {
        let (a, b, c) = self.views()?;
        gemm(1.0, a, b, 0.0, c)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_whole() {
        let products = products();
        assert_eq!(products.len(), 14);
        assert_eq!(products[6].name(), "64x16384x576");
        assert_eq!(products[6].operations(), 1_207_959_552);
    }

    #[test]
    fn the_product_is_one() {
        let mut run = ProductRun::new(Product { m: 2, n: 3, k: 4 });
        run.run().unwrap();
        let expected: f32 = (0..4).map(|p| run.a[4 + p] * run.b[3 * p + 2]).sum();
        assert!((run.c[5] - expected).abs() < 1e-6);
    }
}
