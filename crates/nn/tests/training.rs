//! Training as a whole: what callbacks, groups and the learning rate finder do to a run.

use std::sync::{Arc, Mutex};

use rand::SeedableRng;
use rand_pcg::Pcg64;
use topedge_data::digits::{self, Digits};
use topedge_data::{DataLoaders, Dataset, LoadersConfig, Splits};
use topedge_nn::callbacks::*;
use topedge_nn::layers::*;
use topedge_nn::losses::CrossEntropy;
use topedge_nn::metrics::Accuracy;
use topedge_nn::optim::{Hyper, Sgd};
use topedge_nn::*;

fn splits(train: usize) -> Splits {
    digits::generate(&Digits { train, valid: 64, ..Default::default() }).unwrap()
}

fn loaders(splits: &Splits, batch_size: usize) -> DataLoaders {
    DataLoaders::new(splits, &LoadersConfig { batch_size, ..Default::default() }).unwrap()
}

fn build(net: Net) -> Sequential {
    net.build(&NetConfig::default(), &mut Pcg64::seed_from_u64(1)).unwrap()
}

fn learner(net: Net) -> Learner {
    Learner::new(loaders(&splits(256), 32), build(net), CrossEntropy::default())
        .metric(Accuracy::default())
}

/// With dropout, so that random numbers matter too.
fn dropping() -> Learner {
    let mut rng = Pcg64::seed_from_u64(1);
    let model = Sequential::new()
        .push(
            conv(
                1,
                4,
                &BlockConfig { norm: Some(NormPlace::AfterActivation), ..Default::default() },
                &mut rng,
            )
            .unwrap(),
        )
        .push(Flatten)
        .push(Dropout::new(0.3).unwrap())
        .push(Linear::new(4 * 14 * 14, 10, &LinearConfig::default(), &mut rng).unwrap());
    Learner::new(loaders(&splits(256), 32), model, CrossEntropy::default())
}

fn state(learner: &Learner) -> StateDict {
    state_dict(&*learner.state.model)
}

#[test]
fn the_finder_leaves_no_trace() {
    let run = |find: bool| {
        let mut learner = dropping()
            .callback(MixUp::new(0.4).unwrap())
            .callback(ActivationStats::default())
            .callback(GradientClip::default());
        // Averages and running statistics are not at their start.
        learner.fit(1, 0.01).unwrap();
        let before = state(&learner);
        let losses = learner.find::<Recorder>().unwrap().losses.clone();
        if find {
            let order = learner.callback_order().unwrap();
            let row = learner.state.row.clone();
            let found = learner.lr_find(&LrFind::default()).unwrap();
            assert!(found.lrs.len() > 20 && found.lrs[0] == 1e-7, "{found:?}");
            assert!(found.valley.is_some() && found.minimum.is_some());
            assert_eq!(state(&learner), before);
            assert_eq!(learner.find::<Recorder>().unwrap().losses, losses);
            assert_eq!(
                learner.find::<ActivationStats>().unwrap().layers[0].mean.len(),
                losses.len()
            );
            assert_eq!(learner.callback_order().unwrap(), order);
            assert_eq!(learner.state.row, row);
        }
        learner.fit_one_cycle(2, 0.01).unwrap();
        let losses = learner.find::<Recorder>().unwrap().losses.clone();
        (state(&learner), losses)
    };
    let (with, without) = (run(true), run(false));
    assert!(with == without);
}

#[test]
fn the_finder_goes_up_by_equal_factors_and_stops_when_the_loss_is_four_times_the_best() {
    let mut learner = learner(Net::SimpleCnnBn).optimizer(Sgd::default());
    let find = LrFind { start: 1e-3, end: 1e3, steps: 60 };
    // Not above the rate that any fit refuses.
    let found = learner.lr_find(&LrFind { end: 50.0, ..find }).unwrap();
    let factor = (50.0_f64 / 1e-3).powf(1.0 / 60.0);
    for pair in found.lrs.windows(2) {
        assert!((pair[1] / pair[0] / factor - 1.0).abs() < 1e-9, "{pair:?}");
    }
    let best = found.losses.iter().copied().fold(f64::INFINITY, f64::min);
    let (last, before) = found.losses.split_last().unwrap();
    assert!(before.iter().all(|&loss| loss <= 4.0 * best));
    assert!(*last > 4.0 * best || found.lrs.len() == 60);
    for wrong in [
        LrFind { steps: 5, ..find },
        LrFind { start: 0.0, ..find },
        LrFind { end: 1e-4, ..find },
        LrFind { end: f64::NAN, ..find },
    ] {
        assert!(learner.lr_find(&wrong).unwrap_err().to_string().starts_with("lr_find is "));
    }
}

