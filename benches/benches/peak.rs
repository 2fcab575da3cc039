//! The most that one core can do: fused multiply-adds on registers alone. What the other
//! benchmarks reach is to be read against this.

#![allow(missing_docs)]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};

/// Independent sums: enough to hide the latency of two units, few enough for 16 registers.
const SUMS: usize = 12;
const ROUNDS: usize = 10_000;

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{__m256, __m512};
    use std::arch::x86_64::{_mm256_fmadd_ps, _mm256_set1_ps, _mm512_fmadd_ps, _mm512_set1_ps};
    use std::hint::black_box;

    use super::{ROUNDS, SUMS};

    #[target_feature(enable = "avx2,fma")]
    pub(super) fn avx2() -> [__m256; SUMS] {
        let x = black_box(_mm256_set1_ps(0.5));
        let mut sums = [x; SUMS];
        for _ in 0..ROUNDS {
            for sum in &mut sums {
                *sum = _mm256_fmadd_ps(*sum, x, x);
            }
        }
        sums
    }

    #[target_feature(enable = "avx512f")]
    pub(super) fn avx512() -> [__m512; SUMS] {
        let x = black_box(_mm512_set1_ps(0.5));
        let mut sums = [x; SUMS];
        for _ in 0..ROUNDS {
            for sum in &mut sums {
                *sum = _mm512_fmadd_ps(*sum, x, x);
            }
        }
        sums
    }
}

fn peak(c: &mut Criterion) {
    let mut group = c.benchmark_group("peak");
    let operations = |lanes: usize| Throughput::Elements((2 * lanes * SUMS * ROUNDS) as u64);
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            group.throughput(operations(8));
            // SAFETY: the features that it is compiled for have just been detected.
            group.bench_function("avx2", |b| b.iter(|| unsafe { x86::avx2() }));
        }
        if is_x86_feature_detected!("avx512f") {
            group.throughput(operations(16));
            // SAFETY: as above.
            group.bench_function("avx512", |b| b.iter(|| unsafe { x86::avx512() }));
        }
    }
    group.finish();
}

criterion_group!(benches, peak);
criterion_main!(benches);
