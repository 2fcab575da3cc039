//! Smaller steps when nothing gets better.

use std::any::TypeId;

use serde::{Deserialize, Serialize};

use super::monitor::Best;
use super::{Monitor, Recorder};
use crate::learner::{Callback, Flow, State};
use crate::optim::Hyper;
use crate::saved_state::SavedState;
use crate::schedule::Schedule;

/// Divides the learning rate by `factor` for the rest of the fit, each time that the monitored number
/// has not improved for `patience` epochs. Of a schedule, all that is left is divided.
///
/// ```
/// use topedge_nn::callbacks::ReduceLrOnPlateau;
///
/// let mut reduce = ReduceLrOnPlateau::default();
/// reduce.factor = 2.0;
/// reduce.min_lr = 1e-4;
/// ```
#[derive(Clone, Debug)]
pub struct ReduceLrOnPlateau {
    /// What has to improve.
    pub monitor: Monitor,
    /// The epochs without improvement after which the rate falls. 1 by default.
    pub patience: usize,
    /// What the rate is divided by. 10 by default.
    pub factor: f64,
    /// The rate that it does not fall below. 0 by default.
    pub min_lr: f64,
    progress: Progress,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Progress {
    best: Best,
    /// How many times the rate has fallen.
    falls: usize,
}

impl Default for ReduceLrOnPlateau {
    fn default() -> Self {
        ReduceLrOnPlateau {
            monitor: Monitor::default(),
            patience: 1,
            factor: 10.0,
            min_lr: 0.0,
            progress: Progress::default(),
        }
    }
}

impl Callback for ReduceLrOnPlateau {
    fn name(&self) -> &'static str {
        "reduce_lr_on_plateau"
    }

    fn config(&self) -> String {
        let ReduceLrOnPlateau { monitor, patience, factor, min_lr, .. } = self;
        format!("{monitor:?}, patience={patience}, factor={factor}, min_lr={min_lr}")
    }

    fn saved_state(&mut self) -> SavedState<'_> {
        SavedState::of(&mut self.progress)
    }

    fn run_after(&self) -> Vec<TypeId> {
        vec![TypeId::of::<Recorder>()]
    }

    fn before_fit(&mut self, _: &mut State) -> Flow {
        self.progress = Progress::default();
        Ok(())
    }

    fn after_resume(&mut self, state: &mut State) -> Flow {
        // The schedule is that of the start, while a rate that has none has come back as it was.
        for _ in 0..self.progress.falls {
            self.lower_schedule(state);
        }
        Ok(())
    }

    fn after_epoch(&mut self, state: &mut State) -> Flow {
        let Progress { best, falls } = &mut self.progress;
        if best.update(&self.monitor, state)? || best.waited < self.patience {
            return Ok(());
        }
        best.waited = 0;
        *falls += 1;
        if !self.lower_schedule(state)
            && let Some(lr) = state.optimizer.hyper(Hyper::Lr)
        {
            state.optimizer.set_hyper(Hyper::Lr, (lr / self.factor).max(self.min_lr))?;
        }
        Ok(())
    }
}

impl ReduceLrOnPlateau {
    /// Divides what the schedule of the learning rate gives, if there is one.
    fn lower_schedule(&self, state: &mut State) -> bool {
        let (factor, min_lr) = (self.factor, self.min_lr);
        let scheduled = state.schedules.iter_mut().find(|(hyper, _)| *hyper == Hyper::Lr);
        let Some((_, schedule)) = scheduled else { return false };
        let before = std::mem::replace(schedule, Schedule::flat(min_lr));
        *schedule = Schedule::new(move |at| (before.at(at) / factor).max(min_lr));
        true
    }
}
