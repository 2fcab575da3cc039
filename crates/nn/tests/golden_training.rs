//! The parts of training against fastai and PyTorch. `golden/training.py` made the expected values,
//! with fastai 2.8.12 and PyTorch 2.15.

use rand::SeedableRng;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use topedge_autograd::{CrossEntropyConfig, Mode, Tape, Tensor};
use topedge_data::{DataLoaders, Dataset, LoadersConfig, Normalize, Splits};
use topedge_nn::callbacks::{ActivationStats, GradientClip, Recorder};
use topedge_nn::layers::{BatchNorm2d, Flatten, Linear, LinearConfig, Sequential};
use topedge_nn::losses::{CrossEntropy, Loss};
use topedge_nn::optim::{Adam, Hyper, Optimizer, Sgd};
use topedge_nn::{
    Callback, Context, Learner, LrFound, Module, Observed, Schedule, Sgdr, StateTensor,
    StateValues, flat_cos, load_state_dict, one_cycle, parameters, sgdr, state_dict,
};

/// One part of the golden file.
fn golden<T: DeserializeOwned>(part: &str) -> T {
    let mut all: Value = serde_json::from_str(include_str!("golden/training.json")).unwrap();
    serde_json::from_value(all[part].take()).unwrap()
}

fn assert_close(what: &str, got: &[f32], expected: &[f32]) {
    assert_eq!(got.len(), expected.len(), "{what}");
    for (i, (got, expected)) in got.iter().zip(expected).enumerate() {
        let tolerance = 1e-5 * expected.abs().max(1.0);
        assert!((got - expected).abs() <= tolerance, "{what} {i}: {got} is not {expected}");
    }
}

fn assert_near(what: &str, got: f64, expected: f64) {
    assert!((got - expected).abs() <= 1e-5 * expected.abs(), "{what}: {got} is not {expected}");
}

/// A linear layer from 2 inputs to 3 outputs: a weight of 6 values and a bias of 3.
fn linear() -> Sequential {
    let mut rng = rand_pcg::Pcg64::seed_from_u64(1);
    let layer = Linear::new(2, 3, &LinearConfig::default(), &mut rng).unwrap();
    Sequential::new().push(Flatten).push(layer)
}

fn learner(model: Sequential) -> Learner {
    let vocab = ["a", "b", "c"].map(str::to_string).to_vec();
    let data = Dataset::new(vec![0; 6], [1, 1, 2], vec![0, 1, 2], vocab).unwrap();
    let splits = Splits::new(data.clone(), data).unwrap();
    let config = LoadersConfig { batch_size: 3, ..Default::default() };
    Learner::new(DataLoaders::new(&splits, &config).unwrap(), model, CrossEntropy::default())
}

fn values(model: &dyn Module) -> Vec<Vec<f32>> {
    parameters(model).iter().map(|(_, parameter)| parameter.value.to_vec()).collect()
}

fn load(model: &mut dyn Module, values: &[Vec<f32>]) {
    let state = state_dict(model);
    let entries = state.iter().zip(values).map(|((name, tensor), values)| {
        let (shape, values) = (tensor.shape.clone(), StateValues::F32(values.clone()));
        (name.to_string(), StateTensor { shape, values })
    });
    load_state_dict(model, &entries.collect()).unwrap();
}

fn put_gradients(model: &dyn Module, gradients: &[Vec<f32>]) {
    for ((_, parameter), gradient) in parameters(model).iter().zip(gradients) {
        parameter.value.zero_grad();
        let gradient = Tensor::new(gradient.clone(), parameter.value.shape()).unwrap();
        Tape::new().backward_with(&parameter.value, &gradient).unwrap();
    }
}

