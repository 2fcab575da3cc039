//! Keeps what happened.

use serde::{Deserialize, Serialize};

use super::stopwatch::Stopwatch;
use crate::error::Result;
use crate::learner::{Callback, EpochRow, Flow, State};
use crate::optim::Hyper;
use crate::saved_state::SavedState;

/// Records the losses and hyperparameters of each training batch, and each epoch's row; from
/// anew in each fit. It keeps [`State::smoothed_loss`] and [`State::row`] for other callbacks.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Recorder {
    /// The loss of each training batch.
    pub losses: Vec<f32>,
    /// The smoothed loss after each training batch: exponentially weighted, beta .98, debiased.
    pub smoothed_losses: Vec<f64>,
    /// The optimiser's hyperparameters in each training batch.
    pub hypers: Vec<(Hyper, Vec<f64>)>,
    /// The epochs.
    pub rows: Vec<EpochRow>,
    smooth: Smooth,
    valid: Mean,
    times: Times,
}

/// `average = beta average + (1 - beta) loss`, divided by `1 - beta^count`: a start from 0 without
/// its bias.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Smooth {
    average: f64,
    count: i32,
}

impl Smooth {
    const BETA: f64 = 0.98;

    fn update(&mut self, loss: f64) -> f64 {
        self.average = Self::BETA * self.average + (1.0 - Self::BETA) * loss;
        self.count = self.count.saturating_add(1);
        self.average / (1.0 - Self::BETA.powi(self.count))
    }
}

/// A mean of batches weighted by their sizes.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Mean {
    sum: f64,
    count: usize,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Times {
    epoch: Stopwatch,
    train: Stopwatch,
    train_seconds: f64,
}

impl Callback for Recorder {
    fn name(&self) -> &'static str {
        "recorder"
    }

    fn saved_state(&mut self) -> SavedState<'_> {
        SavedState::of(self)
    }

    fn before_fit(&mut self, state: &mut State) -> Flow {
        let series = |hyper: Hyper| state.optimizer.hyper(hyper).map(|_| (hyper, vec![]));
        *self = Recorder {
            hypers: Hyper::ALL.into_iter().filter_map(series).collect(),
            ..Default::default()
        };
        state.smoothed_loss = None;
        state.row = None;
        Ok(())
    }

    fn before_epoch(&mut self, _: &mut State) -> Flow {
        self.times = Times { epoch: Stopwatch::start(), ..Default::default() };
        self.valid = Mean::default();
        Ok(())
    }

    fn before_train(&mut self, state: &mut State) -> Flow {
        // So that a step allocates nothing.
        let batches = state.data.train.batches();
        self.losses.reserve(batches);
        self.smoothed_losses.reserve(batches);
        self.hypers.iter_mut().for_each(|(_, values)| values.reserve(batches));
        self.times.train = Stopwatch::start();
        Ok(())
    }

    fn after_train(&mut self, _: &mut State) -> Flow {
        self.times.train_seconds = self.times.train.seconds();
        Ok(())
    }

    fn before_validate(&mut self, state: &mut State) -> Flow {
        state.metrics.iter_mut().for_each(|metric| metric.reset());
        Ok(())
    }

    fn after_batch(&mut self, state: &mut State) -> Flow {
        // A batch that was cancelled early has no loss.
        let Some(loss) = state.loss_value()? else {
            return Ok(());
        };
        if state.is_training() {
            self.record_training(state, loss);
        } else {
            self.record_validation(state, loss)?;
        }
        Ok(())
    }

    fn after_epoch(&mut self, state: &mut State) -> Flow {
        let validated = self.valid.count > 0;
        let metrics = state.metrics.iter();
        let row = EpochRow {
            epoch: state.epoch,
            train_loss: state.smoothed_loss,
            valid_loss: validated.then(|| self.valid.sum / self.valid.count as f64),
            metrics: metrics
                .map(|metric| (metric.name().to_string(), metric.value().filter(|_| validated)))
                .collect(),
            seconds: self.times.epoch.seconds(),
            train_seconds: self.times.train_seconds,
        };
        self.rows.push(row.clone());
        state.row = Some(row);
        Ok(())
    }
}

impl Recorder {
    /// The values of one hyperparameter, a value for each training batch; none if the optimiser has no
    /// such.
    pub fn hyper(&self, hyper: Hyper) -> &[f64] {
        let found = self.hypers.iter().find(|(known, _)| *known == hyper);
        found.map_or(&[], |(_, values)| values)
    }

    fn record_training(&mut self, state: &mut State, loss: f32) {
        let smoothed = self.smooth.update(f64::from(loss));
        state.smoothed_loss = Some(smoothed);
        self.losses.push(loss);
        self.smoothed_losses.push(smoothed);
        for (hyper, values) in &mut self.hypers {
            values.extend(state.optimizer.hyper(*hyper));
        }
    }

    fn record_validation(&mut self, state: &mut State, loss: f32) -> Result<()> {
        let n = state.labels.len();
        self.valid.sum += f64::from(loss) * n as f64;
        self.valid.count += n;
        if let Some(prediction) = &state.prediction {
            for metric in &mut state.metrics {
                metric.update(prediction, &state.labels)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// fastai's `AvgSmoothLoss` of the losses 1, 2, 4.
    #[test]
    fn smoothed_loss() {
        let mut smooth = Smooth::default();
        let values = [1.0, 2.0, 4.0].map(|loss| smooth.update(loss));
        // With weights .02 * (.98^2, .98, 1), divided by their sum.
        let expected = [
            1.0,
            (0.98 + 2.0) / 1.98,
            (0.98 * 0.98 + 2.0 * 0.98 + 4.0) / (0.98 * 0.98 + 0.98 + 1.0),
        ];
        for (value, expected) in values.into_iter().zip(expected) {
            assert!((value - expected).abs() < 1e-12, "{value} is not {expected}");
        }
    }
}
