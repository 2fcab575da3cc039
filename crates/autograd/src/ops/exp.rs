//! Exponential.

use topedge_kernels::elementwise;

use crate::error::Result;
use crate::float::Float;
use crate::tape::{Backward, Grads, record};
use crate::tensor::Tensor;

struct Exp<T: Float> {
    y: Tensor<T>,
}

impl<T: Float> Backward<T> for Exp<T> {
    fn backward(&self, dy: Tensor<T>, grads: &mut Grads<'_, T>) -> Result<()> {
        grads.add(0, || dy.mul(&self.y))
    }
}

impl<T: Float> Tensor<T> {
    /// `y = exp(x)`. `dx = y dy`.
    pub fn exp(&self) -> Self {
        let y = self.map(elementwise::exp);
        record(y, &[self], |y| Exp { y: y.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gradcheck::gradcheck;
    use crate::testing::{assert_close, formats, random, single, with_gaps};

    #[test]
    fn values() {
        let x = Tensor::new(vec![-3.0, 0.0, 0.5, 3.0], &[4]).unwrap();
        let y = Tensor::new(
            vec![0.049787068367863944, 1.0, 1.6487212707001282, 20.085536923187668],
            &[4],
        )
        .unwrap();
        assert_close(&x.exp(), &y, 1e-14);
        assert_close(&single(&x).exp(), &y, 1e-6);
    }

    #[test]
    fn gradient() {
        for x in [random(1, &[]), random(2, &[7]), random(3, &[2, 5, 3]), random(4, &[0])] {
            gradcheck(&[x], |x| Ok(with_gaps(&x[0]).exp())).unwrap();
        }
        for x in formats(&random(5, &[2, 3, 2, 2])) {
            assert_eq!(x.exp().strides(), x.strides());
            gradcheck(&[x], |x| x[0].exp().mul(&x[0])).unwrap();
        }
    }
}
