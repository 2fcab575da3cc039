//! A panic in what somebody else wrote ends the fit with an error that says where, hangs nothing, and
//! leaves the last checkpoint good.

use std::sync::atomic::{AtomicUsize, Ordering};

use rand::SeedableRng;
use rand_pcg::Pcg64;
use topedge_autograd::{Backward, Grads, Tensor, record};
use topedge_data::{DataLoaders, Dataset, LoadersConfig, Splits};
use topedge_nn::layers::{Flatten, Linear, LinearConfig, Sequential};
use topedge_nn::losses::{CrossEntropy, Loss};
use topedge_nn::metrics::Metric;
use topedge_nn::optim::{Hyper, Optimizer};
use topedge_nn::{
    Callback, Cancel, Checkpoint, Checkpoints, Context, Every, Flow, Learner, Module, Observed,
    Observer, Result, SavedState, State, StateDict, state_dict,
};

/// 32 images to train on and 8 to validate on.
fn data() -> DataLoaders {
    let set = |n: usize| {
        let pixels = (0..n * 4).map(|i| (i * 37 % 251) as u8).collect();
        let vocab = ["a", "b"].map(str::to_string).to_vec();
        Dataset::new(pixels, [1, 2, 2], (0..n).map(|i| i as u32 % 2).collect(), vocab).unwrap()
    };
    let splits = Splits::new(set(32), set(8)).unwrap();
    DataLoaders::new(&splits, &LoadersConfig { batch_size: 8, ..Default::default() }).unwrap()
}

fn net() -> Sequential {
    let mut rng = Pcg64::seed_from_u64(3);
    let linear = Linear::new(4, 2, &LinearConfig::default(), &mut rng).unwrap();
    Sequential::new().push(Flatten).push(linear)
}

fn bare() -> Learner {
    Learner::new(data(), net(), CrossEntropy::default())
}

/// Panics at one event, in the pass over batch number 2 where batches pass.
struct Bomb {
    at: &'static str,
    cancel: Option<Cancel>,
}

impl Bomb {
    fn event(&mut self, name: &str, state: &State) -> Flow {
        assert!(!(name == self.at && (state.batch == 2 || !IN_BATCH.contains(&name))), "bad\nnews");
        // So that the events after a cancel come, too.
        match self.cancel {
            Some(cancel) if self.at == after_cancel(cancel) && name == before(cancel) => {
                Err(cancel.into())
            }
            _ => Ok(()),
        }
    }
}

const IN_BATCH: [&str; 12] = [
    "before_batch",
    "after_pred",
    "after_loss",
    "before_backward",
    "after_cancel_backward",
    "after_backward",
    "before_step",
    "after_cancel_step",
    "after_step",
    "after_cancel_batch",
    "after_batch",
    "layer_observer",
];

const CANCELS: [(Cancel, &str, &str); 7] = [
    (Cancel::Step, "before_step", "after_cancel_step"),
    (Cancel::Backward, "before_backward", "after_cancel_backward"),
    (Cancel::Batch, "before_batch", "after_cancel_batch"),
    (Cancel::Train, "before_train", "after_cancel_train"),
    (Cancel::Validate, "before_validate", "after_cancel_validate"),
    (Cancel::Epoch, "before_epoch", "after_cancel_epoch"),
    (Cancel::Fit, "before_fit", "after_cancel_fit"),
];

fn before(cancel: Cancel) -> &'static str {
    CANCELS.iter().find(|(known, ..)| *known == cancel).unwrap().1
}

fn after_cancel(cancel: Cancel) -> &'static str {
    CANCELS.iter().find(|(known, ..)| *known == cancel).unwrap().2
}

macro_rules! bomb_events {
    ($($event:ident)*) => {
        const EVENTS: &[&str] = &[$(stringify!($event)),*];

        impl Callback for Bomb {
            fn name(&self) -> &'static str {
                "bomb"
            }
            fn saved_state(&mut self) -> SavedState<'_> {
                SavedState::nothing()
            }
            fn layer_observer(&mut self) -> Option<Observer<'_>> {
                let at = self.at;
                let observer = move |_: &mut Observed<'_>| assert!(at != "layer_observer", "bad news");
                Some(Observer::all(observer))
            }
            $(fn $event(&mut self, state: &mut State) -> Flow {
                self.event(stringify!($event), state)
            })*
        }
    };
}

bomb_events! {
    before_fit before_epoch before_train before_batch after_pred after_loss before_backward
    after_cancel_backward after_backward before_step after_cancel_step after_step
    after_cancel_batch after_batch after_cancel_train after_train before_validate
    after_cancel_validate after_validate after_cancel_epoch after_epoch after_cancel_fit after_fit
}

