//! Powers.

use topedge_kernels::elementwise;

use crate::error::Result;
use crate::float::Float;
use crate::tape::{Backward, Grads, record};
use crate::tensor::Tensor;

struct Pow<T: Float> {
    x: Tensor<T>,
    p: T,
}

impl<T: Float> Backward<T> for Pow<T> {
    fn backward(&self, dy: Tensor<T>, grads: &mut Grads<'_, T>) -> Result<()> {
        // x^0 is 1 everywhere, also at 0, where the formula would multiply 0 by infinity.
        if self.p == T::ZERO {
            return grads.add(0, || Ok(dy.mul_scalar(T::ZERO)));
        }
        grads.add(0, || self.x.pow(self.p - T::ONE).mul_scalar(self.p).mul(&dy))
    }
}

impl<T: Float> Tensor<T> {
    /// `y = x^p`; NaN for negative `x` unless `p` is whole. `dx = p x^(p - 1) dy`.
    pub fn pow(&self, p: T) -> Self {
        let y = self.map(|x, y| elementwise::powf(x, p, y));
        record(y, &[self], |_| Pow { x: self.clone(), p })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gradcheck::gradcheck;
    use crate::tape::Tape;
    use crate::testing::{assert_close, formats, positive, random, single, with_gaps};

    #[test]
    fn values() {
        let x = Tensor::new(vec![-2.0, 0.0, 0.5, 3.0], &[4]).unwrap();
        let y = Tensor::new(vec![-8.0, 0.0, 0.125, 27.0], &[4]).unwrap();
        assert_close(&x.pow(3.0), &y, 1e-14);
        assert_close(&single(&x).pow(3.0), &y, 1e-6);
        assert!(x.pow(0.5).to_vec()[0].is_nan());
    }

    #[test]
    fn gradient() {
        for p in [2.0, 3.0, 1.0, 0.0] {
            gradcheck(&[random(1, &[2, 5])], |x| Ok(with_gaps(&x[0]).pow(p))).unwrap();
        }
        for x in [positive(1, &[]), positive(2, &[3, 2])] {
            gradcheck(std::slice::from_ref(&x), |x| Ok(x[0].pow(-0.7))).unwrap();
            gradcheck(&[x], |x| x[0].pow(1.5).mul(&x[0])).unwrap();
        }
        for x in formats(&positive(5, &[2, 3, 2, 2])) {
            gradcheck(&[x], |x| Ok(x[0].pow(2.5))).unwrap();
        }
    }

    #[test]
    fn at_zero_the_gradients_are_those_of_a_constant_a_line_and_a_square() {
        for (p, dx) in [(0.0, 0.0), (1.0, 1.0), (2.0, 0.0)] {
            let x = Tensor::scalar(0.0f32).requires_grad();
            let tape = Tape::new();
            tape.backward(&x.pow(p)).unwrap();
            assert_eq!(x.grad().unwrap().item(), Ok(dx));
        }
    }
}
