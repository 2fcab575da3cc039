//! Multiplication of elements.

use topedge_kernels::elementwise;

use super::broadcast::zip_broadcast;
use crate::error::Result;
use crate::float::Float;
use crate::tape::{Backward, Grads, record};
use crate::tensor::Tensor;

struct Mul<T: Float> {
    a: Tensor<T>,
    b: Tensor<T>,
}

impl<T: Float> Backward<T> for Mul<T> {
    fn backward(&self, dy: Tensor<T>, grads: &mut Grads<'_, T>) -> Result<()> {
        grads.add(0, || dy.mul(&self.b)?.sum_to(self.a.shape()))?;
        grads.add(1, || dy.mul(&self.a)?.sum_to(self.b.shape()))
    }
}

impl<T: Float> Tensor<T> {
    /// `a * b`, element by element, broadcasting as NumPy does. `da = b dy`, `db = a dy`.
    ///
    /// # Errors
    ///
    /// If the shapes do not broadcast.
    pub fn mul(&self, b: &Self) -> Result<Self> {
        let y = zip_broadcast("mul", self, b, elementwise::mul)?;
        Ok(record(y, &[self, b], |_| Mul { a: self.clone(), b: b.clone() }))
    }
}

#[cfg(test)]
mod tests {
    use crate::gradcheck::gradcheck;
    use crate::testing::{formats, random, with_gaps};

    #[test]
    fn gradient() {
        for (a, b) in [(&[][..], &[4][..]), (&[3], &[2, 1]), (&[2, 3], &[2, 3]), (&[1, 1], &[1])] {
            gradcheck(&[random(1, a), random(2, b)], |x| x[0].mul(&x[1])).unwrap();
            gradcheck(&[random(1, a), random(2, b)], |x| with_gaps(&x[0]).mul(&x[1])).unwrap();
        }
        gradcheck(&[random(1, &[3])], |x| x[0].mul(&x[0])?.mul(&x[0])).unwrap();
        for x in formats(&random(1, &[2, 3, 2, 2])) {
            gradcheck(&[x, random(2, &[2, 3, 2, 1])], |x| x[1].mul(&x[0])).unwrap();
        }
    }
}
