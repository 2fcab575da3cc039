//! Gaussian error linear unit.

use topedge_kernels::elementwise;

use crate::error::Result;
use crate::float::Float;
use crate::tape::{Backward, Grads, record};
use crate::tensor::Tensor;

struct Gelu<T: Float> {
    x: Tensor<T>,
}

impl<T: Float> Backward<T> for Gelu<T> {
    fn backward(&self, dy: Tensor<T>, grads: &mut Grads<'_, T>) -> Result<()> {
        grads.add(0, || self.x.zip(&dy, elementwise::gelu_backward))
    }
}

impl<T: Float> Tensor<T> {
    /// `y = x P(Z <= x) = x (1 + erf(x / sqrt(2))) / 2` for a standard normal `Z`, exact, without the
    /// approximation by tanh. `dx = (P(Z <= x) + x p(x)) dy` with the normal density `p`.
    pub fn gelu(&self) -> Self {
        let y = self.map(elementwise::gelu);
        record(y, &[self], |_| Gelu { x: self.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gradcheck::gradcheck;
    use crate::testing::{assert_close, formats, random, single, with_gaps};

    #[test]
    fn values() {
        let x = Tensor::new(vec![-3.0, -0.5, 0.5, 3.0], &[4]).unwrap();
        let y = Tensor::new(
            vec![-0.00404969409489031, -0.15426876936299344, 0.34573123063700656, 2.99595030590511],
            &[4],
        )
        .unwrap();
        assert_close(&x.gelu(), &y, 1e-14);
        assert_close(&single(&x).gelu(), &y, 1e-6);
    }

    #[test]
    fn gradient() {
        for x in [random(1, &[]), random(2, &[7]), random(3, &[2, 5, 3]), random(4, &[0])] {
            gradcheck(&[x], |x| Ok(with_gaps(&x[0]).gelu())).unwrap();
        }
        for x in formats(&random(5, &[2, 3, 2, 2])) {
            assert_eq!(x.gelu().strides(), x.strides());
            gradcheck(&[x], |x| x[0].gelu().mul(&x[0])).unwrap();
        }
    }
}
