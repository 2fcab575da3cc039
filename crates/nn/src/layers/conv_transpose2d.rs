//! The transposed convolution of images.

use rand_pcg::Pcg64;
use topedge_autograd::{Float, Tensor};
use topedge_kernels::conv_transpose2d;

use super::{axes4, positive};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::init::Init;
use crate::module::{Item, ItemMut, Module, Parameter, ParameterKind};
use crate::receptive_field::{Reach, Window};
use crate::trace::{Image, Precedents, position};

/// Each input, multiplied with its filter and added to the output at `i * stride - padding +
/// p * dilation`: the adjoint of a [`Conv2d`](super::Conv2d), which makes images larger where that
/// makes them smaller.
///
/// x `[n, in_channels, height, width]`, w `[in_channels, out_channels / groups, kernel_height,
/// kernel_width]`, b `[out_channels]`; a side of y is
/// `(side - 1) stride - 2 padding + dilation (kernel - 1) + output_padding + 1`.
///
/// Weight and bias start as U(-k, k), `k = 1 / sqrt(out_channels / groups * kernel_height *
/// kernel_width)`, which is how PyTorch counts the inputs here.
///
/// ```
/// use rand::SeedableRng;
/// use topedge_autograd::Tensor;
/// use topedge_nn::layers::{ConvTranspose2d, ConvTranspose2dConfig};
/// use topedge_nn::{Context, Module};
///
/// let mut rng = rand_pcg::Pcg64::seed_from_u64(42);
/// let config = ConvTranspose2dConfig { stride: [2, 2], ..Default::default() };
/// let mut layer = ConvTranspose2d::new(8, 3, [2, 2], &config, &mut rng)?;
/// let y = layer.forward(&Tensor::<f32>::ones(&[64, 8, 14, 14])?, &mut Context::eval())?;
/// assert_eq!(y.shape(), [64, 3, 28, 28]);
/// # Ok::<(), topedge_nn::Error>(())
/// ```
#[derive(Debug)]
pub struct ConvTranspose2d<T: Float = f32> {
    weight: Parameter<T>,
    bias: Option<Parameter<T>>,
    geometry: conv_transpose2d::ConvTranspose2dConfig,
}

/// What a [`ConvTranspose2d`] layer has besides its sizes; pairs are `[height, width]`. By default:
/// stride 1, no padding, dilation 1, one group, a bias, weights as PyTorch's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConvTranspose2dConfig {
    /// Steps on the output between neighbouring inputs.
    pub stride: [usize; 2],
    /// Rows and columns cut off on both sides of the output.
    pub padding: [usize; 2],
    /// Rows and columns that the output has below and to the right besides; less than the stride.
    pub output_padding: [usize; 2],
    /// Distance of the pixels that neighbouring weights paint.
    pub dilation: [usize; 2],
    /// Into how many groups the channels are divided.
    pub groups: usize,
    /// Whether a bias is added.
    pub bias: bool,
    /// What the weights are drawn from.
    pub init: Init,
}

impl Default for ConvTranspose2dConfig {
    fn default() -> Self {
        ConvTranspose2dConfig {
            stride: [1, 1],
            padding: [0, 0],
            output_padding: [0, 0],
            dilation: [1, 1],
            groups: 1,
            bias: true,
            init: Init::default(),
        }
    }
}

