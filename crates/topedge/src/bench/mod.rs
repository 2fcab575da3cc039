//! What this machine gives, and how much of it the kernels get: work to be measured, and timing. The
//! command `topedge bench` and the benchmarks share it.

use std::ops::{Deref, DerefMut};

mod convolution;
mod machine;
mod timing;

pub use convolution::{Convolution, ConvolutionRun, Format, Pass, convolutions};
pub use machine::{copied_bytes_per_second, peak_gflops};
pub use timing::{gflops, median_seconds, median_seconds_over};

/// Numbers in memory that begins on a cache line, as that of a tensor does: elsewhere each whole vector
/// would lie on two.
#[derive(Debug)]
pub struct Values {
    memory: Vec<f32>,
    start: usize,
    len: usize,
}

impl Values {
    const CACHE_LINE: usize = 64;
}

impl Deref for Values {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.memory[self.start..][..self.len]
    }
}

impl DerefMut for Values {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.memory[self.start..][..self.len]
    }
}

/// `len` values between -1 and 1, the same ones each time.
pub fn values(len: usize) -> Values {
    let memory = vec![0.0; len + Values::CACHE_LINE / size_of::<f32>()];
    let start = memory.as_ptr().align_offset(Values::CACHE_LINE);
    let mut values = Values { memory, start, len };
    let mut state = 1u32;
    for value in values.iter_mut() {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        *value = (state >> 8) as f32 / (1 << 23) as f32 - 1.0;
    }
    values
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