#[test]
fn every_way_to_fit_sets_its_rates() {
    let mut learner = learner(Net::SimpleNet);
    let rates = |learner: &Learner| learner.find::<Recorder>().unwrap().hyper(Hyper::Lr).to_vec();
    learner.fit_flat_cos(1, 0.01).unwrap();
    let flat = rates(&learner);
    assert_eq!((flat.len(), flat[0], flat[5]), (8, 0.01, 0.01));
    assert!(flat[7] < 0.006);
    learner.fit_sgdr(Sgdr { cycles: 2, ..Default::default() }, 0.01).unwrap();
    let cycles = rates(&learner);
    assert_eq!((cycles.len(), cycles[0], cycles[8]), (24, 0.01, 0.01));
    assert!(cycles[7] < 0.001 && cycles[23] < 0.001);
}

#[test]
fn a_groups_rate_is_that_of_training_at_it() {
    // At rate 0 the first group stays, at all others it moves.
    let mut learner = learner(Net::SimpleCnn).split_at(&["3"]).unwrap();
    assert_eq!(learner.groups(), 2);
    let before = state(&learner);
    learner.fit(1, 1e-30..=0.01).unwrap();
    let after = state(&learner);
    for ((name, before), (_, after)) in before.iter().zip(after.iter()) {
        assert_eq!(before == after, name < "3", "{name}");
    }
    // The next fit is for all groups alike.
    learner.fit(1, 0.01).unwrap();
    assert_ne!(state(&learner).get("0.0.weight"), before.get("0.0.weight"));
}

#[test]
fn groups_start_at_layers_with_parameters_in_order() {
    for layers in [&["7"][..], &["5"], &["0"], &["3", "2"], &["3", "3"], &[""]] {
        let error = learner(Net::SimpleCnn).split_at(layers).map(|_| ()).unwrap_err().to_string();
        assert!(error.starts_with("parameter group is "), "{layers:?}: {error}");
    }
}

#[test]
fn what_is_frozen_stays_and_normalisation_trains() {
    let mut learner = learner(Net::SimpleCnnBn).split_at(&["2", "4"]).unwrap();
    learner.freeze();
    let before = state(&learner);
    learner.fit(1, 0.01).unwrap();
    let after = state(&learner);
    for ((name, before), (_, after)) in before.iter().zip(after.iter()) {
        let convolution = name.contains(".0.");
        assert_eq!(before == after, convolution && name < "4", "{name}");
    }
    let summary = learner.summary().unwrap();
    assert_eq!(summary.trainable(), 5770 + 2 * (8 + 16 + 32 + 64 + 10));
    assert!(summary.to_string().contains("frozen"), "{summary}");

    learner.freeze_to(1);
    learner.fit(1, 0.01).unwrap();
    assert_eq!(state(&learner).get("1.0.weight"), before.get("1.0.weight"));
    assert_ne!(state(&learner).get("2.0.weight"), before.get("2.0.weight"));
    // A loaded state does not thaw.
    load_state_dict(&mut *learner.state.model, &before).unwrap();
    learner.fit(1, 0.01).unwrap();
    assert_eq!(state(&learner).get("0.0.weight"), before.get("0.0.weight"));
    learner.unfreeze();
    learner.fit(1, 0.01).unwrap();
    assert_ne!(state(&learner).get("0.0.weight"), before.get("0.0.weight"));
}

#[test]
fn four_accumulated_batches_are_one_of_four_times_the_size() {
    let splits = splits(256);
    let train = |batch_size, images: Option<usize>| {
        let model = build(Net::SimpleCnn);
        let mut learner =
            Learner::new(loaders(&splits, batch_size), model, CrossEntropy::default())
                .optimizer(Sgd::default());
        if let Some(images) = images {
            learner = learner.callback(GradientAccumulation::new(images));
        }
        learner.fit(1, 0.05).unwrap();
        let recorder = learner.find::<Recorder>().unwrap();
        (state(&learner), recorder.losses.clone())
    };
    let ((whole, _), (summed, losses)) = (train(256, None), train(64, Some(256)));
    // The loss on record is the whole one, not a quarter.
    assert!(losses.len() == 4 && losses.iter().all(|&loss| loss > 2.0), "{losses:?}");
    for ((name, whole), (_, summed)) in whole.iter().zip(summed.iter()) {
        let (StateValues::F32(a), StateValues::F32(b)) = (&whole.values, &summed.values) else {
            continue;
        };
        assert!(a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-5), "{name}");
    }
}