impl<T: Float> ConvTranspose2d<T> {
    /// A layer with weights drawn from `rng`.
    ///
    /// # Errors
    ///
    /// When a size, stride or dilation is 0, the output padding is not less than the stride, the
    /// groups do not divide the channels, or the weights do not fit into memory.
    pub fn new(
        in_channels: usize,
        out_channels: usize,
        kernel_size: [usize; 2],
        config: &ConvTranspose2dConfig,
        rng: &mut Pcg64,
    ) -> Result<Self> {
        positive("ConvTranspose2d: in_channels", &[in_channels])?;
        positive("ConvTranspose2d: out_channels", &[out_channels])?;
        positive("ConvTranspose2d: kernel_size", &kernel_size)?;
        positive("ConvTranspose2d: stride", &config.stride)?;
        positive("ConvTranspose2d: dilation", &config.dilation)?;
        positive("ConvTranspose2d: groups", &[config.groups])?;
        let groups = config.groups;
        for channels in [in_channels, out_channels] {
            if !channels.is_multiple_of(groups) {
                let expected = format!("a divisor of {in_channels} and {out_channels} channels");
                return Err(Error::setting("ConvTranspose2d: groups", groups, expected));
            }
        }
        if (0..2).any(|axis| config.output_padding[axis] >= config.stride[axis]) {
            let found = format!("{:?}", config.output_padding);
            let expected = format!("less than the stride, {:?}", config.stride);
            return Err(Error::setting("ConvTranspose2d: output_padding", found, expected));
        }
        let [kh, kw] = kernel_size;
        // Saturated, it is refused with the shape.
        let fan_in = (out_channels / groups).saturating_mul(kh).saturating_mul(kw);
        let shape = [in_channels, out_channels / groups, kh, kw];
        let weight = config.init.sample(&shape, fan_in, rng)?;
        let bias =
            config.bias.then(|| Init::FanIn.sample(&[out_channels], fan_in, rng)).transpose()?;
        Ok(ConvTranspose2d {
            weight: Parameter::new(weight, ParameterKind::Weight),
            bias: bias.map(|bias| Parameter::new(bias, ParameterKind::Bias)),
            geometry: conv_transpose2d::ConvTranspose2dConfig {
                stride: config.stride,
                padding: config.padding,
                output_padding: config.output_padding,
                dilation: config.dilation,
                groups,
            },
        })
    }

    fn weight_shape(&self) -> [usize; 4] {
        [0, 1, 2, 3].map(|axis| self.weight.value.shape()[axis])
    }
}

