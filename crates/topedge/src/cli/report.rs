//! The page about a training run.

use std::path::Path;

use serde_json::{Map, Value};
use topedge::prelude::*;
use topedge::training_page;

use super::failure::Failure;
use super::settings::Settings;

/// `report.html`.
pub(crate) fn page(learner: &mut Learner, settings: &Settings) -> Result<String, Failure> {
    let failed = |error: serde_json::Error| Failure::Failed(format!("report.html: {error}"));
    let values = serde_json::to_value(settings).map_err(failed)?;
    let data = text(&values["data"]);
    let folder =
        Path::new(&data).file_name().map_or(data.clone().into(), |name| name.to_string_lossy());
    let title = format!("{} on {folder}", text(&values["net"]));
    let pairs = values.as_object().map(pairs).unwrap_or_default();
    Ok(training_page(learner, &title, pairs)?)
}

/// Settings in words: pairs of name and value.
pub(crate) fn pairs(settings: &Map<String, Value>) -> Vec<(String, String)> {
    settings.iter().map(|(name, value)| (name.replace('_', " "), text(value))).collect()
}

/// A setting in words. The one that can be missing is the folder of images.
fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "drawn digits".to_string(),
        Value::Array(values) => values.iter().map(text).collect::<Vec<_>>().join(", "),
        value => value.to_string(),
    }
}
