//! `topedge summary`: what does a network consist of?

use std::path::PathBuf;

use serde::Serialize;
use topedge::prelude::*;

use super::failure::Failure;
use super::{choice, output, predict, times};

/// Prints the layers of a network: output shapes, parameters, multiply-adds
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  topedge summary --net simple-cnn             for ten classes of grey 28x28 images
  topedge summary runs/1                       as it was trained, and what each layer took
  topedge summary runs/1/model.safetensors     the same

With --json, an object for each layer and one at the end (null: it sees all of the image; not measured):
  {\"path\":\"0.0\",\"layer\":\"Conv2d(...)\",\"output_shape\":[8,14,14],\"parameters\":208,\"trainable\":208,\"multiply_adds\":39200,\"receptive_field\":[5,5],\"activation_bytes\":6272,\"measured\":{\"forward_seconds\":...,\"backward_seconds\":...,\"gflops\":...}}
  {\"event\":\"done\",\"net\":\"simple-cnn-bn\",\"classes\":10,\"image_shape\":[1,28,28],\"parameters\":...,\"trainable\":...,\"multiply_adds\":...,\"activation_bytes\":...}")]
pub(crate) struct Args {
    /// The model.safetensors of a training run, or the run's folder
    #[arg(conflicts_with = "net")]
    model: Option<PathBuf>,
    /// A network by name
    #[arg(long, value_name = "NAME", default_value = "simple-cnn-bn", value_parser = choice::any_net_parser())]
    net: Net,
    /// Print one JSON object a line, and nothing else
    #[arg(long)]
    json: bool,
}

/// The whole network for a program.
#[derive(Serialize)]
struct DoneEvent {
    event: &'static str,
    net: &'static str,
    classes: usize,
    image_shape: [usize; 3],
    parameters: usize,
    trainable: usize,
    multiply_adds: usize,
    activation_bytes: usize,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let file = args.model.as_deref().map(predict::model_file).transpose()?;
    let (net, classes, image_shape, mut network) = match &file {
        Some(file) => {
            let model = predict::load_model(file)?;
            let info = model.info.clone();
            (info.net, info.classes.len(), info.image_shape, model.into_network())
        }
        None => {
            let config = NetConfig::default();
            let network = args.net.build(&config, &mut Pcg64::seed_from_u64(0))?;
            (args.net, config.classes, config.image_shape, network)
        }
    };
    let mut summary = Summary::of(&mut network, &image_shape)?;
    if let Some(file) = &file {
        summary.add_times(&times::beside(file)?);
    }
    if args.json {
        for layer in &summary.layers {
            output::line(output::json(layer)?)?;
        }
        return Ok(output::line(output::json(&DoneEvent {
            event: "done",
            net: net.name(),
            classes,
            image_shape,
            parameters: summary.parameters(),
            trainable: summary.trainable(),
            multiply_adds: summary.multiply_adds(),
            activation_bytes: summary.activation_bytes(),
        })?)?);
    }
    let [channels, height, width] = image_shape;
    // The book's broken network puts out no scores of classes.
    let scores = summary.layers.last().is_some_and(|layer| *layer.output_shape == [classes]);
    let of = if scores { format!("{classes} classes of ") } else { String::new() };
    output::line(format_args!("{net}: {of}{channels}x{height}x{width} images\n"))?;
    Ok(output::line(summary)?)
}
