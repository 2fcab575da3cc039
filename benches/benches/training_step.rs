//! One training step of `simple-cnn-bn`, on all threads: forward, loss, backward, Adam. The batch is
//! ready in memory.

#![allow(missing_docs)]

use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use topedge_benches::TrainingStep;

fn training_step(c: &mut Criterion) {
    let mut group = c.benchmark_group("training_step");
    group.warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(3));
    for batch_size in [64, 512] {
        let mut step = TrainingStep::new(batch_size).unwrap();
        group.throughput(Throughput::Elements(step.operations().unwrap()));
        group.bench_function(BenchmarkId::new("simple-cnn-bn", batch_size), |b| {
            // Inside the pool, as training is.
            rayon::scope(|_| b.iter(|| step.run().unwrap()));
        });
    }
    group.finish();
}

criterion_group!(benches, training_step);
criterion_main!(benches);
