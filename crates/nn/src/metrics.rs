//! Metrics: numbers that tell how good a network is.

use serde::{Deserialize, Serialize};
use topedge_autograd::Tensor;

use crate::error::{Error, Result};
use crate::saved_state::SavedState;

/// A number over all batches of a pass.
pub trait Metric: Send {
    /// The name, as in `accuracy`.
    fn name(&self) -> &'static str;

    /// Its settings in words, which have to be the same for a run to go on.
    fn config(&self) -> String {
        String::new()
    }

    /// Forgets all batches.
    fn reset(&mut self);

    /// Adds a batch: predictions `[n, classes]` and n labels.
    ///
    /// # Errors
    ///
    /// When they do not fit together.
    fn update(&mut self, predictions: &Tensor, labels: &[u32]) -> Result<()>;

    /// The value over the batches since the reset; `None` without any.
    fn value(&self) -> Option<f64>;

    /// What of it a checkpoint keeps: all that it has gathered from batches since the reset. One that
    /// has fields and does not say cannot be part of a run that is saved.
    fn saved_state(&mut self) -> SavedState<'_> {
        SavedState::unsaid()
    }
}

/// The part of predictions whose largest score is the label's.
///
/// ```
/// use topedge_autograd::Tensor;
/// use topedge_nn::metrics::{Accuracy, Metric};
///
/// let mut accuracy = Accuracy::default();
/// let predictions = Tensor::new(vec![0.9, 0.1, 0.2, 0.8, 0.3, 0.7], &[3, 2])?;
/// accuracy.update(&predictions, &[0, 1, 0])?;
/// assert_eq!(accuracy.value(), Some(2.0 / 3.0));
/// # Ok::<(), topedge_nn::Error>(())
/// ```
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Accuracy {
    right: usize,
    all: usize,
}

impl Metric for Accuracy {
    fn name(&self) -> &'static str {
        "accuracy"
    }

    fn reset(&mut self) {
        *self = Accuracy::default();
    }

    fn update(&mut self, predictions: &Tensor, labels: &[u32]) -> Result<()> {
        if predictions.rank() != 2 || predictions.shape()[0] != labels.len() {
            return Err(Error::unexpected(
                "accuracy: shape of the predictions",
                format!("[{}, classes]", labels.len()),
                format!("{:?}", predictions.shape()),
            ));
        }
        let guesses = predictions.argmax(1)?;
        self.right += guesses.iter().zip(labels).filter(|(a, b)| a == b).count();
        self.all += labels.len();
        Ok(())
    }

    fn value(&self) -> Option<f64> {
        (self.all > 0).then(|| self.right as f64 / self.all as f64)
    }

    fn saved_state(&mut self) -> SavedState<'_> {
        SavedState::of(self)
    }
}

/// 1 - [`Accuracy`].
#[derive(Clone, Debug, Default)]
pub struct ErrorRate(Accuracy);

impl Metric for ErrorRate {
    fn name(&self) -> &'static str {
        "error_rate"
    }

    fn reset(&mut self) {
        self.0.reset();
    }

    fn update(&mut self, predictions: &Tensor, labels: &[u32]) -> Result<()> {
        self.0.update(predictions, labels)
    }

    fn value(&self) -> Option<f64> {
        self.0.value().map(|accuracy| 1.0 - accuracy)
    }

    fn saved_state(&mut self) -> SavedState<'_> {
        self.0.saved_state()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weighted_by_batch_size() {
        let mut metrics: [Box<dyn Metric>; 2] =
            [Box::new(Accuracy::default()), Box::new(ErrorRate::default())];
        let one = Tensor::new(vec![1.0, 0.0], &[1, 2]).unwrap();
        let three = Tensor::new(vec![1.0, 0.0, 0.0, 1.0, 0.0, 1.0], &[3, 2]).unwrap();
        for (metric, expected) in metrics.iter_mut().zip([0.75, 0.25]) {
            assert_eq!(metric.value(), None);
            metric.update(&one, &[1]).unwrap();
            metric.update(&three, &[0, 1, 1]).unwrap();
            assert_eq!(metric.value(), Some(expected));
            metric.reset();
            assert_eq!(metric.value(), None);
        }
    }

    #[test]
    fn wrong_shapes_are_refused() {
        let mut accuracy = Accuracy::default();
        for shape in [&[3, 2][..], &[2], &[2, 2, 1]] {
            let predictions = Tensor::ones(shape).unwrap();
            assert!(accuracy.update(&predictions, &[0, 1]).is_err(), "{shape:?}");
        }
        assert_eq!(accuracy.value(), None);
    }
}
