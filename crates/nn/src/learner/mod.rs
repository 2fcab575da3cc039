//! The training loop.

mod check;
mod checkpoint;
mod events;
mod fit;
mod groups;
mod lr_find;
mod order;
mod panics;
mod resume;
mod settings;
mod state;
#[cfg(test)]
mod tests;
mod watch;

use std::any::Any;
use std::sync::{Mutex, PoisonError};

use rand::SeedableRng;
use rand_pcg::Pcg64;
use topedge_autograd::{Mode, Tape, Tensor, no_grad};
use topedge_data::DataLoaders;
use topedge_kernels::{Isa, Winograd};

use crate::callbacks::{NanGuard, ParamScheduler, Recorder};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::losses::Loss;
use crate::metrics::Metric;
use crate::module::{Module, zero_grad};
use crate::optim::{Adam, Optimizer};
use checkpoint::Pass;
use events::{
    AFTER_LOSS, AFTER_PRED, AFTER_RESUME, BACKWARD, BATCH, EPOCH, Event, FIT, STEP, Stage, TRAIN,
    VALIDATE,
};
use panics::caught;
use resume::Saving;
use watch::Watch;

pub use check::MAX_LR;
pub use checkpoint::Checkpoint;
pub use events::{Callback, Cancel, Flow, Interrupt};
pub use groups::Rates;
pub use lr_find::{LrFind, LrFound, Suggestion};
pub use resume::{Checkpoints, Every};
pub use state::{EpochRow, State};

/// Trains a network: data, model, loss, and the callbacks that take part.
///
/// ```
/// use rand::SeedableRng;
/// use topedge_data::digits::{self, Digits};
/// use topedge_data::{DataLoaders, LoadersConfig};
/// use topedge_nn::callbacks::Recorder;
/// use topedge_nn::losses::CrossEntropy;
/// use topedge_nn::metrics::Accuracy;
/// use topedge_nn::{Learner, Net, NetConfig};
///
/// let splits = digits::generate(&Digits { train: 256, valid: 64, ..Default::default() })?;
/// let data = DataLoaders::new(&splits, &LoadersConfig::default())?;
/// let mut rng = rand_pcg::Pcg64::seed_from_u64(42);
/// let model = Net::SimpleCnnBn.build(&NetConfig::default(), &mut rng)?;
///
/// let mut learner = Learner::new(data, model, CrossEntropy::default()).metric(Accuracy::default());
/// learner.fit_one_cycle(1, 0.01)?;
/// let rows = &learner.find::<Recorder>().unwrap().rows;
/// assert!(rows[0].metric("accuracy").is_some());
/// # Ok::<(), topedge_nn::Error>(())
/// ```
pub struct Learner {
    /// What training works on, and where it stands.
    pub state: State,
    callbacks: Vec<Box<dyn Callback>>,
    saving: Saving,
    watch: Watch,
}

/// Building.
impl Learner {
    /// A learner with fastai's [`Adam`], no metrics, the seed 42, and the callbacks
    /// [`ParamScheduler`], [`NanGuard`] and [`Recorder`].
    pub fn new(
        data: DataLoaders,
        model: impl Module + 'static,
        loss: impl Loss + 'static,
    ) -> Learner {
        let state = State {
            model: Box::new(model),
            optimizer: Box::new(Adam::fastai()),
            loss_fn: Box::new(loss),
            metrics: vec![],
            data,
            context: Context::train(42),
            schedules: vec![],
            groups: vec![0],
            epochs: 0,
            epoch: 0,
            steps: 0,
            step: 0,
            batches: 0,
            batch: 0,
            passes: 0,
            input: Tensor::scalar(0.0),
            labels: vec![],
            indices: vec![],
            prediction: None,
            loss: None,
            smoothed_loss: None,
            row: None,
        };
        Learner {
            state,
            callbacks: vec![
                Box::new(ParamScheduler::default()),
                Box::new(NanGuard::default()),
                Box::new(Recorder::default()),
            ],
            saving: Saving::default(),
            watch: Watch::default(),
        }
    }

