//! What happens in a fit, in order, and how a callback changes its course.
//!
//! ```text
//! fit       before_fit
//! epoch       before_epoch
//! train         before_train
//! batch           before_batch  (layer_observer)  after_pred  after_loss
//! backward          before_backward  after_backward
//! step              before_step  after_step
//! batch           after_batch
//! train         after_train
//! validate      before_validate
//! batch           before_batch  (layer_observer)  after_pred  after_loss  after_batch
//! validate      after_validate
//! epoch       after_epoch
//! fit       after_fit
//! ```
//!
//! A stage that is cancelled ends at once; its `after_cancel_..` runs, then its `after_..`. A fit that goes
//! on from a checkpoint begins with `after_resume`, and enters the stages that had begun without an event.

use std::any::{Any, TypeId};

use super::state::State;
use crate::context::Observer;
use crate::error::Error;
use crate::saved_state::SavedState;

/// What an event returns: `Err` to leave the course of events.
pub type Flow = Result<(), Interrupt>;

/// Why the course of events is left.
#[derive(Debug)]
pub enum Interrupt {
    /// A stage is to end early; training goes on after it.
    Cancel(Cancel),
    /// Training ends with an error.
    Error(Error),
}

/// The stage that is to end early.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cancel {
    /// The optimiser's step.
    Step,
    /// The backward pass.
    Backward,
    /// The batch.
    Batch,
    /// The training pass of the epoch.
    Train,
    /// The validation pass of the epoch.
    Validate,
    /// The epoch.
    Epoch,
    /// The whole fit.
    Fit,
}

impl<E: Into<Error>> From<E> for Interrupt {
    fn from(error: E) -> Self {
        Interrupt::Error(error.into())
    }
}

impl From<Cancel> for Interrupt {
    fn from(cancel: Cancel) -> Self {
        Interrupt::Cancel(cancel)
    }
}

/// Something that takes part in training: it may look at everything in the [`State`] at each
/// event, change it, and cancel what comes.
///
/// ```
/// use topedge_nn::{Callback, Cancel, Flow, State};
///
/// /// Ends the fit once the smoothed loss is small.
/// struct GoodEnough(f64);
///
/// impl Callback for GoodEnough {
///     fn name(&self) -> &'static str {
///         "good_enough"
///     }
///     fn after_batch(&mut self, state: &mut State) -> Flow {
///         if state.smoothed_loss.is_some_and(|loss| loss < self.0) {
///             return Err(Cancel::Fit.into());
///         }
///         Ok(())
///     }
/// }
/// ```
#[allow(unused_variables)]
pub trait Callback: Any + Send {
    /// The name to find it by, the type's in snake case: `recorder`.
    fn name(&self) -> &'static str;

    /// Its settings in words: a run that goes on from a checkpoint has to have the same.
    fn config(&self) -> String {
        String::new()
    }

