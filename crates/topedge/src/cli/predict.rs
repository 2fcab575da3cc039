//! `topedge predict`: what is in these images?

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;
use topedge::data::load_image;
use topedge::model::Model;

use super::failure::Failure;
use super::output;

/// Recognises images: prints a label and its probability for each
///
/// Images may have any size and colour; they are converted as those of the training were. So a network
/// that was trained on white digits on black wants white on black here, too.
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  topedge predict runs/1/model.safetensors one.png two.jpg
  topedge predict runs/1 runs/1/sample.png                    the model of a run, by its folder

With --json, one object for each image:
  {\"image\":\"one.png\",\"label\":\"1\",\"probability\":0.998,\"probabilities\":{\"0\":0.001,...}}")]
pub(crate) struct Args {
    /// The model.safetensors of a training run, or the run's folder
    model: PathBuf,
    /// PNG or JPEG files
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<PathBuf>,
    /// Print one JSON object a line, and nothing else
    #[arg(long)]
    json: bool,
}

/// An image for a program.
#[derive(Serialize)]
struct Recognised<'a> {
    image: &'a str,
    label: &'a str,
    probability: f32,
    probabilities: BTreeMap<&'a str, f32>,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let mut model = load_model(&args.model)?;
    if let Some(missing) = args.images.iter().find(|path| !path.exists()) {
        let found = format!("{} does not exist", missing.display());
        return Err(Failure::flag("IMAGE", found, "a PNG or JPEG file"));
    }
    let names = args.images.iter().map(|path| path.display().to_string());
    let width = names.clone().map(|name| name.chars().count()).max().unwrap_or(0);

    for (path, name) in args.images.iter().zip(names) {
        let pixels = load_image(path, model.info.image_shape)?;
        let prediction = model.predict(&pixels)?;
        let label = &model.info.classes[prediction.label];
        let probability = prediction.probabilities[prediction.label];
        if args.json {
            let classes = model.info.classes.iter().map(String::as_str);
            let probabilities = classes.zip(prediction.probabilities.iter().copied()).collect();
            output::line(output::json(&Recognised {
                image: &name,
                label,
                probability,
                probabilities,
            })?)?;
        } else {
            output::line(format_args!("{name:width$}  {label}  {:.2} %", 100.0 * probability))?;
        }
    }
    Ok(())
}

/// The model file that the command line names, by itself or by the run's folder.
pub(crate) fn model_file(path: &Path) -> Result<PathBuf, Failure> {
    let file = if path.is_dir() { path.join("model.safetensors") } else { path.to_owned() };
    if !file.exists() {
        let found = format!("{} does not exist", file.display());
        return Err(Failure::flag("MODEL", found, "the model.safetensors of a training run"));
    }
    Ok(file)
}

/// Reads the model that the command line names.
pub(crate) fn load_model(path: &Path) -> Result<Model, Failure> {
    Ok(Model::load(&model_file(path)?)?)
}