    /// With another optimiser.
    #[must_use]
    pub fn optimizer(mut self, optimizer: impl Optimizer + 'static) -> Self {
        self.state.optimizer = Box::new(optimizer);
        self
    }

    /// With one more metric.
    #[must_use]
    pub fn metric(mut self, metric: impl Metric + 'static) -> Self {
        self.state.metrics.push(Box::new(metric));
        self
    }

    /// With one more callback.
    #[must_use]
    pub fn callback(mut self, callback: impl Callback) -> Self {
        self.callbacks.push(Box::new(callback));
        self
    }

    /// With another seed of what is random in the network, dropout. Initial weights and the order
    /// of the data have seeds of their own.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.state.context.rng = Pcg64::seed_from_u64(seed);
        self
    }
}

/// Callbacks.
impl Learner {
    /// The first callback of this type.
    pub fn find<C: Callback>(&self) -> Option<&C> {
        let mut callbacks = self.callbacks.iter();
        callbacks.find_map(|callback| (&**callback as &dyn Any).downcast_ref())
    }

    /// The first callback of this name, as in `recorder`.
    pub fn find_named(&self, name: &str) -> Option<&dyn Callback> {
        let found = self.callbacks.iter().find(|c| c.name() == name);
        found.map(|callback| &**callback)
    }

    /// The names of the callbacks in the order in which they run.
    ///
    /// # Errors
    ///
    /// When each of some of them has to run after another.
    pub fn callback_order(&self) -> Result<Vec<&'static str>> {
        let order = order::order(&self.callbacks)?;
        Ok(order.iter().map(|&i| self.callbacks[i].name()).collect())
    }
}

/// The loop.
impl Learner {
    /// A fit by the schedules that are set.
    fn fit_epochs(&mut self, epochs: usize) -> Result<()> {
        self.sort_callbacks()?;
        let state = &mut self.state;
        state.epochs = epochs;
        state.steps = epochs.saturating_mul(state.data.train.batches());
        (state.epoch, state.step) = (0, 0);
        self.begin_watch();
        // What is forced on this thread holds for the one that takes the fit over, too.
        let (isa, winograd) = (Isa::current(), Winograd::current());
        // The thread pool is entered once: all parallel loops start inside of it.
        let outcome = rayon::scope(|_| {
            isa.with(|| {
                winograd.with(|| {
                    self.begin()?;
                    self.within(&FIT, Self::all_epochs)
                })
            })
        });
        match outcome {
            Err(Interrupt::Cancel(cancel)) => Err(Error::StrayCancel { cancel }),
            Err(Interrupt::Error(error)) => Err(error),
            Ok(()) => Ok(()),
        }
    }

    fn all_epochs(&mut self) -> Flow {
        for epoch in self.state.epoch..self.state.epochs {
            self.state.epoch = epoch;
            self.within(&EPOCH, Self::one_epoch)?;
            self.tell_findings()?;
            self.save_if_due(Pass::None)?;
        }
        Ok(())
    }

    fn one_epoch(&mut self) -> Flow {
        if self.saving.entry != Some(Pass::Validate) {
            self.state.context.mode = Mode::Train;
            self.within(&TRAIN, Self::all_batches)?;
        }
        self.state.context.mode = Mode::Eval;
        self.within(&VALIDATE, Self::all_batches)
    }

    fn all_batches(&mut self) -> Flow {
        let training = self.state.is_training();
        let state = &mut self.state;
        let pass = if training { Pass::Train } else { Pass::Validate };
        if self.saving.entry.take() != Some(pass) {
            state.batch = 0;
            state.passes += u64::from(training);
        }
        let (loader, epoch) = match pass {
            Pass::Train => (&state.data.train, state.passes - 1),
            _ => (&state.data.valid, 0),
        };
        state.batches = loader.batches();
        let mut batches = loader.epoch_from(epoch, state.batch);
        while let Some(batch) = batches.next() {
            self.state.put_batch(batch?)?;
            self.within(&BATCH, Self::one_batch)?;
            self.state.batch += 1;
            self.state.step += usize::from(training);
            if let Some(batch) = self.state.take_batch() {
                batches.recycle(batch);
            }
            self.save_if_due(pass)?;
        }
        Ok(())
    }

