//! Stops when nothing gets better.

use std::any::TypeId;

use super::monitor::Best;
use super::{CsvLogger, Monitor, Progress, Recorder, ReduceLrOnPlateau, SaveModel};
use crate::learner::{Callback, Cancel, Flow, State};
use crate::saved_state::SavedState;

/// Ends the fit when the monitored number has not improved for `patience` epochs.
///
/// ```
/// use topedge_nn::callbacks::{EarlyStopping, Monitor};
///
/// let mut stopping = EarlyStopping::default();
/// stopping.monitor = Monitor::of("accuracy");
/// stopping.patience = 3;
/// ```
#[derive(Clone, Debug)]
pub struct EarlyStopping {
    /// What has to improve.
    pub monitor: Monitor,
    /// The epochs without improvement after which training ends. 1 by default.
    pub patience: usize,
    best: Best,
}

impl Default for EarlyStopping {
    fn default() -> Self {
        EarlyStopping { monitor: Monitor::default(), patience: 1, best: Best::default() }
    }
}

impl Callback for EarlyStopping {
    fn name(&self) -> &'static str {
        "early_stopping"
    }

    fn config(&self) -> String {
        format!("{:?}, patience={}", self.monitor, self.patience)
    }

    fn saved_state(&mut self) -> SavedState<'_> {
        SavedState::of(&mut self.best)
    }

    fn run_after(&self) -> Vec<TypeId> {
        // Whoever comes after it does not see the last epoch.
        vec![
            TypeId::of::<Recorder>(),
            TypeId::of::<CsvLogger>(),
            TypeId::of::<Progress>(),
            TypeId::of::<SaveModel>(),
            TypeId::of::<ReduceLrOnPlateau>(),
        ]
    }

    fn before_fit(&mut self, _: &mut State) -> Flow {
        self.best = Best::default();
        Ok(())
    }

    fn after_epoch(&mut self, state: &mut State) -> Flow {
        if !self.best.update(&self.monitor, state)? && self.best.waited >= self.patience {
            return Err(Cancel::Fit.into());
        }
        Ok(())
    }
}
