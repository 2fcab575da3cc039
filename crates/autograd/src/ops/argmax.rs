//! Where the maxima lie. Not differentiable.

use topedge_kernels::reduce;

use crate::error::Result;
use crate::float::Float;
use crate::tensor::Tensor;

impl<T: Float> Tensor<T> {
    /// The place along `axis` of each maximum, the first of equal ones, in row-major sequence of
    /// the other axes. NaN counts as the maximum.
    ///
    /// # Errors
    ///
    /// If there is no such axis, or it is empty.
    ///
    /// ```
    /// use topedge_autograd::Tensor;
    ///
    /// let logits = Tensor::new(vec![0.1f32, 2.0, 0.3, 5.0, 0.0, 5.0], &[2, 3])?;
    /// assert_eq!(logits.argmax(1)?, [1, 0]);
    /// # Ok::<(), topedge_autograd::Error>(())
    /// ```
    pub fn argmax(&self, axis: usize) -> Result<Vec<u32>> {
        self.check_axis("argmax", axis)?;
        let x = self.detach().contiguous();
        let [outer, n, inner] = x.layout().around(axis);
        let mut places = vec![0; outer * inner];
        reduce::argmax_axis(x.dense(), outer, n, inner, &mut places)?;
        Ok(places)
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{formats, random};

    #[test]
    fn every_format_finds_the_same_places() {
        let x = random(1, &[2, 3, 4, 5]);
        for axis in 0..4 {
            let rest: Vec<_> = (0..4).filter(|&a| a != axis).chain([axis]).collect();
            let rows = x.permute(&rest).unwrap().to_vec();
            let expected: Vec<u32> = rows
                .chunks(x.shape()[axis])
                .map(|row| {
                    (0..row.len()).max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap() as u32
                })
                .collect();
            for x in formats(&x) {
                assert_eq!(x.argmax(axis).unwrap(), expected);
            }
        }
    }

    #[test]
    fn refusals() {
        assert!(random(1, &[2]).argmax(1).is_err());
        assert!(random(1, &[2, 0]).argmax(1).is_err());
    }
}
