//! From layers to steps: what follows a convolution becomes part of it, a linear layer becomes a
//! convolution of the whole image, and each image gets the frame that its reader pads with.

use topedge_autograd::Tensor;
use topedge_kernels::TensorRef;
use topedge_kernels::conv2d::{ChannelNorm, Conv2dConfig, Epilogue, FusedConv2d};

use super::image::Framed;
use super::{Evaluation, Predictor, Step};
use crate::error::{Error, Result};
use crate::module::{Item, Module};

/// A layer that is no container, with its path and the shape of its input for one image.
struct Leaf<'a> {
    path: String,
    module: &'a dyn Module,
    input: Vec<usize>,
}

/// A step whose frames are not known yet.
enum Draft<'a> {
    Conv(Conv<'a>),
    Pool(Step),
}

struct Conv<'a> {
    weight: &'a Tensor,
    /// As that of a convolution.
    weight_shape: [usize; 4],
    config: Conv2dConfig,
    bias: Option<Vec<f32>>,
    relu_first: bool,
    norm: Option<[Vec<f32>; 3]>,
    relu_last: bool,
}

impl<'a> Conv<'a> {
    /// Nothing behind it yet.
    fn draft(
        weight: &'a Tensor,
        weight_shape: [usize; 4],
        bias: Option<&Tensor>,
        config: Conv2dConfig,
    ) -> Draft<'a> {
        let bias = bias.map(Tensor::to_vec);
        let (relu_first, norm, relu_last) = (false, None, false);
        Draft::Conv(Conv { weight, weight_shape, config, bias, relu_first, norm, relu_last })
    }

    /// Does a ReLU after what is there.
    fn relu(&mut self) {
        match self.norm {
            None => self.relu_first = true,
            Some(_) => self.relu_last = true,
        }
    }

    /// Whether a norm of so many channels can be done after what is there.
    fn can_normalize(&self, channels: usize) -> bool {
        self.norm.is_none() && channels == self.weight_shape[0]
    }

    fn fuse(&self, size: [usize; 2], frame: [usize; 2]) -> Result<Step> {
        let weight = self.weight.to_vec();
        let norm = self.norm.as_ref();
        let norm = norm.map(|[mean, scale, shift]| ChannelNorm { mean, scale, shift });
        let epilogue = Epilogue {
            bias: self.bias.as_deref(),
            relu_first: self.relu_first,
            norm,
            relu_last: self.relu_last,
        };
        let weight = TensorRef::contiguous(&weight, self.weight_shape)?;
        Ok(Step::Conv(FusedConv2d::new(weight, size, &self.config, &epilogue, frame)?))
    }
}

pub(super) fn plan(network: &dyn Module, image_shape: [usize; 3]) -> Result<Predictor> {
    let image_len = image_shape.iter().try_fold(1_usize, |n, &size| n.checked_mul(size));
    let Some(image_len) = image_len.filter(|&len| len > 0) else {
        let found = format!("{image_shape:?}");
        return Err(Error::unexpected("image shape", "sizes above 0 that fit into memory", found));
    };
    let [channels, height, width] = image_shape;
    let input = [1, channels, height, width];
    // Every layer checks the shape that it is given.
    let output_shape = network.output_shape(&input)?[1..].to_vec();
    if output_shape.contains(&0) {
        return Err(Error::unexpected(
            "output shape",
            "sizes above 0",
            format!("{output_shape:?}"),
        ));
    }
    let mut leaves = vec![];
    collect(network, String::new(), input.to_vec(), &mut leaves)?;

    let mut drafts = vec![];
    // What each step reads, and the last one writes, without its frame.
    let mut images = vec![Framed { channels, size: [height, width], frame: [0, 0] }];
    for leaf in &leaves {
        let image = images[images.len() - 1];
        if let Some(draft) = draft(leaf, image, &mut drafts)? {
            let output = leaf.module.output_shape(&leaf.input)?;
            let (channels, size) = match output[..] {
                [_, channels, height, width] => (channels, [height, width]),
                _ => (output[1], [1, 1]),
            };
            drafts.push(draft);
            images.push(Framed { channels, size, frame: [0, 0] });
        }
    }
    for (draft, image) in drafts.iter().zip(&mut images) {
        if let Draft::Conv(conv) = draft {
            image.frame = conv.config.padding;
        }
    }
    let mut multiply_adds = 0;
    let mut steps = vec![];
    for (draft, pair) in drafts.into_iter().zip(images.windows(2)) {
        steps.push(match draft {
            Draft::Pool(step) => step,
            Draft::Conv(conv) => {
                let fused = conv.fuse(pair[0].size, pair[1].frame)?;
                let places = pair[1].size.iter().product();
                multiply_adds =
                    conv.weight.len().saturating_mul(places).saturating_add(multiply_adds);
                fused
            }
        });
    }
    Ok(Predictor { image_len, output_shape, images, steps, multiply_adds, buffers: vec![] })
}

