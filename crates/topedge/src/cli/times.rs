//! `times.json`: what each layer took in training.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use topedge::nn::callbacks::{LayerTimes, Profiler};
use topedge::prelude::*;

use super::failure::Failure;

/// One training batch of so many is measured.
pub(crate) const EVERY: usize = 16;

const FILE: &str = "times.json";

/// The file.
pub(crate) fn to_json(learner: &Learner) -> Result<Vec<u8>, Failure> {
    let layers = learner.find::<Profiler>().map_or(&[][..], |profiler| &profiler.layers);
    let mut json = serde_json::to_vec_pretty(layers)
        .map_err(|error| Failure::Failed(format!("{FILE}: {error}")))?;
    json.push(b'\n');
    Ok(json)
}

/// The times of the training run that has left `model`; none if the file is not beside it.
pub(crate) fn beside(model: &Path) -> Result<Vec<LayerTimes>, Failure> {
    let path = model.with_file_name(FILE);
    let text = match fs::read_to_string(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(vec![]),
        text => text.map_err(Failure::io("read", &path))?,
    };
    serde_json::from_str(&text).map_err(|error| {
        let expected = "expected the times of a training run";
        Failure::Failed(format!("{}: {expected}: {error}", path.display()))
    })
}
