//! The convolution of images.

use rand_pcg::Pcg64;
use topedge_autograd::{Float, Tensor};
use topedge_kernels::conv2d;

use super::{axes4, positive};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::init::Init;
use crate::module::{Item, ItemMut, Module, Parameter, ParameterKind};
use crate::window::Window;

/// `y[n, o, i, j] = b[o] + sum over c, p, q of w[o, c, p, q] * x[n, c, i*stride + p*dilation -
/// padding, j*stride + q*dilation - padding]`, zeros outside of x, kernels not flipped.
///
/// x `[n, in_channels, height, width]`, w `[out_channels, in_channels / groups, kernel_height,
/// kernel_width]`, b `[out_channels]`; a side of y is
/// `floor((side + 2 padding - dilation (kernel - 1) - 1) / stride) + 1`. With groups, output
/// channels see the input channels of their own group alone.
///
/// Weight and bias start as U(-k, k), `k = 1 / sqrt(in_channels / groups * kernel_height *
/// kernel_width)`.
///
/// ```
/// use rand::SeedableRng;
/// use topedge_autograd::Tensor;
/// use topedge_nn::layers::{Conv2d, Conv2dConfig};
/// use topedge_nn::{Context, Module};
///
/// let mut rng = rand_pcg::Pcg64::seed_from_u64(42);
/// let config = Conv2dConfig { stride: [2, 2], padding: [1, 1], ..Default::default() };
/// let mut layer = Conv2d::new(3, 8, [3, 3], &config, &mut rng)?;
/// let y = layer.forward(&Tensor::<f32>::ones(&[64, 3, 28, 28])?, &mut Context::eval())?;
/// assert_eq!(y.shape(), [64, 8, 14, 14]);
/// # Ok::<(), topedge_nn::Error>(())
/// ```
#[derive(Debug)]
pub struct Conv2d<T: Float = f32> {
    weight: Parameter<T>,
    bias: Option<Parameter<T>>,
    geometry: conv2d::Conv2dConfig,
}

/// What a [`Conv2d`] layer has besides its sizes; pairs are `[height, width]`. By default:
/// stride 1, no padding, dilation 1, one group, a bias, weights as PyTorch's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conv2dConfig {
    /// Steps of the window from one output to the next.
    pub stride: [usize; 2],
    /// Zeros added on both sides.
    pub padding: [usize; 2],
    /// Distance of the pixels that neighbouring weights look at.
    pub dilation: [usize; 2],
    /// Into how many groups the channels are divided.
    pub groups: usize,
    /// Whether a bias is added.
    pub bias: bool,
    /// What the weights are drawn from.
    pub init: Init,
}

impl Default for Conv2dConfig {
    fn default() -> Self {
        Conv2dConfig {
            stride: [1, 1],
            padding: [0, 0],
            dilation: [1, 1],
            groups: 1,
            bias: true,
            init: Init::default(),
        }
    }
}

impl<T: Float> Conv2d<T> {
    /// A layer with weights drawn from `rng`.
    ///
    /// # Errors
    ///
    /// When a size, stride or dilation is 0, the groups do not divide the channels, or the weights
    /// do not fit into memory.
    pub fn new(
        in_channels: usize,
        out_channels: usize,
        kernel_size: [usize; 2],
        config: &Conv2dConfig,
        rng: &mut Pcg64,
    ) -> Result<Self> {
        positive("Conv2d: in_channels", &[in_channels])?;
        positive("Conv2d: out_channels", &[out_channels])?;
        positive("Conv2d: kernel_size", &kernel_size)?;
        positive("Conv2d: stride", &config.stride)?;
        positive("Conv2d: dilation", &config.dilation)?;
        positive("Conv2d: groups", &[config.groups])?;
        let groups = config.groups;
        for channels in [in_channels, out_channels] {
            if !channels.is_multiple_of(groups) {
                let expected = format!("a divisor of {in_channels} and {out_channels} channels");
                return Err(Error::setting("Conv2d: groups", groups, expected));
            }
        }
        let [kh, kw] = kernel_size;
        // Saturated, it is refused with the shape.
        let fan_in = (in_channels / groups).saturating_mul(kh).saturating_mul(kw);
        let shape = [out_channels, in_channels / groups, kh, kw];
        let weight = config.init.sample(&shape, fan_in, rng)?;
        let bias =
            config.bias.then(|| Init::FanIn.sample(&[out_channels], fan_in, rng)).transpose()?;
        Ok(Conv2d {
            weight: Parameter::new(weight, ParameterKind::Weight),
            bias: bias.map(|bias| Parameter::new(bias, ParameterKind::Bias)),
            geometry: conv2d::Conv2dConfig {
                stride: config.stride,
                padding: config.padding,
                dilation: config.dilation,
                groups,
            },
        })
    }

    fn weight_shape(&self) -> [usize; 4] {
        [0, 1, 2, 3].map(|axis| self.weight.value.shape()[axis])
    }
}