/// The layers of a chain in their order, those of chains inside it among them.
fn collect<'a>(
    module: &'a dyn Module,
    path: String,
    input: Vec<usize>,
    leaves: &mut Vec<Leaf<'a>>,
) -> Result<()> {
    if !matches!(module.evaluation(), Evaluation::Chain) {
        leaves.push(Leaf { path, module, input });
        return Ok(());
    }
    let mut children = vec![];
    module.visit(&mut |name, item| {
        if let Item::Module(child) = item {
            children.push((name.to_string(), child));
        }
    });
    let mut shape = input;
    for (name, child) in children {
        let output = child.output_shape(&shape)?;
        let path = if path.is_empty() { name } else { format!("{path}.{name}") };
        collect(child, path, shape, leaves)?;
        shape = output;
    }
    Ok(())
}

/// The step that `leaf` makes of `image`; `None` where it became part of the step before, or changes
/// nothing.
fn draft<'a>(
    leaf: &Leaf<'a>,
    image: Framed,
    drafts: &mut [Draft<'a>],
) -> Result<Option<Draft<'a>>> {
    let before = match drafts.last_mut() {
        Some(Draft::Conv(conv)) => Some(conv),
        _ => None,
    };
    let draft = match (leaf.module.evaluation(), before) {
        // Neither moves a value: features stay where they were in the image, and a linear layer
        // looks for them there.
        (Evaluation::Identity | Evaluation::Flatten, _) => return Ok(None),
        (Evaluation::Relu, Some(conv)) => {
            conv.relu();
            return Ok(None);
        }
        (Evaluation::Norm { mean, scale, shift }, Some(conv)) if conv.can_normalize(mean.len()) => {
            conv.norm = Some([mean.to_vec(), scale, shift.to_vec()]);
            return Ok(None);
        }
        (Evaluation::Conv2d { weight, bias, config }, _) if config.groups == 1 => {
            let shape = [0, 1, 2, 3].map(|axis| weight.shape()[axis]);
            Conv::draft(weight, shape, bias, config)
        }
        (Evaluation::Linear { weight, bias }, _) => {
            let [height, width] = image.size;
            let shape = [weight.shape()[0], image.channels, height, width];
            Conv::draft(weight, shape, bias, Conv2dConfig::default())
        }
        (Evaluation::MaxPool2d(config), _) => Draft::Pool(Step::MaxPool(config)),
        (Evaluation::AvgPool2d(config), _) => Draft::Pool(Step::AvgPool(config)),
        (Evaluation::AdaptiveMaxPool2d(_), _) => Draft::Pool(Step::AdaptiveMaxPool),
        (Evaluation::AdaptiveAvgPool2d(_), _) => Draft::Pool(Step::AdaptiveAvgPool),
        _ => {
            let error = Error::setting("layer to predict with", leaf.module.kind(), KNOWN);
            return Err(error.in_layer(&leaf.path, leaf.module, &leaf.input));
        }
    };
    Ok(Some(draft))
}

const KNOWN: &str = "convolution (one group, padded with zeros), linear layer, pooling, flattening, \
                     dropout; behind a convolution or linear layer ReLU and one batch norm";
