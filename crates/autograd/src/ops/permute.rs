//! Axes in another order.

use crate::dims::Dims;
use crate::error::{Error, Result};
use crate::float::Float;
use crate::tape::{Backward, Grads, record};
use crate::tensor::Tensor;

struct Permute {
    /// The permutation back.
    inverse: Dims,
}

impl<T: Float> Backward<T> for Permute {
    fn backward(&self, dy: Tensor<T>, grads: &mut Grads<'_, T>) -> Result<()> {
        grads.add(0, || dy.permute(&self.inverse))
    }
}

impl<T: Float> Tensor<T> {
    /// Axis `axes[i]` as axis `i`. Shares the values of a tensor in one part.
    ///
    /// # Errors
    ///
    /// If `axes` does not name each axis once.
    pub fn permute(&self, axes: &[usize]) -> Result<Self> {
        if self.parts() > 1 {
            return self.in_one_part().permute(axes);
        }
        let rank = self.rank();
        let place = |axis: usize| axes.iter().position(|&a| a == axis);
        if axes.len() != rank || (0..rank).any(|axis| place(axis).is_none()) {
            let expected = format!("each axis of shape {:?} once", self.shape());
            return Err(Error::shape("permute", "axes", expected, format!("{axes:?}")));
        }
        let y = self.view(self.layout().permuted(axes));
        let inverse = Dims::from_fn(rank, |axis| place(axis).expect("each axis is there"));
        Ok(record(y, &[self], |_| Permute { inverse }))
    }

    /// Axes `a` and `b` exchanged. Shares the values.
    ///
    /// # Errors
    ///
    /// If there is no such axis.
    pub fn transpose(&self, a: usize, b: usize) -> Result<Self> {
        self.check_axis("transpose", a)?;
        self.check_axis("transpose", b)?;
        let mut axes = Dims::from_fn(self.rank(), |axis| axis);
        axes.swap(a, b);
        self.permute(&axes)
    }
}

#[cfg(test)]
mod tests {
    use crate::gradcheck::gradcheck;
    use crate::testing::{formats, random, with_gaps};

    #[test]
    fn elements_follow_their_axes() {
        let x = random(1, &[2, 3, 4]);
        let y = x.permute(&[2, 0, 1]).unwrap();
        assert_eq!(y.shape(), [4, 2, 3]);
        let (x, y) = (x.to_vec(), y.to_vec());
        for (i, y) in y.iter().enumerate() {
            let [a, b, c] = [i / 6, i / 3 % 2, i % 3];
            assert_eq!(*y, x[b * 12 + c * 4 + a]);
        }
    }

    #[test]
    fn refusals() {
        let x = random(1, &[2, 3]);
        for axes in [&[0][..], &[0, 0], &[0, 2], &[0, 1, 2]] {
            assert!(x.permute(axes).is_err());
        }
        let error = x.transpose(0, 2).unwrap_err().to_string();
        assert_eq!(error, "transpose: axis: expected less than the rank of shape [2, 3], got 2");
    }

    #[test]
    fn gradient() {
        gradcheck(&[random(1, &[2, 3, 4])], |x| x[0].permute(&[1, 2, 0])).unwrap();
        gradcheck(&[random(1, &[2, 3])], |x| with_gaps(&x[0]).transpose(0, 1)).unwrap();
        gradcheck(&[random(1, &[3, 3])], |x| x[0].transpose(0, 1)?.mul(&x[0])).unwrap();
        gradcheck(&[random(1, &[])], |x| x[0].permute(&[])).unwrap();
        for x in formats(&random(5, &[2, 3, 1, 2])) {
            gradcheck(&[x], |x| x[0].permute(&[3, 1, 0, 2])).unwrap();
        }
    }
}
