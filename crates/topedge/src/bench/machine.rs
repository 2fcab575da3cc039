//! The most that the machine can do, to read other figures against.

use std::hint::black_box;
use std::time::Duration;

use rayon::prelude::*;
use topedge_kernels::{Isa, peak};

use super::{gflops, median_seconds_over};

/// Steps of one call: some tens of microseconds.
const ROUNDS: usize = 10_000;

/// Floats that are copied: far more than any cache holds.
const COPIED: usize = 1 << 25;

/// Fused multiply-adds on registers alone, on all threads of the rayon pool at once, in billions of
/// operations a second; measured for about `total`.
pub fn peak_gflops(isa: Isa, total: Duration) -> f64 {
    let calls = 16 * rayon::current_num_threads();
    let seconds = median_seconds_over(total, || {
        (0..calls).into_par_iter().with_max_len(1).for_each(|_| {
            isa.with(|| peak::multiply_adds(ROUNDS));
        });
    });
    let operations = isa.with(|| peak::operations(ROUNDS));
    gflops(calls as u64 * operations, seconds)
}

/// How many bytes a second are read and written together where memory is copied, on all threads of
/// the rayon pool; measured for about `total`.
pub fn copied_bytes_per_second(total: Duration) -> f64 {
    let (from, mut to) = (vec![1.0_f32; COPIED], vec![0.0_f32; COPIED]);
    let share = COPIED.div_ceil(4 * rayon::current_num_threads());
    let seconds = median_seconds_over(total, || {
        let pieces = to.par_chunks_mut(share).zip(from.par_chunks(share));
        pieces.for_each(|(to, from)| to.copy_from_slice(from));
        black_box(&mut to);
    });
    (2 * COPIED * size_of::<f32>()) as f64 / seconds
}
