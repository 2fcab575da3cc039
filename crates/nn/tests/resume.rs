//! A fit that goes on from a checkpoint ends with the same bits as one that was never interrupted.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rand::SeedableRng;
use rand_pcg::Pcg64;
use topedge_data::{DataLoaders, Dataset, LoadersConfig, Splits};
use topedge_nn::callbacks::{
    ActivationStats, CsvLogger, CutMix, EarlyStopping, GradientAccumulation, GradientClip, MixUp,
    Monitor, Profiler, Recorder, ReduceLrOnPlateau, SaveModel,
};
use topedge_nn::layers::{
    BatchNorm2d, Conv2d, Conv2dConfig, Dropout, Flatten, Linear, LinearConfig, Relu, Sequential,
};
use topedge_nn::losses::CrossEntropy;
use topedge_nn::metrics::{Accuracy, ErrorRate};
use topedge_nn::optim::{Adam, Hyper, Sgd};
use topedge_nn::{
    Callback, Checkpoint, Checkpoints, Error, Every, Flow, Learner, Result, SavedState, State,
    state_dict,
};

/// 44 images of 6x6 pixels to train on, in batches of 8, and 12 to validate on.
fn data(batch_size: usize, seed: u64) -> DataLoaders {
    let set = |n: usize, seed: usize| {
        let pixels = (0..n * 36).map(|i| ((i * 37 + i / 36 * 11 + seed) % 251) as u8);
        let labels = (0..n).map(|i| (i * 7 % 3) as u32);
        let vocab = ["a", "b", "c"].map(str::to_string).to_vec();
        Dataset::new(pixels.collect(), [1, 6, 6], labels.collect(), vocab).unwrap()
    };
    let splits = Splits::new(set(44, 0), set(12, 5)).unwrap();
    let config = LoadersConfig { batch_size, seed, ..Default::default() };
    DataLoaders::new(&splits, &config).unwrap()
}

fn net() -> Sequential {
    let mut rng = Pcg64::seed_from_u64(3);
    let strided = Conv2dConfig { stride: [2, 2], ..Default::default() };
    Sequential::new()
        .push(Conv2d::new(1, 4, [3, 3], &strided, &mut rng).unwrap())
        .push(Relu)
        .push(BatchNorm2d::new(4).unwrap())
        .push(Flatten)
        .push(Dropout::new(0.3).unwrap())
        .push(Linear::new(4 * 2 * 2, 3, &LinearConfig::default(), &mut rng).unwrap())
}

fn bare() -> Learner {
    Learner::new(data(8, 42), net(), CrossEntropy::default()).metric(Accuracy::default())
}

/// A run: how its learner is built, given a folder for its files, and how it is trained.
struct Run {
    build: fn(&Path) -> Learner,
    fit: fn(&mut Learner) -> Result<()>,
}

/// Between them they have everything that there is to save.
const RUNS: [Run; 4] = [
    // A step every 24 images spans batches, and epochs of 40.
    Run {
        build: |dir| {
            bare()
                .optimizer(Adam::fastai())
                .callback(MixUp::new(0.4).unwrap())
                .callback(GradientAccumulation::new(24))
                .callback(GradientClip { max_norm: 0.1 })
                .callback(ActivationStats::default().with_histograms())
                .callback(SaveModel::new(dir.join("best")))
                .callback(CsvLogger::new(dir.join("history.csv")))
        },
        fit: |learner| learner.fit_one_cycle(3, 0.05),
    },
    Run {
        build: |dir| {
            let mut sgd = Sgd::default();
            sgd.momentum = 0.9;
            bare()
                .metric(ErrorRate::default())
                .optimizer(sgd)
                .callback(CutMix::new(1.0).unwrap())
                .callback(Profiler::default())
                .callback(ActivationStats::default())
                .callback(CsvLogger::new(dir.join("history.csv")))
        },
        fit: |learner| learner.fit_one_cycle(3, 0.02),
    },
    // No epoch but the first is good enough: the rate falls after each, and the fit ends after the
    // fourth of nine.
    Run {
        build: |dir| {
            let hopeless = Monitor { name: "valid_loss".to_string(), min_delta: 1e9 };
            let mut reduce = ReduceLrOnPlateau::default();
            reduce.monitor = hopeless.clone();
            reduce.factor = 3.0;
            let mut stopping = EarlyStopping::default();
            stopping.monitor = hopeless;
            stopping.patience = 3;
            let mut save = SaveModel::new(dir.join("best"));
            save.monitor = Monitor::of("accuracy");
            bare()
                .callback(reduce)
                .callback(stopping)
                .callback(save)
                .callback(CsvLogger::new(dir.join("history.csv")))
        },
        fit: |learner| learner.fit_flat_cos(9, 0.03),
    },
    // Groups with rates of their own, the first frozen but for its normalisation; no schedule to lower.
    Run {
        build: |_| {
            let mut reduce = ReduceLrOnPlateau::default();
            reduce.monitor.min_delta = 1e9;
            let mut learner = bare().callback(reduce).split_at(&["5"]).unwrap();
            learner.freeze();
            learner
        },
        fit: |learner| learner.fit_one_cycle(2, 1e-3..=1e-2),
    },
];

