//! The networks of the fastai book's chapter on convolutions, by name.

use rand_pcg::Pcg64;

use crate::error::{Error, Result};
use crate::layers::{
    BlockConfig, Conv2d, Conv2dConfig, Flatten, Linear, LinearConfig, NormPlace, Padding, Relu,
    Sequential, conv,
};
use crate::module::Module;

/// A network that goes by a name.
///
/// ```
/// use rand::SeedableRng;
/// use topedge_nn::{Net, NetConfig, parameter_count};
///
/// let net: Net = "simple-cnn-bn".parse()?;
/// let mut rng = rand_pcg::Pcg64::seed_from_u64(42);
/// let model = net.build(&NetConfig::default(), &mut rng)?;
/// assert_eq!(parameter_count(&model), 30_542);
/// # Ok::<(), topedge_nn::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Net {
    /// Flatten, Linear to 30, ReLU, Linear to the classes.
    SimpleNet,
    /// Two 3x3 convolutions that keep the size, so that there is an activation per pixel and not
    /// per class: not to be trained.
    BrokenCnn,
    /// Five 3x3 convolutions of stride 2 to 4, 8, 16, 32 channels and the classes, meant for two.
    SimpleCnn2,
    /// As [`Net::SimpleCnn2`], to 8 (5x5), 16, 32, 64 channels and the classes.
    SimpleCnn,
    /// [`Net::SimpleCnn`] with batch norm after each ReLU, and after the last convolution.
    SimpleCnnBn,
}

/// What a network is built for. By default: ten classes of grey 28x28 images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetConfig {
    /// `[channels, height, width]` of the images.
    pub image_shape: [usize; 3],
    /// The number of classes.
    pub classes: usize,
}

impl Default for NetConfig {
    fn default() -> Self {
        NetConfig { image_shape: [1, 28, 28], classes: 10 }
    }
}

impl Net {
    /// All networks.
    pub const ALL: [Net; 5] =
        [Net::SimpleNet, Net::BrokenCnn, Net::SimpleCnn2, Net::SimpleCnn, Net::SimpleCnnBn];

    /// The name, as in `simple-cnn-bn`.
    pub fn name(self) -> &'static str {
        match self {
            Net::SimpleNet => "simple-net",
            Net::BrokenCnn => "broken-cnn",
            Net::SimpleCnn2 => "simple-cnn-2",
            Net::SimpleCnn => "simple-cnn",
            Net::SimpleCnnBn => "simple-cnn-bn",
        }
    }

    /// The network, with weights drawn from `rng`.
    ///
    /// # Errors
    ///
    /// When a size is 0, or the images are larger than five halvings make one position of.
    pub fn build(self, config: &NetConfig, rng: &mut Pcg64) -> Result<Sequential> {
        let [channels, height, width] = config.image_shape;
        let classes = config.classes;
        let net = match self {
            Net::SimpleNet => {
                // Saturated, it is refused by the layer.
                let pixels = channels.saturating_mul(height).saturating_mul(width);
                let linear = LinearConfig::default();
                Sequential::new()
                    .push(Flatten)
                    .push(Linear::new(pixels, 30, &linear, rng)?)
                    .push(Relu)
                    .push(Linear::new(30, classes, &linear, rng)?)
            }
            Net::BrokenCnn => {
                let convolution =
                    Conv2dConfig { padding: Padding::Explicit([1, 1]), ..Default::default() };
                return Ok(Sequential::new()
                    .push(Conv2d::new(channels, 30, [3, 3], &convolution, rng)?)
                    .push(Relu)
                    .push(Conv2d::new(30, 1, [3, 3], &convolution, rng)?));
            }
            Net::SimpleCnn2 => blocks([channels, 4, 8, 16, 32, classes], 3, None, rng)?,
            Net::SimpleCnn => blocks([channels, 8, 16, 32, 64, classes], 5, None, rng)?,
            Net::SimpleCnnBn => {
                let norm = Some(NormPlace::AfterActivation);
                blocks([channels, 8, 16, 32, 64, classes], 5, norm, rng)?
            }
        };
        if net.output_shape(&[1, channels, height, width])? != [1, classes] {
            return Err(Error::setting(
                format!("{self}: image size"),
                format!("{height}x{width}"),
                "at most 32x32, which five halvings bring down to 1x1",
            ));
        }
        Ok(net)
    }
}

