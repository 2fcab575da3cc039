//! Maxima over windows.

use topedge_kernels::BatchRef;
use topedge_kernels::pool::{self, Pool2dConfig};

use crate::dims::Dims;
use crate::error::Result;
use crate::float::Float;
use crate::indices::Indices;
use crate::layout::Layout;
use crate::tape::{Backward, Grads, record};
use crate::tensor::Tensor;

const X: &str = "[batch, channels, height, width]";

struct MaxPool2d {
    /// The input's, without gaps.
    x: Layout,
    indices: Indices,
}

impl<T: Float> Backward<T> for MaxPool2d {
    fn backward(&self, dy: Tensor<T>, grads: &mut Grads<'_, T>) -> Result<()> {
        let op = "max_pool2d";
        grads.add(0, || {
            let mut dx = Tensor::for_overwrite(self.x);
            let dy = dy.in_parts_of(&self.x);
            let of_y: BatchRef<'_, T> = dy.batch(op, "dy", X)?;
            let (indices, mut of_x) = (self.indices.batch()?, dx.batch_mut(op, "dx")?);
            for part in 0..of_y.parts() {
                pool::max_backward(of_y.part(part), indices.part(part), of_x.part(part))?;
            }
            Ok(dx)
        })
    }
}

impl<T: Float> Tensor<T> {
    /// The maximum of each window of images `[batch, channels, height, width]`. The gradient goes
    /// whole to the first maximum; NaN counts as the maximum; padding never wins.
    ///
    /// # Errors
    ///
    /// If the tensor does not have four axes, or the configuration does not fit.
    pub fn max_pool2d(&self, config: &Pool2dConfig) -> Result<Self> {
        let op = "max_pool2d";
        let x = self.batch(op, "x", X)?;
        let mut y = self.like_with_shape(op, &pool::output_shape(x.shape(), config)?)?;
        let mut indices = Indices::for_overwrite(*y.layout());
        let (mut of_y, mut of_indices) = (y.batch_mut(op, "y")?, indices.batch_mut()?);
        for part in 0..x.parts() {
            pool::max_forward(x.part(part), config, of_y.part(part), of_indices.part(part))?;
        }
        Ok(self.record_max_pool(y, indices))
    }

    /// The maximum of each of `[height, width]` windows that cover the images evenly: window `i` of
    /// `o` along an axis of size `n` spans `floor(i n / o)` to `ceil((i + 1) n / o)`.
    ///
    /// # Errors
    ///
    /// If the tensor does not have four axes, or images or output are empty.
    pub fn adaptive_max_pool2d(&self, size: [usize; 2]) -> Result<Self> {
        let op = "adaptive_max_pool2d";
        let x = self.batch(op, "x", X)?;
        let [n, c, ..] = x.shape();
        let mut y = self.like_with_shape(op, &[n, c, size[0], size[1]])?;
        let mut indices = Indices::for_overwrite(*y.layout());
        let (mut of_y, mut of_indices) = (y.batch_mut(op, "y")?, indices.batch_mut()?);
        for part in 0..x.parts() {
            pool::adaptive_max_forward(x.part(part), of_y.part(part), of_indices.part(part))?;
        }
        Ok(self.record_max_pool(y, indices))
    }

    fn record_max_pool(&self, y: Self, indices: Indices) -> Self {
        let shape: Dims = self.layout().shape;
        record(y, &[self], |_| MaxPool2d { x: self.layout().with_shape(shape), indices })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gradcheck::gradcheck;
    use crate::testing::{assert_close, formats, random, single, with_gaps};

    fn cases() -> [([usize; 4], Pool2dConfig); 4] {
        let two = Pool2dConfig::new([2, 2]);
        [
            ([2, 3, 4, 6], two),
            ([1, 1, 5, 5], Pool2dConfig { stride: [1, 2], ..Pool2dConfig::new([3, 2]) }),
            ([17, 2, 5, 4], Pool2dConfig { padding: [1, 1], ceil_mode: true, ..two }),
            ([2, 1, 5, 6], Pool2dConfig { dilation: [2, 1], stride: [1, 1], ..two }),
        ]
    }

    #[test]
    fn every_format_finds_the_same_maxima() {
        for (shape, config) in cases() {
            let x = random(1, &shape);
            let y = x.max_pool2d(&config).unwrap();
            let whole = x.adaptive_max_pool2d([1, 1]).unwrap();
            let maximum = |x: &[f64]| x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let planes = x.to_vec();
            let planes = planes.chunks(shape[2] * shape[3]).map(maximum).collect();
            assert_eq!(whole.to_vec(), Vec::<f64>::from_iter::<Vec<f64>>(planes));
            for x in formats(&x) {
                assert_close(&x.max_pool2d(&config).unwrap(), &y, 0.0);
                assert_close(&single(&x).max_pool2d(&config).unwrap(), &y, 1e-6);
                assert_close(&x.adaptive_max_pool2d([1, 1]).unwrap(), &whole, 0.0);
            }
        }
    }

    #[test]
    fn gradient() {
        for (shape, config) in cases() {
            for x in formats(&random(1, &shape)) {
                gradcheck(std::slice::from_ref(&x), |x| x[0].max_pool2d(&config)).unwrap();
                gradcheck(&[x], |x| {
                    let y = with_gaps(&x[0]).adaptive_max_pool2d([2, 3])?;
                    y.mul(&y)
                })
                .unwrap();
            }
        }
    }

    #[test]
    fn refusals() {
        assert!(random(1, &[3, 4, 4]).max_pool2d(&Pool2dConfig::new([2, 2])).is_err());
        assert!(random(1, &[1, 3, 4, 4]).max_pool2d(&Pool2dConfig::new([5, 2])).is_err());
        assert!(random(1, &[1, 3, 4, 4]).max_pool2d(&Pool2dConfig::new([0, 2])).is_err());
        assert!(random(1, &[1, 3, 0, 4]).adaptive_max_pool2d([1, 1]).is_err());
    }
}
