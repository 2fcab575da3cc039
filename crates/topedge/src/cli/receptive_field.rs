//! `topedge receptive-field`: how much of the image does a layer see?

use std::path::PathBuf;

use serde::Serialize;
use topedge::nn::{input_windows, receptive_fields};
use topedge::prelude::*;

use super::failure::Failure;
use super::{choice, output, predict};

/// Shows how much of the image an activation of each layer depends on
#[derive(clap::Args)]
#[command(
    long_about = "\
Shows how much of the image an activation of each layer depends on: its receptive field.

A layer with a kernel of k sees k x k activations of the layer before, each of which sees a part of the
image itself. From layer to layer the field grows by (k - 1) times all strides before, so that strides
make it grow fast. Near the border, part of a field is padding: the last columns say which pixels the
activation in the middle of the layer really sees.",
    after_help = "\
Examples:
  topedge receptive-field                      simple-cnn-bn: 5, 9, 17, 33, 65
  topedge receptive-field --net simple-cnn-2   3x3 kernels only: 3, 7, 15, 31, 63
  topedge receptive-field --net broken-cnn     strides of 1: 3, 5
  topedge receptive-field runs/1/model.safetensors

With --json, an object for each layer:
  {\"path\":\"0.0\",\"layer\":\"Conv2d(...)\",\"output_shape\":[8,14,14],\"receptive_field\":[5,5],\"at\":[0,7,7],\"rows\":[12,17],\"columns\":[12,17]}
(null for a layer that sees all of the image; rows and columns from the first to before the last)"
)]
pub(crate) struct Args {
    /// The model.safetensors of a training run, or the run's folder
    #[arg(conflicts_with = "net")]
    model: Option<PathBuf>,
    /// A network by name, for grey images of 28x28
    #[arg(long, value_name = "NAME", default_value = "simple-cnn-bn", value_parser = choice::any_net_parser())]
    net: Net,
    /// Print one JSON object a line, and nothing else
    #[arg(long)]
    json: bool,
}

/// A layer for a program.
#[derive(Serialize)]
struct LayerLine<'a> {
    path: &'a str,
    layer: &'a str,
    output_shape: &'a [usize],
    receptive_field: Option<[usize; 2]>,
    at: Vec<usize>,
    rows: [usize; 2],
    columns: [usize; 2],
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let (net, image_shape, network) = match &args.model {
        Some(path) => {
            let model = predict::load_model(path)?;
            (model.info.net, model.info.image_shape, model.into_network())
        }
        None => {
            let config = NetConfig::default();
            let network = args.net.build(&config, &mut Pcg64::seed_from_u64(0))?;
            (args.net, config.image_shape, network)
        }
    };
    let fields = receptive_fields(&network, &image_shape)?;
    let row = |[path, layer, output, field, pixels]: [&str; 5]| {
        output::line(format_args!("{path:<6}{layer:<67}{output:<12}{field:<8}{pixels}"))
    };
    if !args.json {
        let [channels, height, width] = image_shape;
        output::line(format_args!("{} on images of {channels}x{height}x{width}\n", net))?;
        row(["layer", "", "output", "field", "the middle one sees"])?;
    }
    for field in &fields {
        let middle = middle(&field.output_shape);
        let windows = input_windows(&network, &image_shape, &field.path, &middle)?;
        // The first is the one in the image; there is one for each layer up to this.
        let window = &windows[0];
        let [rows, columns] = [&window.rows, &window.columns].map(|range| [range.start, range.end]);
        if args.json {
            output::line(output::json(&LayerLine {
                path: &field.path,
                layer: &field.layer,
                output_shape: &field.output_shape,
                receptive_field: field.size,
                at: middle,
                rows,
                columns,
            })?)?;
            continue;
        }
        let sizes: Vec<_> = field.output_shape.iter().map(ToString::to_string).collect();
        let size = field.size.map_or("all".to_string(), |[h, w]| format!("{h}x{w}"));
        let pixels = match field.size {
            Some(_) => {
                format!("rows {}..{}, columns {}..{}", rows[0], rows[1], columns[0], columns[1])
            }
            None => "all pixels".to_string(),
        };
        row([&field.path, &field.layer, &sizes.join("x"), &size, &pixels])?;
    }
    Ok(())
}

/// The activation of the first channel that lies in the middle.
fn middle(shape: &[usize]) -> Vec<usize> {
    match *shape {
        [_, height, width] => vec![0, height / 2, width / 2],
        _ => vec![0; shape.len()],
    }
}
