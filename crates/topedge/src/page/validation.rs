//! What a network says of each image that it is measured on.

use topedge_autograd::{Tensor, no_grad};
use topedge_data::DataLoader;
use topedge_nn::{Context, Module};

use crate::error::{Error, Result};

/// What a network says of an image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Seen {
    /// The class that it is of.
    pub label: usize,
    /// The likeliest class.
    pub prediction: usize,
    /// Its probability.
    pub probability: f32,
    /// Minus the logarithm of the label's probability.
    pub loss: f32,
}

/// So many images are there to look into the network with.
const SAMPLES: usize = 6;

/// So many of them are those with the largest losses.
const WORST: usize = 2;

/// Runs a network on all images of a loader, in their order.
///
/// ```
/// use topedge::prelude::*;
///
/// let splits = digits::generate(&Digits { train: 512, valid: 100, ..Default::default() })?;
/// let data = DataLoaders::new(&splits, &LoadersConfig::default())?;
/// let mut model = Net::SimpleCnn.build(&NetConfig::default(), &mut Pcg64::seed_from_u64(42))?;
/// let seen = topedge::evaluate(&mut model, &data.valid)?;
/// let right = seen.iter().filter(|image| image.label == image.prediction).count();
/// println!("{right} of {} without any training", seen.len());
/// # Ok::<(), topedge::Error>(())
/// ```
///
/// # Errors
///
/// When the network does not put out a finite score for each class.
pub fn evaluate(model: &mut dyn Module, loader: &DataLoader) -> Result<Vec<Seen>> {
    no_grad(|| look(model, loader))
}

fn look(model: &mut dyn Module, loader: &DataLoader) -> Result<Vec<Seen>> {
    let classes = loader.dataset().vocab().len();
    let mut seen = Vec::with_capacity(loader.dataset().len());
    for batch in loader.epoch(0) {
        let batch = batch?;
        let x = Tensor::from_parts(batch.values, &batch.shape, &batch.strides, batch.parts)?;
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
