//! Tells how far training is.

use std::any::TypeId;

use super::Recorder;
use crate::learner::{Callback, EpochRow, Flow, State};
use crate::saved_state::SavedState;

/// Tells a function of one's own after each batch and epoch how far training is: to draw a bar,
/// or print a table.
///
/// ```
/// use topedge_nn::callbacks::{Progress, ProgressUpdate};
///
/// let progress = Progress::new(|update| match update {
///     ProgressUpdate::Batch { batch, batches, .. } => eprint!("\r{batch}/{batches}"),
///     ProgressUpdate::Epoch(row) => eprintln!("\r{} {:?}", row.epoch, row.valid_loss),
/// });
/// ```
pub struct Progress {
    sink: Sink,
}

/// What is told of updates.
type Sink = Box<dyn FnMut(ProgressUpdate<'_>) + Send>;

/// How far training is.
#[derive(Clone, Copy, Debug)]
pub enum ProgressUpdate<'a> {
    /// A batch is done.
    Batch {
        /// The epoch, from 0.
        epoch: usize,
        /// The number of epochs of the fit.
        epochs: usize,
        /// Whether this is the training pass, or else validation.
        training: bool,
        /// The batches of the pass that are done.
        batch: usize,
        /// The number of batches of the pass.
        batches: usize,
        /// The smoothed training loss; `None` before the first.
        smoothed_loss: Option<f64>,
    },
    /// An epoch is done.
    Epoch(&'a EpochRow),
}

impl Progress {
    /// Tells `sink`.
    pub fn new(sink: impl FnMut(ProgressUpdate<'_>) + Send + 'static) -> Self {
        Progress { sink: Box::new(sink) }
    }
}

impl std::fmt::Debug for Progress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Progress").finish_non_exhaustive()
    }
}

impl Callback for Progress {
    fn name(&self) -> &'static str {
        "progress"
    }

    fn saved_state(&mut self) -> SavedState<'_> {
        SavedState::nothing()
    }

    fn run_after(&self) -> Vec<TypeId> {
        vec![TypeId::of::<Recorder>()]
    }

    fn after_batch(&mut self, state: &mut State) -> Flow {
        (self.sink)(ProgressUpdate::Batch {
            epoch: state.epoch,
            epochs: state.epochs,
            training: state.is_training(),
            batch: state.batch + 1,
            batches: state.batches,
            smoothed_loss: state.smoothed_loss,
        });
        Ok(())
    }

    fn after_epoch(&mut self, state: &mut State) -> Flow {
        if let Some(row) = &state.row {
            (self.sink)(ProgressUpdate::Epoch(row));
        }
        Ok(())
    }
}
