//! Making checkpoints, and going on from one.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use topedge_autograd::{Mode, Tape, Tensor};

use super::checkpoint::{Checkpoint, Contents, ParameterState, Pass};
use super::events::{Cancel, Flow};
use super::panics::caught;
use super::settings::{Settings, compare, settings};
use super::{Learner, State};
use crate::error::{Error, Result};
use crate::module::for_each_parameter_mut;
use crate::optim::Hyper;
use crate::state_dict::{load_state_dict, state_dict};

/// When and where a fit writes checkpoints. Each takes the place of the one before, once it is whole and
/// on the disk.
#[derive(Clone, Debug, Default)]
pub struct Checkpoints {
    /// The file.
    pub path: PathBuf,
    /// How often; by default only when it is to stop.
    pub every: Option<Every>,
    /// Once it is true, the fit writes a checkpoint after the batch that runs, and ends with
    /// [`Error::Stopped`].
    pub stop: Arc<AtomicBool>,
    /// What the file says besides; nothing by default.
    pub metadata: BTreeMap<String, String>,
}

/// How often a checkpoint is written. As text, `100` is a number of batches, and `2epochs` of epochs.
///
/// ```
/// use topedge_nn::Every;
///
/// assert_eq!("100".parse(), Ok(Every::Batches(100)));
/// assert_eq!("1epoch".parse(), Ok(Every::Epochs(1)));
/// assert_eq!(Every::Epochs(2).to_string(), "2epochs");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Every {
    /// After so many training batches, at least 1.
    Batches(usize),
    /// After so many epochs, at least 1.
    Epochs(usize),
}

impl FromStr for Every {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let epochs = text.strip_suffix("epochs").or(text.strip_suffix("epoch"));
        let number = epochs.unwrap_or(text).trim_end().parse().ok().filter(|&n| n > 0);
        let number =
            number.ok_or("expected a number of batches, as in 100, or of epochs, as in 1epoch");
        Ok(if epochs.is_some() { Every::Epochs(number?) } else { Every::Batches(number?) })
    }
}

impl fmt::Display for Every {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Every::Batches(n) => write!(f, "{n}"),
            Every::Epochs(1) => f.write_str("1epoch"),
            Every::Epochs(n) => write!(f, "{n}epochs"),
        }
    }
}

/// What a learner knows of checkpoints.
#[derive(Default)]
pub(super) struct Saving {
    checkpoints: Option<Checkpoints>,
    /// Where the next fit goes on from.
    from: Option<Checkpoint>,
    /// Those of the fit that runs.
    settings: Settings,
    /// The pass that the fit goes on in, until it has got there.
    pub(super) entry: Option<Pass>,
}

impl Saving {
    /// Whether a stage is entered that had begun when the checkpoint was made.
    pub(super) fn had_begun(&self, stage: Cancel) -> bool {
        match self.entry {
            Some(Pass::Train) => matches!(stage, Cancel::Epoch | Cancel::Train),
            Some(Pass::Validate) => matches!(stage, Cancel::Epoch | Cancel::Validate),
            Some(Pass::None) | None => false,
        }
    }
}

/// Checkpoints.
impl Learner {
    /// With checkpoints: each fit from here on writes them.
    ///
    /// # Errors
    ///
    /// The fit's, when one cannot be written, or a callback or metric does not say
    /// [what of it is to be saved](crate::Callback::saved_state).
    #[must_use]
    pub fn checkpoints(mut self, checkpoints: Checkpoints) -> Self {
        self.saving.checkpoints = Some(checkpoints);
        self
    }

