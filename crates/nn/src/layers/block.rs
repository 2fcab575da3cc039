//! The building block of convolutional networks: convolution, activation, batch norm.

use rand_pcg::Pcg64;
use topedge_autograd::Float;

use super::{BatchNorm2d, Conv2d, Conv2dConfig, Padding, Relu, Sequential};
use crate::error::Result;

/// Where batch norm stands in a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NormPlace {
    /// Convolution, ReLU, batch norm: the later printings of the fastai book.
    AfterActivation,
    /// Convolution, batch norm, ReLU: the earlier printings, and most published networks.
    BeforeActivation,
}

/// What a block of [`conv`] is made of. By default: a 3x3 convolution of stride 2 and a ReLU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockConfig {
    /// Height and width of the kernel; the padding is half of it.
    pub kernel_size: usize,
    /// Stride along both axes.
    pub stride: usize,
    /// Whether there is a ReLU.
    pub act: bool,
    /// Whether there is batch norm, and where.
    pub norm: Option<NormPlace>,
}

impl Default for BlockConfig {
    fn default() -> Self {
        BlockConfig { kernel_size: 3, stride: 2, act: true, norm: None }
    }
}

/// The block from `in_channels` to `out_channels`: a [`Sequential`] of a convolution with a bias,
/// and what `config` adds. With stride 2 and an odd kernel, a side of `n` becomes `ceil(n / 2)`.
///
/// ```
/// use rand::SeedableRng;
/// use topedge_nn::layers::{BlockConfig, NormPlace, Sequential, conv};
/// use topedge_nn::Module;
///
/// let mut rng = rand_pcg::Pcg64::seed_from_u64(42);
/// let config = BlockConfig { norm: Some(NormPlace::AfterActivation), ..Default::default() };
/// let block: Sequential = conv(8, 16, &config, &mut rng)?;
/// assert_eq!(block.output_shape(&[64, 8, 14, 14])?, [64, 16, 7, 7]);
/// # Ok::<(), topedge_nn::Error>(())
/// ```
///
/// # Errors
///
/// When a size is 0 or the weights do not fit into memory.
pub fn conv<T: Float>(
    in_channels: usize,
    out_channels: usize,
    config: &BlockConfig,
    rng: &mut Pcg64,
) -> Result<Sequential<T>> {
    let kernel_size = config.kernel_size;
    let convolution = Conv2dConfig {
        stride: [config.stride; 2],
        padding: Padding::Explicit([kernel_size / 2; 2]),
        ..Default::default()
    };
    let convolution = Conv2d::new(in_channels, out_channels, [kernel_size; 2], &convolution, rng)?;
    let mut block = Sequential::new().push(convolution);
    if config.norm == Some(NormPlace::BeforeActivation) {
        block = block.push(BatchNorm2d::new(out_channels)?);
    }
    if config.act {
        block = block.push(Relu);
    }
    if config.norm == Some(NormPlace::AfterActivation) {
        block = block.push(BatchNorm2d::new(out_channels)?);
    }
    Ok(block)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::testing::{check_gradients, rng, tensor};
    use crate::module::{Item, Module};

    fn kinds(config: &BlockConfig) -> Vec<&'static str> {
        let block: Sequential = conv(2, 3, config, &mut rng()).unwrap();
        let mut kinds = vec![];
        block.visit(&mut |_, item| match item {
            Item::Module(layer) => kinds.push(layer.kind()),
            _ => unreachable!(),
        });
        kinds
    }

    #[test]
    fn order_of_layers() {
        let with = |act, norm| BlockConfig { act, norm, ..Default::default() };
        let (after, before) = (NormPlace::AfterActivation, NormPlace::BeforeActivation);
        assert_eq!(kinds(&with(true, None)), ["Conv2d", "ReLU"]);
        assert_eq!(kinds(&with(false, None)), ["Conv2d"]);
        assert_eq!(kinds(&with(true, Some(after))), ["Conv2d", "ReLU", "BatchNorm2d"]);
        assert_eq!(kinds(&with(true, Some(before))), ["Conv2d", "BatchNorm2d", "ReLU"]);
        assert_eq!(kinds(&with(false, Some(after))), ["Conv2d", "BatchNorm2d"]);
    }

    #[test]
    fn halves_the_sides_and_has_right_gradients() {
        let config = BlockConfig { norm: Some(NormPlace::AfterActivation), ..Default::default() };
        for kernel_size in [1, 3, 5] {
            let config = BlockConfig { kernel_size, ..config.clone() };
            let mut block = conv(2, 3, &config, &mut rng()).unwrap();
            assert_eq!(block.output_shape(&[2, 2, 7, 4]).unwrap(), [2, 3, 4, 2]);
            check_gradients(&mut block, &tensor(&[2, 2, 5, 4]));
        }
    }
}
