//! Leaky rectified linear unit.

use topedge_kernels::elementwise;

use crate::error::Result;
use crate::float::Float;
use crate::tape::{Backward, Grads, record};
use crate::tensor::Tensor;

struct LeakyRelu<T: Float> {
    x: Tensor<T>,
    slope: T,
}

impl<T: Float> Backward<T> for LeakyRelu<T> {
    fn backward(&self, dy: Tensor<T>, grads: &mut Grads<'_, T>) -> Result<()> {
        let kernel = |x: &[T], dy: &[T], dx: &mut [T]| {
            elementwise::leaky_relu_backward(x, self.slope, dy, dx)
        };
        grads.add(0, || self.x.zip(&dy, kernel))
    }
}

impl<T: Float> Tensor<T> {
    /// `y = x` where `x > 0`, else `slope x`. `dx = dy` where `x > 0`, else `slope dy`.
    pub fn leaky_relu(&self, slope: T) -> Self {
        let y = self.map(|x, y| elementwise::leaky_relu(x, slope, y));
        record(y, &[self], |_| LeakyRelu { x: self.clone(), slope })
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
        let y = Tensor::new(vec![-0.2, -0.05, 0.5, 3.0], &[4]).unwrap();
        assert_close(&x.leaky_relu(0.1), &y, 1e-14);
        assert_close(&single(&x).leaky_relu(0.1), &y, 1e-6);
    }

    #[test]
    fn gradient() {
        // A negative slope is where saving the output instead of the input would go wrong.
        for slope in [0.01, 0.0, -0.5] {
            for x in [random(1, &[]), random(2, &[7]), random(3, &[2, 5, 3]), random(4, &[0])] {
                gradcheck(&[x], |x| Ok(with_gaps(&x[0]).leaky_relu(slope))).unwrap();
            }
            for x in formats(&random(5, &[2, 3, 2, 2])) {
                gradcheck(&[x], |x| x[0].leaky_relu(slope).mul(&x[0])).unwrap();
            }
        }
    }
}
