//! What a training run leaves: files, and a last word.

use std::path::Path;

use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder};
use serde::Serialize;
use topedge::nn::callbacks::ActivationStats;
use topedge::nn::{Finding, state_dict};
use topedge::prelude::*;

use super::choice::Trained;
use super::failure::Failure;
use super::run_folder::FILES;
use super::settings::Settings;
use super::train::{program, quoted};
use super::{batches, findings, histograms, output, times};

/// The outcome of a training run.
pub(crate) struct Results {
    accuracy: f64,
    images_per_second: f64,
    weights_sha256: String,
    /// What looks wrong.
    findings: Vec<Finding>,
    /// What `sample.png` shows.
    sample_label: String,
    /// What to write into [`FILES`].
    files: [Vec<u8>; FILES.len()],
}

/// The last word for a program.
#[derive(Serialize)]
struct DoneEvent<'a> {
    event: &'static str,
    accuracy: f64,
    images_per_second: f64,
    weights_sha256: &'a str,
    model: &'a str,
    history: &'a str,
}

impl Results {
    pub(crate) fn of(
        learner: &Learner,
        trained: &Trained,
        report: String,
    ) -> Result<Results, Failure> {
        let Trained { splits, info, settings } = trained;
        let model = &*learner.state.model;
        let default = Recorder::default();
        let recorder = learner.find::<Recorder>().unwrap_or(&default);
        let no_stats = ActivationStats::default();
        let stats = learner.find::<ActivationStats>().unwrap_or(&no_stats);
        let train_seconds: f64 = recorder.rows.iter().map(|row| row.train_seconds).sum();
        let sample_label = &splits.valid.vocab()[splits.valid.label(0) as usize];
        Ok(Results {
            accuracy: recorder.rows.last().and_then(|row| row.metric("accuracy")).unwrap_or(0.0),
            images_per_second: (recorder.losses.len() * settings.batch_size) as f64 / train_seconds,
            weights_sha256: state_dict(model).sha256(),
            findings: learner.diagnose(),
            sample_label: sample_label.clone(),
            files: [
                info.to_bytes(model)?,
                settings.to_json()?,
                batches::to_csv(recorder, stats),
                histograms::to_csv(stats),
                times::to_json(learner)?,
                recorder.plot_loss().svg().into_bytes(),
                recorder.plot_sched().svg().into_bytes(),
                png(splits.valid.image(0), info.image_shape)?,
                report.into_bytes(),
            ],
        })
    }

    /// The files to write: names and contents.
    pub(crate) fn files(&mut self) -> Vec<(&'static str, Vec<u8>)> {
        FILES.into_iter().zip(std::mem::take(&mut self.files)).collect()
    }

    /// The last word, for a person or for a program.
    pub(crate) fn text(&self, folder: &Path, json: bool) -> Result<String, Failure> {
        let file = |name: &str| folder.join(name).display().to_string();
        let (model, history) = (file("model.safetensors"), file("history.csv"));
        if json {
            let mut lines = findings::events(&self.findings)?;
            lines.push(output::json(&DoneEvent {
                event: "done",
                accuracy: self.accuracy,
                images_per_second: self.images_per_second,
                weights_sha256: &self.weights_sha256,
                model: &model,
                history: &history,
            })?);
            return Ok(lines.join("\n"));
        }
        let program = quoted(&program());
        let (pasted_model, sample) = (quoted(&model), quoted(&file("sample.png")));
        Ok(format!(
            "
accuracy  {:.4}, trained at {:.0} images per second
{}
model     {model}
history   {history}
report    {}

Try next:
  {program} predict {pasted_model} {sample}    # shows a {}
  {program} summary {pasted_model}    # and what each layer took
  {program} train --help",
            self.accuracy,
            self.images_per_second,
            findings::text(&self.findings),
            file("report.html"),
            self.sample_label,
        ))
    }
}

/// What a run leaves whose loss is no number any more: names and contents.
pub(crate) fn of_failed(
    learner: &Learner,
    settings: &Settings,
    report: String,
) -> Result<Vec<(&'static str, Vec<u8>)>, Failure> {
    let default = Recorder::default();
    let recorder = learner.find::<Recorder>().unwrap_or(&default);
    let no_stats = ActivationStats::default();
    let stats = learner.find::<ActivationStats>().unwrap_or(&no_stats);
    Ok(vec![
        ("settings.json", settings.to_json()?),
        ("batches.csv", batches::to_csv(recorder, stats)),
        ("histograms.csv", histograms::to_csv(stats)),
        ("report.html", report.into_bytes()),
    ])
}

/// An image of pixels `[channels, height, width]` as a PNG file.
fn png(pixels: &[u8], [channels, height, width]: [usize; 3]) -> Result<Vec<u8>, Failure> {
    let plane = height * width;
    let interleaved: Vec<u8> =
        (0..pixels.len()).map(|i| pixels[i % channels * plane + i / channels]).collect();
    let color = if channels == 1 { ExtendedColorType::L8 } else { ExtendedColorType::Rgb8 };
    let mut file = vec![];
    PngEncoder::new(&mut file)
        .write_image(&interleaved, width as u32, height as u32, color)
        .map_err(|error| Failure::Failed(format!("sample.png: {error}")))?;
    Ok(file)
}
