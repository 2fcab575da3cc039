//! What the network says of each validation image.

use topedge_autograd::Tensor;
use topedge_data::DataLoader;
use topedge_nn::{Context, Module};

use crate::error::{Error, Result};

/// What the network says of an image.
pub(super) struct Seen {
    pub(super) label: usize,
    /// The likeliest class.
    pub(super) prediction: usize,
    /// Its probability.
    pub(super) probability: f32,
    /// Minus the logarithm of the label's probability.
    pub(super) loss: f32,
}

/// So many images are there to look into the network with.
const SAMPLES: usize = 6;

/// So many of them are those with the largest losses.
const WORST: usize = 2;

/// Runs the network on all images, in their order.
pub(super) fn look(model: &mut dyn Module, loader: &DataLoader) -> Result<Vec<Seen>> {
    let classes = loader.dataset().vocab().len();
    let mut seen = Vec::with_capacity(loader.dataset().len());
    for batch in loader.epoch(0) {
        let batch = batch?;
        let x = Tensor::from_strided(batch.values, &batch.shape, &batch.strides)?;
        let scores = model.forward(&x, &mut Context::eval())?;
        if scores.shape() != [batch.labels.len(), classes] {
            return Err(unexpected("scores for each class", format!("shape {:?}", scores.shape())));
        }
        let log_probabilities = scores.log_softmax(1)?.to_vec();
        for (row, &label) in log_probabilities.chunks(classes).zip(&batch.labels) {
            if let Some(wrong) = row.iter().find(|value| value.is_nan()) {
                return Err(unexpected("finite scores", wrong.to_string()));
            }
            let likeliest = (0..classes).max_by(|&a, &b| row[a].total_cmp(&row[b]));
            let prediction = likeliest.unwrap_or(0);
            let label = label as usize;
            let (probability, loss) = (row[prediction].exp(), -row[label]);
            seen.push(Seen { label, prediction, probability, loss });
        }
    }
    Ok(seen)
}

/// The images, those with the largest losses first.
pub(super) fn by_loss(seen: &[Seen]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..seen.len()).collect();
    order.sort_by(|&a, &b| seen[b].loss.total_cmp(&seen[a].loss));
    order
}

/// Images to look into the network with: of some classes the first that was recognised, and the ones
/// with the largest losses.
pub(super) fn samples(seen: &[Seen], by_loss: &[usize]) -> Vec<usize> {
    let worst = &by_loss[..by_loss.len().min(WORST)];
    let mut samples: Vec<usize> = vec![];
    for (i, image) in seen.iter().enumerate() {
        if samples.len() == SAMPLES - WORST {
            break;
        }
        let known = samples.iter().any(|&sample| seen[sample].label == image.label);
        if image.label == image.prediction && !known && !worst.contains(&i) {
            samples.push(i);
        }
    }
    samples.extend(worst);
    samples
}

fn unexpected(expected: &str, found: String) -> Error {
    Error::Model {
        place: "model".to_string(),
        what: "output".to_string(),
        expected: expected.to_string(),
        found,
    }
}
