//! The page about a training run.

use serde_json::Value;
use topedge::prelude::*;
use topedge::training_page;

use super::failure::Failure;
use super::settings::Settings;

/// `report.html`.
pub(crate) fn page(learner: &mut Learner, settings: &Settings) -> Result<String, Failure> {
    let failed = |error: serde_json::Error| Failure::Failed(format!("report.html: {error}"));
    let values = serde_json::to_value(settings).map_err(failed)?;
    let title = format!("{} on {}", text(&values["net"]), text(&values["data"]));
    let pairs = values.as_object().into_iter().flatten();
    let pairs = pairs.map(|(name, value)| (name.replace('_', " "), text(value)));
    Ok(training_page(learner, &title, pairs.collect())?)
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
