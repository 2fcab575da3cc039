//! Subtraction.

use topedge_kernels::elementwise;

use super::broadcast::zip_broadcast;
use crate::dims::Dims;
use crate::error::Result;
use crate::float::Float;
use crate::tape::{Backward, Grads, record};
use crate::tensor::Tensor;

struct Sub {
    shapes: [Dims; 2],
}

impl<T: Float> Backward<T> for Sub {
    fn backward(&self, dy: Tensor<T>, grads: &mut Grads<'_, T>) -> Result<()> {
        grads.add(0, || dy.sum_to(&self.shapes[0]))?;
        grads.add(1, || Ok(dy.sum_to(&self.shapes[1])?.neg()))
    }
}

impl<T: Float> Tensor<T> {
    /// `a - b`, broadcasting as NumPy does. `da = dy`, `db = -dy`.
    ///
    /// # Errors
    ///
    /// If the shapes do not broadcast.
    pub fn sub(&self, b: &Self) -> Result<Self> {
        let y = zip_broadcast("sub", self, b, elementwise::sub)?;
        let shapes = [self.layout().shape, b.layout().shape];
        Ok(record(y, &[self, b], |_| Sub { shapes }))
    }
}

#[cfg(test)]
mod tests {
    use crate::gradcheck::gradcheck;
    use crate::testing::{formats, random, with_gaps};

    #[test]
    fn gradient() {
        for (a, b) in [(&[][..], &[4][..]), (&[3], &[2, 1]), (&[2, 3], &[2, 3])] {
            gradcheck(&[random(1, a), random(2, b)], |x| x[0].sub(&x[1])).unwrap();
            gradcheck(&[random(1, a), random(2, b)], |x| x[0].sub(&with_gaps(&x[1]))).unwrap();
        }
        for x in formats(&random(1, &[2, 3, 2, 2])) {
            gradcheck(&[x, random(2, &[3, 1, 1])], |x| x[1].sub(&x[0])?.sub(&x[0])).unwrap();
        }
    }
}
