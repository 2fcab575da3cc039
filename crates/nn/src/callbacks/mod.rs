//! The callbacks, one file each.
//!
//! To add one: a file here, and a line below.

mod csv_logger;
mod nan_guard;
mod param_scheduler;
mod progress;
mod recorder;

pub use csv_logger::CsvLogger;
pub use nan_guard::NanGuard;
pub use param_scheduler::ParamScheduler;
pub use progress::{Progress, ProgressUpdate};
pub use recorder::Recorder;
