//! Two-dimensional convolution.

use topedge_kernels::conv2d::{self, Conv2dConfig};

use crate::error::Result;
use crate::float::Float;
use crate::tape::{Backward, Grads, record};
use crate::tensor::Tensor;

const OP: &str = "conv2d";
const X: &str = "[batch, in_channels, height, width]";
const WEIGHT: &str = "[out_channels, in_channels / groups, kernel_height, kernel_width]";

struct Conv2d<T: Float> {
    x: Tensor<T>,
    weight: Tensor<T>,
    config: Conv2dConfig,
}

impl<T: Float> Backward<T> for Conv2d<T> {
    fn backward(&self, dy: Tensor<T>, grads: &mut Grads<'_, T>) -> Result<()> {
        let dy = &dy.in_parts_of(self.x.layout());
        let of_y = dy.batch(OP, "dy", "four axes")?;
        grads.add(0, || {
            let mut dx = self.x.like_with_shape(OP, self.x.shape())?;
            let weight = self.weight.images(OP, "weight", WEIGHT)?;
            conv2d::backward_input(of_y, weight, &self.config, dx.batch_mut(OP, "dx")?)?;
            Ok(dx)
        })?;
        // With that of the weight, which reads all of `dy` anyway; by itself only if that is not wanted.
        let mut dbias =
            if grads.wants(2) { Some(dy.like_with_shape(OP, &dy.shape()[1..2])?) } else { None };
        grads.add(1, || {
            let mut dweight = self.weight.like_with_shape(OP, self.weight.shape())?;
            let x = self.x.batch(OP, "x", X)?;
            let place = dweight.images_mut(OP, "dweight")?;
            match &mut dbias {
                Some(dbias) => {
                    let dbias = dbias.make_mut();
                    conv2d::backward_parameters(x, of_y, &self.config, place, dbias)?;
                }
                None => conv2d::backward_weight(x, of_y, &self.config, place)?,
            }
            Ok(dweight)
        })?;
        let Some(mut dbias) = dbias else { return Ok(()) };
        if !grads.wants(1) {
            conv2d::backward_bias(of_y, dbias.make_mut())?;
        }
        grads.add(2, || Ok(dbias))
    }
}

