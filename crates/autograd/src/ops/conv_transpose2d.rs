//! Two-dimensional transposed convolution.

use topedge_kernels::conv_transpose2d::{self, ConvTranspose2dConfig};
use topedge_kernels::conv2d;

use crate::error::Result;
use crate::float::Float;
use crate::tape::{Backward, Grads, record};
use crate::tensor::Tensor;

const OP: &str = "conv_transpose2d";
const X: &str = "[batch, in_channels, height, width]";
const WEIGHT: &str = "[in_channels, out_channels / groups, kernel_height, kernel_width]";

struct ConvTranspose2d<T: Float> {
    x: Tensor<T>,
    weight: Tensor<T>,
    config: ConvTranspose2dConfig,
}

impl<T: Float> Backward<T> for ConvTranspose2d<T> {
    fn backward(&self, dy: Tensor<T>, grads: &mut Grads<'_, T>) -> Result<()> {
        let dy = &dy.in_parts_of(self.x.layout());
        let of_y = dy.images(OP, "dy", "four axes")?;
        grads.add(0, || {
            let mut dx = self.x.like_with_shape(OP, self.x.shape())?;
            let weight = self.weight.images(OP, "weight", WEIGHT)?;
            let place = dx.images_mut(OP, "dx")?;
            conv_transpose2d::backward_input(of_y, weight, &self.config, place)?;
            Ok(dx)
        })?;
        grads.add(1, || {
            let mut dweight = self.weight.like_with_shape(OP, self.weight.shape())?;
            let x = self.x.images(OP, "x", X)?;
            let place = dweight.images_mut(OP, "dweight")?;
            conv_transpose2d::backward_weight(x, of_y, &self.config, place)?;
            Ok(dweight)
        })?;
        grads.add(2, || {
            let mut dbias = dy.like_with_shape(OP, &dy.shape()[1..2])?;
            conv2d::backward_bias(of_y, dbias.make_mut())?;
            Ok(dbias)
        })
    }
}

impl<T: Float> Tensor<T> {
    /// The transposed convolution of images `[batch, in_channels, height, width]` with `weight`
    /// `[in_channels, out_channels / groups, kernel_height, kernel_width]`, plus `bias`
    /// `[out_channels]`: the adjoint of [`conv2d`](Self::conv2d), which makes images larger where
    /// that makes them smaller.
    ///
    /// Each input is multiplied with its filter and added to the output at
    /// `h stride - padding + i dilation`. `dx` is the convolution of `dy` with `weight`, `dweight` the
    /// correlation of `dy` with `x`, `dbias` the sum of `dy` over images and places.
    ///
    /// # Errors
    ///
    /// If the shapes and the configuration do not fit together.
    ///
    /// ```
    /// use topedge_autograd::{ConvTranspose2dConfig, Tensor};
    ///
    /// let x = Tensor::<f32>::zeros(&[64, 8, 14, 14])?;
    /// let weight = Tensor::zeros(&[8, 1, 2, 2])?;
    /// let config = ConvTranspose2dConfig { stride: [2, 2], ..Default::default() };
    /// assert_eq!(x.conv_transpose2d(&weight, None, &config)?.shape(), [64, 1, 28, 28]);
    /// # Ok::<(), topedge_autograd::Error>(())
    /// ```
    pub fn conv_transpose2d(
        &self,
        weight: &Self,
        bias: Option<&Self>,
        config: &ConvTranspose2dConfig,
    ) -> Result<Self> {
        if self.parts() > 1 {
            return self.in_one_part().conv_transpose2d(weight, bias, config);
        }
        let weight = &weight.in_one_part();
        let of_x = self.images(OP, "x", X)?;
        let of_weight = weight.images(OP, "weight", WEIGHT)?;
        let shape = conv_transpose2d::output_shape(of_x.shape(), of_weight.shape(), config)?;
        let of_bias = bias.map(|bias| bias.vector(OP, "bias", shape[1])).transpose()?;
        let mut y = self.like_with_shape(OP, &shape)?;
        let bias_values = of_bias.as_ref().map(Tensor::dense);
        let place = y.images_mut(OP, "y")?;
        conv_transpose2d::forward(of_x, of_weight, bias_values, config, place)?;
        let backward =
            |_: &_| ConvTranspose2d { x: self.clone(), weight: weight.clone(), config: *config };
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
    use crate::testing::{assert_close, formats, random, single, with_gaps};

    /// Shape of the input, shape of the weight, configuration.
    fn cases() -> [([usize; 4], [usize; 4], ConvTranspose2dConfig); 4] {
        let plain = ConvTranspose2dConfig::default();
        let double = ConvTranspose2dConfig {
            stride: [2, 2],
            padding: [1, 1],
            output_padding: [1, 0],
            ..plain
        };
        [
            ([2, 3, 3, 2], [3, 2, 3, 3], double),
            ([1, 2, 2, 3], [2, 1, 1, 2], plain),
            (
                [3, 4, 2, 2],
                [4, 2, 3, 2],
                ConvTranspose2dConfig { groups: 2, dilation: [1, 2], stride: [1, 3], ..plain },
            ),
            ([17, 2, 2, 2], [2, 2, 2, 2], plain),
        ]
    }

    #[test]
    fn values_in_every_format() {
        for (x, weight, config) in cases() {
            let bias = random(3, &[weight[1] * config.groups]);
            let (x, weight) = (random(1, &x), random(2, &weight));
            let expected = x.conv_transpose2d(&weight, Some(&bias), &config).unwrap();
            for x in formats(&x) {
                let y = x.conv_transpose2d(&weight, Some(&bias), &config).unwrap();
                assert_eq!(y.layout().order(), x.layout().order());
                assert_close(&y, &expected, 1e-12);
                let bias = single(&bias);
                let y = single(&x).conv_transpose2d(&single(&weight), Some(&bias), &config);
                assert_close(&y.unwrap(), &expected, 1e-5);
            }
        }
    }

    #[test]
    fn gradient() {
        for (x, weight, config) in cases() {
            let bias = random(3, &[weight[1] * config.groups]);
            let weight = random(2, &weight);
            for x in formats(&random(1, &x)) {
                let inputs = [x, weight.clone(), bias.clone()];
                gradcheck(&inputs, |x| x[0].conv_transpose2d(&x[1], Some(&x[2]), &config)).unwrap();
                gradcheck(&inputs[..2], |x| {
                    let y = with_gaps(&x[0]).conv_transpose2d(&with_gaps(&x[1]), None, &config)?;
                    y.mul(&y)
                })
                .unwrap();
            }
        }
    }

    #[test]
    fn refusals_name_the_axis() {
        let x = random(1, &[2, 3, 5, 5]);
        let config = ConvTranspose2dConfig::default();
        let error = |x: &Tensor<f64>, weight: &[usize], bias: &[usize]| {
            let bias = random(3, bias);
            let y = x.conv_transpose2d(&random(2, weight), Some(&bias), &config);
            y.unwrap_err().to_string()
        };
        assert!(error(&x, &[4, 2, 3, 3], &[2]).contains("in_channels"));
        assert_eq!(
            error(&x, &[3, 4, 3, 3], &[5]),
            "conv_transpose2d: shape of bias: expected [4], got [5]"
        );
        assert!(error(&random(1, &[3, 5, 5]), &[3, 4, 3, 3], &[4]).contains("shape of x"));
    }
}
