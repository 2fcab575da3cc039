#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod chart;
mod loss;
mod schedule;

pub use chart::PlotError;
pub use loss::{LossPlot, loss_plot};
pub use schedule::{SchedulePlot, schedule_plot};