/// All that is to be the same in the end: text, in which each number is written so that no other is
/// written like it.
fn outcome(learner: &Learner, dir: &Path) -> String {
    let recorder = learner.find::<Recorder>().unwrap();
    let rows = recorder.rows.iter().map(|row| (row.train_loss, row.valid_loss, &row.metrics));
    let rows: Vec<_> = rows.collect();
    let state = &learner.state;
    let layers = learner.find::<ActivationStats>().map(|stats| &stats.layers);
    let profiled = learner.find::<Profiler>().map(|profiler| {
        profiler.layers.iter().map(|layer| (&layer.path, layer.images)).collect::<Vec<_>>()
    });
    let history = fs::read_to_string(dir.join("history.csv")).unwrap_or_default();
    let history: Vec<_> = history.lines().map(|line| line.rsplit_once(',').unwrap().0).collect();
    let hypers: Vec<_> = Hyper::ALL.iter().map(|&hyper| state.optimizer.hyper(hyper)).collect();
    format!(
        "{:?}\n{:?}\n{hypers:?}\n{:?} {} {}\n{:?}\n{:?}\n{:?}\n{rows:?}\n{layers:?}\n{profiled:?}\n{history:?}\n{:?}",
        state_dict(&*state.model),
        state.optimizer.state_dict(),
        state.context.rng,
        state.step,
        state.passes,
        recorder.losses,
        recorder.smoothed_losses,
        recorder.hypers,
        fs::read(dir.join("best")).ok(),
    )
}

/// A folder for a run, a checkpoint in it, and a learner that stops after each batch and epoch.
fn stopping(run: &Run, dir: &Path) -> Learner {
    let stop = Arc::new(AtomicBool::new(true));
    let path = dir.join("checkpoint");
    (run.build)(dir).checkpoints(Checkpoints { path, stop, ..Default::default() })
}

#[test]
fn resumed_at_every_batch() {
    for (number, run) in RUNS.iter().enumerate() {
        let dir = tempfile::tempdir().unwrap();
        let mut learner = (run.build)(dir.path());
        (run.fit)(&mut learner).unwrap();
        let expected = outcome(&learner, dir.path());

        // One batch, or the end of an epoch, a learner.
        let dir = tempfile::tempdir().unwrap();
        let mut checkpoints = vec![];
        let last = loop {
            assert!(checkpoints.len() < 100, "run {number} gets nowhere");
            let mut learner = stopping(run, dir.path());
            checkpoints.last().cloned().into_iter().for_each(|last| learner.resume(last));
            match (run.fit)(&mut learner) {
                Ok(()) => break learner,
                Err(Error::Stopped { path, .. }) => {
                    checkpoints.push(Checkpoint::load(&path).unwrap())
                }
                Err(error) => panic!("run {number}: {error}"),
            }
        };
        assert!(outcome(&last, dir.path()) == expected, "run {number}, batch by batch");
        // Of 5 batches to train on, 1 or 2 to validate on.
        assert!(checkpoints.len() >= 2 * 7, "{}", checkpoints.len());

        // From each of them to the end.
        for checkpoint in checkpoints {
            let dir = tempfile::tempdir().unwrap();
            let mut learner = (run.build)(dir.path());
            let place = format!("run {number}, step {}", checkpoint.step());
            learner.resume(checkpoint);
            (run.fit)(&mut learner).unwrap();
            assert!(outcome(&learner, dir.path()) == expected, "{place}");
        }
    }
}

