//! Pooling: the height and width of images reduced, each channel for itself.

use topedge_autograd::{Float, Tensor};
use topedge_kernels::pool::{self, Pool2dConfig};

use super::{axes4, positive};
use crate::context::Context;
use crate::error::Result;
use crate::inference::Evaluation;
use crate::module::Module;
use crate::receptive_field::{Reach, Window};
use crate::trace::{Image, Precedents, Term, position};

/// The maximum of each window: x `[n, c, h, w]`, y `[n, c, h', w']`, each side
/// `floor((side + 2 padding - dilation (kernel - 1) - 1) / stride) + 1` (`ceil` with `ceil_mode`).
/// Padding counts as minus infinity; NaN wins. The gradient goes to the first maximum alone.
///
/// ```
/// use topedge_autograd::Tensor;
/// use topedge_kernels::pool::Pool2dConfig;
/// use topedge_nn::layers::MaxPool2d;
/// use topedge_nn::{Context, Module};
///
/// let mut layer = MaxPool2d(Pool2dConfig::new([2, 2]));
/// let y = layer.forward(&Tensor::<f32>::ones(&[64, 8, 28, 28])?, &mut Context::eval())?;
/// assert_eq!(y.shape(), [64, 8, 14, 14]);
/// # Ok::<(), topedge_nn::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct MaxPool2d(
    /// Kernel, stride, padding and the like.
    pub Pool2dConfig,
);

/// The mean of each window, shapes as for [`MaxPool2d`]. Padding counts as zeros, or not at all
/// without `count_include_pad`.
#[derive(Clone, Debug)]
pub struct AvgPool2d(
    /// Kernel, stride, padding and the like.
    pub Pool2dConfig,
);

/// The means of as many windows as the output has positions, of nearly equal size, as PyTorch
/// cuts them: x `[n, c, h, w]`, y `[n, c, output_size..]`. To `[1, 1]`: global average pooling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdaptiveAvgPool2d {
    /// `[height, width]` of the output.
    pub output_size: [usize; 2],
}

/// As [`AdaptiveAvgPool2d`], with maxima.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdaptiveMaxPool2d {
    /// `[height, width]` of the output.
    pub output_size: [usize; 2],
}

fn describe(config: &Pool2dConfig) -> String {
    let [kh, kw] = config.kernel;
    let [sh, sw] = config.stride;
    let mut text = format!("kernel_size=({kh}, {kw}), stride=({sh}, {sw})");
    if config.padding != [0, 0] {
        text += &format!(", padding=({}, {})", config.padding[0], config.padding[1]);
    }
    if config.dilation != [1, 1] {
        text += &format!(", dilation=({}, {})", config.dilation[0], config.dilation[1]);
    }
    if config.ceil_mode {
        text += ", ceil_mode=true";
    }
    if !config.count_include_pad {
        text += ", count_include_pad=false";
    }
    text
}

fn window(config: &Pool2dConfig) -> Reach {
    let Pool2dConfig { kernel, stride, padding, dilation, .. } = *config;
    Reach::Window(Window { kernel, stride, padding, dilation })
}

/// The places along an axis that window `at` of `config` sees, and how many count for a mean.
fn sliding(config: &Pool2dConfig, axis: usize, size: usize, at: usize) -> (Vec<usize>, usize) {
    let Pool2dConfig { kernel, stride, padding, dilation, .. } = *config;
    let (first, padding) = (at * stride[axis], padding[axis]);
    let taps = (0..kernel[axis]).map(|tap| first + tap * dilation[axis]);
    let inside = taps.filter_map(|place| place.checked_sub(padding).filter(|&p| p < size));
    let inside: Vec<_> = inside.collect();
    let padded = (first + kernel[axis]).min(size + 2 * padding) - first;
    let counted = if config.count_include_pad { padded } else { inside.len() };
    (inside, counted)
}

/// The places along an axis of `size` that window `at` of `windows` sees.
fn adaptive(windows: usize, size: usize, at: usize) -> (Vec<usize>, usize) {
    let places = at * size / windows..((at + 1) * size).div_ceil(windows);
    (places.clone().collect(), places.len())
}

/// The indices of the places in a window of a channel, row by row.
fn places(channel: usize, [rows, columns]: [Vec<usize>; 2]) -> Vec<[usize; 3]> {
    let row = |&row: &usize| columns.iter().map(move |&column| [channel, row, column]);
    rows.iter().flat_map(row).collect()
}

