//! Timing. The scripts that measure other programs time in the same way.

use std::time::{Duration, Instant};

/// How long a measurement goes on.
const TOTAL: Duration = Duration::from_millis(300);
/// The least time of one sample: far above the clock's resolution.
const SAMPLE: Duration = Duration::from_millis(2);
/// The fewest samples that a median is taken of.
const SAMPLES: usize = 5;

/// The median time of a call of `f`, in seconds: of samples that each take some milliseconds, over
/// a third of a second, after two calls to warm up. It is called from inside the thread pool, whose
/// threads then stay awake from call to call, as those of other libraries do.
pub fn median_seconds(f: impl FnMut() + Send) -> f64 {
    median_seconds_over(TOTAL, f)
}

/// As [`median_seconds`], over about `total`.
pub fn median_seconds_over(total: Duration, f: impl FnMut() + Send) -> f64 {
    rayon::scope(|_| median(total, f))
}

fn median(total: Duration, mut f: impl FnMut()) -> f64 {
    f();
    let start = Instant::now();
    f();
    let once = start.elapsed().as_secs_f64().max(1e-9);
    let calls = (SAMPLE.as_secs_f64() / once).ceil().max(1.0) as u32;
    let mut samples = vec![];
    let start = Instant::now();
    while samples.len() < SAMPLES || start.elapsed() < total {
        let start = Instant::now();
        for _ in 0..calls {
            f();
        }
        samples.push(start.elapsed().as_secs_f64() / f64::from(calls));
    }
    samples.sort_by(f64::total_cmp);
    samples[samples.len() / 2]
}

/// Billions of operations a second.
pub fn gflops(operations: u64, seconds: f64) -> f64 {
    operations as f64 / seconds / 1e9
}
