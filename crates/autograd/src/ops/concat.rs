//! Tensors side by side.

use crate::error::{Error, Result};
use crate::float::Float;
use crate::tape::{Backward, Grads, record};
use crate::tensor::Tensor;

struct Concat {
    axis: usize,
    /// Of each input along the axis.
    sizes: Vec<usize>,
}

impl<T: Float> Backward<T> for Concat {
    fn backward(&self, dy: Tensor<T>, grads: &mut Grads<'_, T>) -> Result<()> {
        let mut start = 0;
        for (input, &size) in self.sizes.iter().enumerate() {
            grads.add(input, || dy.narrow(self.axis, start, size))?;
            start += size;
        }
        Ok(())
    }
}

impl<T: Float> Tensor<T> {
    /// The tensors one after the other along `axis`. Each gets its part of the gradient.
    ///
    /// # Errors
    ///
    /// If there are none, there is no such axis, or another size differs.
    ///
    /// ```
    /// use topedge_autograd::Tensor;
    ///
    /// let a = Tensor::new(vec![1.0f32, 2.0], &[2, 1])?;
    /// let b = Tensor::new(vec![3.0, 4.0, 5.0, 6.0], &[2, 2])?;
    /// assert_eq!(Tensor::concat(&[&a, &b], 1)?.to_vec(), [1.0, 3.0, 4.0, 2.0, 5.0, 6.0]);
    /// # Ok::<(), topedge_autograd::Error>(())
    /// ```
    pub fn concat(tensors: &[&Self], axis: usize) -> Result<Self> {
        let op = "concat";
        let Some(first) = tensors.first() else {
            return Err(Error::shape(op, "number of tensors", "at least 1", 0));
        };
        first.check_axis(op, axis)?;
        let mut size = 0usize;
        for (i, x) in tensors.iter().enumerate() {
            let fits = x.rank() == first.rank()
                && x.layout().shape.with(axis, 0) == first.layout().shape.with(axis, 0);
            if !fits {
                let what = format!("shape of tensor {i}");
                let expected = format!("{:?}, but for axis {axis}", first.shape());
                return Err(Error::shape(op, what, expected, format!("{:?}", x.shape())));
            }
            // An overflow is refused with the shape.
            size = size.saturating_add(x.shape()[axis]);
        }
        let like = first.layout().in_one_part();
        let mut y = Self::like_layout(&like, op, &like.shape.with(axis, size))?;
        let [_, size, inner] = y.layout().around(axis);
        let mut start = 0;
        for x in tensors {
            let x = x.in_layout(&like.with_shape(x.layout().shape));
            let [_, part, _] = x.layout().around(axis);
            // An empty tensor has no chunks.
            let from = x.dense().chunks_exact((part * inner).max(1));
            let to = y.make_mut().chunks_exact_mut((size * inner).max(1));
            for (from, to) in from.zip(to) {
                to[start * inner..][..from.len()].copy_from_slice(from);
            }
            start += part;
        }
        let sizes = tensors.iter().map(|x| x.shape()[axis]);
        Ok(record(y, tensors, |_| Concat { axis, sizes: sizes.collect() }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gradcheck::gradcheck;
    use crate::testing::{formats, random, with_gaps};

    #[test]
    fn parts_come_back_by_narrow_in_every_format() {
        for axis in 0..4 {
            for x in formats(&random(1, &[2, 3, 4, 5])) {
                let middle = x.narrow(axis, 0, 1).unwrap();
                let none = x.narrow(axis, 0, 0).unwrap();
                let y = Tensor::concat(&[&x, &none, &middle, &x.contiguous()], axis).unwrap();
                let size = x.shape()[axis];
                assert_eq!(y.shape()[axis], 2 * size + 1);
                let part = |start, len| y.narrow(axis, start, len).unwrap().to_vec();
                assert_eq!(part(0, size), x.to_vec());
                assert_eq!(part(size, 1), middle.to_vec());
                assert_eq!(part(size + 1, size), x.to_vec());
            }
        }
    }

    #[test]
    fn refusals() {
        let (a, b) = (random(1, &[2, 3]), random(2, &[3, 3]));
        assert!(Tensor::concat(&[&a, &b], 0).is_ok());
        let error = Tensor::concat(&[&a, &b], 1).unwrap_err().to_string();
        assert_eq!(error, "concat: shape of tensor 1: expected [2, 3], but for axis 1, got [3, 3]");
        assert!(Tensor::<f32>::concat(&[], 0).is_err());
        assert!(Tensor::concat(&[&a], 2).is_err());
        assert!(Tensor::concat(&[&a, &random(1, &[2])], 0).is_err());
    }

    #[test]
    fn gradient() {
        let shapes = [random(1, &[2, 1, 3]), random(2, &[2, 4, 3]), random(3, &[2, 0, 3])];
        gradcheck(&shapes, |x| Tensor::concat(&[&x[0], &x[2], &x[1], &x[0]], 1)).unwrap();
        gradcheck(&[random(1, &[2, 3])], |x| {
            let y = Tensor::concat(&[&with_gaps(&x[0]), &x[0]], 0)?;
            y.mul(&y)
        })
        .unwrap();
        for x in formats(&random(5, &[2, 3, 1, 2])) {
            let like = x.mul_scalar(0.5);
            gradcheck(&[x, like], |x| Tensor::concat(&[&x[0], &x[1]], 1)).unwrap();
        }
    }
}
