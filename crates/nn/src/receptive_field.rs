//! Receptive fields: what part of the image an activation sees.
//!
//! Through layers with kernels `k`, strides `s` and dilations `d`, an activation sees
//! `r = 1 + sum over layers of d (k - 1) * product of the strides before` pixels along an axis; near
//! the border, part of that is padding.

use std::ops::Range;

use topedge_autograd::Float;

use crate::error::{Error, Result};
use crate::module::{Item, Module, describe, push};
use crate::trace::check_position;

/// Which part of its input one position of a layer's output depends on. Positions are those of the
/// height and width of images `[n, channels, height, width]`; of features `[n, features]`, those of
/// one row of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// The same position alone.
    Pointwise,
    /// The window that slides to it. What a border of other than zeros takes from pixels elsewhere
    /// is left out.
    Window(Window),
    /// The positions whose windows, laid on the output, cover it: a transposed convolution.
    Transposed(Window),
    /// One of `[height, width]` windows that cover the input evenly.
    Adaptive([usize; 2]),
    /// The one position that became this feature.
    Flatten,
    /// What its layers together make of it: it runs them one after another, in the order in which
    /// it shows them.
    Chain,
    /// All of it.
    All,
}

/// A window that slides over a grid; each pair is `[vertical, horizontal]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Taps of the window.
    pub kernel: [usize; 2],
    /// Steps between neighbouring outputs.
    pub stride: [usize; 2],
    /// How far before the grid the first window begins.
    pub padding: [usize; 2],
    /// Distance between neighbouring taps.
    pub dilation: [usize; 2],
}

/// A layer, and how much of the image one position of its output sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceptiveField {
    /// Where the layer stands in the network, as in `0.2`.
    pub path: String,
    /// The layer and its configuration.
    pub layer: String,
    /// The shape of its output without the batch axis.
    pub output_shape: Vec<usize>,
    /// `[height, width]` in pixels, padding included; `None` for all of the image, and for inputs that
    /// are no images.
    pub size: Option<[usize; 2]>,
}

/// A layer, and the part of its input that some activation depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputWindow {
    /// Where the layer stands in the network, as in `0.2`.
    pub path: String,
    /// Rows of the layer's input.
    pub rows: Range<usize>,
    /// Columns of the layer's input.
    pub columns: Range<usize>,
}

/// The receptive field of each layer of `network`, for inputs of shape `input` (without the batch
/// axis).
///
/// # Errors
///
/// When the network cannot take such an input.
///
/// ```
/// use rand::SeedableRng;
/// use topedge_nn::{Net, NetConfig, receptive_fields};
///
/// let mut rng = rand_pcg::Pcg64::seed_from_u64(1);
/// let net = Net::SimpleCnn.build(&NetConfig::default(), &mut rng)?;
/// let fields = receptive_fields(&net, &[1, 28, 28])?;
/// let convolutions = fields.iter().filter(|field| field.layer.starts_with("Conv2d"));
/// let sizes: Vec<_> = convolutions.filter_map(|field| Some(field.size?[0])).collect();
/// assert_eq!(sizes, [5, 9, 17, 33, 65]);
/// # Ok::<(), topedge_nn::Error>(())
/// ```
pub fn receptive_fields<T: Float>(
    network: &dyn Module<T>,
    input: &[usize],
) -> Result<Vec<ReceptiveField>> {
    let chain = chain(network, input)?;
    let fields = chain.iter().enumerate().map(|(i, layer)| {
        let size = [0, 1].map(|axis| {
            chain[..=i].iter().rev().try_fold(1, |length, layer| {
                layer.reach.length(axis, length, grid(&layer.input)[axis])
            })
        });
        ReceptiveField {
            path: layer.path.clone(),
            layer: describe(layer.module),
            output_shape: layer.output.get(1..).unwrap_or_default().to_vec(),
            size: size[0].zip(size[1]).map(|(h, w)| [h, w]).filter(|_| input.len() == 3),
        }
    });
    Ok(fields.collect())
}