/// Five blocks, the first with kernels of `first_kernel_size`, the last without ReLU, then
/// Flatten.
fn blocks(
    channels: [usize; 6],
    first_kernel_size: usize,
    norm: Option<NormPlace>,
    rng: &mut Pcg64,
) -> Result<Sequential> {
    let mut net = Sequential::new();
    for (i, pair) in channels.windows(2).enumerate() {
        let config = BlockConfig {
            kernel_size: if i == 0 { first_kernel_size } else { 3 },
            act: i < 4,
            norm,
            ..Default::default()
        };
        net = net.push(conv(pair[0], pair[1], &config, rng)?);
    }
    Ok(net.push(Flatten))
}

impl std::fmt::Display for Net {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

impl std::str::FromStr for Net {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let found = Net::ALL.into_iter().find(|net| net.name() == name);
        found.ok_or_else(|| {
            let names = Net::ALL.map(Net::name).join(", ");
            Error::setting("network", name, format!("one of {names}"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::Context;
    use crate::layers::testing::rng;
    use crate::{parameter_count, parameters};
    use topedge_autograd::Tensor;

    fn build(net: Net, classes: usize) -> Sequential {
        let config = NetConfig { classes, ..Default::default() };
        net.build(&config, &mut rng()).unwrap()
    }

    /// Those of the convolutional networks are what fastai's `learn.summary()` says.
    #[test]
    fn parameter_counts() {
        for (net, classes, expected) in [
            (Net::SimpleNet, 10, 784 * 30 + 30 + 300 + 10),
            (Net::SimpleCnn2, 2, 6_722),
            (Net::SimpleCnn, 10, 30_282),
            (Net::SimpleCnnBn, 10, 30_542),
        ] {
            assert_eq!(parameter_count(&build(net, classes)), expected, "{net}");
        }
    }

    /// Layer by layer, as the book counts them.
    #[test]
    fn parameters_of_the_two_digit_network() {
        let model = build(Net::SimpleCnn2, 2);
        let sizes: Vec<_> = parameters(&model).iter().map(|(_, p)| p.value.len()).collect();
        let (layers, _) = sizes.as_chunks::<2>();
        let counts: Vec<_> = layers.iter().map(|[weights, biases]| weights + biases).collect();
        assert_eq!(counts, [40, 296, 1168, 4640, 578]);
        assert_eq!(layers[2], [16 * 8 * 3 * 3, 16]);
    }

    #[test]
    fn one_output_per_class_and_one_per_pixel_in_the_broken_one() {
        let x = Tensor::ones(&[3, 1, 28, 28]).unwrap();
        for net in Net::ALL {
            let mut model = build(net, 7);
            let y = model.forward(&x, &mut Context::train(1)).unwrap();
            assert_eq!(model.output_shape(x.shape()).unwrap(), y.shape(), "{net}");
            if net == Net::BrokenCnn {
                assert_eq!(y.shape(), [3, 1, 28, 28]);
            } else {
                assert_eq!(y.shape(), [3, 7], "{net}");
            }
        }
    }

    #[test]
    fn names_of_parameters() {
        let model = build(Net::SimpleCnnBn, 10);
        let names: Vec<_> = parameters(&model).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names[..4], ["0.0.weight", "0.0.bias", "0.2.weight", "0.2.bias"]);
        assert_eq!(names[16..], ["4.0.weight", "4.0.bias", "4.1.weight", "4.1.bias"]);
    }

    #[test]
    fn other_images() {
        let build = |net: Net, image_shape| {
            let config = NetConfig { image_shape, classes: 5 };
            net.build(&config, &mut rng())
        };
        for image_shape in [[3, 32, 32], [1, 1, 1], [2, 17, 32]] {
            assert!(build(Net::SimpleCnn, image_shape).is_ok(), "{image_shape:?}");
        }
        let error = build(Net::SimpleCnn, [3, 33, 20]).unwrap_err().to_string();
        assert!(error.contains("33x20") && error.contains("32x32"), "{error}");
        assert!(build(Net::SimpleNet, [3, 64, 64]).is_ok());
        for image_shape in [[0, 28, 28], [1, 0, 28], [usize::MAX, 28, 28]] {
            for net in [Net::SimpleNet, Net::SimpleCnnBn] {
                assert!(build(net, image_shape).is_err(), "{net} {image_shape:?}");
            }
        }
    }

    #[test]
    fn names() {
        for net in Net::ALL {
            assert_eq!(net.to_string().parse::<Net>().unwrap(), net);
        }
        let error = "resnet".parse::<Net>().unwrap_err().to_string();
        assert!(error.contains("resnet") && error.contains("simple-cnn-bn"), "{error}");
    }
}
