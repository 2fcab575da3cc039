//! Losses: what training minimises.

use topedge_autograd::{CrossEntropyConfig, Tensor};

use crate::error::{Error, Result};

/// What training minimises.
pub trait Loss: Send {
    /// The name, as in `CrossEntropy`.
    fn name(&self) -> &'static str;

    /// Its settings in words.
    fn config(&self) -> String {
        String::new()
    }

    /// The mean loss of a batch, one value: predictions `[n, classes]` and n labels.
    ///
    /// # Errors
    ///
    /// When they do not fit together.
    fn forward(&self, predictions: &Tensor, labels: &[u32]) -> Result<Tensor>;

    /// The loss of each image, `[n]`, for callbacks that mix images: mixup and CutMix.
    ///
    /// # Errors
    ///
    /// When predictions and labels do not fit together, or the loss has no such: that is the
    /// default.
    fn per_image(&self, predictions: &Tensor, labels: &[u32]) -> Result<Tensor> {
        let _ = (predictions, labels);
        Err(Error::setting("loss", self.name(), "one that knows the loss of each image"))
    }
}

/// The mean of `-log(softmax(prediction)[label])`, with class weights, label smoothing and ignored
/// labels as PyTorch has them: with weights, the mean divides by the weights of the labels.
///
/// ```
/// use topedge_autograd::{CrossEntropyConfig, Tensor};
/// use topedge_nn::losses::{CrossEntropy, Loss};
///
/// let predictions = Tensor::zeros(&[4, 10])?;
/// let loss = CrossEntropy::default().forward(&predictions, &[0, 1, 2, 3])?;
/// assert!((loss.item()? - 10_f32.ln()).abs() < 1e-6);
///
/// let smoothed = CrossEntropy(CrossEntropyConfig { label_smoothing: 0.1, ..Default::default() });
/// smoothed.forward(&predictions, &[0, 1, 2, 3])?;
/// # Ok::<(), topedge_nn::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CrossEntropy(
    /// Weights, smoothing, ignored label; by default none of them.
    pub CrossEntropyConfig,
);

impl Loss for CrossEntropy {
    fn name(&self) -> &'static str {
        "CrossEntropy"
    }

    fn config(&self) -> String {
        format!("{:?}", self.0)
    }

    fn forward(&self, predictions: &Tensor, labels: &[u32]) -> Result<Tensor> {
        Ok(predictions.cross_entropy(labels, &self.0)?)
    }

    /// As PyTorch's with `reduction="none"`: times the label's weight, 0 for an ignored label.
    fn per_image(&self, predictions: &Tensor, labels: &[u32]) -> Result<Tensor> {
        // Refuses what does not fit.
        self.forward(predictions, labels)?;
        let CrossEntropyConfig { class_weights, label_smoothing, ignore_index } = &self.0;
        let classes = predictions.shape()[1];
        let spread = *label_smoothing as f32 / classes as f32;
        let mut targets = vec![0.0; labels.len() * classes];
        for (row, label) in targets.chunks_exact_mut(classes).zip(labels) {
            if Some(*label) == *ignore_index {
                continue;
            }
            row.fill(spread);
            row[*label as usize] += 1.0 - *label_smoothing as f32;
            for (target, weight) in row.iter_mut().zip(class_weights.iter().flatten()) {
                *target *= weight;
            }
        }
        let targets = Tensor::new(targets, &[labels.len(), classes])?;
        Ok(predictions.log_softmax(1)?.mul(&targets)?.sum_axis(1, false)?.mul_scalar(-1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loss(config: CrossEntropyConfig, labels: &[u32]) -> Result<f32> {
        let predictions = vec![1.0, 2.0, 3.0, 1.0, 0.0, -1.0];
        let predictions = Tensor::new(predictions, &[2, 3])?;
        Ok(CrossEntropy(config).forward(&predictions, labels)?.item()?)
    }

    /// Measured with PyTorch's `nn.CrossEntropyLoss`.
    #[test]
    fn golden_numbers() {
        let default = CrossEntropyConfig::default();
        let weights = Some(vec![1.0, 2.0, 3.0]);
        let cases = [
            (default.clone(), 0.4076059),
            (CrossEntropyConfig { class_weights: weights, ..default.clone() }, 0.4076059),
            (CrossEntropyConfig { label_smoothing: 0.1, ..default.clone() }, 0.5076059),
            (CrossEntropyConfig { ignore_index: Some(2), ..default }, 0.4076059),
        ];
        for (config, expected) in cases {
            let got = loss(config.clone(), &[2, 0]).unwrap();
            assert!((got - expected).abs() < 1e-6, "{config:?}: {got}");
        }
    }

    #[test]
    fn weights_divide_by_the_labels_weights() {
        // -log softmax is 1.4076059 and 2.4076059 at these labels.
        let config =
            CrossEntropyConfig { class_weights: Some(vec![1.0, 2.0, 3.0]), ..Default::default() };
        let got = loss(config, &[1, 2]).unwrap();
        let expected = (2.0 * 1.4076059 + 3.0 * 2.4076059) / 5.0;
        assert!((got - expected).abs() < 1e-6, "{got}");
    }

    #[test]
    fn each_images_loss_averages_to_that_of_the_batch() {
        let weights = Some(vec![1.0, 2.0, 3.0]);
        for (label_smoothing, class_weights) in [(0.0, None), (0.1, None), (0.2, weights)] {
            let divisor = if class_weights.is_some() { 5.0 } else { 2.0 };
            let config =
                CrossEntropyConfig { label_smoothing, class_weights, ..Default::default() };
            let predictions = vec![1.0, 2.0, 3.0, 1.0, 0.0, -1.0];
            let predictions = Tensor::new(predictions, &[2, 3]).unwrap();
            let each = CrossEntropy(config.clone()).per_image(&predictions, &[1, 2]).unwrap();
            let got = each.to_vec().iter().sum::<f32>() / divisor;
            let expected = loss(config, &[1, 2]).unwrap();
            assert!((got - expected).abs() < 1e-6, "{got} is not {expected}");
        }
    }

    #[test]
    fn wrong_labels_are_refused() {
        for labels in [&[0, 3][..], &[0], &[0, 1, 2]] {
            assert!(loss(CrossEntropyConfig::default(), labels).is_err(), "{labels:?}");
        }
    }
}
