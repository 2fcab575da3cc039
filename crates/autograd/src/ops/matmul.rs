//! The product of matrices.

use topedge_kernels::gemm::gemm;

use crate::error::{Error, Result};
use crate::float::Float;
use crate::tape::{Backward, Grads, record};
use crate::tensor::Tensor;

const OP: &str = "matmul";

/// `a b`, laid out as `like` is.
fn product<T: Float>(a: &Tensor<T>, b: &Tensor<T>, like: &Tensor<T>) -> Result<Tensor<T>> {
    let [m, k] = a.sizes(OP, "a", "[m, k]")?;
    let [k_of_b, n] = b.sizes(OP, "b", "[k, n]")?;
    if k != k_of_b {
        let what = "axis 0 of b (k)";
        let expected = format!("{k}, as in a of shape {:?}", a.shape());
        return Err(Error::shape(OP, what, expected, format!("{k_of_b} in {:?}", b.shape())));
    }
    let mut y = Tensor::like_layout(&like.layout().in_one_part(), OP, &[m, n])?;
    let [a, b] = [a, b].map(|x| x.detach().in_one_part());
    let (a, b) = (a.matrix(OP, "a", "[m, k]")?, b.matrix(OP, "b", "[k, n]")?);
    gemm(T::ONE, a, b, T::ZERO, y.matrix_mut(OP, "the product")?)?;
    Ok(y)
}

struct Matmul<T: Float> {
    a: Tensor<T>,
    b: Tensor<T>,
}

impl<T: Float> Backward<T> for Matmul<T> {
    fn backward(&self, dy: Tensor<T>, grads: &mut Grads<'_, T>) -> Result<()> {
        let Self { a, b } = self;
        grads.add(0, || product(&dy, &b.transpose(0, 1)?, a))?;
        grads.add(1, || product(&a.transpose(0, 1)?, &dy, b))
    }
}

impl<T: Float> Tensor<T> {
    /// `a b` for matrices `[m, k]` and `[k, n]`, however they lie in memory. `da = dy b^T`,
    /// `db = a^T dy`.
    ///
    /// # Errors
    ///
    /// If either is no matrix, or the `k` differ.
    pub fn matmul(&self, b: &Self) -> Result<Self> {
        let y = product(self, b, self)?;
        Ok(record(y, &[self, b], |_| Matmul { a: self.clone(), b: b.clone() }))
    }
}

#[cfg(test)]
mod tests {

    use crate::gradcheck::gradcheck;
    use crate::testing::{assert_close, random, single, with_gaps};

    #[test]
    fn values() {
        for [m, k, n] in [[2, 3, 4], [1, 5, 1], [3, 1, 2], [2, 0, 3], [0, 2, 3]] {
            let (a, b) = (random(1, &[m, k]), random(2, &[k, n]));
            let expected =
                a.reshape(&[m, k, 1]).unwrap().mul(&b).unwrap().sum_axis(1, false).unwrap();
            assert_close(&a.matmul(&b).unwrap(), &expected, 1e-12);
            assert_close(&single(&a).matmul(&single(&b)).unwrap(), &expected, 1e-5);
        }
    }

    #[test]
    fn refusals() {
        let error = random(1, &[2, 3]).matmul(&random(2, &[4, 5])).unwrap_err().to_string();
        assert_eq!(
            error,
            "matmul: axis 0 of b (k): expected 3, as in a of shape [2, 3], got 4 in [4, 5]"
        );
        assert!(random(1, &[3]).matmul(&random(2, &[3, 1])).is_err());
        assert!(random(1, &[1, 3]).matmul(&random(2, &[3])).is_err());
    }

    #[test]
    fn gradient() {
        for [m, k, n] in [[2, 3, 4], [1, 5, 1], [2, 0, 3]] {
            gradcheck(&[random(1, &[m, k]), random(2, &[k, n])], |x| x[0].matmul(&x[1])).unwrap();
            gradcheck(&[random(1, &[k, m]), random(2, &[n, k])], |x| {
                x[0].transpose(0, 1)?.matmul(&with_gaps(&x[1]).transpose(0, 1)?)
            })
            .unwrap();
        }
        gradcheck(&[random(1, &[3, 3])], |x| x[0].matmul(&x[0])?.matmul(&x[0])).unwrap();
        let column_major = random(1, &[3, 2]).transpose(0, 1).unwrap();
        assert_eq!(column_major.matmul(&random(2, &[3, 4])).unwrap().strides(), [1, 2]);
        gradcheck(&[column_major, random(2, &[3, 4])], |x| x[0].matmul(&x[1])).unwrap();
    }
}
