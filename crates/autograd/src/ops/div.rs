//! Division of elements.

use topedge_kernels::elementwise;

use super::broadcast::zip_broadcast;
use crate::dims::Dims;
use crate::error::Result;
use crate::float::Float;
use crate::tape::{Backward, Grads, record};
use crate::tensor::Tensor;

struct Div<T: Float> {
    shape: Dims,
    b: Tensor<T>,
    y: Tensor<T>,
}

impl<T: Float> Backward<T> for Div<T> {
    fn backward(&self, dy: Tensor<T>, grads: &mut Grads<'_, T>) -> Result<()> {
        let da = dy.div(&self.b)?;
        grads.add(0, || da.sum_to(&self.shape))?;
        grads.add(1, || da.mul(&self.y)?.neg().sum_to(self.b.shape()))
    }
}

impl<T: Float> Tensor<T> {
    /// `y = a / b`, element by element, broadcasting as NumPy does. `da = dy / b`,
    /// `db = -y dy / b`.
    ///
    /// # Errors
    ///
    /// If the shapes do not broadcast.
    pub fn div(&self, b: &Self) -> Result<Self> {
        let y = zip_broadcast("div", self, b, elementwise::div)?;
        let shape = self.layout().shape;
        Ok(record(y, &[self, b], |y| Div { shape, b: b.clone(), y: y.clone() }))
    }
}

#[cfg(test)]
mod tests {
    use crate::gradcheck::gradcheck;
    use crate::testing::{formats, positive, random, with_gaps};

    #[test]
    fn gradient() {
        for (a, b) in [(&[][..], &[4][..]), (&[3], &[2, 1]), (&[2, 3], &[2, 3])] {
            gradcheck(&[random(1, a), positive(2, b)], |x| x[0].div(&x[1])).unwrap();
            gradcheck(&[random(1, a), positive(2, b)], |x| x[0].div(&with_gaps(&x[1]))).unwrap();
        }
        gradcheck(&[positive(1, &[3])], |x| x[0].div(&x[0].mul(&x[0])?)).unwrap();
        for x in formats(&positive(1, &[2, 3, 2, 2])) {
            gradcheck(&[x, positive(2, &[2, 1, 2, 1])], |x| x[1].div(&x[0])).unwrap();
        }
    }
}
