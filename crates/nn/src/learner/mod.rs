//! The training loop.

mod check;
mod events;
mod fit;
mod groups;
mod lr_find;
mod order;
mod state;
#[cfg(test)]
mod tests;

use std::any::Any;

use rand::SeedableRng;
use rand_pcg::Pcg64;
use topedge_autograd::{Mode, Tape, Tensor, no_grad};
use topedge_data::DataLoaders;

use crate::callbacks::{NanGuard, ParamScheduler, Recorder};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::losses::Loss;
use crate::metrics::Metric;
use crate::module::{Module, zero_grad};
use crate::optim::{Adam, Optimizer};
use events::{BACKWARD, BATCH, EPOCH, Event, FIT, STEP, Stage, TRAIN, VALIDATE};

pub use check::MAX_LR;
pub use events::{Callback, Cancel, Flow, Interrupt};
pub use groups::Rates;
pub use lr_find::{LrFind, LrFound, Suggestion};
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
        state.step = 0;
        // The thread pool is entered once: all parallel loops start inside of it.
        match rayon::scope(|_| self.within(&FIT, Self::all_epochs)) {
            Err(Interrupt::Cancel(cancel)) => Err(Error::StrayCancel { cancel }),
            Err(Interrupt::Error(error)) => Err(error),
            Ok(()) => Ok(()),
        }
    }

    fn all_epochs(&mut self) -> Flow {
        for epoch in 0..self.state.epochs {
            self.state.epoch = epoch;
            self.within(&EPOCH, Self::one_epoch)?;
        }
        Ok(())
    }

    fn one_epoch(&mut self) -> Flow {
        self.state.context.mode = Mode::Train;
        self.within(&TRAIN, Self::all_batches)?;
        self.state.context.mode = Mode::Eval;
        self.within(&VALIDATE, Self::all_batches)
    }

    fn all_batches(&mut self) -> Flow {
        let training = self.state.is_training();
        let state = &mut self.state;
        let (loader, pass) = if training {
            state.passes += 1;
            (&state.data.train, state.passes - 1)
        } else {
            (&state.data.valid, 0)
        };
        (state.batch, state.batches) = (0, loader.batches());
        let mut batches = loader.epoch(pass);
        while let Some(batch) = batches.next() {
            self.state.put_batch(batch?)?;
            self.within(&BATCH, Self::one_batch)?;
            self.state.batch += 1;
            self.state.step += usize::from(training);
            if let Some(batch) = self.state.take_batch() {
                batches.recycle(batch);
            }
        }
        Ok(())
    }

    fn one_batch(&mut self) -> Flow {
        if !self.state.is_training() {
            return no_grad(|| self.forward());
        }
        let tape = Tape::new();
        self.forward()?;
        self.within(&BACKWARD, |learner| {
            if let Some(loss) = &learner.state.loss {
                tape.backward(loss)?;
            }
            Ok(())
        })?;
        self.within(&STEP, |Learner { state, .. }| Ok(state.optimizer.step(&mut *state.model)?))?;
        zero_grad(&mut *self.state.model);
        Ok(())
    }

    fn forward(&mut self) -> Flow {
        let Learner { state: State { model, context, input, prediction, .. }, callbacks } = self;
        let mut observers = callbacks.iter_mut().filter_map(|callback| callback.layer_observer());
        *prediction = Some(match observers.next() {
            None => model.forward(input, context)?,
            Some(first) => {
                let observers = std::iter::once(first).chain(observers);
                context.observed_by(observers, |cx| model.forward(input, cx))?
            }
        });
        self.each(Callback::after_pred)?;
        let state = &mut self.state;
        if let Some(prediction) = &state.prediction {
            state.loss = Some(state.loss_fn.forward(prediction, &state.labels)?);
        }
        self.each(Callback::after_loss)
    }

    /// Runs `body` between the events of `stage`.
    fn within(&mut self, stage: &Stage, body: impl FnOnce(&mut Self) -> Flow) -> Flow {
        let outcome = self.each(stage.before).and_then(|()| body(self));
        match outcome {
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
            event(&mut **callback, &mut self.state)?;
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
