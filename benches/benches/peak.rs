//! The most that one core can do: fused multiply-adds on registers alone. What the other
//! benchmarks reach is to be read against this.

#![allow(missing_docs)]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use topedge_kernels::{Isa, peak};

const ROUNDS: usize = 10_000;

fn bench(c: &mut Criterion) {
    let mut group = c.benchmark_group("peak");
    for isa in Isa::available() {
        isa.with(|| {
            group.throughput(Throughput::Elements(peak::operations(ROUNDS)));
            group.bench_function(isa.name(), |b| b.iter(|| peak::multiply_adds(ROUNDS)));
        });
    }
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
