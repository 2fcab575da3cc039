//! Where frameworks tend to differ, ours answers as PyTorch does. `golden/parity.py` made the
//! expected values, with PyTorch 2.15.

use rand::SeedableRng;
use rand_pcg::Pcg64;
use serde::Deserialize;
use topedge_autograd::{CrossEntropyConfig, Tape, Tensor};
use topedge_kernels::pool::Pool2dConfig;
use topedge_nn::layers::{
    AvgPool2d, Conv2d, Conv2dConfig, ConvTranspose2d, ConvTranspose2dConfig, MaxPool2d, PadMode,
    Padding,
};
use topedge_nn::losses::{CrossEntropy, Loss};
use topedge_nn::{Context, Module, for_each_parameter_mut, parameters};

type Array = (Vec<usize>, Vec<f32>);

#[derive(Deserialize)]
struct Run {
    y: Array,
    dx: Array,
    dw: Vec<Array>,
}

#[derive(Deserialize)]
struct Convolution {
    mode: String,
    same: bool,
    #[serde(flatten)]
    run: Run,
}

#[derive(Deserialize)]
struct TransposedConfig {
    stride: [usize; 2],
    padding: [usize; 2],
    output_padding: [usize; 2],
    dilation: [usize; 2],
    groups: usize,
}

#[derive(Deserialize)]
struct Transposed {
    config: TransposedConfig,
    #[serde(flatten)]
    run: Run,
}

#[derive(Deserialize)]
struct PoolConfig {
    kernel: [usize; 2],
    stride: [usize; 2],
    padding: [usize; 2],
    ceil_mode: bool,
}

#[derive(Deserialize)]
struct Pool {
    config: PoolConfig,
    shape: [usize; 4],
    max: Run,
    counted: Run,
    uncounted: Run,
}

#[derive(Deserialize)]
struct Ties {
    y: Vec<Option<f32>>,
    dx: Vec<f32>,
}

#[derive(Deserialize)]
struct CrossEntropyCase {
    weights: Option<Vec<f32>>,
    smoothing: f64,
    ignored: Option<u32>,
    loss: f32,
    dx: Array,
}

#[derive(Deserialize)]
struct Golden {
    convolutions: Vec<Convolution>,
    transposed: Vec<Transposed>,
    pools: Vec<Pool>,
    ties: Ties,
    cross_entropies: Vec<CrossEntropyCase>,
}

fn golden() -> Golden {
    serde_json::from_str(include_str!("golden/parity.json")).unwrap()
}

fn wave(shape: &[usize], frequency: f64) -> Tensor {
    let len = shape.iter().product::<usize>();
    let values = (0..len).map(|i| (frequency * i as f64).sin() as f32);
    Tensor::new(values.collect(), shape).unwrap()
}

#[track_caller]
fn assert_close(what: &str, got: &Tensor, (shape, expected): &Array) {
    assert_eq!(got.shape(), shape, "{what}");
    for (i, (got, expected)) in got.to_vec().iter().zip(expected).enumerate() {
        let tolerance = 1e-5 * expected.abs().max(1.0);
        assert!((got - expected).abs() <= tolerance, "{what} {i}: {got} is not {expected}");
    }
}

fn check(what: &str, layer: &mut dyn Module, shape: &[usize], expected: &Run) {
    let mut frequencies = [0.9, 1.1].into_iter();
    for_each_parameter_mut(layer, |parameter| {
        let value = wave(parameter.value.shape(), frequencies.next().unwrap());
        parameter.value = value.requires_grad();
        Ok(())
    })
    .unwrap();
    let x = wave(shape, 0.7).requires_grad();
    let tape = Tape::new();
    let y = layer.forward(&x, &mut Context::train(1)).unwrap();
    tape.backward_with(&y, &wave(y.shape(), 0.3)).unwrap();
    assert_close(&format!("{what}: y"), &y, &expected.y);
    assert_close(&format!("{what}: dx"), &x.grad().unwrap(), &expected.dx);
    let parameters = parameters(layer);
    assert_eq!(parameters.len(), expected.dw.len());
    for ((name, parameter), expected) in parameters.iter().zip(&expected.dw) {
        let gradient = parameter.value.grad().unwrap();
        assert_close(&format!("{what}: gradient of {name}"), &gradient, expected);
    }
}

