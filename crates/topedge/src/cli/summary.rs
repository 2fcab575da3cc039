//! `topedge summary`: what does a network consist of?

use std::path::PathBuf;

use topedge::prelude::*;

use super::failure::Failure;
use super::{choice, output, predict, times};

/// Prints the layers of a network: output shapes, parameters, multiply-adds
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  topedge summary --net simple-cnn             for ten classes of grey 28x28 images
  topedge summary runs/1/model.safetensors     as it was trained, and what each layer took")]
pub(crate) struct Args {
    /// The model.safetensors of a training run
    #[arg(conflicts_with = "net")]
    model: Option<PathBuf>,
    /// A network by name
    #[arg(long, value_name = "NAME", default_value = "simple-cnn-bn", value_parser = choice::net_parser())]
    net: Net,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let (net, classes, image_shape, mut network) = match &args.model {
        Some(path) => {
            let model = predict::load_model(path)?;
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
    if let Some(path) = &args.model {
        summary.add_times(&times::beside(path)?);
    }
    let [channels, height, width] = image_shape;
    output::line(format_args!("{net}: {classes} classes of {channels}x{height}x{width} images\n"))?;
    Ok(output::line(summary)?)
}