    /// Lets the next fit go on from `checkpoint`. It has to be the same fit, by a learner that was built
    /// alike: same network, data, loss, optimiser, metrics, callbacks and schedules, on the same
    /// instruction set. From there on all is, bit for bit, as if the first had not ended.
    ///
    /// # Errors
    ///
    /// The fit's, when something differs: it says what.
    ///
    /// ```
    /// # use rand::SeedableRng;
    /// # use topedge_data::digits::{self, Digits};
    /// # use topedge_data::{DataLoaders, LoadersConfig};
    /// # use topedge_nn::losses::CrossEntropy;
    /// # use topedge_nn::{Learner, Net, NetConfig, state_dict};
    /// use topedge_nn::{Checkpoint, Checkpoints, Every};
    ///
    /// # let splits = digits::generate(&Digits { train: 256, valid: 64, ..Default::default() })?;
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let path = dir.path().join("checkpoint");
    /// let build = || -> topedge_nn::Result<Learner> {
    ///     let data = DataLoaders::new(&splits, &LoadersConfig::default())?;
    ///     let mut rng = rand_pcg::Pcg64::seed_from_u64(42);
    ///     let model = Net::SimpleCnn.build(&NetConfig::default(), &mut rng)?;
    ///     Ok(Learner::new(data, model, CrossEntropy::default()))
    /// };
    /// // Every 3 of the 8 batches: the last checkpoint is that after 6.
    /// let every = Some(Every::Batches(3));
    /// let checkpoints = Checkpoints { path: path.clone(), every, ..Default::default() };
    /// let mut learner = build()?.checkpoints(checkpoints);
    /// learner.fit_one_cycle(2, 0.06)?;
    ///
    /// let mut again = build()?;
    /// again.resume(Checkpoint::load(&path)?);
    /// again.fit_one_cycle(2, 0.06)?;
    /// assert_eq!(again.state.step, 8);
    /// assert_eq!(state_dict(&*again.state.model), state_dict(&*learner.state.model));
    /// # Ok::<(), topedge_nn::Error>(())
    /// ```
    pub fn resume(&mut self, checkpoint: Checkpoint) {
        self.saving.from = Some(checkpoint);
    }

    /// Before any event of a fit: goes to where it is to go on.
    pub(super) fn begin(&mut self) -> Result<()> {
        self.saving.entry = None;
        let from = self.saving.from.take();
        if self.saving.checkpoints.is_none() && from.is_none() {
            return Ok(());
        }
        self.saving.settings = settings(&self.state, &self.callbacks);
        // One that cannot be saved is better refused now than after hours.
        self.saved_metrics()?;
        self.saved_callbacks()?;
        if let Some(from) = from {
            compare(&from.contents.settings, &self.saving.settings)?;
            self.restore(from.contents)?;
        }
        Ok(())
    }

    /// After each batch and each epoch: writes a checkpoint if one is due.
    pub(super) fn save_if_due(&mut self, pass: Pass) -> Flow {
        let Some(checkpoints) = &self.saving.checkpoints else { return Ok(()) };
        let state = &self.state;
        let due = match (checkpoints.every, pass) {
            (Some(Every::Batches(n)), Pass::Train) => state.step.is_multiple_of(n),
            (Some(Every::Epochs(n)), Pass::None) => (state.epoch + 1).is_multiple_of(n),
            _ => false,
        };
        let stop = checkpoints.stop.load(Ordering::Relaxed);
        if due || stop {
            let metadata = checkpoints.metadata.clone();
            let path = checkpoints.path.clone();
            let checkpoint = Checkpoint { metadata, contents: self.contents(pass)? };
            checkpoint.save(&path)?;
            if stop {
                let (epoch, step) = (checkpoint.epoch(), checkpoint.step());
                return Err(Error::Stopped { epoch, step, path }.into());
            }
        }
        Ok(())
    }

    /// All that there is to save.
    fn contents(&mut self, pass: Pass) -> Result<Contents> {
        let (metrics, callbacks) = (self.saved_metrics()?, self.saved_callbacks()?);
        let state = &mut self.state;
        let mut parameters = vec![];
        for_each_parameter_mut(&mut *state.model, |parameter| {
            parameters.push(ParameterState {
                trainable: parameter.is_trainable(),
                lr_scale: parameter.lr_scale,
                gradient: parameter.value.grad().map(|gradient| gradient.to_vec()),
            });
            Ok(())
        })?;
        let hyper = |hyper| state.optimizer.hyper(hyper).map(|value| (hyper, value));
        let between = pass == Pass::None;
        Ok(Contents {
            settings: self.saving.settings.clone(),
            epoch: state.epoch + usize::from(between),
            pass,
            batch: if between { 0 } else { state.batch },
            step: state.step,
            passes: state.passes,
            rng: state.context.rng.clone(),
            smoothed_loss: state.smoothed_loss,
            row: state.row.clone(),
            model: state_dict(&*state.model),
            parameters,
            optimizer: state.optimizer.state_dict(),
            hypers: Hyper::ALL.into_iter().filter_map(hyper).collect(),
            metrics,
            callbacks,
        })
    }

