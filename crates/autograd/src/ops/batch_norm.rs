//! Batch normalisation.

use topedge_kernels::norm::{self, ChannelLayout};

use crate::error::{Error, Result};
use crate::float::Float;
use crate::layout::Layout;
use crate::mode::Mode;
use crate::tape::{Backward, Grads, record};
use crate::tensor::Tensor;

const OP: &str = "batch_norm";

/// What batch norm remembers of the batches that it was trained on, for evaluation.
#[derive(Debug, Clone, PartialEq)]
pub struct RunningStats<T: Float = f32> {
    /// The mean of each channel.
    pub mean: Vec<T>,
    /// The unbiased variance of each channel.
    pub var: Vec<T>,
}

impl<T: Float> RunningStats<T> {
    /// Mean 0 and variance 1 for each of `channels`.
    pub fn new(channels: usize) -> Self {
        Self { mean: vec![T::ZERO; channels], var: vec![T::ONE; channels] }
    }

    /// `running = (1 - momentum) running + momentum batch`, with the variance of the batch, biased
    /// over `count` values, made unbiased.
    fn update(&mut self, momentum: f64, mean: &[T], var: &[T], count: usize) {
        let blend = |running: &mut [T], batch: &[T], scale: f64| {
            for (running, batch) in running.iter_mut().zip(batch) {
                let (old, new) = (running.to_f64(), batch.to_f64() * scale);
                *running = T::from_f64((1.0 - momentum) * old + momentum * new);
            }
        };
        blend(&mut self.mean, mean, 1.0);
        blend(&mut self.var, var, count as f64 / (count as f64 - 1.0));
    }
}

/// The arguments of [`Tensor::batch_norm`].
#[derive(Debug)]
pub struct BatchNorm<'a, T: Float = f32> {
    /// What each channel is multiplied with, `[channels]`; without it 1.
    pub gamma: Option<&'a Tensor<T>>,
    /// What is added to each channel, `[channels]`; without it 0.
    pub beta: Option<&'a Tensor<T>>,
    /// The statistics that training updates and evaluation uses, which cannot be without.
    pub running: Option<&'a mut RunningStats<T>>,
    /// How much of the running statistics a batch replaces. 0.1 in [`new`](Self::new).
    pub momentum: f64,
    /// Added to the variance. 1e-5 in [`new`](Self::new).
    pub eps: f64,
    /// Whether what is normalised is `max(x, 0)`: a ReLU before it, which costs no pass over memory of its
    /// own. Not in [`new`](Self::new).
    pub relu: bool,
    /// Whether to normalise by the statistics of the batch or by the running ones.
    pub mode: Mode,
}

impl<T: Float> BatchNorm<'_, T> {
    /// PyTorch's defaults, with neither gamma, beta nor running statistics.
    pub fn new(mode: Mode) -> Self {
        Self { gamma: None, beta: None, running: None, momentum: 0.1, eps: 1e-5, relu: false, mode }
    }
}

struct BatchNormBackward<T: Float> {
    /// Without gaps.
    x: Tensor<T>,
    mean: Tensor<T>,
    var: Tensor<T>,
    gamma: Tensor<T>,
    eps: f64,
    relu: bool,
    mode: Mode,
}

/// How channels lie in a layout without gaps.
fn channels(layout: &Layout) -> ChannelLayout {
    let [outer, channels, inner] = layout.around(1);
    ChannelLayout { outer, channels, inner }
}

impl<T: Float> BatchNormBackward<T> {
    fn kernel_arguments(&self) -> norm::BatchNorm<'_, T> {
        norm::BatchNorm {
            layout: channels(self.x.layout()),
            mean: self.mean.dense(),
            var: self.var.dense(),
            gamma: self.gamma.dense(),
            eps: T::from_f64(self.eps),
            relu: self.relu,
        }
    }
}

impl<T: Float> Backward<T> for BatchNormBackward<T> {
    fn backward(&self, dy: Tensor<T>, grads: &mut Grads<'_, T>) -> Result<()> {
        let mut dx = dy.in_layout(self.x.layout());
        // So that its values are `dx` alone's, which takes their place, unless others share them.
        drop(dy);
        let mut dgamma = Tensor::for_overwrite(*self.gamma.layout());
        let mut dbeta = Tensor::for_overwrite(*self.gamma.layout());
        let kernel = match self.mode {
            Mode::Train => norm::backward_train,
            Mode::Eval => norm::backward_eval,
        };
        kernel(
            self.x.dense(),
            &self.kernel_arguments(),
            dx.make_mut(),
            dgamma.make_mut(),
            dbeta.make_mut(),
        )?;
        grads.add(0, || Ok(dx))?;
        grads.add(1, || Ok(dgamma))?;
        grads.add(2, || Ok(dbeta))
    }
}

