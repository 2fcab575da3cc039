//! Logistic sigmoid.

use topedge_kernels::elementwise;

use crate::error::Result;
use crate::float::Float;
use crate::tape::{Backward, Grads, record};
use crate::tensor::Tensor;

struct Sigmoid<T: Float> {
    y: Tensor<T>,
}

impl<T: Float> Backward<T> for Sigmoid<T> {
    fn backward(&self, dy: Tensor<T>, grads: &mut Grads<'_, T>) -> Result<()> {
        grads.add(0, || self.y.zip(&dy, elementwise::sigmoid_backward))
    }
}

impl<T: Float> Tensor<T> {
    /// `y = 1 / (1 + exp(-x))`. `dx = y (1 - y) dy`.
    pub fn sigmoid(&self) -> Self {
        let y = self.map(elementwise::sigmoid);
        record(y, &[self], |y| Sigmoid { y: y.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gradcheck::gradcheck;
    use crate::testing::{assert_close, formats, random, single, with_gaps};

    #[test]
    fn values() {
        let x = Tensor::new(vec![-3.0, 0.0, 0.5, 40.0], &[4]).unwrap();
        let y = Tensor::new(vec![0.04742587317756678, 0.5, 0.6224593312018546, 1.0], &[4]).unwrap();
        assert_close(&x.sigmoid(), &y, 1e-14);
        assert_close(&single(&x).sigmoid(), &y, 1e-6);
    }

    #[test]
    fn gradient() {
        for x in [random(1, &[]), random(2, &[7]), random(3, &[2, 5, 3]), random(4, &[0])] {
            gradcheck(&[x], |x| Ok(with_gaps(&x[0]).sigmoid())).unwrap();
        }
        for x in formats(&random(5, &[2, 3, 2, 2])) {
            assert_eq!(x.sigmoid().strides(), x.strides());
            gradcheck(&[x], |x| x[0].sigmoid().mul(&x[0])).unwrap();
        }
    }
}