#[test]
fn schedules() {
    #[derive(Deserialize)]
    struct Part {
        lr: f64,
        positions: Vec<f64>,
        values: std::collections::BTreeMap<String, Vec<f64>>,
    }
    let part: Part = golden("schedules");
    let cycles = Sgdr { cycles: 3, cycle_len: 2, cycle_mult: 2 };
    let combined = Schedule::combine(vec![
        (0.1, Schedule::linear(0.02, 0.3)),
        (0.6, Schedule::polynomial(0.3, 0.1, 2.0)),
        (0.3, Schedule::exponential(0.1, 1e-4)),
    ]);
    let [(_, one_cycle_lr), (_, one_cycle_momentum)] =
        one_cycle(part.lr).try_into().expect("rate and momentum");
    let made = [
        ("one_cycle_lr", one_cycle_lr),
        ("one_cycle_momentum", one_cycle_momentum),
        ("flat_cos", flat_cos(part.lr).remove(0).1),
        ("sgdr", sgdr(cycles, part.lr).unwrap().remove(0).1),
        ("combined", combined.unwrap()),
    ];
    for (name, schedule) in made {
        for (&position, &expected) in part.positions.iter().zip(&part.values[name]) {
            let got = schedule.at(position);
            let close = (got - expected).abs() <= 1e-5 * part.lr.max(expected.abs());
            assert!(close, "{name} at {position}: {got} is not {expected}");
        }
    }
}

#[test]
fn activation_stats() {
    #[derive(Deserialize)]
    struct Part {
        x: Vec<f32>,
        mean: f64,
        std: f64,
        near_zero: f64,
        hist: Vec<f64>,
    }
    let part: Part = golden("activation_stats");
    let mut learner = learner(linear());
    let mut stats = ActivationStats::of(|_, _| true).with_histograms();
    let state = &mut learner.state;
    state.context.mode = Mode::Train;
    stats.before_fit(state).unwrap();
    stats.before_batch(state).unwrap();
    let mut x = Tensor::new(part.x, &[6, 5, 7, 9]).unwrap();
    stats.layer_observer().unwrap().tell(&mut Observed {
        path: "0",
        module: &Flatten,
        input_shape: &[6, 5, 7, 9],
        output: &mut x,
        seconds: 0.0,
    });
    state.loss = Some(Tensor::scalar(1.0));
    stats.after_batch(state).unwrap();
    let layer = stats.layer_stats(-1).unwrap();
    assert_near("mean", layer.mean[0], part.mean);
    assert_near("std", layer.std[0], part.std);
    assert_near("near zero", layer.near_zero[0], part.near_zero);
    assert_eq!(layer.histograms.columns()[0].map(f64::from).to_vec(), part.hist);
}

#[test]
fn optimizers() {
    #[derive(Deserialize)]
    struct Run {
        start: Vec<Vec<f32>>,
        gradients: Vec<Vec<Vec<f32>>>,
        values: Vec<Vec<Vec<f32>>>,
    }
    let runs: std::collections::BTreeMap<String, Run> = golden("optimizers");
    let mut adams = [Adam::fastai(), Adam::pytorch()];
    let mut sgds = [Sgd::default(), Sgd::default()];
    adams.iter_mut().for_each(|adam| (adam.lr, adam.weight_decay) = (0.05, 0.1));
    sgds.iter_mut().for_each(|sgd| (sgd.lr, sgd.momentum) = (0.05, 0.9));
    sgds[0].weight_decay = 0.1;
    let ([fastai, pytorch], [sgd_fastai, sgd_pytorch]) = (&mut adams, &mut sgds);
    let optimizers: [(&str, &mut dyn Optimizer); 4] = [
        ("adam_fastai", fastai),
        ("adam_pytorch", pytorch),
        ("sgd_fastai", sgd_fastai),
        ("sgd_pytorch", sgd_pytorch),
    ];
    for (name, optimizer) in optimizers {
        let run = &runs[name];
        let mut model = linear();
        load(&mut model, &run.start);
        for (gradients, expected) in run.gradients.iter().zip(&run.values) {
            put_gradients(&model, gradients);
            optimizer.step(&mut model).unwrap();
            assert_close(name, &values(&model).concat(), &expected.concat());
        }
    }
}