    fn one_batch(&mut self) -> Flow {
        if !self.state.is_training() {
            return no_grad(|| self.forward());
        }
        let tape = Tape::new();
        self.forward()?;
        self.within(&BACKWARD, |Learner { state, .. }| match &state.loss {
            Some(loss) => caught(|| "the backward pass".to_string(), || Ok(tape.backward(loss)?)),
            None => Ok(()),
        })?;
        self.within(&STEP, |Learner { state: State { optimizer, model, .. }, .. }| {
            let name = optimizer.name();
            caught(|| format!("the optimiser {name}"), || Ok(optimizer.step(&mut **model)?))
        })?;
        zero_grad(&mut *self.state.model);
        Ok(())
    }

    fn forward(&mut self) -> Flow {
        let Learner { state: State { model, context, input, prediction, .. }, callbacks, .. } =
            self;
        let panicked = Mutex::new(Ok(()));
        let outcome = &panicked;
        let mut observers = callbacks.iter_mut().filter_map(|callback| {
            let name = callback.name();
            let place = move || format!("layer_observer of the callback {name}");
            let observer = callback.layer_observer()?;
            Some(observer.through(move |tell| {
                let mut outcome = outcome.lock().unwrap_or_else(PoisonError::into_inner);
                if outcome.is_ok() {
                    *outcome = caught(place, || {
                        tell();
                        Ok::<_, Error>(())
                    });
                }
            }))
        });
        let output = caught(
            || "the network".to_string(),
            || match observers.next() {
                None => model.forward(input, context),
                Some(first) => {
                    let observers = std::iter::once(first).chain(observers);
                    context.observed_by(observers, |cx| model.forward(input, cx))
                }
            },
        );
        panicked.into_inner().unwrap_or_else(PoisonError::into_inner)?;
        *prediction = Some(output?);
        self.each(AFTER_PRED)?;
        let State { prediction, loss, loss_fn, labels, .. } = &mut self.state;
        if let Some(prediction) = prediction {
            let place = || format!("the loss {}", loss_fn.name());
            *loss = Some(caught(place, || loss_fn.forward(prediction, labels))?);
        }
        self.each(AFTER_LOSS)
    }

    /// Runs `body` between the events of `stage`.
    fn within(&mut self, stage: &Stage, body: impl FnOnce(&mut Self) -> Flow) -> Flow {
        let before = match stage.cancel {
            Cancel::Fit if self.saving.entry.is_some() => self.each(AFTER_RESUME),
            cancel if self.saving.had_begun(cancel) => Ok(()),
            _ => self.each(stage.before),
        };
        match before.and_then(|()| body(self)) {
            Err(Interrupt::Cancel(cancel)) if cancel == stage.cancel => {
                self.each(stage.after_cancel)?;
            }
            outcome => outcome?,
        }
        self.each(stage.after)
    }

    /// Tells all callbacks of an event.
    fn each(&mut self, event: Event) -> Flow {
        for callback in &mut self.callbacks {
            let name = callback.name();
            caught(
                || format!("{} of the callback {name}", event.name),
                || (event.tell)(&mut **callback, &mut self.state),
            )?;
        }
        Ok(())
    }

    fn sort_callbacks(&mut self) -> Result<()> {
        let order = order::order(&self.callbacks)?;
        let mut callbacks: Vec<_> = self.callbacks.drain(..).map(Some).collect();
        let sorted = order.iter().filter_map(|&i| callbacks[i].take());
        self.callbacks = sorted.collect();
        Ok(())
    }
}
