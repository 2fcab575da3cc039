//! Hyperparameters along their schedules.

use crate::learner::{Callback, Flow, State};
use crate::optim::Hyper;
use crate::saved_state::SavedState;

/// Sets each scheduled hyperparameter before each training step, to its value at position
/// `step / steps` of the fit: the last step is not at the very end. After a fit that
/// ends without an error, all hyperparameters are what they were before it.
#[derive(Clone, Debug, Default)]
pub struct ParamScheduler {
    before: Vec<(Hyper, f64)>,
}

impl Callback for ParamScheduler {
    fn name(&self) -> &'static str {
        "param_scheduler"
    }

    fn saved_state(&mut self) -> SavedState<'_> {
        SavedState::of(&mut self.before)
    }

    fn before_fit(&mut self, state: &mut State) -> Flow {
        let hypers = state.schedules.iter().map(|(hyper, _)| *hyper);
        let value = |hyper| state.optimizer.hyper(hyper).map(|value| (hyper, value));
        self.before = hypers.filter_map(value).collect();
        Ok(())
    }

    fn before_batch(&mut self, state: &mut State) -> Flow {
        if state.is_training() {
            let position = state.step as f64 / state.steps as f64;
            for (hyper, schedule) in &state.schedules {
                state.optimizer.set_hyper(*hyper, schedule.at(position))?;
            }
        }
        Ok(())
    }

    fn after_fit(&mut self, state: &mut State) -> Flow {
        for (hyper, value) in self.before.drain(..) {
            state.optimizer.set_hyper(hyper, value)?;
        }
        Ok(())
    }
}
