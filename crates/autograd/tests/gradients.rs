//! The gradient of every operation against finite differences, in double precision, on sixteen cases each:
//! four shapes in three memory formats, and batch-last in parts. An operation that is not in the list below fails a
//! test.

use std::path::Path;

use rand::SeedableRng;
use rand_pcg::Pcg64;
use topedge_autograd::{
    BatchNorm, Conv2dConfig, ConvTranspose2dConfig, CrossEntropyConfig, MemoryFormat, Mode,
    Pad2dConfig, PadMode, Pool2dConfig, Result, RunningStats, Tensor, gradcheck,
};

type Tensors<'a> = &'a [Tensor<f64>];

/// An operation: its name, what it takes besides a tensor of some shape, and how it is called.
type Operation =
    (&'static str, fn([usize; 4]) -> Vec<Tensor<f64>>, fn(Tensors<'_>) -> Result<Tensor<f64>>);

const SHAPES: [[usize; 4]; 4] = [[2, 3, 4, 5], [3, 2, 3, 3], [4, 1, 5, 2], [2, 4, 3, 4]];
const FORMATS: [MemoryFormat; 3] =
    [MemoryFormat::Contiguous, MemoryFormat::ChannelsLast, MemoryFormat::BatchLast];

/// Values between 0.5 and 2.5, no two alike nor near each other.
fn positive(seed: usize, shape: &[usize]) -> Tensor<f64> {
    // Multiples of the golden ratio, modulo 1, are as far apart as can be.
    let value = |i: usize| ((seed * 7919 + i) as f64 * 0.618_033_988_749_894_9).fract() * 2.0 + 0.5;
    Tensor::new((1..=shape.iter().product()).map(value).collect(), shape).unwrap()
}

/// A tensor that lies batch-last, with its first axis in as few parts as it can be cut into.
fn in_parts(x: &Tensor<f64>) -> Tensor<f64> {
    let shape: [usize; 4] = x.shape().try_into().unwrap();
    let [n, _, h, w] = shape;
    let parts = (2..=n).find(|&parts| n.is_multiple_of(parts)).unwrap();
    let some = n / parts;
    let values = x.dense_slice().unwrap();
    // Of each place the images of a part.
    let part = |part: usize| values.chunks(n).flat_map(move |all| &all[part * some..][..some]);
    let values = (0..parts).flat_map(part).copied().collect();
    let strides = [1, h * w * some, w * some, some];
    Tensor::from_parts(values, &shape, &strides, parts).unwrap()
}

/// The same between -1 and 1.
fn any(seed: usize, shape: &[usize]) -> Tensor<f64> {
    positive(seed, shape).add_scalar(-1.5)
}

fn alone(_: [usize; 4]) -> Vec<Tensor<f64>> {
    vec![]
}

fn alike(shape: [usize; 4]) -> Vec<Tensor<f64>> {
    vec![positive(2, &shape)]
}

fn pooling() -> Pool2dConfig {
    Pool2dConfig { stride: [1, 2], padding: [1, 0], ..Pool2dConfig::new([2, 2]) }
}

