//! Batch normalisation.

use topedge_autograd::{BatchNorm as Norm, Float, Mode, RunningStats, Tensor};

use super::positive;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::inference::Evaluation;
use crate::module::{Item, ItemMut, Module, Parameter, ParameterKind};
use crate::receptive_field::Reach;
use crate::trace::{Precedents, Term, check_position};

/// `y = (x - mean) / sqrt(var + 1e-5) * weight + bias` for each channel (Ioffe and Szegedy 2015);
/// axis 1 is the channel.
///
/// In training, mean and biased variance are the batch's, and the running statistics follow:
/// `running = .9 running + .1 batch`, with the unbiased variance. In evaluation they are the
/// running statistics. The weight starts as 1, the bias as 0, the running mean as 0 and the running
/// variance as 1. `RANK` is the number of axes, 2 or 4.
///
/// ```
/// use topedge_autograd::Tensor;
/// use topedge_nn::layers::BatchNorm1d;
/// use topedge_nn::{Context, Module, StateValues, state_dict};
///
/// let mut layer: BatchNorm1d = BatchNorm1d::new(1)?;
/// let x = Tensor::new(vec![1.0, 2.0, 3.0, 4.0], &[4, 1])?;
/// layer.forward(&x, &mut Context::train(42))?;
/// let state = state_dict(&layer);
/// // The unbiased variance is 5/3: .9 * 1 + .1 * 5/3.
/// assert_eq!(state.get("running_var").unwrap().values, StateValues::F32(vec![1.0666667]));
/// # Ok::<(), topedge_nn::Error>(())
/// ```
#[derive(Debug)]
pub struct BatchNorm<const RANK: usize, T: Float = f32> {
    weight: Parameter<T>,
    bias: Parameter<T>,
    running: RunningStats<T>,
    /// Batches seen in training. PyTorch keeps this count in its state too.
    batches: u64,
}

/// Batch norm of features, `[n, channels]`.
pub type BatchNorm1d<T = f32> = BatchNorm<2, T>;

/// Batch norm of images, `[n, channels, height, width]`.
pub type BatchNorm2d<T = f32> = BatchNorm<4, T>;

impl<const RANK: usize, T: Float> BatchNorm<RANK, T> {
    /// A layer for `channels` channels.
    ///
    /// # Errors
    ///
    /// When there are none, or more than memory holds.
    pub fn new(channels: usize) -> Result<Self> {
        positive("BatchNorm: channels", &[channels])?;
        Ok(BatchNorm {
            weight: Parameter::new(Tensor::ones(&[channels])?, ParameterKind::Norm),
            bias: Parameter::new(Tensor::zeros(&[channels])?, ParameterKind::Norm),
            running: RunningStats::new(channels),
            batches: 0,
        })
    }

    fn channels(&self) -> usize {
        self.running.mean.len()
    }

    fn check(&self, input: &[usize]) -> Result<()> {
        if input.len() == RANK && input[1] == self.channels() {
            return Ok(());
        }
        let rest = if RANK == 2 { "" } else { ", height, width" };
        Err(Error::unexpected(
            "input shape",
            format!("[n, {}{rest}]", self.channels()),
            format!("{input:?}"),
        ))
    }
}

impl<const RANK: usize, T: Float> BatchNorm<RANK, T> {
    fn normalize(&mut self, x: &Tensor<T>, relu: bool, mode: Mode) -> Result<Tensor<T>> {
        self.check(x.shape())?;
        let y = x.batch_norm(Norm {
            gamma: Some(&self.weight.value),
            beta: Some(&self.bias.value),
            running: Some(&mut self.running),
            relu,
            ..Norm::new(mode)
        })?;
        self.batches += u64::from(mode == Mode::Train);
        Ok(y)
    }
}