#[test]
fn smoothed_loss() {
    #[derive(Deserialize)]
    struct Part {
        losses: Vec<f32>,
        values: Vec<f64>,
    }
    let part: Part = golden("smoothed_loss");
    let mut learner = learner(linear());
    let mut recorder = Recorder::default();
    let state = &mut learner.state;
    state.context.mode = Mode::Train;
    recorder.before_fit(state).unwrap();
    for (&loss, &expected) in part.losses.iter().zip(&part.values) {
        state.loss = Some(Tensor::scalar(loss));
        recorder.after_batch(state).unwrap();
        assert_near("smoothed loss", state.smoothed_loss.unwrap(), expected);
    }
}

#[test]
fn suggested_rates() {
    #[derive(Deserialize)]
    struct Curve {
        lrs: Vec<f64>,
        losses: Vec<f64>,
        suggestions: std::collections::BTreeMap<String, Option<[f64; 3]>>,
    }
    let curves: Vec<Curve> = golden("lr_find");
    for (i, curve) in curves.into_iter().enumerate() {
        let found = LrFound::of_curve(curve.lrs, curve.losses, 100);
        let suggestions = [
            ("valley", found.valley),
            ("steep", found.steep),
            ("minimum", found.minimum),
            ("slide", found.slide),
        ];
        for (name, got) in suggestions {
            let got =
                got.map(|suggestion| [suggestion.lr, suggestion.point[0], suggestion.point[1]]);
            let expected = curve.suggestions[name];
            assert_eq!(got.is_some(), expected.is_some(), "{name} of curve {i}");
            for (got, expected) in got.iter().flatten().zip(expected.iter().flatten()) {
                assert_near(&format!("{name} of curve {i}"), *got, *expected);
            }
        }
    }
}

#[test]
fn batch_norm() {
    #[derive(Deserialize)]
    struct Batch {
        x: Vec<f32>,
        dy: Vec<f32>,
        y: Vec<f32>,
        dx: Vec<f32>,
        dweight: Vec<f32>,
        dbias: Vec<f32>,
        running_mean: Vec<f32>,
        running_var: Vec<f32>,
    }
    #[derive(Deserialize)]
    struct Part {
        weight: Vec<f32>,
        bias: Vec<f32>,
        batches: Vec<Batch>,
        evaluated: std::collections::BTreeMap<String, Vec<f32>>,
    }
    let part: Part = golden("batch_norm");
    let images =
        |values: &[f32]| Tensor::new(values.to_vec(), &[values.len() / 18, 3, 2, 3]).unwrap();
    let mut norm: BatchNorm2d = BatchNorm2d::new(3).unwrap();
    let mut state = state_dict(&norm);
    state = state
        .iter()
        .map(|(name, tensor)| {
            let mut tensor = tensor.clone();
            match name {
                "weight" => tensor.values = StateValues::F32(part.weight.clone()),
                "bias" => tensor.values = StateValues::F32(part.bias.clone()),
                _ => {}
            }
            (name.to_string(), tensor)
        })
        .collect();
    load_state_dict(&mut norm, &state).unwrap();
    for batch in &part.batches {
        let x = images(&batch.x).requires_grad();
        topedge_nn::zero_grad(&mut norm);
        let tape = Tape::new();
        let y = norm.forward(&x, &mut Context::train(1)).unwrap();
        tape.backward_with(&y, &images(&batch.dy)).unwrap();
        assert_close("y", &y.to_vec(), &batch.y);
        assert_close("dx", &x.grad().unwrap().to_vec(), &batch.dx);
        let gradients: Vec<_> = parameters(&norm)
            .iter()
            .map(|(_, parameter)| parameter.value.grad().unwrap().to_vec())
            .collect();
        assert_close("dweight", &gradients[0], &batch.dweight);
        assert_close("dbias", &gradients[1], &batch.dbias);
        let state = state_dict(&norm);
        for (name, expected) in
            [("running_mean", &batch.running_mean), ("running_var", &batch.running_var)]
        {
            let StateValues::F32(got) = &state.get(name).unwrap().values else {
                panic!("{name} is a counter");
            };
            assert_close(name, got, expected);
        }
    }
    let y = norm.forward(&images(&part.evaluated["x"]), &mut Context::eval()).unwrap();
    assert_close("evaluated", &y.to_vec(), &part.evaluated["y"]);
}

