//! Trained networks made ready to run: no tape, no allocation, a few microseconds an image.

mod image;
mod plan;

use topedge_autograd::{Float, Tensor};
use topedge_kernels::conv2d::{Conv2dConfig, FusedConv2d};
use topedge_kernels::pool::{self, Pool2dConfig};
use topedge_kernels::{Isa, TensorMut, TensorRef, parallel};

use crate::error::{Error, Result};
use crate::module::Module;
use image::Framed;

/// What a layer computes in evaluation, for a [`Predictor`] to do the same:
/// [`Module::evaluation`].
#[derive(Debug, Clone)]
pub enum Evaluation<'a, T: Float = f32> {
    /// Something that a [`Predictor`] does not know.
    Other,
    /// The layers inside, one after another.
    Chain,
    /// Its input.
    Identity,
    /// A convolution with zeros for padding.
    Conv2d {
        /// `[out_channels, in_channels / groups, kernel_height, kernel_width]`
        weight: &'a Tensor<T>,
        /// `[out_channels]`
        bias: Option<&'a Tensor<T>>,
        /// Stride, padding and the like.
        config: Conv2dConfig,
    },
    /// `x W^T + b`
    Linear {
        /// `[out_features, in_features]`
        weight: &'a Tensor<T>,
        /// `[out_features]`
        bias: Option<&'a Tensor<T>>,
    },
    /// `max(x, 0)`
    Relu,
    /// `(x - mean) * scale + shift` for each channel.
    Norm {
        /// The running mean.
        mean: &'a [T],
        /// `weight / sqrt(running_var + eps)`
        scale: Vec<T>,
        /// `[channels]`
        shift: &'a Tensor<T>,
    },
    /// All axes but the first made one.
    Flatten,
    /// Maxima of windows.
    MaxPool2d(Pool2dConfig),
    /// Means of windows.
    AvgPool2d(Pool2dConfig),
    /// Maxima of `[height, width]` windows.
    AdaptiveMaxPool2d([usize; 2]),
    /// Means of `[height, width]` windows.
    AdaptiveAvgPool2d([usize; 2]),
}

/// Multiply-adds from which on images are shared out among threads: it takes some microseconds until
/// two have found each other.
const SMALL: usize = 1 << 20;

/// A network as it was when this was made, ready to run on images of one size, in evaluation.
///
/// Weights are packed, buffers are there, and ReLU and batch norm are done together with the
/// convolution or linear layer before them. A few images are run on the calling thread, many on the
/// threads of the rayon pool, with the same results. They agree with those of
/// [`Module::forward`] up to rounding.
///
/// ```
/// use rand::SeedableRng;
/// use topedge_nn::{Net, NetConfig, Predictor};
///
/// let mut rng = rand_pcg::Pcg64::seed_from_u64(42);
/// let network = Net::SimpleCnnBn.build(&NetConfig::default(), &mut rng)?;
/// let mut predictor = Predictor::new(&network, [1, 28, 28])?;
/// let mut scores = [0.0; 10];
/// predictor.predict(&[0.5; 28 * 28], &mut scores)?;
/// # Ok::<(), topedge_nn::Error>(())
/// ```
#[derive(Debug)]
pub struct Predictor {
    image_len: usize,
    output_shape: Vec<usize>,
    /// The input of the first step, and the output of each.
    images: Vec<Framed>,
    steps: Vec<Step>,
    multiply_adds: usize,
    /// One set for each thread.
    buffers: Vec<Buffers>,
}

#[derive(Debug)]
struct Buffers {
    /// The values of the images. Their frames are zeros and stay so.
    images: Vec<Vec<f32>>,
    /// Where max pooling found its maxima, which nobody asks for here.
    indices: Vec<u32>,
}

impl Buffers {
    fn new(images: &[Framed]) -> Self {
        let largest = images.iter().map(Framed::len).max();
        Buffers {
            images: images.iter().map(|image| vec![0.0; image.len()]).collect(),
            indices: vec![0; largest.unwrap_or(0)],
        }
    }
}

#[derive(Debug)]
enum Step {
    Conv(FusedConv2d),
    MaxPool(Pool2dConfig),
    AvgPool(Pool2dConfig),
    AdaptiveMaxPool,
    AdaptiveAvgPool,
}

impl Predictor {
    /// Makes `network` ready for images of `image_shape`, `[channels, height, width]`.
    ///
    /// It knows [`Sequential`](crate::layers::Sequential), `Conv2d` with zeros for padding and one
    /// group, `Linear`, `ReLU`, batch norm, `Flatten`, `Dropout` and pooling; `ReLU` and batch norm
    /// behind a convolution or linear layer.
    ///
    /// # Errors
    ///
    /// When a layer is none of these, or cannot take what it would be given; the message names it. Also
    /// when what a convolution reads or writes for one image has more than 2^32 values.
    pub fn new(network: &dyn Module, image_shape: [usize; 3]) -> Result<Self> {
        plan::plan(network, image_shape)
    }

