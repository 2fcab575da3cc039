//! Square root.

use topedge_kernels::elementwise;

use crate::error::Result;
use crate::float::Float;
use crate::tape::{Backward, Grads, record};
use crate::tensor::Tensor;

struct Sqrt<T: Float> {
    y: Tensor<T>,
}

impl<T: Float> Backward<T> for Sqrt<T> {
    fn backward(&self, dy: Tensor<T>, grads: &mut Grads<'_, T>) -> Result<()> {
        grads.add(0, || Ok(dy.div(&self.y)?.mul_scalar(T::from_f64(0.5))))
    }
}

impl<T: Float> Tensor<T> {
    /// `y = sqrt(x)`. `dx = dy / (2 y)`.
    pub fn sqrt(&self) -> Self {
        let y = self.map(elementwise::sqrt);
        record(y, &[self], |y| Sqrt { y: y.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gradcheck::gradcheck;
    use crate::testing::{assert_close, formats, positive, single, with_gaps};

    #[test]
    fn values() {
        let x = Tensor::new(vec![0.0, 1.0, 2.0, 30.0], &[4]).unwrap();
        let y =
            Tensor::new(vec![0.0, 1.0, std::f64::consts::SQRT_2, 5.477225575051661], &[4]).unwrap();
        assert_close(&x.sqrt(), &y, 1e-14);
        assert_close(&single(&x).sqrt(), &y, 1e-6);
    }

    #[test]
    fn gradient() {
        for x in [positive(1, &[]), positive(2, &[7]), positive(3, &[2, 5, 3]), positive(4, &[0])] {
            gradcheck(&[x], |x| Ok(with_gaps(&x[0]).sqrt())).unwrap();
        }
        for x in formats(&positive(5, &[2, 3, 2, 2])) {
            assert_eq!(x.sqrt().strides(), x.strides());
            gradcheck(&[x], |x| x[0].sqrt().mul(&x[0])).unwrap();
        }
    }
}
