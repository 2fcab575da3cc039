//! The convolution of images.

use rand_pcg::Pcg64;
use topedge_autograd::{Float, Tensor};
use topedge_kernels::conv2d;
use topedge_kernels::pad::{self, Pad2dConfig, PadMode};

use super::{Padding, axes4, positive};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::inference::Evaluation;
use crate::init::Init;
use crate::module::{Item, ItemMut, Module, Parameter, ParameterKind};
use crate::receptive_field::{Reach, Window};
use crate::trace::{Image, Precedents, Term, position};

/// `y[n, o, i, j] = b[o] + sum over c, p, q of w[o, c, p, q] * x[n, c, i*stride + p*dilation -
/// padding, j*stride + q*dilation - padding]`, kernels not flipped; outside of x lies what
/// [`PadMode`] says, zeros by default.
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
/// use topedge_nn::layers::{Conv2d, Conv2dConfig, Padding};
/// use topedge_nn::{Context, Module};
///
/// let mut rng = rand_pcg::Pcg64::seed_from_u64(42);
/// let padding = Padding::Explicit([1, 1]);
/// let config = Conv2dConfig { stride: [2, 2], padding, ..Default::default() };
/// let mut layer = Conv2d::new(3, 8, [3, 3], &config, &mut rng)?;
/// let y = layer.forward(&Tensor::<f32>::ones(&[64, 3, 28, 28])?, &mut Context::eval())?;
/// assert_eq!(y.shape(), [64, 8, 14, 14]);
/// # Ok::<(), topedge_nn::Error>(())
/// ```
#[derive(Debug)]
pub struct Conv2d<T: Float = f32> {
    weight: Parameter<T>,
    bias: Option<Parameter<T>>,
    padding: Padding,
    padding_mode: PadMode,
    /// What is added to the images before the convolution, if its own zeros do not do.
    border: Option<Pad2dConfig>,
    geometry: conv2d::Conv2dConfig,
}

