//! A number added to, or multiplied with, every element.

use topedge_kernels::elementwise;

use crate::error::Result;
use crate::float::Float;
use crate::tape::{Backward, Grads, record};
use crate::tensor::Tensor;

struct AddScalar;

impl<T: Float> Backward<T> for AddScalar {
    fn backward(&self, dy: Tensor<T>, grads: &mut Grads<'_, T>) -> Result<()> {
        grads.add(0, || Ok(dy))
    }
}

struct MulScalar<T>(T);

impl<T: Float> Backward<T> for MulScalar<T> {
    fn backward(&self, dy: Tensor<T>, grads: &mut Grads<'_, T>) -> Result<()> {
        grads.add(0, || Ok(dy.mul_scalar(self.0)))
    }
}

impl<T: Float> Tensor<T> {
    /// `x + s`. `dx = dy`.
    pub fn add_scalar(&self, s: T) -> Self {
        record(self.map(|x, y| elementwise::add_scalar(x, s, y)), &[self], |_| AddScalar)
    }

    /// `x * s`. `dx = s dy`.
    pub fn mul_scalar(&self, s: T) -> Self {
        record(self.map(|x, y| elementwise::scale(x, s, y)), &[self], |_| MulScalar(s))
    }

    /// `-x`. `dx = -dy`.
    pub fn neg(&self) -> Self {
        self.mul_scalar(-T::ONE)
    }
}

#[cfg(test)]
mod tests {
    use crate::gradcheck::gradcheck;
    use crate::testing::{formats, random, with_gaps};

    #[test]
    fn gradient() {
        for x in [random(1, &[]), random(2, &[3, 2]), random(3, &[0])] {
            gradcheck(&[x], |x| Ok(with_gaps(&x[0]).add_scalar(3.0).mul_scalar(-0.5).neg()))
                .unwrap();
        }
        for x in formats(&random(1, &[2, 3, 2, 1])) {
            gradcheck(&[x], |x| x[0].mul_scalar(2.0).mul(&x[0].add_scalar(1.0))).unwrap();
        }
        assert_eq!(random(1, &[1]).neg().item(), random(1, &[1]).item().map(|x| -x));
    }
}
