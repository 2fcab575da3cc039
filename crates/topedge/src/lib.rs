#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

#[cfg(feature = "bench")]
pub mod bench;
mod error;
pub mod model;
mod page;
mod plots;
pub mod prelude;

pub use topedge_autograd as autograd;
pub use topedge_data as data;
pub use topedge_kernels as kernels;
pub use topedge_nn as nn;
pub use topedge_report as report;

pub use error::{Error, Result};
pub use model::{Model, ModelInfo, Prediction};
pub use page::{
    Seen, comparable_run, evaluate, failed_training_page, first_kernels, show_batch, training_page,
};
pub use plots::{PlotLrFind, PlotRecorder, PlotStats};
pub use topedge_nn::{LayerSummary, Summary};