    /// The shape of the output for one image, without the batch.
    pub fn output_shape(&self) -> &[usize] {
        &self.output_shape
    }

    /// Sets `outputs`, `[n, ..output_shape]`, to what the network makes of `images`,
    /// `[n, channels, height, width]`. It allocates nothing after the first call.
    ///
    /// # Errors
    ///
    /// When the lengths are not those of as many images and outputs.
    pub fn predict(&mut self, images: &[f32], outputs: &mut [f32]) -> Result<()> {
        let output_len: usize = self.output_shape.iter().product();
        let count = images.len() / self.image_len;
        if images.len() != count * self.image_len || outputs.len() != count * output_len {
            let expected = format!("{} values an image, {output_len} an output", self.image_len);
            let found = format!("{} and {}", images.len(), outputs.len());
            return Err(Error::unexpected("images and outputs", expected, found));
        }
        let work = count.saturating_mul(self.multiply_adds);
        let threads = if work < SMALL { 1 } else { rayon::current_num_threads().min(count) };
        while self.buffers.len() < threads {
            self.buffers.push(Buffers::new(&self.images));
        }
        let Predictor { image_len, images: framed, steps, multiply_adds, buffers, .. } = self;
        let plan =
            Plan { framed, steps, multiply_adds: *multiply_adds, lens: [*image_len, output_len] };
        let isa = Isa::current();
        plan.run(isa, &mut buffers[..threads], images, outputs)
    }
}

/// What all threads read.
#[derive(Clone, Copy)]
struct Plan<'a> {
    framed: &'a [Framed],
    steps: &'a [Step],
    /// Of one image.
    multiply_adds: usize,
    /// Values of an image and of an output.
    lens: [usize; 2],
}

impl Plan<'_> {
    /// Runs the images, in halves at once until each set of buffers has its share.
    fn run(
        self,
        isa: Isa,
        buffers: &mut [Buffers],
        images: &[f32],
        outputs: &mut [f32],
    ) -> Result<()> {
        let [image_len, output_len] = self.lens;
        let count = images.len() / image_len;
        if let [buffers] = buffers {
            let pairs = images.chunks_exact(image_len).zip(outputs.chunks_exact_mut(output_len));
            for (image, output) in pairs {
                self.run_one(buffers, image, output)?;
            }
            return Ok(());
        }
        let threads = buffers.len();
        let half = count * (threads / 2) / threads;
        let (buffers, more_buffers) = buffers.split_at_mut(threads / 2);
        let (images, more_images) = images.split_at(half * image_len);
        let (outputs, more_outputs) = outputs.split_at_mut(half * output_len);
        let results = parallel::join(
            count.saturating_mul(self.multiply_adds),
            || isa.with(|| self.run(isa, buffers, images, outputs)),
            || isa.with(|| self.run(isa, more_buffers, more_images, more_outputs)),
        );
        results.into_iter().collect()
    }

    /// Runs all steps on one image, from buffer to buffer.
    fn run_one(self, buffers: &mut Buffers, image: &[f32], output: &mut [f32]) -> Result<()> {
        let Plan { framed, steps, .. } = self;
        let Buffers { images, indices } = buffers;
        framed[0].fill(&mut images[0], image);
        for (i, step) in steps.iter().enumerate() {
            let (before, after) = images.split_at_mut(i + 1);
            let (x, y) = (&before[i], &mut after[0]);
            if let Step::Conv(conv) = step {
                conv.forward(x, y)?;
                continue;
            }
            let x =
                TensorRef::new(&x[framed[i].origin()..], framed[i].shape(), framed[i].strides())?;
            let to = framed[i + 1];
            let y = TensorMut::new(&mut y[to.origin()..], to.shape(), to.strides())?;
            let indices = TensorMut::new(indices, to.shape(), to.strides())?;
            match step {
                Step::Conv(_) => {}
                Step::MaxPool(config) => pool::max_forward(x, config, y, indices)?,
                Step::AvgPool(config) => pool::avg_forward(x, config, y)?,
                Step::AdaptiveMaxPool => pool::adaptive_max_forward(x, y, indices)?,
                Step::AdaptiveAvgPool => pool::adaptive_avg_forward(x, y)?,
            }
        }
        framed[steps.len()].read(&images[steps.len()], output);
        Ok(())
    }
}
