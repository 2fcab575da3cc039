//! The logarithm of softmax.

use topedge_kernels::softmax;

use crate::error::Result;
use crate::float::Float;
use crate::tape::{Backward, Grads, record};
use crate::tensor::Tensor;

struct LogSoftmax<T: Float> {
    y: Tensor<T>,
    axis: usize,
}

impl<T: Float> Backward<T> for LogSoftmax<T> {
    fn backward(&self, dy: Tensor<T>, grads: &mut Grads<'_, T>) -> Result<()> {
        let [outer, n, inner] = self.y.layout().around(self.axis);
        let kernel = |y: &[T], dy: &[T], dx: &mut [T]| {
            softmax::log_softmax_backward(y, dy, outer, n, inner, dx)
        };
        grads.add(0, || self.y.zip(&dy, kernel))
    }
}

impl<T: Float> Tensor<T> {
    /// `y = x - ln(sum(exp(x)))` along `axis`, computed without overflow.
    /// `dx = dy - exp(y) sum(dy)`.
    ///
    /// # Errors
    ///
    /// If there is no such axis.
    pub fn log_softmax(&self, axis: usize) -> Result<Self> {
        if axis == 0 && self.parts() > 1 {
            return self.in_one_part().log_softmax(axis);
        }
        self.check_axis("log_softmax", axis)?;
        let [outer, n, inner] = self.layout().around(axis);
        let y = self.map(|x, y| softmax::log_softmax(x, outer, n, inner, y));
        Ok(record(y, &[self], |y| LogSoftmax { y: y.clone(), axis }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gradcheck::gradcheck;
    use crate::testing::{assert_close, formats, random, single, with_gaps};

    #[test]
    fn values() {
        let x = random(1, &[2, 3, 4, 5]);
        for axis in 0..4 {
            let expected = x.sub(&x.exp().sum_axis(axis, true).unwrap().ln()).unwrap();
            for x in formats(&x) {
                assert_close(&x.log_softmax(axis).unwrap(), &expected, 1e-12);
                assert_close(&single(&x).log_softmax(axis).unwrap(), &expected, 1e-5);
            }
        }
        assert!(x.log_softmax(4).is_err());
        let large = Tensor::new(vec![1000.0f32, -1000.0], &[2]).unwrap();
        assert_eq!(large.log_softmax(0).unwrap().to_vec(), [0.0, -2000.0]);
    }

    #[test]
    fn gradient() {
        for (shape, axis) in [(&[5][..], 0), (&[2, 3], 1), (&[2, 3], 0), (&[3, 1], 1)] {
            gradcheck(&[random(1, shape)], |x| with_gaps(&x[0]).log_softmax(axis)).unwrap();
        }
        for x in formats(&random(5, &[2, 3, 1, 2])) {
            gradcheck(&[x], |x| x[0].log_softmax(1)?.mul(&x[0])).unwrap();
        }
    }
}