impl<T: Float> Tensor<T> {
    /// The convolution of images `[batch, in_channels, height, width]` with filters `weight`
    /// `[out_channels, in_channels / groups, kernel_height, kernel_width]`, plus `bias`
    /// `[out_channels]`; the filters are not flipped, as everywhere in deep learning.
    ///
    /// `y[n, k, oh, ow] = bias[k] + sum over c, i, j of
    /// weight[k, c, i, j] x[n, c, oh stride + i dilation - padding, ow stride + j dilation - padding]`.
    /// `dx` is the transposed convolution of `dy` with `weight`, `dweight` the correlation of `x` with
    /// `dy`, `dbias` the sum of `dy` over images and places.
    ///
    /// # Errors
    ///
    /// If the shapes and the configuration do not fit together.
    ///
    /// ```
    /// use topedge_autograd::{Conv2dConfig, Tensor};
    ///
    /// let x = Tensor::<f32>::zeros(&[64, 1, 28, 28])?;
    /// let weight = Tensor::zeros(&[8, 1, 3, 3])?;
    /// let config = Conv2dConfig { stride: [2, 2], padding: [1, 1], ..Conv2dConfig::default() };
    /// assert_eq!(x.conv2d(&weight, None, &config)?.shape(), [64, 8, 14, 14]);
    /// # Ok::<(), topedge_autograd::Error>(())
    /// ```
    pub fn conv2d(
        &self,
        weight: &Self,
        bias: Option<&Self>,
        config: &Conv2dConfig,
    ) -> Result<Self> {
        let weight = &weight.in_one_part();
        let of_x = self.batch(OP, "x", X)?;
        let of_weight = weight.images(OP, "weight", WEIGHT)?;
        let shape = conv2d::output_shape(of_x.shape(), of_weight.shape(), config)?;
        let of_bias = bias.map(|bias| bias.vector(OP, "bias", shape[1])).transpose()?;
        let mut y = self.like_with_shape(OP, &shape)?;
        let bias_values = of_bias.as_ref().map(Tensor::dense);
        conv2d::forward(of_x, of_weight, bias_values, config, y.batch_mut(OP, "y")?)?;
        let backward = |_: &_| Conv2d { x: self.clone(), weight: weight.clone(), config: *config };
        Ok(match bias {
            None => record(y, &[self, weight], backward),
            Some(bias) => record(y, &[self, weight, bias], backward),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gradcheck::gradcheck;
    use crate::tape::Tape;
    use crate::testing::{assert_close, formats, random, single, with_gaps};

    /// Shape of the input, shape of the weight, configuration.
    fn cases() -> [([usize; 4], [usize; 4], Conv2dConfig); 5] {
        let plain = Conv2dConfig::default();
        [
            ([2, 1, 5, 4], [3, 1, 3, 3], Conv2dConfig { stride: [2, 2], padding: [1, 1], ..plain }),
            ([1, 2, 4, 5], [1, 2, 1, 2], plain),
            ([3, 4, 3, 3], [2, 2, 3, 2], Conv2dConfig { groups: 2, padding: [1, 0], ..plain }),
            (
                [2, 3, 6, 5],
                [2, 3, 2, 3],
                Conv2dConfig { dilation: [3, 1], stride: [1, 2], ..plain },
            ),
            ([17, 2, 2, 2], [2, 2, 2, 2], plain),
        ]
    }

    #[test]
    fn values_in_every_format() {
        for (x, weight, config) in cases() {
            let (x, bias) = (random(1, &x), random(3, &weight[..1]));
            let weight = random(2, &weight);
            let expected = x.conv2d(&weight, Some(&bias), &config).unwrap();
            for x in formats(&x) {
                let y = x.conv2d(&weight, Some(&bias), &config).unwrap();
                assert_eq!(y.parts(), x.parts());
                // Of parts of one image by one place nothing but the channels has an order.
                if x.parts() < x.shape()[0] {
                    assert_eq!(y.layout().order(), x.layout().order());
                }
                assert_close(&y, &expected, 1e-12);
                let y = single(&x).conv2d(&single(&weight), Some(&single(&bias)), &config).unwrap();
                assert_close(&y, &expected, 1e-5);
            }
        }
    }

    #[test]
    fn gradient() {
        for (x, weight, config) in cases() {
            let (bias, weight) = (random(3, &weight[..1]), random(2, &weight));
            for x in formats(&random(1, &x)) {
                let inputs = [x, weight.clone(), bias.clone()];
                gradcheck(&inputs, |x| x[0].conv2d(&x[1], Some(&x[2]), &config)).unwrap();
                gradcheck(&inputs[..2], |x| {
                    let y = with_gaps(&x[0]).conv2d(&with_gaps(&x[1]), None, &config)?;
                    y.mul(&y)
                })
                .unwrap();
            }
        }
    }

    #[test]
    fn single_precision_gradients_in_every_format() {
        for (x, weight, config) in cases() {
            let (x, weight) = (random(1, &x), random(2, &weight).requires_grad());
            let tape = Tape::new();
            let leaf = x.clone().requires_grad();
            tape.backward(&leaf.conv2d(&weight, None, &config).unwrap().sum()).unwrap();
            for x in formats(&x) {
                let (x, w) = (single(&x).requires_grad(), single(&weight).requires_grad());
                tape.backward(&x.conv2d(&w, None, &config).unwrap().sum()).unwrap();
                assert_close(&x.grad().unwrap(), &leaf.grad().unwrap(), 1e-5);
                assert_close(&w.grad().unwrap(), &weight.grad().unwrap(), 1e-5);
            }
        }
    }

    #[test]
    fn refusals_name_the_axis() {
        let x = random(1, &[2, 3, 5, 5]);
        let config = Conv2dConfig::default();
        let error = |x: &Tensor<f64>, weight: &[usize], bias: &[usize]| {
            x.conv2d(&random(2, weight), Some(&random(3, bias)), &config).unwrap_err().to_string()
        };
        assert!(error(&x, &[4, 2, 3, 3], &[4]).contains("in_channels"));
        assert!(error(&x, &[4, 3, 6, 3], &[4]).contains("height"));
        assert_eq!(error(&x, &[4, 3, 3, 3], &[5]), "conv2d: shape of bias: expected [4], got [5]");
        let rank = error(&random(1, &[3, 5, 5]), &[4, 3, 3, 3], &[4]);
        assert_eq!(
            rank,
            "conv2d: shape of x: expected [batch, in_channels, height, width], got [3, 5, 5]"
        );
    }
}
