//! Seconds, also across a checkpoint.

use std::time::Instant;

use serde::{Deserialize, Serialize};

/// Runs from its start on. One that comes back from a checkpoint goes on from what it showed.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(from = "Option<f64>", into = "Option<f64>")]
pub(super) struct Stopwatch(Option<Running>);

#[derive(Clone, Debug)]
struct Running {
    /// Seconds before `since`.
    before: f64,
    since: Instant,
}

impl Stopwatch {
    pub(super) fn start() -> Self {
        Some(0.0).into()
    }

    /// What it shows; 0 if it was not started.
    pub(super) fn seconds(&self) -> f64 {
        Option::from(self.clone()).unwrap_or(0.0)
    }
}

impl From<Option<f64>> for Stopwatch {
    fn from(seconds: Option<f64>) -> Self {
        Stopwatch(seconds.map(|before| Running { before, since: Instant::now() }))
    }
}

impl From<Stopwatch> for Option<f64> {
    fn from(watch: Stopwatch) -> Self {
        watch.0.map(|running| running.before + running.since.elapsed().as_secs_f64())
    }
}