    /// What of it a [`Checkpoint`](crate::Checkpoint) keeps: all that it carries from one batch to the
    /// next. One that has fields and does not say cannot be part of a run that is saved.
    fn saved_state(&mut self) -> SavedState<'_> {
        SavedState::unsaid()
    }

    /// Whether it changes what a step does, as clipping does. Such callbacks take part in
    /// [`lr_find`](crate::Learner::lr_find) too; so they are not to carry anything from one fit to
    /// the next.
    fn changes_steps(&self) -> bool {
        false
    }

    /// The types of callbacks that are to run before this one, if they are there. What is not
    /// said so runs in the order in which it was added.
    fn run_after(&self) -> Vec<TypeId> {
        vec![]
    }

    /// The types of callbacks that are to run after this one, if they are there.
    fn run_before(&self) -> Vec<TypeId> {
        vec![]
    }

    /// Before anything.
    fn before_fit(&mut self, state: &mut State) -> Flow {
        Ok(())
    }
    /// In the place of [`before_fit`](Self::before_fit), where a fit goes on from a checkpoint: this
    /// callback and all others are as they were then. What had begun goes on without an event: the epoch
    /// and the pass that the checkpoint was made in.
    fn after_resume(&mut self, state: &mut State) -> Flow {
        Ok(())
    }
    /// Before the training pass of an epoch.
    fn before_epoch(&mut self, state: &mut State) -> Flow {
        Ok(())
    }
    /// Before the first training batch.
    fn before_train(&mut self, state: &mut State) -> Flow {
        Ok(())
    }
    /// Before a batch, in training and validation; input and labels are there.
    fn before_batch(&mut self, state: &mut State) -> Flow {
        Ok(())
    }
    /// Who is told after layers that have no layers inside, in training and validation; asked once for a
    /// batch, after [`before_batch`](Self::before_batch). Layers that no observer wants may run with others.
    fn layer_observer(&mut self) -> Option<Observer<'_>> {
        None
    }
    /// The prediction is there.
    fn after_pred(&mut self, state: &mut State) -> Flow {
        Ok(())
    }
    /// The loss is there. In training, it may be replaced here.
    fn after_loss(&mut self, state: &mut State) -> Flow {
        Ok(())
    }
    /// Before gradients are computed.
    fn before_backward(&mut self, state: &mut State) -> Flow {
        Ok(())
    }
    /// After [`Cancel::Backward`].
    fn after_cancel_backward(&mut self, state: &mut State) -> Flow {
        Ok(())
    }
    /// The gradients are there.
    fn after_backward(&mut self, state: &mut State) -> Flow {
        Ok(())
    }
    /// Before the optimiser changes the parameters.
    fn before_step(&mut self, state: &mut State) -> Flow {
        Ok(())
    }
    /// After [`Cancel::Step`].
    fn after_cancel_step(&mut self, state: &mut State) -> Flow {
        Ok(())
    }
    /// The parameters have changed; the gradients are still there.
    fn after_step(&mut self, state: &mut State) -> Flow {
        Ok(())
    }
    /// After [`Cancel::Batch`].
    fn after_cancel_batch(&mut self, state: &mut State) -> Flow {
        Ok(())
    }
    /// After a batch, in training and validation.
    fn after_batch(&mut self, state: &mut State) -> Flow {
        Ok(())
    }
    /// After [`Cancel::Train`].
    fn after_cancel_train(&mut self, state: &mut State) -> Flow {
        Ok(())
    }
    /// After the last training batch of an epoch.
    fn after_train(&mut self, state: &mut State) -> Flow {
        Ok(())
    }
    /// Before the first validation batch.
    fn before_validate(&mut self, state: &mut State) -> Flow {
        Ok(())
    }
    /// After [`Cancel::Validate`].
    fn after_cancel_validate(&mut self, state: &mut State) -> Flow {
        Ok(())
    }
    /// After the last validation batch.
    fn after_validate(&mut self, state: &mut State) -> Flow {
        Ok(())
    }
    /// After [`Cancel::Epoch`].
    fn after_cancel_epoch(&mut self, state: &mut State) -> Flow {
        Ok(())
    }
    /// After an epoch.
    fn after_epoch(&mut self, state: &mut State) -> Flow {
        Ok(())
    }
    /// After [`Cancel::Fit`].
    fn after_cancel_fit(&mut self, state: &mut State) -> Flow {
        Ok(())
    }
    /// After everything.
    fn after_fit(&mut self, state: &mut State) -> Flow {
        Ok(())
    }
}

/// One of the events of [`Callback`].
#[derive(Clone, Copy)]
pub(super) struct Event {
    pub(super) name: &'static str,
    pub(super) tell: fn(&mut dyn Callback, &mut State) -> Flow,
}

macro_rules! event {
    ($name:ident) => {
        Event { name: stringify!($name), tell: Callback::$name }
    };
}

/// A part of training that can be cancelled, and its events.
pub(super) struct Stage {
    pub(super) before: Event,
    pub(super) cancel: Cancel,
    pub(super) after_cancel: Event,
    pub(super) after: Event,
}

pub(super) const AFTER_RESUME: Event = event!(after_resume);
pub(super) const AFTER_PRED: Event = event!(after_pred);
pub(super) const AFTER_LOSS: Event = event!(after_loss);

pub(super) const FIT: Stage = Stage {
    before: event!(before_fit),
    cancel: Cancel::Fit,
    after_cancel: event!(after_cancel_fit),
    after: event!(after_fit),
};

pub(super) const EPOCH: Stage = Stage {
    before: event!(before_epoch),
    cancel: Cancel::Epoch,
    after_cancel: event!(after_cancel_epoch),
    after: event!(after_epoch),
};

pub(super) const TRAIN: Stage = Stage {
    before: event!(before_train),
    cancel: Cancel::Train,
    after_cancel: event!(after_cancel_train),
    after: event!(after_train),
};

pub(super) const VALIDATE: Stage = Stage {
    before: event!(before_validate),
    cancel: Cancel::Validate,
    after_cancel: event!(after_cancel_validate),
    after: event!(after_validate),
};

pub(super) const BATCH: Stage = Stage {
    before: event!(before_batch),
    cancel: Cancel::Batch,
    after_cancel: event!(after_cancel_batch),
    after: event!(after_batch),
};

pub(super) const BACKWARD: Stage = Stage {
    before: event!(before_backward),
    cancel: Cancel::Backward,
    after_cancel: event!(after_cancel_backward),
    after: event!(after_backward),
};

pub(super) const STEP: Stage = Stage {
    before: event!(before_step),
    cancel: Cancel::Step,
    after_cancel: event!(after_cancel_step),
    after: event!(after_step),
};
