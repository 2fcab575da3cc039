//! What the benchmarks in `benches/` and the examples share: the work to be measured, as data.
//! Convolutions and timing are those of `topedge bench`.
//!
//! The lists stand in files, where the scripts of `peers/` read the same ones.

#![forbid(unsafe_code)]

mod product;
mod step;
mod turns;

pub use product::{Product, ProductRun, products};
pub use step::TrainingStep;
pub use topedge::bench::{
    Convolution, ConvolutionRun, Format, Pass, Values, convolutions, gflops, median_seconds, values,
};
pub use turns::medians_in_turn;