impl<const RANK: usize, T: Float> Module<T> for BatchNorm<RANK, T> {
    fn kind(&self) -> &'static str {
        if RANK == 2 { "BatchNorm1d" } else { "BatchNorm2d" }
    }

    fn config(&self) -> String {
        self.channels().to_string()
    }

    fn forward(&mut self, x: &Tensor<T>, cx: &mut Context<'_, T>) -> Result<Tensor<T>> {
        self.normalize(x, false, cx.mode)
    }

    fn forward_relu(
        &mut self,
        x: &Tensor<T>,
        cx: &mut Context<'_, T>,
    ) -> Option<Result<Tensor<T>>> {
        Some(self.normalize(x, true, cx.mode))
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>> {
        self.check(input)?;
        Ok(input.to_vec())
    }

    fn reach(&self) -> Reach {
        Reach::Pointwise
    }

    /// `(x - mean) / sqrt(var + eps) * weight + bias`, written as `scale * x + shift`.
    fn precedents(&self, x: &Tensor<T>, at: &[usize]) -> Result<Precedents> {
        let place = check_position(at, &self.output_shape(x.shape())?)?;
        let channel = at[0];
        let eps = Norm::<T>::new(Mode::Eval).eps;
        let [mean, var] =
            [&self.running.mean, &self.running.var].map(|values| values[channel].to_f64());
        let [weight, bias] = [&self.weight, &self.bias].map(|p| p.value.to_vec()[channel].to_f64());
        let scale = weight / (var + eps).sqrt();
        let input = x.to_vec()[place].to_f64();
        Ok(Precedents {
            terms: vec![Term::new(at.to_vec(), input, scale)],
            bias: Some(bias - mean * scale),
            function: None,
        })
    }

    fn evaluation(&self) -> Evaluation<'_, T> {
        let eps = Norm::<T>::new(Mode::Eval).eps;
        let scale = |(weight, var): (T, &T)| weight.to_f64() / (var.to_f64() + eps).sqrt();
        let numbers = self.weight.value.to_vec().into_iter().zip(&self.running.var);
        Evaluation::Norm {
            mean: &self.running.mean,
            scale: numbers.map(|pair| T::from_f64(scale(pair))).collect(),
            shift: &self.bias.value,
        }
    }

    fn visit<'a>(&'a self, f: &mut dyn FnMut(&str, Item<'a, T>)) {
        f("weight", Item::Parameter(&self.weight));
        f("bias", Item::Parameter(&self.bias));
        f("running_mean", Item::Buffer(&self.running.mean));
        f("running_var", Item::Buffer(&self.running.var));
        f("num_batches_tracked", Item::Counter(self.batches));
    }

    fn visit_mut<'a>(&'a mut self, f: &mut dyn FnMut(&str, ItemMut<'a, T>)) {
        f("weight", ItemMut::Parameter(&mut self.weight));
        f("bias", ItemMut::Parameter(&mut self.bias));
        f("running_mean", ItemMut::Buffer(&mut self.running.mean));
        f("running_var", ItemMut::Buffer(&mut self.running.var));
        f("num_batches_tracked", ItemMut::Counter(&mut self.batches));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::testing::{check_gradients, check_shape, tensor};

    #[test]
    fn training_normalises_and_keeps_statistics() {
        let mut layer: BatchNorm1d<f64> = BatchNorm1d::new(1).unwrap();
        let x = Tensor::new(vec![1.0, 2.0, 3.0, 4.0], &[4, 1]).unwrap();
        let y = layer.forward(&x, &mut Context::train(1)).unwrap().to_vec();
        let scale = (1.25_f64 + 1e-5).sqrt();
        for (y, x) in y.into_iter().zip([-1.5, -0.5, 0.5, 1.5]) {
            assert!((y - x / scale).abs() < 1e-12, "{y}");
        }
        let RunningStats { mean, var } = &layer.running;
        assert!((mean[0] - 0.25).abs() < 1e-12, "{mean:?}");
        assert!((var[0] - (0.9 + 0.1 * 5.0 / 3.0)).abs() < 1e-12, "{var:?}");
        assert_eq!(layer.batches, 1);

        let before = layer.running.clone();
        let y = layer.forward(&x, &mut Context::eval()).unwrap().to_vec();
        assert!((y[0] - 0.75 / (before.var[0] + 1e-5).sqrt()).abs() < 1e-12, "{y:?}");
        assert_eq!((layer.running, layer.batches), (before, 1));
    }

    #[test]
    fn gradients() {
        let mut flat: BatchNorm1d<f64> = BatchNorm1d::new(3).unwrap();
        check_gradients(&mut flat, &tensor(&[4, 3]));
        check_shape(&mut flat, &[2, 3]);
        let mut images: BatchNorm2d<f64> = BatchNorm2d::new(3).unwrap();
        check_gradients(&mut images, &tensor(&[2, 3, 2, 1]));
        check_shape(&mut images, &[1, 3, 2, 2]);
    }

    #[test]
    fn wrong_shapes_are_refused() {
        let mut layer: BatchNorm2d<f64> = BatchNorm2d::new(3).unwrap();
        for shape in [&[2, 4, 2, 2][..], &[2, 3], &[2, 3, 2], &[]] {
            let error = layer.output_shape(shape).unwrap_err().to_string();
            assert!(error.contains("[n, 3, height, width]"), "{error}");
        }
        // One value per channel has no variance.
        let x = tensor(&[1, 3, 1, 1]);
        assert!(layer.forward(&x, &mut Context::train(1)).is_err());
        assert_eq!(layer.batches, 0);
        assert!(layer.forward(&x, &mut Context::eval()).is_ok());
        assert!(BatchNorm2d::<f32>::new(0).is_err());
    }
}