/// A mean, of all `along(axis, size, at)`.
fn mean_of<T: Float>(
    x: &Tensor<T>,
    [channel, row, column]: [usize; 3],
    along: impl Fn(usize, usize, usize) -> (Vec<usize>, usize),
) -> Precedents {
    let (rows, counted_rows) = along(0, x.shape()[2], row);
    let (columns, counted_columns) = along(1, x.shape()[3], column);
    let weight = 1.0 / (counted_rows * counted_columns) as f64;
    let image = Image::of(x);
    let terms = places(channel, [rows, columns]).into_iter().map(|at| image.term(at, weight));
    Precedents { terms: terms.collect(), bias: None, function: None }
}

/// A maximum, the first of them, of all `along(axis, size, at)`. NaN wins.
fn max_of<T: Float>(
    x: &Tensor<T>,
    [channel, row, column]: [usize; 3],
    along: impl Fn(usize, usize, usize) -> (Vec<usize>, usize),
) -> Precedents {
    let rows = along(0, x.shape()[2], row).0;
    let columns = along(1, x.shape()[3], column).0;
    let (image, places) = (Image::of(x), places(channel, [rows, columns]));
    let value = |at: [usize; 3]| image.get(at);
    let largest = places.iter().copied().reduce(|best, at| {
        let wins = value(at) > value(best) || value(at).is_nan() && !value(best).is_nan();
        if wins { at } else { best }
    });
    let terms = places.into_iter().map(|at| match Some(at) == largest {
        true => image.term(at, 1.0),
        false => Term::unused(at.to_vec(), value(at)),
    });
    Precedents { terms: terms.collect(), bias: None, function: None }
}

impl<T: Float> Module<T> for MaxPool2d {
    fn kind(&self) -> &'static str {
        "MaxPool2d"
    }

    fn config(&self) -> String {
        describe(&self.0)
    }

    fn forward(&mut self, x: &Tensor<T>, _: &mut Context<'_, T>) -> Result<Tensor<T>> {
        Ok(x.max_pool2d(&self.0)?)
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>> {
        Ok(pool::output_shape(axes4(input)?, &self.0)?.to_vec())
    }

    fn reach(&self) -> Reach {
        window(&self.0)
    }

    fn evaluation(&self) -> Evaluation<'_, T> {
        Evaluation::MaxPool2d(self.0)
    }

    fn precedents(&self, x: &Tensor<T>, at: &[usize]) -> Result<Precedents> {
        let output = Module::<T>::output_shape(self, x.shape())?;
        Ok(max_of(x, position(at, &output)?, |axis, size, at| sliding(&self.0, axis, size, at)))
    }
}

impl<T: Float> Module<T> for AvgPool2d {
    fn kind(&self) -> &'static str {
        "AvgPool2d"
    }

    fn config(&self) -> String {
        describe(&self.0)
    }

    fn forward(&mut self, x: &Tensor<T>, _: &mut Context<'_, T>) -> Result<Tensor<T>> {
        Ok(x.avg_pool2d(&self.0)?)
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>> {
        Ok(pool::output_shape(axes4(input)?, &self.0)?.to_vec())
    }

    fn reach(&self) -> Reach {
        window(&self.0)
    }

    fn evaluation(&self) -> Evaluation<'_, T> {
        Evaluation::AvgPool2d(self.0)
    }

    fn precedents(&self, x: &Tensor<T>, at: &[usize]) -> Result<Precedents> {
        let output = Module::<T>::output_shape(self, x.shape())?;
        Ok(mean_of(x, position(at, &output)?, |axis, size, at| sliding(&self.0, axis, size, at)))
    }
}

fn adaptive_shape(input: &[usize], output_size: [usize; 2]) -> Result<Vec<usize>> {
    let [n, c, h, w] = axes4(input)?;
    positive("input height and width", &[h, w])?;
    positive("output_size", &output_size)?;
    Ok(vec![n, c, output_size[0], output_size[1]])
}

