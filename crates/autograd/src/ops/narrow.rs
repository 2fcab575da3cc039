//! A range of an axis.

use topedge_kernels::elementwise;

use crate::error::{Error, Result};
use crate::float::Float;
use crate::layout::Layout;
use crate::tape::{Backward, Grads, record};
use crate::tensor::Tensor;

struct Narrow {
    /// The input's, without gaps.
    x: Layout,
    axis: usize,
    start: usize,
}

impl<T: Float> Backward<T> for Narrow {
    fn backward(&self, dy: Tensor<T>, grads: &mut Grads<'_, T>) -> Result<()> {
        grads.add(0, || {
            let mut dx = Tensor::filled(self.x, T::ZERO);
            let place = dx.layout().narrowed(self.axis, self.start, dy.shape()[self.axis]);
            let dy = dy.in_layout(&Layout::row_major(dy.layout().shape));
            elementwise::scatter_strided(
                dy.dense(),
                dx.make_mut(),
                &place.shape,
                &place.strides,
                place.offset,
            )?;
            Ok(dx)
        })
    }
}

impl<T: Float> Tensor<T> {
    /// The `len` places of `axis` from `start` on. Shares the values of a tensor in one part. The gradient is `dy`
    /// there and 0 elsewhere.
    ///
    /// # Errors
    ///
    /// If there is no such axis, or it ends before `start + len`.
    pub fn narrow(&self, axis: usize, start: usize, len: usize) -> Result<Self> {
        if self.parts() > 1 {
            return self.in_one_part().narrow(axis, start, len);
        }
        let op = "narrow";
        self.check_axis(op, axis)?;
        let size = self.shape()[axis];
        if start.checked_add(len).is_none_or(|end| end > size) {
            let what = format!("range of axis {axis}");
            let expected = format!("at most {size} in shape {:?}", self.shape());
            return Err(Error::shape(op, what, expected, format!("{len} from {start} on")));
        }
        let y = self.view(self.layout().narrowed(axis, start, len));
        let x = self.layout().with_shape(self.layout().shape);
        Ok(record(y, &[self], |_| Narrow { x, axis, start }))
    }
}

#[cfg(test)]
mod tests {
    use crate::gradcheck::gradcheck;
    use crate::testing::{formats, random, with_gaps};

    #[test]
    fn the_range_is_seen_and_others_are_refused() {
        let x = random(1, &[2, 4]);
        let values = x.to_vec();
        assert_eq!(x.narrow(1, 1, 2).unwrap().to_vec(), [1, 2, 5, 6].map(|i| values[i]));
        assert_eq!(x.narrow(0, 2, 0).unwrap().to_vec(), []);
        let error = x.narrow(1, 3, 2).unwrap_err().to_string();
        assert_eq!(
            error,
            "narrow: range of axis 1: expected at most 4 in shape [2, 4], got 2 from 3 on"
        );
        assert!(x.narrow(1, usize::MAX, 2).is_err());
        assert!(x.narrow(2, 0, 1).is_err());
    }

    #[test]
    fn gradient() {
        gradcheck(&[random(1, &[5])], |x| x[0].narrow(0, 1, 3)).unwrap();
        gradcheck(&[random(1, &[2, 3])], |x| with_gaps(&x[0]).narrow(1, 2, 1)).unwrap();
        gradcheck(&[random(1, &[2, 3])], |x| x[0].narrow(1, 3, 0)).unwrap();
        gradcheck(&[random(1, &[4, 3])], |x| {
            x[0].narrow(0, 0, 3)?.mul(&x[0].narrow(0, 1, 3)?)?.transpose(0, 1)
        })
        .unwrap();
        for x in formats(&random(5, &[3, 2, 2, 3])) {
            gradcheck(&[x], |x| x[0].narrow(0, 1, 2)?.narrow(3, 1, 1)).unwrap();
        }
    }
}
