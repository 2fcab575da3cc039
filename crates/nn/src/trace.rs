//! Trace precedents: from an activation back to what made it, as in a spreadsheet.

use topedge_autograd::{Float, Tensor, no_grad};

use crate::context::Context;
use crate::error::{Error, Result};
use crate::module::{Item, ItemMut, Module, describe, push, walk};
use crate::receptive_field::Reach;

/// What a layer made one activation of: `value = function(sum of products + bias)`.
#[derive(Clone, Debug, PartialEq)]
pub struct Precedents {
    /// The products. Of a maximum, the one that is largest has the weight 1 and the others 0; of an
    /// average, all have the same.
    pub terms: Vec<Term>,
    /// What is added to them.
    pub bias: Option<f64>,
    /// What is applied to the sum, as in `ReLU`.
    pub function: Option<&'static str>,
}

/// A product of a weight with an activation of the layer before.
#[derive(Clone, Debug, PartialEq)]
pub struct Term {
    /// Which activation: `[channel, row, column]`, or `[feature]`. `None` where the window of a
    /// convolution meets the zeros around its input.
    pub at: Option<Vec<usize>>,
    /// The activation.
    pub input: f64,
    /// The weight.
    pub weight: f64,
    /// Their product.
    pub product: f64,
}

/// An activation and all that it was made of.
#[derive(Clone, Debug, PartialEq)]
pub struct Trace {
    /// Where the layer stands in the network, as in `0.2`.
    pub path: String,
    /// The layer and its configuration.
    pub layer: String,
    /// Which of its activations: `[channel, row, column]`, or `[feature]`.
    pub at: Vec<usize>,
    /// What it was made of.
    pub precedents: Precedents,
    /// The products and the bias, added up in double precision.
    pub sum: f64,
    /// The activation itself, as the network computed it.
    pub value: f64,
}

/// What went in and out of a layer.
#[derive(Clone, Debug)]
pub struct LayerActivations<T: Float = f32> {
    /// Where the layer stands in the network, as in `0.2`.
    pub path: String,
    /// The layer and its configuration.
    pub layer: String,
    /// Its input, a batch of one.
    pub input: Tensor<T>,
    /// Its output, a batch of one.
    pub output: Tensor<T>,
}

/// All activations of a network for one input, to be traced back.
///
/// ```
/// use rand::SeedableRng;
/// use topedge_autograd::Tensor;
/// use topedge_nn::{Activations, Net, NetConfig};
///
/// let mut rng = rand_pcg::Pcg64::seed_from_u64(1);
/// let mut net = Net::SimpleCnn.build(&NetConfig::default(), &mut rng)?;
/// let image = Tensor::ones(&[1, 1, 28, 28])?;
/// let activations = Activations::of(&mut net, &image)?;
///
/// // The second convolution: filter 5, row 2, column 3.
/// let trace = activations.trace("1.0", &[5, 2, 3])?;
/// assert_eq!(trace.precedents.terms.len(), 8 * 3 * 3);
/// assert!((trace.sum - trace.value).abs() < 1e-5);
/// let products: f64 = trace.precedents.terms.iter().map(|term| term.product).sum();
/// assert_eq!(products + trace.precedents.bias.unwrap(), trace.sum);
/// # Ok::<(), topedge_nn::Error>(())
/// ```
#[allow(missing_debug_implementations)]
pub struct Activations<'a, T: Float = f32> {
    network: &'a dyn Module<T>,
    layers: Vec<LayerActivations<T>>,
}

impl<'a, T: Float> Activations<'a, T> {
    /// Runs `network` in evaluation on `x`, a batch of one, and keeps all activations.
    ///
    /// # Errors
    ///
    /// When `x` is not a batch of one, or the network cannot take it.
    pub fn of(network: &'a mut dyn Module<T>, x: &Tensor<T>) -> Result<Self> {
        if x.shape().first() != Some(&1) {
            let found = format!("{:?}", x.shape());
            return Err(Error::setting("shape of the input to trace", found, "a batch of one"));
        }
        let mut layers = vec![];
        no_grad(|| run(network, &mut String::new(), x.detach(), &mut layers))?;
        Ok(Activations { network, layers })
    }

    /// The layers in the order in which they ran.
    pub fn layers(&self) -> &[LayerActivations<T>] {
        &self.layers
    }

