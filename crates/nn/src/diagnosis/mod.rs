//! What a training run's record says, in words.

mod activations;
mod losses;
#[cfg(test)]
mod tests;

use std::fmt;

use serde::Serialize;

use crate::callbacks::{ActivationStats, LayerStats, Recorder};
use crate::learner::{EpochRow, Learner};
use crate::optim::Hyper;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The network learns, but could do better.
    Warning,
    /// The network does not learn, or not any more.
    Failure,
}

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FindingKind {
    /// Nearly all outputs of a layer are near zero or negative, and stay so.
    DeadLayer,
    /// A layer's outputs grow and shrink to a fraction, perhaps again and again.
    Collapse,
    /// A layer's outputs grow beyond all measure.
    Exploding,
    /// The loss rises in the first steps.
    RateTooHigh,
    /// The loss stands where it would without any learning.
    NeverMoved,
    /// The network gets better on the training images, and worse on all others.
    Overfitting,
    /// Before training: a convolutional network ends with a grid of several positions.
    FlattenedGrid,
    /// Before training: a learning rate far from all usual ones.
    OddRate,
}

/// Something that goes wrong, and what to try.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What it is.
    pub kind: FindingKind,
    /// The path of the layer where it shows first, as in `3.0`; of the whole network `None`.
    pub layer: Option<String>,
    /// The training batch, from 0, from which on it shows; `None` before training.
    pub batch: Option<usize>,
    /// What was found, in words.
    pub text: String,
    /// What to try.
    pub advice: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.text, self.advice)
    }
}

/// The record of a training run. What was not recorded is left empty, and says nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Evidence<'a> {
    /// The loss of each training batch.
    pub losses: &'a [f32],
    /// The learning rate of each training batch.
    pub lrs: &'a [f64],
    /// The epochs.
    pub rows: &'a [EpochRow],
    /// The statistics of the layers, from the first to the last, whose outputs are the scores.
    pub layers: &'a [LayerStats],
    /// The number of classes.
    pub classes: usize,
}

/// What goes wrong in a training run, the worst first; nothing in one that is well.
///
/// ```
/// use topedge_nn::{Evidence, FindingKind, diagnose};
///
/// // A hundred batches, and the loss still stands at ln 10.
/// let losses = [2.31, 2.30].repeat(50);
/// let findings = diagnose(&Evidence { losses: &losses, classes: 10, ..Default::default() });
/// assert_eq!(findings[0].kind, FindingKind::NeverMoved);
/// println!("{}", findings[0]);
/// ```
pub fn diagnose(evidence: &Evidence<'_>) -> Vec<Finding> {
    let found = [
        activations::exploding(evidence),
        losses::never_moved(evidence),
        activations::dead(evidence),
        activations::collapse(evidence),
        losses::rate_too_high(evidence),
        losses::overfitting(evidence),
    ];
    let mut findings: Vec<Finding> = found.into_iter().flatten().collect();
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    findings
}

impl Learner {
    /// [`diagnose`] of the last fit, from its [`Recorder`] and, if there is one, its
    /// [`ActivationStats`]; also of one that ended with an error.
    ///
    /// ```
    /// # use rand::SeedableRng;
    /// # use topedge_data::digits::{self, Digits};
    /// # use topedge_data::{DataLoaders, LoadersConfig};
    /// # use topedge_nn::losses::CrossEntropy;
    /// # use topedge_nn::{Learner, Net, NetConfig};
    /// # use topedge_nn::callbacks::ActivationStats;
    /// # let splits = digits::generate(&Digits { train: 256, valid: 64, ..Default::default() })?;
    /// # let data = DataLoaders::new(&splits, &LoadersConfig::default())?;
    /// # let mut rng = rand_pcg::Pcg64::seed_from_u64(42);
    /// # let model = Net::SimpleCnnBn.build(&NetConfig::default(), &mut rng)?;
    /// let mut learner = Learner::new(data, model, CrossEntropy::default())
    ///     .callback(ActivationStats::default());
    /// learner.fit_one_cycle(1, 0.01)?;
    /// for finding in learner.diagnose() {
    ///     println!("{finding}");
    /// }
    /// # Ok::<(), topedge_nn::Error>(())
    /// ```
    pub fn diagnose(&self) -> Vec<Finding> {
        let (no_record, no_stats) = (Recorder::default(), ActivationStats::default());
        let recorder = self.find::<Recorder>().unwrap_or(&no_record);
        let stats = self.find::<ActivationStats>().unwrap_or(&no_stats);
        diagnose(&Evidence {
            losses: &recorder.losses,
            lrs: recorder.hyper(Hyper::Lr),
            rows: &recorder.rows,
            layers: &stats.layers,
            classes: self.state.data.train.dataset().vocab().len(),
        })
    }
}

/// The mean of some values; NaN of none.
fn mean(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let n = values.len() as f64;
    values.sum::<f64>() / n
}

/// What to try against steps that are too large.
const SMALLER_STEPS: &str = "lower the rate, warm up (1cycle does), or add batch norm";
