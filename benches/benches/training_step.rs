//! One training step of `simple-cnn-bn`, on all threads: forward, loss, backward, Adam. The batch is
//! ready in memory.

#![allow(missing_docs)]

use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use topedge::nn::losses::Loss;
use topedge::nn::{Context, zero_grad};
use topedge::prelude::*;

/// Floating-point operations of a step: each multiply-add of the forward pass is met again in the
/// gradient of the weight and, but for the first layer, in that of the input.
fn operations(network: &mut Sequential, batch_size: usize) -> u64 {
    let summary = Summary::of(network, &[1, 28, 28]).unwrap();
    let first = summary.layers[0].multiply_adds;
    (2 * batch_size * (3 * summary.multiply_adds() - first)) as u64
}

fn training_step(c: &mut Criterion) {
    let mut group = c.benchmark_group("training_step");
    group.warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(3));
    for batch_size in [64, 512] {
        let digits = Digits { train: batch_size, valid: 10, ..Default::default() };
        let config = LoadersConfig { batch_size, ..Default::default() };
        let data = DataLoaders::new(&digits::generate(&digits).unwrap(), &config).unwrap();
        let batch = data.train.epoch(0).next().unwrap().unwrap();
        let x = Tensor::from_strided(batch.values, &batch.shape, &batch.strides).unwrap();

        let mut network =
            Net::SimpleCnnBn.build(&NetConfig::default(), &mut Pcg64::seed_from_u64(42)).unwrap();
        let loss_fn = CrossEntropy::default();
        let mut optimizer = Adam::fastai();
        let mut context = Context::train(42);
        group.throughput(Throughput::Elements(operations(&mut network, batch_size)));
        group.bench_function(BenchmarkId::new("simple-cnn-bn", batch_size), |b| {
            b.iter(|| {
                rayon::scope(|_| {
                    let tape = Tape::new();
                    let prediction = network.forward(&x, &mut context).unwrap();
                    let loss = loss_fn.forward(&prediction, &batch.labels).unwrap();
                    tape.backward(&loss).unwrap();
                    optimizer.step(&mut network).unwrap();
                    zero_grad(&mut network);
                });
            });
        });
    }
    group.finish();
}

criterion_group!(benches, training_step);
criterion_main!(benches);
