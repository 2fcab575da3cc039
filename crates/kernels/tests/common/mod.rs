//! What the tests share.

// Each test file is a crate of its own, and none uses all of this.
#![allow(dead_code)]

use topedge_kernels::{Element, Isa};

/// Calls `test` once on each instruction set that this machine has, forced.
pub(crate) fn each_isa(test: impl Fn(Isa)) {
    for isa in Isa::available() {
        isa.with(|| {
            assert_eq!(Isa::current(), isa, "the forced instruction set did not take");
            test(isa);
        });
    }
}

/// Lengths around those of vectors, of unrolled loops and of jobs.
pub(crate) const LENGTHS: [usize; 20] =
    [0, 1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 33, 63, 64, 65, 100, 4097, 16_384, 32_769, 100_003];

/// Numbers between -2 and 2 that look random, the same for the same seed; exact in `f32`.
pub(crate) fn noise(len: usize, seed: u32) -> Vec<f64> {
    let mut state = seed.wrapping_mul(0x9E37_79B9) ^ 0x5851_F42D;
    (0..len)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            f64::from(state as i32 >> 8) / f64::from(1 << 22)
        })
        .collect()
}

/// The numbers as elements.
pub(crate) fn to<T: Element>(x: &[f64]) -> Vec<T> {
    x.iter().map(|&x| T::from_f64(x)).collect()
}

/// Fails unless each of `got` is within `tolerance` of `want`, relative to magnitudes above 1, or
/// both are NaN or the same infinity. For `f64` the tolerance is a millionth of that.
#[track_caller]
pub(crate) fn assert_close<T: Element>(got: &[T], want: &[f64], tolerance: f64, context: &str) {
    assert_eq!(got.len(), want.len(), "{context}: length");
    let tolerance = if size_of::<T>() == 8 { tolerance * 1e-6 } else { tolerance };
    for (i, (got, &want)) in got.iter().zip(want).enumerate() {
        let got = got.to_f64();
        let same = got == want || (got.is_nan() && want.is_nan());
        let near = want.is_finite() && (got - want).abs() <= tolerance * want.abs().max(1.0);
        assert!(same || near, "{context}: element {i}: {got:e} instead of {want:e}");
    }
}

/// Fails unless `run` gives the same on pools of 1, 2, 3, 4 and 8 threads, on each instruction set.
#[track_caller]
pub(crate) fn assert_thread_independent<R: PartialEq + Send>(run: impl Fn() -> R + Sync) {
    each_isa(|isa| {
        let on = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| isa.with(&run))
        };
        let one = on(1);
        for threads in [2, 3, 4, 8] {
            assert!(on(threads) == one, "{}: {threads} threads", isa.name());
        }
    });
}

/// How images lie in memory.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Format {
    Contiguous,
    ChannelsLast,
    BatchLast,
    /// Batch-last, with a gap behind each row.
    GappedBatchLast,
    /// Channels-last, with a gap behind each place, row and image.
    GappedChannelsLast,
}

pub(crate) const FORMATS: [Format; 5] = [
    Format::Contiguous,
    Format::ChannelsLast,
    Format::BatchLast,
    Format::GappedBatchLast,
    Format::GappedChannelsLast,
];

/// Strides, and how many elements they need.
pub(crate) fn layout([n, c, h, w]: [usize; 4], format: Format) -> ([usize; 4], usize) {
    let strides = match format {
        Format::Contiguous => [c * h * w, h * w, w, 1],
        Format::ChannelsLast => [h * w * c, 1, w * c, c],
        Format::BatchLast => [1, h * w * n, w * n, n],
        Format::GappedBatchLast => [1, h * w * (n + 3), w * (n + 3), n + 3],
        Format::GappedChannelsLast => {
            let row = w * (c + 2) + 3;
            [h * row + 5, 1, row, c + 2]
        }
    };
    let batch_last = c * h * w * (n + 3);
    let channels_last = n * (h * (w * (c + 2) + 3) + 5);
    (strides.map(|stride| stride.max(1)), batch_last.max(channels_last))
}
