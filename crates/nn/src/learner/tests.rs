//! The training loop as a whole.

use std::sync::{Arc, Mutex};

use rand::SeedableRng;
use rand_pcg::Pcg64;
use topedge_autograd::Tensor;
use topedge_data::digits::{self, Digits};
use topedge_data::{DataLoaders, Dataset, LoadersConfig, Splits};

use super::*;
use crate::callbacks::{CsvLogger, Progress, ProgressUpdate};
use crate::diagnosis::FindingKind;
use crate::layers::{Dropout, Flatten, Linear, LinearConfig, Sequential};
use crate::losses::CrossEntropy;
use crate::metrics::{Accuracy, ErrorRate};
use crate::optim::{Hyper, Sgd};
use crate::{ItemMut, Net, NetConfig, one_cycle, state_dict, walk_mut};

/// `train` and `valid` images of 2x2 pixels in two classes: dark and light.
fn loaders(train: usize, valid: usize, batch_size: usize) -> DataLoaders {
    loaders_with([train, valid], batch_size, |i| i % 2)
}

/// The same with labels of one's own.
fn loaders_with(
    [train, valid]: [usize; 2],
    batch_size: usize,
    label: fn(usize) -> usize,
) -> DataLoaders {
    let set = |n: usize| {
        let pixels = (0..n).flat_map(|i| [0, 1, 2, 3].map(|p| (i % 2 * 200 + 5 * p) as u8));
        let labels = (0..n).map(|i| label(i) as u32);
        let vocab = vec!["dark".to_string(), "light".to_string()];
        Dataset::new(pixels.collect(), [1, 2, 2], labels.collect(), vocab).unwrap()
    };
    let splits = Splits::new(set(train), set(valid)).unwrap();
    let config = LoadersConfig { batch_size, ..Default::default() };
    DataLoaders::new(&splits, &config).unwrap()
}

fn net(dropout: f64) -> Sequential {
    let mut rng = Pcg64::seed_from_u64(1);
    Sequential::new()
        .push(Flatten)
        .push(Dropout::new(dropout).unwrap())
        .push(Linear::new(4, 2, &LinearConfig::default(), &mut rng).unwrap())
}

fn learner(data: DataLoaders) -> Learner {
    Learner::new(data, net(0.0), CrossEntropy::default()).metric(Accuracy::default())
}

type Log = Arc<Mutex<Vec<&'static str>>>;

/// Logs every event; at the event `at`, cancels `cancel`.
#[derive(Default)]
struct Logger {
    log: Log,
    at: &'static str,
    cancel: Option<Cancel>,
}

impl Logger {
    fn event(&mut self, name: &'static str) -> Flow {
        self.log.lock().unwrap().push(name);
        match self.cancel {
            Some(cancel) if name == self.at => Err(cancel.into()),
            _ => Ok(()),
        }
    }
}

macro_rules! log_events {
    ($($event:ident)*) => {
        impl Callback for Logger {
            fn name(&self) -> &'static str {
                "logger"
            }
            $(fn $event(&mut self, _: &mut State) -> Flow {
                self.event(stringify!($event))
            })*
        }
    };
}

log_events! {
    before_fit before_epoch before_train before_batch after_pred after_loss before_backward
    after_cancel_backward after_backward before_step after_cancel_step after_step
    after_cancel_batch after_batch after_cancel_train after_train before_validate
    after_cancel_validate after_validate after_cancel_epoch after_epoch after_cancel_fit after_fit
}

/// The events of one epoch of one training and one validation batch.
fn events(at: &'static str, cancel: Option<Cancel>) -> (String, Result<()>) {
    let log = Log::default();
    let logger = Logger { log: Arc::clone(&log), at, cancel };
    let outcome = learner(loaders(4, 2, 4)).callback(logger).fit(1, 0.1);
    let events = log.lock().unwrap().join(" ");
    (events, outcome)
}

const BEFORE: &str = "before_fit before_epoch before_train before_batch";
const PASS: &str = "after_pred after_loss";
const GRADIENTS: &str = "before_backward after_backward";
const STEPS: &str = "before_step after_step";
const TRAINED: &str = "after_batch after_train";
const VALIDATION: &str =
    "before_validate before_batch after_pred after_loss after_batch after_validate";
