//! Smaller steps when nothing gets better.

use std::any::TypeId;

use super::monitor::Best;
use super::{Monitor, Recorder};
use crate::learner::{Callback, Flow, State};
use crate::optim::Hyper;
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
    best: Best,
}

impl Default for ReduceLrOnPlateau {
    fn default() -> Self {
        ReduceLrOnPlateau {
            monitor: Monitor::default(),
            patience: 1,
            factor: 10.0,
            min_lr: 0.0,
            best: Best::default(),
        }
    }
}

impl Callback for ReduceLrOnPlateau {
    fn name(&self) -> &'static str {
        "reduce_lr_on_plateau"
    }

    fn run_after(&self) -> Vec<TypeId> {
        vec![TypeId::of::<Recorder>()]
    }

    fn before_fit(&mut self, _: &mut State) -> Flow {
        self.best = Best::default();
        Ok(())
    }

    fn after_epoch(&mut self, state: &mut State) -> Flow {
        if self.best.update(&self.monitor, state)? || self.best.waited < self.patience {
            return Ok(());
        }
        self.best.waited = 0;
        let (factor, min_lr) = (self.factor, self.min_lr);
        match state.schedules.iter_mut().find(|(hyper, _)| *hyper == Hyper::Lr) {
            Some((_, schedule)) => {
                let before = std::mem::replace(schedule, Schedule::flat(min_lr));
                *schedule = Schedule::new(move |at| (before.at(at) / factor).max(min_lr));
            }
            None => {
                if let Some(lr) = state.optimizer.hyper(Hyper::Lr) {
                    state.optimizer.set_hyper(Hyper::Lr, (lr / factor).max(min_lr))?;
                }
            }
        }
        Ok(())
    }
}
