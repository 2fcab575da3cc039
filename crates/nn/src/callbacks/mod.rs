//! The callbacks, one file each.
//!
//! To add one: a file here, and a line below.

mod activation_stats;
mod csv_logger;
mod cut_mix;
mod early_stopping;
mod gradient_accumulation;
mod gradient_clip;
mod histograms;
mod mix_up;
mod mixing;
mod monitor;
mod nan_guard;
mod param_scheduler;
mod profiler;
mod progress;
mod recorder;
mod reduce_lr_on_plateau;
mod save_model;
mod stopwatch;

pub use activation_stats::{ActivationStats, LayerStats};
pub use csv_logger::CsvLogger;
pub use cut_mix::CutMix;
pub use early_stopping::EarlyStopping;
pub use gradient_accumulation::GradientAccumulation;
pub use gradient_clip::GradientClip;
pub use histograms::Histograms;
pub use mix_up::MixUp;
pub use monitor::Monitor;
pub use nan_guard::NanGuard;
pub use param_scheduler::ParamScheduler;
pub use profiler::{LayerTimes, Profiler};
pub use progress::{Progress, ProgressUpdate};
pub use recorder::Recorder;
pub use reduce_lr_on_plateau::ReduceLrOnPlateau;
pub use save_model::SaveModel;