const END: &str = "after_epoch after_fit";

#[test]
fn events_in_order() {
    let (events, outcome) = events("", None);
    outcome.unwrap();
    let expected = [BEFORE, PASS, GRADIENTS, STEPS, TRAINED, VALIDATION, END];
    assert_eq!(events, expected.join(" "));
}

#[test]
fn each_cancel_ends_its_stage() {
    use Cancel::*;
    let cases: [(&str, Cancel, &[&str]); 9] = [
        (
            "before_step",
            Step,
            &[
                BEFORE,
                PASS,
                GRADIENTS,
                "before_step after_cancel_step after_step",
                TRAINED,
                VALIDATION,
                END,
            ],
        ),
        (
            "before_backward",
            Backward,
            &[
                BEFORE,
                PASS,
                "before_backward after_cancel_backward after_backward",
                STEPS,
                TRAINED,
                VALIDATION,
                END,
            ],
        ),
        (
            "after_pred",
            Batch,
            &[
                BEFORE,
                "after_pred after_cancel_batch after_batch after_train",
                "before_validate before_batch after_pred after_cancel_batch after_batch after_validate",
                END,
            ],
        ),
        (
            "before_step",
            Batch,
            &[BEFORE, PASS, GRADIENTS, "before_step after_cancel_batch", TRAINED, VALIDATION, END],
        ),
        (
            "after_backward",
            Train,
            &[BEFORE, PASS, GRADIENTS, "after_cancel_train after_train", VALIDATION, END],
        ),
        (
            "before_validate",
            Validate,
            &[
                BEFORE,
                PASS,
                GRADIENTS,
                STEPS,
                TRAINED,
                "before_validate after_cancel_validate after_validate",
                END,
            ],
        ),
        ("before_train", Epoch, &["before_fit before_epoch before_train after_cancel_epoch", END]),
        ("after_loss", Fit, &[BEFORE, PASS, "after_cancel_fit after_fit"]),
        ("before_fit", Fit, &["before_fit after_cancel_fit after_fit"]),
    ];
    for (at, cancel, expected) in cases {
        let (events, outcome) = events(at, Some(cancel));
        outcome.unwrap();
        assert_eq!(events, expected.join(" "), "{cancel:?} at {at}");
    }
}

#[test]
fn cancelling_what_does_not_run_is_an_error() {
    let (_, outcome) = events("after_epoch", Some(Cancel::Step));
    let error = outcome.unwrap_err().to_string();
    assert!(error.contains("cancelled Step"), "{error}");
}

#[test]
fn a_cancelled_step_or_backward_changes_nothing() {
    for (at, cancel) in [("before_step", Cancel::Step), ("before_backward", Cancel::Backward)] {
        let logger = Logger { at, cancel: Some(cancel), ..Default::default() };
        let mut learner = learner(loaders(8, 2, 4)).callback(logger);
        let before = state_dict(&*learner.state.model);
        learner.fit(1, 0.1).unwrap();
        assert_eq!(state_dict(&*learner.state.model), before, "{cancel:?}");
    }
}

#[test]
fn the_recorder_knows_all() {
    let data = loaders(10, 5, 4);
    let mut learner = learner(data).metric(ErrorRate::default());
    learner.fit_one_cycle(3, 0.06).unwrap();
    let recorder = learner.find::<Recorder>().unwrap();
    // The last 2 of 10 images are dropped.
    assert_eq!((recorder.losses.len(), recorder.smoothed_losses.len()), (6, 6));
    let names: Vec<_> = recorder.hypers.iter().map(|(hyper, _)| hyper.name()).collect();
    assert_eq!(names, ["lr", "momentum", "sqr_momentum", "eps", "weight_decay"]);
    let schedules = one_cycle(0.06);
    for step in 0..6 {
        let position = step as f64 / 6.0;
        assert_eq!(recorder.hypers[0].1[step], schedules[0].1.at(position));
        assert_eq!(recorder.hypers[1].1[step], schedules[1].1.at(position));
        assert_eq!(recorder.hypers[4].1[step], 0.01);
    }
    assert_eq!(recorder.rows.len(), 3);
    let row = &recorder.rows[2];
    assert_eq!(row.epoch, 2);
    assert_eq!(row.train_loss, recorder.smoothed_losses.last().copied());
    assert!(row.train_seconds > 0.0 && row.train_seconds <= row.seconds);
    let (accuracy, errors) = (row.metric("accuracy"), row.metric("error_rate"));
    assert_eq!(accuracy.unwrap() + errors.unwrap(), 1.0);
    assert_eq!(row.metric("f1"), None);

    // The optimiser gets its own values back, and the next fit starts a new record.
    assert_eq!(learner.state.optimizer.hyper(Hyper::Momentum), Some(0.9));
    learner.fit(1, 0.01).unwrap();
    let recorder = learner.find::<Recorder>().unwrap();
    assert_eq!((recorder.losses.len(), recorder.rows.len()), (2, 1));
    assert_eq!(recorder.hypers[0].1, [0.01, 0.01]);
}