impl<T: Float> Tensor<T> {
    /// `y = (x - mean) / sqrt(var + eps) * gamma + beta` for each channel of `[batch, channels]` or
    /// `[batch, channels, height, width]`.
    ///
    /// In training, mean and (biased) variance are the batch's, and the running statistics are
    /// moved towards them, the variance there unbiased; in evaluation they are the running ones.
    /// With `xhat = (x - mean) / sqrt(var + eps)`: `dgamma = sum(dy xhat)`, `dbeta = sum(dy)`,
    /// `dx = gamma / sqrt(var + eps) (dy - mean(dy) - xhat mean(dy xhat))` in training, and without
    /// both means in evaluation.
    ///
    /// # Errors
    ///
    /// If shapes do not fit, a training batch has fewer than two values for each channel, or running
    /// statistics are missing in evaluation.
    ///
    /// ```
    /// use topedge_autograd::{BatchNorm, Mode, RunningStats, Tensor};
    ///
    /// let x = Tensor::new(vec![1.0f32, 3.0], &[2, 1])?;
    /// let mut running = RunningStats::new(1);
    /// let train = BatchNorm { running: Some(&mut running), ..BatchNorm::new(Mode::Train) };
    /// let y = x.batch_norm(train)?;
    /// assert!((y.to_vec()[1] - 1.0).abs() < 1e-4);
    /// assert_eq!(running.mean, [0.2]);
    /// assert!((running.var[0] - 1.1).abs() < 1e-6); // 0.9 * 1 + 0.1 * 2
    /// # Ok::<(), topedge_autograd::Error>(())
    /// ```
    pub fn batch_norm(&self, arguments: BatchNorm<'_, T>) -> Result<Self> {
        let BatchNorm { gamma, beta, running, momentum, eps, relu, mode } = arguments;
        if self.rank() != 2 && self.rank() != 4 {
            let expected = "[batch, channels] or [batch, channels, height, width]";
            let got = format!("{:?}", self.shape());
            return Err(Error::shape(OP, "shape of x", expected, got));
        }
        let x = self.without_gaps();
        let layout = channels(x.layout());
        let count = layout.outer * layout.inner;
        let like = x.like_with_shape(OP, &[layout.channels])?;
        // Constants stand in for what is left out.
        let of_channels = *like.layout();
        let gamma = &gamma.cloned().unwrap_or_else(|| Self::filled(of_channels, T::ONE));
        let beta = &beta.cloned().unwrap_or_else(|| Self::filled(of_channels, T::ZERO));
        let of_beta = beta.vector(OP, "beta", layout.channels)?;
        if let Some(running) = &running {
            for (what, values) in [("running mean", &running.mean), ("running var", &running.var)] {
                if values.len() != layout.channels {
                    let what = format!("length of {what}");
                    return Err(Error::shape(OP, what, layout.channels, values.len()));
                }
            }
        }

        let (mut mean, mut var) = (like, Self::for_overwrite(of_channels));
        match (mode, &running) {
            (Mode::Train, _) if count < 2 => {
                let expected = "at least 2 in training, whose variance would else say nothing";
                return Err(Error::shape(OP, "values for each channel", expected, count));
            }
            (Mode::Train, _) => {
                norm::batch_stats(x.dense(), layout, relu, mean.make_mut(), var.make_mut())?;
            }
            (Mode::Eval, Some(running)) => {
                mean.make_mut().copy_from_slice(&running.mean);
                var.make_mut().copy_from_slice(&running.var);
            }
            (Mode::Eval, None) => {
                return Err(Error::argument(OP, "running", "statistics in evaluation", "none"));
            }
        }
        let gamma_values = gamma.vector(OP, "gamma", layout.channels)?;
        let saved = BatchNormBackward { x, mean, var, gamma: gamma_values, eps, relu, mode };
        let mut y = Self::for_overwrite(*saved.x.layout());
        let kernel_arguments = saved.kernel_arguments();
        norm::normalize(saved.x.dense(), &kernel_arguments, of_beta.dense(), y.make_mut())?;
        if let (Mode::Train, Some(running)) = (mode, running) {
            running.update(momentum, saved.mean.dense(), saved.var.dense(), count);
        }
        Ok(record(y, &[self, gamma, beta], |_| saved))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::gradcheck::gradcheck;
    use crate::tape::Tape;
    use crate::testing::{assert_close, formats, positive, random, single, with_gaps};

    fn stats(channels: usize) -> RunningStats<f64> {
        RunningStats {
            mean: random(7, &[channels]).to_vec(),
            var: positive(8, &[channels]).to_vec(),
        }
    }

    /// Mean and biased variance over all axes but the second, kept with size 1.
    fn moments(x: &Tensor<f64>) -> [Tensor<f64>; 2] {
        let mean = |x: &Tensor<f64>| {
            (0..x.rank())
                .filter(|&axis| axis != 1)
                .fold(x.clone(), |x, axis| x.mean_axis(axis, true).unwrap())
        };
        let of_x = mean(x);
        [of_x.clone(), mean(&x.sub(&of_x).unwrap().pow(2.0))]
    }

    fn by_definition(
        x: &Tensor<f64>,
        [mean, var]: &[Tensor<f64>; 2],
        g: &Tensor<f64>,
        b: &Tensor<f64>,
    ) -> Tensor<f64> {
        let [g, b] = [g, b].map(|v| v.reshape(mean.shape()).unwrap());
        let xhat = x.sub(mean).unwrap().div(&var.add_scalar(1e-5).sqrt()).unwrap();
        xhat.mul(&g).unwrap().add(&b).unwrap()
    }

    const SHAPES: [&[usize]; 4] = [&[4, 3, 2, 5], &[5, 2], &[2, 1, 1, 1], &[17, 2, 1, 3]];

    fn layouts(x: &Tensor<f64>) -> Vec<Tensor<f64>> {
        if x.rank() == 4 {
            return formats(x).to_vec();
        }
        let batch_last = x.transpose(0, 1).unwrap().contiguous().transpose(0, 1).unwrap();
        vec![x.clone(), batch_last]
    }

    #[test]
    fn values_and_running_statistics_in_every_format() {
        for shape in SHAPES {
            let (x, c) = (random(1, shape), shape[1]);
            let (gamma, beta) = (random(2, &[c]), random(3, &[c]));
            let batch = moments(&x);
            let count = x.len() / c;
            for x in layouts(&x) {
                let mut running = stats(c);
                let y = x.batch_norm(BatchNorm {
                    gamma: Some(&gamma),
                    beta: Some(&beta),
                    running: Some(&mut running),
                    ..BatchNorm::new(Mode::Train)
                });
                let y = y.unwrap();
                assert_eq!(y.layout().order(), x.layout().order());
                assert_close(&y, &by_definition(&x, &batch, &gamma, &beta), 1e-9);
                let unbiased = count as f64 / (count as f64 - 1.0);
                for channel in 0..c {
                    let (mean, var) = (batch[0].to_vec()[channel], batch[1].to_vec()[channel]);
                    let old = stats(c);
                    let expected = 0.9 * old.mean[channel] + 0.1 * mean;
                    assert!((running.mean[channel] - expected).abs() < 1e-12);
                    let expected = 0.9 * old.var[channel] + 0.1 * var * unbiased;
                    assert!((running.var[channel] - expected).abs() < 1e-12);
                }

                let before = running.clone();
                let eval = BatchNorm {
                    gamma: Some(&gamma),
                    beta: Some(&beta),
                    running: Some(&mut running),
                    ..BatchNorm::new(Mode::Eval)
                };
                let kept = [&before.mean, &before.var]
                    .map(|v| Tensor::new(v.clone(), batch[0].shape()).unwrap());
                let expected = by_definition(&x, &kept, &gamma, &beta);
                assert_close(&x.batch_norm(eval).unwrap(), &expected, 1e-9);
                assert_eq!(running, before);
            }
        }
    }

    #[test]
    fn single_precision_agrees() {
        for x in layouts(&random(1, &[17, 3, 4, 2])) {
            let ones = Tensor::ones(&[3]).unwrap();
            let expected = by_definition(&x, &moments(&x), &ones, &ones.mul_scalar(0.0));
            let y = single(&x).batch_norm(BatchNorm::new(Mode::Train)).unwrap();
            assert_close(&y, &expected, 1e-5);
        }
    }

    #[test]
    fn gradient() {
        // Of two values the normalised ones are +-1 whatever they were: no gradient, much rounding.
        for shape in SHAPES.into_iter().filter(|shape| shape[0] > 2) {
            let c = shape[1];
            for x in layouts(&random(1, shape)) {
                for mode in [Mode::Train, Mode::Eval] {
                    let inputs = [x.clone(), random(2, &[c]), random(3, &[c])];
                    let f = |x: &Tensor<f64>, gamma: Option<&_>, beta: Option<&_>| {
                        let mut running = stats(c);
                        let running = Some(&mut running);
                        x.batch_norm(BatchNorm { gamma, beta, running, ..BatchNorm::new(mode) })
                    };
                    gradcheck(&inputs, |x| f(&x[0], Some(&x[1]), Some(&x[2]))).unwrap();
                    gradcheck(&inputs[..1], |x| f(&with_gaps(&x[0]), None, None)?.mul(&x[0]))
                        .unwrap();
                }
            }
        }
    }

    #[test]
    fn a_relu_before_it_is_the_same_to_the_last_bit() {
        for shape in SHAPES {
            let c = shape[1];
            for x in
                layouts(&random(1, shape)).iter().flat_map(|x| [single(x), single(&with_gaps(x))])
            {
                for mode in [Mode::Train, Mode::Eval] {
                    let run = |relu: bool| {
                        let tape = Tape::new();
                        let leaf = |seed, shape: &[usize]| single(&random(seed, shape));
                        let inputs =
                            [x.clone(), leaf(2, &[c]), leaf(3, &[c])].map(Tensor::requires_grad);
                        let mut running = RunningStats::<f32>::new(c);
                        let arguments = BatchNorm {
                            gamma: Some(&inputs[1]),
                            beta: Some(&inputs[2]),
                            running: Some(&mut running),
                            relu,
                            ..BatchNorm::new(mode)
                        };
                        let x = &inputs[0];
                        let y = if relu { x.clone() } else { x.relu() };
                        let y = y.batch_norm(arguments).unwrap();
                        let loss = y.mul(&leaf(4, shape)).unwrap().sum();
                        tape.backward(&loss).unwrap();
                        let bits = |t: &Tensor| t.to_vec().iter().map(|v| v.to_bits()).collect();
                        let mut all: Vec<Vec<u32>> = vec![bits(&y)];
                        all.extend(inputs.iter().map(|input| bits(&input.grad().unwrap())));
                        all
                    };
                    assert_eq!(run(true), run(false));
                }
            }
        }
    }

    #[test]
    fn a_gradient_that_others_share_is_left_to_them() {
        for mode in [Mode::Train, Mode::Eval] {
            let inputs = [1, 2].map(|seed| random(seed, &[4, 3, 2, 5]).requires_grad());
            let weight = random(3, &[4, 3, 2, 5]);
            let mut running = stats(3);
            let mut normalized = || {
                let running = Some(&mut running);
                inputs[0].batch_norm(BatchNorm { running, ..BatchNorm::new(mode) }).unwrap()
            };
            let tape = Tape::new();
            // The sum hands one gradient to both.
            tape.backward_with(&normalized().add(&inputs[1]).unwrap(), &weight).unwrap();
            assert_eq!(inputs[1].grad().unwrap().to_vec(), weight.to_vec());
            assert_eq!(weight.to_vec(), random(3, &[4, 3, 2, 5]).to_vec());
            let shared = inputs[0].grad().unwrap();
            inputs[0].zero_grad();
            tape.backward(&normalized().mul(&weight).unwrap().sum()).unwrap();
            assert_close(&shared, &inputs[0].grad().unwrap(), 1e-12);
        }
    }

    /// Passes a gradient on, and notes where its values lie.
    struct Note(Arc<Mutex<Vec<usize>>>);

    impl Backward<f64> for Note {
        fn backward(&self, dy: Tensor<f64>, grads: &mut Grads<'_, f64>) -> Result<()> {
            self.0.lock().unwrap().push(dy.memory().as_ptr().addr());
            grads.add(0, || Ok(dy))
        }
    }

    #[test]
    fn a_gradient_that_nobody_shares_gives_its_place() {
        for x in layouts(&random(1, &[4, 3, 2, 5])) {
            for mode in [Mode::Train, Mode::Eval] {
                let places = Arc::new(Mutex::new(vec![]));
                let note =
                    |x: &Tensor<f64>| record(x.detach(), &[x], |_| Note(Arc::clone(&places)));
                let (x, mut running) = (x.clone().requires_grad(), stats(3));
                let tape = Tape::new();
                let arguments = BatchNorm { running: Some(&mut running), ..BatchNorm::new(mode) };
                let y = note(&note(&x).batch_norm(arguments).unwrap());
                // Its gradient is a product of its own.
                let loss = y.mul_scalar(2.0).sum();
                tape.backward(&loss).unwrap();
                let places = places.lock().unwrap();
                assert_eq!(places[0], places[1]);
            }
        }
    }

    #[test]
    fn refusals() {
        let train = || BatchNorm::<f64>::new(Mode::Train);
        let error = random(1, &[1, 3, 1, 1]).batch_norm(train()).unwrap_err().to_string();
        assert!(error.starts_with("batch_norm: values for each channel: expected at least 2"));
        assert!(random(1, &[4]).batch_norm(train()).is_err());
        let x = random(1, &[4, 3]);
        let wrong = random(1, &[2]);
        assert!(x.batch_norm(BatchNorm { gamma: Some(&wrong), ..train() }).is_err());
        assert!(x.batch_norm(BatchNorm { beta: Some(&wrong), ..train() }).is_err());
        let mut running = stats(2);
        assert!(x.batch_norm(BatchNorm { running: Some(&mut running), ..train() }).is_err());
        assert_eq!(running, stats(2));
        let error = x.batch_norm(BatchNorm::new(Mode::Eval)).unwrap_err().to_string();
        assert_eq!(error, "batch_norm: running: expected statistics in evaluation, got none");
    }
}