impl<T: Float> Module<T> for AdaptiveAvgPool2d {
    fn kind(&self) -> &'static str {
        "AdaptiveAvgPool2d"
    }

    fn config(&self) -> String {
        format!("output_size=({}, {})", self.output_size[0], self.output_size[1])
    }

    fn forward(&mut self, x: &Tensor<T>, _: &mut Context<'_, T>) -> Result<Tensor<T>> {
        Ok(x.adaptive_avg_pool2d(self.output_size)?)
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>> {
        adaptive_shape(input, self.output_size)
    }

    fn reach(&self) -> Reach {
        Reach::Adaptive(self.output_size)
    }

    fn evaluation(&self) -> Evaluation<'_, T> {
        Evaluation::AdaptiveAvgPool2d(self.output_size)
    }

    fn precedents(&self, x: &Tensor<T>, at: &[usize]) -> Result<Precedents> {
        let output = Module::<T>::output_shape(self, x.shape())?;
        Ok(mean_of(x, position(at, &output)?, |axis, size, at| {
            adaptive(self.output_size[axis], size, at)
        }))
    }
}

impl<T: Float> Module<T> for AdaptiveMaxPool2d {
    fn kind(&self) -> &'static str {
        "AdaptiveMaxPool2d"
    }

    fn config(&self) -> String {
        format!("output_size=({}, {})", self.output_size[0], self.output_size[1])
    }

    fn forward(&mut self, x: &Tensor<T>, _: &mut Context<'_, T>) -> Result<Tensor<T>> {
        Ok(x.adaptive_max_pool2d(self.output_size)?)
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>> {
        adaptive_shape(input, self.output_size)
    }

    fn reach(&self) -> Reach {
        Reach::Adaptive(self.output_size)
    }

    fn evaluation(&self) -> Evaluation<'_, T> {
        Evaluation::AdaptiveMaxPool2d(self.output_size)
    }

    fn precedents(&self, x: &Tensor<T>, at: &[usize]) -> Result<Precedents> {
        let output = Module::<T>::output_shape(self, x.shape())?;
        Ok(max_of(x, position(at, &output)?, |axis, size, at| {
            adaptive(self.output_size[axis], size, at)
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::testing::{check_gradients, check_shape, tensor};

    fn configs() -> [Pool2dConfig; 2] {
        let mut overlapping = Pool2dConfig::new([3, 2]);
        overlapping.stride = [2, 1];
        overlapping.padding = [1, 1];
        overlapping.ceil_mode = true;
        overlapping.count_include_pad = false;
        [Pool2dConfig::new([2, 2]), overlapping]
    }

    #[test]
    fn gradients_and_shapes() {
        for config in configs() {
            let layers: [&mut dyn Module<f64>; 4] = [
                &mut MaxPool2d(config),
                &mut AvgPool2d(config),
                &mut AdaptiveAvgPool2d { output_size: [2, 3] },
                &mut AdaptiveMaxPool2d { output_size: [1, 1] },
            ];
            for layer in layers {
                check_gradients(layer, &tensor(&[2, 3, 4, 5]));
                check_shape(layer, &[1, 2, 7, 6]);
            }
        }
    }

    #[test]
    fn values() {
        let x = Tensor::new(vec![1.0, 2.0, 3.0, 6.0], &[1, 1, 2, 2]).unwrap();
        let one = |layer: &mut dyn Module<f64>| {
            layer.forward(&x, &mut Context::eval()).unwrap().item().unwrap()
        };
        assert_eq!(one(&mut MaxPool2d(Pool2dConfig::new([2, 2]))), 6.0);
        assert_eq!(one(&mut AvgPool2d(Pool2dConfig::new([2, 2]))), 3.0);
        assert_eq!(one(&mut AdaptiveAvgPool2d { output_size: [1, 1] }), 3.0);
        assert_eq!(one(&mut AdaptiveMaxPool2d { output_size: [1, 1] }), 6.0);
    }

    #[test]
    fn wrong_shapes_are_refused() {
        let layer = MaxPool2d(Pool2dConfig::new([3, 3]));
        let layer: &dyn Module<f32> = &layer;
        for input in [&[1, 1, 2, 3][..], &[1, 9, 9]] {
            assert!(layer.output_shape(input).is_err(), "{input:?}");
        }
        let layer: &dyn Module<f32> = &AdaptiveAvgPool2d { output_size: [0, 1] };
        assert!(layer.output_shape(&[1, 1, 2, 3]).is_err());
    }

    #[test]
    fn says_what_it_is() {
        let layers = configs().map(AvgPool2d);
        let texts = layers.map(|layer| Module::<f32>::config(&layer));
        assert_eq!(texts[0], "kernel_size=(2, 2), stride=(2, 2)");
        assert_eq!(
            texts[1],
            "kernel_size=(3, 2), stride=(2, 1), padding=(1, 1), ceil_mode=true, \
             count_include_pad=false"
        );
    }
}
