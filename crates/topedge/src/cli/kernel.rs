//! `topedge kernel`: what does a kernel written by hand find in an image?

use std::path::{Path, PathBuf};

use clap::builder::{PossibleValuesParser, TypedValueParser};
use image::{ImageError, ImageReader};
use serde::Serialize;
use topedge::autograd::{Conv2dConfig, Tensor};
use topedge::data::load_image;
use topedge::nn::EdgeKernel;

use super::failure::Failure;
use super::picture::{Picture, picture_file};
use super::{output, terminal};

/// Applies a kernel to an image, and shows what it finds: the feature map
#[derive(clap::Args)]
#[command(
    long_about = "\
Applies a kernel to an image, and shows what it finds: the feature map.

A kernel of 3x3 weights slides over the image. At each place, weights and the pixels below them are
multiplied and the products added up: one number of the feature map. Where the image looks like the
kernel, dark under its -1 and bright under its 1, that is large; where it looks like the opposite, it
is below zero; where all is alike, it is 0.",
    after_help = "\
Examples:
  topedge kernel digit.png                                  edges that are dark above, bright below
  topedge kernel digit.png --negate                         the opposite: bottom edges
  topedge kernel photo.jpg --kernel left-edge --out map.png

  top-edge      left-edge     diagonal-1    diagonal-2
  -1 -1 -1      -1  1  0       0 -1  1       1 -1  0
   0  0  0      -1  1  0      -1  1  0       0  1 -1
   1  1  1      -1  1  0       1  0  0       0  0  1

In pictures, white is far above zero, black is zero, blue (in plain text: medium) is below zero.
Pixels count from 0 to 255. Without padding, the map is 2 smaller than the image on each axis.

With --json, one object:
  {\"image\":\"...\",\"kernel\":\"top-edge\",\"weights\":[[...],...],\"height\":26,\"width\":26,\"min\":...,\"max\":...,\"values\":[[...],...]}"
)]
pub(crate) struct Args {
    /// A PNG or JPEG file
    image: PathBuf,
    /// The kernel
    #[arg(long, value_name = "NAME", default_value = "top-edge", value_parser = kernel_parser())]
    kernel: EdgeKernel,
    /// Turn the signs of its weights round, so that it finds the opposite edges
    #[arg(long)]
    negate: bool,
    /// Write the feature map to this file, .png or .svg
    #[arg(long, value_name = "FILE", value_parser = picture_file)]
    out: Option<PathBuf>,
    /// Print one JSON object, and nothing else
    #[arg(long)]
    json: bool,
}

/// A feature map for a program.
#[derive(Serialize)]
struct FeatureMap<'a> {
    image: &'a str,
    kernel: &'static str,
    weights: [[i8; 3]; 3],
    height: usize,
    width: usize,
    min: f32,
    max: f32,
    values: Vec<&'a [f32]>,
}

fn kernel_parser() -> impl TypedValueParser<Value = EdgeKernel> {
    // The others are these, negated.
    let [top, left, diagonal_1, diagonal_2, ..] = EdgeKernel::ALL;
    let kernels = [top, left, diagonal_1, diagonal_2];
    PossibleValuesParser::new(kernels.map(EdgeKernel::name))
        .try_map(|name| name.parse::<EdgeKernel>())
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let kernel = if args.negate { args.kernel.negated() } else { args.kernel };
    let [height, width] = size(&args.image)?;
    let pixels = load_image(&args.image, [1, height, width])?;
    let pixels = pixels.into_iter().map(f32::from).collect();
    let image = Tensor::new(pixels, &[1, 1, height, width]).map_err(topedge::Error::from)?;
    let map = image.conv2d(&kernel.weight()?, None, &Conv2dConfig::default());
    let values = map.map_err(topedge::Error::from)?.to_vec();
    let (height, width) = (height - 2, width - 2);

    let picture = Picture::of_map(&values, [height, width]);
    if let Some(out) = &args.out {
        picture.write(out)?;
    }
    let (min, max) = values
        .iter()
        .fold((f32::INFINITY, f32::NEG_INFINITY), |(min, max), &v| (min.min(v), max.max(v)));
    let image = args.image.display().to_string();
    if args.json {
        return Ok(output::line(output::json(&FeatureMap {
            image: &image,
            kernel: kernel.name(),
            weights: kernel.rows(),
            height,
            width,
            min,
            max,
            values: values.chunks(width).collect(),
        })?)?);
    }
    output::line(format_args!("{kernel} on {image}\n"))?;
    for row in kernel.rows() {
        output::line(row.map(|weight| format!("{weight:>3}")).concat())?;
    }
    output::line(format_args!(
        "\n{}\n\nfeature map of {height}x{width}, from {min} to {max}",
        terminal::picture(&picture)
    ))?;
    if let Some(out) = &args.out {
        output::line(format_args!("written to {}", out.display()))?;
    }
    Ok(())
}

/// `[height, width]` of an image file, at least 3x3.
fn size(path: &Path) -> Result<[usize; 2], Failure> {
    if !path.is_file() {
        let what = if path.exists() { "is no file" } else { "does not exist" };
        let found = format!("{} {what}", path.display());
        return Err(Failure::flag("IMAGE", found, "a PNG or JPEG file"));
    }
    let reader = ImageReader::open(path).and_then(ImageReader::with_guessed_format);
    let dimensions = reader.map_err(Failure::io("read", path))?.into_dimensions();
    let (width, height) = dimensions.map_err(|error| {
        let found = match error {
            // It would speak of the ending of the name.
            ImageError::Unsupported(_) => "another kind of file".to_string(),
            error => error.to_string(),
        };
        let expected = "expected a PNG or JPEG image, found";
        Failure::Failed(format!("{}: {expected} {found}", path.display()))
    })?;
    if width < 3 || height < 3 {
        let found = format!("{}, {width}x{height} pixels", path.display());
        return Err(Failure::flag("IMAGE", found, "at least 3x3 pixels, the size of the kernel"));
    }
    Ok([height as usize, width as usize])
}