#[test]
fn the_validation_loss_is_weighted_by_batch_size() {
    // 5 images in batches of 4 and 1; at learning rate 0 nothing changes.
    let mut learner = learner(loaders(4, 5, 4)).optimizer(Sgd::default());
    learner.fit(1, 0.0).unwrap();
    let row = learner.state.row.clone().unwrap();
    let batches = learner.state.data.valid.epoch(0);
    let (mut sum, mut count) = (0.0, 0);
    for batch in batches {
        let batch = batch.unwrap();
        for (i, &label) in batch.labels.iter().enumerate() {
            let image = Tensor::new(batch.image(i), &[1, 1, 2, 2]).unwrap();
            let mut cx = Context::eval();
            let prediction = learner.state.model.forward(&image, &mut cx).unwrap();
            let loss = CrossEntropy::default().forward(&prediction, &[label]).unwrap();
            sum += f64::from(loss.item().unwrap());
            count += 1;
        }
    }
    assert_eq!(count, 5);
    let valid_loss = row.valid_loss.unwrap();
    assert!((valid_loss - sum / 5.0).abs() < 1e-6, "{valid_loss} {sum}");
}

#[test]
fn a_cancelled_validation_leaves_no_values() {
    let logger =
        Logger { at: "before_validate", cancel: Some(Cancel::Validate), ..Default::default() };
    let mut learner = learner(loaders(4, 2, 4)).callback(logger);
    learner.fit(1, 0.1).unwrap();
    let row = learner.state.row.clone().unwrap();
    assert_eq!((row.valid_loss, row.metric("accuracy")), (None, None));
    assert!(row.train_loss.is_some());
}

#[test]
fn callbacks_are_found_and_their_order_is_told() {
    let mut learner = learner(loaders(4, 2, 4)).callback(Progress::new(|_| {}));
    assert!(learner.find::<Recorder>().is_some());
    assert!(learner.find::<CsvLogger>().is_none());
    assert_eq!(learner.find_named("recorder").unwrap().name(), "recorder");
    assert!(learner.find_named("csv_logger").is_none());
    let expected = ["param_scheduler", "nan_guard", "recorder", "progress"];
    assert_eq!(learner.callback_order().unwrap(), expected);

    struct First;
    impl Callback for First {
        fn name(&self) -> &'static str {
            "first"
        }
        fn run_before(&self) -> Vec<std::any::TypeId> {
            vec![std::any::TypeId::of::<ParamScheduler>()]
        }
    }
    learner = learner.callback(First);
    let expected = ["nan_guard", "recorder", "progress", "first", "param_scheduler"];
    assert_eq!(learner.callback_order().unwrap(), expected);
}

#[test]
fn progress_tells_batches_and_epochs() {
    let told = Arc::new(Mutex::new(vec![]));
    let sink = Arc::clone(&told);
    let progress = Progress::new(move |update| {
        sink.lock().unwrap().push(match update {
            ProgressUpdate::Batch { epoch, epochs, training, batch, batches, smoothed_loss } => {
                assert!(smoothed_loss.is_some());
                format!("{epoch}/{epochs} {training} {batch}/{batches}")
            }
            ProgressUpdate::Epoch(row) => format!("row {}", row.epoch),
        });
    });
    learner(loaders(8, 2, 4)).callback(progress).fit(1, 0.1).unwrap();
    let expected = ["0/1 true 1/2", "0/1 true 2/2", "0/1 false 1/1", "row 0"];
    assert_eq!(*told.lock().unwrap(), expected);
}

