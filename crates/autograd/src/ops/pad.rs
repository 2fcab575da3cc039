//! A border around images.

use topedge_kernels::pad::{self, Pad2dConfig};

use crate::error::Result;
use crate::float::Float;
use crate::layout::Layout;
use crate::tape::{Backward, Grads, record};
use crate::tensor::Tensor;

const OP: &str = "pad";
const X: &str = "[batch, channels, height, width]";

struct Pad {
    /// The input's, without gaps.
    x: Layout,
    config: Pad2dConfig,
}

impl<T: Float> Backward<T> for Pad {
    fn backward(&self, dy: Tensor<T>, grads: &mut Grads<'_, T>) -> Result<()> {
        grads.add(0, || {
            let mut dx = Tensor::for_overwrite(self.x);
            let dy = dy.in_parts_of(&self.x);
            let (of_y, mut of_x) = (dy.batch(OP, "dy", X)?, dx.batch_mut(OP, "dx")?);
            for part in 0..of_y.parts() {
                pad::backward(of_y.part(part), &self.config, of_x.part(part))?;
            }
            Ok(dx)
        })
    }
}

impl<T: Float> Tensor<T> {
    /// The images `[batch, channels, height, width]` with a border of zeros, or of what
    /// [`PadMode`](crate::PadMode) makes of their own pixels. A pixel's gradient is the sum of `dy`
    /// over all places that it came to.
    ///
    /// # Errors
    ///
    /// If the tensor does not have four axes, or its images are too small to fill the border.
    ///
    /// ```
    /// use topedge_autograd::{Pad2dConfig, PadMode, Tensor};
    ///
    /// let x = Tensor::new(vec![1.0f32, 2.0, 3.0], &[1, 1, 1, 3])?;
    /// let config = Pad2dConfig { before: [0, 1], after: [0, 1], mode: PadMode::Reflect };
    /// assert_eq!(x.pad(&config)?.to_vec(), [2.0, 1.0, 2.0, 3.0, 2.0]);
    /// # Ok::<(), topedge_autograd::Error>(())
    /// ```
    pub fn pad(&self, config: &Pad2dConfig) -> Result<Self> {
        let of_x = self.batch(OP, "x", X)?;
        let mut y = self.like_with_shape(OP, &pad::output_shape(of_x.shape(), config)?)?;
        let mut of_y = y.batch_mut(OP, "y")?;
        for part in 0..of_x.parts() {
            pad::forward(of_x.part(part), config, of_y.part(part))?;
        }
        let x = self.layout().with_shape(self.layout().shape);
        Ok(record(y, &[self], |_| Pad { x, config: *config }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gradcheck::gradcheck;
    use crate::testing::{assert_close, formats, random, single, with_gaps};
    use topedge_kernels::pad::PadMode;

    fn configs() -> [Pad2dConfig; 4] {
        PadMode::ALL.map(|mode| Pad2dConfig { before: [2, 0], after: [1, 3], mode })
    }

    #[test]
    fn every_format_has_the_same_border() {
        let x = random(1, &[17, 2, 3, 4]);
        for config in configs() {
            let y = x.pad(&config).unwrap();
            assert_eq!(y.shape(), [17, 2, 6, 7]);
            for x in formats(&x) {
                let padded = x.pad(&config).unwrap();
                assert_eq!(padded.layout().order(), x.layout().order());
                assert_close(&padded, &y, 0.0);
                assert_close(&single(&x).pad(&config).unwrap(), &y, 1e-6);
            }
        }
    }

    #[test]
    fn gradient() {
        for config in configs() {
            for x in formats(&random(1, &[2, 3, 3, 4])) {
                gradcheck(std::slice::from_ref(&x), |x| x[0].pad(&config)).unwrap();
                gradcheck(&[x], |x| {
                    let y = with_gaps(&x[0]).pad(&config)?;
                    y.mul(&y)
                })
                .unwrap();
            }
        }
    }

    #[test]
    fn refusals() {
        let config = Pad2dConfig { before: [0, 3], mode: PadMode::Reflect, ..Default::default() };
        let error = random(1, &[1, 1, 4, 3]).pad(&config).unwrap_err().to_string();
        assert_eq!(
            error,
            "pad2d: reflect padding before width: expected at most 2 for size 3, got 3"
        );
        assert!(random(1, &[3, 4, 4]).pad(&config).is_err());
    }
}
