//! `topedge show-batch`: what does a network get to see?

use std::path::PathBuf;

use serde::Serialize;
use topedge::data::Batch;
use topedge::prelude::*;

use super::failure::Failure;
use super::images::Images;
use super::lettering::lettering;
use super::picture::{Picture, picture_file};
use super::{images, output, terminal};

/// Shows images of the first training batch with their labels
#[derive(clap::Args)]
#[command(
    long_about = "\
Shows images of the first training batch with their labels.

They are taken from the batch that a training run with this seed begins with, and their normalisation
is undone: if something went wrong with images or labels on the way, it is seen here.",
    after_help = "\
Examples:
  topedge show-batch                                 drawn digits
  topedge show-batch --data mnist --labels 3,7
  topedge show-batch --data mnist --count 64 --columns 8 --out batch.png

With --json, an object for each image:
  {\"label\":\"3\",\"shape\":[1,28,28],\"pixels\":[...]}"
)]
pub(crate) struct Args {
    #[command(flatten)]
    images: Images,
    /// How many images
    #[arg(long, value_name = "N", default_value_t = 9, value_parser = clap::value_parser!(u32).range(1..=512))]
    count: u32,
    /// How many side by side [default: as many as fit into 80 columns]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=512))]
    columns: Option<u32>,
    /// The seed of the order of images, and of drawn digits
    #[arg(long, value_name = "N", default_value_t = 42)]
    seed: u64,
    /// Write the grid to this file, .png or .svg
    #[arg(long, value_name = "FILE", value_parser = picture_file)]
    out: Option<PathBuf>,
    /// Print one JSON object a line, and nothing else
    #[arg(long)]
    json: bool,
}

/// An image for a program.
#[derive(Serialize)]
struct ImageLine<'a> {
    label: &'a str,
    shape: [usize; 3],
    pixels: &'a [u8],
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let splits = args.images.load(args.seed)?;
    let batch_size = images::batch_size(None, 512, &splits)?;
    let config = LoadersConfig { batch_size, seed: args.seed, ..Default::default() };
    let loader = DataLoaders::new(&splits, &config)?.train;
    let batch: Batch = loader.epoch(0).next().expect("there are as many images as a batch has")?;
    let (vocab, shape) = (splits.train.vocab(), splits.train.image_shape());
    let normalize = &loader.config().normalize;
    let mut shown = vec![];
    for i in 0..batch_size.min(args.count as usize) {
        let label = vocab[batch.labels[i] as usize].as_str();
        shown.push((label, normalize.decode(&batch.image(i))?));
    }

    if args.json {
        for (label, pixels) in &shown {
            output::line(output::json(&ImageLine { label, shape, pixels })?)?;
        }
    }
    let pictures: Vec<_> =
        shown.iter().map(|(label, pixels)| (*label, Picture::of_image(pixels, shape))).collect();
    if let Some(out) = &args.out {
        let columns = args.columns.map_or(8, |n| n as usize);
        grid(&pictures, columns).write(out)?;
    }
    if args.json {
        return Ok(());
    }
    let fitting = (terminal::width() / (shape[2] + 1)).max(1);
    for row in pictures.chunks(args.columns.map_or(fitting, |n| n as usize)) {
        let labels: Vec<_> = row.iter().map(|(label, _)| *label).collect();
        let mut line = Picture::black(row.len() * (shape[2] + 1), shape[1]);
        for (i, (_, picture)) in row.iter().enumerate() {
            line.paste(picture, i * (shape[2] + 1), 0);
        }
        output::line(format_args!("{}\n{}\n", labels.join("  "), terminal::picture(&line)))?;
    }
    if let Some(out) = &args.out {
        output::line(format_args!("written to {}", out.display()))?;
    }
    Ok(())
}

/// All images, each below its label. Small ones are enlarged.
fn grid(images: &[(&str, Picture)], columns: usize) -> Picture {
    const GAP: usize = 6;
    const LABEL: usize = 20;
    let side = images[0].1.width.max(images[0].1.height);
    let times = (84 / side).max(1);
    let (width, height) = (images[0].1.width * times, images[0].1.height * times);
    let columns = columns.min(images.len());
    let rows = images.len().div_ceil(columns);
    let mut grid =
        Picture::black(GAP + columns * (width + GAP), GAP + rows * (height + LABEL + GAP));
    for (i, (label, picture)) in images.iter().enumerate() {
        let left = GAP + i % columns * (width + GAP);
        let top = GAP + i / columns * (height + LABEL + GAP);
        // What is too long runs into the gap, and not into the next label.
        let letters: String = label.chars().take(width / 16).collect();
        grid.paste(&lettering(&letters).enlarged(2), left, top);
        grid.paste(&picture.enlarged(times), left, top + LABEL);
    }
    grid
}