#[test]
fn the_history_is_a_csv_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("history.csv");
    let mut learner = learner(loaders(8, 2, 4)).callback(CsvLogger::new(&path));
    learner.fit(3, 0.1).unwrap();
    learner.fit(2, 0.1).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines[0], "epoch,train_loss,valid_loss,accuracy,time");
    assert_eq!(lines.len(), 3);
    assert!(lines[2].starts_with("1,0."), "{text}");

    let missing = CsvLogger::new(dir.path().join("missing").join("history.csv"));
    let error = super::tests::learner(loaders(8, 2, 4)).callback(missing).fit(1, 0.1);
    let error = error.unwrap_err().to_string();
    assert!(error.contains("cannot write") && error.contains("history.csv"), "{error}");
}

#[test]
fn the_guard_names_epoch_step_and_layer() {
    let mut learner = learner(loaders(8, 2, 4));
    walk_mut(&mut *learner.state.model, &mut |path, item| {
        if let ItemMut::Parameter(parameter) = item
            && path == "2.bias"
        {
            parameter.value.make_mut()[1] = f32::NAN;
        }
    });
    let error = learner.fit(1, 0.1).unwrap_err().to_string();
    let expected = "epoch 0, step 0, training: the loss is NaN; the first value that is not \
                    finite is in layer 2, Linear(in_features=4, out_features=2), whose bias is \
                    not finite";
    assert_eq!(error, expected);
}

#[test]
fn the_guard_finds_an_overflow_and_the_input() {
    let mut learner = learner(loaders(8, 2, 4));
    walk_mut(&mut *learner.state.model, &mut |path, item| {
        if let ItemMut::Parameter(parameter) = item
            && path == "2.weight"
        {
            parameter.value.make_mut().fill(f32::MAX);
        }
    });
    let error = learner.fit(1, 0.1).unwrap_err().to_string();
    assert!(error.ends_with("in layer 2, Linear(in_features=4, out_features=2)"), "{error}");

    struct Poison;
    impl Callback for Poison {
        fn name(&self) -> &'static str {
            "poison"
        }
        fn before_batch(&mut self, state: &mut State) -> Flow {
            if state.step == 1 {
                state.input.make_mut()[0] = f32::NAN;
            }
            Ok(())
        }
    }
    let error = super::tests::learner(loaders(8, 2, 4)).callback(Poison).fit(1, 0.1);
    let error = error.unwrap_err().to_string();
    assert!(error.contains("step 1") && error.ends_with("in the input"), "{error}");
}

#[test]
fn wrong_rates_are_refused() {
    for lr in [f64::NAN, f64::INFINITY, -0.1] {
        let mut learner = learner(loaders(8, 2, 4));
        let error = learner.fit(1, lr).unwrap_err().to_string();
        assert!(error.starts_with("lr is "), "{error}");
        assert!(learner.fit_one_cycle(1, lr).is_err(), "{lr}");
    }
}

#[test]
fn a_network_that_cannot_take_the_data_is_refused_by_layer() {
    let mut rng = Pcg64::seed_from_u64(1);
    let linear = Linear::new(5, 2, &LinearConfig::default(), &mut rng).unwrap();
    let model = Sequential::new().push(Flatten).push(linear);
    let mut learner = Learner::new(loaders(8, 2, 4), model, CrossEntropy::default());
    let error = learner.fit(1, 0.1).unwrap_err().to_string();
    let expected = "layer 1, Linear(in_features=5, out_features=2), with input [1, 4]: linear";
    assert!(error.starts_with(expected), "{error}");
}

#[test]
fn each_pass_has_an_order_of_its_own() {
    struct Orders(Arc<Mutex<Vec<Vec<usize>>>>);
    impl Callback for Orders {
        fn name(&self) -> &'static str {
            "orders"
        }
        fn before_batch(&mut self, state: &mut State) -> Flow {
            if state.is_training() {
                self.0.lock().unwrap().push(state.indices.clone());
            }
            Ok(())
        }
    }
    let orders = Arc::new(Mutex::new(vec![]));
    let mut learner = learner(loaders(64, 2, 64)).callback(Orders(Arc::clone(&orders)));
    learner.fit(2, 0.1).unwrap();
    learner.fit(1, 0.1).unwrap();
    let orders = orders.lock().unwrap();
    assert_eq!(orders.len(), 3);
    assert!(orders[0] != orders[1] && orders[1] != orders[2] && orders[0] != orders[2]);
}

