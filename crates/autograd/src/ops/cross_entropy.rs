//! Cross-entropy of logits and labels.

use topedge_kernels::softmax::{self, CrossEntropy};

use crate::error::{Error, Result};
use crate::float::Float;
use crate::tape::{Backward, Grads, is_recorded, record};
use crate::tensor::Tensor;

/// Options of [`Tensor::cross_entropy`]. The default has none of them.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CrossEntropyConfig<T: Float = f32> {
    /// A weight for each class. The mean then divides by the sum of the labels' weights.
    pub class_weights: Option<Vec<T>>,
    /// The part of the probability, 0 to 1, that is spread evenly over all classes.
    pub label_smoothing: f64,
    /// A label whose rows do not count.
    pub ignore_index: Option<u32>,
}

/// The loss is its only output, so its gradient for `dy = 1` is computed with it.
struct CrossEntropyBackward<T: Float> {
    dlogits: Tensor<T>,
}

impl<T: Float> Backward<T> for CrossEntropyBackward<T> {
    fn backward(&self, dy: Tensor<T>, grads: &mut Grads<'_, T>) -> Result<()> {
        let dy = dy.item()?;
        let dlogits = &self.dlogits;
        grads.add(0, || Ok(if dy == T::ONE { dlogits.clone() } else { dlogits.mul_scalar(dy) }))
    }
}

impl<T: Float> Tensor<T> {
    /// The mean over the rows of logits `[n, classes]` of `-log_softmax(row)[label]`, as a tensor
    /// without axes: PyTorch's `cross_entropy`. For `dy = 1`,
    /// `dlogits = (softmax(row) - one_hot(label)) / n`.
    ///
    /// # Errors
    ///
    /// If there is not one label for each row, a label is not below `classes`, or an option does
    /// not fit.
    ///
    /// ```
    /// use topedge_autograd::{CrossEntropyConfig, Tensor};
    ///
    /// let logits = Tensor::<f32>::zeros(&[2, 10])?;
    /// let loss = logits.cross_entropy(&[3, 7], &CrossEntropyConfig::default())?;
    /// assert!((loss.item()? - 10f32.ln()).abs() < 1e-6);
    /// # Ok::<(), topedge_autograd::Error>(())
    /// ```
    pub fn cross_entropy(&self, labels: &[u32], config: &CrossEntropyConfig<T>) -> Result<Self> {
        if self.parts() > 1 {
            return self.in_one_part().cross_entropy(labels, config);
        }
        let op = "cross_entropy";
        if !(0.0..=1.0).contains(&config.label_smoothing) {
            let got = config.label_smoothing;
            return Err(Error::argument(op, "label_smoothing", "0 to 1", got));
        }
        let logits = self.matrix(op, "logits", "[n, classes]")?;
        let options = CrossEntropy {
            class_weights: config.class_weights.as_deref(),
            label_smoothing: config.label_smoothing,
            ignore_index: config.ignore_index,
        };
        if !is_recorded(&[self]) {
            return Ok(Self::scalar(softmax::cross_entropy(logits, labels, &options, None)?));
        }
        let mut dlogits = Self::for_overwrite(self.layout().with_shape(self.layout().shape));
        let place = dlogits.matrix_mut(op, "the gradient")?;
        let loss = softmax::cross_entropy(logits, labels, &options, Some(place))?;
        Ok(record(Self::scalar(loss), &[self], |_| CrossEntropyBackward { dlogits }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gradcheck::gradcheck;
    use crate::testing::{assert_close, random, single, with_gaps};

    fn configs() -> [CrossEntropyConfig<f64>; 4] {
        let none = CrossEntropyConfig::default();
        let weights = Some(vec![0.5, 2.0, 1.0, 0.25]);
        [
            none.clone(),
            CrossEntropyConfig { label_smoothing: 0.1, ..none.clone() },
            CrossEntropyConfig { class_weights: weights.clone(), ignore_index: Some(2), ..none },
            CrossEntropyConfig {
                class_weights: weights,
                label_smoothing: 0.3,
                ignore_index: Some(9),
            },
        ]
    }

    /// From the definition, by other operations.
    fn by_definition(x: &Tensor<f64>, labels: &[u32], config: &CrossEntropyConfig<f64>) -> f64 {
        let [n, classes] = [x.shape()[0], x.shape()[1]];
        let log = x.log_softmax(1).unwrap().to_vec();
        let weight = |class: usize| config.class_weights.as_ref().map_or(1.0, |w| w[class]);
        let (mut loss, mut total) = (0.0, 0.0);
        for row in (0..n).filter(|&row| Some(labels[row]) != config.ignore_index) {
            let label = labels[row] as usize;
            total += weight(label);
            for class in 0..classes {
                let hit = if class == label { 1.0 - config.label_smoothing } else { 0.0 };
                let target = hit + config.label_smoothing / classes as f64;
                loss -= target * weight(class) * log[row * classes + class];
            }
        }
        loss / total
    }

    #[test]
    fn values() {
        let labels = [3, 0, 2, 1, 2];
        for x in [random(1, &[5, 4]), random(2, &[4, 5]).transpose(0, 1).unwrap()] {
            for config in configs() {
                let y = x.cross_entropy(&labels, &config).unwrap();
                let expected = Tensor::scalar(by_definition(&x, &labels, &config));
                assert_close(&y, &expected, 1e-12);
                let config = CrossEntropyConfig {
                    class_weights: config
                        .class_weights
                        .map(|w| w.iter().map(|&w| w as f32).collect()),
                    label_smoothing: config.label_smoothing,
                    ignore_index: config.ignore_index,
                };
                assert_close(&single(&x).cross_entropy(&labels, &config).unwrap(), &expected, 1e-5);
            }
        }
    }

    #[test]
    fn gradient() {
        let labels = [3, 0, 2, 1, 2];
        for config in configs() {
            gradcheck(&[random(1, &[5, 4])], |x| x[0].cross_entropy(&labels, &config)).unwrap();
            gradcheck(&[random(1, &[4, 5])], |x| {
                x[0].transpose(0, 1)?.cross_entropy(&labels, &config)?.mul(&x[0].sum())
            })
            .unwrap();
            gradcheck(&[random(1, &[5, 4])], |x| with_gaps(&x[0]).cross_entropy(&labels, &config))
                .unwrap();
        }
    }

    #[test]
    fn refusals() {
        let x = random(1, &[2, 3]);
        let default = CrossEntropyConfig::default();
        assert!(x.cross_entropy(&[0], &default).is_err());
        assert!(x.cross_entropy(&[0, 3], &default).is_err());
        assert!(random(1, &[2]).cross_entropy(&[0, 1], &default).is_err());
        for label_smoothing in [-0.1, 1.1, f64::NAN] {
            let config = CrossEntropyConfig { label_smoothing, ..default.clone() };
            assert!(x.cross_entropy(&[0, 1], &config).is_err());
        }
        let config = CrossEntropyConfig { class_weights: Some(vec![1.0; 2]), ..default };
        assert!(x.cross_entropy(&[0, 1], &config).is_err());
    }
}
