//! Other shapes for the same elements.

use crate::dims::Dims;
use crate::error::{Error, Result};
use crate::float::Float;
use crate::layout::checked_len;
use crate::tape::{Backward, Grads, record};
use crate::tensor::Tensor;

struct Reshape {
    shape: Dims,
}

impl<T: Float> Backward<T> for Reshape {
    fn backward(&self, dy: Tensor<T>, grads: &mut Grads<'_, T>) -> Result<()> {
        grads.add(0, || dy.reshape(&self.shape))
    }
}

impl<T: Float> Tensor<T> {
    /// The same elements, in row-major sequence, as another shape. Shares the values where strides
    /// can say that, and copies them otherwise.
    ///
    /// # Errors
    ///
    /// If the shape has another number of elements, or too many axes.
    pub fn reshape(&self, shape: &[usize]) -> Result<Self> {
        let op = "reshape";
        let from = self.layout().shape;
        let to = Dims::new(op, shape)?;
        if checked_len(op, shape)? != self.len() {
            let expected = format!("{} elements, as in shape {from:?}", self.len());
            return Err(Error::shape(op, "shape", expected, format!("{shape:?}")));
        }
        let y = match self.layout().reshaped(to) {
            Some(layout) => self.view(layout),
            None => {
                // In one part, too.
                let x = self.detach().contiguous();
                let layout = x.layout().reshaped(to).expect("any shape fits row-major elements");
                x.view(layout)
            }
        };
        Ok(record(y, &[self], |_| Reshape { shape: from }))
    }

    /// The axes from `start` on as one: `[n, c, h, w]` from 1 on is `[n, c*h*w]`. Never copies a
    /// batch-last image.
    ///
    /// # Errors
    ///
    /// If there is no axis `start`.
    ///
    /// ```
    /// use topedge_autograd::Tensor;
    ///
    /// let x = Tensor::<f32>::zeros(&[1, 2, 1, 1])?;
    /// assert_eq!(x.flatten(1)?.shape(), [1, 2]);
    /// # Ok::<(), topedge_autograd::Error>(())
    /// ```
    pub fn flatten(&self, start: usize) -> Result<Self> {
        self.check_axis("flatten", start)?;
        let size = self.shape()[start..].iter().product();
        let flat = Dims::from_fn(start + 1, |i| if i < start { self.shape()[i] } else { size });
        self.reshape(&flat)
    }
}

#[cfg(test)]
mod tests {

    use crate::gradcheck::gradcheck;
    use crate::testing::{formats, random, with_gaps};

    #[test]
    fn the_sequence_is_kept_in_every_format() {
        let x = random(1, &[2, 3, 4, 5]);
        for y in formats(&x) {
            assert_eq!(y.flatten(1).unwrap().to_vec(), x.to_vec());
            assert_eq!(y.reshape(&[6, 1, 20]).unwrap().to_vec(), x.to_vec());
            assert_eq!(y.flatten(0).unwrap().shape(), [120]);
        }
    }

    #[test]
    fn refusals() {
        let error = random(1, &[2, 3]).reshape(&[4]).unwrap_err().to_string();
        assert_eq!(error, "reshape: shape: expected 6 elements, as in shape [2, 3], got [4]");
        assert!(random(1, &[1]).reshape(&[1; 7]).is_err());
        assert!(random(1, &[0]).reshape(&[0, usize::MAX, 2]).is_err());
        assert!(random(1, &[2]).flatten(1).is_err());
        assert!(random(1, &[]).flatten(0).is_err());
    }

    #[test]
    fn gradient() {
        for shape in [&[3, 4][..], &[12], &[1, 2, 6, 1]] {
            gradcheck(&[random(1, &[2, 6])], |x| x[0].reshape(shape)).unwrap();
            gradcheck(&[random(1, &[2, 6])], |x| with_gaps(&x[0]).reshape(shape)).unwrap();
            gradcheck(&[random(1, &[6, 2])], |x| x[0].transpose(0, 1)?.reshape(shape)).unwrap();
        }
        gradcheck(&[random(1, &[])], |x| x[0].reshape(&[1, 1])).unwrap();
        for x in formats(&random(5, &[2, 3, 2, 2])) {
            gradcheck(&[x], |x| x[0].flatten(1)?.mul(&x[0].reshape(&[2, 12])?)).unwrap();
        }
    }
}