#[test]
fn normalize() {
    #[derive(Deserialize)]
    struct Part {
        pixels: Vec<f32>,
        mean: Vec<f32>,
        std: Vec<f32>,
        values: Vec<f32>,
    }
    let part: Part = golden("normalize");
    let pixels: Vec<u8> = part.pixels.iter().map(|&p| p as u8).collect();
    let data = Dataset::new(pixels, [3, 5, 4], vec![0; 7], vec!["x".into()]).unwrap();
    let indices: Vec<usize> = (0..7).collect();
    let normalize = Normalize::of_batch(&data, &indices).unwrap();
    assert_close("mean", &normalize.mean, &part.mean);
    assert_close("std", &normalize.std, &part.std);
    let values = indices.iter().flat_map(|&i| normalize.apply(data.image(i)).unwrap());
    assert_close("values", &values.collect::<Vec<_>>(), &part.values);
}

#[test]
fn cross_entropy_with_smoothing_and_weights() {
    #[derive(Deserialize)]
    struct Case {
        smoothing: f64,
        weights: Option<Vec<f32>>,
        x: Vec<f32>,
        labels: Vec<u32>,
        loss: f32,
        gradient: Vec<f32>,
        each: Vec<f32>,
    }
    let cases: Vec<Case> = golden("cross_entropy");
    for case in cases {
        let loss = CrossEntropy(CrossEntropyConfig {
            label_smoothing: case.smoothing,
            class_weights: case.weights,
            ..Default::default()
        });
        let x = Tensor::new(case.x, &[8, 5]).unwrap().requires_grad();
        let tape = Tape::new();
        let mean = loss.forward(&x, &case.labels).unwrap();
        tape.backward(&mean).unwrap();
        assert_close("loss", &[mean.item().unwrap()], &[case.loss]);
        assert_close("gradient", &x.grad().unwrap().to_vec(), &case.gradient);
        let each = loss.per_image(&x, &case.labels).unwrap();
        assert_close("loss of each image", &each.to_vec(), &case.each);
    }
}

#[test]
fn clipping_by_global_norm() {
    #[derive(Deserialize)]
    struct Case {
        max_norm: f64,
        before: Vec<Vec<f32>>,
        after: Vec<Vec<f32>>,
    }
    let cases: Vec<Case> = golden("clipping");
    for Case { max_norm, before, after } in cases {
        let mut learner = learner(linear());
        put_gradients(&*learner.state.model, &before);
        GradientClip { max_norm }.before_step(&mut learner.state).unwrap();
        let gradients = parameters(&*learner.state.model);
        let gradients = gradients.iter().map(|(_, p)| p.value.grad().unwrap().to_vec());
        assert_close("gradients", &gradients.collect::<Vec<_>>().concat(), &after.concat());
    }
}

#[test]
fn rates_of_parameter_groups() {
    let expected: Vec<f64> = golden("even_mults");
    let mut rng = rand_pcg::Pcg64::seed_from_u64(1);
    let config = LinearConfig::default();
    let mut model = Sequential::new().push(Flatten);
    for (i, o) in [(2, 4), (4, 4), (4, 4), (4, 3)] {
        model = model.push(Linear::new(i, o, &config, &mut rng).unwrap());
    }
    let mut learner = learner(model).split_at(&["2", "3", "4"]).unwrap();
    learner.fit(1, 1e-4..=3e-2).unwrap();
    let rates = parameters(&*learner.state.model);
    for (i, (name, parameter)) in rates.iter().enumerate() {
        assert_near(name, parameter.lr_scale * 3e-2, expected[i / 2]);
    }
    let recorder = learner.find::<Recorder>().unwrap();
    assert_eq!(recorder.hyper(Hyper::Lr), [3e-2]);
}
