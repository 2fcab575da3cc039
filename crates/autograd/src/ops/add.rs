//! Addition.

use topedge_kernels::elementwise;

use super::broadcast::zip_broadcast;
use crate::dims::Dims;
use crate::error::Result;
use crate::float::Float;
use crate::tape::{Backward, Grads, record};
use crate::tensor::Tensor;

struct Add {
    shapes: [Dims; 2],
}

impl<T: Float> Backward<T> for Add {
    fn backward(&self, dy: Tensor<T>, grads: &mut Grads<'_, T>) -> Result<()> {
        grads.add(0, || dy.sum_to(&self.shapes[0]))?;
        grads.add(1, || dy.sum_to(&self.shapes[1]))
    }
}

impl<T: Float> Tensor<T> {
    /// `a + b`, broadcasting as NumPy does. `da = dy`, `db = dy`.
    ///
    /// # Errors
    ///
    /// If the shapes do not broadcast.
    pub fn add(&self, b: &Self) -> Result<Self> {
        let y = zip_broadcast("add", self, b, elementwise::add)?;
        let shapes = [self.layout().shape, b.layout().shape];
        Ok(record(y, &[self, b], |_| Add { shapes }))
    }
}

#[cfg(test)]
mod tests {
    use crate::gradcheck::gradcheck;
    use crate::testing::{formats, random, with_gaps};

    #[test]
    fn gradient() {
        for (a, b) in
            [(&[][..], &[][..]), (&[3], &[2, 1]), (&[2, 3, 1, 2], &[2, 3, 1, 2]), (&[0, 2], &[2])]
        {
            gradcheck(&[random(1, a), random(2, b)], |x| x[0].add(&x[1])).unwrap();
            gradcheck(&[random(1, a), random(2, b)], |x| with_gaps(&x[0]).add(&x[1])).unwrap();
        }
        gradcheck(&[random(1, &[3])], |x| x[0].add(&x[0])).unwrap();
        for x in formats(&random(1, &[2, 3, 2, 2])) {
            gradcheck(&[x, random(2, &[1, 3, 1, 1])], |x| x[1].add(&x[0])).unwrap();
        }
    }
}