#[test]
fn each_event_of_a_callback() {
    let mut events = EVENTS.to_vec();
    events.push("layer_observer");
    for at in events {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("checkpoint");
        let every = Some(Every::Batches(1));
        let checkpoints = Checkpoints { path: path.clone(), every, ..Default::default() };
        let cancel = CANCELS.iter().find(|(.., after)| *after == at).map(|(cancel, ..)| *cancel);
        let mut learner = bare().callback(Bomb { at, cancel }).checkpoints(checkpoints);
        let error = learner.fit(2, 0.1).unwrap_err().to_string();
        assert_eq!(error, format!("{at} of the callback bomb panicked: bad news"));

        // The checkpoint before it is whole, and a learner like it that does not panic goes on from it.
        if IN_BATCH.contains(&at) && cancel.is_none() && at != "layer_observer" {
            let checkpoint = Checkpoint::load(&path).unwrap();
            assert_eq!(checkpoint.step(), 2, "{at}");
            let mut again = bare().callback(Bomb { at: "", cancel: None });
            again.resume(checkpoint);
            again.fit(2, 0.1).unwrap();
            let mut whole = bare();
            whole.fit(2, 0.1).unwrap();
            assert_eq!(state_dict(&*again.state.model), state_dict(&*whole.state.model), "{at}");
        }
    }
}

/// Stands for each part of a fit that somebody may have written: `0` counts down to the panic.
struct Part(AtomicUsize);

impl Part {
    fn run(&self) {
        assert!(self.0.fetch_sub(1, Ordering::Relaxed) != 1, "no more");
    }
}

impl Module for Part {
    fn kind(&self) -> &'static str {
        "Part"
    }
    fn forward(&mut self, x: &Tensor, _: &mut Context<'_>) -> Result<Tensor> {
        self.run();
        Ok(x.clone())
    }
    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>> {
        Ok(input.to_vec())
    }
}

impl Loss for Part {
    fn name(&self) -> &'static str {
        "Part"
    }
    fn forward(&self, predictions: &Tensor, labels: &[u32]) -> Result<Tensor> {
        self.run();
        CrossEntropy::default().forward(predictions, labels)
    }
}

impl Metric for Part {
    fn name(&self) -> &'static str {
        "part"
    }
    fn reset(&mut self) {}
    fn update(&mut self, _: &Tensor, _: &[u32]) -> Result<()> {
        self.run();
        Ok(())
    }
    fn value(&self) -> Option<f64> {
        None
    }
}

impl Optimizer for Part {
    fn name(&self) -> &'static str {
        "Part"
    }
    fn boxed_clone(&self) -> Box<dyn Optimizer> {
        Box::new(Part(AtomicUsize::new(self.0.load(Ordering::Relaxed))))
    }
    fn step(&mut self, _: &mut dyn Module) -> Result<()> {
        self.run();
        Ok(())
    }
    fn state_dict(&self) -> StateDict {
        StateDict::default()
    }
    fn load_state_dict(&mut self, _: &StateDict) -> Result<()> {
        Ok(())
    }
    fn hyper(&self, hyper: Hyper) -> Option<f64> {
        (hyper == Hyper::Lr).then_some(0.1)
    }
    fn hyper_mut(&mut self, _: Hyper) -> Option<&mut f64> {
        None
    }
}

/// Its gradient panics.
struct NoWayBack;

impl Backward for NoWayBack {
    fn backward(&self, _: Tensor, _: &mut Grads<'_>) -> topedge_autograd::Result<()> {
        panic!("no more")
    }
}

impl Module for NoWayBack {
    fn kind(&self) -> &'static str {
        "NoWayBack"
    }
    fn forward(&mut self, x: &Tensor, _: &mut Context<'_>) -> Result<Tensor> {
        Ok(record(x.clone(), &[x], |_| NoWayBack))
    }
    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>> {
        Ok(input.to_vec())
    }
}

#[test]
fn other_parts_of_a_fit() {
    let part = |count| Part(AtomicUsize::new(count));
    let with = |model: Sequential| Learner::new(data(), model, CrossEntropy::default());
    // A look at the network and the loss before the fit is one call of each.
    let cases = [
        (with(net().push(part(3))), "the network panicked: no more"),
        (with(net().push(NoWayBack)), "the backward pass panicked: no more"),
        (Learner::new(data(), net(), part(3)), "the loss Part panicked: no more"),
        (bare().metric(part(1)), "after_batch of the callback recorder panicked: no more"),
    ];
    for (mut learner, expected) in cases {
        let error = learner.fit(2, 0.1).unwrap_err().to_string();
        assert_eq!(error, expected);
        // Nothing is left behind in this thread, or in the pool's.
        bare().fit(1, 0.1).unwrap();
    }
    let mut learner = bare().optimizer(part(2));
    let error = learner.fit_scheduled(1, vec![]).unwrap_err().to_string();
    assert_eq!(error, "the optimiser Part panicked: no more");
}