/// What a [`Conv2d`] layer has besides its sizes; pairs are `[height, width]`. By default:
/// stride 1, no padding, dilation 1, one group, a bias, weights as PyTorch's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conv2dConfig {
    /// Steps of the window from one output to the next.
    pub stride: [usize; 2],
    /// How much is added around the images.
    pub padding: Padding,
    /// What is added.
    pub padding_mode: PadMode,
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
            padding: Padding::Valid,
            padding_mode: PadMode::Zeros,
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
    /// When a size, stride or dilation is 0, the groups do not divide the channels, the stride is not
    /// 1 with [`Padding::Same`], or the weights do not fit into memory.
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
        let [before, after] =
            config.padding.border("Conv2d", kernel_size, config.stride, config.dilation)?;
        // The convolution skips zeros, if there are as many on both sides, without a copy.
        let skips = before == after && (config.padding_mode == PadMode::Zeros || before == [0, 0]);
        let border = Pad2dConfig { before, after, mode: config.padding_mode };
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
            padding: config.padding,
            padding_mode: config.padding_mode,
            border: (!skips).then_some(border),
            geometry: conv2d::Conv2dConfig {
                stride: config.stride,
                padding: if skips { before } else { [0, 0] },
                dilation: config.dilation,
                groups,
            },
        })
    }

    /// Rows above and columns to the left of the images.
    fn padding_before(&self) -> [usize; 2] {
        self.border.map_or(self.geometry.padding, |border| border.before)
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
        let conv2d::Conv2dConfig { stride: [sh, sw], dilation: [dh, dw], groups, .. } =
            self.geometry;
        let mut text = format!(
            "{}, {out_channels}, kernel_size=({kh}, {kw}), stride=({sh}, {sw})",
            in_channels * groups
        );
        match self.padding {
            Padding::Valid | Padding::Explicit([0, 0]) => {}
            Padding::Same => text += ", padding=same",
            Padding::Explicit([ph, pw]) => text += &format!(", padding=({ph}, {pw})"),
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
        if self.padding_mode != PadMode::Zeros {
            text += &format!(", padding_mode={}", self.padding_mode.name());
        }
        text
    }

    fn forward(&mut self, x: &Tensor<T>, _: &mut Context<'_, T>) -> Result<Tensor<T>> {
        let bias = self.bias.as_ref().map(|bias| &bias.value);
        let padded = self.border.map(|border| x.pad(&border)).transpose()?;
        Ok(padded.as_ref().unwrap_or(x).conv2d(&self.weight.value, bias, &self.geometry)?)
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>> {
        let mut input = axes4(input)?;
        if let Some(border) = &self.border {
            input = pad::output_shape(input, border)?;
        }
        let output = conv2d::output_shape(input, self.weight_shape(), &self.geometry)?;
        Ok(output.to_vec())
    }

    fn reach(&self) -> Reach {
        let [.., kh, kw] = self.weight_shape();
        let conv2d::Conv2dConfig { stride, dilation, .. } = self.geometry;
        let padding = self.padding_before();
        Reach::Window(Window { kernel: [kh, kw], stride, padding, dilation })
    }

    fn precedents(&self, x: &Tensor<T>, at: &[usize]) -> Result<Precedents> {
        let [filter, row, column] = position(at, &self.output_shape(x.shape())?)?;
        let [outputs, inputs, kh, kw] = self.weight_shape();
        let conv2d::Conv2dConfig { stride, dilation, groups, .. } = self.geometry;
        let padding = self.padding_before();
        let (image, weight) = (Image::of(x), Image::of(&self.weight.value));
        let input = |axis: usize, at: usize, tap: usize| {
            let place = at * stride[axis] + tap * dilation[axis];
            let place = place as isize - padding[axis] as isize;
            self.padding_mode.source(x.shape()[2 + axis], place)
        };
        let first = filter / (outputs / groups) * inputs;
        let mut terms = vec![];
        for channel in 0..inputs {
            for i in 0..kh {
                for j in 0..kw {
                    let weight = weight.get([filter * inputs + channel, i, j]);
                    terms.push(match (input(0, row, i), input(1, column, j)) {
                        (Some(h), Some(w)) => image.term([first + channel, h, w], weight),
                        _ => Term::padding(weight),
                    });
                }
            }
        }
        let bias = self.bias.as_ref().map(|bias| bias.value.to_vec()[filter].to_f64());
        Ok(Precedents { terms, bias, function: None })
    }

    fn evaluation(&self) -> Evaluation<'_, T> {
        if self.border.is_some() {
            return Evaluation::Other;
        }
        let bias = self.bias.as_ref().map(|bias| &bias.value);
        Evaluation::Conv2d { weight: &self.weight.value, bias, config: self.geometry }
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
            padding: Padding::Explicit([1, 2]),
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
        let padding = Padding::Explicit([2, 2]);
        let config = Conv2dConfig { stride: [2, 2], padding, ..Default::default() };
        let layer: Conv2d = Conv2d::new(1, 8, [5, 5], &config, &mut rng()).unwrap();
        assert_eq!(layer.config(), "1, 8, kernel_size=(5, 5), stride=(2, 2), padding=(2, 2)");
    }

    #[test]
    fn padding_of_every_kind() {
        for padding_mode in PadMode::ALL {
            for padding in [Padding::Same, Padding::Explicit([1, 2])] {
                let dilation = [1, 2];
                let config = Conv2dConfig { padding, padding_mode, dilation, ..Default::default() };
                let mut layer = Conv2d::new(2, 3, [4, 2], &config, &mut rng()).unwrap();
                check_gradients(&mut layer, &tensor(&[2, 2, 4, 5]));
                check_shape(&mut layer, &[1, 2, 7, 6]);
                if padding == Padding::Same {
                    assert_eq!(layer.output_shape(&[1, 2, 7, 6]).unwrap(), [1, 3, 7, 6]);
                }
            }
        }
        let config = Conv2dConfig {
            padding: Padding::Same,
            padding_mode: PadMode::Reflect,
            ..Default::default()
        };
        let layer: Conv2d = Conv2d::new(1, 8, [3, 3], &config, &mut rng()).unwrap();
        let expected =
            "1, 8, kernel_size=(3, 3), stride=(1, 1), padding=same, padding_mode=reflect";
        assert_eq!(layer.config(), expected);
        let error = layer.output_shape(&[1, 1, 1, 5]).unwrap_err().to_string();
        assert!(error.contains("reflect padding before height: expected at most 0"), "{error}");
        let config = Conv2dConfig { stride: [1, 2], ..config };
        let error = Conv2d::<f32>::new(1, 8, [3, 3], &config, &mut rng()).unwrap_err().to_string();
        assert!(error.contains("stride with padding same is [1, 2]"), "{error}");
    }

    /// Each output channel has a slice of its own for each of R, G and B, the same at every
    /// position; their products and one bias are added up.
    #[test]
    fn a_colour_image() {
        let mut layer: Conv2d<f64> =
            Conv2d::new(3, 2, [1, 2], &Conv2dConfig::default(), &mut rng()).unwrap();
        let weight = vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0, -1.0, 0.0, 0.0, -1.0, 1.0, 1.0];
        layer.weight.value = Tensor::new(weight, &[2, 3, 1, 2]).unwrap();
        layer.bias.as_mut().unwrap().value = Tensor::new(vec![100.0, 200.0], &[2]).unwrap();
        // R, G and B of three pixels.
        let pixels = vec![1.0, 0.0, 2.0, 0.0, 1.0, 3.0, 1.0, 1.0, 4.0];
        let image = Tensor::new(pixels, &[1, 3, 1, 3]).unwrap();
        let y = layer.forward(&image, &mut Context::eval()).unwrap();
        assert_eq!(y.shape(), [1, 2, 1, 2]);
        let first = [1.0 + 4.0 + 11.0, 4.0 + 3.0 + 12.0 + 5.0 + 24.0].map(|sum| 100.0 + sum);
        let second = [-1.0 - 1.0 + 2.0, -3.0 + 5.0].map(|sum| 200.0 + sum);
        assert_eq!(y.to_vec(), [first, second].concat());
    }
}
