//! What the benchmarks in `benches/` and the examples share: the work to be measured, as data.
//!
//! The lists stand in `shapes/`, where the scripts of `peers/` read the same ones.

#![forbid(unsafe_code)]

mod convolution;
mod product;
mod timing;

pub use convolution::{Convolution, ConvolutionRun, Format, Pass, convolutions};
pub use product::{Product, ProductRun, products};
pub use timing::{gflops, median_seconds};

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
fn rows(list: &str) -> impl Iterator<Item = Vec<&str>> {
    list.lines().filter(|line| !line.starts_with('#')).map(|line| line.split_whitespace().collect())
}

/// A number of a list.
fn number(word: &str) -> usize {
    word.parse().unwrap_or_else(|error| panic!("shapes: `{word}`: {error}"))
}