/// Writing them changes nothing either, and threads do not matter.
#[test]
fn checkpoints_change_nothing() {
    let run = &RUNS[0];
    let fit = |every: Option<Every>, threads| {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("checkpoint");
        let mut learner = (run.build)(dir.path());
        if every.is_some() {
            let checkpoints = Checkpoints { path: path.clone(), every, ..Default::default() };
            learner = learner.checkpoints(checkpoints);
        }
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| (run.fit)(&mut learner).unwrap());
        let step = every.map(|_| Checkpoint::load(&path).unwrap().step());
        (outcome(&learner, dir.path()), step)
    };
    let (expected, _) = fit(None, 1);
    for (every, step) in [(Every::Batches(4), 12), (Every::Epochs(2), 10), (Every::Epochs(1), 15)] {
        for threads in [1, 3] {
            let (outcome, last) = fit(Some(every), threads);
            assert!(outcome == expected, "{every} on {threads} threads");
            assert_eq!(last, Some(step), "{every}");
        }
    }
}

/// A checkpoint of run 0, of 2 steps.
fn checkpoint(dir: &Path) -> Checkpoint {
    let mut learner = stopping(&RUNS[0], dir);
    for _ in 0..2 {
        let error = (RUNS[0].fit)(&mut learner).unwrap_err();
        let Error::Stopped { path, .. } = &error else { panic!("{error}") };
        let words = error.to_string();
        assert!(words.contains("stopped in epoch 0") && words.contains("checkpoint"), "{words}");
        learner = stopping(&RUNS[0], dir);
        learner.resume(Checkpoint::load(path).unwrap());
    }
    Checkpoint::load(&dir.join("checkpoint")).unwrap()
}

#[test]
fn another_run_is_refused_by_what_differs() {
    let dir = tempfile::tempdir().unwrap();
    let checkpoint = checkpoint(dir.path());
    let one_cycle: fn(&mut Learner) -> Result<()> = |learner| learner.fit_one_cycle(3, 0.05);
    let with = |data: DataLoaders| {
        Learner::new(data, net(), CrossEntropy::default())
            .metric(Accuracy::default())
            .callback(MixUp::new(0.4).unwrap())
            .callback(GradientAccumulation::new(24))
            .callback(GradientClip { max_norm: 0.1 })
            .callback(ActivationStats::default().with_histograms())
            .callback(SaveModel::new(dir.path().join("best")))
            .callback(CsvLogger::new(dir.path().join("history.csv")))
    };
    let refused = |mut learner: Learner, fit: fn(&mut Learner) -> Result<()>, words: &[&str]| {
        learner.resume(checkpoint.clone());
        let before = state_dict(&*learner.state.model);
        let error = fit(&mut learner).unwrap_err().to_string();
        for word in words {
            assert!(error.contains(word), "{word} in {error}");
        }
        assert_eq!(state_dict(&*learner.state.model), before);
    };
    refused(with(data(4, 42)), one_cycle, &["batch size in training is 4: expected 8, as in the"]);
    refused(with(data(8, 1)), one_cycle, &["shuffling in training", "seed 1", "seed 42"]);
    let other = with(data(8, 42)).optimizer(Sgd::default());
    refused(other, one_cycle, &["optimiser is SGD: expected Adam(decoupled=true"]);
    refused(with(data(8, 42)), |l| l.fit_one_cycle(4, 0.05), &["epochs is 4: expected 3"]);
    refused(with(data(8, 42)), |l| l.fit_one_cycle(3, 0.06), &["schedule of lr is 0.0024, 0.06"]);
    refused(with(data(8, 42)), |l| l.fit(3, 0.05), &["schedule of lr is 0.05, 0.05"]);
    let more = with(data(8, 42)).metric(ErrorRate::default());
    refused(more, one_cycle, &["metrics is accuracy, error_rate: expected accuracy, as"]);
    let more = with(data(8, 42)).callback(Profiler::default());
    refused(more, one_cycle, &["callbacks is ", "profiler", "expected param_scheduler"]);
    let other = (RUNS[0].build)(dir.path()).split_at(&["5"]).unwrap();
    refused(other, one_cycle, &["parameter groups is [0, 4]: expected [0]"]);

    // Other pixels, and a longer network.
    let darker = |splits: &Dataset| {
        let pixels = (0..splits.len()).flat_map(|i| splits.image(i).iter().map(|p| p / 2));
        let labels = splits.labels().to_vec();
        Dataset::new(pixels.collect(), [1, 6, 6], labels, splits.vocab().to_vec()).unwrap()
    };
    let (train, valid) = (data(8, 42).train, data(8, 42).valid);
    let splits = Splits::new(darker(train.dataset()), valid.dataset().clone()).unwrap();
    let normalize = Some(train.config().normalize.clone());
    let config = LoadersConfig { batch_size: 8, normalize, ..Default::default() };
    let other = with(DataLoaders::new(&splits, &config).unwrap());
    refused(other, one_cycle, &["hash of the data in training is "]);
    let mut other = with(data(8, 42));
    other.state.model = Box::new(net().push(Flatten));
    refused(other, one_cycle, &["layer 6 is Flatten", "expected none, as in the checkpoint"]);
}