#[test]
fn settings_that_make_no_sense_are_refused() {
    let error = |mut learner: Learner| learner.fit(1, 0.01).unwrap_err().to_string();
    let accumulation = learner(Net::SimpleNet).callback(GradientAccumulation::new(0));
    assert!(error(accumulation).starts_with("gradient accumulation: images is 0"));
    for max_norm in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let clip = learner(Net::SimpleNet).callback(GradientClip { max_norm });
        assert!(error(clip).starts_with("gradient clipping: max_norm is "));
    }
}

/// Puts these validation losses into the rows.
struct Script(Vec<f64>);

impl Callback for Script {
    fn name(&self) -> &'static str {
        "script"
    }
    fn run_after(&self) -> Vec<std::any::TypeId> {
        vec![std::any::TypeId::of::<Recorder>()]
    }
    fn run_before(&self) -> Vec<std::any::TypeId> {
        vec![
            std::any::TypeId::of::<EarlyStopping>(),
            std::any::TypeId::of::<SaveModel>(),
            std::any::TypeId::of::<ReduceLrOnPlateau>(),
        ]
    }
    fn after_epoch(&mut self, state: &mut State) -> Flow {
        if let Some(row) = &mut state.row {
            row.valid_loss = Some(self.0[state.epoch]);
        }
        Ok(())
    }
}

#[test]
fn training_stops_early() {
    let run = |patience, min_delta, losses: &[f64]| {
        let mut stopping = EarlyStopping::default();
        (stopping.patience, stopping.monitor.min_delta) = (patience, min_delta);
        let mut learner =
            learner(Net::SimpleNet).callback(stopping).callback(Script(losses.to_vec()));
        learner.fit(losses.len(), 0.01).unwrap();
        learner.find::<Recorder>().unwrap().rows.len()
    };
    assert_eq!(run(1, 0.0, &[3.0, 2.0, 2.5, 1.0]), 3);
    assert_eq!(run(2, 0.0, &[3.0, 2.0, 2.5, 1.0, 1.0, 1.1, 0.0]), 6);
    assert_eq!(run(1, 0.5, &[3.0, 2.0, 1.9, 1.0]), 3);
    assert_eq!(run(1, 0.0, &[3.0, f64::NAN, 1.9, 1.0]), 2);
}

#[test]
fn what_is_monitored_must_be_there() {
    let mut stopping = EarlyStopping::default();
    stopping.monitor = Monitor::of("f1");
    let error = learner(Net::SimpleNet).callback(stopping).fit(1, 0.01).unwrap_err().to_string();
    assert_eq!(error, "monitor is f1: expected one of train_loss, valid_loss, accuracy");
}

#[test]
fn the_rate_falls_on_a_plateau() {
    let run = |reduce: ReduceLrOnPlateau, losses: &[f64]| {
        let mut learner =
            learner(Net::SimpleNet).callback(reduce).callback(Script(losses.to_vec()));
        learner.fit(losses.len(), 0.01).unwrap();
        let rates = learner.find::<Recorder>().unwrap().hyper(Hyper::Lr).to_vec();
        assert_eq!(learner.state.optimizer.hyper(Hyper::Lr), Some(1e-3));
        rates.into_iter().step_by(8).collect::<Vec<_>>()
    };
    let close = |got: Vec<f64>, expected: &[f64]| {
        assert_eq!(got.len(), expected.len());
        for (got, expected) in got.iter().zip(expected) {
            assert!((got / expected - 1.0).abs() < 1e-12, "{got} is not {expected}");
        }
    };
    let default = ReduceLrOnPlateau::default();
    close(run(default.clone(), &[3.0, 3.0, 2.0, 2.0, 2.0]), &[0.01, 0.01, 1e-3, 1e-3, 1e-4]);
    let mut gentle = default;
    (gentle.patience, gentle.factor, gentle.min_lr) = (2, 4.0, 1e-3);
    close(run(gentle, &[1.0; 6]), &[0.01, 0.01, 0.01, 2.5e-3, 2.5e-3, 1e-3]);
}