/// What the activation `at` (`[channel, row, column]`, or `[feature]`) of the layer `path` depends on:
/// the window in the input of each layer up to that one, clipped to what there is. The first is the
/// one in the image.
///
/// # Errors
///
/// When the network cannot take such an input, has no such layer, or that has no such activation.
///
/// ```
/// use rand::SeedableRng;
/// use topedge_nn::{Net, NetConfig, input_windows};
///
/// let mut rng = rand_pcg::Pcg64::seed_from_u64(1);
/// let net = Net::SimpleCnn2.build(&NetConfig::default(), &mut rng)?;
/// // The second convolution, 7x7: at its top left corner, and in the middle.
/// let corner = input_windows(&net, &[1, 28, 28], "1.0", &[0, 0, 0])?;
/// assert_eq!((corner[0].rows.clone(), corner[0].columns.clone()), (0..4, 0..4));
/// let middle = input_windows(&net, &[1, 28, 28], "1.0", &[0, 3, 4])?;
/// assert_eq!((middle[0].rows.clone(), middle[0].columns.clone()), (9..16, 13..20));
/// # Ok::<(), topedge_nn::Error>(())
/// ```
pub fn input_windows<T: Float>(
    network: &dyn Module<T>,
    input: &[usize],
    path: &str,
    at: &[usize],
) -> Result<Vec<InputWindow>> {
    let chain = chain(network, input)?;
    let last = chain.iter().position(|layer| layer.path == path);
    let last = last.ok_or_else(|| {
        let paths: Vec<_> = chain.iter().map(|layer| layer.path.as_str()).collect();
        Error::setting("layer", path, format!("one of {}", paths.join(", ")))
    })?;
    check_position(at, &chain[last].output)?;
    let position = match *at {
        [_, row, column] => [row, column],
        [feature] => [0, feature],
        _ => [0, 0],
    };
    let mut window = position.map(|i| i..i + 1);
    let mut windows = vec![];
    for layer in chain[..=last].iter().rev() {
        let size = grid(&layer.input);
        if layer.reach == Reach::Flatten && window[1].len() == 1 {
            let place = window[1].start % (size[0] * size[1]);
            window = [place / size[1], place % size[1]].map(|i| i..i + 1);
        } else {
            for axis in 0..2 {
                window[axis] = layer.reach.input(axis, &window[axis], size[axis]);
            }
        }
        let [rows, columns] = window.clone();
        windows.push(InputWindow { path: layer.path.clone(), rows, columns });
    }
    windows.reverse();
    Ok(windows)
}

/// A layer of a network that runs its layers one after another.
struct Link<'a, T: Float> {
    path: String,
    module: &'a dyn Module<T>,
    reach: Reach,
    input: Vec<usize>,
    output: Vec<usize>,
}

/// The layers of `network` in the order in which they run, with their shapes for a batch of one.
fn chain<'a, T: Float>(network: &'a dyn Module<T>, input: &[usize]) -> Result<Vec<Link<'a, T>>> {
    fn step<'a, T: Float>(
        module: &'a dyn Module<T>,
        path: &mut String,
        input: Vec<usize>,
        links: &mut Vec<Link<'a, T>>,
    ) -> Result<Vec<usize>> {
        let reach = module.reach();
        if reach != Reach::Chain {
            let output = module.output_shape(&input)?;
            let path = path.clone();
            links.push(Link { path, module, reach, input, output: output.clone() });
            return Ok(output);
        }
        let mut shape = Ok(input);
        module.visit(&mut |name, item| {
            if let (Item::Module(child), Ok(input)) = (item, &shape) {
                let input = input.clone();
                let parent = push(path, name);
                let output = step(child, path, input.clone(), links);
                shape = output.map_err(|error| error.in_layer(name, child, &input));
                path.truncate(parent);
            }
        });
        shape
    }
    let mut links = vec![];
    step(network, &mut String::new(), [&[1], input].concat(), &mut links)?;
    Ok(links)
}

/// The `[height, width]` of the positions in a shape with its batch axis.
fn grid(shape: &[usize]) -> [usize; 2] {
    match *shape {
        [_, _, height, width] => [height, width],
        [_, features] => [1, features],
        _ => [1, 1],
    }
}