impl<T: Float> Module<T> for Conv2d<T> {
    fn kind(&self) -> &'static str {
        "Conv2d"
    }

    fn config(&self) -> String {
        let [out_channels, in_channels, kh, kw] = self.weight_shape();
        let conv2d::Conv2dConfig {
            stride: [sh, sw],
            padding: [ph, pw],
            dilation: [dh, dw],
            groups,
        } = self.geometry;
        let mut text = format!(
            "{}, {out_channels}, kernel_size=({kh}, {kw}), stride=({sh}, {sw})",
            in_channels * groups
        );
        if [ph, pw] != [0, 0] {
            text += &format!(", padding=({ph}, {pw})");
        }
        if [dh, dw] != [1, 1] {
            text += &format!(", dilation=({dh}, {dw})");
        }
        if groups != 1 {
            text += &format!(", groups={groups}");
        }
        if self.bias.is_none() {
            text += ", bias=false";
        }
        text
    }

    fn forward(&mut self, x: &Tensor<T>, _: &mut Context<'_, T>) -> Result<Tensor<T>> {
        let bias = self.bias.as_ref().map(|bias| &bias.value);
        Ok(x.conv2d(&self.weight.value, bias, &self.geometry)?)
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>> {
        let input = axes4(input)?;
        let output = conv2d::output_shape(input, self.weight_shape(), &self.geometry)?;
        Ok(output.to_vec())
    }

    fn window(&self, _: &[usize]) -> Option<Window> {
        let [_, _, kh, kw] = self.weight_shape();
        let conv2d::Conv2dConfig { stride, padding, dilation, .. } = self.geometry;
        Some(Window { kernel: [kh, kw], stride, padding, dilation })
    }

    fn visit<'a>(&'a self, f: &mut dyn FnMut(&str, Item<'a, T>)) {
        f("weight", Item::Parameter(&self.weight));
        if let Some(bias) = &self.bias {
            f("bias", Item::Parameter(bias));
        }
    }

    fn visit_mut<'a>(&'a mut self, f: &mut dyn FnMut(&str, ItemMut<'a, T>)) {
        f("weight", ItemMut::Parameter(&mut self.weight));
        if let Some(bias) = &mut self.bias {
            f("bias", ItemMut::Parameter(bias));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::testing::{check_gradients, check_shape, rng, tensor};

    #[test]
    fn the_top_edge_detector() {
        let mut layer: Conv2d<f64> =
            Conv2d::new(1, 1, [3, 3], &Conv2dConfig::default(), &mut rng()).unwrap();
        let top_edge = vec![-1.0, -1.0, -1.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0];
        layer.weight.value = Tensor::new(top_edge, &[1, 1, 3, 3]).unwrap();
        layer.bias.as_mut().unwrap().value = Tensor::new(vec![0.5], &[1]).unwrap();
        let image = vec![0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 2.0, 4.0, 8.0];
        let image = Tensor::new(image, &[1, 1, 3, 3]).unwrap();
        let y = layer.forward(&image, &mut Context::eval()).unwrap();
        assert_eq!(y.to_vec(), [14.5]);
        // Of zeros, the bias is what is left.
        let y =
            layer.forward(&Tensor::zeros(&[2, 1, 4, 3]).unwrap(), &mut Context::eval()).unwrap();
        assert_eq!(y.to_vec(), [0.5; 4]);
    }

    #[test]
    fn gradients() {
        let config = Conv2dConfig {
            stride: [2, 1],
            padding: [1, 2],
            dilation: [1, 2],
            groups: 2,
            bias: false,
            ..Default::default()
        };
        for config in [Conv2dConfig::default(), config] {
            let mut layer = Conv2d::new(4, 6, [3, 2], &config, &mut rng()).unwrap();
            check_gradients(&mut layer, &tensor(&[2, 4, 5, 6]));
            check_shape(&mut layer, &[3, 4, 7, 5]);
        }
    }

    #[test]
    fn wrong_sizes_are_refused() {
        let new = |i, o, k, config: &Conv2dConfig| {
            Conv2d::<f32>::new(i, o, k, config, &mut rng()).map(|_| ()).unwrap_err().to_string()
        };
        let default = Conv2dConfig::default();
        assert!(new(0, 1, [3, 3], &default).contains("in_channels"));
        assert!(new(1, 0, [3, 3], &default).contains("out_channels"));
        assert!(new(1, 1, [3, 0], &default).contains("kernel_size"));
        let config = Conv2dConfig { stride: [0, 1], ..default.clone() };
        assert!(new(1, 1, [3, 3], &config).contains("stride"));
        let config = Conv2dConfig { dilation: [1, 0], ..default.clone() };
        assert!(new(1, 1, [3, 3], &config).contains("dilation"));
        let config = Conv2dConfig { groups: 2, ..default.clone() };
        assert!(new(4, 3, [3, 3], &config).contains("a divisor of 4 and 3"));
        let config = Conv2dConfig { groups: 0, ..default.clone() };
        assert!(new(4, 3, [3, 3], &config).contains("groups"));
        assert!(new(1 << 20, 1 << 20, [1 << 12, 1 << 12], &default).contains("memory"));

        let layer: Conv2d = Conv2d::new(4, 6, [3, 3], &default, &mut rng()).unwrap();
        for input in [&[1, 3, 9, 9][..], &[1, 4, 2, 9], &[4, 9, 9], &[]] {
            assert!(layer.output_shape(input).is_err(), "{input:?}");
        }
    }

    #[test]
    fn says_what_it_is_in_pytorchs_words() {
        let config = Conv2dConfig { stride: [2, 2], padding: [2, 2], ..Default::default() };
        let layer: Conv2d = Conv2d::new(1, 8, [5, 5], &config, &mut rng()).unwrap();
        assert_eq!(layer.config(), "1, 8, kernel_size=(5, 5), stride=(2, 2), padding=(2, 2)");
    }
}
