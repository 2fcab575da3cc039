//! What a training run's record says, in words.

mod activations;
mod losses;
#[cfg(test)]
mod tests;

use std::fmt;

use serde::Serialize;

use crate::callbacks::{ActivationStats, LayerStats, Recorder};
use crate::learner::{EpochRow, Learner};
use crate::module::{Item, Module};
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
    /// The loss is what it would be without any learning.
    NeverMoved,
    /// The network knows the training images much better than all others.
    Overfitting,
    /// Before training: a convolutional network ends with a grid of several positions.
    FlattenedGrid,
    /// Before training: a learning rate far from all usual ones.
    OddRate,
    /// Before training: all training images are the same.
    EqualImages,
}

impl FindingKind {
    /// Whether what looks like it in the middle of a run may still be made good: low rates at the start learn
    /// little, and high ones in the middle let the validation loss rise for a while.
    pub(crate) fn needs_the_whole_run(self) -> bool {
        matches!(self, FindingKind::NeverMoved | FindingKind::Overfitting)
    }
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
    /// Whether the network is known to be without batch norm, which is then advised where it helps.
    pub lacks_batch_norm: bool,
}

/// Training batches from which on a record without findings says that nothing goes wrong: before, all of
/// it may still come.
pub const ENOUGH_BATCHES: usize = 20;

/// What goes wrong in a training run; nothing in one that is well, or has too few batches to tell (see
/// [`ENOUGH_BATCHES`]). The worst comes first, but before it a rate that was too high for the start, from
/// which the rest came.
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
    let mut cause = losses::rate_too_high(evidence);
    let broken = [
        activations::exploding(evidence),
        activations::dead(evidence),
        activations::collapse(evidence),
    ];
    let was_broken = broken.iter().any(Option::is_some);
    let found = broken
        .into_iter()
        .chain([losses::never_moved(evidence, was_broken), losses::overfitting(evidence)]);
    let mut findings: Vec<Finding> = found.flatten().collect();
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    if let (Some(cause), Some(worst)) = (&mut cause, findings.first()) {
        cause.severity = worst.severity;
    }
    cause.into_iter().chain(findings).collect()
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
            lacks_batch_norm: !has_batch_norm(&*self.state.model),
        })
    }
}

fn has_batch_norm(module: &dyn Module) -> bool {
    let mut found = module.kind().starts_with("BatchNorm");
    module.visit(&mut |_, item| {
        if let Item::Module(child) = item {
            found |= has_batch_norm(child);
        }
    });
    found
}

/// The mean of some values; NaN of none.
fn mean(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let n = values.len() as f64;
    values.sum::<f64>() / n
}

/// What to try against steps that are too large, of what is not there already.
fn smaller_steps(evidence: &Evidence<'_>) -> String {
    let highest = evidence.lrs.iter().copied().fold(0.0, f64::max);
    let rate = if highest > 0.0 {
        format!(" ({} at its highest)", short_number(highest))
    } else {
        String::new()
    };
    let warmed_up = evidence.lrs.first().is_some_and(|first| 2.0 * first < highest);
    let mut ways = vec![format!("lower the rate{rate}")];
    if !warmed_up {
        ways.push("warm up (1cycle does)".to_string());
    }
    if evidence.lacks_batch_norm {
        ways.push("add batch norm".to_string());
    }
    ways.join(", or ")
}

/// A number in three digits, as a person would write it.
///
/// ```
/// let texts = [0.06, 2.345, 104.4, 1.04e32].map(topedge_nn::short_number);
/// assert_eq!(texts, ["0.06", "2.35", "104", "1.04e32"]);
/// ```
pub fn short_number(x: f64) -> String {
    if !x.is_finite() || x == 0.0 {
        return x.to_string();
    }
    let trimmed = |text: &str| match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_string(),
        false => text.to_string(),
    };
    let power = x.abs().log10().floor();
    if (-4.0..5.0).contains(&power) {
        return trimmed(&format!("{x:.*}", (2.0 - power).max(0.0) as usize));
    }
    let text = format!("{x:.2e}");
    let (digits, power) = text.split_once('e').unwrap_or((&text, "0"));
    format!("{}e{power}", trimmed(digits))
}
