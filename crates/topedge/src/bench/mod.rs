//! What this machine gives, and how much of it the kernels get: work to be measured, and timing. The
//! command `topedge bench` and the benchmarks share it.

mod convolution;
mod machine;
mod timing;

pub use convolution::{Convolution, ConvolutionRun, Format, Pass, convolutions};
pub use machine::{copied_bytes_per_second, peak_gflops};
pub use timing::{gflops, median_seconds, median_seconds_over};

/// `len` values between -1 and 1, the same ones each time.
pub fn values(len: usize) -> Vec<f32> {
    let mut state = 1u32;
    (0..len)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        })
        .collect()
}

/// The words of each line of a list that is not a comment.
pub fn rows(list: &str) -> impl Iterator<Item = Vec<&str>> {
    list.lines().filter(|line| !line.starts_with('#')).map(|line| line.split_whitespace().collect())
}

/// A number of a list.
///
/// # Panics
///
/// If it is none: the lists are part of the program.
pub fn number(word: &str) -> usize {
    word.parse().unwrap_or_else(|error| panic!("`{word}`: {error}"))
}