#[test]
fn a_callback_that_does_not_say_what_to_save_is_refused() {
    struct Forgetful(usize);
    impl Callback for Forgetful {
        fn name(&self) -> &'static str {
            "forgetful"
        }
        fn after_batch(&mut self, _: &mut State) -> Flow {
            self.0 += 1;
            Ok(())
        }
    }
    // Without fields there is nothing to forget.
    struct Empty;
    impl Callback for Empty {
        fn name(&self) -> &'static str {
            "empty"
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("checkpoint");
    let every = Some(Every::Batches(1));
    let checkpoints = Checkpoints { path: path.clone(), every, ..Default::default() };
    let error = bare().callback(Forgetful(0)).checkpoints(checkpoints.clone()).fit(1, 0.1);
    let error = error.unwrap_err().to_string();
    assert!(error.contains("callback forgetful") && error.contains("saved_state"), "{error}");
    assert!(!path.exists());
    bare().callback(Forgetful(0)).fit(1, 0.1).unwrap();
    bare().callback(Empty).checkpoints(checkpoints).fit(1, 0.1).unwrap();
    assert_eq!(Checkpoint::load(&path).unwrap().step(), 5);
}

#[test]
fn lr_find_writes_no_checkpoint_and_leaves_the_one_to_go_on_from() {
    let dir = tempfile::tempdir().unwrap();
    let checkpoint = checkpoint(dir.path());
    let step = checkpoint.step();
    let mut learner = stopping(&RUNS[0], dir.path());
    learner.resume(checkpoint);
    learner.lr_find(&topedge_nn::LrFind { steps: 10, ..Default::default() }).unwrap();
    (RUNS[0].fit)(&mut learner).unwrap_err();
    assert_eq!(learner.state.step, step + 1);
}

/// A checkpoint that cannot be written ends the fit; the one before stays.
#[test]
fn a_checkpoint_that_cannot_be_written_ends_the_fit() {
    /// Puts a folder in the way after a number of batches.
    struct Obstacle(std::path::PathBuf, usize);
    impl Callback for Obstacle {
        fn name(&self) -> &'static str {
            "obstacle"
        }
        fn saved_state(&mut self) -> SavedState<'_> {
            SavedState::of(&mut self.1)
        }
        fn after_batch(&mut self, _: &mut State) -> Flow {
            self.1 -= 1;
            if self.1 == 0 {
                fs::rename(&self.0, self.0.with_extension("moved")).unwrap();
            }
            Ok(())
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("folder");
    fs::create_dir(&folder).unwrap();
    let path = folder.join("checkpoint");
    let checkpoints =
        Checkpoints { path: path.clone(), every: Some(Every::Batches(1)), ..Default::default() };
    let mut learner = bare().callback(Obstacle(folder, 3)).checkpoints(checkpoints);
    let error = learner.fit(1, 0.1).unwrap_err().to_string();
    assert!(error.starts_with("cannot write ") && error.contains("checkpoint"), "{error}");
    assert_eq!(learner.state.step, 3);
    let last = Checkpoint::load(&dir.path().join("folder.moved/checkpoint")).unwrap();
    assert_eq!(last.step(), 2);
}

#[test]
fn the_flag_to_stop_is_heard_in_validation_too() {
    struct StopIn(Arc<AtomicBool>);
    impl Callback for StopIn {
        fn name(&self) -> &'static str {
            "stop_in"
        }
        fn saved_state(&mut self) -> SavedState<'_> {
            SavedState::nothing()
        }
        fn after_batch(&mut self, state: &mut State) -> Flow {
            self.0.store(!state.is_training(), Ordering::Relaxed);
            Ok(())
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("checkpoint");
    let stop = Arc::new(AtomicBool::new(false));
    let checkpoints =
        Checkpoints { path: path.clone(), stop: Arc::clone(&stop), ..Default::default() };
    let mut learner = bare().callback(StopIn(stop)).checkpoints(checkpoints);
    let error = learner.fit(2, 0.1).unwrap_err();
    assert!(matches!(error, Error::Stopped { epoch: 0, step: 5, .. }), "{error}");
    assert_eq!((learner.state.batch, learner.state.batches), (1, 2));
}