/// All of them, in the order of their files. The first input is positive: others are made of it by a shift.
const OPERATIONS: &[Operation] = &[
    ("add", alike, |x| x[0].add(&x[1])),
    ("avg_pool2d", alone, |x| x[0].avg_pool2d(&pooling())),
    ("adaptive_avg_pool2d", alone, |x| x[0].adaptive_avg_pool2d([2, 3])),
    (
        "batch_norm",
        |[_, c, ..]| vec![any(2, &[c]), any(3, &[c])],
        |x| {
            let mut running = RunningStats::new(x[1].len());
            let (gamma, beta, running) = (Some(&x[1]), Some(&x[2]), Some(&mut running));
            x[0].batch_norm(BatchNorm { gamma, beta, running, ..BatchNorm::new(Mode::Train) })
        },
    ),
    ("concat", |[n, _, h, w]| vec![any(2, &[n, 2, h, w])], |x| Tensor::concat(&[&x[0], &x[1]], 1)),
    (
        "conv2d",
        |[_, c, ..]| vec![any(2, &[2, c, 3, 2]), any(3, &[2])],
        |x| {
            let config = Conv2dConfig { padding: [1, 0], stride: [1, 2], ..Default::default() };
            x[0].conv2d(&x[1], Some(&x[2]), &config)
        },
    ),
    (
        "conv_transpose2d",
        |[_, c, ..]| vec![any(2, &[c, 2, 2, 3]), any(3, &[2])],
        |x| {
            let config = ConvTranspose2dConfig { stride: [2, 1], ..Default::default() };
            x[0].conv_transpose2d(&x[1], Some(&x[2]), &config)
        },
    ),
    ("cross_entropy", alone, |x| {
        let rows = x[0].shape()[0];
        let labels: Vec<u32> = (0..rows as u32).map(|row| row * 5 % 7).collect();
        let config = CrossEntropyConfig { label_smoothing: 0.1, ..Default::default() };
        x[0].reshape(&[rows, x[0].len() / rows])?.cross_entropy(&labels, &config)
    }),
    ("div", alike, |x| x[0].div(&x[1])),
    ("dropout", alone, |x| x[0].dropout(0.3, Mode::Train, &mut Pcg64::seed_from_u64(1))),
    ("exp", alone, |x| Ok(x[0].exp())),
    ("gelu", alone, |x| Ok(x[0].add_scalar(-1.5).gelu())),
    ("leaky_relu", alone, |x| Ok(x[0].add_scalar(-1.5).leaky_relu(0.1))),
    (
        "linear",
        |[_, c, h, w]| vec![any(2, &[3, c * h * w]), any(3, &[3])],
        |x| x[0].flatten(1)?.linear(&x[1], Some(&x[2])),
    ),
    ("ln", alone, |x| Ok(x[0].ln())),
    ("log_softmax", alone, |x| x[0].log_softmax(1)),
    ("matmul", |[n, ..]| vec![any(2, &[3, n])], |x| x[1].matmul(&x[0].flatten(1)?)),
    ("max_pool2d", alone, |x| x[0].max_pool2d(&pooling())),
    ("adaptive_max_pool2d", alone, |x| x[0].adaptive_max_pool2d([2, 2])),
    ("mul", alike, |x| x[0].mul(&x[1])),
    ("narrow", alone, |x| x[0].narrow(3, 1, 1)),
    ("pad", alone, |x| {
        x[0].pad(&Pad2dConfig { before: [1, 0], after: [1, 1], mode: PadMode::Reflect })
    }),
    ("permute", alone, |x| x[0].permute(&[2, 0, 3, 1])),
    ("transpose", alone, |x| x[0].transpose(1, 3)),
    ("pow", alone, |x| Ok(x[0].pow(2.5))),
    ("relu", alone, |x| Ok(x[0].add_scalar(-1.5).relu())),
    ("reshape", alone, |x| x[0].reshape(&[x[0].len()])),
    ("flatten", alone, |x| x[0].flatten(2)),
    ("add_scalar", alone, |x| x[0].add_scalar(0.7).mul(&x[0])),
    ("mul_scalar", alone, |x| Ok(x[0].mul_scalar(-1.3))),
    ("neg", alone, |x| Ok(x[0].neg())),
    ("sigmoid", alone, |x| Ok(x[0].add_scalar(-1.5).sigmoid())),
    ("silu", alone, |x| Ok(x[0].add_scalar(-1.5).silu())),
    ("softmax", alone, |x| x[0].softmax(1)),
    ("sqrt", alone, |x| Ok(x[0].sqrt())),
    ("sub", alike, |x| x[0].sub(&x[1])),
    ("sum", alone, |x| x[0].sum().mul(&x[0])),
    ("mean", alone, |x| x[0].mean().mul(&x[0])),
    ("sum_axis", alone, |x| x[0].sum_axis(2, false)),
    ("mean_axis", alone, |x| x[0].mean_axis(1, true)),
    ("tanh", alone, |x| Ok(x[0].add_scalar(-1.5).tanh())),
];

#[test]
fn every_operation_in_sixteen_cases() {
    for (name, others, f) in OPERATIONS {
        for shape in SHAPES {
            let [a, b, c] = FORMATS.map(|format| positive(1, &shape).to_format(format).unwrap());
            for x in [in_parts(&c), a, b, c] {
                let lies = format!("strides {:?} in {} parts", x.strides(), x.parts());
                let mut inputs = vec![x];
                inputs.extend(others(shape));
                let result = gradcheck(&inputs, f);
                assert!(result.is_ok(), "{name} at {shape:?}, {lies}: {result:?}");
            }
        }
    }
}

#[test]
fn no_operation_is_left_out() {
    // What gives no tensor has no gradient; `new` are those of the configurations.
    const OTHERS: [&str; 2] = ["argmax", "new"];
    let ops = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/ops");
    let mut names = vec![];
    for file in std::fs::read_dir(ops).unwrap() {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        let functions = text.lines().filter_map(|line| line.trim().strip_prefix("pub fn "));
        let name = |line: &str| line.split(['(', '<']).next().unwrap_or(line).to_string();
        names.extend(functions.map(name).filter(|name| !OTHERS.contains(&name.as_str())));
    }
    assert!(names.len() >= 40, "{names:?}");
    for name in names {
        let checked = OPERATIONS.iter().any(|operation| operation.0 == name);
        assert!(checked, "{name} has no gradient check in this file");
    }
}
