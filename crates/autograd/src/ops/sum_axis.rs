//! Sums and means along an axis.

use topedge_kernels::{ShapeError, reduce};

use crate::error::Result;
use crate::float::Float;
use crate::layout::Layout;
use crate::tape::{Backward, Grads, record};
use crate::tensor::Tensor;

struct SumAxis<T> {
    /// The input's, without gaps.
    x: Layout,
    axis: usize,
    /// What each element was multiplied with: 1 for the sum.
    scale: T,
}

impl<T: Float> Backward<T> for SumAxis<T> {
    fn backward(&self, dy: Tensor<T>, grads: &mut Grads<'_, T>) -> Result<()> {
        let Self { x, axis, scale } = *self;
        grads.add(0, || {
            let kept = x.shape.with(axis, 1);
            let dy = dy.reshape(&kept)?.in_layout(&x.with_shape(kept));
            let mut dx = Tensor::for_overwrite(x);
            let [outer, n, inner] = x.around(axis);
            reduce::broadcast_axis(dy.dense(), outer, n, inner, dx.make_mut())?;
            Ok(if scale == T::ONE { dx } else { dx.mul_scalar(scale) })
        })
    }
}

type Kernel<T> = fn(&[T], usize, usize, usize, &mut [T]) -> std::result::Result<(), ShapeError>;

impl<T: Float> Tensor<T> {
    /// The sums along `axis`, which is left out, or kept with size 1. Each `dx` is its sum's `dy`.
    ///
    /// # Errors
    ///
    /// If there is no such axis.
    ///
    /// ```
    /// use topedge_autograd::Tensor;
    ///
    /// let x = Tensor::new(vec![1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0], &[2, 3])?;
    /// assert_eq!(x.sum_axis(0, false)?.to_vec(), [5.0, 7.0, 9.0]);
    /// assert_eq!(x.sum_axis(1, true)?.shape(), [2, 1]);
    /// # Ok::<(), topedge_autograd::Error>(())
    /// ```
    pub fn sum_axis(&self, axis: usize, keep: bool) -> Result<Self> {
        self.reduce_axis("sum_axis", axis, keep, reduce::sum_axis, |_| T::ONE)
    }

    /// The means along `axis` of size `n`, which is left out, or kept with size 1; NaN where `n` is
    /// 0. Each `dx` is its mean's `dy / n`.
    ///
    /// # Errors
    ///
    /// If there is no such axis.
    pub fn mean_axis(&self, axis: usize, keep: bool) -> Result<Self> {
        let scale = |n| T::from_f64(1.0 / n as f64);
        self.reduce_axis("mean_axis", axis, keep, reduce::mean_axis, scale)
    }

    fn reduce_axis(
        &self,
        op: &'static str,
        axis: usize,
        keep: bool,
        kernel: Kernel<T>,
        scale: impl FnOnce(usize) -> T,
    ) -> Result<Self> {
        self.check_axis(op, axis)?;
        if axis == 0 && self.parts() > 1 {
            return self.in_one_part().reduce_axis(op, axis, keep, kernel, scale);
        }
        let x = self.without_gaps();
        let [outer, n, inner] = x.layout().around(axis);
        let mut y = x.like_with_shape(op, &x.layout().shape.with(axis, 1))?;
        kernel(x.dense(), outer, n, inner, y.make_mut())?;
        if !keep {
            let kept = *y.layout();
            let (shape, strides) = (kept.shape.without(axis), kept.strides.without(axis));
            y = y.view(Layout { shape, strides, ..kept });
        }
        Ok(record(y, &[self], |_| SumAxis { x: *x.layout(), axis, scale: scale(n) }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gradcheck::gradcheck;
    use crate::testing::{assert_close, formats, random, single, with_gaps};

    #[test]
    fn every_format_sums_the_same_elements() {
        let x = random(1, &[2, 3, 4, 5]);
        for axis in 0..4 {
            let rest: Vec<_> = (0..4).filter(|&a| a != axis).chain([axis]).collect();
            let n = x.shape()[axis];
            let rows = x.permute(&rest).unwrap().to_vec();
            let sums: Vec<f64> = rows.chunks(n).map(|row| row.iter().sum()).collect();
            for x in formats(&x) {
                let y = x.sum_axis(axis, false).unwrap();
                let expected = Tensor::new(sums.clone(), y.shape()).unwrap();
                assert_close(&y, &expected, 1e-12);
                assert_close(&single(&x).sum_axis(axis, false).unwrap(), &expected, 1e-5);
                let mean = x.mean_axis(axis, false).unwrap().mul_scalar(n as f64);
                assert_close(&mean, &expected, 1e-12);
                assert_eq!(x.sum_axis(axis, true).unwrap().to_vec(), y.to_vec());
            }
        }
        assert!(x.sum_axis(4, true).is_err());
        let none = Tensor::<f32>::zeros(&[2, 0]).unwrap();
        assert_eq!(none.sum_axis(1, false).unwrap().to_vec(), [0.0, 0.0]);
        assert_eq!(none.sum_axis(0, false).unwrap().shape(), [0]);
    }

    #[test]
    fn gradient() {
        for keep in [false, true] {
            gradcheck(&[random(1, &[4])], |x| x[0].sum_axis(0, keep)).unwrap();
            gradcheck(&[random(1, &[2, 3])], |x| with_gaps(&x[0]).mean_axis(1, keep)).unwrap();
            gradcheck(&[random(1, &[1, 2, 0])], |x| x[0].sum_axis(2, keep)).unwrap();
            for axis in 0..4 {
                for x in formats(&random(5, &[2, 3, 1, 2])) {
                    gradcheck(&[x], |x| {
                        let y = x[0].mean_axis(axis, keep)?;
                        y.mul(&x[0].sum_axis(axis, keep)?)
                    })
                    .unwrap();
                }
            }
        }
    }
}