    /// Puts everything back.
    fn restore(&mut self, contents: Contents) -> Result<()> {
        let Learner { state, callbacks, saving, .. } = self;
        let Contents { metrics, callbacks: saved, .. } = &contents;
        if metrics.len() != state.metrics.len() || saved.len() != callbacks.len() {
            let expected = "a saved state for each metric and callback";
            return Err(Error::unexpected("checkpoint", expected, "more or fewer"));
        }
        check_place(state, &contents)?;
        for (metric, bytes) in state.metrics.iter_mut().zip(metrics) {
            let owner = format!("metric {}", metric.name());
            caught(|| owner.clone(), || metric.saved_state().load(&owner, bytes))?;
        }
        for (callback, bytes) in callbacks.iter_mut().zip(saved) {
            let owner = format!("callback {}", callback.name());
            caught(|| owner.clone(), || callback.saved_state().load(&owner, bytes))?;
        }
        load_state_dict(&mut *state.model, &contents.model)?;
        restore_parameters(state, &contents.parameters)?;
        state.optimizer.load_state_dict(&contents.optimizer)?;
        for &(hyper, value) in &contents.hypers {
            state.optimizer.set_hyper(hyper, value)?;
        }
        state.context.rng = contents.rng;
        (state.smoothed_loss, state.row) = (contents.smoothed_loss, contents.row);
        (state.epoch, state.batch) = (contents.epoch, contents.batch);
        (state.step, state.passes) = (contents.step, contents.passes);
        let validating = contents.pass == Pass::Validate;
        state.context.mode = if validating { Mode::Eval } else { Mode::Train };
        saving.entry = Some(contents.pass);
        Ok(())
    }

    fn saved_metrics(&mut self) -> Result<Vec<Vec<u8>>> {
        let metrics = self.state.metrics.iter_mut();
        let saved = metrics.map(|metric| {
            let owner = format!("metric {}", metric.name());
            let size = size_of_val(&**metric);
            caught(|| owner.clone(), || metric.saved_state().to_bytes(&owner, size))
        });
        saved.collect()
    }

    fn saved_callbacks(&mut self) -> Result<Vec<Vec<u8>>> {
        let callbacks = self.callbacks.iter_mut();
        let saved = callbacks.map(|callback| {
            let owner = format!("callback {}", callback.name());
            let size = size_of_val(&**callback);
            caught(|| owner.clone(), || callback.saved_state().to_bytes(&owner, size))
        });
        saved.collect()
    }
}

/// Refuses a place that no fit like this one gets to.
fn check_place(state: &State, contents: &Contents) -> Result<()> {
    let batches = match contents.pass {
        Pass::None => 0,
        Pass::Train => state.data.train.batches(),
        Pass::Validate => state.data.valid.batches(),
    };
    let begun = u64::from(contents.pass == Pass::Train);
    let reached = contents.epoch <= state.epochs
        && contents.batch <= batches
        && contents.step <= state.steps
        && contents.passes >= begun
        && contents.passes.checked_add(state.epochs as u64).is_some();
    if reached {
        return Ok(());
    }
    let Contents { epoch, batch, step, passes, .. } = contents;
    let found = format!("epoch {epoch}, batch {batch}, step {step}, pass {passes}");
    Err(Error::unexpected("checkpoint", "a place in the fit", found))
}

/// What is not among the values of the network's state.
fn restore_parameters(state: &mut State, saved: &[ParameterState]) -> Result<()> {
    let mut saved = saved.iter();
    for_each_parameter_mut(&mut *state.model, |parameter| {
        let Some(saved) = saved.next() else {
            let expected = "as many parameters as the network has";
            return Err(Error::unexpected("checkpoint", expected, "fewer"));
        };
        parameter.lr_scale = saved.lr_scale;
        if saved.trainable {
            parameter.unfreeze()
        } else {
            parameter.freeze()
        }
        parameter.value.zero_grad();
        if let Some(gradient) = &saved.gradient {
            let gradient = Tensor::new(gradient.clone(), parameter.value.shape())?;
            // A backward pass that ends at once.
            Tape::new().backward_with(&parameter.value, &gradient)?;
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_often() {
        for every in [Every::Batches(1), Every::Batches(250), Every::Epochs(1), Every::Epochs(3)] {
            assert_eq!(every.to_string().parse(), Ok(every));
        }
        for wrong in ["", "0", "0epochs", "epoch", "-1", "1.5", "1 epoch more", "2batches"] {
            assert!(wrong.parse::<Every>().is_err(), "{wrong}");
        }
    }
}