    /// What made the activation `at` (`[channel, row, column]`, or `[feature]`) of the layer `path`.
    ///
    /// # Errors
    ///
    /// When there is no such layer, it has no such activation, or it does not say what made it
    /// ([`Module::precedents`]).
    pub fn trace(&self, path: &str, at: &[usize]) -> Result<Trace> {
        let layer = self.layers.iter().find(|layer| layer.path == path).ok_or_else(|| {
            let paths: Vec<_> = self.layers.iter().map(|layer| layer.path.as_str()).collect();
            Error::setting("layer", path, format!("one of {}", paths.join(", ")))
        })?;
        let place = check_position(at, layer.output.shape())?;
        let mut module = self.network;
        walk(self.network, &mut |found, item| {
            if let Item::Module(child) = item
                && found == path
            {
                module = child;
            }
        });
        let precedents = module.precedents(&layer.input, at)?;
        let products: f64 = precedents.terms.iter().map(|term| term.product).sum();
        Ok(Trace {
            path: path.to_string(),
            layer: layer.layer.clone(),
            at: at.to_vec(),
            sum: products + precedents.bias.unwrap_or(0.0),
            precedents,
            value: layer.output.to_vec()[place].to_f64(),
        })
    }
}

/// Runs `module`; of what it runs one after another, each layer is kept.
fn run<T: Float>(
    module: &mut dyn Module<T>,
    path: &mut String,
    x: Tensor<T>,
    layers: &mut Vec<LayerActivations<T>>,
) -> Result<Tensor<T>> {
    if module.reach() != Reach::Chain {
        let output = module.forward(&x, &mut Context::eval())?;
        let (path, layer) = (path.clone(), describe(module));
        layers.push(LayerActivations { path, layer, input: x, output: output.clone() });
        return Ok(output);
    }
    let mut y = Ok(x);
    module.visit_mut(&mut |name, item| {
        if let (ItemMut::Module(child), Ok(x)) = (item, &y) {
            let x = x.clone();
            let parent = push(path, name);
            let output = run(child, path, x.clone(), layers);
            path.truncate(parent);
            y = output.map_err(|error| error.in_layer(name, child, x.shape()));
        }
    });
    y
}

/// Where the activation `at` of one output lies among the values of an output of shape `shape`
/// (with its batch axis); refused if it is not there.
pub(crate) fn check_position(at: &[usize], shape: &[usize]) -> Result<usize> {
    let sizes = shape.get(1..).unwrap_or_default();
    let inside = at.len() == sizes.len() && at.iter().zip(sizes).all(|(i, size)| i < size);
    if !inside || shape.first() == Some(&0) {
        let expected = format!("an index into an output of shape {sizes:?}");
        return Err(Error::setting("activation", format!("{at:?}"), expected));
    }
    Ok(at.iter().zip(sizes).fold(0, |place, (i, size)| place * size + i))
}

/// The activation `at`, which has `N` axes, refused if an output of `shape` does not have it.
pub(crate) fn position<const N: usize>(at: &[usize], shape: &[usize]) -> Result<[usize; N]> {
    check_position(at, shape)?;
    at.try_into().map_err(|_| {
        Error::setting("activation", format!("{at:?}"), format!("an index of {N} numbers"))
    })
}

/// The first image of a batch `[n, channels, height, width]`, to be read by index.
pub(crate) struct Image<T> {
    values: Vec<T>,
    size: [usize; 2],
}

impl<T: Float> Image<T> {
    /// Of a batch whose shape was checked.
    pub(crate) fn of(x: &Tensor<T>) -> Self {
        let size = [x.shape()[2], x.shape()[3]];
        Image { values: x.to_vec(), size }
    }

    pub(crate) fn get(&self, [channel, row, column]: [usize; 3]) -> f64 {
        let [height, width] = self.size;
        self.values[(channel * height + row) * width + column].to_f64()
    }

    /// The product of the pixel `at` with `weight`.
    pub(crate) fn term(&self, at: [usize; 3], weight: f64) -> Term {
        Term::new(at.to_vec(), self.get(at), weight)
    }
}

impl Term {
    pub(crate) fn new(at: Vec<usize>, input: f64, weight: f64) -> Self {
        Term { at: Some(at), input, weight, product: input * weight }
    }

    /// An activation that did not count.
    pub(crate) fn unused(at: Vec<usize>, input: f64) -> Self {
        Term { at: Some(at), input, weight: 0.0, product: 0.0 }
    }

    /// A weight that met a zero around the input.
    pub(crate) fn padding(weight: f64) -> Self {
        Term { at: None, input: 0.0, weight, product: 0.0 }
    }
}