#[test]
fn the_seed_decides_about_dropout() {
    let run = |seed| {
        let mut learner = Learner::new(loaders(8, 2, 4), net(0.5), CrossEntropy::default());
        learner = learner.seed(seed);
        learner.fit(2, 0.1).unwrap();
        state_dict(&*learner.state.model)
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}

fn digits_learner() -> Learner {
    let digits = Digits { train: 2_000, valid: 400, ..Default::default() };
    let splits = digits::generate(&digits).unwrap();
    let data = DataLoaders::new(&splits, &LoadersConfig::default()).unwrap();
    let mut rng = Pcg64::seed_from_u64(42);
    let model = Net::SimpleCnnBn.build(&NetConfig::default(), &mut rng).unwrap();
    Learner::new(data, model, CrossEntropy::default()).metric(Accuracy::default())
}

/// Trains where it is called, on pools of 1, 2 and 3 threads.
#[test]
fn digits_are_learned_with_the_same_bits_on_any_number_of_threads() {
    let train = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let mut learner = digits_learner();
            learner.fit_one_cycle(2, 0.03).unwrap();
            let accuracy = learner.state.row.as_ref().unwrap().metric("accuracy").unwrap();
            (state_dict(&*learner.state.model), accuracy)
        })
    };
    let (state, accuracy) = train(1);
    assert!(accuracy > 0.85, "{accuracy}");
    for threads in [2, 3] {
        assert!(train(threads) == (state.clone(), accuracy), "{threads} threads");
    }
}

/// A checkpoint may be whole, and still be nonsense.
#[test]
fn a_fit_does_not_go_on_from_where_no_fit_gets_to() {
    type Change = fn(&mut checkpoint::Contents);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("checkpoint");
    let checkpoints = Checkpoints { path: path.clone(), ..Default::default() };
    checkpoints.stop.store(true, std::sync::atomic::Ordering::Relaxed);
    let mut stopped = learner(loaders(8, 4, 2)).checkpoints(checkpoints);
    assert!(matches!(stopped.fit(2, 0.1), Err(Error::Stopped { step: 1, .. })));
    let resumed = |change: Change| {
        let mut checkpoint = Checkpoint::load(&path).unwrap();
        change(&mut checkpoint.contents);
        let mut learner = learner(loaders(8, 4, 2));
        learner.resume(checkpoint);
        learner.fit(2, 0.1)
    };
    resumed(|_| ()).unwrap();
    let changes: [Change; 6] = [
        |contents| contents.passes = 0,
        |contents| contents.passes = u64::MAX,
        |contents| contents.epoch = 3,
        |contents| contents.batch = 5,
        |contents| contents.step = usize::MAX,
        |contents| (contents.pass, contents.batch) = (checkpoint::Pass::None, 1),
    ];
    for change in changes {
        let error = resumed(change).unwrap_err().to_string();
        assert!(error.contains("checkpoint: expected a place in the fit, found epoch "), "{error}");
    }
}

#[test]
fn what_goes_wrong_is_told_once_and_not_at_the_very_end() {
    let told = Arc::new(Mutex::new(vec![]));
    let log = Arc::clone(&told);
    // Labels that have nothing to do with the images: large steps can only make it worse.
    let data = loaders_with([200, 20], 4, |i| i / 2 % 2);
    let mut learner = learner(data).optimizer(Sgd::default()).on_finding(move |finding| {
        log.lock().unwrap().push(finding.kind);
        Ok(())
    });
    learner.fit(1, 100.0).unwrap();
    assert!(learner.diagnose().iter().any(|finding| finding.kind == FindingKind::RateTooHigh));
    assert_eq!(*told.lock().unwrap(), []);
    for fits in 1..=2 {
        // Each from the start.
        learner.state.model = Box::new(net(0.0));
        learner.fit(3, 100.0).unwrap();
        assert_eq!(*told.lock().unwrap(), vec![FindingKind::RateTooHigh; fits]);
    }
}
