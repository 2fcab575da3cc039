#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod base64;
mod chart;
mod compare;
mod confusion;
mod error;
mod figure;
mod gallery;
mod html;
mod layer_stats;
mod loss;
mod lr_find;
mod page;
mod paint;
mod picture;
mod schedule;
mod shape;
mod story;

pub use compare::{Comparison, Parting, Run};
pub use confusion::Confusion;
pub use error::PlotError;
pub use figure::Figure;
pub use gallery::Gallery;
pub use layer_stats::{LayerStatsPlot, color_dim};
pub use loss::LossPlot;
pub use lr_find::LrFindPlot;
pub use page::{
    Captioned, ConvolutionAsMatrix, Epoch, Explorer, Finding, Layer, LayerKind, Mistake, Page,
    Sample, Table,
};
pub use picture::Picture;
pub use schedule::SchedulePlot;
pub use story::{Step, Story, Tell};