impl Reach {
    /// How many neighbouring positions of the input, `size` long, `length` neighbouring positions of
    /// the output depend on, padding included; `None` for all.
    fn length(self, axis: usize, length: usize, size: usize) -> Option<usize> {
        match self {
            Reach::Pointwise => Some(length),
            Reach::Flatten => (length == 1).then_some(1),
            Reach::Window(window) => {
                let last = (length - 1).saturating_mul(window.stride[axis]);
                Some(last.saturating_add(window.span(axis)))
            }
            Reach::Transposed(window) => {
                let covered = (length - 1).saturating_add(window.span(axis) - 1);
                Some(covered / window.stride[axis] + 1)
            }
            Reach::Adaptive(output) if size.is_multiple_of(output[axis]) && output[axis] > 1 => {
                Some(length.saturating_mul(size / output[axis]))
            }
            Reach::Adaptive(_) | Reach::Chain | Reach::All => None,
        }
    }

    /// The positions of the input, `size` long, that those of `output` depend on.
    fn input(self, axis: usize, output: &Range<usize>, size: usize) -> Range<usize> {
        if output.is_empty() {
            return 0..0;
        }
        let (first, last) = (output.start, output.end - 1);
        match self {
            Reach::Pointwise => output.clone(),
            Reach::Window(window) => {
                let (stride, padding) = (window.stride[axis], window.padding[axis]);
                let end = last.saturating_mul(stride).saturating_add(window.span(axis));
                let start = first.saturating_mul(stride).saturating_sub(padding).min(size);
                start..end.saturating_sub(padding).clamp(start, size)
            }
            Reach::Transposed(window) => {
                let (stride, padding) = (window.stride[axis], window.padding[axis]);
                let start = (first + padding).saturating_sub(window.span(axis) - 1);
                let start = start.div_ceil(stride).min(size);
                start..((last + padding) / stride + 1).clamp(start, size)
            }
            Reach::Adaptive(windows) => {
                let windows = windows[axis];
                first * size / windows..((last + 1) * size).div_ceil(windows)
            }
            Reach::Flatten | Reach::Chain | Reach::All => 0..size,
        }
    }
}

