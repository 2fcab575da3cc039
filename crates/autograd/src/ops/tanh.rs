//! Hyperbolic tangent.

use topedge_kernels::elementwise;

use crate::error::Result;
use crate::float::Float;
use crate::tape::{Backward, Grads, record};
use crate::tensor::Tensor;

struct Tanh<T: Float> {
    y: Tensor<T>,
}

impl<T: Float> Backward<T> for Tanh<T> {
    fn backward(&self, dy: Tensor<T>, grads: &mut Grads<'_, T>) -> Result<()> {
        grads.add(0, || self.y.zip(&dy, elementwise::tanh_backward))
    }
}

impl<T: Float> Tensor<T> {
    /// `y = tanh(x)`. `dx = (1 - y^2) dy`.
    pub fn tanh(&self) -> Self {
        let y = self.map(elementwise::tanh);
        record(y, &[self], |y| Tanh { y: y.clone() })
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
        let y =
            Tensor::new(vec![-0.9950547536867305, 0.0, 0.46211715726000974, 1.0], &[4]).unwrap();
        assert_close(&x.tanh(), &y, 1e-14);
        assert_close(&single(&x).tanh(), &y, 1e-6);
    }

    #[test]
    fn gradient() {
        for x in [random(1, &[]), random(2, &[7]), random(3, &[2, 5, 3]), random(4, &[0])] {
            gradcheck(&[x], |x| Ok(with_gaps(&x[0]).tanh())).unwrap();
        }
        for x in formats(&random(5, &[2, 3, 2, 2])) {
            assert_eq!(x.tanh().strides(), x.strides());
            gradcheck(&[x], |x| x[0].tanh().mul(&x[0])).unwrap();
        }
    }
}
