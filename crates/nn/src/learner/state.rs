//! What callbacks see of a fit.

use serde::{Deserialize, Serialize};
use topedge_autograd::{Mode, Tensor};
use topedge_data::{Batch, DataLoaders};

use crate::context::Context;
use crate::error::Result;
use crate::losses::Loss;
use crate::metrics::Metric;
use crate::module::Module;
use crate::optim::{Hyper, Optimizer};
use crate::schedule::Schedule;

/// Everything that a fit works on. Callbacks may change it.
#[non_exhaustive]
pub struct State {
    /// The network.
    pub model: Box<dyn Module>,
    /// What changes its parameters.
    pub optimizer: Box<dyn Optimizer>,
    /// What is minimised.
    pub loss_fn: Box<dyn Loss>,
    /// What is measured in validation.
    pub metrics: Vec<Box<dyn Metric>>,
    /// Training and validation data.
    pub data: DataLoaders,
    /// Mode, random numbers and observers of the forward passes.
    pub context: Context<'static>,
    /// The hyperparameters over this fit.
    pub schedules: Vec<(Hyper, Schedule)>,

    /// The parameter groups: the number of the first parameter of each, in the order of
    /// [`parameters`](crate::parameters).
    pub(crate) groups: Vec<usize>,

    /// The number of epochs of this fit.
    pub epochs: usize,
    /// The epoch, from 0.
    pub epoch: usize,
    /// The number of training batches of this fit.
    pub steps: usize,
    /// The training batches of this fit that are done.
    pub step: usize,
    /// The number of batches of this pass.
    pub batches: usize,
    /// The batches of this pass that are done.
    pub batch: usize,
    /// The training passes begun in all fits: the order of the data depends on it.
    pub passes: u64,

    /// The images of the batch, `[n, channels, height, width]`. Who goes through the values as they lie in memory
    /// heeds [`Tensor::parts`]: the strides are those of a part.
    pub input: Tensor,
    /// The labels of the batch.
    pub labels: Vec<u32>,
    /// The place of each image in the data set.
    pub indices: Vec<usize>,
    /// What the network says of the batch, `[n, classes]`.
    pub prediction: Option<Tensor>,
    /// The loss of the batch, one value.
    pub loss: Option<Tensor>,

    /// The smoothed training loss, kept by the [`Recorder`](crate::callbacks::Recorder).
    pub smoothed_loss: Option<f64>,
    /// The last epoch that is done, made by the [`Recorder`](crate::callbacks::Recorder).
    pub row: Option<EpochRow>,
}

impl State {
    /// Whether this is a training pass, or else validation.
    pub fn is_training(&self) -> bool {
        self.context.mode == Mode::Train
    }

    /// The loss of the batch as a number, if it has been computed.
    ///
    /// # Errors
    ///
    /// When it is not one number.
    pub fn loss_value(&self) -> Result<Option<f32>> {
        Ok(self.loss.as_ref().map(Tensor::item).transpose()?)
    }

    pub(super) fn put_batch(&mut self, batch: Batch) -> Result<()> {
        let Batch { values, shape, strides, parts, labels, indices } = batch;
        self.input = Tensor::from_parts(values, &shape, &strides, parts)?;
        self.labels = labels;
        self.indices = indices;
        self.prediction = None;
        self.loss = None;
        Ok(())
    }

    /// The batch for the loader to fill again, unless somebody still holds on to its values.
    pub(super) fn take_batch(&mut self) -> Option<Batch> {
        self.prediction = None;
        Some(Batch {
            values: std::mem::replace(&mut self.input, Tensor::scalar(0.0)).reclaim()?,
            labels: std::mem::take(&mut self.labels),
            indices: std::mem::take(&mut self.indices),
            ..Default::default()
        })
    }
}

/// What an epoch came to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpochRow {
    /// The epoch, from 0.
    pub epoch: usize,
    /// The smoothed training loss at its end; `None` before the first batch.
    pub train_loss: Option<f64>,
    /// The mean loss over the validation set; `None` without validation.
    pub valid_loss: Option<f64>,
    /// Each metric over the validation set, by name.
    pub metrics: Vec<(String, Option<f64>)>,
    /// What the epoch took, in seconds.
    pub seconds: f64,
    /// What its training pass took, in seconds.
    pub train_seconds: f64,
}

impl EpochRow {
    /// The value of the metric called `name`.
    pub fn metric(&self, name: &str) -> Option<f64> {
        let found = self.metrics.iter().find(|(known, _)| *known == name);
        found.and_then(|(_, value)| *value)
    }
}
