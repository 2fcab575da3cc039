//! Stops where numbers stop being numbers.

use rand_pcg::Pcg64;
use topedge_autograd::{Tensor, no_grad};

use crate::context::{Context, Observed, Observer};
use crate::error::{Error, Result};
use crate::learner::{Callback, Flow, State};
use crate::module::{Item, describe};
use crate::saved_state::SavedState;

/// Ends training at the first loss that is NaN or infinite, with an error that names the epoch,
/// the step, and the first layer whose output is not finite. To find that layer, the batch is run
/// once more.
#[derive(Clone, Debug, Default)]
pub struct NanGuard {
    /// The random numbers as the batch found them.
    rng: Option<Pcg64>,
}

impl Callback for NanGuard {
    fn name(&self) -> &'static str {
        "nan_guard"
    }

    fn saved_state(&mut self) -> SavedState<'_> {
        SavedState::nothing()
    }

    fn before_batch(&mut self, state: &mut State) -> Flow {
        self.rng = Some(state.context.rng.clone());
        Ok(())
    }

    fn after_loss(&mut self, state: &mut State) -> Flow {
        match state.loss_value()? {
            Some(loss) if !loss.is_finite() => Err(Error::NonFinite {
                epoch: state.epoch,
                step: state.step,
                pass: if state.is_training() { "training" } else { "validation" },
                loss,
                place: self.first_place(state)?,
            }
            .into()),
            _ => Ok(()),
        }
    }
}

impl NanGuard {
    fn first_place(&self, state: &mut State) -> Result<String> {
        if !is_finite(&state.input) {
            return Ok("the input".to_string());
        }
        let mut place = None;
        let mut cx = Context::eval();
        cx.mode = state.context.mode;
        cx.rng = self.rng.clone().unwrap_or(cx.rng);
        cx.observers.push(Observer::all(|layer| {
            if place.is_none() && !is_finite(layer.output) {
                place = Some(describe_layer(layer));
            }
        }));
        no_grad(|| state.model.forward(&state.input, &mut cx))?;
        drop(cx);
        Ok(place.unwrap_or_else(|| "the loss, all layers are finite".to_string()))
    }
}

fn describe_layer(layer: &Observed<'_>) -> String {
    let mut text = format!("layer {}, {}", layer.path, describe(layer.module));
    layer.module.visit(&mut |name, item| {
        if let Item::Parameter(parameter) = item
            && !is_finite(&parameter.value)
        {
            text += &format!(", whose {name} is not finite");
        }
    });
    text
}

fn is_finite(x: &Tensor) -> bool {
    x.to_vec().iter().all(|value| value.is_finite())
}