impl Window {
    /// From the first tap to the last, along an axis.
    fn span(&self, axis: usize) -> usize {
        let last = self.kernel[axis].saturating_sub(1).saturating_mul(self.dilation[axis]);
        last.saturating_add(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::testing::rng;
    use crate::layers::{
        AdaptiveAvgPool2d, AvgPool2d, BlockConfig, Conv2d, Conv2dConfig, ConvTranspose2d,
        ConvTranspose2dConfig, Flatten, Linear, LinearConfig, Padding, Relu, Sequential, conv,
    };
    use crate::{Net, NetConfig};
    use topedge_kernels::pool::Pool2dConfig;

    fn sizes(net: Net) -> Vec<usize> {
        let net = net.build(&NetConfig::default(), &mut rng()).unwrap();
        let fields = receptive_fields(&net, &[1, 28, 28]).unwrap();
        let convolutions = fields.iter().filter(|field| field.layer.starts_with("Conv2d"));
        let sizes = convolutions.map(|field| {
            let [height, width] = field.size.unwrap();
            assert_eq!(height, width);
            height
        });
        sizes.collect()
    }

    /// The chapter's figures.
    #[test]
    fn five_layers_of_stride_two() {
        assert_eq!(sizes(Net::SimpleCnn2), [3, 7, 15, 31, 63]);
        assert_eq!(sizes(Net::SimpleCnn), [5, 9, 17, 33, 65]);
        assert_eq!(sizes(Net::SimpleCnnBn), [5, 9, 17, 33, 65]);
        assert_eq!(sizes(Net::BrokenCnn), [3, 5]);
    }

    #[test]
    fn layers_between_pass_it_on_and_a_linear_one_sees_everything() {
        let net = Net::SimpleCnnBn.build(&NetConfig::default(), &mut rng()).unwrap();
        let fields = receptive_fields(&net, &[1, 28, 28]).unwrap();
        let first: Vec<_> = fields[..4].iter().map(|f| (f.path.as_str(), f.size)).collect();
        let five = Some([5, 5]);
        assert_eq!(first, [("0.0", five), ("0.1", five), ("0.2", five), ("1.0", Some([9, 9]))]);
        assert_eq!(fields[3].output_shape, [16, 7, 7]);
        let net = Net::SimpleNet.build(&NetConfig::default(), &mut rng()).unwrap();
        let fields = receptive_fields(&net, &[1, 28, 28]).unwrap();
        let sizes: Vec<_> = fields.iter().map(|field| field.size).collect();
        assert_eq!(sizes, [Some([1, 1]), None, None, None]);
    }

    /// Layers of every kind, axes that differ.
    fn mixed() -> Sequential<f64> {
        let convolution = Conv2dConfig {
            stride: [2, 1],
            dilation: [1, 2],
            padding: Padding::Explicit([1, 2]),
            ..Default::default()
        };
        let same = Conv2dConfig { padding: Padding::Same, ..Default::default() };
        let up = ConvTranspose2dConfig { stride: [2, 1], padding: [1, 0], ..Default::default() };
        let pool = Pool2dConfig { stride: [1, 2], ..Pool2dConfig::new([2, 2]) };
        let block = BlockConfig { stride: 1, ..Default::default() };
        Sequential::new()
            .push(Conv2d::new(1, 2, [3, 2], &convolution, &mut rng()).unwrap())
            .push(Relu)
            .push(ConvTranspose2d::new(2, 2, [3, 2], &up, &mut rng()).unwrap())
            .push(AvgPool2d(pool))
            .push(conv(2, 3, &block, &mut rng()).unwrap())
            .push(Conv2d::new(3, 2, [2, 4], &same, &mut rng()).unwrap())
            .push(AdaptiveAvgPool2d { output_size: [3, 2] })
            .push(Flatten)
            .push(Linear::new(12, 2, &LinearConfig::default(), &mut rng()).unwrap())
    }

    /// Pixels change the activation just where the window is.
    #[test]
    fn the_window_is_where_pixels_matter() {
        use crate::trace::Activations;
        use topedge_autograd::Tensor;

        let input = [1, 13, 11];
        let mut net = mixed();
        let run = |net: &mut Sequential<f64>, pixels: Vec<f64>| -> Vec<(String, Tensor<f64>)> {
            let x = Tensor::new(pixels, &[1, 1, 13, 11]).unwrap();
            let run = Activations::of(net, &x).unwrap();
            run.layers().iter().map(|l| (l.path.clone(), l.output.clone())).collect()
        };
        // NaN spreads to whatever depends on it, through all layers but maxima.
        let poisoned: Vec<_> = (0..13 * 11)
            .map(|pixel| {
                let pixels = (0..13 * 11).map(|i| if i == pixel { f64::NAN } else { 1.0 });
                run(&mut net, pixels.collect())
            })
            .collect();
        for (number, (path, output)) in poisoned[0].iter().enumerate() {
            let shape = output.shape()[1..].to_vec();
            let len: usize = shape.iter().product();
            for flat in [0, len / 3, len / 2, len - 1] {
                let at: Vec<usize> = match *shape {
                    [_, h, w] => vec![flat / (h * w), flat / w % h, flat % w],
                    _ => vec![flat],
                };
                let windows = input_windows(&net, &input, path, &at).unwrap();
                assert_eq!(windows.len(), number + 1);
                let (mut rows, mut columns) = (vec![], vec![]);
                for (pixel, run) in poisoned.iter().enumerate() {
                    if run[number].1.to_vec()[flat].is_nan() {
                        rows.push(pixel / 11);
                        columns.push(pixel % 11);
                    }
                }
                let hull = |of: &[usize]| *of.iter().min().unwrap()..of.iter().max().unwrap() + 1;
                let window = (windows[0].rows.clone(), windows[0].columns.clone());
                let seen = (hull(&rows), hull(&columns));
                assert_eq!(seen, window, "{path} {at:?}");
            }
        }
    }

    #[test]
    fn what_is_not_there_is_refused() {
        let net = mixed();
        let error = input_windows(&net, &[1, 13, 11], "9", &[0]).unwrap_err().to_string();
        assert!(error.contains("layer is 9") && error.contains("4.1"), "{error}");
        let error = input_windows(&net, &[1, 13, 11], "0", &[2, 0, 0]).unwrap_err().to_string();
        assert!(error.contains("[2, 0, 0]"), "{error}");
        let error = receptive_fields(&net, &[3, 13, 11]).unwrap_err().to_string();
        assert!(error.starts_with("layer 0, Conv2d(1, 2"), "{error}");
    }
}
