//! What mixup and CutMix have in common: the loss of images that are two at once.

use rand_distr::Beta;
use topedge_autograd::Tensor;

use crate::error::{Error, Result};
use crate::learner::State;

/// Beta(alpha, alpha).
pub(super) fn beta(name: &str, alpha: f64) -> Result<Beta<f64>> {
    let expected = "a finite number above 0";
    let wrong = || Error::setting(name, alpha, expected);
    if !alpha.is_finite() {
        return Err(wrong());
    }
    Beta::new(alpha, alpha).map_err(|_| wrong())
}

/// Where in its values image `i` of a batch begins, which a loader made: without gaps.
pub(super) fn start_of(input: &Tensor, i: usize) -> usize {
    let parts = input.parts();
    let images = input.shape()[0] / parts;
    i / images * (input.len() / parts) + i % images * input.strides()[0]
}

/// What was mixed into the images of a batch.
#[derive(Clone, Debug)]
pub(super) struct Partners {
    /// Their labels.
    labels: Vec<u32>,
    /// What is left of each image itself.
    pub(super) shares: Vec<f32>,
}

impl Partners {
    pub(super) fn new(labels: &[u32], others: &[usize], shares: Vec<f32>) -> Self {
        Partners { labels: others.iter().map(|&i| labels[i]).collect(), shares }
    }

    /// Puts the mixed loss in the place of the batch's.
    pub(super) fn mix_loss(&self, state: &mut State) -> Result<()> {
        let Some(prediction) = &state.prediction else {
            return Ok(());
        };
        let own = state.loss_fn.per_image(prediction, &state.labels)?;
        let other = state.loss_fn.per_image(prediction, &self.labels)?;
        let n = [self.shares.len()];
        let share = Tensor::new(self.shares.clone(), &n)?;
        let rest = Tensor::new(self.shares.iter().map(|share| 1.0 - share).collect(), &n)?;
        state.loss = Some(own.mul(&share)?.add(&other.mul(&rest)?)?.mean());
        Ok(())
    }
}

#[cfg(test)]
pub(super) mod testing {
    use super::*;
    use crate::Learner;
    use crate::layers::Flatten;
    use crate::losses::CrossEntropy;
    use topedge_autograd::Mode;
    use topedge_data::{DataLoaders, Dataset, LoadersConfig, MemoryFormat, Splits};

    /// A state with three images of 2x2x3 values.
    pub(in crate::callbacks) fn state(training: bool) -> State {
        let vocab = ["a", "b", "c"].map(str::to_string).to_vec();
        let pixels = (0..36).collect();
        let data = Dataset::new(pixels, [2, 2, 3], vec![0, 1, 2], vocab).unwrap();
        let splits = Splits::new(data.clone(), data).unwrap();
        let config = LoadersConfig { batch_size: 3, ..Default::default() };
        let data = DataLoaders::new(&splits, &config).unwrap();
        let mut state = Learner::new(data, Flatten, CrossEntropy::default()).state;
        state.context.mode = if training { Mode::Train } else { Mode::Eval };
        state.labels = vec![0, 1, 2];
        let values = (0..36).map(|i| i as f32).collect();
        state.input = Tensor::new(values, &[3, 2, 2, 3]).unwrap();
        state
    }

    /// Such states in each memory format, and in parts, and their values in row-major order.
    pub(in crate::callbacks) fn prepared() -> Vec<(Vec<f32>, State)> {
        [
            (MemoryFormat::Contiguous, 1),
            (MemoryFormat::ChannelsLast, 1),
            (MemoryFormat::BatchLast, 1),
            (MemoryFormat::BatchLast, 3),
        ]
        .map(|(format, parts)| {
            let mut state = state(true);
            let values: Vec<f32> = (0..36).map(|i| (i as f32).sqrt()).collect();
            let strides = format.strides([3 / parts, 2, 2, 3]);
            state.input = Tensor::from_parts(values, &[3, 2, 2, 3], &strides, parts).unwrap();
            (state.input.to_vec(), state)
        })
        .into()
    }
}
