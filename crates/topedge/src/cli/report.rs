//! The page about a training run.

use topedge::prelude::*;
use topedge::training_page;

use super::failure::Failure;
use super::train::Settings;

/// `report.html`.
pub(crate) fn page(learner: &mut Learner, settings: &Settings<'_>) -> Result<String, Failure> {
    let failed = |error: serde_json::Error| Failure::Failed(format!("report.html: {error}"));
    let values = serde_json::to_value(settings).map_err(failed)?;
    let text = |value: &serde_json::Value| match value {
        serde_json::Value::String(text) => text.clone(),
        serde_json::Value::Null => "drawn digits".to_string(),
        value => value.to_string(),
    };
    let title = format!("{} on {}", text(&values["net"]), text(&values["data"]));
    let pairs = values.as_object().into_iter().flatten();
    let pairs = pairs.map(|(name, value)| (name.replace('_', " "), text(value)));
    Ok(training_page(learner, &title, pairs.collect())?)
}
