//! Means over windows.

use topedge_kernels::pool::{self, Pool2dConfig};

use crate::error::Result;
use crate::float::Float;
use crate::layout::Layout;
use crate::tape::{Backward, Grads, record};
use crate::tensor::Tensor;

const X: &str = "[batch, channels, height, width]";

struct AvgPool2d {
    /// The input's, without gaps.
    x: Layout,
    /// `None` if the windows were made to cover the images evenly.
    config: Option<Pool2dConfig>,
}

impl<T: Float> Backward<T> for AvgPool2d {
    fn backward(&self, dy: Tensor<T>, grads: &mut Grads<'_, T>) -> Result<()> {
        let op = "avg_pool2d";
        grads.add(0, || {
            let mut dx = Tensor::for_overwrite(self.x);
            let dy = dy.in_parts_of(&self.x);
            let (of_y, mut of_x) = (dy.batch(op, "dy", X)?, dx.batch_mut(op, "dx")?);
            for part in 0..of_y.parts() {
                let (dy, place) = (of_y.part(part), of_x.part(part));
                match &self.config {
                    Some(config) => pool::avg_backward(dy, config, place)?,
                    None => pool::adaptive_avg_backward(dy, place)?,
                }
            }
            Ok(dx)
        })
    }
}

impl<T: Float> Tensor<T> {
    /// The mean of each window of images `[batch, channels, height, width]`. Each element of a
    /// window gets its share of the gradient.
    ///
    /// # Errors
    ///
    /// If the tensor does not have four axes, or the configuration does not fit.
    pub fn avg_pool2d(&self, config: &Pool2dConfig) -> Result<Self> {
        let op = "avg_pool2d";
        let x = self.batch(op, "x", X)?;
        let mut y = self.like_with_shape(op, &pool::output_shape(x.shape(), config)?)?;
        let mut of_y = y.batch_mut(op, "y")?;
        for part in 0..x.parts() {
            pool::avg_forward(x.part(part), config, of_y.part(part))?;
        }
        Ok(self.record_avg_pool(y, Some(*config)))
    }

    /// The mean of each of `[height, width]` windows that cover the images evenly: window `i` of `o`
    /// along an axis of size `n` spans `floor(i n / o)` to `ceil((i + 1) n / o)`. `[1, 1]` is global
    /// average pooling.
    ///
    /// # Errors
    ///
    /// If the tensor does not have four axes, or images or output are empty.
    pub fn adaptive_avg_pool2d(&self, size: [usize; 2]) -> Result<Self> {
        let op = "adaptive_avg_pool2d";
        let x = self.batch(op, "x", X)?;
        let [n, c, ..] = x.shape();
        let mut y = self.like_with_shape(op, &[n, c, size[0], size[1]])?;
        let mut of_y = y.batch_mut(op, "y")?;
        for part in 0..x.parts() {
            pool::adaptive_avg_forward(x.part(part), of_y.part(part))?;
        }
        Ok(self.record_avg_pool(y, None))
    }

    fn record_avg_pool(&self, y: Self, config: Option<Pool2dConfig>) -> Self {
        let x = self.layout().with_shape(self.layout().shape);
        record(y, &[self], |_| AvgPool2d { x, config })
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
            ([2, 1, 5, 6], Pool2dConfig { padding: [1, 0], count_include_pad: false, ..two }),
        ]
    }

    #[test]
    fn every_format_has_the_same_means() {
        for (shape, config) in cases() {
            let x = random(1, &shape);
            let y = x.avg_pool2d(&config).unwrap();
            let whole = x.mean_axis(3, true).unwrap().mean_axis(2, true).unwrap();
            for x in formats(&x) {
                assert_close(&x.avg_pool2d(&config).unwrap(), &y, 1e-12);
                assert_close(&single(&x).avg_pool2d(&config).unwrap(), &y, 1e-5);
                assert_close(&x.adaptive_avg_pool2d([1, 1]).unwrap(), &whole, 1e-12);
            }
        }
    }

    #[test]
    fn gradient() {
        for (shape, config) in cases() {
            for x in formats(&random(1, &shape)) {
                gradcheck(std::slice::from_ref(&x), |x| x[0].avg_pool2d(&config)).unwrap();
                gradcheck(&[x], |x| {
                    let y = with_gaps(&x[0]).adaptive_avg_pool2d([2, 3])?;
                    y.mul(&y)
                })
                .unwrap();
            }
        }
    }

    #[test]
    fn refusals() {
        assert!(random(1, &[3, 4, 4]).avg_pool2d(&Pool2dConfig::new([2, 2])).is_err());
        assert!(random(1, &[1, 3, 4, 4]).avg_pool2d(&Pool2dConfig::new([5, 2])).is_err());
        assert!(random(1, &[1, 3, 4, 0]).adaptive_avg_pool2d([1, 1]).is_err());
    }
}
