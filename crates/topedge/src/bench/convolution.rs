//! The list of convolutions, and tensors to run them on.

use topedge_kernels::conv2d::{self, Conv2dConfig, output_shape};
use topedge_kernels::{Result, TensorMut, TensorRef};

use super::{Values, number, rows, values};

/// One convolution of the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Convolution {
    /// The network it is from, and which of its layers.
    pub name: &'static str,
    /// `[batch, in_channels, height, width]`.
    pub input: [usize; 4],
    /// `[out_channels, in_channels, kernel_height, kernel_width]`.
    pub weight: [usize; 4],
    /// `[batch, out_channels, out_height, out_width]`.
    pub output: [usize; 4],
    /// Stride and padding.
    pub config: Conv2dConfig,
}

impl Convolution {
    /// Floating-point operations of one pass: a multiplication and an addition for each weight at
    /// each output position, those that meet padding included, as is usual.
    pub fn operations(&self) -> u64 {
        let [_, channels, height, width] = self.weight;
        2 * (self.output.iter().product::<usize>() * channels * height * width) as u64
    }
}

/// The convolutions of `conv2d.txt`.
pub fn convolutions() -> Vec<Convolution> {
    rows(include_str!("conv2d.txt"))
        .map(|row| {
            let [name, ref numbers @ ..] = row[..] else {
                panic!("conv2d.txt: an empty line");
            };
            let numbers: Vec<usize> = numbers.iter().map(|word| number(word)).collect();
            let [batch, channels, size, filters, kernel, stride, padding] = numbers[..] else {
                panic!("conv2d.txt: expected a name and seven numbers, got {row:?}");
            };
            let input = [batch, channels, size, size];
            let weight = [filters, channels, kernel, kernel];
            let config = Conv2dConfig {
                stride: [stride; 2],
                padding: [padding; 2],
                ..Conv2dConfig::default()
            };
            let output = output_shape(input, weight, &config)
                .unwrap_or_else(|error| panic!("conv2d.txt: {name}: {error}"));
            Convolution { name, input, weight, output, config }
        })
        .collect()
}

/// How images lie in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `[n][c][h][w]`.
    Contiguous,
    /// `[n][h][w][c]`.
    ChannelsLast,
    /// `[c][h][w][n]`.
    BatchLast,
}

impl Format {
    /// All three.
    pub const ALL: [Format; 3] = [Format::BatchLast, Format::ChannelsLast, Format::Contiguous];

    /// `batch-last`, `channels-last` or `contiguous`.
    pub fn name(self) -> &'static str {
        match self {
            Format::Contiguous => "contiguous",
            Format::ChannelsLast => "channels-last",
            Format::BatchLast => "batch-last",
        }
    }

    /// The strides, in elements, of images of this logical shape.
    pub fn strides(self, [batch, channels, height, width]: [usize; 4]) -> [usize; 4] {
        match self {
            Format::Contiguous => [channels * height * width, height * width, width, 1],
            Format::ChannelsLast => [height * width * channels, 1, width * channels, channels],
            Format::BatchLast => [1, height * width * batch, width * batch, batch],
        }
    }
}

/// What of a convolution is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pass {
    /// The output.
    Forward,
    /// The gradient of the input.
    BackwardInput,
    /// The gradient of the weight.
    BackwardWeight,
}

impl Pass {
    /// All three.
    pub const ALL: [Pass; 3] = [Pass::Forward, Pass::BackwardInput, Pass::BackwardWeight];

    /// `forward`, `backward-input` or `backward-weight`.
    pub fn name(self) -> &'static str {
        match self {
            Pass::Forward => "forward",
            Pass::BackwardInput => "backward-input",
            Pass::BackwardWeight => "backward-weight",
        }
    }
}

/// The tensors of one pass of one convolution.
#[derive(Debug)]
pub struct ConvolutionRun {
    layer: Convolution,
    format: Format,
    pass: Pass,
    x: Values,
    weight: Values,
    bias: Values,
    y: Values,
}

impl ConvolutionRun {
    /// Input and output lie in memory as `format` says.
    pub fn new(layer: Convolution, format: Format, pass: Pass) -> Self {
        let fill = |shape: [usize; 4]| values(shape.iter().product());
        let (x, weight, y) = (fill(layer.input), fill(layer.weight), fill(layer.output));
        ConvolutionRun { layer, format, pass, x, weight, bias: values(layer.weight[0]), y }
    }

    /// Runs the pass once: what it computes takes the place of what was there.
    ///
    /// # Errors
    ///
    /// None for a convolution of the list: its shapes fit together.
    pub fn run(&mut self) -> Result<()> {
        let Convolution { input, weight, output, config, .. } = self.layer;
        let (x_strides, y_strides) = (self.format.strides(input), self.format.strides(output));
        match self.pass {
            Pass::Forward => conv2d::forward(
                TensorRef::new(&self.x, input, x_strides)?,
                TensorRef::contiguous(&self.weight, weight)?,
                Some(&self.bias),
                &config,
                TensorMut::new(&mut self.y, output, y_strides)?,
            ),
            Pass::BackwardInput => conv2d::backward_input(
                TensorRef::new(&self.y, output, y_strides)?,
                TensorRef::contiguous(&self.weight, weight)?,
                &config,
                TensorMut::new(&mut self.x, input, x_strides)?,
            ),
            Pass::BackwardWeight => conv2d::backward_weight(
                TensorRef::new(&self.x, input, x_strides)?,
                TensorRef::new(&self.y, output, y_strides)?,
                &config,
                TensorMut::contiguous(&mut self.weight, weight)?,
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_whole() {
        let convolutions = convolutions();
        assert_eq!(convolutions.len(), 18);
        let third = convolutions[2];
        assert_eq!((third.name, third.output), ("book3", [512, 32, 4, 4]));
        // 4,608 weights, each used at 16 positions of 512 images.
        assert_eq!(third.operations(), 2 * 512 * 16 * 4_608);
    }

    #[test]
    fn every_pass_runs() {
        let layer = convolutions()[4];
        for format in Format::ALL {
            for pass in Pass::ALL {
                ConvolutionRun::new(layer, format, pass).run().unwrap();
            }
        }
    }
}