#[test]
fn convolutions_with_every_padding() {
    for case in golden().convolutions {
        let mode = PadMode::ALL.into_iter().find(|mode| mode.name() == case.mode).unwrap();
        let config = Conv2dConfig {
            padding: if case.same { Padding::Same } else { Padding::Explicit([1, 2]) },
            padding_mode: mode,
            dilation: [1, 2],
            ..Default::default()
        };
        let mut layer = Conv2d::new(2, 3, [4, 3], &config, &mut Pcg64::seed_from_u64(1)).unwrap();
        let what = layer.config();
        check(&what, &mut layer, &[2, 2, 5, 6], &case.run);
    }
}

#[test]
fn transposed_convolutions() {
    for case in golden().transposed {
        let TransposedConfig { stride, padding, output_padding, dilation, groups } = case.config;
        let config = ConvTranspose2dConfig {
            stride,
            padding,
            output_padding,
            dilation,
            groups,
            ..Default::default()
        };
        let mut layer =
            ConvTranspose2d::new(4, 6, [3, 2], &config, &mut Pcg64::seed_from_u64(1)).unwrap();
        let what = layer.config();
        check(&what, &mut layer, &[2, 4, 3, 4], &case.run);
    }
}

#[test]
fn pooling_at_borders() {
    for case in golden().pools {
        let PoolConfig { kernel, stride, padding, ceil_mode } = case.config;
        let config = Pool2dConfig { stride, padding, ceil_mode, ..Pool2dConfig::new(kernel) };
        assert!(config.count_include_pad, "as in PyTorch, padding counts if nothing is said");
        check("max", &mut MaxPool2d(config), &case.shape, &case.max);
        check("counted", &mut AvgPool2d(config), &case.shape, &case.counted);
        let config = Pool2dConfig { count_include_pad: false, ..config };
        check("uncounted", &mut AvgPool2d(config), &case.shape, &case.uncounted);
    }
}

#[test]
fn the_first_maximum_gets_the_gradient_and_nan_wins() {
    let golden = golden().ties;
    let values = vec![1.0, 3.0, 3.0, 0.0, 3.0, 2.0, 3.0, f32::NAN, 1.0, 1.0, 1.0, 1.0];
    let x = Tensor::new(values, &[1, 1, 3, 4]).unwrap().requires_grad();
    let config = Pool2dConfig { stride: [1, 1], ..Pool2dConfig::new([2, 2]) };
    let tape = Tape::new();
    let y = x.max_pool2d(&config).unwrap();
    let dy = (1..=6_u8).map(f32::from).collect();
    tape.backward_with(&y, &Tensor::new(dy, &[1, 1, 2, 3]).unwrap()).unwrap();
    let seen: Vec<_> = y.to_vec().into_iter().map(|v| (!v.is_nan()).then_some(v)).collect();
    assert_eq!(seen, golden.y);
    assert_eq!(x.grad().unwrap().to_vec(), golden.dx);
}

#[test]
fn cross_entropy_divides_by_the_weights_of_the_labels_that_count() {
    for case in golden().cross_entropies {
        let what = format!("{:?} {} {:?}", case.weights, case.smoothing, case.ignored);
        let loss = CrossEntropy(CrossEntropyConfig {
            class_weights: case.weights,
            label_smoothing: case.smoothing,
            ignore_index: case.ignored,
        });
        let logits = wave(&[5, 4], 0.7).requires_grad();
        let tape = Tape::new();
        let y = loss.forward(&logits, &[3, 0, 2, 1, 2]).unwrap();
        tape.backward(&y).unwrap();
        assert_close(&what, &y, &(vec![], vec![case.loss]));
        assert_close(&what, &logits.grad().unwrap(), &case.dx);
    }
}
