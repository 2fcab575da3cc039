//! No step is too large.

use std::any::TypeId;

use topedge_autograd::{Tape, Tensor};

use super::GradientAccumulation;
use crate::error::Error;
use crate::learner::{Callback, Flow, State};
use crate::module::for_each_parameter_mut;
use crate::saved_state::SavedState;

/// Scales all gradients down before a step so that their norm, taken over all parameters together, is
/// at most `max_norm`: `g *= min(1, max_norm / (norm + 1e-6))`, as PyTorch's `clip_grad_norm_`.
///
/// ```
/// use topedge_nn::callbacks::GradientClip;
///
/// let clip = GradientClip { max_norm: 0.5 };
/// assert_eq!(GradientClip::default().max_norm, 1.0);
/// # let _ = clip;
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GradientClip {
    /// The largest norm that passes. 1 by default.
    pub max_norm: f64,
}

impl Default for GradientClip {
    fn default() -> Self {
        GradientClip { max_norm: 1.0 }
    }
}

impl Callback for GradientClip {
    fn name(&self) -> &'static str {
        "gradient_clip"
    }

    fn config(&self) -> String {
        format!("max_norm={}", self.max_norm)
    }

    fn saved_state(&mut self) -> SavedState<'_> {
        SavedState::nothing()
    }

    fn changes_steps(&self) -> bool {
        true
    }

    fn run_after(&self) -> Vec<TypeId> {
        vec![TypeId::of::<GradientAccumulation>()]
    }

    fn before_fit(&mut self, _: &mut State) -> Flow {
        if self.max_norm.is_finite() && self.max_norm > 0.0 {
            return Ok(());
        }
        let expected = "a finite number above 0";
        Err(Error::setting("gradient clipping: max_norm", self.max_norm, expected).into())
    }

    fn before_step(&mut self, state: &mut State) -> Flow {
        let mut squares = 0.0;
        for_each_parameter_mut(&mut *state.model, |parameter| {
            if let Some(gradient) = parameter.value.grad() {
                let values = gradient.dense_slice()?;
                squares += values.iter().map(|&g| f64::from(g).powi(2)).sum::<f64>();
            }
            Ok(())
        })?;
        let scale = self.max_norm / (squares.sqrt() + 1e-6);
        if scale >= 1.0 {
            return Ok(());
        }
        for_each_parameter_mut(&mut *state.model, |parameter| {
            if let Some(gradient) = parameter.value.take_grad() {
                put_gradient(&parameter.value, &gradient.mul_scalar(scale as f32))?;
            }
            Ok(())
        })?;
        Ok(())
    }
}

/// Adds to the gradient of a leaf, as a backward pass that ends at once.
fn put_gradient(leaf: &Tensor, gradient: &Tensor) -> topedge_autograd::Result<()> {
    Tape::new().backward_with(leaf, gradient)
}
