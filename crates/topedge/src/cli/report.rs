//! The page about a training run.

use std::path::Path;

use serde_json::{Map, Value};
use topedge::prelude::*;
use topedge::{failed_training_page, training_page};

use super::failure::Failure;
use super::settings::Settings;

/// `report.html`.
pub(crate) fn page(learner: &mut Learner, settings: &Settings) -> Result<String, Failure> {
    let (title, pairs) = of_settings(settings)?;
    Ok(training_page(learner, &title, pairs)?)
}

/// `report.html` of a run that an error has ended.
pub(crate) fn failed(
    learner: &mut Learner,
    settings: &Settings,
    error: &str,
) -> Result<String, Failure> {
    let (title, pairs) = of_settings(settings)?;
    Ok(failed_training_page(learner, &title, pairs, error)?)
}

/// The title of the page, and the settings as pairs of name and value.
fn of_settings(settings: &Settings) -> Result<(String, Vec<(String, String)>), Failure> {
    let failed = |error: serde_json::Error| Failure::Failed(format!("report.html: {error}"));
    let values = serde_json::to_value(settings).map_err(failed)?;
    let data = text(&values["data"]);
    let folder =
        Path::new(&data).file_name().map_or(data.clone().into(), |name| name.to_string_lossy());
    let title = format!("{} on {folder}", text(&values["net"]));
    Ok((title, values.as_object().map(pairs).unwrap_or_default()))
}

/// Settings in words: pairs of name and value. Of a hash the first digits tell enough.
pub(crate) fn pairs(settings: &Map<String, Value>) -> Vec<(String, String)> {
    let words = |(name, value): (&String, &Value)| {
        let mut value = text(value);
        if name.ends_with("sha256") {
            value.truncate(12);
        }
        (name.replace('_', " "), value)
    };
    settings.iter().map(words).collect()
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