#[test]
fn the_best_network_is_kept() {
    struct States(Arc<Mutex<Vec<StateDict>>>);
    impl Callback for States {
        fn name(&self) -> &'static str {
            "states"
        }
        fn after_epoch(&mut self, state: &mut State) -> Flow {
            self.0.lock().unwrap().push(state_dict(&*state.model));
            Ok(())
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("best.safetensors");
    let states = Arc::new(Mutex::new(vec![]));
    let mut save = SaveModel::new(&path);
    save.metadata.insert("net".to_string(), "simple-net".to_string());
    let mut learner = learner(Net::SimpleNet)
        .callback(save)
        .callback(Script(vec![3.0, 1.0, 2.0]))
        .callback(States(Arc::clone(&states)));
    learner.fit(3, 0.01).unwrap();
    let states = states.lock().unwrap();
    assert_eq!(state(&learner), states[1]);
    let saved = ModelFile::load(&path).unwrap();
    assert_eq!(saved.metadata["net"], "simple-net");
    for (name, tensor) in states[1].iter() {
        assert_eq!(saved.state.get(name), Some(tensor), "{name}");
    }
}

#[test]
fn mixed_images_train_a_network() {
    let mixups: [fn(Learner) -> Learner; 2] = [
        |learner| learner.callback(MixUp::new(0.4).unwrap()),
        |learner| learner.callback(CutMix::new(1.0).unwrap()),
    ];
    for mix in mixups {
        let data = loaders(&splits(2000), 50);
        let mut learner = mix(Learner::new(data, build(Net::SimpleCnnBn), CrossEntropy::default()))
            .metric(Accuracy::default());
        learner.fit_one_cycle(3, 0.02).unwrap();
        let row = learner.state.row.clone().unwrap();
        // Validation is on whole images, which are easier.
        assert!(row.valid_loss < row.train_loss, "{row:?}");
        assert!(row.metric("accuracy").unwrap() > 0.7, "{row:?}");
    }
}

#[test]
fn statistics_are_reset_and_of_training_batches_alone() {
    let mut learner = learner(Net::SimpleCnnBn).callback(ActivationStats::default());
    learner.fit(2, 0.01).unwrap();
    learner.fit(1, 0.01).unwrap();
    let stats = learner.find::<ActivationStats>().unwrap();
    assert!(learner.find_named("activation_stats").is_some());
    let paths: Vec<_> = stats.layers.iter().map(|layer| &*layer.path).collect();
    assert_eq!(paths, ["0.0", "0.2", "1.0", "1.2", "2.0", "2.2", "3.0", "3.2", "4.0", "4.1"]);
    for layer in &stats.layers {
        assert_eq!((layer.mean.len(), layer.std.len(), layer.near_zero.len()), (8, 8, 8));
        assert!(layer.histograms.is_empty());
    }
    assert_eq!(stats.layer_stats(-1), stats.layers.last());
    assert_eq!(stats.layer_stats(0), stats.layers.first());
    assert_eq!((stats.layer_stats(10), stats.layer_stats(-11)), (None, None));

    let filter = |_: &str, layer: &dyn Module| layer.kind() == "ReLU";
    let mut learner =
        self::learner(Net::SimpleCnn).callback(ActivationStats::of(filter).with_histograms());
    learner.fit(1, 0.01).unwrap();
    let stats = learner.find::<ActivationStats>().unwrap();
    assert_eq!(stats.layers.len(), 4);
    // ReLU leaves nothing below 0, and nothing here is above 10.
    for layer in &stats.layers {
        assert!(layer.histograms.columns().iter().all(|bins| bins.iter().sum::<u32>() % 32 == 0));
    }
}

#[test]
fn looking_on_changes_nothing() {
    let run = |look: bool| {
        let mut learner = learner(Net::SimpleCnnBn);
        if look {
            learner = learner
                .callback(ActivationStats::default().with_histograms())
                .callback(Profiler::default());
        }
        learner.fit(1, 0.01).unwrap();
        state(&learner)
    };
    assert!(run(true) == run(false));
}

#[test]
fn measured_times_are_in_the_summary() {
    let mut learner = learner(Net::SimpleCnnBn).callback(Profiler::default());
    assert!(learner.summary().unwrap().layers.iter().all(|layer| layer.measured.is_none()));
    learner.fit(1, 0.01).unwrap();
    let summary = learner.summary().unwrap();
    for layer in &summary.layers {
        let measured = layer.measured.unwrap();
        assert!(measured.forward_seconds > 0.0 && measured.backward_seconds > 0.0, "{layer:?}");
        assert_eq!(measured.gflops.is_some(), layer.multiply_adds > 0);
    }
    let row = learner.state.row.clone().unwrap();
    let times = &learner.find::<Profiler>().unwrap().layers;
    let all: f64 = times.iter().map(|layer| layer.forward_seconds + layer.backward_seconds).sum();
    assert!(all < row.train_seconds, "{all} {row:?}");
    let training = summary.training.as_ref().unwrap();
    assert_eq!((training.optimizer, training.loss), ("Adam", "CrossEntropy"));
    assert!(training.callbacks.contains(&"profiler"));
    println!("{summary}");
}

#[test]
fn checks_before_training() {
    let splits = splits(256);
    let check = |model: Sequential, lr: f64| {
        let mut learner = Learner::new(loaders(&splits, 32), model, CrossEntropy::default());
        learner.check(lr).map_err(|error| error.to_string())
    };
    assert_eq!(check(build(Net::SimpleCnnBn), 0.06), Ok(vec![]));
    let kinds = |findings: Vec<Finding>| findings.iter().map(|f| f.kind).collect::<Vec<_>>();
    for lr in [1e-12, 3.0] {
        assert_eq!(kinds(check(build(Net::SimpleCnnBn), lr).unwrap()), [FindingKind::OddRate]);
    }
    for lr in [1e4, -1.0, f64::NAN] {
        let error = check(build(Net::SimpleCnnBn), lr).unwrap_err();
        assert!(error.starts_with("lr is ") && error.contains("at most 100"), "{error}");
    }

    // One output for each pixel.
    let error = check(build(Net::BrokenCnn), 0.01).unwrap_err();
    let expected = "output of the network: expected [batch, classes], at least 10 outputs, found \
                    [batch 1, channels 1, height 28, width 28]; the shapes on the way: image [batch 1, \
                    channels 1, height 28, width 28], 0 Conv2d [batch 1, channels 30, height 28, width 28]";
    assert!(error.starts_with(expected), "{error}");

    // Layers that do not fit together.
    let mut rng = Pcg64::seed_from_u64(1);
    let block = |i, o, rng: &mut Pcg64| conv(i, o, &BlockConfig::default(), rng).unwrap();
    let wrong = Sequential::new().push(block(1, 8, &mut rng)).push(block(4, 8, &mut rng));
    let error = check(wrong, 0.01).unwrap_err();
    assert!(error.starts_with("layer 1.0, Conv2d(4, 8"), "{error}");
    assert!(error.contains("0.1 ReLU [batch 1, channels 8, height 14, width 14]"), "{error}");

    // A last grid of 2x2.
    let grid = Sequential::new()
        .push(block(1, 8, &mut rng))
        .push(block(8, 8, &mut rng))
        .push(block(8, 8, &mut rng))
        .push(block(8, 3, &mut rng))
        .push(Flatten);
    let warnings = check(grid, 0.01).unwrap();
    assert_eq!(warnings[0].layer.as_deref(), Some("4"));
    assert!(warnings[0].text.starts_with("The last grid is 2x2, not 1x1"), "{}", warnings[0]);
    assert_eq!(kinds(warnings), [FindingKind::FlattenedGrid]);
}

#[test]
fn splits_are_checked_before_training() {
    let whole = splits(256);
    let vocab = || ["a", "b"].map(str::to_string).to_vec();
    let empty = Dataset::new(vec![], [1, 28, 28], vec![], whole.train.vocab().to_vec()).unwrap();
    let other = Dataset::new(vec![0; 784], [1, 28, 28], vec![0], vocab()).unwrap();
    for (valid, words) in [(empty, "the validation set holds no images"), (other, "found a, b")] {
        let mut data = loaders(&whole, 32);
        let config = data.valid.config().clone();
        data.valid = topedge_data::DataLoader::new(valid, config).unwrap();
        let mut learner = Learner::new(data, build(Net::SimpleCnn), CrossEntropy::default());
        let error = learner.fit(1, 0.01).unwrap_err().to_string();
        assert!(error.ends_with(words), "{error}");
    }
}

#[test]
fn a_wholly_frozen_network_is_refused() {
    let mut learner = learner(Net::SimpleCnn);
    learner.freeze_to(1);
    let error = learner.fit(1, 0.01).unwrap_err().to_string();
    assert!(error.contains("not frozen"), "{error}");
}
