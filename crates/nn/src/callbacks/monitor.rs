//! Watching a number from epoch to epoch.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::learner::State;

/// What is watched after each epoch. By default the validation loss, of which any improvement
/// counts.
#[derive(Clone, Debug, PartialEq)]
pub struct Monitor {
    /// `train_loss`, `valid_loss`, or the name of a metric. Of what has `loss` or `error` in its
    /// name less is better, of all else more.
    pub name: String,
    /// How much better than the best before it has to be.
    pub min_delta: f64,
}

impl Default for Monitor {
    fn default() -> Self {
        Monitor::of("valid_loss")
    }
}

impl Monitor {
    /// Watches `name`.
    pub fn of(name: impl Into<String>) -> Self {
        Monitor { name: name.into(), min_delta: 0.0 }
    }

    /// Its value in the last epoch; `None` if that was cancelled before it was known.
    fn value(&self, state: &State) -> Result<Option<f64>> {
        let Some(row) = &state.row else {
            return Ok(None);
        };
        match &*self.name {
            "train_loss" => Ok(row.train_loss),
            "valid_loss" => Ok(row.valid_loss),
            name => {
                row.metrics.iter().find(|(known, _)| *known == name).map(|(_, v)| *v).ok_or_else(
                    || {
                        let metrics = row.metrics.iter().map(|(name, _)| &**name);
                        let names: Vec<_> =
                            ["train_loss", "valid_loss"].into_iter().chain(metrics).collect();
                        Error::setting("monitor", name, format!("one of {}", names.join(", ")))
                    },
                )
            }
        }
    }
}

/// The best value so far, and how long ago it was.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Best {
    value: Option<f64>,
    /// Epochs since then.
    pub(super) waited: usize,
}

impl Best {
    /// Takes note of the last epoch; whether it is the best.
    pub(super) fn update(&mut self, monitor: &Monitor, state: &State) -> Result<bool> {
        let value = monitor.value(state)?;
        let less = monitor.name.contains("loss") || monitor.name.contains("error");
        let sign = if less { 1.0 } else { -1.0 };
        // Comparisons that are false for NaN.
        let better = value.is_some_and(|value| match self.value {
            None => sign * value < f64::INFINITY,
            Some(best) => sign * value + monitor.min_delta < sign * best,
        });
        if better {
            *self = Best { value, waited: 0 };
        } else {
            self.waited += 1;
        }
        Ok(better)
    }
}
