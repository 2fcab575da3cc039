//! Steps on more images than fit into a batch.

use topedge_autograd::Tensor;

use crate::error::Error;
use crate::learner::{Callback, Cancel, Flow, State};
use crate::module::zero_grad;
use crate::saved_state::SavedState;

/// Sums gradients over batches until they have seen `images` images, and only then lets the optimiser
/// step. Each batch counts by its share of `images`, as in fastai, so that of as many images the
/// gradient is their mean. Gradients of a last, incomplete step are dropped with the fit.
///
/// ```
/// use topedge_nn::callbacks::GradientAccumulation;
///
/// // With batches of 64, a step every four batches.
/// let accumulation = GradientAccumulation::new(256);
/// # let _ = accumulation;
/// ```
#[derive(Clone, Debug)]
pub struct GradientAccumulation {
    images: usize,
    count: usize,
    /// The mean loss of the batch, while its share stands in its place.
    loss: Option<Tensor>,
}

impl GradientAccumulation {
    /// A step every `images` images.
    pub fn new(images: usize) -> Self {
        GradientAccumulation { images, count: 0, loss: None }
    }
}

impl Callback for GradientAccumulation {
    fn name(&self) -> &'static str {
        "gradient_accumulation"
    }

    fn config(&self) -> String {
        format!("images={}", self.images)
    }

    fn saved_state(&mut self) -> SavedState<'_> {
        SavedState::of(&mut self.count)
    }

    fn changes_steps(&self) -> bool {
        true
    }

    fn before_fit(&mut self, _: &mut State) -> Flow {
        if self.images == 0 {
            return Err(Error::setting("gradient accumulation: images", 0, "at least 1").into());
        }
        self.count = 0;
        Ok(())
    }

    fn before_backward(&mut self, state: &mut State) -> Flow {
        let share = state.labels.len() as f32 / self.images as f32;
        self.loss = state.loss.take();
        state.loss = self.loss.as_ref().map(|loss| loss.mul_scalar(share));
        Ok(())
    }

    fn after_backward(&mut self, state: &mut State) -> Flow {
        state.loss = self.loss.take();
        Ok(())
    }

    fn before_step(&mut self, state: &mut State) -> Flow {
        self.count += state.labels.len();
        if self.count < self.images {
            // Leaves the batch before the gradients are forgotten.
            return Err(Cancel::Batch.into());
        }
        self.count = 0;
        Ok(())
    }

    fn after_fit(&mut self, state: &mut State) -> Flow {
        zero_grad(&mut *state.model);
        Ok(())
    }
}
