//! Rectified linear unit.

use topedge_kernels::elementwise;

use crate::error::Result;
use crate::float::Float;
use crate::tape::{Backward, Grads, record};
use crate::tensor::Tensor;

struct Relu<T: Float> {
    y: Tensor<T>,
}

impl<T: Float> Backward<T> for Relu<T> {
    fn backward(&self, dy: Tensor<T>, grads: &mut Grads<'_, T>) -> Result<()> {
        grads.add(0, || self.y.zip(&dy, elementwise::relu_backward))
    }
}

impl<T: Float> Tensor<T> {
    /// `y = max(x, 0)`; NaN stays NaN. `dx = dy` where `y > 0`, else 0.
    pub fn relu(&self) -> Self {
        let y = self.map(elementwise::relu);
        record(y, &[self], |y| Relu { y: y.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gradcheck::gradcheck;
    use crate::testing::{assert_close, formats, random, single, with_gaps};

    #[test]
    fn values() {
        let x = Tensor::new(vec![-2.0, -0.5, 0.5, 3.0], &[4]).unwrap();
        let y = Tensor::new(vec![0.0, 0.0, 0.5, 3.0], &[4]).unwrap();
        assert_close(&x.relu(), &y, 1e-14);
        assert_close(&single(&x).relu(), &y, 1e-6);
    }

    #[test]
    fn gradient() {
        for x in [random(1, &[]), random(2, &[7]), random(3, &[2, 5, 3]), random(4, &[0])] {
            gradcheck(&[x], |x| Ok(with_gaps(&x[0]).relu())).unwrap();
        }
        for x in formats(&random(5, &[2, 3, 2, 2])) {
            assert_eq!(x.relu().strides(), x.strides());
            gradcheck(&[x], |x| x[0].relu().mul(&x[0])).unwrap();
        }
    }
}
