//! `f32` matrix products, in operations a second: each instruction set of this machine on one
//! thread, the best on all threads, `matrixmultiply` on one, and the naive loops on a small case.

#![allow(missing_docs)]
#![forbid(unsafe_code)]

use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ndarray::linalg::general_mat_mul;
use ndarray::{ArrayView2, ArrayViewMut2};
use rayon::ThreadPoolBuilder;
use topedge_benches::{Product, ProductRun, products};
use topedge_kernels::{Isa, reference};

/// By way of `ndarray`, which is the safe way to `matrixmultiply::sgemm`.
fn matrixmultiply(run: &mut ProductRun) {
    let Product { m, n, k } = run.size;
    let a = ArrayView2::from_shape((m, k), &run.a).unwrap();
    let b = ArrayView2::from_shape((k, n), &run.b).unwrap();
    let mut c = ArrayViewMut2::from_shape((m, n), &mut run.c).unwrap();
    general_mat_mul(1.0, &a, &b, 0.0, &mut c);
}

fn bench(c: &mut Criterion) {
    let one_thread = ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let mut group = c.benchmark_group("gemm");
    group.warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
    group.sample_size(20);
    for (i, size) in products().into_iter().enumerate() {
        let name = size.name();
        let mut run = ProductRun::new(size);
        group.throughput(Throughput::Elements(size.operations()));
        for isa in Isa::available() {
            group.bench_function(BenchmarkId::new(isa.name(), &name), |b| {
                one_thread.install(|| isa.with(|| b.iter(|| run.run().unwrap())));
            });
        }
        group.bench_function(BenchmarkId::new("all-threads", &name), |b| {
            // Inside the pool: outside of it loops start more slowly.
            rayon::scope(|_| b.iter(|| run.run().unwrap()));
        });
        group.bench_function(BenchmarkId::new("matrixmultiply", &name), |b| {
            b.iter(|| matrixmultiply(&mut run));
        });
        if i == 0 {
            group.bench_function(BenchmarkId::new("naive", &name), |b| {
                b.iter(|| {
                    let (a, b, c) = run.views().unwrap();
                    reference::gemm::gemm(1.0, a, b, 0.0, c).unwrap();
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
