//! Convolutions and their gradients, in operations a second, on all threads, in three memory
//! formats; the naive loops on a small case.

#![allow(missing_docs)]

use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{
    BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main,
};
use topedge_benches::{ConvolutionRun, Format, Pass, convolutions, values};
use topedge_kernels::{TensorMut, TensorRef, reference};

fn group<'a>(c: &'a mut Criterion, name: &str) -> BenchmarkGroup<'a, WallTime> {
    let mut group = c.benchmark_group(name);
    group.warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
    group.sample_size(15);
    group
}

fn passes(c: &mut Criterion) {
    for pass in Pass::ALL {
        let mut group = group(c, &format!("conv2d.{}", pass.name()));
        for layer in convolutions() {
            group.throughput(Throughput::Elements(layer.operations()));
            for format in Format::ALL {
                group.bench_function(BenchmarkId::new(format.name(), layer.name), |b| {
                    let mut run = ConvolutionRun::new(layer, format, pass);
                    // Inside the pool: outside of it loops start more slowly.
                    rayon::scope(|_| b.iter(|| run.run().unwrap()));
                });
            }
        }
        group.finish();
    }
}

/// The first layer of the list for a single image, by the definition.
fn naive(c: &mut Criterion) {
    let mut layer = convolutions()[0];
    (layer.input[0], layer.output[0]) = (1, 1);
    let fill = |shape: [usize; 4]| values(shape.iter().product());
    let (x, weight, mut y) = (fill(layer.input), fill(layer.weight), fill(layer.output));
    let mut group = group(c, "conv2d.forward");
    group.throughput(Throughput::Elements(layer.operations()));
    group.bench_function(BenchmarkId::new("naive", "book1, one image"), |b| {
        b.iter(|| {
            let x = TensorRef::contiguous(&x, layer.input).unwrap();
            let weight = TensorRef::contiguous(&weight, layer.weight).unwrap();
            let y = TensorMut::contiguous(&mut y, layer.output).unwrap();
            reference::conv2d::forward(x, weight, None, &layer.config, y).unwrap();
        });
    });
    group.finish();
}

criterion_group!(benches, passes, naive);
criterion_main!(benches);