impl<T: Float> Module<T> for ConvTranspose2d<T> {
    fn kind(&self) -> &'static str {
        "ConvTranspose2d"
    }

    fn config(&self) -> String {
        let [in_channels, out_channels, kh, kw] = self.weight_shape();
        let geometry = &self.geometry;
        let [sh, sw] = geometry.stride;
        let mut text = format!(
            "{in_channels}, {}, kernel_size=({kh}, {kw}), stride=({sh}, {sw})",
            out_channels * geometry.groups
        );
        for (name, [height, width], default) in [
            ("padding", geometry.padding, [0, 0]),
            ("output_padding", geometry.output_padding, [0, 0]),
            ("dilation", geometry.dilation, [1, 1]),
        ] {
            if [height, width] != default {
                text += &format!(", {name}=({height}, {width})");
            }
        }
        if geometry.groups != 1 {
            text += &format!(", groups={}", geometry.groups);
        }
        if self.bias.is_none() {
            text += ", bias=false";
        }
        text
    }

    fn forward(&mut self, x: &Tensor<T>, _: &mut Context<'_, T>) -> Result<Tensor<T>> {
        let bias = self.bias.as_ref().map(|bias| &bias.value);
        Ok(x.conv_transpose2d(&self.weight.value, bias, &self.geometry)?)
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>> {
        let input = axes4(input)?;
        let output = conv_transpose2d::output_shape(input, self.weight_shape(), &self.geometry)?;
        Ok(output.to_vec())
    }

    fn reach(&self) -> Reach {
        let [.., kh, kw] = self.weight_shape();
        let conv_transpose2d::ConvTranspose2dConfig { stride, padding, dilation, .. } =
            self.geometry;
        Reach::Transposed(Window { kernel: [kh, kw], stride, padding, dilation })
    }

    fn precedents(&self, x: &Tensor<T>, at: &[usize]) -> Result<Precedents> {
        let [filter, row, column] = position(at, &self.output_shape(x.shape())?)?;
        let [in_channels, outputs, kh, kw] = self.weight_shape();
        let conv_transpose2d::ConvTranspose2dConfig { stride, padding, dilation, groups, .. } =
            self.geometry;
        let (image, weight) = (Image::of(x), Image::of(&self.weight.value));
        // The input that lays a tap there, if one does.
        let input = |axis: usize, at: usize, tap: usize| {
            let distance = (at + padding[axis]).checked_sub(tap * dilation[axis])?;
            let place = distance / stride[axis];
            let meets = distance.is_multiple_of(stride[axis]) && place < x.shape()[2 + axis];
            meets.then_some(place)
        };
        let inputs = in_channels / groups;
        let (group, output) = (filter / outputs, filter % outputs);
        let mut terms = vec![];
        for channel in group * inputs..(group + 1) * inputs {
            for i in 0..kh {
                for j in 0..kw {
                    if let (Some(h), Some(w)) = (input(0, row, i), input(1, column, j)) {
                        let weight = weight.get([channel * outputs + output, i, j]);
                        terms.push(image.term([channel, h, w], weight));
                    }
                }
            }
        }
        let bias = self.bias.as_ref().map(|bias| bias.value.to_vec()[filter].to_f64());
        Ok(Precedents { terms, bias, function: None })
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
    fn gradients() {
        let config = ConvTranspose2dConfig {
            stride: [2, 3],
            padding: [1, 0],
            output_padding: [1, 2],
            dilation: [1, 2],
            groups: 2,
            bias: false,
            ..Default::default()
        };
        for config in [ConvTranspose2dConfig::default(), config] {
            let mut layer = ConvTranspose2d::new(4, 6, [3, 2], &config, &mut rng()).unwrap();
            check_gradients(&mut layer, &tensor(&[2, 4, 2, 3]));
            check_shape(&mut layer, &[3, 4, 3, 2]);
        }
    }

    #[test]
    fn wrong_sizes_are_refused() {
        let new = |i, o, k, config: &ConvTranspose2dConfig| {
            let layer = ConvTranspose2d::<f32>::new(i, o, k, config, &mut rng());
            layer.map(|_| ()).unwrap_err().to_string()
        };
        let default = ConvTranspose2dConfig::default();
        assert!(new(0, 1, [3, 3], &default).contains("in_channels"));
        assert!(new(1, 1, [0, 3], &default).contains("kernel_size"));
        let config = ConvTranspose2dConfig { stride: [0, 1], ..default.clone() };
        assert!(new(1, 1, [3, 3], &config).contains("stride"));
        let config = ConvTranspose2dConfig { output_padding: [0, 1], ..default.clone() };
        assert!(new(1, 1, [3, 3], &config).contains("output_padding"));
        let config = ConvTranspose2dConfig { groups: 2, ..default.clone() };
        assert!(new(4, 3, [3, 3], &config).contains("a divisor of 4 and 3"));
        assert!(new(1 << 20, 1 << 20, [1 << 12, 1 << 12], &default).contains("memory"));

        let config = ConvTranspose2dConfig { padding: [2, 0], ..default };
        let layer: ConvTranspose2d =
            ConvTranspose2d::new(4, 6, [3, 3], &config, &mut rng()).unwrap();
        for input in [&[1, 3, 9, 9][..], &[1, 4, 1, 9], &[4, 9, 9], &[]] {
            assert!(layer.output_shape(input).is_err(), "{input:?}");
        }
    }

    #[test]
    fn says_what_it_is_in_pytorchs_words() {
        let config = ConvTranspose2dConfig {
            stride: [2, 2],
            padding: [1, 1],
            output_padding: [1, 1],
            ..Default::default()
        };
        let layer: ConvTranspose2d =
            ConvTranspose2d::new(4, 6, [3, 3], &config, &mut rng()).unwrap();
        let expected =
            "4, 6, kernel_size=(3, 3), stride=(2, 2), padding=(1, 1), output_padding=(1, 1)";
        assert_eq!(layer.config(), expected);
    }
}