impl Precedents {
    /// Of a layer that maps each value for itself: to `function` of it, if there is one.
    pub(crate) fn pointwise<T: Float>(
        x: &Tensor<T>,
        at: &[usize],
        function: Option<&'static str>,
    ) -> Result<Self> {
        let place = check_position(at, x.shape())?;
        let input = x.to_vec()[place].to_f64();
        Ok(Precedents { terms: vec![Term::new(at.to_vec(), input, 1.0)], bias: None, function })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::testing::{rng, tensor};
    use crate::layers::{
        AdaptiveAvgPool2d, AdaptiveMaxPool2d, AvgPool2d, BatchNorm1d, BatchNorm2d, Conv2d,
        Conv2dConfig, ConvTranspose2d, ConvTranspose2dConfig, Dropout, Flatten, Gelu, LeakyRelu,
        Linear, LinearConfig, MaxPool2d, Padding, Relu, Sequential, Sigmoid, Silu, Tanh,
    };
    use topedge_kernels::pad::PadMode;
    use topedge_kernels::pool::Pool2dConfig;

    /// Every activation of every layer is the sum of what made it, under its function, and every
    /// product is that of a weight with the activation of the layer before that it names.
    fn check(net: &mut Sequential<f64>, x: &Tensor<f64>) {
        let activations = Activations::of(net, x).unwrap();
        for layer in activations.layers() {
            let shape = layer.output.shape()[1..].to_vec();
            let inputs = layer.input.to_vec();
            for (flat, &value) in layer.output.to_vec().iter().enumerate() {
                let mut rest = flat;
                let mut at: Vec<_> = shape
                    .iter()
                    .rev()
                    .map(|size| {
                        let i = rest % size;
                        rest /= size;
                        i
                    })
                    .collect();
                at.reverse();
                let trace = activations.trace(&layer.path, &at).unwrap();
                let context = format!("{} {} {at:?}", layer.path, layer.layer);
                assert_eq!(trace.value, value, "{context}");
                let sum = Tensor::new(vec![trace.sum], &[1]).unwrap();
                let expected = match trace.precedents.function {
                    None => trace.sum,
                    Some("ReLU") => trace.sum.max(0.0),
                    Some("Sigmoid") => sum.sigmoid().item().unwrap(),
                    Some("Tanh") => trace.sum.tanh(),
                    Some("GELU") => sum.gelu().item().unwrap(),
                    Some("SiLU") => sum.silu().item().unwrap(),
                    Some("LeakyReLU") => sum.leaky_relu(0.01).item().unwrap(),
                    Some(other) => panic!("{other}"),
                };
                assert!((expected - value).abs() < 1e-12, "{context}: {expected} is not {value}");
                for term in &trace.precedents.terms {
                    assert_eq!(term.product, term.input * term.weight, "{context}");
                    match &term.at {
                        Some(at) => {
                            let place = check_position(at, layer.input.shape()).unwrap();
                            assert_eq!(term.input, inputs[place], "{context}");
                        }
                        None => assert_eq!(term.input, 0.0),
                    }
                }
            }
        }
    }

    fn trained_norm(channels: usize) -> BatchNorm2d<f64> {
        let mut norm = BatchNorm2d::new(channels).unwrap();
        let x = tensor(&[3, channels, 2, 2]).mul_scalar(3.0).add_scalar(1.0);
        norm.forward(&x, &mut Context::train(1)).unwrap();
        norm
    }

    #[test]
    fn products_and_bias_add_up_in_every_layer() {
        let first = Conv2dConfig {
            stride: [2, 1],
            padding: Padding::Explicit([1, 2]),
            dilation: [1, 2],
            ..Default::default()
        };
        let reflect = Conv2dConfig {
            padding: Padding::Same,
            padding_mode: PadMode::Reflect,
            groups: 2,
            bias: false,
            ..Default::default()
        };
        let up = ConvTranspose2dConfig {
            stride: [2, 1],
            padding: [1, 0],
            output_padding: [1, 0],
            groups: 2,
            ..Default::default()
        };
        let inner = Sequential::new()
            .push(Conv2d::new(4, 4, [2, 3], &reflect, &mut rng()).unwrap())
            .push(LeakyRelu::default())
            .push(ConvTranspose2d::new(4, 2, [3, 2], &up, &mut rng()).unwrap());
        let mut net = Sequential::new()
            .push(Conv2d::new(3, 4, [3, 2], &first, &mut rng()).unwrap())
            .push(Relu)
            .push(trained_norm(4))
            .push(inner)
            .push(Tanh)
            .push(AdaptiveAvgPool2d { output_size: [5, 3] })
            .push(Flatten)
            .push(Linear::new(30, 4, &LinearConfig::default(), &mut rng()).unwrap())
            .push(BatchNorm1d::new(4).unwrap())
            .push(Sigmoid)
            .push(Dropout::new(0.5).unwrap())
            .push(
                Linear::new(4, 2, &LinearConfig { bias: false, ..Default::default() }, &mut rng())
                    .unwrap(),
            )
            .push(Gelu)
            .push(Silu);
        check(&mut net, &tensor(&[1, 3, 6, 5]));
    }

    #[test]
    fn pooling_of_every_kind() {
        let mut windows = Pool2dConfig::new([3, 2]);
        windows.stride = [2, 1];
        windows.padding = [1, 1];
        windows.ceil_mode = true;
        let x = tensor(&[1, 2, 6, 5]);
        for count_include_pad in [true, false] {
            let config = Pool2dConfig { count_include_pad, ..windows };
            check(&mut Sequential::new().push(AvgPool2d(config)).push(MaxPool2d(windows)), &x);
        }
        let dilated =
            Pool2dConfig { dilation: [2, 1], stride: [1, 1], ..Pool2dConfig::new([2, 2]) };
        let adaptive = AdaptiveMaxPool2d { output_size: [2, 3] };
        check(&mut Sequential::new().push(MaxPool2d(dilated)).push(adaptive), &x);
        // Of equals, the first counts.
        let mut net: Sequential<f64> = Sequential::new().push(MaxPool2d(Pool2dConfig::new([2, 2])));
        let ones = Tensor::ones(&[1, 1, 2, 2]).unwrap();
        let trace = Activations::of(&mut net, &ones).unwrap().trace("0", &[0, 0, 0]).unwrap();
        let weights: Vec<_> = trace.precedents.terms.iter().map(|term| term.weight).collect();
        assert_eq!(weights, [1.0, 0.0, 0.0, 0.0]);
    }

    /// What the spreadsheet of the book shows: two channels, a 3x3 window, a corner.
    #[test]
    fn a_corner_meets_padding() {
        let config = Conv2dConfig { padding: Padding::Same, ..Default::default() };
        let mut net: Sequential<f64> =
            Sequential::new().push(Conv2d::new(2, 1, [3, 3], &config, &mut rng()).unwrap());
        let x = tensor(&[1, 2, 4, 4]);
        let trace = Activations::of(&mut net, &x).unwrap().trace("0", &[0, 0, 0]).unwrap();
        let places: Vec<_> = trace.precedents.terms.iter().map(|term| term.at.clone()).collect();
        assert_eq!(places.len(), 18);
        assert_eq!(places[..5], [None, None, None, None, Some(vec![0, 0, 0])]);
        assert_eq!(places[17], Some(vec![1, 1, 1]));
    }

    #[test]
    fn what_is_not_there_is_refused() {
        let mut net: Sequential<f64> = Sequential::new().push(Relu).push(Flatten);
        let error = Activations::of(&mut net, &tensor(&[2, 1, 2, 2])).err().unwrap().to_string();
        assert!(error.contains("a batch of one"), "{error}");
        let activations = Activations::of(&mut net, &Tensor::ones(&[1, 1, 2, 2]).unwrap()).unwrap();
        let error = |path: &str, at: &[usize]| activations.trace(path, at).unwrap_err().to_string();
        assert_eq!(error("2", &[0]), "layer is 2: expected one of 0, 1");
        let expected = "expected an index into an output of shape [1, 2, 2]";
        for at in [&[0, 2, 0][..], &[1, 0, 0], &[0, 0], &[]] {
            assert_eq!(error("0", at), format!("activation is {at:?}: {expected}"));
        }
        let x = tensor(&[1, 3, 3]);
        let mut net = Sequential::new()
            .push(Relu)
            .push(Conv2d::new(1, 1, [3, 3], &Conv2dConfig::default(), &mut rng()).unwrap());
        let error = Activations::of(&mut net, &x).err().unwrap().to_string();
        assert!(error.starts_with("layer 1, Conv2d"), "{error}");
    }

    /// A layer that does not say.
    struct Opaque;

    impl Module<f64> for Opaque {
        fn kind(&self) -> &'static str {
            "Opaque"
        }
        fn forward(&mut self, x: &Tensor<f64>, _: &mut Context<'_, f64>) -> Result<Tensor<f64>> {
            Ok(x.clone())
        }
        fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>> {
            Ok(input.to_vec())
        }
    }

    #[test]
    fn a_single_layer_is_a_network_and_one_that_does_not_say_is_named() {
        let mut relu = Relu;
        let activations = Activations::of(&mut relu, &tensor(&[1, 3])).unwrap();
        assert_eq!(activations.trace("", &[2]).unwrap().precedents.function, Some("ReLU"));
        let mut opaque = Opaque;
        let activations = Activations::of(&mut opaque, &tensor(&[1, 3])).unwrap();
        let error = activations.trace("", &[2]).unwrap_err().to_string();
        assert!(error.contains("Opaque()"), "{error}");
    }
}
