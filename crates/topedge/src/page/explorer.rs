//! A network and its activations for some images, to be traced back in the page.

use topedge_autograd::Tensor;
use topedge_data::{Dataset, Normalize};
use topedge_kernels::pool::Pool2dConfig;
use topedge_nn::{Activations, Evaluation, Item, LayerActivations, Module, Reach, Window, walk};
use topedge_report::{Explorer, Layer, LayerKind, Sample};

use super::validation::Seen;
use crate::error::Result;

/// More numbers than this would make the page too large: each takes 5 1/3 bytes.
const MOST_NUMBERS: usize = 500_000;

/// The network and the images `samples`, as many of them as fit; `None` if not one does.
pub(super) fn explorer(
    model: &mut dyn Module,
    data: &Dataset,
    normalize: &Normalize,
    seen: &[Seen],
    samples: &[usize],
) -> Result<Option<Explorer>> {
    let mut room = MOST_NUMBERS.checked_sub(topedge_nn::parameter_count(model));
    let image_shape = data.image_shape();
    let mut explorer = Explorer { image_shape: image_shape.to_vec(), ..Default::default() };
    for &index in samples {
        let input = normalize.apply(data.image(index))?;
        let x = Tensor::new(input.clone(), &[&[1], &image_shape[..]].concat())?;
        let activations = Activations::of(model, &x)?;
        let ran = activations.layers();
        let outputs: Vec<Vec<f32>> = ran.iter().map(|layer| layer.output.to_vec()).collect();
        let layers = ran.to_vec();
        let numbers = input.len() + outputs.iter().map(Vec::len).sum::<usize>();
        room = room.and_then(|room| room.checked_sub(numbers));
        if room.is_none() {
            break;
        }
        if explorer.layers.is_empty() {
            let described = layers.into_iter().map(|layer| Layer {
                kind: kind(model, &layer),
                shape: layer.output.shape()[1..].to_vec(),
                path: layer.path,
                name: layer.layer,
            });
            explorer.layers = described.collect();
        }
        let class = |i: usize| data.vocab()[i].clone();
        explorer.samples.push(Sample {
            index,
            label: class(seen[index].label),
            prediction: class(seen[index].prediction),
            input,
            outputs,
        });
    }
    Ok((!explorer.samples.is_empty()).then_some(explorer))
}

/// What a layer of `model` computes.
fn kind(model: &dyn Module, ran: &LayerActivations) -> LayerKind {
    let mut layer = model;
    walk(model, &mut |found, item| {
        if let Item::Module(child) = item
            && found == ran.path
        {
            layer = child;
        }
    });
    let values = |tensor: Option<&Tensor>| tensor.map(Tensor::to_vec).unwrap_or_default();
    match layer.evaluation() {
        Evaluation::Conv2d { weight, bias, config } => LayerKind::Conv2d {
            kernel: [weight.shape()[2], weight.shape()[3]],
            weight: weight.to_vec(),
            bias: values(bias),
            stride: config.stride,
            padding: config.padding,
            dilation: config.dilation,
            groups: config.groups,
        },
        Evaluation::Linear { weight, bias } => {
            LayerKind::Linear { weight: weight.to_vec(), bias: values(bias) }
        }
        Evaluation::Norm { mean, scale, shift } => {
            let terms = shift.to_vec().into_iter().zip(mean).zip(&scale);
            let shift = terms.map(|((shift, mean), scale)| shift - mean * scale).collect();
            LayerKind::Scale { scale, shift }
        }
        Evaluation::MaxPool2d(config) => pool(&config, true),
        Evaluation::AvgPool2d(config) => pool(&config, false),
        Evaluation::AdaptiveAvgPool2d(_) => LayerKind::AdaptivePool { maximum: false },
        Evaluation::AdaptiveMaxPool2d(_) => LayerKind::AdaptivePool { maximum: true },
        Evaluation::Identity | Evaluation::Flatten => LayerKind::Same,
        _ => match layer.reach() {
            Reach::Transposed(window) => transposed(layer, ran, window),
            Reach::Pointwise => {
                let first = vec![0; ran.output.rank() - 1];
                let made = layer.precedents(&ran.input, &first).ok();
                let function = made.and_then(|made| made.function.map(String::from));
                function.map_or(LayerKind::Other, |function| LayerKind::Function { function })
            }
            _ => LayerKind::Other,
        },
    }
}

/// A transposed convolution, by the parameters that it shows.
fn transposed(layer: &dyn Module, ran: &LayerActivations, window: Window) -> LayerKind {
    let (mut weight, mut bias, mut outputs) = (vec![], vec![], 0);
    layer.visit(&mut |name, item| match (name, item) {
        ("weight", Item::Parameter(parameter)) => {
            weight = parameter.value.to_vec();
            outputs = parameter.value.shape().get(1).copied().unwrap_or(0);
        }
        ("bias", Item::Parameter(parameter)) => bias = parameter.value.to_vec(),
        _ => {}
    });
    let Window { kernel, stride, padding, dilation } = window;
    match ran.output.shape()[1].checked_div(outputs) {
        Some(groups) => {
            LayerKind::ConvTranspose2d { weight, bias, kernel, stride, padding, dilation, groups }
        }
        None => LayerKind::Other,
    }
}

fn pool(config: &Pool2dConfig, maximum: bool) -> LayerKind {
    let Pool2dConfig { kernel, stride, padding, dilation, count_include_pad, .. } = *config;
    LayerKind::Pool { maximum, kernel, stride, padding, dilation, count_include_pad }
}
